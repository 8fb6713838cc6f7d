"""Relational databases: what a JDBC URL says, and a DB-API connection to it. No Spark; the endpoint uses this, too.

    jdbc:postgresql://host:5432/db      psycopg
    jdbc:mysql://host:3306/db           PyMySQL; jdbc:mariadb:// is the same
    jdbc:sqlite:/path/of/the/file.db    sqlite3

Other engines' URLs (SQL Server, Oracle, ...) are understood as far as host and port; `carried` is False for them.
Every error names place and reason, none shows the password. Times are UTC on all connections.
"""

from __future__ import annotations

import errno
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

CONNECT_SECONDS = 10
PORTS = {"postgresql": 5432, "mysql": 3306, "sqlserver": 1433, "oracle": 1521, "redshift": 5439}
ALIASES = {"postgres": "postgresql", "mariadb": "mysql"}
CARRIED = ("postgresql", "mysql", "sqlite")
FORMS = "jdbc:postgresql://host:port/database, jdbc:mysql://host:port/database or jdbc:sqlite:/path"
URL = re.compile(
    r"jdbc:(?P<engine>[a-z0-9]+):(?:thin:(?:@(?://)?|//@)|(?:[a-z0-9]+:)?//)"
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:/?;@,\[\]\s]+)"
    r"(?::(?P<port>\d{1,5}))?(?:[:/](?P<database>[^?;/]*))?(?P<rest>[?;].*)?",
    re.IGNORECASE,
)


class JdbcError(Exception):
    """The database cannot be reached, asked or written; says host, port and reason, never the password."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database and who asks: `engine` is `postgresql`, `mysql`, `sqlite`, or what else the URL says.

    Of SQLite, `host` is the file's path and `port` 0; `database` is the file's name without its ending.
    """

    engine: str
    host: str
    port: int
    database: str
    user: str = ""
    password: str = field(default="", repr=False)
    ssl: bool = False  # refuse a connection without TLS (JDBC_ENFORCE_SSL)
    url: str = ""
    parameters: tuple[tuple[str, str], ...] = ()  # what the URL says behind ? or ;
    connection: str = ""  # the Glue connection that it was found through

    def __str__(self) -> str:
        return f"{self.engine} at {self.place}, database {self.database}"

    @property
    def place(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @property
    def carried(self) -> bool:
        """Whether the database is reached without a JDBC driver."""
        return self.engine in CARRIED

    def parameter(self, name: str) -> str:
        """A parameter of the URL, its name in any case; empty when it is not there."""
        return next((value for key, value in self.parameters if key.lower() == name.lower()), "")

    def uri(self) -> str:
        """libpq's URI, password included (PostgreSQL only)."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        asked = self.parameter("sslmode") or ("require" if self.parameter("ssl").lower() == "true" else "prefer")
        mode = "require" if self.ssl and asked in ("disable", "allow", "prefer") else asked
        given = f"sslmode={quote(mode, safe='')}&connect_timeout={CONNECT_SECONDS}"
        if schema := self.parameter("currentSchema"):
            given += f"&options={quote(f'-csearch_path={schema}', safe='')}"
        return f"postgresql://{who}@{host}:{self.port}/{quote(self.database or 'postgres', safe='')}?{given}"

    def named(self, database: str | None) -> Database:
        """The same server, another database."""
        if not database or database == self.database or self.engine == "sqlite":
            return self
        match = URL.fullmatch(self.url)
        if match is None or match["database"] is None:
            raise ValueError(f"{self.place}: the URL names no database that {database} could take the place of")
        url = self.url[: match.start("database")] + database + self.url[match.end("database") :]
        return replace(self, database=database, url=url)

    def error(self, error: BaseException) -> JdbcError:
        """What the driver said, in one line, with the place and without the password."""
        text = " ".join(str(error).split()) or type(error).__name__
        if len(error.args) == 2 and isinstance(error.args[0], int):  # MySQL: number, text
            text = f"{' '.join(str(error.args[1]).split())} ({error.args[0]})"
        for secret in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(secret, "***")
        return JdbcError(f"{self.place}: {text}")


def parse_url(url: str, *, user: str = "", password: str = "", ssl: bool = False) -> Database:
    """The database of a JDBC URL; JdbcError when it has no known form. The URL is never in the message."""
    url = url.strip()
    if url.lower().startswith("jdbc:sqlite:"):
        path = unquote(url[len("jdbc:sqlite:") :].partition("?")[0]).removeprefix("file:")
        if not Path(path).is_absolute():
            raise JdbcError("the JDBC URL of an SQLite file must have its absolute path: jdbc:sqlite:/path/of/file.db")
        return Database("sqlite", path, 0, Path(path).stem, user, password, url=url)
    match = URL.fullmatch(url)
    if match is None:
        raise JdbcError(f"the JDBC URL is not valid: expected {FORMS}")
    engine = ALIASES.get(match["engine"].lower(), match["engine"].lower())
    port = int(match["port"] or PORTS.get(engine, 0))
    if match["port"] and not 0 < port < 65536:
        raise JdbcError(f"{port} is not a port")
    rest = match["rest"] or ""
    pairs = tuple(parse_qsl(rest[1:], separator=rest[0], keep_blank_values=True)) if rest else ()
    database = Database(engine, match["host"].strip("[]"), port, unquote(match["database"] or ""), url=url)
    database = replace(database, user=user, password=password, ssl=ssl, parameters=pairs)
    if not database.database and (named := database.parameter("databaseName") or database.parameter("database")):
        return replace(database, database=named)
    return database


def credentials(secret: str) -> tuple[str, str]:
    """User and password of a secret's text. ValueError when it is not a JSON object that has them."""
    try:
        found = json.loads(secret)
        return str(found["username"]), str(found["password"])
    except (ValueError, KeyError, TypeError):
        raise ValueError("is not a JSON object with username and password") from None


def connect(database: Database, *, write: bool = False, **more: Any) -> Any:
    """A DB-API connection, in a transaction. Raises what the driver raises: see `explained`."""
    if database.engine == "postgresql":
        import psycopg

        return psycopg.connect(database.uri(), application_name="glue", **more)
    if database.engine == "mysql":
        return _mysql(database, more)
    if database.engine == "sqlite":
        mode = "rw" if write else "ro"  # a file that is not there is an error, not an empty database
        return sqlite3.connect(f"file:{quote(database.host)}?mode={mode}", uri=True, timeout=CONNECT_SECONDS)
    raise NotImplementedError(f"the engine {database.engine} is not carried without a JDBC driver")


def _mysql(database: Database, more: dict[str, Any]) -> Any:
    import pymysql

    required = database.ssl or database.parameter("sslMode").upper() in ("REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
    required = required or "true" in (database.parameter("useSSL").lower(), database.parameter("requireSSL").lower())
    return pymysql.connect(
        host=database.host,
        port=database.port,
        database=database.database or None,
        user=database.user,
        password=database.password.encode(),
        charset="utf8mb4",
        connect_timeout=CONNECT_SECONDS,
        ssl={"check_hostname": False} if required else None,
        init_command="SET time_zone = '+00:00'",
        **more,
    )


@contextmanager
def explained(database: Database) -> Iterator[None]:
    """Errors of the database in the block become JdbcError."""
    import psycopg
    import pymysql

    try:
        yield
    except (psycopg.Error, pymysql.Error, sqlite3.Error, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:  # the rows are staged on a disk of ours, which is full
            raise
        raise database.error(error) from None


@contextmanager
def session(database: Database, *, write: bool = False) -> Iterator[Any]:
    """A connection: committed at the end of the block when it is for writing, and closed. JdbcError."""
    with explained(database), closing(connect(database, write=write)) as db:
        yield db
        if write:
            db.commit()


def rows(db: Any, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with closing(db.cursor()) as cursor:
        cursor.execute(query, parameters) if parameters else cursor.execute(query)
        return list(cursor.fetchall())
