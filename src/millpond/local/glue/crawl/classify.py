"""What one object holds: format, compression, columns and counts, from its first bytes or its footer.

The order is Glue's: custom classifiers first, in the crawler's order, then Avro, ORC, Parquet, JSON, BSON, XML, the
formats of logs and CSV (AWS docs, "Adding classifiers to a crawler"). The first that is certain decides; else the
most certain. Nothing recognised is `UNKNOWN`. An object that says it is Parquet, ORC or Avro but cannot be read, a
broken archive or text that is not UTF-8 is `Unreadable`: it is left out of the tables and named in the log.

Limits: Amazon Ion is UNKNOWN here, and the log says so. Files that say what they are by their first bytes (Avro, ORC,
Parquet) are not shown to custom classifiers. Counts of text are exact when the sample is the whole object, else
estimates from the sample (as AWS's are).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millpond.local.glue.crawl import bson, csv_text, grok, json_text, xml_text
from millpond.local.glue.crawl.hive import Column, Columns, Struct, of_arrow, of_avro, unique
from millpond.local.glue.crawl.samples import HEAD, MEGABYTE, Sample, Unreadable, compression_of, read

if TYPE_CHECKING:
    import pyarrow as pa

JSON_LIMIT = 10 * MEGABYTE


@dataclass(frozen=True, slots=True)
class Layout:
    """What files of one table have in common beside columns: "compatible" schemas.

    Files with and without quoted cells are compatible: the table's SerDe is then the one that reads quotes.
    """

    classification: str
    compression: str = "none"
    delimiter: str = ""
    header: bool = False
    quote: str = field(default="", compare=False)
    serde: str = field(default="", compare=False)
    json_path: str = ""
    row_tag: str = ""
    grok: str = ""
    grok_custom: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What an object holds. `average`: bytes a record, decompressed; `literal`: an Avro schema; `notes` are logged.

    `certainty` is the classifier's, from 0 to 1; `by` names a custom one.
    """

    layout: Layout
    columns: Columns = ()
    records: int = 0
    average: int = 0
    literal: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)
    certainty: float = field(default=1.0, compare=False)
    by: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom classifier: CSV rules, a JSON path, an XML row tag or a grok pattern with custom patterns."""

    name: str
    csv: csv_text.Rules | None = None
    json_path: str = ""
    xml: bool = False
    row_tag: str = ""
    grok: str = ""
    grok_custom: str = ""
    classification: str = ""  # of XML and grok classifiers: what the table is called


UNKNOWN_LAYOUT = Layout("UNKNOWN")


def classify(path: Path, size: int, custom: Sequence[Custom] = ()) -> Contents:
    """What the file of an object holds. Raises Unreadable."""
    with _opened(path) as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return _parquet(path, size)
    if head.startswith(b"ORC"):
        return _orc(path, size)
    if head.startswith(b"Obj\x01"):
        return _avro(path, size)
    compression = compression_of(head, path.name)
    if compression == "none" and b"\0" in head:
        return _binary(path, size, head)
    sample = read(path, size)
    try:
        found = _text(path, sample, custom)
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    if sample.broken and found.layout.classification == "UNKNOWN":
        raise Unreadable(f"broken {sample.compression}: {sample.broken}")
    if sample.broken:
        found = replace(found, notes=(*found.notes, f"broken {sample.compression}: {sample.broken}"))
    return found


# First bytes of what is named in the log although it is not read.
KNOWN_BINARY = (
    (b"\xe0\x01\x00\xea", "Amazon Ion (binary), which is not read here"),
    (b"\xff\xfe", "UTF-16 text: Glue reads UTF-8"),
    (b"\xfe\xff", "UTF-16 text: Glue reads UTF-8"),
    (b"\x28\xb5\x2f\xfd", "Zstandard, which Glue's classifiers do not read"),
    (b"SQLite format 3", "an SQLite database"),
)


def _binary(path: Path, size: int, head: bytes) -> Contents:
    """BSON, or what the first bytes tell about a format that is not read."""
    sample = read(path, size)
    if found := bson.read(sample.data, complete=sample.complete):
        records, average = _counts(sample, found.records, len(sample.data))
        return Contents(Layout("bson", sample.compression), found.columns, records, average)
    what = next((name for magic, name in KNOWN_BINARY if head.startswith(magic)), "binary data of an unknown format")
    return Contents(UNKNOWN_LAYOUT, notes=(what,))


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None


# -- text ------------------------------------------------------------------------------------------------------------


def _text(path: Path, sample: Sample, custom: Sequence[Custom]) -> Contents:
    if b"\0" in sample.data[:HEAD]:
        if found := bson.read(sample.data, complete=sample.complete):
            records, average = _counts(sample, found.records, len(sample.data))
            return Contents(Layout("bson", sample.compression), found.columns, records, average)
        why = "binary data of an unknown format in an archive"
        return Contents(replace(UNKNOWN_LAYOUT, compression=sample.compression), notes=(why,))
    text = _decoded(sample)
    best: Contents | None = None
    for classifier in custom:
        contents = _by_custom(classifier, path, sample, text)
        if contents is None:
            continue
        contents = replace(contents, by=classifier.name)
        if contents.certainty >= 1.0:
            return contents
        best = contents if best is None or contents.certainty > best.certainty else best
    return _by_built_in(path, sample, text, best)


def _by_custom(classifier: Custom, path: Path, sample: Sample, text: str) -> Contents | None:
    if classifier.csv:
        found = csv_text.read(text, complete=sample.complete, rules=classifier.csv)
        return _csv(found, sample, text, classifier.csv) if found else None
    if classifier.json_path:
        return _json(path, sample, text, classifier.json_path)
    if classifier.xml:
        return _xml(sample, text, classifier)
    return _grok(sample, text, classifier)


def _by_built_in(path: Path, sample: Sample, text: str, best: Contents | None) -> Contents:
    """What the built-in classifiers say, which are certain or silent; then `best` of the custom ones; then UNKNOWN."""
    if contents := _json(path, sample, text, "") or _xml(sample, text, None):
        return contents
    first = text.lstrip("\ufeff \t\r\n")[:9]
    cut_json = not sample.complete and first[:1] in ("{", "[")
    if not cut_json and not first.startswith("$ion"):
        if contents := _log(sample, text):
            return contents
        if table := csv_text.read(text, complete=sample.complete):
            return _csv(table, sample, text, None)
    if best is not None:
        return replace(best, notes=(*best.notes, f"the classifier {best.by} fits {best.certainty:.0%} of the lines"))
    why = "no classifier recognises it (a CSV file needs two columns and two data rows)"
    if first.startswith("$ion"):
        why = "Amazon Ion (text), which is not read here"
    if cut_json:
        why = "no complete JSON record in the first 10 MB"
    return Contents(replace(UNKNOWN_LAYOUT, compression=sample.compression), notes=(why,))


def _log(sample: Sample, text: str) -> Contents | None:
    """One of the built-in formats of logs."""
    if log := grok.known_log(grok.lines_of(text, complete=sample.complete)):
        classification, pattern = log
        if contents := _grok(sample, text, Custom("", grok=pattern, classification=classification)):
            return replace(contents, certainty=1.0)
    return None


def _xml(sample: Sample, text: str, rules: Custom | None) -> Contents | None:
    found = xml_text.read(text, complete=sample.complete, row_tag=rules.row_tag if rules else "")
    if found is None:
        return None
    records, average = _counts(sample, found.records, len(sample.data))
    classification = (rules.classification if rules else "") or "xml"
    return Contents(Layout(classification, sample.compression, row_tag=found.row_tag), found.columns, records, average)


def _grok(sample: Sample, text: str, rules: Custom) -> Contents | None:
    lines = grok.lines_of(text, complete=sample.complete)
    found = grok.compiled(rules.grok, rules.grok_custom)
    certainty = found.certainty(lines)
    if not certainty:
        return None
    layout = Layout(rules.classification, sample.compression, grok=rules.grok, grok_custom=rules.grok_custom)
    records, average = _counts(sample, max(1, len(text.splitlines())), len(sample.data))
    return Contents(layout, found.columns, records, average, certainty=certainty)


def _decoded(sample: Sample) -> str:
    data = sample.data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if not sample.complete and error.start >= len(data) - 4:  # a character cut by the end of the sample
            return data[: error.start].decode("utf-8")
        raise Unreadable(f"neither a known binary format nor UTF-8 text (byte {error.start})") from None


def _json(path: Path, sample: Sample, text: str, json_path: str) -> Contents | None:
    """JSON of a sample, which grows by a megabyte up to ten until it holds a whole record (AWS docs)."""
    steps = json_text.parse_path(json_path) if json_path else None
    found = json_text.read(text, complete=sample.complete, path=steps)
    limit = MEGABYTE
    while (
        found is None and not sample.complete and text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") and limit < JSON_LIMIT
    ):
        limit += MEGABYTE
        sample = read(path, sample.size, limit)
        text = _decoded(sample)
        found = json_text.read(text, complete=sample.complete, path=steps)
    if found is None:
        return None
    records, average = _counts(sample, found.records, len(sample.data))
    notes = (f"{found.bad} unreadable JSON records",) if found.bad else ()
    layout = Layout("json", sample.compression, json_path=json_path)
    return Contents(layout, found.columns, records, average, notes=notes)


def _csv(found: csv_text.Csv, sample: Sample, text: str, rules: csv_text.Rules | None) -> Contents:
    first = len(text.splitlines(keepends=True)[0].encode()) if found.header else 0
    records, average = _counts(sample, found.records, len(sample.data) - first)
    notes = [f"{found.ragged} rows with another number of cells"] if found.ragged else []
    serde = rules.serde if rules else "LazySimpleSerDe"
    if serde == "None":  # "when you want the crawler to do the detection" (AWS docs)
        serde = "OpenCSVSerDe" if found.quoted else "LazySimpleSerDe"
    if found.quoted and serde == "LazySimpleSerDe":
        notes.append(
            "quoted cells: LazySimpleSerDe does not remove the quotes; a CSV classifier with OpenCSVSerDe does"
        )
    quote = rules.quote if rules and found.quoted else ""
    layout = Layout("csv", sample.compression, found.delimiter, found.header, quote, serde)
    return Contents(layout, found.columns, records, average, notes=tuple(notes))


def _counts(sample: Sample, records: int, read_bytes: int) -> tuple[int, int]:
    """Records of the object, and bytes a record: counted, or estimated from the sample."""
    if not records:
        return 0, 0
    if not sample.complete:
        records = max(records, sample.whole // max(1, read_bytes // records))
    return records, sample.whole // records


# -- binary formats --------------------------------------------------------------------------------------------------


def _of_schema(schema: pa.Schema) -> Columns:
    return unique(Column(name.lower(), of_arrow(schema.field(n).type), name) for n, name in enumerate(schema.names))


def _parquet(path: Path, size: int) -> Contents:
    import pyarrow as pa  # here and below: it takes long, and the endpoint starts without it
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        columns = _of_schema(metadata.schema.to_arrow_schema())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"broken Parquet: {_short(error)}") from None
    return Contents(Layout("parquet"), columns, metadata.num_rows, _average(size, metadata.num_rows))


def _orc(path: Path, size: int) -> Contents:
    import pyarrow as pa
    import pyarrow.orc

    try:
        file = pa.orc.ORCFile(path)
        return Contents(Layout("orc"), _of_schema(file.schema), file.nrows, _average(size, file.nrows))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(f"broken ORC: {_short(error)}") from None


def _average(size: int, records: int) -> int:
    return size // records if records else 0


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200]


def _avro(path: Path, size: int) -> Contents:
    """Columns from the header; records by adding the counts of the blocks, which are skipped unread."""
    try:
        with path.open("rb") as file:
            file.seek(4)
            metadata = dict(_avro_map(file))
            literal = metadata["avro.schema"].decode()
            schema = of_avro(json.loads(literal))
            if not isinstance(schema, Struct):
                raise ValueError("the schema is not a record")
            file.seek(16, 1)
            records = _avro_records(file, size)
    except (ValueError, KeyError, OSError, RecursionError) as error:
        raise Unreadable(f"broken Avro: {_short(error)}") from None
    columns = unique(Column(name.lower(), kind, name) for name, kind in schema.fields)
    return Contents(Layout("avro"), columns, records, _average(size, records), literal)


def _avro_records(file: Any, size: int) -> int:
    records = 0
    while file.tell() < size:
        count, length = _avro_long(file), _avro_long(file)
        if count < 0 or length < 0:
            raise ValueError("a block has a negative size")
        records += count
        file.seek(length + 16, 1)
    return records


def _avro_map(file: Any) -> Any:
    while count := _avro_long(file):
        if count < 0:
            _avro_long(file)
        for _ in range(abs(count)):
            name = _avro_bytes(file).decode()
            yield name, _avro_bytes(file)


def _avro_bytes(file: Any) -> bytes:
    length = _avro_long(file)
    if not 0 <= length <= MEGABYTE * 16:
        raise ValueError("a header member has no possible length")
    return bytes(file.read(length))


def _avro_long(file: Any) -> int:
    """A zig-zag varint (Avro specification, binary encoding)."""
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("the file ends inside a number")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return int((value >> 1) ^ -(value & 1))
        shift += 7


def merged(one: Columns, other: Columns) -> Columns:
    """The union of two schemas: columns keep the place of their first appearance, types widen."""
    if one == other:
        return one
    return unique((*one, *other))
