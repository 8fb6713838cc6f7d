"""Glue workflows in a cloud: what they are made of."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from millpond.aws.target import Target
from millpond.errors import CloudError


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


def _pages(glue: Any) -> Any:
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
