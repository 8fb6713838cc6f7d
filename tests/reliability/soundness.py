"""What the tests of this folder share: the endpoint as a process that is killed at will, and the machine check.

The machine check (`check_history`, `check_store`): SQLite's integrity check is ok, event ids are 1..n without a gap,
`previousEventId` is smaller and exists, timestamps never decrease, every `*Entered` has one `*Exited` or a terminal
cause, and an execution ends at most once between two redrives.
"""

from __future__ import annotations

import io
import itertools
import json
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config

from millpond.engine.history import ENDS
from millpond.local.guard import Guard

ROLE = "arn:aws:iam::000000000000:role/flow"


class Seen(NamedTuple):
    """One event, wherever it was read."""

    id: int
    previous: int
    at: float
    type: str
    name: str | None


def seen(events: Iterable[Any]) -> list[Seen]:
    """Events of the engine (doors.Event), of its table or of GetExecutionHistory."""
    return [
        Seen(e["id"], e["previousEventId"], e["timestamp"].timestamp(), e["type"], _name(e))
        if isinstance(e, dict)
        else Seen(e.id, e.previous, e.at, e.type, e.name)
        for e in events
    ]


def _name(event: dict[str, Any]) -> str | None:
    details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
    return details.get("name")


def check_history(events: Sequence[Seen]) -> None:
    """Raises AssertionError where the history is not sound; see the module."""
    assert [event.id for event in events] == list(range(1, len(events) + 1)), "ids are not 1..n"
    assert all(event.previous < event.id for event in events), "previousEventId is not smaller"
    assert all(a.at <= b.at for a, b in itertools.pairwise(events)), "timestamps decrease"
    assert events[0].type == "ExecutionStarted"
    open_states: Counter[str | None] = Counter()
    ended = failed = False
    for event in events:
        assert not ended or event.type == "ExecutionRedriven", f"event {event.id} comes after the end"
        ended = event.type in ENDS
        failed = failed or _is_cause(event.type)
        if event.type.endswith("StateEntered"):
            open_states[event.name] += 1
        elif event.type.endswith("StateExited"):
            open_states[event.name] -= 1
            assert open_states[event.name] >= 0, f"{event.name} was left more often than entered"
    if events[-1].type == "ExecutionSucceeded" and not failed:
        left = {name for name, count in open_states.items() if count}
        assert not left, f"entered and never left: {left}"


def _is_cause(kind: str) -> bool:
    """An event that lets states end without an Exited event."""
    return kind.endswith(("Failed", "TimedOut", "Aborted"))


def check_store(path: Path) -> int:
    """The database of a state folder that nobody uses: integrity, and every history. How many histories."""
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        numbers = [row["n"] for row in db.execute("SELECT DISTINCT n FROM states_events")]
        for number in numbers:
            rows = db.execute("SELECT * FROM states_events WHERE n = ? ORDER BY id", (number,))
            check_history([Seen(r["id"], r["previous"], r["at"], r["type"], r["name"]) for r in rows])
    db.close()
    return len(numbers)


class Process:
    """The endpoint as a process on one state folder, killed and started again at will."""

    def __init__(self, data: Path, *more: str) -> None:
        self.data, self.more = data, more
        self.clients: dict[str, Any] = {}
        self.log = data.parent / "endpoint.log"
        self.up()

    def spawn(self) -> subprocess.Popen[bytes]:
        (self.data / "endpoint.json").unlink(missing_ok=True)
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "millpond.local", "--data", str(self.data), "--port", "0", *self.more]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def up(self) -> float:
        """Start it; how many seconds until it answered."""
        self.clients = {}  # the port is another one
        began = time.monotonic()
        self.process = self.spawn()
        while not (self.data / "endpoint.json").exists():
            if late := time.monotonic() - began > 120:
                self.process.kill()
            assert self.process.poll() is None and not late, self.log.read_text()[-3000:]
            time.sleep(0.01)
        return time.monotonic() - began

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def down(self) -> None:
        """End in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def alive(self) -> bool:
        return self.process.poll() is None

    def client(self, service: str) -> Any:
        if service not in self.clients:
            self.clients[service] = self._client(service)
        return self.clients[service]

    def _client(self, service: str) -> Any:
        port = json.loads((self.data / "endpoint.json").read_text())["port"]
        guard = Guard(self.data / "credentials.json", port=0)
        session = boto3.session.Session(guard.access_key, guard.secret_key, region_name="us-east-1")
        config = Config(
            retries={"total_max_attempts": 1}, inject_host_prefix=False, read_timeout=120, max_pool_connections=64
        )
        return session.client(service, endpoint_url=f"http://127.0.0.1:{port}", config=config)

    @property
    def sfn(self) -> Any:
        return self.client("stepfunctions")

    def machine(self, name: str, states: dict[str, Any]) -> str:
        definition = json.dumps({"StartAt": next(iter(states)), "States": states})
        arn: str = self.sfn.create_state_machine(name=name, definition=definition, roleArn=ROLE)["stateMachineArn"]
        return arn

    def ended(self, execution: str, seconds: float = 120) -> dict[str, Any]:
        """DescribeExecution's answer when it has ended."""
        deadline = time.monotonic() + seconds
        while (answer := self.sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)
        found: dict[str, Any] = answer
        return found

    def history(self, execution: str) -> list[dict[str, Any]]:
        """All events, checked."""
        pages = self.sfn.get_paginator("get_execution_history").paginate(executionArn=execution, maxResults=1000)
        events = [event for page in pages for event in page["events"]]
        check_history(seen(events))
        return events

    def function(self, name: str, source: str, **more: Any) -> None:
        """A Lambda function of one file; its handler is `handler`."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("index.py", source)
        self.client("lambda").create_function(
            FunctionName=name, Runtime="python3.12", Handler="index.handler", Role=ROLE,
            Code={"ZipFile": archive.getvalue()}, **{"Timeout": 30} | more,
        )  # fmt: skip


def until(said: Callable[[], Any], seconds: float = 120) -> Any:
    """What `said` says when it says something."""
    deadline = time.monotonic() + seconds
    while not (value := said()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
    return value
