"""Which fields stand where: a definition's raw JSON held against the Amazon States Language, object by object.

Rules about the object alone: fields that nobody knows there, fields of the other query language, fields that exclude
each other. AWS places them at the object, not at the field. Sources: Amazon States Language specification; the words
are AWS's as users have met them (`Field 'X' is not supported`, `There should only be one of the following fields`).

May import: millpond.errors, asl.model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from millpond.asl.model import Json
from millpond.errors import Diagnostic

Place = tuple[str | int, ...]
Fields = frozenset[str]

SCHEMA = "SCHEMA_VALIDATION_FAILED"

OF_MACHINE: Fields = frozenset({"Comment", "StartAt", "States", "QueryLanguage", "TimeoutSeconds", "Version"})
_OF_BRANCH = OF_MACHINE
# Measured: an ItemProcessor and an Iterator may not name a query language; their states inherit the machine's.
_OF_PROCESSOR = OF_MACHINE - {"QueryLanguage"} | {"ProcessorConfig"}

_EVERY: Fields = frozenset({"Type", "Comment", "QueryLanguage"})
_FLOW: Fields = frozenset({"Next", "End", "Assign"})
_BOTH: Mapping[str, Fields] = {
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
_IO: Fields = frozenset({"InputPath", "OutputPath"})
_RESULT: Fields = frozenset({"Parameters", "ResultSelector", "ResultPath"})
_JSONPATH: Mapping[str, Fields] = {
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
_JSONATA: Mapping[str, Fields] = {
    "Task": frozenset({"Arguments", "Output"}),
    "Pass": frozenset({"Output"}),
    "Wait": frozenset({"Output"}),
    "Choice": frozenset({"Output"}),
    "Succeed": frozenset({"Output"}),
    "Fail": frozenset(),
    "Parallel": frozenset({"Arguments", "Output"}),
    "Map": frozenset({"Items", "Output"}),
}

OPERATORS: Fields = frozenset(
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

# Objects below a state: (fields of both languages, JSONPath's own, JSONata's own).
_RETRIER = (
    frozenset(
        {
            *("ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy"),
            "Comment",
        }
    ),
    frozenset[str](),
    frozenset[str](),
)
_CATCHER = (
    frozenset({"ErrorEquals", "Next", "Assign", "Comment"}),
    frozenset({"ResultPath"}),
    frozenset({"Output"}),
)
_RULE = (
    frozenset({"Next", "Assign", "Comment"}),
    OPERATORS | {"Variable", "And", "Or", "Not"},
    frozenset({"Condition", "Output"}),
)
_READER = (
    frozenset({"Resource", "ReaderConfig", "Comment"}),
    frozenset({"Parameters"}),
    frozenset({"Arguments"}),
)
_READING = (
    frozenset(
        {
            *("InputType", "CSVHeaderLocation", "CSVHeaders", "CSVDelimiter", "MaxItems", "ManifestType"),
            *("Transformation", "ItemsPointer", "Comment"),
        }
    ),
    frozenset({"MaxItemsPath"}),
    frozenset[str](),
)
_BATCHER = (
    frozenset({"MaxItemsPerBatch", "MaxInputBytesPerBatch", "BatchInput", "Comment"}),
    frozenset({"MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"}),
    frozenset[str](),
)
_WRITER = (
    frozenset({"Resource", "WriterConfig", "Comment"}),
    frozenset({"Parameters"}),
    frozenset({"Arguments"}),
)
_TESTED: Fields = OPERATORS | {"Variable", "And", "Or", "Not", "Comment"}
"""What a test inside And, Or or Not may have."""
_LISTS: Mapping[str, tuple[Fields, Fields, Fields]] = {"Retry": _RETRIER, "Catch": _CATCHER, "Choices": _RULE}
_OBJECTS: Mapping[str, tuple[Fields, Fields, Fields]] = {
    "ItemReader": _READER,
    "ItemBatcher": _BATCHER,
    "ResultWriter": _WRITER,
}

_EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("TimeoutSeconds", "TimeoutSecondsPath"),
    ("HeartbeatSeconds", "HeartbeatSecondsPath"),
    ("Seconds", "Timestamp", "SecondsPath", "TimestampPath"),
    ("Error", "ErrorPath"),
    ("Cause", "CausePath"),
    ("ItemProcessor", "Iterator"),
    ("ItemSelector", "Parameters"),
    ("MaxConcurrency", "MaxConcurrencyPath"),
    ("ToleratedFailureCount", "ToleratedFailureCountPath"),
    ("ToleratedFailurePercentage", "ToleratedFailurePercentagePath"),
    ("MaxItems", "MaxItemsPath"),
    ("MaxItemsPerBatch", "MaxItemsPerBatchPath"),
    ("MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"),
)


def check(document: Mapping[str, Json]) -> Iterator[Diagnostic]:
    """All findings about the fields of a definition."""
    speaks = str(document.get("QueryLanguage", "JSONPath"))
    yield from _machine(document, (), speaks, OF_MACHINE)


def _machine(document: Mapping[str, Json], at: Place, speaks: str, known: Fields) -> Iterator[Diagnostic]:
    yield from _unknown(document, at, known)
    states = document.get("States")
    for name, state in states.items() if isinstance(states, dict) else ():
        if isinstance(state, dict):
            yield from _state(state, (*at, "States", name), speaks)


def _state(state: dict[str, Json], at: Place, inherited: str) -> Iterator[Diagnostic]:
    kind, speaks = state.get("Type"), str(state.get("QueryLanguage", inherited))
    if not isinstance(kind, str) or kind not in _BOTH:
        return
    if inherited == "JSONata" and speaks == "JSONPath":
        message = "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
        yield Diagnostic(SCHEMA, message, at=at)
        return
    yield from _spoken(state, at, speaks, (_EVERY | _BOTH[kind], _JSONPATH[kind], _JSONATA[kind]))
    yield from _exclusive(state, at)
    yield from _below(state, at, kind, speaks)
    for place, nested, known in _inner(state):
        yield from _machine(nested, (*at, *place), inherited, known)


def _below(state: dict[str, Json], at: Place, kind: str, speaks: str) -> Iterator[Diagnostic]:
    """The objects inside a state that are no machines."""
    for key, known in _LISTS.items():
        entries = state.get(key)
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                yield from _spoken(entry, (*at, key, index), speaks, known)
                yield from _tests(entry, (*at, key, index))
    if kind != "Map":
        return
    for key, known in _OBJECTS.items():
        value = state.get(key)
        if not isinstance(value, dict):
            continue
        yield from _spoken(value, (*at, key), speaks, known)
        yield from _exclusive(value, (*at, key))
        config = value.get("ReaderConfig")
        if key == "ItemReader" and isinstance(config, dict):
            yield from _spoken(config, (*at, key, "ReaderConfig"), speaks, _READING)
            yield from _exclusive(config, (*at, key, "ReaderConfig"))


def _tests(test: dict[str, Json], at: Place) -> Iterator[Diagnostic]:
    """The tests inside And, Or and Not."""
    inside: list[tuple[Place, Json]] = [(("Not",), test.get("Not"))]
    for key in ("And", "Or"):
        entries = test.get(key)
        inside += [((key, index), entry) for index, entry in enumerate(entries if isinstance(entries, list) else ())]
    for place, entry in inside:
        if isinstance(entry, dict):
            yield from _unknown(entry, (*at, *place), _TESTED)
            yield from _tests(entry, (*at, *place))


def _inner(state: dict[str, Json]) -> Iterator[tuple[Place, dict[str, Json], Fields]]:
    branches = state.get("Branches")
    for index, branch in enumerate(branches if isinstance(branches, list) else ()):
        if isinstance(branch, dict):
            yield ("Branches", index), branch, _OF_BRANCH
    for key in ("ItemProcessor", "Iterator"):
        processor = state.get(key)
        if isinstance(processor, dict):
            yield (key,), processor, _OF_PROCESSOR


def _unknown(document: Mapping[str, Json], at: Place, known: Fields) -> Iterator[Diagnostic]:
    for key in document:
        if key not in known:
            yield Diagnostic(SCHEMA, f"Field '{key}' is not supported", at=at)


def _spoken(
    document: Mapping[str, Json], at: Place, speaks: str, known: tuple[Fields, Fields, Fields]
) -> Iterator[Diagnostic]:
    """Fields that nobody knows, or only the other query language."""
    both, jsonpath, jsonata = known
    own, other, its = (jsonpath, jsonata, "JSONata") if speaks == "JSONPath" else (jsonata, jsonpath, "JSONPath")
    for key in document:
        if key in both or key in own:
            continue
        if key in other:
            message = (
                f"The QueryLanguage is set to '{speaks}', but field '{key}' is only supported for the '{its}' "
                "QueryLanguage"
            )
            yield Diagnostic(SCHEMA, message, at=at)
        else:
            yield Diagnostic(SCHEMA, f"Field '{key}' is not supported", at=at)


def _exclusive(document: Mapping[str, Json], at: Place) -> Iterator[Diagnostic]:
    for fields in _EXCLUSIVE:
        if sum(key in document for key in fields) > 1:
            message = f"There should only be one of the following fields: [{', '.join(fields)}]"
            yield Diagnostic(SCHEMA, message, at=at)
