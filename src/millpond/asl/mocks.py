"""The mock configuration file of Step Functions Local, `MockConfigFile.json`, accepted as it is.

    {"StateMachines": {"Nightly": {"TestCases": {"Retry": {"Join": "JoinFailsOnce"}}}},
     "MockedResponses": {"JoinFailsOnce": {"0": {"Throw": {"Error": "Glue.X", "Cause": "..."}}, "1-2": {"Return": {}}}}}

A test case maps names of states to mocked responses; a response says what each call of the state answers, counted from
0 over the whole execution: retries, loops and the items of a Map go on counting. Source: AWS Step Functions Developer
Guide, "Configuration file for mocked service integrations in Step Functions".

What Step Functions Local finds out only when a state is entered (a response that is not defined, a call without a
number) is no error of the file here either: it is a warning of `read`, and then fails the state with States.Runtime.
Refused are texts that are no such file, and a number that two entries claim. May import: errors, asl.source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from millpond.asl.model import Json
from millpond.asl.source import Place, Source
from millpond.errors import DefinitionError, Diagnostic, MillpondError

CODE = "MOCK_CONFIG"
ACTIVITY = "Activity state cannot be mocked. Please remove mocks mapped for all activity state in the mock config file."
"""What Step Functions Local says of a mocked activity: States.Runtime."""

_NUMBERS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_PARTS = ("StateMachines", "MockedResponses")


@dataclass(frozen=True, slots=True)
class Returned:
    """The call succeeds with this value."""

    output: Json


@dataclass(frozen=True, slots=True)
class Thrown:
    """The call fails."""

    error: str
    cause: str | None = None


Mocked = Returned | Thrown


@dataclass(frozen=True, slots=True)
class Response:
    """A mocked response: (first number, last number, what happens), by number."""

    name: str
    calls: tuple[tuple[int, int, Mocked], ...] = ()

    def at(self, number: int) -> Mocked:
        """What call `number` (from 0) answers; one that is not listed fails with States.Runtime."""
        for first, last, mocked in self.calls:
            if first <= number <= last:
                return mocked
        listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b, _ in self.calls) or "none"
        cause = f"The mocked response '{self.name}' has no entry for call {number} of the state; its entries: {listed}."
        return Thrown("States.Runtime", cause)


@dataclass(frozen=True, slots=True)
class Case:
    """A test case of a state machine: mocked responses by the state's name."""

    name: str
    responses: Mapping[str, Response]


@dataclass(frozen=True, slots=True)
class MockConfig:
    """A file that was read: state machine -> test case -> Case. `warnings` are findings that do not refuse it."""

    machines: Mapping[str, Mapping[str, Case]]
    file: str = ""
    warnings: tuple[Diagnostic, ...] = field(default=())

    def case(self, machine: str, name: str) -> Case:
        """A test case. Raises MillpondError with what there is."""
        cases = self.machines.get(machine)
        where = self.file or "the mock configuration"
        if cases is None:
            known = ", ".join(self.machines) or "none"
            raise MillpondError(f"{where} has no state machine '{machine}'", help=f"its state machines: {known}")
        if name not in cases:
            known = ", ".join(cases) or "none"
            raise MillpondError(f"{where} has no test case '{name}' of '{machine}'", help=f"its test cases: {known}")
        return cases[name]


def read(text: str, file: str = "") -> MockConfig:
    """Read a configuration. Raises DefinitionError with every finding and its place."""
    source = Source(text, file or "mocks")
    try:
        document = json.loads(text)
    except RecursionError:
        raise _refused(source, [_Wrong((), "the file is nested too deeply")]) from None
    except ValueError as error:
        at = source.at_offset(getattr(error, "pos", 0))
        message = f"the file is not JSON: {getattr(error, 'msg', error)}"
        raise DefinitionError(f"{at}: {message}", (Diagnostic(CODE, message, span=at),)) from None
    reader = _Reader()
    config = reader.config(document)
    if reader.errors:
        raise _refused(source, reader.errors)
    reader.warnings += [_Wrong(at, f"'{at[-1]}' stands here twice: the last one counts") for at in source.duplicates]
    warnings = tuple(_found(source, wrong, "WARNING") for wrong in reader.warnings)
    return replace(config, file=file, warnings=warnings)


@dataclass(frozen=True, slots=True)
class _Wrong:
    at: Place
    message: str
    help: str = ""


def _found(source: Source, wrong: _Wrong, severity: str) -> Diagnostic:
    span = source.span(wrong.at)
    found = Diagnostic(CODE, wrong.message, wrong.at, span=span, help=wrong.help)
    return replace(found, severity="WARNING") if severity == "WARNING" else found


def _refused(source: Source, errors: list[_Wrong]) -> DefinitionError:
    findings = tuple(_found(source, wrong, "ERROR") for wrong in errors)
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return DefinitionError(f"{findings[0].span}: {findings[0].message}{more}", findings)


class _Reader:
    """Reads the document and collects what is wrong with it."""

    def __init__(self) -> None:
        self.errors: list[_Wrong] = []
        self.warnings: list[_Wrong] = []

    def config(self, document: Json) -> MockConfig:
        parts = self._object(document, (), "the mock configuration")
        for name in parts.keys() - set(_PARTS):
            self.warnings.append(_Wrong((name,), f"'{name}' is not read: {' and '.join(_PARTS)} are"))
        if "StateMachines" not in parts and isinstance(document, dict):
            self._wrong((), "'StateMachines' is missing", '{"StateMachines": {...}, "MockedResponses": {...}}')
        responses = {
            name: Response(name, tuple(self._calls(value, ("MockedResponses", name))))
            for name, value in self._object(parts.get("MockedResponses", {}), _PARTS[1:], "MockedResponses").items()
        }
        machines = {
            name: dict(self._cases(value, ("StateMachines", name), responses))
            for name, value in self._object(parts.get("StateMachines", {}), _PARTS[:1], "StateMachines").items()
        }
        return MockConfig(machines)

    def _wrong(self, at: Place, message: str, help: str = "") -> None:
        self.errors.append(_Wrong(at, message, help))

    def _object(self, value: Json, at: Place, what: str) -> dict[str, Json]:
        if isinstance(value, dict):
            return value
        self._wrong(at, f"{what} must be a JSON object")
        return {}

    def _cases(self, value: Json, at: Place, responses: Mapping[str, Response]) -> Iterator[tuple[str, Case]]:
        machine = self._object(value, at, f"'{at[-1]}'")
        if "TestCases" not in machine:
            if isinstance(value, dict):
                self._wrong(at, f"'TestCases' of the state machine '{at[-1]}' is missing")
            return
        at = (*at, "TestCases")
        for name, states in self._object(machine["TestCases"], at, "'TestCases'").items():
            yield name, Case(name, dict(self._states(states, (*at, name), responses)))

    def _states(self, value: Json, at: Place, responses: Mapping[str, Response]) -> Iterator[tuple[str, Response]]:
        for state, name in self._object(value, at, f"the test case '{at[-1]}'").items():
            if not isinstance(name, str):
                self._wrong((*at, state), f"'{state}' must be the name of a mocked response")
                continue
            if name not in responses:
                known = ", ".join(responses) or "none"
                message = f"no mocked response is called '{name}': the state '{state}' will fail"
                self.warnings.append(_Wrong((*at, state), message, f"MockedResponses has: {known}"))
            yield state, responses.get(name, Response(name))

    def _calls(self, value: Json, at: Place) -> Iterator[tuple[int, int, Mocked]]:
        taken: list[tuple[int, int]] = []
        for key, entry in self._object(value, at, f"the mocked response '{at[-1]}'").items():
            numbers = _NUMBERS.fullmatch(key)
            first, last = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, -1)
            if last < first:
                self._wrong((*at, key), f"'{key}' is no number of a call", '"0" is the first call; "1-2" are two more')
                continue
            if any(first <= b and a <= last for a, b in taken):
                self._wrong((*at, key), f"call {key} is already answered by an entry above")
            taken.append((first, last))
            mocked = self._mocked(entry, (*at, key))
            if mocked is not None:
                yield first, last, mocked

    def _mocked(self, value: Json, at: Place) -> Mocked | None:
        entry = self._object(value, at, f"the entry '{at[-1]}'")
        if len(entry.keys() & {"Return", "Throw"}) != 1:
            if isinstance(value, dict):
                self._wrong(at, "one of 'Return' and 'Throw' is wanted", '{"Throw": {"Error": "...", "Cause": "..."}}')
            return None
        if "Return" in entry:
            return Returned(entry["Return"])
        thrown = self._object(entry["Throw"], (*at, "Throw"), "'Throw'")
        error, cause = thrown.get("Error"), thrown.get("Cause")
        if isinstance(error, str) and (cause is None or isinstance(cause, str)):
            return Thrown(error, cause)
        if isinstance(entry["Throw"], dict):
            self._wrong((*at, "Throw"), "'Throw' wants the strings 'Error' and 'Cause'")
        return None
