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
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

from millpond.asl import codec, datasets, fields, jackson, jsonata, paths, references, resources, warnings
from millpond.asl.graph import Place, Visit, inner, targets, walk
from millpond.asl.model import (
    Absent,
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
NO_END = "MISSING_END_STATE"
NOT_OBJECT = "Definition must be a valid JSON object"
LARGEST = 1_048_576
LONGEST_NAME = 80
LONGEST_LABEL = 40
DEEPEST = 300
"""Levels of JSON in a definition. AWS's own limit is not published."""

Kind = Literal["STANDARD", "EXPRESS"]
Knows = Callable[[str, str], bool]
"""Does the AWS SDK have this service and action? The host asks botocore; without it, every action is believed."""
Misfits = Callable[[str, str, Mapping[str, Json]], Iterable[str]]
"""What an API says of a Task's arguments, given its service and action: the host asks botocore."""


def check(
    definition: str | Mapping[str, Json],
    kind: Kind = "STANDARD",
    knows: Knows | None = None,
    misfits: Misfits | None = None,
) -> tuple[Diagnostic, ...]:
    """All findings about a definition, errors first. None: it can be created."""
    try:
        document = _parsed(definition) if isinstance(definition, str) else dict(definition)
        _shallow(document)
    except DefinitionError as error:
        return error.diagnostics
    unfit = tuple(fields.check(document))
    try:
        machine = codec.from_json(document)
    except DefinitionError as error:
        return (*error.diagnostics, *unfit)
    found = [*unfit, *check_machine(machine, kind, knows, misfits), *warnings.check(document)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "ERROR"))


def check_machine(
    machine: Machine, kind: Kind = "STANDARD", knows: Knows | None = None, misfits: Misfits | None = None
) -> Iterator[Diagnostic]:
    """All findings about a machine that was written by hand or by the compiler."""
    yield from _transitions(machine, ())
    yield from _names(machine)
    yield from _scopes(machine, (), frozenset())
    yield from _outside([("TimeoutSeconds", machine.timeout_seconds, 1, LONGEST_SECONDS)], ())
    for visit in walk(machine):
        for rule in RULES:
            yield from rule(visit)
        yield from _resource(visit, kind, knows)
        if misfits is not None:
            yield from _arguments(visit, misfits)


def location(finding: Diagnostic) -> str | None:
    """Where, as AWS writes it: `/States/X/Resource`; the source text for bad JSON; None when there is no place."""
    if finding.code == INVALID_JSON:
        return str(finding.at[0]) if finding.at else None
    if finding.message == NOT_OBJECT or finding.code == NO_END:
        return None
    return finding.location or "/"


def describe(finding: Diagnostic) -> str:
    """`CODE: message at /place`, as CreateStateMachine's InvalidDefinition lists it; AWS writes no place as `null`."""
    return f"{finding.code}: {finding.message} at {location(finding) or 'null'}"


# ------------------------------------------------------------------------------------------------------------- the JSON


def _parsed(text: str) -> dict[str, Json]:
    if not text.strip():
        raise _refused(SCHEMA, NOT_OBJECT)
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise _bad_json(text, error) from None
    if not isinstance(value, dict):
        raise _refused(SCHEMA, NOT_OBJECT)
    return value


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """An object whose every field stands there once: two states of one name are an error on AWS."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"Duplicate field '{next(name for name in names if names.count(name) > 1)}'")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=jackson.not_json, parse_float=jackson.within_range)


def _shallow(document: Mapping[str, Json]) -> None:
    """Raises DefinitionError for what is nested so deeply that no later rule could look at it."""
    if jackson.nests_deeper(dict(document), DEEPEST):
        raise _too_deep()


def _too_deep() -> DefinitionError:
    return _refused("TOO_DEEPLY_NESTED", "The states are too deeply nested")


def _refused(code: str, message: str, at: Place = ()) -> DefinitionError:
    return DefinitionError(f"{code}: {message}", (Diagnostic(code, message, at=at),))


def _bad_json(text: str, error: ValueError) -> DefinitionError:
    message = jackson.explain(text, getattr(error, "msg", str(error)))
    return _refused(INVALID_JSON, message, (jackson.place(message),))


# ---------------------------------------------------------------------------------------------------------- transitions


def _transitions(machine: Machine, at: Place) -> Iterator[Diagnostic]:
    """Missing targets, all named 'Next' whatever their field is called; then a machine that cannot end, or else states
    that nothing leads to. AWS looks for one transition to each state, not for a way from the start."""
    led_to = {machine.start_at}
    if machine.start_at not in machine.states:
        yield Diagnostic(TRANSITION, f"Missing 'Next' target: {machine.start_at}", at=(*at, "StartAt"))
    for name, state in machine.states.items():
        place = (*at, "States", name)
        for field, target, _ in targets(state):
            led_to.add(target)
            if target not in machine.states:
                yield Diagnostic(TRANSITION, f"Missing 'Next' target: {target}", at=(*place, *field))
        for relative, nested in inner(state):
            yield from _transitions(nested, (*place, *relative))
    if not any(map(_is_terminal, machine.states.values())):
        yield Diagnostic(NO_END, "Workflow has no terminal state")
        return
    for name in machine.states:
        if name not in led_to:
            yield Diagnostic(TRANSITION, f'State "{name}" is not reachable.', at=(*at, "States", name))


def _is_terminal(state: State) -> bool:
    return isinstance(state, Succeed | Fail) or (not isinstance(state, Choice) and state.next is None)


def _names(machine: Machine) -> Iterator[Diagnostic]:
    seen: set[str] = set()
    labels: set[str] = set()
    for visit in walk(machine):
        if visit.name in seen:
            yield Diagnostic("DUPLICATE_STATE_NAME", f"Duplicate State name: {visit.name}", at=visit.place)
        seen.add(visit.name)
        if not 0 < len(visit.name) <= LONGEST_NAME:
            message = f"State name must be between 1 and {LONGEST_NAME} characters long"
            yield Diagnostic("INVALID_STATE_NAME", message, at=visit.place)
        label = visit.state.label if isinstance(visit.state, Map) else None
        if label and label in labels:
            yield Diagnostic("DUPLICATE_LABEL_NAME", f"Duplicate Label name: {label}", at=(*visit.place, "Label"))
        labels.add(label or "")


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


def _arguments(visit: Visit, misfits: Misfits) -> Iterator[Diagnostic]:
    state = visit.state
    resource = resources.read(state.resource) if isinstance(state, Task) else None
    if resource is None or resource.kind != "service":
        return
    assert isinstance(state, Task)
    field, given = ("Arguments", state.arguments) if visit.language == "JSONata" else ("Parameters", state.parameters)
    if isinstance(given, dict):
        for message in misfits(resource.service, resource.action, given):
            yield Diagnostic(SCHEMA, message, at=(*visit.place, field))


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
    if not isinstance(state, Map):
        return
    if state.mode == "DISTRIBUTED":
        if state.execution_type is None:  # not in the codec: machines that were kept without it are still read
            at = (*visit.place, "ItemProcessor", "ProcessorConfig")
            yield Diagnostic(SCHEMA, "These fields are required: [ExecutionType]", at=at)
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


Bounds = tuple[str, object, float, float]


def _outside(bounds: Iterable[Bounds], at: Place) -> Iterator[Diagnostic]:
    """Numbers below or above what AWS allows. Decimal bounds are written as decimals."""
    for key, value, least, most in bounds:
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if value < least:
            yield Diagnostic(SCHEMA, f"Minimum value is {least}", at=(*at, key))
        elif value > most:
            yield Diagnostic(SCHEMA, f"Maximum value is {most}", at=(*at, key))


ENDLESS = float("inf")
LONGEST_SECONDS = 99_999_999


def _map_limits(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Map):
        return
    limits: list[Bounds] = [
        ("MaxConcurrency", state.max_concurrency, 0, ENDLESS),
        ("ToleratedFailureCount", state.tolerated_failure_count, 0, ENDLESS),
        ("ToleratedFailurePercentage", state.tolerated_failure_percentage, 0.0, 100.0),
    ]
    yield from _outside(limits, visit.place)
    if state.item_batcher is not None:
        batch: list[Bounds] = [
            ("MaxItemsPerBatch", state.item_batcher.max_items_per_batch, 0, ENDLESS),
            ("MaxInputBytesPerBatch", state.item_batcher.max_input_bytes_per_batch, 0, 262_144),
        ]
        yield from _outside(batch, (*visit.place, "ItemBatcher"))
    if state.item_reader is not None and state.item_reader.config is not None:
        most: Bounds = ("MaxItems", state.item_reader.config.max_items, 0, 100_000_000)
        yield from _outside([most], (*visit.place, "ItemReader", "ReaderConfig"))


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
        ranges: list[Bounds] = [
            ("IntervalSeconds", retrier.interval_seconds, 1, LONGEST_SECONDS),
            ("MaxAttempts", retrier.max_attempts, 0, LONGEST_SECONDS),
            ("BackoffRate", retrier.backoff_rate, 1.0, ENDLESS),
            ("MaxDelaySeconds", retrier.max_delay_seconds, 1, 31_622_399),
        ]
        yield from _outside(ranges, (*visit.place, "Retry", index))


_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _seconds(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Wait):
        yield from _outside([("Seconds", state.seconds, 0, LONGEST_SECONDS)], visit.place)
        stamp = state.timestamp
        if stamp is not None and not jsonata.is_expression(stamp) and not _TIMESTAMP.fullmatch(stamp):
            message = "The field 'Timestamp' must be an ISO-8601 extended offset date-time format string"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "Timestamp"))
    elif isinstance(state, Task):
        bounds: list[Bounds] = [
            ("TimeoutSeconds", state.timeout_seconds, 1, LONGEST_SECONDS),
            ("HeartbeatSeconds", state.heartbeat_seconds, 1, LONGEST_SECONDS),
        ]
        yield from _outside(bounds, visit.place)
        timeout, heartbeat = state.timeout_seconds, state.heartbeat_seconds
        if isinstance(timeout, int) and isinstance(heartbeat, int) and heartbeat >= timeout:
            message = "The field 'HeartbeatSeconds' must be smaller than 'TimeoutSeconds'"
            yield Diagnostic(SCHEMA, message, at=(*visit.place, "HeartbeatSeconds"))


# --------------------------------------------------------------------------------------------------------------- choice


def _choice(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if not isinstance(state, Choice):
        return
    if not state.rules:
        yield Diagnostic(SCHEMA, "The field 'Choices' must not be empty", at=(*visit.place, "Choices"))
    for index, rule in enumerate(state.rules):
        if visit.language == "JSONPath" and rule.test is not None:
            yield from _comparisons(rule.test, (*visit.place, "Choices", index))


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
            yield from _reference("Variable", test.variable, at)
            yield from _operand(test, at)


_OPERANDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "String": ("String", (str,)),
    "Numeric": ("Number", (int, float)),
    "Boolean": ("Boolean", (bool,)),
    "Timestamp": ("String", (str,)),
    "Is": ("Boolean", (bool,)),
}


def _operand(test: Comparison, at: Place) -> Iterator[Diagnostic]:
    if test.operator.endswith("Path"):
        if isinstance(test.value, str):
            yield from _reference(test.operator, test.value, at)
        else:
            yield Diagnostic(SCHEMA, "Expected value of type String", at=(*at, test.operator))
        return
    kind, wanted = next(row for prefix, row in _OPERANDS.items() if test.operator.startswith(prefix))
    if not isinstance(test.value, wanted) or (isinstance(test.value, bool) and bool not in wanted):
        yield Diagnostic(SCHEMA, f"Expected value of type {kind}", at=(*at, test.operator))


# ------------------------------------------------------------------------------------------------ paths and expressions


def _path(name: str, text: str | None, at: Place) -> Iterator[Diagnostic]:
    if text is None:
        return
    try:
        paths.path(text)
    except paths.PathSyntaxError:
        yield Diagnostic(SCHEMA, "Value must be a valid JSONPath.", at=(*at, name))


def _computed_text(name: str, text: str | None, at: Place) -> Iterator[Diagnostic]:
    """ErrorPath and CausePath: a path or an intrinsic function."""
    if text is None:
        return
    try:
        paths.expression(text)
    except paths.PathSyntaxError:
        message = f"The value for the field '{name}' must be a valid JSONPath or a valid intrinsic function call"
        yield Diagnostic(SCHEMA, message, at=(*at, name))


def _reference(name: str, text: str | None, at: Place) -> Iterator[Diagnostic]:
    """A path that names one node."""
    if text is None:
        return
    if not text.startswith("$"):
        message = "Value is not a Reference Path: Reference path didn't start with '$'"
        yield Diagnostic(SCHEMA, message, at=(*at, name))
    elif not paths.is_path(text):
        yield Diagnostic(SCHEMA, "Value is not a Reference Path", at=(*at, name))


def _path_fields(state: State) -> Iterator[tuple[str, str | None]]:
    """The fields that take any path."""
    if not isinstance(state, Fail):
        yield "InputPath", state.input_path
        yield "OutputPath", state.output_path
    if isinstance(state, Map):
        yield "ItemsPath", state.items_path


def _reference_fields(state: State) -> Iterator[tuple[str, str | None]]:
    match state:
        case Task():
            yield "TimeoutSecondsPath", state.timeout_seconds_path
            yield "HeartbeatSecondsPath", state.heartbeat_seconds_path
        case Wait():
            yield "SecondsPath", state.seconds_path
            yield "TimestampPath", state.timestamp_path
        case Map():
            yield "MaxConcurrencyPath", state.max_concurrency_path
            yield "ToleratedFailureCountPath", state.tolerated_failure_count_path
            yield "ToleratedFailurePercentagePath", state.tolerated_failure_percentage_path
        case _:
            return


def _jsonpath(visit: Visit) -> Iterator[Diagnostic]:
    if visit.language != "JSONPath":
        return
    state, place = visit.state, visit.place
    for name, text in _path_fields(state):
        yield from _path(name, text, place)
    for name, text in _reference_fields(state):
        yield from _reference(name, text, place)
    if isinstance(state, Fail):
        yield from _computed_text("ErrorPath", state.error_path, place)
        yield from _computed_text("CausePath", state.cause_path, place)
    if isinstance(state, Task | Pass | Parallel | Map):
        yield from _result_path(state.result_path, place)
    if isinstance(state, Task | Parallel | Map):
        for index, catcher in enumerate(state.catch):
            yield from _result_path(catcher.result_path, (*place, "Catch", index))
    for relative, value in _templates(state):
        yield from _template(value, (*place, *relative))


def _result_path(text: str | None, at: Place) -> Iterator[Diagnostic]:
    try:
        paths.placing(text)
    except paths.PathSyntaxError:
        starts = text is not None and text.startswith("$")
        reason = "" if starts else ": Reference path didn't start with '$'"
        yield Diagnostic(SCHEMA, f"Value is not a Reference Path{reason}", at=(*at, "ResultPath"))


def _templates(state: State) -> Iterator[tuple[Place, Json]]:
    """The payload templates of a state, each with its field's place in the state."""
    found: list[tuple[Place, Json | Absent]] = []
    if isinstance(state, Task | Pass | Parallel):
        found.append((("Parameters",), state.parameters))
    if isinstance(state, Task | Parallel | Map):
        found.append((("ResultSelector",), state.result_selector))
    if isinstance(state, Map):
        found += _map_templates(state)
    if isinstance(state, Task):
        found.append((("Credentials",), state.credentials))
    found += [(place, dict(assign)) for place, assign in _assigns(state)]
    for place, value in found:
        if not isinstance(value, Absent):
            yield place, value


def _map_templates(state: Map) -> Iterator[tuple[Place, Json | Absent]]:
    yield ("ItemSelector",), state.item_selector
    if state.item_reader is not None:
        yield ("ItemReader", "Parameters"), state.item_reader.parameters
    if state.item_batcher is not None:
        yield ("ItemBatcher", "BatchInput"), state.item_batcher.batch_input
    if state.result_writer is not None:
        yield ("ResultWriter", "Parameters"), state.result_writer.parameters


def _assigns(state: State) -> Iterator[tuple[Place, Mapping[str, Json]]]:
    """What a state assigns, and where: in its Catches, its Choice rules, itself."""
    places: list[tuple[Place, Mapping[str, Json] | None]] = []
    if isinstance(state, Task | Parallel | Map):
        places += [(("Catch", index, "Assign"), catcher.assign) for index, catcher in enumerate(state.catch)]
    if isinstance(state, Choice):
        places += [(("Choices", index, "Assign"), rule.assign) for index, rule in enumerate(state.rules)]
    if not isinstance(state, Fail | Succeed):
        places.append((("Assign",), state.assign))
    for place, assign in places:
        if assign is not None:
            yield place, assign


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
            yield from _expressions(raw[key], (*visit.place, key), tuple(_absent(visit.state, key)))


Missing = tuple[re.Pattern[str], str]
_ERROR_OUTPUT: Missing = (
    re.compile(r"\$states\.errorOutput\b"),
    "Reference to '$states.errorOutput' is only supported in a Catch.",
)
_RESULT: Missing = (
    re.compile(r"\$states\.result\b"),
    "Reference to '$states.result' is only supported in Assign and Output of a Task, Parallel or Map state.",
)


def _absent(state: State, key: str) -> Iterator[Missing]:
    """What `$states` does not have in a field ("Transforming data with JSONata": it is caught at creation)."""
    if key != "Catch":
        yield _ERROR_OUTPUT
    if key not in ("Assign", "Output") or not isinstance(state, Task | Parallel | Map):
        yield _RESULT


def _expressions(value: Json, at: Place, absent: tuple[Missing, ...]) -> Iterator[Diagnostic]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _expressions(item, (*at, key), absent)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _expressions(item, (*at, index), absent)
    elif isinstance(value, str):
        yield from _expression(value, at, absent)


def _expression(text: str, at: Place, absent: tuple[Missing, ...]) -> Iterator[Diagnostic]:
    if text.startswith("{%") != text.endswith("%}"):
        message = "A JSONata expression must start with '{%' and end with '%}'"
        yield Diagnostic("INVALID_JSONATA_EXPRESSION", message, at=at)
    if not jsonata.is_expression(text):
        return
    source = jsonata.source(text)
    try:
        jsonata.parse(source)
    except paths.PathSyntaxError as error:
        # AWS leaves out JSONata's own code of the error (`S0202: `).
        yield Diagnostic("INVALID_JSONATA_EXPRESSION", re.sub(r"^[A-Z]\d{4}: ", "", error.message), at=at)
        return
    for pattern, message in absent:
        if pattern.search(source):
            yield Diagnostic("UNSUPPORTED_JSONATA_EXPRESSION", message, at=at)
    for name in references.unsupported(source):
        message = f"Reference to '{name}' at the top level is not supported."
        yield Diagnostic("UNSUPPORTED_JSONATA_EXPRESSION", message, at=at)


_VARIABLE = re.compile(r"[^\W\d_][\w]{0,79}")


def _variables(visit: Visit) -> Iterator[Diagnostic]:
    state = visit.state
    if isinstance(state, Fail | Succeed) or state.assign is None:
        return
    for key in state.assign:
        name = key.removesuffix(".$") if visit.language == "JSONPath" else key
        if name == "states" or not _VARIABLE.fullmatch(name):
            yield Diagnostic(SCHEMA, f"'{name}' is not a valid variable name", at=(*visit.place, "Assign"))


def _scopes(machine: Machine, at: Place, outer: frozenset[str]) -> Iterator[Diagnostic]:
    """ "Passing data between states with variables": what an inner scope assigns must not be called like what an outer
    one does. Children of a distributed Map are executions of their own."""
    assigned = [
        ((*at, "States", name, *place), key.removesuffix(".$"))
        for name, state in machine.states.items()
        for place, assign in _assigns(state)
        for key in assign
    ]
    for place, variable in assigned:
        if variable in outer:
            yield Diagnostic(SCHEMA, f"The variable '{variable}' is already assigned in an outer scope", at=place)
    known = outer.union(variable for _, variable in assigned)
    for name, state in machine.states.items():
        apart = isinstance(state, Map) and state.mode == "DISTRIBUTED"
        for relative, nested in inner(state):
            yield from _scopes(nested, (*at, "States", name, *relative), frozenset() if apart else known)


RULES: tuple[Callable[[Visit], Iterator[Diagnostic]], ...] = (
    _credentials,
    _label,
    _map_mode,
    _map_limits,
    datasets.check,
    _handlers,
    _seconds,
    _choice,
    _jsonpath,
    _jsonata,
    _variables,
)
