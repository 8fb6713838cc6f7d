"""The rows that pass outside of Spark's own counting: read from and written to databases through staged files.

The driver prints the sum at the end of a run: `millpond.rows {"read": N, "written": M}`.
"""

from __future__ import annotations

_read = 0
_staged = 0
_other_sources = False


def jdbc_read(count: int) -> None:
    """`count` rows came out of a database into staged files, which Spark then reads."""
    global _read
    _read += count


def direct_write(count: int) -> None:
    """`count` rows went to a sink without a Spark task."""
    global _staged
    _staged += count


def s3_read() -> None:
    """The script reads something else than databases, too."""
    global _other_sources
    _other_sources = True


def total(spark: dict[str, int]) -> dict[str, int]:
    """Correct Spark's own counts: staged rows are read once from the database and perhaps often from the stage."""
    read = spark["read"]
    if _read:
        read = _read + (max(0, read - _read) if _other_sources else 0)
    return {"read": read, "written": spark["written"] + _staged}
