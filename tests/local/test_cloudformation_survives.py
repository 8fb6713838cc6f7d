"""S7: the endpoint is killed with SIGKILL during a deployment; the next start finishes it, with nothing made twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def template(size: int, timeout: int) -> str:
    """A bucket, a database, and a chain: a role, a queue, `size` jobs. What dies in the chain dies in a known place.

    Python shell jobs: each of the many lives would start a spare Spark driver for others.
    """
    resources: dict[str, Any] = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Queue": {"Type": "AWS::SQS::Queue", "DependsOn": "Role"},
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
                "Command": {"Name": "pythonshell", "ScriptLocation": {"Fn::Sub": "s3://${Bucket}/a.py"}},
                "Timeout": timeout,
            },
        }
    return json.dumps({"Resources": resources})


# The endpoint, which kills itself before it writes a certain step. A step is written before and after each act: it dies
# with nothing made, or with something made of which nobody knows. Killed from outside, a quick machine would be done
# before anybody had looked.
MORTAL = """
import os, signal, sys
from millpond.local.cloudformation.records import Records
from millpond.local.__main__ import main

write, last = Records.write_step, sys.argv.pop(1)

def write_or_die(records, step):
    if f"{step.logical_id} {step.state}" == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(records, step)

Records.write_step = write_or_die
sys.exit(main())
"""


class Process:
    """The endpoint as a process of its own, on one state folder."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.start()

    def spawn(self, *program: str) -> None:
        self.clients: dict[str, Any] = {}
        with (self.data.parent / "log").open("a") as log:
            command = [sys.executable, *program, "--data", str(self.data), "--port", "0"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def start(self, last: str = "") -> None:
        """Start it and wait until it answers. `last`: the step before which it dies."""
        self.spawn(*(["-c", MORTAL, last] if last else ["-m", "millpond.local"]))
        said = self.data / "endpoint.json"
        while True:
            assert self.process.poll() is None, (self.data.parent / "log").read_text()
            if said.exists() and json.loads(said.read_text())["pid"] == self.process.pid:
                break
            time.sleep(0.05)
        keys = json.loads((self.data / "credentials.json").read_text())
        self.url = f"http://127.0.0.1:{json.loads(said.read_text())['port']}"
        names = {key.lower().replace("_", ""): value for key, value in keys.items()}
        self.session = boto3.session.Session(names["accesskey"], names["secretkey"], region_name="us-east-1")

    def client(self, service: str) -> Any:
        if service not in self.clients:  # one takes longer to make than a few resources
            config = Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=180)
            self.clients[service] = self.session.client(service, endpoint_url=self.url, config=config)
        return self.clients[service]

    def die_again(self, *lasts: str) -> None:
        """See this life end by its own hand, and those after it, each before a step."""
        for last in lasts:
            assert self.process.wait(120) == -signal.SIGKILL, (self.data.parent / "log").read_text()
            self.spawn("-c", MORTAL, last)
        assert self.process.wait(120) == -signal.SIGKILL, (self.data.parent / "log").read_text()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)


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


SIZE = 30
DEATHS = ("Role written", "Role done", "Queue done", "Job7 written", "Job7 done", "Job20 done")


@pytest.mark.slow
def test_s7_killed_again_and_again(process: Process) -> None:
    def meanwhile(act: Callable[[Any], None], first: str, *others: str) -> None:
        """Begin an operation, die during it again and again, and let the last life end it."""
        process.stop()
        process.start(first)
        with contextlib.suppress(BotoCoreError):  # it may die before it has answered
            act(process.client("cloudformation"))
        process.die_again(*others)
        process.start()

    stack: dict[str, Any] = {"StackName": "dep", "Capabilities": ["CAPABILITY_IAM"]}
    meanwhile(lambda client: client.create_stack(TemplateBody=template(SIZE, 1), **stack), *DEATHS)
    assert settled(process) == "CREATE_COMPLETE"
    assert made(process) == (SIZE, 1, 1, 1, ["db1"], {1})
    meanwhile(lambda client: client.update_stack(TemplateBody=template(SIZE, 2), **stack), *DEATHS[3:])
    assert settled(process) == "UPDATE_COMPLETE"
    assert made(process) == (SIZE, 1, 1, 1, ["db2"], {2})
    name = process.client("cloudformation").describe_stacks(StackName="dep")["Stacks"][0]["StackId"]
    meanwhile(lambda client: client.delete_stack(StackName="dep"), *reversed(DEATHS[::2]))
    client = process.client("cloudformation")
    while client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "DELETE_IN_PROGRESS":
        time.sleep(0.1)
    assert client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    assert made(process) == (0, 0, 0, 0, [], set())
