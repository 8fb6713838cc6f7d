"""A machine as a graph: every nested state, and the nodes and edges that a picture or a search needs.

A state's place is its path in the definition, `("States", "Join")` or `("States", "Each", "ItemProcessor", "States",
"Copy")`: unique, stable, and the same that diagnostics carry. May import: asl.model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import assert_never

from millpond.asl.model import (
    Choice,
    Fail,
    Machine,
    Map,
    Parallel,
    Pass,
    QueryLanguage,
    State,
    Succeed,
    Task,
    Wait,
    language,
)

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Visit:
    """One state met on a walk, with its surroundings. `depth` is 0 at the top."""

    place: Place
    name: str
    state: State
    machine: Machine
    language: QueryLanguage
    depth: int


@dataclass(frozen=True, slots=True)
class Node:
    """A state to draw. `parent` is the id of the Map or Parallel around it, `branch` which of its branches."""

    id: str
    name: str
    kind: str
    comment: str | None
    parent: str | None
    branch: int
    start: bool
    end: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A transition: `kind` is next, choice, default or catch; `label` is what to write on it."""

    source: str
    target: str
    kind: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def inner(state: State) -> tuple[tuple[Place, Machine], ...]:
    """The machines inside a state, each with its place relative to the state."""
    match state:
        case Parallel():
            return tuple((("Branches", index), branch) for index, branch in enumerate(state.branches))
        case Map():
            return ((("ItemProcessor",), state.processor),)
        case _:
            return ()


def walk(machine: Machine, at: Place = (), speaks: QueryLanguage | None = None, depth: int = 0) -> Iterator[Visit]:
    """Every state of a machine, nested ones after their parent. The default query language is handed down."""
    speaks = machine.query_language or speaks
    for name, state in machine.states.items():
        place = (*at, "States", name)
        yield Visit(place, name, state, machine, language(state, speaks), depth)
        for relative, nested in inner(state):
            yield from walk(nested, (*place, *relative), speaks, depth + 1)


def targets(state: State) -> Iterator[tuple[Place, str, str]]:
    """Where a state may go: the place of the field (relative), the target's name, the kind of edge."""
    match state:
        case Choice():
            for index, rule in enumerate(state.rules):
                yield ("Choices", index, "Next"), rule.next, "choice"
            if state.default is not None:
                yield ("Default",), state.default, "default"
        case Task() | Parallel() | Map():
            if state.next is not None:
                yield ("Next",), state.next, "next"
            for index, catcher in enumerate(state.catch):
                yield ("Catch", index, "Next"), catcher.next, "catch"
        case Pass() | Wait():
            if state.next is not None:
                yield ("Next",), state.next, "next"
        case Succeed() | Fail():
            return
        case _:
            assert_never(state)


def reachable(machine: Machine) -> set[str]:
    """The names of one machine's states that some path from StartAt reaches (nested machines are apart)."""
    seen: set[str] = set()
    todo = [machine.start_at]
    while todo:
        name = todo.pop()
        if name in machine.states and name not in seen:
            seen.add(name)
            todo += [target for _, target, _ in targets(machine.states[name])]
    return seen


def graph(machine: Machine) -> Graph:
    """The nodes and edges of a machine, nested ones included."""
    nodes: list[Node] = []
    edges: list[Edge] = []
    _draw(machine, "", None, 0, nodes, edges)
    return Graph(tuple(nodes), tuple(edges))


def _draw(machine: Machine, prefix: str, parent: str | None, branch: int, nodes: list[Node], edges: list[Edge]) -> None:
    for name, state in machine.states.items():
        ident = prefix + name
        leaving = [(place, target, kind) for place, target, kind in targets(state) if target in machine.states]
        nodes.append(
            Node(
                id=ident,
                name=name,
                kind=type(state).__name__,
                comment=state.comment,
                parent=parent,
                branch=branch,
                start=name == machine.start_at,
                end=not any(kind != "catch" for _, _, kind in leaving),
            )
        )
        edges += [Edge(ident, prefix + target, kind, _label(state, place, kind)) for place, target, kind in leaving]
        for index, (_, nested) in enumerate(inner(state)):
            _draw(nested, f"{ident}/{index}/", ident, index, nodes, edges)


def _label(state: State, place: Place, kind: str) -> str:
    index = place[1] if len(place) > 1 else 0
    if isinstance(state, Choice) and kind == "choice" and isinstance(index, int):
        rule = state.rules[index]
        return rule.comment or (str(rule.condition) if rule.condition is not None else f"rule #{index + 1}")
    if isinstance(state, Task | Parallel | Map) and kind == "catch" and isinstance(index, int):
        return ", ".join(state.catch[index].error_equals)
    return "default" if kind == "default" else ""


def comments(machine: Machine) -> Mapping[str, str]:
    """The Comment of each state that has one, by name: the compiler writes the source line there."""
    return {visit.name: visit.state.comment for visit in walk(machine) if visit.state.comment is not None}
