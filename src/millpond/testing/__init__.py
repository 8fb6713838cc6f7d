"""Test a flow without a cloud: `simulate` runs it in process on a virtual clock with fake tasks.

    from millpond.testing import FakeTasks, simulate

    tasks = FakeTasks()
    tasks.on("arn:aws:states:::glue:startJobRun.sync", JobName="join").fail("States.TaskFailed", "OOM in stage 7")
    run = simulate("pipeline.asl.json", {"day": "2026-11-23"}, tasks=tasks)
    assert run.visited("Notify") and run.status == "SUCCEEDED"

May import: engine, flow, asl.
"""

from millpond.testing.fakes import FakeClock, FakeTask, FakeTasks, MemoryStore, UnexpectedTask
from millpond.testing.simulation import Run, Stuck, simulate

__all__ = ["FakeClock", "FakeTask", "FakeTasks", "MemoryStore", "Run", "Stuck", "UnexpectedTask", "simulate"]
