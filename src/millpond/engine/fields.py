"""The fields that states share: paths, templates, assignments, numbers in AWS's words. Each compiles to a closure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from millpond.asl import jsonata, paths
from millpond.asl.model import Absent, Json
from millpond.asl.paths import Compiled
from millpond.engine.failure import QUERY, StateFailed, runtime

if TYPE_CHECKING:
    from millpond.engine.frame import Frame

LONGEST_WAIT = 99_999_999  # seconds
EMPTY: dict[str, Json] = {}

Assigning = Callable[["Frame"], Mapping[str, Json] | None]


def input_path(path: str | None) -> Compiled | None:
    """None: the raw input itself."""
    if path == "$":
        return None
    return (lambda scope: EMPTY) if path is None else paths.path(path)


def output_path(path: str | None) -> Compiled | None:
    return input_path(path)


def template(value: Json | Absent) -> Compiled | None:
    return None if isinstance(value, Absent) else paths.template(value)


def expression(value: Json | Absent, field: str) -> Compiled | None:
    return None if isinstance(value, Absent) else jsonata.template(value, field)


def assigning(assign: Mapping[str, Json] | None, is_jsonata: bool) -> Assigning | None:
    if not assign:
        return None
    values = jsonata.template(dict(assign), "Assign") if is_jsonata else paths.template(dict(assign))
    return lambda frame: cast("dict[str, Json]", values(frame))


def effective(frame: Frame, read: Compiled | None) -> Json:
    """Sets what `$` means to the input after InputPath."""
    frame.input = frame.raw
    if read is not None:
        frame.input = read(frame)
    return frame.input


def long(value: Json, path: str, field: str) -> int:
    """A whole number that is not negative, in AWS's words where it is not."""
    if isinstance(value, bool) or not isinstance(value, int):
        shown = value if isinstance(value, str) else paths.compact(value)
        raise runtime(f"The {field} parameter cannot be parsed as a long value: {path} == {shown}")
    if value < 0:
        raise runtime(f"The {field} parameter references a negative value: {path} == {value}")
    return value


def whole(value: Json, field: str, least: int, most: int) -> int:
    """A JSONata number that must be an integer within bounds."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if number is None or number != int(number) or not least <= number <= most:
        cause = f"The {field} field must be an integer between {least} and {most} but was: {paths.compact(value)}"
        raise StateFailed(QUERY, cause, evaluated=True, location=field)
    return int(number)
