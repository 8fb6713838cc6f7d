"""Bookmarks on databases: the condition that selects what was not read yet, by keys that only grow (or only fall).

AWS docs, "Tracking processed data using job bookmarks": the keys are jobBookmarkKeys, several of them compound, or the
primary key where it is one whole number without gaps; new rows only, updates and deletes are not seen. How far a run
reads is fixed before it reads: rows which arrive meanwhile are the next run's. Keys must be strictly monotonic; rows
that came behind the bookmark, and rows without a key, are counted and warned of. No Spark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from awsglue._bookmark import Bookmark, BookmarkError, tracking
from awsglue._databases import rows
from awsglue._dialects import Dialect
from awsglue._run import warn


class Keys:
    """The keys of one source: `source` is a table or `(query) AS source`; `options` are the reader's."""

    def __init__(
        self,
        db: Any,
        dialect: Dialect,
        source: str,
        options: Mapping[str, Any],
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """`about` says which database this is, for people and dry runs."""
        self.db, self.dialect, self.source, self.about = db, dialect, source, dict(about or {})
        keys = options.get("jobBookmarkKeys") or options.get("jobBookmarksKeys") or []
        self.keys = [one.strip() for one in keys.split(",")] if isinstance(keys, str) else list(keys)
        self.order = str(
            options.get("jobBookmarkKeysSortOrder") or options.get("jobBookmarksKeysSortOrder") or "asc"
        ).lower()
        if self.order not in ("asc", "desc"):
            raise ValueError(f"jobBookmarkKeysSortOrder must be asc or desc, not {self.order!r}")

    def conditions(self, context: str | None) -> list[str]:
        """Conditions that select what the bookmark has not seen; notes how far this run reads."""
        bookmark = tracking(context)
        if bookmark is None or context is None:
            return []
        self.keys = self.keys or self._sequential_key()
        if not self.keys:
            warn(
                f"bookmark {context}: {self.source} has neither jobBookmarkKeys nor a primary key of one whole number"
                " without gaps: read whole"
            )
            return []
        low, high = bookmark.marks(context)
        if low and low.get("keys") != self.keys:
            raise BookmarkError(f"bookmark {context} was kept with keys {low.get('keys')}, not {self.keys}: reset it")
        return self._range(bookmark, context, low, high)

    def _range(
        self, bookmark: Bookmark, context: str, low: Mapping[str, Any], high: Mapping[str, Any] | None
    ) -> list[str]:
        bound = high if high is not None else self._bound(low)
        names = ", ".join(self.dialect.quoted(key) for key in self.keys)
        beyond, within = (">", "<=") if self.order == "asc" else ("<", ">=")
        found = []
        if low:
            found.append(f"({names}) {beyond} ({self._values(low)})")
            self._warn_of_late_rows(context, f"({names}) {within} ({self._values(low)})", low)
        else:
            print(f"bookmark {context}: new rows by {', '.join(self.keys)}; updates and deletes are not seen")
        if not bound:  # the table is empty, or the range that was asked for is
            return [*found, "1 = 0"]
        upto = f"({names}) {within} ({self._values(bound)})"
        about = self.about | {"table": self.source}
        bookmark.note(context, {**bound, "count": self._count(upto)} if high is None else dict(bound), about)
        return [*found, upto]

    def _bound(self, low: Mapping[str, Any]) -> dict[str, Any]:
        """The last key that this run reads, as marks; never before what was read already."""
        found = self.dialect.last(self.db, self.source, self.keys, "DESC" if self.order == "asc" else "ASC")
        if not found:
            return {}
        values, kinds = zip(*found, strict=True)
        return {"kind": "jdbc", "keys": self.keys, "order": self.order, "values": list(values), "types": list(kinds)}

    def _values(self, marks: Mapping[str, Any]) -> str:
        pairs = zip(marks["values"], marks["types"], strict=True)
        return ", ".join(self.dialect.literal(value, kind) for value, kind in pairs)

    def _count(self, condition: str) -> int:
        return int(rows(self.db, f"SELECT count(*) FROM {self.source} WHERE {condition}")[0][0])

    def _warn_of_late_rows(self, context: str, condition: str, low: Mapping[str, Any]) -> None:
        """Keys that are not strictly monotonic: rows came that the bookmark has passed, or they have no key."""
        late = self._count(condition) - int(low["count"]) if "count" in low else 0
        if late > 0:
            warn(
                f"bookmark {context}: {late} rows came behind the bookmark and are not read: the keys"
                f" {', '.join(self.keys)} are not strictly monotonic"
            )
        nulls = self._count(" OR ".join(f"{self.dialect.quoted(key)} IS NULL" for key in self.keys))
        if nulls:
            warn(f"bookmark {context}: {nulls} rows without a key ({', '.join(self.keys)}) are never read")

    def _sequential_key(self) -> list[str]:
        """The primary key, when it is one whole number without gaps (AWS's rule for the default key)."""
        if self.source.startswith("("):
            return []
        found = self.dialect.primary_key(self.db, self.source)
        if len(found) != 1 or not found[0][1]:
            return []
        name = self.dialect.quoted(found[0][0])
        count, low, high = rows(self.db, f"SELECT count(*), min({name}), max({name}) FROM {self.source}")[0]
        return [found[0][0]] if not count or count == high - low + 1 else []


def behind(db: Any, dialect: Dialect, marks: Mapping[str, Any]) -> int:
    """The number of rows that the next run would read after these marks."""
    names = ", ".join(dialect.quoted(key) for key in marks["keys"])
    pairs = zip(marks["values"], marks["types"], strict=True)
    values = ", ".join(dialect.literal(value, kind) for value, kind in pairs)
    sign = ">" if marks["order"] == "asc" else "<"
    query = f"SELECT count(*) FROM {marks['source']['table']} WHERE ({names}) {sign} ({values})"
    return int(rows(db, query)[0][0])
