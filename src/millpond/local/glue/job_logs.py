"""A job run's output on its way into CloudWatch Logs, while it runs.

stdout goes to /aws-glue/jobs/output, stderr and the JVM's warnings to /aws-glue/jobs/error, streams named by the run.
Glue 5 has the script's stderr in the output group, and its tracebacks in the error group ("Logging for AWS Glue jobs"):
there stderr is in both. With continuous logging, stderr and the JVM's warnings are in /aws-glue/jobs/logs-v2, too, in
the stream `<run>-driver`. Groups and streams have other names where the job says so (job_arguments.Logs).

Whole lines only, until the run has ended. How far each file was read is kept in the run's folder, so that a new
endpoint goes on where the killed one stopped.

Limits: an event's time is when it was read, at most a quarter second late; after a kill -9 of the endpoint the last
lines may appear twice; of a run that prints more than CAP bytes a file, the rest is left out, with a line that says so.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from millpond.local.glue.job_arguments import Logs
from millpond.local.service import Endpoint

Places = list[tuple[str, str]]  # groups and streams

PART = 1 << 20
CAP = 64 << 20


class RunLog:
    """The log of one run. `drain` is called by one thread at a time."""

    def __init__(self, endpoint: Endpoint, folder: Path, names: Logs) -> None:
        self.endpoint, self.folder = endpoint, folder
        self.output = [(f"{names.prefix}/output", names.stream)]
        self.error = [(f"{names.prefix}/error", names.stream), *([names.driver] if names.driver[0] else [])]
        self.stderr = [*self.error, *(self.output if names.both else [])]
        self.read: dict[str, int] = {"stdout": 0, "stderr": 0, "jvm": 0}
        with contextlib.suppress(OSError, ValueError):  # nothing was logged yet
            self.read |= json.loads((folder / "logged.json").read_text())

    def note(self, *lines: str) -> None:
        """Say something ourselves, in the error log."""
        self._write(self.error, list(lines))

    def drain(self, *, jvm: tuple[Path, int] | None = None, last: bool = False) -> None:
        """Move what is new; `jvm` is the JVM's log and where this run began in it; `last`: also an unfinished line."""
        moved = self._move("stderr", self.folder / "stderr", 0, self.stderr, last=last)
        moved |= self._move("stdout", self.folder / "stdout", 0, self.output, last=last)  # its last line is the rows
        if jvm:
            moved |= self._move("jvm", jvm[0], jvm[1], self.error, last=last)
        if moved:
            part = self.folder / "logged.part"
            part.write_text(json.dumps(self.read))
            part.replace(self.folder / "logged.json")

    def _move(self, name: str, path: Path, start: int, places: Places, *, last: bool) -> bool:
        moved = False
        while self.read[name] < CAP:
            try:
                with path.open("rb") as file:
                    file.seek(start + self.read[name])
                    data = file.read(PART)
            except FileNotFoundError:
                break
            end = data.rfind(b"\n") + 1
            whole = data if (last or len(data) == PART) and not end else data[:end]
            if last and len(data) < PART:
                whole = data
            if not whole:
                break
            self.read[name] += len(whole)
            moved = True
            lines = whole.decode(errors="replace").splitlines()
            if self.read[name] >= CAP:
                lines.append(f"(millpond: the run printed more than {CAP >> 20} MiB here; the rest is left out)")
            self._write(places, lines)
        return moved

    def _write(self, places: Places, lines: list[str]) -> None:
        now = int(time.time() * 1000)
        logs: Any = self.endpoint.services["logs"]
        if events := [(now, line) for line in lines if line]:
            for group, stream in places:
                logs.write(group, stream, events)
