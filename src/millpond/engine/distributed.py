"""A distributed Map, compiled: where its items come from, what each child gets, where the results go.

`plan` holds what is evaluated for every item (ItemSelector); all else is evaluated once, when the state begins, and
stands in the Map Run's snapshot from then on. Sources: AWS's "Using Map state in Distributed mode", "ItemReader (Map)",
"ItemBatcher (Map)", "ResultWriter (Map)".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from millpond.asl import jsonata, paths
from millpond.asl.model import Absent, ItemBatcher, ItemReader, Json, Map, ReaderConfig, ResultWriter
from millpond.asl.paths import Compiled
from millpond.engine import maps
from millpond.engine.failure import runtime
from millpond.engine.fields import effective, expression, input_path, template
from millpond.engine.node import Distribute

if TYPE_CHECKING:
    from millpond.engine.frame import Frame

AT_ONCE = 10_000
"""What a distributed Map runs at a time when it sets no lower limit (AWS's documentation)."""

MOST_BATCH_BYTES = 262_144

Fields = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Plan:
    """What never changes. `selector` makes a child's input of an item; `batched`: several items make one child's."""

    label: str | None
    express: bool
    selector: Compiled | None
    batched: bool


def plan(state: Map, is_jsonata: bool) -> Plan:
    """The compiled parts that are used for each item."""
    return Plan(
        state.label,
        state.execution_type == "EXPRESS",
        maps.item_selector(state, is_jsonata),
        state.item_batcher is not None,
    )


def distribute(state: Map, is_jsonata: bool) -> Callable[[Frame], Distribute]:
    """The work of a distributed Map."""
    read = None if is_jsonata else input_path(state.input_path)
    limit, tolerance = maps.concurrency(state), maps.tolerance(state)
    items = None if state.item_reader is not None else _items(state, is_jsonata)
    reader = None if state.item_reader is None else _reader(state.item_reader, is_jsonata)
    batcher = None if state.item_batcher is None else _batcher(state.item_batcher, is_jsonata)
    writer = None if state.result_writer is None else _writer(state.result_writer, is_jsonata)

    def work(frame: Frame) -> Distribute:
        effective(frame, read)
        return Distribute(
            given=None if items is None else items(frame),
            reader=None if reader is None else reader(frame),
            batch=None if batcher is None else batcher(frame),
            writer=None if writer is None else writer(frame),
            limit=limit(frame),
            tolerance=tolerance,
        )

    return work


def _items(state: Map, is_jsonata: bool) -> Callable[[Frame], Json]:
    """An array, or an object whose pairs are the items."""
    if not is_jsonata:
        path = state.items_path or "$"
        read = paths.path(path)

        def items(frame: Frame) -> Json:
            value = read(frame)
            if not isinstance(value, list | dict):
                raise runtime(f'Reference path "{path}" must point to array.')
            return value

        return items
    if isinstance(state.items, Absent):
        whole = maps.items_jsonata(state)
        return lambda frame: frame.raw if isinstance(frame.raw, dict) else cast("Json", whole(frame))
    pairs, array = jsonata.template(state.items, "Items"), jsonata.typed(state.items, "Items", "array")

    def computed(frame: Frame) -> Json:
        value = pairs(frame)
        return value if isinstance(value, dict) else array(frame)

    return computed


def _reader(reader: ItemReader, is_jsonata: bool) -> Callable[[Frame], Fields]:
    """The arguments of the reader's task: Resource, Parameters, ReaderConfig with what was given, numbers computed."""
    parameters = _parameters(reader, "ItemReader", is_jsonata)
    config = reader.config or ReaderConfig()
    given: Fields = {
        "InputType": config.input_type,
        "Transformation": config.transformation,
        "CSVHeaderLocation": config.csv_header_location,
        "CSVHeaders": None if config.csv_headers is None else list(config.csv_headers),
        "CSVDelimiter": config.csv_delimiter,
        "ItemsPointer": config.items_pointer,
        "ManifestType": config.manifest_type,
    }
    fixed: Fields = {name: value for name, value in given.items() if value is not None}
    most = maps.limit("MaxItems", config.max_items, config.max_items_path)

    def arguments(frame: Frame) -> Fields:
        how, number = dict(fixed), most(frame)
        if number:
            how["MaxItems"] = number
        return {"Resource": reader.resource, "Parameters": parameters(frame), "ReaderConfig": how}

    return arguments


def _parameters(part: ItemReader | ResultWriter, field: str, is_jsonata: bool) -> Callable[[Frame], Json]:
    made = expression(part.arguments, f"{field}/Arguments") if is_jsonata else template(part.parameters)
    return (lambda frame: {}) if made is None else (lambda frame: made(frame))


def _batcher(batcher: ItemBatcher, is_jsonata: bool) -> Callable[[Frame], Fields]:
    """MaxItems, MaxBytes (0: no such limit) and Input, where there is one."""
    count = maps.limit("MaxItemsPerBatch", batcher.max_items_per_batch, batcher.max_items_per_batch_path)
    size = maps.limit(
        "MaxInputBytesPerBatch",
        batcher.max_input_bytes_per_batch,
        batcher.max_input_bytes_per_batch_path,
    )
    given = expression(batcher.batch_input, "ItemBatcher/BatchInput") if is_jsonata else template(batcher.batch_input)

    def limits(frame: Frame) -> Fields:
        bytes_ = size(frame)
        if bytes_ > MOST_BATCH_BYTES:
            raise runtime(f"MaxInputBytesPerBatch must be less than or equal to {MOST_BATCH_BYTES}.")
        made: Fields = {"MaxItems": count(frame), "MaxBytes": bytes_}
        if given is not None:
            made["Input"] = given(frame)
        return made

    return limits


def _writer(writer: ResultWriter, is_jsonata: bool) -> Callable[[Frame], Fields]:
    """Transformation and OutputType as AWS defaults them; Resource and Parameters where results go to S3."""
    config, resource = writer.config, writer.resource
    transformation = config.transformation if config is not None else None
    fixed: Fields = {
        "Transformation": transformation or ("NONE" if config is None or resource is not None else "COMPACT"),
        "OutputType": (config.output_type if config is not None else None) or "JSON",
    }
    if resource is None:
        return lambda frame: fixed
    parameters = _parameters(writer, "ResultWriter", is_jsonata)
    return lambda frame: {**fixed, "Resource": resource, "Parameters": parameters(frame)}
