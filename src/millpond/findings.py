"""Everything that is wrong with a project or with definition files, at once: what `millpond check` shows.

A project: it loads, its names are unique, every `${...}` token points at something declared, every file that a resource
names is there, every flow is one that AWS takes. A file: a state machine's definition, or a mock configuration of Step
Functions Local. Reaches no network and no endpoint; what CreateStateMachine would say is asked from a process of its
own (`millpond.local.states.validate`).

Places: in a JSON file the line and column of the value; in a project the line of `pipeline.py` that the state's Comment
names (blocks write it there), else the line where the name of the state or resource stands.

May import: errors, project, resources, asl.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from millpond import project
from millpond.asl import codec, graph, mocks
from millpond.asl.source import Source
from millpond.errors import DefinitionError, Diagnostic, MillpondError, ProjectError, Span
from millpond.resources import Resource, glue, lambda_
from millpond.resources.resource import TOKEN
from millpond.resources.states import StateMachine

REFERENCE, FILE, PROJECT = "UNKNOWN_REFERENCE", "MISSING_FILE", "PROJECT"
ASSETS = "AssetsBucket"
_ERROR_PLACE = re.compile(r"line: (\d+), column: (\d+)\]")
_LINE = re.compile(r"([\w.-]+\.py):(\d+)")


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found; errors first within a file."""

    machines: int
    resources: int
    findings: tuple[Diagnostic, ...]
    excerpts: Mapping[Span, str] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return sum(finding.severity == "ERROR" for finding in self.findings)

    @property
    def warnings(self) -> int:
        return len(self.findings) - self.errors


@dataclass(frozen=True)
class _Machine:
    """A definition to be judged, and how its findings get their place."""

    name: str
    text: str
    kind: str
    places: Source | _Pipeline


def of(paths: Sequence[Path], *, express: bool = False) -> Report:
    """Check projects (folders) and files. Raises MillpondError where there is nothing to check at a path."""
    machines: list[_Machine] = []
    found: list[Diagnostic] = []
    counted = 0
    sources: dict[str, list[str]] = {}
    for path in paths:
        if path.is_dir():
            resources, own, said = _project(path)
            counted += resources
            machines += own
            found += said
        else:
            machine, said = _file(path, "EXPRESS" if express else "STANDARD")
            machines += machine
            found += said
    for judged, answer in zip(machines, _judged(machines), strict=True):
        found += [_placed(judged, finding) for finding in answer]
    found.sort(key=lambda finding: (finding.severity != "ERROR", finding.span.file if finding.span else ""))
    excerpts = {finding.span: _excerpt(finding.span, sources) for finding in found if finding.span is not None}
    return Report(len(machines), counted, tuple(found), excerpts)


def _judged(machines: Sequence[_Machine]) -> list[list[Diagnostic]]:
    """What AWS would say of each definition, and what the local AWS adds."""
    if not machines:
        return []
    asked = json.dumps([{"definition": machine.text, "type": machine.kind} for machine in machines])
    done = subprocess.run(
        [sys.executable, "-m", "millpond.local.states.validate"], input=asked, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"the validation ended with exit code {done.returncode}:\n{done.stderr}")
    return [[_read(each) for each in answer] for answer in json.loads(done.stdout)]


def _read(said: Mapping[str, Any]) -> Diagnostic:
    return Diagnostic(
        said["code"], said["message"], tuple(said["at"]), severity=said["severity"], help=said["help"] or ""
    )


def _placed(machine: _Machine, finding: Diagnostic) -> Diagnostic:
    if isinstance(machine.places, _Pipeline):
        return replace(finding, span=machine.places.state(machine.name, finding.at))
    if found := _ERROR_PLACE.search(str(finding.at[0]) if finding.at else ""):  # text that is not JSON
        short = finding.message.partition("\n")[0]
        span = Span(machine.places.file, int(found[1]), int(found[2]))
        return replace(finding, message=short, at=(), span=span)
    return replace(finding, span=machine.places.span(finding.at))


def _excerpt(span: Span, sources: dict[str, list[str]]) -> str:
    """The line of a place, with a caret where the column is known; empty where the file has no such line."""
    if span.file not in sources:
        try:
            sources[span.file] = [Path(span.file).read_text("utf-8")]
        except (OSError, UnicodeDecodeError):
            sources[span.file] = []
    text = "".join(sources[span.file])
    shown = Source(text, span.file).excerpt(span)
    return shown if span.column else shown.partition("\n")[0]


# ---------------------------------------------------------------------------------------------------------------- files


def _file(path: Path, kind: str) -> tuple[list[_Machine], list[Diagnostic]]:
    """A definition, or a mock configuration."""
    if not path.is_file():
        raise MillpondError(f"there is no file or folder {path}", help="millpond check [PROJECT | FILE.asl.json] ...")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        return [], [Diagnostic(FILE, f"the file is not UTF-8: {error}", span=Span(str(path)))]
    if _is_mock_config(text):
        return [], list(_mock_config(path, text))
    return [_Machine(path.name, _without_substitutions(text), kind, Source(text, str(path)))], []


def _is_mock_config(text: str) -> bool:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and bool({"StateMachines", "MockedResponses"} & document.keys())


def _mock_config(path: Path, text: str) -> tuple[Diagnostic, ...]:
    try:
        return mocks.read(text, str(path)).warnings
    except DefinitionError as error:
        return error.diagnostics


def _without_substitutions(text: str) -> str:
    """A Resource of `${Name}`, which CloudFormation fills in (DefinitionSubstitutions), as a function's ARN.

    The replacement keeps line and column of what stands behind on other lines.
    """
    arn = "arn:aws:lambda:us-east-1:000000000000:function:substituted"
    return re.sub(r'("Resource"\s*:\s*)"\$\{\w+\}"', lambda found: f'{found[1]}"{arn}"', text)


# ------------------------------------------------------------------------------------------------------------- projects


def _project(folder: Path) -> tuple[int, list[_Machine], list[Diagnostic]]:
    """(number of resources, flows, findings) of a project."""
    try:
        loaded = project.load(folder)
    except ProjectError as error:
        message = error.message.removeprefix(f"{error.span}: ") if error.span else error.message
        return 0, [], [Diagnostic(PROJECT, message, span=error.span, help=error.help)]
    pipeline = _Pipeline(loaded.root / loaded.settings.get("pipeline", "pipeline.py"))
    known = {resource.logical_id: resource for resource in loaded.resources}
    found = [finding for each in loaded.resources for finding in _resource(each, known, loaded.root, pipeline)]
    machines = []
    for flow in loaded.flows:
        document = codec.to_json(flow.definition)
        found += _flow_references(flow, known, loaded.root, pipeline)
        pipeline.flows[flow.name] = flow
        text = TOKEN.sub(lambda match: _stand_in(match.group(1), known), json.dumps(document, ensure_ascii=False))
        machines.append(_Machine(flow.name, text, "STANDARD", pipeline))
    return len(loaded.resources), machines, found


def _stand_in(token: str, known: Mapping[str, Resource]) -> str:
    """What a token may become when it is deployed: enough for the checks to see a name or an ARN."""
    name, _, attribute = token.partition(".")
    resource = known.get(name)
    if isinstance(resource, lambda_.Function) and attribute == "Arn":
        return f"arn:aws:lambda:us-east-1:000000000000:function:{resource.name}"
    if isinstance(resource, StateMachine):
        return f"arn:aws:states:us-east-1:000000000000:stateMachine:{resource.name}"
    return f"arn:aws:x:us-east-1:000000000000:{name}" if attribute == "Arn" else re.sub(r"[^\w.-]", "-", token)


def _resource(
    resource: Resource, known: Mapping[str, Resource], root: Path, pipeline: _Pipeline
) -> Iterator[Diagnostic]:
    """A resource's references and files."""
    span = pipeline.resource(resource)
    for member in dataclasses.fields(resource):
        value = getattr(resource, member.name)
        if not isinstance(resource, StateMachine):
            for text in _texts(value):
                yield from _references(text, known, root, span, f"{member.name} of {resource.logical_id}")
    match resource:
        case glue.Job():
            if not (root / resource.script).is_file():
                yield _missing(f"the script {resource.script} of {resource.logical_id}", root, span)
        case lambda_.Function():
            yield from _function(resource, root, span)
        case _:
            pass


def _function(function: lambda_.Function, root: Path, span: Span) -> Iterator[Diagnostic]:
    folder = root / function.code
    if not folder.is_dir():
        yield _missing(f"the folder {function.code} of {function.logical_id}", root, span)
        return
    module = function.handler.rpartition(".")[0].replace(".", "/")
    if function.runtime.startswith("python") and not any((folder / f"{module}{end}").exists() for end in (".py", "")):
        yield _missing(f"the module {function.code}/{module}.py of {function.logical_id}'s handler", root, span)


def _missing(what: str, root: Path, span: Span) -> Diagnostic:
    return Diagnostic(FILE, f"{what} is not there", span=span, help=f"paths begin at {root}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _references(
    text: str, known: Mapping[str, Resource], root: Path, span: Span | None, where: str, at: graph.Place = ()
) -> Iterator[Diagnostic]:
    for token in TOKEN.findall(text):
        name = token.partition(".")[0]
        if token.startswith("asset:"):
            path = token.removeprefix("asset:")
            if not (root / path).is_file():
                yield replace(_missing(f"the asset {path}, in {where},", root, span or Span("")), span=span, at=at)
        elif not name.startswith("AWS::") and name != ASSETS and name not in known:
            near = ", ".join(sorted(known)) or "nothing"
            message = f"${{{token}}}, in {where}, points at nothing that is declared"
            yield Diagnostic(REFERENCE, message, at, span=span, help=f"declared: {near}")


def _flow_references(
    flow: StateMachine, known: Mapping[str, Resource], root: Path, pipeline: _Pipeline
) -> Iterator[Diagnostic]:
    pipeline.flows[flow.name] = flow
    for visit in graph.walk(flow.definition):
        own = {name: value for name, value in codec.state_to_json(visit.state).items() if name not in _NESTED}
        for text in _texts(own):
            span = pipeline.state(flow.name, visit.place)
            yield from _references(text, known, root, span, f"the state '{visit.name}'", visit.place)


_NESTED = ("Branches", "ItemProcessor", "Iterator")


class _Pipeline:
    """Where in `pipeline.py` a state or a resource is written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.flows: dict[str, StateMachine] = {}

    def resource(self, resource: Resource) -> Span:
        """The line on which a resource is declared: a call with its `name=`."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call) and _called(node) == type(resource).__name__:
                for keyword in node.keywords:
                    if keyword.arg == "name" and _constant(keyword.value) == resource.name:
                        return Span(str(self.file), node.lineno, node.col_offset + 1)
        return Span(str(self.file))

    def state(self, flow: str, at: graph.Place) -> Span:
        """The line of the state that a path leads to: its Comment's, else where its name is written."""
        names = [str(at[index + 1]) for index, part in enumerate(at[:-1]) if part == "States"]
        visits = {visit.place: visit for visit in graph.walk(self.flows[flow].definition)}
        best: graph.Place = at
        while best and best not in visits:
            best = best[:-1]
        comment = visits[best].state.comment if best else None
        if (found := _LINE.fullmatch(comment or "")) and found[1] == self.file.name:
            return Span(str(self.file), int(found[2]))
        for name in reversed(names):
            for node in ast.walk(self._tree):
                if isinstance(node, ast.Constant) and node.value == name:
                    return Span(str(self.file), node.lineno, node.col_offset + 1)
        return self.resource(self.flows[flow])

    @cached_property
    def _tree(self) -> ast.AST:
        return ast.parse(self.file.read_text("utf-8"))


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None
