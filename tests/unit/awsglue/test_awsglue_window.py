"""Which files are new: the table of the specification (4.3)."""

from __future__ import annotations

import pytest

from awsglue._window import File, bounded, excluded, fresh

BAND = 900


def names(files: list[File]) -> list[str]:
    return [one.uri for one in files]


def test_the_first_run_reads_all_up_to_its_start() -> None:
    files = [File("old", 10), File("late", 9_500), File("after", 10_001)]
    chosen, marks = fresh(files, {}, 10_000, BAND)
    assert names(chosen) == ["old", "late"]
    assert marks == {"kind": "s3", "low": 0, "high": 10_000, "band": [["late", 9_500]]}


def test_the_next_run_reads_what_came_since_and_what_was_late() -> None:
    _, marks = fresh([File("old", 10), File("seen", 9_500)], {}, 10_000, BAND)
    files = [File("old", 10), File("seen", 9_500), File("unseen", 9_600), File("new", 11_000), File("younger", 30_000)]
    chosen, marks = fresh(files, marks, 20_000, BAND)
    assert names(chosen) == ["unseen", "new"]
    assert marks["low"] == 10_000 and marks["high"] == 20_000 and marks["band"] == []
    chosen, _ = fresh(files, marks, 30_000, BAND)
    assert names(chosen) == ["younger"]


def test_a_late_file_outside_the_band_is_missed_as_on_aws() -> None:
    assert fresh([File("too late", 9_100)], {"high": 10_000}, 20_000, BAND)[0] == []


def test_a_rewritten_file_is_read_again() -> None:
    _, marks = fresh([File("a", 9_500)], {}, 10_000, BAND)
    assert names(fresh([File("a", 9_800)], marks, 10_100, BAND)[0]) == ["a"]


def test_what_is_in_the_band_of_two_runs_is_read_once() -> None:
    _, marks = fresh([File("a", 9_900)], {}, 10_000, BAND)
    for until in (10_100, 10_200, 10_700):
        chosen, marks = fresh([File("a", 9_900)], marks, until, BAND)
        assert chosen == []


def test_too_many_files_in_the_band_wait() -> None:
    files = [File(f"f{n}", 9_900 + n) for n in range(5)]
    chosen, marks = fresh(files, {}, 10_000, BAND, most=3)
    assert names(chosen) == ["f0", "f1", "f2"]
    chosen, _ = fresh(files, marks, 12_000, BAND, most=3)
    assert names(chosen) == ["f3", "f4"]


def test_bounds_leave_the_rest_to_the_next_run() -> None:
    files = [File("a", 100, 5), File("b", 9_500, 5), File("c", 9_500, 5), File("d", 9_900, 5)]
    low: dict[str, object] = {}
    seen = []
    for until in (10_000, 10_100, 10_200, 10_300):
        chosen, low = fresh(files, low, until, BAND)
        seen.append(names(bounded(chosen, low, BAND, 2, 0)))
    assert seen == [["a", "b"], ["c", "d"], [], []]
    chosen, low = fresh(files, {}, 10_000, BAND)
    assert names(bounded(chosen, low, BAND, 0, 12)) == ["a", "b"]
    assert names(bounded(chosen, low, BAND, 0, 1)) == ["a"]  # at least one


@pytest.mark.parametrize(
    "pattern, out",
    [
        ("**.pdf", ["a.pdf", "d/b.pdf"]),
        ("*.pdf", ["a.pdf", "d/b.pdf"]),
        ("s3://b/p/d/**", ["d/b.pdf", "d/c.csv"]),
        ("d/?.{csv,json}", ["d/c.csv"]),
        ("[!a].pdf", ["d/b.pdf"]),
        ("**/c*", ["d/c.csv"]),
    ],
)
def test_exclusions(pattern: str, out: list[str]) -> None:
    keys = ["a.pdf", "d/b.pdf", "d/c.csv"]
    assert [key for key in keys if excluded(f"s3://b/p/{key}", [pattern])] == out
