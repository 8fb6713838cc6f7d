"""`millpond redrive`, `stop` and `try` against the real endpoint."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millpond.cli import run
from millpond.local.service import Endpoint

ROLE = "arn:aws:iam::000000000000:role/flow"


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


@pytest.fixture
def data(endpoint: Endpoint) -> list[str]:
    """What makes a command find the endpoint."""
    (endpoint.data / "endpoint.json").write_text(json.dumps({"pid": 0, "port": endpoint.port, "started": 0}))
    return ["--data", str(endpoint.data)]


def started(sfn: Any, states: dict[str, Any], given: Any = None) -> str:
    """The name of an execution of a new machine."""
    definition = {"StartAt": next(iter(states)), "States": states}
    machine = sfn.create_state_machine(name=f"m-{uuid.uuid4()}", definition=json.dumps(definition), roleArn=ROLE)
    arn, name = machine["stateMachineArn"], f"run-{uuid.uuid4()}"
    sfn.start_execution(stateMachineArn=arn, name=name, input=json.dumps(given or {}))
    return f"{arn.replace(':stateMachine:', ':execution:')}:{name}"


def ended(sfn: Any, execution: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def send(queue: str) -> dict[str, Any]:
    parameters = {"QueueUrl": queue, "MessageBody": "m"}
    return {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": parameters, "End": True}


def test_redrive_goes_on_where_it_failed(
    sfn: Any, aws: Callable[[str], Any], data: list[str], endpoint: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"late-{uuid.uuid4().hex}"
    queue = f"{endpoint.url}/{endpoint.account}/{name}"
    execution = started(sfn, {"Begin": {"Type": "Pass", "Next": "Send"}, "Send": send(queue)})
    assert ended(sfn, execution)["status"] == "FAILED"
    assert run(["redrive", execution, *data]) == 1  # there is no queue still
    capsys.readouterr()
    assert aws("sqs").create_queue(QueueName=name)["QueueUrl"] == queue
    assert run(["redrive", execution.rpartition(":")[2], *data]) == 0
    said = capsys.readouterr()
    assert "keeps 1 step, reruns Send and what follows" in said.err and "MessageId" in said.out
    assert run(["redrive", execution, *data]) == 3
    assert "Execution is SUCCEEDED and cannot be redriven" in capsys.readouterr().err


def test_redrive_of_a_caught_failure_is_refused(sfn: Any, data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    execution = started(sfn, {"Failed": {"Type": "Fail", "Error": "E", "Cause": "c"}})
    ended(sfn, execution)
    assert run(["redrive", execution, *data]) == 2
    assert "only the Fail state 'Failed' would run again" in capsys.readouterr().err
    assert run(["redrive", execution, "--anyway", "--json", *data]) == 1
    assert json.loads(capsys.readouterr().out)["status"] == "FAILED"


def test_stop(sfn: Any, data: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    execution = started(sfn, {"Wait": {"Type": "Wait", "Seconds": 3600, "End": True}})
    assert run(["stop", execution, "--error", "Enough", "--cause", "of it", *data]) == 0
    assert "ABORTED" in capsys.readouterr().out
    seen = ended(sfn, execution)
    assert (seen["status"], seen["error"], seen["cause"]) == ("ABORTED", "Enough", "of it")
    assert run(["stop", execution, *data]) == 2
    assert run(["stop", "nobody", *data]) == 2


def test_try_a_state(sfn: Any, data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName.$": "$.f"}}
    definition = {
        "StartAt": "Twice",
        "States": {
            "Twice": {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($.n, $.n)"}, "Next": "Job"},
            "Job": {**job, "ResultSelector": {"p.$": "$.Payload"}, "End": True},
        },
    }
    file, given = tmp_path / "flow.asl.json", tmp_path / "input.json"
    file.write_text(json.dumps(definition))
    given.write_text('{"n": 21}')
    assert run(["try", str(file), "Twice", "--input", str(given), *data]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Twice  SUCCEEDED -> Job\n") and json.loads(out.partition("Output\n")[2]) == {"twice": 42}
    mocked = ["--input", '{"f": "x"}', "--result", '{"StatusCode": 200, "Payload": {"a": 1}}']
    assert run(["try", str(file), "Job", *mocked, "--json", *data]) == 0
    assert json.loads(json.loads(capsys.readouterr().out)["output"]) == {"p": {"a": 1}}
    assert run(["try", str(file), "Job", "--input", '{"f": "x"}', "--error", "Lambda.X: no", *data]) == 1
    assert "Lambda.X: no" in capsys.readouterr().out
    assert run(["try", str(file), "Nope", *data]) == 3
    assert run(["try", str(file), "Twice", "--input", "absent.json", *data]) == 2
    sfn.create_state_machine(name="stack-nightly", definition=json.dumps(definition), roleArn=ROLE)
    assert run(["try", "nightly", "Twice", "--input", '{"n": 1}', *data]) == 0
    assert run(["try", "other", "Twice", *data]) == 2
    assert "Deployed are:" in capsys.readouterr().err
