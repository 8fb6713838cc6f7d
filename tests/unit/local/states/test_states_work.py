"""The Tasks door against a scripted AWS: what is called, in which order things are stored, what a restart finds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from millpond.engine import TaskCall, mint_token
from millpond.local.service import Clock, Endpoint, acting_for
from millpond.local.states import integrations
from millpond.local.states.integrations import Failure
from millpond.local.states.records import SCHEMA, Records
from millpond.local.states.work import Worker
from millpond.local.store import Store

EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:m:e"


class Glue:
    """Glue as far as `.sync` needs it; runs end when told to."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.tokens: dict[str, str] = {}

    def run(self, arguments: dict[str, str] | None = None) -> str:
        run = {
            "Id": f"jr_{len(self.runs)}",
            "JobName": "j",
            "JobRunState": "RUNNING",
            "StartedOn": datetime.now(UTC),
            "Arguments": arguments or {},
        }
        self.runs.append(run)
        return str(run["Id"])

    def end(self, state: str = "SUCCEEDED", **more: Any) -> None:
        for run in self.runs:
            run.update(JobRunState=state, **more)

    def start_job_run(self, **params: Any) -> dict[str, Any]:
        token = acting_for.get()
        assert token, "a task's call carries its token"
        if token not in self.tokens:
            self.tokens[token] = self.run(params.get("Arguments"))
        return {"JobRunId": self.tokens[token]}

    def get_job_run(self, *, JobName: str, RunId: str) -> dict[str, Any]:
        return {"JobRun": next(dict(run) for run in self.runs if run["Id"] == RunId)}

    def batch_stop_job_run(self, *, JobName: str, JobRunIds: list[str]) -> dict[str, Any]:
        self.stopped += JobRunIds
        return {}


class Engine:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda token, *rest, **more: self.told.append((name, *rest, *more.values()))

    def names(self) -> list[str]:
        return [told[0] for told in self.told]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "endpoint.db")
    made.install(SCHEMA)
    with made.write() as db:
        db.execute(
            "INSERT INTO states_executions (arn, machine, name, status, started, input, revision, role, secret)"
            " VALUES (?, 'm', 'e', 'RUNNING', 0, '{}', 'r', 'role', x'00')",
            (EXECUTION,),
        )
    yield made
    made.close()


@pytest.fixture
def glue() -> Glue:
    return Glue()


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


@pytest.fixture
def endpoint(store: Store, glue: Glue, tmp_path: Path) -> Endpoint:
    made = Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="a", secret_key="s")
    made.connect = lambda service: {"glue": glue}[service]
    return made


@pytest.fixture
def worker(endpoint: Endpoint, records: Records) -> Iterator[Worker]:
    made = Worker(endpoint, records)
    made.engine = Engine()  # type: ignore[assignment]
    yield made
    made.close()


def call(arguments: Any = None, **more: Any) -> TaskCall:
    fields: dict[str, Any] = {
        "execution": EXECUTION,
        "machine_arn": "m",
        "state": "S",
        "path": "S",
        "resource": "arn:aws:states:::glue:startJobRun.sync",
        "kind": "service",
        "service": "glue",
        "action": "startJobRun.sync",
        "pattern": "sync",
        "arguments": {"JobName": "j"} if arguments is None else arguments,
        "attempt": 0,
    }
    return TaskCall(**fields | more)


def token(visit: int = 1) -> str:
    return mint_token(b"0" * 16, EXECUTION, visit, 0)


def until(said: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def told(worker: Worker) -> Engine:
    return worker.engine  # type: ignore[return-value]


def test_sync_goes_through_all_steps(worker: Worker, glue: Glue, records: Records) -> None:
    worker.start(call(), token())
    until(lambda: "task_submitted" in told(worker).names())
    known = records.task(token())
    assert known.handle["work"] == {"JobName": "j", "RunId": "jr_0"}
    assert known.outcome is None
    glue.end()
    until(lambda: "task_succeeded" in told(worker).names())
    assert told(worker).names() == ["task_started", "task_submitted", "task_succeeded"]
    output = told(worker).told[-1][1]
    assert (output["Id"], output["JobRunState"], type(output["StartedOn"])) == ("jr_0", "SUCCEEDED", int)
    assert list(output) == sorted(output)
    assert records.task(token()).outcome == {"output": output}


@pytest.mark.parametrize("state", ["FAILED", "STOPPED", "TIMEOUT", "ERROR"])
def test_a_job_run_that_failed(worker: Worker, glue: Glue, state: str) -> None:
    worker.start(call(), token())
    until(lambda: glue.runs)
    glue.end(state, ErrorMessage="no such column")
    until(lambda: "task_failed" in told(worker).names())
    _, error, cause, _ = told(worker).told[-1]
    run = json.loads(cause)
    assert (error, run["JobRunState"], run["ErrorMessage"]) == ("States.TaskFailed", state, "no such column")


def test_resume_reports_a_recorded_outcome_and_calls_nothing(worker: Worker, glue: Glue, records: Records) -> None:
    records.settle(token(), EXECUTION, {"output": {"Id": "jr_9"}})
    worker.resume(call(), token())
    until(lambda: told(worker).told)
    assert told(worker).told == [("task_succeeded", {"Id": "jr_9"})] and not glue.runs


def test_resume_watches_running_work_on(worker: Worker, glue: Glue, records: Records) -> None:
    run = glue.run()
    records.hold(token(), EXECUTION, {"work": {"JobName": "j", "RunId": run}, "answer": {"JobRunId": run}})
    worker.resume(call(has_submitted=True), token())
    glue.end()
    until(lambda: "task_succeeded" in told(worker).names())
    assert told(worker).names() == ["task_succeeded"] and len(glue.runs) == 1


def test_resume_starts_again_under_the_same_token(worker: Worker, glue: Glue, records: Records) -> None:
    """Killed between StartJobRun and the handle: Glue gives the run of that token, whatever else runs."""
    for visit in (1, 2):
        glue.tokens[token(visit)] = glue.run({"--table": "t"})
    for visit in (1, 2):
        worker.resume(call({"JobName": "j", "Arguments": {"--table": "t"}}), token(visit))
        until(lambda visit=visit: records.task(token(visit)).handle)
    found = [records.task(token(visit)).handle["work"]["RunId"] for visit in (1, 2)]
    assert found == ["jr_0", "jr_1"] and len(glue.runs) == 2


def test_stop_ends_the_run(worker: Worker, glue: Glue) -> None:
    worker.start(call(), token())
    until(lambda: "task_submitted" in told(worker).names())
    until(lambda: worker._live)
    worker.stop(token())
    until(lambda: glue.stopped == ["jr_0"])


def test_stop_while_the_call_is_on_its_way(worker: Worker, glue: Glue, monkeypatch: pytest.MonkeyPatch) -> None:
    start = glue.start_job_run

    def slow(**params: Any) -> dict[str, Any]:
        worker.stop(token())
        return start(**params)

    monkeypatch.setattr(glue, "start_job_run", slow)
    worker.start(call(), token())
    until(lambda: glue.stopped == ["jr_0"])


def test_what_is_stopped_before_its_turn_is_not_called(worker: Worker, glue: Glue, records: Records) -> None:
    """All threads are at work while the execution is stopped; what a killed endpoint had started is ended."""
    turn, running = threading.Event(), glue.run()
    worker._pools["others"] = pool = ThreadPoolExecutor(1)
    pool.submit(turn.wait)
    held = {"work": {"JobName": "j", "RunId": running}, "answer": {"JobRunId": running}}
    records.hold(token(2), EXECUTION, held)
    worker.start(call(), token(1))
    worker.resume(call(has_submitted=True), token(2))
    for visit in (1, 2):
        worker.stop(token(visit))
    turn.set()
    until(lambda: glue.stopped == [running] and not worker._calling)
    assert len(glue.runs) == 1 and not told(worker).told and not worker._stopped


def test_polls_may_fail_for_a_while(worker: Worker, glue: Glue, monkeypatch: pytest.MonkeyPatch) -> None:
    look, failures = glue.get_job_run, iter(range(3))

    def flaky(**params: Any) -> dict[str, Any]:
        if next(failures, None) is not None:
            raise ConnectionError("not now")
        return look(**params)

    monkeypatch.setattr(glue, "get_job_run", flaky)
    worker.start(call(), token())
    until(lambda: glue.runs)
    glue.end()
    until(lambda: "task_succeeded" in told(worker).names())


def test_the_first_outcome_counts(records: Records) -> None:
    assert records.settle(token(), EXECUTION, {"output": 1})
    assert not records.settle(token(), EXECUTION, {"output": 2})
    assert records.task(token()).outcome == {"output": 1}


def test_our_own_bug_fails_the_state(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("oops")

    monkeypatch.setattr(integrations, "begin", broken)
    worker.start(call(), token())
    until(lambda: "task_failed" in told(worker).names())
    assert told(worker).told[-1][1:3] == ("States.Runtime", "KeyError: 'oops'")


def test_unknown_sync_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(Failure, match="Millpond does not carry"):
        integrations.begin(endpoint, call({"TaskDefinition": "t"}, service="ecs", action="runTask.sync"), {})


def test_an_end_that_cannot_be_recorded_does_not_end_the_polling(
    worker: Worker, glue: Glue, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong with one job's end, the others are still watched, and it is tried again."""
    monkeypatch.setattr("millpond.local.states.work.FIRST_POLL", 0.01)
    settle, broken = records.settle, {token(1)}

    def once(key: str, execution: str, outcome: Any) -> bool:
        if key in broken:
            broken.discard(key)
            raise TypeError("an end of a form that nobody foresaw")
        return settle(key, execution, outcome)

    monkeypatch.setattr(records, "settle", once)
    for visit in (1, 2):
        worker.start(call(), token(visit))
    until(lambda: len(glue.runs) == 2)
    glue.end()
    until(lambda: told(worker).names().count("task_succeeded") == 2)
    assert not broken and all(poller.is_alive() for poller in worker._pollers)


def test_work_that_is_stopped_while_we_close_is_ended(worker: Worker, glue: Glue) -> None:
    worker.start(call(), token())
    until(lambda: token() in worker._live)
    worker.close()
    worker.stop(token())
    assert glue.stopped == ["jr_0"]
