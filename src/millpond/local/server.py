"""One port on 127.0.0.1 that answers AWS's APIs: guard, classify, our own rooms first, moto for the rest.

    client --HTTP--> uvicorn -> guard -> service of the signature -> operation of the request
                                            |-- a room's operation: parsed, run in a thread, answered (protocol.py);
                                            |   its quick ones without a thread: wire.py
    in-process boto3 (loopback.py) ---------|-- S3: a door of its own, for streams (below)
                                            |-- what a room leaves to moto, or a service without room: moto_bridge.py
                                            `-- else 501 in AWS's form

The S3 door. The room exports `class S3` with

    async def serve(self, scope, receive, send, call: Call) -> bool

- `scope` is ASGI's, guarded and verified; virtual-host requests are already rewritten to path style (`path`,
  `raw_path`); `call.operation` is the operation of botocore's S3 model, or "" when none fits;
- it answers through `send` and returns True; or it returns False, with the body unread and nothing sent, when the
  operation is moto's (it must be in `S3.moto`, else the server answers 501);
- errors are raised as AwsError before anything is sent: the server writes S3's error document;
- `receive` may raise AwsError (the body's SHA-256 is not the signed one): clean up and let it pass;
- it may run on any event loop (the server's, or loopback's): hold no loop-bound objects between calls.

Nothing that a client sends may end in a traceback or HTML: what is not an AwsError is logged and answered as 500
InternalFailure with the request id.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from millpond.errors import DefinitionError, MillpondError
from millpond.local import models, presigned, protocol, rooms
from millpond.local.guard import EMPTY_HASH, UNSIGNED, Guard, Signature, bucket_of, identify
from millpond.local.protocol import Reply, Request
from millpond.local.service import AwsError, Call, Clock, Endpoint, unsupported
from millpond.local.store import Store, StoreUnavailable, WouldWait
from millpond.local.wire import Connection, is_gone

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
THREADS = 128  # a thread may wait long: GetActivityTask 60 s, a synchronous Lambda 15 min
LARGEST_BODY = 128 * 1024 * 1024  # outside S3; the largest of AWS is a function's zip (50 MB, base64)


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Server:
    """The endpoint. `data` is the state folder; with port 0 the system chooses a free one. `mock_config` is Step
    Functions Local's mock configuration file. Raises MillpondError when it cannot start."""

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        time_scale: float = 1.0,
        region: str = "us-east-1",
        mock_config: Path | None = None,
    ) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.started = time.time()
        self.store = Store(data / "endpoint.db")
        try:
            self._socket = _listen(port)
        except BaseException:
            self.store.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        self.guard = Guard(data / "credentials.json", port=self.port)
        self.endpoint = Endpoint(
            data=data,
            store=self.store,
            clock=Clock(time_scale),
            port=self.port,
            access_key=self.guard.access_key,
            secret_key=self.guard.secret_key,
            region=region,
            mint=self.guard.mint,
            mock_config=mock_config,
        )
        self.router = Router(self.endpoint, self.guard)
        self.app = self.router.app = App(self)
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self._uvicorn: uvicorn.Server | None = None

    def run(self) -> None:
        """Serve until `stop`; then stop the rooms and close the store. Raises what kept it from starting."""
        config = uvicorn.Config(
            self.app,
            http=Connection,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        self._uvicorn = uvicorn.Server(config)
        self._uvicorn.capture_signals = _no_signals  # type: ignore[method-assign]  # ours are set in __main__
        try:
            self._uvicorn.run(sockets=[self._socket])
        except SystemExit:  # uvicorn's words for a start that failed; ours say why
            if self.failure is None:
                raise
        finally:
            self._socket.close()
            self.ready.set()
            self.store.close()
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        """Ask the server to end in order; returns at once. Safe from signal handlers and threads."""
        if self._uvicorn:
            self._uvicorn.should_exit = True

    def health(self) -> dict[str, Any]:
        """What `/_millpond/health` says."""
        from importlib.metadata import version

        return {
            "status": "running",
            "port": self.port,
            "pid": os.getpid(),
            "version": version("millpond"),
            "started": self.started,
            "services": sorted(self.endpoint.services),
            "notRestored": self.router.moto.not_restored(),
        }


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio switches Nagle off on accepted connections: 40 ms a request otherwise.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise MillpondError(
            f"port {port} on 127.0.0.1 cannot be used: {error.strerror}",
            help="another endpoint may hold it: millpond status, or choose one with --port",
        ) from None
    listener.listen(512)
    listener.set_inheritable(False)
    return listener


def _no_signals() -> Any:
    import contextlib

    return contextlib.nullcontext()


class Router:
    """From a verified request to its answer, for threads: what HTTP and loopback share."""

    def __init__(self, endpoint: Endpoint, guard: Guard) -> None:
        from millpond.local.loopback import Loopback
        from millpond.local.moto_bridge import MotoBridge

        self.endpoint, self.guard = endpoint, guard
        self.app: App  # set by Server
        self.loop: asyncio.AbstractEventLoop | None = None
        self.operations: dict[str, dict[str, Any]] = {}
        self.quick: dict[str, str] = {}  # X-Amz-Target -> the service whose quick operation it names
        self.moto = MotoBridge(endpoint, guard)
        self.loopback = Loopback(self)
        endpoint.connect = self.loopback.client

    def open(self) -> None:
        """Build the rooms, install their tables, then let them recover."""
        endpoint = self.endpoint
        endpoint.store.install(self.moto.schema)
        for name, room in rooms.build(endpoint):
            if room.schema:
                endpoint.store.install(room.schema)
            endpoint.services[name] = room
            self.operations[name] = dict(room.operations())
            self.quick |= {f"{models.target_prefix(name)}.{quick}": name for quick in getattr(room, "quick", ())}
        for name, room in endpoint.services.items():
            log.info("starting %s", name)
            try:
                room.start()
            except Exception as error:
                if isinstance(error, (MillpondError, OSError)) and not isinstance(error, DefinitionError):
                    raise
                log.exception("%s cannot start", name)
                check = f"{name} cannot read what it kept: {type(error).__name__}: {error}"
                raise endpoint.store.damaged(check) from error
        self.moto.rules.start()

    def close(self) -> None:
        """Stop the rooms, callers before the called; one that fails does not keep the others from stopping."""
        self.endpoint.clockwork.stop()
        self.moto.rules.stop()
        for name, room in reversed(self.endpoint.services.items()):
            try:
                room.stop()
            except Exception:
                log.exception("%s did not stop in order", name)
        try:
            self.moto.rules.drain()
        except Exception:
            log.exception("events that were announced are lost")

    def answer(self, service: str, request: Request, *, caller: str, region: str, request_id: str) -> Reply:
        """The answer to a request that the guard let in, errors included. Not for S3 objects: see `App.serve_s3`."""
        try:
            return self._dispatch(service, request, caller, region, request_id)
        except AwsError as error:
            return protocol.refusal(service, request, error, request_id)
        except Exception as error:
            return protocol.refusal(service, request, failure(error, request_id), request_id)

    def _dispatch(self, service: str, request: Request, caller: str, region: str, request_id: str) -> Reply:
        room = self.endpoint.services.get(service)
        if room is None:
            return self.moto.answer(service, request, region=region, request_id=request_id)
        described = models.model(service)
        assert described is not None, service
        name, labels = protocol.operation_of(service, request)
        run = self.operations[service].get(name)
        if run is not None:
            operation = described.operation_model(name)
            params = protocol.parse(described, operation, request, labels)
            result = run(params, Call(service, name, region, caller, request_id, request.gone))
            return protocol.answer(described, operation, result, request_id)
        if name in room.moto:
            return self.moto.answer(service, request, region=region, request_id=request_id, operation=name)
        if name not in described.operation_names:
            raise AwsError("UnknownOperationException", f"{service} has no operation {name[:100]}.")
        raise unsupported(service, name)


def failure(error: Exception, request_id: str) -> AwsError:
    """What a client hears of an error that is not AWS's: 503 while the disk is full or the state file locked (nothing
    was done, try again), else a bug of ours."""
    if isinstance(error, StoreUnavailable) or (isinstance(error, OSError) and error.errno in _FULL):
        text = error.message if isinstance(error, StoreUnavailable) else f"The disk is full: {error}"
        log.warning("request %s: %s", request_id, text)
        return AwsError("ServiceUnavailable", text, status=503)
    log.exception("request %s failed", request_id, exc_info=error)
    return internal_failure(request_id)


def internal_failure(request_id: str) -> AwsError:
    """What a client learns of a bug of ours: the id under which the log has the rest."""
    text = f"Millpond failed; its log has the details under request {request_id}."
    return AwsError("InternalFailure", text, status=500)


class App:
    """The ASGI shell: lifespan, guard, bodies, the S3 door and Millpond's own routes."""

    def __init__(self, server: Server) -> None:
        self.server, self.router, self.guard = server, server.router, server.guard
        self._threads = concurrent.futures.ThreadPoolExecutor(THREADS, thread_name_prefix="call")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        loop = asyncio.get_running_loop()
        self.router.loop = loop
        try:
            await loop.run_in_executor(self._threads, self.router.open)
        except BaseException as error:
            self.server.failure = error
            await loop.run_in_executor(self._threads, self.router.close)
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        self.server.ready.set()
        await receive()
        await loop.run_in_executor(self._threads, self.router.close)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    def at_once(self, request: Request) -> Reply | None:
        """The answer to a request that needs no waiting; None when it is not one: then `_serve` has it, from the start.

        These are the operations that a room calls `quick` (they touch nothing but the store), while nobody else writes
        to the store. They run on the event loop, for a change of threads costs more than they do. All that the guard
        asks is asked here (wire.py lets no browser's marks through); what it does not let in, `_serve` refuses.
        """
        headers = request.headers
        target = headers.get("x-amz-target", "")
        service = self.router.quick.get(target)
        if service is None or not self.server.ready.is_set() or not self.guard.is_ours(headers.get("host", "")):
            return None
        try:
            claim = identify({}, headers)
            if models.service_of(claim.service, target) != service:
                return None
            self._check(claim, request, _hash(request.body))
        except Exception:  # whatever it is, `_serve` meets it again, and answers and logs it
            return None
        with self.server.store.unless_busy() as free:
            if not free:
                return None
            try:
                return self.router.answer(
                    service, request, caller=claim.access_key, region=claim.region, request_id=protocol.new_request_id()
                )
            except WouldWait:
                return None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = protocol.new_request_id()
        request = _request(scope)
        service, answered = "", False

        async def sending(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            host = self.guard.admit(scope["headers"])
            query = request.query_members()
            claim = identify(query, request.headers)
            service = models.service_of(claim.service, request.headers.get("x-amz-target", ""))
            if service == "s3":
                receive = self._verified(claim, request, receive)
                await self._s3(scope, host, receive, sending, claim, request_id)
                return
            request.body = await _read(receive, request.headers)
            request.gone = partial(is_gone, receive)
            self._check(claim, request, _hash(request.body))
            reply = await self._route(service, request, claim, request_id)
        except Disconnected:
            return
        except AwsError as error:
            reply = protocol.refusal(service, request, error, request_id)
        except Exception as error:
            reply = protocol.refusal(service, request, failure(error, request_id), request_id)
        if answered:  # half an answer is out: only a broken connection tells the client
            raise ConnectionAbortedError(request_id)
        await write(reply, send)

    async def _route(self, service: str, request: Request, claim: Signature, request_id: str) -> Reply:
        loop = asyncio.get_running_loop()
        if service == "millpond":
            from millpond.local import own_routes

            return await loop.run_in_executor(self._threads, own_routes.answer, self.server, request)
        return await loop.run_in_executor(
            self._threads,
            lambda: self.router.answer(
                service, request, caller=claim.access_key, region=claim.region, request_id=request_id
            ),
        )

    def _check(self, claim: Signature, request: Request, body_hash: str) -> None:
        said = request.headers.get("x-amz-content-sha256", body_hash)
        self._verify(claim, request, said)
        if said not in (body_hash, UNSIGNED):
            raise AwsError("InvalidSignatureException", "The body is not the one that was signed.", status=403)

    def _verify(self, claim: Signature, request: Request, payload_hash: str) -> None:
        self.guard.verify(
            claim,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            payload_hash=payload_hash,
        )

    # -- S3 ----------------------------------------------------------------------------------------------------------

    def _verified(self, claim: Signature, request: Request, receive: Receive) -> Receive:
        """Verify the head; when it signs the body's hash, the body is held against it as it is read."""
        said = request.headers.get("x-amz-content-sha256", UNSIGNED if claim.expires is not None else "")
        if not said:
            raise AwsError("MissingSecurityHeader", "Your request is missing the header x-amz-content-sha256.")
        self._verify(claim, request, said)
        if said == UNSIGNED or said.startswith("STREAMING-"):
            return receive
        digest = hashlib.sha256()

        async def checked() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                digest.update(message.get("body", b""))
                if not message.get("more_body") and digest.hexdigest() != said:
                    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
                    raise AwsError("XAmzContentSHA256Mismatch", text)
            return message

        return checked

    async def _s3(
        self, scope: Scope, host: str, receive: Receive, send: Send, claim: Signature, request_id: str
    ) -> None:
        if claim.until is not None:
            scope = {**scope, "query_string": presigned.without_signature(scope["query_string"])}
        if bucket := bucket_of(host):  # virtual-host style: bucket.localhost:4566/key
            path = f"/{bucket}{scope['raw_path'].decode('latin-1')}"
            scope = {**scope, "raw_path": path.encode("latin-1"), "path": f"/{bucket}{scope['path']}"}
        await self.serve_s3(scope, receive, send, caller=claim.access_key, region=claim.region, request_id=request_id)

    async def serve_s3(
        self, scope: Scope, receive: Receive, send: Send, *, caller: str, region: str, request_id: str
    ) -> None:
        """An S3 request that the guard let in, to the room or to moto. Raises AwsError before anything is sent."""
        request = _request(scope)
        found = models.rest_operation("s3", request.method, request.path, request.query_members(), request.headers)
        call = Call("s3", found[0] if found else "", region, caller, request_id)
        room: Any = self.router.endpoint.services.get("s3")
        if room is not None:
            if await room.serve(scope, receive, send, call):
                return
            if call.operation not in room.moto:
                raise unsupported("s3", call.operation or f"{request.method} {request.path[:200]}")
        request.body = await _read(receive, request.headers)
        loop = asyncio.get_running_loop()
        reply = await loop.run_in_executor(
            self._threads,
            lambda: self.router.moto.answer(
                "s3", request, region=region, request_id=request_id, operation=call.operation
            ),
        )
        await write(reply, send)


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest() if body else EMPTY_HASH


def _request(scope: Scope) -> Request:
    raw = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    headers: dict[str, str] = {}
    for name, value in raw:
        low = name.lower()
        headers[low] = f"{headers[low]},{value}" if low in headers else value
    return Request(
        method=scope["method"],
        path=scope["raw_path"].partition(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        raw_headers=raw,
    )


async def _read(receive: Receive, headers: dict[str, str]) -> bytes:
    """The whole body. Raises AwsError(RequestEntityTooLarge) before reading when its length is announced."""
    announced = headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > LARGEST_BODY:
        raise _too_large()
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > LARGEST_BODY:
            raise _too_large()
        if not message.get("more_body"):
            return b"".join(parts) if len(parts) > 1 else part


def _too_large() -> AwsError:
    limit = LARGEST_BODY // (1024 * 1024)
    return AwsError("RequestEntityTooLargeException", f"The request is larger than {limit} MiB.", status=413)


async def write(reply: Reply, send: Send) -> None:
    """Send an answer."""
    headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in reply.headers]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
