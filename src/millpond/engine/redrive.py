"""Redrive: what an execution that did not succeed leaves in the store, and how it goes on from there.

`shelve` runs at the end of a FAILED, ABORTED or TIMED_OUT execution: instead of being dropped, every frame is written
as it is to begin again, with the results that finished branches and items had. `resume` puts the frames back to work.

Which state does what, as AWS documents it: a Task is scheduled again and a Wait begins anew, without another Entered
event; Pass, Choice and Fail are entered again; of a Map or Parallel only the unfinished branches and items go on.
Counts of retries begin at zero. The task tokens of a redrive differ from those of the runs before it.

The children of a distributed Map are executions with snapshots of their own; `spread` redrives them. When its parent
is shelved, its Map Run is aborted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millpond.asl.model import Json
from millpond.engine import forks, spread
from millpond.engine.frame import Fork, Frame, Phase, Run, frame_row
from millpond.engine.spread import Spread

if TYPE_CHECKING:
    from millpond.engine.run import Engine

_INSTANT = frozenset({"Pass", "Choice", "Succeed", "Fail"})


def shelve(engine: Engine, run: Run) -> None:
    """End all frames of a run, and leave their rows so that a redrive finds them."""
    kept: set[int] = set()
    if run.root is not None:
        _shelve(engine, run.root, run.root.phase, kept)
    run.batch.gone = [key for key in run.batch.gone if key not in kept]
    run.stored |= kept


def _shelve(engine: Engine, frame: Frame, phase: Phase, kept: set[int]) -> None:
    run = frame.run
    engine.let_go(frame, stop=True)
    frame.tries, frame.attempts = 0, {}
    frame.phase = _begins(frame, phase)
    run.batch.frames.append(frame_row(frame))
    run.dirty.pop(frame.key, None)
    kept.add(frame.key)
    if isinstance(frame.work, Spread):
        spread.abort(engine, frame.work)
    if frame.work is not None:
        if frame.phase == "fork":
            _shelve_work(engine, frame.work, kept)
        else:
            run.forget(frame.work.key)
    frame.phase = "gone"


def _shelve_work(engine: Engine, fork: Fork | Spread, kept: set[int]) -> None:
    kept.add(fork.key)
    if isinstance(fork, Spread):
        return
    for child, phase in fork.halted.values():
        _shelve(engine, child, phase, kept)
    for child in fork.live.values():
        _shelve(engine, child, child.phase, kept)


def _begins(frame: Frame, phase: Phase) -> Phase:
    """How the frame's state is to begin."""
    if frame.node.kind in _INSTANT or phase == "enter":
        return "enter"
    return "fork" if phase == "fork" and frame.work is not None and frame.work.size else "again"


def resume(engine: Engine, run: Run, frames: list[Frame]) -> None:
    """Write ExecutionRedriven, and let all frames go on. Raises HistoryFull."""
    ledger = run.ledger
    more: dict[str, Json] = {"redriveCount": run.start.redrive_count}
    number = ledger.event("ExecutionRedriven", ledger.last_id, None, None, more)
    for frame in frames:
        if frame.ledger is ledger:
            frame.previous = number
        if frame.work is None:
            engine.make_ready(frame)
    for frame in frames:
        if frame.work is not None and frame.phase == "fork":
            _go_on(engine, frame.work)


def _go_on(engine: Engine, work: Fork | Spread) -> None:
    if isinstance(work, Spread):
        spread.redrive(engine, work)
    else:
        forks.redrive(engine, work)
