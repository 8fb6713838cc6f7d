"""Objects: a file, and a row that is believed only while the file is as the row remembers it.

The row holds what a file cannot (ETag, headers, tags, checksum, version). When modification time or size differ,
another program has rewritten the file: the object then has S3's defaults and an ETag made from the file's state,
shaped `<32 hex>-1` so that nobody takes it for an MD5.

Keys that cannot be files live in `.endpoint/blobs`, older versions in `.endpoint/versions`, bodies being received in
`.endpoint/stage`. All changes happen inside the store's write transaction, rows first, the rename last: a reader sees
the old object or the new one. A reader that meets a fresh file without a matching row looks again behind the writer.

A process killed between rename and commit leaves a whole object with default metadata; the client had no answer yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from millpond.local.s3.keys import Clash, Folder, OtherSpelling, representable, tells_case_apart
from millpond.local.s3.walk import Found, Walker
from millpond.local.service import AwsError
from millpond.local.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3_objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    info TEXT NOT NULL, blob TEXT, version TEXT NOT NULL DEFAULT 'null',
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS s3_blobs ON s3_objects (bucket, key) WHERE blob IS NOT NULL;
CREATE TABLE IF NOT EXISTS s3_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL,
    mtime_ns INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, info TEXT NOT NULL,
    file TEXT);  -- NULL: a delete marker
CREATE INDEX IF NOT EXISTS s3_versions_of ON s3_versions (bucket, key, seq);
"""

DEFAULT_HEADERS: Mapping[str, str] = {"content-type": "binary/octet-stream"}
FRESH_NS = 60_000_000_000  # a file younger than this may be between its rename and its row's commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a writer knows of an object before it is placed. `headers` are answered as they are, names in lower case."""

    etag: str
    headers: Mapping[str, str] = field(default_factory=lambda: DEFAULT_HEADERS)
    tags: Mapping[str, str] = field(default_factory=dict)
    checksum: tuple[str, str, str] | None = None  # algorithm, value, FULL_OBJECT or COMPOSITE
    parts: tuple[tuple[int, int, str], ...] = ()  # number, size, checksum

    def info(self) -> str:
        return json.dumps([dict(self.headers), dict(self.tags), self.checksum, self.parts], separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Object(Draft):
    """An object, or (`marker`) the record that one was deleted. `file` is set when it is not at its key's path."""

    key: str
    size: int
    mtime_ns: int
    version: str = "null"
    file: Path | None = None
    marker: bool = False

    @property
    def modified(self) -> float:
        return self.mtime_ns / 1e9


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a DELETE did: `version` of the removed object or of the new marker (None in a bucket without versions)."""

    version: str | None = None
    marker: bool = False


Condition = Callable[[Object | None], None]  # raises AwsError when the present object does not suit


def no_such_key(key: str, **members: Any) -> AwsError:
    return AwsError("NoSuchKey", "The specified key does not exist.", status=404, Key=key, **members)


def outside_etag(size: int, mtime_ns: int) -> str:
    """The ETag of a file that another program wrote: changes when the file does, is not an MD5."""
    return hashlib.md5(f"{size}:{mtime_ns}".encode(), usedforsecurity=False).hexdigest() + "-1"


def _outside(key: str, size: int, mtime_ns: int) -> Object:
    return Object(key=key, size=size, mtime_ns=mtime_ns, etag=outside_etag(size, mtime_ns))


class Objects:
    """See the module's docstring. Every method may block and may be called from any thread."""

    def __init__(self, root: Path, store: Store, *, fsync: bool = False) -> None:
        self.root, self.store, self.fsync = root, store, fsync
        private = root / ".endpoint"
        self.stage, self.blobs, self.versions = private / "stage", private / "blobs", private / "versions"
        for path in (self.stage, self.blobs, self.versions):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.exact = tells_case_apart(self.stage)
        self._stamping, self._stamped = threading.Lock(), 0

    def folder(self, bucket: str) -> Folder:
        return Folder(self.root / bucket, exact=self.exact)

    def stage_path(self) -> Path:
        """A new name on the buckets' disk, outside every bucket."""
        return self.stage / uuid.uuid4().hex

    # Reading

    @contextlib.contextmanager
    def open(self, bucket: str, key: str, version: str | None = None) -> Iterator[tuple[Object, int]]:
        """The object and a read handle on its bytes. Raises NoSuchKey, NoSuchVersion or MethodNotAllowed."""
        found = self._find(bucket, key) if version is None else self._find_version(bucket, key, version)
        if found is None:
            raise self._absent(bucket, key)
        try:
            yield found
        finally:
            os.close(found[1])

    def head(self, bucket: str, key: str, version: str | None = None) -> Object:
        with self.open(bucket, key, version) as (found, _):
            return found

    def current(self, bucket: str, key: str) -> Object | None:
        """The current object, or None."""
        found = self._find(bucket, key)
        if found is None:
            return None
        os.close(found[1])
        return found[0]

    def _find(self, bucket: str, key: str) -> tuple[Object, int] | None:
        found, sure = self._look(bucket, key)
        if sure:
            return found
        if found is not None:
            os.close(found[1])
        with self.store.write():  # behind the writer: no rename is without its row now
            return self._look(bucket, key)[0]

    def _look(self, bucket: str, key: str) -> tuple[tuple[Object, int] | None, bool]:
        """What row and disk say, and whether a writer at work could make that untrue."""
        handle = self.folder(bucket).open(key) if representable(key) else None
        row = self._row(bucket, key)
        if handle is not None:
            state = os.fstat(handle)
            if row and not row["blob"] and (row["mtime_ns"], row["size"]) == (state.st_mtime_ns, state.st_size):
                return (self._of_row(row), handle), True
            fresh = time.time_ns() - state.st_mtime_ns < FRESH_NS
            return (_outside(key, state.st_size, state.st_mtime_ns), handle), not fresh
        if row is None:
            return None, True
        if not row["blob"]:
            return None, False
        try:
            handle = os.open(self.blobs / row["blob"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None, False
        state = os.fstat(handle)
        return (self._of_row(row), handle), (row["mtime_ns"], row["size"]) == (state.st_mtime_ns, state.st_size)

    def _find_version(self, bucket: str, key: str, version: str) -> tuple[Object, int]:
        found = self._find(bucket, key)
        if found is not None:
            if found[0].version == version:
                return found
            os.close(found[1])
        row = self._version_row(bucket, key, version)
        if row is None:
            raise AwsError("NoSuchVersion", "The specified version does not exist.", status=404, Key=key,
                           VersionId=version)  # fmt: skip
        old = self._of_version(row)
        if old.file is None:
            raise AwsError("MethodNotAllowed", "The specified method is not allowed against this resource.", status=405,
                           DeleteMarker=version)  # fmt: skip
        return old, os.open(old.file, os.O_RDONLY | os.O_CLOEXEC)

    def _absent(self, bucket: str, key: str) -> AwsError:
        row = self._newest(bucket, key)
        return no_such_key(key, **({"DeleteMarker": row["version"]} if row and row["file"] is None else {}))

    def _row(self, bucket: str, key: str) -> sqlite3.Row | None:
        return self.store.one("SELECT * FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))

    def _version_row(self, bucket: str, key: str, version: str) -> sqlite3.Row | None:
        sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? AND version = ?"
        return self.store.one(sql, (bucket, key, version))

    def _newest(self, bucket: str, key: str) -> sqlite3.Row | None:
        sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY seq DESC LIMIT 1"
        return self.store.one(sql, (bucket, key))

    def _of_row(self, row: sqlite3.Row) -> Object:
        file = self.blobs / row["blob"] if row["blob"] else None
        return self._object(row, file=file)

    def _of_version(self, row: sqlite3.Row) -> Object:
        file = self.versions / row["file"] if row["file"] else None
        return self._object(row, file=file, marker=file is None)

    @staticmethod
    def _object(row: sqlite3.Row, **more: Any) -> Object:
        headers, tags, checksum, parts = json.loads(row["info"])
        return Object(
            key=row["key"], size=row["size"], mtime_ns=row["mtime_ns"], etag=row["etag"], version=row["version"],
            headers=headers, tags=tags, checksum=tuple(checksum) if checksum else None,
            parts=tuple(tuple(part) for part in parts), **more,
        )  # fmt: skip

    def describe(self, bucket: str, files: Iterable[Found]) -> list[Object]:
        """Objects for files that a walk found."""
        files = list(files)
        rows: dict[str, sqlite3.Row] = {}
        for at in range(0, len(files), 500):
            keys = [found.key for found in files[at : at + 500]]
            marks = ",".join("?" * len(keys))
            sql = f"SELECT * FROM s3_objects WHERE bucket = ? AND blob IS NULL AND key IN ({marks})"
            rows |= {row["key"]: row for row in self.store.read(sql, (bucket, *keys))}
        described = []
        for found in files:
            row = rows.get(found.key)
            if row is not None and (row["mtime_ns"], row["size"]) == (found.mtime_ns, found.size):
                described.append(self._of_row(row))
            else:
                described.append(_outside(found.key, found.size, found.mtime_ns))
        return described

    def blobs_from(self, bucket: str, start: bytes, prefix: str) -> Iterator[Object]:
        """Objects that are no files, from key `start` (inclusive) on, in order."""
        sql = """SELECT * FROM s3_objects WHERE bucket = ? AND blob IS NOT NULL AND key >= CAST(? AS TEXT)
                 ORDER BY key LIMIT 500"""
        at = max(start, prefix.encode())
        while rows := self.store.read(sql, (bucket, at)):
            for row in rows:
                if not row["key"].startswith(prefix):
                    return
                yield self._of_row(row)
            at = rows[-1]["key"].encode() + b"\0"

    def versions_of(self, bucket: str, key: str) -> list[Object]:
        """Noncurrent versions and delete markers, newest first."""
        sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY seq DESC"
        return [self._of_version(row) for row in self.store.read(sql, (bucket, key))]

    def versioned_keys(self, bucket: str, prefix: str) -> list[str]:
        """Keys that have noncurrent versions or markers, in order."""
        sql = "SELECT DISTINCT key FROM s3_versions WHERE bucket = ? ORDER BY key"
        return [row["key"] for row in self.store.read(sql, (bucket,)) if row["key"].startswith(prefix)]

    # Writing

    def commit(
        self,
        bucket: str,
        key: str,
        staged: Path,
        draft: Draft,
        *,
        versioning: str = "",
        condition: Condition | None = None,
    ) -> Object:
        """Make a finished staged file the object. `versioning` is the bucket's state: "", Enabled or Suspended."""
        self._stamp(staged)
        if self.fsync:
            _sync(staged)
        state = staged.stat()
        version = new_version() if versioning == "Enabled" else "null"
        fresh = Object(
            key=key, size=state.st_size, mtime_ns=state.st_mtime_ns, version=version, etag=draft.etag,
            headers=draft.headers, tags=draft.tags, checksum=draft.checksum, parts=draft.parts,
        )  # fmt: skip
        with self.store.write() as db:
            if condition is not None:
                condition(self.current(bucket, key))
            if versioning:
                self._make_room(db, bucket, key, version)
            before = self._row(bucket, key)
            blob = self._settle(db, bucket, key, staged, fresh)
            if before and before["blob"] and blob is None:
                self._drop_blob(before["blob"])
        return replace(fresh, file=self.blobs / blob if blob else None)

    def _stamp(self, staged: Path) -> None:
        """Give the file a modification time of its own: by the kernel's clock, two objects of one size written within a
        few milliseconds would be told apart by nothing, and a reader could join the one's row to the other's bytes."""
        with self._stamping:
            self._stamped = max(self._stamped + 1000, time.time_ns())  # a microsecond: some disks keep no less
            moment = self._stamped
        os.utime(staged, ns=(moment, moment))

    def _settle(self, db: sqlite3.Connection, bucket: str, key: str, staged: Path, fresh: Object) -> str | None:
        """Write the row, then move the file to its path or, when that cannot be, to a blob; the blob's name or None."""
        self._write_row(db, bucket, fresh, None)
        folder = self.folder(bucket)
        while representable(key):
            try:
                folder.place(staged, key)
                return None
            except OtherSpelling:
                break
            except Clash as clash:
                if clash.key == key:
                    break
                self._move_to_blob(db, bucket, folder, clash.key)
        os.close(folder.open_root())  # raises NoSuchBucket when the folder is gone
        blob = _blob_name(bucket, key)
        self._write_row(db, bucket, fresh, blob)
        os.replace(staged, self.blobs / blob)
        return blob

    @staticmethod
    def _write_row(db: sqlite3.Connection, bucket: str, item: Object, blob: str | None) -> None:
        db.execute(
            "INSERT OR REPLACE INTO s3_objects (bucket, key, mtime_ns, size, etag, info, blob, version)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (bucket, item.key, item.mtime_ns, item.size, item.etag, item.info(), blob, item.version),
        )

    def _move_to_blob(self, db: sqlite3.Connection, bucket: str, folder: Folder, key: str) -> None:
        """The object `a` makes room for `a/b`: it stays an object, but no longer a file by its name."""
        older = self.current(bucket, key)
        if older is None:
            return
        blob = _blob_name(bucket, key)
        folder.link(key, self.blobs / blob)
        self._write_row(db, bucket, older, blob)
        folder.remove(key)

    def _drop_blob(self, blob: str) -> None:
        (self.blobs / blob).unlink(missing_ok=True)

    def set_tags(self, bucket: str, key: str, version: str | None, tags: Mapping[str, str]) -> Object:
        """Replace the tags of one object, which may be a file that another program wrote."""
        with self.store.write() as db:
            found = self.head(bucket, key, version)
            tagged = replace(found, tags=dict(tags))
            if found.file is None or found.file.parent == self.blobs:
                self._write_row(db, bucket, tagged, found.file.name if found.file else None)
            else:
                sql = "UPDATE s3_versions SET info = ? WHERE bucket = ? AND key = ? AND version = ?"
                db.execute(sql, (tagged.info(), bucket, key, found.version))
        return tagged

    # Deleting and versions

    def delete(
        self,
        bucket: str,
        key: str,
        version: str | None = None,
        *,
        versioning: str = "",
        condition: Condition | None = None,
    ) -> Deleted:
        """Delete the object, or put a delete marker over it, or delete one version for good. Absent keys are fine."""
        with self.store.write() as db:
            if condition is not None:
                condition(self.current(bucket, key))
            if version is not None:
                return self._delete_version(db, bucket, key, version)
            if not versioning:
                self._remove(db, bucket, key)
                return Deleted()
            marker = new_version() if versioning == "Enabled" else "null"
            self._make_room(db, bucket, key, marker)
            self._remove(db, bucket, key)
            self._insert_version(
                db, bucket, Object(key=key, size=0, mtime_ns=time.time_ns(), etag="", version=marker), None
            )
            return Deleted(marker, True)

    def _remove(self, db: sqlite3.Connection, bucket: str, key: str) -> None:
        row = self._row(bucket, key)
        db.execute("DELETE FROM s3_objects WHERE bucket = ? AND key = ?", (bucket, key))
        if representable(key):
            self.folder(bucket).remove(key)
        if row and row["blob"]:
            self._drop_blob(row["blob"])

    def _make_room(self, db: sqlite3.Connection, bucket: str, key: str, version: str) -> None:
        """Keep the current object as a version, unless the newcomer has the same id (`null` replaces `null`)."""
        if version == "null":
            self._drop_version(db, bucket, key, "null")
        found = self.current(bucket, key)
        if found is None or found.version == version:
            return
        name = uuid.uuid4().hex
        if found.file is None:
            self.folder(bucket).link(key, self.versions / name)
        else:
            os.link(found.file, self.versions / name)
        self._insert_version(db, bucket, found, name)

    @staticmethod
    def _insert_version(db: sqlite3.Connection, bucket: str, item: Object, file: str | None) -> None:
        db.execute(
            "INSERT INTO s3_versions (bucket, key, version, mtime_ns, size, etag, info, file)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (bucket, item.key, item.version, item.mtime_ns, item.size, item.etag, item.info(), file),
        )

    def _drop_version(self, db: sqlite3.Connection, bucket: str, key: str, version: str) -> sqlite3.Row | None:
        row = self._version_row(bucket, key, version)
        if row is not None:
            db.execute("DELETE FROM s3_versions WHERE seq = ?", (row["seq"],))
            if row["file"]:
                (self.versions / row["file"]).unlink(missing_ok=True)
        return row

    def _delete_version(self, db: sqlite3.Connection, bucket: str, key: str, version: str) -> Deleted:
        found = self.current(bucket, key)
        if found is not None and found.version == version:
            self._remove(db, bucket, key)
            self._promote(db, bucket, key)
            return Deleted(version)
        row = self._drop_version(db, bucket, key, version)
        if row is not None and found is None:
            self._promote(db, bucket, key)
        return Deleted(version, row is not None and row["file"] is None)

    def _promote(self, db: sqlite3.Connection, bucket: str, key: str) -> None:
        """The newest remaining version becomes current, unless it is a delete marker."""
        # Read through the writer: the reader's connection does not see this transaction's deletes.
        sql = "SELECT * FROM s3_versions WHERE bucket = ? AND key = ? ORDER BY seq DESC LIMIT 1"
        row = db.execute(sql, (bucket, key)).fetchone()
        if row is None or row["file"] is None:
            return
        db.execute("DELETE FROM s3_versions WHERE seq = ?", (row["seq"],))
        self._settle(db, bucket, key, self.versions / row["file"], self._of_version(row))

    # Buckets' ends

    def empty(self, bucket: str) -> bool:
        """Whether the bucket holds no object and no version."""
        walker = Walker(self.folder(bucket))
        try:
            if next(iter(walker), None) is not None:
                return False
        finally:
            walker.close()
        sql = """SELECT 1 FROM s3_objects WHERE bucket = ? AND blob IS NOT NULL
                 UNION ALL SELECT 1 FROM s3_versions WHERE bucket = ? LIMIT 1"""
        return self.store.one(sql, (bucket, bucket)) is None

    def forget(self, db: sqlite3.Connection, bucket: str) -> None:
        """Drop the rows of a bucket that is empty or gone, with the files that only they knew."""
        for row in db.execute(
            "SELECT blob FROM s3_objects WHERE bucket = ? AND blob IS NOT NULL", (bucket,)
        ).fetchall():
            self._drop_blob(row["blob"])
        for row in db.execute(
            "SELECT file FROM s3_versions WHERE bucket = ? AND file IS NOT NULL", (bucket,)
        ).fetchall():
            (self.versions / row["file"]).unlink(missing_ok=True)
        db.execute("DELETE FROM s3_objects WHERE bucket = ?", (bucket,))
        db.execute("DELETE FROM s3_versions WHERE bucket = ?", (bucket,))

    def sweep(self) -> None:
        """At start: bodies that were being received when a process was killed are no objects."""
        for path in self.stage.iterdir():
            path.unlink(missing_ok=True)


def new_version() -> str:
    """An opaque version id, as long as S3's."""
    return uuid.uuid4().hex


def _blob_name(bucket: str, key: str) -> str:
    return hashlib.sha256(f"{bucket}\0{key}".encode()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
