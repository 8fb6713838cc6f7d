"""Mocked results of TestState, held against what the state could have got: the answer of the task's API.

For a task that Step Functions waits for (.sync), that is the answer of the operation it polls. Not compared, as on AWS:
http:invoke, apigateway:invoke, eks:call; activities, bare Lambda functions, callbacks.

Source: AWS Developer Guide, "Testing state machines with TestState API" (Mock validation modes; Testing Activity,
.sync, and .waitForTaskToken states). **Limit**: of the tasks that are waited for only those are compared whose result
is the polled answer as it stands (`POLLED`); AWS unwraps the others' in ways that it does not document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond import asl
from millpond.engine.tasks import kind_of
from millpond.local.service import AwsError
from millpond.local.states import integrations, payloads, sdk

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape

    from millpond.asl.model import Json, State

POLLED: Mapping[str, tuple[str, str]] = {
    "arn:aws:states:::states:startExecution.sync": ("stepfunctions", "describeExecution"),
    "arn:aws:states:::states:startExecution.sync:2": ("stepfunctions", "describeExecution"),
    "arn:aws:states:::athena:startQueryExecution.sync": ("athena", "getQueryExecution"),
}
"""Tasks that are waited for: (botocore's name of the service, the polled operation)."""


def refused(message: str) -> AwsError:
    """A request that TestState does not take."""
    return AwsError("ValidationException", message)


def result_of(state: State, mock: Mapping[str, Any] | None) -> Json:
    """The mocked result, checked against what the state could have got. Raises ValidationException."""
    if mock is None or "result" not in mock:
        return None
    try:
        result = payloads.read(mock["result"])
    except payloads.NotJson:
        raise refused("Mocked result must be valid JSON") from None
    match state:
        case asl.Map() if state.result_writer is not None:
            if not isinstance(result, dict):
                raise refused("Mocked result must be a JSON object.")
        case asl.Map() | asl.Parallel():
            if not isinstance(result, list):
                raise refused("Mocked result must be an array.")
            if isinstance(state, asl.Parallel) and len(result) != len(state.branches):
                raise refused("Mocked result must contain the same number of items as number of Parallel branches.")
        case asl.Task():
            _check_result(state.resource, result, mock.get("fieldValidationMode") or "STRICT")
        case _:
            pass  # a mock for it is refused
    return cast("Json", result)


def _check_result(resource: str, result: Any, mode: str) -> None:
    """Does it look like the answer of the API? Members that the model does not have are let through, as on AWS."""
    operation, free = _answering(resource)
    if mode == "NONE" or operation is None or operation.output_shape is None:
        return
    if not isinstance(result, dict):
        raise _unlike("Mocked result must be a JSON object")
    _check_structure(operation.output_shape, result, strict=mode == "STRICT", free=free)


def _answering(resource: str) -> tuple[OperationModel | None, frozenset[str]]:
    """The operation whose answer a task of this resource has, and the members of it that may be any JSON."""
    if resource in POLLED:
        name, action = POLLED[resource]
        free = frozenset({"Input", "Output"}) if resource.endswith(":2") else frozenset[str]()
        return sdk.operation_named(name, action), free
    kind, service, action = kind_of(resource)
    if kind != "service" or "." in action or resource.endswith(".sync:2"):
        return None, frozenset()
    found = integrations.NAMED.get(service) or sdk.service_named(service.removeprefix("aws-sdk:"))
    operation = sdk.operation_named(found, action) if found is not None else None
    return operation, frozenset({"Payload"}) if found == "lambda" else frozenset()


def _unlike(problem: str) -> AwsError:
    return refused(f"Mock result schema validation error: {problem}")


_JSON_OF = {
    "structure": (dict, "an object"),
    "map": (dict, "an object"),
    "list": (list, "an array"),
    "string": (str, "a string"),
    "blob": (str, "a string"),
    "timestamp": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "character": (str, "a string"),
}


def _check_structure(shape: Shape, value: dict[str, Any], *, strict: bool, free: frozenset[str] = frozenset()) -> None:
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    for member, inner in members.items():
        name = sdk.pascal(member)
        if name in value and name not in free:
            _check_value(inner, value[name], name, strict=strict)
        elif strict and name not in value and member in getattr(shape, "required_members", ()):
            raise _unlike(f"Field '{name}' is required")


def _check_value(shape: Shape, value: Any, field: str, *, strict: bool) -> None:
    kind = shape.type_name
    wanted, shown = _JSON_OF.get(kind, (int | float, "a number"))
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        raise _unlike(f"Field '{field}' must be {shown}")
    inner = cast("Any", shape)
    match value:
        case dict() if kind == "structure":
            _check_structure(shape, value, strict=strict)
        case dict():
            for item in value.values():
                _check_value(inner.value, item, field, strict=strict)
        case list():
            for item in value:
                _check_value(inner.member, item, field, strict=strict)
        case str():
            _check_text(shape, value, field)


def _check_text(shape: Shape, value: str, field: str) -> None:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        raise _unlike(f"Field '{field}' is not an expected value")
    if len(value) < shape.metadata.get("min", 0):
        raise _unlike(f"Field '{field}' is smaller than the minimum length")
    if len(value) > shape.metadata.get("max", len(value)):
        raise _unlike(f"Field '{field}' is larger than the maximum length")
