"""Glue's schema registry, data quality rulesets and the catalog's encryption settings."""

from __future__ import annotations

from typing import Any

from millpond.local.cloudformation.providers.provider import Properties, Provider, ProviderError, Task, call, tag_map


def _tagged(task: Task, params: Properties) -> Properties:
    if "Tags" in task.properties:
        params["Tags"] = tag_map(task.properties["Tags"])
    return params


# --- registries and schemas -------------------------------------------------------------------------------------------


def create_registry(task: Task) -> str:
    params = {"RegistryName": task.name, **task.take("Description")}
    return str(call(task, "glue", "create_registry", _tagged(task, params))["RegistryArn"])


def _registry(task: Task) -> Properties:
    return {"RegistryId": {"RegistryArn": task.physical_id}}


def update_registry(task: Task) -> None:
    call(task, "glue", "update_registry", {**_registry(task), "Description": task.properties.get("Description", "")})


def delete_registry(task: Task) -> None:
    call(task, "glue", "delete_registry", _registry(task))


def read_registry(task: Task) -> dict[str, Any]:
    return {"Arn": call(task, "glue", "get_registry", _registry(task))["RegistryArn"]}


def _home(task: Task) -> Properties:
    """Where a schema lies: the template's Registry has `Name` or `Arn`."""
    given = task.properties.get("Registry") or {}
    names = {"Name": "RegistryName", "Arn": "RegistryArn"}
    return {names[name]: value for name, value in given.items() if name in names}


def _home_name(task: Task) -> str:
    home = _home(task)
    return str(home.get("RegistryName") or home.get("RegistryArn", "/default-registry").rpartition("/")[2])


def create_schema(task: Task) -> str:
    params = {**task.rest("Name", "Registry", "Tags", "CheckpointVersion"), "SchemaName": task.name}
    if home := _home(task):
        params["RegistryId"] = home
    made = call(task, "glue", "create_schema", _tagged(task, params))
    return str(made["SchemaArn"])


def _schema(task: Task) -> Properties:
    return {"SchemaId": {"SchemaArn": task.physical_id}}


def update_schema(task: Task) -> None:
    checkpoint = task.properties.get("CheckpointVersion") or {}
    number: Properties = {"LatestVersion": True}
    if "VersionNumber" in checkpoint:
        number = {"VersionNumber": checkpoint["VersionNumber"]}
    params = {**_schema(task), **task.take("Compatibility", "Description"), "SchemaVersionNumber": number}
    call(task, "glue", "update_schema", params)


def delete_schema(task: Task) -> None:
    call(task, "glue", "delete_schema", _schema(task))


def read_schema(task: Task) -> dict[str, Any]:
    arn = call(task, "glue", "get_schema", _schema(task))["SchemaArn"]
    found: dict[str, Any] = {"Arn": arn}
    if "SchemaDefinition" in task.properties:
        first = {**_schema(task), "SchemaVersionNumber": {"VersionNumber": 1}}
        found["InitialSchemaVersionId"] = call(task, "glue", "get_schema_version", first)["SchemaVersionId"]
    return found


def create_version(task: Task) -> str:
    schema = task.properties.get("Schema") or {}
    params = {"SchemaId": schema, "SchemaDefinition": task.properties["SchemaDefinition"]}
    made = call(task, "glue", "register_schema_version", params)
    if made["Status"] != "AVAILABLE":
        raise ProviderError(f"The schema version {made['VersionNumber']} is not compatible: its status is FAILURE.")
    return str(made["SchemaVersionId"])


def _version(task: Task) -> dict[str, Any]:
    return call(task, "glue", "get_schema_version", {"SchemaVersionId": task.physical_id})


def delete_version(task: Task) -> None:
    # The first version lives as long as its schema (AWS docs, DeleteSchemaVersions).
    if (number := _version(task)["VersionNumber"]) != 1:
        params = {"SchemaId": task.properties.get("Schema") or {}, "Versions": str(number)}
        call(task, "glue", "delete_schema_versions", params)


def read_version(task: Task) -> dict[str, Any]:
    return {"VersionId": _version(task)["SchemaVersionId"]}


def _metadata(task: Task) -> Properties:
    pair = {"MetadataKey": task.properties["Key"], "MetadataValue": task.properties["Value"]}
    return {**task.take("SchemaVersionId"), "MetadataKeyValue": pair}


def metadata_id(task: Task) -> str:
    return "|".join(str(task.properties[name]) for name in ("SchemaVersionId", "Key", "Value"))


def read_metadata(task: Task) -> dict[str, Any]:
    given = _metadata(task)
    params = {"SchemaVersionId": given["SchemaVersionId"], "MetadataList": [given["MetadataKeyValue"]]}
    if not call(task, "glue", "query_schema_version_metadata", params)["MetadataInfoMap"]:
        raise ProviderError("The schema version has no such metadata.", "NotFound")
    return {}


def create_metadata(task: Task) -> str:
    call(task, "glue", "put_schema_version_metadata", _metadata(task))
    return metadata_id(task)


def delete_metadata(task: Task) -> None:
    call(task, "glue", "remove_schema_version_metadata", _metadata(task))


# --- rulesets and settings --------------------------------------------------------------------------------------------


def create_ruleset(task: Task) -> str:
    call(task, "glue", "create_data_quality_ruleset", _tagged(task, {**task.rest("Tags", "Name"), "Name": task.name}))
    return task.name


def update_ruleset(task: Task) -> None:
    params = {"Name": task.physical_id, **task.take("Description", "Ruleset")}
    call(task, "glue", "update_data_quality_ruleset", params)


def delete_ruleset(task: Task) -> None:
    call(task, "glue", "delete_data_quality_ruleset", {"Name": task.physical_id})


def read_ruleset(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_data_quality_ruleset", {"Name": task.physical_id})
    return {}


def put_settings(task: Task) -> str:
    call(task, "glue", "put_data_catalog_encryption_settings", task.properties)
    return str(task.properties["CatalogId"])


def update_settings(task: Task) -> None:
    put_settings(task)


def drop_settings(task: Task) -> None:
    plain = {"EncryptionAtRest": {"CatalogEncryptionMode": "DISABLED"}}
    params = {**task.take("CatalogId"), "DataCatalogEncryptionSettings": plain}
    call(task, "glue", "put_data_catalog_encryption_settings", params)


PROVIDERS = (
    Provider(type="AWS::Glue::Registry", service="glue", creates="CreateRegistry",
             name="Name", predict=lambda task: task.arn("glue", f"registry/{task.name}"),
             create=create_registry, update=update_registry, delete=delete_registry, read=read_registry,
             tag=lambda task: task.physical_id),
    Provider(type="AWS::Glue::Schema", service="glue", creates="CreateSchema",
             name="Name", predict=lambda task: task.arn("glue", f"schema/{_home_name(task)}/{task.name}"),
             create=create_schema, update=update_schema, delete=delete_schema, read=read_schema,
             tag=lambda task: task.physical_id),
    Provider(type="AWS::Glue::SchemaVersion", service="glue", creates="RegisterSchemaVersion",
             predict=lambda task: None, exclusive=False,
             create=create_version, delete=delete_version, read=read_version),
    Provider(type="AWS::Glue::SchemaVersionMetadata", service="glue", creates="PutSchemaVersionMetadata",
             predict=metadata_id,
             create=create_metadata, delete=delete_metadata, read=read_metadata),
    Provider(type="AWS::Glue::DataQualityRuleset", service="glue", creates="CreateDataQualityRuleset",
             name="Name",
             create=create_ruleset, update=update_ruleset, delete=delete_ruleset, read=read_ruleset,
             tag=lambda task: task.arn("glue", f"dataQualityRuleset/{task.physical_id}")),
    Provider(type="AWS::Glue::DataCatalogEncryptionSettings", service="glue",
             creates="PutDataCatalogEncryptionSettings",
             predict=lambda task: str(task.properties["CatalogId"]), exclusive=False,
             create=put_settings, update=update_settings, delete=drop_settings),
)  # fmt: skip
