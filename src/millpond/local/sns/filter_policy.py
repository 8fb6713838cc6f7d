"""Filter policies of subscriptions: AWS, "Amazon SNS subscription filter policies", "Filter policy constraints".

The comparisons are EventBridge's (millpond.local.patterns). SNS's own: a policy looks at the message's attributes or at
its body, five keys at most, 150 combinations of values (a nested key's count once more for each level), nesting only
over the body.

Limits: keys inside `$or` are not counted; over the body only the outermost keys are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from millpond.local.patterns import PatternError, check, matches
from millpond.local.service import AwsError

KEYS = 5
COMBINATIONS = 150


def check_policy(text: str, scope: str) -> None:
    """Raise AwsError(InvalidParameter) for a policy that SNS does not take."""
    try:
        policy = json.loads(text)
        if not isinstance(policy, dict):
            raise PatternError("Filter policy must be an object")
        check(policy)
    except PatternError as error:
        raise _invalid(str(error)) from None
    except (ValueError, RecursionError):
        raise _invalid("failed to parse JSON") from None
    if scope != "MessageBody" and any(isinstance(wanted, dict) for wanted in policy.values()):
        text = "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy"
        raise AwsError("InvalidParameter", text)
    if len([name for name in policy if name != "$or"]) > KEYS:
        raise _invalid(f"Filter policy can not have more than {KEYS} keys")
    combined = 1
    for number in _combinations(policy, 1):
        combined *= number
    if combined > COMBINATIONS:
        raise _invalid("Filter policy is too complex")


def _combinations(node: Mapping[str, Any], level: int) -> Iterator[int]:
    for name, wanted in node.items():
        if isinstance(wanted, dict):
            yield from _combinations(wanted, level + 1)
        elif name != "$or":
            yield len(wanted) * level


def _invalid(why: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: FilterPolicy: {why}")


def accepts(policy: dict[str, Any], scope: str, attributes: dict[str, Any], text: str) -> bool:
    """Whether a message passes. `attributes` as notifications carry them; `text` is used by the scope MessageBody."""
    if scope == "MessageBody":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and matches(policy, found)
    return matches(policy, {name: _value(value) for name, value in attributes.items()})


def _value(attribute: dict[str, Any]) -> Any:
    kind, value = attribute["Type"], attribute["Value"]
    try:
        if kind.startswith("Number"):
            return float(value)
        if kind == "String.Array":
            return json.loads(value)
    except (ValueError, RecursionError):
        pass
    return value
