"""The Data Catalog: databases, tables, their versions, search. Partitions are in partitions.py.

Names of databases and tables are stored in lower case, as Glue does; columns keep their case. A table's versions
count from 0; UpdateTable archives the version before unless `SkipArchive`, and refuses a stale `VersionId`.

A table whose StorageDescriptor has a SchemaReference takes its columns from the schema registry when it is created or
updated. One with a TargetTable is a link: GetTable shows the target's schema under the link's name, and partitions are
the target's. CreateTable with an IcebergInput writes the table's first metadata (iceberg.py).

Limits: one catalog (the account's); no Lake Formation, no federation, no multi-dialect or materialized views, no
transactions; Iceberg metadata are not changed by UpdateTable, whose IcebergInput is refused.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from millpond.local.glue import search
from millpond.local.glue.iceberg import make as make_iceberg
from millpond.local.glue.records import (
    after,
    check_catalog,
    decode,
    encode,
    failed,
    fold,
    number_after,
    page,
    refuse_transactions,
    token,
)
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 100  # CatalogGetterPageSize, and the default (AWS docs)
EVERYBODY = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]
MOST_DATABASES, MOST_TABLES, MOST_VERSIONS = 10_000, 200_000, 100_000  # AWS docs, "AWS Glue endpoints and quotas"
MOST_INDEXES = 3  # a table (AWS docs, "Working with partition indexes")
OTHERS = ("FOREIGN", "FEDERATED")  # ResourceShareType: what other accounts and catalogs share, which is nothing here
FOREIGN_DATABASES = ("TargetDatabase", "FederatedDatabase")
SCHEMA = ("StorageDescriptor", "PartitionKeys", "Parameters", "TableType", "ViewOriginalText", "ViewExpandedText")

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
    CREATE INDEX IF NOT EXISTS glue_tables_of ON glue_tables (database); -- counts them without reading their bodies
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
        _refuse(given, "CreateDatabase", FOREIGN_DATABASES)
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
            limit(db, "SELECT count(*) FROM glue_databases", (), MOST_DATABASES, "databases in the catalog")
            try:
                db.execute("INSERT INTO glue_databases VALUES (?, ?)", (name, encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Database already exists.") from None
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
        if params.get("ResourceShareType") in OTHERS:
            return {"DatabaseList": []}
        rows = self.endpoint.store.read(
            "SELECT name, body FROM glue_databases WHERE name > ? ORDER BY name LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size)
        databases = [decode(row["body"]) for row in shown]
        if params.get("AttributesToGet"):
            databases = [{"Name": database["Name"]} for database in databases]
        return {"DatabaseList": databases} | more

    def update_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        _refuse(params["DatabaseInput"], "UpdateDatabase", FOREIGN_DATABASES)
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
            db.execute("DELETE FROM glue_functions WHERE database = ?", (name,))
            db.execute("DELETE FROM glue_databases WHERE name = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"database/{name}"))
        return {}

    # -- tables

    def create_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        refuse_transactions(params, call)
        given = self._referenced(_table_input(params, call))
        indexes = params.get("PartitionIndexes") or []
        if len(indexes) > MOST_INDEXES:
            raise AwsError("ResourceNumberLimitExceededException", f"A table has at most {MOST_INDEXES} indexes.")
        asked = (params.get("OpenTableFormatInput") or {}).get("IcebergInput")
        if asked is not None:
            given = self._iceberg(params["DatabaseName"], given, asked)
        with self.endpoint.store.write() as db:
            table = self.create(params["DatabaseName"], given, self._caller(call))
            keep_indexes(db, table, indexes)
        return {}

    def _referenced(self, given: dict[str, Any]) -> dict[str, Any]:
        """A TableInput with the columns of its SchemaReference. EntityNotFoundException, InvalidInputException."""
        storage = given.get("StorageDescriptor") or {}
        if not storage.get("SchemaReference"):
            return given
        from millpond.local.glue.schemas import Schemas  # it needs this module

        columns = Schemas(self.endpoint).columns(storage["SchemaReference"])
        return {**given, "StorageDescriptor": {**storage, "Columns": columns}}

    def _iceberg(self, database: str, given: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        """The TableInput of an Iceberg table, whose first metadata are written into S3 here: before the table, so that
        no table names metadata that are not there."""
        if self.find(self.database(database)["Name"], _name(given["Name"])) is not None:
            raise AwsError("AlreadyExistsException", "Table already exists.")
        return make_iceberg(self.endpoint, given, asked)

    def create(self, database: str, given: dict[str, Any], created_by: str) -> dict[str, Any]:
        """Create a table from a TableInput, as version 0; AlreadyExistsException, EntityNotFoundException."""
        check_table(given)
        now = self.endpoint.clock.now()
        with self.endpoint.store.write() as db:
            database = self.database(database)["Name"]
            of_database = "SELECT count(*) FROM glue_tables WHERE database = ?"
            limit(db, of_database, (database,), MOST_TABLES, f"tables in the database {database}")
            body = self._table_body(given, database) | {"CreateTime": now, "UpdateTime": now, "CreatedBy": created_by}
            try:
                row = (database, body["Name"], 0, encode(body))
                db.execute("INSERT INTO glue_tables VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Table already exists.") from None
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

    def followed(self, table: dict[str, Any]) -> dict[str, Any]:
        """The table that a link leads to, or the table itself; EntityNotFoundException where the target is gone."""
        if (target := table.get("TargetTable")) is None:
            return table
        check_catalog(self.endpoint, target)
        return self.table(target.get("DatabaseName", ""), target.get("Name", ""))

    def linked(self, table: dict[str, Any]) -> dict[str, Any]:
        """As GetTable shows it: of a link the target's schema, under the link's name."""
        if "TargetTable" not in table:
            return table
        target = self.followed(table)
        return {member: target[member] for member in SCHEMA if member in target} | table

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
        refuse_transactions(params, call)
        return {"Table": self.linked(self.table(params["DatabaseName"], params["Name"]))}

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
        refuse_transactions(params, call)
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
        refuse_transactions(params, call)
        _refuse(params, "UpdateTable", ("UpdateOpenTableFormatInput", "ViewUpdateAction"))
        given = self._referenced(_table_input(params, call))
        expected = params.get("VersionId")
        self.update(params["DatabaseName"], given, archive=not params.get("SkipArchive"), expected=expected)
        return {}

    def update(
        self, database: str, given: dict[str, Any], *, archive: bool = True, expected: str | None = None
    ) -> None:
        """Replace a table by a TableInput. `archive`: keep the version before. `expected`: the VersionId to replace,
        else ConcurrentModificationException."""
        check_table(given)
        with self.endpoint.store.write() as db:
            before = self._current(db, database, _name(given["Name"]))
            database, name, version = before["DatabaseName"], before["Name"], int(before["VersionId"])
            if expected is not None and expected != before["VersionId"]:
                raise AwsError(
                    "ConcurrentModificationException", "Update table failed due to concurrent modifications."
                )
            kept = {k: before[k] for k in ("CreateTime", "CreatedBy") if k in before}
            body = self._table_body(given, database) | kept | {"UpdateTime": self.endpoint.clock.now()}
            if archive:
                del before["VersionId"]
                row = (database, name, version, encode(before))
                of_table = "SELECT count(*) FROM glue_table_versions WHERE database = ? AND name = ?"
                limit(db, of_table, (database, name), MOST_VERSIONS, f"versions of the table {name}")
                db.execute("INSERT OR REPLACE INTO glue_table_versions VALUES (?, ?, ?, ?)", row)
            db.execute(
                "UPDATE glue_tables SET version = ?, body = ? WHERE database = ? AND name = ?",
                (version + 1, encode(body), database, name),
            )
            _forget_statistics(db, before, body)

    def _current(self, db: sqlite3.Connection, database: str, name: str) -> dict[str, Any]:
        """A table as the open transaction sees it, with what it has written itself; EntityNotFoundException."""
        row = db.execute(
            "SELECT version, body FROM glue_tables WHERE database = ? AND name = ?", (fold(database), fold(name))
        ).fetchone()
        return decode(row["body"]) | {"VersionId": str(row["version"])} if row else self.table(database, name)

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
            "DELETE FROM glue_partition_indexes WHERE database = ? AND table_name = ?",
            "DELETE FROM glue_column_statistics WHERE database = ? AND table_name = ?",
            "DELETE FROM glue_statistics_settings WHERE database = ? AND table_name = ?",
        ):
            db.execute(statement, (database, name))
        drop_tags(db, self.endpoint.arn("glue", f"table/{database}/{name}"))

    def delete_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        refuse_transactions(params, call)
        self.delete(params["DatabaseName"], params["Name"])
        return {}

    def batch_delete_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        refuse_transactions(params, call)
        self.database(params["DatabaseName"])
        errors = []
        for name in params["TablesToDelete"]:
            try:
                self.delete(params["DatabaseName"], name)
            except AwsError as error:
                errors.append({"TableName": name, "ErrorDetail": failed(error)})
        return {"Errors": errors}

    # -- search

    def search_tables(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        start = number_after(params.get("NextToken")) or 0
        if params.get("ResourceShareType") in OTHERS:
            return {"TableList": []}
        hit = search.compile_search(params)
        found = [table for table in self._every_table() if hit(table)]
        search.sort(found, params.get("SortCriteria") or [])
        more = {"NextToken": token(str(start + size))} if len(found) > start + size else {}
        return {"TableList": found[start : start + size]} | more

    def _every_table(self) -> Iterator[dict[str, Any]]:
        for row in self.endpoint.store.read("SELECT name FROM glue_databases ORDER BY name"):
            yield from self.tables(row["name"])

    # -- versions

    def get_table_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The current version first, then those before it, the newest first."""
        check_catalog(self.endpoint, params)
        size, last = params.get("MaxResults") or PAGE, number_after(params.get("NextToken"))
        table = self.table(params["DatabaseName"], params["TableName"])
        rows = self.endpoint.store.read(
            "SELECT version, body FROM glue_table_versions WHERE database = ? AND name = ? AND version < ?"
            " ORDER BY version DESC LIMIT ?",
            (table["DatabaseName"], table["Name"], int(table["VersionId"]) if last is None else last, size + 1),
        )
        versions = [table] if last is None else []
        versions += [decode(row["body"]) | {"VersionId": str(row["version"])} for row in rows]
        more = {"NextToken": token(versions[size - 1]["VersionId"])} if len(versions) > size else {}
        shown = [{"Table": version, "VersionId": version["VersionId"]} for version in versions[:size]]
        return {"TableVersions": shown} | more

    def get_table_version(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        table = self.table(params["DatabaseName"], params["TableName"])
        wanted = params.get("VersionId") or table["VersionId"]
        if wanted != table["VersionId"]:
            row = self.endpoint.store.one(
                "SELECT body FROM glue_table_versions WHERE database = ? AND name = ? AND version = ?",
                (table["DatabaseName"], table["Name"], wanted),
            )
            if row is None:
                words = f"Version {wanted} of table {table['Name']} not found."
                raise AwsError("EntityNotFoundException", words)
            table = decode(row["body"]) | {"VersionId": wanted}
        return {"TableVersion": {"Table": table, "VersionId": wanted}}

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
                about = {"TableName": params["TableName"], "VersionId": version}
                errors.append({**about, "ErrorDetail": failed(error)})
        return {"Errors": errors}

    def import_status(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"ImportStatus": {"ImportCompleted": True}}


def _name(given: str) -> str:
    name = fold(given)
    if not name or "/" in name:
        raise AwsError("InvalidInputException", f"'{given}' is not a valid name.")
    return name


def _refuse(given: dict[str, Any], operation: str, members: Sequence[str]) -> None:
    for member in members:
        if given.get(member):
            raise unsupported("glue", operation, use=f"{member}.")


def _table_input(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """The TableInput of a request; InvalidInputException when there is none, or another name stands beside it."""
    given: dict[str, Any] | None = params.get("TableInput")
    if given is None:
        # The model lets a Name stand for it where OpenTableFormatInput describes the table.
        if not (params.get("Name") and (params.get("OpenTableFormatInput") or {}).get("IcebergInput")):
            raise AwsError("InvalidInputException", "TableInput must not be null.")
        given = {"Name": params["Name"]}
    if params.get("Name") and fold(params["Name"]) != _name(given["Name"]):
        raise AwsError("InvalidInputException", "The name of a table cannot be changed.")
    _refuse(given, call.operation, ("FederatedTable", "ViewDefinition"))
    return given


def check_table(given: dict[str, Any]) -> None:
    """A TableInput that every client can read; InvalidInputException.

    A column or key named twice would be ambiguous in every query; it counts as one whatever its case. A column may have
    a key's name: Delta and Iceberg tables list their keys among their columns, too.
    """
    check_storage(given)
    _once(given.get("PartitionKeys") or [], "PartitionKeys")


def check_storage(given: dict[str, Any]) -> None:
    """A StorageDescriptor in a TableInput or PartitionInput; InvalidInputException."""
    _once((given.get("StorageDescriptor") or {}).get("Columns") or [], "Columns")


def _once(columns: Sequence[dict[str, Any]], member: str) -> None:
    names = [column["Name"].lower() for column in columns]
    if len(names) != len(set(names)):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise AwsError("InvalidInputException", f"Duplicate names in {member}: {', '.join(twice)}.")


def column_types(table: dict[str, Any]) -> dict[str, str]:
    """The types of a table's columns and keys, by their names in lower case."""
    columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
    return {
        column["Name"].lower(): column.get("Type", "") for column in (*columns, *(table.get("PartitionKeys") or []))
    }


def _forget_statistics(db: sqlite3.Connection, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Statistics of columns that an update took away, or made something else."""
    kept = column_types(now)
    gone = [name for name, kind in column_types(before).items() if kept.get(name) != kind]
    db.executemany(
        "DELETE FROM glue_column_statistics WHERE database = ? AND table_name = ? AND column_name = ?",
        [(now["DatabaseName"], now["Name"], name) for name in gone],
    )


def index_keys(table: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """The keys of a PartitionIndex, as the table spells them; InvalidInputException where they are not its keys."""
    known = {key["Name"].lower(): key["Name"] for key in table.get("PartitionKeys") or []}
    keys = [key.lower() for key in given["Keys"]]
    if strange := [key for key in given["Keys"] if key.lower() not in known]:
        text = f"Index keys must be a subset of the table's partition keys: {', '.join(strange)}."
        raise AwsError("InvalidInputException", text)
    if len(set(keys)) != len(keys):
        raise AwsError("InvalidInputException", "Index keys must not be repeated.")
    return [known[key] for key in keys]


def keep_indexes(db: sqlite3.Connection, table: dict[str, Any], indexes: Sequence[dict[str, Any]]) -> None:
    """Keep more PartitionIndexes of a table inside a transaction. InvalidInputException, AlreadyExistsException,
    ResourceNumberLimitExceededException."""
    place = (table["DatabaseName"], table["Name"])
    rows = db.execute("SELECT name, keys FROM glue_partition_indexes WHERE database = ? AND table_name = ?", place)
    there = {row["name"]: decode(row["keys"]) for row in rows.fetchall()}
    for given in indexes:
        name, keys = given["IndexName"], index_keys(table, given)
        if name in there or keys in there.values():
            raise AwsError("AlreadyExistsException", f"Index {name}, or one with the same keys, already exists.")
        there[name] = keys
        if len(there) > MOST_INDEXES:
            text = f"The table {table['Name']} has {MOST_INDEXES} partition indexes, which is the maximum."
            raise AwsError("ResourceNumberLimitExceededException", text)
        db.execute("INSERT INTO glue_partition_indexes VALUES (?, ?, ?, ?)", (*place, name, encode(keys)))


def limit(db: sqlite3.Connection, count: str, values: Sequence[Any], most: int, what: str) -> None:
    """AWS's quota of a kind of resource; ResourceNumberLimitExceededException."""
    (there,) = db.execute(count, values).fetchone()
    if there >= most:
        raise AwsError("ResourceNumberLimitExceededException", f"There are {most} {what}, which is the maximum.")


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
