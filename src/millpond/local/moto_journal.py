"""What was asked of moto's services, kept so that they can be rebuilt: moto itself forgets everything at exit.

A successful call that changes resources (Create..., Put..., Tag...) is a row; when moto is loaded again the rows are
sent to it in order, before anything else. moto's random numbers are seeded with the row's number on both occasions, so
ids and keys come back the same. What cannot be repeated is marked and listed (`millpond status --json`, the log), never
dropped silently.

Not kept: what flows through a service instead of being configured in it, such as SQS messages and DynamoDB items.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from millpond.local.protocol import Request
from millpond.local.store import Store

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS moto_calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, service TEXT NOT NULL, operation TEXT NOT NULL, region TEXT NOT NULL,
    method TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL,
    at REAL NOT NULL, error TEXT);
"""

CHANGES = re.compile(
    "(Create|Put|Update|Delete|Attach|Detach|Tag|Untag|Set|Add|Remove|Subscribe|Unsubscribe|Register|Deregister|Enable"
    "|Disable|Associate|Disassociate|Modify|Schedule|Cancel|Authorize|Revoke|Import|Change|Label|Activate|Deactivate)"
    "(?=[A-Z])"
)

# Data, not configuration.
FLOWS = frozenset(
    {
        "sqs:DeleteMessage",
        "sqs:DeleteMessageBatch",
        "sqs:ChangeMessageVisibility",
        "sqs:ChangeMessageVisibilityBatch",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "events:PutEvents",
        "events:PutPartnerEvents",
        "cloudwatch:PutMetricData",
        "kinesis:PutRecord",
        "kinesis:PutRecords",
        "firehose:PutRecord",
        "firehose:PutRecordBatch",
        "iot-data:UpdateThingShadow",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
    }
)

KEPT_HEADERS = ("content-type", "x-amz-target", "x-amzn-query-mode")


@dataclass(frozen=True, slots=True)
class Kept:
    """A call to be repeated."""

    id: int
    service: str
    operation: str
    region: str
    request: Request


class Journal:
    """See the module's docstring."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def concerns(service: str, operation: str) -> bool:
        """Whether a call changes what a restart must bring back."""
        return CHANGES.match(operation) is not None and f"{service}:{operation}" not in FLOWS

    def next_seed(self) -> int:
        """The number that the next row will have."""
        row = self._store.one("SELECT seq FROM sqlite_sequence WHERE name = 'moto_calls'")
        return (row["seq"] if row else 0) + 1

    def keep(self, seed: int, service: str, operation: str, region: str, request: Request) -> None:
        """Write a call that succeeded under this seed."""
        headers = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        row = (seed, service, operation, region, request.method, request.path, request.query)
        with self._store.write() as db:
            db.execute(
                "INSERT INTO moto_calls (id, service, operation, region, method, path, query, headers, body, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, json.dumps(headers), request.body, time.time()),
            )

    def calls(self) -> Iterator[Kept]:
        """Every kept call, in order."""
        for row in self._store.read("SELECT * FROM moto_calls ORDER BY id"):
            headers: dict[str, Any] = json.loads(row["headers"])
            request = Request(row["method"], row["path"], row["query"], headers, row["body"], list(headers.items()))
            yield Kept(row["id"], row["service"], row["operation"], row["region"], request)

    def asked(self, service: str, operations: Sequence[str]) -> list[tuple[str, bytes]]:
        """(operation, body) of the kept calls of these operations, in order."""
        marks = ",".join("?" * len(operations))
        sql = f"SELECT operation, body FROM moto_calls WHERE service = ? AND operation IN ({marks}) ORDER BY id"
        return [(row["operation"], row["body"]) for row in self._store.read(sql, (service, *operations))]

    def mark(self, kept: Kept, error: str | None) -> None:
        """Remember why a call could not be repeated; None: it could."""
        with self._store.write() as db:
            db.execute("UPDATE moto_calls SET error = ? WHERE id = ? AND error IS NOT ?", (error, kept.id, error))

    def failures(self) -> list[dict[str, str]]:
        """The calls that could not be repeated at the last start: service, operation, error."""
        rows = self._store.read("SELECT service, operation, error FROM moto_calls WHERE error IS NOT NULL ORDER BY id")
        return [dict(row) for row in rows]
