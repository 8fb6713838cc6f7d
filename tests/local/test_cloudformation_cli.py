"""`aws cloudformation package` and `deploy`, unchanged, and change sets as they use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

Cli = Callable[..., subprocess.CompletedProcess[str]]
FAST = {"Delay": 0.02, "MaxAttempts": 6000}
# The AWS CLI as it is, but where it would sleep 30 s between two looks at a stack, it sleeps one (and looks 120 times).
IMPATIENT = """
import sys, time
sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 1))
from awscli.clidriver import main
sys.exit(main())
"""


@pytest.fixture
def cli(endpoint: Any, tmp_path: Path) -> Cli:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
        "AWS_DEFAULT_REGION": endpoint.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", IMPATIENT, "cloudformation", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    return run


TEMPLATE = """
AWSTemplateFormatVersion: 2010-09-09
Transform: AWS::Serverless-2016-10-31
Parameters:
  Word: {Type: String, Default: hello}
Resources:
  Say:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: ./src
      Handler: say.handler
      Runtime: python3.12
      Environment: {Variables: {WORD: !Ref Word}}
  Script:
    Type: AWS::Glue::Job
    Properties:
      Role: !GetAtt SayRole.Arn
      Command: {Name: pythonshell, ScriptLocation: ./job.py}
Outputs:
  Name: {Value: !Ref Say}
"""


@pytest.mark.slow
def test_package_and_deploy(cli: Cli, aws: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "say.py").write_text("import os\ndef handler(e, c):\n    return os.environ['WORD']\n")
    (tmp_path / "job.py").write_text("print('a job')\n")
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    aws("s3").create_bucket(Bucket="cli-artifacts")
    packaged = cli("package", "--template-file", "template.yaml", "--s3-bucket", "cli-artifacts",
                   "--output-template-file", "packaged.yaml")  # fmt: skip
    assert packaged.returncode == 0, packaged.stderr
    assert "s3://cli-artifacts/" in (tmp_path / "packaged.yaml").read_text()
    deploy = ("deploy", "--template-file", "packaged.yaml", "--stack-name", "cli-app", "--capabilities",
              "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")  # fmt: skip
    made = cli(*deploy)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "Successfully created/updated stack - cli-app" in made.stdout
    stack = aws("cloudformation").describe_stacks(StackName="cli-app")["Stacks"][0]
    name = stack["Outputs"][0]["OutputValue"]
    assert json.loads(aws("lambda").invoke(FunctionName=name)["Payload"].read()) == "hello"
    job = aws("cloudformation").describe_stack_resource(StackName="cli-app", LogicalResourceId="Script")
    script = aws("glue").get_job(JobName=job["StackResourceDetail"]["PhysicalResourceId"])["Job"]["Command"]
    assert script["ScriptLocation"].startswith("s3://cli-artifacts/")
    again = cli(*deploy, "--no-fail-on-empty-changeset")
    assert again.returncode == 0, again.stderr
    assert "No changes to deploy" in again.stdout
    time.sleep(1)  # the CLI names its change sets by the second
    changed = cli(*deploy, "--parameter-overrides", "Word=bye", "--s3-bucket", "cli-artifacts")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert json.loads(aws("lambda").invoke(FunctionName=name)["Payload"].read()) == "bye"
    assert cli("delete-stack", "--stack-name", "cli-app").returncode == 0
    aws("cloudformation").get_waiter("stack_delete_complete").wait(StackName=stack["StackId"], WaiterConfig=FAST)


def test_deploy_refuses_what_is_not_carried(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("Resources:\n  Vm:\n    Type: AWS::EC2::Instance\n")
    answer = cli("deploy", "--template-file", "bad.yaml", "--stack-name", "bad")
    assert answer.returncode != 0
    assert "Vm: AWS::EC2::Instance (line 3)" in answer.stderr
    assert cli("describe-stacks", "--stack-name", "bad").returncode != 0


def test_change_sets(aws: Callable[[str], Any]) -> None:
    client = aws("cloudformation")

    def body(seconds: int, name: str = "q-one") -> str:
        queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, "VisibilityTimeout": seconds}}
        topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Fn::GetAtt": ["Q", "QueueName"]}}}
        return json.dumps({"Resources": {"Q": queue, "T": topic}})

    made = client.create_change_set(StackName="cs", ChangeSetName="first", ChangeSetType="CREATE", TemplateBody=body(5))
    client.get_waiter("change_set_create_complete").wait(StackName="cs", ChangeSetName="first", WaiterConfig=FAST)
    assert client.describe_stacks(StackName="cs")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    shown = client.describe_change_set(ChangeSetName=made["Id"])
    assert [c["ResourceChange"]["Action"] for c in shown["Changes"]] == ["Add", "Add"]
    client.execute_change_set(ChangeSetName="first", StackName="cs")
    client.get_waiter("stack_create_complete").wait(StackName="cs", WaiterConfig=FAST)
    with pytest.raises(ClientError) as refused:
        client.execute_change_set(ChangeSetName=made["Id"])
    assert refused.value.response["Error"]["Code"] == "InvalidChangeSetStatus"

    client.create_change_set(StackName="cs", ChangeSetName="same", TemplateBody=body(5))
    with pytest.raises(WaiterError, match="failure"):
        client.get_waiter("change_set_create_complete").wait(StackName="cs", ChangeSetName="same", WaiterConfig=FAST)
    same = client.describe_change_set(ChangeSetName="same", StackName="cs")
    assert same["Status"] == "FAILED" and "didn't contain changes" in same["StatusReason"]
    client.delete_change_set(ChangeSetName="same", StackName="cs")

    client.create_change_set(StackName="cs", ChangeSetName="second", TemplateBody=body(6, "q-two"))
    changes = client.describe_change_set(ChangeSetName="second", StackName="cs")["Changes"]
    queue, topic = (change["ResourceChange"] for change in changes)
    assert (queue["Action"], queue["Replacement"], queue["PolicyAction"]) == ("Modify", "True", "ReplaceAndDelete")
    details = {d["Target"]["Name"]: (d["Target"]["RequiresRecreation"], d["Evaluation"]) for d in queue["Details"]}
    assert details == {"QueueName": ("Always", "Static"), "VisibilityTimeout": ("Never", "Static")}
    assert (topic["Replacement"], topic["Details"][0]["Evaluation"]) == ("False", "Dynamic")
    assert [s["ChangeSetName"] for s in client.list_change_sets(StackName="cs")["Summaries"]] == ["second"]
    client.execute_change_set(ChangeSetName="second", StackName="cs")
    client.get_waiter("stack_update_complete").wait(StackName="cs", WaiterConfig=FAST)
    arn = client.describe_stack_resource(StackName="cs", LogicalResourceId="T")["StackResourceDetail"]
    attributes = aws("sns").get_topic_attributes(TopicArn=arn["PhysicalResourceId"])["Attributes"]
    assert attributes["DisplayName"] == "q-two"

    client.create_change_set(StackName="cs", ChangeSetName="third", TemplateBody=body(7, "q-two"))
    client.update_stack(StackName="cs", TemplateBody=body(8, "q-two"))
    client.get_waiter("stack_update_complete").wait(StackName="cs", WaiterConfig=FAST)
    with pytest.raises(ClientError, match="OBSOLETE"):
        client.execute_change_set(ChangeSetName="third", StackName="cs")
    client.delete_stack(StackName="cs")
