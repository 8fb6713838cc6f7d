"""What a `pipeline.py` declares: frozen dataclasses, one module a service. Declaring reaches nothing and reads nothing.

May import: errors, asl, flow.
"""

from millpond.resources import athena, blocks, glue, lambda_, s3, sagemaker, secrets, sns, states
from millpond.resources.resource import Parameter, Resource, asset

__all__ = [
    "Parameter",
    "Resource",
    "asset",
    "athena",
    "blocks",
    "glue",
    "lambda_",
    "s3",
    "sagemaker",
    "secrets",
    "sns",
    "states",
]
