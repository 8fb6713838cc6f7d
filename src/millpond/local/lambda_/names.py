"""The ways to name a function: name, partial ARN, ARN, each with or without a qualifier."""

from __future__ import annotations

import re
from dataclasses import dataclass

from millpond.local.service import AwsError

LATEST = "$LATEST"
_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_FULL = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:)?(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):)?(?:(?P<account>\d{12}):)?"
    r"(?:function:)?(?P<name>[a-zA-Z0-9-_]{1,64})(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]{1,128}))?"
)
LAYER = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[^:]+:\d{12}:layer:)?(?P<name>[a-zA-Z0-9-_]{1,140})(?::(?P<version>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    qualifier: str | None = None

    @property
    def version(self) -> str:
        """The qualifier, or $LATEST."""
        return self.qualifier or LATEST


def parse(text: str, qualifier: str | None = None) -> Name:
    """Read `FunctionName`, with the separate `Qualifier` member when there is one. Raises ValidationException."""
    found = _FULL.fullmatch(text)
    if found is None:
        raise AwsError(
            "ValidationException",
            f"1 validation error detected: Value '{text[:200]}' at 'functionName' failed to satisfy constraint: Member"
            " must be the name, the partial ARN or the ARN of a function",
        )
    own = found["qualifier"]
    if own and qualifier and own != qualifier:
        raise AwsError(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
        )
    return Name(found["name"], qualifier or own)


def valid(name: str) -> bool:
    return _NAME.fullmatch(name) is not None
