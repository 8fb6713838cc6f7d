"""kill -9 of the endpoint while a workflow runs: nothing is started twice, nothing is lost."""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import Process, until

CHAIN = 5
KILLS = 3
ROLE = "arn:aws:iam::000000000000:role/glue"


def open_workflow(glue: Any, s3: Any) -> None:
    """j0 and a crawler, then j1 when both are done, then j2 ...; each job takes some 0.2 s."""
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="job.py", Body="import time\ntime.sleep(0.2)\n")
    s3.put_object(Bucket="bucket", Key="data/t/x.json", Body='{"a": 1}\n')
    command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": "s3://bucket/job.py"}
    for n in range(CHAIN):
        glue.create_job(Name=f"j{n}", Role=ROLE, Command=command)
    glue.create_crawler(Name="c", Role=ROLE, DatabaseName="d", Targets={"S3Targets": [{"Path": "s3://bucket/data/"}]})
    glue.create_workflow(Name="w")
    glue.create_trigger(
        Name="t0", Type="ON_DEMAND", WorkflowName="w", Actions=[{"JobName": "j0"}, {"CrawlerName": "c"}]
    )
    crawled = {"LogicalOperator": "EQUALS", "CrawlerName": "c", "CrawlState": "SUCCEEDED"}
    for n in range(1, CHAIN):
        ended = {"LogicalOperator": "EQUALS", "JobName": f"j{n - 1}", "State": "SUCCEEDED"}
        glue.create_trigger(
            Name=f"t{n}", Type="CONDITIONAL", WorkflowName="w", StartOnCreation=True, Actions=[{"JobName": f"j{n}"}],
            Predicate={"Logical": "AND", "Conditions": [ended, crawled] if n == 1 else [ended]},
        )  # fmt: skip


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []
    (tmp_path / "data").mkdir(mode=0o700)

    def run() -> Process:
        started.append(Process(tmp_path / "data"))
        return started[-1]

    yield run
    for one in started:
        one.kill()


@pytest.mark.slow
def test_a_killed_workflow_goes_on_and_starts_nothing_twice(start: Callable[[], Process], tmp_path: Path) -> None:
    moments = random.Random(7)
    endpoint = start()
    open_workflow(endpoint.client("glue"), endpoint.client("s3"))
    run = endpoint.client("glue").start_workflow_run(Name="w")["RunId"]
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.05, 0.6))
        endpoint.kill()
        endpoint = start()
    glue = endpoint.client("glue")
    check(glue, run)


def check(glue: Any, run: str) -> None:
    """The run is over, and everything ran once."""
    found = until(lambda: (one := glue.get_workflow_run(Name="w", RunId=run)["Run"])["Status"] != "RUNNING" and one)
    assert found["Status"] == "COMPLETED"
    assert found["Statistics"]["SucceededActions"] == found["Statistics"]["TotalActions"] == CHAIN + 1
    for n in range(CHAIN):
        assert [one["JobRunState"] for one in glue.get_job_runs(JobName=f"j{n}")["JobRuns"]] == ["SUCCEEDED"]
    assert [one["State"] for one in glue.list_crawls(CrawlerName="c")["Crawls"]] == ["COMPLETED"]
    assert len(glue.get_workflow_runs(Name="w")["Runs"]) == 1


@pytest.mark.slow
def test_a_full_disk_delays_a_workflow(start: Callable[[], Process], tmp_path: Path) -> None:
    """S1 for Glue: while nothing can be written, workflow, jobs and crawler wait; then they end, once each."""
    moments, endpoint = random.Random(5), start()
    glue = endpoint.client("glue")
    open_workflow(glue, endpoint.client("s3"))
    pid = endpoint.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    run = glue.start_workflow_run(Name="w")["RunId"]
    for _ in range(3):
        time.sleep(moments.uniform(0.05, 0.5))
        size = (tmp_path / "data" / "endpoint.db-wal").stat().st_size
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
        time.sleep(1.0)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    check(glue, run)
