"""One crawl: the targets of a crawler are read, the tables found, the catalog written. The order is AWS's.

`survey` lists, classifies and groups, and touches nothing: it is the preview. `decide` compares with the catalog;
`write` carries out. Every line of the log says what was found, skipped or decided, and why; a crawl that finds
nothing says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from millpond.local.glue.catalog import Catalog
from millpond.local.glue.crawl import delta, dynamodb, iceberg, objects, relations
from millpond.local.glue.crawl.changes import Change, Tally, Writer, plan
from millpond.local.glue.crawl.entries import Entry
from millpond.local.glue.crawl.incremental import into_existing
from millpond.local.glue.crawl.survey import Settings, Survey, World

# Kind of target -> what reads one. The order is that of the log.
READERS = {
    "S3Targets": objects.s3,
    "JdbcTargets": relations.relational,
    "DeltaTargets": delta.target,
    "IcebergTargets": iceberg.target,
    "DynamoDBTargets": dynamodb.target,
    "CatalogTargets": objects.catalog,
}


def survey(settings: Settings, world: World, found: Survey) -> None:
    """Read the targets into `found`, which holds what was seen also when it fails. Raises Stopped, CrawlFailed."""
    for kind, read in READERS.items():
        for target in settings.targets.get(kind) or []:
            read(target, settings, world, found)
    found.entries[:] = _once(found.entries, world)
    for entry in found.entries:
        world.log("INFO", f"Found table {entry.name} at {entry.location}: {entry.reason}")
        for warning in entry.warnings:
            world.log("WARN", f"Table {entry.name}: {warning}")
    if not found.entries and not found.unchanged:
        world.log("WARN", "The crawl found no table: see the lines above for what each target holds")


def _once(entries: Sequence[Entry], world: World) -> list[Entry]:
    """The entries, without those that a second target, one that overlaps with the first, has found again."""
    kept: list[Entry] = []
    seen: set[str] = set()
    for entry in entries:
        storage, parameters = entry.table["StorageDescriptor"], entry.table["Parameters"]
        facts = [parameters.get(name) for name in ("classification", "compressionType", "connectionName")]
        same = repr((entry.database, entry.location, storage["Columns"], entry.table["PartitionKeys"], facts))
        if same in seen:
            world.log("INFO", f"{entry.location} lies within more than one target: it is one table")
        else:
            kept.append(entry)
        seen.add(same)
    return kept


def decide(settings: Settings, found: Survey, catalog: Catalog, world: World, now_ms: int) -> list[Change]:
    """What is to be written: the preview's last step."""
    if found.unchanged:
        return []
    changes = []
    for database in dict.fromkeys((settings.database, *(entry.database for entry in found.entries if entry.database))):
        entries: Sequence[Entry] = [one for one in found.entries if (one.database or settings.database) == database]
        existing = list(catalog.tables(database)) if catalog.has_database(database) else []
        if settings.policies.partial and settings.seen:
            entries = list(into_existing(entries, existing, world))
        decided = plan(
            entries, existing, settings.policies, crawler=settings.name, in_scope=found.in_scope, now_ms=now_ms
        )
        changes += [replace(change, database=database) for change in decided]
    return changes


def write(
    changes: Sequence[Change],
    writer: Writer,
    world: World,
    tally: Tally,
    *,
    now_ms: int,
    written: Callable[[], None] = lambda: None,
) -> None:
    """Carry changes out; the log names each. `written` is called after each table. Raises Stopped between two."""
    verbs = {"ADD": "Created", "UPDATE": "Updated", "DEPRECATE": "Deprecated", "DELETE": "Deleted"}
    for change in changes:
        world.check()
        for note in change.notes:
            world.log("WARN", f"Table {change.name}: {note}")
        writer.write(change, tally, now_ms=now_ms)
        for bucket, key, content in change.entry.writes if change.entry else ():
            world.put(bucket, key, content)
        written()
        if change.action == "UPDATE":
            world.log("INFO", f"Table {change.name} in database {change.database} has been updated with new schema")
        elif change.action in verbs:
            world.log("INFO", f"{verbs[change.action]} table {change.name} in database {change.database}")
    tables = {action: tally.count(action) for action in tally.tables}
    for kind, counts in (("TABLE", tables), ("PARTITION", tally.partitions)):
        if counts:
            world.log("INFO", f"Run Summary For {kind}:")
        for action, count in counts.items():
            world.log("INFO", f"{action}: {count}")
