"""Which variables the states of a machine refer to: DescribeStateMachine's `variableReferences`.

In a JSONPath state a reference is a path that begins with a name (`$total.net`), in a JSONata state a `$name` in an
expression that is no function of the language and is not bound in the expression itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from millpond import asl
from millpond.asl import graph, jsonata
from millpond.asl.codec import state_to_json

_IN_PATH = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|/\*.*?\*/', re.DOTALL)
_IN_EXPRESSION = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)(\s*\(|\s*:=)?")
_BOUND = re.compile(r"(?:function|λ)\s*\(([^)]*)\)|[@#]\s*\$(\w+)")
_NESTED = frozenset({"Branches", "ItemProcessor"})


def references(machine: asl.Machine) -> dict[str, list[str]]:
    """State names and the variables each refers to, in order; states without any are left out."""
    found: dict[str, list[str]] = {}
    for visit in graph.walk(machine):
        raw = {key: value for key, value in state_to_json(visit.state).items() if key not in _NESTED}
        names = _expressions(raw) if visit.language == "JSONata" else _paths(raw)
        if seen := list(dict.fromkeys(names)):
            found[visit.name] = seen
    return found


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string with the key that it stands under."""
    match value:
        case str():
            yield key, value
        case Mapping():
            for name, item in value.items():
                yield from _texts(item, name)
        case list():
            for item in value:
                yield from _texts(item, key)


def _paths(raw: Mapping[str, Any]) -> Iterator[str]:
    for key, text in _texts(raw):
        if key.endswith((".$", "Path")) or key == "Variable":
            for part in re.split(r"[(,]\s*", text):  # arguments of intrinsic functions are paths too
                if named := _IN_PATH.match(part.strip()):
                    yield named[1]


def _expressions(raw: Mapping[str, Any]) -> Iterator[str]:
    for _, text in _texts(raw):
        if not jsonata.is_expression(text):
            continue
        source = _STRING.sub(" ", jsonata.source(text))
        bound = {"states"}
        for names, other in _BOUND.findall(source):
            bound |= {name.strip().lstrip("$") for name in names.split(",")} | {other}
        uses = _IN_EXPRESSION.findall(source)
        bound |= {name for name, after in uses if after.strip() == ":="}
        yield from (name for name, after in uses if name not in bound and after.strip() != "(")
