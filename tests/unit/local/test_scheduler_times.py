"""EventBridge Scheduler: when a schedule is due."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from millpond.local.scheduler.times import read_times
from millpond.local.service import AwsError


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


def shown(moment: float | None) -> str | None:
    return None if moment is None else dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("members", "now", "expected"),
    [
        ({"ScheduleExpression": "rate(5 minutes)"}, "2026-01-01T00:00:30",
         ["2026-01-01T00:00:30", "2026-01-01T00:05:30"]),
        ({"ScheduleExpression": "rate(1 day)", "StartDate": "2026-01-02T06:00:00"}, "2026-01-01T00:00:30",
         ["2026-01-02T06:00:00", "2026-01-03T06:00:00"]),
        ({"ScheduleExpression": "rate(1 hour)", "EndDate": "2026-01-01T01:30:00"}, "2026-01-01T00:00:00",
         ["2026-01-01T00:00:00", "2026-01-01T01:00:00", None]),
        ({"ScheduleExpression": "cron(0 8 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin"},
         "2026-03-28T00:00:00", ["2026-03-28T07:00:00", "2026-03-29T06:00:00"]),  # summer time begins
        ({"ScheduleExpression": "cron(30 2 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin"},
         "2026-03-28T00:00:00", ["2026-03-28T01:30:00", "2026-03-30T00:30:00"]),  # 2:30 is not there on the 29th
        ({"ScheduleExpression": "cron(30 2 * * ? *)", "ScheduleExpressionTimezone": "Europe/Berlin"},
         "2026-10-24T12:00:00", ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]),  # twice there on the 25th
        ({"ScheduleExpression": "cron(0 0 L * ? *)", "StartDate": "2026-02-28T00:00:00"}, "2026-01-01T00:00:00",
         ["2026-02-28T00:00:00", "2026-03-31T00:00:00"]),
        ({"ScheduleExpression": "at(2026-06-01T09:00:00)", "ScheduleExpressionTimezone": "America/New_York"},
         "2026-01-01T00:00:00", ["2026-06-01T13:00:00", None]),
        ({"ScheduleExpression": "at(2026-01-01T00:00:00)", "EndDate": "2025-01-01T00:00:00"}, "2026-01-01T00:00:40",
         ["2026-01-01T00:00:00", None]),  # good for the whole minute; dates mean nothing to it
        ({"ScheduleExpression": "at(2025-01-01T00:00:00)"}, "2026-01-01T00:00:00", [None]),
    ],
)  # fmt: skip
def test_the_times_of_a_schedule(members: dict[str, Any], now: str, expected: list[str | None]) -> None:
    dates = {name: at(members[name]) for name in ("StartDate", "EndDate") if name in members}
    times = read_times({**members, **dates})
    since, found = times.first(at(now)), []
    for _ in expected:
        moment = times.following(since)
        found.append(shown(moment))
        since = since if moment is None else moment
    assert found == expected


def test_what_passed_unwatched_is_not_made_up_for() -> None:
    rate = read_times({"ScheduleExpression": "rate(1 hour)"})
    assert rate.resumed(0.0, 10_000.0) == 7200.0 and rate.resumed(0.0, 3630.0) == 0.0
    assert rate.resumed(9000.0, 5000.0) == 5000.0  # it was seen by a faster clock
    cron = read_times({"ScheduleExpression": "cron(0 * * * ? *)"})
    assert cron.following(cron.resumed(90_000.0, 5000.0)) == 7200.0
    assert cron.following(cron.resumed(0.0, 10_000.0)) == 10_800.0
    assert cron.following(cron.resumed(0.0, 3630.0)) == 3600.0  # half a minute late
    once = read_times({"ScheduleExpression": "at(1970-01-01T00:10:00)"})
    assert once.following(once.resumed(0.0, 10_000.0)) == 600.0


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"ScheduleExpression": "every day"}, "Invalid Schedule Expression every day"),
        ({"ScheduleExpression": "at(2026-13-01T00:00:00)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "at(2026-01-01 00:00:00)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "rate(1 minutes)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "cron(0 0 * * * *)"}, "Invalid Schedule Expression"),
        ({"ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "Mars/Olympus"}, "Timezone Mars/Olympus"),
        ({"ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "../UTC"}, "Timezone"),
        ({"ScheduleExpression": "rate(1 day)", "ScheduleExpressionTimezone": "localtime"}, "Timezone"),
    ],
)
def test_what_is_no_schedule(members: dict[str, Any], words: str) -> None:
    with pytest.raises(AwsError, match=words) as caught:
        read_times(members)
    assert caught.value.code == "ValidationException"
