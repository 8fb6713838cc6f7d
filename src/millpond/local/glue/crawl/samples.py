"""The first bytes of an object, decompressed: what classifiers look at.

AWS reads ZIP (one file inside), BZIP2, GZIP and LZ4; Snappy is refused here (no streaming reader), with a reason.
A truncated archive gives what could be read of it.
"""

from __future__ import annotations

import bz2
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

MEGABYTE = 1 << 20
HEAD = 1 << 16

# Magic bytes -> compressionType as the catalog names it.
MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy"),
)


class Unreadable(Exception):
    """The object cannot be read; the message says why."""


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Sample:
    """`data` is what was read, decompressed; `complete` when that is all. `consumed` counts bytes of the object.

    `broken` says why an archive could not be read to its end.
    """

    data: bytes
    complete: bool
    compression: str
    size: int  # of the object, in bytes
    consumed: int
    broken: str = ""

    @property
    def whole(self) -> int:
        """The decompressed size of the object in bytes; an estimate when the sample is not complete."""
        if self.complete or not self.consumed:
            return len(self.data)
        return max(len(self.data), self.size * len(self.data) // self.consumed)


def compression_of(head: bytes) -> str:
    """`none`, or how the object is compressed, by its magic bytes."""
    return next((name for magic, name in MAGIC if head.startswith(magic)), "none")


def read(path: Path, size: int, limit: int = MEGABYTE) -> Sample:
    """The first `limit` bytes of an object. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            compression = compression_of(file.read(16))
            file.seek(0)
            stream, count = _stream(file, compression)
            data, broken = _fill(stream, limit + 1)
            consumed = count() if compression != "none" else min(size, limit)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except _broken(EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Unreadable(f"broken {compression}: {error}") from None
    return Sample(data[:limit], len(data) <= limit, compression, size, max(1, min(size, consumed)), broken)


def _broken(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What decompressors raise. pyarrow is imported where it is needed: the endpoint starts without it."""
    import pyarrow as pa

    return zlib.error, pa.ArrowException, *others


def _fill(stream: _Reader, limit: int) -> tuple[bytes, str]:
    """Up to `limit` bytes, and what broke: data before a break counts, a break before any data is an error."""
    found = bytearray()
    while len(found) < limit:
        try:
            part = stream.read(min(HEAD, limit - len(found)))
        except _broken(EOFError, OSError) as error:
            if not found:
                raise
            return bytes(found), str(error)
        if not part:
            break
        found += part
    return bytes(found), ""


def _stream(file: BinaryIO, compression: str) -> tuple[_Reader, Callable[[], int]]:
    """A reader of the decompressed bytes, and a function that says how many bytes of the file it has used."""
    match compression:
        case "gzip":
            return _Inflate(file, lambda: zlib.decompressobj(31)), file.tell
        case "bzip2":
            return _Inflate(file, bz2.BZ2Decompressor), file.tell
        case "zip":
            archive = zipfile.ZipFile(file)
            members = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(members) != 1:
                raise zipfile.BadZipFile(f"{len(members)} files inside, one is read")
            return archive.open(members[0]), file.tell
        case "lz4":
            import pyarrow as pa

            return pa.CompressedInputStream(pa.PythonFile(file, "r"), "lz4"), file.tell
        case "snappy":
            raise NotImplementedError("Snappy frames are not read")
        case _:
            return file, file.tell


class _Inflate:
    """Reads a concatenation of gzip members or bzip2 streams, a piece at a time."""

    def __init__(self, file: BinaryIO, fresh: Callable[[], Any]) -> None:
        self.file, self.fresh = file, fresh
        self.decoder = fresh()

    def read(self, size: int, /) -> bytes:
        while True:
            pending = getattr(self.decoder, "unconsumed_tail", b"")
            if self.decoder.eof:
                pending = self.decoder.unused_data or self.file.read(HEAD)
                if not pending.strip(b"\0"):
                    return b""
                self.decoder = self.fresh()
            elif not pending and getattr(self.decoder, "needs_input", True):
                pending = self.file.read(HEAD)
                if not pending:
                    raise EOFError("the archive ends too early")
            if data := self.decoder.decompress(pending, size):
                return bytes(data)
