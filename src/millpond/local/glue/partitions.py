"""Partitions and their indexes: kept one row each, found by key, filtered and paged without loading them all.

A partition's identity is its values in the order of the table's keys. Its row key is their JSON text, so that the
order of a listing is stable and a NextToken stays valid while others come and go. GetPartitions leaves to SQLite what
of a filter it can tell from the keys (expressions.py): a million of them are looked at in less than a second.

Limits: a partition index is kept and shown, ACTIVE at once; it makes nothing faster here (on AWS it changes speed,
never an answer). No transactions (TransactionId) and no past (QueryAsOfTime): governed tables are no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from millpond.local.glue.catalog import STORAGE_DEFAULTS, Catalog, check_storage, keep_indexes
from millpond.local.glue.expressions import ExpressionError, Filter, compile_filter
from millpond.local.glue.records import after, check_catalog, decode, encode, failed, page, refuse_transactions
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 1000  # PageSize, and the default (AWS docs)
READ = 5000  # rows, or keys, in one read of many

SELECT = "SELECT key, body FROM glue_partitions WHERE database = ? AND table_name = ?"
FIND = f"{SELECT} AND key = ?"
STATISTICS = "glue_column_statistics {} WHERE database = ? AND table_name = ? AND key = ?"
INDEXES = "SELECT name, keys FROM glue_partition_indexes WHERE database = ? AND table_name = ? ORDER BY name"


class Partitions:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_partitions (
        database TEXT NOT NULL, table_name TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (database, table_name, key)
    );
    CREATE TABLE IF NOT EXISTS glue_partition_indexes (
        database TEXT NOT NULL, table_name TEXT NOT NULL, name TEXT NOT NULL, keys TEXT NOT NULL,
        PRIMARY KEY (database, table_name, name)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.catalog = endpoint, Catalog(endpoint)

    def operations(self) -> dict[str, Operation]:
        return {
            "CreatePartition": self.create_partition,
            "BatchCreatePartition": self.batch_create,
            "GetPartition": self.get_partition,
            "GetPartitions": self.get_partitions,
            "BatchGetPartition": self.batch_get,
            "UpdatePartition": self.update_partition,
            "BatchUpdatePartition": self.batch_update,
            "DeletePartition": self.delete_partition,
            "BatchDeletePartition": self.batch_delete,
            "CreatePartitionIndex": self.create_index,
            "GetPartitionIndexes": self.get_indexes,
            "DeletePartitionIndex": self.delete_index,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- one partition

    def create(self, table: dict[str, Any], given: dict[str, Any]) -> None:
        """Create a partition of a table from a PartitionInput; AlreadyExistsException, InvalidInputException."""
        values = _values(table, given.get("Values"))
        body = _body(given) | {"Values": values, "CreationTime": self.endpoint.clock.now()}
        with self.endpoint.store.write() as db:
            self._still_there(db, table)
            try:
                row = (*_place(table), encode(values), encode(body))
                db.execute("INSERT INTO glue_partitions VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Partition already exists.") from None

    def _still_there(self, db: sqlite3.Connection, table: dict[str, Any]) -> None:
        """A table may be deleted between a look at it and the write: its partitions must not outlive it."""
        if db.execute("SELECT 1 FROM glue_tables WHERE database = ? AND name = ?", _place(table)).fetchone() is None:
            raise AwsError("EntityNotFoundException", f"Table {table['Name']} not found.")

    def find(self, table: dict[str, Any], values: Sequence[str]) -> dict[str, Any] | None:
        """A partition's document, or None."""
        row = self.endpoint.store.one(FIND, (*_place(table), encode(list(values))))
        return self._shown(table, row["body"]) if row else None

    def update(self, table: dict[str, Any], values: Sequence[str], given: dict[str, Any]) -> None:
        """Replace a partition; its values may change too. EntityNotFoundException, AlreadyExistsException."""
        key = encode(_values(table, values))
        with self.endpoint.store.write() as db:
            row = db.execute(FIND, (*_place(table), key)).fetchone()
            if row is None:
                raise AwsError("EntityNotFoundException", "Partition not found.")
            before = decode(row["body"])
            wanted = _values(table, given.get("Values") or before["Values"])
            body = _body(given) | {"Values": wanted, "CreationTime": before["CreationTime"]}
            try:
                db.execute(
                    "UPDATE glue_partitions SET key = ?, body = ? WHERE database = ? AND table_name = ? AND key = ?",
                    (encode(wanted), encode(body), *_place(table), key),
                )
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Partition already exists.") from None
            if encode(wanted) != key:
                db.execute(
                    f"UPDATE OR REPLACE {STATISTICS}".format("SET key = ?"), (encode(wanted), *_place(table), key)
                )

    def delete(self, table: dict[str, Any], values: Sequence[str]) -> None:
        """Delete a partition; EntityNotFoundException."""
        key = encode(list(values))
        with self.endpoint.store.write() as db:
            deleted = db.execute(
                "DELETE FROM glue_partitions WHERE database = ? AND table_name = ? AND key = ?", (*_place(table), key)
            )
            if not deleted.rowcount:
                raise AwsError("EntityNotFoundException", "Partition not found.")
            db.execute("DELETE FROM " + STATISTICS.format(""), (*_place(table), key))

    def every(self, table: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All partitions of a table, by values."""
        last = ""
        while rows := self.endpoint.store.read(
            f"{SELECT} AND key > ? ORDER BY key LIMIT {READ}", (*_place(table), last)
        ):
            yield from (self._shown(table, row["body"]) for row in rows)
            last = rows[-1]["key"]

    def existing(self, table: dict[str, Any], values: Sequence[str]) -> dict[str, Any]:
        """A partition's document; EntityNotFoundException, InvalidInputException."""
        found = self.find(table, _values(table, values))
        if found is None:
            raise AwsError("EntityNotFoundException", "Cannot find partition.")
        return found

    def _shown(self, table: dict[str, Any], body: str) -> dict[str, Any]:
        names = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
        shown: dict[str, Any] = decode(body) | names | {"CatalogId": self.endpoint.account}
        return shown

    def _table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        refuse_transactions(params, call)
        return self.catalog.followed(self.catalog.table(params["DatabaseName"], params["TableName"]))

    # -- operations

    def create_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.create(self._table(params, call), params["PartitionInput"])
        return {}

    def get_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        return {"Partition": self.existing(table, params["PartitionValues"])}

    def update_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.update(self._table(params, call), params["PartitionValueList"], params["PartitionInput"])
        return {}

    def delete_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        self.delete(table, _values(table, params["PartitionValues"]))
        return {}

    def batch_create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        with self.endpoint.store.write():
            given = params["PartitionInputList"]
            errors = _each(given, lambda one: self.create(table, one), lambda one: one.get("Values", []))
        return {"Errors": [{"PartitionValues": v, "ErrorDetail": d} for v, d in errors]}

    def batch_update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        with self.endpoint.store.write():
            errors = _each(
                params["Entries"],
                lambda one: self.update(table, one["PartitionValueList"], one["PartitionInput"]),
                lambda one: one["PartitionValueList"],
            )
        return {"Errors": [{"PartitionValueList": v, "ErrorDetail": d} for v, d in errors]}

    def batch_delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        with self.endpoint.store.write():
            given = params["PartitionsToDelete"]
            errors = _each(
                given, lambda one: self.delete(table, _values(table, one["Values"])), lambda one: one["Values"]
            )
        return {"Errors": [{"PartitionValues": v, "ErrorDetail": d} for v, d in errors]}

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        wanted = [_values(table, one["Values"]) for one in params["PartitionsToGet"]]
        found = [self.find(table, values) for values in wanted]
        # A partition that does not exist is in neither list (AWS docs: UnprocessedKeys are to be tried again).
        return {"Partitions": [partition for partition in found if partition], "UnprocessedKeys": []}

    def get_partitions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        chosen = _filter(table, params.get("Expression"))
        sql, values = _narrowed(table, chosen, params.get("Segment"))
        if chosen is None:
            rows: Sequence[Any] = self.endpoint.store.read(sql, (*values, last, size + 1))
        else:
            rows = self._chosen(table, chosen, sql, (*values, last), size + 1)
        shown, more = page(rows, size, "key")
        partitions = [self._shown(table, row["body"]) for row in shown]
        if params.get("ExcludeColumnSchema"):
            for partition in partitions:
                partition.get("StorageDescriptor", {}).pop("Columns", None)
        return {"Partitions": partitions} | more

    def _chosen(
        self, table: dict[str, Any], chosen: Filter, sql: str, values: Sequence[Any], wanted: int
    ) -> list[sqlite3.Row]:
        """The first rows that a filter lets through: keys are looked at, and only what is found is read whole."""
        *before, last = values
        keys: list[str] = []
        number = wanted  # of keys looked at: a filter that SQLite knows leaves few to look at, another one many
        while len(keys) < wanted:
            rows = self.endpoint.store.read(sql, (*before, last, number))
            keys += [row["key"] for row in rows if chosen(decode(row["key"]))]
            if len(rows) < number:
                break
            last, number = rows[-1]["key"], READ
        found = (self.endpoint.store.one(FIND, (*_place(table), key)) for key in keys[:wanted])
        return [row for row in found if row is not None]

    # -- indexes

    def create_index(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        with self.endpoint.store.write() as db:
            self._still_there(db, table)
            keep_indexes(db, table, [params["PartitionIndex"]])
        return {}

    def get_indexes(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params, call)
        after(params.get("NextToken"))  # three indexes are one page
        kinds = {key["Name"].lower(): key.get("Type", "string") for key in table.get("PartitionKeys") or []}
        rows = self.endpoint.store.read(INDEXES, _place(table))
        shown = [
            {
                "IndexName": row["name"],
                "Keys": [{"Name": key, "Type": kinds.get(key.lower(), "string")} for key in decode(row["keys"])],
                "IndexStatus": "ACTIVE",
            }
            for row in rows
        ]
        return {"PartitionIndexDescriptorList": shown}

    def delete_index(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table, name = self._table(params, call), params["IndexName"]
        with self.endpoint.store.write() as db:
            deleted = db.execute(
                "DELETE FROM glue_partition_indexes WHERE database = ? AND table_name = ? AND name = ?",
                (*_place(table), name),
            )
        if not deleted.rowcount:
            raise AwsError("EntityNotFoundException", f"Index {name} not found.")
        return {}


def _place(table: dict[str, Any]) -> tuple[str, str]:
    return table["DatabaseName"], table["Name"]


def _narrowed(
    table: dict[str, Any], chosen: Filter | None, segment: dict[str, int] | None
) -> tuple[str, tuple[Any, ...]]:
    """The query for partitions, up to the key and the number that it still wants, and its other parameters."""
    sql: str = SELECT if chosen is None else SELECT.replace("key, body", "key")
    values: list[Any] = list(_place(table))
    if chosen is not None:
        sql, values = f"{sql} AND ({chosen.sql})", [*values, *chosen.values]
        if chosen.prefix:
            # `["2024"` is where keys begin whose first value is 2024; what follows is `,` or `]`, both before `^`.
            start = encode(list(chosen.prefix))[:-1]
            sql, values = f"{sql} AND key > ? AND key < ?", [*values, start, start + "^"]
    if segment is not None:
        number, total = segment["SegmentNumber"], segment["TotalSegments"]
        if number >= total:
            raise AwsError("InvalidInputException", f"SegmentNumber must be from 0 to {total - 1}.")
        sql, values = f"{sql} AND rowid % ? = ?", [*values, total, number]  # a row keeps its number for life
    return f"{sql} AND key > ? ORDER BY key LIMIT ?", tuple(values)


def _body(given: dict[str, Any]) -> dict[str, Any]:
    check_storage(given)
    if (given.get("StorageDescriptor") or {}).get("SchemaReference"):
        raise unsupported("glue", "CreatePartition", use="SchemaReference: a table may have one.")
    if (storage := given.get("StorageDescriptor")) is None:
        return given
    return {**given, "StorageDescriptor": STORAGE_DEFAULTS | storage}


def _values(table: dict[str, Any], values: Sequence[str] | None) -> list[str]:
    keys = table.get("PartitionKeys") or []
    if values is None or len(values) != len(keys):
        text = "The number of partition keys do not match the number of partition values"
        raise AwsError("InvalidInputException", text)
    if any("\0" in value for value in values):
        raise AwsError("InvalidInputException", "A partition value must not contain a null character.")
    return list(values)


def _each(
    given: Iterable[dict[str, Any]],
    act: Callable[[dict[str, Any]], None],
    values: Callable[[dict[str, Any]], Sequence[str]],
) -> list[tuple[Sequence[str], dict[str, str]]]:
    """Act on each; the errors, with the values of the partitions they belong to."""
    errors = []
    for one in given:
        try:
            act(one)
        except AwsError as error:
            errors.append((values(one), failed(error)))
    return errors


def _filter(table: dict[str, Any], expression: str | None) -> Filter | None:
    if not (expression or "").strip():
        return None
    try:
        return compile_filter(expression or "", table.get("PartitionKeys") or [])
    except ExpressionError as error:
        raise AwsError("InvalidInputException", f"Invalid partition filter expression: {error}.") from None
