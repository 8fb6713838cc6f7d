"""Data Catalog tables in Spark: as data frames, and registered in Spark's own catalog by name (see `_metastore`)."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError
from pyspark.errors import AnalysisException, IllegalArgumentException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _csv, _documents, _json, _records, _rows, _s3
from awsglue._aws import client, folder
from awsglue._documents import Source
from awsglue._table import PROVIDER, Partition, Table

MANY = 64  # partitions that are not named key=value: above this, Spark's catalog reads them, not a union
CHUNK = 200
ANY_CASE = "millpond.spark.AnyCaseJson"


def read(spark: SparkSession, table: Table, predicate: str, options: Mapping[str, Any], context: str) -> DataFrame:
    """An S3 table. `predicate` (push_down_predicate) is Spark SQL over the partition keys, and over nothing else."""
    _rows.s3_read()
    if predicate:
        _check_keys(spark, table, predicate)
    if not table.keys:
        return _typed(_unpartitioned(spark, table, options, context), table)
    partitions = table.partitions(str(options.get("catalogPartitionPredicate", "")))
    frame = _partitioned(spark, table, partitions, options, context)
    return _typed(frame.where(predicate) if predicate and frame.columns else frame, table)


def _check_keys(spark: SparkSession, table: Table, predicate: str) -> None:
    """IllegalArgumentException, in AWS's words, for a predicate over what is no partition key."""
    kinds = [one for one in table.schema(partitions=True).fields if one.name in table.keys]
    try:
        spark.createDataFrame([], t.StructType(kinds)).where(predicate)
    except AnalysisException as error:
        keys = ", ".join(table.keys)
        words = f"User's pushdown predicate: {predicate} can not be resolved against partition columns: [{keys}]"
        raise IllegalArgumentException(words) from error


def _reader(spark: SparkSession, table: Table, *, partitions: bool) -> Any:
    """CSV is read as text: `_typed` finds out which of it is what the catalog says."""
    schema = table.schema(partitions=partitions)
    if table.format() == "csv":
        plain = [t.StructField(one.name, _text_or(one.dataType, one.name in table.keys)) for one in schema.fields]
        schema = t.StructType(plain)
    return spark.read.format(table.format()).schema(schema).options(**table.options())


def _load(
    spark: SparkSession, table: Table, paths: list[str], *, partitions: bool, options: Mapping[str, str] | None = None
) -> DataFrame:
    """Files of a table. `options` are Spark's: basePath, recursiveFileLookup."""
    if table.format() == "avro":
        source = Source(lambda: spark.read.options(**(options or {})), paths)
        return _lower(_documents.read(source, "avro", {}))
    if table.format() == "json":
        source = Source(lambda: spark.read.options(**(options or {})), paths)
        with _partitions_as_text(spark):
            frame = _json.load(source, whole=False)
        return _kept(frame, _lower(_as_cataloged(frame, table)))
    source = Source(lambda: spark.read.options(**(options or {})), paths)
    escape = table.escape() if table.format() == "csv" else ""
    if escape and _s3.holds(spark, paths, escape + table.options()["quote"]):
        return _escaped(spark, table, source, escape, partitions=partitions)
    frame = _reader(spark, table, partitions=partitions).options(**(options or {})).load(paths)
    _tell_long_rows(frame, table)
    return _lower(frame)


def _tell_long_rows(frame: DataFrame, table: Table, escape: str = "") -> None:
    if table.format() == "csv" and PROVIDER not in table.parameters:
        said, columns = table.options(), len(table.schema(partitions=False).fields)
        _csv.tell_long_rows(frame, columns, said["sep"], said["quote"], escape=escape, multiline=bool(escape))


def _escaped(spark: SparkSession, table: Table, source: Source, escape: str, *, partitions: bool) -> DataFrame:
    """CSV files in which quotes are escaped, which Spark's reader does not read together with doubled ones."""
    said = table.options()
    given = {"separator": said["sep"], "quoteChar": said["quote"], "escaper": escape, "skipFirst": said["header"]}
    _tell_long_rows(source.texts(), table, escape)
    with _partitions_as_text(spark):
        frame = _csv.read(source, given)
    names = [one.name for one in table.schema(partitions=False).fields]
    made = [
        (frame[f"col{n}"] if f"col{n}" in frame.columns else f.lit(None).cast("string")).alias(name)
        for n, name in enumerate(names)
    ]
    types = {one.name: one.dataType for one in table.schema(partitions=True).fields}
    keys = [frame[_choices.tick(key)].cast(types[key]).alias(key) for key in table.keys] if partitions else []
    return _lower(frame.select(*made, *keys))


@contextlib.contextmanager
def _partitions_as_text(spark: SparkSession) -> Iterator[None]:
    """`month=05` is '05' until the catalog's type is known."""
    name = "spark.sql.sources.partitionColumnTypeInference.enabled"
    before = spark.conf.get(name)
    spark.conf.set(name, "false")
    try:
        yield
    finally:
        spark.conf.set(name, str(before))


def _kept(before: DataFrame, after: DataFrame) -> DataFrame:
    """A frame made of another, with the error records of its reader."""
    if failed := vars(before).get("_failed"):
        after._failed = failed
    return after


def _as_cataloged(frame: DataFrame, table: Table) -> DataFrame:
    """JSON's records have their own types; where the catalog's are wider, or a field is not there, they are the
    catalog's. A choice stays one. Fields that the catalog does not know come last."""
    known = {one.name.lower(): one for one in frame.schema.fields}
    made = []
    for one in table.schema(partitions=False).fields:
        found = known.pop(one.name.lower(), None)
        if found is None:
            made.append(f.lit(None).cast(one.dataType).alias(one.name))
        else:
            made.append(_wider(frame[_choices.tick(found.name)], found.dataType, one.dataType).alias(one.name))
    keys = {one.name.lower(): one.dataType for one in table.schema(partitions=True).fields if one.name in table.keys}
    for name, found in known.items():
        column = frame[_choices.tick(found.name)]
        made.append(column.cast(keys[name]).alias(name) if name in keys else column)
    return frame.select(*made)


def _wider(column: Column, kind: t.DataType, wanted: t.DataType) -> Column:
    """A column in the catalog's type where that holds all values of its own."""
    match kind, wanted:
        case t.StructType(), t.StructType() if not _choices.has_choice(kind):
            types = {one.name.lower(): one.dataType for one in wanted.fields}
            made = [
                _wider(column.getField(one.name), one.dataType, types.get(one.name.lower(), one.dataType)).alias(
                    one.name
                )
                for one in kind.fields
            ]
            return f.when(column.isNotNull(), f.struct(*made))
        case t.ArrayType(), t.ArrayType() if not _choices.has_choice(kind):
            inner, outer = kind.elementType, wanted.elementType
            return column if inner == outer else f.transform(column, lambda each: _wider(each, inner, outer))
    whole = isinstance(kind, _choices.WHOLE)
    if whole and isinstance(wanted, _choices.WHOLE) and _choices.merge(kind, wanted) == wanted:
        return column.cast(wanted)
    return column.cast(wanted) if whole and isinstance(wanted, t.DoubleType | t.FloatType | t.DecimalType) else column


def _text_or(kind: t.DataType, key: bool) -> t.DataType:
    return t.StringType() if isinstance(kind, t.AtomicType) and not key else kind


def _typed(frame: DataFrame, table: Table) -> DataFrame:
    """Text in the types of the catalog. A column with texts that are no values of its type is a choice of the type and
    string (AWS docs, "Data preparation using ResolveChoice, Lambda, and ApplyMapping"): all rows are looked at once."""
    if table.format() not in ("csv", "json") or not frame.columns:
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
    made = frame.select(
        *(values[one].alias(one) if one in values else frame[_choices.tick(one)] for one in frame.columns)
    )
    return _kept(frame, made)


def satisfying(spark: SparkSession, table: Table, predicate: str) -> list[Partition]:
    """The partitions for which Spark finds a predicate over the keys true."""
    _check_keys(spark, table, predicate)
    partitions = table.partitions()
    if not partitions:
        return []
    texts = spark.createDataFrame([(n, *one.values) for n, one in enumerate(partitions)], ["\0", *table.keys])
    kinds = {one.name: one.dataType for one in table.schema(partitions=True).fields}
    typed = texts.select("\0", *(texts[_choices.tick(key)].cast(kinds[key]).alias(key) for key in table.keys))
    return [partitions[row[0]] for row in typed.where(predicate).select("\0").collect()]


def _lower(frame: DataFrame) -> DataFrame:
    """The catalog's names are in lower case; JSON is read with the spelling of its files."""
    return frame.toDF(*(name.lower() for name in frame.columns))


def _unpartitioned(spark: SparkSession, table: Table, options: Mapping[str, Any], context: str) -> DataFrame:
    chosen = _s3.select(spark, [table.location], table.format(), options, context)
    if chosen == []:
        return _s3.empty(spark)
    paths = chosen or [table.location]
    if chosen is None and not _s3.listing(spark, table.location):
        return _s3.empty(spark)
    options = {} if chosen else {"recursiveFileLookup": "true"}
    return _load(spark, table, paths, partitions=False, options=options)


def _partitioned(
    spark: SparkSession, table: Table, partitions: list[Partition], options: Mapping[str, Any], context: str
) -> DataFrame:
    chosen = _s3.select(spark, [folder(one.location) for one in partitions], table.format(), options, context)
    if not partitions or chosen == []:
        return _s3.empty(spark)
    if all(table.is_hive_layout(one) for one in partitions):
        options = {"basePath": folder(table.location)}
        paths = chosen or [one.location for one in partitions]
        return _load(spark, table, paths, partitions=True, options=options)
    if chosen is None and len(partitions) > MANY:
        register(spark, table)
        return spark.table(f"`{table.database}`.`{table.name}`")
    types = {field.name: field.dataType for field in table.schema(partitions=True)}
    frames = []
    for one in partitions:
        paths = [one.location] if chosen is None else [uri for uri in chosen if uri.startswith(folder(one.location))]
        if paths:
            frame = _load(spark, table, paths, partitions=False)
            frames.append(_s3.cast_partitions(frame, table.keys, one.values, types))
    return functools.reduce(_records.union, frames)


# ---- names in Spark's catalog


def register(spark: SparkSession, table: Table) -> None:
    """Make a table known to Spark under its own name, with its partitions."""
    if table.connection:
        raise NotImplementedError(f"spark.sql on the JDBC table {table}: use create_dynamic_frame.from_catalog")
    if table.format() == "avro":
        raise NotImplementedError(f"spark.sql on the Avro table {table}: use create_dynamic_frame.from_catalog")
    register_database(spark, table.database)
    if table.is_managed and table.location.rstrip("/") == (place := place_of(table.database)) + table.name and place:
        with located(spark, table.database, place):
            _create(spark, table, {})
    else:
        _create(spark, table, {"path": table.location})


def place_of(database: str) -> str:
    """The LocationUri of a database as a folder; "" where it has none."""
    there = client("glue").get_database(Name=database)["Database"].get("LocationUri", "")
    return folder(there) if there else ""


@contextlib.contextmanager
def located(spark: SparkSession, database: str, place: str) -> Iterator[None]:
    """Let Spark's database be at its place; only as long, for to drop a database deletes what is there."""
    before = spark.catalog._jcatalog.getDatabase(database).locationUri()
    plain(spark)(f"ALTER DATABASE `{database}` SET LOCATION {text(place)}")
    try:
        yield
    finally:
        plain(spark)(f"ALTER DATABASE `{database}` SET LOCATION {text(before)}")


def _create(spark: SparkSession, table: Table, place: dict[str, str]) -> None:
    columns = table.schema(partitions=True).fields
    fields = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in columns)
    settings = {**table.options(), **_escaping(spark, table), **place}
    options = ", ".join(f"{text(name)} {text(value)}" for name, value in settings.items())
    keys = ", ".join(f"`{key}`" for key in table.keys)
    name = f"`{table.database}`.`{table.name}`"
    plain(spark)(
        f"CREATE TABLE IF NOT EXISTS {name} ({fields}) USING {_format(table)}"
        + (f" OPTIONS ({options})" if options else "")
        + (f" PARTITIONED BY ({keys})" if keys else "")
    )
    partitions = table.partitions() if keys else []
    for start in range(0, len(partitions), CHUNK):
        clauses = " ".join(
            f"PARTITION ({', '.join(f'`{k}`={text(v)}' for k, v in zip(table.keys, one.values, strict=True))})"
            f" LOCATION {text(one.location)}"
            for one in partitions[start : start + CHUNK]
        )
        plain(spark)(f"ALTER TABLE {name} ADD IF NOT EXISTS {clauses}")


def _format(table: Table) -> str:
    """Spark's reader. JSON that is not a table of Spark's own is read as its SerDe does, which takes a field's name in
    any case; Spark's reader knows one spelling."""
    of_serde = table.format() == "json" and PROVIDER not in table.parameters
    return ANY_CASE if of_serde else table.format()


def _escaping(spark: SparkSession, table: Table) -> dict[str, str]:
    """The escape of a CSV table that has escaped quotes: Spark's own reader knows that or doubled quotes, not both."""
    escape = table.escape() if table.format() == "csv" else ""
    if not escape or not table.location:
        return {}
    quote, places = table.options()["quote"], [table.location]
    if not _s3.holds(spark, places, escape + quote):
        return {}
    if _s3.holds(spark, places, f"{quote}{quote}"):
        words = f"{table} has quotes that are escaped and, it seems, doubled ones, which spark.sql reads as they stand"
        print(f"warning: {words}; from_catalog reads both", file=sys.stderr)
    return {"escape": escape}


def register_database(spark: SparkSession, name: str, *, known: bool = False) -> None:
    """Make a database known to Spark. `known`: it is in the Data Catalog."""
    if not known:
        client("glue").get_database(Name=name)
    plain(spark)(f"CREATE DATABASE IF NOT EXISTS `{name}`")


def text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


_sql: Callable[..., DataFrame] = SparkSession.sql


def plain(spark: SparkSession) -> Callable[[str], DataFrame]:
    """spark.sql as it was before `_metastore.install`."""
    return functools.partial(_sql, spark)


def found(spark: SparkSession, ask: Callable[[], Any]) -> Any:
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
