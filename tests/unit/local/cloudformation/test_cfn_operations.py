"""What the operations refuse, and what they remember: tokens, capabilities, policies, one operation at a time."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from millpond.local.cloudformation.plan import property_changes, replaces
from millpond.local.cloudformation.providers import PROVIDERS
from millpond.local.cloudformation.providers.operations import generated
from millpond.local.cloudformation.providers.provider import ProviderError, Task
from millpond.local.cloudformation.providers.states import definition
from millpond.local.cloudformation.schemas import schema_of
from millpond.local.service import AwsError

ROLE = "arn:aws:iam::000000000000:role/any"


def jobs(**timeouts: int) -> str:
    return json.dumps(
        {
            "Resources": {
                name: {
                    "Type": "AWS::Glue::Job",
                    "Properties": {"Name": name, "Role": ROLE, "Command": {}, "Timeout": timeout},
                }
                for name, timeout in timeouts.items()
            }
        }
    )


def refused(code: str, text: str = "") -> Any:
    class Refusal:
        def __enter__(self) -> Any:
            self.raises = pytest.raises(AwsError)
            self.caught = self.raises.__enter__()
            return self.caught

        def __exit__(self, *problem: Any) -> Any:
            result = self.raises.__exit__(*problem)
            assert self.caught.value.code == code
            assert text in self.caught.value.message
            return result

    return Refusal()


def test_create_twice(room: Any) -> None:
    room("CreateStack", StackName="s", TemplateBody=jobs(A=1))
    with refused("AlreadyExistsException", "Stack [s] already exists"):
        room("CreateStack", StackName="s", TemplateBody=jobs(A=1))


def test_client_request_token(room: Any, cloud: Any) -> None:
    first = room("CreateStack", StackName="s", TemplateBody=jobs(A=1), ClientRequestToken="t1")
    assert room("CreateStack", StackName="s", TemplateBody=jobs(A=1), ClientRequestToken="t1") == first
    room("UpdateStack", StackName="s", TemplateBody=jobs(A=2), ClientRequestToken="t2")
    assert room("UpdateStack", StackName="s", TemplateBody=jobs(A=2), ClientRequestToken="t2") == first
    events = room("DescribeStackEvents", StackName="s")["StackEvents"]
    assert {event.get("ClientRequestToken") for event in events} == {"t1", "t2"}


def test_no_such_stack(room: Any) -> None:
    with refused("ValidationError", "Stack with id nope does not exist"):
        room("DescribeStacks", StackName="nope")
    with refused("ValidationError", "Stack [nope] does not exist"):
        room("UpdateStack", StackName="nope", TemplateBody=jobs(A=1))
    assert room("DeleteStack", StackName="nope") == {}


def test_bad_name(room: Any) -> None:
    with refused("ValidationError", "at 'stackName' failed to satisfy constraint"):
        room("CreateStack", StackName="no spaces", TemplateBody=jobs(A=1))


def test_capabilities(room: Any) -> None:
    role: dict[str, Any] = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}
    with refused("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]"):
        room("CreateStack", StackName="s", TemplateBody=json.dumps({"Resources": {"R": role}}))
    role["Properties"]["RoleName"] = "mine"
    with refused("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]"):
        body = json.dumps({"Resources": {"R": role}})
        room("CreateStack", StackName="s", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    with refused("InsufficientCapabilitiesException", "CAPABILITY_AUTO_EXPAND"):
        body = json.dumps({"Transform": "AWS::LanguageExtensions", **json.loads(jobs(A=1))})
        room("CreateStack", StackName="s", TemplateBody=body)
    assert room("DescribeStacks")["Stacks"] == []


def test_nothing_runs_before_everything_is_checked(room: Any, cloud: Any) -> None:
    body = json.loads(jobs(A=1))
    body["Resources"]["X"] = {"Type": "AWS::Made::Up"}
    with refused("ValidationError", "Unrecognized resource types: [AWS::Made::Up]"):
        room("CreateStack", StackName="s", TemplateBody=json.dumps(body))
    with refused("ValidationError", "X: AWS::Made::Up"):
        room("CreateChangeSet", StackName="s", ChangeSetName="c", ChangeSetType="CREATE", TemplateBody=json.dumps(body))
    assert cloud.dump() == {} and room("ListStacks")["StackSummaries"] == []


def test_termination_protection(room: Any, cloud: Any) -> None:
    room("CreateStack", StackName="s", TemplateBody=jobs(A=1), EnableTerminationProtection=True)
    with refused("ValidationError", "TerminationProtection is enabled"):
        room("DeleteStack", StackName="s")
    room("UpdateTerminationProtection", StackName="s", EnableTerminationProtection=False)
    room("DeleteStack", StackName="s")
    assert cloud.dump() == {}


def test_stack_policy_is_kept_and_obeyed(room: Any, cloud: Any) -> None:
    allow = {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}
    deny = {"Effect": "Deny", "Action": "Update:Modify", "Principal": "*", "Resource": "LogicalResourceId/A"}
    policy = json.dumps({"Statement": [allow, deny]})
    room("CreateStack", StackName="s", TemplateBody=jobs(A=1, B=1), StackPolicyBody=policy)
    assert room("GetStackPolicy", StackName="s")["StackPolicyBody"] == policy
    with refused("ValidationError", "LogicalResourceId/A"):
        room("UpdateStack", StackName="s", TemplateBody=jobs(A=2, B=1))
    room("UpdateStack", StackName="s", TemplateBody=jobs(A=1, B=2))
    assert cloud.dump()["job B"]["Timeout"] == 2
    with refused("ValidationError", "Invalid stack policy"):
        room("SetStackPolicy", StackName="s", StackPolicyBody="[]")


def test_one_operation_at_a_time(room: Any, cloud: Any) -> None:
    """S8: of many updates at once one wins, the others are refused at once, and the end is the winner's template."""
    room("CreateStack", StackName="s", TemplateBody=jobs(A=1))
    held, go = threading.Event(), threading.Event()
    act = cloud.call

    def slow(operation: str, params: Any) -> Any:
        if operation == "update_job":
            held.set()
            go.wait(120)
        return act(operation, params)

    cloud.call = slow
    operations = room.service.operations()
    operations["UpdateStack"]({"StackName": "s", "TemplateBody": jobs(A=2)}, None)
    assert held.wait(120)
    for attempt in range(3, 8):
        with refused("ValidationError", "is in UPDATE_IN_PROGRESS state and can not be updated"):
            operations["UpdateStack"]({"StackName": "s", "TemplateBody": jobs(A=attempt)}, None)
    with refused("ValidationError", "is in UPDATE_IN_PROGRESS state and can not be deleted"):
        operations["DeleteStack"]({"StackName": "s"}, None)
    go.set()
    room.service.api.settle()
    assert room.status("s") == "UPDATE_COMPLETE"
    assert cloud.dump()["job A"]["Timeout"] == 2


def test_cancel_update(room: Any, cloud: Any) -> None:
    body = json.loads(jobs(A=1, B=1))
    body["Resources"]["B"]["DependsOn"] = "A"
    room("CreateStack", StackName="s", TemplateBody=json.dumps(body))
    before = cloud.dump()
    operations = room.service.operations()
    act = cloud.call

    def cancelling(operation: str, params: Any) -> Any:
        if operation == "update_job" and params["JobUpdate"]["Timeout"] == 2:
            operations["CancelUpdateStack"]({"StackName": "s"}, None)
        return act(operation, params)

    cloud.call = cancelling
    for item in body["Resources"].values():
        item["Properties"]["Timeout"] = 2
    room("UpdateStack", StackName="s", TemplateBody=json.dumps(body))
    assert room.status("s") == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.dump() == before
    with refused("ValidationError", "CancelUpdateStack cannot be called"):
        room("CancelUpdateStack", StackName="s")


def test_outputs_alone_are_an_update(room: Any) -> None:
    body = json.loads(jobs(A=1))
    room("CreateStack", StackName="s", TemplateBody=json.dumps(body))
    body["Outputs"] = {"Job": {"Value": {"Ref": "A"}}}
    room("UpdateStack", StackName="s", TemplateBody=json.dumps(body))
    assert room("DescribeStacks", StackName="s")["Stacks"][0]["Outputs"] == [{"OutputKey": "Job", "OutputValue": "A"}]
    body["Description"] = "words alone are none"
    with refused("ValidationError", "No updates are to be performed."):
        room("UpdateStack", StackName="s", TemplateBody=json.dumps(body))


def test_a_changed_type_is_refused(room: Any) -> None:
    room("CreateStack", StackName="s", TemplateBody=jobs(A=1))
    other = json.dumps({"Resources": {"A": {"Type": "AWS::Glue::Workflow"}}})
    with refused("ValidationError", "Update of resource type is not permitted"):
        room("UpdateStack", StackName="s", TemplateBody=other)


def test_events_come_in_pages(room: Any) -> None:
    room("CreateStack", StackName="s", TemplateBody=jobs(**{f"J{n}": 1 for n in range(40)}))
    seen, token = [], None
    while True:
        page = room("DescribeStackEvents", StackName="s", **({"NextToken": token} if token else {}))
        seen += [event["EventId"] for event in page["StackEvents"]]
        token = page.get("NextToken")
        if token is None:
            break
    assert len(seen) == len(set(seen)) == 2 + 3 * 40


def test_summary_and_validation(room: Any) -> None:
    body = """
AWSTemplateFormatVersion: 2010-09-09
Description: a lake
Parameters: {Env: {Type: String, AllowedValues: [dev, prod]}, Key: {Type: String, NoEcho: true, Default: k}}
Resources:
  R: {Type: AWS::IAM::Role, Properties: {AssumeRolePolicyDocument: {}}}
"""
    summary = room("GetTemplateSummary", TemplateBody=body)
    assert summary["Capabilities"] == ["CAPABILITY_IAM"] and summary["ResourceTypes"] == ["AWS::IAM::Role"]
    assert summary["Parameters"][0]["ParameterConstraints"] == {"AllowedValues": ["dev", "prod"]}
    found = room("ValidateTemplate", TemplateBody=body)
    assert [item["NoEcho"] for item in found["Parameters"]] == [False, True]
    assert found["Description"] == "a lake"


# --- providers and schemas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_every_type_has_its_schema(kind: str) -> None:
    assert schema_of(kind).properties or PROVIDERS[kind].inert or kind.endswith("CustomResource")
    name = PROVIDERS[kind].name.split(".")[0]
    assert not name or name in schema_of(kind).properties


@pytest.mark.parametrize(
    ("kind", "old", "new", "replaced"),
    [
        ("AWS::Glue::Job", {"Name": "a"}, {"Name": "b"}, True),
        ("AWS::Glue::Job", {"Timeout": 1}, {"Timeout": 2}, False),
        ("AWS::Glue::Table", {"TableInput": {"Name": "a"}}, {"TableInput": {"Name": "b"}}, True),
        ("AWS::Glue::Table", {"TableInput": {"Name": "a"}}, {"TableInput": {"Name": "a", "Owner": "x"}}, False),
        ("AWS::Athena::NamedQuery", {"QueryString": "a"}, {"QueryString": "b"}, True),
        ("AWS::StepFunctions::StateMachine", {"StateMachineType": "STANDARD"}, {"StateMachineType": "EXPRESS"}, True),
        ("AWS::StepFunctions::StateMachine", {"DefinitionString": "a"}, {"DefinitionString": "b"}, False),
        ("AWS::SQS::Queue", {"QueueName": "a"}, {}, True),
    ],
)
def test_what_replaces(kind: str, old: dict[str, Any], new: dict[str, Any], replaced: bool) -> None:
    changes = property_changes(kind, old, new)
    assert changes and replaces(changes) is replaced


def test_scalars_are_equal_as_text() -> None:
    assert property_changes("AWS::Glue::Job", {"Timeout": 5, "Tags": {}}, {"Timeout": "5"}) == []


def task(**properties: Any) -> Task:
    return Task("id", "stack", "Logical", "AWS::Any", properties)


def test_definition_forms() -> None:
    text = '{"a": "${X}", "b": "${Unknown}"}'
    assert definition(task(DefinitionString=text, DefinitionSubstitutions={"X": 'q"'})) == (
        '{"a": "q\\"", "b": "${Unknown}"}'
    )
    assert json.loads(definition(task(Definition={"StartAt": "${X}"}, DefinitionSubstitutions={"X": 1}))) == {
        "StartAt": "1"
    }
    with pytest.raises(ProviderError, match="Exactly one of"):
        definition(task(DefinitionString=text, Definition={}))


def test_generated_secret() -> None:
    made = generated({"PasswordLength": 8, "ExcludePunctuation": True, "ExcludeCharacters": "abcABC123"})
    assert len(made) == 8 and made.isalnum() and not set(made) & set("abcABC123")
    found = json.loads(generated({"SecretStringTemplate": '{"u": "x"}', "GenerateStringKey": "p"}))
    assert found["u"] == "x" and len(found["p"]) == 32
    with pytest.raises(ProviderError):
        generated({"ExcludeLowercase": True, "ExcludeUppercase": True, "ExcludeNumbers": True,
                   "ExcludePunctuation": True})  # fmt: skip
