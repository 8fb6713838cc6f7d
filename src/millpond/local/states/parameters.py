"""What can be said of a Task's parameters before it runs: CreateStateMachine holds them against the API's model.

Fields that the API does not have, at any depth, and (in optimised integrations) required ones that are missing; what an
expression will give cannot be judged. Source of the words: users' reports of refused definitions (aws-cdk issues 10014
and 29968) and a recording (Credentials without RoleArn).

**Limits**: optimised integrations that take more or other fields than their API (`apigateway`, `batch`, `http`, ...)
are not looked at; the types of values are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond.local.states import sdk

if TYPE_CHECKING:
    from botocore.model import Shape

# Optimised integrations whose parameters are those of an API: their name in ASL and in botocore.
SAME = {
    "athena": "athena",
    "codebuild": "codebuild",
    "dynamodb": "dynamodb",
    "ecs": "ecs",
    "events": "events",
    "glue": "glue",
    "lambda": "lambda",
    "sns": "sns",
    "sqs": "sqs",
    "states": "stepfunctions",
}


def misfits(service: str, action: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each finding. `service` is `glue` or `aws-sdk:glue`; fields may end with `.$`."""
    is_sdk = service.startswith("aws-sdk:")
    named = sdk.service_named(service[8:]) if is_sdk else SAME.get(service)
    operation = sdk.operation_named(named, action) if named is not None else None
    if operation is None or operation.input_shape is None:
        return
    yield from _below(operation.input_shape, arguments)
    given = {key.removesuffix(".$").lower() for key in arguments}
    for name in () if is_sdk else operation.input_shape.required_members:
        if name.lower() not in given:
            yield f"The field '{sdk.pascal(name)}' is required but was missing"


def _below(shape: Shape, value: Any) -> Iterator[str]:
    inner = cast("Any", shape)
    if shape.type_name == "structure" and isinstance(value, Mapping) and not getattr(shape, "is_document_type", False):
        yield from _structure(inner, value)
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _below(inner.member, item)
    elif shape.type_name == "map" and isinstance(value, Mapping):
        for key, item in value.items():
            if not key.endswith(".$"):
                yield from _below(inner.value, item)


def _structure(shape: Any, value: Mapping[str, Any]) -> Iterator[str]:
    by_name = sdk.spellings(shape)
    for key, item in value.items():
        field = key.removesuffix(".$")
        name = by_name.get(field)
        if name is None:
            yield f'The field "{field}" is not supported by Step Functions'
        elif not key.endswith(".$"):
            yield from _below(shape.members[name], item)
