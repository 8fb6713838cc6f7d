"""The endpoint's memory: one SQLite file (WAL), one writer, group commit.

Three ways to write, from safe to fast:

- `with store.write() as db:` one transaction, committed when the block ends;
- `store.queue(statements)` joins the group that is committed within 10 ms or 200 statements (the engine's events);
- `store.barrier()` returns when all that was queued is on the disk, also after a power loss; others may write then.

Ordinary commits survive kill -9 (WAL, synchronous=NORMAL); a power loss may take the last few unless a barrier
followed. Readers have a connection a thread and never wait for the writer. A second process is refused.

**Hard days.** While the disk is full, or while another program locks the file, whoever writes waits up to
`PATIENCE_SECONDS` and then gets StoreUnavailable (the server answers 503); what was queued is kept and tried again, so
that all goes on by itself afterwards. A file that is damaged, was written by a newer version, or has lost some of its
write-ahead log is refused when it is opened. **Limits**: a byte changed inside a stored text or number of the database
is not noticed; after the machine was off, neither is a log that lost its end (a power loss is allowed to take it).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import logging
import operator
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.errors import MillpondError

Statement = tuple[str, Sequence[Any]]

GROUP_SECONDS = 0.010
GROUP_SIZE = 200
PATIENCE_SECONDS = 5.0  # how long a writer waits for a file that another program locks
MOMENT_SECONDS = 0.002  # most groups are committed in less, and a request costs as much once it changes threads
PAUSE_SECONDS = 0.25  # between two tries to commit while it cannot be done
LONGEST_QUEUE = 50_000  # statements that may wait for a disk that is full
VERSION = 1  # of the file, kept in it as user_version: a newer one is refused
LOG_PAGES = 4_000  # 16 MB of log before a checkpoint: each one writes the same few index pages again, and syncs

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
    }
)
_HELD = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})

log = logging.getLogger(__name__)


class StoreLocked(MillpondError):
    """Another endpoint uses this state folder."""


class StoreDamaged(MillpondError):
    """The database is not what was left there: nothing is read from it."""


class StoreUnavailable(MillpondError):
    """The database cannot be written at the moment; what was asked has not been done, and may be asked again."""


class WouldWait(BaseException):
    """Who must not wait (`unless_busy`) would have to. Not an Exception: no handler may make an answer of it."""


@dataclass(slots=True)
class _Killed:
    """An endpoint that did not close its store: what it wrote into the lock, when (nanoseconds), whether in this boot;
    and how many pages its write-ahead log must have."""

    words: str
    opened: int
    same_boot: bool
    frames: int


class _Reader:
    """A thread's connection. Its lock is free but while `read` uses it, and while `close` closes it: SQLite crashes the
    process when one thread closes what another reads from. It closes with its thread."""

    __slots__ = ("__weakref__", "connection", "lock")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.lock = connection, threading.Lock()

    def close(self) -> None:
        with self.lock, contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def __del__(self) -> None:
        self.connection.close()


@functools.cache
def _boot() -> str:
    """What tells the boots of this machine apart; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Store:
    """See the module's docstring. `path` is the database file; its folder must exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_file, killed = self._take_lock(path.with_suffix(".lock"))
        self._writing = threading.RLock()
        self._inside = False  # a transaction of ours is open
        self._hurried = False  # who writes now must not wait
        self._held = False  # another program locks the file
        self._local = threading.local()
        self._readers: weakref.WeakSet[_Reader] = weakref.WeakSet()
        self._opening = threading.Lock()  # of readers
        self._closed = False
        with self._meaning(), contextlib.ExitStack() as undo:
            undo.callback(self._leave_lock_as_it_was, killed)
            self._db = self._open_checked(killed, undo)
            self._db.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
            self._wal = self._open_wal()
            os.utime(self._lock_file)  # see `_open_checked`
            undo.pop_all()
        self._queue: list[Statement] = []
        self._queued = threading.Condition()
        self._closing = False
        self._failure: Exception | None = None
        self._committer = threading.Thread(target=self._commit_groups, name="store", daemon=True)
        self._committer.start()

    @staticmethod
    def _take_lock(path: Path) -> tuple[int, _Killed | None]:
        """The locked file; and what is known of the one who had it before, where that ended without closing the store.
        It holds the process number, then what tells the boots of this machine apart."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        words = os.read(handle, 100).decode(errors="replace").split()
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise StoreLocked(
                f"the state folder {path.parent} is in use by the endpoint with pid {words[0] if words else '?'}",
                help="millpond status, or millpond down",
            ) from None
        killed = None
        if words:
            same_boot = words[1:2] == [_boot()] and _boot() != ""
            frames = int(words[2]) if len(words) > 2 and words[2].isdigit() else 0
            killed = _Killed(" ".join(words[:2]), os.fstat(handle).st_mtime_ns, same_boot, frames)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {_boot()}".encode(), 0)
        return handle, killed

    def _leave_lock_as_it_was(self, killed: _Killed | None) -> None:
        """The store was refused: the next start must see why, although SQLite has made a new index of the log."""
        os.ftruncate(self._lock_file, 0)
        if killed is not None:
            os.pwrite(self._lock_file, f"{killed.words} {killed.frames}".encode(), 0)
            os.utime(self._lock_file, ns=(killed.opened, killed.opened))
        os.close(self._lock_file)

    def _open_checked(self, killed: _Killed | None, undo: contextlib.ExitStack) -> sqlite3.Connection:
        """The writer's connection. Raises StoreDamaged rather than to read what is not whole; `undo` closes it then."""
        if killed is not None:
            killed.frames = self._frames_before(killed)
        try:
            db = self._open()
            undo.callback(db.close)
            db.execute("PRAGMA busy_timeout=0")  # `_begin` waits, and knows for how long
            db.execute("PRAGMA journal_mode=WAL")
            version = int(db.execute("PRAGMA user_version").fetchone()[0])
            found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        except (sqlite3.DatabaseError, UnicodeError) as error:  # it quotes what it found
            if isinstance(error, sqlite3.DatabaseError) and _is_passing(error):
                raise
            raise self.damaged(f"opening it says: {error}") from error
        if found != "ok":
            raise self.damaged(f"quick_check says: {' '.join(found.split())[:200]}")
        if version > VERSION:
            raise StoreDamaged(
                f"{self.path} was written by a newer Millpond: its store version is {version}, ours is {VERSION}",
                help="install that version again, or begin anew: millpond reset",
            )
        if killed is not None and (whole := self._frames()) < killed.frames:
            raise self.damaged(f"of {killed.frames} committed pages in its write-ahead log only {whole} are whole")
        return db

    def _frames_before(self, killed: _Killed) -> int:
        """How many pages the write-ahead log of a killed endpoint must have. Raises StoreDamaged where it is gone.

        SQLite itself reads a log up to the first page that is not whole, and forgets the rest without a word; but how
        many there were stands in the index that the killed one left, if the machine has not been off since.
        """
        if not self.path.exists():
            return 0
        there = self.path.stat()
        if not there.st_size:
            raise self.damaged("it is empty, although an endpoint has used it")
        frames = max(killed.frames, self._frames() if killed.same_boot else 0)
        if not Path(f"{self.path}-wal").exists() and (frames or there.st_mtime_ns <= killed.opened):
            raise self.damaged("its write-ahead log is missing, although the endpoint did not end in order")
        return frames

    def _frames(self) -> int:
        """`mxFrame` of the log's index ("WAL-mode File Format", sqlite.org): the number of committed pages."""
        try:
            with open(f"{self.path}-shm", "rb") as index:
                head = index.read(20)
        except FileNotFoundError:
            return 0
        return int.from_bytes(head[16:20], sys.byteorder)

    def damaged(self, check: str) -> StoreDamaged:
        """The refusal to go on, with what was checked."""
        text = f"{self.path} is damaged: {check}"
        return StoreDamaged(text, help="put a copy of the state folder back, or begin anew: millpond reset")

    def _unavailable(self, error: BaseException) -> StoreUnavailable:
        return StoreUnavailable(f"the state file {self.path} cannot be written at the moment: {error}")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def _open_reader(self) -> _Reader:
        with self._opening:
            if self._closed:
                raise self._over()
            reader = self._local.reader = _Reader(self._open())
            self._readers.add(reader)
        reader.connection.execute("PRAGMA query_only=ON")
        return reader

    def _over(self) -> StoreUnavailable:
        return StoreUnavailable(f"the state file {self.path} is closed: the endpoint ends")

    @contextlib.contextmanager
    def _meaning(self) -> Iterator[None]:
        """Raise StoreUnavailable for what the disk or another program refuses."""
        try:
            yield
        except sqlite3.Error as error:
            if _is_passing(error):
                raise self._unavailable(error) from error
            raise

    def _open_wal(self) -> int:
        """A handle of the write-ahead log for `barrier`. One commit, fully synced, makes sure that the file is there
        and that its folder knows it; from then on only the file's data need syncing, as synchronous=FULL would."""
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute("PRAGMA synchronous=NORMAL")
        return os.open(f"{self.path}-wal", os.O_RDWR | os.O_CLOEXEC)

    def install(self, schema: str) -> None:
        """Run a service's `CREATE TABLE IF NOT EXISTS` statements. Raises StoreUnavailable."""
        with self._writing, self._meaning():
            self._db.executescript(schema)

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query; sees everything committed, never waits for the writer. Raises StoreUnavailable where
        the disk does not give them, and after `close`."""
        try:  # not `_meaning`: no generator for each query
            reader: _Reader = getattr(self._local, "reader", None) or self._open_reader()
            with reader.lock:
                if self._closed:
                    raise self._over()
                return reader.connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            if _is_passing(error):
                raise self._unavailable(error) from error
            raise

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        rows = self.read(sql, parameters)
        return rows[0] if rows else None

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone: commits when the block ends, rolls back when it raises. Nests into the outer one.

        Raises StoreUnavailable while the disk is full or another program keeps the file locked.
        """
        with self._turn() as deadline:
            if self._inside:
                yield self._db
                return
            self._begin(deadline)
            self._inside = True
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException as error:
                self._roll_back()
                if isinstance(error, sqlite3.Error) and _is_passing(error):
                    raise self._unavailable(error) from error
                raise
            finally:
                self._inside = False

    @contextlib.contextmanager
    def _turn(self) -> Iterator[float]:
        """Be the one thread that writes. Waits without end for one of ours, but not behind one who waits for another
        program. Gives the moment (monotonic) until which its holder may wait for that, too."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        if not self._writing.acquire(blocking=False):
            while not self._writing.acquire(timeout=PAUSE_SECONDS):
                if self._held and time.monotonic() > deadline:
                    raise self._locked()
        try:
            if self._closed:
                raise self._over()
            yield deadline
        finally:
            self._writing.release()

    def insert(self, sql: str, parameters: Sequence[Any]) -> int:
        """One INSERT, a transaction by itself (a third of `write`'s cost); its row's number.

        Raises sqlite3.IntegrityError where a row with that key is there, StoreUnavailable as `write` does.
        """
        with self._turn() as deadline:
            if self._inside:  # the outer block's transaction: its failures are that block's
                return self._db.execute(sql, parameters).lastrowid or 0
            return self._patiently(sql, parameters, deadline)

    def _begin(self, deadline: float) -> None:
        """Open a transaction."""
        self._patiently("BEGIN IMMEDIATE", (), deadline)

    def _patiently(self, sql: str, parameters: Sequence[Any], deadline: float) -> int:
        """Execute what needs the file's lock, waiting for another program that has it; the last row's number. Raises
        StoreUnavailable, WouldWait."""
        while True:
            try:
                number = self._db.execute(sql, parameters).lastrowid or 0
                self._held = False
                return number
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                if self._db.in_transaction:  # one that could not be rolled back when it failed
                    self._roll_back()
                elif not _is_passing(error):
                    raise
                elif self._hurried:
                    raise WouldWait from None
                elif not _is_held(error):
                    raise self._unavailable(error) from error
                self._held = True
            if time.monotonic() > deadline:
                raise self._locked()
            time.sleep(0.01)

    def _locked(self) -> StoreUnavailable:
        return StoreUnavailable(f"the state file {self.path} is locked by another program", help=f"fuser {self.path}")

    def _roll_back(self) -> None:
        """SQLite itself rolls some failures back; a rollback that fails is tried again by the next writer."""
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")

    @contextlib.contextmanager
    def unless_busy(self) -> Iterator[bool]:
        """Keep other threads from writing for the length of the block, hardly waiting: False when one writes longer.
        A `write` in the block raises WouldWait where another program locks the file."""
        free = self._writing.acquire(timeout=MOMENT_SECONDS)
        if not free:
            yield False
            return
        self._hurried = True
        try:
            yield True
        finally:
            self._hurried = False
            self._writing.release()

    def queue(self, statements: Sequence[Statement]) -> None:
        """Have statements committed with the next group, in order. Raises what keeps groups from being committed, when
        too many wait already."""
        with self._queued:
            if self._failure is not None and len(self._queue) > LONGEST_QUEUE:
                raise self._failure
            self._queue.extend(statements)
            if len(self._queue) >= GROUP_SIZE:
                self._queued.notify()

    def flush(self) -> None:
        """Commit what is queued, now. Raises StoreUnavailable; then it stays queued, in its order."""
        with self._turn():
            with self._queued:
                group, self._queue = self._queue, []
            if not group:
                return
            try:
                with self.write() as db:
                    for sql, alike in itertools.groupby(group, key=operator.itemgetter(0)):
                        db.executemany(sql, [parameters for _, parameters in alike])
            except BaseException as error:
                with self._queued:
                    self._queue = group + self._queue
                    self._failure = error if isinstance(error, Exception) else None
                raise
            self._failure = None

    def barrier(self) -> None:
        """Commit what is queued and wait until it is on the disk. Others may write while this waits.

        What synchronous=FULL does at each commit, once: the log is synced. What has left the log for the database was
        synced by the checkpoint (synchronous=NORMAL). Raises OSError when the disk refuses.
        """
        self.flush()
        _sync(self._wal)

    def _commit_groups(self) -> None:
        """The committer's thread: never ends before `close`. What fails is logged once and tried again."""
        told = False
        while True:
            with self._queued:
                if self._closing and not self._queue:
                    return
                self._queued.wait(GROUP_SECONDS if self._queue else 1.0)
            try:
                self.flush()
                told = False
            except Exception as error:
                if not told:
                    log.exception("what is queued for %s waits", self.path)
                told = True
                if self._closing and not isinstance(error, StoreUnavailable):
                    return  # `close` tries once more, and raises
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Commit everything, sync and close. Raises StoreUnavailable where that cannot be done; all is closed then,
        too, and the next start finds what was committed."""
        with self._queued:
            self._closing = True
            self._queued.notify()
        self._committer.join(timeout=10)
        try:
            self.barrier()
        finally:
            with self._writing:
                self._close_connections()
                os.close(self._wal)
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock_file, 0)  # says that it was closed in order
            os.close(self._lock_file)

    def _close_connections(self) -> None:
        with self._opening:
            self._closed = True
        for reader in list(self._readers):
            reader.close()
        with contextlib.suppress(sqlite3.Error):
            self._db.close()


def _is_passing(error: sqlite3.Error) -> bool:
    """Is it the disk or another program, and not what was asked?"""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF in _PASSING


def _is_held(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", -1) & 0xFF in _HELD
