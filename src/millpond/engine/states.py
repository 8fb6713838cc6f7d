"""Compiles a machine: each state becomes a `Node` of closures, once; running it never looks at the model again.

JSONPath states: raw input -> InputPath -> Parameters -> (work) -> ResultSelector -> ResultPath into the raw input ->
OutputPath; Assign sees the result, before ResultSelector. JSONata states: Arguments -> (work) -> Output and Assign,
which see `$states`.
Fields that a state does not have cost nothing: a plain Pass hands on the very object that it got.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, assert_never, cast

from millpond.asl import jsonata, paths
from millpond.asl.model import (
    ABSENT,
    Absent,
    Catcher,
    Choice,
    Fail,
    Json,
    Machine,
    Map,
    Parallel,
    Pass,
    QueryLanguage,
    Rule,
    State,
    Succeed,
    Task,
    Wait,
    language,
)
from millpond.asl.paths import Compiled, PathNotFound
from millpond.engine.choice import compile_test, parse_timestamp
from millpond.engine.distributed import distribute, plan
from millpond.engine.failure import NO_CHOICE, QUERY, StateFailed, runtime
from millpond.engine.fields import (
    LONGEST_WAIT,
    assigning,
    effective,
    expression,
    input_path,
    long,
    output_path,
    template,
    whole,
)
from millpond.engine.maps import inline, item_selector, together
from millpond.engine.node import Call, Decision, Delay, Exit, Node, Program

if TYPE_CHECKING:
    from millpond.engine.frame import Frame

Work = Callable[["Frame"], Decision]
Finish = Callable[["Frame", Json], Exit]
Named = Mapping[str, Node]


def compile_machine(machine: Machine, inherited: QueryLanguage | None = None) -> Program:
    """Compile a machine that `check` has accepted. Raises PathSyntaxError for an expression that has no meaning."""
    nodes: dict[str, Node] = {}
    spoken = machine.query_language or inherited
    for name, state in machine.states.items():
        nodes[name] = _compile(name, state, language(state, spoken), spoken, nodes)
    return Program(nodes[machine.start_at], nodes, machine.timeout_seconds)


def _compile(name: str, state: State, spoken: QueryLanguage, inherited: QueryLanguage | None, nodes: Named) -> Node:
    is_jsonata = spoken == "JSONata"
    kind = type(state).__name__
    work = _work(state, is_jsonata, nodes)
    finish: Finish = _unreachable
    if isinstance(state, Wait | Task | Parallel | Map):
        finish = _finisher(state, is_jsonata, nodes)
    node = Node(name, kind, f"{kind}StateEntered", f"{kind}StateExited", work, finish)
    if isinstance(state, Task | Parallel | Map):
        node.retry, node.catch = state.retry, state.catch
        node.catches = tuple(_catcher(catcher, is_jsonata, nodes) for catcher in state.catch)
    if isinstance(state, Parallel):
        node.programs = tuple(compile_machine(branch, inherited) for branch in state.branches)
    if isinstance(state, Map):
        node.programs = (compile_machine(state.processor, inherited),)
        if state.mode == "DISTRIBUTED":
            node.plan = plan(state, is_jsonata)
        else:
            node.selector = item_selector(state, is_jsonata)
    return node


def _work(state: State, is_jsonata: bool, nodes: Named) -> Work:
    match state:
        case Pass():
            return (_pass_jsonata if is_jsonata else _pass)(state, nodes)
        case Choice():
            return (_choice_jsonata if is_jsonata else _choice)(state, nodes)
        case Wait():
            return _wait(state, is_jsonata)
        case Succeed():
            return _succeed(state, is_jsonata)
        case Fail():
            return _fail(state, is_jsonata)
        case Task():
            return _task(state, is_jsonata)
        case Parallel():
            return together(state, is_jsonata)
        case Map():
            return (distribute if state.mode == "DISTRIBUTED" else inline)(state, is_jsonata)
        case _:
            assert_never(state)


def _unreachable(frame: Frame, result: Json) -> NoReturn:
    raise AssertionError(f"{frame.node.name} waits for nothing")


# ------------------------------------------------------------------------------------------------- parts of all states


def _target(name: str | None, nodes: Named) -> Callable[[], Node | None]:
    """The next node, looked up when it is wanted: it may not be compiled yet."""
    return (lambda: None) if name is None else (lambda: nodes[name])


def _finisher(state: Wait | Task | Parallel | Map, is_jsonata: bool, nodes: Named) -> Finish:
    if is_jsonata:
        return _finish_jsonata(state, nodes)
    if isinstance(state, Wait):
        return _finish_wait(state, nodes)
    return _finish(state, nodes)


def _finish(state: Task | Parallel | Map, nodes: Named) -> Finish:
    select, place = template(state.result_selector), paths.placing(state.result_path)
    output, assign, target = (
        output_path(state.output_path),
        assigning(state.assign, False),
        _target(state.next, nodes),
    )

    def finish(frame: Frame, result: Json) -> Exit:
        frame.input = result
        # AWS, "Passing data between states with variables": `$` in Assign is the API's or sub-workflow's result.
        assigned = assign(frame) if assign is not None else None
        if select is not None:
            result = select(frame)
        frame.input = shown = place(frame.raw, result)
        if output is not None:
            shown = output(frame)
        return Exit(shown, target(), assigned)

    return finish


def _finish_wait(state: Wait, nodes: Named) -> Finish:
    read, output = input_path(state.input_path), output_path(state.output_path)
    assign, target = assigning(state.assign, False), _target(state.next, nodes)

    def finish(frame: Frame, result: Json) -> Exit:
        shown = effective(frame, read)
        assigned = assign(frame) if assign is not None else None
        if output is not None:
            shown = output(frame)
        return Exit(shown, target(), assigned)

    return finish


def _finish_jsonata(state: Wait | Task | Parallel | Map, nodes: Named) -> Finish:
    output, assign, target = (
        expression(state.output, "Output"),
        assigning(state.assign, True),
        _target(state.next, nodes),
    )
    has_result = not isinstance(state, Wait)

    def finish(frame: Frame, result: Json) -> Exit:
        frame.input = frame.raw
        shown = frame.raw
        if has_result:
            frame.result = shown = result
        assigned = assign(frame) if assign is not None else None
        if output is not None:
            shown = output(frame)
        return Exit(shown, target(), assigned)

    return finish


def _catcher(catcher: Catcher, is_jsonata: bool, nodes: Named) -> Finish:
    """What a catcher makes of an error output. OutputPath does not apply."""
    shown = expression(catcher.output, "Output") if is_jsonata else None
    place = paths.placing("$" if is_jsonata else catcher.result_path)
    assign, following = assigning(catcher.assign, is_jsonata), catcher.next

    def caught(frame: Frame, error: Json) -> Exit:
        frame.input, frame.error_output = (frame.raw if is_jsonata else error), error
        assigned = assign(frame) if assign is not None else None
        output = shown(frame) if shown is not None else place(frame.raw, error)
        return Exit(output, nodes[following], assigned)

    return caught


# ------------------------------------------------------------------------------------------ Pass, Choice, Succeed, Fail


def _pass(state: Pass, nodes: Named) -> Work:
    read, output, parameters = (
        input_path(state.input_path),
        output_path(state.output_path),
        template(state.parameters),
    )
    fixed, place = state.result, paths.placing(state.result_path)
    assign, following = assigning(state.assign, False), state.next
    replaces = state.result_path == "$"
    if read is None and output is None and parameters is None and fixed is ABSENT and assign is None and replaces:
        return _hand_on(following, nodes)

    def work(frame: Frame) -> Exit:
        result = effective(frame, read)
        if parameters is not None:
            result = parameters(frame)
        if fixed is not ABSENT:
            result = fixed
        frame.input = result
        assigned = assign(frame) if assign is not None else None
        shown = result if replaces else place(frame.raw, result)
        if output is not None:
            frame.input = shown
            shown = output(frame)
        return Exit(shown, nodes[following] if following is not None else None, assigned)

    return work


def _hand_on(following: str | None, nodes: Named) -> Work:
    if following is None:
        return lambda frame: Exit(frame.raw, None)
    return lambda frame: Exit(frame.raw, nodes[following])


def _pass_jsonata(state: Pass, nodes: Named) -> Work:
    output, assign, following = expression(state.output, "Output"), assigning(state.assign, True), state.next
    if output is None and assign is None:
        return _hand_on(following, nodes)

    def work(frame: Frame) -> Exit:
        frame.input = frame.raw
        assigned = assign(frame) if assign is not None else None
        shown = output(frame) if output is not None else frame.raw
        return Exit(shown, nodes[following] if following is not None else None, assigned)

    return work


def _no_match() -> StateFailed:
    cause = "Failed to transition out of the state. The state does not point to a next state."
    return StateFailed(NO_CHOICE, cause, evaluated=True)


def _choice(state: Choice, nodes: Named) -> Work:
    read, output = input_path(state.input_path), output_path(state.output_path)
    rules = [(compile_test(rule.test), rule.next, assigning(rule.assign, False)) for rule in state.rules if rule.test]
    default, otherwise = state.default, assigning(state.assign, False)

    def work(frame: Frame) -> Exit:
        shown = effective(frame, read)
        following, assign = default, otherwise
        for holds, target, assigns in rules:
            if holds(frame):
                following, assign = target, assigns
                break
        if following is None:
            raise _no_match()
        assigned = assign(frame) if assign is not None else None
        if output is not None:
            shown = output(frame)
        return Exit(shown, nodes[following], assigned)

    return work


def _choice_jsonata(state: Choice, nodes: Named) -> Work:
    rules = [
        (_condition(rule, index), _going(rule.next, rule.assign, rule.output)) for index, rule in enumerate(state.rules)
    ]
    default = None if state.default is None else _going(state.default, state.assign, state.output)

    def work(frame: Frame) -> Exit:
        frame.input = frame.raw
        for holds, go in rules:
            if holds(frame):
                return go(frame, nodes)
        if default is None:
            raise _no_match()
        return default(frame, nodes)

    return work


def _condition(rule: Rule, index: int) -> Compiled:
    if isinstance(rule.condition, str):
        return jsonata.typed(rule.condition, f"Choices[{index}]/Condition", "boolean")
    constant = rule.condition
    return lambda scope: constant


def _going(following: str, assign: Mapping[str, Json] | None, output: Json | Absent) -> Callable[[Frame, Named], Exit]:
    shown, values = expression(output, "Output"), assigning(assign, True)

    def go(frame: Frame, nodes: Named) -> Exit:
        assigned = values(frame) if values is not None else None
        return Exit(shown(frame) if shown is not None else frame.raw, nodes[following], assigned)

    return go


def _succeed(state: Succeed, is_jsonata: bool) -> Work:
    if is_jsonata:
        shown = expression(state.output, "Output")

        def succeed(frame: Frame) -> Exit:
            frame.input = frame.raw
            return Exit(shown(frame) if shown is not None else frame.raw, None)

        return succeed
    read, output = input_path(state.input_path), output_path(state.output_path)

    def work(frame: Frame) -> Exit:
        value = effective(frame, read)
        return Exit(output(frame) if output is not None else value, None)

    return work


def _fail(state: Fail, is_jsonata: bool) -> Work:
    error = _words(state.error, state.error_path, "Error", is_jsonata)
    cause = _words(state.cause, state.cause_path, "Cause", is_jsonata)

    def work(frame: Frame) -> NoReturn:
        frame.input = frame.raw
        raise StateFailed(error(frame), cause(frame))

    return work


def _words(constant: str | None, path: str | None, field: str, is_jsonata: bool) -> Callable[[Frame], str | None]:
    """Reads a Fail state's Error or Cause."""
    if path is not None:
        return _words_at(paths.expression(path), f"{field}Path", path)
    if is_jsonata and constant is not None:
        read = jsonata.typed(constant, field, "string")
        return lambda frame: cast("str", read(frame))
    return lambda frame: constant


def _words_at(read: Compiled, field: str, path: str) -> Callable[[Frame], str]:
    def words(frame: Frame) -> str:
        try:
            value = read(frame)
        except PathNotFound as missing:
            raise missing.at_field(field, frame.input) from None
        if not isinstance(value, str):
            raise runtime(f"The {field} parameter does not reference a string value: {path} == {paths.compact(value)}")
        return value

    return words


# ----------------------------------------------------------------------------------------------------------------- Wait


def _wait(state: Wait, is_jsonata: bool) -> Work:
    read = None if is_jsonata else input_path(state.input_path)
    decide = _delay_jsonata(state) if is_jsonata else _delay(state)

    def work(frame: Frame) -> Delay:
        effective(frame, read)
        delay = decide(frame)
        seconds = delay.seconds if delay.until is None else delay.until - frame.run.clock.now()
        if seconds > LONGEST_WAIT:
            raise runtime("Wait state delay is too long.")
        return delay

    return work


def _delay(state: Wait) -> Callable[[Frame], Delay]:
    if state.seconds_path is not None:
        return _seconds_at(paths.path(state.seconds_path), state.seconds_path, "SecondsPath")
    if state.timestamp_path is not None:
        return _timestamp_at(paths.path(state.timestamp_path), state.timestamp_path)
    if state.timestamp is not None:
        return _until(state.timestamp)
    constant = Delay(float(state.seconds or 0))
    return lambda frame: constant


def _until(text: str) -> Callable[[Frame], Delay]:
    moment = parse_timestamp(text)

    def until(frame: Frame) -> Delay:
        if moment is None:
            wanted = "a valid ISO-8601 extended offset date-time format string"
            raise runtime(f"The Timestamp parameter does not reference {wanted}: {text}")
        return Delay(0.0, moment.timestamp())

    return until


def _seconds_at(read: Compiled, path: str, field: str) -> Callable[[Frame], Delay]:
    def seconds(frame: Frame) -> Delay:
        return Delay(float(long(read(frame), path, field)))

    return seconds


def _timestamp_at(read: Compiled, path: str) -> Callable[[Frame], Delay]:
    def timestamp(frame: Frame) -> Delay:
        value = read(frame)
        moment = parse_timestamp(value)
        if moment is None:
            shown = value if isinstance(value, str) else paths.compact(value)
            raise runtime(
                "The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format "
                f"string: {path} == {shown}"
            )
        return Delay(0.0, moment.timestamp())

    return timestamp


def _delay_jsonata(state: Wait) -> Callable[[Frame], Delay]:
    if state.timestamp is not None:
        return _timestamp_jsonata(jsonata.typed(state.timestamp, "Timestamp", "string"))
    if isinstance(state.seconds, str):
        return _seconds_jsonata(jsonata.typed(state.seconds, "Seconds", "number"))
    constant = Delay(float(state.seconds or 0))
    return lambda frame: constant


def _timestamp_jsonata(read: Compiled) -> Callable[[Frame], Delay]:
    def timestamp(frame: Frame) -> Delay:
        value = read(frame)
        moment = parse_timestamp(value)
        if moment is None:
            cause = (
                f"The Timestamp field cannot be parsed as an ISO-8601 extended offset date-time format string: {value}"
            )
            raise StateFailed(QUERY, cause, evaluated=True, location="Timestamp")
        return Delay(0.0, moment.timestamp())

    return timestamp


def _seconds_jsonata(read: Compiled) -> Callable[[Frame], Delay]:
    return lambda frame: Delay(float(whole(read(frame), "Seconds", 0, LONGEST_WAIT)))


# ----------------------------------------------------------------------------------------------------------------- Task


def _task(state: Task, is_jsonata: bool) -> Work:
    read = None if is_jsonata else input_path(state.input_path)
    arguments = expression(state.arguments, "Arguments") if is_jsonata else template(state.parameters)
    timeout = _limit(state.timeout_seconds, state.timeout_seconds_path, "TimeoutSeconds")
    heartbeat = _limit(state.heartbeat_seconds, state.heartbeat_seconds_path, "HeartbeatSeconds")
    role = _role(state, is_jsonata)
    # A job's token may be sent back, too: API Reference, SendTaskSuccess, "optionally ... using the job run pattern".
    waits = state.resource.endswith((".waitForTaskToken", ".sync", ".sync:2"))
    resource = state.resource

    def work(frame: Frame) -> Call:
        if waits:
            frame.task_token = frame.run.token(frame)
        given = effective(frame, read)
        seconds, beats = timeout(frame), heartbeat(frame)
        if arguments is not None:
            given = arguments(frame)
        return Call(resource, given, seconds, beats, role(frame))

    return work


def _limit(constant: int | str | None, path: str | None, field: str) -> Callable[[Frame], float | None]:
    """Reads TimeoutSeconds or HeartbeatSeconds, in all its forms."""
    if path is not None:
        read = paths.expression(path)
        return lambda frame: float(long(read(frame), path, f"{field}Path"))
    if isinstance(constant, str):
        typed = jsonata.typed(constant, field, "number")
        return lambda frame: float(whole(typed(frame), field, 1, LONGEST_WAIT))
    seconds = None if constant is None else float(constant)
    return lambda frame: seconds


def _role(state: Task, is_jsonata: bool) -> Callable[[Frame], str | None]:
    read = expression(state.credentials, "Credentials") if is_jsonata else template(state.credentials)

    def role(frame: Frame) -> str | None:
        credentials = read(frame) if read is not None else None
        arn = credentials.get("RoleArn") if isinstance(credentials, dict) else None
        return arn if isinstance(arn, str) else None

    return role
