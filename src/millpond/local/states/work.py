"""The engine's Tasks door: a task becomes a call over loopback, its end an outcome in the store, then a message.

Calls are made in bounded pools: those that wait for other executions, and functions (which may do so, too), have
pools of their own, so that what they wait for finds a thread. Work that goes on after its call (`.sync`) is watched
by one poller; work that somebody else ends (`.waitForTaskToken`, activities) waits in the engine for its token. The
order of writing makes kill -9 harmless: intent, call, handle, outcome, then the message to the engine. `resume` reads
that backwards: an outcome is reported, a handle is watched on, an intent without a handle is looked up, and only then
a call is made.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from millpond.local.service import acting_for
from millpond.local.states import integrations
from millpond.local.states.integrations import Done, Failure, Work
from millpond.local.states.items import ItemReaders, Spool
from millpond.local.states.results import ResultWriters
from millpond.local.store import StoreUnavailable

if TYPE_CHECKING:
    from millpond.engine import Engine
    from millpond.engine.doors import TaskCall
    from millpond.local.service import Endpoint
    from millpond.local.states.records import Records

log = logging.getLogger(__name__)

CALLS_AT_ONCE = {"functions": 64, "executions": 128, "others": 48}
CALLBACK_PATIENCE = 1.0
"""Seconds that a callback waits for its task's call to return, so that the history tells of the call first."""
FIRST_POLL = 0.1
SLOWEST_POLL = 0.5
SLOWEST_NUDGED_POLL = 10.0
"""Of nested executions, whose end is told: looking is only for what a kill between two steps may have swallowed."""

POLLERS = 2
FAILED_POLLS = 20
"""Polls that may fail in a row (the service behind may be restarting) before the task does."""
STORE_PAUSE = 0.5
"""Seconds between two tries while the store cannot be written."""

T = TypeVar("T")


@dataclass(order=True, slots=True)
class _Watched:
    """Running work: when to look at it next."""

    due: float
    token: str = field(compare=False)
    call: TaskCall = field(compare=False)
    handle: dict[str, Any] = field(compare=False)
    interval: float = field(compare=False, default=FIRST_POLL)
    failed: int = field(compare=False, default=0)


class Worker:
    """See the module's docstring. `engine` is set before the first task. `activity` takes the tasks of activities."""

    def __init__(self, endpoint: Endpoint, records: Records) -> None:
        self.endpoint, self.records = endpoint, records
        self.readers, self.writers = ItemReaders(endpoint), ResultWriters(endpoint, records)
        records.family.finished = self.readers.drop
        self.engine: Engine
        self.activity: Callable[[TaskCall, str], None] = lambda call, token: None
        self._pools = {
            name: ThreadPoolExecutor(size, thread_name_prefix=f"states-{name}") for name, size in CALLS_AT_ONCE.items()
        }
        self._due = threading.Condition()
        self._watched: list[_Watched] = []
        self._live: dict[str, _Watched] = {}
        self._parents: dict[str, str] = {}  # ARN of a nested execution -> the token that waits for it
        self._calling: dict[str, TaskCall] = {}
        self._stopped: set[str] = set()
        self._afterwards: dict[str, Callable[[], None]] = {}
        self._closing = False
        self._pollers = [
            threading.Thread(target=self._poll, name=f"states-poll-{index}", daemon=True) for index in range(POLLERS)
        ]
        for poller in self._pollers:
            poller.start()

    # The engine's door ----------------------------------------------------------------------------------------------

    def start(self, call: TaskCall, token: str) -> None:
        """Make the call of a task that was never seen before."""
        self._submit(self._begin, call, token)

    def resume(self, call: TaskCall, token: str) -> None:
        """Go on with a task after a restart."""
        self._submit(self._resume, call, token)

    def stop(self, token: str) -> None:
        """Nobody waits for this task any more: end its work."""
        with self._due:
            watched, calling = self._live.pop(token, None), self._calling.get(token)
            if watched is None and calling is not None:
                self._stopped.add(token)  # its call is on the way; _watch sees this
        if watched is not None:
            try:
                self._pools["others"].submit(self._end_work, watched.call, watched.handle)
            except RuntimeError:  # we close, and the services behind are there still: nobody else would end it
                self._end_work(watched.call, watched.handle)
        elif calling is not None and (functions := self._functions(calling)) is not None:
            functions.interrupt(token)

    def opened(self, map_run: str) -> Spool:
        """The items of a distributed Map that were read."""
        return self.readers.opened(map_run)

    def close(self) -> None:
        """Make no more calls; work that runs is found again at the next start."""
        with self._due:
            self._closing = True
            self._due.notify_all()
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        for poller in self._pollers:
            poller.join(timeout=5)

    # Calls ----------------------------------------------------------------------------------------------------------

    def _submit(self, run: Callable[[TaskCall, str], None], call: TaskCall, token: str) -> None:
        if self._closing:
            return
        with self._due:
            self._calling[token] = call  # from here on, that it is stopped is noted
        try:
            self._pools[_pool_of(call)].submit(self._guarded, run, call, token)
        except RuntimeError:  # the pool is closed: the next start asks again
            if not self._closing:
                raise

    def after_call(self, token: str, act: Callable[[], None]) -> None:
        """Do it once the call of a task has returned: at once where it has, after a second whatever it does."""
        with self._due:
            if token not in self._calling:
                late = False
            else:
                self._afterwards[token] = act
                late = True
        if not late:
            act()
            return
        timer = threading.Timer(CALLBACK_PATIENCE, self._now, (token,))
        timer.daemon = True
        timer.start()

    def _now(self, token: str) -> None:
        with self._due:
            act = self._afterwards.pop(token, None)
        if act is not None:
            act()

    def _guarded(self, run: Callable[[TaskCall, str], None], call: TaskCall, token: str) -> None:
        """A failure of ours fails the state, with its reason: it never hangs."""
        try:
            run(call, token)
        except Failure as failure:
            if self._closing:  # it may have failed because everything ends: the next start asks again
                return
            self.fail(call, token, failure, phase="submit" if call.pattern != "request" else "run")
        except Exception as error:
            if self._closing:
                return
            log.exception("task %s of %s", call.state, call.execution)
            self.fail(call, token, Failure("States.Runtime", f"{type(error).__name__}: {error}"), phase="run")
        finally:
            with self._due:
                self._calling.pop(token, None)
                stopped = token in self._stopped
                self._stopped.discard(token)
            if stopped:
                self._forget(call, token)  # nobody asks for what the function left
            self._now(token)

    def _begin(self, call: TaskCall, token: str) -> None:
        if token in self._stopped:  # while it waited for its turn
            return
        if call.kind == "activity":
            self.activity(call, token)
            return
        if call.kind in ("reader", "writer"):
            done = self.readers.read(call) if call.kind == "reader" else self.writers.write(call)
            self.succeed(call, token, done)
            return
        self.engine.task_started(token)
        work = self._work(call)
        arguments = call.arguments
        if work is not None and isinstance(arguments, dict):
            arguments = work.prepare(arguments, token)
        if work is not None and work.find is not None:
            self._surely(lambda: self.records.intend(token, call.execution, time.time()))
        acting = acting_for.set(token)
        try:
            answer = self._surely(lambda: integrations.begin(self.endpoint, call, arguments))
        finally:
            acting_for.reset(acting)
        self._follow(call, token, work, answer, arguments)

    def _work(self, call: TaskCall) -> Work | None:
        if call.pattern != "sync":
            return None
        work = integrations.WORK.get(f"{call.service}:{call.action}")
        if work is None:
            raise integrations.not_carried(call)
        return work

    def _follow(self, call: TaskCall, token: str, work: Work | None, answer: Any, arguments: Any) -> None:
        """What comes after a call, by pattern."""
        if call.pattern == "request":
            self.succeed(call, token, answer)
            return
        handle = work.handle(answer, arguments) if work is not None else {"submitted": True}
        held = {"work": handle, "answer": answer}
        self._surely(lambda: self.records.hold(token, call.execution, held))
        self.engine.task_submitted(token, answer)
        if work is not None:
            self._watch(call, token, handle)

    def _resume(self, call: TaskCall, token: str) -> None:
        known = self.records.task(token)
        if known.outcome is not None:
            self._forget(call, token)
            self._report(token, known.outcome)
            return
        if call.kind == "activity":
            if known.handle is None:
                self.activity(call, token)
            return
        if known.handle is not None:
            if not call.has_submitted:
                self.engine.task_started(token)
                self.engine.task_submitted(token, known.handle["answer"])
            if call.pattern == "sync":
                self._watch(call, token, known.handle["work"])
            return
        work = self._work(call)
        if work is not None and work.find is not None and known.intent is not None and isinstance(call.arguments, dict):
            arguments = work.prepare(call.arguments, token)
            handle = work.find(self.endpoint, arguments, known.intent)
            if handle is not None:  # started before a kill and not recorded: its handle is what can still be told
                self.engine.task_started(token)
                held = {"work": handle, "answer": handle}
                self._surely(lambda: self.records.hold(token, call.execution, held))
                self.engine.task_submitted(token, handle)
                self._watch(call, token, handle)
                return
        self._begin(call, token)

    def _surely(self, act: Callable[[], T]) -> T:
        """Do it once the store can be written: a full disk or a locked file delays a task, and does not fail it. The
        answer 503 of a service of ours says the same: nothing was done."""
        while True:
            try:
                return act()
            except (StoreUnavailable, Failure) as error:
                if self._closing or not _is_passing(error):
                    raise
            time.sleep(STORE_PAUSE)

    # Outcomes -------------------------------------------------------------------------------------------------------

    def succeed(self, call: TaskCall, token: str, output: Any) -> None:
        """Record a result, then tell the engine."""
        self._settle(call, token, {"output": output})

    def fail(self, call: TaskCall, token: str, failure: Failure, *, phase: str) -> None:
        """Record a failure, then tell the engine."""
        self._settle(call, token, {"error": failure.error, "cause": failure.cause, "phase": phase})

    def _settle(self, call: TaskCall, token: str, outcome: dict[str, Any]) -> None:
        counts = self._surely(lambda: self.records.settle(token, call.execution, outcome))
        self._forget(call, token)
        if not counts and call.pattern == "token" and self.records.task(token).outcome is not None:
            return  # its token came back while its call was on the way, and counts
        self._report(token, outcome)

    def _forget(self, call: TaskCall, token: str) -> None:
        """The outcome is in the store: a function's own note of it is not needed any more."""
        if (functions := self._functions(call)) is not None:
            functions.forget(token)

    def _functions(self, call: TaskCall) -> Any:
        """The Lambda service, where a task's call runs one of its functions."""
        return self.endpoint.services.get("lambda") if call.service in ("lambda", "aws-sdk:lambda") else None

    def _report(self, token: str, outcome: dict[str, Any]) -> None:
        if "output" in outcome:
            self.engine.task_succeeded(token, outcome["output"])
        else:
            self.engine.task_failed(token, outcome["error"], outcome["cause"], phase=outcome.get("phase", "run"))

    # Running work ---------------------------------------------------------------------------------------------------

    def _watch(self, call: TaskCall, token: str, handle: dict[str, Any]) -> None:
        watched = _Watched(time.monotonic() + FIRST_POLL, token, call, handle)
        with self._due:
            if token not in self._stopped:
                self._live[token] = watched
                if nested := handle.get("ExecutionArn"):
                    self._parents[nested] = token
                heapq.heappush(self._watched, watched)
                self._due.notify()
                return
        self._end_work(call, handle)  # it was stopped while its call was on the way

    def nudge(self, execution: str) -> None:
        """An execution ended: look at once where a task waits for it."""
        if execution not in self._parents:
            return
        with self._due:
            token = self._parents.pop(execution, "")
            watched = self._live.get(token)
            if watched is not None:
                self._live[token] = soon = replace(watched, due=0.0)  # the old entry counts no more
                heapq.heappush(self._watched, soon)
                self._due.notify()

    def _poll(self) -> None:
        while True:
            with self._due:
                while not self._closing and (not self._watched or self._watched[0].due > time.monotonic()):
                    self._due.wait(self._watched[0].due - time.monotonic() if self._watched else None)
                if self._closing:
                    return
                watched = heapq.heappop(self._watched)
                if self._live.get(watched.token) is not watched:
                    continue
            if self._look(watched):
                with self._due:
                    self._live.pop(watched.token, None)
                continue
            slowest = SLOWEST_NUDGED_POLL if "ExecutionArn" in watched.handle else SLOWEST_POLL
            watched.interval = min(watched.interval * 1.3, slowest)
            watched.due = time.monotonic() + watched.interval
            with self._due:
                heapq.heappush(self._watched, watched)

    def _look(self, watched: _Watched) -> bool:
        """Has the work ended? Then its end is recorded and told."""
        call, token = watched.call, watched.token
        work = integrations.WORK[f"{call.service}:{call.action}"]
        try:
            done = work.watch(self.endpoint, watched.handle)
            if isinstance(done, Done):
                self.succeed(call, token, done.output)
        except Failure as failure:
            if failure.error != "States.TaskFailed" and watched.failed < FAILED_POLLS:
                watched.failed += 1
                return False
            self.fail(call, token, failure, phase="run")
            return True
        except Exception as error:  # the thread that polls must not end with it
            if self._closing:
                return False
            log.exception("watching %s", watched.handle)
            watched.failed += 1
            if watched.failed < FAILED_POLLS:
                return False
            self.fail(call, token, Failure("States.Runtime", f"{type(error).__name__}: {error}"), phase="run")
            return True
        watched.failed = 0
        return isinstance(done, Done)

    def _end_work(self, call: TaskCall, handle: dict[str, Any]) -> None:
        work = integrations.WORK.get(f"{call.service}:{call.action}")
        if work is None:
            return
        try:
            self._surely(lambda: work.stop(self.endpoint, handle))
        except Failure as failure:  # it may have ended by itself a moment ago
            log.info("stopping %s: %s", handle, failure)


def _pool_of(call: TaskCall) -> str:
    if call.service in ("lambda", "aws-sdk:lambda"):
        return "functions"
    return "executions" if call.action.startswith("startSyncExecution") else "others"


def _is_passing(error: Exception) -> bool:
    """Is it a store that cannot be written at the moment, ours or that of a service of ours?"""
    if isinstance(error, StoreUnavailable):
        return True
    answer: Any = getattr(error.__cause__, "response", {})
    return bool(answer.get("Error", {}).get("Code") == "ServiceUnavailable")
