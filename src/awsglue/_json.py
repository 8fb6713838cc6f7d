"""JSON files as a frame: each record brings its own types, and a field of several types is a choice.

The JVM looks at all records once, as Spark's own reader does. When no field has several types, Spark reads the files;
otherwise a function in the JVM does (Json.java). Fields are in the order in which they first appear.

Columns that differ in case only are one, for to Spark they are; members of a struct that do are refused. A text that is
no record is left out and is an error record. Whole numbers are `int` where all fit, else `long`; a field
that is null everywhere is a string, an empty object is left out.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

from pyspark import RDD
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _records
from awsglue._documents import Source

FUNCTIONS = itertools.count()
SHOWN = 1000  # characters of a bad text that its error record has


def load(source: Source, *, whole: bool) -> DataFrame:
    """Read JSON; `whole`: a file is one text."""
    texts = source.texts() if whole else source.lines()
    spark = texts.sparkSession
    schema, bad = shape(texts)
    if twice := next(filter(None, (_twice(one.dataType, one.name) for one in schema.fields)), ""):
        said = f"the JSON below {source.paths[0]} has {twice}, which are one field to Spark"
        raise ValueError(f"{said}: give the members of a struct one spelling, or read the files as text")
    if not schema.fields:
        frame = spark.createDataFrame([], t.StructType([]))
    elif bad or whole or _choices.has_choice(schema) or len(_spelled(schema)) < len(schema.fields):
        frame = _read(spark, texts, schema)
    else:
        return source.attach(source.reader().format("json").schema(schema).load(source.paths))
    if bad:
        print(f"warning: {bad} texts below {source.paths[0]} are no JSON records: error records", file=sys.stderr)
        frame._failed = lambda: _failures(texts)
    return frame


def shape(texts: DataFrame) -> tuple[t.StructType, int]:
    """The type that holds all records of texts, and how many of them are none."""
    jvm: Any = texts.sparkSession._jvm
    said, _, bad = jvm.millpond.spark.Json.shape(texts.select("value")._jdf).rpartition("\t")
    schema = _filled(t.StructType.fromJson(json.loads(said)))
    assert isinstance(schema, t.StructType)
    return schema, int(bad)


def _read(spark: SparkSession, texts: DataFrame, schema: t.StructType) -> DataFrame:
    """The records of texts; partition columns stay behind them."""
    name = f"millpond_json_{next(FUNCTIONS)}"
    jvm: Any = spark._jvm
    jvm.millpond.spark.Json.register(spark._jsparkSession, name, schema.json())
    spelled = _spelled(schema)
    others = [_choices.tick(one) for one in texts.columns if one != "value" and one.lower() not in spelled]
    rows = texts.select(f.explode(f.expr(f"{name}(value)")).alias("\0record"), *others)
    numbered = t.StructType([t.StructField(str(n), one.dataType) for n, one in enumerate(schema.fields)])
    record = f.col("\0record").cast(numbered)  # a field has a number: to Spark `id` and `ID` are one name
    return rows.select(*(_field(record, schema, places) for places in spelled.values()), *others)


def _twice(kind: t.DataType, path: str) -> str:
    """Two fields of a struct inside a type that differ in case only, with their path; "" where there are none."""
    if isinstance(kind, t.ArrayType):
        return _twice(kind.elementType, f"{path}[]")
    if not isinstance(kind, t.StructType):
        return ""
    for places in _spelled(kind).values():
        if len(places) > 1:
            return " and ".join(f"{path}.{kind.fields[at].name}" for at in places)
    return next(filter(None, (_twice(one.dataType, f"{path}.{one.name}") for one in kind.fields)), "")


def _spelled(schema: t.StructType) -> dict[str, list[int]]:
    """The places of the fields that are one in lower case."""
    found: dict[str, list[int]] = {}
    for at, name in enumerate(schema.fieldNames()):
        found.setdefault(name.lower(), []).append(at)
    return found


def _field(record: Column, schema: t.StructType, places: list[int]) -> Column:
    """A field under its first spelling. A record that has two spellings with different values cannot be read."""
    fields = [schema.fields[at] for at in places]
    kind = _choices.together(one.dataType for one in fields)
    first, value = fields[0].name, _choices.conform(record.getField(str(places[0])), fields[0].dataType, kind)
    for at, other in zip(places[1:], fields[1:], strict=True):
        one = _choices.conform(record.getField(str(at)), other.dataType, kind)
        words = f"a JSON record has {first} and {other.name}, which are one column to Spark, with different values"
        differ = value.isNotNull() & one.isNotNull() & (value != one)
        value = f.when(differ, f.raise_error(words).cast(kind)).otherwise(f.coalesce(value, one))
    return value.alias(first)


def _filled(kind: t.DataType) -> t.DataType:
    """No null types and no empty structs, which files cannot hold."""
    match kind:
        case t.StructType():
            inner = [t.StructField(one.name, _filled(one.dataType)) for one in kind.fields]
            return t.StructType([one for one in inner if one.dataType != t.StructType([])])
        case t.ArrayType():
            element = _filled(kind.elementType)
            return t.ArrayType(t.StringType() if element == t.StructType([]) else element)
        case t.NullType():
            return t.StringType()
    return kind


def _failures(texts: DataFrame) -> RDD[Any]:
    def bad(text: str) -> list[Any]:
        try:
            found = json.loads(text)
        except ValueError as error:
            return [_records.error_record(f"not JSON: {error}", "", {"input": text[:SHOWN]}, {})]
        records = found if isinstance(found, list) else [found]
        if all(isinstance(one, dict) for one in records):
            return []
        return [_records.error_record("not a record", "", {"input": text[:SHOWN]}, {})]

    return texts.select("value").where("trim(value) != ''").rdd.flatMap(lambda row: bad(row.value))
