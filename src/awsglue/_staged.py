"""A frame that lies in staged Parquet files already: written as Parquet untouched, its files are copied, not made anew.

Rows of a database are staged by `_jdbc.read`. A job that only copies them to S3 would pass each row through Spark again
to write what is there. So `StagedFrame.write` is a writer that copies the files where that is the same: Parquet with
Snappy, no partitions, no options. Each transformation makes an ordinary DataFrame, which Spark writes.

Objects are seen whole or not at all. An overwrite puts the new ones before it takes the old ones away.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pyspark
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession

from awsglue import _rows

CODEC = "spark.sql.parquet.compression.codec"
SUCCESS = "mapreduce.fileoutputcommitter.marksuccessfuljobs"


class StagedFrame(DataFrame):  # type: ignore[misc]  # the tool has no pyspark, jobs have
    """The frame of the Parquet files of `folder`, whose numbers of rows are `counts` by name."""

    def __init__(self, frame: DataFrame, folder: Path, counts: dict[str, int]) -> None:
        super().__init__(frame._jdf, frame.sparkSession)
        self._folder, self._counts = folder, counts

    @property
    def write(self) -> DataFrameWriter:
        return StagedWriter(self)

    def copy_to(self, path: str, mode: str, *, success: bool) -> bool:
        """Write the files below an S3 prefix; False when Spark must do it (another codec, something in the way)."""
        spark: Any = self.sparkSession
        if not path.startswith(("s3://", "s3a://", "s3n://")) or spark.conf.get(CODEC, "snappy") != "snappy":
            return False
        conf, hadoop = spark._jsc.hadoopConfiguration(), spark._jvm.org.apache.hadoop.fs
        target = hadoop.Path(path)
        files = target.getFileSystem(conf)
        there = files.exists(target)
        if there and mode == "ignore":
            return True
        if there and (mode not in ("append", "overwrite") or not files.getFileStatus(target).isDirectory()):
            return False
        old = [one.getPath() for one in files.listStatus(target)] if there and mode == "overwrite" else []
        run, local = uuid.uuid4(), hadoop.Path(f"file://{self._folder}").getFileSystem(conf)
        full = [name for name, count in self._counts.items() if count] or list(self._counts)[:1]
        for number, name in enumerate(full):
            place = hadoop.Path(target, f"part-{number:05d}-{run}-c000.snappy.parquet")
            hadoop.FileUtil.copy(local, hadoop.Path(f"file://{self._folder / name}"), files, place, False, conf)
        for one in old:
            files.delete(one, True)
        if success and conf.get(SUCCESS, "true") != "false":
            files.create(hadoop.Path(target, "_SUCCESS")).close()
        spark.catalog.refreshByPath(path)
        _rows.direct_write(sum(self._counts.values()))
        return True


class StagedWriter(DataFrameWriter):  # type: ignore[misc]
    """frame.write of a StagedFrame."""

    def __init__(self, frame: StagedFrame) -> None:
        super().__init__(frame)
        self._staged, self._how, self._kind, self._simple = frame, "error", "parquet", True

    def mode(self, saveMode: str | None) -> DataFrameWriter:
        self._how = (saveMode or self._how).lower()
        return super().mode(saveMode)

    def format(self, source: str) -> DataFrameWriter:
        self._kind = source.lower()
        return super().format(source)

    def option(self, key: str, value: Any) -> DataFrameWriter:
        self._simple = False
        return super().option(key, value)

    def options(self, **options: Any) -> DataFrameWriter:
        self._simple = self._simple and not options
        return super().options(**options)

    def partitionBy(self, *cols: Any) -> DataFrameWriter:
        self._simple = False
        return super().partitionBy(*cols)

    def bucketBy(self, numBuckets: int, col: Any, *cols: Any) -> DataFrameWriter:
        self._simple = False
        return super().bucketBy(numBuckets, col, *cols)

    def sortBy(self, col: Any, *cols: Any) -> DataFrameWriter:
        self._simple = False
        return super().sortBy(col, *cols)

    def parquet(self, path: str, mode: str | None = None, partitionBy: Any = None, compression: Any = None) -> None:
        self.mode(mode)
        plain = self._simple and not partitionBy and compression in (None, "snappy")
        if not (plain and self._staged.copy_to(path, self._how, success=True)):
            super().parquet(path, mode, partitionBy, compression)

    def save(
        self,
        path: str | None = None,
        format: str | None = None,
        mode: str | None = None,
        partitionBy: Any = None,
        **options: Any,
    ) -> None:
        self.mode(mode)
        kind = (format or self._kind).lower()
        plain = self._simple and not partitionBy and not options and kind == "parquet"
        if not (path and plain and self._staged.copy_to(path, self._how, success=True)):
            super().save(path, format, mode, partitionBy, **options)


def staged(spark: SparkSession, schema: Any, folder: Path, counts: dict[str, int]) -> DataFrame:
    """The frame of staged files."""
    frame = spark.read.schema(schema).parquet(f"file://{folder}")
    return StagedFrame(frame, folder, counts) if pyspark.__version__ < "4" else frame
