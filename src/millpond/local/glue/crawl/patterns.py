"""Include paths and exclusions of crawler targets (specs/glue-crawlers.md 10).

Exclusions are globs relative to the include path: `*` stays within a level, `**` crosses levels, `?` is one character,
`\\` escapes, `[a-z]` and `[!a]` are classes, `{a,b}` alternatives that do not nest. A leading `.` is not special.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class PatternError(ValueError):
    """The exclusion or include path is not valid."""


def glob(pattern: str) -> re.Pattern[str]:
    """The regular expression of a glob. PatternError for an unfinished class, group or escape."""
    out: list[str] = []
    at, group = 0, False
    while at < len(pattern):
        char = pattern[at]
        match char:
            case "*":
                double = pattern.startswith("**", at)
                out.append(".*" if double else "[^/]*")
                at += double
            case "?":
                out.append("[^/]")
            case "[":
                text, at = _class(pattern, at)
                out.append(text)
            case "{" if not group:
                out.append("(?:")
                group = True
            case "}" if group:
                out.append(")")
                group = False
            case "," if group:
                out.append("|")
            case "\\":
                at += 1
                if at == len(pattern):
                    raise PatternError(f"the exclusion '{pattern}' ends in an escape")
                out.append(re.escape(pattern[at]))
            case _:
                out.append(re.escape(char))
        at += 1
    if group:
        raise PatternError(f"the exclusion '{pattern}' has a group without an end")
    return re.compile("".join(out), re.DOTALL)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """A character class that begins at `at`, and where it ends."""
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
    return text, end


def excluder(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path, relative to the include path, is excluded. A pattern that fits a folder excludes what is in it."""
    compiled = [glob(pattern) for pattern in patterns]

    def excluded(path: str) -> bool:
        if not compiled:
            return False
        ends = [n for n, char in enumerate(path) if char == "/"]
        wholes = (path, *(path[:n] for n in ends), *(path[: n + 1] for n in ends))
        return any(one.fullmatch(whole) for one in compiled for whole in wholes)

    return excluded


def s3_path(path: str) -> tuple[str, str]:
    """`s3://bucket/a/b` -> (`bucket`, `a/b`). PatternError when it is no S3 path."""
    match = re.fullmatch(r"(?:s3[an]?://)?(?P<bucket>[^/]+)(?:/(?P<key>.*))?", path.strip(), re.DOTALL)
    if match is None or "://" in match["bucket"]:
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
