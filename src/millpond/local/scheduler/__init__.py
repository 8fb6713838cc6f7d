"""EventBridge Scheduler: schedules that invoke their targets, in groups.

When a schedule is due (times.py) the clockwork writes an invocation, in the transaction that moves the schedule on; so
a kill neither loses nor repeats a time. An invocation is a row until its target has taken it (targets.py) or its
RetryPolicy is used up: then it goes to the queue of its DeadLetterConfig, if it has one. Attempts run on threads of
their own, a few at once; a kill repeats at most those under way, under the same token, by which Glue and Lambda know
them. When there is another attempt is what rules' targets have, too (events/retries.py).

Limits: a flexible window is used at its beginning. Roles are kept, not assumed; KMS keys encrypt nothing. A time that
passes while the endpoint is down is not made up for, but a one-time schedule's, as long as its MaximumEventAgeInSeconds
allows. `at(...)` in the past is accepted and over. With a time scale, StartDate and EndDate are held against its time.
A group is gone at once (AWS shows it DELETING for a while).

May import: errors, and millpond.local's service, store, schedules, constraints, events, states (names of APIs).
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from millpond.local.constraints import checked
from millpond.local.events.retries import DEFAULTS, Again, Over, after_failure, bury, reason
from millpond.local.scheduler.targets import Invocation, check, invalid, invoke, payload
from millpond.local.scheduler.times import PRECISION, Once, Times, read_times
from millpond.local.service import AwsError, Call, Endpoint, Operation, acting_for

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS scheduler_groups (
    name TEXT PRIMARY KEY, created REAL NOT NULL, modified REAL NOT NULL, tags TEXT NOT NULL, token TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scheduler_schedules (
    grp TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    modified REAL NOT NULL, since REAL NOT NULL, coming REAL, token TEXT NOT NULL, PRIMARY KEY (grp, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS scheduler_schedules_coming ON scheduler_schedules (coming) WHERE state = 'ENABLED';
CREATE TABLE IF NOT EXISTS scheduler_invocations (
    number INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
    scheduled REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS scheduler_invocations_due ON scheduler_invocations (due);
"""
DEFAULT = "default"
PAGE = 100
AT_ONCE = 8
STOP_SECONDS = 5.0
EARLIEST_START = 300.0  # seconds before now
MEMBERS = ("Description", "EndDate", "FlexibleTimeWindow", "KmsKeyArn", "ScheduleExpression", "StartDate", "Target")
OF = "grp = ? AND name = ?"


class Scheduler:
    """See the module's docstring."""

    name = "scheduler"
    schema = SCHEMA
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
        self._under_way: dict[int, threading.Thread] = {}
        self._busy = threading.Lock()
        self._stopping = False

    def operations(self) -> dict[str, Operation]:
        carried: dict[str, Operation] = {
            "CreateSchedule": self.create,
            "UpdateSchedule": self.update,
            "GetSchedule": self.get,
            "DeleteSchedule": self.delete,
            "ListSchedules": self.list,
            "CreateScheduleGroup": self.create_group,
            "GetScheduleGroup": self.get_group,
            "DeleteScheduleGroup": self.delete_group,
            "ListScheduleGroups": self.list_groups,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.tags,
        }
        return {name: checked("scheduler", name, operation) for name, operation in carried.items()}

    def start(self) -> None:
        """Go on where the last endpoint ended."""
        now = self.endpoint.clockwork.now()
        with self.store.write() as db:
            sql = "INSERT OR IGNORE INTO scheduler_groups VALUES (?, ?, ?, '[]', '')"
            db.execute(sql, (DEFAULT, now, now))
            for row in db.execute("SELECT * FROM scheduler_schedules WHERE state = 'ENABLED'").fetchall():
                times = read_times(json.loads(row["body"]))
                since = times.resumed(row["since"], now)
                db.execute(
                    f"UPDATE scheduler_schedules SET since = ?, coming = ? WHERE {OF}",
                    (since, times.following(since), row["grp"], row["name"]),
                )
        self.endpoint.clockwork.serve("schedules", self._due)
        self.endpoint.clockwork.serve("invocations", self._attempts)

    def stop(self) -> None:
        """End after the attempts under way, if they do not take long; what is not done stays in the store."""
        self._stopping = True
        until = time.monotonic() + STOP_SECONDS
        for thread in list(self._under_way.values()):
            thread.join(max(0.0, until - time.monotonic()))

    # ---- schedules

    def _arn(self, group: str, name: str) -> str:
        return self.endpoint.arn("scheduler", f"schedule/{group}/{name}")

    def _row(self, params: Mapping[str, Any]) -> sqlite3.Row:
        place = (params.get("GroupName") or DEFAULT, params["Name"])
        row = self.store.one(f"SELECT * FROM scheduler_schedules WHERE {OF}", place)
        if row is None:
            raise AwsError("ResourceNotFoundException", f"Schedule {place[1]} does not exist.", status=404)
        return row

    def _body(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], Times]:
        """A schedule's members with their defaults, checked. ValidationException, 501 for a target of nobody's."""
        body = {name: params[name] for name in MEMBERS if name in params}
        body |= {name: body[name].timestamp() for name in ("StartDate", "EndDate") if name in body}
        body["ScheduleExpressionTimezone"] = params.get("ScheduleExpressionTimezone") or "UTC"
        body["ActionAfterCompletion"] = params.get("ActionAfterCompletion") or "NONE"
        body["Target"] = {**body["Target"], "RetryPolicy": {**DEFAULTS, **(body["Target"].get("RetryPolicy") or {})}}
        window = body["FlexibleTimeWindow"]
        if (window["Mode"] == "FLEXIBLE") != ("MaximumWindowInMinutes" in window):
            raise invalid("MaximumWindowInMinutes must be provided if and only if the Mode is FLEXIBLE.")
        times = read_times(body)
        if "EndDate" in body and body["EndDate"] <= body.get("StartDate", 0):
            raise invalid("The EndDate must be after the StartDate.")
        check(body["Target"], self.endpoint)
        return body, times

    def _check_start(self, body: Mapping[str, Any]) -> None:
        if "StartDate" in body and body["StartDate"] < self.endpoint.clock.now() - EARLIEST_START:
            raise invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")

    def _begun(self, times: Times, now: float) -> tuple[float, float | None]:
        """`since` and `coming` of a schedule that is made now. The moment of a one-time schedule is one of the caller's
        clock: a time scale makes the time until then shorter."""
        ahead = now - self.endpoint.clock.now() if isinstance(times.expression, Once) else 0.0
        since = times.first(now - ahead)
        coming = _coming(times, since)
        return since, None if coming is None else coming + ahead

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group, name, token = params.get("GroupName") or DEFAULT, params["Name"], params.get("ClientToken") or ""
        body, times = self._body(params)
        now = self.endpoint.clockwork.now()
        self._check_start(body)
        state, (since, coming) = params.get("State") or "ENABLED", self._begun(times, now)
        row = (group, name, json.dumps(body), state, now, now, since, coming, token)
        with self.store.write() as db:
            self._group(group)
            try:
                db.execute("INSERT INTO scheduler_schedules VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                known = db.execute(f"SELECT token FROM scheduler_schedules WHERE {OF}", (group, name)).fetchone()
                if not token or known["token"] != token:  # else it is the same request once more
                    raise AwsError("ConflictException", f"Schedule {name} already exists.", status=409) from None
        self.endpoint.clockwork.wake("schedules")
        return {"ScheduleArn": self._arn(group, name)}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Replace all members: what is not given is at its default again (AWS docs, UpdateSchedule)."""
        body, times = self._body(params)
        now, state = self.endpoint.clockwork.now(), params.get("State") or "ENABLED"
        with self.store.write() as db:
            row = self._row(params)
            before = json.loads(row["body"])
            same = all(before.get(one) == body.get(one) for one in (*_TIMES, "StartDate"))
            if not same:
                self._check_start(body)
                since, coming = self._begun(times, now)
            elif isinstance(times.expression, Once):  # a time that passed while it was disabled is over
                late = row["coming"] is not None and row["coming"] < now - PRECISION
                since, coming = row["since"], None if late else row["coming"]
            else:
                since = times.resumed(row["since"], now)
                coming = _coming(times, since)
            db.execute(
                f"UPDATE scheduler_schedules SET body = ?, state = ?, modified = ?, since = ?, coming = ? WHERE {OF}",
                (json.dumps(body), state, now, since, coming, row["grp"], row["name"]),
            )
        self.endpoint.clockwork.wake("schedules")
        return {"ScheduleArn": self._arn(row["grp"], row["name"])}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._row(params)
        return {**self._summary(row), **json.loads(row["body"])}

    def _summary(self, row: sqlite3.Row) -> dict[str, Any]:
        return {
            "Arn": self._arn(row["grp"], row["name"]),
            "GroupName": row["grp"],
            "Name": row["name"],
            "State": row["state"],
            "CreationDate": row["created"],
            "LastModificationDate": row["modified"],
        }

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.store.write() as db:
            row = self._row(params)
            db.execute(f"DELETE FROM scheduler_schedules WHERE {OF}", (row["grp"], row["name"]))
        return {}

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = params.get("GroupName") or ""
        if group:
            self._group(group)
        sql = (
            "SELECT * FROM scheduler_schedules WHERE ? IN ('', grp) AND ? IN ('', state) AND (grp, name) > (?, ?)"
            " AND substr(name, 1, ?) = ? ORDER BY grp, name LIMIT ?"
        )
        prefix, state = params.get("NamePrefix") or "", params.get("State") or ""
        last, size = _after(params.get("NextToken"), 2), params.get("MaxResults") or PAGE
        rows = self.store.read(sql, (group, state, *last, len(prefix), prefix, size + 1))
        found = [{**self._summary(row), "Target": {"Arn": json.loads(row["body"])["Target"]["Arn"]}} for row in rows]
        more = {"NextToken": _token(rows[size - 1]["grp"], rows[size - 1]["name"])} if len(rows) > size else {}
        return {"Schedules": found[:size], **more}

    # ---- groups

    def _group(self, name: str) -> sqlite3.Row:
        row = self.store.one("SELECT * FROM scheduler_groups WHERE name = ?", (name,))
        if row is None:
            raise AwsError("ResourceNotFoundException", f"Schedule group {name} does not exist.", status=404)
        return row

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        return {
            "Arn": self.endpoint.arn("scheduler", f"schedule-group/{row['name']}"),
            "Name": row["name"],
            "State": "ACTIVE",
            "CreationDate": row["created"],
            "LastModificationDate": row["modified"],
        }

    def create_group(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, token, now = params["Name"], params.get("ClientToken") or "", self.endpoint.clockwork.now()
        row = (name, now, now, json.dumps(params.get("Tags") or []), token)
        with self.store.write() as db:
            try:
                db.execute("INSERT INTO scheduler_groups VALUES (?, ?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                if not token or self._group(name)["token"] != token:
                    raise AwsError("ConflictException", f"Schedule group {name} already exists.", status=409) from None
        return {"ScheduleGroupArn": self._shown(self._group(name))["Arn"]}

    def get_group(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._shown(self._group(params["Name"]))

    def delete_group(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Delete a group with its schedules (AWS docs, DeleteScheduleGroup)."""
        if (name := params["Name"]) == DEFAULT:
            raise invalid("The default schedule group cannot be deleted.")
        with self.store.write() as db:
            self._group(name)
            db.execute("DELETE FROM scheduler_groups WHERE name = ?", (name,))
            db.execute("DELETE FROM scheduler_schedules WHERE grp = ?", (name,))
        return {}

    def list_groups(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        prefix, size = params.get("NamePrefix") or "", params.get("MaxResults") or PAGE
        sql = "SELECT * FROM scheduler_groups WHERE name > ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?"
        rows = self.store.read(sql, (*_after(params.get("NextToken"), 1), len(prefix), prefix, size + 1))
        more = {"NextToken": _token(rows[size - 1]["name"])} if len(rows) > size else {}
        return {"ScheduleGroups": [self._shown(row) for row in rows[:size]], **more}

    def _tagged(self, params: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        start, name = self.endpoint.arn("scheduler", "schedule-group/"), params["ResourceArn"]
        if not name.startswith(start):
            raise invalid("Only schedule groups have tags.")
        row = self._group(name.removeprefix(start))
        return row["name"], {tag["Key"]: tag["Value"] for tag in json.loads(row["tags"])}

    def _keep_tags(self, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
        listed = json.dumps([{"Key": key, "Value": value} for key, value in tags.items()])
        with self.store.write() as db:
            db.execute("UPDATE scheduler_groups SET tags = ? WHERE name = ?", (listed, name))
        return {}

    def tag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, tags = self._tagged(params)
        return self._keep_tags(name, tags | {tag["Key"]: tag["Value"] for tag in params["Tags"]})

    def untag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, tags = self._tagged(params)
        return self._keep_tags(name, {key: value for key, value in tags.items() if key not in params["TagKeys"]})

    def tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Tags": [{"Key": key, "Value": value} for key, value in self._tagged(params)[1].items()]}

    # ---- from a time to its invocation

    def _due(self) -> float | None:
        """Write the invocations of schedules that are due. Seconds until the next moment, None: there is none."""
        now = self.endpoint.clockwork.now()
        sql = "SELECT * FROM scheduler_schedules WHERE state = 'ENABLED' AND coming <= ? ORDER BY coming"
        rows = self.store.read(sql, (now,))
        for row in rows:
            self._fire(row, now)
        if rows:
            self.endpoint.clockwork.wake("invocations")
        return self._until("SELECT min(coming) FROM scheduler_schedules WHERE state = 'ENABLED'")

    def _until(self, sql: str, *values: float) -> float | None:
        row = self.store.one(sql, values)
        return None if row is None or row[0] is None else self.endpoint.clockwork.until(row[0])

    def _fire(self, row: sqlite3.Row, now: float) -> None:
        """One invocation for all times of a schedule that passed together."""
        body, moment = json.loads(row["body"]), row["coming"]
        times = read_times(body)
        since, coming = moment, times.following(moment)
        if coming is not None and coming <= now:  # the machine slept
            since = times.resumed(moment, now)
            coming = times.following(since)
        last = coming is None and times.ends and body["ActionAfterCompletion"] == "DELETE"
        place = (row["grp"], row["name"])
        age = body["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"]
        with self.store.write() as db:
            moved = db.execute(
                f"UPDATE scheduler_schedules SET since = ?, coming = ? WHERE {OF} AND modified = ? AND coming = ?",
                (since, coming, *place, row["modified"], moment),
            )
            if moved.rowcount and not (isinstance(times.expression, Once) and now - moment > age):
                db.execute(
                    "INSERT INTO scheduler_invocations (grp, name, target, scheduled, due, last)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (*place, json.dumps(body["Target"]), moment, now, last),
                )

    def _attempts(self) -> float | None:
        """Begin the attempts that are due, a few at once. Seconds until others are, None: there are none."""
        now = self.endpoint.clockwork.now()
        sql = "SELECT * FROM scheduler_invocations WHERE due <= ? ORDER BY due, number LIMIT ?"
        for row in self.store.read(sql, (now, 2 * AT_ONCE)):  # half of them may be under way
            with self._busy:
                if row["number"] in self._under_way or len(self._under_way) >= AT_ONCE or self._stopping:
                    continue  # the end of one of them asks again
                if not self._waits(row):
                    continue  # its attempt has ended since it was read
                thread = threading.Thread(target=self._attempt, args=(row,), name="schedule", daemon=True)
                thread.start()
                self._under_way[row["number"]] = thread
        return self._until("SELECT min(due) FROM scheduler_invocations WHERE due > ?", now)

    def _waits(self, row: sqlite3.Row) -> bool:
        sql = "SELECT 1 FROM scheduler_invocations WHERE number = ? AND attempts = ?"
        return self.store.one(sql, (row["number"], row["attempts"])) is not None

    def _attempt(self, row: sqlite3.Row) -> None:
        try:
            self._invoke(row)
        except Exception:  # the disk, most likely: the row is still there
            if not self._stopping:
                log.exception("invoking the target of schedule %s", row["name"])
        finally:
            with self._busy:
                self._under_way.pop(row["number"], None)
            if not self._stopping:
                self.endpoint.clockwork.wake("invocations")

    def _invoke(self, row: sqlite3.Row) -> None:
        target, arn = json.loads(row["target"]), self._arn(row["grp"], row["name"])
        made = Invocation(arn, row["number"], row["attempts"] + 1, row["scheduled"], uuid.uuid4().hex[:16])
        text = payload(target, made, self.endpoint)
        token = acting_for.set(f"schedule-{row['number']}")
        try:
            invoke(self.endpoint, target, made, text)
        except Exception as error:
            self._failed(row, target, made, text, error)
        else:
            self._over(row)
        finally:
            acting_for.reset(token)

    def _failed(
        self, row: sqlite3.Row, target: Mapping[str, Any], made: Invocation, text: str, error: Exception
    ) -> None:
        """Try again later, as the RetryPolicy says; else it is over."""
        now = self.endpoint.clockwork.now()
        match after_failure(target["RetryPolicy"], made.attempt, now - made.scheduled):
            case Again(pause):
                if made.attempt == 1:
                    log.warning(
                        "schedule %s could not invoke %s, and tries again: %s", row["name"], target["Arn"], error
                    )
                with self.store.write() as db:
                    sql = "UPDATE scheduler_invocations SET attempts = ?, due = ? WHERE number = ?"
                    db.execute(sql, (made.attempt, now + pause, row["number"]))
            case Over(spent):
                log.warning("schedule %s gave up invoking %s: %s", row["name"], target["Arn"], error)
                bury(self.endpoint, target, text, _epitaph(target, made, error, spent))
                self._over(row)

    def _over(self, row: sqlite3.Row) -> None:
        with self.store.write() as db:
            db.execute("DELETE FROM scheduler_invocations WHERE number = ?", (row["number"],))
            if row["last"]:
                self._complete(db, row["grp"], row["name"])

    @staticmethod
    def _complete(db: sqlite3.Connection, *place: str) -> None:
        """ActionAfterCompletion DELETE, unless the schedule was changed meanwhile and has another time to come."""
        found = db.execute(f"SELECT * FROM scheduler_schedules WHERE {OF}", place).fetchone()
        if found is not None:
            body = json.loads(found["body"])
            if body["ActionAfterCompletion"] == "DELETE" and read_times(body).following(found["since"]) is None:
                db.execute(f"DELETE FROM scheduler_schedules WHERE {OF}", place)


def _epitaph(target: Mapping[str, Any], made: Invocation, error: Exception, spent: str) -> dict[str, str]:
    """AWS, "Configuring a schedule's dead-letter queue in EventBridge Scheduler"."""
    code, message = reason(error)
    return {
        "ERROR_CODE": code,
        "ERROR_MESSAGE": message,
        "EXECUTION_ID": made.execution,
        "EXHAUSTED_RETRY_CONDITION": spent,
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": str(made.attempt - 1),
        "SCHEDULED_TIME": datetime.fromtimestamp(made.scheduled, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "SCHEDULE_ARN": made.schedule,
        "TARGET_ARN": target["Arn"],
    }


def _coming(times: Times, since: float) -> float | None:
    """When a schedule is due first. ValidationException for dates beyond the calendar."""
    try:
        return times.following(since)
    except (OverflowError, ValueError, OSError):
        raise invalid("The dates of the schedule are out of range.") from None


_TIMES = ("ScheduleExpression", "ScheduleExpressionTimezone", "EndDate")


def _token(*key: str) -> str:
    return json.dumps(key).encode().hex()


def _after(text: str | None, parts: int) -> tuple[str, ...]:
    """The key inside a NextToken; the first page comes after nothing."""
    if not text:
        return ("",) * parts
    try:
        key = json.loads(bytes.fromhex(text))
    except ValueError:
        key = None
    if not (isinstance(key, list) and len(key) == parts and all(isinstance(part, str) for part in key)):
        raise invalid("Invalid NextToken.")
    return tuple(key)
