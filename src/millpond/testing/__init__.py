"""Test a flow without a cloud: `simulate` runs it in process on a virtual clock with fake tasks.

    from millpond.testing import FakeTasks, simulate

    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync", JobName="join").fail("States.TaskFailed", "OOM in stage 7")
    run = simulate("pipeline.asl.json", {"day": "2026-11-23"}, tasks=tasks)
    assert run.visited("Notify") and run.status == "SUCCEEDED", run

`Simulation` is the same in steps. The pytest plugin (`plugin.py`) gives fixtures that run a deployed machine on a local
endpoint of the test's own. See docs/testing.md.

May import: engine, asl, aws (to read histories); the plugin also project, stack and deploy.
"""

from millpond.testing.fakes import FakeClock, FakeTask, FakeTasks, Pending, UnexpectedTask
from millpond.testing.memory import MemoryStore
from millpond.testing.runs import Moment, Run
from millpond.testing.simulation import Simulation, Stuck, simulate

__all__ = [
    "FakeClock",
    "FakeTask",
    "FakeTasks",
    "MemoryStore",
    "Moment",
    "Pending",
    "Run",
    "Simulation",
    "Stuck",
    "UnexpectedTask",
    "simulate",
]
