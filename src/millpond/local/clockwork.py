"""The clockwork: one thread for all that waits for a moment (crawlers, triggers, statistics, rules, schedules).

A room gives it a `round`: a function that does what is due and returns how many seconds it can sleep until it is asked
again, or None when it need not be asked before something changes. `wake` has one asked at once. The thread lives only
while a round waits for a moment or is to be asked: an endpoint without schedules has none.

`now` is the time that schedules are held against: the endpoint's clock, with what a time scale has gained on it. The
machine's clock may be set, and stands still in the count of a sleeping thread while the machine itself sleeps: so the
thread looks at it again every `LONGEST_SLEEP` at the latest.

Rounds run one after the other: a round that waits for another one deadlocks, one that takes long is late for all. What
takes long (a crawl, a delivery) belongs on a thread of its room.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millpond.local.service import Clock

log = logging.getLogger(__name__)

Round = Callable[[], float | None]
LONGEST_SLEEP = 60.0  # seconds; schedules have a precision of a minute
PAUSE_SECONDS = 1.0  # after a round that failed


@dataclass(slots=True)
class _Wheel:
    round: Round
    due: float | None  # by the monotonic clock; None: when something changes
    failing: bool = False


class Clockwork:
    """See the module's docstring. `clock` gives the endpoint's clock."""

    def __init__(self, clock: Callable[[], Clock]) -> None:
        self._clock = clock
        self._wheels: dict[str, _Wheel] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._gained, self._seen = 0.0, time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, which pass as fast as the endpoint's clock says (`scale`)."""
        clock = self._clock()
        with self._changed:
            seen = time.monotonic()
            self._gained += (seen - self._seen) * (clock.scale - 1.0)
            self._seen = seen
            return clock.now() + self._gained

    def until(self, moment: float) -> float:
        """How many seconds to sleep really until a `moment` of `now`."""
        return max(0.0, self._clock().seconds(moment - self.now()))

    def serve(self, name: str, do: Round) -> None:
        """Ask a room's round from now on."""
        with self._changed:
            self._wheels[name] = _Wheel(do, None)
        self.wake(name)

    def wake(self, name: str) -> None:
        """Something has changed for a room: ask it at once."""
        with self._changed:
            wheel = self._wheels.get(name)
            if wheel is None or self._stopped:
                return
            wheel.due = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="clockwork", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        """End, after the round under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(10)

    def _run(self) -> None:
        while wheels := self._due():
            for wheel in wheels:
                if not self._stopped:
                    self._turn(wheel)

    def _due(self) -> list[_Wheel]:
        """Wait for what is due; nothing: there is nothing left to wait for, and the thread is no longer ours."""
        with self._changed:
            while not self._stopped:
                dues = [wheel.due for wheel in self._wheels.values() if wheel.due is not None]
                if not dues:
                    break
                now = time.monotonic()
                if found := [one for one in self._wheels.values() if one.due is not None and one.due <= now]:
                    for one in found:  # a wake from here on asks it once more
                        one.due = None
                    return found
                self._changed.wait(min(dues) - now)
            self._thread = None
            return []

    def _turn(self, wheel: _Wheel) -> None:
        try:
            wait, wheel.failing = wheel.round(), False
        except Exception:  # one round's trouble (a full disk) must end neither it nor the others
            if not wheel.failing and not self._stopped:
                log.exception("in a round of the clockwork")
            wait, wheel.failing = PAUSE_SECONDS, True
        if wait is not None:
            with self._changed:
                due = time.monotonic() + min(wait, LONGEST_SLEEP)
                wheel.due = due if wheel.due is None else min(wheel.due, due)
