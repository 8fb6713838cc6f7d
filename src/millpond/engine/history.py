"""History events as AWS writes them: `to_aws` turns a stored `Event` into a GetExecutionHistory entry.

One table says, for each event type, which details member it has and where its main payload goes. Sources: botocore's
model of HistoryEvent, and recordings (masked copies lie in tests' shared cases).

Rules about numbers, all seen in recordings:

- ids count from 1 in one execution; the first state's Entered event has previousEventId 0, as ExecutionStarted has;
- MapIterationStarted follows MapStateStarted, or the last event of the iteration whose place it takes;
- MapIterationFailed, MapStateSucceeded and ParallelStateSucceeded are side notes: what comes after them has the same
  previousEventId as they have; so is MapIterationSucceeded, but for MapStateSucceeded and MapStateExited, which follow
  the last one; MapStateFailed and ParallelStateFailed are followed;
- ExecutionTimedOut and ExecutionAborted have previousEventId 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from millpond.asl.model import Json
from millpond.engine.doors import Event


class _Shape(NamedTuple):
    """`member` is the details member; `payload` the name of the main JSON text in it, `noted` whether AWS adds
    `<payload>Details: {truncated: false}`."""

    member: str
    payload: str = ""
    noted: bool = True


_ENTERED = _Shape("stateEnteredEventDetails", "input")
_EXITED = _Shape("stateExitedEventDetails", "output")

SHAPES: Mapping[str, _Shape] = {
    "ExecutionStarted": _Shape("executionStartedEventDetails", "input"),
    "ExecutionSucceeded": _Shape("executionSucceededEventDetails", "output"),
    "ExecutionFailed": _Shape("executionFailedEventDetails"),
    "ExecutionAborted": _Shape("executionAbortedEventDetails"),
    "ExecutionTimedOut": _Shape("executionTimedOutEventDetails"),
    "ExecutionRedriven": _Shape("executionRedrivenEventDetails"),
    "EvaluationFailed": _Shape("evaluationFailedEventDetails"),
    "TaskScheduled": _Shape("taskScheduledEventDetails", "parameters", noted=False),
    "TaskStarted": _Shape("taskStartedEventDetails"),
    "TaskStartFailed": _Shape("taskStartFailedEventDetails"),
    "TaskSubmitted": _Shape("taskSubmittedEventDetails", "output"),
    "TaskSubmitFailed": _Shape("taskSubmitFailedEventDetails"),
    "TaskSucceeded": _Shape("taskSucceededEventDetails", "output"),
    "TaskFailed": _Shape("taskFailedEventDetails"),
    "TaskTimedOut": _Shape("taskTimedOutEventDetails"),
    "LambdaFunctionScheduled": _Shape("lambdaFunctionScheduledEventDetails", "input"),
    "LambdaFunctionScheduleFailed": _Shape("lambdaFunctionScheduleFailedEventDetails"),
    "LambdaFunctionStartFailed": _Shape("lambdaFunctionStartFailedEventDetails"),
    "LambdaFunctionSucceeded": _Shape("lambdaFunctionSucceededEventDetails", "output"),
    "LambdaFunctionFailed": _Shape("lambdaFunctionFailedEventDetails"),
    "LambdaFunctionTimedOut": _Shape("lambdaFunctionTimedOutEventDetails"),
    "ActivityScheduled": _Shape("activityScheduledEventDetails", "input"),
    "ActivityScheduleFailed": _Shape("activityScheduleFailedEventDetails"),
    "ActivityStarted": _Shape("activityStartedEventDetails"),
    "ActivitySucceeded": _Shape("activitySucceededEventDetails", "output"),
    "ActivityFailed": _Shape("activityFailedEventDetails"),
    "ActivityTimedOut": _Shape("activityTimedOutEventDetails"),
    "MapStateStarted": _Shape("mapStateStartedEventDetails"),
    "MapIterationStarted": _Shape("mapIterationStartedEventDetails"),
    "MapIterationSucceeded": _Shape("mapIterationSucceededEventDetails"),
    "MapIterationFailed": _Shape("mapIterationFailedEventDetails"),
    "MapIterationAborted": _Shape("mapIterationAbortedEventDetails"),
    "MapRunStarted": _Shape("mapRunStartedEventDetails"),
    "MapRunFailed": _Shape("mapRunFailedEventDetails"),
    "MapRunRedriven": _Shape("mapRunRedrivenEventDetails"),
}
"""Types without an entry (LambdaFunctionStarted, MapStateSucceeded, ParallelStateStarted, ...) have no details."""

ENDS = frozenset({"ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"})
"""How an execution ends that may be redriven."""


BARE = ENDS | {"ActivityFailed", "ActivityStarted", "LambdaFunctionFailed"}
"""Events that show their details member even when nothing stands in it: a worker without a name, a failure without
words."""


def shape_of(kind: str) -> _Shape | None:
    """The details of an event type, None where it has none."""
    if kind.endswith("StateEntered"):
        return _ENTERED
    if kind.endswith("StateExited"):
        return _EXITED
    return SHAPES.get(kind)


def to_aws(event: Event, *, include_execution_data: bool = True) -> dict[str, Json]:
    """The event as GetExecutionHistory gives it; `timestamp` is epoch seconds. Without execution data the payload
    (input, output, parameters) is left out."""
    shown: dict[str, Json] = {
        "timestamp": event.at,
        "type": event.type,
        "id": event.id,
        "previousEventId": event.previous,
    }
    shape = shape_of(event.type)
    if shape is None:
        return shown
    details: dict[str, Json] = {}
    if event.name is not None:
        details["name"] = event.name
    if shape.payload and event.payload is not None:
        if include_execution_data:
            details[shape.payload] = event.payload
        if shape.noted:
            details[f"{shape.payload}Details"] = {"truncated": False}
    if event.more:
        details.update(event.more)
    if details or event.type in BARE:
        shown[shape.member] = details
    return shown


def failure_details(error: str | None, cause: str | None, more: Mapping[str, Json] | None = None) -> dict[str, Json]:
    """`error` and `cause` as details: a missing one is left out."""
    details: dict[str, Json] = dict(more) if more else {}
    if error is not None:
        details["error"] = error
    if cause is not None:
        details["cause"] = cause
    return details


TASK_EVENTS: Mapping[str, Mapping[str, str]] = {
    "service": {
        "scheduled": "TaskScheduled",
        "started": "TaskStarted",
        "submitted": "TaskSubmitted",
        "succeeded": "TaskSucceeded",
        "schedule": "TaskFailed",
        "start": "TaskStartFailed",
        "submit": "TaskSubmitFailed",
        "run": "TaskFailed",
        "timeout": "TaskTimedOut",
    },
    "lambda": {
        "scheduled": "LambdaFunctionScheduled",
        "started": "LambdaFunctionStarted",
        "submitted": "",
        "succeeded": "LambdaFunctionSucceeded",
        "schedule": "LambdaFunctionScheduleFailed",
        "start": "LambdaFunctionStartFailed",
        "submit": "LambdaFunctionFailed",
        "run": "LambdaFunctionFailed",
        "timeout": "LambdaFunctionTimedOut",
    },
    "activity": {
        "scheduled": "ActivityScheduled",
        "started": "ActivityStarted",
        "submitted": "",
        "succeeded": "ActivitySucceeded",
        "schedule": "ActivityScheduleFailed",
        "start": "ActivityFailed",
        "submit": "ActivityFailed",
        "run": "ActivityFailed",
        "timeout": "ActivityTimedOut",
    },
}
"""Event types by task kind: what happens, or the phase in which it failed."""
