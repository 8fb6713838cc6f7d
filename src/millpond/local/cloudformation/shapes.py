"""The answers' shapes: stacks, resources, change sets and parameter declarations as CloudFormation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.records import ChangeSet, Resource, Stack
from millpond.local.service import AwsError

PAGE = 100
Params = dict[str, Any]


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def is_live(item: ChangeSet) -> bool:
    return item.execution != "EXECUTE_COMPLETE"


def page_of(items: list[Any], params: Params) -> tuple[list[Any], str | None]:
    given = params.get("NextToken")
    if given is not None and not given.isdigit():
        raise AwsError("ValidationError", "Invalid NextToken")
    start = int(given or 0)
    end = start + PAGE
    return items[start:end], str(end) if end < len(items) else None


def drop_empty(shape: Params, *kept: str) -> Params:
    return {key: value for key, value in shape.items() if key in kept or value not in (None, "", [])}


def parameters(declared: Mapping[str, Mapping[str, Any]]) -> list[Params]:
    found = []
    for name, item in declared.items():
        shown: Params = {"ParameterKey": name, "ParameterValue": "****" if item["secret"] else item["value"]}
        if item.get("resolved") is not None and not item["secret"]:
            shown["ResolvedValue"] = item["resolved"]
        found.append(shown)
    return found


def stack_shape(stack: Stack) -> Params:
    return drop_empty({
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set_id,
        "Description": text(stack.template.get("Description", "")),
        "Parameters": parameters(stack.parameters),
        "CreationTime": moment(stack.created),
        "DeletionTime": moment(stack.deleted) if stack.deleted else None,
        "LastUpdatedTime": moment(stack.updated) if stack.updated else None,
        "RollbackConfiguration": {},
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.disable_rollback,
        "NotificationARNs": stack.notification_arns,
        "TimeoutInMinutes": stack.timeout_minutes,
        "Capabilities": stack.capabilities,
        "Outputs": stack.outputs,
        "RoleARN": stack.role_arn,
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "EnableTerminationProtection": stack.protected,
        "ParentId": stack.parent_id,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }, "Tags", "NotificationARNs")  # fmt: skip


def stack_summary(stack: Stack) -> Params:
    return drop_empty({
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": text(stack.template.get("Description", "")),
        "CreationTime": moment(stack.created),
        "LastUpdatedTime": moment(stack.updated) if stack.updated else None,
        "DeletionTime": moment(stack.deleted) if stack.deleted else None,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    })  # fmt: skip


def resource_summary(item: Resource) -> Params:
    return drop_empty({
        "LogicalResourceId": item.logical_id,
        "PhysicalResourceId": item.physical_id,
        "ResourceType": item.type,
        "LastUpdatedTimestamp": moment(item.updated),
        "ResourceStatus": item.status,
        "ResourceStatusReason": item.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    })  # fmt: skip


def resource_shape(stack: Stack, item: Resource, stamp: str) -> Params:
    shape = resource_summary(item)
    shape[stamp] = shape.pop("LastUpdatedTimestamp")
    return {"StackId": stack.id, "StackName": stack.name, **shape}


def change_set_summary(item: ChangeSet) -> Params:
    return drop_empty({
        "StackId": item.stack_id,
        "StackName": item.stack_name,
        "ChangeSetId": item.id,
        "ChangeSetName": item.name,
        "ExecutionStatus": item.execution,
        "Status": item.status,
        "StatusReason": item.reason,
        "CreationTime": moment(item.created),
        "Description": item.description,
    })  # fmt: skip


def declaration(name: str, item: Mapping[str, Any]) -> Params:
    rules = {"AllowedValues": [text(value) for value in item["AllowedValues"]]} if "AllowedValues" in item else {}
    return drop_empty({
        "ParameterKey": name,
        "DefaultValue": text(item["Default"]) if "Default" in item else None,
        "ParameterType": item.get("Type", "String"),
        "NoEcho": text(item.get("NoEcho", False)).lower() == "true",
        "Description": item.get("Description"),
        "ParameterConstraints": rules,
    }, "NoEcho", "ParameterConstraints")  # fmt: skip


def brief_declaration(name: str, item: Mapping[str, Any]) -> Params:
    shape = declaration(name, item)
    return {key: shape[key] for key in ("ParameterKey", "DefaultValue", "NoEcho", "Description") if key in shape}
