"""Step Functions operations as a client sees them: definitions, executions, versions, aliases, tags, paging."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/flow"
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}}


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def create(sfn: Any, definition: Any = PASS, **more: Any) -> str:
    name = f"m-{uuid.uuid4()}"
    return sfn.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE, **more)[
        "stateMachineArn"
    ]


def ended(sfn: Any, execution: str, seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return seen


def refusal(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"]


def test_create_is_idempotent_by_definition_not_role(sfn: Any) -> None:
    arn = create(sfn)
    name = arn.rpartition(":")[2]
    again = sfn.create_state_machine(name=name, definition=json.dumps(PASS), roleArn=ROLE + "2")
    assert again["stateMachineArn"] == arn
    assert (
        refusal(sfn.create_state_machine, name=name, definition=json.dumps(WAIT), roleArn=ROLE)
        == "StateMachineAlreadyExists"
    )


def test_describe_update_delete(sfn: Any) -> None:
    arn = create(sfn, tags=[{"key": "a", "value": "1"}])
    seen = sfn.describe_state_machine(stateMachineArn=arn)
    assert (seen["status"], seen["type"], json.loads(seen["definition"])) == ("ACTIVE", "STANDARD", PASS)
    assert "revisionId" not in seen
    revision = sfn.update_state_machine(stateMachineArn=arn, definition=json.dumps(WAIT))["revisionId"]
    seen = sfn.describe_state_machine(stateMachineArn=arn)
    assert (json.loads(seen["definition"]), seen["revisionId"], seen["roleArn"]) == (WAIT, revision, ROLE)
    assert refusal(sfn.update_state_machine, stateMachineArn=arn) == "MissingRequiredParameter"
    sfn.delete_state_machine(stateMachineArn=arn)
    assert refusal(sfn.describe_state_machine, stateMachineArn=arn) == "StateMachineDoesNotExist"
    sfn.delete_state_machine(stateMachineArn=arn)


def test_start_is_idempotent_while_it_runs(sfn: Any) -> None:
    machine = create(sfn, WAIT)

    def start(text: str) -> str:
        try:
            return sfn.start_execution(stateMachineArn=machine, name="same", input=text)["executionArn"]
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(10) as pool:
        arns = set(pool.map(start, ["{}"] * 30))
    assert len(arns) == 1
    (arn,) = arns
    assert start('{"other": 1}') == "ExecutionAlreadyExists"
    sfn.stop_execution(executionArn=arn)
    assert start("{}") == "ExecutionAlreadyExists"
    assert len(sfn.list_executions(stateMachineArn=machine)["executions"]) == 1


def test_stop_tells_why(sfn: Any) -> None:
    arn = sfn.start_execution(stateMachineArn=create(sfn, WAIT))["executionArn"]
    stopped = sfn.stop_execution(executionArn=arn, error="Enough", cause="by hand")["stopDate"]
    seen = sfn.describe_execution(executionArn=arn)
    assert (seen["status"], seen["error"], seen["cause"], seen["stopDate"]) == ("ABORTED", "Enough", "by hand", stopped)
    assert seen["redriveStatus"] == "REDRIVABLE"
    last = sfn.get_execution_history(executionArn=arn, reverseOrder=True, maxResults=1)["events"][0]
    assert last["type"] == "ExecutionAborted"
    assert last["executionAbortedEventDetails"] == {"error": "Enough", "cause": "by hand"}
    assert sfn.stop_execution(executionArn=arn)["stopDate"] == stopped


def test_a_history_begins_with_its_start_however_soon_it_is_asked_for(sfn: Any) -> None:
    """Starts are gathered for a moment (`States._wake`), while nobody asks."""
    machine = create(sfn)
    for _ in range(20):
        execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
        events = sfn.get_execution_history(executionArn=execution)["events"]
        assert [event["type"] for event in events][:1] == ["ExecutionStarted"]


def test_history_pages_both_ways(sfn: Any) -> None:
    chain = {f"S{i}": {"Type": "Pass", "Next": f"S{i + 1}"} for i in range(20)} | {"S20": {"Type": "Succeed"}}
    arn = sfn.start_execution(stateMachineArn=create(sfn, {"StartAt": "S0", "States": chain}))["executionArn"]
    ended(sfn, arn)
    for reverse in (False, True):
        ids, token = [], {}
        while True:
            page = sfn.get_execution_history(executionArn=arn, maxResults=10, reverseOrder=reverse, **token)
            assert len(page["events"]) <= 10
            ids += [event["id"] for event in page["events"]]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert ids == sorted(range(1, 45), reverse=reverse)
    assert refusal(sfn.get_execution_history, executionArn=arn, nextToken="forged") == "InvalidToken"
    bare = sfn.get_execution_history(executionArn=arn, includeExecutionData=False)["events"]
    assert all("input" not in event.get("stateEnteredEventDetails", {}) for event in bare)


def test_list_executions_filters_and_pages(sfn: Any) -> None:
    machine = create(sfn, {"StartAt": "A", "States": {"A": {"Type": "Fail"}}})
    arns = [sfn.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(5)]
    for arn in arns:
        ended(sfn, arn)
    first = sfn.list_executions(stateMachineArn=machine, statusFilter="FAILED", maxResults=3)
    second = sfn.list_executions(stateMachineArn=machine, nextToken=first["nextToken"], maxResults=3)
    listed = [e["executionArn"] for e in first["executions"] + second["executions"]]
    assert listed == arns[::-1] and "nextToken" not in second
    assert sfn.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"] == []


def test_versions_and_aliases(sfn: Any) -> None:
    machine = create(sfn, publish=True, versionDescription="first")
    assert sfn.publish_state_machine_version(stateMachineArn=machine)["stateMachineVersionArn"] == f"{machine}:1"
    sfn.update_state_machine(stateMachineArn=machine, definition=json.dumps(WAIT))
    two = sfn.publish_state_machine_version(stateMachineArn=machine)["stateMachineVersionArn"]
    assert two == f"{machine}:2"
    routes = [{"stateMachineVersionArn": f"{machine}:1", "weight": 100}]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=routes)["stateMachineAliasArn"]
    arn = sfn.start_execution(stateMachineArn=alias)["executionArn"]
    seen = ended(sfn, arn)
    assert (seen["status"], seen["stateMachineVersionArn"], seen["stateMachineAliasArn"]) == (
        "SUCCEEDED",
        f"{machine}:1",
        alias,
    )
    assert json.loads(sfn.describe_state_machine_for_execution(executionArn=arn)["definition"]) == PASS
    assert refusal(sfn.delete_state_machine_version, stateMachineVersionArn=f"{machine}:1") == "ConflictException"
    sfn.update_state_machine_alias(
        stateMachineAliasArn=alias, routingConfiguration=[{"stateMachineVersionArn": two, "weight": 100}]
    )
    sfn.delete_state_machine_version(stateMachineVersionArn=f"{machine}:1")
    assert [
        v["stateMachineVersionArn"]
        for v in sfn.list_state_machine_versions(stateMachineArn=machine)["stateMachineVersions"]
    ] == [two]


def test_tags(sfn: Any) -> None:
    arn = create(sfn, tags=[{"key": "a", "value": "1"}])
    sfn.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    sfn.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert sfn.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]


def test_validate(sfn: Any) -> None:
    assert sfn.validate_state_machine_definition(definition=json.dumps(PASS))["result"] == "OK"
    answer = sfn.validate_state_machine_definition(definition=json.dumps({"StartAt": "B", "States": PASS["States"]}))
    assert answer["result"] == "FAIL" and answer["diagnostics"][0]["location"] == "/StartAt"


@pytest.mark.parametrize(
    ("resource", "parameters", "said"),
    [
        ("lambda:invoke", {"Payload": {}}, "The field 'FunctionName' is required but was missing"),
        ("sns:publish", {"Topic": "t", "Message": "m"}, 'The field "Topic" is not supported by Step Functions'),
        (
            "ecs:runTask",
            {"TaskDefinition": "t", "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnet": []}}},
            'The field "Subnet" is not supported by Step Functions',
        ),
        ("aws-sdk:glue:getTable", {"Table.$": "$.t"}, 'The field "Table" is not supported by Step Functions'),
        ("aws-sdk:glue:getTable", {"Name.$": "$.t"}, None),
        ("aws-sdk:s3:putObject", {"Bucket": "b", "Key": "k", "Acl": "private", "Body": {"any": 1}}, None),
        ("dynamodb:putItem", {"TableName": "t", "Item": {"any name": {"S.$": "$.x"}}}, None),
    ],
)
def test_parameters_are_held_against_the_api(sfn: Any, resource: str, parameters: Any, said: str | None) -> None:
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True}
    answer = sfn.validate_state_machine_definition(definition=json.dumps({"StartAt": "A", "States": {"A": state}}))
    found = [(finding["message"], finding["location"]) for finding in answer["diagnostics"]]
    assert found == ([] if said is None else [(said, "/States/A/Parameters")])


def test_express_answers_at_once(sfn: Any) -> None:
    arn = create(sfn, {"StartAt": "A", "States": {"A": {"Type": "Fail", "Error": "E"}}}, type="EXPRESS")
    seen = sfn.start_sync_execution(stateMachineArn=arn, input='{"a": 1}')
    assert (seen["status"], seen["error"], seen["input"]) == ("FAILED", "E", '{"a": 1}')
    assert refusal(sfn.start_sync_execution, stateMachineArn=create(sfn)) == "StateMachineTypeNotSupported"
    assert refusal(sfn.list_executions, stateMachineArn=arn) == "StateMachineTypeNotSupported"


MISSING = "arn:aws:states:us-east-1:000000000000:stateMachine:nope"
RUN = "arn:aws:states:us-east-1:000000000000:execution:nope:x"
REFUSED = [
    ("describe_state_machine", {"stateMachineArn": MISSING}, "StateMachineDoesNotExist"),
    ("describe_state_machine", {"stateMachineArn": "nope"}, "InvalidArn"),
    ("start_execution", {"stateMachineArn": MISSING}, "StateMachineDoesNotExist"),
    ("describe_execution", {"executionArn": RUN}, "ExecutionDoesNotExist"),
    ("describe_execution", {"executionArn": "nope"}, "InvalidArn"),
    ("stop_execution", {"executionArn": RUN}, "ExecutionDoesNotExist"),
    ("get_execution_history", {"executionArn": RUN}, "ExecutionDoesNotExist"),
    ("create_state_machine", {"name": "a b", "definition": json.dumps(PASS), "roleArn": ROLE}, "InvalidName"),
    ("create_state_machine", {"name": "x", "definition": json.dumps(PASS), "roleArn": "nope"}, "InvalidArn"),
    ("create_state_machine", {"name": "x", "definition": "{", "roleArn": ROLE}, "InvalidDefinition"),
    ("send_task_success", {"taskToken": "forged", "output": "{}"}, "InvalidToken"),
    ("send_task_success", {"taskToken": "forged", "output": "{"}, "InvalidOutput"),
    ("send_task_heartbeat", {"taskToken": "forged"}, "InvalidToken"),
    ("list_tags_for_resource", {"resourceArn": MISSING}, "ResourceNotFound"),
    ("describe_activity", {"activityArn": MISSING.replace("stateMachine", "activity")}, "ActivityDoesNotExist"),
    ("list_state_machines", {"nextToken": "forged"}, "InvalidToken"),
]


@pytest.mark.parametrize(("operation", "params", "code"), REFUSED)
def test_refusals(sfn: Any, operation: str, params: dict[str, Any], code: str) -> None:
    assert refusal(getattr(sfn, operation), **params) == code


@pytest.mark.parametrize("text", ["{", "NaN", "[" * 100_000, '"' + "é" * 131_072 + '"'])
def test_bad_input_is_refused(sfn: Any, text: str) -> None:
    code = refusal(sfn.start_execution, stateMachineArn=create(sfn), input=text)
    assert code in ("InvalidExecutionInput", "ValidationException")
