"""The short way through flat documents against the walk through the model: they never differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.local import flat, models, protocol
from millpond.local.protocol import Request
from millpond.local.service import AwsError

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:m"


def operation(name: str) -> Any:
    described = models.model("stepfunctions")
    assert described
    return described.operation_model(name)


def walked(name: str, body: bytes) -> Any:
    """The parameters as the model's walk reads them, or the error's code."""
    try:
        params = protocol._read_json(operation(name).input_shape, protocol._document(body), "")
    except AwsError as error:
        return error.code
    refused = protocol.misfit(operation(name), params)
    return refused.code if refused else params


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"stateMachineArn": MACHINE, "name": "n", "input": '{"a": 1}', "traceHeader": "t"}),
        json.dumps({"stateMachineArn": MACHINE, "name": None, "unknown": {"deep": [1]}}),
        json.dumps({"stateMachineArn": MACHINE, "input": "ü"}),
        json.dumps({"stateMachineArn": MACHINE, "input": "\ud800"}),
        json.dumps({"stateMachineArn": MACHINE, "name": "x" * 81}),
        json.dumps({"stateMachineArn": MACHINE, "name": ""}),
        json.dumps({"stateMachineArn": MACHINE, "name": 7}),
        json.dumps({"stateMachineArn": None}),
        '{"stateMachineArn": "a", "stateMachineArn": "b"}',
        '{"stateMachineArn": "a", "unknown": NaN}',
        "{}",
        "",
        "[]",
        '"text"',
        "{",
        "[" * 100_000,
        '{"stateMachineArn": "\xe4"}',
    ],
)
def test_read_as_the_walk_reads(body: str) -> None:
    read = flat.reader(operation("StartExecution").input_shape, protocol._DECODER.decode)
    assert read
    raw = body.encode("utf-8", "surrogatepass")
    found, meant = read(raw), walked("StartExecution", raw)
    assert found is None or found == meant
    request = Request("POST", "/", "", {}, raw)
    described = models.model("stepfunctions")
    assert described
    try:
        assert protocol.parse(described, operation("StartExecution"), request, {}) == meant
    except AwsError as error:
        assert error.code == meant


def test_the_usual_request_takes_the_short_way() -> None:
    read = flat.reader(operation("StartExecution").input_shape, protocol._DECODER.decode)
    assert read
    given = {"stateMachineArn": MACHINE, "name": "n", "input": "{}"}
    assert read(json.dumps(given).encode()) == given


def test_other_members_than_texts_have_no_reader() -> None:
    assert flat.reader(operation("CreateStateMachine").input_shape, protocol._DECODER.decode) is None


@pytest.mark.parametrize(
    "result",
    [
        {"executionArn": "a", "startDate": 1795783805.2754},
        {"executionArn": 'q"\\\n\x7fü€', "startDate": 5},
        {
            "executionArn": "a", "status": "RUNNING", "stopDate": None, "redriveCount": 3, "startDate": 1e9,
            "inputDetails": {"included": True, "unknown": 1}, "unknown": "x",
        },
    ],
)  # fmt: skip
def test_written_as_the_walk_writes(result: dict[str, Any]) -> None:
    described, what = models.model("stepfunctions"), operation("DescribeExecution")
    assert described
    written = json.loads(protocol.answer(described, what, result, "id").body)
    assert written == protocol._write_json(what.output_shape, result)
