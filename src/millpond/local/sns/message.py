"""What a published message must be, and what each kind of subscriber gets of it: AWS, "Publish", "Message formats"."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from millpond.local.service import AwsError
from millpond.local.sns.filter_policy import accepts

LARGEST = 262_144  # bytes of message and attributes
BATCH = 10
RETRY = {"minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0}
DELIVERY_POLICY = {"http": {"defaultHealthyRetryPolicy": RETRY, "disableSubscriptionOverrides": False}}
TYPES = ("String", "String.Array", "Number", "Binary")


@dataclass(frozen=True, slots=True)
class Sent:
    """A message on its way: `params` are Publish's."""

    id: str
    topic: str
    params: dict[str, Any]
    published: float

    @property
    def text(self) -> str:
        return str(self.params["Message"])

    def text_for(self, protocol: str) -> str:
        """With MessageStructure json: the text under the protocol's name, else under `default`."""
        if self.params.get("MessageStructure") != "json":
            return self.text
        texts = json.loads(self.text)
        return str(texts.get(protocol, texts["default"]))


def _invalid(what: str) -> AwsError:
    return AwsError("InvalidParameter", f"Invalid parameter: {what}")


def check(params: dict[str, Any]) -> None:
    """Raise AwsError(InvalidParameter) for a message that AWS would not take."""
    text, subject = params["Message"], params.get("Subject")
    if not text:
        raise _invalid("Empty message")
    attributes = params.get("MessageAttributes", {})
    if len(text.encode()) + _size(attributes) > LARGEST:
        raise _invalid("Message too long")
    if subject is not None and not re.fullmatch(r"[\x20-\x7e]{1,99}", subject):
        raise _invalid("Subject")
    structure = params.get("MessageStructure")
    if structure == "json":
        _check_structure(text)
    elif structure:
        raise _invalid("MessageStructure")
    for name, value in attributes.items():
        _check_attribute(name, value)


def _check_structure(text: str) -> None:
    try:
        texts = json.loads(text)
    except ValueError:
        raise _invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(texts, dict) or not isinstance(texts.get("default"), str):
        raise _invalid("Message Structure - No default entry in JSON message body")


def _check_attribute(name: str, value: dict[str, Any]) -> None:
    kind = value.get("DataType", "")
    if kind not in TYPES and kind.partition(".")[0] not in TYPES:
        text = f"The message attribute '{name[:100]}' has an invalid message attribute type."
        raise AwsError("ParameterValueInvalid", text)
    present = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    if not value.get(present):
        text = f"The message attribute '{name[:100]}' must contain non-empty message attribute value for type '{kind}'."
        raise AwsError("ParameterValueInvalid", text)


def _size(attributes: dict[str, Any]) -> int:
    return sum(
        len(name.encode())
        + len(value.get("DataType", ""))
        + len(value.get("StringValue", "").encode())
        + len(value.get("BinaryValue", b""))
        for name, value in attributes.items()
    )


def check_batch(entries: list[dict[str, Any]]) -> None:
    """The batch's own rules: 1 to 10 entries, distinct well-formed ids, 256 KiB in all."""
    if not entries:
        raise AwsError("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > BATCH:
        text = "The batch request contains more entries than permissible."
        raise AwsError("TooManyEntriesInBatchRequest", text)
    ids = [entry["Id"] for entry in entries]
    if len(set(ids)) != len(ids):
        raise AwsError("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
    for name in ids:
        if not re.fullmatch(r"[\w-]{1,80}", name, re.ASCII):
            text = "The Id of a batch entry in a batch request doesn't abide by the specification."
            raise AwsError("InvalidBatchEntryId", text)
    size = sum(len(entry["Message"].encode()) + _size(entry.get("MessageAttributes", {})) for entry in entries)
    if size > LARGEST:
        text = "The length of all the batch messages put together is more than the limit."
        raise AwsError("BatchRequestTooLong", text)


def deduplication(topic: dict[str, str], params: dict[str, Any]) -> str | None:
    """The deduplication id of a message to a FIFO topic; None for a standard one."""
    given = params.get("MessageDeduplicationId")
    if topic.get("FifoTopic") != "true":
        if given:
            raise _invalid("MessageDeduplicationId Reason: The request includes it for a topic that is not FIFO")
        return None
    if not params.get("MessageGroupId"):
        raise _invalid("The MessageGroupId parameter is required for FIFO topics")
    if given:
        return str(given)
    if topic.get("ContentBasedDeduplication") != "true":
        raise _invalid(
            "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided"
        )
    return hashlib.sha256(params["Message"].encode()).hexdigest()


def attributes_json(attributes: dict[str, Any]) -> str:
    """Message attributes as notifications carry them: `{"name": {"Type": "String", "Value": "x"}}`."""
    return json.dumps(_attributes(attributes))


def _attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: {"Type": value["DataType"], "Value": _carried(value)} for name, value in attributes.items()}


def _carried(value: dict[str, Any]) -> str:
    return base64.b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else value["StringValue"]


def wanted(sent: Sent, subscription: dict[str, str]) -> bool:
    """Whether the subscription's filter policy lets the message through."""
    policy = subscription.get("FilterPolicy")
    if not policy:
        return True
    attributes = _attributes(sent.params.get("MessageAttributes", {}))
    return accepts(
        json.loads(policy), subscription.get("FilterPolicyScope", "MessageAttributes"), attributes, sent.text
    )


def body(sent: Sent, protocol: str, subscription: str, attributes: dict[str, str], url: str) -> str:
    """What the subscriber gets, as text: the message itself, or AWS's notification document."""
    text = sent.text_for(protocol)
    if protocol in ("email", "sms") or (protocol == "sqs" and attributes.get("RawMessageDelivery") == "true"):
        return text
    note: dict[str, Any] = {"Type": "Notification", "MessageId": sent.id, "TopicArn": sent.topic}
    if sent.params.get("Subject") is not None:
        note["Subject"] = sent.params["Subject"]
    moment = dt.datetime.fromtimestamp(sent.published, dt.UTC).isoformat(timespec="milliseconds")
    note |= {
        "Message": text,
        "Timestamp": moment.replace("+00:00", "Z"),
        "SignatureVersion": "1",
        "Signature": "",
        "SigningCertURL": "",
        "UnsubscribeURL": f"{url}/?Action=Unsubscribe&SubscriptionArn={subscription}",
    }
    carried = _attributes(sent.params.get("MessageAttributes", {}))
    if carried or protocol == "lambda":
        note["MessageAttributes"] = carried
    if protocol != "lambda":
        return json.dumps(note)
    note["SigningCertUrl"], note["UnsubscribeUrl"] = note.pop("SigningCertURL"), note.pop("UnsubscribeURL")
    note.setdefault("Subject", None)
    record = {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": subscription, "Sns": note}
    return json.dumps({"Records": [record]})
