"""Worker processes: one a query, one spare always started and imported, so that a query does not wait for Python."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from millpond.local.athena.failures import SYSTEM, QueryFailure

SCRIPT = Path(__file__).with_name("worker.py")
SECONDS = 30 * 60  # Athena's DML query timeout, default quota


class Worker:
    """One process with a folder of its own: an empty `cwd`, a `temp` and an `out` for what it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("cwd", "temp", "out"):
            (folder / name).mkdir(parents=True, mode=0o700)
        self.stopped = False
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder / "cwd",
            env={"LANG": "C.UTF-8", "HOME": str(folder / "cwd")},
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )

    def run(self, plan: dict[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
        """The worker's answer. Raises QueryFailure when it was stopped, took too long or died."""
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        try:
            assert self.process.stdin and self.process.stdout
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(json.dumps(plan) + "\n")
                self.process.stdin.flush()
            answer = self.process.stdout.readline()
        finally:
            late = not timer.is_alive()
            timer.cancel()
        if answer:
            return dict(json.loads(answer))
        if late and not self.stopped:
            raise QueryFailure(
                "EXCEEDED_TIME_LIMIT", f"Query exceeded maximum time limit of {seconds / 60:.0f} minutes"
            )
        raise QueryFailure("GENERIC_INTERNAL_ERROR", "The query's process ended unexpectedly", category=SYSTEM)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process and remove its folder."""
        self.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Workers:
    """Hands out a started worker. `folder` is emptied at the start: a kill leaves folders behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._spare: Worker | None = None
        self._closed = False

    def start(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)

    def _new(self) -> Worker:
        return Worker(self.folder / uuid.uuid4().hex)

    def prepare(self) -> None:
        """Have a spare worker; cheap when there is one."""
        with self._lock:
            if self._spare is None and not self._closed:
                self._spare = self._new()

    def take(self) -> Worker:
        with self._lock:
            if self._closed:
                raise QueryFailure("GENERIC_INTERNAL_ERROR", "The endpoint is stopping", category=SYSTEM)
            worker, self._spare = self._spare, None
        if worker is None or worker.process.poll() is not None:
            if worker is not None:
                worker.close()
            worker = self._new()
        return worker

    def stop(self) -> None:
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()


def memory_limit() -> str:
    """A quarter of the machine's memory, at most 4 GB, as DuckDB writes it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        total = min(total, soft)
    return f"{max(256, min(4096, total // 4 // 2**20))}MB"
