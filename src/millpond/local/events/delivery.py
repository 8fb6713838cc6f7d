"""Delivering events to the targets of rules: what each is given (`shaped`), how it is called, what is tried again.

A matched event is a row for each target, written before PutEvents answers; it goes when the target has taken it. So a
kill repeats at most the delivery under way, as EventBridge may ("at least once"). What a target does not take is tried
again as its RetryPolicy says (retries.py), unless it would be refused once more (no such target, a bad request). What
is given up goes to the queue of the target's DeadLetterConfig; without one it is a line in the endpoint's log.

Limits: an event goes from one event bus to a second one, never to a third.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from millpond.local.service import Endpoint

Event = Mapping[str, Any]
Target = Mapping[str, Any]

STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']+)'\]")
VARIABLE = re.compile(r"<([A-Za-z0-9_.\-]+)>")


def kind_of(arn: str) -> str:
    """Which of the targets that are reached an ARN names; empty: none of them."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn":
        return ""
    service, rest = parts[2], parts[5]
    if service in ("sns", "sqs", "lambda"):
        return service if service != "lambda" or rest.startswith("function:") else ""
    known = {"states": "stateMachine:", "logs": "log-group:", "glue": "workflow/", "events": "event-bus/"}
    known |= {"kinesis": "stream/", "firehose": "deliverystream/"}
    return service if service in known and rest.startswith(known[service]) else ""


# ---- what a target is given


def shaped(target: Target, event: Event, rule_arn: str) -> str:
    """The text that a target is given for an event: its Input, a part of the event, a template, or the event."""
    if target.get("Input") is not None:
        return str(target["Input"])
    if target.get("InputPath") is not None:
        return json.dumps(at_path(event, target["InputPath"]))
    if transformer := target.get("InputTransformer"):
        return _filled(transformer, event, rule_arn)
    return json.dumps(event)


def at_path(event: Any, path: str) -> Any:
    """What stands at `$.detail.rows[0]`; None: nothing."""
    rest, found = path.strip().removeprefix("$"), event
    for name, index, quoted in STEP.findall(rest):
        if index:
            found = found[int(index)] if isinstance(found, list) and int(index) < len(found) else None
        else:
            found = found.get(name or quoted) if isinstance(found, dict) else None
    return found


def _filled(transformer: Mapping[str, Any], event: Event, rule_arn: str) -> str:
    """A template with its variables (AWS, "Amazon EventBridge input transformation"): inside quotes the bare text, else
    JSON. What a path does not find is an empty text."""
    values = {name: at_path(event, path) for name, path in (transformer.get("InputPathsMap") or {}).items()}
    values |= {
        "aws.events.rule-arn": rule_arn,
        "aws.events.rule-name": rule_arn.rpartition("/")[2],
        "aws.events.event.ingestion-time": event["time"],
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    template = str(transformer.get("InputTemplate", ""))
    written, last = [], 0
    quoted = False
    for match in VARIABLE.finditer(template):
        between = template[last : match.start()]
        quoted ^= re.sub(r"\\.", "", between).count('"') % 2 == 1
        name, last = match[1], match.end()
        value = values.get(name)
        written += [between, match[0] if name not in values else _inside(value) if quoted else _bare(value)]
    return "".join([*written, template[last:]])


def _bare(value: Any) -> str:
    return '""' if value is None else json.dumps(value)


def _inside(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


# ---- how it is called


def deliver(endpoint: Endpoint, target: Target, event: Event, rule_arn: str, number: int) -> None:
    """Hand an event to a target that is no event bus. Raises what the service behind it answers."""
    SENDERS[kind_of(target["Arn"])](endpoint, target, event, shaped(target, event, rule_arn), number)


def _function(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    endpoint.client("lambda").invoke(FunctionName=target["Arn"], InvocationType="Event", Payload=text.encode())


def _unique(event: Event, number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{event['id']}/{number}"))


def _machine(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    """The name is made from the delivery: who asks again for the same one gets the same execution."""
    name = f"{event['id']}_{_unique(event, number)}"
    client = endpoint.client("stepfunctions")
    try:
        client.start_execution(stateMachineArn=target["Arn"], name=name, input=text)
    except client.exceptions.ExecutionAlreadyExists:  # it was started, and is over by now
        return


def _topic(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    endpoint.client("sns").publish(TopicArn=target["Arn"], Message=text)


def _queue(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    sqs, arn = endpoint.client("sqs"), target["Arn"]
    url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
    group = (target.get("SqsParameters") or {}).get("MessageGroupId") or "events"
    fifo = {"MessageGroupId": group, "MessageDeduplicationId": event["id"]} if arn.endswith(".fifo") else {}
    sqs.send_message(QueueUrl=url, MessageBody=text, **fifo)


def _log_group(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    group = target["Arn"].partition(":log-group:")[2].removesuffix(":*")
    logs = endpoint.client("logs")
    stream = _unique(event, number)
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    now = int(datetime.now(UTC).timestamp() * 1000)
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": now, "message": text}])


def _workflow(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    """A workflow is given the event's id only (AWS docs, "Starting an AWS Glue workflow with an EventBridge event")."""
    glue: Any = endpoint.services["glue"]
    glue.parts["workflows"].firing.receive(target["Arn"].rpartition("workflow/")[2], event["id"])


def _stream(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    """The partition key is what PartitionKeyPath finds, else the event's id (AWS docs, KinesisParameters)."""
    path = (target.get("KinesisParameters") or {}).get("PartitionKeyPath")
    found = at_path(event, path) if path else None
    key = event["id"] if found is None else found if isinstance(found, str) else json.dumps(found)
    put_record(endpoint, target["Arn"], key, text)


def put_record(endpoint: Endpoint, arn: str, key: str, text: str) -> None:
    """Put a text into a stream of Kinesis."""
    name = arn.partition(":stream/")[2]
    endpoint.client("kinesis").put_record(StreamName=name, PartitionKey=key[:256] or "-", Data=text.encode())


def _delivery_stream(endpoint: Endpoint, target: Target, event: Event, text: str, number: int) -> None:
    name = target["Arn"].partition(":deliverystream/")[2]
    endpoint.client("firehose").put_record(DeliveryStreamName=name, Record={"Data": text.encode()})


SENDERS: Mapping[str, Callable[[Endpoint, Target, Event, str, int], None]] = {
    "lambda": _function,
    "states": _machine,
    "sns": _topic,
    "sqs": _queue,
    "logs": _log_group,
    "glue": _workflow,
    "kinesis": _stream,
    "firehose": _delivery_stream,
}
