"""Executions: start, stop, describe, list, history; Express ones too.

A Standard execution is a row before it is started: the answer of StartExecution outlives a kill. An Express execution
lives in memory, as on AWS it lives in the logs only; StartSyncExecution waits for its end.
Source: AWS Step Functions API Reference.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond.engine import Ended, Snapshot, Start
from millpond.engine.history import to_aws
from millpond.engine.spread import LAST_EVENT
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import announcements, arns, machines, paging, payloads

if TYPE_CHECKING:
    from millpond.asl.mocks import Case
    from millpond.engine import Engine
    from millpond.local.states.journal import Journal
    from millpond.local.states.machines import Machines
    from millpond.local.states.map_runs import MapRuns
    from millpond.local.states.mocks import Mocks
    from millpond.local.states.records import Records

SYNC_SECONDS = 300.0
FIRST_EVENT_SECONDS = 5.0
_LAST_SEEN = "coalesce(stopped, redriven, started)"
"""What executions are listed by: when they stopped; those that run, when they were started or redriven last."""
_HALVES = ("= 'RUNNING'", "!= 'RUNNING'")
REDRIVABLE_SECONDS = 14 * 86_400.0
REDRIVE_TOKEN_SECONDS = 900.0
REDRIVE_TOKENS = 10


class _Waiter:
    """Someone who waits for the end of an execution."""

    def __init__(self) -> None:
        self.happened, self.ended = threading.Event(), cast("Ended | None", None)


class Executions:
    """See the module's docstring. `engine` is set before the first operation."""

    def __init__(
        self, endpoint: Endpoint, machines: Machines, records: Records, journal: Journal, mocks: Mocks
    ) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
        self.machines, self.records, self.journal, self.mocks = machines, records, journal, mocks
        self.engine: Engine
        self.map_runs: MapRuns
        self.looked: Callable[[], None]
        self._lock = threading.Lock()
        self._waiting: dict[str, list[_Waiter]] = {}

    def operations(self) -> Mapping[str, Operation]:
        return {
            "StartExecution": self.start,
            "StartSyncExecution": self.start_sync,
            "StopExecution": self.stop,
            "RedriveExecution": self.redrive,
            "DescribeExecution": self.describe,
            "DescribeStateMachineForExecution": self.describe_machine,
            "ListExecutions": self.list_executions,
            "GetExecutionHistory": self.history,
        }

    # Starting -------------------------------------------------------------------------------------------------------

    def start(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        wanted, mocked = self.mocks.of(params["stateMachineArn"])
        machine, revision, version, alias = self.machines.resolve(wanted)
        text = params.get("input", "{}")
        value = _input(text)
        name = arns.check_name(params.get("name") or str(uuid.uuid4()))
        now = self.endpoint.clock.now()
        if machine["type"] == "EXPRESS":
            unique = str(uuid.uuid4())
            arn = arns.express_arn(machine["arn"], name, unique)
            self.mocks.follow(arn, mocked)
            self.engine.start(self._start(arn, name, machine, revision, text, value, now, express=True))
            return {"executionArn": arn, "startDate": now}
        arn = arns.execution_arn(machine["arn"], name)
        secret = secrets.token_bytes(32)
        row = (
            *(arn, machine["arn"], name, now, text, revision["revision"], revision["role"], version, alias),
            *(params.get("traceHeader"), secret),
        )
        try:
            number = self._insert(arn, row, mocked)
        except sqlite3.IntegrityError:
            there = self.row(arn)
            # The same name with the same input answers the same while it runs.
            if there["status"] == "RUNNING" and there["input"] == text:
                return {"executionArn": arn, "startDate": there["started"]}
            raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'") from None
        self.records.remember(arn, number, new=True)
        self.mocks.follow(arn, mocked)
        self.engine.start(
            self._start(arn, name, machine, revision, text, value, now, secret=secret, version=version, alias=alias)
        )
        if self.endpoint.announcer is not None:
            announcements.began(self.endpoint, self, arn)
        return {"executionArn": arn, "startDate": now}

    def _insert(self, arn: str, row: tuple[Any, ...], mocked: Case | None) -> int:
        """Write an execution's row; its number. Raises sqlite3.IntegrityError where there is one."""
        sql = (
            "INSERT INTO states_executions (arn, machine, name, status, started, input, revision, role, version,"
            " alias, trace, secret) VALUES (?, ?, ?, 'RUNNING', ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        if mocked is None:
            return self.store.insert(sql, row)
        with self.store.write():
            number = self.store.insert(sql, row)
            self.mocks.keep(arn, mocked)
        return number

    def start_sync(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        wanted, mocked = self.mocks.of(params["stateMachineArn"])
        machine, revision, _, _ = self.machines.resolve(wanted)
        if machine["type"] != "EXPRESS":
            raise _wrong_type()
        text = params.get("input", "{}")
        value = _input(text)
        name = arns.check_name(params.get("name") or str(uuid.uuid4()))
        arn, now = arns.express_arn(machine["arn"], name, str(uuid.uuid4())), self.endpoint.clock.now()
        self.mocks.follow(arn, mocked)
        with self._waiter(arn) as over:
            self.engine.start(self._start(arn, name, machine, revision, text, value, now, express=True))
            if not over.happened.wait(SYNC_SECONDS + 30):
                self.engine.stop(arn)
                over.happened.wait(5)
        late = Ended(status="TIMED_OUT", at=self.endpoint.clock.now(), error="States.Timeout")
        answer = self._sync_answer(arn, name, machine, now, text, over.ended or late)
        if params.get("traceHeader"):
            answer["traceHeader"] = params["traceHeader"]
        if params.get("includedData") == "METADATA_ONLY":
            for key in ("input", "output"):
                if answer.pop(key, None) is not None:
                    answer[f"{key}Details"] = {"included": False}
        return answer

    @staticmethod
    def _sync_answer(
        arn: str, name: str, machine: sqlite3.Row, began: float, text: str, ended: Ended
    ) -> dict[str, Any]:
        billed = max(100, -(-int((ended.at - began) * 1000) // 100) * 100)
        answer: dict[str, Any] = {
            "executionArn": arn,
            "stateMachineArn": machine["arn"],
            "name": name,
            "startDate": began,
            "stopDate": ended.at,
            "status": ended.status,
            "input": text,
            "inputDetails": {"included": True},
            "billingDetails": {"billedMemoryUsedInMB": 64, "billedDurationInMilliseconds": billed},
        }
        if ended.output is not None:
            answer |= {"output": ended.output, "outputDetails": {"included": True}}
        failure = {"error": ended.error, "cause": ended.cause}
        return answer | {key: value for key, value in failure.items() if value is not None}

    @contextlib.contextmanager
    def _waiter(self, execution: str) -> Iterator[_Waiter]:
        """Hears of the end of an execution; set up before what makes it end."""
        waiter = _Waiter()
        with self._lock:
            self._waiting.setdefault(execution, []).append(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                self._waiting[execution].remove(waiter)
                if not self._waiting[execution]:
                    del self._waiting[execution]

    def ended(self, execution: str, ended: Ended) -> None:
        """An execution ended: whoever waits for it hears of it."""
        with self._lock:
            for waiter in self._waiting.get(execution, ()):
                waiter.ended = ended
                waiter.happened.set()

    def _start(
        self,
        arn: str,
        name: str,
        machine: sqlite3.Row,
        revision: sqlite3.Row,
        text: str,
        value: Any,
        now: float,
        *,
        express: bool = False,
        secret: bytes | None = None,
        version: str | None = None,
        alias: str | None = None,
    ) -> Start:
        self.journal.follow(arn, machine["name"], revision["logging"])
        return Start(
            execution=arn,
            name=name,
            machine=machines.compiled(revision["definition"]),
            machine_arn=machine["arn"],
            machine_name=machine["name"],
            role=revision["role"],
            input=value,
            secret=secret or secrets.token_bytes(32),
            started_at=now,
            input_text=text,
            express=express,
            version_arn=version,
            alias_arn=alias,
            region=self.endpoint.region,
        )

    def snapshots(self) -> list[Snapshot]:
        """Every execution that was running when the endpoint ended."""
        rows = self.store.read(
            "SELECT * FROM states_executions INDEXED BY states_executions_open"
            " WHERE status = 'RUNNING' AND map_run IS NULL ORDER BY n"
        )
        return [self._snapshot(row) for row in rows]

    def _snapshot(self, row: sqlite3.Row) -> Snapshot:
        self.records.remember(row["arn"], row["n"])
        self.mocks.restore(row["arn"], row["n"])
        revision = self.machines.revision(row["machine"], row["revision"])
        self.journal.follow(row["arn"], row["machine"].rpartition(":")[2], revision["logging"], row["redrives"])
        start = Start(
            execution=row["arn"],
            name=row["name"],
            machine=machines.compiled(revision["definition"]),
            machine_arn=row["machine"],
            machine_name=row["machine"].rpartition(":")[2],
            role=row["role"],
            input=json.loads(row["input"]),
            secret=row["secret"],
            started_at=row["started"],
            input_text=row["input"],
            version_arn=row["version"],
            alias_arn=row["alias"],
            redrive_count=row["redrives"],
            redriven_at=row["redriven"],
            region=self.endpoint.region,
        )
        last, at = self.records.last_event(row["n"])
        over = self.records.over(row["n"])
        return Snapshot(
            start=start,
            last_event=last,
            last_at=at,
            frames=self.records.frames(row["n"]),
            items=self.records.items(row["n"]),
            over=over,
            map_runs=self.records.family.progress(row["n"], over),
        )

    # Redriving ------------------------------------------------------------------------------------------------------

    def redrive(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Go on with an execution that did not succeed, where it stopped. Its row says RUNNING before the engine does
        anything, so that a redrive which was answered outlives a kill."""
        arn, token = params["executionArn"], params.get("clientToken")
        n, now = self.row(arn)["n"], self.endpoint.clock.now()
        with self.store.write() as db:
            seen = db.execute(
                "SELECT token, at FROM states_redrives WHERE n = ? ORDER BY count DESC LIMIT ?", (n, REDRIVE_TOKENS)
            ).fetchall()
            for earlier in seen:
                if token is not None and earlier["token"] == token and now - earlier["at"] < REDRIVE_TOKEN_SECONDS:
                    return {"redriveDate": earlier["at"]}
            row = db.execute("SELECT * FROM states_executions WHERE n = ?", (n,)).fetchone()
            reason = self._not_redrivable(row)
            if reason is not None:
                raise AwsError("ExecutionNotRedrivable", reason)
            db.execute("INSERT INTO states_redrives VALUES (?, ?, ?, ?)", (n, row["redrives"] + 1, token, now))
            db.execute(
                "UPDATE states_executions SET status = 'RUNNING', stopped = NULL, error = NULL, cause = NULL,"
                " redrives = redrives + 1, redriven = ? WHERE n = ?",
                (now, n),
            )
        self.engine.redrive(self._snapshot(self.row(arn)))
        if self.endpoint.announcer is not None:
            announcements.began(self.endpoint, self, arn)
        return {"redriveDate": now}

    def _not_redrivable(self, row: sqlite3.Row) -> str | None:
        """Why an execution cannot be redriven, in AWS's words; None: it can."""
        if row["map_run"] is not None:
            return "Execution is a child workflow execution of a Map Run and is redriven by it"
        if row["status"] in ("RUNNING", "SUCCEEDED"):
            return f"Execution is {row['status']} and cannot be redriven"
        there = "SELECT 1 FROM states_machines WHERE arn = ?1 AND arn NOT IN (SELECT arn FROM states_deleting)"
        if self.store.one(there, (row["machine"].partition("/")[0],)) is None:
            return "State machine is in DELETING status"
        if self.endpoint.clock.now() - row["stopped"] > REDRIVABLE_SECONDS:
            return "Execution redrivable period exceeded"
        if self.records.last_event(row["n"])[0] >= LAST_EVENT:
            return "Execution history event limit exceeded"
        if not self.records.resumable(row["n"]):
            return "Execution was started before the launch of RedriveExecution"
        return None

    def _redrivable(self, row: sqlite3.Row) -> dict[str, str]:
        reason = self._not_redrivable(row)
        if reason is None:
            return {"redriveStatus": "REDRIVABLE"}
        return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}

    # Looking and stopping -------------------------------------------------------------------------------------------

    def row(self, arn: str, *, express: bool = False) -> sqlite3.Row:
        """An execution's row. Raises ExecutionDoesNotExist, InvalidArn: for Express executions, too. `express`: but for
        those that a Map Run started."""
        arns.check_execution(arn)
        if "/" in arn:  # a child of a Map Run: its row comes with its first events
            self.store.flush()
        if arns.is_express(arn) and not express:
            raise arns.not_for_express()
        row = self.store.one("SELECT * FROM states_executions WHERE arn = ? AND status != 'PENDING'", (arn,))
        if row is None:
            if arns.is_express(arn):
                raise arns.not_for_express()
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return row

    def stop(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["executionArn"]
        row = self.row(arn)
        if row["status"] != "RUNNING":
            return {"stopDate": row["stopped"]}
        with self._waiter(arn) as over:
            self.engine.stop(arn, params.get("error"), params.get("cause"))
            over.happened.wait(5)
        row = self.row(arn)
        return {"stopDate": row["stopped"] or self.endpoint.clock.now()}

    def abort(self, machine: str) -> None:
        """Stop every running execution of a machine that is being deleted."""
        running = "SELECT arn FROM states_executions WHERE status = 'RUNNING' AND machine = ?"
        for row in self.store.read(running, (machine,)):
            self.engine.stop(row["arn"], None, None)

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.row(params["executionArn"], express=True)
        if row["status"] == "RUNNING":
            self.looked()
        answer: dict[str, Any] = {
            "executionArn": row["arn"],
            "stateMachineArn": row["machine"],
            "name": row["name"],
            "status": row["status"],
            "startDate": row["started"],
            "redriveCount": row["redrives"],
            **(self._redrivable(row) if row["map_run"] is None else self.map_runs.described(row)),
        }
        optional = {
            "stopDate": row["stopped"],
            "error": row["error"],
            "cause": row["cause"],
            "traceHeader": row["trace"],
            "stateMachineVersionArn": row["version"],
            "stateMachineAliasArn": row["alias"],
            "redriveDate": row["redriven"],
        }
        answer |= {key: value for key, value in optional.items() if value is not None}
        included = params.get("includedData") != "METADATA_ONLY"
        for key in ("input", "output"):
            if row[key] is not None:
                answer |= {f"{key}Details": {"included": included}} | ({key: row[key]} if included else {})
        return answer

    def describe_machine(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.row(params["executionArn"])
        machine, _, label = row["machine"].partition("/")
        revision = self.machines.revision(machine, row["revision"])
        shown = {
            "stateMachineArn": row["machine"],
            "name": machine.rpartition(":")[2],
            "updateDate": revision["created"],
            **machines.described(revision, bare=params.get("includedData") == "METADATA_ONLY"),
        }
        if row["map_run"] is not None:
            shown |= {"label": label, "mapRunArn": self.map_runs.of(row)["arn"]}
        return shown | self.machines.revision_id(machine, row["revision"])

    def list_executions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        machine, run = params.get("stateMachineArn"), params.get("mapRunArn")
        if (machine is None) == (run is None):
            raise AwsError("ValidationException", "Must provide a StateMachine ARN or MapRun ARN")
        if run is not None or machine is None:
            return self.map_runs.children(params)
        given = arns.read_machine(machine)
        if self.machines.row(given.base)["type"] == "EXPRESS":
            raise _wrong_type()
        where, values = ["machine = ?"], [given.base]
        if given.qualifier is not None:
            where.append("version = ?" if given.version is not None else "alias = ?")
            values.append(machine)
        status = params.get("statusFilter")
        if status not in (None, "RUNNING"):
            where.append("status = ?")
            values.append(status)
        if params.get("redriveFilter"):
            where.append("redrives > 0" if params["redriveFilter"] == "REDRIVEN" else "redrives = 0")
        kind = f"executions {machine}"
        before = paging.position(kind, params.get("nextToken"))
        if before is not None:
            where.append(f"{_LAST_SEEN} <= ? AND ({_LAST_SEEN}, n) < (?, ?)")  # the index takes the first
            values += [before[0], *before]
        limit = paging.size(params.get("maxResults"))
        halves = [  # each has an index, so that a row is in one of them only: both are read in their order, and merged
            f"SELECT *, {_LAST_SEEN} AS seen FROM states_executions WHERE status {half} AND {' AND '.join(where)}"
            for half in _HALVES
            if status is None or (status == "RUNNING") == (half == _HALVES[0])
        ]
        rows = self.store.read(
            f"{' UNION ALL '.join(halves)} ORDER BY seen DESC, n DESC LIMIT ?", (*values * len(halves), limit + 1)
        )
        more = [rows[limit - 1]["seen"], rows[limit - 1]["n"]] if len(rows) > limit else None
        return paging.page("executions", [_listed(row) for row in rows[:limit]], kind, more)

    def history(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["executionArn"]
        row = self.row(arn)
        if row["status"] == "RUNNING":
            self._await_first_event(row["n"])
        self.store.flush()
        limit = paging.size(params.get("maxResults"))
        reverse = bool(params.get("reverseOrder"))
        kind = f"history {row['n']} {reverse}"
        after = paging.position(kind, params.get("nextToken")) or 0
        found = self.records.events(row["n"], after=after, limit=limit + 1, reverse=reverse)
        included = params.get("includeExecutionData", True)
        answer: dict[str, Any] = {"events": [to_aws(e, include_execution_data=included) for e in found[:limit]]}
        if len(found) > limit:
            answer["nextToken"] = paging.token(kind, found[limit - 1].id)
        return answer

    def _await_first_event(self, number: int) -> None:
        """A moment for an execution that was started just now: starts are gathered, and a history without
        ExecutionStarted is none."""
        self.looked()
        deadline = time.monotonic() + FIRST_EVENT_SECONDS
        while not self.records.events(number, after=0, limit=1, reverse=False) and time.monotonic() < deadline:
            time.sleep(0.002)
            self.store.flush()


def _input(text: str) -> Any:
    """The value of an execution's input. Raises InvalidExecutionInput."""
    if len(text.encode()) > payloads.MOST_BYTES:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have length less "
            f"than or equal to {payloads.MOST_BYTES}",
        )
    try:
        return payloads.read(text)
    except payloads.NotJson as error:
        said = f"com.fasterxml.jackson.core.JsonParseException: {error}"
        raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{said}'") from None


def _wrong_type() -> AwsError:
    return AwsError("StateMachineTypeNotSupported", "This operation is not supported by this type of state machine")


def _listed(row: sqlite3.Row) -> dict[str, Any]:
    shown = {
        "executionArn": row["arn"],
        "stateMachineArn": row["machine"],
        "name": row["name"],
        "status": row["status"],
        "startDate": row["started"],
        "redriveCount": row["redrives"],
    }
    optional = {
        "stopDate": row["stopped"],
        "stateMachineVersionArn": row["version"],
        "stateMachineAliasArn": row["alias"],
        "redriveDate": row["redriven"],
    }
    return shown | {key: value for key, value in optional.items() if value is not None}
