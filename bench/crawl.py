"""Crawler: objects crawled a second, from StartCrawler to READY as a client sees it, beside DuckDB's own inference.

10,000 objects of 20 rows in 500 partitions, put through S3. DuckDB reads the same CSV files by a glob and answers with
the schema alone (`DESCRIBE` with union_by_name): no table, no partition and no log; ours writes all three. For JSON
there is no peer: DuckDB's inference over 10,000 files ran out of memory when it was tried.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import peers
from run import Line

OBJECTS = 10_000
FOLDERS = 500
BUCKET = "crawled"
ROWS = [{"id": n, "name": f"customer {n}", "amount": n * 1.5, "city": "Berlin", "ok": True} for n in range(20)]
CSV = "id,name,amount,city,ok\n" + "".join(",".join(map(str, row.values())) + "\n" for row in ROWS)
JSON = "".join(json.dumps(row) + "\n" for row in ROWS)
BUDGET = OBJECTS / 10  # objects a second


def put(s3: Any, kind: str, text: str) -> None:
    """The objects of one table."""

    def one(n: int) -> None:
        s3.put_object(Bucket=BUCKET, Key=f"{kind}/day={n % FOLDERS:03}/part-{n}.{kind}", Body=text.encode())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(OBJECTS)))


def crawled(glue: Any, kind: str, turn: int = 0) -> float:
    """Objects a second of a first crawl, into a database of its own."""
    role = "arn:aws:iam::000000000000:role/bench"
    targets = {"S3Targets": [{"Path": f"s3://{BUCKET}/{kind}/"}]}
    name = database = f"{kind}{turn}"
    glue.create_crawler(Name=name, Role=role, DatabaseName=database, Targets=targets)
    began = time.perf_counter()
    glue.start_crawler(Name=name)
    peers.wait_until(lambda: glue.get_crawler(Name=name)["Crawler"]["State"] == "READY", 300, 0.05)
    seconds = time.perf_counter() - began
    table = glue.get_table(DatabaseName=database, Name=kind)["Table"]
    if table["Parameters"]["objectCount"] != str(OBJECTS) or len(table["StorageDescriptor"]["Columns"]) != 5:
        raise RuntimeError(f"the crawl found {table}")
    return OBJECTS / seconds


def inferred(folder: Path) -> float:
    """Objects a second of DuckDB, over the same files."""
    began = time.perf_counter()
    source = f"read_csv('{folder}/*/*.csv', union_by_name=true, hive_partitioning=true)"
    found = duckdb.connect().execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    seconds = time.perf_counter() - began
    if len(found) != 6:
        raise RuntimeError(f"DuckDB found {found}")
    return OBJECTS / seconds


def measure() -> Iterator[Line]:
    """CSV in turn, twice each, the better one counts: a busy machine has slowed the one or the other by a half."""
    with tempfile.TemporaryDirectory(prefix="millpond-bench-") as folder, peers.ours() as ours:
        s3, glue = ours.client("s3"), ours.client("glue")
        s3.create_bucket(Bucket=BUCKET)
        put(s3, "csv", CSV)
        for n in range(OBJECTS):
            path = Path(folder) / f"day={n % FOLDERS:03}" / f"part-{n}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text(CSV)
        turns = [(crawled(glue, "csv", turn), inferred(Path(folder))) for turn in range(2)]
        mine, theirs = (max(rates) for rates in zip(*turns, strict=True))
        name = f"DuckDB {duckdb.__version__}, DESCRIBE"
        what = f"Crawler: {OBJECTS:,} CSV objects"
        yield Line(what, mine, "objects/s", ">= 1x of DuckDB", mine >= theirs, theirs, name, True)
        put(s3, "json", JSON)
        mine = crawled(glue, "json")
        yield Line(
            f"Crawler: {OBJECTS:,} JSON objects",
            mine,
            "objects/s",
            f">= {BUDGET:,.0f}",
            mine >= BUDGET,
            more_is_better=True,
        )
