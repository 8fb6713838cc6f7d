"""What the engine remembers, in SQLite: stacks, resources, retired resources, events, change sets, operations, steps.

The journal is the last two. An operation (one create, update or delete of a stack) is a row from its first act to its
last, with its phase and with what it needs to go on or to go back. A step is a row written *before* a provider is
called and completed after it, together with the resource's new record. What a kill leaves is therefore always one of:
a step that was never written (do it), one that is written and not completed (find what it made, else do it), one that
is complete.

Values of NoEcho parameters are in a table of their own, and nowhere else: elsewhere stand markers (`NOECHO`).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from millpond.local.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS cloudformation_stacks (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS cloudformation_stacks_name ON cloudformation_stacks (name);
CREATE TABLE IF NOT EXISTS cloudformation_resources (
    stack_id TEXT NOT NULL, logical_id TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (stack_id, logical_id));
CREATE TABLE IF NOT EXISTS cloudformation_retired (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, stack_id TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cloudformation_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, stack_id TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS cloudformation_events_stack ON cloudformation_events (stack_id, seq);
CREATE TABLE IF NOT EXISTS cloudformation_changesets (
    id TEXT PRIMARY KEY, stack_id TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cloudformation_operations (
    id TEXT PRIMARY KEY, stack_id TEXT NOT NULL, open INTEGER NOT NULL, started REAL NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cloudformation_steps (
    operation_id TEXT NOT NULL, phase TEXT NOT NULL, logical_id TEXT NOT NULL, action TEXT NOT NULL,
    token TEXT NOT NULL, name TEXT NOT NULL, physical_id TEXT NOT NULL, state TEXT NOT NULL, inputs TEXT NOT NULL,
    PRIMARY KEY (operation_id, phase, logical_id, action));
CREATE TABLE IF NOT EXISTS cloudformation_noecho (
    stack_id TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (stack_id, name, version));
"""

GONE = "DELETE_COMPLETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One stack as it stands. `parameters` holds parameters.Parameter as JSON, secret values masked by markers."""

    id: str
    name: str
    status: str
    created: float
    reason: str = ""
    updated: float | None = None
    deleted: float | None = None
    body: str = ""  # the template as given
    template: dict[str, Any] = field(default_factory=dict)  # after transforms
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    notification_arns: list[str] = field(default_factory=list)
    role_arn: str = ""
    outputs: list[dict[str, Any]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    disable_rollback: bool = False
    protected: bool = False
    timeout_minutes: int | None = None
    policy: str = ""
    change_set_id: str = ""
    parent_id: str = ""
    token: str = ""  # ClientRequestToken of the last operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a stack as it stands. `properties`: what the provider last achieved, dynamic references kept."""

    logical_id: str
    type: str
    physical_id: str = ""
    name: str = ""  # the name it was made with, its own or a generated one
    status: str = ""
    reason: str = ""
    updated: float = 0.0
    properties: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    depends: list[str] = field(default_factory=list)
    deletion: str = "Delete"
    replacing: str = "Delete"  # UpdateReplacePolicy
    metadata: dict[str, Any] = field(default_factory=dict)
    description: str = ""

    @property
    def exists(self) -> bool:
        return self.status != GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation on a stack. `phase` is forward, backward, cleanup or done; `before` is what backward returns to."""

    id: str
    stack_id: str
    kind: str  # CREATE, UPDATE, DELETE
    phase: str
    started: float
    target: dict[str, Any] = field(default_factory=dict)  # fields of Stack that hold when it succeeds
    before: dict[str, Any] = field(default_factory=dict)  # {"stack": ..., "resources": {...}}
    on_failure: str = "ROLLBACK"  # ROLLBACK, DELETE, DO_NOTHING
    retain: list[str] = field(default_factory=list)
    skip: list[str] = field(default_factory=list)
    token: str = ""
    outcome: str = ""  # the status that the cleanup ends in
    cancelled: bool = False
    change_set_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSet:
    id: str
    name: str
    stack_id: str
    stack_name: str
    type: str  # CREATE or UPDATE
    status: str
    execution: str
    created: float
    reason: str = ""
    description: str = ""
    changes: list[dict[str, Any]] = field(default_factory=list)
    target: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, int] = field(default_factory=dict)
    on_failure: str = "ROLLBACK"
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One journalled provider call. `state` is written, done or failed."""

    operation_id: str
    phase: str
    logical_id: str
    action: str
    token: str
    name: str = ""
    physical_id: str = ""
    state: str = "written"
    inputs: dict[str, Any] = field(default_factory=dict)  # the properties that the call is to achieve


def _load(kind: Any, document: str) -> Any:
    known = {item.name for item in fields(kind)}
    return kind(**{key: value for key, value in json.loads(document).items() if key in known})


class Records:
    """Reads and writes of the tables above. Every method is one transaction; `with records.together():` joins some."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def together(self) -> Any:
        return self._store.write()

    # -- stacks --

    def save(self, stack: Stack) -> Stack:
        with self._store.write() as db:
            db.execute(
                "INSERT INTO cloudformation_stacks VALUES (?,?,?,?,?) "
                "ON CONFLICT (id) DO UPDATE SET status=excluded.status, document=excluded.document",
                (stack.id, stack.name, stack.status, stack.created, json.dumps(asdict(stack))),
            )
        return stack

    def stack(self, name_or_id: str) -> Stack | None:
        """By name: the one that is not deleted. By id: also a deleted one."""
        rows = self._store.read(
            "SELECT document FROM cloudformation_stacks WHERE id=? OR (name=? AND status<>?)",
            (name_or_id, name_or_id, GONE),
        )
        return _load(Stack, rows[0]["document"]) if rows else None

    def stacks(self, *, deleted: bool = False) -> list[Stack]:
        """Newest first."""
        sql = "SELECT document FROM cloudformation_stacks WHERE ? OR status<>? ORDER BY created DESC, rowid DESC"
        return [_load(Stack, row["document"]) for row in self._store.read(sql, (deleted, GONE))]

    def forget(self, stack_id: str) -> None:
        """Remove a stack that never was (a change set of type CREATE, deleted before it ran)."""
        with self._store.write() as db:
            for table in ("resources", "retired", "events", "changesets", "noecho"):
                db.execute(f"DELETE FROM cloudformation_{table} WHERE stack_id=?", (stack_id,))
            db.execute("DELETE FROM cloudformation_stacks WHERE id=?", (stack_id,))

    # -- resources --

    def put(self, stack_id: str, resource: Resource) -> Resource:
        with self._store.write() as db:
            db.execute(
                "INSERT INTO cloudformation_resources VALUES (?,?,?) "
                "ON CONFLICT (stack_id, logical_id) DO UPDATE SET document=excluded.document",
                (stack_id, resource.logical_id, json.dumps(asdict(resource))),
            )
        return resource

    def drop(self, stack_id: str, logical_id: str) -> None:
        with self._store.write() as db:
            sql = "DELETE FROM cloudformation_resources WHERE stack_id=? AND logical_id=?"
            db.execute(sql, (stack_id, logical_id))

    def resources(self, stack_id: str) -> dict[str, Resource]:
        rows = self._store.read(
            "SELECT document FROM cloudformation_resources WHERE stack_id=? ORDER BY rowid", (stack_id,)
        )
        found = [_load(Resource, row["document"]) for row in rows]
        return {resource.logical_id: resource for resource in found}

    def resource(self, stack_id: str, logical_id: str) -> Resource | None:
        row = self._store.one(
            "SELECT document FROM cloudformation_resources WHERE stack_id=? AND logical_id=?", (stack_id, logical_id)
        )
        return _load(Resource, row["document"]) if row else None

    # -- retired resources: replaced or removed, still there until the cleanup --

    def retire(self, stack_id: str, resource: Resource) -> None:
        with self._store.write() as db:
            sql = "INSERT INTO cloudformation_retired (stack_id, document) VALUES (?,?)"
            db.execute(sql, (stack_id, json.dumps(asdict(resource))))

    def retired(self, stack_id: str) -> list[tuple[int, Resource]]:
        rows = self._store.read(
            "SELECT seq, document FROM cloudformation_retired WHERE stack_id=? ORDER BY seq", (stack_id,)
        )
        return [(row["seq"], _load(Resource, row["document"])) for row in rows]

    def bury(self, seq: int) -> None:
        with self._store.write() as db:
            db.execute("DELETE FROM cloudformation_retired WHERE seq=?", (seq,))

    # -- events --

    def event(self, stack: Stack, resource: Resource | None = None, *, token: str = "", reason: str = "") -> None:
        """Write the present status of a stack, or of one of its resources, as an event."""
        event_id = str(uuid.uuid4())
        document = {
            "StackId": stack.id,
            "StackName": stack.name,
            "Timestamp": time.time(),
            "LogicalResourceId": resource.logical_id if resource else stack.name,
            "PhysicalResourceId": resource.physical_id if resource else stack.id,
            "ResourceType": resource.type if resource else "AWS::CloudFormation::Stack",
            "ResourceStatus": resource.status if resource else stack.status,
        }
        if resource:
            event_id = f"{resource.logical_id}-{resource.status}-{document['Timestamp']:.6f}"
            if resource.properties:
                document["ResourceProperties"] = json.dumps(masked(resource.properties))
        document["EventId"] = event_id
        why = reason or (resource.reason if resource else stack.reason)
        if why:
            document["ResourceStatusReason"] = why
        if token:
            document["ClientRequestToken"] = token
        with self._store.write() as db:
            sql = "INSERT INTO cloudformation_events (stack_id, document) VALUES (?,?)"
            db.execute(sql, (stack.id, json.dumps(document)))

    def events(self, stack_id: str, *, before: int | None = None, limit: int = 100) -> list[tuple[int, dict[str, Any]]]:
        """Newest first, from below `before`."""
        rows = self._store.read(
            "SELECT seq, document FROM cloudformation_events WHERE stack_id=? AND (? IS NULL OR seq<?) "
            "ORDER BY seq DESC LIMIT ?",
            (stack_id, before, before, limit),
        )
        return [(row["seq"], json.loads(row["document"])) for row in rows]

    # -- change sets --

    def save_change_set(self, change_set: ChangeSet) -> ChangeSet:
        with self._store.write() as db:
            db.execute(
                "INSERT INTO cloudformation_changesets VALUES (?,?,?,?) "
                "ON CONFLICT (id) DO UPDATE SET document=excluded.document",
                (change_set.id, change_set.stack_id, change_set.name, json.dumps(asdict(change_set))),
            )
        return change_set

    def change_sets(self, stack_id: str) -> list[ChangeSet]:
        sql = "SELECT document FROM cloudformation_changesets WHERE stack_id=? ORDER BY rowid"
        return [_load(ChangeSet, row["document"]) for row in self._store.read(sql, (stack_id,))]

    def change_set(self, change_set_id: str) -> ChangeSet | None:
        row = self._store.one("SELECT document FROM cloudformation_changesets WHERE id=?", (change_set_id,))
        return _load(ChangeSet, row["document"]) if row else None

    def drop_change_set(self, change_set_id: str) -> None:
        with self._store.write() as db:
            db.execute("DELETE FROM cloudformation_changesets WHERE id=?", (change_set_id,))

    # -- the journal --

    def save_operation(self, operation: Operation) -> Operation:
        with self._store.write() as db:
            db.execute(
                "INSERT INTO cloudformation_operations VALUES (?,?,?,?,?) "
                "ON CONFLICT (id) DO UPDATE SET open=excluded.open, document=excluded.document",
                (operation.id, operation.stack_id, operation.phase != "done", operation.started,
                 json.dumps(asdict(operation))),
            )  # fmt: skip
        return operation

    def operation(self, operation_id: str) -> Operation | None:
        row = self._store.one("SELECT document FROM cloudformation_operations WHERE id=?", (operation_id,))
        return _load(Operation, row["document"]) if row else None

    def open_operations(self) -> list[Operation]:
        rows = self._store.read("SELECT document FROM cloudformation_operations WHERE open ORDER BY started")
        return [_load(Operation, row["document"]) for row in rows]

    def last_operation(self, stack_id: str, *, kind: str | None = None) -> Operation | None:
        rows = self._store.read(
            "SELECT document FROM cloudformation_operations WHERE stack_id=? ORDER BY started DESC, rowid DESC",
            (stack_id,),
        )
        found = [_load(Operation, row["document"]) for row in rows]
        return next((operation for operation in found if kind in (None, operation.kind)), None)

    def step(self, operation_id: str, phase: str, logical_id: str, action: str) -> Step | None:
        row = self._store.one(
            "SELECT * FROM cloudformation_steps WHERE operation_id=? AND phase=? AND logical_id=? AND action=?",
            (operation_id, phase, logical_id, action),
        )
        return Step(**{**dict(row), "inputs": json.loads(row["inputs"])}) if row else None

    def touched(self, operation_id: str) -> set[str]:
        """The resources that an operation began to change on its way forward."""
        rows = self._store.read(
            "SELECT DISTINCT logical_id FROM cloudformation_steps WHERE operation_id=? AND phase='forward'",
            (operation_id,),
        )
        return {row["logical_id"] for row in rows}

    def write_step(self, step: Step) -> Step:
        with self._store.write() as db:
            db.execute(
                "INSERT INTO cloudformation_steps VALUES "
                "(:operation_id,:phase,:logical_id,:action,:token,:name,:physical_id,:state,:inputs) "
                "ON CONFLICT (operation_id, phase, logical_id, action) DO UPDATE SET token=excluded.token, "
                "name=excluded.name, physical_id=excluded.physical_id, state=excluded.state, inputs=excluded.inputs",
                {**asdict(step), "inputs": json.dumps(step.inputs)},
            )
        return step

    # -- NoEcho --

    def secret_version(self, stack_id: str, name: str, value: str) -> int:
        """The version under which a NoEcho value is, or would be, kept; an unchanged value keeps its version."""
        row = self._store.one(
            "SELECT version, value FROM cloudformation_noecho WHERE stack_id=? AND name=? "
            "ORDER BY version DESC LIMIT 1",
            (stack_id, name),
        )
        if row is None:
            return 1
        return int(row["version"]) if row["value"] == value else int(row["version"]) + 1

    def keep_secret(self, stack_id: str, name: str, version: int, value: str) -> None:
        with self._store.write() as db:
            sql = "INSERT OR REPLACE INTO cloudformation_noecho VALUES (?,?,?,?)"
            db.execute(sql, (stack_id, name, version, value))

    def secret(self, stack_id: str, name: str, version: int) -> str:
        row = self._store.one(
            "SELECT value FROM cloudformation_noecho WHERE stack_id=? AND name=? AND version=?",
            (stack_id, name, version),
        )
        if row is None:
            raise KeyError(f"the value of parameter {name} is not kept any more")
        return str(row["value"])

    def shown(self, stack: Stack) -> Stack:
        """The stack with its outputs as AWS shows them: NoEcho does not hide there (AWS docs: parameters)."""
        outputs = unmasked(stack.outputs, lambda name, version: self.secret(stack.id, name, version))
        return replace(stack, outputs=outputs)

    def forget_secrets(self, stack_id: str) -> None:
        with self._store.write() as db:
            db.execute("DELETE FROM cloudformation_noecho WHERE stack_id=?", (stack_id,))


NOECHO = "{{resolve:millpond-noecho:"


def masked(value: Any) -> Any:
    """A value with the markers of NoEcho parameters shown as AWS shows them."""
    match value:
        case dict():
            return {key: masked(item) for key, item in value.items()}
        case list():
            return [masked(item) for item in value]
        case str() if NOECHO in value:
            before, _, rest = value.partition(NOECHO)
            return f"{before}****{masked(rest.partition('}}')[2])}"
        case _:
            return value


def snapshot(stack: Stack, resources: Mapping[str, Resource]) -> dict[str, Any]:
    """What an operation keeps to be able to go back."""
    return {"stack": asdict(stack), "resources": {name: asdict(item) for name, item in resources.items()}}


def restored(before: Mapping[str, Any]) -> dict[str, Resource]:
    return {name: Resource(**item) for name, item in before.get("resources", {}).items()}


def unmasked(value: Any, secret: Callable[[str, int], str]) -> Any:
    """A value with the markers of NoEcho parameters replaced by the values."""
    match value:
        case str() if NOECHO in value:
            before, _, rest = value.partition(NOECHO)
            marker, _, after = rest.partition("}}")
            name, _, version = marker.partition(":")
            return before + secret(name, int(version)) + unmasked(after, secret)
        case list():
            return [unmasked(item, secret) for item in value]
        case dict():
            return {key: unmasked(item, secret) for key, item in value.items()}
        case _:
            return value


def exports(stacks: Iterable[Stack]) -> dict[str, tuple[Stack, str]]:
    """Export name -> the stack that exports it, and the value."""
    return {
        output["ExportName"]: (stack, output["OutputValue"])
        for stack in stacks
        for output in stack.outputs
        if output.get("ExportName")
    }


__all__ = ["ChangeSet", "Operation", "Records", "Resource", "Stack", "Step", "exports", "masked", "replace"]
