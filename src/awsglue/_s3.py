"""Objects of S3 as the rows of a data frame: which files (bookmarks, exclusions), in which format, and back again.

`connection_options` and `format_options` are those of AWS's pages "Amazon S3 connections" and "Data format options".
Folders named key=value become columns; files deeper than that are read with `recurse`. No file is an empty frame.
`groupFiles`, `groupSize` and `useS3ListImplementation` say how AWS reads; here they change nothing.

Limits: no ion, no Hudi, Iceberg and Delta as a `format`; XML, ion and grok logs are not written (nor are they on AWS).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from awsglue import _avro, _csv, _documents, _json, _records, _rows
from awsglue._aws import client, folder, split_uri
from awsglue._bookmark import tracking
from awsglue._documents import Source
from awsglue._run import about, stage, warn
from awsglue._staged import StagedFrame
from awsglue._window import BAND_MS, MOST, File, bounded, excluded, fresh, hidden

READ = {
    **{"parquet": "parquet", "glueparquet": "parquet", "csv": "csv", "json": "json", "orc": "orc"},
    **{"avro": "avro", "xml": "xml", "groklog": "groklog"},
}
NOT_CARRIED = {
    "ion": "Amazon Ion is not carried",
    "hudi": "Hudi needs a jar",
    "iceberg": "Iceberg needs a jar",
    "delta": "Delta needs a jar",
}
OWN_FIELDS = ("json", "xml")  # formats whose records bring their own fields
NEVER_EMPTY = ("parquet", "orc", "avro")  # an object without a byte is no file of these
TEXTS_OF_LINES = ("csv", "json", "groklog")
CHECKED = 1 << 28  # bytes of texts that are looked at for what is not UTF-8
FEW = 64  # prefixes that are listed only to find objects without a byte
NOT_WRITTEN = ("xml", "groklog")
TEXTS = {"gzip": "gzip", "bzip2": "bzip2", "bzip": "bzip2", "deflate": "deflate", "lz4": "lz4", "snappy": "snappy"}
COLUMNS = {"snappy": "snappy", "gzip": "gzip", "lz4": "lz4", "zstd": "zstd"}
NONE = {"none": "none", "uncompressed": "uncompressed"}
CODECS: Mapping[str, Mapping[str, str]] = {
    "csv": NONE | TEXTS,
    "json": NONE | TEXTS,
    "parquet": NONE | COLUMNS,
    "orc": {"none": "none", "snappy": "snappy", "zlib": "zlib", "zstd": "zstd", "lz4": "lz4"},
    "avro": {"none": "null", "uncompressed": "null", "snappy": "snappy", "deflate": "deflate", "bzip2": "bzip2"},
}
ENDINGS = {"gzip": ".gz", "bzip2": ".bz2", "bzip": ".bz2"}
SIZES = {"blockSize": "parquet.block.size", "pageSize": "parquet.page.size"}
UNITS = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def listing(spark: SparkSession, prefix: str) -> list[File]:
    """All objects below a prefix, hidden ones (`_SUCCESS`, `.x`) left out; nothing when there is none."""
    jvm: Any = spark._jvm
    conf = spark._jsc.hadoopConfiguration()
    path = jvm.org.apache.hadoop.fs.Path(prefix)
    if not path.getFileSystem(conf).exists(path):
        return []
    lines = jvm.millpond.spark.Driver.list(prefix, conf).split("\n")
    found = (line.split("\t", 2) for line in lines if line)
    files = [File(uri, int(modified), int(size)) for modified, size, uri in found]
    return [one for one in files if not hidden(one.uri[len(prefix) :])]


def places(spark: SparkSession, paths: Iterable[str]) -> list[str]:
    """Prefixes and objects; a path with `*`, `?`, `[` or `{` stands for those that it fits."""
    found: list[str] = []
    jvm: Any = spark._jvm
    for path in paths:
        split_uri(path)  # not an S3 path: an error here
        if not any(sign in path for sign in "*?[{"):
            found.append(path)
            continue
        glob = jvm.org.apache.hadoop.fs.Path(path)
        matched = glob.getFileSystem(spark._jsc.hadoopConfiguration()).globStatus(glob)
        found += [one.getPath().toString() for one in matched or ()]
    return found


def select(
    spark: SparkSession, prefixes: list[str], kind: str, options: Mapping[str, Any], context: str
) -> list[str] | None:
    """The files of a catalog table to read, or None when the prefixes can be read whole."""
    whole = tracking(context) is None and not _patterns(options) and not _bounds(options)
    if whole and len(prefixes) > FEW:
        return None
    files = [one for prefix in prefixes for one in listing(spark, prefix)]
    kept = [one for one in files if one.size or kind not in NEVER_EMPTY]
    found = kept if whole else chosen(kept, prefixes, options, context)
    if kind in TEXTS_OF_LINES:
        check_texts(spark, [one.uri for one in found])
    return None if whole and len(kept) == len(files) else [one.uri for one in found]


def check_texts(spark: SparkSession, uris: list[str]) -> None:
    """ParseFailed names the first file that is not UTF-8 or ends too early for its compression: Spark's readers would
    replace what they cannot read, or say no name. CHECKED bytes are looked at."""
    if not uris:  # a bookmark has left none
        return
    jvm: Any = spark._jvm
    found = jvm.millpond.spark.Driver.unreadable("\n".join(uris), CHECKED, spark._jsc.hadoopConfiguration())
    if found:
        uri, _, reason = found.partition("\t")
        raise _documents.ParseFailed(f"Unable to parse file: {uri}: {reason}")


def holds(spark: SparkSession, paths: Iterable[str], text: str) -> bool:
    """Whether one of the files, or of those below the prefixes, has a text in it: on the driver, which is quicker than
    a pass of Spark's over many small files."""
    jvm: Any = spark._jvm
    uris = [one.uri for path in paths for one in listing(spark, path)]
    return bool(uris) and bool(jvm.millpond.spark.Driver.holds("\n".join(uris), text, spark._jsc.hadoopConfiguration()))


def chosen(files: Iterable[File], prefixes: list[str], options: Mapping[str, Any], context: str) -> list[File]:
    """The files that `exclusions`, the bookmark and the bounds leave; notes how far this run reads."""
    patterns = _patterns(options)
    kept = sorted((one for one in files if not excluded(one.uri, patterns)), key=lambda one: (one.modified, one.uri))
    bookmark, bounds = tracking(context), _bounds(options)
    if bookmark is None:
        return bounded(kept, {"band": []}, 0, *bounds) if bounds else kept
    low, high = bookmark.marks(context)
    until = about()["started_ms"] if high is None else high.get("high", 0)
    band, most = int(options.get("maxBand", BAND_MS)), int(options.get("maxFilesInBand", MOST))
    found, marks = fresh(kept, low, until, band, most)
    found = bounded(found, marks, band, *bounds) if bounds else found
    bookmark.note(context, marks, {"paths": prefixes, "exclusions": patterns, "band": band, "most": most})
    print(f"bookmark {context}: {len(found)} of {len(kept)} files are new")
    return found


def _patterns(options: Mapping[str, Any]) -> list[str]:
    said = options.get("exclusions") or []
    if not isinstance(said, str):
        return list(said)
    try:
        return [str(one) for one in json.loads(said)]
    except ValueError:
        raise ValueError(f"exclusions must be a JSON list of patterns in a string, not {said!r}") from None


def _bounds(options: Mapping[str, Any]) -> tuple[int, int] | None:
    """boundedFiles and boundedSize."""
    files, size = int(options.get("boundedFiles") or 0), int(options.get("boundedSize") or 0)
    return (files, size) if files or size else None


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
    prefixes = places(spark, paths)
    below = {prefix: _seen(listing(spark, prefix), prefix, kind, options) for prefix in prefixes}
    found = {one.uri for one in chosen([one for files in below.values() for one in files], prefixes, options, context)}
    if not found:
        warn(f"there is nothing to read in {', '.join(paths)}: the frame has no columns and no rows")
        return empty(spark)
    codec = str(options.get("compressionType") or "").lower()
    if kind in ("csv", "json") and codec in ENDINGS and not all(one.endswith(ENDINGS[codec]) for one in found):
        return _load(_staged(spark, prefixes, sorted(found), codec), kind, format_options)
    if kind in TEXTS_OF_LINES:
        check_texts(spark, sorted(found))
    parts = {prefix: [one.uri for one in files if one.uri in found] for prefix, files in below.items()}
    parts = {prefix: files for prefix, files in parts.items() if files}
    if len(parts) > 1 and any("=" in uri[len(prefix) :] for prefix, files in parts.items() for uri in files):
        frames = [_load(source(spark, prefix, files), kind, format_options) for prefix, files in parts.items()]
        return functools.reduce(_records.union, frames)
    prefix = next(iter(parts)) if len(parts) == 1 else ""
    return _load(source(spark, prefix, [uri for files in parts.values() for uri in files]), kind, format_options)


def _seen(files: list[File], prefix: str, kind: str, options: Mapping[str, Any]) -> list[File]:
    """The files that are read at all: not empty where that is no file of the format, not deeper than folders named
    key=value without `recurse`."""
    if kind in NEVER_EMPTY:
        files = [one for one in files if one.size]
    if _csv.on(options, "recurse"):
        return files
    return [one for one in files if all("=" in part for part in one.uri[len(prefix) :].strip("/").split("/")[:-1])]


def source(spark: SparkSession, prefix: str, files: list[str]) -> Source:
    """Files as Spark reads them. With `prefix` the folders below it are columns."""
    direct = prefix and files != [prefix]

    def reader() -> DataFrameReader:
        plain = spark.read.option("__globPaths__", "false")  # names may have signs of globs, which are expanded already
        return plain.option("basePath", folder(prefix)) if direct else plain

    return Source(reader, files)


def _staged(spark: SparkSession, prefixes: list[str], files: list[str], codec: str) -> Source:
    """Files whose names do not say that they are compressed, copied under names that do."""
    target = stage("compressed")
    for uri in files:
        prefix = max((one for one in prefixes if uri.startswith(one)), key=len)
        inside = uri[len(prefix) :].strip("/") or uri.rpartition("/")[2]
        path = target / str(prefixes.index(prefix)) / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket, key = split_uri(uri)
        client("s3").download_file(bucket, key, f"{path}{'' if inside.endswith(ENDINGS[codec]) else ENDINGS[codec]}")
    where = [f"file://{target}/{number}" for number, _ in enumerate(prefixes) if (target / str(number)).exists()]
    return Source(lambda: spark.read, where)


def _load(source: Source, kind: str, given: Mapping[str, Any]) -> DataFrame:
    """A frame of files. ParseFailed names the file that cannot be read, when it is found out now."""
    try:
        return _loaded(source, kind, given)
    except (Py4JJavaError, PythonException) as error:
        uri = _documents.broken(source)
        java = getattr(error, "java_exception", None)
        reason = _cause(java) if java is not None else str(error).splitlines()[0]
        raise _documents.ParseFailed(f"Unable to parse file: {uri}: {reason}") from None


def _cause(java: Any) -> str:
    while java.getCause() is not None:
        java = java.getCause()
    return str(java.toString())


def _loaded(source: Source, kind: str, given: Mapping[str, Any]) -> DataFrame:
    source = Source(source.reader, source.paths, _attached(given))
    if kind == "csv":
        parts = _csv.by_header(source) if _csv.on(given, "withHeader") else [source]
        return functools.reduce(_records.union, (one.attach(_csv.read(one, given)) for one in parts))
    path = str(given.get("jsonPath") or "$")
    if kind == "json" and path in ("$", "$[*]"):
        return _json.load(source, whole=path == "$[*]" or _csv.on(given, "multiline", "multiLine"))
    if kind in ("json", "xml", "avro", "groklog"):
        return _documents.read(source, kind, given)
    return _columnar(source, kind)


def _columnar(source: Source, kind: str) -> DataFrame:
    """Parquet and ORC files, which bring their own columns: all of them; one with several types is a choice."""
    several = str(len(source.paths) > 1).lower()
    try:
        return source.attach(source.reader().format(kind).option("mergeSchema", several).load(source.paths))
    except Py4JJavaError as error:
        if "CANNOT_MERGE" not in _cause(error.java_exception) + str(error.java_exception):
            raise
    groups: dict[str, list[str]] = {}
    for path in source.paths:
        groups.setdefault(source.reader().format(kind).load(path).schema.json(), []).append(path)
    frames = (source.attach(source.reader().format(kind).load(paths)) for paths in groups.values())
    return functools.reduce(_records.union, frames)


def _attached(given: Mapping[str, Any]) -> dict[str, str]:
    """attachFilename and attachTimestamp: columns of where a record comes from."""
    names = {
        "attachFilename": "url_decode(replace(_metadata.file_path, '+', '%2B'))",
        "attachTimestamp": "_metadata.file_modification_time",
    }
    return {str(given[option]): expression for option, expression in names.items() if given.get(option)}


def known(format: str | None) -> str:
    """Our name of a Glue format; NotImplementedError with the reason for the others."""
    said = str(format or "").lower()
    if said in READ:
        return READ[said]
    if not said:
        raise ValueError("format is missing: say csv, json, parquet, orc, avro, xml or grokLog")
    raise NotImplementedError(f"format {format!r}: {NOT_CARRIED.get(said, 'it is not carried')}")


def empty(spark: SparkSession) -> DataFrame:
    """No files: no rows and no columns."""
    return spark.createDataFrame([], StructType([]))


# ---- writing


def write(
    frame: DataFrame, path: str, format: str | None, options: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Append to a prefix, as Glue does. A frame without columns is nothing to write."""
    if not frame.columns:
        return
    kind = known(format)
    if kind in NOT_WRITTEN:
        raise ValueError(f"format {format!r} is read only, on AWS, too")
    split_uri(path)
    said = options.get("partitionKeys") or []
    keys = [said] if isinstance(said, str) else list(said)
    if missing := [key for key in keys if key not in frame.columns]:
        raise ValueError(f"partitionKeys {missing} are not columns of the frame")
    if len(keys) == len(frame.columns):
        raise ValueError("partitionKeys are all columns of the frame: there is nothing left to write")
    compression = options.get("compression") or options.get("compressionType") or given.get("compression")
    codec = _codec(kind, str(compression)) if compression else None
    if kind == "avro":
        return _write_avro(frame, path, keys, codec or "null")
    untouched = isinstance(frame, StagedFrame) and kind == "parquet" and not keys and codec in (None, "snappy")
    if untouched and frame.copy_to(path, "append", success=False):
        return None
    frame, settings = _csv.writer(frame, given, keys) if kind == "csv" else (frame, _sizes(kind, given, options))
    writer = frame.write.format(kind).mode("append").options(**settings)
    # Glue leaves no _SUCCESS object behind
    writer = writer.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false")
    writer = writer.option("compression", codec) if codec else writer
    (writer.partitionBy(*keys) if keys else writer).save(path)
    return None


def _codec(kind: str, name: str) -> str:
    codecs = CODECS[kind]
    if name.lower() not in codecs:
        raise ValueError(f"compression {name!r} of {kind}: use one of {', '.join(sorted(codecs))}")
    return codecs[name.lower()]


def _sizes(kind: str, given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    """blockSize and pageSize of Parquet: a number of bytes, or `128MB`."""
    found = {}
    for name, setting in SIZES.items() if kind == "parquet" else ():
        said = str(given.get(name) or options.get(name) or "").strip().upper()
        unit = UNITS.get(said[-2:], 1)
        number = said.removesuffix(said[-2:]) if unit > 1 else said
        if said and not number.strip().isdigit():
            raise ValueError(f"format_options {name} must be a number of bytes, or one with KB, MB or GB: not {said!r}")
        if said:
            found[setting] = str(int(number) * unit)
    return found


def _write_avro(frame: DataFrame, path: str, keys: list[str], codec: str) -> None:
    """Files are made locally and uploaded when all are there: an object is seen whole or not at all."""
    names = [name for name in frame.columns if name not in keys]
    schema = _avro.schema_of(json.loads(frame.select(*(frame[f"`{name}`"] for name in names)).schema.json()))
    target = str(stage("avro"))
    columns = frame.columns

    def files(number: int, rows: Iterable[Any]) -> Iterable[str]:
        import os
        import uuid
        from urllib.parse import quote

        groups: dict[str, list[Any]] = {}
        for row in rows:
            pairs = dict(zip(columns, row, strict=True))
            said = {key: "__HIVE_DEFAULT_PARTITION__" if pairs[key] is None else str(pairs[key]) for key in keys}
            place = "".join(f"{key}={quote(value, safe=' ')}/" for key, value in said.items())
            groups.setdefault(place, []).append(tuple(pairs[name] for name in names))
        for place, found in groups.items():
            os.makedirs(f"{target}/{place}", exist_ok=True)
            name = f"{place}run-{number:05d}-{uuid.uuid4().hex}.avro"
            with open(f"{target}/{name}", "wb") as file:
                file.write(_avro.encoded(schema, found, codec))
            yield name

    made = frame.rdd.mapPartitionsWithIndex(files).collect()
    bucket, prefix = split_uri(folder(path))
    for name in made:
        client("s3").upload_file(f"{target}/{name}", bucket, prefix + name)
    _rows.direct_write(frame.count() if made else 0)


def cast_partitions(
    frame: DataFrame, keys: Iterable[str], values: Iterable[str], types: Mapping[str, Any]
) -> DataFrame:
    """A partition's values as columns."""
    for key, value in zip(keys, values, strict=True):
        literal = None if value == "__HIVE_DEFAULT_PARTITION__" else value
        frame = frame.withColumn(key, f.lit(literal).cast(types[key]))
    return frame
