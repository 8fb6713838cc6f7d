"""`Step Functions Execution Status Change`: what EventBridge is told of standard executions.

The detail is DescribeExecution's answer with times in milliseconds and null for what there is not (AWS Step Functions
Developer Guide, "Automating Step Functions event delivery with EventBridge"). An input or output with which the event
would be longer than 248 KiB is left out, and says so. Express executions and the children of a Map Run are not told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.local.service import AwsError, Call, Endpoint, Told
from millpond.local.states import arns

if TYPE_CHECKING:
    from millpond.engine import Ended
    from millpond.local.states.executions import Executions

SOURCE, KIND = "aws.states", "Step Functions Execution Status Change"
LONGEST = 248 * 1024
CALL = Call("stepfunctions", "DescribeExecution", "")
MEMBERS = (
    *("executionArn", "stateMachineArn", "stateMachineVersionArn", "stateMachineAliasArn", "name", "status"),
    *("startDate", "stopDate", "input", "output", "inputDetails", "outputDetails", "error", "cause"),
    *("redriveCount", "redriveDate", "redriveStatus", "redriveStatusReason"),
)


def began(endpoint: Endpoint, executions: Executions, arn: str) -> None:
    """An execution runs, from its start or again after a redrive."""
    endpoint.announce(SOURCE, KIND, lambda: _told(executions, arn, _running()))


def ended(endpoint: Endpoint, executions: Executions, arn: str, how: Ended) -> None:
    """An execution is over."""
    over = {"status": how.status, "stopDate": how.at, "output": how.output, "error": how.error, "cause": how.cause}
    endpoint.announce(SOURCE, KIND, lambda: _told(executions, arn, over))


def _running() -> dict[str, Any]:
    return {"status": "RUNNING", **dict.fromkeys(("stopDate", "output", "error", "cause"))}


def _told(executions: Executions, arn: str, now: Mapping[str, Any]) -> Told:
    """None: it is not one that is told. What has changed since it happened is as it was then (`now`)."""
    if arns.is_express(arn) or "/" in arn:
        return None
    executions.store.flush()
    try:
        shown = executions.describe({"executionArn": arn}, CALL)
    except AwsError:  # it was deleted with its machine
        return None
    found: dict[str, Any] = {**shown, **now}
    if found["status"] == "RUNNING":
        found |= {
            "redriveStatus": "NOT_REDRIVABLE",
            "redriveStatusReason": "Execution is RUNNING and cannot be redriven",
        }
    detail: dict[str, Any] = {member: found.get(member) for member in MEMBERS}
    for member in ("startDate", "stopDate", "redriveDate"):
        if detail[member] is not None:
            detail[member] = round(detail[member] * 1000)
    space = LONGEST
    for member in ("output", "input"):
        text = detail[member]
        space -= len(json.dumps(text)) if text is not None else 0
        detail[f"{member}Details"] = None if text is None else {"included": space >= 0}
        if space < 0:
            detail[member] = None
    return [arn], detail
