"""Firing triggers: actions, their ends, what follows, schedules, batches of events. Durable.

A firing writes one row an action (`glue_actions`, PENDING) in the transaction in which its cause is marked as dealt
with: the minute of a schedule, the end of another action, a batch of events. Only then are actions started, each under
a token (the job run) or id (the crawl) made from the row's number, so that an action is started once although the
endpoint may be killed before it has noted that it did (STARTED). The end of a job run or crawl is read from their own
rows, and marked (ENDED) together with what it sets off. So a kill neither loses a firing nor repeats one.

The clockwork has this done when something is due, and every `POLL_SECONDS` only while an action runs.

Limits: a schedule whose time passed while the endpoint was down fires if it is less than a minute late, else it is not
made up for (AWS has no such time). Retries of a job belong to its action: triggers see the last attempt's end.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millpond.local.glue.records import decode, encode
from millpond.local.glue.trigger_rules import Ended, Trigger, causes, met, next_time
from millpond.local.service import AwsError, Call, Endpoint, acting_for
from millpond.local.store import StoreUnavailable

if TYPE_CHECKING:
    from millpond.local.glue.crawlers import Crawlers
    from millpond.local.glue.jobs import Jobs

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
LATE_SECONDS = 60.0
WINDOW_SECONDS = 900  # the longest, and the default, of EventBatchingCondition
OVER = frozenset({"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED", "ERROR", "EXPIRED"})
CRAWLED = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED", "FAILED": "FAILED"}
LIVE = ("RUNNING", "STOPPING")
CALL = Call("glue", "StartTrigger", "")

SCHEMA = """
CREATE TABLE IF NOT EXISTS glue_triggers (
    name TEXT PRIMARY KEY, workflow TEXT NOT NULL DEFAULT '', type TEXT NOT NULL, state TEXT NOT NULL,
    body TEXT NOT NULL, since REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS glue_triggers_of ON glue_triggers (workflow, type);
CREATE TABLE IF NOT EXISTS glue_trigger_events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, trigger TEXT NOT NULL, event TEXT NOT NULL, received REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS glue_workflow_runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL, status TEXT NOT NULL,
    previous TEXT, properties TEXT NOT NULL, triggers TEXT NOT NULL, batch TEXT, error TEXT, started REAL NOT NULL,
    completed REAL
);
CREATE INDEX IF NOT EXISTS glue_workflow_runs_of ON glue_workflow_runs (workflow, number);
CREATE TABLE IF NOT EXISTS glue_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, chain TEXT NOT NULL, workflow_run TEXT, trigger TEXT NOT NULL,
    firing INTEGER NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, params TEXT NOT NULL, state TEXT NOT NULL,
    run TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL, ended REAL
);
CREATE INDEX IF NOT EXISTS glue_actions_of ON glue_actions (chain, id);
CREATE INDEX IF NOT EXISTS glue_actions_open ON glue_actions (id) WHERE state <> 'ENDED';
"""


def shown(row: sqlite3.Row) -> dict[str, Any]:
    """A trigger's row as GetTrigger shows it."""
    named = {"Name": row["name"], **({"WorkflowName": row["workflow"]} if row["workflow"] else {})}
    return {**named, "Type": row["type"], "State": row["state"], **decode(row["body"])}


class Firing:
    """See the module's docstring. `jobs` and `crawlers` are the rooms next door."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.jobs: Jobs
        self.crawlers: Crawlers

    # ---- life

    def start(self, jobs: Jobs, crawlers: Crawlers) -> None:
        """Go on where the last endpoint ended."""
        self.jobs, self.crawlers = jobs, crawlers
        with self.endpoint.store.write() as db:
            db.execute("UPDATE glue_triggers SET since = min(since, ?)", (self.now(),))
        for run in self.endpoint.store.read("SELECT id FROM glue_workflow_runs WHERE status = 'STOPPING'"):
            self._stop_actions(run["id"])
        self.endpoint.clockwork.serve("triggers", self._round)

    def wake(self) -> None:
        """Something has changed: look again."""
        self.endpoint.clockwork.wake("triggers")

    def _round(self) -> float | None:
        """Do what is due. Seconds until to look again, None: not before something changes."""
        for row in self._open("PENDING"):
            self.dispatch(row)
        for row in self._open("STARTED"):
            self._notice(row)
        due = [*self._schedules(), *self._batches()]
        waits = [self.endpoint.clockwork.until(moment) for moment in due]
        if self.endpoint.store.one("SELECT 1 FROM glue_actions WHERE state <> 'ENDED'"):
            waits.append(POLL_SECONDS)
        return min(waits, default=None)

    def now(self) -> float:
        """Seconds since the epoch by the clockwork, which schedules and batches follow."""
        return self.endpoint.clockwork.now()

    def _open(self, state: str) -> list[sqlite3.Row]:
        return self.endpoint.store.read(
            "SELECT * FROM glue_actions WHERE state <> 'ENDED' AND state = ? ORDER BY id", (state,)
        )

    # ---- firing

    def fire(
        self,
        db: sqlite3.Connection,
        trigger: Trigger,
        run: str | None = None,
        chain: str = "",
        because: Sequence[Ended] = (),
    ) -> list[int]:
        """Write the actions of a trigger into the caller's transaction, to be started after it; their ids.

        `run` is the workflow run that they belong to. A new chain begins unless `chain` or `run` is given.
        """
        chain = run or chain or f"chain_{secrets.token_hex(16)}"
        extra: dict[str, str] = {}
        if run:
            workflow = db.execute("SELECT workflow FROM glue_workflow_runs WHERE id = ?", (run,)).fetchone()[0]
            extra = {"--WORKFLOW_NAME": workflow, "--WORKFLOW_RUN_ID": run}
        before = [{"JobName": one.target, "RunId": one.run} for one in because if one.kind == "JOB"]
        ids: list[int] = []
        for action in trigger["Actions"]:
            kind, target = ("JOB", action["JobName"]) if action.get("JobName") else ("CRAWLER", action["CrawlerName"])
            params = {k: v for k, v in action.items() if k not in ("JobName", "CrawlerName")}
            params |= {"TriggerName": trigger["Name"], "PredecessorRuns": before}
            params["Arguments"] = {**params.get("Arguments", {}), **extra}
            made = db.execute(
                "INSERT INTO glue_actions (chain, workflow_run, trigger, firing, kind, target, params, state, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'PENDING', ?)",
                (chain, run, trigger["Name"], ids[0] if ids else 0, kind, target, encode(params), self.clock()),
            )
            ids.append(made.lastrowid or 0)
        db.execute("UPDATE glue_actions SET firing = ? WHERE id = ?", (ids[0], ids[0]))
        return ids

    def clock(self) -> float:
        return self.endpoint.clock.now()

    def start_actions(self, ids: Iterable[int]) -> list[AwsError]:
        """Start actions just written, now, and say what could not be started."""
        errors = []
        for number in ids:
            row = self.endpoint.store.one("SELECT * FROM glue_actions WHERE id = ? AND state = 'PENDING'", (number,))
            if row and (error := self.dispatch(row)):
                errors.append(error)
        self.wake()
        return errors

    def dispatch(self, row: sqlite3.Row) -> AwsError | None:
        """Start a PENDING action; once, however often this is called. An action that cannot be started ends ERROR."""
        try:
            run = self._start_job(row) if row["kind"] == "JOB" else self._start_crawl(row)
        except AwsError as error:
            self._conclude(row, "ERROR", error.message)
            return error
        except StoreUnavailable:  # the disk: it stays PENDING
            raise
        except Exception as error:  # an action that cannot be started must not keep others from being started
            log.exception("starting %s of trigger %s", row["target"], row["trigger"])
            self._conclude(row, "ERROR", f"Internal Service Exception: {type(error).__name__}: {error}")
            return None
        with self.endpoint.store.write() as db:
            sql = "UPDATE glue_actions SET run = ?, state = 'STARTED' WHERE id = ? AND state = 'PENDING'"
            if db.execute(sql, (run, row["id"])).rowcount:
                return None
            now = db.execute("SELECT state FROM glue_actions WHERE id = ?", (row["id"],)).fetchone()
        if now and now["state"] == "ENDED":  # its workflow run was stopped in this moment
            self._stop_action(row["kind"], row["target"], run)
        return None

    def _start_job(self, row: sqlite3.Row) -> str:
        """Glue starts one run for a token (`acting_for`), however often it is asked."""
        token = acting_for.set(f"glue-action-{row['id']}")
        try:
            return str(self.jobs.start_run({"JobName": row["target"], **decode(row["params"])}, CALL)["JobRunId"])
        finally:
            acting_for.reset(token)

    def _start_crawl(self, row: sqlite3.Row) -> str:
        self.crawlers.get({"Name": row["target"]}, CALL)
        crawl = uuid.uuid5(uuid.NAMESPACE_OID, f"{row['chain']}/{row['id']}")  # the same when asked again
        return self.crawlers.runs.start(row["target"], str(crawl))

    # ---- ends

    def _notice(self, row: sqlite3.Row) -> None:
        """See whether a started action is over."""
        outcome, error = self.progress(row)
        if outcome in OVER or outcome == "CANCELLED":
            self._conclude(row, outcome, error)

    def progress(self, row: sqlite3.Row) -> tuple[str, str]:
        """An action's state, in the words of JobRunState or CrawlState, and its error."""
        if row["state"] == "ENDED":
            return row["outcome"], row["error"]
        if not row["run"]:
            return "STARTING", ""
        if row["kind"] == "JOB":
            attempts = self.attempts(row["run"])
            return (attempts[-1]["state"], attempts[-1]["error"]) if attempts else ("ERROR", "The job run is gone.")
        crawl = self.endpoint.store.one("SELECT state, error FROM glue_crawls WHERE id = ?", (row["run"],))
        if crawl is None:
            return "ERROR", f"Crawler {row['target']} was deleted."
        return CRAWLED.get(crawl["state"], "RUNNING"), crawl["error"]

    def attempts(self, run: str) -> list[sqlite3.Row]:
        """A job run and its retries (`jr_..._attempt_1`), in order. A retry is written together with the failure."""
        return self.endpoint.store.read(
            "SELECT id, state, error FROM glue_job_runs WHERE id >= ? AND id < ? ORDER BY number",
            (run, f"{run}`"),  # the character after "_"
        )

    def _conclude(self, row: sqlite3.Row, outcome: str, error: str) -> None:
        """Mark an action as over and write what that fires; a workflow run with nothing left to do is over, too."""
        ids: list[int] = []
        with self.endpoint.store.write() as db:
            changed = db.execute(
                "UPDATE glue_actions SET state = 'ENDED', outcome = ?, error = ?, ended = ?"
                " WHERE id = ? AND state <> 'ENDED'",
                (outcome, error, self.clock(), row["id"]),
            )
            if not changed.rowcount:
                return
            event = Ended(row["id"], row["kind"], row["target"], outcome, row["run"])
            for trigger in self._watching(db, row["workflow_run"]):
                ids += self._consider(db, trigger, event, row["chain"], row["workflow_run"])
            if row["workflow_run"]:
                ids += self._left_over(db, row["workflow_run"])
                self.finish_run(db, row["workflow_run"])
        self.start_actions(ids)

    def _watching(self, db: sqlite3.Connection, run: str | None) -> Iterator[Trigger]:
        """Active conditional triggers: those of the run's snapshot, or those of no workflow."""
        if run is None:
            sql = "SELECT * FROM glue_triggers WHERE workflow = '' AND type = 'CONDITIONAL' AND state = 'ACTIVATED'"
            yield from [shown(row) for row in db.execute(sql)]
            return
        row = db.execute(
            "SELECT triggers FROM glue_workflow_runs WHERE id = ? AND status = 'RUNNING'", (run,)
        ).fetchone()
        for trigger in decode(row["triggers"]) if row else ():
            if trigger["Type"] == "CONDITIONAL" and trigger["State"] == "ACTIVATED":
                yield trigger

    def _consider(
        self, db: sqlite3.Connection, trigger: Trigger, event: Ended, chain: str, run: str | None
    ) -> list[int]:
        fired = self._fired(db, trigger, chain)
        if run and fired:
            return []
        because = causes(trigger, event, self._ended(db, chain), fired)
        return self.fire(db, trigger, run, chain, because) if because else []

    def _left_over(self, db: sqlite3.Connection, run: str) -> list[int]:
        """Fire what nothing fires any more in a resumed run: a trigger whose predicate copied nodes meet, although it
        comes after the selected ones, none of whose ends fired it. "The selected nodes and all nodes that are
        downstream from those nodes are run" (AWS docs, "Repairing and resuming a workflow run")."""
        resumed = db.execute(
            "SELECT 1 FROM glue_workflow_runs WHERE id = ? AND previous IS NOT NULL", (run,)
        ).fetchone()
        if not resumed or self._busy(db, run):
            return []
        ended = self._ended(db, run)
        waiting = [one for one in self._watching(db, run) if not self._fired(db, one, run)]
        return [number for one in waiting if (why := met(one, ended)) for number in self.fire(db, one, run, run, why)]

    @staticmethod
    def _fired(db: sqlite3.Connection, trigger: Trigger, chain: str) -> int:
        sql = "SELECT coalesce(max(firing), 0) FROM glue_actions WHERE chain = ? AND trigger = ?"
        return int(db.execute(sql, (chain, trigger["Name"])).fetchone()[0])

    @staticmethod
    def _ended(db: sqlite3.Connection, chain: str) -> list[Ended]:
        rows = db.execute("SELECT * FROM glue_actions WHERE chain = ? AND state = 'ENDED' ORDER BY id", (chain,))
        return [Ended(one["id"], one["kind"], one["target"], one["outcome"], one["run"]) for one in rows]

    @staticmethod
    def _busy(db: sqlite3.Connection, chain: str) -> bool:
        sql = "SELECT 1 FROM glue_actions WHERE chain = ? AND state <> 'ENDED'"
        return db.execute(sql, (chain,)).fetchone() is not None

    # ---- workflow runs

    def begin_run(
        self, db: sqlite3.Connection, workflow: str, properties: Mapping[str, str], **more: str | None
    ) -> str:
        """A new run with a snapshot of the workflow's triggers (AWS docs, "Workflow run snapshots"); its id."""
        rows = db.execute("SELECT * FROM glue_triggers WHERE workflow = ? ORDER BY name", (workflow,))
        triggers = encode([shown(row) for row in rows])
        values = {"id": f"wr_{secrets.token_hex(32)}", "triggers": triggers, "status": "RUNNING", **more}
        values |= {"workflow": workflow, "properties": encode(dict(properties))}
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        db.execute(
            f"INSERT INTO glue_workflow_runs ({names}, started) VALUES ({marks}, ?)", (*values.values(), self.clock())
        )
        return str(values["id"])

    def has_room(self, db: sqlite3.Connection, workflow: str) -> bool:
        """Whether MaxConcurrentRuns allows one more run of a workflow."""
        row = db.execute("SELECT body FROM glue_workflows WHERE name = ?", (workflow,)).fetchone()
        most = decode(row["body"]).get("MaxConcurrentRuns") if row else None
        (live,) = db.execute(
            "SELECT count(*) FROM glue_workflow_runs WHERE workflow = ? AND status IN (?, ?)", (workflow, *LIVE)
        ).fetchone()
        return most is None or live < most

    def _start_by(self, db: sqlite3.Connection, trigger: Trigger, **more: str | None) -> list[int]:
        """Fire a trigger at its time: a workflow's starts a run of it. A run that has no room is one in ERROR."""
        workflow = trigger.get("WorkflowName")
        if not workflow:
            return self.fire(db, trigger)
        row = db.execute("SELECT body FROM glue_workflows WHERE name = ?", (workflow,)).fetchone()
        properties = dict(decode(row["body"]).get("DefaultRunProperties", {})) if row else {}
        if events := more.pop("events", None):
            properties["aws:eventIds"] = events
        if not self.has_room(db, workflow):
            run = self.begin_run(db, workflow, properties, **more | {"status": "ERROR"})
            db.execute(
                "UPDATE glue_workflow_runs SET error = ?, completed = started WHERE id = ?",
                (f"Concurrent runs exceeded for workflow: {workflow}.", run),
            )
            return []
        return self.fire(db, trigger, self.begin_run(db, workflow, properties, **more))

    def finish_run(self, db: sqlite3.Connection, run: str) -> None:
        """End a workflow run in which nothing is left to do."""
        if self._busy(db, run):
            return
        db.execute(
            "UPDATE glue_workflow_runs SET completed = ?,"
            " status = CASE status WHEN 'STOPPING' THEN 'STOPPED' ELSE 'COMPLETED' END"
            " WHERE id = ? AND status IN ('RUNNING', 'STOPPING')",
            (self.clock(), run),
        )

    def stop_run(self, run: str) -> None:
        """Stop a workflow run: nothing more fires, what runs is stopped. IllegalWorkflowStateException."""
        with self.endpoint.store.write() as db:
            changed = db.execute(
                "UPDATE glue_workflow_runs SET status = 'STOPPING' WHERE id = ? AND status = 'RUNNING'", (run,)
            )
            if not changed.rowcount:
                raise AwsError("IllegalWorkflowStateException", f"Workflow run {run} is not running.")
            db.execute(
                "UPDATE glue_actions SET state = 'ENDED', outcome = 'STOPPED', ended = ?"
                " WHERE chain = ? AND state = 'PENDING'",
                (self.clock(), run),
            )
            self.finish_run(db, run)
        self._stop_actions(run)
        self.wake()

    def _stop_actions(self, run: str) -> None:
        sql = "SELECT * FROM glue_actions WHERE chain = ? AND state = 'STARTED'"
        for row in self.endpoint.store.read(sql, (run,)):
            self._stop_action(row["kind"], row["target"], row["run"])

    def _stop_action(self, kind: str, target: str, run: str) -> None:
        if kind == "CRAWLER":
            self.crawlers.runs.stop(target, run)
        elif ids := [one["id"] for one in self.attempts(run) if one["state"] not in OVER]:
            self.jobs.stop_runs({"JobName": target, "JobRunIds": ids}, CALL)

    # ---- schedules and events

    def _schedules(self) -> Iterator[float]:
        """Fire what is due; yields the next times."""
        sql = "SELECT * FROM glue_triggers WHERE type = 'SCHEDULED' AND state = 'ACTIVATED'"
        for row in self.endpoint.store.read(sql):
            trigger, now = shown(row), self.now()
            moment = next_time(trigger, max(row["since"], now - LATE_SECONDS))
            if moment is not None and moment <= now:
                self._fire_at(trigger, row["since"], moment)
                moment = next_time(trigger, moment)
            if moment is not None:
                yield moment

    def _fire_at(self, trigger: Trigger, since: float, moment: float) -> None:
        with self.endpoint.store.write() as db:
            changed = db.execute(
                "UPDATE glue_triggers SET since = ? WHERE name = ? AND since = ? AND state = 'ACTIVATED'",
                (moment, trigger["Name"], since),
            )
            ids = self._start_by(db, trigger) if changed.rowcount else []
        self.start_actions(ids)

    def receive(self, workflow: str, event: str) -> None:
        """An event of EventBridge for a workflow: its EVENT trigger fires when its batch is full or old enough."""
        with self.endpoint.store.write() as db:
            row = db.execute(
                "SELECT name FROM glue_triggers WHERE workflow = ? AND type = 'EVENT'", (workflow,)
            ).fetchone()
            if row is None:
                log.warning("an event for workflow %s, which has no EVENT trigger, was dropped", workflow)
                return
            db.execute(
                "INSERT INTO glue_trigger_events (trigger, event, received) VALUES (?, ?, ?)",
                (row["name"], event, self.now()),
            )
        self.wake()

    def _batches(self) -> Iterator[float]:
        """Fire EVENT triggers whose batch is full or old enough; yields when the others will be."""
        sql = "SELECT trigger, min(received) AS first FROM glue_trigger_events GROUP BY trigger"
        for row in self.endpoint.store.read(sql):
            while (moment := self._batch(row["trigger"])) == 0.0:
                pass
            if moment is not None:
                yield moment

    def _batch(self, name: str) -> float | None:
        """0: a batch was fired. None: nothing is left. Else the time at which the batch is to be fired."""
        with self.endpoint.store.write() as db:
            row = db.execute("SELECT * FROM glue_triggers WHERE name = ?", (name,)).fetchone()
            if row is None:
                db.execute("DELETE FROM glue_trigger_events WHERE trigger = ?", (name,))
                return None
            trigger = shown(row)
            asked = trigger.get("EventBatchingCondition") or {"BatchSize": 1}
            size, window = asked["BatchSize"], asked.get("BatchWindow", WINDOW_SECONDS)
            sql = "SELECT * FROM glue_trigger_events WHERE trigger = ? ORDER BY number LIMIT ?"
            events = db.execute(sql, (name, size)).fetchall()
            if not events:
                return None
            ends: float = events[0]["received"] + window
            if len(events) < size and self.now() < ends:
                return ends
            db.executemany("DELETE FROM glue_trigger_events WHERE number = ?", [(one["number"],) for one in events])
            listed = f"[{', '.join(one['event'] for one in events)}]"
            batch = encode({"BatchSize": len(events), "BatchWindow": int(self.now() - events[0]["received"])})
            ids = self._start_by(db, trigger, events=listed, batch=batch)
        self.start_actions(ids)
        return 0.0
