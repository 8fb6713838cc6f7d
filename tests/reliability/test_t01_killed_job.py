"""T1: a Glue job killed while it writes leaves nothing visible and moves no bookmark; the next run does it all."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from soundness import Process, until

sys.path.insert(0, str(Path(__file__).parents[1] / "local"))
from glue_jobs import BOOKMARK, Workshop

from millpond import runtime

pytestmark = [pytest.mark.slow, pytest.mark.spark]

ROWS, PARTITIONS = 40_000, 40
COPY = f"""
paths = {{"paths": ["s3://workshop/in/"]}}
source = glue.create_dynamic_frame.from_options("s3", paths, "json", transformation_ctx="in")
if source.toDF().columns:
    rows = source.toDF().selectExpr("explode(sequence(n, n + {ROWS - 1})) as n")
    rows = rows.selectExpr("n", "n % {PARTITIONS} as p")
    rows.repartition(2).write.mode("append").partitionBy("p").parquet("s3://workshop/out/")
    print("written")
job.commit()
"""


def test_t01(process: Process, full: bool, figures: Callable[..., None]) -> None:
    runtime.install("5.1", print)
    shop, seed, kills = Workshop(process.client).open(), random.Random(1), 10 if full else 3
    shop.put("in/a.json", '{"n": 0}\n')
    shop.job("copy", COPY, DefaultArguments=BOOKMARK)
    stage = process.data / "spark-stage"
    visible = moved = 0
    slowest = 0.0
    for _ in range(kills):
        run_id = shop.start("copy")
        victim = pids(process, run_id)
        # at some number of files that are being written or written; the last ones are too near to the commit to hit
        files = seed.randrange(1, PARTITIONS + PARTITIONS // 2)
        deadline = time.monotonic() + 120
        while sum(len(names) for _, _, names in os.walk(stage)) < files:
            assert not shop.keys("out/"), "the job committed before the kill: more rows are needed"
            assert time.monotonic() < deadline and not over(shop, run_id)
            time.sleep(0.002)
        os.kill(victim["jvm"], signal.SIGKILL)
        began = time.monotonic()
        run = shop.wait("copy", run_id)
        slowest = max(slowest, time.monotonic() - began)
        assert run["JobRunState"] == "FAILED" and run["ErrorMessage"], run
        assert "Error" in shop.log(run_id, "error")
        visible += len(shop.keys("out/"))
        moved += has_bookmark(shop)
    process.down()
    process.up()
    assert [p for p in stage.rglob("*") if p.is_file() and "rows" not in p.parts] == []
    shop = Workshop(process.client)
    assert shop.run("copy")["JobRunState"] == "SUCCEEDED"
    assert pq.read_table(process.data / "s3" / "workshop" / "out").num_rows == ROWS
    assert shop.aws("glue").get_job_bookmark(JobName="copy")["JobBookmarkEntry"]["Run"] == 1
    assert "written\n" not in shop.succeed("copy")  # nothing is new
    found = pq.read_table(process.data / "s3" / "workshop" / "out").num_rows
    figures(
        kills=kills, objects_visible=visible, bookmarks_moved=moved, rows=found, failed_after_seconds=round(slowest, 1)
    )
    assert (visible, moved, found) == (0, 0, ROWS)


def has_bookmark(shop: Workshop) -> bool:
    try:
        shop.aws("glue").get_job_bookmark(JobName="copy")
    except shop.aws("glue").exceptions.EntityNotFoundException:
        return False
    return True


def over(shop: Workshop, run_id: str) -> bool:
    return shop.look("copy", run_id)["JobRunState"] in ("SUCCEEDED", "FAILED")


def pids(process: Process, run_id: str) -> dict[str, Any]:
    path = process.data / "glue" / "runs" / run_id / "process.json"
    found: dict[str, Any] = json.loads(until(lambda: path.exists() and path.read_text()))
    return found
