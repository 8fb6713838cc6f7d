"""What a state machine's role may do: exact ARNs for static names, wildcards of one type for computed ones.

Where the CDK's own policies are at hand (../shared/specs/iam), those that should be equal are held against them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from millpond import asl
from millpond.asl import codec
from millpond.errors import ProjectError
from millpond.resources.resource import Resource
from millpond.resources.s3 import Bucket
from millpond.resources.sns import Topic
from millpond.resources.states import StateMachine
from millpond.stack import flows

GOLDEN = Path(__file__).parents[3].parent / "shared" / "specs" / "iam" / "cdk_golden.json"
HERE = "${AWS::Region}:${AWS::AccountId}"
ROLE = "arn:aws:iam::111122223333:role/r"
ANY_ROLE = "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"
TOPIC = Topic(name="alerts")


def machine(states: dict[str, Any], **more: Any) -> asl.Machine:
    return codec.from_json({"StartAt": next(iter(states)), "States": states, **more})


def task(resource: str, parameters: dict[str, Any], **more: Any) -> asl.Machine:
    prefix = "" if resource.startswith("arn:") else "arn:aws:states:::"
    return machine(
        {"A": {"Type": "Task", "Resource": prefix + resource, "Parameters": parameters, "End": True, **more}}
    )


def told(given: asl.Machine, *project: Resource) -> set[str]:
    """`action action place`, without the account's parts."""
    lines = set()
    for statement in flows.permissions(given, project, name="flow"):
        for place in statement["Resource"]:
            short = place.replace("arn:${AWS::Partition}:", "").replace(f":{HERE}:", ":")
            condition = f" {json.dumps(statement['Condition'])}" if "Condition" in statement else ""
            lines.add(f"{' '.join(statement['Action'])} {short}{condition}")
    return lines


def passed(role: str, service: str) -> str:
    short = role.replace("arn:${AWS::Partition}:", "")
    return f'iam:PassRole {short} {{"StringEquals": {{"iam:PassedToService": "{service}.amazonaws.com"}}}}'


def rule(name: str) -> str:
    return f"events:DescribeRule events:PutRule events:PutTargets events:rule/StepFunctionsGetEvent{name}Rule"


ROWS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("lambda:invoke.waitForTaskToken", {"FunctionName": "f"}, {"lambda:InvokeFunction lambda:function:f"}),
    ("lambda:invoke", {"FunctionName.$": "$.f"}, {"lambda:InvokeFunction lambda:function:*"}),
    ("lambda:invoke", {"FunctionName": "f", "Qualifier": "live"}, {"lambda:InvokeFunction lambda:function:f:live"}),
    (
        "lambda:invoke",
        {"FunctionName": "arn:aws:lambda:eu-west-1:111122223333:function:f", "Qualifier": "1"},
        {"lambda:InvokeFunction arn:aws:lambda:eu-west-1:111122223333:function:f:1"},
    ),
    ("arn:aws:states:eu-west-1:111122223333:activity:a", {}, set()),
    ("sqs:sendMessage", {"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q"}, {"sqs:SendMessage sqs:q"}),
    ("sqs:sendMessage.waitForTaskToken", {"QueueUrl.$": "$.q"}, {"sqs:SendMessage sqs:*"}),
    ("sns:publish", {"TopicArn": TOPIC.ref}, {"sns:Publish ${AlertsTopic}"}),
    ("sns:publish", {"PhoneNumber.$": "$.p"}, {"sns:Publish *"}),
    ("dynamodb:updateItem", {"TableName": "t"}, {"dynamodb:UpdateItem dynamodb:table/t"}),
    ("dynamodb:getItem", {"TableName": "{% $t %}"}, {"dynamodb:GetItem dynamodb:table/*"}),
    (
        "events:putEvents",
        {"Entries": [{"Source": "s"}, {"EventBusName": "b"}]},
        {"events:PutEvents events:event-bus/default", "events:PutEvents events:event-bus/b"},
    ),
    ("events:putEvents", {"Entries": [{"EventBusName.$": "$.b"}]}, {"events:PutEvents events:event-bus/*"}),
    (
        "states:startExecution.sync:2",
        {"StateMachineArn": "${ChildStateMachine}"},
        {
            "states:StartExecution ${ChildStateMachine}",
            "states:DescribeExecution states:StopExecution states:execution:${AWS::StackName}-child:*",
            rule("sForStepFunctionsExecution"),
        },
    ),
    ("athena:getQueryExecution", {"QueryExecutionId.$": "$.i"}, {"athena:GetQueryExecution athena:workgroup/*"}),
    (
        "batch:submitJob.sync",
        {"JobQueue": "q", "JobDefinition": "d", "JobName": "j"},
        {
            "batch:SubmitJob batch:job-queue/q",
            "batch:SubmitJob batch:job-definition/d",
            "batch:SubmitJob batch:job-definition/d:*",
            "batch:DescribeJobs batch:TerminateJob *",
            rule("sForBatchJobs"),
        },
    ),
    (
        "ecs:runTask",
        {"TaskDefinition": "t"},
        {"ecs:RunTask ecs:task-definition/t:*", passed(ANY_ROLE, "ecs-tasks")},
    ),
    (
        "emr-serverless:startJobRun.sync",
        {"ApplicationId": "a", "ExecutionRoleArn": ROLE},
        {
            "emr-serverless:StartJobRun emr-serverless:/applications/a",
            "emr-serverless:CancelJobRun emr-serverless:GetJobRun emr-serverless:/applications/a/jobruns/*",
            passed(ROLE, "emr-serverless"),
            rule("sForEMRServerlessJob"),
        },
    ),
    (
        "apigateway:invoke",
        {
            "ApiEndpoint": "x1.execute-api.eu-west-1.amazonaws.com",
            "Method": "GET",
            "Stage": "s",
            "AuthType": "IAM_ROLE",
        },
        {"execute-api:Invoke execute-api:x1/s/GET/*"},
    ),
    ("apigateway:invoke", {"ApiEndpoint": "x1.execute-api.eu-west-1.amazonaws.com", "Method": "GET"}, set()),
    (
        "http:invoke",
        {
            "ApiEndpoint": "https://api.example.com/a",
            "Method": "POST",
            "Authentication": {"ConnectionArn": "arn:aws:events:eu-west-1:111122223333:connection/c/1"},
        },
        {
            'states:InvokeHTTPEndpoint states:stateMachine:flow {"StringEquals": {"states:HTTPMethod": "POST"}, '
            '"StringLike": {"states:HTTPEndpoint": "https://api.example.com/a"}}',
            "events:RetrieveConnectionCredentials arn:aws:events:eu-west-1:111122223333:connection/c/1",
            "secretsmanager:DescribeSecret secretsmanager:GetSecretValue secretsmanager:secret:events!connection/c/*",
        },
    ),
    ("apigateway:invoke", {"ApiEndpoint.$": "$.a", "AuthType.$": "$.b"}, {"execute-api:Invoke execute-api:*/*/*/*"}),
    (
        "sagemaker:createModel",
        {},
        {"sagemaker:CreateModel sagemaker:ListTags sagemaker:model/*", passed(ANY_ROLE, "sagemaker")},
    ),
    ("bedrock:invokeModel", {"ModelId": "m"}, {"bedrock:InvokeModel bedrock:${AWS::Region}::foundation-model/m"}),
    ("aws-sdk:s3:listObjectsV2", {"Bucket": "b"}, {"s3:ListBucket s3:::b"}),
    (
        "aws-sdk:s3:copyObject",
        {"Bucket": "b", "Key": "k", "CopySource": "a/x"},
        {"s3:PutObject s3:::b/k", "s3:GetObject s3:::a/x"},
    ),
    (
        "aws-sdk:dynamodb:query",
        {"TableName": "t"},
        {"dynamodb:Query dynamodb:table/t", "dynamodb:Query dynamodb:table/t/index/*"},
    ),
    ("aws-sdk:lambda:invoke", {"FunctionName": "f"}, {"lambda:InvokeFunction lambda:function:f"}),
    ("aws-sdk:sqs:receiveMessage", {"QueueUrl.$": "$.q"}, {"sqs:ReceiveMessage sqs:*"}),
    ("aws-sdk:glue:getJobRun", {"JobName": "j"}, {"glue:GetJobRun glue:job/j"}),
    (
        "aws-sdk:glue:getTable",
        {"DatabaseName": "d", "Name": "t"},
        {"glue:GetTable glue:catalog", "glue:GetTable glue:database/d", "glue:GetTable glue:table/d/t"},
    ),
]


@pytest.mark.parametrize(
    ("resource", "parameters", "expected"),
    ROWS,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_a_task(resource: str, parameters: dict[str, Any], expected: set[str]) -> None:
    child = StateMachine(name="child", definition=machine({"A": {"Type": "Succeed"}}))
    assert told(task(resource, parameters), TOPIC, child) == expected


def test_a_task_in_anothers_name_needs_that_role_only() -> None:
    given = task("dynamodb:getItem", {"TableName": "t"}, Credentials={"RoleArn": ROLE})
    assert told(given) == {f"sts:AssumeRole {ROLE}"}
    computed = task("dynamodb:getItem", {"TableName": "t"}, Credentials={"RoleArn.$": "$.role"})
    assert told(computed) == {"sts:AssumeRole iam::${AWS::AccountId}:role/*"}


@pytest.mark.parametrize("resource", ["aws-sdk:ec2:runInstances", "aws-sdk:s3:restoreObject", "states:nothing"])
def test_a_call_without_a_rule_is_an_error(resource: str) -> None:
    with pytest.raises(ProjectError, match="no IAM rule"):
        told(task(resource, {}))


def distributed(**fields: Any) -> asl.Machine:
    inner = {"StartAt": "B", "States": {"B": {"Type": "Pass", "End": True}}}
    inner["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    inside = {"StartAt": "M", "States": {"M": {"Type": "Map", "ItemProcessor": inner, "End": True, **fields}}}
    return machine({"P": {"Type": "Parallel", "Branches": [inside], "End": True}})


RUNS = {
    "states:StartExecution states:stateMachine:flow",
    "states:DescribeExecution states:StopExecution states:execution:flow:*",
    "states:DescribeExecution states:StopExecution states:execution:flow/*:*",
    "states:RedriveExecution states:execution:flow/*:*",
}
READ = "arn:aws:states:::s3:getObject"
LIST = "arn:aws:states:::s3:listObjectsV2"
WRITE = "s3:AbortMultipartUpload s3:GetObject s3:ListMultipartUploadParts s3:PutObject"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, set()),
        (
            {
                "ItemReader": {
                    "Resource": READ,
                    "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
                    "Parameters": {"Bucket": "b", "Key": "k.csv"},
                },
                "ResultWriter": {
                    "Resource": "arn:aws:states:::s3:putObject",
                    "Parameters": {"Bucket": "b", "Prefix": "out/"},
                },
            },
            {"s3:GetObject s3:::b/k.csv", f"{WRITE} s3:::b/out/*"},
        ),
        (
            {
                "ItemReader": {
                    "Resource": READ,
                    "ReaderConfig": {"InputType": "MANIFEST"},
                    "Parameters": {"Bucket": "b", "Key.$": "$.k"},
                }
            },
            {"s3:GetObject s3:::b/*"},
        ),
        (
            {"ItemReader": {"Resource": LIST, "Parameters": {"Bucket": "b", "Prefix": "in/"}}},
            {'s3:ListBucket s3:::b {"StringLike": {"s3:prefix": "in/*"}}'},
        ),
        ({"ItemReader": {"Resource": LIST, "Parameters": {"Bucket.$": "$.b"}}}, {"s3:ListBucket s3:::*"}),
    ],
)
def test_a_distributed_map_starts_its_own_machine(fields: dict[str, Any], expected: set[str]) -> None:
    assert told(distributed(**fields)) == RUNS | expected


# --------------------------------------------------------------------------------------------------- the CDK's policies

EQUAL: dict[str, dict[str, Any]] = {
    "glue:startJobRun": {"JobName": "j"},
    "glue:startJobRun.sync": {"JobName": "j"},
    "sns:publish": {"TopicArn": "arn:aws:sns:eu-west-1:111122223333:t"},
    "dynamodb:getItem": {"TableName": "tab"},
    "dynamodb:putItem": {"TableName": "tab"},
    "dynamodb:updateItem": {"TableName": "tab"},
    "dynamodb:deleteItem": {"TableName": "tab"},
    "events:putEvents": {"Entries": [{"Source": "s"}]},
    "states:startExecution": {"StateMachineArn": "arn:aws:states:eu-west-1:111122223333:stateMachine:child"},
    "codebuild:startBuild.sync": {"ProjectName": "prj"},
    "codebuild:startBuildBatch.sync": {"ProjectName": "prj"},
    "databrew:startJobRun": {"Name": "dj"},
    "databrew:startJobRun.sync": {"Name": "dj"},
    "bedrock:invokeModel": {"ModelId": "anthropic.claude-v2"},
    "emr-containers:startJobRun.sync": {
        "VirtualClusterId": "vc1",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/emr",
    },
}


def flat(value: Any) -> str:
    """A text of which CloudFormation would join the parts."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(flat(part) for part in value["Fn::Join"][1])
    return "aws" if value == {"Ref": "AWS::Partition"} else json.dumps(value)


def pairs(statements: list[dict[str, Any]]) -> set[tuple[str, str]]:
    def many(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return {
        (action.lower(), flat(place).replace("${AWS::Partition}", "aws").replace("${AWS::Region}", "eu-west-1"))
        for one in statements
        for action in many(one["Action"])
        for place in many(one["Resource"])
    }


@pytest.mark.skipif(not GOLDEN.is_file(), reason=f"{GOLDEN} is absent: no policy was held against the CDK's")
@pytest.mark.parametrize("name", EQUAL)
def test_what_the_cdk_grants(name: str) -> None:
    expected = json.loads(GOLDEN.read_text())[name]
    made = flows.permissions(task(expected["resource"], EQUAL[name]), (Bucket(name="lake"),), name="flow")
    ours = {(action, place.replace("${AWS::AccountId}", "111122223333")) for action, place in pairs(made)}
    assert ours == pairs(expected["statements"])
