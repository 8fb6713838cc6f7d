"""The endpoint's start, and what it takes idle; beside a moto server.

A start is the time from the process's start to the answer of a signed call, in an empty folder; the best of a few. Idle
memory is the resident memory of the process and its children, a moment after that call.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import peers
import psutil
from run import Line

STARTS = 3
BUDGET_SECONDS = 1.0
BUDGET_MB = 120.0
MB = 1 << 20
SETTLE = 2.0  # seconds until the server is idle again after its first call


def called(peer: peers.Peer) -> bool:
    """Whether a signed call is answered."""
    try:
        peer.direct("states", "AWSStepFunctions")("ListStateMachines", {})
    except (OSError, http.client.HTTPException):
        return False
    return True


def resident(peer: peers.Peer) -> float:
    """MB of the process and its children."""
    process = psutil.Process(peer.process.pid)
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total / MB


def key_of(data: Path) -> tuple[str, str] | None:
    """The endpoint's own key, once it has made one."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        kept = json.loads((data / "credentials.json").read_text())
        return kept["access_key"], kept["secret_key"]
    return None


def start(name: str, folder: Path) -> tuple[float, float]:
    """Seconds to the first answer, and MB idle, of one server that is started and ended."""
    data, port = folder / ".millpond", peers.free_port()
    commands = {
        "millpond": [sys.executable, "-m", "millpond.local", "--data", str(data), "--port", str(port)],
        "moto": [str(peers.HOME / "bin" / "moto_server"), "-p", str(port)],
    }
    with (folder / "log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            commands[name], stdout=log, stderr=log, cwd=folder, env=peers.with_bytecode(), start_new_session=True
        )
    server = peers.Peer(name, process, port)

    def answered() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{name} does not start: {(folder / 'log').read_text()[-2000:]}")
        key = key_of(data) if name == "millpond" else server.key
        if key is None:
            return False
        server.key = key
        return called(server)

    try:
        if not peers.wait_until(answered, pause=0.01):
            raise TimeoutError(f"{name} does not answer")
        seconds = time.perf_counter() - began
        time.sleep(SETTLE)
        return seconds, resident(server)
    finally:
        server.stop()


def best(name: str) -> tuple[float, float]:
    """The shortest start and the least memory of a few servers."""
    figures = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="millpond-bench-", ignore_cleanup_errors=True) as folder:
            os.chmod(folder, 0o700)
            figures.append(start(name, Path(folder)))
    return min(seconds for seconds, _ in figures), min(memory for _, memory in figures)


def measure() -> Iterator[Line]:
    seconds, memory = best("millpond")
    theirs, their_memory = best("moto") if peers.install() else (None, None)
    met = seconds <= BUDGET_SECONDS
    yield Line("endpoint: start to first signed answer", seconds, "s", "<= 1 s", met, theirs, "moto")
    yield Line("endpoint: idle, resident", memory, "MB", "<= 120 MB", memory <= BUDGET_MB, their_memory, "moto")
