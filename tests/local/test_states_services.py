"""Flows over the services that really do the work: Lambda, Athena, SageMaker, SNS; outputs and errors as AWS's."""

from __future__ import annotations

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/flow"
CODE = """
def handler(event, context):
    if event == "fail":
        raise ValueError("no good")
    return {"got": event}
"""


@pytest.fixture(scope="module")
def function(aws: Callable[[str], Any]) -> str:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", CODE)
    name = f"f-{uuid.uuid4()}"
    return aws("lambda").create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="app.handler",
        Role=ROLE,
        Timeout=60,
        Code={"ZipFile": file.getvalue()},
    )["FunctionArn"]


Seen = tuple[dict[str, Any], list[dict[str, Any]]]


def run(aws: Callable[[str], Any], state: dict[str, Any], given: Any = None) -> Seen:
    sfn = aws("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True} | state}})
    machine = sfn.create_state_machine(name=f"s-{uuid.uuid4()}", definition=definition, roleArn=ROLE)
    arn = sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(given or {}))["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.05)
    return seen, sfn.get_execution_history(executionArn=arn)["events"]


def test_lambda_invoke(aws: Callable[[str], Any], function: str) -> None:
    parameters = {"FunctionName": function, "Payload": {"x.$": "$.n"}}
    seen, events = run(aws, {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters}, {"n": 5})
    output = json.loads(seen["output"])
    assert list(output) == ["ExecutedVersion", "Payload", "SdkHttpMetadata", "SdkResponseMetadata", "StatusCode"]
    assert (output["ExecutedVersion"], output["Payload"], output["StatusCode"]) == ("$LATEST", {"got": {"x": 5}}, 200)
    assert [event["type"] for event in events][2:5] == ["TaskScheduled", "TaskStarted", "TaskSucceeded"]


def test_lambda_arn(aws: Callable[[str], Any], function: str) -> None:
    seen, events = run(aws, {"Resource": function}, {"a": "é"})
    assert json.loads(seen["output"]) == {"got": {"a": "é"}}
    assert [event["type"] for event in events][2:5] == [
        *("LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded")
    ]


def test_lambda_failure(aws: Callable[[str], Any], function: str) -> None:
    parameters = {"FunctionName": function, "Payload": "fail"}
    seen, _ = run(aws, {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": parameters})
    assert seen["error"] == "ValueError"
    cause = json.loads(seen["cause"])
    assert (cause["errorMessage"], cause["errorType"]) == ("no good", "ValueError")
    assert "requestId" in cause and "/var/task/app.py" in cause["stackTrace"][0]


def test_missing_lambda(aws: Callable[[str], Any]) -> None:
    seen, _ = run(aws, {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "nope"}})
    assert seen["error"] == "Lambda.ResourceNotFoundException"


def athena(aws: Callable[[str], Any], sql: str) -> Seen:
    bucket = f"b-{uuid.uuid4()}"
    aws("s3").create_bucket(Bucket=bucket)
    return run(
        aws,
        {
            "Resource": "arn:aws:states:::athena:startQueryExecution.sync",
            "Parameters": {
                "QueryString": sql,
                "WorkGroup": "primary",
                "ResultConfiguration": {"OutputLocation": f"s3://{bucket}/out/"},
            },
        },
    )


def test_athena_query(aws: Callable[[str], Any]) -> None:
    seen, events = athena(aws, "SELECT 1 AS one")
    query = json.loads(seen["output"])["QueryExecution"]
    assert query["Status"]["State"] == "SUCCEEDED" and isinstance(query["Status"]["SubmissionDateTime"], int)
    assert "TaskSubmitted" in [event["type"] for event in events]


def test_athena_failure(aws: Callable[[str], Any]) -> None:
    seen, _ = athena(aws, "SELECT * FROM nope.nope")
    assert seen["error"] == "States.TaskFailed"
    assert json.loads(seen["cause"])["Status"]["State"] == "FAILED"


def test_sns_publish(aws: Callable[[str], Any]) -> None:
    topic = aws("sns").create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
    parameters = {"TopicArn": topic, "Message": {"hello": "world"}, "Subject": "s"}
    seen, _ = run(aws, {"Resource": "arn:aws:states:::sns:publish", "Parameters": parameters})
    assert "MessageId" in json.loads(seen["output"])
    seen, _ = run(
        aws, {"Resource": "arn:aws:states:::sns:publish", "Parameters": parameters | {"TopicArn": topic + "x"}}
    )
    assert seen["error"] == "SNS.NotFoundException"


@pytest.mark.parametrize(("level", "data"), [("ALL", True), ("ALL", False), ("ERROR", True), ("FATAL", True)])
@pytest.mark.parametrize("kind", ["STANDARD", "EXPRESS"])
def test_logging(aws: Callable[[str], Any], kind: str, level: str, data: bool) -> None:
    sfn, group = aws("stepfunctions"), f"/aws/vendedlogs/{uuid.uuid4()}"
    aws("logs").create_log_group(logGroupName=group)
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}:*"
    definition = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Fail", "Error": "E"}}}
    machine = sfn.create_state_machine(
        name=f"l-{uuid.uuid4()}",
        definition=json.dumps(definition),
        roleArn=ROLE,
        type=kind,
        loggingConfiguration={
            "level": level,
            "includeExecutionData": data,
            "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": arn}}],
        },
    )["stateMachineArn"]
    sfn.start_execution(stateMachineArn=machine, input='{"secret": 1}')
    lines: list[dict[str, Any]] = []
    deadline = time.monotonic() + 120
    while not lines or lines[-1]["type"] != "ExecutionFailed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
        lines = [json.loads(e["message"]) for e in aws("logs").filter_log_events(logGroupName=group)["events"]]
    everything = ["ExecutionStarted", "PassStateEntered", "PassStateExited", "FailStateEntered", "ExecutionFailed"]
    assert [line["type"] for line in lines] == everything[{"ALL": 0, "ERROR": -2, "FATAL": -1}[level] :]
    # FailStateEntered is logged at ERROR too, with the input of the state.
    assert ("secret" in json.dumps(lines)) == (level != "FATAL" and data)
    assert lines[-1]["details"] == {"error": "E"}
