"""Map and Parallel at work: start branches and items, collect their results, abort them.

A Parallel starts all branches at once, a Map as many items as it may. What an item leaves behind is one row for the
store and one place in a list, so a Map of ten thousand items costs ten thousand times an item.

A distributed Map runs its items as child executions: with a context object, variables and event numbers of their own,
which the parent's history does not show, and with tolerated failures. **Limits**: the children live in the parent's
snapshot and keep no history of their own, so they cannot be listed or described.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from millpond.asl.model import Absent, Json
from millpond.asl.paths import EvaluationError
from millpond.engine.failure import TOLERANCE, StateFailed
from millpond.engine.frame import (
    NONE,
    Fork,
    Frame,
    ItemScope,
    Ledger,
    Run,
    Spread,
    fork_row,
    iso,
    item_row,
    to_text,
)
from millpond.engine.history import failure_details
from millpond.engine.node import Split

if TYPE_CHECKING:
    from millpond.engine.run import Engine

FAILED_ITEM = ""
"""The row of an item whose failure was borne."""

AGAIN_ITEM = " "
"""The row of such an item after a redrive, until it has ended once more."""


def begin(engine: Engine, frame: Frame, split: Split) -> None:
    """The state's Started event, its row, and its first children."""
    run = frame.run
    length: dict[str, Json] | None = {"length": split.size} if split.is_map else None
    frame.previous = frame.ledger.event(f"{frame.node.kind}StateStarted", frame.previous, None, None, length)
    fork = Fork(frame, run.key(), is_map=split.is_map, given=split.given, size=split.size, limit=split.limit)
    if frame.node.tolerance is not None:
        _begin_map_run(frame, fork)
    frame.phase, frame.work = "fork", fork
    engine.touch(frame)
    if not split.size:
        _all_done(engine, fork, frame.previous)
        return
    if not run.start.express:
        run.batch.frames.append(fork_row(fork))
        run.stored.add(fork.key)
    _start_children(engine, fork, frame.previous)


def _begin_map_run(frame: Frame, fork: Fork) -> None:
    assert frame.node.tolerance is not None
    count, percent = frame.node.tolerance(frame)
    start = frame.run.start
    label = frame.node.label or str(_uuid(frame.run, fork.key, "label"))
    arn = f"{start.machine_arn.replace(':stateMachine:', ':mapRun:')}/{label}:{_uuid(frame.run, fork.key, 'run')}"
    fork.spread = Spread(arn, count, percent)
    frame.previous = frame.ledger.event("MapRunStarted", frame.previous, None, None, {"mapRunArn": arn})


def _uuid(run: Run, key: int, use: str) -> uuid.UUID:
    """Deterministic, so that a restart finds the same names."""
    digest = hashlib.sha256(run.start.secret + f"{run.start.execution}|{key}|{use}".encode()).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


def _start_children(engine: Engine, fork: Fork, previous: int) -> None:
    while (fork.gaps or fork.next < fork.size) and len(fork.live) < fork.limit:
        if fork.gaps:
            index = fork.gaps.popleft()
        else:
            index = fork.next
            fork.next += 1
        if fork.is_map:
            _start_item(engine, fork, index, previous)
        else:
            _start_child(engine, fork, index, fork.given[0], previous)


def _start_item(engine: Engine, fork: Fork, index: int, previous: int) -> None:
    frame = fork.frame
    given = fork.given[index]
    if frame.node.selector is not None:
        given = frame.node.selector(ItemScope(frame, index, given))
    if fork.spread is None:
        previous = frame.ledger.event("MapIterationStarted", previous, frame.node.name, None, {"index": index})
    _start_child(engine, fork, index, given, previous)


def _start_child(engine: Engine, fork: Fork, index: int, given: Json, previous: int) -> None:
    run = fork.frame.run
    child = Frame(run, run.key(), fork.program(index).start, given, fork=fork, index=index, previous=previous)
    if given is fork.frame.raw:
        child.text = fork.frame.text
    if fork.spread is not None:
        stand_alone(child, fork.spread)
        child.ledger.event("ExecutionStarted", 0)
        child.previous = 0
    fork.live[index] = child
    engine.make_ready(child)


def stand_alone(child: Frame, spread: Spread) -> None:
    """Make a frame the root of a child execution: variables, event numbers and context object of its own."""
    run = child.run
    start = run.start
    label = spread.arn.split(":")[-2].split("/", 1)[1]
    name = str(_uuid(run, child.key, "child"))
    arn = f"{start.machine_arn}/{label}"
    execution: dict[str, Json] = {
        "Id": f"{arn.replace(':stateMachine:', ':execution:')}:{name}",
        "Input": child.raw,
        "StartTime": iso(run.clock.now()),
        "Name": name,
        "RoleArn": start.role,
        "RedriveCount": 0,
    }
    context: dict[str, Json] = {
        "Execution": execution,
        "StateMachine": {"Id": arn, "Name": f"{start.machine_name}/{label}"},
    }
    child.ledger = Ledger(run.clock, context, None)
    child.ledger.owner, child.ledger.ordinal = child, child.key
    child.variables = NONE


def child_done(engine: Engine, child: Frame, output: Json, text: str) -> None:
    """A branch or item has its result."""
    fork = child.fork
    assert fork is not None
    _remove(child, fork)
    fork.results[child.index] = output
    last = child.previous
    if fork.is_map and fork.spread is None:
        more: dict[str, Json] = {"index": child.index}
        last = child.ledger.event("MapIterationSucceeded", last, fork.frame.node.name, None, more)
    _count(engine, fork, child, text, last)


def _count(engine: Engine, fork: Fork, child: Frame, text: str, last: int) -> None:
    """One more is done: the next one starts, or the state ends."""
    fork.done += 1
    if not child.run.start.express:
        child.run.batch.items.append(item_row(fork, child.index, text))
    if fork.done == fork.size:
        _all_done(engine, fork, last)
        return
    _go_on(engine, fork, child.previous)


def _go_on(engine: Engine, fork: Fork, previous: int) -> None:
    """Start what may start; an ItemSelector that fails is the whole state's failure."""
    try:
        _start_children(engine, fork, previous)
    except EvaluationError as failure:
        abort(engine, fork)
        if fork.spread is None:
            fork.frame.previous = previous
        engine.fail(fork.frame, failure)


def redrive(engine: Engine, fork: Fork) -> None:
    """Go on with a Map or Parallel that came back from the store: its unfinished children are ready already."""
    frame = fork.frame
    engine.touch(frame)
    if fork.spread is not None:
        more: dict[str, Json] = {"mapRunArn": fork.spread.arn, "redriveCount": frame.run.start.redrive_count}
        frame.previous = frame.ledger.event("MapRunRedriven", frame.previous, None, None, more)
    frame.run.batch.items += [item_row(fork, index, AGAIN_ITEM) for index in fork.gaps]
    if fork.done == fork.size:
        _all_done(engine, fork, frame.previous)
    else:
        _go_on(engine, fork, frame.previous)


def _remove(child: Frame, fork: Fork) -> None:
    fork.live.pop(child.index, None)
    child.phase = "gone"
    child.run.forget(child.key)


def _all_done(engine: Engine, fork: Fork, previous: int) -> None:
    frame = fork.frame
    if fork.spread is not None:
        previous = frame.ledger.event("MapRunSucceeded", frame.previous)
    frame.ledger.event(f"{frame.node.kind}StateSucceeded", previous)
    frame.previous = previous
    engine.finish(frame, [result for result in fork.results if not isinstance(result, Absent)])


def child_failed(engine: Engine, child: Frame, failure: StateFailed) -> None:
    """A branch or item has failed, and with it the whole state, unless that is tolerated: the others are aborted."""
    fork = child.fork
    assert fork is not None
    fork.halted[child.index] = child, child.phase
    _remove(child, fork)
    if child.work is not None:
        child.run.forget(child.work.key)
    if fork.spread is not None:
        _child_execution_failed(engine, fork, fork.spread, child)
        return
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        child.ledger.event("MapIterationFailed", child.previous, fork.frame.node.name, None, more)
    abort(engine, fork)
    fork.frame.previous = child.previous
    engine.fail(fork.frame, StateFailed(failure.error, failure.cause, heartbeat=failure.heartbeat))


def _child_execution_failed(engine: Engine, fork: Fork, spread: Spread, child: Frame) -> None:
    fork.failed += 1
    if spread.bears(fork.failed, fork.size):
        del fork.halted[child.index]
        _count(engine, fork, child, FAILED_ITEM, fork.frame.previous)
        return
    frame = fork.frame
    abort(engine, fork)
    failure = StateFailed(TOLERANCE, "The specified tolerated failure threshold was exceeded")
    details = failure_details(failure.error, failure.cause)
    frame.previous = frame.ledger.event("MapRunFailed", frame.previous, None, None, details)
    engine.fail(frame, failure)


def abort(engine: Engine, fork: Fork) -> None:
    """Stop everything below a fork, with its Aborted events."""
    for child in list(fork.live.values()):
        _abort_child(engine, child, fork)
    fork.live.clear()


_LASTING = frozenset({"Wait", "Task", "Map", "Parallel"})


def _enter(child: Frame) -> None:
    """Note that a child has come to its first state, of which nothing will be done."""
    if child.text is None:
        child.text = to_text(child.raw)
    child.entered = child.ledger.event(child.node.entered, child.previous, child.node.name, child.text)
    child.before, child.previous, child.phase = child.previous, child.entered, "again"


def _abort_child(engine: Engine, child: Frame, fork: Fork) -> None:
    if child.phase == "enter" and not child.entered and fork.spread is None and child.node.kind in _LASTING:
        _enter(child)  # on AWS it began beside the one that failed, whatever that was quick to do
    fork.halted[child.index] = child, child.phase
    if child.work is not None:
        abort(engine, child.work)
        child.run.forget(child.work.key)
    if child.phase in ("task", "wait", "fork", "again", "retry"):
        child.previous = child.ledger.event(f"{child.node.kind}StateAborted", child.previous)
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        child.ledger.event("MapIterationAborted", child.previous, fork.frame.node.name, None, more)
    engine.let_go(child, stop=True)
    child.phase = "gone"
    child.run.forget(child.key)
