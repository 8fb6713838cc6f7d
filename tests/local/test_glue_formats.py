"""S3 as a source and a target of DynamicFrames: format options, odd keys and broken files, case by case.

A case of tests/cases/glue_reads is a file: objects, what is read, and what comes of it (schema, rows, what printSchema
says, or an error). One job reads all of them.
"""

from __future__ import annotations

import base64
import bz2
import gzip
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

CASES = Path(__file__).parents[1] / "cases" / "glue_reads"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))
JOB = """
import contextlib, io, json, boto3
cases = json.loads(boto3.client("s3").get_object(Bucket="reads", Key="cases.json")["Body"].read())
for name, case in cases.items():
    read = case["read"]
    said = {}
    try:
        options = {"paths": [f"s3://reads/{name}/{path}" for path in read.get("paths", [""])]}
        frame = glue.create_dynamic_frame.from_options("s3", options | read.get("connection_options", {}),
            read["format"], read.get("format_options", {}))
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            frame.show(50)
        said["rows"] = [json.loads(line) for line in out.getvalue().splitlines()]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            frame.printSchema()
        said["printed"] = out.getvalue().strip()
        said["schema"] = dict(frame.toDF().dtypes)
        said["count"] = frame.count()
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
    print("case " + json.dumps([name, said]))
"""


def body(given: Any) -> bytes:
    if isinstance(given, str):
        return given.encode()
    packed = {"gzip": gzip.compress, "bzip2": bz2.compress, "base64": lambda text: base64.b64decode(text)}
    (made,) = (packed[kind](text.encode()) for kind, text in given.items() if kind in packed)
    return made[: given.get("cut")]


@pytest.fixture(scope="module")
def shop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws, "reads").open()


@pytest.fixture(scope="module")
def told(shop: Workshop) -> dict[str, Any]:
    """What the job says of each case."""
    cases = {name: json.loads((CASES / f"{name}.json").read_text()) for name in NAMES}
    for name, case in cases.items():
        for key, given in case["files"].items():
            shop.put(f"{name}/{key}", body(given))
    shop.put("cases.json", json.dumps(cases))
    shop.job("reads", JOB)
    out = shop.succeed("reads")
    return dict(json.loads(line.removeprefix("case ")) for line in out.splitlines() if line.startswith("case "))


def values(row: dict[str, Any]) -> dict[str, Any]:
    """Without nulls, which show may leave out."""
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("name", NAMES)
def test_a_read(told: dict[str, Any], name: str) -> None:
    expected, found = json.loads((CASES / f"{name}.json").read_text())["expect"], told[name]
    if "error" in expected:
        assert expected["error"] in found.get("error", f"no error, but {found}")
        return
    assert "error" not in found, found["error"]
    if "rows" in expected:
        key = json.dumps
        assert sorted(map(key, map(values, found["rows"]))) == sorted(map(key, map(values, expected["rows"])))
    for what in {"schema", "count", "printed"} & expected.keys():
        assert found[what] == expected[what]
