"""What is alive in an execution: `Run` (the execution), `Frame` (a position in a machine), `Fork` (a Map or Parallel at
work), `Timer`; and their snapshots.

A frame is also the `Scope` of its expressions: `input` is what `$` means at the moment. Values are shared, never
changed. A fork's row is written once; each finished item is a row of its own, so a large Map stays linear; running
items are the rows of their frames.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from millpond.asl.model import ABSENT, Absent, Json
from millpond.asl.paths import compact
from millpond.engine.doors import Batch, Clock, Event, FrameRow, ItemRow, Start, TaskCall, Token, mint_token
from millpond.engine.failure import StateFailed, runtime
from millpond.engine.node import Node, Program

if TYPE_CHECKING:
    from millpond.engine.spread import Spread

Phase = Literal["enter", "again", "wait", "retry", "task", "fork", "gone"]
"""enter: about to enter the state. again: about to repeat its work. wait, retry: for a timer. task: for a token.
fork: for its branches or items. gone: aborted, and only still somewhere in a queue."""

NONE: Mapping[str, Json] = {}


def to_text(value: Json) -> str:
    """Compact JSON text. Halves of characters, which no store can keep, become U+FFFD.

    Raises StateFailed for a value that is nested too deeply to be written (some 950 levels).
    """
    try:
        text = compact(value)
    except RecursionError:
        raise runtime("The JSON value is nested too deeply.") from None
    return text if text.isascii() else _whole_characters(text)


def _whole_characters(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@contextmanager
def _deeper() -> Iterator[None]:
    """Rows nest a value that could just be written a few levels deeper."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 1_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _row_text(row: Json) -> str:
    try:
        return to_text(row)
    except StateFailed:
        with _deeper():
            return to_text(row)


def exceeds(text: str, limit: int) -> bool:
    """Has this text more than `limit` UTF-8 bytes? 0: no limit. Counts only when it might."""
    if not limit or len(text) * 4 <= limit:
        return False
    return len(text) > limit or len(text.encode()) > limit


def iso(at: float) -> str:
    """Epoch seconds as the context object and AWS's texts show them: 2026-11-23T14:00:00.123Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class HistoryFull(Exception):
    """The execution has used up its events."""


class Ledger:
    """Numbers the events of one execution. `events` None: it counts, so that causes are right, but keeps nothing."""

    __slots__ = ("closed", "context", "events", "last_at", "last_id", "now", "quota")

    def __init__(self, clock: Clock, context: dict[str, Json], events: list[Event] | None, quota: int = 0) -> None:
        self.now, self.context, self.events, self.quota = clock.now, context, events, quota
        self.last_id, self.last_at = 0, 0.0
        self.closed = False  # the terminal event may be the last one of the quota

    def event(
        self,
        kind: str,
        previous: int,
        name: str | None = None,
        payload: str | None = None,
        more: Mapping[str, Json] | None = None,
    ) -> int:
        """Append a history event, and return its id. Raises HistoryFull instead of the event that would be the last
        one allowed: that is reserved for the end."""
        number = self.last_id + 1
        if number == self.quota and not self.closed:
            raise HistoryFull
        at = self.now()
        if at < self.last_at:
            at = self.last_at
        self.last_id, self.last_at = number, at
        if self.events is not None:
            self.events.append(Event(number, previous, at, kind, name, payload, more))
        return number


class Timer:
    """One entry of the timer heap. `cancel` is enough to forget it: it lets go of the run; the heap drops it later."""

    __slots__ = ("due", "frame", "kind", "run")

    def __init__(self, due: float, kind: str, run: Run, frame: Frame | None) -> None:
        self.due, self.kind, self.frame = due, kind, frame
        self.run: Run | None = run

    @property
    def alive(self) -> bool:
        return self.run is not None

    def cancel(self) -> None:
        self.run = self.frame = None


class TaskState:
    """A task that was scheduled. `begun`: its Started event is written; `deadline` and `beat` are wall times."""

    __slots__ = ("beat", "begun", "call", "deadline", "has_submitted", "submitted", "token")

    def __init__(self, call: TaskCall, token: Token) -> None:
        self.call, self.token = call, token
        self.begun = self.has_submitted = False
        self.submitted: Json = None
        self.deadline: float | None = None
        self.beat: float | None = None


class Frame:
    """A position in a machine: the state it is in, that state's input, and what it waits for."""

    __slots__ = (
        "attempts",
        "before",
        "due",
        "entered",
        "entered_at",
        "error_output",
        "fork",
        "held",
        "index",
        "input",
        "key",
        "ledger",
        "node",
        "own",
        "phase",
        "previous",
        "raw",
        "result",
        "run",
        "task",
        "task_token",
        "text",
        "timers",
        "tries",
        "variables",
        "work",
    )

    def __init__(
        self, run: Run, key: int, node: Node, raw: Json, *, fork: Fork | None = None, index: int = 0, previous: int = 0
    ) -> None:
        self.run, self.key, self.node, self.raw, self.fork, self.index = run, key, node, raw, fork, index
        self.input: Json = raw
        self.text: str | None = None  # raw as JSON text, where it is known
        self.previous = self.before = previous  # before: as it was when the state was entered
        self.phase: Phase = "enter"
        self.entered = 0
        self.entered_at = 0.0
        self.ledger: Ledger = run.ledger if fork is None else fork.frame.ledger
        self.variables: Mapping[str, Json] = fork.frame.variables if fork else NONE
        self.own: Mapping[str, Json] = NONE  # the variables that this frame assigned
        self.held: int | None = None  # bytes in its variables, once they were counted
        self.attempts: dict[int, int] = {}  # by retrier
        self.tries = 0  # retries of this state in all
        self.due: float | None = None  # wall time at which a wait or retry ends
        self.timers: list[Timer] = []
        self.task: TaskState | None = None
        self.task_token: Token | None = None
        self.work: Fork | Spread | None = None  # what this frame waits for
        self.result: Json | Absent = ABSENT  # for $states.result
        self.error_output: Json | Absent = ABSENT  # for $states.errorOutput

    @property
    def context(self) -> dict[str, Json]:
        """The context object, as `$$` and `$states.context` see it."""
        shown = dict(self.ledger.context)
        state: dict[str, Json] = {"Name": self.node.name, "EnteredTime": iso(self.entered_at)}
        if self.node.kind in ("Task", "Map", "Parallel"):
            state["RetryCount"] = self.tries
        shown["State"] = state
        if self.task_token is not None:
            shown["Task"] = {"Token": self.task_token}
        item = self._item()
        if item is not None:
            shown["Map"] = {"Item": item}
        return shown

    def _item(self) -> Json:
        frame = self
        while frame.fork is not None:
            if frame.fork.is_map:
                return {"Index": frame.index, "Value": frame.fork.given[frame.index]}
            frame = frame.fork.frame
        return None

    def random(self) -> float:
        return self.run.clock.random()

    def now(self) -> float:
        return self.run.clock.now()

    def assign(self, values: Mapping[str, Json]) -> None:
        """Set variables: seen by this frame and by the frames it starts from now on."""
        self.own = {**self.own, **values}
        self.variables = {**self.variables, **values}

    def stop_timers(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers = []

    @property
    def path(self) -> str:
        """Where this frame is: `Ingest[3]/Copy`."""
        if self.fork is None:
            return self.node.name
        return f"{self.fork.frame.path}[{self.index}]/{self.node.name}"


class ItemScope:
    """The scope of an ItemSelector: the Map's own, and the item that is about to start."""

    def __init__(
        self, frame: Frame, index: int, value: Json, key: str | None = None, source: str | None = None
    ) -> None:
        self._frame, self._index, self._value, self._key, self._source = frame, index, value, key, source
        self.input = frame.input
        self.raw = frame.raw
        self.variables = frame.variables
        self.result: Json | Absent = ABSENT
        self.error_output: Json | Absent = ABSENT

    @property
    def context(self) -> dict[str, Json]:
        item: dict[str, Json] = {"Index": self._index, "Value": self._value}
        if self._key is not None:
            item["Key"] = self._key
        if self._source is not None:
            item["Source"] = self._source
        return {**self._frame.context, "Map": {"Item": item}}

    def random(self) -> float:
        return self._frame.random()

    def now(self) -> float:
        return self._frame.now()


class Fork:
    """An inline Map or a Parallel at work. `given` are the Map's items, or the one input of all branches; a Map starts
    at most `limit` items at a time."""

    __slots__ = (
        "done",
        "frame",
        "gaps",
        "given",
        "halted",
        "is_map",
        "key",
        "limit",
        "live",
        "next",
        "results",
        "size",
    )

    def __init__(self, frame: Frame, key: int, *, is_map: bool, given: list[Json], size: int, limit: int) -> None:
        self.frame, self.key, self.is_map, self.given, self.size, self.limit = frame, key, is_map, given, size, limit
        self.results: list[Json | Absent] = [ABSENT] * size
        self.done = 0
        self.next = 0
        self.live: dict[int, Frame] = {}
        self.halted: dict[int, tuple[Frame, Phase]] = {}  # failed or aborted, as they were: for a redrive
        self.gaps: deque[int] = deque()  # to be started before `next`, after a redrive

    def program(self, index: int) -> Program:
        """The machine of one branch or item."""
        programs = self.frame.node.programs
        return programs[0] if self.is_map else programs[index]


@dataclass(slots=True, eq=False)
class Run:
    """One execution in memory."""

    start: Start
    program: Program
    clock: Clock
    ledger: Ledger
    batch: Batch
    broken: str | None = None  # why the machine cannot be compiled
    next_key: int = 1
    root: Frame | None = None
    ready: deque[Frame] = field(default_factory=deque)
    queued: bool = False
    ended: bool = False
    deadline: Timer | None = None
    spread: Spread | None = None  # the Map Run whose child this is
    index: int = 0
    weight: int = 1  # items of the Map Run in it
    depth: int = 0
    dirty: dict[int, Frame] = field(default_factory=dict)
    stored: set[int] = field(default_factory=set)  # keys with a row in the store
    starting: list[TaskState] = field(default_factory=list)  # to dispatch after the next barrier
    resuming: list[TaskState] = field(default_factory=list)

    def token(self, frame: Frame) -> Token:
        """The task token of the frame's present attempt."""
        visit = self.start.redrive_count << 64 | frame.entered
        return mint_token(self.start.secret, self.start.execution, visit, frame.tries)

    def side_token(self, frame: Frame, kind: Literal["reader", "writer"]) -> Token:
        """The token of what a distributed Map asks for beside its children."""
        visit = self.start.redrive_count << 64 | frame.entered
        return mint_token(self.start.secret, self.start.execution, visit, -2 * frame.tries - (1, 2)[kind == "writer"])

    def key(self) -> int:
        """A fresh key for a frame or fork; parents have lower keys than their children."""
        self.next_key += 1
        return self.next_key - 1

    def forget(self, key: int) -> None:
        """A frame or fork is gone: delete its row, if it ever had one."""
        self.dirty.pop(key, None)
        if key in self.stored:
            self.stored.discard(key)
            self.batch.gone.append(key)


def context_of(start: Start) -> dict[str, Json]:
    """The parts of the context object that never change in an execution."""
    execution: dict[str, Json] = {
        "Id": start.execution,
        "Input": start.input,
        "StartTime": iso(start.started_at),
        "Name": start.name,
        "RoleArn": start.role,
    }
    if not start.express:
        execution["RedriveCount"] = start.redrive_count
        if start.redriven_at is not None:
            execution["RedriveTime"] = iso(start.redriven_at)
    return {"Execution": execution, "StateMachine": {"Id": start.machine_arn, "Name": start.machine_name}}


# ------------------------------------------------------------------------------------------------------------ snapshots


def frame_row(frame: Frame) -> FrameRow:
    """The frame's snapshot. What has its default is left out; `input` is spliced in as text where it is known."""
    row: dict[str, Json] = {
        "state": frame.node.name,
        "phase": frame.phase,
        "previous": frame.previous,
        "entered": frame.entered,
        "at": frame.entered_at,
    }
    if frame.fork is not None:
        row["fork"], row["index"] = frame.fork.key, frame.index
    if frame.own:
        row["own"] = dict(frame.own)
    if frame.tries:
        row["tries"] = frame.tries
        row["attempts"] = {str(index): count for index, count in frame.attempts.items()}
    if frame.due is not None:
        row["due"] = frame.due
    if frame.task is not None:
        row["task"] = _task_fields(frame.task)
    text = frame.text if frame.text is not None else to_text(frame.raw)
    return FrameRow(frame.key, f'{_row_text(row)[:-1]},"input":{text}}}')


def _task_fields(task: TaskState) -> dict[str, Json]:
    call = task.call
    fields: dict[str, Json] = {"token": task.token, "arguments": call.arguments, "attempt": call.attempt}
    optional: tuple[tuple[str, Json], ...] = (
        ("resource", call.resource),
        ("kind", call.kind if call.kind in ("reader", "writer") else None),
        ("timeout", call.timeout),
        ("heartbeat", call.heartbeat),
        ("role", call.role),
        ("begun", task.begun or None),
        ("deadline", task.deadline),
        ("beat", task.beat),
    )
    fields.update({name: value for name, value in optional if value is not None})
    if task.has_submitted:
        fields["submitted"] = task.submitted
    return fields


def fork_row(fork: Fork) -> FrameRow:
    """The fork's snapshot: written once, when it begins."""
    fields: dict[str, Json] = {
        "frame": fork.frame.key,
        "map": fork.is_map,
        "given": fork.given,
        "size": fork.size,
        "limit": fork.limit,
    }
    if fork.frame.node.selector is not None and fork.frame.input is not fork.frame.raw:
        fields["input"] = fork.frame.input
    return FrameRow(fork.key, _row_text(fields))


def item_row(fork: Fork, index: int, text: str) -> ItemRow:
    """The result of a finished branch or item."""
    return ItemRow(fork.key, index, text)


class Row:
    """A decoded snapshot row, with typed access. Rows are ours: a wrong type is a damaged store, and raises."""

    def __init__(self, text: str) -> None:
        with _deeper():
            fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError(f"not a frame snapshot: {text[:60]}")
        self.fields = cast("dict[str, Json]", fields)

    @classmethod
    def of(cls, fields: dict[str, Json]) -> Row:
        """An object within a row."""
        row = cls.__new__(cls)
        row.fields = fields
        return row

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def json(self, name: str) -> Json:
        return self.fields.get(name)

    def integer(self, name: str, default: int = 0) -> int:
        value = self.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name} is not an integer: {value!r}")
        return value

    def number(self, name: str) -> float | None:
        value = self.fields.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{name} is not a number: {value!r}")
        return value

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise ValueError(f"{name} is not a string: {value!r}")
        return value

    def items(self, name: str) -> list[Json]:
        value = self.fields.get(name)
        if not isinstance(value, list):
            raise ValueError(f"{name} is not a list: {value!r}")
        return value

    def mapping(self, name: str) -> dict[str, Json]:
        value = self.fields.get(name, {})
        if not isinstance(value, dict):
            raise ValueError(f"{name} is not an object: {value!r}")
        return value
