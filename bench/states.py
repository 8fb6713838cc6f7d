"""Step Functions: states per CPU-second in a loop, inline Maps of 1,000 to 10,000 items; history kept.

Ours is the engine with its in-memory store, in this process; the peers run the same definitions behind HTTP, and only
the CPU time of the server process is counted. Each figure is the best of a few runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import peers
from run import Line

from millpond.asl import from_json
from millpond.testing import simulate

ROUNDS = 2_000
LOOP = {
    "StartAt": "Begin",
    "States": {
        "Begin": {"Type": "Pass", "Result": {"n": 0}, "Next": "Add"},
        "Add": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "Enough"},
        "Enough": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericLessThan": ROUNDS, "Next": "Add"}],
            "Default": "End",
        },
        "End": {"Type": "Pass", "End": True},
    },
}
STATES = 2 * ROUNDS + 2
MAP = {
    "StartAt": "Each",
    "States": {
        "Each": {
            "Type": "Map",
            "ItemsPath": "$.items",
            "MaxConcurrency": 40,
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "INLINE"},
                "StartAt": "Same",
                "States": {"Same": {"Type": "Pass", "End": True}},
            },
            "End": True,
        }
    },
}
PATIENCE = 240.0  # seconds for one execution of a peer


def best(work: Callable[[], None], times: int = 3) -> float:
    """The least CPU seconds of a few runs."""
    figures = []
    for _ in range(times):
        began = time.process_time()
        work()
        figures.append(time.process_time() - began)
    return min(figures)


def loop() -> None:
    run = simulate(from_json(LOOP))
    assert run.status == "SUCCEEDED" and len(run.states) == STATES, run


def inline_map(size: int) -> None:
    run = simulate(from_json(MAP), {"items": list(range(size))}, quotas=False)
    assert run.output == list(range(size)) and len(run.events) == 4 * size + 6, (run.status, len(run.events))


def peer_cpu(peer: peers.Peer, definition: dict, given: dict) -> float | None:
    """CPU seconds of one execution, None where it does not succeed."""
    import json

    states = peer.client("stepfunctions")
    name = f"m{time.monotonic_ns()}"
    arn = states.create_state_machine(
        name=name, definition=json.dumps(definition), roleArn="arn:aws:iam::000000000000:role/bench"
    )["stateMachineArn"]
    before = peer.cpu_seconds()
    execution = states.start_execution(stateMachineArn=arn, name=name, input=json.dumps(given))["executionArn"]
    status = ["RUNNING"]

    def ended() -> bool:
        status[0] = states.describe_execution(executionArn=execution)["status"]
        return status[0] != "RUNNING"

    peers.wait_until(ended, PATIENCE, 0.25)
    return peer.cpu_seconds() - before if status[0] == "SUCCEEDED" else None


def measure() -> Iterator[Line]:
    ours = {size: best(lambda size=size: inline_map(size)) for size in (1_000, 5_000, 10_000)}
    rate = STATES / best(loop)
    growth = ours[10_000] / ours[1_000]
    seconds = ours[10_000]
    yield Line("inline Map, 10,000 items, quota off", seconds, "CPU-s", "<= 1 s", seconds <= 1.0)
    yield Line("inline Map, 10,000 items over 1,000", growth, "times", "<= 12 times (linear)", growth <= 12)
    for name, least in (("ministack", 1.5), ("moto", 30.0)):
        with peers.running(name) as peer:
            yield from beside(peer, name, least, rate, ours)


def beside(peer: peers.Peer | None, name: str, least: float, rate: float, ours: dict[int, float]) -> Iterator[Line]:
    """The lines that compare with one peer."""
    cpu = peer_cpu(peer, LOOP, {}) if peer else None
    theirs = STATES / cpu if cpu else None
    met = rate >= least * theirs if theirs else None
    what = f"Pass/Choice loop, {STATES:,} states"
    yield Line(what, rate, "states/CPU-s", f">= {least:g}x {name}", met, theirs, name, more_is_better=True)
    sizes = (1_000, 5_000) if name == "moto" else (1_000,)
    for size in sizes:
        cpu = peer_cpu(peer, MAP, {"items": list(range(size))}) if peer else None
        wanted = 20.0 if name == "moto" else 1.0
        met = ours[size] * wanted <= cpu if cpu else None
        yield Line(f"inline Map, {size:,} items", ours[size], "CPU-s", f">= {wanted:g}x {name}", met, cpu, name)
