"""The schema registry: its operations, and what its formats take for compatible."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millpond.local.glue import registry

Glue = Callable[..., dict[str, Any]]
Refused = Callable[..., str]
ID = {"SchemaName": "orders", "RegistryName": "shop"}


def record(*fields: dict[str, Any], name: str = "Order") -> str:
    return json.dumps({"type": "record", "name": name, "fields": list(fields)})


def field(name: str, kind: Any = "int", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


@pytest.fixture
def shop(glue: Glue) -> Glue:
    made = glue("CreateRegistry", RegistryName="shop", Description="of tests", Tags={"a": "b"})
    assert made["RegistryArn"] == "arn:aws:glue:us-east-1:000000000000:registry/shop" and made["Tags"] == {"a": "b"}
    made = glue(
        "CreateSchema",
        RegistryId={"RegistryName": "shop"},
        SchemaName="orders",
        DataFormat="AVRO",
        Compatibility="BACKWARD",
        SchemaDefinition=record(field("id")),
    )
    assert (made["LatestSchemaVersion"], made["NextSchemaVersion"], made["SchemaCheckpoint"]) == (1, 2, 1)
    assert (made["SchemaVersionStatus"], made["SchemaStatus"]) == ("AVAILABLE", "AVAILABLE")
    assert made["SchemaArn"].endswith(":schema/shop/orders")
    return glue


def test_versions(shop: Glue, refused: Refused) -> None:
    wider = record(field("id"), field("note", "string", default=""))
    second = shop("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=wider)
    assert (second["VersionNumber"], second["Status"]) == (2, "AVAILABLE")
    same = shop("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=json.dumps(json.loads(wider), indent=4))
    assert same == second
    failed = shop("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=record(field("id"), field("must")))
    assert (failed["VersionNumber"], failed["Status"]) == (3, "FAILURE")
    shown = shop("GetSchema", SchemaId=ID)
    assert (shown["LatestSchemaVersion"], shown["NextSchemaVersion"]) == (2, 4)
    latest = shop("GetSchemaVersion", SchemaId=ID, SchemaVersionNumber={"LatestVersion": True})
    assert (latest["SchemaVersionId"], latest["SchemaDefinition"]) == (second["SchemaVersionId"], wider)
    assert shop("GetSchemaVersion", SchemaVersionId=failed["SchemaVersionId"])["Status"] == "FAILURE"
    found = shop("GetSchemaByDefinition", SchemaId=ID, SchemaDefinition=wider)
    assert found["SchemaVersionId"] == second["SchemaVersionId"]
    first = shop("ListSchemaVersions", SchemaId=ID, MaxResults=2)
    rest = shop("ListSchemaVersions", SchemaId=ID, NextToken=first["NextToken"])
    assert [v["VersionNumber"] for v in first["Schemas"] + rest["Schemas"]] == [1, 2, 3]
    numbers = {"FirstSchemaVersionNumber": {"VersionNumber": 1}, "SecondSchemaVersionNumber": {"VersionNumber": 2}}
    diff = json.loads(shop("GetSchemaVersionsDiff", SchemaId=ID, **numbers, SchemaDiffType="SYNTAX_DIFF")["Diff"])
    assert diff == [{"op": "add", "path": "/fields/-", "value": field("note", "string", default="")}]
    gone = shop("DeleteSchemaVersions", SchemaId=ID, Versions="2-4")["SchemaVersionErrors"]
    assert [(e["VersionNumber"], e["ErrorDetails"]["ErrorCode"]) for e in gone] == [(4, "EntityNotFoundException")]
    assert shop("GetSchema", SchemaId=ID)["LatestSchemaVersion"] == 1
    assert refused("DeleteSchemaVersions", SchemaId=ID, Versions="1") == "InvalidInputException"


def test_what_is_not_there_or_wrong(shop: Glue, refused: Refused) -> None:
    other = {**ID, "SchemaName": "no"}
    assert refused("GetSchema", SchemaId=other) == "EntityNotFoundException"
    assert refused("RegisterSchemaVersion", SchemaId=other, SchemaDefinition=record()) == "EntityNotFoundException"
    assert refused("GetRegistry", RegistryId={"RegistryName": "no"}) == "EntityNotFoundException"
    assert refused("CreateRegistry", RegistryName="shop") == "AlreadyExistsException"
    assert refused("CreateRegistry", RegistryName="a b") == "ValidationException"
    again = {"SchemaName": "orders", "DataFormat": "AVRO", "RegistryId": {"RegistryName": "shop"}}
    assert refused("CreateSchema", **again) == "AlreadyExistsException"
    assert refused("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition="{") == "InvalidInputException"
    assert refused("GetSchemaVersion", SchemaId=ID) == "InvalidInputException"
    number = {"VersionNumber": 9}
    assert refused("GetSchemaVersion", SchemaId=ID, SchemaVersionNumber=number) == "EntityNotFoundException"
    assert refused("UpdateSchema", SchemaId=ID, Compatibility="FULL") == "InvalidInputException"


def test_the_default_registry_makes_itself(shop: Glue) -> None:
    made = shop("CreateSchema", SchemaName="mine", DataFormat="JSON", SchemaDefinition='{"type": "object"}')
    assert (made["RegistryName"], made["Compatibility"]) == ("default-registry", "NONE")
    assert [r["RegistryName"] for r in shop("ListRegistries")["Registries"]] == ["default-registry", "shop"]
    assert [s["SchemaName"] for s in shop("ListSchemas")["Schemas"]] == ["mine", "orders"]
    assert [s["SchemaName"] for s in shop("ListSchemas", RegistryId={"RegistryName": "shop"})["Schemas"]] == ["orders"]
    assert shop("GetTags", ResourceArn="arn:aws:glue:us-east-1:000000000000:registry/shop")["Tags"] == {"a": "b"}
    shop("DeleteRegistry", RegistryId={"RegistryName": "shop"})
    assert [s["SchemaName"] for s in shop("ListSchemas")["Schemas"]] == ["mine"]


def test_checkpoints_and_modes(shop: Glue, refused: Refused) -> None:
    for number in range(2, 5):
        shop("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=record(field(f"f{number}", default=0)))
    shop("UpdateSchema", SchemaId=ID, Compatibility="BACKWARD_ALL", SchemaVersionNumber={"VersionNumber": 3})
    text = record(field("id", "int"), field("f3", "string", default=""))  # version 3 has an int there
    assert shop("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=text)["Status"] == "FAILURE"
    assert refused("DeleteSchemaVersions", SchemaId=ID, Versions="2-3") == "InvalidInputException"
    shop("UpdateSchema", SchemaId=ID, Compatibility="DISABLED", SchemaVersionNumber={"LatestVersion": True})
    assert refused("RegisterSchemaVersion", SchemaId=ID, SchemaDefinition=record()) == "InvalidInputException"


def test_metadata(shop: Glue, refused: Refused) -> None:
    of = {"SchemaId": ID, "SchemaVersionNumber": {"LatestVersion": True}}
    for value in ("one", "two"):
        shop("PutSchemaVersionMetadata", **of, MetadataKeyValue={"MetadataKey": "k", "MetadataValue": value})
    pair = {"MetadataKey": "k", "MetadataValue": "two"}
    assert refused("PutSchemaVersionMetadata", **of, MetadataKeyValue=pair) == "AlreadyExistsException"
    (shown,) = shop("QuerySchemaVersionMetadata", **of)["MetadataInfoMap"].values()
    assert shown["MetadataValue"] == "two"
    assert [one["MetadataValue"] for one in shown["OtherMetadataValueList"]] == ["one"]
    told = shop("RemoveSchemaVersionMetadata", **of, MetadataKeyValue=pair)
    assert (told["LatestVersion"], told["VersionNumber"]) == (True, 1)
    assert refused("RemoveSchemaVersionMetadata", **of, MetadataKeyValue=pair) == "EntityNotFoundException"


def test_protobuf_is_not_compared(glue: Glue, refused: Refused) -> None:
    text = 'syntax = "proto3"; message M { int32 a = 1; }'
    for name, mode in (("free", "NONE"), ("bound", "BACKWARD")):
        glue("CreateSchema", SchemaName=name, DataFormat="PROTOBUF", Compatibility=mode, SchemaDefinition=text)
    other = {"SchemaDefinition": text.replace("int32", "int64")}
    assert glue("RegisterSchemaVersion", SchemaId={"SchemaName": "free"}, **other)["Status"] == "AVAILABLE"
    assert refused("RegisterSchemaVersion", SchemaId={"SchemaName": "bound"}, **other) == "InvalidInputException"


LIST = {"type": "record", "name": "L", "fields": [field("v"), field("next", ["null", "L"])]}


@pytest.mark.parametrize(
    "reader, writer, fits",
    [
        ("int", "int", True),
        ("long", "int", True),
        ("int", "long", False),
        ("string", "bytes", True),
        (["null", "int"], "int", True),
        ("int", ["null", "int"], False),
        (["null", "long"], ["null", "int"], True),
        ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}, True),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "string"}, False),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, {"type": "enum", "name": "E", "symbols": ["A", "B"]}, False),
        (
            {"type": "enum", "name": "E", "symbols": ["A"], "default": "A"},
            {"type": "enum", "name": "E", "symbols": ["A", "B"]},
            True,
        ),
        ({"type": "fixed", "name": "F", "size": 2}, {"type": "fixed", "name": "F", "size": 3}, False),
        (LIST, LIST, True),
        (LIST, {**LIST, "fields": [field("v", "string"), field("next", ["null", "L"])]}, False),
        (json.loads(record(field("b", aliases=["a"]))), json.loads(record(field("a"))), True),
        (json.loads(record(field("a"))), json.loads(record(field("a"), name="Other")), False),
        (json.loads(record(field("a"))), json.loads(record(field("a"), name="x.Order")), True),
    ],
)
def test_avro_resolution(reader: Any, writer: Any, fits: bool) -> None:
    assert registry.reads("AVRO", json.dumps(reader), json.dumps(writer)) is fits


@pytest.mark.parametrize(
    "schema",
    [
        *("strin", [], ["int", "int"], ["null", ["int"]], 7, None, {"type": "array"}, {"type": "enum", "name": "E"}),
        *({"type": "record", "name": "r"}, {"type": "record", "name": "1r", "fields": []}),
        {"type": "record", "name": "r", "fields": [field("a"), field("a")]},
        {"type": "record", "name": "r", "fields": [field("a", "int", default="x")]},
        {"type": "fixed", "name": "F", "size": "2"},
    ],
)
def test_avro_schemas_that_are_none(schema: Any) -> None:
    if schema == []:
        registry.definition("AVRO", "[]")  # an empty union is a schema of nothing
        return
    with pytest.raises(registry.SchemaError):
        registry.definition("AVRO", json.dumps(schema))


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}


@pytest.mark.parametrize(
    "wide, narrow, fits",
    [
        (True, thing(a="string"), True),
        (thing(a="string"), {"type": "string"}, False),
        (thing(a="string", b="integer"), thing(a="string"), True),
        ({**thing(a="string", b="integer"), "required": ["b"]}, thing(a="string"), False),
        (thing(a="number"), thing(a="integer"), True),
        (thing(a="integer"), thing(a="number"), False),
        (thing(a="string"), {**thing(a="string"), "required": ["a"]}, True),
        ({**thing(), "additionalProperties": False}, {**thing(a="string"), "additionalProperties": False}, False),
        ({"minimum": 1}, {"minimum": 2}, True),
        ({"minimum": 2}, {"minimum": 1}, False),
        ({"maxLength": 5}, {}, False),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, True),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, False),
        ({"type": "array", "items": {"type": "number"}}, {"type": "array", "items": {"type": "integer"}}, True),
        ({"$ref": "#/definitions/x", "definitions": {"x": {"type": "string"}}}, {"type": "string"}, True),
        ({"type": ["string", "null"]}, {"type": "string"}, True),
    ],
)
def test_json_schemas_held_against_each_other(wide: Any, narrow: Any, fits: bool) -> None:
    assert registry.reads("JSON", json.dumps(wide), json.dumps(narrow)) is fits


@pytest.mark.parametrize(
    "wide, narrow",
    [
        ({"anyOf": [{"type": "string"}]}, {"type": "string"}),
        ({"$ref": "http://elsewhere/x.json"}, {}),
        ({"$ref": "#"}, {"type": "string"}),
        ({"pattern": "a"}, {"pattern": "b"}),
    ],
)
def test_json_schemas_that_nobody_can_compare(wide: Any, narrow: Any) -> None:
    with pytest.raises(registry.Unknown):
        registry.reads("JSON", json.dumps(wide), json.dumps(narrow))


@pytest.mark.parametrize(
    "text, valid",
    [
        ('syntax = "proto3"; package a.b; import "x.proto"; message M { string a = 1; repeated int32 b = 2; }', True),
        ('syntax = "proto2"; message M { required string a = 1; optional E e = 2; enum E { X = 1; } }', True),
        ('syntax = "proto3"; message M { map<string, N> m = 1; oneof o { int32 a = 2; N b = 3; } message N {} }', True),
        (
            'syntax = "proto3"; message M { reserved 2, 4 to 6; int32 a = 1 [deprecated = true]; } service S { rpc }',
            True,
        ),
        ('syntax = "proto3"; enum E { A = 0; B = -1; } // done', True),
        ("message {", False),
        ("", False),
        ('syntax = "proto3"; message M { int32 a = 0; }', False),
        ('syntax = "proto3"; message M { int32 a = 1; int32 b = 1; }', False),
        ('syntax = "proto3"; message M { int32 a = 19000; }', False),
        ('syntax = "proto3"; enum E { A = 1; }', False),
        ('syntax = "proto2"; message M { string a = 1; }', False),
        ('syntax = "proto9"; message M {}', False),
        ('syntax = "proto3"; message M { map<double, int32> a = 1; }', False),
        ('syntax = "proto3"; message M { int32 a = 1 }', False),
        ('syntax = "proto2"; message M { extensions 4 to 10; }', False),
    ],
)
def test_protobuf_syntax(glue: Glue, text: str, valid: bool) -> None:
    if text:
        assert glue("CheckSchemaVersionValidity", DataFormat="PROTOBUF", SchemaDefinition=text)["Valid"] is valid
    else:
        with pytest.raises(registry.SchemaError):
            registry.definition("PROTOBUF", text)


AVRO_ROW = {
    "type": "record",
    "name": "row",
    "fields": [
        {"name": "id", "type": "long", "doc": "which"},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
JSON_ROW = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "id": {"type": "integer", "description": "which"},
        "price": {"type": ["number", "null"]},
        "inner": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
        "more": {"type": "object", "additionalProperties": {"type": "string"}},
        "odd": {},
    },
}


def test_tables_take_their_columns_from_schemas(glue: Glue, refused: Refused) -> None:
    glue("CreateDatabase", DatabaseInput={"Name": "d"})
    glue("CreateRegistry", RegistryName="r")
    made = {
        kind: glue(
            "CreateSchema", RegistryId={"RegistryName": "r"}, SchemaName=kind, DataFormat=kind, Compatibility="NONE",
            SchemaDefinition=text if isinstance(text, str) else json.dumps(text),
        )
        for kind, text in (
            ("AVRO", AVRO_ROW), ("JSON", JSON_ROW), ("PROTOBUF", 'syntax = "proto3"; message M { int32 a = 1; }')
        )
    }  # fmt: skip

    def create(name: str, **reference: object) -> dict[str, Any]:
        storage = {"Columns": [], "Location": "s3://b/t/", "SchemaReference": reference}
        return {"DatabaseName": "d", "TableInput": {"Name": name, "StorageDescriptor": storage}}

    def columns(name: str) -> list[dict[str, str]]:
        found = glue("GetTable", DatabaseName="d", Name=name)["Table"]["StorageDescriptor"]
        assert found["SchemaReference"] and found["Location"] == "s3://b/t/"
        return list(found["Columns"])

    of = {kind: {"RegistryName": "r", "SchemaName": kind} for kind in made}
    glue("CreateTable", **create("a", SchemaId=of["AVRO"], SchemaVersionNumber=1))
    assert columns("a") == [
        {"Name": "id", "Type": "bigint", "Comment": "which"},
        {"Name": "at", "Type": "timestamp"},
        {"Name": "price", "Type": "decimal(9,2)"},
        {"Name": "tags", "Type": "array<string>"},
    ]
    glue("CreateTable", **create("j", SchemaVersionId=made["JSON"]["SchemaVersionId"]))
    assert [(one["Name"], one["Type"]) for one in columns("j")] == [
        ("id", "bigint"), ("price", "double"), ("inner", "struct<ok:boolean>"), ("more", "map<string,string>"),
        ("odd", "string"),
    ]  # fmt: skip
    second = AVRO_ROW | {"fields": [{"name": "n", "type": "int"}]}
    glue("RegisterSchemaVersion", SchemaId=of["AVRO"], SchemaDefinition=json.dumps(second))
    glue("UpdateTable", **create("a", SchemaId=of["AVRO"]))
    assert columns("a") == [{"Name": "n", "Type": "int"}]
    assert (
        refused("CreateTable", **create("x", SchemaId=of["AVRO"], SchemaVersionNumber=9)) == "EntityNotFoundException"
    )
    assert (
        refused("CreateTable", **create("x", SchemaVersionId="0" * 8 + "-0000-0000-0000-" + "0" * 12))
        == "EntityNotFoundException"
    )
    assert refused("CreateTable", **create("x", SchemaVersionNumber=1)) == "InvalidInputException"
    assert refused("CreateTable", **create("x", SchemaId=of["PROTOBUF"])) == "InvalidInputException"
