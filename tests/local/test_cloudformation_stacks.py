"""Stacks through boto3 against the real endpoint, with the services behind it as they are."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

Aws = Callable[[str], Any]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
FAST = {"Delay": 0.02, "MaxAttempts": 6000}
ROLE = {
    "Type": "AWS::IAM::Role",
    "Properties": {
        "AssumeRolePolicyDocument": TRUST,
        "ManagedPolicyArns": ["arn:aws:iam::aws:policy/service-role/AWSGlueServiceRole"],
        "Policies": [
            {
                "PolicyName": "lake",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": {"Fn::Sub": "${Lake.Arn}/*"}}],
                },
            }
        ],
    },
}


def pipeline(**changes: Any) -> dict[str, Any]:
    """The types of an ETL pipeline, wired to each other."""
    resources: dict[str, Any] = {
        "Lake": {"Type": "AWS::S3::Bucket"},
        "Role": ROLE,
        "Raw": {
            "Type": "AWS::Glue::Database",
            "Properties": {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseInput": {"Name": "cfn_raw"}},
        },
        "Orders": {
            "Type": "AWS::Glue::Table",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseName": {"Ref": "Raw"},
                "TableInput": {
                    "Name": "orders",
                    "TableType": "EXTERNAL_TABLE",
                    "StorageDescriptor": {
                        "Columns": [{"Name": "id", "Type": "bigint"}],
                        "Location": {"Fn::Sub": "s3://${Lake}/orders/"},
                        "NumberOfBuckets": "-1",
                    },
                },
            },
        },
        "Login": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "GenerateSecretString": {
                    "SecretStringTemplate": '{"username": "etl"}',
                    "GenerateStringKey": "password",
                    "ExcludePunctuation": True,
                    "PasswordLength": 20,
                }
            },
        },
        "Alerts": {
            "Type": "AWS::SNS::Topic",
            "Properties": {
                "Subscription": [{"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Inbox", "Arn"]}}],
                "DisplayName": "alerts",
            },
        },
        "Inbox": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": "45"}},
        "Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
        "Setting": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": "/cfn/lake", "Type": "String", "Value": {"Ref": "Lake"}},
        },
        "Nightly": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "ScheduleExpression": "rate(1 day)",
                "State": "DISABLED",
                "Targets": [{"Id": "inbox", "Arn": {"Fn::GetAtt": ["Inbox", "Arn"]}}],
            },
        },
    }
    resources |= changes
    outputs = {"Lake": {"Value": {"Ref": "Lake"}}, "Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}}}
    return {"Resources": {k: v for k, v in resources.items() if v is not None}, "Outputs": outputs}


def run(aws: Aws, name: str, verb: str, template: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Create or update a stack and wait for its end, whatever it is."""
    client = aws("cloudformation")
    body = json.dumps(template)
    stack = getattr(client, f"{verb}_stack")(
        StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"], **more
    )["StackId"]
    return settled(aws, stack)


def settled(aws: Aws, stack: str) -> dict[str, Any]:
    while True:
        found = aws("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            return found
        time.sleep(0.05)


def gone(aws: Aws, stack: str) -> None:
    aws("cloudformation").delete_stack(StackName=stack)
    found = settled(aws, stack)
    assert found["StackStatus"] == "DELETE_COMPLETE", found.get("StackStatusReason")


def why(aws: Aws, stack: str) -> str:
    events = aws("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in events if e["ResourceStatus"].endswith("_FAILED")]
    return "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason')}" for e in failed)


def dump(aws: Aws) -> dict[str, Any]:
    """What the stacks of this file touch, as the services tell it."""
    glue, iam, logs = aws("glue"), aws("iam"), aws("logs")
    tables = {
        f"{d['Name']}.{t['Name']}": t["StorageDescriptor"]
        for d in glue.get_databases()["DatabaseList"]
        for t in glue.get_tables(DatabaseName=d["Name"])["TableList"]
    }
    roles = {
        r["RoleName"]: (
            iam.list_role_policies(RoleName=r["RoleName"])["PolicyNames"],
            iam.list_attached_role_policies(RoleName=r["RoleName"])["AttachedPolicies"],
        )
        for r in iam.list_roles()["Roles"]
    }
    return {
        "tables": tables,
        "databases": [(d["Name"], d.get("Description")) for d in glue.get_databases()["DatabaseList"]],
        "roles": roles,
        "buckets": [b["Name"] for b in aws("s3").list_buckets()["Buckets"]],
        "logs": [(g["logGroupName"], g.get("retentionInDays")) for g in logs.describe_log_groups()["logGroups"]],
        "topics": {t["TopicArn"]: subscriptions(aws, t["TopicArn"]) for t in aws("sns").list_topics()["Topics"]},
        "queues": {
            url: aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])["Attributes"]
            for url in aws("sqs").list_queues().get("QueueUrls", [])
        },
        "secrets": [s["Name"] for s in aws("secretsmanager").list_secrets()["SecretList"]],
        "parameters": [p["Name"] for p in aws("ssm").describe_parameters()["Parameters"]],
        "rules": [
            (r["Name"], r["State"], r.get("ScheduleExpression"), r.get("Description"))
            for r in aws("events").list_rules()["Rules"]
        ],
    }


def subscriptions(aws: Aws, topic: str) -> list[tuple[str, str]]:
    found = aws("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return sorted((item["Protocol"], item["Endpoint"]) for item in found)


def test_a_pipeline_lives_and_dies(aws: Aws) -> None:
    empty = dump(aws)
    stack = run(aws, "pipe", "create", pipeline(), Tags=[{"Key": "team", "Value": "data"}])
    assert stack["StackStatus"] == "CREATE_COMPLETE", why(aws, "pipe")
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stack["Outputs"]}
    lake = outputs["Lake"]
    assert lake.startswith("pipe-lake-") and len(lake) == len("pipe-lake-") + 12
    table = aws("glue").get_table(DatabaseName="cfn_raw", Name="orders")["Table"]
    assert table["StorageDescriptor"]["Location"] == f"s3://{lake}/orders/"
    assert table["StorageDescriptor"]["NumberOfBuckets"] == -1
    assert aws("ssm").get_parameter(Name="/cfn/lake")["Parameter"]["Value"] == lake
    resources = {
        item["LogicalResourceId"]: item
        for item in aws("cloudformation").describe_stack_resources(StackName="pipe")["StackResources"]
    }
    login = json.loads(
        aws("secretsmanager").get_secret_value(SecretId=resources["Login"]["PhysicalResourceId"])["SecretString"]
    )
    assert login["username"] == "etl" and len(login["password"]) == 20 and login["password"].isalnum()
    tags = aws("secretsmanager").describe_secret(SecretId=resources["Login"]["PhysicalResourceId"])["Tags"]
    assert tags == [{"Key": "team", "Value": "data"}]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        run(aws, "pipe", "update", pipeline())
    gone(aws, stack["StackId"])
    assert dump(aws) == empty


def better() -> dict[str, Any]:
    return pipeline(
        Inbox={"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 60}},
        Log={"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
        Raw={
            "Type": "AWS::Glue::Database",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseInput": {"Name": "cfn_raw2", "Description": "replaced"},
            },
        },
        Alerts={"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": "no subscription any more"}},
        Setting=None,
        Second={"Type": "AWS::S3::Bucket"},
    )


def test_update_replaces_what_must_be(aws: Aws) -> None:
    stack = run(aws, "upd", "create", pipeline())["StackId"]
    found = run(aws, "upd", "update", better())
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "upd")
    databases = [d["Name"] for d in aws("glue").get_databases()["DatabaseList"]]
    assert "cfn_raw2" in databases and "cfn_raw" not in databases
    assert aws("glue").get_table(DatabaseName="cfn_raw2", Name="orders")["Table"]["Name"] == "orders"
    assert all(not subs for topic, subs in dump(aws)["topics"].items() if ":upd-Alerts" in topic)
    assert "/cfn/lake" not in dump(aws)["parameters"]
    gone(aws, stack)


# Each makes the update fail after a different set of resources has been changed.
POISONS = ["Lake", "Role", "Raw", "Orders", "Login", "Alerts", "Inbox", "Log"]


@pytest.mark.parametrize("after", POISONS)
def test_s6_failed_update_leaves_everything_as_it_was(aws: Aws, after: str) -> None:
    stack = run(aws, "six", "create", pipeline())["StackId"]
    before = dump(aws)
    template = better()
    template["Resources"]["Poison"] = {
        "Type": "AWS::Glue::Table",
        "DependsOn": after,
        "Properties": {"CatalogId": "000000000000", "DatabaseName": "no_such_database", "TableInput": {"Name": "x"}},
    }
    found = run(aws, "six", "update", template)
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", why(aws, "six")
    assert "HandlerErrorCode: NotFound" in why(aws, "six")
    assert dump(aws) == before
    gone(aws, stack)


def test_s6_failed_create_leaves_nothing(aws: Aws) -> None:
    before = dump(aws)
    template = pipeline(
        Poison={
            "Type": "AWS::Glue::Table",
            "DependsOn": ["Orders", "Nightly", "Setting", "Role", "Login", "Log"],
            "Properties": {"CatalogId": "000000000000", "DatabaseName": "nope", "TableInput": {"Name": "x"}},
        }
    )
    found = run(aws, "half", "create", template)
    assert found["StackStatus"] == "ROLLBACK_COMPLETE"
    assert dump(aws) == before
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        run(aws, "half", "update", pipeline())
    gone(aws, found["StackId"])


def test_waiters(aws: Aws) -> None:
    client = aws("cloudformation")
    body = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    client.create_stack(StackName="waits", TemplateBody=body)
    client.get_waiter("stack_create_complete").wait(StackName="waits", WaiterConfig=FAST)
    client.delete_stack(StackName="waits")
    client.get_waiter("stack_delete_complete").wait(StackName="waits", WaiterConfig=FAST)
    bad = {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "INVALID_Bucket!"}}}}
    client.create_stack(StackName="waits", TemplateBody=json.dumps(bad))
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        client.get_waiter("stack_create_complete").wait(StackName="waits", WaiterConfig=FAST)
    client.delete_stack(StackName="waits")


def test_a_bucket_with_objects_is_not_deleted(aws: Aws) -> None:
    template = {"Resources": {"B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "cfn-full"}}}}
    stack = run(aws, "full", "create", template)["StackId"]
    aws("s3").put_object(Bucket="cfn-full", Key="a", Body=b"x")
    aws("cloudformation").delete_stack(StackName="full")
    assert settled(aws, stack)["StackStatus"] == "DELETE_FAILED"
    assert "not empty" in why(aws, stack)
    aws("s3").delete_object(Bucket="cfn-full", Key="a")
    gone(aws, stack)


def test_a_template_in_s3(aws: Aws, endpoint: Any) -> None:
    aws("s3").create_bucket(Bucket="cfn-templates")
    body = json.dumps({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}})
    aws("s3").put_object(Bucket="cfn-templates", Key="a/t.json", Body=body.encode())
    url = f"{endpoint.url}/cfn-templates/a/t.json"
    found = aws("cloudformation").validate_template(TemplateURL=url)
    assert found["Parameters"] == []
    stack = aws("cloudformation").create_stack(
        StackName="url", TemplateURL="https://cfn-templates.s3.us-east-1.amazonaws.com/a/t.json"
    )["StackId"]
    assert settled(aws, stack)["StackStatus"] == "CREATE_COMPLETE"
    gone(aws, stack)
    with pytest.raises(ClientError, match="S3 error"):
        aws("cloudformation").validate_template(TemplateURL=f"{endpoint.url}/cfn-templates/none")
    for other in ("http://example.com/a/t.json", "http://169.254.169.254/x/y", "file:///etc/passwd"):
        with pytest.raises(ClientError, match="TemplateURL must be a supported URL"):
            aws("cloudformation").validate_template(TemplateURL=other)


def test_athena_and_state_machine(aws: Aws) -> None:
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Result": "${Word}", "End": True}}}
    template = {
        "Resources": {
            "Group": {
                "Type": "AWS::Athena::WorkGroup",
                "Properties": {
                    "Name": "cfn-group",
                    "WorkGroupConfiguration": {"ResultConfiguration": {"OutputLocation": "s3://cfn-results/"}},
                },
            },
            "Query": {
                "Type": "AWS::Athena::NamedQuery",
                "Properties": {"Database": "default", "QueryString": "SELECT 1", "WorkGroup": {"Ref": "Group"}},
            },
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
            "Flow": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                    "DefinitionString": json.dumps(definition),
                    "DefinitionSubstitutions": {"Word": 'a "word"'},
                },
            },
        }
    }
    found = run(aws, "flow", "create", template)
    assert found["StackStatus"] == "CREATE_COMPLETE", why(aws, "flow")
    resource = aws("cloudformation").describe_stack_resource(StackName="flow", LogicalResourceId="Flow")
    arn = resource["StackResourceDetail"]["PhysicalResourceId"]
    machine = aws("stepfunctions").describe_state_machine(stateMachineArn=arn)
    assert json.loads(machine["definition"])["States"]["A"]["Result"] == 'a "word"'
    template["Resources"]["Flow"]["Properties"]["DefinitionSubstitutions"]["Word"] = "other"
    template["Resources"]["Group"]["Properties"]["Description"] = "changed"
    found = run(aws, "flow", "update", template)
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "flow")
    machine = aws("stepfunctions").describe_state_machine(stateMachineArn=arn)
    assert json.loads(machine["definition"])["States"]["A"]["Result"] == "other"
    assert aws("athena").get_work_group(WorkGroup="cfn-group")["WorkGroup"]["Description"] == "changed"
    gone(aws, found["StackId"])


@pytest.mark.usefixtures("no_runtime")
def test_glue_jobs_crawlers_and_connections(aws: Aws) -> None:
    template = {
        "Resources": {
            "Lake": {"Type": "AWS::S3::Bucket"},
            "Role": ROLE,
            "Db": {
                "Type": "AWS::Glue::Database",
                "Properties": {"CatalogId": "000000000000", "DatabaseInput": {"Name": "cfn_jobs"}},
            },
            "Shop": {
                "Type": "AWS::Glue::Connection",
                "Properties": {
                    "CatalogId": "000000000000",
                    "ConnectionInput": {
                        "ConnectionType": "JDBC",
                        "ConnectionProperties": {
                            "JDBC_CONNECTION_URL": "jdbc:postgresql://localhost:5432/shop",
                            "USERNAME": "u",
                            "PASSWORD": "p",
                        },
                    },
                },
            },
            "Ingest": {
                "Type": "AWS::Glue::Job",
                "Properties": {
                    "Role": {"Ref": "Role"},
                    "Command": {"Name": "glueetl", "ScriptLocation": {"Fn::Sub": "s3://${Lake}/a.py"}},
                    "GlueVersion": "5.0",
                    "NumberOfWorkers": "2",
                    "WorkerType": "G.1X",
                    "Connections": {"Connections": [{"Ref": "Shop"}]},
                    "DefaultArguments": {"--job-bookmark-option": "job-bookmark-enable"},
                },
            },
            "Crawl": {
                "Type": "AWS::Glue::Crawler",
                "Properties": {
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "DatabaseName": {"Ref": "Db"},
                    "Targets": {"S3Targets": [{"Path": {"Fn::Sub": "s3://${Lake}/raw/"}}]},
                },
            },
        }
    }
    found = run(aws, "glue", "create", template, Tags=[{"Key": "team", "Value": "data"}])
    assert found["StackStatus"] == "CREATE_COMPLETE", why(aws, "glue")
    resources = aws("cloudformation").describe_stack_resources(StackName="glue")["StackResources"]
    ids = {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in resources}
    job = aws("glue").get_job(JobName=ids["Ingest"])["Job"]
    assert job["NumberOfWorkers"] == 2 and job["Connections"]["Connections"] == [ids["Shop"]]
    template["Resources"]["Ingest"]["Properties"]["NumberOfWorkers"] = 3
    template["Resources"]["Crawl"]["Properties"]["TablePrefix"] = "raw_"
    found = run(aws, "glue", "update", template, Tags=[{"Key": "team", "Value": "lake"}])
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "glue")
    assert aws("glue").get_job(JobName=ids["Ingest"])["Job"]["NumberOfWorkers"] == 3
    assert aws("glue").get_crawler(Name=ids["Crawl"])["Crawler"]["TablePrefix"] == "raw_"
    arn = f"arn:aws:glue:us-east-1:000000000000:job/{ids['Ingest']}"
    assert aws("glue").get_tags(ResourceArn=arn)["Tags"] == {"team": "lake"}
    gone(aws, found["StackId"])
    assert "cfn_jobs" not in [d["Name"] for d in aws("glue").get_databases()["DatabaseList"]]


FUNCTION = "def handler(event, context):\n    return {'word': event.get('word', 'none')}\n"


def function(code: Any, **more: Any) -> dict[str, Any]:
    return {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
            "Fn": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": code,
                    "Handler": "index.handler",
                    "Runtime": "python3.12",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    **more,
                },
            },
            "Allowed": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "FunctionName": {"Ref": "Fn"},
                    "Action": "lambda:InvokeFunction",
                    "Principal": "events.amazonaws.com",
                },
            },
        },
        "Outputs": {"Name": {"Value": {"Ref": "Fn"}}},
    }


def test_lambda_inline_and_from_s3(aws: Aws) -> None:
    found = run(aws, "fn", "create", function({"ZipFile": FUNCTION}, Timeout=5))
    assert found["StackStatus"] == "CREATE_COMPLETE", why(aws, "fn")
    name = found["Outputs"][0]["OutputValue"]
    answer = aws("lambda").invoke(FunctionName=name, Payload=b'{"word": "hello"}')
    assert json.loads(answer["Payload"].read()) == {"word": "hello"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return 'from s3'\n")
    aws("s3").create_bucket(Bucket="cfn-code")
    aws("s3").put_object(Bucket="cfn-code", Key="f.zip", Body=packed.getvalue())
    found = run(aws, "fn", "update", function({"S3Bucket": "cfn-code", "S3Key": "f.zip"}, Timeout=9))
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "fn")
    assert json.loads(aws("lambda").invoke(FunctionName=name)["Payload"].read()) == "from s3"
    assert aws("lambda").get_function_configuration(FunctionName=name)["Timeout"] == 9
    gone(aws, found["StackId"])


CUSTOM = """
import json, urllib.request
def handler(event, context):
    word = event["ResourceProperties"]["Word"]
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "thing-" + word, "Data": {"Upper": word.upper()},
              "StackId": event["StackId"], "RequestId": event["RequestId"],
              "LogicalResourceId": event["LogicalResourceId"]}
    if word == "bad":
        answer |= {"Status": "FAILED", "Reason": "bad word"}
    request = urllib.request.Request(event["ResponseURL"], json.dumps(answer).encode(), method="PUT")
    request.add_header("Content-Type", "")
    urllib.request.urlopen(request).read()
"""


def test_custom_resource(aws: Aws) -> None:
    def template(word: str) -> dict[str, Any]:
        made = function({"ZipFile": CUSTOM})
        made["Resources"]["Thing"] = {
            "Type": "Custom::Thing",
            "Properties": {"ServiceToken": {"Fn::GetAtt": ["Fn", "Arn"]}, "Word": word},
        }
        made["Outputs"] = {"Upper": {"Value": {"Fn::GetAtt": ["Thing", "Upper"]}}, "Id": {"Value": {"Ref": "Thing"}}}
        return made

    found = run(aws, "custom", "create", template("one"))
    assert found["StackStatus"] == "CREATE_COMPLETE", why(aws, "custom")
    assert {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]} == {"Upper": "ONE", "Id": "thing-one"}
    found = run(aws, "custom", "update", template("two"))
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "custom")
    assert {o["OutputKey"]: o["OutputValue"] for o in found["Outputs"]} == {"Upper": "TWO", "Id": "thing-two"}
    found = run(aws, "custom", "update", template("bad"))
    assert found["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Message returned: bad word" in why(aws, "custom")
    gone(aws, found["StackId"])


def test_nested_stack(aws: Aws, endpoint: Any) -> None:
    child = {
        "Parameters": {"Seconds": {"Type": "Number"}},
        "Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": {"Ref": "Seconds"}}}},
        "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Q", "Arn"]}}},
    }
    aws("s3").create_bucket(Bucket="cfn-nested")
    aws("s3").put_object(Bucket="cfn-nested", Key="child.json", Body=json.dumps(child).encode())

    def parent(seconds: int) -> dict[str, Any]:
        inner = {"TemplateURL": f"{endpoint.url}/cfn-nested/child.json", "Parameters": {"Seconds": seconds}}
        return {
            "Resources": {"Inner": {"Type": "AWS::CloudFormation::Stack", "Properties": inner}},
            "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Inner", "Outputs.Arn"]}}},
        }

    found = run(aws, "outer", "create", parent(5))
    assert found["StackStatus"] == "CREATE_COMPLETE", why(aws, "outer")
    assert found["Outputs"][0]["OutputValue"].startswith("arn:aws:sqs:us-east-1:000000000000:outer-Inner-")
    found = run(aws, "outer", "update", parent(6))
    assert found["StackStatus"] == "UPDATE_COMPLETE", why(aws, "outer")
    gone(aws, found["StackId"])
    assert not [s for s in aws("cloudformation").describe_stacks()["Stacks"] if s["StackName"].startswith("outer")]
