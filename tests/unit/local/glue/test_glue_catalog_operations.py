"""Databases, tables, versions and partitions, operation by operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millpond.local.glue.catalog import matching

Glue = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def table(name: str, **members: Any) -> dict[str, Any]:
    storage = {"Columns": [{"Name": "id", "Type": "int"}], "Location": f"s3://b/{name}/"}
    return {"Name": name, "StorageDescriptor": storage, **members}


@pytest.fixture
def shop(glue: Glue) -> Glue:
    glue("CreateDatabase", DatabaseInput={"Name": "Shop"})
    keys = [{"Name": "year", "Type": "string"}, {"Name": "month", "Type": "int"}]
    glue("CreateTable", DatabaseName="shop", TableInput=table("Orders", PartitionKeys=keys))
    return glue


def test_names_fold_to_lower_case(shop: Glue) -> None:
    assert shop("GetDatabase", Name="SHOP")["Database"]["Name"] == "shop"
    found = shop("GetTable", DatabaseName="Shop", Name="ORDERS")["Table"]
    assert (found["Name"], found["DatabaseName"], found["VersionId"], found["Retention"]) == ("orders", "shop", "0", 0)


def test_what_is_missing_or_there_twice(shop: Glue, refused: Refused) -> None:
    assert refused("CreateDatabase", DatabaseInput={"Name": "shop"}) == "AlreadyExistsException"
    assert refused("CreateTable", DatabaseName="shop", TableInput=table("orders")) == "AlreadyExistsException"
    assert refused("CreateTable", DatabaseName="none", TableInput=table("x")) == "EntityNotFoundException"
    assert refused("GetDatabase", Name="none") == "EntityNotFoundException"
    assert refused("GetTable", DatabaseName="shop", Name="none") == "EntityNotFoundException"
    assert refused("DeleteTable", DatabaseName="shop", Name="none") == "EntityNotFoundException"
    assert refused("DeleteDatabase", Name="none") == "EntityNotFoundException"
    assert refused("GetTables", DatabaseName="none") == "EntityNotFoundException"
    assert refused("UpdateTable", DatabaseName="shop", TableInput=table("none")) == "EntityNotFoundException"
    assert refused("GetDatabase", Name="shop", CatalogId="123456789012") == "EntityNotFoundException"
    assert refused("GetTables", DatabaseName="shop", NextToken="@@") == "InvalidInputException"


def test_a_column_named_twice_is_refused(shop: Glue, refused: Refused) -> None:
    columns = [{"Name": "a", "Type": "int"}, {"Name": "A", "Type": "int"}]
    given = {"Name": "t", "StorageDescriptor": {"Columns": columns}}
    assert refused("CreateTable", DatabaseName="shop", TableInput=given) == "InvalidInputException"


def test_tables_are_listed_in_pages(shop: Glue) -> None:
    for number in range(5):
        shop("CreateTable", DatabaseName="shop", TableInput=table(f"t{number}"))
    first = shop("GetTables", DatabaseName="shop", MaxResults=4)
    rest = shop("GetTables", DatabaseName="shop", MaxResults=4, NextToken=first["NextToken"])
    names = [t["Name"] for t in first["TableList"] + rest["TableList"]]
    assert names == ["orders", "t0", "t1", "t2", "t3", "t4"] and "NextToken" not in rest
    first = shop("GetTables", DatabaseName="shop", Expression="t.*", MaxResults=3)
    rest = shop("GetTables", DatabaseName="shop", Expression="t.*", MaxResults=3, NextToken=first["NextToken"])
    assert [t["Name"] for t in first["TableList"] + rest["TableList"]] == ["t0", "t1", "t2", "t3", "t4"]


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("sales", ["sales"]),
        ("sales.*", ["sales", "sales_2024"]),
        ("sales*", ["sales", "sales_2024"]),
        ("*sales*", ["my_sales", "sales", "sales_2024"]),
        ("SALES", ["sales"]),
        ("sales|stock", ["sales", "stock"]),
        ("s[at].+", ["sales", "sales_2024", "stock"]),
        ("nothing", []),
    ],
)
def test_expressions_of_get_tables(expression: str, expected: list[str]) -> None:
    assert matching(["my_sales", "sales", "sales_2024", "stock"], expression) == expected


def test_a_broken_expression_is_refused(shop: Glue, refused: Refused) -> None:
    assert refused("GetTables", DatabaseName="shop", Expression="(") == "InvalidInputException"


def test_versions(shop: Glue, refused: Refused) -> None:
    for text in ("one", "two"):
        shop("UpdateTable", DatabaseName="shop", TableInput=table("orders", Description=text))
    shop("UpdateTable", DatabaseName="shop", TableInput=table("orders", Description="three"), SkipArchive=True)
    found = shop("GetTableVersions", DatabaseName="shop", TableName="orders")["TableVersions"]
    assert [(v["VersionId"], v["Table"].get("Description")) for v in found] == [
        ("3", "three"),
        ("1", "one"),
        ("0", None),
    ]
    one = shop("GetTableVersion", DatabaseName="shop", TableName="orders", VersionId="1")["TableVersion"]
    assert one["Table"]["Description"] == "one"
    shop("DeleteTableVersion", DatabaseName="shop", TableName="orders", VersionId="0")
    wanted = {"DatabaseName": "shop", "TableName": "orders", "VersionId": "0"}
    assert refused("GetTableVersion", **wanted) == "EntityNotFoundException"
    errors = shop("BatchDeleteTableVersion", DatabaseName="shop", TableName="orders", VersionIds=["0", "1"])["Errors"]
    assert [(e["VersionId"], e["ErrorDetail"]["ErrorCode"]) for e in errors] == [("0", "EntityNotFoundException")]


def test_a_stale_version_id_is_refused(shop: Glue, refused: Refused) -> None:
    shop("UpdateTable", DatabaseName="shop", TableInput=table("orders"), VersionId="0")
    given = {"DatabaseName": "shop", "TableInput": table("orders"), "VersionId": "0"}
    assert refused("UpdateTable", **given) == "ConcurrentModificationException"


def test_deleting_a_database_deletes_all_in_it(shop: Glue) -> None:
    shop("CreatePartition", DatabaseName="shop", TableName="orders", PartitionInput={"Values": ["2024", "1"]})
    shop("DeleteDatabase", Name="shop")
    shop("CreateDatabase", DatabaseInput={"Name": "shop"})
    assert shop("GetTables", DatabaseName="shop")["TableList"] == []
    keys = [{"Name": "year"}, {"Name": "month"}]
    shop("CreateTable", DatabaseName="shop", TableInput=table("orders", PartitionKeys=keys))
    assert shop("GetPartitions", DatabaseName="shop", TableName="orders")["Partitions"] == []
    assert len(shop("GetTableVersions", DatabaseName="shop", TableName="orders")["TableVersions"]) == 1


def test_batch_delete_names_what_failed(shop: Glue) -> None:
    errors = shop("BatchDeleteTable", DatabaseName="shop", TablesToDelete=["orders", "none"])["Errors"]
    assert [(e["TableName"], e["ErrorDetail"]["ErrorCode"]) for e in errors] == [("none", "EntityNotFoundException")]


def partitions(glue: Glue, **params: Any) -> list[list[str]]:
    found, token = [], {}
    while True:
        answer = glue("GetPartitions", DatabaseName="shop", TableName="orders", **params, **token)
        found += [p["Values"] for p in answer["Partitions"]]
        if "NextToken" not in answer:
            return found
        token = {"NextToken": answer["NextToken"]}


def test_partitions_filtered_paged_and_shared_out(shop: Glue) -> None:
    given = [{"Values": [str(year), str(month)]} for year in (2023, 2024) for month in range(1, 13)]
    assert (
        shop("BatchCreatePartition", DatabaseName="shop", TableName="orders", PartitionInputList=given)["Errors"] == []
    )
    everything = [p["Values"] for p in given]
    assert sorted(partitions(shop)) == sorted(everything) == sorted(partitions(shop, MaxResults=5))
    late = partitions(shop, Expression="year = '2024' AND month > 9", MaxResults=2)
    assert sorted(late) == [["2024", "10"], ["2024", "11"], ["2024", "12"]]
    shares = [partitions(shop, Segment={"SegmentNumber": n, "TotalSegments": 3}) for n in range(3)]
    assert all(shares) and sorted(one for share in shares for one in share) == sorted(everything)


def test_partition_life(shop: Glue, refused: Refused) -> None:
    where = {"DatabaseName": "shop", "TableName": "orders"}
    shop("CreatePartition", **where, PartitionInput={"Values": ["2024", "1"], "Parameters": {"a": "b"}})
    assert refused("CreatePartition", **where, PartitionInput={"Values": ["2024", "1"]}) == "AlreadyExistsException"
    assert refused("CreatePartition", **where, PartitionInput={"Values": ["2024"]}) == "InvalidInputException"
    one = shop("GetPartition", **where, PartitionValues=["2024", "1"])["Partition"]
    assert (one["Values"], one["TableName"], one["Parameters"]) == (["2024", "1"], "orders", {"a": "b"})
    moved = {"PartitionValueList": ["2024", "1"], "PartitionInput": {"Values": ["2024", "2"]}}
    shop("UpdatePartition", **where, **moved)
    assert refused("UpdatePartition", **where, **moved) == "EntityNotFoundException"
    assert refused("GetPartition", **where, PartitionValues=["2024", "1"]) == "EntityNotFoundException"
    got = shop("BatchGetPartition", **where, PartitionsToGet=[{"Values": ["2024", "2"]}, {"Values": ["9", "9"]}])
    assert [p["Values"] for p in got["Partitions"]] == [["2024", "2"]]
    gone = shop("BatchDeletePartition", **where, PartitionsToDelete=[{"Values": ["2024", "2"]}, {"Values": ["9", "9"]}])
    assert [e["PartitionValues"] for e in gone["Errors"]] == [["9", "9"]]
    assert refused("GetPartitions", **where, Expression="city = 1") == "InvalidInputException"


def test_a_batch_keeps_what_worked(shop: Glue) -> None:
    given = [{"Values": ["1", "1"]}, {"Values": ["1"]}, {"Values": ["1", "1"]}, {"Values": ["1", "2"]}]
    errors = shop("BatchCreatePartition", DatabaseName="shop", TableName="orders", PartitionInputList=given)["Errors"]
    assert [e["ErrorDetail"]["ErrorCode"] for e in errors] == ["InvalidInputException", "AlreadyExistsException"]
    assert partitions(shop) == [["1", "1"], ["1", "2"]]


def test_search(shop: Glue) -> None:
    shop("CreateTable", DatabaseName="shop", TableInput=table("returns", Parameters={"classification": "csv"}))
    assert [t["Name"] for t in shop("SearchTables", SearchText="RETURN")["TableList"]] == ["returns"]
    rule = [{"Key": "classification", "Value": "csv"}]
    assert [t["Name"] for t in shop("SearchTables", Filters=rule)["TableList"]] == ["returns"]


def test_tags(shop: Glue, refused: Refused) -> None:
    arn = "arn:aws:glue:us-east-1:000000000000:database/shop"
    shop("TagResource", ResourceArn=arn, TagsToAdd={"a": "1", "b": "2"})
    shop("UntagResource", ResourceArn=arn, TagsToRemove=["a"])
    assert shop("GetTags", ResourceArn=arn)["Tags"] == {"b": "2"}
    assert refused("GetTags", ResourceArn=arn + "x") == "EntityNotFoundException"
    assert refused("GetTags", ResourceArn="nonsense") == "ValidationException"
    assert refused("GetTags", ResourceArn="arn:aws:glue:nonsense") == "InvalidInputException"


def test_a_token_is_good_for_its_own_listing_only(shop: Glue, refused: Refused) -> None:
    for name in ("a", "b", "c"):
        shop("CreateTable", DatabaseName="shop", TableInput={"Name": name})
        shop("CreateJob", Name=name, Role="r", Command={"Name": "pythonshell", "ScriptLocation": "s3://b/x.py"})
    shop("CreateDatabase", DatabaseInput={"Name": "other"})
    given = shop("GetTables", DatabaseName="shop", MaxResults=1)["NextToken"]
    rest = shop("GetTables", DatabaseName="SHOP", NextToken=given)
    assert [table["Name"] for table in rest["TableList"]] == ["b", "c", "orders"] and "NextToken" not in rest
    assert refused("GetTables", DatabaseName="other", NextToken=given) == "InvalidInputException"
    assert refused("GetDatabases", NextToken=given) == "InvalidInputException"
    assert refused("GetTables", DatabaseName="shop", NextToken=given[8:]) == "InvalidInputException"
    assert refused("ListJobs", NextToken=shop("GetJobs", MaxResults=1)["NextToken"]) == "InvalidInputException"


def test_only_errors_that_the_model_knows(shop: Glue, refused: Refused) -> None:
    keys = {"PartitionKeys": [{"Name": "k", "Type": "string"}]}
    shop("CreateTable", DatabaseName="shop", TableInput={"Name": "t", **keys})
    for value in ("1", "2"):
        shop("CreatePartition", DatabaseName="shop", TableName="t", PartitionInput={"Values": [value]})
    there = {"DatabaseName": "shop", "TableName": "t", "PartitionValueList": ["1"]}
    # UpdatePartition has no AlreadyExistsException (AWS docs).
    assert refused("UpdatePartition", **there, PartitionInput={"Values": ["2"]}) == "InvalidInputException"
