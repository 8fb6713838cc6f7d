"""Athena: work groups, named queries, data catalogs, prepared statements."""

from __future__ import annotations

from typing import Any

from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    Task,
    call,
    tag_list,
    tag_map,
    without_none,
)


def _tagged(task: Task, params: Properties) -> Properties:
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    return params


def create_group(task: Task) -> str:
    params = {**task.take("Description"), "Name": task.name,
              "Configuration": task.properties.get("WorkGroupConfiguration", {})}  # fmt: skip
    call(task, "athena", "create_work_group", _tagged(task, params))
    task.report(task.name)
    if task.properties.get("State", "ENABLED") != "ENABLED":  # create has no state
        call(task, "athena", "update_work_group", {"WorkGroup": task.name, **task.take("State")})
    return task.name


# What the update operation calls the members that it does not call as create does.
_RESULT = ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner", "AclConfiguration")
_REMOVALS = {
    "BytesScannedCutoffPerQuery": "RemoveBytesScannedCutoffPerQuery",
    "CustomerContentEncryptionConfiguration": "RemoveCustomerContentEncryptionConfiguration",
}


def _group_updates(new: Properties, old: Properties) -> Properties:
    updates = {key: value for key, value in new.items() if key != "ResultConfiguration"}
    result, had = new.get("ResultConfiguration") or {}, old.get("ResultConfiguration") or {}
    changes = {**result, **{f"Remove{name}": True for name in _RESULT if name in had and name not in result}}
    if changes:
        updates["ResultConfigurationUpdates"] = changes
    for name, removal in _REMOVALS.items():
        if name in old and name not in new:
            updates[removal] = True
    return updates


def update_group(task: Task) -> None:
    updates = _group_updates(
        task.properties.get("WorkGroupConfiguration") or {}, task.old.get("WorkGroupConfiguration") or {}
    )
    params = {"WorkGroup": task.physical_id, "ConfigurationUpdates": updates,
              "Description": task.properties.get("Description", ""),
              "State": task.properties.get("State", "ENABLED")}  # fmt: skip
    call(task, "athena", "update_work_group", params)


def delete_group(task: Task) -> None:
    recursive = task.properties.get("RecursiveDeleteOption", False)
    params = {"WorkGroup": task.physical_id, "RecursiveDeleteOption": recursive}
    call(task, "athena", "delete_work_group", params)


def read_group(task: Task) -> dict[str, Any]:
    group = call(task, "athena", "get_work_group", {"WorkGroup": task.physical_id})["WorkGroup"]
    engine = group.get("Configuration", {}).get("EngineVersion", {}).get("EffectiveEngineVersion")
    return without_none({
        "CreationTime": str(group["CreationTime"].timestamp()) if "CreationTime" in group else None,
        "WorkGroupConfiguration.EngineVersion.EffectiveEngineVersion": engine,
    })  # fmt: skip


def create_query(task: Task) -> str:
    # The token makes a resumed step find the query that it had made.
    params = {**task.properties, "Name": task.name, "ClientRequestToken": task.token}
    made: str = call(task, "athena", "create_named_query", params)["NamedQueryId"]
    return made


def delete_query(task: Task) -> None:
    call(task, "athena", "delete_named_query", {"NamedQueryId": task.physical_id})


def read_query(task: Task) -> dict[str, Any]:
    call(task, "athena", "get_named_query", {"NamedQueryId": task.physical_id})
    return {"NamedQueryId": task.physical_id}


def create_catalog(task: Task) -> str:
    params = {
        **task.rest("Tags", "Parameters"),
        "Name": task.name,
        **({"Parameters": tag_map(task.properties["Parameters"])} if "Parameters" in task.properties else {}),
    }
    call(task, "athena", "create_data_catalog", _tagged(task, params))
    return task.name


def update_catalog(task: Task) -> None:
    call(task, "athena", "update_data_catalog", {**task.rest("Tags", "Name"), "Name": task.physical_id})


def delete_catalog(task: Task) -> None:
    call(task, "athena", "delete_data_catalog", {"Name": task.physical_id})


def read_catalog(task: Task) -> dict[str, Any]:
    call(task, "athena", "get_data_catalog", {"Name": task.physical_id})
    return {}


def _statement(task: Task) -> Properties:
    return task.take("StatementName", "WorkGroup")


def create_statement(task: Task) -> str:
    call(task, "athena", "create_prepared_statement", task.properties)
    return str(task.properties["StatementName"])


def update_statement(task: Task) -> None:
    call(task, "athena", "update_prepared_statement", task.properties)


def delete_statement(task: Task) -> None:
    call(task, "athena", "delete_prepared_statement", _statement(task))


def read_statement(task: Task) -> dict[str, Any]:
    call(task, "athena", "get_prepared_statement", _statement(task))
    return {}


PROVIDERS = (
    Provider(type="AWS::Athena::WorkGroup", service="athena", creates="CreateWorkGroup",
             name="Name", name_limit=128,
             create=create_group, update=update_group, delete=delete_group, read=read_group,
             tag=lambda task: task.arn("athena", f"workgroup/{task.physical_id}")),
    Provider(type="AWS::Athena::NamedQuery", service="athena", creates="CreateNamedQuery",
             name="Name", predict=lambda task: None,
             create=create_query, delete=delete_query, read=read_query),
    Provider(type="AWS::Athena::DataCatalog", service="athena", creates="CreateDataCatalog",
             name="Name",
             create=create_catalog, update=update_catalog, delete=delete_catalog, read=read_catalog,
             tag=lambda task: task.arn("athena", f"datacatalog/{task.physical_id}")),
    Provider(type="AWS::Athena::PreparedStatement", service="athena", creates="CreatePreparedStatement",
             within="WorkGroup",
             predict=lambda task: str(task.properties["StatementName"]),
             create=create_statement, update=update_statement, delete=delete_statement, read=read_statement),
)  # fmt: skip
