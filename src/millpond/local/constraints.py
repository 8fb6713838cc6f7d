"""What botocore's model says of a parameter beyond its type and length: the values of an enumeration, a pattern.

AWS checks both before anything else, in one sentence for all: `1 validation error detected: Value 'X' at 'type' failed
to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]`. Lengths and ranges are the protocol's.

Patterns are Java's; what Python's `re` would read otherwise is translated. One that cannot be, or that takes more than
linear time on a hostile text, is not held against anything.
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

Check = Callable[[Any, str], Iterator[str]]

# Parts of the models' patterns as Python's re writes them.
_JAVA: Mapping[str, str] = {
    r"\uD800\uDC00-\uDBFF\uDFFF": r"\U00010000-\U0010ffff",
    r"\p{ASCII}": r"[\x00-\x7f]",
    r"[\p{L}\p{N}\p{P}]": r"[^\s\x00-\x1f$+<=>^`|~]",  # letters, numbers and punctuation: no spaces, no symbols
}
_SLOW = frozenset({r"\$(\.[a-zA-Z0-9_.@\[\]\(\)-]+)*", r"^(?![0-9_])\w+$|^_\w*[a-zA-Z0-9]\w*$"})


def checked(service: str, name: str, operation: Operation) -> Operation:
    """The operation, behind the check of its parameters; itself, when the model has nothing to check."""

    @functools.cache
    def checks() -> Check | None:
        described = models.model(service)
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


def _check(shape: Shape, inside: tuple[str, ...] = ()) -> Check | None:
    """The check of one shape; None: there is nothing to check in it. A shape inside itself is checked once."""
    if shape.name in inside:
        return None
    inner, inside = cast("Any", shape), (*inside, shape.name)
    match shape.type_name:
        case "structure":
            members = {
                key: found for key, member in inner.members.items() if (found := _check(member, inside)) is not None
            }
            return functools.partial(_structure, members) if members else None
        case "list":
            found = _check(inner.member, inside)
            return functools.partial(_list, found) if found is not None else None
        case "map":
            keys, values = _check(inner.key, inside), _check(inner.value, inside)
            return functools.partial(_map, keys, values) if keys or values else None
        case "string":
            return _string(shape)
    return None


def _string(shape: Shape) -> Check | None:
    if values := shape.metadata.get("enum"):
        return functools.partial(_text, set(values).__contains__, f"satisfy enum value set: [{', '.join(values)}]")
    stated = shape.metadata.get("pattern")
    if stated and (fits := _pattern(stated)) is not None:
        return functools.partial(_text, fits, f"satisfy regular expression pattern: {stated}")
    return None


@functools.cache
def _pattern(stated: str) -> Callable[[str], object] | None:
    if stated in _SLOW:
        return None
    translated = stated
    for java, ours in _JAVA.items():
        translated = translated.replace(java, ours)
    try:
        # A dot is any character: `.*\S.*` is the pattern of schema definitions, which have many lines.
        return re.compile(translated, re.ASCII | re.DOTALL).fullmatch
    except re.error:
        return None


def _structure(members: Mapping[str, Check], value: Any, at: str) -> Iterator[str]:
    for key, check in members.items():
        if key in value:
            spelled = key[:1].lower() + key[1:]
            yield from check(value[key], f"{at}.{spelled}" if at else spelled)


def _list(check: Check, value: Any, at: str) -> Iterator[str]:
    for index, item in enumerate(value):
        yield from check(item, f"{at}.{index + 1}.member")


def _map(keys: Check | None, values: Check | None, value: Any, at: str) -> Iterator[str]:
    for key, item in value.items():
        if keys is not None:
            yield from keys(key, at)
        if values is not None:
            yield from values(item, f"{at}.{key}.member")


def _text(fits: Callable[[str], object], wanted: str, value: str, at: str) -> Iterator[str]:
    if not fits(value):
        yield f"Value '{value[:1024]}' at '{at}' failed to satisfy constraint: Member must {wanted}"
