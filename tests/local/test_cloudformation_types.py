"""Every resource type once: created, updated and deleted inside a stack, on the real services."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

Aws = Callable[[str], Any]
ACCOUNT = "000000000000"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
OTHER = {**POLICY, "Id": "other"}
OLD = {"Statement": POLICY["Statement"]}  # as SAM's policy templates


def att(name: str, attribute: str = "Arn") -> dict[str, Any]:
    return {"Fn::GetAtt": [name, attribute]}


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


STORAGE = {"Columns": [{"Name": "a", "Type": "int"}], "Location": "s3://x/"}
MACHINE = {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}
SCHEMA = {"Name": "sch", "DataFormat": "AVRO", "Compatibility": "NONE", "SchemaDefinition": '"string"'}
BASIS: dict[str, Any] = {
    "Sch": {"Type": "AWS::Glue::Schema", "Properties": SCHEMA},
    "Role": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [{"PolicyName": "inline", "PolicyDocument": OLD}],
        },
    },
    "B": {"Type": "AWS::S3::Bucket"},
    "Q": {"Type": "AWS::SQS::Queue"},
    "T": {"Type": "AWS::SNS::Topic"},
    "Db": {"Type": "AWS::Glue::Database", "Properties": {"CatalogId": ACCOUNT, "DatabaseInput": {"Name": "types"}}},
    "Tb": {
        "Type": "AWS::Glue::Table",
        "Properties": {
            "CatalogId": ACCOUNT,
            "DatabaseName": ref("Db"),
            "TableInput": {
                "Name": "t",
                "PartitionKeys": [{"Name": "p", "Type": "string"}],
                "StorageDescriptor": STORAGE,
            },
        },
    },
    "J": {
        "Type": "AWS::Glue::Job",
        "Properties": {"Role": ref("Role"), "Command": {"Name": "pythonshell", "ScriptLocation": "s3://a/b.py"}},
    },
    "SM": {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"RoleArn": att("Role"), "Definition": MACHINE}},
    "F": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Code": {"ZipFile": "def handler(e,c): return 1"},
            "Handler": "index.handler",
            "Runtime": "python3.12",
            "Role": att("Role"),
        },
    },
}
CONFIGURED = {
    "VersioningConfiguration": {"Status": "Enabled"},
    "PublicAccessBlockConfiguration": {"BlockPublicAcls": True},
    "BucketEncryption": {
        "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
    },
    "LifecycleConfiguration": {"Rules": [{"Id": "a", "Status": "Enabled", "Prefix": "tmp/", "ExpirationInDays": 3}]},
    "CorsConfiguration": {"CorsRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]},
    "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    "Tags": [{"Key": "a", "Value": "b"}],
}
FN, TAGS = {"FunctionName": ref("F")}, [{"Key": "a", "Value": "b"}]
QUERY = {"Database": "d", "QueryString": "select 1"}
TARGETS = [{"Id": "1", "Arn": att("Q")}]
SCHEDULE = {
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "ScheduleExpression": "rate(1 day)",
    "Target": {"Arn": att("Q"), "RoleArn": att("Role")},
}
PARTITION = {
    "CatalogId": ACCOUNT,
    "DatabaseName": ref("Db"),
    "TableName": ref("Tb"),
    "PartitionInput": {"Values": ["1"], "StorageDescriptor": STORAGE},
}
ENCRYPTION = {"S3Encryptions": [{"S3EncryptionMode": "DISABLED"}]}
AT_REST = {"EncryptionAtRest": {"CatalogEncryptionMode": "DISABLED"}}
PREPARED = {"StatementName": "ps", "WorkGroup": "primary", "QueryStatement": "select 1"}

# (type, properties, what an update changes)
TYPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("AWS::S3::BucketPolicy", {"Bucket": ref("B"), "PolicyDocument": POLICY}, {"PolicyDocument": OTHER}),
    ("AWS::S3::Bucket", CONFIGURED, {"VersioningConfiguration": {"Status": "Suspended"}, "Tags": []}),
    ("AWS::IAM::Policy", {"PolicyName": "p", "PolicyDocument": OLD, "Roles": [ref("Role")]}, {"PolicyName": "p2"}),
    ("AWS::IAM::ManagedPolicy", {"PolicyDocument": POLICY, "Roles": [ref("Role")]}, {"PolicyDocument": OTHER}),
    ("AWS::IAM::InstanceProfile", {"Roles": [ref("Role")]}, {"Roles": []}),
    ("AWS::Glue::Partition", PARTITION, {"PartitionInput": {**PARTITION["PartitionInput"], "Parameters": {"a": "b"}}}),
    ("AWS::Glue::Classifier", {"CsvClassifier": {"Name": "c", "Delimiter": "|", "ContainsCustomDatatype": ["INT"]}},
     {"CsvClassifier": {"Name": "c", "Delimiter": ";", "ContainsCustomDatatype": ["DATE"]}}),
    ("AWS::Glue::Trigger", {"Type": "ON_DEMAND", "Actions": [{"JobName": ref("J")}]}, {"Description": "x"}),
    ("AWS::Glue::Workflow", {"Description": "a"}, {"Description": "b"}),
    ("AWS::Glue::SecurityConfiguration", {"Name": "sc", "EncryptionConfiguration": ENCRYPTION}, {"Name": "sc2"}),
    ("AWS::Glue::Registry", {"Name": "reg", "Tags": TAGS}, {"Description": "x"}),
    ("AWS::Glue::Schema", {**SCHEMA, "Name": "other"},
     {"Compatibility": "FULL", "CheckpointVersion": {"IsLatest": True}}),
    ("AWS::Glue::SchemaVersion", {"Schema": {"SchemaArn": att("Sch")}, "SchemaDefinition": '"int"'},
     {"SchemaDefinition": '"long"'}),
    ("AWS::Glue::SchemaVersionMetadata",
     {"SchemaVersionId": att("Sch", "InitialSchemaVersionId"), "Key": "k", "Value": "a"}, {"Value": "b"}),
    ("AWS::Glue::DataQualityRuleset", {"Name": "dq", "Ruleset": "Rules = [ RowCount > 1 ]"}, {"Description": "x"}),
    ("AWS::Glue::DataCatalogEncryptionSettings", {"CatalogId": ACCOUNT, "DataCatalogEncryptionSettings": AT_REST}, {}),
    ("AWS::Athena::WorkGroup", {"Name": "wg"}, {"State": "DISABLED"}),
    ("AWS::Athena::NamedQuery", QUERY, {"QueryString": "select 2"}),
    ("AWS::Athena::DataCatalog", {"Name": "dc", "Type": "GLUE", "Parameters": {"catalog-id": ACCOUNT}},
     {"Description": "x"}),
    ("AWS::Athena::PreparedStatement", PREPARED, {"QueryStatement": "select 2"}),
    ("AWS::StepFunctions::StateMachineVersion", {"StateMachineArn": ref("SM")}, {"Description": "two"}),
    ("AWS::StepFunctions::Activity", {"Name": "act"}, {"Name": "act2"}),
    ("AWS::Lambda::Version", FN, {"Description": "two"}),
    ("AWS::Lambda::Alias", {**FN, "Name": "live", "FunctionVersion": "$LATEST"}, {"Description": "two"}),
    ("AWS::Lambda::Permission", {**FN, "Action": "lambda:InvokeFunction", "Principal": "sns.amazonaws.com"},
     {"Principal": "s3.amazonaws.com"}),
    ("AWS::Lambda::EventInvokeConfig", {**FN, "Qualifier": "$LATEST", "MaximumRetryAttempts": 0},
     {"MaximumRetryAttempts": 1}),
    ("AWS::Lambda::EventSourceMapping", {**FN, "EventSourceArn": att("Q")}, {"BatchSize": 3}),
    ("AWS::SNS::Subscription", {"TopicArn": ref("T"), "Protocol": "sqs", "Endpoint": att("Q")},
     {"RawMessageDelivery": True}),
    ("AWS::SNS::TopicPolicy", {"Topics": [ref("T")], "PolicyDocument": POLICY}, {"PolicyDocument": OTHER}),
    ("AWS::SQS::QueuePolicy", {"Queues": [ref("Q")], "PolicyDocument": POLICY}, {"PolicyDocument": OTHER}),
    ("AWS::SQS::Queue", {"FifoQueue": True}, {"ContentBasedDeduplication": True}),
    ("AWS::SNS::Topic", {"FifoTopic": "true"}, {"DisplayName": "x"}),
    ("AWS::Logs::LogGroup", {"LogGroupName": "/x"}, {"RetentionInDays": 3}),
    ("AWS::Events::EventBus", {"Name": "bus"}, {"Name": "bus2"}),
    ("AWS::Events::Rule", {"EventPattern": {"source": ["aws.glue"]}, "Targets": TARGETS, "Tags": TAGS},
     {"State": "DISABLED", "Tags": []}),
    ("AWS::Scheduler::Schedule", SCHEDULE, {"State": "DISABLED"}),
    ("AWS::Scheduler::ScheduleGroup", {"Name": "sg"}, {"Name": "sg2"}),
    ("AWS::CDK::Metadata", {"Analytics": "x"}, {"Analytics": "y"}),
    ("AWS::CloudFormation::WaitConditionHandle", {}, {}),
    ("AWS::SecretsManager::Secret", {"SecretString": "x", "Tags": TAGS}, {"SecretString": "y", "Description": "z"}),
    ("AWS::SSM::Parameter", {"Type": "String", "Value": "x", "Tags": {"a": "b"}}, {"Value": "y", "Tags": {"c": "d"}}),
]  # fmt: skip


def settled(aws: Aws) -> str:
    while True:
        found = aws("cloudformation").describe_stacks(StackName="types")["Stacks"]
        if not found[0]["StackStatus"].endswith("_IN_PROGRESS"):
            return str(found[0]["StackStatus"])
        time.sleep(0.02)


def update(aws: Aws, resources: dict[str, Any]) -> str:
    body = json.dumps({"Resources": resources})
    aws("cloudformation").update_stack(StackName="types", TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    return settled(aws)


def failures(aws: Aws, since: set[str]) -> list[str]:
    events = aws("cloudformation").describe_stack_events(StackName="types")["StackEvents"]
    return [
        str(event.get("ResourceStatusReason"))
        for event in events
        if event["ResourceStatus"].endswith("_FAILED") and event["EventId"] not in since
    ]


@pytest.fixture(scope="module")
def basis(aws: Aws) -> Iterator[None]:
    body = json.dumps({"Resources": BASIS})
    client = aws("cloudformation")
    stack = client.create_stack(StackName="types", TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])["StackId"]
    assert settled(aws) == "CREATE_COMPLETE", failures(aws, set())
    yield
    client.delete_stack(StackName="types")
    client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 0.02, "MaxAttempts": 6000})


@pytest.mark.parametrize(("kind", "properties", "change"), TYPES, ids=[kind for kind, _, _ in TYPES])
def test_type(aws: Aws, basis: None, kind: str, properties: dict[str, Any], change: dict[str, Any]) -> None:
    events = aws("cloudformation").describe_stack_events(StackName="types")["StackEvents"]
    seen = {event["EventId"] for event in events}
    try:
        status = update(aws, {**BASIS, "X": {"Type": kind, "Properties": properties}})
    except ClientError as error:
        # Refused before anything ran, because the service behind the type does not carry it.
        assert "Unrecognized resource types" in str(error) and "Millpond does not carry" in str(error)
        pytest.skip(f"{kind} is refused: its service does not carry it")
    assert status == "UPDATE_COMPLETE", failures(aws, seen)
    if change:
        status = update(aws, {**BASIS, "X": {"Type": kind, "Properties": {**properties, **change}}})
        assert status == "UPDATE_COMPLETE", failures(aws, seen)
    assert update(aws, BASIS) == "UPDATE_COMPLETE"
    assert failures(aws, seen) == []  # a cleanup that fails shows only here
    resources = aws("cloudformation").describe_stack_resources(StackName="types")["StackResources"]
    assert {item["LogicalResourceId"] for item in resources} == BASIS.keys()
