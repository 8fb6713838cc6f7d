"""`millpond runtime`: install and list the environments that Glue jobs run in (millpond/runtime.py does it)."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from millpond import runtime

app = typer.Typer(no_args_is_help=True, help="Install and list Glue runtimes.")


@app.command()
def install(version: Annotated[str, typer.Argument(help="The Glue version.")] = "5.1") -> None:
    """Install a Glue runtime: Spark, Java and the libraries of that Glue version. About 1 GB, a minute, once."""
    found = runtime.install(version, lambda line: print(line, file=sys.stderr, flush=True))
    if not found.fresh:
        print(f"Glue {version}: installed in {found.folder}, {found.size / 1e6:.0f} MB", file=sys.stderr)


@app.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """List the installed runtimes."""
    found = [one for one in (runtime.find(version) for version in sorted(set(runtime.CARRIED.values()))) if one]
    if as_json:
        print(json.dumps([{"version": r.version, "folder": str(r.folder), "bytes": r.size} for r in found]))
        return
    for one in found:
        print(f"{one.version}  {one.size / 1e6:6.0f} MB  {one.folder}")
    if not found:
        print("none; millpond runtime install 5.1", file=sys.stderr)
