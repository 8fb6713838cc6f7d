"""What the tests of Glue jobs share: a job from a script, a run to its end, its log."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OVER = ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED")
HEAD = """
import sys
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame
from awsglue.job import Job
from awsglue.transforms import *
from awsglue.utils import getResolvedOptions
args = getResolvedOptions(sys.argv, ["JOB_NAME"])
glue = GlueContext(SparkContext.getOrCreate())
spark = glue.spark_session
job = Job(glue)
job.init(args["JOB_NAME"], args)
"""
BOOKMARK = {"--job-bookmark-option": "job-bookmark-enable"}


@dataclass(frozen=True)
class Workshop:
    """Makes and runs jobs on an endpoint."""

    aws: Callable[[str], Any]
    bucket: str = "workshop"

    def open(self) -> Workshop:
        self.aws("s3").create_bucket(Bucket=self.bucket)
        return self

    def job(self, name: str, script: str, *, head: bool = True, kind: str = "glueetl", **more: Any) -> str:
        """Create (or change) a job; returns its name."""
        key = f"jobs/{name}.py"
        self.put(key, (HEAD if head else "") + textwrap.dedent(script))
        definition = {
            "Role": "arn:aws:iam::000000000000:role/glue",
            "Command": {"Name": kind, "ScriptLocation": f"s3://{self.bucket}/{key}", "PythonVersion": "3"},
            **more,
        }
        glue = self.aws("glue")
        if name in glue.list_jobs()["JobNames"]:
            glue.update_job(JobName=name, JobUpdate=definition)
        else:
            glue.create_job(Name=name, **definition)
        return name

    def start(self, name: str, **more: Any) -> str:
        run_id: str = self.aws("glue").start_job_run(JobName=name, **more)["JobRunId"]
        return run_id

    def look(self, name: str, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self.aws("glue").get_job_run(JobName=name, RunId=run_id)["JobRun"]
        return run

    def wait(self, name: str, run_id: str, states: tuple[str, ...] = OVER, seconds: float = 240) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while (run := self.look(name, run_id))["JobRunState"] not in states:
            assert time.monotonic() < until, f"{name} is still {run['JobRunState']}\n{self.log(run_id)}"
            time.sleep(0.05)
        return run

    def run(self, name: str, **more: Any) -> dict[str, Any]:
        return self.wait(name, self.start(name, **more))

    def succeed(self, name: str, *, seconds: float = 240, **more: Any) -> str:
        """Run; returns the output. Fails the test with the job's log when the run does not succeed."""
        run = self.wait(name, self.start(name, **more), seconds=seconds)
        assert run["JobRunState"] == "SUCCEEDED", f"{run.get('ErrorMessage')}\n{self.log(run['Id'], 'error')}"
        return self.log(run["Id"])

    def log(self, run_id: str, which: str = "output") -> str:
        logs = self.aws("logs")
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws-glue/jobs/{which}", logStreamNames=[run_id]
            )
            return "\n".join(event["message"] for page in pages for event in page["events"])
        except logs.exceptions.ResourceNotFoundException:
            return ""

    def put(self, key: str, body: str | bytes) -> str:
        self.aws("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return f"s3://{self.bucket}/{key}"

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.aws("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]
