"""What each field of a state makes of its data, shown one by one: TestState's inspection data.

Texts are JSON; what a state does not have is not shown, as recorded. Sources: AWS API Reference, "InspectionData";
Developer Guide, "Testing state machines with TestState API" (Understanding Map state inspection data).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from millpond.asl import paths
from millpond.asl.model import Absent, Json, Map, Parallel, Pass, State, Task
from millpond.asl.paths import EvaluationError
from millpond.engine import maps
from millpond.engine.failure import TOLERANCE, StateFailed
from millpond.engine.fields import input_path, template
from millpond.engine.frame import Frame, ItemScope, to_text
from millpond.engine.node import Distribute, Split
from millpond.engine.spread import Given, Spread, next_input

if TYPE_CHECKING:
    from millpond.engine.doors import Items

Stages = dict[str, Json]


class TooManyFailures(ValueError):
    """More iterations are said to have failed than there are items."""


def texts(found: Iterator[tuple[str, Json]]) -> Stages:
    """The stages up to the one that fails; the state itself fails with the same, and says why."""
    shown: Stages = {}
    with contextlib.suppress(EvaluationError, StateFailed):
        for name, value in found:
            shown[name] = to_text(value)
    return shown


def before(state: State, frame: Frame) -> Iterator[tuple[str, Json]]:
    """What JSONPath fields make of the input before the work."""
    if isinstance(state, Pass) and not isinstance(state.result, Absent):
        yield "result", state.result
        yield from _placed(state.result_path, frame, state.result)
        return
    read = input_path(getattr(state, "input_path", "$"))
    frame.input = frame.raw
    value = frame.raw if read is None else read(frame)
    yield "afterInputPath", value
    if isinstance(state, Pass):
        frame.input = value
        make = template(state.parameters)
        if make is not None:
            value = make(frame)
        yield "afterParameters", value
        yield from _placed(state.result_path, frame, value)


def after(state: Task | Map | Parallel, frame: Frame, result: Json) -> Iterator[tuple[str, Json]]:
    """What JSONPath fields make of the result."""
    select = template(state.result_selector)
    frame.input = result
    yield from _placed(state.result_path, frame, result if select is None else select(frame))


def _placed(path: str | None, frame: Frame, selected: Json) -> Iterator[tuple[str, Json]]:
    yield "afterResultSelector", selected
    yield "afterResultPath", paths.placing(path)(frame.raw, selected)


# --------------------------------------------------------------------------------------------------------------- a Map


class MapStages:
    """A Map before its items run. `read` is what its ItemReader would find, absent where nobody says so: then the
    state's input stands for it ("provide the data directly in the input (as if it had already been read from S3)")."""

    def __init__(
        self, state: Map, frame: Frame, work: Split | Distribute, is_jsonata: bool, read: Json | Absent
    ) -> None:
        self.state, self.frame, self.work, self.is_jsonata, self.read = state, frame, work, is_jsonata, read
        self._items = self._found()

    def _found(self) -> Items | None:
        work, frame = self.work, self.frame
        if isinstance(work, Split) or work.reader is None:
            return Given(work.given)
        found = self.read
        if isinstance(found, Absent):
            path = self.state.items_path
            found = frame.raw if path is None else paths.path(path)(frame)
            if not isinstance(found, list):
                return None  # the input of the reader, rather than what it reads
        most = cast("dict[str, int]", work.reader["ReaderConfig"]).get("MaxItems")
        return Given(dict(list(found.items())[:most]) if isinstance(found, dict) else cast("list[Json]", found)[:most])

    def texts(self) -> Stages:
        """What ItemsPath, ItemsPointer, ItemSelector and ItemBatcher make of the items. Raises what they raise."""
        state, items = self.state, self._items
        shown: Stages = {}
        if state.items_path is not None and not self.is_jsonata:
            shown["afterItemsPath"] = to_text(paths.path(state.items_path)(self.frame))
        if items is None:
            return shown
        config = state.item_reader.config if state.item_reader is not None else None
        if config is not None and config.items_pointer is not None and not isinstance(self.read, Absent):
            shown["afterItemsPointer"] = to_text(self.read)
        select = maps.item_selector(state, self.is_jsonata)
        if select is not None:
            found = (items.item(index) for index in range(len(items)))
            shown["afterItemSelector"] = to_text(
                [
                    select(ItemScope(self.frame, index, item.value, item.key, self._source(item.source)))
                    for index, item in enumerate(found)
                ]
            )
        if isinstance(self.work, Distribute) and self.work.batch is not None:
            shown["afterItemBatcher"] = to_text(list(self._batches(self._spread(items))))
        return shown

    def _source(self, source: str) -> str | None:
        return source if isinstance(self.work, Distribute) else None

    def _spread(self, items: Items) -> Spread:
        assert isinstance(self.work, Distribute)
        spread = Spread(self.frame, 0, arn="", label="", started=0.0)
        spread.batch, spread.items, spread.total = self.work.batch, items, len(items)
        return spread

    @staticmethod
    def _batches(spread: Spread) -> Iterator[Json]:
        while spread.cursor < spread.total:
            value, _, count = next_input(spread)
            spread.cursor += count
            yield value

    def numbers(self) -> Stages:
        """The Map's limits; a threshold that is not given is not shown."""
        shown: Stages = {"maxConcurrency": maps.concurrency(self.state)(self.frame)}
        count, percent = maps.tolerance(self.state)(self.frame)
        if count is not None:
            shown["toleratedFailureCount"] = count
        if percent is not None:
            shown["toleratedFailurePercentage"] = float(percent)
        return shown

    def bear(self, failures: int) -> None:
        """Fail as a distributed Map does that gives a threshold, and has more failures.

        Raises StateFailed, TooManyFailures. A Map that gives none fails with the (mocked) error itself: recorded.
        """
        if self._items is not None and failures > len(self._items):
            raise TooManyFailures(f"{failures} of {len(self._items)} items")
        if not isinstance(self.work, Distribute):
            return
        spread = self._spread(self._items or Given([]))
        spread.failed_items = failures
        spread.count, spread.percent = self.work.tolerance(self.frame)
        if (spread.count, spread.percent) != (None, None) and not spread.bears():
            raise StateFailed(TOLERANCE, "The specified tolerated failure threshold was exceeded")
