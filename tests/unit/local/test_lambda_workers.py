"""Lambda's workers and its queue of events: who waits, who is told, what trouble leaves behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from millpond.local.lambda_ import invoke, workers
from millpond.local.lambda_.names import Name
from millpond.local.service import AwsError, Clock, Endpoint
from millpond.local.store import Store, StoreUnavailable


def until(said: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sandbox(folder: Path, source: str = "") -> workers.Sandbox:
    (folder / "index.py").write_text(source)
    env = {**os.environ, "_HANDLER": "index.handler", "LAMBDA_TASK_ROOT": str(folder), "AWS_LAMBDA_FUNCTION_NAME": "f"}
    env |= {"AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}
    return workers.Sandbox(
        function="f", version="1", arn="arn", handler="index.handler", code=folder, path=(str(folder),), env=env,
        timeout=60.0, memory=512, log_group="g", key="f|1|r",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("source", "kind"),
    [("def handler(:", "Runtime.UserCodeSyntaxError"), ("import os; os._exit(3)", "Runtime.ExitError")],
)
def test_a_process_that_ended_before_it_was_asked(source: str, kind: str, tmp_path: Path) -> None:
    worker = workers.Worker(sandbox(tmp_path, source), lambda group, stream, events: None)
    until(lambda: worker._over)
    invocation = workers.Invocation("1", b"null", "arn")
    worker.run(invocation)
    assert json.loads(invocation.payload)["errorType"] == kind and invocation.error


def test_a_log_that_cannot_be_kept(tmp_path: Path) -> None:
    """The function does not wait for its reader; an invocation that could not be followed is not left running."""
    broken = "log f"

    def write(group: str, stream: str, events: Any) -> None:
        if broken in threading.current_thread().name:
            raise OSError("No space left on device")

    source = "def handler(event, context):\n    for _ in range(3000): print('x' * 100, flush=True)\n    return 1"
    worker = workers.Worker(sandbox(tmp_path, source), write)
    done = workers.Invocation("1", b"null", "arn")
    worker.run(done)
    assert (done.payload, done.error, worker.gone) == (b"1", False, False)
    broken = ""
    with pytest.raises(OSError, match="No space"):
        worker.run(workers.Invocation("2", b"null", "arn"))
    assert worker.gone


def test_a_pipe_with_a_high_number() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= 1024:
        pytest.skip("SKIPPED LOUDLY: no process of this user can have a descriptor that select does not take (1024)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1025), hard))
    reading, writing = os.pipe()
    high = fcntl.fcntl(reading, fcntl.F_DUPFD, 1024)
    try:
        assert not workers._readable(high, 0)
        os.write(writing, b"x")
        assert workers._readable(high, None)
    finally:
        for one in (reading, writing, high):
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Still:
    """A worker without a process: its invocation ends when it is told to."""

    made: ClassVar[list[Still]] = []
    begin: ClassVar[Callable[[], None]] = staticmethod(lambda: None)

    def __init__(self, sandbox: workers.Sandbox, log: Any) -> None:
        self.sandbox, self.gone, self.dead, self.idle_since = sandbox, False, False, 0.0
        self.asked: list[str] = []
        self.go = threading.Event()
        Still.made.append(self)
        Still.begin()

    def run(self, invocation: workers.Invocation) -> bytes:
        self.asked.append(invocation.id)
        assert self.go.wait(120)
        return b"done"

    def kill(self) -> None:
        self.gone = self.dead = True
        self.go.set()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> workers.Pools:
    monkeypatch.setattr(workers, "Worker", Still)
    monkeypatch.setattr(Still, "made", [])
    return workers.Pools(lambda group, stream, events: None)


def test_a_task_that_is_stopped_while_its_worker_starts(
    pools: workers.Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Still, "begin", lambda: pools.interrupt("task"))
    first = workers.Invocation("1", b"", "arn", outcome="task")
    assert pools.run(sandbox(tmp_path), first, limit=1, wait=True) == b"" and first.error
    pools.forget("task")
    (worker,) = Still.made
    assert worker.asked == [] and not pools._unwanted
    worker.go.set()
    assert pools.run(sandbox(tmp_path), workers.Invocation("2", b"", "arn", outcome="task"), limit=1, wait=True)
    assert worker.asked == ["2"] and len(Still.made) == 1


def test_a_worker_that_starts_while_all_are_ended(
    pools: workers.Pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Still, "begin", pools.close)
    with pytest.raises(workers.Busy):
        pools.run(sandbox(tmp_path), workers.Invocation("1", b"", "arn"), limit=1, wait=True)
    assert [worker.gone for worker in Still.made] == [True]


def test_who_waits_for_a_worker_hears_of_his_own(pools: workers.Pools, tmp_path: Path) -> None:
    class Patient(threading.Condition):
        waiting = 0

        def wait(self, timeout: float | None = None) -> bool:
            self.waiting += 1
            return super().wait(120)

    boxes = {key: replace(sandbox(tmp_path), key=key) for key in "ab"}
    freed = {key: Patient(pools._changed) for key in boxes}
    pools._freed.update(freed)

    def run(key: str) -> None:
        with contextlib.suppress(workers.Busy):  # when all is closed
            pools.run(boxes[key], workers.Invocation(key, b"", "arn"), limit=1, wait=True)

    for key in "ab":
        threading.Thread(target=run, args=(key,), daemon=True).start()
        until(lambda key=key: any(one.sandbox.key == key and one.asked for one in Still.made))
    for key in "ba":  # b waits first, a's worker is free first
        threading.Thread(target=run, args=(key,), daemon=True).start()
        until(lambda key=key: freed[key].waiting)
    by_key = {one.sandbox.key: one for one in Still.made}
    by_key["a"].go.set()
    until(lambda: by_key["a"].asked == ["a", "a"])
    assert by_key["b"].asked == ["b"]
    pools.close()


class Functions:
    """As much of the functions as the queue of asynchronous events needs."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store

    def weights(self, name: Name) -> dict[str, float]:
        return {}

    def find(self, name: Name) -> Any:
        return SimpleNamespace(version="$LATEST", function=name.name, config={})

    def arn(self, name: str, qualifier: str | None = None) -> str:
        return f"arn:{name}"


@pytest.fixture
def invoker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[invoke.Invoker]:
    store = Store(tmp_path / "endpoint.db")
    store.install(invoke.SCHEMA)
    endpoint = Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="a", secret_key="s")
    monkeypatch.setattr(invoke, "PAUSE_SECONDS", 0.01)
    made = invoke.Invoker(Functions(endpoint), None)  # type: ignore[arg-type]
    yield made
    made.stop()
    store.close()


def test_the_queue_goes_on_after_trouble_with_the_disk(
    invoker: invoke.Invoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, trouble, run = invoker.store.read, [StoreUnavailable("disk"), StoreUnavailable("disk")], threading.Event()

    def flaky(*arguments: Any) -> Any:
        if trouble and threading.current_thread().name == "lambda queue":
            raise trouble.pop()
        return read(*arguments)

    def done(version: Any, name: Name, invocation: workers.Invocation) -> Any:
        run.set()
        return invocation, b""

    monkeypatch.setattr(invoker.store, "read", flaky)
    monkeypatch.setattr(invoker, "_run", done)
    invoker._enqueue(Name("f", None), b"{}")
    invoker.start()
    assert run.wait(120) and not trouble
    until(lambda: not read("SELECT 1 FROM lambda_events"))


def test_an_attempt_looks_at_its_event_anew(invoker: invoke.Invoker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event was found due, and then its last attempt ended: it is gone, or put off."""
    tried: list[str] = []
    monkeypatch.setattr(invoker, "_try", lambda event: tried.append(event["function"]))
    invoker._enqueue(Name("f", None), b"{}")
    (row,) = invoker.store.read("SELECT * FROM lambda_events")
    invoker._attempt(row["id"])
    invoker._later(row, 60, count=True)
    invoker._attempt(row["id"])
    invoker._attempt("gone")
    assert tried == ["f"]


def test_the_end_of_an_event_is_told_before_it_is_forgotten(
    invoker: invoke.Invoker, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    throttled = AwsError("TooManyRequestsException", "Rate Exceeded.", status=429)
    config = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:r:0:q"}}, "MaximumEventAgeInSeconds": 60}

    def send(arn: str, text: str, version: Any) -> None:
        told.append((json.loads(text), len(invoker.store.read("SELECT 1 FROM lambda_events"))))
        raise OSError("there is no such queue")

    def run(*_: Any) -> Any:
        raise throttled

    monkeypatch.setattr(invoker, "_event_config", lambda name: config)
    monkeypatch.setattr(invoker, "_send", send)
    monkeypatch.setattr(invoker, "_run", run)
    invoker._enqueue(Name("f", None), b"{}")
    (row,) = invoker.store.read("SELECT * FROM lambda_events")
    invoker._try(dict(row))
    assert not told and invoker.store.one("SELECT due FROM lambda_events")["due"] > row["due"]
    invoker._try({**dict(row), "created": row["created"] - 61})
    ((record, left),) = told
    assert left == 1 and not invoker.store.read("SELECT 1 FROM lambda_events")
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert record["requestContext"]["approximateInvokeCount"] == 0 and "responsePayload" not in record
