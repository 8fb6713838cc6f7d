"""The shortcut reads plain heads only; a connection that it serves still ends when it is idle."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from millpond.local.wire import LARGEST_AT_ONCE, Connection, read_headers

PLAIN = b"Host: 127.0.0.1:4566\r\nX-Amz-Target: AWSStepFunctions.StartExecution\r\nContent-Length: 2\r\n"


def test_a_plain_head_is_read_with_its_names_in_lower_case() -> None:
    assert read_headers(PLAIN) == {
        "host": "127.0.0.1:4566",
        "x-amz-target": "AWSStepFunctions.StartExecution",
        "content-length": "2",
    }


@pytest.mark.parametrize(
    "head",
    [
        PLAIN + b"Host: evil.example\r\n",
        PLAIN + b"host: 127.0.0.1:4566\r\n",
        PLAIN + b"Content-Length: 2\r\n",
        PLAIN + b"Transfer-Encoding: chunked\r\n",
        PLAIN + b"Expect: 100-continue\r\n",
        PLAIN + b"Connection: close\r\n",
        PLAIN + b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        PLAIN + b"Origin: http://evil.example\r\n",
        PLAIN + b"Sec-Fetch-Site: none\r\n",
        PLAIN + b"X-A: two  spaces at the end  \r\n",
        PLAIN + b"X-A:none\r\n",
        PLAIN + b"X-A:  two\r\n",
        PLAIN + b"X-A : b\r\n",
        PLAIN + b" folded\r\n",
        PLAIN + b"X-A: \r\n",
        PLAIN + b"X-A: a\nX-B: b\r\n",
        PLAIN + b"X-A: a\rb\r\n",
        PLAIN + b"X-A: \x00\r\n",
        PLAIN + "X-A: ü\r\n".encode(),
        PLAIN + b"X_A: b\r\n",
        PLAIN.replace(b"Length: 2", b"Length: +2"),
        PLAIN.replace(b"Length: 2", b"Length: 2, 2"),
        PLAIN.replace(b"Length: 2", b"Length: %d" % (LARGEST_AT_ONCE + 1)),
        PLAIN.replace(b"Content-Length: 2\r\n", b""),
        PLAIN + b"X-A: " + b"a" * LARGEST_AT_ONCE + b"\r\n",
        b"",
    ],
)
def test_whatever_is_unusual_is_left_to_httptools(head: bytes) -> None:
    assert read_headers(head) is None


def test_spaces_within_a_value_stay() -> None:
    headers = read_headers(PLAIN + b"User-Agent: Boto3/1.40 (a  b) md/x\r\nConnection: Keep-Alive\r\n")
    assert headers is not None and headers["user-agent"] == "Boto3/1.40 (a  b) md/x"


def test_a_connection_closes_only_after_it_was_idle_for_the_whole_time() -> None:
    closed: list[bool] = []
    later: list[float] = []
    connection: Any = Connection.__new__(Connection)
    connection.timeout_keep_alive = 75
    connection.transport = SimpleNamespace(is_closing=lambda: False, close=lambda: closed.append(True))
    connection.loop = SimpleNamespace(time=lambda: 1_000.0, call_later=lambda seconds, act: later.append(seconds))
    connection._last = 990.0
    connection.timeout_keep_alive_handler()
    assert later == [65.0] and not closed
    connection._last = 925.0
    connection.timeout_keep_alive_handler()
    assert closed == [True]
