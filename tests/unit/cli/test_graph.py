"""`millpond graph`: a flow as text and as Mermaid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond.cli import run

FLOW = {
    "StartAt": "Begin",
    "States": {
        "Begin": {"Type": "Pass", "Next": "Good?"},
        "Good?": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericEquals": 1, "Next": "Each", "Comment": 'is "one"'}],
            "Default": "Done",
        },
        "Each": {
            "Type": "Map",
            "ItemProcessor": {"StartAt": "Copy", "States": {"Copy": {"Type": "Pass", "End": True}}},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Done"}],
            "Next": "Both",
        },
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Left", "States": {"Left": {"Type": "Pass", "End": True}}},
                {"StartAt": "Right", "States": {"Right": {"Type": "Pass", "End": True}}},
            ],
            "End": True,
        },
        "Done": {"Type": "Succeed"},
    },
}
TEXT = """\
> Begin  Pass -> Good?
  Good?  Choice
      is "one" -> Each
      default -> Done
  Each  Map -> Both
      on States.ALL -> Done
    > Copy  Pass (end)
  Both  Parallel (end)
    > Left  Pass (end)
    --
    > Right  Pass (end)
  Done  Succeed (end)
"""
MERMAID = """\
flowchart TD
  s0["Begin"]
  s1{"Good?"}
  subgraph s2["Each (Map)"]
    s3["Copy"]
  end
  subgraph s4["Both (Parallel)"]
    s5["Left"]
    s6["Right"]
  end
  s7["Done"]
  s0 --> s1
  s1 -->|"is #34;one#34;"| s2
  s1 -->|"default"| s7
  s2 --> s4
  s2 -.->|"States.ALL"| s7
"""


@pytest.mark.parametrize(("form", "drawn"), [("text", TEXT), ("mermaid", MERMAID)])
def test_a_file(form: str, drawn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flow.asl.json"
    path.write_text(json.dumps(FLOW))
    assert run(["graph", str(path), "--format", form]) == 0
    assert capsys.readouterr().out == drawn


def test_the_flow_of_a_project(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).resolve().parents[3] / "examples" / "customer_segmentation"
    assert run(["graph", "--project", str(example)]) == 0
    out = capsys.readouterr().out
    assert "  Join  Task -> Crawl mart\n      on States.ALL -> Explain" in out
    assert run(["graph", "nothing", "--project", str(example)]) == 2
    assert "The project declares: flow" in capsys.readouterr().err
