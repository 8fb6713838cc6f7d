"""http:invoke against a real HTTP server on this machine, through EventBridge connections of the endpoint."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

ROLE = "arn:aws:iam::000000000000:role/flow"


class Api(BaseHTTPRequestHandler):
    """Echoes what it was sent; the path says how to answer."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        kind, status, body = "application/json", 200, b""
        match self.path.partition("?")[0].split("/")[1:]:
            case ["status", code]:
                status, body = int(code), b'{"why": "no"}'
            case ["token"]:
                body = json.dumps({"access_token": f"for {sent}", "token_type": "Bearer"}).encode()
            case ["text"]:
                kind, body = "text/plain", "grün".encode()
            case ["image"]:
                kind, body = "image/png", b"\x89PNG"
            case ["large"]:
                body = json.dumps("x" * 300_000).encode()
            case ["moved"]:
                status = 302
            case _:
                seen = {name.lower(): value for name, value in self.headers.items()}
                body = json.dumps({"method": self.command, "path": self.path, "headers": seen, "body": sent}).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Twice", "1")
        self.send_header("X-Twice", "2")
        if status == 302:
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def connect(aws: Callable[[str], Any]) -> Callable[..., str]:
    def make(kind: str = "API_KEY", **parameters: Any) -> str:
        given = parameters or {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "sekrit"}}
        return aws("events").create_connection(Name=f"c-{uuid.uuid4()}", AuthorizationType=kind, AuthParameters=given)[
            "ConnectionArn"
        ]

    return make


def call(aws: Callable[[str], Any], url: str, connection: str, **more: Any) -> dict[str, Any]:
    sfn = aws("stepfunctions")
    parameters = {"ApiEndpoint": url, "Method": "GET", "InvocationConfig": {"ConnectionArn": connection}} | more
    state = {"Type": "Task", "Resource": "arn:aws:states:::http:invoke", "Parameters": parameters, "End": True}
    machine = sfn.create_state_machine(
        name=f"h-{uuid.uuid4()}", definition=json.dumps({"StartAt": "A", "States": {"A": state}}), roleArn=ROLE
    )["stateMachineArn"]
    execution = sfn.start_execution(stateMachineArn=machine)["executionArn"]
    deadline = time.monotonic() + 120
    while (seen := sfn.describe_execution(executionArn=execution))["status"] == "RUNNING":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return seen


def test_call(aws: Callable[[str], Any], api: str, connect: Callable[..., str]) -> None:
    seen = call(
        aws,
        f"{api}/a b".replace(" ", "%20"),
        connect(),
        Method="POST",
        Headers={"x-mine": "1"},
        QueryParameters={"q": "ü", "n": ["1", "2"]},
        RequestBody={"a": [1, {"b": None}]},
    )
    output = json.loads(seen["output"])
    assert (output["StatusCode"], output["StatusText"]) == (200, "OK")
    assert output["Headers"]["content-type"] == ["application/json"] and output["Headers"]["x-twice"] == ["1", "2"]
    sent = output["ResponseBody"]
    assert (sent["method"], sent["path"], sent["body"]) == ("POST", "/a%20b?q=%C3%BC&n=1&n=2", '{"a":[1,{"b":null}]}')
    expected = {
        "x-key": "sekrit",
        "x-mine": "1",
        "content-type": "application/json; charset=UTF-8",
        "range": "bytes=0-262144",
        "user-agent": "Amazon|StepFunctions|HttpInvoke|us-east-1",
    }
    assert expected.items() <= sent["headers"].items()


FAILURES = [
    ("/status/404", "States.Http.StatusCode.404", "Not Found"),
    ("/status/503", "States.Http.StatusCode.503", "Service Unavailable"),
    ("/moved", "States.Http.StatusCode.302", "Found"),
    ("/image", "States.Runtime", "The content type of the response is not supported: image/png"),
    ("/large", "States.DataLimitExceeded", "exceeding the maximum number of bytes service limit"),
]


@pytest.mark.parametrize(("path", "error", "cause"), FAILURES)
def test_failures(
    aws: Callable[[str], Any], api: str, connect: Callable[..., str], path: str, error: str, cause: str
) -> None:
    seen = call(aws, api + path, connect())
    assert seen["error"] == error and cause in seen["cause"]


def test_text_is_text(aws: Callable[[str], Any], api: str, connect: Callable[..., str]) -> None:
    assert json.loads(call(aws, f"{api}/text", connect())["output"])["ResponseBody"] == "grün"


def test_nobody_there(aws: Callable[[str], Any], connect: Callable[..., str]) -> None:
    seen = call(aws, "http://127.0.0.1:9/", connect())
    assert seen["error"] == "States.Http.Socket"


def test_oauth(aws: Callable[[str], Any], api: str, connect: Callable[..., str]) -> None:
    arn = connect(
        "OAUTH_CLIENT_CREDENTIALS",
        OAuthParameters={
            "ClientParameters": {"ClientID": "me", "ClientSecret": "p&q"},
            "AuthorizationEndpoint": f"{api}/token",
            "HttpMethod": "POST",
        },
    )
    sent = json.loads(call(aws, f"{api}/", arn)["output"])["ResponseBody"]
    wanted = "Bearer for grant_type=client_credentials&client_id=me&client_secret=p%26q"
    assert sent["headers"]["authorization"] == wanted


def test_a_connection_that_is_not_there(aws: Callable[[str], Any], api: str, connect: Callable[..., str]) -> None:
    arn = connect()
    seen = call(aws, f"{api}/", f"{arn}x")
    assert seen["error"] == "Events.ConnectionResource.ResourceNotFound"


def test_a_changed_connection(aws: Callable[[str], Any], api: str, connect: Callable[..., str]) -> None:
    arn = connect()
    aws("events").update_connection(
        Name=arn.split("/")[1],
        AuthorizationType="API_KEY",
        AuthParameters={"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "new"}},
    )
    sent = json.loads(call(aws, f"{api}/", arn)["output"])["ResponseBody"]
    assert sent["headers"]["x-key"] == "new"


def test_metadata_is_out_of_reach(aws: Callable[[str], Any], connect: Callable[..., str]) -> None:
    seen = call(aws, "https://169.254.169.254/latest/meta-data", connect())
    assert seen["error"] == "States.Http.Socket" and "may not call" in seen["cause"]
