"""Triggers and workflows through boto3: what they start, in which order, with what; what a run shows."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import cli, deploy, project, stack
from millpond.aws import workflows
from millpond.aws.target import Target
from millpond.local.service import Call, Endpoint, acting_for

Aws = Callable[[str], Any]
ROLE = "arn:aws:iam::000000000000:role/glue"
SAY = """
import sys
print("ARGV", sys.argv[1:])
"""


@pytest.fixture(scope="module")
def shop(aws: Aws) -> Workshop:
    """Python shell jobs: `a` to `e` say their arguments, `bad` fails, `long` takes ten minutes; a crawler `crawl`."""
    made = Workshop(aws, "flows").open()
    for name in "abcde":
        made.job(name, SAY, head=False, kind="pythonshell", ExecutionProperty={"MaxConcurrentRuns": 9})
    made.job(
        "bad", "raise SystemExit('no')", head=False, kind="pythonshell", ExecutionProperty={"MaxConcurrentRuns": 9}
    )
    made.job("long", "import time\ntime.sleep(600)", head=False, kind="pythonshell")
    made.put("crawled/t/x.csv", "id,name\n1,a\n2,b\n")
    aws("glue").create_crawler(
        Name="crawl", Role=ROLE, DatabaseName="crawled", Targets={"S3Targets": [{"Path": "s3://flows/crawled/"}]}
    )
    return made


@pytest.fixture
def glue(aws: Aws, shop: Workshop) -> Any:
    return aws("glue")


def until(found: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.03)
    return value


def job_ended(name: str, state: str = "SUCCEEDED") -> dict[str, str]:
    return {"LogicalOperator": "EQUALS", "JobName": name, "State": state}


def after(glue: Any, name: str, conditions: list[dict[str, str]], *jobs: str, **more: Any) -> None:
    """A conditional trigger, active."""
    logical = {"Logical": more.pop("Logical", "AND")} if len(conditions) > 1 else {}
    glue.create_trigger(
        Name=name, Type="CONDITIONAL", StartOnCreation=True, Predicate={**logical, "Conditions": conditions},
        Actions=[{"JobName": job} for job in jobs], **more,
    )  # fmt: skip


def on_demand(glue: Any, name: str, *jobs: str, **more: Any) -> None:
    glue.create_trigger(Name=name, Type="ON_DEMAND", Actions=[{"JobName": job} for job in jobs], **more)


def run(glue: Any, workflow: str, **more: Any) -> dict[str, Any]:
    """Run a workflow to its end."""
    return ended(glue, workflow, glue.start_workflow_run(Name=workflow, **more)["RunId"])


def ended(glue: Any, workflow: str, run_id: str) -> dict[str, Any]:
    def look() -> Any:
        found = glue.get_workflow_run(Name=workflow, RunId=run_id, IncludeGraph=True)["Run"]
        return found if found["Status"] not in ("RUNNING", "STOPPING") else None

    found: dict[str, Any] = until(look)
    return found


def nodes(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {node["Name"]: node for node in run["Graph"]["Nodes"]}


def states(run: dict[str, Any]) -> dict[str, list[str]]:
    """Job or crawler -> the states of its runs."""
    return {
        name: [one["JobRunState"] for one in node.get("JobDetails", {}).get("JobRuns", [])]
        + [one["State"] for one in node.get("CrawlerDetails", {}).get("Crawls", [])]
        for name, node in nodes(run).items()
        if node["Type"] != "TRIGGER"
    }


def refused(code: str, call: Callable[..., Any], *words: str, **params: Any) -> None:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    for word in words:
        assert word in error["Message"], error


def test_a_workflow_runs_jobs_and_crawlers_in_order(glue: Any, shop: Workshop) -> None:
    glue.create_workflow(Name="nightly", DefaultRunProperties={"day": "1", "kind": "full"}, Tags={"team": "a"})
    on_demand(glue, "n-start", "a", "bad", WorkflowName="nightly")
    after(glue, "n-crawl", [job_ended("a"), job_ended("bad", "FAILED")], "b", WorkflowName="nightly")
    crawled = {"LogicalOperator": "EQUALS", "CrawlerName": "crawl", "CrawlState": "SUCCEEDED"}
    glue.create_trigger(
        Name="n-next", Type="CONDITIONAL", WorkflowName="nightly", StartOnCreation=True,
        Predicate={"Conditions": [job_ended("b")]},
        Actions=[{"CrawlerName": "crawl"}, {"JobName": "c", "Arguments": {"--x": "1"}, "Timeout": 7}],
    )  # fmt: skip
    after(glue, "n-last", [crawled, job_ended("c")], "d", WorkflowName="nightly")
    after(glue, "n-never", [job_ended("a", "FAILED")], "e", WorkflowName="nightly")
    found = run(glue, "nightly", RunProperties={"day": "2"})
    assert found["Status"] == "COMPLETED" and found["CompletedOn"] >= found["StartedOn"]
    assert states(found) == {
        "a": ["SUCCEEDED"], "bad": ["FAILED"], "b": ["SUCCEEDED"], "c": ["SUCCEEDED"], "crawl": ["SUCCEEDED"],
        "d": ["SUCCEEDED"], "e": [],
    }  # fmt: skip
    assert found["Statistics"] == {
        "TotalActions": 7, "SucceededActions": 5, "FailedActions": 1, "StoppedActions": 0, "TimeoutActions": 0,
        "RunningActions": 0, "ErroredActions": 0, "WaitingActions": 0,
    }  # fmt: skip
    assert found["WorkflowRunProperties"] == {"day": "2", "kind": "full"}
    job_run = nodes(found)["c"]["JobDetails"]["JobRuns"][0]
    given = {"--x": "1", "--WORKFLOW_NAME": "nightly", "--WORKFLOW_RUN_ID": found["WorkflowRunId"]}
    assert job_run["TriggerName"] == "n-next" and job_run["Timeout"] == 7 and job_run["Arguments"] == given
    assert [one["JobName"] for one in job_run["PredecessorRuns"]] == ["b"]
    assert job_run == glue.get_job_run(JobName="c", RunId=job_run["Id"])["JobRun"]
    said = shop.log(job_run["Id"])
    assert "'--WORKFLOW_NAME', 'nightly'" in said and found["WorkflowRunId"] in said
    ids = {node["UniqueId"]: node["Name"] for node in found["Graph"]["Nodes"]}
    edges = {(ids[edge["SourceId"]], ids[edge["DestinationId"]]) for edge in found["Graph"]["Edges"]}
    assert {("n-start", "a"), ("a", "n-crawl"), ("bad", "n-crawl"), ("n-next", "crawl"), ("crawl", "n-last")} <= edges
    assert len(edges) == 2 + 3 + 3 + 3 + 2
    workflow = glue.get_workflow(Name="nightly", IncludeGraph=True)["Workflow"]
    assert workflow["LastRun"]["WorkflowRunId"] == found["WorkflowRunId"]
    assert {node["Name"] for node in workflow["Graph"]["Nodes"]} == set(ids.values())
    assert glue.get_tables(DatabaseName="crawled")["TableList"][0]["Name"] == "t"
    # The same job started by hand, or by a trigger outside: the workflow's triggers do not fire (AWS docs).
    on_demand(glue, "outside", "b")
    before = len(glue.get_job_runs(JobName="c")["JobRuns"])
    glue.start_trigger(Name="outside")
    shop.run("b")
    until(lambda: all(one["JobRunState"] == "SUCCEEDED" for one in glue.get_job_runs(JobName="b")["JobRuns"]))
    time.sleep(0.3)
    assert len(glue.get_job_runs(JobName="c")["JobRuns"]) == before
    assert glue.get_tags(ResourceArn="arn:aws:glue:us-east-1:000000000000:workflow/nightly")["Tags"] == {"team": "a"}


def test_resume_runs_the_chosen_nodes_and_what_follows(glue: Any, shop: Workshop) -> None:
    shop.job("mended", "raise SystemExit('no')", head=False, kind="pythonshell")
    glue.create_workflow(Name="mend")
    on_demand(glue, "m-start", "a", WorkflowName="mend")
    after(glue, "m-two", [job_ended("a")], "mended", "b", WorkflowName="mend")
    after(glue, "m-three", [job_ended("mended"), job_ended("b")], "c", WorkflowName="mend")
    first = run(glue, "mend")
    assert states(first) == {"a": ["SUCCEEDED"], "mended": ["FAILED"], "b": ["SUCCEEDED"], "c": []}
    shop.job("mended", SAY, head=False, kind="pythonshell")
    ids = {name: node["UniqueId"] for name, node in nodes(first).items()}
    common = {"Name": "mend", "RunId": first["WorkflowRunId"]}
    refused("InvalidInputException", glue.resume_workflow_run, **common, NodeIds=[ids["c"]])
    refused("InvalidInputException", glue.resume_workflow_run, **common, NodeIds=[ids["m-two"]])
    resumed = glue.resume_workflow_run(**common, NodeIds=[ids["mended"]])
    assert resumed["NodeIds"] == [ids["mended"]]
    second = ended(glue, "mend", resumed["RunId"])
    assert second["PreviousRunId"] == first["WorkflowRunId"]
    assert states(second) == {name: ["SUCCEEDED"] for name in ("a", "mended", "b", "c")}
    runs_of = {
        name: node["JobDetails"]["JobRuns"][0]["Id"] for name, node in nodes(second).items() if "JobDetails" in node
    }
    assert runs_of["b"] == nodes(first)["b"]["JobDetails"]["JobRuns"][0]["Id"]  # copied, not run again
    assert len(glue.get_job_runs(JobName="mended")["JobRuns"]) == 2
    third = glue.resume_workflow_run(Name="mend", RunId=resumed["RunId"], NodeIds=[ids["c"], ids["a"]])
    assert third["NodeIds"] == [ids["a"]]  # the other one follows anyway
    assert states(ended(glue, "mend", third["RunId"])) == {name: ["SUCCEEDED"] for name in ("a", "mended", "b", "c")}
    listed = glue.get_workflow_runs(Name="mend", MaxResults=2)
    assert [one["WorkflowRunId"] for one in listed["Runs"]] == [third["RunId"], resumed["RunId"]]
    assert len(glue.get_workflow_runs(Name="mend", NextToken=listed["NextToken"])["Runs"]) == 1


def test_stop_concurrency_and_properties(glue: Any, shop: Workshop) -> None:
    glue.create_workflow(Name="w", MaxConcurrentRuns=1)
    on_demand(glue, "w-start", "long", WorkflowName="w")
    after(glue, "w-next", [job_ended("long", "STOPPED")], "a", WorkflowName="w")
    refused("EntityNotFoundException", glue.start_workflow_run, Name="none")
    run_id = glue.start_workflow_run(Name="w")["RunId"]
    refused(
        "ConcurrentRunsExceededException", glue.start_workflow_run, "Concurrent runs exceeded for workflow: w", Name="w"
    )
    refused("ConcurrentRunsExceededException", glue.start_trigger, Name="w-start")
    both = {"Name": "w", "RunId": run_id}
    assert glue.get_workflow_run(**both)["Run"]["Statistics"]["RunningActions"] == 1
    glue.put_workflow_run_properties(**both, RunProperties={"a": "1", "b": "2"})
    glue.put_workflow_run_properties(**both, RunProperties={"b": "3"})
    assert glue.get_workflow_run_properties(**both)["RunProperties"] == {"a": "1", "b": "3"}
    refused("IllegalWorkflowStateException", glue.resume_workflow_run, **both, NodeIds=["wnode_1"])
    glue.stop_workflow_run(**both)
    found = ended(glue, "w", run_id)
    assert found["Status"] == "STOPPED" and states(found) == {"long": ["STOPPED"], "a": []}
    assert found["Statistics"]["StoppedActions"] == 1
    refused("IllegalWorkflowStateException", glue.stop_workflow_run, **both)
    refused("EntityNotFoundException", glue.get_workflow_run, Name="w", RunId="wr_none")


def test_retries_and_tasks_of_step_functions(glue: Any, shop: Workshop, endpoint: Endpoint) -> None:
    shop.job("again", "raise SystemExit('no')", head=False, kind="pythonshell", MaxRetries=1)
    glue.create_workflow(Name="retried")
    on_demand(glue, "r-start", "again", WorkflowName="retried")
    after(glue, "r-next", [job_ended("again", "FAILED")], "a", WorkflowName="retried")
    # Asked again under the same token (after a kill), it is the same run.
    operation = endpoint.services["glue"].operations()["StartWorkflowRun"]
    token = acting_for.set("task-1")
    try:
        answers = [operation({"Name": "retried"}, Call("glue", "StartWorkflowRun", "us-east-1")) for _ in range(2)]
    finally:
        acting_for.reset(token)
    assert answers[0] == answers[1] and answers[0] is not None
    found = ended(glue, "retried", answers[0]["RunId"])
    assert states(found) == {"again": ["FAILED", "FAILED"], "a": ["SUCCEEDED"]}  # it fires after the last attempt
    assert [one["Attempt"] for one in nodes(found)["again"]["JobDetails"]["JobRuns"]] == [0, 1]
    assert {one["TriggerName"] for one in nodes(found)["again"]["JobDetails"]["JobRuns"]} == {"r-start"}
    assert len(glue.get_workflow_runs(Name="retried")["Runs"]) == 1


def test_triggers_outside_a_workflow(glue: Any, shop: Workshop) -> None:
    on_demand(glue, "o-start", "d", "bad")
    after(glue, "o-both", [job_ended("d"), job_ended("bad", "FAILED")], "e")
    after(glue, "o-any", [job_ended("d"), job_ended("e")], "c", Logical="ANY")
    before = {name: len(glue.get_job_runs(JobName=name)["JobRuns"]) for name in "ce"}
    shop.run("d")  # by hand: nothing follows
    glue.start_trigger(Name="o-start")
    assert glue.get_trigger(Name="o-start")["Trigger"]["State"] == "CREATED"

    def counted() -> bool:
        runs = {name: glue.get_job_runs(JobName=name)["JobRuns"] for name in "ce"}
        return len(runs["e"]) == before["e"] + 1 and len(runs["c"]) == before["c"] + 2

    until(counted)
    newest = glue.get_job_runs(JobName="e")["JobRuns"][0]
    assert newest["TriggerName"] == "o-both"
    assert sorted(one["JobName"] for one in newest["PredecessorRuns"]) == ["bad", "d"]
    for name in ("o-both", "o-any"):
        glue.stop_trigger(Name=name)
        assert glue.get_trigger(Name=name)["Trigger"]["State"] == "DEACTIVATED"
    message = "The operation is not allowed when trigger is in state: "
    refused("InvalidInputException", glue.stop_trigger, message + "DEACTIVATED", Name="o-any")
    refused("InvalidInputException", glue.stop_trigger, message + "CREATED", Name="o-start")
    on_demand(glue, "o-none", "nobody")
    refused("EntityNotFoundException", glue.start_trigger, "nobody", Name="o-none")
    refused("EntityNotFoundException", glue.start_trigger, Name="no-trigger")


def test_definitions(glue: Any) -> None:
    on_demand(glue, "t1", "a", Description="one", Tags={"team": "x"})
    cron = {"Type": "SCHEDULED", "Schedule": "cron(15 12 * * ? *)"}
    action = {"JobName": "a", "Arguments": {"--k": "v"}, "NotificationProperty": {"NotifyDelayAfter": 3}}
    glue.create_trigger(Name="t2", **cron, Actions=[action], StartOnCreation=True, Tags={"team": "x", "n": "2"})
    shown = glue.get_trigger(Name="t2")["Trigger"]
    assert shown == {"Name": "t2", **cron, "State": "ACTIVATED", "Actions": [action]}
    refused("AlreadyExistsException", glue.create_trigger, Name="t1", Type="ON_DEMAND", Actions=[{"JobName": "a"}])
    updated = glue.update_trigger(
        Name="t2", TriggerUpdate={"Schedule": "cron(0 1 * * ? *)", "Actions": [{"JobName": "b"}]}
    )
    assert updated["Trigger"]["Schedule"] == "cron(0 1 * * ? *)" and updated["Trigger"]["State"] == "ACTIVATED"
    refused(
        "InvalidInputException",
        glue.update_trigger,
        Name="t2",
        TriggerUpdate={"Schedule": "daily", "Actions": [action]},
    )
    refused("EntityNotFoundException", glue.update_trigger, Name="none", TriggerUpdate={"Description": "x"})
    assert glue.list_triggers(Tags={"team": "x"})["TriggerNames"] == ["t1", "t2"]
    assert "t2" in glue.list_triggers(DependentJobName="b")["TriggerNames"]
    assert "t1" not in [one["Name"] for one in glue.get_triggers(DependentJobName="b")["Triggers"]]
    found = glue.batch_get_triggers(TriggerNames=["t1", "zz"])
    assert [one["Name"] for one in found["Triggers"]] == ["t1"] and found["TriggersNotFound"] == ["zz"]
    names = [name for page in glue.get_paginator("list_triggers").paginate(PaginationConfig={"PageSize": 2})
             for name in page["TriggerNames"]]  # fmt: skip
    assert names == sorted(names) and {"t1", "t2"} <= set(names)
    glue.delete_trigger(Name="t2")  # an active one, too
    glue.delete_trigger(Name="t2")
    refused("EntityNotFoundException", glue.get_trigger, Name="t2")
    arn = "arn:aws:glue:us-east-1:000000000000:trigger/"
    glue.tag_resource(ResourceArn=arn + "t1", TagsToAdd={"n": "1"})
    assert glue.get_tags(ResourceArn=arn + "t1")["Tags"] == {"team": "x", "n": "1"}
    refused("EntityNotFoundException", glue.get_tags, ResourceArn=arn + "t2")


def test_workflow_definitions(glue: Any) -> None:
    glue.create_workflow(Name="d1", Description="one", MaxConcurrentRuns=2)
    refused("AlreadyExistsException", glue.create_workflow, Name="d1")
    refused("InvalidInputException", glue.create_workflow, "greater than or equal to 1", Name="d2", MaxConcurrentRuns=0)
    glue.update_workflow(Name="d1", Description="two", DefaultRunProperties={"a": "b"})
    shown = glue.get_workflow(Name="d1")["Workflow"]
    assert (shown["Description"], shown["DefaultRunProperties"], shown["MaxConcurrentRuns"]) == ("two", {"a": "b"}, 2)
    refused("EntityNotFoundException", glue.update_workflow, Name="none")
    refused("EntityNotFoundException", glue.get_workflow, Name="none")
    refused("EntityNotFoundException", on_demand_in, glue=glue, workflow="none")
    refused("InvalidInputException", glue.start_workflow_run, "starting trigger", Name="d1")
    on_demand_in(glue, "d1")
    refused("InvalidInputException", glue.create_trigger, "starting trigger", Name="d-2", Type="SCHEDULED",
            Schedule="cron(0 1 * * ? *)", Actions=[{"JobName": "a"}], WorkflowName="d1")  # fmt: skip
    event = {"Type": "EVENT", "Actions": [{"JobName": "a"}], "EventBatchingCondition": {"BatchSize": 2}}
    glue.create_workflow(Name="d3")
    glue.create_trigger(Name="d-3", WorkflowName="d3", StartOnCreation=True, **event)
    assert glue.get_trigger(Name="d-3")["Trigger"]["State"] == "CREATED"
    refused("InvalidInputException", glue.start_trigger, "Trigger Type EVENT cannot be started", Name="d-3")
    assert {"d1", "d3"} <= set(glue.list_workflows()["Workflows"])
    found = glue.batch_get_workflows(Names=["d1", "zz"], IncludeGraph=True)
    assert found["Workflows"][0]["Graph"]["Nodes"] and found["MissingWorkflows"] == ["zz"]
    # The job is not there: the action cannot be started, the run says so and is over.
    glue.update_trigger(Name="d-start", TriggerUpdate={"Actions": [{"JobName": "nobody"}, {"CrawlerName": "none"}]})
    over = run(glue, "d1")
    assert over["Status"] == "COMPLETED" and over["Statistics"]["ErroredActions"] == 2
    assert states(over) == {"nobody": ["ERROR"], "none": ["ERROR"]}
    glue.delete_workflow(Name="d1")
    glue.delete_workflow(Name="d1")
    refused("EntityNotFoundException", glue.get_trigger, Name="d-start")


def on_demand_in(glue: Any, workflow: str) -> None:
    on_demand(glue, "d-start", "a", WorkflowName=workflow)


def test_schedules_follow_the_endpoints_clock(glue: Any, jump: Callable[[float], None]) -> None:
    cron = {"Type": "SCHEDULED", "Schedule": "cron(* * * * ? *)"}
    glue.create_workflow(Name="timed", MaxConcurrentRuns=1)
    glue.create_trigger(Name="s-flow", WorkflowName="timed", StartOnCreation=True, Actions=[{"JobName": "a"}], **cron)
    glue.create_trigger(Name="s-alone", Actions=[{"JobName": "e"}], **cron)
    before = len(glue.get_job_runs(JobName="e")["JobRuns"])
    glue.start_trigger(Name="s-alone")
    jump(60)
    (first,) = until(lambda: glue.get_workflow_runs(Name="timed")["Runs"])
    assert ended(glue, "timed", first["WorkflowRunId"])["Statistics"]["SucceededActions"] == 1
    until(lambda: len(glue.get_job_runs(JobName="e")["JobRuns"]) == before + 1)
    assert glue.get_job_runs(JobName="e")["JobRuns"][0]["TriggerName"] == "s-alone"
    glue.stop_trigger(Name="s-alone")
    jump(3600)  # the machine slept for an hour: that is one firing, not sixty
    until(lambda: len(glue.get_workflow_runs(Name="timed")["Runs"]) == 2)
    second, _ = glue.get_workflow_runs(Name="timed")["Runs"]
    ended(glue, "timed", second["WorkflowRunId"])
    # A run that has no room is told as one in ERROR.
    glue.update_trigger(Name="s-flow", TriggerUpdate={"Schedule": cron["Schedule"], "Actions": [{"JobName": "long"}]})
    third = glue.start_workflow_run(Name="timed")["RunId"]
    jump(60)
    latest = until(lambda: (found := glue.get_workflow_runs(Name="timed")["Runs"][0])["Status"] == "ERROR" and found)
    assert latest["ErrorMessage"] == "Concurrent runs exceeded for workflow: timed."
    assert latest["Statistics"]["RunningActions"] == 0
    assert len(glue.get_workflow_runs(Name="timed")["Runs"]) == 4
    glue.stop_workflow_run(Name="timed", RunId=third)
    glue.delete_workflow(Name="timed")
    assert len(glue.get_job_runs(JobName="e")["JobRuns"]) == before + 1


def hostile(endpoint: Endpoint, target: str, body: Any) -> int:
    """The status of a signed request with any body."""
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", endpoint.url, data=json.dumps(body), headers=headers)
    SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "events", endpoint.region).add_auth(request)
    sent = urllib.request.Request(endpoint.url, data=request.data.encode(), headers=dict(request.headers))
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_eventbridge_starts_a_workflow(glue: Any, aws: Aws, endpoint: Endpoint, jump: Callable[[float], None]) -> None:
    events = aws("events")
    glue.create_workflow(Name="heard", DefaultRunProperties={"a": "b"})
    glue.create_trigger(
        Name="h", Type="EVENT", WorkflowName="heard", Actions=[{"JobName": "a"}],
        EventBatchingCondition={"BatchSize": 2, "BatchWindow": 1},
    )  # fmt: skip
    arn = "arn:aws:glue:us-east-1:000000000000:workflow/heard"
    pattern = {"source": ["shop"], "detail": {"rows": [{"numeric": [">", 3]}]}}
    events.put_rule(Name="r", EventPattern=json.dumps(pattern))
    queue = {"Id": "q", "Arn": "arn:aws:sqs:us-east-1:000000000000:none"}
    flow = {"Id": "w", "Arn": arn, "RoleArn": ROLE}
    assert events.put_targets(Rule="r", Targets=[flow, queue])["FailedEntryCount"] == 0
    assert {one["Id"]: one["Arn"] for one in events.list_targets_by_rule(Rule="r")["Targets"]}["w"] == arn
    assert events.list_rule_names_by_target(TargetArn=arn)["RuleNames"] == ["r"]
    events.remove_targets(Rule="r", Ids=["q"])
    refused("ResourceNotFoundException", events.put_targets, Rule="none", Targets=[flow])

    def send(rows: int) -> str:
        entry = {"Source": "shop", "DetailType": "loaded", "Detail": json.dumps({"rows": rows})}
        return str(events.put_events(Entries=[entry])["Entries"][0]["EventId"])

    send(1)  # does not match
    ids = [send(4), send(5), send(6)]
    until(lambda: len(glue.get_workflow_runs(Name="heard")["Runs"]) == 1)
    waiting = "SELECT count(*) FROM glue_trigger_events WHERE trigger = 'h'"
    until(lambda: endpoint.store.read(waiting)[0][0] == 1)  # the third one: its window begins when it is delivered
    jump(1)  # its window has ended
    until(lambda: len(glue.get_workflow_runs(Name="heard")["Runs"]) == 2)
    second, first = glue.get_workflow_runs(Name="heard")["Runs"]
    assert first["WorkflowRunProperties"] == {"a": "b", "aws:eventIds": f"[{ids[0]}, {ids[1]}]"}
    assert second["WorkflowRunProperties"]["aws:eventIds"] == f"[{ids[2]}]"
    assert first["StartingEventBatchCondition"]["BatchSize"] == 2
    refused("ValidationException", events.delete_rule, "has targets", Name="r")
    events.put_rule(Name="timed", ScheduleExpression="rate(5 minutes)")
    refused("NotImplemented", events.put_targets, "no event pattern", Rule="timed", Targets=[flow])
    odd = [{"Rule": ["r"], "Ids": 5}, {"Rule": "r", "Targets": [{"Arn": arn}]}, {"EventBusName": {}, "TargetArn": arn}]
    odd += [{"Entries": [{"Source": "shop", "DetailType": "x", "Detail": text}]} for text in ("{", "[1]", "5", "null")]
    odd += [{"Entries": "x"}, {"Name": None}, {"Rule": None, "TargetArn": [arn]}]
    for call in (
        "PutTargets",
        "RemoveTargets",
        "ListTargetsByRule",
        "ListRuleNamesByTarget",
        "DeleteRule",
        "PutEvents",
    ):
        for body in odd:
            assert hostile(endpoint, f"AWSEvents.{call}", body) in (200, 400, 404, 501), (call, body)
    events.remove_targets(Rule="r", Ids=["w"])
    send(7)
    events.delete_rule(Name="r")


def test_import_makes_a_flow_that_runs_here(
    glue: Any, endpoint: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (endpoint.data / "endpoint.json").write_text(json.dumps({"port": endpoint.port}))  # as `millpond up` does
    command = ["import", "glue-workflow", "nightly", "--data", str(endpoint.data)]
    assert cli.run([*command, "--out", str(tmp_path / "made")]) == 0
    assert "note: Run properties (day, kind) are not carried" in capsys.readouterr().err
    loaded = project.load(tmp_path / "made")
    target = Target.local(endpoint.data)
    outputs = deploy.apply(target, stack.build(loaded), {}).outputs
    before = {name: len(glue.get_job_runs(JobName=name)["JobRuns"]) for name in ("a", "b", "c", "d", "e", "bad")}
    states_ = target.client("stepfunctions")
    arn = states_.start_execution(stateMachineArn=outputs[loaded.flow().logical_id])["executionArn"]
    run = until(lambda: (one := states_.describe_execution(executionArn=arn))["status"] != "RUNNING" and one)
    assert run["status"] == "SUCCEEDED", run
    expected = dict.fromkeys(("a", "b", "c", "d", "crawl"), "SUCCEEDED") | {"bad": "FAILED"}
    assert json.loads(run["output"]) == expected
    after_ = {name: len(glue.get_job_runs(JobName=name)["JobRuns"]) for name in before}
    assert {name for name in before if after_[name] > before[name]} == {"a", "b", "c", "d", "bad"}
    assert glue.get_job_runs(JobName="c")["JobRuns"][0]["Arguments"]["--x"] == "1"
    assert cli.run([*command[:2], "nowhere", *command[3:]]) == 3
    assert "there is no Glue workflow nowhere" in (said := capsys.readouterr()).err and "nightly" in said.err
    assert cli.run([*command, "--out", str(tmp_path / "made")]) == 2  # does not overwrite


PAGE = Path(__file__).parents[2] / "docs" / "glue.md"


def test_a_declared_workflow_is_deployed_run_and_shown(
    endpoint: Endpoint, shop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\nname = "declared"\n')
    for name, text in re.findall(r"^`([\w/]+\.py)`\n\n```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (endpoint.data / "endpoint.json").write_text(json.dumps({"port": endpoint.port}))
    loaded, target = project.load(tmp_path), Target.local(endpoint.data)
    name = deploy.apply(target, stack.build(loaded), {}).outputs[loaded.runnable().logical_id]
    assert name == "declared-nightly"
    found = list(workflows.follow(target, name, workflows.start(target, name, {"day": "2026-11-27"})))[-1]
    assert {one.name.removeprefix("declared-"): one.state for one in found.works} == {
        "load": "SUCCEEDED", "orders": "SUCCEEDED", "report": "SUCCEEDED", "alarm": "",
    }, found  # fmt: skip
    assert found.succeeded
    both, glue = {"Name": name, "RunId": found.run_id}, target.client("glue")
    assert glue.get_workflow_run_properties(**both)["RunProperties"] == {"day": "2026-11-27", "rows": "2"}
    (partition,) = glue.get_partitions(DatabaseName="shop", TableName="orders")["Partitions"]
    assert partition["Values"] == ["2026-11-27"]
    assert "tables: orders" in shop.log(next(one.run for one in found.works if "report" in one.name))
    # The load fails: AWS says COMPLETED, we do not.
    broken = {"--scriptLocation": shop.put("broken.py", "raise SystemExit('on purpose')")}
    action = {"JobName": "declared-load", "Arguments": broken}
    glue.update_trigger(Name="declared-begin", TriggerUpdate={"Schedule": "cron(0 2 * * ? *)", "Actions": [action]})
    found = list(workflows.follow(target, name, workflows.start(target, name, {})))[-1]
    assert found.status == "COMPLETED" and not found.succeeded
    assert cli.run(["show", found.run_id, "--data", str(endpoint.data)]) == 0
    said = capsys.readouterr().out
    assert f"declared-nightly  {found.run_id}  COMPLETED" in said
    assert "FAIL declared-load" in said and "ok   declared-alarm" in said and "-    declared-report" in said
    target.client("cloudformation").delete_stack(StackName="declared")
    until(lambda: name not in glue.list_workflows()["Workflows"])
