"""EventBridge through boto3: what our services send of themselves, and which targets a rule reaches."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond.local import events as events_room
from millpond.local.glue import job_runs
from millpond.local.server import Server
from millpond.local.service import AwsError, Endpoint

Aws = Callable[[str], Any]
ROLE = "arn:aws:iam::000000000000:role/events"
ARN = "arn:aws:{}:us-east-1:000000000000:{}"
KEEP = """
import json, boto3, os
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(["lambda", event]))
"""


class Heard:
    """A queue that rules write to, and what has come into it."""

    def __init__(self, aws: Aws, name: str) -> None:
        self.sqs, self.arn = aws("sqs"), ARN.format("sqs", name)
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.events: list[Any] = []
        self.said: dict[str, str] = {}  # the attributes of the last message

    def until(self, wanted: Callable[[Any], bool], number: int = 1) -> list[Any]:
        """The events that are wanted, as soon as there are `number`."""
        deadline = time.monotonic() + 120
        while len(found := [one for one in self.events if wanted(one)]) < number:
            assert time.monotonic() < deadline, self.events
            asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]}
            came = self.sqs.receive_message(QueueUrl=self.url, **asked).get("Messages", [])
            for message in came:
                attributes = message.get("MessageAttributes", {})
                self.said = {name: one["StringValue"] for name, one in attributes.items()}
                self.events.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            if not came:
                time.sleep(0.05)
        return found


def rule(aws: Aws, name: str, pattern: dict[str, Any], *targets: dict[str, Any], bus: str = "default") -> None:
    events = aws("events")
    events.put_rule(Name=name, EventPattern=json.dumps(pattern), EventBusName=bus)
    given = [{"Id": str(n), **target} for n, target in enumerate(targets)]
    assert events.put_targets(Rule=name, EventBusName=bus, Targets=given)["FailedEntryCount"] == 0


def state(kind: str, **wanted: Any) -> Callable[[Any], bool]:
    return lambda one: one["detail-type"] == kind and wanted.items() <= one["detail"].items()


def test_glue_says_what_happens(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard, glue = Heard(aws, "glue-says"), aws("glue")
    rule(aws, "glue", {"source": ["aws.glue"]}, {"Arn": heard.arn})
    shop = Workshop(aws, "told").open()
    monkeypatch.setattr(job_runs, "MINUTE", 0.2)
    delay = {"NotificationProperty": {"NotifyDelayAfter": 1}}
    block = tmp_path / "block"
    block.touch()
    waits = f"import os, time\nwhile os.path.exists({str(block)!r}): time.sleep(0.05)\n"
    shop.job("good", waits, head=False, kind="pythonshell", **delay)
    shop.job("bad", "raise SystemExit('no')", head=False, kind="pythonshell")
    good, bad = shop.start("good"), shop.run("bad")["Id"]
    assert heard.until(state("Glue Job Run Status", jobRunId=good))
    block.unlink()
    shop.wait("good", good)
    (event,) = heard.until(state("Glue Job State Change", jobName="good"))
    assert event["detail"] == {
        "jobName": "good", "severity": "INFO", "state": "SUCCEEDED", "jobRunId": good, "message": "Job run succeeded",
    }  # fmt: skip
    assert (event["version"], event["source"], event["account"]) == ("0", "aws.glue", "000000000000")
    assert (event["region"], event["resources"]) == ("us-east-1", []) and event["time"].endswith("Z") and event["id"]
    (event,) = heard.until(state("Glue Job State Change", jobName="bad", jobRunId=bad))
    assert (event["detail"]["state"], event["detail"]["severity"]) == ("FAILED", "ERROR")
    assert event["detail"]["message"] == glue.get_job_run(JobName="bad", RunId=bad)["JobRun"]["ErrorMessage"]
    late = heard.until(state("Glue Job Run Status", jobRunId=good))[-1]["detail"]
    assert late["notificationCondition"] == {"NotifyDelayAfter": 1.0} and late["startedOn"].endswith("Z")
    assert late["message"] == f"Job is in {late['state']} state"

    shop.put("crawled/t/x.csv", "id,name\n1,a\n2,b\n")
    targets = {"S3Targets": [{"Path": "s3://told/crawled/"}]}
    glue.create_crawler(Name="finder", Role=ROLE, DatabaseName="found", Targets=targets)
    glue.start_crawler(Name="finder")
    (event,) = heard.until(state("Glue Crawler State Change", state="Succeeded", crawlerName="finder"))
    assert event["detail"]["tablesCreated"] == "1" and event["detail"]["partitionsCreated"] == "0"
    assert event["detail"]["message"] == "Crawler Succeeded" and event["detail"]["accountId"] == "000000000000"
    assert heard.until(state("Glue Crawler State Change", state="Started", crawlerName="finder"))

    glue.create_database(DatabaseInput={"Name": "Told"})
    keys = [{"Name": "year", "Type": "int"}, {"Name": "month", "Type": "int"}]
    glue.create_table(DatabaseName="told", TableInput={"Name": "t", "PartitionKeys": keys})
    given = [{"Values": ["2024", str(month)]} for month in (1, 2)]
    glue.batch_create_partition(DatabaseName="told", TableName="t", PartitionInputList=given)
    with pytest.raises(ClientError):
        glue.create_database(DatabaseInput={"Name": "told"})  # what fails is not told
    glue.delete_database(Name="told")
    kind = "Glue Data Catalog Database State Change"
    (event,) = heard.until(state(kind, typeOfChange="CreateTable"))
    assert event["detail"] == {"databaseName": "told", "typeOfChange": "CreateTable", "changedTables": ["t"]}
    assert event["resources"] == [ARN.format("glue", "table/told/t")]
    (event,) = heard.until(state("Glue Data Catalog Table State Change", typeOfChange="BatchCreatePartition"))
    assert event["detail"]["changedPartitions"] == ["[2024, 1]", "[2024, 2]"]
    assert heard.until(state(kind, typeOfChange="DeleteDatabase", databaseName="told"))
    assert len(heard.until(state(kind, typeOfChange="CreateDatabase", databaseName="told"))) == 1


def test_step_functions_says_what_happens(aws: Aws) -> None:
    heard, states = Heard(aws, "states-say"), aws("stepfunctions")
    rule(aws, "states", {"source": ["aws.states"]}, {"Arn": heard.arn})
    fails = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "Odd", "Cause": "it is"}}}
    wide = {"Type": "Pass", "Result": "x" * 200_000, "End": True}
    machines = {
        name: states.create_state_machine(name=name, roleArn=ROLE, definition=json.dumps(definition))["stateMachineArn"]
        for name, definition in (("fails", fails), ("wide", {"StartAt": "P", "States": {"P": wide}}))
    }
    arn = states.start_execution(stateMachineArn=machines["fails"], name="one", input='{"a": 1}')["executionArn"]
    (event,) = heard.until(state("Step Functions Execution Status Change", status="FAILED"))
    detail, shown = event["detail"], states.describe_execution(executionArn=arn)
    assert event["resources"] == [arn] and event["source"] == "aws.states"
    assert (detail["executionArn"], detail["stateMachineArn"], detail["name"]) == (arn, machines["fails"], "one")
    assert (detail["error"], detail["cause"], detail["output"], detail["input"]) == ("Odd", "it is", None, '{"a": 1}')
    assert detail["inputDetails"] == {"included": True} and detail["outputDetails"] is None
    assert (
        detail["startDate"] == round(shown["startDate"].timestamp() * 1000)
        and detail["stopDate"] >= detail["startDate"]
    )
    assert (detail["redriveCount"], detail["redriveStatus"]) == (0, "REDRIVABLE")
    (event,) = heard.until(state("Step Functions Execution Status Change", status="RUNNING", executionArn=arn))
    assert event["detail"]["stopDate"] is None and event["detail"]["output"] is None
    long = json.dumps("y" * 100_000)
    states.start_execution(stateMachineArn=machines["wide"], input=long)
    (event,) = heard.until(state("Step Functions Execution Status Change", status="SUCCEEDED"))
    assert event["detail"]["outputDetails"] == {"included": True} and len(event["detail"]["output"]) == 200_002
    assert event["detail"]["inputDetails"] == {"included": False} and event["detail"]["input"] is None
    aws("events").disable_rule(Name="states")
    states.start_execution(stateMachineArn=machines["fails"], name="two")
    aws("events").enable_rule(Name="states")
    three = states.start_execution(stateMachineArn=machines["fails"], name="three")["executionArn"]
    heard.until(state("Step Functions Execution Status Change", status="FAILED", executionArn=three))


def test_every_target_is_reached(aws: Aws, endpoint: Endpoint) -> None:
    heard, dead = Heard(aws, "reached"), Heard(aws, "dead")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("f.py", KEEP)
    aws("lambda").create_function(
        FunctionName="keep", Runtime="python3.11", Role=ROLE, Handler="f.handler", Code={"ZipFile": packed.getvalue()},
        Environment={"Variables": {"QUEUE": heard.url}}, Timeout=60,
    )  # fmt: skip
    topic = aws("sns").create_topic(Name="reached")["TopicArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=heard.arn)
    send = {
        "Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": True,
        "Parameters": {"QueueUrl": heard.url, "MessageBody.$": "States.JsonToString($)"},
    }  # fmt: skip
    definition = json.dumps({"StartAt": "S", "States": {"S": send}})
    machine = aws("stepfunctions").create_state_machine(name="reached", roleArn=ROLE, definition=definition)
    aws("logs").create_log_group(logGroupName="/aws/events/reached")
    events = aws("events")
    events.create_event_bus(Name="second")
    template = {
        "InputPathsMap": {"n": "$.detail.n"},
        "InputTemplate": '{"states": <n>, "rule": "<aws.events.rule-name>"}',
    }
    lost = {"Arn": ARN.format("lambda", "function:none"), "DeadLetterConfig": {"Arn": dead.arn}}
    rule(aws, "lost", {"source": ["shop"], "detail": {"n": [7]}}, lost)
    rule(
        aws, "all", {"source": ["shop"], "detail": {"n": [{"numeric": [">", 0]}]}},
        {"Arn": ARN.format("lambda", "function:keep"), "InputPath": "$.detail"},
        {"Arn": machine["stateMachineArn"], "RoleArn": ROLE, "InputTransformer": template},
        {"Arn": topic, "Input": '"said"'},
        {"Arn": ARN.format("logs", "log-group:/aws/events/reached")},
        {"Arn": ARN.format("events", "event-bus/second"), "RoleArn": ROLE},
    )  # fmt: skip
    rule(aws, "onward", {"source": ["shop"]}, {"Arn": heard.arn, "InputPath": "$.source"}, bus="second")
    listed = events.list_targets_by_rule(Rule="all")["Targets"]
    assert {one["Id"] for one in listed} == set("01234") and listed[1]["InputTransformer"] == template
    assert events.list_rule_names_by_target(TargetArn=topic)["RuleNames"] == ["all"]
    entries = [{"Source": "shop", "DetailType": "sold", "Detail": json.dumps({"n": n})} for n in (0, 7)]
    sent = events.put_events(Entries=entries)
    assert sent["FailedEntryCount"] == 0
    assert heard.until(lambda one: one == ["lambda", {"n": 7}])
    assert heard.until(lambda one: one == {"states": 7, "rule": "all"})
    assert heard.until(lambda one: isinstance(one, dict) and one.get("Message") == '"said"')
    assert heard.until(lambda one: one == "shop", 1)
    (buried,) = dead.until(lambda one: True)  # at once: there is no such function
    assert (buried["id"], buried["detail"]) == (sent["Entries"][1]["EventId"], {"n": 7})
    assert (dead.said["ERROR_CODE"], dead.said["RETRY_ATTEMPTS"]) == ("NO_RESOURCE", "0")
    assert (dead.said["RULE_ARN"], dead.said["TARGET_ARN"]) == (ARN.format("events", "rule/lost"), lost["Arn"])
    deadline = time.monotonic() + 120
    while endpoint.store.one("SELECT 1 FROM events_deliveries"):  # the row goes after the message has come
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (line,) = aws("logs").filter_log_events(logGroupName="/aws/events/reached")["events"]
    assert json.loads(line["message"]) == buried
    with pytest.raises(ClientError, match="has targets"):
        events.delete_rule(Name="all")
    events.remove_targets(Rule="all", Ids=list("01234"))
    events.delete_rule(Name="all")
    with pytest.raises(ClientError, match="InvalidEventPattern"):
        events.put_rule(Name="odd", EventPattern='{"source": [{"prefix": 5}]}')
    with pytest.raises(ClientError, match="ScheduleExpression"):
        events.put_rule(Name="odd", ScheduleExpression="rate(1 hours)")


def test_what_is_not_taken_is_tried_again(
    aws: Aws, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, jump: Callable[[float], None]
) -> None:
    heard, dead, tried = Heard(aws, "retried"), Heard(aws, "exhausted"), []
    send = events_room.deliver

    def fail(endpoint: Endpoint, target: Any, event: Any, *more: Any) -> None:
        tried.append((target["Id"], event["detail"]["n"]))
        if target["Id"] in "01" or len(tried) < 4:
            raise AwsError("ServiceUnavailable", "Come again.", status=503)
        send(endpoint, target, event, *more)

    def until_waiting(rows: list[tuple[int, float]]) -> None:
        """Wait until the deliveries have been tried so often, and are due again so many seconds after the start."""
        sql, deadline = "SELECT attempts, due FROM events_deliveries ORDER BY number", time.monotonic() + 120
        while (found := [(row["attempts"], row["due"] - begun) for row in endpoint.store.read(sql)]) != rows:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    monkeypatch.setattr(events_room, "deliver", fail)
    letters, begun = {"DeadLetterConfig": {"Arn": dead.arn}}, endpoint.clockwork.now()
    rule(
        aws, "retried", {"source": ["again"]},
        {"Arn": heard.arn, "RetryPolicy": {"MaximumRetryAttempts": 1}, **letters},
        {"Arn": heard.arn, "RetryPolicy": {"MaximumEventAgeInSeconds": 60}, **letters},
        {"Arn": heard.arn, "InputPath": "$.detail"},
    )  # fmt: skip
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    entry = {"Source": "again", "DetailType": "d", "Detail": '{"n": 1}', "Time": when}
    assert aws("events").put_events(Entries=[entry])["FailedEntryCount"] == 0
    until_waiting([(1, 1.0), (1, 1.0), (1, 1.0)])
    jump(1)
    assert heard.until(lambda one: one == {"n": 1})
    assert dead.until(lambda one: one["time"] == "2026-01-02T03:04:05Z")
    assert (dead.said["RETRY_ATTEMPTS"], dead.said["EXHAUSTED_RETRY_CONDITION"]) == ("1", "MaximumRetryAttempts")
    assert (dead.said["ERROR_CODE"], dead.said["ERROR_MESSAGE"]) == ("ERROR_FROM_TARGET", "Come again.")
    until_waiting([(2, 3.0)])
    for attempts, seconds, due in ((3, 2, 7.0), (4, 4, 15.0), (5, 8, 31.0)):
        jump(seconds)
        until_waiting([(attempts, due)])
    jump(16)  # the next one would come after 63 seconds
    dead.until(lambda one: True, 2)
    assert (dead.said["RETRY_ATTEMPTS"], dead.said["EXHAUSTED_RETRY_CONDITION"]) == ("5", "MaximumEventAgeInSeconds")
    until_waiting([])
    assert [one for one, n in tried].count("2") == 2


def test_entries_and_targets_that_are_refused(aws: Aws, endpoint: Endpoint) -> None:
    heard, session = Heard(aws, "few"), boto3.Session(endpoint.access_key, endpoint.secret_key)
    unchecked = Config(parameter_validation=False)
    events = session.client("events", endpoint.region, endpoint_url=endpoint.url, config=unchecked)
    good = {"Source": "s", "DetailType": "d", "Detail": "{}"}
    for member in good:
        fault = ("InvalidArgument", f"Parameter {member} is not valid. Reason: {member} is a required argument.")
        for entry in ({key: text for key, text in good.items() if key != member}, {**good, member: ""}):
            answer = events.put_events(Entries=[entry, good])
            assert answer["FailedEntryCount"] == 1 and "EventId" in answer["Entries"][1]
            assert tuple(answer["Entries"][0].values()) == fault
    for text in ("[]", "1", "{", "nul", '{"n": NaN}', '{"a":' * 5000 + "1" + "}" * 5000):
        answer = events.put_events(Entries=[{**good, "Detail": text}])
        assert answer["Entries"] == [{"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}]
    assert events.put_events(Entries=[{**good, "DetailType": "d" * 129}])["FailedEntryCount"] == 1

    large = {**good, "Source": "s1", "Detail": json.dumps({"a": "é" * 262_138}, ensure_ascii=False)}  # half a MiB
    assert events.put_events(Entries=[large, large])["FailedEntryCount"] == 0
    with pytest.raises(ClientError, match=r"ValidationException.*Total size of the entries in the request is over"):
        events.put_events(Entries=[large, {**large, "Source": "s12"}])
    for number, word in ((0, "greater than or equal to 1"), (11, "less than or equal to 10")):
        with pytest.raises(ClientError, match=f"ValidationException.*'entries'.*{word}"):
            events.put_events(Entries=[good] * number)

    nowhere = events.put_events(Entries=[{**good, "EventBusName": "nowhere"}, good])
    assert nowhere["FailedEntryCount"] == 0 and all("EventId" in one for one in nowhere["Entries"])

    state = "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"
    events.put_rule(Name="few", EventPattern='{"source": ["few"]}', State=state)
    targets = [{"Id": str(n), "Arn": heard.arn} for n in range(6)]
    with pytest.raises(ClientError, match=r"LimitExceededException.*exceeds the maximum number allowed"):
        events.put_targets(Rule="few", Targets=targets)
    assert events.list_targets_by_rule(Rule="few")["Targets"] == []
    events.put_targets(Rule="few", Targets=targets[:5])
    with pytest.raises(ClientError, match="LimitExceededException"):
        events.put_targets(Rule="few", Targets=targets[5:])
    events.put_targets(Rule="few", Targets=[{**targets[0], "InputPath": "$.id"}])  # another one in its place
    assert len(events.list_targets_by_rule(Rule="few")["Targets"]) == 5
    events.put_events(Entries=[{**good, "Source": "few"}])
    assert heard.until(lambda one: isinstance(one, str))
    for given, word in (
        ({"Input": "env:dev"}, r'JSON syntax error in input for target 1: \[Source: \(String\)"env:dev"; line: 1'),
        ({"Input": "{}", "InputPath": "$"}, "Only one of Input, InputPath, or InputTransformer"),
    ):
        with pytest.raises(ClientError, match=f"ValidationException.*{word}"):
            events.put_targets(Rule="few", Targets=[{"Id": "1", "Arn": heard.arn, **given}])
    for policy in ({"MaximumRetryAttempts": 186}, {"MaximumEventAgeInSeconds": 59}):
        with pytest.raises(ClientError, match="ValidationException"):
            events.put_targets(Rule="few", Targets=[{**targets[0], "RetryPolicy": policy}])
    with pytest.raises(ClientError, match=r"ValidationException.*'targets.1.member.id'"):
        events.put_targets(Rule="few", Targets=[{"Id": "a b", "Arn": heard.arn}])


def test_patterns_are_tested_and_other_targets_refused(aws: Aws) -> None:
    events, kinesis = aws("events"), aws("kinesis")
    event = {"id": "1", "account": "0", "source": "aws.glue", "time": "2026-01-01T00:00:00Z", "region": "us-east-1",
             "resources": [], "detail-type": "Glue Job State Change", "detail": {"state": "FAILED"}}  # fmt: skip

    def tested(pattern: Any) -> Any:
        return events.test_event_pattern(EventPattern=json.dumps(pattern), Event=json.dumps(event))["Result"]

    assert tested({"detail": {"state": [{"anything-but": "SUCCEEDED"}]}}) is True
    assert tested({"source": ["aws.states"]}) is False
    with pytest.raises(ClientError, match="InvalidEventPattern"):
        tested({"source": "aws.glue"})
    with pytest.raises(ClientError, match="Event is not valid"):
        events.test_event_pattern(EventPattern='{"source": ["a"]}', Event='{"source": "a"}')

    kinesis.create_stream(StreamName="told", ShardCount=1)
    rule(aws, "streamed", {"source": ["stream"]}, {"Arn": ARN.format("kinesis", "stream/told"), "InputPath": "$.detail",
                                                   "KinesisParameters": {"PartitionKeyPath": "$.source"}})  # fmt: skip
    events.put_events(Entries=[{"Source": "stream", "DetailType": "d", "Detail": '{"n": 1}'}])
    (shard,) = kinesis.list_shards(StreamName="told")["Shards"]
    deadline = time.monotonic() + 60
    while not (
        records := kinesis.get_records(
            ShardIterator=kinesis.get_shard_iterator(
                StreamName="told", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
        )["Records"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (records[0]["Data"], records[0]["PartitionKey"]) == (b'{"n": 1}', "stream")
    for other in (ARN.format("glue", "job/j"), ARN.format("ecs", "cluster/c")):
        with pytest.raises(ClientError, match="does not carry"):
            events.put_targets(Rule="streamed", Targets=[{"Id": "9", "Arn": other, "RoleArn": ROLE}])
    assert len(events.list_targets_by_rule(Rule="streamed")["Targets"]) == 1


def test_a_schedule_sends_its_events(aws: Aws, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, events = Heard(aws, "timed"), aws("events")
    monkeypatch.setattr(endpoint.clock, "scale", 600.0)
    made = events.put_rule(Name="timed", ScheduleExpression="rate(1 minute)")["RuleArn"]
    events.put_targets(Rule="timed", Targets=[{"Id": "1", "Arn": heard.arn}])
    first = heard.until(lambda one: True, 2)[0]
    assert (first["source"], first["detail-type"], first["detail"]) == ("aws.events", "Scheduled Event", {})
    assert first["resources"] == [made]
    events.remove_targets(Rule="timed", Ids=["1"])
    events.delete_rule(Name="timed")
    events.put_rule(Name="never", ScheduleExpression="cron(0 0 1 1 ? 2020)")
    events.put_targets(Rule="never", Targets=[{"Id": "1", "Arn": heard.arn}])


def test_rules_and_deliveries_outlive_the_endpoint(tmp_path: Path, serve: Any) -> None:
    with serve(Server(tmp_path / ".millpond")) as first:
        heard = Heard(first.endpoint.client, "outlived")
        rule(first.endpoint.client, "outlives", {"source": ["aws.glue"]}, {"Arn": heard.arn, "InputPath": "$.id"})
        target = json.dumps({"Id": "0", "Arn": heard.arn, "InputPath": "$.id"})
        row = (ARN.format("events", "rule/outlives"), target, json.dumps({"id": "left", "time": "t"}))
        first.router.moto.rules.stop()
        with first.endpoint.store.write() as db:  # as a kill would leave it
            db.execute("INSERT INTO events_deliveries (rule, target, event, hops) VALUES (?, ?, ?, 0)", row)
        first.endpoint.client("glue").create_database(DatabaseInput={"Name": "announced"})  # told at the orderly end
    with serve(Server(tmp_path / ".millpond")) as second:
        heard = Heard(second.endpoint.client, "outlived")
        assert heard.until(lambda one: one == "left")
        second.endpoint.client("glue").create_database(DatabaseInput={"Name": "told"})
        heard.until(lambda one: one != "left", 2)
