"""A real MariaDB for tests: the server's binaries (Debian: mariadb-server-core), a folder and a port of its own.

Started by root, the server takes an existing unprivileged uid (nobody); no account of the system is ever made.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from millpond.ports import free_port

UNPRIVILEGED = 65534  # nobody
START_SECONDS = 120.0
SYSTEM = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


@dataclass(frozen=True)
class MariaDb:
    """A running server. `tester` may do everything."""

    port: int
    process: subprocess.Popen[bytes]
    user: str = "tester"
    password: str = "p@ss:w/ord"

    def jdbc_url(self, database: str, scheme: str = "mysql") -> str:
        return f"jdbc:{scheme}://127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str, database: str | None = None) -> list[Any]:
        """Run statements; the rows of the last one."""
        with closing(
            pymysql.connect(host="127.0.0.1", port=self.port, user=self.user, password=self.password, database=database)
        ) as db:
            cursor = db.cursor()
            for statement in statements:
                cursor.execute(statement)
            db.commit()
            return list(cursor.fetchall())


def binaries() -> tuple[str, Path] | None:
    """mariadbd, and the folder of the SQL that makes its system tables, where they are."""
    server = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    shares = (Path("/usr/share/mysql"), Path("/usr/share/mariadb"), Path("/usr/local/share/mariadb"))
    share = next((one for one in shares if (one / SYSTEM[0]).is_file()), None)
    return (server, share) if server and share else None


@contextmanager
def running() -> Iterator[MariaDb]:
    """A server with an empty data folder; gone at the end."""
    found = binaries()
    assert found is not None
    with tempfile.TemporaryDirectory(prefix="mariadb-", ignore_cleanup_errors=True) as name:
        folder, identity = Path(name), _identity()
        folder.chmod(0o711)
        (folder / "data").mkdir()
        if identity:
            os.chown(folder / "data", identity["user"], identity["group"])
        secret = MariaDb.password.replace("'", "''")
        (folder / "init.sql").write_text(
            f"CREATE USER 'tester'@'%' IDENTIFIED BY '{secret}';\n"  # a line is a statement
            "GRANT ALL ON *.* TO 'tester'@'%' WITH GRANT OPTION;\n"
        )
        base = (
            found[0],
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            "--innodb-log-file-size=8M",
            "--default-time-zone=+00:00",
        )
        with (folder / "log").open("wb") as log:
            system = "\n".join((found[1] / name).read_text() for name in SYSTEM)
            (folder / "system.sql").write_text(f"create database mysql;\nuse mysql;\n{system}")
            with (folder / "system.sql").open("rb") as statements:  # what mariadb-install-db does
                subprocess.run(
                    [*base, "--bootstrap"], check=True, stdin=statements, stdout=log, stderr=log, cwd="/", **identity
                )
            port = free_port()
            command = [
                *(*base, f"--port={port}", "--bind-address=127.0.0.1"),
                *(f"--socket={folder / 'data' / secrets.token_hex(4)}", f"--init-file={folder / 'init.sql'}"),
                *(
                    "--skip-log-bin",
                    "--skip-name-resolve",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--innodb-buffer-pool-size=32M",
                ),
            ]
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **identity)
        server = MariaDb(port, process)
        try:
            _wait(server, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(120)


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


def _wait(server: MariaDb, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
            return
        except pymysql.Error:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start: {log.read_text(errors='replace')[-800:]}") from None
            time.sleep(0.1)
