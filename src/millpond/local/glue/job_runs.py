"""Job runs: from StartJobRun to an outcome, durable.

A run is a row (`glue_job_runs`) and a folder (`glue/runs/<id>`). Beyond a job's MaxConcurrentRuns it is WAITING, when
the job queues its runs, until one of the others is over. It is STARTING until a driver host has begun it, then
RUNNING; the host leaves `outcome.json`, which becomes the row's terminal state. After kill -9 of the endpoint, start()
finds for each unfinished run, in this order: an outcome; a living host (the lock on `alive` is held), which it goes on
watching; a folder that no host has claimed, which it launches; else the run was lost and is FAILED.

One thread watches hosts, logs and outcomes; launching (fetching scripts, installing a runtime) is done by a few others.

A run that is over, or takes longer than its NotifyDelayAfter, is told to EventBridge (announcements.py); the latter
also to the error log.

Limits: runs beyond the machine's number of drivers wait in STARTING; `Timeout` counts from the script's start.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import signal
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from millpond import runtime
from millpond.errors import MillpondError
from millpond.local.glue import job_files
from millpond.local.glue.announcements import job_ended, job_is_late
from millpond.local.glue.drivers import Drivers, Event, Shape, held
from millpond.local.glue.job_arguments import DEFAULT_VERSION, Plan, plan, run_capacity
from millpond.local.glue.job_logs import RunLog
from millpond.local.service import AwsError, Endpoint
from millpond.local.store import StoreUnavailable
from millpond.runtime import Runtime

log = logging.getLogger(__name__)

MINUTE = 60.0  # seconds in a minute of `Timeout`; a test may shorten it
OVER = frozenset({"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED", "ERROR", "EXPIRED"})
OCCUPIES = "state NOT IN ('WAITING', {})".format(", ".join(f"'{state}'" for state in sorted(OVER)))
BROKEN_HOSTS = 2  # so many hosts that did not start, one after the other: give the waiting runs up


class Owner(Protocol):
    """Who asked for a process that is not a job run: a session."""

    def begun(self, active: Active) -> None: ...

    def over(self, active: Active, outcome: Mapping[str, Any]) -> None: ...


@dataclass(slots=True)
class Active:
    """A run that is not over, or a session (`owner`). `shape` and `runtime` are there once it is prepared."""

    id: str
    log: RunLog
    folder: Path
    shape: Shape | None = None
    runtime: Runtime | None = None
    events: str = ""  # where Spark's event log goes
    notify: float = 0.0  # the moment of NotifyDelayAfter; 0: none
    delay: float = 0.0  # NotifyDelayAfter, in minutes
    late: set[str] = field(default_factory=set)  # the states in which the run was told to be late
    ours: bool = True  # False: its host was started by an endpoint that is gone
    process: dict[str, Any] = field(default_factory=dict)
    owner: Owner | None = None
    stopping: bool = False
    unsaved: dict[str, Any] | None = None  # the outcome, while the store cannot be written
    queued: float = 0.0  # when it began to wait for a host (monotonic)

    @property
    def jvm(self) -> tuple[Path, int] | None:
        if not self.process:
            with contextlib.suppress(OSError, ValueError):
                self.process = json.loads((self.folder / "process.json").read_text())
        return (Path(self.process["jvm_log"]), self.process["jvm_offset"]) if "jvm_log" in self.process else None


class Runs:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_job_runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, attempt INTEGER NOT NULL,
        previous TEXT, state TEXT NOT NULL, error TEXT NOT NULL DEFAULT '', body TEXT NOT NULL, params TEXT NOT NULL,
        rows TEXT, created REAL NOT NULL, started REAL, completed REAL, modified REAL NOT NULL, token TEXT UNIQUE
    );
    CREATE INDEX IF NOT EXISTS glue_job_runs_of_job ON glue_job_runs (job, number);
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.drivers = Drivers(endpoint)
        self.active: dict[str, Active] = {}
        self.waiting: deque[Active] = deque()
        self.lock = threading.RLock()
        self.launchers = ThreadPoolExecutor(4, thread_name_prefix="glue-launch")
        self.stopping = False
        self.broken = 0
        self.watcher = threading.Thread(target=self._watch, name="glue-runs", daemon=True)

    # ---- beginning

    def begin(self, job: dict[str, Any], params: Mapping[str, Any], token: str | None = None) -> str:
        """Start a run of a job (with defaults); returns its id. The same token gives the same run.

        Raises what StartJobRun answers: InvalidInputException, ConcurrentRunsExceededException, a refusal.
        """
        planned = plan(job, params)
        with self.endpoint.store.write() as db:
            if token and (row := db.execute("SELECT id FROM glue_job_runs WHERE token = ?", (token,)).fetchone()):
                return str(row["id"])
            previous = self._retried(db, job["Name"], params)
            free = self._free(db, job)
            if not free and not planned.queue:
                raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
            run = self._insert(db, job, params, planned, previous, token, state="STARTING" if free else "WAITING")
        if free:
            self._launch(run, planned)
        return str(run["id"])

    @staticmethod
    def _free(db: sqlite3.Connection, job: Mapping[str, Any]) -> bool:
        """Whether the job may have one run more."""
        (count,) = db.execute(
            f"SELECT count(*) FROM glue_job_runs WHERE job = ? AND {OCCUPIES}", (job["Name"],)
        ).fetchone()
        return bool(count < job["ExecutionProperty"]["MaxConcurrentRuns"])

    def promote(self, name: str) -> None:
        """Start the runs of a job that wait and may begin, the oldest first. The limit is today's, of UpdateJob."""
        while True:
            with self.endpoint.store.write() as db:
                row = db.execute(
                    "SELECT * FROM glue_job_runs WHERE job = ? AND state = 'WAITING' ORDER BY number LIMIT 1", (name,)
                ).fetchone()
                if row is None:
                    return
                kept = json.loads(row["params"])
                today = db.execute("SELECT body FROM glue_jobs WHERE name = ?", (name,)).fetchone()
                limit = json.loads(today["body"]).get("ExecutionProperty", {}) if today else {}
                job = kept["job"] | {"ExecutionProperty": kept["job"]["ExecutionProperty"] | limit}
                if not self._free(db, job):
                    return
                now = self.endpoint.clock.now()
                db.execute("UPDATE glue_job_runs SET state = 'STARTING', modified = ? WHERE id = ?", (now, row["id"]))
            self._launch(dict(row), plan(kept["job"], kept["params"]))

    @staticmethod
    def _retried(db: sqlite3.Connection, job: str, params: Mapping[str, Any]) -> sqlite3.Row | None:
        if not (run_id := params.get("JobRunId")):
            return None
        row = db.execute("SELECT * FROM glue_job_runs WHERE id = ? AND job = ?", (run_id, job)).fetchone()
        if row is None:
            raise AwsError("EntityNotFoundException", f"Job run {run_id} of job {job} not found.")
        if row["state"] not in OVER:
            raise AwsError("InvalidInputException", f"Job run {run_id} is not over: it is {row['state']}.")
        found: sqlite3.Row = row
        return found

    def _insert(
        self,
        db: sqlite3.Connection,
        job: dict[str, Any],
        params: Mapping[str, Any],
        planned: Plan,
        previous: sqlite3.Row | None,
        token: str | None = None,
        state: str = "STARTING",
    ) -> dict[str, Any]:
        """A new row: a first run, or the next attempt after `previous`."""
        now = self.endpoint.clock.now()
        if previous is None:
            run_id, attempt = f"jr_{secrets.token_hex(32)}", 0
        else:
            first = previous["id"].partition("_attempt_")[0]
            taken = db.execute("SELECT max(attempt) FROM glue_job_runs WHERE id LIKE ? || '%'", (first,)).fetchone()[0]
            attempt = taken + 1
            run_id = f"{first}_attempt_{attempt}"
        members = ("SecurityConfiguration", "NotificationProperty", "ExecutionClass", "JobMode", "MaintenanceWindow")
        fired = ("TriggerName", "PredecessorRuns")  # of a run that a trigger starts (firing.py)
        body = {name: params.get(name, job.get(name)) for name in (*members, *fired, "ExecutionRoleSessionPolicy")}
        body |= run_capacity(job, params) | {
            "Arguments": params.get("Arguments", {}),
            "Timeout": planned.timeout,
            "GlueVersion": job["GlueVersion"],
            "JobRunQueuingEnabled": planned.queue,
            "LogGroupName": planned.logs(run_id).prefix,
        }
        values = {
            "id": run_id,
            "job": job["Name"],
            "attempt": attempt,
            "previous": previous["id"] if previous else None,
            "state": state,
            "body": json.dumps({name: value for name, value in body.items() if value is not None}),
            "params": json.dumps({"job": job, "params": {k: v for k, v in params.items() if k != "JobRunId"}}),
            "created": now,
            "modified": now,
            "token": token,
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        db.execute(f"INSERT INTO glue_job_runs ({names}) VALUES ({marks})", tuple(values.values()))
        return values

    def _launch(self, run: Mapping[str, Any], planned: Plan) -> None:
        folder = self.endpoint.folder("glue", "runs", run["id"])
        active = Active(run["id"], RunLog(self.endpoint, folder, planned.logs(run["id"])), folder)
        active.events = planned.events
        if planned.notify:
            active.notify, active.delay = self.endpoint.clock.now() + planned.notify * MINUTE, planned.notify
        self.enter(active, lambda: self._prepare(active, dict(run), planned))

    def _prepare(self, active: Active, run: dict[str, Any], planned: Plan) -> None:
        if planned.notes:
            active.log.note(*planned.notes)
        active.runtime = runtime.find(planned.runtime) or runtime.install(planned.runtime, self.tell(active))
        active.folder, jars = job_files.prepare(
            self.endpoint, self.drivers, run | {"minute": MINUTE}, planned, active.runtime, self.tell(active)
        )
        active.shape = self.drivers.shape(planned, jars)

    def adopt(self, active: Active) -> None:
        """Watch a process that an earlier endpoint started."""
        with self.lock:
            self.active[active.id] = active
        self.drivers.wake()

    def enter(self, active: Active, prepare: Callable[[], None]) -> None:
        """Give a host what `prepare` has laid down in its folder: it sets the runtime and the shape."""
        self.adopt(active)
        self.launchers.submit(self._enter, active, prepare)

    def _enter(self, active: Active, prepare: Callable[[], None]) -> None:
        try:
            prepare()
            with self.lock:
                if active.stopping or self.stopping:
                    return
                active.queued = time.monotonic()
                self.waiting.append(active)
                self._serve_waiting()
        except MillpondError as error:
            self._finish(active, {"state": "FAILED", "error": error.message})
        except Exception as error:  # a run must not stay in STARTING because of our own fault
            if active.stopping:
                return  # its folder went away under us
            log.exception("cannot launch %s", active.id)
            self._finish(active, {"state": "FAILED", "error": f"LAUNCH ERROR | {type(error).__name__}: {error}"})

    @staticmethod
    def tell(active: Active) -> Callable[[str], None]:
        """Progress of an installation: in the run's log and in the endpoint's."""

        def tell(line: str) -> None:
            log.info(line)
            active.log.note(line)

        return tell

    def _serve_waiting(self, *, quietly: bool = False) -> None:
        """Give waiting runs to idle hosts; start hosts for the rest. `quietly`: the watcher itself asks."""
        with self.lock:
            for _ in range(len(self.waiting)):
                active = self.waiting.popleft()
                assert active.shape is not None
                host = self.drivers.take(active.shape, active.id)
                if host is None or not self.drivers.dispatch(host, active.folder):
                    self.waiting.append(active)
            now = time.monotonic()
            for active in self.waiting:
                assert active.runtime is not None and active.shape is not None
                self.drivers.ensure(active.runtime, active.shape, waited=now - active.queued)
        if not quietly:
            self.drivers.wake()

    def spare(self, job: Mapping[str, Any] | None = None) -> None:
        """Have a warm Spark driver ready for a job (with defaults), when its runtime is installed.

        None: for jobs in general. The first run of a job installs a runtime.
        """
        version = job["GlueVersion"] if job else DEFAULT_VERSION
        found = runtime.find(runtime.CARRIED.get(version) or runtime.ENDED.get(version, version))
        if self.stopping or found is None:
            return
        size = self.drivers.size.of_worker(job.get("WorkerType", "") if job else "")
        shape = Shape("spark", found.version, size)
        with self.lock:
            if not any(host.shape == shape for host in self.drivers.hosts.values()):
                self.drivers.ensure(found, shape, warm=True)

    # ---- watching

    def start(self) -> None:
        """Recover what a kill left, then watch."""
        self.drivers.sweep()
        marks = ",".join("?" * len(OVER))
        rows = self.endpoint.store.read(f"SELECT * FROM glue_job_runs WHERE state NOT IN ({marks})", tuple(OVER))
        for row in rows:
            if row["state"] != "WAITING":
                self._recover(row)
        for name in sorted({row["job"] for row in rows if row["state"] == "WAITING"}):
            self.promote(name)
        self.watcher.start()
        if self.endpoint.store.one("SELECT 1 FROM glue_job_runs WHERE params LIKE '%\"glueetl\"%'"):
            self.spare()

    def _recover(self, row: sqlite3.Row) -> None:
        folder = self.endpoint.folder("glue", "runs", row["id"])
        kept = json.loads(row["params"])
        planned = plan(kept["job"], kept["params"])
        active = Active(row["id"], RunLog(self.endpoint, folder, planned.logs(row["id"])), folder, ours=False)
        active.events = planned.events
        if (folder / "claimed").exists() or (folder / "outcome.json").exists():
            self.adopt(active)
            return
        if row["state"] == "STOPPING":
            self._finish(active, {"state": "STOPPED", "error": ""})
            return
        self._launch(dict(row), planned)

    def _watch(self) -> None:
        while not self.stopping:
            try:
                for event in self.drivers.poll(0.2 if self.active or self.drivers.busy() else 30.0):
                    self._heard(event)
                if self.waiting:
                    self._serve_waiting(quietly=True)
                for active in list(self.active.values()):
                    active.log.drain(jvm=active.jvm)
                    self._notify(active)
                    if active.owner and active.process:
                        active.owner.begun(active)
                    if not active.ours:
                        self._look(active)
            except Exception:  # one run's trouble must not end the watch over the others
                if not self.stopping:
                    log.exception("watching job runs")
                    time.sleep(0.5)

    def _notify(self, active: Active) -> None:
        """NotifyDelayAfter: once for each state in which the run is not over by then (AWS docs, "Automating AWS Glue
        with EventBridge"); in the log once."""
        if not active.notify or self.endpoint.clock.now() < active.notify:
            return
        if not active.late:
            active.log.note("warning: the job run takes longer than its NotifyDelayAfter.")
        row = self.endpoint.store.one("SELECT job, state, created FROM glue_job_runs WHERE id = ?", (active.id,))
        if row is None or row["state"] in active.late | OVER:
            return
        active.late.add(row["state"])
        job_is_late(self.endpoint, row["job"], active.id, row["state"], active.delay, row["created"])

    def _heard(self, event: Event) -> None:
        """Hear an event; while the store cannot be written, look at the run's folder again and again instead."""
        try:
            self._hear(event)
        except StoreUnavailable:
            if active := self.active.get(event.run):
                active.ours = False

    def _hear(self, event: Event) -> None:
        active = self.active.get(event.run)
        match event.kind:
            case "ready":
                self.broken = 0
                self._serve_waiting()
            case "started" if active:
                self._begun(active)
            case "done" if active:
                self._look(active)
                self._serve_waiting()
            case "refused" if active:
                active.ours = False
            case "gone":
                self._host_gone(event, active)

    def _host_gone(self, event: Event, active: Active | None) -> None:
        if active:
            active.ours = False
            self._kill_child(active)
            self._look(active)
        if not event.detail["ready"]:
            self.broken += 1
            if self.broken >= BROKEN_HOSTS:
                self._give_up(event.detail["log"])
        self._serve_waiting()
        if event.detail["ready"] and event.run not in ("", "retired"):
            self.spare()

    def _give_up(self, why: str) -> None:
        with self.lock:
            waiting, self.waiting = list(self.waiting), deque()
        for active in waiting:
            active.log.note(*why.splitlines()[-20:])
            self._finish(
                active, {"state": "FAILED", "error": "LAUNCH ERROR | the Spark driver does not start; see the log"}
            )

    def _kill_child(self, active: Active) -> None:
        """The host of a run died: nobody enforces its timeout, so its script must not go on."""
        _ = active.jvm
        if active.process and held(active.folder / "alive"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(active.process["pid"], signal.SIGKILL)
            until = time.monotonic() + 5
            while held(active.folder / "alive") and time.monotonic() < until:
                time.sleep(0.02)

    def _look(self, active: Active) -> None:
        """Finish a run that has an outcome, or that nobody is working on any more."""
        outcome = active.unsaved or _outcome(active.folder)
        if outcome is None and not held(active.folder / "alive"):
            outcome = _outcome(active.folder) or {
                "state": "FAILED",
                "error": "The job run was lost: its driver ended without an outcome.",
            }
        if outcome:
            self._finish(active, outcome)
        else:
            self._begun(active)

    def _begun(self, active: Active) -> None:
        if active.owner:
            active.owner.begun(active)
        else:
            self._update(active.id, "RUNNING", "STARTING")

    # ---- ending

    def _update(self, run_id: str, state: str, only: str) -> None:
        now = self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_job_runs SET state = ?, modified = ?, started = coalesce(started, ?)"
                " WHERE id = ? AND state = ?",
                (state, now, now, run_id, only),
            )

    def _finish(self, active: Active, outcome: Mapping[str, Any]) -> None:
        """End a run; while that cannot be written, the watcher asks for it again."""
        try:
            self._end(active, outcome)
        except StoreUnavailable as error:
            if active.unsaved is None:
                log.warning("the end of run %s waits: %s", active.id, error.message)
            with self.lock:
                active.unsaved, active.ours = dict(outcome), False
                self.active[active.id] = active

    def _end(self, active: Active, outcome: Mapping[str, Any]) -> None:
        """Write the terminal state, and start the next attempt when one is due. Once for each run."""
        with self.lock:
            self.active.pop(active.id, None)
        active.log.drain(jvm=active.jvm, last=True)
        if outcome.get("error") and "started" not in outcome and active.unsaved is None:
            active.log.note(str(outcome["error"]))
        if active.owner:
            active.owner.over(active, outcome)
            return
        if active.events:  # whoever sees that the run is over finds them
            self._put_events(active)
        now = self.endpoint.clock.now()
        ended = outcome.get("ended", now)
        with self.endpoint.store.write() as db:
            row = db.execute("SELECT * FROM glue_job_runs WHERE id = ?", (active.id,)).fetchone()
            if row is None or row["state"] in OVER:
                return
            values = (outcome["state"], outcome.get("error", ""), json.dumps(outcome.get("rows")))
            db.execute(
                "UPDATE glue_job_runs SET state = ?, error = ?, rows = ?, started = ?, completed = ?, modified = ?"
                " WHERE id = ?",
                (*values, outcome.get("started", row["started"]), ended, now, active.id),
            )
            retry = self._next_attempt(db, row) if outcome["state"] == "FAILED" else None
        job_ended(self.endpoint, row["job"], active.id, outcome["state"], outcome.get("error", ""))
        job_files.clean(active.folder)
        if retry:
            self._launch(*retry)
        self.promote(row["job"])

    def _put_events(self, active: Active) -> None:
        try:
            job_files.put_events(self.endpoint, active.folder, active.events)
        except MillpondError as error:
            active.log.note(f"warning: {error.message}")

    def _next_attempt(self, db: sqlite3.Connection, row: sqlite3.Row) -> tuple[dict[str, Any], Plan] | None:
        kept = json.loads(row["params"])
        known = db.execute("SELECT 1 FROM glue_jobs WHERE name = ?", (row["job"],)).fetchone()
        if not known or row["attempt"] >= kept["job"]["MaxRetries"]:
            return None
        planned = plan(kept["job"], kept["params"])
        return self._insert(db, kept["job"], kept["params"], planned, row), planned

    def stop_run(self, run_id: str) -> None:
        """Stop a run that is not over; its processes are gone within seconds."""
        now = self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            waited = db.execute(
                "UPDATE glue_job_runs SET state = 'STOPPED', completed = ?, modified = ?"
                " WHERE id = ? AND state = 'WAITING' RETURNING job",
                (now, now, run_id),
            ).fetchone()
        if waited:
            job_ended(self.endpoint, waited["job"], run_id, "STOPPED", "")
        self._update(run_id, "STOPPING", "STARTING")
        self._update(run_id, "STOPPING", "RUNNING")
        self.end(run_id)

    def end(self, run_id: str) -> None:
        """End the processes of a run or session, wherever it is on its way."""
        with self.lock:
            active = self.active.get(run_id)
            if active is None:
                return
            active.stopping = True
            queued = active in self.waiting
            if queued:
                self.waiting.remove(active)
        if self.drivers.stop_run(run_id):
            return
        _ = active.jvm
        if active.process and held(active.folder / "alive"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(active.process["host"], signal.SIGTERM)  # a host that an earlier endpoint started
        elif not (active.folder / "claimed").exists():
            self._finish(active, {"state": "STOPPED", "error": ""})

    def stop(self) -> None:
        """Leave: idle drivers end, running jobs go on and are found again at the next start."""
        self.stopping = True
        self.launchers.shutdown(wait=True, cancel_futures=True)
        self.drivers.wake()
        if self.watcher.is_alive():
            self.watcher.join(10)
        self.drivers.stop()


def _outcome(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "outcome.json").read_text())
    except (OSError, ValueError):
        return None
    return found
