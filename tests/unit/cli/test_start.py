"""What a command imports: `millpond --help` must not wait for libraries that it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from millpond.cli import COMMANDS

LOCAL = {"pyspark", "duckdb", "moto", "starlette", "uvicorn", "millpond.local"}  # the endpoint's, a process of its own
CLOUD = LOCAL | {"boto3", "botocore"}
HEAVY = CLOUD | {"troposphere", "pyarrow", "sqlglot", "pydantic", "rich"}

PROGRAM = """
import json, sys
from millpond.cli import run
code = run(sys.argv[1:])
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""


def imported(*arguments: str) -> set[str]:
    """The modules that a command line leaves imported, in a fresh interpreter; the command must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=120
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stdout + done.stderr
    return set(modules)


FORKS = """
import json, os, sys
from millpond.cli import run
for command in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork() == 0:  # as a fresh interpreter, which has imported no more than this
        code = run([command, "--help"])
        print("\\n" + json.dumps([command, code, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def helped() -> dict[str, set[str]]:
    """What `millpond COMMAND --help` leaves imported, by command: a process each, of one that has started once."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS, *COMMANDS], capture_output=True, text=True, check=True, timeout=300
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    return {command: set(modules) for command, code, modules in said if code == 0}


def test_the_probe_sees_imports() -> None:
    """Else the tests below could not fail."""
    assert "millpond.cli.stacks" in imported("build", "--help")


def test_help_imports_nothing_heavy_and_no_command() -> None:
    modules = imported("--help")
    assert not modules & HEAVY
    assert not [name for name in modules if name.startswith(("millpond.cli.", "millpond.local", "millpond.stack"))]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_imports_no_server_and_no_engine(command: str, helped: dict[str, set[str]]) -> None:
    assert "typer" in helped[command] and not helped[command] & LOCAL


def test_build_reaches_no_cloud(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, out = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("build")
    (folder / "pyproject.toml").write_text('[project]\nname = "small"\n[tool.millpond]\n')
    (folder / "pipeline.py").write_text('from millpond import s3\nlake = s3.Bucket(name="lake")\n')
    assert not imported("build", str(folder), "--out", str(out)) & CLOUD
    assert "AWS::S3::Bucket" in (out / "template.json").read_text()
