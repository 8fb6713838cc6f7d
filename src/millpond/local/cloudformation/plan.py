"""Compare a resource as it stands with what the template wants: nothing, update or replace; and a stack's change set.

Which properties force a replacement is the public schema's word (`createOnlyProperties`), plus the property that
carries the name. A property with a value that is known only after deploy may change: a change set says so, and the
executor, for whom every value is known, decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millpond.local.cloudformation.desired import Desired, Evaluated
from millpond.local.cloudformation.intrinsics import has_unknown, same
from millpond.local.cloudformation.providers import provider_of
from millpond.local.cloudformation.records import Resource
from millpond.local.cloudformation.schemas import at, schema_of

NEVER, CONDITIONALLY, ALWAYS = "Never", "Conditionally", "Always"


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """One top-level property that differs, and whether its change replaces the resource."""

    name: str
    recreation: str  # NEVER, CONDITIONALLY, ALWAYS
    dynamic: bool = False  # the new value is known only after deploy


def property_changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[PropertyChange]:
    """What differs between two sets of properties of a type."""
    names = [*new, *(name for name in old if name not in new)]
    found = []
    for name in names:
        unknown = has_unknown(new.get(name))
        if name in old and name in new and not unknown and same(old[name], new[name]):
            continue
        if not unknown and name not in new and _empty(old[name]):
            continue
        found.append(PropertyChange(name, _recreation(kind, name, old, new, unknown=unknown), unknown))
    return found


def _empty(value: Any) -> bool:
    return value is None or value == [] or value == {}


def _recreation(kind: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any], *, unknown: bool) -> str:
    provider = provider_of(kind)
    paths = list(schema_of(kind).create_only)
    if provider and provider.name:
        paths.append(tuple(provider.name.split(".")))
    if provider and provider.update is None:
        paths.append((name,))
    for path in paths:
        if path[0] != name:
            continue
        before, after = at(old, path), at(new, path)
        if has_unknown(after):
            return CONDITIONALLY
        if not same(before, after):
            return ALWAYS
    return CONDITIONALLY if unknown and any(path[0] == name for path in paths) else NEVER


def replaces(changes: list[PropertyChange]) -> bool:
    return any(change.recreation == ALWAYS for change in changes)


@dataclass(frozen=True, slots=True)
class Change:
    """One resource of a change set."""

    action: str  # Add, Modify, Remove
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""  # True, False, Conditional (of a Modify)
    scope: tuple[str, ...] = ()
    details: tuple[PropertyChange, ...] = ()
    policy: str = ""  # Delete, Retain, ReplaceAndDelete, ReplaceAndRetain

    def as_aws(self) -> dict[str, Any]:
        """The ResourceChange of DescribeChangeSet."""
        change: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.type,
            "Scope": list(self.scope),
            "Details": [_detail(item) for item in self.details],
        }
        if self.physical_id:
            change["PhysicalResourceId"] = self.physical_id
        if self.action == "Modify":
            change["Replacement"] = self.replacement
        if self.policy:
            change["PolicyAction"] = self.policy
        return {"Type": "Resource", "ResourceChange": change}


def _detail(item: PropertyChange) -> dict[str, Any]:
    target = {"Attribute": "Properties", "Name": item.name, "RequiresRecreation": item.recreation}
    if item.name == "Tags":
        target = {"Attribute": "Tags", "RequiresRecreation": NEVER}
    return {
        "Target": target,
        "Evaluation": "Dynamic" if item.dynamic else "Static",
        "ChangeSource": "DirectModification",
    }


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation would do."""

    changes: tuple[Change, ...]
    evaluated: Mapping[str, Evaluated]
    outputs: list[dict[str, Any]]


def plan(desired: Desired, current: Mapping[str, Resource]) -> Plan:
    """Walk the template in dependency order, with what is known before deploy."""
    fixed: dict[str, Resource | None] = {}
    evaluated: dict[str, Evaluated] = {}
    changes: dict[str, Change] = {}
    current = {name: item for name, item in current.items() if item.exists}

    def lookup(name: str) -> Resource | None:
        if name not in fixed:
            fixed[name] = None  # a cycle ends here; check.properties tells
            _settle(name)
        return fixed[name]

    def _settle(name: str) -> None:
        evaluated[name] = wanted = desired.evaluate(name, lookup)
        change = compare(name, current.get(name), wanted)
        if change:
            changes[name] = change
        unchanged = change is None or (change.action == "Modify" and change.replacement == "False")
        fixed[name] = current[name] if name in current and unchanged else None

    resources = desired.resources
    for name in resources:
        lookup(name)
    # Only what is declared, in the order of the template; what is no more comes last.
    ordered = [changes[name] for name in resources if name in changes]
    ordered += [_removal(name, item) for name, item in current.items() if name not in resources]
    outputs, _ = desired.outputs(lookup)
    return Plan(tuple(ordered), {name: evaluated[name] for name in resources}, outputs)


def _removal(name: str, item: Resource) -> Change:
    policy = "Retain" if item.deletion.startswith("Retain") else "Delete"
    return Change("Remove", name, item.type, item.physical_id, policy=policy)


def compare(name: str, have: Resource | None, wanted: Evaluated) -> Change | None:
    """The change of one resource, None when there is none."""
    if have is None or not have.physical_id:
        return Change("Add", name, wanted.type)
    changes = property_changes(wanted.type, have.properties, wanted.properties)
    scope = []
    if any(item.name != "Tags" for item in changes):
        scope.append("Properties")
    if any(item.name == "Tags" for item in changes):
        scope.append("Tags")
    if not has_unknown(wanted.metadata) and not same(have.metadata, wanted.metadata):
        scope.append("Metadata")
    if have.deletion != wanted.deletion:
        scope.append("DeletionPolicy")
    if have.replacing != wanted.replacing:
        scope.append("UpdateReplacePolicy")
    if not scope and not have.status.endswith("_FAILED"):
        return None
    maybe = any(item.recreation == CONDITIONALLY for item in changes)
    replacement = "True" if replaces(changes) else "Conditional" if maybe else "False"
    policy = "" if replacement == "False" else f"ReplaceAnd{'Retain' if wanted.replacing == 'Retain' else 'Delete'}"
    return Change("Modify", name, wanted.type, have.physical_id, replacement, tuple(scope), tuple(changes), policy)
