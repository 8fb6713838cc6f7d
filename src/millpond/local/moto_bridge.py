"""The services that are not ours: moto, unmodified, as a WSGI application in our process.

moto is imported at the first request that needs it; what was configured before the last exit is then rebuilt from the
journal (moto_journal.py). Four traps are closed here: a chunked body reaches it whole,
names with underscores and the raw path survive, and the account is ours whatever a header says. Its control routes, its
CORS and its HTML error pages never reach a client.

What EventBridge's rules deliver, and to whom, is ours (events/). Services of moto that would only pretend to do work (a
batch job that "succeeds" on a timer) are refused by name.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
import threading
from typing import Any
from urllib.parse import unquote_to_bytes

from millpond.local import events, models, moto_journal
from millpond.local.guard import Guard
from millpond.local.moto_journal import Journal
from millpond.local.protocol import Reply, Request, operation_of
from millpond.local.service import ACCOUNT, AwsError, Endpoint, unsupported

log = logging.getLogger(__name__)

# Not AWS: moto's control routes, and what it serves in the name of an instance's metadata.
REFUSED_PATHS = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "server", "date", "content-length"})

# Here moto answers that work was done which nobody did. Fake success is worse than a refusal.
PRETENDERS = frozenset(
    {
        "batch",
        "bedrock-runtime",
        "codebuild",
        "codepipeline",
        "comprehend",
        "databrew",
        "datasync",
        "ecs",
        "emr",
        "emr-containers",
        "emr-serverless",
        "kinesisanalyticsv2",
        "mediaconvert",
        "polly",
        "rds-data",
        "redshift-data",
        "rekognition",
        "sagemaker-metrics",
        "sagemaker-runtime",
        "textract",
        "timestream-query",
        "transcribe",
    }
)

KEY_OPERATIONS = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "GetSessionToken", "CreateAccessKey"})


class MotoBridge:
    """See the module's docstring."""

    schema = moto_journal.SCHEMA + events.SCHEMA

    def __init__(self, endpoint: Endpoint, guard: Guard) -> None:
        self._endpoint, self._guard = endpoint, guard
        self._loading = threading.RLock()
        self._changing = threading.Lock()
        self._application: Any = None
        self._restored = False
        self._journal = Journal(endpoint.store)
        self.rules = events.Rules(endpoint, lambda name, params: self._events(name, params, endpoint.region))

    def answer(self, service: str, request: Request, *, region: str, request_id: str, operation: str = "") -> Reply:
        """moto's answer to a request. Raises AwsError when moto has no such service or operation, or failed."""
        if request.path.startswith(REFUSED_PATHS):
            raise AwsError("UnknownOperationException", "There is no such route.", status=404)
        operation = operation or self._operation(service, request)
        if service in PRETENDERS:
            raise unsupported(service, operation, "The library behind it would only pretend to do the work.")
        self._load()
        if service == "events":
            return self._of_events(operation, request, region)
        reply = self._ask(service, request, region, operation)
        if operation in KEY_OPERATIONS | {"DeleteAccessKey"} and reply.status < 300:
            self._note_keys(operation, request, reply)
        return reply

    def _ask(self, service: str, request: Request, region: str, operation: str) -> Reply:
        if not self._journal.concerns(service, operation):
            return self._call(service, request, region, operation)
        return self._change(service, request, region, operation)

    def _of_events(self, operation: str, request: Request, region: str) -> Reply:
        reply = self.rules.answer(operation, request, lambda name, params: self._events(name, params, region))
        if reply is None:
            reply = self._ask("events", request, region, operation)
        if self._journal.concerns("events", operation):
            self.rules.changed()
        return reply

    def _events(self, operation: str, params: Any, region: str) -> Reply:
        """An operation of moto's EventBridge, with parameters of ours."""
        self._load()
        headers = {"x-amz-target": f"AWSEvents.{operation}", "content-type": "application/x-amz-json-1.1"}
        request = Request("POST", "/", "", headers, json.dumps(params).encode(), list(headers.items()))
        return self._ask("events", request, region, operation)

    def not_restored(self) -> list[dict[str, str]]:
        """What could not be rebuilt after the last exit: service, operation, error."""
        return self._journal.failures()

    @staticmethod
    def _operation(service: str, request: Request) -> str:
        if models.model(service) is None:
            raise unsupported(service[:60], f"{request.method} {request.path[:100]}")
        return operation_of(service, request)[0]

    def _change(self, service: str, request: Request, region: str, operation: str) -> Reply:
        """A call for the journal: one at a time, under a seed that gives the same ids when it is repeated."""
        from moto.moto_api._internal import mock_random

        with self._changing:
            seed = self._journal.next_seed()
            mock_random.seed(seed)
            reply = self._call(service, request, region, operation)
            if reply.status < 300:
                self._journal.keep(seed, service, operation, region, request)
            mock_random.seed()
        return reply

    def _restore(self) -> None:
        from moto.moto_api._internal import mock_random

        for kept in self._journal.calls():
            mock_random.seed(kept.id)
            error = None
            try:
                reply = self._call(kept.service, kept.request, kept.region, kept.operation)
                if reply.status >= 300:
                    error = reply.body[:300].decode("utf-8", "replace")
            except AwsError as failure:
                error = failure.message
            if error:
                log.warning("%s:%s could not be restored: %s", kept.service, kept.operation, error)
            self._journal.mark(kept, error)
        mock_random.seed()

    def _note_keys(self, operation: str, request: Request, reply: Reply) -> None:
        """Keys that moto gave out are keys the guard knows: a client may go on with an assumed role's."""
        if operation == "DeleteAccessKey":
            self._guard.forget(request.form().get("AccessKeyId", ""))
            return
        found = {
            name: match[1]
            for name in ("AccessKeyId", "SecretAccessKey")
            if (match := re.search(rf"<{name}>([^<]+)</{name}>", reply.body.decode("utf-8", "replace")))
        }
        if len(found) == 2:
            named = f"{'iam' if operation == 'CreateAccessKey' else 'sts'}/{found['AccessKeyId']}"
            keep = operation == "CreateAccessKey"
            self._guard.learn(found["AccessKeyId"], found["SecretAccessKey"], named, keep=keep)

    def _call(self, service: str, request: Request, region: str, operation: str) -> Reply:
        environ = _environ(request, service, region, self._endpoint)
        status, headers = 500, []

        def start(line: str, got: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status, headers
            status, headers = int(line.split(" ", 1)[0]), got

        try:
            parts = self._application(environ, start)
            try:
                body = b"".join(parts)
            finally:
                if hasattr(parts, "close"):
                    parts.close()
        except Exception as error:
            log.warning("moto failed at %s:%s: %s", service, operation, type(error).__name__, exc_info=True)
            raise unsupported(service, operation, "The library behind it failed.") from None
        kept = [(name.lower(), value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        if status >= 500 or _is_page(body):
            log.warning("moto answered %d at %s:%s", status, service, operation)
            raise unsupported(service, operation)
        return Reply(status, kept, body)

    def _load(self) -> None:
        if self._restored:  # not before: who asks meanwhile would be told that there is nothing yet
            return
        with self._loading:
            if self._application is not None:
                return
            os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT  # it wins over the header by which a client could choose
            os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "1"
            os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # AWS's own, for roles to attach
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

            self._application = DomainDispatcherApplication(create_backend_app)
            self._restore()
            self._restored = True


def _is_page(body: bytes) -> bool:
    """Whether an answer is a web page (werkzeug's errors), which no SDK reads."""
    return body[:512].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _environ(request: Request, service: str, region: str, endpoint: Endpoint) -> dict[str, Any]:
    from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY

    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "RAW_URI": request.path + ("?" + request.query if request.query else ""),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(endpoint.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    dashed = {_key(name) for name, _ in request.raw_headers if "_" not in name}
    kept: dict[str, str] = {}
    for name, value in request.raw_headers:
        key, low = _key(name), name.lower()
        if low in ("x-moto-account-id", "transfer-encoding", "content-length") or ("_" in name and key in dashed):
            continue
        environ[key] = f"{environ[key]},{value}" if key in environ else value
        if "_" in name:
            kept[key] = name
    environ["CONTENT_LENGTH"] = str(len(request.body))
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = kept
    environ.setdefault("HTTP_HOST", f"127.0.0.1:{endpoint.port}")
    # moto learns service and region from the signature's scope; loopback and repeated requests have no signature.
    scope = f"{endpoint.access_key}/20260101/{region}/{models.signing_name(service)}/aws4_request"
    environ.setdefault("HTTP_AUTHORIZATION", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
    return environ


def _key(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if name.lower() in ("content-type", "content-length") else f"HTTP_{upper}"
