"""Map Runs: which ones an execution started, and when they ran. Read from the history, where all of it stands.

**Limits**: how many items are where is not kept by Map Run, so DescribeMapRun and UpdateMapRun are refused.
Source: AWS Step Functions API Reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from millpond.engine.history import ENDS
from millpond.local.service import AwsError, Call, Operation
from millpond.local.states import paging

if TYPE_CHECKING:
    import sqlite3

    from millpond.local.states.executions import Executions

_OPENS = ("MapRunStarted", "MapRunRedriven")
_QUERY = (
    "SELECT id, previous, at, type, more FROM states_events WHERE n = ?1 AND (type IN ({opens}, {ends}) OR previous IN"
    " (SELECT id FROM states_events WHERE n = ?1 AND type IN ({opens}))) ORDER BY id"
).format(opens=", ".join(f"'{name}'" for name in _OPENS), ends=", ".join(f"'{name}'" for name in sorted(ENDS)))


@dataclass(slots=True)
class _MapRun:
    """`ids` are the events that began it; what follows one of them ends it."""

    arn: str
    started: float
    stopped: float | None = None
    ids: set[int] = field(default_factory=set)


class MapRuns:
    """See the module's docstring."""

    def __init__(self, executions: Executions) -> None:
        self.executions = executions

    def operations(self) -> Mapping[str, Operation]:
        return {"ListMapRuns": self.list_map_runs}

    def list_map_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["executionArn"]
        if ":express:" in arn:
            raise AwsError("InvalidArn", f"Invalid Arn: 'Resource type not valid in this context: {arn}'")
        row = self.executions.row(arn)
        self.executions.store.flush()
        found = _map_runs(self.executions.store.read(_QUERY, (row["n"],)))
        kind = f"map runs {row['n']}"
        begin, limit = paging.position(kind, params.get("nextToken")) or 0, paging.size(params.get("maxResults"))
        page = found[begin : begin + limit]
        answer: dict[str, Any] = {"mapRuns": [_shown(run, arn, row["machine"]) for run in page]}
        if begin + limit < len(found):
            answer["nextToken"] = paging.token(kind, begin + limit)
        return answer


def _map_runs(events: list[sqlite3.Row]) -> list[_MapRun]:
    """The Map Runs of a history, oldest first."""
    runs: dict[str, _MapRun] = {}
    for event in events:
        if event["type"] in _OPENS:
            arn = json.loads(event["more"])["mapRunArn"]
            run = runs.setdefault(arn, _MapRun(arn, event["at"]))
            run.ids.add(event["id"])
            run.stopped = None
            continue
        for run in runs.values():
            if run.stopped is None and (event["type"] in ENDS or event["previous"] in run.ids):
                run.stopped = event["at"]
    return list(runs.values())


def _shown(run: _MapRun, execution: str, machine: str) -> dict[str, Any]:
    label = run.arn.split(":mapRun:", 1)[1].split("/", 1)[1].rsplit(":", 1)[0]
    shown = {
        "executionArn": execution,
        "mapRunArn": run.arn,
        "stateMachineArn": f"{machine}/{label}",
        "startDate": run.started,
    }
    return shown | ({"stopDate": run.stopped} if run.stopped is not None else {})
