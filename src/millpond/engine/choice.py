"""Choice rules of JSONPath states, compiled to predicates.

A comparison of values of the wrong type is false, never an error; a `Variable` that is not there is an error (only
IsPresent asks for it), in AWS's words. Numbers are numbers whether written 1 or 1.0; a boolean is no number.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from millpond.asl import paths
from millpond.asl.model import And, Comparison, Json, Not, Or, Test
from millpond.asl.paths import Compiled, PathNotFound, Scope
from millpond.engine.failure import runtime

Predicate = Callable[[Scope], bool]
_Key = Callable[[Json], "float | str | bool | tuple[datetime, str] | None"]

_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d)(:\d\d)?(?:(?<=:\d\d)\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)")


def parse_timestamp(value: Json) -> datetime | None:
    """An ISO 8601 "extended offset date-time", as AWS's errors call it, to the microsecond; None: not one. That is what
    Java names so: seconds may be left out, T and Z may be small, an offset may not be left out."""
    if not isinstance(value, str):
        return None
    found = _TIMESTAMP.fullmatch(value)
    if found is None:
        return None
    day, time, seconds, fraction, zone = found.groups()
    fraction = (fraction or "0")[:6].ljust(6, "0")
    zone = "+00:00" if zone in "Zz" else zone
    try:
        return datetime.fromisoformat(f"{day}T{time}{seconds or ':00'}.{fraction}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: Json) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _boolean(value: Json) -> bool | None:
    return value if isinstance(value, bool) else None


def _instant(value: Json) -> tuple[datetime, str] | None:
    """A timestamp with all digits of its fraction, of which a datetime keeps six."""
    moment = parse_timestamp(value)
    if moment is None:
        return None
    found = _TIMESTAMP.fullmatch(str(value))
    fraction = found[4] if found is not None else None
    return moment.replace(microsecond=0), (fraction or "").ljust(9, "0")


KEYS: Mapping[str, _Key] = {
    "Numeric": _number,
    "String": _string,
    "Boolean": _boolean,
    "Timestamp": _instant,
}

_Compare = Callable[..., bool]  # of two keys of one kind
RELATIONS: Mapping[str, _Compare] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "GreaterThan": operator.gt,
    "LessThanEquals": operator.le,
    "GreaterThanEquals": operator.ge,
}

TYPE_TESTS: Mapping[str, Callable[[Json], bool]] = {
    "IsNull": lambda value: value is None,
    "IsNumeric": lambda value: _number(value) is not None,
    "IsString": lambda value: isinstance(value, str),
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsTimestamp": lambda value: parse_timestamp(value) is not None,
}


def compile_test(test: Test) -> Predicate:
    """The predicate of a rule's test: called with the frame."""
    match test:
        case And(tests=tests):
            every = [compile_test(part) for part in tests]
            return lambda scope: all(part(scope) for part in every)
        case Or(tests=tests):
            some = [compile_test(part) for part in tests]
            return lambda scope: any(part(scope) for part in some)
        case Not(test=inner):
            negated = compile_test(inner)
            return lambda scope: not negated(scope)
        case Comparison():
            return _compile_comparison(test)


def _compile_comparison(test: Comparison) -> Predicate:
    read = paths.path(test.variable)
    if test.operator == "IsPresent":
        return _is_present(read, test.value is True)
    variable = _required(read, test.variable)
    if test.operator in TYPE_TESTS:
        return _type_test(variable, TYPE_TESTS[test.operator], test.value is True)
    name, other = test.operator, _constant(test.value)
    if name.endswith("Path"):
        name = name[: -len("Path")]
        other = _required(paths.path(str(test.value)), str(test.value))
    if name == "StringMatches":
        return _string_matches(variable, test.value)
    for prefix, key in KEYS.items():
        if name.startswith(prefix):
            return _relation(variable, other, key, RELATIONS[name[len(prefix) :]])
    raise AssertionError(f"no operator {test.operator}")  # the codec lets none through


def _constant(value: Json) -> Compiled:
    return lambda scope: value


def _required(read: Compiled, path: str) -> Compiled:
    def variable(scope: Scope) -> Json:
        try:
            return read(scope)
        except PathNotFound:
            cause = f"Invalid path '{path}': The choice state's condition path references an invalid value."
            raise runtime(cause) from None

    return variable


def _is_present(read: Compiled, wanted: bool) -> Predicate:
    def present(scope: Scope) -> bool:
        try:
            read(scope)
        except PathNotFound:
            return not wanted
        return wanted

    return present


def _type_test(variable: Compiled, is_a: Callable[[Json], bool], wanted: bool) -> Predicate:
    return lambda scope: is_a(variable(scope)) is wanted


def _relation(variable: Compiled, other: Compiled, key: _Key, compare: _Compare) -> Predicate:
    def related(scope: Scope) -> bool:
        left, right = key(variable(scope)), key(other(scope))
        return left is not None and right is not None and compare(left, right)

    return related


def _string_matches(variable: Compiled, pattern: Json) -> Predicate:
    parts = _parts(str(pattern))

    def matches(scope: Scope) -> bool:
        value = variable(scope)
        return isinstance(value, str) and _fits(value, parts)

    return matches


def _parts(pattern: str) -> list[str]:
    """What stands between the `*`s, each of which stands for any characters; `\\*` and `\\\\` stand for themselves."""
    parts = [""]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            parts.append("")
        elif character == "\\":
            parts[-1] += next(characters, "\\")
        else:
            parts[-1] += character
    return parts


def _fits(text: str, parts: list[str]) -> bool:
    """Each part as early as it can be, which is right for `*`, and never goes back (a regular expression would, for
    hours where there are many stars)."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    at, end = len(first), len(text) - len(last)
    if end < at or not text.startswith(first) or not text.endswith(last):
        return False
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
