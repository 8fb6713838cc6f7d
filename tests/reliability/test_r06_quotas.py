"""R6: the quotas at their edges: 25,000 events of a history, 262,144 bytes of input, output and task result."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from soundness import Process

pytestmark = pytest.mark.slow

EVENTS, BYTES = 25_000, 262_144
ROUND = 4  # events of one round of the loop


def looping(events: int) -> dict[str, Any]:
    """States that make so many events: start, Pass and Choice again and again, an end of one event or of two."""
    fails = events % 2 == 1  # a Fail state is entered and not left
    rounds, left = divmod(events - (5 if fails else 6), ROUND)
    states: dict[str, Any] = {"More": {"Type": "Pass", "Next": "Begin"}} if left else {}
    states["Begin"] = {"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"n": 0}, "Next": "Add"}
    states["Add"] = {"Type": "Pass", "QueryLanguage": "JSONata", "Assign": {"n": "{% $n + 1 %}"}, "Next": "Enough"}
    states["Enough"] = {
        "Type": "Choice",
        "QueryLanguage": "JSONata",
        "Choices": [{"Condition": f"{{% $n < {rounds} %}}", "Next": "Add"}],
        "Default": "End",
    }
    states["End"] = {"Type": "Fail", "Error": "Meant"} if fails else {"Type": "Succeed"}
    return states


@pytest.mark.parametrize("wanted", [EVENTS - 1, EVENTS, EVENTS + 1])
def test_r06_events(shared: Process, wanted: int, figures: Callable[..., None]) -> None:
    process, states = shared, looping(wanted)
    execution = process.sfn.start_execution(stateMachineArn=process.machine(f"m{wanted}", states))["executionArn"]
    answer, events = process.ended(execution), process.history(execution)
    figures(events_asked_for=wanted, events=len(events), status=answer["status"])
    assert len(events) == min(wanted, EVENTS)
    if wanted > EVENTS:
        assert (answer["status"], answer["error"]) == ("FAILED", "States.Runtime")
        assert "25000" in answer["cause"] or "25,000" in answer["cause"]
    elif wanted % 2:
        assert (answer["status"], answer["error"]) == ("FAILED", "Meant")
    else:
        assert answer["status"] == "SUCCEEDED"


def text_of(size: int, letter: str = "x") -> str:
    """A JSON object of exactly so many UTF-8 bytes: `{"t":"xxx"}`."""
    width = len(letter.encode())
    inside = size - len('{"t":""}')
    return json.dumps({"t": letter * (inside // width) + "y" * (inside % width)}, separators=(",", ":"),
                      ensure_ascii=False)  # fmt: skip


@pytest.mark.parametrize("letter", ["x", "é", "𝄞"], ids=["1-byte", "2-bytes", "4-bytes"])
def test_r06_bytes(shared: Process, letter: str, figures: Callable[..., None]) -> None:
    process, sfn = shared, shared.sfn
    added = ',"y":1'
    states = {"P": {"Type": "Pass", "Result": 1, "ResultPath": "$.y", "End": True}}
    machine = process.machine(f"more-{ord(letter)}", states)
    same = process.machine(f"same-{ord(letter)}", {"P": {"Type": "Pass", "End": True}})
    fits = text_of(BYTES, letter)
    assert len(fits.encode()) == BYTES
    execution = sfn.start_execution(stateMachineArn=same, input=fits)["executionArn"]
    answer = process.ended(execution)
    assert (answer["status"], answer["output"]) == ("SUCCEEDED", fits)
    with pytest.raises(ClientError) as caught:
        sfn.start_execution(stateMachineArn=same, input=text_of(BYTES + 1, letter))
    assert caught.value.response["Error"]["Code"] in ("ValidationException", "InvalidExecutionInput")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert len(sfn.list_executions(stateMachineArn=same)["executions"]) == 1
    for more, status in ((0, "SUCCEEDED"), (1, "FAILED")):
        text = text_of(BYTES - len(added) + more, letter)
        execution = sfn.start_execution(stateMachineArn=machine, input=text)["executionArn"]
        answer = process.ended(execution)
        assert answer["status"] == status
        assert answer.get("error") == (None if status == "SUCCEEDED" else "States.DataLimitExceeded")
    figures(largest_bytes=BYTES)
