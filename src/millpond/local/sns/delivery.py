"""The delivery thread of SNS: takes pending deliveries from the outbox and hands them to SQS and Lambda.

A delivery is marked only after the other service took it, so a kill repeats at most the one under way. Three attempts,
then it is FAILED, with the reason, in the outbox (and in the dead-letter queue of the subscription's RedrivePolicy).
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from millpond.local.service import Endpoint

log = logging.getLogger(__name__)

ATTEMPTS = 3
PAUSE_SECONDS = 1.0


class Deliveries:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._store = endpoint, endpoint.store
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; what an earlier process left pending is delivered first."""
        if self._store.one("SELECT 1 FROM sns_deliveries WHERE state = 'PENDING'"):
            self._work.set()
        self._thread = threading.Thread(target=self._run, name="sns", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the delivery under way; the rest stays pending."""
        self._stopping.set()
        self._work.set()
        if self._thread:
            self._thread.join(10)

    def wake(self) -> None:
        """There may be something to deliver."""
        self._work.set()

    def _run(self) -> None:
        while True:
            self._work.wait()
            if self._stopping.is_set():
                return
            self._work.clear()
            try:
                self._deliver_all()
            except Exception:  # the disk, most likely: what is pending is still there
                if not self._stopping.is_set():
                    log.exception("delivering messages")
                self._stopping.wait(PAUSE_SECONDS)
                self._work.set()

    def _deliver_all(self) -> None:
        for row in self._store.read("SELECT * FROM sns_deliveries WHERE state = 'PENDING' ORDER BY id LIMIT 100"):
            if self._stopping.is_set():
                return
            self._deliver(row)
            self._work.set()  # look again: there may be more than a hundred

    def _deliver(self, row: Any) -> None:
        try:
            SENDERS[row["protocol"]](self._endpoint, row)
        except Exception as error:
            self._failed(row, str(error) or type(error).__name__)
        else:
            self._mark(row, "DELIVERED", row["attempts"] + 1, None)

    def _failed(self, row: Any, why: str) -> None:
        attempts = row["attempts"] + 1
        if attempts < ATTEMPTS:
            self._mark(row, "PENDING", attempts, why)
            self._stopping.wait(self._endpoint.clock.seconds(PAUSE_SECONDS))
            return
        log.warning("SNS could not deliver to %s: %s", row["endpoint"], why)
        self._mark(row, "FAILED", attempts, why)
        subscription = self._store.one("SELECT * FROM sns_subscriptions WHERE arn = ?", (row["subscription"],))
        policy = json.loads(subscription["attributes"]).get("RedrivePolicy") if subscription else None
        queue = json.loads(policy).get("deadLetterTargetArn") if policy else None
        if queue:
            try:
                _to_queue(self._endpoint, {**dict(row), "endpoint": queue})
            except Exception as error:
                self._mark(row, "FAILED", attempts, f"{why}; dead-letter queue: {error}")

    def _mark(self, row: Any, state: str, attempts: int, error: str | None) -> None:
        with self._store.write() as db:
            db.execute(
                "UPDATE sns_deliveries SET state = ?, attempts = ?, error = ? WHERE id = ?",
                (state, attempts, error, row["id"]),
            )


def _to_queue(endpoint: Endpoint, row: Any) -> None:
    sqs = endpoint.client("sqs")
    url = sqs.get_queue_url(QueueName=row["endpoint"].rpartition(":")[2])["QueueUrl"]
    more: dict[str, Any] = {}
    sent = endpoint.store.one("SELECT * FROM sns_outbox WHERE id = ?", (row["outbox"],))
    if sent and row["endpoint"].endswith(".fifo"):
        more = {"MessageGroupId": sent["fifo_group"], "MessageDeduplicationId": sent["dedup"]}
    subscription = endpoint.store.one("SELECT * FROM sns_subscriptions WHERE arn = ?", (row["subscription"],))
    if sent and subscription and json.loads(subscription["attributes"]).get("RawMessageDelivery") == "true":
        more["MessageAttributes"] = {
            name: {"DataType": value["Type"], "StringValue": value["Value"]}
            for name, value in json.loads(sent["attributes"]).items()
            if not value["Type"].startswith("Binary")
        }
    sqs.send_message(QueueUrl=url, MessageBody=row["body"], **more)


def _to_function(endpoint: Endpoint, row: Any) -> None:
    endpoint.client("lambda").invoke(FunctionName=row["endpoint"], InvocationType="Event", Payload=row["body"].encode())


SENDERS = {"sqs": _to_queue, "lambda": _to_function}
