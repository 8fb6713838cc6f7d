"""Versions and aliases of state machines.

A version is a revision under a number that is never used again; an alias routes executions to one or two versions of a
machine by weight. Source: AWS Step Functions API Reference; Developer Guide, "Manage continuous deployments with
versions and aliases".
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, paging
from millpond.local.states.paging import page

if TYPE_CHECKING:
    import sqlite3

MOST_VERSIONS = 1000
MOST_ALIASES = 100


class Versions:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store

    def operations(self) -> Mapping[str, Operation]:
        return {
            "PublishStateMachineVersion": self.publish,
            "ListStateMachineVersions": self.list_versions,
            "DeleteStateMachineVersion": self.delete_version,
            "CreateStateMachineAlias": self.create_alias,
            "UpdateStateMachineAlias": self.update_alias,
            "DescribeStateMachineAlias": self.describe_alias,
            "DeleteStateMachineAlias": self.delete_alias,
            "ListStateMachineAliases": self.list_aliases,
        }

    def publish(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        machine = arns.unqualified(params["stateMachineArn"])
        with self.store.write() as db:
            row = present(db, machine)
            wanted = params.get("revisionId")
            # A machine that was never updated shows no revision.
            if wanted and wanted != row["revision"]:
                raise AwsError(
                    "ConflictException",
                    f"Failed to publish the State Machine version for revision {wanted}. The current State Machine "
                    f"revision is {row['revision']}.",
                )
            arn = self.version_of(db, machine, params.get("description"))
            created = db.execute("SELECT created FROM states_versions WHERE arn = ?", (arn,)).fetchone()["created"]
        return {"creationDate": created, "stateMachineVersionArn": arn}

    def version_of(self, db: sqlite3.Connection, machine: str, description: str | None) -> str:
        """A version of the current revision; publishing what is the latest version gives that one again."""
        row = db.execute("SELECT revision, next_version FROM states_machines WHERE arn = ?", (machine,)).fetchone()
        there = db.execute(
            "SELECT * FROM states_versions WHERE machine = ? ORDER BY number DESC", (machine,)
        ).fetchall()
        if there and there[0]["revision"] == row["revision"]:
            return str(there[0]["arn"])
        if len(there) >= MOST_VERSIONS:
            raise AwsError(
                "ServiceQuotaExceededException",
                f"The maximum number of versions of a state machine is {MOST_VERSIONS}: delete some of '{machine}'",
                status=402,
            )
        number = row["next_version"]
        arn = f"{machine}:{number}"
        db.execute(
            "INSERT INTO states_versions VALUES (?, ?, ?, ?, ?, ?)",
            (arn, machine, number, row["revision"], description, self.endpoint.clock.now()),
        )
        db.execute("UPDATE states_machines SET next_version = ? WHERE arn = ?", (number + 1, machine))
        return arn

    def version(self, arn: str) -> sqlite3.Row:
        """A version's row by its ARN. Raises StateMachineDoesNotExist."""
        row = self.store.one("SELECT * FROM states_versions WHERE arn = ?", (arn,))
        if row is None:
            raise does_not_exist(arn)
        return row

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        machine = arns.unqualified(params["stateMachineArn"])
        kind = f"versions {machine}"
        before = paging.position(kind, params.get("nextToken")) or 1 << 60
        limit = paging.size(params.get("maxResults"))
        rows = self.store.read(
            "SELECT * FROM states_versions WHERE machine = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (machine, before, limit + 1),
        )
        shown = [{"stateMachineVersionArn": row["arn"], "creationDate": row["created"]} for row in rows[:limit]]
        return page("stateMachineVersions", shown, kind, rows[limit - 1]["number"] if len(rows) > limit else None)

    def delete_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["stateMachineVersionArn"]
        given = arns.read_machine(arn)
        if given.version is None:
            raise AwsError("ValidationException", f"'{arn}' is not the ARN of a state machine version")
        with self.store.write() as db:
            rows = db.execute("SELECT * FROM states_aliases WHERE machine = ? ORDER BY name", (given.base,)).fetchall()
            if users := [row["name"] for row in rows if arn in _routed(row)]:
                raise AwsError(
                    "ConflictException",
                    "Version to be deleted must not be referenced by an alias. Current list of aliases referencing "
                    f"this version: [{', '.join(users)}]",
                )
            db.execute("DELETE FROM states_versions WHERE arn = ?", (arn,))
        return {}

    # Aliases --------------------------------------------------------------------------------------------------------

    def create_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        machine, routing = _routing(params["routingConfiguration"])
        arn, now = f"{machine}:{params['name']}", self.endpoint.clock.now()
        with self.store.write() as db:
            self._check_versions(db, machine, routing)
            row = db.execute("SELECT * FROM states_aliases WHERE arn = ?", (arn,)).fetchone()
            if row is not None:
                if (row["description"], row["routing"]) != (params.get("description"), json.dumps(routing)):
                    raise AwsError(
                        "ConflictException", "Failed to create alias because an alias with the same name already exists"
                    )
                return {"stateMachineAliasArn": arn, "creationDate": row["created"]}
            (there,) = db.execute("SELECT count(*) FROM states_aliases WHERE machine = ?", (machine,)).fetchone()
            if there >= MOST_ALIASES:
                raise AwsError(
                    "ServiceQuotaExceededException",
                    f"The maximum number of aliases of a state machine is {MOST_ALIASES}: delete some of '{machine}'",
                    status=402,
                )
            db.execute(
                "INSERT INTO states_aliases VALUES (?, ?, ?, ?, ?, ?, ?)",
                (arn, machine, params["name"], params.get("description"), json.dumps(routing), now, now),
            )
        return {"stateMachineAliasArn": arn, "creationDate": now}

    @staticmethod
    def _check_versions(db: sqlite3.Connection, machine: str, routing: list[dict[str, Any]]) -> None:
        if db.execute("SELECT 1 FROM states_machines WHERE arn = ?", (machine,)).fetchone() is not None:
            present(db, machine)  # it may be on its way out
        for route in routing:
            arn = route["stateMachineVersionArn"]
            if db.execute("SELECT 1 FROM states_versions WHERE arn = ?", (arn,)).fetchone() is None:
                raise not_found(arn)

    def alias(self, arn: str) -> sqlite3.Row:
        """An alias' row. Raises InvalidArn, ResourceNotFound."""
        arns.read_machine(arn)
        row = self.store.one("SELECT * FROM states_aliases WHERE arn = ?", (arn,))
        if row is None:
            raise not_found(arn)
        return row

    def update_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.alias(params["stateMachineAliasArn"])
        if "description" not in params and "routingConfiguration" not in params:
            raise AwsError(
                "ValidationException",
                "Either the description or the routingConfiguration must be specified",
                reason="MISSING_REQUIRED_PARAMETER",
            )
        now, routing = self.endpoint.clock.now(), row["routing"]
        with self.store.write() as db:
            if "routingConfiguration" in params:
                machine, routes = _routing(params["routingConfiguration"])
                if machine != row["machine"]:
                    raise _bad_routing("The versions of an alias must be those of its state machine")
                self._check_versions(db, machine, routes)
                routing = json.dumps(routes)
            db.execute(
                "UPDATE states_aliases SET description = ?, routing = ?, updated = ? WHERE arn = ?",
                (params.get("description", row["description"]), routing, now, row["arn"]),
            )
        return {"updateDate": now}

    def describe_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.alias(params["stateMachineAliasArn"])
        answer = {
            "stateMachineAliasArn": row["arn"],
            "name": row["name"],
            "routingConfiguration": json.loads(row["routing"]),
            "creationDate": row["created"],
            "updateDate": row["updated"],
        }
        if row["description"] is not None:
            answer["description"] = row["description"]
        return answer

    def delete_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.alias(params["stateMachineAliasArn"])
        with self.store.write() as db:
            db.execute("DELETE FROM states_aliases WHERE arn = ?", (row["arn"],))
        return {}

    def list_aliases(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The newest first; of a version those that route to it."""
        arn = params["stateMachineArn"]
        given = arns.read_machine(arn)
        kind = f"aliases {arn}"
        before, limit = paging.position(kind, params.get("nextToken")), paging.size(params.get("maxResults"))
        if self.store.one("SELECT 1 FROM states_machines WHERE arn = ?", (given.base,)) is None:
            raise does_not_exist(given.base)
        rows = self.store.read(
            "SELECT rowid AS n, * FROM states_aliases WHERE machine = ? AND rowid < ? ORDER BY rowid DESC",
            (given.base, before or 1 << 60),
        )
        if given.qualifier is not None:
            if self.store.one("SELECT 1 FROM states_versions WHERE arn = ?", (arn,)) is None:
                raise not_found(arn)
            rows = [row for row in rows if arn in _routed(row)]
        shown = [{"stateMachineAliasArn": row["arn"], "creationDate": row["created"]} for row in rows[:limit]]
        return page("stateMachineAliases", shown, kind, rows[limit - 1]["n"] if len(rows) > limit else None)


def _routing(routing: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The machine and the routes of a routing configuration: different versions of one machine, weights that make
    100. Raises InvalidArn, ValidationException."""
    versions = [arns.read_machine(route["stateMachineVersionArn"]) for route in routing]
    if any(version.version is None for version in versions):
        raise _bad_routing("Routing configuration must contain ARNs of state machine versions")
    if len({version.base for version in versions}) != 1:
        raise _bad_routing("Routing configuration must contain versions of the same state machine")
    if len({version.version for version in versions}) != len(routing):
        raise _bad_routing("Routing configuration must contain distinct state machine versions")
    if sum(route["weight"] for route in routing) != 100:
        raise _bad_routing("Sum of routing configuration weights must equal 100")
    return versions[0].base, routing


def _bad_routing(why: str) -> AwsError:
    return AwsError("ValidationException", why, reason="INVALID_ROUTING_CONFIGURATION")


def _routed(alias: sqlite3.Row) -> list[str]:
    """The versions that an alias routes to."""
    return [route["stateMachineVersionArn"] for route in json.loads(alias["routing"])]


def pick(alias: sqlite3.Row) -> str:
    """A version of an alias, by its weight."""
    routing = json.loads(alias["routing"])
    chosen = random.choices(routing, [route["weight"] for route in routing])[0]
    return str(chosen["stateMachineVersionArn"])


def present(db: sqlite3.Connection, machine: str) -> sqlite3.Row:
    """A machine's row. Raises StateMachineDoesNotExist, StateMachineDeleting."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM states_machines WHERE arn = ?", (machine,)).fetchone()
    if row is None:
        raise does_not_exist(machine)
    if db.execute("SELECT 1 FROM states_deleting WHERE arn = ?", (machine,)).fetchone() is not None:
        raise deleting(machine)
    return row


def does_not_exist(arn: str) -> AwsError:
    return AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def deleting(arn: str) -> AwsError:
    return AwsError("StateMachineDeleting", f"State Machine Deleting: '{arn}'")


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFound", f"Resource not found: '{arn}'", resourceName=arn)
