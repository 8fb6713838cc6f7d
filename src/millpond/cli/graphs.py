"""`millpond graph`: a flow as text or as a Mermaid diagram. From the project or a definition file; reaches no cloud."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millpond.asl.graph import Edge, Graph, Node
    from millpond.asl.model import Machine


class Format(StrEnum):
    """How a flow is drawn."""

    text = "text"
    mermaid = "mermaid"


def graph(
    flow: Annotated[
        str | None, typer.Argument(metavar="[FLOW | FILE]", help="A flow of the project, or a definition's file.")
    ] = None,
    folder: Annotated[Path, typer.Option("--project", metavar="DIR", help="The project's folder.")] = Path(),
    form: Annotated[Format, typer.Option("--format", help="text, or mermaid for Markdown.")] = Format.text,
) -> None:
    """Draw a flow: its states, and what leads where. FLOW may be left out where the project has one."""
    from millpond.asl.graph import graph as graph_of

    found = graph_of(machine_of(flow, folder))
    print("\n".join(_mermaid(found) if form is Format.mermaid else _text(found)))


def machine_of(flow: str | None, folder: Path) -> Machine:
    """The machine of a file, or of a project's flow. Raises MillpondError, DefinitionError."""
    from millpond import project
    from millpond.asl import from_json
    from millpond.errors import MillpondError

    if flow is not None and Path(flow).is_file():
        try:
            return from_json(Path(flow).read_text("utf-8"))
        except UnicodeDecodeError as error:
            raise MillpondError(f"{flow} is not UTF-8: {error}") from None
    return project.load(folder).flow(flow).definition


def _text(drawn: Graph) -> Iterator[str]:
    """A line a state, what is inside it below; arrows to the next ones."""

    def below(parent: str | None, depth: int) -> Iterator[str]:
        branch = 0
        for node in drawn.nodes:
            if node.parent != parent:
                continue
            if node.branch != branch:
                branch = node.branch
                yield f"{'  ' * depth}--"
            yield from _state(node, drawn, depth)
            yield from below(node.id, depth + 2)

    yield from below(None, 0)


def _state(node: Node, drawn: Graph, depth: int) -> Iterator[str]:
    indent = "  " * depth
    leaving = [edge for edge in drawn.edges if edge.source == node.id]
    plain = [edge for edge in leaving if edge.kind == "next"]
    arrow = f" -> {_name(plain[0], drawn)}" if plain else " (end)" if node.end else ""
    yield f"{indent}{'> ' if node.start else '  '}{node.name}  {node.kind}{arrow}"
    for edge in leaving:
        if edge.kind != "next":
            label = edge.label if edge.kind != "catch" else f"on {edge.label}"
            yield f"{indent}      {label} -> {_name(edge, drawn)}"


def _name(edge: Edge, drawn: Graph) -> str:
    return next(node.name for node in drawn.nodes if node.id == edge.target)


def _mermaid(drawn: Graph) -> Iterator[str]:
    """A flowchart: Maps and Parallels are boxes around their states."""
    ids = {node.id: f"s{number}" for number, node in enumerate(drawn.nodes)}
    inside = {node.parent for node in drawn.nodes}

    def below(parent: str | None, indent: str) -> Iterator[str]:
        for node in drawn.nodes:
            if node.parent != parent:
                continue
            title = _quoted(node.name)
            if node.id in inside:
                yield f'{indent}subgraph {ids[node.id]}["{title} ({node.kind})"]'
                yield from below(node.id, indent + "  ")
                yield f"{indent}end"
            elif node.kind == "Choice":
                yield f'{indent}{ids[node.id]}{{"{title}"}}'
            else:
                yield f'{indent}{ids[node.id]}["{title}"]'

    yield "flowchart TD"
    yield from below(None, "  ")
    for edge in drawn.edges:
        label = f'|"{_quoted(edge.label)}"|' if edge.label else ""
        arrow = "-.->" if edge.kind == "catch" else "-->"
        yield f"  {ids[edge.source]} {arrow}{label} {ids[edge.target]}"


def _quoted(text: str) -> str:
    """Text within quotes of a diagram: Mermaid writes special characters as entities."""
    return "".join(f"#{ord(c)};" if c in '"#<>&|[]{}()' else c for c in text).replace("\n", " ")
