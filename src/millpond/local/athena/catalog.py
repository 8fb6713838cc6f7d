"""Tables of the Glue catalog as a query sees them: columns and types, format, the exact files, what they weigh.

Columns, SerDe, partition values and locations come from the catalog, never from a file or a path. A file is taken when
its object is listed by S3, is not hidden (`_SUCCESS`, `.tmp`), not empty, and lies inside the state folder.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from millpond.local.athena import metadata
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.queries import TableUse, ViewUse
from millpond.local.athena.scopes import Column
from millpond.local.athena.types import VARCHAR, Type, parse
from millpond.local.service import Endpoint

CATALOG = "awsdatacatalog"

FORMATS = (
    (r"parquet", "parquet"), (r"OpenCSVSerde$", "opencsv"), (r"LazySimpleSerDe$|MultiDelimitSerDe$", "csv"),
    (r"JsonSerDe$", "json"), (r"OrcSerde$", "orc"),
)  # fmt: skip
PRUNABLE = frozenset({"varchar", "char", "tinyint", "smallint", "integer", "bigint", "date"})


@dataclass(frozen=True, slots=True)
class File:
    path: str
    uri: str
    size: int


class Catalog:
    """The catalog for one query: each table is read once, and only when it is named."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.glue = endpoint, endpoint.client("glue")
        self.tables: dict[tuple[str, str], tuple[dict[str, Any], TableUse]] = {}
        self.root = str(endpoint.data.resolve())

    # --- names ------------------------------------------------------------------------------------------------------

    def resolve(self, parts: tuple[str, ...], database: str) -> TableUse | ViewUse:
        """A table by `table`, `db.table` or `catalog.db.table`, all in lower case."""
        if len(parts) == 3 and parts[0] != CATALOG:
            raise QueryFailure("CATALOG_NOT_FOUND", f"Catalog '{parts[0]}' does not exist")
        if len(parts) > 3:
            raise QueryFailure("SYNTAX_ERROR", f"Too many dots in table name: {'.'.join(parts)}")
        where, name = (parts[-2] if len(parts) > 1 else database), parts[-1]
        if where == "information_schema":
            return metadata.information_schema(self.glue, name)
        if name.endswith("$partitions"):
            return metadata.partitions(self.glue, where, self.table(where, name.removesuffix("$partitions")))
        if "$" in name:
            raise QueryFailure("NOT_SUPPORTED", f"The metadata table '{name}' is not supported by the local engine")
        if found := self.tables.get((where, name)):
            return found[1]
        table = self.table(where, name)
        if table.get("TableType") == "VIRTUAL_VIEW":
            return view(table, where)
        return self.use(table, where, name)

    def table(self, database: str, name: str) -> dict[str, Any]:
        """GetTable; a missing one fails with Athena's words."""
        try:
            return dict(self.glue.get_table(DatabaseName=database, Name=name)["Table"])
        except ClientError as error:
            if error.response["Error"]["Code"] not in {"EntityNotFoundException", "InvalidInputException"}:
                raise
        if not self.has_database(database):
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist")
        raise QueryFailure("TABLE_NOT_FOUND", f"Table '{CATALOG}.{database}.{name}' does not exist")

    def has_database(self, name: str) -> bool:
        try:
            self.glue.get_database(Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"EntityNotFoundException", "InvalidInputException"}:
                return False
            raise
        return True

    def use(self, table: dict[str, Any], database: str, name: str) -> TableUse:
        columns = [
            Column(c["Name"].lower(), column_type(c, database, name)) for c in storage(table).get("Columns") or ()
        ]
        keys = [Column(c["Name"].lower(), column_type(c, database, name)) for c in table.get("PartitionKeys") or ()]
        hidden = Column("$path", VARCHAR, hidden=True)
        use = TableUse(f"t{len(self.tables)}", (*columns, *keys, hidden), (database, name))
        use.keys = frozenset(str(k.name) for k in keys if k.type.name in PRUNABLE)
        self.tables[database, name] = (table, use)
        return use

    # --- files ------------------------------------------------------------------------------------------------------

    def plan(self, *, paths: set[str]) -> tuple[list[dict[str, Any]], int]:
        """The plan's tables, after partition pruning, and the bytes that will be scanned. Of the views in `paths`, also
        the addresses of the files."""
        plans, scanned = [], 0
        for table, use in self.tables.values():
            one, weight = self.plan_table(table, use, paths=use.view in paths)
            plans.append(one)
            scanned += weight
        return plans, scanned

    def plan_table(self, table: dict[str, Any], use: TableUse, *, paths: bool) -> tuple[dict[str, Any], int]:
        shown = ".".join(use.name)
        form, options = reading(table, shown)
        keys = [c["Name"].lower() for c in table.get("PartitionKeys") or ()]
        types = {str(c.name): c.type for c in use.columns}
        count = len(use.columns) - len(keys) - 1
        uris: dict[str, str] = {}
        parts, scanned = [], 0
        for values, location in self.parts(table, use, shown):
            files = list(self.files(location, form))
            scanned += sum(f.size for f in files)
            uris.update({f.path: f.uri for f in files} if paths else {})
            parts.append({"values": values, "files": [f.path for f in files]})
        described = [described_column(str(c.name), c.type) for c in use.columns[:count]]
        return {
            "view": use.view,
            "format": form,
            "options": options,
            "columns": described,
            "keys": [described_column(k, types[k]) for k in keys],
            "parts": parts,
            "uris": uris,
        }, scanned

    def parts(self, table: dict[str, Any], use: TableUse, shown: str) -> Iterator[tuple[list[str | None], str]]:
        """Partition values and location of what the query may need; an unpartitioned table is one part."""
        if not table.get("PartitionKeys"):
            yield [], storage(table).get("Location") or ""
            return
        if (table.get("Parameters") or {}).get("projection.enabled", "").lower() == "true":
            raise QueryFailure(
                "NOT_SUPPORTED", f"Partition projection (table {shown}) is not supported by the local engine"
            )
        arguments: dict[str, Any] = {"DatabaseName": use.name[0], "TableName": use.name[1]}
        if expression := pruning(use):
            arguments["Expression"] = expression
        for page in self.glue.get_paginator("get_partitions").paginate(**arguments):
            for partition in page["Partitions"]:
                check_partition(table, partition, shown)
                values = [None if v == "__HIVE_DEFAULT_PARTITION__" else v for v in partition["Values"]]
                yield values, storage(partition).get("Location") or ""

    def files(self, location: str, form: str) -> Iterator[File]:
        """The files below a location. An object with exactly the location's key counts too."""
        bucket, key = s3_location(location)
        prefix = key if not key or key.endswith("/") else f"{key}/"
        try:
            for one in self.endpoint.services["s3"].objects(bucket, key):  # type: ignore[attr-defined]
                inside = one.key.startswith(prefix) or one.key == key
                rest = one.key[len(prefix) :] if one.key.startswith(prefix) else one.key.rpartition("/")[2]
                if not inside or not one.size or hidden(rest):
                    continue
                yield File(self.checked(one.path), f"s3://{bucket}/{one.key}", one.size)
        except Exception as error:
            if getattr(error, "code", "") == "NoSuchBucket":
                text = f"The specified bucket does not exist (Bucket: {bucket})"
                raise QueryFailure("HIVE_FILESYSTEM_ERROR", text) from error
            raise

    def checked(self, path: Path) -> str:
        """The real path, which must lie inside the state folder: a link that points out is no table's file."""
        real = str(path.resolve())
        if not real.startswith(self.root + "/"):
            raise QueryFailure("HIVE_CANNOT_OPEN_SPLIT", "A file of the table is a link out of the bucket")
        return real


def storage(holder: dict[str, Any]) -> dict[str, Any]:
    return holder.get("StorageDescriptor") or {}


def hidden(key: str) -> bool:
    """Hive's rule: a file or folder whose name starts with `_` or `.` is not data."""
    return key.endswith("/") or any(part.startswith(("_", ".")) for part in key.split("/"))


def s3_location(location: str) -> tuple[str, str]:
    """`s3://bucket/a/b/` -> ("bucket", "a/b/"). Raises QueryFailure for what is no S3 address."""
    found = re.fullmatch(r"s3[an]?://([^/]+)(?:/(.*))?", location, re.DOTALL)
    if found is None:
        raise QueryFailure("HIVE_UNSUPPORTED_FORMAT", "Unable to create input format: the table is not in Amazon S3")
    return found[1], found[2] or ""


def column_type(column: dict[str, Any], database: str, name: str) -> Type:
    shown = f"Column '{column['Name']}' of table {database}.{name}"
    try:
        found = parse(column.get("Type") or "string")
    except QueryFailure as failure:
        text = f"{shown} has an unknown type: {column.get('Type')}"
        raise QueryFailure("HIVE_INVALID_METADATA", text) from failure
    if twice := repeated(found):
        raise QueryFailure("HIVE_INVALID_METADATA", f"{shown} has a struct with two members of the name '{twice}'")
    return found


def repeated(of: Type) -> str:
    """A name that a struct inside a type has twice, in any case; "" where there is none."""
    names = [str(name).lower() for name in of.names] if of.name == "row" else []
    twice = next((name for name in names if names.count(name) > 1), "")
    return twice or next(filter(None, map(repeated, of.args)), "")


def described_column(name: str, of: Type) -> dict[str, Any]:
    """A column for the worker; `args`: what is inside a nested type."""
    names = of.names if of.name == "row" else ("",) * len(of.args)
    inner = [described_column(inner, each) for inner, each in zip(names, of.args, strict=True)]
    return {"name": name, "type": str(of), "duckdb": of.duckdb, "args": inner}


def pruning(use: TableUse) -> str:
    """The expression for GetPartitions: each use of the table may need what its own WHERE lets through."""
    if not use.conditions or not all(use.conditions):
        return ""
    sides = sorted({" AND ".join(conditions) for conditions in use.conditions})
    expression = sides[0] if len(sides) == 1 else " OR ".join(f"({side})" for side in sides)
    return expression if len(expression) <= 2048 else ""


def check_partition(table: dict[str, Any], partition: dict[str, Any], shown: str) -> None:
    """Athena refuses a partition whose column was retyped on the table but not on the partition, or the other way."""
    mine = {c["Name"].lower(): (c.get("Type") or "string").lower() for c in storage(table).get("Columns") or ()}
    for column in storage(partition).get("Columns") or ():
        name, of = column["Name"].lower(), (column.get("Type") or "string").lower()
        if name in mine and not compatible(mine[name], of):
            values = "/".join(
                f"{k['Name']}={v}" for k, v in zip(table["PartitionKeys"], partition["Values"], strict=True)
            )
            raise QueryFailure(
                "HIVE_PARTITION_SCHEMA_MISMATCH",
                "There is a mismatch between the table and partition schemas. The types are incompatible and cannot be "
                f"coerced. The column '{name}' in table '{shown}' is declared as type '{mine[name]}', but partition "
                f"'{values}' declared column '{name}' as type '{of}'.",
            )
    library = (storage(partition).get("SerdeInfo") or {}).get("SerializationLibrary") or ""
    if library and reading(partition, shown)[0] != reading(table, shown)[0]:
        raise QueryFailure(
            "NOT_SUPPORTED", f"A partition of {shown} in another format is not supported by the local engine"
        )


def compatible(table: str, partition: str) -> bool:
    """Equal types, or a partition's narrower number: what Hive coerces."""
    if table == partition:
        return True
    a, b = parse(table), parse(partition)
    if a == b or (a.text and b.text):
        return True
    widening = ("tinyint", "smallint", "integer", "bigint")
    if a.name in widening and b.name in widening:
        return widening.index(b.name) <= widening.index(a.name)
    if (a.name, b.name) in {("double", "real"), ("real", "double")} or (a.name == b.name == "decimal"):
        return True
    return a.name == b.name and bool(a.args)


def reading(holder: dict[str, Any], shown: str) -> tuple[str, dict[str, Any]]:
    """The format and its options, from the SerDe of a table or partition."""
    info, parameters = storage(holder).get("SerdeInfo") or {}, holder.get("Parameters") or {}
    if parameters.get("table_type", "").upper() == "ICEBERG":
        raise QueryFailure("NOT_SUPPORTED", f"The Iceberg table {shown} is not supported by the local engine")
    library = info.get("SerializationLibrary") or ""
    given = info.get("Parameters") or {}
    # "Using NULL for invalid data" of the SerDes' pages
    strict = parameters.get("use.null.for.invalid.data", "").lower() != "true"
    form = next((name for pattern, name in FORMATS if re.search(pattern, library)), None)
    match form:
        case "parquet" | "orc":
            return form, {}
        case "json":
            paths = [p for p in (given.get("paths") or "").split(",") if p]
            ignored = given.get("ignore.malformed.json", "").lower() == "true"
            return "json", {"serde": "json", "strict": strict, "paths": paths, "ignore": ignored}
        case "csv":
            delimiter = given.get("field.delim") or given.get("serialization.format") or "\x01"
            null = given.get("serialization.null.format", "\\N")
            return "csv", {"serde": "lazy", "strict": False, "quote": "", "null": null,
                           "delimiter": "\x01" if delimiter == "1" else delimiter,
                           "escape": given.get("escape.delim", "")[:1], "skip": skipped(parameters, given)}  # fmt: skip
        case "opencsv":
            quote, escape = given.get("quoteChar") or '"', given.get("escapeChar") or "\\"
            return "csv", {"serde": "opencsv", "strict": strict, "quote": quote,
                           "delimiter": given.get("separatorChar") or ",",
                           "escape": escape, "skip": skipped(parameters, given)}  # fmt: skip
    raise QueryFailure("HIVE_UNSUPPORTED_FORMAT", f"Unable to create input format {library or '(no SerDe)'} of {shown}")


def skipped(parameters: dict[str, str], given: dict[str, str]) -> int:
    lines = parameters.get("skip.header.line.count") or given.get("skip.header.line.count") or "0"
    return int(lines) if lines.isdigit() else 0


# --- views ------------------------------------------------------------------------------------------------------------


def view(table: dict[str, Any], database: str) -> ViewUse:
    """The text of a view, which Athena keeps as base64 of JSON in ViewOriginalText."""
    found = re.fullmatch(r"\s*/\* Presto View: ([A-Za-z0-9+/=\s]+?) \*/\s*", table.get("ViewOriginalText") or "")
    try:
        body = json.loads(base64.b64decode(found[1])) if found else {}
        return ViewUse(str(body["originalSql"]), str(body.get("schema") or database))
    except (KeyError, ValueError, binascii.Error, TypeError) as error:
        raise QueryFailure("INVALID_VIEW", f"The view '{database}.{table['Name']}' was not made by Athena") from error


def view_text(sql: str, database: str, columns: list[Column]) -> str:
    """ViewOriginalText of a view as Athena writes it."""
    body = {
        "originalSql": sql, "catalog": CATALOG, "schema": database,
        "columns": [{"name": c.name, "type": str(c.type)} for c in columns],
    }  # fmt: skip
    return f"/* Presto View: {base64.b64encode(json.dumps(body).encode()).decode()} */"
