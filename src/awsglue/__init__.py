"""Glue's job library: GlueContext, DynamicFrame, Job, transforms, getResolvedOptions, on Spark's DataFrame API.

Written from AWS's public documentation; no code of Amazon's library is in it. It needs pyspark and boto3, and nothing
of millpond. What is not carried raises NotImplementedError and says what.

A DynamicFrame is a DataFrame in which a field may have several types (a choice, see dynamicframe.py).
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame

__all__ = ["DynamicFrame"]


class _Studio(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `gs_derived` and its like (_studio.py), after everything else."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith("gs_") or importlib.util.find_spec("pyspark") is None:
            return None
        studio = importlib.import_module("awsglue._studio")
        known = (*studio.TRANSFORMS, *studio.NOT_CARRIED, studio.COMMON)
        return importlib.util.spec_from_loader(fullname, self) if fullname in known else None

    def exec_module(self, module: ModuleType) -> None:
        importlib.import_module("awsglue._studio").attach(module.__name__)


if not any(type(one).__name__ == _Studio.__name__ for one in sys.meta_path):
    sys.meta_path.append(_Studio())


def __getattr__(name: str) -> Any:
    """`from awsglue import DynamicFrame`; only then is pyspark needed, which Python shell jobs do not have."""
    if name == "DynamicFrame":
        from awsglue.dynamicframe import DynamicFrame

        return DynamicFrame
    raise AttributeError(f"module 'awsglue' has no attribute {name!r}")
