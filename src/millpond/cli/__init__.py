"""The command line: words, tables and trees; no logic.

A command is a row of `COMMANDS`: where its function lives and one line of help. Only the module of the command that was
called is imported, so `millpond --help` knows neither boto3 nor a server.

Exit codes: 0 ok, 1 the run failed, 2 usage or user code, 3 the cloud refused, 70 our bug (a report file is written).

May import: everything but local, which it starts as a process.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

BUG = 70
INTERRUPTED = 130

# Name -> (module:function, or module:app for a group of commands; help). The order is the order of --help.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("endpoint:up", "Start the local AWS."),
    "down": ("endpoint:down", "Stop the local AWS."),
    "status": ("endpoint:status", "Say whether the local AWS runs, and where."),
    "env": ("endpoint:env", "Print what points boto3 and the AWS CLI to the local AWS."),
    "reset": ("endpoint:reset", "Stop the local AWS and delete its state."),
    "run": ("run:run", "Deploy the project, run its flow and wait for it."),
    "job": ("jobs:app", "Run one Glue job script in this terminal, under a debugger if asked."),
    "check": ("check:check", "Show everything that is wrong with a project or a definition."),
    "runs": ("inspect:runs", "List recent runs."),
    "show": ("inspect:show", "Show a run: its steps, its error, where to look."),
    "logs": ("inspect:logs", "Print the log of a run or of one step."),
    "redrive": ("act:redrive", "Go on with a run that failed, where it failed."),
    "stop": ("act:stop", "Stop a run, and the work that it waits for."),
    "try": ("act:try_state", "Run one state alone."),
    "graph": ("graphs:graph", "Draw a flow, as text or as a Mermaid diagram."),
    "sql": ("inspect:sql", "Query the lake with Athena SQL."),
    "tables": ("inspect:tables", "List the tables of the catalog."),
    "bookmark": ("bookmarks:app", "Show, reset and rewind the bookmark of a Glue job."),
    "crawl": ("crawl:app", "Run crawlers, and explain the tables that they find."),
    "outbox": ("inspect:outbox", "Show what was published to SNS topics."),
    "build": ("stacks:build", "Write the template, the flows and the assets as files."),
    "plan": ("stacks:plan", "Show what a deployment would change."),
    "deploy": ("stacks:deploy", "Create or update the project's stack."),
    "destroy": ("stacks:destroy", "Delete the project's stack."),
    "import": ("imports:app", "Make a project of what is in an account: a Glue workflow."),
    "runtime": ("runtimes:app", "Install and list Glue runtimes."),
}


def main() -> None:
    """The console script: run the command line, render what went wrong, exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    from millpond.errors import MillpondError

    try:
        application(arguments)(list(arguments), prog_name="millpond")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except MillpondError as error:
        return _explain(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return INTERRUPTED
    except Exception as error:
        return _surprise(error, arguments)
    return 0


def application(arguments: Sequence[str]) -> typer.Typer:
    """The Typer application in which the called command is real and the others are their names and help."""
    import typer

    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback(help="A data lake on your laptop: run AWS ETL pipelines for real, ship them to AWS.")(_nothing)
    called = next((argument for argument in arguments if not argument.startswith("-")), "")
    for name, (place, line) in COMMANDS.items():
        found = _load(place) if name == called else None
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, help=line)
        else:
            app.command(name, short_help=line)(found or _nothing)
    return app


def _load(place: str) -> Callable[..., Any] | typer.Typer:
    module, _, name = place.partition(":")
    found: Callable[..., Any] | typer.Typer = getattr(importlib.import_module(f"millpond.cli.{module}"), name)
    return found


def _nothing() -> None:
    """Stand in for a command that was not called."""


def _explain(error: Any) -> int:
    """What the user did or can do about it: the place, the sentence, the findings, the next step."""
    from millpond.errors import DefinitionError

    place = f"{error.span}: " if error.span else ""
    print(f"millpond: {place}{error.message}", file=sys.stderr)
    for finding in error.diagnostics if isinstance(error, DefinitionError) else ():
        where = finding.span or finding.location
        print(f"  {finding.severity.lower()} {finding.code} {where}: {finding.message}", file=sys.stderr)
        if finding.help:
            print(f"    {finding.help}", file=sys.stderr)
    if error.help:
        print(f"  {error.help}", file=sys.stderr)
    return int(error.exit_code)


def _surprise(error: Exception, arguments: Sequence[str]) -> int:
    """A refusal of the cloud that no command foresaw is told as such; anything else is our bug."""
    botocore = sys.modules.get("botocore.exceptions")
    if botocore is not None and isinstance(error, botocore.ClientError | botocore.BotoCoreError):
        print(f"millpond: {error}", file=sys.stderr)
        return 3
    path = _report(error, arguments)
    print(f"millpond: this is a bug in Millpond: {type(error).__name__}: {error}", file=sys.stderr)
    print(f"  the report is in {path}", file=sys.stderr)
    return BUG


def _report(error: Exception, arguments: Sequence[str]) -> str:
    """Write traceback and versions to a file only the user can read. Arguments may hold secrets: only the command."""
    import platform
    import tempfile
    import traceback
    from importlib.metadata import version

    command = next((argument for argument in arguments if argument in COMMANDS), "?")
    with tempfile.NamedTemporaryFile("w", prefix="millpond-report-", suffix=".txt", delete=False) as file:
        file.write(f"millpond {version('millpond')} {command}\npython {sys.version}\n{platform.platform()}\n\n")
        file.write("".join(traceback.format_exception(error)))
    return file.name
