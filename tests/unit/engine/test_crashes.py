"""Kill the engine right before and right after every commit, barrier and dispatch; restore; the end is the same.

The world of tasks outlives the engine, as real workers do: it records an outcome before it tells anybody. Two stores:
one keeps every appended batch, one (power loss) only what a barrier followed.
"""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import pytest

from millpond.asl import from_json
from millpond.engine import Batch, Engine, TaskCall, Token
from millpond.engine import run as loop
from millpond.testing import FakeClock, MemoryStore
from millpond.testing.simulation import start_of

TASK = "arn:aws:states:::glue:startJobRun.sync"
MACHINE = {
    "StartAt": "Prepare",
    "States": {
        "Prepare": {
            "Type": "Pass",
            "Result": [3, 1, 2],
            "ResultPath": "$.tables",
            "Assign": {"day": 7},
            "Next": "Ingest",
        },
        "Ingest": {
            "Type": "Map",
            "ItemsPath": "$.tables",
            "MaxConcurrency": 2,
            "ItemSelector": {"table.$": "$$.Map.Item.Value", "day.$": "$day"},
            "ItemProcessor": {
                "StartAt": "Copy",
                "States": {
                    "Copy": {
                        "Type": "Task",
                        "Resource": TASK,
                        "Parameters": {"JobName": "copy", "Arguments.$": "$"},
                        "Retry": [{"ErrorEquals": ["Glue.Throttled"], "IntervalSeconds": 2}],
                        "Next": "Tidy",
                    },
                    "Tidy": {"Type": "Pass", "Assign": {"seen.$": "$"}, "End": True},
                },
            },
            "ResultPath": "$.copied",
            "Next": "Settle",
        },
        "Settle": {"Type": "Wait", "Seconds": 60, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Join",
                    "States": {
                        "Join": {
                            "Type": "Task",
                            "Resource": TASK,
                            "Parameters": {"JobName": "join"},
                            "TimeoutSeconds": 1000,
                            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.why", "Next": "Notify"}],
                            "End": True,
                        },
                        "Notify": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::sns:publish",
                            "Parameters": {"Message.$": "$.why.Cause"},
                            "ResultPath": "$.told",
                            "End": True,
                        },
                    },
                },
                {
                    "StartAt": "Nap",
                    "States": {"Nap": {"Type": "Wait", "Seconds": 5, "Next": "Woke"}, "Woke": {"Type": "Succeed"}},
                },
            ],
            "ResultPath": "$.both",
            "Next": "Enough",
        },
        "Enough": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.copied[2]", "IsPresent": True, "Next": "Report"}],
            "Default": "Lost",
        },
        "Report": {
            "Type": "Task",
            "QueryLanguage": "JSONata",
            "Resource": "arn:aws:lambda:us-east-1:111111111111:function:report",
            "Arguments": {"day": "{% $day %}", "rows": "{% $sum($states.input.copied.rows) %}"},
            "Output": "{% $merge([$states.input, {'report': $states.result}]) %}",
            "End": True,
        },
        "Lost": {"Type": "Fail", "Error": "Lost"},
    },
}


class Crash(BaseException):
    """kill -9."""


class World:
    """Workers that outlive the engine. A task takes ten virtual seconds; its outcome is durable before it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.running: dict[Token, tuple[float, TaskCall]] = {}
        self.outcomes: dict[Token, tuple[str, object]] = {}
        self.starts: Counter[Token] = Counter()
        self.ends: Counter[tuple[str, int]] = Counter()
        self.engine: Engine | None = None
        self.fuse: Fuse | None = None

    def start(self, call: TaskCall, token: Token) -> None:
        self.fuse.burn()
        self.starts[token] += 1
        self.running[token] = (self.clock.monotonic() + 10, call)
        self.fuse.burn()

    def resume(self, call: TaskCall, token: Token) -> None:
        if token in self.outcomes:
            self.tell(token)
        elif token not in self.running:
            self.start(call, token)

    def stop(self, token: Token) -> None:
        self.running.pop(token, None)

    def work(self) -> None:
        for token, (due, call) in list(self.running.items()):
            if due <= self.clock.monotonic():
                del self.running[token]
                self.ends[(f"{call.path}", call.attempt)] += 1
                self.outcomes[token] = self.result(call)
                self.fuse.burn()
                self.tell(token)

    def tell(self, token: Token) -> None:
        error, value = self.outcomes[token]
        if error:
            self.engine.task_failed(token, error, value)
        else:
            self.engine.task_succeeded(token, value)

    @staticmethod
    def result(call: TaskCall) -> tuple[str, object]:
        match call.state:
            case "Copy" if call.attempt == 0 and call.arguments["Arguments"]["table"] == 1:
                return "Glue.Throttled", "try again"
            case "Copy":
                return "", {
                    "table": call.arguments["Arguments"]["table"],
                    "rows": call.arguments["Arguments"]["table"] * 10,
                }
            case "Join":
                return "States.TaskFailed", "OOM"
            case _:
                return "", call.arguments


class Fuse:
    """Crashes at the k-th point. 0: never; `points` counts them."""

    def __init__(self, at: int) -> None:
        self.at, self.points = at, 0

    def burn(self) -> None:
        self.points += 1
        if self.points == self.at:
            raise Crash


class FusedStore(MemoryStore):
    def __init__(self, fuse: Fuse, *, only_barriers: bool) -> None:
        super().__init__()
        self.fuse, self.only_barriers, self.safe = fuse, only_barriers, None

    def append(self, batch: Batch) -> None:
        self.fuse.burn()
        super().append(batch)
        self.fuse.burn()

    def barrier(self) -> None:
        super().barrier()
        self.keep()
        self.fuse.burn()

    def keep(self) -> None:
        self.safe = deepcopy((self.events, self.frames, self.items, self.ended))

    def restart(self) -> None:
        if self.only_barriers:
            self.events, self.frames, self.items, self.ended = deepcopy(self.safe) if self.safe else ({}, {}, {}, {})


def run(crash_at: int, *, only_barriers: bool) -> tuple[MemoryStore, World, int]:
    fuse, world = Fuse(crash_at), World()
    world.fuse = fuse
    store = FusedStore(fuse, only_barriers=only_barriers)
    start = start_of(from_json(MACHINE), {}, "crash", world.clock.now(), True, False)
    engine = world.engine = Engine(world.clock, world, store)
    engine.start(start)
    for _ in range(1000):
        if start.execution in store.ended:
            return store, world, fuse.points
        try:
            engine.run_until_idle()
            world.work()
            if start.execution not in store.ended:
                waits = [due - world.clock.monotonic() for due, _ in world.running.values()]
                waits += [seconds for seconds in [engine.next_timer()] if seconds is not None]
                engine.run_until_idle()
                world.clock.advance(max(0.0, min(waits)) + 1e-6 if waits else 0.001)
        except Crash:
            store.restart()
            if start.execution in store.ended:
                return store, world, fuse.points
            engine = world.engine = Engine(world.clock, world, store)
            engine.restore(store.snapshot(start))
    raise AssertionError("the execution never ended")


def ids_are_sound(store: MemoryStore) -> bool:
    (events,) = store.events.values()
    numbered = [event.id for event in events] == list(range(1, len(events) + 1))
    return numbered and all(event.previous < event.id for event in events)


@pytest.fixture(autouse=True)
def one_state_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SLICE", 1)


with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop, "SLICE", 1)
    CALM, _, POINTS = run(0, only_barriers=False)
(OUTPUT,) = [end.output for end in CALM.ended.values()]


def test_there_are_enough_points() -> None:
    assert POINTS >= 60


def test_without_a_crash_it_succeeds() -> None:
    (end,) = CALM.ended.values()
    assert (end.status, end.error) == ("SUCCEEDED", None)
    assert ids_are_sound(CALM)


@pytest.mark.parametrize("only_barriers", [False, True], ids=["kill", "power-loss"])
def test_a_crash_at_every_point_changes_nothing(only_barriers: bool) -> None:
    for point in range(1, POINTS + 1):
        store, world, _ = run(point, only_barriers=only_barriers)
        (end,) = store.ended.values()
        assert (point, end.status, end.output) == (point, "SUCCEEDED", OUTPUT)
        assert ids_are_sound(store), point
        twice = {task: count for task, count in world.ends.items() if count > 1}
        assert not twice, f"crash at {point}: finished twice: {twice}"


def test_a_second_start_has_the_same_token() -> None:
    repeated = 0
    for point in range(1, POINTS + 1):
        _, world, _ = run(point, only_barriers=True)
        assert len(world.starts) == 7, f"crash at {point}: another token for the same attempt"
        repeated += sum(count > 1 for count in world.starts.values())
    assert repeated == 0  # the worker outlives the engine, so that nothing starts twice
