"""`millpond runs`, `show`, `logs`, `sql`, `tables`, `outbox`: look at what ran and what it made.

Each works on the local AWS of the current project, or of `--data DIR`; `--json` prints one JSON document.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millpond.errors import MillpondError

if TYPE_CHECKING:
    from millpond.aws.history import StepRun
    from millpond.aws.runs import Run
    from millpond.aws.target import Target

Data = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The state folder. Default: .millpond of the project, or here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, a unique part of it, or last.")]


def runs(data: Data = None, limit: Annotated[int, typer.Option(min=1)] = 20, as_json: AsJson = False) -> None:
    """List recent runs, the newest first."""
    from millpond.aws import runs as view
    from millpond.cli import render

    found = view.recent(_target(data), limit)
    if as_json:
        _print({"runs": found})
        return
    rows = []
    for run in found:
        ended = run.get("stopDate")
        seconds = f"{(ended - run['startDate']).total_seconds():.1f} s" if ended else ""
        rows.append([run["name"], run["flow"], run["status"], f"{run['startDate']:%Y-%m-%d %H:%M:%S}", seconds])
    print(render.columns(["run", "flow", "status", "started", "took"], rows, [False] * 4 + [True]))


def show(name: RunName = "last", data: Data = None, as_json: AsJson = False) -> None:
    """Show a run: its steps, and why it failed. RUN may be the id of a Glue workflow's run (wr_...)."""
    from millpond.aws import runs as view
    from millpond.cli import render

    target = _target(data)
    if name.startswith("wr_"):
        _show_workflow_run(target, name, as_json=as_json)
        return
    run = view.get(target, view.find(target, name))
    if as_json:
        _print(view.to_json(run))
        return
    print(render.tree(run))
    if run.status == "SUCCEEDED":
        print(f"\nOutput\n{render.as_text(run.output)}")
    elif run.status != "RUNNING":
        print()
        print(render.failure(run, view.explain(target, run)))


def _show_workflow_run(target: Target, run_id: str, *, as_json: bool) -> None:
    from dataclasses import asdict

    from millpond.aws import workflows
    from millpond.cli import render

    found = workflows.get(target, workflows.find(target, run_id), run_id)
    if as_json:
        _print(asdict(found))
    else:
        print(render.workflow_run(found))


def logs(
    name: RunName = "last",
    step: Annotated[
        str | None, typer.Argument(metavar="[STEP]", help="A step, or one Map item: 'Ingest[orders]'.")
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of a run's steps, or of one step."""
    from millpond.aws import runs as view
    from millpond.cli import render

    target = _target(data)
    run = view.get(target, view.find(target, name))
    chosen = _chosen(run, step)
    if as_json:
        entries = [{"name": s.name, "label": s.label, "lines": list(view.log_lines(target, s))} for s in chosen]
        _print({"run": run.name, "steps": entries})
        return
    for found in chosen:
        if len(chosen) > 1:
            print(f"=== {render.title(found)}: {found.log}")
        for line in view.log_lines(target, found):
            print(line)


def _chosen(run: Run, step: str | None) -> list[StepRun]:
    """The steps with a log that `step` names; a Map or block stands for what ran inside it."""
    logged = [found for found in run.steps if found.log is not None]
    if step is None:
        return logged
    wanted = step.casefold()

    def fits(found: StepRun) -> bool:
        names = {found.name, found.label, f"{found.name}[{found.label}]"}
        inside = fits(found.inside) if found.inside is not None else False
        return wanted in {name.casefold() for name in names} or inside

    chosen = [found for found in logged if fits(found)]
    if not chosen:
        known = ", ".join(dict.fromkeys(found.name for found in logged)) or "none"
        raise MillpondError(f"no step of {run.name} with a log is called {step!r}", help=f"steps with a log: {known}")
    return chosen


def sql(query: Annotated[str, typer.Argument(help="Athena SQL.")], data: Data = None, as_json: AsJson = False) -> None:
    """Query the lake with Athena SQL."""
    from millpond.aws import catalog
    from millpond.cli import render

    answer = catalog.sql(_target(data), query)
    if as_json:
        types = dict(zip(answer.columns, answer.types, strict=True))
        _print({"queryId": answer.query_id, "columns": answer.columns, "types": types, "rows": answer.rows})
        return
    if answer.columns:
        print(render.table(answer))
    print(f"({len(answer.rows)} rows, {answer.scanned_bytes:,} bytes scanned)")


def tables(data: Data = None, as_json: AsJson = False) -> None:
    """List the tables of the catalog."""
    from dataclasses import asdict

    from millpond.aws import catalog
    from millpond.cli import render

    found = list(catalog.tables(_target(data)))
    if as_json:
        _print({"tables": [asdict(table) for table in found]})
        return
    rows = [
        [
            f"{table.database}.{table.name}",
            table.classification,
            "" if table.records is None else f"{table.records:,}",
            str(len(table.columns)),
            ", ".join(name for name, _ in table.partition_keys),
            table.location,
        ]
        for table in found
    ]
    head = ["table", "kind", "records", "columns", "partitioned by", "location"]
    print(render.columns(head, rows, [False, False, True, True]))


def outbox(data: Data = None, as_json: AsJson = False) -> None:
    """Show what was published to SNS topics, the oldest first. Locally nothing is sent: this is where it lands."""
    messages = _target(data).get("/_millpond/outbox")["messages"]
    if as_json:
        _print({"messages": messages})
        return
    for message in messages:
        print(f"--- {message.get('time', '')}  {message.get('topic', '')}")
        if message.get("subject"):
            print(f"Subject: {message['subject']}")
        print(message.get("message", ""))
        print()
    if not messages:
        print("nothing was published yet")


def _target(data: Path | None) -> Target:
    from millpond.aws.target import Target
    from millpond.cli import state

    return Target.local(state.folder(data))


def _print(document: Any) -> None:
    print(json.dumps(document, indent=2, default=str))
