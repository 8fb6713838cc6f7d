"""ApplyMapping for a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from awsglue import transforms
from awsglue.dynamicframe import DynamicFrame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class ApplyMapping(transforms.ApplyMapping):
    """Picks, renames, nests and casts columns by a list of mappings: `ApplyMapping.apply(frame, mappings)`."""

    @staticmethod
    def apply(frame: DataFrame, mappings: Sequence[Any]) -> DataFrame:  # type: ignore[override]  # as AWS has it
        """The mapped frame. `mappings` are those of the transform for DynamicFrames."""
        made = DynamicFrame(frame, None, "").apply_mapping(mappings)  # type: ignore[arg-type]  # a mapping needs none
        return made.toDF()
