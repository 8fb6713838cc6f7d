"""The graph of a workflow, and the figures of a run. Pure: from triggers and actions to what GetWorkflow(Run) shows.

A node is a trigger, a job or a crawler; a job that several triggers start or watch is one node. Edges go from a trigger
to what it starts, and from what it watches to the trigger. A node has the same `UniqueId` in all runs of a workflow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Trigger = Mapping[str, Any]
DETAILS = {"JOB": ("JobDetails", "JobRuns"), "CRAWLER": ("CrawlerDetails", "Crawls")}
# The outcome of an action -> the member of Statistics that counts it.
COUNTED = {
    "SUCCEEDED": "SucceededActions",
    "FAILED": "FailedActions",
    "STOPPED": "StoppedActions",
    "CANCELLED": "StoppedActions",
    "TIMEOUT": "TimeoutActions",
    "EXPIRED": "ErroredActions",
    "ERROR": "ErroredActions",
}


def node_id(workflow: str, kind: str, name: str) -> str:
    """`wnode_...`"""
    return f"wnode_{hashlib.sha256(repr((workflow, kind, name)).encode()).hexdigest()}"


def starts(trigger: Trigger) -> list[tuple[str, str]]:
    """What a trigger starts: (JOB or CRAWLER, name)."""
    return [_node(action) for action in trigger.get("Actions", ())]


def watches(trigger: Trigger) -> list[tuple[str, str]]:
    """What a conditional trigger watches."""
    if trigger["Type"] != "CONDITIONAL":
        return []
    return list(dict.fromkeys(_node(condition) for condition in trigger["Predicate"]["Conditions"]))


def _node(named: Mapping[str, Any]) -> tuple[str, str]:
    return ("JOB", named["JobName"]) if named.get("JobName") else ("CRAWLER", named["CrawlerName"])


def graph(
    workflow: str, triggers: Sequence[Trigger], details: Callable[[str, str], Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Nodes and Edges. `details` gives a node's job runs or crawls; none in the static view."""
    workers = dict.fromkeys(node for trigger in triggers for node in [*watches(trigger), *starts(trigger)])
    nodes: list[dict[str, Any]] = [
        {
            "Type": "TRIGGER",
            "Name": trigger["Name"],
            "UniqueId": node_id(workflow, "TRIGGER", trigger["Name"]),
            "TriggerDetails": {"Trigger": trigger},
        }
        for trigger in triggers
    ]
    for kind, name in workers:
        member, inner = DETAILS[kind]
        found = list(details(kind, name))
        node = {"Type": kind, "Name": name, "UniqueId": node_id(workflow, kind, name)}
        nodes.append(node | ({member: {inner: found}} if found else {}))
    edges = [
        {"SourceId": node_id(workflow, *source), "DestinationId": node_id(workflow, *destination)}
        for source, destination in _edges(triggers)
    ]
    return {"Nodes": nodes, "Edges": edges}


def _edges(triggers: Iterable[Trigger]) -> Iterable[tuple[tuple[str, str], tuple[str, str]]]:
    for trigger in triggers:
        own = ("TRIGGER", trigger["Name"])
        yield from ((watched, own) for watched in watches(trigger))
        yield from ((own, started) for started in dict.fromkeys(starts(trigger)))


def downstream(triggers: Sequence[Trigger], node: tuple[str, str]) -> set[tuple[str, str]]:
    """All jobs and crawlers that come after a job or crawler; itself only when it is on a circle."""
    after: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for source, destination in _edges(triggers):
        after.setdefault(source, []).append(destination)
    found: set[tuple[str, str]] = set()
    open_ = list(after.get(node, ()))
    while open_:
        at = open_.pop()
        if at not in found:
            found.add(at)
            open_ += after.get(at, ())
    return {at for at in found if at[0] != "TRIGGER"}


def statistics(triggers: Sequence[Trigger], outcomes: Iterable[str]) -> dict[str, int]:
    """Statistics of a run. `outcomes` has one word for each action begun: "" runs, WAITING waits for capacity.

    TotalActions counts what the workflow's triggers would start, begun or not: AWS's example of a completed run has
    11 actions of which 9 succeeded and none failed ("Running and monitoring a workflow").
    """
    outcomes = list(outcomes)
    figures = dict.fromkeys(
        ("TotalActions", "TimeoutActions", "FailedActions", "StoppedActions", "SucceededActions", "RunningActions"), 0
    ) | {"ErroredActions": 0, "WaitingActions": 0}
    figures["TotalActions"] = max(len(outcomes), sum(len(trigger.get("Actions", ())) for trigger in triggers))
    for outcome in outcomes:
        figures["WaitingActions" if outcome == "WAITING" else COUNTED.get(outcome, "RunningActions")] += 1
    return figures
