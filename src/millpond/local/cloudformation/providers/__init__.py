"""Every resource type that a stack may hold, as one table: `PROVIDERS`.

To carry a new type: write its functions in the file of its service (provider.py tells what they are), add a row, then
run `python -m millpond.local.cloudformation.schemas.vendor` for its public schema.
"""

from __future__ import annotations

from millpond.local.cloudformation.providers import (
    athena,
    glue,
    glue_schemas,
    iam,
    lambda_,
    messaging,
    operations,
    s3,
    stacks,
    states,
)
from millpond.local.cloudformation.providers.provider import Provider

PROVIDERS: dict[str, Provider] = {
    provider.type: provider
    for room in (athena, glue, glue_schemas, iam, lambda_, messaging, operations, s3, stacks, states)
    for provider in room.PROVIDERS
}


def provider_of(kind: str) -> Provider | None:
    """The provider of a type; every `Custom::*` is the custom resource."""
    if kind.startswith("Custom::"):
        return PROVIDERS["AWS::CloudFormation::CustomResource"]
    return PROVIDERS.get(kind)
