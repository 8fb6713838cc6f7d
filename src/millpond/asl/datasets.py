"""What is wrong with the dataset parts of a distributed Map: ItemReader, ItemBatcher, ResultWriter.

AWS's "ItemReader (Map)", "ItemBatcher (Map)", "ResultWriter (Map)" say what goes together; the words are ours. What
AWS may well ignore (a CSV field of a JSON reader) is not refused.
May import: millpond.errors, asl.
"""

from __future__ import annotations

from collections.abc import Iterator

from millpond.asl.graph import Place, Visit, walk
from millpond.asl.model import Absent, ItemReader, Json, Map, ReaderConfig, ResultWriter
from millpond.errors import Diagnostic

SCHEMA = "SCHEMA_VALIDATION_FAILED"
READS = ("arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2")
WRITES = ("arn:aws:states:::s3:putObject",)
LISTS = READS[1]
INPUT_TYPES = ("CSV", "JSON", "JSONL", "PARQUET", "MANIFEST")
LOADED = ("CSV", "JSON", "JSONL", "PARQUET")
CHOICES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("InputType", "input_type", INPUT_TYPES),
    ("Transformation", "transformation", ("NONE", "LOAD_AND_FLATTEN")),
    ("CSVHeaderLocation", "csv_header_location", ("FIRST_ROW", "GIVEN")),
    ("CSVDelimiter", "csv_delimiter", ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")),
    ("ManifestType", "manifest_type", ("ATHENA_DATA", "S3_INVENTORY")),
)


def check(visit: Visit) -> Iterator[Diagnostic]:
    """All that can be seen before it runs."""
    state = visit.state
    if not isinstance(state, Map) or state.mode != "DISTRIBUTED":
        return
    if state.item_reader is not None:
        yield from _reader(state.item_reader, (*visit.place, "ItemReader"))
    if state.result_writer is not None:
        yield from _writer(state.result_writer, (*visit.place, "ResultWriter"))
    batcher = state.item_batcher
    if batcher is not None:
        limits = (
            *(batcher.max_items_per_batch, batcher.max_items_per_batch_path),
            *(batcher.max_input_bytes_per_batch, batcher.max_input_bytes_per_batch_path),
        )
        if all(limit is None for limit in limits):
            place = (*visit.place, "ItemBatcher")
            yield _wrong("At least one of 'MaxItemsPerBatch' and 'MaxInputBytesPerBatch' is required", place)
    if state.execution_type == "EXPRESS":
        for below in walk(state.processor, (*visit.place, "ItemProcessor")):
            if isinstance(below.state, Map) and below.state.mode == "DISTRIBUTED":
                yield _wrong("Express state machine does not support DISTRIBUTED mode", below.place)


def _wrong(message: str, at: Place) -> Diagnostic:
    return Diagnostic(SCHEMA, message, at=at)


def _one_of(value: str | None, key: str, values: tuple[str, ...], at: Place) -> Iterator[Diagnostic]:
    if value is not None and value not in values:
        yield _wrong(f"The field '{key}' should have one of these values: [{', '.join(values)}]", (*at, key))


def _reader(reader: ItemReader, at: Place) -> Iterator[Diagnostic]:
    yield from _one_of(reader.resource, "Resource", READS, at)
    yield from _needs((reader.parameters, reader.arguments), reader.resource == LISTS, at)
    config, place = reader.config or ReaderConfig(), (*at, "ReaderConfig")
    for key, name, values in CHOICES:
        yield from _one_of(getattr(config, name), key, values, place)
    if reader.resource == LISTS:
        yield from _listing(config, place)
        return
    if config.transformation == "LOAD_AND_FLATTEN":
        yield _wrong(f"'LOAD_AND_FLATTEN' is only supported for {LISTS}", place)
    if config.manifest_type == "ATHENA_DATA" and config.input_type not in (None, "CSV", "JSONL", "PARQUET"):
        yield _wrong("The 'InputType' of an Athena manifest should be CSV, JSONL or PARQUET", place)
    if config.input_type is None and config.manifest_type != "S3_INVENTORY":
        yield _wrong("The field 'InputType' is required but was missing", place)
    yield from _format(config, place)


def _listing(config: ReaderConfig, place: Place) -> Iterator[Diagnostic]:
    if config.transformation == "LOAD_AND_FLATTEN":
        if config.input_type not in LOADED:
            yield _wrong(f"'LOAD_AND_FLATTEN' needs an 'InputType' of [{', '.join(LOADED)}]", place)
        yield from _format(config, place)


def _format(config: ReaderConfig, place: Place) -> Iterator[Diagnostic]:
    if config.csv_header_location == "GIVEN" and not config.csv_headers:
        yield _wrong("The field 'CSVHeaders' is required for a 'CSVHeaderLocation' of GIVEN", place)


def _needs(given: tuple[Json | Absent, ...], lists: bool, at: Place) -> Iterator[Diagnostic]:
    """Bucket and Key, where the arguments are written out."""
    value = next((each for each in given if not isinstance(each, Absent)), None)
    if value is None:
        yield _wrong("The parameters of the resource are required but were missing", at)
    elif isinstance(value, dict):
        for key in ("Bucket",) if lists else ("Bucket", "Key"):
            if key not in value and f"{key}.$" not in value:
                yield _wrong(f"The field '{key}' is required but was missing", (*at,))


def _writer(writer: ResultWriter, at: Place) -> Iterator[Diagnostic]:
    if writer.resource is None and writer.config is None:
        yield _wrong("At least one of 'Resource' and 'WriterConfig' is required", at)
    yield from _one_of(writer.resource, "Resource", WRITES, at)
    if writer.resource is not None:
        yield from _needs((writer.parameters, writer.arguments), True, at)
    if writer.config is not None:
        place = (*at, "WriterConfig")
        yield from _one_of(writer.config.transformation, "Transformation", ("NONE", "COMPACT", "FLATTEN"), place)
        yield from _one_of(writer.config.output_type, "OutputType", ("JSON", "JSONL"), place)
