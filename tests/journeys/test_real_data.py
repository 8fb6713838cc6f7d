"""Data that nobody here generated: the Chinook database and the UK's COVID-19 figures of 2020."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest_journey import EXAMPLE, SHARED, Journey, without_java

from millpond.testing.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CHINOOK = SHARED / "data" / "chinook" / "chinook_postgresql.sql"
COVID = SHARED / "data" / "uk_covid"
ROLE = "arn:aws:iam::000000000000:role/crawler"


def wait(what: Any, timeout: float = 300) -> Any:
    """Poll `what` until it answers something true."""
    deadline = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.2)
    return found


def crawl(running: Journey, name: str, database: str, **targets: Any) -> dict[str, Any]:
    """Make a crawler, run it, return its tables by name."""
    glue = running.boto3("glue")
    glue.create_crawler(Name=name, Role=ROLE, DatabaseName=database, Targets=targets)
    glue.start_crawler(Name=name)
    crawler = wait(lambda: (c := glue.get_crawler(Name=name)["Crawler"])["State"] == "READY" and c)
    assert crawler["LastCrawl"]["Status"] == "SUCCEEDED", crawler["LastCrawl"]
    pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
    return {table["Name"]: table for page in pages for table in page["TableList"]}


def columns(table: dict[str, Any]) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in table["StorageDescriptor"]["Columns"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    tmp = tmp_path_factory.mktemp("real")
    folder = tmp / "project"
    folder.mkdir()
    made = Journey(folder, without_java(tmp))
    made.up()
    yield made
    made.millpond("down")


@pytest.fixture(scope="module")
def chinook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    if not CHINOOK.exists():
        pytest.skip(f"LOUD SKIP: {CHINOOK} is absent, the Chinook journey did not run")
    server = Postgres(tmp_path_factory.mktemp("chinook") / "server")
    server.start()
    server.create_database("chinook")
    script = CHINOOK.read_text().split("\\c chinook;", 1)[1]
    server.execute("chinook", script)
    yield server
    server.delete()


@pytest.mark.spark
def test_chinook(running: Journey, chinook: Postgres) -> None:
    glue, s3 = running.boto3("glue"), running.boto3("s3")
    login = {"username": chinook.server.user, "password": chinook.server.password}
    running.boto3("secretsmanager").create_secret(Name="chinook", SecretString=json.dumps(login))
    properties = {"JDBC_CONNECTION_URL": chinook.jdbc_url("chinook"), "SECRET_ID": "chinook"}
    glue.create_connection(
        ConnectionInput={"Name": "chinook", "ConnectionType": "JDBC", "ConnectionProperties": properties}
    )
    for name in ("chinook_source", "chinook_raw"):
        glue.create_database(DatabaseInput={"Name": name})
    found = crawl(
        running, "chinook", "chinook_source", JdbcTargets=[{"ConnectionName": "chinook", "Path": "chinook/public/%"}]
    )
    assert len(found) == 11
    assert columns(found["chinook_public_invoice"]) == {
        "invoice_id": "int",
        "customer_id": "int",
        "invoice_date": "timestamp",
        "billing_address": "string",
        "billing_city": "string",
        "billing_state": "string",
        "billing_country": "string",
        "billing_postal_code": "string",
        "total": "decimal(10,2)",
    }
    s3.create_bucket(Bucket="chinook-lake")
    s3.put_object(Bucket="chinook-lake", Key="ingest.py", Body=(EXAMPLE / "jobs" / "ingest.py").read_bytes())
    glue.create_job(
        Name="chinook-ingest",
        Role=ROLE,
        Command={"Name": "glueetl", "ScriptLocation": "s3://chinook-lake/ingest.py", "PythonVersion": "3"},
        GlueVersion="5.1",
        Connections={"Connections": ["chinook"]},
    )
    tables = ("invoice", "invoice_line", "track", "customer", "employee")
    for table in tables:
        arguments = {
            "--database": "chinook_source",
            "--table": f"chinook_public_{table}",
            "--target": f"s3://chinook-lake/raw/{table}/",
            "--bookmark_key": "none",
            "--partition_by": "invoice_date" if table == "invoice" else "none",
        }
        run_id = glue.start_job_run(JobName="chinook-ingest", Arguments=arguments)["JobRunId"]
        state = wait(
            lambda run_id=run_id: (
                (run := glue.get_job_run(JobName="chinook-ingest", RunId=run_id)["JobRun"])["JobRunState"]
                not in ("STARTING", "RUNNING", "WAITING")
                and run
            )
        )
        assert state["JobRunState"] == "SUCCEEDED", state.get("ErrorMessage")
    raw = crawl(running, "chinook-raw", "chinook_raw", S3Targets=[{"Path": "s3://chinook-lake/raw/"}])
    assert set(raw) == set(tables)
    assert columns(raw["invoice"])["total"] == "decimal(10,2)"
    assert columns(raw["invoice"])["invoice_date"] == "timestamp"
    assert [key["Name"] for key in raw["invoice"]["PartitionKeys"]] == ["month"]
    import psycopg

    with psycopg.connect(chinook.url("chinook")) as db:
        for table in tables:
            truth = db.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert [int(r["n"]) for r in running.sql(f"SELECT count(*) AS n FROM chinook_raw.{table}")] == list(truth)  # type: ignore[arg-type]
        country = "SELECT billing_country, sum(total) AS total FROM {} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3"
        truth_rows = [(c, str(t)) for c, t in db.execute(country.format("invoice")).fetchall()]
        lake_rows = [(r["billing_country"], r["total"]) for r in running.sql(country.format("chinook_raw.invoice"))]
        assert lake_rows == truth_rows


def test_uk_covid(running: Journey) -> None:
    files = sorted(COVID.glob("*.json"))
    if not files:
        pytest.skip(f"LOUD SKIP: {COVID} is absent, the COVID journey did not run")
    s3 = running.boto3("s3")
    s3.create_bucket(Bucket="covid-lake")
    for file in files:
        s3.upload_file(str(file), "covid-lake", f"uk_covid/{file.stem}/{file.name}")
    running.boto3("glue").create_database(DatabaseInput={"Name": "covid"})
    found = crawl(running, "covid", "covid", S3Targets=[{"Path": "s3://covid-lake/uk_covid/"}])
    assert set(found) == {file.stem.replace("-", "_") for file in files}
    for file in files:
        name, records = file.stem.replace("-", "_"), read_json_lines(file)
        assert list(columns(found[name])) == [key.lower() for key in records[0]]
        assert set(columns(found[name]).values()) == {"string"}
        counted = running.sql(f"SELECT count(*) AS n FROM covid.{name}")
        assert int(counted[0]["n"]) == len(records)
    cases = read_json_lines(COVID / "covid-19-cases-uk.json")
    answer = running.sql(
        'SELECT country, count(*) AS n FROM covid."covid_19_cases_uk" GROUP BY country ORDER BY country'
    )
    truth: dict[str, int] = {}
    for record in cases:
        truth[record["Country"]] = truth.get(record["Country"], 0) + 1
    assert {row["country"]: int(row["n"]) for row in answer} == truth


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def test_aws_cli_counts_the_same(running: Journey) -> None:
    """The lake's files are files: `wc -l` and Athena agree."""
    if not COVID.exists():
        pytest.skip(f"LOUD SKIP: {COVID} is absent")
    file = running.folder / ".millpond/s3/covid-lake/uk_covid/covid-19-totals-uk/covid-19-totals-uk.json"
    lines = subprocess.run(["grep", "-c", "Date", str(file)], capture_output=True, text=True).stdout.strip()
    assert running.sql("SELECT count(*) AS n FROM covid.covid_19_totals_uk")[0]["n"] == lines
