"""The bookmark file: atomic, once a run, never moved by a run that began with another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from awsglue import _bookmark, _run
from awsglue._bookmark import ENABLED, PAUSED, Bookmark, BookmarkError


def run(file: Path, run_id: str, option: str = ENABLED, since: str | None = None, until: str | None = None) -> Bookmark:
    return Bookmark(option, file, run_id, since, until)


def saved(file: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(file.read_text())
    return found


def test_nothing_is_saved_before_the_commit(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    run(file, "r1").note("orders", {"values": ["1"]})
    assert not file.exists()


def test_a_commit_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    one = run(file, "r1")
    one.note("orders", {"values": ["1"]})
    one.commit("job")
    one.note("items", {"values": ["7"]})
    one.commit("job")
    found = saved(file)
    assert (found["version"], found["run"], found["run_id"]) == (1, 1, "r1")
    assert found["state"] == {"orders": {"values": ["1"]}, "items": {"values": ["7"]}}
    two = run(file, "r2")
    assert two.marks("orders") == ({"values": ["1"]}, None)
    two.commit("job")
    assert (saved(file)["version"], saved(file)["previous_run_id"]) == (2, "r1")
    assert saved(file)["state"] == found["state"]  # what a run does not read stays


def test_the_second_of_two_runs_cannot_commit(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    one, two = run(file, "r1"), run(file, "r2")
    one.commit("job")
    before = file.read_bytes()
    with pytest.raises(BookmarkError, match="GLUE_JOB_BOOKMARK_VERSION_MISMATCH_ERROR"):
        two.commit("job")
    assert file.read_bytes() == before


def test_a_pause_saves_nothing_and_reads_a_range(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    for number in (1, 2, 3):
        one = run(file, f"r{number}")
        one.note("orders", {"high": number})
        one.commit("job")
    before = file.read_bytes()
    paused = run(file, "r4", PAUSED, "r1", "r2")
    assert paused.marks("orders") == ({"high": 1}, {"high": 2})
    paused.note("orders", {"high": 9})
    paused.commit("job")
    assert file.read_bytes() == before
    assert run(file, "r4", PAUSED).marks("orders") == ({"high": 3}, None)
    with pytest.raises(BookmarkError, match="r9"):
        run(file, "r4", PAUSED, "r1", "r9")


def test_history_knows_where_each_run_began(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    for number in (1, 2):
        one = run(file, f"r{number}")
        one.note("orders", {"high": number})
        one.commit("job")
    history = saved(file)["history"]
    assert isinstance(history, list)
    assert [(h["run_id"], h["before"]) for h in history] == [("r1", {}), ("r2", {"orders": {"high": 1}})]


def test_a_source_without_context_is_not_tracked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_run, "_warned", set())
    monkeypatch.setattr(_bookmark, "_current", run(tmp_path / "b.json", "r1"))
    assert _bookmark.tracking("") is None and "transformation_ctx" in capsys.readouterr().err
    assert _bookmark.tracking("orders") is not None
    monkeypatch.setattr(_bookmark, "_current", None)
    assert _bookmark.tracking("orders") is None
