"""`millpond up`, `down`, `status`, `env`, `reset`: the local AWS as a process.

The server is a process of its own (`python -m millpond.local`), never imported here. It gets none of the AWS settings
of the shell: nothing local may reach a real account by accident.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from millpond.cli import state
from millpond.cli.state import DEFAULT_PORT, Running
from millpond.errors import MillpondError
from millpond.ports import free_port, is_free

Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The state folder. Default: .millpond of the project, or here.")
]

START_SECONDS = 120
STOP_SECONDS = 60
LEFTOVER_SECONDS = 5
MOCK_CONFIG = "SFN_MOCK_CONFIG"
"""Where Step Functions Local, too, looks for its mock configuration file."""


def up(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help=f"Default: {DEFAULT_PORT}.")] = None,
    data: Data = None,
    background: Annotated[bool, typer.Option("--background", help="Return as soon as it answers.")] = False,
    time_scale: Annotated[
        float, typer.Option(min=0.001, help="Waits, retries and schedules are N times faster.", metavar="N")
    ] = 1.0,
    mock_config: Annotated[
        Path | None,
        typer.Option(
            envvar=MOCK_CONFIG,
            metavar="FILE",
            help="Step Functions Local's mock configuration: start an execution of '<stateMachineArn>#<test case>'.",
        ),
    ] = None,
) -> None:
    """Start the local AWS on 127.0.0.1. With --background it returns; else it runs until Ctrl-C."""
    at = state.folder(data)
    found = state.running(at) if at.exists() else None
    if found:
        print(f"already running on {found.url}, pid {found.pid}, state {at}")
        if port not in (None, found.port):
            raise MillpondError(f"it listens on port {found.port}, not {port}", help="millpond down, then up again")
        if mock_config is not None:
            print("millpond: a mock configuration is taken at the start: millpond down, then up again", file=sys.stderr)
        return
    started = start(at, port=port, time_scale=time_scale, mock_config=mock_config, background=background)
    print(f"ready on {started[1].url}, state {at}")
    print('point your tools at it:  eval "$(millpond env)"', flush=True)
    if not background:
        _stay(started[0])


def ensure(data: Path) -> Running:
    """The endpoint of a state folder, started in the background when it is not up.

    When the default port is taken by something else, it gets another; also when it is taken while this one starts.
    """
    found = state.running(data) if data.exists() else None
    if found:
        return found
    before = state.recorded(data)
    port = before.port if before else DEFAULT_PORT
    if is_free(port):
        try:
            return start(data, port=port, background=True)[1]
        except MillpondError:
            if is_free(port):
                raise
    return start(data, port=free_port(), background=True)[1]


def start(
    at: Path,
    *,
    port: int | None = None,
    time_scale: float = 1.0,
    mock_config: Path | None = None,
    background: bool = False,
) -> tuple[subprocess.Popen[bytes], Running]:
    """Start the server process and wait until it answers. Raises MillpondError with its own words when it does not."""
    if mock_config is None and os.environ.get(MOCK_CONFIG):
        mock_config = Path(os.environ[MOCK_CONFIG])
    if mock_config is not None:
        _check_mocks(mock_config)
    state.prepare(at)
    if os.getuid() == 0:
        # In containers root is the only user, so we tell instead of refusing: what runs here runs jobs and functions
        # with these rights.
        print("millpond: running as root; jobs and functions will be root, too", file=sys.stderr)
    command = [sys.executable, "-m", "millpond.local", "--data", str(at), "--port", str(port or DEFAULT_PORT)]
    command += ["--time-scale", str(time_scale)]
    if mock_config is not None:
        command += ["--mock-config", str(mock_config.resolve())]
    log = at / "endpoint.log"
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    before = os.fstat(handle).st_size
    try:
        # A session of its own in both cases: Ctrl-C must reach the server once, by us, and not its jobs.
        process = subprocess.Popen(
            command,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,
            cwd=at,
        )
    finally:
        os.close(handle)
    return process, _answering(process, at, log, before)


def _check_mocks(file: Path) -> None:
    """Raise MillpondError with all findings where the mock configuration is not valid."""
    from millpond.asl import mocks

    try:
        config = mocks.read(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise MillpondError(f"the mock configuration {file} cannot be read: {error}") from None
    for finding in config.warnings:
        print(f"millpond: {finding.span}: {finding.message}", file=sys.stderr)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _answering(process: subprocess.Popen[bytes], at: Path, log: Path, before: int) -> Running:
    deadline = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise MillpondError(_last_words(log, before), help=f"the log is {log}")
            found = state.recorded(at)
            if found and found.pid == process.pid:
                return found
            time.sleep(0.02)
    except KeyboardInterrupt:
        process.terminate()
        raise
    process.kill()
    raise MillpondError(f"the local AWS did not answer within {START_SECONDS} s", help=f"the log is {log}")


def _last_words(log: Path, before: int) -> str:
    """What the server said about itself (`millpond: ...`), else the last lines of its log."""
    with log.open("rb") as file:
        file.seek(before)
        lines = file.read().decode("utf-8", "replace").splitlines()
    said = [line.removeprefix("millpond: ") for line in lines if line.startswith("millpond: ")]
    return said[-1] if said else "the local AWS did not start:\n  " + "\n  ".join(lines[-5:])


def _stay(process: subprocess.Popen[bytes]) -> None:
    """Be the server's foreground: Ctrl-C and SIGTERM end it in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.terminate())
    code = process.wait()
    if code:
        raise MillpondError(f"the local AWS ended with exit code {code}")


def down(data: Data = None) -> None:
    """Stop the local AWS in order, and see that its processes are gone."""
    at = state.folder(data)
    found = state.running(at)
    if found is None:
        print(f"not running, state {at}")
        return
    stop(found)
    print(f"stopped, state {at}")


def stop(found: Running) -> None:
    """End the endpoint and what it started. Raises MillpondError when it does not go."""
    family = {found.pid: _processes().get(found.pid, (0, ""))[1]} | _descendants(found.pid)
    try:
        state.ask(found, "POST", "/_millpond/stop")
    except MillpondError as error:
        print(f"millpond: {error.message}; ending it by signal", file=sys.stderr)
        _signal(found.pid, signal.SIGTERM)
    if not _gone(lambda: not state.locked(found.data), STOP_SECONDS):
        _signal(found.pid, signal.SIGKILL)
        if not _gone(lambda: not state.locked(found.data), LEFTOVER_SECONDS):
            raise MillpondError(f"process {found.pid} does not end", help=f"kill -9 {found.pid}")
    (found.data / "endpoint.json").unlink(missing_ok=True)
    _sweep(family)


def _gone(done: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _processes() -> dict[int, tuple[int, str]]:
    """pid -> (parent's pid, moment of start): the moment tells a process from a later one with its number.

    Without those that have ended and that nobody has asked for their exit code yet.
    """
    listed = subprocess.run(["ps", "-axo", "pid=,ppid=,stat=,lstart="], capture_output=True, text=True, check=False)
    rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
    return {int(row[0]): (int(row[1]), row[3]) for row in rows if len(row) == 4 and not row[2].startswith("Z")}


def _descendants(pid: int) -> dict[int, str]:
    everyone = _processes()
    found: dict[int, str] = {}
    edge = {pid}
    while edge:
        edge = {child for child, (parent, _) in everyone.items() if parent in edge and child not in found}
        found |= {child: everyone[child][1] for child in edge}
    return found


def _sweep(family: dict[int, str]) -> None:
    """End what the server left behind, politely, then not; tell of it."""

    def left() -> list[int]:
        now = _processes()
        return [pid for pid, moment in family.items() if now.get(pid, (0, ""))[1] == moment]

    if _gone(lambda: not left(), LEFTOVER_SECONDS):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left():
            print(f"millpond: ending process {pid}, which the local AWS left behind", file=sys.stderr)
            _signal(pid, number)
        if _gone(lambda: not left(), LEFTOVER_SECONDS):
            return
    raise MillpondError(f"processes do not end: {', '.join(str(pid) for pid in left())}")


def status(
    data: Data = None, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """Say whether the local AWS runs, and where. Exits 1 when it does not."""
    at = state.folder(data)
    found = state.running(at)
    health = state.ask(found, "GET", "/_millpond/health") if found else None
    if as_json:
        print(json.dumps({"running": found is not None, "data": str(at)} | _facts(found, health), indent=2))
    elif found and health:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.started))
        print(f"running on {found.url}, pid {found.pid}, since {since}, version {health['version']}, state {at}")
    else:
        print(f"not running, state {at}")
    if found is None:
        raise typer.Exit(1)


def _facts(found: Running | None, health: Any) -> dict[str, Any]:
    if found is None:
        return {}
    return {"url": found.url, "port": found.port, "pid": found.pid, **health}


# What would lead an SDK elsewhere, or past our address.
UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


def env(data: Data = None) -> None:
    """Print the exports that point boto3 and the AWS CLI to the local AWS:  eval "$(millpond env)"."""
    found = state.need_running(state.folder(data))
    access_key, secret_key = state.keys(found.data)
    configuration, plugin = _client_files(found)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    exports = {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",  # else StartSyncExecution asks for the host sync-127.0.0.1
        "PYTHONPATH": os.pathsep.join([*(path for path in paths if path not in ("", str(plugin))), str(plugin)]),
    }
    gone = [*UNSET, *sorted(name for name in os.environ if name.startswith("AWS_ENDPOINT_URL_"))]
    # Each line ends with `;`: without quotes around $(millpond env) the shell joins them with spaces.
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(value)};")
    print(f"unset {' '.join(gone)};")


def _client_files(found: Running) -> tuple[Path, Path]:
    """A configuration file of the project's own, and the folder of the AWS CLI's plugin.

    Nothing of ~/.aws takes part, and nothing is written there.
    """
    folder = found.data / "clients"
    folder.mkdir(exist_ok=True, mode=0o700)
    shutil.copyfile(Path(__file__).with_name("aws_plugin.py"), folder / "millpond_aws_cli.py")
    lines = [
        "[default]",
        "region = us-east-1",
        f"endpoint_url = {found.url}",
        "[plugins]",
        "millpond = millpond_aws_cli",
    ]
    path = folder / "config"
    path.write_text("\n".join(lines) + "\n")
    return path, folder


def reset(data: Data = None, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the local AWS and delete its state: buckets, tables, runs, logs, everything."""
    at = state.folder(data)
    if not at.exists():
        print(f"nothing to delete: {at} does not exist")
        return
    state.check(at)
    if at in (Path.home(), Path.cwd(), *Path.cwd().parents):
        raise MillpondError(f"{at} is a folder that you are in; it will not be deleted")
    if not yes and not typer.confirm(f"Delete {at} and everything in it?"):
        raise typer.Exit(2)
    found = state.running(at)
    if found:
        stop(found)
    shutil.rmtree(at)
    print(f"deleted {at}")
