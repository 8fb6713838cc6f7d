"""Execution history -> steps: which states ran, inside which Map item or branch, how they ended. Pure.

Events are read in the order of their ids; `previousEventId` says where each belongs. Source: "HistoryEvent" in the Step
Functions API reference.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.aws.logs import LogRef

FAILED_EVENTS = frozenset(
    {
        "TaskFailed",
        "TaskTimedOut",
        "TaskStartFailed",
        "TaskSubmitFailed",
        "MapStateFailed",
        "ParallelStateFailed",
        "LambdaFunctionFailed",
        "LambdaFunctionTimedOut",
        "LambdaFunctionStartFailed",
        "EvaluationFailed",
        "ActivityFailed",
        "ActivityTimedOut",
        "MapRunFailed",
    }
)
LABELS = ("table", "name", "key", "id")


@dataclass
class StepRun:
    """One entering of a state. `inside` is the Map or Parallel around it, `item` the Map item's index."""

    name: str
    kind: str  # Task, Pass, Choice, Wait, Parallel, Map, Succeed, Fail
    started: dt.datetime
    inside: StepRun | None = None
    item: int | None = None
    branch_name: str | None = None  # what the item is, from its input: a string, or its table, name, key or id
    ended: dt.datetime | None = None
    status: str = "RUNNING"
    error: str | None = None
    cause: str | None = None
    attempts: int = 0
    input: Any = None
    output: Any = None
    resource: str | None = None
    submitted: Mapping[str, Any] = field(default_factory=dict)  # what the service answered to the call
    line: str | None = None
    log: LogRef | None = None
    rows: Mapping[str, int] | None = None
    map_run: str | None = None  # the ARN of a distributed Map's Map Run,
    items: Mapping[str, int] | None = None  # and DescribeMapRun's itemCounts

    @property
    def label(self) -> str:
        """The Map item that the step works on, or the step's own name."""
        return self.branch_name or self.name

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it does."""
        return None if self.ended is None else (self.ended - self.started).total_seconds()

    @property
    def depth(self) -> int:
        return 0 if self.inside is None else self.inside.depth + 1


@dataclass(frozen=True)
class _Place:
    """Where an event is: the container and item around it, the step it belongs to."""

    container: StepRun | None = None
    item: int | None = None
    step: StepRun | None = None


class History:
    """Takes events as they come, keeps the steps in the order of their beginning."""

    def __init__(self) -> None:
        self.steps: list[StepRun] = []
        self.last_id = 0
        self.error: str | None = None
        self.cause: str | None = None
        self._places: dict[int, _Place] = {0: _Place()}
        self._items: dict[tuple[int, int], str] = {}

    def read(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take further events, in the order of their ids; known ones are passed over."""
        for event in events:
            if event["id"] > self.last_id:
                self.last_id = event["id"]
                before = self._places.get(event.get("previousEventId", 0), _Place())
                self._places[event["id"]] = self._place(event, before)

    def _place(self, event: Mapping[str, Any], before: _Place) -> _Place:
        kind, at = event["type"], event["timestamp"]
        if kind.endswith("StateEntered"):
            return self._entered(event, before)
        if kind.endswith("StateExited"):
            return self._exited(event, before)
        if kind == "MapIterationStarted":
            return _Place(before.step or before.container, event["mapIterationStartedEventDetails"]["index"])
        if kind.startswith(("MapState", "ParallelState")) and not kind.endswith("Started"):
            before = _out(before)
        if kind in FAILED_EVENTS and before.step is not None:
            self._failed(event, before.step, at)
        elif kind == "ExecutionFailed" or kind in ("ExecutionTimedOut", "ExecutionAborted"):
            self._ended(event, at)
        elif before.step is not None:
            _task(event, before.step)
        if kind == "ParallelStateStarted":
            return _Place(before.step, None)
        return before

    def _entered(self, event: Mapping[str, Any], before: _Place) -> _Place:
        details = event["stateEnteredEventDetails"]
        step = StepRun(
            details["name"],
            event["type"].removesuffix("StateEntered"),
            event["timestamp"],
            before.container,
            before.item,
            input=_json(details.get("input")),
        )
        step.branch_name = self._item_name(step)
        if step.kind == "Fail":
            step.status, step.ended = "FAILED", event["timestamp"]
        self.steps.append(step)
        return _Place(before.container, before.item, step)

    def _item_name(self, step: StepRun) -> str | None:
        """The name of the Map item around a step: taken from the input of the item's first state."""
        if step.inside is None or step.item is None:
            return step.inside.branch_name if step.inside else None
        key = (id(step.inside), step.item)
        if key not in self._items:
            value = step.input
            if isinstance(value, Mapping):
                value = next((value[label] for label in LABELS if isinstance(value.get(label), str)), None)
            self._items[key] = value if isinstance(value, str) and len(value) <= 60 else str(step.item)
        return self._items[key]

    def _exited(self, event: Mapping[str, Any], before: _Place) -> _Place:
        details = event["stateExitedEventDetails"]
        place = before
        while place.step is None or place.step.name != details["name"] or place.step.ended:
            if place.container is None:
                return before
            place = _out(place)
        step = place.step
        step.ended, step.output = event["timestamp"], _json(details.get("output"))
        if step.status == "RUNNING":
            step.status = "SUCCEEDED"
        return _Place(place.container, place.item)

    def _failed(self, event: Mapping[str, Any], step: StepRun, at: dt.datetime) -> None:
        details = _details(event)
        if details.get("error") or step.error is None:
            step.error, step.cause = details.get("error"), details.get("cause")
        step.status, step.ended = "FAILED", None
        for inner in (inner for inner in self.steps if inner.inside is step):  # what ran inside ends with it
            if inner.ended is None:
                inner.ended = at
                inner.status = "FAILED" if inner.error else "ABORTED"
            if step.error is None and inner.status == "FAILED":  # MapStateFailed and ParallelStateFailed say nothing
                step.error, step.cause = inner.error, inner.cause

    def _ended(self, event: Mapping[str, Any], at: dt.datetime) -> None:
        details = _details(event)
        self.error, self.cause = details.get("error"), details.get("cause")
        for step in self.steps:
            if step.ended is None:
                step.ended = at
                step.status = "FAILED" if step.error else "ABORTED"


def _out(place: _Place) -> _Place:
    """The place of the Map or Parallel around a place; the place itself where that is the step it is at."""
    if place.step is not None and place.step.kind in ("Map", "Parallel") and place.step.ended is None:
        return place
    outer = place.container
    return place if outer is None else _Place(outer.inside, outer.item, outer)


def _task(event: Mapping[str, Any], step: StepRun) -> None:
    """Scheduled, submitted, succeeded: attempts, what was called, what it answered; a Map Run's name."""
    details = _details(event)
    match event["type"]:
        case "TaskScheduled" | "LambdaFunctionScheduled" | "ActivityScheduled":
            step.attempts += 1
            step.status, step.error, step.cause = "RUNNING", None, None
            kind, name = details.get("resourceType", ""), details.get("resource", "")
            step.resource = f"{kind}:{name}"
            step.submitted = _object(details.get("parameters"))
        case "MapRunStarted" | "MapRunRedriven":
            step.map_run = details["mapRunArn"]
        case "TaskSubmitted" | "TaskSucceeded":
            step.submitted = {**step.submitted, **_object(details.get("output"))}


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found: object = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
    return found if isinstance(found, Mapping) else {}


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _object(text: str | None) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}
