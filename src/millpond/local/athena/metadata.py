"""Tables that describe tables: `information_schema` and `"orders$partitions"`.

Each is a view over VALUES that are read from the Glue catalog when the query names it; the compiler treats its text as
it treats the text of any view, so that no other road to the engine exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.queries import ViewUse
from millpond.local.athena.types import Type, literal, parse

CATALOG = "awsdatacatalog"
TEXT = Type("varchar")
ROWS = 20_000  # more would make a text that no parser should read

INFORMATION: dict[str, tuple[tuple[str, str], ...]] = {
    "schemata": (("catalog_name", "varchar"), ("schema_name", "varchar")),
    "tables": (("table_catalog", "varchar"), ("table_schema", "varchar"), ("table_name", "varchar"),
               ("table_type", "varchar")),
    "columns": (("table_catalog", "varchar"), ("table_schema", "varchar"), ("table_name", "varchar"),
                ("column_name", "varchar"), ("ordinal_position", "bigint"), ("column_default", "varchar"),
                ("is_nullable", "varchar"), ("data_type", "varchar"), ("comment", "varchar"),
                ("extra_info", "varchar")),
    "views": (("table_catalog", "varchar"), ("table_schema", "varchar"), ("table_name", "varchar"),
              ("view_definition", "varchar")),
}  # fmt: skip


def information_schema(glue: Any, name: str) -> ViewUse:
    """`information_schema.tables` and its siblings."""
    if name not in INFORMATION:
        raise QueryFailure("TABLE_NOT_FOUND", f"Table '{CATALOG}.information_schema.{name}' does not exist")
    rows = {"schemata": schemata, "tables": tables, "columns": columns, "views": views}[name](glue)
    return view([(n, parse(t)) for n, t in INFORMATION[name]], rows)


def partitions(glue: Any, database: str, table: dict[str, Any]) -> ViewUse:
    """`"orders$partitions"`: one row a partition, its keys typed."""
    keys = table.get("PartitionKeys") or []
    if not keys:
        raise QueryFailure("TABLE_NOT_FOUND", f"Table '{CATALOG}.{database}.{table['Name']}$partitions' does not exist")
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table["Name"])
    rows = (
        [None if v == "__HIVE_DEFAULT_PARTITION__" else v for v in p["Values"]]
        for page in pages
        for p in page["Partitions"]
    )
    return view([(k["Name"].lower(), parse(k.get("Type") or "string")) for k in keys], rows)


def view(shape: Sequence[tuple[str, Type]], rows: Iterable[Sequence[str | None]]) -> ViewUse:
    """SELECT over VALUES; every value travels as a quoted text and is cast to its column's type."""
    names = ", ".join('"' + n.replace('"', '""') + '"' for n, _ in shape)
    lines = [f"({', '.join('NULL' if v is None else literal(v) for v in row)})" for row in rows]
    if len(lines) > ROWS:
        raise QueryFailure("NOT_SUPPORTED", f"More than {ROWS} rows of metadata are not supported by the local engine")
    some = ", ".join(lines) or f"({', '.join('NULL' for _ in shape)})"
    items = ", ".join(
        f'CAST("{n.replace(chr(34), chr(34) * 2)}" AS {t}) AS "{n.replace(chr(34), chr(34) * 2)}"' for n, t in shape
    )
    tail = "" if lines else " WHERE false"
    return ViewUse(f"SELECT {items} FROM (VALUES {some}) AS v ({names}){tail}", "default")


def databases(glue: Any) -> Iterator[str]:
    for page in glue.get_paginator("get_databases").paginate():
        yield from (d["Name"] for d in page["DatabaseList"])


def every(glue: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for database in databases(glue):
        for page in glue.get_paginator("get_tables").paginate(DatabaseName=database):
            yield from ((database, t) for t in page["TableList"])


def schemata(glue: Any) -> Iterator[list[str | None]]:
    yield [CATALOG, "information_schema"]
    for name in databases(glue):
        yield [CATALOG, name]


def tables(glue: Any) -> Iterator[list[str | None]]:
    for name in INFORMATION:
        yield [CATALOG, "information_schema", name, "BASE TABLE"]
    for database, table in every(glue):
        kind = "VIEW" if table.get("TableType") == "VIRTUAL_VIEW" else "BASE TABLE"
        yield [CATALOG, database, table["Name"], kind]


def columns(glue: Any) -> Iterator[list[str | None]]:
    for database, table in every(glue):
        own = (table.get("StorageDescriptor") or {}).get("Columns") or []
        keys = table.get("PartitionKeys") or []
        for number, column in enumerate([*own, *keys], 1):
            try:
                shown = str(parse(column.get("Type") or "string"))
            except QueryFailure:
                shown = column.get("Type") or ""  # a type that Athena cannot read is shown as it stands
            extra = "partition key" if number > len(own) else None
            yield [CATALOG, database, table["Name"], column["Name"], str(number), None, "YES", shown,
                   column.get("Comment"), extra]  # fmt: skip


def views(glue: Any) -> Iterator[list[str | None]]:
    for database, table in every(glue):
        if table.get("TableType") == "VIRTUAL_VIEW":
            yield [CATALOG, database, table["Name"], table.get("ViewOriginalText")]
