"""Data Catalog tables in Spark: as data frames, and (`--enable-glue-datacatalog`) by name in spark.sql.

Names are looked up when Spark does not know them: `install` makes `spark.sql` and `spark.table` register the database
or table that an error names, and try again. So nothing is asked of the catalog that a script does not use.

Limits: the catalog is read only through Spark. CREATE, INSERT, ALTER, DROP and SHOW on it, and saveAsTable, raise
NotImplementedError; write with write_dynamic_frame or a sink with enableUpdateCatalog.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _rows, _s3
from awsglue._aws import client, folder
from awsglue._table import Partition, Table

MANY = 64  # partitions that are not named key=value: above this, Spark's catalog reads them, not a union
CHUNK = 200


def read(spark: SparkSession, table: Table, predicate: str, options: Mapping[str, Any], context: str) -> DataFrame:
    """An S3 table. `predicate` (push_down_predicate) is Spark SQL over the partition keys."""
    _rows.s3_read()
    if not table.keys:
        return _typed(_unpartitioned(spark, table, options, context), table)
    partitions = table.partitions(str(options.get("catalogPartitionPredicate", "")))
    frame = _partitioned(spark, table, partitions, options, context)
    return _typed(frame.where(predicate) if predicate and frame.columns else frame, table)


def _reader(spark: SparkSession, table: Table, *, partitions: bool) -> Any:
    """CSV is read as text: `_typed` finds out which of it is what the catalog says."""
    schema = table.schema(partitions=partitions)
    if table.format() == "csv":
        plain = [t.StructField(one.name, _text_or(one.dataType, one.name in table.keys)) for one in schema.fields]
        schema = t.StructType(plain)
    return spark.read.format(table.format()).schema(schema).options(**table.options())


def _text_or(kind: t.DataType, key: bool) -> t.DataType:
    return t.StringType() if isinstance(kind, t.AtomicType) and not key else kind


def _typed(frame: DataFrame, table: Table) -> DataFrame:
    """CSV in the types of the catalog. A column with texts that are no values of its type is a choice of the type and
    string (AWS docs, "Data preparation using ResolveChoice, Lambda, and ApplyMapping"): all rows are looked at once."""
    if table.format() != "csv" or not frame.columns:
        return frame
    kinds = {one.name.lower(): one.dataType for one in table.schema(partitions=False).fields}
    texts = {one.name for one in frame.schema.fields if isinstance(one.dataType, t.StringType)}
    wanted = {name: kinds[name] for name in frame.columns if name in texts and name in kinds}
    wanted = {name: kind for name, kind in wanted.items() if kind != t.StringType()}
    if not wanted:
        return frame
    values = {name: _choices.tried(f.trim(frame[_choices.tick(name)]), kind) for name, kind in wanted.items()}
    other = {name: values[name].isNull() & (f.trim(frame[_choices.tick(name)]) != "") for name in wanted}
    seen = frame.agg(*(f.max(one).alias(str(n)) for n, one in enumerate(other.values()))).first()
    mixed = {name for name, one in zip(wanted, seen or (), strict=False) if one}
    for name, kind in wanted.items():
        if name in mixed:
            text = frame[_choices.tick(name)]
            both = {_choices.name_of(kind): values[name], "string": f.when(other[name], text)}
            made = f.struct(*(both[one].alias(_choices.MARK + one) for one in sorted(both)))
            values[name] = f.when(text.isNotNull(), made)
    return frame.select(
        *(values[one].alias(one) if one in values else frame[_choices.tick(one)] for one in frame.columns)
    )


def _lower(frame: DataFrame) -> DataFrame:
    """The catalog's names are in lower case; JSON is read with the spelling of its files."""
    return frame.toDF(*(name.lower() for name in frame.columns))


def _unpartitioned(spark: SparkSession, table: Table, options: Mapping[str, Any], context: str) -> DataFrame:
    chosen = _s3.select(spark, [table.location], options, context)
    if chosen == []:
        return _s3.empty(spark)
    paths = chosen or [table.location]
    if chosen is None and not _s3.listing(spark, table.location):
        return _s3.empty(spark)
    reader = _reader(spark, table, partitions=False)
    return _lower((reader if chosen else reader.option("recursiveFileLookup", "true")).load(paths))


def _partitioned(
    spark: SparkSession, table: Table, partitions: list[Partition], options: Mapping[str, Any], context: str
) -> DataFrame:
    chosen = _s3.select(spark, [folder(one.location) for one in partitions], options, context)
    if not partitions or chosen == []:
        return _s3.empty(spark)
    if all(table.is_hive_layout(one) for one in partitions):
        reader = _reader(spark, table, partitions=True).option("basePath", folder(table.location))
        return _lower(reader.load(chosen or [one.location for one in partitions]))
    if chosen is None and len(partitions) > MANY:
        register(spark, table)
        return spark.table(f"`{table.database}`.`{table.name}`")
    types = {field.name: field.dataType for field in table.schema(partitions=True)}
    frames = []
    for one in partitions:
        paths = [one.location] if chosen is None else [uri for uri in chosen if uri.startswith(folder(one.location))]
        if paths:
            frame = _lower(_reader(spark, table, partitions=False).load(paths))
            frames.append(_s3.cast_partitions(frame, table.keys, one.values, types))
    return functools.reduce(DataFrame.unionByName, frames)


# ---- names in spark.sql


def register(spark: SparkSession, table: Table) -> None:
    """Make a table known to Spark under its own name, with its partitions."""
    if table.connection:
        raise NotImplementedError(f"spark.sql on the JDBC table {table}: use create_dynamic_frame.from_catalog")
    register_database(spark, table.database)
    fields = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in table.schema(partitions=True))
    settings = {**table.options(), "path": table.location}
    options = ", ".join(f"{_text(name)} {_text(value)}" for name, value in settings.items())
    keys = ", ".join(f"`{key}`" for key in table.keys)
    name = f"`{table.database}`.`{table.name}`"
    plain(spark)(
        f"CREATE TABLE IF NOT EXISTS {name} ({fields}) USING {table.format()} OPTIONS ({options})"
        + (f" PARTITIONED BY ({keys})" if keys else "")
    )
    partitions = table.partitions() if keys else []
    for start in range(0, len(partitions), CHUNK):
        clauses = " ".join(
            f"PARTITION ({', '.join(f'`{k}`={_text(v)}' for k, v in zip(table.keys, one.values, strict=True))})"
            f" LOCATION {_text(one.location)}"
            for one in partitions[start : start + CHUNK]
        )
        plain(spark)(f"ALTER TABLE {name} ADD IF NOT EXISTS {clauses}")


def register_database(spark: SparkSession, name: str) -> None:
    client("glue").get_database(Name=name)
    plain(spark)(f"CREATE DATABASE IF NOT EXISTS `{name}`")


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_sql: Callable[..., DataFrame] = SparkSession.sql


def plain(spark: SparkSession) -> Callable[[str], DataFrame]:
    """spark.sql as it was before `install`."""
    return functools.partial(_sql, spark)


CHANGES = re.compile(
    r"\s*(?:--[^\n]*\n|/\*.*?\*/|\s)*(?:(?P<verb>INSERT|ALTER|DROP|TRUNCATE|MSCK|REFRESH|MERGE|DELETE|UPDATE|SHOW)\b"
    r"|CREATE\s+(?!(?:OR\s+REPLACE\s+)?(?:GLOBAL\s+)?TEMP)(?P<made>\w+))",
    re.IGNORECASE | re.DOTALL,
)
TEMPORARY = re.compile(r"DROP\s+(?:TEMPORARY\s+)?(?:VIEW|FUNCTION)\b|SHOW\s+(?:FUNCTIONS|PARTITIONS|COLUMNS)\b", re.I)


def install() -> None:
    """`--enable-glue-datacatalog`: the catalog is Spark's metastore, as far as the module's docstring says."""

    def sql(self: SparkSession, sqlQuery: str, *args: Any, **kwargs: Any) -> DataFrame:
        changes = CHANGES.match(sqlQuery)
        if changes and not TEMPORARY.match(sqlQuery.strip()):
            word = (changes["verb"] or f"CREATE {changes['made']}").upper()
            raise NotImplementedError(f"{word} on the Data Catalog through spark.sql is not carried")
        return _found(self, lambda: _sql(self, sqlQuery, *args, **kwargs))

    def named(self: SparkSession, tableName: str) -> DataFrame:
        return _found(self, lambda: _table(self, tableName))

    def save(self: DataFrameWriter, name: str, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"a table in the Data Catalog through Spark's writer ({name}) is not carried")

    _table = SparkSession.table
    SparkSession.sql = sql
    SparkSession.table = named
    DataFrameWriter.saveAsTable = save
    DataFrameWriter.insertInto = save
    # The metastore is ours: Hive's embedded one would be an empty Derby database.
    SparkSession.Builder.enableHiveSupport = lambda self: self


def _found(spark: SparkSession, ask: Callable[[], DataFrame]) -> DataFrame:
    """Ask; register what Spark does not know; ask again, as long as that makes it know more."""
    tried: set[str] = set()
    while True:
        try:
            return ask()
        except AnalysisException as error:
            name = _missing(spark, error)
            if name is None or name in tried:
                raise
            tried.add(name)
            try:
                database, _, table = name.partition(".")
                if table:
                    register(spark, Table(database, table))
                else:
                    register_database(spark, database)
            except ClientError:
                raise error from None


def _missing(spark: SparkSession, error: AnalysisException) -> str | None:
    """`database.table` or `database` that an error says is not there."""
    kind, said = error.getErrorClass(), error.getMessageParameters() or {}
    if kind == "TABLE_OR_VIEW_NOT_FOUND":
        parts = re.findall(r"`([^`]+)`", said.get("relationName", ""))
        if len(parts) == 1:
            parts.insert(0, spark.catalog.currentDatabase())
        return ".".join(parts[-2:]).lower()
    if kind == "SCHEMA_NOT_FOUND":
        return said.get("schemaName", "").replace("`", "").rpartition(".")[2].lower() or None
    return None
