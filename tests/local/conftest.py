"""The real endpoint for tests: own port, own state folder, in a thread of the test process."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from millpond.errors import MillpondError
from millpond.local.server import Server
from millpond.local.service import Clock, Endpoint


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("endpoint") / ".millpond")
    yield from running(made)


@pytest.fixture(scope="session")
def serve() -> Callable[[Server], AbstractContextManager[Server]]:
    """`with serve(Server(folder)):` runs another server until the end of the block."""
    return contextmanager(running)


def running(made: Server) -> Iterator[Server]:
    """Run a server in a thread until the test is over."""

    def run() -> None:
        with suppress(MillpondError):  # `made.failure` has it
            made.run()

    thread = threading.Thread(target=run, name="endpoint", daemon=True)
    thread.start()
    assert made.ready.wait(120), "the endpoint did not start"
    if made.failure:
        raise made.failure
    yield made
    made.stop()
    thread.join(120)
    assert not thread.is_alive(), "the endpoint did not stop"
    if "moto" in sys.modules:  # its state belongs to the process, and the next module's endpoint is another one
        from moto.moto_api._internal.models import moto_api_backend

        moto_api_backend.reset()


@pytest.fixture(scope="module")
def endpoint(server: Server) -> Endpoint:
    """What services are handed; `endpoint.client("glue")` is a loopback client."""
    return server.endpoint


@pytest.fixture(scope="module")
def aws(endpoint: Endpoint) -> Callable[[str], Any]:
    """`aws("glue")`: a boto3 client that speaks to the endpoint over HTTP, signed with the project's key."""
    session = boto3.session.Session(endpoint.access_key, endpoint.secret_key, region_name=endpoint.region)
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(
                service,
                endpoint_url=endpoint.url,
                config=Config(
                    retries={"total_max_attempts": 1, "mode": "standard"}, inject_host_prefix=False, read_timeout=180
                ),
            )
        return made[service]

    return client


class Held(Clock):
    """A clock that stands still until it is set."""

    at = 0.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def jump(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The endpoint's clock stands still, five seconds after a minute; `jump(60)` sets it forward."""
    clock = Held()
    clock.at = time.time() // 60 * 60 + 65
    monkeypatch.setattr(endpoint, "clock", clock)

    def forward(seconds: float) -> None:
        clock.at += seconds
        for name in list(endpoint.clockwork._wheels):
            endpoint.clockwork.wake(name)

    return forward


@pytest.fixture
def no_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Glue runtime is installed: a Spark job that is never run shall not have a spare driver started for it."""
    monkeypatch.setenv("MILLPOND_RUNTIMES", str(tmp_path / "no-runtimes"))


@pytest.fixture(scope="module")
def state_folder(endpoint: Endpoint) -> Path:
    return endpoint.data
