"""Data quality rulesets: kept, listed and changed as AWS does. Jobs evaluate rules themselves (EvaluateDataQuality).

A ruleset's frame is checked (`Rules = [ ... ]`, texts and brackets closed) and its rules are counted; what a rule says
is checked by what runs it. Limits: evaluation and recommendation runs over tables are refused.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from millpond.local.glue.catalog import limit
from millpond.local.glue.records import after, decode, encode, token
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.service import AwsError, Call, Endpoint, Operation

PAGE = 100
MOST = 2000  # rulesets in an account (AWS docs, "AWS Glue endpoints and quotas")
TOKENS = re.compile(r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>[\[\](){},=])|(?P<word>[^\s"\[\](){},=#]+)""")
CLOSING = {"]": "[", ")": "(", "}": "{"}


class Rulesets:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_rulesets (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.tagged = {"dataQualityRuleset": lambda name: self._find(name) is not None}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateDataQualityRuleset": self.create,
            "GetDataQualityRuleset": self.get,
            "ListDataQualityRulesets": self.list,
            "UpdateDataQualityRuleset": self.update,
            "DeleteDataQualityRuleset": self.delete,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def _find(self, name: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one("SELECT body FROM glue_rulesets WHERE name = ?", (name,))
        return decode(row["body"]) if row else None

    def _ruleset(self, name: str) -> dict[str, Any]:
        if (found := self._find(name)) is None:
            raise AwsError("EntityNotFoundException", f"Ruleset {name} not found.")
        return found

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, now = params["Name"], self.endpoint.clock.now()
        count_rules(params["Ruleset"])
        members = ("Description", "Ruleset", "TargetTable", "DataQualitySecurityConfiguration", "ClientToken")
        body = {member: params[member] for member in members if member in params}
        body |= {"Name": name, "CreatedOn": now, "LastModifiedOn": now}
        with self.endpoint.store.write() as db:
            before = self._find(name)
            if before and params.get("ClientToken") and before.get("ClientToken") == params["ClientToken"]:
                return {"Name": name}  # the same request again
            limit(db, "SELECT count(*) FROM glue_rulesets", (), MOST, "rulesets")
            try:
                db.execute("INSERT INTO glue_rulesets VALUES (?, ?)", (name, encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Another ruleset with the name {name} exists.") from None
            write_tags(db, self.endpoint.arn("glue", f"dataQualityRuleset/{name}"), params.get("Tags"))
        return {"Name": name}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._ruleset(params["Name"])

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read("SELECT body FROM glue_rulesets WHERE name > ? ORDER BY name", (last,))
        found = [one for row in rows if self._wanted(one := decode(row["body"]), params)]
        more = {"NextToken": token(found[size - 1]["Name"])} if len(found) > size else {}
        return {"Rulesets": [one | {"RuleCount": count_rules(one["Ruleset"])} for one in found[:size]]} | more

    def _wanted(self, one: dict[str, Any], params: dict[str, Any]) -> bool:
        chosen = params.get("Filter") or {}
        if any(one.get(member) != chosen[member] for member in ("Name", "Description") if member in chosen):
            return False
        target = one.get("TargetTable") or {}
        if any(target.get(member) != value for member, value in (chosen.get("TargetTable") or {}).items()):
            return False
        for member, time in (("Created", one["CreatedOn"]), ("LastModified", one["LastModifiedOn"])):
            early, late = chosen.get(f"{member}After"), chosen.get(f"{member}Before")
            if (early and time < early.timestamp()) or (late and time > late.timestamp()):
                return False
        return self._has_tags(one["Name"], params.get("Tags") or {})

    def _has_tags(self, name: str, wanted: dict[str, str]) -> bool:
        arn = self.endpoint.arn("glue", f"dataQualityRuleset/{name}")
        rows = self.endpoint.store.read("SELECT key, value FROM glue_tags WHERE arn = ?", (arn,)) if wanted else []
        return wanted.items() <= {row["key"]: row["value"] for row in rows}.items()

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        if "Ruleset" in params:
            count_rules(params["Ruleset"])
        with self.endpoint.store.write() as db:
            given = {member: params[member] for member in ("Description", "Ruleset") if member in params}
            body = self._ruleset(params["Name"]) | given | {"LastModifiedOn": self.endpoint.clock.now()}
            db.execute("UPDATE glue_rulesets SET body = ? WHERE name = ?", (encode(body), params["Name"]))
        return body

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        with self.endpoint.store.write() as db:
            self._ruleset(name)
            db.execute("DELETE FROM glue_rulesets WHERE name = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"dataQualityRuleset/{name}"))
        return {}


def count_rules(text: str) -> int:
    """How many rules a ruleset has; InvalidInputException where its frame is broken."""
    tokens, open_signs, rules, inside, fresh = list(_tokens(text)), list[str](), 0, False, True
    for at, token_ in enumerate(tokens):
        if token_ in CLOSING:
            if not open_signs or open_signs.pop() != CLOSING[token_]:
                raise _broken(f"'{token_}' closes nothing")
            inside = inside and bool(open_signs)
        elif inside and open_signs == ["["]:
            rules, fresh = rules + (fresh and token_ != ","), token_ == ","
        if token_ in CLOSING.values():
            open_signs.append(token_)
            if open_signs == ["["] and [word.lower() for word in tokens[max(at - 2, 0) : at]] == ["rules", "="]:
                inside, fresh = True, True
    if open_signs:
        raise _broken(f"'{open_signs[-1]}' is not closed")
    if not rules:
        raise _broken("there is no rule in Rules = [ ... ]")
    return rules


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = TOKENS.match(text, at)
        if found is None:
            raise _broken("a text is not closed")
        if found.lastgroup:
            yield found[0]
        at = found.end()


def _broken(why: str) -> AwsError:
    return AwsError("InvalidInputException", f"Invalid DQDL: {why}.")
