"""Fuzz: every Step Functions operation with parameters that its model calls wrong, and some that are right.

The machinery is fuzzing.py's; here are the ARNs, definitions and payloads, with something broken inside. Whatever
comes, the answer is AWS's. In the end the engine is alive and what nobody deleted is still there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from fuzzing import GENERIC, Fuzz, Raw, broken, junk, texts

from millpond.local import models
from millpond.local.service import Endpoint
from millpond.local.states import callbacks

ROLE = "arn:aws:iam::000000000000:role/flow"
ARN = "arn:aws:states:us-east-1:000000000000:"
MODEL = models.model("stepfunctions")
assert MODEL is not None
OPERATIONS = sorted(MODEL.operation_names)
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}


@pytest.fixture(scope="module")
def raw(endpoint: Endpoint) -> Iterator[Raw]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "POLL_SECONDS", 0.01)
        made = Raw(endpoint, "stepfunctions")
        for name, kind in (("there", "STANDARD"), ("quick", "EXPRESS"), ("kept", "STANDARD")):
            arn = made.call("CreateStateMachine", name=name, definition=json.dumps(PASS), roleArn=ROLE, type=kind)
            made.call("PublishStateMachineVersion", stateMachineArn=arn["stateMachineArn"])
        route = {"stateMachineVersionArn": f"{ARN}stateMachine:there:1", "weight": 100}
        made.call("CreateStateMachineAlias", name="live", routingConfiguration=[route])
        made.call("StartExecution", stateMachineArn=f"{ARN}stateMachine:there", name="ran")
        made.call("StartExecution", stateMachineArn=f"{ARN}stateMachine:kept", name="ran")
        made.call("CreateActivity", name="there")
        yield made


# ------------------------------------------------------------------------------------------------------ what is sent

ARNS = [
    *(f"{ARN}stateMachine:{name}" for name in ("there", "there:1", "there:live", "there:9", "quick", "no", "there/L")),
    *(f"{ARN}execution:{name}" for name in ("there:ran", "there:no", "no:no")),
    *(f"{ARN}express:quick:x:y", f"{ARN}activity:there", f"{ARN}activity:no", f"{ARN}mapRun:there/L:x"),
    *("", "arn", "arn:aws:states", "arn:aws:s3:::bucket", f"{ARN}stateMachine:", f"{ARN}stateMachine:a b", "../../x"),
    *(
        ROLE,
        f"{ARN}stateMachine:there:1:2",
        f"{ARN}stateMachine:\u00e9",
        f"{ARN}execution::",
        f"{ARN}stateMachine:1:01",
    ),
    f"{ARN}stateMachine:there:{'9' * 80}",
]
TEXTS, JUNK = texts(ARNS), junk(ARNS)

STATES: list[dict[str, Any]] = [
    {"Type": "Pass", "Result": {"a": 1}, "ResultPath": "$.x", "End": True},
    {"Type": "Pass", "Parameters": {"a.$": "States.Format('{}', $.b)"}, "End": True},
    {
        "Type": "Pass",
        "QueryLanguage": "JSONata",
        "Output": "{% $states.input.a + 1 %}",
        "Assign": {"v": 1},
        "End": True,
    },
    {"Type": "Succeed", "InputPath": None},
    {"Type": "Fail", "Error": "E", "CausePath": "$.c"},
    {"Type": "Wait", "Seconds": 0, "End": True},
    {"Type": "Choice", "Choices": [{"Variable": "$.a", "NumericEquals": 1, "Next": "B"}], "Default": "B"},
    {"Type": "Choice", "Choices": [{"Not": {"And": [{"Variable": "$.a", "IsPresent": True}]}, "Next": "B"}]},
    {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl": "q", "MessageBody.$": "$"},
        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 0}],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "B"}],
        "End": True,
    },
    {
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 2,
        "Label": "L",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "I",
            "States": {"I": {"Type": "Pass", "End": True}},
        },
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}},
        "ToleratedFailurePercentage": 5,
        "End": True,
    },
    {"Type": "Parallel", "Branches": [{"StartAt": "I", "States": {"I": {"Type": "Pass", "End": True}}}], "End": True},
]


def _machine(state: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "A", "States": {"A": state, "B": {"Type": "Pass", "End": True}}}


BAD_JSON = st.sampled_from(
    [
        "{",
        "[" * 3000,
        "[" * 600 + "]" * 600,
        '{"a": NaN}',
        '{"a": 1e400}',
        '{"a": 1, "a": 2}',
        '"\\ud800"',
        "\ufeff{}",
        "1" * 5000,
    ]
)
STATE = st.sampled_from(STATES)
DEFINITIONS = st.one_of(
    STATE.map(_machine).map(json.dumps),
    STATE.map(_machine).flatmap(lambda one: broken(one, JUNK)).map(json.dumps),
    STATE.map(json.dumps),
    STATE.flatmap(lambda one: broken(one, JUNK)).map(json.dumps),
    JUNK.map(json.dumps),
    BAD_JSON,
    TEXTS,
)
PAYLOADS = st.one_of(
    JUNK.map(json.dumps),
    st.sampled_from(
        ['{"a": 1, "b": "x", "items": [1, 2]}', "{}", "[]", '"' + "\u00e9" * 131_071 + '"', '"' + "x" * 262_143 + '"']
    ),
    BAD_JSON,
    TEXTS,
)
NAMED = {
    "definition": DEFINITIONS,
    "input": PAYLOADS,
    "output": PAYLOADS,
    "result": PAYLOADS,
    "variables": PAYLOADS,
    "context": PAYLOADS,
    "stateName": st.sampled_from(["A", "B", "no", ""]),
    "name": st.one_of(st.sampled_from(["there", "ran", "a", "a b", "1", "x" * 80, "x" * 81, "", "\u00e9"]), TEXTS),
    "roleArn": st.one_of(st.just(ROLE), TEXTS),
}
FUZZ = Fuzz("stepfunctions", ARNS, NAMED)


# ------------------------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(raw: Raw, operation: str) -> None:
    FUZZ.run(raw, operation)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"\x80{}", b"[]", b"null", b'{"a":', b'{"input": NaN}', b"{" * 3000]
)
@pytest.mark.parametrize("operation", ["StartExecution", "ListStateMachines"])
def test_bodies_that_are_no_json(raw: Raw, operation: str, body: bytes) -> None:
    status, answer = raw.send(operation, body)
    assert status == 200 or json.loads(answer)["__type"] in GENERIC


def test_all_is_well_afterwards(raw: Raw) -> None:
    arn = f"{ARN}stateMachine:kept"
    assert json.loads(raw.call("DescribeStateMachine", stateMachineArn=arn)["definition"]) == PASS
    assert raw.call("DescribeExecution", executionArn=f"{ARN}execution:kept:ran")["status"] == "SUCCEEDED"
    again = raw.call("StartExecution", stateMachineArn=arn)["executionArn"]
    deadline = time.monotonic() + 120
    while raw.call("DescribeExecution", executionArn=again)["status"] != "SUCCEEDED":
        assert time.monotonic() < deadline
        time.sleep(0.01)
