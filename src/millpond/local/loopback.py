"""boto3 clients to ourselves, without a socket: how one service of the endpoint calls another.

botocore prepares the request and would send it; its `before-send` hook hands it to the same router instead, and
botocore reads the answer. So a call between services is the wire protocol, validated like any client's, and each side
may be ours, moto's or AWS's. Trust is a Python argument of the router, never a header.

Clients are cached and may be used from any thread. S3's streaming door runs on the server's event loop (or, before the
server runs, on a loop of its own) while the calling thread waits: never call a client from the event loop itself.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import io
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from millpond.local import protocol
from millpond.local.protocol import Request
from millpond.local.service import AwsError

if TYPE_CHECKING:
    from millpond.local.server import Router

CHUNK = 1024 * 1024
IN_MEMORY = 16 * 1024 * 1024


class Body:
    """An answer's body as botocore reads it: a file with urllib3's `stream`."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, amt: int | None = None, **_: Any) -> bytes:
        part: bytes = self._file.read(-1 if amt is None else amt)
        return part

    def stream(self, amt: int = 65536, **_: Any) -> Iterator[bytes]:
        while part := self._file.read(amt):
            yield part

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()

    def release_conn(self) -> None:
        pass


class Loopback:
    """See the module's docstring."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """The boto3 client of a service, made at the first call."""
        found = self._clients.get(service)
        if found is not None:
            return found
        with self._lock:  # making clients is not thread-safe in boto3, using them is
            if service not in self._clients:
                self._clients[service] = self._make(service)
            return self._clients[service]

    @functools.cached_property
    def _session(self) -> Any:
        import boto3

        endpoint = self._router.endpoint
        return boto3.session.Session(endpoint.access_key, endpoint.secret_key, region_name=endpoint.region)

    def _make(self, service: str) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config

        config = Config(
            signature_version="s3v4" if service == "s3" else UNSIGNED,  # S3's clients presign URLs
            retries={"total_max_attempts": 1, "mode": "standard"},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            inject_host_prefix=False,
        )
        made = self._session.client(service, endpoint_url=self._router.endpoint.url, config=config)
        made.meta.events.register("choose-signer.s3", _only_presign)
        made.meta.events.register("before-send", functools.partial(self._send, service))
        return made

    def _send(self, service: str, request: Any, **_: Any) -> Any:
        from botocore.awsrequest import AWSResponse

        if service == "s3":
            status, headers, file = self._s3(request)
        else:
            body = request.body.read() if hasattr(request.body, "read") else request.body or b""
            asked = _request(request, body.encode() if isinstance(body, str) else bytes(body))
            endpoint = self._router.endpoint
            reply = self._router.answer(
                service,
                asked,
                caller=endpoint.access_key,
                region=endpoint.region,
                request_id=protocol.new_request_id(),
            )
            status, file = reply.status, io.BytesIO(reply.body)
            written = {"Date": email.utils.formatdate(usegmt=True), "Content-Length": str(len(reply.body))}
            headers = [*reply.headers, *written.items()]  # what a server adds on the wire
        return AWSResponse(request.url, status, _case_insensitive(headers), Body(file))

    def _s3(self, request: Any) -> tuple[int, list[tuple[str, str]], Any]:
        loop = self._router.loop
        if loop is None or not loop.is_running():
            loop = _own_loop()
        if threading.get_ident() == getattr(loop, "_thread_id", None):
            raise RuntimeError("a loopback client was used on the event loop: it would wait for itself")
        return asyncio.run_coroutine_threadsafe(self._serve_s3(request), loop).result()

    async def _serve_s3(self, request: Any) -> tuple[int, list[tuple[str, str]], Any]:
        asked = _request(request, b"")
        request_id = protocol.new_request_id()
        file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (the reader closes it)
        status, headers = 0, []

        async def send(message: Any) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in message.get("headers", ())]
            elif request.method != "HEAD":
                file.write(message.get("body", b""))

        endpoint = self._router.endpoint
        app = self._router.app
        try:
            await app.serve_s3(
                _scope(request, asked, endpoint.port),
                _receiver(request.body),
                send,
                caller=endpoint.access_key,
                region=endpoint.region,
                request_id=request_id,
            )
        except AwsError as error:
            reply = protocol.refusal("s3", asked, error, request_id)
            return reply.status, reply.headers, io.BytesIO(b"" if request.method == "HEAD" else reply.body)
        file.seek(0)
        return status, headers, file


def _only_presign(signature_version: str, **_: Any) -> Any:
    """Requests over loopback need no signature, and signing would hash the whole body; presigned URLs do."""
    from botocore import UNSIGNED

    return None if "-" in signature_version else UNSIGNED


def _receiver(body: Any) -> Any:
    """ASGI's `receive` over a request body: bytes, text, a file or None."""
    if body is None or isinstance(body, str | bytes | bytearray):
        data = body.encode() if isinstance(body, str) else bytes(body or b"")
        body = io.BytesIO(data)

    ended = False

    async def receive() -> dict[str, Any]:
        nonlocal ended
        if ended:  # as a connection does: nothing more comes, until the reader gives up
            await asyncio.Event().wait()
        part = body.read(CHUNK)
        ended = not part
        if isinstance(part, str):
            part = part.encode()
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    return receive


def _request(request: Any, body: bytes) -> Request:
    url = urlsplit(request.url)
    raw = [(name, _header(value)) for name, value in request.headers.items()]
    raw.append(("host", url.netloc))
    headers = {name.lower(): value for name, value in raw}
    return Request(request.method, url.path or "/", url.query, headers, body, raw)


def _header(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _scope(request: Any, asked: Request, port: int) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": unquote(asked.path),
        "raw_path": asked.path.encode("latin-1"),
        "query_string": asked.query.encode("latin-1"),
        "headers": [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in asked.raw_headers
        ],
        "server": ("127.0.0.1", port),
        "client": None,
        "root_path": "",
    }


def _case_insensitive(headers: list[tuple[str, str]]) -> Any:
    from botocore.awsrequest import HeadersDict

    return HeadersDict(headers)


@functools.cache
def _own_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="loopback", daemon=True).start()
    return loop
