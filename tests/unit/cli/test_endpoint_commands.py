"""The command line's frame, and `up`, `down`, `status`, `env`, `reset` with a real endpoint process."""

from __future__ import annotations

import json
import os
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import millpond.cli
from millpond.cli import endpoint, state
from millpond.errors import CloudError, MillpondError, ProjectError, Span
from millpond.ports import free_port

BIN = Path(sys.executable).parent


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "millpond", *arguments], cwd=folder, capture_output=True, text=True)


# -- the frame -------------------------------------------------------------------------------------------------------


def test_help_is_light() -> None:
    script = (
        "import sys, millpond.cli\n"
        "code = millpond.cli.run(['--help'])\n"
        "heavy = {'boto3', 'botocore', 'pyspark', 'rich', 'uvicorn', 'duckdb', 'millpond.local'} & set(sys.modules)\n"
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Start the local AWS" in done.stdout


@pytest.mark.parametrize(
    ("error", "code", "shown"),
    [
        (
            ProjectError("no flow", span=Span("pipeline.py", 7), help="add one"),
            2,
            ["pipeline.py:7: no flow", "add one"],
        ),
        (CloudError("AccessDenied", "no"), 3, ["AccessDenied: no"]),
        (KeyboardInterrupt(), 130, []),
    ],
)
def test_errors_are_told(
    error: BaseException,
    code: int,
    shown: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(millpond.cli, "_load", lambda place: failing)
    assert millpond.cli.run(["up"]) == code
    said = capsys.readouterr().err
    assert all(text in said for text in shown)
    assert "Traceback" not in said


def test_a_bug_leaves_a_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(millpond.cli, "_load", lambda place: failing)
    assert millpond.cli.run(["up"]) == 70
    path = Path(capsys.readouterr().err.rstrip().rpartition(" ")[2])
    try:
        assert "ZeroDivisionError: oops" in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        path.unlink()


@pytest.mark.parametrize("arguments", [["unknown"], ["up", "--port", "x"], ["up", "--port", "0"]])
def test_usage_errors_exit_2(arguments: list[str]) -> None:
    assert millpond.cli.run(arguments) == 2


# -- the state folder ------------------------------------------------------------------------------------------------


def test_the_state_folder_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.millpond]\n")
    inner = tmp_path / "jobs" / "deep"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert state.folder(None) == tmp_path / ".millpond"
    assert state.folder(Path("other")) == inner / "other"


def test_a_strangers_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(MillpondError, match="not Millpond's"):
        state.prepare(tmp_path)
    done = command(tmp_path, "reset", "--yes", "--data", str(tmp_path))
    assert done.returncode == 2
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    data = tmp_path / ".millpond"
    data.mkdir()
    data.chmod(0o777)
    with pytest.raises(MillpondError, match="written by everybody"):
        state.prepare(data)


def test_a_new_folder_is_only_ours(tmp_path: Path) -> None:
    state.prepare(tmp_path / "deep" / ".millpond")
    assert stat.S_IMODE((tmp_path / "deep" / ".millpond").stat().st_mode) == 0o700


# -- the process -----------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    command(tmp_path, "down")


def test_up_status_env_down_reset(project: Path) -> None:
    assert command(project, "status").returncode == 1
    assert "millpond up" in command(project, "env").stderr
    port = str(free_port())
    up = command(project, "up", "--background", "--port", port)
    assert up.returncode == 0, up.stderr
    assert f"http://127.0.0.1:{port}" in up.stdout
    again = command(project, "up", "--background")
    assert (again.returncode, "already running" in again.stdout) == (0, True)
    said = json.loads(command(project, "status", "--json").stdout)
    assert (said["running"], said["status"], str(said["port"])) == (True, "running", port)
    shell = subprocess.run(
        ["sh", "-c", f"eval $({shlex.quote(str(BIN / 'millpond'))} env) && env"],
        cwd=project,
        env=os.environ | {"AWS_PROFILE": "production"},
        capture_output=True,
        text=True,
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.splitlines() if "=" in line)
    assert variables["AWS_ENDPOINT_URL"] == f"http://127.0.0.1:{port}"
    assert "AWS_PROFILE" not in variables
    down = command(project, "down")
    assert down.returncode == 0, down.stderr
    assert said["pid"] not in endpoint._processes()
    assert "not running" in command(project, "down").stdout
    assert command(project, "reset", "--yes").returncode == 0
    assert not (project / ".millpond").exists()


def test_a_taken_port_is_told(project: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = command(project, "up", "--background", "--port", port)
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_while_it_starts_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands at once find the default port free, and one gets it."""
    asked: list[int] = []
    monkeypatch.setattr(endpoint, "is_free", lambda port: port not in asked)

    def start(at: Path, *, port: int, background: bool) -> tuple[None, str]:
        asked.append(port)
        if len(asked) == 1:
            raise MillpondError("port 4566 is in use")
        return None, "started"

    monkeypatch.setattr(endpoint, "start", start)
    assert endpoint.ensure(tmp_path) == "started"
    assert asked[0] == endpoint.DEFAULT_PORT and 15_000 <= asked[1] < 30_000
    asked.clear()
    monkeypatch.setattr(endpoint, "is_free", lambda port: True)
    with pytest.raises(MillpondError):  # it is something else
        endpoint.ensure(tmp_path)


def test_a_mock_configuration_that_is_not_valid_is_told_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    Path("mocks.json").write_text('{"StateMachines": {\n "M": 3}}')
    assert millpond.cli.run(["up", "--background", "--mock-config", "mocks.json"]) == 2
    assert "error MOCK_CONFIG mocks.json:2:7: 'M' must be a JSON object" in capsys.readouterr().err
    monkeypatch.setenv("SFN_MOCK_CONFIG", "absent.json")
    assert millpond.cli.run(["up", "--background"]) == 2
    assert "absent.json cannot be read" in capsys.readouterr().err
    assert not (project / ".millpond").exists()


def test_a_killed_endpoint_is_not_running_and_starts_again(project: Path) -> None:
    port = str(free_port())
    assert command(project, "up", "--background", "--port", port).returncode == 0
    pid = json.loads((project / ".millpond" / "endpoint.json").read_text())["pid"]
    os.kill(pid, 9)
    while state.locked(project / ".millpond"):
        pass
    assert command(project, "status").returncode == 1
    assert command(project, "up", "--background", "--port", port).returncode == 0
    assert json.loads(command(project, "status", "--json").stdout)["pid"] != pid
