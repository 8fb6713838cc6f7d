"""What follows an attempt that failed, for targets of rules and of schedules alike: another one, or the end of it.

The RetryPolicy counts (AWS, "How EventBridge retries delivering events"): at most so many attempts after the first one,
none for an event that is too old by then. Pauses double from a second to a minute. What is given up goes to the queue
of the DeadLetterConfig, with the reason in the message's attributes, or is lost.

May import: millpond.local's service.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ParamValidationError

from millpond.local.service import Endpoint

log = logging.getLogger(__name__)

DEFAULTS: Mapping[str, int] = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
LONGEST_PAUSE = 60.0
THROTTLED = ("Throttling", "TooManyRequests", "LimitExceeded", "RequestLimitExceeded")


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after so many `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Over:
    """Give up. `spent`: the exhausted condition of the RetryPolicy; empty where it was not asked."""

    spent: str = ""


def after_failure(policy: Mapping[str, Any] | None, attempt: int, age: float) -> Again | Over:
    """What a target's RetryPolicy says after the `attempt`-th attempt (from 1) of an event of so many seconds."""
    limits = {**DEFAULTS, **(policy or {})}
    pause = min(2.0 ** min(attempt - 1, 10), LONGEST_PAUSE)
    if attempt > limits["MaximumRetryAttempts"]:
        return Over("MaximumRetryAttempts")
    if age + pause > limits["MaximumEventAgeInSeconds"]:
        return Over("MaximumEventAgeInSeconds")
    return Again(pause)


def hopeless(error: Exception) -> bool:
    """Whether the same request would be refused again: no such target, no permission, a bad request (AWS re:Post, "How
    do I set up EventBridge retries and DLQ": 5xx and 429 are tried again, other 4xx are not)."""
    code, status = reason(error)[0], _status(error)
    if status in (0, 501):  # refused before it was asked; or what nobody carries here
        return status == 501 or isinstance(error, ParamValidationError)
    return 400 <= status < 500 and status not in (408, 429) and not any(one in code for one in THROTTLED)


def kind_of_error(error: Exception) -> str:
    """The ERROR_CODE of a dead letter of a rule (AWS, "Using dead-letter queues to process undelivered events")."""
    code, status = reason(error)[0], _status(error)
    if status == 404 or any(one in code for one in ("NotFound", "DoesNotExist", "NonExistent", "NoSuch")):
        return "NO_RESOURCE"
    if status == 403 or "AccessDenied" in code:
        return "NO_PERMISSIONS"
    if status == 429 or any(one in code for one in THROTTLED):
        return "THROTTLING"
    return "INVALID_PARAMETER" if hopeless(error) else "ERROR_FROM_TARGET"


def _status(error: Exception) -> int:
    answer = getattr(error, "response", None) or {}
    found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or getattr(error, "status", 0)
    return found if isinstance(found, int) else 0


def reason(error: Exception) -> tuple[str, str]:
    """The code and the message of what a target answered."""
    answer = (getattr(error, "response", None) or {}).get("Error", {})
    kind = type(error).__name__
    return answer.get("Code") or getattr(error, "code", kind), answer.get("Message") or str(error) or kind


def bury(endpoint: Endpoint, target: Mapping[str, Any], text: str, said: Mapping[str, str]) -> None:
    """Put what was given up into the queue of a target's DeadLetterConfig, if it has one, with `said` as attributes."""
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue:
        return
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in said.items() if value}
    try:
        sqs = endpoint.client("sqs")
        url = sqs.get_queue_url(QueueName=queue.rpartition(":")[2])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes)
    except Exception as failure:
        log.warning("nor the dead-letter queue %s: %s", queue, failure)
