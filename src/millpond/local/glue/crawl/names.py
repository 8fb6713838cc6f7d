"""Names that a crawler gives: lower case, `[a-z0-9_]`, at most 128 characters."""

from __future__ import annotations

import hashlib
import re

LONGEST = 128


def clean(text: str) -> str:
    """A folder or file name as part of a table name: every other character becomes `_`."""
    return re.sub(r"[^a-z0-9_]", "_", text.lower())


def table_name(prefix: str, base: str) -> str:
    """Prefix and folder (file, bucket) name as a table name."""
    return clean(prefix + base)[:LONGEST] or "_"


def collided(name: str, location: str) -> str:
    """The name of a second table of that name: `_` and 32 hexadecimal characters that the location alone decides."""
    digest = hashlib.md5(location.encode(), usedforsecurity=False).hexdigest()
    return f"{name[: LONGEST - 33]}_{digest}"


def jdbc_name(prefix: str, database: str, schema: str, table: str) -> str:
    """`<prefix>db_schema_table`, or `<prefix>db_table` for engines without schemas."""
    return table_name(prefix, "_".join(part for part in (database, schema, table) if part))
