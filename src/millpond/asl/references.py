"""What a JSONata expression refers to that Step Functions does not offer: names and `$` at its top level, and `$$`.

An expression has no context item there: the input is `$states.input`, variables are `$name`. AWS refuses the definition
(Amazon States Language: "a JSONata expression MUST NOT reference `$` or unqualified field names at the top level"). No
library shows its syntax tree, so the tokens are followed with a stack of brackets: a name counts when it begins an
operand and no bracket around it sets a context of its own (a path step, predicate, order-by, group-by or function).

**Limits**: expressions with a transform (`|...|...|`) are not looked into. In doubt a name does not count.
May import: nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s+ | /\*.*?\*/
    | (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<quoted>`[^`]*`)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<variable>\$\$|\$\w*)
    | (?P<name>[^\W\d]\w*)
    | (?P<sign>~>|:=|!=|<=|>=|\*\*|\.\.|\?:|\?\?|.)""",
    re.VERBOSE | re.DOTALL,
)
_REGEX = re.compile(r"/(?:[^/\\\n]|\\.)+/[im]*")
_CONSTANTS = frozenset({"true", "false", "null"})
_WORDS = frozenset({"and", "or", "in"})
_FUNCTIONS = frozenset({"function", "λ"})
_OPENS, _CLOSES = "([{", ")]}"


@dataclass(slots=True)
class _State:
    """Where the reading is. `operand`: the token before ended one; `step`: that operand stands behind a dot."""

    top: bool = True
    operand: bool = False
    step: bool = False
    before: str = ""


def unsupported(source: str) -> list[str]:
    """The references that AWS refuses, each once, in order: names at the top level, `$` at the top level, `$$`."""
    tokens = list(_tokens(source))
    if any(text == "|" for kind, text in tokens if kind == "sign"):
        return []
    found: dict[str, None] = {}
    at, around = _State(), list[_State]()
    is_function = False  # between `function` and the brace that opens its body
    for kind, text in tokens:
        if kind == "sign" and text in _OPENS and len(text) == 1:
            around.append(at)
            inside = _inside(at, text, is_function)
            at = _State(top=inside)
            is_function = is_function and text != "{"
        elif kind == "sign" and text in _CLOSES and len(text) == 1:
            outer = around.pop() if around else _State()
            at = _State(outer.top, operand=True, step=outer.step)
        elif kind == "sign":
            wild = text in ("*", "**", "%", "?") and not at.operand
            at = _State(at.top, operand=wild, step=text == ".", before=text)
        elif kind == "name" and text in _WORDS and at.operand:
            at = _State(at.top, before=text)
        elif kind == "name" and text in _FUNCTIONS and not at.step:
            is_function = True
            at = _State(at.top, operand=True, before=text)
        else:
            if at.top and not at.step and not at.operand and not is_function:
                found.update(dict.fromkeys(_named(kind, text)))
            elif text == "$$":
                found["$$"] = None
            at = _State(at.top, operand=True, step=at.step, before=text)
    return list(found)


def _inside(at: _State, opens: str, is_function: bool) -> bool:
    """Is what stands in this bracket still at the top level?"""
    if not at.top or at.step or is_function or at.before == "^":
        return False
    return opens == "(" or not at.operand  # behind an operand, [ is a predicate and { a group-by


def _named(kind: str, text: str) -> Iterator[str]:
    if kind == "quoted":
        yield text[1:-1]
    elif (kind == "name" and text not in _CONSTANTS | _WORDS) or text in ("$", "$$"):
        yield text


def _tokens(source: str) -> Iterator[tuple[str, str]]:
    at, operand = 0, False
    while at < len(source):
        regex = _REGEX.match(source, at) if source[at] == "/" and not operand else None
        if regex and not source.startswith("/*", at):
            at, operand = regex.end(), True
            yield "text", regex[0]
            continue
        token = _TOKEN.match(source, at)
        assert token is not None  # the last alternative takes any character
        at = token.end()
        if token.lastgroup:
            between = operand and token[0] in _WORDS  # behind `and` begins an operand, maybe a regular expression
            operand = not between and (token.lastgroup != "sign" or token[0] in _CLOSES)
            yield token.lastgroup, token[0]
