"""glueContext.write_data_frame: what write_dynamic_frame does, for DataFrames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from awsglue.gluetypes import NOTHING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from awsglue.context import GlueContext


class DataFrameWriter:
    """glueContext.write_data_frame"""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_catalog(
        self,
        frame: DataFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DataFrame:
        """Write to a table of the Data Catalog."""
        return self._glue_context.write_data_frame_from_catalog(
            frame,
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            additional_options,
            catalog_id,
            **kwargs,
        )

    def from_options(
        self,
        frame: DataFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
        **kwargs: Any,
    ) -> DataFrame:
        """Write to a connection."""
        return self._glue_context.write_data_frame_from_options(
            frame, connection_type, connection_options, format, format_options, transformation_ctx, **kwargs
        )
