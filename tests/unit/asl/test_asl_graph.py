"""Walking and drawing."""

from __future__ import annotations

from millpond import asl
from millpond.asl import graph

INNER = asl.Machine(start_at="Copy", states={"Copy": asl.Pass(comment="pipeline.py:9")})
MACHINE = asl.Machine(
    start_at="Each",
    states={
        "Each": asl.Map(processor=INNER, next="Pick", catch=(asl.Catcher(error_equals=("States.ALL",), next="No"),)),
        "Pick": asl.Choice(rules=(asl.Rule(next="Each", condition="{% true %}"),), default="No"),
        "No": asl.Fail(),
    },
)


def test_walk_meets_nested_states_with_their_places() -> None:
    assert [(visit.place, visit.depth) for visit in graph.walk(MACHINE)] == [
        (("States", "Each"), 0),
        (("States", "Each", "ItemProcessor", "States", "Copy"), 1),
        (("States", "Pick"), 0),
        (("States", "No"), 0),
    ]


def test_nodes_and_edges() -> None:
    drawn = graph.graph(MACHINE)
    assert [(node.id, node.kind, node.parent, node.start) for node in drawn.nodes] == [
        ("Each", "Map", None, True),
        ("Each/0/Copy", "Pass", "Each", True),
        ("Pick", "Choice", None, False),
        ("No", "Fail", None, False),
    ]
    assert {(edge.source, edge.target, edge.kind, edge.label) for edge in drawn.edges} == {
        ("Each", "Pick", "next", ""),
        ("Each", "No", "catch", "States.ALL"),
        ("Pick", "Each", "choice", "{% true %}"),
        ("Pick", "No", "default", "default"),
    }


def test_comments_give_the_source_line() -> None:
    assert graph.comments(MACHINE) == {"Copy": "pipeline.py:9"}
