"""`millpond job run`: one script in the foreground, as a Glue job has it, without a job (local/glue/one_script.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from millpond.cli import endpoint, state
from millpond.cli.endpoint import Data
from millpond.errors import MillpondError

app = typer.Typer(no_args_is_help=True, help="Run Glue job scripts.")


@app.callback()
def _group() -> None:
    """Run Glue job scripts."""


@app.command()
def run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="A Python file.")],
    arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An argument of the job, also Glue's own: conf, extra-py-files, ..."),
    ] = None,
    glue_version: Annotated[str, typer.Option(help="4.0, 5.0, 5.1 or 6.0. Default: 5.1.")] = "",
    shell: Annotated[bool, typer.Option("--shell", help="As a Python shell job: no Spark.")] = False,
    py_files: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="A folder, module, zip or wheel for the Python path.")
    ] = None,
    jars: Annotated[list[Path] | None, typer.Option(metavar="PATH", help="A jar for Spark's class path.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Under pdb: stop at the first line and at an error.")] = False,
    listen: Annotated[
        int | None, typer.Option(min=1, max=65535, metavar="PORT", help="Wait for an editor's debugger (debugpy).")
    ] = None,
    data: Data = None,
) -> None:
    """Run one script in this terminal, as a Glue job has it: Spark, awsglue, S3, arguments. Breakpoints work.

    Uses the local AWS; where none is up, one runs as long as the script. Exits as the script does.
    """
    if not script.is_file():
        raise MillpondError(f"there is no file {script}")
    if debug and listen:
        raise MillpondError("--debug and --listen exclude each other")
    at = state.folder(data)
    before = state.running(at) if at.exists() else None
    found = before or endpoint.ensure(at)
    arguments = _arguments(arg or [])
    asked = {
        "data": str(at),
        "port": found.port,
        "keys": state.keys(at),
        "script": str(script.resolve()),
        "name": arguments.pop("--JOB_NAME", script.stem),
        "kind": "pythonshell" if shell else "glueetl",
        "version": glue_version,
        "arguments": arguments,
        "python_files": [_importable(path) for path in py_files or []],
        "jars": [_existing(path) for path in jars or []],
        "debug": "pdb" if debug else str(listen or ""),
    }
    env = os.environ | {"MILLPOND_SCRIPT": json.dumps(asked)}
    env = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    process = subprocess.Popen([sys.executable, "-m", "millpond.local.glue.one_script"], env=env)
    try:
        code = _wait(process)
    finally:
        if before is None:
            endpoint.stop(found)
    if code:
        raise typer.Exit(code)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Its exit code; Ctrl-C is the script's, and SIGTERM is passed on: what was started for it ends, too."""
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _arguments(given: list[str]) -> dict[str, str]:
    """`day=2026-01-01` or `--day=2026-01-01`, as the job is passed it."""
    found = {}
    for one in given:
        name, _, value = one.partition("=")
        if not name.strip("-"):
            raise MillpondError(f"--arg takes NAME=VALUE, not '{one}'")
        found[name if name.startswith("--") else f"--{name}"] = value
    return found


def _existing(path: Path) -> str:
    if not path.exists():
        raise MillpondError(f"there is no file {path}")
    return str(path.resolve())


def _importable(path: Path) -> str:
    """What the Python path needs for it: a module's folder, else the folder or archive itself."""
    found = Path(_existing(path))
    return str(found.parent if found.suffix == ".py" else found)
