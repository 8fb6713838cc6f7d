"""The events that Glue sends to EventBridge, as AWS documents them ("Automating AWS Glue with EventBridge").

Job runs that end (`Glue Job State Change`) or take longer than NotifyDelayAfter (`Glue Job Run Status`), crawlers that
start and end, databases and tables that an operation changes. A list of tables or partitions has a hundred at most; a
longer one is told in several events.

Limits: what a crawler or a job writes into the catalog is told as the crawler's or job's end, not table by table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from millpond.local.glue.records import fold
from millpond.local.service import Endpoint, Operation

SOURCE = "aws.glue"
MOST = 100  # names in one event (AWS docs)
ENDS = {
    "SUCCEEDED": ("INFO", "Job run succeeded"),
    "FAILED": ("ERROR", ""),
    "TIMEOUT": ("WARN", "Job run timed out"),
    "STOPPED": ("INFO", "Job run stopped"),
}
CRAWL_ENDS = {"COMPLETED": "Succeeded", "FAILED": "Failed"}  # a crawl that was stopped is not told
OF_DATABASE = {
    "CreateDatabase": "",
    "DeleteDatabase": "",
    "CreateTable": "TableInput",
    "DeleteTable": "Name",
    "BatchDeleteTable": "TablesToDelete",
}
OF_TABLE = {
    "UpdateTable": "",
    "CreatePartition": "PartitionInput",
    "BatchCreatePartition": "PartitionInputList",
    "UpdatePartition": "PartitionValueList",
    "BatchUpdatePartition": "Entries",
    "DeletePartition": "PartitionValues",
    "BatchDeletePartition": "PartitionsToDelete",
}


def job_ended(endpoint: Endpoint, job: str, run: str, state: str, error: str) -> None:
    """A job run is over."""
    if state in ENDS:
        severity, message = ENDS[state]
        detail = {"jobName": job, "severity": severity, "state": state, "jobRunId": run, "message": message or error}
        endpoint.announce(SOURCE, "Glue Job State Change", lambda: ((), detail))


def job_is_late(endpoint: Endpoint, job: str, run: str, state: str, minutes: float, started: float) -> None:
    """A job run is in a state longer than its NotifyDelayAfter allows."""
    detail = {
        "jobName": job,
        "severity": "INFO",
        "notificationCondition": {"NotifyDelayAfter": float(minutes)},
        "state": state,
        "jobRunId": run,
        "message": f"Job is in {state} state",
        "startedOn": _moment(started),
    }
    endpoint.announce(SOURCE, "Glue Job Run Status", lambda: ((), detail))


def crawl_started(endpoint: Endpoint, crawler: str, at: float) -> None:
    """A crawler has begun."""
    detail = {
        "accountId": endpoint.account,
        "crawlerName": crawler,
        "startTime": _moment(at),
        "state": "Started",
        "message": "Crawler Started",
    }
    endpoint.announce(SOURCE, "Glue Crawler State Change", lambda: ((), detail))


def crawl_ended(
    endpoint: Endpoint, crawler: str, state: str, error: str, times: tuple[float, float], counts: Mapping[str, int]
) -> None:
    """A crawler is ready again. `times`: of its start and end; `counts`: tablesCreated, partitionsDeleted..."""
    if state not in CRAWL_ENDS:
        return
    told = CRAWL_ENDS[state]
    console = f"https://console.aws.amazon.com/cloudwatch/home?region={endpoint.region}"
    detail: dict[str, Any] = {
        "crawlerName": crawler,
        "accountId": endpoint.account,
        "state": told,
        "message": f"Crawler {told}",
        "cloudWatchLogLink": f"{console}#logEventViewer:group=/aws-glue/crawlers;stream={crawler}",
    }
    if error:
        detail["errorMessage"] = error
    else:
        detail |= {name: str(number) for name, number in counts.items()}
        detail |= {"warningMessage": "N/A", "runningTime (sec)": str(int(times[1] - times[0]))}
        detail["completionDate"] = _moment(times[1])
    endpoint.announce(SOURCE, "Glue Crawler State Change", lambda: ((), detail))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---- the catalog


def announced(endpoint: Endpoint, name: str, run: Operation) -> Operation:
    """An operation of the catalog that tells what it has changed; other operations as they are."""
    if name not in OF_DATABASE and name not in OF_TABLE:
        return run

    def telling(params: dict[str, Any], call: Any) -> dict[str, Any] | None:
        answer = run(params, call)
        if endpoint.announcer is not None:
            failed = [next(iter(one.values())) for one in (answer or {}).get("Errors", ())]
            for kind, resource, detail in _changes(name, params, failed):
                _tell(endpoint, f"Glue Data Catalog {kind} State Change", resource, detail)
        return answer

    return telling


def _tell(endpoint: Endpoint, kind: str, resource: str, detail: Mapping[str, Any]) -> None:
    endpoint.announce(SOURCE, kind, lambda: ([endpoint.arn("glue", resource)], detail))


def _changes(name: str, params: Mapping[str, Any], failed: Sequence[Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The kind, the resource and the detail of each event of an operation that was done."""
    given = params.get("DatabaseInput") or {}
    database = fold(params.get("DatabaseName") or params.get("Name") or given.get("Name") or "")
    if (member := OF_TABLE.get(name)) is not None:
        table = fold(params.get("TableName") or (params.get("TableInput") or params)["Name"])
        detail = {"databaseName": database, "tableName": table, "typeOfChange": name}
        values = [_java(one) for one in _partitions(params.get(member)) if one not in failed]
        for part in _parts(values, always=not member):
            yield "Table", f"table/{database}/{table}", {**detail, "changedPartitions": part}
        return
    tables = [fold(one) for one in _names(OF_DATABASE[name], params) if one not in failed]
    for part in _parts(tables, always=not OF_DATABASE[name]):
        resource = f"table/{database}/{part[0]}" if len(part) == 1 else f"database/{database}"
        yield "Database", resource, {"databaseName": database, "typeOfChange": name, "changedTables": part}


def _parts(names: list[str], *, always: bool) -> Iterator[list[str]]:
    if always and not names:
        yield []
    for start in range(0, len(names), MOST):
        yield names[start : start + MOST]


def _names(member: str, params: Mapping[str, Any]) -> list[str]:
    if not member:
        return []
    found = params["Name"] if params.get(member) is None else params[member]  # a batch may be empty
    return found if isinstance(found, list) else [found["Name"] if isinstance(found, dict) else found]


def _partitions(given: Any) -> Iterator[list[str]]:
    """The values of each partition that an operation names."""
    if isinstance(given, dict):
        yield given.get("Values") or []
    elif given and isinstance(given[0], str):
        yield list(given)
    for one in given if given and isinstance(given, list) and isinstance(given[0], dict) else ():
        yield one.get("PartitionValueList") or one.get("Values") or []


def _java(values: Sequence[str]) -> str:
    """As AWS's events have them: `[2024, 01]`."""
    return f"[{', '.join(values)}]"
