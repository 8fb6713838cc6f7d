"""Pattern languages that a query holds as literals, translated while planning; what has no equal is refused.

MySQL's date format (date_format, date_parse), Joda's (format_datetime, parse_datetime), Java's regular expression
replacement (`$1`), JSONPath, and the `%` directives of format().
"""

from __future__ import annotations

import re

from millpond.local.athena.failures import QueryFailure

MYSQL = {
    "Y": "%Y", "y": "%y", "m": "%m", "c": "%-m", "M": "%B", "b": "%b", "d": "%d", "e": "%-d", "H": "%H", "k": "%-H",
    "h": "%I", "I": "%I", "l": "%-I", "i": "%M", "s": "%S", "S": "%S", "f": "%f", "p": "%p", "j": "%j", "a": "%a",
    "W": "%A", "T": "%H:%M:%S", "r": "%I:%M:%S %p", "v": "%V", "x": "%G", "%": "%%",
}  # fmt: skip
JODA = {
    "yyyy": "%Y", "YYYY": "%Y", "y": "%Y", "yy": "%y", "YY": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "M": "%-m",
    "dd": "%d", "d": "%-d", "HH": "%H", "H": "%-H", "hh": "%I", "h": "%-I", "mm": "%M", "m": "%-M", "ss": "%S",
    "s": "%-S", "SSS": "%g", "a": "%p", "EEEE": "%A", "EEE": "%a", "EE": "%a", "E": "%a", "DDD": "%j", "D": "%-j",
    "xxxx": "%G", "ww": "%V",
}  # fmt: skip


def unsupported(what: str) -> QueryFailure:
    return QueryFailure("NOT_SUPPORTED", f"{what} is not supported by the local engine")


def mysql(pattern: str) -> str:
    """`%Y-%m-%d %H:%i:%s` -> strftime's `%Y-%m-%d %H:%M:%S`."""

    def one(found: re.Match[str]) -> str:
        if found[1] in MYSQL:
            return MYSQL[found[1]]
        if found[1] in "DUuVwX":
            raise QueryFailure("INVALID_FUNCTION_ARGUMENT", f"%{found[1]} not supported in date format string")
        return found[1]

    return re.sub(r"%(.)", one, pattern, flags=re.DOTALL)


def joda(pattern: str) -> str:
    """`yyyy-MM-dd'T'HH:mm` -> strftime's `%Y-%m-%dT%H:%M`."""
    parts = re.findall(r"'((?:[^']|'')*)'|(([A-Za-z])\3*)|([^A-Za-z'])", pattern)
    out = []
    for quote, run, _, other in parts:
        if run and run not in JODA:
            raise unsupported(f"The date pattern '{run}'")
        out.append(JODA[run] if run else (quote or other or "'").replace("''", "'").replace("%", "%%"))
    return "".join(out)


def replacement(text: str) -> str:
    """Java's `$1` -> RE2's `\\1`; a backslash escapes the next character in both worlds."""
    out, i = [], 0
    while i < len(text):
        if text[i] == "\\" and i + 1 < len(text):
            i += 1
            out.append("\\\\" if text[i] == "\\" else text[i])
        elif text[i] == "$":
            group = re.match(r"\$(\d)", text[i:])
            if not group:
                raise unsupported("A named group in a regular expression replacement")
            out.append(f"\\{group[1]}")
            i += 1
        else:
            out.append(text[i])
        i += 1
    return "".join(out)


def json_path(path: str) -> str:
    """`$.a['b c'][0]` -> DuckDB's `$."a"."b c"[0]`. Wildcards and filters answer otherwise in DuckDB: refused."""
    rest, out = path.strip(), ["$"]
    if not rest.startswith("$"):
        rest = "$." + rest
    rest = rest[1:]
    while rest:
        step = re.match(
            r"""\.([\w:-]+)|\.?\[\s*"([^"\\]*)"\s*\]|\.?\[\s*'([^'\\]*)'\s*\]|\.?\[\s*(\d+)\s*\]|\."([^"\\]*)\"""", rest
        )
        if not step:
            raise unsupported(f"The JSON path '{path}'")
        key = next((k for k in (step[1], step[2], step[3], step[5]) if k is not None), None)
        out.append(f"[{step[4]}]" if key is None else f'."{key}"')
        rest = rest[step.end() :]
    return "".join(out)


DIRECTIVE = re.compile(r"%(?:%|n|(-?0?\d*)(?:\.(\d+))?([sdfxXeEb]))")


def directives(template: str) -> list[str]:
    """The conversion letters of a format() template, in order; refuses what printf does not know alike."""
    if re.sub(DIRECTIVE, "", template).count("%"):
        raise unsupported(f"The format string '{template}'")
    return [d[3] for d in DIRECTIVE.finditer(template) if d[3]]
