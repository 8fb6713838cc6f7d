"""Plan a deployment: what would change, asked from CloudFormation itself by a change set.

Uploads what a change set needs to be made (the template and the assets) and changes nothing else.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from millpond.aws import buckets
from millpond.aws.buckets import Cloud
from millpond.errors import CloudError
from millpond.stack import Bundle
from millpond.stack.template import ASSETS_BUCKET

UNCHANGED = ("didn't contain changes", "No updates are to be performed")
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Change:
    """One line of a plan. `action` is Add, Modify or Remove; `replacement` True, False or Conditional."""

    action: str
    logical_id: str
    type: str
    replacement: str = ""


@dataclass(frozen=True)
class Plan:
    """A change set that waits to be executed; `changes` is empty and `change_set` None when nothing would change."""

    stack: str
    change_set: str | None
    creates: bool
    changes: tuple[Change, ...] = ()


def plan(target: Cloud, bundle: Bundle, parameters: Mapping[str, str]) -> Plan:
    """Upload the assets, make the change set, read it. Raises CloudError with CloudFormation's reason."""
    bucket = buckets.ensure(target, "assets")
    _upload(target, bucket, bundle)
    cloudformation = target.client("cloudformation")
    creates = not _exists(cloudformation, bundle.name)
    name = f"millpond-{int(time.time() * 1000)}"
    made = cloudformation.create_change_set(
        StackName=bundle.name,
        ChangeSetName=name,
        ChangeSetType="CREATE" if creates else "UPDATE",
        TemplateURL=_template_url(target, bucket, bundle),
        Parameters=_parameters(bundle, {ASSETS_BUCKET: bucket, **parameters}, known=not creates),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    found = _wait(cloudformation, made["Id"])
    if found["Status"] == "FAILED":
        reason = found.get("StatusReason", "")
        cloudformation.delete_change_set(ChangeSetName=made["Id"])
        if any(text in reason for text in UNCHANGED):
            return Plan(bundle.name, None, creates)
        raise CloudError("ChangeSetFailed", reason or "the change set failed without a reason")
    return Plan(bundle.name, made["Id"], creates, _changes(cloudformation, made["Id"]))


def _upload(target: Cloud, bucket: str, bundle: Bundle) -> None:
    s3 = target.client("s3")
    for asset in bundle.assets:
        if not _has(s3, bucket, asset.key, len(asset.content)):
            s3.put_object(Bucket=bucket, Key=asset.key, Body=asset.content)


def _has(s3: Any, bucket: str, key: str, size: int) -> bool:
    try:
        return bool(s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == size)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey"):
            raise
        return False


def _template_url(target: Cloud, bucket: str, bundle: Bundle) -> str:
    """Templates over 51,200 bytes must lie in S3: all do."""
    body = bundle.body.encode()
    key = f"templates/{bundle.name}/{hashlib.sha256(body).hexdigest()[:16]}.json"
    s3 = target.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    endpoint = s3.meta.endpoint_url.rstrip("/")
    if "amazonaws.com" in endpoint:
        return f"https://{bucket}.s3.{target.region}.amazonaws.com/{key}"
    return f"{endpoint}/{bucket}/{key}"


def _exists(cloudformation: Any, stack: str) -> bool:
    """Whether the stack is there to be updated. One that rolled back at its creation is deleted first, as AWS asks."""
    try:
        status = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return False
        raise
    if status in ("ROLLBACK_COMPLETE", "DELETE_COMPLETE"):
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
        return False
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise CloudError("StackBusy", f"stack {stack} is in {status} state", help="wait for the other deployment")
    return bool(status != "REVIEW_IN_PROGRESS")


def _parameters(bundle: Bundle, given: Mapping[str, str], *, known: bool) -> list[dict[str, Any]]:
    declared = bundle.template["Parameters"]
    missing = [n for n, parameter in declared.items() if n not in given and "Default" not in parameter]
    if missing and not known:
        raise CloudError(
            "MissingParameters",
            f"the stack needs a value for {', '.join(missing)}",
            help=f"millpond deploy --parameter {missing[0]}=...",
        )
    values: list[dict[str, Any]] = [{"ParameterKey": n, "ParameterValue": v} for n, v in given.items() if n in declared]
    return values + [{"ParameterKey": n, "UsePreviousValue": True} for n in missing]


def _wait(cloudformation: Any, change_set: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = cloudformation.describe_change_set(ChangeSetName=change_set)
        if found["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return found
        time.sleep(POLL_SECONDS)


def _changes(cloudformation: Any, change_set: str) -> tuple[Change, ...]:
    changes: list[Change] = []
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_change_set(ChangeSetName=change_set, **token)
        for entry in page.get("Changes", []):
            change = entry["ResourceChange"]
            changes.append(
                Change(
                    change["Action"], change["LogicalResourceId"], change["ResourceType"], change.get("Replacement", "")
                )
            )
        if not page.get("NextToken"):
            return tuple(changes)
        token = {"NextToken": page["NextToken"]}
