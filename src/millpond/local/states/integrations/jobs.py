"""`.sync`: Glue job runs, Athena queries, SageMaker jobs. How to start one once, to watch it, and to end it.

Outputs are those of the describing call, as AWS gives them: Glue's JobRun, Athena's whole answer, SageMaker's
description. A job that ended otherwise than well is States.TaskFailed with the description as its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from millpond.asl.paths import compact
from millpond.local.states.integrations.calls import Done, Failure, Handle, Work, digest, optimised

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

# ----------------------------------------------------------------------------------------------------------------- Glue

_GLUE_ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED"})


def _glue_handle(answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> Handle:
    return {"JobName": parameters["JobName"], "RunId": answer["JobRunId"]}


def _glue_watch(endpoint: Endpoint, handle: Handle) -> Done | None:
    run = optimised(endpoint, "glue", "getJobRun", handle, named="glue")["JobRun"]
    if run["JobRunState"] not in _GLUE_ENDED:
        return None
    shown = dict(sorted(run.items()))
    if run["JobRunState"] == "SUCCEEDED":
        return Done(shown)
    raise Failure("States.TaskFailed", compact(shown))


def _glue_stop(endpoint: Endpoint, handle: Handle) -> None:
    run = {"JobName": handle["JobName"], "JobRunIds": [handle["RunId"]]}
    optimised(endpoint, "glue", "batchStopJobRun", run, named="glue")


# StartJobRun has no token of its own; Glue takes the task's (see service.acting_for): a repeated start is the same
# run.
GLUE = Work(handle=_glue_handle, watch=_glue_watch, stop=_glue_stop)

# --------------------------------------------------------------------------------------------------------------- Athena


def _athena_handle(answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> Handle:
    return {"QueryExecutionId": answer["QueryExecutionId"]}


def _athena_prepare(parameters: dict[str, Any], token: str) -> dict[str, Any]:
    return {"ClientRequestToken": digest(token)} | parameters


def _athena_watch(endpoint: Endpoint, handle: Handle) -> Done | None:
    answer = optimised(endpoint, "athena", "getQueryExecution", handle, named="athena")
    state = answer["QueryExecution"]["Status"]["State"]
    if state in ("QUEUED", "RUNNING"):
        return None
    if state == "SUCCEEDED":
        return Done(answer)
    raise Failure("States.TaskFailed", compact(answer["QueryExecution"]))


def _athena_stop(endpoint: Endpoint, handle: Handle) -> None:
    optimised(endpoint, "athena", "stopQueryExecution", handle, named="athena")


ATHENA = Work(handle=_athena_handle, watch=_athena_watch, stop=_athena_stop, prepare=_athena_prepare)

# ------------------------------------------------------------------------------------------------------------ SageMaker


def sagemaker(kind: str) -> Work:
    """`kind` is Processing, Training, Transform, ...: each has create, describe and stop under one name."""
    name = f"{kind}JobName"

    def describe(endpoint: Endpoint, handle: Handle) -> Any:
        return optimised(endpoint, "sagemaker", f"describe{kind}Job", handle, named="sagemaker")

    def watch(endpoint: Endpoint, handle: Handle) -> Done | None:
        answer = describe(endpoint, handle)
        status = answer[f"{kind}JobStatus"]
        if status in ("InProgress", "Stopping"):
            return None
        if status == "Completed":
            return Done(answer)
        raise Failure("States.TaskFailed", compact(answer))

    def stop(endpoint: Endpoint, handle: Handle) -> None:
        optimised(endpoint, "sagemaker", f"stop{kind}Job", handle, named="sagemaker")

    def find(endpoint: Endpoint, parameters: dict[str, Any], since: float) -> Handle | None:
        """The name is unique in the account: a job of that name that was made since then is ours."""
        handle = {name: parameters[name]}
        try:
            answer = describe(endpoint, handle)
        except Failure:
            return None
        return handle if answer["CreationTime"] / 1000 >= since - 0.001 else None

    def handle(answer: Mapping[str, Any], parameters: Mapping[str, Any]) -> Handle:
        return {name: parameters[name]}

    return Work(handle=handle, watch=watch, stop=stop, find=find)
