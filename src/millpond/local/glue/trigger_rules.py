"""What CreateTrigger and UpdateTrigger refuse, which triggers fire when, and the next time of a schedule. Pure.

A trigger is the mapping that GetTrigger shows. A *chain* is what one start set off: the actions of a run of a workflow,
or those that descend from one firing of a scheduled or on-demand trigger. Conditional triggers look at one chain only:
"All jobs or crawlers in a dependency chain must be descendants of a single scheduled or on-demand trigger" (AWS docs,
"AWS Glue triggers"). A job that was started by hand belongs to no chain, so it fires nothing, as on AWS.

Our decision, where AWS's pages are silent: in a run of a workflow a trigger fires at most once; outside, `ANY` fires at
each event, `AND` each time all its conditions have been met again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millpond.local.schedules import ScheduleError, parse
from millpond.local.service import AwsError

JOB_STATES = ("SUCCEEDED", "STOPPED", "FAILED", "TIMEOUT")  # what a trigger can watch for (AWS docs)
CRAWL_STATES = ("SUCCEEDED", "FAILED", "CANCELLED")
STARTING = ("SCHEDULED", "ON_DEMAND", "EVENT")
MOST_CRAWLERS = 2  # "Only two crawlers can be activated by a single trigger" (AWS docs)
Trigger = Mapping[str, Any]


def invalid(message: str) -> AwsError:
    """InvalidInputException."""
    return AwsError("InvalidInputException", message)


# ---- what is refused. The messages are AWS's where they are known.


def check_created(given: Mapping[str, Any]) -> None:
    """The parameters of CreateTrigger. InvalidInputException."""
    kind = given["Type"]
    if kind == "ON_DEMAND" and given.get("StartOnCreation"):
        raise invalid("Starting trigger on create is not supported for ON_DEMAND trigger type.")
    if kind == "EVENT" and not given.get("WorkflowName"):
        raise invalid("Workflow name cannot be null or empty")
    if kind != "EVENT" and given.get("EventBatchingCondition"):
        raise invalid("EventBatchingCondition is supported for EVENT trigger type only.")
    _check_kind(given)
    _check_actions(given["Actions"])
    if kind == "CONDITIONAL":  # elsewhere AWS takes a predicate and does not look at it
        _check_predicate(given["Predicate"], given["Actions"])


def check_updated(trigger: Trigger) -> None:
    """A trigger as UpdateTrigger would leave it. InvalidInputException."""
    _check_kind(trigger)
    _check_actions(trigger.get("Actions") or ())
    if trigger.get("Predicate"):
        _check_predicate(trigger["Predicate"], trigger["Actions"])


def _check_kind(trigger: Trigger) -> None:
    if trigger["Type"] == "SCHEDULED":
        if not trigger.get("Schedule"):
            raise invalid("Schedule cannot be null or empty")
        _check_schedule(trigger["Schedule"])
    if trigger["Type"] == "CONDITIONAL" and not trigger.get("Predicate"):
        raise invalid("Predicate cannot be null or empty")


def _check_schedule(text: str) -> None:
    try:
        parse(text)
    except ScheduleError as error:
        raise invalid(f"The schedule {text} is invalid. {error}") from None


def _check_actions(actions: Sequence[Mapping[str, Any]]) -> None:
    if not actions:
        raise invalid("Actions cannot be null or empty")
    for action in actions:
        _check_one(action, "an action")
    if sum("CrawlerName" in action for action in actions) > MOST_CRAWLERS:
        raise invalid(f"A trigger cannot start more than {MOST_CRAWLERS} crawlers.")


def _check_one(named: Mapping[str, Any], where: str) -> None:
    if named.get("JobName") and named.get("CrawlerName"):
        raise invalid(f"Both JobName or CrawlerName cannot be set together in {where}")
    if not named.get("JobName") and not named.get("CrawlerName"):
        raise invalid(f"JobName or CrawlerName must be set in {where}")


def _check_predicate(predicate: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> None:
    conditions = predicate.get("Conditions") or ()
    if not conditions:
        raise invalid("Conditions cannot be null or empty")
    if len(conditions) > 1 and not predicate.get("Logical"):
        raise invalid("Logical operator cannot be null or empty when more than one condition is present.")
    for condition in conditions:
        _check_condition(condition)
    started = {action["JobName"] for action in actions if "JobName" in action}
    if started & {condition.get("JobName") for condition in conditions}:
        raise invalid("Job cannot be a Predicate and Action for Conditional Trigger.")


def _check_condition(condition: Mapping[str, Any]) -> None:
    _check_one(condition, "a condition")
    if not condition.get("LogicalOperator"):
        raise invalid("Logical operator cannot be null or empty")
    member, allowed, called = (
        ("State", JOB_STATES, "JobRunState")
        if condition.get("JobName")
        else ("CrawlState", CRAWL_STATES, "CrawlerState")
    )
    if not condition.get(member):
        raise invalid("State cannot be null or empty")
    if condition[member] not in allowed:
        raise invalid(f"{called} should be any of: [{', '.join(allowed)}]")


# ---- which triggers fire


@dataclass(frozen=True, slots=True)
class Ended:
    """An action of a chain that is over: `kind` is JOB or CRAWLER; `run` the id of its job run or crawl."""

    id: int
    kind: str
    target: str
    outcome: str
    run: str = ""


def _meets(condition: Mapping[str, Any], action: Ended) -> bool:
    if action.kind == "JOB":
        return condition.get("JobName") == action.target and condition.get("State") == action.outcome
    return condition.get("CrawlerName") == action.target and condition.get("CrawlState") == action.outcome


def causes(trigger: Trigger, event: Ended, ended: Iterable[Ended], fired: int) -> tuple[Ended, ...]:
    """The actions because of which `event` fires the trigger; none: it does not fire.

    `ended` are the actions of the chain that are over (with `event`), the oldest first; `fired` is the id of the first
    action of the trigger's last firing in this chain (0: it has not fired).
    """
    predicate = trigger["Predicate"]
    conditions = predicate["Conditions"]
    if not any(_meets(condition, event) for condition in conditions):
        return ()
    if len(conditions) == 1 or predicate.get("Logical") == "ANY":
        return (event,)
    return met(trigger, (action for action in ended if action.id > fired))


def met(trigger: Trigger, ended: Iterable[Ended]) -> tuple[Ended, ...]:
    """The actions by which a trigger's predicate is met, of each job and crawler the latest; none: it is not met."""
    predicate = trigger["Predicate"]
    latest = {(action.kind, action.target): action for action in ended}
    found = [next((a for a in latest.values() if _meets(one, a)), None) for one in predicate["Conditions"]]
    enough = any(found) if predicate.get("Logical") == "ANY" else all(found)
    return tuple(dict.fromkeys(action for action in found if action)) if enough else ()


# ---- schedules


def next_time(trigger: Trigger, since: float) -> float | None:
    """When a scheduled trigger is due after `since` (seconds since the epoch)."""
    return parse(trigger["Schedule"]).following(since)
