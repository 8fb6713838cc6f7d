"""Servers to measure: our endpoint (`ours`) and the peers (`running`), moto and MiniStack.

The peers are installed from PyPI at first use into .runtime/bench-peers, never into the tool's environment. Servers are
started on a free port, driven by boto3 over HTTP, and ended by process id. A peer that cannot be had is None.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ROOT = Path(__file__).parents[1]
HOME = Path(os.environ.get("MILLPOND_RUNTIMES") or ROOT / ".runtime") / "bench-peers"
PINNED = ("moto[server,stepfunctions]==5.2.5", "ministack==1.5.33")
START_SECONDS = 60.0
COMMANDS = {"moto": "moto_server", "ministack": "ministack"}


def with_bytecode() -> dict[str, str]:
    """Ours, where Python keeps its bytecode, as in an installation: without, the start is mostly compiling."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(HOME.parent / "bench-bytecode")}


def install() -> bool:
    """Make the environment; False where it cannot be had (no network)."""
    ready = HOME / ".ready"
    if ready.is_file() and ready.read_text() == "\n".join(PINNED):
        return True
    print(f"   installing the peers into {HOME} (a minute, once)", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINNED]
        subprocess.run(pip, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"   the peers cannot be installed: {error}", flush=True)
        return False
    ready.write_text("\n".join(PINNED))
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Peer:
    """A running server. `name` is `moto`, `ministack` or `millpond`."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], port: int, key: tuple[str, str] = ("test", "test")
    ) -> None:
        self.name, self.process, self.port, self.key = name, process, port, key
        self.url = f"http://127.0.0.1:{port}"

    def client(self, service: str) -> Any:
        """A boto3 client of the peer."""
        config = Config(
            retries={"max_attempts": 0}, read_timeout=300, inject_host_prefix=False, max_pool_connections=50
        )
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.key[0],
            aws_secret_access_key=self.key[1],
            config=config,
        )

    def direct(self, service: str, target: str) -> Callable[[str, dict[str, Any]], Any]:
        """Signed JSON calls over one connection, without boto3's cost a call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        signer = SigV4Auth(Credentials(*self.key), service, "us-east-1")

        def call(operation: str, body: dict[str, Any]) -> Any:
            headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"{target}.{operation}"}
            request = AWSRequest("POST", f"{self.url}/", headers, json.dumps(body))
            signer.add_auth(request)
            connection.request("POST", "/", request.body, dict(request.headers.items()))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{self.name}: {operation}: {answer.status} {text[:200]!r}")
            return json.loads(text)

        return call

    def cpu_seconds(self) -> float:
        """CPU time that it and its children have used so far."""
        processes = [psutil.Process(self.process.pid)]
        processes += processes[0].children(recursive=True)
        total = 0.0
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def configure(self) -> None:
        """moto interprets machines only when told to."""
        if self.name == "moto":
            body = json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode()
            urllib.request.urlopen(f"{self.url}/moto-api/config", data=body, timeout=10).close()

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


@contextlib.contextmanager
def running(name: str) -> Iterator[Peer | None]:
    """A started peer for the length of a block, None where it cannot be had."""
    if not install():
        yield None
        return
    port = free_port()
    command = [str(HOME / "bin" / COMMANDS[name]), *(["-p", str(port)] if name == "moto" else [])]
    environment = os.environ | {"GATEWAY_PORT": str(port), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    peer = Peer(name, process, port)
    try:
        if wait_until(lambda: answers(port) or process.poll() is not None) and process.poll() is None:
            peer.configure()
            yield peer
        else:
            print(f"   {name} does not start", flush=True)
            yield None
    finally:
        peer.stop()


@contextlib.contextmanager
def ours() -> Iterator[Peer]:
    """Our endpoint as a process, with an empty state folder, for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="millpond-bench-", ignore_cleanup_errors=True) as folder:
        data, port = Path(folder) / ".millpond", free_port()
        command = [sys.executable, "-m", "millpond.local", "--data", str(data), "--port", str(port)]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            if not wait_until(lambda: (data / "endpoint.json").is_file() or process.poll() is not None):
                raise TimeoutError("the endpoint does not start")
            if process.poll() is not None:
                raise RuntimeError((Path(folder) / "log").read_text())
            kept = json.loads((data / "credentials.json").read_text())
            peer = Peer("millpond", process, port, (kept["access_key"], kept["secret_key"]))
            yield peer
        finally:
            Peer("millpond", process, port).stop()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float = START_SECONDS, pause: float = 0.1) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(pause)
    return False
