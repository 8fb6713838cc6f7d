"""Glue's job library: GlueContext, DynamicFrame, Job, transforms, getResolvedOptions, on Spark's DataFrame API.

Written from AWS's public documentation; no code of Amazon's library is in it. It needs pyspark and boto3, and nothing
of millpond. What is not carried raises NotImplementedError and says what.

A DynamicFrame is a DataFrame in which a field may have several types (a choice, see dynamicframe.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame

__all__ = ["DynamicFrame"]


def __getattr__(name: str) -> Any:
    """`from awsglue import DynamicFrame`; only then is pyspark needed, which Python shell jobs do not have."""
    if name == "DynamicFrame":
        from awsglue.dynamicframe import DynamicFrame

        return DynamicFrame
    raise AttributeError(f"module 'awsglue' has no attribute {name!r}")
