"""The state folder of the local AWS: where it is, whose it is, and which process serves it.

`endpoint.json` (pid, port, started) is written by the endpoint once it answers; the lock on `endpoint.lock` tells
whether it lives, also after kill -9 or when its process number was given to another. `credentials.json` holds the key.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.errors import CloudError, MillpondError

DEFAULT_PORT = 4566
NAME = ".millpond"
MARKS = ("credentials.json", "endpoint.db", "endpoint.lock")  # what a folder of ours holds


@dataclass(frozen=True)
class Running:
    """An endpoint that serves a state folder."""

    data: Path
    pid: int
    port: int
    started: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def folder(data: Path | None) -> Path:
    """`--data`, or `.millpond` of the project around the current folder, or of the current folder."""
    if data is not None:
        return data.resolve()
    here = Path.cwd()
    for parent in (here, *here.parents):
        declared = parent / "pyproject.toml"
        if declared.is_file() and "[tool.millpond" in declared.read_text("utf-8", "replace"):
            return parent / NAME
    return here / NAME


def prepare(data: Path) -> None:
    """Make the folder (0700), or check that it is ours: our uid, not writable by others, no stranger's files."""
    if not data.exists():
        data.mkdir(parents=True, mode=0o700)
    check(data)
    os.chmod(data, 0o700)
    ignore = data / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def check(data: Path) -> None:
    """Raise MillpondError unless the folder may hold the state: it will hold keys and run code."""
    found = data.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise MillpondError(f"{data} is not a folder", help="choose another with --data DIR")
    if found.st_uid != os.getuid():
        raise MillpondError(f"{data} belongs to another user", help="choose another with --data DIR")
    if found.st_mode & stat.S_IWOTH:
        raise MillpondError(f"{data} can be written by everybody", help=f"chmod 700 {data}")
    if not ours(data):
        raise MillpondError(
            f"{data} holds files that are not Millpond's", help="choose an empty or new folder with --data DIR"
        )


def ours(data: Path) -> bool:
    """Whether the folder is named or marked as ours, or empty."""
    return data.name == NAME or any((data / mark).exists() for mark in MARKS) or not any(data.iterdir())


def locked(data: Path) -> bool:
    """Whether a process serves this folder now."""
    try:
        handle = os.open(data / "endpoint.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def recorded(data: Path) -> Running | None:
    """What endpoint.json says, whether or not it is still true."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        said = json.loads((data / "endpoint.json").read_text("utf-8"))
        return Running(data, said["pid"], said["port"], said["started"])
    return None


def running(data: Path) -> Running | None:
    """The endpoint that serves this folder, or None."""
    return recorded(data) if locked(data) else None


def need_running(data: Path) -> Running:
    """The endpoint that serves this folder. Raises MillpondError with the command that starts it."""
    found = running(data)
    if found is None:
        raise MillpondError(f"no local AWS runs on {data}", help="millpond up --background")
    return found


def keys(data: Path) -> tuple[str, str]:
    """Access key id and secret key of the project."""
    kept = json.loads((data / "credentials.json").read_text("utf-8"))
    return kept["access_key"], kept["secret_key"]


def ask(at: Running, method: str, path: str) -> Any:
    """One of Millpond's own routes (`/_millpond/health`), signed. Raises CloudError when it does not answer."""
    import http.client

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method, at.url + path, data=b"")
    SigV4Auth(Credentials(*keys(at.data)), "millpond", "us-east-1").add_auth(request)
    with _connection(at.port) as connection:
        try:
            connection.request(method, path, body=b"", headers=dict(request.headers))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise CloudError("NoAnswer", f"the local AWS on {at.url} does not answer: {error}") from None
    if answer.status != 200:
        raise CloudError("Refused", f"{path} answered {answer.status}: {text[:300].decode(errors='replace')}")
    return json.loads(text)


@contextlib.contextmanager
def _connection(port: int) -> Iterator[Any]:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()
