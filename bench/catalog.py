"""The Data Catalog: GetPartitions of one table with a million partitions, by equality and by range; time and memory.

The table is filled behind the service's back (by its API it would take minutes), then asked in this process, without
HTTP. The peer holds the same keys in a list and applies the same predicate to each: what a catalog does that leaves the
filter to a loop.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from run import Line

from millpond.local.glue import Glue
from millpond.local.glue.expressions import compile_filter
from millpond.local.service import Call, Clock, Endpoint
from millpond.local.store import Store

PARTITIONS = 1_000_000
GROUP = 50_000
MEGABYTES = 40.0
FASTER = 2.0
KEYS = [{"Name": "year", "Type": "int"}, {"Name": "n", "Type": "bigint"}, {"Name": "day", "Type": "string"}]
EXPRESSIONS = (
    ("by equality of all keys", "year = 2013 and n = 30000 and day = '2024-02-06'"),
    ("by equality of one key", "n = 30000"),
    ("by a range", "n between 30000 and 30010 and day >= '2024-03-01'"),
)


def values(number: int) -> list[str]:
    return [str(2000 + number % 25), str(number // 25), f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}"]


def fill(store: Store) -> None:
    columns = [{"Name": f"c{number}", "Type": "string"} for number in range(5)]
    body = json.dumps({"CreationTime": 1.7e9, "StorageDescriptor": {"Columns": columns, "Location": "s3://b/t/"}})
    for start in range(0, PARTITIONS, GROUP):
        keys = [json.dumps(values(number), separators=(",", ":")) for number in range(start, start + GROUP)]
        rows = [("d", "t", key, f'{{"Values":{key},{body[1:]}') for key in keys]
        with store.write() as db:
            db.executemany("INSERT INTO glue_partitions VALUES (?, ?, ?, ?)", rows)


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """The best of three."""
    best, found = float("inf"), None
    for _ in range(3):
        began = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - began)
    return best, found


def measure() -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "state.db")
        try:
            endpoint = Endpoint(Path(folder), store, Clock(), 0, "k", "s")
            service = Glue(endpoint)
            store.install(service.schema)
            yield from lines(service, store)
        finally:
            store.close()


def lines(service: Glue, store: Store) -> Iterator[Line]:
    operations = service.operations()

    def call(operation: str, **params: Any) -> dict[str, Any]:
        return operations[operation](params, Call("glue", operation, "us-east-1")) or {}

    call("CreateDatabase", DatabaseInput={"Name": "d"})
    call("CreateTable", DatabaseName="d", TableInput={"Name": "t", "PartitionKeys": KEYS})
    fill(store)
    process = psutil.Process()
    call("GetPartitions", DatabaseName="d", TableName="t", MaxResults=1)
    before = process.memory_info().rss
    ours = []
    for name, expression in EXPRESSIONS:
        asked = {"DatabaseName": "d", "TableName": "t", "Expression": expression}
        took, answer = seconds(lambda asked=asked: call("GetPartitions", **asked))  # type: ignore[misc]
        ours.append((name, expression, took, sorted(one["Values"] for one in answer["Partitions"])))
    grown = (process.memory_info().rss - before) / 2**20
    every = [values(number) for number in range(PARTITIONS)]
    for name, expression, took, found in ours:
        began = time.perf_counter()
        chosen = compile_filter(expression, KEYS)
        theirs = sorted(one for one in every if chosen(one))
        loop = time.perf_counter() - began
        if theirs != found or not found:
            raise RuntimeError(f"{expression}: {len(found)} partitions, the loop finds {len(theirs)}")
        what = f"Catalog: 1 of a million, {name}"
        budget = f">= {FASTER:.0f}x a loop over keys in memory"
        yield Line(what, took, "s", budget, loop >= FASTER * took, loop, "a loop over keys in memory")
    yield Line("Catalog: memory of these", max(grown, 0.1), "MB", f"<= {MEGABYTES:.0f} MB", grown <= MEGABYTES)
