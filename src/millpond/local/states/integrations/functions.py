"""Lambda: `lambda:invoke`, and the bare ARN of a function as a Resource.

A function that failed gives its `errorType` as the error and the whole answer as the cause, as text. An answer without
an `errorType` is Lambda.Unknown, in words seen in AWS's histories. Errors of the service (no such function, throttled)
carry the service's words.
Source: AWS Step Functions Developer Guide, "Invoke an AWS Lambda function with Step Functions".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local.states import sdk
from millpond.local.states.integrations import calls
from millpond.local.states.integrations.calls import BadArguments, Failure

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

_FIELDS = ("ClientContext", "FunctionName", "InvocationType", "LogType", "Payload", "Qualifier")


def check(arguments: Any) -> None:
    """Raises BadArguments. Payload is any JSON, so the model of the API is not asked."""
    if not isinstance(arguments, dict):
        raise BadArguments("The value for the Parameters must be a JSON object")
    wrong = [f'The field "{key}" is not supported by Step Functions' for key in arguments if key not in _FIELDS]
    wrong += [
        f"The value for the field '{key}' must be a STRING"
        for key in _FIELDS
        if key != "Payload" and key in arguments and not isinstance(arguments[key], str)
    ]
    if "FunctionName" not in arguments:
        wrong.append('The field "FunctionName" is required but was missing')
    if wrong:
        raise BadArguments(", ".join(wrong))


def invoke(endpoint: Endpoint, arguments: Any) -> dict[str, Any]:
    """lambda:invoke: the answer with Payload as JSON. Raises Failure."""
    response = _call(endpoint, {key: value for key, value in arguments.items() if key != "Payload"}, arguments)
    output: dict[str, Any] = {"StatusCode": response.get("StatusCode", 200), "Payload": _payload(response)}
    if version := response.get("ExecutedVersion"):
        output["ExecutedVersion"] = version
    if log := response.get("LogResult"):
        output["LogResult"] = log
    return sdk.with_metadata(output, response, "lambda")


def invoke_arn(endpoint: Endpoint, arn: str, payload: Any) -> Any:
    """A bare ARN: the function's result itself. Raises Failure."""
    return _payload(_call(endpoint, {"FunctionName": arn}, {"Payload": payload}))


def _call(endpoint: Endpoint, parameters: dict[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    target = calls.api("lambda", "invoke", style="optimised", named="lambda")
    if "Payload" in arguments:
        parameters["Payload"] = compact(arguments["Payload"]).encode(errors="replace")
    response = calls.invoke(endpoint, target, parameters)
    raw = response["Payload"].read()
    if response.get("FunctionError"):
        raise _failed(raw)
    return response | {"Payload": raw}


def _payload(response: Mapping[str, Any]) -> Any:
    """An asynchronous invocation answers with nothing, which AWS shows as an empty text."""
    raw: bytes = response["Payload"]
    return calls.parsed(raw) if raw else ""


def _failed(raw: bytes) -> Failure:
    document = calls.parsed(raw)
    error = document.get("errorType") if isinstance(document, dict) else None
    if error:
        return Failure(str(error), compact(document))
    shown = raw.decode(errors="replace")
    why = f"The cause could not be determined because Lambda did not return an error type. Returned payload: {shown}"
    return Failure("Lambda.Unknown", why)
