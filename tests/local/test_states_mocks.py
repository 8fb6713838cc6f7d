"""Step Functions Local's mock configuration on the endpoint: `<stateMachineArn>#<TestCase>`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.errors import MillpondError
from millpond.local.server import Server
from millpond.local.service import Endpoint

Serve = Callable[[Server], AbstractContextManager[Server]]
ROLE = "arn:aws:iam::000000000000:role/flow"
LAMBDA = "arn:aws:states:::lambda:invoke"
RETRY = [{"ErrorEquals": ["Lambda.Late"], "IntervalSeconds": 1, "MaxAttempts": 3, "BackoffRate": 1}]
MACHINES = {
    "Orders": {
        "StartAt": "Charge",
        "States": {
            "Charge": {
                "Type": "Task",
                "Resource": LAMBDA,
                "Parameters": {"FunctionName": "nobody"},
                "Retry": RETRY,
                "Catch": [{"ErrorEquals": ["Refused"], "Next": "Job"}],
                "ResultPath": "$.charge",
                "Next": "Job",
            },
            "Job": {
                "Type": "Task",
                "Resource": "arn:aws:states:::glue:startJobRun.sync",
                "Parameters": {"JobName": "j"},
                "Next": "Ask",
            },
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}},
                "End": True,
            },
        },
    },
    "Each": {
        "StartAt": "Map",
        "States": {
            "Map": {
                "Type": "Map",
                "End": True,
                "ItemProcessor": {
                    "StartAt": "One",
                    "States": {
                        "One": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f"}, "End": True}
                    },
                },
            }
        },
    },
    "Spread": {
        "StartAt": "Map",
        "States": {
            "Map": {
                "Type": "Map",
                "End": True,
                "MaxConcurrency": 1,
                "ItemProcessor": {
                    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                    "StartAt": "One",
                    "States": {
                        "One": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f"}, "End": True}
                    },
                },
            }
        },
    },
    "Worker": {
        "StartAt": "Act",
        "States": {
            "Act": {"Type": "Task", "Resource": "arn:aws:states:us-east-1:000000000000:activity:a", "End": True}
        },
    },
    "Redriven": {
        "StartAt": "Call",
        "States": {"Call": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f"}, "End": True}},
    },
    "Quick": {
        "StartAt": "Call",
        "States": {"Call": {"Type": "Task", "Resource": LAMBDA, "Parameters": {"FunctionName": "f"}, "End": True}},
    },
}
CONFIG = {
    "StateMachines": {
        "Orders": {
            "TestCases": {
                "Happy": {"Charge": "Charged", "Job": "Done", "Ask": "Done"},
                "Late": {"Charge": "LateTwice", "Job": "Done", "Ask": "Done"},
                "Caught": {"Charge": "Refused", "Job": "Done", "Ask": "Broken"},
                "Hybrid": {"Job": "Done", "Ask": "Done"},
                "Short": {"Charge": "LateOnce"},
            }
        },
        "Spread": {"TestCases": {"Four": {"One": "Numbers"}}},
        "Each": {"TestCases": {"Second": {"One": "SecondFails"}, "Four": {"One": "Numbers"}}},
        "Redriven": {"TestCases": {"Second": {"Call": "SecondTime"}}},
        "Worker": {"TestCases": {"Mocked": {"Act": "Done"}}},
        "Quick": {"TestCases": {"One": {"Call": "Done"}}},
    },
    "MockedResponses": {
        "Charged": {"0": {"Return": {"StatusCode": 200, "Payload": {"amount": 7}}}},
        "LateTwice": {"0-1": {"Throw": {"Error": "Lambda.Late", "Cause": "slow"}}, "2": {"Return": "third"}},
        "SecondTime": {"0": {"Throw": {"Error": "E"}}, "1": {"Return": "second"}},
        "LateOnce": {"0": {"Throw": {"Error": "Lambda.Late", "Cause": "slow"}}},
        "Refused": {"0": {"Throw": {"Error": "Refused", "Cause": "no money"}}},
        "Broken": {"0": {"Throw": {"Error": "Broken"}}},
        "Done": {"0": {"Return": {"done": True}}},
        "SecondFails": {"0": {"Return": 1}, "1-9": {"Throw": {"Error": "E", "Cause": "second"}}},
        "Numbers": {"0": {"Return": "a"}, "1-2": {"Return": "b"}, "3": {"Return": "c"}},
    },
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mocks") / "MockConfigFile.json"
    file.write_text(json.dumps(CONFIG))
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, config: Path, serve: Serve) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("endpoint") / ".millpond"
    with serve(Server(folder, mock_config=config, time_scale=50)) as made:
        yield made


@pytest.fixture(scope="module")
def machines(aws: Callable[[str], Any]) -> dict[str, str]:
    """ARNs by name; `Quick` is Express."""
    return {
        name: aws("stepfunctions").create_state_machine(
            name=name,
            definition=json.dumps(definition),
            roleArn=ROLE,
            type="EXPRESS" if name == "Quick" else "STANDARD",
        )["stateMachineArn"]
        for name, definition in MACHINES.items()
    }


@pytest.fixture
def sfn(aws: Callable[[str], Any]) -> Any:
    return aws("stepfunctions")


def run(sfn: Any, arn: str, given: Any = None) -> tuple[dict[str, Any], list[str]]:
    execution = sfn.start_execution(stateMachineArn=arn, input=json.dumps({} if given is None else given))[
        "executionArn"
    ]
    assert "#" not in execution
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.01)
    events = sfn.get_execution_history(executionArn=execution)["events"]
    return seen, [event["type"] for event in events if not event["type"].startswith(("Execution", "Map"))]


CALL = ["TaskStateEntered", "TaskScheduled", "TaskStarted"]
SUBMITTED = [*CALL, "TaskSubmitted"]
GOOD = ["TaskSucceeded", "TaskStateExited"]


def test_mocked_states_have_the_events_of_ordinary_ones(sfn: Any, machines: dict[str, str]) -> None:
    seen, types = run(sfn, machines["Orders"] + "#Happy")
    assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", {"done": True})
    assert types == [*CALL, *GOOD, *SUBMITTED, *GOOD, *SUBMITTED, *GOOD]


def test_retries_take_the_next_answers(sfn: Any, machines: dict[str, str]) -> None:
    seen, types = run(sfn, machines["Orders"] + "#Late")
    assert seen["status"] == "SUCCEEDED"
    again = ["TaskScheduled", "TaskStarted"]
    assert types[:9] == ["TaskStateEntered", *again, "TaskFailed", *again, "TaskFailed", *again]


def test_a_thrown_error_is_caught_and_its_cause_shown(sfn: Any, machines: dict[str, str]) -> None:
    seen, types = run(sfn, machines["Orders"] + "#Caught")
    assert (seen["status"], seen["error"], seen.get("cause")) == ("FAILED", "Broken", None)
    assert types[-5:] == [*SUBMITTED, "TaskFailed"]


def test_a_missing_answer_fails_the_execution(sfn: Any, machines: dict[str, str]) -> None:
    seen, _ = run(sfn, machines["Orders"] + "#Short")
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Runtime")
    assert "'LateOnce' has no entry for call 1" in seen["cause"]


def test_states_that_are_not_mocked_call_the_service(sfn: Any, machines: dict[str, str]) -> None:
    seen, _ = run(sfn, machines["Orders"] + "#Hybrid")
    assert (seen["status"], seen["error"]) == ("FAILED", "Lambda.ResourceNotFoundException")
    assert run(sfn, machines["Orders"])[0]["error"] == "Lambda.ResourceNotFoundException"


def test_items_of_a_map_count_on(sfn: Any, machines: dict[str, str]) -> None:
    seen, _ = run(sfn, machines["Each"] + "#Four", [1, 2, 3, 4])
    assert json.loads(seen["output"]) == ["a", "b", "b", "c"]
    seen, _ = run(sfn, machines["Each"] + "#Second", [1, 2])
    assert (seen["status"], seen["cause"]) == ("FAILED", "second")


def test_children_of_a_distributed_map_are_mocked(sfn: Any, machines: dict[str, str]) -> None:
    seen, _ = run(sfn, machines["Spread"] + "#Four", [1, 2, 3, 4])
    assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", ["a", "b", "b", "c"])


def test_a_redrive_takes_the_next_answer(sfn: Any, machines: dict[str, str]) -> None:
    execution = sfn.start_execution(stateMachineArn=machines["Redriven"] + "#Second")["executionArn"]

    def ended() -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return seen

    assert ended()["error"] == "E"
    sfn.redrive_execution(executionArn=execution)
    seen = ended()
    assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", "second")


def test_an_end_that_is_heard_of_after_the_redrive(endpoint: Endpoint, machines: dict[str, str]) -> None:
    """A client may see the end in the store, and redrive, before the engine tells the rooms of it."""
    kept = endpoint.services["stepfunctions"].mocks
    case = kept.of(machines["Each"] + "#Four")[1]
    kept.follow("an execution", case)
    kept.follow("an execution", case)  # as a redrive does
    kept.ended("an execution")
    assert "an execution" in kept._cases
    kept.ended("an execution")
    assert "an execution" not in kept._cases


def test_an_activity_cannot_be_mocked(sfn: Any, machines: dict[str, str]) -> None:
    seen, _ = run(sfn, machines["Worker"] + "#Mocked")
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Runtime")
    assert seen["cause"].startswith("Activity state cannot be mocked.")


def test_express_executions_may_be_mocked(sfn: Any, machines: dict[str, str]) -> None:
    answer = sfn.start_sync_execution(stateMachineArn=machines["Quick"] + "#One")
    assert (answer["status"], json.loads(answer["output"])) == ("SUCCEEDED", {"done": True})


def test_names_that_are_not_there_are_refused(sfn: Any, machines: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="has no test case 'Nope' of 'Each'; its test cases: Second, Four") as caught:
        sfn.start_execution(stateMachineArn=machines["Each"] + "#Nope")
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(ClientError, match="has no state machine 'Other'"):
        sfn.start_execution(stateMachineArn=machines["Each"].replace("Each", "Other") + "#Second")


def test_the_file_is_read_again_when_it_changes(sfn: Any, machines: dict[str, str], config: Path) -> None:
    before = config.read_text()
    try:
        config.write_text('{"StateMachines": {\n "Quick": 1}}')
        with pytest.raises(ClientError, match=r"MockConfigFile\.json:2:11: 'Quick' must be a JSON object"):
            sfn.start_execution(stateMachineArn=machines["Each"] + "#Four")
        config.write_text(before.replace('"Return": "a"', '"Return": "new"'))
        assert json.loads(run(sfn, machines["Each"] + "#Four", [1])[0]["output"]) == ["new"]
    finally:
        config.write_text(before)


def test_mocks_outlive_the_endpoint_and_count_on(tmp_path: Path, serve: Serve) -> None:
    """The state is mocked after a restart without the file, too, and goes on with the answer that is due."""
    import boto3

    file = tmp_path / "mocks.json"
    file.write_text(json.dumps(CONFIG))
    slow = [RETRY[0] | {"IntervalSeconds": 2}]
    definition = {"StartAt": "Charge", "States": {"Charge": MACHINES["Orders"]["States"]["Charge"]}}
    definition["States"]["Charge"] = definition["States"]["Charge"] | {"Retry": slow, "Catch": [], "Next": "End"}
    definition["States"]["End"] = {"Type": "Succeed"}

    def client(made: Server) -> Any:
        session = boto3.session.Session(made.endpoint.access_key, made.endpoint.secret_key, region_name="us-east-1")
        return session.client("stepfunctions", endpoint_url=made.endpoint.url)

    def until(sfn: Any, done: Callable[[dict[str, Any], list[str]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 120
        while True:
            seen = sfn.describe_execution(executionArn=execution)
            types = [e["type"] for e in sfn.get_execution_history(executionArn=execution)["events"]]
            if done(seen, types):
                return seen
            assert time.monotonic() < deadline, types
            time.sleep(0.02)

    with serve(Server(tmp_path / ".millpond", mock_config=file)) as made:
        sfn = client(made)
        arn = sfn.create_state_machine(name="Orders", definition=json.dumps(definition), roleArn=ROLE)[
            "stateMachineArn"
        ]
        execution = sfn.start_execution(stateMachineArn=arn + "#Late")["executionArn"]
        until(sfn, lambda seen, types: "TaskFailed" in types)
    with serve(Server(tmp_path / ".millpond", time_scale=50)) as made:
        seen = until(client(made), lambda seen, types: seen["status"] != "RUNNING")
        assert (seen["status"], json.loads(seen["output"])) == ("SUCCEEDED", {"charge": "third"})


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_malformed_file_is_told_at_the_start(tmp_path: Path, serve: Serve) -> None:
    file = tmp_path / "mocks.json"
    file.write_text("{}")
    starting = serve(Server(tmp_path / ".millpond", mock_config=file))
    with pytest.raises(MillpondError, match=r"is not valid: .*mocks\.json:1:1: 'StateMachines' is missing"), starting:
        pass


def test_a_test_case_without_a_file_is_refused(tmp_path: Path, serve: Serve) -> None:
    with serve(Server(tmp_path / ".millpond")) as made:
        sfn = made.endpoint.client("stepfunctions")
        with pytest.raises(ClientError, match="millpond up --mock-config FILE"):
            sfn.start_execution(stateMachineArn="arn:aws:states:us-east-1:000000000000:stateMachine:M#Case")
