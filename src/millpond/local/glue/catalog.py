"""The Data Catalog: databases, tables, their versions, search. Partitions are in partitions.py.

Names of databases and tables are stored in lower case, as Glue does; columns keep their case. A table's versions
count from 0; UpdateTable archives the version before unless `SkipArchive`, and refuses a stale `VersionId`.

Limits: one catalog (the account's); no Lake Formation, no federation, no Iceberg metadata through the API.
"""

from __future__ import annotations

import operator
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from millpond.local.glue.records import after, check_catalog, decode, encode, fold, page, token
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 100  # CatalogGetterPageSize, and the default (AWS docs)
EVERYBODY = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
SORTABLE = {"name": "Name", "databasename": "DatabaseName", "owner": "Owner", "updatetime": "UpdateTime"}

COMPARATORS = {
    "GREATER_THAN": operator.gt,
    "LESS_THAN": operator.lt,
    "GREATER_THAN_EQUALS": operator.ge,
    "LESS_THAN_EQUALS": operator.le,
}

# What AWS answers for members of a StorageDescriptor that nobody gave.
STORAGE_DEFAULTS = {"Compressed": False, "NumberOfBuckets": 0, "SortColumns": [], "StoredAsSubDirectories": False}


class Catalog:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_databases (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_tables (
        database TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (database, name)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_table_versions (
        database TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (database, name, version)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.tagged = {"database": self.has_database, "table": self._has_table}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDatabase": self.create_database,
            "GetDatabase": self.get_database,
            "GetDatabases": self.get_databases,
            "UpdateDatabase": self.update_database,
            "DeleteDatabase": self.delete_database,
            "CreateTable": self.create_table,
            "GetTable": self.get_table,
            "GetTables": self.get_tables,
            "UpdateTable": self.update_table,
            "DeleteTable": self.delete_table,
            "BatchDeleteTable": self.batch_delete_table,
            "SearchTables": self.search_tables,
            "GetTableVersion": self.get_table_version,
            "GetTableVersions": self.get_table_versions,
            "DeleteTableVersion": self.delete_table_version,
            "BatchDeleteTableVersion": self.batch_delete_table_version,
            "GetCatalogImportStatus": self.import_status,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- databases

    def create_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = params["DatabaseInput"]
        for member in ("TargetDatabase", "FederatedDatabase"):
            if given.get(member):
                raise unsupported("glue", "CreateDatabase", f"{member}: there is one local catalog.")
        with self.endpoint.store.write() as db:
            name = self.make_database(given)
            write_tags(db, self.endpoint.arn("glue", f"database/{name}"), params.get("Tags"))
        return {}

    def make_database(self, given: dict[str, Any]) -> str:
        """Create a database from a DatabaseInput; AlreadyExistsException. Returns its name as stored."""
        name = _name(given["Name"])
        body = {"CreateTableDefaultPermissions": EVERYBODY, **given, "Name": name}
        body |= {"CreateTime": self.endpoint.clock.now(), "CatalogId": self.endpoint.account}
        with self.endpoint.store.write() as db:
            try:
                db.execute("INSERT INTO glue_databases VALUES (?, ?)", (name, encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Database {name} already exists.") from None
        return name

    def has_database(self, name: str) -> bool:
        """Whether the database is there."""
        return self.endpoint.store.one("SELECT 1 FROM glue_databases WHERE name = ?", (fold(name),)) is not None

    def database(self, name: str) -> dict[str, Any]:
        """A database's document; EntityNotFoundException."""
        row = self.endpoint.store.one("SELECT body FROM glue_databases WHERE name = ?", (fold(name),))
        if row is None:
            raise AwsError("EntityNotFoundException", f"Database {fold(name)} not found.")
        body: dict[str, Any] = decode(row["body"])
        return body

    def get_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"Database": self.database(params["Name"])}

    def get_databases(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read(
            "SELECT name, body FROM glue_databases WHERE name > ? ORDER BY name LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size)
        return {"DatabaseList": [decode(row["body"]) for row in shown]} | more

    def update_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        with self.endpoint.store.write() as db:
            before = self.database(params["Name"])
            if _name(params["DatabaseInput"]["Name"]) != before["Name"]:
                raise AwsError("InvalidInputException", "A database cannot be renamed.")
            kept = {k: before[k] for k in ("CreateTime", "CatalogId", "CreateTableDefaultPermissions") if k in before}
            body = kept | params["DatabaseInput"] | {"Name": before["Name"]}
            db.execute("UPDATE glue_databases SET body = ? WHERE name = ?", (encode(body), before["Name"]))
        return {}

    def delete_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        with self.endpoint.store.write() as db:
            name = self.database(params["Name"])["Name"]
            for row in db.execute("SELECT name FROM glue_tables WHERE database = ?", (name,)).fetchall():
                self._drop(db, name, row["name"])
            db.execute("DELETE FROM glue_databases WHERE name = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"database/{name}"))
        return {}

    # -- tables

    def create_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        if params.get("OpenTableFormatInput"):
            raise unsupported("glue", "CreateTable", "OpenTableFormatInput: create the Iceberg table with Athena.")
        if params.get("PartitionIndexes"):
            raise unsupported("glue", "CreateTable", "PartitionIndexes.")
        given = params.get("TableInput")
        if given is None:
            raise AwsError("InvalidInputException", "TableInput must not be null.")
        self.create(params["DatabaseName"], given, self._caller(call))
        return {}

    def create(self, database: str, given: dict[str, Any], created_by: str) -> dict[str, Any]:
        """Create a table from a TableInput, as version 0; AlreadyExistsException, EntityNotFoundException."""
        _check_columns(given)
        now = self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            database = self.database(database)["Name"]
            body = self._table_body(given, database) | {"CreateTime": now, "UpdateTime": now, "CreatedBy": created_by}
            try:
                row = (database, body["Name"], 0, encode(body))
                db.execute("INSERT INTO glue_tables VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Table {body['Name']} already exists.") from None
        return body

    def _caller(self, call: Call) -> str:
        return f"arn:aws:iam::{self.endpoint.account}:user/{call.caller or 'local'}"

    def _table_body(self, given: dict[str, Any], database: str) -> dict[str, Any]:
        body = {
            "Retention": 0,
            **given,
            "Name": _name(given["Name"]),
            "DatabaseName": database,
            "CatalogId": self.endpoint.account,
            "IsRegisteredWithLakeFormation": False,
        }
        if (storage := given.get("StorageDescriptor")) is not None:
            body["StorageDescriptor"] = STORAGE_DEFAULTS | storage
        return body

    def find(self, database: str, name: str) -> dict[str, Any] | None:
        """A table's document with its VersionId, or None."""
        row = self.endpoint.store.one(
            "SELECT version, body FROM glue_tables WHERE database = ? AND name = ?", (fold(database), fold(name))
        )
        return decode(row["body"]) | {"VersionId": str(row["version"])} if row else None

    def table(self, database: str, name: str) -> dict[str, Any]:
        """A table's document with its VersionId; EntityNotFoundException."""
        found = self.find(database, name)
        if found is None:
            self.database(database)
            raise AwsError("EntityNotFoundException", f"Table {fold(name)} not found.")
        return found

    def _has_table(self, name: str) -> bool:
        database, _, table = name.partition("/")
        return self.find(database, table) is not None

    def get_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"Table": self.table(params["DatabaseName"], params["Name"])}

    def tables(self, database: str) -> Iterator[dict[str, Any]]:
        """All tables of a database, by name."""
        last = ""
        while rows := self._rows(database, last, PAGE):
            yield from (decode(row["body"]) | {"VersionId": str(row["version"])} for row in rows)
            last = rows[-1]["name"]

    def _rows(self, database: str, last: str, size: int) -> list[sqlite3.Row]:
        return self.endpoint.store.read(
            "SELECT name, version, body FROM glue_tables WHERE database = ? AND name > ? ORDER BY name LIMIT ?",
            (fold(database), last, size),
        )

    def get_tables(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        database = self.database(params["DatabaseName"])["Name"]
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        if expression := params.get("Expression"):
            names = self.endpoint.store.read(
                "SELECT name FROM glue_tables WHERE database = ? AND name > ? ORDER BY name", (database, last)
            )
            wanted = matching([row["name"] for row in names], expression)
            found = [self.table(database, name) for name in wanted[:size]]
            more = {"NextToken": token(wanted[size - 1])} if len(wanted) > size else {}
            return {"TableList": [_attributes(table, params) for table in found]} | more
        shown, more = page(self._rows(database, last, size + 1), size)
        bodies = (decode(row["body"]) | {"VersionId": str(row["version"])} for row in shown)
        return {"TableList": [_attributes(body, params) for body in bodies]} | more

    def update_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        for member in ("UpdateOpenTableFormatInput", "ViewUpdateAction"):
            if params.get(member):
                raise unsupported("glue", "UpdateTable", f"{member}.")
        given = params.get("TableInput")
        if given is None:
            raise AwsError("InvalidInputException", "TableInput must not be null.")
        if params.get("Name") and fold(params["Name"]) != _name(given["Name"]):
            raise AwsError("InvalidInputException", "Table cannot be renamed.")
        expected = params.get("VersionId")
        self.update(params["DatabaseName"], given, archive=not params.get("SkipArchive"), expected=expected)
        return {}

    def update(
        self, database: str, given: dict[str, Any], *, archive: bool = True, expected: str | None = None
    ) -> None:
        """Replace a table by a TableInput. `archive`: keep the version before. `expected`: the VersionId to replace,
        else ConcurrentModificationException."""
        _check_columns(given)
        with self.endpoint.store.write() as db:
            before = self.table(database, _name(given["Name"]))
            database, name, version = before["DatabaseName"], before["Name"], int(before["VersionId"])
            if expected is not None and expected != before["VersionId"]:
                text = f"Update table failed due to concurrent modifications: table {name} is at version {version}."
                raise AwsError("ConcurrentModificationException", text)
            kept = {k: before[k] for k in ("CreateTime", "CreatedBy") if k in before}
            body = self._table_body(given, database) | kept | {"UpdateTime": self.endpoint.clock.now()}
            if archive:
                del before["VersionId"]
                row = (database, name, version, encode(before))
                db.execute("INSERT OR REPLACE INTO glue_table_versions VALUES (?, ?, ?, ?)", row)
            db.execute(
                "UPDATE glue_tables SET version = ?, body = ? WHERE database = ? AND name = ?",
                (version + 1, encode(body), database, name),
            )

    def delete(self, database: str, name: str) -> None:
        """Delete a table with its versions and partitions; EntityNotFoundException."""
        with self.endpoint.store.write() as db:
            table = self.table(database, name)
            self._drop(db, table["DatabaseName"], table["Name"])

    def _drop(self, db: sqlite3.Connection, database: str, name: str) -> None:
        for statement in (
            "DELETE FROM glue_tables WHERE database = ? AND name = ?",
            "DELETE FROM glue_table_versions WHERE database = ? AND name = ?",
            "DELETE FROM glue_partitions WHERE database = ? AND table_name = ?",
        ):
            db.execute(statement, (database, name))
        drop_tags(db, self.endpoint.arn("glue", f"table/{database}/{name}"))

    def delete_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        self.delete(params["DatabaseName"], params["Name"])
        return {}

    def batch_delete_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        self.database(params["DatabaseName"])
        errors = []
        for name in params["TablesToDelete"]:
            try:
                self.delete(params["DatabaseName"], name)
            except AwsError as error:
                detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
                errors.append({"TableName": name, "ErrorDetail": detail})
        return {"Errors": errors}

    # -- search

    def search_tables(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        start = int(number) if (number := (after(params.get("NextToken")) or ["0"])[0]).isdigit() else 0
        found = [table for table in self._every_table() if _hit(table, params)]
        for rule in reversed(params.get("SortCriteria") or []):
            member = SORTABLE.get(rule.get("FieldName", "").lower(), "Name")
            found.sort(key=lambda table, m=member: str(table.get(m, "")), reverse=rule.get("Sort") == "DESC")  # type: ignore[misc]
        more = {"NextToken": token(str(start + size))} if len(found) > start + size else {}
        return {"TableList": found[start : start + size]} | more

    def _every_table(self) -> Iterator[dict[str, Any]]:
        for row in self.endpoint.store.read("SELECT name FROM glue_databases ORDER BY name"):
            yield from self.tables(row["name"])

    # -- versions

    def _versions(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """All versions of a table, the newest first."""
        table = self.table(params["DatabaseName"], params["TableName"])
        rows = self.endpoint.store.read(
            "SELECT version, body FROM glue_table_versions WHERE database = ? AND name = ? ORDER BY version DESC",
            (table["DatabaseName"], table["Name"]),
        )
        return [table, *(decode(row["body"]) | {"VersionId": str(row["version"])} for row in rows)]

    def get_table_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        last = after(params.get("NextToken"))
        versions = self._versions(params)
        if last is not None:
            if not last[0].isdigit():
                raise AwsError("InvalidInputException", "Invalid continuation token.")
            versions = [v for v in versions if int(v["VersionId"]) < int(last[0])]
        more = {"NextToken": token(versions[size - 1]["VersionId"])} if len(versions) > size else {}
        shown = [{"Table": version, "VersionId": version["VersionId"]} for version in versions[:size]]
        return {"TableVersions": shown} | more

    def get_table_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        versions = self._versions(params)
        wanted = params.get("VersionId") or versions[0]["VersionId"]
        for version in versions:
            if version["VersionId"] == wanted:
                return {"TableVersion": {"Table": version, "VersionId": wanted}}
        raise AwsError("EntityNotFoundException", f"Version {wanted} of table {versions[0]['Name']} not found.")

    def delete_table_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        table = self.table(params["DatabaseName"], params["TableName"])
        wanted = params["VersionId"]
        if wanted == table["VersionId"]:
            raise AwsError("InvalidInputException", f"Version {wanted} is the current version of {table['Name']}.")
        with self.endpoint.store.write() as db:
            deleted = db.execute(
                "DELETE FROM glue_table_versions WHERE database = ? AND name = ? AND version = ?",
                (table["DatabaseName"], table["Name"], wanted),
            )
        if not deleted.rowcount:
            raise AwsError("EntityNotFoundException", f"Version {wanted} of table {table['Name']} not found.")
        return {}

    def batch_delete_table_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        errors = []
        self.table(params["DatabaseName"], params["TableName"])
        for version in params["VersionIds"]:
            try:
                self.delete_table_version({**params, "VersionId": version}, call)
            except AwsError as error:
                detail = {"ErrorCode": error.code, "ErrorMessage": error.message}
                errors.append({"TableName": params["TableName"], "VersionId": version, "ErrorDetail": detail})
        return {"Errors": errors}

    def import_status(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"ImportStatus": {"ImportCompleted": True}}


def _name(given: str) -> str:
    name = fold(given)
    if not name or "/" in name:
        raise AwsError("InvalidInputException", f"'{given}' is not a valid name.")
    return name


def _check_columns(given: dict[str, Any]) -> None:
    """A column or key named twice would be ambiguous in every query: Glue refuses it."""
    storage = given.get("StorageDescriptor") or {}
    for member, columns in (("Columns", storage.get("Columns")), ("PartitionKeys", given.get("PartitionKeys"))):
        names = [column["Name"].lower() for column in columns or []]
        if twice := sorted({name for name in names if names.count(name) > 1} if len(names) != len(set(names)) else ()):
            raise AwsError("InvalidInputException", f"Duplicate names in {member}: {', '.join(twice)}.")


def matching(names: Sequence[str], expression: str) -> list[str]:
    """The names that an Expression of GetTables fits, whole and in any case.

    Clients send regular expressions (`sales_.*`) and Hive's wildcards (`sales_*`, `*sales*`); both work on AWS. RE2
    (in Arrow) matches in linear time whatever the pattern.
    """
    import pyarrow as pa  # only here: the endpoint starts without Arrow (30 MB, a quarter of a second)
    import pyarrow.compute as pc

    pattern = re.sub(r"(?<![.\])\\}])\*", ".*", expression)
    try:
        hits = pc.match_substring_regex(pa.array(names, pa.string()), f"^(?:{pattern})$", ignore_case=True)
    except pa.ArrowInvalid as error:
        raise AwsError("InvalidInputException", f"Expression '{expression}' is not valid: {error}") from None
    return [name for name, hit in zip(names, hits.to_pylist(), strict=True) if hit]


def _attributes(table: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """AttributesToGet: `NAME` and `TABLE_TYPE` (and the database) instead of everything."""
    wanted = params.get("AttributesToGet")
    if not wanted:
        return table
    members = {"NAME": ("Name",), "TABLE_TYPE": ("Name", "TableType")}
    names = {"DatabaseName", *(member for attribute in wanted for member in members.get(attribute, ("Name",)))}
    return {name: value for name, value in table.items() if name in names}


def _hit(table: dict[str, Any], params: dict[str, Any]) -> bool:
    columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
    columns = columns + (table.get("PartitionKeys") or [])
    text = params.get("SearchText", "").strip().strip('"').lower()
    fields = [table["Name"], table["DatabaseName"], table.get("Description") or ""]
    fields += [value for column in columns for value in (column["Name"], column.get("Comment") or "")]
    if text and not any(text in field.lower() for field in fields):
        return False
    return all(_passes(table, columns, rule) for rule in params.get("Filters") or [])


def _passes(table: dict[str, Any], columns: Sequence[dict[str, Any]], rule: dict[str, Any]) -> bool:
    key, value = rule.get("Key", "").lower(), rule.get("Value", "")
    if key in ("column", "columns"):
        return value.lower() in (column["Name"].lower() for column in columns)
    parameters = {k.lower(): v for k, v in (table.get("Parameters") or {}).items()}
    simple = {k.lower(): v for k, v in table.items() if isinstance(v, str | int | float)}
    found = str(simple.get(key, parameters.get(key, "")))
    if (compare := COMPARATORS.get(rule.get("Comparator", ""))) is not None:
        return bool(compare(found, str(value)))
    return found.lower() == str(value).lower()
