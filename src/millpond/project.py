"""A project on disk: finds `pyproject.toml`, imports `pipeline.py`, returns what it declares.

    [tool.millpond]
    name = "customer-segmentation"      # the stack's name; default: the project's name
    pipeline = "pipeline.py"

    [tool.millpond.local]
    setup = "shop.py start"             # before a local deploy: a script whose stdout is a JSON object of parameters

    [[tool.millpond.summary]]           # queries shown after a successful run
    title = "Segments"
    sql = "SELECT ..."

Importing only declares. May import: errors, resources, asl.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from millpond.errors import ProjectError, Span
from millpond.resources import Resource
from millpond.resources.glue import Workflow
from millpond.resources.states import StateMachine

Runnable = TypeVar("Runnable", bound=Resource)


@dataclass(frozen=True)
class Project:
    """A loaded project. `resources` in the order of their declaration; `settings` is `[tool.millpond]`."""

    name: str
    root: Path
    resources: tuple[Resource, ...]
    settings: dict[str, Any]

    @property
    def flows(self) -> tuple[StateMachine, ...]:
        """The state machines that the project declares."""
        return tuple(resource for resource in self.resources if isinstance(resource, StateMachine))

    def flow(self, name: str | None = None) -> StateMachine:
        """The flow of that name, or the only one."""
        return _named(self.flows, name)

    def runnable(self, name: str | None = None) -> StateMachine | Workflow:
        """The flow or Glue workflow of that name, or the only one; a flow where there is one of each."""
        if name is None and self.flows:
            return self.flow()
        kinds = StateMachine | Workflow
        return _named(tuple(resource for resource in self.resources if isinstance(resource, kinds)), name)


def _named(declared: Sequence[Runnable], name: str | None) -> Runnable:
    named = [one for one in declared if name in (None, one.name)]
    if len(named) != 1:
        known = ", ".join(one.name for one in declared) or "none"
        raise ProjectError(f"which flow? The project declares: {known}", help="millpond run --flow NAME")
    return named[0]


def find(start: Path) -> Path:
    """The project's folder: `start` or the nearest parent whose pyproject.toml has [tool.millpond]."""
    start = start.resolve()
    if not start.is_dir():
        raise ProjectError(f"there is no folder {start}")
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file() and "millpond" in _pyproject(folder).get("tool", {}):
            return folder
    raise ProjectError(
        f"no Millpond project in {start} or above it: no pyproject.toml has a [tool.millpond] table",
        help="cd into a project, or name its folder",
    )


def load(start: Path) -> Project:
    """Find and import the project. Raises ProjectError with the user's line when its code raises."""
    root = find(start)
    document = _pyproject(root)
    settings = document["tool"]["millpond"]
    name = settings.get("name") or document.get("project", {}).get("name") or root.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", name):
        raise ProjectError(
            f"{name!r} cannot be the name of a stack: letters, digits and hyphens, beginning with a letter",
            help=f"set [tool.millpond] name in {root / 'pyproject.toml'}",
        )
    module = _import(root / settings.get("pipeline", "pipeline.py"))
    resources = tuple({id(found): found for found in _declared(vars(module).values())}.values())
    _check_unique(resources)
    return Project(name, root, resources, settings)


def _pyproject(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text())
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{folder / 'pyproject.toml'} is not valid TOML: {error}") from None


def _import(path: Path) -> Any:
    if not path.is_file():
        raise ProjectError(f"there is no {path}", help="name it in [tool.millpond] pipeline")
    spec = importlib.util.spec_from_file_location("pipeline", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if str(path.parent) in frame.filename]
        if isinstance(error, SyntaxError) and error.filename:
            span = Span(error.filename, error.lineno or 0, error.offset or 0)
        else:
            span = Span(frames[-1].filename, frames[-1].lineno or 0) if frames else Span(str(path))
        raise ProjectError(f"{span}: {type(error).__name__}: {error}", span=span) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _declared(values: Any) -> Iterator[Resource]:
    for value in values:
        if isinstance(value, Resource):
            yield value
        elif isinstance(value, list | tuple):
            yield from _declared(value)
        elif isinstance(value, dict):
            yield from _declared(value.values())


def _check_unique(resources: tuple[Resource, ...]) -> None:
    seen: dict[str, Resource] = {}
    for resource in resources:
        other = seen.setdefault(resource.logical_id, resource)
        if other is not resource:
            raise ProjectError(
                f"two resources are called {resource.logical_id}: {other.name!r} and {resource.name!r}",
                help="give one of them another name",
            )
