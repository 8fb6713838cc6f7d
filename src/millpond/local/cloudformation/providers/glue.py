"""Glue: databases, tables, partitions, jobs, crawlers, connections, classifiers, triggers, workflows."""

from __future__ import annotations

from typing import Any

from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    tag_map,
)


def _tagged(task: Task, params: Properties) -> Properties:
    """Glue's create operations take tags as a map, the templates may give either form."""
    if "Tags" in task.properties:
        params["Tags"] = tag_map(task.properties["Tags"])
    return params


def _named(task: Task, key: str) -> Properties:
    return {**task.properties.get(key, {}), "Name": task.name or task.physical_id}


def _catalog(task: Task) -> Properties:
    return task.take("CatalogId")


# --- database ---------------------------------------------------------------------------------------------------------


def create_database(task: Task) -> str:
    known = {"CatalogId", "DatabaseInput", "DatabaseName", "Tags"}
    params = {**_catalog(task), "DatabaseInput": _named(task, "DatabaseInput"), **task.rest(*known)}
    call(task, "glue", "create_database", _tagged(task, params))
    return task.name


def update_database(task: Task) -> None:
    shape = {**task.properties.get("DatabaseInput", {}), "Name": task.physical_id}
    call(task, "glue", "update_database", {**_catalog(task), "Name": task.physical_id, "DatabaseInput": shape})


def delete_database(task: Task) -> None:
    call(task, "glue", "delete_database", {**_catalog(task), "Name": task.physical_id})


def read_database(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_database", {**_catalog(task), "Name": task.physical_id})
    return {}


# --- table and partition ----------------------------------------------------------------------------------------------


def _in_database(task: Task) -> Properties:
    return task.take("CatalogId", "DatabaseName")


def create_table(task: Task) -> str:
    params = {**task.rest("TableInput", "Name"), "TableInput": _named(task, "TableInput")}
    call(task, "glue", "create_table", params)
    return task.name


def update_table(task: Task) -> None:
    shape = {**task.properties.get("TableInput", {}), "Name": task.physical_id}
    call(task, "glue", "update_table", {**_in_database(task), "TableInput": shape})


def delete_table(task: Task) -> None:
    call(task, "glue", "delete_table", {**_in_database(task), "Name": task.physical_id})


def read_table(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_table", {**_in_database(task), "Name": task.physical_id})
    return {}


def _partition(task: Task) -> Properties:
    return task.take("CatalogId", "DatabaseName", "TableName")


def _values(task: Task) -> list[str]:
    return list(task.properties.get("PartitionInput", {}).get("Values", []))


def partition_id(task: Task) -> str:
    return "|".join([task.properties["DatabaseName"], task.properties["TableName"], *map(str, _values(task))])


def create_partition(task: Task) -> str:
    call(task, "glue", "create_partition", task.properties)
    return partition_id(task)


def update_partition(task: Task) -> None:
    shape = {"PartitionValueList": _values(task), "PartitionInput": task.properties["PartitionInput"]}
    call(task, "glue", "update_partition", {**_partition(task), **shape})


def delete_partition(task: Task) -> None:
    call(task, "glue", "delete_partition", {**_partition(task), "PartitionValues": _values(task)})


def read_partition(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_partition", {**_partition(task), "PartitionValues": _values(task)})
    return {}


# --- job --------------------------------------------------------------------------------------------------------------


def create_job(task: Task) -> str:
    call(task, "glue", "create_job", _tagged(task, {**task.rest("Tags"), "Name": task.name}))
    return task.name


def update_job(task: Task) -> None:
    call(task, "glue", "update_job", {"JobName": task.physical_id, "JobUpdate": task.rest("Name", "Tags")})


def delete_job(task: Task) -> None:
    call(task, "glue", "delete_job", {"JobName": task.physical_id})


def read_job(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_job", {"JobName": task.physical_id})
    return {}


# --- crawler ----------------------------------------------------------------------------------------------------------


DYNAMODB = {"ScanAll": "scanAll", "ScanRate": "scanRate"}


def _crawler(task: Task) -> Properties:
    params = task.rest("Tags", "Name", "Schedule")
    schedule = task.properties.get("Schedule")
    if schedule:  # {"ScheduleExpression": ...} in a template, text in the API
        params["Schedule"] = schedule["ScheduleExpression"]
    if tables := params.get("Targets", {}).get("DynamoDBTargets"):  # ScanAll in a template, scanAll in the API
        named = [{DYNAMODB.get(name, name): value for name, value in table.items()} for table in tables]
        params["Targets"] = {**params["Targets"], "DynamoDBTargets": named}
    return params


def create_crawler(task: Task) -> str:
    call(task, "glue", "create_crawler", _tagged(task, {**_crawler(task), "Name": task.name}))
    return task.name


def update_crawler(task: Task) -> None:
    call(task, "glue", "update_crawler", {**_crawler(task), "Name": task.physical_id})


def delete_crawler(task: Task) -> None:
    call(task, "glue", "delete_crawler", {"Name": task.physical_id})


def read_crawler(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_crawler", {"Name": task.physical_id})
    return {}


# --- connection -------------------------------------------------------------------------------------------------------


def create_connection(task: Task) -> str:
    params = {**task.rest("ConnectionInput", "Tags"), "ConnectionInput": _named(task, "ConnectionInput")}
    call(task, "glue", "create_connection", _tagged(task, params))
    return task.name


def update_connection(task: Task) -> None:
    shape = {**task.properties["ConnectionInput"], "Name": task.physical_id}
    call(task, "glue", "update_connection", {**_catalog(task), "Name": task.physical_id, "ConnectionInput": shape})


def delete_connection(task: Task) -> None:
    call(task, "glue", "delete_connection", {**_catalog(task), "ConnectionName": task.physical_id})


def read_connection(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_connection", {**_catalog(task), "Name": task.physical_id, "HidePassword": True})
    return {}


# --- classifier -------------------------------------------------------------------------------------------------------

CLASSIFIERS = ("CsvClassifier", "GrokClassifier", "JsonClassifier", "XMLClassifier")


def _classifier(task: Task, name: str) -> Properties:
    kinds = [kind for kind in CLASSIFIERS if kind in task.properties]
    if len(kinds) != 1:
        raise ProviderError("Exactly one of CsvClassifier, GrokClassifier, JsonClassifier, XMLClassifier is required")
    given = {**task.properties[kinds[0]], "Name": name}
    if "ContainsCustomDatatype" in given:  # the template's name of the API's CustomDatatypes
        given["CustomDatatypes"] = given.pop("ContainsCustomDatatype")
    return {kinds[0]: given}


def classifier_name(task: Task) -> str | None:
    given = (task.properties.get(kind, {}).get("Name") for kind in CLASSIFIERS)
    return next((name for name in given if name), task.name)


def create_classifier(task: Task) -> str:
    name = classifier_name(task) or task.name
    call(task, "glue", "create_classifier", _classifier(task, name))
    return name


def update_classifier(task: Task) -> None:
    call(task, "glue", "update_classifier", _classifier(task, task.physical_id))


def delete_classifier(task: Task) -> None:
    call(task, "glue", "delete_classifier", {"Name": task.physical_id})


def read_classifier(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_classifier", {"Name": task.physical_id})
    return {}


# --- trigger, workflow, security configuration ------------------------------------------------------------------------


def create_trigger(task: Task) -> str:
    call(task, "glue", "create_trigger", _tagged(task, {**task.rest("Tags"), "Name": task.name}))
    return task.name


def update_trigger(task: Task) -> None:
    params = task.take("Description", "Schedule", "Actions", "Predicate", "EventBatchingCondition")
    call(task, "glue", "update_trigger", {"Name": task.physical_id, "TriggerUpdate": params})


def delete_trigger(task: Task) -> None:
    call(task, "glue", "delete_trigger", {"Name": task.physical_id})


def read_trigger(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_trigger", {"Name": task.physical_id})
    return {}


def create_workflow(task: Task) -> str:
    call(task, "glue", "create_workflow", _tagged(task, {**task.rest("Tags"), "Name": task.name}))
    return task.name


def update_workflow(task: Task) -> None:
    call(task, "glue", "update_workflow", {**task.rest("Tags", "Name"), "Name": task.physical_id})


def delete_workflow(task: Task) -> None:
    call(task, "glue", "delete_workflow", {"Name": task.physical_id})


def read_workflow(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_workflow", {"Name": task.physical_id})
    return {}


def create_security(task: Task) -> str:
    encryption = dict(task.properties.get("EncryptionConfiguration", {}))
    if "S3Encryptions" in encryption:  # the API's member is singular
        encryption["S3Encryption"] = encryption.pop("S3Encryptions")
    params = {**task.rest("EncryptionConfiguration"), "Name": task.name, "EncryptionConfiguration": encryption}
    call(task, "glue", "create_security_configuration", params)
    return task.name


def delete_security(task: Task) -> None:
    call(task, "glue", "delete_security_configuration", {"Name": task.physical_id})


def read_security(task: Task) -> dict[str, Any]:
    call(task, "glue", "get_security_configuration", {"Name": task.physical_id})
    return {}


PROVIDERS = (
    Provider(type="AWS::Glue::Database", service="glue", creates="CreateDatabase",
             name="DatabaseInput.Name", lower=True,
             create=create_database, update=update_database, delete=delete_database, read=read_database,
             tag=lambda task: task.arn("glue", f"database/{task.physical_id}")),
    Provider(type="AWS::Glue::Table", service="glue", creates="CreateTable",
             within="DatabaseName", name="TableInput.Name", lower=True,
             create=create_table, update=update_table, delete=delete_table, read=read_table),
    Provider(type="AWS::Glue::Partition", service="glue", creates="CreatePartition",
             predict=partition_id,
             create=create_partition, update=update_partition, delete=delete_partition, read=read_partition),
    Provider(type="AWS::Glue::Job", service="glue", creates="CreateJob",
             name="Name",
             create=create_job, update=update_job, delete=delete_job, read=read_job,
             tag=lambda task: task.arn("glue", f"job/{task.physical_id}")),
    Provider(type="AWS::Glue::Crawler", service="glue", creates="CreateCrawler",
             name="Name",
             create=create_crawler, update=update_crawler, delete=delete_crawler, read=read_crawler,
             tag=lambda task: task.arn("glue", f"crawler/{task.physical_id}")),
    Provider(type="AWS::Glue::Connection", service="glue", creates="CreateConnection",
             name="ConnectionInput.Name",
             create=create_connection, update=update_connection, delete=delete_connection, read=read_connection,
             tag=lambda task: task.arn("glue", f"connection/{task.physical_id}")),
    Provider(type="AWS::Glue::Classifier", service="glue", creates="CreateClassifier",
             predict=classifier_name,
             create=create_classifier, update=update_classifier, delete=delete_classifier, read=read_classifier),
    Provider(type="AWS::Glue::Trigger", service="glue", creates="CreateTrigger",
             name="Name",
             create=create_trigger, update=update_trigger, delete=delete_trigger, read=read_trigger,
             tag=lambda task: task.arn("glue", f"trigger/{task.physical_id}")),
    Provider(type="AWS::Glue::Workflow", service="glue", creates="CreateWorkflow",
             name="Name",
             create=create_workflow, update=update_workflow, delete=delete_workflow, read=read_workflow,
             tag=lambda task: task.arn("glue", f"workflow/{task.physical_id}")),
    Provider(type="AWS::Glue::SecurityConfiguration", service="glue", creates="CreateSecurityConfiguration",
             name="Name",
             create=create_security, delete=delete_security, read=read_security),
)  # fmt: skip
