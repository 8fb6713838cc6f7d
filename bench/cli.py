"""The command line: --help, and building the example; the best of five, since each is one short process.

The peer of --help is an empty Python, which nothing written in it can beat. build has no peer in the run: CDK (about 7
CPU seconds and 500 MB for such a stack) needs Node.js and the same project written anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import peers
from run import Line

TIMES = 5
EXAMPLE = peers.ROOT / "examples" / "customer_segmentation"
MILLPOND = [sys.executable, "-c", "from millpond.cli import main; main()"]


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of wall and of CPU, and its largest resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def run(command: Sequence[str]) -> Cost:
    """One process, from its start to its end; raises CalledProcessError when it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=peers.with_bytecode())
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes on macOS, KiB elsewhere
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * unit / (1 << 20))


def best(command: Sequence[str]) -> Cost:
    """The least of each figure."""
    costs = [run(command) for _ in range(TIMES)]
    return Cost(min(c.wall for c in costs), min(c.cpu for c in costs), min(c.memory for c in costs))


def measure() -> Iterator[Line]:
    help_, empty = best([*MILLPOND, "--help"]), best([sys.executable, "-c", "pass"])
    yield Line("millpond --help", help_.wall, "s", "<= 0.2 s", help_.wall <= 0.2, empty.wall, "python -c pass")
    with tempfile.TemporaryDirectory(prefix="millpond-bench-") as folder:
        build = best([*MILLPOND, "build", str(EXAMPLE), "--out", str(Path(folder) / "build")])
    yield Line("millpond build: wall", build.wall, "s", "<= 0.5 s", build.wall <= 0.5)
    yield Line("millpond build: CPU", build.cpu, "s", "<= 0.5 s", build.cpu <= 0.5)
    yield Line("millpond build: resident", build.memory, "MB", "<= 100 MB", build.memory <= 100)
