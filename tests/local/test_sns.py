"""SNS over the wire: topics, subscribers, and the outbox."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local import own_routes
from millpond.local.protocol import Request


@pytest.fixture
def sns(aws: Any) -> Any:
    return aws("sns")


def refused(run: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        run()
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def until(found: Callable[[], Any]) -> Any:
    """What `found` gives once it is not empty; a test that never gets it fails by pytest's timeout."""
    while not (value := found()):
        time.sleep(0.05)
    return value


def queue(aws: Any, name: str) -> tuple[str, str]:
    url = aws("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:000000000000:{name}"


def received(aws: Any, url: str) -> list[str]:
    return [message["Body"] for message in aws("sqs").receive_message(QueueUrl=url).get("Messages", [])]


def test_topics_are_made_once(sns: Any) -> None:
    arn = sns.create_topic(Name="alerts", Tags=[{"Key": "team", "Value": "lake"}])["TopicArn"]
    assert arn == "arn:aws:sns:us-east-1:000000000000:alerts"
    assert sns.create_topic(Name="alerts")["TopicArn"] == arn
    assert refused(lambda: sns.create_topic(Name="alerts", Attributes={"DisplayName": "x"}))[0] == "InvalidParameter"
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="Alerts")
    attributes = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (attributes["DisplayName"], attributes["SubscriptionsConfirmed"]) == ("Alerts", "0")
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "lake"}]
    assert refused(lambda: sns.create_topic(Name="no spaces"))[0] == "InvalidParameter"
    sns.delete_topic(TopicArn=arn)
    assert refused(lambda: sns.get_topic_attributes(TopicArn=arn)) == ("NotFound", "Topic does not exist")


def test_the_outbox_keeps_what_cannot_leave_the_machine(sns: Any, endpoint: Any) -> None:
    arn = sns.create_topic(Name="kept")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="a@example.com")
    text = json.dumps({"default": "plain", "email": "for mail"})
    sent = sns.publish(TopicArn=arn, Subject="Run failed", Message=text, MessageStructure="json")
    (message,) = [one for one in endpoint.services["sns"].outbox() if one["topicArn"] == arn]
    assert (message["messageId"], message["subject"], message["topic"]) == (sent["MessageId"], "Run failed", "kept")
    (delivery,) = message["deliveries"]
    assert (delivery["state"], delivery["endpoint"], delivery["body"]) == ("KEPT", "a@example.com", "for mail")


def test_the_outbox_is_shown_by_the_endpoints_own_route(sns: Any, server: Any) -> None:
    arn = sns.create_topic(Name="shown")["TopicArn"]
    sns.publish(TopicArn=arn, Message="look")
    reply = own_routes.answer(server, Request("GET", "/_millpond/outbox", "", {}))
    assert "look" in [one["message"] for one in json.loads(reply.body)["messages"]]


def test_a_queue_gets_the_notification(sns: Any, aws: Any) -> None:
    arn = sns.create_topic(Name="to-queue")["TopicArn"]
    url, queue_arn = queue(aws, "plain")
    raw_url, raw_arn = queue(aws, "raw")
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=raw_arn, Attributes={"RawMessageDelivery": "true"})
    sent = sns.publish(
        TopicArn=arn, Message="hello", MessageAttributes={"n": {"DataType": "Number", "StringValue": "1"}}
    )
    (body,) = until(lambda: received(aws, url))
    note = json.loads(body)
    assert (note["Type"], note["Message"], note["MessageId"]) == ("Notification", "hello", sent["MessageId"])
    assert note["MessageAttributes"] == {"n": {"Type": "Number", "Value": "1"}}
    assert until(lambda: received(aws, raw_url)) == ["hello"]


def test_filter_policies_choose(sns: Any, aws: Any, endpoint: Any) -> None:
    arn = sns.create_topic(Name="filtered")["TopicArn"]
    policy = {"kind": ["failed", {"prefix": "late-"}], "rows": [{"numeric": [">", 10]}]}
    sns.subscribe(
        TopicArn=arn, Protocol="email", Endpoint="f@example.com", Attributes={"FilterPolicy": json.dumps(policy)}
    )
    for kind, rows in (("failed", "11"), ("failed", "10"), ("late-1", "99"), ("done", "99")):
        sns.publish(
            TopicArn=arn,
            Message=f"{kind} {rows}",
            MessageAttributes={
                "kind": {"DataType": "String", "StringValue": kind},
                "rows": {"DataType": "Number", "StringValue": rows},
            },
        )
    let_through = [
        one["message"] for one in endpoint.services["sns"].outbox() if one["topicArn"] == arn and one["deliveries"]
    ]
    assert let_through == ["failed 11", "late-1 99"]
    (subscribed,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]

    def change(name: str, value: str) -> Any:
        return sns.set_subscription_attributes(
            SubscriptionArn=subscribed["SubscriptionArn"], AttributeName=name, AttributeValue=value
        )

    nested = json.dumps({"shop": {"city": ["Bern"]}})
    assert "nested filter policy" in refused(lambda: change("FilterPolicy", nested))[1]
    change("FilterPolicyScope", "MessageBody")
    change("FilterPolicy", nested)
    assert "nested filter policy" in refused(lambda: change("FilterPolicyScope", "MessageAttributes"))[1]
    assert "more than 5 keys" in refused(lambda: change("FilterPolicy", json.dumps({k: ["x"] for k in "abcdef"})))[1]


def test_messages_are_checked(sns: Any) -> None:
    arn = sns.create_topic(Name="checked")["TopicArn"]
    assert refused(lambda: sns.publish(TopicArn=arn + "x", Message="m")) == ("NotFound", "Topic does not exist")
    assert refused(lambda: sns.publish(TopicArn=arn, Message=""))[1] == "Invalid parameter: Empty message"
    assert refused(lambda: sns.publish(TopicArn=arn, Message="x" * 262_145))[1] == "Invalid parameter: Message too long"
    assert refused(lambda: sns.publish(TopicArn=arn, Message="m", Subject="a\nb"))[1] == "Invalid parameter: Subject"
    no_default = refused(lambda: sns.publish(TopicArn=arn, Message="{}", MessageStructure="json"))
    assert "No default entry" in no_default[1]
    twice = [{"Id": "a", "Message": "1"}, {"Id": "a", "Message": "2"}]
    batch = refused(lambda: sns.publish_batch(TopicArn=arn, PublishBatchRequestEntries=twice))
    assert batch[0] == "BatchEntryIdsNotDistinct"
    mixed = sns.publish_batch(
        TopicArn=arn, PublishBatchRequestEntries=[{"Id": "a", "Message": "1"}, {"Id": "b", "Message": ""}]
    )
    assert [one["Id"] for one in mixed["Successful"]] == ["a"]
    assert [one["Id"] for one in mixed["Failed"]] == ["b"]


def test_fifo_topics_deduplicate(sns: Any, endpoint: Any) -> None:
    attributes = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    arn = sns.create_topic(Name="steps.fifo", Attributes=attributes)["TopicArn"]
    first = sns.publish(TopicArn=arn, Message="m", MessageGroupId="g")
    assert sns.publish(TopicArn=arn, Message="m", MessageGroupId="g")["MessageId"] == first["MessageId"]
    assert "MessageGroupId" in refused(lambda: sns.publish(TopicArn=arn, Message="n"))[1]


def test_subscriptions_are_listed_and_end(sns: Any) -> None:
    arn = sns.create_topic(Name="subscribed")["TopicArn"]
    made = sns.subscribe(TopicArn=arn, Protocol="https", Endpoint="https://example.com/x")["SubscriptionArn"]
    assert sns.subscribe(TopicArn=arn, Protocol="https", Endpoint="https://example.com/x")["SubscriptionArn"] == made
    (shown,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert (shown["SubscriptionArn"], shown["Protocol"]) == (made, "https")
    sns.unsubscribe(SubscriptionArn=made)
    assert sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"] == []
    assert (
        refused(lambda: sns.subscribe(TopicArn=arn, Protocol="carrier-pigeon", Endpoint="x"))[0] == "InvalidParameter"
    )
