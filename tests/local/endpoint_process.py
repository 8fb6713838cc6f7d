"""The endpoint as a process of its own, to be killed and started again."""

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
from botocore.config import Config

ONCE = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False, read_timeout=180)


class Process:
    """An endpoint on one state folder. `program`: what to run instead of it, an endpoint with a twist; `port` 0: the
    system chooses one at each start; `config`: of its clients. Its log stands beside the folder."""

    def __init__(self, data: Path, program: str = "", *, port: int = 0, config: Config | None = None) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        self.data, self.log, self.config = data, data.parent / "endpoint.log", config
        self.port = self._port = port
        self.up(*(("-c", program) if program else ()))

    def spawn(self, *program: str) -> None:
        """Start it, or a `program` with its arguments; do not wait for it."""
        self.clients: dict[str, Any] = {}  # the port may be another one
        (self.data / "endpoint.json").unlink(missing_ok=True)
        start = program or ("-m", "millpond.local")
        with self.log.open("a") as log:
            command = [sys.executable, *start, "--data", str(self.data), "--port", str(self._port)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def up(self, *program: str) -> None:
        """Start it and wait until it answers."""
        self.spawn(*program)
        try:
            until(lambda: (self.data / "endpoint.json").exists() or self.process.poll() is not None)
            assert self.process.poll() is None, self.log.read_text()[-3000:]
        except AssertionError:
            self.kill()
            raise
        self.port = json.loads((self.data / "endpoint.json").read_text())["port"]
        pair = json.loads((self.data / "credentials.json").read_text())
        self.session = boto3.session.Session(pair["access_key"], pair["secret_key"], region_name="us-east-1")

    def client(self, name: str) -> Any:
        if name not in self.clients:
            url = f"http://127.0.0.1:{self.port}"
            self.clients[name] = self.session.client(name, endpoint_url=url, config=self.config)
        return self.clients[name]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value
