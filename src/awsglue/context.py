"""GlueContext: where DynamicFrames come from and go to."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession, SQLContext
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from awsglue import _catalog, _jdbc, _records, _s3
from awsglue._aws import client, folder
from awsglue._sinks import DataSink, S3Sink, purge
from awsglue._table import JDBC, Table
from awsglue.data_source import DataSource
from awsglue.dataframereader import DataFrameReader
from awsglue.dataframewriter import DataFrameWriter
from awsglue.dynamicframe import DynamicFrame, DynamicFrameReader, DynamicFrameWriter, ResolveOption, write_jdbc
from awsglue.gluetypes import NOTHING
from awsglue.streaming_data_source import StreamingDataSource

JDBC_TYPES = (*JDBC, "jdbc", "custom.jdbc", "marketplace.jdbc")
TIMES = ("year", "month", "day", "hour", "minute")
GOVERNED = "governed tables of Lake Formation are not carried"


def register(sc: SparkContext) -> None:
    """AWS's library makes its Java classes known with it. There are none here, so there is nothing to do."""


class GlueContext(SQLContext):  # type: ignore[misc]  # pyspark is not where the types are checked
    """Made from a SparkContext. It is a SQLContext, too: `sql`, `read`, `createDataFrame`..."""

    Spark_SQL_Formats = frozenset({"parquet", "orc"})
    Unsupported_Compression_Types = frozenset({"lzo"})

    def __init__(self, sparkContext: SparkContext, **options: Any) -> None:
        self.spark_session: SparkSession = SparkSession.builder.getOrCreate()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a SQLContext says that it is deprecated; AWS's is one
            super().__init__(sparkContext, self.spark_session)
        self.create_dynamic_frame = DynamicFrameReader(self)
        self.write_dynamic_frame = DynamicFrameWriter(self)
        self.create_data_frame = DataFrameReader(self)
        self.write_data_frame = DataFrameWriter(self)

    def get_logger(self) -> Logger:
        """A logger to the job's error log."""
        return Logger()

    def currentTimeMillis(self) -> int:
        """Now, in milliseconds since 1970."""
        return int(time.time() * 1000)

    def getSource(
        self,
        connection_type: str,
        format: str | None = None,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **options: Any,
    ) -> DataSource:
        """A source to set a format on, then to read a frame from."""
        made = DataSource(self, connection_type, transformation_ctx, options, push_down_predicate)
        return made.setFormat(format) if format else made

    def getStreamingSource(
        self,
        connection_type: str,
        format: str | None = None,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **options: Any,
    ) -> StreamingDataSource:
        """Streams of Kinesis and Kafka are not carried."""
        raise NotImplementedError(
            f"getStreamingSource: streams of {connection_type} are not carried; spark.readStream reads files"
        )

    def getSink(
        self, connection_type: str, format: str | None = None, transformation_ctx: str = "", **options: Any
    ) -> DataSink:
        """A sink to set format and catalog on, then to write a frame to."""
        if connection_type in ("s3", "parquet", "orc"):
            return S3Sink(self, format, options)
        return DataSink(self, connection_type, format, options)

    # ---- reading

    def create_dynamic_frame_from_rdd(
        self, data: Any, name: str, schema: Any = None, sample_ratio: float | None = None, transformation_ctx: str = ""
    ) -> DynamicFrame:
        """Records from an RDD of dicts, Rows or, with a schema, tuples. Without one each record tells its own types."""
        if schema is None and sample_ratio is None and _records.describe_themselves(data):
            made = DynamicFrame(_records.typed(self.spark_session, _records.as_dicts(data)), self, name)
            made._lacking = True
            return made
        return DynamicFrame(self.spark_session.createDataFrame(data, schema, sample_ratio), self, name)

    def create_dynamic_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] | None = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """A table of the Data Catalog, on S3 or behind a connection. (A signature of AWS's misspells the options.)"""
        table = _table(database, table_name, kwargs)
        options = {**(kwargs.pop("addtional_options", None) or {}), **(additional_options or {}), **kwargs}
        options = table.reading() | options
        if table.connection:
            found, source = _behind(table)
            frame = _jdbc.read(self.spark_session, found, source, options, transformation_ctx)
        else:
            frame = _catalog.read(self.spark_session, table, push_down_predicate, options, transformation_ctx)
        made = DynamicFrame(frame, self, table.name)
        made._lacking = not table.connection and table.format() in _s3.OWN_FIELDS
        return made

    def create_dynamic_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """S3 (also `parquet` and `orc` as a connection type), or a table or query of a database."""
        options = dict(connection_options or {})
        kind = connection_type.lower()
        if kind in JDBC_TYPES:
            options = _jdbc.spelled(options)
            if not any(options.get(name) for name in ("dbtable", "sampleQuery", "query")):
                raise ValueError("connection_options lack dbtable")
            source, found = options.get("dbtable", ""), _jdbc.of_options(options)
            frame = _jdbc.read(self.spark_session, found, source, options, transformation_ctx)
        elif kind in ("s3", "parquet", "orc"):
            given = options.get("paths", options.get("path"))
            if not given:
                raise ValueError("connection_options lack paths")
            paths = [given] if isinstance(given, str) else list(given)
            said = format or (kind if kind != "s3" else None)
            frame = _s3.read(self.spark_session, paths, said or "", format_options or {}, options, transformation_ctx)
            frame = frame.where(push_down_predicate) if push_down_predicate and frame.columns else frame
        else:
            raise NotImplementedError(f"connection type {connection_type!r} is not carried")
        made = DynamicFrame(frame, self, "")
        made._lacking = str(format).lower() in _s3.OWN_FIELDS
        return made

    def create_data_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] | None = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DataFrame:
        """create_dynamic_frame_from_catalog as a DataFrame."""
        made = self.create_dynamic_frame_from_catalog(
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            push_down_predicate,
            additional_options,
            catalog_id,
            **kwargs,
        )
        return made.toDF()

    def create_data_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DataFrame:
        """create_dynamic_frame_from_options as a DataFrame."""
        made = self.create_dynamic_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )
        return made.toDF()

    def create_sample_dynamic_frame_from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        num: int | None = None,
        sample_options: Mapping[str, Any] | None = NOTHING,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] | None = NOTHING,
        catalog_id: str | None = None,
        erieTxId: str = "",
        asOfTime: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """At most `num` records of a table. `sample_options` (which files AWS would look at) change nothing."""
        if erieTxId or asOfTime:
            raise NotImplementedError(f"erieTxId, asOfTime: {GOVERNED}")
        made = self.create_dynamic_frame_from_catalog(
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            push_down_predicate,
            additional_options,
            catalog_id,
            **kwargs,
        )
        return _sample(made, num)

    def create_sample_dynamic_frame_from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        num: int | None = None,
        sample_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """At most `num` records. `sample_options` (which files AWS would look at) change nothing."""
        made = self.create_dynamic_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )
        return _sample(made, num)

    def get_catalog_schema_as_spark_schema(
        self, database: str | None = None, table_name: str | None = None, catalog_id: str | None = None
    ) -> StructType:
        """The columns and partition keys of a table as Spark has them."""
        return _table(database, table_name, {}).schema(partitions=True)

    def convert_resolve_option(self, path: str, action: str, target: Any) -> ResolveOption:
        """A ResolveOption for DynamicFrame.toDF."""
        return ResolveOption(path, action, target)

    def forEachBatch(
        self,
        frame: DataFrame,
        batch_function: Callable[[DataFrame, int], None],
        options: Mapping[str, Any] = NOTHING,
    ) -> None:
        """`batch_function(frame, number)` for each micro batch of a stream, every `windowSize` ("100 seconds" unless
        said), with its state in `checkpointLocation`. It returns when the stream ends, and raises what ended it."""
        if not frame.isStreaming:
            raise ValueError("forEachBatch wants a streaming DataFrame")
        if "checkpointLocation" not in options:
            raise ValueError("forEachBatch options lack checkpointLocation")
        writer = frame.writeStream.foreachBatch(batch_function).option(
            "checkpointLocation", str(options["checkpointLocation"])
        )
        writer.trigger(processingTime=str(options.get("windowSize", "100 seconds"))).start().awaitTermination()

    def getSampleStreamingDynamicFrame(
        self, frame: DataFrame, options: Mapping[str, Any] = NOTHING, batch_function: Any = None
    ) -> Any:
        """AWS's console looks at streams with it."""
        raise NotImplementedError("getSampleStreamingDynamicFrame is not carried: use forEachBatch")

    # ---- transactions of Lake Formation's governed tables

    def start_transaction(self, read_only: bool) -> str:
        """Governed tables are not carried."""
        raise NotImplementedError(f"start_transaction: {GOVERNED}")

    def commit_transaction(self, transaction_id: str, wait_for_commit: bool = True) -> bool:
        """Governed tables are not carried."""
        raise NotImplementedError(f"commit_transaction: {GOVERNED}")

    def cancel_transaction(self, transaction_id: str) -> None:
        """Governed tables are not carried."""
        raise NotImplementedError(f"cancel_transaction: {GOVERNED}")

    # ---- writing

    def write_dynamic_frame_from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        options, kind = dict(connection_options or {}), connection_type.lower()
        if kind in JDBC_TYPES:
            options = _jdbc.spelled(options)
            return write_jdbc(frame, _jdbc.of_options(options), options)
        if kind not in ("s3", "parquet", "orc"):
            raise NotImplementedError(f"connection type {connection_type!r} is not carried")
        if not options.get("path"):
            raise ValueError("connection_options lack path")
        said = format or (kind if kind != "s3" else None)
        _s3.write(frame.toDF(), options["path"], said, options, dict(format_options or {}))
        return frame

    def write_from_options(
        self,
        frame_or_dfc: Any,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        **kwargs: Any,
    ) -> Any:
        """A frame, or each frame of a collection below a prefix of its name."""
        if isinstance(frame_or_dfc, DynamicFrame):
            return self.write_dynamic_frame_from_options(
                frame_or_dfc, connection_type, connection_options, format, format_options
            )
        options = dict(connection_options or {})
        for name in frame_or_dfc.keys():  # noqa: SIM118
            below = options | ({"path": folder(options["path"]) + name} if "path" in options else {"dbtable": name})
            self.write_dynamic_frame_from_options(frame_or_dfc[name], connection_type, below, format, format_options)
        return frame_or_dfc

    def write_dynamic_frame_from_catalog(
        self,
        frame: DynamicFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] | None = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Append to a table that is in the catalog; `enableUpdateCatalog` adds its new partitions."""
        table, options = _table(database, table_name, kwargs), dict(additional_options or {})
        if table.connection:
            found, named = _behind(table)
            return write_jdbc(frame, found, {**options, "dbtable": named})
        sink = S3Sink(self, table.format(), {"path": table.location, **options, "partitionKeys": table.keys})
        sink.setFormat(table.format(), **_writing(table))
        if str(options.get("enableUpdateCatalog", "")).lower() == "true":
            sink.setCatalogInfo(catalogDatabase=table.database, catalogTableName=table.name)
        else:
            sink.options.pop("enableUpdateCatalog", None)
        return sink.writeFrame(frame)

    def write_dynamic_frame_from_jdbc_conf(
        self,
        frame: DynamicFrame,
        catalog_connection: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> DynamicFrame:
        """Append to `dbtable` of `database` (the connection's own when none is said) behind a Glue connection."""
        options = dict(connection_options or {})
        found = _jdbc.of_connection(catalog_connection).named(options.get("database"))
        return write_jdbc(frame, found, options)

    def write_from_jdbc_conf(
        self,
        frame_or_dfc: Any,
        catalog_connection: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> Any:
        if isinstance(frame_or_dfc, DynamicFrame):
            return self.write_dynamic_frame_from_jdbc_conf(frame_or_dfc, catalog_connection, connection_options)
        for name in frame_or_dfc.keys():  # noqa: SIM118
            below = {**(connection_options or {}), "dbtable": name}
            self.write_dynamic_frame_from_jdbc_conf(frame_or_dfc[name], catalog_connection, below)
        return frame_or_dfc

    def extract_jdbc_conf(self, connection_name: str, catalog_id: str | None = None) -> dict[str, Any]:
        """user, password, vendor, url, fullUrl and the TLS settings of a Glue connection."""
        return _jdbc.conf(connection_name, catalog_id)

    def write_data_frame_from_catalog(
        self,
        frame: DataFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] | None = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DataFrame:
        """write_dynamic_frame_from_catalog of a DataFrame."""
        made = DynamicFrame.fromDF(frame, self, table_name or "")
        self.write_dynamic_frame_from_catalog(
            made, database, table_name, redshift_tmp_dir, transformation_ctx, additional_options, catalog_id, **kwargs
        )
        return frame

    def write_data_frame_from_options(
        self,
        frame: DataFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        **kwargs: Any,
    ) -> DataFrame:
        """write_dynamic_frame_from_options of a DataFrame."""
        made = DynamicFrame.fromDF(frame, self, "")
        self.write_dynamic_frame_from_options(
            made, connection_type, connection_options, format, format_options, transformation_ctx, **kwargs
        )
        return frame

    # ---- files

    def purge_s3_path(
        self, s3_path: str, options: Mapping[str, Any] | None = NOTHING, transformation_ctx: str = ""
    ) -> None:
        """Delete what is older than `retentionPeriod` hours (168 unless said; 0 is everything)."""
        purge(s3_path, options or {})

    def purge_table(
        self,
        database: str,
        table_name: str,
        options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> None:
        """As purge_s3_path, for the files of a table; `partitionPredicate` chooses partitions, which go with theirs."""
        table, given = Table(database, table_name), options or {}
        predicate = str(given.get("partitionPredicate", ""))
        if not predicate:
            return purge(table.location, given)
        for one in _catalog.satisfying(self.spark_session, table, predicate):
            purge(one.location, given)
            client("glue").delete_partition(
                DatabaseName=database, TableName=table_name, PartitionValues=list(one.values)
            )
        return None

    def transition_table(
        self,
        database: str,
        table_name: str,
        transition_to: str,
        options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> None:
        """There are no storage classes here."""
        raise NotImplementedError("transition_table: there are no storage classes on a local disk")

    def transition_s3_path(
        self, s3_path: str, transition_to: str, options: Mapping[str, Any] = NOTHING, transformation_ctx: str = ""
    ) -> None:
        """There are no storage classes here."""
        raise NotImplementedError("transition_s3_path: there are no storage classes on a local disk")

    def add_ingestion_time_columns(self, frame: DataFrame, time_granularity: str) -> DataFrame:
        """Columns ingest_year, ingest_month, ... of now (UTC), down to the granularity."""
        if time_granularity not in ("day", "hour", "minute"):
            raise ValueError("time_granularity must be day, hour or minute")
        now = time.gmtime()
        parts = dict(zip(TIMES, now[:5], strict=True))
        for name in TIMES[: TIMES.index(time_granularity) + 1]:
            text = f"{parts[name]:04d}" if name == "year" else f"{parts[name]:02d}"
            frame = frame.withColumn(f"ingest_{name}", f.lit(text))
        return frame


def _table(database: str | None, table_name: str | None, more: dict[str, Any]) -> Table:
    """A table of the catalog; `name_space`, the older name of `database`, is taken out of `more`."""
    older = more.pop("name_space", None)
    database = database if database is not None else older
    for given, what in ((database, "database"), (table_name, "table_name")):
        if not given:
            raise ValueError(f"{what} is missing")
    return Table(str(database), str(table_name))


def _sample(frame: DynamicFrame, num: int | None) -> DynamicFrame:
    """At most `num` records."""
    if num is None:
        raise ValueError("num, the size of the sample, is missing")
    return frame._new(frame._df.limit(num), "sample")


def _behind(table: Table) -> tuple[_jdbc.Database, str]:
    """The database of a catalog table behind a connection, and the table's name there."""
    database, *parts = table.location.split(".")
    found = _jdbc.of_connection(table.connection or "").named(database)
    return found, _jdbc.table_name(found, parts)


def _writing(table: Table) -> dict[str, Any]:
    """format_options that write files as the table reads them."""
    if table.format() != "csv":
        return {}
    options = table.options()
    return {"separator": options["sep"], "writeHeader": options["header"] == "true"}


class Logger:
    """What get_logger gives: lines in the job's error log, where Glue's driver log is."""

    def _say(self, level: str, message: Any) -> None:
        print(f"{time.strftime('%y/%m/%d %H:%M:%S')} {level} GlueLogger: {message}", file=sys.stderr)

    def info(self, message: Any, *_: Any) -> None:
        self._say("INFO", message)

    def warn(self, message: Any, *_: Any) -> None:
        self._say("WARN", message)

    warning = warn

    def error(self, message: Any, *_: Any) -> None:
        self._say("ERROR", message)

    def debug(self, message: Any, *_: Any) -> None:
        self._say("DEBUG", message)

    def trace(self, message: Any, *_: Any) -> None:
        self._say("TRACE", message)
