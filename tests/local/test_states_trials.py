"""TestState against the requests and answers recorded from AWS (../shared/cases/asl), and what no recording shows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

CASES = Path(__file__).parents[2].parent / "shared" / "cases" / "asl"
ABSENT = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is absent: no recorded TestState was compared")
ROLE = "arn:aws:iam::000000000000:role/flow"
WILD = {"date"}


def load(name: str) -> list[dict[str, Any]]:
    if not CASES.is_dir():
        return []
    return json.loads((CASES / f"{name}.json").read_text().replace("1" * 12, "0" * 12))


RUN = load("test_state")
REFUSED = [case for case in load("validation_errors") if case.get("operation") == "test_state"]


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def value(text: Any) -> Any:
    """JSON text as a value; all else as it is."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, str) and isinstance(actual, str):
        if expected in WILD:
            return True
        parts = [re.escape(part) for part in re.split(r"<[^<>]*>", expected)]
        return re.fullmatch(".*".join(parts), actual, re.DOTALL) is not None
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(same(expected[key], actual[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return bool(expected == actual)


def parsed(found: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {key: value(text) for key, text in found.items()}


@ABSENT
@pytest.mark.parametrize("case", RUN, ids=lambda case: case["name"])
def test_recorded(case: dict[str, Any], sfn: Any) -> None:
    seen = sfn.test_state(**case["request"])
    assert seen["status"] == case["expected_status"]
    assert same(value(case["expected_output"]), value(seen.get("output"))), seen
    assert (seen.get("error"), seen.get("cause")) == (case["expected_error"], case["expected_cause"])
    assert seen.get("nextState") == case["expected_next_state"]
    assert same(parsed(case["expected_inspection_data"]), parsed(seen.get("inspectionData"))), seen


@ABSENT
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["name"])
def test_refused(case: dict[str, Any], sfn: Any) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.test_state(**case["request"])
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        case["expected_exception"]["Code"],
        case["expected_exception"]["Message"],
    )


TASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "f"},
    "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 3, "BackoffRate": 2, "MaxAttempts": 2}],
    "Catch": [
        {"ErrorEquals": ["Other"], "Next": "Elsewhere"},
        {"ErrorEquals": ["States.ALL"], "ResultPath": "$.why", "Next": "Repair"},
    ],
    "Next": "Done",
}


def busy(sfn: Any, state: dict[str, Any], retries: int) -> dict[str, Any]:
    return sfn.test_state(
        definition=json.dumps(state),
        input='{"a":1}',
        inspectionLevel="DEBUG",
        mock={"errorOutput": {"error": "Busy", "cause": "full"}},
        stateConfiguration={"retrierRetryCount": retries},
    )


def test_a_retrier_is_reported(sfn: Any) -> None:
    seen = busy(sfn, TASK, 1)
    assert (seen["status"], seen["error"], seen["cause"]) == ("RETRIABLE", "Busy", "full")
    assert seen["inspectionData"]["errorDetails"] == {"retryIndex": 0, "retryBackoffIntervalSeconds": 6}
    assert "output" not in seen and "nextState" not in seen


def test_a_catcher_is_taken_when_retries_are_used_up(sfn: Any) -> None:
    seen = busy(sfn, TASK, 2)
    assert (seen["status"], seen["nextState"]) == ("CAUGHT_ERROR", "Repair")
    assert json.loads(seen["output"]) == {"a": 1, "why": {"Error": "Busy", "Cause": "full"}}
    assert seen["inspectionData"]["errorDetails"] == {"catchIndex": 1}


def test_variables_are_seen_and_shown(sfn: Any) -> None:
    state = {
        "Type": "Pass",
        "QueryLanguage": "JSONata",
        "Output": "{% $day + 1 %}",
        "Assign": {"next": "{% $day + 1 %}"},
        "End": True,
    }
    seen = sfn.test_state(definition=json.dumps(state), variables='{"day": 7}', inspectionLevel="TRACE")
    assert seen["output"] == "8"
    assert json.loads(seen["inspectionData"]["variables"]) == {"day": 7, "next": 8}


def test_a_failing_expression_says_where(sfn: Any) -> None:
    state = {"Type": "Pass", "InputPath": "$.missing", "End": True}
    seen = sfn.test_state(definition=json.dumps(state), input="{}", inspectionLevel="DEBUG")
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Runtime")
    assert "$.missing" in seen["cause"]
    assert seen["inspectionData"] == {"input": "{}"}


def test_without_a_mock_the_call_is_made(sfn: Any, aws: Callable[[str], Any]) -> None:
    topic = aws("sns").create_topic(Name="probed")["TopicArn"]
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:sns:getTopicAttributes",
        "Parameters": {"TopicArn.$": "$"},
        "OutputPath": "$.Attributes.TopicArn",
        "End": True,
    }
    seen = sfn.test_state(definition=json.dumps(state), input=json.dumps(topic), roleArn=ROLE)
    assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", topic)
    seen = sfn.test_state(definition=json.dumps(state), input=json.dumps(topic + "x"), roleArn=ROLE)
    assert (seen["status"], seen["error"]) == ("FAILED", "Sns.NotFoundException")


@pytest.mark.parametrize(
    ("code", "request_"),
    [
        ("InvalidDefinition", {"definition": "no json"}),
        ("InvalidDefinition", {"definition": "[]"}),
        ("InvalidDefinition", {"definition": '{"Type":"Pass"}'}),
        ("InvalidDefinition", {"definition": '{"Type":"Choice","Choices":7,"Catch":{}}'}),
        ("InvalidExecutionInput", {"definition": '{"Type":"Succeed"}', "input": "{"}),
        ("ValidationException", {"definition": '{"Type":"Succeed"}', "variables": "[]"}),
        ("ValidationException", {"definition": '{"Type":"Succeed"}', "context": "{}"}),
        ("ValidationException", {"definition": '{"Type":"Succeed"}', "mock": {"result": "1"}}),
        ("ValidationException", {"definition": '{"Type":"Succeed"}', "mock": {}}),
        (
            "ValidationException",
            {"definition": '{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}', "stateName": "B"},
        ),
        (
            "ValidationException",
            {
                "definition": '{"Type":"Task","Resource":"arn:aws:states:::glue:startJobRun.sync","End":true}',
                "roleArn": ROLE,
            },
        ),
    ],
)
def test_bad_input(sfn: Any, code: str, request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.test_state(**request_)
    assert caught.value.response["Error"]["Code"] == code
