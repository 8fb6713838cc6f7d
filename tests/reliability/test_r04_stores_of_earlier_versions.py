"""R4: what an earlier version stored is opened, shown, resumed, redriven. tests/cases/stores has a file a release."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process, check_store

pytestmark = pytest.mark.slow

STORES = sorted((Path(__file__).parents[1] / "cases" / "stores").glob("*.sql"))
RUNNING = ("waiting", "asked", "items", "retried")


def tokens(database: Path) -> list[tuple[str, str]]:
    """(execution's name, token) of what waits for an activity."""
    with sqlite3.connect(database) as db:
        rows = db.execute("SELECT e.name, f.text FROM states_frames f JOIN states_executions e USING (n)"
                          " WHERE e.status = 'RUNNING'").fetchall()  # fmt: skip
    db.close()
    frames = [(name, json.loads(text)) for name, text in rows]
    return [(name, frame["task"]["token"]) for name, frame in frames if frame.get("task")]


def test_there_is_one() -> None:
    assert STORES


@pytest.mark.parametrize("stored", STORES, ids=lambda path: path.stem)
def test_r04(stored: Path, tmp_path: Path, figures: Callable[..., None]) -> None:
    data = tmp_path / ".millpond"
    data.mkdir(mode=0o700)
    with sqlite3.connect(data / "endpoint.db") as db:
        db.executescript(stored.read_text("utf-8"))
        db.execute("UPDATE states_executions SET stopped = ? WHERE stopped IS NOT NULL", (time.time(),))  # redrivable
    db.close()
    open_tokens = tokens(data / "endpoint.db")
    process = Process(data)
    try:
        counted = every_execution(process, open_tokens)
    finally:
        process.kill()
    figures(histories=sum(counted.values()), resumed=counted["resumed"], redriven=counted["redriven"])
    assert check_store(data / "endpoint.db") == sum(counted.values()) >= 50


def every_execution(process: Process, open_tokens: list[tuple[str, str]]) -> Counter[str]:
    sfn, counted = process.sfn, Counter[str]()
    for name, token in open_tokens:
        sfn.send_task_success(taskToken=token, output=json.dumps(name))
    machines: list[dict[str, Any]] = sfn.list_state_machines()["stateMachines"]
    activity = sfn.list_activities()["activities"][0]["activityArn"]
    for machine in machines:
        for execution in sfn.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            arn, before = execution["executionArn"], execution["status"]
            if machine["name"] == "retried":
                token = sfn.get_activity_task(activityArn=activity)["taskToken"]
                sfn.send_task_success(taskToken=token, output='"retried"')
            if machine["name"] in RUNNING:
                assert process.ended(arn)["status"] == "SUCCEEDED", arn
                counted["resumed"] += 1
            elif before in ("FAILED", "ABORTED") and machine["name"] != "stopped":
                sfn.redrive_execution(executionArn=arn)
                assert process.ended(arn)["status"] == "FAILED"  # as before: it is meant to
                counted["redriven"] += 1
            else:
                counted[before.lower()] += 1
            process.history(arn)
    return counted
