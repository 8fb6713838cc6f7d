"""Everything that is not a query: CREATE, DROP, ALTER, SHOW, MSCK, INSERT, UNLOAD, PREPARE, read by our own rules.

These statements are never handed to the engine. `read(sql)` answers one of the dataclasses below; a SELECT, WITH or
VALUES is `Select`; what Athena knows and we do not is `Refused`; anything else raises MalformedQuery.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from millpond.local.athena.failures import MalformedQuery
from millpond.local.athena.grammar import strip_comments

Name = tuple[str, ...]  # ("db", "table") or ("table",)
Columns = tuple[tuple[str, str, str], ...]  # name, type, comment


@dataclass(frozen=True, slots=True)
class Select:
    sql: str


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    name: str
    quiet: bool
    comment: str = ""
    location: str = ""
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DropDatabase:
    name: str
    quiet: bool
    cascade: bool


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE EXTERNAL TABLE in Hive's words."""

    name: Name
    quiet: bool
    columns: Columns
    keys: Columns
    comment: str
    serde: str
    serde_properties: dict[str, str]
    stored: str
    formats: tuple[str, str]
    location: str
    properties: dict[str, str]


@dataclass(frozen=True, slots=True)
class CreateTableAs:
    name: Name
    quiet: bool
    options: dict[str, Any]
    query: str
    data: bool


@dataclass(frozen=True, slots=True)
class CreateView:
    name: Name
    replace: bool
    query: str


@dataclass(frozen=True, slots=True)
class Drop:
    kind: str  # TABLE or VIEW
    name: Name
    quiet: bool


@dataclass(frozen=True, slots=True)
class Insert:
    name: Name
    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True, slots=True)
class Unload:
    query: str
    location: str
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Repair:
    name: Name


@dataclass(frozen=True, slots=True)
class AddPartitions:
    name: Name
    quiet: bool
    partitions: tuple[tuple[dict[str, str], str], ...]  # values by key, location


@dataclass(frozen=True, slots=True)
class DropPartitions:
    name: Name
    quiet: bool
    partitions: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class AlterColumns:
    name: Name
    columns: Columns
    replace: bool


@dataclass(frozen=True, slots=True)
class SetProperties:
    name: Name
    properties: dict[str, str]


@dataclass(frozen=True, slots=True)
class SetLocation:
    name: Name
    partition: dict[str, str]
    location: str


@dataclass(frozen=True, slots=True)
class Show:
    """`what`: DATABASES, TABLES, VIEWS, COLUMNS, PARTITIONS, TBLPROPERTIES, CREATE TABLE, CREATE VIEW, DESCRIBE."""

    what: str
    name: Name = ()
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Prepare:
    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Execute:
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deallocate:
    name: str


@dataclass(frozen=True, slots=True)
class Refused:
    what: str


Statement = (
    Select | CreateDatabase | DropDatabase | CreateTable | CreateTableAs | CreateView | Drop | Insert | Unload | Repair
    | AddPartitions | DropPartitions | AlterColumns | SetProperties | SetLocation | Show | Prepare | Execute
    | Deallocate | Refused
)  # fmt: skip

TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")*"|`[^`]*`)"""
    r"""|(?P<word>[A-Za-z_][\w$]*)|(?P<number>\d+(?:\.\d+)?)|(?P<mark>\S)"""
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


class Reader:
    """A cursor over the tokens of one statement."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        clean = strip_comments(sql)
        self.tokens = [Token(str(m.lastgroup), m[0], m.start(), m.end()) for m in TOKEN.finditer(clean)]
        while self.tokens and self.tokens[-1].text == ";":
            self.tokens.pop()
        self.at = 0

    @property
    def next(self) -> Token:
        end = self.tokens[-1].end if self.tokens else 0
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "<EOF>", end, end)

    def refuse(self, expected: str = "") -> MalformedQuery:
        before = self.sql[: self.next.start]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        tail = f". Expecting: {expected}" if expected else ""
        return MalformedQuery(f"line {line}:{column}: mismatched input '{self.next.text}'{tail}")

    def sees(self, *words: str) -> bool:
        here = self.tokens[self.at : self.at + len(words)]
        return len(here) == len(words) and all(
            t.text.upper() == w and t.kind in {"word", "mark"} for t, w in zip(here, words, strict=True)
        )

    def takes(self, *words: str) -> bool:
        if self.sees(*words):
            self.at += len(words)
            return True
        return False

    def must(self, *words: str) -> None:
        for word in words:
            if not self.takes(word):
                raise self.refuse(f"'{word}'")

    def end(self) -> None:
        if self.next.kind != "end":
            raise self.refuse("<EOF>")

    def identifier(self) -> str:
        token = self.next
        if token.kind == "quoted":
            self.at += 1
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.kind == "word":
            self.at += 1
            return token.text
        raise self.refuse("<identifier>")

    def name(self) -> Name:
        parts = [self.identifier().lower()]
        while self.takes("."):
            parts.append(self.identifier().lower())
        if len(parts) == 3 and parts[0] == "awsdatacatalog":
            parts = parts[1:]
        if len(parts) > 2:
            raise self.refuse()
        return tuple(parts)

    def string(self) -> str:
        token = self.next
        if token.kind != "string" and not (token.kind == "quoted" and token.text[0] == '"'):
            raise self.refuse("<string>")
        self.at += 1
        return token.text[1:-1].replace(token.text[0] * 2, token.text[0])

    def value(self) -> str:
        """A string, number or bare word, as text."""
        if self.next.kind in {"string", "quoted"}:
            return self.string()
        if self.next.kind in {"number", "word"}:
            self.at += 1
            return self.tokens[self.at - 1].text
        raise self.refuse("<value>")

    def properties(self) -> dict[str, str]:
        self.must("(")
        found: dict[str, str] = {}
        while not self.takes(")"):
            key = self.value()
            self.must("=")
            found[key] = self.value()
            if not self.takes(",") and not self.sees(")"):
                raise self.refuse("',', ')'")
        return found

    def options(self) -> dict[str, Any]:
        """`WITH (format = 'PARQUET', partitioned_by = ARRAY['day'])`: keys in lower case."""
        self.must("(")
        found: dict[str, Any] = {}
        while not self.takes(")"):
            key = self.identifier().lower()
            self.must("=")
            if self.takes("ARRAY", "["):
                items = []
                while not self.takes("]"):
                    items.append(self.string())
                    self.takes(",")
                found[key] = items
            else:
                found[key] = self.value()
            if not self.takes(",") and not self.sees(")"):
                raise self.refuse("',', ')'")
        return found

    def columns(self) -> Columns:
        self.must("(")
        found: list[tuple[str, str, str]] = []
        while not self.takes(")"):
            name = self.identifier().lower()
            start, depth = self.next.start, 0
            while depth or not (self.sees(",") or self.sees(")") or self.sees("COMMENT")):
                if self.next.kind == "end":
                    raise self.refuse("')'")
                depth += (self.next.text in "(<") - (self.next.text in ")>")
                self.at += 1
            of = self.sql[start : self.tokens[self.at - 1].end] if self.next.start > start else ""
            if not of.strip():
                raise self.refuse("<type>")
            comment = self.string() if self.takes("COMMENT") else ""
            found.append((name, re.sub(r"\s*([<>(),:])\s*", r"\1", of.strip().lower()), comment))
            if not self.takes(",") and not self.sees(")"):
                raise self.refuse("',', ')'")
        return tuple(found)

    def rest(self) -> str:
        """The remaining text, whose places are those of the whole statement: what is before it becomes blanks."""
        start, end = self.next.start, self.tokens[-1].end if self.tokens else 0
        if self.next.kind == "end":
            raise self.refuse("<query>")
        return re.sub(r"[^\n]", " ", self.sql[:start]) + self.sql[start:end]


def read(sql: str) -> Statement:
    """What kind of statement this is, taken apart. Raises MalformedQuery."""
    r = Reader(sql)
    if r.next.kind == "end":
        raise MalformedQuery("line 1:1: mismatched input '<EOF>'. Expecting: <statement>")
    first = r.next.text.upper()
    if first in {"SELECT", "WITH", "VALUES", "TABLE", "("}:
        return Select(r.rest())
    rule = RULES.get(first)
    if rule is None:
        if first in REFUSED:
            return Refused(first)
        raise r.refuse("'ALTER', 'CREATE', 'DELETE', 'DESCRIBE', 'DROP', 'EXECUTE', 'EXPLAIN', 'INSERT', 'MSCK', "
                       "'PREPARE', 'SHOW', 'UNLOAD', 'VALUES', 'WITH', <query>")  # fmt: skip
    r.at += 1
    return rule(r)


REFUSED = frozenset({"EXPLAIN", "MERGE", "UPDATE", "DELETE", "OPTIMIZE", "VACUUM", "USING", "ANALYZE", "TRUNCATE"})


def _if_not_exists(r: Reader) -> bool:
    return r.takes("IF", "NOT", "EXISTS")


def _create(r: Reader) -> Statement:
    if r.takes("DATABASE") or r.takes("SCHEMA"):
        return _create_database(r)
    if r.takes("EXTERNAL", "TABLE"):
        return _create_external(r)
    if r.takes("TABLE"):
        return _create_as(r)
    replace = r.takes("OR", "REPLACE")
    if r.takes("VIEW"):
        name = r.name()
        r.must("AS")
        return CreateView(name, replace, r.rest())
    raise r.refuse("'DATABASE', 'EXTERNAL', 'OR', 'SCHEMA', 'TABLE', 'VIEW'")


def _create_database(r: Reader) -> CreateDatabase:
    quiet = _if_not_exists(r)
    name = r.identifier().lower()
    comment = r.string() if r.takes("COMMENT") else ""
    location = r.string() if r.takes("LOCATION") else ""
    properties = r.properties() if r.takes("WITH", "DBPROPERTIES") else {}
    r.end()
    return CreateDatabase(name, quiet, comment, location, properties)


DELIMITERS = {
    ("FIELDS", "TERMINATED", "BY"): "field.delim", ("ESCAPED", "BY"): "escape.delim",
    ("COLLECTION", "ITEMS", "TERMINATED", "BY"): "colelction.delim",
    ("MAP", "KEYS", "TERMINATED", "BY"): "mapkey.delim",
    ("LINES", "TERMINATED", "BY"): "line.delim", ("NULL", "DEFINED", "AS"): "serialization.null.format",
}  # fmt: skip


def _create_external(r: Reader) -> Statement:
    quiet, name = _if_not_exists(r), r.name()
    columns = r.columns()
    found: dict[str, Any] = {"comment": "", "keys": (), "serde": "", "serde_properties": {}, "stored": "",
                             "formats": ("", ""), "location": "", "properties": {}}  # fmt: skip
    while r.next.kind != "end":
        if r.sees("CLUSTERED", "BY"):
            return Refused("CLUSTERED BY")
        if not (_table_part(r, found) or _storage_part(r, found)):
            raise r.refuse("'COMMENT', 'LOCATION', 'PARTITIONED', 'ROW', 'STORED', 'TBLPROPERTIES', 'WITH'")
    return CreateTable(name, quiet, columns, **found)


def _table_part(r: Reader, found: dict[str, Any]) -> bool:
    if r.takes("COMMENT"):
        found["comment"] = r.string()
    elif r.takes("PARTITIONED", "BY"):
        found["keys"] = r.columns()
    elif r.takes("LOCATION"):
        found["location"] = r.string()
    elif r.takes("TBLPROPERTIES"):
        found["properties"] = r.properties()
    else:
        return False
    return True


def _storage_part(r: Reader, found: dict[str, Any]) -> bool:
    if r.takes("ROW", "FORMAT", "SERDE"):
        found["serde"] = r.string()
    elif r.takes("WITH", "SERDEPROPERTIES"):
        found["serde_properties"] |= r.properties()
    elif r.takes("ROW", "FORMAT", "DELIMITED"):
        found["serde"] = "delimited"
        found["serde_properties"] |= _delimiters(r)
    elif r.takes("STORED", "AS", "INPUTFORMAT"):
        given = r.string()
        r.must("OUTPUTFORMAT")
        found["formats"] = (given, r.string())
    elif r.takes("STORED", "AS"):
        found["stored"] = r.identifier().upper()
    else:
        return False
    return True


def _delimiters(r: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    while True:
        words = next((w for w in DELIMITERS if r.sees(*w)), None)
        if words is None:
            return found
        r.must(*words)
        found[DELIMITERS[words]] = r.string().replace("\\t", "\t").replace("\\n", "\n").replace("\\001", "\x01")


def _create_as(r: Reader) -> Statement:
    quiet, name = _if_not_exists(r), r.name()
    if r.sees("("):
        return Refused("CREATE TABLE of an Iceberg table")
    options = r.options() if r.takes("WITH") else {}
    r.must("AS")
    data = True
    if r.tokens[-2:] and [t.text.upper() for t in r.tokens[-3:]] == ["WITH", "NO", "DATA"]:
        del r.tokens[-3:]
        data = False
    elif [t.text.upper() for t in r.tokens[-2:]] == ["WITH", "DATA"]:
        del r.tokens[-2:]
    return CreateTableAs(name, quiet, options, r.rest(), data)


def _drop(r: Reader) -> Statement:
    kind = r.identifier().upper()
    quiet = r.takes("IF", "EXISTS")
    match kind:
        case "DATABASE" | "SCHEMA":
            name = r.identifier().lower()
            cascade = r.takes("CASCADE")
            if not cascade:
                r.takes("RESTRICT")
            r.end()
            return DropDatabase(name, quiet, cascade)
        case "TABLE" | "VIEW":
            found = Drop(kind, r.name(), quiet)
            r.end()
            return found
    raise r.refuse("'DATABASE', 'SCHEMA', 'TABLE', 'VIEW'")


def _insert(r: Reader) -> Insert:
    r.must("INTO")
    name = r.name()
    columns: tuple[str, ...] = ()
    if r.sees("(") and r.tokens[r.at + 1].text.upper() not in {"SELECT", "WITH", "VALUES"}:
        r.must("(")
        names = [r.identifier().lower()]
        while r.takes(","):
            names.append(r.identifier().lower())
        r.must(")")
        columns = tuple(names)
    return Insert(name, columns, r.rest())


def _unload(r: Reader) -> Unload:
    r.must("(")
    start = r.at
    depth = 1
    while depth:
        if r.next.kind == "end":
            raise r.refuse("')'")
        depth += (r.next.text == "(") - (r.next.text == ")")
        r.at += 1
    inner = r.sql[r.tokens[start].start : r.tokens[r.at - 1].start]
    query = re.sub(r"[^\n]", " ", r.sql[: r.tokens[start].start]) + inner
    r.must("TO")
    location = r.string()
    options = r.options() if r.takes("WITH") else {}
    r.end()
    return Unload(query, location, options)


def _msck(r: Reader) -> Repair:
    r.must("REPAIR", "TABLE")
    found = Repair(r.name())
    r.end()
    return found


def _partition(r: Reader) -> dict[str, str]:
    r.must("PARTITION")
    return {k.lower(): v for k, v in r.properties().items()}


def _alter(r: Reader) -> Statement:
    if r.takes("DATABASE") or r.takes("SCHEMA"):
        return Refused("ALTER DATABASE")
    r.must("TABLE")
    name = r.name()
    if r.takes("ADD", "COLUMNS") or r.takes("REPLACE", "COLUMNS"):
        found = AlterColumns(name, r.columns(), r.tokens[r.at - 1].text == ")" and "REPLACE" in
                             {t.text.upper() for t in r.tokens[: r.at] if t.kind == "word"})  # fmt: skip
        r.end()
        return found
    if r.takes("ADD"):
        return _add_partitions(r, name)
    if r.takes("DROP"):
        quiet = r.takes("IF", "EXISTS")
        parts = [_partition(r)]
        while r.takes(","):
            parts.append(_partition(r))
        r.end()
        return DropPartitions(name, quiet, tuple(parts))
    if r.takes("SET", "TBLPROPERTIES"):
        changed = SetProperties(name, r.properties())
        r.end()
        return changed
    partition = _partition(r) if r.sees("PARTITION") else {}
    if r.takes("SET", "LOCATION"):
        moved = SetLocation(name, partition, r.string())
        r.end()
        return moved
    return Refused("This form of ALTER TABLE")


def _add_partitions(r: Reader, name: Name) -> AddPartitions:
    quiet = _if_not_exists(r)
    parts = []
    while r.sees("PARTITION"):
        values = _partition(r)
        parts.append((values, r.string() if r.takes("LOCATION") else ""))
    r.end()
    if not parts:
        raise r.refuse("'COLUMNS', 'PARTITION'")
    return AddPartitions(name, quiet, tuple(parts))


def _show(r: Reader) -> Statement:
    what = r.identifier().upper()
    if what == "CREATE":
        what = f"CREATE {r.identifier().upper()}"
    what = {"SCHEMAS": "DATABASES"}.get(what, what)
    match what:
        case "DATABASES" | "TABLES" | "VIEWS":
            name, pattern = _show_list(r, what)
        case "COLUMNS" | "PARTITIONS" | "CREATE TABLE" | "CREATE VIEW" | "TBLPROPERTIES":
            name, pattern = _show_table(r, what)
        case _:
            return Refused(f"SHOW {what}")
    r.end()
    return Show(what, name, pattern)


def _show_list(r: Reader, what: str) -> tuple[Name, str]:
    name: Name = ()
    if what != "DATABASES" and (r.takes("IN") or r.takes("FROM")):
        name = (r.identifier().lower(),)
    r.takes("LIKE")
    return name, r.string() if r.next.kind == "string" else ""


def _show_table(r: Reader, what: str) -> tuple[Name, str]:
    if what == "COLUMNS" and not (r.takes("IN") or r.takes("FROM")):
        raise r.refuse("'FROM', 'IN'")
    name, pattern = r.name(), ""
    if what == "COLUMNS" and (r.takes("IN") or r.takes("FROM")):
        name = (r.identifier().lower(), name[-1])
    if what == "TBLPROPERTIES" and r.takes("("):
        pattern = r.string()
        r.must(")")
    return name, pattern


def _describe(r: Reader) -> Statement:
    r.takes("EXTENDED") or r.takes("FORMATTED")
    if r.takes("VIEW"):
        pass
    name = r.name()
    if r.sees("PARTITION") or r.next.kind != "end":
        return Refused("DESCRIBE of a partition or a column")
    return Show("DESCRIBE", name)


def _prepare(r: Reader) -> Prepare:
    name = r.identifier()
    r.must("FROM")
    return Prepare(name, r.rest())


def _execute(r: Reader) -> Execute:
    name, values = r.identifier(), []
    if r.takes("USING"):
        start, depth = r.next.start, 0
        while r.next.kind != "end":
            if r.next.text == "," and not depth:
                values.append(r.sql[start : r.next.start].strip())
                start = r.next.end
            depth += (r.next.text in "([") - (r.next.text in ")]")
            r.at += 1
        values.append(r.sql[start : r.tokens[-1].end].strip())
    r.end()
    return Execute(name, tuple(values))


def _deallocate(r: Reader) -> Deallocate:
    r.must("PREPARE")
    found = Deallocate(r.identifier())
    r.end()
    return found


RULES = {
    "CREATE": _create, "DROP": _drop, "INSERT": _insert, "UNLOAD": _unload, "MSCK": _msck, "ALTER": _alter,
    "SHOW": _show, "DESCRIBE": _describe, "DESC": _describe, "PREPARE": _prepare, "EXECUTE": _execute,
    "DEALLOCATE": _deallocate,
}  # fmt: skip
