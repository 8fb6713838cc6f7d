"""Quotas at their edges, what States.ALL does not handle, timeouts, stops, aborts, retry delays, clock jumps."""

from __future__ import annotations

import pytest

from millpond.asl import Retrier, from_json
from millpond.engine import Batch, Engine, is_genuine, mint_token, read_token
from millpond.engine.failure import StateFailed, find_catcher, find_retrier, retry_delay
from millpond.testing import FakeClock, FakeTasks, MemoryStore, simulate
from millpond.testing.simulation import drive, start_of

GLUE = "arn:aws:states:::glue:startJobRun.sync"
LAMBDA = "arn:aws:lambda:us-east-1:111111111111:function:f"


def chain(length: int, extra: dict | None = None) -> dict:
    """`length` Pass states in a row: 2 * length + 2 events."""
    states = {f"s{n}": {"Type": "Pass", "Next": f"s{n + 1}"} for n in range(length - 1)}
    return {"StartAt": "s0", "States": {**states, f"s{length - 1}": {"Type": "Pass", "End": True}}, **(extra or {})}


def one(state: dict, **others: dict) -> dict:
    return {"StartAt": "One", "States": {"One": {"End": True, **state}, **others}}


def kinds(run) -> list[str]:
    return [event.type for event in run.events]


# ------------------------------------------------------------------------------------------------------------- quotas


def test_the_last_allowed_event_may_end_the_execution_well() -> None:
    run = simulate(chain(12_499))
    assert (run.status, len(run.events)) == ("SUCCEEDED", 25_000)


def test_event_25000_is_the_failure() -> None:
    run = simulate(chain(12_500))
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    assert run.cause == "The execution reached the maximum number of history events (25000)."
    last = run.events[-1]
    assert (last.id, last.previous, last.type) == (25_000, 24_999, "ExecutionFailed")
    assert run.events[-2].type == "PassStateExited"


def test_express_has_no_event_quota() -> None:
    assert simulate(chain(12_600), express=True).status == "SUCCEEDED"


@pytest.mark.parametrize("text", ["x", "ä", "漢"])
def test_payload_limit_counts_bytes(text: str) -> None:
    width = len(text.encode())
    fits, machine = (262_144 - 2) // width, {"Type": "Pass", "Result": ""}
    padding = "x" * ((262_144 - 2) % width)
    machine["Result"] = text * fits + padding
    assert simulate(one(machine)).status == "SUCCEEDED"
    machine["Result"] += "x"
    run = simulate(one(machine))
    assert run.error == "States.DataLimitExceeded"
    assert run.cause.startswith("The state/task 'One' returned a result with a size exceeding the maximum number of")


def test_a_task_result_that_is_too_large_is_not_caught_by_all() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed("x" * 262_143)
    caught = {"ErrorEquals": ["States.ALL"], "Next": "Two"}
    machine = one({"Type": "Task", "Resource": GLUE, "Catch": [caught]}, Two={"Type": "Succeed"})
    run = simulate(machine, tasks=tasks)
    assert run.error == "States.DataLimitExceeded"
    caught["ErrorEquals"] = ["States.DataLimitExceeded"]
    assert simulate(machine, tasks=tasks).visited("Two")


def test_what_a_task_is_given_may_be_too_large() -> None:
    parameters = {"a.$": "$.text", "b.$": "$.text"}
    run = simulate(one({"Type": "Task", "Resource": GLUE, "Parameters": parameters}), {"text": "x" * 131_065})
    assert run.error == "States.DataLimitExceeded" and kinds(run)[2:] == ["ExecutionFailed"]
    tasks = FakeTasks()
    tasks.on(GLUE).succeed({})
    fits = one({"Type": "Task", "Resource": GLUE, "Parameters": parameters})
    assert simulate(fits, {"text": "x" * 131_064}, tasks=tasks).status == "SUCCEEDED"


@pytest.mark.parametrize(
    ("length", "more", "fits"), [(262_142, 0, True), (262_143, 0, False), (131_070, 131_071, False)]
)
def test_one_assign_holds_256_kib(length: int, more: int, fits: bool) -> None:
    assign = {"x": "x" * length, **({"y": "y" * more} if more else {})}
    run = simulate(one({"Type": "Pass", "Assign": assign}))
    assert run.status == ("SUCCEEDED" if fits else "FAILED")
    assert fits or run.error == "States.DataLimitExceeded"


@pytest.mark.parametrize(("last", "fits"), [(262_142, True), (262_143, False)])
def test_all_variables_hold_10_mib(last: int, fits: bool) -> None:
    sizes = [262_144] * 39 + [2, last]  # 2 bytes less than 10 MiB, and what is left
    states = {
        f"s{n}": {"Type": "Pass", "Assign": {f"v{n}": "x" * (size - 2)}, "Next": f"s{n + 1}"}
        for n, size in enumerate(sizes)
    }
    again = {"Type": "Pass", "Assign": {"v0": "y" * 262_142}, "End": True}  # takes the place of what it replaces
    run = simulate({"StartAt": "s0", "States": {**states, f"s{len(sizes)}": again}})
    assert run.status == ("SUCCEEDED" if fits else "FAILED"), run.cause
    assert fits or run.error == "States.DataLimitExceeded"


def test_a_value_that_grows_inwards_ends_with_an_error() -> None:
    machine = one({"Type": "Pass", "Parameters": {"a.$": "$"}, "Assign": {"deep.$": "$"}, "Next": "One"})
    del machine["States"]["One"]["End"]
    run = simulate(machine, check=False)  # it has no end
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    assert run.cause.endswith("The JSON value is nested too deeply.")


def test_half_a_character_becomes_a_whole_one() -> None:
    run = simulate(one({"Type": "Pass", "Parameters": {"x.$": "States.StringToJson($)"}}), '"\\ud83d"')
    assert run.output == {"x": "\ufffd"}


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*a" * 40 + "*b", "a" * 5_000, False),
        ("a*b*c", "aXbYbZc", True),
        ("a*a", "a", False),
        ("*", "", True),
        ("\\\\\\**", "\\*x", True),
        ("a\nb*", "a\nbc", True),
    ],
)
def test_string_matches(pattern: str, text: str, fits: bool) -> None:
    rule = {"Variable": "$", "StringMatches": pattern, "Next": "Yes"}
    states = {"One": {"Type": "Choice", "Choices": [rule], "Default": "No"}, "Yes": {"Type": "Succeed"}}
    run = simulate({"StartAt": "One", "States": {**states, "No": {"Type": "Succeed"}}}, text)
    assert run.visited("Yes") is fits


def test_a_path_that_never_ends_is_ended() -> None:
    given = {"l": [{"s": "a" * 60 + "!"}]}
    run = simulate(one({"Type": "Pass", "InputPath": "$.l[?(@.s =~ /(a+)+$/)]"}), given)
    assert (run.status, run.error) == ("FAILED", "States.Runtime")
    assert "Expression evaluation" in run.cause


# ------------------------------------------------------------------------------------------------- who handles what


@pytest.mark.parametrize(
    ("error", "names", "handled"),
    [
        ("Any", ["States.ALL"], True),
        ("States.Runtime", ["States.ALL"], False),
        ("States.Runtime", ["States.Runtime"], False),
        ("States.DataLimitExceeded", ["States.ALL"], False),
        ("States.DataLimitExceeded", ["States.DataLimitExceeded"], True),
        ("Any", ["States.TaskFailed"], True),
        ("States.Timeout", ["States.TaskFailed"], False),
        ("States.Timeout", ["States.Timeout"], True),
        ("States.Timeout", ["States.HeartbeatTimeout"], False),
        ("Any", ["Other", "Any"], True),
        (None, ["States.ALL"], True),
    ],
)
def test_who_handles(error: str | None, names: list[str], handled: bool) -> None:
    retrier = Retrier(error_equals=tuple(names))
    assert (find_retrier(StateFailed(error), [retrier]) == 0) is handled


def test_a_missed_heartbeat_is_handled_under_both_names() -> None:
    from millpond.asl import Catcher

    catchers = [Catcher(error_equals=("States.HeartbeatTimeout",), next="x")]
    assert find_catcher(StateFailed("States.Timeout", heartbeat=True), catchers) == 0


def test_retry_delays() -> None:
    retrier = Retrier(error_equals=("E",), interval_seconds=3, backoff_rate=2.0, max_delay_seconds=20)
    assert [retry_delay(retrier, n, lambda: 0.5) for n in range(5)] == [3, 6, 12, 20, 20]
    full = Retrier(error_equals=("E",), interval_seconds=4, jitter_strategy="FULL")
    assert [retry_delay(full, n, lambda: 0.25) for n in range(3)] == [1, 2, 4]


def test_retries_take_their_time_and_are_counted() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).fail_once("Glue.Throttled", "slow down").fail_once("Glue.Throttled", "slow down").succeed(
        {"ok": True}
    )
    retry = [{"ErrorEquals": ["Glue.Throttled"], "IntervalSeconds": 10, "MaxAttempts": 5}]
    run = simulate(one({"Type": "Task", "Resource": GLUE, "Retry": retry}), tasks=tasks)
    assert (run.status, run.output, [call.attempt for call in run.calls]) == ("SUCCEEDED", {"ok": True}, [0, 1, 2])
    assert run.seconds == pytest.approx(30, abs=0.01)
    assert kinds(run).count("TaskFailed") == 2 and kinds(run).count("TaskScheduled") == 3


def test_retries_run_out_and_the_catcher_is_asked() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).fail("Glue.Broken", "why")
    state = {
        "Type": "Task",
        "Resource": GLUE,
        "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 1}],
        "Catch": [{"ErrorEquals": ["Glue.Broken"], "ResultPath": "$.error", "Next": "Two"}],
    }
    run = simulate(one(state, Two={"Type": "Succeed"}), {"a": 1}, tasks=tasks)
    assert run.output == {"a": 1, "error": {"Error": "Glue.Broken", "Cause": "why"}}
    assert len(run.calls) == 2


# ---------------------------------------------------------------------------------------------- timeouts and stopping


def test_a_task_that_hangs_times_out_and_is_stopped() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).hang()
    run = simulate(one({"Type": "Task", "Resource": GLUE, "TimeoutSeconds": 90}), tasks=tasks)
    assert (run.status, run.error, run.cause) == ("FAILED", "States.Timeout", None)
    assert run.seconds == pytest.approx(90, abs=0.01)
    assert run.history[-2]["taskTimedOutEventDetails"] == {
        "resourceType": "glue",
        "resource": "startJobRun.sync",
        "error": "States.Timeout",
    }
    assert len(tasks.stopped) == 1


def test_a_lambda_and_an_activity_have_events_of_their_own() -> None:
    tasks = FakeTasks()
    tasks.on(LAMBDA).echo()
    run = simulate(one({"Type": "Task", "Resource": LAMBDA, "TimeoutSeconds": 3}), {"a": 1}, tasks=tasks)
    assert kinds(run)[2:5] == ["LambdaFunctionScheduled", "LambdaFunctionStarted", "LambdaFunctionSucceeded"]
    assert run.history[2]["lambdaFunctionScheduledEventDetails"] == {
        "resource": LAMBDA,
        "input": '{"a":1}',
        "inputDetails": {"truncated": False},
        "timeoutInSeconds": 3,
    }
    activity = "arn:aws:states:us-east-1:111111111111:activity:dig"
    tasks.on(activity).succeed(7)
    run = simulate(one({"Type": "Task", "Resource": activity}), tasks=tasks)
    assert kinds(run)[2:5] == ["ActivityScheduled", "ActivityStarted", "ActivitySucceeded"]
    assert run.output == 7


def test_a_sync_task_is_submitted_between() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed({"JobRunState": "SUCCEEDED"})
    run = simulate(one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "join"}}), tasks=tasks)
    assert kinds(run)[2:6] == ["TaskScheduled", "TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    assert run.history[2]["taskScheduledEventDetails"] == {
        "resourceType": "glue",
        "resource": "startJobRun.sync",
        "region": "us-east-1",
        "parameters": '{"JobName":"join"}',
    }


def test_sync_2_keeps_its_colon() -> None:
    tasks = FakeTasks()
    tasks.on("arn:aws:states:::states:startExecution.sync:2").succeed({})
    run = simulate(one({"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2"}), tasks=tasks)
    call = run.calls[0]
    assert (call.service, call.action, call.pattern) == ("states", "startExecution.sync:2", "sync")


def test_the_machine_times_out() -> None:
    run = simulate({**one({"Type": "Wait", "Seconds": 100}), "TimeoutSeconds": 10})
    assert (run.status, run.error, run.cause) == ("TIMED_OUT", None, None)
    assert run.events[-1].previous == 0
    assert run.history[-1]["executionTimedOutEventDetails"] == {"error": "States.Timeout"}
    assert run.seconds == pytest.approx(10, abs=0.01)


def test_a_failed_branch_aborts_the_others() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).hang()
    machine = one(
        {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": "Hang", "States": {"Hang": {"Type": "Task", "Resource": GLUE, "End": True}}},
                {
                    "StartAt": "Nap",
                    "States": {
                        "Nap": {"Type": "Wait", "Seconds": 5, "Next": "No"},
                        "No": {"Type": "Fail", "Error": "No"},
                    },
                },
            ],
        }
    )
    run = simulate(machine, tasks=tasks)
    assert (run.status, run.error) == ("FAILED", "No")
    assert "TaskStateAborted" in kinds(run) and len(tasks.stopped) == 1


class Bench:
    """An engine in hand."""

    def __init__(self, machine: dict, given: object = None) -> None:
        self.clock, self.tasks, self.store = FakeClock(), FakeTasks(), MemoryStore()
        self.engine = Engine(self.clock, self.tasks, self.store)
        self.tasks.attach(self.engine, self.clock)
        self.start = start_of(from_json(machine), given or {}, "bench", self.clock.now(), True, False)
        self.engine.start(self.start)
        self.engine.run_until_idle()

    @property
    def ended(self):
        return self.store.ended.get(self.start.execution)

    @property
    def token(self) -> str:
        (frame,) = (row.text for row in self.store.frames[self.start.execution].values())
        return frame.split('"token":"')[1].split('"')[0]


def test_stop_ends_the_task_and_the_execution() -> None:
    bench = Bench(one({"Type": "Task", "Resource": GLUE}))
    bench.engine.stop(bench.start.execution, "Enough", "of this")
    bench.engine.run_until_idle()
    assert (bench.ended.status, bench.ended.error, bench.ended.cause) == ("ABORTED", "Enough", "of this")
    assert len(bench.tasks.stopped) == 1 and bench.engine.running() == 0
    last = bench.store.events[bench.start.execution][-1]
    assert (last.type, last.previous) == ("ExecutionAborted", 0)


def test_a_late_or_second_answer_is_dropped() -> None:
    bench = Bench(one({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"}))
    token = bench.token
    assert bench.engine.pending(token).state == "One"
    bench.engine.task_succeeded(token, {"n": 1})
    bench.engine.task_succeeded(token, {"n": 2})
    bench.engine.run_until_idle()
    assert bench.ended.output == '{"n":1}'
    assert bench.engine.pending(token) is None


def test_heartbeats_keep_a_task_alive() -> None:
    state = {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "HeartbeatSeconds": 10}
    bench = Bench(one(state))
    for _ in range(5):
        bench.clock.advance(8)
        bench.engine.task_heartbeat(bench.token)
        bench.engine.run_until_idle()
        assert bench.ended is None
    bench.clock.advance(10.1)
    bench.engine.run_until_idle()
    assert (bench.ended.status, bench.ended.error) == ("FAILED", "States.Timeout")


def test_a_token_cannot_be_forged() -> None:
    token = mint_token(b"s" * 16, "arn:x", 5, 0)
    assert is_genuine(token, b"s" * 16) and read_token(token) == "arn:x"
    assert not is_genuine(token, b"t" * 16)
    assert not is_genuine("nonsense", b"s" * 16) and read_token("nonsense") is None
    assert mint_token(b"s" * 16, "arn:x", 5, 0) == token != mint_token(b"s" * 16, "arn:x", 5, 1)


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_relative_wait_does_not_care_about_the_wall_clock(jump: int) -> None:
    bench = Bench(one({"Type": "Wait", "Seconds": 60}))
    bench.clock.jump(jump)
    bench.engine.run_until_idle()
    assert bench.ended is None
    bench.clock.advance(60.001)
    bench.engine.run_until_idle()
    assert bench.ended.status == "SUCCEEDED"
    times = [event.at for event in bench.store.events[bench.start.execution]]
    assert times == sorted(times)


def test_a_wait_until_follows_the_wall_clock() -> None:
    bench = Bench(one({"Type": "Wait", "TimestampPath": "$.at"}), {"at": "2025-11-24T16:10:00Z"})
    bench.clock.jump(599)
    bench.engine.run_until_idle()
    assert bench.ended is None
    bench.clock.jump(3600)
    bench.engine.run_until_idle()
    assert bench.ended.status == "SUCCEEDED"


def test_many_executions_share_the_loop() -> None:
    clock, store = FakeClock(), MemoryStore()
    ended: list[str] = []
    engine = Engine(clock, FakeTasks(), store, ended=lambda execution, end: ended.append(execution))
    long, short = from_json(chain(2_000)), from_json(chain(2))
    engine.start(start_of(long, {}, "long", clock.now(), True, False))
    for number in range(500):
        engine.start(start_of(short, {}, f"short{number}", clock.now(), True, False))
    engine.run_until_idle()
    assert len(ended) == 501 and ended[-1].endswith(":long")


def test_time_scale_shortens_waits_and_nothing_else() -> None:
    clock, store = FakeClock(), MemoryStore()
    engine = Engine(clock, FakeTasks(), store, time_scale=60.0)
    start = start_of(from_json(one({"Type": "Wait", "Seconds": 3600})), {}, "fast", clock.now(), True, False)
    engine.start(start)
    engine.run_until_idle()
    assert engine.next_timer() == pytest.approx(60)


def test_one_execution_that_breaks_the_engine_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(one({"Type": "Wait", "Seconds": 5}))
    monkeypatch.setattr(bench.engine, "_wake_up", lambda frame: 1 / 0)
    bench.clock.advance(6)
    bench.engine.run_until_idle()
    assert (bench.ended.status, bench.ended.error) == ("FAILED", "States.Runtime")
    assert "ZeroDivisionError" in bench.ended.cause


class FullDisk(MemoryStore):
    """Fails some of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: list[str] = []

    def append(self, batch: Batch) -> None:
        self._maybe("append")
        super().append(batch)

    def barrier(self) -> None:
        self._maybe("barrier")
        super().barrier()

    def _maybe(self, name: str) -> None:
        if name in self.failing:
            raise OSError("no space left on device")


@pytest.mark.parametrize("failing", ["append", "barrier"])
def test_a_full_disk_loses_nothing(failing: str) -> None:
    clock, tasks, store = FakeClock(), FakeTasks(), FullDisk()
    tasks.on(GLUE).succeed({"ok": True})
    engine = Engine(clock, tasks, store)
    tasks.attach(engine, clock)
    start = start_of(from_json(one({"Type": "Task", "Resource": GLUE})), {}, "full", clock.now(), True, False)
    store.failing = [failing]
    engine.start(start)
    for _ in range(3):
        with pytest.raises(OSError, match="no space"):
            engine.run_until_idle()
    assert tasks.calls == [], "a task was started before it was durable"
    store.failing = []
    drive(engine, tasks, clock, store, start)
    assert store.ended[start.execution].output == '{"ok":true}'
    assert [event.id for event in store.events[start.execution]] == list(range(1, 9))


def test_timers_that_nobody_needs_are_forgotten() -> None:
    clock, tasks, store = FakeClock(), FakeTasks(), MemoryStore()
    tasks.on(GLUE).succeed({})
    engine = Engine(clock, tasks, store)
    tasks.attach(engine, clock)
    machine = from_json(one({"Type": "Task", "Resource": GLUE, "TimeoutSeconds": 86_400}))
    for number in range(6_000):
        start = start_of(machine, {}, f"e{number}", clock.now(), True, False)
        engine.start(start)
        drive(engine, tasks, clock, store, start)
    assert len(engine._timers) <= 4_097 and engine.next_timer() is None


def test_close_interrupts_a_loop_that_never_ends() -> None:
    clock, store = FakeClock(), MemoryStore()
    engine = Engine(clock, FakeTasks(), store)
    machine = from_json({"StartAt": "A", "States": {"A": {"Type": "Pass", "Next": "A"}}})
    engine.start(start_of(machine, {}, "forever", clock.now(), False, True))
    append = store.append
    store.append = lambda batch: (append(batch), engine.close())  # type: ignore[method-assign]
    engine.run_until_idle()
    assert engine.running() == 1
