"""Glue connections: their API, and `resolve`, which turns one into a database to talk to.

Credentials come from the secret named by SECRET_ID (members `username` and `password`) or from USERNAME and PASSWORD;
CUSTOM-typed and other non-JDBC connections are kept and given back, but cannot be tested or crawled here.

Limits: no VPC (PhysicalConnectionRequirements are kept as a record), no OAuth, no Kafka or MongoDB clients.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from botocore.exceptions import ClientError

from awsglue._databases import credentials
from millpond.local.glue.jdbc import JdbcError, JdbcTarget, parse_url, probe
from millpond.local.glue.records import after, check_catalog, decode, encode, page
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 1000


class Connections:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_connections (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.tagged = {"connection": lambda name: self._row(name) is not None}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateConnection": self.create,
            "GetConnection": self.get,
            "GetConnections": self.list,
            "UpdateConnection": self.update,
            "DeleteConnection": self.delete,
            "BatchDeleteConnection": self.batch_delete,
            "TestConnection": self.test,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- the API

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = _checked(params["ConnectionInput"])
        now = self.endpoint.clock.now()
        body = given | {"CreationTime": now, "LastUpdatedTime": now, "LastUpdatedBy": self._who(call)}
        with self.endpoint.store.write() as db:
            try:
                db.execute("INSERT INTO glue_connections VALUES (?, ?)", (given["Name"], encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Connection {given['Name']} already exists.") from None
            write_tags(db, self.endpoint.arn("glue", f"connection/{given['Name']}"), params.get("Tags"))
        return {"CreateConnectionStatus": "READY"}

    def _who(self, call: Call) -> str:
        return f"arn:aws:iam::{self.endpoint.account}:user/{call.caller or 'local'}"

    def _row(self, name: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one("SELECT body FROM glue_connections WHERE name = ?", (name,))
        return decode(row["body"]) if row else None

    def connection(self, name: str) -> dict[str, Any]:
        """A connection's document, secrets included; EntityNotFoundException."""
        found = self._row(name)
        if found is None:
            raise AwsError("EntityNotFoundException", f"Connection {name} not found.")
        return found

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"Connection": _shown(self.connection(params["Name"]), params)}

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        wanted = params.get("Filter") or {}
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read("SELECT name, body FROM glue_connections WHERE name > ? ORDER BY name", (last,))
        shown, more = page([row for row in rows if _passes(decode(row["body"]), wanted)], size)
        return {"ConnectionList": [_shown(decode(row["body"]), params) for row in shown]} | more

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = _checked(params["ConnectionInput"])
        if given["Name"] != params["Name"]:
            raise AwsError("InvalidInputException", "A connection cannot be renamed.")
        with self.endpoint.store.write() as db:
            created = self.connection(params["Name"])["CreationTime"]
            times = {"CreationTime": created, "LastUpdatedTime": self.endpoint.clock.now()}
            body = given | times | {"LastUpdatedBy": self._who(call)}
            db.execute("UPDATE glue_connections SET body = ? WHERE name = ?", (encode(body), params["Name"]))
        return {}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        self._delete(params["ConnectionName"])
        return {}

    def _delete(self, name: str) -> None:
        with self.endpoint.store.write() as db:
            if not db.execute("DELETE FROM glue_connections WHERE name = ?", (name,)).rowcount:
                raise AwsError("EntityNotFoundException", f"Connection {name} not found.")
            drop_tags(db, self.endpoint.arn("glue", f"connection/{name}"))

    def batch_delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        done, errors = [], {}
        for name in params["ConnectionNameList"]:
            try:
                self._delete(name)
                done.append(name)
            except AwsError as error:
                errors[name] = {"ErrorCode": error.code, "ErrorMessage": error.message}
        return {"Succeeded": done, "Errors": errors}

    def test(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        name, given = params.get("ConnectionName"), params.get("TestConnectionInput")
        if (name is None) == (given is None):
            raise AwsError("InvalidInputException", "Give either ConnectionName or TestConnectionInput.")
        target = self.resolve(name) if name else self._target({"Name": "(unnamed)", **(given or {})})
        try:
            probe(target)
        except JdbcError as error:
            raise AwsError("InvalidInputException", f"Connection test failed: {error.message}") from None
        return {}

    # -- what crawlers use

    def resolve(self, name: str) -> JdbcTarget:
        """The database of a JDBC connection, credentials included.

        EntityNotFoundException when it or its secret is missing, InvalidInputException when it is not usable.
        """
        return self._target(self.connection(name))

    def _target(self, connection: dict[str, Any]) -> JdbcTarget:
        name, properties = connection["Name"], connection.get("ConnectionProperties") or {}
        if connection["ConnectionType"] != "JDBC":
            kind = connection["ConnectionType"]
            raise unsupported("glue", "TestConnection", use=f"{name} is of type {kind}, JDBC is carried.")
        user, password = properties.get("USERNAME", ""), properties.get("PASSWORD", "")
        if secret := properties.get("SECRET_ID"):
            user, password = self._credentials(name, secret)
        try:
            ssl = properties.get("JDBC_ENFORCE_SSL", "false").lower() == "true"
            return parse_url(properties.get("JDBC_CONNECTION_URL", ""), user=user, password=password, ssl=ssl)
        except JdbcError as error:
            raise AwsError("InvalidInputException", f"Connection {name}: {error.message}.") from None

    def _credentials(self, name: str, secret: str) -> tuple[str, str]:
        try:
            text = self.endpoint.client("secretsmanager").get_secret_value(SecretId=secret).get("SecretString", "")
        except ClientError as error:
            why = error.response["Error"]["Message"]
            text = f"Connection {name}: the secret {secret} cannot be read: {why}"
            raise AwsError("EntityNotFoundException", text) from None
        try:
            return credentials(text)
        except ValueError as error:
            raise AwsError("InvalidInputException", f"Connection {name}: the secret {secret} {error}.") from None


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """A ConnectionInput that can work; InvalidInputException says what is missing."""
    if not given["Name"].strip():
        raise AwsError("InvalidInputException", "The name of a connection must not be blank.")
    properties = given["ConnectionProperties"]
    if given["ConnectionType"] == "JDBC":
        url = properties.get("JDBC_CONNECTION_URL")
        if not url:
            raise AwsError("InvalidInputException", "Missing required connection property JDBC_CONNECTION_URL.")
        if not url.lower().startswith("jdbc:"):
            raise AwsError("InvalidInputException", "JDBC_CONNECTION_URL must begin with jdbc:.")
        of_file = url.lower().startswith("jdbc:sqlite:")  # ours: AWS has no SQLite, and a file has no users
        if not of_file and "SECRET_ID" not in properties and "USERNAME" not in properties:
            text = "Provide either SECRET_ID, or USERNAME and PASSWORD, in the connection properties."
            raise AwsError("InvalidInputException", text)
    return {k: v for k, v in given.items() if k not in ("ValidateCredentials", "ValidateForComputeEnvironments")}


def _shown(connection: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    if not params.get("HidePassword"):
        return connection
    properties = connection.get("ConnectionProperties") or {}
    visible = {k: v for k, v in properties.items() if "PASSWORD" not in k}  # also those of Kafka's stores
    return connection | {"ConnectionProperties": visible}


def _passes(connection: dict[str, Any], wanted: dict[str, Any]) -> bool:
    kind, criteria = wanted.get("ConnectionType"), wanted.get("MatchCriteria")
    if kind and connection["ConnectionType"] != kind:
        return False
    return not criteria or set(criteria) <= set(connection.get("MatchCriteria") or [])
