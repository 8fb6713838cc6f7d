"""The product as a user starts it: the `millpond` command, the example project, a real database, no Java on PATH."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millpond.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "customer_segmentation"
SHARED = REPOSITORY.parent / "shared"
MILLPOND = Path(sys.executable).with_name("millpond")
TABLES = {
    "customers": "crm.customers",
    "addresses": "crm.addresses",
    "products": "sales.products",
    "orders": "sales.orders",
    "order_items": "sales.order_items",
    "returns": "sales.returns",
    "exchange_rates": "sales.exchange_rates",
}


def without_java(tmp: Path) -> dict[str, str]:
    """A machine without Java: PATH is a folder of links to everything but java; no JAVA_HOME, no AWS settings."""
    links = tmp / "bin"
    links.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*") if Path(folder).is_dir() else ():
            if not program.name.startswith("java") and not (links / program.name).exists():
                (links / program.name).symlink_to(program)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "JAVA_", "MILLPOND_"))}
    runtimes = os.environ.get("MILLPOND_RUNTIMES", str(REPOSITORY / ".runtime"))
    return env | {"PATH": str(links), "MILLPOND_RUNTIMES": runtimes, "NO_COLOR": "1"}


class Journey:
    """A copy of the example project, and the commands a user types in it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder, self.env, self.port = folder, env, free_port()

    def millpond(self, *arguments: str, code: int | None = 0, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """`millpond ...` in the project's folder; checks the exit code unless `code` is None."""
        done = subprocess.run(
            [str(MILLPOND), *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=timeout
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        """The one JSON document that `millpond ... --json` prints."""
        return json.loads(self.millpond(*arguments, "--json", code=code).stdout)

    def up(self, *arguments: str) -> None:
        self.millpond("up", "--background", "--port", str(self.port), *arguments)

    def shop(self, *arguments: str) -> Any:
        """`python shop.py ...`; its answer, parsed when it is JSON."""
        done = subprocess.run(
            [sys.executable, "shop.py", *arguments],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        text = done.stdout.strip()
        return json.loads(text) if text.startswith("{") else text

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the shop's own database."""
        import psycopg

        with psycopg.connect(self.shop("psql-url")) as db:
            return db.execute(query).fetchall()  # type: ignore[arg-type]

    @contextlib.contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Nobody reads a table of the shop's own database meanwhile."""
        import psycopg

        with psycopg.connect(self.shop("psql-url")) as db:
            db.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[arg-type]
            yield

    def execute(self, statement: str) -> None:
        """Change the shop's own database."""
        import psycopg

        with psycopg.connect(self.shop("psql-url")) as db:
            db.execute(statement)  # type: ignore[arg-type]

    def sql(self, query: str) -> list[dict[str, str]]:
        """Rows of the lake, by Athena: every value is text."""
        answer = self.json("sql", query)
        return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]

    def boto3(self, service: str) -> Any:
        """A client with what `millpond env` prints."""
        import boto3

        env = self.exports()
        return boto3.client(
            service,
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def exports(self) -> dict[str, str]:
        """The exports of `millpond env`, as a shell understands them."""
        script = f'eval "$({MILLPOND} env)" && env -0'
        done = subprocess.run(["sh", "-c", script], cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)

    def reconcile(self) -> None:
        """Database, lake and written-back table hold the same rows (issue: counts reconcile)."""
        union = " UNION ALL ".join(f"SELECT '{t}' AS name, count(*) AS n FROM shop_raw.{t}" for t in TABLES)
        lake = {row["name"]: int(row["n"]) for row in self.sql(union)}
        shop = {table: self.rows(f"SELECT count(*) FROM {name}")[0][0] for table, name in TABLES.items()}
        assert lake == shop
        people = self.rows(
            "SELECT count(DISTINCT lower(trim(email))) FROM crm.customers JOIN sales.orders USING (customer_id)"
        )[0][0]
        segments = self.sql("SELECT person_id, segment, frequency FROM shop_mart.segments")
        assert len(segments) == people > 0
        back = self.rows("SELECT person_id, segment, frequency FROM crm.customer_segments")
        assert {(int(s["person_id"]), s["segment"], int(s["frequency"])) for s in segments} == set(back)

    def end(self) -> None:
        self.millpond("down", code=None)
        self.shop("delete")


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """A fresh project whose shop is small (10,000 orders) and whose endpoint is up."""
    tmp = tmp_path_factory.mktemp("journey")
    folder = tmp / "customer_segmentation"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".millpond", ".shop", "__pycache__"))
    made = Journey(folder, without_java(tmp))
    made.shop("start", "--scale", "0.05")
    made.up()
    yield made
    made.end()
