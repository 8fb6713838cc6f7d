"""AWS's schedules: `cron(minutes hours day-of-month month day-of-week year)` and `rate(5 minutes)`, in UTC (AWS docs).

`*`, `?`, lists, ranges, steps, names of months and days, `L`, `nW`, `n#k` and `nL` are read. Schedules have a precision
of a minute. `Watch` says which of several are due; the clockwork says when to look.

May import: nothing of ours.
"""

from __future__ import annotations

import calendar
import datetime as dt
import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

MONTHS = {name.upper(): n for n, name in enumerate(calendar.month_abbr) if name}
DAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
LAST_YEAR = 2199
UNITS = {"minute": 60, "hour": 3600, "day": 86_400}  # seconds
SET_BACK = 60.0  # seconds: a clock that goes back by more was set

Key = TypeVar("Key", bound=Hashable)
After = Callable[[float], float | None]
"""The first moment after another one, in seconds since the epoch; None: never."""


class ScheduleError(ValueError):
    """The expression is not valid; the message says which field."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule. `day_of_month` and `day_of_week` keep their text, which depends on the month."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day_of_month: str
    months: frozenset[int]
    day_of_week: str
    years: frozenset[int]

    def after(self, moment: dt.datetime) -> dt.datetime | None:
        """The first time after `moment` (UTC), or None when there is none within eight years."""
        start = moment.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
        for n in range(366 * 8):
            day = start.date() + dt.timedelta(days=n)
            if day.month not in self.months or day.year not in self.years or not self._on(day):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    found = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC)
                    if found >= start:
                        return found
        return None

    def following(self, since: float) -> float | None:
        """`after` in seconds since the epoch."""
        # A moment inside a minute that is due is after it: `after` begins with the next minute.
        moment = self.after(dt.datetime.fromtimestamp(math.floor(since), dt.UTC))
        return moment.timestamp() if moment else None

    def _on(self, day: dt.date) -> bool:
        if self.day_of_month != "?":
            return day.day in _days_of_month(self.day_of_month, day.year, day.month)
        return day.day in _days_of_week(self.day_of_week, day.year, day.month)


@dataclass(frozen=True, slots=True)
class Rate:
    """A schedule that is due every so many `seconds`."""

    seconds: int

    def following(self, since: float) -> float:
        """The first time after `since`, in seconds since the epoch."""
        return since + self.seconds


class Watch(Generic[Key]):
    """Which of several schedules are due. Each counts from when it was first seen: what is changed gets a new key."""

    def __init__(self) -> None:
        self._last: dict[Key, float] = {}

    def due(self, schedules: Mapping[Key, After], now: float) -> tuple[dict[Key, float], float | None]:
        """The schedules whose time has come, each with that time, and the first moment that is still to come. Times
        that passed together (the machine slept) are one."""
        last = {key: self._last.get(key, now) for key in schedules}
        found, coming = {}, []
        for key, after in schedules.items():
            if last[key] > now + SET_BACK:
                last[key] = now
            moment = after(last[key])
            if moment is not None and moment <= now:
                found[key] = last[key] = moment
                moment = after(moment)
                if moment is not None and moment <= now:
                    last[key] = now
                    moment = after(now)
            if moment is not None:
                coming.append(moment)
        self._last = last
        return found, min(coming, default=None)


def read(expression: str) -> Cron | Rate:
    """Read `cron(...)` or `rate(...)`. ScheduleError."""
    if not expression.strip().startswith("rate("):
        return parse(expression)
    match = re.fullmatch(r"rate\(([1-9][0-9]{0,8}) (minute|hour|day)(s?)\)", expression.strip())
    if match is None or (match[1] == "1") != (match[3] == ""):  # "rate(1 minute)", "rate(5 minutes)"
        raise ScheduleError(f"'{expression}' is not rate(value unit)")
    return Rate(int(match[1]) * UNITS[match[2]])


def parse(expression: str) -> Cron:
    """Read `cron(...)`. ScheduleError."""
    match = re.fullmatch(r"cron\((.*)\)", expression.strip(), re.DOTALL)
    fields = match[1].split() if match else []
    if len(fields) != 6:
        raise ScheduleError(f"'{expression}' is not cron(minutes hours day-of-month month day-of-week year)")
    minutes, hours, day_of_month, month, day_of_week, year = (text.upper() for text in fields)
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ScheduleError("exactly one of day-of-month and day-of-week must be ?")
    found = Cron(
        frozenset(_numbers(minutes, 0, 59, "minutes")),
        frozenset(_numbers(hours, 0, 23, "hours")),
        day_of_month,
        frozenset(_numbers(month, 1, 12, "month", MONTHS)),
        day_of_week,
        frozenset(_numbers(year, 1970, LAST_YEAR, "year")),
    )
    if day_of_month != "?":
        _days_of_month(day_of_month, 2024, 1)
    else:
        _days_of_week(day_of_week, 2024, 1)
    return found


def _numbers(text: str, low: int, high: int, field: str, names: dict[str, int] | None = None) -> Iterator[int]:
    for part in text.split(","):
        body, slash, step = part.partition("/")
        first, dash, last = body.partition("-")
        if body == "*":
            start, end = low, high
        else:
            start = _number(first, low, high, field, names)
            end = _number(last, low, high, field, names) if dash else high if slash else start
        width = _number(step, 1, high or 1, field, None) if slash else 1
        if end < start:
            raise ScheduleError(f"{field}: the range {body} runs backwards")
        yield from range(start, end + 1, width)


def _number(text: str, low: int, high: int, field: str, names: dict[str, int] | None) -> int:
    value = (names or {}).get(text)
    if value is None:
        if not re.fullmatch(r"\d{1,4}", text):
            raise ScheduleError(f"{field}: '{text}' is not a number")
        value = int(text)
    if not low <= value <= high:
        raise ScheduleError(f"{field}: {value} is not from {low} to {high}")
    return value


def _days_of_month(text: str, year: int, month: int) -> set[int]:
    last = calendar.monthrange(year, month)[1]
    if text == "L":
        return {last}
    if match := re.fullmatch(r"(\d{1,2})W", text):
        return {_weekday_near(year, month, min(int(match[1]), last))}
    return set(_numbers(text, 1, 31, "day-of-month"))


def _weekday_near(year: int, month: int, day: int) -> int:
    last = calendar.monthrange(year, month)[1]
    match dt.date(year, month, max(1, day)).weekday():
        case 5:
            return day - 1 if day > 1 else day + 2
        case 6:
            return day + 1 if day < last else day - 2
        case _:
            return day


def _days_of_week(text: str, year: int, month: int) -> set[int]:
    last = calendar.monthrange(year, month)[1]
    by_day: dict[int, list[int]] = {n: [] for n in range(1, 8)}
    for day in range(1, last + 1):
        by_day[(dt.date(year, month, day).weekday() + 1) % 7 + 1].append(day)
    if match := re.fullmatch(r"(\w+)#([1-5])", text):
        days = by_day[_number(match[1], 1, 7, "day-of-week", DAYS)]
        place = int(match[2])
        return set(days[place - 1 : place])
    if match := re.fullmatch(r"(\w+)?L", text):
        return {by_day[_number(match[1] or "7", 1, 7, "day-of-week", DAYS)][-1]}
    return {day for n in _numbers(text, 1, 7, "day-of-week", DAYS) for day in by_day[n]}
