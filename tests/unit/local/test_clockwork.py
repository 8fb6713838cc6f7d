"""The clockwork: one thread for all rounds, only while one waits."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from millpond.local.clockwork import Clockwork
from millpond.local.service import Clock


class Set(Clock):
    """A clock that a test sets."""

    at = 1000.0

    def now(self) -> float:
        return self.at


def test_rounds_are_asked_when_they_wish_and_when_woken() -> None:
    clockwork, asked, idle = Clockwork(Clock), threading.Semaphore(0), threading.Event()
    waits: list[float | None] = [0.0, 3600.0, None]

    def busy() -> float | None:
        asked.release()
        return waits.pop(0)

    def broken() -> float | None:
        idle.set()
        raise OSError("the disk is full")

    clockwork.serve("busy", busy)
    assert asked.acquire(timeout=60) and asked.acquire(timeout=60)  # at once, and after no wait
    thread = clockwork._thread
    assert thread is not None
    clockwork.serve("broken", broken)  # what fails is asked again, and ends nobody
    assert idle.wait(60)
    clockwork.wake("busy")
    assert asked.acquire(timeout=60)
    idle.clear()
    assert idle.wait(60) and clockwork._thread is thread
    clockwork.wake("nobody")
    clockwork.stop()
    assert not thread.is_alive() and clockwork._thread is None
    clockwork.wake("busy")
    assert clockwork._thread is None and not asked.acquire(blocking=False)


def test_without_a_moment_to_wait_for_there_is_no_thread() -> None:
    clockwork, asked = Clockwork(Clock), threading.Semaphore(0)

    def nothing() -> None:
        asked.release()

    for _ in range(2):  # served, then woken
        clockwork.serve("nothing", nothing) if not clockwork._wheels else clockwork.wake("nothing")
        thread = clockwork._thread
        assert asked.acquire(timeout=60)
        if thread is not None:
            thread.join(60)
        assert clockwork._thread is None
    clockwork.stop()


def test_time_passes_as_fast_as_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monotonic = 5.0
    monkeypatch.setattr("millpond.local.clockwork.time", SimpleNamespace(monotonic=lambda: monotonic))
    clock = Set()
    clockwork = Clockwork(lambda: clock)
    assert clockwork.now() == 1000.0
    clock.at, monotonic = 1010.0, 15.0
    assert (clockwork.now(), clockwork.until(1030.0), clockwork.until(5.0)) == (1010.0, 20.0, 0.0)
    clock.scale = 60.0  # counts from here on
    clock.at, monotonic = 1011.0, 16.0
    assert clockwork.now() == 1070.0
    assert clockwork.until(1130.0) == 1.0
    clock.at = 500.0  # set back: schedules follow it, what was gained stays
    assert clockwork.now() == 559.0
