"""AWS's cron expressions."""

from __future__ import annotations

import datetime as dt

import pytest

from millpond.local.glue.schedule import ScheduleError, parse

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
