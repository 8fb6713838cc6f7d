"""XML: rows by a tag, columns from what the rows hold, as a custom classifier (RowTag) or the built-in one reads them.

Attributes are columns `_name`, the text of an element that has attributes or children is `_VALUE` (the names that
Glue's XML reader gives, AWS docs "XML format options"), an element that repeats is an array. A row that is an empty
element (`<row a="1"/>`) is not read (AWS docs, "Writing XML custom classifiers").

Our decision, where AWS documents nothing: without a row tag the rows are the children of the root that have children
or attributes and repeat; if none repeat, the root is the one row. Namespaces are dropped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from millpond.local.glue.crawl.hive import INT32, INT64, UNKNOWN, Array, Column, Columns, Struct, Type, unique, widen

START = re.compile(r"\ufeff?\s*<[?!A-Za-z_]")
INTEGER = re.compile(r"[+-]?\d{1,19}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
VALUE = "_VALUE"


@dataclass(frozen=True, slots=True)
class Xml:
    """What a sample holds; `row_tag` is the tag of its rows, given or found."""

    row_tag: str
    columns: Columns
    records: int


def read(text: str, *, complete: bool, row_tag: str = "") -> Xml | None:
    """What XML a sample holds; None when it is not XML, is broken, or has no row. RecursionError when too deep."""
    if not START.match(text):
        return None
    found = _parsed(text.lstrip("\ufeff \t\r\n"), complete=complete)
    if found is None:
        return None
    root, ended = found
    wanted = row_tag.rpartition(":")[2] or _row_tag(root, ended)
    rows = [element for element in ended if _local(element.tag) == wanted and _filled(element)]
    if not rows:
        return None
    kinds: dict[str, Type] = {}
    for row in rows:
        for name, kind in _members(row):
            kinds[name] = _wider(kinds[name], kind) if name in kinds else kind
    if not kinds:
        return None
    columns = unique(Column(name.lower(), kind, name) for name, kind in kinds.items())
    return Xml(wanted, columns, len(rows))


def _parsed(text: str, *, complete: bool) -> tuple[Element, list[Element]] | None:
    """The root, and every element whose end was seen. A cut sample gives what is whole in it."""
    parser: Any = XMLPullParser(("start", "end"))
    broken = False
    try:
        parser.feed(text)
        if complete:
            parser.close()
    except ParseError:
        broken = True
    root: Element | None = None
    ended: list[Element] = []
    try:
        for event, element in parser.read_events():
            if not isinstance(element, Element):
                continue
            if root is None:
                root = element
            if event == "end":
                ended.append(element)
    except ParseError:
        broken = True
    return None if root is None or broken else (root, ended)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _filled(row: Element) -> bool:
    """Whether a row may be read: not `<row/>`."""
    return len(row) > 0 or row.text is not None


def _row_tag(root: Element, ended: Iterable[Element]) -> str:
    whole = {id(element) for element in ended}
    tags = Counter(_local(child.tag) for child in root if id(child) in whole and (len(child) or child.attrib))
    tag, count = tags.most_common(1)[0] if tags else ("", 0)
    return tag if count > 1 else _local(root.tag)


def _members(element: Element) -> list[tuple[str, Type]]:
    found: list[tuple[str, Type]] = [(f"_{_local(name)}", scalar(value)) for name, value in element.attrib.items()]
    grouped: dict[str, list[Type]] = {}
    for child in element:
        if isinstance(child.tag, str):
            grouped.setdefault(_local(child.tag), []).append(_type(child))
    for name, kinds in grouped.items():
        widest: Type = UNKNOWN
        for kind in kinds:
            widest = _wider(widest, kind)
        found.append((name, Array(widest) if len(kinds) > 1 else widest))
    if (element.text or "").strip():
        found.append((VALUE, scalar(element.text or "")))
    return found


def _wider(one: Type, other: Type) -> Type:
    """The type that holds both: an element that repeats in some rows only, or that has attributes in some only."""
    match one, other:
        case Array(a), Array(b):
            return Array(_wider(a, b))
        case (Array(a), b) | (b, Array(a)):
            return Array(_wider(a, b))
        case Struct(a), Struct(b):
            fields = dict(a)
            for name, kind in b:
                fields[name] = _wider(fields[name], kind) if name in fields else kind
            return Struct(tuple(fields.items()))
        case (Struct(a), str() as text) | (str() as text, Struct(a)) if text != UNKNOWN:
            return _wider(Struct(a), Struct(((VALUE, text),)))
        case _:
            return widen(one, other)


def _type(element: Element) -> Type:
    if not len(element) and not element.attrib:
        return scalar(element.text or "")
    return Struct(tuple(_members(element)))


def scalar(text: str) -> Type:
    """The type of a value: int, bigint, double, boolean or string; UNKNOWN when it is empty."""
    text = text.strip()
    if not text:
        return UNKNOWN
    if INTEGER.fullmatch(text):
        value = int(text)
        return "int" if value in INT32 else "bigint" if value in INT64 else "double"
    if NUMBER.fullmatch(text):
        return "double"
    return "boolean" if text in ("true", "false") else "string"
