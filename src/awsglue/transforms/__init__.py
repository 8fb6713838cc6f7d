"""Glue's transforms: a class each, used as `Name.apply(frame=..., ...)` or `Name()(frame, ...)`.

The trained ones (awsglueml) are here too: they raise NotImplementedError.
"""

import importlib
from typing import TYPE_CHECKING, Any

from awsglue.transforms.apply_mapping import ApplyMapping
from awsglue.transforms.coalesce import Coalesce
from awsglue.transforms.collection_transforms import FlatMap, MapToCollection, SelectFromCollection
from awsglue.transforms.drop_nulls import DropNullFields
from awsglue.transforms.dynamicframe_filter import Filter
from awsglue.transforms.dynamicframe_map import Map
from awsglue.transforms.errors_as_dynamicframe import ErrorsAsDynamicFrame
from awsglue.transforms.field_transforms import (
    DropFields,
    Join,
    RenameField,
    SelectFields,
    Spigot,
    SplitFields,
    SplitRows,
)
from awsglue.transforms.relationalize import Relationalize
from awsglue.transforms.repartition import Repartition
from awsglue.transforms.resolve_choice import ResolveChoice
from awsglue.transforms.transform import GlueTransform
from awsglue.transforms.unbox import Unbox
from awsglue.transforms.union import Union
from awsglue.transforms.unnest_frame import SimplifyDDBJson, UnnestFrame

if TYPE_CHECKING:
    from awsglueml.transforms import FillMissingValues, FindIncrementalMatches, FindMatches

__all__ = [
    "ApplyMapping",
    "Coalesce",
    "DropFields",
    "DropNullFields",
    "ErrorsAsDynamicFrame",
    "FillMissingValues",
    "Filter",
    "FindIncrementalMatches",
    "FindMatches",
    "FlatMap",
    "GlueTransform",
    "Join",
    "Map",
    "MapToCollection",
    "Relationalize",
    "RenameField",
    "Repartition",
    "ResolveChoice",
    "SelectFields",
    "SelectFromCollection",
    "SimplifyDDBJson",
    "Spigot",
    "SplitFields",
    "SplitRows",
    "Unbox",
    "Union",
    "UnnestFrame",
]

ALL_TRANSFORMS: set[type[GlueTransform]] = set(GlueTransform.__subclasses__())  # those of this package


def __getattr__(name: str) -> Any:
    """The trained ones: awsglueml needs this package, and a script may import it first."""
    if name in __all__:
        return getattr(importlib.import_module("awsglueml.transforms"), name)
    raise AttributeError(f"module 'awsglue.transforms' has no attribute {name!r}")


def get_transforms() -> set[type[GlueTransform]]:
    """All transforms but the trained ones."""
    return ALL_TRANSFORMS


def get_transform(name: str) -> type[GlueTransform]:
    """The transform of a name, however it is capitalised. KeyError when there is none."""
    for one in ALL_TRANSFORMS:
        if one.name().lower() == name.lower():
            return one
    raise KeyError(f"no transform {name!r}; there are {', '.join(sorted(one.name() for one in ALL_TRANSFORMS))}")


def describe_transform(name: str) -> dict[str, Any]:
    """What the transform of a name takes and gives. KeyError when there is none."""
    return get_transform(name).describe()
