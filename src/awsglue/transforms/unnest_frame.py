"""UnnestFrame and SimplifyDDBJson."""

from __future__ import annotations

from awsglue.dynamicframe import DynamicFrame
from awsglue.transforms.transform import GlueTransform


class UnnestFrame(GlueTransform):
    """Makes top-level fields of nested ones."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame.unnest(transformation_ctx, info, stageThreshold, totalThreshold)


class SimplifyDDBJson(GlueTransform):
    """Puts values in the place of DynamoDB's JSON."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame.simplify_ddb_json(transformation_ctx, info, stageThreshold, totalThreshold)
