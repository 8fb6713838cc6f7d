"""The Step Functions API against executions recorded from AWS (../shared/cases/asl): create, start, describe, history.

The engine's own test compares every event; this one goes the way of a client and compares what a client sees.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "asl"
KNOWN = json.loads((Path(__file__).parents[1] / "cases" / "asl_known_differences.json").read_text())
ROLE = "arn:aws:iam::000000000000:role/flow"
EXECUTED = ("base", "jsonata", "assign_variables", "intrinsic_functions", "map_parallel_scenarios", "error_handling")
WILD = {"date", "datetime", "start-time", "entered-time", "timestamp", "json-input", "RandomNumberGenerated"}


def load(*names: str) -> list[dict[str, Any]]:
    if not CASES.is_dir():
        return []
    texts = [(CASES / f"{name}.json").read_text().replace("1" * 12, "0" * 12) for name in names]
    return [case for text in texts for case in json.loads(text)]


STANDARD = [case for case in load(*EXECUTED) if not case.get("slow")]
CHOICES = load("choice_operators")
EXPRESS = load("express")
ABSENT = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent: no recorded execution was compared")


def same(expected: Any, actual: Any) -> bool:
    """Equal, but for masks; strings that hold JSON are compared as JSON."""
    if isinstance(expected, str):
        if expected in WILD or expected.endswith("_role_arn"):
            return True
        if isinstance(actual, str) and "<" in expected:
            parts = [re.escape(part) for part in re.split(r"<[^<>]*>", expected)]
            return re.fullmatch(".*".join(parts), actual, re.DOTALL) is not None
    if isinstance(actual, str) and actual != expected:
        try:
            actual = json.loads(actual)
            expected = json.loads(expected) if isinstance(expected, str) else expected
        except ValueError:
            return False
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(same(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return bool(expected == actual)


def execute(client: Any, case: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    name = re.sub(r"\W", "-", case["name"])
    machine = client.create_state_machine(
        name=name, definition=json.dumps(case["definition"]), roleArn=ROLE, type=case["type"]
    )["stateMachineArn"]
    text = json.dumps(case["input"])
    if case["type"] == "EXPRESS":
        return client.start_sync_execution(stateMachineArn=machine, input=text), []
    execution = client.start_execution(stateMachineArn=machine, input=text)["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := client.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.01)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    return seen, [event["type"] for page in pages for event in page["events"]]


def compare(client: Any, case: dict[str, Any]) -> None:
    if case["name"] in KNOWN:
        pytest.skip(f"known difference: {KNOWN[case['name']]}")
    seen, types = execute(client, case)
    for member in ("status", "output", "error", "cause"):
        assert same(case[f"expected_{member}"], seen.get(member)), (member, seen)
    if case.get("expected_history_event_types") and "expected_history" in case:
        # Recordings of concurrent branches left out some of a Parallel's own events.
        recorded = [kind for kind in case["expected_history_event_types"] if not kind.startswith("ParallelState")]
        assert Counter(kind for kind in types if not kind.startswith("ParallelState")) == Counter(recorded)


@ABSENT
@pytest.mark.parametrize("case", STANDARD, ids=lambda case: case["name"])
def test_standard(case: dict[str, Any], aws: Callable[[str], Any]) -> None:
    compare(aws("stepfunctions"), case)


@ABSENT
@pytest.mark.parametrize("case", CHOICES[::10], ids=lambda case: case["name"])
def test_choice(case: dict[str, Any], aws: Callable[[str], Any]) -> None:
    compare(aws("stepfunctions"), case)


@ABSENT
@pytest.mark.parametrize("case", EXPRESS, ids=lambda case: case["name"])
def test_express(case: dict[str, Any], aws: Callable[[str], Any]) -> None:
    compare(aws("stepfunctions"), case)


@ABSENT
def test_refused_definitions(aws: Callable[[str], Any]) -> None:
    client, compared = aws("stepfunctions"), 0
    for case in load("validation_errors"):
        if case.get("operation") != "create_state_machine" or "dynamodb:query" in str(case):
            continue
        request = {key: value for key, value in case["request"].items() if value is not None}
        with pytest.raises(client.exceptions.ClientError) as caught:
            client.create_state_machine(**request)
        expected = case["expected_exception"]
        if isinstance(expected, dict):
            assert caught.value.response["Error"]["Code"] == expected["Code"], case["name"]
            assert caught.value.response["Error"]["Message"] == expected["Message"], case["name"]
        else:
            assert expected.endswith(caught.value.response["Error"]["Message"]), case["name"]
        compared += 1
    assert compared > 90
