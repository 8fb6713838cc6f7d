"""How tasks fail: one row a failure, with the error that Retry and Catch name, the cause, and the event that tells
it."""

from __future__ import annotations

import io
import json
import re
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/flow"
ACCOUNT = "arn:aws:%s:us-east-1:000000000000:%s"
CODE = """
import os, time
def handler(event, context):
    match event:
        case "raise": raise LookupError("no such thing")
        case "sleep": time.sleep(30)
        case "exit": os._exit(3)
        case "set": return {1, 2}
        case "large": return "x" * 262_143
        case "just": return "x" * 262_142
        case "umlauts": return "ü" * 131_072
    return event
"""
V1 = r"\(Service: {}; Status Code: {}; Error Code: {}; Request ID: [0-9A-Za-z-]{{36,52}}; Proxy: null\)"
V2 = r"\(Service: {}, Status Code: {}, Request ID: [0-9A-Za-z-]{{36,52}}(, Extended Request ID: \S+)?\)"


@pytest.fixture(scope="module")
def names(aws: Callable[[str], Any]) -> dict[str, str]:
    """What the rows below may name: `{throttled}` and so on."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", CODE)
    functions: dict[str, str] = {}
    for name in ("slow", "fails"):  # only the first is to be slow; a busy machine may need a second for any of it
        made = aws("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": file.getvalue()},
            Timeout=1 if name == "slow" else 60,
        )
        functions[name] = made["FunctionArn"]
    throttled = aws("lambda").create_function(
        FunctionName="throttled",
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": file.getvalue()},
    )["FunctionArn"]
    aws("lambda").put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=0)
    aws("dynamodb").create_table(
        TableName="things",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    aws("dynamodb").put_item(TableName="things", Item={"id": {"S": "1"}})
    aws("s3").create_bucket(Bucket="errors-bucket")
    queue = aws("sqs").create_queue(QueueName="errors")["QueueUrl"]
    fifo = aws("sqs").create_queue(QueueName="errors.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    child = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Mine", "Cause": "because"}}}
    machine = aws("stepfunctions").create_state_machine(name="child", definition=json.dumps(child), roleArn=ROLE)
    activity = aws("stepfunctions").create_activity(name="gone")["activityArn"]
    aws("stepfunctions").delete_activity(activityArn=activity)
    return {
        **functions,
        "throttled": throttled,
        "queue": queue,
        "fifo": fifo,
        "child": machine["stateMachineArn"],
        "gone": activity,
    }


Seen = tuple[dict[str, Any], list[dict[str, Any]]]


def run(aws: Callable[[str], Any], state: dict[str, Any], given: Any = None, **states: Any) -> Seen:
    sfn = aws("stepfunctions")
    definition = {"StartAt": "A", "States": {"A": {"Type": "Task", "End": True} | state, **states}}
    machine = sfn.create_state_machine(name=f"e-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=ROLE)
    arn = sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(given or {}))["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return seen, sfn.get_execution_history(executionArn=arn)["events"]


Row = tuple[str, dict[str, Any], str, str, str]

ROWS: list[Row] = [
    # Functions: what they raise, how they end, what the service says.
    ("lambda:invoke", {"FunctionName": "fails", "Payload": "raise"}, "LookupError", "", "TaskFailed"),
    ("lambda:invoke", {"FunctionName": "fails", "Payload": "exit"}, "Runtime.ExitError", "exit status 3", "TaskFailed"),
    ("lambda:invoke", {"FunctionName": "fails", "Payload": "set"}, "Runtime.MarshalError", "", "TaskFailed"),
    (
        "lambda:invoke",
        {"FunctionName": "slow", "Payload": "sleep"},
        "Sandbox.Timedout",
        r"Task timed out after 1.00 seconds",
        "TaskFailed",
    ),
    (
        "lambda:invoke",
        {"FunctionName": "nope"},
        "Lambda.ResourceNotFoundException",
        f"Function not found: {ACCOUNT % ('lambda', 'function:nope')} "
        + V1.format("AWSLambda", 404, "ResourceNotFoundException"),
        "TaskFailed",
    ),
    (
        "lambda:invoke",
        {"FunctionName": "{throttled}"},
        "Lambda.TooManyRequestsException",
        "Rate Exceeded. " + V1.format("AWSLambda", 429, "TooManyRequestsException"),
        "TaskFailed",
    ),
    (
        "lambda:invoke.waitForTaskToken",
        {"FunctionName": "nope", "Payload": {"t.$": "$$.Task.Token"}},
        "Lambda.ResourceNotFoundException",
        "",
        "TaskSubmitFailed",
    ),
    # Messages.
    (
        "sqs:sendMessage",
        {"QueueUrl": "{queue}-nope", "MessageBody": "x"},
        "SQS.QueueDoesNotExistException",
        "The specified queue does not exist. " + V1.format("AmazonSQS", 400, "AWS.SimpleQueueService.NonExistentQueue"),
        "TaskFailed",
    ),
    (
        "sqs:sendMessage",
        {"QueueUrl": "{queue}", "MessageBody": ""},
        "SQS.AmazonSQSException",
        "The request must contain the parameter MessageBody. " + V1.format("AmazonSQS", 400, "MissingParameter"),
        "TaskFailed",
    ),
    (
        "sqs:sendMessage",
        {"QueueUrl": "{fifo}", "MessageBody": "x"},
        "SQS.AmazonSQSException",
        "The request must contain the parameter MessageGroupId. " + V1.format("AmazonSQS", 400, "MissingParameter"),
        "TaskFailed",
    ),
    (
        "sns:publish",
        {"TopicArn": ACCOUNT % ("sns", "nope"), "Message": "x"},
        "SNS.NotFoundException",
        "Topic does not exist " + V1.format("AmazonSNS", 404, "NotFound"),
        "TaskFailed",
    ),
    (
        "events:putEvents",
        {"Entries": [{"Detail": {}, "DetailType": "t"}]},
        "EventBridge.FailedEntry",
        r'"FailedEntryCount":1',
        "TaskFailed",
    ),
    # DynamoDB.
    (
        "dynamodb:putItem",
        {"TableName": "things", "Item": {"id": {"S": "1"}}, "ConditionExpression": "attribute_not_exists(id)"},
        "DynamoDB.ConditionalCheckFailedException",
        "The conditional request failed " + V1.format("AmazonDynamoDBv2", 400, "ConditionalCheckFailedException"),
        "TaskFailed",
    ),
    (
        "dynamodb:putItem",
        {"TableName": "things", "Item": {"no": {"S": "1"}}},
        "DynamoDB.AmazonDynamoDBException",
        "One or more parameter values were invalid: Missing the key id in the item "
        + V1.format("AmazonDynamoDBv2", 400, "ValidationException"),
        "TaskFailed",
    ),
    (
        "dynamodb:getItem",
        {"TableName": "nope", "Key": {"id": {"S": "1"}}},
        "DynamoDB.ResourceNotFoundException",
        "Requested resource not found " + V1.format("AmazonDynamoDBv2", 400, "ResourceNotFoundException"),
        "TaskFailed",
    ),
    # Other executions.
    (
        "states:startExecution",
        {"StateMachineArn": ACCOUNT % ("states", "stateMachine:nope")},
        "StepFunctions.StateMachineDoesNotExistException",
        "State Machine Does Not Exist: '.*nope' " + V1.format("AWSStepFunctions", 400, "StateMachineDoesNotExist"),
        "TaskFailed",
    ),
    (
        "states:startExecution.sync:2",
        {"StateMachineArn": "{child}"},
        "States.TaskFailed",
        '"Cause":"because"',
        "TaskFailed",
    ),
    # Jobs.
    (
        "glue:startJobRun.sync",
        {"JobName": "nope"},
        "Glue.EntityNotFoundException",
        V1.format("AWSGlue", 400, "EntityNotFoundException"),
        "TaskSubmitFailed",
    ),
    # Any API.
    (
        "aws-sdk:s3:getObject",
        {"Bucket": "errors-bucket", "Key": "nope"},
        "S3.NoSuchKeyException",
        "The specified key does not exist. " + V2.format("S3", 404),
        "TaskFailed",
    ),
    (
        "aws-sdk:s3:listObjectsV2",
        {"Bucket": "nope-bucket"},
        "S3.NoSuchBucketException",
        "The specified bucket does not exist " + V2.format("S3", 404),
        "TaskFailed",
    ),
    (
        "aws-sdk:dynamodb:getItem",
        {"TableName": "nope", "Key": {"id": {"S": "1"}}},
        "DynamoDb.ResourceNotFoundException",
        "Requested resource not found " + V2.format("DynamoDb", 400),
        "TaskFailed",
    ),
    (
        "aws-sdk:sfn:sendTaskSuccess",
        {"TaskToken": "no token", "Output": "{{}}"},
        "Sfn.InvalidTokenException",
        "Invalid Token: 'Invalid token' " + V2.format("Sfn", 400),
        "TaskFailed",
    ),
    (
        "aws-sdk:secretsmanager:createSecret",
        {"Name": "Invalid Name", "SecretString": "x"},
        "SecretsManager.SecretsManagerException",
        "Invalid name. Must be a valid name .* " + V2.format("SecretsManager", 400),
        "TaskFailed",
    ),
    (
        "aws-sdk:glue:startCrawler",
        {"Name": "nope"},
        "Glue.EntityNotFoundException",
        V2.format("Glue", 400),
        "TaskFailed",
    ),
    (
        "events:putEvents",
        {"Entries": []},
        "EventBridge.AmazonEventBridgeException",
        r"1 validation error detected: Value '\[\]' at 'entries' failed to satisfy constraint",
        "TaskFailed",
    ),
    # What nobody carries here.
    (
        "ecs:runTask.sync",
        {"TaskDefinition": "t"},
        "ECS.NotImplementedException",
        "Millpond does not carry the integration ecs:runTask.sync yet",
        "TaskSubmitFailed",
    ),
    (
        "apigateway:invoke",
        {"ApiEndpoint": "a.execute-api.us-east-1.amazonaws.com", "Method": "GET"},
        "Apigateway.NotImplementedException",
        "Millpond does not carry",
        "TaskFailed",
    ),
    (
        "elasticmapreduce:terminateCluster.sync",
        {"ClusterId": "j-1"},
        "EMR.NotImplementedException",
        "Millpond does not carry",
        "TaskSubmitFailed",
    ),
    (
        "aws-sdk:ecs:runTask",
        {"TaskDefinition": "t"},
        "Ecs.NotImplementedException",
        "Millpond does not carry",
        "TaskFailed",
    ),
]


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names) if "{" in value else value
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return {key: filled(item, names) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(("resource", "parameters", "error", "cause", "event"), ROWS, ids=lambda value: str(value)[:60])
def test_failures(
    aws: Callable[[str], Any],
    names: dict[str, str],
    resource: str,
    parameters: dict[str, Any],
    error: str,
    cause: str,
    event: str,
) -> None:
    """Caught by its exact name; the cause in AWS's words; the event of its phase."""
    state = {
        "Resource": f"arn:aws:states:::{resource}",
        "Parameters": filled(parameters, names),
        "Catch": [{"ErrorEquals": [error], "Next": "Caught"}],
    }
    seen, events = run(aws, state, Caught={"Type": "Pass", "End": True})
    assert seen["status"] == "SUCCEEDED", (seen["error"], seen.get("cause"))
    output = json.loads(seen["output"])
    assert output["Error"] == error
    assert re.search(cause, output["Cause"], re.DOTALL), output["Cause"]
    (told,) = [each for each in events if each["type"] == event]
    details = next(value for key, value in told.items() if key.endswith("Details"))
    service, action = resource.rsplit(":", 1) if not resource.endswith(":2") else resource[:-2].rsplit(":", 1)
    assert details["error"] == error and details["cause"] == output["Cause"]
    assert (details["resourceType"], details["resource"].removesuffix(":2")) == (service, action)


BARE = [
    ("fails", "raise", "LookupError", '"errorMessage":"no such thing"'),
    ("slow", "sleep", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
]


@pytest.mark.parametrize(("name", "given", "error", "cause"), BARE)
def test_bare_functions(
    aws: Callable[[str], Any], names: dict[str, str], name: str, given: str, error: str, cause: str
) -> None:
    seen, events = run(aws, {"Resource": names[name]}, given)
    assert seen["error"] == error and cause in seen["cause"]
    assert [each["type"] for each in events][2:5] == [
        *("LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionFailed")
    ]


def test_an_activity_that_is_gone(aws: Callable[[str], Any], names: dict[str, str]) -> None:
    seen, events = run(aws, {"Resource": names["gone"]})
    assert seen["error"] == "ActivityDoesNotExist"
    assert [each["type"] for each in events][2:4] == ["ActivityScheduled", "ActivityScheduleFailed"]


@pytest.mark.parametrize("given", ["large", "umlauts"])
def test_too_large_a_result(aws: Callable[[str], Any], names: dict[str, str], given: str) -> None:
    """262,144 bytes of UTF-8 is the most that a task may give, quotes included."""
    caught = {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "No"}]}
    seen, events = run(aws, {"Resource": names["fails"], **caught}, given, No={"Type": "Pass", "End": True})
    assert seen["error"] == "States.DataLimitExceeded"
    assert seen["cause"] == (
        f"The state/task '{names['fails']}' returned a result with a size exceeding the maximum number of bytes "
        "service limit."
    )
    assert events[4]["type"] == "LambdaFunctionFailed"


def test_just_small_enough_a_result(aws: Callable[[str], Any], names: dict[str, str]) -> None:
    seen, _ = run(aws, {"Resource": names["fails"]}, "just")
    assert len(seen["output"]) == 262_144


@pytest.mark.parametrize("language", ["JSONPath", "JSONata"])
def test_arguments_fail_the_state_itself(aws: Callable[[str], Any], language: str) -> None:
    """No event of the task: it is never scheduled. Nobody can catch it."""
    given = {"QueueUrl": "{% $states.input.q %}"} if language == "JSONata" else {"QueueUrl.$": "$.q"}
    state = {
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "QueryLanguage": language,
        "Arguments" if language == "JSONata" else "Parameters": given | {"MessageBody": "x"},
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "No"}],
    }
    seen, events = run(aws, state, {"q": 5}, No={"Type": "Pass", "End": True})
    assert seen["error"] == "States.Runtime"
    assert seen["cause"] == (
        "An error occurred while executing the state 'A' (entered at the event id #2). The Parameters "
        '\'{"QueueUrl":5,"MessageBody":"x"}\' could not be used to start the Task: [The value for the field '
        "'QueueUrl' must be a STRING]"
    )
    assert [each["type"] for each in events] == ["ExecutionStarted", "TaskStateEntered", "ExecutionFailed"]


def test_retries_count_by_error(aws: Callable[[str], Any], names: dict[str, str]) -> None:
    state = {
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": names["throttled"]},
        "Retry": [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1, "MaxAttempts": 2}],
    }
    seen, events = run(aws, state)
    assert seen["error"] == "Lambda.TooManyRequestsException"
    assert sum(each["type"] == "TaskFailed" for each in events) == 3
