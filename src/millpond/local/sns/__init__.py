"""SNS: topics, subscriptions, and an outbox that keeps every message.

A published message is in the outbox before Publish answers, with what each subscriber would get. `sqs` and `lambda`
subscribers really get it, through their services of this endpoint, by one delivery thread that resumes what a kill
left (at least once, as on AWS). E-mail, SMS and HTTP stay in the outbox, which `millpond outbox` shows: nothing leaves
the machine. Subscriptions are confirmed at once, because nobody could open the confirmation's link.

Not carried: mobile push, data protection policies, message signatures (the field is empty), FIFO archives.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import time
import uuid
from typing import Any

from millpond.local.service import AwsError, Call, Endpoint, Operation
from millpond.local.sns import message
from millpond.local.sns.delivery import Deliveries
from millpond.local.sns.filter_policy import check_policy

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS sns_topics (
    arn TEXT PRIMARY KEY, name TEXT NOT NULL, attributes TEXT NOT NULL, tags TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS sns_subscriptions (
    arn TEXT PRIMARY KEY, topic TEXT NOT NULL, protocol TEXT NOT NULL, endpoint TEXT NOT NULL,
    attributes TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS sns_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT NOT NULL, topic TEXT, phone TEXT, subject TEXT,
    message TEXT NOT NULL, structure TEXT, attributes TEXT NOT NULL, fifo_group TEXT, dedup TEXT,
    published REAL NOT NULL);
CREATE INDEX IF NOT EXISTS sns_outbox_dedup ON sns_outbox (topic, dedup, published);
CREATE TABLE IF NOT EXISTS sns_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, outbox INTEGER NOT NULL, subscription TEXT NOT NULL, protocol TEXT NOT NULL,
    endpoint TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX IF NOT EXISTS sns_deliveries_state ON sns_deliveries (state);
"""

PAGE = 100
DEDUP_SECONDS = 300
PROTOCOLS = ("http", "https", "email", "email-json", "sms", "sqs", "application", "lambda", "firehose")

# AWS, "SetTopicAttributes" and "SetSubscriptionAttributes"; None: any text, else allowed values.
TOPIC_ATTRIBUTES: dict[str, tuple[str, ...] | None] = {
    "DisplayName": None,
    "Policy": None,
    "DeliveryPolicy": None,
    "KmsMasterKeyId": None,
    "TracingConfig": ("PassThrough", "Active"),
    "SignatureVersion": ("1", "2"),
    "FifoTopic": ("true", "false"),
    "ContentBasedDeduplication": ("true", "false"),
    "FifoThroughputScope": ("Topic", "MessageGroup"),
}
SUBSCRIPTION_ATTRIBUTES: dict[str, tuple[str, ...] | None] = {
    "DeliveryPolicy": None,
    "FilterPolicy": None,
    "FilterPolicyScope": ("MessageAttributes", "MessageBody"),
    "RawMessageDelivery": ("true", "false"),
    "RedrivePolicy": None,
    "SubscriptionRoleArn": None,
}


class Sns:
    """See the module's docstring."""

    name = "sns"
    schema = SCHEMA
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._store = endpoint, endpoint.store
        self._deliveries = Deliveries(endpoint)

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateTopic": self.create_topic,
            "DeleteTopic": self.delete_topic,
            "ListTopics": self.list_topics,
            "GetTopicAttributes": self.topic_attributes,
            "SetTopicAttributes": self.set_topic_attribute,
            "Subscribe": self.subscribe,
            "ConfirmSubscription": self.confirm,
            "Unsubscribe": self.unsubscribe,
            "ListSubscriptions": self.list_subscriptions,
            "ListSubscriptionsByTopic": self.list_subscriptions,
            "GetSubscriptionAttributes": self.subscription_attributes,
            "SetSubscriptionAttributes": self.set_subscription_attribute,
            "Publish": self.publish,
            "PublishBatch": self.publish_batch,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
            "AddPermission": self.add_permission,
            "RemovePermission": self.remove_permission,
        }

    def start(self) -> None:
        self._deliveries.start()

    def stop(self) -> None:
        self._deliveries.stop()

    # -- topics ------------------------------------------------------------------------------------------------------

    def create_topic(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, attributes = params["Name"], params.get("Attributes", {})
        fifo = attributes.get("FifoTopic") == "true"
        if not re.fullmatch(r"[\w-]{1,256}" if not fifo else r"[\w-]{1,251}\.fifo", name, re.ASCII):
            raise AwsError("InvalidParameter", "Invalid parameter: Topic Name")
        for key, value in attributes.items():
            _check_attribute(TOPIC_ATTRIBUTES, key, value, "Attributes")
        tags = {tag["Key"]: tag["Value"] for tag in params.get("Tags", ())}
        arn = self._endpoint.arn("sns", name)
        with self._store.write() as db:
            row = db.execute("SELECT * FROM sns_topics WHERE arn = ?", (arn,)).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO sns_topics (arn, name, attributes, tags, created) VALUES (?, ?, ?, ?, ?)",
                    (arn, name, json.dumps(attributes), json.dumps(tags), time.time()),
                )
            else:
                _check_same(json.loads(row["attributes"]), json.loads(row["tags"]), attributes, tags)
        return {"TopicArn": arn}

    def delete_topic(self, params: dict[str, Any], call: Call) -> None:
        self._arn(params["TopicArn"])
        with self._store.write() as db:  # AWS: deleting what is not there succeeds; the outbox keeps the messages
            db.execute("DELETE FROM sns_subscriptions WHERE topic = ?", (params["TopicArn"],))
            db.execute("DELETE FROM sns_topics WHERE arn = ?", (params["TopicArn"],))

    def list_topics(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = self._store.read("SELECT arn FROM sns_topics ORDER BY arn")
        page, token = _page(rows, params.get("NextToken"))
        return {"Topics": [{"TopicArn": row["arn"]} for row in page], "NextToken": token}

    def topic_attributes(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        topic = self._topic(params["TopicArn"])
        count = self._store.one("SELECT COUNT(*) AS n FROM sns_subscriptions WHERE topic = ?", (topic["arn"],))
        shown = {
            "TopicArn": topic["arn"],
            "Owner": self._endpoint.account,
            "DisplayName": "",
            "SubscriptionsConfirmed": str(count["n"] if count else 0),
            "SubscriptionsPending": "0",
            "SubscriptionsDeleted": "0",
            "Policy": json.dumps(self._policy(topic["arn"])),
            "EffectiveDeliveryPolicy": json.dumps(message.DELIVERY_POLICY),
        }
        return {"Attributes": shown | json.loads(topic["attributes"])}

    def _policy(self, arn: str) -> dict[str, Any]:
        """The policy that AWS gives a new topic: the owner may do everything."""
        actions = "GetTopicAttributes SetTopicAttributes AddPermission RemovePermission DeleteTopic Subscribe"
        statement = {
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [f"SNS:{name}" for name in [*actions.split(), "ListSubscriptionsByTopic", "Publish"]],
            "Resource": arn,
            "Condition": {"StringEquals": {"AWS:SourceOwner": self._endpoint.account}},
        }
        return {"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]}

    def set_topic_attribute(self, params: dict[str, Any], call: Call) -> None:
        topic = self._topic(params["TopicArn"])
        name, value = params["AttributeName"], params.get("AttributeValue", "")
        _check_attribute(TOPIC_ATTRIBUTES, name, value, "AttributeName")
        if name == "FifoTopic":
            raise AwsError("InvalidParameter", "Invalid parameter: AttributeName")
        self._update("sns_topics", "attributes", topic["arn"], json.loads(topic["attributes"]) | {name: value})

    def add_permission(self, params: dict[str, Any], call: Call) -> None:
        topic = self._topic(params["TopicArn"])
        attributes = json.loads(topic["attributes"])
        policy = json.loads(attributes.get("Policy") or json.dumps(self._policy(topic["arn"])))
        if any(statement.get("Sid") == params["Label"] for statement in policy["Statement"]):
            raise AwsError("InvalidParameter", "Invalid parameter: Statement already exists")
        statement = {
            "Sid": params["Label"],
            "Effect": "Allow",
            "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in params["AWSAccountId"]]},
            "Action": [f"SNS:{name}" for name in params["ActionName"]],
            "Resource": topic["arn"],
        }
        policy["Statement"].append(statement)
        self._update("sns_topics", "attributes", topic["arn"], attributes | {"Policy": json.dumps(policy)})

    def remove_permission(self, params: dict[str, Any], call: Call) -> None:
        topic = self._topic(params["TopicArn"])
        attributes = json.loads(topic["attributes"])
        policy = json.loads(attributes.get("Policy") or json.dumps(self._policy(topic["arn"])))
        policy["Statement"] = [one for one in policy["Statement"] if one.get("Sid") != params["Label"]]
        self._update("sns_topics", "attributes", topic["arn"], attributes | {"Policy": json.dumps(policy)})

    def tag(self, params: dict[str, Any], call: Call) -> None:
        topic = self._topic(params["ResourceArn"], missing="ResourceNotFound")
        tags = json.loads(topic["tags"]) | {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        if len(tags) > 50:
            raise AwsError("TagLimitExceeded", "Could not complete request: tag quota of per resource exceeded")
        self._update("sns_topics", "tags", topic["arn"], tags)

    def untag(self, params: dict[str, Any], call: Call) -> None:
        topic = self._topic(params["ResourceArn"], missing="ResourceNotFound")
        kept = {key: value for key, value in json.loads(topic["tags"]).items() if key not in params["TagKeys"]}
        self._update("sns_topics", "tags", topic["arn"], kept)

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        topic = self._topic(params["ResourceArn"], missing="ResourceNotFound")
        return {"Tags": [{"Key": key, "Value": value} for key, value in json.loads(topic["tags"]).items()]}

    def _update(self, table: str, column: str, arn: str, value: Any) -> None:
        with self._store.write() as db:
            db.execute(f"UPDATE {table} SET {column} = ? WHERE arn = ?", (json.dumps(value), arn))

    def _arn(self, arn: str) -> str:
        if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+", arn, re.ASCII):
            raise AwsError("InvalidParameter", "Invalid parameter: TopicArn")
        return arn

    def _topic(self, arn: str, *, missing: str = "NotFound") -> Any:
        row = self._store.one("SELECT * FROM sns_topics WHERE arn = ?", (self._arn(arn),))
        if row is None:
            text = "Topic does not exist" if missing == "NotFound" else "Resource does not exist"
            raise AwsError(missing, text, status=404)
        return row

    # -- subscriptions -----------------------------------------------------------------------------------------------

    def subscribe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        topic = self._topic(params["TopicArn"])
        protocol, where, attributes = params["Protocol"], params.get("Endpoint", ""), params.get("Attributes", {})
        _check_subscriber(protocol, where)
        for name, value in attributes.items():
            _check_attribute(SUBSCRIPTION_ATTRIBUTES, name, value, "Attributes")
        _check_filter(attributes)
        with self._store.write() as db:
            row = db.execute(
                "SELECT * FROM sns_subscriptions WHERE topic = ? AND protocol = ? AND endpoint = ?",
                (topic["arn"], protocol, where),
            ).fetchone()
            if row is not None:
                if attributes and json.loads(row["attributes"]) != attributes:
                    text = "Invalid parameter: Attributes Reason: Subscription already exists with different attributes"
                    raise AwsError("InvalidParameter", text)
                return {"SubscriptionArn": row["arn"]}
            arn = f"{topic['arn']}:{uuid.uuid4()}"
            db.execute(
                "INSERT INTO sns_subscriptions (arn, topic, protocol, endpoint, attributes, created)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (arn, topic["arn"], protocol, where, json.dumps(attributes), time.time()),
            )
        return {"SubscriptionArn": arn}

    def confirm(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        raise AwsError("InvalidParameter", "Invalid parameter: Token")  # no token was ever given: all are confirmed

    def unsubscribe(self, params: dict[str, Any], call: Call) -> None:
        if params["SubscriptionArn"].count(":") < 6:
            raise AwsError("InvalidParameter", "Invalid parameter: SubscriptionArn")
        with self._store.write() as db:
            db.execute("DELETE FROM sns_subscriptions WHERE arn = ?", (params["SubscriptionArn"],))

    def list_subscriptions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        where, values = "", []
        if "TopicArn" in params:
            where, values = " WHERE topic = ?", [self._topic(params["TopicArn"])["arn"]]
        rows = self._store.read(f"SELECT * FROM sns_subscriptions{where} ORDER BY created, arn", values)
        page, token = _page(rows, params.get("NextToken"))
        shown = [
            {
                "SubscriptionArn": row["arn"],
                "Owner": self._endpoint.account,
                "Protocol": row["protocol"],
                "Endpoint": row["endpoint"],
                "TopicArn": row["topic"],
            }
            for row in page
        ]
        return {"Subscriptions": shown, "NextToken": token}

    def subscription_attributes(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._subscription(params)
        shown = {
            "SubscriptionArn": row["arn"],
            "TopicArn": row["topic"],
            "Owner": self._endpoint.account,
            "Protocol": row["protocol"],
            "Endpoint": row["endpoint"],
            "ConfirmationWasAuthenticated": "true",
            "PendingConfirmation": "false",
            "RawMessageDelivery": "false",
            "SubscriptionPrincipal": f"arn:aws:iam::{self._endpoint.account}:root",
        }
        attributes = json.loads(row["attributes"])
        if "FilterPolicy" in attributes:
            shown["FilterPolicyScope"] = "MessageAttributes"
        return {"Attributes": shown | attributes}

    def set_subscription_attribute(self, params: dict[str, Any], call: Call) -> None:
        row = self._subscription(params)
        name, value = params["AttributeName"], params.get("AttributeValue", "")
        attributes = json.loads(row["attributes"])
        if name == "FilterPolicy" and value in ("", "{}"):
            attributes.pop(name, None)
        else:
            _check_attribute(SUBSCRIPTION_ATTRIBUTES, name, value, "AttributeName")
            attributes[name] = value
            if name.startswith("FilterPolicy"):
                _check_filter(attributes)
        self._update("sns_subscriptions", "attributes", row["arn"], attributes)

    def _subscription(self, params: dict[str, Any]) -> Any:
        arn = params["SubscriptionArn"]
        if arn.count(":") < 6:
            raise AwsError("InvalidParameter", "Invalid parameter: SubscriptionArn")
        row = self._store.one("SELECT * FROM sns_subscriptions WHERE arn = ?", (arn,))
        if row is None:
            raise AwsError("NotFound", "Subscription does not exist", status=404)
        return row

    # -- publishing --------------------------------------------------------------------------------------------------

    def publish(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn, phone = params.get("TopicArn") or params.get("TargetArn"), params.get("PhoneNumber")
        if not arn and not phone:
            raise AwsError(
                "InvalidParameter", "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter"
            )
        if arn and phone:
            raise AwsError("InvalidParameter", "Invalid parameter: PhoneNumber Reason: a topic is named as well")
        topic = self._topic(arn) if arn else None
        if phone and not re.fullmatch(r"\+?[0-9 ()-]{3,20}", phone):
            raise AwsError(
                "InvalidParameter", f"Invalid parameter: PhoneNumber Reason: {phone[:40]} is not valid to publish to"
            )
        message.check(params)
        published = self._publish(topic, params)
        self._deliveries.wake()
        return published

    def publish_batch(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        topic, entries = self._topic(params["TopicArn"]), params["PublishBatchRequestEntries"]
        message.check_batch(entries)
        done, failed = [], []
        for entry in entries:
            try:
                message.check(entry)
                done.append({"Id": entry["Id"]} | self._publish(topic, entry))
            except AwsError as error:
                failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": True})
        self._deliveries.wake()
        return {"Successful": done, "Failed": failed}

    def _publish(self, topic: Any, params: dict[str, Any]) -> dict[str, Any]:
        """Into the outbox, with one delivery for each subscriber that wants it: one transaction."""
        attributes = json.loads(topic["attributes"]) if topic else {}
        dedup = message.deduplication(attributes, params)
        arn, now, message_id = (topic["arn"] if topic else None), time.time(), str(uuid.uuid4())
        with self._store.write() as db:
            if dedup:
                before = db.execute(
                    "SELECT id, message_id FROM sns_outbox WHERE topic = ? AND dedup = ? AND published > ?",
                    (arn, dedup, now - DEDUP_SECONDS),
                ).fetchone()
                if before:
                    return {"MessageId": before["message_id"], "SequenceNumber": f"{before['id']:020d}"}
            number = db.execute(
                "INSERT INTO sns_outbox (message_id, topic, phone, subject, message, structure, attributes, fifo_group,"
                " dedup, published) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    message_id,
                    arn,
                    params.get("PhoneNumber"),
                    params.get("Subject"),
                    params["Message"],
                    params.get("MessageStructure"),
                    message.attributes_json(params.get("MessageAttributes", {})),
                    params.get("MessageGroupId"),
                    dedup,
                    now,
                ),
            ).lastrowid
            sent = message.Sent(message_id, arn or "", params, now)
            for subscriber in db.execute("SELECT * FROM sns_subscriptions WHERE topic = ?", (arn,)).fetchall():
                self._address(db, int(number or 0), sent, subscriber)
        return {"MessageId": message_id} | ({"SequenceNumber": f"{number:020d}"} if dedup else {})

    def _address(self, db: Any, number: int, sent: message.Sent, subscriber: Any) -> None:
        attributes = json.loads(subscriber["attributes"])
        if not message.wanted(sent, attributes):
            return
        body = message.body(sent, subscriber["protocol"], subscriber["arn"], attributes, self._endpoint.url)
        state = "PENDING" if subscriber["protocol"] in ("sqs", "lambda") else "KEPT"
        db.execute(
            "INSERT INTO sns_deliveries (outbox, subscription, protocol, endpoint, body, state)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (number, subscriber["arn"], subscriber["protocol"], subscriber["endpoint"], body, state),
        )

    # -- the outbox --------------------------------------------------------------------------------------------------

    def outbox(self) -> list[dict[str, Any]]:
        """Every message, the oldest first: topic, subject, message, attributes, time (ISO 8601), deliveries."""
        deliveries: dict[int, list[dict[str, Any]]] = {}
        for row in self._store.read("SELECT * FROM sns_deliveries ORDER BY id"):
            one = {key: row[key] for key in ("protocol", "endpoint", "body", "state", "error")}
            deliveries.setdefault(row["outbox"], []).append(one)
        return [
            {
                "id": row["id"],
                "messageId": row["message_id"],
                "topic": (row["topic"] or "").rpartition(":")[2] or None,
                "topicArn": row["topic"],
                "phoneNumber": row["phone"],
                "subject": row["subject"],
                "message": row["message"],
                "attributes": json.loads(row["attributes"]),
                "time": dt.datetime.fromtimestamp(row["published"], dt.UTC).isoformat(timespec="milliseconds"),
                "deliveries": deliveries.get(row["id"], []),
            }
            for row in self._store.read("SELECT * FROM sns_outbox ORDER BY id")
        ]


def _check_attribute(known: dict[str, tuple[str, ...] | None], name: str, value: str, member: str) -> None:
    if name not in known:
        reason = "" if member == "AttributeName" else f" Reason: Unknown attribute {name[:100]}"
        raise AwsError("InvalidParameter", f"Invalid parameter: {member}{reason}")
    allowed = known[name]
    if allowed is not None and value not in allowed:
        raise AwsError("InvalidParameter", f"Invalid parameter: {name} Reason: must be one of {', '.join(allowed)}")
    if name in ("Policy", "DeliveryPolicy", "RedrivePolicy") and value:
        try:
            json.loads(value)
        except ValueError:
            raise AwsError("InvalidParameter", f"Invalid parameter: {name} Reason: it is not JSON") from None


def _check_filter(attributes: dict[str, str]) -> None:
    if policy := attributes.get("FilterPolicy"):
        check_policy(policy, attributes.get("FilterPolicyScope", "MessageAttributes"))


def _check_same(
    had: dict[str, str], had_tags: dict[str, str], attributes: dict[str, str], tags: dict[str, str]
) -> None:
    """A repeated CreateTopic is answered with the same ARN only when it asks for the same."""
    if attributes and any(had.get(name) != value for name, value in attributes.items()):
        text = "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
        raise AwsError("InvalidParameter", text)
    if tags and tags != had_tags:
        raise AwsError("InvalidParameter", "Invalid parameter: Tags Reason: Topic already exists with different tags")


SUBSCRIBERS = {
    "sqs": (r"arn:aws[a-z-]*:sqs:.+", "SQS endpoint ARN"),
    "lambda": (r"arn:aws[a-z-]*:lambda:.+", "Lambda endpoint ARN"),
    "firehose": (r"arn:aws[a-z-]*:firehose:.+", "Firehose endpoint ARN"),
    "http": (r"http://.+", "Endpoint must match the specified protocol"),
    "https": (r"https://.+", "Endpoint must match the specified protocol"),
    "email": (r"[^@\s]+@[^@\s]+", "Email address"),
    "email-json": (r"[^@\s]+@[^@\s]+", "Email address"),
    "sms": (r"\+?[0-9 ()-]{3,20}", "Invalid SMS endpoint"),
}


def _check_subscriber(protocol: str, where: str) -> None:
    if protocol not in PROTOCOLS:
        raise AwsError("InvalidParameter", "Invalid parameter: Amazon SNS does not support this protocol string")
    if protocol not in SUBSCRIBERS or protocol == "firehose":
        raise AwsError("NotImplemented", f"Millpond does not deliver to {protocol} subscribers yet.", status=501)
    pattern, reason = SUBSCRIBERS[protocol]
    if not re.fullmatch(pattern, where):
        raise AwsError("InvalidParameter", f"Invalid parameter: {reason}")


def _page(rows: list[Any], token: str | None) -> tuple[list[Any], str | None]:
    if token is not None and (not token.isdigit() or len(token) > 9):
        raise AwsError("InvalidParameter", "Invalid parameter: NextToken")
    begin = int(token or 0)
    return rows[begin : begin + PAGE], str(begin + PAGE) if begin + PAGE < len(rows) else None
