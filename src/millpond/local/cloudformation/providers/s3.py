"""S3: buckets, with one call for each configuration that a template may give, and bucket policies.

A property of AWS::S3::Bucket that is not in `PARTS` is refused by name: a bucket never looks configured when it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from millpond.local.cloudformation.providers.provider import (
    Properties,
    Provider,
    ProviderError,
    Task,
    call,
    document,
    tag_list,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One configuration of a bucket: how it is put, how it is taken away."""

    put: str
    member: str
    convert: Callable[[Any], Any] = lambda value: value
    delete: str = ""
    empty: Any = None  # what to put to take it away, when there is no delete operation


def _encryption(value: Any) -> Any:
    rules = [_renamed(rule, {"ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault"})
             for rule in value.get("ServerSideEncryptionConfiguration", [])]  # fmt: skip
    return {"Rules": rules}


def _renamed(value: Properties, names: dict[str, str]) -> Properties:
    return {names.get(key, key): item for key, item in value.items()}


def _cors(value: Any) -> Any:
    names = {"Id": "ID", "MaxAge": "MaxAgeSeconds", "ExposedHeaders": "ExposeHeaders"}
    return {"CORSRules": [_renamed(rule, names) for rule in value.get("CorsRules", [])]}


_TARGETS = {
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
}


def _notifications(value: Any) -> Any:
    result: Properties = {}
    for name, item in value.items():
        if name == "EventBridgeConfiguration":
            if str(item.get("EventBridgeEnabled", "true")).lower() == "true":
                result["EventBridgeConfiguration"] = {}
            continue
        if name not in _TARGETS:
            raise ProviderError(f"NotificationConfiguration.{name} is not carried by Millpond")
        member, target, arn = _TARGETS[name]
        result[member] = [_notification(entry, target, arn) for entry in item]
    return result


def _notification(entry: Properties, target: str, arn: str) -> Properties:
    made: Properties = {arn: entry[target], "Events": [entry["Event"]]}
    if "Filter" in entry:
        rules = entry["Filter"].get("S3Key", {}).get("Rules", [])
        made["Filter"] = {"Key": {"FilterRules": rules}}
    return made


def _lifecycle(value: Any) -> Any:
    return {"Rules": [_lifecycle_rule(dict(rule)) for rule in value.get("Rules", [])]}


def _lifecycle_rule(rule: Properties) -> Properties:
    made = _renamed(rule, {"Id": "ID"})
    prefix = made.pop("Prefix", None)
    conditions: Properties = {} if prefix is None else {"Prefix": prefix}
    tags = made.pop("TagFilters", [])
    for name in ("ObjectSizeGreaterThan", "ObjectSizeLessThan"):
        if name in made:
            conditions[name] = made.pop(name)
    if len(conditions) + len(tags) > 1:
        made["Filter"] = {"And": {**conditions, **({"Tags": tags} if tags else {})}}
    else:
        made["Filter"] = {"Tag": tags[0]} if tags else conditions or {"Prefix": ""}
    expiration = {api: made.pop(name) for name, api in _EXPIRATION if name in made}
    if expiration:
        made["Expiration"] = expiration
    days = made.pop("NoncurrentVersionExpirationInDays", None)
    if days is not None:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    for one, many in (("Transition", "Transitions"), ("NoncurrentVersionTransition", "NoncurrentVersionTransitions")):
        if one in made:
            made[many] = [made.pop(one)]
    made["Transitions"] = [_renamed(item, {"TransitionInDays": "Days", "TransitionDate": "Date"})
                           for item in made.get("Transitions", [])]  # fmt: skip
    made["NoncurrentVersionTransitions"] = [
        _renamed(item, {"TransitionInDays": "NoncurrentDays"}) for item in made.get("NoncurrentVersionTransitions", [])
    ]
    return {key: item for key, item in made.items() if item != []}


_EXPIRATION = (
    ("ExpirationInDays", "Days"),
    ("ExpirationDate", "Date"),
    ("ExpiredObjectDeleteMarker", "ExpiredObjectDeleteMarker"),
)

PARTS: dict[str, Part] = {
    "VersioningConfiguration": Part(
        "put_bucket_versioning", "VersioningConfiguration", empty={"Status": "Suspended"}
    ),
    "BucketEncryption": Part(
        "put_bucket_encryption", "ServerSideEncryptionConfiguration", _encryption, "delete_bucket_encryption"
    ),
    "PublicAccessBlockConfiguration": Part(
        "put_public_access_block", "PublicAccessBlockConfiguration", delete="delete_public_access_block"
    ),
    "LifecycleConfiguration": Part(
        "put_bucket_lifecycle_configuration", "LifecycleConfiguration", _lifecycle, "delete_bucket_lifecycle"
    ),
    "CorsConfiguration": Part("put_bucket_cors", "CORSConfiguration", _cors, "delete_bucket_cors"),
    "OwnershipControls": Part(
        "put_bucket_ownership_controls", "OwnershipControls", delete="delete_bucket_ownership_controls"
    ),
    "NotificationConfiguration": Part(
        "put_bucket_notification_configuration", "NotificationConfiguration", _notifications, empty={}
    ),
    "Tags": Part(
        "put_bucket_tagging", "Tagging", lambda value: {"TagSet": tag_list(value)}, "delete_bucket_tagging"
    ),
}  # fmt: skip


def _refuse_unknown(task: Task) -> None:
    unknown = sorted(task.properties.keys() - PARTS.keys() - {"BucketName"})
    if unknown:
        raise ProviderError(f"Millpond does not carry {', '.join(unknown)} of AWS::S3::Bucket yet")


def _configure(task: Task) -> None:
    for name, part in PARTS.items():
        wanted, had = task.properties.get(name), task.old.get(name)
        if wanted == had:
            continue
        bucket = {"Bucket": task.physical_id or task.name}
        if wanted is not None:
            call(task, "s3", part.put, {**bucket, part.member: part.convert(wanted)})
        elif part.delete:
            call(task, "s3", part.delete, bucket)
        else:
            call(task, "s3", part.put, {**bucket, part.member: part.empty})


def create_bucket(task: Task) -> str:
    _refuse_unknown(task)
    params: Properties = {"Bucket": task.name}
    if task.region != "us-east-1":
        params["CreateBucketConfiguration"] = {"LocationConstraint": task.region}
    call(task, "s3", "create_bucket", params)
    task.report(task.name)
    _configure(task)
    return task.name


def update_bucket(task: Task) -> None:
    _refuse_unknown(task)
    _configure(task)


def delete_bucket(task: Task) -> None:
    call(task, "s3", "delete_bucket", {"Bucket": task.physical_id})


def read_bucket(task: Task) -> dict[str, Any]:
    bucket = task.physical_id
    call(task, "s3", "head_bucket", {"Bucket": bucket})
    return {
        "Arn": f"arn:aws:s3:::{bucket}",
        "DomainName": f"{bucket}.s3.amazonaws.com",
        "DualStackDomainName": f"{bucket}.s3.dualstack.{task.region}.amazonaws.com",
        "RegionalDomainName": f"{bucket}.s3.{task.region}.amazonaws.com",
        "WebsiteURL": f"http://{bucket}.s3-website-{task.region}.amazonaws.com",
    }


def put_policy(task: Task) -> None:
    policy = document(task.properties["PolicyDocument"])
    call(task, "s3", "put_bucket_policy", {"Bucket": task.properties["Bucket"], "Policy": policy})


def create_policy(task: Task) -> str:
    put_policy(task)
    return str(task.properties["Bucket"])


def delete_policy(task: Task) -> None:
    call(task, "s3", "delete_bucket_policy", {"Bucket": task.physical_id})


def read_policy(task: Task) -> dict[str, Any]:
    call(task, "s3", "get_bucket_policy", {"Bucket": task.physical_id})
    return {}


PROVIDERS = (
    Provider(type="AWS::S3::Bucket", service="s3", name="BucketName", name_limit=63, lower=True,
             create=create_bucket, update=update_bucket, delete=delete_bucket, read=read_bucket),
    Provider(type="AWS::S3::BucketPolicy", service="s3", predict=lambda task: str(task.properties["Bucket"]),
             create=create_policy, update=put_policy, delete=delete_policy, read=read_policy),
)  # fmt: skip
