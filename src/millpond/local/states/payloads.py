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
    if text.count("[") + text.count("{") > DEEPEST and jackson.nests_deeper(value, DEEPEST):
        raise NotJson(jackson.explain(text, _too_deep()))
    return value


DECODER = json.JSONDecoder(parse_constant=jackson.not_json, parse_float=jackson.within_range)
"""For those who read a text in pieces; it raises ValueError, RecursionError."""


def _too_deep() -> str:
    return f"Document nesting depth exceeds the maximum allowed ({DEEPEST})"
