"""T5: kill -9 of the endpoint while a Glue job runs for a `.sync` task: the same run goes on, and only that one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from soundness import Process, until

from millpond import runtime

pytestmark = [pytest.mark.slow, pytest.mark.spark]

SCRIPT = """
import os, time
with open({ledger!r}, "a") as file:
    file.write("start\\n")
while os.path.exists({block!r}):
    time.sleep(0.05)
with open({ledger!r}, "a") as file:
    file.write("end\\n")
"""


@pytest.mark.parametrize("how", ["runs on", "ended meanwhile"])
def test_t05(process: Process, tmp_path: Path, how: str, figures: Callable[..., None]) -> None:
    runtime.install("5.1", print)
    ledger, block = tmp_path / "ledger", tmp_path / "block"
    block.touch()
    s3, glue = process.client("s3"), process.client("glue")
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="j.py", Body=SCRIPT.format(ledger=str(ledger), block=str(block)))
    command = {"Name": "pythonshell", "ScriptLocation": "s3://jobs/j.py", "PythonVersion": "3.9"}
    glue.create_job(Name="j", Role="arn:aws:iam::000000000000:role/glue", Command=command)
    task: dict[str, Any] = {
        "Type": "Task",
        "Resource": "arn:aws:states:::glue:startJobRun.sync",
        "Parameters": {"JobName": "j"},
        "End": True,
    }
    execution = process.sfn.start_execution(stateMachineArn=process.machine("m", {"T": task}))["executionArn"]
    until(lambda: ledger.exists())
    (run,) = glue.get_job_runs(JobName="j")["JobRuns"]
    process.kill()
    if how == "ended meanwhile":
        block.unlink()
        until(lambda: ledger.read_text() == "start\nend\n")
    process.up()
    if how == "runs on":
        time.sleep(1)
        assert process.sfn.describe_execution(executionArn=execution)["status"] == "RUNNING"
        block.unlink()
    answer = process.ended(execution)
    runs = process.client("glue").get_job_runs(JobName="j")["JobRuns"]
    figures(runs=len(runs))
    assert answer["status"] == "SUCCEEDED"
    assert [found["Id"] for found in runs] == [run["Id"]]
    assert json.loads(answer["output"])["Id"] == run["Id"]
    assert ledger.read_text() == "start\nend\n"
    types = [event["type"] for event in process.history(execution)]
    assert types.count("TaskSubmitted") == types.count("TaskSucceeded") == 1
