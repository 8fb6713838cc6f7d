"""Tasks: what a Resource does, its history, its errors, and who may end it."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

ROLE = "arn:aws:iam::000000000000:role/flow"


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def task(resource: str, parameters: Any = None, **more: Any) -> dict[str, Any]:
    arn = resource if resource.startswith("arn:") else f"arn:aws:states:::{resource}"
    state = {"Type": "Task", "Resource": arn, "End": True} | more
    return state if parameters is None else state | {"Parameters": parameters}


def start(sfn: Any, state: dict[str, Any], given: Any = None, **states: dict[str, Any]) -> str:
    definition = {"StartAt": "A", "States": {"A": state, **states}}
    machine = sfn.create_state_machine(name=f"t-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    return sfn.start_execution(stateMachineArn=machine, input=json.dumps(given or {}))["executionArn"]


def ended(sfn: Any, execution: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return seen


def history(sfn: Any, execution: str) -> list[dict[str, Any]]:
    return sfn.get_execution_history(executionArn=execution)["events"]


def until(said: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := said()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


def child(sfn: Any, state: dict[str, Any]) -> str:
    definition = json.dumps({"StartAt": "C", "States": {"C": state}})
    return sfn.create_state_machine(name=f"c-{uuid.uuid4()}", definition=definition, roleArn=ROLE)["stateMachineArn"]


def test_optimised_call(sfn: Any, aws: Callable[[str], Any]) -> None:
    queue = aws("sqs").create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
    execution = start(sfn, task("sqs:sendMessage", {"QueueUrl": queue, "MessageBody": {"a": 1}}))
    output = json.loads(ended(sfn, execution)["output"])
    assert sorted(output) == ["MD5OfMessageBody", "MessageId", "SdkHttpMetadata", "SdkResponseMetadata"]
    assert output["SdkHttpMetadata"]["HttpStatusCode"] == 200
    (message,) = aws("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert json.loads(message["Body"]) == {"a": 1}
    assert [event["type"] for event in history(sfn, execution)] == [
        *("ExecutionStarted", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited"),
        "ExecutionSucceeded",
    ]
    scheduled = history(sfn, execution)[2]["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == ("sqs", "sendMessage")
    assert json.loads(scheduled["parameters"]) == {"QueueUrl": queue, "MessageBody": {"a": 1}}


def test_dynamodb_items(sfn: Any, aws: Callable[[str], Any]) -> None:
    table = f"t{uuid.uuid4().hex}"
    aws("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"id": {"S": "1"}, "n": {"N": "2"}}
    put = task("dynamodb:putItem", {"TableName": table, "Item": item}, ResultPath=None, Next="B")
    put.pop("End")
    get = task("dynamodb:getItem", {"TableName": table, "Key": {"id": {"S": "1"}}}, OutputPath="$.Item")
    assert json.loads(ended(sfn, start(sfn, put, B=get))["output"]) == item
    again = task(
        "dynamodb:putItem", {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}
    )
    seen = ended(sfn, start(sfn, again))
    assert seen["error"] == "DynamoDB.ConditionalCheckFailedException"
    changed = {"UpdateExpression": "SET n = :n", "ExpressionAttributeValues": {":n": {"N": "3"}}}
    update = task("dynamodb:updateItem", {"TableName": table, "Key": {"id": {"S": "1"}}, **changed})
    assert sorted(json.loads(ended(sfn, start(sfn, update))["output"])) == ["SdkHttpMetadata", "SdkResponseMetadata"]


def test_any_sdk_call(sfn: Any, aws: Callable[[str], Any]) -> None:
    aws("secretsmanager").create_secret(Name="states-test", SecretString="s")
    seen = ended(sfn, start(sfn, task("aws-sdk:secretsmanager:describeSecret", {"SecretId": "states-test"})))
    output = json.loads(seen["output"])
    assert output["Name"] == "states-test" and output["CreatedDate"].endswith("Z")
    seen = ended(sfn, start(sfn, task("aws-sdk:secretsmanager:describeSecret", {"SecretId": "nope"})))
    assert seen["error"] == "SecretsManager.ResourceNotFoundException"
    assert "(Service: SecretsManager, Status Code: 400, Request ID: " in seen["cause"]


def test_errors_are_named_for_catch(sfn: Any) -> None:
    caught = task(
        "aws-sdk:glue:getTable",
        {"DatabaseName": "nope", "Name": "x"},
        Catch=[{"ErrorEquals": ["Glue.EntityNotFoundException"], "Next": "No", "ResultPath": "$.why"}],
    )
    seen = ended(sfn, start(sfn, caught, No={"Type": "Pass", "End": True}))
    assert json.loads(seen["output"])["why"]["Error"] == "Glue.EntityNotFoundException"


@pytest.mark.parametrize(
    ("resource", "parameters", "why"),
    [
        ("glue:startJobRun", {"Jobname": "x"}, 'The field "Jobname" is not supported by Step Functions'),
        ("glue:startJobRun", {}, 'The field "JobName" is required but was missing'),
        ("sns:publish", {"TopicArn": 1, "Message": "x"}, "The value for the field 'TopicArn' must be a STRING"),
        ("lambda:invoke", {"Payload": {}}, 'The field "FunctionName" is required but was missing'),
    ],
)
def test_arguments_are_checked(sfn: Any, resource: str, parameters: Any, why: str) -> None:
    """What only the execution knows; parameters that stand in the definition are refused with it."""
    computed = {"QueryLanguage": "JSONata", "Arguments": f"{{% {json.dumps(parameters)} %}}"}
    seen = ended(sfn, start(sfn, task(resource, **computed)))
    assert seen["error"] == "States.Runtime"
    assert "could not be used to start the Task: [" in seen["cause"] and why in seen["cause"]


def test_what_is_not_carried_fails_loudly(sfn: Any) -> None:
    seen = ended(sfn, start(sfn, task("batch:submitJob.sync", {"JobName": "x", "JobQueue": "q", "JobDefinition": "d"})))
    assert (seen["status"], seen["error"]) == ("FAILED", "Batch.NotImplementedException")


def test_nested_execution(sfn: Any) -> None:
    machine = child(sfn, {"Type": "Pass", "Result": {"r": 1}, "End": True})
    for suffix, output in ((".sync", '{"r":1}'), (".sync:2", {"r": 1})):
        execution = start(sfn, task(f"states:startExecution{suffix}", {"StateMachineArn": machine, "Input": {"i": 2}}))
        seen = json.loads(ended(sfn, execution)["output"])
        assert (seen["Status"], seen["Output"]) == ("SUCCEEDED", output)
        assert [event["type"] for event in history(sfn, execution)][2:6] == [
            *("TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded")
        ]


def test_failed_nested_execution(sfn: Any) -> None:
    machine = child(sfn, {"Type": "Fail", "Error": "E", "Cause": "C"})
    seen = ended(sfn, start(sfn, task("states:startExecution.sync", {"StateMachineArn": machine})))
    assert seen["error"] == "States.TaskFailed"
    cause = json.loads(seen["cause"])
    assert (cause["Error"], cause["Cause"], cause["Status"]) == ("E", "C", "FAILED")


def test_a_missing_target_fails_the_submission(sfn: Any) -> None:
    missing = "arn:aws:states:us-east-1:000000000000:stateMachine:nope"
    execution = start(sfn, task("states:startExecution.sync", {"StateMachineArn": missing}))
    assert ended(sfn, execution)["error"] == "StepFunctions.StateMachineDoesNotExistException"
    assert "TaskSubmitFailed" in [event["type"] for event in history(sfn, execution)]


def test_stop_reaches_the_work(sfn: Any) -> None:
    machine = child(sfn, {"Type": "Wait", "Seconds": 600, "End": True})
    execution = start(sfn, task("states:startExecution.sync", {"StateMachineArn": machine}))
    (running,) = until(lambda: sfn.list_executions(stateMachineArn=machine)["executions"])
    until(lambda: "TaskSubmitted" in [event["type"] for event in history(sfn, execution)])
    sfn.stop_execution(executionArn=execution)
    assert ended(sfn, running["executionArn"])["status"] == "ABORTED"


def test_timeout_reaches_the_work(sfn: Any) -> None:
    machine = child(sfn, {"Type": "Wait", "Seconds": 600, "End": True})
    for seconds in (1, 10, 60):  # until the work has begun when its time is over, on a machine however slow
        start_child = task("states:startExecution.sync", {"StateMachineArn": machine}, TimeoutSeconds=seconds)
        assert ended(sfn, start(sfn, start_child))["error"] == "States.Timeout"
        if begun := sfn.list_executions(stateMachineArn=machine)["executions"]:
            break
    (running,) = begun
    assert ended(sfn, running["executionArn"])["status"] == "ABORTED"


def token_of(aws: Callable[[str], Any], queue: str) -> str:
    (message,) = until(lambda: aws("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    return json.loads(message["Body"])["token"]


def callback(sfn: Any, aws: Callable[[str], Any], **more: Any) -> tuple[str, str]:
    queue = aws("sqs").create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
    parameters = {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}}
    execution = start(sfn, task("sqs:sendMessage.waitForTaskToken", parameters, **more))
    return execution, token_of(aws, queue)


def test_token_success_once(sfn: Any, aws: Callable[[str], Any]) -> None:
    execution, token = callback(sfn, aws)
    sfn.send_task_heartbeat(taskToken=token)
    sfn.send_task_success(taskToken=token, output='{"done": true}')
    assert json.loads(ended(sfn, execution)["output"]) == {"done": True}
    with pytest.raises(ClientError) as caught:
        sfn.send_task_success(taskToken=token, output="{}")
    assert caught.value.response["Error"]["Code"] == "TaskTimedOut"
    forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    with pytest.raises(ClientError) as caught:
        sfn.send_task_success(taskToken=forged, output="{}")
    assert caught.value.response["Error"]["Code"] == "InvalidToken"


def test_a_job_may_be_ended_by_its_token(sfn: Any) -> None:
    """API Reference, SendTaskSuccess: tokens of the job run pattern count, too."""
    machine = child(sfn, {"Type": "Wait", "Seconds": 60, "End": True})
    parameters = {"StateMachineArn": machine, "Input": {"token.$": "$$.Task.Token"}}
    execution = start(sfn, task("states:startExecution.sync:2", parameters))
    (running,) = until(lambda: sfn.list_executions(stateMachineArn=machine)["executions"])
    given = json.loads(sfn.describe_execution(executionArn=running["executionArn"])["input"])
    sfn.send_task_success(taskToken=given["token"], output='"by hand"')
    assert ended(sfn, execution)["output"] == '"by hand"'
    sfn.stop_execution(executionArn=running["executionArn"])


def test_token_failure(sfn: Any, aws: Callable[[str], Any]) -> None:
    execution, token = callback(sfn, aws)
    sfn.send_task_failure(taskToken=token, error="Mine", cause="because")
    seen = ended(sfn, execution)
    assert (seen["error"], seen["cause"]) == ("Mine", "because")


def test_heartbeats_keep_a_task_waiting(sfn: Any, aws: Callable[[str], Any]) -> None:
    for seconds in (2, 20, 200):  # until each heartbeat comes in time, on a machine however slow
        began = time.monotonic()
        execution, token = callback(sfn, aws, HeartbeatSeconds=seconds)
        try:
            for _ in range(4):
                time.sleep(0.3 * seconds)
                beat, began = began, time.monotonic()
                sfn.send_task_heartbeat(taskToken=token)
        except sfn.exceptions.TaskTimedOut:
            assert time.monotonic() - beat > seconds
        else:
            break
    sfn.send_task_success(taskToken=token, output='"alive"')
    assert ended(sfn, execution)["output"] == '"alive"'


def test_token_without_heartbeat_times_out(sfn: Any, aws: Callable[[str], Any]) -> None:
    execution, _ = callback(sfn, aws, HeartbeatSeconds=1)
    assert ended(sfn, execution)["error"] in ("States.HeartbeatTimeout", "States.Timeout")


def test_activity(sfn: Any) -> None:
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    execution = start(sfn, task(activity), {"work": 1})
    got = sfn.get_activity_task(activityArn=activity, workerName="w1")
    assert json.loads(got["input"]) == {"work": 1}
    sfn.send_task_success(taskToken=got["taskToken"], output='"done"')
    assert json.loads(ended(sfn, execution)["output"]) == "done"
    started = next(e for e in history(sfn, execution) if e["type"] == "ActivityStarted")
    assert started["activityStartedEventDetails"] == {"workerName": "w1"}


def test_a_stopped_activity_is_over(sfn: Any) -> None:
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    execution = start(sfn, task(activity))
    token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    sfn.stop_execution(executionArn=execution)
    for said in (
        lambda: sfn.send_task_heartbeat(taskToken=token),
        lambda: sfn.send_task_success(taskToken=token, output="1"),
        lambda: sfn.send_task_failure(taskToken=token),
    ):
        with pytest.raises(ClientError) as caught:
            said()
        assert caught.value.response["Error"]["Code"] == "TaskTimedOut"


def test_activity_worker_waits_for_work(sfn: Any) -> None:
    activity, got = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"], []
    worker = threading.Thread(target=lambda: got.append(sfn.get_activity_task(activityArn=activity)))
    worker.start()
    start(sfn, task(activity), {"work": 2})
    worker.join(120)
    assert json.loads(got[0]["input"]) == {"work": 2}


def test_a_worker_that_hung_up_is_given_nothing(sfn: Any, endpoint: Any) -> None:
    """Nobody would hear of the task: it would wait for its timeout, or for ever."""
    activity = sfn.create_activity(name=f"a-{uuid.uuid4()}")["activityArn"]
    impatient = boto3.client(
        "stepfunctions",
        endpoint.region,
        endpoint_url=endpoint.url,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        config=Config(read_timeout=0.5, retries={"total_max_attempts": 1, "mode": "standard"}),
    )
    with pytest.raises(ReadTimeoutError):
        impatient.get_activity_task(activityArn=activity, workerName="gone")
    execution = start(sfn, task(activity), {"work": 3})
    until(lambda: any(event["type"] == "ActivityScheduled" for event in history(sfn, execution)))
    time.sleep(0.2)  # in which the first poll would take it
    got = sfn.get_activity_task(activityArn=activity, workerName="there")
    assert json.loads(got["input"]) == {"work": 3}
    sfn.send_task_success(taskToken=got["taskToken"], output="1")
    assert ended(sfn, execution)["status"] == "SUCCEEDED"
