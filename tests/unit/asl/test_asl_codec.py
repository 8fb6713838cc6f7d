"""The model and its wire form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond import asl
from millpond.errors import DefinitionError

CASES = Path(__file__).parents[3].parent / "shared" / "cases" / "asl"

EVERYTHING = {
    "Comment": "all fields",
    "QueryLanguage": "JSONPath",
    "TimeoutSeconds": 60,
    "StartAt": "Call",
    "States": {
        "Call": {
            "Type": "Task",
            "Comment": "pipeline.py:50",
            "InputPath": None,
            "Resource": "arn:aws:states:::glue:startJobRun.sync",
            "Parameters": {"JobName.$": "$.job"},
            "Credentials": {"RoleArn": "arn:aws:iam::000000000000:role/r"},
            "TimeoutSecondsPath": "$.t",
            "HeartbeatSeconds": 5,
            "ResultSelector": {"Id.$": "$.Id"},
            "ResultPath": None,
            "OutputPath": "$.a",
            "Retry": [
                {
                    "ErrorEquals": ["Glue.ConcurrentRunsExceededException"],
                    "IntervalSeconds": 2,
                    "MaxAttempts": 0,
                    "BackoffRate": 1.5,
                    "MaxDelaySeconds": 9,
                    "JitterStrategy": "FULL",
                }
            ],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "No"}],
            "Assign": {"x.$": "$.Id"},
            "Next": "Choose",
        },
        "Choose": {
            "Type": "Choice",
            "Choices": [
                {
                    "And": [{"Variable": "$.a", "IsPresent": True}, {"Not": {"Variable": "$.a", "NumericEquals": 1}}],
                    "Assign": {"y": 1},
                    "Next": "Each",
                },
                {"Or": [{"Variable": "$.b", "StringMatches": "x*"}], "Next": "No"},
            ],
            "Default": "Both",
        },
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "GIVEN", "CSVHeaders": ["a"], "MaxItems": 3},
                "Parameters": {"Bucket": "b", "Key": "k"},
            },
            "ItemSelector": {"v.$": "$$.Map.Item.Value"},
            "ItemBatcher": {"MaxItemsPerBatch": 10, "BatchInput": {"z": 1}},
            "MaxConcurrency": 4,
            "ToleratedFailurePercentage": 2.5,
            "Label": "each",
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "One",
                "States": {"One": {"Type": "Pass", "Result": None, "End": True}},
            },
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "WriterConfig": {"OutputType": "JSONL", "Transformation": "FLATTEN"},
                "Parameters": {"Bucket": "b"},
            },
            "End": True,
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "W", "States": {"W": {"Type": "Wait", "SecondsPath": "$.s", "End": True}}}],
            "Next": "Yes",
        },
        "Yes": {"Type": "Succeed"},
        "No": {"Type": "Fail", "ErrorPath": "$.error.Error", "Cause": "no"},
    },
}


def test_reads_and_writes_every_field() -> None:
    assert asl.to_json(asl.from_json(json.dumps(EVERYTHING))) == EVERYTHING


def test_key_order_is_the_readers() -> None:
    state = asl.to_json(asl.from_json(EVERYTHING))["States"]["Call"]  # type: ignore[index,call-overload]
    keys = list(state)  # type: ignore[arg-type]
    assert keys[0] == "Type" and keys[-1] == "Next" and keys.index("Resource") < keys.index("Retry")


def test_null_differs_from_absent() -> None:
    state = asl.from_json({"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": None, "End": True}}}).states["A"]
    assert isinstance(state, asl.Pass) and state.result is None and state.parameters is asl.ABSENT
    assert state.input_path == "$"


def test_retired_map_fields_are_read_as_the_new_ones() -> None:
    inner = {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}
    old = {"Type": "Map", "Iterator": inner, "Parameters": {"a": 1}, "End": True}
    state = asl.from_json({"StartAt": "M", "States": {"M": old}}).states["M"]
    assert isinstance(state, asl.Map) and state.item_selector == {"a": 1} and "I" in state.processor.states


def test_all_findings_at_once_with_their_places() -> None:
    document = {
        "StartAt": "A",
        "States": {"A": {"Type": "Task", "Retry": [{"MaxAttempts": "x"}], "End": True}, "B": {"Type": "Nope"}},
    }
    with pytest.raises(DefinitionError) as caught:
        asl.from_json(document)
    places = {finding.location for finding in caught.value.diagnostics}
    assert places == {"/States/A", "/States/A/Retry[0]", "/States/A/Retry[0]/MaxAttempts", "/States/B/Type"}


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "\x00", '{"a":' * 50_000, b"\xff\xfe"])
def test_what_is_no_definition_is_refused(text: str | bytes) -> None:
    with pytest.raises(DefinitionError):
        asl.from_json(text)


def test_written_by_hand() -> None:
    machine = asl.Machine(
        start_at="Hello",
        states={
            "Hello": asl.Pass(result={"to": "world"}, next="Wait"),
            "Wait": asl.Wait(seconds=1, next="Done"),
            "Done": asl.Succeed(),
        },
    )
    assert asl.to_json(machine) == {
        "StartAt": "Hello",
        "States": {
            "Hello": {"Type": "Pass", "Result": {"to": "world"}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Done"},
            "Done": {"Type": "Succeed"},
        },
    }


def test_recorded_definitions_survive_a_round_trip() -> None:
    if not CASES.is_dir():
        pytest.skip(f"{CASES} is absent: no recorded definition was read")
    for path in CASES.glob("*.json"):
        if path.stem in ("INDEX", "test_state", "validation_errors"):
            continue
        for case in json.loads(path.read_text()):
            machine = asl.from_json(case["definition"])
            assert asl.from_json(asl.to_json(machine)) == machine, case["name"]


def test_public_names() -> None:
    assert sorted(asl.__all__) == [
        *("ABSENT", "Absent", "And", "Catcher", "Choice", "Comparison", "Fail", "ItemBatcher", "ItemReader", "Json"),
        *("Machine", "Map", "Not", "Or", "Parallel", "Pass", "QueryLanguage", "ReaderConfig", "ResultWriter"),
        *("Retrier", "Rule", "State", "Succeed", "Task", "Test", "Wait", "WriterConfig"),
        *("from_json", "language", "parse", "state_to_json", "to_json"),
    ]
