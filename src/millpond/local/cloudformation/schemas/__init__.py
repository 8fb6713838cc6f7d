"""The public resource schemas, vendored: which properties exist, are required, force a replacement, are attributes.

One file a type, made by vendor.py. A schema is read when its type is first used.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.local.cloudformation.intrinsics import UNKNOWN, text

HERE = Path(__file__).parent
Steps = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """What the engine decides by."""

    type: str
    document: dict[str, Any]
    create_only: tuple[Steps, ...]
    attributes: frozenset[str]
    tag_property: str
    tags_are_map: bool

    @property
    def properties(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document.get("properties", {})
        return found


EMPTY: dict[str, Any] = {"additionalProperties": True, "properties": {}}


@functools.cache
def schema_of(kind: str) -> Schema:
    """The schema of a type; one that allows everything for a `Custom::*`."""
    if kind.startswith("Custom::") or kind == "AWS::CloudFormation::CustomResource":
        document: dict[str, Any] = {**EMPTY, "required": ["ServiceToken"],
                                    "createOnlyProperties": ["/properties/ServiceToken"]}  # fmt: skip
    else:
        path = HERE / f"{kind.replace('::', '-')}.json"
        document = json.loads(path.read_text()) if path.exists() else EMPTY
    tagging = document.get("tagging", {})
    tags = tagging.get("tagProperty", "").removeprefix("/properties/") if tagging.get("taggable", True) else ""
    if not tags and "Tags" in document.get("properties", {}):
        tags = "Tags"
    shape = _follow(document.get("properties", {}).get(tags, {}), document)
    return Schema(
        type=kind,
        document=document,
        create_only=tuple(_steps(path) for path in document.get("createOnlyProperties", ())),
        attributes=frozenset(".".join(_steps(path)) for path in document.get("readOnlyProperties", ())),
        tag_property=tags,
        tags_are_map=shape.get("type") != "array",
    )


def _steps(pointer: str) -> Steps:
    return tuple(part for part in pointer.removeprefix("/properties/").split("/") if part != "properties")


def _follow(shape: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in shape:
        found: Any = document
        for part in shape["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        shape = found
    return shape


@dataclass(frozen=True, slots=True)
class Finding:
    """A property that the schema does not allow. `path` is below Properties."""

    path: tuple[str | int, ...]
    message: str
    late: bool = False  # a constraint on a value, judged when the resource's turn comes

    @property
    def pointer(self) -> str:
        return "/".join(["#", *map(str, self.path)])


def findings(kind: str, properties: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with evaluated properties. A value that is UNKNOWN until deploy is taken as right."""
    schema = schema_of(kind)
    yield from _check(schema.document, properties, schema.document, ())


def _check(shape: Any, value: Any, document: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[Finding]:
    if value is UNKNOWN or not isinstance(shape, dict):
        return
    shape = _follow(shape, document)
    kinds = shape.get("type", "object" if "properties" in shape else None)
    allowed = kinds if isinstance(kinds, list) else [kinds] if kinds else []
    if allowed and not any(_is_a(kind, value) for kind in allowed):
        yield Finding(path, f"expected type: {'/'.join(allowed)}, found: {_kind(value)}")
        return
    match value:
        case dict():
            yield from _check_object(shape, value, document, path)
        case list():
            for index, item in enumerate(value):
                yield from _check(shape.get("items"), item, document, (*path, index))
        case _:
            yield from _check_scalar(shape, value, path)


def _check_object(
    shape: dict[str, Any], value: dict[str, Any], document: dict[str, Any], path: tuple[str | int, ...]
) -> Iterator[Finding]:
    members = shape.get("properties", {})
    for name in shape.get("required", ()):
        if name not in value:
            yield Finding(path, f"required key [{name}] not found")
    if "properties" not in shape:
        return
    for name, item in value.items():
        if name in members:
            yield from _check(members[name], item, document, (*path, name))
        elif shape.get("additionalProperties", True) is False and not _patterned(shape, name):
            yield Finding((*path, name), f"extraneous key [{name}] is not permitted")


def _patterned(shape: dict[str, Any], name: str) -> bool:
    return any(re.search(pattern, name) for pattern in shape.get("patternProperties", {}))


def _check_scalar(shape: dict[str, Any], value: Any, path: tuple[str | int, ...]) -> Iterator[Finding]:
    if isinstance(value, str) and "{{resolve:" in value:
        return  # its value is known only at use
    enum = shape.get("enum")
    if enum and text(value) not in [text(item) for item in enum]:
        yield Finding(path, f"{text(value)} is not a valid enum value")
    pattern = shape.get("pattern")
    if pattern and isinstance(value, str) and not re.search(pattern, value):
        yield Finding(path, f"string [{value}] does not match pattern {pattern}", late=True)
    length = len(text(value))
    if isinstance(value, str) and not shape.get("minLength", 0) <= length <= shape.get("maxLength", length):
        yield Finding(
            path, f"expected a length from {shape.get('minLength', 0)} to {shape.get('maxLength', 'any')}", late=True
        )
    if not isinstance(value, (bool, str)) and not _in_range(shape, value):
        yield Finding(
            path, f"{text(value)} is not from {shape.get('minimum', '')} to {shape.get('maximum', '')}", late=True
        )


def _in_range(shape: dict[str, Any], value: Any) -> bool:
    return bool(shape.get("minimum", value) <= value <= shape.get("maximum", value))


_NUMBER = re.compile(r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$")


def _is_a(kind: str, value: Any) -> bool:
    """Whether a value passes for a type: templates write numbers and booleans as text, and text as numbers."""
    dynamic = isinstance(value, str) and "{{resolve:" in value
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, (str, int, float, bool))
        case "boolean":
            return isinstance(value, bool) or value in ("true", "false") or dynamic
        case "integer" | "number":
            return (isinstance(value, (int, float)) and not isinstance(value, bool)) or (
                isinstance(value, str) and (bool(_NUMBER.match(value)) or dynamic)
            )
        case _:
            return True


def _kind(value: Any) -> str:
    names = {dict: "JSONObject", list: "JSONArray", bool: "Boolean", int: "Integer", float: "Number", str: "String"}
    return names.get(type(value), type(value).__name__)


def at(properties: Any, steps: Steps) -> Any:
    """The value at a path, or None. `*` stands for every item of a list."""
    for index, step in enumerate(steps):
        if step == "*":
            return [at(item, steps[index + 1 :]) for item in properties] if isinstance(properties, list) else None
        if not isinstance(properties, dict) or step not in properties:
            return None
        properties = properties[step]
    return properties
