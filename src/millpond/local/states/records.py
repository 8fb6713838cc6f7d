"""What the States service keeps in SQLite, and the engine's Store door over it.

Events, frames and items arrive in batches, one an execution and slice of work, and join the store's group commit; a
barrier precedes each task dispatch and follows each terminal state. A task's row is written before its call is made
(`intent`), when what it started is known (`handle`) and when it ended (`outcome`), so that after kill -9 a finished
task is reported once more instead of run again, and running work is found again.

Executions are keyed by a number inside the database: their ARNs are long and there are many events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from millpond.asl.paths import compact
from millpond.engine.doors import Batch, Child, Event, FrameRow, ItemRow
from millpond.engine.history import ENDS
from millpond.local.states.children import SCHEMA as FAMILY
from millpond.local.states.children import Children

if TYPE_CHECKING:
    import sqlite3

    from millpond.local.store import Statement, Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS states_machines (
    arn TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, revision TEXT NOT NULL, first TEXT NOT NULL,
    created REAL NOT NULL, updated REAL, tags TEXT NOT NULL, next_version INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS states_revisions (
    machine TEXT NOT NULL, revision TEXT NOT NULL, definition TEXT NOT NULL, role TEXT NOT NULL, logging TEXT,
    tracing TEXT, encryption TEXT, created REAL NOT NULL, PRIMARY KEY (machine, revision)
);
CREATE TABLE IF NOT EXISTS states_versions (
    arn TEXT PRIMARY KEY, machine TEXT NOT NULL, number INTEGER NOT NULL, revision TEXT NOT NULL, description TEXT,
    created REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS states_aliases (
    arn TEXT PRIMARY KEY, machine TEXT NOT NULL, name TEXT NOT NULL, description TEXT, routing TEXT NOT NULL,
    created REAL NOT NULL, updated REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS states_deleting (arn TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS states_executions (
    n INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, machine TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
    started REAL NOT NULL, stopped REAL, input TEXT NOT NULL, output TEXT, error TEXT, cause TEXT,
    revision TEXT NOT NULL, role TEXT NOT NULL, version TEXT, alias TEXT, trace TEXT, secret BLOB NOT NULL,
    redrives INTEGER NOT NULL DEFAULT 0, redriven REAL
);
DROP INDEX IF EXISTS states_executions_of;
DROP INDEX IF EXISTS states_executions_seen;
DROP INDEX IF EXISTS states_executions_running;
CREATE INDEX IF NOT EXISTS states_executions_open
    ON states_executions (machine, coalesce(stopped, redriven, started), n) WHERE status = 'RUNNING';
CREATE INDEX IF NOT EXISTS states_executions_over
    ON states_executions (machine, coalesce(stopped, redriven, started), n) WHERE status != 'RUNNING';
CREATE TABLE IF NOT EXISTS states_events (
    n INTEGER NOT NULL, id INTEGER NOT NULL, previous INTEGER NOT NULL, at REAL NOT NULL, type TEXT NOT NULL,
    name TEXT, payload TEXT, more TEXT, PRIMARY KEY (n, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states_frames (
    n INTEGER NOT NULL, key INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (n, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states_items (
    n INTEGER NOT NULL, fork INTEGER NOT NULL, idx INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (n, fork, idx)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states_tasks (
    token TEXT PRIMARY KEY, n INTEGER NOT NULL, intent REAL, handle TEXT, outcome TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS states_tasks_of ON states_tasks (n);
CREATE TABLE IF NOT EXISTS states_redrives (
    n INTEGER NOT NULL, count INTEGER NOT NULL, token TEXT, at REAL NOT NULL, PRIMARY KEY (n, count)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states_activities (
    arn TEXT PRIMARY KEY, name TEXT NOT NULL, created REAL NOT NULL, tags TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS states_activity_keys (arn TEXT PRIMARY KEY, encryption TEXT NOT NULL);
"""
SCHEMA += FAMILY


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What is known of a task: `intent` is when its call was about to be made."""

    intent: float | None
    handle: Any
    outcome: Any


class Records:
    """The engine's Store door, and the task rows. `logged` sees every batch; Express ones go nowhere else."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.logged: Callable[[Batch], None] = lambda batch: None
        self._numbers: dict[str, int] = {}
        self._bare: set[int] = set()  # new executions of which no frame is stored yet, and so no item and no task
        self._express: set[str] = set()  # Express children of Map Runs: they have a row, and nothing else
        self.family = Children(self)

    def number(self, execution: str) -> int | None:
        """The number of an execution's ARN, None when there is no such execution."""
        known = self._numbers.get(execution)
        if known is None:
            row = self.store.one("SELECT n FROM states_executions WHERE arn = ?", (execution,))
            if row is None:
                return None
            known = self._numbers[execution] = int(row["n"])
        return known

    def remember(self, execution: str, number: int, *, new: bool = False) -> None:
        """An execution's number, so that its batches need not look it up. `new`: nothing else is stored of it."""
        self._numbers[execution] = number
        if new:
            self._bare.add(number)

    # The engine's door ----------------------------------------------------------------------------------------------

    def append(self, batch: Batch) -> None:
        """Queue one batch. Its statements are committed together."""
        if batch.birth is not None:
            self._queue_child(batch)
        elif not batch.express:
            self._queue(batch)
        elif batch.execution in self._express:
            self._queue(replace(batch, events=[]))
        try:
            self.logged(batch)
        except Exception:  # best effort, as on AWS: the batch is in, and must not come a second time
            log.exception("the log of %s", batch.execution)

    def _queue(self, batch: Batch) -> None:
        n = self.number(batch.execution)
        assert n is not None, batch.execution
        statements = self._statements(n, batch)
        if batch.map_runs is not None or batch.births is not None:
            statements += self.family.map_runs(n, batch)
        if batch.ended is not None:
            statements += self._ending(n, batch)
        self.store.queue(statements)
        if batch.births:
            self.family.throttle(len(batch.births))

    def _queue_child(self, batch: Batch) -> None:
        """The first batch of a child execution, in this run of it."""
        birth = batch.birth
        assert birth is not None
        n = self.number(batch.execution) if birth.known else self.family.number()
        assert n is not None, batch.execution
        self.remember(batch.execution, n)
        statements, known = self.family.child(n, batch)
        if not birth.express:
            statements += self._statements(n, batch)
        if batch.map_runs is not None or batch.births is not None:
            statements += self.family.map_runs(n, batch)
        if batch.ended is not None:
            statements += self._cleaning(n, batch) if known else []
            self._numbers.pop(batch.execution, None)
        elif birth.express:
            self._express.add(batch.execution)
        self.store.queue(statements)
        self.family.throttle(len(statements))

    def _statements(self, n: int, batch: Batch) -> list[Statement]:
        """Events and snapshot."""
        statements: list[Statement] = [
            (
                "INSERT INTO states_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (n, e.id, e.previous, e.at, e.type, e.name, e.payload, _more(e.more)),
            )
            for e in batch.events
        ]
        statements += [
            ("INSERT OR REPLACE INTO states_frames VALUES (?, ?, ?)", (n, row.key, row.text)) for row in batch.frames
        ]
        statements += [
            ("INSERT OR REPLACE INTO states_items VALUES (?, ?, ?, ?)", (n, row.fork, row.index, row.text))
            for row in batch.items
        ]
        if batch.frames or batch.items:
            self._bare.discard(n)
        for key in batch.gone:
            statements.append(("DELETE FROM states_frames WHERE n = ? AND key = ?", (n, key)))
            statements.append(("DELETE FROM states_items WHERE n = ? AND fork = ?", (n, key)))
        return statements

    def _ending(self, n: int, batch: Batch) -> list[Statement]:
        ended = batch.ended
        assert ended is not None
        self._numbers.pop(batch.execution, None)
        self._express.discard(batch.execution)
        return [
            (
                "UPDATE states_executions SET status = ?, stopped = ?, output = ?, error = ?, cause = ? WHERE n = ?",
                (ended.status, ended.at, ended.output, ended.error, ended.cause, n),
            ),
            *self._cleaning(n, batch),
        ]

    def _cleaning(self, n: int, batch: Batch) -> list[Statement]:
        """What an execution that has ended does not need any more; frames and items are for a redrive."""
        if n in self._bare:
            self._bare.discard(n)
            return []
        succeeded = batch.ended is not None and batch.ended.status == "SUCCEEDED"
        over = ("frames", "items", "tasks") if succeeded else ("tasks",)
        return [(f"DELETE FROM states_{table} WHERE n = ?", (n,)) for table in over]

    def child(self, map_run: str, index: int) -> Child:
        """One child of a Map Run."""
        return self.family.one(map_run, index)

    def children(self, map_run: str) -> Iterator[Child]:
        """All of them, in order."""
        return self.family.all(map_run)

    def barrier(self) -> None:
        """Return when everything appended is on the disk."""
        self.store.barrier()
        self.family.durable()

    # Reading back ---------------------------------------------------------------------------------------------------

    def frames(self, n: int) -> list[FrameRow]:
        rows = self.store.read("SELECT key, text FROM states_frames WHERE n = ? ORDER BY key", (n,))
        return [FrameRow(row["key"], row["text"]) for row in rows]

    def items(self, n: int) -> list[ItemRow]:
        rows = self.store.read("SELECT fork, idx, text FROM states_items WHERE n = ? ORDER BY fork, idx", (n,))
        return [ItemRow(row["fork"], row["idx"], row["text"]) for row in rows]

    def last_event(self, n: int) -> tuple[int, float]:
        """Id and time of the last stored event; (0, 0.0) when there is none."""
        row = self.store.one("SELECT id, at FROM states_events WHERE n = ? ORDER BY id DESC LIMIT 1", (n,))
        return (row["id"], row["at"]) if row else (0, 0.0)

    def over(self, n: int) -> bool:
        """Does its history end with an end? Then, where the execution is RUNNING, it has yet to be redriven."""
        row = self.store.one("SELECT type FROM states_events WHERE n = ? ORDER BY id DESC LIMIT 1", (n,))
        return row is not None and row["type"] in ENDS

    def resumable(self, n: int) -> bool:
        """Are the frames there that a redrive goes on from?"""
        return self.store.one("SELECT 1 FROM states_frames WHERE n = ? LIMIT 1", (n,)) is not None

    def events(self, n: int, *, after: int, limit: int, reverse: bool) -> list[Event]:
        """A page of events: those behind id `after` in the wanted direction; `after` 0 begins."""
        if reverse:
            sql = "SELECT * FROM states_events WHERE n = ? AND id < ? ORDER BY id DESC LIMIT ?"
            after = after or 1 << 60
        else:
            sql = "SELECT * FROM states_events WHERE n = ? AND id > ? ORDER BY id LIMIT ?"
        return [event(row) for row in self.store.read(sql, (n, after, limit))]

    # Tasks ----------------------------------------------------------------------------------------------------------

    def task(self, token: str) -> TaskRecord:
        """What is known of a task."""
        row = self.store.one("SELECT intent, handle, outcome FROM states_tasks WHERE token = ?", (token,))
        if row is None:
            return TaskRecord(None, None, None)
        return TaskRecord(row["intent"], _json(row["handle"]), _json(row["outcome"]))

    def intend(self, token: str, execution: str, at: float) -> None:
        """The call is about to be made."""
        self._upsert(token, execution, "intent", at)

    def hold(self, token: str, execution: str, handle: Any) -> None:
        """The call was made, and this finds its work again."""
        self._upsert(token, execution, "handle", json.dumps(handle))

    def settle(self, token: str, execution: str, outcome: Any) -> bool:
        """The task ended so. False when an outcome was recorded before (the first one counts), or it is all over."""
        n = self.number(execution)
        if n is None:
            return False
        with self.store.write() as db:
            row = db.execute("SELECT outcome FROM states_tasks WHERE token = ?", (token,)).fetchone()
            if row is not None and row["outcome"] is not None:
                return False
            self._put(db, token, n, "outcome", json.dumps(outcome))
        return True

    def _upsert(self, token: str, execution: str, column: str, value: Any) -> None:
        n = self.number(execution)
        if n is not None:  # an Express execution has no rows
            with self.store.write() as db:
                self._put(db, token, n, column, value)

    @staticmethod
    def _put(db: sqlite3.Connection, token: str, n: int, column: str, value: Any) -> None:
        db.execute(
            f"INSERT INTO states_tasks (token, n, {column}) VALUES (?, ?, ?) "
            f"ON CONFLICT (token) DO UPDATE SET {column} = excluded.{column}",
            (token, n, value),
        )


def event(row: sqlite3.Row) -> Event:
    """The stored form of an event, read back."""
    more = row["more"]
    return Event(
        row["id"],
        row["previous"],
        row["at"],
        row["type"],
        row["name"],
        row["payload"],
        json.loads(more) if more is not None else None,
    )


def _more(more: Mapping[str, Any] | None) -> str | None:
    return None if more is None else compact(cast("dict[str, Any]", more))


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
