"""What a schedule invokes: templated targets by the ARN of a resource, universal ones by the name of an API operation.

A target that nobody here carries is refused when the schedule is made. What an operation thinks of its Input shows when
it is invoked, as on AWS: in the log, and in the queue of the DeadLetterConfig.

AWS, "Using templated targets in EventBridge Scheduler", "Using universal targets in EventBridge Scheduler", "Adding
context attributes in EventBridge Scheduler".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name

from millpond.local.events.delivery import SENDERS, kind_of, put_record
from millpond.local.moto_bridge import PRETENDERS
from millpond.local.service import AwsError, Endpoint, unsupported
from millpond.local.states import carried, sdk

Target = Mapping[str, Any]

UNIVERSAL = re.compile(r"arn:aws[a-z-]*:scheduler:::aws-sdk:([A-Za-z0-9-]+):([A-Za-z0-9]+)")
# AWS, "Unsupported actions" of universal targets: what begins so.
READING = (
    "get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup", "discover",
    "validate", "batchget", "batchdescribe", "batchread", "transactget", "adminget", "adminlist", "testmigration",
    "retrieve", "testconnection", "translatedocument", "isauthorized", "invokemodel",
)  # fmt: skip
NEEDS_JSON = ("lambda", "states", "events")
# A templated target's own parameters: without them the call cannot be made.
NEEDED = {"events": "EventBridgeParameters", "kinesis": "KinesisParameters"}
TEMPLATED = frozenset({"lambda", "states", "sns", "sqs", "events", "kinesis", "firehose"})


@dataclass(frozen=True, slots=True)
class Invocation:
    """One attempt: what is handed to the target. `number` is the invocation's own, the same for each attempt."""

    schedule: str
    number: int
    attempt: int
    scheduled: float
    execution: str


def invalid(why: str) -> AwsError:
    return AwsError("ValidationException", why)


def _kind(arn: str) -> str:
    """Which templated target an ARN names; empty: none that is carried."""
    kind = kind_of(arn)
    return kind if kind in TEMPLATED else ""


# ---- what can be a target


def check(target: Target, endpoint: Endpoint) -> None:
    """ValidationException for what is no target on AWS, 501 for what is none here."""
    arn = target["Arn"]
    if not re.fullmatch(r"arn:aws[a-z-]*:[a-z0-9-]+:[^:]*:[^:]*:.+", arn):
        raise invalid("Provided Arn is not in correct format.")
    if arn.split(":")[2] == "scheduler":
        _check_universal(target, endpoint)
        return
    kind = _kind(arn)
    if not kind:
        raise unsupported("scheduler", "CreateSchedule", f"The target {arn} is none that is carried.")
    if kind in NEEDED and not target.get(NEEDED[kind]):
        raise invalid(f"{NEEDED[kind]} must be provided for the target {arn}.")
    if kind in NEEDS_JSON and target.get("Input"):
        _json(target["Input"])


def _check_universal(target: Target, endpoint: Endpoint) -> None:
    match = UNIVERSAL.fullmatch(target["Arn"])
    service = sdk.service_named(match[1].lower()) if match else None
    operation = sdk.operation_named(service, match[2]) if match and service else None
    if match is None or service is None or operation is None:
        raise invalid(f"{target['Arn']} is not a supported API action.")
    if match[2].lower().startswith(READING):
        raise invalid(f"{target['Arn']} is not supported: the API action only reads.")
    _carried(service, operation.name, endpoint)
    if not isinstance(_json(target.get("Input") or "{}"), dict):
        raise invalid("The Input of a universal target must be a JSON object.")


def _carried(service: str, operation: str, endpoint: Endpoint) -> None:
    room = endpoint.services.get(service)
    if room is None:
        if service in PRETENDERS or service not in carried.motos():
            raise unsupported(service, operation)
    elif service != "s3" and operation not in room.operations() and operation not in room.moto:
        raise unsupported(service, operation)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("The Input of this target must be well-formed JSON.") from None


# ---- what it is given


def payload(target: Target, made: Invocation, endpoint: Endpoint) -> str:
    """The Input with its context attributes filled in, or the default notification."""
    when = datetime.fromtimestamp(made.scheduled, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text: str | None = target.get("Input")
    if text is None:
        if UNIVERSAL.fullmatch(target["Arn"]):
            return "{}"
        return json.dumps(
            {
                "version": "0", "id": made.execution, "detail-type": "Scheduled Event", "source": "aws.scheduler",
                "account": endpoint.account, "time": when, "region": endpoint.region, "resources": [made.schedule],
                "detail": "{}",
            }
        )  # fmt: skip
    known = {
        "schedule-arn": made.schedule,
        "scheduled-time": when,
        "execution-id": made.execution,
        "attempt-number": str(made.attempt),
    }
    return re.sub(r"<aws\.scheduler\.([a-z-]+)>", lambda match: known.get(match[1], match[0]), text)


# ---- how it is called


def invoke(endpoint: Endpoint, target: Target, made: Invocation, text: str) -> None:
    """Invoke a target once. Raises what the service behind it answers."""
    if match := UNIVERSAL.fullmatch(target["Arn"]):
        _call(endpoint, match[1].lower(), match[2], json.loads(text))
        return
    kind = _kind(target["Arn"])
    # Named after the invocation, not the attempt: a state machine that is asked twice runs once.
    event = {"id": f"{made.schedule.rpartition('/')[2][:20]}_{made.number}"}
    OWN.get(kind, SENDERS.get(kind, _nobody))(endpoint, target, event, text, made.number)


def _call(endpoint: Endpoint, named: str, action: str, arguments: Any) -> None:
    service = sdk.service_named(named)
    operation = sdk.operation_named(service, action) if service else None
    if service is None or operation is None:
        raise invalid(f"There is no API action {named}:{action}.")
    try:
        params = sdk.parameters(operation, arguments, style="sdk")
    except sdk.ParameterError as error:
        raise invalid(str(error)) from None
    getattr(endpoint.client(service), xform_name(operation.name))(**params)


def _nobody(endpoint: Endpoint, target: Target, event: Mapping[str, Any], text: str, number: int) -> None:
    raise unsupported("scheduler", "CreateSchedule", f"The target {target['Arn']} is none that is carried.")


def _event(endpoint: Endpoint, target: Target, event: Mapping[str, Any], text: str, number: int) -> None:
    said = target["EventBridgeParameters"]
    entry = {"Source": said["Source"], "DetailType": said["DetailType"], "Detail": text, "EventBusName": target["Arn"]}
    answer = endpoint.client("events").put_events(Entries=[entry])
    if answer["FailedEntryCount"]:
        failed = answer["Entries"][0]
        raise AwsError(failed.get("ErrorCode", "InternalFailure"), failed.get("ErrorMessage", "The event was refused."))


def _record(endpoint: Endpoint, target: Target, event: Mapping[str, Any], text: str, number: int) -> None:
    put_record(endpoint, target["Arn"], target["KinesisParameters"]["PartitionKey"], text)


OWN: Mapping[str, Callable[[Endpoint, Target, Mapping[str, Any], str, int], None]] = {
    "events": _event,
    "kinesis": _record,
}
