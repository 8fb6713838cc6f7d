"""Parallel and Map, compiled: what is to be split, how much of it at a time, how many failures are borne.

A distributed Map whose items come from S3 (ItemReader) or whose results go there (ResultWriter) is refused when it is
compiled: `NotCarried`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from millpond.asl import jsonata, paths
from millpond.asl.model import Absent, ItemBatcher, Json, Map, Parallel
from millpond.asl.paths import Compiled
from millpond.engine.failure import QUERY, StateFailed, runtime
from millpond.engine.fields import LONGEST_WAIT, effective, expression, input_path, template, whole
from millpond.engine.node import Split
from millpond.errors import DefinitionError, Diagnostic

if TYPE_CHECKING:
    from millpond.engine.frame import Frame

INLINE_CONCURRENCY = 40
"""What an inline Map runs at a time when it sets no lower limit (AWS's documentation)."""

DISTRIBUTED_CONCURRENCY = 10_000

Tolerance = Callable[["Frame"], tuple[int | None, float | None]]


class NotCarried(DefinitionError):
    """A part of the language that is not carried locally."""


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


def inline_or_distributed(state: Map, is_jsonata: bool) -> Callable[[Frame], Split]:
    """The work of a Map: find the items, and put them in batches where there are batches."""
    refuse(state)
    items = _items_jsonata(state) if is_jsonata else _items(state)
    read = None if is_jsonata else input_path(state.input_path)
    limit = concurrency(state)
    most = DISTRIBUTED_CONCURRENCY if state.mode == "DISTRIBUTED" else INLINE_CONCURRENCY
    batch = None if state.item_batcher is None else _batching(state, state.item_batcher, is_jsonata)

    def work(frame: Frame) -> Split:
        effective(frame, read)
        at_once = limit(frame) or most
        given = items(frame)
        if batch is not None:
            given = batch(frame, given)
        return Split(True, given, len(given), min(at_once, most))

    return work


def refuse(state: Map) -> None:
    """Raises NotCarried for what a distributed Map may have and we do not do."""
    for field, value in (("ItemReader", state.item_reader), ("ResultWriter", state.result_writer)):
        if value is not None:
            message = f"{field} of a distributed Map is not carried locally"
            help = "read or write in a task of its own, and give the Map an array"
            raise NotCarried(message, (Diagnostic("MILLPOND_NOT_CARRIED", message, at=(field,), help=help),))


# -------------------------------------------------------------------------------------------------------------- items


def _items(state: Map) -> Callable[[Frame], list[Json]]:
    path = state.items_path or "$"
    read = paths.path(path)

    def items(frame: Frame) -> list[Json]:
        value = read(frame)
        if state.mode == "DISTRIBUTED" and isinstance(value, dict):
            return [{"Key": key, "Value": item} for key, item in value.items()]
        if not isinstance(value, list):
            raise runtime(f'Reference path "{path}" must point to array.')
        return value

    return items


def _items_jsonata(state: Map) -> Callable[[Frame], list[Json]]:
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


def _batching(state: Map, batcher: ItemBatcher, is_jsonata: bool) -> Callable[[Frame, list[Json]], list[Json]]:
    select = item_selector(state, is_jsonata)
    count = _limit(state, "MaxItemsPerBatch", batcher.max_items_per_batch, batcher.max_items_per_batch_path)
    size = _limit(
        state, "MaxInputBytesPerBatch", batcher.max_input_bytes_per_batch, batcher.max_input_bytes_per_batch_path
    )
    given = (expression(batcher.batch_input, "BatchInput") if is_jsonata else template(batcher.batch_input)) or None

    def batches(frame: Frame, items: list[Json]) -> list[Json]:
        from millpond.engine.frame import ItemScope

        chosen = items
        if select is not None:
            chosen = [select(ItemScope(frame, index, item)) for index, item in enumerate(items)]
        extra: dict[str, Json] = {} if given is None else {"BatchInput": given(frame)}
        return [{**extra, "Items": batch} for batch in in_batches(chosen, count(frame), size(frame))]

    return batches


def in_batches(items: list[Json], count: int, size: int) -> list[list[Json]]:
    """Consecutive batches of at most `count` items and `size` bytes of JSON; 0: no such limit."""
    batches: list[list[Json]] = []
    room = 0
    for item in items:
        weight = len(paths.compact(item).encode()) + 1 if size else 0
        if not batches or (count and len(batches[-1]) >= count) or (size and weight > room):
            batches.append([])
            room = size
        batches[-1].append(item)
        room -= weight
    return batches


# ------------------------------------------------------------------------------------------------- numbers of a Map


def _limit(state: Map, field: str, constant: int | str | None, path: str | None) -> Callable[[Frame], int]:
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
    return _limit(state, "MaxConcurrency", state.max_concurrency, state.max_concurrency_path)


def tolerance(state: Map, is_jsonata: bool) -> Tolerance:
    """How many failed items a distributed Map bears: a count, a percentage, both or (neither) none."""
    count = _limit(state, "ToleratedFailureCount", state.tolerated_failure_count, state.tolerated_failure_count_path)
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
