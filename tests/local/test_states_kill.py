"""kill -9 of the endpoint: nothing finished runs twice, running work is found again, tokens and timers stay valid."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import ONCE, Process

ROLE = "arn:aws:iam::000000000000:role/flow"
ITEMS = 40


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / ".millpond", config=ONCE)
    yield made
    made.kill()


def ended(process: Process, execution: str, seconds: float = 120) -> dict[str, Any]:
    sfn, deadline = process.client("stepfunctions"), time.monotonic() + seconds
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, process.log.read_text()[-3000:]
        time.sleep(0.05)
    return seen


def create(process: Process, name: str, states: dict[str, Any]) -> str:
    definition = json.dumps({"StartAt": next(iter(states)), "States": states})
    return process.client("stepfunctions").create_state_machine(name=name, definition=definition, roleArn=ROLE)[
        "stateMachineArn"
    ]


def check_history(sfn: Any, execution: str) -> list[dict[str, Any]]:
    pages = sfn.get_paginator("get_execution_history").paginate(executionArn=execution)
    events = [event for page in pages for event in page["events"]]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["previousEventId"] < event["id"] for event in events)
    return events


def test_map_of_nested_executions(process: Process) -> None:
    """The children are the ledger: as many as items, whatever happens to the endpoint."""
    child = create(
        process, "child", {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
    )
    each = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": child, "Input.$": "$"},
        "OutputPath": "$.Output",
        "End": True,
    }
    parent = create(
        process,
        "parent",
        {
            "M": {
                "Type": "Map",
                "MaxConcurrency": 10,
                "ItemProcessor": {"StartAt": "E", "States": {"E": each}},
                "End": True,
            }
        },
    )
    items = list(range(ITEMS))
    execution = process.client("stepfunctions").start_execution(stateMachineArn=parent, input=json.dumps(items))[
        "executionArn"
    ]
    for delay in (0.15, 0.6, 0.9, 0.4):
        time.sleep(delay)
        process.kill()
        process.up()
    seen = ended(process, execution)
    assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", items)
    sfn = process.client("stepfunctions")
    children = sfn.list_executions(stateMachineArn=child, maxResults=1000)["executions"]
    assert len(children) == ITEMS and {c["status"] for c in children} == {"SUCCEEDED"}
    events = check_history(sfn, execution)
    assert sum(event["type"] == "TaskSucceeded" for event in events) == ITEMS


def test_timer_and_token(process: Process) -> None:
    sfn = process.client("stepfunctions")
    activity = sfn.create_activity(name="a")["activityArn"]
    states = {
        "W": {"Type": "Wait", "Seconds": 2, "Next": "T"},
        "T": {"Type": "Task", "Resource": activity, "End": True},
    }
    execution = sfn.start_execution(stateMachineArn=create(process, "m", states))["executionArn"]
    process.kill()
    process.up()
    got = process.client("stepfunctions").get_activity_task(activityArn=activity)
    process.kill()
    process.up()
    process.client("stepfunctions").send_task_success(taskToken=got["taskToken"], output="1")
    assert ended(process, execution)["output"] == "1"
    check_history(process.client("stepfunctions"), execution)


def test_answered_token_is_kept(process: Process) -> None:
    """SendTaskSuccess answered, then the power went: the answer counts."""
    sfn = process.client("stepfunctions")
    activity = sfn.create_activity(name="a")["activityArn"]
    states = {"T": {"Type": "Task", "Resource": activity, "End": True}}
    machine = create(process, "m", states)
    executions = [sfn.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(5)]
    for number, _ in enumerate(executions):
        token = sfn.get_activity_task(activityArn=activity)["taskToken"]
        sfn.send_task_success(taskToken=token, output=str(number))
    process.kill()
    process.up()
    outputs = sorted(ended(process, execution)["output"] for execution in executions)
    assert outputs == ["0", "1", "2", "3", "4"]


def test_started_is_kept(process: Process) -> None:
    sfn = process.client("stepfunctions")
    machine = create(process, "m", {"P": {"Type": "Pass", "End": True}})
    executions = [sfn.start_execution(stateMachineArn=machine, input=f"{i}")["executionArn"] for i in range(50)]
    process.kill()
    process.up()
    assert [ended(process, execution)["output"] for execution in executions] == [str(i) for i in range(50)]
    check_history(process.client("stepfunctions"), executions[-1])


MAPPED = 4_000
KILLS = 3
BORN = 1_000
"""Children that a life bears before its death: 4,000 statements may not be on the disk yet, a child has some ten."""

# The endpoint, which kills itself when it has borne so many children: a quick machine would be done before we looked.
MORTAL = """
import os, signal, sys
from millpond.local.__main__ import main
from millpond.local.states.children import Children

number, left = Children.number, int(sys.argv.pop(1))

def number_or_die(children):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return number(children)

Children.number = number_or_die
sys.exit(main())
"""


def children_ended(data: Path) -> dict[str, float]:
    """Children that have ended, in the store of a dead endpoint: execution -> when."""
    with contextlib.closing(sqlite3.connect(data / "endpoint.db")) as db:
        sql = "SELECT arn, stopped FROM states_executions WHERE map_run IS NOT NULL AND status = 'SUCCEEDED'"
        return dict(db.execute(sql).fetchall())


@pytest.mark.slow
def test_a_map_run_goes_on_where_it_was(process: Process) -> None:
    """Children that had ended keep their rows and histories; counters and results are whole; items are read once."""
    s3 = process.client("s3")
    s3.create_bucket(Bucket="mapped")
    s3.put_object(Bucket="mapped", Key="in.csv", Body="n\n" + "".join(f"{n}\n" for n in range(MAPPED)))
    each = {
        "Type": "Map",
        "Label": "each",
        "MaxConcurrency": 40,
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            "Parameters": {"Bucket": "mapped", "Key": "in.csv"},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "One",
            "States": {
                "One": {"Type": "Pass", "Next": "Two"},
                "Two": {"Type": "Wait", "Seconds": 0, "Next": "Three"},
                "Three": {"Type": "Pass", "End": True},
            },
        },
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "mapped"}},
        "End": True,
    }
    machine = create(process, "mapped", {"Each": each})
    process.kill()
    process.up("-c", MORTAL, str(BORN))
    execution = process.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    finished: dict[str, float] = {}
    for kill in range(KILLS):
        assert process.process.wait(120) == -signal.SIGKILL, process.log.read_text()[-3000:]
        before, finished = finished, children_ended(process.data)
        assert before.items() < finished.items() and len(finished) >= 100
        (process.data / "s3" / "mapped" / "in.csv").write_text("n\nanother\n")  # it was read already
        if kill < KILLS - 1:
            process.spawn("-c", MORTAL, str(BORN))
    process.up()
    shown = json.loads(ended(process, execution)["output"])
    sfn, s3 = process.client("stepfunctions"), process.client("s3")
    exact = {"pending": 0, "running": 0, "succeeded": MAPPED, "failed": 0, "timedOut": 0, "aborted": 0, "total": MAPPED}
    exact |= {"resultsWritten": MAPPED, "failuresNotRedrivable": 0, "pendingRedrive": 0}
    run = sfn.describe_map_run(mapRunArn=shown["MapRunArn"])
    assert run["itemCounts"] == run["executionCounts"] == exact
    pages = sfn.get_paginator("list_executions").paginate(mapRunArn=shown["MapRunArn"], maxResults=1000)
    assert sum(len(page["executions"]) for page in pages) == MAPPED
    events = sfn.get_execution_history(executionArn=next(iter(finished)))["events"]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    place = shown["ResultWriterDetails"]
    manifest = json.loads(s3.get_object(Bucket="mapped", Key=place["Key"])["Body"].read())
    (file,) = manifest["ResultFiles"]["SUCCEEDED"]
    results = json.loads(s3.get_object(Bucket="mapped", Key=file["Key"])["Body"].read())
    assert sorted(int(json.loads(result["Output"])["n"]) for result in results) == list(range(MAPPED))
    process.kill()
    children = children_ended(process.data)
    assert len(children) == MAPPED and finished.items() <= children.items()
