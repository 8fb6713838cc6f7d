"""Which room answers for which service: the endpoint's table of contents.

A row is botocore's service name and the class that carries it. What has no row here belongs to moto entirely
(moto_bridge.py); what has a row belongs to that class, and only the operations in its `moto` set fall through.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

# The order is the order of start(): who is called at recovery comes before who calls.
ROOMS: dict[str, str] = {
    "logs": "millpond.local.logs:Logs",
    "secretsmanager": "millpond.local.secrets:Secrets",
    "s3": "millpond.local.s3:S3",
    "sns": "millpond.local.sns:Sns",
    "glue": "millpond.local.glue:Glue",
    "athena": "millpond.local.athena:Athena",
    "lambda": "millpond.local.lambda_:Lambda",
    "sagemaker": "millpond.local.sagemaker:SageMaker",
    "stepfunctions": "millpond.local.states:States",
    "scheduler": "millpond.local.scheduler:Scheduler",
    "cloudformation": "millpond.local.cloudformation:CloudFormation",
}


def build(endpoint: Endpoint) -> Iterator[tuple[str, Any]]:
    """Construct each room, in order."""
    for service, place in ROOMS.items():
        module, _, name = place.partition(":")
        yield service, getattr(importlib.import_module(module), name)(endpoint)
