"""S3 over ordinary folders: an object is a file, so that Spark, DuckDB, the API and an editor see the same data.

    <state>/s3/<bucket>/<key>           every object whose key can be a path
    <state>/s3/.endpoint/blobs/         the others (`a` beside `a/b`, `x//y`, `e/`, ...), older versions, uploads, stage

Keys and paths: keys.py. Files and their rows: objects.py. Order of listing: walk.py, listings.py. Buckets and what
their configuration does and does not do here: buckets.py. Digests: checksums.py. Multipart uploads: multipart.py.
The operations on objects: transfer.py.

The front end hands requests over as ASGI (`serve`). Bodies stream both ways; file work runs in threads; memory per
request is about a MiB. Files are renamed into place and, like AWS's, appear whole or not at all; they are not fsynced.

Limits, all refused and none ignored: bucket notifications, replication, websites, object lock, access lists, encryption
with customer keys, archive storage classes, Select, torrents, POST forms. Kept, but without effect here: see
`buckets.STORED`. Symbolic links in a bucket's folder are never followed and are no objects.

In-process doors for other rooms: `objects`, `put_file`, `path`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote_to_bytes

from millpond.local.s3 import body, buckets, checksums, messages, multipart, objects
from millpond.local.s3.buckets import STORED, Buckets
from millpond.local.s3.listings import Keys, Listings
from millpond.local.s3.messages import Answer, Bytes, Request
from millpond.local.s3.multipart import Uploads
from millpond.local.s3.objects import Objects
from millpond.local.s3.transfer import Transfer, copy_range
from millpond.local.s3.walk import Found
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

log = logging.getLogger(__name__)

THREADS = 16
READ = 1 << 20

Handler = Callable[[Request], Answer]

# Query members that choose no operation. Any other member is a sub-resource that we must know.
PLAIN = frozenset(
    {
        "prefix",
        "delimiter",
        "marker",
        "max-keys",
        "encoding-type",
        "list-type",
        "continuation-token",
        "start-after",
        "fetch-owner",
        "x-id",
        "versionId",
        "partNumber",
        "key-marker",
        "version-id-marker",
        "upload-id-marker",
        "max-uploads",
        "max-parts",
        "part-number-marker",
        "max-buckets",
        "bucket-region",
        "response-content-type",
        "response-content-language",
        "response-expires",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
    }
)
SIGNING = ("X-Amz-", "x-amz-")

STREAMED, DOCUMENT = "stream", "document"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object as other rooms see it: a file to open."""

    key: str
    size: int  # bytes
    mtime_ns: int
    path: Path


class S3:
    """See the module's docstring."""

    name = "s3"
    schema = objects.SCHEMA + multipart.SCHEMA + buckets.SCHEMA
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        endpoint.buckets.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.endpoint = endpoint
        self._objects = Objects(endpoint.buckets, endpoint.store)
        self._uploads = Uploads(self._objects, endpoint.store)
        self._buckets = Buckets(self._objects, endpoint.store, self._uploads.forget)
        self._transfer = Transfer(self._objects, self._buckets, self._uploads)
        self._listings = Listings(self._objects, self._buckets)
        self._table = self._operations()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")

    def operations(self) -> dict[str, Operation]:
        """None: S3 reads and writes streams, see `serve`."""
        return {}

    def start(self) -> None:
        self._objects.sweep()
        self._uploads.sweep()

    def stop(self) -> None:
        self._threads.shutdown(wait=True)

    # Doors for other rooms

    def objects(self, bucket: str, prefix: str = "") -> Iterator[S3Object]:
        """The current objects below a prefix, in order of their keys. Raises NoSuchBucket."""
        self._buckets.present(bucket)
        root = self.endpoint.buckets / bucket
        found = Keys(self._objects, bucket, prefix, b"")
        try:
            for item in found:
                outside = None if isinstance(item, Found) else item.file
                yield S3Object(item.key, item.size, item.mtime_ns, outside or root / item.key)
        finally:
            found.close()

    def put_file(self, bucket: str, key: str, source: Path, *, content_type: str = "binary/octet-stream") -> None:
        """Copy a file into the bucket: the object appears whole or not at all."""
        where = self._buckets.present(bucket)
        staged = self._objects.stage_path()
        try:
            with source.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                tally = copy_range(file.fileno(), staged, 0, size, checksums.DEFAULT)
            draft = objects.Draft(
                etag=tally.md5,
                headers={"content-type": content_type},
                checksum=(checksums.DEFAULT, tally.checksum, "FULL_OBJECT"),
            )
            self._objects.commit(bucket, key, staged, draft, versioning=where.versioning)
        finally:
            staged.unlink(missing_ok=True)

    def path(self, bucket: str, key: str) -> Path:
        """The file that holds the object. Raises NoSuchKey or NoSuchBucket."""
        self._buckets.present(bucket)
        found = self._objects.head(bucket, key)
        return found.file or self.endpoint.buckets / bucket / key

    # Requests

    def _operations(self) -> dict[tuple[str, str, str], tuple[Handler, str]]:
        """(level, method, sub-resource) -> what answers and how it takes its body."""
        b, t = self._buckets, self._transfer
        table: dict[tuple[str, str, str], tuple[Handler, str]] = {
            ("service", "GET", ""): (b.list, ""),
            ("bucket", "PUT", ""): (b.create, DOCUMENT),
            ("bucket", "DELETE", ""): (b.delete, ""),
            ("bucket", "HEAD", ""): (b.head, ""),
            ("bucket", "GET", ""): (self._list, ""),
            ("bucket", "GET", "location"): (b.location, ""),
            ("bucket", "GET", "versioning"): (b.get_versioning, ""),
            ("bucket", "PUT", "versioning"): (b.put_versioning, DOCUMENT),
            ("bucket", "GET", "versions"): (self._listings.versions, ""),
            ("bucket", "GET", "uploads"): (t.list_uploads, ""),
            ("bucket", "POST", "delete"): (t.delete_many, DOCUMENT),
            ("bucket", "GET", "acl"): (b.get_acl, ""),
            ("bucket", "PUT", "acl"): (b.refuse_acl, DOCUMENT),
            ("object", "PUT", ""): (t.put, STREAMED),
            ("object", "PUT", "copy"): (t.copy, ""),
            ("object", "GET", ""): (t.get, ""),
            ("object", "HEAD", ""): (t.head, ""),
            ("object", "DELETE", ""): (t.delete, ""),
            ("object", "GET", "tagging"): (t.get_tags, ""),
            ("object", "PUT", "tagging"): (t.put_tags, DOCUMENT),
            ("object", "DELETE", "tagging"): (t.delete_tags, ""),
            ("object", "GET", "acl"): (t.get_acl, ""),
            ("object", "PUT", "acl"): (t.put_acl, DOCUMENT),
            ("object", "GET", "attributes"): (t.attributes, ""),
            ("object", "POST", "uploads"): (t.begin, ""),
            ("object", "PUT", "uploadId"): (t.put_part, STREAMED),
            ("object", "PUT", "uploadId copy"): (t.copy_part, ""),
            ("object", "POST", "uploadId"): (t.complete, DOCUMENT),
            ("object", "DELETE", "uploadId"): (t.abort, ""),
            ("object", "GET", "uploadId"): (t.list_parts, ""),
        }
        for kind in STORED:
            for method, handler in b.configuration(kind).items():
                table["bucket", method, kind] = (handler, DOCUMENT if method == "PUT" else "")
        return table

    def _list(self, request: Request) -> Answer:
        v2 = request.query.get("list-type") == "2"
        return self._listings.objects_v2(request) if v2 else self._listings.objects_v1(request)

    async def serve(self, scope: Any, receive: Any, send: Any, call: Call) -> bool:
        """Answer one request that the guard has let in. Always True: no operation is left to moto."""
        request: Request | None = None
        incoming = body.Incoming(receive)
        try:
            request = parse(scope, call)
            handler, takes = self._handler(request, call)
            answer = await self._answer(request, handler, takes, incoming.receive)
        except body.ClientGone:
            return True
        except AwsError as error:
            answer = messages.error(error, request)
        except (OSError, sqlite3.Error) as error:
            log.exception("request %s failed", call.request_id)
            answer = messages.error(disk_error(error), request)
        if answer.status >= 400 and request is not None and not await incoming.drained(request.headers):
            answer.headers["connection"] = "close"
        await self._send(answer, call, receive, send)
        return True

    def _handler(self, request: Request, call: Call) -> tuple[Handler, str]:
        level = "object" if request.key else "bucket" if request.bucket else "service"
        subs = sorted(name for name in request.query if name not in PLAIN and not name.startswith(SIGNING))
        sub = subs[0] if len(subs) == 1 else " and ".join(subs)
        if request.method == "PUT" and "x-amz-copy-source" in request.headers:
            sub = f"{sub} copy".strip()
        owner = request.headers.get("x-amz-expected-bucket-owner", self.endpoint.account)
        if owner != self.endpoint.account:
            raise AwsError("AccessDenied", "Access Denied", status=403)
        try:
            return self._table[level, request.method, sub]
        except KeyError:
            known = call.operation or f"{request.method} {level}{'?' + sub if sub else ''}"
            raise unsupported("s3", known) from None

    async def _answer(self, request: Request, handler: Handler, takes: str, receive: Any) -> Answer:
        match takes:
            case "stream":
                return await self._take(request, handler, receive)
            case "document":
                request.body = await body.document(receive)
                promised = checksums.promised(dict(request.headers))
                tally = checksums.Tally(promised, default=None)
                tally.update(request.body)
                tally.verify()
        return await self._run(lambda: handler(request))

    async def _take(self, request: Request, handler: Handler, receive: Any) -> Answer:
        headers = dict(request.headers)
        promised, length = checksums.promised(headers), body.expected_length(headers)
        if length is None or length > body.STEP:  # a small body is here before its bucket is looked up
            await self._run(lambda: self._buckets.present(request.bucket))
        spool = body.Spool(self._objects.stage_path(), checksums.Tally(promised), length=length)
        request.spool = spool
        decoder = body.AwsChunked() if body.is_aws_chunked(headers) else None
        try:
            await body.fill(spool, receive, self._run, decoder)
            return await self._run(lambda: handler(request))
        finally:
            spool.discard()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _send(self, answer: Answer, call: Call, receive: Any, send: Any) -> None:
        sized = answer.headers if isinstance(answer.body, Bytes) else {"content-length": str(len(answer.body))}
        headers = {"x-amz-request-id": call.request_id, "x-amz-id-2": "millpond", **sized, **answer.headers}
        if answer.status in (204, 304):
            headers.pop("content-length", None)
        raw = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": answer.status, "headers": raw}
        if isinstance(answer.body, Bytes):
            await self._send_file(start, answer.body, receive, send)
        else:
            await send(start)
            await send({"type": "http.response.body", "body": answer.body})

    async def _send_file(self, start: Any, span: Bytes, receive: Any, send: Any) -> None:
        """Send part of a file in pieces; stop when the client hangs up, or when the file turns out shorter."""
        at, left = span.start, span.length
        gone = None
        try:
            piece = await self._run(partial(os.pread, span.handle, min(left, READ), at))
            await send(start)
            if left > 4 * READ:
                gone = asyncio.ensure_future(_hung_up(receive))
            while True:
                at, left = at + len(piece), left - len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
                if left <= 0 or (gone is not None and gone.done()):
                    return
                piece = await self._run(partial(os.pread, span.handle, min(left, READ), at))
                if not piece:  # truncated by another program: only a broken connection tells the client
                    raise ConnectionAbortedError("the file became shorter while it was sent")
        finally:
            if gone is not None:
                gone.cancel()
            os.close(span.handle)


def parse(scope: Mapping[str, Any], call: Call) -> Request:
    """The request of an ASGI scope. Raises InvalidURI for a key that is not UTF-8."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw = scope["raw_path"].partition(b"?")[0]
    bucket, _, key = unquote_to_bytes(raw).removeprefix(b"/").partition(b"/")
    try:
        members = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
        return Request(
            method=scope["method"], bucket=bucket.decode(), key=key.decode(), query=dict(members), headers=headers,
            region=call.region, caller=call.caller, id=call.request_id,
        )  # fmt: skip
    except (UnicodeDecodeError, ValueError):
        raise AwsError("InvalidURI", "Couldn't parse the specified URI.") from None


async def _hung_up(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        await asyncio.sleep(0.05)  # a loopback receiver has no connection to lose and answers at once


def disk_error(error: Exception) -> AwsError:
    """What a client learns when the disk does not play along."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AwsError("SlowDown", "The disk that holds the buckets is full.", status=503)
    if isinstance(error, sqlite3.OperationalError):
        return AwsError("ServiceUnavailable", f"The state store does not answer: {error}", status=503)
    return AwsError("InternalError", f"The bucket's folder cannot be used: {error}", status=500)
