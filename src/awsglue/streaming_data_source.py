"""StreamingDataSource: what glueContext.getStreamingSource would give. Streams of Kinesis and Kafka are not carried."""

from __future__ import annotations

from typing import Any, NoReturn

WHY = "streams of Kinesis and Kafka are not carried; spark.readStream reads files"


class StreamingDataSource:
    """None can be made: NotImplementedError."""

    name = ""

    def __init__(self, j_source: Any, sql_ctx: Any, name: str) -> None:
        raise NotImplementedError(f"StreamingDataSource: {WHY}")

    def setFormat(self, format: str, **options: Any) -> NoReturn:
        raise NotImplementedError(f"StreamingDataSource: {WHY}")

    def getFrame(self) -> NoReturn:
        raise NotImplementedError(f"StreamingDataSource: {WHY}")
