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

ROWS, RECORDS = 40_000, 250  # of a file
# With --hold N each of its two tasks stands still after N of its 20,000 rows, amid its writing, and tells it: a
# quick job would have committed before it is killed. A task writes one file after the other, while it gets its rows.
COPY = f"""
import os, time
from pyspark.sql.functions import udf
given = dict(zip(sys.argv, sys.argv[1:]))
hold, block = int(given.get("--hold", {ROWS})), given.get("--block", "")

def waits(n, seen=[0]):
    seen[0] += 1
    while seen[0] > hold and os.path.exists(block):
        open(block + ".held", "w").close()
        time.sleep(0.05)
    return "x" * 500  # Python gives its answers on by 64 KB

paths = {{"paths": ["s3://workshop/in/"]}}
source = glue.create_dynamic_frame.from_options("s3", paths, "json", transformation_ctx="in")
if source.toDF().columns:
    rows = source.toDF().selectExpr("explode(sequence(n, n + {ROWS - 1})) as n")
    rows = rows.repartition(2).select("n", udf(waits)("n").alias("text"))
    rows.write.mode("append").option("maxRecordsPerFile", {RECORDS}).parquet("s3://workshop/out/")
    print("written")
job.commit()
"""


def test_t01(process: Process, full: bool, tmp_path: Path, figures: Callable[..., None]) -> None:
    runtime.install("5.1", print)
    block, held = tmp_path / "block", tmp_path / "block.held"
    shop, seed, kills = Workshop(process.client).open(), random.Random(1), 10 if full else 3
    shop.put("in/a.json", '{"n": 0}\n')
    shop.job("copy", COPY, DefaultArguments=BOOKMARK)
    stage = process.data / "spark-stage"
    visible = moved = 0
    slowest = 0.0
    for _ in range(kills):
        block.touch()
        held.unlink(missing_ok=True)
        hold = seed.randrange(ROWS // 4, ROWS // 2)
        run_id = shop.start("copy", Arguments={"--hold": str(hold), "--block": str(block)})
        victim = pids(process, run_id)
        deadline = time.monotonic() + 240
        while not (held.exists() and any(p.suffix == ".parquet" for p in stage.rglob("*"))):
            assert time.monotonic() < deadline and not over(shop, run_id), shop.log(run_id, "error")
            time.sleep(0.05)
        assert not over(shop, run_id) and not shop.keys("out/")
        os.kill(victim["jvm"], signal.SIGKILL)
        block.unlink()
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
