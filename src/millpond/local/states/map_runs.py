"""Map Runs: describe, update, list; and their child executions as DescribeExecution and ListExecutions show them.

Counts come from the children's rows, so they are exact at any moment, after a kill, too. Source: AWS Step Functions
API Reference; "Viewing a Distributed Map Run execution", "Redriving Map Runs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.engine.spread import LAST_EVENT
from millpond.local.service import AwsError, Call, Operation
from millpond.local.states import arns, paging
from millpond.local.states.children import STATUS

if TYPE_CHECKING:
    import sqlite3

    from millpond.engine import Engine
    from millpond.local.service import Endpoint
    from millpond.local.states.children import Counts
    from millpond.local.states.executions import Executions

_ARN = re.compile(r"arn:[\w-]+:states:[\w-]+:\d{12}:mapRun:[^:/]+/[^:/]+:[\w-]+")
_LISTED = (
    f"SELECT e.*, {STATUS} AS shown FROM states_executions e JOIN states_map_runs m ON m.id = e.map_run"
    " WHERE e.map_run = ? AND e.status != 'PENDING'"
)


class MapRuns:
    """See the module's docstring. `engine` is set before the first operation."""

    def __init__(self, endpoint: Endpoint, executions: Executions) -> None:
        self.endpoint, self.store, self.executions = endpoint, endpoint.store, executions
        self.family = executions.records.family
        self.engine: Engine

    def operations(self) -> Mapping[str, Operation]:
        return {
            "DescribeMapRun": self.describe,
            "UpdateMapRun": self.update,
            "ListMapRuns": self.list_map_runs,
        }

    def row(self, arn: str) -> sqlite3.Row:
        """A Map Run's row. Raises InvalidArn, ResourceNotFound."""
        if not _ARN.fullmatch(arn):
            raise arns.invalid(arn) if ":mapRun:" in arn else arns.misplaced(arn)
        self.store.flush()
        row = self.store.one("SELECT * FROM states_map_runs WHERE arn = ?", (arn,))
        if row is None:
            raise AwsError("ResourceNotFound", f"Resource not found: '{arn}'", resourceName=arn)
        return row

    # Map Runs -------------------------------------------------------------------------------------------------------

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.row(params["mapRunArn"])
        counts = self.family.counts(row)
        unredrivable = self._unredrivable(row)
        items = _counted(row, counts, 1, max(0, row["items"]), unredrivable[1])
        executions = _counted(row, counts, 0, row["size"], unredrivable[0])
        answer: dict[str, Any] = {
            "mapRunArn": row["arn"],
            "executionArn": row["parent"],
            "status": row["status"],
            "startDate": row["started"],
            "maxConcurrency": row["most"],
            "toleratedFailurePercentage": row["percent"],
            "toleratedFailureCount": row["count"],
            "itemCounts": items,
            "executionCounts": executions,
            "redriveCount": row["redrives"],
        }
        optional = {"stopDate": row["stopped"], "redriveDate": row["redriven"]}
        return answer | {key: value for key, value in optional.items() if value is not None}

    def _unredrivable(self, row: sqlite3.Row) -> tuple[int, int]:
        """Unsuccessful executions, and items in them, whose histories are full: nothing can be added to them."""
        if row["express"]:
            return 0, 0
        found = self.store.one(
            "SELECT count(*) AS executions, coalesce(sum(items), 0) AS items FROM states_executions e WHERE map_run = ?"
            " AND status IN ('FAILED', 'TIMED_OUT', 'ABORTED') AND EXISTS (SELECT 1 FROM states_events v WHERE"
            " v.n = e.n AND v.id >= ?)",
            (row["id"], LAST_EVENT),
        )
        assert found is not None
        return found["executions"], found["items"]

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Takes effect at once: on children that have yet to begin, and on failures that were counted before."""
        row = self.row(params["mapRunArn"])
        if row["status"] != "RUNNING":
            raise _refused(f"Map Run is {row['status']} and cannot be updated: '{row['arn']}'")
        limit, count = params.get("maxConcurrency"), params.get("toleratedFailureCount")
        percent = params.get("toleratedFailurePercentage")
        if limit is None and count is None and percent is None:
            raise _refused("Must provide maxConcurrency, toleratedFailureCount or toleratedFailurePercentage")
        if percent is not None and not 0 <= percent <= 100:
            raise _refused("toleratedFailurePercentage must be between 0 and 100")
        self.engine.update_map_run(row["arn"], limit=limit, count=count, percent=percent)
        with self.store.write() as db:  # the engine writes the same a moment later
            db.execute(
                "UPDATE states_map_runs SET most = coalesce(?, most), count = coalesce(?, count),"
                " percent = coalesce(?, percent) WHERE id = ?",
                (limit, count, percent, row["id"]),
            )
        return {}

    def list_map_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["executionArn"]
        if ":express:" in arn:
            raise arns.not_for_express()
        row = self.executions.row(arn)
        self.store.flush()
        kind = f"map runs {row['n']}"
        after, limit = paging.position(kind, params.get("nextToken")) or 0, paging.size(params.get("maxResults"))
        found = self.store.read(
            "SELECT * FROM states_map_runs WHERE n = ? AND id > ? ORDER BY id LIMIT ?", (row["n"], after, limit + 1)
        )
        answer: dict[str, Any] = {"mapRuns": [_listed(run) for run in found[:limit]]}
        if len(found) > limit:
            answer["nextToken"] = paging.token(kind, found[limit - 1]["id"])
        return answer

    # Their children -------------------------------------------------------------------------------------------------

    def of(self, child: sqlite3.Row) -> sqlite3.Row:
        """The Map Run of a child execution's row."""
        row = self.store.one("SELECT * FROM states_map_runs WHERE id = ?", (child["map_run"],))
        assert row is not None
        return row

    def described(self, child: sqlite3.Row) -> dict[str, Any]:
        """What DescribeExecution says of a child besides."""
        run, status = self.of(child), child["status"]
        shown: dict[str, Any] = {"mapRunArn": run["arn"]}
        if status in ("RUNNING", "SUCCEEDED"):
            reason = f"Execution is {status} and cannot be redriven"
            return shown | {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}
        if run["status"] == "RUNNING" and child["round"] < run["redrives"]:
            shown["status"] = "PENDING_REDRIVE"
        return shown | {"redriveStatus": "REDRIVABLE_BY_MAP_RUN"}

    def children(self, params: dict[str, Any]) -> dict[str, Any]:
        """ListExecutions of a Map Run: the latest child first."""
        if params.get("stateMachineArn"):
            raise _refused("Must provide a StateMachine ARN or a MapRun ARN, but not both")
        run = self.row(params["mapRunArn"])
        where, values = "", [run["id"]]
        if params.get("redriveFilter"):
            where += " AND e.redrives > 0" if params["redriveFilter"] == "REDRIVEN" else " AND e.redrives = 0"
        if params.get("statusFilter"):
            where += f" AND {STATUS} = ?"
            values.append(params["statusFilter"])
        kind = f"children {run['id']}"
        before, limit = paging.position(kind, params.get("nextToken")), paging.size(params.get("maxResults"))
        if before is not None:
            where += " AND e.idx < ?"
            values.append(before)
        rows = self.store.read(f"{_LISTED}{where} ORDER BY e.idx DESC LIMIT ?", (*values, limit + 1))
        answer: dict[str, Any] = {"executions": [_child(row, run) for row in rows[:limit]]}
        if len(rows) > limit:
            answer["nextToken"] = paging.token(kind, rows[limit - 1]["idx"])
        return answer


def _refused(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _counted(row: sqlite3.Row, counts: Counts, which: int, total: int, unredrivable: int) -> dict[str, int]:
    """AWS's counts, of executions (`which` 0) or items (1). Children that have not begun are pending."""
    by = {status: pair[which] for status, pair in counts.items()}
    began = sum(number for status, number in by.items() if status != "PENDING")
    put_down = by.get("PENDING", 0)
    total = max(total, began + put_down)
    return {
        "pending": total - began,
        "running": by.get("RUNNING", 0),
        "succeeded": by.get("SUCCEEDED", 0),
        "failed": by.get("FAILED", 0),
        "timedOut": by.get("TIMED_OUT", 0),
        "aborted": by.get("ABORTED", 0),
        "total": total,
        "resultsWritten": began if row["written"] else 0,
        "failuresNotRedrivable": unredrivable,
        "pendingRedrive": by.get("PENDING_REDRIVE", 0),
    }


def _listed(row: sqlite3.Row) -> dict[str, Any]:
    machine = row["arn"].replace(":mapRun:", ":stateMachine:", 1).rpartition(":")[0]
    shown = {
        "executionArn": row["parent"],
        "mapRunArn": row["arn"],
        "stateMachineArn": machine,
        "startDate": row["started"],
    }
    return shown | ({"stopDate": row["stopped"]} if row["stopped"] is not None else {})


def _child(row: sqlite3.Row, run: sqlite3.Row) -> dict[str, Any]:
    shown = {
        "executionArn": row["arn"],
        "stateMachineArn": row["machine"],
        "name": row["name"],
        "status": row["shown"],
        "startDate": row["started"],
        "mapRunArn": run["arn"],
        "itemCount": row["items"],
        "redriveCount": row["redrives"],
    }
    optional = {"stopDate": row["stopped"], "redriveDate": row["redriven"]}
    return shown | {key: value for key, value in optional.items() if value is not None}
