"""CloudWatch Logs: groups, streams and events, kept in the endpoint's store.

Jobs, functions and crawlers write through `Logs.write`, an in-process door that makes group and stream as needed and
joins the store's group commit; everybody reads through the API. Memory is bounded: events live in SQLite only.

Limits: filter patterns are terms, phrases, `?any` and `-without`; JSON and space-delimited patterns, metric filters,
subscriptions and Logs Insights are refused. Message bytes count as AWS counts them (UTF-8 plus 26 for each event).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from typing import Any

from millpond.local.logs.pattern import matcher
from millpond.local.service import AwsError, Call, Endpoint, Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS logs_groups (
    name TEXT PRIMARY KEY, created INTEGER NOT NULL, retention INTEGER, kind TEXT NOT NULL, kms TEXT,
    tags TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS logs_streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_name TEXT NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL,
    first_event INTEGER, last_event INTEGER, ingested INTEGER, UNIQUE (group_name, name));
CREATE TABLE IF NOT EXISTS logs_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, at INTEGER NOT NULL, ingested INTEGER NOT NULL,
    message TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS logs_events_order ON logs_events (stream, at, id);
"""

INSERT = "INSERT INTO logs_events (stream, at, ingested, message) VALUES (?, ?, ?, ?)"
SEEN = (
    "UPDATE logs_streams SET first_event = MIN(COALESCE(first_event, ?1), ?1),"
    " last_event = MAX(COALESCE(last_event, ?2), ?2), ingested = ?3 WHERE id = ?4"
)

# Quotas: AWS, "PutLogEvents" and "CloudWatch Logs quotas".
PAGE_EVENTS = 10_000
PAGE_BYTES = 1024 * 1024
SCANNED_EVENTS = 50_000  # FilterLogEvents looks at so many for a page, which may then be short and have a token
BATCH_BYTES = 1_048_576
EVENT_OVERHEAD = 26
LONGEST_MESSAGE = 1024 * 1024 - EVENT_OVERHEAD
OLDEST_MS = 14 * 24 * 3600 * 1000
NEWEST_MS = 2 * 3600 * 1000
DAY_MS = 24 * 3600 * 1000
RETENTIONS = frozenset(
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
)


class Logs:
    """See the module's docstring."""

    name = "logs"
    schema = SCHEMA
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._store = endpoint, endpoint.store
        self._streams: dict[tuple[str, str], int] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateLogGroup": self.create_group,
            "DeleteLogGroup": self.delete_group,
            "DescribeLogGroups": self.describe_groups,
            "CreateLogStream": self.create_stream,
            "DeleteLogStream": self.delete_stream,
            "DescribeLogStreams": self.describe_streams,
            "PutLogEvents": self.put_events,
            "GetLogEvents": self.get_events,
            "FilterLogEvents": self.filter_events,
            "PutRetentionPolicy": self.put_retention,
            "DeleteRetentionPolicy": self.delete_retention,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
            "TagLogGroup": self.tag,
            "UntagLogGroup": self.untag,
            "ListTagsLogGroup": self.list_tags,
        }

    def start(self) -> None:
        """Drop what retention has expired."""
        for row in self._store.read("SELECT name, retention FROM logs_groups WHERE retention IS NOT NULL"):
            with self._store.write() as db:
                db.execute(
                    "DELETE FROM logs_events WHERE at < ? AND stream IN"
                    " (SELECT id FROM logs_streams WHERE group_name = ?)",
                    (_now() - row["retention"] * DAY_MS, row["name"]),
                )

    def stop(self) -> None:
        self._store.flush()

    # -- the in-process door -----------------------------------------------------------------------------------------

    def write(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Append events (milliseconds since the epoch, text); makes group and stream. Durable within 10 ms."""
        if not events:
            return
        at = self._stream(group, stream)
        now = _now()
        rows: list[tuple[str, Sequence[Any]]] = [
            (INSERT, (at, int(ms), now, _clean(text))) for ms, text in events if text
        ]
        if rows:
            moments = [int(ms) for ms, _ in events]
            self._store.queue([*rows, (SEEN, (min(moments), max(moments), now, at))])

    def _stream(self, group: str, stream: str) -> int:
        found = self._streams.get((group, stream))
        if found is not None:
            return found
        now = _now()
        with self._store.write() as db:  # the store's one lock, no second one: a caller may hold it already
            db.execute(
                "INSERT OR IGNORE INTO logs_groups (name, created, kind) VALUES (?, ?, 'STANDARD')", (group, now)
            )
            db.execute(
                "INSERT OR IGNORE INTO logs_streams (group_name, name, created) VALUES (?, ?, ?)", (group, stream, now)
            )
            row = db.execute(
                "SELECT id FROM logs_streams WHERE group_name = ? AND name = ?", (group, stream)
            ).fetchone()
            self._streams[group, stream] = row["id"]
        return int(row["id"])

    def _forget(self, group: str, stream: str | None = None) -> None:
        """Write out what is queued for them, then no longer know their ids."""
        self._store.flush()
        for key in [key for key in list(self._streams) if key[0] == group and stream in (None, key[1])]:
            del self._streams[key]

    # -- groups ------------------------------------------------------------------------------------------------------

    def create_group(self, params: dict[str, Any], call: Call) -> None:
        name = _checked_name(params["logGroupName"], r"[\w./#-]{1,512}", "logGroupName")
        tags = json.dumps(params.get("tags", {}))
        kind = params.get("logGroupClass", "STANDARD")
        with self._store.write() as db:
            made = db.execute(
                "INSERT OR IGNORE INTO logs_groups (name, created, kind, kms, tags) VALUES (?, ?, ?, ?, ?)",
                (name, _now(), kind, params.get("kmsKeyId"), tags),
            )
        if not made.rowcount:
            raise AwsError("ResourceAlreadyExistsException", "The specified log group already exists")

    def delete_group(self, params: dict[str, Any], call: Call) -> None:
        name = self._group(params)["name"]
        with self._store.write() as db:
            self._forget(name)
            ids = "SELECT id FROM logs_streams WHERE group_name = ?"
            db.execute(f"DELETE FROM logs_events WHERE stream IN ({ids})", (name,))
            db.execute("DELETE FROM logs_streams WHERE group_name = ?", (name,))
            db.execute("DELETE FROM logs_groups WHERE name = ?", (name,))

    def describe_groups(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        if "logGroupNamePrefix" in params and "logGroupNamePattern" in params:
            raise AwsError("InvalidParameterException", "Name prefix and name pattern exclude each other.")
        prefix, part = params.get("logGroupNamePrefix", ""), params.get("logGroupNamePattern", "").lower()
        wanted = [_group_name(name) for name in params.get("logGroupIdentifiers", [])]
        rows = [
            row
            for row in self._store.read(
                "SELECT * FROM logs_groups WHERE name > ? ORDER BY name", (params.get("nextToken", ""),)
            )
            if row["name"].startswith(prefix)
            and part in row["name"].lower()
            and (not wanted or row["name"] in wanted)
            and params.get("logGroupClass", row["kind"]) == row["kind"]
        ]
        page, rest = rows[: params.get("limit", 50)], rows[params.get("limit", 50) :]
        return {
            "logGroups": [self._described(row) for row in page],
            "nextToken": page[-1]["name"] if rest else None,
        }

    def _described(self, row: Any) -> dict[str, Any]:
        arn = self._endpoint.arn("logs", f"log-group:{row['name']}")
        size = self._store.one(
            "SELECT COALESCE(SUM(LENGTH(message) + ?), 0) AS bytes FROM logs_events"
            " WHERE stream IN (SELECT id FROM logs_streams WHERE group_name = ?)",
            (EVENT_OVERHEAD, row["name"]),
        )
        return {
            "logGroupName": row["name"],
            "creationTime": row["created"],
            "retentionInDays": row["retention"],
            "metricFilterCount": 0,
            "arn": f"{arn}:*",
            "logGroupArn": arn,
            "storedBytes": size["bytes"] if size else 0,
            "kmsKeyId": row["kms"],
            "logGroupClass": row["kind"],
        }

    def put_retention(self, params: dict[str, Any], call: Call) -> None:
        days = params["retentionInDays"]
        if days not in RETENTIONS:
            allowed = ", ".join(str(n) for n in sorted(RETENTIONS))
            raise AwsError("InvalidParameterException", f"retentionInDays must be one of {allowed}.")
        self._set_retention(self._group(params)["name"], days)

    def delete_retention(self, params: dict[str, Any], call: Call) -> None:
        self._set_retention(self._group(params)["name"], None)

    def _set_retention(self, name: str, days: int | None) -> None:
        with self._store.write() as db:
            db.execute("UPDATE logs_groups SET retention = ? WHERE name = ?", (days, name))

    def tag(self, params: dict[str, Any], call: Call) -> None:
        row = self._group(params)
        self._set_tags(row["name"], json.loads(row["tags"]) | params["tags"])

    def untag(self, params: dict[str, Any], call: Call) -> None:
        row = self._group(params)
        gone = set(params.get("tagKeys", ())) | set(params.get("tags", ()))
        self._set_tags(row["name"], {k: v for k, v in json.loads(row["tags"]).items() if k not in gone})

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"tags": json.loads(self._group(params)["tags"])}

    def _set_tags(self, name: str, tags: dict[str, str]) -> None:
        with self._store.write() as db:
            db.execute("UPDATE logs_groups SET tags = ? WHERE name = ?", (json.dumps(tags), name))

    def _group(self, params: dict[str, Any]) -> Any:
        said = params.get("logGroupName") or params.get("logGroupIdentifier") or params.get("resourceArn")
        if not said:
            raise AwsError("InvalidParameterException", "Name the log group: logGroupName or logGroupIdentifier.")
        row = self._store.one("SELECT * FROM logs_groups WHERE name = ?", (_group_name(said),))
        if row is None:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.")
        return row

    # -- streams -----------------------------------------------------------------------------------------------------

    def create_stream(self, params: dict[str, Any], call: Call) -> None:
        name = _checked_name(params["logStreamName"], r"[^:*]{1,512}", "logStreamName")
        group = self._group(params)["name"]
        with self._store.write() as db:
            made = db.execute(
                "INSERT OR IGNORE INTO logs_streams (group_name, name, created) VALUES (?, ?, ?)", (group, name, _now())
            )
        if not made.rowcount:
            raise AwsError("ResourceAlreadyExistsException", "The specified log stream already exists")

    def delete_stream(self, params: dict[str, Any], call: Call) -> None:
        row = self._stream_row(params)
        with self._store.write() as db:
            self._forget(row["group_name"], row["name"])
            db.execute("DELETE FROM logs_events WHERE stream = ?", (row["id"],))
            db.execute("DELETE FROM logs_streams WHERE id = ?", (row["id"],))

    def describe_streams(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = self._group(params)["name"]
        by_time = params.get("orderBy", "LogStreamName") == "LastEventTime"
        prefix = params.get("logStreamNamePrefix", "")
        if by_time and prefix:
            raise AwsError("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
        self._store.flush()
        rows = self._store.read("SELECT * FROM logs_streams WHERE group_name = ? ORDER BY name", (group,))
        rows = [row for row in rows if row["name"].startswith(prefix)]
        if by_time:
            rows.sort(key=lambda row: row["last_event"] or row["created"])
        if params.get("descending"):
            rows.reverse()
        begin, limit = _offset(params.get("nextToken")), params.get("limit", 50)
        page = rows[begin : begin + limit]
        arn = self._endpoint.arn("logs", f"log-group:{group}")
        return {
            "logStreams": [
                {
                    "logStreamName": row["name"],
                    "creationTime": row["created"],
                    "firstEventTimestamp": row["first_event"],
                    "lastEventTimestamp": row["last_event"],
                    "lastIngestionTime": row["ingested"],
                    "uploadSequenceToken": str(row["id"]),
                    "arn": f"{arn}:log-stream:{row['name']}",
                    "storedBytes": 0,  # AWS: always 0 since 2019
                }
                for row in page
            ],
            "nextToken": str(begin + limit) if begin + limit < len(rows) else None,
        }

    def _stream_row(self, params: dict[str, Any]) -> Any:
        group = self._group(params)["name"]
        row = self._store.one(
            "SELECT * FROM logs_streams WHERE group_name = ? AND name = ?", (group, params["logStreamName"])
        )
        if row is None:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        return row

    # -- events ------------------------------------------------------------------------------------------------------

    def put_events(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._stream_row(params)
        events = params["logEvents"]
        _check_batch(events)
        now = _now()
        old = [i for i, event in enumerate(events) if event["timestamp"] < now - OLDEST_MS]
        new = [i for i, event in enumerate(events) if event["timestamp"] > now + NEWEST_MS]
        self.write(
            row["group_name"],
            row["name"],
            [
                (event["timestamp"], event["message"])
                for event in events
                if now - OLDEST_MS <= event["timestamp"] <= now + NEWEST_MS
            ],
        )
        self._store.flush()
        rejected: dict[str, int] = {}
        if old:
            rejected["tooOldLogEventEndIndex"] = old[-1] + 1
        if new:
            rejected["tooNewLogEventStartIndex"] = new[0]
        return {"nextSequenceToken": str(now), "rejectedLogEventsInfo": rejected or None}

    def get_events(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._stream_row(params)
        self._store.flush()
        token = params.get("nextToken")
        forward, position = _position(token) if token else (params.get("startFromHead", False), None)
        sql, values = self._window(params)
        if position:
            sql += f" AND (at, id) {'>' if forward else '<'} (?, ?)"
            values += position
        order = "at, id" if forward else "at DESC, id DESC"
        limit = params.get("limit", PAGE_EVENTS)
        found = self._store.read(
            f"SELECT * FROM logs_events WHERE stream = ?{sql} ORDER BY {order} LIMIT ?", (row["id"], *values, limit)
        )
        page = _within_bytes(found)
        if not forward:
            page.reverse()
        if page:
            first, last = (page[0]["at"], page[0]["id"]), (page[-1]["at"], page[-1]["id"])
        else:
            first = last = position or (0, 0)
        return {
            "events": [_event(event) for event in page],
            "nextForwardToken": f"f/{last[0]}.{last[1]}/s",
            "nextBackwardToken": f"b/{first[0]}.{first[1]}/s",
        }

    def filter_events(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = self._group(params)
        fits = matcher(params.get("filterPattern", ""))
        if "logStreamNames" in params and "logStreamNamePrefix" in params:
            raise AwsError("InvalidParameterException", "logStreamNames and logStreamNamePrefix exclude each other.")
        self._store.flush()
        streams = {
            row["id"]: row["name"]
            for row in self._store.read("SELECT id, name FROM logs_streams WHERE group_name = ?", (group["name"],))
            if row["name"].startswith(params.get("logStreamNamePrefix", ""))
            and row["name"] in params.get("logStreamNames", (row["name"],))
        }
        missing = set(params.get("logStreamNames", ())) - set(streams.values())
        if missing:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        page, token = self._filtered(params, streams, fits)
        return {
            "events": [
                _event(row) | {"logStreamName": streams[row["stream"]], "eventId": f"{row['id']:056d}"} for row in page
            ],
            "searchedLogStreams": [],  # AWS: always empty since 2019
            "nextToken": token,
        }

    def _filtered(self, params: dict[str, Any], streams: dict[int, str], fits: Any) -> tuple[list[Any], str | None]:
        sql, values = self._window(params)
        if token := params.get("nextToken"):
            _, position = _position(token)
            sql, values = f"{sql} AND (at, id) > (?, ?)", [*values, *position]
        marks = ",".join("?" * len(streams))
        rows = self._store.read(
            f"SELECT * FROM logs_events WHERE stream IN ({marks}){sql} ORDER BY at, id LIMIT ?",
            (*streams, *values, SCANNED_EVENTS),
        )
        limit = params.get("limit", PAGE_EVENTS)
        page: list[Any] = []
        size = 0
        for row in rows:
            if not fits(row["message"]):
                continue
            size += len(row["message"]) + EVENT_OVERHEAD
            if page and (len(page) >= limit or size > PAGE_BYTES):
                return page, f"f/{page[-1]['at']}.{page[-1]['id']}/s"
            page.append(row)
        if len(rows) == SCANNED_EVENTS:
            return page, f"f/{rows[-1]['at']}.{rows[-1]['id']}/s"
        return page, None

    def _window(self, params: dict[str, Any]) -> tuple[str, list[Any]]:
        """Bounds of time as SQL: start inclusive, end exclusive in GetLogEvents; retention hides what is expired."""
        sql, values = "", list[Any]()
        if (start := params.get("startTime")) is not None:
            sql, values = f"{sql} AND at >= ?", [*values, start]
        if (end := params.get("endTime")) is not None:
            sql, values = f"{sql} AND at < ?", [*values, end]
        retention = self._group(params)["retention"]
        if retention:
            sql, values = f"{sql} AND at >= ?", [*values, _now() - retention * DAY_MS]
        return sql, values


def _now() -> int:
    return int(time.time() * 1000)


def _clean(text: str) -> str:
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST_MESSAGE // 4 else text.encode()[:LONGEST_MESSAGE].decode("utf-8", "ignore")


def _checked_name(name: str, allowed: str, member: str) -> str:
    if not re.fullmatch(allowed, name):
        text = f"1 validation error detected: Value '{name[:100]}' at '{member}' failed to satisfy constraint: "
        raise AwsError("InvalidParameterException", f"{text}Member must satisfy regular expression pattern: {allowed}")
    return name


def _group_name(said: str) -> str:
    """A group's name from its name or its ARN (`...:log-group:NAME` with or without `:*`)."""
    if not said.startswith("arn:"):
        return said
    if ":log-group:" not in said:
        raise AwsError("InvalidParameterException", "The ARN is not one of a log group.")
    return said.split(":log-group:", 1)[1].removesuffix(":*")


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit() or len(token) > 9:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    return int(token)


def _position(token: str) -> tuple[bool, tuple[int, int]]:
    """Direction and place of a GetLogEvents token, `f/<milliseconds>.<id>/s`."""
    found = re.fullmatch(r"([fb])/(\d{1,15})\.(\d{1,15})/s", token)
    if not found:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.")
    return found[1] == "f", (int(found[2]), int(found[3]))


def _check_batch(events: Iterable[dict[str, Any]]) -> None:
    size, last = 0, 0
    for event in events:
        if event["timestamp"] < last:
            text = "Log events in a single PutLogEvents request must be in chronological order."
            raise AwsError("InvalidParameterException", text)
        last = event["timestamp"]
        size += len(event["message"].encode()) + EVENT_OVERHEAD
    if size > BATCH_BYTES:
        raise AwsError("InvalidParameterException", f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")


def _within_bytes(rows: list[Any]) -> list[Any]:
    size, page = 0, list[Any]()
    for row in rows:
        size += len(row["message"]) + EVENT_OVERHEAD
        if page and size > PAGE_BYTES:
            break
        page.append(row)
    return page


def _event(row: Any) -> dict[str, Any]:
    return {"timestamp": row["at"], "message": row["message"], "ingestionTime": row["ingested"]}
