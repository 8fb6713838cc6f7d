"""The rows of docs/reliability.md: one test file each, named after its id, and what they measured.

A test says its figures with `figures(kills=25, ...)`. With MILLPOND_RELIABILITY_RESULTS=FILE each row's tests, their
outcome and figures are appended to FILE, a JSON line a test; `docs/generate_reliability.py` makes the page of them
(`make reliability` does both).
MILLPOND_RELIABILITY=full runs the whole profiles (25 kills, 10,000 programs, a million events), which take minutes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from soundness import Process

RESULTS = "MILLPOND_RELIABILITY_RESULTS"
_figures = pytest.StashKey[dict[str, Any]]()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`figures(kills=25)`: what the page shows of this test."""

    def say(**found: Any) -> None:
        request.node.stash.setdefault(_figures, {}).update(found)

    return say


@pytest.fixture(scope="session")
def full() -> bool:
    """Are the long profiles asked for?"""
    return os.environ.get("MILLPOND_RELIABILITY") == "full"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    file, row = os.environ.get(RESULTS), item.path.stem.split("_")[1]  # r01
    report = outcome.get_result()  # type: ignore[attr-defined]
    if file is None or (report.when != "call" and report.passed) or Path(__file__).parent not in item.path.parents:
        return
    line = {
        "row": f"{row[0].upper()}{int(row[1:])}",
        "test": item.name,
        "outcome": report.outcome,
        "profile": "full" if os.environ.get("MILLPOND_RELIABILITY") == "full" else "ci",
        "cores": os.cpu_count(),
        "seconds": round(report.duration, 1),
        "figures": item.stash.get(_figures, {}),
    }
    with open(file, "a") as results:
        results.write(json.dumps(line, ensure_ascii=False) + "\n")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """The endpoint as a process on a fresh state folder."""
    made = Process(tmp_path / ".millpond")
    yield made
    made.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One for all tests of a file, for those that do not kill it."""
    made = Process(tmp_path_factory.mktemp("shared") / ".millpond")
    yield made
    made.kill()
