"""An engine that dies at chosen points, and a world of tasks that outlives it, as real workers do.

The world records an outcome before it tells anybody. A point is the moment right before or right after a commit, a
barrier, a dispatch or a recorded outcome. Two stores in memory: one keeps every appended batch (kill -9), one only
what a barrier followed (power loss). Time is virtual and does not pass while the engine is dead.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any, Protocol

from millpond.asl.model import Machine
from millpond.engine import Batch, Engine, Start, TaskCall, Token
from millpond.testing import FakeClock, MemoryStore
from millpond.testing.simulation import start_of

Outcome = tuple[str, Any]  # error or "", value or cause
Work = Callable[[TaskCall], tuple[float, Outcome]]  # seconds, and how it ends


class Crash(BaseException):
    """kill -9."""


class Fuse(Protocol):
    def burn(self) -> None: ...


class OneCrash:
    """Crashes at the k-th point. 0: never; `points` counts them."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.points = at, 0

    def burn(self) -> None:
        self.points += 1
        if self.points == self.at:
            raise Crash


class ManyCrashes:
    """Crashes at about every third point, by chance."""

    def __init__(self, seed: int) -> None:
        self._chance, self.crashes = random.Random(seed), 0

    def burn(self) -> None:
        if self._chance.random() < 0.3:
            self.crashes += 1
            raise Crash


class World:
    """Workers that outlive the engine: `work` says what a call takes and gives."""

    def __init__(self, work: Work, fuse: Fuse) -> None:
        self.clock, self.work, self.fuse = FakeClock(), work, fuse
        self.running: dict[Token, tuple[float, TaskCall, Outcome]] = {}
        self.outcomes: dict[Token, Outcome] = {}
        self.starts: Counter[Token] = Counter()
        self.ends: Counter[tuple[str, Token]] = Counter()
        self.engine: Engine

    def start(self, call: TaskCall, token: Token) -> None:
        self.fuse.burn()
        self.starts[token] += 1
        seconds, outcome = self.work(call)
        self.running[token] = (self.clock.monotonic() + seconds, call, outcome)
        self.fuse.burn()

    def resume(self, call: TaskCall, token: Token) -> None:
        if token in self.outcomes:
            self.tell(token)
        elif token not in self.running:
            self.start(call, token)

    def stop(self, token: Token) -> None:
        self.running.pop(token, None)

    def finish_due(self) -> None:
        """End the work whose time has come."""
        for token, (due, call, outcome) in sorted(self.running.items(), key=lambda item: item[1][0]):
            if due <= self.clock.monotonic() and token in self.running:
                del self.running[token]
                self.ends[(call.path, token)] += 1
                self.outcomes[token] = outcome
                self.fuse.burn()
                self.tell(token)

    def tell(self, token: Token) -> None:
        error, value = self.outcomes[token]
        if error:
            self.engine.task_failed(token, error, value)
        else:
            self.engine.task_succeeded(token, value)

    def next_due(self) -> float | None:
        due = [due for due, _, _ in self.running.values()]
        return max(0.0, min(due) - self.clock.monotonic()) if due else None


class FusedStore(MemoryStore):
    """Memory that survives the engine; with `only_barriers`, only what a barrier followed does."""

    def __init__(self, fuse: Fuse, *, only_barriers: bool = False) -> None:
        super().__init__()
        self.fuse, self.only_barriers = fuse, only_barriers
        self.safe: Any = ({}, {}, {}, {})

    def append(self, batch: Batch) -> None:
        self.fuse.burn()
        super().append(batch)
        self.fuse.burn()

    def barrier(self) -> None:
        super().barrier()
        self.write_back()
        self.fuse.burn()

    def write_back(self) -> None:
        """All that was appended is on the disk."""
        if self.only_barriers:
            self.safe = deepcopy((self.events, self.frames, self.items, self.ended))

    def restart(self) -> None:
        if self.only_barriers:
            self.events, self.frames, self.items, self.ended = deepcopy(self.safe)


def round_of(engine: Engine, world: World, over: Callable[[], bool]) -> None:
    """Let the engine and the world work, then let time pass until something is due."""
    engine.run_until_idle()
    world.finish_due()
    engine.run_until_idle()
    waits = [seconds for seconds in (engine.next_timer(), world.next_due()) if seconds is not None]
    if waits and not over():
        world.clock.advance(max(0.0, min(waits)) + 1e-6)


def run(
    machine: Machine, value: Any, work: Work, fuse: Fuse, *, only_barriers: bool = False, write_back: bool = False
) -> tuple[FusedStore, World, Start]:
    """Run an execution to its end through all the crashes of the fuse. `write_back`: what was appended is on the disk
    when time passes, as systems write within half a minute; a loss of years would let other branches come first."""
    world, store = World(work, fuse), FusedStore(fuse, only_barriers=only_barriers)
    start = start_of(machine, value, "crash", world.clock.now(), True, False)
    _to_the_end(store, world, start, lambda engine: engine.start(start), write_back=write_back)
    return store, world, start


def redrive(store: FusedStore, world: World, start: Start, work: Work, fuse: Fuse) -> Start:
    """Redrive what has ended badly, through all the crashes of the fuse; the world works as `work` says now."""
    again = replace(start, redrive_count=start.redrive_count + 1, redriven_at=world.clock.now())
    world.work = work
    world.fuse = store.fuse = fuse
    del store.ended[start.execution]
    store.write_back()
    snapshot = store.snapshot(again)
    assert snapshot.over
    _to_the_end(store, world, again, lambda engine: engine.redrive(snapshot), write_back=True)
    return again


def _to_the_end(
    store: FusedStore, world: World, start: Start, begin: Callable[[Engine], None], *, write_back: bool
) -> None:
    engine = world.engine = Engine(world.clock, world, store)
    begin(engine)
    for _ in range(20_000):
        if start.execution in store.ended:
            return
        try:
            round_of(engine, world, lambda: start.execution in store.ended)
            if write_back:
                store.write_back()
        except Crash:
            store.restart()
            if start.execution in store.ended:
                return
            engine = world.engine = Engine(world.clock, world, store)
            engine.restore(store.snapshot(start))
    raise AssertionError("the execution never ended")
