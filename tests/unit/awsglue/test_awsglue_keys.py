"""Bookmarks on databases, run by run: what is read and what is warned of. The database is SQLite; no Spark."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from awsglue import _bookmark, _keys, _run
from awsglue._bookmark import ENABLED, PAUSED, Bookmark, BookmarkError
from awsglue._dialects import DIALECTS

LITE = DIALECTS["sqlite"]


class Lake:
    """A table and a bookmark; a run reads what its bookmark selects, and commits."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.db, self.file, self.monkeypatch = sqlite3.connect(":memory:"), folder / "b.json", monkeypatch
        self.runs = 0

    def add(self, *rows: Any, table: str = "t") -> None:
        for row in rows:
            self.db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    def run(
        self, *keys: str, option: str = ENABLED, commit: bool = True, source: str = '"t"', **more: Any
    ) -> list[Any]:
        """The first column of the rows that a run reads, ordered."""
        self.runs += 1
        bookmark = Bookmark(option, self.file, f"r{self.runs}", more.pop("since", None), more.pop("until", None))
        self.monkeypatch.setattr(_bookmark, "_current", bookmark)
        options = {"jobBookmarkKeys": list(keys), **more}
        conditions = _keys.Keys(self.db, LITE, source, options).conditions("ctx")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        found = sorted(row[0] for row in self.db.execute(f"SELECT * FROM {source}{where}"))
        if commit:
            bookmark.commit("job")
        return found


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(_run, "_warned", set())
    return Lake(tmp_path, monkeypatch)


def test_new_rows_once_and_only_after_a_commit(lake: Lake) -> None:
    lake.db.execute("CREATE TABLE t (id INT, v TEXT)")
    assert lake.run("id") == []  # an empty table moves nothing
    lake.add((1, "a"), (99999, "b"), (200000, "c"))
    assert lake.run("id", commit=False) == [1, 99999, 200000]
    assert lake.run("id") == [1, 99999, 200000] and lake.run("id") == []
    lake.add((200001, "d"))
    lake.db.execute("UPDATE t SET v = 'z' WHERE id = 1")
    assert lake.run("id") == [200001]


def test_keys_that_fall(lake: Lake) -> None:
    lake.db.execute("CREATE TABLE t (id INT)")
    lake.add((-1,), (-2,))
    assert lake.run("id", jobBookmarkKeysSortOrder="desc") == [-2, -1]
    lake.add((-3,), (-10,))
    assert lake.run("id", jobBookmarksKeysSortOrder="DESC") == [-10, -3]
    with pytest.raises(ValueError, match="must be asc or desc"):
        lake.run("id", jobBookmarkKeysSortOrder="up")


def test_a_compound_key(lake: Lake) -> None:
    lake.db.execute("CREATE TABLE t (n INT, day TEXT, seq INT)")
    lake.add((1, "2024-01-01", 9), (2, "2024-01-02", 1))
    assert lake.run("day", "seq") == [1, 2]
    lake.add((3, "2024-01-02", 2), (4, "2024-01-10", 0))
    assert lake.run("day", "seq") == [3, 4]
    with pytest.raises(BookmarkError, match=r"kept with keys \['day', 'seq'\], not \['day'\]: reset it"):
        lake.run("day")


@pytest.mark.parametrize(
    "table, rows, tracked",
    [
        ("id INTEGER PRIMARY KEY", [(1,), (2,), (3,)], True),
        ("id INTEGER PRIMARY KEY", [(1,), (2,), (4,)], False),
        ("id TEXT PRIMARY KEY", [("1",), ("2",)], False),
        ("id INT", [(1,), (2,)], False),
        ("id INT, n INT, PRIMARY KEY (id, n)", [(1, 1), (2, 1)], False),
    ],
)
def test_the_default_key(
    lake: Lake, capsys: pytest.CaptureFixture[str], table: str, rows: list[Any], tracked: bool
) -> None:
    lake.db.execute(f"CREATE TABLE t ({table})")
    lake.add(*rows)
    first = lake.run()
    assert first == [row[0] for row in rows] and lake.run() == ([] if tracked else first)
    assert ("read whole" in capsys.readouterr().err) is not tracked


def test_a_query_and_a_text_key(lake: Lake) -> None:
    lake.db.execute("CREATE TABLE t (id TEXT)")
    lake.add(("a'1",), ("b",))
    query = "(SELECT id FROM t WHERE id <> 'z') AS source"
    assert lake.run("id", source=query) == ["a'1", "b"]
    lake.add(("c",), ("z",))
    assert lake.run("id", source=query) == ["c"]


def test_rows_behind_the_bookmark_are_warned_of(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    lake.db.execute("CREATE TABLE t (id INT)")
    lake.add((1,), (5,))
    lake.run("id")
    assert "updates and deletes are not seen" in capsys.readouterr().out
    lake.add((2,), (3,), (6,), (None,))
    assert lake.run("id") == [6]
    said = capsys.readouterr().err
    assert "2 rows came behind the bookmark" in said and "not strictly monotonic" in said
    assert "1 rows without a key (id) are never read" in said
    assert lake.run("id") == [] and "behind" not in capsys.readouterr().err  # said once


def test_a_pause_reads_a_range_and_moves_nothing(lake: Lake) -> None:
    lake.db.execute("CREATE TABLE t (id INT)")
    for number in (1, 2, 3, 4):
        lake.add((number,))
        lake.run("id")
    before = lake.file.read_bytes()
    assert lake.run("id", option=PAUSED, since="r1", until="r3") == [2, 3]  # from exclusive, to inclusive
    lake.add((5,))
    assert lake.run("id", option=PAUSED) == [5] and lake.run("id", option=PAUSED) == [5]
    assert lake.file.read_bytes() == before and lake.run("id") == [5]
