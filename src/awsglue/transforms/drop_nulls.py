"""DropNullFields."""

from __future__ import annotations

from awsglue._fields import drop_nulls
from awsglue.dynamicframe import DynamicFrame
from awsglue.transforms.transform import GlueTransform


class DropNullFields(GlueTransform):
    """Drops the fields that have no value in any record; it looks at all of them once."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        return frame._new(drop_nulls(frame._df), "DropNullFields", stageThreshold, totalThreshold)
