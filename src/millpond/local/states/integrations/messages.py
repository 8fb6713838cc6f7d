"""SNS, SQS and EventBridge: bodies may be any JSON, and EventBridge learns who sends.

Source: AWS Step Functions Developer Guide, "Publish to an Amazon SNS topic", "Send messages to an Amazon SQS queue",
"Add EventBridge events": the optimised integration appends the execution's and the machine's ARN to the Resources of
each entry, and a FailedEntryCount above zero fails the state with EventBridge.FailedEntry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local.states.integrations import errors
from millpond.local.states.integrations.calls import Api, Failure, with_text

if TYPE_CHECKING:
    from millpond.engine.doors import TaskCall


def message(arguments: Any) -> Any:
    """sns:publish."""
    return with_text(arguments, "Message")


def body(arguments: Any) -> Any:
    """sqs:sendMessage."""
    return with_text(arguments, "MessageBody")


def entries(arguments: Any) -> Any:
    """events:putEvents: Detail may be any JSON."""
    if not isinstance(arguments, dict) or not isinstance(arguments.get("Entries"), list):
        return arguments
    return arguments | {"Entries": [with_text(entry, "Detail") for entry in arguments["Entries"]]}


def with_sender(arguments: Any, call: TaskCall) -> Any:
    """The entries with this execution and its machine among their Resources."""
    ours = [call.execution, call.machine_arn]
    return arguments | {
        "Entries": [entry | {"Resources": [*entry.get("Resources", ()), *ours]} for entry in arguments["Entries"]]
    }


def check_body(arguments: Any, target: Api) -> None:
    """Raises Failure for an empty body, in SQS's words."""
    if arguments["MessageBody"] == "":
        from botocore.exceptions import ClientError

        text = "The request must contain the parameter MessageBody."
        refused = ClientError({"Error": {"Code": "MissingParameter", "Message": text}}, target.operation.name)
        raise Failure(*errors.failure("sqs", target.operation, refused, style="optimised"))


def check_taken(answer: dict[str, Any]) -> None:
    """Raises Failure where EventBridge refused an entry."""
    if answer.get("FailedEntryCount"):
        raise Failure("EventBridge.FailedEntry", compact(answer))
