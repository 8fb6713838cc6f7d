"""Quick operations are answered on the event loop: the shortcut must not change what a client sees."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from millpond.local.server import Server

MACHINE = {"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}}
ROLE = "arn:aws:iam::000000000000:role/at-once"


@pytest.fixture(scope="module")
def machine(aws: Callable[[str], Any]) -> str:
    made = aws("stepfunctions").create_state_machine(name="at-once", definition=json.dumps(MACHINE), roleArn=ROLE)
    arn: str = made["stateMachineArn"]
    return arn


def signed(server: Server, operation: str, body: dict[str, Any], **more: str) -> tuple[dict[str, str], bytes]:
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AWSStepFunctions.{operation}", **more}
    request = AWSRequest("POST", f"{server.endpoint.url}/", headers, json.dumps(body).encode())
    key = Credentials(server.endpoint.access_key, server.endpoint.secret_key)
    SigV4Auth(key, "states", "us-east-1").add_auth(request)
    return dict(request.headers.items()), request.body


def wire(server: Server, headers: dict[str, str], body: bytes, method: str = "POST") -> bytes:
    lines = [f"{method} / HTTP/1.1", f"Host: 127.0.0.1:{server.port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[str, Any]]]:
    found = []
    with connection.makefile("rb") as file:
        for _ in range(count):
            status, length = int(file.readline().split()[1]), 0
            while line := file.readline().strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            found.append((status, json.loads(file.read(length))))
    return found


def start(machine: str, name: str) -> dict[str, Any]:
    return {"stateMachineArn": machine, "name": name, "input": "{}"}


@pytest.fixture
def routed(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The thread of each request that was answered."""
    threads: list[str] = []
    answer = server.router.answer

    def noted(*given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread().name)
        return answer(*given, **more)

    monkeypatch.setattr(server.router, "answer", noted)
    return threads


def test_quick_operations_change_no_thread_and_others_do(server: Server, machine: str, routed: list[str]) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for number in range(100):  # while somebody else writes, a quick one takes a thread, too
            connection.sendall(wire(server, *signed(server, "StartExecution", start(machine, f"quick{number}"))))
            connection.sendall(wire(server, *signed(server, "ListStateMachines", {})))
            assert [status for status, _ in answers(connection, 2)] == [200, 200]
            if routed[-2] == "endpoint":
                break
    assert routed[-2] == "endpoint" and all(name.startswith("call") for name in routed[1::2]), routed


def test_a_pipeline_of_quick_and_other_requests_is_answered_in_order(server: Server, machine: str) -> None:
    kinds = ["StartExecution", "ListStateMachines", "StartExecution", "StartExecution", "ListStateMachines"]
    bodies = [start(machine, f"pipe{n}") if kind == "StartExecution" else {} for n, kind in enumerate(kinds)]
    parts = [wire(server, *signed(server, kind, body)) for kind, body in zip(kinds, bodies, strict=True)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"".join(parts))
        found = answers(connection, len(parts))
    assert [status for status, _ in found] == [200] * len(parts)
    shown = [answer.get("executionArn", "").rpartition(":")[2] for _, answer in found]
    assert shown == ["pipe0", "", "pipe2", "pipe3", ""]


def test_a_request_may_come_byte_by_byte(server: Server, machine: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in wire(server, *signed(server, "StartExecution", start(machine, "bytes"))):
            connection.send(bytes([byte]))
        assert answers(connection, 1)[0][0] == 200


def test_a_busy_store_only_delays(server: Server, machine: str, routed: list[str]) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        with server.store.write():
            connection.sendall(wire(server, *signed(server, "StartExecution", start(machine, "busy"))))
            other = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            headers, body = signed(server, "ListStateMachines", {})
            other.request("POST", "/", body, headers)
            assert other.getresponse().status == 200  # the event loop does not wait
            other.close()
        assert answers(connection, 1)[0][0] == 200
    assert all(name.startswith("call") for name in routed), routed


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/states/aws4_request"}, 400),
        ({"X-Amz-Date": "20200101T000000Z"}, 403),
        ({"X-Amz-Target": "AWSStepFunctions.DescribeExecution"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Expect": "100-continue"}, 200),
    ],
)
def test_the_guard_stands_before_the_shortcut(
    server: Server, machine: str, change: dict[str, str], status: int
) -> None:
    headers, body = signed(server, "StartExecution", start(machine, f"guard{status}{len(str(change))}"))
    headers |= change
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(wire(server, headers, body))
        first = connection.recv(65536).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") or connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 %d " % status), first


def test_another_body_than_the_signed_one_is_refused(server: Server, machine: str) -> None:
    headers, _ = signed(server, "StartExecution", start(machine, "one"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(wire(server, headers, json.dumps(start(machine, "two")).encode()))
        assert answers(connection, 1)[0][0] == 403


def test_two_targets_do_not_smuggle_a_slow_operation_in(server: Server, machine: str, routed: list[str]) -> None:
    two = "AWSStepFunctions.StartExecution,AWSStepFunctions.ListStateMachines"
    headers, body = signed(server, "", {}, **{"X-Amz-Target": two})
    del headers["X-Amz-Target"]
    first, second = two.split(",")
    head = wire(server, headers, body).replace(
        b"\r\n\r\n", f"\r\nX-Amz-Target: {first}\r\nX-Amz-Target: {second}\r\n\r\n".encode(), 1
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head)
        answers(connection, 1)
    assert all(name.startswith("call") for name in routed), routed


def test_errors_have_the_same_form(server: Server, aws: Callable[[str], Any], machine: str) -> None:
    states = aws("stepfunctions")
    with pytest.raises(states.exceptions.StateMachineDoesNotExist):
        states.start_execution(stateMachineArn=machine + "x")
    with pytest.raises(states.exceptions.InvalidExecutionInput):
        states.start_execution(stateMachineArn=machine, input="{")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(wire(server, *signed(server, "StartExecution", {"stateMachineArn": 7})))
        status, answer = answers(connection, 1)[0]
    assert (status, answer["__type"]) == (400, "SerializationException")


def test_http_1_0_and_close_end_the_connection(server: Server, machine: str) -> None:
    headers, body = signed(server, "StartExecution", start(machine, "close"))
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(wire(server, {**headers, "Connection": "close"}, body))
        with connection.makefile("rb") as file:
            text = file.read()  # to the end of the connection
    assert text.startswith(b"HTTP/1.1 200 ") and b"connection: close" in text
