"""S7: the endpoint is killed with SIGKILL during a deployment; the next start finishes it, with nothing made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def template(size: int, timeout: int) -> str:
    """A role, a chain of jobs behind it, a queue and a table: `size` jobs, so that there is time to die in."""
    resources: dict[str, Any] = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Db": {
            "Type": "AWS::Glue::Database",
            "Properties": {"CatalogId": "000000000000", "DatabaseInput": {"Name": f"db{timeout}"}},
        },
    }
    for number in range(size):
        resources[f"Job{number}"] = {
            "Type": "AWS::Glue::Job",
            "DependsOn": f"Job{number - 1}" if number else "Queue",
            "Properties": {
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Command": {"Name": "glueetl", "ScriptLocation": {"Fn::Sub": "s3://${Bucket}/a.py"}},
                "Timeout": timeout,
            },
        }
    return json.dumps({"Resources": resources})


class Process:
    """The endpoint as a process of its own, on one state folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.start()

    def start(self) -> None:
        log = (self.data.parent / "log").open("a")
        command = [sys.executable, "-m", "millpond.local", "--data", str(self.data), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        said = self.data / "endpoint.json"
        while True:
            assert self.process.poll() is None, (self.data.parent / "log").read_text()
            if said.exists() and json.loads(said.read_text())["pid"] == self.process.pid:
                break
            time.sleep(0.05)
        keys = json.loads((self.data / "credentials.json").read_text())
        self.url = f"http://127.0.0.1:{json.loads(said.read_text())['port']}"
        names = {key.lower().replace("_", ""): value for key, value in keys.items()}
        self.clients: dict[str, Any] = {}
        self.session = boto3.session.Session(names["accesskey"], names["secretkey"], region_name="us-east-1")

    def client(self, service: str) -> Any:
        if service not in self.clients:  # one takes longer to make than a few resources
            config = Config(retries={"total_max_attempts": 1}, connect_timeout=20, read_timeout=60)
            self.clients[service] = self.session.client(service, endpoint_url=self.url, config=config)
        return self.clients[service]

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / ".millpond")
    yield made
    made.stop()


def settled(process: Process) -> str:
    client = process.client("cloudformation")
    while True:
        status = client.describe_stacks(StackName="dep")["Stacks"][0]["StackStatus"]
        if not status.endswith("_IN_PROGRESS"):
            return str(status)
        time.sleep(0.1)


def made(process: Process) -> tuple[int, int, int, int, list[str], set[int]]:
    """How many of each there are, so that an orphan or a twin shows."""
    jobs = process.client("glue").get_paginator("get_jobs").paginate()
    found = [job for page in jobs for job in page["Jobs"]]
    return (
        len(found),
        len([r for r in process.client("iam").list_roles()["Roles"] if r["RoleName"].startswith("dep-")]),
        len(process.client("sqs").list_queues().get("QueueUrls", [])),
        len(process.client("s3").list_buckets()["Buckets"]),
        [d["Name"] for d in process.client("glue").get_databases()["DatabaseList"]],
        {job["Timeout"] for job in found},
    )


def done_events(process: Process, status: str) -> int:
    pages = process.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName="dep")
    events = [event for page in pages for event in page["StackEvents"]]
    return len([event for event in events if event["ResourceStatus"] == status])


SIZE = 30


@pytest.mark.slow
def test_s7_killed_again_and_again(process: Process) -> None:
    process.client("cloudformation").create_stack(
        StackName="dep", TemplateBody=template(SIZE, 1), Capabilities=["CAPABILITY_IAM"]
    )
    deaths = die_while(process, "CREATE_COMPLETE", (0, 3, 9, 18, 27))
    assert settled(process) == "CREATE_COMPLETE"
    assert made(process) == (SIZE, 1, 1, 1, ["db1"], {1})
    process.client("cloudformation").update_stack(
        StackName="dep", TemplateBody=template(SIZE, 2), Capabilities=["CAPABILITY_IAM"]
    )
    deaths += die_while(process, "UPDATE_COMPLETE", (0, 2, 10, 20, 29))
    assert settled(process) == "UPDATE_COMPLETE"
    assert made(process) == (SIZE, 1, 1, 1, ["db2"], {2})
    stack = process.client("cloudformation").describe_stacks(StackName="dep")["Stacks"][0]["StackId"]
    process.client("cloudformation").delete_stack(StackName="dep")
    process.kill()
    process.start()
    client = process.client("cloudformation")
    while client.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] != "DELETE_COMPLETE":
        time.sleep(0.1)
    assert made(process) == (0, 0, 0, 0, [], set())
    assert deaths >= 4  # else the machine was too quick for the test to mean anything


def die_while(process: Process, status: str, points: tuple[int, ...]) -> int:
    """Kill the endpoint when so many resources are done, and start it again; how often it was really at work."""
    deaths = 0
    for point in points:
        while True:
            try:
                stack = process.client("cloudformation").describe_stacks(StackName="dep")["Stacks"][0]
                if done_events(process, status) >= point or not stack["StackStatus"].endswith("_IN_PROGRESS"):
                    break
            except (ClientError, BotoCoreError):
                assert process.process.poll() is None
                raise
        deaths += stack["StackStatus"].endswith("_IN_PROGRESS")
        process.kill()
        process.start()
    return deaths
