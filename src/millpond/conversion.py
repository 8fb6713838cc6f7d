"""A Glue workflow as a Millpond flow: from what GetWorkflow shows to the source of a `pipeline.py`. Pure.

The flow is a state machine that runs the same jobs and crawlers, by their names, under the same conditions. How each of
them ended is in the flow's data; a trigger becomes a condition on those (`blocks.when`). Jobs and crawlers that do not
wait for each other run side by side.

What a state machine says differently is listed in `Converted.notes`, and at the head of the source:

- Side by side means branches that are joined. Where a workflow's graph is no nesting of sequences and branches, a job
  may have to wait for more than its trigger does; and a trigger that fires at ANY end waits for all of them.
- A workflow is COMPLETED though jobs failed; the flow fails at its end where one failed that no trigger watches for.
- There are no run properties, no schedule, no batches of events.

May import: errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from millpond.errors import ProjectError

LONGEST_NAME = 80  # of a state (AWS docs, "State machine structure")
Node = tuple[str, str]  # JOB or CRAWLER, and the name
PROPERTIES = re.compile(r"WORKFLOW_RUN_ID|workflow_run_properties")


@dataclass(frozen=True)
class Converted:
    """The source of a pipeline.py, and what it does not carry over."""

    source: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """Sequences that run side by side."""

    branches: tuple[tuple[Item, ...], ...]


Item = Node | Side


@dataclass
class _Design:
    """The workflow's graph: for each job and crawler the triggers that start it, and what those watch."""

    name: str
    triggers: list[Mapping[str, Any]]
    start: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    starters: dict[Node, list[Mapping[str, Any]]] = field(default_factory=dict)

    def watched(self, node: Node) -> list[Node]:
        """What the triggers of a node wait for, of what can run at all."""
        found = [one for trigger in self.starters[node] for one in _watches(trigger)]
        return [one for one in dict.fromkeys(found) if one in self.starters]

    def key(self, node: Node) -> str:
        """A node's name in the flow's data and as a state."""
        clash = node[0] == "CRAWLER" and ("JOB", node[1]) in self.starters
        return f"crawl {node[1]}" if clash else node[1]


def _node(named: Mapping[str, Any]) -> Node:
    return ("JOB", named["JobName"]) if named.get("JobName") else ("CRAWLER", named["CrawlerName"])


def _watches(trigger: Mapping[str, Any]) -> list[Node]:
    return [_node(one) for one in trigger.get("Predicate", {}).get("Conditions", ())]


def convert(workflow: Mapping[str, Any], scripts: Mapping[str, str]) -> Converted:
    """`workflow` is GetWorkflow's with its graph; `scripts` has the text of jobs' scripts, as far as it is known.

    Raises ProjectError for a workflow that starts nothing or goes in a circle.
    """
    design = _design(workflow)
    nodes = frozenset(design.starters)
    if circle := sorted(name for kind, name in nodes if (kind, name) in _before((kind, name), nodes, design)):
        text = f"workflow {design.name} goes in a circle: {', '.join(circle)}"
        raise ProjectError(text, help="a flow cannot be made of it")
    _note_what_is_lost(design, workflow, scripts)
    plan = _arrange(nodes, design)
    lines = list(_Writer(design).write(plan))
    return Converted(_source(design, lines), tuple(design.notes))


def _design(workflow: Mapping[str, Any]) -> _Design:
    nodes = workflow.get("Graph", {}).get("Nodes", [])
    triggers = [node["TriggerDetails"]["Trigger"] for node in nodes if node["Type"] == "TRIGGER"]
    starting = [trigger for trigger in triggers if trigger["Type"] != "CONDITIONAL"]
    if not starting:
        raise ProjectError(f"workflow {workflow['Name']} has no starting trigger: it never runs anything")
    design = _Design(workflow["Name"], triggers, starting[0])
    active = [trigger for trigger in triggers if trigger["Type"] == "CONDITIONAL" and trigger["State"] == "ACTIVATED"]
    for trigger in triggers:
        if trigger["Type"] == "CONDITIONAL" and trigger not in active:
            design.notes.append(f"Trigger {trigger['Name']} is {trigger['State']}, so it never fires: left out.")
    _reach(design, active)
    return design


def _reach(design: _Design, active: Sequence[Mapping[str, Any]]) -> None:
    """Find what can run: what the starting trigger starts, then what can follow."""
    pending, found = list(active), [design.start]
    while found:
        for trigger in found:
            for action in trigger["Actions"]:
                design.starters.setdefault(_node(action), []).append(trigger)
        found = [trigger for trigger in pending if _can_fire(trigger, design)]
        pending = [trigger for trigger in pending if trigger not in found]
    for trigger in pending:
        design.notes.append(f"Trigger {trigger['Name']} watches what never runs: left out.")


def _can_fire(trigger: Mapping[str, Any], design: _Design) -> bool:
    known = [node in design.starters for node in _watches(trigger)]
    return any(known) if trigger["Predicate"].get("Logical") == "ANY" else all(known)


def _note_what_is_lost(design: _Design, workflow: Mapping[str, Any], scripts: Mapping[str, str]) -> None:
    notes, start = design.notes, design.start
    if start["Type"] == "SCHEDULED":
        notes.append(f"It was started at {start['Schedule']} (UTC): add an EventBridge schedule that starts the flow.")
    if start["Type"] == "EVENT":
        notes.append("It was started by EventBridge events: make the state machine the target of that rule.")
    if workflow.get("MaxConcurrentRuns"):
        notes.append(f"MaxConcurrentRuns {workflow['MaxConcurrentRuns']}: a state machine has no such limit.")
    if workflow.get("DefaultRunProperties"):
        named = ", ".join(workflow["DefaultRunProperties"])
        notes.append(f"Run properties ({named}) are not carried: give them to the jobs as arguments.")
    for kind, name in design.starters:
        if kind == "JOB" and PROPERTIES.search(scripts.get(name, "")):
            notes.append(f"The script of job {name} asks for the workflow's run or its properties: change it.")
    notes += _other_firing(design)


def _other_firing(design: _Design) -> Iterator[str]:
    for node, triggers in design.starters.items():
        if len(triggers) > 1:
            names = ", ".join(trigger["Name"] for trigger in triggers)
            yield f"{node[1]} is started by several triggers ({names}): here it runs once, if one of them fires."
    for trigger in design.triggers:
        if trigger.get("Predicate", {}).get("Logical") == "ANY" and len(set(_watches(trigger))) > 1:
            yield f"Trigger {trigger['Name']} fires at the first end; here when all that it watches has ended."


# ---- sequences and branches


def _arrange(nodes: frozenset[Node], design: _Design) -> tuple[Item, ...]:
    """Nodes in an order in which each comes after what it waits for; side by side where they do not wait."""
    groups = list(_groups(nodes, design))
    if len(groups) > 1:
        return (Side(tuple(_branches(groups, design))),)
    if len(nodes) == 1:
        return tuple(nodes)
    before = {node: _before(node, nodes, design) for node in nodes}
    for node in _ordered(nodes, design):
        first = before[node]
        if first and all(first <= before[other] for other in nodes - first):
            return _arrange(first, design) + _arrange(nodes - first, design)
    first = frozenset(node for node in nodes if not before[node])
    late = [design.key(node) for node in _ordered(nodes - first, design) if not first <= before[node]]
    if late:
        names = ", ".join(design.key(node) for node in _ordered(first, design))
        design.notes.append(f"{', '.join(late)}: waits for all of {names}, which its trigger does not.")
    return _arrange(first, design) + _arrange(nodes - first, design)


def _branches(groups: Sequence[frozenset[Node]], design: _Design) -> Iterator[tuple[Item, ...]]:
    """A branch a group; what the same triggers start is one branch, so that its condition is asked once."""
    alike: dict[str, list[Node]] = {}
    for group in groups:
        node = next(iter(group))
        if len(group) == 1 and design.start not in design.starters[node]:
            alike.setdefault(str([trigger["Name"] for trigger in design.starters[node]]), []).append(node)
        else:
            yield _arrange(group, design)
    for nodes in alike.values():
        if len(nodes) in (1, len(groups)):
            yield from ((node,) for node in nodes)
        else:
            yield (Side(tuple((node,) for node in nodes)),)


def _ordered(nodes: Iterable[Node], design: _Design) -> list[Node]:
    """In the order in which the workflow comes to them."""
    return [node for node in design.starters if node in set(nodes)]


def _before(node: Node, within: frozenset[Node], design: _Design) -> frozenset[Node]:
    found: set[Node] = set()
    pending = [node]
    while pending:
        for one in design.watched(pending.pop()):
            if one in within and one not in found:
                found.add(one)
                pending.append(one)
    return frozenset(found)


def _groups(nodes: frozenset[Node], design: _Design) -> Iterator[frozenset[Node]]:
    """The parts of the graph that do not wait for each other."""
    left = _ordered(nodes, design)
    while left:
        group = {left[0]}
        while more := {
            node
            for node in left
            if node not in group
            and (group & set(design.watched(node)) or any(node in design.watched(one) for one in group))
        }:
            group |= more
        yield frozenset(group)
        left = [node for node in left if node not in group]


# ---- the source


class _Writer:
    """Writes states, each with its successor; `names` are all state names so far."""

    def __init__(self, design: _Design) -> None:
        self.design = design
        self.names: dict[str, None] = {}
        self.states: dict[Node, str] = {}

    def write(self, plan: Sequence[Item]) -> Iterator[str]:
        handled = {
            (_node(one), one.get("State") or one.get("CrawlState"))
            for triggers in self.design.starters.values()
            for trigger in triggers
            for one in trigger.get("Predicate", {}).get("Conditions", ())
        }
        watched = {node for node, state in handled if state != "SUCCEEDED"}
        unwatched = [self.design.key(node) for node in self.design.starters if node not in watched]
        for name in ("Start", "All well?", "Some failed", "Done"):
            self.names[name] = None
        last = "All well?" if unwatched else "Done"
        entries, begin = self._sequence(plan, last)
        yield f'"Start": asl.Pass(output={{}}, next={_text(begin)}, comment="pipeline.py"),'
        yield from entries
        if unwatched:
            failed = ", ".join(map(_text, unwatched))
            yield f'"All well?": blocks.when(blocks.failed({failed}), then="Some failed", otherwise="Done"),'
            yield '"Some failed": asl.Fail(error="JobsFailed", cause="{% $string($states.input) %}"),'
        yield '"Done": asl.Succeed(),'

    def _name(self, wanted: str) -> str:
        """A name that no other state has."""
        name, n = wanted[:LONGEST_NAME], 1
        while name in self.names:
            n += 1
            name = f"{wanted[: LONGEST_NAME - 5]} {n}"
        self.names[name] = None
        return name

    def _sequence(self, items: Sequence[Item], then: str) -> tuple[list[str], str]:
        """The states of a sequence that goes on to `then`, and the name of its first."""
        lines: list[str] = []
        for item in reversed(items):
            made, then = self._item(item, then)
            lines = made + lines
        return lines, then

    def _item(self, item: Item, then: str) -> tuple[list[str], str]:
        if not isinstance(item, Side):
            name = self._name(self.design.key(item))
            lines = [f"{_text(name)}: {self._work(item, then)},"]
            return self._gated([item], name, lines, then)
        single = [branch[0] for branch in item.branches if len(branch) == 1 and not isinstance(branch[0], Side)]
        shared = len(single) == len(item.branches) and len({str(self._triggers(one)) for one in single}) == 1
        name = self._name(f"Together: {', '.join(self.design.key(_first(branch)) for branch in item.branches)}")
        lines = [f"{_text(name)}: blocks.together("]
        for branch in item.branches:
            end = self._name(f"End: {self.design.key(_first(branch))}")
            made, _ = self._branch(branch, end, bare=shared)
            lines += ["    {", *(f"        {line}" for line in made), f"        {_text(end)}: asl.Succeed(),", "    },"]
        lines += [f"    next={_text(then)},", "),"]
        return self._gated(single if shared else [], name, lines, then)

    def _branch(self, branch: Sequence[Item], end: str, *, bare: bool) -> tuple[list[str], str]:
        if not bare:
            return self._sequence(branch, end)
        (node,) = branch
        assert not isinstance(node, Side)
        name = self._name(self.design.key(node))
        return [f"{_text(name)}: {self._work(node, end)},"], name

    def _triggers(self, node: Node) -> list[Mapping[str, Any]]:
        """The conditional triggers that start a node; none where the starting trigger does."""
        triggers = self.design.starters[node]
        return [] if self.design.start in triggers else triggers

    def _gated(self, nodes: Sequence[Node], name: str, lines: list[str], then: str) -> tuple[list[str], str]:
        """Put the question before it whether one of its triggers fires."""
        triggers = self._triggers(nodes[0]) if nodes else []
        if not triggers:
            return lines, name
        gate = self._name(f"{triggers[0]['Name']}?")
        conditions = ", ".join(self._condition(trigger) for trigger in triggers)
        asked = f"{_text(gate)}: blocks.when({conditions}, then={_text(name)}, otherwise={_text(then)}),"
        return [asked, *lines], gate

    def _condition(self, trigger: Mapping[str, Any]) -> str:
        predicate = trigger["Predicate"]
        kind = "any_of" if predicate.get("Logical") == "ANY" else "all_of"
        ends = ", ".join(
            f"({_text(self.design.key(_node(one)))}, {_text(one.get('State') or one['CrawlState'])})"
            for one in predicate["Conditions"]
            if _node(one) in self.design.starters
        )
        return f"blocks.{kind}({ends})"

    def _work(self, node: Node, then: str) -> str:
        call = f"blocks.crawl({_text(node[1])})" if node[0] == "CRAWLER" else self._run(node)
        return f"blocks.noted({_text(self.design.key(node))}, {call}, next={_text(then)})"

    def _run(self, node: Node) -> str:
        trigger = self.design.starters[node][0]
        action = next(one for one in trigger["Actions"] if _node(one) == node)
        given = [_text(node[1])]
        if action.get("Arguments"):
            given.append(_text(action["Arguments"]))
        more = {key: value for key, value in action.items() if key not in ("JobName", "Arguments")}
        if more:
            given.append(f"parameters={_text(more)}")
        return f"blocks.run({', '.join(given)})"


def _first(items: Sequence[Item]) -> Node:
    """The first node of a sequence."""
    return _first(items[0].branches[0]) if isinstance(items[0], Side) else items[0]


def _text(value: Any) -> str:
    """Texts, numbers and mappings of them: Python reads JSON's spelling."""
    return json.dumps(value, ensure_ascii=False)


def _source(design: _Design, lines: Sequence[str]) -> str:
    notes = "".join(f"- {note}\n" for note in design.notes)
    doc = f"The Glue workflow {design.name} as a flow of Step Functions: the same jobs and crawlers, by their names.\n"
    if notes:
        doc += f"\nNot carried over, or different:\n\n{notes}"
    quoted = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    body = "\n".join(f"    {line}" for line in lines)
    flow = re.sub(r"[^A-Za-z0-9-]+", "-", design.name).strip("-") or "flow"
    return (
        f'"""{quoted}"""\n\nfrom millpond import asl, blocks, states\n\n'
        f"steps = {{\n{body}\n}}\n\n"
        f"flow = states.StateMachine(\n    name={_text(flow)},\n"
        f'    definition=asl.Machine(start_at="Start", states=steps, query_language="JSONata"),\n)\n'
    )
