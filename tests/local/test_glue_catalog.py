"""The Data Catalog through boto3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
    assert code(glue.get_resource_policies) == "NotImplemented"
    assert code(glue.put_resource_policy, PolicyInJson="{}") == "NotImplemented"
    assert code(glue.create_ml_transform, Name="m", InputRecordTables=[], Parameters={"TransformType": "FIND_MATCHES"},
                Role="r") == "NotImplemented"  # fmt: skip


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
