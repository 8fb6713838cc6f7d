"""The language by cases: tests/cases/asl/states.yaml, each under the title of the page of AWS's documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from millpond.testing import simulate

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[2] / "cases" / "asl" / "states.yaml").read_text()
)
NAMED = [pytest.param(case, id=f"{page}: {case['name']}") for page, cases in CASES.items() for case in cases]


@pytest.mark.parametrize("case", NAMED)
def test_case(case: dict[str, Any]) -> None:
    machine = case.get("machine")
    if machine is None:
        state = case["state"]
        ends = state["Type"] not in ("Fail", "Succeed")
        machine = {"StartAt": "A", "States": {"A": {**state, "End": True} if ends else state}}
    run = simulate(machine, case["input"])
    if "output" in case:
        assert (run.status, run.error, run.cause, run.output) == ("SUCCEEDED", None, None, case["output"])
    else:
        assert (run.status, run.error, run.cause) == ("FAILED", case["error"], case["cause"])
