"""Why a text is no JSON, in the words of AWS's parser (Jackson): the sentence, line and column that its errors show.

Python's parser reads, by `not_json` and `within_range` as strictly; this one only explains what was refused. Line and
column are where Jackson has read to: one character behind an unexpected one, the end of an unknown word. Source:
recordings (`Unrecognized token 'not'`) and the messages that users of AWS are shown; the rest is Jackson's public
behaviour.

May import: asl.model.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, cast

from millpond.asl.model import Json

_TOKENS = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_SHOWN = 500
_WORD = re.compile(r"[^\W\d][\w$]*")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = frozenset('"\\/bfnrt')
_TOO_LONG = re.compile(r"Exceeds the limit \((\d+) digits\).*value has (\d+) digits")  # Python's own words


_Step = Callable[["_Reader"], object]
"""Reads one token; gives the step that reads the next one, or None."""


class _Refused(Exception):
    def __init__(self, sentence: str, at: int) -> None:
        super().__init__(sentence)
        self.sentence, self.at = sentence, at


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    open: list[tuple[str, int]] = field(default_factory=list)  # the brackets around, with their places

    def skip(self) -> str:
        """The next character that is no white space, not consumed; "" at the end."""
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1
        return self.text[self.at : self.at + 1]

    def unexpected(self, wanted: str, *, at: int | None = None) -> _Refused:
        where = self.at if at is None else at
        char = self.text[where]
        shown = f"(CTRL-CHAR, code {ord(char)})" if char < " " else f"'{char}' (code {ord(char)})"
        return _Refused(f"Unexpected character ({shown}): {wanted}", where + 1)

    def ended(self) -> _Refused:
        kind, start = ("Object" if self.open[-1][0] == "{" else "Array"), self.open[-1][1]
        place = source(self.text, start)
        return _Refused(
            f"Unexpected end-of-input: expected close marker for {kind} (start marker at {place})", len(self.text)
        )

    def between(self) -> _Refused:
        kind = "Object" if self.open and self.open[-1][0] == "{" else "Array" if self.open else "root"
        return _Refused(f"Unexpected end-of-input within/between {kind} entries", len(self.text))


def not_json(name: str) -> NoReturn:
    """For json's `parse_constant`: NaN and Infinity are none of JSON's. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def within_range(text: str) -> float:
    """For json's `parse_float`: a number that a double can hold. Raises ValueError."""
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"Numeric value ({text}) out of range of double")
    return number


def nests_deeper(value: Json, levels: int) -> bool:
    """Are there brackets in more than so many brackets? Asked level by level: recursion has its own limit."""
    level = [value]
    for _ in range(levels):
        level = [
            item
            for outer in level
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)


def explain(text: str, otherwise: str) -> str:
    """The whole message, two lines: the sentence and its place. `otherwise`: what our parser said, for what this one
    cannot see (a number that is too long)."""
    long = _TOO_LONG.match(otherwise)
    known = f"Number length ({long[2]}) exceeds the maximum length ({long[1]})" if long else otherwise
    sentence, at = _complaint(text) or (known, len(text))
    return f"{sentence}\n at {source(text, at)}"


def place(message: str) -> str:
    """The place in a message that `explain` made."""
    return message.rpartition("\n at ")[2]


def source(text: str, at: int) -> str:
    """`[Source: (String)"..."; line: 1, column: 4]`, cut as Jackson cuts it."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    cut = "" if len(text) <= _SHOWN else f"[truncated {len(text) - _SHOWN} chars]"
    return f'[Source: (String)"{text[:_SHOWN]}"{cut}; line: {line}, column: {column}]'


def _complaint(text: str) -> tuple[str, int] | None:
    reader = _Reader(text)
    step: _Step | None = _value
    try:
        while step is not None:
            step = cast("_Step | None", step(reader))
        if reader.skip():
            word = _WORD.match(text, reader.at)
            if word:
                raise _unknown(word)
            raise reader.unexpected(f"expected a valid value {_TOKENS}")
    except _Refused as refused:
        return refused.sentence, refused.at
    return None


def _value(reader: _Reader) -> _Step | None:
    char = reader.skip()
    if not char:
        raise reader.between()
    if char in "{[":
        reader.open.append((char, reader.at))
        reader.at += 1
        return _first_key if char == "{" else _first_item
    if char == '"':
        _string(reader, "a string value")
    elif char == "-" or char.isdigit():
        _number(reader)
    elif word := _WORD.match(reader.text, reader.at):
        if word[0] not in ("true", "false", "null"):
            raise _unknown(word)
        reader.at = word.end()
    else:
        raise reader.unexpected(f"expected a valid value {_TOKENS}")
    return _after if reader.open else None


def _unknown(word: re.Match[str]) -> _Refused:
    if word[0] in ("NaN", "Infinity", "INF"):
        return _Refused(
            f"Non-standard token '{word[0]}': enable `JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS` to allow", word.end()
        )
    return _Refused(f"Unrecognized token '{word[0]}': was expecting {_TOKENS}", word.end())


def _first_key(reader: _Reader) -> _Step | None:
    if reader.skip() == "}":
        return _close(reader)
    if not reader.skip():
        raise reader.ended()
    return _key(reader)


def _key(reader: _Reader) -> _Step:
    char = reader.skip()
    if not char:
        raise reader.between()
    if char != '"':
        raise reader.unexpected("was expecting double-quote to start field name")
    _string(reader, "field name")
    colon = reader.skip()
    if not colon:
        raise reader.between()
    if colon != ":":
        raise reader.unexpected("was expecting a colon to separate field name and value")
    reader.at += 1
    return _value


def _first_item(reader: _Reader) -> _Step | None:
    if reader.skip() == "]":
        return _close(reader)
    if not reader.skip():
        raise reader.ended()
    return _value


def _after(reader: _Reader) -> _Step | None:
    char, is_object = reader.skip(), reader.open[-1][0] == "{"
    if not char:
        raise reader.ended()
    if char == ",":
        reader.at += 1
        return _key if is_object else _value
    if char in "}]":
        return _close(reader)
    raise reader.unexpected(f"was expecting comma to separate {'Object' if is_object else 'Array'} entries")


def _close(reader: _Reader) -> _Step | None:
    opened, start = reader.open[-1]
    char, wanted = reader.text[reader.at], "}" if opened == "{" else "]"
    reader.at += 1
    if char != wanted:
        kind, begin = "Object" if opened == "{" else "Array", source(reader.text, start)
        message = f"Unexpected close marker '{char}': expected '{wanted}' (for {kind} starting at {begin})"
        raise _Refused(message, reader.at)
    reader.open.pop()
    return _after if reader.open else None


def _string(reader: _Reader, what: str) -> None:
    at = reader.at + 1
    while (at := _PLAIN.match(reader.text, at).end()) < len(reader.text):  # type: ignore[union-attr]
        char = reader.text[at]
        if char == '"':
            reader.at = at + 1
            return
        if char < " ":
            raise _Refused(
                f"Illegal unquoted character ((CTRL-CHAR, code {ord(char)})): has to be escaped using backslash to be "
                f"included in {'name' if what == 'field name' else 'string value'}",
                at + 1,
            )
        if char == "\\":
            at = _escape(reader, at + 1)
        at += 1
    said = " in field name" if what == "field name" else f": was expecting closing quote for {what}"
    raise _Refused(f"Unexpected end-of-input{said}", len(reader.text))


def _escape(reader: _Reader, at: int) -> int:
    """The place of an escape's last character."""
    char = reader.text[at : at + 1]
    if char in _ESCAPES and char:
        return at
    if char == "u":
        for digit in range(at + 1, at + 5):
            if digit < len(reader.text) and reader.text[digit] not in "0123456789abcdefABCDEF":
                raise reader.unexpected("expected a hex-digit for character escape sequence", at=digit)
        return at + 4
    if char:
        raise _Refused(f"Unrecognized character escape '{char}' (code {ord(char)})", at + 1)
    return at


def _number(reader: _Reader) -> None:
    text, found = reader.text, _NUMBER.match(reader.text, reader.at)
    if found is None:  # a minus sign without digits
        at = reader.at + 1
        if at >= len(text):
            raise _Refused("Unexpected end-of-input in a Number value", at)
        wanted = "expected digit (0-9) to follow minus sign, for valid numeric value"
        raise _Refused(reader.unexpected(wanted, at=at).sentence.replace("):", ") in numeric value:", 1), at + 1)
    reader.at = found.end()
    follows = text[reader.at : reader.at + 1]
    if follows.isdigit() and found[1] == "0" and not found[2] and not found[3]:
        raise _Refused("Invalid numeric value: Leading zeroes not allowed", reader.at)
    if follows == "." and not found[2]:
        at = reader.at + 1
        if at >= len(text):
            raise _Refused("Unexpected end-of-input in a Number value", at)
        wanted = "Decimal point not followed by a digit"
        raise _Refused(reader.unexpected(wanted, at=at).sentence.replace("):", ") in numeric value:", 1), at + 1)
