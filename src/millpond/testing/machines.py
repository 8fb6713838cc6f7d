"""What a test may hand over as a machine: a model, a resource of the project, a definition, its text, its file.

May import: asl.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from millpond.asl import from_json
from millpond.asl.check import Kind, check, check_machine
from millpond.asl.model import Machine
from millpond.errors import DefinitionError, Diagnostic, MillpondError


def as_machine(machine: object) -> Machine:
    """The model of whatever describes a machine: a Machine, a declared StateMachine, JSON (a value or its text), a Path
    or the name of a file. Raises DefinitionError where its shape is wrong, MillpondError for anything else."""
    declared = getattr(machine, "definition", None)
    if isinstance(declared, Machine):
        return declared
    if isinstance(machine, str) and not machine.lstrip().startswith(("{", "[", '"')):
        machine = Path(machine)
    match machine:
        case Machine():
            return machine
        case Path():
            return _file(machine)
        case str():
            return from_json(machine)
        case Mapping():
            return from_json(dict(machine))
    raise MillpondError(
        f"a machine is wanted, not {type(machine).__name__}",
        help="an asl.Machine, a states.StateMachine, a definition as a dict or JSON text, or the Path of its file",
    )


def name_of(machine: object) -> str:
    """The name of a declared StateMachine; others are called `machine`."""
    name = getattr(machine, "name", None)
    return name if isinstance(name, str) and not isinstance(machine, Path) else "machine"


def refused(machine: object, model: Machine, *, express: bool) -> tuple[Diagnostic, ...]:
    """The errors for which AWS would refuse to create the machine."""
    kind: Kind = "EXPRESS" if express else "STANDARD"
    found = check(dict(machine), kind) if isinstance(machine, Mapping) else check_machine(model, kind)
    return tuple(finding for finding in found if finding.severity == "ERROR")


def _file(path: Path) -> Machine:
    if path.is_dir() or path.suffix == ".py":
        raise MillpondError(f"{path} is a project, not a definition", help="project.load(FOLDER).flow()")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MillpondError(f"{path} cannot be read: {error}") from None
    try:
        return from_json(text)
    except DefinitionError as error:
        raise DefinitionError(f"{path}: {error.message}", error.diagnostics) from None
