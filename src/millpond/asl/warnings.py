"""What AWS warns of in a definition that it takes all the same: `.$` forgotten, or written where nothing is evaluated.

The three codes are those of ValidateStateMachineDefinitionDiagnostic in the AWS Step Functions API Reference; its
words for them are not published, so these are ours.

May import: millpond.errors, asl.model, asl.paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from millpond.asl.model import Json
from millpond.errors import Diagnostic

Place = tuple[str | int, ...]

NO_DOLLAR, NO_PATH, STATIC = "NO_DOLLAR", "NO_PATH", "PASS_RESULT_IS_STATIC"
_LOOKS_LIKE_A_PATH = re.compile(r"\$\$?(\.[A-Za-z_]|\[)|States\.[A-Z]\w+\(.*\)$")
_TEMPLATES = ("Parameters", "ResultSelector", "ItemSelector", "Assign")
# Fields that take a literal beside a twin that takes a path.
_LITERALS = {
    "Task": ("TimeoutSeconds", "HeartbeatSeconds"),
    "Wait": ("Timestamp",),
    "Fail": ("Error", "Cause"),
}


def check(document: Mapping[str, Json], at: Place = (), inherited: str = "JSONPath") -> Iterator[Diagnostic]:
    """All warnings about a definition."""
    speaks = str(document.get("QueryLanguage", inherited))
    states = document.get("States")
    for name, state in states.items() if isinstance(states, dict) else ():
        if isinstance(state, dict):
            yield from _state(state, (*at, "States", name), speaks)


def _state(state: dict[str, Json], at: Place, inherited: str) -> Iterator[Diagnostic]:
    if state.get("QueryLanguage", inherited) == "JSONPath":
        for key in _TEMPLATES:
            yield from _template(state.get(key), (*at, key))
        for key in _LITERALS.get(str(state.get("Type")), ()):
            if _is_path(state.get(key)):
                message = f"The value of the field '{key}' looks like a path: did you mean '{key}Path'?"
                yield Diagnostic(NO_PATH, message, at=(*at, key), severity="WARNING")
        if state.get("Type") == "Pass":
            yield from _static(state.get("Result"), (*at, "Result"))
    branches = state.get("Branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield from check(branch, (*at, "Branches", index), inherited)
    for key in ("ItemProcessor", "Iterator"):
        processor = state.get(key)
        if isinstance(processor, dict):
            yield from check(processor, (*at, key), inherited)


def _template(value: Json, at: Place) -> Iterator[Diagnostic]:
    for key, item, place in _entries(value, at):
        if not str(key).endswith(".$") and _is_path(item):
            message = f"The value of the field '{key}' looks like a path: did you mean '{key}.$'?"
            yield Diagnostic(NO_DOLLAR, message, at=place, severity="WARNING")
        yield from _template(item, place)


def _static(value: Json, at: Place) -> Iterator[Diagnostic]:
    for key, item, place in _entries(value, at):
        if str(key).endswith(".$"):
            message = "Fields in the Result of a Pass state are static: use Parameters to have '.$' fields evaluated"
            yield Diagnostic(STATIC, message, at=place, severity="WARNING")
        yield from _static(item, place)


def _entries(value: Json, at: Place) -> Iterator[tuple[str | int, Json, Place]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item, (*at, key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield index, item, (*at, index)


def _is_path(value: Json) -> bool:
    return isinstance(value, str) and _LOOKS_LIKE_A_PATH.match(value) is not None
