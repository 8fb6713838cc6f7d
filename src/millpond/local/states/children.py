"""Map Runs and their child executions in SQLite: what the engine's Store door asks of them, and their counts.

A child is a row of `states_executions` like any other, with the Map Run, its index in it and its items besides; its
events are rows like any other, too. So DescribeMapRun counts rows and cannot be wrong. Express children have a row (AWS
describes them, too) and no events. Numbers of children are negative, for they are given here: rows are queued, and
nobody waits for SQLite to number them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from millpond.engine.doors import Batch, Birth, Child, ItemRow, MapRunRow, Progress
from millpond.local.store import StoreUnavailable

if TYPE_CHECKING:
    import sqlite3

    from millpond.local.states.records import Records
    from millpond.local.store import Statement

SCHEMA = """
CREATE TABLE IF NOT EXISTS states_map_runs (
    id INTEGER PRIMARY KEY, arn TEXT NOT NULL UNIQUE, n INTEGER NOT NULL, parent TEXT NOT NULL, fork INTEGER NOT NULL,
    label TEXT NOT NULL, express INTEGER NOT NULL, status TEXT NOT NULL, started REAL NOT NULL, stopped REAL,
    items INTEGER NOT NULL, size INTEGER NOT NULL, most INTEGER NOT NULL, count INTEGER NOT NULL, percent REAL NOT NULL,
    redrives INTEGER NOT NULL, redriven REAL, written INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS states_map_runs_of ON states_map_runs (n);
"""
COLUMNS = ("map_run INTEGER", "idx INTEGER", "first INTEGER", "items INTEGER", "round INTEGER")
"""What children have besides, in states_executions; added to a store that was made without."""

INDEX = "CREATE INDEX IF NOT EXISTS states_children ON states_executions (map_run, idx) WHERE map_run IS NOT NULL"

LOWEST = -(1 << 60)
PAGE = 500
BACKLOG = 4_000
"""Statements of children that may wait to be committed: more, and the engine waits for the disk."""

_PUT_MAP_RUN = (
    "INSERT INTO states_map_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (arn) DO"
    " UPDATE SET status = excluded.status, stopped = excluded.stopped, items = excluded.items, size = excluded.size,"
    " most = excluded.most, count = excluded.count, percent = excluded.percent, redrives = excluded.redrives,"
    " redriven = excluded.redriven, written = excluded.written"
)
_PUT_CHILD = (
    "INSERT INTO states_executions (n, arn, machine, name, status, started, stopped, input, output, error, cause,"
    " revision, role, secret, redrives, redriven, map_run, idx, first, items, round)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_AGAIN = (
    "UPDATE states_executions SET status = ?, started = ?, stopped = ?, output = ?, error = ?, cause = ?, redrives = ?,"
    " redriven = ?, round = ? WHERE n = ?"
)

Counts = dict[str, tuple[int, int]]
"""By status: executions, and items in them."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A Map Run's row id, and its parent's revision."""

    id: int
    revision: str


class Children:
    """See the module's docstring."""

    def __init__(self, records: Records) -> None:
        self.records, self.store = records, records.store
        self._known: dict[str, _Known] = {}
        self._next_run = self._next_child = 0
        self._waiting = 0
        self._over: list[tuple[str, str]] = []  # Map Runs that have ended, and how, since all was on the disk
        self.finished: Callable[[str], None] = lambda map_run: None  # hears of Map Runs that have succeeded

    def start(self) -> None:
        """Bring an older store's table up to date, and see which numbers are taken."""
        with self.store.write() as db:
            there = {row["name"] for row in db.execute("PRAGMA table_info(states_executions)")}
            for column in COLUMNS:
                if column.split()[0] not in there:
                    db.execute(f"ALTER TABLE states_executions ADD COLUMN {column}")
            db.execute(INDEX)
            run = db.execute("SELECT max(id) FROM states_map_runs").fetchone()[0]
            child = db.execute("SELECT max(n) FROM states_executions WHERE n < 0").fetchone()[0]
        self._next_run = (run or 0) + 1
        self._next_child = (child or LOWEST) + 1

    # Writing --------------------------------------------------------------------------------------------------------

    def number(self) -> int:
        """A fresh child's number."""
        self._next_child += 1
        return self._next_child - 1

    def map_runs(self, n: int, batch: Batch) -> list[Statement]:
        """The Map Runs that a batch tells of, and its pending children."""
        statements: list[Statement] = []
        for row in batch.map_runs or ():
            known = self._map_run(row.arn, batch.execution, batch.birth)
            values = (known.id, row.arn, n, batch.execution, *row[1:4], *row[4:])
            statements.append((_PUT_MAP_RUN, values))
            if row.status != "RUNNING":
                self._over.append((row.arn, row.status))
        statements += [
            (_PUT_CHILD, self._values(self.number(), execution, birth, "PENDING"))
            for execution, birth in batch.births or ()
        ]
        return statements

    def child(self, n: int, batch: Batch) -> tuple[list[Statement], bool]:
        """A child's row for a batch that bears it (its end included, where that is in the same batch), and whether the
        store knew it before."""
        birth, ended = batch.birth, batch.ended
        assert birth is not None
        end = (ended.status, ended.at, ended.output, ended.error, ended.cause) if ended is not None else None
        if birth.known:
            status, stopped, output, error, cause = end or ("RUNNING", None, None, None, None)
            how = (status, birth.started, stopped, output, error, cause, birth.redrives, birth.redriven, birth.round, n)
            return [(_AGAIN, how)], True
        statements: list[Statement] = []
        if birth.replaces is not None:
            statements.append(("DELETE FROM states_executions WHERE arn = ?", (birth.replaces,)))
        statements.append((_PUT_CHILD, self._values(n, batch.execution, birth, "RUNNING", end)))
        return statements, False

    def throttle(self, added: int) -> None:
        """Wait for the disk where too much is queued: a Map Run makes rows faster than SQLite takes them."""
        self._waiting += added
        if self._waiting > BACKLOG:
            self._waiting = 0
            self.settle()

    def _values(self, n: int, execution: str, birth: Birth, status: str, end: tuple[Any, ...] | None = None) -> Any:
        known = self._map_run(birth.map_run, birth.parent)
        status, stopped, output, error, cause = end or (status, None, None, None, None)
        return (
            *(n, execution, birth.machine_arn, birth.name, status, birth.started, stopped, birth.input, output, error),
            *(cause, known.revision, birth.role, birth.secret, birth.redrives, birth.redriven, known.id, birth.index),
            *(birth.first, birth.items, birth.round),
        )

    def _map_run(self, arn: str, parent: str, birth: Birth | None = None) -> _Known:
        """`birth`: the parent's own, where it has no row yet."""
        known = self._known.get(arn)
        if known is None:
            self.settle()
            row = self.store.one("SELECT id FROM states_map_runs WHERE arn = ?", (arn,))
            if birth is not None:
                revision = self._map_run(birth.map_run, birth.parent).revision
            else:
                owner = self.store.one("SELECT revision FROM states_executions WHERE arn = ?", (parent,))
                assert owner is not None, parent
                revision = owner["revision"]
            if row is None:
                self._next_run += 1
            known = self._known[arn] = _Known(row["id"] if row else self._next_run - 1, revision)
        return known

    def durable(self) -> None:
        """All that was queued is on the disk."""
        over, self._over = self._over, []
        for arn, status in over:
            self._known.pop(arn, None)
            if status == "SUCCEEDED":
                self.finished(arn)

    def settle(self) -> None:
        """Have all that was queued committed: what is read next includes it. Waits while the disk refuses."""
        while True:
            try:
                self.store.flush()
                return
            except StoreUnavailable:
                time.sleep(0.5)

    # Reading --------------------------------------------------------------------------------------------------------

    def one(self, map_run: str, index: int) -> Child:
        """`Store.child`."""
        self.settle()
        row = self.store.one(
            "SELECT e.*, m.arn AS run, m.parent, m.express FROM states_executions e JOIN states_map_runs m ON"
            " m.id = e.map_run WHERE m.arn = ? AND e.idx = ?",
            (map_run, index),
        )
        if row is None:
            raise KeyError(f"{map_run} has no child {index}")
        n = row["n"]
        if row["express"]:
            return _child(row)
        self.records.remember(row["arn"], n)
        last, at = self.records.last_event(n)
        frames, items = self.records.frames(n), self.records.items(n)
        return _child(row, last=last, at=at, frames=frames, items=items, runs=self.progress(n, self.records.over(n)))

    def all(self, map_run: str) -> Iterator[Child]:
        """`Store.children`: a page at a time."""
        self.settle()
        index = -1
        while True:
            rows = self.store.read(
                "SELECT e.*, m.arn AS run, m.parent, m.express FROM states_map_runs m JOIN states_executions e ON"
                " e.map_run = m.id WHERE m.arn = ? AND e.map_run IS NOT NULL AND e.idx > ? ORDER BY e.idx LIMIT ?",
                (map_run, index, PAGE),
            )
            yield from (_child(row) for row in rows)
            if len(rows) < PAGE:
                return
            index = rows[-1]["idx"]

    def root(self, execution: str) -> str:
        """The execution that a client started, of it or of a child below it."""
        while "/" in execution:
            row = self.store.one(
                "SELECT m.parent FROM states_executions e JOIN states_map_runs m ON m.id = e.map_run WHERE e.arn = ?",
                (execution,),
            )
            if row is None:
                break
            execution = row["parent"]
        return execution

    def progress(self, n: int, over: bool) -> dict[int, Progress]:
        """How far the Map Runs of an execution are, by their keys; `over`: it is to be redriven."""
        rows = self.store.read("SELECT * FROM states_map_runs WHERE n = ? AND status != 'SUCCEEDED'", (n,))
        return {row["fork"]: self._progress(row, row["redrives"] + over) for row in rows}

    def _progress(self, row: sqlite3.Row, now: int) -> Progress:
        last = self.store.one(
            "SELECT idx, first, items FROM states_executions WHERE map_run = ? ORDER BY idx DESC LIMIT 1", (row["id"],)
        )
        unfinished = self.store.read(
            "SELECT idx FROM states_executions WHERE map_run = ? AND (status IN ('RUNNING', 'PENDING') OR"
            " (status != 'SUCCEEDED' AND round < ?)) ORDER BY idx",
            (row["id"], now),
        )
        failed = self.store.one(
            "SELECT count(*) AS executions, coalesce(sum(items), 0) AS items FROM states_executions WHERE map_run = ?"
            " AND status NOT IN ('RUNNING', 'PENDING', 'SUCCEEDED') AND round >= ?",
            (row["id"], now),
        )
        assert failed is not None
        return Progress(
            row=map_run_row(row),
            next=last["idx"] + 1 if last else 0,
            cursor=last["first"] + last["items"] if last else 0,
            unfinished=[each["idx"] for each in unfinished],
            failed=failed["executions"],
            failed_items=failed["items"],
        )

    def counts(self, row: sqlite3.Row) -> Counts:
        """A Map Run's children by status; those that wait for their redrive as PENDING_REDRIVE."""
        self.store.flush()
        found = self.store.read(
            f"SELECT {STATUS} AS status, count(*) AS executions, sum(e.items) AS items FROM states_executions e"
            " JOIN states_map_runs m ON m.id = e.map_run WHERE e.map_run = ? GROUP BY 1",
            (row["id"],),
        )
        return {each["status"]: (each["executions"], each["items"]) for each in found}


STATUS = (
    "CASE WHEN m.status = 'RUNNING' AND e.round < m.redrives AND e.status IN ('FAILED', 'TIMED_OUT', 'ABORTED')"
    " THEN 'PENDING_REDRIVE' ELSE e.status END"
)
"""The status that AWS shows of a child `e` of the Map Run `m`."""


def map_run_row(row: sqlite3.Row) -> MapRunRow:
    """A Map Run as the engine wants it."""
    return MapRunRow(
        *(row["arn"], row["fork"], row["label"], bool(row["express"]), row["status"], row["started"], row["stopped"]),
        *(row["items"], row["size"], row["most"], row["count"], row["percent"], row["redrives"], row["redriven"]),
        bool(row["written"]),
    )


def _child(
    row: sqlite3.Row,
    *,
    last: int = 0,
    at: float = 0.0,
    frames: Any = (),
    items: list[ItemRow] | tuple[()] = (),
    runs: dict[int, Progress] | None = None,
) -> Child:
    birth = Birth(
        map_run=row["run"],
        parent=row["parent"],
        index=row["idx"],
        first=row["first"],
        items=row["items"],
        name=row["name"],
        machine_arn=row["machine"],
        role=row["role"],
        secret=row["secret"],
        input=row["input"],
        started=row["started"],
        express=bool(row["express"]),
        round=row["round"],
        redrives=row["redrives"],
        redriven=row["redriven"],
        known=True,
    )
    return Child(
        execution=row["arn"],
        birth=birth,
        status=cast("Any", row["status"]),
        stopped=row["stopped"],
        output=row["output"],
        error=row["error"],
        cause=row["cause"],
        last_event=last,
        last_at=at,
        frames=frames,
        items=items,
        map_runs=runs or {},
    )
