"""states:startExecution and its `.sync` forms: an execution as a task of another.

The execution's name is fixed before the call, so that a repeated start finds the first one. `.sync` gives the child's
input and output as text, `.sync:2` as JSON.
Source: AWS Step Functions Developer Guide, "Start a new AWS Step Functions state machine from a running execution".
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local.states.integrations.calls import Done, Failure, Handle, Work, optimised, with_text

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

_TEXTS = ("Input", "Output")


def shaped(arguments: Any) -> Any:
    """Input may be any JSON."""
    return with_text(arguments, "Input")


def _prepare(parameters: dict[str, Any], token: str) -> dict[str, Any]:
    return {"Name": str(uuid.uuid5(uuid.NAMESPACE_URL, token))} | parameters


def _described(endpoint: Endpoint, handle: Handle) -> dict[str, Any]:
    answer: dict[str, Any] = optimised(endpoint, "states", "describeExecution", handle, named="stepfunctions")
    return answer


def _watch(parse: bool) -> Callable[[Endpoint, Handle], Done | None]:
    def watch(endpoint: Endpoint, handle: Handle) -> Done | None:
        answer = _described(endpoint, handle)
        if answer["Status"] == "RUNNING":
            return None
        if parse:
            answer |= {key: json.loads(answer[key]) for key in _TEXTS if key in answer}
        if answer["Status"] == "SUCCEEDED":
            return Done(dict(sorted(answer.items())))
        raise Failure("States.TaskFailed", compact(dict(sorted(answer.items()))))

    return watch


def _stop(endpoint: Endpoint, handle: Handle) -> None:
    optimised(endpoint, "states", "stopExecution", handle, named="stepfunctions")


def _find(endpoint: Endpoint, parameters: dict[str, Any], since: float) -> Handle | None:
    """The name is fixed before the call, so the ARN is known: of the machine itself, whatever version or alias ran."""
    machine = ":".join(str(parameters["StateMachineArn"]).split(":")[:7])
    handle = {"ExecutionArn": f"{machine.replace(':stateMachine:', ':execution:', 1)}:{parameters['Name']}"}
    try:
        answer = _described(endpoint, handle)
    except Failure:
        return None
    return handle if answer["StartDate"] / 1000 >= since - 0.001 else None


def _handle(answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> Handle:
    """Raises Failure where the child cannot be waited for: DescribeExecution knows no Express execution."""
    arn = answer["ExecutionArn"]
    if ":express:" in arn:
        why = f"The execution {arn} is one of an Express workflow, which .sync cannot wait for."
        raise Failure("States.TaskFailed", why)
    return {"ExecutionArn": arn}


def work(*, parse: bool) -> Work:
    """`parse`: `.sync:2`."""
    return Work(
        handle=_handle,
        watch=_watch(parse),
        stop=_stop,
        find=_find,
        prepare=_prepare,
    )
