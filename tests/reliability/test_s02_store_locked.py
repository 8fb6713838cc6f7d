"""S2: another program locks the state file. For a moment: nobody notices. For long: 503, and no transition is lost.

SQLite's BEGIN EXCLUSIVE of an outside connection; reading goes on meanwhile, the endpoint answers.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from botocore.exceptions import ClientError
from soundness import Process, check_store
from workload import Everything

pytestmark = pytest.mark.slow

STATES = {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": {"Type": "Pass", "End": True}}


@contextmanager
def locked(process: Process) -> Iterator[Callable[[], None]]:
    """The state file is locked until what this gives is called."""
    db = sqlite3.connect(process.data / "endpoint.db", isolation_level=None, check_same_thread=False, timeout=10)
    db.execute("BEGIN EXCLUSIVE")

    def release() -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")

    try:
        yield release
    finally:
        release()
        db.close()


def test_s02_for_a_moment(process: Process, full: bool, figures: Callable[..., None]) -> None:
    seconds = 3 if full else 1  # the endpoint is patient for five, and a busy machine may add to ours
    machine, sfn = process.machine("m", STATES), process.sfn
    first = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    with locked(process) as release, ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        starts = [pool.submit(sfn.start_execution, stateMachineArn=machine) for _ in range(8)]
        slowest = 0.0
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            sfn.describe_execution(executionArn=first)
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.05)
        assert not any(start.done() for start in starts), "answered before it was written"
        release()
        arns = [start.result()["executionArn"] for start in starts]
    figures(
        locked_seconds=seconds, delayed=len(arns), refused=len(starts) - len(arns),
        slowest_describe_ms=round(slowest * 1000),
    )  # fmt: skip
    assert {process.ended(arn)["status"] for arn in [first, *arns]} == {"SUCCEEDED"}
    process.kill()
    assert check_store(process.data / "endpoint.db") == 9


def test_s02_for_long(process: Process, full: bool, figures: Callable[..., None]) -> None:
    states = STATES | {"W": STATES["W"] | {"Seconds": 5}}  # the last of them still waits when the lock comes
    machine, sfn = process.machine("m", states), process.sfn
    seconds = 30.0 if full else 8.0
    running = [sfn.start_execution(stateMachineArn=machine)["executionArn"] for _ in range(20)]
    codes: list[tuple[str, int]] = []
    answered: list[str] = []

    def start() -> None:
        try:
            answered.append(sfn.start_execution(stateMachineArn=machine)["executionArn"])
        except ClientError as error:
            assert str(process.data / "endpoint.db") in error.response["Error"]["Message"]
            codes.append((error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]))

    with locked(process) as release:
        began = time.monotonic()
        clients = [threading.Thread(target=start) for _ in range(10)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        refused_after = time.monotonic() - began
        assert codes == [("ServiceUnavailable", 503)] * 10
        while time.monotonic() - began < seconds:
            assert sfn.describe_execution(executionArn=running[-1])["status"] == "RUNNING"
            time.sleep(0.2)
        release()
    lost = sum(process.ended(arn)["status"] != "SUCCEEDED" for arn in running)
    assert not lost
    start()
    assert len(answered) == 1
    figures(
        locked_seconds=round(seconds), refused_503=len(codes), refused_after_seconds=round(refused_after, 1), lost=lost
    )
    process.ended(answered[0])
    assert len(sfn.list_executions(stateMachineArn=machine)["executions"]) == 21
    process.kill()
    assert check_store(process.data / "endpoint.db") == 21


def test_s02_everything_at_once(process: Process, full: bool, figures: Callable[..., None]) -> None:
    work = Everything(process, 3 if full else 1)
    locks = (1.5, 7.0, 1.5) if full else (1.0, 6.0)
    for seconds in locks:
        time.sleep(0.4)
        with locked(process):
            time.sleep(seconds)
    figures(executions=work.check(), locks=len(locks))
