"""S3 and catalog targets: objects are listed, passed over or read, and grouped into tables.

A catalog target is the S3 path of a table that exists: all its files are one table (AWS docs, "Crawler source type"),
its name, location and partition keys stay, and none is created.

Our decision: in event mode (CRAWL_EVENT_MODE) a crawl after the first asks whether anything below the include path was
created, changed or deleted since the last one, from the listing instead of the queue: S3 delivers no events here. If
nothing was, nothing is read or written; else everything is read, which finds the same tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from millpond.local.glue.crawl import delta
from millpond.local.glue.crawl.classify import Contents, classify
from millpond.local.glue.crawl.entries import Crawl, Entry, s3_entry
from millpond.local.glue.crawl.grouping import File, Policy, Table, group
from millpond.local.glue.crawl.patterns import PatternError, excluder, s3_path
from millpond.local.glue.crawl.samples import Unreadable
from millpond.local.glue.crawl.survey import CrawlFailed, Look, Object, Settings, Survey, World, folder_of
from millpond.local.service import AwsError


def s3(target: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read an S3 target. Raises Stopped, CrawlFailed."""
    bucket, key = s3_path(target["Path"])
    prefix, listed = listed_below(bucket, key, world)
    look = found.look(f"s3://{bucket}/{prefix}")
    found.prefixes.append(look.target)
    if _no_events(listed, settings, world, found):
        look.listed = len(listed)
        look.tell(world.log)
        return
    exclusions = tuple(target.get("Exclusions") or ())
    kept = _wanted(listed, prefix, excluder(exclusions), settings, look)
    found.folders |= {f"s3://{bucket}/{folder_of(one.key)}" for one in kept}
    files = _classified(kept, target.get("SampleSize"), settings, world, look)
    _hints(listed, prefix, look)
    look.tell(world.log)
    world.log("BENCHMARK", f"Classification complete, {len(files)} objects read")
    # on the table they stand below the include path: '["s3://bucket/prefix/*.zip"]' (seen in real catalogs)
    crawl = Crawl(settings.name, settings.run, settings.prefix, tuple(look.target + one for one in exclusions))
    world.check()
    found.entries += [s3_entry(_named(table), bucket, crawl) for table in group(files, prefix, settings.grouping)]


def catalog(target: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read the data of tables that exist. Raises Stopped, CrawlFailed."""
    for name in target["Tables"]:
        database = target["DatabaseName"]
        try:
            table = world.table(database, name)
        except AwsError as error:
            raise CrawlFailed(f"The catalog target {database}.{name} cannot be crawled: {error.message}") from None
        location = (table.get("StorageDescriptor") or {}).get("Location") or ""
        if delta.is_delta(table):
            delta.again(table, settings, world, found)
            continue
        try:
            bucket, key = s3_path(location) if location.startswith("s3") else ("", "")
        except PatternError:
            bucket = key = ""
        if not bucket or delta.is_iceberg(table):
            raise CrawlFailed(
                f"The catalog target {database}.{name} lies in '{location}'. Only tables of S3, DynamoDB and Delta can"
                " be catalog targets (of those, S3 and Delta here)"
            )
        if entry := _again(table, bucket, key, settings, world, found):
            found.entries.append(replace(entry, database=database))


def _again(
    table: Mapping[str, Any], bucket: str, key: str, settings: Settings, world: World, found: Survey
) -> Entry | None:
    """The entry of a table that exists, from what its location holds now."""
    prefix, listed = listed_below(bucket, key, world)
    look = found.look(f"s3://{bucket}/{prefix}")
    if _no_events(listed, settings, world, found):
        return None
    exclusions = _kept_exclusions(table)
    kept = _wanted(listed, prefix, _below(exclusions, look.target), settings, look)
    files = _classified(kept, None, settings, world, look)
    tables = group(files, prefix, Policy(combine=True))
    wanted = (table.get("Parameters") or {}).get("classification")
    keys = table.get("PartitionKeys") or []
    fitting = [one for one in tables if one.leaf.layout.classification == wanted and len(one.keys) == len(keys)]
    best = max(fitting or tables, key=lambda one: one.leaf.objects, default=None)
    if best is None:
        look.note("WARN", f"nothing to read: the table {table['Name']} is left as it is")
    elif len(tables) > 1:
        look.note("WARN", f"{len(tables)} formats or depths: {best.reason} is taken for the table {table['Name']}")
    look.tell(world.log)
    if best is None:
        return None
    crawl = Crawl(settings.name, settings.run, "", exclusions)
    entry = s3_entry(_named(best), bucket, crawl)
    names = keys if len(keys) == len(best.keys) else entry.table["PartitionKeys"]
    storage = {**entry.table["StorageDescriptor"], "Location": table["StorageDescriptor"]["Location"]}
    given = {**entry.table, "Name": table["Name"], "PartitionKeys": list(names), "StorageDescriptor": storage}
    return replace(entry, table=given, reason=f"a catalog target: {best.reason}")


def _kept_exclusions(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The exclusions that a crawler stored on the table: globs over whole s3:// paths."""
    import json

    try:
        kept = json.loads((table.get("Parameters") or {}).get("exclusions") or "[]")
        excluder(kept)
    except (ValueError, TypeError):
        return ()
    return tuple(kept)


def _below(exclusions: Iterable[str], target: str) -> Callable[[str], bool]:
    """Exclusions of whole paths, held against paths relative to `target`."""
    inside = excluder(one.removeprefix(target) for one in exclusions)
    whole = excluder(one for one in exclusions if not one.startswith(target))
    return lambda relative: inside(relative) or whole(target + relative)


# -- listing ---------------------------------------------------------------------------------------------------------


def listed_below(bucket: str, key: str, world: World) -> tuple[str, list[Object]]:
    """The include path as a prefix (or the key of one file), and its objects. Raises CrawlFailed."""
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


def _no_events(listed: Sequence[Object], settings: Settings, world: World, found: Survey) -> bool:
    """CRAWL_EVENT_MODE: whether nothing has happened since the last crawl. Keeps the digest of the listing."""
    if settings.events is None:
        return False
    digest = hashlib.sha256(found.listing.encode())
    for one in listed:
        digest.update(f"{one.key}\0{one.size}\0{one.mtime_ns}\n".encode())
    found.listing = digest.hexdigest()
    if not settings.events:
        world.log("INFO", "The crawl is not running in S3 event mode")  # AWS's words, as for the first crawl
        return False
    world.log("INFO", "The crawl is running by consuming S3 events")
    found.unchanged = found.listing == settings.events
    if found.unchanged:
        world.log("WARN", "No object was created, changed or deleted since the last crawl: nothing is read or written")
    return found.unchanged


def _wanted(
    listed: Sequence[Object], prefix: str, excluded: Callable[[str], bool], settings: Settings, look: Look
) -> list[Object]:
    """The objects to read; the look keeps how many were passed over, and why."""
    bucket = look.target.removeprefix("s3://").partition("/")[0]
    kept = []
    for one in listed:
        relative = one.key[len(prefix) :] or one.key.rpartition("/")[2]
        why = _passed_over(one, relative, excluded, f"s3://{bucket}/{folder_of(one.key)}" in settings.seen)
        if why:
            look.skip(one.key, why)
        else:
            kept.append(one)
    look.listed, look.read = len(listed), len(kept)
    if not listed:
        look.note("WARN", "there is no object; the include path is a folder or a whole key, case counts")
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


def _hints(listed: Sequence[Object], prefix: str, look: Look) -> None:
    """Say what looks like a table of another kind of target."""
    lakes = {one.key[: one.key.index("_delta_log/")] for one in listed if "_delta_log/" in one.key[len(prefix) :]}
    for root in sorted(lakes)[:3]:
        look.note("WARN", f"{root or 'the bucket'} is a Delta table: a Delta target reads its log, this one every file")
    iced = {one.key.rpartition("metadata/")[0] for one in listed if one.key.endswith(".metadata.json")}
    for root in sorted(iced)[:3]:
        look.note("WARN", f"{root or 'the bucket'} is an Iceberg table: an Iceberg target reads its metadata")


# -- reading ---------------------------------------------------------------------------------------------------------


def _classified(kept: Sequence[Object], sample: int | None, settings: Settings, world: World, look: Look) -> list[File]:
    """What the objects hold. With SampleSize the first of each folder are read; the others are taken to be alike."""
    files: list[File] = []
    read: dict[str, list[Contents]] = {}
    for n, one in enumerate(kept):
        if n % 50 == 0:
            world.check()
        folder = read.setdefault(folder_of(one.key), [])
        if sample and len(folder) >= sample:
            like = folder[0]
            records = one.size // like.average if like.average else 0
            files.append(File(one.key, one.size, replace(like, records=records)))
            continue
        try:
            contents = classify(one.path, one.size, settings.classifiers)
        except Unreadable as error:
            look.say("ERROR", one.key, f"cannot be read and is left out: {error}")
            continue
        for note in contents.notes:
            look.say("WARN", one.key, note)
        folder.append(contents)
        files.append(File(one.key, one.size, contents))
    if len(files) < len(kept) and not files:
        look.note("ERROR", f"none of {len(kept)} objects could be read")
    return files


def _named(table: Table) -> Table:
    if table.leaf.layout.classification == "UNKNOWN":
        odd = "its format is not known: the table has no columns and cannot be queried"
        return replace(table, warnings=(*table.warnings, odd))
    return table
