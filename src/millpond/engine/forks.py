"""Inline Map and Parallel at work: start branches and items, collect their results, abort them.

A Parallel starts all branches at once, a Map as many items as it may. What an item leaves behind is one row for the
store and one place in a list, so a Map of ten thousand items costs ten thousand times an item. A distributed Map is
the subject of `spread`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millpond.asl.model import Absent, Json
from millpond.asl.paths import EvaluationError
from millpond.engine import spread
from millpond.engine.failure import StateFailed
from millpond.engine.frame import Fork, Frame, ItemScope, fork_row, item_row, to_text
from millpond.engine.node import Split
from millpond.engine.spread import Spread

if TYPE_CHECKING:
    from millpond.engine.run import Engine


def begin(engine: Engine, frame: Frame, split: Split) -> None:
    """The state's Started event, its row, and its first children."""
    run = frame.run
    length: dict[str, Json] | None = {"length": split.size} if split.is_map else None
    frame.previous = frame.ledger.event(f"{frame.node.kind}StateStarted", frame.previous, None, None, length)
    fork = Fork(frame, run.key(), is_map=split.is_map, given=split.given, size=split.size, limit=split.limit)
    frame.phase, frame.work = "fork", fork
    engine.touch(frame)
    if not split.size:
        _all_done(engine, fork, frame.previous)
        return
    if not run.start.express:
        run.batch.frames.append(fork_row(fork))
        run.stored.add(fork.key)
    _start_children(engine, fork, frame.previous)


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
    previous = frame.ledger.event("MapIterationStarted", previous, frame.node.name, None, {"index": index})
    _start_child(engine, fork, index, given, previous)


def _start_child(engine: Engine, fork: Fork, index: int, given: Json, previous: int) -> None:
    run = fork.frame.run
    child = Frame(run, run.key(), fork.program(index).start, given, fork=fork, index=index, previous=previous)
    if given is fork.frame.raw:
        child.text = fork.frame.text
    fork.live[index] = child
    engine.make_ready(child)


def child_done(engine: Engine, child: Frame, output: Json, text: str) -> None:
    """A branch or item has its result."""
    fork = child.fork
    assert fork is not None
    _remove(child, fork)
    fork.results[child.index] = output
    last = child.previous
    if fork.is_map:
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
        fork.frame.previous = previous
        engine.fail(fork.frame, failure)


def redrive(engine: Engine, fork: Fork) -> None:
    """Go on with a Map or Parallel that came back from the store: its unfinished children are ready already."""
    frame = fork.frame
    engine.touch(frame)
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
    frame.ledger.event(f"{frame.node.kind}StateSucceeded", previous)
    frame.previous = previous
    engine.finish(frame, [result for result in fork.results if not isinstance(result, Absent)])


def child_failed(engine: Engine, child: Frame, failure: StateFailed) -> None:
    """A branch or item has failed, and with it the whole state: the others are aborted."""
    fork = child.fork
    assert fork is not None
    fork.halted[child.index] = child, child.phase
    _remove(child, fork)
    if child.work is not None:
        child.run.forget(child.work.key)
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        child.ledger.event("MapIterationFailed", child.previous, fork.frame.node.name, None, more)
    abort(engine, fork)
    fork.frame.previous = child.previous
    engine.fail(fork.frame, StateFailed(failure.error, failure.cause, heartbeat=failure.heartbeat))


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
    if child.phase == "enter" and not child.entered and child.node.kind in _LASTING:
        _enter(child)  # on AWS it began beside the one that failed, whatever that was quick to do
    fork.halted[child.index] = child, child.phase
    if isinstance(child.work, Spread):
        child.previous = child.ledger.event("MapRunAborted", child.previous)
        spread.abort(engine, child.work)
    elif child.work is not None:
        abort(engine, child.work)
    if child.work is not None:
        child.run.forget(child.work.key)
    if child.phase in ("task", "wait", "fork", "again", "retry"):
        child.previous = child.ledger.event(f"{child.node.kind}StateAborted", child.previous)
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        child.ledger.event("MapIterationAborted", child.previous, fork.frame.node.name, None, more)
    engine.let_go(child, stop=True)
    child.phase = "gone"
    child.run.forget(child.key)
