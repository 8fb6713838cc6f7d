"""Choice types in a Spark DataFrame: a field whose records disagree about its type, without leaving Spark.

A choice is a struct with one field for each type, named by the type behind a mark (`‖int`, `‖string`), of which at most
one has a value. So a schema tells by itself where the choices are, they survive every DataFrame operation, and a frame
without any costs nothing. `plain` takes the marks away: what toDF gives, as AWS does (a struct of `int` and `string`).

Also here: which type two records have together (`merge`), how a column becomes a wider type (`conform`), and the way of
Python values in and out of such columns (`infer`, `encode`, `decode`).

A difference from AWS: whole numbers of several sizes are one type, the widest, and not a choice of int and long.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import gluetypes as g

MARK = "‖"
WHOLE = (t.ByteType, t.ShortType, t.IntegerType, t.LongType)  # from narrow to wide
NAMES = {"integer": "int", "bigint": "long", "smallint": "short", "tinyint": "byte", "void": "null"}
INT_MAX, LONG_MAX = 2**31, 2**63
LIMITS: Mapping[type, int] = {t.ByteType: 2**7, t.ShortType: 2**15, t.IntegerType: INT_MAX, t.LongType: LONG_MAX}


def tick(name: str) -> str:
    """A top-level column whose name may have dots."""
    return "`" + name.replace("`", "``") + "`"


# ---- types


def name_of(kind: t.DataType) -> str:
    """Glue's name of a type: int, long, string, struct, array, choice..."""
    if is_choice(kind):
        return "choice"
    name = kind.typeName()
    return NAMES.get(name, "timestamp" if name == "timestamp_ntz" else "string" if "char" in name else name)


def is_choice(kind: t.DataType) -> bool:
    return isinstance(kind, t.StructType) and bool(kind.fields) and all(one.name[:1] == MARK for one in kind.fields)


def alternatives(kind: t.DataType) -> dict[str, t.DataType]:
    """The types of a choice by their names; a type that is none is its own only one."""
    if isinstance(kind, t.StructType) and is_choice(kind):
        return {one.name[1:]: one.dataType for one in kind.fields}
    return {} if isinstance(kind, t.NullType) else {name_of(kind): kind}


def choice(kinds: Mapping[str, t.DataType]) -> t.DataType:
    """The choice of these types, or the only one of them."""
    if len(kinds) < 2:
        return next(iter(kinds.values()), t.NullType())
    return t.StructType([t.StructField(MARK + name, kinds[name]) for name in sorted(kinds)])


def has_choice(kind: t.DataType) -> bool:
    """Whether there is a choice anywhere in a type."""
    return any(is_choice(one) for one in walk(kind))


def walk(kind: t.DataType) -> Iterator[t.DataType]:
    """A type and all that it is made of."""
    yield kind
    match kind:
        case t.StructType():
            for one in kind.fields:
                yield from walk(one.dataType)
        case t.ArrayType():
            yield from walk(kind.elementType)
        case t.MapType():
            yield from walk(kind.keyType)
            yield from walk(kind.valueType)


def merge(one: t.DataType, two: t.DataType) -> t.DataType:
    """The type that holds the values of both: structs field by field, other differences as a choice."""
    if one == two or isinstance(two, t.NullType):
        return one
    if isinstance(one, t.NullType):
        return two
    if is_choice(one) or is_choice(two):
        kinds = alternatives(one)
        for name, kind in alternatives(two).items():
            same = next((known for known in kinds if known == name or both_whole(known, name)), name)
            merged = merge(kinds.pop(same), kind) if same in kinds else kind
            kinds[name_of(merged)] = merged
        return choice(kinds)
    match one, two:
        case t.StructType(), t.StructType():
            return _merge_structs(one, two)
        case t.ArrayType(), t.ArrayType():
            return t.ArrayType(merge(one.elementType, two.elementType))
        case t.MapType(), t.MapType():
            return t.MapType(merge(one.keyType, two.keyType), merge(one.valueType, two.valueType))
        case t.DecimalType(), t.DecimalType():
            scale = max(one.scale, two.scale)
            return t.DecimalType(min(38, max(one.precision - one.scale, two.precision - two.scale) + scale), scale)
    if isinstance(one, WHOLE) and isinstance(two, WHOLE):
        return max(one, two, key=lambda kind: WHOLE.index(type(kind)))
    return choice({**alternatives(one), **alternatives(two)})


WHOLE_NAMES = ("byte", "short", "int", "long")


def both_whole(one: str, two: str) -> bool:
    return one in WHOLE_NAMES and two in WHOLE_NAMES


def _merge_structs(one: t.StructType, two: t.StructType) -> t.StructType:
    kinds = {field.name: field.dataType for field in one.fields}
    for field in two.fields:
        kinds[field.name] = merge(kinds[field.name], field.dataType) if field.name in kinds else field.dataType
    return t.StructType([t.StructField(name, kind) for name, kind in kinds.items()])


def plain(kind: t.DataType) -> t.DataType:
    """The type with choices as ordinary structs."""
    match kind:
        case t.StructType():
            return t.StructType(
                [
                    t.StructField(
                        one.name.removeprefix(MARK) if is_choice(kind) else one.name,
                        plain(one.dataType),
                        one.nullable,
                        one.metadata,
                    )
                    for one in kind.fields
                ]
            )
        case t.ArrayType():
            return t.ArrayType(plain(kind.elementType), kind.containsNull)
        case t.MapType():
            return t.MapType(kind.keyType, plain(kind.valueType), kind.valueContainsNull)
    return kind


def plain_frame(frame: DataFrame) -> DataFrame:
    """The frame with choices as ordinary structs; the same frame when there are none."""
    if not has_choice(frame.schema):
        return frame
    return frame.select(
        *(
            frame[tick(one.name)].cast(plain(one.dataType)).alias(one.name)
            if has_choice(one.dataType)
            else frame[tick(one.name)]
            for one in frame.schema.fields
        )
    )


def glue_type(kind: t.DataType) -> g.DataType:
    """A Spark type as Glue's schema has it."""
    match kind:
        case t.StructType() if is_choice(kind):
            return g.ChoiceType([glue_type(one.dataType) for one in kind.fields])
        case t.StructType():
            return g.StructType([g.Field(one.name, glue_type(one.dataType)) for one in kind.fields])
        case t.ArrayType():
            return g.ArrayType(glue_type(kind.elementType))
        case t.MapType():
            return g.MapType(glue_type(kind.valueType))
        case t.DecimalType():
            return g.DecimalType(kind.precision, kind.scale)
    return g.TYPES.get(name_of(kind), g.UnknownType)()


def spark_type(kind: g.DataType) -> t.DataType:
    """A type of Glue's schema as Spark has it, choices marked."""
    match kind:
        case g.ChoiceType():
            return choice({name: spark_type(one) for name, one in kind.choices.items()})
        case g.StructType():
            return t.StructType([t.StructField(one.name, spark_type(one.dataType)) for one in kind.fields])
        case g.ArrayType():
            return t.ArrayType(spark_type(kind.elementType))
        case g.MapType():
            return t.MapType(t.StringType(), spark_type(kind.valueType))
        case g.DecimalType():
            return t.DecimalType(kind.precision, kind.scale)
    known = {name_of(one): one for one in ATOMIC}
    return known.get(kind.typeName(), t.StringType() if isinstance(kind, g.EnumType) else t.NullType())


ATOMIC: tuple[t.DataType, ...] = (
    *(t.StringType(), t.BinaryType(), t.BooleanType(), t.ByteType(), t.ShortType(), t.IntegerType(), t.LongType()),
    *(t.FloatType(), t.DoubleType(), t.DateType(), t.TimestampType()),
)


def tree(schema: t.StructType) -> str:
    """A schema as DynamicFrame.printSchema prints it."""

    def lines(kind: t.DataType, indent: str) -> Iterator[str]:
        match kind:
            case t.StructType() if is_choice(kind):
                for one in kind.fields:
                    yield f"{indent}|-- {label(one.dataType)}"
                    yield from lines(one.dataType, indent + "|    ")
            case t.StructType():
                for one in kind.fields:
                    yield f"{indent}|-- {one.name}: {label(one.dataType)}"
                    yield from lines(one.dataType, indent + "|    ")
            case t.ArrayType():
                yield f"{indent}|-- element: {label(kind.elementType)}"
                yield from lines(kind.elementType, indent + "|    ")
            case t.MapType():
                yield f"{indent}|-- keyType: {label(kind.keyType)}"
                yield f"{indent}|-- valueType: {label(kind.valueType)}"
                yield from lines(kind.valueType, indent + "|    ")

    def label(kind: t.DataType) -> str:
        return kind.simpleString() if isinstance(kind, t.DecimalType) else name_of(kind)

    return "\n".join(["root", *lines(schema, "")])


# ---- columns


def conform(column: Column, one: t.DataType, two: t.DataType) -> Column:
    """A column of type `one` as type `two`, which `merge` made of `one` and others."""
    if one == two:
        return column
    if isinstance(one, t.NullType):
        return column.cast(two)
    if is_choice(two):
        assert isinstance(two, t.StructType)
        return f.when(column.isNotNull(), f.struct(*_chosen(column, one, two)))
    match one, two:
        case t.StructType(), t.StructType():
            known = {field.name: field.dataType for field in one.fields}
            made = [
                (
                    conform(column.getField(field.name), known[field.name], field.dataType)
                    if field.name in known
                    else f.lit(None).cast(field.dataType)
                ).alias(field.name)
                for field in two.fields
            ]
            return f.when(column.isNotNull(), f.struct(*made))
        case t.ArrayType(), t.ArrayType():
            inner, outer = one.elementType, two.elementType
            return f.transform(column, lambda each: conform(each, inner, outer))
        case t.MapType(), t.MapType():
            value, wider = one.valueType, two.valueType
            return f.transform_values(column, lambda _, each: conform(each, value, wider))
    return column.cast(two)


def _chosen(column: Column, one: t.DataType, two: t.StructType) -> Iterator[Column]:
    known = alternatives(one)
    for field in two.fields:
        name = field.name[1:]
        same = next((each for each in known if each == name or both_whole(each, name)), None)
        if same is None:
            yield f.lit(None).cast(field.dataType).alias(field.name)
        else:
            value = column.getField(MARK + same) if is_choice(one) else column
            yield conform(value, known[same], field.dataType).alias(field.name)


def cast(column: Column, kind: t.DataType, wanted: t.DataType | str) -> Column:
    """A column as one type; of a choice each value that can be it, null for the others (AWS docs, "Data preparation
    using ResolveChoice, Lambda, and ApplyMapping")."""
    if not is_choice(kind):
        return _castable(column, kind, wanted)
    values = [_castable(column.getField(MARK + name), each, wanted) for name, each in alternatives(kind).items()]
    return f.coalesce(*values)


def tried(column: Column, wanted: t.DataType | str) -> Column:
    """A cast that gives null where the value does not fit, also where Spark (4, Glue 6.0) would raise."""
    return column.try_cast(wanted) if hasattr(Column, "try_cast") else column.cast(wanted)


def _castable(column: Column, kind: t.DataType, wanted: t.DataType | str) -> Column:
    """Structs and arrays become JSON as strings and null as anything else that they are not."""
    nested = isinstance(kind, (t.StructType, t.ArrayType, t.MapType))
    if not nested:
        simple = wanted if isinstance(wanted, str) else wanted.simpleString()
        return f.lit(None).cast(wanted) if simple.startswith(("struct", "array", "map")) else tried(column, wanted)
    if wanted in ("string", t.StringType()):
        return f.to_json(column.cast(plain(kind)))
    name = wanted if isinstance(wanted, str) else wanted.typeName()
    if name.partition("<")[0] != kind.typeName():
        return f.lit(None).cast(wanted)
    return column.cast(plain(kind)) if "<" not in name and isinstance(wanted, str) else column.cast(wanted)


# ---- Python values


def infer(value: Any, hint: t.DataType | None = None) -> t.DataType:
    """The type of a Python value. `hint` is the type that its field had before: a small number stays what it was."""
    match value:
        case None:
            return t.NullType()
        case bool():
            return t.BooleanType()
        case int():
            return _whole(value, hint)
        case float():
            return hint if isinstance(hint, t.FloatType) else t.DoubleType()
        case str():
            return t.StringType()
        case dict() if isinstance(hint, t.MapType):
            return t.MapType(hint.keyType, together(infer(one, hint.valueType) for one in value.values()))
        case dict():
            hints = {one.name: one.dataType for one in hint.fields} if isinstance(hint, t.StructType) else {}
            return t.StructType([t.StructField(str(k), infer(one, hints.get(k))) for k, one in value.items()])
        case list() | tuple() | set() | frozenset():
            element = hint.elementType if isinstance(hint, t.ArrayType) else None
            return t.ArrayType(together(infer(one, element) for one in value))
    return _other(value, hint)


def _whole(value: int, hint: t.DataType | None) -> t.DataType:
    if hint is not None and abs(value) < LIMITS.get(type(hint), 0):
        return hint
    if -INT_MAX <= value < INT_MAX:
        return t.IntegerType()
    return t.LongType() if -LONG_MAX <= value < LONG_MAX else t.DecimalType(38, 0)


def _other(value: Any, hint: t.DataType | None) -> t.DataType:
    match value:
        case datetime.datetime():
            return t.TimestampType()
        case datetime.date():
            return t.DateType()
        case bytes() | bytearray():
            return t.BinaryType()
        case decimal.Decimal():
            if isinstance(hint, t.DecimalType):
                return hint
            _, digits, exponent = value.as_tuple()
            scale = max(0, -int(exponent))
            return t.DecimalType(min(38, max(len(digits), scale) + max(0, int(exponent))), min(38, scale))
    raise TypeError(f"a record's value cannot be a {type(value).__name__}")


def together(kinds: Iterable[t.DataType]) -> t.DataType:
    """The type of all these values."""
    made: t.DataType = t.NullType()
    for one in kinds:
        made = merge(made, one)
    return made


def known(schema: t.StructType, hint: t.StructType | None) -> t.StructType:
    """A schema in which fields without any value have the type that they had before."""
    before = {one.name: one.dataType for one in hint.fields} if hint else {}
    return t.StructType([t.StructField(one.name, _known(one.dataType, before.get(one.name))) for one in schema.fields])


def _known(kind: t.DataType, hint: t.DataType | None) -> t.DataType:
    match kind, hint:
        case t.NullType(), t.DataType():
            return hint
        case t.StructType(), t.StructType() if not is_choice(kind):
            return known(kind, hint)
        case t.ArrayType(), t.ArrayType():
            return t.ArrayType(_known(kind.elementType, hint.elementType))
    return kind


def encode(value: Any, kind: t.DataType) -> Any:
    """A Python value as createDataFrame takes it for a type."""
    if value is None:
        return None
    match kind:
        case t.StructType() if is_choice(kind):
            kinds = alternatives(kind)
            name = name_of(infer(value))
            if name not in kinds:
                name = next((each for each in kinds if each == name or both_whole(each, name)), name)
                name = "map" if name == "struct" and "map" in kinds else name
            return tuple(encode(value, one) if each == name else None for each, one in kinds.items())
        case t.StructType():
            return tuple(encode(value.get(one.name), one.dataType) for one in kind.fields)
        case t.ArrayType():
            return [encode(one, kind.elementType) for one in value]
        case t.MapType():
            return {key: encode(one, kind.valueType) for key, one in value.items()}
        case t.DoubleType() | t.FloatType():
            return float(value)
        case t.DecimalType():
            return decimal.Decimal(value)
    return value


def decode(value: Any, kind: t.DataType) -> Any:
    """What `encode` takes: dicts, lists and plain values; of a choice, the value that is there."""
    if value is None:
        return None
    match kind:
        case t.StructType() if is_choice(kind):
            pairs = ((one, each.dataType) for one, each in zip(value, kind.fields, strict=True) if one is not None)
            return next((decode(one, each) for one, each in pairs), None)
        case t.StructType():
            return {one.name: decode(each, one.dataType) for each, one in zip(value, kind.fields, strict=True)}
        case t.ArrayType():
            return [decode(one, kind.elementType) for one in value]
        case t.MapType():
            return {key: decode(one, kind.valueType) for key, one in value.items()}
    return value
