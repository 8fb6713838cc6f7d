"""R9: somebody sets the clock. No wait fires early, what is overdue fires once, timestamps never decrease."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from soundness import check_history, seen

from millpond.asl import from_json
from millpond.engine import Engine, TaskCall, Token
from millpond.local import states as room
from millpond.local.server import Server
from millpond.testing import FakeClock, MemoryStore
from millpond.testing.simulation import start_of

HOUR, DAY = 3600.0, 86_400.0
TASK = "arn:aws:states:::glue:startJobRun.sync"
WAIT = {"W": {"Type": "Wait", "Seconds": 600, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
TIMEOUT = {"T": {"Type": "Task", "Resource": TASK, "TimeoutSeconds": 600, "End": True}}
HEARTBEAT = {"T": {"Type": "Task", "Resource": TASK, "TimeoutSeconds": 9000, "HeartbeatSeconds": 600, "End": True}}
RETRY = {
    "T": {
        "Type": "Task",
        "Resource": TASK,
        "Retry": [{"ErrorEquals": ["Boom"], "IntervalSeconds": 600, "MaxAttempts": 1}],
        "End": True,
    }
}
CASES = {"wait": WAIT, "timeout": TIMEOUT, "heartbeat": HEARTBEAT, "retry": RETRY}


class Silent:
    """Tasks that never answer, but for the first call of a Retry, which fails at once."""

    def __init__(self, *, fails: bool) -> None:
        self.fails, self.starts = fails, Counter[Token]()
        self.engine: Engine

    def start(self, call: TaskCall, token: Token) -> None:
        self.starts[token] += 1
        if self.fails:
            if call.attempt == 0:
                self.engine.task_failed(token, "Boom")
            else:
                self.engine.task_succeeded(token, 1)

    def resume(self, call: TaskCall, token: Token) -> None:
        pass

    def stop(self, token: Token) -> None:
        pass


class Bench:
    def __init__(self, states: dict[str, Any], *, fails: bool = False, now: float = 1_764_000_000.0) -> None:
        self.clock, self.store, self.tasks = FakeClock(now), MemoryStore(), Silent(fails=fails)
        definition = {"StartAt": next(iter(states)), "States": states}
        self.start = start_of(from_json(definition), {}, "skew", self.clock.now(), True, False)
        self.engine = self.tasks.engine = Engine(self.clock, self.tasks, self.store)
        self.engine.start(self.start)
        self.engine.run_until_idle()

    def restart(self) -> None:
        self.engine = self.tasks.engine = Engine(self.clock, self.tasks, self.store)
        self.engine.restore(self.store.snapshot(self.start))
        self.engine.run_until_idle()

    def after(self, seconds: float) -> bool:
        """Has it ended, so many seconds later?"""
        self.clock.advance(seconds)
        self.engine.run_until_idle()
        return self.start.execution in self.store.ended

    def types(self) -> Counter[str]:
        events = self.store.events[self.start.execution]
        check_history(seen(events))
        return Counter(event.type for event in events)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jump", [-HOUR, HOUR, DAY], ids=["-1h", "+1h", "+1d"])
def test_r09(case: str, jump: float, figures: Callable[..., None]) -> None:
    """What is relative does not care: it ends 600 s after it began, not earlier and not later."""
    bench = Bench(CASES[case], fails=case == "retry")
    assert not bench.after(300)
    bench.clock.jump(jump)
    early = bench.after(299.9)
    assert not early, "fired early"
    assert bench.after(0.2)
    types = bench.types()
    fired = {"wait": "WaitStateExited", "retry": "TaskSucceeded"}.get(case, "TaskTimedOut")
    figures(early=int(early), fired=types[fired])
    assert types[fired] == 1
    bench.after(2 * DAY)
    assert bench.types() == types, "fired again"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("away", [0.0, 400.0, DAY], ids=["at-once", "400s", "+1d"])
def test_r09_restart(case: str, away: float) -> None:
    """After a restart: what is left of its time; what is overdue fires, once."""
    bench = Bench(CASES[case], fails=case == "retry")
    assert not bench.after(300)
    bench.clock.advance(away)
    bench.restart()
    if away < 300:
        assert bench.start.execution not in bench.store.ended
        assert not bench.after(299.9 - away)
        assert bench.after(0.2)
    else:
        overdue_task = case in ("timeout", "heartbeat")  # it may have an outcome to tell, see engine.run.RESUME_SECONDS
        assert bench.after(2.001 if overdue_task else 0.001)
    types = bench.types()
    assert types["WaitStateExited"] + types["TaskTimedOut"] + types["TaskSucceeded"] == 1


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_r09_restart_in_another_hour(jump: float) -> None:
    """The clock was set while the endpoint was away: a wait ends by the wall time that it was to end at, once."""
    bench = Bench(WAIT)
    bench.clock.jump(jump)
    bench.restart()
    assert bench.after(0.001) == (jump > 0)
    assert jump > 0 or bench.after(HOUR + 600)
    assert bench.types()["WaitStateExited"] == 1


def test_r09_until_a_wall_time() -> None:
    at = 1_764_000_000.0 + HOUR
    text = datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
    states = {"W": {"Type": "Wait", "Timestamp": text, "End": True}}
    early, late = Bench(states), Bench(states)
    early.clock.jump(HOUR + 1)
    assert early.after(0.001)
    late.clock.jump(-HOUR)
    assert not late.after(HOUR + 1), "fired an hour early"
    assert late.after(HOUR)
    assert early.types()["WaitStateExited"] == late.types()["WaitStateExited"] == 1


def test_r09_daylight_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The night in which Berlin's clocks go from 2 to 3: epoch seconds know nothing of it."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        night = datetime(2026, 3, 29, 0, 55, tzinfo=UTC).timestamp()
        for states in (WAIT, {"W": {"Type": "Wait", "Timestamp": "2026-03-29T03:05:00+02:00", "End": True}}):
            bench = Bench(states, now=night)
            assert not bench.after(599)
            assert bench.after(2)
            assert bench.types()["WaitStateExited"] == 1
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / ".millpond")
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    assert made.ready.wait(120)
    yield made
    made.stop()
    thread.join(30)


def test_r09_the_endpoint_notices_a_clock_that_is_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loop sleeps; nobody wakes it when the wall clock is set."""
    sfn = server.endpoint.client("stepfunctions")
    text = datetime.fromtimestamp(time.time() + HOUR, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    definition = f'{{"StartAt": "W", "States": {{"W": {{"Type": "Wait", "Timestamp": "{text}", "End": true}}}}}}'
    machine = sfn.create_state_machine(name="m", definition=definition, roleArn="arn:aws:iam::000000000000:role/r")
    execution = sfn.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    time.sleep(0.5)
    assert sfn.describe_execution(executionArn=execution)["status"] == "RUNNING"
    monkeypatch.setattr(room.RealClock, "now", lambda self: time.time() + HOUR + 1)
    deadline = time.monotonic() + 120
    while sfn.describe_execution(executionArn=execution)["status"] == "RUNNING":
        assert time.monotonic() < deadline, "it sleeps on"
        time.sleep(0.05)
