"""T5: kills. A killed endpoint loses no run. (T1, a killed job, is a row of tests/reliability.)"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import Process, until
from glue_jobs import BOOKMARK, Workshop

from millpond import runtime
from millpond.ports import free_port

pytestmark = [pytest.mark.spark, pytest.mark.slow]


class Lasting(Process):
    """The endpoint on the same state and port in each of its lives, for its jobs go on calling it."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, port=free_port())

    @property
    def shop(self) -> Workshop:
        return Workshop(self.client)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Lasting]:
    runtime.install("5.1", print)
    made = Lasting(tmp_path / "data")
    made.shop.open()
    yield made
    if made.process.poll() is not None:
        made.up()
    for name in made.shop.aws("glue").list_jobs()["JobNames"]:
        for run in made.shop.aws("glue").get_job_runs(JobName=name)["JobRuns"]:
            made.shop.aws("glue").batch_stop_job_run(JobName=name, JobRunIds=[run["Id"]])
            made.shop.wait(name, run["Id"])
    made.stop()
    for folder in (made.data / "glue" / "hosts").glob("*"):
        until(lambda folder=folder: not living(folder))


def living(folder: Path) -> bool:
    import fcntl

    try:
        with (folder / "alive").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def pids(process: Lasting, run_id: str) -> dict[str, Any]:
    path = process.data / "glue" / "runs" / run_id / "process.json"
    found: dict[str, Any] = json.loads(until(lambda: path.exists() and path.read_text()))
    return found


WAITS = """
import os, time, boto3
print("began", os.getpid())
s3 = boto3.client("s3")
while True:
    try:
        if s3.list_objects_v2(Bucket="workshop", Prefix="go/").get("Contents"):
            break
    except Exception as error:
        print("endpoint away")
    time.sleep(0.1)
glue.create_dynamic_frame.from_options("s3", {"paths": ["s3://workshop/in/"]}, "json", transformation_ctx="in")
spark.range(5).write.mode("append").parquet("s3://workshop/out/")
job.commit()
print("ended")
"""


def test_t5_a_killed_endpoint_finds_its_runs_again(process: Lasting) -> None:
    shop = process.shop
    shop.put("in/a.json", '{"n": 0}\n')
    shop.job("waits", WAITS, DefaultArguments=BOOKMARK)
    run_id = shop.start("waits")
    shop.wait("waits", run_id, ("RUNNING",))
    until(lambda: "began" in shop.log(run_id))
    process.kill()
    process.up()
    shop = process.shop
    assert shop.look("waits", run_id)["JobRunState"] == "RUNNING"
    process.kill()
    process.up()
    shop = process.shop
    shop.put("go/now", "")
    assert shop.wait("waits", run_id)["JobRunState"] == "SUCCEEDED"
    out = shop.log(run_id).splitlines()
    assert sum(line.startswith("began") for line in out) == 1 and out[-2:-1] == ["ended"]
    assert shop.aws("glue").get_job_bookmark(JobName="waits")["JobBookmarkEntry"]["RunId"] == run_id
    assert pq.read_table(process.data / "s3" / "workshop" / "out").num_rows == 5
    assert [run["Id"] for run in shop.aws("glue").get_job_runs(JobName="waits")["JobRuns"]] == [run_id]


def test_t5_a_run_that_ended_while_the_endpoint_was_dead(process: Lasting, tmp_path: Path) -> None:
    shop = process.shop
    block = tmp_path / "block"
    block.touch()
    waits = f"import os, time\nprint('on')\nwhile os.path.exists({str(block)!r}): time.sleep(0.05)\nprint('off')\n"
    shop.job("short", waits, head=False, kind="pythonshell")
    run_id = shop.start("short")
    shop.wait("short", run_id, ("RUNNING",))
    process.kill()
    block.unlink()
    until(lambda: (process.data / "glue" / "runs" / run_id / "outcome.json").exists())
    process.up()
    assert process.shop.wait("short", run_id)["JobRunState"] == "SUCCEEDED"
    assert process.shop.log(run_id).splitlines()[-1] == "off"


def test_a_run_of_an_earlier_endpoint_can_be_stopped(process: Lasting) -> None:
    shop = process.shop
    shop.job("forever", "import time\ntime.sleep(600)\n", head=False)
    run_id = shop.start("forever")
    shop.wait("forever", run_id, ("RUNNING",))
    victim = pids(process, run_id)
    process.kill()
    process.up()
    process.shop.aws("glue").batch_stop_job_run(JobName="forever", JobRunIds=[run_id])
    assert process.shop.wait("forever", run_id)["JobRunState"] == "STOPPED"
    for pid in (victim["pid"], victim["jvm"], victim["host"]):
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())


def test_a_run_whose_host_is_killed_is_failed(process: Lasting) -> None:
    shop = process.shop
    shop.job("orphaned", "import time\ntime.sleep(600)\n", head=False)
    run_id = shop.start("orphaned")
    shop.wait("orphaned", run_id, ("RUNNING",))
    victim = pids(process, run_id)
    os.kill(victim["host"], signal.SIGKILL)
    run = shop.wait("orphaned", run_id)
    assert run["JobRunState"] == "FAILED" and "lost" in run["ErrorMessage"]
    for pid in (victim["pid"], victim["jvm"]):
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
