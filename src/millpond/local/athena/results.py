"""Result files and GetQueryResults: the CSV in S3 is the result; a page is a stretch of it.

In the file every value is quoted and NULL is nothing at all, so the empty text and NULL differ. A NextToken is a place
in the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from millpond.local.athena.types import Type
from millpond.local.service import AwsError

# ColumnInfo.Precision, from recorded GetQueryResults answers in AWS's documentation (decimal has its own)
PRECISION = {"boolean": 0, "tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19, "real": 17, "double": 17,
             "varchar": 2147483647, "char": 2147483647, "varbinary": 1073741824, "date": 0, "timestamp": 3,
             "timestamp with time zone": 3, "json": 0, "array": 0, "map": 0, "row": 0, "unknown": 0}  # fmt: skip


def column_info(name: str, of: Type) -> dict[str, Any]:
    """ColumnInfo of a result column."""
    size = of.size if of.name in {"decimal", "varchar", "char"} and of.size is not None else PRECISION.get(of.name, 0)
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": of.athena,
        "Precision": size,
        "Scale": of.scale,
        "Nullable": "UNKNOWN",
        "CaseSensitive": of.text,
    }


def text_column(name: str) -> dict[str, Any]:
    """The one column of a DDL result."""
    return column_info(name, Type("varchar")) | {"Type": "string", "Precision": 0, "CaseSensitive": False}


def token(place: int) -> str:
    return base64.urlsafe_b64encode(json.dumps({"at": place}).encode()).decode()


def place(given: str) -> int:
    """The place in the file that a NextToken means. Raises AwsError InvalidRequestException."""
    try:
        at = json.loads(base64.urlsafe_b64decode(given.encode()))["at"]
        if isinstance(at, int) and at >= 0:
            return at
    except (ValueError, KeyError, TypeError):
        pass
    raise AwsError("InvalidRequestException", "NextToken is malformed.")


def page(path: Path, start: int, limit: int, *, csv: bool) -> tuple[list[dict[str, Any]], str | None]:
    """`limit` rows from `start`, and the token of the next page."""
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        file.seek(start)
        for cells in records(file) if csv else lines(file):
            rows.append({"Data": [{} if c is None else {"VarCharValue": c} for c in cells]})
            if len(rows) == limit:
                break
        here = file.tell()
        more = bool(file.read(1))
    return rows, token(here) if more else None


def lines(file: BinaryIO) -> Iterator[list[str | None]]:
    while line := file.readline():
        yield [line.decode("utf-8").rstrip("\n")]


def records(file: BinaryIO) -> Iterator[list[str | None]]:
    """Records of the CSV; a quoted value may hold line ends."""
    while record := file.readline():
        while record.count(b'"') % 2:
            more = file.readline()
            if not more:
                break
            record += more
        yield cells(record.decode("utf-8").removesuffix("\n"))


def cells(record: str) -> list[str | None]:
    """The values of one record; what has no quotes is NULL."""
    out: list[str | None] = []
    at = 0
    while True:
        if record[at : at + 1] == '"':
            end = at + 1
            while record[end] != '"' or record[end + 1 : end + 2] == '"':
                end += 2 if record[end] == '"' else 1
            out.append(record[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            out.append(None)
        if record[at : at + 1] != ",":
            return out
        at += 1
