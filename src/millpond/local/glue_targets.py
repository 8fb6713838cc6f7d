"""EventBridge rules whose target is a Glue workflow: kept by us, because moto's rules deliver to no workflow.

The rest of EventBridge is moto's. Around its operations on targets: a workflow's ARN among the targets is taken out and
kept in a table, and shown again with moto's own; what PutEvents has accepted is held against the patterns of the rules
in that table, and given to the workflow's EVENT trigger (glue/firing.py), which counts its batch.

Limits: rules with a schedule, and patterns with `wildcard` or `cidr`, are refused for such targets. An input
transformer has no effect: a workflow receives the events' ids only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from millpond.local.protocol import Reply, Request
from millpond.local.service import AwsError, Endpoint, unsupported
from millpond.local.sns.filter_policy import accepts, check_policy

SCHEMA = """
CREATE TABLE IF NOT EXISTS events_glue_targets (
    bus TEXT NOT NULL, rule TEXT NOT NULL, id TEXT NOT NULL, arn TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bus, rule, id)
) WITHOUT ROWID;
"""
Ask = Callable[[str, dict[str, Any]], Reply]  # an operation of moto's EventBridge


class GlueTargets:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._around: dict[str, Callable[[dict[str, Any], Ask], Reply]] = {
            "PutTargets": self._put,
            "RemoveTargets": self._remove,
            "ListTargetsByRule": self._list,
            "ListRuleNamesByTarget": self._names,
            "DeleteRule": self._delete_rule,
            "PutEvents": self._events,
        }

    def answer(self, operation: str, request: Request, ask: Ask) -> Reply | None:
        """The answer where workflows are concerned; None: moto's is right."""
        around = self._around.get(operation)
        if around is None:
            return None
        try:
            params = json.loads(request.body)
        except ValueError:
            return None
        return around(params, ask) if isinstance(params, dict) and self._concerns(params) else None

    def _concerns(self, params: Mapping[str, Any]) -> bool:
        if any(_workflow(target) for target in _dicts(params.get("Targets"))) or _workflow(
            {"Arn": params.get("TargetArn")}
        ):
            return True
        return self.endpoint.store.one("SELECT 1 FROM events_glue_targets") is not None

    def _put(self, params: dict[str, Any], ask: Ask) -> Reply:
        targets = _dicts(params.get("Targets"))
        ours = [target for target in targets if _workflow(target)]
        others = [target for target in targets if not _workflow(target)]
        bus, rule = _place(params)
        described = ask("DescribeRule", {"Name": rule, "EventBusName": bus})
        if described.status >= 300:
            return described
        if ours:
            pattern = json.loads(described.body).get("EventPattern")
            if not pattern:
                raise unsupported("events", "PutTargets of a Glue workflow", "The rule has no event pattern.")
            _check(ours, pattern)
        empty = _reply({"FailedEntryCount": 0, "FailedEntries": []})
        reply = ask("PutTargets", {**params, "Targets": others}) if others else empty
        if reply.status < 300:
            rows = [(bus, rule, str(one.get("Id")), one["Arn"], json.dumps(one)) for one in ours]
            with self.endpoint.store.write() as db:
                db.executemany("INSERT OR REPLACE INTO events_glue_targets VALUES (?, ?, ?, ?, ?)", rows)
        return reply

    def _remove(self, params: dict[str, Any], ask: Ask) -> Reply:
        at, ids = _place(params), params.get("Ids")
        if not isinstance(ids, list):
            return ask("RemoveTargets", params)
        ours = {row["id"] for row in self._targets(*at)} & set(map(str, ids))
        with self.endpoint.store.write() as db:
            sql = "DELETE FROM events_glue_targets WHERE bus = ? AND rule = ? AND id = ?"
            db.executemany(sql, [(*at, one) for one in ours])
        left = [one for one in ids if str(one) not in ours]
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
        if not _workflow({"Arn": params.get("TargetArn")}):
            return ask("ListRuleNamesByTarget", params)
        sql = "SELECT DISTINCT rule FROM events_glue_targets WHERE bus = ? AND arn = ? ORDER BY rule"
        rows = self.endpoint.store.read(sql, (_place(params)[0], str(params["TargetArn"])))
        return _reply({"RuleNames": [row["rule"] for row in rows]})

    def _delete_rule(self, params: dict[str, Any], ask: Ask) -> Reply:
        if self._targets(_place(params)[0], str(params.get("Name"))):
            raise AwsError("ValidationException", "Rule can't be deleted since it has targets.")
        return ask("DeleteRule", params)

    def _targets(self, bus: str, rule: str) -> list[Any]:
        sql = "SELECT * FROM events_glue_targets WHERE bus = ? AND rule = ? ORDER BY id"
        return self.endpoint.store.read(sql, (bus, rule))

    def _events(self, params: dict[str, Any], ask: Ask) -> Reply:
        reply = ask("PutEvents", params)
        if reply.status < 300:
            entries = zip(_dicts(params.get("Entries")), json.loads(reply.body).get("Entries", []), strict=False)
            for entry, result in entries:
                if "EventId" in result:  # moto has read the entry: its Detail is JSON
                    self._deliver(entry, result["EventId"], ask)
        return reply

    def _deliver(self, entry: Mapping[str, Any], event_id: str, ask: Ask) -> None:
        """Give an event to the workflows whose rules it matches."""
        event = {
            "version": "0", "id": event_id, "detail-type": entry.get("DetailType"), "source": entry.get("Source"),
            "account": self.endpoint.account, "region": self.endpoint.region, "resources": entry.get("Resources", []),
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "detail": json.loads(entry["Detail"]),
        }  # fmt: skip
        bus = _place(entry)[0]
        for row in self.endpoint.store.read("SELECT * FROM events_glue_targets WHERE bus = ?", (bus,)):
            described = ask("DescribeRule", {"Name": row["rule"], "EventBusName": bus})
            rule = json.loads(described.body) if described.status < 300 else {}
            pattern = json.loads(rule.get("EventPattern") or "null")
            if rule.get("State") == "ENABLED" and pattern and accepts(pattern, "MessageBody", {}, json.dumps(event)):
                glue: Any = self.endpoint.services["glue"]
                glue.parts["workflows"].firing.receive(row["arn"].rpartition("workflow/")[2], event_id)


def _check(targets: list[dict[str, Any]], pattern: str) -> None:
    if not all(isinstance(one.get("Id"), str) and one["Id"] for one in targets):
        raise AwsError("ValidationException", "Each target needs an Id.")
    try:
        check_policy(pattern)
    except AwsError as error:
        raise unsupported("events", "PutTargets of a Glue workflow", f"Its rule's pattern: {error.message}") from None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _workflow(target: Mapping[str, Any]) -> bool:
    arn = str(target.get("Arn") or "")
    return arn.startswith("arn:") and ":glue:" in arn and ":workflow/" in arn


def _place(params: Mapping[str, Any]) -> tuple[str, str]:
    """The event bus (by name or ARN) and the rule that an operation names."""
    return str(params.get("EventBusName") or "default").rpartition("/")[2], str(params.get("Rule"))


def _reply(document: dict[str, Any]) -> Reply:
    return Reply(200, [("content-type", "application/x-amz-json-1.1")], json.dumps(document).encode())
