"""TestState: one state, alone, for real or with a mock.

The engine's `probe` runs the state; here are the request's rules and the call of a Task without a mock, which is made
for real, as on AWS; `trial_mocks` holds mocked results against the API's model. Refusals are worded as recorded
from AWS; those that no recording shows follow the same pattern.

Sources: AWS API Reference, "TestState"; Developer Guide, "Testing state machines with TestState API".
**Limit**: a Wait takes its time, at most five minutes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond import asl
from millpond.asl import check, graph
from millpond.asl.model import ABSENT, Absent
from millpond.engine import Start
from millpond.engine.failure import RUNTIME, TIMEOUT, StateFailed
from millpond.engine.node import Delay
from millpond.engine.probe import Parent, Probed, Trial, probe
from millpond.engine.stages import TooManyFailures
from millpond.engine.tasks import kind_of, pattern_of
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, formats, integrations, machines, parameters, payloads, sdk
from millpond.local.states.integrations import connections, web
from millpond.local.states.trial_mocks import refused, result_of

if TYPE_CHECKING:
    from millpond.asl.model import Json, QueryLanguage, State
    from millpond.engine.doors import Clock, TaskCall
    from millpond.errors import Diagnostic

ALONE = "StateName"
"""What AWS calls a state that is tested without its machine."""

LONGEST_SECONDS = 300.0
_MOCKABLE = ("Task", "Map", "Parallel")
_ONLY_MOCKED = {
    "context": "Context",
    "retrierRetryCount": "RetrierRetryCount",
    "errorCausedByState": "ErrorCausedByState",
    "mapIterationFailureCount": "MapIterationFailureCount",
    "mapItemReaderData": "MapItemReaderData",
}


class _Seen:
    """An HTTP Task's exchange, as InspectionData shows it. What a connection adds is a secret, and left out of the
    request unless it `reveals`; the answer is shown as it came."""

    def __init__(self, reveals: bool) -> None:
        self.reveals = reveals
        self.exchange: dict[str, Json] = {}

    def note(self, request: web.Request, response: web.Response) -> None:
        protocol = request.url.partition(":")[0]
        own = [pair for pair in request.headers.items() if pair != ("Content-Type", web.CONTENT_TYPE)]  # AWS's example
        place = "/".join(request.url.split("/", 3)[:3])
        sent: dict[str, Json] = {
            "protocol": protocol,
            "method": request.method,
            "url": place + request.target,
            "headers": _headers(own),
        }
        if request.body is not None:
            sent["body"] = request.body.decode(errors="replace")
        back: dict[str, Json] = {
            "protocol": protocol,
            "statusCode": str(response.status),
            "statusMessage": response.reason,
            "headers": _headers((name, ", ".join(values)) for name, values in response.headers.items()),
            "body": response.body.decode(errors="replace"),
        }
        self.exchange = {"request": sent, "response": back}


def _headers(pairs: Iterable[tuple[str, str]]) -> str:
    return f"[{', '.join(f'{name}: {value}' for name, value in pairs)}]"


class Trials:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self.endpoint, self._clock = endpoint, clock
        self._closing = threading.Event()

    def operations(self) -> Mapping[str, Operation]:
        return {"TestState": self.test}

    def close(self) -> None:
        """Let no Wait hold the endpoint back."""
        self._closing.set()

    def test(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        mock: dict[str, Any] | None = params.get("mock")
        _check_mock(mock, params)
        if "roleArn" in params:
            machines.check_role(params["roleArn"])
        subject = _definition(params)
        configured: dict[str, Any] = params.get("stateConfiguration") or {}
        _check_configuration(params, mock, configured)
        given = _input(params.get("input", "{}"))
        result = result_of(subject.state, mock)
        _check_runnable(subject.state, mock, params.get("roleArn"))
        trial = Trial(
            name=subject.name,
            state=subject.state,
            start=self._start(given, params.get("roleArn")),
            clock=self._clock,
            spoken=subject.spoken,
            parents=subject.parents,
            variables=_object(params.get("variables"), "variables") or {},
            context=_object(params.get("context"), "context"),
            retries=configured.get("retrierRetryCount", 0),
            failures=configured.get("mapIterationFailureCount", 0),
            read=_read(subject.state, configured.get("mapItemReaderData")),
        )
        seen = _Seen(bool(params.get("revealSecrets")))

        def perform(wanted: TaskCall | Delay | None) -> Json:
            if isinstance(wanted, Delay):
                self._wait(wanted)
                return None
            if mock is None:
                assert wanted is not None
                return self._call(wanted, seen)
            if "errorOutput" in mock:
                raise StateFailed(mock["errorOutput"].get("error"), mock["errorOutput"].get("cause"))
            return result

        try:
            probed = probe(trial, perform)
        except TooManyFailures as why:
            raise refused(f"MapIterationFailureCount exceeds the number of items of the Map: {why}") from None
        level = params.get("inspectionLevel") or "INFO"
        if level == "TRACE":
            probed.stages.update(seen.exchange)
        return _answer(probed, level)

    def _start(self, given: Json, role: str | None) -> Start:
        machine, name = f"m-{uuid.uuid4()}", str(uuid.uuid4())
        arn = arns.machine_arn(self.endpoint, machine)
        return Start(
            execution=f"{arn.replace(':stateMachine:', ':express:')}:{name}",
            name=name,
            machine=asl.Machine(start_at=ALONE, states={ALONE: asl.Succeed()}),
            machine_arn=arn,
            machine_name=machine,
            role=role or "",
            input=given,
            secret=uuid.uuid4().bytes,
            started_at=time.time(),
            express=True,
            region=self.endpoint.region,
        )

    def _wait(self, delay: Delay) -> None:
        seconds = delay.seconds if delay.until is None else delay.until - time.time()
        if seconds > LONGEST_SECONDS:
            raise StateFailed(TIMEOUT, None)
        self._closing.wait(max(0.0, seconds / self.endpoint.clock.scale))

    def _call(self, call: TaskCall, seen: _Seen) -> Json:
        try:
            if (why := integrations.check(call)) is not None:
                raise StateFailed(RUNTIME, why, evaluated=True)
            if call.service == "http":
                arguments = cast("dict[str, Any]", call.arguments)
                shown = None if seen.reveals else web.request_of(arguments, connections.Connection(), call.region)
                return web.invoke(
                    self.endpoint, arguments, lambda request, response: seen.note(shown or request, response)
                )
            return cast("Json", integrations.begin(self.endpoint, call, call.arguments))
        except integrations.Failure as failure:
            raise StateFailed(failure.error, failure.cause) from None


# ------------------------------------------------------------------------------------------------------- the request


def _check_mock(mock: Mapping[str, Any] | None, params: Mapping[str, Any]) -> None:
    if mock is None:
        return
    if len({"result", "errorOutput"} & mock.keys()) != 1:
        raise refused("A test mock should have only one of the following fields: [result, errorOutput].")
    if params.get("revealSecrets"):
        raise refused("TestState does not support RevealSecrets when a mock is specified.")


def _check_configuration(params: Mapping[str, Any], mock: Any, configured: Mapping[str, Any]) -> None:
    if mock is None:
        for field, shown in _ONLY_MOCKED.items():
            if field in params or field in configured:
                raise refused(f"TestState does not support {shown} when a mock is not specified.")


@dataclasses.dataclass(frozen=True, slots=True)
class _Subject:
    """The state under test. `spoken`: the query language of the machine around it; `parents`: the next one first."""

    name: str
    state: State
    spoken: QueryLanguage | None
    parents: tuple[Parent, ...] = ()


def _definition(params: Mapping[str, Any]) -> _Subject:
    """What is to be tested. Raises InvalidDefinition, ValidationException."""
    definition, name = params["definition"], params.get("stateName")
    if name is not None:
        machines.check_definition(definition, "STANDARD")
        subject = _named_state(asl.from_json(definition), name)
        if subject is None:
            raise refused(f"State '{name}' does not exist in the definition")
        return subject
    text = _alone(definition)
    found = check.check(text, "STANDARD", sdk.knows, parameters.misfits)
    errors = [finding for finding in found if finding.severity == "ERROR"]
    if errors:
        said = ", ".join(_described(finding) for finding in errors)
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")
    return _Subject(ALONE, asl.from_json(text).states[ALONE], None)


def _named_state(machine: asl.Machine, name: str) -> _Subject | None:
    """The state of a name, at the top or in a Map or Parallel: names are unique in a definition."""
    visits = list(graph.walk(machine))
    places = {visit.place: visit for visit in visits}
    visit = next((visit for visit in visits if visit.name == name), None)
    if visit is None:
        return None
    parents = []
    for end in range(len(visit.place) - 1, 1, -1):
        around = places.get(visit.place[:end])
        if around is not None and isinstance(around.state, asl.Map | asl.Parallel):
            parents.append(Parent(around.name, around.state, around.language))
    return _Subject(name, visit.state, visit.language, tuple(parents))


def _described(finding: Diagnostic) -> str:
    """As in a machine's definition, with the places as the caller knows them: the state is the root."""
    at = finding.at[2:] if finding.at[:2] == ("States", ALONE) else finding.at
    return check.describe(dataclasses.replace(finding, at=at or (("",) if finding.at else ())))


def _alone(definition: str) -> str:
    """A machine around a state that came without one: whatever it names as its next states succeeds."""
    try:
        state = payloads.read(definition)
    except payloads.NotJson:
        return definition  # told in the words for a machine's
    if not isinstance(state, dict):
        return definition
    others = json.dumps({name: {"Type": "Succeed"} for name in _named(state) if name != ALONE})
    # The text as it came: what stands twice in it is seen.
    return f'{{"StartAt":"{ALONE}","States":{others[:-1]}{"," if others != "{}" else ""}"{ALONE}":{definition}}}}}'


def _named(state: Mapping[str, Any]) -> list[str]:
    rules = [rule for field in ("Choices", "Catch") for rule in _list(state.get(field)) if isinstance(rule, dict)]
    found = [state.get("Next"), state.get("Default"), *(rule.get("Next") for rule in rules)]
    return [name for name in found if isinstance(name, str) and name]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _input(text: str) -> Any:
    try:
        return payloads.read(text)
    except payloads.NotJson as error:
        raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from None


def _object(text: str | None, field: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = payloads.read(text)
    except payloads.NotJson:
        value = None
    if not isinstance(value, dict):
        raise refused(f"The field '{field}' must be a valid JSON object")
    return value


def _read(state: State, data: str | None) -> Json | Absent:
    """What a Map's ItemReader makes of the object: an array, or an object whose pairs are the items."""
    if data is None or not isinstance(state, asl.Map) or state.item_reader is None:
        return ABSENT
    config = state.item_reader.config
    stream = io.BytesIO(data.encode(errors="replace"))
    try:
        match config.input_type if config is not None else None:
            case "CSV" if config is not None:
                headers = list(config.csv_headers) if config.csv_headers is not None else None
                found = formats.csv_items(stream, delimiter=config.csv_delimiter or "COMMA", headers=headers)
            case "JSONL":
                found = formats.jsonl_items(stream)
            case _:
                found = formats.json_items(stream, config.items_pointer if config is not None else None)
        texts = list(formats.guarded(found))
    except formats.Unreadable as why:
        raise refused(f"The field 'mapItemReaderData' cannot be read: {why}") from None
    values = [json.loads(text) for text in texts if text != formats.PAIRS]
    if formats.PAIRS in texts[:1]:
        return {pair["Key"]: pair["Value"] for pair in values}
    return values


def _check_runnable(state: State, mock: Any, role: str | None) -> None:
    """Without a mock: what can be run, and what is needed for it."""
    kind = type(state).__name__
    if mock is not None:
        if kind not in _MOCKABLE:
            raise refused(f"TestState does not support a mock for a {kind} state.")
        return
    if isinstance(state, asl.Map | asl.Parallel):
        raise refused(f"TestState does not support {kind} states when a mock is not specified.")
    if isinstance(state, asl.Task):
        if role is None:
            raise refused("RoleArn must be specified when testing a Task state")
        task, _, action = kind_of(state.resource)
        if pattern_of(task, action) != "request" or ".sync" in state.resource:
            raise refused(f"TestState does not support the resource {state.resource} when a mock is not specified.")


# -------------------------------------------------------------------------------------------------------- the answer


def _answer(probed: Probed, level: str) -> dict[str, Any]:
    shown = {key: value for key, value in dataclasses.asdict(probed).items() if value is not None}
    stages = shown.pop("stages")
    if "next" in shown:
        shown["nextState"] = shown.pop("next")
    return shown | ({"inspectionData": stages} if level != "INFO" else {})
