"""Amazon Athena: work groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class WorkGroup(Resource):
    """A work group whose query results go to `results`, an s3:// address."""

    type: ClassVar[str] = "AWS::Athena::WorkGroup"
    results: str
