"""Tables of the Data Catalog as Spark needs them: schema, format, reader options, partitions, or a database to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pyspark.sql.types import StructField, StructType, _parse_datatype_string

from awsglue._aws import client, folder

# Parameters of a table that Spark made: its kind, and its schema as JSON, whole or in parts.
PROVIDER = "spark.sql.sources.provider"
SCHEMA = "spark.sql.sources.schema"
JDBC = ("postgresql", "mysql", "mariadb", "sqlite", "sqlserver", "oracle", "redshift")
FORMATS = {
    "parquet": "parquet",
    "glueparquet": "parquet",
    "csv": "csv",
    "json": "json",
    "orc": "orc",
    "avro": "avro",
}
# By a piece of the serialisation library's name, for tables without `classification` (Athena's CREATE TABLE).
SERDES = {
    **{"parquet": "parquet", "opencsv": "csv", "lazysimple": "csv", "json": "json", "orc": "orc", "avro": "avro"},
}


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its values in the order of the table's keys, and where its files are."""

    values: tuple[str, ...]
    location: str


class Table:
    """One table, as GetTable answers it."""

    def __init__(self, database: str, name: str) -> None:
        self.database, self.name = database, name
        self.entry: dict[str, Any] = client("glue").get_table(DatabaseName=database, Name=name)["Table"]
        self.storage: dict[str, Any] = self.entry.get("StorageDescriptor", {})
        self.parameters: dict[str, str] = {**self.storage.get("Parameters", {}), **self.entry.get("Parameters", {})}
        self.serde: dict[str, Any] = self.storage.get("SerdeInfo", {})

    def __str__(self) -> str:
        return f"{self.database}.{self.name}"

    @property
    def location(self) -> str:
        return str(self.storage.get("Location", ""))

    @property
    def connection(self) -> str | None:
        """The Glue connection behind a JDBC table."""
        named = self.parameters.get("connectionName")
        return named if self.parameters.get("classification") in JDBC or not self.location.startswith("s3") else None

    @property
    def is_managed(self) -> bool:
        """Do its files go with it?"""
        return self.entry.get("TableType") == "MANAGED_TABLE"

    @property
    def keys(self) -> list[str]:
        return [key["Name"] for key in self.entry.get("PartitionKeys", [])]

    def _library(self) -> str:
        return str(self.serde.get("SerializationLibrary", "")).lower()

    def reading(self) -> dict[str, Any]:
        """Options of reading that the table itself says (AWS docs, "Reading from JDBC tables in parallel"; exclusions
        are a crawler's)."""
        names = ("hashfield", "hashexpression", "hashpartitions") if self.connection else ("exclusions",)
        return {name: self.parameters[name] for name in names if self.parameters.get(name)}

    def format(self) -> str:
        """Spark's name of the format. NotImplementedError for one that is not carried."""
        if provider := self.parameters.get(PROVIDER):
            return provider.lower()
        said = self.parameters.get("classification", "").lower()
        library = self._library()
        found = FORMATS.get(said) or next((name for piece, name in SERDES.items() if piece in library), None)
        if found is None:
            raise NotImplementedError(f"the format of table {self} ({said or library or 'unknown'}) is not carried")
        return found

    def schema(self, *, partitions: bool) -> StructType:
        """Spark's schema."""
        if (of_spark := self._schema_of_spark()) is not None:
            return StructType([field for field in of_spark if partitions or field.name.lower() not in self.keys])
        columns = [*self.storage.get("Columns", [])]
        if partitions:
            columns += self.entry.get("PartitionKeys", [])
        return StructType([StructField(column["Name"], spark_type(column["Type"])) for column in columns])

    def _schema_of_spark(self) -> StructType | None:
        said = self.parameters.get(SCHEMA)
        if said is None and (count := self.parameters.get(f"{SCHEMA}.numParts")):
            said = "".join(self.parameters.get(f"{SCHEMA}.part.{i}", "") for i in range(int(count)))
        return StructType.fromJson(json.loads(said)) if said else None

    def options(self) -> dict[str, str]:
        """Options of Spark's reader."""
        if PROVIDER in self.parameters:
            given = self.serde.get("Parameters", {})
            return {name: value for name, value in given.items() if name not in ("path", "serialization.format")}
        if self.format() != "csv":
            return {}
        given = self.serde.get("Parameters", {})
        usual = "," if "classification" in self.parameters or "opencsv" in self._library() else "\x01"  # Hive's
        said = given.get("separatorChar") or given.get("field.delim") or self.parameters.get("delimiter")
        separator = said or usual
        options = {"sep": separator, "header": "false", "enforceSchema": "true"}
        if self.parameters.get("skip.header.line.count", "0") != "0":
            options["header"] = "true"
        quoted = given.get("quoteChar") or '"'
        return options | {"quote": quoted, "escape": quoted}  # a quote inside quotes is doubled; see also `escape`

    def escape(self) -> str:
        """What stands before a quote inside quotes in a CSV table, besides another quote; "" for nothing."""
        if PROVIDER in self.parameters:
            return ""
        usual = "\\" if "opencsv" in self._library() else ""
        return str(self.serde.get("Parameters", {}).get("escapeChar") or usual)

    def partitions(self, expression: str = "") -> list[Partition]:
        """All partitions, or those for which the catalog finds `expression` true (catalogPartitionPredicate)."""
        asked: dict[str, Any] = {"DatabaseName": self.database, "TableName": self.name, "ExcludeColumnSchema": True}
        if expression:
            asked["Expression"] = expression
        pages = client("glue").get_paginator("get_partitions").paginate(**asked)
        return [
            Partition(tuple(one["Values"]), one["StorageDescriptor"]["Location"])
            for page in pages
            for one in page["Partitions"]
        ]

    def is_hive_layout(self, partition: Partition) -> bool:
        """Whether the folder's name says the values: .../year=2024/month=05/."""
        base, place = folder(self.location), folder(partition.location)
        pairs = list(zip(self.keys, partition.values, strict=True))
        return place in (
            base + "".join(f"{key}={value}/" for key, value in pairs),
            base + "".join(f"{key}={escaped(value)}/" for key, value in pairs),
        )


def escaped(value: str) -> str:
    """A partition value as Hive and Spark write it into a folder's name."""
    return quote(value, safe=" !$&()+,-.;<>@^_`|~") if value else "__HIVE_DEFAULT_PARTITION__"


def spark_type(hive: str) -> Any:
    """Spark's type for the catalog's."""
    return _parse_datatype_string(hive)


def glue_type(name: str) -> str:
    """A type as scripts write it in mappings and casts (`long`, `decimal`), as Spark's DDL."""
    low = name.strip().lower()
    return ALIASES.get(low, name.strip())


ALIASES: Mapping[str, str] = {
    "long": "bigint",
    "short": "smallint",
    "byte": "tinyint",
    "integer": "int",
    "decimal": "decimal(10,2)",
    "str": "string",
    "bool": "boolean",
    "null": "void",
}
