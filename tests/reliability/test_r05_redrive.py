"""R5: a redrive goes on where the execution failed: what had been done is not done again, also after a restart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from soundness import Process

pytestmark = pytest.mark.slow

SOURCE = """
import os

def handler(event, context):
    with open(event["ledger"], "a") as file:
        file.write(str(event["item"]) + "\\n")
    if os.path.exists(event["broken"]) and str(event["item"]) == open(event["broken"]).read():
        raise ValueError("broken")
    return event["item"]
"""
TASK = {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work", "End": True}


class Bench:
    """A Map of functions of which the one whose item stands in a file fails."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process, self.ledger, self.broken = process, folder / "ledger", folder / "broken"
        process.function("work", SOURCE)

    def task(self, **more: Any) -> dict[str, Any]:
        return TASK | {"Parameters": {"item.$": "$", "ledger": str(self.ledger), "broken": str(self.broken)}} | more

    @property
    def calls(self) -> Counter[str]:
        return Counter(self.ledger.read_text().split())

    def start(self, name: str, states: dict[str, Any], value: Any) -> dict[str, Any]:
        execution = self.process.sfn.start_execution(
            stateMachineArn=self.process.machine(name, states), input=json.dumps(value)
        )["executionArn"]
        return self.process.ended(execution)

    def redrive(self, execution: str) -> dict[str, Any]:
        self.process.sfn.redrive_execution(executionArn=execution)
        return self.process.ended(execution)


@pytest.fixture
def bench(process: Process, tmp_path: Path) -> Bench:
    return Bench(process, tmp_path)


def refusal(process: Process, execution: str) -> str:
    with pytest.raises(ClientError) as caught:
        process.sfn.redrive_execution(executionArn=execution)
    return str(caught.value.response["Error"]["Code"])


def test_r05(bench: Bench, full: bool, figures: Callable[..., None]) -> None:
    process, (items, bad) = bench.process, (1000, 700) if full else (300, 210)
    each = {"StartAt": "Work", "States": {"Work": bench.task()}}
    states = {"Each": {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": each, "End": True}}
    bench.broken.write_text(str(bad))
    answer = bench.start("map", states, list(range(items)))
    assert (answer["status"], answer["error"]) == ("FAILED", "ValueError")
    execution = answer["executionArn"]
    assert bench.calls.total() == bad + 1
    process.kill()
    process.up()
    assert bench.redrive(execution)["status"] == "FAILED"  # still broken
    assert bench.calls.total() == bad + 2
    bench.broken.unlink()
    answer = bench.redrive(execution)
    assert (answer["status"], json.loads(answer["output"])) == ("SUCCEEDED", list(range(items)))
    assert answer["redriveCount"] == 2
    calls = bench.calls
    figures(items=items, redrives=2, calls=calls.total(), calls_beyond_items_and_failures=calls.total() - items - 2)
    assert calls.pop(str(bad)) == 3  # failed twice, then not
    assert set(calls.values()) == {1}
    assert len(calls) == items - 1
    events = process.history(execution)
    assert [event["type"] for event in events].count("ExecutionRedriven") == 2
    assert refusal(process, execution) == "ExecutionNotRedrivable"  # it succeeded


def test_r05_nested(bench: Bench, figures: Callable[..., None]) -> None:
    """A Map in a Parallel in a Map: only the one item that failed is called again, once."""
    leaf = {"StartAt": "Work", "States": {"Work": bench.task()}}
    inner = {
        "StartAt": "In",
        "States": {"In": {"Type": "Map", "ItemsPath": "$.in", "ItemProcessor": leaf, "End": True}},
    }
    wait = {"StartAt": "W", "States": {"W": {"Type": "Pass", "Result": "w", "End": True}}}
    both = {"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "Branches": [inner, wait], "End": True}}}
    states = {"Out": {"Type": "Map", "MaxConcurrency": 1, "ItemProcessor": both, "End": True}}
    bench.broken.write_text("12")
    answer = bench.start("nested", states, [{"in": [n * 10 + i for i in range(4)]} for n in range(3)])
    assert answer["status"] == "FAILED"
    before = bench.calls
    bench.broken.unlink()
    done = [event for event in bench.process.history(answer["executionArn"]) if event["type"] == "TaskSucceeded"
            or event["type"] == "LambdaFunctionSucceeded"]  # fmt: skip
    answer = bench.redrive(answer["executionArn"])
    assert json.loads(answer["output"]) == [[[n * 10 + i for i in range(4)], "w"] for n in range(3)]
    bench.process.history(answer["executionArn"])
    after = bench.calls
    again = {item: count for item, count in (after - before).items() if before[item]}
    figures(nested_items=12, finished_before=len(done), called_again=len(again))
    assert set(again) <= {"10", "11", "12", "13"}  # at most the siblings that ran when it failed
    assert again["12"] == 1
    assert all(after[str(item)] == 1 for item in (0, 1, 2, 3))


def test_r05_a_running_execution_is_refused(bench: Bench) -> None:
    states = {"W": {"Type": "Wait", "Seconds": 600, "End": True}}
    arn = bench.process.machine("w", states)
    execution = bench.process.sfn.start_execution(stateMachineArn=arn)["executionArn"]
    assert refusal(bench.process, execution) == "ExecutionNotRedrivable"
