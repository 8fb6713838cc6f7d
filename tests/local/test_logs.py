"""CloudWatch Logs over the wire, and its in-process door."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError


def now() -> int:
    return int(time.time() * 1000)


@pytest.fixture
def logs(aws: Any) -> Any:
    return aws("logs")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_events_come_back_in_order_and_pages(logs: Any, endpoint: Any) -> None:
    at = now()
    endpoint.services["logs"].write("/g/pages", "s", [(at + i, f"line {i}") for i in range(25)])
    asked = {"logGroupName": "/g/pages", "logStreamName": "s", "limit": 10}
    page = logs.get_log_events(**asked, startFromHead=True)
    assert [e["message"] for e in page["events"]] == [f"line {i}" for i in range(10)]
    seen = [e["message"] for e in page["events"]]
    token = ""
    while page["nextForwardToken"] != token:
        token = page["nextForwardToken"]
        page = logs.get_log_events(**asked, nextToken=token)
        seen += [e["message"] for e in page["events"]]
    assert seen == [f"line {i}" for i in range(25)]
    newest = logs.get_log_events(**asked)
    assert [e["message"] for e in newest["events"]] == [f"line {i}" for i in range(15, 25)]
    before = logs.get_log_events(**asked, nextToken=newest["nextBackwardToken"])
    assert [e["message"] for e in before["events"]] == [f"line {i}" for i in range(5, 15)]


def test_the_end_token_shows_what_is_written_later(logs: Any, endpoint: Any) -> None:
    endpoint.services["logs"].write("/g/tail", "s", [(now(), "first")])
    asked = {"logGroupName": "/g/tail", "logStreamName": "s"}
    token = logs.get_log_events(**asked, startFromHead=True)["nextForwardToken"]
    assert logs.get_log_events(**asked, nextToken=token)["nextForwardToken"] == token
    endpoint.services["logs"].write("/g/tail", "s", [(now() + 1, "second")])
    assert [e["message"] for e in logs.get_log_events(**asked, nextToken=token)["events"]] == ["second"]


def test_groups_and_streams_live_and_die(logs: Any) -> None:
    logs.create_log_group(logGroupName="/g/life", tags={"team": "lake"})
    with pytest.raises(ClientError) as error:
        logs.create_log_group(logGroupName="/g/life")
    assert code(error) == "ResourceAlreadyExistsException"
    logs.create_log_stream(logGroupName="/g/life", logStreamName="a")
    logs.put_retention_policy(logGroupName="/g/life", retentionInDays=7)
    (group,) = logs.describe_log_groups(logGroupNamePrefix="/g/life")["logGroups"]
    assert (group["retentionInDays"], group["arn"][-2:]) == (7, ":*")
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "lake"}
    logs.put_log_events(
        logGroupName="/g/life", logStreamName="a", logEvents=[{"timestamp": now(), "message": "Zürich"}]
    )
    (stream,) = logs.describe_log_streams(logGroupName="/g/life", orderBy="LastEventTime")["logStreams"]
    assert stream["firstEventTimestamp"] == stream["lastEventTimestamp"]
    logs.delete_log_stream(logGroupName="/g/life", logStreamName="a")
    with pytest.raises(ClientError) as error:
        logs.get_log_events(logGroupName="/g/life", logStreamName="a")
    assert code(error) == "ResourceNotFoundException"
    logs.delete_log_group(logGroupName="/g/life")
    assert logs.describe_log_groups(logGroupNamePrefix="/g/life")["logGroups"] == []


def test_a_deleted_stream_written_again_starts_empty(logs: Any, endpoint: Any) -> None:
    write = endpoint.services["logs"].write
    write("/g/again", "s", [(now(), "old")])
    logs.delete_log_stream(logGroupName="/g/again", logStreamName="s")
    write("/g/again", "s", [(now(), "new")])
    events = logs.get_log_events(logGroupName="/g/again", logStreamName="s")["events"]
    assert [e["message"] for e in events] == ["new"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["ERROR disk full", "WARN disk slow", "INFO error free"]),
        ("disk", ["ERROR disk full", "WARN disk slow"]),
        ("disk -slow", ["ERROR disk full"]),
        ('"disk full"', ["ERROR disk full"]),
        ("?ERROR ?WARN", ["ERROR disk full", "WARN disk slow"]),
        ("error", ["INFO error free"]),
    ],
)
def test_filters(logs: Any, endpoint: Any, pattern: str, found: list[str]) -> None:
    group = f"/g/filter/{abs(hash(pattern))}"
    lines = ["ERROR disk full", "WARN disk slow", "INFO error free"]
    for i, line in enumerate(lines):
        endpoint.services["logs"].write(group, f"s{i}", [(now() + i, line)])
    assert [e["message"] for e in logs.filter_log_events(logGroupName=group, filterPattern=pattern)["events"]] == found


def test_what_is_not_carried_is_refused(logs: Any, endpoint: Any) -> None:
    endpoint.services["logs"].write("/g/json", "s", [(now(), "{}")])
    with pytest.raises(ClientError) as error:
        logs.filter_log_events(logGroupName="/g/json", filterPattern='{ $.a = "b" }')
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    with pytest.raises(ClientError) as error:
        logs.start_query(logGroupName="/g/json", startTime=0, endTime=1, queryString="fields @message")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_batches_are_checked(logs: Any) -> None:
    logs.create_log_group(logGroupName="/g/batch")
    logs.create_log_stream(logGroupName="/g/batch", logStreamName="s")
    asked = {"logGroupName": "/g/batch", "logStreamName": "s"}
    with pytest.raises(ClientError) as error:
        logs.put_log_events(
            **asked, logEvents=[{"timestamp": now(), "message": "b"}, {"timestamp": now() - 9, "message": "a"}]
        )
    assert code(error) == "InvalidParameterException"
    old = now() - 20 * 24 * 3600 * 1000
    answer = logs.put_log_events(
        **asked, logEvents=[{"timestamp": old, "message": "x"}, {"timestamp": now(), "message": "y"}]
    )
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert [e["message"] for e in logs.get_log_events(**asked)["events"]] == ["y"]
