"""Column statistics of tables and partitions: Update-, Get- and DeleteColumnStatisticsFor{Table,Partition}.

They are what a client measured and hands over, one document a column; nothing here is computed (statistics_runs.py
measures tables). What belongs to a table or partition goes with it, and with its column.
"""

from __future__ import annotations

import base64
from typing import Any

from millpond.local.glue.catalog import Catalog, column_types
from millpond.local.glue.partitions import Partitions
from millpond.local.glue.records import check_catalog, decode, encode
from millpond.local.service import AwsError, Call, Endpoint, Operation

OF_TABLE = ""  # the partition key of what belongs to the whole table

# Which member of the statistics belongs to a Type, and which of Hive's types may have it (AWS docs,
# "ColumnStatisticsData").
MEMBERS = {
    "BOOLEAN": "BooleanColumnStatisticsData",
    "DATE": "DateColumnStatisticsData",
    "DECIMAL": "DecimalColumnStatisticsData",
    "DOUBLE": "DoubleColumnStatisticsData",
    "LONG": "LongColumnStatisticsData",
    "STRING": "StringColumnStatisticsData",
    "BINARY": "BinaryColumnStatisticsData",
}
BOUNDS = ("MinimumValue", "MaximumValue")

OF = "database = ? AND table_name = ? AND key = ?"


class Statistics:
    """See the module's docstring. The tables and partitions are those of the catalog's other parts."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_column_statistics (
        database TEXT NOT NULL, table_name TEXT NOT NULL, key TEXT NOT NULL, column_name TEXT NOT NULL,
        body TEXT NOT NULL, PRIMARY KEY (database, table_name, key, column_name)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.catalog, self.partitions = endpoint, Catalog(endpoint), Partitions(endpoint)

    def operations(self) -> dict[str, Operation]:
        return {
            f"{verb}ColumnStatisticsFor{what}": operation
            for what in ("Table", "Partition")
            for verb, operation in (("Update", self.update), ("Get", self.get), ("Delete", self.delete))
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def _whose(self, params: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The table and the key; EntityNotFoundException, also for a partition that is not there."""
        check_catalog(self.endpoint, params)
        table = self.catalog.table(params["DatabaseName"], params["TableName"])
        if "PartitionValues" not in params:
            return table, OF_TABLE
        return table, encode(self.partitions.existing(table, params["PartitionValues"])["Values"])

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table, key = self._whose(params)
        known, errors = column_types(table), []
        with self.endpoint.store.write() as db:
            for given in params["ColumnStatisticsList"]:
                if wrong := _wrong(given, known):
                    errors.append({"ColumnStatistics": given, "Error": wrong})
                    continue
                row = (table["DatabaseName"], table["Name"], key, given["ColumnName"].lower(), encode(_kept(given)))
                db.execute("INSERT OR REPLACE INTO glue_column_statistics VALUES (?, ?, ?, ?, ?)", row)
        return {"Errors": errors}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table, key = self._whose(params)
        rows = self.endpoint.store.read(
            f"SELECT column_name, body FROM glue_column_statistics WHERE {OF}",
            (table["DatabaseName"], table["Name"], key),
        )
        kept = {row["column_name"]: row["body"] for row in rows}
        found, errors = [], []
        for name in dict.fromkeys(params["ColumnNames"]):
            if (body := kept.get(name.lower())) is not None:
                found.append(_shown(decode(body)))
                continue
            errors.append({"ColumnName": name, "Error": _error(f"Statistics of column {name} not found.")})
        return {"ColumnStatisticsList": found, "Errors": errors}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table, key = self._whose(params)
        with self.endpoint.store.write() as db:
            deleted = db.execute(
                f"DELETE FROM glue_column_statistics WHERE {OF} AND column_name = ?",
                (table["DatabaseName"], table["Name"], key, params["ColumnName"].lower()),
            )
        if not deleted.rowcount:
            raise AwsError("EntityNotFoundException", f"Statistics of column {params['ColumnName']} not found.")
        return {}


def _error(message: str, code: str = "EntityNotFoundException") -> dict[str, str]:
    return {"ErrorCode": code, "ErrorMessage": message}


def _wrong(given: dict[str, Any], known: dict[str, str]) -> dict[str, str] | None:
    """What is wrong with one column's statistics."""
    name, data = given["ColumnName"], given["StatisticsData"]
    if name.lower() not in known:
        return _error(f"Column {name} not found.")
    members = [member for member in MEMBERS.values() if member in data]
    if members != [MEMBERS[data["Type"]]]:
        text = f"StatisticsData of type {data['Type']} must have exactly the member {MEMBERS[data['Type']]}."
        return _error(text, "InvalidInputException")
    return None


def _kept(given: dict[str, Any]) -> dict[str, Any]:
    """As it is stored: the bytes of decimals as texts."""
    return _with_decimals(given, lambda raw: base64.b64encode(raw).decode())


def _shown(kept: dict[str, Any]) -> dict[str, Any]:
    return _with_decimals(kept, base64.b64decode)


def _with_decimals(one: dict[str, Any], convert: Any) -> dict[str, Any]:
    member = MEMBERS["DECIMAL"]
    if (data := one["StatisticsData"].get(member)) is None:
        return one
    changed = {
        name: {**data[name], "UnscaledValue": convert(data[name]["UnscaledValue"])} for name in BOUNDS if name in data
    }
    return {**one, "StatisticsData": {**one["StatisticsData"], member: {**data, **changed}}}
