"""Redrive: an execution that failed goes on where it failed, with what had been done, and only with that."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from millpond.asl import from_json
from millpond.engine import Batch, Engine, Start, TaskCall
from millpond.engine import run as loop
from millpond.testing import FakeClock, MemoryStore
from millpond.testing.simulation import start_of

TASK = "arn:aws:states:::glue:startJobRun.sync"


class Workers:
    """Answers at once, by state and arguments; `broken` names what fails."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.broken: set[str] = set()
        self.silent: set[str] = set()
        self.calls: list[str] = []
        self.tokens: list[str] = []

    def start(self, call: TaskCall, token: str) -> None:
        which = f"{call.state}:{call.arguments}"
        self.calls.append(which)
        self.tokens.append(token)
        assert self.engine is not None
        if which in self.silent:
            return
        if which in self.broken:
            self.engine.task_failed(token, "Boom", which)
        else:
            self.engine.task_succeeded(token, which)

    resume = start

    def stop(self, token: str) -> None:
        pass


class Bench:
    def __init__(self, definition: dict[str, Any], value: Any) -> None:
        self.clock, self.store, self.workers = FakeClock(), MemoryStore(), Workers()
        self.begin = start_of(from_json(definition), value, "redriven", self.clock.now(), True, False)
        self.count = 0
        self.new_engine()

    def new_engine(self) -> None:
        self.engine = self.workers.engine = Engine(self.clock, self.workers, self.store)

    def run(self) -> tuple[str, Any, str | None]:
        arn = self.begin.execution
        while arn not in self.store.ended:
            self.engine.run_until_idle()
            if arn in self.store.ended:
                break
            wait = self.engine.next_timer()
            assert wait is not None, "stuck"
            self.clock.advance(wait + 1e-6)
        end = self.store.ended[arn]
        return end.status, end.output, end.error

    def first(self) -> tuple[str, Any, str | None]:
        self.engine.start(self.begin)
        return self.run()

    def redriven(self) -> Start:
        self.count += 1
        return replace(self.begin, redrive_count=self.count, redriven_at=self.clock.now())

    def redrive(self) -> tuple[str, Any, str | None]:
        snapshot = self.store.snapshot(self.redriven())
        assert snapshot.over
        self.workers.calls.clear()
        del self.store.ended[self.begin.execution]
        self.new_engine()  # also what happens after a kill between the answer and the engine's first step
        self.engine.redrive(snapshot)
        return self.run()

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.store.events[self.begin.execution]]

    def after(self) -> list[str]:
        return self.types[self.types.index("ExecutionRedriven") :]


def task(**more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": TASK, "Parameters.$": "$"} | more


def call(name: str = "Copy", **more: Any) -> dict[str, Any]:
    made = {"Type": "Task", "Resource": TASK, "QueryLanguage": "JSONata", "Arguments": "{% $states.input %}"} | more
    return {name: made}


def machine(states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def test_it_goes_on_at_the_task_that_failed() -> None:
    bench = Bench(machine(call("A", Output="a", Next="B") | call("B", Next="C") | call("C", End=True)), "x")
    bench.workers.broken = {"B:a"}
    assert bench.first()[::2] == ("FAILED", "Boom")
    first = list(bench.workers.tokens)
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.workers.calls == ["B:a", "C:B:a"]
    assert bench.after()[:4] == ["ExecutionRedriven", "TaskScheduled", "TaskStarted", "TaskSucceeded"]
    assert not set(bench.workers.tokens[len(first) :]) & set(first), "a token of the failed run would end the new one"
    ids = [event.id for event in bench.store.events[bench.begin.execution]]
    assert ids == list(range(1, len(ids) + 1))


def test_retries_are_counted_anew() -> None:
    retry = [{"ErrorEquals": ["Boom"], "MaxAttempts": 2, "IntervalSeconds": 1}]
    bench = Bench(machine(call(Retry=retry, End=True)), "x")
    bench.workers.broken = {"Copy:x"}
    assert bench.first()[0] == "FAILED"
    assert len(bench.workers.calls) == 3
    assert bench.redrive()[0] == "FAILED"
    assert len(bench.workers.calls) == 3
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.types.count("ExecutionRedriven") == 2


def test_a_caught_failure_goes_on_at_the_fail_state() -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Give up"}]
    states = call(Catch=catch, End=True) | {"Give up": {"Type": "Fail", "Error": "Gone"}}
    bench = Bench(machine(states), "x")
    bench.workers.broken = {"Copy:x"}
    assert bench.first()[2] == "Gone"
    bench.workers.broken = set()
    assert bench.redrive()[::2] == ("FAILED", "Gone")
    assert bench.after() == ["ExecutionRedriven", "FailStateEntered", "ExecutionFailed"]
    assert bench.workers.calls == []


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_map_runs_only_what_was_not_done(mode: str, at_once: int) -> None:
    processor = machine(call("Read", Next="Write") | call("Write", End=True))
    if mode == "DISTRIBUTED":
        processor["ProcessorConfig"] = {"Mode": mode, "ExecutionType": "STANDARD"}
    states = {"Each": {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": at_once, "End": True}}
    bench = Bench(machine(states), [1, 2, 3, 4, 5])
    bench.workers.broken = {"Write:Read:3"}
    before = Counter[str]()
    assert bench.first()[0] == "FAILED"
    before.update(bench.workers.calls)
    bench.workers.broken = set()
    status, output, _ = bench.redrive()
    assert status == "SUCCEEDED"
    assert output == "[" + ",".join(f'"Write:Read:{n}"' for n in (1, 2, 3, 4, 5)) + "]"
    assert "Read:3" not in bench.workers.calls
    assert "Write:Read:3" in bench.workers.calls
    done = {"Write:Read:1"} if at_once == 1 else set()
    assert not done & set(bench.workers.calls)
    assert ("MapRunRedriven" in bench.types) == (mode == "DISTRIBUTED")


def test_borne_failures_of_a_distributed_map_run_again() -> None:
    processor = machine(call(End=True)) | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    states = {
        "Each": {
            "Type": "Map",
            "ItemProcessor": processor,
            "ToleratedFailureCount": 1,
            "MaxConcurrency": 1,
            "End": True,
        }
    }
    bench = Bench(machine(states), [1, 2, 3, 4])
    bench.workers.broken = {"Copy:1", "Copy:3"}
    assert bench.first()[2] == "States.ExceedToleratedFailureThreshold"
    bench.workers.broken = {"Copy:1"}
    status, output, _ = bench.redrive()
    assert status == "SUCCEEDED"
    assert [each if isinstance(each, str) else each["Status"] for each in json.loads(output)] == [
        "FAILED",
        "Copy:2",
        "Copy:3",
        "Copy:4",
    ]
    assert sorted(bench.workers.calls) == ["Copy:1", "Copy:3", "Copy:4"]


def test_a_parallel_inside_a_map_keeps_finished_branches() -> None:
    branch = [machine(call(name, Next=f"{name}2") | call(f"{name}2", End=True)) for name in ("L", "R")]
    inner = machine({"Both": {"Type": "Parallel", "Branches": branch, "End": True}})
    bench = Bench(machine({"Each": {"Type": "Map", "ItemProcessor": inner, "MaxConcurrency": 1, "End": True}}), [1, 2])
    bench.workers.broken = {"R2:R:2"}
    assert bench.first()[0] == "FAILED"
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert "R2:R:2" in bench.workers.calls
    assert not {"L:1", "R:1", "L2:L:1", "R2:R:1", "R:2", "L:2"} & set(bench.workers.calls)


def test_a_failure_after_a_caught_one_forgets_the_map() -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Repair"}]
    states = {"Each": {"Type": "Map", "ItemProcessor": machine(call(End=True)), "Catch": catch, "End": True}}
    states |= call("Repair", Arguments="it", End=True)
    bench = Bench(machine(states), [1, 2])
    bench.workers.broken = {"Copy:2", "Repair:it"}
    assert bench.first()[0] == "FAILED"
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.workers.calls == ["Repair:it"]


def test_a_stopped_execution_goes_on_and_its_deadline_begins_anew() -> None:
    definition = machine(call("A", Next="B") | call("B", End=True)) | {"TimeoutSeconds": 100}
    bench = Bench(definition, "x")
    bench.workers.silent = {"B:A:x"}
    assert bench.first()[0] == "TIMED_OUT"
    bench.workers.silent = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.workers.calls == ["B:A:x"]


def test_variables_are_kept() -> None:
    states = {"Set": {"Type": "Pass", "Assign": {"day": 7}, "Next": "Copy"}}
    bench = Bench(machine(states | call(Arguments="{% $day %}", End=True)), "x")
    bench.workers.broken = {"Copy:7"}
    assert bench.first()[0] == "FAILED"
    bench.workers.broken = set()
    assert bench.redrive()[:2] == ("SUCCEEDED", '"Copy:7"')


def test_a_kill_during_a_redriven_map_loses_nothing() -> None:
    states = {"Each": {"Type": "Map", "ItemProcessor": machine(call(End=True)), "MaxConcurrency": 2, "End": True}}
    bench = Bench(machine(states), [1, 2, 3])
    bench.workers.broken = {"Copy:2"}
    assert bench.first()[0] == "FAILED"
    bench.workers.broken, bench.workers.silent = set(), {"Copy:2"}
    start = bench.redriven()
    snapshot = bench.store.snapshot(start)
    del bench.store.ended[start.execution]
    bench.new_engine()
    bench.engine.redrive(snapshot)
    bench.engine.run_until_idle()
    bench.workers.silent = set()
    bench.new_engine()
    again = bench.store.snapshot(start)
    assert not again.over
    bench.engine.restore(again)
    assert bench.run()[:2] == ("SUCCEEDED", '["Copy:1","Copy:2","Copy:3"]')


class Crash(BaseException):
    """kill -9."""


class Fused(MemoryStore):
    """Crashes right before or right after the k-th batch; 0: never."""

    def __init__(self, before: MemoryStore, at: int) -> None:
        super().__init__()
        self.__dict__.update(deepcopy(before.__dict__))
        self.at, self.points = at, 0

    def append(self, batch: Batch) -> None:
        self.burn()
        super().append(batch)
        self.burn()

    def burn(self) -> None:
        self.points += 1
        if self.points == self.at:
            raise Crash


def crashing_redrive(bench: Bench, at: int) -> tuple[Fused, list[str]]:
    store = Fused(bench.store, at)
    start = replace(bench.begin, redrive_count=1, redriven_at=bench.clock.now())
    arn = start.execution
    del store.ended[arn]
    workers = Workers()
    for _ in range(3):
        engine = workers.engine = Engine(bench.clock, workers, store)
        engine.restore(store.snapshot(start))
        try:
            engine.run_until_idle()
        except Crash:
            if arn not in store.ended:
                continue
        break
    return store, workers.calls


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
def test_a_kill_at_every_batch_of_a_redrive(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SLICE", 1)
    branches = [machine(call(name, Next=f"{name}2") | call(f"{name}2", End=True)) for name in ("L", "R")]
    processor = machine({"Both": {"Type": "Parallel", "Branches": branches, "End": True}})
    if mode == "DISTRIBUTED":
        processor["ProcessorConfig"] = {"Mode": mode, "ExecutionType": "STANDARD"}
    each = {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 2, "End": True}
    if mode == "DISTRIBUTED":
        each["ToleratedFailureCount"] = 1
    bench = Bench(machine({"Each": each}), [1, 2, 3, 4])
    bench.workers.broken = {"R2:R:2", "L:3"}
    assert bench.first()[0] == "FAILED"
    calm, calls = crashing_redrive(bench, 0)
    (output,) = {end.output for end in calm.ended.values()}
    assert output == "[" + ",".join(f'["L2:L:{n}","R2:R:{n}"]' for n in (1, 2, 3, 4)) + "]"
    assert not {"L:1", "R:1"} & set(calls)
    assert calm.points > 10
    for point in range(1, calm.points + 1):
        store, calls = crashing_redrive(bench, point)
        (end,) = store.ended.values()
        assert (point, end.status, end.output) == (point, "SUCCEEDED", output)
        assert not {"L:1", "R:1"} & set(calls), point
        (events,) = store.events.values()
        assert [event.id for event in events] == list(range(1, len(events) + 1)), point
        assert [event.type for event in events].count("ExecutionRedriven") == 1, point


def distributed(states: dict[str, Any], kind: str = "STANDARD", **fields: Any) -> dict[str, Any]:
    processor = machine(states) | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}}
    return {"Each": {"Type": "Map", "ItemProcessor": processor, "MaxConcurrency": 1, "End": True, **fields}}


def children(bench: Bench) -> list[tuple[str, int, int]]:
    """Status, redrives and round of each child, of every Map Run in turn."""
    store = bench.store
    found = [child for arn in sorted(store.map_runs) for child in store.children(arn)]
    return [(child.status, child.birth.redrives, child.birth.round) for child in found]


def test_children_count_their_own_redrives() -> None:
    """Those that had not begun are begun, the failed one goes on at its second state, twice."""
    bench = Bench(machine(distributed(call("Read", Next="Write") | call("Write", End=True))), [1, 2, 3])
    bench.workers.broken = {"Write:Read:2"}
    assert bench.first()[2] == "States.ExceedToleratedFailureThreshold"
    assert children(bench) == [("SUCCEEDED", 0, 0), ("FAILED", 0, 0)]
    assert bench.redrive()[2] == "States.ExceedToleratedFailureThreshold"
    assert bench.workers.calls == ["Write:Read:2"]
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.workers.calls == ["Write:Read:2", "Read:3", "Write:Read:3"]
    assert children(bench) == [("SUCCEEDED", 0, 0), ("SUCCEEDED", 2, 2), ("SUCCEEDED", 0, 2)]
    (run,) = bench.store.map_runs.values()
    assert (run.status, run.redrives) == ("SUCCEEDED", 2)


def test_express_children_begin_anew_under_other_names() -> None:
    bench = Bench(machine(distributed(call("Read", Next="Write") | call("Write", End=True), "EXPRESS")), [1, 2])
    bench.workers.broken = {"Write:Read:2"}
    bench.first()
    (arn,) = bench.store.map_runs
    names = [child.execution for child in bench.store.children(arn)]
    bench.workers.broken = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert bench.workers.calls == ["Read:2", "Write:Read:2"]
    first, second = [child.execution for child in bench.store.children(arn)]
    assert first == names[0] and second != names[1]


def test_nested_map_runs_go_on_together() -> None:
    inner = distributed(call(End=True))["Each"]
    bench = Bench(machine(distributed({"Inner": inner})), [[1, 2], [3]])
    bench.workers.broken = {"Copy:2"}
    assert bench.first()[0] == "FAILED"
    bench.workers.broken = set()
    status, output, _ = bench.redrive()
    assert (status, output) == ("SUCCEEDED", '[["Copy:1","Copy:2"],["Copy:3"]]')
    assert bench.workers.calls == ["Copy:2", "Copy:3"]


def test_a_stopped_map_run_goes_on() -> None:
    bench = Bench(machine(distributed(call(End=True), MaxConcurrency=2)), [1, 2, 3])
    bench.workers.silent = {"Copy:1"}
    bench.engine.start(bench.begin)
    bench.engine.run_until_idle()
    bench.engine.stop(bench.begin.execution)
    assert bench.run()[0] == "ABORTED"
    assert [status for status, _, _ in children(bench)] == ["ABORTED", "SUCCEEDED", "SUCCEEDED"]
    bench.workers.silent = set()
    status, output, _ = bench.redrive()
    assert (status, output) == ("SUCCEEDED", '["Copy:1","Copy:2","Copy:3"]')
    assert bench.workers.calls == ["Copy:1"]


def test_a_map_run_whose_branch_was_aborted() -> None:
    """Its Map state says so, and a redrive takes it up where it was."""
    slow = machine(distributed(call(End=True)))
    fast = machine(call("Fast", End=True))
    bench = Bench(machine({"Both": {"Type": "Parallel", "Branches": [slow, fast], "End": True}}), [1, 2])
    bench.workers.silent = {"Copy:2", "Fast:[1, 2]"}
    bench.engine.start(bench.begin)
    bench.engine.run_until_idle()
    token = bench.workers.tokens[bench.workers.calls.index("Fast:[1, 2]")]
    bench.engine.task_failed(token, "Boom")
    assert bench.run()[0] == "FAILED"
    assert bench.types[-4:-1] == ["MapRunAborted", "MapStateAborted", "ParallelStateFailed"]
    bench.workers.silent = set()
    assert bench.redrive()[0] == "SUCCEEDED"
    assert sorted(bench.workers.calls) == ["Copy:2", "Fast:[1, 2]"]
