"""The transforms of Glue Studio's visual jobs that AWS serves as modules of their own: `import gs_derived`, then
`frame.gs_derived(colName="total", expr="price * qty")`, on a DynamicFrame or a DataFrame.

On AWS a visual job names them in `--extra-py-files s3://aws-glue-studio-transforms-<account>-prod-<region>/gs_*.py`;
here they need no file (AWS docs, "Transform data with AWS Glue managed transforms" and the page of each transform). A
module of the user's own with such a name is preferred.

Limits: gs_explode takes arrays, not maps; gs_lookup, gs_unpivot and gs_intersect are not carried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue._choices import tick, tried
from awsglue._records import Stage
from awsglue.dynamicframe import DynamicFrame

CODES = {  # Python's date codes -> Spark's
    **{"Y": "yyyy", "y": "yy", "m": "MM", "d": "dd", "H": "HH", "I": "hh", "M": "mm", "S": "ss", "f": "SSSSSS"},
    **{"b": "MMM", "B": "MMMM", "a": "E", "A": "EEEE", "j": "DDD", "p": "a", "z": "Z", "Z": "z", "%": "%"},
}
SECONDS, MILLIS = 1e11, 1e14  # below: a number of seconds, of milliseconds; else of microseconds
DATES = ("date", "timestamp", "timestamp_ntz")
UNITS = ("seconds", "milliseconds", "microseconds")


def gs_derived(frame: DataFrame, colName: str, expr: str) -> DataFrame:
    """A column by an expression of SQL; in its place when it is there already."""
    return frame.withColumn(_bare(colName), f.expr(expr))


def gs_flatten(frame: DataFrame, maxLevels: int | str = 0, separator: str = ".") -> DataFrame:
    """Structs as columns `outer<separator>inner`, `maxLevels` deep (0: all the way)."""
    left = int(maxLevels or 0)

    def leaves(name: str, column: Column, kind: t.DataType, level: int) -> list[Column]:
        if not isinstance(kind, t.StructType) or (left and level > left):
            return [column.alias(name)]
        pairs = ((f"{name}{separator}{one.name}", one) for one in kind.fields)
        return [leaf for path, one in pairs for leaf in leaves(path, column[one.name], one.dataType, level + 1)]

    fields = frame.schema.fields
    return frame.select(*(leaf for one in fields for leaf in leaves(one.name, _of(frame, one.name), one.dataType, 1)))


def gs_repartition(
    frame: DataFrame, numPartitionsStr: str | int = "", repartitionCols: Sequence[str] | None = None
) -> DataFrame:
    """Autobalance: rows spread over so many partitions (of all cores unless said), equal values together."""
    count = int(str(numPartitionsStr).strip() or frame.sparkSession.sparkContext.defaultParallelism)
    return frame.repartition(count, *(repartitionCols or ()))


def gs_now(frame: DataFrame, colName: str = "timestamp", dateFormat: str = "") -> DataFrame:
    """A column of now: a timestamp, or a string of a format."""
    now = f.current_timestamp()
    return frame.withColumn(_bare(colName), f.date_format(now, pattern(dateFormat)) if dateFormat else now)


def gs_uuid(frame: DataFrame, colName: str = "uuid") -> DataFrame:
    """A column of 36 characters that no other row has."""
    return frame.withColumn(_bare(colName), f.expr("uuid()"))


def gs_identifier(frame: DataFrame, colName: str = "id", unique: bool = False) -> DataFrame:
    """A column of whole numbers, each once; `unique` puts the time of the run before them, as a decimal."""
    number = f.monotonically_increasing_id()
    if not unique:
        return frame.withColumn(_bare(colName), number)
    digits = f.concat(f.unix_millis(f.current_timestamp()), f.lpad(number.cast("string"), 19, "0"))
    return frame.withColumn(_bare(colName), digits.cast("decimal(38,0)"))


def gs_to_timestamp(
    frame: DataFrame, colName: str, colType: str = "autodetect", newColName: str | None = None
) -> DataFrame:
    """A column as timestamps: of `iso` texts, or of a number of seconds, milliseconds or microseconds. What is none is
    null."""
    column, kind = frame[colName], colType.lower()
    if kind == "iso":
        made = tried(column.cast("string"), "timestamp")
    elif kind == "autodetect":
        made = _guessed(column, _kind(frame, colName).typeName())
    elif kind in UNITS:
        made = _counted(column)[kind]
    else:
        raise ValueError(f"gs_to_timestamp: colType {colType!r} is none of autodetect, iso, {', '.join(UNITS)}")
    return frame.withColumn(_bare(newColName or colName), made)


def _counted(column: Column) -> dict[str, Column]:
    """A number as a timestamp, by what it counts."""
    seconds, number = tried(column, "double"), tried(column, "bigint")
    made = f.timestamp_seconds(seconds), f.timestamp_millis(number), f.timestamp_micros(number)
    return dict(zip(UNITS, made, strict=True))


def _guessed(column: Column, of: str) -> Column:
    """A timestamp of a column of any type: a number counts what makes it a date of our time."""
    if of in DATES:
        return column.cast("timestamp")
    counted, size = _counted(column), f.abs(tried(column, "double"))
    limits = (size < SECONDS, size < MILLIS, size.isNotNull())
    number = f.coalesce(*(f.when(test, one) for test, one in zip(limits, counted.values(), strict=True)))
    return f.coalesce(tried(column, "timestamp"), number) if of == "string" else number


def gs_format_timestamp(frame: DataFrame, colName: str, dateFormat: str, newColName: str | None = None) -> DataFrame:
    """A timestamp as a string; the format has Spark's letters or Python's codes."""
    return frame.withColumn(_bare(newColName or colName), f.date_format(frame[colName], pattern(dateFormat)))


def gs_explode(frame: DataFrame, colName: str, newCol: str, outer: bool = False) -> DataFrame:
    """A row for each element of an array; `outer` keeps rows without any."""
    if not isinstance(_kind(frame, colName), t.ArrayType):
        raise NotImplementedError(f"gs_explode: {colName} is no array; maps are not carried: use explode in SQL")
    exploded = frame.withColumn("\0element", (f.explode_outer if outer else f.explode)(frame[colName]))
    return exploded.withColumn(_bare(newCol), exploded["\0element"]).drop("\0element")


def gs_null_rows(frame: DataFrame, extended: bool = False) -> DataFrame:
    """Without the rows in which everything is null, or, `extended`, an empty string, array or map."""

    def has_value(name: str, kind: str) -> Column:
        column = _of(frame, name)
        filled = column.isNotNull()
        if extended and kind == "string":
            return filled & (column != "")
        return filled & (f.size(column) > 0) if extended and kind in ("array", "map") else filled

    if not frame.columns:
        return frame
    tests = [has_value(one.name, one.dataType.typeName()) for one in frame.schema.fields]
    return frame.where(f.greatest(*tests) if len(tests) > 1 else tests[0])


def gs_concat(
    frame: DataFrame, colName: str, colList: Sequence[str], spacer: str = "", nullValue: str = ""
) -> DataFrame:
    """A string of other columns, `spacer` between them; null and NA are `nullValue`."""

    def text(name: str) -> Column:
        column = frame[name].cast("string")
        return f.when(column.isNull() | (column == "NA"), f.lit(nullValue)).otherwise(column)

    return frame.withColumn(_bare(colName), f.concat_ws(spacer, *(text(name) for name in colList)))


def gs_split(frame: DataFrame, colName: str, pattern: str, newColName: str | None = None) -> DataFrame:
    """A string as an array, split where a regular expression fits."""
    return frame.withColumn(_bare(newColName or colName), f.split(frame[colName], pattern))


def gs_array_to_cols(frame: DataFrame, colName: str, colList: str, indexes: str | None = None) -> DataFrame:
    """Elements of an array as columns; `indexes` (from 1) says which. One that is not there is null."""
    names = [one.strip() for one in colList.split(",")]
    wanted = [int(one) for one in indexes.split(",")] if indexes else list(range(1, len(names) + 1))
    if len(wanted) != len(names):
        raise ValueError("gs_array_to_cols: as many indexes as columns")
    array = frame[colName]
    for name, at in zip(names, wanted, strict=True):
        frame = frame.withColumn(_bare(name), array.getItem(at - 1))
    return frame


def gs_regex_extract(
    frame: DataFrame, colName: str, regex: str, newCols: str, failIfNoMatch: bool = False
) -> DataFrame:
    """The groups of a regular expression as columns, or the whole match when it has none; no match is null."""
    names = [one.strip() for one in newCols.split(",")]
    groups = re.compile(regex).groups
    if len(names) > max(groups, 1):
        raise ValueError(f"gs_regex_extract: {len(names)} columns for {groups} groups")
    column = frame[colName]
    if failIfNoMatch and (found := frame.where(~column.rlike(regex)).select(column).first()) is not None:
        raise ValueError(f"gs_regex_extract: {found[0]!r} does not match {regex}")
    for number, name in enumerate(names):
        group = f.regexp_extract(column, regex, number + 1 if groups else 0)
        frame = frame.withColumn(_bare(name), f.when(column.rlike(regex), group))
    return frame


def gs_pivot(frame: DataFrame, aggCol: str, aggFunction: str, colList: Sequence[str]) -> DataFrame:
    """A column for each value of `colList` (several: joined by `_`), with an aggregate of `aggCol` for all others."""
    rest = [_of(frame, name) for name in frame.columns if name not in (_bare(aggCol), *map(_bare, colList))]
    keys = [frame[name] for name in colList]
    key = keys[0] if len(keys) == 1 else f.concat_ws("_", *keys)
    keyed = frame.select(*rest, frame[aggCol].alias("\0value"), key.alias("\0key"))
    grouped = keyed.groupBy(*(f"`{name}`" for name in keyed.columns[: len(rest)])).pivot("\0key")
    return grouped.agg(getattr(f, aggFunction)(f.col("\0value")))


def _of(frame: DataFrame, name: str) -> Column:
    return frame[tick(name)]


def _kind(frame: DataFrame, column: str) -> t.DataType:
    return frame.select(frame[column]).schema[0].dataType


def _bare(name: str) -> str:
    """A column's name without the ticks that a reference to it has."""
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == "`" else name


def pattern(given: str) -> str:
    """A date format in Spark's letters: as it is, or from Python's codes. ValueError for a code that is not known."""
    if "%" not in given:
        return given
    made = []
    for code, text in re.findall(r"%(.)|([^%]+)", given):
        if code and code not in CODES:
            raise ValueError(f"date format {given!r}: %{code} is not known")
        made.append(CODES[code] if code else re.sub(r"[A-Za-z]+", r"'\g<0>'", text))
    return "".join(made)


# ---- the modules

TRANSFORMS: dict[str, Callable[..., DataFrame]] = {
    one.__name__: one
    for one in (
        *(gs_derived, gs_flatten, gs_repartition, gs_now, gs_uuid, gs_identifier, gs_to_timestamp),
        *(gs_format_timestamp, gs_explode, gs_null_rows, gs_concat, gs_split, gs_array_to_cols, gs_regex_extract),
        gs_pivot,
    )
}
COMMON = "gs_common"  # what AWS's modules share
NOT_CARRIED = ("gs_lookup", "gs_unpivot", "gs_intersect")


def attach(name: str) -> None:
    """Make a transform a method of DataFrames and DynamicFrames. ImportError for one that is not carried."""
    if name in NOT_CARRIED:
        raise ImportError(f"{name} of Glue Studio is not carried")
    if name == COMMON:
        return
    transform = TRANSFORMS[name]

    def of_frame(self: DataFrame, *args: Any, **kwargs: Any) -> DataFrame:
        return transform(self, *args, **kwargs)

    def of_dynamic_frame(self: DynamicFrame, *args: Any, **kwargs: Any) -> DynamicFrame:
        made = DynamicFrame.fromDF(transform(self.toDF(), *args, **kwargs), self.glue_ctx, self.name)
        made._stage = Stage((self._stage,), name=name)
        return made

    setattr(DataFrame, name, of_frame)
    setattr(DynamicFrame, name, of_dynamic_frame)
