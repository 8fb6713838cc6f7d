"""Paths into a DynamicFrame's records: `a.b`, `` `a.b` `` (one name), `list[].price`, and edits of what they lead to.

A path goes through arrays and choices by itself: `friends.age` is the age in each element (AWS docs, "DynamicFrame
class", drop_fields). `[]` at the end means the elements and not the array.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue._choices import is_choice, tick

ELEMENTS = "[]"
PART = re.compile(r"`((?:[^`]|``)*)`(\[\])?|([^.`]+?)(\[\])?(?=\.|$)")

Edit = Callable[[str, Column, t.DataType], Iterable[tuple[str, Column]]]


def parts(path: str) -> list[str]:
    """The names on a path, and ELEMENTS when it ends with it. ValueError when it is no path."""
    names: list[str] = []
    at = 0
    while at < len(path):
        found = PART.match(path, at)
        if not found:
            raise ValueError(f"{path!r} is not a path: names with a dot belong in backticks")
        quoted, _, bare, _ = found.groups()
        names.append(quoted.replace("``", "`") if quoted is not None else bare)
        at = found.end()
        ends_in_elements = bool(found.group(2) or found.group(4))
        if at < len(path) and path[at] != ".":
            raise ValueError(f"{path!r} is not a path: a dot is missing after {path[:at]!r}")
        at += 1
        if at >= len(path) and ends_in_elements:
            names.append(ELEMENTS)
    return names


def names(path: str) -> list[str]:
    """The names on a path, or what is no path as one name: `.id`, which Join makes."""
    try:
        return parts(path) or [path]
    except ValueError:
        return [path.strip("`")]


def find(schema: t.StructType, path: str, *, case_sensitive: bool = True) -> list[str] | None:
    """The names that lead to a path's field as the schema spells them; None when it is not there.

    A top-level column is also found under its bare name when that has dots and leads nowhere else.
    """
    found = _steps(schema, names(path), case_sensitive)
    return found if found is not None else _steps(schema, [path.strip("`")], case_sensitive)


def _steps(kind: t.DataType, names: Sequence[str], case_sensitive: bool) -> list[str] | None:
    if not names:
        return []
    if isinstance(kind, t.ArrayType):
        if names[0] == ELEMENTS:
            return [ELEMENTS]
        return _steps(kind.elementType, names, case_sensitive)
    if not isinstance(kind, t.StructType):
        return None
    if is_choice(kind):
        ways = (_steps(one.dataType, names, case_sensitive) for one in kind.fields)
        return next((way for way in ways if way is not None), None)
    head, *rest = names
    for one in kind.fields:
        if one.name == head or (not case_sensitive and one.name.lower() == head.lower()):
            way = _steps(one.dataType, rest, case_sensitive)
            if way is not None:
                return [one.name, *way]
    return None


def value(frame: DataFrame, steps: Sequence[str]) -> tuple[Column, t.DataType]:
    """The column of a field that `find` found; through an array, an array of what the elements have."""
    head, *rest = steps
    return _inside(frame[tick(head)], frame.schema[head].dataType, rest)


def _inside(column: Column, kind: t.DataType, steps: Sequence[str]) -> tuple[Column, t.DataType]:
    if not steps or steps[0] == ELEMENTS:
        return column, kind
    if isinstance(kind, t.ArrayType):
        element = kind.elementType
        made = f.transform(column, lambda each: _inside(each, element, steps)[0])
        return made, t.ArrayType(_inside(column, element, steps)[1])
    assert isinstance(kind, t.StructType)
    if is_choice(kind):
        one = next(each for each in kind.fields if _steps(each.dataType, steps, True) is not None)
        return _inside(column.getField(one.name), one.dataType, steps)
    return _inside(column.getField(steps[0]), kind[steps[0]].dataType, steps[1:])


def edited(frame: DataFrame, steps: Sequence[str], edit: Edit) -> DataFrame:
    """The frame with one field replaced by what `edit(name, column, type)` gives: none, one or more named columns."""
    fields = ((one.name, frame[tick(one.name)], one.dataType) for one in frame.schema.fields)
    return frame.select(*(column.alias(name) for name, column in _edited(fields, steps, edit)))


def _edited(
    fields: Iterable[tuple[str, Column, t.DataType]], steps: Sequence[str], edit: Edit
) -> Iterator[tuple[str, Column]]:
    head, *rest = steps
    for name, column, kind in fields:
        if name != head:
            yield name, column
        elif rest:
            yield name, _within(column, kind, rest, edit)
        else:
            yield from edit(name, column, kind)


def _within(column: Column, kind: t.DataType, steps: Sequence[str], edit: Edit) -> Column:
    if isinstance(kind, t.ArrayType):
        element = kind.elementType
        if steps[0] == ELEMENTS:
            return f.transform(column, lambda each: next(iter(edit("element", each, element)))[1])
        return f.transform(column, lambda each: _within(each, element, steps, edit))
    assert isinstance(kind, t.StructType)
    if is_choice(kind):
        way = next(each.name for each in kind.fields if _steps(each.dataType, steps, True) is not None)
        made = [
            (
                _within(column.getField(one.name), one.dataType, steps, edit)
                if one.name == way
                else column.getField(one.name)
            ).alias(one.name)
            for one in kind.fields
        ]
        return f.when(column.isNotNull(), f.struct(*made))
    inner = ((one.name, column.getField(one.name), one.dataType) for one in kind.fields)
    made = [each.alias(name) for name, each in _edited(inner, steps, edit)]
    return f.when(column.isNotNull(), f.struct(*made)) if made else f.lit(None)


def choices(kind: t.DataType, names: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each choice in a type that is not inside another choice."""
    if is_choice(kind):
        yield names
    elif isinstance(kind, t.StructType):
        for one in kind.fields:
            yield from choices(one.dataType, (*names, one.name))
    elif isinstance(kind, t.ArrayType):
        ends = (*names, ELEMENTS) if is_choice(kind.elementType) else names
        yield from ([ends] if is_choice(kind.elementType) else choices(kind.elementType, names))
