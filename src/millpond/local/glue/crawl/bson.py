"""BSON: documents one after another, as mongodump writes them; the types of their members, never the values.

Reads what the BSON specification 1.1 defines; a document that does not add up ends the reading.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from millpond.local.glue.crawl.hive import UNKNOWN, Array, Column, Columns, Struct, Type, unique, widen

DEEPEST = 100
# Element type -> bytes of its value, for values of one size; and Hive's type.
FIXED: dict[int, tuple[int, Type]] = {
    0x01: (8, "double"),
    0x06: (0, UNKNOWN),
    0x07: (12, "string"),  # ObjectId
    0x08: (1, "boolean"),
    0x09: (8, "timestamp"),
    0x0A: (0, UNKNOWN),
    0x10: (4, "int"),
    0x11: (8, "bigint"),
    0x12: (8, "bigint"),
    0x13: (16, "string"),  # Decimal128
    0xFF: (0, UNKNOWN),
    0x7F: (0, UNKNOWN),
}
TEXT = frozenset((0x02, 0x0D, 0x0E))


class _BrokenBson(ValueError):
    """The bytes are no BSON document."""


@dataclass(frozen=True, slots=True)
class Bson:
    """What a sample holds."""

    columns: Columns
    records: int


def read(data: bytes, *, complete: bool) -> Bson | None:
    """What BSON a sample holds; None when its first document is none, or a complete sample ends inside one."""
    kinds: dict[str, Type] = {}
    at = records = 0
    while at < len(data):
        try:
            end = _end(data, at, len(data))
            members = _document(data, at, end, 0)
        except (_BrokenBson, UnicodeDecodeError, struct.error):
            if not records or complete:
                return None
            break
        for name, kind in members:
            kinds[name] = widen(kinds[name], kind) if name in kinds else kind
        records, at = records + 1, end
    if not kinds:
        return None
    return Bson(unique(Column(name.lower(), kind, name) for name, kind in kinds.items()), records)


def _end(data: bytes, at: int, limit: int) -> int:
    (length,) = struct.unpack_from("<i", data, at)
    if length < 5 or at + length > limit or data[at + length - 1]:
        raise _BrokenBson
    return int(at + length)


def _document(data: bytes, start: int, end: int, depth: int) -> list[tuple[str, Type]]:
    if depth > DEEPEST:
        raise _BrokenBson
    found: list[tuple[str, Type]] = []
    at = start + 4
    while at < end - 1:
        kind = data[at]
        close = data.find(b"\0", at + 1, end)
        if close < 0:
            raise _BrokenBson
        name = data[at + 1 : close].decode("utf-8")
        value, at = _value(data, kind, close + 1, end, depth)
        found.append((name, value))
    if at != end - 1:
        raise _BrokenBson
    return found


def _value(data: bytes, kind: int, at: int, end: int, depth: int) -> tuple[Type, int]:
    """The type of a value, and where the next element begins."""
    if kind in FIXED:
        size, name = FIXED[kind]
        return name, at + size
    if kind in TEXT:
        (length,) = struct.unpack_from("<i", data, at)
        return "string", _after(at + 4, length, end)
    if kind == 0x05:  # binary: length, subtype, bytes
        (length,) = struct.unpack_from("<i", data, at)
        return "binary", _after(at + 5, length, end)
    if kind in (0x03, 0x04):
        close = _end(data, at, end)
        members = _document(data, at, close, depth + 1)
        return (Struct(tuple(members)) if kind == 0x03 else Array(_widest(members))), close
    if kind == 0x0B:  # regular expression: two C strings
        first = data.find(b"\0", at, end)
        second = data.find(b"\0", first + 1, end) if first >= 0 else -1
        if second >= 0:
            return "string", second + 1
    raise _BrokenBson


def _widest(members: list[tuple[str, Type]]) -> Type:
    found: Type = UNKNOWN
    for _, kind in members:
        found = widen(found, kind)
    return found


def _after(at: int, length: int, end: int) -> int:
    if length < 0 or at + length > end:
        raise _BrokenBson
    return at + length
