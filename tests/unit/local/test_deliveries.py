"""Who delivers what (SNS, EventBridge Scheduler) when the disk fails for a moment, or when two look at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millpond.local import events as events_room
from millpond.local import scheduler as scheduler_room
from millpond.local import sns as sns_room
from millpond.local.protocol import Reply
from millpond.local.scheduler import Scheduler
from millpond.local.service import Clock, Endpoint
from millpond.local.sns import delivery
from millpond.local.store import Store, StoreUnavailable


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    store = Store(tmp_path / "endpoint.db")
    yield Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="a", secret_key="s")
    store.close()


def until(said: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_messages_are_delivered_after_trouble_with_the_disk(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trouble, sent = endpoint.store, [StoreUnavailable("disk")], []
    store.install(sns_room.SCHEMA)
    monkeypatch.setattr(delivery, "PAUSE_SECONDS", 0.01)
    monkeypatch.setitem(delivery.SENDERS, "sqs", lambda endpoint, row: sent.append(row["endpoint"]))
    deliveries = delivery.Deliveries(endpoint)
    monkeypatch.setattr(deliveries, "_mark", lambda row, *how: _once(trouble) or mark(row, *how))
    mark = delivery.Deliveries._mark.__get__(deliveries)
    deliveries.start()
    with store.write() as db:
        columns = {row["name"]: row for row in db.execute("PRAGMA table_info(sns_deliveries)")}
        given = {"subscription": "s", "protocol": "sqs", "endpoint": "q", "body": "b", "state": "PENDING"}
        filled = {name: given.get(name, 1) for name, row in columns.items() if row["notnull"] or name in given}
        marks = ", ".join("?" * len(filled))
        db.execute(f"INSERT INTO sns_deliveries ({', '.join(filled)}) VALUES ({marks})", tuple(filled.values()))
    deliveries.wake()
    until(lambda: store.one("SELECT state FROM sns_deliveries")["state"] == "DELIVERED")
    assert not trouble and sent == ["q", "q"]  # at least once
    deliveries.stop()


def _once(trouble: list[Exception]) -> None:
    if trouble:
        raise trouble.pop()


def test_an_invocation_that_ended_since_it_was_found_is_not_made_again(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, invoked = endpoint.store, []
    store.install(scheduler_room.SCHEMA)
    scheduler = Scheduler(endpoint)
    monkeypatch.setattr(scheduler, "_invoke", lambda row: invoked.append(row["number"]) or scheduler._over(row))
    with store.write() as db:
        sql = (
            "INSERT INTO scheduler_invocations (grp, name, target, scheduled, due, last) VALUES ('g', ?, '{}', 0, 0, 0)"
        )
        db.executemany(sql, [("a",), ("b",)])
    read, late = store.read, []

    def meanwhile(sql: str, parameters: Any = ()) -> Any:
        rows = read(sql, parameters)
        if "ORDER BY due" in sql and not late:
            late.append(True)
            scheduler._over(rows[0])  # the thread of its attempt, which was under way
        return rows

    monkeypatch.setattr(store, "read", meanwhile)
    scheduler._attempts()
    until(lambda: not read("SELECT 1 FROM scheduler_invocations"))
    scheduler.stop()
    assert invoked == [2]


def test_a_retry_that_is_not_due_waits_beside_one_that_is(endpoint: Endpoint) -> None:
    """The one that is due may succeed, and then nothing else would ask for the other one."""
    endpoint.store.install(events_room.SCHEMA)
    rules = events_room.Rules(endpoint, lambda name, params: Reply(404, [], b"{}"))
    rows = [(1, 1, 0.0), (2, 1, endpoint.clockwork.now() + 600), (3, 0, endpoint.clockwork.now() + 1)]
    with endpoint.store.write() as db:
        names = "number, attempts, due, rule, target, event, hops"
        db.executemany(f"INSERT INTO events_deliveries ({names}) VALUES (?, ?, ?, 'r', '', '', 0)", rows)
    wait = rules._again()
    assert wait is not None and 500 < wait <= 600
    assert rules._work.get_nowait() is None and rules._work.empty()
    rules._over({"number": 1})
    assert (wait := rules._again()) is not None and wait > 500 and rules._work.empty()
    rules._over({"number": 2})
    assert rules._again() is None and rules._work.empty()
