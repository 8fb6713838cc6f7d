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
        ("InvalidDefinition", {"definition": '{"Type":"Succeed","Comment":"a","Comment":"b"}'}),
        ("InvalidDefinition", {"definition": '{"Type":"Pass","End":true,"Result":1e999}'}),
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


# What follows is AWS's Developer Guide, "Testing state machines with TestState API", example by example.

ITEM = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
EACH = {
    "Type": "Map",
    "ItemsPath": "$.items",
    "ItemSelector": {"value.$": "$$.Map.Item.Value", "index.$": "$$.Map.Item.Index"},
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": "ProcessItem",
        "States": {"ProcessItem": ITEM},
    },
    "End": True,
}


def inspected(sfn: Any, state: dict[str, Any], given: Any, result: Any = (), **more: Any) -> dict[str, Any]:
    seen = sfn.test_state(
        definition=json.dumps(state),
        input=json.dumps(given),
        mock={"result": json.dumps(list(result))},
        inspectionLevel="DEBUG",
        **more,
    )
    return {"status": seen["status"], "error": seen.get("error"), **(parsed(seen["inspectionData"]) or {})}


def test_a_map_shows_its_items(sfn: Any) -> None:
    seen = inspected(sfn, EACH, {"items": [1, 2]}, [10, 20])
    assert seen == {
        "status": "SUCCEEDED",
        "error": None,
        "input": {"items": [1, 2]},
        "afterItemsPath": [1, 2],
        "afterItemSelector": [{"value": 1, "index": 0}, {"value": 2, "index": 1}],
        "afterResultSelector": [10, 20],
        "afterResultPath": [10, 20],
        "maxConcurrency": 0,
    }


DISTRIBUTED = {
    "Type": "Map",
    "QueryLanguage": "JSONata",
    "ItemReader": {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": {"InputType": "JSON", "ItemsPointer": "/orders", "MaxItems": 3},
        "Arguments": {"Bucket": "b", "Key": "k"},
    },
    "ItemSelector": {"order": "{% $states.context.Map.Item.Value.id %}"},
    "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"day": "{% $states.input.day %}"}},
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "ProcessItem",
        "States": {"ProcessItem": {"Type": "Pass", "End": True}},
    },
    "ToleratedFailureCount": 1,
    "Next": "Done",
    "Catch": [{"ErrorEquals": ["States.ExceedToleratedFailureThreshold"], "Next": "Repair"}],
}


def test_a_distributed_map_shows_what_its_reader_would_find(sfn: Any) -> None:
    data = json.dumps({"orders": [{"id": n} for n in range(5)]})
    seen = inspected(sfn, DISTRIBUTED, {"day": 7}, stateConfiguration={"mapItemReaderData": data})
    assert [item["id"] for item in seen["afterItemsPointer"]] == [0, 1, 2, 3, 4]
    assert seen["afterItemSelector"] == [{"order": 0}, {"order": 1}, {"order": 2}]
    assert seen["afterItemBatcher"] == [
        {"BatchInput": {"day": 7}, "Items": [{"order": 0}, {"order": 1}]},
        {"BatchInput": {"day": 7}, "Items": [{"order": 2}]},
    ]
    assert seen["toleratedFailureCount"] == 1


@pytest.mark.parametrize(("kind", "data"), [("CSV", "id,at\n1,x\n2,y\n"), ("JSONL", '{"id":"1"}\n{"id":"2"}\n')])
def test_a_reader_reads_its_format(sfn: Any, kind: str, data: str) -> None:
    state = {**DISTRIBUTED, "ItemReader": {**DISTRIBUTED["ItemReader"], "ReaderConfig": {"InputType": kind}}}
    if kind == "CSV":
        state["ItemReader"]["ReaderConfig"]["CSVHeaderLocation"] = "FIRST_ROW"
    seen = inspected(sfn, state, {"day": 7}, stateConfiguration={"mapItemReaderData": data})
    assert seen["afterItemSelector"] == [{"order": "1"}, {"order": "2"}]


@pytest.mark.parametrize(("failures", "status"), [(0, "SUCCEEDED"), (1, "SUCCEEDED"), (2, "CAUGHT_ERROR")])
def test_failures_are_held_against_the_threshold(sfn: Any, failures: int, status: str) -> None:
    configured = {"mapItemReaderData": '{"orders": [1, 2, 3]}', "mapIterationFailureCount": failures}
    state = {key: value for key, value in DISTRIBUTED.items() if key != "ItemSelector"}
    seen = inspected(sfn, state, {"day": 7}, stateConfiguration=configured)
    assert seen["status"] == status


DISTRIBUTED_STANDARD = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}


def test_more_failures_than_items_are_refused(sfn: Any) -> None:
    with pytest.raises(ClientError, match="number of items"):
        inspected(
            sfn,
            {**EACH, "ItemProcessor": {**EACH["ItemProcessor"], **DISTRIBUTED_STANDARD}},
            {"items": [1]},
            stateConfiguration={"mapIterationFailureCount": 2},
        )


def test_items_that_are_none_fail_the_state(sfn: Any) -> None:
    seen = inspected(sfn, EACH, {"items": 7})
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Runtime")


NESTED = {
    "StartAt": "Each",
    "States": {
        "Each": {
            **EACH,
            "ItemProcessor": {
                "StartAt": "Fork",
                "States": {
                    "Fork": {
                        "Type": "Parallel",
                        "Branches": [{"StartAt": "Leaf", "States": {"Leaf": ITEM}}],
                        "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 5}],
                        "Catch": [{"ErrorEquals": ["Odd"], "Next": "After", "ResultPath": "$.why"}],
                        "End": True,
                    },
                    "After": {
                        "Type": "Pass",
                        "Parameters": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value"},
                        "End": True,
                    },
                },
            },
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Last"}],
        },
        "Last": {"Type": "Succeed"},
    },
}


def test_a_nested_state_is_found_and_sees_an_item(sfn: Any) -> None:
    seen = sfn.test_state(definition=json.dumps(NESTED), stateName="After", input='{"a":1}')
    assert json.loads(seen["output"]) == {"i": 0, "v": {"a": 1}}


@pytest.mark.parametrize(
    ("error", "status", "following"),
    [("Busy", "RETRIABLE", None), ("Odd", "CAUGHT_ERROR", "After"), ("Other", "CAUGHT_ERROR", "Last")],
)
def test_errors_go_to_the_parents(sfn: Any, error: str, status: str, following: str | None) -> None:
    seen = sfn.test_state(
        definition=json.dumps(NESTED),
        stateName="Leaf",
        input='{"a":1}',
        mock={"errorOutput": {"error": error, "cause": "c"}},
        inspectionLevel="DEBUG",
    )
    assert (seen["status"], seen.get("nextState"), seen["error"]) == (status, following, error)
    index = {"retryIndex": 0, "retryBackoffIntervalSeconds": 5} if status == "RETRIABLE" else {"catchIndex": 0}
    assert seen["inspectionData"]["errorDetails"] == index


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"ExecutionArn": "e", "StartDate": "d"}, "Field 'StateMachineArn' is required"),
        (
            {"ExecutionArn": "e", "StateMachineArn": "m", "StartDate": "d", "Status": "DONE"},
            "'Status' is not an expected",
        ),
        (
            {"ExecutionArn": "e", "StateMachineArn": "m", "StartDate": "d", "Status": "FAILED", "Output": {"any": 1}},
            None,
        ),
    ],
)
def test_sync_mocks_look_like_the_polled_answer(sfn: Any, result: dict[str, Any], message: str | None) -> None:
    state = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True}
    request = {"definition": json.dumps(state), "mock": {"result": json.dumps(result)}}
    if message is None:
        assert sfn.test_state(**request)["status"] == "SUCCEEDED"
    else:
        with pytest.raises(ClientError, match=message):
            sfn.test_state(**request)


def test_a_task_token_is_made_up(sfn: Any) -> None:
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "f", "Payload": {"token.$": "$$.Task.Token"}},
        "End": True,
    }
    seen = sfn.test_state(definition=json.dumps(state), mock={"result": '{"approved":true}'}, inspectionLevel="TRACE")
    assert (seen["status"], seen["output"]) == ("SUCCEEDED", '{"approved":true}')
    assert json.loads(seen["inspectionData"]["afterParameters"])["Payload"]["token"]


def test_a_role_must_be_one(sfn: Any) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.test_state(definition='{"Type":"Succeed"}', roleArn="me")
    assert caught.value.response["Error"] == {"Code": "InvalidArn", "Message": "Invalid Role Arn: 'me'"}


@pytest.mark.parametrize(
    ("definition", "place"),
    [('{"Type":"Task","End":true}', "at /'"), ('{"Type":"Pass","Parameters":7,"End":1}', "at /End'")],
)
def test_places_are_those_of_the_state(sfn: Any, definition: str, place: str) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.test_state(definition=definition)
    assert caught.value.response["Error"]["Message"].endswith(place)


def test_the_http_exchange_is_shown(sfn: Any, aws: Callable[[str], Any]) -> None:
    events = aws("events")
    url = events.meta.endpoint_url  # it answers anything: with an error here
    connection = events.create_connection(
        Name="c",
        AuthorizationType="API_KEY",
        AuthParameters={
            "ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "hidden"},
            "InvocationHttpParameters": {
                "QueryStringParameters": [{"Key": "q2", "Value": "v2", "IsValueSecret": True}]
            },
        },
    )["ConnectionArn"]
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::http:invoke",
        "Parameters": {
            "Method": "POST",
            "ApiEndpoint": f"{url}/nowhere/at-all",
            "Authentication": {"ConnectionArn": connection},
            "Headers": {"definitionHeader": "h1"},
            "QueryParameters": {"q": "1"},
            "RequestBody": {"a": 1},
        },
        "End": True,
    }
    asked = {"definition": json.dumps(state), "roleArn": ROLE, "input": "{}"}
    seen = sfn.test_state(**asked, inspectionLevel="TRACE")
    sent, back = seen["inspectionData"]["request"], seen["inspectionData"]["response"]
    assert (sent["method"], sent["protocol"], sent["url"]) == ("POST", "http", f"{url}/nowhere/at-all?q=1")
    assert (sent["body"], "hidden" in json.dumps(sent)) == ('{"a":1}', False)
    assert sent["headers"].startswith("[definitionHeader: h1, ")
    assert seen["error"] == f"States.Http.StatusCode.{back['statusCode']}"
    assert back["headers"].startswith("[") and back["statusMessage"]
    sent = sfn.test_state(**asked, inspectionLevel="TRACE", revealSecrets=True)["inspectionData"]["request"]
    assert "X-Key: hidden" in sent["headers"] and sent["url"].endswith("?q=1&q2=v2")
    assert "request" not in sfn.test_state(**asked, inspectionLevel="DEBUG")["inspectionData"]
