"""Execution logs in CloudWatch Logs, as a machine's LoggingConfiguration asks.

Each history event becomes one JSON line in a stream `states/<machine>/<date>/<random>`. Level ALL writes every event,
ERROR the failures and Fail states, FATAL the ends of executions that did not succeed; without includeExecutionData
inputs and outputs are left out; longer ones than 248 KB are cut, and say so. Logging is best effort, as on AWS: lines
of the last moment before a kill may be missing. Sources: AWS Step Functions Developer Guide, "Log levels", "Logging
using CloudWatch Logs".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from millpond.engine.history import shape_of, to_aws

if TYPE_CHECKING:
    from millpond.engine import Batch, Event
    from millpond.local.service import Endpoint

FATAL = frozenset({"ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut"})
_FAILED = ("Failed", "TimedOut", "Aborted")
_DATA = ("input", "output", "parameters")
LONGEST = 248 * 1024
"""Of an input or output, in characters as they are escaped."""


@dataclass(frozen=True, slots=True)
class _Followed:
    group: str
    stream: str
    level: str
    data: bool
    redrives: int


class Journal:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._followed: dict[str, _Followed] = {}

    def follow(self, execution: str, machine: str, configuration: str | None, redrives: int = 0) -> None:
        """An execution begins (or goes on after a restart or redrive): does its machine log?"""
        asked: Mapping[str, Any] = json.loads(configuration) if configuration else {}
        if asked.get("level", "OFF") == "OFF" or "logs" not in self.endpoint.services:
            return
        arn = asked["destinations"][0]["cloudWatchLogsLogGroup"]["logGroupArn"]
        group = arn.removesuffix(":*").partition(":log-group:")[2]
        day = datetime.now(UTC).strftime("%Y-%m-%d-%H-%M")
        stream = f"states/{machine}/{day}/{secrets.token_hex(4)}"
        data = bool(asked.get("includeExecutionData"))
        self._followed[execution] = _Followed(group, stream, asked["level"], data, redrives)

    def write(self, batch: Batch) -> None:
        """Log what happened in one slice of an execution."""
        if not self._followed:
            return
        birth = batch.birth
        if birth is not None and birth.parent in self._followed:  # a child of a Map Run logs where its parent does
            self._followed[batch.execution] = replace(self._followed[birth.parent], redrives=birth.redrives)
        followed = self._followed.get(batch.execution)
        if followed is None:
            return
        if batch.ended is not None:
            del self._followed[batch.execution]
        lines = [
            (int(event.at * 1000), self._line(batch.execution, event, followed))
            for event in batch.events
            if _wanted(event.type, followed.level)
        ]
        if lines:
            logs: Any = self.endpoint.services["logs"]
            logs.write(followed.group, followed.stream, lines)

    @staticmethod
    def _line(execution: str, event: Event, followed: _Followed) -> str:
        shape = shape_of(event.type)
        shown = to_aws(event)
        details: Any = shown.get(shape.member, {}) if shape is not None else {}
        if not followed.data:
            details = {key: value for key, value in details.items() if key.removesuffix("Details") not in _DATA}
        else:
            details = _cut(details)
        return json.dumps(
            {
                "id": str(event.id),
                "type": event.type,
                "details": details,
                "redrive_count": str(followed.redrives),
                "previous_event_id": str(event.previous),
                "event_timestamp": str(int(event.at * 1000)),
                "execution_arn": execution,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )


def _cut(details: dict[str, Any]) -> dict[str, Any]:
    """The details with what is too long for a log event cut off."""
    shown = details
    for key in _DATA:
        text = details.get(key)
        if isinstance(text, str) and len(json.dumps(text, ensure_ascii=False)) > LONGEST:
            shown = shown | {key: text[:LONGEST]} | ({f"{key}Details": {"truncated": True}} if key != _DATA[-1] else {})
    return shown


def _wanted(kind: str, level: str) -> bool:
    if level == "ALL":
        return True
    return kind in FATAL or (level == "ERROR" and (kind.endswith(_FAILED) or kind == "FailStateEntered"))
