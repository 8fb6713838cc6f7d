"""The flow's decisions, tested without a cloud: the real flow on a virtual clock, with fake tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond import project
from millpond.testing import FakeTasks, Run, simulate

PROJECT = Path(__file__).resolve().parents[1]
GLUE = "arn:aws:states:::glue:startJobRun.sync"
CRAWL = "arn:aws:states:::aws-sdk:glue"
ATHENA = "arn:aws:states:::athena:startQueryExecution.sync"
MACHINE = project.load(PROJECT).flow().definition


@pytest.fixture
def tasks() -> FakeTasks:
    """A cloud in which everything works, and the clusters are good."""
    fakes = FakeTasks()
    fakes.on(f"{CRAWL}:startCrawler").succeed({})
    fakes.on(f"{CRAWL}:getCrawler").succeed({"Crawler": {"State": "READY", "LastCrawl": {"Status": "SUCCEEDED"}}})
    fakes.on(GLUE).succeed({"Id": "jr_1", "JobRunState": "SUCCEEDED"})
    location = {"ResultConfiguration": {"OutputLocation": "s3://lake/athena/results/q.csv"}}
    fakes.on(ATHENA).succeed({"QueryExecution": location})
    fakes.on("arn:aws:states:::sagemaker:createProcessingJob.sync").succeed({})
    fakes.on("arn:aws:states:::aws-sdk:s3:getObject").succeed({"Body": json.dumps(score(0.6))})
    fakes.on("arn:aws:states:::lambda:invoke", state="Reconcile").succeed({"Payload": {"agree": True, "rows": {}}})
    explained = {"subject": "failed", "message": "why"}
    fakes.on("arn:aws:states:::lambda:invoke", state="Explain").succeed({"Payload": explained})
    fakes.on("arn:aws:states:::sns:publish").succeed({"MessageId": "1"})
    return fakes


def score(silhouette: float) -> dict[str, object]:
    return {"silhouette": silhouette, "clusters": 4, "rows": 10, "segments": {}}


def run(tasks: FakeTasks) -> Run:
    return simulate(MACHINE, {}, tasks=tasks)


def test_all_goes_well(tasks: FakeTasks) -> None:
    done = run(tasks)
    assert done.status == "SUCCEEDED", (done.error, done.cause)
    assert done.output["silhouette"] == 0.6
    assert not done.visited("Notify")
    assert done.states.count("Ingest table") == 7


def test_poor_clusters_are_tried_again_with_fewer(tasks: FakeTasks) -> None:
    tasks.on("arn:aws:states:::aws-sdk:s3:getObject").succeed({"Body": json.dumps(score(0.1))})
    done = run(tasks)
    assert done.status == "SUCCEEDED"
    assert done.states.count("Segment customers") == 3  # at most 8, 6, 4 clusters; then what there is must do


def test_running_crawler_is_joined(tasks: FakeTasks) -> None:
    tasks.on(f"{CRAWL}:startCrawler").fail("Glue.CrawlerRunningException", "already running")
    assert run(tasks).status == "SUCCEEDED"


def test_failed_crawl_is_a_failed_step(tasks: FakeTasks) -> None:
    crawl = {"Status": "FAILED", "ErrorMessage": "no route to host"}
    tasks.on(f"{CRAWL}:getCrawler").succeed({"Crawler": {"State": "READY", "LastCrawl": crawl}})
    done = run(tasks)
    assert (done.status, done.error) == ("FAILED", "Glue.CrawlFailed")
    assert "no route to host" in done.cause
    assert done.visited("Notify")


@pytest.mark.parametrize("step", ["Join", "Write back", "Recency, frequency, money", "Segment customers"])
def test_every_failure_is_published(tasks: FakeTasks, step: str) -> None:
    resource = MACHINE.states[step].resource
    tasks.on(resource, state=step).fail("States.TaskFailed", '{"ErrorMessage": "boom"}')
    done = run(tasks)
    assert (done.status, done.error) == ("FAILED", "States.TaskFailed")
    assert done.visited("Explain")
    assert done.visited("Notify")
    assert done.states[-1] == "Failed"


def test_a_broken_explanation_is_no_reason_for_silence(tasks: FakeTasks) -> None:
    tasks.on(GLUE, state="Join").fail("States.TaskFailed", "boom")
    tasks.on("arn:aws:states:::lambda:invoke", state="Explain").fail("Lambda.Unknown", "gone")
    done = run(tasks)
    assert done.visited("Notify")
    assert done.error == "States.TaskFailed"
