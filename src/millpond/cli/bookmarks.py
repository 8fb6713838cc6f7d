"""`millpond bookmark`: show, reset and rewind the bookmark of a Glue job, and say what its next run would read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from millpond.aws.target import Target

Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The state folder. Default: .millpond of the project, or here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")]

app = typer.Typer(no_args_is_help=True, help="Show, reset and rewind job bookmarks.")


@app.command()
def show(job: Job, data: Data = None, as_json: AsJson = False) -> None:
    """Show what a job has read, source by source, and the runs that it can be rewound to."""
    from millpond.aws import bookmarks

    target = _target(data)
    found, runs = bookmarks.get(target, job), bookmarks.commits(target, job)
    if as_json:
        print(json.dumps(asdict(found) | {"rewind_to": runs}, indent=2))
        return
    by = f", by {found.run_id}" if found.run_id else ""
    print(f"{job}: version {found.version}, run {found.run}{by}")
    for context, marks in sorted(found.state.items()):
        print(f"  {context}: {_said(marks)}")
    if not found.state:
        print("  nothing was read: the next run reads everything")
    if runs:
        print(f"rewind to: {', '.join(runs)}")


def _said(marks: Any) -> str:
    source = marks.get("source", {}) if isinstance(marks, dict) else {}
    if source and marks["kind"] == "s3":
        return (
            f"files of {', '.join(source['paths'])} up to {datetime.fromtimestamp(marks['high'] / 1000, UTC):%F %T} UTC"
        )
    if source:
        keys = ", ".join(f"{key} = {value}" for key, value in zip(marks["keys"], marks["values"], strict=True))
        return f"rows of {source['table']} at {source['place']} up to {keys} ({marks['order']})"
    return json.dumps(marks)


@app.command()
def reset(job: Job, data: Data = None) -> None:
    """Forget the bookmark: the next run reads everything. What the job wrote stays."""
    from millpond.aws import bookmarks

    bookmarks.reset(_target(data), job)
    print(f"{job}: the next run reads everything; what it wrote stays where it is")


@app.command()
def rewind(job: Job, run: Annotated[str, typer.Argument(metavar="RUN_ID")], data: Data = None) -> None:
    """Go back to where a run began: the next run reads again what that run and later ones read."""
    from millpond.aws import bookmarks

    bookmarks.reset(_target(data), job, run)
    print(f"{job}: the next run reads from where {run} began; what later runs wrote stays where it is")


@app.command(name="dry-run")
def dry_run(job: Job, data: Data = None, as_json: AsJson = False) -> None:
    """Say what the next run would read. Nothing is read and nothing changes."""
    from millpond.aws import bookmarks

    found = list(bookmarks.pending(_target(data), job))
    if as_json:
        print(json.dumps({"job": job, "sources": [asdict(one) for one in found]}, indent=2))
        return
    for one in found:
        if one.why:
            print(f"{one.context}: not known: {one.why}")
        elif one.rows is not None:
            print(f"{one.context}: {one.rows:,} rows of {one.source}")
        else:
            print(f"{one.context}: {len(one.files):,} files of {one.source}")
            for uri in one.files:
                print(f"  {uri}")
    if not found:
        print(f"{job}: the bookmark knows no source: the next run reads everything")


def _target(data: Path | None) -> Target:
    from millpond.aws.target import Target
    from millpond.cli import state

    return Target.local(state.folder(data))
