"""Fakes that speak in verbs: `FakeTasks`, `FakeClock`. No network, no sleeping, no mocks.

    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync", JobName="join").succeed({"JobRunState": "SUCCEEDED"})
    tasks.on("glue:startJobRun.sync", JobName="load").fail("States.TaskFailed", "OOM", times=2).succeed({})
    tasks.on("lambda:invoke").answer(lambda arguments: {"Payload": arguments["Payload"]})
    tasks.on("sqs:sendMessage.waitForTaskToken").hand_to(lambda task: task.succeed("yes", after=3600))
    tasks.on("states:startExecution.sync:2").run(other_machine)
    tasks.items([{"id": 1}, {"id": 2}], state="Each")  # what a distributed Map's ItemReader finds

What a distributed Map's ResultWriter would write stands in `tasks.written`.

May import: engine, asl.
"""

from __future__ import annotations

import difflib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from millpond.asl import resources
from millpond.asl.model import Json, Machine
from millpond.engine.doors import Items, TaskCall, Token
from millpond.engine.failure import READER
from millpond.engine.run import Engine
from millpond.errors import MillpondError
from millpond.testing.datasets import Datasets, FakeItems, Written
from millpond.testing.machines import as_machine
from millpond.testing.memory import MemoryStore
from millpond.testing.nested import nested

Answer = Callable[[Json], Json]
Seconds = float


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
    """How a fake task fails. `never`: it does not even answer. `timed_out`: it says so itself, as States.Timeout."""

    error: str = ""
    cause: str | None = None
    never: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Nested:
    """A fake task that is the execution of another machine."""

    machine: Machine


@dataclass(frozen=True, slots=True)
class Handed:
    """A fake task whose end a function of the test decides."""

    function: Callable[[Pending], object]


Outcome = Answer | TaskFailure | Nested | Handed


@dataclass(frozen=True)
class Pending:
    """A task that waits for its end: what was called, its token, and the verbs that a worker or callback has.

    Each verb takes `after`, in virtual seconds. The first end counts; what comes for a task that is over is dropped,
    as AWS refuses it with TaskTimedOut.
    """

    call: TaskCall
    token: Token
    later: Callable[[Seconds, Callable[[], None]], None] = field(repr=False)
    engine: Engine = field(repr=False)

    @property
    def state(self) -> str:
        return self.call.state

    @property
    def arguments(self) -> Json:
        return self.call.arguments

    def succeed(self, output: Json = None, *, after: Seconds = 0.0) -> None:
        """SendTaskSuccess."""
        self.later(after, lambda: self.engine.task_succeeded(self.token, output))

    def fail(self, error: str, cause: str | None = None, *, after: Seconds = 0.0) -> None:
        """SendTaskFailure."""
        self.later(after, lambda: self.engine.task_failed(self.token, error, cause))

    def heartbeat(self, *, after: Seconds = 0.0) -> None:
        """SendTaskHeartbeat."""
        self.later(after, lambda: self.engine.task_heartbeat(self.token))


@dataclass(slots=True)
class FakeTask:
    """What one kind of call answers: outcomes in order, the last for ever. `seconds` is how long it takes."""

    resource: str
    arguments: Mapping[str, object]
    state: str | None = None
    named: frozenset[str] = frozenset()
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: Seconds = 0.0
    beats: Seconds | None = None
    first_answer: Json = field(default_factory=dict)
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

    def fail(self, error: str, cause: str | None = None, *, times: int = 1) -> FakeTask:
        """Fail from now on; with another verb behind it, so many times."""
        for _ in range(times):
            self._then(TaskFailure(error, cause))
        return self

    def fail_once(self, error: str, cause: str | None = None) -> FakeTask:
        """Fail one time; what is said next follows."""
        return self.fail(error, cause)

    def time_out(self, cause: str | None = None) -> FakeTask:
        """The work itself times out: States.Timeout, without waiting for the state's TimeoutSeconds."""
        return self._then(TaskFailure("States.Timeout", cause, timed_out=True))

    def hang(self) -> FakeTask:
        """Never answer: only a timeout, a stop or (in a Simulation) the test ends it."""
        return self._then(TaskFailure(never=True))

    def hand_to(self, function: Callable[[Pending], object]) -> FakeTask:
        """Let a function decide: it gets the Pending task and calls its verbs, now or with `after=`.

        For `.waitForTaskToken` and activities: `pending.token` is what the machine gave away.
        """
        return self._then(Handed(function))

    def run(self, machine: object) -> FakeTask:
        """Simulate another machine with the same fakes: for startExecution and its `.sync` forms.

        It runs when it is called, on a clock of its own; the task takes as long as it took. Its input is the call's
        `Input`, its output has DescribeExecution's form, and where it fails the task fails with States.TaskFailed.
        """
        return self._then(Nested(as_machine(machine)))

    def take(self, seconds: Seconds) -> FakeTask:
        """Answer after so many (virtual) seconds."""
        self.seconds = seconds
        return self

    def beat(self, every: Seconds) -> FakeTask:
        """While it takes its time, send a heartbeat every so many seconds."""
        self.beats = every
        return self

    def submit(self, output: Json) -> FakeTask:
        """What the first call of a `.sync` or `.waitForTaskToken` task answers (TaskSubmitted)."""
        self.first_answer = output
        return self

    def _then(self, outcome: Outcome) -> FakeTask:
        self.outcomes.append(outcome)
        return self

    def matches(self, call: TaskCall) -> bool:
        """Is this call one of those that were described?"""
        return not self.misfit(call)

    def misfit(self, call: TaskCall) -> str:
        """Why a call is none of those that were described; empty when it is one."""
        if self.resource and _plain(call.resource) != _plain(self.resource):
            return f"calls {_short(self.resource)}"
        if self.state is not None and call.state != self.state:
            return f"is for the state '{self.state}'"
        given = call.arguments if isinstance(call.arguments, dict) else {}
        if self.named and not self.named & {value for value in (*given.values(), call.resource) if _is_text(value)}:
            return f"is for {min(self.named)}"
        for name, wanted in self.arguments.items():
            if name not in given:
                return f"wants an argument {name}"
            if not _fits(wanted, given[name]):
                return f"wants {name}={getattr(wanted, '__name__', wanted)!r}"
        return ""

    def next(self, call: TaskCall) -> Outcome:
        """What this call answers."""
        if not self.outcomes:
            raise MillpondError(
                f"tasks.on(...) for the state '{call.state}' says no answer", help="end it with .succeed({...})"
            )
        self.calls.append(call)
        return self.outcomes[min(len(self.calls), len(self.outcomes)) - 1]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _fits(wanted: object, given: Json) -> bool:
    """A function decides; an object wants its own members only; anything else is compared."""
    if callable(wanted):
        return bool(wanted(given))
    if isinstance(wanted, Mapping):
        return isinstance(given, dict) and all(n in given and _fits(w, given[n]) for n, w in wanted.items())
    return wanted == given


def _plain(resource: str) -> str:
    """A service integration's ARN without partition, region and account; others as they are."""
    parts = resource.split(":", 5)
    return f"arn:aws:states:::{parts[5]}" if len(parts) == 6 and parts[2:4] == ["states", ""] else resource


def _short(resource: str) -> str:
    return resource.removeprefix("arn:aws:states:::")


class FakeTasks:
    """The tasks door for tests. Later `on`s win over earlier ones; a call that nobody prepared ends the simulation."""

    def __init__(self) -> None:
        self.fakes: list[FakeTask] = []
        self.depth = 0  # of nested executions
        self._engine: Engine | None = None
        self._clock = FakeClock()
        self._due: list[tuple[float, int, Token, Callable[[], None]]] = []
        self._open: dict[Token, Pending] = {}
        self._number = 0
        self.calls: list[TaskCall] = []
        self.stopped: list[Token] = []
        self.unexpected: TaskCall | None = None
        self.datasets = Datasets()  # what distributed Maps read and write
        self._store: MemoryStore | None = None

    def on(self, resource: object = "", /, *, state: str | None = None, **arguments: object) -> FakeTask:
        """Prepare calls: of a resource, of a state, with these top-level arguments, where given.

        `resource` is an ARN, its end (`"glue:startJobRun.sync"`), or a resource of the project: that stands for every
        call which names it. An argument's value may be a function that says whether it fits, or an object of which
        only the members given are compared. Raises MillpondError for an integration that AWS does not have.
        """
        if isinstance(resource, str):
            fake = FakeTask(_known(resource), arguments, state)
        else:
            fake = FakeTask("", arguments, state, names_of(resource))
        self.fakes.insert(0, fake)
        return fake

    @property
    def unused(self) -> list[FakeTask]:
        """The fakes that were never called."""
        return [fake for fake in self.fakes if not fake.calls]

    def items(self, values: Sequence[Json], *, state: str | None = None, source: str = "S3://bucket/key") -> None:
        """Prepare what the ItemReader of a distributed Map (of that state, where given) finds."""
        self.datasets.prepared[state] = FakeItems(values, source)

    def unreadable(self, cause: str, *, state: str | None = None) -> None:
        """Let an ItemReader fail with States.ItemReaderFailed."""
        self.datasets.prepared[state] = cause

    @property
    def written(self) -> list[Written]:
        """What ResultWriters would have written."""
        return self.datasets.written

    def opened(self, map_run: str) -> Items:
        """What was read for a Map Run."""
        return self.datasets.read[map_run]

    def attach(self, engine: Engine, clock: FakeClock, store: MemoryStore | None = None) -> None:
        """Say who gets the answers, and whose children a ResultWriter writes."""
        self._engine, self._clock, self._store = engine, clock, store

    def start(self, call: TaskCall, token: Token) -> None:
        self.calls.append(call)
        if call.kind in ("reader", "writer"):
            self._side(call, token)
            return
        fake = next((fake for fake in self.fakes if fake.matches(call)), None)
        if fake is None:
            self.unexpected = call
            return
        self._perform(fake, fake.next(call), call, token)

    def _side(self, call: TaskCall, token: Token) -> None:
        """A distributed Map's reader or writer."""
        engine = self._engine
        assert engine is not None
        if call.kind == "writer":
            self._later(token, 0.0, lambda: engine.task_succeeded(token, self.datasets.write(call, self._store)))
            return
        found = self.datasets.reads(call)
        if found is None:
            self.unexpected = call
        elif isinstance(found, str):
            self._later(token, 0.0, lambda: engine.task_failed(token, READER, found))
        else:
            self._later(token, 0.0, lambda: engine.task_succeeded(token, {}))

    def resume(self, call: TaskCall, token: Token) -> None:
        self.start(call, token)

    def stop(self, token: Token) -> None:
        self.stopped.append(token)
        self._open.pop(token, None)
        self._due = [entry for entry in self._due if entry[2] != token]

    @property
    def pending(self) -> list[Pending]:
        """The tasks that nobody has ended yet, in the order of their calls."""
        assert self._engine is not None
        self._open = {token: task for token, task in self._open.items() if self._engine.pending(token) is not None}
        return list(self._open.values())

    def next_due(self) -> float | None:
        """Seconds until the next fake answers."""
        return max(0.0, min(self._due)[0] - self._clock.monotonic()) if self._due else None

    def answer_due(self) -> bool:
        """Report what is due; False when nothing was."""
        now = self._clock.monotonic()
        due = sorted(entry for entry in self._due if entry[0] <= now)
        self._due = [entry for entry in self._due if entry[0] > now]
        for entry in due:
            entry[3]()
        return bool(due)

    def explain(self, call: TaskCall) -> UnexpectedTask:
        """The error for a call that nobody prepared: the fakes that nearly fit, and what to type."""
        if call.kind == "reader":
            return UnexpectedTask(
                f"the Map state '{call.state}' reads {call.resource}, and no items are prepared for it",
                help=f"tasks.items([...], state={call.state!r})",
            )
        near = [f"a fake of this resource {fake.misfit(call)}" for fake in self.fakes if _same_work(fake, call)]
        said = f"; {'; '.join(near)}" if near else ""
        named = next(iter(call.arguments.items()), None) if isinstance(call.arguments, dict) else None
        simple = named is not None and named[0].isidentifier() and isinstance(named[1], str)
        more = f", {named[0]}={named[1]!r}" if named is not None and simple else ""
        called = f"state '{call.state}' called {call.resource} with {json.dumps(call.arguments)}"
        return UnexpectedTask(
            f"{called}, which no fake answers{said}",
            help=f"tasks.on({_short(call.resource)!r}{more}).succeed({{...}})",
        )

    # Performing -----------------------------------------------------------------------------------------------------

    def _later(self, token: Token, seconds: Seconds, act: Callable[[], None]) -> None:
        self._number += 1
        self._due.append((self._clock.monotonic() + seconds, self._number, token, act))

    def _perform(self, fake: FakeTask, outcome: Outcome, call: TaskCall, token: Token) -> None:
        engine = self._engine
        if engine is None:  # no one to hear an answer
            return
        self._open[token] = task = Pending(call, token, lambda after, act: self._later(token, after, act), engine)
        seconds = fake.seconds
        if isinstance(outcome, Nested):
            outcome, took = nested(outcome.machine, call, self, self._clock.now())
            seconds += took
        if fake.beats:
            self._beat(task, fake.beats, None if isinstance(outcome, Handed) or _hangs(outcome) else seconds)
        if not isinstance(outcome, Handed) and not _hangs(outcome):
            ending: Answer | TaskFailure = outcome
            self._later(token, seconds, lambda: self._end(fake, ending, call, token))
            return
        # Someone else ends it: it has begun, and its first call has answered.
        self._later(token, 0.0, lambda: self._begin(fake, call, token))
        if isinstance(outcome, Handed):
            outcome.function(task)

    def _beat(self, task: Pending, every: Seconds, until: Seconds | None) -> None:
        """Heartbeats up to the end, or one after the other for as long as the task waits."""

        def beat(at: Seconds) -> None:
            if until is None or at < until:
                self._later(task.token, every, lambda: send(at))

        def send(at: Seconds) -> None:
            assert self._engine is not None
            if self._engine.pending(task.token) is not None:
                self._engine.task_heartbeat(task.token)
                beat(at + every)

        beat(every)

    def _begin(self, fake: FakeTask, call: TaskCall, token: Token) -> None:
        assert self._engine is not None
        self._engine.task_started(token)
        if call.pattern != "request" and call.kind == "service":
            self._engine.task_submitted(token, fake.first_answer)

    def _end(self, fake: FakeTask, outcome: Answer | TaskFailure, call: TaskCall, token: Token) -> None:
        engine = self._engine
        assert engine is not None
        if not isinstance(outcome, TaskFailure):
            self._begin(fake, call, token)
            engine.task_succeeded(token, outcome(call.arguments))
            return
        engine.task_started(token)
        if outcome.timed_out:
            engine.task_timed_out(token, outcome.error, outcome.cause)
        else:
            engine.task_failed(token, outcome.error, outcome.cause)


def _hangs(outcome: Outcome) -> bool:
    return isinstance(outcome, TaskFailure) and outcome.never


def _same_work(fake: FakeTask, call: TaskCall) -> bool:
    """Is a fake for the same API, though perhaps for another pattern, state or arguments?"""
    return not fake.resource or _plain(fake.resource).partition(".")[0] == _plain(call.resource).partition(".")[0]


def _known(resource: str) -> str:
    """The ARN of a resource. Raises MillpondError where AWS has no such integration."""
    if not resource:
        return ""
    arn = resource if resource.startswith("arn:") else f"arn:aws:states:::{resource}"
    read = resources.read(arn)
    if read is not None and read.known:
        return arn
    service, _, action = _short(arn).partition(":")
    actions = resources.INTEGRATIONS.get(service)
    if actions is None:
        near = difflib.get_close_matches(service, resources.INTEGRATIONS, 1)
        help = f"did you mean {near[0]}:...?" if near else "an ARN, or for example 'glue:startJobRun.sync'"
    else:
        forms = [f"{service}:{name}{suffix}" for name, suffixes in actions.items() for suffix in sorted(suffixes)]
        near = difflib.get_close_matches(f"{service}:{action}", forms, 3, 0.4)
        help = f"did you mean {' or '.join(near)}?" if near else f"{service} has: {', '.join(forms)}"
    raise MillpondError(f"no task can call {resource!r}", help=help)


def names_of(resource: object) -> frozenset[str]:
    """The texts that name a resource of a project in a flow: its name, its tokens. Raises MillpondError for others."""
    found = {getattr(resource, name, None) for name in ("name", "ref", "arn", "physical_name")}
    names = frozenset(name for name in found if isinstance(name, str))
    if not names:
        raise MillpondError(
            f"tasks.on({resource!r}): an ARN, its end, or a declared resource is wanted",
            help="tasks.on('lambda:invoke', FunctionName='check')",
        )
    return names


def parsed(text: str | None) -> Json:
    """JSON text as a value; None stays None."""
    value: Json = None if text is None else json.loads(text)
    return value
