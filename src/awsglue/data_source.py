"""DataSource: what glueContext.getSource gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awsglue.context import GlueContext
    from awsglue.dynamicframe import DynamicFrame


class DataSource:
    """A source to set a format on, then to read a frame from."""

    def __init__(
        self,
        glue_context: GlueContext,
        connection_type: str,
        context: str,
        options: dict[str, Any],
        push_down_predicate: str = "",
    ) -> None:
        self.name = ""
        self._glue_context, self._kind, self._context, self._options = glue_context, connection_type, context, options
        self._predicate = push_down_predicate
        self._format: str | None = None
        self._format_options: dict[str, Any] = {}

    def setFormat(self, format: str, **options: Any) -> DataSource:
        """The format of the files, and its options."""
        self._format, self._format_options = format, options
        return self

    def getFrame(self, **options: Any) -> DynamicFrame:
        """The records."""
        return self._glue_context.create_dynamic_frame_from_options(
            self._kind,
            {**self._options, **options},
            self._format,
            self._format_options,
            self._context,
            self._predicate,
        )

    def getSampleFrame(self, num: int, **options: Any) -> DynamicFrame:
        """At most `num` records."""
        return self._glue_context.create_sample_dynamic_frame_from_options(
            self._kind,
            {**self._options, **options},
            num,
            format=self._format,
            format_options=self._format_options,
            transformation_ctx=self._context,
            push_down_predicate=self._predicate,
        )
