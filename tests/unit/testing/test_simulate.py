"""simulate() and its fakes: what a user's own tests rely on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import millpond.testing
from millpond.asl import from_json
from millpond.testing import FakeClock, FakeTasks, Stuck, UnexpectedTask, simulate

GLUE = "arn:aws:states:::glue:startJobRun.sync"


def one(state: dict) -> dict:
    return {"StartAt": "One", "States": {"One": {"End": True, **state}}}


def test_public_names() -> None:
    assert sorted(millpond.testing.__all__) == [
        "FakeClock",
        "FakeTask",
        "FakeTasks",
        "MemoryStore",
        "Run",
        "Stuck",
        "UnexpectedTask",
        "simulate",
    ]


def test_a_machine_may_be_a_model_a_value_text_or_a_file(tmp_path: Path) -> None:
    definition = one({"Type": "Pass"})
    file = tmp_path / "flow.asl.json"
    file.write_text(json.dumps(definition))
    for machine in (definition, json.dumps(definition), from_json(definition), file):
        run = simulate(machine, {"a": 1})
        assert (run.status, run.output, run.states, run.visited("Two")) == ("SUCCEEDED", {"a": 1}, ["One"], False)


def test_jitter_is_the_same_for_the_same_seed() -> None:
    def seconds(seed: int) -> float:
        tasks = FakeTasks()
        tasks.on(GLUE).fail_once("E").succeed()
        retry = [{"ErrorEquals": ["E"], "IntervalSeconds": 1000, "JitterStrategy": "FULL"}]
        machine = one({"Type": "Task", "Resource": GLUE, "Retry": retry})
        return simulate(machine, tasks=tasks, clock=FakeClock(seed=seed)).seconds

    assert seconds(1) == seconds(1) != seconds(2)


def test_a_task_takes_its_time() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).take(600).succeed("late")
    run = simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)
    assert run.output == "late" and run.seconds == pytest.approx(600, abs=0.01)
    assert (
        simulate(one({"Type": "Task", "Resource": GLUE, "TimeoutSeconds": 60}), tasks=tasks).error == "States.Timeout"
    )


def test_a_call_that_nobody_prepared_is_named() -> None:
    with pytest.raises(UnexpectedTask, match=r"state 'One' called arn:aws:states:::glue:startJobRun\.sync"):
        simulate(one({"Type": "Task", "Resource": GLUE}))


def test_a_machine_that_waits_for_ever_is_told() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).hang()
    with pytest.raises(Stuck):
        simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)


def test_a_year_takes_no_time() -> None:
    run = simulate(one({"Type": "Wait", "Seconds": 31_536_000}))
    assert run.status == "SUCCEEDED" and run.seconds == pytest.approx(31_536_000, abs=1)


def test_fakes_tell_calls_apart() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed("any")
    tasks.on(GLUE, JobName="join").succeed("join")
    tasks.on(GLUE, state="Last").answer(lambda arguments: [arguments])
    machine = {
        "StartAt": "A",
        "States": {
            "A": {
                "Type": "Task",
                "Resource": GLUE,
                "Parameters": {"JobName": "copy"},
                "ResultPath": "$.a",
                "Next": "B",
            },
            "B": {
                "Type": "Task",
                "Resource": GLUE,
                "Parameters": {"JobName": "join"},
                "ResultPath": "$.b",
                "Next": "Last",
            },
            "Last": {"Type": "Task", "Resource": GLUE, "Parameters": {"x": 1}, "ResultPath": "$.c", "End": True},
        },
    }
    assert simulate(machine, tasks=tasks).output == {"a": "any", "b": "join", "c": [{"x": 1}]}
