"""Where a value of a JSON document stands in its text: from a path to line, column and an excerpt with a caret.

    source = Source(text, "flow.asl.json")
    source.span(("States", "Join", "Next"))      # flow.asl.json:12:15
    source.excerpt(source.span(...))             # the line, and a caret below

`json.loads` forgets places, so the text is read once more, only when something is to be shown. A member whose value is
an object or array is placed at its key, any other at its value; what is not there at its nearest parent.

May import: errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from millpond.errors import Span

Place = tuple[str | int, ...]

_TOKENS = re.compile(r'[{}\[\],:]|"(?:[^"\\]+|\\.)*"|[^\s{}\[\],:"]+', re.DOTALL)
_WIDEST = 100
_DEEPEST = 200  # what lies deeper has the place of its parent: paths cost as much as they are long


@dataclass(slots=True)
class _Container:
    """An object or array that is being read: the key or index at hand, and where the key stands."""

    is_object: bool
    key: str | int
    key_at: int = 0
    wants_key: bool = True


@dataclass(frozen=True)
class Source:
    """A JSON text and the name of its file (empty: the text has none)."""

    text: str
    file: str = ""

    def span(self, at: Place) -> Span:
        """The place of a path into the document."""
        found, _ = self._read
        while at and at not in found:
            at = at[:-1]
        return self.at_offset(found.get(at, 0))

    def at_offset(self, offset: int) -> Span:
        """The place of a character."""
        line = self.text.count("\n", 0, offset) + 1
        return Span(self.file, line, offset - (self.text.rfind("\n", 0, offset) + 1) + 1)

    def excerpt(self, span: Span) -> str:
        """The line of a place, and a caret below it. Long lines are cut around the place."""
        lines = self.text.splitlines()
        if not 0 < span.line <= len(lines):
            return ""
        line, column = lines[span.line - 1].replace("\t", " "), max(1, span.column)
        first = max(0, column - 1 - _WIDEST // 2) if len(line) > _WIDEST else 0
        shown = line[first : first + _WIDEST]
        kept = shown.lstrip()
        return f"{kept}\n{' ' * (column - 1 - first - (len(shown) - len(kept)))}^"

    @property
    def duplicates(self) -> tuple[Place, ...]:
        """Members that an object has twice: of these, JSON readers take one without a word."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[Place, int], tuple[Place, ...]]:
        found: dict[Place, int] = {}
        twice: dict[Place, bool] = {}  # is it told? what is inside something that stands twice is not
        for path, offset in _values(self.text):
            if path in found:
                twice[path] = path[:-1] not in twice
            found[path] = offset
        return found, tuple(path for path, told in twice.items() if told)


def _values(text: str) -> Iterator[tuple[Place, int]]:
    """Every value's path and offset, in the order of the text."""
    inside: list[_Container] = []
    for token in _TOKENS.finditer(text):
        top = inside[-1] if inside else None
        word, opens = token[0], token[0] in "{["
        if word in "}]":
            del inside[-1:]
        elif word in ",:":
            _next(top, word)
        elif top is not None and top.is_object and top.wants_key:
            top.key, top.key_at = _text(word), token.start()
        else:
            path = tuple(container.key for container in inside)
            yield path, top.key_at if opens and top is not None and top.is_object else token.start()
            if opens and len(inside) == _DEEPEST:
                return
            if opens:
                inside.append(_Container(word == "{", "" if word == "{" else 0))


def _next(top: _Container | None, word: str) -> None:
    if top is not None:
        top.wants_key = word == ","
        if word == "," and isinstance(top.key, int):
            top.key += 1


def _text(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return word
