"""`simulate`: run a machine in process, on a virtual clock, with fake tasks. A one-year Wait takes no time.

    run = simulate(machine, {"day": "2026-11-23"}, tasks=tasks)
    assert run.status == "SUCCEEDED" and run.visited("notify sales-alerts")

It is the very engine that the endpoint runs. May import: engine, asl.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from millpond.asl import from_json
from millpond.asl.model import Json, Machine
from millpond.engine.doors import Event, Start, Status, TaskCall
from millpond.engine.history import to_aws
from millpond.engine.run import Engine
from millpond.errors import MillpondError
from millpond.testing.fakes import FakeClock, FakeTasks, MemoryStore, UnexpectedTask, parsed

ACCOUNT = "111111111111"


class Stuck(MillpondError):
    """The machine waits for something that will never come."""


@dataclass(frozen=True)
class Run:
    """A finished simulation. `output` is a JSON value; `seconds` is virtual time."""

    status: Status
    output: Json
    error: str | None
    cause: str | None
    events: tuple[Event, ...]
    calls: tuple[TaskCall, ...]
    seconds: float

    @property
    def history(self) -> list[dict[str, Json]]:
        """The events as GetExecutionHistory shows them."""
        return [to_aws(event) for event in self.events]

    @property
    def states(self) -> list[str]:
        """The names of the states in the order they were entered."""
        return [event.name or "" for event in self.events if event.type.endswith("StateEntered")]

    def visited(self, name: str) -> bool:
        """Was this state entered?"""
        return name in self.states


def simulate(
    machine: Machine | Mapping[str, Json] | str | Path,
    input: Json = None,
    *,
    tasks: FakeTasks | None = None,
    clock: FakeClock | None = None,
    name: str = "simulation",
    quotas: bool = True,
    express: bool = False,
) -> Run:
    """Run a machine (a model, a definition as JSON text or value, or a file of one) to its end.

    `quotas=False` switches AWS's limits on events and payload off. Raises UnexpectedTask for a call that `tasks` was
    not prepared for, Stuck when nothing can ever happen any more, DefinitionError for a malformed definition.
    """
    fakes, time, store = tasks or FakeTasks(), clock or FakeClock(), MemoryStore()
    engine = Engine(time, fakes, store)
    fakes.attach(engine, time)
    start = start_of(as_machine(machine), {} if input is None else input, name, time.now(), quotas, express)
    engine.start(start)
    drive(engine, fakes, time, store, start)
    end = store.ended[start.execution]
    return Run(
        end.status,
        parsed(end.output),
        end.error,
        end.cause,
        tuple(store.events[start.execution]),
        tuple(fakes.calls),
        time.now() - start.started_at,
    )


def as_machine(machine: Machine | Mapping[str, Json] | str | Path) -> Machine:
    """The model of whatever describes a machine."""
    match machine:
        case Machine():
            return machine
        case Path():
            return from_json(machine.read_text())
        case _:
            return from_json(machine)


def start_of(machine: Machine, input: Json, name: str, now: float, quotas: bool, express: bool) -> Start:
    """A Start with made-up ARNs; the token secret is fixed, so that tokens are the same in each run."""
    kind = "express" if express else "execution"
    return Start(
        execution=f"arn:aws:states:us-east-1:{ACCOUNT}:{kind}:machine:{name}{':0' if express else ''}",
        name=name,
        machine=machine,
        machine_arn=f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:machine",
        machine_name="machine",
        role=f"arn:aws:iam::{ACCOUNT}:role/simulation",
        input=input,
        secret=b"simulation".ljust(16, b"."),
        started_at=now,
        express=express,
        event_quota=25_000 if quotas else 0,
        payload_quota=262_144 if quotas else 0,
    )


def drive(engine: Engine, fakes: FakeTasks, clock: FakeClock, store: MemoryStore, start: Start) -> None:
    """Let the engine run, answer tasks and move the clock until the execution has ended."""
    while start.execution not in store.ended:
        engine.run_until_idle()
        if fakes.unexpected is not None:
            call = fakes.unexpected
            raise UnexpectedTask(
                f"state '{call.state}' called {call.resource} with {json.dumps(call.arguments)}, which no fake answers",
                help=f"tasks.on({call.resource!r}).succeed({{...}})",
            )
        if fakes.answer_due() or start.execution in store.ended:
            continue
        waits = [seconds for seconds in (engine.next_timer(), fakes.next_due()) if seconds is not None]
        if not waits:
            raise Stuck(f"{start.execution} waits for a task that never answers and has no timeout")
        # A hair more than due, so that the sum of floats reaches it.
        clock.advance(min(waits) + 1e-6)
