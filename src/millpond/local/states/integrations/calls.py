"""One API call as a Task makes it: checked arguments in, the answer in ASL's form out, failures named as ASL names
them.

`Work` describes what `.sync` needs beyond the call. Arguments that an API cannot take are found by `check` before a
task is scheduled: AWS fails the state itself then (`States.Runtime`), without a Task event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local import protocol
from millpond.local.states import payloads, sdk
from millpond.local.states.integrations import errors

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from millpond.local.service import Endpoint


class Failure(Exception):
    """A task that failed, as the state sees it."""

    def __init__(self, error: str, cause: str | None) -> None:
        super().__init__(f"{error}: {cause}")
        self.error, self.cause = error, cause


class BadArguments(Exception):
    """Arguments that cannot start the task; the text is what AWS puts in brackets."""


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
    start (and its parameters). `find` looks for work of this name that was started at or after a time but never
    recorded (None: start it); it is absent where `prepare`'s token makes a repeated start harmless. `watch` gives Done
    when it ended, None while it runs, and raises Failure. `stop` ends it.
    """

    handle: Callable[[Mapping[str, Any], Mapping[str, Any]], Handle]
    watch: Callable[[Endpoint, Handle], Done | None]
    stop: Callable[[Endpoint, Handle], None]
    find: Callable[[Endpoint, dict[str, Any], float], Handle | None] | None = None
    prepare: Callable[[dict[str, Any], str], dict[str, Any]] = lambda parameters, token: parameters


@dataclass(frozen=True, slots=True)
class Api:
    """An operation that a Task names: ASL's service, botocore's, the operation, and how members are spelled."""

    service: str
    name: str
    operation: OperationModel
    style: sdk.Style


def api(service: str, action: str, *, style: sdk.Style, named: str | None = None) -> Api:
    """The operation of a service by ASL's names; `named` is botocore's name of the service where it is known.

    Raises Failure where AWS has none: creation refuses such a machine, so this is one from before an update of
    botocore.
    """
    name = named or sdk.service_named(service)
    operation = sdk.operation_named(name, action) if name else None
    if name is None or operation is None:
        raise Failure("States.Runtime", f"There is no AWS API {service}:{action}")
    return Api(service, name, operation, style)


def converted(target: Api, arguments: Any) -> dict[str, Any]:
    """The arguments as botocore takes them. Raises BadArguments."""
    try:
        return sdk.parameters(target.operation, arguments, style=target.style)
    except sdk.ParameterError as error:
        raise BadArguments(str(error)) from None


def unusable(arguments: Any, why: str) -> str:
    """AWS's words for arguments that an API cannot take."""
    return f"The Parameters '{compact(arguments)}' could not be used to start the Task: [{why}]"


def call(endpoint: Endpoint, target: Api, arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(The answer in ASL's form, botocore's answer). Raises Failure."""
    try:
        parameters = converted(target, arguments)
    except BadArguments as bad:
        raise Failure("States.Runtime", unusable(arguments, str(bad))) from None
    response = invoke(endpoint, target, parameters)
    return sdk.answer(target.operation, response, style=target.style), response


def optimised(endpoint: Endpoint, service: str, action: str, arguments: Any, *, named: str | None = None) -> Any:
    """The answer of one optimised call, without metadata. Raises Failure."""
    answer, _ = call(endpoint, api(service, action, style="optimised", named=named), arguments)
    return answer


def invoke(endpoint: Endpoint, target: Api, parameters: dict[str, Any]) -> dict[str, Any]:
    """One API call with botocore's parameters. Raises Failure named as ASL names errors."""
    from botocore import xform_name
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

    client = endpoint.client(target.name)
    try:
        response: dict[str, Any] = getattr(client, xform_name(target.operation.name))(**parameters)
    except ClientError as error:
        raise Failure(*errors.failure(target.service, target.operation, error, style=target.style)) from error
    except ParamValidationError as error:  # the service would have refused them
        refused = protocol.misfit(target.operation, parameters)
        code, text = (refused.code, str(refused)) if refused else ("ValidationException", str(error))
        told = ClientError({"Error": {"Code": code, "Message": text}}, target.operation.name)
        raise Failure(*errors.failure(target.service, target.operation, told, style=target.style)) from error
    except BotoCoreError as error:  # what Java's SDK calls a client exception
        prefix = errors.prefix(target.service, target.name, target.style)
        raise Failure(f"{prefix}.SdkClientException", str(error)) from error
    if target.name == "dynamodb" and parameters.get("ReturnConsumedCapacity", "NONE") == "NONE":
        response.pop("ConsumedCapacity", None)  # moto's UpdateItem tells it unasked
    return response


def with_text(arguments: Any, field: str) -> Any:
    """A field that may be any JSON value: AWS sends its text."""
    if isinstance(arguments, dict) and field in arguments and not isinstance(arguments[field], str):
        return arguments | {field: compact(arguments[field])}
    return arguments


def parsed(raw: bytes) -> Any:
    """JSON where it is JSON (NaN is not), else text; None for nothing."""
    if not raw:
        return None
    try:
        return payloads.read(raw.decode())
    except (payloads.NotJson, UnicodeDecodeError):
        return raw.decode(errors="replace")


def digest(token: str) -> str:
    """A token as APIs take it: 64 characters."""
    return hashlib.sha256(token.encode()).hexdigest()
