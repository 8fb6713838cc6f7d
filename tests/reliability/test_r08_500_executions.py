"""R8: 500 executions at once, started by 32 client threads: all succeed, and the endpoint needs no thread for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from soundness import Process, check_store

pytestmark = pytest.mark.slow


def threads(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("threads are counted in /proc")
    return int(status.read_text().split("Threads:")[1].split()[0])


def test_r08(process: Process, figures: Callable[..., None]) -> None:
    count = 500
    states = {"W": {"Type": "Wait", "Seconds": 2, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
    machine, sfn = process.machine("m", states), process.sfn
    took: list[float] = []

    def describe(arn: str) -> str:
        began = time.monotonic()
        status: str = sfn.describe_execution(executionArn=arn)["status"]
        took.append(time.monotonic() - began)
        return status

    most, over = threads(process.process.pid), threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.wait(0.05):
            most = max(most, threads(process.process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        arns = list(
            pool.map(lambda n: sfn.start_execution(stateMachineArn=machine, name=f"e{n}")["executionArn"], range(count))
        )
        started = time.monotonic() - began
        left = arns
        while left:
            assert time.monotonic() - began < 120
            left = [arn for arn, status in zip(left, pool.map(describe, left), strict=True) if status == "RUNNING"]
    wall = time.monotonic() - began
    over.set()
    watcher.join()
    listed = sfn.get_paginator("list_executions").paginate(stateMachineArn=machine, statusFilter="SUCCEEDED")
    succeeded = sum(len(page["executions"]) for page in listed)
    took.sort()
    figures(
        succeeded=succeeded, wall_seconds=round(wall, 1), start_seconds=round(started, 1), threads=most,
        describe_p99_ms=round(took[int(len(took) * 0.99)] * 1000),
    )  # fmt: skip
    assert succeeded == count
    assert most <= 64
    process.kill()
    assert check_store(process.data / "endpoint.db") == count
