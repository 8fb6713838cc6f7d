"""What a Task's Resource does: one row an integration, each a way to start, to watch and to stop.

`begin` makes the API call and returns its answer in ASL's form; for `.sync` the `watch` of the row says how the work
went. Every call goes over `endpoint.client`, so whatever stands behind (ours, moto's, AWS's) is the same to a flow.
What AWS has and we do not carry fails the state with `<Service>.NotImplementedException`: nothing succeeds without
being done.

Sources: AWS Step Functions Developer Guide, one page an integration; outputs as those pages print them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local.states import sdk

if TYPE_CHECKING:
    from millpond.engine.doors import TaskCall
    from millpond.local.service import Endpoint


class Failure(Exception):
    """A task that failed, as the state sees it."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class Duplicate(Exception):
    """The call was made before the endpoint was killed: what it started is there under its name or token."""


@dataclass(frozen=True, slots=True)
class Done:
    """Finished work: its output."""

    output: Any


Handle = dict[str, Any]
"""What finds started work again: stored before anything else happens."""


@dataclass(frozen=True, slots=True)
class Work:
    """A `.sync` integration.

    `prepare` fixes names and tokens before the call, so that a repeat is recognised. `handle` reads the answer of the
    start (and its parameters). `find` looks for work that was started at or after a time with these parameters but
    never recorded (None: start it). `watch` gives Done when it ended, None while it runs, and raises Failure. `stop`
    ends it.
    """

    handle: Callable[[Mapping[str, Any], Mapping[str, Any]], Handle]
    watch: Callable[[Endpoint, Handle], Done | None]
    stop: Callable[[Endpoint, Handle], None]
    find: Callable[[Endpoint, dict[str, Any], float, set[str]], Handle | None] | None = None
    prepare: Callable[[dict[str, Any], str], dict[str, Any]] = lambda parameters, token: parameters


# --------------------------------------------------------------------------------------------------------- calling APIs


def call_api(
    endpoint: Endpoint,
    service: str,
    action: str,
    arguments: Any,
    *,
    optimised: bool,
    named: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call an API with ASL arguments: (the answer in ASL's form, botocore's answer). Raises Failure.

    `named` is botocore's name of the service where ASL's optimised name is another.
    """
    name = named or sdk.service_named(service)
    operation = sdk.operation_named(name, action) if name else None
    if name is None or operation is None:
        raise Failure("States.Runtime", f"There is no AWS API {service}:{action}")
    try:
        parameters = sdk.parameters(operation, arguments)
    except sdk.ParameterError as error:
        raise unusable(arguments, str(error)) from None
    response = invoke(endpoint, service, name, operation, parameters, optimised=optimised)
    return sdk.answer(operation, response, millis=optimised), response


def unusable(arguments: Any, why: str) -> Failure:
    """AWS's words for arguments that an API cannot take."""
    return Failure(
        "States.Runtime", f"The Parameters '{compact(arguments)}' could not be used to start the Task: [{why}]"
    )


def invoke(
    endpoint: Endpoint, service: str, name: str, operation: Any, parameters: dict[str, Any], *, optimised: bool
) -> dict[str, Any]:
    """One API call with botocore's parameters. Raises Failure named as ASL names errors."""
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError

    client = endpoint.client(name)
    try:
        response: dict[str, Any] = getattr(client, xform_name(operation.name))(**parameters)
    except ClientError as error:
        raise Failure(*sdk.failure(service, operation, error, optimised=optimised)) from error
    except BotoCoreError as error:
        raise Failure("States.Runtime", f"The call {service}:{operation.name} could not be made: {error}") from error
    return response


# --------------------------------------------------------------------------------------------------------------- Lambda


def lambda_invoke(endpoint: Endpoint, arguments: Any) -> dict[str, Any]:
    """lambda:invoke: the answer with Payload as JSON. Raises Failure(errorType) when the function failed."""
    if not isinstance(arguments, dict) or not isinstance(arguments.get("FunctionName"), str):
        raise unusable(arguments, 'The field "FunctionName" is required but was missing')
    known = {"FunctionName", "Payload", "InvocationType", "ClientContext", "Qualifier", "LogType"}
    if unknown := sorted(arguments.keys() - known):
        raise unusable(arguments, f'The field "{unknown[0]}" is not supported by Step Functions')
    response = _lambda(endpoint, {key: value for key, value in arguments.items() if key != "Payload"}, arguments)
    payload = response["Payload"]
    if response.get("FunctionError"):
        raise _function_failed(payload)
    output: dict[str, Any] = {"StatusCode": response.get("StatusCode", 200), "Payload": _payload(payload)}
    if version := response.get("ExecutedVersion"):
        output["ExecutedVersion"] = version
    if log := response.get("LogResult"):
        output["LogResult"] = log
    return sdk.with_metadata(output, response)


def lambda_direct(endpoint: Endpoint, arn: str, payload: Any) -> Any:
    """A bare Lambda ARN: the function's result itself."""
    response = _lambda(endpoint, {"FunctionName": arn}, {"Payload": payload})
    if response.get("FunctionError"):
        raise _function_failed(response["Payload"])
    return _payload(response["Payload"])


def _lambda(endpoint: Endpoint, parameters: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    operation = sdk.operation_named("lambda", "invoke")
    if "Payload" in arguments:
        # AWS hands a JSON text in Payload over as it is.
        parameters["Payload"] = compact(arguments["Payload"]).encode()
    response = invoke(endpoint, "lambda", "lambda", operation, parameters, optimised=True)
    return response | {"Payload": response["Payload"].read()}


def _payload(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _function_failed(raw: bytes) -> Failure:
    """`errorType` is the error; the whole answer is the cause, as AWS shows it."""
    document = _payload(raw)
    error = document.get("errorType") if isinstance(document, dict) else None
    # A timeout or a crash has no errorType on AWS: the state sees Lambda.Unknown or States.Timeout's own text.
    return Failure(str(error or "Lambda.Unknown"), compact(document))


# ---------------------------------------------------------------------------------------------------------- Glue, .sync

_GLUE_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})


def _glue_watch(endpoint: Endpoint, handle: Handle) -> Done | None:
    answer, _ = call_api(endpoint, "glue", "getJobRun", handle, optimised=True)
    run = answer["JobRun"]
    if run["JobRunState"] not in _GLUE_ENDED:
        return None
    shown = dict(sorted(run.items()))
    if run["JobRunState"] == "SUCCEEDED":
        return Done(shown)
    raise Failure("States.TaskFailed", compact(shown))


def _glue_stop(endpoint: Endpoint, handle: Handle) -> None:
    call_api(
        endpoint,
        "glue",
        "batchStopJobRun",
        {"JobName": handle["JobName"], "JobRunIds": [handle["RunId"]]},
        optimised=True,
    )


def _glue_find(endpoint: Endpoint, parameters: dict[str, Any], since: float, claimed: set[str]) -> Handle | None:
    """Glue has no client token: the run of this job with these arguments, begun since then, that nobody claims."""
    answer, _ = call_api(
        endpoint, "glue", "getJobRuns", {"JobName": parameters["JobName"], "MaxResults": 50}, optimised=True
    )
    wanted = parameters.get("Arguments") or {}
    for run in reversed(answer.get("JobRuns", [])):
        began = run.get("StartedOn", 0) / 1000
        arguments = run.get("Arguments") or {}
        if began >= since - 0.001 and run["Id"] not in claimed and wanted.items() <= arguments.items():
            return {"JobName": parameters["JobName"], "RunId": run["Id"]}
    return None


# --------------------------------------------------------------------------------------------------------------- Athena


def _athena_prepare(parameters: dict[str, Any], token: str) -> dict[str, Any]:
    return {"ClientRequestToken": digest(token)} | parameters


def _athena_watch(endpoint: Endpoint, handle: Handle) -> Done | None:
    answer, _ = call_api(endpoint, "athena", "getQueryExecution", handle, optimised=True)
    state = answer["QueryExecution"]["Status"]["State"]
    if state in ("QUEUED", "RUNNING"):
        return None
    if state == "SUCCEEDED":
        return Done(answer)
    raise Failure("States.TaskFailed", compact(answer["QueryExecution"]))


def _athena_stop(endpoint: Endpoint, handle: Handle) -> None:
    call_api(endpoint, "athena", "stopQueryExecution", handle, optimised=True)


# ------------------------------------------------------------------------------------------------------------ SageMaker


def _sagemaker(kind: str) -> Work:
    """`kind` is Processing, Training or Transform: each has create, describe and stop under one name."""
    name = f"{kind}JobName"

    def watch(endpoint: Endpoint, handle: Handle) -> Done | None:
        answer, _ = call_api(endpoint, "sagemaker", f"describe{kind}Job", handle, optimised=True)
        status = answer[f"{kind}JobStatus"]
        if status in ("InProgress", "Stopping"):
            return None
        if status == "Completed":
            return Done(answer)
        raise Failure("States.TaskFailed", compact(answer))

    def stop(endpoint: Endpoint, handle: Handle) -> None:
        call_api(endpoint, "sagemaker", f"stop{kind}Job", handle, optimised=True)

    def find(endpoint: Endpoint, parameters: dict[str, Any], since: float, claimed: set[str]) -> Handle | None:
        """The name is unique in the account: a job of that name that was made since then is ours."""
        handle = {name: parameters[name]}
        try:
            answer, _ = call_api(endpoint, "sagemaker", f"describe{kind}Job", handle, optimised=True)
        except Failure:
            return None
        return handle if answer["CreationTime"] / 1000 >= since - 0.001 else None

    def handle(answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> Handle:
        return {name: parameters[name]}

    return Work(handle=handle, watch=watch, stop=stop, find=find)


# ---------------------------------------------------------------------------------------------------- nested executions

_EXECUTION_TEXTS = ("Input", "Output")


def _execution_prepare(parameters: dict[str, Any], token: str) -> dict[str, Any]:
    return {"Name": str(uuid.uuid5(uuid.NAMESPACE_URL, token))} | parameters


def _execution_watch(parse: bool) -> Callable[[Endpoint, Handle], Done | None]:
    def watch(endpoint: Endpoint, handle: Handle) -> Done | None:
        answer, _ = call_api(endpoint, "sfn", "describeExecution", handle, optimised=True)
        if answer["Status"] == "RUNNING":
            return None
        if parse:  # .sync:2 gives JSON where .sync gives its text
            answer |= {key: json.loads(answer[key]) for key in _EXECUTION_TEXTS if key in answer}
        if answer["Status"] == "SUCCEEDED":
            return Done(dict(sorted(answer.items())))
        raise Failure("States.TaskFailed", compact(dict(sorted(answer.items()))))

    return watch


def _execution_stop(endpoint: Endpoint, handle: Handle) -> None:
    call_api(endpoint, "sfn", "stopExecution", handle, optimised=True)


def _execution_find(endpoint: Endpoint, parameters: dict[str, Any], since: float, claimed: set[str]) -> Handle | None:
    """The execution's name is fixed before the call, so the ARN is known."""
    machine = str(parameters["StateMachineArn"])
    arn = f"{machine.replace(':stateMachine:', ':execution:', 1)}:{parameters['Name']}"
    try:
        answer, _ = call_api(endpoint, "sfn", "describeExecution", {"ExecutionArn": arn}, optimised=True)
    except Failure:
        return None
    return {"ExecutionArn": arn} if answer["StartDate"] / 1000 >= since - 0.001 else None


def _execution(parse: bool) -> Work:
    return Work(
        handle=lambda answer, parameters: {"ExecutionArn": answer["ExecutionArn"]},
        watch=_execution_watch(parse),
        stop=_execution_stop,
        find=_execution_find,
        prepare=_execution_prepare,
    )


# ------------------------------------------------------------------------------------------------------------ the table

WORK: Mapping[str, Work] = {
    "glue:startJobRun.sync": Work(
        handle=lambda answer, parameters: {"JobName": parameters["JobName"], "RunId": answer["JobRunId"]},
        watch=_glue_watch,
        stop=_glue_stop,
        find=_glue_find,
    ),
    "athena:startQueryExecution.sync": Work(
        handle=lambda answer, parameters: {"QueryExecutionId": answer["QueryExecutionId"]},
        watch=_athena_watch,
        stop=_athena_stop,
        prepare=_athena_prepare,
    ),
    "sagemaker:createProcessingJob.sync": _sagemaker("Processing"),
    "sagemaker:createTrainingJob.sync": _sagemaker("Training"),
    "sagemaker:createTransformJob.sync": _sagemaker("Transform"),
    "states:startExecution.sync": _execution(parse=False),
    "states:startExecution.sync:2": _execution(parse=True),
}

# Optimised request-response integrations that are one API call: ASL's service -> botocore's.
PLAIN: Mapping[str, str] = {
    "athena": "athena",
    "dynamodb": "dynamodb",
    "events": "events",
    "glue": "glue",
    "sagemaker": "sagemaker",
    "sns": "sns",
    "sqs": "sqs",
    "states": "stepfunctions",
}


def begin(endpoint: Endpoint, call: TaskCall, arguments: Any) -> Any:
    """Make the call of a task: its answer in ASL's form. Raises Failure."""
    action = call.action.partition(".")[0]
    if call.kind == "lambda":
        return lambda_direct(endpoint, call.resource, arguments)
    if call.service.startswith("aws-sdk:"):
        answer, _ = call_api(endpoint, call.service.removeprefix("aws-sdk:"), action, arguments, optimised=False)
        return answer
    if call.service == "lambda":
        return lambda_invoke(endpoint, arguments)
    if call.service not in PLAIN:
        raise not_carried(call)
    answer, response = call_api(
        endpoint,
        call.service,
        action,
        SHAPING.get(f"{call.service}:{action}", lambda given: given)(arguments),
        optimised=True,
        named=PLAIN[call.service],
    )
    if call.service == "events":
        _events_failed(answer)
    return sdk.with_metadata(answer, response)


def not_carried(call: TaskCall) -> Failure:
    """The refusal of an integration that AWS has and we do not."""
    name = call.service.removeprefix("aws-sdk:")
    return Failure(
        f"{name[:1].upper()}{name[1:]}.NotImplementedException",
        f"Millpond does not carry the integration {call.service}:{call.action} yet. See docs/parity.md.",
    )


def _message(field: str) -> Callable[[Any], Any]:
    """A message may be any JSON: AWS sends its text."""

    def shape(arguments: Any) -> Any:
        if isinstance(arguments, dict) and field in arguments and not isinstance(arguments[field], str):
            return arguments | {field: compact(arguments[field])}
        return arguments

    return shape


def _entries(arguments: Any) -> Any:
    """events:putEvents takes Detail as JSON."""
    if not isinstance(arguments, dict) or not isinstance(arguments.get("Entries"), list):
        return arguments
    return arguments | {"Entries": [_message("Detail")(entry) for entry in arguments["Entries"]]}


SHAPING: Mapping[str, Callable[[Any], Any]] = {
    "sns:publish": _message("Message"),
    "sqs:sendMessage": _message("MessageBody"),
    "states:startExecution": _message("Input"),
    "events:putEvents": _entries,
}


def _events_failed(answer: dict[str, Any]) -> None:
    if answer.get("FailedEntryCount"):
        raise Failure("EventBridge.FailedEntry", compact(answer))


def digest(token: str) -> str:
    """A token as APIs take it: 64 characters."""
    return hashlib.sha256(token.encode()).hexdigest()
