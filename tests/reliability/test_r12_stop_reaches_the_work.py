"""R12: StopExecution during a `.sync` Glue job, a Lambda function and a nested execution ends all their processes, also
what they started themselves; within how many seconds is among the figures."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process, until

from millpond import runtime

pytestmark = [pytest.mark.slow, pytest.mark.spark]

SECONDS = 60.0  # the promise is five; a busy machine may take longer
FUNCTION = """
import os, subprocess, time

def handler(event, context):
    child = subprocess.Popen(["sleep", "300"])
    with open(event["pids"], "a") as file:
        file.write(f"{os.getpid()} {child.pid} ")
    time.sleep(300)
"""
JOB = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "300"])
with open({pids!r}, "a") as file:
    file.write(f"{{os.getpid()}} {{child.pid}} ")
time.sleep(300)
"""


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def test_r12(process: Process, tmp_path: Path, figures: Callable[..., None]) -> None:
    runtime.install("5.1", print)
    pids = tmp_path / "pids"
    pids.touch()
    sfn, s3, glue = process.sfn, process.client("s3"), process.client("glue")
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="j.py", Body=JOB.format(pids=str(pids)))
    command = {"Name": "pythonshell", "ScriptLocation": "s3://jobs/j.py", "PythonVersion": "3.9"}
    glue.create_job(Name="j", Role="arn:aws:iam::000000000000:role/glue", Command=command)
    process.function("f", FUNCTION, Timeout=400)
    child = process.machine("child", {"W": {"Type": "Wait", "Seconds": 600, "End": True}})

    def branch(number: int, resource: str, **parameters: Any) -> dict[str, Any]:
        task = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True}
        return {"StartAt": f"T{number}", "States": {f"T{number}": task}}

    branches = [
        branch(1, "glue:startJobRun.sync", JobName="j"),
        branch(2, "lambda:invoke", FunctionName="f", Payload={"pids": str(pids)}),
        branch(3, "states:startExecution.sync:2", StateMachineArn=child),
    ]
    machine = process.machine("m", {"P": {"Type": "Parallel", "Branches": branches, "End": True}})
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    until(lambda: len(pids.read_text().split()) == 4)
    (nested,) = until(lambda: sfn.list_executions(stateMachineArn=child)["executions"])
    work = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in work)

    began = time.monotonic()
    sfn.stop_execution(executionArn=execution)
    until(lambda: not any(alive(pid) for pid in work), SECONDS)
    gone = time.monotonic() - began
    until(lambda: sfn.describe_execution(executionArn=nested["executionArn"])["status"] == "ABORTED", SECONDS)
    until(lambda: glue.get_job_runs(JobName="j")["JobRuns"][0]["JobRunState"] == "STOPPED", SECONDS)
    figures(processes=len(work), gone_after_seconds=round(gone, 1), orphans=sum(map(alive, work)))
    assert sfn.describe_execution(executionArn=execution)["status"] == "ABORTED"
    process.history(execution)
