"""Filter policies of subscriptions: AWS, "Amazon SNS subscription filter policies".

Carried: exact strings, numbers, booleans and null, `prefix`, `suffix`, `equals-ignore-case`, `anything-but` (values,
prefix, suffix), `numeric`, `exists`, nesting and `$or`, over attributes or the body. `wildcard` and `cidr` are refused
when the policy is set.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from typing import Any

from millpond.local.service import AwsError

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _numeric(test: Any, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return all(COMPARE[sign](value, limit) for sign, limit in zip(test[::2], test[1::2], strict=True))


def _anything_but(test: Any, value: Any) -> bool:
    if isinstance(test, dict):
        return not any(TESTS[name](part, value) for name, part in test.items())
    return value not in (test if isinstance(test, list) else [test])


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "prefix": lambda test, value: isinstance(value, str) and value.startswith(test),
    "suffix": lambda test, value: isinstance(value, str) and value.endswith(test),
    "equals-ignore-case": lambda test, value: isinstance(value, str) and value.lower() == test.lower(),
    "anything-but": _anything_but,
    "numeric": _numeric,
}


def _signs_and_numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (2, 4)
        and all(sign in COMPARE for sign in value[::2] if isinstance(sign, str))
        and all(isinstance(sign, str) for sign in value[::2])
        and all(isinstance(limit, int | float) for limit in value[1::2])
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


FORMS: dict[str, Callable[[Any], bool]] = {
    "prefix": _text,
    "suffix": _text,
    "equals-ignore-case": _text,
    "anything-but": lambda value: isinstance(value, str | int | float | list),
    "numeric": _signs_and_numbers,
    "exists": lambda value: isinstance(value, bool),
}


def check_policy(text: str) -> None:
    """Raise AwsError(InvalidParameter) for a policy that cannot be read, 501 for an operator that is not carried."""
    try:
        policy = json.loads(text)
    except ValueError:
        raise _invalid("failed to parse JSON") from None
    if not isinstance(policy, dict):
        raise _invalid("Filter policy must be an object")
    _check(policy)


def _invalid(why: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: FilterPolicy: {why}")


def _check(node: dict[str, Any]) -> None:
    for name, value in node.items():
        if isinstance(value, dict):
            _check(value)
        elif not isinstance(value, list) or not value:
            raise _invalid(f'"{name}" must be an object or an array')
        elif name == "$or":
            for part in value:
                if not isinstance(part, dict):
                    raise _invalid('"$or" must be an array of objects')
                _check(part)
        else:
            for test in value:
                _check_test(test)


def _check_test(test: Any) -> None:
    if not isinstance(test, dict):
        return
    for name, value in test.items():
        if name in ("wildcard", "cidr"):
            raise AwsError("NotImplemented", f"Millpond does not filter by {name} yet.", status=501)
        if name not in (*TESTS, "exists"):
            raise _invalid(f"Unrecognized match type {name}")
        if name == "anything-but" and isinstance(value, dict):
            _check_test(value)
        elif not FORMS[name](value):
            raise _invalid(f"Value of {name} has the wrong form")


def accepts(policy: dict[str, Any], scope: str, attributes: dict[str, Any], text: str) -> bool:
    """Whether a message passes. `attributes` as notifications carry them; `text` is used by the scope MessageBody."""
    if scope == "MessageBody":
        try:
            found = json.loads(text)
        except ValueError:
            return False
        return isinstance(found, dict) and _passes(policy, found)
    return _passes(policy, {name: _value(value) for name, value in attributes.items()})


def _value(attribute: dict[str, Any]) -> Any:
    kind, value = attribute["Type"], attribute["Value"]
    try:
        if kind.startswith("Number"):
            return float(value)
        if kind == "String.Array":
            return json.loads(value)
    except ValueError:
        pass
    return value


def _passes(node: dict[str, Any], found: Any) -> bool:
    if isinstance(found, list):
        return any(_passes(node, item) for item in found)
    if not isinstance(found, dict):
        return False
    for name, tests in node.items():
        if name == "$or":
            if not any(_passes(part, found) for part in tests):
                return False
        elif isinstance(tests, dict):
            if not _passes(tests, found.get(name)):
                return False
        elif not _any(tests, found, name):
            return False
    return True


def _any(tests: list[Any], found: dict[str, Any], name: str) -> bool:
    for test in tests:
        if isinstance(test, dict) and "exists" in test:
            if test["exists"] == (name in found):
                return True
        elif name in found:
            values = found[name] if isinstance(found[name], list) else [found[name]]
            if any(_fits(test, value) for value in values):
                return True
    return False


def _fits(test: Any, value: Any) -> bool:
    if isinstance(test, dict):
        return all(TESTS[name](part, value) for name, part in test.items())
    return bool(test == value and isinstance(test, bool) == isinstance(value, bool))
