"""R7: a distributed Map over a large object of S3, with a Pass child: all items, exact counters, bounded memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process

pytestmark = pytest.mark.slow

GROWTH = 150  # MB


def body(kind: str, count: int) -> bytes:
    if kind == "CSV":
        return b"id,name\n" + b"".join(b"%d,item number %d\n" % (n, n) for n in range(count))
    return b"".join(b'{"id":%d,"name":"item number %d"}\n' % (n, n) for n in range(count))


def resident(pid: int) -> float:
    """MB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("resident memory is read in /proc")
    return int(status.read_text().split("VmRSS:")[1].split()[0]) / 1024


def states(kind: str) -> dict[str, Any]:
    config = {"InputType": kind} | ({"CSVHeaderLocation": "FIRST_ROW"} if kind == "CSV" else {})
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Same",
        "States": {"Same": {"Type": "Pass", "End": True}},
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": config,
        "Parameters": {"Bucket": "data", "Key": kind},
    }
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "data", "Prefix": f"out-{kind}"}}
    return {"Each": {"Type": "Map", "ItemProcessor": processor, "ItemReader": reader, "ResultWriter": writer,
                     "End": True}}  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["CSV", "JSONL"])
def test_r07(process: Process, kind: str, full: bool, figures: Callable[..., None]) -> None:
    count = 100_000 if full else 5_000
    sfn, s3 = process.sfn, process.client("s3")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key=kind, Body=body(kind, count))
    machine = process.machine("m", states(kind))
    before = most = resident(process.process.pid)
    began = time.monotonic()
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    while (answer := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        most = max(most, resident(process.process.pid))
        time.sleep(0.05)
    seconds = time.monotonic() - began
    assert answer["status"] == "SUCCEEDED", answer
    output = json.loads(answer["output"])
    counts = sfn.describe_map_run(mapRunArn=output["MapRunArn"])["itemCounts"]
    manifest = json.loads(s3.get_object(Bucket="data", Key=output["ResultWriterDetails"]["Key"])["Body"].read())
    written: list[int] = []
    for file in manifest["ResultFiles"]["SUCCEEDED"]:
        results = json.loads(s3.get_object(Bucket="data", Key=file["Key"])["Body"].read())
        written += [int(json.loads(result["Output"])["id"]) for result in results]
    figures(
        input=kind, items=count, results_written=len(written), items_per_second=round(count / seconds),
        grown_mb=round(most - before),
    )  # fmt: skip
    assert sorted(written) == list(range(count))
    assert (counts["total"], counts["succeeded"], counts["resultsWritten"]) == (count, count, count)
    assert not counts["failed"] + counts["pending"] + counts["running"] + counts["aborted"] + counts["timedOut"]
    assert most - before <= GROWTH
