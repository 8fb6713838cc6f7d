"""Where runtimes are, when one counts as installed, and how a failed installation looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond import runtime


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLPOND_RUNTIMES", str(tmp_path))
    return tmp_path


def installed(root: Path, pins: str) -> Path:
    folder = root / "glue-5.1"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / runtime.MARKER).write_text(json.dumps({"pins": pins, "seconds": 1.0, "size": 2}))
    return folder


def test_only_a_complete_one_with_these_pins_counts(root: Path) -> None:
    assert runtime.find("5.1") is None
    folder = installed(root, runtime._digest("5.1"))
    found = runtime.find("5.1")
    assert found and found.folder == folder and found.size == 2
    assert runtime.install("5.1", pytest.fail) == found  # nothing to do, nothing to say
    (folder / runtime.MARKER).write_text(json.dumps({"pins": "older", "seconds": 1.0, "size": 2}))
    assert runtime.find("5.1") is None
    (folder / runtime.MARKER).write_text("{")
    assert runtime.find("5.1") is None


def test_an_unknown_version(root: Path) -> None:
    with pytest.raises(runtime.RuntimeMissing, match=r"no Glue runtime 7\.0"):
        runtime.install("7.0", print)


def test_a_failed_installation_says_why_and_leaves_nothing_that_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_interpreter", lambda version, report: "/nowhere/python")
    with pytest.raises((runtime.RuntimeMissing, FileNotFoundError)):
        runtime.install("5.1", lambda line: None)
    assert runtime.find("5.1") is None


def test_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MILLPOND_RUNTIMES", raising=False)
    monkeypatch.setattr("sys.prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert runtime.root() == tmp_path / "cache" / "millpond" / "runtimes"
    (tmp_path / "src" / "millpond").mkdir(parents=True)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    assert runtime.root() == tmp_path / ".runtime"
