"""CloudWatch Logs, as far as the tooling reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from millpond.aws.target import Target


@dataclass(frozen=True, slots=True)
class LogRef:
    """Where a step's log is: a group, and the beginning of its streams' names ("" for a whole group)."""

    group: str
    stream: str

    def __str__(self) -> str:
        return f"{self.group}:{self.stream}" if self.stream else self.group


def read(target: Target, ref: LogRef, *, since: int | None = None) -> Iterator[str]:
    """All messages of a log in order; nothing when the group or stream does not exist. `since`: epoch milliseconds."""
    logs = target.client("logs")
    request: dict[str, object] = {"logGroupName": ref.group} | ({"startTime": since} if since else {})
    if ref.stream:
        request["logStreamNames"] = [ref.stream]
    token: dict[str, str] = {}
    while True:
        try:
            page = logs.filter_log_events(**request, **token)
        except logs.exceptions.ResourceNotFoundException:
            return
        for event in page["events"]:
            yield event["message"].rstrip("\n")
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def tail(target: Target, ref: LogRef, lines: int = 15) -> list[str]:
    """The last messages of one stream; none when it does not exist. Any other refusal is raised."""
    logs = target.client("logs")
    try:
        page = logs.get_log_events(logGroupName=ref.group, logStreamName=ref.stream, limit=lines, startFromHead=False)
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"].rstrip("\n") for event in page["events"]]
