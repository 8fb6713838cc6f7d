"""DDL and SHOW: applied to the Glue catalog through its own API, never to the engine.

`run` answers the lines of the result, as Athena's `.txt` result has them, and the name of their column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from botocore.exceptions import ClientError

from millpond.local.athena import serdes
from millpond.local.athena.catalog import CATALOG, Catalog, s3_location, storage, view, view_text
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.plans import plan
from millpond.local.athena.statements import (
    AddPartitions,
    AlterColumns,
    CreateDatabase,
    CreateTable,
    CreateView,
    Drop,
    DropDatabase,
    DropPartitions,
    Name,
    Repair,
    SetLocation,
    SetProperties,
    Show,
)
from millpond.local.athena.types import parse
from millpond.local.athena.writes import add_partitions, hive_escaped
from millpond.local.service import Endpoint


@dataclass(frozen=True, slots=True)
class Lines:
    """The result of a statement. A line is one value, even where `column` names several, with tabs between them."""

    lines: list[str]
    column: str = "result"


class Ddl:
    """One statement against the catalog. `database` is what unqualified names mean."""

    def __init__(self, endpoint: Endpoint, database: str, at: float) -> None:
        self.endpoint, self.database, self.at = endpoint, database, at
        self.glue = endpoint.client("glue")
        self.catalog = Catalog(endpoint)

    def run(self, statement: Any) -> Lines:
        rule = RULES.get(type(statement))
        if rule is None:
            raise QueryFailure("NOT_SUPPORTED", f"{type(statement).__name__} is not supported by the local engine")
        try:
            return rule(self, statement) or Lines([])
        except ClientError as error:
            given = error.response["Error"]
            raise QueryFailure(f"FAILED: {given['Code']}", given.get("Message", "")) from error

    def where(self, name: Name) -> tuple[str, str]:
        return (name[0] if len(name) > 1 else self.database), name[-1]

    def get(self, name: Name) -> tuple[str, str, dict[str, Any]]:
        database, table = self.where(name)
        return database, table, self.catalog.table(database, table)

    # --- databases --------------------------------------------------------------------------------------------------

    def create_database(self, s: CreateDatabase) -> None:
        if self.catalog.has_database(s.name):
            if s.quiet:
                return
            raise QueryFailure("SCHEMA_ALREADY_EXISTS", f"Database {s.name} already exists")
        body: dict[str, Any] = {"Name": s.name, "Parameters": s.properties}
        body |= {"Description": s.comment} if s.comment else {}
        body |= {"LocationUri": s.location} if s.location else {}
        self.glue.create_database(DatabaseInput=body)

    def drop_database(self, s: DropDatabase) -> None:
        if not self.catalog.has_database(s.name):
            if s.quiet:
                return
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Database does not exist: {s.name}")
        if not s.cascade and self.glue.get_tables(DatabaseName=s.name, MaxResults=1)["TableList"]:
            raise QueryFailure("SCHEMA_NOT_EMPTY", f"Database {s.name} is not empty. One or more tables exist.")
        self.glue.delete_database(Name=s.name)

    # --- tables -----------------------------------------------------------------------------------------------------

    def create_table(self, s: CreateTable) -> None:
        database, name = self.where(s.name)
        for column, of, _ in (*s.columns, *s.keys):
            try:
                parse(of)
            except QueryFailure as failure:
                raise QueryFailure("FAILED", f"ParseException: column {column} has an unknown type: {of}") from failure
        if not s.location:
            raise QueryFailure("FAILED", "SemanticException: an external table needs a LOCATION")
        s3_location(s.location)
        body: dict[str, Any] = {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE"} | s.properties,
            "PartitionKeys": [described(c) for c in s.keys],
            "StorageDescriptor": {
                "Columns": [described(c) for c in s.columns],
                "Location": s.location,
                **self.formats(s),
            },
        }
        body |= {"Description": s.comment} if s.comment else {}
        self.create(database, name, body, quiet=s.quiet)

    @staticmethod
    def formats(s: CreateTable) -> dict[str, Any]:
        serde = "" if s.serde == "delimited" else s.serde
        stored = s.stored or ("JSON" if serde and "json" in serde.lower() else "TEXTFILE")
        if stored not in serdes.STORED:
            raise QueryFailure("NOT_SUPPORTED", f"STORED AS {stored} is not supported by the local engine")
        properties = dict(s.serde_properties)
        if s.serde == "delimited":
            properties.setdefault("field.delim", "\x01")
        return serdes.storage(stored, properties, serde, s.formats)

    def create(self, database: str, name: str, body: dict[str, Any], *, quiet: bool) -> None:
        if not self.catalog.has_database(database):
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Database does not exist: {database}")
        try:
            self.glue.create_table(DatabaseName=database, TableInput=body)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise
            if not quiet:
                raise QueryFailure("TABLE_ALREADY_EXISTS", f"Table {database}.{name} already exists") from error

    def drop(self, s: Drop) -> None:
        database, name = self.where(s.name)
        try:
            table = self.catalog.table(database, name)
        except QueryFailure:
            if s.quiet:
                return
            raise
        is_view = table.get("TableType") == "VIRTUAL_VIEW"
        if is_view != (s.kind == "VIEW"):
            kind = "a view" if is_view else "a table"
            raise QueryFailure(
                "TYPE_MISMATCH", f"{database}.{name} is {kind}: use DROP {'VIEW' if is_view else 'TABLE'}"
            )
        self.glue.delete_table(DatabaseName=database, Name=name)

    def create_view(self, s: CreateView) -> None:
        database, name = self.where(s.name)
        planned = plan(self.endpoint, s.query, self.database, self.at, files=False)
        for i, column in enumerate(planned.columns):
            if column.name == f"_col{i}":
                raise QueryFailure("MISSING_COLUMN_NAME", f"Column name not specified at position {i + 1}")
        text = view_text(s.query.strip(), self.database, planned.columns)
        body = {
            "Name": name,
            "TableType": "VIRTUAL_VIEW",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "PartitionKeys": [],
            "ViewOriginalText": text,
            "ViewExpandedText": "/* Presto View */",
            "StorageDescriptor": {
                "Columns": [{"Name": str(c.name).lower(), "Type": c.type.hive} for c in planned.columns],
                "Location": "",
                "SerdeInfo": {},
            },
        }
        try:
            existing = self.catalog.table(database, name)
        except QueryFailure as failure:
            if failure.code != "TABLE_NOT_FOUND":
                raise
            self.glue.create_table(DatabaseName=database, TableInput=body)
            return
        if not s.replace or existing.get("TableType") != "VIRTUAL_VIEW":
            raise QueryFailure("TABLE_ALREADY_EXISTS", f"View already exists: {CATALOG}.{database}.{name}")
        self.glue.update_table(DatabaseName=database, TableInput=body)

    # --- changes of a table -----------------------------------------------------------------------------------------

    def update(self, database: str, table: dict[str, Any]) -> None:
        self.glue.update_table(DatabaseName=database, TableInput={k: v for k, v in table.items() if k in TABLE_INPUT})

    def alter_columns(self, s: AlterColumns) -> None:
        database, _, table = self.get(s.name)
        for _, of, _ in s.columns:
            parse(of)
        old = [] if s.replace else storage(table)["Columns"]
        storage(table)["Columns"] = [*old, *(described(c) for c in s.columns)]
        self.update(database, table)

    def set_properties(self, s: SetProperties) -> None:
        database, _, table = self.get(s.name)
        table["Parameters"] = (table.get("Parameters") or {}) | s.properties
        self.update(database, table)

    def set_location(self, s: SetLocation) -> None:
        database, name, table = self.get(s.name)
        s3_location(s.location)
        if not s.partition:
            storage(table)["Location"] = s.location
            self.update(database, table)
            return
        values = key_values(table, s.partition)
        found = self.glue.get_partition(DatabaseName=database, TableName=name, PartitionValues=values)["Partition"]
        body = {"Values": values, "StorageDescriptor": storage(found) | {"Location": s.location}}
        self.glue.update_partition(
            DatabaseName=database, TableName=name, PartitionValueList=values, PartitionInput=body
        )

    # --- partitions -------------------------------------------------------------------------------------------------

    def add_partitions(self, s: AddPartitions) -> None:
        database, name, table = self.get(s.name)
        given = []
        for partition, location in s.partitions:
            values = key_values(table, partition)
            given.append((values, location or default_location(table, values)))
        added = add_partitions(self.glue, database, name, given)
        if added < len(given) and not s.quiet:
            raise QueryFailure("PARTITION_ALREADY_EXISTS", "Partition already exists")

    def drop_partitions(self, s: DropPartitions) -> None:
        database, name, table = self.get(s.name)
        for partition in s.partitions:
            values = key_values(table, partition)
            try:
                self.glue.delete_partition(DatabaseName=database, TableName=name, PartitionValues=values)
            except ClientError as error:
                if error.response["Error"]["Code"] != "EntityNotFoundException" or not s.quiet:
                    raise

    def repair(self, s: Repair) -> Lines:
        """MSCK REPAIR TABLE: folders `key=value/` below the table's location that the catalog does not know yet."""
        database, name, table = self.get(s.name)
        keys = [k["Name"].lower() for k in table.get("PartitionKeys") or ()]
        if not keys:
            raise QueryFailure("FAILED", f"SemanticException: {database}.{name} is not a partitioned table")
        known = {tuple(p["Values"]) for p in self.partitions(database, name)}
        found = [(v, where) for v, where in self.folders(table, keys) if tuple(v) not in known]
        add_partitions(self.glue, database, name, found)
        texts = ["/".join(f"{k}={hive_escaped(v)}" for k, v in zip(keys, values, strict=True)) for values, _ in found]
        lines: list[str] = []
        if texts:
            lines.append("Partitions not in metastore:\t" + "\t".join(f"{name}:{t}" for t in texts))
        return Lines(lines + [f"Repair: Added partition to metastore {name}:{t}" for t in texts])

    def folders(self, table: dict[str, Any], keys: list[str]) -> Iterator[tuple[list[str], str]]:
        location = storage(table)["Location"].rstrip("/") + "/"
        bucket, prefix = s3_location(location)
        seen: set[tuple[str, ...]] = set()
        for one in self.endpoint.services["s3"].objects(bucket, prefix):  # type: ignore[attr-defined]
            parts = one.key[len(prefix) :].split("/")[: len(keys)]
            named = [p.partition("=") for p in parts]
            if len(named) < len(keys) or [n.lower() for n, _, _ in named] != keys:
                continue
            values = tuple(unquote(v) for _, _, v in named)
            if values not in seen:
                seen.add(values)
                yield list(values), location + "/".join(parts) + "/"

    def partitions(self, database: str, name: str) -> Iterator[dict[str, Any]]:
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=name)
        for page in pages:
            yield from page["Partitions"]

    # --- SHOW and DESCRIBE ------------------------------------------------------------------------------------------

    def show(self, s: Show) -> Lines:
        match s.what:
            case "DATABASES":
                pages = self.glue.get_paginator("get_databases").paginate()
                names = [d["Name"] for page in pages for d in page["DatabaseList"]]
                return Lines(matching(names, s.pattern), "database_name")
            case "TABLES" | "VIEWS":
                return self.show_tables(s)
            case "PARTITIONS":
                return self.show_partitions(s)
            case "COLUMNS":
                _, _, table = self.get(s.name)
                return Lines([f"{c['Name']:<20}" for c in all_columns(table)], "field")
            case "TBLPROPERTIES":
                return self.show_properties(s)
            case "DESCRIBE":
                return self.describe(s)
            case "CREATE VIEW":
                database, name, table = self.get(s.name)
                return Lines(
                    [f"CREATE VIEW {database}.{name} AS", *view(table, database).sql.splitlines()], "Create View"
                )
            case _:
                return self.show_create(s)

    def show_tables(self, s: Show) -> Lines:
        database = s.name[0] if s.name else self.database
        if not self.catalog.has_database(database):
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist")
        pages = self.glue.get_paginator("get_tables").paginate(DatabaseName=database)
        tables = [t for page in pages for t in page["TableList"]]
        views = s.what == "VIEWS"
        names = [t["Name"] for t in tables if not views or t.get("TableType") == "VIRTUAL_VIEW"]
        return Lines(matching(names, s.pattern), "views" if views else "tab_name")

    def show_partitions(self, s: Show) -> Lines:
        database, name, table = self.get(s.name)
        keys = [k["Name"] for k in table.get("PartitionKeys") or ()]
        if not keys:
            raise QueryFailure("FAILED", f"SemanticException: Table {name} is not a partitioned table")
        found = [
            "/".join(f"{k}={v}" for k, v in zip(keys, p["Values"], strict=True))
            for p in self.partitions(database, name)
        ]
        return Lines(sorted(found), "partition")

    def show_properties(self, s: Show) -> Lines:
        _, _, table = self.get(s.name)
        found = table.get("Parameters") or {}
        if s.pattern:
            if s.pattern not in found:
                return Lines([f"Table does not have property: {s.pattern}"], "prpt_name\tprpt_value")
            return Lines([f"{s.pattern}\t{found[s.pattern]}"], "prpt_name\tprpt_value")
        return Lines([f"{k}\t{v}" for k, v in sorted(found.items())], "prpt_name\tprpt_value")

    def describe(self, s: Show) -> Lines:
        _, _, table = self.get(s.name)

        def one(column: dict[str, Any]) -> str:
            return f"{column['Name']:<20}\t{column.get('Type', ''):<20}\t{column.get('Comment') or '':<20}"

        lines = [one(c) for c in all_columns(table)]
        if keys := table.get("PartitionKeys"):
            head = f"{'# col_name':<20}\t{'data_type':<20}\t{'comment':<20}"
            lines += ["\t \t ", "# Partition Information\t \t ", head, "\t \t ", *(one(k) for k in keys)]
        return Lines(lines, "col_name\tdata_type\tcomment")

    def show_create(self, s: Show) -> Lines:
        database, name, table = self.get(s.name)
        if table.get("TableType") == "VIRTUAL_VIEW":
            raise QueryFailure("NOT_SUPPORTED", f"{database}.{name} is a view: use SHOW CREATE VIEW")
        kept = storage(table)
        lines = [f"CREATE EXTERNAL TABLE `{database}`.`{name}`("]
        lines += commas(f"  `{c['Name']}` {c['Type']}" for c in kept["Columns"])
        lines[-1] += ")"
        if keys := table.get("PartitionKeys"):
            lines += ["PARTITIONED BY ( ", *commas(f"  `{k['Name']}` {k['Type']}" for k in keys)]
            lines[-1] += ")"
        serde = kept.get("SerdeInfo") or {}
        lines += ["ROW FORMAT SERDE ", f"  '{serde.get('SerializationLibrary', '')}' "]
        if parameters := serde.get("Parameters"):
            lines += [
                "WITH SERDEPROPERTIES ( ",
                *commas(f"  {text(k)}={text(v)}" for k, v in sorted(parameters.items())),
            ]
            lines[-1] += ") "
        lines += ["STORED AS INPUTFORMAT ", f"  '{kept.get('InputFormat', '')}' ", "OUTPUTFORMAT ",
                  f"  '{kept.get('OutputFormat', '')}'", "LOCATION"]  # fmt: skip
        lines.append(f"  {text(kept.get('Location') or '')}")
        if parameters := table.get("Parameters"):
            lines += ["TBLPROPERTIES (", *commas(f"  {text(k)}={text(v)}" for k, v in sorted(parameters.items()))]
            lines[-1] += ")"
        return Lines(lines, "createtab_stmt")


TABLE_INPUT = frozenset({
    "Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor",
    "PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters", "TargetTable",
})  # fmt: skip

Rule = Callable[[Ddl, Any], Lines | None]
RULES: dict[type, Rule] = {
    CreateDatabase: Ddl.create_database, DropDatabase: Ddl.drop_database, CreateTable: Ddl.create_table, Drop: Ddl.drop,
    CreateView: Ddl.create_view, AlterColumns: Ddl.alter_columns, SetProperties: Ddl.set_properties,
    SetLocation: Ddl.set_location, AddPartitions: Ddl.add_partitions, DropPartitions: Ddl.drop_partitions,
    Repair: Ddl.repair, Show: Ddl.show,
}  # fmt: skip


def described(column: tuple[str, str, str]) -> dict[str, str]:
    name, of, comment = column
    return {"Name": name, "Type": of} | ({"Comment": comment} if comment else {})


def all_columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    return [*(storage(table).get("Columns") or ()), *(table.get("PartitionKeys") or ())]


def text(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"


def commas(items: Iterator[str]) -> list[str]:
    """Each item with `, ` behind it, but for the last."""
    kept = list(items)
    return [f"{one}, " for one in kept[:-1]] + kept[-1:]


def key_values(table: dict[str, Any], partition: dict[str, str]) -> list[str]:
    """The values in the order of the table's keys."""
    keys = [k["Name"].lower() for k in table.get("PartitionKeys") or ()]
    if set(keys) != set(partition):
        raise QueryFailure("FAILED", f"SemanticException partition spec {partition} doesn't contain all "
                           f"({len(keys)}) partition columns")  # fmt: skip
    return [partition[k] for k in keys]


def default_location(table: dict[str, Any], values: list[str]) -> str:
    keys = [k["Name"] for k in table["PartitionKeys"]]
    folder = "/".join(f"{k}={hive_escaped(v)}" for k, v in zip(keys, values, strict=True))
    return f"{storage(table)['Location'].rstrip('/')}/{folder}/"


def matching(names: list[str], pattern: str) -> list[str]:
    """SHOW's patterns: `*` is any text, `|` is or; `%` as LIKE has it."""
    if not pattern:
        return sorted(names)
    parts = ["".join(".*" if c in "*%" else re.escape(c) for c in p) for p in pattern.split("|")]
    shape = re.compile("|".join(parts), re.IGNORECASE)
    return sorted(n for n in names if shape.fullmatch(n))
