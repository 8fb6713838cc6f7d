"""Column functions that AWS's library exports and its guide does not describe: refused, with Spark's own beside them.

What they give (names of columns, whether an index begins at 0 or 1) is written nowhere, and a guess would be silently
wrong data.
"""

from __future__ import annotations

from typing import Any, NoReturn


def namedStruct(*cols: Any) -> NoReturn:
    """Not carried."""
    raise _undocumented("namedStruct", "named_struct")


def explodeWithIndex(col: Any) -> NoReturn:
    """Not carried."""
    raise _undocumented("explodeWithIndex", "posexplode")


def replaceArrayElement(srcCol: Any, replaceCol: Any, idx: int) -> NoReturn:
    """Not carried."""
    raise _undocumented("replaceArrayElement", "transform")


def _undocumented(name: str, spark: str) -> NotImplementedError:
    return NotImplementedError(
        f"awsglue.functions.{name} is not carried: AWS does not say what it gives; use pyspark.sql.functions.{spark}"
    )
