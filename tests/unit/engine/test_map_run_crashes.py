"""Kill the engine right before and right after every batch, barrier and dispatch of a Map Run; restore; the end is the
same, and nothing that had ended ran again. Two stores: one keeps every batch, one only what a barrier followed."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from millpond.asl import from_json
from millpond.engine import Batch, Engine, TaskCall
from millpond.engine import spread as map_runs
from millpond.testing import FakeClock, MemoryStore
from millpond.testing.datasets import Datasets, FakeItems
from millpond.testing.simulation import start_of

TASK = "arn:aws:states:::glue:startJobRun.sync"
READER = {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}}
WRITER = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}


class Crash(BaseException):
    """kill -9."""


class Fuse:
    def __init__(self, at: int) -> None:
        self.at, self.points = at, 0

    def burn(self) -> None:
        self.points += 1
        if self.points == self.at:
            raise Crash


class Fused(MemoryStore):
    """`loses`: a kill takes what no barrier followed."""

    def __init__(self, fuse: Fuse, loses: bool) -> None:
        super().__init__()
        self.fuse, self.loses, self.safe = fuse, loses, dict[str, Any]()

    def append(self, batch: Batch) -> None:
        self.fuse.burn()
        super().append(batch)
        self.fuse.burn()

    def barrier(self) -> None:
        self.fuse.burn()
        if self.loses:
            kept = {name: value for name, value in self.__dict__.items() if name not in ("fuse", "safe", "loses")}
            self.safe = deepcopy(kept)
        self.fuse.burn()

    def crash(self) -> None:
        if self.loses:
            fresh = MemoryStore().__dict__
            self.__dict__.update(deepcopy(self.safe) or fresh)


class World:
    """Workers that outlive the engine: an outcome is recorded before it is told."""

    def __init__(self, fuse: Fuse, items: list[Any]) -> None:
        self.fuse, self.clock, self.engine = fuse, FakeClock(), None
        self.data = Datasets({None: FakeItems(items, "S3://b/k")})
        self.store: MemoryStore | None = None
        self.outcomes: dict[str, Any] = {}
        self.runs: Counter[str] = Counter()

    def start(self, call: TaskCall, token: str) -> None:
        self.fuse.burn()
        self.runs[token] += 1
        if call.kind == "reader":
            self.data.reads(call)
            self.outcomes[token] = {}
        elif call.kind == "writer":
            self.outcomes[token] = self.data.write(call, self.store)
        else:
            self.outcomes[token] = call.arguments
        self.fuse.burn()
        self.tell(token)

    def resume(self, call: TaskCall, token: str) -> None:
        if token in self.outcomes:
            self.tell(token)
        else:
            self.start(call, token)

    def tell(self, token: str) -> None:
        outcome = self.outcomes[token]
        if isinstance(outcome, dict) and outcome.get("n") == -1:
            self.engine.task_failed(token, "Negative")
        else:
            self.engine.task_succeeded(token, outcome)

    def stop(self, token: str) -> None:
        pass

    def opened(self, map_run: str) -> FakeItems:
        return self.data.read[map_run]


def run(definition: Any, items: list[Any], at: int, loses: bool) -> tuple[Fused, World]:
    """Run to the end, with a kill at one point."""
    fuse = Fuse(at)
    world, store = World(fuse, items), Fused(fuse, loses)
    world.store = store
    start = start_of(from_json(definition), items, "killed", world.clock.now(), True, False)
    for _ in range(3):
        engine = world.engine = Engine(world.clock, world, store)
        engine.restore(store.snapshot(start))
        try:
            engine.run_until_idle()
        except Crash:
            store.crash()
            if start.execution not in store.ended:
                continue
        assert start.execution in store.ended, f"stuck after a kill at {at}"
        return store, world
    raise AssertionError("killed twice")


def machine(**fields: Any) -> dict[str, Any]:
    nested = fields.pop("nested", False)
    states: dict[str, Any] = {
        "Ask": {"Type": "Task", "Resource": TASK, "Parameters.$": "$", "Next": "Same"},
        "Same": {"Type": "Pass", "End": True},
    }
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    if nested:
        inner = {"ProcessorConfig": config, "StartAt": "Ask", "States": states}
        states = {"Inner": {"Type": "Map", "ItemProcessor": inner, "End": True}}
    processor = {"ProcessorConfig": config, "StartAt": next(iter(states)), "States": states}
    each = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2, "Next": "Last", **fields}
    return {"StartAt": "Each", "States": {"Each": each, "Last": {"Type": "Pass", "End": True}}}


ITEMS = [{"n": 1}, {"n": -1}, {"n": 2}, {"n": 3}, {"n": 4}]


@pytest.mark.parametrize("loses", [False, True])
@pytest.mark.parametrize(
    ("fields", "items"),
    [
        ({"ToleratedFailureCount": 1}, ITEMS),
        ({"ToleratedFailureCount": 1, "ItemReader": READER, "ResultWriter": WRITER}, ITEMS),
        ({"ItemBatcher": {"MaxItemsPerBatch": 2}, "ItemReader": READER}, ITEMS[2:] * 2),
        (
            {"MaxConcurrency": 1, "ResultWriter": WRITER, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Last"}]},
            ITEMS,
        ),
        ({"nested": True}, [ITEMS[2:], ITEMS[3:]]),
    ],
)
def test_a_kill_at_every_point(
    fields: dict[str, Any], items: list[Any], loses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_runs, "BIRTHS", 2)
    definition = machine(**fields)
    calm, world = run(definition, items, 0, loses)
    (end,) = calm.ended.values()
    expected = what(calm, world)
    assert end.status == "SUCCEEDED" and calm.fuse.points >= 30
    for point in range(1, calm.fuse.points + 1):
        store, world = run(definition, items, point, loses)
        assert what(store, world) == expected, point
        again = {token: times for token, times in world.runs.items() if times > 1}
        assert len(again) <= 1, (point, again)  # the one that was being started when the kill came


def what(store: Fused, world: World) -> Any:
    """What is to be the same: the end, the events, the children, the results."""
    (end,), (events,) = store.ended.values(), store.events.values()
    children = [
        (child.birth.index, child.status, child.output, child.birth.first, child.birth.items)
        for arn in sorted(store.map_runs)
        for child in store.children(arn)
    ]
    results = world.data.written[-1].results if world.data.written else None
    runs = [(row.arn, row.status, row.items, row.size, row.written) for _, row in sorted(store.map_runs.items())]
    return json.dumps([end.output, [event.type for event in events], children, results, runs])
