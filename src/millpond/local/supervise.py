"""A child process that outlives the endpoint, and leaves a durable outcome.

`start` launches a small supervisor (this file, run as a script with nothing but the standard library) in a session of
its own. The supervisor starts the command in its own process group, enforces the timeout, and writes `outcome.json` by
temporary file, fsync and rename. So after kill -9 of the endpoint the next one finds, in this order, the outcome, the
live supervisor (pid and start time, because pids are used again), or knows that the work is lost.

    folder/command.json   argv, env, cwd, timeout          folder/stdout, folder/stderr   what the command printed
    folder/pid.json       pid and start of the supervisor  folder/outcome.json            how it ended
    folder/stop           its presence asks the supervisor to end the group
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

GRACE_SECONDS = 2.0  # between SIGTERM and SIGKILL
WATCH_SECONDS = 0.05


@dataclass(frozen=True)
class Outcome:
    """How a child ended: its exit code (negative: the signal), or one of the three reasons of ours. Epoch seconds."""

    exit_code: int | None = None
    timed_out: bool = False
    stopped: bool = False
    lost: bool = False  # neither an outcome nor a live supervisor: the machine went down
    started: float = 0.0
    ended: float = 0.0


def start(
    folder: Path, argv: Sequence[str], env: Mapping[str, str], *, cwd: Path, timeout: float | None = None
) -> None:
    """Start a command under supervision. `folder` must exist and belong to this run alone; `timeout` in seconds."""
    command = {"argv": list(argv), "env": dict(env), "cwd": str(cwd), "timeout": timeout}
    _write(folder / "command.json", command)
    subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    deadline = time.monotonic() + 30
    while not (folder / "pid.json").exists() and not (folder / "outcome.json").exists():
        if time.monotonic() > deadline:
            raise OSError(f"the supervisor of {folder} did not start")
        time.sleep(0.005)


def poll(folder: Path) -> Outcome | None:
    """The outcome, or None while the child runs."""
    with contextlib.suppress(FileNotFoundError):
        return Outcome(**json.loads((folder / "outcome.json").read_text()))
    if alive(folder):
        return None
    with contextlib.suppress(FileNotFoundError):  # it ended between the two looks
        return Outcome(**json.loads((folder / "outcome.json").read_text()))
    return Outcome(lost=True, ended=time.time())


def stop(folder: Path) -> None:
    """Ask the supervisor to end the child's process group: SIGTERM, then SIGKILL. Returns at once."""
    (folder / "stop").touch()


def alive(folder: Path) -> bool:
    """Whether the supervisor of `folder` lives."""
    try:
        known = json.loads((folder / "pid.json").read_text())
    except (FileNotFoundError, ValueError):
        return False
    return bool(process_start(known["pid"]) == known["started"])


def process_start(pid: int) -> str | None:
    """When a process started, in the system's own words; None when there is no such process or it is a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] == "Z" else fields[19]
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return asked.stdout.strip() or None


def _write(path: Path, document: object) -> None:
    """Durably and at once: a reader sees all of it or nothing."""
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def supervise(folder: Path) -> None:
    """The supervisor's whole life."""
    command = json.loads((folder / "command.json").read_text())
    (folder / "command.json").unlink()  # it holds credentials
    _write(folder / "pid.json", {"pid": os.getpid(), "started": process_start(os.getpid())})
    started, reason = time.time(), {}
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        try:
            child = subprocess.Popen(
                command["argv"],
                env=command["env"],
                cwd=command["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            err.write(f"cannot start {command['argv'][0]}: {error}\n".encode())
            _write(folder / "outcome.json", asdict(Outcome(exit_code=127, started=started, ended=time.time())))
            return
        deadline = started + command["timeout"] if command["timeout"] else None
        while child.poll() is None:
            if (folder / "stop").exists():
                reason = {"stopped": True}
            elif deadline and time.time() > deadline:
                reason = {"timed_out": True}
            if reason:
                end_group(child)
                break
            time.sleep(WATCH_SECONDS)
        end_group(child)  # what the command left running in its group
    _write(
        folder / "outcome.json",
        asdict(Outcome(exit_code=child.returncode, started=started, ended=time.time(), **reason)),
    )


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and its whole process group, and wait for it."""
    for sign, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 10.0)):
        try:
            os.killpg(child.pid, sign)
        except (ProcessLookupError, PermissionError):  # macOS says so of a group of zombies
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    child.wait()


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
