"""`millpond import`: make a project of what is in an account."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millpond.errors import ProjectError

if TYPE_CHECKING:
    from millpond.conversion import Converted

app = typer.Typer(no_args_is_help=True, help="Make a project of what is in an account.")


@app.callback()
def _group() -> None:
    """Make a project of what is in an account."""


@app.command("glue-workflow")
def glue_workflow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The workflow's name.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a project there. Default: print its pipeline.py.")
    ] = None,
    to: Annotated[str, typer.Option("--target", help="Where it is: local, or aws (your profile's account).")] = "local",
    data: Annotated[Path | None, typer.Option(help="The state folder of the local AWS.")] = None,
    profile: Annotated[str | None, typer.Option(help="The AWS profile, with --target aws.")] = None,
    region: Annotated[str | None, typer.Option(help="The AWS region, with --target aws.")] = None,
) -> None:
    """Convert a Glue workflow into a flow of Step Functions: a pipeline.py that runs its jobs and crawlers by name.

    What a flow cannot carry over stands at the head of the file, and on stderr.
    """
    from millpond import conversion
    from millpond.aws import workflows
    from millpond.cli import state
    from millpond.cli.stacks import target_of

    target = target_of(to, state.folder(data) if to == "local" else Path(), profile, region)
    converted = conversion.convert(*workflows.read(target, name))
    for note in converted.notes:
        print(f"note: {note}", file=sys.stderr)
    if out is None:
        print(converted.source, end="")
    else:
        _write(out, name, converted)


def _write(out: Path, name: str, converted: Converted) -> None:
    files = {"pipeline.py": converted.source, "pyproject.toml": _pyproject(name)}
    for file in files:
        if (out / file).exists():
            raise ProjectError(f"{out / file} is there already", help="name another folder, or remove it")
    out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (out / file).write_text(text, "utf-8")
        print(out / file)


def _pyproject(name: str) -> str:
    import re

    stack = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:100]
    return f'[tool.millpond]\nname = "{stack if stack[:1].isalpha() else f"flow-{stack}"}"\n'
