"""The pytest plugin, as a user's test run sees it: a pytest of its own in a project's folder."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FLOW = {
    "StartAt": "Join",
    "States": {
        "Join": {
            "Type": "Task",
            "Resource": "arn:aws:states:::glue:startJobRun.sync",
            "Parameters": {"JobName.$": "$.job"},
            "Retry": [{"ErrorEquals": ["Busy"], "IntervalSeconds": 60}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Tell"}],
            "Next": "Pause",
        },
        "Pause": {"Type": "Wait", "Seconds": 10, "End": True},
        "Tell": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"QueueUrl.$": "$$.Execution.Input.queue", "MessageBody": "failed"},
            "End": True,
        },
    },
}
MOCKS = {
    "StateMachines": {"Nightly": {"TestCases": {"Happy": {"Join": "Joined"}, "Sad": {"Join": "Broken"}}}},
    "MockedResponses": {
        "Joined": {"0": {"Return": {"JobRunState": "SUCCEEDED"}}},
        "Broken": {"0": {"Throw": {"Error": "Glue.X", "Cause": "no"}}},
    },
}
PIPELINE = """from millpond import asl, lambda_, states
check = lambda_.Function(name="check", code="functions/check", handler="main.handler")
flow = states.StateMachine(name="nightly", definition=asl.Machine(start_at="Check", query_language="JSONata", states={
    "Check": asl.Task(resource="arn:aws:states:::lambda:invoke", output="{% $states.result.Payload %}",
                      arguments={"FunctionName": check.ref, "Payload": "{% $states.input %}"}),
}))
"""
TESTS = """
import pytest
from pathlib import Path
from millpond import project
from millpond.errors import MillpondError

FLOW = Path(__file__).with_name("flow.asl.json")


def test_mocked_calls_and_real_ones(state_machine, millpond_endpoint):
    sqs = millpond_endpoint.client("sqs")
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    nightly = state_machine(FLOW)
    nightly.on("Join").fail("Busy", "later", times=2).fail("Other", "gone")
    run = nightly.run({"job": "join", "queue": queue})
    assert run.must_succeed()["MessageId"]
    assert run.states == ["Join", "Tell"] and run.retries("Join") == 2
    assert run.arguments_of("Join") == [{"JobName": "join"}] * 3
    assert run.step("Join").error == "Other" and run.seconds < 100
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "failed"


def test_again_with_other_answers(state_machine):
    nightly = state_machine(FLOW)
    nightly.on("Join").succeed({"JobRunState": "SUCCEEDED"})
    assert nightly.run({"job": "join"}).states == ["Join", "Pause"]


def test_a_mock_configuration_as_it_is(state_machine):
    nightly, mocks = state_machine(FLOW), FLOW.with_name("MockConfigFile.json")
    assert nightly.run({"job": "j"}, mocks=mocks, case="Happy").states == ["Join", "Pause"]
    assert nightly.run({"job": "j", "queue": "none"}, mocks=mocks, case="Sad").visited("Tell")
    with pytest.raises(MillpondError, match="which test case"):
        nightly.run({}, mocks=mocks)


def test_children_of_a_distributed_map(state_machine):
    call = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f"}}
    inner = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "One"}
    inner["States"] = {"One": call | {"End": True}}
    each = {"Type": "Map", "ItemProcessor": inner, "End": True}
    spread = state_machine({"StartAt": "Each", "States": {"Each": each}})
    spread.on("One").succeed(1)
    run = spread.run([1, 2, 3])
    assert run.output == [1, 1, 1] and run.visited("One") and len(run.children) == 3


def test_express(state_machine):
    call = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f"}}
    quick = state_machine({"StartAt": "A", "States": {"A": call | {"End": True}}}, express=True)
    quick.on("A").succeed({"Payload": 1})
    assert quick.run().output == {"Payload": 1}


def test_errors_teach(state_machine):
    with pytest.raises(MillpondError, match="no Task state is called 'Jion'") as caught:
        state_machine(FLOW).on("Jion")
    assert caught.value.help == "its Task states: Join, Tell"
    with pytest.raises(MillpondError, match="Missing 'Next' target"):
        state_machine({"StartAt": "B", "States": {"A": {"Type": "Succeed"}}})


def test_the_project_itself(millpond_project):
    flow = millpond_project.flow()
    assert flow.run({"n": 2}).must_succeed() == {"twice": 4}  # the real function
    flow.on("Check").succeed({"Payload": "mocked"})
    assert flow.run({"n": 2}).output == "mocked"


def test_that_fails(state_machine):
    nightly = state_machine(FLOW)
    nightly.on("Join").fail("Other", "a cause that is shown")
    assert nightly.run({"job": "j", "queue": "none"}).status == "SUCCEEDED"
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest prints in a project's folder."""
    folder = tmp_path_factory.mktemp("user")
    files = {
        "pyproject.toml": '[project]\nname = "small"\n[tool.millpond]\n[tool.pytest.ini_options]\n',
        "pipeline.py": PIPELINE,
        "functions/check/main.py": "def handler(event, context):\n    return {'twice': event['n'] * 2}\n",
        "flow.asl.json": json.dumps(FLOW),
        "MockConfigFile.json": json.dumps(MOCKS),
        "test_flow.py": TESTS,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "millpond.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_users_tests_run_deployed_machines(said: str) -> None:
    assert "1 failed, 7 passed" in said, said


@pytest.mark.slow
def test_a_failed_test_shows_the_last_run(said: str) -> None:
    shown = said.partition("last run of machine-")[2]
    assert "a cause that is shown" in shown and "FAIL Tell" in shown, said


def test_loading_the_plugin_imports_nothing_of_it() -> None:
    program = (
        "import sys, millpond.pytest_plugin\n"
        "loaded = {name for name in sys.modules if name.startswith('millpond.')} - {'millpond.pytest_plugin'}\n"
        "sys.exit(str(loaded | ({'boto3'} & set(sys.modules))) if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
