"""JSON objects: one after another, one a line, or an array around all; with or without a custom JSON path.

A file that is one array is one record with one column `array`, as Glue's built-in classifier describes it; with the
path `$[*]` each member is a record, and one that is no object is a column `record` (AWS docs, "Writing JSON custom
classifiers"). Records that cannot be read are counted, not fatal, once one could be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from millpond.local.glue.crawl.hive import UNKNOWN, Column, Columns, Type, of_json, unique, widen

SPACE = re.compile(r"\s*")
STEP = re.compile(
    r"\.(?P<name>[A-Za-z_][\w\-]*)|\[\s*'(?P<quoted>[^']*)'\s*\]|\[\s*(?P<index>\d+)\s*\]|(?P<all>\[\s*\*\s*\]|\.\*)"
)


class JsonPathError(ValueError):
    """The path of a custom classifier is not one that Glue supports."""


@dataclass(frozen=True, slots=True)
class Json:
    """What a sample holds. `records` were read, `bad` could not be; `names` are the columns in the file's spelling."""

    columns: Columns
    records: int
    bad: int


def parse_path(path: str) -> tuple[str | int, ...]:
    """`$.a[*].b` -> ('a', -1, 'b'); -1 stands for all members. JsonPathError."""
    if not path.startswith("$"):
        raise JsonPathError(f"the JSON path '{path}' must begin with $")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        match = STEP.match(path, at)
        if match is None:
            raise JsonPathError(f"the JSON path '{path}' is not supported from position {at}: '{path[at:]}'")
        name = match["name"] if match["name"] is not None else match["quoted"]
        steps.append(name if name is not None else -1 if match["all"] else int(match["index"]))
        at = match.end()
    return tuple(steps)


def read(text: str, *, complete: bool, path: tuple[str | int, ...] | None = None) -> Json | None:
    """What JSON a sample holds; None when it is not JSON, or holds no whole record (a larger sample may)."""
    start = SPACE.match(text, 1 if text.startswith("\ufeff") else 0).end()  # type: ignore[union-attr]
    if text[start : start + 1] not in ("{", "["):
        return None
    documents, bad = _documents(text[start:], complete=complete)
    if not documents:
        return None
    records = [item for document in documents for item in _select(document, path)] if path else documents
    usable = records if path else [record for record in records if isinstance(record, dict | list)]
    if not usable:
        return None
    return Json(schema(usable), len(usable), bad + len(records) - len(usable))


def _documents(text: str, *, complete: bool) -> tuple[list[Any], int]:
    """The documents in a text, and how many could not be read. The last one of a cut text is not counted as bad."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    if not complete and lines and not text.endswith("\n"):
        lines.pop()
    try:  # one decoder call for the usual case: a document a line
        return json.loads(f"[{','.join(lines)}]"), 0
    except (ValueError, RecursionError):
        pass
    found, stopped = _one_after_another(text)
    if found and (stopped is None or not complete):
        return found, 0
    each = [_decoded(line) for line in lines]
    good = [document for document, ok in each if ok and isinstance(document, dict | list)]
    return (good, len(lines) - len(good)) if len(good) > len(found) else (found, 1 if found else 0)


def _one_after_another(text: str) -> tuple[list[Any], int | None]:
    """Documents that may span lines; and where the first unreadable one begins, if there is one."""
    decoder, at, ended = json.JSONDecoder(), 0, 0
    found: list[Any] = []
    while at < len(text):
        try:
            document, end = decoder.raw_decode(text, at)
            if not isinstance(document, dict | list):
                raise ValueError("a value alone is no record")
        except (ValueError, RecursionError):
            if found and "\n" not in text[ended:at]:
                found.pop()  # `[4018] 14 Nov ...`: a document does not have other text behind it on its line
            return found, at
        found.append(document)
        at = ended = end
        at = SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text[at : at + 1] == ",":  # a list without its brackets: seen in exports
            at = SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
    return found, None


def _decoded(line: str) -> tuple[Any, bool]:
    try:
        return json.loads(line), True
    except (ValueError, RecursionError):
        return None, False


def _select(document: Any, path: tuple[str | int, ...]) -> Iterator[Any]:
    if not path:
        yield document
        return
    step, rest = path[0], path[1:]
    members: Iterable[Any] = ()
    match step, document:
        case -1, list():
            members = document
        case -1, dict():
            members = document.values()
        case int(), list() if step < len(document):
            members = (document[step],)
        case str(), dict() if step in document:
            members = (document[step],)
    for member in members:
        yield from _select(member, rest)


def _whole(record: Any) -> str:
    """The column of a record that is no object."""
    return "array" if isinstance(record, list) else "record"


def schema(records: Iterable[Any]) -> Columns:
    """The columns of records, in the order of their first appearance; names that differ in case only are one column."""
    found: dict[str, Type] = {}
    for record in records:
        members = record.items() if isinstance(record, dict) else ((_whole(record), record),)
        for name, value in members:
            kind = of_json(value)
            before = found.get(name, UNKNOWN)
            if kind is not before and kind != before:
                found[name] = widen(before, kind)
            elif name not in found:
                found[name] = kind
    return unique(Column(name.lower(), kind, name) for name, kind in found.items())
