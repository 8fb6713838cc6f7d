"""Tables and SQL, through Glue and Athena."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from millpond.aws import buckets
from millpond.aws.target import Target
from millpond.errors import CloudError

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Answer:
    """A query's result: every value as Athena's text, NULL as None."""

    query_id: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    scanned_bytes: int = 0


@dataclass(frozen=True)
class Table:
    """A table of the catalog."""

    database: str
    name: str
    columns: tuple[tuple[str, str], ...]
    partition_keys: tuple[tuple[str, str], ...]
    location: str
    classification: str
    records: int | None


def tables(target: Target) -> Iterator[Table]:
    """Every table of every database."""
    glue = target.client("glue")
    for page in glue.get_paginator("get_databases").paginate():
        for database in page["DatabaseList"]:
            for found in glue.get_paginator("get_tables").paginate(DatabaseName=database["Name"]):
                yield from (_table(table) for table in found["TableList"])


def _table(table: dict[str, Any]) -> Table:
    storage, parameters = table.get("StorageDescriptor", {}), table.get("Parameters", {})
    records = parameters.get("recordCount", "")
    return Table(
        table["DatabaseName"],
        table["Name"],
        tuple((column["Name"], column.get("Type", "")) for column in storage.get("Columns", [])),
        tuple((key["Name"], key.get("Type", "")) for key in table.get("PartitionKeys", [])),
        storage.get("Location", ""),
        parameters.get("classification", ""),
        int(records) if records.isdigit() else None,
    )


def results_location(target: Target) -> str:
    """Where results of ad-hoc queries go."""
    return f"s3://{buckets.ensure(target, 'query-results')}/sql/"


def sql(target: Target, query: str) -> Answer:
    """Run a query in Athena and read its whole result. Raises CloudError with Athena's reason."""
    athena = target.client("athena")
    query_id = athena.start_query_execution(
        QueryString=query, ResultConfiguration={"OutputLocation": results_location(target)}
    )["QueryExecutionId"]
    while True:
        execution = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        if execution["Status"]["State"] not in ("QUEUED", "RUNNING"):
            break
        time.sleep(POLL_SECONDS)
    if execution["Status"]["State"] != "SUCCEEDED":
        raise CloudError(execution["Status"]["State"], execution["Status"].get("StateChangeReason", "no reason given"))
    return _answer(athena, query_id, execution)


def _spread(row: tuple[str | None, ...], width: int) -> tuple[str | None, ...]:
    """A row as wide as its header: Athena answers DESCRIBE with one value a row, with tabs for three columns."""
    if len(row) == 1 < width:
        row = tuple((row[0] or "").split("\t"))[:width]
    return row + (None,) * (width - len(row))


def _answer(athena: Any, query_id: str, execution: dict[str, Any]) -> Answer:
    columns: list[dict[str, Any]] = []
    rows: list[tuple[str | None, ...]] = []
    for page in athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id):
        columns = columns or page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
        rows += [tuple(c.get("VarCharValue") for c in row.get("Data", [])) for row in page["ResultSet"]["Rows"]]
    if execution.get("StatementType") == "DML" and rows:  # the first row of a SELECT is its header
        rows = rows[1:]
    return Answer(
        query_id,
        tuple(column["Name"] for column in columns),
        tuple(column["Type"] for column in columns),
        tuple(_spread(row, len(columns)) for row in rows),
        execution.get("Statistics", {}).get("DataScannedInBytes", 0),
    )
