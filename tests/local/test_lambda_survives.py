"""kill -9 of the endpoint: workers end with it, functions and queued events are there again after a restart."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import Process, until

SOURCE = """
import os, time
def handler(event, context):
    with open(event["pids"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    while event.get("block") and os.path.exists(event["block"]):
        time.sleep(0.05)
    return "done"
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def run() -> Process:
        started.append(Process(tmp_path / "data"))
        return started[-1]

    (tmp_path / "data").mkdir(mode=0o700)
    yield run
    for process in started:
        process.kill()


def test_a_killed_endpoint(start: Callable[[], Process], tmp_path: Path) -> None:
    endpoint, pids, block = start(), tmp_path / "pids", tmp_path / "block"
    block.touch()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("index.py", SOURCE)
    lam = endpoint.client("lambda")
    lam.create_function(FunctionName="f", Runtime="python3.12", Handler="index.handler", Timeout=60,
                        Role="arn:aws:iam::000000000000:role/r", Code={"ZipFile": archive.getvalue()})  # fmt: skip
    event = {"pids": str(pids), "block": str(block)}
    lam.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps(event))
    first = int(until(lambda: pids.exists() and pids.read_text().strip()))
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="k", Body=b"v", Metadata={"m": "1"})
    upload = s3.create_multipart_upload(Bucket="kept", Key="parts")["UploadId"]
    part = s3.upload_part(Bucket="kept", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    endpoint.kill()
    until(lambda: not alive(first))
    block.unlink()

    endpoint = start()
    until(lambda: len(pids.read_text().split()) == 2)  # the event that was never finished runs again
    answer = endpoint.client("lambda").invoke(FunctionName="f", Payload=json.dumps({"pids": str(pids)}))
    assert json.loads(answer["Payload"].read()) == "done"
    s3 = endpoint.client("s3")
    assert s3.head_object(Bucket="kept", Key="k")["Metadata"] == {"m": "1"}
    s3.complete_multipart_upload(
        Bucket="kept", Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]}
    )
    assert s3.get_object(Bucket="kept", Key="parts")["Body"].read() == b"part"


def test_a_processing_job_outlives_the_endpoint(start: Callable[[], Process], tmp_path: Path) -> None:
    endpoint, block, runs = start(), tmp_path / "block", tmp_path / "runs"
    block.touch()
    script = f"""
import pathlib, time
with open({str(runs)!r}, "a") as file:
    file.write("run\\n")
while pathlib.Path({str(block)!r}).exists():
    time.sleep(0.05)
pathlib.Path("processing/output/done.txt").write_text("whole")
"""
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="code/x.py", Body=script.encode())
    base = "/opt/ml/processing"
    endpoint.client("sagemaker").create_processing_job(
        ProcessingJobName="long", RoleArn="arn:aws:iam::000000000000:role/ml-processing",
        AppSpecification={"ImageUri": "any/sagemaker-scikit-learn:1",
                          "ContainerEntrypoint": ["python3", f"{base}/code/x.py"]},
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        ProcessingInputs=[{"InputName": "code", "S3Input": {
            "S3Uri": "s3://jobs/code", "LocalPath": f"{base}/code", "S3DataType": "S3Prefix", "S3InputMode": "File"}}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": {
            "S3Uri": "s3://jobs/out", "LocalPath": f"{base}/output", "S3UploadMode": "EndOfJob"}}]},
    )  # fmt: skip
    until(runs.exists)
    endpoint.kill()
    block.unlink()
    endpoint = start()
    sagemaker = endpoint.client("sagemaker")

    def ended() -> str:
        status: str = sagemaker.describe_processing_job(ProcessingJobName="long")["ProcessingJobStatus"]
        return "" if status == "InProgress" else status

    assert until(ended) == "Completed"
    assert runs.read_text() == "run\n"
    assert endpoint.client("s3").get_object(Bucket="jobs", Key="out/done.txt")["Body"].read() == b"whole"
