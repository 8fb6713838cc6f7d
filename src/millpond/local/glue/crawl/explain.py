"""A crawl explained, as a document: what each target held, and why each table, key and column is what it is.

It is made of what the steps of a crawl say of themselves, before anything is written (a dry run) or after.
`millpond crawl explain` renders it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millpond.local.glue.crawl.changes import Change
from millpond.local.glue.crawl.survey import LISTED, Look, Settings, Survey

# What an action of a change is called, done and in a dry run.
ACTIONS = {
    "ADD": ("created", "would be created"),
    "UPDATE": ("updated", "would be updated"),
    "REFRESH": ("unchanged", "would be unchanged"),
    "KEEP": ("left as it is", "would be left as it is"),
    "DEPRECATE": ("deprecated", "would be deprecated"),
    "DELETE": ("deleted", "would be deleted"),
}


def report(
    settings: Settings, found: Survey, changes: Sequence[Change], *, dry_run: bool, error: str
) -> dict[str, Any]:
    """The document. `error`: why the crawl failed, or empty."""
    said = [_table(change, dry_run=dry_run) for change in changes]
    notes = []
    if not found.entries and not error:
        notes.append("no event since the last crawl" if found.unchanged else "no table was found")
    return {
        "crawler": settings.name,
        "crawl": settings.run,
        "dryRun": dry_run,
        "database": settings.database,
        "error": error,
        "notes": notes,
        "targets": [_target(look) for look in found.looks],
        "tables": said,
    }


def _target(look: Look) -> dict[str, Any]:
    return {
        "target": look.target,
        "listed": look.listed,
        "read": look.read,
        "passedOver": [
            {"because": told.text, "count": told.count, "examples": told.examples} for told in look.passed.values()
        ],
        "odd": [
            {"level": told.level, "what": told.text, "count": told.count, "examples": told.examples}
            for told in look.odd.values()
        ],
        "notes": [text for _, text in look.notes],
    }


def _table(change: Change, *, dry_run: bool) -> dict[str, Any]:
    entry, given = change.entry, change.given
    parameters = given.get("Parameters") or {}
    shown: dict[str, Any] = {
        "name": change.name,
        "database": change.database,
        "location": (given.get("StorageDescriptor") or {}).get("Location", ""),
        "action": change.action,
        "said": ACTIONS[change.action][dry_run],
        "because": entry.reason if entry else "; ".join(change.notes),
        "format": parameters.get("classification", ""),
        "compression": parameters.get("compressionType", ""),
        "changes": differences(change.before, given) if change.action == "UPDATE" else [],
        "notes": [*(entry.warnings if entry else ()), *(change.notes if entry else ())],
        "columns": [],
        "partitionKeys": [],
        "partitions": {"count": 0, "first": []},
    }
    if entry is None:
        return shown
    columns = (given.get("StorageDescriptor") or {}).get("Columns") or []
    shown["columns"] = [_column(column, entry.why) for column in columns]
    shown["partitionKeys"] = [
        {"name": key["Name"], "type": key.get("Type", "")} for key in given.get("PartitionKeys") or []
    ]
    shown["partitionsBecause"] = entry.keys_why
    first = [one["StorageDescriptor"]["Location"] for one in entry.partitions[:LISTED]]
    shown["partitions"] = {"count": len(entry.partitions), "first": first}
    return shown


def _column(column: Mapping[str, Any], why: Mapping[str, str]) -> dict[str, str]:
    kind = column.get("Type", "")
    return {"name": column["Name"], "type": kind, "because": why.get(column["Name"], "as the source describes it")}


def differences(before: Mapping[str, Any] | None, given: Mapping[str, Any]) -> list[str]:
    """What an update changes: columns that come, go or change their type, and other parts of the schema."""
    old, new = _schema(before or {}), _schema(given)
    found = [f"+ {name} {kind}" for name, kind in new.items() if name not in old]
    found += [f"- {name} {kind}" for name, kind in old.items() if name not in new]
    found += [f"~ {name} {old[name]} -> {kind}" for name, kind in new.items() if name in old and old[name] != kind]
    storage, wanted = (before or {}).get("StorageDescriptor") or {}, given.get("StorageDescriptor") or {}
    for member in ("InputFormat", "SerdeInfo"):
        if (storage.get(member) or None) != (wanted.get(member) or None):
            found.append(f"~ {member}")
    return found or ["~ parameters of the crawler"]


def _schema(table: Mapping[str, Any]) -> dict[str, str]:
    columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
    keys = table.get("PartitionKeys") or []
    named = {column["Name"]: column.get("Type", "") for column in columns}
    return named | {f"{key['Name']} (partition key)": key.get("Type", "") for key in keys}
