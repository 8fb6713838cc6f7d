"""Columns of transforms: what ApplyMapping makes of a field, what SplitRows compares, which fields have no value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _paths
from awsglue._choices import tick
from awsglue._table import glue_type


def mapping(given: Any) -> tuple[str, str, str, str]:
    """Source, its type, target, target type ("" keeps the type)."""
    if isinstance(given, str):
        return given, "", given, ""
    match list(given):
        case [source, said, target, kind]:
            return source, said or "", target, kind or ""
        case [source, target, kind]:
            return source, "", target, kind
        case [source, target]:
            return source, "", target, ""
    raise ValueError(f"a mapping is (source, source type, target, target type), not {given!r}")


BARE = ("array", "struct", "map", "object", "choice", "null", "void", "")


def mapped(column: Column, kind: t.DataType, said: str, wanted: str) -> Column:
    """A field as a mapping wants it: of a choice the values of the type that it names, when there are such."""
    if _choices.is_choice(kind):
        known = _choices.alternatives(kind)
        name = _choices.name_of(t._parse_datatype_string(glue_type(said))) if said.lower() not in BARE else said
        if name in known:
            column, kind = column.getField(_choices.MARK + name), known[name]
    bare = wanted.strip().lower()
    if bare in BARE:
        same = bare in ("choice", "null", "void", "") or kind.typeName() == bare.replace("object", "struct")
        return column if same else f.lit(None)
    target = glue_type(wanted)
    return column if kind.simpleString() == target.lower() else _choices.cast(column, kind, target)


def put(targets: dict[str, Any], path: str, column: Column) -> None:
    """Remember a target; `a.b` goes into a struct, `` `a.b` `` is one name."""
    head, *rest = _paths.names(path)
    for part in rest:
        inner = targets.setdefault(head, {})
        if not isinstance(inner, dict):
            raise ValueError(f"target {path}: {head} is a column already")
        targets, head = inner, part
    targets[head] = column


def nested(name: str, value: Any) -> Column:
    if isinstance(value, dict):
        return f.struct(*(nested(inner, one) for inner, one in value.items())).alias(name)
    column: Column = value.alias(name)
    return column


def comparable(column: Column, kind: t.DataType) -> Column:
    """A choice is compared as text."""
    return _choices.cast(column, kind, "string") if _choices.is_choice(kind) else column


def once(frame: DataFrame) -> DataFrame:
    """Each name once: of columns that share a name the second is `.name`, the third `..name`, as DynamicFrame.join
    has it. Two that a join holds for equal are one, with the first value that there is (a join of Glue Studio keeps
    both keys, and on AWS a record has one field of a name)."""
    kinds, equal = [one.dataType for one in frame.schema.fields], _equal(frame)
    made: dict[str, list[int]] = {}
    for at, name in enumerate(frame.columns):
        first = made.get(name, [at])[0]
        if {first, at} in equal and kinds[first] == kinds[at]:
            made[name].append(at)
            continue
        while name in made:
            name = f".{name}"
        made[name] = [at]
    numbered = frame.toDF(*map(str, range(len(frame.columns))))
    return numbered.select(
        *(f.coalesce(*(numbered[tick(str(at))] for at in found)).alias(name) for name, found in made.items())
    )


def _equal(frame: DataFrame) -> list[set[int]]:
    """The pairs of columns that the joins which made a frame hold for equal: by the numbers that Spark gives to values,
    which stay the same through filters, orders and selections."""
    jdf: Any = frame._jdf
    plan = jdf.queryExecution().analyzed()
    output, plans, conditions, found = plan.output(), [plan], [], []
    places = {output.apply(at).exprId().id(): at for at in range(output.size())}
    while plans:
        one = plans.pop()
        plans += _children(one)
        if one.nodeName() == "Join" and one.condition().isDefined():
            conditions.append(one.condition().get())
    while conditions:
        one = conditions.pop()
        if one.nodeName() == "And":
            conditions += _children(one)
        elif one.nodeName() in ("EqualTo", "EqualNullSafe"):
            sides = [side for side in _children(one) if side.nodeName() == "AttributeReference"]
            found.append({places[side.exprId().id()] for side in sides if side.exprId().id() in places})
    return found


def _children(node: Any) -> list[Any]:
    below = node.children()
    return [below.apply(n) for n in range(below.size())]


def drop_nulls(frame: DataFrame) -> DataFrame:
    """Without the fields whose type is null: those that have no value anywhere."""
    void = [one.name for one in frame.schema.fields if isinstance(one.dataType, t.NullType)]
    rest = [name for name in frame.columns if name not in void]
    if rest:
        seen = frame.agg(*(f.max(frame[tick(name)].isNotNull()).alias(str(n)) for n, name in enumerate(rest))).first()
        void += [name for n, name in enumerate(rest) if seen is not None and not seen[n]]
    return frame.drop(*void)


COMPARED: Mapping[str, Callable[[Column, Any], Column]] = {
    ">": lambda column, value: column > value,
    "<": lambda column, value: column < value,
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    "==": lambda column, value: column == value,
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
}


def comparisons(frame: DataFrame, wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[Column]:
    for path, rules in wanted.items():
        steps = _paths.find(frame.schema, path)
        if steps is None:
            raise ValueError(f"split_rows: no field {path}")
        column, kind = _paths.value(frame, steps)
        for sign, value in rules.items():
            if sign not in COMPARED:
                raise ValueError(f"split_rows: {sign!r} is none of {' '.join(COMPARED)}")
            if _choices.is_choice(kind):
                yield COMPARED[sign](_choices.cast(column, kind, _choices.infer(value)), value)
            else:
                yield COMPARED[sign](column, value)
