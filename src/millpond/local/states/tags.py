"""Tags of machines and activities. Source: AWS Step Functions API Reference, TagResource."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.local.service import AwsError, Call, Operation
from millpond.local.states import arns

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

MOST = 50


def read(tags: list[dict[str, str]] | None, arn: str = "") -> dict[str, str]:
    """Tags as a mapping. Raises TooManyTags, and ValidationException for a character that a tag may not have."""
    found: dict[str, str] = {}
    for tag in tags or ():
        if "key" not in tag:
            raise AwsError("ValidationException", "Tag key must not be null")
        for text in (tag["key"], tag.get("value", "")):
            if not all(c.isalpha() or c.isdigit() or c.isspace() or c in "_.:/=+-@" for c in text):
                raise AwsError(
                    "ValidationException",
                    f"Invalid Tag: '{text}': Tags may only contain unicode letters, digits, white space, or one of "
                    "these symbols: _ . : / = + - @",
                )
        found[tag["key"]] = tag.get("value", "")
    _check_number(found, arn)
    return found


def _check_number(tags: Mapping[str, str], arn: str) -> None:
    if len(tags) > MOST:
        raise AwsError("TooManyTags", f"Too Many Tags: '{len(tags)}', at most {MOST} are allowed", resourceName=arn)


class Tags:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.store = endpoint.store

    def operations(self) -> Mapping[str, Operation]:
        return {"TagResource": self.tag, "UntagResource": self.untag, "ListTagsForResource": self.list_tags}

    def _found(self, arn: str) -> tuple[str, dict[str, str]]:
        """The table and the tags of a machine or activity. Raises InvalidArn, ResourceNotFound."""
        if ":activity:" in arn:
            table = "states_activities"
            arns.check_activity(arn)
        else:
            table = "states_machines"
            arns.read_machine(arn)
        row = self.store.one(f"SELECT tags FROM {table} WHERE arn = ?", (arn,))
        if row is None:
            raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'", resourceName=arn)
        tags: dict[str, str] = json.loads(row["tags"])
        return table, tags

    def _keep(self, table: str, arn: str, tags: Mapping[str, str]) -> dict[str, Any]:
        with self.store.write() as db:
            db.execute(f"UPDATE {table} SET tags = ? WHERE arn = ?", (json.dumps(tags), arn))
        return {}

    def tag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["resourceArn"]
        table, tags = self._found(arn)
        tags |= read(params["tags"], arn)
        _check_number(tags, arn)
        return self._keep(table, arn, tags)

    def untag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table, tags = self._found(params["resourceArn"])
        kept = {key: value for key, value in tags.items() if key not in params["tagKeys"]}
        return self._keep(table, params["resourceArn"], kept)

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        _, tags = self._found(params["resourceArn"])
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
