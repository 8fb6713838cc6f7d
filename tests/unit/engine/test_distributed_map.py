"""Distributed Maps with items in the input: child executions, batches, tolerated failures, restore."""

from __future__ import annotations

import json

import pytest

from millpond.asl import from_json
from millpond.engine import Engine
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
    ("tolerated", "items", "output"),  # None in an output: the record of a failed child
    [
        ({}, [1, -1], None),
        ({"ToleratedFailureCount": 1}, [1, -1, 2], [1, None, 2]),
        ({"ToleratedFailureCount": 1}, [-1, -1, 2], None),
        ({"ToleratedFailurePercentage": 50}, [1, -1], [1, None]),
        ({"ToleratedFailurePercentage": 49}, [1, -1], None),
        ({"ToleratedFailurePercentage": 100, "ToleratedFailureCount": 1}, [-1, -1], None),
    ],
)
def test_tolerated_failures(tolerated: dict, items: list, output: list | None) -> None:
    run = simulate(machine(PICKY, **tolerated), items)
    if output is not None:
        shown = [None if isinstance(each, dict) else each for each in run.output]
        assert shown == output
        assert {each["Status"] for each in run.output if isinstance(each, dict)} == {"FAILED"}
    else:
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
    """The bytes are those of a child's whole input; one item is in a batch at least."""
    fields = {"ItemBatcher": {"MaxInputBytesPerBatch": len('{"Items":["aaaa","bb"]}')}}
    run = simulate(machine(PASS, **fields), ["aaaa", "bb", "c", "d" * 40])
    assert [child["Items"] for child in run.output] == [["aaaa", "bb"], ["c"], ["d" * 40]]
    assert simulate(machine(PASS, **fields), []).output == []


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
    first, second, third = json.loads(store.ended[start.execution].output)
    assert (first, second["Status"], third) == ("a", "FAILED", "late")
    assert [call.arguments["t"] for call in again.calls] == [tokens[2]]


READ = {
    "Resource": "arn:aws:states:::s3:getObject",
    "ReaderConfig": {"InputType": "JSON"},
    "Parameters": {"Bucket": "b", "Key.$": "$.key"},
}


def test_items_come_from_a_reader() -> None:
    tasks = FakeTasks()
    tasks.items([{"id": 1}, {"id": 2}], state="Each", source="S3://b/k.csv")
    selector = {
        "i.$": "$$.Map.Item.Index",
        "of.$": "$$.Map.Item.Source",
        "v.$": "$$.Map.Item.Value.id",
        "key.$": "$.key",
    }
    config = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "MaxItemsPath": "$.most"}
    fields = {"ItemReader": {**READ, "ReaderConfig": config}, "ItemSelector": selector}
    run = simulate(machine(PASS, **fields), {"key": "k.csv", "most": 2}, tasks=tasks)
    assert run.output == [{"i": i, "of": "S3://b/k.csv", "v": i + 1, "key": "k.csv"} for i in (0, 1)]
    (call,) = run.calls
    assert call.arguments == {
        "MapRunArn": run.events[3].more["mapRunArn"],
        "Resource": READ["Resource"],
        "Parameters": {"Bucket": "b", "Key": "k.csv"},
        "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW", "MaxItems": 2},
    }
    assert [event.type for event in run.events][2:6] == [
        "MapStateStarted",
        "MapRunStarted",
        "MapRunSucceeded",
        "MapStateSucceeded",
    ]


def test_a_reader_that_fails_is_caught() -> None:
    tasks = FakeTasks()
    tasks.unreadable("no such object")
    definition = machine(PASS, ItemReader=READ)
    run = simulate(definition, {"key": "k"}, tasks=tasks)
    assert (run.status, run.error, run.cause) == ("FAILED", "States.ItemReaderFailed", "no such object")
    assert [event.type for event in run.events][-3:] == ["MapRunFailed", "MapStateFailed", "ExecutionFailed"]
    definition["States"]["Each"]["Catch"] = [{"ErrorEquals": ["States.ItemReaderFailed"], "Next": "Well"}]
    definition["States"]["Well"] = {"Type": "Pass", "End": True}
    assert simulate(definition, {"key": "k"}, tasks=tasks).output["Error"] == "States.ItemReaderFailed"


@pytest.mark.parametrize(
    ("how", "results"),
    [({}, [[1, 2], [3]]), ({"Transformation": "FLATTEN"}, [1, 2, 3]), ({"Transformation": "NONE"}, ["[1,2]", "[3]"])],
)
def test_results_are_transformed_with_and_without_a_bucket(how: dict, results: list) -> None:
    writer = {"WriterConfig": {"Transformation": "COMPACT", "OutputType": "JSON", **how}}
    run = simulate(machine(PASS, ResultWriter=writer), [[1, 2], [3]])
    assert [each["Output"] if isinstance(each, dict) else each for each in run.output] == results
    tasks = FakeTasks()
    writer |= {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}
    run = simulate(machine(PASS, ResultWriter=writer), [[1, 2], [3]], tasks=tasks)
    assert [each["Output"] if isinstance(each, dict) else each for each in tasks.written[0].results] == results
    run_id = run.output["MapRunArn"].rpartition(":")[2]
    assert run.output["ResultWriterDetails"] == {"Bucket": "b", "Key": f"p/{run_id}/manifest.json"}


def test_a_failed_map_run_writes_what_did_not_begin() -> None:
    tasks = FakeTasks()
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": "p"}}
    run = simulate(machine(PICKY, ResultWriter=writer, MaxConcurrency=1), [1, -1, 2, 3], tasks=tasks)
    assert run.error == "States.ExceedToleratedFailureThreshold"
    statuses = [each["Status"] for each in tasks.written[0].results]
    assert statuses == ["SUCCEEDED", "FAILED", "PENDING", "PENDING"]


def test_more_results_than_an_output_may_have() -> None:
    run = simulate(machine({"Long": {"Type": "Pass", "Result": "x" * 1_000, "End": True}}), list(range(270)))
    assert (run.error, run.status) == ("States.DataLimitExceeded", "FAILED")


def test_the_pairs_of_an_object() -> None:
    run = simulate(machine(PASS), {"a": 1, "b": [2]})
    assert run.output == [{"Key": "a", "Value": 1}, {"Key": "b", "Value": [2]}]
    selector = {"k.$": "$$.Map.Item.Key", "v.$": "$$.Map.Item.Value", "s.$": "$$.Map.Item.Source"}
    run = simulate(machine(PASS, ItemSelector=selector), {"a": 1})
    assert run.output == [{"k": "a", "v": 1, "s": "STATE_DATA"}]


def test_a_child_does_not_see_the_parents_variables() -> None:
    inner = {"Say": {"Type": "Pass", "Parameters": {"day.$": "$day"}, "End": True}}
    definition = machine(inner)
    definition["StartAt"] = "Set"
    definition["States"]["Set"] = {"Type": "Pass", "Assign": {"day": 7}, "Next": "Each"}
    assert simulate(definition, [1]).error == "States.ExceedToleratedFailureThreshold"
