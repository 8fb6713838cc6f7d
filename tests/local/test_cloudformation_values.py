"""Secrets in templates: resolved at use and nowhere written; and values that come from other services."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Aws = Callable[[str], Any]


def settled(aws: Aws, stack: str) -> dict[str, Any]:
    while True:
        found = aws("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            return found
        time.sleep(0.05)


def parameter(name: str, value: Any) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Name": name, "Type": "String", "Value": value}}


def written(aws: Aws, name: str) -> str:
    return aws("ssm").get_parameter(Name=name)["Parameter"]["Value"]


def rows_with(endpoint: Any, needle: str) -> set[str]:
    """The engine's tables that hold a text in any column."""
    store, hits = endpoint.store, set()
    for row in store.read("SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'cloudformation_%'"):
        for item in store.read(f"SELECT * FROM {row['name']}"):
            if any(needle in str(value) for value in dict(item).values()):
                hits.add(row["name"])
    return hits


def test_no_echo(aws: Aws, endpoint: Any) -> None:
    template = {
        "Parameters": {"Password": {"Type": "String", "NoEcho": True}, "Plain": {"Type": "String", "Default": "p"}},
        "Conditions": {"Known": {"Fn::Equals": [{"Ref": "Password"}, {"Ref": "Plain"}]}},
        "Resources": {
            "A": parameter("/ne/a", {"Fn::Sub": "jdbc:${Password}@${Plain}"}),
            "B": parameter("/ne/b", {"Fn::If": ["Known", "known", "other"]}),
        },
        "Outputs": {"Plain": {"Value": {"Ref": "Plain"}}, "Shown": {"Value": {"Fn::GetAtt": ["A", "Value"]}}},
    }
    client = aws("cloudformation")
    given = [{"ParameterKey": "Password", "ParameterValue": "canary-one"}]
    client.create_stack(StackName="ne", TemplateBody=json.dumps(template), Parameters=given)
    stack = settled(aws, "ne")
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {p["ParameterKey"]: p["ParameterValue"] for p in stack["Parameters"]} == {"Password": "****", "Plain": "p"}
    assert (written(aws, "/ne/a"), written(aws, "/ne/b")) == ("jdbc:canary-one@p", "other")
    assert rows_with(endpoint, "canary-one") == {"cloudformation_noecho"}  # kept once, for UsePreviousValue
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    assert outputs == {"Plain": "p", "Shown": "jdbc:canary-one@p"}  # as on AWS, NoEcho does not hide in outputs
    events = client.describe_stack_events(StackName="ne")["StackEvents"]
    assert "canary-one" not in json.dumps(events, default=str)
    assert any("jdbc:****@p" in event.get("ResourceProperties", "") for event in events)
    previous = [{"ParameterKey": "Password", "UsePreviousValue": True}]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        client.update_stack(StackName="ne", UsePreviousTemplate=True, Parameters=previous)
    changed = [{"ParameterKey": "Password", "ParameterValue": "canary-two"}]
    client.update_stack(StackName="ne", UsePreviousTemplate=True, Parameters=changed)
    assert settled(aws, "ne")["StackStatus"] == "UPDATE_COMPLETE"
    assert (written(aws, "/ne/a"), written(aws, "/ne/b")) == ("jdbc:canary-two@p", "other")
    same = [{"ParameterKey": "Password", "ParameterValue": "p"}]
    client.update_stack(StackName="ne", UsePreviousTemplate=True, Parameters=same)
    assert settled(aws, "ne")["StackStatus"] == "UPDATE_COMPLETE"
    assert (written(aws, "/ne/a"), written(aws, "/ne/b")) == ("jdbc:p@p", "known")
    client.delete_stack(StackName=stack["StackId"])
    assert settled(aws, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert rows_with(endpoint, "canary-two") == set()


def test_dynamic_references(aws: Aws, endpoint: Any) -> None:
    secret = json.dumps({"username": "etl", "password": "canary-three"})
    arn = aws("secretsmanager").create_secret(Name="dyn", SecretString=secret)["ARN"]
    aws("ssm").put_parameter(Name="/dyn/host", Value="db.local", Type="String")
    url = "{{resolve:secretsmanager:dyn:SecretString:username}}:{{resolve:secretsmanager:%s:SecretString:password}}"
    connection = {
        "Type": "AWS::Glue::Connection",
        "Properties": {
            "CatalogId": {"Ref": "AWS::AccountId"},
            "ConnectionInput": {
                "Name": "dyn",
                "ConnectionType": "JDBC",
                "ConnectionProperties": {
                    "JDBC_CONNECTION_URL": "jdbc:postgresql://{{resolve:ssm:/dyn/host}}:5432/shop",
                    "USERNAME": "{{resolve:secretsmanager:dyn:SecretString:username}}",
                    "PASSWORD": url % arn,
                },
            },
        },
    }
    client = aws("cloudformation")
    stack = client.create_stack(StackName="dyn", TemplateBody=json.dumps({"Resources": {"C": connection}}))["StackId"]
    assert settled(aws, "dyn")["StackStatus"] == "CREATE_COMPLETE"
    made = aws("glue").get_connection(Name="dyn")["Connection"]["ConnectionProperties"]
    assert made["JDBC_CONNECTION_URL"] == "jdbc:postgresql://db.local:5432/shop"
    assert (made["USERNAME"], made["PASSWORD"]) == ("etl", "etl:canary-three")
    assert rows_with(endpoint, "canary-three") == set()
    client.delete_stack(StackName=stack)
    settled(aws, stack)

    bad = {"Resources": {"P": parameter("/dyn/x", "{{resolve:secretsmanager:nothing-here}}")}}
    stack = client.create_stack(StackName="dynbad", TemplateBody=json.dumps(bad))["StackId"]
    assert settled(aws, stack)["StackStatus"] == "ROLLBACK_COMPLETE"
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    reasons = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert "Could not resolve {{resolve:secretsmanager:nothing-here}}" in reasons[0]
    client.delete_stack(StackName=stack)


def test_ssm_parameter_types(aws: Aws) -> None:
    aws("ssm").put_parameter(Name="/types/a", Value="one,two", Type="StringList")
    template = {
        "Parameters": {"Names": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/types/a"}},
        "Resources": {"P": parameter("/types/b", {"Fn::Select": [1, {"Ref": "Names"}]})},
    }
    client = aws("cloudformation")
    stack = client.create_stack(StackName="types", TemplateBody=json.dumps(template))["StackId"]
    found = settled(aws, stack)
    assert found["StackStatus"] == "CREATE_COMPLETE"
    shown = {"ParameterKey": "Names", "ParameterValue": "/types/a", "ResolvedValue": "one,two"}
    assert found["Parameters"] == [shown]
    assert written(aws, "/types/b") == "two"
    aws("ssm").put_parameter(Name="/types/a", Value="one,three", Type="StringList", Overwrite=True)
    client.update_stack(StackName="types", UsePreviousTemplate=True)
    assert settled(aws, stack)["StackStatus"] == "UPDATE_COMPLETE"
    assert written(aws, "/types/b") == "three"
    client.delete_stack(StackName=stack)


def test_exports_and_imports(aws: Aws) -> None:
    def producer(value: str, name: str = "shared-word") -> str:
        output = {"Value": {"Ref": "P"}, "Export": {"Name": name}}
        return json.dumps({"Resources": {"P": parameter(value, "x")}, "Outputs": {"Word": output}})

    client = aws("cloudformation")
    consumer = json.dumps({"Resources": {"C": parameter("/im/c", {"Fn::ImportValue": {"Fn::Sub": "shared-word"}})}})
    made = client.create_stack(StackName="producer", TemplateBody=producer("/im/p"))["StackId"]
    settled(aws, made)
    used = client.create_stack(StackName="consumer", TemplateBody=consumer)["StackId"]
    assert settled(aws, used)["StackStatus"] == "CREATE_COMPLETE"
    assert written(aws, "/im/c") == "/im/p"
    assert client.list_exports()["Exports"] == [{"ExportingStackId": made, "Name": "shared-word", "Value": "/im/p"}]
    assert client.list_imports(ExportName="shared-word")["Imports"] == ["consumer"]

    client.delete_stack(StackName="producer")
    stack = settled(aws, made)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert "Cannot delete export shared-word as it is in use by consumer" in stack["StackStatusReason"]
    client.update_stack(StackName="producer", TemplateBody=producer("/im/p", "another-name"))
    stack = settled(aws, made)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    twin = client.create_stack(StackName="twin", TemplateBody=producer("/im/q"))["StackId"]
    assert settled(aws, twin)["StackStatus"] == "ROLLBACK_COMPLETE"

    for stack_id in (used, made, twin):
        client.delete_stack(StackName=stack_id)
        assert settled(aws, stack_id)["StackStatus"] == "DELETE_COMPLETE"
    assert client.list_exports()["Exports"] == []
