"""The filter of GetPartitions: a WHERE clause over the partition keys (AWS docs, GetPartitions).

    year = '2024' AND (month BETWEEN 1 AND 6 OR country IN ('DE', 'FR')) AND NOT city LIKE 'B%'

Grammar: OR < AND < NOT < comparison; `=` `<>` `!=` `<` `<=` `>` `>=`, [NOT] IN, [NOT] BETWEEN, [NOT] LIKE, IS [NOT]
NULL; literals are 'text', numbers, `date '2024-01-01'` and `timestamp '...'`. The key's type decides how both sides
are read; a value that does not fit its type (`__HIVE_DEFAULT_PARTITION__`) is NULL, and the logic is SQL's, of three
values. The filter is checked whole, before the first partition is looked at.

Of a million partitions SQLite looks at the keys, and this module's predicate at the few that SQLite could not rule out:
each clause says, where it can, a condition that every partition which passes fulfils.
"""

from __future__ import annotations

import datetime
import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

Truth = bool | None
Test = Callable[[Sequence[str]], Truth]

DEEPEST = 60
MOST_BOUND = 500  # values of an IN that are given to SQLite
MOST_WILD = 2  # `%` of a LIKE that is given to SQLite, which tries each place for each of them
NULL_VALUE = "__HIVE_DEFAULT_PARTITION__"


class ExpressionError(ValueError):
    """The filter is not valid; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is name, quoted, text, number, sign or end; `at` counts characters from 0."""

    kind: str
    text: str
    at: int


SCAN = re.compile(
    r"""\s*(?:(?P<name>[^\W\d][\w\-]*)|[`"](?P<quoted>[^`"]+)[`"]|'(?P<text>(?:[^']|'')*)'"""
    r"""|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<sign><>|!=|<=|>=|=|<|>|\(|\)|,))"""
)

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
OPPOSITE = {"=": "<>", "<>": "=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}  # `1 < year` is `year > 1`


def _whole(text: str) -> int:
    if re.fullmatch("[+-]?[0-9]{1,40}", text) is None:  # int() takes `1_000` and digits of other scripts, too
        raise ValueError(text)
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError(text)
    return number


def _exact(text: str) -> Decimal:
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) is None:
        raise ValueError(text)
    return Decimal(text)


def _date(text: str) -> datetime.date:
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is None:  # fromisoformat takes 2024-W05-3, too
        raise ValueError(text)
    return datetime.date.fromisoformat(text)


def _time(text: str) -> datetime.datetime:
    _date(text[:10])
    return datetime.datetime.fromisoformat(text).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class Kind:
    """How keys of one type are read. `sql` is what stands for such a value in a condition of SQLite, which must hold
    for every value that passes the comparison; `bound` makes the other side of it. `exact`: values are equal if and
    only if their texts are. `loose`: what is different may be equal for SQLite."""

    read: Callable[[str], Any]
    sql: str
    bound: Callable[[Any], Any]
    exact: bool = False
    loose: bool = False


TEXT = Kind(str, "json_extract(key, '$[{}]')", str, exact=True)
WHOLE = Kind(_whole, "CAST(json_extract(key, '$[{}]') AS INTEGER)", int)
EXACT = Kind(_exact, "CAST(json_extract(key, '$[{}]') AS REAL)", float, loose=True)
DATE = Kind(_date, "json_extract(key, '$[{}]')", lambda day: day.isoformat(), exact=True)
TIME = Kind(_time, "substr(json_extract(key, '$[{}]'), 1, 10)", lambda at: at.date().isoformat(), loose=True)

# The types that AWS names for keys in an expression, and how Hive spells texts besides (AWS docs, GetPartitions: "If a
# type is encountered that is not valid, an exception is thrown").
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("string", "char", "varchar"), TEXT),
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint", "long"), WHOLE),
    "decimal": EXACT,
    "date": DATE,
    "timestamp": TIME,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a filter. `sql`: a condition on the column `key` that holds for every partition that passes; empty
    where SQLite cannot help. `pins`: the texts that some keys must have, by their position. `negated` makes the
    opposite clause where that is a comparison, too."""

    test: Test
    sql: str = ""
    values: tuple[Any, ...] = ()
    pins: Mapping[int, str] = field(default_factory=dict)
    negated: Callable[[], Clause] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter: a predicate on a partition's values, and what narrows the rows that are looked at: those whose
    `key` begins with `prefix` and fulfils the condition `sql` with `values`."""

    clause: Clause
    prefix: tuple[str, ...]

    def __call__(self, values: Sequence[str]) -> bool:
        return self.clause.test(values) is True

    @property
    def sql(self) -> str:
        return self.clause.sql or "1"

    @property
    def values(self) -> tuple[Any, ...]:
        return self.clause.values


def compile_filter(text: str, keys: Sequence[Mapping[str, Any]]) -> Filter:
    """The filter of the partitions that have these keys. Raises ExpressionError."""
    clause = _Parser(text, keys).whole()
    prefix = []
    for position in range(len(keys)):
        if position not in clause.pins:
            break
        prefix.append(clause.pins[position])
    return Filter(clause, tuple(prefix))


class _Parser:
    def __init__(self, text: str, keys: Sequence[Mapping[str, Any]]) -> None:
        self.tokens = list(_scan(text))
        self.next = 0
        self.depth = 0
        self.keys = {key["Name"].lower(): (n, key.get("Type") or "string") for n, key in enumerate(keys)}

    # -- tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.next += 1
        return token

    def word(self, *words: str) -> bool:
        """Whether the words come next; then they are taken."""
        coming = self.tokens[self.next : self.next + len(words)]
        if [t.text.upper() if t.kind == "name" else "" for t in coming] != list(words):
            return False
        self.next += len(words)
        return True

    def sign(self, text: str) -> bool:
        if self.token.kind != "sign" or self.token.text != text:
            return False
        self.next += 1
        return True

    def expect(self, text: str) -> None:
        if not (self.sign(text) or self.word(text)):
            raise self.unexpected(f"'{text}'")

    def unexpected(self, wanted: str) -> ExpressionError:
        found = "the end" if self.token.kind == "end" else f"'{self.token.text}'"
        return ExpressionError(f"expected {wanted}, found {found} at position {self.token.at}")

    # -- grammar

    def whole(self) -> Clause:
        clause = self.either()
        if self.token.kind != "end":
            raise self.unexpected("AND, OR or the end")
        return clause

    def either(self) -> Clause:
        clauses = [self.both()]
        while self.word("OR"):
            clauses.append(self.both())
        if len(clauses) == 1:
            return clauses[0]
        tests = [clause.test for clause in clauses]
        sql = " OR ".join(f"({clause.sql})" for clause in clauses) if all(clause.sql for clause in clauses) else ""
        values = tuple(value for clause in clauses for value in clause.values) if sql else ()
        return Clause(lambda values: _any(test(values) for test in tests), sql, values)

    def both(self) -> Clause:
        clauses = [self.negation()]
        while self.word("AND"):
            clauses.append(self.negation())
        if len(clauses) == 1:
            return clauses[0]
        tests = [clause.test for clause in clauses]
        sql = " AND ".join(f"({clause.sql})" for clause in clauses if clause.sql)
        values = tuple(value for clause in clauses for value in clause.values)
        pins = {position: text for clause in clauses for position, text in clause.pins.items()}
        return Clause(lambda values: _all(test(values) for test in tests), sql, values, pins)

    def negation(self) -> Clause:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"nested deeper than {DEEPEST} levels")
        try:
            if self.word("NOT"):
                return _negate(self.negation())
            if self.sign("("):
                clause = self.either()
                self.expect(")")
                return clause
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> Clause:
        if self.token.kind in ("text", "number"):
            return self.mirrored()
        position, kind = self.column()
        if self.word("IS"):
            negated, value = self.word("NOT"), _value(position, kind)
            self.expect("NULL")
            sql, bounds = _null(position, kind, negated)
            return Clause(lambda values: (value(values) is None) != negated, sql, bounds)
        negated = self.word("NOT")
        clause = self.range(position, kind)
        if clause is None:
            if negated or self.token.text not in COMPARE:
                raise self.unexpected("a comparison")
            sign = self.take().text
            return _compared(position, kind, sign, self.literal(kind))
        return _negate(clause) if negated else clause

    def range(self, position: int, kind: Kind) -> Clause | None:
        """IN, BETWEEN or LIKE; None when none of them comes next."""
        if self.word("IN"):
            self.expect("(")
            wanted = [self.literal(kind)]
            while self.sign(","):
                wanted.append(self.literal(kind))
            self.expect(")")
            return _among(position, kind, wanted)
        if self.word("BETWEEN"):
            low = _compared(position, kind, ">=", self.literal(kind))
            self.expect("AND")
            high = _compared(position, kind, "<=", self.literal(kind))
            sql, bounds = f"{low.sql} AND {high.sql}", low.values + high.values
            return Clause(lambda values: _all((low.test(values), high.test(values))), sql, bounds)
        if self.word("LIKE"):
            if self.token.kind != "text":
                raise self.unexpected("a text")
            return _alike(position, self.take().text)
        return None

    def mirrored(self) -> Clause:
        """`'2024' = year`: a literal on the left."""
        literal = self.token
        self.next += 1
        if self.token.text not in COMPARE or self.token.kind != "sign":
            raise self.unexpected("a comparison")
        sign = self.take().text
        position, kind = self.column()
        return _compared(position, kind, MIRRORED.get(sign, sign), _read(kind, literal))

    def column(self) -> tuple[int, Kind]:
        token = self.take()
        if token.kind not in ("name", "quoted"):
            self.next -= token.kind != "end"
            raise self.unexpected("a partition key")
        if (found := self.keys.get(token.text.lower())) is None:
            known = ", ".join(self.keys) or "none"
            raise ExpressionError(f"'{token.text}' is not a partition key; the keys are: {known}")
        position, hive_type = found
        if (kind := KINDS.get(hive_type.split("(")[0].strip().lower())) is None:
            raise ExpressionError(f"the partition key '{token.text}' is of type {hive_type}, which no filter can read")
        return position, kind

    def literal(self, kind: Kind) -> Any:
        typed = self.token
        if (self.word("DATE") or self.word("TIMESTAMP")) and self.token.kind != "text":
            raise self.unexpected(f"a text after {typed.text}")
        if self.token.kind not in ("text", "number"):
            raise self.unexpected("a literal")
        return _read(kind, self.take())


def _scan(text: str) -> list[Token]:
    tokens, at = [], 0
    while text[at:].strip():
        match = SCAN.match(text, at)
        if match is None or match.lastgroup is None:
            raise ExpressionError(f"unexpected character '{text[at:].strip()[0]}' at position {at}")
        kind = match.lastgroup
        found = match[kind].replace("''", "'") if kind == "text" else match[kind]
        tokens.append(Token(kind, found, match.start(kind)))
        at = match.end()
    return [*tokens, Token("end", "", len(text))]


def _read(kind: Kind, token: Token) -> Any:
    try:
        return kind.read(token.text)
    except (ValueError, InvalidOperation):
        raise ExpressionError(f"'{token.text}' at position {token.at} does not fit the key's type") from None


def _absent(values: Sequence[str], position: int) -> bool:
    """A null; or a key that was added to the table after the partition."""
    return position >= len(values) or values[position] == NULL_VALUE


def _value(position: int, kind: Kind) -> Callable[[Sequence[str]], Any]:
    read = kind.read

    def value(values: Sequence[str]) -> Any:
        if _absent(values, position):
            return None
        try:
            return read(values[position])
        except (ValueError, InvalidOperation):
            return None

    return value


def _compared(position: int, kind: Kind, sign: str, other: Any) -> Clause:
    """`key < literal`, also for SQLite where it can be told so that nothing is missed."""
    value, compare = _value(position, kind), COMPARE[sign]

    def test(values: Sequence[str]) -> Truth:
        return None if (mine := value(values)) is None else compare(mine, other)

    def negated() -> Clause:
        return _compared(position, kind, OPPOSITE[sign], other)

    bound = kind.bound(other)
    if sign == "=" and kind.exact:
        # The text with its quotes is somewhere in the key: a third of the cost of taking the key apart.
        quoted = json.dumps(bound, ensure_ascii=False)
        return Clause(test, "instr(key, ?)", (quoted,), {position: bound}, negated)
    if sign in ("<>", "!=") and kind.loose:
        return Clause(test, negated=negated)
    loosely = sign + "=" if kind.loose and sign in ("<", ">") else sign
    return Clause(test, f"{kind.sql.format(position)} {loosely} ?", (bound,), negated=negated)


def _among(position: int, kind: Kind, wanted: Sequence[Any]) -> Clause:
    value, bounds = _value(position, kind), tuple(kind.bound(one) for one in wanted)

    def test(values: Sequence[str]) -> Truth:
        return None if (mine := value(values)) is None else mine in wanted

    if len(bounds) > MOST_BOUND:
        return Clause(test)
    return Clause(test, f"{kind.sql.format(position)} IN ({', '.join('?' * len(bounds))})", bounds)


def _null(position: int, kind: Kind, negated: bool) -> tuple[str, tuple[Any, ...]]:
    """What SQLite can tell of IS [NOT] NULL: a text is null or it is there; a number may be what is none."""
    if kind is TEXT or negated:
        sign = "<>" if negated else "="
        return f"coalesce({TEXT.sql.format(position)}, ?) {sign} ?", (NULL_VALUE, NULL_VALUE)
    return "", ()


def _alike(position: int, pattern: str) -> Clause:
    parts = _like(pattern)

    def test(values: Sequence[str]) -> Truth:
        return None if _absent(values, position) else _is_like(values[position], parts)

    start = re.split("[%_]", pattern)[0]
    if not start and pattern.count("%") <= MOST_WILD and "\0" not in pattern:
        return Clause(test, f"{TEXT.sql.format(position)} LIKE ?", (pattern,))  # in any case: more than what passes
    if not start:
        return Clause(test)
    return Clause(test, f"substr({TEXT.sql.format(position)}, 1, {len(start)}) = ?", (start,))


def _negate(clause: Clause) -> Clause:
    """What SQLite knows of a clause says nothing about its opposite, unless that is a comparison, too."""
    if clause.negated is not None:
        return clause.negated()
    test = clause.test
    return Clause(lambda values: None if (truth := test(values)) is None else not truth)


def _any(truths: Any) -> Truth:
    unknown = False
    for truth in truths:
        if truth:
            return True
        unknown = unknown or truth is None
    return None if unknown else False


def _all(truths: Any) -> Truth:
    unknown = False
    for truth in truths:
        if truth is False:
            return False
        unknown = unknown or truth is None
    return None if unknown else True


def _like(pattern: str) -> list[str]:
    """The pieces of a LIKE pattern between its `%`."""
    return re.split("%+", pattern)


def _is_like(value: str, parts: Sequence[str]) -> bool:
    """Linear in value times pattern: the pieces are found from left to right, the last one at the end."""
    if len(parts) == 1:
        return len(value) == len(parts[0]) and _fits(value, 0, parts[0])
    first, *middle, last = parts
    if len(value) < len(first) + len(last) or not _fits(value, 0, first):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        while at + len(part) <= end and not _fits(value, at, part):
            at += 1
        if at + len(part) > end:
            return False
        at += len(part)
    return _fits(value, end, last)


def _fits(value: str, at: int, part: str) -> bool:
    return all(wanted in ("_", found) for wanted, found in zip(part, value[at : at + len(part)], strict=True))
