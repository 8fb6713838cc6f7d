"""Amazon S3: buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Bucket(Resource):
    """A bucket; its name on AWS is `<stack>-<name>-<account>`, because bucket names are global."""

    type: ClassVar[str] = "AWS::S3::Bucket"

    @property
    def physical_name(self) -> str:
        return f"${{AWS::StackName}}-{self.name}-${{AWS::AccountId}}"

    def url(self, key: str = "") -> str:
        """`s3://<bucket>/<key>`, as a token."""
        return f"s3://{self.ref}/{key}"
