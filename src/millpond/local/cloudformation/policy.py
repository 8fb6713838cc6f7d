"""Stack policies: which updates of which resources a stack allows (AWS docs: prevent updates to stack resources)."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Mapping
from typing import Any

from millpond.local.cloudformation.plan import Change
from millpond.local.cloudformation.records import Stack
from millpond.local.service import AwsError

Params = dict[str, Any]


def policy_body(params: Params) -> str:
    if params.get("StackPolicyURL"):
        raise AwsError("ValidationError", "Millpond takes StackPolicyBody, not StackPolicyURL.")
    body = str(params.get("StackPolicyBody") or "")
    if body:
        _statements(body)
    return body


def _statements(body: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)["Statement"]
        statements = found if isinstance(found, list) else [found]
        if not all(isinstance(item, dict) and item.get("Effect") in ("Allow", "Deny") for item in statements):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise AwsError("ValidationError", "Error validating stack policy: Invalid stack policy") from None
    if any("Condition" in item or "NotAction" in item for item in statements):
        raise AwsError("ValidationError", "Millpond does not carry Condition and NotAction of a stack policy yet.")
    return statements


def check_policy(stack: Stack, changes: Iterable[Change]) -> None:
    """Refuse an update that the stack's policy denies. What no statement allows is denied."""
    if not stack.policy:
        return
    statements = _statements(stack.policy)
    for change in changes:
        action = _policy_action(change.action, change.replacement)
        if action and not _allowed(statements, action, change.logical_id):
            raise AwsError("ValidationError", f"Action denied by stack policy: Statement does not allow {action} on "
                           f"LogicalResourceId/{change.logical_id}")  # fmt: skip


def _policy_action(action: str, replacement: str) -> str:
    if action == "Modify":
        return "Update:Modify" if replacement == "False" else "Update:Replace"
    return {"Remove": "Update:Delete"}.get(action, "")


def _allowed(statements: Iterable[Mapping[str, Any]], action: str, logical_id: str) -> bool:
    allowed = False
    for item in statements:
        if not _matches(item.get("Action"), action):
            continue
        resource = f"LogicalResourceId/{logical_id}"
        about = not _matches(item["NotResource"], resource) if "NotResource" in item else _matches(
            item.get("Resource"), resource)  # fmt: skip
        if about and item["Effect"] == "Deny":
            return False
        allowed = allowed or about
    return allowed


def _matches(patterns: Any, value: str) -> bool:
    listed = patterns if isinstance(patterns, list) else [patterns]
    return any(isinstance(item, str) and fnmatch.fnmatchcase(value, item) for item in listed)
