"""Amazon SageMaker: what a processing job needs. The job itself is a step of a flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class ProcessingRole(Resource):
    """The role that processing jobs run as: reads and writes the project's buckets and its assets."""

    type: ClassVar[str] = "AWS::IAM::Role"
