"""Names, parameters, answers and errors between ASL and botocore."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.states import sdk

NAMED = {
    "glue": "glue",
    "sfn": "stepfunctions",
    "cloudwatchlogs": "logs",
    "cloudwatch": "cloudwatch",
    "eventbridge": "events",
    "secretsmanager": "secretsmanager",
    "databasemigration": "dms",
    "elasticloadbalancingv2": "elbv2",
    "emrserverless": "emr-serverless",
    "s3": "s3",
    "nope": None,
}


@pytest.mark.parametrize("name", NAMED)
def test_service_names(name: str) -> None:
    assert sdk.service_named(name) == NAMED[name]


JAVA = {
    "dynamodb": "DynamoDb",
    "stepfunctions": "Sfn",
    "logs": "CloudWatchLogs",
    "s3": "S3",
    "ec2": "Ec2",
    "secretsmanager": "SecretsManager",
    "glue": "Glue",
    "sagemaker": "SageMaker",
}


@pytest.mark.parametrize("service", JAVA)
def test_java_names(service: str) -> None:
    assert sdk.java_name(service) == JAVA[service]


def test_knows() -> None:
    assert sdk.knows("glue", "startCrawler") and sdk.knows("sfn", "startExecution")
    assert not sdk.knows("glue", "dance") and not sdk.knows("nope", "dance")


def convert(service: str, action: str, arguments: Any) -> dict[str, Any]:
    operation = sdk.operation_named(service, action)
    assert operation is not None
    return sdk.parameters(operation, arguments)


def test_members_are_pascal_case() -> None:
    converted = convert("logs", "createLogGroup", {"LogGroupName": "g", "Tags": {"a": "b"}})
    assert converted == {"logGroupName": "g", "tags": {"a": "b"}}
    nested = convert("ecs", "runTask", {"TaskDefinition": "t", "Overrides": {"ContainerOverrides": [{"Name": "n"}]}})
    assert nested == {"taskDefinition": "t", "overrides": {"containerOverrides": [{"name": "n"}]}}


def test_blobs_and_timestamps_come_in_as_text() -> None:
    assert convert("s3", "putObject", {"Bucket": "b", "Key": "k", "Body": {"a": 1}})["Body"] == b'{"a":1}'
    stamp = convert("logs", "startQuery", {"QueryString": "q", "StartTime": 1, "EndTime": 2.0})
    assert (stamp["startTime"], stamp["endTime"]) == (1, 2)


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(sdk.ParameterError) as caught:
        convert("glue", "startJobRun", {"JobName": 1, "Arguments": {"a": 1}, "Foo": 2})
    assert str(caught.value) == (
        "The value for the field 'JobName' must be a STRING, The value for the field 'a' must be a STRING, "
        'The field "Foo" is not supported by Step Functions'
    )


def test_answers() -> None:
    operation = sdk.operation_named("stepfunctions", "describeExecution")
    assert operation is not None
    when = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    response = {"startDate": when, "name": "n", "inputDetails": {"included": True}, "ResponseMetadata": {}}
    assert sdk.answer(operation, response) == {
        "StartDate": "2026-01-02T03:04:05.600Z",
        "Name": "n",
        "InputDetails": {"Included": True},
    }
    assert sdk.answer(operation, response, millis=True)["StartDate"] == 1767323045600


def error(code: str) -> ClientError:
    response = {
        "Error": {
            "Code": "Old.Code" if code == "QueueDoesNotExist" else code,
            "Message": "said",
            "QueryErrorCode": code,
        },
        "ResponseMetadata": {"HTTPStatusCode": 404, "RequestId": "r"},
    }
    return ClientError(response, "Op")  # type: ignore[arg-type]


ERRORS = [
    ("s3", "getObject", "NoSuchKey", "S3.NoSuchKeyException"),
    ("s3", "getObject", "SlowDown", "S3.S3Exception"),
    ("glue", "getTable", "EntityNotFoundException", "Glue.EntityNotFoundException"),
    ("dynamodb", "putItem", "ConditionalCheckFailedException", "DynamoDb.ConditionalCheckFailedException"),
    ("stepfunctions", "startExecution", "ExecutionAlreadyExists", "Sfn.ExecutionAlreadyExistsException"),
    ("rds", "describeDBInstances", "DBInstanceNotFound", "Rds.DBInstanceNotFoundException"),
    ("sqs", "sendMessage", "QueueDoesNotExist", "Sqs.QueueDoesNotExistException"),
]


@pytest.mark.parametrize(("service", "action", "code", "name"), ERRORS)
def test_errors_are_named_as_the_java_sdk_does(service: str, action: str, code: str, name: str) -> None:
    operation = sdk.operation_named(service, action)
    assert operation is not None
    found, cause = sdk.failure(service, operation, error(code), optimised=False)
    assert found == name
    assert cause == f"said (Service: {name.partition('.')[0]}, Status Code: 404, Request ID: r)"
