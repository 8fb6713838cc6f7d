"""GlueTransform: what all transforms have. `Name.apply(frame=..., ...)` and `Name()(frame, ...)` are the same.

`describe` and its parts say what `__call__` takes and gives (AWS docs, "GlueTransform base class").
"""

from __future__ import annotations

import inspect
from typing import Any

ARGUMENTS = {  # what arguments of a name mean, in every transform
    "frame": "the frame to work on",
    "frame1": "the first frame",
    "frame2": "the second frame",
    "dfc": "the collection of frames",
    "mappings": "tuples (source, source type, target, target type)",
    "case_sensitive": "whether sources are found by their exact spelling",
    "paths": "paths of fields",
    "old_name": "path of the field",
    "new_name": "its new path",
    "specs": "tuples (path, action), one for each field to resolve",
    "choice": "one action for all choices, or match_catalog",
    "database": "the database of the catalog's table",
    "table_name": "the catalog's table",
    "catalog_id": "the account of the catalog",
    "f": "the function, called with each record",
    "keys1": "paths of the first frame's keys",
    "keys2": "paths of the second frame's keys",
    "staging_path": "where tables may be staged",
    "name": "the root table's name",
    "options": "further options",
    "path": "path of the field, or of the place to write to",
    "format": "the format of the field's text",
    "name1": "name of the first frame",
    "name2": "name of the second frame",
    "comparison_dict": "for each path, comparators and what they compare with",
    "key": "the frame's name",
    "callable": "the function, called with each frame and its transformation context",
    "BaseTransform": "the transform to apply to each frame",
    "frame_name": "the argument by which that transform takes its frame",
    "base_kwargs": "its other arguments",
    "num_partitions": "the number of partitions",
    "shuffle": "whether records move so that partitions are even",
    "transformation_ctx": "a name for the state of this transform",
    "info": "text that is kept with error records",
    "stageThreshold": "error records of this transform at which the job fails; 0: never",
    "totalThreshold": "error records up to and with this transform at which the job fails; 0: never",
}


class GlueTransform:
    """A transform. Each subclass says what `__call__` takes."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{self.name()} has no __call__")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a transform and call it."""
        made: Any = cls()
        return made(*args, **kwargs)

    @classmethod
    def name(cls) -> str:
        """The class's name."""
        return cls.__name__

    @classmethod
    def describeArgs(cls) -> list[dict[str, Any]]:
        """name, type, description, optional and defaultValue of each argument."""
        if cls is GlueTransform:
            raise NotImplementedError("describeArgs is for derived transforms")
        signature = inspect.signature(cls.__call__)
        return [
            {
                "name": one.name,
                "type": str(one.annotation).strip("'\""),
                "description": ARGUMENTS.get(one.name, ""),
                "optional": one.default is not one.empty or one.kind is one.VAR_KEYWORD,
                "defaultValue": None if one.default in (one.empty, None) else str(one.default),
            }
            for one in list(signature.parameters.values())[1:]
        ]

    @classmethod
    def describeReturn(cls) -> dict[str, Any]:
        """type and description of what comes out."""
        if cls is GlueTransform:
            raise NotImplementedError("describeReturn is for derived transforms")
        kind = str(inspect.signature(cls.__call__).return_annotation).strip("'\"")
        return {"type": kind, "description": f"the {kind} that {cls.name()} makes"}

    @classmethod
    def describeTransform(cls) -> str:
        """What the transform does, in a sentence."""
        if cls is GlueTransform:
            raise NotImplementedError("describeTransform is for derived transforms")
        return inspect.getdoc(cls) or cls.name()

    @classmethod
    def describeErrors(cls) -> list[dict[str, Any]]:
        """type and description of what may be raised."""
        if cls is GlueTransform:
            raise NotImplementedError("describeErrors is for derived transforms")
        return [
            {"type": "ValueError", "description": "an argument has no meaning for this transform"},
            {"type": "ErrorThresholdExceeded", "description": "more error records than a threshold allows"},
        ]

    @classmethod
    def describe(cls) -> dict[str, Any]:
        """All of that."""
        return {
            "transform": {
                "name": cls.name(),
                "args": cls.describeArgs(),
                "returns": cls.describeReturn(),
                "raises": cls.describeErrors(),
                "location": "internal",
            }
        }
