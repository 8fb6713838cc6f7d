"""`millpond redrive`, `stop`, `try`: act on a run, or try one state. Locally, or with --target aws in your account."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millpond.cli.inspect import AsJson, RunName
from millpond.cli.inspect import Data as State
from millpond.cli.stacks import Profile, Region, To, Yes
from millpond.errors import CloudError, MillpondError

if TYPE_CHECKING:
    from millpond.aws.runs import Run
    from millpond.aws.target import Target

STOP_SECONDS = 30
TRIAL_ROLE = "arn:aws:iam::000000000000:role/millpond-try"


def redrive(
    name: RunName = "last",
    data: State = None,
    to: To = "local",
    profile: Profile = None,
    region: Region = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where only a Fail state would run again.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return as soon as it goes on; follow it with show.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that failed, where it failed: what had succeeded is kept. Exits 1 when it fails again.

    It runs the definition that it was started with. After a change of the flow: millpond run.
    """
    from millpond.aws import runs as view

    target = _target(to, data, profile, region)
    execution = view.find(target, name)
    states = target.client("stepfunctions")
    described = states.describe_execution(executionArn=execution)
    if described["redriveStatus"] != "REDRIVABLE":
        why = described.get("redriveStatusReason", described["redriveStatus"])
        raise CloudError("ExecutionNotRedrivable", why, help=f"millpond run, or millpond show {described['name']}")
    run = view.get(target, execution)
    _announce(run, anyway=anyway, quiet=as_json)
    if to != "local":
        _confirm(target, f"redrive {run.name}", yes)
    try:
        states.redrive_execution(executionArn=execution)
    except states.exceptions.ExecutionNotRedrivable as error:
        raise CloudError("ExecutionNotRedrivable", error.response["Error"]["Message"], help="millpond run") from None
    if detach:
        print(json.dumps({"status": "RUNNING", "executionArn": execution}, indent=2) if as_json else execution)
        return
    _finish(target, execution, as_json=as_json)


def _announce(run: Run, *, anyway: bool, quiet: bool) -> None:
    """What is kept and what runs again, on stderr. Raises MillpondError where a redrive would help nobody."""
    outermost = [step for step in run.steps if step.inside is None]
    kept = [step.name for step in outermost if step.status == "SUCCEEDED"]
    last = outermost[-1] if outermost else None
    if last is not None and last.kind == "Fail" and not anyway:
        raise MillpondError(
            f"the failure of {run.name} was caught: only the Fail state '{last.name}' would run again",
            help="millpond run, or redrive --anyway",
        )
    if not quiet:
        again = f"reruns {last.name} and what follows" if last is not None else "runs all of it again"
        typer.echo(f"keeps {len(kept)} step{'' if len(kept) == 1 else 's'}, {again}", err=True)


def _finish(target: Target, execution: str, *, as_json: bool) -> None:
    from millpond.aws import runs as view
    from millpond.cli import render

    run = None
    with render.live(quiet=as_json) as draw:
        for run in view.follow(target, execution):
            draw(run)
    assert run is not None
    if as_json:
        print(json.dumps(view.to_json(run), indent=2, default=str))
    elif run.status == "SUCCEEDED":
        print(f"Output\n{render.as_text(run.output)}")
    else:
        print(render.failure(run, view.explain(target, run)))
    if run.status != "SUCCEEDED":
        raise typer.Exit(1)


def stop(
    name: RunName = "last",
    error: Annotated[str | None, typer.Option(help="The error that the run ends with.")] = None,
    cause: Annotated[str | None, typer.Option(help="Its cause.")] = None,
    data: State = None,
    to: To = "local",
    profile: Profile = None,
    region: Region = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Stop a run, and the work that it waits for."""
    from millpond.aws import runs as view

    target = _target(to, data, profile, region)
    execution = view.find(target, name)
    states = target.client("stepfunctions")
    before = states.describe_execution(executionArn=execution)
    if before["status"] != "RUNNING":
        raise MillpondError(
            f"{before['name']} does not run: {before['status']}", help=f"millpond show {before['name']}"
        )
    if to != "local":
        _confirm(target, f"stop {before['name']}", yes)
    given = {key: value for key, value in (("error", error), ("cause", cause)) if value is not None}
    states.stop_execution(executionArn=execution, **given)
    deadline = time.monotonic() + STOP_SECONDS
    while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        if time.monotonic() > deadline:
            raise CloudError("StillRunning", f"{found['name']} did not stop within {STOP_SECONDS} s")
        time.sleep(0.1)
    if as_json:
        print(json.dumps({"name": found["name"], "status": found["status"], "executionArn": execution}, indent=2))
        return
    print(f"{found['name']}  {found['status']}")


def try_state(
    flow: Annotated[str, typer.Argument(metavar="FLOW | FILE", help="A deployed flow, or a definition's file.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The state's name.")],
    input: Annotated[str, typer.Option(metavar="FILE | JSON", help="The state's input.")] = "{}",
    variables: Annotated[str | None, typer.Option(metavar="FILE | JSON", help="Variables that are set before.")] = None,
    result: Annotated[
        str | None, typer.Option(metavar="FILE | JSON", help="Mock: what its task answers; nothing is called.")
    ] = None,
    error: Annotated[str | None, typer.Option(metavar="NAME[:CAUSE]", help="Mock: how its task fails.")] = None,
    data: State = None,
    to: To = "local",
    profile: Profile = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Run one state alone (TestState) and show what its fields make of the input. Exits 1 when the state fails.

    Without a mock a Task is really called, once.
    """
    target = _target(to, data, profile, region)
    definition, role = _definition(target, flow)
    request: dict[str, Any] = {
        "definition": definition,
        "stateName": step,
        "roleArn": role,
        "input": _json(input, "--input"),
        "inspectionLevel": "DEBUG",
    }
    if variables is not None:
        request["variables"] = _json(variables, "--variables")
    if result is not None:
        request["mock"] = {"result": _json(result, "--result")}
    if error is not None:
        named, _, cause = error.partition(":")
        request["mock"] = {"errorOutput": {"error": named, "cause": cause.strip()}}
    states = target.client("stepfunctions")
    try:
        answer = states.test_state(**request)
    except states.exceptions.ClientError as refused:
        said = refused.response["Error"]
        raise CloudError(said["Code"], said["Message"], help=f"millpond graph {flow} shows its states") from None
    answer.pop("ResponseMetadata", None)
    if as_json:
        print(json.dumps(answer, indent=2, default=str))
    else:
        _show_trial(step, answer)
    if answer["status"] in ("FAILED", "RETRIABLE"):
        raise typer.Exit(1)


def _show_trial(step: str, answer: dict[str, Any]) -> None:
    following = f" -> {answer['nextState']}" if answer.get("nextState") else ""
    print(f"{step}  {answer['status']}{following}")
    if answer.get("error"):
        print(f"{answer['error']}: {answer.get('cause', '')}".rstrip(": "))
    for stage, value in (answer.get("inspectionData") or {}).items():
        print(f"  {stage:<20} {value if isinstance(value, str) else json.dumps(value, default=str)}")
    if "output" in answer:
        print(f"Output\n{json.dumps(json.loads(answer['output']), indent=2, ensure_ascii=False)}")


def _definition(target: Target, flow: str) -> tuple[str, str]:
    """Definition and role of a deployed flow (its name, or the name behind the stack's), or of a file."""
    if Path(flow).is_file():
        return Path(flow).read_text("utf-8"), TRIAL_ROLE
    states = target.client("stepfunctions")
    pages = states.get_paginator("list_state_machines").paginate()
    machines = [machine for page in pages for machine in page["stateMachines"]]
    exact = [machine for machine in machines if machine["name"] == flow]
    found = exact or [machine for machine in machines if machine["name"].endswith(f"-{flow}")]
    if len(found) != 1:
        known = ", ".join(machine["name"] for machine in machines) or "none"
        raise MillpondError(
            f"which flow is '{flow}'? Deployed are: {known}", help="millpond deploy, or a definition's file"
        )
    described = states.describe_state_machine(stateMachineArn=found[0]["stateMachineArn"])
    return str(described["definition"]), str(described["roleArn"])


def _json(given: str, option: str) -> str:
    """JSON text, given as it is or as the name of a file (also `@FILE`)."""
    path = Path(given.removeprefix("@"))
    looks_like_json = given.lstrip()[:1] in ("{", "[", '"')
    try:
        text = path.read_text("utf-8") if not looks_like_json and path.is_file() else given
        json.loads(text)
    except (OSError, ValueError) as error:
        raise MillpondError(f"{option} {given[:60]}: neither a file nor JSON: {error}") from None
    return text


def _target(to: str, data: Path | None, profile: str | None, region: str | None) -> Target:
    from millpond.cli import stacks, state

    return stacks.target_of(to, state.folder(data), profile, region)


def _confirm(target: Target, what: str, yes: bool) -> None:
    from millpond.cli import stacks

    stacks.confirm(target, what, yes)
