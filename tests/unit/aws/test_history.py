"""Histories become steps: nesting, items of a Map, retries, what was caught. The histories are the engine's own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from millpond import asl
from millpond.aws.history import History, StepRun
from millpond.aws.runs import Run, explain, log_of, to_json
from millpond.cli import render
from millpond.testing import FakeTasks, simulate

GLUE = "arn:aws:states:::glue:startJobRun.sync"


def task(name: str, **fields: Any) -> asl.Task:
    arguments = {"JobName": name, "Arguments": {"--table": "{% $states.input.table %}"}}
    return asl.Task(resource=GLUE, arguments=arguments, comment="pipeline.py:7", **fields)


def machine(*, catch: bool) -> asl.Machine:
    inner = asl.Machine(start_at="Ingest table", states={"Ingest table": task("ingest")})
    catcher = (asl.Catcher(error_equals=("States.ALL",), next="Tell"),) if catch else ()
    block = asl.Machine(start_at="Look", states={"Look": asl.Pass(next="Seen"), "Seen": asl.Succeed()})
    return asl.Machine(
        start_at="Each",
        query_language="JSONata",
        states={
            "Each": asl.Map(
                items=[{"table": "a"}, {"table": "b"}], processor=inner, max_concurrency=1, catch=catcher, next="Crawl"
            ),
            "Crawl": asl.Parallel(branches=(block,), next="Join"),
            "Join": asl.Task(resource=GLUE, arguments={"JobName": "join"}, catch=catcher),
            "Tell": asl.Pass(next="Failed"),
            "Failed": asl.Fail(error="Told", cause="told"),
        },
    )


def history(definition: asl.Machine, tasks: FakeTasks) -> History:
    run = simulate(definition, {}, tasks=tasks, check=False)  # not every machine uses its handler
    read = History()
    for event in run.history:
        moment = event["timestamp"]
        when = moment if isinstance(moment, dt.datetime) else dt.datetime.fromtimestamp(float(str(moment)), dt.UTC)
        read.read([event | {"timestamp": when}])
    return read


def by_name(read: History) -> dict[str, StepRun]:
    return {f"{step.name}/{step.label}" if step.item is not None else step.name: step for step in read.steps}


def test_nesting_and_labels() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed({"JobName": "x", "Id": "jr_1"})
    steps = by_name(history(machine(catch=False), tasks))
    assert {name: step.status for name, step in steps.items()} == dict.fromkeys(steps, "SUCCEEDED")
    assert steps["Ingest table/a"].inside is steps["Each"]
    assert steps["Ingest table/b"].item == 1
    assert steps["Look"].inside is steps["Crawl"]
    assert steps["Join"].inside is None
    assert steps["Join"].depth == 0
    assert steps["Ingest table/a"].submitted["Id"] == "jr_1"


def test_failure_inside_a_map_is_caught_outside() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed({"JobName": "x", "Id": "jr_1"})
    tasks.on(GLUE, state="Ingest table").fail("States.TaskFailed", '{"ErrorMessage": "boom"}')
    read = history(machine(catch=True), tasks)
    steps = by_name(read)
    assert steps["Ingest table/a"].status == "FAILED"
    assert steps["Each"].status == "FAILED"
    assert steps["Each"].error == "States.TaskFailed"
    assert "Join" not in steps
    assert read.error == "Told"
    run = view(read)
    assert run.failed_step is steps["Ingest table/a"]


def test_retried_step_counts_its_attempts() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).fail_once("States.TaskFailed", "once").succeed({"JobName": "join", "Id": "jr_2"})
    retrier = asl.Retrier(error_equals=("States.ALL",), max_attempts=2)
    definition = asl.Machine(
        start_at="Join",
        query_language="JSONata",
        states={"Join": asl.Task(resource=GLUE, arguments={"JobName": "join"}, retry=(retrier,))},
    )
    (step,) = history(definition, tasks).steps
    assert (step.status, step.attempts, step.error) == ("SUCCEEDED", 2, None)


def view(read: History) -> Run:
    now = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    return Run("r1", "arn", "nightly", "FAILED", now, now, read.steps, read.error, read.cause)


def test_tree_hides_plumbing_and_names_items() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).succeed({"JobName": "x", "Id": "jr_1"})
    text = render.tree(view(history(machine(catch=False), tasks)))
    names = [line.split()[1] for line in text.splitlines()[1:]]
    assert names == ["Each", "Ingest", "Ingest", "Crawl", "Join"]
    assert "Ingest table[a]" in text
    assert "Look" not in text


def test_json_has_what_scripts_need() -> None:
    tasks = FakeTasks()
    tasks.on(GLUE).fail("States.TaskFailed", "no json")
    document = to_json(view(history(machine(catch=False), tasks)))
    failed = next(step for step in document["steps"] if step["name"] == "Ingest table")
    assert {"name", "status", "seconds", "error", "log"} <= set(failed)
    assert failed["status"] == "FAILED"
    assert failed["error"] == "States.TaskFailed"


@pytest.mark.parametrize(
    ("resource", "submitted", "group"),
    [
        ("glue:startJobRun.sync", {"JobName": "j", "JobRunId": "jr"}, "/aws-glue/jobs/output"),
        ("glue:startJobRun.sync", {"JobName": "j"}, None),
        ("sagemaker:createProcessingJob.sync", {"ProcessingJobName": "p"}, "/aws/sagemaker/ProcessingJobs"),
        ("lambda:invoke", {"FunctionName": "arn:aws:lambda:r:1:function:f"}, "/aws/lambda/f"),
        ("sns:publish", {"TopicArn": "t"}, None),
    ],
)
def test_where_logs_are(resource: str, submitted: dict[str, Any], group: str | None) -> None:
    step = StepRun("s", "Task", dt.datetime.now(dt.UTC), resource=resource, submitted=submitted)
    found = log_of(step)
    assert (found.group if found else None) == group


class FakeCloud:
    """Answers what an explanation asks."""

    name, region = "local", "us-east-1"

    class exceptions:
        ClientError = KeyError

    def client(self, service: str) -> Any:
        return self

    def get_job(self, JobName: str) -> Any:
        return {"Job": {"Command": {"ScriptLocation": "s3://b/assets/0123456789abcdef/jobs/join.py"}}}

    def get_object(self, Bucket: str, Key: str) -> Any:
        import io

        assert Key == "assets/0123456789abcdef/jobs/join.py"
        return {"Body": io.BytesIO(b"one\n    two = broken\nthree\n")}

    def get_log_events(self, **request: Any) -> Any:
        return {"events": [{"message": "Traceback\n"}, {"message": "AnalysisException: no column\n"}]}


def test_explanation_shows_the_jobs_own_line() -> None:
    tasks = FakeTasks()
    cause = '{"JobName": "join", "Id": "jr_9", "ErrorMessage": "Failed Line Number: 2; AnalysisException: no column"}'
    tasks.on(GLUE).fail("States.TaskFailed", cause)
    read = history(machine(catch=True), tasks)
    step = view(read).failed_step
    assert step is not None
    step.line, step.submitted = "pipeline.py:7", {"JobName": "join", "JobRunId": "jr_9"}
    step.log = log_of(step)
    why = explain(FakeCloud(), view(read))  # type: ignore[arg-type]
    assert (why.script_line, why.script_text) == ("jobs/join.py:2", "two = broken")
    text = render.failure(view(read), why)
    assert "jobs/join.py:2" in text
    assert "pipeline.py:7" in text
    assert "AnalysisException: no column" in text
