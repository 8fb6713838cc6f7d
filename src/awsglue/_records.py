"""Python functions over records (Map, Filter), what they raise, and records that bring their own types with them.

A record is a dict (a DynamicRecord: its fields are attributes, too). A function that raises makes an error record of
it, and the run goes on (AWS docs, "DynamicFrame class", errors). Records are typed when something needs a schema: all
are looked at once, and a field with values of several types is a choice. They are kept on disk meanwhile, so that a
function runs once for a record; looking at the error records runs it again, with the records that went in.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyspark import RDD, StorageLevel
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices
from awsglue.gluetypes import DynamicRecord

Record = dict[str, Any]


class Partial(DynamicRecord):
    """A record of JSON or another source whose records bring their own fields. A field that it lacks is not in it, as
    on AWS (`"zip" in record`, `record.get("zip", "")`, `record.items()`), but reads as None and may be deleted."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__({name: partial(value) for name, value in values.items() if value is not None})
        self.__dict__.update(_names=tuple(values), _gone=set())

    def __getattr__(self, attr: str) -> Any:
        if attr.startswith("_"):  # pickle asks before there is anything
            raise AttributeError(attr)
        return super().__getattr__(attr)

    def _lacks(self, name: str) -> bool:
        return name in self._names and name not in self and name not in self._gone

    def __missing__(self, name: str) -> None:
        if not self._lacks(name):
            raise KeyError(name)

    def __delitem__(self, name: str) -> None:
        if not self._lacks(name):
            super().__delitem__(name)
        self._gone.add(name)

    def pop(self, name: str, *default: Any) -> Any:
        """The value, and the field is gone; None of one that it lacks, without a default."""
        default = default or ((None,) if self._lacks(name) else ())
        self._gone.add(name)
        return super().pop(name, *default)


def partial(value: Any) -> Any:
    """A value whose dicts are Partial."""
    if isinstance(value, dict):
        return Partial(value)
    return [partial(one) for one in value] if isinstance(value, list) else value


def whole(value: Any) -> Any:
    """A value with plain dicts in the place of Partial ones: what they lack is None, in the order of all fields."""
    if isinstance(value, Partial):
        there = {name: value.get(name) for name in value._names if name in value or value._lacks(name)}
        return {name: whole(one) for name, one in (there | value).items()}
    return [whole(one) for one in value] if isinstance(value, list) else value


class ErrorThresholdExceeded(Exception):
    """Transforms made more error records than their thresholds allow."""


def decoder(schema: t.StructType, *, lacking: bool = False) -> Callable[[Any], Record]:
    """What makes a record of a row; `lacking`: a null is a field that the record lacks."""
    plain = _dict if not _choices.has_choice(schema) else lambda row: DynamicRecord(_choices.decode(row, schema))
    return (lambda row: Partial(plain(row))) if lacking else plain


def _dict(row: Any) -> Record:
    return DynamicRecord(row.asDict(recursive=True))


def of_frame(frame: DataFrame, *, lacking: bool = False) -> RDD[Any]:
    """A frame's records."""
    return frame.rdd.map(decoder(frame.schema, lacking=lacking))


def all_fields(frame: DataFrame) -> Column:
    return f.struct(*(frame[_choices.tick(name)] for name in frame.columns))


def holds(frame: DataFrame, test: Callable[[Record], Any], *, lacking: bool = False) -> Column:
    """Whether `test` is true for a record; a record for which it raises is an error record and not kept."""
    record = decoder(frame.schema, lacking=lacking)

    def verdict(row: Any) -> bool:
        try:
            return bool(test(record(row)))
        except Exception:
            return False

    return f.udf(verdict, t.BooleanType())(all_fields(frame))


def results(records: RDD[Any], function: Callable[[Record], Any]) -> RDD[Any]:
    """What `function` makes of the records, without those for which it raises or gives None."""

    def run(part: Iterable[Record]) -> Iterator[Record]:
        for one in part:
            try:
                made = function(one)
            except Exception:
                continue
            if isinstance(made, Row):
                made = made.asDict(recursive=True)
            if isinstance(made, Mapping):
                yield made if isinstance(made, Partial) else dict(made)

    return records.mapPartitions(run)


def failures(records: RDD[Any], function: Callable[[Record], Any], about: Mapping[str, str]) -> RDD[Any]:
    """An error record for each record for which `function` raises or gives no record where it must."""
    must = about.get("must") == "record"

    def run(part: Iterable[Record]) -> Iterator[Record]:
        for one in part:
            before = dict(one)
            try:
                made = function(one)
            except Exception as error:
                yield error_record(str(error) or type(error).__name__, traceback.format_exc(), before, about)
            else:
                if must and made is not None and not isinstance(made, (Mapping, Row)):
                    yield error_record(f"a record is a dict, not {made!r:.200}", "", before, about)

    return records.mapPartitions(run)


def error_record(message: str, trace: str, record: Any, about: Mapping[str, str]) -> Record:
    """What errorsAsDynamicFrame has for one error."""
    site = {"site": about.get("site", ""), "info": about.get("info", "")}
    present = {key: value for key, value in record.items() if value is not None} if isinstance(record, dict) else record
    return {"error": {"msg": message, "stackTrace": trace, "callsite": site, "dynamicRecord": present}}


def typed(spark: SparkSession, records: RDD[Any], hint: t.StructType | None = None) -> DataFrame:
    """Records as a frame. `hint` has the types that fields had before a function."""

    def kinds(part: Iterable[Record]) -> Iterator[t.DataType]:
        yield _choices.together(_choices.infer(whole(one), hint) for one in part)

    kept = records.persist(StorageLevel.DISK_ONLY)
    schema = _choices.together(kept.mapPartitions(kinds).collect())
    if not isinstance(schema, t.StructType):
        return spark.createDataFrame([], t.StructType([]))
    schema = _choices.known(schema, hint)
    return spark.createDataFrame(kept.map(lambda one: _choices.encode(one, schema)), schema, verifySchema=False)


def describe_themselves(data: Any) -> bool:
    """Whether data for create_dynamic_frame.from_rdd has its fields' names in it."""
    first = next(iter(data.take(1)), None) if isinstance(data, RDD) else None
    return isinstance(first, dict) or (isinstance(first, Row) and hasattr(first, "__fields__"))


def as_dicts(data: RDD[Any]) -> RDD[Any]:
    return data.map(lambda one: one.asDict(recursive=True) if isinstance(one, Row) else one)


def union(one: DataFrame, two: DataFrame) -> DataFrame:
    """All rows of both; a field that has different types in them is a choice. Columns whose names differ in their case
    are one, as they are to Spark: the first spelling stays."""
    spelled = {name.lower(): name for name in one.columns}
    if len(spelled) == len(one.columns) and len({name.lower() for name in two.columns}) == len(two.columns):
        two = two.toDF(*(spelled.get(name.lower(), name) for name in two.columns)) if two.columns else two
    if one.schema == two.schema or not one.columns or not two.columns:
        return one.unionByName(two, allowMissingColumns=True)
    merged = _choices.merge(_nullable(one.schema), _nullable(two.schema))
    assert isinstance(merged, t.StructType)
    return conformed(one, merged).unionByName(conformed(two, merged))


def _nullable(schema: t.StructType) -> t.StructType:
    return t.StructType([t.StructField(each.name, _loose(each.dataType)) for each in schema.fields])


def _loose(kind: t.DataType) -> t.DataType:
    match kind:
        case t.StructType():
            return _nullable(kind)
        case t.ArrayType():
            return t.ArrayType(_loose(kind.elementType))
        case t.MapType():
            return t.MapType(kind.keyType, _loose(kind.valueType))
    return kind


def conformed(frame: DataFrame, schema: t.StructType) -> DataFrame:
    """A frame in a schema that `merge` made of its own."""
    known = {each.name: _loose(each.dataType) for each in frame.schema.fields}
    return frame.select(
        *(
            (
                _choices.conform(frame[_choices.tick(each.name)], known[each.name], each.dataType)
                if each.name in known
                else f.lit(None).cast(each.dataType)
            ).alias(each.name)
            for each in schema.fields
        )
    )


@dataclass(eq=False)
class Stage:
    """One step on the way to a frame: the errors it makes, what it allows, and the steps before it."""

    parents: tuple[Stage, ...] = ()
    failed: Callable[[], RDD[Any]] | None = None
    stage_threshold: int = 0
    total_threshold: int = 0
    name: str = ""
    _count: int | None = field(default=None, init=False)

    def count(self) -> int:
        """Errors of this step."""
        if self._count is None:
            self._count = int(self.failed().count()) if self.failed else 0
        return self._count

    def way(self) -> list[Stage]:
        """This step and all before it, each once."""
        seen: dict[int, Stage] = {}
        todo = [self]
        while todo:
            one = todo.pop()
            if id(one) not in seen:
                seen[id(one)] = one
                todo.extend(one.parents)
        return list(seen.values())

    def total(self) -> int:
        return sum(one.count() for one in self.way())

    def check(self) -> None:
        """Raise ErrorThresholdExceeded when a step on the way has as many errors as its thresholds say."""
        for one in self.way():
            if one.stage_threshold and one.count() >= one.stage_threshold:
                raise ErrorThresholdExceeded(
                    f"{one.name}: {one.count()} error records, stageThreshold is {one.stage_threshold}{one._first()}"
                )
            if one.total_threshold and one.total() >= one.total_threshold:
                raise ErrorThresholdExceeded(
                    f"{one.name}: {one.total()} error records up to here, totalThreshold is {one.total_threshold}"
                    f"{one._first()}"
                )

    def _first(self) -> str:
        failed = next((one.failed for one in self.way() if one.failed and one.count()), None)
        return f"; the first: {failed().first()['error']['msg']}" if failed else ""
