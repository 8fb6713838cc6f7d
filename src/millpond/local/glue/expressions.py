"""The filter of GetPartitions: a WHERE clause over the partition keys (AWS docs, GetPartitions).

    year = '2024' AND (month BETWEEN 1 AND 6 OR country IN ('DE', 'FR')) AND NOT city LIKE 'B%'

Grammar: OR < AND < NOT < comparison; `=` `<>` `!=` `<` `<=` `>` `>=`, [NOT] IN, [NOT] BETWEEN, [NOT] LIKE, IS [NOT]
NULL; literals are 'text', numbers, `date '2024-01-01'`, `timestamp '...'`, true and false. The key's type decides how
both sides are read; a value that does not fit its type (`__HIVE_DEFAULT_PARTITION__`) is NULL, and the logic is SQL's,
of three values. The filter is checked whole, before the first partition is looked at.
"""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

Truth = bool | None
Test = Callable[[Sequence[str]], Truth]

DEEPEST = 60
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
    r"""\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_\-]*)|[`"](?P<quoted>[^`"]+)[`"]|'(?P<text>(?:[^']|'')*)'"""
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


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text.strip()).replace(tzinfo=None)


def _boolean(text: str) -> bool:
    if (folded := text.strip().lower()) not in ("true", "false"):
        raise ValueError(text)
    return folded == "true"


# How a key's type reads a text; a type that is not listed compares as text.
READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint", "long"), int),
    **dict.fromkeys(("decimal", "double", "float"), Decimal),
    "date": datetime.date.fromisoformat,
    "timestamp": _time,
    "boolean": _boolean,
}


def reader(hive_type: str) -> Callable[[str], Any]:
    """How a partition key of this Hive type reads its text."""
    return READERS.get(hive_type.split("(")[0].strip().lower(), str)


def compile_filter(text: str, keys: Sequence[Mapping[str, Any]]) -> Callable[[Sequence[str]], bool]:
    """The predicate on a partition's values. Raises ExpressionError."""
    parser = _Parser(text, keys)
    test = parser.whole()
    return lambda values: test(values) is True


class _Parser:
    def __init__(self, text: str, keys: Sequence[Mapping[str, Any]]) -> None:
        self.tokens = list(_scan(text))
        self.next = 0
        self.depth = 0
        self.keys = {key["Name"].lower(): (n, reader(key.get("Type") or "string")) for n, key in enumerate(keys)}

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

    def whole(self) -> Test:
        test = self.either()
        if self.token.kind != "end":
            raise self.unexpected("AND, OR or the end")
        return test

    def either(self) -> Test:
        tests = [self.both()]
        while self.word("OR"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda values: _any(test(values) for test in tests)

    def both(self) -> Test:
        tests = [self.negation()]
        while self.word("AND"):
            tests.append(self.negation())
        return tests[0] if len(tests) == 1 else lambda values: _all(test(values) for test in tests)

    def negation(self) -> Test:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ExpressionError(f"nested deeper than {DEEPEST} levels")
        try:
            if self.word("NOT"):
                return _negate(self.negation())
            if self.sign("("):
                test = self.either()
                self.expect(")")
                return test
            return self.comparison()
        finally:
            self.depth -= 1

    def comparison(self) -> Test:
        if self.token.kind in ("text", "number"):
            return self.mirrored()
        position, read = self.column()
        value = _value(position, read)
        if self.word("IS"):
            negated = self.word("NOT")
            self.expect("NULL")
            return lambda values: (value(values) is None) != negated
        negated = self.word("NOT")
        test = self.range(position, read)
        if test is None:
            if negated or self.token.text not in COMPARE:
                raise self.unexpected("a comparison")
            compare, other = COMPARE[self.take().text], self.literal(read)
            return lambda values: None if (mine := value(values)) is None else compare(mine, other)
        return _negate(test) if negated else test

    def range(self, position: int, read: Callable[[str], Any]) -> Test | None:
        """IN, BETWEEN or LIKE; None when none of them comes next."""
        value = _value(position, read)
        if self.word("IN"):
            self.expect("(")
            wanted = [self.literal(read)]
            while self.sign(","):
                wanted.append(self.literal(read))
            self.expect(")")
            return lambda values: None if (mine := value(values)) is None else mine in wanted
        if self.word("BETWEEN"):
            low = self.literal(read)
            self.expect("AND")
            high = self.literal(read)
            return lambda values: None if (mine := value(values)) is None else low <= mine <= high
        if self.word("LIKE"):
            if self.token.kind != "text":
                raise self.unexpected("a text")
            parts = _like(self.take().text)
            return lambda values: None if values[position] == NULL_VALUE else _is_like(values[position], parts)
        return None

    def mirrored(self) -> Test:
        """`'2024' = year`: a literal on the left."""
        literal = self.token
        self.next += 1
        if self.token.text not in COMPARE or self.token.kind != "sign":
            raise self.unexpected("a comparison")
        compare = COMPARE[self.take().text]
        position, read = self.column()
        value, other = _value(position, read), _read(read, literal)
        return lambda values: None if (mine := value(values)) is None else compare(other, mine)

    def column(self) -> tuple[int, Callable[[str], Any]]:
        token = self.take()
        if token.kind not in ("name", "quoted"):
            self.next -= token.kind != "end"
            raise self.unexpected("a partition key")
        try:
            return self.keys[token.text.lower()]
        except KeyError:
            known = ", ".join(self.keys) or "none"
            raise ExpressionError(f"'{token.text}' is not a partition key; the keys are: {known}") from None

    def literal(self, read: Callable[[str], Any]) -> Any:
        typed = self.token
        if self.word("DATE") or self.word("TIMESTAMP"):
            if self.token.kind != "text":
                raise self.unexpected(f"a text after {typed.text}")
        elif self.token.kind == "name" and self.token.text.lower() in ("true", "false"):
            return _read(read, self.take())
        if self.token.kind not in ("text", "number"):
            raise self.unexpected("a literal")
        return _read(read, self.take())


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


def _read(read: Callable[[str], Any], token: Token) -> Any:
    try:
        return read(token.text)
    except (ValueError, InvalidOperation):
        raise ExpressionError(f"'{token.text}' at position {token.at} does not fit the key's type") from None


def _value(position: int, read: Callable[[str], Any]) -> Callable[[Sequence[str]], Any]:
    def value(values: Sequence[str]) -> Any:
        if values[position] == NULL_VALUE:
            return None
        try:
            return read(values[position])
        except (ValueError, InvalidOperation):
            return None

    return value


def _negate(test: Test) -> Test:
    return lambda values: None if (truth := test(values)) is None else not truth


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
