"""A distributed Map at work: its Map Run, and the child executions that it starts.

A child is an execution like any other: a `Run` with an ARN, a history, a context object and batches of its own. The
engine holds those that run; whatever has ended is the store's. `pump` moves a Map Run on, a few hundred children a
round, so that one of a hundred thousand items neither fills the memory nor keeps other executions from their turn.

    reading    the ItemReader's task has yet to answer (items in the state's input skip this)
    running    children begin as the concurrency allows
    pending    the Map Run failed: what did not begin is put down for the result files
    writing    the ResultWriter's task has yet to answer

Names are made from the execution's secret, the Map Run and the index, so a restart finds the same ones. A Map without
a Label has one that is made of its name, the same in every execution.

**Limit**: a Map Run that is stopped with its execution writes no result files.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from millpond.asl.model import Json
from millpond.asl.paths import EvaluationError
from millpond.engine.distributed import AT_ONCE, Plan
from millpond.engine.doors import Birth, Child, Ended, FrameRow, Item, Items, MapRunRow, Progress, Snapshot, Start
from millpond.engine.failure import READER, TOLERANCE, WRITER, StateFailed, too_large
from millpond.engine.frame import Frame, ItemScope, Row, Run, TaskState, exceeds, to_text
from millpond.engine.history import failure_details
from millpond.engine.node import Distribute
from millpond.engine.results import transformed

if TYPE_CHECKING:
    from millpond.engine.run import Engine

BIRTHS = 200
"""Children that one Map Run may start in a round of the loop."""

LAST_EVENT = 24_999
"""An execution with so many events cannot be redriven (AWS's documentation)."""

Stage = Literal["reading", "running", "pending", "writing", "over"]
Status = Literal["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]
Numbers = dict[str, Json]


class Given:
    """Items of the state's own input: an array, or an object's pairs."""

    def __init__(self, value: Json) -> None:
        self._pairs = list(value.items()) if isinstance(value, dict) else None
        self._values = value if isinstance(value, list) else []

    def __len__(self) -> int:
        return len(self._values if self._pairs is None else self._pairs)

    def item(self, index: int) -> Item:
        if self._pairs is None:
            return Item(self._values[index])
        key, value = self._pairs[index]
        return Item(value, None, key)


class Spread:
    """One Map Run. `total` is -1 until the items are known; `next` is the next child's index, `cursor` its first item;
    `gaps` are children to take up again, `live` those that run. `failed` and `failed_items` count this round only."""

    __slots__ = (
        "arn",
        "batch",
        "count",
        "cursor",
        "failed",
        "failed_items",
        "failure",
        "frame",
        "gaps",
        "given",
        "items",
        "key",
        "label",
        "limit",
        "live",
        "machine",
        "next",
        "percent",
        "plan",
        "prefix",
        "queued",
        "reads",
        "redriven",
        "redrives",
        "stage",
        "started",
        "status",
        "stopped",
        "total",
        "writer",
        "written",
    )

    def __init__(self, frame: Frame, key: int, *, arn: str, label: str, started: float) -> None:
        assert frame.node.plan is not None
        self.frame, self.key, self.arn, self.label, self.started = frame, key, arn, label, started
        self.plan: Plan = frame.node.plan
        root = frame.run.start.machine_arn.partition("/")[0]  # a nested Map's children are the machine's, too
        self.machine = f"{root}/{label}"
        kind = "express" if self.plan.express else "execution"
        self.prefix = self.machine.replace(":stateMachine:", f":{kind}:", 1)
        self.given: Json = None
        self.batch: Numbers | None = None
        self.writer: Numbers | None = None
        self.limit, self.count, self.percent = 0, cast("int | None", None), cast("float | None", None)
        self.stage: Stage = "running"
        self.status: Status = "RUNNING"
        self.stopped: float | None = None
        self.reads = False  # items come from a reader
        self.items: Items = Given(None)
        self.total = -1
        self.next = self.cursor = self.failed = self.failed_items = 0
        self.redrives, self.redriven = 0, cast("float | None", None)
        self.failure: StateFailed | None = None
        self.written = False
        self.queued = False
        self.gaps: deque[int] = deque()
        self.live: dict[int, Run] = {}

    @property
    def size(self) -> int:
        """How many items there are to go on with in a redrive: 0 while nobody knows."""
        return max(0, self.total)

    @property
    def at_once(self) -> int:
        return min(self.limit or AT_ONCE, AT_ONCE)

    @property
    def exports(self) -> bool:
        """Do the results go to S3?"""
        return self.writer is not None and "Resource" in self.writer

    def bears(self) -> bool:
        """Are the failures within both thresholds? None given: none is borne."""
        if self.percent is not None and self.failed_items * 100 > self.percent * self.total:
            return False
        most = self.count if self.count is not None else self.total if self.percent is not None else 0
        return self.failed_items <= most

    def executions(self) -> int:
        """How many children that makes, -1 where it is not known yet."""
        if self.total < 0 or not self.plan.batched:
            return self.total
        if self.cursor >= self.total:
            return self.next
        most = cast("int", self.batch["MaxItems"]) if self.batch else 0
        return -1 if not most or (self.batch or {}).get("MaxBytes") else -(-self.total // most)

    def row(self) -> MapRunRow:
        """The Map Run as the store keeps it."""
        return MapRunRow(
            *(self.arn, self.key, self.label, self.plan.express, self.status, self.started, self.stopped),
            *(self.total, self.executions(), self.limit, self.count or 0, self.percent or 0.0),
            *(self.redrives, self.redriven, self.written),
        )

    def frame_row(self) -> FrameRow:
        """The part of the parent's snapshot that `Progress` does not tell."""
        fields: dict[str, Json] = {"frame": self.frame.key, "arn": self.arn, "stage": self.stage}
        optional: tuple[tuple[str, Json], ...] = (
            ("given", self.given),
            ("batch", cast("Json", self.batch)),
            ("writer", cast("Json", self.writer)),
            ("count", self.count),
            ("percent", self.percent),
            ("reads", self.reads or None),
        )
        fields.update({name: value for name, value in optional if value is not None})
        if self.failure is not None:
            fields["failure"] = {"error": self.failure.error, "cause": self.failure.cause}
        if self.plan.selector is not None and self.frame.input is not self.frame.raw:
            fields["input"] = self.frame.input
        return FrameRow(self.key, to_text(fields))


# ------------------------------------------------------------------------------------------------------------ beginning


def begin(engine: Engine, frame: Frame, work: Distribute) -> None:
    """MapStateStarted and MapRunStarted; then the items are read, or the children may begin."""
    run = frame.run
    spread = _open(frame, run.key(), work)
    spread.started = engine.clock.now()
    length = {"length": len(Given(work.given)) if work.reader is None else 0}
    frame.previous = frame.ledger.event("MapStateStarted", frame.previous, None, None, cast("Numbers", length))
    spread.count, spread.percent = work.tolerance(frame)
    more: Numbers = {"mapRunArn": spread.arn}
    frame.previous = frame.ledger.event("MapRunStarted", frame.previous, None, None, more)
    frame.phase, frame.work = "fork", spread
    engine.map_runs[spread.arn] = spread
    engine.touch(frame)
    if work.reader is None:
        spread.items = Given(work.given)
        spread.total = len(spread.items)
        engine.pump_later(spread)
    else:
        spread.stage, spread.reads = "reading", True
        arguments: Numbers = {**work.reader, "MapRunArn": spread.arn}
        engine.ask(frame, "reader", str(work.reader["Resource"]), arguments)
    note(engine, spread)


def _open(frame: Frame, key: int, work: Distribute) -> Spread:
    plan, run = frame.node.plan, frame.run
    assert plan is not None
    machine = run.start.machine_arn.partition("/")[0]
    label = plan.label or str(_uuid(machine.encode(), frame.node.name))
    visit = f"{run.start.execution}|{frame.path}|{frame.entered}|{frame.tries}|{run.start.redrive_count}"
    arn = f"{machine.replace(':stateMachine:', ':mapRun:', 1)}/{label}:{_uuid(run.start.secret, visit)}"
    spread = Spread(frame, key, arn=arn, label=label, started=0.0)
    spread.given, spread.batch, spread.writer = work.given, work.batch, work.writer
    spread.limit = work.limit
    return spread


def _uuid(secret: bytes, use: str) -> uuid.UUID:
    """Deterministic, so that a restart finds the same names."""
    digest = hashlib.sha256(secret + use.encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def note(engine: Engine, spread: Spread) -> None:
    """Hand the Map Run as it is now to the store."""
    run = spread.frame.run
    if run.batch.map_runs is None:
        run.batch.map_runs = []
    run.batch.map_runs.append(spread.row())
    if spread.stage != "over":
        run.batch.frames.append(spread.frame_row())
        run.stored.add(spread.key)
    engine.changed(run)


def answered(engine: Engine, frame: Frame, output: Json) -> None:
    """The reader or the writer has done its work."""
    spread, task = _asked(engine, frame)
    if task.call.kind == "writer":
        spread.written = True
        _end(engine, spread, output)
        return
    spread.stage = "running"
    _take_items(engine, spread)


def refused(engine: Engine, frame: Frame, error: str | None, cause: str | None) -> None:
    """The reader or the writer has failed."""
    spread, task = _asked(engine, frame)
    expected = READER if task.call.kind == "reader" else WRITER
    spread.failure = StateFailed(error or expected, cause)
    _end(engine, spread, None)


def _asked(engine: Engine, frame: Frame) -> tuple[Spread, TaskState]:
    task, spread = frame.task, frame.work
    assert task is not None
    assert isinstance(spread, Spread)
    engine.let_go(frame, stop=False)
    engine.touch(frame)
    return spread, task


def _take_items(engine: Engine, spread: Spread) -> None:
    """Open what was read, and let the children begin."""
    try:
        spread.items = engine.tasks.opened(spread.arn) if spread.reads else Given(spread.given)
    except (OSError, ValueError) as lost:
        spread.failure = StateFailed(READER, f"The items that were read are lost: {lost}")
        _end(engine, spread, None)
        return
    spread.total = len(spread.items)
    note(engine, spread)
    engine.pump_later(spread)


# -------------------------------------------------------------------------------------------------------------- running


def pump(engine: Engine, spread: Spread) -> None:
    """Let the Map Run go on: start what may start, notice that it has failed or that all is done."""
    if spread.stage == "pending":
        _put_down(engine, spread)
        return
    if spread.stage != "running":
        return
    if not spread.bears():
        _fail(engine, spread, StateFailed(TOLERANCE, "The specified tolerated failure threshold was exceeded"))
        return
    try:
        started = _start_some(engine, spread)
    except (EvaluationError, StateFailed) as failure:
        _fail(engine, spread, failure)
        return
    if started == BIRTHS:
        engine.pump_later(spread)
    elif not spread.live and not spread.gaps and spread.cursor >= spread.total:
        _conclude(engine, spread)


def _start_some(engine: Engine, spread: Spread) -> int:
    started = 0
    while started < BIRTHS and len(spread.live) < spread.at_once:
        if spread.gaps:
            _revive(engine, spread, spread.gaps.popleft())
        elif spread.cursor < spread.total:
            _bear(engine, spread)
        else:
            break
        started += 1
    return started


def _bear(engine: Engine, spread: Spread) -> None:
    """The next child begins."""
    value, text, items = next_input(spread)
    birth = _birth(spread, spread.next, spread.cursor, items, text, engine.clock.now())
    spread.next += 1
    spread.cursor += items
    _begin_child(engine, spread, execution_arn(spread, birth.name), birth, value)


def _birth(spread: Spread, index: int, first: int, items: int, text: str, now: float) -> Birth:
    start = spread.frame.run.start
    return Birth(
        map_run=spread.arn,
        parent=start.execution,
        index=index,
        first=first,
        items=items,
        name=str(_uuid(start.secret, f"{spread.arn}|{index}|{spread.redrives if spread.plan.express else 0}")),
        machine_arn=spread.machine,
        role=start.role,
        secret=start.secret,
        input=text,
        started=now,
        express=spread.plan.express,
        round=spread.redrives,
    )


def execution_arn(spread: Spread, name: str) -> str:
    """The ARN of a child."""
    if not spread.plan.express:
        return f"{spread.prefix}:{name}"
    return f"{spread.prefix}:{name}:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def _begin_child(engine: Engine, spread: Spread, arn: str, birth: Birth, value: Json) -> None:
    start = _start_of(spread, arn, birth, value)
    program = spread.frame.node.programs[0]
    spread.live[birth.index] = engine.bear(start, program, spread, birth)


def _start_of(spread: Spread, arn: str, birth: Birth, value: Json) -> Start:
    parent = spread.frame.run.start
    return Start(
        execution=arn,
        name=birth.name,
        machine=parent.machine,
        machine_arn=birth.machine_arn,
        machine_name=birth.machine_arn.rpartition(":")[2],
        role=parent.role,
        input=value,
        secret=parent.secret,
        started_at=birth.started,
        input_text=birth.input,
        express=birth.express,
        redrive_count=birth.redrives,
        redriven_at=birth.redriven,
        region=parent.region,
        event_quota=parent.event_quota,
        payload_quota=parent.payload_quota,
    )


def next_input(spread: Spread) -> tuple[Json, str, int]:
    """The next child's input, as value and text, and how many items are in it."""
    if spread.plan.batched:
        return _next_batch(spread)
    value, text = _chosen(spread, spread.cursor)
    if text is None:
        text = to_text(value)
    _check_size(spread, text)
    return value, text, 1


def _chosen(spread: Spread, index: int) -> tuple[Json, str | None]:
    """What an item gives its child, after ItemSelector."""
    item = spread.items.item(index)
    if spread.plan.selector is not None:
        return spread.plan.selector(ItemScope(spread.frame, index, item.value, item.key, item.source)), None
    return (item.value, item.text) if item.key is None else ({"Key": item.key, "Value": item.value}, None)


def _next_batch(spread: Spread) -> tuple[Json, str, int]:
    """As many items as a batch may have, one at least; its bytes are those of the child's whole input."""
    limits = spread.batch or {}
    count = cast("int", limits.get("MaxItems", 0))
    most = cast("int", limits.get("MaxBytes", 0)) or spread.frame.run.start.payload_quota
    head = '{"Items":[' if "Input" not in limits else f'{{"BatchInput":{to_text(limits["Input"])},"Items":['
    room = most - len(head.encode()) - 2
    values: list[Json] = []
    texts: list[str] = []
    for index in range(spread.cursor, min(spread.total, spread.cursor + count) if count else spread.total):
        value, text = _chosen(spread, index)
        if text is None:
            text = to_text(value)
        room -= len(text.encode()) + (1 if texts else 0)
        if texts and most and room < 0:
            break
        values.append(value)
        texts.append(text)
    given: dict[str, Json] = {} if "Input" not in limits else {"BatchInput": limits["Input"]}
    text = f"{head}{','.join(texts)}]}}"
    _check_size(spread, text)
    return {**given, "Items": values}, text, len(values)


def _check_size(spread: Spread, text: str) -> None:
    if exceeds(text, spread.frame.run.start.payload_quota):
        raise too_large(spread.frame.node.name)


def child_over(engine: Engine, child: Run, ended: Ended) -> None:
    """A child execution has ended."""
    spread = child.spread
    assert spread is not None
    spread.live.pop(child.index, None)
    if spread.stage != "running":
        return
    if ended.status != "SUCCEEDED":
        spread.failed += 1
        spread.failed_items += child.weight
    engine.pump_later(spread)


# ---------------------------------------------------------------------------------------------------- going on with one


def restore(row: Row, key: int, frame: Frame, progress: Progress) -> Spread:
    """A Map Run that comes back from the store. Raises ValueError."""
    known = progress.row
    spread = Spread(frame, key, arn=row.text("arn"), label=known.label, started=known.started)
    spread.given = row.json("given")
    spread.batch = row.mapping("batch") if "batch" in row else None
    spread.writer = row.mapping("writer") if "writer" in row else None
    spread.limit, spread.percent = known.limit, row.number("percent")
    spread.count = row.integer("count") if "count" in row else None
    spread.reads = row.json("reads") is True
    spread.stage = cast("Stage", row.text("stage"))
    if "failure" in row:
        failure = Row.of(row.mapping("failure"))
        spread.failure = StateFailed(cast("str", failure.json("error")), cast("str", failure.json("cause")))
    if "input" in row:
        frame.input = row.json("input")
    spread.total, spread.next, spread.cursor = known.items, progress.next, progress.cursor
    spread.failed, spread.failed_items = progress.failed, progress.failed_items
    spread.redrives, spread.redriven, spread.written = known.redrives, known.redriven, known.written
    spread.gaps.extend(progress.unfinished)
    frame.work = spread
    return spread


def resume(engine: Engine, spread: Spread) -> None:
    """Go on after a restart. The reader's or writer's task is resumed with its frame."""
    engine.map_runs[spread.arn] = spread
    if spread.stage in ("running", "pending"):
        _take_items(engine, spread)


def redrive(engine: Engine, spread: Spread) -> None:
    """Go on with a Map Run that did not succeed: the children that did are not run again."""
    frame = spread.frame
    spread.redrives += 1
    spread.redriven, spread.stopped = engine.clock.now(), None
    spread.status, spread.stage, spread.failure = "RUNNING", "running", None
    more: Numbers = {"mapRunArn": spread.arn, "redriveCount": spread.redrives}
    frame.previous = frame.ledger.event("MapRunRedriven", frame.previous, None, None, more)
    engine.map_runs[spread.arn] = spread
    engine.touch(frame)
    _take_items(engine, spread)


def _revive(engine: Engine, spread: Spread, index: int) -> None:
    """Take a child up again that the store remembers: it was running, or is to be redriven."""
    child = engine.store.child(spread.arn, index)
    if child.status == "SUCCEEDED":
        return
    if child.status == "PENDING" or (child.status == "RUNNING" and (child.birth.express or not child.last_event)):
        birth = replace(child.birth, pending=False, started=engine.clock.now(), round=spread.redrives)
        _begin_child(engine, spread, child.execution, birth, json.loads(birth.input))
    elif child.status == "RUNNING":
        _go_on(engine, spread, child, child.birth, over=False)
    elif child.birth.express:
        _replace(engine, spread, child)
    elif child.last_event >= LAST_EVENT or not child.frames:
        spread.failed += 1
        spread.failed_items += child.birth.items
    else:
        now = engine.clock.now()
        birth = replace(child.birth, redrives=child.birth.redrives + 1, redriven=now, round=spread.redrives)
        _go_on(engine, spread, child, birth, over=True)


def _replace(engine: Engine, spread: Spread, child: Child) -> None:
    """An Express child begins anew, as another execution."""
    known = child.birth
    birth = _birth(spread, known.index, known.first, known.items, known.input, engine.clock.now())
    birth = replace(birth, replaces=child.execution)
    _begin_child(engine, spread, execution_arn(spread, birth.name), birth, json.loads(known.input))


def _go_on(engine: Engine, spread: Spread, child: Child, birth: Birth, *, over: bool) -> None:
    start = _start_of(spread, child.execution, birth, json.loads(birth.input))
    last, at = child.last_event, child.last_at
    snapshot = Snapshot(start, last, at, child.frames, child.items, over, child.map_runs)
    spread.live[birth.index] = engine.rejoin(snapshot, spread.frame.node.programs[0], spread, birth)


# --------------------------------------------------------------------------------------------------------------- ending


def _fail(engine: Engine, spread: Spread, failure: StateFailed | EvaluationError) -> None:
    """The Map Run fails: its children are stopped; result files, where there are any, tell of those that wait."""
    if isinstance(failure, EvaluationError):
        failure = StateFailed(failure.error, failure.cause, evaluated=True, location=failure.location)
    spread.failure = failure
    _stop_children(engine, spread, "pending")
    if spread.exports and not failure.evaluated:
        note(engine, spread)
        engine.pump_later(spread)
    else:
        _end(engine, spread, None)


def _stop_children(engine: Engine, spread: Spread, stage: Stage) -> None:
    spread.stage = stage
    for child in list(spread.live.values()):
        engine.end(child, "ABORTED", 0)
    spread.live.clear()


def _put_down(engine: Engine, spread: Spread) -> None:
    """Rows for children that will not begin, a few hundred a round; then the result files."""
    births: list[tuple[str, Birth]] = []
    try:
        while spread.cursor < spread.total and len(births) < BIRTHS:
            _, text, items = next_input(spread)
            birth = _birth(spread, spread.next, spread.cursor, items, text, engine.clock.now())
            births.append((execution_arn(spread, birth.name), replace(birth, pending=True)))
            spread.next += 1
            spread.cursor += items
    except (EvaluationError, StateFailed):
        spread.cursor = spread.total  # it has failed already; what cannot be made an input is not listed
    run = spread.frame.run
    run.batch.births = (run.batch.births or []) + births
    engine.changed(run)
    if spread.cursor < spread.total:
        engine.pump_later(spread)
    else:
        _write(engine, spread)


def _conclude(engine: Engine, spread: Spread) -> None:
    """All children have ended, within the thresholds."""
    if spread.exports:
        _write(engine, spread)
        return
    how = spread.writer or {}
    quota = spread.frame.run.start.payload_quota
    found = transformed(engine.store.children(spread.arn), str(how.get("Transformation", "COMPACT")))
    _end(engine, spread, _gathered(found, quota), too_much=True)


def _gathered(found: Iterable[str], quota: int) -> Json:
    """The results as an array; None where they are more than an output may be."""
    texts: list[str] = []
    size = 1
    for text in found:
        size += len(text) + 1
        if quota and size > quota:
            return None
        texts.append(text)
    return cast("Json", json.loads(f"[{','.join(texts)}]"))


def _write(engine: Engine, spread: Spread) -> None:
    assert spread.writer is not None
    spread.stage = "writing"
    arguments: Numbers = {**spread.writer, "MapRunArn": spread.arn}
    engine.ask(spread.frame, "writer", str(spread.writer["Resource"]), arguments)
    note(engine, spread)


def _end(engine: Engine, spread: Spread, output: Json, *, too_much: bool = False) -> None:
    """The Map Run is over; its state leaves or fails. `output` None where `too_much`: the results are too large."""
    frame, failure = spread.frame, spread.failure
    _close(engine, spread, "SUCCEEDED" if failure is None else "FAILED")
    if failure is not None:
        details = failure_details(failure.error, failure.cause)
        frame.previous = frame.ledger.event("MapRunFailed", frame.previous, None, None, details)
        engine.fail(frame, failure)
        return
    frame.previous = frame.ledger.event("MapRunSucceeded", frame.previous)
    if too_much and output is None:
        engine.fail(frame, too_large(spread.frame.node.name))
        return
    frame.ledger.event("MapStateSucceeded", frame.previous)
    engine.finish(frame, output)


def _close(engine: Engine, spread: Spread, status: Status) -> None:
    at = spread.frame.ledger.last_at if status == "ABORTED" else engine.clock.now()
    spread.status, spread.stopped, spread.stage = status, at, "over"
    engine.map_runs.pop(spread.arn, None)
    note(engine, spread)


def abort(engine: Engine, spread: Spread) -> None:
    """The state's execution ends, or its branch: stop the children."""
    if spread.stage == "over":
        return
    _stop_children(engine, spread, "over")
    _close(engine, spread, "ABORTED")


def update(engine: Engine, arn: str, limit: int | None, count: int | None, percent: float | None) -> None:
    """UpdateMapRun: what is given changes, at once."""
    spread = engine.map_runs.get(arn)
    if spread is None:
        return
    spread.limit = spread.limit if limit is None else limit
    spread.count = spread.count if count is None else count
    spread.percent = spread.percent if percent is None else percent
    note(engine, spread)
    engine.pump_later(spread)
