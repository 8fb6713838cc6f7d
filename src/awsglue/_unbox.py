"""unbox: a string field that holds JSON or CSV becomes the struct that it describes.

JSON's values are looked at to find their types, and may disagree (a choice). CSV is text in `col0`, `col1`... unless
`withSchema` names and types the fields. What cannot be parsed is null, and an error record.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyspark import RDD
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _paths, _records, gluetypes

KNOWN = {"separator", "escaper", "quoteChar", "skipFirst", "withSchema", "withHeader", "schema", "multiLine"}


def unboxed(
    frame: DataFrame, steps: Sequence[str], format: str, options: Mapping[str, Any], about: Mapping[str, str]
) -> tuple[DataFrame, Callable[[], RDD[Any]]]:
    """The frame with the field parsed, and the error records. NotImplementedError for other formats and options."""
    if format.lower() not in ("json", "csv"):
        raise NotImplementedError(f"unbox of {format} is not carried, json and csv are")
    if unknown := [name for name in options if name not in KNOWN]:
        raise NotImplementedError(f"unbox options {unknown} are not carried")
    if any(str(options.get(name, "")).lower() == "true" for name in ("skipFirst", "withHeader")):
        raise NotImplementedError("unbox of several lines in one value (skipFirst, withHeader) is not carried")
    column, kind = _paths.value(frame, steps)
    if not isinstance(kind, t.StringType):
        raise ValueError(f"unbox: {'.'.join(steps)} is {_choices.name_of(kind)}, not string")
    texts = frame.select(column.alias("v")).where("v IS NOT NULL").rdd.map(lambda row: row.v)
    parse: Callable[[str], Any] = json.loads if format.lower() == "json" else _csv_parser(options)
    schema = _said(options) or _found(texts, parse)
    made = _column(schema, parse)
    result = _paths.edited(frame, steps, lambda name, one, _: [(name, made(one))])
    return result, lambda: _records.failures(texts.map(lambda text: {"input": text}), _Parse(parse), about)


class _Parse:
    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.parse = parse

    def __call__(self, record: dict[str, Any]) -> Any:
        return self.parse(record["input"])


def _column(schema: t.DataType, parse: Callable[[str], Any]) -> Callable[[Column], Column]:
    if parse is json.loads and isinstance(schema, (t.StructType, t.ArrayType)) and not _choices.has_choice(schema):
        return functools.partial(f.from_json, schema=schema)

    def read(text: str | None) -> Any:
        try:
            return None if text is None else _choices.encode(parse(text), schema)
        except (ValueError, csv.Error):
            return None

    made: Callable[[Column], Column] = f.udf(read, schema)
    return made


def _said(options: Mapping[str, Any]) -> t.DataType | None:
    """The schema of `withSchema`: Glue's JSON or Spark's; or `schema`, also as Spark's DDL."""
    given = options.get("withSchema") or options.get("schema")
    if given is None or isinstance(given, t.DataType):
        return given
    if isinstance(given, gluetypes.DataType):
        return _choices.spark_type(given)
    if not str(given).lstrip().startswith("{"):
        return t._parse_datatype_string(str(given))
    value = json.loads(given)
    if "dataType" in value:
        return _choices.spark_type(gluetypes.deserialize(value))
    return t.StructType.fromJson(value)


def _found(texts: RDD[Any], parse: Callable[[str], Any]) -> t.DataType:
    def kinds(part: Any) -> Any:
        made: t.DataType = t.NullType()
        for text in part:
            try:
                made = _choices.merge(made, _choices.infer(parse(text)))
            except (ValueError, csv.Error):
                continue
        yield made

    found = _choices.together(texts.mapPartitions(kinds).collect())
    return t.StringType() if isinstance(found, t.NullType) else found


def _csv_parser(options: Mapping[str, Any]) -> Callable[[str], dict[str, str]]:
    separator, escape = str(options.get("separator", ",")), options.get("escaper")
    quote = options.get("quoteChar", '"')
    said = _said(options)
    named = said.fieldNames() if isinstance(said, t.StructType) else []

    def parse(text: str) -> dict[str, Any]:
        quoting: Any = csv.QUOTE_NONE if quote in (-1, "-1") else csv.QUOTE_MINIMAL
        mark = None if quoting == csv.QUOTE_NONE else quote
        row = next(csv.reader([text], delimiter=separator, escapechar=escape, quotechar=mark, quoting=quoting), [])
        names = named or [f"col{n}" for n in range(len(row))]
        return dict(zip(names, row, strict=False))

    return parse
