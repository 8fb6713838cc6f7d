"""From what a crawl found to what the catalog shall hold, by the crawler's policies.

`plan` compares entries with the tables that are there and decides; `write` carries a decision out, a transaction a
table (partitions in groups). Both can be run again after a kill: what is done already is found equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from millpond.local.glue.catalog import Catalog, keep_indexes
from millpond.local.glue.crawl.names import collided
from millpond.local.glue.partitions import Partitions

if TYPE_CHECKING:  # brings Arrow, without which the endpoint starts
    from millpond.local.glue.crawl.entries import Entry

NAMED = 20  # tables of an action that a tally names
GROUP = 500  # partitions written in one transaction
INDEX = "crawler_partition_index"
DEPRECATED = "DEPRECATED_BY_CRAWLER"
TABLE_INPUT = (
    *("Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor"),
    *("PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters", "TargetTable"),
)
PARTITION_INPUT = ("Values", "LastAccessTime", "StorageDescriptor", "Parameters", "LastAnalyzedTime")
# What makes a table another kind of table: MergeNewColumns deprecates instead of changing them.
BASIC = ("classification", "compressionType", "delimiter", "typeOfData")
SCHEMA = ("Columns", "InputFormat", "OutputFormat", "SerdeInfo", "Compressed")


@dataclass(frozen=True, slots=True)
class Policies:
    """UpdateBehavior, DeleteBehavior and the CrawlerOutput part of the configuration."""

    update: str = "UPDATE_IN_DATABASE"
    delete: str = "DEPRECATE_IN_DATABASE"
    merge_columns: bool = False
    inherit: bool = False
    partial: bool = False  # only new folders were read: what was not found is not gone
    index: bool = True  # CreatePartitionIndex


@dataclass(frozen=True, slots=True)
class Change:
    """One decision about one table. `action`: ADD, UPDATE, REFRESH (counts only), KEEP, DEPRECATE or DELETE."""

    action: str
    name: str
    given: Mapping[str, Any]  # a TableInput, complete
    entry: Entry | None = None
    notes: tuple[str, ...] = ()
    database: str = ""
    before: Mapping[str, Any] | None = None  # the table as it was


@dataclass(slots=True)
class Tally:
    """What was written: names of tables by action (the first ones, and how many more), numbers of partitions."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    more: Counter[str] = field(default_factory=Counter)
    partitions: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Tally:
        """From what `document` gave."""
        tables = {action: list(names) for action, names in kept.get("tables", {}).items()}
        return cls(tables, Counter(kept.get("more", {})), Counter(kept.get("partitions", {})))

    def document(self) -> dict[str, Any]:
        """As it is stored: after every table, so it does not grow with them."""
        return {"tables": self.tables, "more": self.more, "partitions": self.partitions}

    def table(self, action: str, name: str) -> None:
        names = self.tables.setdefault(action, [])
        if len(names) < NAMED:
            names.append(name)
        else:
            self.more[action] += 1

    def count(self, *actions: str) -> int:
        """How many tables."""
        return sum(len(self.tables.get(action, ())) + self.more[action] for action in actions)


# -- deciding --------------------------------------------------------------------------------------------------------


def plan(
    entries: Sequence[Entry],
    existing: Sequence[Mapping[str, Any]],
    policies: Policies,
    *,
    crawler: str,
    in_scope: Callable[[Mapping[str, Any]], bool],
    now_ms: int,
) -> Iterator[Change]:
    """Decisions, in the order of locations. `in_scope`: whether a table lies where this crawl has looked."""
    tables = {table["Name"]: table for table in existing}
    taken: set[str] = set()
    for entry in sorted(entries, key=lambda one: (one.location, str(one.table["Parameters"].get("classification")))):
        name = _name_for(entry, tables, taken)
        taken.add(name)
        given = {**entry.table, "Name": name}
        before = tables.get(name)
        if before is None:
            yield Change("ADD", name, given, entry)
        else:
            yield replace(_change(before, given, entry, policies, now_ms), before=before)
    if policies.partial:
        return
    for name, table in tables.items():
        mine = (table.get("Parameters") or {}).get("UPDATED_BY_CRAWLER") == crawler
        if mine and name not in taken and in_scope(table):
            yield _gone(table, policies, now_ms)


def _name_for(entry: Entry, tables: Mapping[str, Mapping[str, Any]], taken: set[str]) -> str:
    """The entry's name; with a suffix when a table at another location has it. A second crawl chooses the same."""
    again = (collided(entry.name, entry.location + (f"#{n}" if n else "")) for n in range(1000))
    candidates = [entry.name]
    for name in again:
        candidates.append(name)
        if name not in taken:
            break
    free = [name for name in candidates if name not in taken]
    here = [name for name in free if name in tables and _location(tables[name]) == _location(entry.table)]
    return next(iter(here), next((name for name in free if name not in tables), free[-1]))


def _location(table: Mapping[str, Any]) -> str:
    found: str = ((table.get("StorageDescriptor") or {}).get("Location") or "").rstrip("/")
    return found


def _change(before: Mapping[str, Any], given: dict[str, Any], entry: Entry, policies: Policies, now_ms: int) -> Change:
    name = given["Name"]
    if policies.merge_columns and given["Parameters"].get("typeOfData") == "file":  # "S3 only" (AWS docs)
        return _merge_columns(before, given, entry, now_ms)
    differs = _differs(before, given)
    if policies.update == "LOG":
        notes = ("its schema has changed; UpdateBehavior LOG leaves it",) if differs else ()
        return Change("KEEP", name, before, entry, notes)
    if not differs:
        return Change("REFRESH", name, _refreshed(before, given), entry)
    return Change("UPDATE", name, given, entry)


def _differs(before: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether columns, keys, formats or basic attributes are others. Comments on columns do not count."""
    storage, wanted = before.get("StorageDescriptor") or {}, given["StorageDescriptor"]
    for member in SCHEMA:
        mine, theirs = storage.get(member), wanted.get(member)
        if member == "Columns":
            mine, theirs = _plain(mine), _plain(theirs)
        if (mine or None) != (theirs or None):
            return True
    if _plain(before.get("PartitionKeys")) != _plain(given.get("PartitionKeys")):
        return True
    return any((before.get("Parameters") or {}).get(key) != given["Parameters"].get(key) for key in BASIC)


def _plain(columns: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, str]]:
    return [(column["Name"].lower(), column.get("Type", "")) for column in columns or []]


def _refreshed(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The table as it is, with new counts, and no longer deprecated."""
    kept = {member: before[member] for member in TABLE_INPUT if member in before}
    storage = {**kept.get("StorageDescriptor", {})}
    storage["Parameters"] = _counted(storage.get("Parameters"), given["StorageDescriptor"]["Parameters"])
    storage["Location"] = given["StorageDescriptor"]["Location"]
    return {
        **kept,
        "StorageDescriptor": storage,
        "Parameters": _counted(kept.get("Parameters"), given["Parameters"]),
    }


def _counted(before: Mapping[str, str] | None, given: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in (before or {}).items() if k != DEPRECATED} | dict(given)


def _merge_columns(before: Mapping[str, Any], given: dict[str, Any], entry: Entry, now_ms: int) -> Change:
    """MergeNewColumns: columns are added, never dropped or retyped; another basic attribute deprecates the table."""
    name = given["Name"]
    old = before.get("Parameters") or {}
    changed = [key for key in BASIC if old.get(key) is not None and old[key] != given["Parameters"].get(key)]
    if changed or _plain(before.get("PartitionKeys")) != _plain(given.get("PartitionKeys")):
        what = ", ".join(changed) or "partition keys"
        notes = (f"{what} changed, which MergeNewColumns does not merge: the table is deprecated",)
        return Change("DEPRECATE", name, _deprecated(before, now_ms), notes=notes)
    storage = before.get("StorageDescriptor") or {}
    known = {column["Name"].lower() for column in storage.get("Columns") or []}
    new = [column for column in given["StorageDescriptor"]["Columns"] if column["Name"] not in known]
    refreshed = _refreshed(before, given)
    if not new:
        return Change("REFRESH", name, refreshed, entry)
    refreshed["StorageDescriptor"]["Columns"] = [*(storage.get("Columns") or []), *new]
    refreshed["StorageDescriptor"]["SerdeInfo"] = _merged_serde(storage.get("SerdeInfo"), given)
    return Change("UPDATE", name, refreshed, entry, (f"new columns: {', '.join(column['Name'] for column in new)}",))


def _merged_serde(before: Mapping[str, Any] | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The SerDe as it is; of its parameters only those that the crawler sets move on (AWS docs)."""
    kept = dict(before or {})
    old = kept.get("Parameters") or {}
    wanted: dict[str, str] = dict(given["StorageDescriptor"]["SerdeInfo"].get("Parameters") or {})
    if "paths" in wanted and old.get("paths"):
        wanted["paths"] = ",".join(sorted({*old["paths"].split(","), *wanted["paths"].split(",")}))
    same = kept.get("SerializationLibrary") == given["StorageDescriptor"]["SerdeInfo"].get("SerializationLibrary")
    return {**kept, "Parameters": {**old, **wanted}} if same else kept


def _gone(table: Mapping[str, Any], policies: Policies, now_ms: int) -> Change:
    name = table["Name"]
    match policies.delete:
        case "DELETE_FROM_DATABASE":
            return Change("DELETE", name, table)
        case "LOG":
            return Change("KEEP", name, table, notes=("its data is gone; DeleteBehavior LOG leaves it",))
        case _ if DEPRECATED in (table.get("Parameters") or {}):
            return Change("KEEP", name, table, notes=("its data is gone; it is deprecated already",))
        case _:
            return Change("DEPRECATE", name, _deprecated(table, now_ms), notes=("its data is gone",))


def _deprecated(table: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    kept = {member: table[member] for member in TABLE_INPUT if member in table}
    mark = {DEPRECATED: str(now_ms)}
    storage = dict(kept.get("StorageDescriptor") or {})
    storage["Parameters"] = {**(storage.get("Parameters") or {}), **mark}
    return {**kept, "StorageDescriptor": storage, "Parameters": {**(kept.get("Parameters") or {}), **mark}}


# -- writing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writer:
    """Carries changes out in the catalog."""

    catalog: Catalog
    partitions: Partitions
    created_by: str
    policies: Policies

    def write(self, change: Change, tally: Tally, *, now_ms: int) -> None:
        """Write one change with its partitions and count it."""
        match change.action:
            case "ADD":
                self.catalog.create(change.database, dict(change.given), self.created_by)
            case "UPDATE" | "DEPRECATE":
                self.catalog.update(change.database, dict(change.given))
            case "REFRESH":
                self.catalog.update(change.database, dict(change.given), archive=False)
            case "DELETE":
                self.catalog.delete(change.database, change.name)
        if change.action not in ("KEEP", "REFRESH"):
            tally.table(change.action, change.name)
        if change.entry is not None:
            self._partitions(change, tally, now_ms)
        if change.action == "ADD" and change.given.get("PartitionKeys") and self.policies.index:
            self._index(self.catalog.table(change.database, change.name))

    def _index(self, table: dict[str, Any]) -> None:
        """The index over all keys that AWS's crawler makes of a new table, for S3 and Delta targets (AWS docs)."""
        keys = [key["Name"] for key in table["PartitionKeys"]]
        with self.catalog.endpoint.store.write() as db:
            keep_indexes(db, table, [{"IndexName": INDEX, "Keys": keys}])

    def _partitions(self, change: Change, tally: Tally, now_ms: int) -> None:
        assert change.entry is not None
        table = self.catalog.table(change.database, change.name)
        before = {tuple(one["Values"]): one for one in self.partitions.every(table)}
        keys = len(table.get("PartitionKeys") or [])
        wanted = [one for one in change.entry.partitions if len(one["Values"]) == keys]
        found = {tuple(one["Values"]) for one in wanted}
        for start in range(0, len(wanted), GROUP):
            with self.catalog.endpoint.store.write():
                for one in wanted[start : start + GROUP]:
                    given = inherited(one, table) if self.policies.inherit else one
                    self._partition(table, given, before.get(tuple(one["Values"])), tally)
        if not self.policies.partial:
            self._drop(table, [one for values, one in before.items() if values not in found], tally, now_ms)

    def _partition(
        self, table: dict[str, Any], given: dict[str, Any], before: dict[str, Any] | None, tally: Tally
    ) -> None:
        if before is None:
            self.partitions.create(table, given)
            tally.partitions["ADD"] += 1
        elif self.policies.update != "LOG" or self.policies.merge_columns or self.policies.inherit:
            if self.policies.merge_columns and not self.policies.inherit:
                given = _merged_partition(before, given)
            if not _same_partition(before, given):
                self.partitions.update(table, before["Values"], given)
                tally.partitions["UPDATE"] += 1

    def _drop(self, table: dict[str, Any], gone: Sequence[dict[str, Any]], tally: Tally, now_ms: int) -> None:
        keys = len(table.get("PartitionKeys") or [])
        with self.catalog.endpoint.store.write():
            for one in gone:
                if self.policies.delete == "DELETE_FROM_DATABASE" or len(one["Values"]) != keys:
                    self.partitions.delete(table, one["Values"])
                    tally.partitions["DELETE"] += 1
                elif self.policies.delete != "LOG" and DEPRECATED not in (one.get("Parameters") or {}):
                    given = {member: one[member] for member in PARTITION_INPUT if member in one}
                    given["Parameters"] = {**(given.get("Parameters") or {}), DEPRECATED: str(now_ms)}
                    self.partitions.update(table, one["Values"], given)
                    tally.partitions["DEPRECATE"] += 1


def _same_partition(before: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(before.get(member) == given.get(member) for member in ("StorageDescriptor", "Parameters"))


def _merged_partition(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """MergeNewColumns "applies to tables and partitions" (AWS docs): no column is dropped or retyped."""
    storage, wanted = before.get("StorageDescriptor") or {}, given["StorageDescriptor"]
    known = {column["Name"].lower() for column in storage.get("Columns") or []}
    new = [column for column in wanted["Columns"] if column["Name"] not in known]
    merged = {**wanted, **{member: storage[member] for member in SCHEMA if member in storage}}
    merged["Columns"] = [*(storage.get("Columns") or []), *new]
    if new:
        merged["SerdeInfo"] = _merged_serde(storage.get("SerdeInfo"), given)
    return {**given, "StorageDescriptor": merged}


def inherited(given: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """InheritFromTable: schema, SerDe and parameters of the table; location and counts of the partition."""
    storage, own = table.get("StorageDescriptor") or {}, given["StorageDescriptor"]
    taken = {member: storage[member] for member in SCHEMA if member in storage}
    parameters = {**(table.get("Parameters") or {}), **given["Parameters"]}
    of_storage = {**(storage.get("Parameters") or {}), **given["Parameters"]}
    return {**given, "StorageDescriptor": {**own, **taken, "Parameters": of_storage}, "Parameters": parameters}


def renamed(entry: Entry, name: str) -> Entry:
    """The entry under another name."""
    return replace(entry, table={**entry.table, "Name": name})
