"""Hive's class names for a format: what a table definition says, and what SHOW CREATE TABLE shows again."""

from __future__ import annotations

from typing import Any

TEXT = "org.apache.hadoop.mapred.TextInputFormat"
TEXT_OUT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
LAZY = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"

# STORED AS -> input format, output format, SerDe
STORED: dict[str, tuple[str, str, str]] = {
    "PARQUET": (f"{PARQUET}.MapredParquetInputFormat", f"{PARQUET}.MapredParquetOutputFormat",
                f"{PARQUET}.serde.ParquetHiveSerDe"),
    "ORC": ("org.apache.hadoop.hive.ql.io.orc.OrcInputFormat", "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat",
            "org.apache.hadoop.hive.ql.io.orc.OrcSerde"),
    "TEXTFILE": (TEXT, TEXT_OUT, LAZY),
    "JSON": (TEXT, TEXT_OUT, "org.openx.data.jsonserde.JsonSerDe"),
}  # fmt: skip


def storage(
    stored: str, properties: dict[str, str], serde: str = "", formats: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """The part of a StorageDescriptor that names the format."""
    given, out, library = STORED[stored]
    parameters = {"serialization.format": properties.get("field.delim", "1")} | properties
    return {
        "InputFormat": formats[0] or given,
        "OutputFormat": formats[1] or out,
        "SerdeInfo": {"SerializationLibrary": serde or library, "Parameters": parameters},
    }
