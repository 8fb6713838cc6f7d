"""Findings in AWS's codes, words and places; recorded answers first, then one line a rule of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond.asl import check

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "asl"
RECORDED = json.loads((CASES / "validation_errors.json").read_text()) if CASES.is_dir() else []
CREATED = [case for case in RECORDED if case.get("operation") != "test_state"]


def text_of(case: dict[str, Any]) -> str:
    definition = (case.get("request") or {}).get("definition") or case["definition"]
    return definition if isinstance(definition, str) else json.dumps(definition)


@pytest.mark.skipif(not RECORDED, reason=f"{CASES} is absent: no recorded validation was compared")
@pytest.mark.parametrize("case", CREATED, ids=lambda case: case["name"])
def test_recorded(case: dict[str, Any]) -> None:
    definition = text_of(case)
    kind = (case.get("request") or {}).get("type") or case.get("type") or "STANDARD"
    found = check.check(definition, kind)
    if "expected_diagnostics" in case:
        shown = [
            {"code": f.code, "message": f.message, "severity": f.severity}
            | ({"location": check.location(f)} if check.location(f) else {})
            for f in found
        ]
        assert shown == case["expected_diagnostics"]
        return
    expected = case["expected_exception"]
    message = expected["Message"] if isinstance(expected, dict) else expected
    if "Version description" in message:
        assert not found  # the definition is fine: the operation refuses
    elif "Args=" in message:
        assert message == f"Error=ValueError Args={[found[0].message]!r} in definition '{definition}'."
    else:
        said = ", ".join(check.describe(finding) for finding in found).replace("arn:aws:", "arn:<partition>:")
        assert f"'{said}'" in message


def machine(**states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "A", "States": states}


PASS = {"Type": "Pass", "End": True}
TASK = {"Type": "Task", "Resource": "arn:aws:states:::glue:startJobRun", "End": True}

WRONG = {
    "missing next": (
        machine(A={"Type": "Pass", "Next": "B"}),
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next",
    ),
    "missing start": (
        {"StartAt": "X", "States": {"A": PASS}},
        "MISSING_TRANSITION_TARGET: Missing 'StartAt' target: X at /StartAt",
    ),
    "unreachable": (
        machine(A=PASS, B=PASS),
        'MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B',
    ),
    "unknown field": (
        machine(A=PASS | {"Foo": 1}),
        "SCHEMA_VALIDATION_FAILED: Field is not supported at /States/A/Foo",
    ),
    "not an arn": (
        machine(A=TASK | {"Resource": "glue"}),
        "SCHEMA_VALIDATION_FAILED: Value is not a valid resource ARN at /States/A/Resource",
    ),
    "jsonata field in jsonpath": (
        machine(A=PASS | {"Output": 1}),
        "SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for "
        "the 'JSONata' QueryLanguage at /States/A/Output",
    ),
    "catch all not last": (
        machine(A=TASK | {"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]}),
        "SCHEMA_VALIDATION_FAILED: States.ALL must appear in the last entry of Retry at /States/A/Retry[0]/ErrorEquals",
    ),
    "bad path": (
        machine(A=PASS | {"InputPath": "a.b"}),
        "SCHEMA_VALIDATION_FAILED: The value for the field 'InputPath' must be a valid JSONPath at /States/A/InputPath",
    ),
    "bad template deep down": (
        machine(A=PASS | {"Parameters": {"x": [{"y.$": "nope"}]}}),
        "SCHEMA_VALIDATION_FAILED: The value for the field 'y.$' must be a valid JSONPath or a valid intrinsic "
        "function call at /States/A/Parameters/x[0]",
    ),
    "negative concurrency": (
        machine(
            A={
                "Type": "Map",
                "MaxConcurrency": -1,
                "ItemProcessor": {"StartAt": "I", "States": {"I": PASS}},
                "End": True,
            }
        ),
        "SCHEMA_VALIDATION_FAILED: The field 'MaxConcurrency' must not be negative at /States/A/MaxConcurrency",
    ),
    "variable named states": (
        machine(A=PASS | {"Assign": {"states": 1}}),
        "SCHEMA_VALIDATION_FAILED: 'states' is not a valid variable name at /States/A/Assign",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_rule(name: str) -> None:
    document, said = WRONG[name]
    assert [check.describe(finding) for finding in check.check(document)] == [said]


def test_jsonata_syntax() -> None:
    document = {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": PASS | {"Output": {"x": "{% ( %}"}}}}
    (found,) = check.check(document)
    assert found.location == "/States/A/Output/x" and found.code == "SCHEMA_VALIDATION_FAILED"


def test_jsonpath_state_in_a_jsonata_machine() -> None:
    document = {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": PASS | {"QueryLanguage": "JSONPath"}}}
    (found,) = check.check(document)
    assert found.location == "/States/A/QueryLanguage"


def test_nested_states_are_checked() -> None:
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "A"}}}
    document = machine(A={"Type": "Parallel", "Branches": [inner], "End": True})
    (found,) = check.check(document)
    assert found.location == "/States/A/Branches[0]/States/I/Next"


def test_same_name_twice() -> None:
    inner = {"StartAt": "A", "States": {"A": PASS}}
    (found,) = check.check(machine(A={"Type": "Map", "ItemProcessor": inner, "End": True}))
    assert found.code == "DUPLICATE_STATE_NAME"


def test_static_result_is_a_warning() -> None:
    (found,) = check.check(machine(A=PASS | {"Result": {"a.$": "$.b"}}))
    assert (found.code, found.severity) == ("PASS_RESULT_IS_STATIC", "WARNING")


def test_unknown_sdk_action() -> None:
    document = machine(A=TASK | {"Resource": "arn:aws:states:::aws-sdk:glue:dance"})
    assert not check.check(document)
    (found,) = check.check(document, knows=lambda service, action: action != "dance")
    assert "is not recognized" in found.message
