"""Hive's types as a crawler infers them: how two of them meet, and how they are spelled.

A scalar is its name. `UNKNOWN` is a column of which only nulls were seen: it fits every type and is written as
`string`. Names inside a struct keep their case; columns of a table are lower-cased by their owner.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

UNKNOWN = "?"
UNWRITTEN = re.compile(r"[^\t\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)
WIDTHS = ("int", "bigint", "double")  # what text formats infer, from narrow to wide


@dataclass(frozen=True, slots=True)
class Array:
    item: Type


@dataclass(frozen=True, slots=True)
class Struct:
    fields: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Map:
    key: Type
    value: Type


Type = str | Array | Struct | Map


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is the catalog's (lower case), `source` the file's own spelling."""

    name: str
    type: Type
    source: str = ""


Columns = tuple[Column, ...]


def unique(columns: Iterable[Column]) -> Columns:
    """Columns whose names differ in case only become one, of the type that holds both. No column is without a name."""
    found: dict[str, Column] = {}
    for column in columns:
        name = written(column.name)
        if before := found.get(name):
            found[name] = replace(before, type=widen(before.type, column.type))
        elif name:
            found[name] = column if name == column.name else Column(name, column.type, written(column.source))
    return tuple(found.values())


def written(name: str) -> str:
    """A name as Glue's pattern for names wants it: control characters and halves of surrogate pairs become `?`."""
    return name if name.isprintable() else UNWRITTEN.sub("?", name)


def spell(of: Type) -> str:
    """The type as the catalog writes it: `struct<id:int,tags:array<string>>`. Members of a struct are, as columns,
    one where their names differ in case only: nothing that reads the table could tell them apart."""
    match of:
        case Array(item):
            return f"array<{spell(item)}>"
        case Map(key, value):
            return f"map<{spell(key)},{spell(value)}>"
        case Struct(fields):
            members = unique(Column(name.lower(), kind, name) for name, kind in fields)
            inner = ",".join(f"{written(one.source or one.name)}:{spell(one.type)}" for one in members)
            return f"struct<{inner}>" if inner else "string"
        case _:
            return "string" if of == UNKNOWN else of


def widen(one: Type, other: Type) -> Type:
    """The type that holds both: the wider number, the union of structs, else `string`."""
    if one == other or other == UNKNOWN:
        return one
    match one, other:
        case "?", _:
            return other
        case str(), str() if one in WIDTHS and other in WIDTHS:
            return max(one, other, key=WIDTHS.index)
        case Array(a), Array(b):
            return Array(widen(a, b))
        case Map(a, b), Map(c, d):
            return Map(widen(a, c), widen(b, d))
        case Struct(a), Struct(b):
            merged = dict(a)
            for name, kind in b:
                merged[name] = widen(merged[name], kind) if name in merged else kind
            return Struct(tuple(merged.items()))
        case _:
            return "string"


def alike(one: Type, other: Type) -> bool:
    """Whether two columns of one name count as the same for the similarity of schemas.

    Widths of integers read from text depend on the values that happen to be there, so `int` and `bigint` are alike;
    so are nested types that differ in optional members.
    """
    match one, other:
        case ("?", _) | (_, "?"):
            return True
        case Array(a), Array(b):
            return alike(a, b)
        case Struct(), Struct():
            return True
        case str(), str():
            return one == other or {one, other} == {"int", "bigint"}
        case _:
            return one == other


JSON_SCALARS = {str: "string", bool: "boolean", float: "double", type(None): UNKNOWN}


def of_json(value: Any) -> Type:
    """The type of a decoded JSON value: `int` when it fits 32 bits, else `bigint`."""
    if (scalar := JSON_SCALARS.get(type(value))) is not None:  # most values; a million of them a crawl
        return scalar
    match value:
        case int():
            return "int" if value in INT32 else "bigint" if value in INT64 else "double"
        case list():
            return Array(widest(of_json(item) for item in value))
        case dict():
            return Struct(tuple((name, of_json(member)) for name, member in value.items()))
        case _:
            raise TypeError(f"{type(value).__name__} in JSON")


def widest(types: Iterable[Type]) -> Type:
    """The type that holds all; UNKNOWN when there is none."""
    found: Type = UNKNOWN
    for one in types:
        if one is not found and one != found:
            found = widen(found, one)
    return found


# Arrow's tests (functions of pyarrow.types), in order.
ARROW = (
    ("is_boolean", "boolean"),
    ("is_int8", "tinyint"),
    ("is_int16", "smallint"),
    ("is_uint8", "smallint"),
    ("is_int32", "int"),
    ("is_uint16", "int"),
    ("is_int64", "bigint"),
    ("is_uint32", "bigint"),
    ("is_uint64", "decimal(20,0)"),
    ("is_float64", "double"),
    ("is_floating", "float"),
    ("is_date", "date"),
    ("is_timestamp", "timestamp"),
    ("is_time32", "int"),
    ("is_time64", "bigint"),
    ("is_duration", "bigint"),
    ("is_string", "string"),
    ("is_large_string", "string"),
    ("is_string_view", "string"),
    ("is_null", "string"),
)


def of_arrow(kind: pa.DataType) -> Type:
    """Hive's type for an Arrow type, as Parquet and ORC files give it. Binary is what is left."""
    from pyarrow import types  # here: it takes long, and the endpoint starts without it

    if types.is_decimal(kind):
        return f"decimal({min(kind.precision, 38)},{kind.scale})"
    if types.is_dictionary(kind):
        return of_arrow(kind.value_type)
    if types.is_map(kind):
        return Map(of_arrow(kind.key_type), of_arrow(kind.item_type))
    if types.is_struct(kind):
        return Struct(tuple((field.name, of_arrow(field.type)) for field in kind))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return Array(of_arrow(kind.value_type))
    return next((name for test, name in ARROW if getattr(types, test)(kind)), "binary")


AVRO = {"boolean": "boolean", "int": "int", "long": "bigint", "float": "float", "double": "double", "bytes": "binary"}
AVRO_LOGICAL = {
    "date": "date",
    "timestamp-millis": "timestamp",
    "timestamp-micros": "timestamp",
    "local-timestamp-millis": "timestamp",
    "local-timestamp-micros": "timestamp",
}


def of_avro(schema: Any) -> Type:
    """Hive's type for an Avro schema (decoded JSON): a union with null is its other member, other unions are strings.

    A named type that is mentioned again (recursion) is a `string`: Hive has no recursive types.
    """
    match schema:
        case str():
            return AVRO.get(schema, "string")
        case list():
            real = [member for member in schema if member != "null"]
            return of_avro(real[0]) if len(real) == 1 else "string"
        case {"logicalType": "decimal", "precision": int(precision), **rest}:
            return f"decimal({min(precision, 38)},{rest.get('scale', 0)})"
        case {"logicalType": str(logical)} if logical in AVRO_LOGICAL:
            return AVRO_LOGICAL[logical]
        case {"type": "record", "fields": list(fields)}:
            return Struct(tuple((field["name"], of_avro(field["type"])) for field in fields))
        case {"type": "array", "items": items}:
            return Array(of_avro(items))
        case {"type": "map", "values": values}:
            return Map("string", of_avro(values))
        case {"type": "fixed"}:
            return "binary"
        case {"type": inner}:
            return of_avro(inner) if inner != "enum" else "string"
        case _:
            return "string"
