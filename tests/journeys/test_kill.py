"""kill -9 of the endpoint during the Map, then `millpond up`: the run goes on, nothing is ingested twice."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from conftest_journey import TABLES, Journey

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(1200)]


def test_run_survives_kill_during_the_map(journey: Journey) -> None:
    with journey.locked("sales.exchange_rates"):  # its job waits: a quick machine would be through with all of them
        arn = killed_during_the_map(journey)
        journey.up()
    deadline = time.monotonic() + 900
    while (found := journey.boto3("stepfunctions").describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the run did not end"
        time.sleep(0.5)
    assert found["status"] == "SUCCEEDED", found
    journey.reconcile()

    glue = journey.boto3("glue")
    runs = {job: glue.get_job_runs(JobName=job)["JobRuns"] for job in glue.list_jobs()["JobNames"] if "-ingest" in job}
    ended = [run for found_runs in runs.values() for run in found_runs if run["JobRunState"] == "SUCCEEDED"]
    assert len(ended) == len(TABLES), [(run["JobName"], run["JobRunState"]) for run in ended]
    for job in runs:
        if job.endswith(("-orders", "-order-items")):
            assert glue.get_job_bookmark(JobName=job)["JobBookmarkEntry"]["Run"] == 1


def killed_during_the_map(journey: Journey) -> str:
    """Start a run and kill the endpoint once a table is done and others are not; the execution's ARN."""
    started = journey.json("run", "--detach")
    states = journey.boto3("stepfunctions")
    arn = str(started["executionArn"])
    deadline = time.monotonic() + 600
    while True:  # until one table is done and others are not
        events = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        done = [event for event in events if event["type"] == "MapIterationSucceeded"]
        if done:
            break
        assert states.describe_execution(executionArn=arn)["status"] == "RUNNING"
        assert time.monotonic() < deadline, "no table was ingested in 600 s"
        time.sleep(0.2)
    assert len(done) < len(TABLES)
    pid = json.loads((journey.folder / ".millpond" / "endpoint.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    time.sleep(1.0)
    return arn
