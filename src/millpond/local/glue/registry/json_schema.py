"""JSON Schemas of drafts 04, 06 and 07: their frame is checked, and one is held against another.

`accepts(wide, narrow)`: is each document that the narrow schema lets through let through by the wide one? Keywords are
compared one after the other; where both schemas have the same text for what cannot be compared (anyOf, not, if,
patternProperties...), that counts as equal, else Unknown is raised, with the keyword.

One leniency, because AWS documents that optional fields may be added under BACKWARD: a property that only the wide
schema describes, and does not require, is taken as new. Strictly, documents may already have had any value there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.glue.registry import SchemaError, Unknown

TYPES = frozenset({"null", "boolean", "object", "array", "number", "string", "integer"})
DRAFTS = re.compile(r"https?://json-schema\.org/(draft-0[467]/)?schema#?")
DEEPEST = 60
MANY = ("properties", "patternProperties", "definitions", "dependencies")
LISTS = ("allOf", "anyOf", "oneOf")
ONE = ("not", "additionalProperties", "additionalItems", "contains", "propertyNames", "if", "then", "else")
NOTES = frozenset({"$schema", "$id", "id", "title", "description", "default", "examples", "$comment", "definitions"})
# The wide bound must be at most, or at least, the narrow one.
AT_MOST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_LEAST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
COMPARED = frozenset({*AT_MOST, *AT_LEAST, "type", "enum", "const", "required", "properties", "additionalProperties"})
COMPARED |= {"items", "uniqueItems", "multipleOf", "$ref"}


def parse(document: Any) -> Any:
    """The schema, its frame checked. Raises SchemaError."""
    _check(document, 0)
    draft = document.get("$schema") if isinstance(document, dict) else None
    if draft is not None and not (isinstance(draft, str) and DRAFTS.fullmatch(draft)):
        raise SchemaError(f"the draft {str(draft)[:100]} is not supported")
    return document


def _check(schema: Any, depth: int) -> None:  # noqa: C901 (one keyword after the other)
    if depth > DEEPEST:
        raise SchemaError("it is nested too deeply")
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SchemaError("a schema is not an object")
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in TYPES:
            raise SchemaError(f"no type: {str(kind)[:100]}")
    for keyword in MANY:
        inner = schema.get(keyword, {})
        if not isinstance(inner, dict):
            raise SchemaError(f"{keyword} is not an object")
        for one in inner.values():
            if not (keyword == "dependencies" and isinstance(one, list)):
                _check(one, depth + 1)
    for keyword in LISTS:
        if keyword in schema:
            if not isinstance(schema[keyword], list) or not schema[keyword]:
                raise SchemaError(f"{keyword} is not a list of schemas")
            for one in schema[keyword]:
                _check(one, depth + 1)
    for keyword in ONE:
        if keyword in schema:
            _check(schema[keyword], depth + 1)
    items = schema.get("items", True)
    for one in items if isinstance(items, list) else [items]:
        _check(one, depth + 1)
    _check_values(schema)


def _check_values(schema: Mapping[str, Any]) -> None:
    for keyword in (*AT_MOST, *AT_LEAST, "multipleOf"):
        value = schema.get(keyword, 0)
        # Draft 04's exclusiveMinimum is a boolean beside the minimum.
        if not isinstance(value, int | float) or (isinstance(value, bool) and not keyword.startswith("exclusive")):
            raise SchemaError(f"{keyword} is not a number")
    if not isinstance(schema.get("enum", [0]), list) or schema.get("enum") == []:
        raise SchemaError("enum is not a list of values")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise SchemaError("required is not a list of names")
    for keyword in ("pattern", "format", "$ref"):
        if not isinstance(schema.get(keyword, ""), str):
            raise SchemaError(f"{keyword} is not a text")


# -- one against the other ---------------------------------------------------------------------------------------------


def accepts(wide: Any, narrow: Any) -> bool:
    """Whether the wide schema lets through all that the narrow one does. Raises Unknown."""
    return _Comparison(wide, narrow).accepts(wide, narrow, 0)


class _Comparison:
    def __init__(self, wide: Any, narrow: Any) -> None:
        self.wide, self.narrow = wide, narrow

    def accepts(self, wide: Any, narrow: Any, depth: int) -> bool:
        if depth > DEEPEST:
            raise Unknown("the schemas refer to themselves")
        wide, narrow = _followed(wide, self.wide), _followed(narrow, self.narrow)
        if wide == narrow and "$ref" not in str(wide):
            return True
        if wide is True or narrow is False or wide == {}:
            return True
        if wide is False:
            return False
        narrow = {} if narrow is True else narrow
        self.comparable(wide, narrow)
        return (
            _types(wide, narrow)
            and _values(wide, narrow)
            and _bounds(wide, narrow)
            and set(wide.get("required", [])) <= set(narrow.get("required", []))
            and self.properties(wide, narrow, depth)
            and self.items(wide, narrow, depth)
        )

    def comparable(self, wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> None:
        """What has no rule here must be the same on both sides, or missing on the wide one."""
        for keyword in (wide.keys() | narrow.keys()) - NOTES - COMPARED:
            if keyword in wide and wide[keyword] != narrow.get(keyword):
                raise Unknown(f"the keyword {keyword} differs")

    def properties(self, wide: Mapping[str, Any], narrow: Mapping[str, Any], depth: int) -> bool:
        mine, theirs = wide.get("properties", {}), narrow.get("properties", {})
        others = (wide.get("additionalProperties", True), narrow.get("additionalProperties", True))
        for name, schema in mine.items():
            if name not in theirs and others[1] is True and name not in wide.get("required", []):
                continue  # the leniency of the module's docstring
            if not self.accepts(schema, theirs.get(name, others[1]), depth + 1):
                return False
        if not all(self.accepts(others[0], theirs[name], depth + 1) for name in theirs.keys() - mine.keys()):
            return False
        return self.accepts(*others, depth + 1)

    def items(self, wide: Mapping[str, Any], narrow: Mapping[str, Any], depth: int) -> bool:
        mine, theirs = wide.get("items", True), narrow.get("items", True)
        if isinstance(mine, list) or isinstance(theirs, list):
            if mine == theirs and wide.get("additionalItems", True) in (True, narrow.get("additionalItems", True)):
                return True
            raise Unknown("the keyword items is a list")
        return self.accepts(mine, theirs, depth + 1)


def _followed(schema: Any, root: Any) -> Any:
    """The schema that a $ref leads to; only inside the document."""
    for _ in range(DEEPEST):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        where, schema = schema["$ref"], root
        if not where.startswith("#"):
            raise Unknown(f"the reference {where[:100]} leads out of the schema")
        for step in where.removeprefix("#").strip("/").split("/") if where.strip("#/") else ():
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(schema, dict) or name not in schema:
                raise Unknown(f"the reference {where[:100]} leads nowhere")
            schema = schema[name]
    raise Unknown("the references go in a circle")


def _types(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    def types(schema: Mapping[str, Any]) -> set[str]:
        given = schema.get("type")
        found = set(TYPES) if given is None else {given} if isinstance(given, str) else set(given)
        return found | ({"integer"} if "number" in found else set())

    return types(narrow) <= types(wide)


def _values(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    def values(schema: Mapping[str, Any]) -> list[Any] | None:
        return [schema["const"]] if "const" in schema else schema.get("enum")

    mine, theirs = values(wide), values(narrow)
    return mine is None or (theirs is not None and all(value in mine for value in theirs))


def _bounds(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    rules: tuple[tuple[tuple[str, ...], Callable[[Any, Any], bool]], ...] = (
        (AT_MOST, lambda mine, theirs: mine <= theirs),
        (AT_LEAST, lambda mine, theirs: mine >= theirs),
    )
    for keywords, holds in rules:
        for keyword in keywords:
            mine, theirs = wide.get(keyword), narrow.get(keyword)
            if mine is None or mine == theirs or mine is False:
                continue
            if isinstance(mine, bool) or isinstance(theirs, bool):
                raise Unknown(f"the keyword {keyword} differs")
            if theirs is None or not holds(mine, theirs):
                return False
    if wide.get("uniqueItems") and not narrow.get("uniqueItems"):
        return False
    mine, theirs = wide.get("multipleOf"), narrow.get("multipleOf")
    return mine is None or mine == theirs or (theirs is not None and theirs % mine == 0)
