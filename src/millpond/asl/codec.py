"""Between Amazon States Language as JSON and the model: `from_json` and `to_json`.

Decoding collects every finding with its JSON path before it gives up; what comes out is well-formed. Whether it also
makes sense (targets exist, resources are known, paths parse) is `check`'s question. Encoding writes keys in one fixed,
readable order and leaves out whatever has AWS's default value, so that equal machines give equal text.

May import: millpond.errors, asl.model, asl.fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar, assert_never, cast

from millpond.asl.fields import OPERATORS
from millpond.asl.model import (
    ABSENT,
    Absent,
    And,
    Catcher,
    Choice,
    Comparison,
    Fail,
    ItemBatcher,
    ItemReader,
    Json,
    Machine,
    Map,
    Not,
    Or,
    Parallel,
    Pass,
    QueryLanguage,
    ReaderConfig,
    ResultWriter,
    Retrier,
    Rule,
    State,
    Succeed,
    Task,
    Test,
    Wait,
    WriterConfig,
)
from millpond.errors import DefinitionError, Diagnostic

Place = tuple[str | int, ...]
T = TypeVar("T")

SCHEMA = "SCHEMA_VALIDATION_FAILED"
STATE_TYPES = ("Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map")


def from_json(document: str | bytes | Mapping[str, Json]) -> Machine:
    """The machine of a definition. Raises DefinitionError, whose `diagnostics` name every misshapen field."""
    if isinstance(document, str | bytes):
        document = parse(document)
    found: list[Diagnostic] = []
    machine = _machine(_Fields(dict(document), (), found))
    if found:
        raise DefinitionError(_summary(found), tuple(found))
    return machine


def parse(text: str | bytes) -> dict[str, Json]:
    """A definition's JSON object. Raises DefinitionError when the text is not JSON or not an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal("INVALID_JSON_DESCRIPTION", f"Definition is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise _refusal(SCHEMA, "Definition must be a valid JSON object")
    return value


def _refusal(code: str, message: str) -> DefinitionError:
    return DefinitionError(f"{code}: {message}", (Diagnostic(code, message),))


def _summary(found: Sequence[Diagnostic]) -> str:
    return ", ".join(f"{d.code}: {d.message} at {d.location or '/'}" for d in found)


# ------------------------------------------------------------------------------------------------------------- decoding


class _Fields:
    """One JSON object being read: typed look-ups that note what is wrong and go on with a harmless value."""

    def __init__(
        self,
        document: dict[str, Json],
        at: Place,
        found: list[Diagnostic],
        inherited: str = "JSONPath",
        speaks: str | None = None,
    ) -> None:
        self.document, self.at, self.found = document, at, found
        # The query language of the machine around, which nested machines take over, and of the state that this is of.
        self.inherited, self.speaks = inherited, speaks or inherited

    def below(self, document: dict[str, Json], *at: str | int) -> _Fields:
        """An object inside this one."""
        return _Fields(document, (*self.at, *at), self.found, self.inherited, self.speaks)

    def __contains__(self, key: str) -> bool:
        return key in self.document

    def wrong(self, key: str, message: str) -> None:
        self.found.append(Diagnostic(SCHEMA, message, at=(*self.at, key) if key else self.at))

    def need(self, *keys: str) -> None:
        """Note which of the fields that must be there are not, in AWS's one sentence for an object."""
        if missing := [key for key in keys if key not in self.document]:
            self.wrong("", f"These fields are required: [{', '.join(missing)}]")

    def _get(self, key: str, kinds: tuple[type, ...], kind: str) -> Json:
        if key not in self.document:
            return None
        value = self.document[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            self.wrong(key, f"Expected value of type {kind}")
            return None
        return value

    def text(self, key: str) -> str | None:
        return cast("str | None", self._get(key, (str,), "String"))

    def path(self, key: str) -> str | None:
        """A path that is `"$"` when absent and may be null."""
        if self.document.get(key, "$") is None:
            return None
        found = self.text(key)
        return "$" if found is None else found

    def integer(self, key: str) -> int | None:
        return cast("int | None", self._get(key, (int,), "Integer"))

    def computed(self, key: str) -> int | str | None:
        """An integer, or a JSONata expression for one."""
        return cast("int | str | None", self._number(key, (int,), "Integer"))

    def computed_number(self, key: str) -> float | str | None:
        """A number, or a JSONata expression for one."""
        return cast("float | str | None", self._number(key, (int, float), "Number"))

    def _number(self, key: str, kinds: tuple[type, ...], kind: str) -> Json:
        value = self.document.get(key)
        if self.speaks == "JSONata" and _is_expression(value):
            return value
        return self._get(key, kinds, kind)

    def number(self, key: str) -> float | None:
        return cast("float | None", self._get(key, (int, float), "Number"))

    def one_of(self, key: str, values: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in values:
            self.wrong(key, f"The field '{key}' should have one of these values: [{', '.join(values)}]")
            return None
        return value

    def any(self, *keys: str) -> Json | Absent:
        """Any JSON; the first of `keys` that is there."""
        for key in keys:
            if key in self.document:
                return self.document[key]
        return ABSENT

    def object(self, key: str) -> dict[str, Json] | None:
        return cast("dict[str, Json] | None", self._get(key, (dict,), "Object"))

    def fields(self, key: str) -> _Fields:
        return self.below(self.object(key) or {}, key)

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._get(key, (list,), "Array")
        if not isinstance(value, list):
            return None
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.found.append(Diagnostic(SCHEMA, "Expected value of type String", at=(*self.at, key, index)))
        return tuple(item for item in value if isinstance(item, str))

    def each(self, key: str, decode: Callable[[_Fields], T]) -> tuple[T, ...]:
        """Every object of an array, decoded."""
        value = self._get(key, (list,), "Array")
        decoded: list[T] = []
        for index, item in enumerate(value if isinstance(value, list) else []):
            at = (*self.at, key, index)
            if isinstance(item, dict):
                decoded.append(decode(self.below(item, key, index)))
            else:
                self.found.append(Diagnostic(SCHEMA, "Expected value of type Object", at=at))
        return tuple(decoded)

    def language(self) -> QueryLanguage | None:
        return cast("QueryLanguage | None", self.one_of("QueryLanguage", ("JSONPath", "JSONata")))


def _is_expression(value: object) -> bool:
    """JSONata between its delimiters?"""
    return isinstance(value, str) and value.startswith("{%") and value.endswith("%}")


def _machine(at: _Fields) -> Machine:
    at.need("States", "StartAt")
    states: dict[str, State] = {}
    language = at.language()
    under = at.fields("States") if "States" in at else at.below({})
    speaks = language or at.inherited
    for name, value in under.document.items():
        if isinstance(value, dict):
            own = str(value.get("QueryLanguage", speaks))
            state = _state(_Fields(value, (*under.at, name), at.found, speaks, own))
            if state is not None:
                states[name] = state
        else:
            under.wrong(name, "Expected value of type Object")
    return Machine(
        start_at=at.text("StartAt") or "",
        states=states,
        comment=at.text("Comment"),
        query_language=language,
        timeout_seconds=at.integer("TimeoutSeconds"),
        version=at.text("Version"),
    )


def _state(at: _Fields) -> State | None:
    at.need("Type")
    kind = at.text("Type")
    if kind is not None and kind not in STATE_TYPES:
        at.wrong("Type", f"The field 'Type' should have one of these values: [{', '.join(STATE_TYPES)}]")
    decode = _DECODERS.get(kind or "")
    return decode(at) if decode else None


def _next(at: _Fields) -> str | None:
    end, following = at.document.get("End"), at.text("Next")
    if "End" in at and not isinstance(end, bool):
        at.wrong("End", "Expected value of type Boolean")
    elif following is not None and end is True:
        at.wrong("", "There should only be one of the following fields: [Next, End]")
    elif "Next" not in at and end is not True:
        at.wrong("", "These fields are required: [Next] or [End]")
    return following


def _task(at: _Fields) -> Task:
    at.need("Resource")
    return Task(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        next=_next(at),
        assign=at.object("Assign"),
        result_selector=at.any("ResultSelector"),
        result_path=at.path("ResultPath"),
        retry=at.each("Retry", _retrier),
        catch=at.each("Catch", _catcher),
        resource=at.text("Resource") or "",
        arguments=at.any("Arguments"),
        parameters=at.any("Parameters"),
        timeout_seconds=at.computed("TimeoutSeconds"),
        timeout_seconds_path=at.text("TimeoutSecondsPath"),
        heartbeat_seconds=at.computed("HeartbeatSeconds"),
        heartbeat_seconds_path=at.text("HeartbeatSecondsPath"),
        credentials=at.any("Credentials"),
    )


def _pass(at: _Fields) -> Pass:
    return Pass(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        next=_next(at),
        assign=at.object("Assign"),
        result=at.any("Result"),
        parameters=at.any("Parameters"),
        result_path=at.path("ResultPath"),
    )


def _choice(at: _Fields) -> Choice:
    at.need("Choices")
    return Choice(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        rules=at.each("Choices", _rule),
        default=at.text("Default"),
        assign=at.object("Assign"),
    )


def _wait(at: _Fields) -> Wait:
    ways = ("Seconds", "Timestamp", "SecondsPath", "TimestampPath")
    if not any(way in at for way in ways):
        at.wrong("", f"One of these fields is required: [{', '.join(ways)}]")
    return Wait(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        next=_next(at),
        assign=at.object("Assign"),
        seconds=at.computed("Seconds"),
        timestamp=at.text("Timestamp"),
        seconds_path=at.text("SecondsPath"),
        timestamp_path=at.text("TimestampPath"),
    )


def _parallel(at: _Fields) -> Parallel:
    at.need("Branches")
    return Parallel(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        next=_next(at),
        assign=at.object("Assign"),
        result_selector=at.any("ResultSelector"),
        result_path=at.path("ResultPath"),
        retry=at.each("Retry", _retrier),
        catch=at.each("Catch", _catcher),
        branches=at.each("Branches", _machine),
        arguments=at.any("Arguments"),
        parameters=at.any("Parameters"),
    )


def _map(at: _Fields) -> Map:
    processor = "Iterator" if "Iterator" in at and "ItemProcessor" not in at else "ItemProcessor"
    if processor not in at:
        at.need("ItemProcessor")
        inner = at.below({"StartAt": "", "States": {}})
    else:
        inner = at.fields(processor)
    how = inner.fields("ProcessorConfig") if "ProcessorConfig" in inner else at.below({})
    return Map(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
        next=_next(at),
        assign=at.object("Assign"),
        result_selector=at.any("ResultSelector"),
        result_path=at.path("ResultPath"),
        retry=at.each("Retry", _retrier),
        catch=at.each("Catch", _catcher),
        processor=_machine(inner),
        mode=cast("Literal['INLINE', 'DISTRIBUTED']", how.one_of("Mode", ("INLINE", "DISTRIBUTED")) or "INLINE"),
        execution_type=cast(
            "Literal['STANDARD', 'EXPRESS'] | None", how.one_of("ExecutionType", ("STANDARD", "EXPRESS"))
        ),
        items=at.any("Items"),
        items_path=at.text("ItemsPath"),
        item_selector=at.any("ItemSelector", "Parameters"),
        item_reader=_item_reader(at.fields("ItemReader")) if "ItemReader" in at else None,
        item_batcher=_item_batcher(at.fields("ItemBatcher")) if "ItemBatcher" in at else None,
        result_writer=_result_writer(at.fields("ResultWriter")) if "ResultWriter" in at else None,
        max_concurrency=at.computed("MaxConcurrency"),
        max_concurrency_path=at.text("MaxConcurrencyPath"),
        tolerated_failure_count=at.computed("ToleratedFailureCount"),
        tolerated_failure_count_path=at.text("ToleratedFailureCountPath"),
        tolerated_failure_percentage=at.computed_number("ToleratedFailurePercentage"),
        tolerated_failure_percentage_path=at.text("ToleratedFailurePercentagePath"),
        label=at.text("Label"),
    )


def _succeed(at: _Fields) -> Succeed:
    return Succeed(
        comment=at.text("Comment"),
        query_language=at.language(),
        input_path=at.path("InputPath"),
        output_path=at.path("OutputPath"),
        output=at.any("Output"),
    )


def _fail(at: _Fields) -> Fail:
    return Fail(
        comment=at.text("Comment"),
        query_language=at.language(),
        error=at.text("Error"),
        cause=at.text("Cause"),
        error_path=at.text("ErrorPath"),
        cause_path=at.text("CausePath"),
    )


_DECODERS: Mapping[str, Callable[[_Fields], State]] = {
    "Task": _task,
    "Wait": _wait,
    "Pass": _pass,
    "Succeed": _succeed,
    "Fail": _fail,
    "Choice": _choice,
    "Parallel": _parallel,
    "Map": _map,
}


def _retrier(at: _Fields) -> Retrier:
    at.need("ErrorEquals")
    interval, attempts, rate = at.integer("IntervalSeconds"), at.integer("MaxAttempts"), at.number("BackoffRate")
    return Retrier(
        error_equals=at.texts("ErrorEquals") or (),
        interval_seconds=1 if interval is None else interval,
        max_attempts=3 if attempts is None else attempts,
        backoff_rate=2.0 if rate is None else rate,
        max_delay_seconds=at.integer("MaxDelaySeconds"),
        jitter_strategy=cast("Literal['NONE', 'FULL']", at.one_of("JitterStrategy", ("NONE", "FULL")) or "NONE"),
        comment=at.text("Comment"),
    )


def _catcher(at: _Fields) -> Catcher:
    at.need("ErrorEquals", "Next")
    return Catcher(
        error_equals=at.texts("ErrorEquals") or (),
        next=at.text("Next") or "",
        result_path=at.path("ResultPath"),
        output=at.any("Output"),
        assign=at.object("Assign"),
        comment=at.text("Comment"),
    )


def _rule(at: _Fields) -> Rule:
    of_jsonata = at.speaks == "JSONata"
    condition = at.document.get("Condition")
    known = isinstance(condition, bool) or (_is_expression(condition) if of_jsonata else isinstance(condition, str))
    if "Condition" in at and not known:
        at.wrong("Condition", "Expected value of type Boolean")
    at.need(*(("Condition", "Next") if of_jsonata else ("Next",)))
    return Rule(
        next=at.text("Next") or "",
        test=None if of_jsonata or "Condition" in at else _test(at),
        condition=condition if isinstance(condition, str | bool) else None,
        assign=at.object("Assign"),
        output=at.any("Output"),
        comment=at.text("Comment"),
    )


def _test(at: _Fields) -> Test:
    if "And" in at:
        return And(at.each("And", _test))
    if "Or" in at:
        return Or(at.each("Or", _test))
    if "Not" in at:
        return Not(_test(at.fields("Not")))
    operators = [key for key in at.document if key in OPERATORS]
    if len(operators) != 1:
        at.wrong("", "Exactly one comparison operator is required")
    operator = operators[0] if operators else ""
    at.need("Variable")
    return Comparison(variable=at.text("Variable") or "", operator=operator, value=at.document.get(operator))


def _item_reader(at: _Fields) -> ItemReader:
    how = at.fields("ReaderConfig")
    config = ReaderConfig(
        input_type=how.text("InputType"),
        transformation=how.text("Transformation"),
        csv_header_location=how.text("CSVHeaderLocation"),
        csv_headers=how.texts("CSVHeaders"),
        csv_delimiter=how.text("CSVDelimiter"),
        max_items=how.computed("MaxItems"),
        max_items_path=how.text("MaxItemsPath"),
        items_pointer=how.text("ItemsPointer"),
        manifest_type=how.text("ManifestType"),
    )
    at.need("Resource")
    return ItemReader(
        resource=at.text("Resource") or "",
        arguments=at.any("Arguments"),
        parameters=at.any("Parameters"),
        config=config if "ReaderConfig" in at else None,
    )


def _item_batcher(at: _Fields) -> ItemBatcher:
    return ItemBatcher(
        max_items_per_batch=at.computed("MaxItemsPerBatch"),
        max_items_per_batch_path=at.text("MaxItemsPerBatchPath"),
        max_input_bytes_per_batch=at.computed("MaxInputBytesPerBatch"),
        max_input_bytes_per_batch_path=at.text("MaxInputBytesPerBatchPath"),
        batch_input=at.any("BatchInput"),
    )


def _result_writer(at: _Fields) -> ResultWriter:
    how = at.fields("WriterConfig")
    config = WriterConfig(transformation=how.text("Transformation"), output_type=how.text("OutputType"))
    return ResultWriter(
        resource=at.text("Resource"),
        arguments=at.any("Arguments"),
        parameters=at.any("Parameters"),
        config=config if "WriterConfig" in at else None,
    )


# ------------------------------------------------------------------------------------------------------------- encoding

_Written: TypeAlias = "Json | Absent"
_Pairs: TypeAlias = "Sequence[tuple[str, _Written]]"


def to_json(machine: Machine) -> dict[str, Json]:
    """The definition of a machine, keys in a stable, readable order, defaults left out."""
    return _object(_machine_pairs(machine))


def _object(pairs: _Pairs) -> dict[str, Json]:
    return {key: value for key, value in pairs if value is not ABSENT}


def _some(value: Json) -> _Written:
    """None means that the field is not there."""
    return ABSENT if value is None else value


def _unless(value: Json, default: Json) -> _Written:
    return ABSENT if value == default else value


def _mapping(value: Mapping[str, Json] | None) -> _Written:
    return ABSENT if value is None else dict(value)


def _listed(values: Sequence[str] | None) -> _Written:
    return ABSENT if values is None else list(values)


def _machine_pairs(machine: Machine) -> _Pairs:
    return (
        ("Comment", _some(machine.comment)),
        ("Version", _some(machine.version)),
        ("QueryLanguage", _some(machine.query_language)),
        ("TimeoutSeconds", _some(machine.timeout_seconds)),
        ("StartAt", machine.start_at),
        ("States", {name: state_to_json(state) for name, state in machine.states.items()}),
    )


def state_to_json(state: State) -> dict[str, Json]:
    """One state, as it stands under `States`."""
    head: _Pairs = (
        ("Type", type(state).__name__),
        ("Comment", _some(state.comment)),
        ("QueryLanguage", _some(state.query_language)),
    )
    return _object((*head, *_body(state)))


def _body(state: State) -> _Pairs:
    match state:
        case Task():
            return (*_incoming(state), *_task_pairs(state), *_working(state), *_going(state))
        case Pass():
            own: _Pairs = (("Parameters", state.parameters), ("Result", state.result))
            return (
                *_incoming(state),
                *own,
                ("ResultPath", _unless(state.result_path, "$")),
                *_outgoing(state),
                *_going(state),
            )
        case Choice():
            return (
                *_incoming(state),
                ("Choices", [_rule_json(rule) for rule in state.rules]),
                ("Default", _some(state.default)),
                *_outgoing(state),
                ("Assign", _mapping(state.assign)),
            )
        case Wait():
            return (*_incoming(state), *_wait_pairs(state), *_outgoing(state), *_going(state))
        case Parallel():
            branches: list[Json] = [to_json(branch) for branch in state.branches]
            called: _Pairs = (("Arguments", state.arguments), ("Parameters", state.parameters))
            return (*_incoming(state), *called, ("Branches", branches), *_working(state), *_going(state))
        case Map():
            return (*_incoming(state), *_map_pairs(state), *_working(state), *_going(state))
        case Succeed():
            return (*_incoming(state), *_outgoing(state))
        case Fail():
            return (
                ("Error", _some(state.error)),
                ("ErrorPath", _some(state.error_path)),
                ("Cause", _some(state.cause)),
                ("CausePath", _some(state.cause_path)),
            )
        case _:
            assert_never(state)


def _incoming(state: Task | Pass | Choice | Wait | Parallel | Map | Succeed) -> _Pairs:
    return (("InputPath", _unless(state.input_path, "$")),)


def _outgoing(state: Task | Pass | Choice | Wait | Parallel | Map | Succeed) -> _Pairs:
    return (("OutputPath", _unless(state.output_path, "$")), ("Output", state.output))


def _going(state: Task | Pass | Wait | Parallel | Map) -> _Pairs:
    following: _Pairs = (("End", True),) if state.next is None else (("Next", state.next),)
    return (("Assign", _mapping(state.assign)), *following)


def _working(state: Task | Parallel | Map) -> _Pairs:
    return (
        ("ResultSelector", state.result_selector),
        ("ResultPath", _unless(state.result_path, "$")),
        *_outgoing(state),
        ("Retry", [_retrier_json(entry) for entry in state.retry] or ABSENT),
        ("Catch", [_catcher_json(entry) for entry in state.catch] or ABSENT),
    )


def _task_pairs(state: Task) -> _Pairs:
    return (
        ("Resource", state.resource),
        ("Arguments", state.arguments),
        ("Parameters", state.parameters),
        ("Credentials", state.credentials),
        ("TimeoutSeconds", _some(state.timeout_seconds)),
        ("TimeoutSecondsPath", _some(state.timeout_seconds_path)),
        ("HeartbeatSeconds", _some(state.heartbeat_seconds)),
        ("HeartbeatSecondsPath", _some(state.heartbeat_seconds_path)),
    )


def _wait_pairs(state: Wait) -> _Pairs:
    return (
        ("Seconds", _some(state.seconds)),
        ("Timestamp", _some(state.timestamp)),
        ("SecondsPath", _some(state.seconds_path)),
        ("TimestampPath", _some(state.timestamp_path)),
    )


def _map_pairs(state: Map) -> _Pairs:
    reader, batcher, writer = state.item_reader, state.item_batcher, state.result_writer
    return (
        ("Items", state.items),
        ("ItemsPath", _some(state.items_path)),
        ("ItemReader", _item_reader_json(reader) if reader else ABSENT),
        ("ItemSelector", state.item_selector),
        ("ItemBatcher", _item_batcher_json(batcher) if batcher else ABSENT),
        ("MaxConcurrency", _some(state.max_concurrency)),
        ("MaxConcurrencyPath", _some(state.max_concurrency_path)),
        ("ToleratedFailureCount", _some(state.tolerated_failure_count)),
        ("ToleratedFailureCountPath", _some(state.tolerated_failure_count_path)),
        ("ToleratedFailurePercentage", _some(state.tolerated_failure_percentage)),
        ("ToleratedFailurePercentagePath", _some(state.tolerated_failure_percentage_path)),
        ("Label", _some(state.label)),
        ("ItemProcessor", _processor_json(state)),
        ("ResultWriter", _result_writer_json(writer) if writer else ABSENT),
    )


def _processor_json(state: Map) -> Json:
    config: dict[str, Json] = {}
    if state.mode != "INLINE" or state.execution_type:
        config = _object((("Mode", state.mode), ("ExecutionType", _some(state.execution_type))))
    return _object((("ProcessorConfig", config or ABSENT), *_machine_pairs(state.processor)))


def _retrier_json(entry: Retrier) -> Json:
    return _object(
        (
            ("Comment", _some(entry.comment)),
            ("ErrorEquals", list(entry.error_equals)),
            ("IntervalSeconds", _unless(entry.interval_seconds, 1)),
            ("MaxAttempts", _unless(entry.max_attempts, 3)),
            ("BackoffRate", _unless(entry.backoff_rate, 2.0)),
            ("MaxDelaySeconds", _some(entry.max_delay_seconds)),
            ("JitterStrategy", _unless(entry.jitter_strategy, "NONE")),
        )
    )


def _catcher_json(entry: Catcher) -> Json:
    return _object(
        (
            ("Comment", _some(entry.comment)),
            ("ErrorEquals", list(entry.error_equals)),
            ("ResultPath", _unless(entry.result_path, "$")),
            ("Output", entry.output),
            ("Assign", _mapping(entry.assign)),
            ("Next", entry.next),
        )
    )


def _rule_json(rule: Rule) -> Json:
    test: _Pairs = tuple(_test_json(rule.test).items()) if rule.test is not None else ()
    return _object(
        (
            ("Comment", _some(rule.comment)),
            ("Condition", _some(rule.condition)),
            *test,
            ("Output", rule.output),
            ("Assign", _mapping(rule.assign)),
            ("Next", rule.next),
        )
    )


def _test_json(test: Test) -> dict[str, Json]:
    match test:
        case And():
            return {"And": [_test_json(part) for part in test.tests]}
        case Or():
            return {"Or": [_test_json(part) for part in test.tests]}
        case Not():
            return {"Not": _test_json(test.test)}
        case Comparison():
            return {"Variable": test.variable, test.operator: test.value}
        case _:
            assert_never(test)


def _item_reader_json(reader: ItemReader) -> Json:
    how = reader.config or ReaderConfig()
    config = _object(
        (
            ("InputType", _some(how.input_type)),
            ("Transformation", _some(how.transformation)),
            ("CSVHeaderLocation", _some(how.csv_header_location)),
            ("CSVHeaders", _listed(how.csv_headers)),
            ("CSVDelimiter", _some(how.csv_delimiter)),
            ("ItemsPointer", _some(how.items_pointer)),
            ("ManifestType", _some(how.manifest_type)),
            ("MaxItems", _some(how.max_items)),
            ("MaxItemsPath", _some(how.max_items_path)),
        )
    )
    return _object(
        (
            ("Resource", reader.resource),
            ("ReaderConfig", config or ABSENT),
            ("Arguments", reader.arguments),
            ("Parameters", reader.parameters),
        )
    )


def _item_batcher_json(batcher: ItemBatcher) -> Json:
    return _object(
        (
            ("MaxItemsPerBatch", _some(batcher.max_items_per_batch)),
            ("MaxItemsPerBatchPath", _some(batcher.max_items_per_batch_path)),
            ("MaxInputBytesPerBatch", _some(batcher.max_input_bytes_per_batch)),
            ("MaxInputBytesPerBatchPath", _some(batcher.max_input_bytes_per_batch_path)),
            ("BatchInput", batcher.batch_input),
        )
    )


def _result_writer_json(writer: ResultWriter) -> Json:
    how = writer.config or WriterConfig()
    config = _object((("OutputType", _some(how.output_type)), ("Transformation", _some(how.transformation))))
    return _object(
        (
            ("Resource", _some(writer.resource)),
            ("WriterConfig", config or ABSENT),
            ("Arguments", writer.arguments),
            ("Parameters", writer.parameters),
        )
    )
