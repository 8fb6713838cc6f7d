"""Schedules of rules: `rate(5 minutes)` and `cron(0 12 * * ? *)`, in UTC (AWS, "Setting a schedule pattern")."""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass

from millpond.local.glue.schedule import Cron, ScheduleError, parse
from millpond.local.service import AwsError

UNITS = {"minute": 60, "hour": 3600, "day": 86_400}  # seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a rule is due: every `seconds`, or by `cron`."""

    seconds: int = 0
    cron: Cron | None = None

    def after(self, since: float) -> float | None:
        """The first time after `since` (seconds since the epoch); None: never."""
        if self.cron is None:
            return since + self.seconds
        # A moment inside a minute that is due is after it: `Cron.after` begins with the next minute.
        moment = self.cron.after(dt.datetime.fromtimestamp(math.floor(since), dt.UTC))
        return moment.timestamp() if moment else None


def read_schedule(text: str) -> Schedule:
    """A schedule. ValidationException."""
    if match := re.fullmatch(r"rate\(([1-9][0-9]{0,8}) (minute|hour|day)(s?)\)", text.strip()):
        if (match[1] == "1") == (match[3] == ""):  # "rate(1 minute)", "rate(5 minutes)"
            return Schedule(int(match[1]) * UNITS[match[2]])
    else:
        try:
            return Schedule(cron=parse(text))
        except ScheduleError:
            pass
    raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.")
