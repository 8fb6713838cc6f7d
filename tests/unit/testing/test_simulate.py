"""simulate() and its fakes: what a user's own tests rely on."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

import millpond.testing
from millpond.asl import from_json
from millpond.errors import DefinitionError, MillpondError
from millpond.resources import glue, states
from millpond.testing import FakeClock, FakeTasks, Pending, Simulation, Stuck, UnexpectedTask, simulate

GLUE = "arn:aws:states:::glue:startJobRun.sync"


def one(state: dict) -> dict:
    return {"StartAt": "One", "States": {"One": {"End": True, **state}}}


def test_public_names() -> None:
    assert sorted(millpond.testing.__all__) == [
        "FakeClock",
        "FakeTask",
        "FakeTasks",
        "MemoryStore",
        "Moment",
        "Pending",
        "Run",
        "Simulation",
        "Stuck",
        "UnexpectedTask",
        "simulate",
    ]


def test_a_machine_may_be_a_model_a_value_text_or_a_file(tmp_path: Path) -> None:
    definition = one({"Type": "Pass"})
    file = tmp_path / "flow.asl.json"
    file.write_text(json.dumps(definition))
    for machine in (definition, json.dumps(definition), from_json(definition), file):
        run = simulate(machine, {"a": 1})
        assert (run.status, run.output, run.states, run.visited("Two")) == ("SUCCEEDED", {"a": 1}, ["One"], False)


def test_jitter_is_the_same_for_the_same_seed() -> None:
    def seconds(seed: int) -> float:
        tasks = FakeTasks()
        tasks.on(GLUE).fail_once("E").succeed()
        retry = [{"ErrorEquals": ["E"], "IntervalSeconds": 1000, "JitterStrategy": "FULL"}]
        machine = one({"Type": "Task", "Resource": GLUE, "Retry": retry})
        return simulate(machine, tasks=tasks, clock=FakeClock(seed=seed)).seconds

    assert seconds(1) == seconds(1) != seconds(2)


def test_a_fake_that_says_no_answer_does_not_succeed() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).take(5)
    with pytest.raises(MillpondError, match="says no answer"):
        simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)


def test_a_task_takes_its_time() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).take(600).succeed("late")
    run = simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)
    assert run.output == "late" and run.seconds == pytest.approx(600, abs=0.01)
    assert (
        simulate(one({"Type": "Task", "Resource": GLUE, "TimeoutSeconds": 60}), tasks=tasks).error == "States.Timeout"
    )


def test_a_call_that_nobody_prepared_is_named() -> None:
    with pytest.raises(UnexpectedTask, match=r"state 'One' called arn:aws:states:::glue:startJobRun\.sync"):
        simulate(one({"Type": "Task", "Resource": GLUE}))


def test_a_machine_that_waits_for_ever_is_told() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).hang()
    with pytest.raises(Stuck):
        simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)


def test_a_year_takes_no_time() -> None:
    run = simulate(one({"Type": "Wait", "Seconds": 31_536_000}))
    assert run.status == "SUCCEEDED" and run.seconds == pytest.approx(31_536_000, abs=1)


def test_no_execution_takes_longer_than_a_year() -> None:
    """ "Step Functions service quotas": it is TIMED_OUT then, as AWS's is."""
    run = simulate(one({"Type": "Wait", "Seconds": 99_999_999}))
    assert run.status == "TIMED_OUT" and run.seconds == pytest.approx(366 * 86_400, abs=1)
    first = {"Type": "Wait", "Seconds": 30_000_000, "Next": "B"}
    states = {"A": first, "B": {"Type": "Wait", "Seconds": 30_000_000, "End": True}}
    assert simulate({"StartAt": "A", "States": states}).status == "TIMED_OUT"


def test_fakes_tell_calls_apart() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed("any")
    tasks.on(GLUE, JobName="join").succeed("join")
    tasks.on(GLUE, state="Last").answer(lambda arguments: [arguments])
    machine = {
        "StartAt": "A",
        "States": {
            "A": {
                "Type": "Task",
                "Resource": GLUE,
                "Parameters": {"JobName": "copy"},
                "ResultPath": "$.a",
                "Next": "B",
            },
            "B": {
                "Type": "Task",
                "Resource": GLUE,
                "Parameters": {"JobName": "join"},
                "ResultPath": "$.b",
                "Next": "Last",
            },
            "Last": {"Type": "Task", "Resource": GLUE, "Parameters": {"x": 1}, "ResultPath": "$.c", "End": True},
        },
    }
    assert simulate(machine, tasks=tasks).output == {"a": "any", "b": "join", "c": [{"x": 1}]}


# -- what a machine may be ---------------------------------------------------------------------------------------------


def test_a_declared_machine_keeps_its_name() -> None:
    declared = states.StateMachine(name="nightly", definition=from_json(one({"Type": "Pass"})))
    assert simulate(declared).status == "SUCCEEDED"
    named = one({"Type": "Pass", "Parameters": {"name.$": "$$.StateMachine.Name"}})
    assert simulate(states.StateMachine(name="nightly", definition=from_json(named))).output == {"name": "nightly"}


@pytest.mark.parametrize(
    ("machine", "message", "help"),
    [
        (7, "a machine is wanted, not int", "the Path of its file"),
        ("nowhere.asl.json", "nowhere.asl.json cannot be read", ""),
        (Path(__file__), "is a project, not a definition", "project.load"),
    ],
)
def test_what_is_no_machine_is_told(machine: object, message: str, help: str) -> None:
    with pytest.raises(MillpondError, match=message) as caught:
        simulate(machine)
    assert help in caught.value.help


def test_a_definition_that_aws_refuses_does_not_run() -> None:
    definition = one({"Type": "Pass"}) | {"StartAt": "Two"}
    with pytest.raises(DefinitionError, match=r"AWS would refuse this definition: Missing .* target: Two"):
        simulate(definition)


def test_begin_in_the_middle_with_variables() -> None:
    machine = {
        "QueryLanguage": "JSONata",
        "StartAt": "First",
        "States": {
            "First": {"Type": "Pass", "Assign": {"n": 1}, "Next": "Second"},
            "Second": {"Type": "Pass", "Assign": {"n": "{% $n + 1 %}"}, "Output": "{% $n %}", "End": True},
        },
    }
    run = simulate(machine, start_at="Second", variables={"n": 41})
    assert (run.output, run.states, run.variables) == (41, ["Second"], {"n": 42})
    with pytest.raises(MillpondError, match="no state is called 'Third'"):
        simulate(machine, start_at="Third")


# -- fakes -------------------------------------------------------------------------------------------------------------

TOKEN = "arn:aws:states:::sqs:sendMessage.waitForTaskToken"
ASK = {
    "Type": "Task",
    "Resource": TOKEN,
    "Parameters": {"QueueUrl": "q", "MessageBody": {"token.$": "$$.Task.Token"}},
}


def test_short_names_states_predicates_and_parts() -> None:
    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync", JobName=lambda name: name.startswith("j")).succeed("predicate")
    tasks.on(state="Two", Arguments={"--day": "1"}).succeed("part")
    first = {"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "join"}, "ResultPath": "$.a", "Next": "Two"}
    second = {"Type": "Task", "Resource": GLUE, "ResultPath": "$.b", "End": True}
    second["Parameters"] = {"JobName": "x", "Arguments": {"--day": "1", "--more": "2"}}
    machine = {"StartAt": "One", "States": {"One": first, "Two": second}}
    assert simulate(machine, tasks=tasks).output == {"a": "predicate", "b": "part"}


def test_a_declared_resource_stands_for_the_calls_that_name_it() -> None:
    job, other = glue.Job(name="join", script="join.py"), glue.Job(name="copy", script="copy.py")
    tasks = FakeTasks()
    tasks.on(other).fail("Wrong")
    tasks.on(job).succeed("joined")
    machine = one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": job.ref}})
    assert simulate(machine, tasks=tasks).output == "joined"
    assert tasks.unused == tasks.fakes[1:]


@pytest.mark.parametrize(
    ("resource", "help"),
    [
        ("glue:startJob.sync", "did you mean glue:startJobRun.sync"),
        ("glu:startJobRun", "did you mean glue:..."),
        ("lambda:invoke.sync", "lambda:invoke"),
        (3, "tasks.on('lambda:invoke'"),
    ],
)
def test_a_fake_that_nothing_can_call_is_refused(resource: object, help: str) -> None:
    with pytest.raises(MillpondError) as caught:
        FakeTasks().on(resource)
    assert help in caught.value.help


def test_the_error_for_an_unexpected_call_shows_the_near_misses() -> None:
    tasks = FakeTasks()
    tasks.on("glue:startJobRun", JobName="join").succeed()
    tasks.on("glue:startJobRun.sync", JobName="load").succeed()
    tasks.on("lambda:invoke").succeed()
    with pytest.raises(UnexpectedTask) as caught:
        simulate(one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "join"}}), tasks=tasks)
    assert "a fake of this resource calls glue:startJobRun;" not in caught.value.message
    assert "wants JobName='load'; a fake of this resource calls glue:startJobRun" in caught.value.message
    assert caught.value.help == "tasks.on('glue:startJobRun.sync', JobName='join').succeed({...})"


def distributed(**fields: object) -> dict:
    inner = one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName.$": "$"}})
    processor = inner | {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
    return {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": processor, "End": True} | fields}}


def test_children_of_a_distributed_map_reach_the_fakes() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE, JobName="b").fail("E", "no")
    tasks.on(GLUE).succeed("ok")
    tasks.fakes.reverse()
    run = simulate(distributed(ToleratedFailureCount=1), ["a", "b"], tasks=tasks)
    assert run.status == "SUCCEEDED" and run.arguments_of("One") == [{"JobName": "a"}, {"JobName": "b"}]
    assert run.states == ["Each"] and run.visited("One") and not run.visited("Two")
    assert [(child.status, child.error, child.states) for child in run.children] == [
        *(("SUCCEEDED", None, ["One"]), ("FAILED", "E", ["One"])),
    ]
    assert "  child executions: 1 FAILED, 1 SUCCEEDED\n    FAILED after 0.0 s: E: no" in str(run)
    config = {"StateMachines": {"M": {"TestCases": {"C": {"One": "R"}}}}}
    config["MockedResponses"] = {"R": {"0": {"Return": "x"}, "1-2": {"Return": "y"}}}
    assert simulate(distributed(), ["a", "b", "c"], mocks=config).output == ["x", "y", "y"]


def test_items_that_nobody_prepared() -> None:
    reader = {"Resource": "arn:aws:states:::s3:listObjectsV2", "Parameters": {"Bucket": "b"}}
    with pytest.raises(UnexpectedTask, match="the Map state 'Each' reads") as caught:
        simulate(distributed(ItemReader=reader))
    assert caught.value.help == "tasks.items([...], state='Each')"


def test_fail_so_many_times() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).fail("E", "busy", times=2).succeed("third")
    retry = [{"ErrorEquals": ["E"], "IntervalSeconds": 60, "BackoffRate": 2, "MaxAttempts": 5}]
    run = simulate(one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "j"}, "Retry": retry}), tasks=tasks)
    assert (run.output, run.retries("One"), run.arguments_of("One")) == ("third", 2, [{"JobName": "j"}] * 3)
    assert run.seconds == pytest.approx(60 + 120, abs=0.1)
    failed = [(round(moment.seconds), moment.error) for moment in run.timeline if moment.error]
    assert failed == [(0, "E"), (60, "E")]


def test_heartbeats() -> None:
    def run(beat: float | None) -> str:
        tasks = FakeTasks()
        fake = tasks.on(TOKEN).take(600).succeed("done")
        if beat:
            fake.beat(every=beat)
        return simulate(one(ASK | {"HeartbeatSeconds": 60}), tasks=tasks).status

    assert (run(None), run(50), run(70)) == ("FAILED", "SUCCEEDED", "FAILED")


def test_work_that_times_out_by_itself() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).time_out("no capacity")
    run = simulate(one({"Type": "Task", "Resource": GLUE}), tasks=tasks)
    assert (run.error, run.cause, run.seconds < 1) == ("States.Timeout", "no capacity", True)


def test_a_function_ends_the_callback_later() -> None:
    tokens = []

    def worker(task: Pending) -> None:
        assert task.arguments["MessageBody"] == {"token": task.token}
        tokens.append(task.token)
        task.heartbeat(after=50)
        task.succeed({"by": "Ann"}, after=100)

    tasks = FakeTasks()
    tasks.on("sqs:sendMessage.waitForTaskToken").submit({"MessageId": "m"}).hand_to(worker)
    run = simulate(one(ASK | {"HeartbeatSeconds": 60}), tasks=tasks)
    assert (run.output, round(run.seconds), len(tokens)) == ({"by": "Ann"}, 100, 1)
    (submitted,) = [event for event in run.history if event["type"] == "TaskSubmitted"]
    assert json.loads(submitted["taskSubmittedEventDetails"]["output"]) == {"MessageId": "m"}


def test_step_by_step() -> None:
    tasks = FakeTasks()
    tasks.on(TOKEN).hang()
    machine = {
        "StartAt": "Wait",
        "States": {"Wait": {"Type": "Wait", "Seconds": 3600, "Next": "One"}} | one(ASK)["States"],
    }
    sim = Simulation(machine, tasks=tasks)
    assert not sim.pending and not sim.ended
    sim.advance(3599)
    assert not sim.pending
    with pytest.raises(MillpondError, match="no task of the state 'One' waits"):
        sim.task("One")
    sim.advance(2)
    assert [task.state for task in sim.pending] == ["One"]
    sim.task("One").fail("Refused", "no")
    run = sim.finish()
    assert (run.status, run.error, run.cause) == ("FAILED", "Refused", "no")
    assert run.seconds == pytest.approx(3601, abs=0.1)


def test_stop() -> None:
    tasks = FakeTasks()
    tasks.on(TOKEN).hang()
    sim = Simulation(one(ASK), tasks=tasks)
    sim.stop("Enough", "of it")
    assert (sim.finish().status, sim.run.error, len(tasks.stopped)) == ("ABORTED", "Enough", 1)


# -- nested executions -------------------------------------------------------------------------------------------------

CHILD = {
    "StartAt": "Work",
    "States": {
        "Work": {"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "inner"}, "Next": "Rest"},
        "Rest": {"Type": "Wait", "Seconds": 500, "End": True},
    },
}


def parent(pattern: str) -> dict:
    arn = "arn:aws:states:us-east-1:111111111111:stateMachine:child"
    parameters = {"StateMachineArn": arn, "Input": {"n": 1}}
    return one(
        {"Type": "Task", "Resource": f"arn:aws:states:::states:startExecution{pattern}", "Parameters": parameters}
    )


@pytest.mark.parametrize(("pattern", "output"), [(".sync", '{"done":true}'), (".sync:2", {"done": True})])
def test_a_nested_execution_is_simulated(pattern: str, output: object) -> None:
    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync").succeed({"done": True})
    tasks.on(f"states:startExecution{pattern}").run(CHILD)
    run = simulate(parent(pattern), tasks=tasks)
    assert (run.output["Status"], run.output["Output"], round(run.seconds)) == ("SUCCEEDED", output, 500)
    assert run.output["ExecutionArn"].startswith("arn:aws:states:us-east-1:111111111111:execution:child:")
    assert [call.state for call in run.calls] == ["One"] and [call.state for call in tasks.calls] == ["One", "Work"]


def test_a_nested_failure_fails_the_task() -> None:
    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync").fail("States.TaskFailed", "OOM")
    tasks.on("states:startExecution.sync:2").run(CHILD)
    run = simulate(parent(".sync:2"), tasks=tasks)
    cause = json.loads(run.cause)
    assert (run.error, cause["Status"], cause["Error"], cause["Cause"]) == (
        *("States.TaskFailed", "FAILED", "States.TaskFailed", "OOM"),
    )


def test_a_machine_that_starts_itself_is_told() -> None:
    tasks = FakeTasks()
    tasks.on("states:startExecution.sync").run(parent(".sync"))
    with pytest.raises(MillpondError, match="does the machine start itself"):
        simulate(parent(".sync"), tasks=tasks)


def test_a_nested_distributed_map_finds_the_items_of_the_test() -> None:
    reader = {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"}}
    reader["Parameters"] = {"Bucket": "b", "Key": "k"}
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **one({"Type": "Pass"})}
    child = {
        "StartAt": "Each",
        "States": {"Each": {"Type": "Map", "ItemReader": reader, "ItemProcessor": processor, "End": True}},
    }
    tasks = FakeTasks()
    tasks.items([1, 2], state="Each")
    tasks.on("states:startExecution.sync:2").run(child)
    assert simulate(parent(".sync:2"), tasks=tasks).must_succeed()["Output"] == [1, 2]


def test_a_nested_execution_that_is_not_waited_for() -> None:
    tasks = FakeTasks()
    tasks.on("glue:startJobRun.sync").succeed()
    tasks.on("states:startExecution").run(CHILD)
    run = simulate(parent(""), tasks=tasks)
    assert sorted(run.output) == ["ExecutionArn", "StartDate"] and run.seconds < 1


# -- mock configuration ------------------------------------------------------------------------------------------------


def test_step_functions_locals_mocks(tmp_path: Path) -> None:
    config = {
        "StateMachines": {"Orders": {"TestCases": {"Late": {"One": "Late"}, "Broken": {"One": "Broken"}}}},
        "MockedResponses": {
            "Late": {"0": {"Throw": {"Error": "E", "Cause": "late"}}, "1-2": {"Return": {"ok": True}}},
            "Broken": {"0": {"Throw": {"Error": "Other", "Cause": "broken"}}},
        },
    }
    machine = one({"Type": "Task", "Resource": GLUE, "Retry": [{"ErrorEquals": ["E"]}]})
    file = tmp_path / "MockConfigFile.json"
    file.write_text(json.dumps(config))
    for mocks in (config, json.dumps(config), file, str(file)):
        assert simulate(machine, mocks=mocks, case="Late").output == {"ok": True}
    assert simulate(machine, mocks=config, case="Broken", machine_name="Orders").error == "Other"
    with pytest.raises(MillpondError, match="which test case") as caught:
        simulate(machine, mocks=config)
    assert "Late, Broken" in caught.value.help
    with pytest.raises(MillpondError, match="has no test case 'Nope'"):
        simulate(machine, mocks=config, case="Nope")


def test_states_without_a_mock_go_to_the_fakes() -> None:
    config = {
        "StateMachines": {"M": {"TestCases": {"C": {"One": "R"}}}},
        "MockedResponses": {"R": {"0": {"Return": 1}}},
    }
    two = {"Type": "Task", "Resource": GLUE, "ResultPath": "$.b", "End": True}
    first = {"Type": "Task", "Resource": GLUE, "ResultPath": "$.a", "Next": "Two"}
    tasks = FakeTasks()
    tasks.on(GLUE).succeed(2)
    run = simulate({"StartAt": "One", "States": {"One": first, "Two": two}}, mocks=config, tasks=tasks)
    assert run.output == {"a": 1, "b": 2} and [call.state for call in run.calls] == ["One", "Two"]


# -- what a run shows --------------------------------------------------------------------------------------------------


def test_a_failed_run_explains_itself() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).take(100).fail("States.TaskFailed", "OOM in stage 7")
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Failed"}]
    join = {"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "join"}, "Catch": catch, "End": True}
    machine = {
        "StartAt": "Begin",
        "States": {
            "Begin": {"Type": "Pass", "Next": "Join"},
            "Join": join,
            "Failed": {"Type": "Fail", "Error": "Told", "Cause": "told"},
        },
    }
    run = simulate(machine, tasks=tasks)
    assert str(run).splitlines() == [
        "FAILED after 1m 40s: Told: told",
        "      0.0 s  ok   Begin                         Pass",
        "      0.0 s  FAIL Join                          Task, took 1m 40s, States.TaskFailed: OOM in stage 7",
        "     1m 40s  FAIL Failed                        Fail, Told: told",
        "  'Failed' failed: Told: told",
    ]
    assert repr(run) == "<Run FAILED at 'Failed' Told: told (Begin > Join > Failed)>"
    with pytest.raises(AssertionError, match="expected SUCCEEDED\nFAILED after 1m 40s"):
        run.must_succeed()
    with pytest.raises(AssertionError, match="expected a failure with Other"):
        run.must_fail("Other")
    with pytest.raises(AssertionError, match="state 'Jion' was never entered; did you mean 'Join'"):
        run.step("Jion")
    assert run.must_fail("Told") == "told" and run.step("Join").error == "States.TaskFailed"


def test_a_run_shows_variables_and_nested_steps() -> None:
    inner = {"StartAt": "In", "States": {"In": {"Type": "Pass", "Assign": {"i": 9}, "End": True}}}
    machine = {
        "QueryLanguage": "JSONata",
        "StartAt": "Set",
        "States": {
            "Set": {"Type": "Pass", "Assign": {"n": 1, "o": {"p": [1]}}, "Next": "Each"},
            "Each": {"Type": "Map", "Items": [1, 2], "ItemProcessor": inner, "Assign": {"m": 2}, "End": True},
        },
    }
    run = simulate(machine)
    assert run.variables == {"n": 1, "o": {"p": [1]}, "m": 2}
    assert [(step.name, step.item, step.depth) for step in run.steps] == [
        *(("Set", None, 0), ("Each", None, 0), ("In", 0, 1), ("In", 1, 1)),
    ]
    assert run.must_succeed() == run.output


def test_the_search_for_garbage_is_as_it_was() -> None:
    """While an engine runs, Python looks for garbage seldom; afterwards as the caller had it."""
    before, seen = gc.get_threshold(), list[tuple[int, int, int]]()
    tasks = FakeTasks()
    tasks.on(GLUE, JobName=lambda name: seen.append(gc.get_threshold()) or name == "load").succeed({})
    machine = one({"Type": "Task", "Resource": GLUE, "Parameters": {"JobName": "load"}})
    assert simulate(machine, {}, tasks=tasks).status == "SUCCEEDED"
    assert seen[0][0] > before[0] == gc.get_threshold()[0]
