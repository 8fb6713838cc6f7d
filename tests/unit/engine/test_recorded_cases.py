"""The engine against executions recorded from AWS (../shared/cases/asl): status, output, error, cause, history.

Masked values are wildcards; strings that hold JSON are compared as JSON; events of concurrent branches as multisets.
Known differences stand, with reasons, in tests/cases/asl_known_differences.json, and must still differ.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from millpond.asl import from_json
from millpond.testing import simulate

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "asl"
KNOWN = json.loads((Path(__file__).parents[2] / "cases" / "asl_known_differences.json").read_text())
SETS = (
    "base",
    "jsonata",
    "assign_variables",
    "choice_operators",
    "intrinsic_functions",
    "map_parallel_scenarios",
    "error_handling",
    "express",
    "api",
)
WILD = frozenset({"timestamp", "date", "datetime", "json-input", "start-time", "entered-time", "RandomNumberGenerated"})
ROLES = frozenset({"snf_role_arn", "sfn_role_arn"})


def load() -> list[dict]:
    if not CASES.is_dir():
        return []
    return [case for name in SETS for case in json.loads((CASES / f"{name}.json").read_text())]


ALL = load()
if not ALL:
    pytest.skip(f"{CASES} is absent: no recorded executions were run", allow_module_level=True)


def same(expected, actual) -> bool:
    """Equal, but for masks, and JSON in strings."""
    if isinstance(expected, str) and (expected in WILD or expected in ROLES):
        return True
    if isinstance(expected, str) and isinstance(actual, str) and re.search(r"<[^<>]+>", expected):
        pattern = ".*".join(re.escape(part) for part in re.split(r"<[^<>]+>", expected))
        return re.fullmatch(pattern, actual, re.DOTALL) is not None
    if isinstance(actual, str) and actual != expected:
        try:
            actual = json.loads(actual)
        except ValueError:
            return False
        if isinstance(expected, str):
            try:
                return same(json.loads(expected), actual)
            except ValueError:
                return False
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(same(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(same(*pair) for pair in zip(expected, actual, strict=True))
    return expected == actual and isinstance(expected, bool) == isinstance(actual, bool)


def is_free(event: dict) -> bool:
    """Events of concurrent branches were recorded without their numbers."""
    return event["id"] == [0]


def same_event(expected: dict, actual: dict) -> bool:
    expected, actual = dict(expected), dict(actual)
    if is_free(expected):
        for event in (expected, actual):
            event.pop("id"), event.pop("previousEventId")
    expected.pop("timestamp"), actual.pop("timestamp")
    return same(expected, actual)


def difference(case: dict) -> str | None:
    """What differs from the recording, None when nothing does."""
    run = simulate(from_json(case["definition"]), case["input"], express=case["type"] == "EXPRESS")
    for name in ("status", "output", "error", "cause"):
        actual = getattr(run, name)
        if name == "output" and actual is not None:
            actual = json.dumps(actual)
        if not same(case[f"expected_{name}"], actual):
            return f"{name}: expected {case[f'expected_{name}']!r}, got {actual!r} {run.error} {run.cause}"
    types = case.get("expected_history_event_types")
    recorded = case.get("expected_history")
    if recorded is None:
        actual_types = [event["type"] for event in run.history]
        return None if types is None or types == actual_types else f"types: expected {types}, got {actual_types}"
    return history_difference(recorded, run.history)


def history_difference(recorded: list[dict], history: list[dict]) -> str | None:
    fixed = {event["id"]: event for event in recorded if not is_free(event)}
    free = [event for event in recorded if is_free(event)]
    rest = []
    for event in history:
        if event["id"] not in fixed or (free and not same_event(fixed[event["id"]], event)):
            rest.append(event)
        elif not same_event(fixed.pop(event["id"]), event):
            return f"event {event['id']}: got {event}"
        else:
            fixed.pop(event["id"], None)
    if fixed:
        return f"missing events: {list(fixed.values())[:2]}"
    for event in free:
        match = next((other for other in rest if same_event(event, other)), None)
        if match is None:
            return f"missing free event: {event}"
        rest.remove(match)
    # Recordings of concurrent branches left out a Parallel's own events.
    if [event for event in rest if not free or not event["type"].startswith("ParallelState")]:
        return f"surplus events: {rest[:2]}"
    return None


@pytest.mark.parametrize("case", ALL, ids=[case["name"] for case in ALL])
def test_recorded(case: dict) -> None:
    found = difference(case)
    if case["name"] in KNOWN:
        assert found is not None, f"{case['name']} now agrees with AWS: take it off the list"
        pytest.xfail(KNOWN[case["name"]])
    assert found is None, found


def test_the_list_of_known_differences_is_short() -> None:
    assert len(KNOWN) <= len(ALL) // 100
