"""Names, parameters, answers and errors between ASL and botocore."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.states import sdk
from millpond.local.states.integrations import errors

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
    "config": "config",
    "costandusagereport": "cur",
    "costexplorer": "ce",
    "directory": "ds",
    "elasticsearch": "es",
    "lexruntime": "lex-runtime",
    "rdsdata": "rds-data",
    "nope": None,
    "logs": None,
    "stepfunctions": None,
    "dms": None,
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
    "iotsitewise": "IoTSiteWise",
    "iot": "Iot",
    "elbv2": "ElasticLoadBalancingV2",
    "wafv2": "Wafv2",
    "xray": "XRay",
    "iot1click-projects": "Iot1ClickProjects",
    "acm-pca": "AcmPca",
    "dms": "DatabaseMigration",
    "es": "Elasticsearch",
}
"""AWS Step Functions Developer Guide, "Supported AWS SDK integrations": exception prefixes."""


@pytest.mark.parametrize("service", JAVA)
def test_java_names(service: str) -> None:
    assert errors.java_name(service) == JAVA[service]


MEMBERS = {
    "DBInstanceIdentifier": "DbInstanceIdentifier",
    "ETag": "ETag",
    "SSEKMSKeyId": "SsekmsKeyId",
    "SSECustomerAlgorithm": "SseCustomerAlgorithm",
    "MD5OfMessageBody": "Md5OfMessageBody",
    "BOOL": "Bool",
    "NULL": "Nul",
    "SS": "Ss",
    "executionArn": "ExecutionArn",
    "ChecksumSHA256": "ChecksumSHA256",
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members_as_the_java_sdk_spells_them(name: str) -> None:
    assert sdk.member(name, "sdk") == MEMBERS[name]


def test_knows() -> None:
    assert sdk.knows("glue", "startCrawler") and sdk.knows("sfn", "startExecution")
    assert not sdk.knows("glue", "dance") and not sdk.knows("nope", "dance")
    assert sdk.knows("sts", "getCallerIdentity") and not sdk.knows("sts", "assumeRole")
    assert not sdk.knows("kinesis", "subscribeToShard")  # an event stream


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


def test_both_spellings_are_taken() -> None:
    assert convert("rds", "stopDBInstance", {"DbInstanceIdentifier": "d"}) == {"DBInstanceIdentifier": "d"}
    assert convert("rds", "stopDBInstance", {"DBInstanceIdentifier": "d"}) == {"DBInstanceIdentifier": "d"}
    value = convert("dynamodb", "putItem", {"TableName": "t", "Item": {"a": {"Bool": True}, "b": {"BOOL": False}}})
    assert value["Item"] == {"a": {"BOOL": True}, "b": {"BOOL": False}}


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(sdk.ParameterError) as caught:
        convert("glue", "startJobRun", {"JobName": 1, "Arguments": {"a": 1}, "Foo": 2})
    assert str(caught.value) == (
        "The value for the field 'JobName' must be a STRING, The value for the field 'a' must be a STRING, "
        'The field "Foo" is not supported by Step Functions'
    )


def test_tokens_that_the_sdk_makes_are_not_asked_for() -> None:
    given = {"ApplicationId": "a", "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r"}
    assert "clientToken" not in convert("emr-serverless", "startJobRun", given)


def test_answers() -> None:
    operation = sdk.operation_named("stepfunctions", "describeExecution")
    assert operation is not None
    when = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
    response = {"startDate": when, "name": "n", "inputDetails": {"included": True}, "ResponseMetadata": {}}
    assert sdk.answer(operation, response, style="sdk") == {
        "StartDate": "2026-01-02T03:04:05.600Z",
        "Name": "n",
        "InputDetails": {"Included": True},
    }
    assert sdk.answer(operation, response, style="optimised")["StartDate"] == 1767323045600


def error(code: str, *, modelled: str = "", host: str = "", status: int = 400) -> ClientError:
    told = {"Code": code, "Message": "said"} | ({"QueryErrorCode": modelled} if modelled else {})
    metadata = {"HTTPStatusCode": status, "RequestId": "r"} | ({"HostId": host} if host else {})
    return ClientError({"Error": told, "ResponseMetadata": metadata}, "Op")  # type: ignore[typeddict-item]


def failure(service: str, action: str, given: ClientError, style: sdk.Style, named: str = "") -> tuple[str, str]:
    operation = sdk.operation_named(named or service, action)
    assert operation is not None
    return errors.failure(service, operation, given, style=style)


SDK_ERRORS = [
    ("glue", "getTable", "EntityNotFoundException", "Glue.EntityNotFoundException"),
    ("dynamodb", "putItem", "ConditionalCheckFailedException", "DynamoDb.ConditionalCheckFailedException"),
    ("dynamodb", "putItem", "ValidationException", "DynamoDb.DynamoDbException"),
    ("stepfunctions", "startExecution", "ExecutionAlreadyExists", "Sfn.ExecutionAlreadyExistsException"),
    ("rds", "describeDBInstances", "DBInstanceNotFound", "Rds.DbInstanceNotFoundException"),
    ("kms", "encrypt", "NotImplemented", "Kms.KmsException"),
]


@pytest.mark.parametrize(("service", "action", "code", "name"), SDK_ERRORS)
def test_errors_of_sdk_integrations(service: str, action: str, code: str, name: str) -> None:
    found, cause = failure(service, action, error(code), "sdk")
    assert found == name
    assert cause == f"said (Service: {name.partition('.')[0]}, Status Code: 400, Request ID: r)"


def test_errors_of_s3_carry_its_second_id() -> None:
    assert failure("s3", "getObject", error("NoSuchKey", host="h", status=404), "sdk") == (
        "S3.NoSuchKeyException",
        "said (Service: S3, Status Code: 404, Request ID: r, Extended Request ID: h)",
    )
    assert failure("s3", "getObject", error("SlowDown"), "sdk")[0] == "S3.S3Exception"
    assert failure("s3", "headObject", error("404"), "sdk")[0] == "S3.NoSuchKeyException"


OPTIMISED_ERRORS = [
    ("dynamodb", "dynamodb", "putItem", "ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException"),
    ("dynamodb", "dynamodb", "putItem", "ValidationException", "DynamoDB.AmazonDynamoDBException"),
    ("sns", "sns", "publish", "NotFound", "SNS.NotFoundException"),
    ("sqs", "sqs", "sendMessage", "MissingParameter", "SQS.AmazonSQSException"),
    ("states", "stepfunctions", "startExecution", "InvalidName", "StepFunctions.InvalidNameException"),
    ("lambda", "lambda", "invoke", "TooManyRequestsException", "Lambda.TooManyRequestsException"),
    ("batch", "batch", "submitJob", "ClientException", "Batch.ClientException"),
    ("ecs", "ecs", "runTask", "Strange", "ECS.AmazonECSException"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "named", "action", "code", "name"), OPTIMISED_ERRORS)
def test_errors_of_optimised_integrations(service: str, named: str, action: str, code: str, name: str) -> None:
    found, cause = failure(service, action, error(code), "optimised", named)
    assert found == name
    told = errors.OPTIMISED[service].service
    assert cause == f"said (Service: {told}; Status Code: 400; Error Code: {code}; Request ID: r; Proxy: null)"


def test_sqs_keeps_the_code_of_its_former_protocol() -> None:
    code = "AWS.SimpleQueueService.NonExistentQueue"
    given = error(code, modelled="QueueDoesNotExist")
    found, cause = failure("sqs", "sendMessage", given, "optimised")
    assert found == "SQS.QueueDoesNotExistException" and f"Error Code: {code};" in cause
    assert failure("sqs", "sendMessage", given, "sdk")[0] == "Sqs.QueueDoesNotExistException"


def test_a_refusal_of_ours_says_so() -> None:
    assert failure("s3", "getObject", error("NotImplemented", status=501), "sdk")[0] == "S3.NotImplementedException"
