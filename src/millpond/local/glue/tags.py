"""Tags of Glue's resources: TagResource, UntagResource, GetTags, and `write_tags` for the Create operations.

A resource has at most 50 tags, none that begins with `aws:` (AWS docs).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.service import AwsError, Call, Endpoint, Operation

MOST = 50


def write_tags(db: sqlite3.Connection, arn: str, tags: Mapping[str, str] | None) -> None:
    """Add tags to a resource inside the transaction that creates it. InvalidInputException."""
    if reserved := next((name for name in tags or {} if name.lower().startswith("aws:")), None):
        raise AwsError("InvalidInputException", f"The tag {reserved} begins with aws:, which is reserved for AWS.")
    db.executemany("INSERT OR REPLACE INTO glue_tags VALUES (?, ?, ?)", [(arn, k, v) for k, v in (tags or {}).items()])
    (count,) = db.execute("SELECT count(*) FROM glue_tags WHERE arn = ?", (arn,)).fetchone()
    if count > MOST:
        raise AwsError("InvalidInputException", f"Resource {arn} would have more than {MOST} tags.")


def drop_tags(db: sqlite3.Connection, arn: str) -> None:
    """Forget the tags of a resource inside the transaction that deletes it."""
    db.execute("DELETE FROM glue_tags WHERE arn = ?", (arn,))


class Tags:
    """See the module's docstring. `exists` says per kind of ARN whether a resource of that name is there."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_tags (
        arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.exists: dict[str, Callable[[str], bool]] = {}

    def operations(self) -> dict[str, Operation]:
        return {"TagResource": self.tag, "UntagResource": self.untag, "GetTags": self.get}

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def _known(self, arn: str) -> str:
        prefix = self.endpoint.arn("glue", "")
        kind, _, name = arn.removeprefix(prefix).partition("/")
        if not arn.startswith(prefix) or not name or kind not in self.exists:
            raise AwsError("InvalidInputException", f"Invalid resource ARN {arn}.")
        if not self.exists[kind](name):
            raise AwsError("EntityNotFoundException", f"Resource {arn} not found.")
        # The catalog's names are the same in any case: so are their tags.
        return arn.removesuffix(name) + name.lower() if kind in ("database", "table") else arn

    def tag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:  # so that no resource goes between the look and the writing
            write_tags(db, self._known(params["ResourceArn"]), params["TagsToAdd"])
        return {}

    def untag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            arn = self._known(params["ResourceArn"])
            gone = [(arn, key) for key in params["TagsToRemove"]]
            db.executemany("DELETE FROM glue_tags WHERE arn = ? AND key = ?", gone)
        return {}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = self._known(params["ResourceArn"])
        rows = self.endpoint.store.read("SELECT key, value FROM glue_tags WHERE arn = ? ORDER BY key", (arn,))
        return {"Tags": {row["key"]: row["value"] for row in rows}}
