"""Transforms of fields: rename, drop, select, split, join, spigot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.gluetypes import NOTHING
from awsglue.transforms.transform import GlueTransform


class RenameField(GlueTransform):
    """Gives a field another name or place."""

    def __call__(
        self,
        frame: DynamicFrame,
        old_name: str,
        new_name: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame.rename_field(old_name, new_name, transformation_ctx, info, stageThreshold, totalThreshold)


class DropFields(GlueTransform):
    """Leaves fields out."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: str | Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame.drop_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class SelectFields(GlueTransform):
    """Keeps only some fields."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: str | Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame.select_fields(paths, transformation_ctx, info, stageThreshold, totalThreshold)


class SplitFields(GlueTransform):
    """Makes two frames: some fields, and the others."""

    def __call__(
        self,
        frame: DynamicFrame,
        paths: str | Sequence[str],
        name1: str | None = None,
        name2: str | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        one, two = name1 or f"{frame.name}1", name2 or f"{frame.name}2"
        return frame.split_fields(paths, one, two, transformation_ctx, info, stageThreshold, totalThreshold)


class SplitRows(GlueTransform):
    """Makes two frames: records for which comparisons hold, and the others."""

    def __call__(
        self,
        frame: DynamicFrame,
        comparison_dict: Mapping[str, Mapping[str, Any]],
        name1: str = "frame1",
        name2: str = "frame2",
        transformation_ctx: str = "",
        info: str | None = None,
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        limits = (stageThreshold, totalThreshold)
        return frame.split_rows(comparison_dict, name1, name2, transformation_ctx, info or "", *limits)


class Join(GlueTransform):
    """Joins two frames where their keys are equal."""

    def __call__(
        self,
        frame1: DynamicFrame,
        frame2: DynamicFrame,
        keys1: str | Sequence[str],
        keys2: str | Sequence[str],
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        return frame1.join(keys1, keys2, frame2, transformation_ctx)


class Spigot(GlueTransform):
    """Writes some records as a sample, and passes all on."""

    def __call__(
        self,
        frame: DynamicFrame,
        path: str,
        options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        return frame.spigot(path, options, transformation_ctx)
