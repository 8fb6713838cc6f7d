"""Crawls as files: tests/cases/crawler/*.yaml hold a folder tree, a crawler and the catalog that must come out.

files:     key in the bucket `lake` -> text, {kind: content} of `MAKERS` ({parquet: {column: [type, values...]}}),
           {copies: number, of: text}, null (an empty object); with `keep: n` its first n bytes
crawler:   members of CreateCrawler (Name, Role and DatabaseName have defaults)
databases: name -> SQL statements: an SQLite database and a connection to it (in steps: `sql`)
classifiers: what CreateClassifier is called with first; given: other operations that are called first, and how
tables:    the whole catalog: name -> columns ("id bigint, city string"), keys, location, partitions, and `entry`,
           a part of the table's document that must be equal (`whole`: all of it; `partition`: of its first partition;
           `whole_partitions`: all of each). A number that depends on how a file was written is `{bytes: [keys]}`, the
           size of these objects, or `{bytes: [keys], over: records}`
log:       regular expressions that a line of the crawl's log must fit
objects:   keys -> the text that the crawl must have written
status:    LastCrawl.Status, SUCCEEDED unless said; `error` is a part of its message
steps:     further crawls: operations to `call` first, files to add, `delete` keys, `update` the crawler, `tables` again
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import re
import sqlite3
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
import yaml

from millpond.local.glue import Glue
from millpond.local.service import Endpoint

DETAILS = ("entry", "whole", "partition", "whole_partitions")
RUN = ("Name", "DatabaseName", "TableName", "CatalogId", "VersionId", "CreatedBy", "IsRegisteredWithLakeFormation")
CASES = sorted((Path(__file__).parents[3] / "cases" / "crawler").glob("*.yaml"))
TYPES = {
    "int": pa.int32(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "decimal": pa.decimal128(10, 2),
    "boolean": pa.bool_(),
    "binary": pa.binary(),
    "strings": pa.list_(pa.string()),
    "point": pa.struct([("x", pa.int32()), ("y", pa.float64())]),
    "counts": pa.map_(pa.string(), pa.int64()),
}


class Lines:
    """Stands for the logs service."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, group: str, stream: str, events: list[tuple[int, str]]) -> None:
        assert group == "/aws-glue/crawlers"
        self.lines += [text for _, text in events]


def columnar(columns: Mapping[str, list[Any]]) -> pa.Table:
    return pa.table({name: pa.array(values, TYPES[kind]) for name, (kind, *values) in columns.items()})


def snappy(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="snappy", asbytes=True))


def framed(data: bytes) -> bytes:
    chunk = b"\0\0\0\0" + snappy(data)
    return b"\x00" + len(chunk).to_bytes(3, "little") + chunk


def zipped(*texts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for n, text in enumerate(texts):
            archive.writestr(str(n), text)
    return out.getvalue()


def lz4(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "lz4") as stream:
        stream.write(data)
    return bytes(out.getvalue())


def written(writer: Callable[[pa.Table, Any], None], columns: Mapping[str, list[Any]]) -> bytes:
    out = pa.BufferOutputStream()
    writer(columnar(columns), out)
    return bytes(out.getvalue())


MAKERS: dict[str, Callable[[Any], bytes]] = {
    "gzip": lambda text: gzip.compress(text.encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "zip": zipped,
    "zips": lambda texts: zipped(*texts),
    "lz4": lambda text: lz4(text.encode()),
    "snappy": lambda text: b"\xff\x06\x00\x00sNaPpY" + framed(text.encode()),
    "snappy_block": lambda text: snappy(text.encode()),
    "hadoop_snappy": lambda text: struct.pack(">II", len(text), len(snappy(text.encode()))) + snappy(text.encode()),
    "latin1": lambda text: text.encode("latin-1"),
    "bytes": bytes.fromhex,
    "parquet": lambda columns: written(pq.write_table, columns),
    "orc": lambda columns: written(pyarrow.orc.write_table, columns),
    "record": lambda size: json.dumps({"id": 1, "text": "x" * size}).encode(),
    "lines": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
}


def put(root: Path, key: str, content: Any) -> None:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case None:
            path.write_bytes(b"")
        case str():
            path.write_bytes(content.encode())
        case {"copies": number, "of": text}:
            path.write_text(text * number)
        case {"keep": size, **whole}:
            put(root, key, whole)
            path.write_bytes(path.read_bytes()[:size])
        case _:
            ((kind, value),) = content.items()
            path.write_bytes(MAKERS[kind](value))


def shown(glue: Callable[..., Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """A table in the shorthand of the cases."""
    storage = table["StorageDescriptor"]
    found = {
        "columns": ", ".join(f"{column['Name']} {column['Type']}" for column in storage["Columns"]),
        "location": storage["Location"],
    }
    if table.get("PartitionKeys"):
        if table["Parameters"].get("typeOfData") == "file" and not table["Name"].startswith("my_"):
            assert {key["Type"] for key in table["PartitionKeys"]} == {"string"}
        found["keys"] = [key["Name"] for key in table["PartitionKeys"]]
        partitions = glue("GetPartitions", DatabaseName=table["DatabaseName"], TableName=table["Name"])["Partitions"]
        found["partitions"] = [partition["Values"] for partition in partitions]
    return found


def part_of(expected: Any, found: Any, at: str) -> None:
    """Every member of `expected` is in `found` and equal; null means absent."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            if value is None:
                assert name not in found, f"{at}/{name}"
            else:
                assert name in found, f"{at}/{name} is missing"
                part_of(value, found[name], f"{at}/{name}")
    else:
        assert found == expected, at


def derived(expected: Any, bucket: Path) -> Any:
    """The expectation with the sizes of objects filled in."""
    match expected:
        case {"bytes": keys, **rest}:
            return str(sum((bucket / key).stat().st_size for key in keys) // rest.get("over", 1))
        case dict():
            return {name: derived(value, bucket) for name, value in expected.items()}
        case list():
            return [derived(value, bucket) for value in expected]
        case _:
            return expected


def check_catalog(glue: Callable[..., Any], expected: Mapping[str, Any]) -> None:
    tables = {table["Name"]: table for table in glue("GetTables", DatabaseName="db")["TableList"]}
    short = {name: shown(glue, table) for name, table in tables.items()}
    assert short == {name: {k: v for k, v in one.items() if k not in DETAILS} for name, one in expected.items()}
    for name, one in expected.items():
        part_of(one.get("entry", {}), tables[name], name)
        if "whole" in one:
            assert without_run(tables[name]) == one["whole"]
        if "partition" in one:
            found = glue("GetPartitions", DatabaseName="db", TableName=name)["Partitions"][0]
            part_of(one["partition"], found, f"{name}, partition")
        if "whole_partitions" in one:
            parts = glue("GetPartitions", DatabaseName="db", TableName=name)["Partitions"]
            assert [without_run(part) for part in parts] == one["whole_partitions"]


def without_run(table: dict[str, Any]) -> dict[str, Any]:
    """The document of a table or partition without what is different in every crawl."""
    kept = {k: v for k, v in table.items() if k not in RUN and not k.endswith("Time")}
    storage = {**kept["StorageDescriptor"]}
    storage["Parameters"] = {k: v for k, v in storage["Parameters"].items() if k != "CRAWL_RUN_ID"}
    parameters = {k: v for k, v in kept["Parameters"].items() if k != "CRAWL_RUN_ID"}
    return {**kept, "StorageDescriptor": storage, "Parameters": parameters}


@pytest.fixture
def crawl(bare_endpoint: Endpoint, glue_service: Glue, glue: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """`crawl()` runs the crawler `c` once; gives LastCrawl and the log's lines."""
    lines = Lines()
    bare_endpoint.services["logs"] = lines  # type: ignore[assignment]

    def run() -> tuple[dict[str, Any], list[str]]:
        lines.lines.clear()
        glue("StartCrawler", Name="c")
        deadline = time.monotonic() + 120
        while (found := glue("GetCrawler", Name="c")["Crawler"])["State"] != "READY":
            assert time.monotonic() < deadline, "the crawl does not end"
            time.sleep(0.002)
        return found["LastCrawl"], list(lines.lines)

    yield run
    glue_service.stop()


def prepare(case: Mapping[str, Any], glue: Callable[..., Any], data: Path) -> None:
    """Everything that is there before the first crawl. Each SQLite database has a connection of its name."""
    glue("CreateDatabase", DatabaseInput={"Name": "db"})
    for name, statements in case.get("databases", {}).items():
        query(data / f"{name}.db", statements)
        properties = {"JDBC_CONNECTION_URL": f"jdbc:sqlite:{data / name}.db", "USERNAME": "u", "PASSWORD": "p"}
        connection = {"Name": name, "ConnectionType": "JDBC", "ConnectionProperties": properties}
        glue("CreateConnection", ConnectionInput=connection)
    for classifier in case.get("classifiers", []):
        glue("CreateClassifier", **classifier)
    for call in case.get("given", []):
        for operation, parameters in call.items():
            glue(operation, **parameters)
    crawler = {"Name": "c", "Role": "arn:aws:iam::000000000000:role/crawl", "DatabaseName": "db"} | case["crawler"]
    glue("CreateCrawler", **crawler)


def query(path: Path, statements: list[str]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        for statement in statements:
            db.execute(statement)
        db.commit()


def change(step: Mapping[str, Any], bucket: Path, glue: Callable[..., Any]) -> None:
    """What a step changes before its crawl."""
    for call in step.get("call", []):
        for operation, parameters in call.items():
            glue(operation, **parameters)
    for name, statements in step.get("sql", {}).items():
        query(bucket.parents[1] / f"{name}.db", statements)
    for key, content in (step.get("files") or {}).items():
        put(bucket, key, content)
    for key in step.get("delete", []):
        (bucket / key).unlink()
    if "update" in step:
        glue("UpdateCrawler", Name="c", **step["update"])


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_crawl(path: Path, bare_endpoint: Endpoint, glue: Callable[..., Any], crawl: Callable[..., Any]) -> None:
    case = yaml.safe_load(path.read_text())
    bucket = bare_endpoint.buckets / "lake"
    bucket.mkdir(parents=True)
    prepare(case, glue, bare_endpoint.data)
    for step in [case, *case.get("steps", [])]:
        change(step, bucket, glue)
        last, lines = crawl()
        assert last["Status"] == step.get("status", "SUCCEEDED"), "\n".join(lines)
        assert step.get("error", "") in last.get("ErrorMessage", "")
        for key, text in step.get("objects", {}).items():
            assert (bucket / key).read_text() == text, key
        try:
            check_catalog(glue, derived(step.get("tables") or {}, bucket))
        except AssertionError as error:
            error.add_note("\n".join(lines))
            raise
        for pattern in step.get("log", []):
            assert any(re.search(pattern, line) for line in lines), (pattern, lines)
