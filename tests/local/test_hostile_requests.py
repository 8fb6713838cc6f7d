"""No request ends in a traceback, HTML or an answer that AWS's clients cannot read, whatever its parameters.

Every operation of our own rooms is sent nothing, wrong types, and long or odd text in each of its members, straight to
the router as a signed client would. What changes nothing may succeed; what fails has AWS's form and status 4xx or 501.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.local import models
from millpond.local.protocol import Request

ODD = [
    "",
    "x" * 300,
    "../../etc/passwd",
    "a\u0000b",
    "'; DROP TABLE glue_tables; --",
    "arn:aws:x:y:z:w:v",
    "\u202e\U0001f600",
]
NUMBERS = [0, -1, 2**31 - 1]
ROOMS = ["logs", "secretsmanager", "sns", "glue", "athena", "stepfunctions", "sagemaker", "lambda", "cloudformation"]

# These wait, start processes or stop the rooms; their input is checked like the others'.
NOT_HERE = {"GetActivityTask"}


def made(shape: Any, text: str, number: int, depth: int = 0) -> Any:
    """A value of a shape: its required members, and others while they are scalars."""
    match shape.type_name:
        case "structure":
            return {
                name: made(member, text, number, depth + 1)
                for name, member in shape.members.items()
                if name in shape.required_members or (depth < 2 and member.type_name in ("string", "integer"))
            }
        case "list":
            return [made(shape.member, text, number, depth + 1)] if depth < 6 else []
        case "map":
            return {text or "k": made(shape.value, text, number, depth + 1)} if depth < 6 else {}
        case "string":
            return text
        case "blob":
            return "AAAA"
        case "boolean":
            return True
        case "timestamp":
            return 0
    return number


def form(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A value in the query protocol."""
    if isinstance(value, dict):
        return [pair for name, item in value.items() for pair in form(item, f"{prefix}.{name}" if prefix else name)]
    if isinstance(value, list):
        return [pair for i, item in enumerate(value) for pair in form(item, f"{prefix}.member.{i + 1}")]
    return [(prefix, str(value).lower() if isinstance(value, bool) else str(value))]


def request(described: Any, operation: str, value: Any) -> Request:
    from urllib.parse import quote, urlencode

    model = described.operation_model(operation)
    match described.metadata["protocol"]:
        case "json":
            target = f"{described.metadata['targetPrefix']}.{operation}"
            return Request("POST", "/", "", {"x-amz-target": target}, json.dumps(value).encode())
        case "query":
            text = urlencode([("Action", operation), *form(value)])
            return Request("POST", "/", "", {"content-type": "application/x-www-form-urlencoded"}, text.encode())
    path = model.http["requestUri"].partition("?")[0]
    shape = model.input_shape
    for name, member in shape.members.items() if shape else ():
        if member.serialization.get("location") == "uri":
            wire = member.serialization.get("name", name)
            path = path.replace("{" + wire + "}", quote(str(value.get(name) or "x"), safe=""))
    return Request(model.http["method"], path, "", {}, json.dumps(value).encode())


@pytest.mark.parametrize("service", ROOMS)
def test_nothing_ends_badly(server: Any, service: str) -> None:
    described = models.model(service)
    assert described
    bad = []
    for operation in described.operation_names:
        if operation in NOT_HERE:
            continue
        shape = described.operation_model(operation).input_shape
        values: list[Any] = [{}]
        if shape is not None:
            values += [made(shape, text, NUMBERS[i % 3]) for i, text in enumerate(ODD)]
            values.append(dict.fromkeys(shape.members, 7))
            values.append({name: {"a": [None]} for name in shape.members})
        for value in values:
            asked = request(described, operation, value)
            reply = server.router.answer(service, asked, caller="AKIA", region="us-east-1", request_id="the-id")
            text = reply.body.decode("utf-8", "replace")
            if (reply.status >= 500 and reply.status != 501) or "Traceback" in text or "<html" in text.lower():
                bad.append((operation, reply.status, str(value)[:200]))
    assert bad == []
