"""S3 and Lambda: server CPU of small objects, memory and ranges of a large one, warm calls; beside moto and MiniStack.

CPU time of the server process is what counts, since wall time is mostly boto3's. Objects are durable files with us;
moto keeps them in memory.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import peers
import psutil
from run import Line

ROUNDS = 150
LARGE = 100 << 20
BUCKET = "bench-bucket"
SOURCE = "def handler(event, context): return event"


class Small:
    """The same small requests against one server."""

    def __init__(self, peer: peers.Peer) -> None:
        self.peer, self.s3 = peer, peer.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.put()
        self.get()

    def put(self) -> None:
        for n in range(ROUNDS):
            self.s3.put_object(Bucket=BUCKET, Key=f"small/{n}", Body=b"x" * 1024)

    def get(self) -> None:
        for n in range(ROUNDS):
            self.s3.get_object(Bucket=BUCKET, Key=f"small/{n}")["Body"].read()

    def cpu_ms(self, work: Callable[[], None]) -> float:
        """Server CPU a request, the best of three rounds."""
        found = []
        for _ in range(3):
            before = self.peer.cpu_seconds()
            work()
            found.append((self.peer.cpu_seconds() - before) * 1000 / ROUNDS)
        return min(found)

    def large(self) -> tuple[float, float, float]:
        """100 MiB put and got as a whole: MiB/s down, MiB the server grew at its peak, ms of a 1 KB range."""
        process = psutil.Process(self.peer.process.pid)
        before = process.memory_info().rss
        self.s3.put_object(Bucket=BUCKET, Key="large", Body=io.BytesIO(b"x" * LARGE))
        grown, begun = process.memory_info().rss, time.perf_counter()
        for piece in self.s3.get_object(Bucket=BUCKET, Key="large")["Body"].iter_chunks(1 << 20):
            del piece
        rate = 100 / (time.perf_counter() - begun)
        grown = max(grown, process.memory_info().rss) - before
        begun = time.perf_counter()
        for _ in range(20):
            self.s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=50000000-50001023")["Body"].read()
        return rate, grown / (1 << 20), (time.perf_counter() - begun) * 50


def warm_call_ms(peer: peers.Peer) -> float:
    """A warm function call through boto3, median of 100."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("index.py", SOURCE)
    client: Any = peer.client("lambda")
    client.create_function(
        FunctionName="bench", Runtime="python3.12", Handler="index.handler", Timeout=30,
        Role="arn:aws:iam::000000000000:role/bench", Code={"ZipFile": archive.getvalue()},
    )  # fmt: skip
    client.get_waiter("function_active_v2").wait(FunctionName="bench")
    times = []
    for _ in range(101):
        begun = time.perf_counter()
        client.invoke(FunctionName="bench", Payload=b"{}")["Payload"].read()
        times.append(time.perf_counter() - begun)
    return sorted(times[1:])[50] * 1000


def measure() -> Iterator[Line]:
    with peers.ours() as ours:
        mine = Small(ours)
        put, get = mine.cpu_ms(mine.put), mine.cpu_ms(mine.get)
        rate, grown, ranged = mine.large()
        call = warm_call_ms(ours)
        with peers.running("moto") as moto:
            yield from beside_moto(put, get, rate, grown, ranged, moto)
        with peers.running("ministack") as ministack:
            theirs = warm_call_ms(ministack) if ministack else None
            met = None if theirs is None else call * 5 <= theirs
            yield Line("Lambda: warm call, boto3 included", call, "ms", ">= 5x faster", met, theirs, "ministack")


def beside_moto(
    put: float, get: float, rate: float, grown: float, ranged: float, moto: peers.Peer | None
) -> Iterator[Line]:
    theirs = Small(moto) if moto else None
    their_put, their_get = (theirs.cpu_ms(theirs.put), theirs.cpu_ms(theirs.get)) if theirs else (None, None)
    their_rate, their_grown, their_ranged = theirs.large() if theirs else (None, None, None)

    def line(what: str, ours: float, unit: str, budget: str, times: float, peer: float | None) -> Line:
        met = None if peer is None else ours * times <= peer
        return Line(what, ours, unit, budget, met, peer, "moto")

    yield line("S3: put 1 KB, server CPU", put, "ms", ">= 2x less than moto", 2, their_put)
    yield line("S3: get 1 KB, server CPU", get, "ms", ">= 2x less than moto", 2, their_get)
    yield line("S3: 1 KB range of 100 MiB", ranged, "ms", ">= 5x faster than moto", 5, their_ranged)
    yield Line("S3: growth for 100 MiB put + get", grown, "MiB", "<= 48 MiB", grown <= 48, their_grown, "moto")
    yield Line("S3: get 100 MiB", rate, "MiB/s", "for information", True, their_rate, "moto", more_is_better=True)
