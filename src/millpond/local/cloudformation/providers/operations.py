"""What runs beside the data: secrets, SSM parameters, log groups, EventBridge rules and buses, schedules."""

from __future__ import annotations

import json
import secrets
import string
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    document,
    is_missing,
    tag_list,
    tag_map,
)

# --- Secrets Manager --------------------------------------------------------------------------------------------------


def generated(rule: Properties) -> str:
    """A secret string by the rules of GenerateSecretString (AWS docs: AWS::SecretsManager::Secret)."""

    def said(name: str) -> bool:
        return text(rule.get(name, False)).lower() == "true"

    groups = {
        "ExcludeLowercase": string.ascii_lowercase,
        "ExcludeUppercase": string.ascii_uppercase,
        "ExcludeNumbers": string.digits,
        "ExcludePunctuation": string.punctuation,
    }
    left_out = set(rule.get("ExcludeCharacters", ""))
    kinds = ["".join(c for c in chars if c not in left_out) for name, chars in groups.items() if not said(name)]
    kinds = [kind for kind in kinds if kind]
    alphabet = "".join(kinds) + (" " if said("IncludeSpace") and " " not in left_out else "")
    length = int(rule.get("PasswordLength", 32))
    each = text(rule.get("RequireEachIncludedType", True)).lower() == "true"
    if not alphabet or (each and length < len(kinds)):
        raise ProviderError("GenerateSecretString leaves no characters, or too short a length, to make a password of")
    chosen = [secrets.choice(kind) for kind in kinds] if each else []
    chosen += [secrets.choice(alphabet) for _ in range(length - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    password = "".join(chosen)
    if "GenerateStringKey" not in rule and "SecretStringTemplate" not in rule:
        return password
    try:
        template = json.loads(rule["SecretStringTemplate"])
        return json.dumps({**template, rule["GenerateStringKey"]: password})
    except (KeyError, TypeError, ValueError):
        message = "SecretStringTemplate must be a JSON object, and be given together with GenerateStringKey"
        raise ProviderError(message) from None


def _secret_value(task: Task) -> Properties:
    if "SecretString" in task.properties:
        return {"SecretString": task.properties["SecretString"]}
    if "GenerateSecretString" in task.properties:
        return {"SecretString": generated(task.properties["GenerateSecretString"] or {})}
    return {}


def create_secret(task: Task) -> str:
    params = {**task.rest("SecretString", "GenerateSecretString", "Tags"), "Name": task.name,
              "ClientRequestToken": task.token}  # fmt: skip
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    return str(call(task, "secretsmanager", "create_secret", {**params, **_secret_value(task)})["ARN"])


def update_secret(task: Task) -> None:
    params: Properties = {"SecretId": task.physical_id, "Description": task.properties.get("Description", ""),
                          **task.take("KmsKeyId")}  # fmt: skip
    value = ("SecretString", "GenerateSecretString")
    if any(task.properties.get(name) != task.old.get(name) for name in value):
        params |= _secret_value(task)
    call(task, "secretsmanager", "update_secret", params)


def delete_secret(task: Task) -> None:
    params = {"SecretId": task.physical_id, "ForceDeleteWithoutRecovery": True}
    call(task, "secretsmanager", "delete_secret", params)


def read_secret(task: Task) -> dict[str, Any]:
    call(task, "secretsmanager", "describe_secret", {"SecretId": task.physical_id})
    return {"Id": task.physical_id}


def secret_arn(task: Task) -> str | None:
    client = task.client("secretsmanager")
    try:
        return str(client.describe_secret(SecretId=task.name)["ARN"])
    except client.exceptions.ResourceNotFoundException:
        return None


# --- SSM parameters ---------------------------------------------------------------------------------------------------


def _put_parameter(task: Task, *, overwrite: bool) -> None:
    params = {**task.rest("Tags", "Name"), "Name": task.physical_id or task.name}
    if overwrite:
        params["Overwrite"] = True
    elif task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    call(task, "ssm", "put_parameter", params)


def create_parameter(task: Task) -> str:
    _put_parameter(task, overwrite=False)
    return task.name


def update_parameter(task: Task) -> None:
    _put_parameter(task, overwrite=True)
    before, after = tag_map(task.old.get("Tags")), tag_map(task.properties.get("Tags"))
    if before != after:
        where = {"ResourceType": "Parameter", "ResourceId": task.physical_id}
        gone = [key for key in before if key not in after]
        if gone:
            call(task, "ssm", "remove_tags_from_resource", {**where, "TagKeys": gone})
        if after:
            call(task, "ssm", "add_tags_to_resource", {**where, "Tags": tag_list(after)})


def delete_parameter(task: Task) -> None:
    call(task, "ssm", "delete_parameter", {"Name": task.physical_id})


def read_parameter(task: Task) -> dict[str, Any]:
    found = call(task, "ssm", "get_parameter", {"Name": task.physical_id})["Parameter"]
    return {"Type": found["Type"], "Value": found["Value"]}


# --- log groups -------------------------------------------------------------------------------------------------------


def _retention(task: Task) -> None:
    name = {"logGroupName": task.physical_id or task.name}
    wanted, had = task.properties.get("RetentionInDays"), task.old.get("RetentionInDays")
    if wanted is not None and wanted != had:
        call(task, "logs", "put_retention_policy", {**name, "retentionInDays": wanted})
    elif wanted is None and had is not None:
        call(task, "logs", "delete_retention_policy", name)


def create_group(task: Task) -> str:
    params = {**task.rest("LogGroupName", "RetentionInDays", "Tags"), "logGroupName": task.name}
    if task.properties.get("Tags"):
        params["tags"] = tag_map(task.properties["Tags"])
    call(task, "logs", "create_log_group", params)
    task.report(task.name)
    _retention(task)
    return task.name


def update_group(task: Task) -> None:
    others = set(task.properties) ^ set(task.old) | {k for k, v in task.properties.items() if task.old.get(k) != v}
    refused = sorted(others - {"LogGroupName", "RetentionInDays", "Tags"})
    if refused:
        raise ProviderError(f"Millpond does not carry a change of {', '.join(refused)} of AWS::Logs::LogGroup yet")
    _retention(task)


def delete_group(task: Task) -> None:
    call(task, "logs", "delete_log_group", {"logGroupName": task.physical_id})


def read_group(task: Task) -> dict[str, Any]:
    found = call(task, "logs", "describe_log_groups", {"logGroupNamePrefix": task.physical_id})
    if not any(group["logGroupName"] == task.physical_id for group in found["logGroups"]):
        raise ProviderError(f"The log group {task.physical_id} was not found", "NotFound")
    return {"Arn": f"{task.arn('logs', f'log-group:{task.physical_id}')}:*"}


# --- EventBridge ------------------------------------------------------------------------------------------------------


def _bus(task: Task) -> Properties:
    return task.take("EventBusName")


def _rule_name(task: Task) -> str:
    """`Ref` is `bus|rule` on a bus of one's own, else the rule's name."""
    bus = task.properties.get("EventBusName", "default")
    return task.name if bus == "default" else f"{bus}|{task.name}"


def _put_rule(task: Task, name: str) -> None:
    params = {**task.rest("Name", "Targets", "Tags", "EventPattern"), "Name": name}
    if "EventPattern" in task.properties:
        params["EventPattern"] = document(task.properties["EventPattern"])
    call(task, "events", "put_rule", params)
    targets = task.properties.get("Targets") or []
    gone = {item["Id"] for item in task.old.get("Targets") or []} - {item["Id"] for item in targets}
    if gone:
        call(task, "events", "remove_targets", {**_bus(task), "Rule": name, "Ids": sorted(gone)})
    if targets:
        result = call(task, "events", "put_targets", {**_bus(task), "Rule": name, "Targets": targets})
        failed = result.get("FailedEntries") or []
        if failed:
            raise ProviderError(f"Target {failed[0].get('TargetId')}: {failed[0].get('ErrorMessage')}")


def create_rule(task: Task) -> str:
    task.report(_rule_name(task))
    _put_rule(task, task.name)
    if task.properties.get("Tags"):
        arn = call(task, "events", "describe_rule", {**_bus(task), "Name": task.name})["Arn"]
        call(task, "events", "tag_resource", {"ResourceARN": arn, "Tags": tag_list(task.properties["Tags"])})
    return _rule_name(task)


def _rule(task: Task) -> str:
    return task.physical_id.rpartition("|")[2]


def update_rule(task: Task) -> None:
    _put_rule(task, _rule(task))


def delete_rule(task: Task) -> None:
    client = task.client("events")
    try:
        found = client.list_targets_by_rule(Rule=_rule(task), **_bus(task))["Targets"]
    except client.exceptions.ClientError as error:
        if is_missing(error):
            return
        raise
    if found:
        ids = [item["Id"] for item in found]
        call(task, "events", "remove_targets", {**_bus(task), "Rule": _rule(task), "Ids": ids})
    call(task, "events", "delete_rule", {**_bus(task), "Name": _rule(task)})


def read_rule(task: Task) -> dict[str, Any]:
    return {"Arn": call(task, "events", "describe_rule", {**_bus(task), "Name": _rule(task)})["Arn"]}


def create_bus(task: Task) -> str:
    params = task.rest("Tags", "Policy")
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    if "Policy" in task.properties:
        raise ProviderError("Millpond does not carry Policy of AWS::Events::EventBus yet")
    call(task, "events", "create_event_bus", params)
    return task.name


def delete_bus(task: Task) -> None:
    call(task, "events", "delete_event_bus", {"Name": task.physical_id})


def read_bus(task: Task) -> dict[str, Any]:
    found = call(task, "events", "describe_event_bus", {"Name": task.physical_id})
    return {"Arn": found["Arn"], "Name": task.physical_id}


# --- EventBridge Scheduler --------------------------------------------------------------------------------------------


def _schedule(task: Task) -> Properties:
    return {"Name": task.physical_id or task.name, **task.take("GroupName")}


def create_schedule(task: Task) -> str:
    params = {**task.rest("Name"), "Name": task.name, "ClientToken": task.token}
    call(task, "scheduler", "create_schedule", params)
    return task.name


def update_schedule(task: Task) -> None:
    call(task, "scheduler", "update_schedule", {**task.rest("Name"), "Name": task.physical_id})


def delete_schedule(task: Task) -> None:
    call(task, "scheduler", "delete_schedule", _schedule(task))


def read_schedule(task: Task) -> dict[str, Any]:
    return {"Arn": call(task, "scheduler", "get_schedule", _schedule(task))["Arn"]}


def create_schedules(task: Task) -> str:
    params: Properties = {"Name": task.name}
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    call(task, "scheduler", "create_schedule_group", params)
    return task.name


def delete_schedules(task: Task) -> None:
    call(task, "scheduler", "delete_schedule_group", {"Name": task.physical_id})


def read_schedules(task: Task) -> dict[str, Any]:
    found = call(task, "scheduler", "get_schedule_group", {"Name": task.physical_id})
    return {"Arn": found["Arn"], "State": found.get("State", "ACTIVE")}


PROVIDERS = (
    Provider(type="AWS::SecretsManager::Secret", service="secretsmanager", creates="CreateSecret",
             name="Name", name_limit=255,
             predict=secret_arn, create=create_secret, update=update_secret, delete=delete_secret, read=read_secret,
             tag=lambda task: task.physical_id),
    Provider(type="AWS::SSM::Parameter", service="ssm", creates="PutParameter",
             name="Name",
             create=create_parameter, update=update_parameter, delete=delete_parameter, read=read_parameter,
             attributes=frozenset({"Type", "Value"})),
    Provider(type="AWS::Logs::LogGroup", service="logs", creates="CreateLogGroup",
             name="LogGroupName", name_limit=512,
             create=create_group, update=update_group, delete=delete_group, read=read_group,
             tag=lambda task: task.arn("logs", f"log-group:{task.physical_id}")),
    Provider(type="AWS::Events::Rule", service="events", creates="PutRule",
             name="Name", name_limit=64,
             predict=_rule_name, create=create_rule, update=update_rule, delete=delete_rule, read=read_rule,
             tag=lambda task: read_rule(task)["Arn"]),
    Provider(type="AWS::Events::EventBus", service="events", creates="CreateEventBus",
             name="Name",
             create=create_bus, delete=delete_bus, read=read_bus),
    Provider(type="AWS::Scheduler::Schedule", service="scheduler", creates="CreateSchedule",
             within="GroupName", name="Name", name_limit=64,
             create=create_schedule, update=update_schedule, delete=delete_schedule, read=read_schedule),
    Provider(type="AWS::Scheduler::ScheduleGroup", service="scheduler", creates="CreateScheduleGroup",
             name="Name", name_limit=64,
             create=create_schedules, delete=delete_schedules, read=read_schedules),
)  # fmt: skip
