"""AWS's wire forms, against botocore: what it serialises we read, what we write it reads."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from millpond.local import models, protocol
from millpond.local.protocol import Request
from millpond.local.service import AwsError

MOMENT = dt.datetime(2026, 11, 23, 10, 11, 12, tzinfo=dt.UTC)


def sent(service: str, operation: str, params: dict[str, Any]) -> Request:
    """The request that botocore would send."""
    described = models.model(service)
    assert described
    serialised = create_serializer(described.metadata["protocol"], include_validation=False).serialize_to_request(
        params, described.operation_model(operation)
    )
    body = serialised["body"]
    headers = {name.lower(): str(value) for name, value in serialised["headers"].items()}
    if isinstance(body, dict):
        body = urlencode(body)
        headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    query = serialised["query_string"]
    path, _, in_path = serialised["url_path"].partition("?")
    text = urlencode(query, doseq=True) if isinstance(query, dict) else query
    return Request(
        serialised["method"],
        path,
        "&".join(part for part in (in_path, text) if part),
        headers,
        body.encode() if isinstance(body, str) else bytes(body),
    )


def read(service: str, operation: str, params: dict[str, Any]) -> Any:
    described = models.model(service)
    assert described
    request = sent(service, operation, params)
    name, labels = protocol.operation_of(service, request)
    assert name == operation
    return protocol.parse(described, described.operation_model(name), request, labels)


def returned(service: str, operation: str, result: dict[str, Any]) -> Any:
    """What botocore makes of our answer."""
    described = models.model(service)
    assert described
    model = described.operation_model(operation)
    reply = protocol.answer(described, model, result, "the-id")
    body: Any = reply.body
    payload = model.output_shape.serialization.get("payload") if model.output_shape else None
    if payload and model.has_streaming_output:
        body = io.BytesIO(reply.body)
    response = {"headers": dict(reply.headers), "status_code": reply.status, "body": body, "context": {}}
    parsed = create_parser(described.metadata["protocol"]).parse(response, model.output_shape)
    assert parsed.pop("ResponseMetadata")["RequestId"] == "the-id"
    return parsed


REQUESTS = [
    ("stepfunctions", "StartExecution", {"stateMachineArn": "arn:x", "name": "n", "input": '{"ü": "\u2028"}'}),
    ("glue", "CreateJob", {"Name": "j", "Role": "r", "Command": {"Name": "glueetl"}, "DefaultArguments": {"--a": "b"}}),
    ("glue", "GetPartitions", {"DatabaseName": "d", "TableName": "t", "MaxResults": 3, "ExcludeColumnSchema": True}),
    (
        "glue",
        "CreateTable",
        {"DatabaseName": "d", "TableInput": {"Name": "t", "LastAccessTime": MOMENT, "PartitionKeys": [{"Name": "p"}]}},
    ),
    (
        "logs",
        "PutLogEvents",
        {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]},
    ),
    ("secretsmanager", "CreateSecret", {"Name": "n", "SecretBinary": b"\x00\xff", "ClientRequestToken": "t" * 32}),
    ("sns", "CreateTopic", {"Name": "t", "Attributes": {"DisplayName": "a&b=ü"}, "Tags": [{"Key": "k", "Value": "v"}]}),
    (
        "sns",
        "Publish",
        {
            "TopicArn": "arn:x",
            "Message": "m\nn",
            "MessageAttributes": {
                "a": {"DataType": "String", "StringValue": "s"},
                "b": {"DataType": "Binary", "BinaryValue": b"\x01"},
            },
        },
    ),
    (
        "sns",
        "PublishBatch",
        {"TopicArn": "a", "PublishBatchRequestEntries": [{"Id": str(i), "Message": "m"} for i in range(11)]},
    ),
    (
        "cloudformation",
        "CreateStack",
        {
            "StackName": "s",
            "TemplateBody": "{}",
            "Parameters": [{"ParameterKey": "a", "ParameterValue": "b", "UsePreviousValue": False}],
            "Capabilities": ["CAPABILITY_IAM"],
            "TimeoutInMinutes": 3,
        },
    ),
    ("lambda", "Invoke", {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f", "Payload": b'{"a": 1}'}),
    (
        "lambda",
        "CreateFunction",
        {"FunctionName": "f", "Role": "r", "Code": {"ZipFile": b"PK"}, "Environment": {"Variables": {"A": "1"}}},
    ),
    ("lambda", "ListFunctions", {"MaxItems": 5}),
    ("lambda", "UntagResource", {"Resource": "arn:aws:lambda:x:f", "TagKeys": ["a", "b c"]}),
    ("sagemaker", "ListProcessingJobs", {"CreationTimeAfter": MOMENT, "MaxResults": 3}),
]


@pytest.mark.parametrize(
    ("service", "operation", "params"), REQUESTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_requests_are_read_as_they_were_meant(service: str, operation: str, params: dict[str, Any]) -> None:
    assert read(service, operation, params) == params


RESULTS = [
    ("stepfunctions", "DescribeExecution", {"executionArn": "a", "startDate": MOMENT, "redriveCount": 0}),
    ("glue", "GetJobRun", {"JobRun": {"Id": "x", "StartedOn": MOMENT, "Arguments": {"--a": "ü"}, "MaxCapacity": 2.5}}),
    ("secretsmanager", "GetSecretValue", {"Name": "n", "SecretBinary": b"\x00\xff", "VersionStages": ["AWSCURRENT"]}),
    ("sns", "ListTopics", {"Topics": [{"TopicArn": "a"}, {"TopicArn": "<&>"}], "NextToken": "1"}),
    ("sns", "GetTopicAttributes", {"Attributes": {"Policy": '{"a": "<b>"}', "Owner": "0"}}),
    (
        "cloudformation",
        "DescribeStacks",
        {"Stacks": [{"StackName": "s", "CreationTime": MOMENT, "StackStatus": "X", "DisableRollback": False}]},
    ),
    (
        "lambda",
        "GetFunctionConfiguration",
        {"FunctionName": "f", "Timeout": 3, "Environment": {"Variables": {"A": "1"}}},
    ),
]


@pytest.mark.parametrize(
    ("service", "operation", "result"), RESULTS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_results_are_read_as_they_were_meant(service: str, operation: str, result: dict[str, Any]) -> None:
    assert returned(service, operation, result) == result


def test_seconds_and_naive_datetimes_are_utc() -> None:
    answers = [
        returned("stepfunctions", "StartExecution", {"executionArn": "a", "startDate": moment})["startDate"]
        for moment in (MOMENT, MOMENT.timestamp(), MOMENT.replace(tzinfo=None))
    ]
    assert answers == [MOMENT] * 3


def test_what_the_model_does_not_have_and_none_do_not_leave() -> None:
    assert returned("glue", "StartJobRun", {"JobRunId": "x", "Secret": "y", "_own": 1}) == {"JobRunId": "x"}
    assert returned("glue", "GetDatabases", {"DatabaseList": [], "NextToken": None}) == {"DatabaseList": []}


def test_a_functions_answer_is_its_payload() -> None:
    described = models.model("lambda")
    assert described
    result = {"StatusCode": 202, "FunctionError": "Unhandled", "Payload": b'{"errorMessage": "x"}'}
    reply = protocol.answer(described, described.operation_model("Invoke"), result, "the-id")
    assert (reply.status, reply.body) == (202, b'{"errorMessage": "x"}')
    assert ("x-amz-function-error", "Unhandled") in reply.headers


# -- refusals --------------------------------------------------------------------------------------------------------


def refused(service: str, operation: str, body: bytes, **headers: str) -> AwsError:
    described = models.model(service)
    assert described
    request = Request("POST", "/", "", {"x-amz-target": f"X.{operation}"} | headers, body)
    with pytest.raises(AwsError) as error:
        protocol.parse(described, described.operation_model(operation), request, {})
    return error.value


@pytest.mark.parametrize(
    ("service", "operation", "body", "code", "said"),
    [
        ("glue", "StartJobRun", b"{}", "ValidationException", "Value null at 'jobName' failed to satisfy constraint"),
        ("glue", "StartJobRun", b'{"JobName": ""}', "ValidationException", "length greater than or equal to 1"),
        ("glue", "StartJobRun", b'{"JobName": null}', "ValidationException", "Member must not be null"),
        (
            "glue",
            "GetTables",
            b'{"DatabaseName": "d", "MaxResults": 101}',
            "ValidationException",
            "less than or equal to 100",
        ),
        ("athena", "StartQueryExecution", b"{}", "InvalidRequestException", "'queryString'"),
        ("logs", "CreateLogGroup", b"{}", "InvalidParameterException", "'logGroupName'"),
        (
            "glue",
            "StartJobRun",
            b'{"JobName": 1}',
            "SerializationException",
            "NUMBER_VALUE can not be converted to a String",
        ),
        ("glue", "StartJobRun", b'{"JobName": {"a": 1}}', "SerializationException", "OBJECT_VALUE"),
        ("glue", "StartJobRun", b'{"JobName": "\\ud800"}', "SerializationException", "not valid Unicode"),
        ("glue", "StartJobRun", b'{"JobName": "j", "Timeout": 1.5}', "SerializationException", "an Integer"),
        ("glue", "StartJobRun", b'{"JobName": "j", "Timeout": 99999999999}', "SerializationException", "an Integer"),
        ("glue", "StartJobRun", b'{"JobName": "j", "Timeout": true}', "SerializationException", "BOOLEAN_VALUE"),
        ("glue", "StartJobRun", b'{"JobName": NaN}', "SerializationException", "not a JSON document"),
        ("glue", "StartJobRun", b"[]", "SerializationException", "Start of structure"),
        ("glue", "StartJobRun", b"\xff\xfe", "SerializationException", "not a JSON document"),
        ("glue", "StartJobRun", b"[" * 100_000, "SerializationException", "not a JSON document"),
        ("glue", "StartJobRun", b'{"a":' * 100_000, "SerializationException", "not a JSON document"),
        ("secretsmanager", "CreateSecret", b'{"Name": "n", "SecretBinary": "!"}', "SerializationException", "base64"),
        ("sagemaker", "ListProcessingJobs", b'{"CreationTimeAfter": "soon"}', "SerializationException", "a Timestamp"),
        ("sagemaker", "ListProcessingJobs", b'{"CreationTimeAfter": 1e300}', "SerializationException", "a Timestamp"),
    ],
)
def test_bad_json_is_refused_in_awss_words(service: str, operation: str, body: bytes, code: str, said: str) -> None:
    error = refused(service, operation, body)
    assert (error.code, said in error.message, error.status) == (code, True, 400), error.message


def test_a_sensitive_value_is_not_repeated() -> None:
    error = refused("secretsmanager", "CreateSecret", json.dumps({"Name": "n", "SecretString": "s" * 70_000}).encode())
    assert "sss" not in error.message


@pytest.mark.parametrize(
    "form",
    [
        "Action=CreateStack&StackName=s&Parameters.member.x.ParameterKey=a",
        "Action=CreateStack&StackName=s&TimeoutInMinutes=soon",
        "Action=CreateStack&StackName.a=s",
        "Action=CreateStack&" + "a." * 500 + "b=1",
        "Action=CreateStack&" + "&".join(f"a{i}=1" for i in range(10_001)),
        "Action=CreateStack&DisableRollback=perhaps&StackName=s",
    ],
)
def test_bad_forms_are_refused(form: str) -> None:
    described = models.model("cloudformation")
    assert described
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = Request("POST", "/", "", headers, form.encode())
    with pytest.raises(AwsError) as error:
        protocol.parse(described, described.operation_model("CreateStack"), request, {})
    assert error.value.status == 400


ERRORS = [
    ("stepfunctions", "ExecutionDoesNotExist", "ExecutionDoesNotExist", 400),
    ("glue", "EntityNotFoundException", "EntityNotFoundException", 400),
    ("lambda", "ResourceNotFoundException", "ResourceNotFoundException", 404),
    ("sns", "NotFoundException", "NotFound", 404),
    ("sns", "NotFound", "NotFound", 404),
    ("cloudformation", "ValidationError", "ValidationError", 400),
    ("cloudformation", "AlreadyExistsException", "AlreadyExistsException", 400),
    ("s3", "NoSuchBucket", "NoSuchBucket", 404),
    ("cloudwatch", "NotImplemented", "NotImplemented", 400),
    ("ec2", "NotImplemented", "NotImplemented", 400),
    ("route53", "NoSuchHostedZone", "NoSuchHostedZone", 404),
]


@pytest.mark.parametrize(("service", "code", "on_wire", "status"), ERRORS)
def test_errors_are_read_by_botocore(service: str, code: str, on_wire: str, status: int) -> None:
    described = models.model(service)
    assert described
    wire = described.metadata["protocol"]
    marks = {
        "json": {"x-amz-target": "A.B"},
        "query": {"content-type": "application/x-www-form-urlencoded"},
        "ec2": {},
        "smithy-rpc-v2-cbor": {"smithy-protocol": "rpc-v2-cbor"},
    }
    reply = protocol.refusal(
        service, Request("POST", "/", "", marks.get(wire, {})), AwsError(code, "why <&>"), "the-id"
    )
    response = {"headers": dict(reply.headers), "status_code": reply.status, "body": reply.body, "context": {}}
    parsed = create_parser(wire).parse(response, None)
    assert (parsed["Error"]["Code"], parsed["Error"]["Message"]) == (on_wire, "why <&>")
    assert reply.status == status


def test_members_of_an_error_travel() -> None:
    error = AwsError("VerificationException", "m", Status="s")
    described = models.model("glue")
    assert described
    reply = protocol.refusal("glue", Request("POST", "/", "", {"x-amz-target": "a.b"}), error, "the-id")
    assert json.loads(reply.body)["message"] == "m"


# -- which operation -------------------------------------------------------------------------------------------------

S3 = [
    ("GET", "/", "", {}, "ListBuckets"),
    ("GET", "/b", "", {}, "ListObjects"),
    ("GET", "/b/", "list-type=2&prefix=a", {}, "ListObjectsV2"),
    ("GET", "/b", "lifecycle", {}, "GetBucketLifecycleConfiguration"),
    ("GET", "/b/a/b//c", "", {}, "GetObject"),
    ("GET", "/b/k", "uploadId=1", {}, "ListParts"),
    ("PUT", "/b/k", "partNumber=1&uploadId=1", {}, "UploadPart"),
    ("PUT", "/b/k", "partNumber=1&uploadId=1", {"x-amz-copy-source": "x"}, "UploadPartCopy"),
    ("PUT", "/b/k", "", {"x-amz-copy-source": "x"}, "CopyObject"),
    ("PUT", "/b/k", "", {}, "PutObject"),
    ("PUT", "/b/k", "tagging", {}, "PutObjectTagging"),
    ("PUT", "/b", "tagging", {}, "PutBucketTagging"),
    ("POST", "/b", "delete", {}, "DeleteObjects"),
    ("HEAD", "/b", "", {}, "HeadBucket"),
    ("POST", "/b/k", "uploads", {}, "CreateMultipartUpload"),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "operation"), S3)
def test_s3_operations_are_told_apart(
    method: str, path: str, query: str, headers: dict[str, str], operation: str
) -> None:
    request = Request(method, path, query, headers)
    assert protocol.operation_of("s3", request)[0] == operation


def test_every_rest_operation_of_lambda_and_scheduler_is_found_again() -> None:
    for service in ("lambda", "scheduler"):
        described = models.model(service)
        assert described
        for name in described.operation_names:
            route = next(route for route in models.routes(service) if route.operation == name)
            path = route.pattern.pattern.replace("/?", "")
            path = re.sub(r"\(\?P<\w+>[^)]*\)", "x", path).replace("\\", "")
            query = {key: value for key, value in route.query} | dict.fromkeys(route.members, "x")
            found = models.rest_operation(service, route.method, path, query, dict.fromkeys(route.headers, "x"))
            assert found and found[0] == name


@pytest.mark.parametrize(
    ("scope", "target", "service"),
    [
        ("states", "AWSStepFunctions.StartExecution", "stepfunctions"),
        ("monitoring", "", "cloudwatch"),
        ("", "AWSGlue.GetTables", "glue"),
        ("dynamodb", "DynamoDBStreams_20120810.ListStreams", "dynamodbstreams"),
        ("dynamodb", "DynamoDB_20120810.ListTables", "dynamodb"),
        ("sns", "", "sns"),
    ],
)
def test_services_are_named_by_scope_and_target(scope: str, target: str, service: str) -> None:
    assert models.service_of(scope, target) == service
