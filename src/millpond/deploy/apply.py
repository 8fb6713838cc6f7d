"""Apply a plan: execute its change set and follow the stack's events to the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millpond.aws.buckets import Cloud
from millpond.deploy.plan import Plan, plan
from millpond.errors import CloudError
from millpond.stack import Bundle

POLL_SECONDS = 0.2
DONE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


@dataclass(frozen=True)
class Event:
    """One resource's progress: `status` as CloudFormation writes it (CREATE_IN_PROGRESS, ...)."""

    logical_id: str
    status: str
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a deployment did: the plan, and the stack's outputs (logical id of a flow -> its ARN)."""

    plan: Plan
    outputs: Mapping[str, str] = field(default_factory=dict)


def apply(
    target: Cloud, bundle: Bundle, parameters: Mapping[str, str], *, on_event: Callable[[Event], None] | None = None
) -> Outcome:
    """Deploy a bundle. Raises CloudError naming the first resource that failed and CloudFormation's reason."""
    made = plan(target, bundle, parameters)
    cloudformation = target.client("cloudformation")
    if made.change_set:
        seen = {event["EventId"] for event in _events(cloudformation, bundle.name)} if not made.creates else set()
        cloudformation.execute_change_set(ChangeSetName=made.change_set)
        _follow(cloudformation, bundle.name, seen, on_event or (lambda event: None))
    stack = cloudformation.describe_stacks(StackName=bundle.name)["Stacks"][0]
    return Outcome(made, {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])})


def _follow(cloudformation: Any, stack: str, seen: set[str], on_event: Callable[[Event], None]) -> None:
    failure: Event | None = None
    while True:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        for event in reversed(_events(cloudformation, stack)):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            seen_event = Event(
                event["LogicalResourceId"], event["ResourceStatus"], event.get("ResourceStatusReason", "")
            )
            on_event(seen_event)
            cancelled = "cancelled" in seen_event.reason
            if failure is None and seen_event.status.endswith("_FAILED") and not cancelled:
                failure = seen_event
        status = found["StackStatus"]
        if status in DONE:
            return
        if not status.endswith("_IN_PROGRESS"):
            reason = f"{failure.logical_id}: {failure.reason}" if failure else found.get("StackStatusReason", "")
            raise CloudError(status, reason or f"stack {stack} ended in {status}")
        time.sleep(POLL_SECONDS)


def _events(cloudformation: Any, stack: str) -> list[dict[str, Any]]:
    """All events of a stack, newest first."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
    return [event for page in pages for event in page["StackEvents"]]
