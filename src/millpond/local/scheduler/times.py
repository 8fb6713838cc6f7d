"""When a schedule is due: `at(...)`, `rate(...)`, `cron(...)` in a time zone, between two dates.

AWS, "Schedule types in EventBridge Scheduler": a rate begins at once or at StartDate; a cron time that the clocks skip
in spring is skipped, one that they repeat in autumn comes once; a day of a rate is 24 hours; StartDate and EndDate mean
nothing to a one-time schedule. Everything here is seconds since the epoch. Pure.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from millpond.local.schedules import Cron, Rate, ScheduleError, read
from millpond.local.service import AwsError

PRECISION = 60.0  # seconds: a time is good for the whole minute
MACHINES = ("localtime", "posix", "posixrules", "right", "Factory")  # the machine's files that are no IANA zones
AT = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")


@dataclass(frozen=True, slots=True)
class Once:
    """A one-time schedule's `moment`."""

    moment: float


@dataclass(frozen=True, slots=True)
class Times:
    """See the module's docstring."""

    expression: Once | Cron | Rate
    zone: dt.tzinfo
    start: float = 0.0
    end: float = math.inf

    def first(self, now: float) -> float:
        """The `since` of a schedule that is made `now`."""
        match self.expression:
            case Once():
                return now - PRECISION
            case Rate(seconds):
                return (self.start or now) - seconds
            case Cron():
                return max(now, self.start - 1)

    def resumed(self, since: float, now: float) -> float:
        """The `since` of a schedule that was not watched from `since` to `now`: what passed is not made up for. A
        `since` that is later (a time scale had gained on the clock, or it was set back) begins anew."""
        match self.expression:
            case Once():
                return since
            case Rate(seconds) if now > since + seconds + PRECISION:
                return since + (now - since) // seconds * seconds
            case Rate():
                return min(since, now)
            case Cron():
                return max(min(since, now), now - PRECISION)

    def following(self, since: float) -> float | None:
        """The first time after `since`; None: there is none."""
        match self.expression:
            case Once(moment):
                return moment if moment > since else None
            case Rate():
                found: float | None = self.expression.following(since)
            case Cron():
                found = self._by_cron(since)
        return found if found is not None and found < self.end else None

    @property
    def ends(self) -> bool:
        """Whether there is a last time, after which ActionAfterCompletion applies."""
        return isinstance(self.expression, Once) or self.end < math.inf

    def _by_cron(self, since: float) -> float | None:
        assert isinstance(self.expression, Cron)
        begin = dt.datetime.fromtimestamp(math.floor(since), self.zone).replace(tzinfo=dt.UTC)
        shown = self.expression.after(begin)
        while shown is not None:
            moment = shown.replace(tzinfo=self.zone)
            there = moment.astimezone(dt.UTC).astimezone(self.zone)
            if there.replace(tzinfo=None) == moment.replace(tzinfo=None) and moment.timestamp() > since:
                return moment.timestamp()
            shown = self.expression.after(shown)
        return None


def read_times(schedule: Mapping[str, Any]) -> Times:
    """The times of a schedule's members. ValidationException."""
    text, named = schedule["ScheduleExpression"], schedule.get("ScheduleExpressionTimezone") or "UTC"
    try:
        if named.partition("/")[0] in MACHINES:
            raise ValueError(named)
        zone: dt.tzinfo = dt.UTC if named == "UTC" else ZoneInfo(named)
    except (ValueError, OSError, LookupError):  # ZoneInfoNotFoundError is a LookupError
        raise AwsError("ValidationException", f"Invalid ScheduleExpressionTimezone {named}.") from None
    try:
        expression = _once(text, zone) if text.startswith("at(") else read(text)
    except (ScheduleError, ValueError, OverflowError):
        raise AwsError("ValidationException", f"Invalid Schedule Expression {text}.") from None
    return Times(expression, zone, schedule.get("StartDate") or 0.0, schedule.get("EndDate") or math.inf)


def _once(text: str, zone: dt.tzinfo) -> Once:
    match = AT.fullmatch(text.strip())
    if match is None:
        raise ScheduleError(f"'{text}' is not at(yyyy-mm-ddThh:mm:ss)")
    return Once(dt.datetime.fromisoformat(match[1]).replace(tzinfo=zone).timestamp())
