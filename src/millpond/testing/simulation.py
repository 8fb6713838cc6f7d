"""`simulate`: run a machine in process, on a virtual clock, with fake tasks. A one-year Wait takes no time.

    run = simulate(machine, {"day": "2026-11-23"}, tasks=tasks)
    assert run.status == "SUCCEEDED" and run.visited("notify sales-alerts"), run

`Simulation` is the same in steps, for tests that act while the machine waits:

    sim = Simulation(machine, tasks=tasks)          # runs until nothing happens without time passing
    sim.advance(3600)
    sim.task("Approve").succeed({"by": "Ann"})      # a task that hangs: its token is sim.task("Approve").token
    run = sim.finish()

It is the very engine that the endpoint runs. May import: engine, asl.
"""

from __future__ import annotations

import contextlib
import gc
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from millpond.asl import mocks as mock_config
from millpond.asl.model import Json, Machine
from millpond.engine import YOUNG_OBJECTS, mocked
from millpond.engine.doors import Items, Start, TaskCall, Tasks, Token
from millpond.engine.run import Engine
from millpond.errors import DefinitionError, MillpondError
from millpond.testing.fakes import FakeClock, FakeTasks, Pending, parsed
from millpond.testing.machines import as_machine, name_of, refused
from millpond.testing.memory import MemoryStore
from millpond.testing.runs import Run

ACCOUNT = "111111111111"
_HAIR = 1e-6
"""A little more than due, so that the sum of floats reaches it."""


class Stuck(MillpondError):
    """The machine waits for something that will never come."""


class Simulation:
    """An execution that a test goes through step by step. See the module's docstring, and `simulate` for the rest."""

    def __init__(
        self,
        machine: object,
        input: Json = None,
        *,
        tasks: FakeTasks | None = None,
        clock: FakeClock | None = None,
        name: str = "simulation",
        machine_name: str | None = None,
        start_at: str | None = None,
        variables: Mapping[str, Json] | None = None,
        mocks: object = None,
        case: str | None = None,
        quotas: bool = True,
        express: bool = False,
        check: bool = True,
    ) -> None:
        model = as_machine(machine)
        if check and (errors := refused(machine, model, express=express)):
            where = f" at {errors[0].location}" if errors[0].location else ""
            error = DefinitionError(f"AWS would refuse this definition: {errors[0].message}{where}", errors)
            error.help = "check=False runs it all the same"
            raise error
        if start_at is not None:
            if start_at not in model.states:
                raise MillpondError(f"no state is called '{start_at}'", help=f"its states: {', '.join(model.states)}")
            model = replace(model, start_at=start_at)
        self.tasks, self.clock = tasks or FakeTasks(), clock or FakeClock()
        self._store = MemoryStore()
        title = machine_name or name_of(machine)
        door: Tasks = self.tasks
        if mocks is not None:
            door = _Mocked(self.tasks, test_case(mocks, title, case))
        self.engine = Engine(self.clock, door, self._store)
        if isinstance(door, _Mocked):
            door.engine = self.engine
        self.tasks.attach(self.engine, self.clock, self._store)
        given = {} if input is None else input
        self._start = replace(
            start_of(model, given, name, self.clock.now(), quotas, express, title), variables=variables
        )
        self._before = len(self.tasks.calls)
        self.engine.start(self._start)
        self.settle()

    @property
    def ended(self) -> bool:
        """Is it over?"""
        return self._start.execution in self._store.ended

    def settle(self) -> None:
        """Let everything happen that needs no time. Raises UnexpectedTask."""
        while not self.ended:
            with _seldom_collecting():
                self.engine.run_until_idle()
            if self.tasks.unexpected is not None:
                raise self.tasks.explain(self.tasks.unexpected)
            if not self.tasks.answer_due():
                return

    def advance(self, seconds: float) -> None:
        """Let virtual time pass, and happen what it brings."""
        until = self.clock.monotonic() + seconds
        self.settle()
        while not self.ended and (left := until - self.clock.monotonic()) > 0:
            due = self._next()
            self.clock.advance(left if due is None or due > left else due + _HAIR)
            self.settle()

    def _next(self) -> float | None:
        waits = [seconds for seconds in (self.engine.next_timer(), self.tasks.next_due()) if seconds is not None]
        return min(waits) if waits else None

    @property
    def pending(self) -> list[Pending]:
        """The tasks that wait for their end: fakes that hang or were handed over, or take their time."""
        self.settle()
        return self.tasks.pending

    def task(self, state: str) -> Pending:
        """The task of a state that waits for its end. Raises MillpondError when it does not wait."""
        found = [task for task in self.pending if task.state == state]
        if not found:
            waiting = ", ".join(task.state for task in self.tasks.pending) or "none"
            raise MillpondError(f"no task of the state '{state}' waits", help=f"waiting: {waiting}")
        return found[-1]

    def stop(self, error: str | None = None, cause: str | None = None) -> None:
        """StopExecution."""
        self.engine.stop(self._start.execution, error, cause)
        self.settle()

    def finish(self) -> Run:
        """Let time pass until the end. Raises Stuck when nothing can ever happen any more, UnexpectedTask."""
        self.settle()
        while not self.ended:
            due = self._next()
            if due is None:
                waiting = ", ".join(f"'{task.state}' ({task.call.resource})" for task in self.tasks.pending)
                raise Stuck(
                    f"{self._start.execution} waits for a task that never answers and has no timeout: {waiting}\n"
                    f"{self.run}",
                    help="give the state a TimeoutSeconds, or end the task: Simulation(...).task(STATE).succeed(...)",
                )
            self.clock.advance(due + _HAIR)
            self.settle()
        return self.run

    @property
    def run(self) -> Run:
        """The execution as it is now."""
        end = self._store.ended.get(self._start.execution)
        events = tuple(self._store.events.get(self._start.execution, ()))
        own = self._start.machine_arn  # with children of distributed Maps, without nested executions
        calls = tuple(call for call in self.tasks.calls[self._before :] if call.machine_arn.partition("/")[0] == own)
        seconds = self.clock.now() - self._start.started_at
        if end is None:
            return Run("RUNNING", events=events, calls=calls, seconds=seconds, family=self._family)
        output = parsed(end.output)
        return Run(end.status, output, end.error, end.cause, events, calls, seconds, family=self._family)

    def _family(self) -> Iterator[Run]:
        """The children of distributed Maps as they are now."""
        for child, events in self._store.born():
            seconds = (child.stopped or self.clock.now()) - child.birth.started
            output = parsed(child.output)
            yield Run(child.status, output, child.error, child.cause, tuple(events), seconds=seconds)


def simulate(
    machine: object,
    input: Json = None,
    *,
    tasks: FakeTasks | None = None,
    clock: FakeClock | None = None,
    name: str = "simulation",
    machine_name: str | None = None,
    start_at: str | None = None,
    variables: Mapping[str, Json] | None = None,
    mocks: object = None,
    case: str | None = None,
    quotas: bool = True,
    express: bool = False,
    check: bool = True,
) -> Run:
    """Run a machine to its end: a model, a declared StateMachine, a definition as JSON text or value, or a file of one.

    `start_at` and `variables` begin in the middle. `mocks` is Step Functions Local's mock configuration (its file, text
    or value) and `case` the test case: states that it does not name go to `tasks`. `quotas=False` switches AWS's limits
    on events and payload off; `check=False` runs definitions that AWS would not create.

    Raises UnexpectedTask for a call that `tasks` was not prepared for, Stuck when nothing can ever happen any more,
    DefinitionError for a definition that AWS would refuse.
    """
    return Simulation(
        machine,
        input,
        tasks=tasks,
        clock=clock,
        name=name,
        machine_name=machine_name,
        start_at=start_at,
        variables=variables,
        mocks=mocks,
        case=case,
        quotas=quotas,
        express=express,
        check=check,
    ).finish()


def start_of(
    machine: Machine,
    input: Json,
    name: str,
    now: float,
    quotas: bool,
    express: bool,
    machine_name: str = "machine",
) -> Start:
    """A Start with made-up ARNs; the token secret is fixed, so that tokens are the same in each run."""
    kind = "express" if express else "execution"
    return Start(
        execution=f"arn:aws:states:us-east-1:{ACCOUNT}:{kind}:{machine_name}:{name}{':0' if express else ''}",
        name=name,
        machine=machine,
        machine_arn=f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:{machine_name}",
        machine_name=machine_name,
        role=f"arn:aws:iam::{ACCOUNT}:role/simulation",
        input=input,
        secret=b"simulation".ljust(16, b"."),
        started_at=now,
        express=express,
        event_quota=25_000 if quotas else 0,
        payload_quota=262_144 if quotas else 0,
    )


@contextlib.contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Python looks for garbage seldom: the history of a large Map, which is none, was searched again and again, for
    half of the time. Who has switched the search off finds it so."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(max(before[0], YOUNG_OBJECTS), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def drive(engine: Engine, fakes: FakeTasks, clock: FakeClock, store: MemoryStore, start: Start) -> None:
    """Let an engine run, answer tasks and move the clock until the execution has ended."""
    while start.execution not in store.ended:
        engine.run_until_idle()
        if fakes.unexpected is not None:
            raise fakes.explain(fakes.unexpected)
        if fakes.answer_due() or start.execution in store.ended:
            continue
        waits = [seconds for seconds in (engine.next_timer(), fakes.next_due()) if seconds is not None]
        if not waits:
            raise Stuck(f"{start.execution} waits for a task that never answers and has no timeout")
        clock.advance(min(waits) + _HAIR)


# ---------------------------------------------------------------------------------------------------------------- mocks


def test_case(mocks: object, machine: str, case: str | None) -> mock_config.Case:
    """The test case of a mock configuration: the only machine or case of it may be left unnamed."""
    config = as_mocks(mocks)
    if machine not in config.machines and len(config.machines) == 1:
        machine = next(iter(config.machines))
    cases = config.machines.get(machine, {})
    if case is None:
        if len(cases) != 1:
            known = ", ".join(cases) or "none"
            raise MillpondError("which test case?", help=f"simulate(..., case=NAME); those of '{machine}': {known}")
        case = next(iter(cases))
    return config.case(machine, case)


def as_mocks(mocks: object) -> mock_config.MockConfig:
    """The configuration that a file, its name, its text or its value holds. Raises DefinitionError, MillpondError."""
    match mocks:
        case mock_config.MockConfig():
            return mocks
        case Mapping():
            return mock_config.read(json.dumps(mocks))
        case str() if mocks.lstrip().startswith("{"):
            return mock_config.read(mocks)
        case str() | Path():
            try:
                return mock_config.read(Path(mocks).read_text("utf-8"), str(mocks))
            except (OSError, UnicodeDecodeError) as error:
                raise MillpondError(f"{mocks} cannot be read: {error}") from None
    raise MillpondError(f"a mock configuration is wanted, not {type(mocks).__name__}", help="its Path, text or value")


test_case.__test__ = False  # type: ignore[attr-defined]  # pytest collects what tests import


class _Mocked:
    """The Tasks door that answers mocked states, in front of the fakes."""

    def __init__(self, behind: FakeTasks, case: mock_config.Case) -> None:
        self._behind, self._case = behind, case
        self._calls: Counter[str] = Counter()
        self.engine: Engine

    def opened(self, map_run: str) -> Items:
        return self._behind.opened(map_run)

    def start(self, call: TaskCall, token: Token) -> None:
        response = self._case.responses.get(call.state)
        if response is None or call.kind in ("reader", "writer"):
            self._behind.start(call, token)
            return
        self._behind.calls.append(call)
        mocked.answer(self.engine, call, token, response, self._calls)

    def resume(self, call: TaskCall, token: Token) -> None:
        self.start(call, token)

    def stop(self, token: Token) -> None:
        self._behind.stop(token)
