"""AWS's cron and rate expressions, and which of several schedules are due."""

from __future__ import annotations

import datetime as dt

import pytest

from millpond.local.schedules import ScheduleError, Watch, parse, read

START = dt.datetime(2024, 2, 28, 10, 30, tzinfo=dt.UTC)  # a Wednesday, in a leap year


@pytest.mark.parametrize(
    "expression, expected",
    [
        ("cron(15 12 * * ? *)", "2024-02-28 12:15"),
        ("cron(30 10 * * ? *)", "2024-02-29 10:30"),  # later than now
        ("cron(0/15 * * * ? *)", "2024-02-28 10:45"),
        ("cron(0 8 ? * MON-FRI *)", "2024-02-29 08:00"),
        ("cron(0 8 ? * SUN *)", "2024-03-03 08:00"),
        ("cron(0 0 1 1 ? *)", "2025-01-01 00:00"),
        ("cron(0 0 L * ? *)", "2024-02-29 00:00"),
        ("cron(0 0 29 2 ? *)", "2024-02-29 00:00"),
        ("cron(0 0 ? * 6#1 *)", "2024-03-01 00:00"),
        ("cron(0 0 ? * 2L *)", "2024-03-25 00:00"),
        ("cron(0 0 2W 3 ? 2024)", "2024-03-01 00:00"),  # the 2nd is a Saturday
        ("cron(5,10 0 1 JAN,APR ? *)", "2024-04-01 00:05"),
    ],
)
def test_the_next_time(expression: str, expected: str) -> None:
    found = parse(expression).after(START)
    assert found is not None and f"{found:%Y-%m-%d %H:%M}" == expected


def test_a_year_that_is_over_never_comes() -> None:
    assert parse("cron(0 0 1 1 ? 2023)").after(START) is None


@pytest.mark.parametrize(
    "expression",
    [
        "every day",
        "cron(0 0 * * *)",
        "cron(0 0 * * * *)",
        "cron(0 0 ? * ? *)",
        "cron(60 0 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * FOO ? *)",
        "cron(5-1 0 * * ? *)",
        "cron(0/0 0 * * ? *)",
        "rate(5 minutes)",
    ],
)
def test_what_is_not_a_schedule(expression: str) -> None:
    with pytest.raises(ScheduleError):
        parse(expression)


@pytest.mark.parametrize(
    ("text", "since", "expected"),
    [
        ("rate(1 minute)", 100.5, 160.5),
        ("rate(2 hours)", 0.0, 7200.0),
        ("rate(1 day)", 0.0, 86_400.0),
        ("cron(0 12 * * ? *)", 0.0, 43_200.0),
        ("cron(0/5 * * * ? *)", 300.0, 600.0),
    ],
)
def test_rates_and_crons(text: str, since: float, expected: float) -> None:
    assert read(text).following(since) == expected


@pytest.mark.parametrize(
    "text", ["", "rate(1 minutes)", "rate(5 minute)", "rate(0 minutes)", "rate(1 week)", "cron(*)"]
)
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(ScheduleError):
        read(text)


def test_which_are_due() -> None:
    watch: Watch[str] = Watch()
    minutes, hours = parse("cron(* * * * ? *)").following, read("rate(1 hour)").following
    assert watch.due({"m": minutes, "h": hours}, 90.0) == ({}, 120.0)
    assert watch.due({"m": minutes, "h": hours}, 120.0) == ({"m": 120.0}, 180.0)
    assert watch.due({"m": minutes, "h": hours}, 120.5) == ({}, 180.0)  # once
    assert watch.due({"m": minutes, "h": hours}, 3700.0) == ({"m": 180.0, "h": 3690.0}, 3720.0)  # one for all missed
    assert watch.due({"h": hours, "new": minutes}, 3721.0) == ({}, 3780.0)  # what is new counts from now
    assert watch.due({"h": hours, "new": minutes}, 100.0) == ({}, 120.0)  # the clock was set back
    assert watch.due({"new": minutes}, 121.0) == ({"new": 120.0}, 180.0)
    assert watch.due({"new": parse("cron(0 0 1 1 ? 2000)").following}, 2e9) == ({}, None)
    assert watch.due({}, 0.0) == ({}, None)
