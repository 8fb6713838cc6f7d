"""The pytest plugin: run deployed machines on an endpoint of the test session's own, with mocked tasks.

    def test_a_failed_join_is_told(state_machine):
        nightly = state_machine("nightly.asl.json")
        nightly.on("Join").fail("States.TaskFailed", "OOM in stage 7")
        nightly.on("Notify").succeed({"MessageId": "1"})
        run = nightly.run({"day": "2026-11-23"})
        assert run.visited("Notify"), run

It is loaded by its entry point in every pytest run beside an installed Millpond, so it imports nothing of it before a
fixture is asked for. The work is in `millpond.testing.deployed`. See docs/testing.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from millpond.testing.deployed import Deployed, LocalEndpoint, ProjectStack

RUNS = "_millpond_runs"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "millpond_project", "the project's folder, for millpond_project (default: the root folder)", default=""
    )
    parser.addini("millpond_time_scale", "waits and retries on the tests' endpoint are N times faster", default="100")


@pytest.fixture(scope="session")
def millpond_endpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalEndpoint]:
    """A local AWS of the session's own: `client("sqs")`, `environment` for child processes, `url`."""
    from millpond.testing.deployed import LocalEndpoint

    scale = float(request.config.getini("millpond_time_scale"))
    with LocalEndpoint.started(tmp_path_factory.mktemp("millpond") / ".millpond", time_scale=scale) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def millpond_project(request: pytest.FixtureRequest, millpond_endpoint: LocalEndpoint) -> ProjectStack:
    """The project (ini option millpond_project), deployed to the tests' endpoint: `flow(name)`, `outputs`.

    Parameters of the template come from a fixture `millpond_parameters` (a dict), where there is one.
    """
    from millpond.testing.deployed import ProjectStack

    folder = request.config.rootpath / request.config.getini("millpond_project")
    return ProjectStack.deployed(millpond_endpoint, folder, request.getfixturevalue("millpond_parameters"))


@pytest.fixture(scope="session")
def millpond_parameters() -> dict[str, str]:
    """Parameters of the project's template; override it in a conftest.py."""
    return {}


@pytest.fixture
def state_machine(request: pytest.FixtureRequest, millpond_endpoint: LocalEndpoint) -> Callable[..., Deployed]:
    """`state_machine(definition, express=False)`: create it on the tests' endpoint. What `simulate` takes is taken."""

    def create(machine: object, *, express: bool = False, role: str | None = None) -> Deployed:
        made = millpond_endpoint.create(machine, express=express, role=role)
        request.node.__dict__.setdefault(RUNS, []).append(made)
        return made

    return create


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """A failed test shows the last run of each machine that it created."""
    report = yield
    for made in getattr(item, RUNS, ()) if report.when == "call" and report.failed else ():
        if made.last is not None:
            report.sections.append((f"last run of {made.name}", made.last.explain()))
    return report
