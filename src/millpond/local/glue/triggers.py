"""Triggers: their API. What they fire, and when, is in firing.py; what is refused, in trigger_rules.py.

States: a scheduled or conditional trigger is CREATED, ACTIVATED (StartTrigger, StartOnCreation) or DEACTIVATED
(StopTrigger); the others are always CREATED: starting an on-demand trigger fires it, an EVENT trigger fires when events
come. What takes AWS a while (ACTIVATING, DELETING...) is done here when the call returns.

Jobs and crawlers that a trigger names need not exist until it fires, as on AWS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from millpond.local.glue.firing import Firing, shown
from millpond.local.glue.records import after, encode, page
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.glue.trigger_rules import STARTING, check_created, check_updated, invalid
from millpond.local.service import AwsError, Call, Endpoint, Operation

PAGE = 200
DEFINITION = ("Description", "Schedule", "Actions", "Predicate", "EventBatchingCondition")


class Triggers:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint, firing: Firing, start_run: Operation) -> None:
        self.endpoint, self.firing, self._start_run = endpoint, firing, start_run

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateTrigger": self.create,
            "UpdateTrigger": self.update,
            "DeleteTrigger": self.delete,
            "GetTrigger": self.get,
            "GetTriggers": self.get_triggers,
            "ListTriggers": self.list_triggers,
            "BatchGetTriggers": self.batch_get,
            "StartTrigger": self.start,
            "StopTrigger": self.stop,
        }

    # ---- definitions

    def row(self, name: str) -> sqlite3.Row | None:
        """A trigger's row, or None."""
        return self.endpoint.store.one("SELECT * FROM glue_triggers WHERE name = ?", (name,))

    def _existing(self, name: str) -> sqlite3.Row:
        row = self.row(name)
        if row is None:
            raise AwsError("EntityNotFoundException", f"Trigger with name: {name} not found.")
        return row

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_created(params)
        name, workflow = params["Name"], params.get("WorkflowName", "")
        body = {member: params[member] for member in DEFINITION if member in params}
        state = "ACTIVATED" if params.get("StartOnCreation") and params["Type"] != "EVENT" else "CREATED"
        with self.endpoint.store.write() as db:
            if db.execute("SELECT 1 FROM glue_triggers WHERE name = ?", (name,)).fetchone():
                raise AwsError("AlreadyExistsException", f"Trigger with name: {name} already exists.")
            if workflow:
                self._check_workflow(db, workflow, params["Type"])
            db.execute(
                "INSERT INTO glue_triggers (name, workflow, type, state, body, since) VALUES (?, ?, ?, ?, ?, ?)",
                (name, workflow, params["Type"], state, encode(body), self.firing.now()),
            )
            write_tags(db, self.endpoint.arn("glue", f"trigger/{name}"), params.get("Tags"))
        self.firing.wake()
        return {"Name": name}

    @staticmethod
    def _check_workflow(db: sqlite3.Connection, workflow: str, kind: str) -> None:
        if not db.execute("SELECT 1 FROM glue_workflows WHERE name = ?", (workflow,)).fetchone():
            raise AwsError("EntityNotFoundException", f"Workflow with name: {workflow} not found.")
        sql = "SELECT name FROM glue_triggers WHERE workflow = ? AND type <> 'CONDITIONAL'"
        if kind in STARTING and (row := db.execute(sql, (workflow,)).fetchone()):
            # "Only one starting trigger is permitted" (AWS docs, "Blueprint and workflow restrictions")
            raise invalid(f"Workflow {workflow} already has a starting trigger: {row['name']}.")

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The update replaces the definition completely (AWS docs, "TriggerUpdate")."""
        name, wanted = params["Name"], params["TriggerUpdate"]
        with self.endpoint.store.write() as db:
            row = self._existing(name)
            body = {member: wanted[member] for member in DEFINITION if member in wanted}
            trigger = {"Name": name, "Type": row["type"], **body}
            if row["type"] != "EVENT" and "EventBatchingCondition" in body:
                raise invalid("EventBatchingCondition is supported for EVENT trigger type only.")
            check_updated(trigger)
            db.execute(
                "UPDATE glue_triggers SET body = ?, since = ? WHERE name = ?", (encode(body), self.firing.now(), name)
            )
        self.firing.wake()
        return {"Trigger": shown(self._existing(name))}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A trigger that is not there is no error (AWS docs)."""
        with self.endpoint.store.write() as db:
            forget(self.endpoint, db, params["Name"])
        return {"Name": params["Name"]}

    # ---- reading

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Trigger": shown(self._existing(params["Name"]))}

    def _listed(self, params: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read("SELECT * FROM glue_triggers ORDER BY name")
        if job := params.get("DependentJobName"):
            rows = self._starting(rows, job)
        if tags := params.get("Tags"):
            rows = [row for row in rows if tags.items() <= self._tags(row["name"]).items()]
        return page([row for row in rows if row["name"] > last][: size + 1], size)

    def _starting(self, rows: list[sqlite3.Row], job: str) -> list[sqlite3.Row]:
        """The triggers that can start a job; "if there is no such trigger, all triggers are returned" (AWS docs)."""
        found = [row for row in rows if any(action.get("JobName") == job for action in shown(row)["Actions"])]
        if not found and not self.endpoint.store.one("SELECT 1 FROM glue_jobs WHERE name = ?", (job,)):
            raise AwsError("EntityNotFoundException", f"Job with name: {job} not found.")
        return found or rows

    def _tags(self, name: str) -> dict[str, str]:
        arn = self.endpoint.arn("glue", f"trigger/{name}")
        rows = self.endpoint.store.read("SELECT key, value FROM glue_tags WHERE arn = ?", (arn,))
        return {row["key"]: row["value"] for row in rows}

    def get_triggers(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows, more = self._listed(params)
        return {"Triggers": [shown(row) for row in rows]} | more

    def list_triggers(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows, more = self._listed(params)
        return {"TriggerNames": [row["name"] for row in rows]} | more

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = {name: self.row(name) for name in params["TriggerNames"]}
        return {
            "Triggers": [shown(row) for row in rows.values() if row],
            "TriggersNotFound": [name for name, row in rows.items() if not row],
        }

    # ---- starting and stopping

    def start(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Activate a scheduled or conditional trigger; fire an on-demand one."""
        name = params["Name"]
        row = self._existing(name)
        if row["type"] == "EVENT":
            raise invalid("Trigger Type EVENT cannot be started")
        if row["type"] == "ON_DEMAND":
            self._fire(row, call)
            return {"Name": name}
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_triggers SET state = 'ACTIVATED', since = ? WHERE name = ? AND state <> 'ACTIVATED'",
                (self.firing.now(), name),
            )
        self.firing.wake()
        return {"Name": name}

    def _fire(self, row: sqlite3.Row, call: Call) -> None:
        """Fire an on-demand trigger. What keeps all of its actions from being started is the caller's error."""
        trigger = shown(row)
        if row["workflow"]:
            self._start_run({"Name": row["workflow"]}, call)
            return
        for action in trigger["Actions"]:
            self._check_target(action)
        with self.endpoint.store.write() as db:
            ids = self.firing.fire(db, trigger)
        errors = self.firing.start_actions(ids)
        if len(errors) == len(ids):
            raise errors[0]

    def _check_target(self, action: Mapping[str, Any]) -> None:
        table, name = (
            ("glue_jobs", action["JobName"]) if action.get("JobName") else ("glue_crawlers", action["CrawlerName"])
        )
        if not self.endpoint.store.one(f"SELECT 1 FROM {table} WHERE name = ?", (name,)):
            kind = "Job" if table == "glue_jobs" else "Crawler"
            raise AwsError("EntityNotFoundException", f"{kind} with name: {name} not found.")

    def stop(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Deactivate. A trigger that is not ACTIVATED is refused, as on AWS."""
        name = params["Name"]
        with self.endpoint.store.write() as db:
            state = self._existing(name)["state"]
            if state != "ACTIVATED":
                raise invalid(f"The operation is not allowed when trigger is in state: {state}")
            db.execute("UPDATE glue_triggers SET state = 'DEACTIVATED' WHERE name = ?", (name,))
        self.firing.wake()
        return {"Name": name}


def forget(endpoint: Endpoint, db: sqlite3.Connection, name: str) -> None:
    """Delete a trigger, its tags and the events that it has not yet fired for."""
    db.execute("DELETE FROM glue_triggers WHERE name = ?", (name,))
    db.execute("DELETE FROM glue_trigger_events WHERE trigger = ?", (name,))
    drop_tags(db, endpoint.arn("glue", f"trigger/{name}"))
