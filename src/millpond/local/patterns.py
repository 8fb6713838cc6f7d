"""The comparison language of EventBridge's event patterns and SNS's filter policies, which is one (AWS, "Comparison
operators" in event patterns; "Amazon SNS subscription filter policies").

Carried: exact values, `prefix` and `suffix` (also in any case), `equals-ignore-case`, `wildcard`, `anything-but`
(values and these tests), `numeric`, `cidr`, `exists`, nesting and `$or`. An array matches when an element of it does.
What a service adds stands in its room: the error and the words around it, scopes, limits.

Limits: a number equals another one by its value, where EventBridge compares what is written (300 is not 3.0e2 there).
Which tests SNS takes inside others AWS does not list; it is given all that EventBridge has.

May import: nothing of ours.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MOST_STARS = 10  # of a wildcard: matching takes the text's length for each


class PatternError(ValueError):
    """This is no pattern; the message says why."""


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether an event fits a checked pattern."""
    for name, wanted in pattern.items():
        if name == "$or" and isinstance(wanted, list):
            if not any(matches(part, event) for part in wanted):
                return False
        elif isinstance(wanted, dict):
            if not any(matches(wanted, one) for one in _objects(event.get(name))):
                return False
        elif not any(_fits(test, name, event) for test in wanted):
            return False
    return True


def _objects(found: Any) -> list[Mapping[str, Any]]:
    """The objects of a field; a field that is not there is one without members, of which `exists: false` is true."""
    inside = found if isinstance(found, list) else [found]
    return [one for one in inside if isinstance(one, dict)] or [{}]


def _fits(test: Any, name: str, event: Mapping[str, Any]) -> bool:
    if isinstance(test, dict) and "exists" in test:
        return (name in event) is test["exists"]
    if name not in event:
        return False
    found = event[name]
    return any(_passes(test, one) for one in (found if isinstance(found, list) else [found]))


def _passes(test: Any, value: Any) -> bool:
    if isinstance(test, dict):
        ((kind, wanted),) = test.items()
        return TESTS[kind](wanted, value)
    return bool(test == value and isinstance(test, bool) == isinstance(value, bool))


def _prefix(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, str) and value.lower().startswith(wanted["equals-ignore-case"].lower())
    return isinstance(value, str) and value.startswith(wanted)


def _suffix(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, str) and value.lower().endswith(wanted["equals-ignore-case"].lower())
    return isinstance(value, str) and value.endswith(wanted)


def _anything_but(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict):
        ((kind, inner),) = wanted.items()
        return not any(TESTS[kind](one, value) for one in (inner if isinstance(inner, list) else [inner]))
    return not any(_passes(one, value) for one in (wanted if isinstance(wanted, list) else [wanted]))


def _numeric(wanted: Any, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(COMPARE[sign](value, limit) for sign, limit in zip(wanted[::2], wanted[1::2], strict=True))


def _cidr(wanted: str, value: Any) -> bool:
    try:
        return isinstance(value, str) and ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _wildcard(wanted: str, value: Any) -> bool:
    """`*` is any text; `\\*` a star, `\\\\` a backslash."""
    if not isinstance(value, str):
        return False
    parts = [""]
    for piece in re.findall(r"\\[*\\]|.", wanted, re.DOTALL):
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += piece[1:] if len(piece) == 2 else piece
    if len(parts) == 1:
        return value == parts[0]
    first, *middle, last = parts
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        if (at := value.find(part, at, end)) < 0:
            return False
        at += len(part)
    return True


TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": lambda wanted, value: isinstance(value, str) and value.lower() == wanted.lower(),
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "wildcard": _wildcard,
}


# ---- what is no pattern


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _affix(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, dict) and list(value) == ["equals-ignore-case"] and _text(value["equals-ignore-case"])
    )


def _stars(value: Any) -> bool:
    return isinstance(value, str) and "**" not in value and value.count("*") <= MOST_STARS


def _network(value: Any) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except (ValueError, TypeError):
        return False
    return isinstance(value, str)


def _range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (2, 4)
        and all(isinstance(sign, str) and sign in COMPARE for sign in value[::2])
        and all(isinstance(limit, int | float) and not isinstance(limit, bool) for limit in value[1::2])
    )


def _other(value: Any) -> bool:
    if isinstance(value, dict):
        if len(value) != 1:
            return False
        ((kind, inner),) = value.items()
        tests = inner if isinstance(inner, list) else [inner]
        return kind in ("prefix", "suffix", "equals-ignore-case", "wildcard") and all(FORMS[kind](one) for one in tests)
    values = value if isinstance(value, list) else [value]
    return bool(values) and all(one is None or isinstance(one, str | int | float) for one in values)


FORMS: Mapping[str, Callable[[Any], bool]] = {
    "prefix": _affix,
    "suffix": _affix,
    "equals-ignore-case": _text,
    "anything-but": _other,
    "numeric": _range,
    "cidr": _network,
    "wildcard": _stars,
    "exists": lambda value: isinstance(value, bool),
}


def check(node: Mapping[str, Any]) -> None:
    """PatternError for what is no pattern."""
    for name, wanted in node.items():
        if isinstance(wanted, dict):
            check(wanted)
        elif not isinstance(wanted, list) or not wanted:
            raise PatternError(f'"{name}" must be an object or an array')
        elif name == "$or" and all(isinstance(part, dict) for part in wanted):
            for part in wanted:
                check(part)
        else:
            for test in wanted:
                _check_test(test)


def _check_test(test: Any) -> None:
    if isinstance(test, list):
        raise PatternError("an array must not be inside an array")
    if not isinstance(test, dict):
        return
    if len(test) != 1:
        raise PatternError("a test is an object with one name")
    ((kind, wanted),) = test.items()
    if kind not in FORMS:
        raise PatternError(f"Unrecognized match type {kind}")
    if not FORMS[kind](wanted):
        raise PatternError(f"the value of {kind} has the wrong form")
