"""An endpoint as a process of its own, to be killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3


class Process:
    """An endpoint as a process of its own. `program`: what to run instead of it, an endpoint with a twist."""

    def __init__(self, data: Path, program: str = "") -> None:
        (data / "endpoint.json").unlink(missing_ok=True)
        start = ["-c", program] if program else ["-m", "millpond.local"]
        command = [sys.executable, *start, "--data", str(data), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until((data / "endpoint.json").exists)
        self.port = json.loads((data / "endpoint.json").read_text())["port"]
        pair = json.loads((data / "credentials.json").read_text())
        self.session = boto3.session.Session(pair["access_key"], pair["secret_key"], region_name="us-east-1")

    def client(self, name: str) -> Any:
        return self.session.client(name, endpoint_url=f"http://127.0.0.1:{self.port}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value
