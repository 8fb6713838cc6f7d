"""Rows between a database and Spark. Without a JDBC driver: staged Parquet to read, one transaction to write.

A read streams Arrow batches into files that live as long as the run, several queries at a time when the caller asks
for parallel reads (AWS, "Reading from JDBC tables in parallel"). A write is one transaction: all rows or none.
PostgreSQL, MySQL, MariaDB and SQLite are reached so (_dialects.py). Other engines go through Spark's JDBC source with
the driver's jar, which the user gives (`--extra-jars`, or customJdbcDriverS3Path and customJdbcDriverClassName): no
bookmark there, and a write is as atomic as Spark's.

Limits: no Redshift. A parallel read is not one snapshot (nor is it on AWS).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession

from awsglue import _rows
from awsglue._aws import client
from awsglue._bookmark import tracking
from awsglue._databases import Database, JdbcError, credentials, parse_url, session
from awsglue._dialects import DIALECTS, Column, Dialect
from awsglue._keys import Keys
from awsglue._run import stage, warn
from awsglue._staged import staged

__all__ = ["Database", "JdbcError"]

PARALLEL = 4
PARTITIONS = 7  # AWS's default of hashpartitions
SAMPLE = 10_000  # values that say whether a column's values repeat
BULK = 1000  # rows an INSERT statement has, where the caller says nothing (bulkSize)
DRIVERS = {
    "sqlserver": "com.microsoft.sqlserver.jdbc.SQLServerDriver",
    "oracle": "oracle.jdbc.OracleDriver",
    "postgresql": "org.postgresql.Driver",
    "mysql": "com.mysql.cj.jdbc.Driver",
    "sqlite": "org.sqlite.JDBC",
    "db2": "com.ibm.db2.jcc.DB2Driver",
    "snowflake": "net.snowflake.client.jdbc.SnowflakeDriver",
}


# ---- which database


def of_connection(name: str, catalog_id: str | None = None) -> Database:
    """The database behind a Glue connection, with its secret."""
    connection = client("glue").get_connection(Name=name, HidePassword=False)["Connection"]
    given = connection.get("ConnectionProperties") or {}
    if "JDBC_CONNECTION_URL" not in given:
        raise JdbcError(f"connection {name} of type {connection['ConnectionType']} has no JDBC_CONNECTION_URL")
    user, password = given.get("USERNAME", ""), given.get("PASSWORD", "")
    if secret := given.get("SECRET_ID"):
        user, password = _secret(name, secret)
    enforce = given.get("JDBC_ENFORCE_SSL", "false").lower() == "true"
    found = _parsed(f"connection {name}: ", given["JDBC_CONNECTION_URL"], user, password, enforce)
    return replace(found, connection=name)


def _secret(name: str, secret: str) -> tuple[str, str]:
    try:
        return credentials(client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString", ""))
    except ValueError as error:
        raise JdbcError(f"connection {name}: the secret {secret} {error}") from None


def _parsed(prefix: str, url: str, user: str, password: str, enforce: bool = False) -> Database:
    try:
        return parse_url(url, user=user, password=password, ssl=enforce)
    except JdbcError as error:
        raise JdbcError(f"{prefix}{error}") from None


def of_options(options: Mapping[str, Any]) -> Database:
    """The database of connection_options: `connectionName` with `useConnectionProperties`, or url, user, password."""
    if options.get("connectionName") and true(options.get("useConnectionProperties", "true")):
        return of_connection(options["connectionName"]).named(options.get("database"))
    if not options.get("url"):
        raise ValueError("connection_options lack url")
    user, password = options.get("user", options.get("username", "")), options.get("password", "")
    if secret := options.get("secretId"):
        user, password = _secret("connection_options", secret)
    found = _parsed("", options["url"], str(user), str(password), true(options.get("ssl")))
    user, password = found.user or found.parameter("user"), found.password or found.parameter("password")
    if found.engine != "sqlite" and not user:
        raise ValueError("connection_options lack user")
    return replace(found, user=user, password=password)


def conf(name: str, catalog_id: str | None = None) -> dict[str, Any]:
    """extract_jdbc_conf."""
    given = client("glue").get_connection(Name=name, HidePassword=False)["Connection"]["ConnectionProperties"]
    database = of_connection(name, catalog_id)
    spoken = database.url.split(":")[1].lower()  # mariadb stays mariadb
    return {
        "user": database.user,
        "password": database.password,
        "vendor": spoken,
        "url": f"jdbc:{spoken}://{database.place}",
        "fullUrl": database.url,
        "enforceSSL": str(database.ssl).lower(),
        "skipCustomJDBCCertValidation": given.get("SKIP_CUSTOM_JDBC_CERT_VALIDATION", "false").lower(),
        "customJDBCCert": given.get("CUSTOM_JDBC_CERT", ""),
        "customJDBCCertString": given.get("CUSTOM_JDBC_CERT_STRING", ""),
    }


SPELLED = {"dbTable": "dbtable", "className": "customJdbcDriverClassName", "userName": "user", "username": "user"}


def spelled(options: Mapping[str, Any]) -> dict[str, Any]:
    """connection_options in one spelling: custom.jdbc (AWS docs, "Custom and AWS Marketplace connections") has its own.
    NotImplementedError for what only it has."""
    if refused := [name for name in ("filterPredicate", "dataTypeMapping") if options.get(name)]:
        raise NotImplementedError(f"connection_options {refused[0]} is not carried: say it in a query")
    return {SPELLED.get(name, name): value for name, value in options.items()}


def true(value: Any) -> bool:
    """An option that is switched on, as text or as a boolean."""
    return str(value).lower() in ("true", "1", "yes")


def table_name(database: Database, parts: Sequence[str]) -> str:
    """The parts of a catalog table's location behind the database, as SQL."""
    dialect = DIALECTS.get(database.engine, Dialect())
    return ".".join(dialect.quoted(part) for part in parts) if database.carried else ".".join(parts)


# ---- reading


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: a table, or a query in parentheses with a name; with a place for conditions inside a query."""

    text: str
    inside: str = ""  # a query that ends in WHERE or AND: conditions of parallel reads follow there

    def where(self, conditions: Sequence[str], bucket: str) -> str:
        """FROM what, and WHERE."""
        if self.inside:
            text, conditions = f"({self.inside} {bucket or '1 = 1'}) AS source", list(conditions)
        else:
            text, conditions = self.text, [*conditions, *([bucket] if bucket else [])]
        return text + (f" WHERE {' AND '.join(conditions)}" if conditions else "")


def source_of(dialect: Dialect, table: str, options: Mapping[str, Any]) -> Source:
    """`dbtable` (a table or a query in parentheses), `query` or `sampleQuery` of connection_options."""
    query = str(options.get("sampleQuery") or options.get("query") or "").strip().rstrip(";")
    if query and true(options.get("enablePartitioningForSampleQuery")):
        if not re.search(r"\b(where|and)\s*$", query, re.IGNORECASE):
            raise ValueError("with enablePartitioningForSampleQuery, sampleQuery must end with where or and")
        return Source(f"({query} 1 = 1) AS source", query)
    if query:
        return Source(f"({query}) AS source")
    table = table.strip()
    if not table.startswith("("):
        return Source(dialect.table(table))
    return Source(table if re.search(r"\)\s+(as\s+)?[\w\"`]+\s*$", table, re.IGNORECASE) else f"{table} AS source")


def read(
    spark: SparkSession,
    database: Database,
    table: str,
    options: Mapping[str, Any],
    context: str | None,
    predicates: Sequence[str] | None = None,
) -> DataFrame:
    """All rows of `table` (or of a query), or those behind the bookmark. `context` None: nothing that a bookmark could
    know. `predicates`: one query for each condition, as Spark's JDBC source has them."""
    if not database.carried or options.get("customJdbcDriverS3Path"):
        return _read_with_driver(spark, database, table, options, context)
    from pyspark.sql.pandas.types import from_arrow_schema

    dialect = DIALECTS[database.engine]
    source = source_of(dialect, table, options)
    target = stage("jdbc")
    with session(database) as db:
        columns = dialect.describe(db, source.text)
        about = {"engine": database.engine, "place": database.place, "database": database.database}
        where = Keys(db, dialect, source.text, options, about | {"connection": database.connection}).conditions(context)
        wanted = ", ".join(f"{one.expression} AS {dialect.quoted(one.name)}" for one in columns)
        parts, snapshot = [f"({one})" for one in predicates or ()] or _buckets(dialect, options, source), ""
        if parts == [""]:
            snapshot, parts = dialect.pages(db, source.text, min(PARALLEL, os.cpu_count() or 1))
        queries = [f"SELECT {wanted} FROM {source.where(where, one)}" for one in parts]
        files = [target / f"part-{number:05d}.parquet" for number in range(len(queries))]
        with ThreadPoolExecutor(min(PARALLEL, len(queries))) as pool:
            fetch = functools.partial(_fetch, database, dialect, columns, snapshot)
            done = list(pool.map(fetch, queries, files))
    _rows.jdbc_read(sum(count for count, _ in done))
    counts = {file.name: count for file, (count, _) in zip(files, done, strict=True)}
    frame = staged(spark, from_arrow_schema(done[0][1]), target, counts)
    limited = options.get("sampleSize") if source.inside else None
    return frame.limit(int(limited)) if limited else frame


def _buckets(dialect: Dialect, options: Mapping[str, Any], source: Source) -> list[str]:
    """One condition for each of the queries that read in parallel (hashfield or hashexpression)."""
    field, expression = str(options.get("hashfield") or ""), str(options.get("hashexpression") or "")
    if not field and not expression:
        return [""]
    if (options.get("sampleQuery") or options.get("query")) and not source.inside:
        warn("sampleQuery is read by one query: set enablePartitioningForSampleQuery to read it in parallel")
        return [""]
    count = int(options.get("hashpartitions", PARTITIONS))
    if count < 1:
        raise ValueError(f"hashpartitions must be 1 or more, not {count}")
    bucket = dialect.bucket(field, expression, count)
    return [f"{bucket} = {part}" for part in range(count)]


def _fetch(
    database: Database, dialect: Dialect, columns: Sequence[Column], snapshot: str, query: str, path: Path
) -> tuple[int, Any]:
    """Stream one query into a Parquet file; returns the number of rows and the schema."""
    import pyarrow.parquet as pq

    count = 0
    with dialect.stream(database, query, columns, snapshot) as (schema, batches):
        first = next(batches, None)
        repeated = [] if first is None else [one.name for one in schema if _repeats(first.column(one.name))]
        with pq.ParquetWriter(path, schema, compression="snappy", use_dictionary=repeated or False) as writer:
            while first is not None:
                writer.write_batch(first)
                count += first.num_rows
                first = next(batches, None)
    return count, schema


def _repeats(column: Any) -> bool:
    """Whether a column's values repeat so that a dictionary is worth its making."""
    import pyarrow as pa

    sample = column.slice(0, SAMPLE)
    if pa.types.is_nested(sample.type) or not len(sample):
        return False
    return len(sample.dictionary_encode().dictionary) <= len(sample) // 5


# ---- writing


def write(
    frame: DataFrame,
    database: Database,
    table: str,
    options: Mapping[str, Any] | None = None,
    *,
    mode: str = "append",
    truncate: bool = False,
) -> None:
    """Write a frame to a table, in one transaction; makes the table when it is not there. `mode` is Spark's; `truncate`
    empties a table that is overwritten, instead of making it anew."""
    import pyarrow.dataset as ds

    given = options or {}
    if not database.carried or given.get("customJdbcDriverS3Path"):
        return _write_with_driver(frame, database, table, given)
    bulk = int(given.get("bulkSize", BULK))
    if bulk < 1:
        raise ValueError(f"bulkSize must be 1 or more, not {bulk}")
    dialect = DIALECTS[database.engine]
    kinds = {one.name: dialect.type_of(one.name, one.dataType.simpleString()) for one in frame.schema.fields}
    target = stage("rows") / "rows"
    frame.write.parquet(f"file://{target}")
    name = dialect.table(table)
    with session(database, write=True) as db:
        columns = dialect.columns_of(db, name)
        if columns and mode == "ignore":
            return None
        if columns and mode not in ("append", "overwrite"):
            raise JdbcError(f"{database.place}: table {table} is there already, and the mode of the write is {mode}")
        if columns and mode == "overwrite":
            rows_of_nothing(db, f"DELETE FROM {name}" if truncate else f"DROP TABLE {name}")
            columns = columns if truncate else []
        made = not columns
        if made:
            fields = ", ".join(f"{dialect.quoted(column)} {kind}" for column, kind in kinds.items())
            rows_of_nothing(db, f"CREATE TABLE {name} ({fields})")
            columns = list(kinds)
        batches = ds.dataset(target, format="parquet").to_batches(columns=list(kinds))
        try:
            dialect.insert(db, name, _matched(table, kinds, columns), batches, bulk)
        except BaseException:
            db.rollback()
            if made and database.engine == "mysql":  # CREATE TABLE is no part of a transaction there
                rows_of_nothing(db, f"DROP TABLE {name}")
            raise
    return None


def rows_of_nothing(db: Any, statement: str) -> None:
    """A statement without an answer."""
    cursor = db.cursor()
    cursor.execute(statement)
    cursor.close()


def _matched(table: str, kinds: Mapping[str, str], columns: Sequence[str]) -> list[str]:
    """The table's columns that the frame's go into, whatever the case of their names."""
    spelled = {column.lower(): column for column in columns}
    if unknown := [column for column in kinds if column.lower() not in spelled]:
        raise ValueError(f"table {table} has no column {', '.join(unknown)}")
    return [column if column in columns else spelled[column.lower()] for column in kinds]


# ---- with the driver's jar


def _driver(spark: SparkSession, database: Database, options: Mapping[str, Any]) -> dict[str, str]:
    """Options of Spark's JDBC source. NotImplementedError when the driver is not there."""
    if database.engine == "redshift":
        raise NotImplementedError("Redshift is not carried")
    jar, named = options.get("customJdbcDriverS3Path"), options.get("customJdbcDriverClassName")
    if jar:
        if not named:
            raise ValueError("customJdbcDriverS3Path needs customJdbcDriverClassName")
        spark.sql(f"ADD JAR '{jar}'")
    name = str(named or options.get("driver") or DRIVERS.get(database.engine, ""))
    if not loads(spark, name):
        raise no_driver(database, name)
    return {"url": database.url, "driver": name, "user": database.user, "password": database.password}


def loads(spark: Any, name: str) -> bool:
    """Whether the JVM has a class."""
    try:
        spark._jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(name)
    except Py4JJavaError as error:
        if "ClassNotFoundException" not in str(error.java_exception):
            raise
        return False
    return True


def no_driver(database: Database, name: str) -> NotImplementedError:
    return NotImplementedError(
        f"{database.engine} at {database.place} needs its JDBC driver ({name or 'unknown class'}), which is not here:"
        " give its jar with --extra-jars, or customJdbcDriverS3Path and customJdbcDriverClassName"
    )


def _read_with_driver(
    spark: SparkSession, database: Database, table: str, options: Mapping[str, Any], context: str | None
) -> DataFrame:
    if tracking(context) is not None:
        raise NotImplementedError(f"bookmarks on {database.engine} are not carried: leave transformation_ctx out")
    query = str(options.get("sampleQuery") or options.get("query") or "").strip().rstrip(";")
    asked = {**_driver(spark, database, options), "dbtable": f"({query}) source" if query else table}
    expression, count = options.get("hashexpression"), int(options.get("hashpartitions", PARTITIONS))
    try:
        if not expression:
            return spark.read.format("jdbc").options(**asked).load()
        number = f"MOD(ABS(COALESCE({expression}, 0)), {count})"
        if database.engine == "sqlserver":
            number = f"ABS(COALESCE({expression}, 0)) % {count}"
        rest = {name: value for name, value in asked.items() if name not in ("url", "dbtable")}
        parts = [f"{number} = {part}" for part in range(count)]
        return spark.read.jdbc(asked["url"], asked["dbtable"], predicates=parts, properties=rest)
    except Exception as error:
        raise _said(database, error) from None


def _write_with_driver(frame: DataFrame, database: Database, table: str, options: Mapping[str, Any]) -> None:
    asked = {**_driver(frame.sparkSession, database, options), "dbtable": table}
    if bulk := options.get("bulkSize"):
        asked["batchsize"] = str(bulk)
    try:
        frame.write.format("jdbc").options(**asked).mode("append").save()
    except Exception as error:
        raise _said(database, error) from None


def _said(database: Database, error: Exception) -> Exception:
    """What Spark says of a driver's exception, as our own: its first line, without the stack of Java."""
    java = getattr(error, "java_exception", None)
    return database.error(Exception(str(java.toString() if java else error).splitlines()[0]))
