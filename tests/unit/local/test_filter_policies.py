"""SNS's filter policies: what passes, what is refused. The comparisons themselves: test_events.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millpond.local.service import AwsError
from millpond.local.sns.filter_policy import accepts, check_policy

BODY = {"kind": "late", "ip": "10.0.0.7", "store": {"city": "Bern"}, "items": [{"n": 1}, {"n": 2}]}
ATTRIBUTES = {
    "kind": {"Type": "String", "Value": "late-1"},
    "rows": {"Type": "Number", "Value": "11"},
    "ip": {"Type": "String", "Value": "10.0.0.7"},
    "tags": {"Type": "String.Array", "Value": '["a", "b", null]'},
}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"kind": ["late-1"]}, True),
        ({"kind": ["late"]}, False),
        ({"kind": [{"prefix": "late"}], "rows": [{"numeric": [">", 10]}]}, True),
        ({"rows": [11]}, True),
        ({"rows": [{"anything-but": [11, 12]}]}, False),
        ({"kind": [{"anything-but": {"prefix": "late"}}]}, False),
        ({"kind": [{"anything-but": {"suffix": "2"}}]}, True),
        ({"ip": [{"cidr": "10.0.0.0/24"}]}, True),
        ({"ip": [{"cidr": "10.1.0.0/24"}]}, False),
        ({"tags": ["b"]}, True),
        ({"tags": ["c"]}, False),
        ({"none": [{"exists": False}]}, True),
        ({"none": ["x"]}, False),
        ({"$or": [{"none": ["x"]}, {"rows": [11]}]}, True),
    ],
)
def test_over_attributes(policy: dict[str, Any], expected: bool) -> None:
    check_policy(json.dumps(policy), "MessageAttributes")
    assert accepts(policy, "MessageAttributes", ATTRIBUTES, "") is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"kind": ["late"], "store": {"city": ["Bern"]}}, True),
        ({"store": {"city": [{"anything-but": "Bern"}]}}, False),
        ({"items": {"n": [2]}}, True),
        ({"items": {"n": [3]}}, False),
        ({"shop": {"city": [{"exists": False}]}}, True),
    ],
)
def test_over_the_body(policy: dict[str, Any], expected: bool) -> None:
    check_policy(json.dumps(policy), "MessageBody")
    assert accepts(policy, "MessageBody", {}, json.dumps(BODY)) is expected
    assert not accepts(policy, "MessageBody", {}, "no json") and not accepts(policy, "MessageBody", {}, "[1]")


@pytest.mark.parametrize(
    ("policy", "scope", "words"),
    [
        ("{", "MessageBody", "FilterPolicy: failed to parse JSON"),
        ("[]", "MessageBody", "FilterPolicy: Filter policy must be an object"),
        ({"a": "b"}, "MessageBody", 'FilterPolicy: "a" must be an object or an array'),
        ({"a": [{"nope": 1}]}, "MessageBody", "FilterPolicy: Unrecognized match type nope"),
        ({"a": [{"numeric": ["<"]}]}, "MessageBody", "FilterPolicy: the value of numeric"),
        ({"a": {"b": ["c"]}}, "MessageAttributes", "does not support nested filter policy"),
        ({name: ["x"] for name in "abcdef"}, "MessageAttributes", "can not have more than 5 keys"),
        ({name: list("abcd") for name in "abcd"}, "MessageAttributes", "is too complex"),  # 256
        ({"a": {"b": {"c": list("abcd")}}, "d": {"e": list("abcdefg")}}, "MessageBody", "is too complex"),  # 12 x 14
    ],
)
def test_what_is_no_policy(policy: Any, scope: str, words: str) -> None:
    with pytest.raises(AwsError, match=words) as caught:
        check_policy(policy if isinstance(policy, str) else json.dumps(policy), scope)
    assert caught.value.code == "InvalidParameter" and caught.value.message.startswith("Invalid parameter: ")


def test_what_is_just_allowed() -> None:
    # AWS's example of nested values, "Filter policy constraints": 4 x 3 levels x 3 x 2 levels = 72 combinations.
    check_policy(json.dumps({"a": {"b": {"c": list("abcd")}}, "d": {"e": list("abc")}}), "MessageBody")
    check_policy(json.dumps({name: ["x"] for name in "abcde"}), "MessageAttributes")
