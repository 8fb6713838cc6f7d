"""Amazon SNS: topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Topic(Resource):
    """A topic; `emails` are subscribed to it. Its `ref` is its ARN."""

    type: ClassVar[str] = "AWS::SNS::Topic"
    emails: tuple[str, ...] = ()

    @property
    def arn(self) -> str:
        return self.ref
