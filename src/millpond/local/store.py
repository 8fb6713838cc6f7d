"""The endpoint's memory: one SQLite file (WAL), one writer, group commit.

Three ways to write, from safe to fast:

- `with store.write() as db:` one transaction, committed when the block ends;
- `store.queue(statements)` joins the group that is committed within 10 ms or 200 statements (the engine's events);
- `store.barrier()` returns when all that was queued is on the disk, also after a power loss; others may write then.

Ordinary commits survive kill -9 (WAL, synchronous=NORMAL); a power loss may take the last few unless a barrier
followed. Readers have a connection a thread and never wait for the writer. A second process is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import operator
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from millpond.errors import MillpondError

Statement = tuple[str, Sequence[Any]]

GROUP_SECONDS = 0.010
GROUP_SIZE = 200
LOG_PAGES = 4_000  # 16 MB of log before a checkpoint: each one writes the same few index pages again, and syncs

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class StoreLocked(MillpondError):
    """Another endpoint uses this state folder."""


class Store:
    """See the module's docstring. `path` is the database file; its folder must exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file = self._take_lock(path.with_suffix(".lock"))
        self._writing = threading.RLock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._db = self._open()
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        self._wal = self._open_wal()
        self._queue: list[Statement] = []
        self._queued = threading.Condition()
        self._closing = False
        self._failure: BaseException | None = None
        self._committer = threading.Thread(target=self._commit_groups, name="store", daemon=True)
        self._committer.start()

    @staticmethod
    def _take_lock(path: Path) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "?"
            os.close(handle)
            raise StoreLocked(
                f"the state folder {path.parent} is in use by the endpoint with pid {holder}",
                help="millpond status, or millpond down",
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        return handle

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys=ON")
        self._connections.append(connection)
        return connection

    def _open_wal(self) -> int:
        """A handle of the write-ahead log for `barrier`. One commit, fully synced, makes sure that the file is there
        and that its folder knows it; from then on only the file's data need syncing, as synchronous=FULL would."""
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA user_version=1")
        self._db.execute("PRAGMA synchronous=NORMAL")
        return os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)

    def install(self, schema: str) -> None:
        """Run a service's `CREATE TABLE IF NOT EXISTS` statements."""
        with self._writing:
            self._db.executescript(schema)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; sees everything committed, never waits for the writer."""
        reader = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._open()
            reader.execute("PRAGMA query_only=ON")
        return reader.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = self.read(sql, parameters)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone: commits when the block ends, rolls back when it raises. Nests into the outer one."""
        with self._writing:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def unless_busy(self) -> Iterator[bool]:
        """Keep other threads from writing for the length of the block, without waiting: False when one writes."""
        free = self._writing.acquire(blocking=False)
        try:
            yield free
        finally:
            if free:
                self._writing.release()

    def queue(self, statements: Sequence[Statement]) -> None:
        """Have statements committed with the next group, in order. Raises what stopped the committer, if it did."""
        with self._queued:
            if self._failure:
                raise self._failure
            self._queue.extend(statements)
            if len(self._queue) >= GROUP_SIZE:
                self._queued.notify()

    def flush(self) -> None:
        """Commit what is queued, now."""
        with self._writing:
            with self._queued:
                group, self._queue = self._queue, []
            if not group:
                return
            try:
                with self.write() as db:
                    for sql, alike in itertools.groupby(group, key=operator.itemgetter(0)):
                        db.executemany(sql, [parameters for _, parameters in alike])
            except BaseException:
                with self._queued:
                    self._queue = group + self._queue
                raise

    def barrier(self) -> None:
        """Commit what is queued and wait until it is on the disk. Others may write while this waits.

        What synchronous=FULL does at each commit, once: the log is synced. What has left the log for the database was
        synced by the checkpoint (synchronous=NORMAL). Raises OSError when the disk refuses.
        """
        self.flush()
        _sync(self._wal)

    def _commit_groups(self) -> None:
        while True:
            with self._queued:
                if self._closing and not self._queue:
                    return
                self._queued.wait(GROUP_SECONDS if self._queue else 1.0)
            try:
                self.flush()
            except sqlite3.Error as error:
                with self._queued:
                    self._failure = error
                return

    def close(self) -> None:
        """Commit everything, sync and close."""
        with self._queued:
            self._closing = True
            self._queued.notify()
        self._committer.join(timeout=10)
        self.barrier()
        with self._writing:
            for connection in self._connections:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
        os.close(self._wal)
        os.close(self._lock_file)
