"""Run one state by itself, and show what its fields made of its input: TestState.

    probed = probe(Trial(name, state, "JSONata", start), perform)

The state is compiled and evaluated as in an execution; only its waiting is another's: `perform` does a Task's call, and
gives (or raises as StateFailed) what was mocked for a Map or Parallel. Retriers are not waited for but reported.

**Limits**: the shown stages are evaluated beside the state itself, so an intrinsic function that makes a new value
each time (States.UUID) shows another one there. Of a Map's fields ItemsPath and the numbers are shown.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from millpond.asl import paths
from millpond.asl.graph import targets
from millpond.asl.model import Absent, Json, Machine, Map, Parallel, Pass, QueryLanguage, State, Succeed, Task, language
from millpond.asl.paths import EvaluationError
from millpond.engine import maps
from millpond.engine.doors import Batch, Clock, Start, TaskCall
from millpond.engine.failure import StateFailed, find_catcher, find_retrier, retry_delay
from millpond.engine.fields import input_path, template
from millpond.engine.frame import NONE, Frame, Ledger, Run, context_of, exceeds, to_text
from millpond.engine.node import Call, Delay, Exit
from millpond.engine.run import too_large
from millpond.engine.states import compile_machine
from millpond.engine.tasks import call_of

ENTERED = 2
"""The event at which an execution's first state is entered: causes of failures name it."""

Perform = Callable[[TaskCall | Delay | None], Json]
"""Does what the state waits for; None is asked for the results of a Map or Parallel. Raises StateFailed."""

Outcome = Literal["SUCCEEDED", "FAILED", "RETRIABLE", "CAUGHT_ERROR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to run. `spoken` is the machine's query language; `context` replaces the context object; `retries` is how
    often the retrier that applies has retried already."""

    name: str
    state: State
    start: Start
    clock: Clock
    spoken: QueryLanguage | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    context: dict[str, Json] | None = None
    retries: int = 0


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
    """A frame whose context object may be given."""

    __slots__ = ("given",)
    given: dict[str, Json] | None

    @property
    def context(self) -> dict[str, Json]:
        return super().context if self.given is None else self.given


def probe(trial: Trial, perform: Perform) -> Probed:
    """Run the state. Raises PathSyntaxError for an expression that has no meaning."""
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
    if isinstance(state, Map):  # never read nor written here
        state = replace(state, item_reader=None, result_writer=None)
    states: dict[str, State] = {target: Succeed() for _, target, _ in targets(state)}
    states[trial.name] = state
    program = compile_machine(Machine(start_at=trial.name, states=states, query_language=trial.spoken))
    start = trial.start
    ledger = Ledger(trial.clock, context_of(start), None)
    run = Run(start, program, trial.clock, ledger, Batch(start.execution, express=True))
    frame = _Frame(run, run.key(), program.start, start.input)
    frame.given = trial.context
    frame.entered, frame.entered_at, frame.tries = ENTERED, trial.clock.now(), trial.retries
    frame.variables = dict(trial.variables) or NONE
    return frame


def _through(trial: Trial, frame: Frame, perform: Perform, is_jsonata: bool, probed: Probed) -> Exit:
    """The state's way out. Stages are noted as far as it came."""
    state, stages = trial.state, probed.stages
    if isinstance(state, Map | Parallel):
        if isinstance(state, Map):
            stages.update(_numbers(state, frame, is_jsonata))
        return _out(trial, frame, perform(None), is_jsonata, probed)
    try:
        decision = frame.node.work(frame)
    finally:
        if not is_jsonata:
            stages.update(_texts(_before(state, frame)))
    if isinstance(decision, Exit):
        return decision
    if isinstance(decision, Delay):
        return frame.node.finish(frame, perform(decision))
    assert isinstance(decision, Call)
    if not is_jsonata:
        stages["afterParameters"] = to_text(decision.arguments)
    elif isinstance(state, Task) and not isinstance(state.arguments, Absent):
        stages["afterArguments"] = to_text(decision.arguments)
    result = perform(call_of(frame, decision, frame.tries))
    stages["result"] = to_text(result)
    return _out(trial, frame, result, is_jsonata, probed)


def _out(trial: Trial, frame: Frame, result: Json, is_jsonata: bool, probed: Probed) -> Exit:
    if not is_jsonata and isinstance(trial.state, Task | Map | Parallel):
        probed.stages.update(_texts(_after(trial.state, frame, result)))
    return frame.node.finish(frame, result)


def _texts(found: Iterator[tuple[str, Json]]) -> dict[str, Json]:
    """The stages up to the one that fails; the state itself fails with the same, and says why."""
    texts: dict[str, Json] = {}
    with contextlib.suppress(EvaluationError, StateFailed):
        for name, value in found:
            texts[name] = to_text(value)
    return texts


def _before(state: State, frame: Frame) -> Iterator[tuple[str, Json]]:
    """What JSONPath fields make of the input before the work."""
    if isinstance(state, Pass) and not isinstance(state.result, Absent):
        yield "result", state.result
        yield from _placed(state.result_path, frame, state.result)
        return
    read = input_path(getattr(state, "input_path", "$"))
    frame.input = frame.raw
    value = frame.raw if read is None else read(frame)
    yield "afterInputPath", value
    if isinstance(state, Pass):
        frame.input = value
        make = template(state.parameters)
        if make is not None:
            value = make(frame)
        yield "afterParameters", value
        yield from _placed(state.result_path, frame, value)


def _after(state: Task | Map | Parallel, frame: Frame, result: Json) -> Iterator[tuple[str, Json]]:
    select = template(state.result_selector)
    frame.input = result
    yield from _placed(state.result_path, frame, result if select is None else select(frame))


def _placed(path: str | None, frame: Frame, selected: Json) -> Iterator[tuple[str, Json]]:
    yield "afterResultSelector", selected
    yield "afterResultPath", paths.placing(path)(frame.raw, selected)


def _numbers(state: Map, frame: Frame, is_jsonata: bool) -> dict[str, Json]:
    """A Map's limits, as numbers, and the items that ItemsPath finds."""
    concurrency, tolerance = maps.concurrency(state)(frame), maps.tolerance(state, is_jsonata)(frame)
    count, percent = tolerance
    shown: dict[str, Json] = {"maxConcurrency": concurrency}
    if count is not None:
        shown["toleratedFailureCount"] = count
    if percent is not None:
        shown["toleratedFailurePercentage"] = float(percent)
    if state.items_path is not None and not is_jsonata:
        shown["afterItemsPath"] = to_text(paths.path(state.items_path)(frame))
    return shown


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
    node = frame.node
    index = find_retrier(failure, node.retry)
    if index is not None and trial.retries < node.retry[index].max_attempts:
        seconds = retry_delay(node.retry[index], trial.retries, trial.clock.random)
        probed.status = "RETRIABLE"
        probed.stages["errorDetails"] = {"retryIndex": index, "retryBackoffIntervalSeconds": int(seconds)}
        return
    index = find_catcher(failure, node.catch)
    if index is None:
        return
    try:
        way = node.catches[index](frame, failure.output())
        _succeed(trial, probed, way)
    except (StateFailed, EvaluationError) as second:
        probed.error, probed.cause = second.error, second.cause
        return
    probed.status = "CAUGHT_ERROR"
    probed.stages["errorDetails"] = {"catchIndex": index}
