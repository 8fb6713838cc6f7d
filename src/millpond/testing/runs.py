"""`Run`: what a test asks of an execution, whether it was simulated or ran on an endpoint.

    assert run.visited("Notify") and run.error == "States.TaskFailed", run
    assert run.arguments_of("Join") == [{"JobName": "join"}] and run.retries("Join") == 2

Printing a run (`print(run)`, `assert ..., run`) shows the path that it took, the failed state and its cause. All of it
is read from the history, with the reader of `millpond show`. May import: engine, aws.history.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from millpond.asl.model import Json
from millpond.engine.doors import Event, TaskCall
from millpond.engine.history import to_aws

if TYPE_CHECKING:
    from millpond.aws.history import StepRun

WORDS = {"SUCCEEDED": "ok", "FAILED": "FAIL", "RUNNING": "...", "ABORTED": "stop", "TIMED_OUT": "TIME"}
_LONGEST = 300
_MOST_STEPS = 60


class Moment(NamedTuple):
    """A line of the timeline: `seconds` since the start, the state's name, the history event's type, its error."""

    seconds: float
    state: str
    event: str
    error: str | None = None


@dataclass(frozen=True, repr=False)
class Run:
    """An execution, ended or (in a Simulation) still going on.

    `output` is a JSON value; `seconds` is time of the execution's clock, which is virtual in a simulation; `calls` are
    the calls that reached the fakes, in order (a simulation's only: see `arguments_of` for what both have).
    """

    status: str
    output: Json = None
    error: str | None = None
    cause: str | None = None
    events: tuple[Event, ...] = ()
    calls: tuple[TaskCall, ...] = ()
    seconds: float = 0.0
    recorded: Sequence[Mapping[str, Json]] | None = field(default=None, compare=False)
    """The history where it was read from GetExecutionHistory, timestamps in epoch seconds."""
    family: Callable[[], Iterable[Run]] | None = field(default=None, compare=False)
    """Reads `children`, when they are asked for."""

    @cached_property
    def children(self) -> tuple[Run, ...]:
        """The child executions of its distributed Maps, each a run of its own."""
        return tuple(self.family()) if self.family is not None else ()

    @cached_property
    def history(self) -> list[dict[str, Json]]:
        """The events as GetExecutionHistory shows them; timestamps in epoch seconds."""
        if self.recorded is not None:
            return [dict(event) for event in self.recorded]
        return [to_aws(event) for event in self.events]

    @cached_property
    def states(self) -> list[str]:
        """The names of the states in the order they were entered."""
        if self.recorded is None:
            return [event.name or "" for event in self.events if event.type.endswith("StateEntered")]
        return [step.name for step in self.steps]

    def visited(self, name: str) -> bool:
        """Was this state entered, by the execution or by a child of one of its distributed Maps?"""
        return name in self.states or any(child.visited(name) for child in self.children)

    @cached_property
    def steps(self) -> list[StepRun]:
        """Every entering of a state: status, error, cause, attempts, input, output, what it is inside of."""
        from millpond.aws.history import History

        read = History()
        for event in self.history:
            at = event["timestamp"]
            assert isinstance(at, int | float)
            read.read([event | {"timestamp": dt.datetime.fromtimestamp(at, dt.UTC)}])
        last = read.steps[-1] if read.steps else None
        if last is not None and last.kind == "Fail" and self.status == "FAILED":  # only the execution's end says why
            last.error, last.cause = self.error, self.cause
        return read.steps

    def step(self, name: str) -> StepRun:
        """The last entering of a state. Raises AssertionError with the path where it was never entered."""
        found = [step for step in self.steps if step.name == name]
        if not found:
            raise AssertionError(f"state '{name}' was never entered{_meant(name, self.states)}\n{self}")
        return found[-1]

    def arguments_of(self, name: str) -> list[Json]:
        """What a state called its resource with, one value an attempt."""
        if self.calls:
            return [call.arguments for call in self.calls if call.state == name]
        return [value for state, value in self._scheduled if state == name]

    def retries(self, name: str) -> int:
        """How often a state was tried again, over all its enterings."""
        return sum(max(0, step.attempts - 1) for step in self.steps if step.name == name)

    @cached_property
    def variables(self) -> dict[str, Json]:
        """The variables of the outermost scope as they were at the end."""
        outermost = {id(step) for step in self.steps if step.inside is None}
        names = {step.name for step in self.steps if id(step) in outermost}
        found: dict[str, Json] = {}
        for event in self.history:
            details = event.get("stateExitedEventDetails")
            if isinstance(details, dict) and details["name"] in names:
                assigned = details.get("assignedVariables")
                texts = assigned if isinstance(assigned, dict) else {}
                found |= {name: json.loads(str(text)) for name, text in texts.items()}
        return found

    @cached_property
    def timeline(self) -> list[Moment]:
        """What happened when: every event that belongs to a state, with the seconds since the start."""
        return [
            Moment(round(at, 3), state, str(event["type"]), _error_of(event))
            for event, state, at in self._placed
            if state is not None
        ]

    @property
    def failed_step(self) -> StepRun | None:
        """The state that ended the execution; None when it was none."""
        if self.status == "SUCCEEDED":
            return None
        failed = [step for step in self.steps if step.status == "FAILED"]
        same = [step for step in failed if step.error == self.error and step.cause == self.cause]
        best = same or failed
        return best[-1] if best else None

    def must_succeed(self) -> Json:
        """The output. Raises AssertionError with the path and the cause when the execution did not succeed."""
        if self.status != "SUCCEEDED":
            raise AssertionError(f"expected SUCCEEDED\n{self}")
        return self.output

    def must_fail(self, error: str | None = None) -> str:
        """The cause ("" without one). Raises AssertionError when it did not fail, or with another error."""
        if self.status == "SUCCEEDED" or (error is not None and self.error != error):
            raise AssertionError(f"expected a failure with {error or 'any error'}\n{self}")
        return self.cause or ""

    def explain(self) -> str:
        """The path, a line a step, and why it ended so."""
        return "\n".join(self._lines())

    def __str__(self) -> str:
        return self.explain()

    def __repr__(self) -> str:
        why = f" {self.error}: {_cut(self.cause or '', 120)}" if self.error else ""
        failed = self.failed_step
        at = f" at '{failed.name}'" if failed else ""
        path = self.states if len(self.states) <= 8 else [*self.states[:3], "...", *self.states[-4:]]
        return f"<Run {self.status}{at}{why} ({' > '.join(path)})>"

    # Reading the history --------------------------------------------------------------------------------------------

    @cached_property
    def _placed(self) -> list[tuple[dict[str, Json], str | None, float]]:
        """Each event, the state it belongs to, the seconds since the start."""
        names: dict[Json, str] = {}
        found = []
        for event in self.history:
            details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails")
            state = str(details["name"]) if isinstance(details, dict) else names.get(event.get("previousEventId"))
            if str(event["type"]).startswith("Execution"):
                state = None
            if state is not None:
                names[event["id"]] = state
            found.append((event, state, _number(event["timestamp"]) - _number(self.history[0]["timestamp"])))
        return found

    @cached_property
    def _scheduled(self) -> list[tuple[str, Json]]:
        found = []
        for event, state, _ in self._placed:
            if state is not None and str(event["type"]).endswith("Scheduled"):
                details = next((v for k, v in event.items() if k.endswith("EventDetails")), None)
                text = details.get("parameters", details.get("input")) if isinstance(details, dict) else None
                found.append((state, json.loads(text) if isinstance(text, str) else None))
        return found

    def _family_lines(self) -> Iterator[str]:
        if self.children:
            yield f"  child executions: {_counted(self.children)}"
        failed = next((child for child in self.children if child.status not in ("SUCCEEDED", "RUNNING")), None)
        if failed is not None:
            yield from (f"    {line}" for line in failed.explain().splitlines())

    def _lines(self) -> Iterator[str]:
        why = f": {self.error}" if self.error else ""
        if self.error and self.cause:
            why += f": {_cut(self.cause, _LONGEST)}"
        yield f"{self.status} after {_duration(self.seconds)}{why}"
        if not self.steps:
            yield "  no state was entered"
            return
        began = self.steps[0].started
        shown = self.steps if len(self.steps) <= _MOST_STEPS else self.steps[-_MOST_STEPS:]
        if len(shown) < len(self.steps):
            yield f"  ... {len(self.steps) - len(shown)} steps before"
        for step in shown:
            yield _line(step, (step.started - began).total_seconds())
        yield from self._family_lines()
        failed = self.failed_step
        if failed is not None:
            because = f": {_cut(failed.cause, _LONGEST)}" if failed.cause else ""
            yield f"  '{failed.name}' failed: {failed.error or self.error}{because}"
            if arguments := self.arguments_of(failed.name):
                yield f"  it had called {failed.resource or 'its resource'} with {_cut(json.dumps(arguments[-1]), 200)}"
        elif self.status == "SUCCEEDED":
            yield f"  output: {_cut(json.dumps(self.output), _LONGEST)}"


def _counted(children: Sequence[Run]) -> str:
    found = Counter(child.status for child in children)
    return ", ".join(f"{count} {status}" for status, count in sorted(found.items()))


def _line(step: StepRun, at: float) -> str:
    name = step.name if step.item is None else f"{step.name}[{step.item}]"
    text = f"  {_duration(at):>9}  {WORDS.get(step.status, step.status):<5}{'  ' * step.depth}{name}"
    remarks = [step.kind]
    if step.attempts > 1:
        remarks.append(f"{step.attempts} attempts")
    if step.seconds:
        remarks.append(f"took {_duration(step.seconds)}")
    if step.error:
        remarks.append(f"{step.error}: {_cut(step.cause or '', 80)}" if step.cause else step.error)
    return f"{text:<46}  {', '.join(remarks)}"


def _meant(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, set(known), 1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _error_of(event: Mapping[str, Json]) -> str | None:
    details = next((value for key, value in event.items() if key.endswith("EventDetails")), None)
    error = details.get("error") if isinstance(details, dict) else None
    return error if isinstance(error, str) else None


def _number(value: Json) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _duration(seconds: float) -> str:
    """`0.5 s`, `1m 40s`, `365d 0h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
