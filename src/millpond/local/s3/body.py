"""Bodies on their way in: plain, chunked transfer (the server undoes that) or `aws-chunked`, to a staged file.

Memory is bounded: at most `STEP` bytes are held before they are hashed and written, in a thread. Nothing is visible
before all digests and lengths agreed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from millpond.local.s3.checksums import HEADERS, Tally
from millpond.local.service import AwsError

STEP = 1 << 20
MAX_OBJECT = 5 * 1024**3  # bytes in one PUT or part, AWS
MAX_DOCUMENT = 8 << 20  # our limit for XML bodies: a Complete with 10,000 parts and checksums fits
LONGEST_LINE = 4096
MAX_DRAINED = 64 << 20

Receive = Callable[[], Awaitable[Any]]
Run = Callable[[Callable[[], Any]], Awaitable[Any]]  # run blocking work in a thread


class ClientGone(Exception):
    """The client hung up before its body was complete: there is nobody to answer."""


def incomplete() -> AwsError:
    return AwsError(
        "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )


class Spool:
    """A body becoming a staged file. `write` and `finish` block: call them in a thread."""

    def __init__(self, path: Path, tally: Tally, *, length: int | None = None) -> None:
        self.path, self.tally, self.length = path, tally, length
        self.pending = bytearray()
        self.trailer: str | None = None
        self._file: IO[bytes] | None = None

    def write(self) -> None:
        """Hash and write what is pending."""
        if self._file is None:
            self._file = self.path.open("xb", buffering=0)
        data = bytes(self.pending)
        self.pending.clear()
        self.tally.update(data)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]

    def finish(self) -> Path:
        """Write the rest and check every promise. Raises IncompleteBody, BadDigest and the like."""
        self.write()
        assert self._file is not None
        self._file.close()
        if self.length is not None and self.tally.size != self.length:
            raise incomplete()
        self.tally.verify(self.trailer)
        return self.path

    def discard(self) -> None:
        """Remove what was not placed. Harmless afterwards."""
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


class AwsChunked:
    """Decodes `<hex size>[;chunk-signature=...]CRLF <data> CRLF ... 0 CRLF trailers CRLF`, as it arrives.

    The chunks' own signatures are not verified: see guard.py.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._left = 0  # bytes of the current chunk still to come
        self._step: Callable[[], bytes | None] = self._header
        self.trailers: dict[str, str] = {}
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        """Raw bytes in, payload bytes out."""
        self._buffer += data
        out = bytearray()
        while not self.finished and (piece := self._step()) is not None:
            out += piece
        return bytes(out)

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise incomplete()
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _header(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            raise incomplete() from None
        if self._left < 0:
            raise incomplete()
        self._step = self._data if self._left else self._trailer
        return b""

    def _data(self) -> bytes | None:
        if not self._buffer:
            return None
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        if not self._left:
            self._step = self._end_of_data
        return data

    def _end_of_data(self) -> bytes | None:
        if len(self._buffer) < 2:
            return None
        if self._buffer[:2] != b"\r\n":
            raise incomplete()
        del self._buffer[:2]
        self._step = self._header
        return b""

    def _trailer(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        if line:
            name, _, value = line.decode("latin-1").partition(":")
            self.trailers[name.strip().lower()] = value.strip()
        else:
            self.finished = True
        return b""


def is_aws_chunked(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-content-sha256", "").startswith("STREAMING-") or "aws-chunked" in headers.get(
        "content-encoding", ""
    )


def expected_length(headers: Mapping[str, str]) -> int | None:
    """The payload's promised length; None when the transfer is chunked. Raises AWS's errors for what cannot be."""
    name = "x-amz-decoded-content-length" if is_aws_chunked(headers) else "content-length"
    text = headers.get(name)
    if text is None:
        if "transfer-encoding" not in headers:
            raise AwsError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
        return None
    if not (text.isascii() and text.isdigit()):
        raise AwsError("InvalidArgument", f"Invalid value for {name}", ArgumentName=name, ArgumentValue=text)
    if int(text) > MAX_OBJECT:
        raise too_large(int(text))
    return int(text)


def too_large(size: int) -> AwsError:
    return AwsError(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
        ProposedSize=size,
        MaxSizeAllowed=MAX_OBJECT,
    )


class Incoming:
    """The request's body, and what to do with the rest of it when an error is answered early."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._begun = self._ended = False

    async def receive(self) -> Any:
        self._begun = True
        try:
            message = await self._receive()
        except AwsError:  # the front end held the whole body against its signed hash
            self._ended = True
            raise
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def drained(self, headers: Mapping[str, str]) -> bool:
        """Read what the client is still sending, so that it reads our answer. False: the connection must be closed.

        A client that waits for `100 Continue` and gets an error may or may not send its body after all.
        """
        if self._ended or not ("transfer-encoding" in headers or headers.get("content-length", "0") != "0"):
            return True
        if not self._begun and "expect" in headers:
            return False
        read = 0
        while not self._ended and read < MAX_DRAINED:
            with contextlib.suppress(AwsError):  # one error is on its way already
                read += len((await self.receive()).get("body", b""))
        return self._ended


async def fill(spool: Spool, receive: Receive, run: Run, decoder: AwsChunked | None) -> None:
    """Read the whole body. The last piece stays pending: `spool.finish` writes it in the caller's thread."""
    more, received = True, 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        data = message.get("body", b"")
        data = decoder.feed(data) if decoder else data
        received += len(data)
        if received > MAX_OBJECT:
            raise too_large(received)
        spool.pending += data
        if len(spool.pending) >= STEP:
            await run(spool.write)
    if decoder is not None:
        if not decoder.finished:
            raise incomplete()
        spool.trailer = next((v for n, v in decoder.trailers.items() if n in HEADERS), None)


async def document(receive: Receive) -> bytes:
    """A small body (XML, JSON) as a whole."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        more = message.get("more_body", False)
        body += message.get("body", b"")
        if len(body) > MAX_DOCUMENT:
            raise AwsError("MaxMessageLengthExceeded", "Your request was too large.")
    return bytes(body)
