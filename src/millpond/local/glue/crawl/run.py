"""One crawl: the targets of a crawler are read, the tables found, the catalog written. The order is AWS's.

`survey` lists, classifies and groups, and touches nothing: it is the preview. `Survey.changes` compares with the
catalog; `write` carries out. Every line of the log says what was found, skipped or decided, and why; a crawl that
finds nothing says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from millpond.local.glue.crawl.changes import Change, Policies, Tally, Writer, plan
from millpond.local.glue.crawl.classify import Contents, Custom, classify
from millpond.local.glue.crawl.entries import Crawl, Entry, jdbc_entry, s3_entry
from millpond.local.glue.crawl.grouping import File, Policy, Table, group
from millpond.local.glue.crawl.names import jdbc_name
from millpond.local.glue.crawl.patterns import PatternError, RelationalPath, excluder, s3_path
from millpond.local.glue.crawl.samples import Unreadable
from millpond.local.glue.jdbc import JdbcError, JdbcTarget, relations
from millpond.local.service import AwsError

LISTED = 5  # names given in a log line about many


class Stopped(Exception):
    """StopCrawler, or the endpoint shuts down."""


class CrawlFailed(Exception):
    """The crawl cannot go on; the message becomes LastCrawl.ErrorMessage."""


class Object(Protocol):
    """An object of the folder plane."""

    key: str
    size: int
    path: Path


@dataclass(frozen=True, slots=True)
class World:
    """What a crawl reads: objects by bucket and prefix, databases by connection; and `check`, which raises Stopped."""

    objects: Callable[[str, str], Iterable[Object]]
    resolve: Callable[[str], JdbcTarget]
    check: Callable[[], None]
    log: Callable[[str, str], None]  # level, text


@dataclass(frozen=True, slots=True)
class Settings:
    """A crawler, read: see crawlers.py for the meaning of the API's members."""

    name: str
    run: str
    database: str
    prefix: str
    targets: Mapping[str, Any]
    policies: Policies
    grouping: Policy
    classifiers: tuple[Custom, ...] = ()
    seen: frozenset[str] = frozenset()  # folders of earlier crawls, as s3:// paths (CRAWL_NEW_FOLDERS_ONLY)


@dataclass(slots=True)
class Survey:
    """What the targets hold."""

    entries: list[Entry] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)  # read now, as s3:// paths
    prefixes: list[str] = field(default_factory=list)  # where was looked: s3:// include paths
    relational: list[tuple[str, RelationalPath]] = field(default_factory=list)  # connection, include path

    def in_scope(self, table: Mapping[str, Any]) -> bool:
        """Whether this crawl has looked where the table's data is."""
        location = (table.get("StorageDescriptor") or {}).get("Location") or ""
        if any(location == prefix or location.startswith(prefix.rstrip("/") + "/") for prefix in self.prefixes):
            return True
        connection = (table.get("Parameters") or {}).get("connectionName")
        database, _, rest = location.partition(".")
        return any(
            connection == name and database == path.database and _fits(path, rest) for name, path in self.relational
        )


def _fits(path: RelationalPath, dotted: str) -> bool:
    names = tuple(dotted.split(".", len(path.levels) - 1))
    return len(names) == len(path.levels) and path.fits(names)


def survey(settings: Settings, world: World) -> Survey:
    """Read the targets. Raises Stopped, CrawlFailed."""
    found = Survey()
    for target in settings.targets.get("S3Targets") or []:
        _s3(target, settings, world, found)
    for target in settings.targets.get("JdbcTargets") or []:
        _relational(target, settings, world, found)
    for entry in found.entries:
        world.log("INFO", f"Found table {entry.name} at {entry.location}: {entry.reason}")
        for warning in entry.warnings:
            world.log("WARN", f"Table {entry.name}: {warning}")
    if not found.entries:
        world.log("WARN", "The crawl found no table: see the lines above for what each target holds")
    return found


# -- S3 --------------------------------------------------------------------------------------------------------------


def _s3(target: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    bucket, key = s3_path(target["Path"])
    prefix, listed = _listed(bucket, key, world)
    found.prefixes.append(f"s3://{bucket}/{prefix}")
    kept = _wanted(listed, prefix, target, settings, bucket, world)
    found.folders |= {f"s3://{bucket}/{_folder(one.key)}" for one in kept}
    files = _classified(kept, target.get("SampleSize"), settings, world)
    crawl = Crawl(settings.name, settings.run, settings.prefix, tuple(target.get("Exclusions") or ()))
    world.check()
    for table in group(files, prefix, settings.grouping):
        found.entries.append(s3_entry(_named(table), bucket, crawl))


def _named(table: Table) -> Table:
    if table.leaf.layout.classification == "UNKNOWN":
        odd = "its format is not known: the table has no columns and cannot be queried"
        return replace(table, warnings=(*table.warnings, odd))
    return table


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]


def _listed(bucket: str, key: str, world: World) -> tuple[str, list[Object]]:
    """The include path as a prefix (or the key of one file), and its objects."""
    try:
        if key and not key.endswith("/"):
            same = [one for one in world.objects(bucket, key) if one.key == key]
            if same:
                return key, same
            key += "/"
        return key, _counted(world.objects(bucket, key), world)
    except AwsError as error:
        raise CrawlFailed(f"The S3 path s3://{bucket}/{key} cannot be listed: {error.message}") from None


def _counted(objects: Iterable[Object], world: World) -> list[Object]:
    found = []
    for one in objects:
        found.append(one)
        if len(found) % 1000 == 0:
            world.check()
    return found


def _wanted(
    listed: Sequence[Object], prefix: str, target: Mapping[str, Any], settings: Settings, bucket: str, world: World
) -> list[Object]:
    """The objects to read; the log says how many were passed over, and why."""
    excluded = excluder(target.get("Exclusions") or ())
    reasons: Counter[str] = Counter()
    kept = []
    for one in listed:
        relative = one.key[len(prefix) :] or one.key.rpartition("/")[2]
        why = _passed_over(one, relative, excluded, f"s3://{bucket}/{_folder(one.key)}" in settings.seen)
        if why:
            reasons[why] += 1
        else:
            kept.append(one)
    where = f"s3://{bucket}/{prefix}"
    world.log("INFO", f"{where}: {len(listed)} objects listed, {len(kept)} to read")
    for why, count in reasons.items():
        world.log("INFO", f"{where}: {count} objects passed over: {why}")
    if not listed:
        world.log("WARN", f"{where}: there is no object; the include path is a folder or a whole key, case counts")
    return kept


def _passed_over(one: Object, relative: str, excluded: Callable[[str], bool], seen: bool) -> str:
    """Why an object is not read; empty when it is."""
    if one.key.endswith("/") or one.size == 0:
        return "empty objects and folder markers"
    if any(part.startswith(("_", ".")) for part in relative.split("/")):
        return "names that begin with _ or . (_SUCCESS, _temporary, hidden files)"
    if excluded(relative):
        return "excluded by the target's patterns"
    return "in folders of earlier crawls (CRAWL_NEW_FOLDERS_ONLY)" if seen else ""


def _classified(kept: Sequence[Object], sample: int | None, settings: Settings, world: World) -> list[File]:
    """What the objects hold. With SampleSize the first of each folder are read; the others are taken to be alike."""
    files: list[File] = []
    read: dict[str, list[Contents]] = {}
    say = _Sparing(world.log)
    for n, one in enumerate(kept):
        if n % 50 == 0:
            world.check()
        folder = read.setdefault(_folder(one.key), [])
        if sample and len(folder) >= sample:
            like = folder[0]
            files.append(
                File(one.key, one.size, replace(like, records=one.size // like.average if like.average else 0))
            )
            continue
        try:
            contents = classify(one.path, one.size, settings.classifiers)
        except Unreadable as error:
            say("ERROR", one.key, f"cannot be read and is left out: {error}")
            continue
        for note in contents.notes:
            say("WARN", one.key, note)
        folder.append(contents)
        files.append(File(one.key, one.size, contents))
    say.rest()
    world.log("BENCHMARK", f"Classification complete, {len(files)} objects read")
    return files


class _Sparing:
    """Says what is odd about the first objects by name, and about the others in one line each kind."""

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self.log = log
        self.said: Counter[tuple[str, str]] = Counter()

    def __call__(self, level: str, key: str, text: str) -> None:
        self.said[level, text] += 1
        if self.said[level, text] <= LISTED:
            self.log(level, f"{key}: {text}")

    def rest(self) -> None:
        """What was not said by name."""
        for (level, text), count in self.said.items():
            if count > LISTED:
                self.log(level, f"{count - LISTED} more objects: {text}")


# -- relational ------------------------------------------------------------------------------------------------------


def _relational(target: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    connection = target["ConnectionName"]
    try:
        database = world.resolve(connection)
        path = RelationalPath.parse(target.get("Path") or "", schemas=database.engine == "postgresql")
        found.relational.append((connection, path))
        described = list(relations(database)) if path.database == database.database else []
    except (AwsError, JdbcError) as error:
        raise CrawlFailed(f"Connection {connection}: {error.message}") from None
    except PatternError as error:
        raise CrawlFailed(f"Connection {connection}: {error}") from None
    world.check()
    if path.database != database.database:
        text = f"the include path names the database {path.database}, the connection goes to {database.database}"
        world.log("WARN", f"Connection {connection}: {text}: no table is read")
    excluded = excluder(target.get("Exclusions") or ())
    crawl = Crawl(settings.name, settings.run, settings.prefix)
    entries = []
    for relation in described:
        names = (relation.schema, relation.name) if len(path.levels) == 2 else (relation.name,)
        if not path.fits(names) or excluded(path.relative(names)):
            continue
        entries.append(
            jdbc_entry(
                relation,
                name=jdbc_name(settings.prefix, path.database, relation.schema, relation.name),
                database=path.database,
                engine=database.engine,
                connection=connection,
                crawl=crawl,
                extra=target.get("EnableAdditionalMetadata") or (),
            )
        )
    level = "INFO" if entries else "WARN"
    text = f"{len(described)} tables and views seen, {len(entries)} included by {target.get('Path')}"
    world.log(level, f"Connection {connection} ({database}): {text}")
    found.entries += entries


# -- new folders only ------------------------------------------------------------------------------------------------


def into_existing(entries: Sequence[Entry], existing: Sequence[Mapping[str, Any]], world: World) -> Iterator[Entry]:
    """CRAWL_NEW_FOLDERS_ONLY: new folders below the root of a table that is there are its partitions.

    What does not fit the table's keys or columns is left out and logged (spec 9).
    """
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


# -- writing ---------------------------------------------------------------------------------------------------------


def decide(settings: Settings, found: Survey, writer: Writer, world: World, now_ms: int) -> list[Change]:
    """What is to be written: the preview's last step."""
    existing = list(writer.catalog.tables(settings.database)) if writer.catalog.has_database(settings.database) else []
    entries: Sequence[Entry] = found.entries
    if settings.policies.partial and settings.seen:
        entries = list(into_existing(entries, existing, world))
    return list(
        plan(entries, existing, settings.policies, crawler=settings.name, in_scope=found.in_scope, now_ms=now_ms)
    )


def write(
    changes: Sequence[Change],
    settings: Settings,
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
        written()
        if change.action == "UPDATE":
            world.log("INFO", f"Table {change.name} in database {settings.database} has been updated with new schema")
        elif change.action in verbs:
            world.log("INFO", f"{verbs[change.action]} table {change.name} in database {settings.database}")
    for action, names in tally.tables.items():
        shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        world.log("INFO", f"{action}: {len(names)} ({shown})")
    for action, count in tally.partitions.items():
        world.log("INFO", f"partitions {action}: {count}")
