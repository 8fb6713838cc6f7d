"""Iceberg targets: tables are found by their `metadata/` folders, read from the newest metadata file, one entry each.

The entry names that file (`metadata_location`), as every engine that writes Iceberg tables through Glue does; a later
crawl moves it on. MaximumTraversalDepth is how many folders below the path a table may lie (AWS docs, IcebergTarget).
Our decision: exclusions are held against the table's folder, relative to the path, with and without its final slash.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from millpond.local.glue.crawl.entries import Crawl, Entry, described
from millpond.local.glue.crawl.hive import Array, Column, Columns, Map, Struct, Type
from millpond.local.glue.crawl.names import table_name
from millpond.local.glue.crawl.objects import listed_below
from millpond.local.glue.crawl.patterns import excluder, s3_path
from millpond.local.glue.crawl.survey import CrawlFailed, Look, Object, Settings, Survey, World

METADATA = re.compile(r"(?:v?(\d+)(?:-[^/]*)?)?[^/]*?(?:\.gz)?\.metadata\.json(?:\.gz)?")
SCALARS = {
    **{"boolean": "boolean", "int": "int", "long": "bigint", "float": "float", "double": "double"},
    **{"date": "date", "time": "string", "string": "string", "uuid": "string", "binary": "binary"},
    **dict.fromkeys(("timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"), "timestamp"),
}


def target(given: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read an Iceberg target. Raises Stopped, CrawlFailed."""
    depth = given.get("MaximumTraversalDepth")
    excluded = excluder(given.get("Exclusions") or ())
    for path in given.get("Paths") or []:
        bucket, key = s3_path(path)
        prefix, listed = listed_below(bucket, key, world)
        look = found.look(f"s3://{bucket}/{prefix}")
        found.prefixes.append(look.target)
        look.listed = len(listed)
        tables = _newest(listed)
        for root in sorted(tables):
            if why := _passed_over(root[len(prefix) :], depth, excluded):
                look.skip(tables[root].key, why)
                continue
            look.read += 1
            found.entries.append(_entry(tables[root], bucket, root, settings, look))
        if not tables:
            look.note("WARN", "there is no metadata/*.metadata.json: no Iceberg table is found")
        look.tell(world.log)


def _passed_over(relative: str, depth: int | None, excluded: Callable[[str], bool]) -> str:
    """Why a table is not taken; empty when it is. `relative`: its folder below the path, with a final `/`."""
    if depth is not None and relative.count("/") > depth:
        return f"deeper than MaximumTraversalDepth {depth}"
    if relative and (excluded(relative) or excluded(relative.rstrip("/")) or excluded(relative + "metadata")):
        return "excluded by the target's patterns"
    return ""


def _newest(listed: list[Object]) -> dict[str, Object]:
    """The newest metadata file of each table, by the table's folder."""
    found: dict[str, tuple[tuple[int, int, str], Object]] = {}
    for one in listed:
        folder, _, name = one.key.rpartition("/")
        match = METADATA.fullmatch(name)
        if match is None or folder.rpartition("/")[2] != "metadata":
            continue
        root = folder[: -len("metadata")]
        rank = (int(match[1]) if match[1] else -1, one.mtime_ns, name)
        if root not in found or rank > found[root][0]:
            found[root] = (rank, one)
    return {root: one for root, (_, one) in found.items()}


def read_metadata(path: Path) -> dict[str, Any]:
    """A metadata file, also a compressed one. ValueError."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"broken gzip: {error}") from None
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def current_schema(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The fields of the current schema, of format version 1, 2 or 3. ValueError."""
    schemas = metadata.get("schemas") or []
    wanted = metadata.get("current-schema-id")
    chosen = next((one for one in schemas if one.get("schema-id") == wanted), metadata.get("schema"))
    fields = (chosen or {}).get("fields")
    if not isinstance(fields, list):
        raise ValueError("it holds no current schema")
    return fields


def _type(of: Any) -> Type:
    match of:
        case str() if of.startswith("decimal"):
            return of.replace(" ", "")
        case str() if of.startswith("fixed"):
            return "binary"
        case str():
            return SCALARS.get(of, "string")
        case {"type": "list", "element": item}:
            return Array(_type(item))
        case {"type": "map", "key": key, "value": value}:
            return Map(_type(key), _type(value))
        case {"type": "struct", "fields": list(fields)}:
            return Struct(tuple((one["name"], _type(one["type"])) for one in fields))
        case _:
            return "string"


def _entry(one: Object, bucket: str, root: str, settings: Settings, look: Look) -> Entry:
    place = f"s3://{bucket}/{one.key}"
    try:
        metadata = read_metadata(one.path)
        fields = current_schema(metadata)
        columns: Columns = tuple(Column(each["name"].lower(), _type(each["type"]), each["name"]) for each in fields)
        marks = [_field(each) for each in fields]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CrawlFailed(f"The Iceberg metadata {place} cannot be read: {error}") from None
    crawl = Crawl(settings.name, settings.run, settings.prefix)
    parameters = crawl.marks | {
        "CRAWL_RUN_ID": crawl.run,
        "classification": "iceberg",
        "table_type": "ICEBERG",
        "metadata_location": place,
    }
    location = f"s3://{bucket}/{root}".rstrip("/")
    said = str(metadata.get("location") or location).rstrip("/")
    warnings = (
        () if said.partition("://")[2] == location.partition("://")[2] else (f"its metadata says it is at {said}",)
    )
    given = {
        "Name": table_name(settings.prefix, root.rstrip("/").rpartition("/")[2] or bucket),
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": [{**column, "Parameters": mark} for column, mark in zip(described(columns), marks, strict=True)],
            "Location": location,
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {"Parameters": {}},
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": dict(parameters),
            "StoredAsSubDirectories": False,
        },
        "Parameters": parameters,
    }
    why = {
        column.name: f"field {mark['iceberg.field.id']} of the current schema"
        for column, mark in zip(columns, marks, strict=True)
    }
    return Entry(given, (), f"the newest metadata file of {location}/", warnings, why=why)


def _field(of: Mapping[str, Any]) -> dict[str, str]:
    """What Iceberg's Glue catalog keeps with a column."""
    return {
        "iceberg.field.current": "true",
        "iceberg.field.id": str(of["id"]),
        "iceberg.field.optional": "false" if of.get("required") else "true",
    }
