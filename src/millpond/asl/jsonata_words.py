"""The words of JSONata's errors: a flat table of the reference implementation's (jsonata.org, 2.0), by code.

The library's own texts differ in small ways: quoted numbers, "Object" for "function", a name left out. `sentence` says
them again. What the library does not tell (the operator of T2009, the function of T0412) is read off the expression
near the error's position.

May import: nothing of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_CALLED = re.compile(r"\$([A-Za-z_]\w*)\s*\($")
_COMPARED = re.compile(r"<=|>=|<|>")
_ITEMS = {"join": "strings", "merge": "objects"}
_PICTURES = re.compile(r"D30(8|9)\d")


def _values(words: str) -> list[str]:
    return _QUOTED.findall(words)


def _json(value: str) -> str:
    """A value as the reference shows it: a number bare, text in quotes."""
    try:
        if value == "null" or isinstance(json.loads(value), int | float):
            return value
    except ValueError:
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)


def _called(text: str, position: int | None) -> str:
    """The function whose opening parenthesis ends at a position."""
    found = _CALLED.search(text[: position or 0])
    return found[1] if found else ""


def _of_signature(words: str, text: str, position: int | None) -> str:
    index, name = [*_values(words), "1", ""][:2]
    index = index if index.isdigit() else "1"
    called = _called(text, position) or name
    shown = "undefined" if called == "lambda" else json.dumps(called)
    return f"Argument {index} of function {shown} does not match function signature"


def _of_items(words: str, text: str, position: int | None) -> str:
    called = _called(text, position)
    return f'Argument 1 of function "{called}" must be an array of "{_ITEMS.get(called, "numbers")}"'


def _of_types(words: str, text: str, position: int | None) -> str:
    left, right = [*_values(words), "", ""][:2]
    found = _COMPARED.search(text, position or 0) or _COMPARED.search(text)
    operator = found[0] if found else "<"
    both = f"{_json(left)} and {_json(right)}"
    return f'The values {both} either side of operator "{operator}" must be of the same data type'


def _bare(words: str, text: str, position: int | None) -> str:
    """Numbers and null without quotes."""
    return _QUOTED.sub(lambda found: _json(found[1]), words)


def _of_functions(words: str, text: str, position: int | None) -> str:
    return _bare(words.replace(" Object ", " function "), text, position)


_Words = Callable[[str, str, "int | None"], str]

SAID: Mapping[str, str | _Words] = {
    "T0410": _of_signature,
    "T0411": _of_functions,
    "T0412": _of_items,
    "T1003": _bare,
    "T2006": _of_functions,
    "T2007": _bare,
    "T2009": _of_types,
    "T2011": _bare,
    "T2012": _bare,
    "D1001": lambda words, text, position: words.replace('"Infinity"', "null").replace('"-Infinity"', "null"),
    "D2014": _bare,
    "D3020": "Third argument of split function must evaluate to a positive number",
    "D3050": "The second argument of reduce function must be a function with at least two arguments",
    "D3060": _of_functions,
    "D3061": _of_functions,
    "D3070": (
        "The single argument form of the sort function can only be applied to an array of strings or an array of "
        "numbers.  Use the second argument to specify a comparison function"
    ),
    "D3100": _of_functions,
    "D3110": lambda words, text, position: words.replace(" Object ", " function "),
    "D3138": "The $single() function expected exactly 1 matching result.  Instead it matched more.",
    "D3139": "The $single() function expected exactly 1 matching result.  Instead it matched 0.",
    "D3140": lambda words, text, position: (
        f"Malformed URL passed to ${'decodeUrlComponent' if 'decodeUrlComponent' in text else 'decodeUrl'}(): "
        f"{json.dumps([*_values(words), ''][0], ensure_ascii=False)}"
    ),
    "D3135": "No matching closing bracket ']' in date/time picture string",
    "S0201": _bare,
    "S0202": _bare,
    "S0208": lambda words, text, position: words.replace(" Object ", " function "),
    "S0213": lambda words, text, position: _bare(words, text, position).replace('"true"', "true"),
    "S0217": "The object representing the 'parent' cannot be derived from this expression",
}
"""By code: the text, or what makes it of the library's words, the expression and the position. Others are as said."""

CODES: Mapping[str, str] = {
    "Second argument of replace function cannot be an empty string": "D3010",
    "Fourth argument of replace function must evaluate to a positive number": "D3011",
    "Attempted to replace a matched string with a non-string value": "D3012",
    "Regex error": "D3040",
    "No matching closing bracket": "D3135",
    "Unknown component specifier": "D3132",
    "The 'name' modifier": "D3133",
    "Formatting or parsing an integer": "D3130",
}
"""Errors that the library gives no code, by how they begin."""

UNBOUNDED: Mapping[str, str] = {
    "TIMEOUT": "U1001: Expression evaluation timeout: Check for infinite loop",
    "STACK_OVERFLOW": (
        "U1001: Stack overflow error: Check for non-terminating recursive function.  "
        "Consider rewriting as tail-recursive."
    ),
}


def sentence(code: str | None, words: str, text: str, position: int | None) -> str:
    """An error as AWS shows it after "threw an error during evaluation.": `T1006: Attempted to ...`."""
    if code is not None and code in UNBOUNDED:
        return UNBOUNDED[code]
    for beginning, known in CODES.items():
        if (code or "").startswith(beginning) or words.startswith(beginning):
            words = words if known.startswith("D313") else beginning if known != "D3040" else str(code)
            return f"{known}: {words}"
    if code is not None and _PICTURES.fullmatch(code):
        words = words.replace('"', "'")
    if code == "D3137" and (own := re.match(r"[DTU]\d{4}: ", words)):
        return f"{own[0]}{words[own.end() :]}"
    said = SAID.get(code or "")
    if callable(said):
        words = said(words, text, position)
    elif said is not None:
        words = said
    return f"{code}: {words}" if code else words
