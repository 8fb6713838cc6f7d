"""Which files a bookmark has not seen (AWS docs, "Tracking processed data using job bookmarks").

By modification time alone, in one clock: the files after the last commit's high mark, and those within `maxBand` before
it that were not seen then (S3 may list a file late). A rewritten file is read again. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BAND_SECONDS = 900


@dataclass(frozen=True, slots=True)
class File:
    """One object: `modified` in milliseconds since the epoch."""

    uri: str
    modified: int


def fresh(
    files: Iterable[File], low: Mapping[str, Any], until: int, band: int, most: int = 1000
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
