"""The types of Athena: Trino's in queries, Hive's in table definitions, DuckDB's underneath.

One value, `Type`, with Trino's name. `parse` reads both spellings (`array<struct<a:int>>`, `array(row(a integer))`).
Coercions follow Trino: numbers widen, varchar(n) -> varchar, date -> timestamp -> timestamp with time zone; text never
becomes a number by itself. A `timestamp with time zone` is an instant whose zone is known while planning (`zone`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from millpond.local.athena.failures import QueryFailure


@dataclass(frozen=True, slots=True)
class Type:
    """`size` is a decimal's precision or the length of varchar and char; `fields` are the names of a row's members."""

    name: str
    args: tuple[Type, ...] = ()
    fields: tuple[str | None, ...] = ()
    size: int | None = None
    scale: int = 0
    zone: str = "UTC"

    def __str__(self) -> str:
        match self.name:
            case "decimal":
                return f"decimal({self.size},{self.scale})"
            case "varchar" | "char" if self.size is not None:
                return f"{self.name}({self.size})"
            case "timestamp":
                return "timestamp(3)"
            case "timestamp with time zone":
                return "timestamp(3) with time zone"
            case "row":
                members = zip(self.fields, self.args, strict=True)
                return f"row({', '.join(f'{n} {t}' if n else str(t) for n, t in members)})"
            case "array" | "map":
                return f"{self.name}({', '.join(map(str, self.args))})"
            case _:
                return self.name

    @property
    def text(self) -> bool:
        return self.name in {"varchar", "char"}

    @property
    def integral(self) -> bool:
        return self.name in INTEGERS

    @property
    def numeric(self) -> bool:
        return self.name in NUMBERS

    @property
    def athena(self) -> str:
        """ColumnInfo.Type: `float` for real, bare names for parametric types."""
        return {"real": "float", "unknown": "varchar"}.get(self.name, self.name)

    @property
    def hive(self) -> str:
        """As a column of a Glue table that CTAS or a view makes."""
        match self.name:
            case "varchar" | "unknown" | "json":
                return f"varchar({self.size})" if self.size and self.name == "varchar" else "string"
            case "array" | "map":
                return f"{self.name}<{','.join(t.hive for t in self.args)}>"
            case "row":
                return f"struct<{','.join(f'{n}:{t.hive}' for n, t in zip(self.names, self.args, strict=True))}>"
            case _:
                return {"integer": "int", "real": "float", "varbinary": "binary"}.get(self.name, str(self).replace(
                    "timestamp(3)", "timestamp"))  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """The names of a row's members in DuckDB; Trino's unnamed members are `field0`, `field1`."""
        return tuple(name or f"field{i}" for i, name in enumerate(self.fields))

    @property
    def duckdb(self) -> str:
        match self.name:
            case "decimal":
                return f"DECIMAL({self.size},{self.scale})"
            case "array":
                return f"{self.args[0].duckdb}[]"
            case "map":
                return f"MAP({self.args[0].duckdb}, {self.args[1].duckdb})"
            case "row":
                members = zip(self.names, self.args, strict=True)
                return f"STRUCT({', '.join(f'{quoted(n)} {t.duckdb}' for n, t in members)})"
            case _:
                return DUCKDB[self.name]


def quoted(name: str) -> str:
    """The one quoting function for identifiers in generated SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The one quoting function for strings in generated SQL. NUL cannot be in a query."""
    return "'" + text.replace("'", "''") + "'"


DUCKDB = {
    "boolean": "BOOLEAN", "tinyint": "TINYINT", "smallint": "SMALLINT", "integer": "INTEGER", "bigint": "BIGINT",
    "real": "FLOAT", "double": "DOUBLE", "varchar": "VARCHAR", "char": "VARCHAR", "varbinary": "BLOB", "date": "DATE",
    "time": "TIME", "timestamp": "TIMESTAMP", "timestamp with time zone": "TIMESTAMPTZ", "json": "JSON",
    "interval day to second": "INTERVAL", "interval year to month": "INTERVAL", "unknown": '"NULL"',
}  # fmt: skip
INTEGERS = ("tinyint", "smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "decimal", "real", "double")
DIGITS = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
TIMES = ("date", "timestamp", "timestamp with time zone")

BOOLEAN, INTEGER, BIGINT, REAL, DOUBLE = map(Type, ("boolean", "integer", "bigint", "real", "double"))
VARCHAR, VARBINARY, DATE, TIME, TIMESTAMP = map(Type, ("varchar", "varbinary", "date", "time", "timestamp"))
TIMESTAMP_TZ, JSON, UNKNOWN = map(Type, ("timestamp with time zone", "json", "unknown"))
DAY_TO_SECOND, YEAR_TO_MONTH = Type("interval day to second"), Type("interval year to month")


def decimal(size: int, scale: int) -> Type:
    """Precision is capped at 38, as Trino caps the results of arithmetic."""
    return Type("decimal", size=max(1, min(38, size)), scale=min(38, scale))


def array(of: Type) -> Type:
    return Type("array", (of,))


def mapping(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def row(*members: tuple[str | None, Type]) -> Type:
    return Type("row", tuple(t for _, t in members), tuple(n for n, _ in members))


# --- reading type names -----------------------------------------------------------------------------------------------

ALIASES = {
    "string": "varchar", "int": "integer", "float": "real", "binary": "varbinary", "numeric": "decimal",
    "dec": "decimal", "long": "bigint", "struct": "row", "bool": "boolean", "byte": "tinyint", "short": "smallint",
    "double precision": "double", "timestamp without time zone": "timestamp",
}  # fmt: skip
WORD = re.compile(r'\s*("(?:[^"]|"")*"|`[^`]*`|[\w$ ./-]+?(?=\s*[<>(),:]|\s*$)|[<>(),:])')


def parse(text: str) -> Type:
    """Read a Hive or Trino type. Raises QueryFailure TYPE_NOT_FOUND for what is neither."""
    try:
        found, rest = _read(text.strip())
    except RecursionError:
        rest = "..."
    if rest.strip():
        raise unknown_type(text)
    return found


def unknown_type(text: str) -> QueryFailure:
    return QueryFailure("TYPE_NOT_FOUND", f"Unknown type: {text[:200]}")


def _read(text: str) -> tuple[Type, str]:
    word = re.match(r"\s*([A-Za-z][\w]*)", text)
    if not word:
        raise unknown_type(text)
    name = word[1].lower()
    rest = text[word.end() :]
    if name == "double" and (two := re.match(r"\s+precision\b", rest, re.I)):
        rest = rest[two.end() :]
    name = ALIASES.get(name, name)
    numbers: list[int] = []
    if name not in {"array", "map", "row"} and (size := re.match(r"\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)", rest)):
        numbers = [int(n) for n in size.groups() if n]
        rest = rest[size.end() :]
    if name in {"timestamp", "time"} and (
        zone := re.match(r"\s+(with|without)\s+(local\s+)?time\s+zone\b", rest, re.I)
    ):
        name, rest = (f"{name} with time zone" if zone[1].lower() == "with" else name), rest[zone.end() :]
    match name:
        case "array" | "map" | "row":
            return _nested(name, rest, text)
        case "decimal":
            digits, scale = (*numbers, 0)[:2] if numbers else (10, 0)
            return Type("decimal", size=digits, scale=scale), rest
        case "varchar" | "char":
            return Type(name, size=numbers[0] if numbers else (1 if name == "char" else None)), rest
        case _ if name in DUCKDB:
            return Type(name), rest
    raise unknown_type(text)


def _nested(name: str, rest: str, text: str) -> tuple[Type, str]:
    rest = rest.lstrip()
    if rest[:1] not in {"<", "("}:
        raise unknown_type(text)
    close = {"<": ">", "(": ")"}[rest[0]]
    rest = rest[1:]
    members: list[tuple[str | None, Type]] = []
    while True:
        field = None
        if name == "row":
            field, rest = _member_name(rest)
        of, rest = _read(rest)
        members.append((field, of))
        rest = rest.lstrip()
        if rest[:1] == close:
            break
        if rest[:1] != ",":
            raise unknown_type(text)
        rest = rest[1:]
    if name != "row" and len(members) != {"array": 1, "map": 2}[name]:
        raise unknown_type(text)
    args = tuple(t for _, t in members)
    return Type(name, args, tuple(n for n, _ in members) if name == "row" else ()), rest[1:]


def _member_name(rest: str) -> tuple[str | None, str]:
    if named := re.match(r'\s*(?:"((?:[^"]|"")+)"|`([^`]+)`|([^\s<>(),:"`]+))\s*(:|\s(?=\s*[A-Za-z]))', rest):
        name = named[1] or named[2] or named[3]
        if named[4] == ":" or not re.match(r"(?i)(precision|with|without)\b", rest[named.end() :].lstrip()):
            return name.replace('""', '"'), rest[named.end() :]
    return None, rest


# --- coercion ---------------------------------------------------------------------------------------------------------


def as_decimal(of: Type) -> Type:
    return of if of.name == "decimal" else decimal(DIGITS[of.name], 0)


def common(left: Type, right: Type) -> Type | None:
    """The type both sides coerce to, or None: Trino's common super type."""
    if left == right or right.name == "unknown":
        return left
    if left.name == "unknown":
        return right
    if left.numeric and right.numeric:
        return _common_number(left, right)
    if left.text and right.text:
        sizes = (left.size, right.size)
        name = "char" if left.name == right.name == "char" else "varchar"
        return Type(name, size=None if None in sizes else max(s for s in sizes if s is not None))
    if left.name in TIMES and right.name in TIMES:
        return max(left, right, key=lambda t: TIMES.index(t.name))
    if left.name == right.name and len(left.args) == len(right.args) and left.args:
        args = [common(a, b) for a, b in zip(left.args, right.args, strict=True)]
        if all(args):
            names = tuple(a if a == b else None for a, b in zip(left.fields, right.fields, strict=True))
            return replace(left, args=tuple(a for a in args if a), fields=names)
    return None


def _common_number(left: Type, right: Type) -> Type:
    names = {left.name, right.name}
    if "double" in names:
        return DOUBLE
    if "real" in names:
        return REAL
    if "decimal" in names:
        a, b = as_decimal(left), as_decimal(right)
        scale = max(a.scale, b.scale)
        return decimal(max((a.size or 0) - a.scale, (b.size or 0) - b.scale) + scale, scale)
    return max(left, right, key=lambda t: INTEGERS.index(t.name))


def coerces(given: Type, wanted: Type) -> bool:
    """Whether Trino casts `given` to `wanted` without being asked."""
    if wanted.name == "varchar" and given.text:
        return wanted.size is None or (given.size is not None and given.size <= wanted.size)
    if wanted.name == "decimal" and wanted.size is None and given.numeric:
        return given.name not in {"real", "double"}
    return common(given, wanted) == wanted
