"""Read a template: JSON or YAML with CloudFormation's short tags, into plain JSON values.

A document that starts with `{` is JSON, all else is YAML. YAML goes through a safe loader that knows CloudFormation's
tags and no others, keeps dates as the strings they are written as, refuses duplicate keys, and refuses documents
whose aliases expand beyond `MAX_NODES` (a "billion laughs").

`line_of` finds the line of a path for messages; it composes the document again, only when there is a message to write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import yaml

from millpond.local.service import AwsError

MAX_BODY = 51_200  # bytes of TemplateBody (AWS docs: CloudFormation quotas)
MAX_OBJECT = 1_048_576  # bytes of a template in S3
MAX_NODES = 100_000  # JSON values after expanding aliases
MAX_DEPTH = 100

SECTIONS = frozenset(
    {"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions",
     "Transform", "Hooks", "Resources", "Outputs", "Globals"}
)  # fmt: skip

# Short tag -> long name. Those that are not `Fn::` keep their name.
TAGS = {
    **{f"!{name}": f"Fn::{name}" for name in (
        "And", "Base64", "Cidr", "Equals", "FindInMap", "GetAtt", "GetAZs", "If", "ImportValue", "Join", "Length",
        "Not", "Or", "Select", "Split", "Sub", "ToJsonString", "Transform", "ForEach", "Contains", "EachMemberEquals",
        "EachMemberIn", "RefAll", "ValueOf", "ValueOfAll")},
    "!Ref": "Ref",
    "!Condition": "Condition",
}  # fmt: skip

Path = Sequence[str | int]


def malformed(message: str) -> AwsError:
    return AwsError("ValidationError", f"Template format error: {message}")


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where the wheel has it


class Loader(_Fast):  # type: ignore[misc]
    """A safe loader with CloudFormation's tags, strings for dates, and no duplicate keys."""


class Composer(_Fast):  # type: ignore[misc]
    """Only for lines."""


def _short_tag(loader: Any, node: yaml.Node) -> dict[str, Any]:
    name = TAGS.get(node.tag)
    if name is None:
        raise yaml.MarkedYAMLError(None, None, f"unknown tag {node.tag}", node.start_mark)
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
            if name == "Fn::GetAtt":
                value = value.split(".", 1)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case _:
            value = loader.construct_mapping(node, deep=True)
    return {name: value}


def _mapping(loader: Any, node: yaml.MappingNode) -> Any:
    data: dict[Any, Any] = {}
    yield data
    data.update(_unique(loader, node))


def _unique(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Hashable] = set()
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        name = key.value if isinstance(key, yaml.ScalarNode) else None
        if name is None:
            raise yaml.MarkedYAMLError(None, None, "a key must be a string", key.start_mark)
        if name in seen:
            raise yaml.MarkedYAMLError(None, None, f"duplicate key {name!r}", key.start_mark)
        seen.add(name)
    pairs: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    # Keys are strings in JSON: an account number or a year as a key of Mappings stays as it is written.
    return {key if isinstance(key, str) else _written(node, key, loader): value for key, value in pairs.items()}


def _written(node: yaml.MappingNode, key: Any, loader: Any) -> str:
    for name, _ in node.value:
        if isinstance(name, yaml.ScalarNode) and loader.construct_object(name) == key:
            return str(name.value)
    return str(key)


Loader.add_multi_constructor("!", lambda loader, suffix, node: _short_tag(loader, node))
Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))


def parse(text: str) -> dict[str, Any]:
    """The template as JSON values. Raises ValidationError with AWS's words and the line."""
    document = _json(text) if text.lstrip("\ufeff \t\r\n").startswith("{") else _yaml(text)
    if not isinstance(document, dict):
        raise malformed("unsupported structure.")
    _measure(document)
    unknown = sorted(str(key) for key in document if key not in SECTIONS)
    if unknown:
        raise AwsError("ValidationError", f"Invalid template property or properties [{', '.join(unknown)}]")
    for name, section in document.items():
        if name in ("Resources", "Parameters", "Outputs", "Mappings", "Conditions", "Metadata", "Rules") and not (
            isinstance(section, dict)
        ):
            raise malformed(f"{name} must be an object.")
    return document


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise malformed(f"JSON not well-formed. Duplicate key '{twice}'")
        return found

    try:
        return json.loads(text.lstrip("\ufeff"), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise malformed(f"JSON not well-formed. (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise malformed(f"nested deeper than {MAX_DEPTH} levels") from None


def _yaml(text: str) -> Any:
    loader = Loader(text)
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise malformed(f"YAML not well-formed.{place} {error.problem or ''}".rstrip()) from None
    except (yaml.YAMLError, ValueError) as error:
        raise malformed(f"YAML not well-formed. {error}") from None
    except RecursionError:
        raise malformed(f"nested deeper than {MAX_DEPTH} levels") from None
    finally:
        loader.dispose()


def _measure(document: Any) -> None:
    """Refuse what aliases have blown up, or tied into a knot."""
    left = MAX_NODES
    waiting: list[tuple[Any, int]] = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        left -= 1
        if left < 0:
            raise malformed(f"more than {MAX_NODES} values after expanding aliases")
        if depth > MAX_DEPTH:
            raise malformed(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def line_of(text: str, path: Path) -> int:
    """The line (from 1) where the value at `path` is named, 0 when it cannot be told (after a transform)."""
    composer = Composer(text)
    try:
        node = composer.get_single_node()
    except yaml.YAMLError:
        return 0
    finally:
        composer.dispose()
    line = 0
    for part in path:
        match node:
            case yaml.MappingNode():
                pair = next(((k, v) for k, v in node.value if getattr(k, "value", None) == part), None)
                if pair is None:
                    return line
                line, node = pair[0].start_mark.line + 1, pair[1]
            case yaml.SequenceNode() if isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            case _:
                return line
    return line


def at_line(text: str, path: Path) -> str:
    """` (line 12)`, or nothing."""
    line = line_of(text, path)
    return f" (line {line})" if line else ""


FUNCTION = re.compile(r"^(Ref|Condition|Fn::[A-Za-z0-9:]+)$")


def function(value: Any) -> tuple[str, Any] | None:
    """(`Fn::Sub`, argument) when the value is a call of an intrinsic function."""
    if isinstance(value, dict) and len(value) == 1:
        name, argument = next(iter(value.items()))
        if isinstance(name, str) and (name == "Ref" or name.startswith("Fn::")):
            return name, argument
    return None


def walk(value: Any, visit: Callable[[str, Any], None]) -> None:
    """Call `visit` for each intrinsic function in a value, outermost first."""
    called = function(value)
    if called:
        visit(*called)
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        walk(child, visit)
