"""Which files a bookmark has not seen (AWS docs, "Tracking processed data using job bookmarks").

By modification time alone, in one clock: the files after the last commit's high mark, and those within `maxBand` before
it that were not seen then (S3 may list a file late). A rewritten file is read again. Pure.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BAND_MS = 900_000  # maxBand
MOST = 1000  # maxFilesInBand


@dataclass(frozen=True, slots=True)
class File:
    """One object: `modified` in milliseconds since the epoch, `size` in bytes."""

    uri: str
    modified: int
    size: int = 1


def fresh(
    files: Iterable[File], low: Mapping[str, Any], until: int, band: int, most: int = MOST
) -> tuple[list[File], dict[str, Any]]:
    """The files to read after the marks `low` and up to `until` (ms), and the marks to save.

    `band` is maxBand in ms; `most` is maxFilesInBand: of the files in the last band the first so many are read, the
    others wait for the next run.
    """
    mark, saved = low.get("high", 0), {tuple(one) for one in low.get("band", [])}
    chosen, late = [], []
    for one in sorted(files, key=lambda file: (file.modified, file.uri)):
        seen = (one.uri, one.modified) in saved
        if one.modified > until or one.modified <= mark - band:
            continue
        in_band = one.modified > until - band
        if seen:
            if in_band:
                late.append([one.uri, one.modified])
            continue
        if in_band and len(late) >= most:
            continue
        chosen.append(one)
        if in_band:
            late.append([one.uri, one.modified])
    return chosen, {"kind": "s3", "low": mark, "high": until, "band": late}


def bounded(chosen: list[File], marks: dict[str, Any], band: int, files: int, size: int) -> list[File]:
    """boundedFiles and boundedSize: the oldest `files` of the chosen ones, or those of `size` bytes together, at least
    one (0 is no bound). The marks are moved back, so that the rest is the next run's."""
    taken: list[File] = []
    total = 0
    for one in chosen:
        if taken and ((files and len(taken) >= files) or (size and total + one.size > size)):
            break
        taken.append(one)
        total += one.size
    if len(taken) < len(chosen):
        high = taken[-1].modified
        seen = [one for one in marks["band"] if one[0] not in {each.uri for each in chosen}]
        late = [[one.uri, one.modified] for one in taken if one.modified > high - band]
        marks |= {"high": high, "band": [one for one in seen if one[1] > high - band] + late}
    return taken


def hidden(rest: str) -> bool:
    """Whether a key below a prefix is one that Spark does not read: `_SUCCESS`, `.x`, and all in such folders."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in rest.split("/"))


def excluded(uri: str, patterns: Iterable[str]) -> bool:
    """Whether an object is left out by `exclusions`: globs as crawlers have them, over the whole URI or its end."""
    return any(_glob(pattern).fullmatch(uri) for pattern in patterns)


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """AWS docs, "Include and exclude patterns": `*` stays in a folder, `**` does not; `?`, `[a-z]`, `[!a]`, `{a,b}`."""
    made, depth, at = "", 0, 0
    while at < len(pattern):
        sign = pattern[at]
        if pattern.startswith("**", at):
            made, at = made + ".*", at + 1
        elif sign == "*":
            made += "[^/]*"
        elif sign == "?":
            made += "[^/]"
        elif sign == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", "\\\\")
            made, at = made + "[" + ("^" + inside[1:] if inside[0] in "!^" else inside) + "]", end
        elif sign == "{":
            made, depth = made + "(?:", depth + 1
        elif sign == "}" and depth:
            made, depth = made + ")", depth - 1
        elif sign == "," and depth:
            made += "|"
        else:
            at += sign == "\\" and at + 1 < len(pattern)
            made += re.escape(pattern[at])
        at += 1
    rooted = pattern.startswith(("s3:", "s3a:", "s3n:"))
    return re.compile(made if rooted else f"(?:.*/)?{made}" if not pattern.startswith("**") else made, re.DOTALL)
