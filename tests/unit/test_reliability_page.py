"""docs/reliability.md says what the tests measured, and names no row without a test."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "docs" / "generate_reliability.py"


@pytest.fixture
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("generate_reliability", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_row_of_the_page_has_a_test() -> None:
    rows = re.findall(r"^\| ([RST]\d+) \|", (REPOSITORY / "docs" / "reliability.md").read_text("utf-8"), re.M)
    assert len(rows) >= 12
    for row in rows:
        tests = list((REPOSITORY / "tests" / "reliability").glob(f"test_{row[0].lower()}{int(row[1:]):02}_*.py"))
        assert tests, f"{row} has no test file"


def test_a_failure_is_shown(generator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        '{"row": "R1", "test": "t", "outcome": "passed", "profile": "ci", "cores": 2, "figures": {"lost": 0}}',
        '{"row": "R1", "test": "t", "outcome": "failed", "profile": "ci", "cores": 2, "figures": {"lost": 3}}',
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(generator, "RESULTS", tmp_path / "r.jsonl")
    assert "| failed: t | lost 3 |" in generator.page()
