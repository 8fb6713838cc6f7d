"""Buckets of our own in an account: for assets, for results of ad-hoc queries."""

from __future__ import annotations

from typing import Any, Protocol


class Cloud(Protocol):
    """As much of a Target as is needed here."""

    @property
    def region(self) -> str: ...

    def client(self, service: str) -> Any: ...


def ensure(target: Cloud, purpose: str) -> str:
    """The bucket `millpond-<purpose>-<account>-<region>`, made when absent. Returns its name."""
    account = target.client("sts").get_caller_identity()["Account"]
    bucket = f"millpond-{purpose}-{account}-{target.region}"
    s3 = target.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        where = {} if target.region == "us-east-1" else {"LocationConstraint": target.region}
        s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))
    return bucket
