"""A mocked task: answered in the engine's loop from a mocked response, with the events of an ordinary one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from millpond.asl.mocks import ACTIVITY, Response, Returned
from millpond.engine.doors import TaskCall, Token
from millpond.engine.failure import RUNTIME

if TYPE_CHECKING:
    from millpond.engine.run import Engine


def answer(engine: Engine, call: TaskCall, token: Token, response: Response, calls: Counter[str]) -> None:
    """End a task as the response says for this call of its state. `calls` counts them, in the order of their starts."""
    if call.kind == "activity":
        engine.task_failed(token, RUNTIME, ACTIVITY, phase="schedule")
        return
    mocked = response.at(calls[call.state])
    calls[call.state] += 1
    engine.task_started(token)
    if call.pattern != "request":
        engine.task_submitted(token, mocked.output if isinstance(mocked, Returned) else {})
    if isinstance(mocked, Returned):
        engine.task_succeeded(token, mocked.output)
    else:
        engine.task_failed(token, mocked.error, mocked.cause)
