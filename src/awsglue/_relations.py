"""Nested records as flat frames: unnest, relationalize, and DynamoDB's JSON.

relationalize gives a frame `root` and one for each array and map in it, `root_<path>` (AWS docs, "Code example: Joining
and relationalizing data"): columns `id`, `index` and `<path>.val`, or `<path>.val.<field>` when the elements are
structs. `id` is what stands in the array's place in its parent. Arrays in arrays are `root_<path>.val.<path>`.

A choice that nobody resolved is flattened as the struct that toDF would make of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices
from awsglue._choices import tick
from awsglue._run import stage


def unnested(frame: DataFrame) -> DataFrame:
    """Structs as columns `outer.inner`, all the way down; arrays, maps and choices stay."""

    def leaves(name: str, column: Column, kind: t.DataType) -> Iterator[Column]:
        if isinstance(kind, t.StructType) and kind.fields and not _choices.is_choice(kind):
            for inner in kind.fields:
                yield from leaves(f"{name}.{inner.name}", column.getField(inner.name), inner.dataType)
        else:
            yield column.alias(name)

    if not any(isinstance(one.dataType, t.StructType) for one in frame.schema.fields):
        return frame
    fields = frame.schema.fields
    return frame.select(*(leaf for one in fields for leaf in leaves(one.name, frame[tick(one.name)], one.dataType)))


def relations(root: str, frame: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """The flat frames by their names, the root first."""
    yield from _relations(root, root, _choices.plain_frame(frame))


def _relations(root: str, name: str, frame: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """A flat frame and those of its arrays. The numbers are made once: rows go through a file."""
    flat = unnested(frame)
    pivoted = [one.name for one in flat.schema.fields if isinstance(one.dataType, (t.ArrayType, t.MapType))]
    if not pivoted:
        yield name, flat
        return
    numbered = flat
    for path in pivoted:
        number = f.when(f.size(flat[tick(path)]) > 0, f.monotonically_increasing_id() + 1)
        numbered = numbered.withColumn(f"{path}\0", number)
    place = f"file://{stage('relations')}/rows"
    numbered.toDF(*(f"c{n}" for n in range(len(numbered.columns)))).write.parquet(place)
    kept = frame.sparkSession.read.parquet(place).toDF(*numbered.columns)
    roots = [kept[tick(f"{c}\0")].alias(c) if c in pivoted else kept[tick(c)] for c in flat.columns]
    yield name, kept.select(*roots)
    for path in pivoted:
        number, values = kept[tick(f"{path}\0")].alias("id"), kept[tick(path)]
        exploded = kept.where(kept[tick(f"{path}\0")].isNotNull()).select(number, f.posexplode(values))
        inner = ["key", "val"] if isinstance(flat.schema[path].dataType, t.MapType) else ["val"]
        child = exploded.toDF("id", "index", *(f"{path}.{one}" for one in inner))
        yield from _relations(root, f"{root}_{path}", child.withColumn("id", child["id"].cast("bigint")))


# ---- DynamoDB's JSON

SCALARS = ("S", "N", "B", "BOOL", "NULL")
SETS = ("SS", "NS", "BS")
DYNAMO = {*SCALARS, *SETS, "L", "M"}


def simplified(frame: DataFrame) -> DataFrame:
    """Values in the place of DynamoDB's `{"S": value}`. A list whose elements are maps or of several types stays (AWS
    docs, "DynamicFrame class", simplify_ddb_json)."""
    return frame.select(*(_simple(frame[tick(one.name)], one.dataType).alias(one.name) for one in frame.schema.fields))


def unnested_items(frame: DataFrame) -> DataFrame:
    """The columns of the DynamoDB export's `Item`, each with its value in the place of `{"S": value}`."""
    item = next((one for one in frame.schema.fields if one.name == "Item"), None)
    if item is not None and isinstance(item.dataType, t.StructType):
        others = [frame[tick(one.name)] for one in frame.schema.fields if one.name != "Item"]
        inner = [frame["Item"].getField(one.name).alias(one.name) for one in item.dataType.fields]
        frame = frame.select(*others, *inner)
    return simplified(frame)


def _simple(column: Column, kind: t.DataType) -> Column:
    if not isinstance(kind, t.StructType) or not kind.fields:
        return column
    names = kind.fieldNames()
    if not set(names) <= DYNAMO:
        return _simple_struct(column, kind)
    values = [_value(column.getField(one.name), one) for one in kind.fields if one.name != "NULL" or len(names) == 1]
    return values[0] if len(values) == 1 else column


def _simple_struct(column: Column, kind: t.StructType) -> Column:
    made = (_simple(column.getField(one.name), one.dataType).alias(one.name) for one in kind.fields)
    return f.when(column.isNotNull(), f.struct(*made))


def _value(column: Column, field: t.StructField) -> Column:
    """What a DynamoDB type holds: `N` stays the text that it is, for a number may have 38 digits."""
    kind = field.dataType
    if field.name == "M" and isinstance(kind, t.StructType):
        return _simple_struct(column, kind)
    if field.name == "L" and isinstance(kind, t.ArrayType) and isinstance(kind.elementType, t.StructType):
        inner = kind.elementType.fields
        if len(inner) == 1 and inner[0].name in (*SCALARS, *SETS):
            return f.transform(column, lambda each: each.getField(inner[0].name))
    return column
