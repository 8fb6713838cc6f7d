"""What every kind of test may use: a real PostgreSQL, and the shared data where it is there."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from millpond.testing.postgres import Postgres

# No test asserts a wall time: the machine may be busy. Nor does a run draw examples of its own: what they find is no
# fault of the change that is tested. MILLPOND_EXAMPLES=5000 goes hunting: so many of them, other ones each time.
HUNT = os.environ.get("MILLPOND_EXAMPLES")
settings.register_profile("millpond", deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.register_profile("hunt", deadline=None, suppress_health_check=list(HealthCheck), max_examples=int(HUNT or 100))
settings.load_profile("hunt" if HUNT else "millpond")
SHARED = Path(__file__).parents[2] / "shared"


@dataclass(frozen=True)
class Database:
    """A fresh database on the session's PostgreSQL, and who may do everything in it."""

    server: Postgres
    name: str

    @property
    def host(self) -> str:
        return "127.0.0.1"

    @property
    def port(self) -> int:
        return self.server.server.port

    @property
    def user(self) -> str:
        return self.server.server.user

    @property
    def password(self) -> str:
        return self.server.server.password

    @property
    def jdbc_url(self) -> str:
        return self.server.jdbc_url(self.name)

    @property
    def url(self) -> str:
        """A libpq URL, password included."""
        return self.server.url(self.name)

    def execute(self, *statements: str) -> None:
        self.server.execute(self.name, *statements)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL server, started at the first use, deleted at the end of the session."""
    server = Postgres(tmp_path_factory.mktemp("postgres") / "cluster", user="tester")
    server.start()
    yield server
    server.delete()


_numbers = itertools.count(1)


@pytest.fixture
def postgres(postgres_server: Postgres) -> Database:
    """A fresh, empty database."""
    name = f"shop{next(_numbers)}"
    postgres_server.create_database(name)
    return Database(postgres_server, name)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("uk_covid")`: a folder of the data beside the checkout; the test is skipped, loudly, without it."""

    def folder(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.is_dir():
            warnings.warn(f"{path} is absent: a test on real data is skipped", stacklevel=2)
            pytest.skip(f"{path} is absent")
        return path

    return folder
