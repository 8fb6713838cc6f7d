"""Relational databases as crawlers and TestConnection see them: their own description of tables, never a row.

Where they are and how they are reached is said in awsglue/_databases.py: PostgreSQL, MySQL and MariaDB, SQLite; another
engine is refused by name. Every error names host, port and the database's reason; none shows the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from awsglue import _databases
from awsglue._databases import Database as JdbcTarget
from awsglue._databases import rows
from millpond.errors import MillpondError

__all__ = ["Column", "JdbcError", "JdbcTarget", "Relation", "parse_url", "probe", "relations"]


class JdbcError(MillpondError):
    """The database cannot be reached or asked."""


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is Hive's, `raw` the database's own spelling."""

    name: str
    type: str
    raw: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view; `schema` is empty for engines without schemas."""

    schema: str
    name: str
    kind: str  # table or view
    columns: tuple[Column, ...]
    comment: str = ""


def parse_url(url: str, *, user: str = "", password: str = "", ssl: bool = False) -> JdbcTarget:
    """The target of a JDBC URL; JdbcError for another form or an engine that is not carried."""
    try:
        found = _databases.parse_url(url, user=user, password=password, ssl=ssl)
    except _databases.JdbcError as error:
        raise JdbcError(str(error)) from None
    if not found.carried:
        text = f"the engine {found.engine} is not carried here without its driver: expected {_databases.FORMS}"
        raise JdbcError(text)
    return found


@contextmanager
def session(target: JdbcTarget) -> Iterator[Any]:
    """A DB-API connection, closed at the end. JdbcError with host, port and reason, also for errors in the block."""
    try:
        with _databases.session(target) as db:
            yield db
    except _databases.JdbcError as error:
        raise JdbcError(str(error)) from None


def probe(target: JdbcTarget) -> None:
    """Connect and ask for nothing: TestConnection. JdbcError when it does not work."""
    with session(target) as db:
        rows(db, "SELECT count(*) FROM sqlite_master" if target.engine == "sqlite" else "SELECT 1")


# -- descriptions ----------------------------------------------------------------------------------------------------

POSTGRES_RELATIONS = """
SELECT n.nspname, c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END,
       coalesce(obj_description(c.oid, 'pg_class'), ''),
       a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), ''),
       t.typtype, format_type(nullif(t.typbasetype, 0), t.typtypmod)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2, a.attnum
"""

MYSQL_RELATIONS = """
SELECT '', t.table_name, CASE WHEN t.table_type LIKE '%%VIEW' THEN 'view' ELSE 'table' END, t.table_comment,
       c.column_name, c.column_type, c.column_comment, '', NULL
FROM information_schema.tables t
JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name
WHERE t.table_schema = %s
ORDER BY t.table_name, c.ordinal_position
"""

SQLITE_RELATIONS = """
SELECT '', m.name, m.type, '', c.name, c.type, '', '', NULL
FROM sqlite_master m JOIN pragma_table_info(m.name) c
WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
ORDER BY m.name, c.cid
"""

# format_type() without its arguments -> Hive's type; what is not listed is a string.
POSTGRES_TYPES = {
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "oid": "bigint",
    "real": "float",
    "double precision": "double",
    "money": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamp",
    "timestamp": "timestamp",
    "bytea": "binary",
}

MYSQL_TYPES = {
    "tinyint": "tinyint",
    "smallint": "smallint",
    "mediumint": "int",
    "int": "int",
    "bigint": "bigint",
    "float": "float",
    "double": "double",
    "bit": "boolean",
    "date": "date",
    "datetime": "timestamp",
    "timestamp": "timestamp",
    "year": "int",
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "binary"),
}
SQLITE_TYPES = (
    (("bool",), "boolean"),
    (("timestamp", "datetime"), "timestamp"),
    (("date",), "date"),
    (("int",), "bigint"),
    (("char", "clob", "text"), "string"),
    (("blob",), "binary"),
    (("real", "floa", "doub"), "double"),
)
UNSIGNED = {"tinyint": "smallint", "smallint": "int", "int": "bigint", "bigint": "decimal(20,0)"}

ARGUMENTS = re.compile(r"^(?P<name>[^(]+?)\s*(?:\((?P<arguments>[^)]*)\))?(?P<rest>[^()]*)$")


def postgres_type(raw: str) -> str:
    """Hive's type for what `format_type` says: `numeric(10,2)` -> `decimal(10,2)`, `integer[]` -> `array<int>`."""
    if raw.endswith("[]"):
        return f"array<{postgres_type(raw[:-2])}>"
    match = ARGUMENTS.match(raw)
    if match is None:
        return "string"
    name = match["name"] + match["rest"]
    if name == "numeric":
        return _decimal(match["arguments"], "decimal(38,18)")  # unlimited: as Spark's JDBC source reads it
    if name == "bit" and match["arguments"] in (None, "1"):
        return "boolean"
    return POSTGRES_TYPES.get(name, "string")


def mysql_type(raw: str) -> str:
    """Hive's type for information_schema's `column_type`: `int unsigned` -> `bigint`, `tinyint(1)` -> `boolean`."""
    match = ARGUMENTS.match(raw.lower())
    if match is None:
        return "string"
    name, arguments = (match["name"] + match["rest"]).split()[0], match["arguments"]
    if name in ("decimal", "numeric"):
        return _decimal(arguments, "decimal(10,0)")
    if name == "tinyint" and arguments == "1":
        return "boolean"
    if name == "bit" and arguments not in (None, "1"):
        return "bigint"  # as Spark's JDBC source reads it
    found = MYSQL_TYPES.get(name, "string")
    return UNSIGNED.get(found, found) if "unsigned" in raw.lower() and name != "mediumint" else found


def _decimal(arguments: str | None, default: str) -> str:
    if not arguments:
        return default
    precision, _, scale = arguments.partition(",")
    digits, behind = min(int(precision), 38), int(scale or 0)
    return f"decimal({digits},{max(0, min(behind, digits))})"


def sqlite_type(raw: str) -> str:
    """Hive's type for a declared type of SQLite, by its rules of affinity and the names that JDBC gives a meaning."""
    low = raw.lower()
    if match := re.match(r"(?:decimal|numeric)\s*(?:\((?P<arguments>[^)]*)\))?", low):
        return _decimal(match["arguments"], "decimal(38,18)")
    return next((kind for words, kind in SQLITE_TYPES if any(word in low for word in words)), "string")


def relations(target: JdbcTarget) -> Iterator[Relation]:
    """All tables and views that the user may see described, by schema and name. JdbcError."""
    query, hive = {
        "postgresql": (POSTGRES_RELATIONS, postgres_type),
        "mysql": (MYSQL_RELATIONS, mysql_type),
        "sqlite": (SQLITE_RELATIONS, sqlite_type),
    }[target.engine]
    with session(target) as db:
        described = rows(db, query, (target.database,) if target.engine == "mysql" else ())
    found: dict[tuple[str, str], tuple[str, str, list[Column]]] = {}
    for schema, name, kind, comment, column, raw, said, typtype, base in described:
        columns = found.setdefault((schema, name), (kind, comment, []))[2]
        if column is not None:
            of_domain = base if typtype == "d" and base else raw
            columns.append(Column(column, hive(of_domain), raw, said))
    for (schema, name), (kind, comment, columns) in found.items():
        yield Relation(schema, name, kind, tuple(columns), comment)
