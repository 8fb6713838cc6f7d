"""`millpond build`, `plan`, `deploy`, `destroy`: the project's stack as files, as a plan, in an account."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millpond.errors import ProjectError

if TYPE_CHECKING:
    from millpond.aws.target import Target

Folder = Annotated[Path, typer.Argument(metavar="[PROJECT]", help="The project's folder.")]
Data = Annotated[Path | None, typer.Option(help="The state folder of the local AWS. Default: the project's .millpond.")]
To = Annotated[str, typer.Option("--target", help="local, or aws (your profile's account).")]
Profile = Annotated[str | None, typer.Option(help="The AWS profile, with --target aws.")]
Region = Annotated[str | None, typer.Option(help="The AWS region, with --target aws.")]
Parameters = Annotated[list[str] | None, typer.Option("--parameter", metavar="NAME=VALUE", help="May be repeated.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def build(folder: Folder = Path(), out: Annotated[Path, typer.Option(help="Where to write.")] = Path("build")) -> None:
    """Write the template, the flows' ASL and the assets as files, to read and review. Reaches no cloud."""
    from millpond import project, stack

    bundle = stack.build(project.load(folder))
    out.mkdir(parents=True, exist_ok=True)
    (out / "template.json").write_text(bundle.body)
    for name, definition in bundle.definitions.items():
        (out / f"{name}.asl.json").write_text(json.dumps(definition, indent=2, ensure_ascii=False))
    for asset in bundle.assets:
        path = out / asset.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(asset.content)
    print(out / "template.json")


def plan(
    folder: Folder = Path(),
    to: To = "local",
    data: Data = None,
    profile: Profile = None,
    region: Region = None,
    parameter: Parameters = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a deployment would change, asked from CloudFormation by a change set that is then discarded."""
    from dataclasses import asdict

    from millpond import deploy, project, stack

    loaded = project.load(folder)
    target = target_of(to, data or loaded.root / ".millpond", profile, region)
    made = deploy.plan(target, stack.build(loaded), pairs(parameter))
    if made.change_set:
        target.client("cloudformation").delete_change_set(ChangeSetName=made.change_set)
    if as_json:
        print(json.dumps({"stack": made.stack, "changes": [asdict(change) for change in made.changes]}, indent=2))
        return
    for change in made.changes:
        replaced = "  (replacement)" if change.replacement == "True" else ""
        print(f"{change.action:7} {change.logical_id:40} {change.type}{replaced}")
    print(f"{made.stack} on {target.name}: {len(made.changes) or 'no'} changes", file=sys.stderr)


def deploy(
    folder: Folder = Path(),
    to: To = "local",
    data: Data = None,
    profile: Profile = None,
    region: Region = None,
    parameter: Parameters = None,
    yes: Yes = False,
) -> None:
    """Create or update the project's stack. Any target but local asks first, or takes --yes."""
    from millpond import deploy as deployment
    from millpond import project, stack

    loaded = project.load(folder)
    target = target_of(to, data or loaded.root / ".millpond", profile, region)
    bundle = stack.build(loaded)
    if to != "local":
        confirm(target, f"deploy {loaded.name}", yes)
    events = deployment.apply(
        target,
        bundle,
        pairs(parameter),
        on_event=lambda event: print(f"  {event.status:28} {event.logical_id}  {event.reason}", file=sys.stderr),
    )
    for name, value in events.outputs.items():
        print(f"{name}  {value}")


def destroy(
    folder: Folder = Path(),
    to: To = "local",
    data: Data = None,
    profile: Profile = None,
    region: Region = None,
    yes: Yes = False,
) -> None:
    """Delete the project's stack. Asks first, or takes --yes."""
    from millpond import project

    loaded = project.load(folder)
    target = target_of(to, data or loaded.root / ".millpond", profile, region)
    confirm(target, f"delete the stack {loaded.name}", yes)
    cloudformation = target.client("cloudformation")
    cloudformation.delete_stack(StackName=loaded.name)
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName=loaded.name, WaiterConfig={"Delay": 2, "MaxAttempts": 600}
    )
    print(f"deleted {loaded.name} from {target.name}", file=sys.stderr)


def target_of(to: str, state: Path, profile: str | None, region: str | None) -> Target:
    from millpond.aws.target import Target

    if to == "local":
        return Target.local(state.resolve())
    if to == "aws":
        return Target.aws(profile=profile, region=region)
    raise ProjectError(f"--target {to}: local or aws")


def confirm(target: Target, what: str, yes: bool) -> None:
    account = target.client("sts").get_caller_identity()["Account"]
    print(f"{what} in account {account}, {target.region} ({target.name})", file=sys.stderr)
    if not yes:
        typer.confirm("Go on?", abort=True, err=True)


def pairs(given: list[str] | None) -> dict[str, str]:
    """`["A=1", "B=2"]` as a dict."""
    values: dict[str, str] = {}
    for pair in given or ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise ProjectError(f"--parameter {pair}: NAME=VALUE is wanted")
        values[name] = value
    return values
