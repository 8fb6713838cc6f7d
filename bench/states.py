"""Step Functions: loops, inline Maps, starts; history kept.

"engine" lines run in this process, with the store in memory. "endpoint" lines compare like with like: our endpoint and
the peer are processes behind HTTP, the same boto3 calls drive both, and for loops and Maps only the CPU time of the
server process (its answers to our polling included) is counted. Ours stores history durably, the peers do not. A
process's CPU time comes in steps of 10 ms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
TRIVIAL: dict[str, Any] = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}
CROWD = {"StartAt": "Pause", "States": {"Pause": {"Type": "Wait", "Seconds": 2, "Next": "Only"}, **TRIVIAL["States"]}}
CROWD_SIZE, CROWD_CLIENTS = 500, 32
PATIENCE = 240.0  # seconds for one execution of a peer
STARTS = 1_000  # enough for the steps of 10 ms not to matter
ROLE = "arn:aws:iam::000000000000:role/bench"


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


class Server:
    """A server under measurement."""

    def __init__(self, peer: peers.Peer) -> None:
        self.peer = peer
        self.states = peer.client("stepfunctions")

    def machine(self, definition: dict[str, Any]) -> str:
        name = f"m{time.monotonic_ns()}"
        made = self.states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
        arn: str = made["stateMachineArn"]
        return arn

    def start(self, machine: str, given: dict[str, Any]) -> str:
        name = f"e{time.monotonic_ns()}"
        made = self.states.start_execution(stateMachineArn=machine, name=name, input=json.dumps(given))
        arn: str = made["executionArn"]
        return arn

    def status(self, execution: str) -> str:
        found: str = self.states.describe_execution(executionArn=execution)["status"]
        return found

    def cpu(self, definition: dict[str, Any], given: dict[str, Any]) -> float | None:
        """CPU seconds of one execution, None where it does not succeed."""
        machine = self.machine(definition)
        before = self.peer.cpu_seconds()
        execution = self.start(machine, given)
        peers.wait_until(lambda: self.status(execution) != "RUNNING", PATIENCE, 0.25)
        return self.peer.cpu_seconds() - before if self.status(execution) == "SUCCEEDED" else None

    def least(self, definition: dict[str, Any], given: dict[str, Any], times: int = 3) -> float | None:
        """The least of a few such figures."""
        figures = [self.cpu(definition, given) for _ in range(times)]
        good = [figure for figure in figures if figure is not None]
        return min(good) if good else None

    def starts(self) -> float:
        """Executions that a CPU-second of the server starts (and runs: they are trivial)."""
        machine = self.machine(TRIVIAL)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: self.start(machine, {}), range(16)))
            before = self.peer.cpu_seconds()
            list(pool.map(lambda _: self.start(machine, {}), range(STARTS)))
            time.sleep(1)  # the last ones end
            return STARTS / (self.peer.cpu_seconds() - before)

    def crowd(self) -> tuple[float, float]:
        """Seconds until many executions that wait 2 s have all succeeded, and the CPU seconds that this took."""
        machine = self.machine(CROWD)
        before, began = self.peer.cpu_seconds(), time.perf_counter()
        with ThreadPoolExecutor(CROWD_CLIENTS) as pool:
            executions = list(pool.map(lambda _: self.start(machine, {}), range(CROWD_SIZE)))
            ends = list(pool.map(self.end, executions))
        assert set(ends) == {"SUCCEEDED"}, ends
        return time.perf_counter() - began, self.peer.cpu_seconds() - before

    def end(self, execution: str) -> str:
        """How an execution ended."""
        peers.wait_until(lambda: self.status(execution) != "RUNNING", PATIENCE, 0.1)
        return self.status(execution)

    def trivial(self) -> float:
        """Milliseconds from StartExecution to a SUCCEEDED answer, the best of some, without boto3's own time (which is
        2 ms of CPU a call)."""
        machine = self.machine(TRIVIAL)
        direct = self.peer.direct("states", "AWSStepFunctions")
        figures = []
        for number in range(60):
            began = time.perf_counter()
            name = f"direct{number}"
            execution = direct("StartExecution", {"stateMachineArn": machine, "name": name})["executionArn"]
            while direct("DescribeExecution", {"executionArn": execution})["status"] == "RUNNING":
                pass
            figures.append(time.perf_counter() - began)
        return min(figures) * 1000


def measure() -> Iterator[Line]:
    yield from engine_lines()
    with peers.ours() as ours:
        mine = Server(ours)
        for name, faster in (("ministack", 1.5), ("moto", 30.0)):
            with peers.running(name) as peer:
                yield from beside(mine, Server(peer) if peer else None, name, faster)


def engine_lines() -> Iterator[Line]:
    rate = STATES / best(loop)
    yield Line("engine: Pass/Choice loop", rate, "states/CPU-s", ">= 36,000 states/CPU-s", rate >= 36_000)
    # In turn, for one run of the small one is 10 ms: what disturbs the machine shall disturb both.
    turns = [[best(lambda size=size: inline_map(size), 1) for size in (1_000, 10_000)] for _ in range(5)]
    few, many = (min(figures) for figures in zip(*turns, strict=True))
    yield Line("engine: inline Map, 10,000 items, no quota", many, "CPU-s", "<= 1 s", many <= 1.0)
    yield Line("engine: inline Map, 10,000 over 1,000 items", many / few, "times", "<= 12 times", many / few <= 12)


def beside(mine: Server, theirs: Server | None, name: str, faster: float) -> Iterator[Line]:
    """The lines that compare with one peer."""
    ours, peer = (server.least(LOOP, {}) if server else None for server in (mine, theirs))
    assert ours, "our own loop did not succeed"
    rate, other = STATES / ours, STATES / peer if peer else None
    met = rate >= faster * other if other else None
    what = f"endpoint: Pass/Choice loop, {STATES:,} states"
    yield Line(what, rate, "states/CPU-s", f">= {faster:g}x {name}", met, other, name, more_is_better=True)
    wanted = 20.0 if name == "moto" else 1.0
    for size in (1_000, 5_000) if name == "moto" else (1_000,):
        given = {"items": list(range(size))}
        ours, peer = mine.least(MAP, given), theirs.least(MAP, given, 1) if theirs else None
        assert ours, "our own Map did not succeed"
        met = ours * wanted <= peer if peer else None
        yield Line(f"endpoint: inline Map, {size:,} items", ours, "CPU-s", f">= {wanted:g}x {name}", met, peer, name)
    if name == "moto":
        yield from starts(mine, theirs, name)


def starts(mine: Server, theirs: Server | None, name: str) -> Iterator[Line]:
    ours, peer = mine.starts(), theirs.starts() if theirs else None
    met = ours >= 10 * peer if peer else None
    budget = f">= 10x {name}"
    yield Line("endpoint: start_execution", ours, "/CPU-s", budget, met, peer, name, more_is_better=True)
    ours, peer = mine.trivial(), theirs.trivial() if theirs else None
    yield Line("endpoint: trivial execution, end to end", ours, "ms", "<= 5 ms", ours <= 5, peer, name)
    (wall, cpu), (other_wall, other_cpu) = mine.crowd(), theirs.crowd() if theirs else (None, None)
    what = f"endpoint: {CROWD_SIZE} at once, each waits 2 s"
    yield Line(what, wall, "s", "<= 8 s", wall <= 8, other_wall, name)
    yield Line(f"{what}: server", cpu, "CPU-s", "(printed)", None, other_cpu, name)
