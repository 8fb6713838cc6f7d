"""What an ItemReader may find in an object: CSV, JSON, JSON Lines, Parquet; each as an iterator of items in JSON.

Everything is read in pieces, so an object of any size takes the memory of a piece and an item. Source: AWS's
"ItemReader (Map)", with its rules for text delimited files.

**Limits**: Parquet is read by a process of its own (Arrow takes 60 MB); decimals and binary values are strings there.
A value in a JSON object and a line of JSON Lines have at most 64 Mi characters, a field of CSV 16 Mi.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from millpond.local.states.payloads import DECODER

DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}
MOST_HEADER_BYTES = 10_240
MOST_FIELD = 16 * 1024 * 1024
MOST_VALUE = 64 * 1024 * 1024  # characters of one value: what is wrong in a large object does not fill the memory
PIECE = 256 * 1024
NOT_ITERABLE = "Attempting to map over non-iterable node."

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Unreadable(Exception):
    """The object is not what its InputType says; the text is the cause that AWS's error carries."""


class _Body(io.RawIOBase):
    """What has only `read` (botocore's bodies) as a raw file."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part: bytes = self._body.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


class _Zstandard(io.RawIOBase):
    """The bytes of a Zstandard file. Python 3.11 cannot read one; Arrow can, and is imported only for it."""

    def __init__(self, stream: Any) -> None:
        import pyarrow

        self._found = pyarrow.CompressedInputStream(pyarrow.PythonFile(stream), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            part: bytes = self._found.read(len(buffer))
        except (OSError, ValueError) as error:
            raise Unreadable(f"The object cannot be decompressed: {error}") from None
        buffer[: len(part)] = part
        return len(part)


def unpacked(body: Any) -> BinaryIO:
    """The bytes themselves, where the object is a gzip or a Zstandard file, and as they are where it is neither."""
    stream = io.BufferedReader(_Body(body), PIECE)
    begin = stream.peek(4)[:4]
    if begin[:2] == b"\x1f\x8b":
        return cast("BinaryIO", io.BufferedReader(cast("Any", gzip.GzipFile(fileobj=stream, mode="rb")), PIECE))
    if begin == b"\x28\xb5\x2f\xfd":
        return cast("BinaryIO", io.BufferedReader(_Zstandard(stream), PIECE))
    return cast("BinaryIO", stream)


def text_of(stream: BinaryIO, *, newline: str | None = None) -> io.TextIOWrapper:
    """UTF-8, with or without a mark."""
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline)


def guarded(items: Iterable[str]) -> Iterator[str]:
    """The same items; what readers raise becomes Unreadable."""
    try:
        yield from items
    except UnicodeDecodeError as error:
        raise Unreadable(f"The object is not UTF-8: {error.reason} at byte {error.start}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise Unreadable(f"The object cannot be decompressed: {error}") from None


# ------------------------------------------------------------------------------------------------------------------ CSV


def csv_items(stream: BinaryIO, *, delimiter: str = "COMMA", headers: list[str] | None = None) -> Iterator[str]:
    """One object a row, all values strings. `headers` None: the first row. Missing fields are empty strings, surplus
    ones are left out; a backslash takes the meaning from what follows it."""
    csv.field_size_limit(MOST_FIELD)
    rows = csv.reader(
        text_of(stream, newline=""), delimiter=DELIMITERS[delimiter], doublequote=True, escapechar="\\", strict=False
    )
    try:
        if headers is None:
            headers = next(rows, None)
            if headers is None:
                raise Unreadable("The CSV file is empty: it has no header row.")
        _check_headers(headers)
        width = len(headers)
        for row in rows:
            if not row:
                continue
            if len(row) < width:
                row += [""] * (width - len(row))
            yield _encode(dict(zip(headers, row, strict=False)))
    except csv.Error as error:
        raise Unreadable(f"Line {rows.line_num} of the CSV file cannot be read: {error}") from None


def _check_headers(headers: list[str]) -> None:
    if len(",".join(headers).encode()) > MOST_HEADER_BYTES:
        raise Unreadable("The header of the CSV file exceeds the limit of 10 KiB.")


# ----------------------------------------------------------------------------------------------------------------- JSON


def jsonl_items(stream: BinaryIO) -> Iterator[str]:
    """One value a line; empty lines do not count."""
    text = text_of(stream)
    for number, line in enumerate(iter(lambda: text.readline(MOST_VALUE), ""), 1):
        if len(line) >= MOST_VALUE:
            raise Unreadable(f"Line {number} of the JSON Lines file is longer than {MOST_VALUE} characters")
        if line.strip():
            try:
                yield _encode(DECODER.decode(line))
            except (ValueError, RecursionError) as error:
                raise Unreadable(f"Line {number} of the JSON Lines file is not valid JSON: {error}") from None


def json_items(stream: BinaryIO, pointer: str | None = None) -> Iterator[str]:
    """The elements of an array, or the pairs of an object as {"Key", "Value"}; `pointer` (a JSON pointer) says where
    it is. The first text that comes out is `PAIRS` where they are pairs."""
    scan = _Scanner(text_of(stream))
    for step in _steps(pointer):
        scan.descend(step, pointer or "")
    found = scan.peek()
    if found not in ("[", "{"):
        scan.value()
        raise Unreadable(NOT_ITERABLE)
    if found == "{":
        yield PAIRS
        for key in scan.members():
            yield _encode({"Key": key, "Value": scan.value()})
    else:
        for _ in scan.elements():
            yield _encode(scan.value())
    if not pointer and scan.peek():
        raise scan.wrong("something follows the end of the JSON text")


PAIRS = ""
"""Not an item: see json_items."""


def _steps(pointer: str | None) -> list[str]:
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise Unreadable(f"ItemsPointer is not a JSON pointer: {pointer}")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


class _Scanner:
    """Reads JSON text from the front, a piece at a time."""

    def __init__(self, source: io.TextIOWrapper) -> None:
        self._source, self._text, self._at, self._ended, self._passed = source, "", 0, False, 0

    def _more(self, least: int) -> bool:
        """Have another piece; False at the end."""
        if self._ended:
            return False
        piece = self._source.read(max(PIECE, least))
        self._ended = not piece
        self._passed += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return not self._ended

    def wrong(self, what: str) -> Unreadable:
        return Unreadable(f"The object is not valid JSON: {what} at character {self._passed + self._at}")

    def peek(self) -> str:
        """The next character that counts; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._at = found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(0):
                return ""

    def take(self, character: str) -> None:
        if self.peek() != character:
            raise self.wrong(f"'{character}' is missing")
        self._at += 1

    def value(self) -> Any:
        """One whole value."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:  # it goes on in the next piece, or is wrong
                begun = len(self._text) - self._at
                if begun > MOST_VALUE or not self._more(begun):
                    raise self.wrong(str(error).partition(":")[0]) from None
                continue
            if end < len(self._text) or not self._more(0):  # a number may go on in the next piece
                self._at = end if end < len(self._text) or self._ended else self._at
                return value

    def elements(self) -> Iterator[None]:
        """Stands at each element of an array in turn; whoever asks takes the value."""
        self.take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield
            if self.peek() == "]":
                self._at += 1
                return
            self.take(",")

    def members(self) -> Iterator[str]:
        """The keys of an object, standing at the value of each."""
        self.take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str):
                raise self.wrong("a key is not a string")
            self.take(":")
            yield key
            if self.peek() == "}":
                self._at += 1
                return
            self.take(",")

    def descend(self, step: str, pointer: str) -> None:
        """Go to a member of an object, or an element of an array by its number."""
        found = self.peek()
        if found == "{":
            for key in self.members():
                if key == step:
                    return
                self.value()
        elif found == "[" and step.isdigit():
            for number, _ in enumerate(self.elements()):
                if number == int(step):
                    return
                self.value()
        raise Unreadable(f"ItemsPointer leads to nothing in the object: {pointer}")


_SPACE = re.compile(r"[ \t\r\n]*")


# -------------------------------------------------------------------------------------------------------------- Parquet


def parquet_items(path: Path) -> Iterator[str]:
    """One object a row. The process that reads it says what is wrong on its last line."""
    command = [sys.executable, "-m", "millpond.local.states.parquet", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        for line in process.stdout:
            yield line.rstrip("\n")
        said = process.stderr.read().strip()
        if process.wait():
            raise Unreadable(said.rpartition("\n")[2] or "The Parquet file cannot be read.")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
