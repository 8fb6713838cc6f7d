"""The Data Catalog through boto3."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

Aws = Callable[[str], Any]


@pytest.fixture
def glue(aws: Aws) -> Iterator[Any]:
    client = aws("glue")
    client.create_database(DatabaseInput={"Name": "shop", "Description": "of the tests"})
    yield client
    client.delete_database(Name="shop")


def table(name: str, **members: Any) -> dict[str, Any]:
    storage = {"Columns": [{"Name": "id", "Type": "int"}], "Location": f"s3://b/{name}/"}
    return {"Name": name, "StorageDescriptor": storage, **members}


def code(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["Error"]["Code"])


def test_databases_and_tables(glue: Any) -> None:
    glue.create_table(DatabaseName="shop", TableInput=table("Orders", Parameters={"classification": "csv"}))
    found = glue.get_table(DatabaseName="shop", Name="orders")["Table"]
    assert found["StorageDescriptor"]["Columns"] == [{"Name": "id", "Type": "int"}]
    assert found["CreateTime"].tzinfo is not None and found["VersionId"] == "0"
    assert [d["Name"] for d in glue.get_paginator("get_databases").paginate().search("DatabaseList[]")] == ["shop"]
    assert glue.get_database(Name="shop")["Database"]["Description"] == "of the tests"


def test_modelled_errors(glue: Any) -> None:
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_table(DatabaseName="shop", Name="none")
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_database(DatabaseInput={"Name": "shop"})
    with pytest.raises(glue.exceptions.InvalidInputException):
        glue.get_tables(DatabaseName="shop", NextToken="nonsense")
    glue.create_table(DatabaseName="shop", TableInput=table("t"))
    with pytest.raises(glue.exceptions.ConcurrentModificationException):
        glue.update_table(DatabaseName="shop", TableInput=table("t"), VersionId="7")


def test_what_is_not_carried_says_so(glue: Any) -> None:
    assert code(glue.list_table_optimizer_runs, CatalogId="000000000000", DatabaseName="shop", TableName="t",
                Type="compaction") == "NotImplemented"  # fmt: skip
    assert code(glue.create_ml_transform, Name="m", InputRecordTables=[], Parameters={"TransformType": "FIND_MATCHES"},
                Role="r") == "NotImplemented"  # fmt: skip
    # A use of an operation that is carried: an error that its model knows, which says what is not carried.
    targets = {"HudiTargets": [{"Paths": ["s3://lake/h/"]}]}
    refusal = r"Millpond does not carry this use of glue:CreateCrawler yet: HudiTargets: .+ See docs/parity.md."
    with pytest.raises(glue.exceptions.InvalidInputException, match=refusal):
        glue.create_crawler(Name="c", Role="r", DatabaseName="shop", Targets=targets)
    ray = {"Name": "glueray", "ScriptLocation": "s3://lake/j.py"}
    refusal = "this use of glue:CreateJob yet: Command.Name glueray: Ray is not there"
    with pytest.raises(glue.exceptions.InvalidInputException, match=refusal):
        glue.create_job(Name="j", Role="r", Command=ray)


def test_ten_thousand_partitions_page_by_page(glue: Any) -> None:
    keys = [{"Name": "year", "Type": "int"}, {"Name": "n", "Type": "int"}]
    glue.create_table(DatabaseName="shop", TableInput=table("big", PartitionKeys=keys))
    for start in range(0, 10_000, 100):
        given = [{"Values": [str(2000 + n % 25), str(n)]} for n in range(start, start + 100)]
        assert not glue.batch_create_partition(DatabaseName="shop", TableName="big", PartitionInputList=given)["Errors"]
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName="shop", TableName="big")
    found = {tuple(p["Values"]) for page in pages for p in page["Partitions"]}
    assert len(found) == 10_000
    pages = glue.get_paginator("get_partitions").paginate(
        DatabaseName="shop", TableName="big", Expression="year = 2024 AND n BETWEEN 100 AND 1000"
    )
    some = [p["Values"] for page in pages for p in page["Partitions"]]
    assert some and all(year == "2024" and 100 <= int(n) <= 1000 for year, n in some)
    assert len(some) == len([n for n in range(100, 1001) if n % 25 == 24])


def test_an_iceberg_table_has_metadata_in_s3(glue: Any, aws: Aws) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="icy")
    given = {**table("events"), "Parameters": {"a": "b"}}
    given["StorageDescriptor"] = {**given["StorageDescriptor"], "Location": "s3://icy/events/"}
    made = {"IcebergInput": {"MetadataOperation": "CREATE", "Version": "2"}}
    glue.create_table(DatabaseName="shop", TableInput=given, OpenTableFormatInput=made)
    found = glue.get_table(DatabaseName="shop", Name="events")["Table"]
    assert (found["TableType"], found["Parameters"]["table_type"]) == ("EXTERNAL_TABLE", "ICEBERG")
    bucket, _, key = found["Parameters"]["metadata_location"].removeprefix("s3://").partition("/")
    metadata = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert (metadata["format-version"], metadata["location"]) == (2, "s3://icy/events")
    assert metadata["schemas"][0]["fields"] == [{"id": 1, "name": "id", "required": False, "type": "int"}]
    for wrong in ({"Version": "9"}, {"Version": "2"}):
        with pytest.raises(glue.exceptions.ClientError):
            glue.create_table(
                DatabaseName="shop",
                TableInput={**given, "Parameters": {"table_type": "ICEBERG"}},
                OpenTableFormatInput={"IcebergInput": {"MetadataOperation": "CREATE", **wrong}},
            )
    own = {
        "Location": "s3://icy/own",
        "Schema": {"Fields": [{"Id": 1, "Name": "at", "Type": "timestamptz", "Required": True}]},
        "PartitionSpec": {"Fields": [{"SourceId": 1, "Transform": "day", "Name": "at_day"}]},
    }
    asked = {"IcebergInput": {"MetadataOperation": "CREATE", "CreateIcebergTableInput": own}}
    glue.create_table(DatabaseName="shop", Name="own", OpenTableFormatInput=asked)
    found = glue.get_table(DatabaseName="shop", Name="own")["Table"]
    assert [(c["Name"], c["Type"]) for c in found["StorageDescriptor"]["Columns"]] == [("at", "timestamp")]
    own["PartitionSpec"]["Fields"][0]["SourceId"] = 7  # type: ignore[index]
    assert (
        code(glue.create_table, DatabaseName="shop", Name="no", OpenTableFormatInput=asked) == "InvalidInputException"
    )


def test_two_clients_lose_nothing_silently(glue: Any, aws: Aws) -> None:
    """Each adds a parameter to what it read, twenty times: with the VersionId that it read, none is overwritten."""
    glue.create_table(DatabaseName="shop", TableInput=table("counter"))
    refusals: list[str] = []

    def add(name: str) -> None:
        for number in range(20):
            while True:
                read = glue.get_table(DatabaseName="shop", Name="counter")["Table"]
                parameters = {**read.get("Parameters", {}), f"{name}{number}": "x"}
                try:
                    glue.update_table(
                        DatabaseName="shop",
                        TableInput=table("counter", Parameters=parameters),
                        VersionId=read["VersionId"],
                    )
                    break
                except glue.exceptions.ConcurrentModificationException:
                    refusals.append(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, "abcd"))
    found = glue.get_table(DatabaseName="shop", Name="counter")["Table"]
    assert len(found["Parameters"]) == 80 and found["VersionId"] == "80"
    versions = glue.get_paginator("get_table_versions").paginate(DatabaseName="shop", TableName="counter")
    assert len([v for page in versions for v in page["TableVersions"]]) == 81


def test_a_table_is_measured(glue: Any, aws: Aws) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="measured")
    lines = ["1,a,1.50,2024-01-01,true", "2,,2.25,2024-02-01,false", "3,ccc,,,true"]
    s3.put_object(Bucket="measured", Key="t/a.csv", Body="\n".join(lines).encode())
    types = {"id": "bigint", "s": "string", "price": "double", "day": "string", "tags": "array<string>"}
    given = table("measured")
    given["StorageDescriptor"] = {
        "Columns": [{"Name": name, "Type": kind} for name, kind in types.items()],
        "Location": "s3://measured/t/",
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"field.delim": ","},
        },
    }
    glue.create_table(DatabaseName="shop", TableInput=given)
    where = {"DatabaseName": "shop", "TableName": "measured"}
    assert code(glue.stop_column_statistics_task_run, **where) == "ColumnStatisticsTaskNotRunningException"
    assert (
        code(glue.start_column_statistics_task_run, **where, Role="r", ColumnNameList=["no"]) == "InvalidInputException"
    )
    run = glue.start_column_statistics_task_run(**where, Role="r")["ColumnStatisticsTaskRunId"]
    deadline = time.monotonic() + 120
    while True:
        found = glue.get_column_statistics_task_run(ColumnStatisticsTaskRunId=run)["ColumnStatisticsTaskRun"]
        if found["Status"] not in ("STARTING", "RUNNING"):
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found["Status"] == "SUCCEEDED", found.get("ErrorMessage")
    assert found["ColumnNameList"] == ["id", "s", "price", "day"]  # an array has no statistics
    answer = glue.get_column_statistics_for_table(**where, ColumnNames=["id", "s", "price"])["ColumnStatisticsList"]
    data = {one["ColumnName"]: next(v for k, v in one["StatisticsData"].items() if k != "Type") for one in answer}
    assert data["id"] == {"MinimumValue": 1, "MaximumValue": 3, "NumberOfNulls": 0, "NumberOfDistinctValues": 3}
    assert (data["price"]["MaximumValue"], data["price"]["NumberOfNulls"]) == (2.25, 1)
    assert data["s"]["MaximumLength"] == 3
    assert glue.list_column_statistics_task_runs()["ColumnStatisticsTaskRunIds"] == [run]
    assert len(glue.get_column_statistics_task_runs(**where)["ColumnStatisticsTaskRuns"]) == 1
    assert s3.list_objects_v2(Bucket="aws-glue-assets-000000000000-us-east-1")["KeyCount"] == 0
