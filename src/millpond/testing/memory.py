"""`MemoryStore`: the engine's Store door for tests. It forgets at exit; until then it is as exact as the real one.

May import: engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from millpond.engine.doors import (
    Batch,
    Birth,
    Child,
    Ended,
    Event,
    FrameRow,
    ItemRow,
    MapRunRow,
    Progress,
    Snapshot,
    Start,
)
from millpond.engine.history import ENDS


@dataclass(slots=True)
class _Kept:
    """A child execution of a distributed Map."""

    birth: Birth
    status: str = "RUNNING"
    ended: Ended | None = None


class MemoryStore:
    """A store that forgets at exit; `snapshot` gives what a real one would give after a restart. The children of
    distributed Maps stand apart, in a store of their own."""

    def __init__(self) -> None:
        self._kids: MemoryStore | None = None
        self._kept: dict[str, _Kept] = {}
        self._at: dict[tuple[str, int], str] = {}
        self.map_runs: dict[str, MapRunRow] = {}
        self._owners: dict[str, str] = {}
        self.events: dict[str, list[Event]] = {}
        self.frames: dict[str, dict[int, FrameRow]] = {}
        self.items: dict[str, list[ItemRow]] = {}
        self.ended: dict[str, Ended] = {}
        self.barriers = 0

    def append(self, batch: Batch) -> None:
        for row in batch.map_runs or ():
            self.map_runs[row.arn], self._owners[row.arn] = row, batch.execution
        for execution, birth in batch.births or ():
            self._born(execution, birth)
        if batch.birth is not None:
            self._born(batch.execution, batch.birth)
        kept = self._kept.get(batch.execution)
        if kept is None:
            self._append(batch)
            return
        if batch.ended is not None:
            kept.status, kept.ended = batch.ended.status, batch.ended
        if self._kids is None:
            self._kids = MemoryStore()
        self._kids._append(batch)

    def _born(self, execution: str, birth: Birth) -> None:
        if birth.replaces is not None:
            self._kept.pop(birth.replaces, None)
        self._kept[execution] = _Kept(replace(birth, known=True), "PENDING" if birth.pending else "RUNNING")
        self._at[birth.map_run, birth.index] = execution

    def _append(self, batch: Batch) -> None:
        events = self.events.setdefault(batch.execution, [])
        events.extend(batch.events)
        frames = self.frames.setdefault(batch.execution, {})
        for row in batch.frames:
            frames[row.key] = row
        items = self.items.setdefault(batch.execution, [])
        items.extend(batch.items)
        if batch.gone:
            gone = set(batch.gone)
            for key in gone:
                frames.pop(key, None)
            self.items[batch.execution] = [item for item in items if item.fork not in gone]
        if batch.ended is not None:
            self.ended[batch.execution] = batch.ended
            if batch.ended.status == "SUCCEEDED":
                frames.clear()
                self.items[batch.execution] = []

    def barrier(self) -> None:
        self.barriers += 1

    def snapshot(self, start: Start) -> Snapshot:
        """The execution as `Engine.restore` wants it."""
        events = self.events.get(start.execution, [])
        last = events[-1] if events else None
        items = {(item.fork, item.index): item for item in self.items.get(start.execution, [])}
        return Snapshot(
            start,
            last.id if last else 0,
            last.at if last else start.started_at,
            list(self.frames.get(start.execution, {}).values()),
            list(items.values()),
            over=last is not None and last.type in ENDS,
            map_runs=self._progress(start.execution, last is not None and last.type in ENDS),
        )

    def child(self, map_run: str, index: int) -> Child:
        execution = self._at[map_run, index]
        kept, shown = self._kept[execution], self._child(execution)
        kids = self._kids
        if kids is None or kept.birth.express:
            return shown
        events = kids.events.get(execution, [])
        items = {(item.fork, item.index): item for item in kids.items.get(execution, [])}
        return replace(
            shown,
            last_event=events[-1].id if events else 0,
            last_at=events[-1].at if events else 0.0,
            frames=list(kids.frames.get(execution, {}).values()),
            items=list(items.values()),
            map_runs=self._progress(execution, bool(events) and events[-1].type in ENDS),
        )

    def children(self, map_run: str) -> Iterator[Child]:
        for _, execution in sorted((index, arn) for (run, index), arn in self._at.items() if run == map_run):
            yield self._child(execution)

    def born(self) -> Iterator[tuple[Child, list[Event]]]:
        """Every child execution, of whatever Map Run, with its history (an Express one has none)."""
        for execution in self._kept:
            events = self._kids.events.get(execution, []) if self._kids is not None else []
            yield self._child(execution), events

    def _child(self, execution: str) -> Child:
        kept = self._kept[execution]
        end = kept.ended if kept.status not in ("RUNNING", "PENDING") else None
        if end is None:
            status: Literal["RUNNING", "PENDING"] = "RUNNING" if kept.status == "RUNNING" else "PENDING"
            return Child(execution=execution, birth=kept.birth, status=status)
        return Child(
            execution=execution,
            birth=kept.birth,
            status=end.status,
            stopped=end.at,
            output=end.output,
            error=end.error,
            cause=end.cause,
        )

    def _progress(self, execution: str, over: bool) -> dict[int, Progress]:
        """The Map Runs of an execution as `Engine.restore` wants them."""
        return {
            row.fork: progress_of(row, [self._child(self._at[key]) for key in sorted(self._at) if key[0] == arn], over)
            for arn, row in self.map_runs.items()
            if self._owners[arn] == execution
        }


def progress_of(row: MapRunRow, children: Sequence[Child], over: bool) -> Progress:
    """How far a Map Run with these children is; `over`: it is to be redriven."""
    now = row.redrives + over
    unfinished, failed, items = [], 0, 0
    for child in children:
        if child.status in ("RUNNING", "PENDING") or (child.status != "SUCCEEDED" and child.birth.round < now):
            unfinished.append(child.birth.index)
        elif child.status != "SUCCEEDED":
            failed, items = failed + 1, items + child.birth.items
    last = children[-1].birth if children else None
    return Progress(
        row=row,
        next=last.index + 1 if last else 0,
        cursor=last.first + last.items if last else 0,
        unfinished=unfinished,
        failed=failed,
        failed_items=items,
    )
