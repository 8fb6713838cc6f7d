"""EventBridge: rules that reach their targets, and the events that our services send of themselves.

Rules, event buses and archives are moto's, which delivers to hardly anything. So around its operations on targets the
targets that are reached (delivery.py: functions, state machines, topics, queues, log groups, event buses, streams,
Glue workflows) are kept in a table of ours and shown again with moto's own. What PutEvents has accepted is held against
the patterns of their rules (local/patterns.py).

Services say what happened with `Endpoint.announce`: state changes of Glue jobs and crawlers, changes of the catalog,
states of executions. It costs nothing while no rule has a target. Like AWS's ("Delivery type: Best effort") such an
event may be lost: here only between what happened and the row of the delivery, when the endpoint is killed. At an
orderly end what was announced is written down (`drain`), and the next endpoint delivers it.

A rule with a schedule sends its targets a `Scheduled Event` at its times; a rate counts from when it was first seen (by
this endpoint), and a time that passes while the endpoint is down is not made up for.

Limits: targets of other kinds are refused, but for API destinations: those are moto's, and get no event that a service
or a schedule sends. A Glue workflow as the target of a schedule is refused.

May import: errors, asl, and millpond.local's clockwork, constraints, models, patterns, protocol, schedules, service,
store.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from millpond.asl import jackson
from millpond.local.constraints import checked
from millpond.local.events.delivery import deliver, kind_of
from millpond.local.events.entries import check_size, detail, fault
from millpond.local.events.retries import Again, Over, after_failure, bury, hopeless, kind_of_error, reason
from millpond.local.models import model
from millpond.local.patterns import PatternError, check, matches
from millpond.local.protocol import Reply, Request, parse
from millpond.local.schedules import Cron, Rate, ScheduleError, Watch, read
from millpond.local.service import Announcement, AwsError, Call, Endpoint, Operation, unsupported

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS events_targets (
    bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL, arn TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bus, rule, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events_deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, target TEXT NOT NULL, event TEXT NOT NULL,
    hops INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    since REAL NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0
);
"""
LATER_COLUMNS = ("since", "due")  # that the tables of older state folders lack
Ask = Callable[[str, dict[str, Any]], Reply]  # an operation of moto's EventBridge
DEFAULT = "default"
INPUTS = ("Input", "InputPath", "InputTransformer")
MOST_TARGETS = 5  # of a rule; AWS, "Amazon EventBridge quotas"
PAUSE_SECONDS = 1.0
DRAIN_SECONDS = 5.0
MOST_HOPS = 1  # from one event bus to another


@dataclass(frozen=True, slots=True)
class Rule:
    """An enabled rule with its pattern, its schedule or both, and the bodies of those of its targets that are ours."""

    arn: str
    pattern: Mapping[str, Any] | None
    schedule: Cron | Rate | None
    targets: tuple[str, ...]


class Rules:
    """See the module's docstring. `ask` is an operation of moto's in the endpoint's region."""

    def __init__(self, endpoint: Endpoint, ask: Ask) -> None:
        self.endpoint, self._ask = endpoint, ask
        self._around: dict[str, Callable[[dict[str, Any], Ask], Reply]] = {
            "PutTargets": self._put,
            "RemoveTargets": self._remove,
            "ListTargetsByRule": self._list,
            "ListRuleNamesByTarget": self._names,
            "DeleteRule": self._delete_rule,
            "PutEvents": self._events,
            "TestEventPattern": _test_pattern,
        }
        self._known: dict[str, list[Rule]] = {}  # by event bus; emptied when a rule changes
        self._watch: Watch[tuple[str, Cron | Rate]] = Watch()  # a rule and its schedule
        self._work: queue.SimpleQueue[Announcement | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._putting = threading.Lock()  # targets are counted before they are kept

    # ---- life

    def start(self) -> None:
        """Listen, where rules of an earlier endpoint have targets; deliver at once what it left."""
        with self.endpoint.store.write() as db:
            there = {row["name"] for row in db.execute("PRAGMA table_info(events_deliveries)")}
            for column in LATER_COLUMNS:
                if column not in there:
                    db.execute(f"ALTER TABLE events_deliveries ADD COLUMN {column} REAL NOT NULL DEFAULT 0")
            now = self.endpoint.clockwork.now()
            db.execute("UPDATE events_deliveries SET due = 0, since = iif(since = 0, ?, min(since, ?))", (now, now))
        if self.endpoint.store.one("SELECT 1 FROM events_targets"):
            self._listen()

    def stop(self) -> None:
        """End after the delivery under way; the rest stays in the store."""
        self._stopping.set()
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(10)

    def drain(self) -> None:
        """Write down what was announced and not yet told, when nobody announces any more; for the next endpoint."""
        self.endpoint.announcer = None
        until = time.monotonic() + DRAIN_SECONDS
        with contextlib.suppress(queue.Empty):
            while time.monotonic() < until:
                announced = self._work.get_nowait()
                if announced is not None:
                    self._tell(announced)
            log.warning("%d events were not written down in %g s", self._work.qsize(), DRAIN_SECONDS)

    def _listen(self) -> None:
        if self._thread is None and not self._stopping.is_set():
            self._thread = threading.Thread(target=self._run, name="events", daemon=True)
            self._thread.start()
            self._work.put(None)
            self.endpoint.clockwork.serve("rules", self._round)
            self.endpoint.clockwork.serve("deliveries", self._again)
        self.endpoint.announcer = self._work.put

    def _run(self) -> None:
        while not self._stopping.is_set():
            announced = self._work.get()
            try:
                if announced is not None:
                    self._tell(announced)
                self._deliver_all()
            except Exception:  # one event's trouble (a full disk) must not end the delivery of the others
                if not self._stopping.is_set():
                    log.exception("delivering events")
                    self._stopping.wait(PAUSE_SECONDS)
                    self._work.put(None)

    # ---- the API

    def answer(self, operation: str, request: Request, ask: Ask) -> Reply | None:
        """The answer where targets of ours are concerned; None: moto's is right. Raises what the model refuses."""
        params = _parameters(operation, request, self.endpoint.region)
        if params is None:
            return None
        if operation == "PutRule":
            _check_rule(params)
        around = self._around.get(operation)
        return around(params, ask) if around is not None and self._concerns(operation, params) else None

    def changed(self) -> None:
        """A rule may be another one: look again."""
        self._known = {}
        self.endpoint.clockwork.wake("rules")

    def _concerns(self, operation: str, params: Mapping[str, Any]) -> bool:
        if operation in ("PutTargets", "PutEvents", "TestEventPattern") or _ours({"Arn": params.get("TargetArn")}):
            return True
        return self.endpoint.store.one("SELECT 1 FROM events_targets") is not None

    def _put(self, params: dict[str, Any], ask: Ask) -> Reply:
        targets: list[dict[str, Any]] = params["Targets"]
        ours = [target for target in targets if _ours(target)]
        others = [target for target in targets if not _ours(target)]
        bus, rule = _place(params)
        described = ask("DescribeRule", {"Name": rule, "EventBusName": bus})
        if described.status >= 300:
            return described
        _check(ours, json.loads(described.body))
        if strange := [one["Arn"] for one in others if not _motos(one)]:
            raise unsupported("events", "PutTargets", f"No event would reach {strange[0][:200]}.")
        with self._putting:
            self._count(params, bus, rule, ask)
            empty = _reply({"FailedEntryCount": 0, "FailedEntries": []})
            reply = ask("PutTargets", {**params, "Targets": others}) if others else empty
            if reply.status < 300:
                rows = [(bus, rule, one["Id"], one["Arn"], json.dumps(one)) for one in ours]
                with self.endpoint.store.write() as db:
                    db.executemany("INSERT OR REPLACE INTO events_targets VALUES (?, ?, ?, ?, ?)", rows)
                self._listen()
        return reply

    def _count(self, params: Mapping[str, Any], bus: str, rule: str, ask: Ask) -> None:
        """LimitExceededException where a rule would have more targets than AWS lets it have."""
        listed = ask("ListTargetsByRule", {"Rule": rule, "EventBusName": bus})
        known = {one["Id"] for one in json.loads(listed.body).get("Targets", [])} if listed.status < 300 else set()
        known |= {row["id"] for row in self._targets(bus, rule)}
        if len(known | {one["Id"] for one in params["Targets"]}) > MOST_TARGETS:
            raise AwsError("LimitExceededException", "The requested resource exceeds the maximum number allowed.")

    def _remove(self, params: dict[str, Any], ask: Ask) -> Reply:
        at, ids = _place(params), params["Ids"]
        ours = {row["id"] for row in self._targets(*at)} & set(ids)
        with self.endpoint.store.write() as db:
            sql = "DELETE FROM events_targets WHERE bus = ? AND rule = ? AND id = ?"
            db.executemany(sql, [(*at, one) for one in ours])
        left = [one for one in ids if one not in ours]
        if ours and not left:
            return _reply({"FailedEntryCount": 0, "FailedEntries": []})
        return ask("RemoveTargets", {**params, "Ids": left})

    def _list(self, params: dict[str, Any], ask: Ask) -> Reply:
        reply = ask("ListTargetsByRule", params)
        ours = [json.loads(row["body"]) for row in self._targets(*_place(params))]
        if reply.status >= 300 or not ours or params.get("NextToken"):
            return reply
        found = json.loads(reply.body)
        return _reply({**found, "Targets": [*found.get("Targets", []), *ours]})

    def _names(self, params: dict[str, Any], ask: Ask) -> Reply:
        if not _ours({"Arn": params.get("TargetArn")}):
            return ask("ListRuleNamesByTarget", params)
        sql = "SELECT DISTINCT rule FROM events_targets WHERE bus = ? AND arn = ? ORDER BY rule"
        rows = self.endpoint.store.read(sql, (_place(params)[0], str(params["TargetArn"])))
        return _reply({"RuleNames": [row["rule"] for row in rows]})

    def _delete_rule(self, params: dict[str, Any], ask: Ask) -> Reply:
        if self._targets(_place(params)[0], str(params.get("Name"))):
            raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")
        return ask("DeleteRule", params)

    def _targets(self, bus: str, rule: str) -> list[Any]:
        sql = "SELECT * FROM events_targets WHERE bus = ? AND rule = ? ORDER BY id"
        return self.endpoint.store.read(sql, (bus, rule))

    def _events(self, params: dict[str, Any], ask: Ask) -> Reply:
        entries: list[dict[str, Any]] = params["Entries"]
        check_size(entries)
        there = {bus: ask("DescribeEventBus", {"Name": bus}).status < 300 for bus, _ in map(_place, entries)}
        # What goes to an event bus that does not exist is accepted, and lost (aws-sdk-java-v2, issue 3173).
        results = [fault(entry) or {"EventId": str(uuid.uuid4())} for entry in entries]
        good = [n for n, entry in enumerate(entries) if "EventId" in results[n] and there[_place(entry)[0]]]
        if good:
            reply = ask("PutEvents", {**params, "Entries": [entries[n] for n in good]})
            if reply.status >= 300:
                return reply
            for n, answer in zip(good, json.loads(reply.body)["Entries"], strict=True):
                results[n] = answer
        for entry, result in zip(entries, results, strict=True):
            if "EventId" in result:
                happened = (entry["Source"], entry["DetailType"], entry.get("Resources") or [], detail(entry))
                event = self._event(result["EventId"], *happened, at=entry.get("Time") or 0)
                self._publish(_place(entry)[0], event, 0)
        if self._thread is not None:  # else there is no target
            self._work.put(None)
        return _reply({"FailedEntryCount": sum("ErrorCode" in one for one in results), "Entries": results})

    # ---- from an event to its deliveries

    def _event(self, event_id: str, source: Any, kind: Any, resources: Any, detail: Any, at: float = 0) -> Any:
        moment = datetime.fromtimestamp(at, UTC) if at else datetime.now(UTC)
        return {
            "version": "0", "id": event_id, "detail-type": kind, "source": source, "account": self.endpoint.account,
            "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"), "region": self.endpoint.region, "resources": resources,
            "detail": detail,
        }  # fmt: skip

    def _tell(self, announced: Announcement) -> None:
        told = announced.tell()
        if told is not None:
            resources, detail = told
            about = (announced.source, announced.detail_type, list(resources), dict(detail))
            self._publish(DEFAULT, self._event(str(uuid.uuid4()), *about, at=announced.at), 0)

    def _publish(self, bus: str, event: Mapping[str, Any], hops: int) -> None:
        """Write the deliveries of an event to the rules of an event bus that it matches."""
        rows = [
            (rule.arn, target, json.dumps(event), hops)
            for rule in self._rules(bus)
            if rule.pattern is not None and matches(rule.pattern, event)
            for target in rule.targets
        ]
        self._keep(rows)

    def _keep(self, rows: list[tuple[str, str, str, int]]) -> None:
        if rows:
            with self.endpoint.store.write() as db:
                sql = "INSERT INTO events_deliveries (rule, target, event, hops, since) VALUES (?, ?, ?, ?, ?)"
                db.executemany(sql, [(*row, self.endpoint.clockwork.now()) for row in rows])

    # ---- schedules

    def _round(self) -> float | None:
        """Write the deliveries of schedules that are due. Seconds until the next time, None: there is none."""
        scheduled = {(rule.arn, rule.schedule): rule for rule in self._rules(DEFAULT) if rule.schedule is not None}
        schedules = {key: key[1].following for key in scheduled}
        due, coming = self._watch.due(schedules, self.endpoint.clockwork.now())
        for key in due:
            event = self._event(str(uuid.uuid4()), "aws.events", "Scheduled Event", [key[0]], {})
            self._keep([(key[0], target, json.dumps(event), 0) for target in scheduled[key].targets])
        if due:
            self._work.put(None)
        return None if coming is None else self.endpoint.clockwork.until(coming)

    def _rules(self, bus: str) -> list[Rule]:
        known = self._known
        if bus not in known:
            bodies: dict[str, list[str]] = {}
            for row in self.endpoint.store.read("SELECT rule, body FROM events_targets WHERE bus = ?", (bus,)):
                bodies.setdefault(row["rule"], []).append(row["body"])
            known[bus] = [rule for name, targets in bodies.items() if (rule := self._rule(bus, name, targets))]
        return known[bus]

    def _rule(self, bus: str, name: str, targets: list[str]) -> Rule | None:
        described = self._ask("DescribeRule", {"Name": name, "EventBusName": bus})
        rule = json.loads(described.body) if described.status < 300 else {}
        if not str(rule.get("State")).startswith("ENABLED"):  # or ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS
            return None
        try:
            pattern = parse_pattern(rule["EventPattern"]) if rule.get("EventPattern") else None
            schedule = _schedule(rule["ScheduleExpression"]) if rule.get("ScheduleExpression") else None
            return Rule(rule["Arn"], pattern, schedule, tuple(targets))
        except AwsError as error:  # one that an older endpoint has taken
            log.warning("the rule %s is not followed: %s", name, error.message)
            return None

    def _deliver_all(self) -> None:
        """Try what is due once, in order."""
        last = 0
        sql = "SELECT * FROM events_deliveries WHERE number > ? AND due <= ? ORDER BY number LIMIT 100"
        while rows := self.endpoint.store.read(sql, (last, self.endpoint.clockwork.now())):
            for row in rows:
                if self._stopping.is_set():
                    return
                self._deliver(row)
                last = row["number"]

    def _again(self) -> float | None:
        """Have those tried again whose time has come. Seconds until the next one, None: none waits."""
        now, waiting = self.endpoint.clockwork.now(), "FROM events_deliveries WHERE attempts > 0 AND due"
        if self.endpoint.store.one(f"SELECT 1 {waiting} <= ?", (now,)):
            self._work.put(None)  # the end of an attempt that fails once more asks here again
        (later,) = self.endpoint.store.read(f"SELECT min(due) AS due {waiting} > ?", (now,))
        return None if later["due"] is None else self.endpoint.clockwork.until(later["due"])

    def _deliver(self, row: Any) -> None:
        target, event = json.loads(row["target"]), json.loads(row["event"])
        try:
            if kind_of(target["Arn"]) == "events":
                self._pass_on(target, event, row["hops"])
            else:
                deliver(self.endpoint, target, event, row["rule"], row["number"])
        except Exception as error:
            if not self._stopping.is_set():  # else the next endpoint tries
                self._failed(row, target, error)
        else:
            self._over(row)

    def _failed(self, row: Any, target: Mapping[str, Any], error: Exception) -> None:
        """Try again later, as the RetryPolicy says; else it is over."""
        now, attempt = self.endpoint.clockwork.now(), row["attempts"] + 1
        next_ = Over() if hopeless(error) else after_failure(target.get("RetryPolicy"), attempt, now - row["since"])
        code, message = reason(error)
        about = (row["rule"], target["Arn"], code, message)
        match next_:
            case Again(pause):
                if attempt == 1:
                    log.warning(
                        "the rule %s could not reach %s, and tries again: %s", row["rule"], target["Arn"], message
                    )
                with self.endpoint.store.write() as db:
                    sql = "UPDATE events_deliveries SET attempts = ?, due = ? WHERE number = ?"
                    db.execute(sql, (attempt, now + pause, row["number"]))
                self.endpoint.clockwork.wake("deliveries")
            case Over(spent):
                log.warning("the rule %s gave up reaching %s: %s: %s", *about)
                said = {
                    "RULE_ARN": row["rule"], "TARGET_ARN": target["Arn"], "ERROR_CODE": kind_of_error(error),
                    "ERROR_MESSAGE": message, "EXHAUSTED_RETRY_CONDITION": spent, "RETRY_ATTEMPTS": str(attempt - 1),
                }  # fmt: skip
                bury(self.endpoint, target, row["event"], said)
                self._over(row)

    def _over(self, row: Any) -> None:
        with self.endpoint.store.write() as db:
            db.execute("DELETE FROM events_deliveries WHERE number = ?", (row["number"],))

    def _pass_on(self, target: Mapping[str, Any], event: Mapping[str, Any], hops: int) -> None:
        if hops < MOST_HOPS:
            self._publish(target["Arn"].rpartition("/")[2], event, hops + 1)


@functools.cache
def _checker(operation: str) -> Operation:
    return checked("events", operation, lambda params, call: params)


def _parameters(operation: str, request: Request, region: str) -> dict[str, Any] | None:
    """The parameters of an operation, held against the model, moments in seconds; None: there is no such operation."""
    described = model("events")
    if described is None or operation not in described.operation_names:
        return None
    params = parse(described, described.operation_model(operation), request, {})
    _checker(operation)(params, Call("events", operation, region))
    plain: dict[str, Any] = json.loads(json.dumps(params, default=datetime.timestamp))
    return plain


def _check_rule(rule: Mapping[str, Any]) -> None:
    """The pattern and the schedule of a rule. InvalidEventPatternException, ValidationException."""
    if isinstance(pattern := rule.get("EventPattern"), str) and pattern:
        parse_pattern(pattern)
    if isinstance(schedule := rule.get("ScheduleExpression"), str) and schedule:
        _schedule(schedule)


def parse_pattern(text: str) -> dict[str, Any]:
    """A checked pattern. InvalidEventPatternException."""
    try:
        pattern = json.loads(text)
        if not isinstance(pattern, dict) or not pattern:
            raise PatternError("it must be an object that names fields")
        check(pattern)
    except PatternError as error:
        raise _no_pattern(str(error)) from None
    except (ValueError, RecursionError):
        raise _no_pattern("it is not JSON") from None
    return pattern


def _no_pattern(why: str) -> AwsError:
    return AwsError("InvalidEventPatternException", f"Event pattern is not valid. Reason: {why}.")


def _schedule(text: str) -> Cron | Rate:
    try:
        return read(text)
    except ScheduleError:
        raise AwsError("ValidationException", "Parameter ScheduleExpression is not valid.") from None


def _check(targets: list[dict[str, Any]], rule: Mapping[str, Any]) -> None:
    for one in targets:
        if sum(name in one for name in INPUTS) > 1:
            why = f"Only one of Input, InputPath, or InputTransformer must be provided for target {one['Id']}."
            raise AwsError("ValidationException", why)
        try:
            json.loads(one.get("Input", "null"), parse_constant=jackson.not_json)
        except (ValueError, RecursionError) as error:
            where = jackson.place(jackson.explain(one["Input"], str(error)))
            text = f"JSON syntax error in input for target {one['Id']}: {where}"
            raise AwsError("ValidationException", text) from None
    if not rule.get("EventPattern") and any(kind_of(one["Arn"]) == "glue" for one in targets):
        raise unsupported("events", "PutTargets of a Glue workflow", "The rule has no event pattern.")


def _ours(target: Mapping[str, Any]) -> bool:
    return bool(kind_of(str(target.get("Arn") or "")))


def _motos(target: Mapping[str, Any]) -> bool:
    """Whether a target is moto's to deliver to, or to refuse because it is no ARN."""
    parts = str(target.get("Arn") or "").split(":", 5)
    return len(parts) < 6 or (parts[2] == "events" and parts[5].startswith("api-destination/"))


def _test_pattern(params: dict[str, Any], ask: Ask) -> Reply:
    """Whether a pattern matches an event. InvalidEventPatternException; ValidationException for what is no event."""
    pattern = parse_pattern(str(params.get("EventPattern") or ""))
    try:
        event = json.loads(str(params.get("Event") or ""))
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        raise AwsError("ValidationException", "Parameter Event is not valid. Reason: it must be a JSON object.")
    # AWS, TestEventPattern, lists `resources`, too; events without are in use.
    missing = [name for name in ("id", "account", "source", "time", "region", "detail-type") if name not in event]
    if missing:
        text = f"Parameter Event is not valid. Reason: {missing[0]} is a required field."
        raise AwsError("ValidationException", text)
    return _reply({"Result": matches(pattern, event)})


def _place(params: Mapping[str, Any]) -> tuple[str, str]:
    """The event bus (by name or ARN) and the rule that an operation names."""
    return str(params.get("EventBusName") or DEFAULT).rpartition("/")[2], str(params.get("Rule"))


def _reply(document: dict[str, Any]) -> Reply:
    return Reply(200, [("content-type", "application/x-amz-json-1.1")], json.dumps(document).encode())
