"""Everything that is wrong with a definition, at once, in AWS's codes and words.

`check(definition)` answers like ValidateStateMachineDefinition. First the JSON itself, then the shape of each field
(`codec`), then rules over the raw object (fields that do not belong there), then rules over the model: transitions,
resources, paths, expressions. Each rule is a generator of diagnostics and says nothing about what another rule owns.

Limits: where AWS's wording of a rule is not recorded, the words are ours; the code and the place are AWS's.
May import: millpond.errors, asl.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from millpond.asl import codec, jsonata, paths, resources
from millpond.asl.graph import Place, Visit, inner, reachable, targets, walk
from millpond.asl.model import (
    ABSENT,
    And,
    Catcher,
    Choice,
    Comparison,
    Fail,
    Json,
    Machine,
    Map,
    Not,
    Or,
    Parallel,
    Pass,
    Retrier,
    State,
    Succeed,
    Task,
    Test,
    Wait,
)
from millpond.errors import DefinitionError, Diagnostic

SCHEMA = codec.SCHEMA
INVALID_JSON = "INVALID_JSON_DESCRIPTION"
TRANSITION = "MISSING_TRANSITION_TARGET"
NOT_OBJECT = "Definition must be a valid JSON object"
LARGEST = 1_048_576
LONGEST_NAME = 80
LONGEST_LABEL = 40

Kind = Literal["STANDARD", "EXPRESS"]
Knows = Callable[[str, str], bool]
"""Does the AWS SDK have this service and action? The host asks botocore; without it, every action is believed."""


def check(
    definition: str | Mapping[str, Json], kind: Kind = "STANDARD", knows: Knows | None = None
) -> tuple[Diagnostic, ...]:
    """All findings about a definition, errors first. None: it can be created."""
    try:
        document = _parsed(definition) if isinstance(definition, str) else dict(definition)
        machine = codec.from_json(document)
    except DefinitionError as error:
        return error.diagnostics
    found = [*_fields_of_machine(document, (), "JSONPath"), *check_machine(machine, kind, knows)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "ERROR"))


def check_machine(machine: Machine, kind: Kind = "STANDARD", knows: Knows | None = None) -> Iterator[Diagnostic]:
    """All findings about a machine that was written by hand or by the compiler."""
    yield from _transitions(machine, ())
    yield from _names(machine)
    for visit in walk(machine):
        for rule in RULES:
            yield from rule(visit)
        yield from _resource(visit, kind, knows)


def location(finding: Diagnostic) -> str | None:
    """Where, as AWS writes it: `/States/X/Resource`; the source text for bad JSON; None when there is no place."""
    if finding.code == INVALID_JSON:
        return str(finding.at[0]) if finding.at else None
    if finding.message == NOT_OBJECT:
        return None
    return finding.location or "/"


def describe(finding: Diagnostic) -> str:
    """`CODE: message at /place`, as CreateStateMachine's InvalidDefinition lists it."""
    where = location(finding)
    return f"{finding.code}: {finding.message}" + (f" at {where}" if where else "")


# ------------------------------------------------------------------------------------------------------------- the JSON


def _parsed(text: str) -> dict[str, Json]:
    if not text.strip():
        raise _refused(SCHEMA, NOT_OBJECT)
    try:
        value = json.loads(text)
    except RecursionError:
        raise _refused(SCHEMA, "The definition is nested too deeply") from None
    except ValueError as error:
        raise _bad_json(text, error) from None
    if not isinstance(value, dict):
        raise _refused(SCHEMA, NOT_OBJECT)
    return value


def _refused(code: str, message: str, at: Place = ()) -> DefinitionError:
    return DefinitionError(f"{code}: {message}", (Diagnostic(code, message, at=at),))


def _bad_json(text: str, error: ValueError) -> DefinitionError:
    """The sentence of AWS's JSON parser, with its place: the end of an unknown word, else where reading stopped."""
    at = getattr(error, "pos", 0)
    word = re.compile(r"[^\W\d]\w*").match(text, at)
    if word and word[0] not in ("true", "false", "null"):
        what = (
            f"Unrecognized token '{word[0]}': was expecting (JSON String, Number, Array, Object or token 'null', "
            "'true' or 'false')"
        )
        at = word.end()
    else:
        what = getattr(error, "msg", str(error))
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    shown = text if len(text) <= 500 else f"{text[:500]}[truncated {len(text) - 500} chars]"
    place = f'[Source: (String)"{shown}"; line: {line}, column: {column}]'
    return _refused(INVALID_JSON, f"{what}\n at {place}", (place,))


# -------------------------------------------------------------------------------------------- fields that do not belong

_EVERY = frozenset({"Type", "Comment", "QueryLanguage"})
_FLOW = frozenset({"Next", "End", "Assign"})
_BOTH: Mapping[str, frozenset[str]] = {
    "Task": _FLOW | {"Resource", "Retry", "Catch", "TimeoutSeconds", "HeartbeatSeconds", "Credentials"},
    "Pass": _FLOW,
    "Wait": _FLOW | {"Seconds", "Timestamp"},
    "Choice": frozenset({"Choices", "Default", "Assign"}),
    "Succeed": frozenset(),
    "Fail": frozenset({"Error", "Cause"}),
    "Parallel": _FLOW | {"Branches", "Retry", "Catch"},
    "Map": _FLOW
    | {
        *("Retry", "Catch", "ItemProcessor", "Iterator", "ItemReader", "ItemSelector", "ItemBatcher", "ResultWriter"),
        *("MaxConcurrency", "ToleratedFailureCount", "ToleratedFailurePercentage", "Label"),
    },
}
_IO = frozenset({"InputPath", "OutputPath"})
_RESULT = frozenset({"Parameters", "ResultSelector", "ResultPath"})
_JSONPATH: Mapping[str, frozenset[str]] = {
    "Task": _IO | _RESULT | {"TimeoutSecondsPath", "HeartbeatSecondsPath"},
    "Pass": _IO | {"Parameters", "Result", "ResultPath"},
    "Wait": _IO | {"SecondsPath", "TimestampPath"},
    "Choice": _IO,
    "Succeed": _IO,
    "Fail": frozenset({"ErrorPath", "CausePath"}),
    "Parallel": _IO | _RESULT,
    "Map": _IO
    | _RESULT
    | {"ItemsPath", "MaxConcurrencyPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath"},
}
_JSONATA: Mapping[str, frozenset[str]] = {
    "Task": frozenset({"Arguments", "Output"}),
    "Pass": frozenset({"Output"}),
    "Wait": frozenset({"Output"}),
    "Choice": frozenset({"Output"}),
    "Succeed": frozenset({"Output"}),
    "Fail": frozenset(),
    "Parallel": frozenset({"Arguments", "Output"}),
    "Map": frozenset({"Items", "Output"}),
}
_OF_MACHINE = frozenset({"Comment", "StartAt", "States", "QueryLanguage", "TimeoutSeconds", "Version"})


def _fields_of_machine(document: Mapping[str, Json], at: Place, inherited: str) -> Iterator[Diagnostic]:
    for key in document.keys() - _OF_MACHINE - {"ProcessorConfig"}:
        yield Diagnostic(SCHEMA, "Field is not supported", at=(*at, key))
    states = document.get("States")
    speaks = document.get("QueryLanguage", inherited)
    for name, state in states.items() if isinstance(states, dict) else ():
        if isinstance(state, dict):
            yield from _fields_of_state(state, (*at, "States", name), str(speaks))


def _fields_of_state(state: dict[str, Json], at: Place, inherited: str) -> Iterator[Diagnostic]:
    kind, speaks = str(state.get("Type")), str(state.get("QueryLanguage", inherited))
    if kind not in _BOTH:
        return
    if inherited == "JSONata" and speaks == "JSONPath":
        message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
        yield Diagnostic(SCHEMA, message, at=(*at, "QueryLanguage"))
    own, other, its = (_JSONPATH, _JSONATA, "JSONata") if speaks == "JSONPath" else (_JSONATA, _JSONPATH, "JSONPath")
    for key in sorted(state.keys() - _EVERY - _BOTH[kind] - own[kind]):
        if key in other[kind]:
            message = (
                f"The QueryLanguage is set to '{speaks}', but field '{key}' is only supported for the '{its}' "
                "QueryLanguage"
            )
            yield Diagnostic(SCHEMA, message, at=(*at, key))
        else:
            yield Diagnostic(SCHEMA, "Field is not supported", at=(*at, key))
    for place, nested in _raw_inner(state):
        yield from _fields_of_machine(nested, (*at, *place), inherited)


def _raw_inner(state: dict[str, Json]) -> Iterator[tuple[Place, dict[str, Json]]]:
    branches = state.get("Branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield ("Branches", index), branch
    for key in ("ItemProcessor", "Iterator"):
        processor = state.get(key)
        if isinstance(processor, dict):
            yield (key,), processor


# ---------------------------------------------------------------------------------------------------------- transitions


def _transitions(machine: Machine, at: Place) -> Iterator[Diagnostic]:
    if machine.start_at not in machine.states:
        yield Diagnostic(TRANSITION, f"Missing 'StartAt' target: {machine.start_at}", at=(*at, "StartAt"))
    for name, state in machine.states.items():
        place = (*at, "States", name)
        for field, target, _ in targets(state):
            if target not in machine.states:
                yield Diagnostic(TRANSITION, f"Missing '{field[-1]}' target: {target}", at=(*place, *field))
        for relative, nested in inner(state):
            yield from _transitions(nested, (*place, *relative))
    if machine.start_at in machine.states:
        for name in machine.states.keys() - reachable(machine):
            yield Diagnostic(TRANSITION, f'State "{name}" is not reachable.', at=(*at, "States", name))


def _names(machine: Machine) -> Iterator[Diagnostic]:
    seen: set[str] = set()
    for visit in walk(machine):
        if visit.name in seen:
            yield Diagnostic("DUPLICATE_STATE_NAME", f"Duplicate State name: {visit.name}", at=visit.place)
        seen.add(visit.name)
        if not 0 < len(visit.name) <= LONGEST_NAME:
            message = f"State name must be between 1 and {LONGEST_NAME} characters long"
            yield Diagnostic(SCHEMA, message, at=visit.place)


# ------------------------------------------------------------------------------------------------------------ resources


def _resource(visit: Visit, kind: Kind, knows: Knows | None) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Map) and state.mode == "DISTRIBUTED" and kind == "EXPRESS":
        yield Diagnostic(SCHEMA, "Express state machine does not support DISTRIBUTED mode", at=visit.place)
    if not isinstance(state, Task):
        return
    place = (*visit.place, "Resource")
    resource = resources.read(state.resource)
    if resource is None:
        yield Diagnostic(SCHEMA, "Value is not a valid resource ARN", at=place)
        return
    if not resource.known or not _sdk_known(resource, knows):
        # AWS masks the partition of what it does not know in the recording; the words around it are AWS's.
        message = (
            f"The resource provided {state.resource} is not recognized. The value is not a valid resource ARN, or the "
            "resource is not available in this region."
        )
        yield Diagnostic(SCHEMA, message, at=place)
    if kind == "EXPRESS":
        yield from _express(resource, place)


def _sdk_known(resource: resources.Resource, knows: Knows | None) -> bool:
    sdk, _, service = resource.service.partition("aws-sdk:")
    return bool(sdk) or not service or knows is None or knows(service, resource.action)


def _express(resource: resources.Resource, place: Place) -> Iterator[Diagnostic]:
    if resource.kind == "activity":
        yield Diagnostic(SCHEMA, "Express state machine does not support Activity ARN", at=place)
    elif resource.pattern == "token":
        message = "Express state machine does not support '.waitForTaskToken' service integration "
        yield Diagnostic(SCHEMA, message, at=place)
    elif resource.pattern == "sync":
        yield Diagnostic(SCHEMA, "Express state machine does not support '.sync' service integration", at=place)


def _credentials(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Task) and isinstance(state.credentials, dict):
        keys = {key.removesuffix(".$") for key in state.credentials}
        if "RoleArn" not in keys:
            message = "The field 'RoleArn' is required but was missing"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "Credentials"))


# ------------------------------------------------------------------------------------------------------------------ Map

_LABEL_REFUSES = re.compile(r"[\s?*<>{}\[\]:;,\\|^~$#%&`\"\x00-\x1f\x7f-\x9f]")


def _label(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Map) or state.label is None:
        return
    place = (*visit.place, "Label")
    if not state.label:
        yield Diagnostic(SCHEMA, "Label cannot be empty", at=place)
    elif len(state.label) > LONGEST_LABEL:
        yield Diagnostic(SCHEMA, f"Label cannot exceed {LONGEST_LABEL} characters", at=place)
    elif wrong := _LABEL_REFUSES.search(state.label):
        yield Diagnostic(SCHEMA, f"Label contains invalid character: {wrong[0]!r}", at=place)


def _map_mode(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Map) or state.mode == "DISTRIBUTED":
        return
    only_distributed = {
        "ItemReader": state.item_reader,
        "ItemBatcher": state.item_batcher,
        "ResultWriter": state.result_writer,
        "Label": state.label,
    }
    for key, value in only_distributed.items():
        if value is not None:
            yield Diagnostic(SCHEMA, f"The field '{key}' is only supported in DISTRIBUTED mode", at=(*visit.place, key))


def _map_limits(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Map):
        return
    limits = (
        ("MaxConcurrency", state.max_concurrency, float("inf")),
        ("ToleratedFailureCount", state.tolerated_failure_count, float("inf")),
        ("ToleratedFailurePercentage", state.tolerated_failure_percentage, 100.0),
    )
    for key, value, most in limits:
        if isinstance(value, int | float) and not 0 <= value <= most:
            bound = "must not be negative" if most == float("inf") else f"must be between 0 and {most:.0f}"
            yield Diagnostic(SCHEMA, f"The field '{key}' {bound}", at=(*visit.place, key))


# --------------------------------------------------------------------------------------------------- retry, catch, wait


def _handlers(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Task | Parallel | Map):
        return
    handlers: tuple[tuple[str, tuple[Retrier | Catcher, ...]], ...] = (("Retry", state.retry), ("Catch", state.catch))
    for field, entries in handlers:
        for index, entry in enumerate(entries):
            place: Place = (*visit.place, field, index, "ErrorEquals")
            if not entry.error_equals:
                yield Diagnostic(SCHEMA, "The field 'ErrorEquals' must not be empty", at=place)
            if "States.ALL" in entry.error_equals and len(entry.error_equals) > 1:
                yield Diagnostic(SCHEMA, "States.ALL must appear alone in the ErrorEquals array", at=place)
            if "States.ALL" in entry.error_equals and index != len(entries) - 1:
                yield Diagnostic(SCHEMA, f"States.ALL must appear in the last entry of {field}", at=place)
    for index, retrier in enumerate(state.retry):
        ranges = (
            ("IntervalSeconds", retrier.interval_seconds, 1, 99_999_999),
            ("MaxAttempts", retrier.max_attempts, 0, 99_999_999),
            ("BackoffRate", retrier.backoff_rate, 1.0, float("inf")),
            ("MaxDelaySeconds", retrier.max_delay_seconds, 1, 31_622_400),
        )
        for name, value, least, most in ranges:
            if value is not None and not least <= value <= most:
                message = f"The field '{name}' must be between {least} and {most}"
                yield Diagnostic(SCHEMA, message, at=(*visit.place, "Retry", index, name))


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _seconds(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Wait):
        if isinstance(state.seconds, int) and not 0 <= state.seconds <= 99_999_999:
            message = "The field 'Seconds' must be between 0 and 99999999"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "Seconds"))
        stamp = state.timestamp
        if stamp is not None and not jsonata.is_expression(stamp) and not _TIMESTAMP.fullmatch(stamp):
            message = "The field 'Timestamp' must be an ISO-8601 extended offset date-time format string"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "Timestamp"))
    elif isinstance(state, Task):
        for key, value in (("TimeoutSeconds", state.timeout_seconds), ("HeartbeatSeconds", state.heartbeat_seconds)):
            if isinstance(value, int) and not 1 <= value <= 99_999_999:
                yield Diagnostic(SCHEMA, f"The field '{key}' must be between 1 and 99999999", at=(*visit.place, key))
        timeout, heartbeat = state.timeout_seconds, state.heartbeat_seconds
        if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
            message = "The field 'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "HeartbeatSeconds"))


# --------------------------------------------------------------------------------------------------------------- choice

OPERATORS: frozenset[str] = frozenset(
    {
        *("IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp", "StringMatches"),
        *(f"{of}Equals{path}" for of in ("String", "Numeric", "Boolean", "Timestamp") for path in ("", "Path")),
        *(
            f"{of}{how}{path}"
            for of in ("String", "Numeric", "Timestamp")
            for how in ("LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
            for path in ("", "Path")
        ),
    }
)


def _choice(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Choice):
        return
    if not state.rules:
        yield Diagnostic(SCHEMA, "The field 'Choices' must not be empty", at=(*visit.place, "Choices"))
    for index, rule in enumerate(state.rules):
        place: Place = (*visit.place, "Choices", index)
        if visit.language == "JSONata" and rule.condition is None:
            yield Diagnostic(SCHEMA, "The field 'Condition' is required but was missing", at=place)
        elif visit.language == "JSONPath" and rule.test is not None:
            yield from _comparisons(rule.test, place)
        elif visit.language == "JSONPath":
            message = (
                "The QueryLanguage is set to 'JSONPath', but field 'Condition' is only supported for the 'JSONata' "
                "QueryLanguage"
            )
            yield Diagnostic(SCHEMA, message, at=(*place, "Condition"))


def _comparisons(test: Test, at: Place) -> Iterator[Diagnostic]:
    match test:
        case And() | Or():
            field = type(test).__name__
            if not test.tests:
                yield Diagnostic(SCHEMA, f"The field '{field}' must not be empty", at=(*at, field))
            for index, part in enumerate(test.tests):
                yield from _comparisons(part, (*at, field, index))
        case Not():
            yield from _comparisons(test.test, (*at, "Not"))
        case Comparison():
            if test.operator not in OPERATORS:
                yield Diagnostic(SCHEMA, "Field is not supported", at=(*at, test.operator))
            else:
                yield from _path("Variable", test.variable, at)
                yield from _operand(test, at)


_OPERANDS: Mapping[str, tuple[type, ...]] = {
    "String": (str,),
    "Numeric": (int, float),
    "Boolean": (bool,),
    "Timestamp": (str,),
    "Is": (bool,),
}


def _operand(test: Comparison, at: Place) -> Iterator[Diagnostic]:
    if test.operator.endswith("Path"):
        if isinstance(test.value, str):
            yield from _path(test.operator, test.value, at)
        return
    wanted = next(kinds for prefix, kinds in _OPERANDS.items() if test.operator.startswith(prefix))
    if not isinstance(test.value, wanted) or (isinstance(test.value, bool) and bool not in wanted):
        kinds = " or ".join(kind.__name__ for kind in wanted)
        yield Diagnostic(SCHEMA, f"The field '{test.operator}' must be of type {kinds}", at=(*at, test.operator))


# ------------------------------------------------------------------------------------------------ paths and expressions


def _path(name: str, text: str | None, at: Place) -> Iterator[Diagnostic]:
    if text is None:
        return
    try:
        paths.expression(text)
    except paths.PathSyntaxError:
        yield Diagnostic(SCHEMA, f"The value for the field '{name}' must be a valid JSONPath", at=(*at, name))


def _path_fields(state: State) -> Iterator[tuple[str, str | None]]:
    if not isinstance(state, Fail):
        yield "InputPath", state.input_path
        yield "OutputPath", state.output_path
    match state:
        case Task():
            yield "TimeoutSecondsPath", state.timeout_seconds_path
            yield "HeartbeatSecondsPath", state.heartbeat_seconds_path
        case Wait():
            yield "SecondsPath", state.seconds_path
            yield "TimestampPath", state.timestamp_path
        case Map():
            yield "ItemsPath", state.items_path
            yield "MaxConcurrencyPath", state.max_concurrency_path
            yield "ToleratedFailureCountPath", state.tolerated_failure_count_path
            yield "ToleratedFailurePercentagePath", state.tolerated_failure_percentage_path
        case Fail():
            yield "ErrorPath", state.error_path
            yield "CausePath", state.cause_path
        case _:
            return


def _jsonpath(visit: Visit) -> Iterator[Diagnostic]:
    if visit.language != "JSONPath":
        return
    state, place = visit.state, visit.place
    for name, text in _path_fields(state):
        yield from _path(name, text, place)
    if isinstance(state, Task | Pass | Parallel | Map):
        yield from _result_path(state.result_path, place)
    if isinstance(state, Task | Parallel | Map):
        for index, catcher in enumerate(state.catch):
            yield from _result_path(catcher.result_path, (*place, "Catch", index))
    for name, value in _templates(state):
        yield from _template(value, (*place, name))


def _result_path(text: str | None, at: Place) -> Iterator[Diagnostic]:
    try:
        paths.placing(text)
    except paths.PathSyntaxError:
        message = "The value for the field 'ResultPath' must be a valid JSONPath reference path"
        yield Diagnostic(SCHEMA, message, at=(*at, "ResultPath"))


def _templates(state: State) -> Iterator[tuple[str, Json]]:
    """The payload templates of a state by field."""
    if isinstance(state, Task | Pass | Parallel) and state.parameters is not ABSENT:
        yield "Parameters", state.parameters
    if isinstance(state, Task | Parallel | Map) and state.result_selector is not ABSENT:
        yield "ResultSelector", state.result_selector
    if isinstance(state, Map) and state.item_selector is not ABSENT:
        yield "ItemSelector", state.item_selector
    if isinstance(state, Task) and state.credentials is not ABSENT:
        yield "Credentials", state.credentials
    if not isinstance(state, Fail | Succeed) and state.assign is not None:
        yield "Assign", dict(state.assign)


def _template(value: Json, at: Place) -> Iterator[Diagnostic]:
    """AWS places a bad `name.$` at the object that holds it."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _template(item, (*at, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.endswith(".$"):
                yield from _template(item, (*at, key))
                continue
            try:
                paths.template({key: item})
            except paths.PathSyntaxError as error:
                yield Diagnostic(SCHEMA, error.message, at=at)


def _jsonata(visit: Visit) -> Iterator[Diagnostic]:
    if visit.language == "JSONata":
        raw: Mapping[str, Json] = codec.state_to_json(visit.state)
        nested = {"Branches", "ItemProcessor", "Comment", "Type", "QueryLanguage", "Retry"}
        for key in raw.keys() - nested:
            yield from _expressions(raw[key], (*visit.place, key))


def _expressions(value: Json, at: Place) -> Iterator[Diagnostic]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _expressions(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expressions(item, (*at, index))
    elif isinstance(value, str) and jsonata.is_expression(value):
        try:
            jsonata.compiled(jsonata.source(value))
        except paths.PathSyntaxError as error:
            yield Diagnostic(SCHEMA, f"The JSONata expression is not valid. {error.message}", at=at)


_VARIABLE = re.compile(r"[^\W\d_][\w]{0,79}")


def _variables(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Fail | Succeed) or state.assign is None:
        return
    for key in state.assign:
        name = key.removesuffix(".$") if visit.language == "JSONPath" else key
        if name == "states" or not _VARIABLE.fullmatch(name):
            yield Diagnostic(SCHEMA, f"'{name}' is not a valid variable name", at=(*visit.place, "Assign"))


def _static_result(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Pass) and isinstance(state.result, dict) and any(key.endswith(".$") for key in state.result):
        message = "Fields in the Result of a Pass state are static: use Parameters to have '.$' fields evaluated"
        yield Diagnostic("PASS_RESULT_IS_STATIC", message, at=(*visit.place, "Result"), severity="WARNING")


RULES: tuple[Callable[[Visit], Iterator[Diagnostic]], ...] = (
    _credentials,
    _label,
    _map_mode,
    _map_limits,
    _handlers,
    _seconds,
    _choice,
    _jsonpath,
    _jsonata,
    _variables,
    _static_result,
)
