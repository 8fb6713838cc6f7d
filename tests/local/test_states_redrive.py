"""RedriveExecution as a client sees it: eligibility, idempotence, what is shown; and kill -9 right after its answer."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/flow"
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "why"}}}


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def create(sfn: Any, definition: Any, **more: Any) -> str:
    name = f"m-{uuid.uuid4()}"
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE, **more)[
        "stateMachineArn"
    ]


def ended(sfn: Any, execution: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return seen


def refusal(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def with_activity(sfn: Any) -> tuple[str, dict[str, Any]]:
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    states = {
        "Before": {"Type": "Pass", "Result": 1, "Next": "T"},
        "T": {"Type": "Task", "Resource": activity, "End": True},
    }
    return activity, {"StartAt": "Before", "States": states}


def fail_once(sfn: Any) -> tuple[str, str, str]:
    """(machine, activity, execution that failed in its second state)."""
    activity, definition = with_activity(sfn)
    machine = create(sfn, definition)
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    sfn.send_task_failure(taskToken=token, error="Boom", cause="late")
    assert ended(sfn, execution)["error"] == "Boom"
    return machine, activity, execution


def test_it_goes_on_and_says_so(sfn: Any) -> None:
    machine, activity, execution = fail_once(sfn)
    before = sfn.describe_execution(executionArn=execution)
    assert (before["redriveStatus"], before["redriveCount"]) == ("REDRIVABLE", 0)
    at = sfn.redrive_execution(executionArn=execution)["redriveDate"]
    running = sfn.describe_execution(executionArn=execution)
    assert (running["status"], running["redriveCount"], running["redriveDate"]) == ("RUNNING", 1, at)
    assert "stopDate" not in running and "error" not in running
    assert (running["redriveStatus"], running["redriveStatusReason"]) == (
        "NOT_REDRIVABLE",
        "Execution is RUNNING and cannot be redriven",
    )
    task = sfn.get_activity_task(activityArn=activity)
    assert task["input"] == "1"
    sfn.send_task_success(taskToken=task["taskToken"], output="2")
    assert ended(sfn, execution)["output"] == "2"
    events = sfn.get_execution_history(executionArn=execution)["events"]
    (redriven,) = [event for event in events if event["type"] == "ExecutionRedriven"]
    assert redriven["executionRedrivenEventDetails"] == {"redriveCount": 1}
    types = [event["type"] for event in events]
    assert types[types.index("ExecutionFailed") :] == [
        "ExecutionFailed",
        "ExecutionRedriven",
        "ActivityScheduled",
        "ActivityStarted",
        "ActivitySucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    (listed,) = sfn.list_executions(stateMachineArn=machine, redriveFilter="REDRIVEN")["executions"]
    assert (listed["redriveCount"], listed["redriveDate"]) == (1, at)
    assert sfn.list_executions(stateMachineArn=machine, redriveFilter="NOT_REDRIVEN")["executions"] == []


def test_the_token_of_the_failed_run_is_of_no_use(sfn: Any) -> None:
    activity, definition = with_activity(sfn)
    execution = sfn.start_execution(stateMachineArn=create(sfn, definition))["executionArn"]
    old = sfn.get_activity_task(activityArn=activity)["taskToken"]
    sfn.stop_execution(executionArn=execution)
    assert ended(sfn, execution)["status"] == "ABORTED"
    sfn.redrive_execution(executionArn=execution)
    assert refusal(sfn.send_task_success, taskToken=old, output="0")[0] == "TaskTimedOut"
    new = sfn.get_activity_task(activityArn=activity)["taskToken"]
    sfn.send_task_success(taskToken=new, output="3")
    assert ended(sfn, execution)["output"] == "3"


def test_one_client_token_redrives_once(sfn: Any) -> None:
    execution = sfn.start_execution(stateMachineArn=create(sfn, FAIL))["executionArn"]
    ended(sfn, execution)
    first = sfn.redrive_execution(executionArn=execution, clientToken="once")["redriveDate"]
    assert ended(sfn, execution)["redriveCount"] == 1
    assert sfn.redrive_execution(executionArn=execution, clientToken="once")["redriveDate"] == first
    assert ended(sfn, execution)["redriveCount"] == 1
    sfn.redrive_execution(executionArn=execution, clientToken="twice")
    seen = ended(sfn, execution)
    assert (seen["redriveCount"], seen["error"], seen["cause"]) == (2, "E", "why")


def test_what_cannot_be_redriven(sfn: Any) -> None:
    done = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    execution = sfn.start_execution(stateMachineArn=create(sfn, done))["executionArn"]
    ended(sfn, execution)
    reason = "Execution is SUCCEEDED and cannot be redriven"
    assert refusal(sfn.redrive_execution, executionArn=execution) == ("ExecutionNotRedrivable", reason)
    assert refusal(sfn.redrive_execution, executionArn=f"{execution}x")[0] == "ExecutionDoesNotExist"
    assert refusal(sfn.redrive_execution, executionArn="nothing")[0] == "InvalidArn"
    express = execution.replace(":execution:", ":express:") + ":1"
    assert refusal(sfn.redrive_execution, executionArn=express)[0] == "InvalidArn"
    machine = create(sfn, FAIL)
    failed = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    ended(sfn, failed)
    sfn.delete_state_machine(stateMachineArn=machine)
    assert refusal(sfn.redrive_execution, executionArn=failed)[1] == "State machine is in DELETING status"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Any]:
    place = Path(__file__).with_name("test_states_kill.py")
    spec = importlib.util.spec_from_file_location("states_kill_process", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    made = module.Process(tmp_path / ".millpond")
    yield made
    made.kill()


def test_an_answered_redrive_outlives_a_kill(process: Any) -> None:
    _, activity, execution = fail_once(process.client("stepfunctions"))
    process.kill()
    process.up()
    process.client("stepfunctions").redrive_execution(executionArn=execution)
    process.kill()
    process.up()
    sfn = process.client("stepfunctions")
    token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    process.kill()
    process.up()
    sfn = process.client("stepfunctions")
    sfn.send_task_success(taskToken=token, output="9")
    seen = ended(sfn, execution)
    assert (seen["status"], seen["output"], seen["redriveCount"]) == ("SUCCEEDED", "9", 1)
    events = sfn.get_execution_history(executionArn=execution)["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert sum(event["type"] == "ExecutionRedriven" for event in events) == 1


def test_map_runs_are_listed_and_reopened_by_a_redrive(sfn: Any) -> None:
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "T",
        "States": {"T": {"Type": "Task", "Resource": activity, "End": True}},
    }
    first = {"Type": "Map", "ItemProcessor": processor | {"StartAt": "P", "States": {"P": {"Type": "Succeed"}}}}
    states = {
        "Before": first | {"Label": "early", "ResultPath": "$[0]", "Next": "Each"},
        "Each": {"Type": "Map", "Label": "each", "ItemProcessor": processor, "End": True},
    }
    machine = create(sfn, {"StartAt": "Before", "States": states})
    execution = sfn.start_execution(stateMachineArn=machine, input="[1]")["executionArn"]
    token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    early, each = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    assert (early["stateMachineArn"], each["stateMachineArn"]) == (f"{machine}/early", f"{machine}/each")
    assert early["stopDate"] >= early["startDate"]
    assert "stopDate" not in each
    sfn.send_task_failure(taskToken=token, error="Boom")
    assert ended(sfn, execution)["status"] == "FAILED"
    (stopped,) = [run for run in sfn.list_map_runs(executionArn=execution)["mapRuns"] if run != early]
    assert stopped["stopDate"] >= stopped["startDate"]
    sfn.redrive_execution(executionArn=execution)
    task = sfn.get_activity_task(activityArn=activity)
    again = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    assert again == [early, each]
    sfn.send_task_success(taskToken=task["taskToken"], output="1")
    assert ended(sfn, execution)["status"] == "SUCCEEDED"
    page = sfn.list_map_runs(executionArn=execution, maxResults=1)
    assert page["mapRuns"] == [early]
    (last,) = sfn.list_map_runs(executionArn=execution, nextToken=page["nextToken"])["mapRuns"]
    assert last["stopDate"] > stopped["stopDate"]
    assert refusal(sfn.list_map_runs, executionArn=execution, nextToken="forged")[0] == "InvalidToken"
    assert refusal(sfn.list_map_runs, executionArn=f"{execution}x")[0] == "ExecutionDoesNotExist"
    assert refusal(sfn.list_map_runs, executionArn="x")[0] == "InvalidArn"


def test_a_map_run_ends_with_its_stopped_execution(sfn: Any) -> None:
    wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    processor = wait | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    definition = {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": processor, "End": True}}}
    execution = sfn.start_execution(stateMachineArn=create(sfn, definition), input="[1]")["executionArn"]
    deadline = time.monotonic() + 120
    while not sfn.list_map_runs(executionArn=execution)["mapRuns"]:
        assert time.monotonic() < deadline
    sfn.stop_execution(executionArn=execution)
    seen = ended(sfn, execution)
    (run,) = sfn.list_map_runs(executionArn=execution)["mapRuns"]
    assert run["stopDate"] == seen["stopDate"]
