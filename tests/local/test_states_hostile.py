"""Expressions that never end or explode, values that no store can keep: the state fails, the endpoint goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/flow"
BOMBS = {
    "endless": "($f := function() { $f() }; $f())",
    "doubling": "$reduce([1..200], function($a, $b) { $a & $a }, 'x')",
    "stack": "$length($formatInteger(10000000000, 'I'))",
}


@pytest.fixture(scope="module")
def states(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def start(states: Any, name: str, state: dict[str, Any], given: str = "{}") -> str:
    definition = {"StartAt": "Only", "States": {"Only": {"End": True, **state}}}
    machine = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    arn: str = states.start_execution(stateMachineArn=machine["stateMachineArn"], input=given)["executionArn"]
    return arn


def ended(states: Any, execution: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (seen := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    found: dict[str, Any] = seen
    return found


def test_bombs_fail_their_states_and_nothing_else(states: Any) -> None:
    calm = start(states, "calm", {"Type": "Wait", "Seconds": 1})
    started = {
        name: start(states, name, {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% " + bomb + " %}"})
        for name, bomb in BOMBS.items()
    }
    for execution in started.values():
        seen = ended(states, execution)
        assert (seen["status"], seen["error"]) == ("FAILED", "States.QueryEvaluationError")
        events = states.get_execution_history(executionArn=execution)["events"]
        assert [event["type"] for event in events[-2:]] == ["EvaluationFailed", "ExecutionFailed"]
    assert ended(states, calm)["status"] == "SUCCEEDED"


def test_a_bomb_in_a_trial(states: Any) -> None:
    state = {"Type": "Pass", "QueryLanguage": "JSONata", "Output": "{% " + BOMBS["doubling"] + " %}", "End": True}
    seen = states.test_state(definition=json.dumps(state), roleArn=ROLE, input="{}")
    assert (seen["status"], seen["error"]) == ("FAILED", "States.QueryEvaluationError")


@pytest.mark.parametrize(
    "given", ['{"n": 123456789012345678901234567890, "e": 1e300, "z": -0.0}', '{"s": "\\ud83d\\ude00 \\u0000 <&>"}']
)
def test_values_come_out_as_they_went_in(states: Any, given: str) -> None:
    parameters = {"text.$": "States.JsonToString($)", "value.$": "States.StringToJson(States.JsonToString($))"}
    seen = ended(states, start(states, f"same{len(given)}", {"Type": "Pass", "Parameters": parameters}, given))
    assert json.loads(seen["output"])["value"] == json.loads(given)


def test_half_a_character(states: Any) -> None:
    state = {"Type": "Pass", "Parameters": {"x.$": "States.StringToJson($.text)"}}
    seen = ended(states, start(states, "half", state, json.dumps({"text": '"\\ud83d"'})))
    assert json.loads(seen["output"]) == {"x": "\ufffd"}
