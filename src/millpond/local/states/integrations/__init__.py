"""What a Task's Resource does: one row an integration, each a way to check, to start, to watch and to stop.

`check` says before a task is scheduled why its arguments cannot start it. `begin` makes the API call and returns its
answer in ASL's form; for `.sync` the `watch` of the row in WORK says how the work went. Every call goes over
`endpoint.client`, so whatever stands behind (ours, moto's, AWS's) is the same to a flow. What AWS has and we do not
carry fails the state with `<Service>.NotImplementedException`: nothing succeeds without being done.

`calls` is one API call, `errors` its failures; `functions`, `jobs`, `nested`, `messages`, `web` are the services,
`absent` what nobody carries. Sources: AWS Step Functions Developer Guide, one page an integration; outputs as those
pages print them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from millpond.local.states import sdk
from millpond.local.states.integrations import absent, calls, errors, functions, jobs, messages, nested, web
from millpond.local.states.integrations.calls import Api, BadArguments, Done, Failure, Handle, Work

if TYPE_CHECKING:
    from millpond.engine.doors import TaskCall
    from millpond.local.service import Endpoint

__all__ = ["NAMED", "WORK", "Done", "Failure", "Handle", "Work", "begin", "check", "not_carried"]

WORK: Mapping[str, Work] = {
    "glue:startJobRun.sync": jobs.GLUE,
    "athena:startQueryExecution.sync": jobs.ATHENA,
    "sagemaker:createProcessingJob.sync": jobs.sagemaker("Processing"),
    "sagemaker:createTrainingJob.sync": jobs.sagemaker("Training"),
    "sagemaker:createTransformJob.sync": jobs.sagemaker("Transform"),
    "states:startExecution.sync": nested.work(parse=False),
    "states:startExecution.sync:2": nested.work(parse=True),
}

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
"""Optimised integrations that are API calls which we carry: ASL's service -> botocore's."""

NAMED: Mapping[str, str] = {
    **PLAIN,
    "batch": "batch",
    "codebuild": "codebuild",
    "databrew": "databrew",
    "ecs": "ecs",
    "emr-containers": "emr-containers",
    "emr-serverless": "emr-serverless",
    "mediaconvert": "mediaconvert",
    "elasticmapreduce": "emr",
    "eks": "eks",
    "bedrock": "bedrock",
}
"""Those that are API calls at all: their arguments are checked even where nobody is there to do the work."""

ACTIONS: Mapping[str, str] = {"elasticmapreduce:createCluster": "runJobFlow"}
"""Actions that their API calls otherwise."""

SHAPING: Mapping[str, Callable[[Any], Any]] = {
    "sns:publish": messages.message,
    "sqs:sendMessage": messages.body,
    "states:startExecution": nested.shaped,
    "events:putEvents": messages.entries,
}


OWN_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "lambda:invoke": functions.check,
    "http:invoke": web.check,
    "apigateway:invoke": web.check_gateway,
    **{action: partial(absent.check, action) for action in absent.FORMS},
}
"""Integrations whose arguments are not those of an API: what raises BadArguments."""


def check(call: TaskCall) -> str | None:
    """Why the arguments of a task cannot start it, in AWS's words; None where they can."""
    if call.kind != "service":
        return None
    try:
        if (own := OWN_CHECKS.get(f"{call.service}:{_action(call)}")) is not None:
            own(call.arguments)
        elif (target := _target(call)) is not None:
            calls.converted(target, _shaped(call))
    except BadArguments as bad:
        return calls.unusable(call.arguments, str(bad))
    except Failure as failure:  # an action that botocore no longer has
        return failure.cause
    return None


def begin(endpoint: Endpoint, call: TaskCall, arguments: Any) -> Any:
    """Make the call of a task: its answer in ASL's form. Raises Failure."""
    if call.kind == "lambda":
        return functions.invoke_arn(endpoint, call.resource, arguments)
    if (why := check(call)) is not None:
        raise Failure("States.Runtime", why)
    if call.service == "lambda":
        return functions.invoke(endpoint, arguments)
    if call.service == "http":
        return web.invoke(endpoint, arguments)
    target = _target(call)
    if target is None or (target.style == "optimised" and call.service not in PLAIN):
        raise not_carried(call)
    return _call(endpoint, call, target, SHAPING.get(_key(call), lambda given: given)(arguments))


def _call(endpoint: Endpoint, call: TaskCall, target: Api, arguments: Any) -> Any:
    if call.service == "events":
        arguments = messages.with_sender(arguments, call)
    if call.service == "sqs":
        messages.check_body(arguments, target)
    answer, response = calls.call(endpoint, target, arguments)
    if target.style == "sdk":
        return answer
    if call.service == "events":
        messages.check_taken(answer)
    return sdk.with_metadata(answer, response, target.name)


def _action(call: TaskCall) -> str:
    return call.action.partition(".")[0]


def _key(call: TaskCall) -> str:
    return f"{call.service}:{_action(call)}"


def _shaped(call: TaskCall) -> Any:
    return SHAPING.get(_key(call), lambda given: given)(call.arguments)


def _target(call: TaskCall) -> Api | None:
    """The operation behind a task; None where it is none of AWS's API (http:invoke, eks:call, EMR's own forms)."""
    if call.service.startswith("aws-sdk:"):
        return calls.api(call.service.removeprefix("aws-sdk:"), _action(call), style="sdk")
    if _key(call) in OWN_CHECKS:
        return None
    named = NAMED.get(call.service)
    action = ACTIONS.get(_key(call), _action(call))
    return calls.api(call.service, action, style="optimised", named=named) if named else None


def not_carried(call: TaskCall) -> Failure:
    """The refusal of an integration that AWS has and we do not."""
    name = call.service.removeprefix("aws-sdk:")
    prefix = errors.OPTIMISED[name].prefix if name in errors.OPTIMISED else name[:1].upper() + name[1:]
    return Failure(
        f"{prefix}.NotImplementedException",
        f"Millpond does not carry the integration {call.service}:{call.action} yet. See docs/parity.md.",
    )
