"""T6: a task token is good across restarts, once; a forged one is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from soundness import Process, until

pytestmark = pytest.mark.slow


def code(call: Callable[..., Any], **params: Any) -> str:
    """The error's name, or "" for success."""
    try:
        call(**params)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize("kind", ["activity", "waitForTaskToken"])
def test_t06(process: Process, kind: str, figures: Callable[..., None]) -> None:
    sfn, sqs = process.sfn, process.client("sqs")
    if kind == "activity":
        activity = sfn.create_activity(name="a")["activityArn"]
        task: dict[str, Any] = {"Type": "Task", "Resource": activity, "End": True}
    else:
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        task = {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {"QueueUrl": queue, "MessageBody": {"token.$": "$$.Task.Token"}},
            "End": True,
        }
    execution = sfn.start_execution(stateMachineArn=process.machine("m", {"T": task}))["executionArn"]
    if kind == "activity":
        token = sfn.get_activity_task(activityArn=activity)["taskToken"]
    else:
        message = until(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]
        token = json.loads(message["Body"])["token"]
        until(lambda: "TaskSubmitted" in [event["type"] for event in process.history(execution)])
    process.kill()
    process.up()
    sfn = process.sfn

    raw = bytearray(base64.urlsafe_b64decode(token))
    raw[-1] ^= 1  # another hex digit, or none
    forged = base64.urlsafe_b64encode(bytes(raw)).decode()
    refused = code(sfn.send_task_success, taskToken=forged, output="0")
    assert refused == "InvalidToken"
    with ThreadPoolExecutor(8) as pool:  # of eight at once, one is taken
        answers = list(pool.map(lambda n: code(sfn.send_task_success, taskToken=token, output=str(n)), range(8)))
    assert answers.count("") == 1
    assert set(answers) == {"", "TaskTimedOut"}
    assert process.ended(execution)["output"] == str(answers.index(""))
    answers.append(code(sfn.send_task_success, taskToken=token, output="9"))
    process.kill()
    process.up()
    answers.append(code(process.sfn.send_task_success, taskToken=token, output="9"))
    assert answers[8:] == ["TaskTimedOut"] * 2
    types = [event["type"] for event in process.history(execution)]
    figures(
        accepted=answers.count(""),
        refused=answers.count("TaskTimedOut"),
        forged=refused,
        token_bits=len(raw.rpartition(b"|")[2]) * 4,
    )
    assert types.count("TaskSucceeded") + types.count("ActivitySucceeded") == 1
    assert len(raw.rpartition(b"|")[2]) * 4 >= 128
