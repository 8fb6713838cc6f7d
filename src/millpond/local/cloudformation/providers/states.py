"""Step Functions: state machines (definition as text, object or S3 object), versions, aliases, activities."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    tag_list,
)

DELETE_POLLS = 60
POLL_SECONDS = 0.5


def definition(task: Task) -> str:
    """The definition with `${Name}` replaced from DefinitionSubstitutions."""
    given = [name for name in ("DefinitionString", "Definition", "DefinitionS3Location") if name in task.properties]
    if len(given) != 1:
        raise ProviderError("Exactly one of DefinitionString, Definition and DefinitionS3Location must be given")
    value = task.properties[given[0]]
    body = {"DefinitionString": _text, "Definition": _text, "DefinitionS3Location": _from_s3(task)}[given[0]](value)
    return substitute(body, task.properties.get("DefinitionSubstitutions") or {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _from_s3(task: Task) -> Any:
    def read(where: Properties) -> str:
        params = {"Bucket": where["Bucket"], "Key": where["Key"]}
        if "Version" in where:
            params["VersionId"] = where["Version"]
        body: str = task.client("s3").get_object(**params)["Body"].read().decode()
        if body.lstrip().startswith("{"):
            return body
        try:
            return json.dumps(yaml.safe_load(body))
        except yaml.YAMLError as error:
            raise ProviderError(f"the definition in s3://{where['Bucket']}/{where['Key']} is neither JSON nor YAML: "
                                f"{error}") from None  # fmt: skip

    return read


_HOLE = re.compile(r"\$\{([A-Za-z0-9_.-]+)\}")


def substitute(body: str, values: Properties) -> str:
    """Replace `${Name}`. The body is JSON text, so a string value is written as JSON writes it inside quotes."""

    def fill(hole: re.Match[str]) -> str:
        name = hole.group(1)
        if name not in values:
            return hole.group(0)
        value = values[name]
        return json.dumps(value)[1:-1] if isinstance(value, str) else text(value)

    return _HOLE.sub(fill, body)


def machine_arn(task: Task) -> str:
    return task.arn("states", f"stateMachine:{task.name}")


_DEFINED = ("DefinitionString", "Definition", "DefinitionS3Location", "DefinitionSubstitutions")


def _machine(task: Task) -> Properties:
    params = task.rest(*_DEFINED, "StateMachineName", "StateMachineType", "Tags")
    return {**params, "definition": definition(task)}


def create_machine(task: Task) -> str:
    params = {**_machine(task), "name": task.name}
    if "StateMachineType" in task.properties:
        params["type"] = task.properties["StateMachineType"]
    if task.properties.get("Tags"):
        params["tags"] = tag_list(task.properties["Tags"], "key", "value")
    arn: str = call(task, "stepfunctions", "create_state_machine", params)["stateMachineArn"]
    return arn


# Members that the API keeps when they are not given: a property that a template drops goes back to its default.
_DEFAULTS = {
    "LoggingConfiguration": {"level": "OFF", "includeExecutionData": False, "destinations": []},
    "TracingConfiguration": {"enabled": False},
}


def update_machine(task: Task) -> None:
    dropped = {name: value for name, value in _DEFAULTS.items() if name in task.old and name not in task.properties}
    params = {**dropped, **_machine(task), "stateMachineArn": task.physical_id}
    call(task, "stepfunctions", "update_state_machine", params)


def delete_machine(task: Task) -> None:
    call(task, "stepfunctions", "delete_state_machine", {"stateMachineArn": task.physical_id})
    client = task.client("stepfunctions")
    for _ in range(DELETE_POLLS):  # deletion waits for running executions to end
        try:
            client.describe_state_machine(stateMachineArn=task.physical_id)
        except client.exceptions.StateMachineDoesNotExist:
            return
        task.sleep(POLL_SECONDS)
    raise ProviderError("The state machine is still DELETING", "NotStabilized")


def read_machine(task: Task) -> dict[str, Any]:
    found = call(task, "stepfunctions", "describe_state_machine", {"stateMachineArn": task.physical_id})
    return {
        "Arn": task.physical_id,
        "Name": found["name"],
        "StateMachineRevisionId": found.get("revisionId", "INITIAL"),
    }


def create_version(task: Task) -> str:
    names = {"StateMachineArn": "stateMachineArn", "StateMachineRevisionId": "revisionId", "Description": "description"}
    params = {names[key]: value for key, value in task.properties.items()}
    arn: str = call(task, "stepfunctions", "publish_state_machine_version", params)["stateMachineVersionArn"]
    return arn


def delete_version(task: Task) -> None:
    params = {"stateMachineVersionArn": task.physical_id}
    call(task, "stepfunctions", "delete_state_machine_version", params)


def _alias_route(task: Task) -> list[Properties]:
    preference = task.properties.get("DeploymentPreference")
    if preference:
        if preference.get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
            raise ProviderError("Millpond carries only ALL_AT_ONCE of DeploymentPreference")
        return [{"stateMachineVersionArn": preference["StateMachineVersionArn"], "weight": 100}]
    return [{"stateMachineVersionArn": route["StateMachineVersionArn"], "weight": route["Weight"]}
            for route in task.properties.get("RoutingConfiguration", [])]  # fmt: skip


def create_alias(task: Task) -> str:
    params = {**task.take("Description"), "name": task.name, "routingConfiguration": _alias_route(task)}
    arn: str = call(task, "stepfunctions", "create_state_machine_alias", params)["stateMachineAliasArn"]
    return arn


def update_alias(task: Task) -> None:
    params = {**task.take("Description"), "stateMachineAliasArn": task.physical_id,
              "routingConfiguration": _alias_route(task)}  # fmt: skip
    call(task, "stepfunctions", "update_state_machine_alias", params)


def delete_alias(task: Task) -> None:
    call(task, "stepfunctions", "delete_state_machine_alias", {"stateMachineAliasArn": task.physical_id})


def read_arn(task: Task) -> dict[str, Any]:
    return {"Arn": task.physical_id}


def create_activity(task: Task) -> str:
    params = {**task.rest("Name", "Tags"), "name": task.name}
    if task.properties.get("Tags"):
        params["tags"] = tag_list(task.properties["Tags"], "key", "value")
    arn: str = call(task, "stepfunctions", "create_activity", params)["activityArn"]
    return arn


def delete_activity(task: Task) -> None:
    call(task, "stepfunctions", "delete_activity", {"activityArn": task.physical_id})


def read_activity(task: Task) -> dict[str, Any]:
    found = call(task, "stepfunctions", "describe_activity", {"activityArn": task.physical_id})
    return {"Arn": task.physical_id, "Name": found["name"]}


PROVIDERS = (
    Provider(type="AWS::StepFunctions::StateMachine", service="stepfunctions", creates="CreateStateMachine",
             name="StateMachineName", name_limit=80,
             predict=machine_arn, create=create_machine, update=update_machine, delete=delete_machine,
             read=read_machine, tag=lambda task: task.physical_id),
    Provider(type="AWS::StepFunctions::StateMachineVersion", service="stepfunctions",
             creates="PublishStateMachineVersion", predict=lambda task: None,
             create=create_version, delete=delete_version, read=read_arn),
    Provider(type="AWS::StepFunctions::StateMachineAlias", service="stepfunctions", creates="CreateStateMachineAlias",
             name="Name", name_limit=80,
             predict=lambda task: None,
             create=create_alias, update=update_alias, delete=delete_alias, read=read_arn),
    Provider(type="AWS::StepFunctions::Activity", service="stepfunctions", creates="CreateActivity",
             name="Name", name_limit=80,
             predict=lambda task: task.arn("states", f"activity:{task.name}"),
             create=create_activity, delete=delete_activity, read=read_activity, tag=lambda task: task.physical_id),
)  # fmt: skip
