"""HTTP on the socket: uvicorn's, with two refusals and a shortcut of our own.

A request line in absolute form (`GET http://host/`) counts as a second Host; a head of more than 64 KiB, which
httptools would collect without end, is not HTTP.

The shortcut: a short POST of plain form, the kind that every SDK sends, is read here and offered to `App.at_once`. When
that answers, the answer is written in one piece, without a parser, a task, a thread or ASGI's messages: they cost more
than a quick operation does. Whatever is in the least unusual (a header twice, a space too many, `Connection: close`, a
body in chunks) is left to httptools, from its first byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from millpond.local.protocol import Reply, Request

LARGEST_HEADERS = 64 * 1024
LARGEST_AT_ONCE = 16 * 1024  # a body that takes long to parse is parsed in a thread

_LINE = b"POST / HTTP/1.1\r\n"
_HEAD = re.compile(rb"(?:[A-Za-z0-9-]+: [!-~](?:[ -~]*[!-~])?\r\n)+")
_UNUSUAL = frozenset({"transfer-encoding", "expect", "upgrade", "origin", "sec-fetch-site"})


class Application(Protocol):
    """Who may answer at once."""

    def at_once(self, request: Request) -> Reply | None:
        """The answer, or None: the request takes the ordinary way, from the start."""
        ...


class Connection(HttpToolsProtocol):
    """One connection. See the module's docstring."""

    _head = 0
    _inside = False  # is httptools within a request?
    _held = b""  # a head whose body has not come yet,
    _read: dict[str, str] | None = None  # and what it says
    _last = 0.0  # when a request was last answered at once, by the loop's clock

    def data_received(self, data: bytes) -> None:
        if self._held or (data.startswith(_LINE) and self._is_idle()):
            data = self._at_once(self._held + data)
        if data:
            super().data_received(data)

    def _is_idle(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete
        return answered and not self._inside and not self.pipeline and not self.flow.write_paused

    def _at_once(self, data: bytes) -> bytes:
        """Answer what can be; what is left is httptools's."""
        headers, self._held, self._read = self._read, b"", None
        while data.startswith(_LINE) and not self.transport.is_closing():
            end = data.find(b"\r\n\r\n")
            headers = headers or (read_headers(data[len(_LINE) : end + 2]) if end > 0 else None)
            if headers is None:
                break
            begin, length = end + 4, int(headers["content-length"])
            if len(data) - begin < length:  # clients send head and body apart: it is here in a moment
                self._held, self._read = data, headers
                return b""
            reply = self._offer(headers, data[begin : begin + length])
            if reply is None:
                break
            self._write(reply)
            data, headers = data[begin + length :], None
        return data

    def _offer(self, headers: dict[str, str], body: bytes) -> Reply | None:
        app: Application = self.config.app  # type: ignore[assignment]
        return app.at_once(Request("POST", "/", "", headers, body))

    def _write(self, reply: Reply) -> None:
        head = "".join([f"{name}: {value}\r\n" for name, value in reply.headers])
        ending = f"content-length: {len(reply.body)}\r\n\r\n"
        self.transport.write(STATUS_LINE[reply.status] + (head + ending).encode("latin-1", "replace") + reply.body)
        self._last = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._await_next(self.timeout_keep_alive)

    def _await_next(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection. What is answered at once does not set the timer anew: it is asked for here."""
        left = self._last + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._await_next(left)
        else:
            super().timeout_keep_alive_handler()

    def on_message_begin(self) -> None:
        self._head, self._inside = 0, True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._inside = False
        super().on_message_complete()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def _count(self, part: bytes) -> None:
        self._head += len(part)
        if self._head > LARGEST_HEADERS:
            raise ValueError("the head of the request is too large")  # httptools makes an answer 400 of it

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):
            self.headers.append((b"host", b"named in the request line"))
        super().on_headers_complete()


def is_gone(receive: Callable[[], Any]) -> bool:
    """Has the client of an ASGI request hung up? uvicorn notes it when the socket does; to await `http.disconnect`
    would take a task for each request."""
    return bool(getattr(getattr(receive, "__self__", None), "disconnected", False))


def read_headers(block: bytes) -> dict[str, str] | None:
    """The headers of a short request of plain form, names in lower case; None where anything about them is unusual:
    then no sense is made of them here."""
    if len(block) > LARGEST_AT_ONCE or not _HEAD.fullmatch(block):
        return None
    lines = block.decode("ascii").split("\r\n")
    lines.pop()
    headers: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    length = headers.get("content-length", "")
    if len(headers) != len(lines) or not _UNUSUAL.isdisjoint(headers) or not length.isdigit() or len(length) > 6:
        return None
    if int(length) > LARGEST_AT_ONCE or headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return headers
