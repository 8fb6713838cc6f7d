"""Interactive sessions and statements: what notebooks and dbt talk to (AWS docs, "Interactive Sessions API").

A part of Jobs: a session is a driver host's child like a job run (job_runs.py), which serves statements instead of
running a script (session_repl.py); it takes the same arguments, modules and jars, and its Spark is a job's. Its row
(`glue_sessions`) and its folder (`glue/sessions/...`) outlive the endpoint, and so do the process and its variables:
after kill -9 of the endpoint the next one goes on with the session. An endpoint that stops in order stops its sessions.

Status: PROVISIONING until Spark is there, READY, STOPPING, then STOPPED; TIMEOUT after `Timeout` or `IdleTimeout`
minutes; FAILED when it could not start or its process ended.

Limits: Python; at most as many sessions at once as the machine has drivers; Spark Connect sessions and Ray are refused;
a session that no endpoint has asked for in ten minutes ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millpond import runtime
from millpond.local.glue import job_files, job_runs, records
from millpond.local.glue.driver_host import read_json
from millpond.local.glue.job_arguments import SPARK, STREAMING, Logs, check_definition, invalid, plan, with_defaults
from millpond.local.glue.job_logs import RunLog
from millpond.local.glue.job_runs import Active, Runs
from millpond.local.glue.session_repl import write
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

OVER = ("FAILED", "TIMEOUT", "STOPPED")
TIMEOUT = 2880  # minutes, also without a statement
PAGE = 1000
GROUP = "/aws-glue/sessions"


class Sessions:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_sessions (
        id TEXT PRIMARY KEY, folder TEXT NOT NULL UNIQUE, status TEXT NOT NULL, error TEXT NOT NULL DEFAULT '',
        body TEXT NOT NULL, statements INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, started REAL, completed REAL
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint, runs: Runs) -> None:
        self.endpoint, self.runs = endpoint, runs
        self.ready: set[str] = set()  # folders of sessions whose Spark is known to be there
        self.tagged = {"session": lambda name: self._find(name) is not None}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateSession": self.create,
            "GetSession": self.get,
            "ListSessions": self.list_sessions,
            "StopSession": self.stop_session,
            "DeleteSession": self.delete,
            "RunStatement": self.run_statement,
            "GetStatement": self.get_statement,
            "ListStatements": self.list_statements,
            "CancelStatement": self.cancel,
        }

    def start(self) -> None:
        """Go on with the sessions that an earlier endpoint had."""
        for row in self._living():
            self._recover(row)

    def stop(self) -> None:
        """An orderly end of the endpoint ends its sessions; the next one finds them STOPPED."""
        for row in self._living():
            self._stop(row)

    # ---- rows

    def _living(self) -> list[sqlite3.Row]:
        marks = ",".join("?" * len(OVER))
        sql = f"SELECT * FROM glue_sessions WHERE status NOT IN ({marks})"
        return list(self.endpoint.store.read(sql, OVER))

    def _find(self, name: str) -> sqlite3.Row | None:
        return self.endpoint.store.one("SELECT * FROM glue_sessions WHERE id = ?", (name,))

    def _session(self, name: str, code: str = "EntityNotFoundException") -> sqlite3.Row:
        row = self._find(name)
        if row is None:
            raise AwsError(code, f"Session {name} not found")
        return row

    def _folder(self, row: Mapping[str, Any] | sqlite3.Row) -> Path:
        return self.endpoint.folder("glue", "sessions", row["folder"])

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        now = self.endpoint.clock.now()
        body = json.loads(row["body"])
        seconds = round((row["completed"] or now) - row["started"], 3) if row["started"] else 0.0
        shown = {
            "Id": row["id"],
            "CreatedOn": row["created"],
            "Status": row["status"],
            "ErrorMessage": row["error"] or None,
            "Progress": 0.0,
            "CompletedOn": row["completed"],
            "ExecutionTime": seconds,
            "DPUSeconds": round(seconds * body["MaxCapacity"], 3) if row["completed"] else None,
            "SessionType": "LIVY",
        }
        return {name: value for name, value in (shown | body).items() if value is not None}

    # ---- sessions

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, body = params["Id"], _definition(params)
        folder = f"s_{hashlib.sha256(name.encode()).hexdigest()[:24]}"
        now = self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            if db.execute("SELECT 1 FROM glue_sessions WHERE id = ?", (name,)).fetchone():
                raise AwsError("AlreadyExistsException", f"Session already created, sessionId={name}")
            marks = ",".join("?" * len(OVER))
            (count,) = db.execute(f"SELECT count(*) FROM glue_sessions WHERE status NOT IN ({marks})", OVER).fetchone()
            if count >= self.runs.drivers.size.drivers:
                raise AwsError(
                    "ResourceNumberLimitExceededException",
                    f"This machine carries {count} interactive sessions at once: stop one.",
                )
            db.execute(
                "INSERT INTO glue_sessions (id, folder, status, body, created) VALUES (?, ?, 'PROVISIONING', ?, ?)",
                (name, folder, records.encode(body), now),
            )
            write_tags(db, self.endpoint.arn("glue", f"session/{name}"), params.get("Tags"))
        row = self._session(name)
        shutil.rmtree(self._folder(row), ignore_errors=True)
        self._launch(row)
        return {"Session": self._shown(row)}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Session": self._shown(self._session(params["Id"]))}

    def list_sessions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        (last,) = records.after(params.get("NextToken")) or [""]
        size, wanted = params.get("MaxResults", PAGE), params.get("Tags") or {}
        sql = "SELECT * FROM glue_sessions WHERE id > ? ORDER BY id LIMIT ?"
        rows, more = records.page(self.endpoint.store.read(sql, (last, size + 1)), size, key="id")
        rows = [row for row in rows if wanted.items() <= self._tags(row["id"]).items()]
        return {"Ids": [row["id"] for row in rows], "Sessions": [self._shown(row) for row in rows]} | more

    def _tags(self, name: str) -> dict[str, str]:
        arn = self.endpoint.arn("glue", f"session/{name}")
        return {row["key"]: row["value"] for row in self.endpoint.store.read(
            "SELECT key, value FROM glue_tags WHERE arn = ?", (arn,)
        )}  # fmt: skip

    def stop_session(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._session(params["Id"], "InvalidInputException")
        if row["status"] in OVER:
            raise _illegal(f"Session is in {row['status']} status, session_id={row['id']}")
        self._stop(row)
        return {"Id": row["id"]}

    def _stop(self, row: sqlite3.Row) -> None:
        self._status(row["folder"], "STOPPING")
        self.runs.end(row["folder"])

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The session and its statements are gone; one that runs is stopped."""
        row = self._session(params["Id"], "InvalidInputException")
        if row["status"] not in OVER:
            self._stop(row)
            until = time.monotonic() + 10
            while (found := self._find(row["id"])) and found["status"] not in OVER and time.monotonic() < until:
                time.sleep(0.02)
        with self.endpoint.store.write() as db:
            db.execute("DELETE FROM glue_sessions WHERE id = ?", (row["id"],))
            drop_tags(db, self.endpoint.arn("glue", f"session/{row['id']}"))
        shutil.rmtree(self._folder(row), ignore_errors=True)
        return {"Id": row["id"]}

    # ---- the process

    def _launch(self, row: sqlite3.Row) -> None:
        active = self._active(row)
        self.runs.enter(active, lambda: self._prepare(active, row))

    def _active(self, row: sqlite3.Row) -> Active:
        folder = self._folder(row)
        log = RunLog(self.endpoint, folder, Logs(prefix=GROUP, stream=row["id"]))
        return Active(row["folder"], log, folder, owner=self)

    def _prepare(self, active: Active, row: sqlite3.Row) -> None:
        body = json.loads(row["body"])
        job = with_defaults({**_as_job(body), "Timeout": body["Timeout"]}) | {"Name": row["id"]}
        planned = plan(job, {})
        tell = self.runs.tell(active)
        active.runtime = runtime.find(planned.runtime) or runtime.install(planned.runtime, tell)
        run = {"id": row["folder"], "job": row["id"], "attempt": 0, "created": row["created"]}
        run |= {"minute": job_runs.MINUTE, "folder": active.folder, "idle": body["IdleTimeout"] * job_runs.MINUTE}
        run |= {"script": active.folder / "session"}  # it has none
        _, jars = job_files.prepare(self.endpoint, self.runs.drivers, run, planned, active.runtime, tell)
        active.shape = self.runs.drivers.shape(planned, jars)

    def _recover(self, row: sqlite3.Row) -> None:
        active = self._active(row)
        if (active.folder / "claimed").exists() or (active.folder / "outcome.json").exists():
            active.ours = False
            self.runs.adopt(active)
        elif row["status"] == "STOPPING":
            self.over(active, {"state": "STOPPED", "error": ""})
        else:
            self._launch(row)

    def begun(self, active: Active) -> None:
        """Its process runs; it is READY when Spark is there. Called again and again while it lives."""
        if active.id in self.ready or not (active.folder / "ready").exists():
            return
        self.ready.add(active.id)
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_sessions SET status = 'READY', started = ? WHERE folder = ? AND status = 'PROVISIONING'",
                (self.endpoint.clock.now(), active.id),
            )

    def over(self, active: Active, outcome: Mapping[str, Any]) -> None:
        """Its process has ended, or never was."""
        state = outcome["state"]
        if outcome.get("end"):
            state = outcome["end"]
        elif state == "SUCCEEDED":
            state = "STOPPED"
        error = outcome.get("error", "") if state == "FAILED" else ""
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_sessions SET status = ?, error = ?, completed = ?"
                f" WHERE folder = ? AND status NOT IN {OVER}",
                (state, error, outcome.get("ended", self.endpoint.clock.now()), active.id),
            )
        self.ready.discard(active.id)
        job_files.clean(active.folder)

    def _status(self, folder: str, status: str) -> None:
        with self.endpoint.store.write() as db:
            db.execute(
                f"UPDATE glue_sessions SET status = ? WHERE folder = ? AND status NOT IN {OVER}", (status, folder)
            )

    # ---- statements

    def _ready(self, params: dict[str, Any]) -> sqlite3.Row:
        row = self._session(params["SessionId"])
        if row["status"] != "READY":
            raise _illegal(f"Session is not ready, session_id={row['id']}, status={row['status']}")
        return row

    def run_statement(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._ready(params)
        with self.endpoint.store.write() as db:
            (number,) = db.execute("SELECT statements FROM glue_sessions WHERE id = ?", (row["id"],)).fetchone()
            write(self._statement(row, number, ".json"), {"code": params["Code"]})
            db.execute("UPDATE glue_sessions SET statements = ? WHERE id = ?", (number + 1, row["id"]))
        self._wake(row)
        return {"Id": number}

    def _statement(self, row: sqlite3.Row, number: int, end: str) -> Path:
        return self._folder(row) / "statements" / f"{number}{end}"

    def _wake(self, row: sqlite3.Row) -> None:
        with contextlib.suppress(OSError):  # nobody reads: the session looks at its folder when it starts
            wake = os.open(self._folder(row) / "wake", os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(wake, b".")
            finally:
                os.close(wake)

    def _told(self, row: sqlite3.Row, number: int) -> dict[str, Any]:
        """A statement as GetStatement shows it."""
        if row["status"] in OVER:
            raise _illegal("Session unavailable, fail to call ReplServer.")
        asked = read_json(self._statement(row, number, ".json"))
        if not 0 <= number < row["statements"] or asked is None:
            raise AwsError("EntityNotFoundException", f"Statement {number} of session {row['id']} not found")
        told = read_json(self._statement(row, number, ".out.json")) or {"state": "WAITING", "progress": 0.0}
        state = told["state"]
        if state in ("WAITING", "RUNNING") and self._statement(row, number, ".cancel").exists():
            state = "CANCELLING"
        shown = {
            "Id": number,
            "Code": asked["code"],
            "State": state,
            "Output": told.get("output"),
            "Progress": told["progress"],
            "StartedOn": told.get("started"),
            "CompletedOn": told.get("completed"),
        }
        return {name: value for name, value in shown.items() if value is not None}

    def get_statement(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Statement": self._told(self._session(params["SessionId"]), params["Id"])}

    def list_statements(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._session(params["SessionId"])
        (last,) = records.after(params.get("NextToken")) or ["0"]
        if not last.isdigit():
            raise invalid("Invalid continuation token.")
        first, size = int(last), 100
        numbers = range(first, min(first + size, row["statements"]))
        more = {"NextToken": records.token(str(first + size))} if first + size < row["statements"] else {}
        return {"Statements": [self._told(row, number) for number in numbers]} | more

    def cancel(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """A statement that waits does not run; one that runs is interrupted, and Spark's jobs with it."""
        row, number = self._ready({"SessionId": params["SessionId"]}), params["Id"]
        if self._told(row, number)["State"] not in ("WAITING", "RUNNING"):
            return {}
        self._statement(row, number, ".cancel").touch()
        told = read_json(self._statement(row, number, ".out.json")) or {}
        process = read_json(self._folder(row) / "process.json")
        if told.get("state") == "RUNNING" and process:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process["pid"], signal.SIGINT)
        return {}


def _definition(params: dict[str, Any]) -> dict[str, Any]:
    """What CreateSession keeps. Raises InvalidInputException or a refusal."""
    if params.get("SessionType", "LIVY") != "LIVY":
        raise unsupported("glue", "CreateSession", use="SessionType SPARK_CONNECT: LIVY sessions are carried.")
    body = {name: value for name, value in params.items() if name not in ("Id", "Tags", "RequestOrigin")}
    body.setdefault("Timeout", TIMEOUT)
    body.setdefault("IdleTimeout", TIMEOUT)
    for member in ("Timeout", "IdleTimeout"):
        if not 1 <= body[member] <= 10080:
            raise invalid(f"{member} must be between 1 and 10080 minutes, not {body[member]}.")
    name = body["Command"].get("Name", SPARK)
    if name not in (SPARK, STREAMING):
        raise invalid(f"Session command must be {SPARK} or {STREAMING}, not '{name}'.")
    if len(body.get("DefaultArguments", {})) > 75:
        raise invalid("DefaultArguments may have at most 75 pairs.")
    job = _as_job(body)
    check_definition(job)
    shown = with_defaults(job)
    plan({"Name": params["Id"], **shown}, {})  # what is wrong with the arguments is said now
    members = ("GlueVersion", "MaxCapacity", "WorkerType", "NumberOfWorkers")
    return body | {member: shown[member] for member in members if member in shown}


def _as_job(body: dict[str, Any]) -> dict[str, Any]:
    """The definition of a job with this session's properties."""
    command = {"Name": SPARK, **body["Command"], "ScriptLocation": "session"}
    job: dict[str, Any] = {
        name: body[name] for name in ("Role", "GlueVersion", "DefaultArguments", "Connections") if name in body
    }
    if "WorkerType" in body or "NumberOfWorkers" in body:
        job |= {"WorkerType": body.get("WorkerType", "G.1X"), "NumberOfWorkers": body.get("NumberOfWorkers", 5)}
    elif "MaxCapacity" in body:
        job["MaxCapacity"] = body["MaxCapacity"]
    return job | {"Command": command}


def _illegal(message: str) -> AwsError:
    return AwsError("IllegalSessionStateException", message)
