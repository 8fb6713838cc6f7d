"""The first bytes of an object, decompressed: what classifiers look at.

AWS reads ZIP (one file inside), BZIP2, GZIP, LZ4 and Snappy, "both standard and Hadoop native" (AWS docs, "Adding
classifiers to a crawler"): so frames, Hadoop's blocks and, by the name `*.snappy`, a bare Snappy block of at most
64 MB. A truncated archive gives what could be read of it.
"""

from __future__ import annotations

import bz2
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

MEGABYTE = 1 << 20
HEAD = 1 << 16
BLOCK = 64 * MEGABYTE  # the largest Snappy block that is decompressed

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


def compression_of(head: bytes, name: str = "") -> str:
    """`none`, or how the object is compressed, by its magic bytes; a bare Snappy block only by its name."""
    found = next((kind for magic, kind in MAGIC if head.startswith(magic)), "none")
    if found == "none" and (_hadoop_block(head) or (head and name.lower().endswith(".snappy"))):
        return "snappy"
    return found


def _hadoop_block(head: bytes) -> bool:
    """Whether an object begins as Hadoop's Snappy files do: size of a block, size of a chunk, the chunk's own size."""
    if len(head) < 10:
        return False
    block, chunk = (int(size) for size in struct.unpack_from(">II", head))
    if not (0 < block <= BLOCK and 0 < chunk <= 32 + block + block // 6):
        return False
    try:
        return 0 < _varint(head[8:]) <= block
    except Unreadable:
        return False


def _varint(data: bytes) -> int:
    """The decompressed size that a Snappy block begins with. Raises Unreadable."""
    value = 0
    for n, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value
    raise Unreadable("broken snappy: a block has no size")


def read(path: Path, size: int, limit: int = MEGABYTE) -> Sample:
    """The first `limit` bytes of an object. Raises Unreadable."""
    compression = "none"
    try:
        with path.open("rb") as file:
            compression = compression_of(file.read(16), path.name)
            file.seek(0)
            stream, count = _stream(file, compression)
            data, broken = _fill(stream, limit + 1)
            consumed = count() if compression != "none" else min(size, limit)
    except OSError as error:
        raise Unreadable(error.strerror or f"broken {compression}: {error}") from None
    except _broken(EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
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
        except _broken(EOFError, OSError, zipfile.BadZipFile, RuntimeError) as error:
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
            return _Pieces(_snappy(file)), file.tell
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


class _Pieces:
    """Reads what a generator gives, a piece at a time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces, self.left = pieces, b""

    def read(self, size: int, /) -> bytes:
        while not self.left:
            self.left = next(self.pieces, b"")
            if not self.left:
                return b""
        part, self.left = self.left[:size], self.left[size:]
        return part


def _snappy(file: BinaryIO) -> Iterator[bytes]:
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\xff\x06\x00\x00sNaPpY"):
        return _snappy_frames(file)
    return _hadoop_blocks(file) if _hadoop_block(head) else iter((_block(file.read(BLOCK + 1)),))


def _block(data: bytes) -> bytes:
    import pyarrow as pa

    size = _varint(data)
    if size > BLOCK or len(data) > BLOCK:
        raise Unreadable("a snappy block of more than 64 MB")
    try:
        return bytes(pa.decompress(data, decompressed_size=size, codec="snappy", asbytes=True)) if size else b""
    except pa.ArrowException as error:
        raise EOFError(str(error)) from None


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError("the archive ends too early")
    return data


def _snappy_frames(file: BinaryIO) -> Iterator[bytes]:
    """Snappy's framing format: chunks of a type and a size; data behind a checksum, which is not checked."""
    while head := file.read(4):
        if len(head) < 4:
            raise EOFError("the archive ends too early")
        kind, size = head[0], int.from_bytes(head[1:], "little")
        data = _exactly(file, size)
        if kind == 0x00:
            yield _block(data[4:])
        elif kind == 0x01 and size > 4:
            yield data[4:]
        elif 0x02 <= kind <= 0x7F:
            raise EOFError(f"a chunk of the unknown type {kind}")


def _hadoop_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Hadoop's SnappyCodec: the size of a block, then chunks, each with its size before it, until the block is full."""
    while head := file.read(4):
        left = int.from_bytes(head, "big")
        while left > 0:
            chunk = int.from_bytes(_exactly(file, 4), "big")
            if chunk > BLOCK:
                raise EOFError("a chunk of more than 64 MB")
            data = _block(_exactly(file, chunk))
            if not data:
                raise EOFError("an empty chunk")
            left -= len(data)
            yield data
