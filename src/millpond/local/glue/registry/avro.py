"""Avro schemas: parsed as the Avro specification 1.11 says ("Schema Declaration"), compared as it says ("Schema
Resolution"). Named types are looked up by their full names, so recursive schemas are compared once a pair."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.local.glue.registry import SchemaError

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
DEEPEST = 100


@dataclass(slots=True)
class Type:
    """One type. `kind` is a primitive, record, enum, fixed, array, map, union or, for a name that is known, `named`."""

    kind: str
    name: str = ""
    aliases: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    default: str | None = None
    size: int = 0
    inner: tuple[Type, ...] = ()  # a union's branches; an array's items or a map's values


@dataclass(slots=True)
class Field:
    name: str
    type: Type
    has_default: bool
    aliases: tuple[str, ...] = ()


@dataclass(slots=True)
class Schema:
    """A whole schema and its named types."""

    root: Type
    names: dict[str, Type] = field(default_factory=dict)

    def of(self, one: Type) -> Type:
        return self.names[one.name] if one.kind == "named" else one


def parse(document: Any) -> Schema:
    """The schema of a JSON document. Raises SchemaError."""
    names: dict[str, Type] = {}
    root = _Reader(names).type(document, "", 0)
    return Schema(root, names)


class _Reader:
    def __init__(self, names: dict[str, Type]) -> None:
        self.names = names

    def type(self, given: Any, space: str, depth: int) -> Type:
        if depth > DEEPEST:
            raise SchemaError("it is nested too deeply")
        match given:
            case str():
                return self.named(given, space)
            case list():
                return self.union(given, space, depth)
            case {"type": str() as kind}:
                return self.declared(kind, given, space, depth)
            case {"type": inner}:
                return self.type(inner, space, depth + 1)
        raise SchemaError(f"no type: {str(given)[:100]}")

    def named(self, name: str, space: str) -> Type:
        if name in PRIMITIVES:
            return Type(name)
        full = name if "." in name or not space else f"{space}.{name}"
        if full not in self.names and name in self.names:
            full = name
        if full not in self.names:
            raise SchemaError(f"undefined name: {name[:200]}")
        return Type("named", full)

    def union(self, given: list[Any], space: str, depth: int) -> Type:
        branches = tuple(self.type(one, space, depth + 1) for one in given)
        kinds = [one.name or one.kind for one in branches]
        if any(one.kind == "union" for one in branches):
            raise SchemaError("a union holds a union")
        if len(set(kinds)) != len(kinds):
            raise SchemaError("a union holds a type twice")
        return Type("union", inner=branches)

    def declared(self, kind: str, given: Mapping[str, Any], space: str, depth: int) -> Type:
        match kind:
            case "array" | "map":
                member = "items" if kind == "array" else "values"
                if member not in given:
                    raise SchemaError(f"no {member} in {kind}")
                return Type(kind, inner=(self.type(given[member], space, depth + 1),))
            case "record" | "error" | "enum" | "fixed":
                return self.define(kind, given, space, depth)
        return self.named(kind, space)

    def define(self, kind: str, given: Mapping[str, Any], space: str, depth: int) -> Type:
        name = _full(given.get("name"), given.get("namespace"), space)
        if name in self.names:
            raise SchemaError(f"can't redefine: {name}")
        inside = name.rpartition(".")[0]
        made = Type("record" if kind == "error" else kind, name)
        made.aliases = tuple(_full(alias, None, inside) for alias in _texts(given.get("aliases") or [], "aliases"))
        self.names[name] = made
        match made.kind:
            case "record":
                made.fields = self.fields(given.get("fields"), inside, depth)
            case "enum":
                made.symbols = _symbols(given.get("symbols"))
                made.default = given.get("default")
                if made.default is not None and made.default not in made.symbols:
                    raise SchemaError(f"the default of {name} is not one of its symbols")
            case _:
                size = given.get("size")
                if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                    raise SchemaError(f"the size of {name} is not a number")
                made.size = size
        return Type("named", name)

    def fields(self, given: Any, space: str, depth: int) -> tuple[Field, ...]:
        if not isinstance(given, list):
            raise SchemaError("a record has no fields")
        made = [self.field(one, space, depth) for one in given]
        if len({one.name for one in made}) != len(made):
            raise SchemaError("a record has a field twice")
        return tuple(made)

    def field(self, given: Any, space: str, depth: int) -> Field:
        if not isinstance(given, dict) or "type" not in given:
            raise SchemaError("a field has no type")
        name, kind = _simple(given.get("name")), self.type(given["type"], space, depth + 1)
        if "default" in given and not self.fits(kind, given["default"]):
            raise SchemaError(f"the default of the field {name} is not of its type")
        return Field(name, kind, "default" in given, tuple(_texts(given.get("aliases") or [], "aliases")))

    def fits(self, kind: Type, value: Any) -> bool:
        """Whether a default is one; of a union its first branch counts (any, since Avro 1.12)."""
        kind = self.names[kind.name] if kind.kind == "named" else kind
        match kind.kind:
            case "null":
                return value is None
            case "boolean":
                return isinstance(value, bool)
            case "int" | "long":
                bits = 31 if kind.kind == "int" else 63
                return isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits
            case "float" | "double":
                return isinstance(value, int | float) and not isinstance(value, bool)
            case "array":
                return isinstance(value, list) and all(self.fits(kind.inner[0], one) for one in value)
            case "map":
                return isinstance(value, dict) and all(self.fits(kind.inner[0], one) for one in value.values())
            case "union":
                return bool(kind.inner) and self.fits(kind.inner[0], value)
            case "record":
                return isinstance(value, dict) and all(
                    self.fits(one.type, value[one.name]) if one.name in value else one.has_default
                    for one in kind.fields
                )
            case "enum":
                return value in kind.symbols
        return isinstance(value, str)


def _simple(name: Any) -> str:
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise SchemaError(f"illegal name: {str(name)[:100]}")
    return name


def _full(name: Any, namespace: Any, space: str) -> str:
    if not isinstance(name, str):
        raise SchemaError("a named type has no name")
    for part in name.split("."):
        _simple(part)
    if "." in name:
        return name
    if namespace is not None and not isinstance(namespace, str):
        raise SchemaError("a namespace is not a text")
    space = space if namespace is None else namespace
    return f"{space}.{name}" if space else name


def _texts(given: Any, what: str) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise SchemaError(f"{what} are not a list of texts")
    return given


def _symbols(given: Any) -> tuple[str, ...]:
    symbols = tuple(_simple(one) for one in _texts(given, "symbols"))
    if len(set(symbols)) != len(symbols):
        raise SchemaError("an enum has a symbol twice")
    return symbols


# -- resolution --------------------------------------------------------------------------------------------------------


def reads(reader: Schema, writer: Schema) -> bool:
    """Whether data of the writer's schema can be read with the reader's."""
    return _Comparison(reader, writer).reads(reader.root, writer.root)


class _Comparison:
    def __init__(self, reader: Schema, writer: Schema) -> None:
        self.reader, self.writer = reader, writer
        self.under_way: set[tuple[str, str]] = set()  # pairs of names that are being compared, or are known to fit

    def reads(self, mine: Type, theirs: Type) -> bool:
        mine, theirs = self.reader.of(mine), self.writer.of(theirs)
        if theirs.kind == "union":
            return all(self.reads(mine, branch) for branch in theirs.inner)
        if mine.kind == "union":
            return any(self.reads(branch, theirs) for branch in mine.inner)
        if mine.kind != theirs.kind:
            return mine.kind in PROMOTIONS.get(theirs.kind, ())
        match mine.kind:
            case "array" | "map":
                return self.reads(mine.inner[0], theirs.inner[0])
            case "record" | "enum" | "fixed":
                return self.same_name(mine, theirs) and self.named(mine, theirs)
        return True

    def same_name(self, mine: Type, theirs: Type) -> bool:
        short = [name.rpartition(".")[2] for name in (mine.name, theirs.name)]
        return short[0] == short[1] or theirs.name in mine.aliases

    def named(self, mine: Type, theirs: Type) -> bool:
        match mine.kind:
            case "fixed":
                return mine.size == theirs.size
            case "enum":
                return mine.default is not None or set(theirs.symbols) <= set(mine.symbols)
        pair = (mine.name, theirs.name)
        if pair in self.under_way:
            return True
        self.under_way.add(pair)
        written = {one.name: one for one in theirs.fields}
        return all(self.field(one, written) for one in mine.fields)

    def field(self, mine: Field, written: Mapping[str, Field]) -> bool:
        theirs = next((written[name] for name in (mine.name, *mine.aliases) if name in written), None)
        return mine.has_default if theirs is None else self.reads(mine.type, theirs.type)
