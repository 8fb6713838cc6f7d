"""Transforms of collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.transforms.transform import GlueTransform


class SelectFromCollection(GlueTransform):
    """One frame of a collection."""

    def __call__(
        self,
        dfc: DynamicFrameCollection,
        key: str,
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        return dfc.select(key, transformation_ctx)


class MapToCollection(GlueTransform):
    """Puts what a function makes of each frame in its place."""

    def __call__(
        self,
        dfc: DynamicFrameCollection,
        callable: Callable[..., DynamicFrame],
        transformation_ctx: str = "",
    ) -> DynamicFrameCollection:
        return dfc.map(callable, transformation_ctx)


class FlatMap(GlueTransform):
    """Applies a transform to each frame of a collection."""

    def __call__(
        self,
        dfc: DynamicFrameCollection,
        BaseTransform: type[GlueTransform],
        frame_name: str,
        transformation_ctx: str = "",
        **base_kwargs: Any,
    ) -> DynamicFrameCollection:
        frames: dict[str, DynamicFrame] = {}
        for name, frame in dfc.items():
            given = {frame_name: frame, "transformation_ctx": f"{transformation_ctx}{name}", **base_kwargs}
            made = BaseTransform.apply(**given)
            several = isinstance(made, DynamicFrameCollection)
            frames |= {f"{name}_{key}": one for key, one in made.items()} if several else {name: made}
        return DynamicFrameCollection(frames, dfc.glue_ctx)
