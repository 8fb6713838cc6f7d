"""FindMatches, FindIncrementalMatches, FillMissingValues, EntityDetector: trained by AWS, with no counterpart here.

Each takes what AWS's takes and raises NotImplementedError: a script fails where it asks for one, and not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from awsglue.transforms.transform import GlueTransform

if TYPE_CHECKING:
    from awsglue.dynamicframe import DynamicFrame


def _refused(name: str) -> NoReturn:
    raise NotImplementedError(f"{name} is a trained service of AWS and has no counterpart here")


class FillMissingValues(GlueTransform):
    """Fills null and empty values by what AWS's model predicts."""

    def __call__(
        self,
        frame: DynamicFrame,
        missing_values_column: str,
        output_column: str = "",
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        _refused(self.name())


class FindMatches(GlueTransform):
    """Finds records that mean the same, by a model trained on AWS."""

    def __call__(
        self,
        frame: DynamicFrame,
        transformId: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        enforcedMatches: DynamicFrame | None = None,
        computeMatchConfidenceScores: bool = False,
    ) -> DynamicFrame:
        _refused(self.name())


class FindIncrementalMatches(GlueTransform):
    """FindMatches between known records and new ones."""

    def __call__(
        self,
        existingFrame: DynamicFrame,
        incrementalFrame: DynamicFrame,
        transformId: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        enforcedMatches: DynamicFrame | None = None,
        computeMatchConfidenceScores: bool = False,
    ) -> DynamicFrame:
        _refused(self.name())


class EntityDetector:
    """Finds personal data."""

    def detect(
        self,
        frame: DynamicFrame,
        detectionParameters: Mapping[str, Any] | Sequence[str],
        outputColumnName: str = "DetectedEntities",
        detectionSensitivity: str = "LOW",
    ) -> DynamicFrame:
        _refused("EntityDetector")

    def classify_columns(
        self,
        frame: DynamicFrame,
        entityTypes: Sequence[str],
        sampleFraction: float | None = None,
        thresholdFraction: float | None = None,
        detectionSensitivity: str = "LOW",
    ) -> dict[str, Any]:
        _refused("EntityDetector")
