"""JSON that callers hand in: inputs and outputs of executions and tasks, mocks, variables.

Read as AWS's parser reads it: no NaN, no number beyond a double, nothing nested beyond what can be handed on.
"""

from __future__ import annotations

import json
from typing import Any

from millpond.asl import jackson

MOST_BYTES = 262_144
DEEPEST = 500
"""Brackets in brackets. AWS's own limit is not published."""


class NotJson(Exception):
    """This text is no JSON; the message is what AWS's parser says."""


def read(text: str) -> Any:
    """The value of a JSON text. Raises NotJson."""
    try:
        value = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise NotJson(jackson.explain(text, _too_deep() if isinstance(error, RecursionError) else str(error))) from None
    if text.count("[") + text.count("{") > DEEPEST and _depth_exceeds(value):
        raise NotJson(jackson.explain(text, _too_deep()))
    return value


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"Numeric value ({text}) out of range of double")
    return number


DECODER = json.JSONDecoder(parse_constant=_refused, parse_float=_finite)
"""For those who read a text in pieces; it raises ValueError, RecursionError."""


def _depth_exceeds(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def _too_deep() -> str:
    return f"Document nesting depth exceeds the maximum allowed ({DEEPEST})"
