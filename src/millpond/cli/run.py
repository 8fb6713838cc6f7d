"""`millpond run`: deploy the project, run its flow, draw it live, show what came out.

Words only: projects, templates and deployments come from `project`, `stack` and `deploy`, the view of a run from
`aws.runs`. Data go to stdout, progress to stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millpond.cli.stacks import pairs
from millpond.errors import ProjectError

if TYPE_CHECKING:
    from millpond.aws.target import Target
    from millpond.project import Project


@dataclass
class Laps:
    """Where the time went: seconds by what was done, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Measure a block."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)


def run(
    folder: Annotated[Path, typer.Argument(metavar="[PROJECT]", help="The project's folder.")] = Path(),
    input: Annotated[str, typer.Option(help="The execution's input: JSON text, or @FILE.")] = "{}",
    flow: Annotated[
        str | None, typer.Option(help="Which flow or Glue workflow, when the project declares several.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The state folder. Default: the project's .millpond.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter of the template. May be repeated.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and return; follow it with show.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the tree.")] = False,
) -> None:
    """Deploy the project to the local AWS, run its flow, and wait for it.

    Starts the local AWS when it is not up; it stays up afterwards (millpond down). Exits 1 when the run failed.
    """
    from millpond import project
    from millpond.resources.glue import Workflow

    loaded = project.load(folder)
    state = (data or loaded.root / ".millpond").resolve()
    chosen = loaded.runnable(flow)
    given = _input(input)
    laps = Laps()
    target = _local(state, loaded, laps)
    outputs = _deploy(target, loaded, _parameters(loaded, parameter, laps), laps)
    arn = outputs[chosen.logical_id]
    if isinstance(chosen, Workflow):
        _run_workflow(target, arn, given, detach=detach, as_json=as_json)
        return
    name = f"{dt.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    started = target.client("stepfunctions").start_execution(stateMachineArn=arn, name=name, input=json.dumps(given))
    execution = started["executionArn"]
    if detach:
        print(json.dumps({"status": "RUNNING", "executionArn": execution}, indent=2) if as_json else execution)
        return
    with laps.lap("run"):
        found = _follow(target, execution, quiet=as_json)
    _finish(target, loaded, found, laps, as_json=as_json)


def _run_workflow(target: Target, name: str, given: Any, *, detach: bool, as_json: bool) -> None:
    """Run a Glue workflow, telling what ends; the input's members are its run properties."""
    from millpond.aws import workflows
    from millpond.cli import render

    if not isinstance(given, dict):
        raise ProjectError("the input of a Glue workflow is a JSON object: its run properties")
    properties = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    run_id = workflows.start(target, name, properties)
    if detach:
        print(json.dumps({"status": "RUNNING", "runId": run_id}, indent=2) if as_json else run_id)
        return
    told: set[str] = set()
    found = None
    for found in workflows.follow(target, name, run_id):
        for work in found.works:
            if work.seconds is not None and f"{work.kind} {work.name}" not in told:
                told.add(f"{work.kind} {work.name}")
                print(render.work(work), file=sys.stderr, flush=True)
    assert found is not None
    print(json.dumps(dataclasses.asdict(found), indent=2) if as_json else render.workflow_run(found))
    if not found.succeeded:
        raise typer.Exit(1)


def _input(text: str) -> Any:
    """The execution's input, parsed."""
    if text.startswith("@"):
        path = Path(text[1:])
        if not path.is_file():
            raise ProjectError(f"there is no file {path}")
        text = path.read_text()
    try:
        return json.loads(text)
    except ValueError as error:
        raise ProjectError(
            f"--input is not JSON: {error}", help="""millpond run --input '{"day": "2026-11-23"}'"""
        ) from None


def _local(state: Path, loaded: Project, laps: Laps) -> Target:
    """The local AWS, started when it is not up."""
    from millpond.aws.target import Target
    from millpond.cli import endpoint

    with laps.lap("start"):
        endpoint.ensure(state)
        _runtimes(loaded)
    return Target.local(state)


def _runtimes(loaded: Project) -> None:
    """Install the Glue runtimes that the project's jobs need, with progress; usually they are there."""
    from millpond import runtime
    from millpond.resources import glue

    for version in sorted({job.version for job in loaded.resources if isinstance(job, glue.Job)}):
        if runtime.find(version) is None:
            runtime.install(version, lambda text: print(text, file=sys.stderr, flush=True))


def _parameters(loaded: Project, given: list[str] | None, laps: Laps) -> dict[str, str]:
    """Template parameters: what the project's setup script prints, then what the command line says."""
    values: dict[str, str] = {}
    setup = loaded.settings.get("local", {}).get("setup")
    if setup:
        with laps.lap("setup"):
            values |= _setup(loaded.root, setup)
    values |= pairs(given)
    return values


def _setup(root: Path, command: str) -> dict[str, str]:
    done = subprocess.run([sys.executable, *shlex.split(command)], cwd=root, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ProjectError(f"the setup script failed with exit code {done.returncode}", help=f"python {command}")
    try:
        values = json.loads(done.stdout or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ProjectError(f"'{command}' must print a JSON object of template parameters, not {done.stdout[:80]!r}")
    return {name: str(value) for name, value in values.items()}


def _deploy(target: Target, loaded: Project, parameters: Mapping[str, str], laps: Laps) -> Mapping[str, str]:
    from millpond import deploy, stack

    with laps.lap("build"):
        bundle = stack.build(loaded)
    with laps.lap("deploy"):
        outcome = deploy.apply(target, bundle, parameters)
    changes = outcome.plan.changes
    word = f"{len(changes)} changes" if changes else "no changes"
    print(f"deployed {loaded.name} to {target.name}: {word}", file=sys.stderr, flush=True)
    return outcome.outputs


def _follow(target: Target, execution: str, *, quiet: bool) -> Any:
    """Follow a run to its end, drawing it unless `quiet`."""
    from millpond.aws import runs
    from millpond.cli import render

    found = None
    with render.live(quiet=quiet) as draw:
        for found in runs.follow(target, execution):
            draw(found)
    return found


def _finish(target: Target, loaded: Project, found: Any, laps: Laps, *, as_json: bool) -> None:
    from millpond.aws import runs
    from millpond.cli import render

    if as_json:
        print(json.dumps(runs.to_json(found) | {"laps": laps.seconds}, indent=2, default=str))
    elif found.status == "SUCCEEDED":
        _summary(target, loaded, found, laps)
    else:
        print(render.failure(found, runs.explain(target, found)))
    if found.status != "SUCCEEDED":
        raise typer.Exit(1)


def _summary(target: Target, loaded: Project, found: Any, laps: Laps) -> None:
    """What came out, how to look closer, where the time went."""
    from millpond.aws import catalog
    from millpond.cli import render

    for query in loaded.settings.get("summary", []):
        answer = catalog.sql(target, query["sql"])
        print(f"\n{query.get('title', 'Result')}")
        print(render.table(answer))
    print("\nOutput")
    print(json.dumps(found.output, indent=2))
    slowest = sorted(found.steps, key=lambda step: -(step.seconds or 0))[:5]
    print("\nWhere the time went: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in laps.seconds.items()))
    print(
        "  slowest steps: "
        + ", ".join(f"{render.title(step)} {step.seconds:.1f} s" for step in slowest if step.seconds)
    )
    print(
        f"\nLook closer      millpond show {found.name}   millpond logs {found.name} STEP   millpond tables\n"
        f"                 millpond sql 'SELECT ...'   (in {loaded.root})\n"
        f"Run it on AWS    millpond deploy --target aws {loaded.root}\n"
        "Stop             millpond down"
    )
