"""State machines: create, update, describe, delete, list; validation of definitions.

A revision is one state of definition, role and configuration; machines, versions and executions point to revisions, so
that an execution is described with what it began with. A machine that is deleted while executions of it run is
DELETING until the last of them has been aborted. Source: AWS Step Functions API Reference.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from millpond import asl
from millpond.asl import check, graph
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, configuration, paging, parameters, sdk, variable_references
from millpond.local.states import tags as tagging
from millpond.local.states.configuration import Configuration
from millpond.local.states.paging import page
from millpond.local.states.versions import Versions, deleting, does_not_exist, not_found, pick, present

if TYPE_CHECKING:
    import sqlite3

    from millpond.errors import Diagnostic

__all__ = ["Machines", "check_definition", "compiled", "described", "does_not_exist", "not_found"]

MOST_MACHINES = 100_000
KEPT_STARTABLE = 1_000
"""Machines whose definitions `resolve` keeps in memory."""

_ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[^\s]+")

Startable = tuple["sqlite3.Row", "sqlite3.Row", str | None, str | None]
"""A machine's row, its revision's row, the version's ARN, the alias' ARN."""


class Machines:
    """See the module's docstring. `stop` aborts the running executions of a machine; it is set before the first
    operation."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
        self.versions = Versions(endpoint)
        self.stop: Callable[[str], None] = lambda machine: None
        self.is_leaving = False  # is any machine DELETING?
        self._startable: dict[str, Startable] = {}
        self._changes = 0

    def operations(self) -> Mapping[str, Operation]:
        return {
            "CreateStateMachine": self._changing(self.create),
            "UpdateStateMachine": self._changing(self.update),
            "DescribeStateMachine": self.describe,
            "DeleteStateMachine": self._changing(self.delete),
            "ListStateMachines": self.list_machines,
            "ValidateStateMachineDefinition": self.validate,
            **self.versions.operations(),
        }

    # Definitions ----------------------------------------------------------------------------------------------------

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = arns.check_name(params["name"])
        kind = params.get("type") or "STANDARD"
        check_role(params["roleArn"])
        _check_version_description(params)
        check_definition(params["definition"], kind)
        wanted = configuration.read(self.endpoint, params)
        arn, now = arns.machine_arn(self.endpoint, name), self.endpoint.clock.now()
        tags = tagging.read(params.get("tags"), arn)
        with self.store.write() as db:
            row = db.execute("SELECT * FROM states_machines WHERE arn = ?", (arn,)).fetchone()
            if row is not None:
                present(db, arn)
                return self._again(db, row, params, kind, wanted)
            (there,) = db.execute("SELECT count(*) FROM states_machines").fetchone()
            if there >= MOST_MACHINES:
                raise AwsError(
                    "StateMachineLimitExceeded", f"State Machine Limit Exceeded: '{MOST_MACHINES} state machines'"
                )
            revision = str(uuid.uuid4())
            _add_revision(db, arn, revision, params["definition"], params["roleArn"], wanted, now)
            db.execute(
                "INSERT INTO states_machines (arn, name, type, revision, first, created, tags)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (arn, name, kind, revision, revision, now, json.dumps(tags)),
            )
            answer: dict[str, Any] = {"stateMachineArn": arn, "creationDate": now}
            if params.get("publish"):
                answer["stateMachineVersionArn"] = self.versions.version_of(db, arn, params.get("versionDescription"))
        return answer

    @staticmethod
    def _again(
        db: sqlite3.Connection, row: sqlite3.Row, params: dict[str, Any], kind: str, wanted: Configuration
    ) -> dict[str, Any]:
        """Creating is idempotent by name, definition, type, configuration, publish and its description; role and tags
        do not count."""
        revision = db.execute(
            "SELECT * FROM states_revisions WHERE machine = ? AND revision = ?", (row["arn"], row["revision"])
        ).fetchone()
        there = (revision["definition"], row["type"], revision["logging"], revision["tracing"], revision["encryption"])
        version = None
        if params.get("publish"):
            version = db.execute(
                "SELECT * FROM states_versions WHERE machine = ? AND revision = ? AND description IS ?",
                (row["arn"], row["revision"], params.get("versionDescription")),
            ).fetchone()
        if there != (params["definition"], kind, *wanted.columns) or (params.get("publish") and version is None):
            raise AwsError("StateMachineAlreadyExists", f"State Machine Already Exists: '{row['arn']}'")
        answer = {"stateMachineArn": row["arn"], "creationDate": row["created"]}
        return answer if version is None else answer | {"stateMachineVersionArn": version["arn"]}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = arns.unqualified(params["stateMachineArn"])
        _check_version_description(params)
        changing = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")
        if not any(key in params for key in changing):
            raise AwsError(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
                "specified",
            )
        if "roleArn" in params:
            check_role(params["roleArn"])
        wanted = configuration.read(self.endpoint, params)
        row = self.row(arn)
        if "definition" in params:
            check_definition(params["definition"], row["type"])
        now = self.endpoint.clock.now()
        with self.store.write() as db:
            row = present(db, arn)
            old = db.execute(
                "SELECT * FROM states_revisions WHERE machine = ? AND revision = ?", (arn, row["revision"])
            ).fetchone()
            new = (
                params.get("definition", old["definition"]),
                params.get("roleArn", old["role"]),
                Configuration(
                    wanted.logging if "loggingConfiguration" in params else old["logging"],
                    wanted.tracing if "tracingConfiguration" in params else old["tracing"],
                    wanted.encryption if "encryptionConfiguration" in params else old["encryption"],
                ),
            )
            revision = old["revision"]
            if new != (
                *(old["definition"], old["role"]),
                Configuration(old["logging"], old["tracing"], old["encryption"]),
            ):
                revision = str(uuid.uuid4())
                _add_revision(db, arn, revision, *new, now)
            db.execute("UPDATE states_machines SET revision = ?, updated = ? WHERE arn = ?", (revision, now, arn))
            answer: dict[str, Any] = {"updateDate": now, "revisionId": revision}
            if params.get("publish"):
                answer["stateMachineVersionArn"] = self.versions.version_of(db, arn, params.get("versionDescription"))
        return answer

    def row(self, arn: str) -> sqlite3.Row:
        """A machine's row. Raises StateMachineDoesNotExist."""
        row = self.store.one("SELECT * FROM states_machines WHERE arn = ?", (arn,))
        if row is None:
            raise does_not_exist(arn)
        return row

    def revision(self, arn: str, revision: str) -> sqlite3.Row:
        row = self.store.one("SELECT * FROM states_revisions WHERE machine = ? AND revision = ?", (arn, revision))
        assert row is not None, (arn, revision)
        return row

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["stateMachineArn"]
        given = arns.read_machine(arn, labelled=True)
        row = self.row(given.base)
        leaving = self.store.one("SELECT 1 FROM states_deleting WHERE arn = ?", (given.base,)) is not None
        answer: dict[str, Any] = {
            "stateMachineArn": arn,
            "name": row["name"],
            "status": "DELETING" if leaving else "ACTIVE",
            "type": row["type"],
            "creationDate": row["created"],
        }
        revision = row["revision"]
        if given.qualifier is not None:
            version = self._version(given, arn)
            revision, answer["creationDate"] = version["revision"], version["created"]
            if version["description"]:
                answer["description"] = version["description"]
        answer |= self.revision_id(given.base, revision)
        answer |= described(self.revision(given.base, revision), bare=params.get("includedData") == "METADATA_ONLY")
        if given.label is not None:
            answer |= self._labelled(given, self.revision(given.base, revision)["definition"])
        return answer

    def revision_id(self, arn: str, revision: str) -> dict[str, str]:
        """The member `revisionId`; the first one is null, says the API Reference."""
        row = self.store.one("SELECT first FROM states_machines WHERE arn = ?", (arn,))
        return {} if row is None or row["first"] == revision else {"revisionId": revision}

    def _version(self, given: arns.MachineArn, arn: str) -> sqlite3.Row:
        """The version that a qualified ARN names; an alias names the one that most executions are routed to."""
        if given.version is None:
            alias = self.store.one("SELECT * FROM states_aliases WHERE arn = ?", (arn,))
            if alias is None:
                raise does_not_exist(arn)
            routes = json.loads(alias["routing"])
            arn = max(routes, key=lambda route: int(route["weight"]))["stateMachineVersionArn"]
        return self.versions.version(arn)

    def _labelled(self, given: arns.MachineArn, definition: str) -> dict[str, Any]:
        """A distributed Map as the machine that its child executions run."""
        for visit in graph.walk(compiled(definition)):
            state = visit.state
            if isinstance(state, asl.Map) and state.mode == "DISTRIBUTED" and state.label == given.label:
                inner = asl.to_json(state.processor)
                spoken = {"QueryLanguage": visit.language} if visit.language == "JSONata" else {}
                return {
                    "name": f"{given.name}/{given.label}",
                    "label": given.label,
                    "type": state.execution_type or "STANDARD",
                    "definition": json.dumps(spoken | inner, ensure_ascii=False),
                }
        raise does_not_exist(f"{given.base}/{given.label}")

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = arns.unqualified(params["stateMachineArn"])
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM states_machines WHERE arn = ?", (arn,)).fetchone() is None:
                return {}
            now = self.endpoint.clock.now()
            db.execute("INSERT OR IGNORE INTO states_deleting VALUES (?, ?)", (arn, now))
        self.is_leaving = True
        self._forget()
        self.stop(arn)
        self.purge(arn)
        return {}

    def purge(self, arn: str) -> None:
        """Forget a machine that is DELETING and has no running execution any more."""
        with self.store.write() as db:
            leaving = db.execute("SELECT 1 FROM states_deleting WHERE arn = ?", (arn,)).fetchone()
            running = db.execute(
                "SELECT 1 FROM states_executions WHERE status = 'RUNNING' AND machine = ? LIMIT 1", (arn,)
            ).fetchone()
            if leaving is None or running is not None:
                return
            db.execute("DELETE FROM states_machines WHERE arn = ?", (arn,))
            db.execute("DELETE FROM states_versions WHERE machine = ?", (arn,))
            db.execute("DELETE FROM states_aliases WHERE machine = ?", (arn,))
            db.execute("DELETE FROM states_deleting WHERE arn = ?", (arn,))
            self.is_leaving = db.execute("SELECT 1 FROM states_deleting").fetchone() is not None

    def leaving(self) -> list[str]:
        """The machines that are DELETING: a kill may have come between."""
        found = [row["arn"] for row in self.store.read("SELECT arn FROM states_deleting")]
        self.is_leaving = bool(found)
        return found

    def list_machines(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        after = paging.position("machines", params.get("nextToken")) or ""
        limit = paging.size(params.get("maxResults"))
        rows = self.store.read("SELECT * FROM states_machines WHERE name > ? ORDER BY name LIMIT ?", (after, limit + 1))
        shown = [
            {
                "stateMachineArn": row["arn"],
                "name": row["name"],
                "type": row["type"],
                "creationDate": row["created"],
            }
            for row in rows[:limit]
        ]
        return page("stateMachines", shown, "machines", rows[limit - 1]["name"] if len(rows) > limit else None)

    def validate(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        found = check.check(params["definition"], params.get("type") or "STANDARD", sdk.knows, parameters.misfits)
        failed = any(finding.severity == "ERROR" for finding in found)
        if params.get("severity", "ERROR") == "ERROR":
            found = tuple(finding for finding in found if finding.severity == "ERROR")
        most = params.get("maxResults") or 100
        return {
            "result": "FAIL" if failed else "OK",
            "diagnostics": [_shown(f) for f in found[:most]],
            "truncated": len(found) > most,
        }

    # For executions -------------------------------------------------------------------------------------------------

    def resolve(self, arn: str) -> Startable:
        """What an ARN to start names: the machine, its revision, the version's ARN, the alias' ARN. Raises InvalidArn,
        StateMachineDoesNotExist, StateMachineDeleting.

        Kept for ARNs of machines themselves until any machine changes: these reads are a fifth of a start's cost.
        """
        found = self._startable.get(arn)
        if found is None:
            changes = self._changes
            found = self._resolve(arn)
            if changes == self._changes and found[2] is None:
                if len(self._startable) >= KEPT_STARTABLE:
                    self._startable.clear()
                self._startable[arn] = found
        return found

    def _changing(self, run: Operation) -> Operation:
        """An operation after which `resolve` must read again."""

        def changing(params: dict[str, Any], call: Call) -> dict[str, Any] | None:
            try:
                return run(params, call)
            finally:
                self._forget()

        return changing

    def _forget(self) -> None:
        self._changes += 1
        self._startable.clear()

    def _resolve(self, arn: str) -> Startable:
        given = arns.read_machine(arn)
        row = self.row(given.base)
        if self.store.one("SELECT 1 FROM states_deleting WHERE arn = ?", (given.base,)) is not None:
            raise deleting(given.base)
        if given.qualifier is None:
            return row, self.revision(given.base, row["revision"]), None, None
        alias = None
        if given.version is None:
            found = self.store.one("SELECT * FROM states_aliases WHERE arn = ?", (arn,))
            if found is None:
                raise does_not_exist(arn)
            alias, arn = arn, pick(found)
        return row, self.revision(given.base, self.versions.version(arn)["revision"]), arn, alias


def _add_revision(
    db: sqlite3.Connection,
    arn: str,
    revision: str,
    definition: str,
    role: str,
    wanted: Configuration,
    now: float,
) -> None:
    db.execute(
        "INSERT INTO states_revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (arn, revision, definition, role, *wanted.columns, now),
    )


@functools.lru_cache(maxsize=256)
def compiled(definition: str) -> asl.Machine:
    """A definition's model; checked before it was stored."""
    return asl.from_json(definition)


@functools.lru_cache(maxsize=64)
def _references(definition: str) -> dict[str, list[str]]:
    return variable_references.references(compiled(definition))


def check_definition(definition: str, kind: str) -> None:
    """Raises InvalidDefinition with all findings."""
    if len(definition.encode()) > check.LARGEST:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'definition' failed to satisfy constraint: Member must have length "
            f"less than or equal to {check.LARGEST}",
        )
    found = check.check(definition, kind, sdk.knows, parameters.misfits)  # type: ignore[arg-type]
    errors = [finding for finding in found if finding.severity == "ERROR"]
    if not errors:
        return
    labels = [finding for finding in errors if finding.at and finding.at[-1] == "Label"]
    if labels:
        # Recorded, many times over: a bad label is told in these words, unlike all else.
        raise AwsError(
            "InvalidDefinition", f"Error=ValueError Args={[labels[0].message]!r} in definition '{definition}'."
        )
    said = ", ".join(check.describe(finding) for finding in errors)
    raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")


def _shown(finding: Diagnostic) -> dict[str, str]:
    shown = {"severity": finding.severity, "code": finding.code, "message": finding.message}
    if place := check.location(finding):
        shown["location"] = place
    return shown


def described(revision: sqlite3.Row, *, bare: bool = False) -> dict[str, Any]:
    """The members that a revision gives to a description; `bare` is METADATA_ONLY."""
    shown = {
        "definition": "{}" if bare else revision["definition"],
        "roleArn": revision["role"],
        **configuration.shown(revision),
    }
    found = {} if bare else _references(revision["definition"])
    return shown | ({"variableReferences": found} if found else {})


def check_role(arn: str) -> None:
    """Raises InvalidArn."""
    if not _ROLE.fullmatch(arn):
        raise AwsError("InvalidArn", f"Invalid Role Arn: '{arn}'")


def _check_version_description(params: dict[str, Any]) -> None:
    if "versionDescription" in params and not params.get("publish"):
        raise AwsError("ValidationException", "Version description can only be set when publish is true")
