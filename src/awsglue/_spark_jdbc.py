"""spark.read.jdbc and format("jdbc"), and their writers, where no JDBC driver is there.

Scripts use Spark's own JDBC source because AWS ships drivers with Glue. Here none is bundled: a driver that the user
gives (`--extra-jars`) is used; without one PostgreSQL, MySQL, MariaDB and SQLite are read and written as
create_dynamic_frame does it (_jdbc.py), and other engines are an error that says which class is missing.

Limits: without a driver the options that only steer Spark's connections (fetchsize, numPartitions, isolationLevel...)
change nothing: all rows are read and written. `customSchema`, `createTableColumnTypes`, `sessionInitStatement` and
`prepareQuery` need the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyspark.sql import DataFrame, DataFrameReader, DataFrameWriter

from awsglue import _jdbc
from awsglue._databases import Database, JdbcError, parse_url

NEED_THE_DRIVER = ("customschema", "createtablecolumntypes", "sessioninitstatement", "preparequery")


def install() -> None:
    """Put this behind Spark's readers and writers of this process."""
    for kind in (DataFrameReader, DataFrameWriter):
        _remember(kind)
    _install_readers()
    _install_writers()


def _remember(kind: Any) -> None:
    """Readers and writers keep what they are told in the JVM only: keep it here, too."""
    format_of_spark, option_of_spark, options_of_spark = kind.format, kind.option, kind.options

    def format(self: Any, source: str) -> Any:
        self._told_format = source.lower()
        return format_of_spark(self, source)

    def option(self: Any, key: str, value: Any) -> Any:
        _told(self)[key.lower()] = value
        return option_of_spark(self, key, value)

    def options(self: Any, **given: Any) -> Any:
        _told(self).update({key.lower(): value for key, value in given.items()})
        return options_of_spark(self, **given)

    kind.format, kind.option, kind.options = format, option, options


def _told(self: Any) -> dict[str, Any]:
    found: dict[str, Any] = self.__dict__.setdefault("_told_options", {})
    return found


def _ours(spark: Any, options: Mapping[str, Any]) -> Database | None:
    """The database, when it is to be reached without a driver; None when Spark does it."""
    try:
        found = parse_url(str(options.get("url", "")))
    except JdbcError:
        return None
    name = str(options.get("driver") or _jdbc.DRIVERS.get(found.engine, ""))
    if not name or _jdbc.loads(spark, name):
        return None
    if not found.carried:
        raise _jdbc.no_driver(found, name)
    if needed := [one for one in NEED_THE_DRIVER if options.get(one)]:
        raise NotImplementedError(f"the option {needed[0]} of Spark's JDBC source needs the driver's jar: --extra-jars")
    return _jdbc.of_options({**options, "connectionName": ""})


def _install_readers() -> None:
    load_of_spark, jdbc_of_spark = DataFrameReader.load, DataFrameReader.jdbc

    def load(self: Any, path: Any = None, format: str | None = None, schema: Any = None, **given: Any) -> DataFrame:
        told = {**_told(self), **{key.lower(): value for key, value in given.items()}}
        kind = (format or getattr(self, "_told_format", "")).lower()
        database = _ours(self._spark, told) if kind == "jdbc" else None
        if database is None:
            found: DataFrame = load_of_spark(self, path, format, schema, **given)
            return found
        return _read(self._spark, database, told, None)

    def jdbc(
        self: Any,
        url: str,
        table: str,
        column: str | None = None,
        lowerBound: Any = None,
        upperBound: Any = None,
        numPartitions: int | None = None,
        predicates: Sequence[str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> DataFrame:
        given = {key.lower(): value for key, value in (properties or {}).items()}
        told = {**_told(self), **given, "url": url, "dbtable": table}
        database = _ours(self._spark, told)
        if database is None:
            found: DataFrame = jdbc_of_spark(
                self, url, table, column, lowerBound, upperBound, numPartitions, predicates, properties
            )
            return found
        return _read(self._spark, database, told, predicates)

    DataFrameReader.load, DataFrameReader.jdbc = load, jdbc


def _read(spark: Any, database: Database, told: Mapping[str, Any], predicates: Sequence[str] | None) -> DataFrame:
    if bool(told.get("dbtable")) == bool(told.get("query")):
        raise ValueError("Spark's JDBC source takes either dbtable or query")
    asked = {"query": told["query"]} if told.get("query") else {}
    return _jdbc.read(spark, database, str(told.get("dbtable", "")), asked, None, predicates)


def _install_writers() -> None:
    save_of_spark, jdbc_of_spark, mode_of_spark = DataFrameWriter.save, DataFrameWriter.jdbc, DataFrameWriter.mode

    def mode(self: Any, saveMode: str | None) -> Any:
        self._told_mode = saveMode or getattr(self, "_told_mode", None)
        return mode_of_spark(self, saveMode)

    def save(
        self: Any,
        path: str | None = None,
        format: str | None = None,
        mode: str | None = None,
        partitionBy: Any = None,
        **given: Any,
    ) -> None:
        told = {**_told(self), **{key.lower(): value for key, value in given.items()}}
        kind = (format or getattr(self, "_told_format", "")).lower()
        how = mode or getattr(self, "_told_mode", None) or "error"
        _written(self, kind, told, how, lambda: save_of_spark(self, path, format, mode, partitionBy, **given))

    def jdbc(
        self: Any, url: str, table: str, mode: str | None = None, properties: Mapping[str, str] | None = None
    ) -> None:
        given = {key.lower(): value for key, value in (properties or {}).items()}
        told = {**_told(self), **given, "url": url, "dbtable": table}
        how = mode or getattr(self, "_told_mode", None) or "error"
        _written(self, "jdbc", told, how, lambda: jdbc_of_spark(self, url, table, mode, properties))

    DataFrameWriter.mode, DataFrameWriter.save, DataFrameWriter.jdbc = mode, save, jdbc


def _written(writer: Any, kind: str, told: Mapping[str, Any], mode: str, spark: Callable[[], None]) -> None:
    database = _ours(writer._spark, told) if kind == "jdbc" else None
    if database is None:
        return spark()
    if not told.get("dbtable"):
        raise ValueError("Spark's JDBC source lacks dbtable")
    options = {"bulkSize": told["batchsize"]} if told.get("batchsize") else {}
    truncate = _jdbc.true(told.get("truncate"))
    return _jdbc.write(writer._df, database, str(told["dbtable"]), options, mode=mode.lower(), truncate=truncate)
