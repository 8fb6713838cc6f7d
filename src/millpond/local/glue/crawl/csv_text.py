"""Delimited text: delimiter, header and types (of the first 1000 rows), as Glue's built-in classifier does (AWS docs).

At least two columns and two data rows. The first row is a header when every cell reads as text, all but the last are
shorter than 150 characters, every name is a possible column name, and at least one data row holds a value that is
not text: so a file of text only has no header. Columns without a header are `col0`, `col1`, ...

A custom classifier (`Rules`) may fix delimiter, quote, header, names and types. AWS does not say how `CustomDatatypes`
meet columns: as many types as columns are taken in their order (our decision), another number are the types that may
be found in the cells.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from millpond.local.glue.crawl.hive import UNKNOWN, Column, Columns, written

DELIMITERS = (",", "|", "\t", ";", "\x01")
ROWS = 1000
EVEN = 0.8  # share of rows that must have the usual number of cells (our decision; AWS does not publish one)
INTEGER = re.compile(r"[+-]?\d{1,18}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
NAME = re.compile(r"[\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff\t]{1,255}")
LONGEST_HEADER = 150
# CustomDatatypes -> Hive's types; and what a cell of each must look like. The others are never found in cells.
DATATYPES = {
    **{name: name.lower() for name in ("BINARY", "BOOLEAN", "DATE", "DOUBLE", "FLOAT", "INT", "STRING", "TIMESTAMP")},
    **{"DECIMAL": "decimal(38,18)", "LONG": "bigint", "SHORT": "smallint"},
}
READERS: dict[str, Callable[[str], object]] = {
    "BOOLEAN": re.compile(r"(?i:true|false)").fullmatch,
    "DATE": re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch,
    "TIMESTAMP": re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?").fullmatch,
    "SHORT": lambda cell: INTEGER.fullmatch(cell) and -(2**15) <= int(cell) < 2**15,
    "INT": lambda cell: INTEGER.fullmatch(cell) and -(2**31) <= int(cell) < 2**31,
    "LONG": INTEGER.fullmatch,
    "FLOAT": NUMBER.fullmatch,
    "DOUBLE": NUMBER.fullmatch,
    "DECIMAL": re.compile(r"[+-]?(\d+\.?\d*|\.\d+)").fullmatch,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """A custom CSV classifier. `contains_header` is UNKNOWN, PRESENT or ABSENT."""

    delimiter: str = ""
    quote: str = '"'
    contains_header: str = "UNKNOWN"
    header: tuple[str, ...] = ()
    trim: bool = True
    single_column: bool = False
    datatypes: tuple[str, ...] = ()
    serde: str = "LazySimpleSerDe"  # or OpenCSVSerDe, or None: the one that fits


@dataclass(frozen=True, slots=True)
class Csv:
    """What a sample holds; `records` counts data rows of the sample, `quoted` when any cell was in quotes."""

    delimiter: str
    header: bool
    columns: Columns
    records: int
    quoted: bool
    ragged: int


def read(text: str, *, complete: bool, rules: Rules | None = None) -> Csv | None:
    """What delimited text a sample holds, or None with less than two columns or data rows."""
    if "\0" in text:
        return None
    wanted = rules or Rules()
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if not complete and len(lines) > 1 and not lines[-1].endswith(("\n", "\r")):
        lines.pop()
    rows, delimiter = _cells(lines, wanted)
    if not rows:
        return None
    width = Counter(map(len, rows)).most_common(1)[0][0]
    if width < (1 if wanted.single_column else 2):
        return None
    even = [row for row in rows if len(row) == width]
    if len(even) < EVEN * len(rows):
        return None
    header = _has_header(even, rows[0], wanted)
    data = even[1:] if header else even
    if len(data) < (1 if rules else 2):
        return None
    kinds = _kinds(data[:ROWS], width, wanted.datatypes)
    names = _names(even[0] if header else (), width, wanted)
    columns = tuple(Column(low, kind, name) for (low, name), kind in zip(names, kinds, strict=True))
    quoted = bool(wanted.quote) and any(wanted.quote in line for line in lines[:ROWS])
    return Csv(delimiter, header, columns, len(rows) - header, quoted, len(rows) - len(even))


def _cells(lines: Sequence[str], rules: Rules) -> tuple[list[list[str]], str]:
    """The rows, by the delimiter that splits them most evenly into two cells or more; of equals the first listed."""
    best: tuple[float, list[list[str]], str] = (0.0, [], "")
    for delimiter in (rules.delimiter,) if rules.delimiter else DELIMITERS:
        if not rules.single_column and not any(delimiter in line for line in lines[:20]):
            continue
        try:
            rows = [row for row in _reader(lines, delimiter, rules) if any(row)]
        except csv.Error:
            continue
        if not rows:
            continue
        width, count = Counter(map(len, rows)).most_common(1)[0]
        score = count / len(rows) if width > 1 or rules.single_column else 0.0
        if score > best[0]:
            best = (score, rows, delimiter)
    return best[1], best[2]


def _reader(lines: Sequence[str], delimiter: str, rules: Rules) -> list[list[str]]:
    if rules.quote:
        rows = csv.reader(lines, delimiter=delimiter, quotechar=rules.quote)
    else:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return [[cell.strip() for cell in row] for row in rows] if rules.trim else list(rows)


def _has_header(rows: Sequence[Sequence[str]], first: Sequence[str], rules: Rules) -> bool:
    if rules.contains_header != "UNKNOWN":
        return rules.contains_header == "PRESENT"
    if rules.header:
        return list(rules.header) == list(first)
    if first is not rows[0] and list(first) != list(rows[0]):
        return False  # the first row does not have the usual number of cells
    names = first[:-1] if not first[-1] else first  # the last cell may be empty throughout
    if not all(NAME.fullmatch(name) and _kind([name]) == "string" for name in names):
        return False
    if any(len(cell) >= LONGEST_HEADER for cell in first[:-1]):
        return False
    return any(_kind([cell]) not in ("string", UNKNOWN) for row in rows[1:] for cell in row)


def _kinds(rows: Sequence[Sequence[str]], width: int, datatypes: Sequence[str]) -> list[str]:
    if len(datatypes) == width:
        return [DATATYPES[kind] for kind in datatypes]
    return [_kind([row[n] for row in rows], datatypes) for n in range(width)]


def _kind(cells: Sequence[str], datatypes: Sequence[str] = ()) -> str:
    """The narrowest type that reads every cell that is not empty: bigint, double, one of `datatypes`, or string."""
    found = [cell for cell in (cell.strip() for cell in cells) if cell]
    if not found:
        return UNKNOWN
    for kind in datatypes:
        reads = READERS.get(kind)
        if reads is not None and all(map(reads, found)):
            return DATATYPES[kind]
    if all(map(INTEGER.fullmatch, found)):
        return "bigint"
    return "double" if all(map(NUMBER.fullmatch, found)) else "string"


def _names(header: Sequence[str], width: int, rules: Rules) -> list[tuple[str, str]]:
    """Names of the columns, lower case and as written. An empty or repeated name gets the name of its place."""
    given = list(rules.header) or list(header)
    found: dict[str, str] = {}
    for n in range(width):
        name = written(given[n].strip()) if n < len(given) and given[n].strip() else f"col{n}"
        low = name.lower()
        if low in found:
            low, name = f"{low}_{n}", f"{name}_{n}"
        found[low] = name
    return list(found.items())
