"""What tasks give: the answers of the integrations that flows use most, member by member."""

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
METADATA = ["SdkHttpMetadata", "SdkResponseMetadata"]
CODE = """
def handler(event, context):
    if event == "nan": return float("nan")
    return {"event": event, "arn": context.invoked_function_arn, "version": context.function_version}
"""


def run(aws: Callable[[str], Any], state: dict[str, Any], given: Any = None) -> tuple[Any, list[dict[str, Any]]]:
    """(output of a machine of this one state, its history)."""
    sfn = aws("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Task", "End": True} | state}})
    machine = sfn.create_state_machine(name=f"o-{uuid.uuid4()}", definition=definition, roleArn=ROLE)
    arn = sfn.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(given or {}))["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    assert seen["status"] == "SUCCEEDED", (seen.get("error"), seen.get("cause"))
    return json.loads(seen["output"]), sfn.get_execution_history(executionArn=arn)["events"]


def task(resource: str, **parameters: Any) -> dict[str, Any]:
    return {"Resource": f"arn:aws:states:::{resource}", "Parameters": parameters}


@pytest.fixture(scope="module")
def function(aws: Callable[[str], Any]) -> str:
    """A function with version 1 and the alias `live` on it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("app.py", CODE)
    client = aws("lambda")
    client.create_function(
        FunctionName="shown", Runtime="python3.12", Handler="app.handler", Role=ROLE, Code={"ZipFile": file.getvalue()}
    )
    client.publish_version(FunctionName="shown")
    client.create_alias(FunctionName="shown", Name="live", FunctionVersion="1")
    return client.get_function(FunctionName="shown")["Configuration"]["FunctionArn"]


@pytest.mark.parametrize(
    ("parameters", "version"),
    [
        ({"FunctionName": "shown"}, "$LATEST"),
        ({"FunctionName": "shown:live"}, "1"),
        ({"FunctionName": "shown", "Qualifier": "1"}, "1"),
        ({"FunctionName": "{arn}:live"}, "1"),
        ({"FunctionName": "000000000000:function:shown"}, "$LATEST"),
    ],
)
def test_versions_of_functions(aws: Callable[[str], Any], function: str, parameters: Any, version: str) -> None:
    name = parameters["FunctionName"].format(arn=function)
    output, _ = run(aws, task("lambda:invoke", **parameters | {"FunctionName": name}))
    assert list(output) == ["ExecutedVersion", "Payload", *METADATA, "StatusCode"]
    assert (output["ExecutedVersion"], output["Payload"]["version"]) == (version, version)
    assert output["Payload"]["event"] == {}  # no Payload is an empty event
    headers = output["SdkHttpMetadata"]["HttpHeaders"]
    assert headers["X-Amz-Executed-Version"] == version
    assert headers["x-amzn-RequestId"] == output["SdkResponseMetadata"]["RequestId"]
    # "Invoke an AWS Lambda function with Step Functions" prints these.
    also = {"Connection", "Content-Length", "Content-Type", "Date", "X-Amzn-Trace-Id", "x-amzn-Remapped-Content-Length"}
    assert also <= headers.keys() and headers["Content-Type"] == "application/json"
    assert {name: [value] for name, value in headers.items()} == output["SdkHttpMetadata"]["AllHttpHeaders"]


@pytest.mark.parametrize(("suffix", "version"), [("", "$LATEST"), (":live", "1"), (":1", "1")])
def test_bare_arns_of_functions(aws: Callable[[str], Any], function: str, suffix: str, version: str) -> None:
    role = "arn:aws:iam::000000000000:role/other"
    state = {
        "Resource": function + suffix,
        "TimeoutSeconds": 60,
        "HeartbeatSeconds": 30,
        "Credentials": {"RoleArn": role},
    }
    output, events = run(aws, state, {"a": "é"})
    assert output == {"event": {"a": "é"}, "arn": function + suffix, "version": version}
    assert events[2]["lambdaFunctionScheduledEventDetails"] == {
        "resource": function + suffix,
        "input": '{"a":"é"}',
        "inputDetails": {"truncated": False},
        "timeoutInSeconds": 60,
        "taskCredentials": {"roleArn": role},
    }
    assert "lambdaFunctionStartedEventDetails" not in events[3]


def test_a_result_that_is_no_json_is_text(aws: Callable[[str], Any], function: str) -> None:
    output, _ = run(aws, task("lambda:invoke", FunctionName=function, Payload="nan"))
    assert output["Payload"] == "NaN"


def test_scheduled_tasks_show_everything(aws: Callable[[str], Any], function: str) -> None:
    role = "arn:aws:iam::000000000000:role/other"
    state = task("lambda:invoke", FunctionName="shown", Payload={"x.$": "$.n"})
    state |= {"TimeoutSecondsPath": "$.t", "HeartbeatSecondsPath": "$.h", "Credentials": {"RoleArn": role}}
    _, events = run(aws, state, {"n": 5, "t": 60, "h": 30})
    assert events[2]["taskScheduledEventDetails"] == {
        "resourceType": "lambda",
        "resource": "invoke",
        "region": "us-east-1",
        "parameters": '{"FunctionName":"shown","Payload":{"x":5}}',
        "timeoutInSeconds": 60,
        "heartbeatInSeconds": 30,
        "taskCredentials": {"roleArn": role},
    }
    assert events[3]["taskStartedEventDetails"] == {"resourceType": "lambda", "resource": "invoke"}


def test_events_name_their_sender(aws: Callable[[str], Any]) -> None:
    queue = aws("sqs").create_queue(QueueName="heard")["QueueUrl"]
    aws("events").put_rule(Name="heard", EventPattern=json.dumps({"source": ["my.source"]}))
    aws("events").put_targets(Rule="heard", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:000000000000:heard"}])
    entry = {"Detail": {"a": [1]}, "DetailType": "T", "Source": "my.source", "Resources": ["mine"]}
    output, events = run(aws, task("events:putEvents", Entries=[entry]))
    assert list(output) == ["Entries", "FailedEntryCount", *METADATA]
    assert (output["FailedEntryCount"], list(output["Entries"][0])) == (0, ["EventId"])
    (message,) = aws("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    sent = json.loads(message["Body"])
    assert (sent["detail"], sent["detail-type"]) == ({"a": [1]}, "T")
    assert sent["resources"][0] == "mine"
    assert [arn.split(":")[5] for arn in sent["resources"][1:]] == ["execution", "stateMachine"]
    assert json.loads(events[2]["taskScheduledEventDetails"]["parameters"]) == {"Entries": [entry]}  # as it was given


def test_items(aws: Callable[[str], Any]) -> None:
    aws("dynamodb").create_table(
        TableName="items",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"id": {"S": "1"}, "n": {"N": "1"}, "on": {"BOOL": True}, "no": {"NULL": True}, "many": {"SS": ["a", "b"]}}
    key = {"id": {"S": "1"}}
    assert list(run(aws, task("dynamodb:putItem", TableName="items", Item=item))[0]) == METADATA
    output, _ = run(aws, task("dynamodb:getItem", TableName="items", Key=key))
    assert list(output) == ["Item", *METADATA] and output["Item"] == item
    update = {"UpdateExpression": "SET n = n + :one", "ExpressionAttributeValues": {":one": {"N": "1"}}}
    output, _ = run(aws, task("dynamodb:updateItem", TableName="items", Key=key, ReturnValues="UPDATED_NEW", **update))
    assert output["Attributes"] == {"n": {"N": "2"}}
    # The SDK integration spells the types of values as the Java SDK does: aws-sdk-js issue 4294.
    output, _ = run(aws, task("aws-sdk:dynamodb:getItem", TableName="items", Key=key))
    assert output == {
        "Item": {
            "id": {"S": "1"},
            "n": {"N": "2"},
            "on": {"Bool": True},
            "no": {"Nul": True},
            "many": {"Ss": ["a", "b"]},
        }
    }
    output, _ = run(aws, task("dynamodb:deleteItem", TableName="items", Key=key, ReturnValues="ALL_OLD"))
    assert output["Attributes"]["on"] == {"BOOL": True}
    assert list(run(aws, task("dynamodb:getItem", TableName="items", Key=key))[0]) == METADATA


def test_messages(aws: Callable[[str], Any]) -> None:
    queue = aws("sqs").create_queue(QueueName="told")["QueueUrl"]
    topic = aws("sns").create_topic(Name="told")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:000000000000:told")
    output, _ = run(aws, task("sns:publish", TopicArn=topic, Message={"a": "ü"}, Subject="s"))
    assert list(output) == ["MessageId", *METADATA]
    (message,) = aws("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    assert json.loads(json.loads(message["Body"])["Message"]) == {"a": "ü"}
    aws("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    attributes = {"kind": {"DataType": "String", "StringValue": "x"}}
    output, _ = run(aws, task("sqs:sendMessage", QueueUrl=queue, MessageBody=[1], MessageAttributes=attributes))
    assert list(output) == ["MD5OfMessageAttributes", "MD5OfMessageBody", "MessageId", *METADATA]
    output, _ = run(aws, task("aws-sdk:sqs:sendMessage", QueueUrl=queue, MessageBody="x"))
    assert sorted(output) == ["Md5OfMessageBody", "MessageId"]


def test_objects(aws: Callable[[str], Any]) -> None:
    aws("s3").create_bucket(Bucket="outputs-bucket")
    where = {"Bucket": "outputs-bucket", "Key": "k"}
    output, _ = run(aws, task("aws-sdk:s3:putObject", Body={"a": 1}, **where))
    assert output["ETag"].startswith('"')
    output, _ = run(aws, task("aws-sdk:s3:getObject", **where))
    assert (output["Body"], output["ContentLength"], output["LastModified"][-1]) == ('{"a":1}', 7, "Z")


def test_a_crawler(aws: Callable[[str], Any]) -> None:
    aws("glue").create_database(DatabaseInput={"Name": "crawled"})
    targets = {"S3Targets": [{"Path": "s3://outputs-bucket/"}]}
    aws("glue").create_crawler(Name="c", Role=ROLE, DatabaseName="crawled", Targets=targets)
    assert run(aws, task("aws-sdk:glue:startCrawler", Name="c"))[0] == {}
    output, _ = run(aws, task("aws-sdk:glue:getCrawler", Name="c"))
    assert output["Crawler"]["State"] in ("RUNNING", "STOPPING", "READY")


def test_an_express_child_is_not_waited_for(aws: Callable[[str], Any]) -> None:
    child = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "Result": {"r": 1}, "End": True}}})
    machine = aws("stepfunctions").create_state_machine(name="x", definition=child, roleArn=ROLE, type="EXPRESS")[
        "stateMachineArn"
    ]
    output, _ = run(aws, task("states:startExecution", StateMachineArn=machine))
    assert ":express:" in output["ExecutionArn"]
    output, _ = run(aws, task("aws-sdk:sfn:startSyncExecution", StateMachineArn=machine))
    assert (output["Status"], output["Output"]) == ("SUCCEEDED", '{"r":1}')
    state = task("states:startExecution.sync", StateMachineArn=machine) | {"End": True, "Type": "Task"}
    caught = {"Catch": [{"ErrorEquals": ["States.TaskFailed"], "Next": "B"}]}
    definition = {"StartAt": "A", "States": {"A": state | caught, "B": {"Type": "Pass", "End": True}}}
    sfn = aws("stepfunctions")
    parent = sfn.create_state_machine(name="p", definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=parent)["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "Express" in json.loads(seen["output"])["Cause"]
