"""SageMaker processing jobs: inputs from S3, a real process, outputs to S3, AWS's words for what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

SCRIPT = """
import os, pathlib, sys
source, target = map(pathlib.Path, sys.argv[1:3])
text = "".join(path.read_text() for path in sorted(source.rglob("*.txt")))
print("read", len(text))
(target / "deep").mkdir()
(target / "deep" / "out.txt").write_text(text.upper() + os.environ["WORD"])
pathlib.Path(os.environ["MESSAGE"]).write_text("all is well")
"""


@pytest.fixture(scope="module")
def bucket(aws: Callable[[str], Any]) -> str:
    s3 = aws("s3")
    s3.create_bucket(Bucket="processing")
    s3.put_object(Bucket="processing", Key="code/work.py", Body=SCRIPT.encode())
    s3.put_object(Bucket="processing", Key="code/fail.py", Body=b"print('begin')\nraise ValueError('no such column')\n")
    s3.put_object(Bucket="processing", Key="code/sleep.py", Body=b"import time\ntime.sleep(600)\n")
    s3.put_object(Bucket="processing", Key="in/a.txt", Body=b"a")
    s3.put_object(Bucket="processing", Key="in/more/b.txt", Body=b"b")
    return "processing"


def job(name: str, script: str, **changes: Any) -> dict[str, Any]:
    base = "/opt/ml/processing"
    return {
        "ProcessingJobName": name,
        "RoleArn": "arn:aws:iam::000000000000:role/ml-processing",
        "AppSpecification": {
            "ImageUri": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
            "ContainerEntrypoint": ["python3", f"{base}/input/code/{script}"],
            "ContainerArguments": [f"{base}/input/data", f"{base}/output/text"],
        },
        "Environment": {"WORD": "!", "MESSAGE": "/opt/ml/output/message"},
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri": f"s3://processing/{uri}",
                    "LocalPath": f"{base}/input/{local}",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
            for name, uri, local in (("code", f"code/{script}", "code"), ("data", "in", "data"))
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "text",
                    "S3Output": {
                        "S3Uri": "s3://processing/out/",
                        "LocalPath": f"{base}/output/text",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
        },
    } | changes


def wait(client: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        found: dict[str, Any] = client.describe_processing_job(ProcessingJobName=name)
        if found["ProcessingJobStatus"] not in ("InProgress", "Stopping"):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_job_reads_and_writes_s3(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    made = client.create_processing_job(**job("works", "work.py"))
    assert made["ProcessingJobArn"] == "arn:aws:sagemaker:us-east-1:000000000000:processing-job/works"
    found = wait(client, "works")
    assert found["ProcessingJobStatus"] == "Completed", found
    assert found["ExitMessage"] == "all is well"
    assert found["ProcessingEndTime"] >= found["ProcessingStartTime"]
    assert aws("s3").get_object(Bucket=bucket, Key="out/deep/out.txt")["Body"].read() == b"AB!"
    logs = aws("logs").get_log_events(
        logGroupName="/aws/sagemaker/ProcessingJobs", logStreamName="works/algo-1", startFromHead=True
    )
    assert [event["message"] for event in logs["events"]] == ["read 2"]


def test_failure_has_the_reason(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    client.create_processing_job(**job("fails", "fail.py"))
    found = wait(client, "fails")
    assert found["ProcessingJobStatus"] == "Failed"
    assert found["FailureReason"] == "AlgorithmError: ValueError: no such column, exit code: 1"


def test_stop_and_time_limit_end_the_process(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    client.create_processing_job(**job("limited", "sleep.py", StoppingCondition={"MaxRuntimeInSeconds": 1}))
    client.create_processing_job(**job("stopped", "sleep.py"))
    client.stop_processing_job(ProcessingJobName="stopped")
    assert wait(client, "stopped")["ProcessingJobStatus"] == "Stopped"
    assert wait(client, "limited")["ProcessingJobStatus"] == "Stopped"


def test_missing_input_fails_the_job(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    request = job("no-input", "work.py")
    request["ProcessingInputs"][1]["S3Input"]["S3Uri"] = "s3://processing/nowhere/"
    client.create_processing_job(**request)
    assert "No S3 objects found" in wait(client, "no-input")["FailureReason"]


def test_path_outside_the_container_is_refused(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    request = job("outside", "work.py")
    request["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/opt/ml/../../etc"
    client.create_processing_job(**request)
    assert "LocalPath" in wait(client, "outside")["FailureReason"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ProcessingJobName": "works-once"}, None),
        ({"ProcessingJobName": "works-once"}, "ResourceInUse"),
        ({"ProcessingJobName": "under_score"}, "ValidationException"),
        ({"AppSpecification": {"ImageUri": "example/spark:1"}}, "NotImplemented"),
    ],
)
def test_what_is_refused(aws: Callable[[str], Any], bucket: str, changes: dict[str, Any], code: str | None) -> None:
    client = aws("sagemaker")
    request = job("other", "work.py", **changes)
    if code is None:
        client.create_processing_job(**request)
        return
    with pytest.raises(ClientError) as refused:
        client.create_processing_job(**request)
    assert refused.value.response["Error"]["Code"] == code


def test_unknown_job(aws: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError, match="Could not find requested job"):
        aws("sagemaker").describe_processing_job(ProcessingJobName="nobody")


def test_jobs_are_listed(aws: Callable[[str], Any], bucket: str) -> None:
    client = aws("sagemaker")
    wait(client, "works-once")
    listed = client.list_processing_jobs(StatusEquals="Completed", MaxResults=1)
    assert len(listed["ProcessingJobSummaries"]) == 1
    pages = client.get_paginator("list_processing_jobs").paginate(NameContains="work")
    assert {j["ProcessingJobName"] for page in pages for j in page["ProcessingJobSummaries"]} == {"works", "works-once"}


def test_training_is_refused(aws: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError) as refused:
        aws("sagemaker").describe_training_job(TrainingJobName="x")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
