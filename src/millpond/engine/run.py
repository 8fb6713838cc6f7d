"""The interpreter's loop: `Engine`.

One thread drives it (see `doors`). A round: take what came from outside, fire due timers, give each execution that has
ready frames a slice of states, hand every changed execution's batch to the store, and, where tasks are to start or
executions have ended, one barrier for all of them; only then does the world hear of it. A frame runs a state to its
decision and acts on it: leave it, wait, call, split. Nothing blocks, nothing recurses deeper than the machine nests.
"""

from __future__ import annotations

import heapq
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from millpond.asl.model import ABSENT, Json, Machine, Succeed
from millpond.asl.paths import EvaluationError
from millpond.engine import forks, redrive, spread, tasks, variables
from millpond.engine.doors import (
    Batch,
    Birth,
    Clock,
    Ended,
    Phase,
    Snapshot,
    Start,
    Status,
    Store,
    TaskCall,
    Tasks,
    Token,
)
from millpond.engine.failure import (
    QUERY,
    RUNTIME,
    TIMEOUT,
    StateFailed,
    find_catcher,
    find_retrier,
    retry_delay,
    too_large,
)
from millpond.engine.frame import (
    Frame,
    HistoryFull,
    Ledger,
    Run,
    TaskState,
    Timer,
    context_of,
    exceeds,
    frame_row,
    to_text,
)
from millpond.engine.history import failure_details
from millpond.engine.node import Call, Decision, Delay, Distribute, Exit, Program, Split
from millpond.engine.snapshot import rebuild
from millpond.engine.spread import Spread
from millpond.engine.states import compile_machine
from millpond.errors import MillpondError

SLICE = 200
"""States that one execution may run before the next one's turn, and between two batches."""

EXPRESS_SECONDS = 300.0
STANDARD_SECONDS = 31_622_400.0
"""A year ("Step Functions service quotas"), and a leap year at that, as in MaxDelaySeconds."""
RESUME_SECONDS = 2.0
"""What a task's overdue timeout leaves after a restart, so that an outcome which was recorded in time is told first."""

_PROGRAMS = 256
_FEW_TIMERS = 4_096
_EMPTY = Machine(start_at="Empty", states={"Empty": Succeed()})

logger = logging.getLogger(__name__)


def _nothing() -> None:
    return None


def _nobody(execution: str, ended: Ended) -> None:
    return None


def _anything(call: TaskCall) -> str | None:
    return None


class Engine:
    """Runs executions. `ended` is called in the loop, after the end is durable; `wake` from any thread, when a message
    waits; `check` in the loop, before a task is scheduled: why its arguments cannot start it, None where they can.
    `time_scale` makes Wait states and retry delays that many times faster, nothing else."""

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        store: Store,
        *,
        ended: Callable[[str, Ended], None] = _nobody,
        wake: Callable[[], None] = _nothing,
        check: Callable[[TaskCall], str | None] = _anything,
        time_scale: float = 1.0,
    ) -> None:
        self.clock, self.tasks, self.store = clock, tasks, store
        self._on_end, self._wake, self._scale = ended, wake, time_scale
        self.check = check
        self._inbox: deque[Callable[[], None]] = deque()
        self._runs: dict[str, Run] = {}
        self._ready: deque[Run] = deque()
        self._changed: dict[str, Run] = {}
        self._outgoing: deque[tuple[Batch, Run]] = deque()
        self._announcements: list[Callable[[], None]] = []
        self._durable = False  # is a barrier due?
        self._tokens: dict[Token, Frame] = {}
        self._timers: list[tuple[float, int, Timer]] = []  # by the monotonic clock
        self._alarms: list[tuple[float, int, Timer]] = []  # by wall time
        self._armed = 0
        self._sweep_at = _FEW_TIMERS
        self._closing = False
        self._programs: OrderedDict[int, tuple[Machine, Program]] = OrderedDict()
        self.map_runs: dict[str, Spread] = {}  # those at work, by ARN
        self._pumps: list[Spread] = []  # those that may go on

    # ------------------------------------------------------------------------------------- from outside, any thread

    def start(self, start: Start) -> None:
        """Begin an execution. An ARN that already runs is left alone."""
        self._post(lambda: self._begin(start))

    def redrive(self, snapshot: Snapshot) -> None:
        """Go on with an execution that did not succeed; the host has made its own row durable before."""
        self._post(lambda: self._redrive(snapshot))

    def stop(self, execution: str, error: str | None = None, cause: str | None = None) -> None:
        """StopExecution: ABORTED; running tasks get Tasks.stop."""
        self._post(lambda: self._stop(execution, error, cause))

    def task_started(self, token: Token, worker: str | None = None) -> None:
        """The work has begun; `worker` is an activity worker's name."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.started(self, frame, worker)))

    def task_submitted(self, token: Token, output: Json) -> None:
        """The first call of a .sync or .waitForTaskToken task has answered."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.submitted(self, frame, output)))

    def task_succeeded(self, token: Token, output: Json) -> None:
        """The task's result."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.succeeded(self, frame, output)))

    def task_failed(self, token: Token, error: str | None, cause: str | None = None, phase: Phase = "run") -> None:
        """The task failed; `phase` picks the history event."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.failed(self, frame, error, cause, phase)))

    def task_timed_out(self, token: Token, error: str = TIMEOUT, cause: str | None = None) -> None:
        """The task timed out where the host watches it."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.timed_out(self, frame, error, cause)))

    def task_heartbeat(self, token: Token) -> None:
        """The task lives."""
        self._post(lambda: self._on_task(token, lambda frame: tasks.heartbeat(self, frame)))

    def update_map_run(
        self, arn: str, *, limit: int | None = None, count: int | None = None, percent: float | None = None
    ) -> None:
        """UpdateMapRun: MaxConcurrency (0: AWS's own) and tolerated failures of a Map Run at work; None leaves it."""
        self._post(lambda: spread.update(self, arn, limit, count, percent))

    def pending(self, token: Token) -> TaskCall | None:
        """The call that waits for this token, None where nobody does."""
        frame = self._tokens.get(token)
        return frame.task.call if frame is not None and frame.task is not None else None

    def close(self) -> None:
        """Let `run_until_idle` return after its present round, whatever is ready; the store has all for a restart."""
        self._closing = True
        self._wake()

    def running(self) -> int:
        """How many executions are in memory."""
        return len(self._runs)

    @property
    def at_work(self) -> bool:
        """Is there anything to do but what the inbox holds and timers?"""
        return bool(self._ready or self._pumps or self._changed or self._outgoing or self._announcements)

    def _post(self, message: Callable[[], None]) -> None:
        self._inbox.append(message)
        self._wake()

    # --------------------------------------------------------------------------------------------- in the loop thread

    def restore(self, snapshot: Snapshot) -> None:
        """Put an execution back as the store remembers it. Its tasks are resumed in the next `run_until_idle`.

        Raises ValueError where the snapshot is damaged.
        """
        if snapshot.last_event == 0 and not snapshot.frames:
            self._begin(snapshot.start)
            return
        self._rebuild(self._new_run(snapshot.start), snapshot)

    def _rebuild(self, run: Run, snapshot: Snapshot) -> None:
        run.ledger.last_id, run.ledger.last_at = snapshot.last_event, snapshot.last_at
        self._runs[snapshot.start.execution] = run
        if run.broken is not None:
            self.end(run, "FAILED", 0, error=RUNTIME, cause=run.broken)
            return
        try:
            rebuilt = rebuild(run, snapshot)
        except ValueError:
            del self._runs[snapshot.start.execution]
            raise
        self._watch(run)
        if snapshot.over:
            self._guarded(run, lambda: redrive.resume(self, run, rebuilt))
        else:
            for frame in rebuilt:
                self._revive(frame)
        self.changed(run)

    def next_timer(self) -> float | None:
        """Seconds until the next timer is due (0: it is), None: there is none."""
        waits = []
        for heap, now in ((self._timers, self.clock.monotonic()), (self._alarms, self.clock.now())):
            while heap and not heap[0][2].alive:
                heapq.heappop(heap)
            if heap:
                waits.append(max(0.0, heap[0][0] - now))
        return min(waits) if waits else None

    def run_until_idle(self) -> None:
        """Work until no message waits, no timer is due and no frame is ready, or until `close` was called."""
        while not self._closing and self.run_round():
            pass

    def run_round(self) -> bool:
        """One round, see the module; False when there was nothing to do. An error of the store comes out; nothing is
        lost, and the next round tries again."""
        if self._outgoing or self._durable:
            self._flush()
        if self._pumps:
            self._pump()
        while self._inbox:
            self._inbox.popleft()()
        self._fire_timers()
        for _ in range(len(self._ready)):
            self._slice(self._ready.popleft())
        if not self._changed and not self._outgoing and not self._announcements:
            return bool(self._ready or self._inbox or self._pumps)
        self._flush()
        return True

    def _pump(self) -> None:
        """Let Map Runs go on: first in the round, and outer ones first, so that the store has all the ends of children
        that they look back at."""
        due, self._pumps = sorted(self._pumps, key=lambda waiting: waiting.frame.run.depth), []
        for waiting in due:
            waiting.queued = False
            self._guarded(waiting.frame.run, partial(spread.pump, self, waiting))

    def _slice(self, run: Run) -> None:
        """Run some states of an execution. It counts as queued meanwhile: its own states do not queue it again."""
        ready = run.ready
        budget = SLICE
        try:
            while ready and budget:
                frame = ready.popleft()
                if frame.phase != "gone":
                    budget -= 1
                    self._step(run, frame)
        except HistoryFull:
            self._history_full(run)
        except Exception as error:
            self._our_bug(run, error)
        self.changed(run)
        run.queued = False
        if ready and not run.ended:
            self._enqueue(run)

    def _flush(self) -> None:
        """Batches, barrier, and only then the world. Where the store raises, what is left stays queued: the next
        round begins with it, in the same order."""
        changed, self._changed = self._changed, {}
        runs = list(changed.values())
        if any(run.depth for run in runs):  # children first: what a parent makes of them is never stored before
            runs.sort(key=lambda run: -run.depth)
        self._outgoing.extend((self._batch(run), run) for run in runs)
        while self._outgoing:
            batch, run = self._outgoing[0]
            self.store.append(batch)
            self._outgoing.popleft()
            self._after(batch, run)
        if self._durable:
            self.store.barrier()
            self._durable = False
        announcements, self._announcements = self._announcements, []
        for announce in announcements:
            announce()

    def _after(self, batch: Batch, run: Run) -> None:
        """What the world may hear when this batch is durable."""
        if not batch.express and (run.starting or (batch.ended and not run.depth)):
            self._durable = True
        for act, pending in ((self.tasks.start, run.starting), (self.tasks.resume, run.resuming)):
            self._announcements += [partial(self._dispatch, act, task) for task in pending]
        run.starting, run.resuming = [], []
        if batch.ended:
            self._announcements.append(partial(self._on_end, batch.execution, batch.ended))

    def _dispatch(self, act: Callable[[TaskCall, Token], None], task: TaskState) -> None:
        if task.token in self._tokens:  # not stopped meanwhile
            act(task.call, task.token)

    def _batch(self, run: Run) -> Batch:
        batch = run.batch
        if not run.start.express:
            for frame in run.dirty.values():
                batch.frames.append(frame_row(frame))
                run.stored.add(frame.key)
        run.dirty.clear()
        run.batch = Batch(run.start.execution, run.start.express)
        run.ledger.events = run.batch.events
        return batch

    # ------------------------------------------------------------------------------------------------- executions

    def _program(self, machine: Machine) -> Program:
        """The compiled machine; the last few hundred are kept, by identity."""
        known = self._programs.get(id(machine))
        if known is not None:
            self._programs.move_to_end(id(machine))
            return known[1]
        program = compile_machine(machine)
        self._programs[id(machine)] = (machine, program)
        if len(self._programs) > _PROGRAMS:
            self._programs.popitem(last=False)
        return program

    def _new_run(self, start: Start, program: Program | None = None) -> Run:
        """A run without frames. A machine that cannot be compiled (creation should have refused it) gets an empty
        program and `broken`: its execution fails, the loop goes on. `program`: what it runs where that is not all of
        the machine."""
        broken = None
        try:
            program = program or self._program(start.machine)
        except MillpondError as error:
            broken, program = str(error), compile_machine(_EMPTY)
        batch = Batch(start.execution, start.express)
        ledger = Ledger(self.clock, context_of(start), batch.events, 0 if start.express else start.event_quota)
        return Run(start, program, self.clock, ledger, batch, broken)

    def _begin(self, start: Start) -> None:
        if start.execution in self._runs:
            return
        self._open(self._new_run(start))

    def bear(self, start: Start, program: Program, parent: Spread, birth: Birth) -> Run:
        """Begin a child execution of a Map Run."""
        run = self._child(start, program, parent, birth)
        run.batch.birth = birth
        self._open(run)
        return run

    def rejoin(self, snapshot: Snapshot, program: Program, parent: Spread, birth: Birth) -> Run:
        """Go on with a child execution that the store remembers. Raises ValueError."""
        run = self._child(snapshot.start, program, parent, birth)
        run.batch.birth = birth
        self._rebuild(run, snapshot)
        return run

    def _child(self, start: Start, program: Program, parent: Spread, birth: Birth) -> Run:
        run = self._new_run(start, program)
        run.spread, run.index, run.weight = parent, birth.index, birth.items
        run.depth = parent.frame.run.depth + 1
        return run

    def _open(self, run: Run) -> None:
        """The first event and the first frame."""
        start = run.start
        run.ledger.last_at = start.started_at
        self._runs[start.execution] = run
        text = start.input_text if start.input_text is not None else to_text(start.input)
        more: dict[str, Json] = {"roleArn": start.role}
        if start.version_arn is not None:
            more["stateMachineVersionArn"] = start.version_arn
        if start.alias_arn is not None:
            more["stateMachineAliasArn"] = start.alias_arn
        run.ledger.event("ExecutionStarted", 0, None, text, more)
        if run.broken is not None:
            self.end(run, "FAILED", 0, error=RUNTIME, cause=run.broken)
            return
        run.root = frame = Frame(run, run.key(), run.program.start, start.input)
        frame.text = text
        if start.variables:
            frame.assign(start.variables)
        self._watch(run)
        self.make_ready(frame)

    def _watch(self, run: Run) -> None:
        """Arm the execution's own timeout."""
        limit = run.program.timeout
        if run.start.express:
            limit = min(limit or EXPRESS_SECONDS, EXPRESS_SECONDS)
        if limit is not None:
            left = (run.start.redriven_at or run.start.started_at) + limit - self.clock.now()
            run.deadline = self.arm(run, None, "execution", max(0.0, left))

    def _redrive(self, snapshot: Snapshot) -> None:
        if snapshot.start.execution in self._runs:
            return
        try:
            self.restore(snapshot)
        except ValueError as damage:
            run = self._new_run(snapshot.start)
            run.ledger.last_id, run.ledger.last_at = snapshot.last_event, snapshot.last_at
            self.end(run, "FAILED", snapshot.last_event, error=RUNTIME, cause=str(damage))

    def _stop(self, execution: str, error: str | None, cause: str | None) -> None:
        run = self._runs.get(execution)
        if run is not None and not run.ended:
            self.end(run, "ABORTED", 0, error=error, cause=cause)

    def _history_full(self, run: Run) -> None:
        cause = f"The execution reached the maximum number of history events ({run.start.event_quota})."
        self.end(run, "FAILED", run.ledger.last_id, error=RUNTIME, cause=cause)

    def _our_bug(self, run: Run, error: Exception) -> None:
        """One execution must not stop the others: it fails, and the log has the traceback."""
        logger.exception("the engine failed in %s", run.start.execution)
        if not run.ended:
            cause = f"The local engine failed: {type(error).__name__}: {error}"
            self.end(run, "FAILED", run.ledger.last_id, error=RUNTIME, cause=cause)

    def end(
        self,
        run: Run,
        status: Status,
        previous: int,
        *,
        output: str | None = None,
        error: str | None = None,
        cause: str | None = None,
    ) -> None:
        """Write the terminal event and stop every task; the frames are dropped, or shelved for a redrive."""
        run.ended = run.ledger.closed = True
        kind = {
            "SUCCEEDED": "ExecutionSucceeded",
            "FAILED": "ExecutionFailed",
            "TIMED_OUT": "ExecutionTimedOut",
            "ABORTED": "ExecutionAborted",
        }[status]
        shown = TIMEOUT if status == "TIMED_OUT" else error
        details = failure_details(shown, cause) if status != "SUCCEEDED" else None
        run.ledger.event(kind, previous, None, output, details)
        run.batch.ended = Ended(status=status, at=run.ledger.last_at, output=output, error=error, cause=cause)
        if run.deadline is not None:
            run.deadline.cancel()
        if status != "SUCCEEDED" and not run.start.express:
            redrive.shelve(self, run)
        elif run.root is not None:
            self.drop(run.root)
        self._runs.pop(run.start.execution, None)
        self.changed(run)
        if run.spread is not None:
            spread.child_over(self, run, run.batch.ended)

    def drop(self, frame: Frame) -> None:
        """Forget a frame and all below it; their tasks are stopped."""
        if isinstance(frame.work, Spread):
            spread.abort(self, frame.work)
        elif frame.work is not None:
            for child in frame.work.live.values():
                self.drop(child)
        if frame.work is not None:
            frame.run.forget(frame.work.key)
        self.let_go(frame, stop=True)
        frame.phase = "gone"
        frame.run.forget(frame.key)

    def let_go(self, frame: Frame, *, stop: bool) -> None:
        """The frame waits no longer: timers, and the task's token."""
        frame.stop_timers()
        frame.due = None
        if frame.task is not None:
            self._tokens.pop(frame.task.token, None)
            if stop:
                self.tasks.stop(frame.task.token)
            frame.task = None

    # ------------------------------------------------------------------------------------------------- frames

    def make_ready(self, frame: Frame) -> None:
        """Queue a frame for its execution's next slice."""
        run = frame.run
        run.ready.append(frame)
        run.dirty[frame.key] = frame
        self._changed[run.start.execution] = run
        if not run.queued:
            self._enqueue(run)

    def _enqueue(self, run: Run) -> None:
        run.queued = True
        self._ready.append(run)

    def changed(self, run: Run) -> None:
        """The execution has something for the store."""
        self._changed[run.start.execution] = run

    def touch(self, frame: Frame) -> None:
        """The frame's snapshot is out of date."""
        frame.run.dirty[frame.key] = frame
        self._changed[frame.run.start.execution] = frame.run

    def _step(self, run: Run, frame: Frame) -> None:
        """Enter the frame's state (or, in a retry, begin its work again) and act on what it decides."""
        node = frame.node
        if frame.phase == "enter":
            text = frame.text
            if text is None:
                text = frame.text = to_text(frame.raw)
            frame.entered = frame.ledger.event(node.entered, frame.previous, node.name, text)
            frame.entered_at = frame.ledger.last_at
            frame.before, frame.previous = frame.previous, frame.entered
        try:
            decision = node.work(frame)
            if decision.__class__ is Exit:
                self.leave(frame, decision)
            else:
                self._suspend(frame, decision)
        except (StateFailed, EvaluationError) as failure:
            self.fail(frame, failure)

    def _suspend(self, frame: Frame, decision: Decision) -> None:
        match decision:
            case Exit():
                self.leave(frame, decision)
            case Delay():
                self._delay(frame, decision)
            case Call():
                tasks.schedule(self, frame, decision)
            case Split():
                forks.begin(self, frame, decision)
            case Distribute():
                spread.begin(self, frame, decision)

    def _delay(self, frame: Frame, delay: Delay) -> None:
        now = self.clock.now()
        seconds = delay.seconds if delay.until is None else delay.until - now
        if seconds <= 0:
            self.leave(frame, frame.node.finish(frame, None))
            return
        frame.phase = "wait"
        frame.due = now + seconds / self._scale
        if delay.until is not None and self._scale == 1.0:
            self._arm_at(frame, "wake", delay.until)
        else:
            self.arm(frame.run, frame, "wake", seconds / self._scale)
        self.touch(frame)

    def leave(self, frame: Frame, way: Exit) -> None:
        """The state is done: Exited event, variables, and on to the next state or out of the machine."""
        run, output = frame.run, way.output
        text = frame.text if output is frame.raw and frame.text is not None else to_text(output)
        if exceeds(text, run.start.payload_quota):
            raise too_large(frame.node.name)
        more: dict[str, Json] | None = None
        if way.assign:
            named = variables.shown(way.assign)
            if run.start.payload_quota:
                variables.hold(frame, named)
            frame.assign(way.assign)
            more = {"assignedVariables": {**named}, "assignedVariablesDetails": {"truncated": False}}
        frame.previous = frame.ledger.event(frame.node.exited, frame.previous, frame.node.name, text, more)
        if way.next is None:
            self._out(frame, output, text)
            return
        frame.node, frame.raw, frame.text, frame.phase = way.next, output, text, "enter"
        if frame.tries:
            frame.tries, frame.attempts = 0, {}
        if frame.work is not None:
            run.forget(frame.work.key)
            frame.work = None
        frame.task_token = None
        frame.result = frame.error_output = ABSENT
        run.ready.append(frame)
        run.dirty[frame.key] = frame
        if not run.queued:
            self._enqueue(run)
            self._changed[run.start.execution] = run

    def _out(self, frame: Frame, output: Json, text: str) -> None:
        """The frame's machine has ended well."""
        if frame.work is not None:
            frame.run.forget(frame.work.key)
            frame.work = None
        if frame.fork is None:
            self.end(frame.run, "SUCCEEDED", frame.previous, output=text)
        else:
            forks.child_done(self, frame, output, text)

    # ------------------------------------------------------------------------------------------------- failures

    def finish(self, frame: Frame, result: Json) -> None:
        """What the frame waited for is there: leave its state with it."""
        try:
            self.leave(frame, frame.node.finish(frame, result))
        except (StateFailed, EvaluationError) as failure:
            self.fail(frame, failure)

    def fail(self, frame: Frame, failure: StateFailed | EvaluationError) -> None:
        """The state failed: retry it, catch it, or fail the machine that it is in."""
        if isinstance(failure, EvaluationError):
            failure = StateFailed(failure.error, failure.cause, evaluated=True, location=failure.location)
        if frame.phase == "enter":
            frame.phase = "again"  # a redrive does not enter it a second time
        failure = failure.placed(frame.node.name, frame.entered)
        if failure.evaluated and failure.error == QUERY:
            self._evaluation_failed(frame, failure)
        if not self._retry(frame, failure) and not self._catch(frame, failure):
            self._fail_machine(frame, failure)

    def _evaluation_failed(self, frame: Frame, failure: StateFailed) -> None:
        more: dict[str, Json] = {"state": frame.node.name}
        if failure.location is not None:
            more["location"] = failure.location
        # Recorded: the event stands beside the Entered event of a Pass or Map, and after that of a Wait.
        beside = frame.previous == frame.entered and frame.node.kind not in ("Wait", "Task", "Parallel")
        previous = frame.before if beside else frame.previous
        details = failure_details(failure.error, failure.cause, more)
        frame.previous = frame.ledger.event("EvaluationFailed", previous, None, None, details)

    def _retry(self, frame: Frame, failure: StateFailed) -> bool:
        index = find_retrier(failure, frame.node.retry)
        if index is None:
            return False
        retrier, attempts = frame.node.retry[index], frame.attempts.get(index, 0)
        if attempts >= retrier.max_attempts:
            return False
        seconds = retry_delay(retrier, attempts, self.clock.random) / self._scale
        frame.attempts[index] = attempts + 1
        frame.tries += 1
        frame.phase = "retry"
        frame.due = self.clock.now() + seconds
        if frame.work is not None:
            frame.run.forget(frame.work.key)
            frame.work = None
        frame.result = frame.error_output = ABSENT
        self.arm(frame.run, frame, "wake", seconds)
        self.touch(frame)
        return True

    def _catch(self, frame: Frame, failure: StateFailed) -> bool:
        index = find_catcher(failure, frame.node.catch)
        if index is None:
            return False
        self._fork_failed(frame, failure)
        try:
            self.leave(frame, frame.node.catches[index](frame, failure.output()))
        except (StateFailed, EvaluationError) as second:
            if isinstance(second, EvaluationError):
                second = StateFailed(second.error, second.cause, evaluated=True, location=second.location)
            self._fail_machine(frame, second.placed(frame.node.name, frame.entered))
        return True

    def _fail_machine(self, frame: Frame, failure: StateFailed) -> None:
        if frame.fork is None:
            self._fork_failed(frame, failure)
            self.end(frame.run, "FAILED", frame.previous, error=failure.error, cause=failure.cause)
            return
        self._fork_failed(frame, failure)
        forks.child_failed(self, frame, failure)

    def _fork_failed(self, frame: Frame, failure: StateFailed) -> None:
        """MapStateFailed, ParallelStateFailed: not where the state itself could not be evaluated."""
        if frame.node.kind in ("Map", "Parallel") and not (failure.evaluated and failure.error == RUNTIME):
            frame.previous = frame.ledger.event(f"{frame.node.kind}StateFailed", frame.previous)

    # ------------------------------------------------------------------------------------------------- timers, tasks

    def arm(self, run: Run, frame: Frame | None, kind: str, seconds: float) -> Timer:
        """A timer so many seconds from now, by the monotonic clock."""
        timer = Timer(self.clock.monotonic() + seconds, kind, run, frame)
        self._push(self._timers, timer)
        if frame is not None:
            frame.timers.append(timer)
            self._cap(run, self.clock.now() + seconds)
        return timer

    def _cap(self, run: Run, due: float) -> None:
        """An execution takes a year at most; who never waits so long needs no timer for it."""
        last = (run.start.redriven_at or run.start.started_at) + STANDARD_SECONDS
        if due > last and run.deadline is None:
            run.deadline = Timer(last, "execution", run, None)
            self._push(self._alarms, run.deadline)

    def _push(self, heap: list[tuple[float, int, Timer]], timer: Timer) -> None:
        self._armed += 1
        heapq.heappush(heap, (timer.due, self._armed, timer))
        if len(self._timers) + len(self._alarms) > self._sweep_at:
            for each in (self._timers, self._alarms):
                each[:] = [entry for entry in each if entry[2].alive]
                heapq.heapify(each)
            self._sweep_at = max(_FEW_TIMERS, 2 * (len(self._timers) + len(self._alarms)))

    def _arm_at(self, frame: Frame, kind: str, at: float) -> None:
        """A timer at a wall time."""
        timer = Timer(at, kind, frame.run, frame)
        self._push(self._alarms, timer)
        frame.timers.append(timer)
        self._cap(frame.run, at)

    def _fire_timers(self) -> None:
        for heap, now in ((self._timers, self.clock.monotonic()), (self._alarms, self.clock.now())):
            while heap and heap[0][0] <= now:
                timer = heapq.heappop(heap)[2]
                if timer.run is not None and not timer.run.ended:
                    self._guarded(timer.run, partial(self._fire, timer, timer.run))

    def _fire(self, timer: Timer, run: Run) -> None:
        frame = timer.frame
        if frame is None:
            self.end(run, "TIMED_OUT", 0)
            return
        match timer.kind:
            case "wake":
                self._wake_up(frame)
            case "timeout":
                tasks.timed_out(self, frame, TIMEOUT, None)
            case "heartbeat":
                tasks.timed_out(self, frame, TIMEOUT, None, missed_heartbeat=True)

    def _wake_up(self, frame: Frame) -> None:
        frame.stop_timers()
        frame.due = None
        if frame.phase == "wait":
            self.finish(frame, None)
            return
        frame.phase = "again"
        self.make_ready(frame)

    def ask(self, frame: Frame, kind: Literal["reader", "writer"], resource: str, arguments: Json) -> None:
        """Have the host read items or write results for a distributed Map; the answer comes as a task's does."""
        call = replace(tasks.call_of(frame, Call(resource, arguments, None, None, None), frame.tries), kind=kind)
        task = TaskState(call, frame.run.side_token(frame, kind))
        frame.task = task
        self.expect(frame, task)
        frame.run.starting.append(task)
        self.touch(frame)

    def pump_later(self, waiting: Spread) -> None:
        """Let a Map Run go on in the next round."""
        if not waiting.queued:
            waiting.queued = True
            self._pumps.append(waiting)

    def _revive(self, frame: Frame) -> None:
        """A frame that came back from the store: ready, or waiting again for what is left of its time."""
        now = self.clock.now()
        if isinstance(frame.work, Spread):
            spread.resume(self, frame.work)
        if frame.phase in ("enter", "again"):
            self.make_ready(frame)
        elif frame.due is not None:
            self.arm(frame.run, frame, "wake", max(0.0, frame.due - now))
        if frame.task is not None:
            self._tokens[frame.task.token] = frame
            frame.run.resuming.append(frame.task)
            for kind, at in (("timeout", frame.task.deadline), ("heartbeat", frame.task.beat)):
                if at is not None:
                    self.arm(frame.run, frame, kind, max(RESUME_SECONDS, at - now))

    def expect(self, frame: Frame, task: TaskState) -> None:
        """The frame waits for a token from now on."""
        self._tokens[task.token] = frame

    def _on_task(self, token: Token, act: Callable[[Frame], None]) -> None:
        frame = self._tokens.get(token)
        if frame is not None:
            self._guarded(frame.run, lambda: act(frame))

    def _guarded(self, run: Run, act: Callable[[], None]) -> None:
        try:
            act()
        except HistoryFull:
            self._history_full(run)
        except Exception as error:
            self._our_bug(run, error)
