"""CRAWL_NEW_FOLDERS_ONLY: new folders below the root of a table that is there are its partitions.

What does not fit the table's keys or columns is left out and logged (AWS docs, "Incremental crawls": new schemas that
differ too much are ignored).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from millpond.local.glue.crawl.entries import Entry
from millpond.local.glue.crawl.survey import World


def into_existing(entries: Sequence[Entry], existing: Sequence[Mapping[str, Any]], world: World) -> Iterator[Entry]:
    """The entries, with those below a table that exists as partitions of it."""
    roots = {
        location.rstrip("/") + "/": table
        for table in existing
        if (location := (table.get("StorageDescriptor") or {}).get("Location") or "").startswith("s3://")
    }
    grown: dict[str, Entry] = {}
    for entry in entries:
        root = max((one for one in roots if entry.location.startswith(one)), key=len, default="")
        if not root:
            yield entry
            continue
        table = roots[root]
        parts = []
        for one in _parts(entry):
            if part := _as_part(one, root, table):
                parts.append(part)
            else:
                place = one["StorageDescriptor"]["Location"]
                world.log("WARN", f"{place} differs from the table {table['Name']} and is left out")
        before = grown[root].partitions if root in grown else ()
        kept = {**table, "Parameters": {**(table.get("Parameters") or {}), "typeOfData": "file"}}
        grown[root] = replace(entry, table=kept, partitions=(*before, *parts))
    yield from grown.values()


def _parts(entry: Entry) -> Iterable[dict[str, Any]]:
    own = {"StorageDescriptor": entry.table["StorageDescriptor"], "Parameters": entry.table["Parameters"]}
    return entry.partitions or ({"Values": [], **own},)


def _as_part(part: Mapping[str, Any], root: str, table: Mapping[str, Any]) -> dict[str, Any] | None:
    """A new folder as a partition of a table: its depth, key names and most of its columns fit."""
    levels = part["StorageDescriptor"]["Location"][len(root) :].rstrip("/").split("/")
    keys = [key["Name"] for key in table.get("PartitionKeys") or []]
    if len(levels) != len(keys):
        return None
    values = []
    for key, level in zip(keys, levels, strict=True):
        name, equals, value = level.partition("=")
        if bool(equals) == key.startswith("partition_") or (equals and name.lower() != key):
            return None
        values.append(unquote(value) if equals else level)
    mine = {(c["Name"], c["Type"]) for c in part["StorageDescriptor"]["Columns"]}
    theirs = {(c["Name"], c["Type"]) for c in table["StorageDescriptor"]["Columns"]}
    if len(mine & theirs) <= 0.7 * len(mine | theirs):
        return None
    return {**part, "Values": values}
