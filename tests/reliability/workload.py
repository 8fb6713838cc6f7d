"""A bit of everything at work at once: what the tests that disturb the endpoint run, and what must come of it."""

from __future__ import annotations

import json
from typing import Any

from soundness import Process, check_store

SOURCE = """
import time

def handler(event, context):
    time.sleep(0.05)
    if event.get("bad"):
        raise ValueError("bad")
    return event["n"] * 2
"""
CALL = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "work", "Payload": {"n.$": "$"}},
    "OutputPath": "$.Payload",
    "End": True,
}


def one(state: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "One", "States": {"One": state}}


def over(items: int, concurrency: int, processor: dict[str, Any]) -> tuple[dict[str, Any], Any, Any]:
    """(states, input, output) of a Map whose items are doubled."""
    each = {"Type": "Map", "MaxConcurrency": concurrency, "ItemProcessor": processor, "End": True}
    return {"Each": each}, list(range(items)), [2 * item for item in range(items)]


def distributed(kind: str) -> dict[str, Any]:
    return one(CALL) | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}}


class Everything:
    """Starts the executions; `check` waits for them and raises AssertionError where anything was lost or changed."""

    def __init__(self, process: Process, copies: int) -> None:
        self.process, self.copies = process, copies
        process.function("work", SOURCE)
        waits = {"Wait": {"Type": "Wait", "Seconds": 1, "Next": "Call"}, "Call": CALL}
        self.child = process.machine("child", waits)
        self.expected = {arn: output for name, machine in self._machines().items() for arn, output in self._start(
            name, *machine)}  # fmt: skip

    def _machines(self) -> dict[str, tuple[dict[str, Any], Any, Any]]:
        nested = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.sync:2",
            "Parameters": {"StateMachineArn": self.child, "Input.$": "$"},
            "OutputPath": "$.Output",
            "End": True,
        }
        retry = [{"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "MaxAttempts": 2}]
        failing = {
            "Type": "Task",
            "Resource": "arn:aws:lambda:us-east-1:000000000000:function:work",
            "Parameters": {"bad": True},
            "Retry": retry,
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
            "End": True,
        }
        late = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 2, "Next": "Call"}, "Call": CALL}}
        both = {"Type": "Parallel", "Branches": [one(CALL), late], "End": True}
        return {
            "inline": over(30, 5, one(CALL)),
            "nested": over(8, 4, one(nested)),
            "children": over(30, 6, distributed("STANDARD")),
            "express-children": over(30, 6, distributed("EXPRESS")),
            "retried": ({"Try": failing, "Caught": {"Type": "Pass", "Result": "c", "End": True}}, {}, "c"),
            "parallel": ({"Both": both}, 7, [14, 14]),
        }

    def _start(self, name: str, states: dict[str, Any], value: Any, output: Any) -> list[tuple[str, Any]]:
        machine, sfn = self.process.machine(name, states), self.process.sfn
        starts = [
            sfn.start_execution(stateMachineArn=machine, name=f"{name}-{n}", input=json.dumps(value))["executionArn"]
            for n in range(self.copies)
        ]
        return [(arn, output) for arn in starts]

    def check(self) -> int:
        """How many executions ended as they should: all of them. The endpoint is killed at the end."""
        for arn, output in self.expected.items():
            answer = self.process.ended(arn)
            assert answer["status"] == "SUCCEEDED", answer
            assert json.loads(answer["output"]) == output
            self.process.history(arn)
        children = self.process.sfn.list_executions(stateMachineArn=self.child, maxResults=1000)["executions"]
        assert len(children) == 8 * self.copies, "a nested execution was started twice, or not at all"
        self.process.kill()
        check_store(self.process.data / "endpoint.db")
        return len(self.expected)
