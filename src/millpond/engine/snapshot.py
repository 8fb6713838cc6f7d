"""From the store's rows back to frames: the other half of `frame`'s snapshots."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

from millpond.asl.model import Json
from millpond.engine import spread
from millpond.engine.doors import ItemRow, Snapshot, TaskKind
from millpond.engine.frame import Fork, Frame, Phase, Row, Run, TaskState
from millpond.engine.node import Call
from millpond.engine.tasks import call_of

_PHASES = ("enter", "again", "wait", "retry", "task", "fork")


def rebuild(run: Run, snapshot: Snapshot) -> list[Frame]:
    """Fill a fresh run with its frames and forks; all frames, in order of birth. Raises ValueError."""
    frames: dict[int, Frame] = {}
    forks: dict[int, Fork] = {}
    for key, text in sorted(snapshot.frames):
        row = Row(text)
        run.next_key = max(run.next_key, key + 1)
        run.stored.add(key)
        try:
            if "arn" in row:
                spread.restore(row, key, frames[row.integer("frame")], snapshot.map_runs[key])
            elif "frame" in row:
                forks[key] = _fork(key, row, frames)
            else:
                frames[key] = _frame(run, key, row, forks)
        except KeyError as missing:
            raise ValueError(f"{run.start.execution}: row {key} names a missing {missing}") from None
    for item in snapshot.items:
        fork = forks.get(item.fork)
        if fork is not None:
            _item(fork, item)
    roots = [frame for frame in frames.values() if frame.fork is None]
    if len(roots) != 1:
        raise ValueError(f"{run.start.execution}: {len(roots)} root frames in the store")
    run.root = roots[0]
    return list(frames.values())


def _item(fork: Fork, item: ItemRow) -> None:
    """A finished branch or item."""
    fork.next = max(fork.next, item.index + 1)
    fork.results[item.index] = cast("Json", json.loads(item.text))
    fork.done += 1


def _fork(key: int, row: Row, frames: dict[int, Frame]) -> Fork:
    frame = frames[row.integer("frame")]
    is_map = row.json("map") is True
    given, size, limit = row.items("given"), row.integer("size"), row.integer("limit")
    fork = Fork(frame, key, is_map=is_map, given=given, size=size, limit=limit)
    frame.work = fork
    if "input" in row:
        frame.input = row.json("input")
    return fork


def _frame(run: Run, key: int, row: Row, forks: dict[int, Fork]) -> Frame:
    fork = forks[row.integer("fork")] if "fork" in row else None
    index = row.integer("index")
    program = run.program if fork is None else fork.program(index)
    node = program.nodes[row.text("state")]
    frame = Frame(run, key, node, row.json("input"), fork=fork, index=index, previous=row.integer("previous"))
    phase = row.text("phase")
    if phase not in _PHASES:
        raise ValueError(f"no such phase: {phase}")
    frame.phase = cast("Phase", phase)
    frame.entered = row.integer("entered")
    frame.entered_at = row.number("at") or 0.0
    frame.tries = row.integer("tries")
    frame.attempts = {int(name): cast("int", count) for name, count in row.mapping("attempts").items()}
    frame.due = row.number("due")
    if "own" in row:
        frame.assign(row.mapping("own"))
    if "task" in row:
        frame.task = _task(frame, Row.of(row.mapping("task")))
    if fork is not None:
        fork.live[index] = frame
        fork.next = max(fork.next, index + 1)
    return frame


def _task(frame: Frame, row: Row) -> TaskState:
    resource, arguments = row.text("resource"), row.json("arguments")
    role = row.text("role") if "role" in row else None
    call = Call(resource, arguments, row.number("timeout"), row.number("heartbeat"), role)
    submitted = "submitted" in row
    seen = call_of(frame, call, row.integer("attempt"), submitted=row.json("submitted"), has_submitted=submitted)
    if "kind" in row:
        seen = replace(seen, kind=cast("TaskKind", row.text("kind")))
    task = TaskState(seen, row.text("token"))
    task.begun = row.json("begun") is True
    task.has_submitted, task.submitted = submitted, row.json("submitted")
    task.deadline, task.beat = row.number("deadline"), row.number("beat")
    return task
