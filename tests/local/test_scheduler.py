"""EventBridge Scheduler through boto3: schedules that invoke their targets, groups, what is refused."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from test_events import ARN, ROLE, Aws, Heard

from millpond.local.server import Server
from millpond.local.service import Endpoint

OFF = {"Mode": "OFF"}
EVERY = {"ScheduleExpression": "rate(1 hour)", "FlexibleTimeWindow": OFF}  # its first time is now
NEVER = {"ScheduleExpression": "cron(0 0 1 1 ? 2199)", "FlexibleTimeWindow": OFF}


def refused(code: str, call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value.response["Error"]["Message"])


def until(wanted: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while not (found := wanted()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def target(arn: str, given: Any = None, **more: Any) -> dict[str, Any]:
    written = {} if given is None else {"Input": given if isinstance(given, str) else json.dumps(given)}
    return {"Arn": arn, "RoleArn": ROLE, **written, **more}


def test_targets_are_invoked(aws: Aws, endpoint: Endpoint) -> None:
    heard, dead, scheduler = Heard(aws, "scheduled"), Heard(aws, "unreached"), aws("scheduler")
    topic = aws("sns").create_topic(Name="scheduled")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard.arn)
    events = aws("events")
    events.put_rule(Name="heard", EventPattern='{"source": ["shop"]}')
    events.put_targets(Rule="heard", Targets=[{"Id": "1", "Arn": heard.arn, "InputPath": "$.detail"}])
    passes = json.dumps({"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    machine = aws("stepfunctions").create_state_machine(name="scheduled", roleArn=ROLE, definition=passes)
    aws("s3").create_bucket(Bucket="scheduled")
    crawled = {"S3Targets": [{"Path": "s3://scheduled/"}]}
    aws("glue").create_crawler(Name="scheduled", Role=ROLE, DatabaseName="d", Targets=crawled)

    said = ["<aws.scheduler.schedule-arn>", "<aws.scheduler.attempt-number>", "<aws.scheduler.scheduled-time>"]
    bus = {"EventBridgeParameters": {"Source": "shop", "DetailType": "sold"}}
    targets = {
        "queue": target(heard.arn, said),
        "default": target(heard.arn),
        "topic": target(topic, {"topic": 1}),
        "bus": target(ARN.format("events", "event-bus/default"), {"bus": 1}, **bus),
        "machine": target(machine["stateMachineArn"], {"machine": 1}),
        "crawler": target("arn:aws:scheduler:::aws-sdk:glue:startCrawler", {"Name": "scheduled"}),
        "universal": target(
            "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", {"QueueUrl": heard.url, "MessageBody": '"universal"'}
        ),
    }
    for name, one in targets.items():
        scheduler.create_schedule(Name=name, Target=one, **EVERY)
    (list_,) = heard.until(lambda one: isinstance(one, list))
    assert list_[:2] == [ARN.format("scheduler", "schedule/default/queue"), "1"] and list_[2].endswith("Z")
    (event,) = heard.until(lambda one: isinstance(one, dict) and "detail-type" in one)
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.scheduler", "Scheduled Event", "{}")
    assert event["resources"] == [ARN.format("scheduler", "schedule/default/default")]
    assert heard.until(lambda one: isinstance(one, dict) and one.get("Message") == '{"topic": 1}')
    assert heard.until(lambda one: one == {"bus": 1})
    assert heard.until(lambda one: one == "universal")
    states = aws("stepfunctions")
    (run,) = until(lambda: states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"])
    assert json.loads(states.describe_execution(executionArn=run["executionArn"])["input"]) == {"machine": 1}
    until(lambda: aws("glue").list_crawls(CrawlerName="scheduled")["Crawls"])

    once = {"MaximumRetryAttempts": 1}
    lost = target(ARN.format("lambda", "function:none"), {"a": 1}, RetryPolicy=once, DeadLetterConfig={"Arn": dead.arn})
    scheduler.create_schedule(Name="lost", Target=lost, **EVERY)
    (message,) = until(
        lambda: dead.sqs.receive_message(QueueUrl=dead.url, MessageAttributeNames=["All"]).get("Messages")
    )
    why = {name: one["StringValue"] for name, one in message["MessageAttributes"].items()}
    assert json.loads(message["Body"]) == {"a": 1} and why["ERROR_CODE"] == "ResourceNotFoundException"
    assert (why["RETRY_ATTEMPTS"], why["EXHAUSTED_RETRY_CONDITION"]) == ("1", "MaximumRetryAttempts")
    assert why["TARGET_ARN"] == ARN.format("lambda", "function:none")
    assert why["SCHEDULE_ARN"] == ARN.format("scheduler", "schedule/default/lost")
    until(lambda: endpoint.store.one("SELECT 1 FROM scheduler_invocations") is None)
    assert len(states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]) == 1


def test_a_schedule_goes_on_until_it_ends(aws: Aws, endpoint: Endpoint, jump: Callable[[float], None]) -> None:
    heard, scheduler = Heard(aws, "again"), aws("scheduler")
    now = endpoint.clockwork.now()
    end = dt.datetime.fromtimestamp(now + 150, dt.UTC)
    minutes = {"ScheduleExpression": "rate(1 minute)", "FlexibleTimeWindow": OFF}
    given = {"EndDate": end, "ActionAfterCompletion": "DELETE"}
    scheduler.create_schedule(Name="again", Target=target(heard.arn, '"again"'), **minutes, **given)
    soon = dt.datetime.fromtimestamp(now + 60, dt.UTC).strftime("at(%Y-%m-%dT%H:%M:%S)")
    one_time = {"ScheduleExpression": soon, "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}}
    scheduler.create_schedule(Name="once", Target=target(heard.arn, '"once"'), **one_time)
    scheduler.create_schedule(
        Name="gone", Target=target(heard.arn, '"gone"'), **one_time, ActionAfterCompletion="DELETE"
    )
    for times in (1, 2, 3):
        heard.until(lambda one: one == "again", times)
        jump(60)
    until(lambda: [one["Name"] for one in scheduler.list_schedules(NamePrefix="again")["Schedules"]] == [])
    jump(300)  # the end of the window
    assert heard.until(lambda one: one == "once") and heard.until(lambda one: one == "gone")
    until(lambda: [one["Name"] for one in scheduler.list_schedules(NamePrefix="gone")["Schedules"]] == [])
    assert scheduler.get_schedule(Name="once")["ScheduleExpression"] == soon  # it stays, and is over
    scheduler.update_schedule(Name="once", Target=target(heard.arn, '"once"'), Description="changed", **one_time)
    assert [one for one in heard.events if one == "again"] == ["again"] * 3
    assert [one for one in heard.events if one == "once"] == ["once"]


def test_schedules_and_groups(aws: Aws) -> None:
    scheduler, queue = aws("scheduler"), ARN.format("sqs", "q")
    group = scheduler.create_schedule_group(Name="nightly", Tags=[{"Key": "team", "Value": "a"}])["ScheduleGroupArn"]
    assert group == ARN.format("scheduler", "schedule-group/nightly")
    refused("ConflictException", scheduler.create_schedule_group, Name="nightly")
    scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "stage", "Value": "b"}])
    scheduler.untag_resource(ResourceArn=group, TagKeys=["team"])
    assert scheduler.list_tags_for_resource(ResourceArn=group)["Tags"] == [{"Key": "stage", "Value": "b"}]
    assert scheduler.get_schedule_group(Name="nightly")["State"] == "ACTIVE"
    names = [one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]]
    assert names == ["default", "nightly"]

    end = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    made = scheduler.create_schedule(
        Name="load", GroupName="nightly", Target=target(queue, "x"), State="DISABLED", Description="d", EndDate=end,
        ScheduleExpressionTimezone="Europe/Berlin", **NEVER,
    )  # fmt: skip
    assert made["ScheduleArn"] == ARN.format("scheduler", "schedule/nightly/load")
    shown = scheduler.get_schedule(Name="load", GroupName="nightly")
    assert (shown["State"], shown["ScheduleExpressionTimezone"], shown["EndDate"]) == ("DISABLED", "Europe/Berlin", end)
    assert (shown["ActionAfterCompletion"], shown["FlexibleTimeWindow"]) == ("NONE", OFF)
    policy = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
    assert shown["Target"] == {"Arn": queue, "RoleArn": ROLE, "Input": "x", "RetryPolicy": policy}
    refused("ConflictException", scheduler.create_schedule, Name="load", GroupName="nightly", Target=target(queue),
            **NEVER)  # fmt: skip
    words = refused("ResourceNotFoundException", scheduler.get_schedule, Name="load")
    assert words == "Schedule load does not exist."
    scheduler.update_schedule(Name="load", GroupName="nightly", Target=target(queue), **NEVER)
    shown = scheduler.get_schedule(Name="load", GroupName="nightly")  # what was not given is at its default again
    assert shown["State"] == "ENABLED" and "Description" not in shown and "EndDate" not in shown
    token = {"ClientToken": "same"}
    for _ in range(2):
        scheduler.create_schedule(Name="twice", GroupName="nightly", Target=target(queue), **NEVER, **token)
    page = scheduler.list_schedules(GroupName="nightly", MaxResults=1)
    (first,), after = page["Schedules"], page["NextToken"]
    assert (first["Name"], first["Target"]) == ("load", {"Arn": queue})
    (second,) = scheduler.list_schedules(GroupName="nightly", MaxResults=1, NextToken=after)["Schedules"]
    assert second["Name"] == "twice"
    assert scheduler.list_schedules(GroupName="nightly", State="DISABLED")["Schedules"] == []
    refused("ResourceNotFoundException", scheduler.list_schedules, GroupName="none")
    scheduler.delete_schedule(Name="twice", GroupName="nightly")
    refused("ResourceNotFoundException", scheduler.delete_schedule, Name="twice", GroupName="nightly")
    scheduler.delete_schedule_group(Name="nightly")
    refused("ResourceNotFoundException", scheduler.get_schedule, Name="load", GroupName="nightly")
    refused("ValidationException", scheduler.delete_schedule_group, Name="default")


def test_what_is_refused(aws: Aws) -> None:
    scheduler, queue = aws("scheduler"), target(ARN.format("sqs", "q"))
    create = scheduler.create_schedule
    for given in (
        {"ScheduleExpression": "tomorrow"},
        {"ScheduleExpressionTimezone": "Mars/Olympus"},
        {"FlexibleTimeWindow": {"Mode": "FLEXIBLE"}},
        {"FlexibleTimeWindow": {"Mode": "OFF", "MaximumWindowInMinutes": 5}},
        {"FlexibleTimeWindow": {"Mode": "SOMETIMES"}},
        {"State": "PAUSED"},
        {"StartDate": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
        {"StartDate": dt.datetime(2100, 1, 1, tzinfo=dt.UTC), "EndDate": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)},
        {"StartDate": dt.datetime(9999, 12, 31, 23, 59, tzinfo=dt.UTC)},
        {"Target": target("nobody")},
        {"Target": {**queue, "RoleArn": "nobody"}},
        {"Target": target(ARN.format("lambda", "function:f"), "no json")},
        {"Target": target(ARN.format("events", "event-bus/default"), {})},
        {"Target": target("arn:aws:scheduler:::aws-sdk:nothing:doIt")},
        {"Target": target("arn:aws:scheduler:::aws-sdk:glue:doIt")},
        {"Target": target("arn:aws:scheduler:::aws-sdk:glue:getJobs")},
        {"Target": target("arn:aws:scheduler:::aws-sdk:glue:startCrawler", "[]")},
    ):
        refused("ValidationException", create, **{"Name": "odd", "Target": queue, **NEVER, **given})
    refused("ResourceNotFoundException", create, Name="odd", GroupName="none", Target=queue, **NEVER)
    for arn in (ARN.format("ecs", "cluster/c"), "arn:aws:scheduler:::aws-sdk:ecs:runTask",
                "arn:aws:scheduler:::aws-sdk:glue:createDevEndpoint"):  # fmt: skip
        assert "does not carry" in refused("NotImplemented", create, Name="odd", Target=target(arn), **NEVER)
    assert scheduler.list_schedules()["Schedules"] == [] or "odd" not in {
        one["Name"] for one in scheduler.list_schedules()["Schedules"]
    }


def test_schedules_outlive_the_endpoint(tmp_path: Path, serve: Any) -> None:
    with serve(Server(tmp_path / ".millpond")) as first:
        client = first.endpoint.client
        heard = Heard(client, "outlived")
        scheduler = client("scheduler")
        scheduler.create_schedule(Name="later", Target=target(heard.arn, '"later"'), State="DISABLED", **EVERY)
        soon = {"ScheduleExpression": "at(2199-01-01T00:00:00)", "FlexibleTimeWindow": OFF}
        scheduler.create_schedule(Name="soon", Target=target(heard.arn, '"soon"'), **soon)
        now = first.endpoint.clockwork.now()
        passed = dt.datetime.fromtimestamp(now - 600, dt.UTC).strftime("at(%Y-%m-%dT%H:%M:%S)")
    with serve(Server(tmp_path / ".millpond")) as second:
        store = second.endpoint.store
        assert [one["Name"] for one in second.endpoint.client("scheduler").list_schedules()["Schedules"]] == [
            "later",
            "soon",
        ]
        second.endpoint.clockwork.stop()
        with store.write() as db:  # as if its time had come while the endpoint was down
            body = json.loads(db.execute("SELECT body FROM scheduler_schedules WHERE name = 'soon'").fetchone()["body"])
            db.execute(
                "UPDATE scheduler_schedules SET body = ?, since = ?, coming = NULL WHERE name = 'soon'",
                (json.dumps({**body, "ScheduleExpression": passed}), now - 3600),
            )
    with serve(Server(tmp_path / ".millpond")) as third:
        heard = Heard(third.endpoint.client, "outlived")
        assert heard.until(lambda one: one == "soon") == ["soon"] and heard.events == ["soon"]
