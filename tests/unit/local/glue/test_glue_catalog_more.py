"""Indexes, column statistics, functions, links, search, Iceberg's refusals: the rest of the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millpond.local.glue import catalog, iceberg, statistics_runs
from millpond.local.service import AwsError, Clock

Glue = Callable[..., dict[str, Any]]
Refused = Callable[..., str]
KEYS = [{"Name": "Year", "Type": "string"}, {"Name": "month", "Type": "int"}]
WHERE = {"DatabaseName": "shop", "TableName": "orders"}


def table(name: str, **members: Any) -> dict[str, Any]:
    columns = [{"Name": "id", "Type": "int"}, {"Name": "price", "Type": "decimal(10,2)"}]
    return {"Name": name, "StorageDescriptor": {"Columns": columns, "Location": f"s3://b/{name}/"}, **members}


@pytest.fixture
def shop(glue: Glue) -> Glue:
    glue("CreateDatabase", DatabaseInput={"Name": "shop"})
    glue("CreateTable", DatabaseName="shop", TableInput=table("orders", PartitionKeys=KEYS))
    return glue


def index(name: str, *keys: str) -> dict[str, Any]:
    return {"IndexName": name, "Keys": list(keys)}


def test_partition_indexes(shop: Glue, refused: Refused) -> None:
    shop("CreatePartitionIndex", **WHERE, PartitionIndex=index("by_year", "year"))
    (shown,) = shop("GetPartitionIndexes", **WHERE)["PartitionIndexDescriptorList"]
    assert shown == {"IndexName": "by_year", "Keys": [{"Name": "Year", "Type": "string"}], "IndexStatus": "ACTIVE"}
    for wrong, code in (
        (index("by_year", "month"), "AlreadyExistsException"),
        (index("again", "YEAR"), "AlreadyExistsException"),
        (index("strange", "id"), "InvalidInputException"),
        (index("twice", "year", "year"), "InvalidInputException"),
    ):
        assert refused("CreatePartitionIndex", **WHERE, PartitionIndex=wrong) == code
    shop("CreatePartitionIndex", **WHERE, PartitionIndex=index("both", "year", "month"))
    shop("CreatePartitionIndex", **WHERE, PartitionIndex=index("other", "month"))
    wrong = index("fourth", "month", "year")
    assert refused("CreatePartitionIndex", **WHERE, PartitionIndex=wrong) == "ResourceNumberLimitExceededException"
    shop("DeletePartitionIndex", **WHERE, IndexName="both")
    assert refused("DeletePartitionIndex", **WHERE, IndexName="both") == "EntityNotFoundException"
    shop("DeleteTable", DatabaseName="shop", Name="orders")
    given = table("orders", PartitionKeys=KEYS)
    shop("CreateTable", DatabaseName="shop", TableInput=given, PartitionIndexes=[index("new", "month")])
    assert [i["IndexName"] for i in shop("GetPartitionIndexes", **WHERE)["PartitionIndexDescriptorList"]] == ["new"]
    bad = {"DatabaseName": "shop", "TableInput": table("bad"), "PartitionIndexes": [index("i", "month")]}
    assert refused("CreateTable", **bad) == "InvalidInputException"
    assert refused("GetTable", DatabaseName="shop", Name="bad") == "EntityNotFoundException"


def statistics(name: str, kind: str, **data: Any) -> dict[str, Any]:
    members = {"LONG": "LongColumnStatisticsData", "DECIMAL": "DecimalColumnStatisticsData"}
    described = {"Type": kind, members[kind]: {"NumberOfNulls": 0, "NumberOfDistinctValues": 3, **data}}
    return {"ColumnName": name, "ColumnType": "int", "AnalyzedTime": 1.7e9, "StatisticsData": described}


def test_column_statistics(shop: Glue, refused: Refused) -> None:
    high = {"UnscaledValue": b"\x03\xe8", "Scale": 2}
    given = [statistics("id", "LONG", MaximumValue=7), statistics("price", "DECIMAL", MaximumValue=high)]
    strange = [
        statistics("none", "LONG"),
        {**given[0], "StatisticsData": {**given[0]["StatisticsData"], "Type": "DATE"}},
    ]
    errors = shop("UpdateColumnStatisticsForTable", **WHERE, ColumnStatisticsList=given + strange)["Errors"]
    assert [e["Error"]["ErrorCode"] for e in errors] == ["EntityNotFoundException", "InvalidInputException"]
    answer = shop("GetColumnStatisticsForTable", **WHERE, ColumnNames=["ID", "price", "month"])
    assert answer["ColumnStatisticsList"] == given
    assert [e["ColumnName"] for e in answer["Errors"]] == ["month"]
    shop("UpdateTable", DatabaseName="shop", TableInput={**table("orders"), "PartitionKeys": KEYS})
    assert len(shop("GetColumnStatisticsForTable", **WHERE, ColumnNames=["id"])["ColumnStatisticsList"]) == 1
    changed = {"Columns": [{"Name": "id", "Type": "string"}]}
    shop("UpdateTable", DatabaseName="shop", TableInput=table("orders", StorageDescriptor=changed, PartitionKeys=KEYS))
    assert shop("GetColumnStatisticsForTable", **WHERE, ColumnNames=["id", "price"])["ColumnStatisticsList"] == []
    assert refused("DeleteColumnStatisticsForTable", **WHERE, ColumnName="id") == "EntityNotFoundException"


def test_column_statistics_of_partitions(shop: Glue, refused: Refused) -> None:
    shop("CreatePartition", **WHERE, PartitionInput={"Values": ["2024", "1"]})
    of = {**WHERE, "PartitionValues": ["2024", "1"]}
    shop("UpdateColumnStatisticsForPartition", **of, ColumnStatisticsList=[statistics("id", "LONG")])
    shop("UpdatePartition", **WHERE, PartitionValueList=["2024", "1"], PartitionInput={"Values": ["2024", "2"]})
    assert refused("GetColumnStatisticsForPartition", **of, ColumnNames=["id"]) == "EntityNotFoundException"
    of = {**WHERE, "PartitionValues": ["2024", "2"]}
    assert shop("GetColumnStatisticsForPartition", **of, ColumnNames=["id"])["ColumnStatisticsList"]
    shop("DeletePartition", **of)
    shop("CreatePartition", **WHERE, PartitionInput={"Values": ["2024", "2"]})
    assert not shop("GetColumnStatisticsForPartition", **of, ColumnNames=["id"])["ColumnStatisticsList"]


def test_functions(shop: Glue, refused: Refused) -> None:
    given = {"FunctionName": "Mask", "ClassName": "org.x.Mask", "OwnerType": "USER", "FunctionType": "REGULAR_FUNCTION"}
    shop("CreateUserDefinedFunction", DatabaseName="shop", FunctionInput=given)
    assert refused("CreateUserDefinedFunction", DatabaseName="shop", FunctionInput=given) == "AlreadyExistsException"
    assert refused("CreateUserDefinedFunction", DatabaseName="no", FunctionInput=given) == "EntityNotFoundException"
    shown = shop("GetUserDefinedFunction", DatabaseName="SHOP", FunctionName="MASK")["UserDefinedFunction"]
    assert (shown["FunctionName"], shown["ClassName"], shown["DatabaseName"]) == ("mask", "org.x.Mask", "shop")
    for name in ("a1", "a2", "b1"):
        shop("CreateUserDefinedFunction", DatabaseName="shop", FunctionInput={"FunctionName": name})
    first = shop("GetUserDefinedFunctions", Pattern="a*", MaxResults=1)
    rest = shop("GetUserDefinedFunctions", Pattern="a*", MaxResults=1, NextToken=first["NextToken"])
    names = [f["FunctionName"] for f in first["UserDefinedFunctions"] + rest["UserDefinedFunctions"]]
    assert names == ["a1", "a2"] and "NextToken" not in rest
    shop("UpdateUserDefinedFunction", DatabaseName="shop", FunctionName="a1", FunctionInput={"FunctionName": "c"})
    assert refused("GetUserDefinedFunction", DatabaseName="shop", FunctionName="a1") == "EntityNotFoundException"
    shop("DeleteUserDefinedFunction", DatabaseName="shop", FunctionName="c")
    shop("DeleteDatabase", Name="shop")
    shop("CreateDatabase", DatabaseInput={"Name": "shop"})
    assert shop("GetUserDefinedFunctions", DatabaseName="shop", Pattern=".*")["UserDefinedFunctions"] == []


def test_a_link_shows_its_target(shop: Glue, refused: Refused) -> None:
    target = {"DatabaseName": "shop", "Name": "orders"}
    shop("CreateTable", DatabaseName="shop", TableInput={"Name": "link", "TargetTable": target})
    shop("CreatePartition", **WHERE, PartitionInput={"Values": ["2024", "1"]})
    shown = shop("GetTable", DatabaseName="shop", Name="link")["Table"]
    assert (shown["Name"], shown["TargetTable"], shown["PartitionKeys"]) == ("link", target, KEYS)
    found = shop("GetPartitions", DatabaseName="shop", TableName="link")["Partitions"]
    assert [p["Values"] for p in found] == [["2024", "1"]]
    shop("DeleteTable", DatabaseName="shop", Name="link")
    assert shop("GetTable", DatabaseName="shop", Name="orders")
    shop("CreateTable", DatabaseName="shop", TableInput={"Name": "lost", "TargetTable": {**target, "Name": "no"}})
    assert refused("GetTable", DatabaseName="shop", Name="lost") == "EntityNotFoundException"


def test_search(shop: Glue, refused: Refused) -> None:
    for name in ("customer-link", "xx-link-yy", "xxlinkyy"):
        shop("CreateTable", DatabaseName="shop", TableInput=table(name, Description=f"about {name}"))

    def names(**params: Any) -> list[str]:
        return [found["Name"] for found in shop("SearchTables", **params)["TableList"]]

    by_name = [{"FieldName": "Name", "Sort": "DESC"}]
    assert names(Filters=[{"Key": "Name", "Value": "link"}]) == ["customer-link", "xx-link-yy"]
    assert names(SearchText="link", SortCriteria=by_name) == ["xxlinkyy", "xx-link-yy", "customer-link"]
    assert names(SearchText='"xxlinkyy"') == ["xxlinkyy"]
    late = [{"Key": "UpdateTime", "Value": "2020-01-01T00:00:00", "Comparator": "GREATER_THAN"}]
    assert len(names(Filters=late)) == 4 and names(Filters=[{**late[0], "Comparator": "LESS_THAN"}]) == []
    assert refused("SearchTables", Filters=[{**late[0], "Value": "soon"}]) == "InvalidInputException"
    assert refused("SearchTables", SortCriteria=[{"FieldName": "Colour"}]) == "InvalidInputException"
    assert names(ResourceShareType="FOREIGN") == []
    first = shop("SearchTables", MaxResults=3)
    assert len(first["TableList"]) == 3
    assert len(shop("SearchTables", MaxResults=3, NextToken=first["NextToken"])["TableList"]) == 1


def test_what_there_is_too_much_of(shop: Glue, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MOST_DATABASES", 1)
    monkeypatch.setattr(catalog, "MOST_TABLES", 1)
    monkeypatch.setattr(catalog, "MOST_VERSIONS", 1)
    code = "ResourceNumberLimitExceededException"
    assert refused("CreateDatabase", DatabaseInput={"Name": "other"}) == code
    assert refused("CreateTable", DatabaseName="shop", TableInput=table("other")) == code
    shop("UpdateTable", DatabaseName="shop", TableInput=table("orders"))
    assert refused("UpdateTable", DatabaseName="shop", TableInput=table("orders")) == code
    shop("UpdateTable", DatabaseName="shop", TableInput=table("orders"), SkipArchive=True)


def test_words_of_aws(shop: Glue) -> None:
    said = []
    for operation, params in (
        ("CreateDatabase", {"DatabaseInput": {"Name": "shop"}}),
        ("CreateTable", {"DatabaseName": "shop", "TableInput": table("orders")}),
        ("UpdateTable", {"DatabaseName": "shop", "TableInput": table("orders"), "VersionId": "9"}),
        ("CreatePartition", {**WHERE, "PartitionInput": {"Values": ["1"]}}),
        ("GetPartition", {**WHERE, "PartitionValues": ["1", "1"]}),
        ("GetTable", {"DatabaseName": "shop", "Name": "no"}),
        ("CreateTable", {"DatabaseName": "shop", "TableInput": {"Name": "a\nb"}}),
    ):
        with pytest.raises(AwsError) as caught:
            shop(operation, **params)
        said.append(caught.value.message)
    assert said[:6] == [
        "Database already exists.",
        "Table already exists.",
        "Update table failed due to concurrent modifications.",
        "The number of partition keys do not match the number of partition values",
        "Cannot find partition.",
        "Table no not found.",
    ]
    assert said[6].startswith("1 validation error detected: Value 'a\nb' at 'tableInput.name' failed to satisfy")


def test_what_governed_tables_had(shop: Glue, refused: Refused) -> None:
    assert refused("GetTable", DatabaseName="shop", Name="orders", TransactionId="t") == "InvalidInputException"
    assert refused("GetPartitions", **WHERE, QueryAsOfTime=1.0) == "InvalidInputException"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("bigint", "long"),
        ("decimal(10,2)", "decimal(10, 2)"),
        ("varchar(20)", "string"),
        ("array<int>", {"type": "list", "element-id": 2, "element": "int", "element-required": False}),
        (
            "struct<a:int,b:map<string,double>>",
            {
                "type": "struct",
                "fields": [
                    {"id": 2, "name": "a", "required": False, "type": "int"},
                    {
                        "id": 3,
                        "name": "b",
                        "required": False,
                        "type": {
                            **{"type": "map", "key-id": 4, "value-id": 5},
                            **{"key": "string", "value": "double", "value-required": False},
                        },
                    },
                ],
            },
        ),
    ],
)
def test_types_of_iceberg(text: str, expected: Any) -> None:
    described = iceberg._of_columns([{"Name": "c", "Type": text}])
    assert described["schema"]["fields"][0]["type"] == expected


@pytest.mark.parametrize(
    "text", ["", "int int", "array<int", "array<", "struct<>", "map<int>", "uniontype<int>", "x" * 9]
)
def test_types_that_iceberg_has_not(text: str) -> None:
    with pytest.raises(AwsError, match="cannot be a type"):
        iceberg._of_columns([{"Name": "c", "Type": text}])


def test_figures_become_statistics() -> None:
    columns = [("n", "DECIMAL"), ("f", "BOOLEAN"), ("d", "DATE"), ("b", "BINARY"), ("x", "DOUBLE")]
    text = "4 -1.28 10 3 2 1 2 3 2024-01-01 - 1 1 8 4.5 4 NaN 2 4 2"
    figures = [None if word == "-" else word for word in text.split()]
    found = [one["StatisticsData"] for one in statistics_runs._statistics(columns, figures, 0.0)]
    assert found[0]["DecimalColumnStatisticsData"] == {
        "MinimumValue": {"UnscaledValue": b"\x80", "Scale": 2},
        "MaximumValue": {"UnscaledValue": b"\x0a", "Scale": 0},
        "NumberOfNulls": 1,
        "NumberOfDistinctValues": 2,
    }
    assert found[1]["BooleanColumnStatisticsData"] == {"NumberOfTrues": 1, "NumberOfFalses": 2, "NumberOfNulls": 1}
    assert found[2]["DateColumnStatisticsData"] == {
        "MinimumValue": 1_704_067_200.0,
        "NumberOfNulls": 3,
        "NumberOfDistinctValues": 1,
    }
    assert found[3]["BinaryColumnStatisticsData"] == {"MaximumLength": 8, "AverageLength": 4.5, "NumberOfNulls": 0}
    assert "MinimumValue" not in found[4]["DoubleColumnStatisticsData"]


class Days(Clock):
    """A clock that a test sets; it begins with a day in UTC."""

    at = 20_454 * 86_400.0

    def now(self) -> float:
        return self.at


def test_settings_of_column_statistics(shop: Glue, refused: Refused, glue_service: Any) -> None:
    of = {"DatabaseName": "Shop", "TableName": "Orders"}
    assert refused("GetColumnStatisticsTaskSettings", **of) == "EntityNotFoundException"
    assert refused("UpdateColumnStatisticsTaskSettings", **of, Role="r") == "EntityNotFoundException"
    wanted = {"Role": "r", "ColumnNameList": ["id"], "Schedule": "cron(0 3 * * ? *)"}
    assert refused("CreateColumnStatisticsTaskSettings", **of, **{**wanted, "Schedule": "x"}) == "InvalidInputException"
    odd = {**wanted, "ColumnNameList": ["no"]}
    assert refused("CreateColumnStatisticsTaskSettings", **of, **odd) == "InvalidInputException"
    assert refused("CreateColumnStatisticsTaskSettings", **of, **wanted, SampleSize=5.0) == "InvalidInputException"
    shop("CreateColumnStatisticsTaskSettings", **of, **wanted)
    assert refused("CreateColumnStatisticsTaskSettings", **of, **wanted) == "AlreadyExistsException"
    found = shop("GetColumnStatisticsTaskSettings", **of)["ColumnStatisticsTaskSettings"]
    assert (found["DatabaseName"], found["TableName"], found["Role"]) == ("shop", "orders", "r")
    assert found["Schedule"] == {"ScheduleExpression": "cron(0 3 * * ? *)", "State": "SCHEDULED"}
    assert (found["ScheduleType"], found["SettingSource"], found["ColumnNameList"]) == ("CRON", "TABLE", ["id"])
    assert refused("StartColumnStatisticsTaskRunSchedule", **of) == "InvalidInputException"
    shop("StopColumnStatisticsTaskRunSchedule", **of)
    assert refused("StopColumnStatisticsTaskRunSchedule", **of) == "InvalidInputException"
    shop("UpdateColumnStatisticsTaskSettings", **of, Role="other")
    found = shop("GetColumnStatisticsTaskSettings", **of)["ColumnStatisticsTaskSettings"]
    assert (found["Role"], found["ColumnNameList"], found["Schedule"]["State"]) == ("other", ["id"], "NOT_SCHEDULED")
    shop("StartColumnStatisticsTaskRunSchedule", **of)
    settings = glue_service.parts["statistics_settings"]
    clock = settings.endpoint.clock = Days()
    settings.runs = glue_service.parts["statistics_runs"]
    settings.runs.start_run = lambda params, call: {"ColumnStatisticsTaskRunId": params["TableName"]}
    assert settings._round() == 3 * 3600
    clock.at += 3 * 3600
    assert settings._round() == 24 * 3600
    attempt = shop("GetColumnStatisticsTaskSettings", **of)["ColumnStatisticsTaskSettings"]["LastExecutionAttempt"]
    assert (attempt["Status"], attempt["ColumnStatisticsTaskRunId"]) == ("STARTED", "orders")
    shop("DeleteColumnStatisticsTaskSettings", **of)
    assert refused("DeleteColumnStatisticsTaskSettings", **of) == "EntityNotFoundException"
    shop("CreateColumnStatisticsTaskSettings", **of, Role="r")
    assert "Schedule" not in shop("GetColumnStatisticsTaskSettings", **of)["ColumnStatisticsTaskSettings"]
    shop("DeleteTable", DatabaseName="shop", Name="orders")
    assert settings.endpoint.store.one("SELECT 1 FROM glue_statistics_settings") is None
