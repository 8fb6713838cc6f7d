"""Who may talk to the endpoint: the AWS CLI with `eval $(millpond env)`, and nobody without the project's key."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest_journey import Journey, without_java

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory):
    """An endpoint with nothing in it; no database."""
    tmp = tmp_path_factory.mktemp("clients")
    folder = tmp / "project"
    folder.mkdir()
    made = Journey(folder, without_java(tmp))
    made.up()
    yield made
    made.millpond("down")
    assert made.millpond("status", code=None).returncode != 70
    shutil.rmtree(folder)


def aws(running: Journey, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The real AWS CLI, in a shell that evaluated `millpond env`."""
    cli = Path(sys.executable).with_name("aws")
    millpond = Path(sys.executable).with_name("millpond")
    script = f'eval $({millpond} env) && exec {cli} "$@"'
    return subprocess.run(
        ["sh", "-c", script, "aws", *arguments], cwd=running.folder, env=running.env, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("s3", "mb", "s3://clients"),
        ("s3", "ls"),
        ("glue", "create-database", "--database-input", "Name=clients"),
        ("glue", "get-tables", "--database-name", "clients"),
        ("sqs", "create-queue", "--queue-name", "clients"),
        ("sts", "get-caller-identity"),
    ],
    ids=lambda a: " ".join(a[:2]),
)
def test_aws_cli_works(running: Journey, arguments: tuple[str, ...]) -> None:
    done = aws(running, *arguments)
    assert done.returncode == 0, done.stderr
    if arguments == ("s3", "ls"):
        assert "clients" in done.stdout
    if arguments[0] == "sqs":
        assert "/000000000000/clients" in done.stdout


def signed(running: Journey, *, secret: str | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """A Glue GetDatabases request, signed with the project's key or with `secret`, with more headers than usual."""
    env = running.exports()
    given = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSGlue.GetDatabases"}
    request = AWSRequest("POST", env["AWS_ENDPOINT_URL"] + "/", data=b"{}", headers=given)
    key = Credentials(env["AWS_ACCESS_KEY_ID"], secret or env["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(key, "glue", env["AWS_DEFAULT_REGION"]).add_auth(request)
    return send(running, dict(request.headers) | (headers or {}))


def send(running: Journey, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)
    try:
        connection.request("POST", "/", body=b"{}", headers=headers)
        answer = connection.getresponse()
        assert answer.getheader("Access-Control-Allow-Origin") is None
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_signed_request_is_answered(running: Journey) -> None:
    status, body = signed(running)
    assert status == 200, body
    assert "DatabaseList" in body


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:4566", "0.0.0.0:4566", "127.0.0.1.:4566"])
def test_foreign_host_is_refused(running: Journey, host: str) -> None:
    assert signed(running, headers={"Host": host})[0] == 421


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_web_page_is_refused(running: Journey, headers: dict[str, str]) -> None:
    assert signed(running, headers=headers)[0] == 403


def test_unsigned_is_refused(running: Journey) -> None:
    status, body = send(running, {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AWSGlue.GetDatabases"})
    assert status in (400, 403)
    assert "MissingAuthenticationToken" in body


def test_other_key_is_refused(running: Journey) -> None:
    status, body = signed(running, secret="x" * 40)
    assert status in (400, 403)
    assert "Signature" in body
    stranger = boto3.client(
        "s3",
        endpoint_url=running.exports()["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="y" * 40,
    )
    with pytest.raises(ClientError) as refused:
        stranger.list_buckets()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
