"""Workflows and their runs: the API. The part of Glue that owns triggers, too (triggers.py, firing.py).

A run fires the workflow's starting trigger; its conditional triggers fire as jobs and crawlers of the run end; it is
COMPLETED when nothing runs and nothing more fires, even if jobs failed (AWS docs, "Repairing and resuming a workflow
run"). It works on a snapshot of the triggers. A resumed run copies what the run before it did, but for the selected
nodes and all that follow them.

Our decisions, where AWS's pages are silent: DeleteWorkflow deletes the workflow's triggers and runs; UpdateWorkflow
changes the members that it is given.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from millpond.local.glue.firing import CALL, SCHEMA, Firing, shown
from millpond.local.glue.records import after, decode, encode, page, token
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.glue.trigger_rules import invalid
from millpond.local.glue.triggers import Triggers, forget
from millpond.local.glue.workflow_graph import downstream, graph, node_id, starts, statistics
from millpond.local.service import AwsError, Call, Endpoint, Operation, acting_for

if TYPE_CHECKING:
    from millpond.local.glue import Glue
    from millpond.local.glue.crawlers import Crawlers
    from millpond.local.glue.jobs import Jobs

PAGE = 25
RUNS_PAGE = 200
LOG_GROUP = "/aws-glue/crawlers"
SETTINGS = ("Description", "DefaultRunProperties", "MaxConcurrentRuns")


class Workflows:
    """See the module's docstring."""

    schema = (
        """
    CREATE TABLE IF NOT EXISTS glue_workflows (
        name TEXT PRIMARY KEY, body TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL
    ) WITHOUT ROWID;
    """
        + SCHEMA
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.firing = Firing(endpoint)
        self.triggers = Triggers(endpoint, self.firing, self.start_run)
        self.tagged: dict[str, Callable[[str], bool]] = {
            "trigger": lambda name: self.triggers.row(name) is not None,
            "workflow": lambda name: self._row(name) is not None,
        }

    def operations(self) -> dict[str, Operation]:
        return self.triggers.operations() | {
            "CreateWorkflow": self.create,
            "UpdateWorkflow": self.update,
            "DeleteWorkflow": self.delete,
            "GetWorkflow": self.get,
            "ListWorkflows": self.list_workflows,
            "BatchGetWorkflows": self.batch_get,
            "StartWorkflowRun": self.start_run,
            "StopWorkflowRun": self.stop_run,
            "ResumeWorkflowRun": self.resume_run,
            "GetWorkflowRun": self.get_run,
            "GetWorkflowRuns": self.get_runs,
            "GetWorkflowRunProperties": self.get_properties,
            "PutWorkflowRunProperties": self.put_properties,
        }

    def start(self) -> None:
        glue = cast("Glue", self.endpoint.services["glue"])
        self.firing.start(cast("Jobs", glue.parts["jobs"]), cast("Crawlers", glue.parts["crawlers"]))

    def stop(self) -> None:
        """Nothing of its own goes on; what was not done stays in the store."""

    # ---- workflows

    def _row(self, name: str) -> sqlite3.Row | None:
        return self.endpoint.store.one("SELECT * FROM glue_workflows WHERE name = ?", (name,))

    def _existing(self, name: str) -> sqlite3.Row:
        row = self._row(name)
        if row is None:
            raise AwsError("EntityNotFoundException", f"Workflow with name: {name} not found.")
        return row

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, now = params["Name"], self.endpoint.clock.now()
        _check(params)
        body = {member: params[member] for member in SETTINGS if member in params}
        with self.endpoint.store.write() as db:
            if db.execute("SELECT 1 FROM glue_workflows WHERE name = ?", (name,)).fetchone():
                raise AwsError("AlreadyExistsException", f"Workflow with name: {name} already exists.")
            db.execute("INSERT INTO glue_workflows VALUES (?, ?, ?, ?)", (name, encode(body), now, now))
            write_tags(db, self.endpoint.arn("glue", f"workflow/{name}"), params.get("Tags"))
        return {"Name": name}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        _check(params)
        with self.endpoint.store.write() as db:
            body = decode(self._existing(name)["body"])
            body |= {member: params[member] for member in SETTINGS if member in params}
            db.execute(
                "UPDATE glue_workflows SET body = ?, modified = ? WHERE name = ?",
                (encode(body), self.endpoint.clock.now(), name),
            )
        return {"Name": name}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A workflow that is not there is no error. Jobs that run for it go on; nothing follows them."""
        name = params["Name"]
        with self.endpoint.store.write() as db:
            for row in db.execute("SELECT name FROM glue_triggers WHERE workflow = ?", (name,)).fetchall():
                forget(self.endpoint, db, row["name"])
            runs = "SELECT id FROM glue_workflow_runs WHERE workflow = ?"
            db.execute(f"DELETE FROM glue_actions WHERE chain IN ({runs})", (name,))
            db.execute("DELETE FROM glue_workflow_runs WHERE workflow = ?", (name,))
            db.execute("DELETE FROM glue_workflows WHERE name = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"workflow/{name}"))
        return {"Name": name}

    def _shown(self, row: sqlite3.Row, *, with_graph: bool) -> dict[str, Any]:
        name = row["name"]
        found = {"Name": name, **decode(row["body"]), "CreatedOn": row["created"], "LastModifiedOn": row["modified"]}
        last = self.endpoint.store.one(
            "SELECT * FROM glue_workflow_runs WHERE workflow = ? ORDER BY number DESC LIMIT 1", (name,)
        )
        if last:
            found["LastRun"] = self._run(last, with_graph=with_graph)
        if with_graph:
            found["Graph"] = graph(name, self._triggers(name), lambda kind, target: ())
        return found

    def _triggers(self, workflow: str) -> list[dict[str, Any]]:
        rows = self.endpoint.store.read("SELECT * FROM glue_triggers WHERE workflow = ? ORDER BY name", (workflow,))
        return [shown(row) for row in rows]

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._existing(params["Name"])
        return {"Workflow": self._shown(row, with_graph=bool(params.get("IncludeGraph")))}

    def list_workflows(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        sql = "SELECT name FROM glue_workflows WHERE name > ? ORDER BY name LIMIT ?"
        rows, more = page(self.endpoint.store.read(sql, (last, size + 1)), size)
        return {"Workflows": [row["name"] for row in rows]} | more

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = {name: self._row(name) for name in params["Names"]}
        with_graph = bool(params.get("IncludeGraph"))
        return {
            "Workflows": [self._shown(row, with_graph=with_graph) for row in rows.values() if row],
            "MissingWorkflows": [name for name, row in rows.items() if not row],
        }

    # ---- runs

    def _run_row(self, params: Mapping[str, Any]) -> sqlite3.Row:
        self._existing(params["Name"])
        row = self.endpoint.store.one(
            "SELECT * FROM glue_workflow_runs WHERE id = ? AND workflow = ?", (params["RunId"], params["Name"])
        )
        if row is None:
            raise AwsError(
                "EntityNotFoundException", f"Workflow run {params['RunId']} of workflow {params['Name']} not found."
            )
        return row

    def start_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Fire the workflow's starting trigger, whatever its type and state. A task of Step Functions (`acting_for`)
        that asks again gets the run that it started before."""
        name, token = params["Name"], acting_for.get()
        given = {"id": f"wr_{hashlib.sha256(token.encode()).hexdigest()}"} if token else {}
        if given and self.endpoint.store.one("SELECT 1 FROM glue_workflow_runs WHERE id = ?", (given["id"],)):
            return {"RunId": given["id"]}
        with self.endpoint.store.write() as db:
            defaults = decode(self._existing(name)["body"]).get("DefaultRunProperties", {})
            starting = [one for one in self._triggers(name) if one["Type"] != "CONDITIONAL"]
            if not starting:
                raise invalid(f"Workflow {name} has no starting trigger.")
            self._check_room(db, name)
            run = self.firing.begin_run(db, name, {**defaults, **params.get("RunProperties", {})}, **given)
            ids = self.firing.fire(db, starting[0], run)
        self.firing.start_actions(ids)
        return {"RunId": run}

    def _check_room(self, db: sqlite3.Connection, name: str) -> None:
        if not self.firing.has_room(db, name):
            raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for workflow: {name}.")

    def stop_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.firing.stop_run(self._run_row(params)["id"])
        return {}

    def resume_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A new run from the selected nodes on; what they do not touch is copied from the run before."""
        name, before = params["Name"], self._run_row(params)
        if before["status"] != "COMPLETED":
            raise AwsError("IllegalWorkflowStateException", f"Workflow run {before['id']} is {before['status']}.")
        triggers = decode(before["triggers"])
        actions = self._actions(before["id"])
        chosen = self._nodes(name, triggers, actions, params["NodeIds"])
        after_any = set().union(*(downstream(triggers, node) for node in chosen))
        first = [node for node in chosen if node not in after_any] or chosen
        again = set(chosen) | after_any
        with self.endpoint.store.write() as db:
            self._check_room(db, name)
            run = self.firing.begin_run(db, name, decode(before["properties"]), previous=before["id"])
            db.execute("UPDATE glue_workflow_runs SET triggers = ? WHERE id = ?", (before["triggers"], run))
            for action in actions:
                if (action["kind"], action["target"]) not in again:
                    _copy(db, action, run)
            ids = [number for node in first for number in self._restart(db, run, node, triggers, actions)]
        self.firing.start_actions(ids)
        return {"RunId": run, "NodeIds": [node_id(name, *node) for node in first]}

    @staticmethod
    def _nodes(
        name: str, triggers: Sequence[Mapping[str, Any]], actions: Iterable[sqlite3.Row], ids: Sequence[str]
    ) -> list[tuple[str, str]]:
        """The jobs and crawlers that `ids` name. Each must have been attempted in the run (AWS docs)."""
        if not ids:
            raise invalid("NodeIds cannot be null or empty")
        known = {node_id(name, *node): node for trigger in triggers for node in starts(trigger)}
        attempted = {(action["kind"], action["target"]) for action in actions}
        for one in ids:
            if one not in known:
                raise invalid(f"Node {one} is not a job or crawler of workflow {name}.")
            if known[one] not in attempted:
                raise invalid(f"Node {one} ({known[one][1]}) has no run attempt in the workflow run.")
        return list(dict.fromkeys(known[one] for one in ids))

    def _restart(
        self,
        db: sqlite3.Connection,
        run: str,
        node: tuple[str, str],
        triggers: Sequence[Mapping[str, Any]],
        actions: Sequence[sqlite3.Row],
    ) -> list[int]:
        """Begin a node again, as the trigger that began it last would: with that action's arguments."""
        began = next(one for one in reversed(actions) if (one["kind"], one["target"]) == node)
        trigger = next(one for one in triggers if one["Name"] == began["trigger"])
        member = "JobName" if node[0] == "JOB" else "CrawlerName"
        only = [action for action in trigger["Actions"] if action.get(member) == node[1]]
        return self.firing.fire(db, {**trigger, "Actions": only}, run)

    def _actions(self, run: str) -> list[sqlite3.Row]:
        return self.endpoint.store.read("SELECT * FROM glue_actions WHERE chain = ? ORDER BY id", (run,))

    def get_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Run": self._run(self._run_row(params), with_graph=bool(params.get("IncludeGraph")))}

    def get_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Newest first."""
        name, size = params["Name"], params.get("MaxResults") or RUNS_PAGE
        self._existing(name)
        (last,) = after(params.get("NextToken")) or [str(2**62)]
        if not last.isdigit():
            raise invalid("Invalid continuation token.")
        sql = "SELECT * FROM glue_workflow_runs WHERE workflow = ? AND number < ? ORDER BY number DESC LIMIT ?"
        rows = self.endpoint.store.read(sql, (name, int(last), size + 1))
        more = {"NextToken": token(str(rows[size - 1]["number"]))} if len(rows) > size else {}
        with_graph = bool(params.get("IncludeGraph"))
        return {"Runs": [self._run(row, with_graph=with_graph) for row in rows[:size]]} | more

    def _run(self, row: sqlite3.Row, *, with_graph: bool) -> dict[str, Any]:
        triggers, actions = decode(row["triggers"]), self._actions(row["id"])
        outcomes = [self.firing.progress(action)[0] for action in actions]
        found = {
            "Name": row["workflow"],
            "WorkflowRunId": row["id"],
            "PreviousRunId": row["previous"],
            "WorkflowRunProperties": decode(row["properties"]),
            "StartedOn": row["started"],
            "CompletedOn": row["completed"],
            "Status": row["status"],
            "ErrorMessage": row["error"],
            "Statistics": statistics(triggers, outcomes),
            "StartingEventBatchCondition": decode(row["batch"]) if row["batch"] else None,
        }
        if with_graph:

            def details(kind: str, target: str) -> list[dict[str, Any]]:
                those = [one for one in actions if (one["kind"], one["target"]) == (kind, target)]
                return [
                    shown for one in those for shown in (self._job_runs(one) if kind == "JOB" else self._crawls(one))
                ]

            found["Graph"] = graph(row["workflow"], triggers, details)
        return {member: value for member, value in found.items() if value is not None}

    def _job_runs(self, action: sqlite3.Row) -> list[dict[str, Any]]:
        """An action's job run and its retries; of one that could not be started, what is known."""
        if action["run"]:
            jobs, ids = self.firing.jobs, [one["id"] for one in self.firing.attempts(action["run"])]
            return [jobs.get_run({"JobName": action["target"], "RunId": one}, CALL)["JobRun"] for one in ids]
        if action["state"] != "ENDED":
            return []
        return [
            {
                "JobName": action["target"],
                "TriggerName": action["trigger"],
                "JobRunState": action["outcome"],
                "ErrorMessage": action["error"],
                "StartedOn": action["created"],
                "CompletedOn": action["ended"],
                "Arguments": decode(action["params"])["Arguments"],
            }
        ]

    def _crawls(self, action: sqlite3.Row) -> list[dict[str, Any]]:
        state, error = self.firing.progress(action)
        crawl = self.endpoint.store.one("SELECT * FROM glue_crawls WHERE id = ?", (action["run"],))
        if crawl and crawl["stop_asked"] and state == "RUNNING":
            state = "CANCELLING"
        found = {
            "State": {"STARTING": "RUNNING", "STOPPED": "CANCELLED"}.get(state, state),
            "StartedOn": crawl["started"] if crawl else action["created"],
            "CompletedOn": crawl["ended"] if crawl else action["ended"],
            "ErrorMessage": error or None,
            "LogGroup": LOG_GROUP,
            "LogStream": action["target"],
        }
        return [{member: value for member, value in found.items() if value is not None}]

    # ---- properties

    def get_properties(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"RunProperties": decode(self._run_row(params)["properties"])}

    def put_properties(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Add or change properties; the others stay."""
        with self.endpoint.store.write() as db:
            row = self._run_row(params)
            properties = decode(row["properties"]) | params["RunProperties"]
            db.execute("UPDATE glue_workflow_runs SET properties = ? WHERE id = ?", (encode(properties), row["id"]))
        return {}


def _check(params: Mapping[str, Any]) -> None:
    if params.get("MaxConcurrentRuns", 1) < 1:
        raise invalid("MaxConcurrentRuns should be greater than or equal to 1 if present.")


def _copy(db: sqlite3.Connection, action: sqlite3.Row, run: str) -> None:
    """An ended action of a run as one of the run that resumes it."""
    values = {key: action[key] for key in action.keys() if key != "id"} | {"chain": run, "workflow_run": run}  # noqa: SIM118
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    db.execute(f"INSERT INTO glue_actions ({names}) VALUES ({marks})", tuple(values.values()))
