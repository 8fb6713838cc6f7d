"""What is refused of a distributed Map's ItemReader, ItemBatcher and ResultWriter before it runs."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.asl.check import check

GET, LIST, PUT = (f"arn:aws:states:::s3:{name}" for name in ("getObject", "listObjectsV2", "putObject"))
PLACE = {"Bucket": "b", "Key.$": "$.key"}


def found(kind: str = "STANDARD", **fields: Any) -> list[tuple[str, str]]:
    """Places below the Map, and messages."""
    config = {"Mode": "DISTRIBUTED", "ExecutionType": kind}
    processor = {"ProcessorConfig": config, "StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    each = {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}
    diagnostics = check({"StartAt": "Each", "States": {"Each": each}})
    return [("/".join(map(str, each.at[2:])), each.message) for each in diagnostics if each.code.startswith("SCHEMA")]


def reader(resource: str = GET, parameters: Any = PLACE, **config: Any) -> dict[str, Any]:
    return {"ItemReader": {"Resource": resource, "Parameters": parameters, "ReaderConfig": config}}


def test_what_is_right() -> None:
    assert found(**reader(InputType="CSV", CSVHeaderLocation="FIRST_ROW", CSVDelimiter="TAB", MaxItems=5)) == []
    assert found(**reader(InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["a"])) == []
    assert found(**reader(InputType="JSON", ItemsPointer="/a")) == []
    assert found(**reader(ManifestType="S3_INVENTORY")) == []
    assert found(**reader(InputType="PARQUET", ManifestType="ATHENA_DATA")) == []
    assert found(ItemReader={"Resource": LIST, "Parameters": {"Bucket.$": "$.b"}}) == []
    assert found(**reader(LIST, {"Bucket": "b"}, InputType="JSONL", Transformation="LOAD_AND_FLATTEN")) == []
    assert found(ResultWriter={"Resource": PUT, "Parameters": {"Bucket": "b"}}) == []
    assert found(ResultWriter={"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSONL"}}) == []
    assert found(ItemBatcher={"MaxItemsPerBatchPath": "$.n"}) == []


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        (reader("arn:aws:states:::s3:headObject", InputType="CSV"), "ItemReader/Resource", "should have one of"),
        (reader(), "ItemReader/ReaderConfig", "'InputType' is required"),
        (reader(InputType="XML"), "ItemReader/ReaderConfig/InputType", "[CSV, JSON, JSONL, PARQUET, MANIFEST]"),
        (
            reader(InputType="CSV", CSVHeaderLocation="GIVEN"),
            "ItemReader/ReaderConfig",
            "'CSVHeaders' is required",
        ),
        (reader(InputType="CSV", CSVDelimiter="DOT"), "ItemReader/ReaderConfig/CSVDelimiter", "SEMICOLON"),
        (reader(InputType="CSV", Transformation="LOAD_AND_FLATTEN"), "ItemReader/ReaderConfig", "only supported"),
        (reader(InputType="JSON", ManifestType="ATHENA_DATA"), "ItemReader/ReaderConfig", "Athena manifest"),
        (reader(LIST, Transformation="LOAD_AND_FLATTEN"), "ItemReader/ReaderConfig", "needs an 'InputType'"),
        (reader(GET, {"Bucket": "b"}, InputType="CSV"), "ItemReader", "'Key' is required"),
        ({"ResultWriter": {}}, "ResultWriter", "At least one of"),
        ({"ResultWriter": {"Resource": PUT, "Parameters": {}}}, "ResultWriter", "'Bucket' is required"),
        (
            {"ResultWriter": {"WriterConfig": {"Transformation": "ZIP"}}},
            "ResultWriter/WriterConfig/Transformation",
            "FLATTEN",
        ),
        ({"ItemBatcher": {"BatchInput": 1}}, "ItemBatcher", "At least one of"),
    ],
)
def test_what_is_wrong(fields: dict[str, Any], place: str, words: str) -> None:
    ((at, message),) = found(**fields)
    assert at == place and words in message


def test_templates_are_read() -> None:
    wrong = "must be a valid JSONPath or a valid intrinsic function call"
    reading = reader(GET, {"Bucket.$": "nope", "Key": "k"}, InputType="JSONL")
    batching = {"ItemBatcher": {"MaxItemsPerBatch": 1, "BatchInput": {"a": {"b.$": "nope"}}}}
    writing = {"ResultWriter": {"Resource": PUT, "Parameters": {"Bucket.$": "nope"}}}
    for fields, place in (
        (reading, "ItemReader/Parameters"),
        (batching, "ItemBatcher/BatchInput/a"),
        (writing, "ResultWriter/Parameters"),
    ):
        ((at, message),) = found(**fields)
        assert at == place and wrong in message


def test_a_distributed_map_says_what_its_children_are() -> None:
    """ "Using Map state in Distributed mode": ExecutionType must be given with DISTRIBUTED."""
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, "StartAt": "P", "States": {"P": {"Type": "Succeed"}}}
    (only,) = check({"StartAt": "A", "States": {"A": {"Type": "Map", "ItemProcessor": processor, "End": True}}})
    assert only.message == "These fields are required: [ExecutionType]"
    assert only.at == ("States", "A", "ItemProcessor", "ProcessorConfig")


def test_an_express_child_has_no_distributed_map() -> None:
    inner: dict[str, Any] = {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}}
    inner["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    outer = {"StartAt": "In", "States": {"In": {"Type": "Map", "ItemProcessor": inner, "End": True}}}
    outer["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
    ((at, message),) = found(ItemProcessor=outer)
    assert (at, message) == ("ItemProcessor/States/In", "Express state machine does not support DISTRIBUTED mode")
