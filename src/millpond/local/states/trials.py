"""TestState: one state, alone, for real or with a mock.

The engine's `probe` runs the state; here are the request's rules, the check of mocked results against the API's model,
and the call of a Task without a mock, which is made for real, as on AWS. Refusals are worded as recorded
(shared/cases/asl/validation_errors.json, 100 to 121); those that no recording shows follow the same pattern.

**Limits**: `revealSecrets` changes nothing, as http:invoke is not carried; a Wait takes its time, at most five minutes.
"""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond import asl
from millpond.asl import check
from millpond.engine import Start
from millpond.engine.failure import RUNTIME, TIMEOUT, TOLERANCE, StateFailed
from millpond.engine.node import Delay
from millpond.engine.probe import Probed, Trial, probe
from millpond.engine.tasks import kind_of, pattern_of
from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.states import arns, integrations, machines, sdk, static

if TYPE_CHECKING:
    from botocore.model import Shape

    from millpond.asl.model import Json, QueryLanguage, State
    from millpond.engine.doors import TaskCall

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


class _Clock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def random(self) -> float:
        return random.random()


class Trials:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._closing = threading.Event()

    def operations(self) -> Mapping[str, Operation]:
        return {"TestState": self.test}

    def close(self) -> None:
        """Let no Wait hold the endpoint back."""
        self._closing.set()

    def test(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        mock: dict[str, Any] | None = params.get("mock")
        _check_mock(mock, params)
        name, state, spoken = _definition(params)
        configured: dict[str, Any] = params.get("stateConfiguration") or {}
        _check_configuration(params, mock, configured)
        given = _input(params.get("input") or "{}")
        result = _mocked(state, mock)
        _check_runnable(state, mock, params.get("roleArn"))
        trial = Trial(
            name=name,
            state=state,
            start=self._start(given, params.get("roleArn")),
            clock=_Clock(),
            spoken=spoken,
            variables=_object(params.get("variables"), "variables") or {},
            context=_object(params.get("context"), "context"),
            retries=configured.get("retrierRetryCount", 0),
        )

        def perform(wanted: TaskCall | Delay | None) -> Json:
            if isinstance(wanted, Delay):
                self._wait(wanted)
                return None
            if mock is None:
                assert wanted is not None
                return self._call(wanted)
            if "errorOutput" in mock:
                raise _mocked_error(trial, mock["errorOutput"], configured.get("mapIterationFailureCount", 0))
            return result

        return _answer(probe(trial, perform), params.get("inspectionLevel") or "INFO")

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

    def _call(self, call: TaskCall) -> Json:
        try:
            if (why := integrations.check(call)) is not None:
                raise StateFailed(RUNTIME, why, evaluated=True)
            return cast("Json", integrations.begin(self.endpoint, call, call.arguments))
        except integrations.Failure as failure:
            raise StateFailed(failure.error, failure.cause) from None


# ------------------------------------------------------------------------------------------------------- the request


def _refused(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _check_mock(mock: Mapping[str, Any] | None, params: Mapping[str, Any]) -> None:
    if mock is None:
        return
    if len({"result", "errorOutput"} & mock.keys()) != 1:
        raise _refused("A test mock should have only one of the following fields: [result, errorOutput].")
    if params.get("revealSecrets"):
        raise _refused("TestState does not support RevealSecrets when a mock is specified.")


def _check_configuration(params: Mapping[str, Any], mock: Any, configured: Mapping[str, Any]) -> None:
    if mock is None:
        for field, shown in _ONLY_MOCKED.items():
            if field in params or field in configured:
                raise _refused(f"TestState does not support {shown} when a mock is not specified.")


def _definition(params: Mapping[str, Any]) -> tuple[str, State, QueryLanguage | None]:
    """(name, state, the machine's query language). Raises InvalidDefinition."""
    definition, name = params["definition"], params.get("stateName")
    if name is not None:
        machines.check_definition(definition, "STANDARD")
        machine = asl.from_json(definition)
        if name not in machine.states:
            raise _refused(f"State '{name}' does not exist in the definition")
        return name, machine.states[name], machine.query_language
    text = _alone(definition)
    errors = [found for found in check.check(text, "STANDARD", sdk.knows, static.misfits) if found.severity == "ERROR"]
    if errors:
        said = ", ".join(check.describe(found) for found in errors).replace(f"/States/{ALONE}", "")
        raise AwsError("InvalidDefinition", f"Invalid State Machine Definition: '{said}'")
    return ALONE, asl.from_json(text).states[ALONE], None


def _alone(definition: str) -> str:
    """A machine around a state that came without one: whatever it names as its next states succeeds."""
    try:
        state = json.loads(definition)
    except (ValueError, RecursionError):
        return definition  # told in the words for a machine's
    if not isinstance(state, dict):
        return definition
    states: dict[str, Any] = {name: {"Type": "Succeed"} for name in _named(state)}
    return json.dumps({"StartAt": ALONE, "States": {**states, ALONE: state}})


def _named(state: Mapping[str, Any]) -> list[str]:
    rules = [rule for field in ("Choices", "Catch") for rule in _list(state.get(field)) if isinstance(rule, dict)]
    found = [state.get("Next"), state.get("Default"), *(rule.get("Next") for rule in rules)]
    return [name for name in found if isinstance(name, str) and name]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _input(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AwsError("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'") from None


def _object(text: str | None, field: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _refused(f"The field '{field}' must be a valid JSON object")
    return value


def _check_runnable(state: State, mock: Any, role: str | None) -> None:
    """Without a mock: what can be run, and what is needed for it."""
    kind = type(state).__name__
    if mock is not None:
        if kind not in _MOCKABLE:
            raise _refused(f"TestState does not support a mock for a {kind} state.")
        return
    if isinstance(state, asl.Map | asl.Parallel):
        raise _refused(f"TestState does not support {kind} states when a mock is not specified.")
    if isinstance(state, asl.Task):
        if role is None:
            raise _refused("RoleArn must be specified when testing a Task state")
        task, _, action = kind_of(state.resource)
        if pattern_of(task, action) != "request" or ".sync" in state.resource:
            raise _refused(f"TestState does not support the resource {state.resource} when a mock is not specified.")


# ---------------------------------------------------------------------------------------------------------- the mock


def _mocked(state: State, mock: Mapping[str, Any] | None) -> Json:
    """The mocked result, checked against what the state could have got."""
    if mock is None or "result" not in mock:
        return None
    try:
        result = json.loads(mock["result"])
    except (ValueError, RecursionError):
        raise _refused("Mocked result must be valid JSON") from None
    match state:
        case asl.Map() if state.result_writer is not None:
            if not isinstance(result, dict):
                raise _refused("Mocked result must be a JSON object.")
        case asl.Map() | asl.Parallel():
            if not isinstance(result, list):
                raise _refused("Mocked result must be an array.")
            if isinstance(state, asl.Parallel) and len(result) != len(state.branches):
                raise _refused("Mocked result must contain the same number of items as number of Parallel branches.")
        case asl.Task():
            _check_result(state.resource, result, mock.get("fieldValidationMode") or "STRICT")
        case _:
            pass  # a mock for it is refused
    return cast("Json", result)


def _check_result(resource: str, result: Any, mode: str) -> None:
    """Does it look like the answer of the API? Members that the model does not have are let through, as on AWS."""
    kind, service, action = kind_of(resource)
    if mode == "NONE" or kind != "service" or "." in action or resource.endswith(".sync:2"):
        return
    name = integrations.NAMED.get(service) or sdk.service_named(service.removeprefix("aws-sdk:"))
    operation = sdk.operation_named(name, action) if name is not None else None
    if operation is None or operation.output_shape is None:
        return
    if not isinstance(result, dict):
        raise _unlike("Mocked result must be a JSON object")
    _check_structure(
        operation.output_shape, result, strict=mode == "STRICT", free="Payload" if name == "lambda" else ""
    )


def _unlike(problem: str) -> AwsError:
    return _refused(f"Mock result schema validation error: {problem}")


_JSON_OF = {
    "structure": (dict, "an object"),
    "map": (dict, "an object"),
    "list": (list, "an array"),
    "string": (str, "a string"),
    "blob": (str, "a string"),
    "timestamp": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "character": (str, "a string"),
}


def _check_structure(shape: Shape, value: dict[str, Any], *, strict: bool, free: str = "") -> None:
    members: Mapping[str, Shape] = getattr(shape, "members", {})
    for member, inner in members.items():
        name = sdk.pascal(member)
        if name in value and name != free:
            _check_value(inner, value[name], name, strict=strict)
        elif strict and name not in value and member in getattr(shape, "required_members", ()):
            raise _unlike(f"Field '{name}' is required")


def _check_value(shape: Shape, value: Any, field: str, *, strict: bool) -> None:
    kind = shape.type_name
    wanted, shown = _JSON_OF.get(kind, (int | float, "a number"))
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        raise _unlike(f"Field '{field}' must be {shown}")
    inner = cast("Any", shape)
    match value:
        case dict() if kind == "structure":
            _check_structure(shape, value, strict=strict)
        case dict():
            for item in value.values():
                _check_value(inner.value, item, field, strict=strict)
        case list():
            for item in value:
                _check_value(inner.member, item, field, strict=strict)
        case str():
            _check_text(shape, value, field)


def _check_text(shape: Shape, value: str, field: str) -> None:
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        raise _unlike(f"Field '{field}' is not an expected value")
    if len(value) < shape.metadata.get("min", 0):
        raise _unlike(f"Field '{field}' is smaller than the minimum length")
    if len(value) > shape.metadata.get("max", len(value)):
        raise _unlike(f"Field '{field}' is larger than the maximum length")


def _mocked_error(trial: Trial, given: Mapping[str, Any], failures: int) -> StateFailed:
    """The mocked error; a distributed Map that says how many failures it bears fails with its own once it has more."""
    borne = trial.state.tolerated_failure_count if isinstance(trial.state, asl.Map) else None
    if isinstance(borne, int) and failures > borne:
        return StateFailed(TOLERANCE, "The specified tolerated failure threshold was exceeded")
    return StateFailed(given.get("error"), given.get("cause"))


# -------------------------------------------------------------------------------------------------------- the answer


def _answer(probed: Probed, level: str) -> dict[str, Any]:
    shown = {key: value for key, value in dataclasses.asdict(probed).items() if value is not None}
    stages = shown.pop("stages")
    if "next" in shown:
        shown["nextState"] = shown.pop("next")
    return shown | ({"inspectionData": stages} if level != "INFO" else {})
