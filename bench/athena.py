"""Athena: a query over Parquet, from its submission to SUCCEEDED as the service counts it, beside bare DuckDB.

Both read the same files. Bare DuckDB is a connection in this process, which is imported and warm, and fetches the rows;
ours takes the query through SQLite, the catalog, a translation from Trino's SQL and a worker process, and leaves the
result in S3. The runs alternate; the best of each counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import peers
from run import Line

ROWS = 3_000_000
FILES = 3
ROUNDS = 3
COLUMNS = {"customer": "int", "product": "int", "day": "date", "amount": "double", "country": "string"}
QUERY = (
    "SELECT country, day, count(*) AS orders, count(DISTINCT customer) AS customers, sum(amount) AS amount"
    " FROM {source} WHERE product < 900 GROUP BY country, day ORDER BY country, day"
)
MADE = """
COPY (SELECT (hash(i) % 200000)::INTEGER AS customer, (hash(i + 7) % 1000)::INTEGER AS product,
             DATE '2024-01-01' + (hash(i + 13) % 60)::INTEGER AS day, (hash(i + 29) % 100000) / 100.0::DOUBLE AS amount,
             'country ' || (hash(i + 31) % 40) AS country
      FROM range({first}, {end}) AS r(i)) TO '{path}' (FORMAT parquet)
"""
PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


def make(folder: Path) -> list[Path]:
    """The table's files."""
    paths, step = [folder / f"part-{number}.parquet" for number in range(FILES)], ROWS // FILES
    for number, path in enumerate(paths):
        duckdb.connect().execute(MADE.format(first=number * step, end=(number + 1) * step, path=path))
    return paths


def bare(paths: list[Path]) -> tuple[float, int]:
    """Seconds of the query in DuckDB, and its number of rows."""
    began = time.perf_counter()
    files = ", ".join(f"'{path}'" for path in paths)
    rows = duckdb.connect().execute(QUERY.format(source=f"read_parquet([{files}])")).fetchall()
    return time.perf_counter() - began, len(rows)


class Lake:
    """The same files as a table of our endpoint."""

    def __init__(self, peer: peers.Peer, paths: list[Path]) -> None:
        s3, glue = peer.client("s3"), peer.client("glue")
        self.athena = peer.client("athena")
        s3.create_bucket(Bucket="lake")
        for path in paths:
            s3.upload_file(str(path), "lake", f"orders/{path.name}")
        glue.create_database(DatabaseInput={"Name": "bench"})
        columns = [{"Name": name, "Type": kind} for name, kind in COLUMNS.items()]
        storage = {"Columns": columns, "Location": "s3://lake/orders/", **PARQUET}
        table = {"Name": "orders", "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage}
        glue.create_table(DatabaseName="bench", TableInput=table)

    def query(self) -> tuple[float, int]:
        """Seconds from submission to the end, queueing included, and the number of rows."""
        query_id = self.athena.start_query_execution(
            QueryString=QUERY.format(source="orders"),
            QueryExecutionContext={"Database": "bench"},
            ResultConfiguration={"OutputLocation": "s3://lake/results/"},
        )["QueryExecutionId"]
        found: dict[str, Any] = {}

        def over() -> bool:
            nonlocal found
            found = self.athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            return found["Status"]["State"] not in ("QUEUED", "RUNNING")

        peers.wait_until(over, 60, 0.05)
        if found["Status"]["State"] != "SUCCEEDED":
            raise RuntimeError(f"the query is {found['Status']}")
        pages = self.athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
        rows = sum(len(page["ResultSet"]["Rows"]) for page in pages) - 1  # the first one has the names
        return found["Statistics"]["TotalExecutionTimeInMillis"] / 1000, rows


def measure() -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="millpond-bench-") as folder, peers.ours() as ours:
        paths = make(Path(folder))
        lake = Lake(ours, paths)
        lake.query()  # the first one imports the compiler and starts a worker
        pairs = []
        for _ in range(ROUNDS):
            time.sleep(1)  # the spare worker starts meanwhile
            pairs.append((lake.query(), bare(paths)))
        if any(mine[1] != theirs[1] for mine, theirs in pairs):
            raise RuntimeError(f"the answers differ: {pairs}")
        mine, theirs = (min(pair[side][0] for pair in pairs) for side in (0, 1))
    what = f"Athena: group by, count distinct, {ROWS // 1_000_000} M rows"
    name = f"DuckDB {duckdb.__version__}"
    yield Line(what, mine, "s", "<= 1.3x of bare DuckDB", mine <= 1.3 * theirs, theirs, name)
