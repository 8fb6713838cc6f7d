"""R1: completed work never re-runs, whenever the endpoint is killed.

A Map of Lambda functions, each of which writes its start and its end into a ledger that nobody of ours reads: the
independent witness. The endpoint is killed at seeded moments of the ledger, and started again.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process, check_store, until
from workload import Everything

pytestmark = pytest.mark.slow

CONCURRENCY = 40
SOURCE = """
import os, time

def note(path, *words):
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, (" ".join(words) + "\\n").encode())
    os.close(file)

def handler(event, context):
    note(event["ledger"], "start", str(event["item"]), event["token"])
    time.sleep(0.002)
    note(event["ledger"], "end", str(event["item"]), event["token"])
    return event["item"] * 2
"""


def flow(ledger: Path) -> dict[str, Any]:
    call = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {
            "FunctionName": "work",
            "Payload": {"item.$": "$", "ledger": str(ledger), "token.$": "States.Format('{}', $$.State.EnteredTime)"},
        },
        "OutputPath": "$.Payload",
        "End": True,
    }
    item = {"StartAt": "Work", "States": {"Work": call}}
    return {"Each": {"Type": "Map", "MaxConcurrency": CONCURRENCY, "ItemProcessor": item, "End": True}}


def lines(ledger: Path) -> list[list[str]]:
    return [line.split() for line in ledger.read_text().splitlines()] if ledger.exists() else []


def test_r01(process: Process, tmp_path: Path, full: bool, figures: Callable[..., None]) -> None:
    items, kills = (1000, 25) if full else (200, 4)
    ledger, chance = tmp_path / "ledger", random.Random(1)
    process.function("work", SOURCE)
    execution = process.sfn.start_execution(
        stateMachineArn=process.machine("map", flow(ledger)), input=json.dumps(list(range(items)))
    )["executionArn"]
    began = time.monotonic()
    for moment in sorted(chance.sample(range(2 * items - 2 * CONCURRENCY), kills)):
        until(lambda m=moment: len(lines(ledger)) > m)
        time.sleep(chance.random() * 0.005)
        process.kill()
        process.up()
    answer = process.ended(execution)
    seconds = time.monotonic() - began
    starts: dict[str, list[str]] = defaultdict(list)
    ends: Counter[str] = Counter()
    for kind, item, token in lines(ledger):
        if kind == "start":
            starts[item].append(token)
        else:
            ends[item] += 1
    twice = {item: tokens for item, tokens in starts.items() if len(tokens) > 1}
    figures(
        items=items,
        kills=kills,
        lost=sum(str(item) not in ends for item in range(items)),
        started_twice=len(twice),
        ended_twice=sum(count > 1 for count in ends.values()),
        seconds=round(seconds, 1),
    )
    calm = json.dumps([item * 2 for item in range(items)], separators=(",", ":"))
    assert (answer["status"], answer["output"]) == ("SUCCEEDED", calm)
    assert len(ends) == items
    assert max(ends.values()) == 1, "ended twice"
    assert sum(len(tokens) - 1 for tokens in starts.values()) <= kills * CONCURRENCY
    assert all(len(set(tokens)) == 1 for tokens in twice.values()), "another attempt, not the same one again"
    events = process.history(execution)
    assert sum(event["type"] == "MapIterationSucceeded" for event in events) == items
    process.kill()
    assert check_store(process.data / "endpoint.db") == 1


def test_r01_everything_at_once(process: Process, full: bool, figures: Callable[..., None]) -> None:
    """Maps (inline, distributed), nested executions, retries, timers, killed at moments of chance."""
    work, chance = Everything(process, 3 if full else 1), random.Random(2)
    kills = 12 if full else 3
    for _ in range(kills):
        time.sleep(chance.random() * 0.7)
        process.kill()
        process.up()
    figures(executions=work.check(), kills=kills)


SLOW = """
import os, time

def handler(event, context):
    with open(event["ledger"], "a") as file:
        file.write("start x x\\n")
    print("to a log that nobody reads any more")
    while os.path.exists(event["block"]):
        time.sleep(0.02)
    print("still here")
    with open(event["ledger"], "a") as file:
        file.write("end x x\\n")
    return "done"
"""


@pytest.mark.parametrize("how", ["ends while the endpoint is away", "ends after the next one asked"])
def test_r01_a_function_outlives_the_endpoint(process: Process, tmp_path: Path, how: str) -> None:
    ledger, block = tmp_path / "ledger", tmp_path / "block"
    block.touch()
    process.function("slow", SLOW)
    resource = "arn:aws:lambda:us-east-1:000000000000:function:slow"
    states = {"T": {"Type": "Task", "Resource": resource, "End": True}}
    execution = process.sfn.start_execution(
        stateMachineArn=process.machine("m", states), input=json.dumps({"ledger": str(ledger), "block": str(block)})
    )["executionArn"]
    until(lambda: lines(ledger))
    process.kill()
    if how.startswith("ends while"):
        block.unlink()
        until(lambda: len(lines(ledger)) == 2)
    process.up()
    block.unlink(missing_ok=True)
    answer = process.ended(execution)
    assert (answer["status"], answer["output"]) == ("SUCCEEDED", '"done"')
    assert [words[0] for words in lines(ledger)] == ["start", "end"]
    until(lambda: not list((process.data / "lambda" / "outcomes").iterdir()))


def test_r01_an_orderly_end_fails_nothing(process: Process, tmp_path: Path) -> None:
    ledger, block = tmp_path / "ledger", tmp_path / "block"
    block.touch()
    process.function("slow", SLOW)
    resource = "arn:aws:lambda:us-east-1:000000000000:function:slow"
    states = {"T": {"Type": "Task", "Resource": resource, "End": True}}
    execution = process.sfn.start_execution(
        stateMachineArn=process.machine("m", states), input=json.dumps({"ledger": str(ledger), "block": str(block)})
    )["executionArn"]
    until(lambda: lines(ledger))
    process.down()
    process.up()
    block.unlink()
    assert process.ended(execution)["status"] == "SUCCEEDED"
    assert [words[0] for words in lines(ledger)].count("end") == 1
