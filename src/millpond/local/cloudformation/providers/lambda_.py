"""Lambda: functions (code from S3 or inline), permissions, versions, aliases, layers, event sources, async settings."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    tag_map,
)

POLLS = 120
POLL_SECONDS = 0.25
NOT_CONFIGURATION = ("Code", "FunctionName", "Tags", "ReservedConcurrentExecutions", "PackageType", "Architectures",
                     "CodeSigningConfigArn", "SnapStart", "RuntimeManagementConfig", "RecursiveLoop")  # fmt: skip
REFUSED = ("CodeSigningConfigArn", "RuntimeManagementConfig", "RecursiveLoop")


def inline_zip(source: str, runtime: str) -> bytes:
    """`Code.ZipFile` as AWS packs it: index.py or index.js, with a fixed date, so that equal code has an equal hash."""
    name = "index.js" if runtime.startswith("nodejs") else "index.py"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, source)
    return packed.getvalue()


def _code(task: Task) -> Properties:
    code = dict(task.properties["Code"])
    if "ZipFile" in code:
        return {"ZipFile": inline_zip(code["ZipFile"], str(task.properties.get("Runtime", "python3.12")))}
    return code


def _refuse(task: Task) -> None:
    given = [name for name in REFUSED if name in task.properties]
    if given:
        raise ProviderError(f"Millpond does not carry {', '.join(given)} of AWS::Lambda::Function yet")


def create_function(task: Task) -> str:
    _refuse(task)
    params = {**task.rest("Code", "Tags", "ReservedConcurrentExecutions"), "FunctionName": task.name,
              "Code": _code(task)}  # fmt: skip
    if task.properties.get("Tags"):
        params["Tags"] = tag_map(task.properties["Tags"])
    call(task, "lambda", "create_function", params)
    task.report(task.name)
    _wait_active(task)
    _reserve(task)
    return task.name


def _wait_active(task: Task) -> None:
    name = task.physical_id or task.name
    for _ in range(POLLS):
        found = call(task, "lambda", "get_function_configuration", {"FunctionName": name})
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if state == "Failed" or update == "Failed":
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "unknown"
            raise ProviderError(f"Lambda function {name} could not be activated: {reason}", "NotStabilized")
        if state != "Pending" and update != "InProgress":
            return
        task.sleep(POLL_SECONDS)
    raise ProviderError(f"Lambda function {name} did not become active", "NotStabilized")


def _reserve(task: Task) -> None:
    name = {"FunctionName": task.physical_id or task.name}
    wanted, had = (at.get("ReservedConcurrentExecutions") for at in (task.properties, task.old))
    if wanted is not None and wanted != had:
        call(task, "lambda", "put_function_concurrency", {**name, "ReservedConcurrentExecutions": wanted})
    elif wanted is None and had is not None:
        call(task, "lambda", "delete_function_concurrency", name)


# Members that update keeps when they are not given: a property that a template drops goes back to its default.
_DEFAULTS: Properties = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {}},
    "Layers": [],
    "DeadLetterConfig": {"TargetArn": ""},
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []},
    "FileSystemConfigs": [],
    "KmsKeyArn": "",
}


def update_function(task: Task) -> None:
    _refuse(task)
    name = {"FunctionName": task.physical_id}
    code_changed = any(task.properties.get(key) != task.old.get(key) for key in ("Code", "Architectures"))
    if code_changed:
        call(task, "lambda", "update_function_code", {**name, **_code(task), **task.take("Architectures")})
        _wait_active(task)
    dropped = {key: value for key, value in _DEFAULTS.items() if key in task.old and key not in task.properties}
    settings = {**dropped, **task.rest(*NOT_CONFIGURATION)}
    had = {key: value for key, value in task.old.items() if key not in NOT_CONFIGURATION}
    if settings != had:
        call(task, "lambda", "update_function_configuration", {**name, **settings})
        _wait_active(task)
    _reserve(task)


def delete_function(task: Task) -> None:
    call(task, "lambda", "delete_function", {"FunctionName": task.physical_id})


def read_function(task: Task) -> dict[str, Any]:
    found = call(task, "lambda", "get_function_configuration", {"FunctionName": task.physical_id})
    return {"Arn": found["FunctionArn"]}


# --- permission -------------------------------------------------------------------------------------------------------


def create_permission(task: Task) -> str:
    call(task, "lambda", "add_permission", {**task.properties, "StatementId": task.name})
    return task.name


def delete_permission(task: Task) -> None:
    params = {"FunctionName": task.properties["FunctionName"], "StatementId": task.physical_id}
    call(task, "lambda", "remove_permission", params)


def read_permission(task: Task) -> dict[str, Any]:
    import json

    found = call(task, "lambda", "get_policy", {"FunctionName": task.properties["FunctionName"]})
    statements = json.loads(found["Policy"])["Statement"]
    if not any(statement.get("Sid") == task.physical_id for statement in statements):
        raise ProviderError("permission not found", "NotFound")
    return {"Id": task.physical_id}


# --- version and alias ------------------------------------------------------------------------------------------------


def create_version(task: Task) -> str:
    names = ("ProvisionedConcurrencyConfig", "RuntimePolicy", "FunctionScalingConfig")
    refused = [name for name in names if name in task.properties]
    if refused:
        raise ProviderError(f"Millpond does not carry {', '.join(refused)} of AWS::Lambda::Version yet")
    found = call(task, "lambda", "publish_version", task.properties)
    return str(found["FunctionArn"])


def _version(task: Task) -> Properties:
    function, _, version = task.physical_id.rpartition(":")
    return {"FunctionName": function, "Qualifier": version}


def delete_version(task: Task) -> None:
    call(task, "lambda", "delete_function", _version(task))


def read_version(task: Task) -> dict[str, Any]:
    call(task, "lambda", "get_function_configuration", _version(task))
    return {"FunctionArn": task.physical_id, "Version": task.physical_id.rpartition(":")[2]}


def _alias(task: Task) -> Properties:
    params = task.rest("ProvisionedConcurrencyConfig", "RoutingConfig")
    if "ProvisionedConcurrencyConfig" in task.properties:
        raise ProviderError("Millpond does not carry ProvisionedConcurrencyConfig of AWS::Lambda::Alias yet")
    weights = (task.properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights", [])
    if weights:  # a list in a template, a map in the API
        shares = {item["FunctionVersion"]: float(item["FunctionWeight"]) for item in weights}
        params["RoutingConfig"] = {"AdditionalVersionWeights": shares}
    return params


def create_alias(task: Task) -> str:
    return str(call(task, "lambda", "create_alias", _alias(task))["AliasArn"])


def _alias_key(task: Task) -> Properties:
    function, _, name = task.physical_id.rpartition(":")
    return {"FunctionName": function, "Name": name}


def update_alias(task: Task) -> None:
    params = {"Description": "", "RoutingConfig": {"AdditionalVersionWeights": {}}, **_alias(task)}
    call(task, "lambda", "update_alias", params)


def delete_alias(task: Task) -> None:
    call(task, "lambda", "delete_alias", _alias_key(task))


def read_alias(task: Task) -> dict[str, Any]:
    call(task, "lambda", "get_alias", _alias_key(task))
    return {"AliasArn": task.physical_id}


# --- layer, event source mapping, asynchronous invocation -------------------------------------------------------------


def create_layer(task: Task) -> str:
    params = {**task.properties, "LayerName": task.properties.get("LayerName", task.name)}
    return str(call(task, "lambda", "publish_layer_version", params)["LayerVersionArn"])


def delete_layer(task: Task) -> None:
    layer, _, version = task.physical_id.rpartition(":")
    call(task, "lambda", "delete_layer_version", {"LayerName": layer, "VersionNumber": int(version)})


def create_mapping(task: Task) -> str:
    return str(call(task, "lambda", "create_event_source_mapping", task.rest("Tags"))["UUID"])


_MAPPING_CREATE_ONLY = ("EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "SelfManagedEventSource",
                        "Topics", "Queues", "Tags")  # fmt: skip


def update_mapping(task: Task) -> None:
    params = {**task.rest(*_MAPPING_CREATE_ONLY), "UUID": task.physical_id}
    call(task, "lambda", "update_event_source_mapping", params)


def delete_mapping(task: Task) -> None:
    call(task, "lambda", "delete_event_source_mapping", {"UUID": task.physical_id})


def read_mapping(task: Task) -> dict[str, Any]:
    found = call(task, "lambda", "get_event_source_mapping", {"UUID": task.physical_id})
    return {"Id": task.physical_id, "EventSourceMappingArn": found.get("EventSourceMappingArn", "")}


def put_invoke(task: Task) -> None:
    call(task, "lambda", "put_function_event_invoke_config", task.properties)


def create_invoke(task: Task) -> str:
    put_invoke(task)
    return f"{task.properties['FunctionName']}|{task.properties['Qualifier']}"


def delete_invoke(task: Task) -> None:
    call(task, "lambda", "delete_function_event_invoke_config", task.take("FunctionName", "Qualifier"))


PROVIDERS = (
    Provider(type="AWS::Lambda::Function", service="lambda", creates="CreateFunction",
             name="FunctionName", name_limit=64,
             create=create_function, update=update_function, delete=delete_function, read=read_function,
             tag=lambda task: task.arn("lambda", f"function:{task.physical_id}")),
    Provider(type="AWS::Lambda::Permission", service="lambda", creates="AddPermission",
             exclusive=False, within="FunctionName",
             create=create_permission, delete=delete_permission, read=read_permission),
    Provider(type="AWS::Lambda::Version", service="lambda", creates="PublishVersion",
             predict=lambda task: None,
             create=create_version, delete=delete_version, read=read_version),
    Provider(type="AWS::Lambda::Alias", service="lambda", creates="CreateAlias",
             predict=lambda task: None,
             create=create_alias, update=update_alias, delete=delete_alias, read=read_alias),
    Provider(type="AWS::Lambda::LayerVersion", service="lambda", creates="PublishLayerVersion",
             predict=lambda task: None, name_limit=140,
             create=create_layer, delete=delete_layer, read=lambda task: {"LayerVersionArn": task.physical_id}),
    Provider(type="AWS::Lambda::EventSourceMapping", service="lambda", creates="CreateEventSourceMapping",
             predict=lambda task: None,
             create=create_mapping, update=update_mapping, delete=delete_mapping, read=read_mapping),
    Provider(type="AWS::Lambda::EventInvokeConfig", service="lambda", creates="PutFunctionEventInvokeConfig",
             exclusive=False,
             predict=lambda task: f"{task.properties['FunctionName']}|{task.properties['Qualifier']}",
             create=create_invoke, update=put_invoke, delete=delete_invoke),
)  # fmt: skip
