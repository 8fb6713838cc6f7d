"""What botocore's model says of a parameter beyond its type and length: the values of an enumeration, a pattern.

AWS checks both before anything else, in one sentence for all: `1 validation error detected: Value 'X' at 'type' failed
to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]`. Lengths and ranges are the protocol's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond.local import models
from millpond.local.service import AwsError, Call, Operation

if TYPE_CHECKING:
    from botocore.model import Shape

# The model's patterns as Python's re writes them.
_PATTERNS: Mapping[str, str] = {
    r"\p{ASCII}*": r"[\x00-\x7f]*",
    "[!-~]+": "[!-~]+",
    r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$": r"(?=.*[a-zA-Z_\-.])[a-zA-Z0-9_\-.]+",
}


def checked(name: str, operation: Operation) -> Operation:
    """The operation, behind the check of its parameters; itself, when the model has nothing to check."""

    @functools.cache
    def checks() -> Callable[[Any, str], Iterator[str]] | None:
        described = models.model("stepfunctions")
        assert described is not None
        shape = described.operation_model(name).input_shape
        return _check(shape) if shape is not None else None

    def run(params: dict[str, Any], call: Call) -> dict[str, Any] | None:
        check = checks()
        if check is not None and (broken := list(check(params, ""))):
            count = "1 validation error" if len(broken) == 1 else f"{len(broken)} validation errors"
            raise AwsError("ValidationException", f"{count} detected: {'; '.join(broken)}")
        return operation(params, call)

    return run


def _check(shape: Shape) -> Callable[[Any, str], Iterator[str]] | None:
    """The check of one shape; None: there is nothing to check in it."""
    inner = cast("Any", shape)
    match shape.type_name:
        case "structure":
            members = {key: found for key, member in inner.members.items() if (found := _check(member)) is not None}
            return functools.partial(_structure, members) if members else None
        case "list":
            found = _check(inner.member)
            return functools.partial(_list, found) if found is not None else None
        case "string" if shape.metadata.get("enum"):
            values = list(shape.metadata["enum"])
            return functools.partial(_text, values.__contains__, f"satisfy enum value set: [{', '.join(values)}]")
        case "string" if shape.metadata.get("pattern") in _PATTERNS:
            stated = shape.metadata["pattern"]
            fits = re.compile(_PATTERNS[stated]).fullmatch
            return functools.partial(_text, fits, f"satisfy regular expression pattern: {stated}")
    return None


def _structure(members: Mapping[str, Callable[[Any, str], Iterator[str]]], value: Any, at: str) -> Iterator[str]:
    for key, check in members.items():
        if key in value:
            yield from check(value[key], f"{at}.{key}" if at else key)


def _list(check: Callable[[Any, str], Iterator[str]], value: Any, at: str) -> Iterator[str]:
    for index, item in enumerate(value):
        yield from check(item, f"{at}.{index + 1}.member")


def _text(fits: Callable[[str], object], wanted: str, value: str, at: str) -> Iterator[str]:
    if not fits(value):
        yield f"Value '{value}' at '{at}' failed to satisfy constraint: Member must {wanted}"
