"""The schema registry: registries, schemas, their versions, metadata of versions, compatibility.

A new version is held against the versions that its schema's compatibility names, from the checkpoint on (AWS docs,
"Schema versioning and compatibility"). One that does not fit is kept with the status FAILURE, as AWS does it; there the
answer comes later, here at once. What can be read by what is the matter of registry/.

Limits: Protobuf versions are not compared: a second one is refused unless the compatibility is NONE. So is a JSON
Schema that differs where this cannot tell.
"""

from __future__ import annotations

import datetime
import json
import re
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from millpond.local.glue import registry
from millpond.local.glue.catalog import limit
from millpond.local.glue.records import after, decode, encode, page, token
from millpond.local.glue.schema_columns import columns_of
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 25
DEFAULT = "default-registry"
MOST_REGISTRIES, MOST_VERSIONS, MOST_METADATA = 100, 10_000, 10  # AWS docs, "Quotas of the Schema Registry"
FINE = "AVAILABLE"

OF_SCHEMA = "registry = ? AND name = ?"
VERSIONS = f"SELECT * FROM glue_schema_versions WHERE {OF_SCHEMA}"


class Schemas:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_registries (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_schemas (
        registry TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (registry, name)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_schema_versions (
        id TEXT PRIMARY KEY, registry TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, status TEXT NOT NULL,
        definition TEXT NOT NULL, canonical TEXT NOT NULL, created REAL NOT NULL, UNIQUE (registry, name, number)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_schema_metadata (
        id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (id, key, value)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.tagged = {
            "registry": lambda name: self._find_registry(name) is not None,
            "schema": lambda name: self._find_schema(*name.partition("/")[::2]) is not None,
        }

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateRegistry": self.create_registry,
            "GetRegistry": self.get_registry,
            "ListRegistries": self.list_registries,
            "UpdateRegistry": self.update_registry,
            "DeleteRegistry": self.delete_registry,
            "CreateSchema": self.create_schema,
            "GetSchema": self.get_schema,
            "ListSchemas": self.list_schemas,
            "UpdateSchema": self.update_schema,
            "DeleteSchema": self.delete_schema,
            "RegisterSchemaVersion": self.register,
            "GetSchemaVersion": self.get_version,
            "GetSchemaByDefinition": self.by_definition,
            "ListSchemaVersions": self.list_versions,
            "DeleteSchemaVersions": self.delete_versions,
            "GetSchemaVersionsDiff": self.difference,
            "CheckSchemaVersionValidity": self.validity,
            "PutSchemaVersionMetadata": self.put_metadata,
            "QuerySchemaVersionMetadata": self.query_metadata,
            "RemoveSchemaVersionMetadata": self.remove_metadata,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- registries

    def _find_registry(self, name: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one("SELECT body FROM glue_registries WHERE name = ?", (name,))
        return decode(row["body"]) if row else None

    def _registry_name(self, given: dict[str, Any] | None) -> str:
        """The registry of a RegistryId; the default one when there is none."""
        given = given or {}
        if "RegistryArn" in given and "RegistryName" in given:
            raise AwsError("InvalidInputException", "Only one of registry name or arn may be given.")
        if arn := given.get("RegistryArn"):
            return self._of_arn(arn, "registry/")
        return str(given.get("RegistryName") or DEFAULT)

    def _of_arn(self, arn: str, kind: str) -> str:
        prefix = self.endpoint.arn("glue", kind)
        if not arn.startswith(prefix):
            raise AwsError("InvalidInputException", f"Invalid ARN {arn[:300]}.")
        return arn.removeprefix(prefix)

    def _registry(self, given: dict[str, Any] | None) -> dict[str, Any]:
        name = self._registry_name(given)
        if (found := self._find_registry(name)) is None:
            raise AwsError("EntityNotFoundException", f"Registry is not found. RegistryName: {name}")
        return found

    def create_registry(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            made = self._make_registry(db, params["RegistryName"], params.get("Description"))
            write_tags(db, made["RegistryArn"], params.get("Tags"))
        shown = {member: made[member] for member in ("RegistryArn", "RegistryName", "Description") if member in made}
        return shown | {"Tags": params.get("Tags") or {}}

    def _make_registry(self, db: sqlite3.Connection, name: str, description: str | None) -> dict[str, Any]:
        limit(db, "SELECT count(*) FROM glue_registries", (), MOST_REGISTRIES, "registries")
        now = _moment(self.endpoint.clock.now())
        body = {"RegistryName": name, "RegistryArn": self.endpoint.arn("glue", f"registry/{name}"), "Status": FINE}
        body |= {"CreatedTime": now, "UpdatedTime": now} | ({"Description": description} if description else {})
        try:
            db.execute("INSERT INTO glue_registries VALUES (?, ?)", (name, encode(body)))
        except sqlite3.IntegrityError:
            raise AwsError("AlreadyExistsException", f"Registry already exists. RegistryName: {name}") from None
        return body

    def get_registry(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._registry(params["RegistryId"])

    def list_registries(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read(
            "SELECT name, body FROM glue_registries WHERE name > ? ORDER BY name LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size)
        return {"Registries": [decode(row["body"]) for row in shown]} | more

    def update_registry(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            body = self._registry(params["RegistryId"])
            body |= {"Description": params["Description"], "UpdatedTime": _moment(self.endpoint.clock.now())}
            db.execute("UPDATE glue_registries SET body = ? WHERE name = ?", (encode(body), body["RegistryName"]))
        return {"RegistryName": body["RegistryName"], "RegistryArn": body["RegistryArn"]}

    def delete_registry(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            body = self._registry(params["RegistryId"])
            name = body["RegistryName"]
            for row in db.execute("SELECT name FROM glue_schemas WHERE registry = ?", (name,)).fetchall():
                self._drop(db, name, row["name"])
            db.execute("DELETE FROM glue_registries WHERE name = ?", (name,))
            drop_tags(db, body["RegistryArn"])
        return {"RegistryName": name, "RegistryArn": body["RegistryArn"], "Status": "DELETING"}

    # -- schemas

    def _find_schema(self, where: str, name: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one(f"SELECT body FROM glue_schemas WHERE {OF_SCHEMA}", (where, name))
        return decode(row["body"]) if row else None

    def _schema(self, given: dict[str, Any] | None) -> dict[str, Any]:
        """The schema of a SchemaId; EntityNotFoundException, InvalidInputException."""
        given = given or {}
        if ("SchemaArn" in given) == ("SchemaName" in given):
            raise AwsError("InvalidInputException", "Exactly one of schema name or arn has to be provided.")
        if arn := given.get("SchemaArn"):
            where, _, name = self._of_arn(arn, "schema/").partition("/")
        else:
            where, name = given.get("RegistryName") or DEFAULT, given["SchemaName"]
        if (found := self._find_schema(where, name)) is None:
            raise AwsError("EntityNotFoundException", f"Schema is not found. RegistryName: {where}, SchemaName: {name}")
        return found

    def create_schema(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        kind, text, name = params["DataFormat"], params.get("SchemaDefinition"), params["SchemaName"]
        if text is not None:
            _check(kind, text)
        with self.endpoint.store.write() as db:
            where = self._registry_name(params.get("RegistryId"))
            home = self._find_registry(where)
            if home is None:  # the default registry makes itself
                home = (
                    self._make_registry(db, where, None)
                    if where == DEFAULT
                    else self._registry({"RegistryName": where})
                )
            now, arn = _moment(self.endpoint.clock.now()), self.endpoint.arn("glue", f"schema/{where}/{name}")
            body = {"RegistryName": where, "RegistryArn": home["RegistryArn"], "SchemaName": name, "SchemaArn": arn}
            body |= {"DataFormat": kind, "Compatibility": params.get("Compatibility") or "NONE", "SchemaStatus": FINE}
            body |= {"SchemaCheckpoint": 1, "NextSchemaVersion": 1, "CreatedTime": now, "UpdatedTime": now}
            body |= {"Description": params["Description"]} if params.get("Description") else {}
            try:
                db.execute("INSERT INTO glue_schemas VALUES (?, ?, ?)", (where, name, encode(body)))
            except sqlite3.IntegrityError:
                words = f"Schema already exists. SchemaName: {name}, RegistryName: {where}"
                raise AwsError("AlreadyExistsException", words) from None
            write_tags(db, arn, params.get("Tags"))
            answer = body | {"Tags": params.get("Tags") or {}}
            if text is None:
                return answer
            made = self._add(db, body, text, FINE)
        answer |= {"LatestSchemaVersion": 1, "NextSchemaVersion": 2}
        return answer | {"SchemaVersionId": made["SchemaVersionId"], "SchemaVersionStatus": FINE}

    def get_schema(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._schema(params["SchemaId"])

    def list_schemas(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        last = after(params.get("NextToken"), 2) or ["", ""]
        where, values = "", list[str]()
        if params.get("RegistryId"):
            where, values = "registry = ? AND ", [self._registry(params["RegistryId"])["RegistryName"]]
        rows = self.endpoint.store.read(
            f"SELECT registry, name, body FROM glue_schemas WHERE {where}(registry, name) > (?, ?)"
            " ORDER BY registry, name LIMIT ?",
            (*values, *last, size + 1),
        )
        more = {"NextToken": token(rows[size - 1]["registry"], rows[size - 1]["name"])} if len(rows) > size else {}
        return {"Schemas": [decode(row["body"]) for row in rows[:size]]} | more

    def _write(self, db: sqlite3.Connection, body: dict[str, Any]) -> None:
        place = (body["RegistryName"], body["SchemaName"])
        db.execute(f"UPDATE glue_schemas SET body = ? WHERE {OF_SCHEMA}", (encode(body), *place))

    def update_schema(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Another compatibility needs a checkpoint beside it (AWS docs, UpdateSchema)."""
        number, compatibility = params.get("SchemaVersionNumber"), params.get("Compatibility")
        if compatibility and not number:
            raise AwsError(
                "InvalidInputException", "A checkpoint (SchemaVersionNumber) is required with Compatibility."
            )
        if not number and "Description" not in params:
            raise AwsError("InvalidInputException", "One of version number or description is required.")
        with self.endpoint.store.write() as db:
            body = self._schema(params["SchemaId"])
            if number:
                body["SchemaCheckpoint"] = self._version(body, number)["VersionNumber"]
            body |= {"Compatibility": compatibility} if compatibility else {}
            body |= {"Description": params["Description"]} if "Description" in params else {}
            body["UpdatedTime"] = _moment(self.endpoint.clock.now())
            self._write(db, body)
        return {member: body[member] for member in ("SchemaArn", "SchemaName", "RegistryName")}

    def delete_schema(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            body = self._schema(params["SchemaId"])
            self._drop(db, body["RegistryName"], body["SchemaName"])
        return {"SchemaArn": body["SchemaArn"], "SchemaName": body["SchemaName"], "Status": "DELETING"}

    def _drop(self, db: sqlite3.Connection, where: str, name: str) -> None:
        of = (where, name)
        ids = f"SELECT id FROM glue_schema_versions WHERE {OF_SCHEMA}"
        db.execute(f"DELETE FROM glue_schema_metadata WHERE id IN ({ids})", of)
        db.execute(f"DELETE FROM glue_schema_versions WHERE {OF_SCHEMA}", of)
        db.execute(f"DELETE FROM glue_schemas WHERE {OF_SCHEMA}", of)
        drop_tags(db, self.endpoint.arn("glue", f"schema/{where}/{name}"))

    # -- versions

    def _versions(self, body: dict[str, Any], more: str = "", values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        place = (body["RegistryName"], body["SchemaName"])
        return self.endpoint.store.read(f"{VERSIONS} {more}", (*place, *values))

    def register(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        text = params["SchemaDefinition"]
        with self.endpoint.store.write() as db:
            body = self._schema(params["SchemaId"])
            _check(body["DataFormat"], text)
            same = registry.canonical(body["DataFormat"], text)
            if found := self._versions(body, "AND canonical = ? ORDER BY number DESC", (same,)):
                return _brief(found[0])
            if body["Compatibility"] == "DISABLED":
                raise AwsError("InvalidInputException", "Compatibility DISABLED does not allow versioning.")
            count = "SELECT count(*) FROM glue_schema_versions"
            limit(db, count, (), MOST_VERSIONS, "schema versions")
            return self._add(db, body, text, self._status(body, text))

    def _status(self, body: dict[str, Any], text: str) -> str:
        """AVAILABLE, or FAILURE where the new version does not fit the compatibility."""
        try:
            for other in self._opposite(body):
                for reader, writer in _pairs(body["Compatibility"], text, other):
                    if not registry.reads(body["DataFormat"], reader, writer):
                        return "FAILURE"
        except registry.Unknown as error:
            use = f"The compatibility {body['Compatibility']} of this {body['DataFormat']} schema: {error}."
            raise unsupported("glue", "RegisterSchemaVersion", use=use) from None
        return FINE

    def _opposite(self, body: dict[str, Any]) -> list[str]:
        """The versions that a new one is held against: the last, or with an _ALL all from the checkpoint on."""
        if body["Compatibility"] == "NONE":
            return []
        where = "AND status = 'AVAILABLE' AND number >= ? ORDER BY number DESC"
        found = [row["definition"] for row in self._versions(body, where, (body["SchemaCheckpoint"],))]
        return found if body["Compatibility"].endswith("_ALL") else found[:1]

    def _add(self, db: sqlite3.Connection, body: dict[str, Any], text: str, status: str) -> dict[str, Any]:
        number, made = body["NextSchemaVersion"], str(uuid.uuid4())
        same, now = registry.canonical(body["DataFormat"], text), self.endpoint.clock.now()
        row = (made, body["RegistryName"], body["SchemaName"], number, status, text, same, now)
        db.execute("INSERT INTO glue_schema_versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        body = body | {"NextSchemaVersion": number + 1, "UpdatedTime": _moment(now)}
        body |= {"LatestSchemaVersion": number} if status == FINE else {}
        self._write(db, body)
        return {"SchemaVersionId": made, "VersionNumber": number, "Status": status}

    def _version(self, body: dict[str, Any], number: dict[str, Any]) -> dict[str, Any]:
        """The version of a SchemaVersionNumber; EntityNotFoundException, InvalidInputException."""
        if bool(number.get("LatestVersion")) == ("VersionNumber" in number):
            raise AwsError(
                "InvalidInputException", "Exactly one of LatestVersion and VersionNumber has to be provided."
            )
        wanted = body.get("LatestSchemaVersion") if number.get("LatestVersion") else number["VersionNumber"]
        rows = self._versions(body, "AND number = ?", (wanted,))
        if not rows:
            raise AwsError("EntityNotFoundException", "Schema version is not found.")
        return _shown(rows[0], body)

    def _chosen(self, params: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The schema and the version that SchemaVersionId, or SchemaId and SchemaVersionNumber, name."""
        if identity := params.get("SchemaVersionId"):
            if params.get("SchemaId"):
                raise AwsError("InvalidInputException", "Either SchemaVersionId or SchemaId can be given, not both.")
            row = self.endpoint.store.one("SELECT * FROM glue_schema_versions WHERE id = ?", (identity,))
            body = self._find_schema(row["registry"], row["name"]) if row else None
            if row is None or body is None:
                words = f"Schema version is not found. SchemaVersionId: {identity}"
                raise AwsError("EntityNotFoundException", words)
            return body, _shown(row, body)
        if not params.get("SchemaId") or not params.get("SchemaVersionNumber"):
            words = "SchemaVersionId, or SchemaId and SchemaVersionNumber, have to be provided."
            raise AwsError("InvalidInputException", words)
        body = self._schema(params["SchemaId"])
        return body, self._version(body, params["SchemaVersionNumber"])

    def columns(self, reference: dict[str, Any]) -> list[dict[str, str]]:
        """The columns of a table with a SchemaReference: of the version that it names, or else of the latest."""
        asked = {name: value for name, value in reference.items() if name != "SchemaVersionNumber"}
        if "SchemaId" in asked:
            number = reference.get("SchemaVersionNumber")
            asked["SchemaVersionNumber"] = {"VersionNumber": number} if number else {"LatestVersion": True}
        body, version = self._chosen(asked)
        return columns_of(body["DataFormat"], version["SchemaDefinition"])

    def get_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._chosen(params)[1]

    def by_definition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        body = self._schema(params["SchemaId"])
        _check(body["DataFormat"], params["SchemaDefinition"])
        same = registry.canonical(body["DataFormat"], params["SchemaDefinition"])
        if not (rows := self._versions(body, "AND canonical = ? ORDER BY number DESC", (same,))):
            raise AwsError("EntityNotFoundException", "Schema version is not found.")
        return _shown(rows[0], body)

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or ["0"]
        body = self._schema(params["SchemaId"])
        start = int(last) if re.fullmatch("[0-9]{1,9}", last) else 0
        rows = self._versions(body, "AND number > ? ORDER BY number LIMIT ?", (start, size + 1))
        more = {"NextToken": token(str(rows[size - 1]["number"]))} if len(rows) > size else {}
        return {"Schemas": [_shown(row, body) for row in rows[:size]]} | more

    def delete_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        first, _, last = params["Versions"].partition("-")
        low, high = int(first[:9]), int((last or first)[:9])
        errors = []
        with self.endpoint.store.write() as db:
            body = self._schema(params["SchemaId"])
            if low > high or high - low > MOST_VERSIONS:
                raise AwsError("InvalidInputException", f"{params['Versions'][:50]} is not a range of versions.")
            if low == 1:
                raise AwsError("InvalidInputException", "The first version of a schema cannot be deleted.")
            if low <= body["SchemaCheckpoint"] <= high:
                raise AwsError("InvalidInputException", "The checkpoint version of a schema cannot be deleted.")
            there = {row["number"]: row["id"] for row in self._versions(body)}
            for number in range(low, high + 1):
                if (identity := there.get(number)) is None:
                    detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": "Schema version is not found."}
                    errors.append({"VersionNumber": number, "ErrorDetails": detail})
                    continue
                db.execute("DELETE FROM glue_schema_metadata WHERE id = ?", (identity,))
                db.execute("DELETE FROM glue_schema_versions WHERE id = ?", (identity,))
            place = (body["RegistryName"], body["SchemaName"])
            latest = f"SELECT max(number) FROM glue_schema_versions WHERE {OF_SCHEMA} AND status = 'AVAILABLE'"
            self._write(db, body | {"LatestSchemaVersion": db.execute(latest, place).fetchone()[0]})
        return {"SchemaVersionErrors": errors}

    def difference(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        body = self._schema(params["SchemaId"])
        if body["DataFormat"] == "PROTOBUF":
            raise unsupported("glue", "GetSchemaVersionsDiff", use="Protobuf definitions are no JSON documents.")
        texts = [
            self._version(body, params[member])["SchemaDefinition"]
            for member in ("FirstSchemaVersionNumber", "SecondSchemaVersionNumber")
        ]
        return {"Diff": json.dumps(list(_patch("", *map(json.loads, texts))))}

    def validity(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        try:
            registry.definition(params["DataFormat"], params["SchemaDefinition"])
        except registry.SchemaError as error:
            return {"Valid": False, "Error": str(error)[:5000]}
        return {"Valid": True}

    # -- metadata

    def put_metadata(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        key, value = _pair(params)
        with self.endpoint.store.write() as db:
            body, version = self._chosen(params)
            identity = version["SchemaVersionId"]
            count = "SELECT count(*) FROM glue_schema_metadata WHERE id = ?"
            limit(db, count, (identity,), MOST_METADATA, "metadata of the schema version")
            try:
                row = (identity, key, value, self.endpoint.clock.now())
                db.execute("INSERT INTO glue_schema_metadata VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "The metadata key and value are there already.") from None
        return _told(body, version, key, value)

    def query_metadata(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        _, version = self._chosen(params)
        after(params.get("NextToken"))  # ten pairs are one page
        rows = self.endpoint.store.read(
            "SELECT * FROM glue_schema_metadata WHERE id = ? ORDER BY key, created DESC", (version["SchemaVersionId"],)
        )
        wanted = params.get("MetadataList") or []
        found: dict[str, dict[str, Any]] = {}
        for row in rows:
            if wanted and not any(_asked(row, one) for one in wanted):
                continue
            one = {"MetadataValue": row["value"], "CreatedTime": _moment(row["created"])}
            if row["key"] in found:
                found[row["key"]].setdefault("OtherMetadataValueList", []).append(one)
            else:
                found[row["key"]] = one
        return {"MetadataInfoMap": found, "SchemaVersionId": version["SchemaVersionId"]}

    def remove_metadata(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        key, value = _pair(params)
        with self.endpoint.store.write() as db:
            body, version = self._chosen(params)
            gone = db.execute(
                "DELETE FROM glue_schema_metadata WHERE id = ? AND key = ? AND value = ?",
                (version["SchemaVersionId"], key, value),
            )
            if not gone.rowcount:
                raise AwsError("EntityNotFoundException", "The metadata key and value are not found.")
        return _told(body, version, key, value)


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _check(kind: str, text: str) -> None:
    try:
        registry.definition(kind, text)
    except registry.SchemaError as error:
        words = f"Schema definition of {kind} data format is invalid: {error}"
        raise AwsError("InvalidInputException", words) from None


def _pairs(compatibility: str, new: str, old: str) -> Iterator[tuple[str, str]]:
    """Who must be able to read whom, as (reader, writer)."""
    mode = compatibility.removesuffix("_ALL")
    if mode in ("BACKWARD", "FULL"):
        yield new, old
    if mode in ("FORWARD", "FULL"):
        yield old, new


def _brief(row: sqlite3.Row) -> dict[str, Any]:
    return {"SchemaVersionId": row["id"], "VersionNumber": row["number"], "Status": row["status"]}


def _shown(row: sqlite3.Row, body: dict[str, Any]) -> dict[str, Any]:
    about = {"SchemaDefinition": row["definition"], "CreatedTime": _moment(row["created"])}
    return _brief(row) | about | {"DataFormat": body["DataFormat"], "SchemaArn": body["SchemaArn"]}


def _pair(params: dict[str, Any]) -> tuple[str, str]:
    given = params["MetadataKeyValue"]
    if "MetadataKey" not in given or "MetadataValue" not in given:
        raise AwsError("InvalidInputException", "MetadataKey and MetadataValue have to be provided.")
    return given["MetadataKey"], given["MetadataValue"]


def _asked(row: sqlite3.Row, wanted: dict[str, Any]) -> bool:
    key, value = wanted.get("MetadataKey"), wanted.get("MetadataValue")
    return key in (None, row["key"]) and value in (None, row["value"])


def _told(body: dict[str, Any], version: dict[str, Any], key: str, value: str) -> dict[str, Any]:
    about = {member: body[member] for member in ("SchemaArn", "SchemaName", "RegistryName")}
    about |= {"VersionNumber": version["VersionNumber"], "SchemaVersionId": version["SchemaVersionId"]}
    latest = body.get("LatestSchemaVersion") == version["VersionNumber"]
    return about | {"LatestVersion": latest, "MetadataKey": key, "MetadataValue": value}


def _patch(at: str, before: Any, now: Any) -> Iterator[dict[str, Any]]:
    """The operations of a JSON Patch (RFC 6902) that make one document the other."""
    if type(before) is type(now) is dict:
        for name in before.keys() | now.keys():
            where = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in now:
                yield {"op": "remove", "path": where}
            elif name not in before:
                yield {"op": "add", "path": where, "value": now[name]}
            else:
                yield from _patch(where, before[name], now[name])
    elif type(before) is type(now) is list:
        for index, (old, new) in enumerate(zip(before, now, strict=False)):
            yield from _patch(f"{at}/{index}", old, new)
        yield from ({"op": "add", "path": f"{at}/-", "value": one} for one in now[len(before) :])
        yield from ({"op": "remove", "path": f"{at}/{n}"} for n in range(len(before) - 1, len(now) - 1, -1))
    elif before != now or type(before) is not type(now):
        yield {"op": "replace", "path": at, "value": now}
