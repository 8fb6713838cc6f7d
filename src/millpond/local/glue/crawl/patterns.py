"""Include paths and exclusions of crawler targets.

Exclusions are globs relative to the include path: `*` stays within a level, `**` crosses levels, `?` is one character,
`\\` escapes, `[a-z]` and `[!a]` are classes, `{a,b}` alternatives that do not nest. A leading `.` is not special.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class PatternError(ValueError):
    """The exclusion or include path is not valid."""


TOKEN = re.compile(
    r"(?P<deep>\*\*)|(?P<star>\*)|(?P<one>\?)|(?P<escape>\\)|(?P<set>\[)|(?P<open>\{)|(?P<end>\})|(?P<or>,)|.",
    re.DOTALL,
)
SIMPLE = {"deep": ".*", "star": "[^/]*", "one": "[^/]"}
GROUPS = {"open": "(?:", "end": ")", "or": "|"}  # meant as such only where a group may begin, or is open


def glob(pattern: str) -> re.Pattern[str]:
    """The regular expression of a glob. PatternError for an unfinished class, group or escape."""
    out: list[str] = []
    at, grouped = 0, False
    while match := TOKEN.match(pattern, at):
        kind, at = match.lastgroup or "", match.end()
        if kind in SIMPLE:
            out.append(SIMPLE[kind])
        elif kind == "set":
            text, at = _class(pattern, match.start())
            out.append(text)
        elif kind == "escape":
            if at == len(pattern):
                raise PatternError(f"the exclusion '{pattern}' ends in an escape")
            out.append(re.escape(pattern[at]))
            at += 1
        elif kind in GROUPS and grouped == (kind != "open"):
            out.append(GROUPS[kind])
            grouped = kind != "end"
        else:
            out.append(re.escape(match[0]))
    if grouped:
        raise PatternError(f"the exclusion '{pattern}' has a group without an end")
    return re.compile("".join(out), re.DOTALL)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A character class that begins at `at`, and where the text goes on."""
    end = pattern.find("]", at + 2)
    if end < 0:
        raise PatternError(f"the exclusion '{pattern}' has a class without an end")
    body = pattern[at + 1 : end]
    negated = body.startswith("!")
    inner = re.sub(r"([\\\]\[^&|~])", r"\\\1", body[negated:])
    text = f"[{'^/' if negated else ''}{inner}]"
    try:
        re.compile(text)
    except re.error as error:
        raise PatternError(f"the exclusion '{pattern}' has a class that cannot be read: {error}") from None
    return text, end + 1


def excluder(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether the path of an object (or of a table), relative to the include path, is excluded."""
    compiled = [glob(pattern) for pattern in patterns]
    return lambda path: any(one.fullmatch(path) for one in compiled)


S3_PATH = re.compile(r"(?:s3[an]?://)?(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{2,254})(?:/(?P<key>.*))?", re.DOTALL)


def s3_path(path: str) -> tuple[str, str]:
    """`s3://bucket/a/b` -> (`bucket`, `a/b`). PatternError when it is no S3 path."""
    match = S3_PATH.fullmatch(path.strip())
    if match is None:
        raise PatternError(f"'{path}' is not an S3 path: expected s3://bucket/prefix")
    return match["bucket"], match["key"] or ""


@dataclass(frozen=True, slots=True)
class RelationalPath:
    """`database/schema/table`, or `database/table` for engines without schemas; `%` stands for any text."""

    database: str
    levels: tuple[str, ...]

    @classmethod
    def parse(cls, path: str, *, schemas: bool) -> RelationalPath:
        """Missing levels are `%`. PatternError for a database that is not named or too many levels."""
        database, *levels = path.strip().strip("/").split("/")
        depth = 2 if schemas else 1
        if not database or "%" in database:
            raise PatternError(f"the include path '{path}' must begin with the name of a database")
        if len(levels) > depth:
            raise PatternError(f"the include path '{path}' has more than {depth + 1} levels")
        # `db/%` is everything: the wildcard stands for schema and table
        return cls(database, (*levels, *["%"] * (depth - len(levels))))

    def fits(self, names: tuple[str, ...]) -> bool:
        """Whether a (schema, table) or (table,) is included. Case counts."""
        pairs = zip(self.levels, names, strict=True)
        return all(re.fullmatch(".*".join(map(re.escape, level.split("%"))), name) for level, name in pairs)

    def relative(self, names: tuple[str, ...]) -> str:
        """The path below the part of the include path that has no wildcard: what exclusions are held against."""
        fixed = next((n for n, level in enumerate(self.levels) if "%" in level), len(self.levels) - 1)
        return "/".join(names[fixed:])
