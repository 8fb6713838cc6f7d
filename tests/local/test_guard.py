"""Who is let in, over real sockets: AWS's clients with the project's key, and nobody else (security.md W1, W2)."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import io
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ROUTES = [
    ("POST", "/", {"X-Amz-Target": "AWSGlue.GetDatabases", "Content-Type": "application/x-amz-json-1.1"}),
    ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}),
    ("GET", "/bucket/key", {}),
    ("GET", "/2015-03-31/functions", {}),
    ("GET", "/_millpond/health", {}),
    ("POST", "/_millpond/stop", {}),
    ("POST", "/moto-api/reset", {}),
]

FOREIGN_HOSTS = (
    "evil.example 0.0.0.0 localhost.evil.com 127.0.0.1. localhost. 127.1 2130706433 127.0.0.2 [::] [::ffff:127.0.0.1]"
    " 169.254.169.254 s3.amazonaws.com localhost.localdomain evil.localhost.com .localhost a..localhost -a.localhost"
    " 127.0.0.1@evil.example localhost%00 xn--localhost 127.0.0.1:1"
)


def ask(
    endpoint: Any, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def signed(
    endpoint: Any,
    method: str = "POST",
    path: str = "/",
    *,
    service: str = "sqs",
    body: bytes = b"{}",
    headers: dict[str, str] | None = None,
    key: tuple[str, str] | None = None,
    at: float | None = None,
    monkeypatch: pytest.MonkeyPatch | None = None,
) -> dict[str, str]:
    """The headers of a request that the project's key (or another) signed, now or at another moment."""
    given = {"X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
    request = AWSRequest(method, endpoint.url + path, data=body, headers=given if headers is None else headers)
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    if at is not None:
        assert monkeypatch
        moment = dt.datetime.fromtimestamp(at, dt.UTC).replace(tzinfo=None)
        monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
    auth(Credentials(*(key or (endpoint.access_key, endpoint.secret_key))), service, "us-east-1").add_auth(request)
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}


# -- W1: Host --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_a_foreign_host_is_misdirected(endpoint: Any, route: tuple[str, str, dict[str, str]]) -> None:
    method, path, headers = route
    port = endpoint.port
    names = FOREIGN_HOSTS.split()
    hosts = [f"{name}:{port}" for name in names]
    hosts += ["127.0.0.1", "localhost", "127.0.0.1:80", f"127.0.0.1:{port}0", f"localhost:{port} ", "", f":{port}"]
    answers = {
        host: ask(endpoint, method, path, headers | {"Host": host})[0] for host in hosts if not host.endswith(" ")
    }
    assert {host: status for host, status in answers.items() if status != 421} == {}


def raw(endpoint: Any, text: str) -> int:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        return int(connection.recv(64).split(b" ")[1])


def test_two_hosts_no_host_and_absolute_form_are_refused(endpoint: Any) -> None:
    ours = f"127.0.0.1:{endpoint.port}"
    assert raw(endpoint, f"GET / HTTP/1.1\nHost: {ours}\nHost: {ours}\n\n") == 421
    assert raw(endpoint, f"GET / HTTP/1.1\nHost: {ours}\nHost: evil.example\n\n") == 421
    assert raw(endpoint, "GET / HTTP/1.1\n\n") in (400, 421)
    assert raw(endpoint, f"GET http://evil.example/ HTTP/1.1\nHost: {ours}\n\n") == 421
    assert raw(endpoint, f"GET http://{ours}/ HTTP/1.1\nHost: {ours}\n\n") == 421
    assert raw(endpoint, f"GET / HTTP/1.1\nHost: {ours}\n\n") == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "my.bucket.localhost"])
def test_our_own_hosts_reach_the_signature_check(endpoint: Any, name: str) -> None:
    assert ask(endpoint, "GET", "/", {"Host": f"{name}:{endpoint.port}"})[0] == 403


def test_only_the_loopback_address_is_bound(endpoint: Any) -> None:
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex(("127.0.0.2", endpoint.port)) != 0


# -- W2: web pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "marks",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_web_page_is_refused_even_with_a_signature(endpoint: Any, marks: dict[str, str]) -> None:
    for service in ("sqs", "s3"):
        headers = signed(endpoint, service=service) | marks
        status, _, answered = ask(endpoint, "POST", "/", headers, b"{}")
        assert status == 403
        assert not any(name.startswith("access-control-") for name in answered)


def test_a_preflight_is_refused(endpoint: Any) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, _, answered = ask(endpoint, "OPTIONS", "/", headers)
    assert status == 403
    assert not any(name.startswith("access-control-") for name in answered)


# -- signatures ------------------------------------------------------------------------------------------------------


def test_unsigned_requests_are_refused_in_each_protocol(endpoint: Any) -> None:
    status, body, _ = ask(endpoint, "POST", "/", {"X-Amz-Target": "AWSGlue.GetDatabases"}, b"{}")
    assert (status, b"MissingAuthenticationToken" in body) == (403, True)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body, _ = ask(endpoint, "POST", "/", form, b"Action=ListTopics")
    assert (status, b"<Code>MissingAuthenticationToken</Code>" in body) == (403, True)
    status, body, _ = ask(endpoint, "GET", "/bucket", {})
    assert (status, b"<Code>AccessDenied</Code>" in body) == (403, True)


@pytest.mark.parametrize("service", ["s3", "sqs", "glue", "sns", "lambda", "iam"])
def test_another_key_and_a_wrong_secret_are_refused(endpoint: Any, service: str) -> None:
    calls = {
        "s3": "list_buckets",
        "sqs": "list_queues",
        "glue": "get_databases",
        "sns": "list_topics",
        "lambda": "list_functions",
        "iam": "list_roles",
    }
    for key, secret in (("AKIAIOSFODNN7EXAMPLE", "x" * 40), (endpoint.access_key, "x" * 40)):
        client = boto3.client(
            service,
            endpoint_url=endpoint.url,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(ClientError) as error:
            getattr(client, calls[service])()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert error.value.response["Error"]["Code"] in {
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
        }


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24, 60 * 24])
def test_the_clock_may_be_a_quarter_of_an_hour_wrong(
    endpoint: Any, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    late = signed(endpoint, at=time.time() + minutes * 60, monkeypatch=monkeypatch)
    assert ask(endpoint, "POST", "/", late, b"{}")[0] == 403
    near = signed(endpoint, at=time.time() + (14 if minutes > 0 else -14) * 60, monkeypatch=monkeypatch)
    assert ask(endpoint, "POST", "/", near, b"{}")[0] == 200


def test_what_was_signed_cannot_be_changed(endpoint: Any) -> None:
    good = signed(endpoint)
    assert ask(endpoint, "POST", "/", good, b"{}")[0] == 200
    assert ask(endpoint, "POST", "/", good, b'{"QueueNamePrefix":"x"}')[0] == 403
    assert ask(endpoint, "POST", "/?x=1", good, b"{}")[0] == 403
    assert ask(endpoint, "PUT", "/", good, b"{}")[0] == 403
    assert ask(endpoint, "POST", "/", good | {"X-Amz-Target": "AmazonSQS.PurgeQueue"}, b"{}")[0] == 403
    assert ask(endpoint, "POST", "/", good | {"X-Amz-Extra": "unsigned"}, b"{}")[0] == 403
    broken = good["Authorization"].replace("SignedHeaders=", "SignedHeaders=x;")
    assert ask(endpoint, "POST", "/", good | {"Authorization": broken}, b"{}")[0] == 403


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=////aws4_request, SignedHeaders=host, Signature=0",
        "AWS AKIA:signature",
        "Basic dXNlcjpwYXNz",
        "Bearer x",
        "\xff\xfe",
    ],
)
def test_broken_signatures_are_refused_without_a_trace(endpoint: Any, header: str) -> None:
    status, body, _ = ask(endpoint, "POST", "/", {"Authorization": header, "X-Amz-Target": "AmazonSQS.ListQueues"})
    assert status in (400, 403)
    assert b"Traceback" not in body
    assert b"<html" not in body.lower()


def test_a_body_that_is_not_the_signed_one_leaves_no_object(endpoint: Any, aws: Callable[[str], Any]) -> None:
    aws("s3").create_bucket(Bucket="signed")
    headers = signed(endpoint, "PUT", "/signed/key", service="s3", body=b"true", headers={})
    status, body, _ = ask(endpoint, "PUT", "/signed/key", headers, b"fake")
    assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
    assert "Contents" not in aws("s3").list_objects_v2(Bucket="signed")
    assert ask(endpoint, "PUT", "/signed/key", headers, b"true")[0] == 200


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_work_until_they_expire(endpoint: Any, server: Any, version: str) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        config=Config(signature_version=version),
    )
    if version == "s3v4":
        s3.create_bucket(Bucket="presigned")
    key = "päth/with space+plus&more=x"
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "presigned", "Key": key}, ExpiresIn=60)
    path = put[len(endpoint.url) :]
    host = {"Host": f"127.0.0.1:{endpoint.port}"}
    assert ask(endpoint, "PUT", path, host, b"data")[0] == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": "presigned", "Key": key}, ExpiresIn=60)
    path = get[len(endpoint.url) :]
    assert ask(endpoint, "GET", path, host)[:2] == (200, b"data")
    assert ask(endpoint, "DELETE", path, host)[0] == 403
    assert ask(endpoint, "GET", path.replace("presigned", "another"), host)[0] == 403
    assert ask(endpoint, "GET", path.replace("Expires=", "Expires=1"), host)[0] in (400, 403)
    before = server.guard._clock
    try:
        server.guard._clock = lambda: time.time() + 61
        status, body, _ = ask(endpoint, "GET", path, host)
        assert (status, b"Request has expired" in body) == (403, True)
    finally:
        server.guard._clock = before


def test_a_streaming_upload_is_verified_by_its_seed(aws: Callable[[str], Any], endpoint: Any) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="streams")

    class Unseekable(io.RawIOBase):
        """What has no length and cannot be read twice: boto3 sends it in signed chunks or with a trailer."""

        def __init__(self) -> None:
            self.left = 300_000

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            taken = min(self.left, size if size > 0 else self.left)
            self.left -= taken
            return b"s" * taken

    s3.upload_fileobj(Unseekable(), "streams", "k")
    assert s3.head_object(Bucket="streams", Key="k")["ContentLength"] == 300_000


# -- big and broken requests -----------------------------------------------------------------------------------------


def test_a_refused_upload_is_not_read(endpoint: Any) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as connection:
        head = f"PUT /b/k HTTP/1.1\r\nHost: 127.0.0.1:{endpoint.port}\r\nContent-Length: 999999999999\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 403")


def test_too_large_a_request_is_refused_before_it_is_read(endpoint: Any) -> None:
    headers = signed(endpoint)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "content-length")
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as connection:
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{endpoint.port}\r\n{lines}Content-Length: 999999999\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413")


def test_an_endless_head_is_cut_off(endpoint: Any) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{endpoint.port}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            for i in range(200):
                connection.sendall(f"x-{i}: {'a' * 1000}\r\n".encode())
        with contextlib.suppress(ConnectionError):
            assert connection.recv(64)[:12] in (b"", b"HTTP/1.1 400")


@pytest.mark.parametrize("text", ["\x00\x01\x02\n\n", "GET\n\n", "POST / HTTP/9.9\n\n", "GET / HTTP/1.1\nHost\n\n"])
def test_what_is_not_http_ends_in_a_plain_400(endpoint: Any, text: str) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=60) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode("latin-1"))
        answer = connection.recv(4096)
    assert b"Traceback" not in answer
    assert not answer or answer.split(b" ")[1] in (b"400", b"421", b"505")


# -- keys ------------------------------------------------------------------------------------------------------------


def test_each_minted_key_is_its_own_caller(endpoint: Any, server: Any) -> None:
    key, secret = endpoint.key("lambda/check")
    assert endpoint.key("lambda/check") == (key, secret)
    assert key != endpoint.access_key
    assert server.guard.caller(key) == "lambda/check"
    client = boto3.client(
        "sqs", endpoint_url=endpoint.url, region_name="us-east-1", aws_access_key_id=key, aws_secret_access_key=secret
    )
    client.list_queues()


def test_keys_are_in_a_file_that_only_we_can_read(state_folder: Path) -> None:
    assert (state_folder / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_secrets_are_not_logged(endpoint: Any, aws: Callable[[str], Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="millpond"):
        aws("secretsmanager").create_secret(Name="canary", SecretString="canary-value-7731")
        ask(endpoint, "POST", "/", {"Authorization": "AWS4-HMAC-SHA256 canary-value-7731"})
    assert "canary-value-7731" not in caplog.text
    assert endpoint.secret_key not in caplog.text


# -- Millpond's own routes -------------------------------------------------------------------------------------------


def test_own_routes_are_guarded_and_answer(endpoint: Any) -> None:
    assert ask(endpoint, "GET", "/_millpond/health", {})[0] == 403
    headers = signed(endpoint, "GET", "/_millpond/health", service="millpond", body=b"", headers={})
    status, body, _ = ask(endpoint, "GET", "/_millpond/health", headers)
    assert (status, b'"status": "running"' in body) == (200, True)
    headers = signed(endpoint, "GET", "/_millpond/nothing", service="millpond", body=b"", headers={})
    assert ask(endpoint, "GET", "/_millpond/nothing", headers)[0] == 404


# -- the AWS CLI -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["s3", "ls"], ""),
        (["sts", "get-caller-identity"], "000000000000"),
        (["sqs", "create-queue", "--queue-name", "cli"], "/000000000000/cli"),
        (["glue", "get-databases"], "DatabaseList"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_aws_cli_works(endpoint: Any, tmp_path: Path, arguments: list[str], shown: str) -> None:
    cli = Path(sys.executable).with_name("aws")
    if not cli.exists():
        pytest.skip("the AWS CLI is not installed beside Python: pip install awscli")
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run([cli, "--endpoint-url", endpoint.url, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
