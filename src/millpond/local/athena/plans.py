"""From a SELECT's text to a plan that a worker can run."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.local.athena.catalog import Catalog
from millpond.local.athena.failures import QueryFailure
from millpond.local.athena.grammar import parse
from millpond.local.athena.queries import Queries, final
from millpond.local.athena.scopes import Column
from millpond.local.athena.types import Type
from millpond.local.athena.workers import memory_limit
from millpond.local.service import Endpoint

THREADS = 2
GENERATED = 4_000_000  # characters of generated SQL; more means that a query explodes


@dataclass(frozen=True, slots=True)
class Planned:
    """A compiled query: `names` tells what the user called a generated column, for messages."""

    sql: str
    columns: list[Column]
    tables: list[dict[str, Any]]
    scanned: int  # bytes of the files that will be read
    names: dict[str, str]

    def for_worker(self, folder: Path) -> dict[str, Any]:
        """The JSON for worker.py, which writes its result into `folder/out`."""
        return {
            "sql": self.sql,
            "columns": [{"name": c.name, "type": shape(c.type)} for c in self.columns],
            "tables": self.tables,
            "folder": str(folder / "out"),
            "temp": str(folder / "temp"),
            "memory": memory_limit(),
            "threads": THREADS,
        }


def shape(of: Type) -> dict[str, Any]:
    """What the worker needs to write a value; zones and times are text already."""
    name = "varchar" if of.name in {"timestamp with time zone", "time", "interval year to month"} else of.name
    return {"name": name, "args": [shape(a) for a in of.args], "fields": list(of.names) if of.fields else []}


def with_path(compiler: Queries, text: str) -> set[str]:
    """The views whose "$path", the last column, is read by the generated SQL: addresses of files cost time."""
    read = set(re.findall(r"\br\d+\.c\d+\b", text))
    return {use.view for alias, (use, _) in compiler.uses.items() if f"{alias}.c{len(use.columns) - 1}" in read}


def plan(endpoint: Endpoint, sql: str, database: str, submitted: float, *, files: bool = True) -> Planned:
    """Compile a query. Raises QueryFailure, MalformedQuery. With `files=False` only names and types are settled."""
    if "\x00" in sql:
        raise QueryFailure("SYNTAX_ERROR", "A query cannot hold the character NUL")
    catalog = Catalog(endpoint)
    moment = datetime.datetime.fromtimestamp(submitted, datetime.UTC)
    now = f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}'"
    compiler = Queries(sql, now, catalog.resolve, database)
    try:
        text, columns = final(compiler.query(parse(sql), None))
        tables, scanned = catalog.plan(paths=with_path(compiler, text)) if files else ([], 0)
    except RecursionError as error:
        raise QueryFailure("STACK_OVERFLOW", "The statement is too large (stack overflow during analysis)") from error
    if len(text) > GENERATED:
        raise QueryFailure("QUERY_TOO_LARGE", "The query is too large for the local engine")
    return Planned(text, columns, tables, scanned, compiler.names)
