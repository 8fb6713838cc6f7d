"""Services that moto carries: through HTTP and loopback, refused where moto would pretend, rebuilt after a restart."""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.response import StreamingBody

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import Process

from millpond.cli import state

STATEMENT = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})


def status(error: pytest.ExceptionInfo[ClientError]) -> int:
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_loopback_and_http_meet_in_one_place(aws: Callable[[str], Any], endpoint: Any) -> None:
    url = endpoint.client("sqs").create_queue(QueueName="both")["QueueUrl"]
    assert url == f"{endpoint.url}/000000000000/both"
    aws("sqs").send_message(QueueUrl=url, MessageBody="hi")
    assert endpoint.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hi"
    assert aws("sts").get_caller_identity()["Account"] == "000000000000"


def test_errors_are_aws_shaped(aws: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError) as error:
        aws("iam").get_role(RoleName="nobody")
    assert error.value.response["Error"]["Code"] == "NoSuchEntity"
    with pytest.raises(ClientError) as error:
        aws("batch").submit_job(jobName="x", jobQueue="q", jobDefinition="d")
    assert (status(error), error.value.response["Error"]["Code"]) == (501, "NotImplemented")
    with pytest.raises(ClientError) as error:
        aws("cloudwatch").get_insight_rule_report(RuleName="x", StartTime=0, EndTime=1, Period=60)
    assert (status(error), error.value.response["Error"]["Code"]) == (501, "NotImplemented")
    with pytest.raises(ClientError) as error:
        aws("location").list_maps()
    assert status(error) == 501


def test_a_service_of_ours_never_falls_through(aws: Callable[[str], Any]) -> None:
    with pytest.raises(ClientError) as error:
        aws("sns").create_platform_application(Name="x", Platform="GCM", Attributes={})
    assert status(error) == 501
    with pytest.raises(ClientError) as error:
        aws("logs").put_metric_filter(
            logGroupName="g",
            filterName="f",
            filterPattern="",
            metricTransformations=[{"metricName": "m", "metricNamespace": "n", "metricValue": "1"}],
        )
    assert status(error) == 501


def test_an_assumed_roles_keys_are_known_to_the_guard(aws: Callable[[str], Any], endpoint: Any) -> None:
    role = aws("iam").create_role(RoleName="worker", AssumeRolePolicyDocument=POLICY)["Role"]["Arn"]
    given = aws("sts").assume_role(RoleArn=role, RoleSessionName="session")["Credentials"]
    client = boto3.client(
        "sqs",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert client.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_motos_own_routes_do_not_exist(endpoint: Any, aws: Callable[[str], Any]) -> None:
    aws("sqs").create_queue(QueueName="survivor")
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    for path in ("/moto-api/reset", "/moto-api/data.json", "/latest/meta-data/", "/favicon.ico"):
        connection.request("POST", path)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 403, path
        assert b"<html" not in text.lower()
    connection.close()
    assert "QueueUrls" in aws("sqs").list_queues(QueueNamePrefix="survivor")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path / ".millpond")
    yield made
    made.kill()


def test_what_was_configured_survives_kill_9(process: Process) -> None:
    client = process.client
    client("iam").create_role(RoleName="job", AssumeRolePolicyDocument=POLICY)
    client("iam").put_role_policy(RoleName="job", PolicyName="p", PolicyDocument=POLICY)
    client("sqs").create_queue(QueueName="kept")
    gone = client("sqs").create_queue(QueueName="gone")["QueueUrl"]
    client("sqs").delete_queue(QueueUrl=gone)
    client("ssm").put_parameter(Name="/a", Value="1", Type="String")
    client("events").put_rule(Name="nightly", ScheduleExpression="rate(1 day)")
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName="alias/lake", TargetKeyId=key)
    with pytest.raises(ClientError):
        client("iam").create_role(RoleName="job", AssumeRolePolicyDocument=POLICY)
    process.kill()
    process.up()
    assert client("iam").list_role_policies(RoleName="job")["PolicyNames"] == ["p"]
    assert [url.rpartition("/")[2] for url in client("sqs").list_queues()["QueueUrls"]] == ["kept"]
    assert client("ssm").get_parameter(Name="/a")["Parameter"]["Value"] == "1"
    assert client("events").list_rules()["Rules"][0]["Name"] == "nightly"
    assert client("kms").describe_key(KeyId="alias/lake")["KeyMetadata"]["KeyId"] == key
    assert state.ask(state.recorded(process.data), "GET", "/_millpond/health")["notRestored"] == []


def test_what_cannot_be_restored_is_listed(process: Process) -> None:
    process.client("sqs").create_queue(QueueName="kept")
    process.kill()
    with sqlite3.connect(process.data / "endpoint.db") as db:
        db.execute('UPDATE moto_calls SET body = CAST(\'{"QueueName": "no good!"}\' AS BLOB)')
    db.close()
    process.up()
    assert "QueueUrls" not in process.client("sqs").list_queues()
    (failure,) = state.ask(state.recorded(process.data), "GET", "/_millpond/health")["notRestored"]
    assert failure["operation"] == "CreateQueue"


def test_large_objects_pass_over_loopback(endpoint: Any) -> None:
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="loop")
    data = bytes(range(256)) * 40_000  # 10 MB
    s3.put_object(Bucket="loop", Key="a/é b", Body=data)
    body: StreamingBody = s3.get_object(Bucket="loop", Key="a/é b")["Body"]
    assert body.read() == data
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "loop", "Key": "a/é b"})
    assert "X-Amz-Signature" in url
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="loop", Key="missing")
    assert error.value.response["Error"]["Code"] == "NoSuchKey"


def test_virtual_host_buckets(endpoint: Any, aws: Callable[[str], Any]) -> None:
    aws("s3").create_bucket(Bucket="virtual")
    host = f"virtual.localhost:{endpoint.port}"
    request = AWSRequest("PUT", f"http://{host}/folder/k", data=b"v")
    S3SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "s3", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    connection.request("PUT", "/folder/k", body=b"v", headers=dict(request.headers) | {"Host": host})
    assert connection.getresponse().status == 200
    connection.close()
    assert (endpoint.buckets / "virtual" / "folder" / "k").read_bytes() == b"v"
