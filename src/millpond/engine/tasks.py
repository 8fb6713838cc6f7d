"""The life of a task: scheduled, started, submitted, and one of succeeded, failed, timed out.

Which events that gives depends on whose work it is: a service integration (Task*), a bare Lambda ARN
(LambdaFunction*), an activity (Activity*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from millpond.asl.model import Json
from millpond.engine import spread
from millpond.engine.doors import Phase, TaskCall, TaskKind
from millpond.engine.failure import RUNTIME, StateFailed, too_large
from millpond.engine.frame import Frame, TaskState, exceeds, to_text
from millpond.engine.history import TASK_EVENTS, failure_details
from millpond.engine.node import Call

if TYPE_CHECKING:
    from millpond.engine.run import Engine

SIDE = ("reader", "writer")
"""What a distributed Map asks for beside its children: the history does not show it."""


def kind_of(resource: str) -> tuple[TaskKind, str, str]:
    """(kind, service, action) of a resource ARN: `arn:aws:states:::glue:startJobRun.sync` is a `service`, `glue`,
    `startJobRun.sync`."""
    parts = resource.split(":")
    if len(parts) > 5 and parts[2] == "lambda":
        return "lambda", "lambda", resource
    if len(parts) > 5 and parts[5] == "activity":
        return "activity", "activity", resource
    rest = parts[5:]
    return "service", ":".join(rest[:-1]), rest[-1] if rest else resource


def pattern_of(kind: TaskKind, action: str) -> Literal["request", "sync", "token"]:
    """How a task ends."""
    if kind != "service":
        return "request" if kind == "lambda" else "token"
    if action.endswith(".waitForTaskToken"):
        return "token"
    return "sync" if action.endswith((".sync", ".sync:2")) else "request"


def call_of(frame: Frame, call: Call, attempt: int, *, has_submitted: bool = False, submitted: Json = None) -> TaskCall:
    """The call as the host sees it."""
    kind, service, action = kind_of(_joined_version(call.resource))
    action = action.replace("|", ":")
    start = frame.run.start
    return TaskCall(
        execution=start.execution,
        machine_arn=start.machine_arn,
        state=frame.node.name,
        path=frame.path,
        resource=call.resource,
        kind=kind,
        service=service,
        action=action,
        pattern=pattern_of(kind, action),
        arguments=call.arguments,
        attempt=attempt,
        timeout=call.timeout,
        heartbeat=call.heartbeat,
        role=call.role,
        region=start.region,
        has_submitted=has_submitted,
        submitted=submitted,
    )


def _joined_version(resource: str) -> str:
    """`.sync:2` has a colon of its own."""
    return resource[:-2] + "|2" if resource.endswith(".sync:2") else resource


def schedule(engine: Engine, frame: Frame, call: Call) -> None:
    """Write the Scheduled event and hand the call to the batch's tasks; it starts after the barrier.

    Raises StateFailed where the arguments cannot start the task: then AWS writes no event of the task at all.
    """
    run = frame.run
    wanted = call_of(frame, call, frame.tries)
    if (why := engine.check(wanted)) is not None:
        raise StateFailed(RUNTIME, why, evaluated=True)
    text = to_text(call.arguments)
    if exceeds(text, run.start.payload_quota):  # AWS: "after Parameters processing"
        raise too_large(frame.node.name)
    task = TaskState(wanted, run.token(frame))
    kind = task.call.kind
    frame.task, frame.phase = task, "task"
    frame.previous = frame.ledger.event(
        TASK_EVENTS[kind]["scheduled"], frame.previous, None, text, _scheduled(task.call)
    )
    now = engine.clock.now()
    if call.timeout is not None:
        task.deadline = now + call.timeout
        engine.arm(run, frame, "timeout", call.timeout)
    if call.heartbeat is not None and kind != "activity":
        task.beat = now + call.heartbeat
        engine.arm(run, frame, "heartbeat", call.heartbeat)
    engine.expect(frame, task)
    run.starting.append(task)
    engine.touch(frame)


def _scheduled(call: TaskCall) -> dict[str, Json]:
    more: dict[str, Json] = dict(_who(call))
    if call.kind == "service":
        more["region"] = call.region
    else:
        more["resource"] = call.resource
    if call.timeout is not None:
        more["timeoutInSeconds"] = int(call.timeout)
    if call.heartbeat is not None:
        more["heartbeatInSeconds"] = int(call.heartbeat)
    if call.role is not None:
        more["taskCredentials"] = {"roleArn": call.role}
    return more


def _who(call: TaskCall) -> Mapping[str, Json]:
    """What every event of a service task carries."""
    return {"resourceType": call.service, "resource": call.action} if call.kind == "service" else {}


def _task(frame: Frame) -> TaskState:
    assert frame.task is not None
    return frame.task


def _event(frame: Frame, name: str, payload: str | None, more: Mapping[str, Json]) -> None:
    kind = TASK_EVENTS[_task(frame).call.kind][name]
    if kind:
        frame.previous = frame.ledger.event(kind, frame.previous, None, payload, more or None)


def started(engine: Engine, frame: Frame, worker: str | None = None) -> None:
    """The Started event, once."""
    task = _task(frame)
    if task.begun or task.call.kind in SIDE:
        return
    task.begun = True
    call = task.call
    more: dict[str, Json] = dict(_who(call))
    if call.kind == "activity":
        if worker is not None:
            more["workerName"] = worker
        if call.heartbeat is not None:
            heartbeat(engine, frame)
    _event(frame, "started", None, more)
    engine.touch(frame)


def submitted(engine: Engine, frame: Frame, output: Json) -> None:
    """The first call's answer of a task that goes on."""
    started(engine, frame)
    task = _task(frame)
    if task.has_submitted:
        return
    task.has_submitted, task.submitted = True, output
    _event(frame, "submitted", to_text(output), _who(task.call))
    engine.touch(frame)


def heartbeat(engine: Engine, frame: Frame) -> None:
    """Arm the heartbeat timer anew."""
    task = _task(frame)
    seconds = task.call.heartbeat
    if seconds is None:
        return
    for timer in frame.timers:
        if timer.kind == "heartbeat":
            timer.cancel()
    frame.timers = [timer for timer in frame.timers if timer.alive]
    task.beat = engine.clock.now() + seconds
    engine.arm(frame.run, frame, "heartbeat", seconds)
    engine.touch(frame)


def succeeded(engine: Engine, frame: Frame, output: Json) -> None:
    """The result: too large a one is a failure of the task."""
    started(engine, frame)
    task = _task(frame)
    if task.call.kind in SIDE:
        spread.answered(engine, frame, output)
        return
    text = to_text(output)
    if exceeds(text, frame.run.start.payload_quota):
        large = too_large(task.call.resource)
        failed(engine, frame, large.error, large.cause, "run")
        return
    _event(frame, "succeeded", text, _who(task.call))
    engine.let_go(frame, stop=False)
    engine.finish(frame, output)


def failed(engine: Engine, frame: Frame, error: str | None, cause: str | None, phase: Phase) -> None:
    """The failure, under the event of its phase."""
    task = _task(frame)
    if task.call.kind in SIDE:
        spread.refused(engine, frame, error, cause)
        return
    if phase in ("run", "submit"):
        started(engine, frame)
    _event(frame, phase, None, failure_details(error, cause, _who(task.call)))
    engine.let_go(frame, stop=False)
    engine.fail(frame, StateFailed(error, cause))


def timed_out(engine: Engine, frame: Frame, error: str, cause: str | None, *, missed_heartbeat: bool = False) -> None:
    """TimeoutSeconds or HeartbeatSeconds ran out; the work is told to stop."""
    task = _task(frame)
    _event(frame, "timeout", None, failure_details(error, cause, _who(task.call)))
    engine.let_go(frame, stop=True)
    engine.fail(frame, StateFailed(error, cause, heartbeat=missed_heartbeat))
