"""Glue jobs: definitions and the operations on their runs (job_runs.py does the work); sessions.py has the sessions.

A part of the Glue service. StartJobRun has no idempotency token on AWS, but a restarted engine must find the run that
it had started: a task of our Step Functions starts a run once (`service.acting_for`).

Limits: security configuration, source control and maintenance windows are stored, never acted on.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from millpond.local.glue import bookmarks, records
from millpond.local.glue.job_arguments import SHELL, check_definition, flag, invalid, with_defaults
from millpond.local.glue.job_runs import OVER, Runs
from millpond.local.glue.sessions import Sessions
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, acting_for


class Jobs:
    """See the module's docstring."""

    schema = (
        """
    CREATE TABLE IF NOT EXISTS glue_jobs (
        name TEXT PRIMARY KEY, body TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL
    ) WITHOUT ROWID;
    """
        + Runs.schema
        + Sessions.schema
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.runs = Runs(endpoint)
        self.sessions = Sessions(endpoint, self.runs)
        self.tagged = {"job": lambda name: self._row(name) is not None} | self.sessions.tagged

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateJob": self.create,
            "UpdateJob": self.update,
            "DeleteJob": self.delete,
            "GetJob": self.get,
            "GetJobs": self.get_jobs,
            "ListJobs": self.list_jobs,
            "BatchGetJobs": self.batch_get,
            "StartJobRun": self.start_run,
            "GetJobRun": self.get_run,
            "GetJobRuns": self.get_runs,
            "BatchStopJobRun": self.stop_runs,
        } | self.sessions.operations()

    def start(self) -> None:
        self.runs.start()
        self.sessions.start()

    def stop(self) -> None:
        self.sessions.stop()
        self.runs.stop()

    # ---- definitions

    def _row(self, name: str) -> sqlite3.Row | None:
        return self.endpoint.store.one("SELECT * FROM glue_jobs WHERE name = ?", (name,))

    def _job(self, name: str) -> sqlite3.Row:
        row = self._row(name)
        if row is None:
            raise AwsError("EntityNotFoundException", f"Job with name: {name} not found.")
        return row

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        times = {"CreatedOn": row["created"], "LastModifiedOn": row["modified"]}
        return {"Name": row["name"], **with_defaults(json.loads(row["body"])), **times}

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        body = {name: value for name, value in params.items() if name not in ("Name", "Tags")}
        check_definition(body)
        name, text, now = params["Name"], records.encode(body), self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            row = db.execute("SELECT body FROM glue_jobs WHERE name = ?", (name,)).fetchone()
            if row and row["body"] != text:
                message = f"Job with name: '{name}' already submitted with different configuration"
                raise AwsError("IdempotentParameterMismatchException", message)
            if not row:
                db.execute("INSERT INTO glue_jobs VALUES (?, ?, ?, ?)", (name, text, now, now))
                write_tags(db, self.endpoint.arn("glue", f"job/{name}"), params.get("Tags"))
        if body["Command"]["Name"] != SHELL:
            self.runs.spare(with_defaults(body))
        return {"Name": name}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The update replaces the definition: what it leaves out is reset (AWS docs)."""
        name, body = params["JobName"], params["JobUpdate"]
        if missing := [member for member in ("Role", "Command") if member not in body]:
            raise invalid(f"JobUpdate lacks {' and '.join(missing)}.")
        check_definition(body)
        with self.endpoint.store.write() as db:
            changed = db.execute(
                "UPDATE glue_jobs SET body = ?, modified = ? WHERE name = ?",
                (records.encode(body), self.endpoint.clock.now(), name),
            )
            if not changed.rowcount:
                raise AwsError("EntityNotFoundException", f"Job with name: {name} not found.")
        if body["Command"]["Name"] != SHELL:
            self.runs.spare(with_defaults(body))
        self.runs.promote(name)  # the limit may be a higher one
        return {"JobName": name}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A job that is not there is no error (AWS docs). Its runs stay to be read; its bookmark goes."""
        name = params["JobName"]
        with self.endpoint.store.write() as db:
            db.execute("DELETE FROM glue_jobs WHERE name = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"job/{name}"))
        bookmarks.forget(self.endpoint, name)
        return {"JobName": name}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Job": self._shown(self._job(params["JobName"]))}

    def _page(self, params: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        (last,) = records.after(params.get("NextToken")) or [""]
        size = params.get("MaxResults", 1000)
        sql = "SELECT * FROM glue_jobs WHERE name > ? ORDER BY name LIMIT ?"
        return records.page(self.endpoint.store.read(sql, (last, size + 1)), size)

    def get_jobs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows, more = self._page(params)
        return {"Jobs": [self._shown(row) for row in rows]} | more

    def list_jobs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows, more = self._page(params)
        wanted = params.get("Tags") or {}
        return {"JobNames": [row["name"] for row in rows if wanted.items() <= self._tags(row["name"]).items()]} | more

    def _tags(self, name: str) -> dict[str, str]:
        arn = self.endpoint.arn("glue", f"job/{name}")
        rows = self.endpoint.store.read("SELECT key, value FROM glue_tags WHERE arn = ?", (arn,))
        return {row["key"]: row["value"] for row in rows}

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = {name: self._row(name) for name in params["JobNames"]}
        return {
            "Jobs": [self._shown(row) for row in rows.values() if row],
            "JobsNotFound": [name for name, row in rows.items() if not row],
        }

    # ---- runs

    def start_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A new run; for a task of Step Functions (`acting_for`) the run that its token started before."""
        token = acting_for.get()
        if token and (row := self.endpoint.store.one("SELECT id FROM glue_job_runs WHERE token = ?", (token,))):
            return {"JobRunId": row["id"]}
        return {"JobRunId": self.runs.begin(self._shown(self._job(params["JobName"])), params, token or None)}

    def get_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.endpoint.store.one(
            "SELECT * FROM glue_job_runs WHERE id = ? AND job = ?", (params["RunId"], params["JobName"])
        )
        if row is None:
            raise AwsError(
                "EntityNotFoundException", f"Job Run {params['RunId']} of job {params['JobName']} not found."
            )
        return {"JobRun": _run(row, self.endpoint.clock.now())}

    def get_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Newest first. A job that was never there is EntityNotFoundException."""
        name, size = params["JobName"], params.get("MaxResults", 200)
        (last,) = records.after(params.get("NextToken")) or [str(2**62)]
        if not last.isdigit():
            raise invalid("Invalid continuation token.")
        sql = "SELECT * FROM glue_job_runs WHERE job = ? AND number < ? ORDER BY number DESC LIMIT ?"
        rows = self.endpoint.store.read(sql, (name, int(last), size + 1))
        if not rows:
            self._job(name)
        now, more = self.endpoint.clock.now(), {}
        if len(rows) > size:
            more = {"NextToken": records.token(str(rows[size - 1]["number"]))}
        return {"JobRuns": [_run(row, now) for row in rows[:size]]} | more

    def stop_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, stopped, errors = params["JobName"], [], []
        for run_id in params["JobRunIds"]:
            row = self.endpoint.store.one("SELECT state FROM glue_job_runs WHERE id = ? AND job = ?", (run_id, name))
            ids = {"JobName": name, "JobRunId": run_id}
            if row is None:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": f"Job run {run_id} not found."}
                errors.append(ids | {"ErrorDetail": detail})
            elif row["state"] in OVER:
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": f"Job run {run_id} is {row['state']}."}
                errors.append(ids | {"ErrorDetail": detail})
            else:
                self.runs.stop_run(run_id)
                stopped.append(ids)
        return {"SuccessfulSubmissions": stopped, "Errors": errors}


def _scales(row: sqlite3.Row) -> bool:
    kept = json.loads(row["params"])
    given = {**kept["job"].get("DefaultArguments", {}), **kept["params"].get("Arguments", {})}
    return flag(given, "--enable-auto-scaling")


def _run(row: sqlite3.Row, now: float) -> dict[str, Any]:
    """A row as GetJobRun shows it. ExecutionTime counts the seconds of the script, not of waiting for a driver."""
    started = row["started"]
    spent = int((row["completed"] or now) - started) if started else 0
    shown = {
        "Id": row["id"],
        "Attempt": row["attempt"],
        "PreviousRunId": row["previous"],
        "JobName": row["job"],
        "StartedOn": row["created"],
        "LastModifiedOn": row["modified"],
        "CompletedOn": row["completed"],
        "JobRunState": row["state"],
        "ErrorMessage": row["error"] or None,
        "PredecessorRuns": [],
        "ExecutionTime": spent,
        "LogGroupName": "/aws-glue/jobs",
        **json.loads(row["body"]),
    }
    if row["state"] == "WAITING":
        shown["StateDetail"] = "Job run is queued because the job has reached its MaxConcurrentRuns."
    if row["completed"] and (shown.get("ExecutionClass") == "FLEX" or _scales(row)):
        shown["DPUSeconds"] = round((row["completed"] - started) * shown["MaxCapacity"], 3) if started else 0.0
    return {name: value for name, value in shown.items() if value is not None}
