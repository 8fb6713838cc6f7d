"""Multipart uploads: rows and part files, so that an upload survives a restart.

A part is a file in `.endpoint/uploads/<id>/`; completing checks the list as S3 does, joins the parts into one staged
file with in-kernel copies and commits it like any other body. A repeated Complete (a client that lost the answer) gets
the first answer again for a day.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from millpond.local.s3 import checksums
from millpond.local.s3.objects import Draft, Objects
from millpond.local.service import AwsError
from millpond.local.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3_uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, created REAL NOT NULL, info TEXT NOT NULL,
    done TEXT);
CREATE INDEX IF NOT EXISTS s3_uploads_of ON s3_uploads (bucket, key, created);
CREATE TABLE IF NOT EXISTS s3_parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL, checksum TEXT NOT NULL,
    modified REAL NOT NULL, PRIMARY KEY (upload, number)) WITHOUT ROWID;
"""

MIN_PART = 5 * 1024 * 1024
MAX_PARTS = 10_000
ANSWER_AGAIN = 86_400.0  # seconds
COPY_STEP = 1 << 30


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload in progress; `done` is the answer of a Complete that already happened."""

    id: str
    bucket: str
    key: str
    created: float
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    algorithm: str
    kind: str  # COMPOSITE or FULL_OBJECT
    asked: bool  # whether the client chose the algorithm: only then must Complete repeat the parts' checksums
    done: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    etag: str
    size: int
    checksum: str
    modified: float = 0.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of a Complete request."""

    number: int
    etag: str
    checksums: Mapping[str, str]  # algorithm -> value


def no_such_upload(upload: str) -> AwsError:
    return AwsError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or"
        " completed.",
        status=404,
        UploadId=upload,
    )


class Uploads:
    """See the module's docstring."""

    def __init__(self, objects: Objects, store: Store) -> None:
        self.objects, self.store = objects, store
        self.root = objects.root / ".endpoint" / "uploads"
        self.root.mkdir(exist_ok=True, mode=0o700)

    def begin(
        self,
        bucket: str,
        key: str,
        headers: Mapping[str, str],
        tags: Mapping[str, str],
        algorithm: str | None,
        kind: str | None,
    ) -> Upload:
        """Start an upload. Raises InvalidRequest for an algorithm and type that do not go together."""
        chosen = algorithm or checksums.DEFAULT
        kind = kind or checksums.MULTIPART_TYPES[chosen][0]
        if kind not in checksums.MULTIPART_TYPES[chosen]:
            raise AwsError(
                "InvalidRequest",
                f"The {kind} checksum type cannot be used with the {chosen.lower()} checksum algorithm.",
            )
        upload = Upload(uuid.uuid4().hex, bucket, key, time.time(), headers, tags, chosen, kind, algorithm is not None)
        (self.root / upload.id).mkdir(mode=0o700)
        info = json.dumps([dict(headers), dict(tags), chosen, kind, upload.asked])
        with self.store.write() as db:
            db.execute(
                "INSERT INTO s3_uploads (id, bucket, key, created, info) VALUES (?, ?, ?, ?, ?)",
                (upload.id, bucket, key, upload.created, info),
            )
        return upload

    def get(self, bucket: str, key: str, upload: str, *, or_done: bool = False) -> Upload:
        """The upload, which must belong to this bucket and key. Raises NoSuchUpload."""
        row = self.store.one("SELECT * FROM s3_uploads WHERE id = ? AND bucket = ? AND key = ?", (upload, bucket, key))
        if row is None or (row["done"] and not or_done):
            raise no_such_upload(upload)
        return _upload(row)

    def add(self, upload: Upload, number: int, staged: Path, tally: checksums.Tally) -> Part:
        """Make a staged file part `number`, replacing an earlier one."""
        part = Part(number, tally.md5, tally.size, tally.checksum, time.time())
        with self.store.write() as db:
            if not db.execute("SELECT 1 FROM s3_uploads WHERE id = ? AND done IS NULL", (upload.id,)).fetchone():
                raise no_such_upload(upload.id)
            db.execute(
                "INSERT OR REPLACE INTO s3_parts (upload, number, etag, size, checksum, modified)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (upload.id, part.number, part.etag, part.size, part.checksum, part.modified),
            )
            os.replace(staged, self._file(upload.id, number))
        return part

    def parts(self, upload: Upload) -> list[Part]:
        """The parts that have arrived, by number."""
        sql = "SELECT number, etag, size, checksum, modified FROM s3_parts WHERE upload = ? ORDER BY number"
        return [Part(*row) for row in self.store.read(sql, (upload.id,))]

    def complete(
        self,
        upload: Upload,
        wanted: Sequence[Wanted],
        place: Callable[[Path, Draft], Mapping[str, str]],
        promised: str | None = None,
    ) -> Mapping[str, str]:
        """Join the listed parts and hand the staged file to `place`, whose answer is remembered.

        Raises InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, InvalidRequest.
        """
        chosen = self._choose(upload, wanted)
        etag = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in chosen), usedforsecurity=False).hexdigest()
        value = checksums.joined(upload.algorithm, upload.kind, [(part.checksum, part.size) for part in chosen])
        if promised is not None and promised.split("-")[0] != value.split("-")[0]:
            raise AwsError("BadDigest", f"The {upload.algorithm} you specified did not match the calculated checksum.")
        draft = Draft(
            etag=f"{etag}-{len(chosen)}",
            headers=upload.headers,
            tags=upload.tags,
            checksum=(upload.algorithm, value, upload.kind),
            parts=tuple((part.number, part.size, part.checksum if upload.asked else "") for part in chosen),
        )
        staged = self.objects.stage_path()
        try:
            _join([self._file(upload.id, part.number) for part in chosen], staged)
            with self.store.write() as db:
                # Checked again behind the writer: of two Completes at once, one places the object.
                self.get(upload.bucket, upload.key, upload.id)
                answer = place(staged, draft)
                db.execute(
                    "UPDATE s3_uploads SET done = ?, created = ? WHERE id = ?",
                    (json.dumps(dict(answer)), time.time(), upload.id),
                )
                db.execute("DELETE FROM s3_parts WHERE upload = ?", (upload.id,))
        finally:
            staged.unlink(missing_ok=True)
        shutil.rmtree(self.root / upload.id, ignore_errors=True)
        return answer

    def _choose(self, upload: Upload, wanted: Sequence[Wanted]) -> list[Part]:
        numbers = [line.number for line in wanted]
        if not numbers:
            raise AwsError(
                "MalformedXML",
                "The XML you provided was not well-formed or did not validate against our published schema",
            )
        if numbers != sorted(set(numbers)):
            raise AwsError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. The parts list must be specified in order by part"
                " number.",
            )
        present = {part.number: part for part in self.parts(upload)}
        chosen = []
        for line in wanted:
            part = present.get(line.number)
            if part is None or part.etag != line.etag or not _agrees(upload, part, line):
                raise AwsError(
                    "InvalidPart",
                    "One or more of the specified parts could not be found.  The part may not have been uploaded, or"
                    " the specified entity tag may not match the part's entity tag.",
                    UploadId=upload.id,
                    PartNumber=line.number,
                    ETag=line.etag,
                )
            chosen.append(part)
        for part in chosen[:-1]:
            if part.size < MIN_PART:
                raise AwsError(
                    "EntityTooSmall",
                    "Your proposed upload is smaller than the minimum allowed size",
                    ProposedSize=part.size,
                    MinSizeAllowed=MIN_PART,
                    PartNumber=part.number,
                    ETag=part.etag,
                )
        return chosen

    def abort(self, upload: Upload) -> None:
        with self.store.write() as db:
            db.execute("DELETE FROM s3_uploads WHERE id = ?", (upload.id,))
            db.execute("DELETE FROM s3_parts WHERE upload = ?", (upload.id,))
        shutil.rmtree(self.root / upload.id, ignore_errors=True)

    def of_bucket(self, bucket: str, prefix: str = "") -> list[Upload]:
        """Uploads in progress by key, then start."""
        sql = "SELECT * FROM s3_uploads WHERE bucket = ? AND done IS NULL ORDER BY key, created"
        return [_upload(row) for row in self.store.read(sql, (bucket,)) if row["key"].startswith(prefix)]

    def forget(self, bucket: str) -> None:
        """Abort all uploads of a bucket that goes away."""
        with self.store.write() as db:
            for row in db.execute("SELECT id FROM s3_uploads WHERE bucket = ?", (bucket,)).fetchall():
                db.execute("DELETE FROM s3_uploads WHERE id = ?", (row["id"],))
                db.execute("DELETE FROM s3_parts WHERE upload = ?", (row["id"],))
                shutil.rmtree(self.root / row["id"], ignore_errors=True)

    def sweep(self) -> None:
        """At start: forget old answers and folders without a row."""
        with self.store.write() as db:
            db.execute("DELETE FROM s3_uploads WHERE done IS NOT NULL AND created < ?", (time.time() - ANSWER_AGAIN,))
        known = {row["id"] for row in self.store.read("SELECT id FROM s3_uploads WHERE done IS NULL")}
        for path in self.root.iterdir():
            if path.name not in known:
                shutil.rmtree(path)

    def _file(self, upload: str, number: int) -> Path:
        return self.root / upload / f"{number:05d}"


def _upload(row: sqlite3.Row) -> Upload:
    headers, tags, algorithm, kind, asked = json.loads(row["info"])
    done = json.loads(row["done"]) if row["done"] else None
    return Upload(row["id"], row["bucket"], row["key"], row["created"], headers, tags, algorithm, kind, asked, done)


def _agrees(upload: Upload, part: Part, line: Wanted) -> bool:
    given = line.checksums.get(upload.algorithm)
    if given is None and upload.asked and upload.kind == "COMPOSITE":
        raise AwsError(
            "InvalidRequest",
            f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must include the"
            f" checksum for each part. It was missing for part {line.number} in the request.",
        )
    return given is None or given == part.checksum


def _join(parts: Sequence[Path], target: Path) -> None:
    """Concatenate files; on Linux the kernel copies (or shares) the blocks."""
    with target.open("wb") as out:
        for path in parts:
            with path.open("rb") as part:
                copy_bytes(part.fileno(), out.fileno(), os.fstat(part.fileno()).st_size)


def copy_bytes(source: int, target: int, count: int) -> None:
    """Copy `count` bytes from the one handle's position to the other's, in the kernel where it can."""
    if hasattr(os, "copy_file_range"):
        try:
            while count > 0 and (done := os.copy_file_range(source, target, min(count, COPY_STEP))):
                count -= done
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
    while count > 0:
        chunk = os.read(source, min(count, 1 << 20))
        if not chunk:
            return
        count -= len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]


_ETAG = re.compile(r"[0-9a-f]{32}")


def is_md5(etag: str) -> bool:
    return _ETAG.fullmatch(etag) is not None
