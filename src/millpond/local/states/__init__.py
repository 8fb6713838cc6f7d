"""Step Functions: the service around the engine.

    machines         definitions; configuration, versions; parameters and variable_references look into them
    executions       starts, stops, shows; map_runs shows Map Runs, tags names machines and activities
    records          the engine's store; children: of Map Runs
    work             makes tasks happen: integrations, sdk; for distributed Maps items (formats, parquet), results
    callbacks        ends tasks from outside, and gives activities their work
    mocks            answers in the place of work; carried tells what work can do
    trials           TestState; trial_mocks checks what it mocks
    journal          execution logs
    arns, paging, payloads                  read requests
    validate         `millpond check`, a process of its own

One loop thread drives the engine; operations only send it messages and read the store. After a kill, `start` puts every
running execution back. Tracing and customer keys are kept and shown, nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from millpond.local.constraints import checked
from millpond.local.service import Operation
from millpond.local.states import announcements, arns, integrations
from millpond.local.states.callbacks import Callbacks
from millpond.local.states.executions import Executions
from millpond.local.states.journal import Journal
from millpond.local.states.machines import Machines
from millpond.local.states.map_runs import MapRuns
from millpond.local.states.mocks import SCHEMA as MOCKS_SCHEMA
from millpond.local.states.mocks import Mocks
from millpond.local.states.records import SCHEMA, Records
from millpond.local.states.tags import Tags
from millpond.local.states.trials import Trials
from millpond.local.states.work import Worker

if TYPE_CHECKING:
    from millpond.engine import Ended
    from millpond.local.service import Endpoint

log = logging.getLogger(__name__)


GATHER_SECONDS = 0.015  # what an execution may wait for others to be started with it,
THICK_SECONDS = 0.02  # where the last were started less than this before
LONGEST_SLEEP = 1.0  # seconds: nobody wakes the loop when the wall clock is set, and a Wait until then is due


class RealClock:
    """The engine's clock: wall time, a clock that never jumps, chance."""

    now = staticmethod(time.time)  # every event asks: no call of ours around it
    monotonic = staticmethod(time.monotonic)
    random = staticmethod(random.random)


class States:
    """See the module's docstring."""

    name = "stepfunctions"
    schema = SCHEMA + MOCKS_SCHEMA
    moto = frozenset[str]()
    quick = frozenset({"StartExecution", "DescribeExecution"})

    def __init__(self, endpoint: Endpoint) -> None:
        from millpond.engine import Engine

        self.endpoint = endpoint
        self.records = Records(endpoint.store)
        self.machines = Machines(endpoint)
        self.journal = Journal(endpoint)
        self.records.logged = self.journal.write
        self.callbacks = Callbacks(endpoint, self.records)
        self.worker = Worker(endpoint, self.records)
        self.mocks = Mocks(endpoint, self.records, self.worker)
        self.executions = Executions(endpoint, self.machines, self.records, self.journal, self.mocks)
        self.map_runs = MapRuns(endpoint, self.executions)
        self.executions.map_runs = self.map_runs
        self.trials = Trials(endpoint, RealClock())
        self._wakeup = threading.Event()
        self._gathering: asyncio.Handle | None = None  # what will wake the loop for starts; touched on the event loop
        self._thick_until = 0.0  # by the event loop's clock
        self._closing = False
        self.engine = Engine(
            RealClock(),
            self.mocks,
            self.records,
            ended=self._ended,
            wake=self._wake,
            check=integrations.check,
            time_scale=endpoint.clock.scale,
        )
        for part in (self.executions, self.map_runs, self.callbacks, self.worker, self.mocks):
            part.engine = self.engine
        self.executions.looked = self._looked
        self.machines.stop = self.executions.abort
        self.worker.activity = self.callbacks.offer
        self.callbacks.after_call = self.worker.after_call
        self._loop = threading.Thread(target=self._run, name="states-engine", daemon=True)

    def operations(self) -> dict[str, Operation]:
        tables = (
            self.machines.operations(),
            self.executions.operations(),
            self.map_runs.operations(),
            self.callbacks.operations(),
            self.trials.operations(),
            Tags(self.endpoint).operations(),
        )
        return {name: checked("stepfunctions", name, run) for table in tables for name, run in table.items()}

    def start(self) -> None:
        self.mocks.load()  # a file that is not valid is told now
        self.records.family.start()
        self.worker.readers.start()
        for snapshot in self.executions.snapshots():
            self.engine.restore(snapshot)
        for machine in self.machines.leaving():
            self.executions.abort(machine)
            self.machines.purge(machine)
        self._loop.start()

    def stop(self) -> None:
        self._closing = True
        self._wakeup.set()
        self.callbacks.close()
        self.trials.close()
        self.worker.close()
        if self._loop.is_alive():
            self._loop.join(timeout=10)

    def _wake(self) -> None:
        """Wake the loop thread. From an operation on the event loop (StartExecution) only when that has answered: the
        two would take the interpreter's lock from each other all the while, which costs both. And while starts come
        thick, only after a moment: those of that moment share a commit and its barrier, half of what a start costs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread
            self._wakeup.set()
            return
        if self._gathering is None:
            now = loop.time()
            if now < self._thick_until:
                self._gathering = loop.call_later(GATHER_SECONDS, self._gathered, loop)
            else:
                self._gathering = loop.call_soon(self._gathered, loop)

    def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering, self._thick_until = None, loop.time() + THICK_SECONDS
        self._wakeup.set()

    def _looked(self) -> None:
        """Someone asks how an execution is that runs: what is gathered goes on its way now."""
        if self._gathering is not None:
            self._wakeup.set()

    def _run(self) -> None:
        """The loop thread. What the engine cannot survive (a full disk) is told again and again, never swallowed."""
        while not self._closing:
            self._wakeup.clear()  # whoever sets it from here on has put something into the inbox before
            try:
                more = self.engine.run_round()
            except Exception:
                log.exception("the engine stopped for a moment")
                time.sleep(1)
                continue
            if more and (self._gathering is None or self.engine.at_work):
                continue  # else what came meanwhile are starts: they are gathered, too, or each barrier makes the next
            due = self.engine.next_timer()
            self._wakeup.wait(None if due is None else min(due, LONGEST_SLEEP))

    def _ended(self, execution: str, ended: Ended) -> None:
        self.mocks.ended(execution)
        self.executions.ended(execution, ended)
        if self.endpoint.announcer is not None:
            announcements.ended(self.endpoint, self.executions, execution, ended)
        self.worker.nudge(execution)
        if self.machines.is_leaving:
            self.machines.purge(arns.machine_of(execution))
