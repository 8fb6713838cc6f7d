"""R2: a crash right before or right after every commit and dispatch; the end is the same.

Twice: in memory (also with the loss of what no barrier followed, as when the power goes), and with the endpoint's own
store on disk, where a process of its own dies by `os._exit` at the point, and another one goes on.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashing import OneCrash, Outcome, World, round_of, run
from soundness import check_history, check_store, seen

from millpond.asl import from_json
from millpond.engine import Batch, Engine, Snapshot, TaskCall
from millpond.engine import run as loop
from millpond.local.states.records import SCHEMA, Records
from millpond.local.store import Store
from millpond.testing.simulation import start_of

TASK = "arn:aws:states:::glue:startJobRun.sync"
MACHINE = {
    "StartAt": "Prepare",
    "States": {
        "Prepare": {
            "Type": "Pass",
            "Result": [3, 1, 2],
            "ResultPath": "$.tables",
            "Assign": {"day": 7},
            "Next": "Ingest",
        },
        "Ingest": {
            "Type": "Map",
            "ItemsPath": "$.tables",
            "MaxConcurrency": 2,
            "ItemSelector": {"table.$": "$$.Map.Item.Value", "day.$": "$day"},
            "ItemProcessor": {
                "StartAt": "Copy",
                "States": {
                    "Copy": {
                        "Type": "Task",
                        "Resource": TASK,
                        "Parameters": {"JobName": "copy", "Arguments.$": "$"},
                        "Retry": [{"ErrorEquals": ["Glue.Throttled"], "IntervalSeconds": 2}],
                        "Next": "Tidy",
                    },
                    "Tidy": {"Type": "Pass", "Assign": {"seen.$": "$"}, "End": True},
                },
            },
            "ResultPath": "$.copied",
            "Next": "Settle",
        },
        "Settle": {"Type": "Wait", "Seconds": 60, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Join",
                    "States": {
                        "Join": {
                            "Type": "Task",
                            "Resource": TASK,
                            "Parameters": {"JobName": "join"},
                            "TimeoutSeconds": 1000,
                            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.why", "Next": "Notify"}],
                            "End": True,
                        },
                        "Notify": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::sns:publish",
                            "Parameters": {"Message.$": "$.why.Cause"},
                            "ResultPath": "$.told",
                            "End": True,
                        },
                    },
                },
                {
                    "StartAt": "Nap",
                    "States": {"Nap": {"Type": "Wait", "Seconds": 5, "Next": "Woke"}, "Woke": {"Type": "Succeed"}},
                },
            ],
            "ResultPath": "$.both",
            "Next": "Enough",
        },
        "Enough": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.copied[2]", "IsPresent": True, "Next": "Report"}],
            "Default": "Lost",
        },
        "Report": {
            "Type": "Task",
            "QueryLanguage": "JSONata",
            "Resource": "arn:aws:lambda:us-east-1:111111111111:function:report",
            "Arguments": {"day": "{% $day %}", "rows": "{% $sum($states.input.copied.rows) %}"},
            "Output": "{% $merge([$states.input, {'report': $states.result}]) %}",
            "End": True,
        },
        "Lost": {"Type": "Fail", "Error": "Lost"},
    },
}


PARSED = from_json(MACHINE)


def work(call: TaskCall) -> tuple[float, Outcome]:
    arguments: Any = call.arguments
    match call.state:
        case "Copy" if call.attempt == 0 and arguments["Arguments"]["table"] == 1:
            return 10, ("Glue.Throttled", "try again")
        case "Copy":
            table = arguments["Arguments"]["table"]
            return 10, ("", {"table": table, "rows": table * 10})
        case "Join":
            return 10, ("States.TaskFailed", "OOM")
        case _:
            return 10, ("", arguments)


@pytest.fixture(autouse=True)
def one_state_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SLICE", 1)


def calm() -> tuple[str | None, int]:
    """Output and number of points of a run without a crash."""
    fuse = OneCrash()
    store, _, start = run(PARSED, {}, work, fuse)
    end = store.ended[start.execution]
    assert (end.status, end.error) == ("SUCCEEDED", None)
    check_history(seen(store.events[start.execution]))
    return end.output, fuse.points


@pytest.mark.parametrize("only_barriers", [False, True], ids=["kill", "power-loss"])
def test_r02(only_barriers: bool, figures: Callable[..., None]) -> None:
    output, points = calm()
    figures(points=points)
    assert points >= 60
    for point in range(1, points + 1):
        store, world, start = run(PARSED, {}, work, OneCrash(point), only_barriers=only_barriers)
        end = store.ended[start.execution]
        assert (point, end.status, end.output) == (point, "SUCCEEDED", output)
        check_history(seen(store.events[start.execution]))
        assert max(world.ends.values()) == 1, f"crash at {point}: finished twice: {world.ends}"
        assert len(world.starts) == 7, f"crash at {point}: another token for the same attempt"
        assert max(world.starts.values()) == 1, "a worker that outlives the engine starts once"


class Disk:
    """The engine's Store door over the endpoint's store; every append is a commit, with a point on each side."""

    def __init__(self, world: World, store: Store) -> None:
        self.world, self.records, self.ended = world, Records(store), False

    def append(self, batch: Batch) -> None:
        self.world.fuse.burn()
        self.records.append(batch)
        self.records.store.flush()
        self.ended = self.ended or batch.ended is not None
        self.world.fuse.burn()

    def barrier(self) -> None:
        self.records.barrier()
        self.world.fuse.burn()


class Exit:
    """Ends the process at the k-th point, after the world was saved: workers do not die with the endpoint."""

    def __init__(self, file: Path, at: int) -> None:
        self.file, self.at, self.points = file, at, 0
        self.world: World

    def save(self) -> None:
        world = self.world
        parts = (world.clock, world.running, world.outcomes, world.starts, world.ends, self.points)
        self.file.write_bytes(pickle.dumps(parts))

    def load(self) -> None:
        if self.file.exists():
            world = self.world
            world.clock, world.running, world.outcomes, world.starts, world.ends, self.points = pickle.loads(  # noqa: S301
                self.file.read_bytes()
            )

    def burn(self) -> None:
        self.points += 1
        if self.points == self.at:
            self.save()
            os._exit(9)


INSERT = (
    "INSERT OR IGNORE INTO states_executions (n, arn, machine, name, status, started, input, revision, role, secret)"
    " VALUES (1, ?, '', '', 'RUNNING', ?, '{}', '', '', x'00')"
)


def life(folder: Path, at: int) -> None:
    """One life of the engine, in a process of its own: from the store to the end, or to the point."""
    fuse = Exit(folder / "world", at)
    world = fuse.world = World(work, fuse)
    fuse.load()
    store = Store(folder / "endpoint.db")
    store.install(SCHEMA)
    disk = Disk(world, store)
    start = start_of(PARSED, {}, "crash", 1_764_000_000.0, True, False)
    with store.write() as db:
        db.execute(INSERT, (start.execution, start.started_at))
    row = store.one("SELECT status FROM states_executions WHERE n = 1")
    if row is not None and row["status"] == "RUNNING":
        engine = world.engine = Engine(world.clock, world, disk)
        last, moment = disk.records.last_event(1)
        engine.restore(Snapshot(start, last, moment, disk.records.frames(1), disk.records.items(1)))
        while not disk.ended:
            round_of(engine, world, lambda: disk.ended)
    fuse.save()
    store.close()


def in_a_process(folder: Path, at: int) -> int:
    """Run a life; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            life(folder, at)
            os._exit(0)
        except BaseException as error:
            print(f"life {at} failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def output_of(folder: Path) -> tuple[str, str | None]:
    store = Store(folder / "endpoint.db")
    row = store.one("SELECT status, output FROM states_executions WHERE n = 1")
    store.close()
    assert row is not None
    return row["status"], row["output"]


@pytest.mark.slow
def test_r02_on_disk(tmp_path: Path, full: bool, figures: Callable[..., None]) -> None:
    expected = ("SUCCEEDED", calm()[0])
    (tmp_path / "0").mkdir()
    assert in_a_process(tmp_path / "0", 0) == 0
    assert output_of(tmp_path / "0") == expected
    points = pickle.loads((tmp_path / "0" / "world").read_bytes())[-1]  # noqa: S301
    assert points >= 60
    step = 1 if full else 3
    for point in range(1, points + 1, step):
        folder = tmp_path / str(point)
        folder.mkdir()
        assert in_a_process(folder, point) == 9, point
        assert in_a_process(folder, 0) == 0, point
        assert output_of(folder) == expected, point
        assert check_store(folder / "endpoint.db") == 1
        ends: Counter[Any] = pickle.loads((folder / "world").read_bytes())[4]  # noqa: S301
        assert max(ends.values()) == 1, f"exit at {point}: finished twice"
    figures(points=points, exits=len(range(1, points + 1, step)))
