"""AWS Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Secret(Resource):
    """A secret whose text is `value`, usually a secret Parameter's `ref`."""

    type: ClassVar[str] = "AWS::SecretsManager::Secret"
    value: str
    description: str = ""
