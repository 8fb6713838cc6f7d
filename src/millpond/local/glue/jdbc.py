"""Relational databases behind JDBC URLs: where they are, and their own description of tables and columns.

PostgreSQL goes through psycopg, MySQL and MariaDB through PyMySQL; other engines are refused by name. Only metadata is
read here, never a row. Every error names host, port and the database's reason; none shows the password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from millpond.errors import MillpondError

CONNECT_SECONDS = 10
PORTS = {"postgresql": 5432, "mysql": 3306}
ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}
URL = re.compile(
    r"jdbc:(?P<engine>[a-z]+)://(?P<host>\[[0-9a-fA-F:]+\]|[^:/?\[\]]+)(?::(?P<port>\d{1,5}))?"
    r"/(?P<database>[^?;]*)(?:[?;].*)?",
    re.IGNORECASE,
)


class JdbcError(MillpondError):
    """The database cannot be reached or asked."""


@dataclass(frozen=True, slots=True)
class JdbcTarget:
    """A database and who asks: `engine` is `postgresql` or `mysql`."""

    engine: str
    host: str
    port: int
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    ssl: bool = False  # refuse a connection without TLS (JDBC_ENFORCE_SSL)

    def __str__(self) -> str:
        return f"{self.engine} at {self.host}:{self.port}, database {self.database}"


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
    match = URL.fullmatch(url.strip())
    if match is None:
        raise JdbcError("the JDBC URL is not valid: expected jdbc:postgresql://host:port/database or jdbc:mysql://...")
    engine = ALIASES.get(match["engine"].lower(), match["engine"].lower())
    if engine not in PORTS:
        raise JdbcError(f"the engine {engine} is not carried here; PostgreSQL and MySQL are")
    port = int(match["port"] or PORTS[engine])
    if not 0 < port < 65536:
        raise JdbcError(f"{port} is not a port")
    return JdbcTarget(engine, match["host"].strip("[]"), port, unquote(match["database"]), user, password, ssl)


@contextmanager
def session(target: JdbcTarget) -> Iterator[Any]:
    """A DB-API connection, closed at the end. JdbcError with host, port and reason, also for errors in the block."""
    import psycopg
    import pymysql

    try:
        with closing(_connect(target)) as db:
            yield db
    except (psycopg.Error, pymysql.Error, OSError) as error:
        raise JdbcError(f"{target.host}:{target.port}: {reason(target, error)}") from None


def _connect(target: JdbcTarget) -> Any:
    if target.engine == "postgresql":
        import psycopg

        return psycopg.connect(
            host=target.host,
            port=target.port,
            dbname=target.database or "postgres",
            user=target.user,
            password=target.password,
            connect_timeout=CONNECT_SECONDS,
            application_name="millpond",
            sslmode="require" if target.ssl else "prefer",
            autocommit=True,
        )
    import pymysql

    return pymysql.connect(
        host=target.host,
        port=target.port,
        database=target.database or None,
        user=target.user,
        password=target.password,
        connect_timeout=CONNECT_SECONDS,
        ssl={"check_hostname": False} if target.ssl else None,
    )


def reason(target: JdbcTarget, error: BaseException) -> str:
    """What the driver said, in one line, without the password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(target.password, "***") if target.password else text


def probe(target: JdbcTarget) -> None:
    """Connect and ask for nothing: TestConnection. JdbcError when it does not work."""
    with session(target) as db, closing(db.cursor()) as cursor:
        cursor.execute("SELECT 1")


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
        return "binary"
    found = MYSQL_TYPES.get(name, "string")
    return UNSIGNED.get(found, found) if "unsigned" in raw.lower() else found


def _decimal(arguments: str | None, default: str) -> str:
    if not arguments:
        return default
    precision, _, scale = arguments.partition(",")
    digits, behind = min(int(precision), 38), int(scale or 0)
    return f"decimal({digits},{max(0, min(behind, digits))})"


def relations(target: JdbcTarget) -> Iterator[Relation]:
    """All tables and views that the user may see described, by schema and name. JdbcError."""
    postgres = target.engine == "postgresql"
    with session(target) as db, closing(db.cursor()) as cursor:
        if postgres:
            cursor.execute(POSTGRES_RELATIONS)
        else:
            cursor.execute(MYSQL_RELATIONS, (target.database,))
        rows = cursor.fetchall()
    hive = postgres_type if postgres else mysql_type
    found: dict[tuple[str, str], tuple[str, str, list[Column]]] = {}
    for schema, name, kind, comment, column, raw, said, typtype, base in rows:
        columns = found.setdefault((schema, name), (kind, comment, []))[2]
        if column is not None:
            of_domain = base if typtype == "d" and base else raw
            columns.append(Column(column, hive(of_domain), raw, said))
    for (schema, name), (kind, comment, columns) in found.items():
        yield Relation(schema, name, kind, tuple(columns), comment)
