"""Fakes that speak in verbs: `FakeTasks`, `FakeClock`, `MemoryStore`. No network, no sleeping, no mocks.

    tasks = FakeTasks()
    tasks.on("arn:aws:states:::glue:startJobRun.sync", JobName="join").succeed({"JobRunState": "SUCCEEDED"})
    tasks.on("arn:aws:states:::glue:startJobRun.sync", JobName="load").fail_once("States.TaskFailed", "OOM").succeed({})
    tasks.on("arn:aws:states:::lambda:invoke").answer(lambda arguments: {"Payload": arguments["Payload"]})

May import: engine, asl.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from millpond.asl.model import Json
from millpond.engine.doors import Batch, Ended, Event, FrameRow, ItemRow, Snapshot, Start, TaskCall, Token
from millpond.engine.history import ENDS
from millpond.engine.run import Engine
from millpond.errors import MillpondError

Answer = Callable[[Json], Json]


class UnexpectedTask(MillpondError):
    """The machine called a task that the test did not prepare."""


class FakeClock:
    """A clock that only moves when told. `random` is seeded, so jitter is exact; `advance` moves both times."""

    def __init__(self, now: float = 1_764_000_000.0, seed: int = 0) -> None:
        self._now, self._monotonic = now, 1_000.0
        self._random = random.Random(seed)

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def random(self) -> float:
        return self._random.random()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Somebody changes the wall clock; no time passes."""
        self._now += seconds


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """How a fake task fails. `never`: it does not even answer (for timeouts)."""

    error: str = ""
    cause: str | None = None
    never: bool = False


Outcome = Answer | TaskFailure


@dataclass(slots=True)
class FakeTask:
    """What one kind of call answers: outcomes in order, the last for ever. `seconds` is how long it takes."""

    resource: str
    arguments: Mapping[str, Json]
    state: str | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    calls: list[TaskCall] = field(default_factory=list)

    def succeed(self, output: Json = None) -> FakeTask:
        """Answer with this from now on (after what was said before)."""
        return self._then(lambda arguments: output)

    def answer(self, function: Answer) -> FakeTask:
        """Answer with a function of the arguments."""
        return self._then(function)

    def echo(self) -> FakeTask:
        """Answer with the arguments themselves."""
        return self._then(lambda arguments: arguments)

    def fail(self, error: str, cause: str | None = None) -> FakeTask:
        """Fail from now on."""
        return self._then(TaskFailure(error, cause))

    def fail_once(self, error: str, cause: str | None = None) -> FakeTask:
        """Fail one time; what is said next follows."""
        return self.fail(error, cause)

    def hang(self) -> FakeTask:
        """Never answer: only a timeout or a stop ends it."""
        return self._then(TaskFailure(never=True))

    def take(self, seconds: float) -> FakeTask:
        """Answer after so many (virtual) seconds."""
        self.seconds = seconds
        return self

    def _then(self, outcome: Outcome) -> FakeTask:
        self.outcomes.append(outcome)
        return self

    def matches(self, call: TaskCall) -> bool:
        if call.resource != self.resource or (self.state is not None and call.state != self.state):
            return False
        given = call.arguments if isinstance(call.arguments, dict) else {}
        return all(name in given and given[name] == value for name, value in self.arguments.items())

    def next(self, call: TaskCall) -> Outcome:
        self.calls.append(call)
        if not self.outcomes:
            return lambda arguments: {}
        return self.outcomes[min(len(self.calls), len(self.outcomes)) - 1]


class FakeTasks:
    """The tasks door for tests. Later `on`s win over earlier ones; a call that nobody prepared ends the simulation."""

    def __init__(self) -> None:
        self._fakes: list[FakeTask] = []
        self._engine: Engine | None = None
        self._clock = FakeClock()
        self._due: list[tuple[float, int, TaskCall, Token, Outcome]] = []
        self.calls: list[TaskCall] = []
        self.stopped: list[Token] = []
        self.unexpected: TaskCall | None = None

    def on(self, resource: str, /, *, state: str | None = None, **arguments: Json) -> FakeTask:
        """Prepare calls of a resource: with these top-level arguments, and of that state, where given."""
        fake = FakeTask(resource, arguments, state)
        self._fakes.insert(0, fake)
        return fake

    def attach(self, engine: Engine, clock: FakeClock) -> None:
        """Say who gets the answers."""
        self._engine, self._clock = engine, clock

    def start(self, call: TaskCall, token: Token) -> None:
        self.calls.append(call)
        fake = next((fake for fake in self._fakes if fake.matches(call)), None)
        if fake is None:
            self.unexpected = call
            return
        outcome = fake.next(call)
        self._due.append((self._clock.monotonic() + fake.seconds, len(self.calls), call, token, outcome))

    def resume(self, call: TaskCall, token: Token) -> None:
        self.start(call, token)

    def stop(self, token: Token) -> None:
        self.stopped.append(token)
        self._due = [entry for entry in self._due if entry[3] != token]

    def next_due(self) -> float | None:
        """Seconds until the next fake answers."""
        due = [entry[0] for entry in self._due if not isinstance(entry[4], TaskFailure) or not entry[4].never]
        return max(0.0, min(due) - self._clock.monotonic()) if due else None

    def answer_due(self) -> bool:
        """Report what is due; False when nothing was."""
        now = self._clock.monotonic()
        due = sorted(entry for entry in self._due if entry[0] <= now and not _hangs(entry[4]))
        self._due = [entry for entry in self._due if entry not in due]
        for _, _, call, token, outcome in due:
            self._report(call, token, outcome)
        return bool(due)

    def _report(self, call: TaskCall, token: Token, outcome: Outcome) -> None:
        assert self._engine is not None
        self._engine.task_started(token)
        if isinstance(outcome, TaskFailure):
            self._engine.task_failed(token, outcome.error, outcome.cause)
            return
        if call.pattern != "request" and call.kind == "service":
            self._engine.task_submitted(token, {})
        self._engine.task_succeeded(token, outcome(call.arguments))


def _hangs(outcome: Outcome) -> bool:
    return isinstance(outcome, TaskFailure) and outcome.never


class MemoryStore:
    """A store that forgets at exit; `snapshot` gives what a real one would give after a restart."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.frames: dict[str, dict[int, FrameRow]] = {}
        self.items: dict[str, list[ItemRow]] = {}
        self.ended: dict[str, Ended] = {}
        self.barriers = 0

    def append(self, batch: Batch) -> None:
        events = self.events.setdefault(batch.execution, [])
        events.extend(batch.events)
        frames = self.frames.setdefault(batch.execution, {})
        for row in batch.frames:
            frames[row.key] = row
        items = self.items.setdefault(batch.execution, [])
        items.extend(batch.items)
        if batch.gone:
            gone = set(batch.gone)
            for key in gone:
                frames.pop(key, None)
            self.items[batch.execution] = [item for item in items if item.fork not in gone]
        if batch.ended is not None:
            self.ended[batch.execution] = batch.ended
            if batch.ended.status == "SUCCEEDED":
                frames.clear()
                self.items[batch.execution] = []

    def barrier(self) -> None:
        self.barriers += 1

    def snapshot(self, start: Start) -> Snapshot:
        """The execution as `Engine.restore` wants it."""
        events = self.events.get(start.execution, [])
        last = events[-1] if events else None
        items = {(item.fork, item.index): item for item in self.items.get(start.execution, [])}
        return Snapshot(
            start,
            last.id if last else 0,
            last.at if last else start.started_at,
            list(self.frames.get(start.execution, {}).values()),
            list(items.values()),
            over=last is not None and last.type in ENDS,
        )


def parsed(text: str | None) -> Json:
    """JSON text as a value; None stays None."""
    value: Json = None if text is None else json.loads(text)
    return value
