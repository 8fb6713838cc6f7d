"""What the store gets: little for a loop, linear for a Map, and rows that come back."""

from __future__ import annotations

import pytest

from millpond.asl import from_json
from millpond.engine import Batch, Engine, FrameRow, Snapshot
from millpond.testing import FakeClock, FakeTasks, MemoryStore
from millpond.testing.simulation import start_of


class Scales(MemoryStore):
    """Weighs snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = self.batches = 0

    def append(self, batch: Batch) -> None:
        self.batches += 1
        self.weight += sum(len(row.text) for row in [*batch.frames, *batch.items])
        super().append(batch)


def weigh(definition: dict, given: object) -> Scales:
    clock, store = FakeClock(), Scales()
    engine = Engine(clock, FakeTasks(), store)
    start = start_of(from_json(definition), given, "scales", clock.now(), False, False)
    engine.start(start)
    engine.run_until_idle()
    assert store.ended[start.execution].status == "SUCCEEDED"
    return store


MAP = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "Same", "States": {"Same": {"Type": "Pass", "End": True}}},
            "End": True,
        }
    },
}


def test_the_snapshots_of_a_map_are_linear() -> None:
    small, large = (weigh(MAP, ["x" * 50] * size).weight / size for size in (500, 5_000))
    assert large < small * 1.5


def test_a_finished_execution_leaves_no_rows() -> None:
    store = weigh(MAP, [1, 2, 3])
    assert not any(store.frames.values()) and not any(store.items.values())


def test_a_loop_is_stored_once_a_slice() -> None:
    loop = {
        "StartAt": "Add",
        "States": {
            "Add": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "Enough"},
            "Enough": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.n", "NumericLessThan": 1000, "Next": "Add"}],
                "Default": "Done",
            },
            "Done": {"Type": "Succeed"},
        },
    }
    store = weigh(loop, {"n": 0})
    assert store.batches < 20 and store.weight < 20 * 200


def test_only_tasks_and_ends_cost_a_barrier() -> None:
    assert weigh(MAP, [1, 2, 3]).barriers == 1


@pytest.mark.parametrize(
    ("frames", "what"),
    [
        ([], "0 root frames"),
        ([FrameRow(1, "[]")], "not a frame snapshot"),
        ([FrameRow(1, '{"state":"Each","phase":"sleep","input":1}')], "no such phase"),
        ([FrameRow(1, '{"state":"Gone","phase":"enter","input":1}')], "names a missing 'Gone'"),
        ([FrameRow(2, '{"state":"Each","phase":"enter","fork":1,"input":1}')], "names a missing 1"),
    ],
)
def test_a_damaged_snapshot_is_refused(frames: list[FrameRow], what: str) -> None:
    clock = FakeClock()
    start = start_of(from_json(MAP), [1], "damaged", clock.now(), True, False)
    engine = Engine(clock, FakeTasks(), MemoryStore())
    with pytest.raises(ValueError, match=what):
        engine.restore(Snapshot(start, 3, clock.now(), frames, []))
    assert engine.running() == 0
