"""Sinks (glueContext.getSink): write a frame, and tell the catalog of a new table, new columns and new partitions."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from botocore.exceptions import ClientError
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from awsglue import _avro, _s3
from awsglue._aws import client, folder, split_uri
from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection

if TYPE_CHECKING:
    from awsglue.context import GlueContext

BATCH = 100
RETENTION_HOURS = 168
HIVE = {  # Spark format -> input format, output format, serialisation library
    "parquet": (
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
    ),
    "orc": (
        "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
        "org.apache.hadoop.hive.ql.io.orc.OrcSerde",
    ),
    "avro": (
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerInputFormat",
        "org.apache.hadoop.hive.ql.io.avro.AvroContainerOutputFormat",
        "org.apache.hadoop.hive.serde2.avro.AvroSerDe",
    ),
    "json": (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.openx.data.jsonserde.JsonSerDe",
    ),
    "csv": (
        "org.apache.hadoop.mapred.TextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
    ),
}


class DataSink:
    """A sink without a catalog: JDBC and what write_dynamic_frame knows."""

    def __init__(self, glue_context: GlueContext, kind: str, format: str | None, options: Mapping[str, Any]) -> None:
        self.glue_context, self.kind, self.format, self.options = glue_context, kind, format, dict(options)
        self.format_options: dict[str, Any] = {}

    def setFormat(self, format: str, **options: Any) -> None:
        self.format, self.format_options = format, options

    def setAccumulableSize(self, size: int) -> None:
        """Of error records, which there are none of."""

    def setCatalogInfo(self, catalogDatabase: str, catalogTableName: str, catalogId: str = "") -> None:
        raise NotImplementedError(f"a sink of {self.kind} with catalog information is not carried, s3 is")

    def writeFrame(self, dynamic_frame: DynamicFrame, info: str = "") -> DynamicFrame:
        return self.glue_context.write_dynamic_frame_from_options(
            dynamic_frame, self.kind, self.options, self.format, self.format_options
        )

    def writeDataFrame(self, data_frame: DataFrame, glue_context: GlueContext, info: str = "") -> DataFrame:
        """writeFrame of a DataFrame."""
        self.writeFrame(DynamicFrame.fromDF(data_frame, glue_context, ""), info)
        return data_frame

    def write(self, dynamic_frame_or_dfc: Any, info: str = "") -> Any:
        if isinstance(dynamic_frame_or_dfc, DynamicFrame):
            return self.writeFrame(dynamic_frame_or_dfc, info)
        assert isinstance(dynamic_frame_or_dfc, DynamicFrameCollection)
        for frame in dynamic_frame_or_dfc.values():
            self.writeFrame(frame, info)
        return dynamic_frame_or_dfc


class S3Sink(DataSink):
    """Files below a prefix. With catalog information and `enableUpdateCatalog`, the table follows."""

    def __init__(self, glue_context: GlueContext, format: str | None, options: Mapping[str, Any]) -> None:
        super().__init__(glue_context, "s3", format, options)
        self.table: tuple[str, str] | None = None

    def setCatalogInfo(self, catalogDatabase: str, catalogTableName: str, catalogId: str = "") -> None:
        self.table = (catalogDatabase, catalogTableName)

    def writeFrame(self, dynamic_frame: DynamicFrame, info: str = "") -> DynamicFrame:
        made = super().writeFrame(dynamic_frame, info)
        frame = dynamic_frame.toDF()
        if str(self.options.get("enableUpdateCatalog", "")).lower() == "true" and frame.columns:
            if self.table is None:
                raise ValueError("enableUpdateCatalog needs setCatalogInfo(catalogDatabase, catalogTableName)")
            self._update(frame.schema, list(self.options.get("partitionKeys") or []))
        return made

    def _update(self, schema: StructType, keys: list[str]) -> None:
        assert self.table is not None
        database, name = self.table
        storage = self._storage(schema, keys)
        kinds = {one.name: one.dataType.simpleString() for one in schema}
        wanted = {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": key.lower(), "Type": kinds[key]} for key in keys],
            "StorageDescriptor": storage,
            "Parameters": storage["Parameters"],
        }
        try:
            known = client("glue").get_table(DatabaseName=database, Name=name)["Table"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            client("glue").create_table(DatabaseName=database, TableInput=wanted)
            known = wanted
        if self.options.get("updateBehavior", "UPDATE_IN_DATABASE") == "UPDATE_IN_DATABASE":
            self._add_columns(database, known, wanted)
        if keys:
            self._add_partitions(database, name, keys, storage)

    def _storage(self, schema: StructType, keys: list[str]) -> dict[str, Any]:
        kind = _s3.known(self.format)
        reads, writes, library = HIVE[kind]
        serde: dict[str, str] = {"serialization.format": "1"}
        parameters = {"classification": kind, "typeOfData": "file"}
        if kind == "avro":
            said = StructType([one for one in schema if one.name not in keys])
            literal = json.dumps(_avro.schema_of(json.loads(said.json())))
            serde["avro.schema.literal"] = parameters["avro.schema.literal"] = literal
        if kind == "csv":
            serde = {"field.delim": str(self.format_options.get("separator", ","))}
            if str(self.format_options.get("writeHeader", True)).lower() == "true":
                parameters["skip.header.line.count"] = "1"
        columns = [
            {"Name": one.name.lower(), "Type": one.dataType.simpleString()} for one in schema if one.name not in keys
        ]
        return {
            "Columns": columns,
            "Location": self.options["path"],
            "InputFormat": reads,
            "OutputFormat": writes,
            "SerdeInfo": {"SerializationLibrary": library, "Parameters": serde},
            "Parameters": parameters,
        }

    @staticmethod
    def _add_columns(database: str, known: dict[str, Any], wanted: dict[str, Any]) -> None:
        columns = known["StorageDescriptor"]["Columns"]
        names = {column["Name"] for column in columns}
        if new := [column for column in wanted["StorageDescriptor"]["Columns"] if column["Name"] not in names]:
            storage = {**known["StorageDescriptor"], "Columns": [*columns, *new]}
            taken = ("Name", "Description", "Owner", "Retention", "PartitionKeys", "TableType", "Parameters")
            made = {member: known[member] for member in taken if member in known}
            client("glue").update_table(DatabaseName=database, TableInput={**made, "StorageDescriptor": storage})

    def _add_partitions(self, database: str, name: str, keys: list[str], storage: dict[str, Any]) -> None:
        glue = client("glue")
        pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=name)
        known = {tuple(one["Values"]) for page in pages for one in page["Partitions"]}
        base = folder(self.options["path"])
        found: dict[tuple[str, ...], str] = {}
        for one in _s3.listing(self.glue_context.spark_session, base):
            parts = one.uri[len(base) :].split("/")[: len(keys)]
            if all(part.partition("=")[0] == key for part, key in zip(parts, keys, strict=True)):
                values = tuple(unquote(part.partition("=")[2]) for part in parts)
                found[values] = base + "/".join(parts) + "/"
        new = [(values, place) for values, place in found.items() if values not in known]
        for start in range(0, len(new), BATCH):
            answer = glue.batch_create_partition(
                DatabaseName=database,
                TableName=name,
                PartitionInputList=[
                    {"Values": list(values), "StorageDescriptor": {**storage, "Location": place}}
                    for values, place in new[start : start + BATCH]
                ],
            )
            if answer.get("Errors"):
                raise RuntimeError(f"the catalog refused partitions of {database}.{name}: {answer['Errors'][0]}")


def purge(path: str, options: Mapping[str, Any]) -> None:
    """purge_s3_path. `manifestFilePath`: Success.csv and Failed.csv there say what was deleted and what was not."""
    hours = float(options.get("retentionPeriod", RETENTION_HOURS))
    before = datetime.datetime.fromtimestamp(time.time() - hours * 3600, datetime.UTC) if hours else None
    spared = set(options.get("excludeStorageClasses", []))
    bucket, prefix = split_uri(folder(path))
    s3 = client("s3")
    done: list[str] = []
    failed: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        old = [
            {"Key": one["Key"]}
            for one in page.get("Contents", [])
            if (before is None or one["LastModified"] < before) and one.get("StorageClass", "STANDARD") not in spared
        ]
        if old:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": old})
            done += [f"s3://{bucket}/{one['Key']}" for one in answer.get("Deleted", [])]
            failed += [f"s3://{bucket}/{one['Key']},{one.get('Message', '')}" for one in answer.get("Errors", [])]
    if place := options.get("manifestFilePath"):
        where, inside = split_uri(folder(place))
        for name, lines in (("Success.csv", done), ("Failed.csv", failed)):
            s3.put_object(Bucket=where, Key=f"{inside}{name}", Body="".join(f"{line}\n" for line in lines).encode())
    if failed:
        raise RuntimeError(f"cannot purge {path}: {failed[0]}")
