"""Rows between a database and Spark, without a JDBC driver: ADBC into staged Parquet to read, COPY to write.

A read streams Arrow batches into files that live as long as the run, several queries at a time when the caller asks
for parallel reads; NUMERIC becomes a decimal of its own precision (38,18 when it has none), other types that Arrow
lacks become strings. A write is one transaction: all rows or none.

Limits: PostgreSQL. MySQL, SQL Server, Oracle and Redshift raise NotImplementedError. A parallel read is not one
snapshot (nor is it on AWS).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pyspark.sql import DataFrame, SparkSession

from awsglue import _rows
from awsglue._aws import client
from awsglue._bookmark import BookmarkError, tracking
from awsglue._run import stage

URL = re.compile(
    r"jdbc:(?P<engine>[a-z]+)://(?P<host>\[[^\]]+\]|[^:/?;]+)(?::(?P<port>\d+))?/?(?P<database>[^?;]*)", re.I
)
PARALLEL = 4
PARTITIONS = 7  # AWS's default of hashpartitions


class JdbcError(Exception):
    """The database cannot be reached, asked or written; says host, port and reason, never the password."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where and who. `properties` are the Glue connection's, without the password."""

    url: str
    user: str
    password: str = field(repr=False)
    enforce_ssl: bool = False

    def part(self, name: str) -> str:
        match = URL.match(self.url)
        if match is None:
            raise JdbcError("the JDBC URL is not valid: expected jdbc:postgresql://host:port/database")
        return match[name] or ""

    @property
    def engine(self) -> str:
        return self.part("engine").lower()

    def uri(self) -> str:
        """libpq's URI, password included."""
        if self.engine not in ("postgresql", "postgres"):
            raise NotImplementedError(f"JDBC without a driver jar: {self.engine} is not carried, PostgreSQL is")
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        ssl = "?sslmode=require" if self.enforce_ssl else ""
        return f"postgresql://{who}@{self.part('host')}:{self.part('port') or 5432}/{self.part('database')}{ssl}"

    def said(self, error: BaseException) -> JdbcError:
        text = str(error).strip()
        if self.password:
            text = text.replace(self.password, "***")
        return JdbcError(f"{self.part('host')}:{self.part('port') or 5432}: {text}")


def of_connection(name: str, catalog_id: str | None = None) -> Database:
    """The database behind a Glue connection, with its secret."""
    connection = client("glue").get_connection(Name=name, HidePassword=False)["Connection"]
    given = connection["ConnectionProperties"]
    user, password = given.get("USERNAME", ""), given.get("PASSWORD", "")
    if secret := given.get("SECRET_ID"):
        found = json.loads(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
        user, password = found["username"], found["password"]
    enforce = given.get("JDBC_ENFORCE_SSL", "false").lower() == "true"
    return Database(given["JDBC_CONNECTION_URL"], user, password, enforce)


def of_options(options: Mapping[str, Any]) -> Database:
    """The database of connection_options: `connectionName` with `useConnectionProperties`, or url, user, password."""
    if options.get("connectionName") and str(options.get("useConnectionProperties", "true")).lower() == "true":
        return of_connection(options["connectionName"])
    if missing := [name for name in ("url", "user", "password") if name not in options]:
        raise ValueError(f"connection_options lack {', '.join(missing)}")
    return Database(options["url"], options["user"], options["password"])


def in_database(found: Database, name: str | None) -> Database:
    """The same server, another database."""
    if not name or name == found.part("database"):
        return found
    match = URL.match(found.url)
    assert match is not None
    start = match.start("database")
    head = found.url[:start] if found.url[start - 1] == "/" else f"{found.url[:start]}/"
    return replace(found, url=f"{head}{name}{found.url[match.end('database') :]}")


def conf(name: str, catalog_id: str | None = None) -> dict[str, Any]:
    """extract_jdbc_conf."""
    database = of_connection(name, catalog_id)
    port = f":{database.part('port')}" if database.part("port") else ""
    return {
        "user": database.user,
        "password": database.password,
        "vendor": database.engine,
        "url": f"jdbc:{database.engine}://{database.part('host')}{port}",
        "fullUrl": database.url,
        "enforceSSL": str(database.enforce_ssl).lower(),
        "skipCustomJDBCCertValidation": "false",
        "customJDBCCert": "",
        "customJDBCCertString": "",
    }


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


# ---- what a query gives

# By PostgreSQL's type OID: how to select it so that Arrow has it. What is not listed is selected as text.
AS_IS = frozenset(
    {16, 17, 20, 21, 23, 25, 700, 701, 1042, 1043, 1082, 1114, 1184, 1000, 1005, 1007, 1009, 1015, 1016, 1022}
)
NUMERIC = 1700
SELECTED = {26: "({})::bigint", 790: "({})::numeric::float8", 1560: "({0})::text"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query: how to select it, and the decimal that it becomes (NUMERIC only)."""

    name: str
    expression: str
    decimal: tuple[int, int] | None = None


def describe(db: Any, source: str) -> list[Column]:
    """The columns of a table or query."""
    with db.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {source} LIMIT 0")
        return [_column(one) for one in cursor.description or []]


def _column(said: Any) -> Column:
    name = quoted(said.name)
    if said.type_code == NUMERIC:
        precision, scale = (said.precision, said.scale or 0) if said.precision else (38, 18)
        return Column(said.name, f"{name}::text", (min(precision, 38), scale))
    if said.type_code in AS_IS:
        return Column(said.name, name)
    if said.type_code == 1560 and said.display_size == 1:
        return Column(said.name, f"({name} = B'1')")
    return Column(said.name, SELECTED.get(said.type_code, "({})::text").format(name))


def read(spark: SparkSession, database: Database, source: str, options: Mapping[str, Any], context: str) -> DataFrame:
    """All rows of `source` (a table, or a query in parentheses), or those behind the bookmark."""
    import psycopg
    from pyspark.sql.pandas.types import from_arrow_schema

    if query := options.get("sampleQuery"):
        source = f"({query.rstrip(';')})"
    source = f"{source} AS source" if source.startswith("(") and not re.search(r"\)\s+\w+\s*$", source) else source
    try:
        with psycopg.connect(database.uri(), connect_timeout=10, application_name="glue") as db:
            columns = describe(db, source)
            where = _behind_bookmark(db, source, options, context)
    except psycopg.Error as error:
        raise database.said(error) from None
    wanted = ", ".join(f"{one.expression} AS {quoted(one.name)}" for one in columns)
    queries = [
        f"SELECT {wanted} FROM {source}" + (f" WHERE {' AND '.join(part)}" if part else "")
        for part in ([*where, *hashed] for hashed in _parallel(options))
    ]
    target = stage("jdbc")
    with ThreadPoolExecutor(min(PARALLEL, len(queries))) as pool:
        files = [target / f"part-{number:05d}.parquet" for number in range(len(queries))]
        done = list(
            pool.map(lambda pair: _fetch(database, pair[0], columns, pair[1]), zip(queries, files, strict=True))
        )
    _rows.jdbc_read(sum(count for count, _ in done))
    return spark.read.schema(from_arrow_schema(done[0][1])).parquet(f"file://{target}")


def _parallel(options: Mapping[str, Any]) -> list[list[str]]:
    """One condition for each of the queries that read in parallel (hashfield or hashexpression)."""
    if name := options.get("hashfield"):
        number = f"hashtext({quoted(name)}::text)"
    elif expression := options.get("hashexpression"):
        number = f"({expression})"
    else:
        return [[]]
    count = int(options.get("hashpartitions", PARTITIONS))
    bucket = f"mod(abs(coalesce({number}::bigint, 0)), {count})"
    return [[f"{bucket} = {part}"] for part in range(count)]


def _fetch(database: Database, query: str, columns: Sequence[Column], path: Path) -> tuple[int, Any]:
    """Stream one query into a Parquet file; returns the number of rows and the schema."""
    import adbc_driver_manager
    import adbc_driver_postgresql.dbapi as adbc
    import pyarrow.parquet as pq

    try:
        with adbc.connect(database.uri()) as db, db.cursor() as cursor:
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            schema, rows = _schema(reader.schema, columns), 0
            with pq.ParquetWriter(path, schema, compression="snappy") as writer:
                for batch in reader:
                    writer.write_batch(_cast(batch, schema))
                    rows += batch.num_rows
            return rows, schema
    except adbc_driver_manager.Error as error:
        raise database.said(error) from None


def _schema(found: Any, columns: Sequence[Column]) -> Any:
    import pyarrow as pa

    fields = []
    for one, column in zip(found, columns, strict=True):
        kind = one.type
        if column.decimal:
            kind = pa.decimal128(*column.decimal)
        elif pa.types.is_timestamp(kind):
            kind = pa.timestamp("us", "UTC")  # Glue's clock is UTC; Spark's timestamp is an instant
        fields.append(pa.field(one.name, kind, one.nullable))
    return pa.schema(fields)


def _cast(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    columns = [
        column if column.type == kind else _as_instant(column, kind)
        for column, kind in zip(batch.columns, schema.types, strict=True)
    ]
    return pa.record_batch(columns, schema=schema)


def _as_instant(column: Any, kind: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return pc.assume_timezone(column.cast(pa.timestamp("us")), "UTC")
    return column.cast(kind)


# ---- bookmarks


def _behind_bookmark(db: Any, source: str, options: Mapping[str, Any], context: str) -> list[str]:
    """Conditions that select what the bookmark has not seen, and note how far this run reads. The bound comes first,
    so that rows which arrive meanwhile are the next run's."""
    bookmark = tracking(context)
    if bookmark is None:
        return []
    keys = options.get("jobBookmarkKeys") or []
    keys = [keys] if isinstance(keys, str) else list(keys)
    order = options.get("jobBookmarkKeysSortOrder") or options.get("jobBookmarksKeysSortOrder") or "asc"
    if order not in ("asc", "desc"):
        raise ValueError(f"jobBookmarkKeysSortOrder must be asc or desc, not {order!r}")
    keys = keys or _sequential_key(db, source)
    if not keys:
        print(f"warning: bookmark {context}: {source} has no sequential primary key and no jobBookmarkKeys: read whole")
        return []
    low, high = bookmark.marks(context)
    if low and low.get("keys") != keys:
        raise BookmarkError(f"bookmark {context} was kept with keys {low.get('keys')}, not {keys}: reset it")
    bound = high if high is not None else _bound(db, source, keys, order)
    names = ", ".join(quoted(key) for key in keys)
    conditions = []
    if low:
        conditions.append(f"({names}) {'>' if order == 'asc' else '<'} ({_values(low)})")
    if bound:
        conditions.append(f"({names}) {'<=' if order == 'asc' else '>='} ({_values(bound)})")
        bookmark.note(context, bound)
    else:
        conditions.append("false")  # the table is empty, or the range that was asked for is
    return conditions


def _values(marks: Mapping[str, Any]) -> str:
    return ", ".join(f"{text(value)}::{kind}" for value, kind in zip(marks["values"], marks["types"], strict=True))


def _bound(db: Any, source: str, keys: Sequence[str], order: str) -> dict[str, Any]:
    """The last key that this run reads, as marks; nothing when there is no row."""
    names = [quoted(key) for key in keys]
    way = "DESC" if order == "asc" else "ASC"
    # Ordered inside: beside `key::text` a bare key would mean that output column, whose text sorts 99999 over 200000.
    last = (
        f"SELECT {', '.join(names)} FROM {source} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in names)}"
        f" ORDER BY {', '.join(f'{name} {way}' for name in names)} LIMIT 1"
    )
    query = f"SELECT {', '.join(f'{name}::text, pg_typeof({name})::text' for name in names)} FROM ({last}) AS last"
    row = db.execute(query).fetchone()
    if row is None:
        return {}
    return {"kind": "jdbc", "keys": list(keys), "order": order, "values": list(row[::2]), "types": list(row[1::2])}


def _sequential_key(db: Any, source: str) -> list[str]:
    """The primary key, when it is one whole number without gaps (AWS's rule for the default key)."""
    if source.startswith("("):
        return []
    rows = db.execute(
        "SELECT a.attname, a.atttypid FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
        " AND a.attnum = ANY (i.indkey) WHERE i.indrelid = to_regclass(%s) AND i.indisprimary",
        (source,),
    ).fetchall()
    if len(rows) != 1 or rows[0][1] not in (20, 21, 23):
        return []
    name = quoted(rows[0][0])
    (whole,) = db.execute(f"SELECT count(*) = max({name}) - min({name}) + 1 FROM {source}").fetchone()
    return [rows[0][0]] if whole is not False else []


# ---- writing

CREATED = {
    "string": "text",
    "int": "integer",
    "bigint": "bigint",
    "smallint": "smallint",
    "tinyint": "smallint",
    "double": "double precision",
    "float": "real",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
}


def write(frame: DataFrame, database: Database, table: str) -> None:
    """Append a frame to a table, in one transaction; makes the table when it is not there."""
    import psycopg
    import pyarrow.dataset as ds

    kinds = {one.name: _created(one.name, one.dataType.simpleString()) for one in frame.schema.fields}
    target = stage("rows") / "rows"
    frame.write.parquet(f"file://{target}")
    name = table if '"' in table else ".".join(quoted(part) for part in table.split("."))
    try:
        with psycopg.connect(database.uri(), connect_timeout=10, application_name="glue") as db:
            columns = _columns_of(db, name)
            if not columns:
                fields = ", ".join(f"{quoted(column)} {kind}" for column, kind in kinds.items())
                db.execute(f"CREATE TABLE {name} ({fields})")
                columns = list(kinds)
            spelled = {column.lower(): column for column in columns}
            if unknown := [column for column in kinds if column.lower() not in spelled]:
                raise ValueError(f"table {table} has no column {', '.join(unknown)}")
            into = ", ".join(quoted(column if column in columns else spelled[column.lower()]) for column in kinds)
            with db.cursor() as cursor, cursor.copy(f"COPY {name} ({into}) FROM STDIN (FORMAT csv)") as copy:
                for batch in ds.dataset(target, format="parquet").to_batches(columns=list(kinds)):
                    copy.write(_csv(batch))
    except psycopg.Error as error:
        raise database.said(error) from None


def _created(column: str, kind: str) -> str:
    if kind.startswith("decimal"):
        return kind.replace("decimal", "numeric")
    if kind not in CREATED:
        raise NotImplementedError(f"column {column} of type {kind} cannot be written to a database")
    return CREATED[kind]


def _columns_of(db: Any, table: str) -> list[str]:
    rows = db.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        (table,),
    )
    return [row[0] for row in rows.fetchall()]


def _csv(batch: Any) -> bytes:
    """CSV as COPY reads it: null is nothing, an empty string is quoted."""
    import pyarrow.csv as csv

    into = io.BytesIO()
    csv.write_csv(batch, into, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return into.getvalue()
