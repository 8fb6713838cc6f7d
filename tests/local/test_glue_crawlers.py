"""Crawlers through boto3: over S3, over a real PostgreSQL, over data that nobody here made."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millpond.cli import run
from millpond.local.glue.crawl_runs import CrawlRuns
from millpond.local.service import Endpoint

Aws = Callable[[str], Any]
ROLE = "arn:aws:iam::000000000000:role/crawl"


@pytest.fixture
def glue(aws: Aws) -> Iterator[Any]:
    client = aws("glue")
    yield client
    for name in client.list_crawlers()["CrawlerNames"]:
        wait(client, name)
        client.delete_crawler(Name=name)
    for database in client.get_databases()["DatabaseList"]:
        client.delete_database(Name=database["Name"])


@pytest.fixture
def lake(aws: Aws) -> Callable[[str, str | bytes], None]:
    """`lake(key, text)` puts an object into the bucket `lake`."""
    s3 = aws("s3")
    if "lake" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="lake")

    def put(key: str, body: str | bytes) -> None:
        s3.put_object(Bucket="lake", Key=key, Body=body.encode() if isinstance(body, str) else body)

    return put


def wait(glue: Any, name: str) -> dict[str, Any]:
    """The crawler, once it is READY: as a flow of the users waits."""
    deadline = time.monotonic() + 120
    while (found := glue.get_crawler(Name=name)["Crawler"])["State"] != "READY":
        assert time.monotonic() < deadline, "the crawl does not end"
        time.sleep(0.005)
    return found  # type: ignore[no-any-return]


def crawl(glue: Any, name: str) -> dict[str, Any]:
    glue.start_crawler(Name=name)
    return wait(glue, name)["LastCrawl"]  # type: ignore[no-any-return]


def columns(glue: Any, database: str) -> dict[str, dict[str, str]]:
    """Table -> column -> type."""
    tables = glue.get_paginator("get_tables").paginate(DatabaseName=database).search("TableList[]")
    return {t["Name"]: {c["Name"]: c["Type"] for c in t["StorageDescriptor"]["Columns"]} for t in tables}


def test_the_life_of_a_crawler(glue: Any, lake: Any, aws: Aws) -> None:
    lake("life/a/x.json", '{"id": 1}')
    glue.create_crawler(
        Name="life", Role=ROLE, DatabaseName="life_db", Targets={"S3Targets": [{"Path": "s3://lake/life/"}]}
    )
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_crawler(Name="life", Role=ROLE, Targets={"S3Targets": [{"Path": "s3://lake/"}]})
    with pytest.raises(glue.exceptions.CrawlerNotRunningException):
        glue.stop_crawler(Name="life")
    shown = glue.get_crawler(Name="life")["Crawler"]
    assert (shown["State"], shown["Version"], "LastCrawl" in shown) == ("READY", 1, False)
    assert shown["SchemaChangePolicy"] == {
        "UpdateBehavior": "UPDATE_IN_DATABASE",
        "DeleteBehavior": "DEPRECATE_IN_DATABASE",
    }

    last = crawl(glue, "life")
    assert (last["Status"], last["LogGroup"], last["LogStream"]) == ("SUCCEEDED", "/aws-glue/crawlers", "life")
    assert columns(glue, "life_db") == {"a": {"id": "int"}}
    (run,) = glue.list_crawls(CrawlerName="life")["Crawls"]
    assert (
        run["State"] == "COMPLETED" and run["EndTime"] >= run["StartTime"] and run["CrawlId"] == last["MessagePrefix"]
    )
    (metrics,) = glue.get_crawler_metrics(CrawlerNameList=["life"])["CrawlerMetricsList"]
    assert (metrics["TablesCreated"], metrics["TimeLeftSeconds"], metrics["StillEstimating"]) == (1, 0.0, False)
    events = aws("logs").get_log_events(logGroupName="/aws-glue/crawlers", logStreamName="life")["events"]
    assert any("Created table a in database life_db" in event["message"] for event in events)

    crawl(glue, "life")
    assert len(glue.list_crawls(CrawlerName="life")["Crawls"]) == 2
    assert [t["VersionId"] for t in glue.get_tables(DatabaseName="life_db")["TableList"]] == ["1"]

    glue.update_crawler(Name="life", Description="new", TablePrefix="p_")
    shown = glue.get_crawler(Name="life")["Crawler"]
    assert (shown["Description"], shown["TablePrefix"], shown["Version"]) == ("new", "p_", 2)
    glue.delete_crawler(Name="life")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.start_crawler(Name="life")


def test_the_command_line_runs_and_explains(
    glue: Any, lake: Any, endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    (endpoint.data / "endpoint.json").write_text(json.dumps({"pid": 0, "port": endpoint.port, "started": 0}))
    data = ["--data", str(endpoint.data)]
    lake("why/day=1/x.csv", "id,n\n1,2\n3,4\n")
    targets = {"S3Targets": [{"Path": "s3://lake/why/"}]}
    glue.create_crawler(Name="why", Role=ROLE, DatabaseName="why_db", Targets=targets)
    assert run(["crawl", "explain", "why", *data]) == 3 and "--dry-run" in capsys.readouterr().err
    assert run(["crawl", "explain", "why", "--dry-run", *data]) == 0
    shown = capsys.readouterr().out
    assert "why  would be created  csv  s3://lake/why/" in shown and "day from the names of k=v folders" in shown
    assert glue.get_crawler(Name="why")["Crawler"].get("LastCrawl") is None
    assert run(["crawl", "run", "why", *data]) == 0 and "tables ADD: 1" in capsys.readouterr().out
    assert run(["crawl", "explain", "why", "--json", *data]) == 0
    assert json.loads(capsys.readouterr().out)["tables"][0]["said"] == "created"
    assert run(["crawl", "list", *data]) == 0 and "SUCCEEDED" in capsys.readouterr().out
    assert run(["crawl", "run", "nobody", *data]) == 3


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Crawls stand still in the middle of their listing until this is set: a quick machine is done at once."""
    go, listed = threading.Event(), CrawlRuns._objects

    def objects(runs: CrawlRuns, bucket: str, prefix: str) -> Iterable[Any]:
        for number, found in enumerate(listed(runs, bucket, prefix)):
            if number == 1:
                assert go.wait(120)
            yield found

    monkeypatch.setattr(CrawlRuns, "_objects", objects)
    yield go
    go.set()


def test_running_is_seen_at_once_and_a_second_start_is_refused(glue: Any, lake: Any, held: threading.Event) -> None:
    for n in range(3):
        lake(f"busy/{n}/x.json", f'{{"id": 1, "n": {n}}}')
    glue.create_crawler(
        Name="busy", Role=ROLE, DatabaseName="busy_db", Targets={"S3Targets": [{"Path": "s3://lake/busy/"}]}
    )
    glue.start_crawler(Name="busy")
    assert glue.get_crawler(Name="busy")["Crawler"]["State"] == "RUNNING"
    with pytest.raises(glue.exceptions.CrawlerRunningException):
        glue.start_crawler(Name="busy")
    with pytest.raises(glue.exceptions.CrawlerRunningException):
        glue.delete_crawler(Name="busy")
    assert glue.get_crawler_metrics(CrawlerNameList=["busy"])["CrawlerMetricsList"][0]["TimeLeftSeconds"] > 0
    held.set()
    assert wait(glue, "busy")["LastCrawl"]["Status"] == "SUCCEEDED"


def test_a_stopped_crawl_is_cancelled(glue: Any, lake: Any, held: threading.Event) -> None:
    for n in range(3):
        lake(f"busy/{n}/x.json", f'{{"id": 1, "n": {n}}}')
    glue.create_crawler(
        Name="stop", Role=ROLE, DatabaseName="stop_db", Targets={"S3Targets": [{"Path": "s3://lake/busy/"}]}
    )
    glue.start_crawler(Name="stop")
    glue.stop_crawler(Name="stop")
    assert glue.get_crawler(Name="stop")["Crawler"]["State"] == "STOPPING"
    held.set()
    assert wait(glue, "stop")["LastCrawl"]["Status"] == "CANCELLED"
    assert [run["State"] for run in glue.list_crawls(CrawlerName="stop")["Crawls"]] == ["STOPPED"]


@pytest.mark.parametrize(
    "members, said",
    [
        ({"Targets": {}}, "At least one"),
        ({"Targets": {"S3Targets": [{"Path": "http://x/y"}]}}, "S3 path"),
        ({"Configuration": "{"}, "not JSON"),
        ({"Configuration": '{"Version": 2.0}'}, "Version"),
        ({"Configuration": '{"Version": 1.0, "Grouping": {"TableGroupingPolicy": "X"}}'}, "TableGroupingPolicy"),
        ({"Configuration": '{"Version": 1.0, "Nonsense": {}}'}, "Nonsense"),
        ({"Classifiers": ["none"]}, "none"),
        ({"Schedule": "every day"}, "schedule"),
        (
            {
                "RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
                "SchemaChangePolicy": {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"},
            },
            "LOG",
        ),
        ({"Targets": {"S3Targets": [{"Path": "s3://lake/", "Exclusions": ["{a"]}]}}, "group"),
        ({"Targets": {"JdbcTargets": [{"ConnectionName": "c", "Path": "%/x"}]}}, "include path"),
    ],
)
def test_a_crawler_that_cannot_work_is_refused(glue: Any, members: dict[str, Any], said: str) -> None:
    given = {"Name": "bad", "Role": ROLE, "Targets": {"S3Targets": [{"Path": "s3://lake/"}]}} | members
    with pytest.raises(glue.exceptions.InvalidInputException, match=said):
        glue.create_crawler(**given)


def test_a_policy_that_is_not_one_is_refused(glue: Any) -> None:
    targets = {"S3Targets": [{"Path": "s3://lake/"}]}
    with pytest.raises(
        glue.exceptions.ClientError, match=r"ValidationException.*enum value set: \[LOG, UPDATE_IN_DATAB"
    ):
        glue.create_crawler(Name="bad", Role=ROLE, Targets=targets, SchemaChangePolicy={"UpdateBehavior": "X"})


def test_targets_that_are_not_carried_are_refused(glue: Any) -> None:
    for kind, target in (("MongoDBTargets", {"Path": "db/t"}), ("HudiTargets", {"Paths": ["s3://lake/"]})):
        with pytest.raises(glue.exceptions.ClientError, match=kind):
            glue.create_crawler(Name="bad", Role=ROLE, Targets={kind: [target]})


def test_a_dynamodb_table(glue: Any, aws: Aws) -> None:
    dynamodb = aws("dynamodb")
    dynamodb.create_table(
        TableName="Orders",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}, {"AttributeName": "line", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "Id", "AttributeType": "S"},
            {"AttributeName": "line", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    targets = {"DynamoDBTargets": [{"Path": "Orders", "scanAll": True, "scanRate": 0.5}]}
    glue.create_crawler(Name="dyn", Role=ROLE, DatabaseName="dyn", Targets=targets)
    assert crawl(glue, "dyn")["Status"] == "SUCCEEDED"
    assert columns(glue, "dyn") == {"orders": {"id": "string", "line": "bigint"}}
    items = [
        {"Id": {"S": "a"}, "line": {"N": "1"}, "price": {"N": "2"}, "tags": {"SS": ["x"]}, "ok": {"BOOL": True}},
        {"Id": {"S": "a"}, "line": {"N": "2"}, "price": {"N": "2.5"}, "to": {"M": {"Zip": {"S": "1"}}}, "l": {"L": []}},
    ]
    for item in items:
        dynamodb.put_item(TableName="Orders", Item=item)
    assert crawl(glue, "dyn")["Status"] == "SUCCEEDED"
    assert columns(glue, "dyn")["orders"] == {
        **{"id": "string", "line": "bigint", "price": "double", "tags": "array<string>", "ok": "boolean"},
        **{"to": "struct<Zip:string>", "l": "array<string>"},
    }
    table = glue.get_table(DatabaseName="dyn", Name="orders")["Table"]
    assert table["StorageDescriptor"]["Location"].endswith("table/Orders")
    assert (table["Parameters"]["classification"], table["Parameters"]["hashKey"]) == ("dynamodb", "Id")
    dynamodb.delete_table(TableName="Orders")
    last = crawl(glue, "dyn")
    assert last["Status"] == "FAILED" and "The DynamoDB table Orders" in last["ErrorMessage"]


def test_a_crawler_makes_a_partition_index(glue: Any, lake: Any) -> None:
    lake("indexed/year=2024/month=1/x.csv", "id,n\n1,2\n3,4\n")
    lake("indexed/year=2024/month=2/x.csv", "id,n\n1,2\n3,4\n")
    targets = {"S3Targets": [{"Path": "s3://lake/indexed/"}]}
    glue.create_crawler(Name="index", Role=ROLE, DatabaseName="index_db", Targets=targets)
    off = '{"Version": 1.0, "CreatePartitionIndex": false}'
    glue.create_crawler(Name="none", Role=ROLE, DatabaseName="none_db", Targets=targets, Configuration=off)
    crawl(glue, "index")
    crawl(glue, "none")
    (index,) = glue.get_partition_indexes(DatabaseName="index_db", TableName="indexed")["PartitionIndexDescriptorList"]
    assert (index["IndexStatus"], [key["Name"] for key in index["Keys"]]) == ("ACTIVE", ["year", "month"])
    assert not glue.get_partition_indexes(DatabaseName="none_db", TableName="indexed")["PartitionIndexDescriptorList"]


def test_schedules(glue: Any, lake: Any) -> None:
    given = {"Role": ROLE, "DatabaseName": "d", "Targets": {"S3Targets": [{"Path": "s3://lake/life/"}]}}
    glue.create_crawler(Name="later", Schedule="cron(15 12 * * ? *)", **given)
    assert glue.get_crawler(Name="later")["Crawler"]["Schedule"] == {
        "ScheduleExpression": "cron(15 12 * * ? *)",
        "State": "SCHEDULED",
    }
    with pytest.raises(glue.exceptions.SchedulerRunningException):
        glue.start_crawler_schedule(CrawlerName="later")
    glue.stop_crawler_schedule(CrawlerName="later")
    assert glue.get_crawler(Name="later")["Crawler"]["Schedule"]["State"] == "NOT_SCHEDULED"
    with pytest.raises(glue.exceptions.SchedulerNotRunningException):
        glue.stop_crawler_schedule(CrawlerName="later")
    glue.start_crawler_schedule(CrawlerName="later")
    glue.update_crawler_schedule(CrawlerName="later", Schedule="cron(0 0 1 1 ? *)")
    assert glue.get_crawler(Name="later")["Crawler"]["Schedule"]["ScheduleExpression"] == "cron(0 0 1 1 ? *)"
    glue.create_crawler(Name="never", **given)
    with pytest.raises(glue.exceptions.NoScheduleException):
        glue.start_crawler_schedule(CrawlerName="never")


def test_every_schema_of_a_real_database(glue: Any, postgres: Any) -> None:
    postgres.execute(
        "CREATE SCHEMA crm",
        "CREATE SCHEMA sales",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE DOMAIN cents AS numeric(12,2)",
        """CREATE TABLE crm.customers (id bigint PRIMARY KEY, small smallint, n integer, name varchar(80), note text,
           born date, at timestamptz, seen timestamp, ok boolean, balance numeric(10,2), free numeric, r real,
           d double precision, raw bytea, u uuid, doc jsonb, tags text[], m mood, price cents, "Mixed" int)""",
        "COMMENT ON COLUMN crm.customers.name IS 'as written'",
        'CREATE TABLE sales."Order Items" (id int)',
        "CREATE TABLE sales.orders (id int, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE sales.orders_2024 PARTITION OF sales.orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')",
        "CREATE TABLE crm.hr_us (id int)",
        "CREATE VIEW sales.totals AS SELECT count(*) AS n FROM sales.orders",
    )
    properties = {"USERNAME": postgres.user, "PASSWORD": postgres.password}
    glue.create_connection(
        ConnectionInput={
            "Name": "shop",
            "ConnectionType": "JDBC",
            "ConnectionProperties": {"JDBC_CONNECTION_URL": postgres.jdbc_url, **properties},
        }
    )
    target = {"ConnectionName": "shop", "Path": f"{postgres.name}/%", "EnableAdditionalMetadata": ["COMMENTS"]}
    target |= {"Exclusions": ["hr*"]}
    glue.create_crawler(Name="pg", Role=ROLE, DatabaseName="pg", TablePrefix="src_", Targets={"JdbcTargets": [target]})
    assert crawl(glue, "pg")["Status"] == "SUCCEEDED"
    found, db = columns(glue, "pg"), postgres.name
    assert sorted(found) == [
        f"src_{db}_crm_customers",
        f"src_{db}_sales_order_items",
        f"src_{db}_sales_orders",
        f"src_{db}_sales_totals",
    ]
    assert found[f"src_{db}_crm_customers"] == {
        "id": "bigint",
        "small": "smallint",
        "n": "int",
        "name": "string",
        "note": "string",
        "born": "date",
        "at": "timestamp",
        "seen": "timestamp",
        "ok": "boolean",
        "balance": "decimal(10,2)",
        "free": "decimal(38,18)",
        "r": "float",
        "d": "double",
        "raw": "binary",
        "u": "string",
        "doc": "string",
        "tags": "array<string>",
        "m": "string",
        "price": "decimal(12,2)",
        "mixed": "int",
    }
    table = glue.get_table(DatabaseName="pg", Name=f"src_{db}_crm_customers")["Table"]
    assert table["StorageDescriptor"]["Location"] == f"{db}.crm.customers"
    assert table["StorageDescriptor"]["SerdeInfo"] == {"Parameters": {}}
    assert table["StorageDescriptor"]["Columns"][3]["Comment"] == "as written"
    expected = {
        "classification": "postgresql",
        "connectionName": "shop",
        "typeOfData": "table",
        "compressionType": "none",
        "UPDATED_BY_CRAWLER": "pg",
    }
    assert expected.items() <= table["Parameters"].items()
    view = glue.get_table(DatabaseName="pg", Name=f"src_{db}_sales_totals")["Table"]
    assert view["Parameters"] == expected | {
        "typeOfData": "view",
        "CrawlerSchemaSerializerVersion": "1.0",
        "CrawlerSchemaDeserializerVersion": "1.0",
    }
    assert view["StorageDescriptor"] == {
        "Columns": [{"Name": "n", "Type": "bigint"}],
        "Location": f"{db}.sales.totals",
        "Compressed": False,
        "NumberOfBuckets": -1,
        "SerdeInfo": {"Parameters": {}},
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": view["Parameters"],
        "StoredAsSubDirectories": False,
    }
    assert (view["Owner"], view["Retention"], view["TableType"]) == ("owner", 0, "EXTERNAL_TABLE")
    assert view["PartitionKeys"] == [] and view["CreatedBy"].endswith("assumed-role/crawl/AWS-Crawler")

    # one schema, without the views; a table that is gone is deprecated
    postgres.execute("DROP VIEW sales.totals", "ALTER TABLE sales.orders ADD COLUMN extra text")
    target = {"ConnectionName": "shop", "Path": f"{postgres.name}/sales/%", "Exclusions": ["Order*"]}
    glue.update_crawler(Name="pg", Targets={"JdbcTargets": [target]})
    crawl(glue, "pg")
    assert columns(glue, "pg")[f"src_{db}_sales_orders"] == {"id": "int", "day": "date", "extra": "string"}
    tables = {t["Name"]: t for t in glue.get_tables(DatabaseName="pg")["TableList"]}
    gone = {name for name, table in tables.items() if "DEPRECATED_BY_CRAWLER" in table["Parameters"]}
    assert gone == {f"src_{db}_sales_totals", f"src_{db}_sales_order_items"}


def test_a_database_that_is_away_fails_the_crawl_with_its_place(glue: Any, postgres: Any) -> None:
    properties = {"USERNAME": postgres.user, "PASSWORD": "hunter2-wrong", "JDBC_CONNECTION_URL": postgres.jdbc_url}
    glue.create_connection(
        ConnectionInput={"Name": "away", "ConnectionType": "JDBC", "ConnectionProperties": properties}
    )
    targets = {"JdbcTargets": [{"ConnectionName": "away", "Path": f"{postgres.name}/%"}]}
    glue.create_crawler(Name="away", Role=ROLE, DatabaseName="away", Targets=targets)
    last = crawl(glue, "away")
    assert last["Status"] == "FAILED" and f"127.0.0.1:{postgres.port}" in last["ErrorMessage"]
    assert "hunter2" not in last["ErrorMessage"]


def test_real_data_in_folders_of_its_own(glue: Any, lake: Any, shared_data: Callable[[str], Path]) -> None:
    for path in sorted(shared_data("uk_covid").glob("*.json")):
        lake(f"covid/{path.stem}/{path.name}", path.read_bytes())
    glue.create_crawler(
        Name="covid", Role=ROLE, DatabaseName="covid", Targets={"S3Targets": [{"Path": "s3://lake/covid/"}]}
    )
    crawl(glue, "covid")
    found = columns(glue, "covid")
    assert sorted(found) == [f"covid_19_{name}_uk" for name in ("cases", "indicators", "tests", "totals")]
    assert list(found["covid_19_cases_uk"]) == ["date", "country", "areacode", "area", "totalcases"]
    assert list(found["covid_19_totals_uk"]) == ["date", "tests", "confirmedcases", "deaths"]
    assert set(found["covid_19_indicators_uk"].values()) == {"string"}
    totals = glue.get_table(DatabaseName="covid", Name="covid_19_totals_uk")["Table"]["Parameters"]
    assert (totals["recordCount"], totals["classification"]) == ("190", "json")


def test_real_data_under_one_prefix(glue: Any, lake: Any, shared_data: Callable[[str], Path]) -> None:
    for path in sorted(shared_data("uk_covid").glob("*.json")):
        lake(f"flat/{path.name}", path.read_bytes())
    glue.create_crawler(
        Name="flat", Role=ROLE, DatabaseName="flat", Targets={"S3Targets": [{"Path": "s3://lake/flat/"}]}
    )
    crawl(glue, "flat")
    found = columns(glue, "flat")
    assert sorted(found) == [f"covid_19_{name}_uk_json" for name in ("cases", "indicators", "tests", "totals")]
    assert list(found["covid_19_indicators_uk_json"]) == ["date", "country", "indicator", "value"]
