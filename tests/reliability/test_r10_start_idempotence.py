"""R10: fifty clients start an execution of one name at the same moment."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from soundness import Process

CLIENTS = 50
WAIT = {"W": {"Type": "Wait", "Seconds": 600, "End": True}}


def at_once(process: Process, machine: str, inputs: list[str], name: str) -> Counter[str]:
    """What each client got: an ARN or the name of an error."""
    sfn, gate = process.sfn, threading.Barrier(CLIENTS)

    def start(text: str) -> str:
        gate.wait()
        try:
            arn: str = sfn.start_execution(stateMachineArn=machine, name=name, input=text)["executionArn"]
            return arn
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(start, inputs))


@pytest.mark.parametrize("same", [True, False], ids=["same-input", "different-input"])
def test_r10(process: Process, same: bool, figures: Callable[..., None]) -> None:
    machine = process.machine("m", WAIT)
    inputs = [json.dumps({"n": 0 if same else n}) for n in range(CLIENTS)]
    answers = at_once(process, machine, inputs, "one")
    executions = process.sfn.list_executions(stateMachineArn=machine)["executions"]
    refused = answers.pop("ExecutionAlreadyExists", 0)
    figures(executions=len(executions), equal_arns=answers.total(), refused=refused)
    assert len(executions) == 1
    assert list(answers) == [executions[0]["executionArn"]]
    assert (answers.total(), refused) == ((CLIENTS, 0) if same else (1, CLIENTS - 1))


def test_r10_the_same_after_a_kill(process: Process) -> None:
    """The name is remembered; and a closed execution's name with the same input is refused, as AWS documents it."""
    machine = process.machine("m", WAIT)
    first = process.sfn.start_execution(stateMachineArn=machine, name="one", input="{}")["executionArn"]
    process.kill()
    process.up()
    assert process.sfn.start_execution(stateMachineArn=machine, name="one", input="{}")["executionArn"] == first
    process.sfn.stop_execution(executionArn=first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        process.sfn.start_execution(stateMachineArn=machine, name="one", input="{}")
