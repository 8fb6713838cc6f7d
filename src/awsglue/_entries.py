"""Tables between Spark's catalog and the Data Catalog: what CREATE TABLE says, as Glue's TableInput.

A table of Spark's own kind (USING, saveAsTable) is stored as Spark stores it in a metastore: its schema as JSON in the
parameters `spark.sql.sources.*`, and, where Hive and Athena can read the format (Parquet, ORC), as columns, too. A
table of Hive's kind (STORED AS, ROW FORMAT) is columns and a SerDe. Sources: Spark SQL guide, "Hive Tables" and
"Specifying storage format for Hive tables".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import StructType

from awsglue._aws import folder
from awsglue._table import PROVIDER, SCHEMA, Partition

LONGEST_PROPERTY = 4000  # Spark cuts a longer schema into parts
ROOMY = ("Name", "Description", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters")

_TEXT_IN = "org.apache.hadoop.mapred.TextInputFormat"
_TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
_HIVE = "org.apache.hadoop.hive.ql.io"
# What STORED AS names: input format, output format, SerDe.
STORED_AS: Mapping[str, tuple[str, str, str]] = {
    "textfile": (_TEXT_IN, _TEXT_OUT, "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"),
    "parquet": (
        f"{_HIVE}.parquet.MapredParquetInputFormat",
        f"{_HIVE}.parquet.MapredParquetOutputFormat",
        f"{_HIVE}.parquet.serde.ParquetHiveSerDe",
    ),
    "orc": (f"{_HIVE}.orc.OrcInputFormat", f"{_HIVE}.orc.OrcOutputFormat", f"{_HIVE}.orc.OrcSerde"),
    "avro": (
        f"{_HIVE}.avro.AvroContainerInputFormat",
        f"{_HIVE}.avro.AvroContainerOutputFormat",
        "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
    ),
    "sequencefile": (
        "org.apache.hadoop.mapred.SequenceFileInputFormat",
        f"{_HIVE}.HiveSequenceFileOutputFormat",
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    ),
}


# ---- from Scala


def to_list(found: Any) -> list[Any]:
    """A Seq."""
    return [found.apply(i) for i in range(found.size())]


def to_dict(found: Any) -> dict[str, str]:
    """A Map of texts."""
    pairs = found.toSeq()
    return {str(pairs.apply(i)._1()): str(pairs.apply(i)._2()) for i in range(pairs.size())}


def to_text(found: Any) -> str:
    """An Option of something with a text; "" for None."""
    return str(found.get()) if found.isDefined() else ""


def document(schema: Any) -> dict[str, Any]:
    """A StructType of the JVM as JSON."""
    found: dict[str, Any] = json.loads(schema.json())
    return found


def partitions(found: Any, keys: list[str], base: str) -> Iterable[Partition]:
    """CatalogTablePartitions; one without a location is below the table's."""
    for one in to_list(found):
        values = to_dict(one.spec())
        place = to_text(one.storage().locationUri()) or folder(base) + "/".join(f"{k}={values[k]}" for k in keys)
        yield Partition(tuple(values[key] for key in keys), folder(place))


# ---- tables of Spark's kind


@dataclass(frozen=True, slots=True)
class Entry:
    """A CatalogTable of Spark, read."""

    name: str
    kind: str  # MANAGED or EXTERNAL
    schema: StructType
    keys: list[str]
    provider: str
    location: str
    properties: dict[str, str]
    options: dict[str, str]
    comment: str

    @classmethod
    def of(cls, table: Any) -> Entry:
        return cls(
            name=str(table.identifier().table()),
            kind=str(table.tableType().name()),
            schema=StructType.fromJson(document(table.schema())),
            keys=[str(key) for key in to_list(table.partitionColumnNames())],
            provider=to_text(table.provider()),
            location=to_text(table.storage().locationUri()),
            properties=to_dict(table.properties()),
            options=to_dict(table.storage().properties()),
            comment=to_text(table.comment()),
        )

    def columns(self) -> list[dict[str, str]]:
        return _columns(self.schema, lambda name: name not in self.keys)

    def table_input(self, version: str) -> dict[str, Any]:
        """As Spark's `version` stores a table of its own kind."""
        hive = STORED_AS.get(self.provider.lower())
        reads, writes, library = hive or (
            STORED_AS["sequencefile"][0],
            STORED_AS["sequencefile"][1],
            STORED_AS["textfile"][2],
        )
        options = {key: value for key, value in self.options.items() if key != "path"}
        parameters = {
            PROVIDER: self.provider,
            "spark.sql.create.version": version,
            **_in_parts(json.dumps(self.schema.jsonValue(), separators=(",", ":"))),
            **self.properties,
        }
        if self.keys:
            parameters |= {"spark.sql.partitionProvider": "catalog", f"{SCHEMA}.numPartCols": str(len(self.keys))}
            parameters |= {f"{SCHEMA}.partCol.{i}": key for i, key in enumerate(self.keys)}
        if self.kind == "EXTERNAL":
            parameters["EXTERNAL"] = "TRUE"
        made: dict[str, Any] = {
            "Name": self.name.lower(),
            "TableType": f"{self.kind}_TABLE",
            "PartitionKeys": _columns(self.schema, self.keys.__contains__),
            "Parameters": parameters,
            "StorageDescriptor": {
                "Columns": self.columns() if hive else [{"Name": "col", "Type": "array<string>"}],
                "Location": self.location,
                "InputFormat": reads,
                "OutputFormat": writes,
                "SerdeInfo": {
                    "SerializationLibrary": library,
                    "Parameters": {"serialization.format": "1", "path": self.location, **options},
                },
            },
        }
        return made | ({"Description": self.comment} if self.comment else {})


def _columns(schema: StructType, wanted: Any) -> list[dict[str, str]]:
    found = []
    for field in schema:
        if wanted(field.name):
            comment = field.metadata.get("comment")
            one = {"Name": field.name.lower(), "Type": field.dataType.simpleString()}
            found.append(one | ({"Comment": comment} if comment else {}))
    return found


def _in_parts(text: str) -> dict[str, str]:
    if len(text) <= LONGEST_PROPERTY:
        return {SCHEMA: text}
    parts = [text[i : i + LONGEST_PROPERTY] for i in range(0, len(text), LONGEST_PROPERTY)]
    return {f"{SCHEMA}.numParts": str(len(parts)), **{f"{SCHEMA}.part.{i}": part for i, part in enumerate(parts)}}


def changed(entry: dict[str, Any], before: Entry, after: Entry) -> dict[str, Any]:
    """The TableInput of an entry after Spark altered the table: only what it changed."""
    made = {member: entry[member] for member in ROOMY if member in entry}
    storage, parameters = dict(made["StorageDescriptor"]), dict(made.get("Parameters", {}))
    if after.schema != before.schema:
        storage["Columns"] = after.columns()
        if PROVIDER in parameters:
            kept = {
                k: v
                for k, v in parameters.items()
                if k != SCHEMA and not k.startswith((f"{SCHEMA}.part.", f"{SCHEMA}.numParts"))
            }
            parameters = kept | _in_parts(json.dumps(after.schema.jsonValue(), separators=(",", ":")))
            if after.provider.lower() not in STORED_AS:
                storage["Columns"] = made["StorageDescriptor"]["Columns"]
    if after.location != before.location:
        storage["Location"] = after.location
    parameters = {k: v for k, v in parameters.items() if k not in before.properties or k in after.properties}
    parameters |= {k: v for k, v in after.properties.items() if before.properties.get(k) != v}
    if after.comment != before.comment:
        made["Description"] = after.comment
    return made | {"StorageDescriptor": storage, "Parameters": parameters}


# ---- tables of Hive's kind


def keys_of(plan: Any) -> list[str]:
    """The columns of PARTITIONED BY, in lower case."""
    found = []
    for transform in to_list(plan.partitioning()):
        if transform.name() != "identity":
            raise NotImplementedError(f"PARTITIONED BY {transform.toString()} is not carried")
        found.append(str(transform.references()[0].fieldNames()[0]).lower())
    return found


def hive_table(name: str, plan: Any, schema: StructType, place: str) -> dict[str, Any]:
    """The TableInput of CREATE TABLE without USING. `place`: its database's folder, "" where that has none."""
    spec, keys = plan.tableSpec(), keys_of(plan)
    location = to_text(spec.location()) or (place and place + name)
    if not location:
        raise ValueError(
            f"Can not create a Path from an empty string: the table {name} names no LOCATION, and its database has no"
            " LocationUri"
        )
    reads, writes, library, settings = _storage(spec.serde())
    external = bool(spec.external())
    made: dict[str, Any] = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE" if external or spec.location().isDefined() else "MANAGED_TABLE",
        "PartitionKeys": _columns(schema, lambda one: one.lower() in keys),
        "Parameters": to_dict(spec.properties()) | ({"EXTERNAL": "TRUE"} if external else {}),
        "StorageDescriptor": {
            "Columns": _columns(schema, lambda one: one.lower() not in keys),
            "Location": location,
            "InputFormat": reads,
            "OutputFormat": writes,
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": {"serialization.format": "1", **settings}},
        },
    }
    comment = to_text(spec.comment())
    return made | ({"Description": comment} if comment else {})


def _storage(serde: Any) -> tuple[str, str, str, dict[str, str]]:
    """Formats, SerDe and its properties of a SerdeInfo; text where nothing is said."""
    if not serde.isDefined():
        return (*STORED_AS["textfile"], {})
    said = serde.get()
    named = to_text(said.storedAs()).lower() or "textfile"
    if named not in STORED_AS:
        raise NotImplementedError(f"STORED AS {named} is not carried")
    reads, writes, library = STORED_AS[named]
    if said.formatClasses().isDefined():
        classes = said.formatClasses().get()
        reads, writes = str(classes.input()), str(classes.output())
    return reads, writes, to_text(said.serde()) or library, to_dict(said.serdeProperties())
