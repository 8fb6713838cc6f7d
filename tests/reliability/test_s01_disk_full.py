"""S1: the disk is full. No success is told that is none, nothing hangs, the process lives, and all goes on afterwards.

The endpoint fills a small file system of its own where this machine lets us mount one (as root), and always a limit on
the size of its files, which is lifted later.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from soundness import Process, check_store, until
from workload import Everything

pytestmark = pytest.mark.slow

STATES = {"W": {"Type": "Wait", "Seconds": 1, "Next": "P"}, "P": {"Type": "Pass", "End": True}}
LARGE = json.dumps({"text": "x" * 30_000})


class Starts:
    """StartExecution again and again: what was acknowledged, what was refused, how long the longest took."""

    def __init__(self, process: Process) -> None:
        self.process, self.machine = process, process.machine("m", STATES)
        self.acknowledged: list[str] = []
        self.refusals: list[Any] = []
        self.slowest = 0.0

    def one(self) -> bool:
        name, began = f"e{len(self.acknowledged) + len(self.refusals)}", time.monotonic()
        try:
            answer = self.process.sfn.start_execution(stateMachineArn=self.machine, name=name, input=LARGE)
        except ClientError as error:
            self.refusals.append(error.response)
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        self.acknowledged.append(answer["executionArn"])
        return True

    def until_refused(self) -> None:
        until(lambda: not self.one())
        assert not any(self.one() for _ in range(3))
        for response in self.refusals:
            error = response["Error"]
            assert (error["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceUnavailable", 503)
            assert str(self.process.data / "endpoint.db") in error["Message"]

    def check_the_end(self) -> int:
        """All that was acknowledged ends well, what was refused is not there, and the store is sound. How many were
        lost."""
        lost = sum(self.process.ended(arn)["status"] != "SUCCEEDED" for arn in self.acknowledged)
        assert not lost
        listed = self.process.sfn.get_paginator("list_executions").paginate(stateMachineArn=self.machine)
        there = {execution["executionArn"] for page in listed for execution in page["executions"]}
        assert there == set(self.acknowledged)
        self.process.kill()
        assert check_store(self.process.data / "endpoint.db") == len(there)
        return lost


def fill_up(starts: Starts, free: Callable[[], None]) -> int:
    starts.until_refused()
    assert starts.process.alive()
    last = starts.acknowledged[-1]
    assert starts.process.sfn.describe_execution(executionArn=last)["executionArn"] == last  # reading goes on
    time.sleep(1.5)  # the executions' waits end now, and cannot be written
    assert starts.process.alive()
    free()
    until(starts.one)
    return starts.check_the_end()


def test_s01(process: Process, figures: Callable[..., None]) -> None:
    starts = Starts(process)
    for _ in range(5):
        assert starts.one()
    log = process.data / "endpoint.db-wal"
    pid, (_, hard) = process.process.pid, resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (log.stat().st_size + 200_000, hard))
    lost = fill_up(starts, lambda: resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard)))
    figures(acknowledged=len(starts.acknowledged), lost=lost, refused_503=len(starts.refusals),
            slowest_answer_seconds=round(starts.slowest, 2))  # fmt: skip


def test_s01_everything_at_once(process: Process, full: bool, figures: Callable[..., None]) -> None:
    """The disk is full again and again while everything works: it all waits, and ends well."""
    starts = Starts(process)
    work, chance = Everything(process, 3 if full else 1), random.Random(3)
    times = 4 if full else 2
    pid, (_, hard) = process.process.pid, resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
    for _ in range(times):
        time.sleep(0.2 + chance.random() * 0.5)
        size = (process.data / "endpoint.db-wal").stat().st_size + chance.randrange(60_000)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        until(lambda: not starts.one())  # it is full, whatever the work writes
        time.sleep(1.5)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert all(process.ended(arn)["status"] == "SUCCEEDED" for arn in starts.acknowledged)
    figures(executions=work.check(), times_full=times)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state folder that is a file system of 6 MB."""
    folder = tmp_path / ".millpond"
    folder.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine lets us mount nothing; the limit on file sizes is tested")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_s01_small_disk(small_disk: Path, figures: Callable[..., None]) -> None:
    process = Process(small_disk)
    try:
        s3 = process.client("s3")
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="k", Body=b"old")
        starts = Starts(process)
        assert starts.one()
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            space = os.statvfs(small_disk)
            file.write(bytes(space.f_bavail * space.f_frsize - 150_000))
        starts.until_refused()
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket="kept", Key="k", Body=bytes(1_000_000))
        status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (caught.value.response["Error"]["Code"], status) == ("SlowDown", 503)
        assert s3.get_object(Bucket="kept", Key="k")["Body"].read() == b"old"
        lost = fill_up(starts, filler.unlink)
        figures(acknowledged=len(starts.acknowledged), lost=lost, refused_503=len(starts.refusals))
    finally:
        process.kill()
