"""Distributed Maps with items in the input: child executions, batches, tolerated failures, restore."""

from __future__ import annotations

import pytest

from millpond.asl import from_json
from millpond.engine import Engine, compile_machine
from millpond.engine.maps import NotCarried, in_batches
from millpond.testing import FakeClock, FakeTasks, MemoryStore, simulate
from millpond.testing.simulation import drive, start_of

CALLBACK = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"


def machine(states: dict, **fields: object) -> dict:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": next(iter(states)),
        "States": states,
    }
    return {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}}}


PASS = {"Same": {"Type": "Pass", "End": True}}
PICKY = {
    "Ok": {"Type": "Choice", "Choices": [{"Variable": "$", "NumericLessThan": 0, "Next": "No"}], "Default": "Same"},
    "No": {"Type": "Fail", "Error": "Negative"},
    **PASS,
}


def test_children_are_not_in_the_parents_history() -> None:
    run = simulate(machine(PASS), list(range(500)))
    assert run.output == list(range(500))
    assert [event.type for event in run.events][3:-1] == [
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
        "MapStateExited",
    ]


def test_a_child_has_a_context_and_numbers_of_its_own() -> None:
    inner = {
        "Say": {"Type": "Pass", "Parameters": {"id.$": "$$.Execution.Id", "in.$": "$$.Execution.Input"}, "End": True}
    }
    run = simulate(machine(inner, Label="each"), [1, 2])
    first, second = run.output
    assert first["in"] == 1 and first["id"] != second["id"]
    assert first["id"].startswith("arn:aws:states:us-east-1:111111111111:execution:machine/each:")


@pytest.mark.parametrize(
    ("tolerated", "items", "output"),
    [
        ({}, [1, -1], None),
        ({"ToleratedFailureCount": 1}, [1, -1, 2], [1, 2]),
        ({"ToleratedFailureCount": 1}, [-1, -1, 2], None),
        ({"ToleratedFailurePercentage": 50}, [1, -1], [1]),
        ({"ToleratedFailurePercentage": 49}, [1, -1], None),
        ({"ToleratedFailurePercentage": 100, "ToleratedFailureCount": 1}, [-1, -1], None),
    ],
)
def test_tolerated_failures(tolerated: dict, items: list, output: list | None) -> None:
    run = simulate(machine(PICKY, **tolerated), items)
    assert run.output == output
    if output is None:
        assert run.error == "States.ExceedToleratedFailureThreshold"
        assert run.cause == "The specified tolerated failure threshold was exceeded"
        assert [event.type for event in run.events][-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]


def test_batches() -> None:
    fields = {
        "ItemSelector": {"n.$": "$$.Map.Item.Value"},
        "ItemBatcher": {"MaxItemsPerBatch": 2, "BatchInput": {"day": 7}},
    }
    run = simulate(machine(PASS, **fields), [1, 2, 3])
    assert run.output == [
        {"BatchInput": {"day": 7}, "Items": [{"n": 1}, {"n": 2}]},
        {"BatchInput": {"day": 7}, "Items": [{"n": 3}]},
    ]


def test_batches_by_size() -> None:
    assert in_batches(["aaaa", "bb", "c"], 0, 12) == [["aaaa", "bb"], ["c"]]
    assert in_batches([1, 2, 3], 0, 0) == [[1, 2, 3]]
    assert in_batches([], 5, 5) == []


def test_every_child_has_its_own_token_and_all_survive_a_restart() -> None:
    inner = {"Ask": {"Type": "Task", "Resource": CALLBACK, "Parameters": {"t.$": "$$.Task.Token"}, "End": True}}
    clock, store, tasks = FakeClock(), MemoryStore(), FakeTasks()
    tasks.on(CALLBACK).hang()
    start = start_of(from_json(machine(inner, ToleratedFailureCount=1)), [1, 2, 3], "d", clock.now(), True, False)
    engine = Engine(clock, tasks, store)
    engine.start(start)
    engine.run_until_idle()
    tokens = [call.arguments["t"] for call in tasks.calls]
    assert len(set(tokens)) == 3
    engine.task_succeeded(tokens[0], "a")
    engine.task_failed(tokens[1], "No")
    engine.run_until_idle()

    again = FakeTasks()
    again.on(CALLBACK).succeed("late")
    engine = Engine(clock, again, store)
    again.attach(engine, clock)
    engine.restore(store.snapshot(start))
    drive(engine, again, clock, store, start)
    assert store.ended[start.execution].output == '["a","late"]'
    assert [call.arguments["t"] for call in again.calls] == [tokens[2]]


@pytest.mark.parametrize(
    "field",
    [
        {"ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "Parameters": {"Bucket": "b", "Key": "k"}}},
        {"ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b"}}},
    ],
)
def test_what_is_not_carried_is_refused(field: dict) -> None:
    definition = from_json(machine(PASS, **field))
    with pytest.raises(NotCarried, match="not carried locally"):
        compile_machine(definition)
    run = simulate(definition, [])
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    assert "not carried locally" in run.cause


def test_a_child_does_not_see_the_parents_variables() -> None:
    inner = {"Say": {"Type": "Pass", "Parameters": {"day.$": "$day"}, "End": True}}
    definition = machine(inner)
    definition["StartAt"] = "Set"
    definition["States"]["Set"] = {"Type": "Pass", "Assign": {"day": 7}, "Next": "Each"}
    assert simulate(definition, [1]).error == "States.ExceedToleratedFailureThreshold"
