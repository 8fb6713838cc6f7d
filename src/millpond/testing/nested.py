"""A simulated execution inside another: what startExecution answers when the test gave the machine to run.

Forms of the answers: AWS Step Functions Developer Guide, "Start AWS Step Functions workflow executions from a running
state machine"; `.sync` shows Input and Output as JSON text, `.sync:2` as JSON. May import: engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from millpond.asl.model import Json, Machine
from millpond.errors import MillpondError

if TYPE_CHECKING:
    from millpond.engine.doors import TaskCall
    from millpond.testing.fakes import FakeTasks, TaskFailure
    from millpond.testing.runs import Run

DEEPEST = 10


def nested(
    machine: Machine, call: TaskCall, tasks: FakeTasks, now: float
) -> tuple[Callable[[Json], Json] | TaskFailure, float]:
    """(how the task ends, seconds that it takes)."""
    from millpond.testing.fakes import FakeClock, FakeTasks, TaskFailure
    from millpond.testing.simulation import simulate

    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    target = str(arguments.get("StateMachineArn", "machine"))
    name = str(arguments.get("Name", f"nested-{len(tasks.calls)}"))
    given = arguments.get("Input", {})
    value = json.loads(given) if isinstance(given, str) else given
    inner = FakeTasks()
    inner.fakes, inner.calls, inner.depth = tasks.fakes, tasks.calls, tasks.depth + 1
    inner.datasets = tasks.datasets
    if inner.depth > DEEPEST:
        raise MillpondError(
            f"state '{call.state}' starts executions more than {DEEPEST} deep: does the machine start itself?",
            help="let the fake of the inner call .succeed({...}) instead of .run(machine)",
        )
    waits = call.pattern == "sync" or "Sync" in call.action
    run = simulate(machine, value, tasks=inner, clock=FakeClock(now), name=name, machine_name=target.split(":")[-1])
    arn = f"{target.replace(':stateMachine:', ':execution:')}:{name}"
    if not waits:
        started: dict[str, Json] = {"ExecutionArn": arn, "StartDate": int(now * 1000)}
        return (lambda arguments: started), 0.0
    answer = _described(run, arn, target, name, value, now, parse=call.action.endswith(":2"))
    if run.status != "SUCCEEDED" and call.pattern == "sync":
        return TaskFailure("States.TaskFailed", json.dumps(answer, separators=(",", ":"))), run.seconds
    return (lambda arguments: answer), run.seconds


def _described(run: Run, arn: str, target: str, name: str, given: Json, now: float, *, parse: bool) -> dict[str, Json]:
    """DescribeExecution's answer in ASL's form."""
    answer: dict[str, Json] = {
        "ExecutionArn": arn,
        "Input": given if parse else json.dumps(given, separators=(",", ":")),
        "InputDetails": {"Included": True},
        "Name": name,
        "StartDate": int(now * 1000),
        "StateMachineArn": target,
        "Status": run.status,
        "StopDate": int((now + run.seconds) * 1000),
    }
    if run.status == "SUCCEEDED":
        answer["Output"] = run.output if parse else json.dumps(run.output, separators=(",", ":"))
        answer["OutputDetails"] = {"Included": True}
    if run.error is not None:
        answer["Error"] = run.error
    if run.cause is not None:
        answer["Cause"] = run.cause
    return dict(sorted(answer.items()))
