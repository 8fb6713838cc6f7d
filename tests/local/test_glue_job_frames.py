"""The documented examples of DynamicFrame, the transforms and data quality: one job runs them all.

A case is a script in tests/cases/awsglue/examples and what it prints; it has `glueContext`, `spark`, `frame(records)`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import runtime

pytestmark = [pytest.mark.spark, pytest.mark.slow]

CASES = sorted((Path(__file__).parents[1] / "cases" / "awsglue" / "examples").glob("*.py"))
RUN = """
import contextlib, io, json, traceback

from awsglue.dynamicframe import *
from awsglue.gluetypes import StringType
from awsgluedq.transforms import DQDLError, EvaluateDataQuality
spark.conf.set("spark.sql.shuffle.partitions", "1")
spark.conf.set("spark.sql.adaptive.enabled", "false")

def frame(records):
    made = glue.create_dynamic_frame.from_rdd(spark.sparkContext.parallelize(records, 1), "frame")
    return made

for name in CASES:
    printed = io.StringIO()
    script = boto3.client("s3").get_object(Bucket="workshop", Key=f"cases/{name}.py")["Body"].read().decode()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(script, name, "exec"), {**globals(), "glueContext": glue})
        except Exception:
            print(traceback.format_exc())
    print("CASE " + json.dumps([name, printed.getvalue()]))
"""
MEDICARE = """drg definition,provider id,provider name,average covered charges
039 - EXTRACRANIAL,10001,SOUTHEAST,$32963.07
948 - SIGNS,INC,INC,$11961.41
"""


QUOTED = 'id;name;note\n1;"a; b";"x ""y"" z"\n2;c;"say \\"hi\\""\n'


@pytest.fixture(scope="module")
def printed(aws: Callable[[str], Any]) -> dict[str, str]:
    """What each case printed."""
    runtime.install("5.1", print)
    shop = Workshop(aws).open()
    for case in CASES:
        shop.put(f"cases/{case.name}", case.read_text())
    shop.put("events/a.json", '{"id": 1, "who": {"age": 3}}\n{"id": "two", "tags": ["a"]}\nnot json\n')
    shop.put("whole.json", '[{"v": 1},\n {"v": 2.5}]')
    shop.put("medicare/m.csv", MEDICARE)
    columns = [("drg definition", "string"), ("provider id", "bigint"), ("provider name", "string")]
    columns += [("average covered charges", "string")]
    aws("glue").create_database(DatabaseInput={"Name": "payments"})
    aws("glue").create_table(
        DatabaseName="payments",
        TableInput={
            "Name": "medicare",
            "Parameters": {"classification": "csv", "skip.header.line.count": "1", "delimiter": ","},
            "StorageDescriptor": {
                "Columns": [{"Name": name, "Type": kind} for name, kind in columns],
                "Location": "s3://workshop/medicare/",
            },
        },
    )
    shop.put("visits/month=05/a.json", '{"Id": 1, "n": 1, "at": {"x": 1}, "extra": true}\n{"Id": "two", "n": 2}\n')
    visits = [("id", "bigint"), ("n", "bigint"), ("at", "struct<x:bigint>"), ("absent", "string"), ("when", "date")]
    aws("glue").create_table(
        DatabaseName="payments",
        TableInput={
            "Name": "visits",
            "PartitionKeys": [{"Name": "month", "Type": "string"}],
            "Parameters": {"classification": "json"},
            "StorageDescriptor": {
                "Columns": [{"Name": name, "Type": kind} for name, kind in visits],
                "Location": "s3://workshop/visits/",
            },
        },
    )
    shop.put("quoted/kind=a/q.csv", QUOTED)
    aws("glue").create_table(
        DatabaseName="payments",
        TableInput={
            "Name": "quoted",
            "PartitionKeys": [{"Name": "kind", "Type": "string"}],
            "Parameters": {"skip.header.line.count": "1"},
            "StorageDescriptor": {
                "Columns": [{"Name": name, "Type": "string"} for name in ("id", "name", "note", "more")],
                "Location": "s3://workshop/quoted/",
                "SerdeInfo": {
                    "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
                    "Parameters": {"separatorChar": ";", "quoteChar": '"', "escapeChar": "\\"},
                },
            },
        },
    )
    place = {"Values": ["a"], "StorageDescriptor": {"Location": "s3://workshop/quoted/kind=a/"}}
    aws("glue").create_partition(DatabaseName="payments", TableName="quoted", PartitionInput=place)
    place = {"Values": ["05"], "StorageDescriptor": {"Location": "s3://workshop/visits/month=05/"}}
    aws("glue").create_partition(DatabaseName="payments", TableName="visits", PartitionInput=place)
    names = [case.stem for case in CASES]
    out = shop.succeed(shop.job("frames", f"import boto3\nCASES = {names!r}\n{RUN}"), seconds=900)
    found = dict(json.loads(line.removeprefix("CASE ")) for line in out.splitlines() if line.startswith("CASE "))
    assert sorted(found) == names
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_an_example_prints_what_aws_documents(printed: dict[str, str], case: Path) -> None:
    assert printed[case.stem] == case.with_suffix(".out").read_text()
