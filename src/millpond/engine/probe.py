"""Run one state by itself, and show what its fields made of its input: TestState.

    probed = probe(Trial(name, state, "JSONata", start), perform)

The state is compiled and evaluated as in an execution; only its waiting is another's: `perform` does a Task's call, and
gives (or raises as StateFailed) what was mocked for a Map or Parallel. Retriers are not waited for but reported. An
error that a nested state does not handle is its parent's: a Map's or Parallel's Retry and Catch are asked.

**Limits**: the shown stages are evaluated beside the state itself, so an intrinsic function that makes a new value
each time (States.UUID) shows another one there. A parent that catches sees the nested state's input as its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from millpond.asl.graph import targets
from millpond.asl.model import (
    ABSENT,
    Absent,
    Json,
    Machine,
    Map,
    Parallel,
    QueryLanguage,
    State,
    Succeed,
    Task,
    language,
)
from millpond.asl.paths import EvaluationError
from millpond.engine import stages
from millpond.engine.doors import Batch, Clock, Start, TaskCall
from millpond.engine.failure import TOLERANCE, StateFailed, find_catcher, find_retrier, retry_delay, too_large
from millpond.engine.frame import NONE, Frame, Ledger, Run, context_of, exceeds, to_text
from millpond.engine.node import Call, Delay, Distribute, Exit, Split
from millpond.engine.states import compile_machine
from millpond.engine.tasks import call_of

ENTERED = 2
"""The event at which an execution's first state is entered: causes of failures name it."""

Perform = Callable[[TaskCall | Delay | None], Json]
"""Does what the state waits for; None is asked for the results of a Map or Parallel. Raises StateFailed."""

Outcome = Literal["SUCCEEDED", "FAILED", "RETRIABLE", "CAUGHT_ERROR"]


@dataclass(frozen=True, slots=True)
class Parent:
    """A Map or Parallel around the state. `spoken` as in `Trial`."""

    name: str
    state: Map | Parallel
    spoken: QueryLanguage | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to run. `spoken` is the machine's query language; `context` replaces the context object; `retries` is how
    often the retrier that applies has retried already; `parents` are around the state, the next one first. Of a Map:
    `read` is what its ItemReader finds, `failures` how many of its iterations failed."""

    name: str
    state: State
    start: Start
    clock: Clock
    spoken: QueryLanguage | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    context: dict[str, Json] | None = None
    retries: int = 0
    parents: tuple[Parent, ...] = ()
    read: Json | Absent = ABSENT
    failures: int = 0


@dataclass(slots=True)
class Probed:
    """How it went. `output` is JSON text; `stages` are TestState's inspection data: JSON text, or numbers."""

    status: Outcome = "SUCCEEDED"
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    next: str | None = None
    stages: dict[str, Json] = field(default_factory=dict)


class _Frame(Frame):
    """A frame whose context object may be given. In a Map it is that of the first iteration, the input being the item
    ("Automatic Context population")."""

    __slots__ = ("given", "inside")
    given: dict[str, Json] | None
    inside: Map | None

    @property
    def context(self) -> dict[str, Json]:
        return super().context if self.given is None else self.given

    def _item(self) -> Json:
        if self.inside is None:
            return None
        item: dict[str, Json] = {"Index": 0, "Value": self.raw}
        if self.inside.mode == "DISTRIBUTED" and self.inside.item_reader is None:
            item["Source"] = "STATE_DATA"
        return item


def probe(trial: Trial, perform: Perform) -> Probed:
    """Run the state. Raises PathSyntaxError for an expression that has no meaning, TooManyFailures."""
    frame = _frame(trial)
    probed = Probed()
    is_jsonata = language(trial.state, trial.spoken) == "JSONata"
    probed.stages["input"] = to_text(frame.raw)
    try:
        way = _through(trial, frame, perform, is_jsonata, probed)
        _succeed(trial, probed, way)
    except (StateFailed, EvaluationError) as failure:
        _fail(trial, frame, probed, failure)
    if trial.variables:
        probed.stages.setdefault("variables", to_text(dict(trial.variables)))
    return probed


def _frame(trial: Trial) -> _Frame:
    state = trial.state
    states: dict[str, State] = {target: Succeed() for _, target, _ in targets(state)}
    states[trial.name] = state
    program = compile_machine(Machine(start_at=trial.name, states=states, query_language=trial.spoken))
    start = trial.start
    ledger = Ledger(trial.clock, context_of(start), None)
    run = Run(start, program, trial.clock, ledger, Batch(start.execution, express=True))
    frame = _Frame(run, run.key(), program.start, start.input)
    frame.given = trial.context
    frame.inside = next((parent.state for parent in trial.parents if isinstance(parent.state, Map)), None)
    frame.entered, frame.entered_at, frame.tries = ENTERED, trial.clock.now(), trial.retries
    frame.variables = dict(trial.variables) or NONE
    return frame


def _through(trial: Trial, frame: Frame, perform: Perform, is_jsonata: bool, probed: Probed) -> Exit:
    """The state's way out. Stages are noted as far as it came."""
    state, shown = trial.state, probed.stages
    if isinstance(state, Map | Parallel):
        work = frame.node.work(frame)
        if isinstance(state, Map):
            assert isinstance(work, Split | Distribute)
            a_map = stages.MapStages(state, frame, work, is_jsonata, trial.read)
            shown.update(a_map.numbers())
            shown.update(a_map.texts())
            a_map.bear(trial.failures)
        return _out(trial, frame, perform(None), is_jsonata, probed)
    try:
        decision = frame.node.work(frame)
    finally:
        if not is_jsonata:
            shown.update(stages.texts(stages.before(state, frame)))
    if isinstance(decision, Exit):
        return decision
    if isinstance(decision, Delay):
        return frame.node.finish(frame, perform(decision))
    assert isinstance(decision, Call)
    if not is_jsonata:
        shown["afterParameters"] = to_text(decision.arguments)
    elif isinstance(state, Task) and not isinstance(state.arguments, Absent):
        shown["afterArguments"] = to_text(decision.arguments)
    result = perform(call_of(frame, decision, frame.tries))
    shown["result"] = to_text(result)
    return _out(trial, frame, result, is_jsonata, probed)


def _out(trial: Trial, frame: Frame, result: Json, is_jsonata: bool, probed: Probed) -> Exit:
    if not is_jsonata and isinstance(trial.state, Task | Map | Parallel):
        probed.stages.update(stages.texts(stages.after(trial.state, frame, result)))
    return frame.node.finish(frame, result)


def _succeed(trial: Trial, probed: Probed, way: Exit) -> None:
    text = to_text(way.output)
    if exceeds(text, trial.start.payload_quota):
        raise too_large(trial.name)
    probed.output, probed.next = text, way.next.name if way.next is not None else None
    if way.assign:
        probed.stages["variables"] = to_text({**trial.variables, **way.assign})


def _fail(trial: Trial, frame: Frame, probed: Probed, failure: StateFailed | EvaluationError) -> None:
    """Retriable, caught, or failed."""
    if isinstance(failure, EvaluationError):
        failure = StateFailed(failure.error, failure.cause, evaluated=True, location=failure.location)
    failure = failure.placed(trial.name, ENTERED)
    probed.status, probed.error, probed.cause = "FAILED", failure.error, failure.cause
    while not _handled(trial, frame, probed, failure) and trial.parents:
        parent, *others = trial.parents
        if isinstance(parent.state, Map) and parent.state.mode == "DISTRIBUTED":
            failure = StateFailed(TOLERANCE, "The specified tolerated failure threshold was exceeded")
            if trial.failures + 1 <= (_borne(parent.state) or 0):
                return
        trial = replace(
            trial, name=parent.name, state=parent.state, spoken=parent.spoken, parents=tuple(others), failures=0
        )
        frame = _frame(trial)


def _borne(state: Map) -> int | None:
    """The tolerated failures, where they are a plain number."""
    return state.tolerated_failure_count if isinstance(state.tolerated_failure_count, int) else None


def _handled(trial: Trial, frame: Frame, probed: Probed, failure: StateFailed) -> bool:
    """Does a retrier or a catcher of the state take the failure?"""
    node = frame.node
    index = find_retrier(failure, node.retry)
    if index is not None and trial.retries < node.retry[index].max_attempts:
        seconds = retry_delay(node.retry[index], trial.retries, trial.clock.random)
        probed.status, probed.error, probed.cause = "RETRIABLE", failure.error, failure.cause
        probed.stages["errorDetails"] = {"retryIndex": index, "retryBackoffIntervalSeconds": int(seconds)}
        return True
    index = find_catcher(failure, node.catch)
    if index is None:
        return False
    try:
        way = node.catches[index](frame, failure.output())
        _succeed(trial, probed, way)
    except (StateFailed, EvaluationError) as second:
        probed.error, probed.cause = second.error, second.cause
        return True
    probed.status, probed.error, probed.cause = "CAUGHT_ERROR", failure.error, failure.cause
    probed.stages["errorDetails"] = {"catchIndex": index}
    return True
