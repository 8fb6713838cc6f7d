"""Map and Parallel at work: start branches and items, collect their results, abort them.

A Parallel starts all branches at once, a Map as many items as it may. What an item leaves behind is one row for the
store and one place in a list, so a Map of ten thousand items costs ten thousand times an item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millpond.asl.model import Json
from millpond.asl.paths import EvaluationError
from millpond.engine.failure import StateFailed
from millpond.engine.frame import Fork, Frame, ItemScope, fork_row, item_row
from millpond.engine.node import Split

if TYPE_CHECKING:
    from millpond.engine.run import Engine


def begin(engine: Engine, frame: Frame, split: Split) -> None:
    """The state's Started event, its row, and its first children."""
    run = frame.run
    length: dict[str, Json] | None = {"length": split.size} if split.is_map else None
    frame.previous = run.event(f"{frame.node.kind}StateStarted", frame.previous, None, None, length)
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
    while fork.next < fork.size and len(fork.live) < fork.limit:
        index = fork.next
        fork.next += 1
        if fork.is_map:
            _start_item(engine, fork, index, previous)
        else:
            _start_branch(engine, fork, index, previous)


def _start_item(engine: Engine, fork: Fork, index: int, previous: int) -> None:
    frame = fork.frame
    given = fork.given[index]
    if frame.node.selector is not None:
        given = frame.node.selector(ItemScope(frame, index, given))
    begun = frame.run.event("MapIterationStarted", previous, frame.node.name, None, {"index": index})
    _start_child(engine, fork, index, given, begun)


def _start_branch(engine: Engine, fork: Fork, index: int, previous: int) -> None:
    _start_child(engine, fork, index, fork.given[0], previous)


def _start_child(engine: Engine, fork: Fork, index: int, given: Json, previous: int) -> None:
    run = fork.frame.run
    start = fork.program(index).start
    child = Frame(run, run.key(), start, given, fork=fork, index=index, previous=previous)
    if given is fork.frame.raw:
        child.text = fork.frame.text
    fork.live[index] = child
    engine.make_ready(child)


def child_done(engine: Engine, child: Frame, output: Json, text: str) -> None:
    """A branch or item has its result."""
    fork = child.fork
    assert fork is not None
    run = child.run
    _remove(child, fork)
    fork.results[child.index] = output
    fork.done += 1
    if not run.start.express:
        run.batch.items.append(item_row(fork, child.index, text))
    last = child.previous
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        last = run.event("MapIterationSucceeded", last, fork.frame.node.name, None, more)
    if fork.done == fork.size:
        _all_done(engine, fork, last)
        return
    try:
        _start_children(engine, fork, child.previous)
    except EvaluationError as failure:
        abort(engine, fork)
        fork.frame.previous = child.previous
        engine.fail(fork.frame, failure)


def _remove(child: Frame, fork: Fork) -> None:
    fork.live.pop(child.index, None)
    child.phase = "gone"
    child.run.forget(child.key)


def _all_done(engine: Engine, fork: Fork, previous: int) -> None:
    frame = fork.frame
    frame.run.event(f"{frame.node.kind}StateSucceeded", previous)
    frame.previous = previous
    engine.finish(frame, fork.results)


def child_failed(engine: Engine, child: Frame, failure: StateFailed) -> None:
    """A branch or item has failed, and with it the whole state: the others are aborted."""
    fork = child.fork
    assert fork is not None
    _remove(child, fork)
    if child.work is not None:
        child.run.forget(child.work.key)
    if fork.is_map:
        more: dict[str, Json] = {"index": child.index}
        child.run.event("MapIterationFailed", child.previous, fork.frame.node.name, None, more)
    abort(engine, fork)
    fork.frame.previous = child.previous
    engine.fail(fork.frame, StateFailed(failure.error, failure.cause, heartbeat=failure.heartbeat))


def abort(engine: Engine, fork: Fork) -> None:
    """Stop everything below a fork, with its Aborted events."""
    for child in list(fork.live.values()):
        _abort_child(engine, child, fork)
    fork.live.clear()


def _abort_child(engine: Engine, child: Frame, fork: Fork) -> None:
    run = child.run
    if child.work is not None:
        abort(engine, child.work)
        run.forget(child.work.key)
    if child.phase in ("task", "wait", "fork"):
        child.previous = run.event(f"{child.node.kind}StateAborted", child.previous)
    if fork.is_map:
        run.event("MapIterationAborted", child.previous, fork.frame.node.name, None, {"index": child.index})
    engine.let_go(child, stop=True)
    child.phase = "gone"
    run.forget(child.key)
