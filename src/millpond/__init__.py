"""Millpond: a data lake on your laptop.

What a `pipeline.py` imports. Importing it reaches nothing: no network, no files; the modules load when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from millpond import asl
    from millpond.resources import Parameter, asset, athena, blocks, glue, lambda_, s3, sagemaker, secrets, sns, states

__all__ = [
    "Parameter",
    "asl",
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'millpond' has no attribute {name!r}")
    if name == "asl":
        return importlib.import_module("millpond.asl")
    return getattr(importlib.import_module("millpond.resources"), name)
