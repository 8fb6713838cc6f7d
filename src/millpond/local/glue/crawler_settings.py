"""What may be said to CreateCrawler and UpdateCrawler, and what it means: checked when it is said, not when it runs.

Unknown members, values and versions of the `Configuration` document are refused (our decision: AWS ignores some).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from millpond.local.glue.crawl.changes import Policies
from millpond.local.glue.crawl.grouping import Policy
from millpond.local.glue.crawl.patterns import PatternError, excluder, s3_path
from millpond.local.service import AwsError, unsupported

CARRIED_TARGETS = ("S3Targets", "JdbcTargets", "DeltaTargets", "IcebergTargets", "DynamoDBTargets", "CatalogTargets")
REFUSED_TARGETS = {
    "MongoDBTargets": "there is no MongoDB here; a mongodump (BSON) in S3 can be crawled.",
    "HudiTargets": "Hudi tables are not read; S3, JDBC, Delta, Iceberg, DynamoDB and catalog targets are.",
}
UPDATE_BEHAVIOR = ("LOG", "UPDATE_IN_DATABASE")
DELETE_BEHAVIOR = ("LOG", "DELETE_FROM_DATABASE", "DEPRECATE_IN_DATABASE")
RECRAWL = ("CRAWL_EVERYTHING", "CRAWL_NEW_FOLDERS_ONLY", "CRAWL_EVENT_MODE")
METADATA = ("COMMENTS", "RAWTYPES")
NEW_FOLDERS = "CRAWL_NEW_FOLDERS_ONLY"
EVENTS = "CRAWL_EVENT_MODE"
QUEUE = re.compile(r"arn:aws[\w-]*:sqs:[\w-]+:\d{12}:[\w.-]+")

# The Configuration document: what may stand where. A tuple lists the allowed values.
CONFIGURATION: dict[str, Any] = {
    "Version": (1.0, 1),
    "CrawlerOutput": {
        "Tables": {"AddOrUpdateBehavior": ("MergeNewColumns",), "TableThreshold": int},
        "Partitions": {"AddOrUpdateBehavior": ("InheritFromTable",)},
    },
    "Grouping": {"TableGroupingPolicy": ("CombineCompatibleSchemas",), "TableLevelConfiguration": int},
    "CreatePartitionIndex": (True, False),
}


def invalid(message: str) -> AwsError:
    """InvalidInputException."""
    return AwsError("InvalidInputException", message)


def check(crawler: Mapping[str, Any]) -> dict[str, Any]:
    """The members of CreateCrawler with their defaults. InvalidInputException, NotImplemented."""
    targets = _targets(crawler.get("Targets") or {})
    recrawl = (crawler.get("RecrawlPolicy") or {}).get("RecrawlBehavior") or "CRAWL_EVERYTHING"
    _one_of("RecrawlBehavior", recrawl, RECRAWL)
    _check_recrawl(recrawl, targets)
    lineage = (crawler.get("LineageConfiguration") or {}).get("CrawlerLineageSettings") or "DISABLE"
    _one_of("CrawlerLineageSettings", lineage, ("ENABLE", "DISABLE"))
    document = configuration(crawler.get("Configuration"))
    if targets["CatalogTargets"] and "Grouping" not in document:
        # "enabled by default and cannot be disabled" (AWS docs, "Crawler source type")
        grouping = {"TableGroupingPolicy": "CombineCompatibleSchemas"}
        crawler = {**crawler, "Configuration": json.dumps({"Version": 1.0, **document, "Grouping": grouping})}
    return {
        **crawler,
        "Targets": targets,
        "SchemaChangePolicy": _change_policy(
            crawler.get("SchemaChangePolicy"),
            new_folders=recrawl == NEW_FOLDERS,
            catalog=bool(targets["CatalogTargets"]),
        ),
        "RecrawlPolicy": {"RecrawlBehavior": recrawl},
        "LineageConfiguration": {"CrawlerLineageSettings": lineage},
        "LakeFormationConfiguration": crawler.get("LakeFormationConfiguration")
        or {"UseLakeFormationCredentials": False, "AccountId": ""},
        "Classifiers": crawler.get("Classifiers") or [],
    }


def _one_of(member: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise invalid(f"{member} '{value}' is not one of {', '.join(allowed)}.")


def _check_recrawl(recrawl: str, targets: Mapping[str, Any]) -> None:
    """AWS docs, "Scheduling incremental crawls" and "Accelerating crawls using Amazon S3 event notifications"."""
    if recrawl == NEW_FOLDERS and not targets["S3Targets"]:
        raise invalid(f"{NEW_FOLDERS} is for S3 targets only.")
    if recrawl != EVENTS:
        return
    listened = [*targets["S3Targets"], *targets["CatalogTargets"]]
    if len(listened) != 1 or sum(len(targets[kind]) for kind in CARRIED_TARGETS) != 1:
        raise invalid(f"{EVENTS} needs exactly one target, an S3 or a catalog target.")
    if not listened[0].get("EventQueueArn"):
        raise invalid(f"{EVENTS} needs the EventQueueArn of its target.")
    if listened[0].get("SampleSize"):
        raise invalid(f"SampleSize is not supported with {EVENTS}.")


def _targets(given: Mapping[str, Any]) -> dict[str, Any]:
    for kind, why in REFUSED_TARGETS.items():
        if given.get(kind):
            raise unsupported("glue", "CreateCrawler", use=f"{kind}: {why}")
    if not any(given.get(kind) for kind in CARRIED_TARGETS):
        raise invalid(
            "At least one crawl target must be specified, in the S3Targets, JdbcTargets, DeltaTargets, IcebergTargets,"
            " DynamoDBTargets or CatalogTargets field."
        )
    if given.get("CatalogTargets") and any(given.get(kind) for kind in CARRIED_TARGETS if kind != "CatalogTargets"):
        raise invalid("Catalog targets cannot be mixed with other kinds of targets in one crawler.")
    checks = {
        "S3Targets": _s3_target,
        "JdbcTargets": _jdbc_target,
        "DeltaTargets": _delta_target,
        "IcebergTargets": _iceberg_target,
        "DynamoDBTargets": _dynamodb_target,
        "CatalogTargets": _catalog_target,
    }
    try:
        for kind, check_target in checks.items():
            for target in given.get(kind) or []:
                check_target(target)
    except PatternError as error:
        raise invalid(f"{error}.") from None
    shown = {kind: list(given.get(kind) or []) for kind in (*CARRIED_TARGETS, *REFUSED_TARGETS)}
    for kind in ("S3Targets", "JdbcTargets"):
        shown[kind] = [{**target, "Exclusions": target.get("Exclusions") or []} for target in shown[kind]]
    return shown


def _s3_target(target: Mapping[str, Any]) -> None:
    s3_path(target.get("Path") or "")
    excluder(target.get("Exclusions") or ())
    _queues(target)
    if (size := target.get("SampleSize")) is not None and not 1 <= size <= 249:
        raise invalid("SampleSize must be from 1 to 249.")


def _queues(target: Mapping[str, Any]) -> None:
    for member in ("EventQueueArn", "DlqEventQueueArn"):
        if (arn := target.get(member)) and not QUEUE.fullmatch(arn):
            raise invalid(f"{member} '{arn}' is not the ARN of an SQS queue.")


def _delta_target(target: Mapping[str, Any]) -> None:
    if not target.get("DeltaTables"):
        raise invalid("A Delta target needs DeltaTables, a list of S3 paths.")
    for path in target["DeltaTables"]:
        s3_path(path)


def _iceberg_target(target: Mapping[str, Any]) -> None:
    if not target.get("Paths"):
        raise invalid("An Iceberg target needs Paths, a list of S3 paths.")
    for path in target["Paths"]:
        s3_path(path)
    excluder(target.get("Exclusions") or ())
    if (depth := target.get("MaximumTraversalDepth")) is not None and not 1 <= depth <= 20:
        raise invalid("MaximumTraversalDepth must be from 1 to 20.")


def _dynamodb_target(target: Mapping[str, Any]) -> None:
    if not target.get("Path"):
        raise invalid("A DynamoDB target needs the Path, which is the name of a table.")
    if (rate := target.get("scanRate")) is not None and not 0.1 <= rate <= 1.5:
        raise invalid("scanRate must be null or from 0.1 to 1.5.")


def _catalog_target(target: Mapping[str, Any]) -> None:
    if not target.get("DatabaseName") or not target.get("Tables"):
        raise invalid("A catalog target needs a DatabaseName and Tables.")
    _queues(target)


def _jdbc_target(target: Mapping[str, Any]) -> None:
    if not target.get("ConnectionName"):
        raise invalid("A JDBC target needs a ConnectionName.")
    path = (target.get("Path") or "").strip("/")
    if not path or "%" in path.split("/")[0] or len(path.split("/")) > 3:
        raise invalid(
            f"The JDBC include path '{path}' must be database/schema/table or database/table; % is a wildcard."
        )
    excluder(target.get("Exclusions") or ())
    for member in target.get("EnableAdditionalMetadata") or []:
        _one_of("EnableAdditionalMetadata", member, METADATA)


def _change_policy(given: Mapping[str, str] | None, *, new_folders: bool, catalog: bool) -> dict[str, str]:
    usual = ("LOG", "LOG") if new_folders else ("UPDATE_IN_DATABASE", "DEPRECATE_IN_DATABASE")
    update = (given or {}).get("UpdateBehavior") or usual[0]
    delete = (given or {}).get("DeleteBehavior") or usual[1]
    _one_of("UpdateBehavior", update, UPDATE_BEHAVIOR)
    _one_of("DeleteBehavior", delete, DELETE_BEHAVIOR)
    if new_folders and (update, delete) != ("LOG", "LOG"):
        raise invalid(
            'The SchemaChangePolicy for "Crawl new folders only" Amazon S3 target can have only LOG DeleteBehavior '
            "value and LOG UpdateBehavior value."
        )
    if catalog and delete != "LOG":
        raise invalid("The SchemaChangePolicy of a crawler with catalog targets can have only the DeleteBehavior LOG.")
    return {"UpdateBehavior": update, "DeleteBehavior": delete}


def configuration(text: str | None) -> dict[str, Any]:
    """The Configuration document, checked. InvalidInputException names the member that cannot be."""
    if not text:
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Configuration is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise invalid("Configuration must be a JSON object.")
    if "Version" not in document:
        raise invalid("Configuration needs a Version.")
    _check_configuration(document, CONFIGURATION, "Configuration")
    return document


def _check_configuration(document: Mapping[str, Any], allowed: Mapping[str, Any], at: str) -> None:
    for name, value in document.items():
        rule, place = allowed.get(name), f"{at}.{name}"
        if rule is None:
            raise invalid(f"{place} is not known; known are: {', '.join(allowed)}.")
        if isinstance(rule, dict):
            if not isinstance(value, dict):
                raise invalid(f"{place} must be an object.")
            _check_configuration(value, rule, place)
        elif rule is int:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise invalid(f"{place} must be a positive whole number.")
        elif value not in rule or isinstance(value, bool) != isinstance(rule[0], bool):
            raise invalid(f"{place} is '{value}', not {' or '.join(map(str, rule))}.")


def policies(crawler: Mapping[str, Any]) -> tuple[Policies, Policy, int]:
    """How the crawler changes the catalog, how it groups, and its TableThreshold (0: none)."""
    document = configuration(crawler.get("Configuration"))
    output, grouping = document.get("CrawlerOutput", {}), document.get("Grouping", {})
    change = crawler["SchemaChangePolicy"]
    return (
        Policies(
            update=change["UpdateBehavior"],
            delete=change["DeleteBehavior"],
            merge_columns="AddOrUpdateBehavior" in output.get("Tables", {}),
            inherit="AddOrUpdateBehavior" in output.get("Partitions", {}),
            partial=crawler["RecrawlPolicy"]["RecrawlBehavior"] == NEW_FOLDERS,
            index=document.get("CreatePartitionIndex", True),
        ),
        Policy(combine="TableGroupingPolicy" in grouping, level=grouping.get("TableLevelConfiguration", 0)),
        output.get("Tables", {}).get("TableThreshold", 0),
    )
