"""Findings in AWS's codes, words and places; recorded answers first, then one line a rule of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond.asl import check, references

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

LAMBDA = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
MAP = {"Type": "Map", "ItemProcessor": {"StartAt": "I", "States": {"I": PASS}}, "End": True}


def choice(*rules: dict[str, Any], language: str = "JSONPath") -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [*rules]}, "B": PASS}} | (
        {"QueryLanguage": language} if language != "JSONPath" else {}
    )


# AWS's own words: the names of the issues tell where a user was told them.
SAID_BY_AWS = {
    "cfn-lint 4073": (
        machine(A={"Type": "Pass", "Next": "C"}, B={"Type": "Pass", "Next": "C"}, C={"Type": "Succeed"}),
        ['MISSING_TRANSITION_TARGET: State "B" is not reachable. at /States/B'],
    ),
    "cfn-lint 4074": (
        {"StartAt": "X", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed"}}},
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /StartAt",
            'MISSING_TRANSITION_TARGET: State "A" is not reachable. at /States/A',
        ],
    ),
    "cfn-lint 4075": (
        machine(A={"Type": "Wait", "Seconds": 10_000_000_000_000_000, "End": True}),
        ["SCHEMA_VALIDATION_FAILED: Maximum value is 99999999 at /States/A/Seconds"],
    ),
    "cfn-lint 4076": (
        choice({"Variable": "Test", "StringMatches": "Test", "Next": "B"}),
        [
            "SCHEMA_VALIDATION_FAILED: Value is not a Reference Path: Reference path didn't start with '$' at "
            "/States/A/Choices[0]/Variable"
        ],
    ),
    "cfn-lint 4077": (
        choice({"Variable": "$", "StringMatches": "Test", "Next": "B"}, {"Variable": "$", "StringMatches": "Test"}),
        ["SCHEMA_VALIDATION_FAILED: These fields are required: [Next] at /States/A/Choices[1]"],
    ),
    "cfn-lint 4078": (
        machine(A=PASS | {"OutputPath": "Test"}),
        ["SCHEMA_VALIDATION_FAILED: Value must be a valid JSONPath. at /States/A/OutputPath"],
    ),
    "serverless-step-functions 188": (
        machine(A={"Type": "Wait", "Seconds": "$.seconds", "End": True}),
        ["SCHEMA_VALIDATION_FAILED: Expected value of type Integer at /States/A/Seconds"],
    ),
    "cdk-github-runners 434": (
        machine(A={"Type": "Choice"}),
        ["SCHEMA_VALIDATION_FAILED: These fields are required: [Choices] at /States/A"],
    ),
    "troposphere 1450": (
        {"Fn::Sub": "{}"},
        [
            "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /",
            "SCHEMA_VALIDATION_FAILED: Field 'Fn::Sub' is not supported at /",
        ],
    ),
    "aws-cdk 29968": (
        machine(A=LAMBDA | {"Parameters": {"FunctionName": "f", "static": {}}}),
        ['SCHEMA_VALIDATION_FAILED: The field "static" is not supported by Step Functions at /States/A/Parameters'],
    ),
    "floci 2735: no end": (
        machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "Next": "A"}, C={"Type": "Pass", "Next": "A"}),
        ["MISSING_END_STATE: Workflow has no terminal state at null"],
    ),
    "floci 2735: dangling": (
        machine(A={"Type": "Pass", "Next": "NOPE"}),
        [
            "MISSING_TRANSITION_TARGET: Missing 'Next' target: NOPE at /States/A/Next",
            "MISSING_END_STATE: Workflow has no terminal state at null",
        ],
    ),
    "floci 2735: field of another state": (
        machine(A=PASS | {"Catch": []}),
        ["SCHEMA_VALIDATION_FAILED: Field 'Catch' is not supported at /States/A"],
    ),
    "floci 2670": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"Output": {"v": "{% phone.number & phone.type %}"}}),
        [
            "UNSUPPORTED_JSONATA_EXPRESSION: Reference to 'phone' at the top level is not supported. at "
            "/States/A/Output/v"
        ],
    ),
    "floci 2745": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"Output": "{% $x[1,2) %}"}),
        ['INVALID_JSONATA_EXPRESSION: Expected "]", got "," at /States/A/Output'],
    ),
    "floci 2968: other language": (
        machine(
            A=MAP
            | {"QueryLanguage": "JSONata", "ItemProcessor": {"StartAt": "I", "States": {"I": PASS | {"Output": 1}}}}
        ),
        [
            "SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported "
            "for the 'JSONata' QueryLanguage at /States/A/ItemProcessor/States/I"
        ],
    ),
    "floci 2968: back to JSONPath": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"QueryLanguage": "JSONPath"}),
        [
            "SCHEMA_VALIDATION_FAILED: 'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state "
            "machine at /States/A"
        ],
    ),
    "floci 2968: processor": (
        machine(A=MAP | {"ItemProcessor": MAP["ItemProcessor"] | {"QueryLanguage": "JSONata"}}),
        ["SCHEMA_VALIDATION_FAILED: Field 'QueryLanguage' is not supported at /States/A/ItemProcessor"],
    ),
    "floci 3733: both": (
        machine(A=MAP | {"MaxConcurrency": 1, "MaxConcurrencyPath": "$.n"}),
        [
            "SCHEMA_VALIDATION_FAILED: There should only be one of the following fields: [MaxConcurrency, "
            "MaxConcurrencyPath] at /States/A"
        ],
    ),
    "range of the machine's own": (
        machine(A=PASS) | {"TimeoutSeconds": 0},
        ["SCHEMA_VALIDATION_FAILED: Minimum value is 1 at /TimeoutSeconds"],
    ),
    "floci 3733: range": (
        machine(A=MAP | {"MaxConcurrency": -1, "ToleratedFailurePercentage": 101}),
        [
            "SCHEMA_VALIDATION_FAILED: Minimum value is 0 at /States/A/MaxConcurrency",
            "SCHEMA_VALIDATION_FAILED: Maximum value is 100.0 at /States/A/ToleratedFailurePercentage",
        ],
    ),
}


def misfits(service: str, action: str, arguments: Any) -> list[str]:
    return [f'The field "{key}" is not supported by Step Functions' for key in arguments if key.islower()]


@pytest.mark.parametrize("name", SAID_BY_AWS)
def test_said_by_aws(name: str) -> None:
    document, said = SAID_BY_AWS[name]
    assert [check.describe(finding) for finding in check.check(document, misfits=misfits)] == said


# Rules of the Amazon States Language whose wording on AWS nobody has told us: the code and the place are what counts.
WRONG = {
    "no way on": (machine(A={"Type": "Pass"}), "SCHEMA_VALIDATION_FAILED", "/States/A"),
    "next and end": (machine(A=PASS | {"Next": "A"}), "SCHEMA_VALIDATION_FAILED", "/States/A"),
    "wait for nothing": (machine(A={"Type": "Wait", "End": True}), "SCHEMA_VALIDATION_FAILED", "/States/A"),
    "two ways to wait": (
        machine(A={"Type": "Wait", "Seconds": 1, "SecondsPath": "$.x", "End": True}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A",
    ),
    "error twice": (
        machine(A={"Type": "Fail", "Error": "E", "ErrorPath": "$.e"}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A",
    ),
    "a condition without delimiters": (
        machine(
            A={"Type": "Choice", "QueryLanguage": "JSONata", "Choices": [{"Condition": "$x > 1", "Next": "B"}]},
            B={"Type": "Succeed"},
        ),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Choices[0]/Condition",
    ),
    "not an arn": (machine(A=TASK | {"Resource": "glue"}), "SCHEMA_VALIDATION_FAILED", "/States/A/Resource"),
    "catch all not last": (
        machine(A=TASK | {"Retry": [{"ErrorEquals": ["States.ALL"]}, {"ErrorEquals": ["X"]}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Retry[0]/ErrorEquals",
    ),
    "unknown field of a retrier": (
        machine(A=TASK | {"Retry": [{"ErrorEquals": ["X"], "Attempts": 1}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Retry[0]",
    ),
    "catcher of the other language": (
        machine(A=TASK | {"Catch": [{"ErrorEquals": ["X"], "Next": "B", "Output": 1}]}, B=PASS),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Catch[0]",
    ),
    "retrier out of range": (
        machine(A=TASK | {"Retry": [{"ErrorEquals": ["X"], "BackoffRate": 0.5}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Retry[0]/BackoffRate",
    ),
    "next inside a test": (
        choice({"And": [{"Variable": "$.x", "IsNull": True, "Next": "B"}], "Next": "B"}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Choices[0]/And[0]",
    ),
    "operand of another type": (
        choice({"Not": {"Variable": "$.x", "NumericEquals": "1"}, "Next": "B"}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Choices[0]/Not/NumericEquals",
    ),
    "no condition": (
        choice({"Condition": "{% true %}", "Next": "B"}, {"Next": "B"}, language="JSONata"),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Choices[1]",
    ),
    "no reference path": (
        machine(A=PASS | {"ResultPath": "$.a[*]"}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/ResultPath",
    ),
    "bad template of a catcher": (
        machine(A=TASK | {"Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"x.$": "nope"}, "Next": "B"}]}, B=PASS),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Catch[0]/Assign",
    ),
    "bad template deep down": (
        machine(A=PASS | {"Parameters": {"x": [{"y.$": "nope"}]}}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Parameters/x[0]",
    ),
    "variable of an outer scope": (
        machine(
            A={"Type": "Pass", "Assign": {"x": 1}, "Next": "B"},
            B={
                "Type": "Parallel",
                "Branches": [{"StartAt": "C", "States": {"C": PASS | {"Assign": {"x.$": "$.a"}}}}],
                "End": True,
            },
        ),
        "SCHEMA_VALIDATION_FAILED",
        "/States/B/Branches[0]/States/C/Assign",
    ),
    "variable named states": (
        machine(A=PASS | {"Assign": {"states": 1}}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Assign",
    ),
    "label twice": (
        machine(
            A={
                "Type": "Parallel",
                "End": True,
                "Branches": [
                    machine(
                        A1=MAP
                        | {
                            "Label": "L",
                            "ItemProcessor": {
                                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                                "StartAt": "I1",
                                "States": {"I1": PASS},
                            },
                        }
                    )
                    | {"StartAt": "A1"},
                    machine(
                        A2=MAP
                        | {
                            "Label": "L",
                            "ItemProcessor": {
                                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                                "StartAt": "I2",
                                "States": {"I2": PASS},
                            },
                        }
                    )
                    | {"StartAt": "A2"},
                ],
            }
        ),
        "DUPLICATE_LABEL_NAME",
        "/States/A/Branches[1]/States/A2/Label",
    ),
    "long name": ({"StartAt": "x" * 81, "States": {"x" * 81: PASS}}, "INVALID_STATE_NAME", f"/States/{'x' * 81}"),
    "deep": (machine(A=PASS | {"Result": json.loads("[" * 400 + "]" * 400)}), "TOO_DEEPLY_NESTED", "/"),
    "delay of a leap year": (
        machine(A=TASK | {"Retry": [{"ErrorEquals": ["States.ALL"], "MaxDelaySeconds": 31_622_400}]}),
        "SCHEMA_VALIDATION_FAILED",
        "/States/A/Retry[0]/MaxDelaySeconds",
    ),
    "result of a state that does nothing": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"Output": {"a": ["{% $states.result.x %}"]}}),
        "UNSUPPORTED_JSONATA_EXPRESSION",
        "/States/A/Output/a[0]",
    ),
    "result before there is one": (
        {"QueryLanguage": "JSONata"} | machine(A=TASK | {"Arguments": {"JobName": "{% $states.result %}"}}),
        "UNSUPPORTED_JSONATA_EXPRESSION",
        "/States/A/Arguments/JobName",
    ),
    "expression that is not closed": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"Output": "{% $x "}),
        "INVALID_JSONATA_EXPRESSION",
        "/States/A/Output",
    ),
    "error output outside a catcher": (
        {"QueryLanguage": "JSONata"} | machine(A=PASS | {"Output": "{% $states.errorOutput %}"}),
        "UNSUPPORTED_JSONATA_EXPRESSION",
        "/States/A/Output",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_rule(name: str) -> None:
    document, code, place = WRONG[name]
    (found,) = check.check(document)
    assert (found.code, check.location(found)) == (code, place)


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": 1e400}', '{"a": 1, "a": 2}', "{", "[" * 100_000, '{"a": "\n"}'])
def test_what_is_no_json(text: str) -> None:
    (found,) = check.check(text)
    assert found.code in ("INVALID_JSON_DESCRIPTION", "TOO_DEEPLY_NESTED")


def test_jsonata_syntax() -> None:
    document = {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": PASS | {"Output": {"x": "{% ( %}"}}}}
    (found,) = check.check(document)
    assert found.location == "/States/A/Output/x" and found.code == "INVALID_JSONATA_EXPRESSION"


ALLOWED = (
    "$states.input.items[price > 5].name",
    '$states.input.{"a": b}',
    "$states.input.items^(>price)",
    "$map($states.input.items, function($v) { $v.name })",
    "$sort($x, λ($l, $r) { $l.a > $r.a })",
    "$states.input.items{name: $sum(price)}",
    "[1..5].($ * 2)",
    "$match($x, /ab[c]/i)",
    "$x or /ab/",
    "$states.input.and / 2 / $x",
    '"a" in $list and $states.input.and',
    "($f := function($a)<n:n> { $a + b }; $f(1))",
    "/* phone */ $states.input.`my name`",
)


@pytest.mark.parametrize("source", ALLOWED)
def test_references_below_the_top_level(source: str) -> None:
    assert references.unsupported(source) == []


@pytest.mark.parametrize("source", ["a", "$x + a", '{"k": a}', "[a]", "$sum(a.b)", "(a)", "a[b = 1]", "a and $x"])
def test_references_at_the_top_level(source: str) -> None:
    assert references.unsupported(source) == ["a"]


def test_nested_states_are_checked() -> None:
    inner = {"StartAt": "I", "States": {"I": {"Type": "Pass", "Next": "A"}}}
    document = machine(A={"Type": "Parallel", "Branches": [inner], "End": True})
    first, second = check.check(document)
    assert first.location == "/States/A/Branches[0]/States/I/Next" and second.code == "MISSING_END_STATE"


def test_same_name_twice() -> None:
    inner = {"StartAt": "A", "States": {"A": PASS}}
    (found,) = check.check(machine(A={"Type": "Map", "ItemProcessor": inner, "End": True}))
    assert found.code == "DUPLICATE_STATE_NAME"


@pytest.mark.parametrize(
    ("state", "code", "place"),
    [
        (PASS | {"Result": {"a.$": "$.b"}}, "PASS_RESULT_IS_STATIC", "/States/A/Result/a.$"),
        (PASS | {"Parameters": {"a": "$.b"}}, "NO_DOLLAR", "/States/A/Parameters/a"),
        (PASS | {"Parameters": {"a": ["States.UUID()"]}}, "NO_DOLLAR", "/States/A/Parameters/a[0]"),
        ({"Type": "Fail", "Cause": "$.b"}, "NO_PATH", "/States/A/Cause"),
    ],
)
def test_warnings(state: dict[str, Any], code: str, place: str) -> None:
    (found,) = check.check(machine(A=state))
    assert (found.code, found.severity, found.location) == (code, "WARNING", place)


def test_unknown_sdk_action() -> None:
    document = machine(A=TASK | {"Resource": "arn:aws:states:::aws-sdk:glue:dance"})
    assert not check.check(document)
    (found,) = check.check(document, knows=lambda service, action: action != "dance")
    assert "is not recognized" in found.message
