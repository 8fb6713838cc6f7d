"""What all declared resources share: a name, a logical id, and how to point at them.

A reference is a token in a string, in CloudFormation's own notation: `${JoinJob}` (Ref) or `${AlertsTopic.Arn}`
(GetAtt). It may stand in any string of the project, also inside a flow and inside longer text; the stack puts the real
name there. `${asset:jobs/join.py}` is the s3:// address of a file of the project.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

TOKEN = re.compile(r"\$\{(?!!)(asset:[^}]+|[A-Za-z0-9:]+(?:\.[A-Za-z0-9.]+)?)\}")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A declared resource. `name` is unique among the resources of one type in a project."""

    name: str
    type: ClassVar[str] = ""

    @property
    def logical_id(self) -> str:
        """The CloudFormation logical id: `ingest-orders` of a Job becomes `IngestOrdersJob`."""
        words = re.split(r"[^A-Za-z0-9]+", self.name)
        return "".join(word[:1].upper() + word[1:] for word in words) + type(self).__name__

    @property
    def ref(self) -> str:
        """A token for the resource's physical name (for a topic: its ARN)."""
        return f"${{{self.logical_id}}}"

    def __str__(self) -> str:
        return self.ref

    def attribute(self, name: str) -> str:
        """A token for an attribute: `topic.attribute("TopicName")`."""
        return f"${{{self.logical_id}.{name}}}"

    @property
    def arn(self) -> str:
        """A token for the resource's ARN."""
        return self.attribute("Arn")

    @property
    def physical_name(self) -> str:
        """The name in the account: the stack's name in front, so that copies of a stack live side by side."""
        return f"${{AWS::StackName}}-{self.name}"


@dataclass(frozen=True, kw_only=True)
class Parameter(Resource):
    """A value given at deploy time: a template parameter. `secret` ones are never shown (NoEcho)."""

    type: ClassVar[str] = "Parameter"
    description: str = ""
    default: str | None = None
    secret: bool = False

    @property
    def logical_id(self) -> str:
        return self.name


def asset(path: str) -> str:
    """A token for the s3:// address of a file of the project, given by its path from the project's folder."""
    return f"${{asset:{path}}}"
