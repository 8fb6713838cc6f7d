"""`python -m millpond.local.states.parquet FILE`: the rows of a Parquet file as JSON Lines on standard output.

A program: the endpoint does without Arrow. Exits 1 with one line on standard error when the file is not what AWS's
"ItemReader (Map)" allows: row groups of at most 256 MB, a footer of at most 5 MB.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import date, datetime, time, timedelta
from typing import Any

MOST_ROW_GROUP = 256 * 1024 * 1024
MOST_FOOTER = 5 * 1024 * 1024
ROWS = 1_000


def main(path: str) -> str | None:
    """What is wrong with the file, None when all of it was written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        meta = file.metadata
        if meta.serialized_size > MOST_FOOTER:
            return "The footer of the Parquet file exceeds the limit of 5 MB."
        if any(meta.row_group(index).total_byte_size > MOST_ROW_GROUP for index in range(meta.num_row_groups)):
            return "A row group of the Parquet file exceeds the limit of 256 MB."
        encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain).encode
        for batch in file.iter_batches(batch_size=ROWS):
            sys.stdout.write("".join(f"{encode(row)}\n" for row in batch.to_pylist()))
    except pa.ArrowException as error:
        return f"The Parquet file cannot be read: {' '.join(str(error).split())}"
    return None


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1]))
