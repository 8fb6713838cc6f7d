"""Partitions: kept one row each, found by key, filtered and paged without loading them all.

A partition's identity is its values in the order of the table's keys. Its row key is their JSON text, so that the
order of a listing is stable and a NextToken stays valid while others come and go.

Limits: no partition indexes or statistics yet (they change speed and planning on AWS, never an answer).
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from millpond.local.glue.catalog import STORAGE_DEFAULTS, Catalog
from millpond.local.glue.expressions import ExpressionError, compile_filter
from millpond.local.glue.records import after, check_catalog, decode, encode, token
from millpond.local.service import AwsError, Call, Endpoint, Operation

PAGE = 1000  # PageSize, and the default (AWS docs)
SCAN = 2000  # keys looked at in one read


class Partitions:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_partitions (
        database TEXT NOT NULL, table_name TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (database, table_name, key)
    );
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
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- one partition

    def create(self, table: dict[str, Any], given: dict[str, Any]) -> None:
        """Create a partition of a table from a PartitionInput; AlreadyExistsException, InvalidInputException."""
        values = _values(table, given.get("Values"))
        body = _body(given) | {"Values": values, "CreationTime": self.endpoint.clock.now()}
        row = (table["DatabaseName"], table["Name"], encode(values), encode(body))
        with self.endpoint.store.write() as db:
            try:
                db.execute("INSERT INTO glue_partitions VALUES (?, ?, ?, ?)", row)
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Partition already exists.") from None

    def find(self, table: dict[str, Any], values: Sequence[str]) -> dict[str, Any] | None:
        """A partition's document, or None."""
        row = self.endpoint.store.one(
            "SELECT body FROM glue_partitions WHERE database = ? AND table_name = ? AND key = ?",
            (table["DatabaseName"], table["Name"], encode(list(values))),
        )
        return self._shown(table, row["body"]) if row else None

    def update(self, table: dict[str, Any], values: Sequence[str], given: dict[str, Any]) -> None:
        """Replace a partition; its values may change too. EntityNotFoundException, AlreadyExistsException."""
        before = self._existing(table, values)
        wanted = _values(table, given.get("Values") or before["Values"])
        body = _body(given) | {"Values": wanted, "CreationTime": before["CreationTime"]}
        with self.endpoint.store.write() as db:
            try:
                db.execute(
                    "UPDATE glue_partitions SET key = ?, body = ? WHERE database = ? AND table_name = ? AND key = ?",
                    (encode(wanted), encode(body), table["DatabaseName"], table["Name"], encode(before["Values"])),
                )
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", "Partition already exists.") from None

    def delete(self, table: dict[str, Any], values: Sequence[str]) -> None:
        """Delete a partition; EntityNotFoundException."""
        with self.endpoint.store.write() as db:
            deleted = db.execute(
                "DELETE FROM glue_partitions WHERE database = ? AND table_name = ? AND key = ?",
                (table["DatabaseName"], table["Name"], encode(list(values))),
            )
        if not deleted.rowcount:
            raise AwsError("EntityNotFoundException", "Partition not found.")

    def every(self, table: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All partitions of a table, by values."""
        last = ""
        while rows := self._rows(table, last, SCAN, "key, body"):
            yield from (self._shown(table, row["body"]) for row in rows)
            last = rows[-1]["key"]

    def _existing(self, table: dict[str, Any], values: Sequence[str]) -> dict[str, Any]:
        found = self.find(table, values)
        if found is None:
            raise AwsError("EntityNotFoundException", "Cannot find partition.")
        return found

    def _shown(self, table: dict[str, Any], body: str) -> dict[str, Any]:
        names = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
        shown: dict[str, Any] = decode(body) | names | {"CatalogId": self.endpoint.account}
        return shown

    def _rows(self, table: dict[str, Any], last: str, size: int, columns: str) -> list[sqlite3.Row]:
        return self.endpoint.store.read(
            f"SELECT {columns} FROM glue_partitions WHERE database = ? AND table_name = ? AND key > ?"
            " ORDER BY key LIMIT ?",
            (table["DatabaseName"], table["Name"], last, size),
        )

    def _table(self, params: dict[str, Any]) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return self.catalog.table(params["DatabaseName"], params["TableName"])

    # -- operations

    def create_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.create(self._table(params), params["PartitionInput"])
        return {}

    def get_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        return {"Partition": self._existing(table, _values(table, params["PartitionValues"]))}

    def update_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.update(self._table(params), params["PartitionValueList"], params["PartitionInput"])
        return {}

    def delete_partition(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.delete(self._table(params), params["PartitionValues"])
        return {}

    def batch_create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        with self.endpoint.store.write():
            given = params["PartitionInputList"]
            errors = _each(given, lambda one: self.create(table, one), lambda one: one.get("Values", []))
        return {"Errors": [{"PartitionValues": v, "ErrorDetail": d} for v, d in errors]}

    def batch_update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        with self.endpoint.store.write():
            errors = _each(
                params["Entries"],
                lambda one: self.update(table, one["PartitionValueList"], one["PartitionInput"]),
                lambda one: one["PartitionValueList"],
            )
        return {"Errors": [{"PartitionValueList": v, "ErrorDetail": d} for v, d in errors]}

    def batch_delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        with self.endpoint.store.write():
            given = params["PartitionsToDelete"]
            errors = _each(given, lambda one: self.delete(table, one["Values"]), lambda one: one["Values"])
        return {"Errors": [{"PartitionValues": v, "ErrorDetail": d} for v, d in errors]}

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        wanted = [_values(table, one["Values"]) for one in params["PartitionsToGet"]]
        found = [self.find(table, values) for values in wanted]
        # A partition that does not exist is in neither list (AWS docs: UnprocessedKeys are to be tried again).
        return {"Partitions": [partition for partition in found if partition], "UnprocessedKeys": []}

    def get_partitions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self._table(params)
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        test = _filter(table, params.get("Expression"))
        segment = _segment(params.get("Segment"))
        keys: list[str] = []
        while len(keys) <= size and (rows := self._rows(table, last, SCAN, "key")):
            keys += [row["key"] for row in rows if segment(row["key"]) and test(decode(row["key"]))]
            last = rows[-1]["key"]
        shown = keys[:size]
        more = {"NextToken": token(shown[-1])} if len(keys) > size else {}
        partitions = [partition for key in shown if (partition := self.find(table, decode(key)))]
        if params.get("ExcludeColumnSchema"):
            for partition in partitions:
                partition.get("StorageDescriptor", {}).pop("Columns", None)
        return {"Partitions": partitions} | more


def _body(given: dict[str, Any]) -> dict[str, Any]:
    if (storage := given.get("StorageDescriptor")) is None:
        return given
    return {**given, "StorageDescriptor": STORAGE_DEFAULTS | storage}


def _values(table: dict[str, Any], values: Sequence[str] | None) -> list[str]:
    keys = table.get("PartitionKeys") or []
    if values is None or len(values) != len(keys):
        text = "The number of partition keys do not match the number of partition values"
        raise AwsError("InvalidInputException", f"{text}: {len(keys)} keys, {len(values or [])} values.")
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
            errors.append((values(one), {"ErrorCode": error.code, "ErrorMessage": error.message}))
    return errors


def _filter(table: dict[str, Any], expression: str | None) -> Callable[[Sequence[str]], bool]:
    if not (expression or "").strip():
        return lambda values: True
    try:
        return compile_filter(expression or "", table.get("PartitionKeys") or [])
    except ExpressionError as error:
        raise AwsError("InvalidInputException", f"Invalid partition filter expression: {error}.") from None


def _segment(given: dict[str, int] | None) -> Callable[[str], bool]:
    """A stable share of the partitions for one of several parallel readers."""
    if not given:
        return lambda key: True
    number, total = given["SegmentNumber"], given["TotalSegments"]
    if not 0 <= number < total:
        raise AwsError("InvalidInputException", f"SegmentNumber must be from 0 to {total - 1}.")
    return lambda key: zlib.crc32(key.encode()) % total == number
