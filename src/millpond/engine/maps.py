"""Parallel and inline Map, compiled: what is to be split, how much of it at a time; and the numbers of every Map.

A distributed Map is compiled in `distributed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from millpond.asl import jsonata, paths
from millpond.asl.model import Absent, Json, Map, Parallel
from millpond.asl.paths import Compiled
from millpond.engine.failure import QUERY, StateFailed, runtime
from millpond.engine.fields import LONGEST_WAIT, effective, expression, input_path, template, whole
from millpond.engine.node import Split

if TYPE_CHECKING:
    from millpond.engine.frame import Frame

INLINE_CONCURRENCY = 40
"""What an inline Map runs at a time when it sets no lower limit (AWS's documentation)."""

Tolerance = Callable[["Frame"], tuple[int | None, float | None]]


def together(state: Parallel, is_jsonata: bool) -> Callable[[Frame], Split]:
    """The work of a Parallel: all branches get the same input."""
    read = None if is_jsonata else input_path(state.input_path)
    arguments = expression(state.arguments, "Arguments") if is_jsonata else template(state.parameters)
    size = len(state.branches)

    def work(frame: Frame) -> Split:
        given = effective(frame, read)
        if arguments is not None:
            given = arguments(frame)
        return Split(False, [given], size, size)

    return work


def inline(state: Map, is_jsonata: bool) -> Callable[[Frame], Split]:
    """The work of an inline Map: find the items."""
    items = items_jsonata(state) if is_jsonata else _items(state)
    read = None if is_jsonata else input_path(state.input_path)
    at_once = concurrency(state)

    def work(frame: Frame) -> Split:
        effective(frame, read)
        most = at_once(frame) or INLINE_CONCURRENCY
        given = items(frame)
        return Split(True, given, len(given), min(most, INLINE_CONCURRENCY))

    return work


# -------------------------------------------------------------------------------------------------------------- items


def _items(state: Map) -> Callable[[Frame], list[Json]]:
    path = state.items_path or "$"
    read = paths.path(path)

    def items(frame: Frame) -> list[Json]:
        value = read(frame)
        if not isinstance(value, list):
            raise runtime(f'Reference path "{path}" must point to array.')
        return value

    return items


def items_jsonata(state: Map) -> Callable[[Frame], list[Json]]:
    """`Items`, or the input where there are none."""
    if not isinstance(state.items, Absent):
        read = jsonata.typed(state.items, "Items", "array")
        return lambda frame: cast("list[Json]", read(frame))

    def items(frame: Frame) -> list[Json]:
        if not isinstance(frame.raw, list):
            cause = f"Map state input must be an array but was: {paths.compact(frame.raw)}"
            raise StateFailed(QUERY, cause, evaluated=True)
        return frame.raw

    return items


def item_selector(state: Map, is_jsonata: bool) -> Compiled | None:
    """What each item's input is made of, where it is not the item itself."""
    if isinstance(state.item_selector, Absent):
        return None
    return jsonata.template(state.item_selector, "ItemSelector") if is_jsonata else paths.template(state.item_selector)


# ------------------------------------------------------------------------------------------------- numbers of a Map


def limit(field: str, constant: int | str | None, path: str | None) -> Callable[[Frame], int]:
    """Reads a number that is 0 where it is not given."""
    if path is not None:
        return _integer_at(paths.path(path), path, field)
    if isinstance(constant, str):
        typed = jsonata.typed(constant, field, "number")
        return lambda frame: whole(typed(frame), field, 0, LONGEST_WAIT)
    number = constant or 0
    return lambda frame: number


def _integer_at(read: Compiled, path: str, field: str) -> Callable[[Frame], int]:
    def integer(frame: Frame) -> int:
        value = read(frame)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _not_a("integer", value, path, field)
        if value < 0:
            raise runtime(f"{field} cannot be negative.")
        return value

    return integer


def _not_a(kind: str, value: Json, path: str, field: str) -> StateFailed:
    shown = value if isinstance(value, str) else paths.compact(value)
    return runtime(f'The {field}Path field refers to value "{shown}" which is not a valid {kind}: {path}')


def concurrency(state: Map) -> Callable[[Frame], int]:
    """MaxConcurrency; 0 where none is given."""
    return limit("MaxConcurrency", state.max_concurrency, state.max_concurrency_path)


def tolerance(state: Map) -> Tolerance:
    """How many failed items a distributed Map bears: a count, a percentage, both or (neither) none."""
    count = limit("ToleratedFailureCount", state.tolerated_failure_count, state.tolerated_failure_count_path)
    percent = _percentage(state)
    counts = state.tolerated_failure_count is not None or state.tolerated_failure_count_path is not None
    return lambda frame: (count(frame) if counts else None, percent(frame))


def _percentage(state: Map) -> Callable[[Frame], float | None]:
    field, constant, path = (
        "ToleratedFailurePercentage",
        state.tolerated_failure_percentage,
        state.tolerated_failure_percentage_path,
    )
    if path is not None:
        return _percentage_at(paths.path(path), path, field)
    if isinstance(constant, str):
        typed = jsonata.typed(constant, field, "number")
        return lambda frame: _within(typed(frame), field)
    return lambda frame: constant


def _percentage_at(read: Compiled, path: str, field: str) -> Callable[[Frame], float]:
    def percentage(frame: Frame) -> float:
        value = read(frame)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _not_a("float", value, path, field)
        return _within(value, field)

    return percentage


def _within(value: Json, field: str) -> float:
    number = cast("float", value)
    if not 0 <= number <= 100:
        raise runtime(f"{field} must be between 0 and 100.")
    return number
