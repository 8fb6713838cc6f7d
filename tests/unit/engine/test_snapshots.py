"""What the store gets: little for a loop, linear for a Map, and rows that come back."""

from __future__ import annotations

import json

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


# ------------------------------------------------------------------------------------------ what survives a restart


class Survivor:
    """An execution that is taken down and put back at will."""

    def __init__(self, definition: dict, given: object = None) -> None:
        self.clock, self.store, self.tasks = FakeClock(), MemoryStore(), FakeTasks()
        self.start = start_of(from_json(definition), given or {}, "survivor", self.clock.now(), True, False)
        self.engine = Engine(self.clock, self.tasks, self.store)
        self.tasks.attach(self.engine, self.clock)
        self.engine.start(self.start)
        self.engine.run_until_idle()

    def restart(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.tasks = FakeTasks()
        self.tasks.on(GLUE).hang()
        self.engine = Engine(self.clock, self.tasks, self.store)
        self.tasks.attach(self.engine, self.clock)
        self.engine.restore(self.store.snapshot(self.start))
        self.engine.run_until_idle()

    def types(self) -> list[str]:
        return [event.type for event in self.store.events[self.start.execution]]

    @property
    def token(self) -> str:
        (frame,) = self.store.frames[self.start.execution].values()
        return json.loads(frame.text)["task"]["token"]


GLUE = "arn:aws:states:::glue:startJobRun.sync"


def one(**state: object) -> dict:
    return {"StartAt": "One", "States": {"One": {"End": True, **state}}}


def test_a_wait_goes_on_for_what_is_left() -> None:
    survivor = Survivor(one(Type="Wait", Seconds=100))
    survivor.restart(30)
    assert survivor.engine.next_timer() == pytest.approx(70)
    survivor.restart(80)
    assert survivor.types()[-1] == "ExecutionSucceeded"


def test_retries_go_on_where_they_were() -> None:
    survivor = Survivor(one(Type="Task", Resource=GLUE, Retry=[{"ErrorEquals": ["E"], "IntervalSeconds": 10}]))
    for wait in (10, 20, 40):
        survivor.engine.task_failed(survivor.token, "E")
        survivor.engine.run_until_idle()
        survivor.restart(1)
        assert survivor.engine.next_timer() == pytest.approx(wait - 1)
        survivor.restart(wait)
    survivor.engine.task_failed(survivor.token, "E")
    survivor.engine.run_until_idle()
    assert survivor.types().count("TaskScheduled") == 4 and survivor.types()[-1] == "ExecutionFailed"


def test_a_submitted_task_is_resumed_with_what_it_submitted() -> None:
    survivor = Survivor(one(Type="Task", Resource=GLUE, TimeoutSeconds=50, HeartbeatSeconds=40))
    token = survivor.token
    survivor.engine.task_submitted(token, {"JobRunId": "jr_1"})
    survivor.engine.run_until_idle()
    survivor.restart(20)
    (call,) = survivor.tasks.calls
    assert (call.has_submitted, call.submitted) == (True, {"JobRunId": "jr_1"})
    assert survivor.engine.next_timer() == pytest.approx(20)
    survivor.engine.task_heartbeat(token)
    survivor.engine.run_until_idle()
    assert survivor.engine.next_timer() == pytest.approx(30)
    survivor.engine.task_submitted(token, {"JobRunId": "jr_1"})
    survivor.engine.task_succeeded(token, "done")
    survivor.engine.run_until_idle()
    assert survivor.types()[3:] == [
        "TaskStarted",
        "TaskSubmitted",
        "TaskSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]


def test_the_machines_own_timeout_survives() -> None:
    survivor = Survivor({**one(Type="Wait", Seconds=100), "TimeoutSeconds": 60})
    survivor.restart(59)
    assert survivor.types()[-1] == "WaitStateEntered"
    survivor.restart(2)
    assert survivor.types()[-1] == "ExecutionTimedOut"
