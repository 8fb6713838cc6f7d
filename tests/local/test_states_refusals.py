"""What Step Functions operations refuse, and in which words: AWS's where they are known."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from millpond.local.service import Endpoint

ROLE = "arn:aws:iam::000000000000:role/flow"
PASS = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
WAIT = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 600, "End": True}}})
ARN = "arn:aws:states:us-east-1:000000000000:"


@pytest.fixture(scope="module")
def sfn(endpoint: Endpoint) -> Any:
    """A client that checks nothing itself."""
    config = Config(
        retries={"total_max_attempts": 1}, inject_host_prefix=False, parameter_validation=False, read_timeout=180
    )
    session = boto3.session.Session(endpoint.access_key, endpoint.secret_key, region_name=endpoint.region)
    return session.client("stepfunctions", endpoint_url=endpoint.url, config=config)


@pytest.fixture(scope="module")
def there(sfn: Any) -> dict[str, str]:
    """Resources to refuse things with, by name."""
    made = {
        kind: sfn.create_state_machine(name=kind.lower(), definition=PASS, roleArn=ROLE, type=kind)["stateMachineArn"]
        for kind in ("STANDARD", "EXPRESS")
    }
    version = sfn.publish_state_machine_version(stateMachineArn=made["STANDARD"])["stateMachineVersionArn"]
    express = sfn.start_execution(stateMachineArn=made["EXPRESS"], name="x")["executionArn"]
    return made | {"version": version, "express": express}


def refusal(call: Callable[..., Any], **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


NEW = {"name": "new", "definition": PASS, "roleArn": ROLE}
ONE = "1 validation error detected: "
CASES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "create_state_machine",
        NEW | {"name": "x" * 81},
        "ValidationException",
        f"{ONE}Value '{'x' * 81}' at 'name' failed to satisfy constraint: Member must have length less than or equal "
        "to 80",
    ),
    (
        "create_state_machine",
        NEW | {"type": "FAST"},
        "ValidationException",
        f"{ONE}Value 'FAST' at 'type' failed to satisfy constraint: Member must satisfy enum value set: "
        "[STANDARD, EXPRESS]",
    ),
    (
        "create_state_machine",
        {"name": "new", "roleArn": ROLE},
        "ValidationException",
        f"{ONE}Value null at 'definition' failed to satisfy constraint: Member must not be null",
    ),
    (
        "create_state_machine",
        NEW | {"definition": "x" * 1_048_577},
        "ValidationException",
        f"{ONE}Value at 'definition' failed to satisfy constraint: Member must have length less than or equal to "
        "1048576",
    ),
    ("create_state_machine", NEW | {"name": "a b"}, "InvalidName", "Invalid Name: 'a b'"),
    ("create_state_machine", NEW | {"roleArn": "me"}, "InvalidArn", "Invalid Role Arn: 'me'"),
    (
        "create_state_machine",
        NEW | {"definition": "[]"},
        "InvalidDefinition",
        "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object at null'",
    ),
    (
        "create_state_machine",
        NEW | {"loggingConfiguration": {"level": "ALL"}},
        "InvalidLoggingConfiguration",
        "Invalid Logging Configuration: Must specify exactly one Log Destination.",
    ),
    ("create_state_machine", NEW | {"tracingConfiguration": {}}, "InvalidTracingConfiguration", ""),
    (
        "create_state_machine",
        NEW | {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY"}},
        "InvalidEncryptionConfiguration",
        "",
    ),
    (
        "create_state_machine",
        NEW | {"encryptionConfiguration": {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": "nope"}},
        "KmsAccessDeniedException",
        "",
    ),
    ("create_state_machine", NEW | {"tags": [{"key": "*"}]}, "ValidationException", ""),
    ("create_state_machine", NEW | {"tags": [{"key": f"{n}"} for n in range(51)]}, "TooManyTags", ""),
    (
        "create_state_machine",
        NEW | {"versionDescription": "d"},
        "ValidationException",
        "Version description can only be set when publish is true",
    ),
    (
        "create_state_machine",
        NEW | {"name": "standard", "type": "EXPRESS"},
        "StateMachineAlreadyExists",
        f"State Machine Already Exists: '{ARN}stateMachine:standard'",
    ),
    (
        "create_state_machine",
        NEW | {"name": "express", "type": "EXPRESS", "publish": True},
        "StateMachineAlreadyExists",
        "",
    ),
    ("describe_map_run", {"mapRunArn": "me"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: me'"),
    (
        "describe_map_run",
        {"mapRunArn": "arn:aws:states:us-east-1:000000000000:stateMachine:m"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: stateMachine'",
    ),
    (
        "list_map_runs",
        {"executionArn": "arn:aws:states:us-east-1:000000000000:express:m:a:b"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: express'",
    ),
    ("describe_state_machine", {"stateMachineArn": "me"}, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: me'"),
    (
        "describe_execution",
        {"executionArn": f"{ARN}stateMachine:standard"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: stateMachine'",
    ),
    (
        "start_execution",
        {"stateMachineArn": f"{ARN}execution:standard:x"},
        "InvalidArn",
        "Invalid Arn: 'Resource type not valid in this context: execution'",
    ),
    ("start_execution", {"stateMachineArn": f"{ARN}stateMachine:standard/Label"}, "ValidationException", ""),
    (
        "start_execution",
        {"stateMachineArn": f"{ARN}stateMachine:nope"},
        "StateMachineDoesNotExist",
        f"State Machine Does Not Exist: '{ARN}stateMachine:nope'",
    ),
    (
        "start_execution",
        {"stateMachineArn": "<STANDARD>", "traceHeader": "\u00e9"},
        "ValidationException",
        f"{ONE}Value '\u00e9' at 'traceHeader' failed to satisfy constraint: Member must satisfy regular expression "
        "pattern: \\p{ASCII}*",
    ),
    (
        "start_execution",
        {"stateMachineArn": "<STANDARD>", "input": "{a: 1}"},
        "InvalidExecutionInput",
        "Invalid State Machine Execution Input: 'com.fasterxml.jackson.core.JsonParseException: Unexpected character "
        "('a' (code 97)): was expecting double-quote to start field name\n at [Source: (String)\"{a: 1}\"; line: 1, "
        "column: 3]'",
    ),
    ("start_execution", {"stateMachineArn": "<STANDARD>", "input": ""}, "InvalidExecutionInput", ""),
    ("start_execution", {"stateMachineArn": "<STANDARD>", "input": '{"a": 1e400}'}, "InvalidExecutionInput", ""),
    ("start_sync_execution", {"stateMachineArn": "<STANDARD>"}, "StateMachineTypeNotSupported", ""),
    ("list_executions", {"stateMachineArn": "<EXPRESS>"}, "StateMachineTypeNotSupported", ""),
    ("list_executions", {}, "ValidationException", "Must provide a StateMachine ARN or MapRun ARN"),
    *(
        (
            operation,
            {"executionArn": "<express>"},
            "InvalidArn",
            "Invalid Arn: 'Resource type not valid in this context: express'",
        )
        for operation in (
            *("describe_execution", "get_execution_history", "stop_execution", "redrive_execution"),
            "describe_state_machine_for_execution",
        )
    ),
    (
        "create_state_machine_alias",
        {"name": "12", "routingConfiguration": [{"stateMachineVersionArn": "<version>", "weight": 100}]},
        "ValidationException",
        f"{ONE}Value '12' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: "
        "^(?=.*[a-zA-Z_\\-\\.])[a-zA-Z0-9_\\-\\.]+$",
    ),
    (
        "create_state_machine_alias",
        {"name": "a", "routingConfiguration": [{"stateMachineVersionArn": "<version>", "weight": 99}]},
        "ValidationException",
        "Sum of routing configuration weights must equal 100",
    ),
    (
        "create_state_machine_alias",
        {"name": "a", "routingConfiguration": [{"stateMachineVersionArn": "<STANDARD>:7", "weight": 100}]},
        "ResourceNotFound",
        "",
    ),
    ("update_state_machine_alias", {"stateMachineAliasArn": "<STANDARD>:no"}, "ResourceNotFound", ""),
    ("publish_state_machine_version", {"stateMachineArn": "<STANDARD>", "revisionId": "r"}, "ConflictException", ""),
    ("delete_state_machine_version", {"stateMachineVersionArn": "<STANDARD>"}, "ValidationException", ""),
    ("list_state_machine_aliases", {"stateMachineArn": f"{ARN}stateMachine:no"}, "StateMachineDoesNotExist", ""),
    ("list_state_machines", {"nextToken": "WyJhIiwgMV0="}, "InvalidToken", "Invalid Token: 'Invalid token'"),
    ("get_execution_history", {"executionArn": f"{ARN}execution:standard:no"}, "ExecutionDoesNotExist", ""),
    ("tag_resource", {"resourceArn": f"{ARN}activity:no", "tags": []}, "ResourceNotFound", ""),
]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: f"{CASES[n][0]}-{CASES[n][2]}-{n}")
def test_refused(sfn: Any, there: dict[str, str], number: int) -> None:
    operation, params, code, message = CASES[number]
    text = json.dumps(params)
    for name, arn in there.items():
        text = text.replace(f"<{name}>", arn)
    said = refusal(getattr(sfn, operation), **json.loads(text))
    assert said[0] == code, said
    assert not message or said[1] == message


def test_a_definition_of_the_largest_size(sfn: Any) -> None:
    room = 1_048_576 - len(PASS) - len(', "Comment": ""')
    definition = json.dumps(json.loads(PASS) | {"Comment": "x" * room})
    assert len(definition) == 1_048_576
    arn = sfn.create_state_machine(name="large", definition=definition, roleArn=ROLE)["stateMachineArn"]
    assert sfn.describe_state_machine(stateMachineArn=arn)["definition"] == definition


def test_deleting_ends_executions(sfn: Any) -> None:
    arn = sfn.create_state_machine(name="leaves", definition=WAIT, roleArn=ROLE)["stateMachineArn"]
    sfn.publish_state_machine_version(stateMachineArn=arn)
    execution = sfn.start_execution(stateMachineArn=arn)["executionArn"]
    sfn.delete_state_machine(stateMachineArn=arn)
    code, _ = refusal(sfn.start_execution, stateMachineArn=arn)
    assert code in ("StateMachineDeleting", "StateMachineDoesNotExist")
    deadline = time.monotonic() + 120
    while sfn.describe_execution(executionArn=execution)["status"] != "ABORTED":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    while any(m["name"] == "leaves" for m in sfn.list_state_machines(maxResults=1000)["stateMachines"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sfn.list_state_machine_versions(stateMachineArn=arn)["stateMachineVersions"] == []
    seen = sfn.describe_execution(executionArn=execution)
    assert (seen["redriveStatus"], seen["redriveStatusReason"]) == (
        "NOT_REDRIVABLE",
        "State machine is in DELETING status",
    )
    again = sfn.create_state_machine(name="leaves", definition=PASS, roleArn=ROLE, publish=True)
    assert again["stateMachineVersionArn"] == f"{arn}:1"


def test_described_with_variables_and_label(sfn: Any) -> None:
    inner = {
        "StartAt": "I",
        "States": {"I": {"Type": "Pass", "Output": "{% $states.input & $string($total) %}", "End": True}},
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
    }
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Assign": {"total": 1}, "Next": "M"},
            "M": {"Type": "Map", "Label": "Each", "ItemProcessor": inner, "End": True},
        },
    }
    arn = sfn.create_state_machine(name="labelled", definition=json.dumps(definition), roleArn=ROLE)["stateMachineArn"]
    assert sfn.describe_state_machine(stateMachineArn=arn)["variableReferences"] == {"I": ["total"]}
    seen = sfn.describe_state_machine(stateMachineArn=f"{arn}/Each")
    assert (seen["label"], seen["type"], json.loads(seen["definition"])["StartAt"]) == ("Each", "EXPRESS", "I")
    bare = sfn.describe_state_machine(stateMachineArn=arn, includedData="METADATA_ONLY")
    assert bare["definition"] == "{}" and "variableReferences" not in bare


def test_listed_by_when_they_stopped(sfn: Any) -> None:
    arn = sfn.create_state_machine(name="listed", definition=WAIT, roleArn=ROLE)["stateMachineArn"]
    one, two, three = (sfn.start_execution(stateMachineArn=arn, name=f"e{n}")["executionArn"] for n in range(3))
    sfn.stop_execution(executionArn=two)
    sfn.stop_execution(executionArn=one)
    first = sfn.list_executions(stateMachineArn=arn, maxResults=2)
    rest = sfn.list_executions(stateMachineArn=arn, maxResults=2, nextToken=first["nextToken"])
    assert [e["executionArn"] for e in first["executions"] + rest["executions"]] == [one, two, three]
    other = sfn.create_state_machine(name=f"o{uuid.uuid4()}", definition=PASS, roleArn=ROLE)["stateMachineArn"]
    assert refusal(sfn.list_executions, stateMachineArn=other, nextToken=first["nextToken"])[0] == "InvalidToken"


def test_aliases_route_by_weight_and_are_listed_newest_first(sfn: Any) -> None:
    arn = sfn.create_state_machine(name="routed", definition=PASS, roleArn=ROLE, publish=True)["stateMachineArn"]
    sfn.update_state_machine(stateMachineArn=arn, definition=WAIT, publish=True)
    routes = [{"stateMachineVersionArn": f"{arn}:{n}", "weight": w} for n, w in ((1, 70), (2, 30))]
    alias = sfn.create_state_machine_alias(name="live", routingConfiguration=routes)["stateMachineAliasArn"]
    newer = sfn.create_state_machine_alias(
        name="a-new-one", routingConfiguration=[{"stateMachineVersionArn": f"{arn}:2", "weight": 100}]
    )["stateMachineAliasArn"]
    listed = sfn.list_state_machine_aliases(stateMachineArn=arn)["stateMachineAliases"]
    assert [a["stateMachineAliasArn"] for a in listed] == [newer, alias]
    of_one = sfn.list_state_machine_aliases(stateMachineArn=f"{arn}:1")["stateMachineAliases"]
    assert [a["stateMachineAliasArn"] for a in of_one] == [alias]
    ran = [sfn.start_execution(stateMachineArn=alias)["executionArn"] for _ in range(60)]
    versions = [sfn.describe_execution(executionArn=e)["stateMachineVersionArn"].rpartition(":")[2] for e in ran]
    assert 5 <= versions.count("2") <= 35
    sfn.delete_state_machine(stateMachineArn=arn)


def test_a_key_of_ones_own(sfn: Any, aws: Callable[[str], Any]) -> None:
    key = aws("kms").create_key()["KeyMetadata"]["KeyId"]
    wanted = {"type": "CUSTOMER_MANAGED_KMS_KEY", "kmsKeyId": key}
    arn = sfn.create_state_machine(name="keyed", definition=PASS, roleArn=ROLE, encryptionConfiguration=wanted)[
        "stateMachineArn"
    ]
    shown = sfn.describe_state_machine(stateMachineArn=arn)["encryptionConfiguration"]
    assert shown == wanted | {"kmsDataKeyReusePeriodSeconds": 300}
    activity = sfn.create_activity(name="keyed", encryptionConfiguration=wanted)["activityArn"]
    assert sfn.describe_activity(activityArn=activity)["encryptionConfiguration"] == shown
    owned = {"type": "AWS_OWNED_KEY"}
    assert refusal(sfn.create_activity, name="keyed", encryptionConfiguration=owned)[0] == "ActivityAlreadyExists"


def test_sync_without_data(sfn: Any, there: dict[str, str]) -> None:
    seen = sfn.start_sync_execution(
        stateMachineArn=there["EXPRESS"], input="{}", includedData="METADATA_ONLY", traceHeader="Root=1-2"
    )
    assert "input" not in seen and "output" not in seen
    assert (seen["inputDetails"], seen["outputDetails"]) == ({"included": False}, {"included": False})
    assert (seen["traceHeader"], seen["billingDetails"]["billedMemoryUsedInMB"]) == ("Root=1-2", 64)


def nested(levels: int) -> str:
    text = '{"StartAt":"A0","States":{"A0":{"Type":"Pass","End":true}}}'
    for level in range(1, levels):
        state = f'{{"Type":"Parallel","End":true,"Branches":[{text}]}}'
        text = f'{{"StartAt":"A{level}","States":{{"A{level}":{state}}}}}'
    return text


def passing(**fields: Any) -> str:
    return json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True, **fields}}})


def computed(expression: str) -> str:
    return passing(QueryLanguage="JSONata", Output=f"{{% {expression} %}}")


BROKEN = {
    "nothing": "   ",
    "text": '"x"',
    "null": "null",
    "zero": "{}\0",
    "mark": "\ufeff{}",
    "more": '{"StartAt":"A"} {',
    "deep machines": nested(2000),
    "deep arrays": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deep value": '{"StartAt":"A","States":{"A":{"Type":"Pass","End":true,"Result":' + "[" * 9999 + "]" * 9999 + "}}}",
    "not a number": '{"StartAt":"A","States":{"A":{"Type":"Pass","End":true,"Result":NaN}}}',
    "too large a number": '{"StartAt":"A","States":{"A":{"Type":"Wait","End":true,"Seconds":1e400}}}',
    "too long a wait": '{"StartAt":"A","States":{"A":{"Type":"Wait","End":true,"Seconds":1180591620717411303424}}}',
    "twice": '{"StartAt":"A","States":{"A":{"Type":"Succeed"},"A":{"Type":"Succeed"}}}',
    "no states": '{"StartAt":"A","States":{}}',
    "no object": '{"StartAt":"A","States":{"A":[]}}',
    "functions in functions": passing(Parameters={"a.$": "States.Array(" * 300 + ")" * 300}),
    "brackets of a path": passing(InputPath="$" + "[" * 50_000),
    "brackets of a filter": passing(InputPath="$[?(" + "(" * 5000 + "@.a" + ")" * 5000 + ")]"),
    "brackets of an expression": computed("(" * 20_000 + "1" + ")" * 20_000),
    "arrays of an expression": computed("[" * 20_000),
    "functions of an expression": computed("function(){" * 5000 + "1" + "}" * 5000),
    "choices of an expression": computed("true ? " * 5000 + "1"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_definitions_are_refused(sfn: Any, name: str) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.create_state_machine(name="broken", definition=BROKEN[name], roleArn=ROLE)
    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"
    answer = sfn.validate_state_machine_definition(definition=BROKEN[name])
    assert answer["result"] == "FAIL"
    with pytest.raises(ClientError) as caught:
        sfn.test_state(definition=BROKEN[name])
    assert caught.value.response["Error"]["Code"] == "InvalidDefinition"


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":NaN}', '{"a":1e400}', "'a'", "{}{}", "\ufeff{}"])
def test_broken_inputs_are_refused(sfn: Any, there: dict[str, str], text: str) -> None:
    for operation, machine in ((sfn.start_execution, "standard"), (sfn.start_sync_execution, "express")):
        with pytest.raises(ClientError) as caught:
            operation(stateMachineArn=f"{ARN}stateMachine:{machine}", input=text)
        assert caught.value.response["Error"]["Code"] == "InvalidExecutionInput"
    with pytest.raises(ClientError) as caught:
        sfn.test_state(definition='{"Type":"Succeed"}', input=text)
    assert caught.value.response["Error"]["Code"] == "InvalidExecutionInput"


def test_too_long_a_number_is_told_in_no_words_of_python(sfn: Any, there: dict[str, str]) -> None:
    with pytest.raises(ClientError) as caught:
        sfn.start_execution(stateMachineArn=f"{ARN}stateMachine:standard", input="9" * 5000)
    assert "Number length (5000) exceeds the maximum length" in caught.value.response["Error"]["Message"]
