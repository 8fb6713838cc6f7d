"""Distributed Maps of 100,000 items from S3 with a Pass child: items a second, growth of the endpoint's memory.

The endpoint is a process of its own; the time is from StartExecution to the end of the execution, with 100,000 child
executions and their histories stored, and all results written to S3. R7 of the reliability figures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import peers
from run import Line

ITEMS = 100_000
RATE = 1_500
GROWTH = 150
ROLE = "arn:aws:iam::000000000000:role/bench"
BUCKET = "bench-maps"


def csv(count: int) -> bytes:
    return b"id,name\n" + b"".join(b"%d,item number %d\n" % (n, n) for n in range(count))


def jsonl(count: int) -> bytes:
    return b"".join(b'{"id":%d,"name":"item number %d"}\n' % (n, n) for n in range(count))


def definition(key: str, kind: str) -> dict[str, Any]:
    config = {"InputType": kind} | ({"CSVHeaderLocation": "FIRST_ROW"} if kind == "CSV" else {})
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "Same",
        "States": {"Same": {"Type": "Pass", "End": True}},
    }
    reader = {
        "Resource": "arn:aws:states:::s3:getObject",
        "ReaderConfig": config,
        "Parameters": {"Bucket": BUCKET, "Key": key},
    }
    writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": BUCKET, "Prefix": "out"}}
    each = {"Type": "Map", "ItemProcessor": processor, "ItemReader": reader, "ResultWriter": writer, "End": True}
    return {"StartAt": "Each", "States": {"Each": each}}


def run(ours: Any, key: str, kind: str, count: int) -> tuple[float, float]:
    """Seconds, and megabytes by which the endpoint grew at most."""
    import psutil

    sfn, process = ours.client("stepfunctions"), psutil.Process(ours.process.pid)
    machine = sfn.create_state_machine(name=key, definition=json.dumps(definition(key, kind)), roleArn=ROLE)
    before = most = process.memory_info().rss
    began = time.perf_counter()
    execution = sfn.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        most = max(most, process.memory_info().rss)
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    assert seen["status"] == "SUCCEEDED", seen
    counts = sfn.describe_map_run(mapRunArn=json.loads(seen["output"])["MapRunArn"])["executionCounts"]
    assert (counts["succeeded"], counts["resultsWritten"]) == (count, count), counts
    return seconds, (most - before) / 1e6


def measure() -> Iterator[Line]:
    with peers.ours() as ours:
        s3 = ours.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        tenth = ITEMS // 10
        s3.put_object(Bucket=BUCKET, Key="small.csv", Body=csv(tenth))
        few, _ = run(ours, "small.csv", "CSV", tenth)
        for kind, body in (("CSV", csv(ITEMS)), ("JSONL", jsonl(ITEMS))):
            key = f"items.{kind.lower()}"
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
            seconds, grown = run(ours, key, kind, ITEMS)
            what = f"distributed Map, {ITEMS:,} items from {kind}"
            rate = ITEMS / seconds
            yield Line(what, rate, "items/s", f">= {RATE:,} items/s", rate >= RATE, more_is_better=True)
            yield Line(f"{what}: memory", grown, "MB more", f"<= {GROWTH} MB more", grown <= GROWTH)
            if kind == "CSV":
                ratio = seconds / few
                yield Line(f"{what} / {tenth:,}", ratio, "times the time", "<= 12 for 10 times", ratio <= 12)
