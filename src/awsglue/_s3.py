"""Objects of S3 as the rows of a data frame: which files (bookmarks, exclusions), in which format, and back again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from awsglue import _json, _rows
from awsglue._aws import folder
from awsglue._bookmark import tracking
from awsglue._run import about
from awsglue._window import BAND_MS, MOST, File, excluded, fresh, hidden

READ = {"parquet": "parquet", "glueparquet": "parquet", "csv": "csv", "json": "json", "orc": "orc"}
NOT_CARRIED = {
    "avro": "the Avro reader is not part of pyspark",
    "xml": "the XML reader is not part of pyspark",
    "hudi": "Hudi needs a jar",
    "iceberg": "Iceberg needs a jar",
    "delta": "Delta needs a jar",
}
COMPRESSIONS = {"gzip", "bzip2", "snappy", "lz4", "zstd", "none", "uncompressed", "lzo"}


def listing(spark: SparkSession, prefix: str) -> list[File]:
    """All objects below a prefix, hidden ones (`_SUCCESS`, `.x`) left out; nothing when there is none."""
    jvm: Any = spark._jvm
    conf = spark._jsc.hadoopConfiguration()
    path = jvm.org.apache.hadoop.fs.Path(prefix)
    if not path.getFileSystem(conf).exists(path):
        return []
    lines = jvm.millpond.spark.Driver.list(prefix, conf).split("\n")
    found = (line.split("\t", 2) for line in lines if line)
    files = [File(uri, int(modified)) for modified, _, uri in found]
    return [one for one in files if not hidden(one.uri[len(prefix) :])]


def select(spark: SparkSession, prefixes: list[str], options: Mapping[str, Any], context: str) -> list[str] | None:
    """The files to read, or None when the prefixes can be read whole."""
    bookmark = tracking(context)
    exclusions = options.get("exclusions") or []
    patterns = json.loads(exclusions) if isinstance(exclusions, str) else list(exclusions)
    if bookmark is None and not patterns:
        return None
    files = [one for prefix in prefixes for one in listing(spark, prefix) if not excluded(one.uri, patterns)]
    if bookmark is None:
        return [one.uri for one in files]
    low, high = bookmark.marks(context)
    until = about()["started_ms"] if high is None else high.get("high", 0)
    band, most = int(options.get("maxBand", BAND_MS)), int(options.get("maxFilesInBand", MOST))
    chosen, marks = fresh(files, low, until, band, most)
    bookmark.note(context, marks, {"paths": prefixes, "exclusions": patterns, "band": band, "most": most})
    print(f"bookmark {context}: {len(chosen)} of {len(files)} files are new")
    return [one.uri for one in chosen]


# ---- reading


def read(
    spark: SparkSession,
    paths: list[str],
    format: str,
    format_options: Mapping[str, Any],
    options: Mapping[str, Any],
    context: str,
) -> DataFrame:
    """create_dynamic_frame.from_options(connection_type="s3")."""
    _rows.s3_read()
    kind = known(format)
    settings = reader_options(kind, format_options)
    chosen = select(spark, paths, options, context)
    if chosen is not None:
        if not chosen:
            return empty(spark)
        if len(paths) == 1 and not _is_file(paths[0], chosen):
            settings["basePath"] = folder(paths[0])
        return named(_load(spark, kind, settings, chosen), kind, format_options)
    if _true(options.get("recurse")) and not all(_partitioned(spark, path) for path in paths):
        settings["recursiveFileLookup"] = "true"
    return named(_load(spark, kind, settings, paths), kind, format_options)


def _load(spark: SparkSession, kind: str, settings: dict[str, str], paths: list[str]) -> DataFrame:
    if kind == "json":
        return _json.load(spark, paths, settings)
    return spark.read.format(kind).options(**settings).load(paths)


def _is_file(path: str, files: list[str]) -> bool:
    return path in files


def _partitioned(spark: SparkSession, path: str) -> bool:
    """Whether all folders below a path are named key=value."""
    inside = (one.uri[len(path) :].strip("/").split("/")[:-1] for one in listing(spark, path))
    return all("=" in part for parts in inside for part in parts)


def known(format: str | None) -> str:
    """Spark's name of a Glue format; NotImplementedError with the reason for the others."""
    if format in READ:
        return READ[format]
    raise NotImplementedError(f"format {format!r}: {NOT_CARRIED.get(format or '', 'it is not carried')}")


def reader_options(kind: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Glue's format_options as options of Spark's reader."""
    options: dict[str, str] = {}
    if kind == "csv":
        options = {
            "sep": str(given.get("separator", ",")),
            "header": str(_true(given.get("withHeader"))).lower(),
            "multiLine": str(_true(given.get("multiline", given.get("multiLine")))).lower(),
        }
        quote = given.get("quoteChar", '"')
        options["quote"] = "" if quote in (-1, "-1") else str(quote)
        if escape := given.get("escaper"):
            options["escape"] = str(escape)
    if kind == "json":
        options = {"multiLine": str(_true(given.get("multiline", given.get("multiLine")))).lower()}
        if (path := given.get("jsonPath")) not in (None, "$", "$[*]"):
            raise NotImplementedError(f"format_options jsonPath {path!r}: only '$' and '$[*]' are carried")
        if given.get("jsonPath") == "$[*]":
            options["multiLine"] = "true"
    if given.get("attachFilename"):
        raise NotImplementedError("format_options attachFilename is not carried: use input_file_name()")
    return options


def named(frame: DataFrame, kind: str, given: Mapping[str, Any]) -> DataFrame:
    """CSV columns without a header are col0, col1, ... in Glue."""
    if kind != "csv" or _true(given.get("withHeader")):
        return frame
    return frame.toDF(*(f"col{name[2:]}" if name.startswith("_c") else name for name in frame.columns))


def empty(spark: SparkSession) -> DataFrame:
    """No files: no rows and no columns."""
    return spark.createDataFrame([], StructType([]))


def _true(value: Any) -> bool:
    return str(value).lower() in ("true", "1")


# ---- writing


def write(
    frame: DataFrame, path: str, format: str | None, options: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Append to a prefix, as Glue does. A frame without columns is nothing to write."""
    if not frame.columns:
        return
    kind = known(format)
    keys = list(options.get("partitionKeys") or [])
    writer = frame.write.format(kind).mode("append").options(**writer_options(kind, given))
    # Glue leaves no _SUCCESS object behind
    writer = writer.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    compression = options.get("compression") or options.get("compressionType") or given.get("compression")
    if compression:
        writer = writer.option("compression", _compression(str(compression)))
    if missing := [key for key in keys if key not in frame.columns]:
        raise ValueError(f"partitionKeys {missing} are not columns of the frame")
    (writer.partitionBy(*keys) if keys else writer).save(path)


def writer_options(kind: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Glue's format_options as options of Spark's writer."""
    if kind != "csv":
        return {}
    options = {
        "sep": str(given.get("separator", ",")),
        "header": str(_true(given.get("writeHeader", True))).lower(),
        "emptyValue": "",
    }
    quote = given.get("quoteChar", '"')
    options["quote"] = "" if quote in (-1, "-1") else str(quote)
    return options


def _compression(name: str) -> str:
    if name.lower() not in COMPRESSIONS:
        raise ValueError(f"compression {name!r}: use one of {', '.join(sorted(COMPRESSIONS))}")
    return name.lower()


def cast_partitions(
    frame: DataFrame, keys: Iterable[str], values: Iterable[str], types: Mapping[str, Any]
) -> DataFrame:
    """A partition's values as columns."""
    for key, value in zip(keys, values, strict=True):
        literal = None if value == "__HIVE_DEFAULT_PARTITION__" else value
        frame = frame.withColumn(key, f.lit(literal).cast(types[key]))
    return frame
