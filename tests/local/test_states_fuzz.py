"""Fuzz: every Step Functions operation with parameters that its model calls wrong, and some that are right.

Requests are made from botocore's model (nothing is checked on the client's side) and sent as raw JSON: required members
left out, wrong types, boundaries and one beyond, long texts, control characters, lone surrogates, ARNs of things that
are there and of things that are not, definitions and payloads with something broken inside. Whatever comes, the answer
is AWS's: JSON, never HTML, no 5xx, an error that the operation's model knows or one of the generic ones. In the end the
engine is alive and what nobody deleted is still there.

`MILLPOND_FUZZ_EXAMPLES=3000` makes it a long search; otherwise it is short and always the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.local import models
from millpond.local.service import Endpoint
from millpond.local.states import callbacks

EXAMPLES = int(os.environ.get("MILLPOND_FUZZ_EXAMPLES", "25"))
# specs of the endpoint: what any operation may answer beside its modelled errors
GENERIC = {"ValidationException", "UnknownOperationException", "SerializationException", "AccessDeniedException"}
ROLE = "arn:aws:iam::000000000000:role/flow"
ARN = "arn:aws:states:us-east-1:000000000000:"
MODEL = models.model("stepfunctions")
assert MODEL is not None
OPERATIONS = sorted(MODEL.operation_names)
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}


class Raw:
    """Signed requests whose body is whatever it is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.url = endpoint.url + "/"
        self.auth = SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "states", endpoint.region)
        self.pool = urllib3.PoolManager(retries=False, timeout=60)

    def send(self, operation: str, body: bytes) -> tuple[int, bytes]:
        headers = {"X-Amz-Target": f"AWSStepFunctions.{operation}", "Content-Type": "application/x-amz-json-1.0"}
        request = AWSRequest("POST", self.url, headers, body)
        self.auth.add_auth(request)
        answer = self.pool.request("POST", self.url, body=body, headers=dict(request.headers))
        return answer.status, answer.data

    def call(self, operation: str, **params: Any) -> dict[str, Any]:
        status, body = self.send(operation, json.dumps(params).encode())
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer


@pytest.fixture(scope="module")
def raw(endpoint: Endpoint) -> Iterator[Raw]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks, "POLL_SECONDS", 0.01)
        made = Raw(endpoint)
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
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "\x00", "a\nb", "../../etc", "\u202e", "\U0001f600", "\ud800", "x" * 81, "x" * 5000, "null"]
    ),
    st.sampled_from(ARNS),
)
NUMBERS = st.sampled_from([0, 1, -1, 5, 99, 100, 101, 1000, 1001, 2**31, -(2**31), 2**63, 2**70, 0.5, 1e300])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=4
)

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


@st.composite
def broken(draw: st.DrawFn, document: Any) -> Any:
    """A document with one value somewhere in it left out, or replaced."""
    copy = json.loads(json.dumps(document))
    at, key = copy, None
    for _ in range(draw(st.integers(0, 5))):
        inner = at[key] if key is not None else copy
        if not isinstance(inner, dict | list) or not inner:
            break
        at, key = inner, draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    if key is None:
        return draw(st.one_of(st.just(copy), JUNK))
    if isinstance(at, dict) and draw(st.booleans()):
        del at[key]
    else:
        at[key] = draw(JUNK)
    return copy


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
    STATE.map(_machine).flatmap(broken).map(json.dumps),
    STATE.map(json.dumps),
    STATE.flatmap(broken).map(json.dumps),
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


def values(shape: Any, name: str) -> st.SearchStrategy[Any]:
    """What may stand for a member: mostly something of its shape, sometimes anything."""
    return st.one_of(fitting(shape, name), fitting(shape, name), fitting(shape, name), SCALARS, JUNK)


def fitting(shape: Any, name: str) -> st.SearchStrategy[Any]:
    limits = shape.metadata
    match shape.type_name:
        case "structure":
            members = {key: values(member, key) for key, member in shape.members.items()}
            required = {key: found for key, found in members.items() if key in shape.required_members}
            optional = {key: found for key, found in members.items() if key not in required}
            return st.fixed_dictionaries(required, optional=optional)
        case "list":
            return st.lists(values(shape.member, name), max_size=3)
        case "boolean":
            return st.booleans()
        case "integer" | "long" | "float":
            edges = [limits[edge] + more for edge in ("min", "max") if edge in limits for more in (-1, 0, 1)]
            return st.sampled_from([*edges, 0, 1, 50])
        case "string" if limits.get("enum"):
            return st.sampled_from([*limits["enum"], "", limits["enum"][0].lower()])
        case "string" if name in NAMED:
            return NAMED[name]
        case "string" if name.lower().endswith("arn"):
            return st.sampled_from(ARNS)
        case "string":
            most = min(int(limits.get("max", 100)), 40_000)
            return st.one_of(TEXTS, st.sampled_from(["x" * most, "x" * (most + 1), "\u00e9" * most]))
    raise AssertionError(shape.type_name)


def requests(operation: str) -> st.SearchStrategy[Any]:
    assert MODEL is not None
    shape: Any = MODEL.operation_model(operation).input_shape
    members = {key: values(member, key) for key, member in shape.members.items()}
    missing = st.fixed_dictionaries({}, optional=members)
    return st.one_of(fitting(shape, ""), fitting(shape, ""), missing, JUNK)


# ------------------------------------------------------------------------------------------------- what comes back


def check(raw: Raw, operation: str, params: Any) -> None:
    assert MODEL is not None
    status, body = raw.send(operation, json.dumps(params).encode())
    answer = json.loads(body)
    assert isinstance(answer, dict), body
    if status == 200:
        return
    modelled = {shape.name for shape in MODEL.operation_model(operation).error_shapes}
    assert 400 <= status < 500 and answer["__type"] in modelled | GENERIC, (status, answer)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(raw: Raw, operation: str) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES <= 100,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(operation))
    def fuzz(params: Any) -> None:
        check(raw, operation, params)

    fuzz()


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
    deadline = time.monotonic() + 30
    while raw.call("DescribeExecution", executionArn=again)["status"] != "SUCCEEDED":
        assert time.monotonic() < deadline
        time.sleep(0.01)
