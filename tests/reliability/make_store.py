"""Writes the store that R4 opens: `python tests/reliability/make_store.py` makes tests/cases/stores/<version>.sql.

Run it once a release and keep every file: 50 executions of that release, ended in every way, failed and to be redriven,
and killed while they waited for a timer, a retry, an activity, items of a Map and a nested execution. Text, so that it
can be read and compared. Only the tables of Step Functions.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from soundness import Process

STORES = Path(__file__).parents[1] / "cases" / "stores"
PASS = {"Type": "Pass", "End": True}
LONG = {"Type": "Wait", "Seconds": 20}


def machines(activity: str) -> dict[str, tuple[dict[str, Any], int]]:
    """name: (states, how many executions)."""
    work = {"Type": "Task", "Resource": activity, "End": True}
    retry = work | {"Retry": [{"ErrorEquals": ["Again"], "IntervalSeconds": 15, "MaxAttempts": 2}]}
    choice = {"Variable": "$.n", "NumericGreaterThan": 2, "Next": "Large"}
    each = {"StartAt": "E", "States": {"E": {"Type": "Pass", "Parameters": {"i.$": "$"}, "End": True}}}
    bad = {
        "StartAt": "C",
        "States": {
            "C": {
                "Type": "Choice",
                "Choices": [{"Variable": "$", "NumericEquals": 3, "Next": "F"}],
                "Default": "Ok",
            },
            "Ok": PASS,
            "F": {"Type": "Fail", "Error": "Three", "Cause": "item"},
        },
    }
    items = {"StartAt": "T", "States": {"T": work}}
    jsonata = {
        "A": {"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"n": "{% $states.input.n * 2 %}"}, "Next": "B"},
        "B": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"twice": "{% $n %}"}, "End": True},
    }
    branches = [{"StartAt": f"P{n}", "States": {f"P{n}": PASS}} for n in range(2)]
    return {
        "choice": ({"C": {"Type": "Choice", "Choices": [choice], "Default": "Small"}, "Small": PASS, "Large": PASS}, 8),
        "wait": ({"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": PASS}, 4),
        "parallel": ({"B": {"Type": "Parallel", "Branches": branches, "End": True}}, 5),
        "map": ({"M": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": each, "End": True}}, 6),
        "jsonata": (jsonata, 6),
        "fail": ({"F": {"Type": "Fail", "Error": "Meant", "Cause": "to"}}, 5),
        "bad-map": ({"M": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": bad, "End": True}}, 4),
        "stopped": ({"W": LONG | {"Seconds": 600, "Next": "P"}, "P": PASS}, 3),
        "activity": ({"T": work}, 3),
        "waiting": ({"W": LONG | {"Next": "P"}, "P": PASS}, 3),
        "asked": ({"T": work}, 2),
        "items": ({"M": {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": items, "End": True}}, 1),
        "retried": ({"T": retry}, 1),
    }


def make(process: Process) -> None:
    sfn = process.sfn
    activity = sfn.create_activity(name="work")["activityArn"]
    started: dict[str, list[str]] = {}
    for name, (states, count) in machines(activity).items():
        machine = process.machine(name, states)
        started[name] = [
            sfn.start_execution(
                stateMachineArn=machine, name=f"{name}-{n}", input=json.dumps({"n": n, "items": [1, 2, 3, 4][: n + 3]})
            )["executionArn"]
            for n in range(count)
        ]
        work_on(name, count, sfn, activity)
    for execution in started["stopped"]:
        sfn.stop_execution(executionArn=execution, error="Stopped", cause="by hand")
    for name in ("choice", "wait", "parallel", "map", "jsonata", "fail", "bad-map", "activity"):
        for execution in started[name]:
            process.ended(execution)
    time.sleep(0.5)


def work_on(name: str, count: int, sfn: Any, activity: str) -> None:
    """What the activity's workers did before the kill: nobody else's task waits yet when this is asked."""

    def take() -> str:
        token: str = sfn.get_activity_task(activityArn=activity, workerName="w")["taskToken"]
        return token

    match name:
        case "activity":
            for n in range(count):
                sfn.send_task_success(taskToken=take(), output=str(n))
        case "asked":
            for _ in range(count):
                take()
        case "items":  # two are done, one is asked for
            for n in range(2):
                sfn.send_task_success(taskToken=take(), output=str(n))
            take()
        case "retried":
            token = take()
            sfn.send_task_failure(taskToken=token, error="Again")


def dump(database: Path) -> str:
    with sqlite3.connect(database) as db:
        kept = [line for line in db.iterdump() if "states_" in line.split("(")[0]]
        kept.append(f"PRAGMA user_version={db.execute('PRAGMA user_version').fetchone()[0]};")
    db.close()
    return "\n".join(kept) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder) / ".millpond")
        try:
            make(process)
        finally:
            process.kill()
        STORES.mkdir(exist_ok=True)
        target = STORES / f"{version('millpond')}.sql"
        target.write_text(dump(process.data / "endpoint.db"), "utf-8")
        print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
