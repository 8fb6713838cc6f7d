"""The services that are not ours: moto, unmodified, as a WSGI application in our process.

moto is imported at the first request that needs it. The four traps of specs/endpoint.md 1.3 are closed here: a chunked
body reaches it whole, names with underscores and the raw path survive, and the account is ours whatever a header says.
Its control routes, its CORS and its HTML error pages never reach a client.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from millpond.local.models import signing_name
from millpond.local.protocol import Reply, Request
from millpond.local.service import ACCOUNT, AwsError, Call, Endpoint, unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

# Not AWS: moto's control routes, and what it serves in the name of an instance's metadata.
REFUSED_PATHS = ("/moto-api", "/latest/meta-data", "/latest/api", "/favicon.ico")
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "server", "date"})


class MotoBridge:
    """See the module's docstring."""

    schema = ""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._application: Any = None

    def answer(self, service: str, request: Request, *, region: str, request_id: str, operation: str = "") -> Reply:
        """moto's answer to a request. Raises AwsError when moto has no such service or operation, or failed."""
        if request.path.startswith(REFUSED_PATHS):
            raise AwsError("UnknownOperationException", "There is no such route.", status=404)
        return self._call(service, request, region, operation)

    def watch_s3(self, call: Call, labels: Mapping[str, str], send: Any) -> Any:
        return send

    def _call(self, service: str, request: Request, region: str, operation: str) -> Reply:
        application = self._load()
        environ = _environ(request, service, region, self._endpoint.port, self._endpoint.access_key)
        status, headers = 500, []

        def start(line: str, got: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status, headers
            status, headers = int(line.split(" ", 1)[0]), got

        try:
            parts = application(environ, start)
            try:
                body = b"".join(parts)
            finally:
                if hasattr(parts, "close"):
                    parts.close()
        except NotImplementedError:
            raise unsupported(service, operation or "this operation") from None
        except Exception as error:
            log.warning("moto failed at %s:%s: %s", service, operation, type(error).__name__, exc_info=True)
            raise unsupported(service, operation or "this operation", "The library behind it failed.") from None
        kept = [(name.lower(), value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        if _is_page(status, kept, body):
            raise unsupported(service, operation or "this operation")
        return Reply(status, kept, body)

    def _load(self) -> Any:
        with self._lock:
            if self._application is None:
                os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT  # it wins over the header by which a client could choose
                os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "1"
                os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # AWS's own, for roles to attach
                from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

                self._application = DomainDispatcherApplication(create_backend_app)
        return self._application


def _is_page(status: int, headers: list[tuple[str, str]], body: bytes) -> bool:
    """Whether an error is a web page (werkzeug's), which no SDK reads."""
    return status >= 400 and body[:512].lstrip().lower().startswith((b"<!doctype", b"<html"))


def _environ(request: Request, service: str, region: str, port: int, request_key: str) -> dict[str, Any]:
    from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY

    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "RAW_URI": request.path + ("?" + request.query if request.query else ""),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(port),
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
        key = _key(name)
        low = name.lower()
        if low in ("x-moto-account-id", "transfer-encoding", "content-length") or ("_" in name and key in dashed):
            continue
        environ[key] = f"{environ[key]},{value}" if key in environ else value
        if "_" in name:
            kept[key] = name
    environ["CONTENT_LENGTH"] = str(len(request.body))
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = kept
    # moto learns service and region from the signature's scope; loopback and presigned requests have no header.
    scope = f"{request_key}/20260101/{region}/{signing_name(service)}/aws4_request"
    environ.setdefault("HTTP_AUTHORIZATION", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
    return environ


def _key(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if name.lower() in ("content-type", "content-length") else f"HTTP_{upper}"
