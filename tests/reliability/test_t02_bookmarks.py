"""T2: a bookmark moves at job.commit() only, and once; a second concurrent run is refused."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from soundness import Process, until

sys.path.insert(0, str(Path(__file__).parents[1] / "local"))
from glue_jobs import BOOKMARK, Workshop

from millpond import runtime

pytestmark = [pytest.mark.slow, pytest.mark.spark]

SHOP = """
import time
source = glue.create_dynamic_frame.from_options("sqlite",
    {"url": "jdbc:sqlite:" + getResolvedOptions(sys.argv, ["file"])["file"], "dbtable": "t",
     "jobBookmarkKeys": ["id"]}, transformation_ctx="t")
print("rows", source.count())
how = getResolvedOptions(sys.argv, ["how"])["how"]
if how == "exits":
    sys.exit(3)
if how == "hangs":
    time.sleep(600)
job.commit()
if how == "twice":
    job.commit()
if how == "raises":
    raise RuntimeError("after the commit")
"""


def test_t02(process: Process, tmp_path: Path, figures: Callable[..., None]) -> None:
    runtime.install("5.1", print)
    shop, file = Workshop(process.client).open(), tmp_path / "t.db"
    glue = shop.aws("glue")
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE t (id INTEGER)")
        db.execute("INSERT INTO t VALUES (1), (2)")
        db.commit()
    shop.job("copy", SHOP, DefaultArguments={**BOOKMARK, "--file": str(file)})

    def version() -> int:
        try:
            return int(glue.get_job_bookmark(JobName="copy")["JobBookmarkEntry"]["Version"])
        except glue.exceptions.EntityNotFoundException:
            return 0

    def advanced(how: str, state: str) -> int:
        """By how much a run moves the bookmark's version."""
        before = version()
        run_id = shop.start("copy", Arguments={"--how": how})
        if how == "hangs":
            until(lambda: "rows" in shop.log(run_id))
            with pytest.raises(glue.exceptions.ConcurrentRunsExceededException):
                shop.start("copy", Arguments={"--how": "twice"})
            glue.batch_stop_job_run(JobName="copy", JobRunIds=[run_id])
        assert shop.wait("copy", run_id)["JobRunState"] == state
        return version() - before

    found = {
        "exit before the commit": advanced("exits", "FAILED"),
        "stopped before the commit": advanced("hangs", "STOPPED"),
        "raise after the commit": advanced("raises", "FAILED"),
        "commit twice": advanced("twice", "SUCCEEDED"),
    }
    figures(**{name.replace(" ", "_"): moved for name, moved in found.items()})
    assert list(found.values()) == [0, 0, 1, 1]
