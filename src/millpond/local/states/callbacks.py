"""Who ends a task from outside: SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat, and the workers of activities.

A token is genuine when the execution it names minted it (InvalidToken otherwise), and open while the engine waits for
it (TaskTimedOut afterwards). The outcome is recorded before the caller hears that it was taken: the first one counts.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millpond.engine import is_genuine, read_token
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, configuration, paging, payloads
from millpond.local.states import tags as tagging

if TYPE_CHECKING:
    from millpond.engine import Engine, TaskCall
    from millpond.local.states.records import Records

POLL_SECONDS = 59.0  # "60 seconds at most"; the clients of every SDK hang up after 60 by default
PATIENT_POLLERS = 64
"""Workers that wait so long at once; more of them wait a second, for each holds a thread of the endpoint."""

LOOK_SECONDS = 1.0  # after which a poll looks whether its worker is still there
MOST_POLLERS = 1000
MOST_ACTIVITIES = 100_000


@dataclass(frozen=True, slots=True)
class _Offered:
    token: str
    call: TaskCall


class Callbacks:
    """See the module's docstring. `engine` is set before the first operation; `after_call` is the worker's."""

    def __init__(self, endpoint: Endpoint, records: Records) -> None:
        self.endpoint, self.store, self.records = endpoint, endpoint.store, records
        self.engine: Engine
        self.after_call: Callable[[str, Callable[[], None]], None] = lambda token, act: act()
        self._offered: dict[str, deque[_Offered]] = {}
        self._polling: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closing = False

    def operations(self) -> Mapping[str, Operation]:
        return {
            "SendTaskSuccess": self.succeed,
            "SendTaskFailure": self.fail,
            "SendTaskHeartbeat": self.beat,
            "CreateActivity": self.create,
            "DescribeActivity": self.describe,
            "ListActivities": self.list_activities,
            "DeleteActivity": self.delete,
            "GetActivityTask": self.get_task,
        }

    # Tokens ---------------------------------------------------------------------------------------------------------

    def _open(self, token: str) -> TaskCall:
        """The task that waits for a token. Raises InvalidToken, TaskTimedOut."""
        execution = read_token(token)
        row = execution and self.store.one("SELECT secret FROM states_executions WHERE arn = ?", (execution,))
        if not row or not is_genuine(token, row["secret"]):
            raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
        call = self.engine.pending(token)
        if call is None:
            raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
        # A job's token counts, too: "optionally Task states using the job run pattern" (API Reference,
        # SendTaskSuccess).
        if call.kind != "activity" and call.pattern == "request":
            raise AwsError("InvalidToken", "Invalid Token: 'Invalid token'")
        return call

    def _settle(self, token: str, call: TaskCall, outcome: dict[str, Any]) -> None:
        if not self.records.settle(token, call.execution, outcome):
            raise AwsError("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")

    def succeed(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        token, text = params["taskToken"], params["output"]
        try:
            output = payloads.read(text)
        except payloads.NotJson as error:
            raise AwsError("InvalidOutput", f"Invalid Output: '{error}'") from None
        if len(text.encode()) > payloads.MOST_BYTES:
            raise AwsError("InvalidOutput", f"Invalid Output: 'longer than {payloads.MOST_BYTES} bytes'")
        self._settle(token, self._open(token), {"output": output})
        self.after_call(token, lambda: self.engine.task_succeeded(token, output))
        return {}

    def fail(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        token, error, cause = params["taskToken"], params.get("error"), params.get("cause")
        self._settle(token, self._open(token), {"error": error, "cause": cause})
        self.after_call(token, lambda: self.engine.task_failed(token, error, cause))
        return {}

    def beat(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self._open(params["taskToken"])
        self.engine.task_heartbeat(params["taskToken"])
        return {}

    # Activities -----------------------------------------------------------------------------------------------------

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Idempotent by name; the encryption of an activity cannot be changed."""
        name = arns.check_name(params["name"])
        arn, now = self.endpoint.arn("states", f"activity:{name}"), self.endpoint.clock.now()
        tags = tagging.read(params.get("tags"), arn)
        wanted = configuration.encryption(self.endpoint, params.get("encryptionConfiguration"))
        with self.store.write() as db:
            row = db.execute("SELECT created FROM states_activities WHERE arn = ?", (arn,)).fetchone()
            if row is not None:
                if wanted is not None and wanted != self._encryption(arn):
                    raise AwsError("ActivityAlreadyExists", f"Activity Already Exists: '{arn}'")
                return {"activityArn": arn, "creationDate": row["created"]}
            (there,) = db.execute("SELECT count(*) FROM states_activities").fetchone()
            if there >= MOST_ACTIVITIES:
                raise AwsError("ActivityLimitExceeded", f"Activity Limit Exceeded: '{MOST_ACTIVITIES} activities'")
            db.execute("INSERT INTO states_activities VALUES (?, ?, ?, ?)", (arn, name, now, json.dumps(tags)))
            if wanted is not None:
                db.execute("INSERT OR REPLACE INTO states_activity_keys VALUES (?, ?)", (arn, json.dumps(wanted)))
        return {"activityArn": arn, "creationDate": now}

    def _encryption(self, arn: str) -> dict[str, Any]:
        row = self.store.one("SELECT encryption FROM states_activity_keys WHERE arn = ?", (arn,))
        found: dict[str, Any] = json.loads(row["encryption"]) if row is not None else configuration.KEY_OWNED
        return found

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = arns.check_activity(params["activityArn"])
        row = self.store.one("SELECT * FROM states_activities WHERE arn = ?", (arn,))
        if row is None:
            raise AwsError("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        return {
            "activityArn": arn,
            "name": row["name"],
            "creationDate": row["created"],
            "encryptionConfiguration": self._encryption(arn),
        }

    def list_activities(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        after = paging.position("activities", params.get("nextToken")) or ""
        limit = paging.size(params.get("maxResults"))
        rows = self.store.read(
            "SELECT * FROM states_activities WHERE name > ? ORDER BY name LIMIT ?", (after, limit + 1)
        )
        shown = [
            {"activityArn": row["arn"], "name": row["name"], "creationDate": row["created"]} for row in rows[:limit]
        ]
        more = rows[limit - 1]["name"] if len(rows) > limit else None
        return paging.page("activities", shown, "activities", more)

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = arns.check_activity(params["activityArn"])
        with self.store.write() as db:
            db.execute("DELETE FROM states_activities WHERE arn = ?", (arn,))
            db.execute("DELETE FROM states_activity_keys WHERE arn = ?", (arn,))
        return {}

    def offer(self, call: TaskCall, token: str) -> None:
        """A task for an activity's workers."""
        if self.store.one("SELECT 1 FROM states_activities WHERE arn = ?", (call.resource,)) is None:
            cause = f"The activity {call.resource} does not exist."
            self.engine.task_failed(token, "ActivityDoesNotExist", cause, phase="schedule")
            return
        with self._changed:
            queue = self._offered.setdefault(call.resource, deque())
            while queue and self.engine.pending(queue[0].token) is None:  # timed out, and nobody polls
                queue.popleft()
            queue.append(_Offered(token, call))
            self._changed.notify_all()

    def get_task(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn, worker = params["activityArn"], params.get("workerName")
        self.describe({"activityArn": arn}, call)
        offered = self._take(arn, call.gone)
        if offered is None:
            return {}
        try:
            self.records.hold(offered.token, offered.call.execution, {"worker": worker})
        except BaseException:  # nobody has it yet
            with self._changed:
                self._offered.setdefault(arn, deque()).appendleft(offered)
                self._changed.notify_all()
            raise
        self.engine.task_started(offered.token, worker)
        text = json.dumps(offered.call.arguments, ensure_ascii=False, separators=(",", ":"))
        return {"taskToken": offered.token, "input": text}

    def _take(self, arn: str, gone: Callable[[], bool]) -> _Offered | None:
        with self._changed:
            if self._polling[arn] >= MOST_POLLERS:
                raise AwsError("ActivityWorkerLimitExceeded", f"Activity Worker Limit Exceeded: '{arn}'")
            self._polling[arn] += 1
            patient = self._polling.total() <= PATIENT_POLLERS
            try:
                return self._next(arn, time.monotonic() + (POLL_SECONDS if patient else 1.0), gone)
            finally:
                self._polling[arn] -= 1

    def _next(self, arn: str, deadline: float, gone: Callable[[], bool]) -> _Offered | None:
        """The next open task of an activity, None when there is none until the deadline. Called with the lock. A
        worker that has hung up takes none: nobody would hear of it before it times out."""
        while not self._closing and not gone():
            queue = self._offered.get(arn, deque())
            while queue:
                offered = queue.popleft()
                if self.engine.pending(offered.token) is not None:
                    return offered
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._changed.wait(min(left, LOOK_SECONDS))
        return None

    def close(self) -> None:
        """Let the waiting workers go."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
