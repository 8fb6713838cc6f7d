"""Glue workflows in a cloud: what they are made of, and their runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from millpond.aws.target import Target
from millpond.errors import CloudError

POLL_SECONDS = 0.2
LIVE = ("RUNNING", "STOPPING")


@dataclass(frozen=True)
class Work:
    """A job or crawler of a run: `state` of its last run or crawl, "" before it began; `run` is a job run's id."""

    kind: str
    name: str
    state: str
    seconds: float | None
    error: str
    run: str


@dataclass(frozen=True)
class WorkflowRun:
    """A run of a workflow; `statistics` has AWS's members."""

    workflow: str
    run_id: str
    status: str
    seconds: float | None
    error: str
    works: tuple[Work, ...]
    statistics: Mapping[str, int]

    @property
    def succeeded(self) -> bool:
        """Completed, and nothing in it failed: AWS calls a run COMPLETED though jobs failed."""
        return self.status == "COMPLETED" and all(work.state in ("", "SUCCEEDED") for work in self.works)


def start(target: Target, workflow: str, properties: Mapping[str, str]) -> str:
    """Start a run; its id."""
    started = target.client("glue").start_workflow_run(Name=workflow, RunProperties=dict(properties))
    return str(started["RunId"])


def follow(target: Target, workflow: str, run_id: str) -> Iterator[WorkflowRun]:
    """The run, again and again, until it is over."""
    while True:
        found = get(target, workflow, run_id)
        yield found
        if found.status not in LIVE:
            return
        time.sleep(POLL_SECONDS)


def get(target: Target, workflow: str, run_id: str) -> WorkflowRun:
    """A run as it is now."""
    run = target.client("glue").get_workflow_run(Name=workflow, RunId=run_id, IncludeGraph=True)["Run"]
    works = [_work(node) for node in run.get("Graph", {}).get("Nodes", []) if node["Type"] != "TRIGGER"]
    return WorkflowRun(
        workflow, run_id, run["Status"], _seconds(run), run.get("ErrorMessage", ""), tuple(works), run["Statistics"]
    )


def _work(node: Mapping[str, Any]) -> Work:
    runs = node.get("JobDetails", {}).get("JobRuns", []) + node.get("CrawlerDetails", {}).get("Crawls", [])
    if not runs:
        return Work(node["Type"], node["Name"], "", None, "", "")
    last = runs[-1]
    state = last.get("JobRunState") or last.get("State", "")
    return Work(node["Type"], node["Name"], state, _seconds(last), last.get("ErrorMessage", ""), last.get("Id", ""))


def _seconds(run: Mapping[str, Any]) -> float | None:
    if "CompletedOn" not in run or "StartedOn" not in run:
        return None
    return float((run["CompletedOn"] - run["StartedOn"]).total_seconds())


def find(target: Target, run_id: str) -> str:
    """The workflow that a run is of. CloudError."""
    glue = target.client("glue")
    for page in _pages(glue):
        for name in page:
            try:
                glue.get_workflow_run(Name=name, RunId=run_id)
            except glue.exceptions.EntityNotFoundException:
                continue
            return str(name)
    raise CloudError("EntityNotFoundException", f"no workflow on {target.name} has a run {run_id}")


def read(target: Target, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A workflow with its graph, and the text of its jobs' scripts, as far as they can be read. CloudError."""
    glue = target.client("glue")
    try:
        workflow = glue.get_workflow(Name=name, IncludeGraph=True)["Workflow"]
    except glue.exceptions.EntityNotFoundException:
        known = ", ".join(item for page in _pages(glue) for item in page) or "none"
        raise CloudError(
            "EntityNotFoundException", f"there is no Glue workflow {name} on {target.name}", help=f"there are: {known}"
        ) from None
    jobs = [node["Name"] for node in workflow.get("Graph", {}).get("Nodes", []) if node["Type"] == "JOB"]
    return workflow, {job: _script(target, job) for job in jobs}


def _pages(glue: Any) -> Iterator[list[str]]:
    token: dict[str, str] = {}
    while True:
        answer = glue.list_workflows(**token)
        yield answer["Workflows"]
        if "NextToken" not in answer:
            return
        token = {"NextToken": answer["NextToken"]}


def _script(target: Target, job: str) -> str:
    """A job's script, or nothing: it only tells us what to warn of."""
    try:
        found = target.client("glue").get_job(JobName=job)["Job"]["Command"].get("ScriptLocation", "")
        place = urlsplit(found)
        body = target.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
        return str(body.read(1_000_000).decode("utf-8", "replace"))
    except ClientError:
        return ""
