"""CTAS, INSERT and UNLOAD: the query's rows become files in S3, then the catalog learns of them.

The worker writes into its own folder; the endpoint puts the files into the bucket, each whole or not at all, under
names that begin with the query's id: a query that is run again after a kill overwrites its own files and adds none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from botocore.exceptions import ClientError

from millpond.local.athena import serdes
from millpond.local.athena.catalog import Catalog, reading, s3_location, storage
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.plans import Planned, plan
from millpond.local.athena.scopes import Column
from millpond.local.athena.statements import CreateTableAs, Insert, Unload
from millpond.local.athena.types import Type, common, parse
from millpond.local.service import Endpoint

EXTENSIONS = {"parquet": ".parquet", "json": ".json", "csv": ""}


@dataclass(frozen=True, slots=True)
class Write:
    """What the worker writes, and where it goes. `table`: the TableInput to create, for CTAS."""

    planned: Planned
    form: str
    location: str
    keys: tuple[str, ...] = ()
    delimiter: str = ","
    compression: str = ""
    database: str = ""
    name: str = ""
    table: dict[str, Any] | None = None

    def for_worker(self, folder: Path) -> dict[str, Any]:
        write = {"format": self.form, "keys": list(self.keys), "delimiter": self.delimiter,
                 "compression": self.compression}  # fmt: skip
        return self.planned.for_worker(folder) | {"write": write}


def create_table_as(endpoint: Endpoint, s: CreateTableAs, database: str, home: str, query_id: str, at: float) -> Write:
    """CTAS. `home`: the query's result location, below which tables without external_location go."""
    where, name = (s.name[0] if len(s.name) > 1 else database), s.name[-1]
    options = dict(s.options)
    for unknown in options.keys() - KNOWN:
        raise QueryFailure("INVALID_TABLE_PROPERTY", f"Table property '{unknown}' does not exist")
    if options.get("bucketed_by") or options.get("bucket_count"):
        raise QueryFailure("NOT_SUPPORTED", "Bucketed tables are not supported by the local engine")
    if str(options.get("table_type", "HIVE")).upper() != "HIVE":
        raise QueryFailure("NOT_SUPPORTED", "Iceberg tables are not supported by the local engine")
    form = str(options.get("format", "PARQUET")).upper()
    if form not in CTAS:
        raise QueryFailure("NOT_SUPPORTED", f"CTAS with format {form} is not supported by the local engine")
    planned = named(plan(endpoint, s.query, database, at))
    keys = tuple(k.lower() for k in options.get("partitioned_by") or ())
    if keys and tuple(c.name for c in planned.columns[len(planned.columns) - len(keys) :]) != keys:
        text = f"Partition keys must be the last columns in the table and in the order of partitioned_by: {list(keys)}"
        raise QueryFailure("HIVE_COLUMN_ORDER_MISMATCH", text)
    if len(keys) >= len(planned.columns):
        raise QueryFailure("INVALID_TABLE_PROPERTY", "Table contains only partition columns")
    location = str(options.get("external_location") or f"{home.rstrip('/')}/tables/{query_id}/")
    location = location if location.endswith("/") else f"{location}/"
    must_be_empty(endpoint, location, query_id)
    delimiter = str(options.get("field_delimiter") or "\x01")
    described = [{"Name": str(c.name), "Type": storable(c)} for c in planned.columns]
    body = {
        "Name": name,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": described[len(described) - len(keys) :] if keys else [],
        "Parameters": {"EXTERNAL": "TRUE", "millpond.query": query_id},
        "StorageDescriptor": {
            "Columns": described[: len(described) - len(keys)],
            "Location": location,
            **serdes.storage(CTAS[form][1], {"field.delim": delimiter} if form == "TEXTFILE" else {}),
        },
    }
    compression = str(options.get("write_compression") or options.get("parquet_compression") or "GZIP").lower()
    return Write(planned, CTAS[form][0], location, keys, delimiter, parquet_codec(compression), where, name, body)


KNOWN = frozenset({
    "format", "external_location", "partitioned_by", "bucketed_by", "bucket_count", "table_type", "field_delimiter",
    "write_compression", "parquet_compression", "orc_compression", "is_external",
})  # fmt: skip
CTAS = {"PARQUET": ("parquet", "PARQUET"), "JSON": ("json", "JSON"), "TEXTFILE": ("csv", "TEXTFILE")}


def parquet_codec(name: str) -> str:
    known = {"none": "uncompressed", "uncompressed": "uncompressed", "gzip": "gzip", "snappy": "snappy", "zstd": "zstd"}
    if name not in known:
        raise QueryFailure("NOT_SUPPORTED", f"The compression {name} is not supported by the local engine")
    return known[name]


def named(planned: Planned) -> Planned:
    """A table's columns need names, each once."""
    names = [c.name for c in planned.columns]
    for i, name in enumerate(names):
        if name == f"_col{i}":
            raise QueryFailure("MISSING_COLUMN_NAME", f"Column name not specified at position {i + 1}")
    lowered = [str(n).lower() for n in names]
    for name in lowered:
        if lowered.count(name) > 1:
            raise QueryFailure("DUPLICATE_COLUMN_NAME", f"Column name '{name}' specified more than once")
    columns = [Column(n, c.type) for n, c in zip(lowered, planned.columns, strict=True)]
    return replace(planned, columns=columns)


def storable(column: Column) -> str:
    unknown = {
        "unknown",
        "json",
        "time",
        "interval day to second",
        "interval year to month",
        "timestamp with time zone",
    }
    if column.type.name in unknown:
        raise QueryFailure("NOT_SUPPORTED", f"Unsupported Hive type: {column.type} (column '{column.name}')")
    return column.type.hive


def must_be_empty(endpoint: Endpoint, location: str, query_id: str) -> None:
    bucket, prefix = s3_location(location)
    try:
        found = endpoint.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=200).get("Contents") or []
    except ClientError as error:
        raise QueryFailure("HIVE_FILESYSTEM_ERROR", f"The location {location} cannot be listed") from error
    if any(query_id not in o["Key"] for o in found):
        text = f"Target directory for table already has data or is not empty: {location}"
        raise QueryFailure("HIVE_PATH_ALREADY_EXISTS", text)


def insert(endpoint: Endpoint, s: Insert, database: str, at: float) -> Write:
    """INSERT INTO an existing table: the columns in order, each coercing to the table's type."""
    where, name = (s.name[0] if len(s.name) > 1 else database), s.name[-1]
    catalog = Catalog(endpoint)
    table = catalog.table(where, name)
    if table.get("TableType") == "VIRTUAL_VIEW":
        raise QueryFailure("NOT_SUPPORTED", "Inserting into views is not supported")
    keys = tuple(c["Name"].lower() for c in table.get("PartitionKeys") or ())
    columns = [
        Column(c["Name"].lower(), parse(c["Type"]))
        for c in [*storage(table)["Columns"], *(table.get("PartitionKeys") or ())]
    ]
    planned = plan(endpoint, s.query, database, at)
    wanted = columns
    if s.columns:
        by_name = {str(c.name): c for c in columns}
        if missing := [c for c in s.columns if c not in by_name]:
            raise QueryFailure("COLUMN_NOT_FOUND", f"Insert column name does not exist in target table: {missing[0]}")
        wanted = [by_name[c] for c in s.columns]
    if len(wanted) != len(planned.columns) or any(
        not insertable(q.type, t.type) for q, t in zip(planned.columns, wanted, strict=True)
    ):
        text = f"Insert query has mismatched column types: Table: [{shown(wanted)}], Query: [{shown(planned.columns)}]"
        raise QueryFailure("TYPE_MISMATCH", text)
    order = {str(c.name): i for i, c in enumerate(wanted)}
    items = ", ".join(
        f"CAST({f'c{order[str(c.name)]}' if str(c.name) in order else 'NULL'} AS {c.type.duckdb}) AS c{i}"
        for i, c in enumerate(columns)
    )
    planned = replace(planned, sql=f"SELECT {items} FROM ({planned.sql})", columns=columns)
    form, options = reading(table, f"{where}.{name}")
    if form not in EXTENSIONS or options.get("strict") or options.get("skip"):
        raise QueryFailure(
            "NOT_SUPPORTED", f"INSERT INTO a table of this format ({form}) is not supported by the local engine"
        )
    delimiter = str(options.get("delimiter") or ",")
    return Write(planned, form, storage(table)["Location"].rstrip("/") + "/", keys, delimiter, "gzip", where, name)


def insertable(query: Type, table: Type) -> bool:
    return common(query, table) == table or (query.text and table.text) or (query.name == table.name == "decimal")


def shown(columns: list[Column]) -> str:
    return ", ".join(str(c.type) for c in columns)


def unload(endpoint: Endpoint, s: Unload, database: str, query_id: str, at: float) -> Write:
    """UNLOAD: files without a table."""
    form = str(s.options.get("format", "")).upper()
    known = {"PARQUET": "parquet", "JSON": "json", "TEXTFILE": "csv"}
    if form not in known:
        raise QueryFailure(
            "NOT_SUPPORTED", f"UNLOAD with format '{form or '(none)'}' is not supported by the local engine"
        )
    planned = named(plan(endpoint, s.query, database, at))
    keys = tuple(k.lower() for k in s.options.get("partitioned_by") or ())
    location = s.location if s.location.endswith("/") else f"{s.location}/"
    must_be_empty(endpoint, location, query_id)
    codec = parquet_codec(str(s.options.get("compression") or "GZIP").lower())
    delimiter = str(s.options.get("field_delimiter") or ",")
    return Write(planned, known[form], location, keys, delimiter, codec)


def publish(endpoint: Endpoint, write: Write, answer: dict[str, Any], query_id: str) -> list[str]:
    """Put the worker's files into the bucket, then tell the catalog. The addresses of the files."""
    bucket, prefix = s3_location(write.location)
    uris, partitions = [], []
    for number, made in enumerate(answer["files"]):
        folder = "".join(f"{k}={hive_escaped(v)}/" for k, v in zip(write.keys, made["values"], strict=True))
        key = f"{prefix}{folder}{query_id}_{number:05}{EXTENSIONS[write.form]}"
        endpoint.services["s3"].put_file(bucket, key, Path(made["file"]))  # type: ignore[attr-defined]
        uris.append(f"s3://{bucket}/{key}")
        if write.keys:
            values = ["__HIVE_DEFAULT_PARTITION__" if v is None else v for v in made["values"]]
            partitions.append((values, f"s3://{bucket}/{prefix}{folder}"))
    glue = endpoint.client("glue")
    if write.table is not None:
        create_once(glue, write, query_id)
    if partitions and write.name:
        add_partitions(glue, write.database, write.name, partitions)
    return uris


def create_once(glue: Any, write: Write, query_id: str) -> None:
    """CreateTable; a table that this very query made before a kill is the same table."""
    try:
        glue.create_table(DatabaseName=write.database, TableInput=write.table)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "AlreadyExistsException":
            existing = glue.get_table(DatabaseName=write.database, Name=write.name)["Table"]
            if (existing.get("Parameters") or {}).get("millpond.query") == query_id:
                return
            raise QueryFailure(
                "TABLE_ALREADY_EXISTS", f"Table '{write.database}.{write.name}' already exists"
            ) from error
        if code == "EntityNotFoundException":
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Schema {write.database} not found") from error
        raise


def add_partitions(glue: Any, database: str, name: str, partitions: list[tuple[list[str], str]]) -> int:
    """BatchCreatePartition, 100 at a time; those that exist already stay. How many are new."""
    table = glue.get_table(DatabaseName=database, Name=name)["Table"]
    added = 0
    for start in range(0, len(partitions), 100):
        batch = [
            {"Values": values, "StorageDescriptor": storage(table) | {"Location": location}}
            for values, location in partitions[start : start + 100]
        ]
        answer = glue.batch_create_partition(DatabaseName=database, TableName=name, PartitionInputList=batch)
        errors = [e["ErrorDetail"] for e in answer.get("Errors") or ()]
        for error in errors:
            if error["ErrorCode"] != "AlreadyExistsException":
                raise QueryFailure("HIVE_METASTORE_ERROR", error.get("ErrorMessage") or error["ErrorCode"])
        added += len(batch) - len(errors)
    return added


def hive_escaped(value: str | None) -> str:
    """A partition value in a path, as Hive escapes it."""
    return "__HIVE_DEFAULT_PARTITION__" if value is None else quote(value, safe="-._ ")
