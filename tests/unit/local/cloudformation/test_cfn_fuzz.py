"""S9 in small: damaged templates are refused with AWS's error or run to an end; nothing else is ever raised."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from millpond.local.service import AwsError

WHOLE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Description": "x",
    "Parameters": {
        "A": {"Type": "String", "Default": "a", "AllowedValues": ["a"], "AllowedPattern": ".*", "MinLength": 1},
        "N": {"Type": "Number", "Default": 1, "MinValue": 0, "MaxValue": 5},
        "L": {"Type": "CommaDelimitedList", "Default": "a,b", "NoEcho": True},
    },
    "Mappings": {"M": {"a": {"b": "c"}}},
    "Conditions": {"C": {"Fn::And": [{"Fn::Equals": [{"Ref": "A"}, "a"]}, {"Fn::Not": [{"Fn::Equals": ["a", "b"]}]}]}},
    "Transform": ["AWS::LanguageExtensions"],
    "Resources": {
        "J": {
            "Type": "AWS::Glue::Job",
            "Condition": "C",
            "DependsOn": ["D"],
            "DeletionPolicy": "Delete",
            "Metadata": {"x": {"Ref": "A"}},
            "Properties": {
                "Name": {"Fn::Sub": ["${A}-${x}", {"x": {"Fn::Select": [0, {"Ref": "L"}]}}]},
                "Role": {"Fn::Join": ["", ["arn:", {"Ref": "A"}]]},
                "Command": {"Name": {"Fn::FindInMap": ["M", "a", "b"]}},
                "Timeout": {"Fn::If": ["C", {"Ref": "N"}, {"Ref": "AWS::NoValue"}]},
                "Description": {"Fn::Base64": {"Fn::ToJsonString": {"a": {"Fn::Length": {"Fn::Split": [",", "a,b"]}}}}},
            },
        },
        "D": {"Type": "AWS::Glue::Database", "Properties": {"CatalogId": "1", "DatabaseInput": {"Name": "d"}}},
        "Fn::ForEach::X": ["I", ["1", "2"], {"W${I}": {"Type": "AWS::Glue::Workflow", "DependsOn": "D"}}],
    },
    "Outputs": {"O": {"Value": {"Ref": "D"}, "Description": "o", "Condition": "C", "Export": {"Name": "e"}}},
}

JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "x",
    "${",
    "${A.B.C}",
    "\x00",
    "{{resolve:ssm:}}",
    [],
    [None],
    {},
    {"Ref": None},
    {"Ref": "J"},
    {"Fn::GetAtt": []},
    {"Fn::GetAtt": ["J", "Arn"]},
    {"Fn::Sub": 5},
    {"Fn::If": ["C"]},
    {"Fn::Join": [1, 2]},
    {"Fn::Nope": 1},
    {"Fn::ImportValue": []},
    {"Fn::Transform": {"Name": "AWS::Include"}},
    "y" * 3000,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        return found + [place for key, item in value.items() for place in places(item, (*path, key))]
    if isinstance(value, list):
        return found + [place for index, item in enumerate(value) for place in places(item, (*path, index))]
    return found


def damaged(seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    made = copy.deepcopy(WHOLE)
    for _ in range(chance.randint(1, 2)):
        *way, last = chance.choice(places(made))
        holder = made
        for step in way:
            holder = holder[step]
        if chance.random() < 0.2:
            del holder[last]
        else:
            holder[last] = copy.deepcopy(chance.choice(JUNK))
    return made


@pytest.mark.parametrize("block", range(10))
def test_damaged_templates(room: Any, block: int) -> None:
    refused = run = 0
    for seed in range(block * 25, block * 25 + 25):
        body = json.dumps(damaged(seed))
        for operation in ("ValidateTemplate", "GetTemplateSummary"):
            try:
                room(operation, TemplateBody=body)
            except AwsError as error:
                assert error.code == "ValidationError", (seed, error)
        try:
            stack = room("CreateStack", StackName="fuzz", TemplateBody=body, Capabilities=["CAPABILITY_AUTO_EXPAND"])
        except AwsError as error:
            assert error.code == "ValidationError", (seed, error)
            refused += 1
            continue
        run += 1
        status = room.status(stack["StackId"])
        assert status in ("CREATE_COMPLETE", "ROLLBACK_COMPLETE"), (seed, status)
        room("DeleteStack", StackName="fuzz")
        assert room.status(stack["StackId"]) == "DELETE_COMPLETE", seed
        assert room.cloud.dump() == {}, seed
    assert refused and run


@pytest.mark.parametrize(
    "text", ["", " ", "[]", "null", "1", '"x"', "{", "a: b: c", "\x00", "- 1", "%YAML", "!Ref x", "? [a]: b", "{}"]
)
def test_texts_that_are_no_template(room: Any, text: str) -> None:
    for operation in ("ValidateTemplate", "CreateStack"):
        with pytest.raises(AwsError) as caught:
            room(operation, TemplateBody=text, StackName="s")
        assert caught.value.code == "ValidationError"
