"""SNS topics, subscriptions and topic policies; SQS queues and queue policies."""

from __future__ import annotations

import json
from typing import Any

from millpond.local.cloudformation.intrinsics import text
from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    Task,
    call,
    document,
    error_code,
    is_missing,
    tag_list,
    tag_map,
)

# --- topics -----------------------------------------------------------------------------------------------------------

TOPIC_ATTRIBUTES = ("DisplayName", "KmsMasterKeyId", "FifoTopic", "ContentBasedDeduplication", "SignatureVersion",
                    "TracingConfig", "ArchivePolicy", "FifoThroughputScope", "DataProtectionPolicy")  # fmt: skip


def _attribute(value: Any) -> str:
    return json.dumps(value) if isinstance(value, (dict, list)) else text(value)


def topic_arn(task: Task) -> str:
    return task.arn("sns", task.name)


def create_topic(task: Task) -> str:
    attributes = {name: _attribute(value) for name, value in task.take(*TOPIC_ATTRIBUTES).items()}
    params = {**task.rest(*TOPIC_ATTRIBUTES, "TopicName", "Subscription", "Tags"), "Name": task.name}
    if attributes:
        params["Attributes"] = attributes
    if task.properties.get("Tags"):
        params["Tags"] = tag_list(task.properties["Tags"])
    arn: str = call(task, "sns", "create_topic", params)["TopicArn"]
    task.report(arn)
    for subscription in task.properties.get("Subscription") or []:
        call(task, "sns", "subscribe", {"TopicArn": arn, **subscription, "ReturnSubscriptionArn": True})
    return arn


def _inline(properties: Properties) -> set[tuple[str, str]]:
    return {(item["Protocol"], item["Endpoint"]) for item in properties.get("Subscription") or []}


def update_topic(task: Task) -> None:
    for name in TOPIC_ATTRIBUTES:
        wanted, had = task.properties.get(name), task.old.get(name)
        if wanted != had:
            value = "" if wanted is None else _attribute(wanted)
            params = {"TopicArn": task.physical_id, "AttributeName": name, "AttributeValue": value}
            call(task, "sns", "set_topic_attributes", params)
    wanted_pairs, had_pairs = _inline(task.properties), _inline(task.old)
    for item in _subscriptions(task):
        if (item["Protocol"], item["Endpoint"]) in had_pairs - wanted_pairs:
            _unsubscribe(task, item["SubscriptionArn"])
    for protocol, endpoint in sorted(wanted_pairs - had_pairs):
        call(task, "sns", "subscribe", {"TopicArn": task.physical_id, "Protocol": protocol, "Endpoint": endpoint})


def _subscriptions(task: Task) -> list[dict[str, str]]:
    pages = task.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=task.physical_id)
    return [item for page in pages for item in page["Subscriptions"]]


def _unsubscribe(task: Task, arn: str) -> None:
    if arn.startswith("arn:"):  # a pending subscription has no ARN yet
        call(task, "sns", "unsubscribe", {"SubscriptionArn": arn})


def delete_topic(task: Task) -> None:
    for item in _subscriptions(task):
        if (item["Protocol"], item["Endpoint"]) in _inline(task.properties):
            _unsubscribe(task, item["SubscriptionArn"])
    call(task, "sns", "delete_topic", {"TopicArn": task.physical_id})


def read_topic(task: Task) -> dict[str, Any]:
    call(task, "sns", "get_topic_attributes", {"TopicArn": task.physical_id})
    return {"TopicArn": task.physical_id, "TopicName": task.physical_id.rpartition(":")[2]}


# --- subscriptions and topic policies ---------------------------------------------------------------------------------

SUBSCRIPTION_ATTRIBUTES = ("DeliveryPolicy", "FilterPolicy", "FilterPolicyScope", "RawMessageDelivery",
                           "RedrivePolicy", "ReplayPolicy", "SubscriptionRoleArn")  # fmt: skip


def create_subscription(task: Task) -> str:
    attributes = {name: _attribute(value) for name, value in task.take(*SUBSCRIPTION_ATTRIBUTES).items()}
    params = {**task.rest(*SUBSCRIPTION_ATTRIBUTES, "Region"), "ReturnSubscriptionArn": True}
    if attributes:
        params["Attributes"] = attributes
    return str(call(task, "sns", "subscribe", params)["SubscriptionArn"])


def update_subscription(task: Task) -> None:
    for name in SUBSCRIPTION_ATTRIBUTES:
        wanted, had = task.properties.get(name), task.old.get(name)
        if wanted != had:
            value = ({"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}.get(name, "{}")
                     if wanted is None else _attribute(wanted))  # fmt: skip
            params = {"SubscriptionArn": task.physical_id, "AttributeName": name, "AttributeValue": value}
            call(task, "sns", "set_subscription_attributes", params)


def delete_subscription(task: Task) -> None:
    _unsubscribe(task, task.physical_id)


def read_subscription(task: Task) -> dict[str, Any]:
    return {"Arn": task.physical_id}


# The policy that SNS gives a topic of its own account; what a topic goes back to when its policy is deleted.
def _default_topic_policy(task: Task, topic: str) -> str:
    actions = ["GetTopicAttributes", "SetTopicAttributes", "AddPermission", "RemovePermission", "DeleteTopic",
               "Subscribe", "ListSubscriptionsByTopic", "Publish"]  # fmt: skip
    statement = {"Sid": "__default_statement_ID", "Effect": "Allow", "Principal": {"AWS": "*"},
                 "Action": [f"SNS:{action}" for action in actions], "Resource": topic,
                 "Condition": {"StringEquals": {"AWS:SourceOwner": task.account}}}  # fmt: skip
    return json.dumps({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


def _set_topic_policy(task: Task, topic: str, policy: str) -> None:
    params = {"TopicArn": topic, "AttributeName": "Policy", "AttributeValue": policy}
    call(task, "sns", "set_topic_attributes", params)


def put_topic_policy(task: Task) -> None:
    for topic in task.properties["Topics"]:
        _set_topic_policy(task, topic, document(task.properties["PolicyDocument"]))
    for topic in set(task.old.get("Topics") or []) - set(task.properties["Topics"]):
        _set_topic_policy(task, topic, _default_topic_policy(task, topic))


def create_topic_policy(task: Task) -> str:
    put_topic_policy(task)
    return task.name


def delete_topic_policy(task: Task) -> None:
    for topic in task.properties["Topics"]:
        try:
            _set_topic_policy(task, topic, _default_topic_policy(task, topic))
        except task.client("sns").exceptions.ClientError as error:
            if not is_missing(error):
                raise


# --- queues -----------------------------------------------------------------------------------------------------------

QUEUE_NOT_ATTRIBUTES = ("QueueName", "Tags")
_QUEUE_DEFAULTS = {"VisibilityTimeout": 30, "DelaySeconds": 0, "MaximumMessageSize": 262144,
                   "MessageRetentionPeriod": 345600, "ReceiveMessageWaitTimeSeconds": 0, "KmsMasterKeyId": "",
                   "RedrivePolicy": "", "RedriveAllowPolicy": "", "ContentBasedDeduplication": False}  # fmt: skip


def create_queue(task: Task) -> str:
    attributes = {name: _attribute(value) for name, value in task.rest(*QUEUE_NOT_ATTRIBUTES).items()}
    if attributes.get("FifoQueue") == "false":  # SQS refuses it on a standard queue
        del attributes["FifoQueue"]
    params: Properties = {"QueueName": task.name, "Attributes": attributes}
    if task.properties.get("Tags"):
        params["tags"] = tag_map(task.properties["Tags"])
    return str(call(task, "sqs", "create_queue", params)["QueueUrl"])


def update_queue(task: Task) -> None:
    wanted = task.rest(*QUEUE_NOT_ATTRIBUTES, "FifoQueue")
    dropped = {name: value for name, value in _QUEUE_DEFAULTS.items() if name in task.old and name not in wanted}
    attributes = {name: _attribute(value) for name, value in {**dropped, **wanted}.items()}
    if attributes:
        call(task, "sqs", "set_queue_attributes", {"QueueUrl": task.physical_id, "Attributes": attributes})


def delete_queue(task: Task) -> None:
    call(task, "sqs", "delete_queue", {"QueueUrl": task.physical_id})


def read_queue(task: Task) -> dict[str, Any]:
    params = {"QueueUrl": task.physical_id, "AttributeNames": ["QueueArn"]}
    arn = call(task, "sqs", "get_queue_attributes", params)["Attributes"]["QueueArn"]
    return {"Arn": arn, "QueueName": arn.rpartition(":")[2], "QueueUrl": task.physical_id}


def queue_url(task: Task) -> str | None:
    client = task.client("sqs")
    try:
        return str(client.get_queue_url(QueueName=task.name)["QueueUrl"])
    except client.exceptions.ClientError as error:
        if is_missing(error) or error_code(error).endswith("NonExistentQueue"):
            return None
        raise


def put_queue_policy(task: Task) -> None:
    for queue in task.properties["Queues"]:
        policy = {"Policy": document(task.properties["PolicyDocument"])}
        call(task, "sqs", "set_queue_attributes", {"QueueUrl": queue, "Attributes": policy})
    for queue in set(task.old.get("Queues") or []) - set(task.properties["Queues"]):
        call(task, "sqs", "set_queue_attributes", {"QueueUrl": queue, "Attributes": {"Policy": ""}})


def create_queue_policy(task: Task) -> str:
    put_queue_policy(task)
    return task.name


def delete_queue_policy(task: Task) -> None:
    for queue in task.properties["Queues"]:
        try:
            call(task, "sqs", "set_queue_attributes", {"QueueUrl": queue, "Attributes": {"Policy": ""}})
        except task.client("sqs").exceptions.ClientError as error:
            if not is_missing(error):
                raise


PROVIDERS = (
    Provider(type="AWS::SNS::Topic", service="sns", creates="CreateTopic",
             name="TopicName", name_limit=256, predict=topic_arn,
             suffix=lambda properties: ".fifo" if _attribute(properties.get("FifoTopic", False)) == "true" else "",
             create=create_topic, update=update_topic, delete=delete_topic, read=read_topic,
             tag=lambda task: task.physical_id),
    Provider(type="AWS::SNS::Subscription", service="sns", creates="Subscribe",
             predict=lambda task: None, exclusive=False,
             create=create_subscription, update=update_subscription, delete=delete_subscription,
             read=read_subscription),
    Provider(type="AWS::SNS::TopicPolicy", service="sns", creates="SetTopicAttributes",
             exclusive=False,
             create=create_topic_policy, update=put_topic_policy, delete=delete_topic_policy,
             read=lambda task: {"Id": task.physical_id}),
    Provider(type="AWS::SQS::Queue", service="sqs", creates="CreateQueue",
             name="QueueName", name_limit=80,
             attributes=frozenset({"QueueName"}), predict=queue_url,
             suffix=lambda properties: ".fifo" if _attribute(properties.get("FifoQueue", False)) == "true" else "",
             create=create_queue, update=update_queue, delete=delete_queue, read=read_queue,
             tag=lambda task: task.physical_id),
    Provider(type="AWS::SQS::QueuePolicy", service="sqs", creates="SetQueueAttributes",
             exclusive=False,
             create=create_queue_policy, update=put_queue_policy, delete=delete_queue_policy,
             read=lambda task: {"Id": task.physical_id}),
)  # fmt: skip
