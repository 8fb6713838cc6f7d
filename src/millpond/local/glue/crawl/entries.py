"""The catalog entry that AWS's crawler writes for a table or partition.

`Table.Parameters` and `StorageDescriptor.Parameters` carry the same pairs. Counts that AWS computes by formulas it
does not publish (averageRecordSize of Parquet) are plain quotients here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millpond.local.glue.crawl.classify import Layout
from millpond.local.glue.crawl.grouping import Leaf, Part, Table
from millpond.local.glue.crawl.hive import UNKNOWN, Columns, spell, written
from millpond.local.glue.crawl.names import table_name
from millpond.local.glue.jdbc import Relation

TEXT_IN = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
QL = "org.apache.hadoop.hive.ql.io"


@dataclass(frozen=True, slots=True)
class Format:
    """What the crawler writes of a file format."""

    reads: str
    writes: str
    serde: str


FORMATS = {
    "csv": Format(TEXT_IN, TEXT_OUT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
    "json": Format(TEXT_IN, TEXT_OUT, "org.openx.data.jsonserde.JsonSerDe"),
    "parquet": Format(
        f"{QL}.parquet.MapredParquetInputFormat",
        f"{QL}.parquet.MapredParquetOutputFormat",
        f"{QL}.parquet.serde.ParquetHiveSerDe",
    ),
    "avro": Format(
        f"{QL}.avro.AvroContainerInputFormat",
        f"{QL}.avro.AvroContainerOutputFormat",
        "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
    ),
    "orc": Format(f"{QL}.orc.OrcInputFormat", f"{QL}.orc.OrcOutputFormat", f"{QL}.orc.OrcSerde"),
}
GROK = Format(TEXT_IN, TEXT_OUT, "com.amazonaws.glue.serde.GrokSerDe")
OPEN_CSV = "org.apache.hadoop.hive.serde2.OpenCSVSerde"


@dataclass(frozen=True, slots=True)
class Crawl:
    """Who writes: goes into every entry."""

    crawler: str
    run: str
    prefix: str = ""
    exclusions: tuple[str, ...] = ()

    @property
    def marks(self) -> dict[str, str]:
        return {
            "CrawlerSchemaSerializerVersion": "1.0",
            "CrawlerSchemaDeserializerVersion": "1.0",
            "UPDATED_BY_CRAWLER": self.crawler,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """A TableInput with its PartitionInputs, where it came from and what is odd about it.

    `why` says of a column, and `keys_why` of the partition keys, where they come from. `database` is set where it is
    not the crawler's; `writes` are objects (bucket, key, content) that belong to the table.
    """

    table: dict[str, Any]
    partitions: tuple[dict[str, Any], ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)
    keys_why: str = ""
    database: str = ""
    writes: tuple[tuple[str, str, bytes], ...] = ()

    @property
    def location(self) -> str:
        return str(self.table["StorageDescriptor"]["Location"])

    @property
    def name(self) -> str:
        return str(self.table["Name"])


def s3_entry(table: Table, bucket: str, crawl: Crawl) -> Entry:
    """The entry of a table found in a bucket."""
    columns, keys, warnings = _apart(table)
    facts = _facts(table.leaf)
    parameters = crawl.marks | {"CRAWL_RUN_ID": crawl.run} | facts
    if table.parts:
        parameters["partition_filtering.enabled"] = "true"
    if crawl.exclusions:
        parameters["exclusions"] = json.dumps(crawl.exclusions, separators=(",", ":"))
    given = {
        "Name": table_name(crawl.prefix, table.folder_name or bucket),
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in keys],
        "StorageDescriptor": _storage(table.leaf, columns, f"s3://{bucket}/{table.root}", parameters),
        "Parameters": parameters,
    }
    gone = {c.name for c in table.leaf.columns} - {c.name for c in columns}
    partitions = tuple(_partition(part, bucket, gone) for part in table.parts)
    return Entry(
        given,
        partitions,
        table.reason,
        (*table.warnings, *warnings, *_misplaced(table.leaf)),
        why={column.name: column_reason(column.name, spell(column.type), table.leaf) for column in columns},
        keys_why=_keys_reason(table, keys),
    )


def column_reason(name: str, kind: str, leaf: Leaf) -> str:
    """Where the type of a column comes from: which types its files have, by the first of each."""
    found: dict[str, tuple[int, str]] = {}
    total = 0
    for shape in leaf.shapes:
        total += shape.files
        for column in shape.columns:
            if column.name == name:
                said = "no value" if column.type == UNKNOWN else spell(column.type)
                count, first = found.get(said, (0, shape.first))
                found[said] = count + shape.files, first
    seen = sum(count for count, _ in found.values())
    if len(found) == 1:
        (said,) = found
        many = f"{seen} file{'' if seen == 1 else 's'}" if seen == total else f"{seen} of {total} files"
        return f"{said} in {many}"
    parts = [
        f"{said} in {count} ({first})" for said, (count, first) in sorted(found.items(), key=lambda one: -one[1][0])
    ]
    return f"{'; '.join(parts)}: {kind} holds all" + ("" if seen == total else f"; absent in {total - seen}")


def _keys_reason(table: Table, keys: Sequence[str]) -> str:
    if not keys:
        return ""
    example = table.parts[0].leaf.folder[len(table.root) :]
    named = "the names of k=v folders" if "=" in example else "folders that have no names k=v: partition_0, partition_1"
    return f"{', '.join(keys)} from {named} ({example})"


def _apart(table: Table) -> tuple[Columns, tuple[str, ...], tuple[str, ...]]:
    """Columns and keys without common names: a query over both would be ambiguous.

    Formats with named columns lose the column (the folder says the same); in CSV columns count by place, so the key
    gets another name.
    """
    names = {column.name for column in table.leaf.columns}
    both = sorted(names & set(table.keys))
    if not both:
        return table.leaf.columns, table.keys, ()
    listed = ", ".join(both)
    if table.leaf.layout.classification == "csv":
        keys = tuple(f"partition_{n}" if key in names else key for n, key in enumerate(table.keys))
        return table.leaf.columns, keys, (f"columns and folders share names ({listed}): keys renamed",)
    columns = tuple(column for column in table.leaf.columns if column.name not in both)
    return columns, table.keys, (f"columns and folders share names ({listed}): the partition key is kept",)


def _misplaced(leaf: Leaf) -> tuple[str, ...]:
    """A warning where CSV files have the same columns at other places: their names do not count when they are read."""
    if leaf.layout.classification != "csv":
        return ()
    names = [column.name for column in leaf.columns]
    odd = [
        shape.first for shape in leaf.shapes if [column.name for column in shape.columns] != names[: len(shape.columns)]
    ]
    return (f"CSV is read by place, and {odd[0]} has its columns at other places than the table",) if odd else ()


def _partition(part: Part, bucket: str, gone: set[str]) -> dict[str, Any]:
    leaf = part.leaf
    columns = tuple(column for column in leaf.columns if column.name not in gone)
    facts = _facts(leaf)
    counts = {name: facts[name] for name in PARTITION_FACTS if name in facts}
    return {
        "Values": list(part.values),
        "StorageDescriptor": _storage(leaf, columns, f"s3://{bucket}/{leaf.folder}", facts),
        "Parameters": counts,
    }


PARTITION_FACTS = (
    *("classification", "compressionType", "objectCount", "recordCount"),
    *("sizeKey", "averageRecordSize", "typeOfData"),
)


def _facts(leaf: Leaf) -> dict[str, str]:
    layout = leaf.layout
    facts = {
        "classification": layout.classification,
        "compressionType": layout.compression,
        "objectCount": str(leaf.objects),
        "recordCount": str(leaf.records),
        "sizeKey": str(leaf.size),
        "averageRecordSize": str(leaf.average),
        "typeOfData": "file",
    }
    if layout.classification == "csv":
        facts |= {
            "columnsOrdered": "true",
            "areColumnsQuoted": "true" if layout.quote else "false",
            "delimiter": layout.delimiter,
        }
        if layout.header:
            facts["skip.header.line.count"] = "1"
    kept = {
        "jsonPath": layout.json_path,
        "rowTag": layout.row_tag,
        "grokPattern": layout.grok,
        "grokCustomPatterns": layout.grok_custom,
    }
    facts |= {name: value for name, value in kept.items() if value}
    if leaf.literal:
        facts["avro.schema.literal"] = leaf.literal
    return facts


def _storage(leaf: Leaf, columns: Columns, location: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    known = _format(leaf.layout)
    formats = {"InputFormat": known.reads, "OutputFormat": known.writes} if known else {}
    return {
        "Columns": described(columns),
        "Location": location,
        **formats,
        "Compressed": leaf.layout.compression != "none",
        "NumberOfBuckets": -1,
        "SerdeInfo": _serde(leaf, known, columns),
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": dict(parameters),
        "StoredAsSubDirectories": False,
    }


def described(columns: Columns) -> list[dict[str, Any]]:
    """Columns as the catalog writes them."""
    return [{"Name": column.name, "Type": spell(column.type)} for column in columns]


def _format(layout: Layout) -> Format | None:
    """Formats and SerDe; None for what Hive reads with neither (XML, BSON, unknown formats)."""
    if layout.grok:
        return GROK
    return None if layout.row_tag else FORMATS.get(layout.classification)


def _serde(leaf: Leaf, known: Format | None, columns: Columns) -> dict[str, Any]:
    layout: Layout = leaf.layout
    if known is None:
        return {"Parameters": {"rowTag": layout.row_tag} if layout.row_tag else {}}
    match layout.classification:
        case _ if layout.grok:
            given = {"input.format": layout.grok, "input.grokCustomPatterns": layout.grok_custom}
            parameters = {name: value for name, value in given.items() if value}
        case "csv" if layout.serde == "OpenCSVSerDe":
            quoting = {"quoteChar": layout.quote or '"', "separatorChar": layout.delimiter}  # as in real catalogs
            return {"SerializationLibrary": OPEN_CSV, "Parameters": quoting}
        case "csv":
            parameters = {"field.delim": layout.delimiter}
        case "json":
            parameters = {"paths": ",".join(sorted(column.source or column.name for column in columns))}
        case "avro":
            parameters = {"avro.schema.literal": leaf.literal, "serialization.format": "1"}
        case "parquet":
            parameters = {"serialization.format": "1"}
        case _:
            parameters = {}
    return {"SerializationLibrary": known.serde, "Parameters": parameters}


# -- relational ------------------------------------------------------------------------------------------------------


def jdbc_entry(
    relation: Relation, *, name: str, database: str, engine: str, connection: str, crawl: Crawl, extra: Sequence[str]
) -> Entry:
    """The entry of a table or view of a database. `extra`: EnableAdditionalMetadata, `COMMENTS` and `RAWTYPES`."""
    location = ".".join(part for part in (database, relation.schema, relation.name) if part)
    parameters = crawl.marks | {
        "classification": engine,
        "compressionType": "none",
        "connectionName": connection,
        "typeOfData": relation.kind,
    }
    columns: list[dict[str, Any]] = []
    for n, column in enumerate(relation.columns):
        low = written(column.name.lower())
        twice = any(before["Name"] == low for before in columns)  # "Id" and "id" are two columns in a database
        described: dict[str, Any] = {"Name": f"{low}_{n}" if twice else low, "Type": column.type}
        if column.comment and "COMMENTS" in extra:
            described["Comment"] = column.comment[:255]
        if "RAWTYPES" in extra:
            described["Parameters"] = {"rawType": column.raw}
        columns.append(described)
    table: dict[str, Any] = {
        "Name": name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": columns,
            "Location": location,
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {"Parameters": {}},
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": dict(parameters),
            "StoredAsSubDirectories": False,
        },
        "Parameters": parameters,
    }
    if relation.comment and "COMMENTS" in extra:
        table["Description"] = relation.comment[:2048]
    return Entry(table, reason=f"{relation.kind} {location}")
