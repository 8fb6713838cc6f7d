"""ResolveChoice: what becomes of a field that has several types (AWS docs, "DynamicFrame class", resolveChoice)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _paths
from awsglue._table import glue_type

ACTIONS = ("cast", "project", "make_cols", "make_struct")


def by_specs(frame: DataFrame, specs: Iterable[Sequence[str]]) -> DataFrame:
    """Each (path, action) in its order; a path that leads nowhere is left out. ValueError for an unknown action."""
    for path, action in specs:
        verb, wanted = parsed(action)
        steps = _paths.find(frame.schema, path)
        if steps is not None:
            frame = _paths.edited(frame, steps, _edit(path, verb, wanted))
    return frame


def by_choice(frame: DataFrame, action: str) -> DataFrame:
    """One action for all choices, also those that it brings to light."""
    verb, wanted = parsed(action)
    while ways := list(_paths.choices(frame.schema)):
        inside_array = verb == "make_cols" and ways[0][-1] == _paths.ELEMENTS  # no place for columns: a struct
        edit = _edit(".".join(ways[0]), "make_struct" if inside_array else verb, wanted)
        frame = _paths.edited(frame, ways[0], edit)
    return frame


def parsed(action: str) -> tuple[str, str]:
    verb, _, wanted = action.partition(":")
    verb = verb.strip().lower()
    if verb not in ACTIONS or bool(wanted) != (verb in ("cast", "project")):
        raise ValueError(f"resolveChoice: {action!r} is none of cast:type, project:type, make_cols, make_struct")
    return verb, glue_type(wanted) if wanted else ""


def _edit(path: str, verb: str, wanted: str) -> _paths.Edit:
    def edit(name: str, column: Column, kind: t.DataType) -> Iterator[tuple[str, Column]]:
        if isinstance(kind, t.ArrayType) and not wanted.lower().startswith(("array", "string")):
            element = kind.elementType
            yield name, f.transform(column, lambda each: next(edit(name, each, element))[1])
        elif verb == "cast":
            yield name, _choices.cast(column, kind, wanted)
        elif not _choices.is_choice(kind):
            yield name, column
        elif verb == "project":
            yield name, _projected(column, kind, wanted)
        elif verb == "make_struct":
            yield name, _as_struct(column, kind)
        elif name == "element":
            raise ValueError(f"resolveChoice: make_cols has no place for columns inside the array {path}")
        else:
            for each in _choices.alternatives(kind):
                yield f"{name}_{each}", column.getField(_choices.MARK + each)

    return edit


def _as_struct(column: Column, kind: t.DataType) -> Column:
    """A struct with a field for each type. Choices inside stay choices."""
    fields = [column.getField(_choices.MARK + each).alias(each) for each in _choices.alternatives(kind)]
    return f.when(column.isNotNull(), f.struct(*fields))


def _projected(column: Column, kind: t.DataType, wanted: str) -> Column:
    """The values of one type; null for those of another."""
    known = _choices.alternatives(kind)
    name = _choices.name_of(t._parse_datatype_string(wanted)) if "<" not in wanted else wanted.partition("<")[0]
    same = next((each for each in known if each == name or _choices.both_whole(each, name)), None)
    if same is None:
        return f.lit(None).cast(wanted)
    return _choices.cast(column.getField(_choices.MARK + same), known[same], wanted)


def as_types(frame: DataFrame, types: dict[str, t.DataType]) -> DataFrame:
    """match_catalog: the columns in the types of a table, found by their names in lower case."""
    return frame.select(
        *(
            _as_type(frame[_choices.tick(one.name)], one.dataType, types[one.name.lower()]).alias(one.name)
            if one.name.lower() in types
            else frame[_choices.tick(one.name)]
            for one in frame.schema.fields
        )
    )


def _as_type(column: Column, kind: t.DataType, wanted: t.DataType) -> Column:
    if kind == wanted:
        return column
    if _choices.is_choice(kind):
        same = _choices.alternatives(kind).get(_choices.name_of(wanted))
        if same is not None and not isinstance(same, t.AtomicType):
            return _as_type(column.getField(_choices.MARK + _choices.name_of(wanted)), same, wanted)
        return _choices.cast(column, kind, wanted)
    match kind, wanted:
        case t.StructType(), t.StructType():
            types = {one.name.lower(): one.dataType for one in wanted.fields}
            made = [
                _as_type(column.getField(one.name), one.dataType, types.get(one.name.lower(), one.dataType)).alias(
                    one.name
                )
                for one in kind.fields
            ]
            return f.when(column.isNotNull(), f.struct(*made))
        case t.ArrayType(), t.ArrayType():
            element, wider = kind.elementType, wanted.elementType
            return f.transform(column, lambda each: _as_type(each, element, wider))
    return _choices.cast(column, kind, wanted)
