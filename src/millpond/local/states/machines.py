"""State machines: create, update, describe, delete, list; versions and aliases; validation; tags.

A revision is one state of definition, role and configuration; machines, versions and executions point to revisions, so
that an execution is described with what it began with. Source: AWS Step Functions API Reference.
"""

from __future__ import annotations

import functools
import json
import random
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond import asl
from millpond.asl import check
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, paging, sdk, static

if TYPE_CHECKING:
    import sqlite3

    from millpond.errors import Diagnostic

LOGGING_OFF: dict[str, Any] = {"level": "OFF", "includeExecutionData": False}
KEY_OWNED = {"type": "AWS_OWNED_KEY"}
MOST_TAGS = 50

Startable = tuple["sqlite3.Row", "sqlite3.Row", str | None, str | None]
"""A machine's row, its revision's row, the version's ARN, the alias' ARN."""


class Machines:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
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
            "PublishStateMachineVersion": self.publish,
            "ListStateMachineVersions": self.list_versions,
            "DeleteStateMachineVersion": self.delete_version,
            "CreateStateMachineAlias": self.create_alias,
            "UpdateStateMachineAlias": self.update_alias,
            "DescribeStateMachineAlias": self.describe_alias,
            "DeleteStateMachineAlias": self.delete_alias,
            "ListStateMachineAliases": self.list_aliases,
        }

    # Definitions ----------------------------------------------------------------------------------------------------

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = arns.check_name(params["name"])
        kind = params.get("type") or "STANDARD"
        _check_role(params["roleArn"])
        _check_version_description(params)
        check_definition(params["definition"], kind)
        configuration = _configuration(params)
        tags = read_tags(params.get("tags"))
        arn, now = arns.machine_arn(self.endpoint, name), self.endpoint.clock.now()
        with self.store.write() as db:
            row = db.execute("SELECT * FROM states_machines WHERE arn = ?", (arn,)).fetchone()
            if row is not None:
                self._same_or_refuse(db, row, params, kind, configuration)
            else:
                revision = str(uuid.uuid4())
                self._add_revision(db, arn, revision, params["definition"], params["roleArn"], configuration, now)
                db.execute(
                    "INSERT INTO states_machines (arn, name, type, revision, first, created, tags)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (arn, name, kind, revision, revision, now, json.dumps(tags)),
                )
            created = row["created"] if row is not None else now
            answer: dict[str, Any] = {"stateMachineArn": arn, "creationDate": created}
            if params.get("publish"):
                answer["stateMachineVersionArn"] = self._publish(db, arn, params.get("versionDescription"))
        return answer

    @staticmethod
    def _same_or_refuse(
        db: sqlite3.Connection,
        row: sqlite3.Row,
        params: dict[str, Any],
        kind: str,
        configuration: tuple[str | None, ...],
    ) -> None:
        """Creating is idempotent by name, definition, type and configuration; role and tags do not count."""
        revision = db.execute(
            "SELECT * FROM states_revisions WHERE machine = ? AND revision = ?", (row["arn"], row["revision"])
        ).fetchone()
        there = (revision["definition"], row["type"], revision["logging"], revision["tracing"], revision["encryption"])
        if there != (params["definition"], kind, *configuration):
            raise AwsError("StateMachineAlreadyExists", f"State Machine Already Exists: '{row['arn']}'")

    @staticmethod
    def _add_revision(
        db: sqlite3.Connection,
        arn: str,
        revision: str,
        definition: str,
        role: str,
        configuration: tuple[str | None, ...],
        now: float,
    ) -> None:
        db.execute(
            "INSERT INTO states_revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (arn, revision, definition, role, *configuration, now),
        )

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        given = arns.read_machine(params["stateMachineArn"])
        _check_version_description(params)
        changing = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")
        if not any(key in params for key in changing):
            raise AwsError(
                "MissingRequiredParameter",
                "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
                "specified",
            )
        if "roleArn" in params:
            _check_role(params["roleArn"])
        now = self.endpoint.clock.now()
        row = self.row(given.base)
        if "definition" in params:
            check_definition(params["definition"], row["type"])
        with self.store.write() as db:
            old = self._current(db, given.base)
            logging, tracing, encryption = _configuration(params)
            configuration = (
                logging if "loggingConfiguration" in params else old["logging"],
                tracing if "tracingConfiguration" in params else old["tracing"],
                encryption if "encryptionConfiguration" in params else old["encryption"],
            )
            definition, role = params.get("definition", old["definition"]), params.get("roleArn", old["role"])
            revision = old["revision"]
            if (definition, role, *configuration) != (
                *(old["definition"], old["role"]),
                *(old["logging"], old["tracing"], old["encryption"]),
            ):
                revision = str(uuid.uuid4())
                self._add_revision(db, given.base, revision, definition, role, configuration, now)
            db.execute(
                "UPDATE states_machines SET revision = ?, updated = ? WHERE arn = ?", (revision, now, given.base)
            )
            answer: dict[str, Any] = {"updateDate": now, "revisionId": revision}
            if params.get("publish"):
                answer["stateMachineVersionArn"] = self._publish(db, given.base, params.get("versionDescription"))
        return answer

    @staticmethod
    def _current(db: sqlite3.Connection, arn: str) -> sqlite3.Row:
        found: sqlite3.Row | None = db.execute(
            "SELECT r.* FROM states_machines m JOIN states_revisions r ON r.machine = m.arn AND r.revision = m.revision"
            " WHERE m.arn = ?",
            (arn,),
        ).fetchone()
        if found is None:
            raise does_not_exist(arn)
        return found

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
        given = arns.read_machine(params["stateMachineArn"])
        row = self.row(given.base)
        answer: dict[str, Any] = {"stateMachineArn": params["stateMachineArn"], "name": row["name"], "status": "ACTIVE"}
        if given.qualifier is None:
            revision, created = row["revision"], row["created"]
        else:
            version = self.version(given, params["stateMachineArn"])
            revision, created = version["revision"], version["created"]
            if version["description"]:
                answer["description"] = version["description"]
        current = self.revision(given.base, revision)
        answer |= {"type": row["type"], "creationDate": created, **described(current)}
        if revision != row["first"]:
            answer["revisionId"] = revision
        if params.get("includedData") == "METADATA_ONLY":
            answer["definition"] = ""
        return answer

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        given = arns.read_machine(params["stateMachineArn"])
        with self.store.write() as db:
            db.execute("DELETE FROM states_machines WHERE arn = ?", (given.base,))
            db.execute("DELETE FROM states_versions WHERE machine = ?", (given.base,))
            db.execute("DELETE FROM states_aliases WHERE machine = ?", (given.base,))
        return {}

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
        return _page("stateMachines", shown, "machines", rows[limit - 1]["name"] if len(rows) > limit else None)

    def validate(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        found = check.check(params["definition"], params.get("type") or "STANDARD", sdk.knows, static.misfits)
        failed = any(finding.severity == "ERROR" for finding in found)
        if params.get("severity", "ERROR") == "ERROR":
            found = tuple(finding for finding in found if finding.severity == "ERROR")
        most = params.get("maxResults") or 100
        answer: dict[str, Any] = {
            "result": "FAIL" if failed else "OK",
            "diagnostics": [_shown(f) for f in found[:most]],
        }
        if len(found) > most:
            answer["truncated"] = True
        return answer

    # Versions -------------------------------------------------------------------------------------------------------

    def publish(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        given = arns.read_machine(params["stateMachineArn"])
        row = self.row(given.base)
        if params.get("revisionId") and params["revisionId"] != row["revision"]:
            raise AwsError(
                "ConflictException",
                f"Failed to publish the State Machine version for revision {params['revisionId']}. The current State "
                f"Machine revision is {row['revision']}.",
            )
        with self.store.write() as db:
            arn = self._publish(db, given.base, params.get("description"))
            created = db.execute("SELECT created FROM states_versions WHERE arn = ?", (arn,)).fetchone()["created"]
        return {"creationDate": created, "stateMachineVersionArn": arn}

    def _publish(self, db: sqlite3.Connection, machine: str, description: str | None) -> str:
        """A version of the current revision; publishing what is the latest version gives that one again."""
        row = db.execute("SELECT revision, next_version FROM states_machines WHERE arn = ?", (machine,)).fetchone()
        latest = db.execute(
            "SELECT * FROM states_versions WHERE machine = ? ORDER BY number DESC LIMIT 1", (machine,)
        ).fetchone()
        if latest is not None and latest["revision"] == row["revision"]:
            return str(latest["arn"])
        number = row["next_version"]
        arn = f"{machine}:{number}"
        db.execute(
            "INSERT INTO states_versions VALUES (?, ?, ?, ?, ?, ?)",
            (arn, machine, number, row["revision"], description, self.endpoint.clock.now()),
        )
        db.execute("UPDATE states_machines SET next_version = ? WHERE arn = ?", (number + 1, machine))
        return arn

    def version(self, given: arns.MachineArn, arn: str) -> sqlite3.Row:
        """A version's row by its ARN. Raises StateMachineDoesNotExist."""
        row = self.store.one("SELECT * FROM states_versions WHERE arn = ?", (arn,))
        if row is None:
            raise does_not_exist(arn)
        return row

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        given = arns.read_machine(params["stateMachineArn"])
        before = paging.position("versions", params.get("nextToken")) or 1 << 60
        limit = paging.size(params.get("maxResults"))
        rows = self.store.read(
            "SELECT * FROM states_versions WHERE machine = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (given.base, before, limit + 1),
        )
        shown = [{"stateMachineVersionArn": row["arn"], "creationDate": row["created"]} for row in rows[:limit]]
        more = rows[limit - 1]["number"] if len(rows) > limit else None
        return _page("stateMachineVersions", shown, "versions", more)

    def delete_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = params["stateMachineVersionArn"]
        given = arns.read_machine(arn)
        if given.version is None:
            raise AwsError("ValidationException", f"'{arn}' is not the ARN of a state machine version")
        users = [
            row["name"]
            for row in self.store.read("SELECT * FROM states_aliases WHERE machine = ?", (given.base,))
            if any(route["stateMachineVersionArn"] == arn for route in json.loads(row["routing"]))
        ]
        if users:
            raise AwsError(
                "ConflictException",
                f"Version to be deleted must not be referenced by an alias. Current list of aliases referencing this "
                f"version: [{', '.join(users)}]",
            )
        with self.store.write() as db:
            db.execute("DELETE FROM states_versions WHERE arn = ?", (arn,))
        return {}

    # Aliases --------------------------------------------------------------------------------------------------------

    def create_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["name"]
        if not name or name.isdigit() or not all(c.isalnum() or c in "-_." for c in name):
            raise AwsError("InvalidName", f"Invalid Name: '{name}'")
        machine, routing = self._routing(params["routingConfiguration"])
        arn, now = f"{machine}:{name}", self.endpoint.clock.now()
        with self.store.write() as db:
            row = db.execute("SELECT * FROM states_aliases WHERE arn = ?", (arn,)).fetchone()
            if row is not None:
                if (row["description"], row["routing"]) != (params.get("description"), json.dumps(routing)):
                    raise AwsError(
                        "ConflictException", "Failed to create alias because an alias with the same name already exists"
                    )
                return {"stateMachineAliasArn": arn, "creationDate": row["created"]}
            db.execute(
                "INSERT INTO states_aliases VALUES (?, ?, ?, ?, ?, ?, ?)",
                (arn, machine, name, params.get("description"), json.dumps(routing), now, now),
            )
        return {"stateMachineAliasArn": arn, "creationDate": now}

    def _routing(self, routing: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
        """One or two versions of one machine whose weights make 100."""
        if not 1 <= len(routing) <= 2 or sum(route["weight"] for route in routing) != 100:
            raise AwsError("ValidationException", "Sum of routing configuration weights must equal 100")
        versions = [arns.read_machine(route["stateMachineVersionArn"]) for route in routing]
        if len({version.base for version in versions}) != 1 or any(version.version is None for version in versions):
            raise AwsError("ValidationException", "Routing configuration must name versions of one state machine")
        if len({route["stateMachineVersionArn"] for route in routing}) != len(routing):
            raise AwsError("ValidationException", "Routing configuration must name different versions")
        for route in routing:
            if not self.store.one("SELECT 1 FROM states_versions WHERE arn = ?", (route["stateMachineVersionArn"],)):
                raise not_found(route["stateMachineVersionArn"])
        return versions[0].base, routing

    def alias(self, arn: str) -> sqlite3.Row:
        """An alias' row. Raises ResourceNotFound."""
        arns.read_machine(arn)
        row = self.store.one("SELECT * FROM states_aliases WHERE arn = ?", (arn,))
        if row is None:
            raise not_found(arn)
        return row

    def update_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.alias(params["stateMachineAliasArn"])
        if "description" not in params and "routingConfiguration" not in params:
            raise AwsError("ValidationException", "Either the description or the routing configuration must be given")
        routing = row["routing"]
        if "routingConfiguration" in params:
            machine, routes = self._routing(params["routingConfiguration"])
            if machine != row["machine"]:
                raise AwsError("ValidationException", "An alias cannot be moved to another state machine")
            routing = json.dumps(routes)
        now = self.endpoint.clock.now()
        with self.store.write() as db:
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
        given = arns.read_machine(params["stateMachineArn"])
        self.row(given.base)
        after = paging.position("aliases", params.get("nextToken")) or ""
        limit = paging.size(params.get("maxResults"))
        rows = self.store.read(
            "SELECT * FROM states_aliases WHERE machine = ? AND name > ? ORDER BY name", (given.base, after)
        )
        if given.version is not None:
            routed = params["stateMachineArn"]
            rows = [r for r in rows if any(p["stateMachineVersionArn"] == routed for p in json.loads(r["routing"]))]
        shown = [{"stateMachineAliasArn": row["arn"], "creationDate": row["created"]} for row in rows[:limit]]
        more = rows[limit - 1]["name"] if len(rows) > limit else None
        return _page("stateMachineAliases", shown, "aliases", more)

    # For executions -------------------------------------------------------------------------------------------------

    def resolve(self, arn: str) -> Startable:
        """What an ARN to start names: the machine, its revision, the version's ARN, the alias' ARN.

        Kept for ARNs of machines themselves until any machine changes: these reads are a fifth of a start's cost.
        """
        found = self._startable.get(arn)
        if found is None:
            changes = self._changes
            found = self._resolve(arn)
            if changes == self._changes and found[2] is None:
                self._startable[arn] = found
        return found

    def _changing(self, run: Operation) -> Operation:
        """An operation after which `resolve` must read again."""

        def changing(params: dict[str, Any], call: Call) -> dict[str, Any] | None:
            try:
                return run(params, call)
            finally:
                self._changes += 1
                self._startable.clear()

        return changing

    def _resolve(self, arn: str) -> Startable:
        given = arns.read_machine(arn)
        row = self.row(given.base)
        if given.qualifier is None:
            return row, self.revision(given.base, row["revision"]), None, None
        alias = None
        if given.version is None:
            found = self.store.one("SELECT * FROM states_aliases WHERE arn = ?", (arn,))
            if found is None:
                raise does_not_exist(arn)
            alias, arn = arn, _pick(json.loads(found["routing"]))
            given = arns.read_machine(arn)
        version = self.version(given, arn)
        return row, self.revision(given.base, version["revision"]), arn, alias


def _pick(routing: list[dict[str, Any]]) -> str:
    """A version by its weight."""
    chosen = random.choices(routing, [route["weight"] for route in routing])[0]
    return str(chosen["stateMachineVersionArn"])


@functools.lru_cache(maxsize=256)
def compiled(definition: str) -> asl.Machine:
    """A definition's model; checked before it was stored."""
    return asl.from_json(definition)


def check_definition(definition: str, kind: str) -> None:
    """Raises InvalidDefinition with all findings."""
    if len(definition.encode()) > check.LARGEST:
        raise AwsError(
            "ValidationException",
            "1 validation error detected: Value at 'definition' failed to satisfy constraint: Member must have length "
            f"less than or equal to {check.LARGEST}",
        )
    errors = [f for f in check.check(definition, kind, sdk.knows, static.misfits) if f.severity == "ERROR"]  # type: ignore[arg-type]
    if not errors:
        return
    labels = [finding for finding in errors if finding.at and finding.at[-1] == "Label"]
    if labels:
        # Recorded: a bad label is told in these words, unlike all else.
        # Case: shared/cases/asl/validation_errors.json, 011 to 098.
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


def described(revision: sqlite3.Row) -> dict[str, Any]:
    """The members that a revision gives to a description."""
    return {
        "definition": revision["definition"],
        "roleArn": revision["role"],
        "loggingConfiguration": json.loads(revision["logging"]) if revision["logging"] else LOGGING_OFF,
        "tracingConfiguration": json.loads(revision["tracing"]) if revision["tracing"] else {"enabled": False},
        "encryptionConfiguration": json.loads(revision["encryption"]) if revision["encryption"] else KEY_OWNED,
    }


def _configuration(params: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Logging, tracing and encryption as they are stored."""
    logging = params.get("loggingConfiguration")
    if logging is not None:
        level, destinations = logging.get("level", "OFF"), logging.get("destinations", [])
        if level != "OFF" and len(destinations) != 1:
            raise AwsError(
                "InvalidLoggingConfiguration",
                "Invalid Logging Configuration: Must specify exactly one Log Destination.",
            )
        logging = {"level": level, "includeExecutionData": logging.get("includeExecutionData", False)} | (
            {"destinations": destinations} if destinations else {}
        )
    given = (logging, params.get("tracingConfiguration"), params.get("encryptionConfiguration"))
    stored = tuple(json.dumps(part, sort_keys=True) if part is not None else None for part in given)
    return stored[0], stored[1], stored[2]


def _check_role(arn: str) -> None:
    if not arn.startswith("arn:"):
        raise AwsError("InvalidArn", f"Invalid Role Arn: '{arn}'")


def _check_version_description(params: dict[str, Any]) -> None:
    if "versionDescription" in params and not params.get("publish"):
        raise AwsError("ValidationException", "Version description can only be set when publish is true")


def read_tags(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Tags as a mapping. Raises TooManyTags."""
    if any("key" not in tag for tag in tags or ()):
        raise AwsError("ValidationException", "1 validation error detected: a tag needs a key")
    read = {tag["key"]: tag.get("value", "") for tag in tags or ()}
    if len(read) > MOST_TAGS:
        raise AwsError("TooManyTags", f"Too many tags: {len(read)}, at most {MOST_TAGS} are allowed")
    return read


def does_not_exist(arn: str) -> AwsError:
    return AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFound", f"Resource not found: '{arn}'", resourceName=arn)


def _page(member: str, shown: list[dict[str, Any]], kind: str, more: Any) -> dict[str, Any]:
    return {member: shown} | ({"nextToken": paging.token(kind, more)} if more is not None else {})
