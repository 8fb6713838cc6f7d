"""The work behind tasks: StopExecution ends it (R12), kill -9 does not lose or repeat it (T5), tokens outlive it
(T6)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop
from test_states_kill import Process, check_history, create, ended, process, until

__all__ = ["process"]  # a fixture

ROLE = "arn:aws:iam::000000000000:role/flow"
SLEEPER = """
import os, pathlib, time
def handler(event, context):
    pathlib.Path(event["file"]).write_text(str(os.getpid()))
    time.sleep(event.get("seconds", 60))
    return "over"
"""
TOKEN = """
import os, pathlib
def handler(event, context):
    pathlib.Path(event["file"] + ".part").write_text(event["token"])
    os.rename(event["file"] + ".part", event["file"])
"""


def function(aws: Callable[[str], Any], code: str) -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", code)
    return aws("lambda").create_function(
        FunctionName=f"f-{uuid.uuid4()}",
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": file.getvalue()},
        Timeout=100,
    )["FunctionArn"]


def task(resource: str, **parameters: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True}


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def text_of(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text()
    return ""


def test_stop_ends_all_the_work(aws: Callable[[str], Any], tmp_path: Path) -> None:
    """R12: a Glue run, a function and a nested execution, all gone five seconds after StopExecution."""
    sfn, glue = aws("stepfunctions"), aws("glue")
    shop = Workshop(aws, "stop").open()
    shop.job("long", "import time\ntime.sleep(300)\n", head=False, kind="pythonshell")
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    child = sfn.create_state_machine(name=f"c-{uuid.uuid4()}", definition=json.dumps(wait), roleArn=ROLE)[
        "stateMachineArn"
    ]
    mine = tmp_path / "pid"
    branches = [
        task("glue:startJobRun.sync", JobName="long"),
        task("lambda:invoke", FunctionName=function(aws, SLEEPER), Payload={"file": str(mine)}),
        task("states:startExecution.sync:2", StateMachineArn=child),
    ]
    parallel = {
        "Type": "Parallel",
        "Branches": [{"StartAt": f"T{n}", "States": {f"T{n}": branch}} for n, branch in enumerate(branches)],
        "End": True,
    }
    machine = sfn.create_state_machine(
        name=f"p-{uuid.uuid4()}", definition=json.dumps({"StartAt": "P", "States": {"P": parallel}}), roleArn=ROLE
    )["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    pid = int(until(lambda: text_of(mine), 60))
    until(lambda: sfn.list_executions(stateMachineArn=child)["executions"])
    until(lambda: [run for run in glue.get_job_runs(JobName="long")["JobRuns"] if run["JobRunState"] == "RUNNING"], 60)
    (running,) = sfn.list_executions(stateMachineArn=child)["executions"]

    sfn.stop_execution(executionArn=execution, error="Enough", cause="of it")
    assert sfn.describe_execution(executionArn=execution)["status"] == "ABORTED"
    until(lambda: not alive(pid), 5)
    nested = running["executionArn"]
    until(lambda: sfn.describe_execution(executionArn=nested)["status"] == "ABORTED", 5)
    until(lambda: [run["JobRunState"] for run in glue.get_job_runs(JobName="long")["JobRuns"]] == ["STOPPED"], 5)


def test_a_stopped_activity_is_over(aws: Callable[[str], Any]) -> None:
    sfn = aws("stepfunctions")
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    states = {"T": {"Type": "Task", "Resource": activity, "End": True}}
    machine = sfn.create_state_machine(
        name=f"m-{uuid.uuid4()}", definition=json.dumps({"StartAt": "T", "States": states}), roleArn=ROLE
    )["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    sfn.stop_execution(executionArn=execution)
    for said in (
        lambda: sfn.send_task_heartbeat(taskToken=token),
        lambda: sfn.send_task_success(taskToken=token, output="1"),
        lambda: sfn.send_task_failure(taskToken=token),
    ):
        with pytest.raises(ClientError) as caught:
            said()
        assert caught.value.response["Error"]["Code"] == "TaskTimedOut"


@pytest.mark.slow
def test_a_job_outlives_the_endpoint(process: Process) -> None:
    """T5: kill -9 at every moment of a `.sync` job: the same JobRunId, exactly one run a task."""
    shop = Workshop(process.client, "jobs").open()
    shop.job(
        "job",
        "import time\ntime.sleep(2)\n",
        head=False,
        kind="pythonshell",
        ExecutionProperty={"MaxConcurrentRuns": 9},
    )
    machine = create(process, "m", {"J": task("glue:startJobRun.sync", JobName="job")})
    started = []
    for delay in (0.0, 0.03, 0.5):
        started.append(process.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"])
        time.sleep(delay)
        process.kill()
        process.up()
    outputs = [json.loads(ended(process, execution, 120)["output"]) for execution in started]
    assert {output["JobRunState"] for output in outputs} == {"SUCCEEDED"}
    runs = process.client("glue").get_job_runs(JobName="job")["JobRuns"]
    assert sorted(run["Id"] for run in runs) == sorted(output["Id"] for output in outputs)
    for execution, output in zip(started, outputs, strict=True):
        events = check_history(process.client("stepfunctions"), execution)
        (submitted,) = [event for event in events if event["type"] == "TaskSubmitted"]
        assert json.loads(submitted["taskSubmittedEventDetails"]["output"])["JobRunId"] == output["Id"]


def test_a_token_is_taken_once_after_a_restart(process: Process, tmp_path: Path) -> None:
    """T6: accepted once; then TaskTimedOut; a forged token is InvalidToken; nobody can guess one."""
    file = tmp_path / "token"
    parameters = {
        "FunctionName": function(process.client, TOKEN),
        "Payload": {"token.$": "$$.Task.Token", "file": str(file)},
    }
    machine = create(process, "m", {"T": task("lambda:invoke.waitForTaskToken", **parameters)})
    execution = process.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    token = until(lambda: text_of(file))
    process.kill()
    process.up()
    sfn = process.client("stepfunctions")
    for forged in (token[:-6] + "AAAAA=", token[6:], "AAAA" * 20):
        with pytest.raises(ClientError) as caught:
            sfn.send_task_success(taskToken=forged, output="1")
        assert caught.value.response["Error"]["Code"] == "InvalidToken"
    sfn.send_task_success(taskToken=token, output='{"ok": true}')
    with pytest.raises(ClientError) as caught:
        sfn.send_task_success(taskToken=token, output="2")
    assert caught.value.response["Error"]["Code"] == "TaskTimedOut"
    assert json.loads(ended(process, execution)["output"]) == {"ok": True}
    names = [event["type"] for event in check_history(sfn, execution)]
    names = [name for name in names if name != "TaskSubmitted"]  # the kill may have come before it
    assert names == [
        *("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded"),
        *("TaskStateExited", "ExecutionSucceeded"),
    ]
