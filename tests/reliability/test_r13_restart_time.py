"""R13: a restart on a store with much history: 10,000 finished and 500 running executions, a million events.

The store is filled with copies of one finished and one running execution that the endpoint itself wrote. The small
profile has a twentieth of it. Figures are measured; no time is asserted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from soundness import Process, check_store, until

pytestmark = pytest.mark.slow

STATES = {
    "W": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "P"},
    **{
        name: {"Type": "Pass", "Next": after} if after else {"Type": "Pass", "End": True}
        for name, after in zip("PQRSTUV", [*"QRSTUV", None], strict=True)
    },
}


def multiply(path: Path, finished: int, running: int, events: int) -> None:
    """Copies of the executions 1 (finished) and 2 (running); each finished one has so many events."""
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        columns = [row["name"] for row in db.execute("PRAGMA table_info(states_executions)")]
        kept = ", ".join(column for column in columns if column not in ("n", "arn", "name"))
        numbers = {1: range(10, 10 + finished), 2: range(10 + finished, 10 + finished + running)}
        for original, copies in numbers.items():
            for n in copies:
                db.execute(
                    f"INSERT INTO states_executions (n, arn, name, {kept})"
                    f" SELECT ?, arn || ?, name || ?, {kept} FROM states_executions WHERE n = ?",
                    (n, f"-{n}", f"-{n}", original),
                )
        rows = [tuple(row)[1:] for row in db.execute("SELECT * FROM states_events WHERE n = 1 ORDER BY id")]
        long = [(index + 1, index, *rows[1 + index % (len(rows) - 2)][2:]) for index in range(1, events - 1)]
        long = [rows[0], *long, (events, events - 1, *rows[-1][2:])]
        insert = f"INSERT INTO states_events VALUES ({', '.join('?' * (len(rows[0]) + 1))})"
        for n in numbers[1]:
            db.executemany(insert, ((n, *row) for row in long))
        for table in ("states_events", "states_frames"):
            names = [row["name"] for row in db.execute(f"PRAGMA table_info({table})")]
            others = ", ".join(name for name in names if name != "n")
            for n in numbers[2]:
                db.execute(f"INSERT INTO {table} (n, {others}) SELECT ?, {others} FROM {table} WHERE n = 2", (n,))
    db.close()


def test_r13(process: Process, full: bool, figures: Callable[..., None]) -> None:
    finished, running = (10_000, 500) if full else (500, 50)
    machine = process.machine("m", STATES)
    first = process.sfn.start_execution(stateMachineArn=machine, input='{"seconds": 0}')["executionArn"]
    process.ended(first)
    second = process.sfn.start_execution(stateMachineArn=machine, input='{"seconds": 3}')["executionArn"]
    until(lambda: any(event["type"] == "WaitStateEntered" for event in process.history(second)))
    process.kill()
    multiply(process.data / "endpoint.db", finished, running, 100)
    time.sleep(3)  # so that each running one is overdue
    ready = process.up()
    began, left = time.monotonic(), running + 1
    while left:
        assert time.monotonic() - began < 120
        pages = process.sfn.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="RUNNING")
        left = sum(len(page["executions"]) for page in pages)
    resumed = time.monotonic() - began
    figures(
        finished=finished, running=running, events=finished * 100,
        megabytes=round((process.data / "endpoint.db").stat().st_size / 1e6),
        ready_seconds=round(ready, 2), resumed_seconds=round(ready + resumed, 2),
    )  # fmt: skip
    assert process.ended(second)["status"] == "SUCCEEDED"
    process.history(second)
    process.kill()
    with sqlite3.connect(
        process.data / "endpoint.db"
    ) as db:  # the made-up histories of the finished ones are not sound
        db.execute("DELETE FROM states_events WHERE n BETWEEN 10 AND ?", (9 + finished,))
    db.close()
    assert check_store(process.data / "endpoint.db") == running + 2
