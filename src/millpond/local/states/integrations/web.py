"""http:invoke: a call of an HTTP API for real, with what an EventBridge connection adds; and apigateway:invoke's check.

The request is AWS's: User-Agent, Range, merged headers, query and body, URL-encoding by Transform. The answer is
`{Headers, ResponseBody, StatusCode, StatusText}`; a status other than 2xx is `States.Http.StatusCode.NNN` with the
status text as its cause and no body, redirects included; a call that cannot be made in 60 seconds is
States.Http.Socket. Source: AWS Step Functions Developer Guide, "Call HTTPS APIs in Step Functions workflows".

**Which hosts**: HTTPS anywhere but link-local, metadata, multicast and unspecified addresses. This machine, by HTTP
too, only by its own names (`localhost`, `127.0.0.1`, `[::1]`): a foreign name that resolves to it is refused. The
checked address is the one that is connected to.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from millpond.asl.paths import compact
from millpond.local.states import payloads
from millpond.local.states.integrations import connections
from millpond.local.states.integrations.calls import BadArguments, Failure

if TYPE_CHECKING:
    from millpond.local.service import Endpoint

SECONDS = 60.0
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"})
OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("168.63.129.16")})

_HTTP_FIELDS = frozenset(
    {
        *("ApiEndpoint", "Authentication", "Headers", "InvocationConfig", "Method", "QueryParameters", "RequestBody"),
        "Transform",
    }
)
_GATEWAY_FIELDS = frozenset(
    {"ApiEndpoint", "AuthType", "Headers", "Method", "Path", "QueryParameters", "RequestBody", "Stage"}
)
_FORBIDDEN = re.compile(
    "a-im|accept-charset|accept-datetime|accept-encoding|authorization|cache-control|connection|content-encoding"
    "|content-md5|date|expect|forwarded|from|host|http2-settings|if-match|if-modified-since|if-none-match|if-range"
    "|if-unmodified-since|max-forwards|origin|pragma|proxy-authorization|referer|server|te|trailer|transfer-encoding"
    "|upgrade|via|warning|x-forwarded-.*|x-amz-.*|x-amzn-.*",
    re.IGNORECASE,
)
_BINARY = re.compile(r"\s*(application/octet-stream|image/|video/|audio/)", re.IGNORECASE)


@dataclass(slots=True)
class Request:
    """What is sent. `body` is None where there is none."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    query: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None

    @property
    def target(self) -> str:
        """Path and query, as they stand in the request line."""
        parts = urlsplit(self.url)
        pairs = [*parse_qsl(parts.query, keep_blank_values=True), *self.query]
        shown = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in pairs)
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        return f"{path}?{shown}" if shown else path


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names in lower case, values in their order."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    @property
    def reason(self) -> str:
        """The status text."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return str(self.status)


# ------------------------------------------------------------------------------------------------------ the arguments


def check(arguments: Any) -> None:
    """http:invoke's arguments. Raises BadArguments."""
    wrong = list(_misfits(arguments, _HTTP_FIELDS))
    if not wrong:
        wrong = [
            *_endpoint_misfits(arguments["ApiEndpoint"]),
            *_header_misfits(arguments),
            *_connection_misfits(arguments),
            *_transform_misfits(arguments.get("Transform", {})),
        ]
    if wrong:
        raise BadArguments(", ".join(wrong))


def check_gateway(arguments: Any) -> None:
    """apigateway:invoke's arguments. Raises BadArguments."""
    if wrong := list(_misfits(arguments, _GATEWAY_FIELDS)):
        raise BadArguments(", ".join(wrong))


def _misfits(arguments: Any, fields: frozenset[str]) -> Iterator[str]:
    if not isinstance(arguments, dict):
        yield "The value for the Parameters must be a JSON object"
        return
    for key in arguments:
        if key not in fields:
            yield f'The field "{key}" is not supported by Step Functions'
    for key in ("ApiEndpoint", "Method"):
        if key not in arguments:
            yield f'The field "{key}" is required but was missing'
        elif not isinstance(arguments[key], str):
            yield f"The value for the field '{key}' must be a STRING"
    if isinstance(arguments.get("Method"), str) and arguments["Method"] not in METHODS:
        yield f"The value for the field 'Method' must be one of {sorted(METHODS)}"
    for key in ("Headers", "QueryParameters"):  # AWS's words, seen in a refused QueryParameters text
        if key in arguments and not isinstance(arguments[key], dict):
            yield f"The value of the field '{key}' has an invalid format"


def _endpoint_misfits(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or re.search(r"[\x00-\x20]", url):
        yield "The value of the field 'ApiEndpoint' has an invalid format"
    elif parts.scheme == "http" and host not in OWN_NAMES:
        yield "The value of the field 'ApiEndpoint' must be an HTTPS URL"
    elif parts.username is not None:
        yield "The value of the field 'ApiEndpoint' must not hold credentials"


def _transform_misfits(transform: Any) -> Iterator[str]:
    options = transform.get("RequestEncodingOptions", {}) if isinstance(transform, dict) else None
    if not isinstance(options, dict):
        yield "The value of the field 'Transform' has an invalid format"
        return
    for value, name, allowed in (
        (transform.get("RequestBodyEncoding", "NONE"), "RequestBodyEncoding", ("NONE", "URL_ENCODED")),
        (options.get("ArrayFormat", "INDICES"), "ArrayFormat", ("INDICES", "REPEAT", "COMMAS", "BRACKETS")),
    ):
        if value not in allowed:
            yield f"The value for the field '{name}' must be one of {list(allowed)}"


def _header_misfits(arguments: Mapping[str, Any]) -> Iterator[str]:
    for name, value in arguments.get("Headers", {}).items():
        if _FORBIDDEN.fullmatch(name):
            yield f"The header '{name}' is not supported by Step Functions"
        if re.search(r"[\r\n\x00]", name + "".join(_values(value))) or not name.isascii() or ":" in name or not name:
            yield f"The value of the field '{name}' has an invalid format"


def _connection_misfits(arguments: Mapping[str, Any]) -> Iterator[str]:
    given = [key for key in ("Authentication", "InvocationConfig") if key in arguments]
    if len(given) != 1:
        found = "both were given" if given else "neither was given"
        yield f"Exactly one of the fields 'Authentication' and 'InvocationConfig' is required, but {found}"
    for key in given:
        value = arguments[key]
        if not isinstance(value, dict) or not isinstance(value.get("ConnectionArn"), str):
            yield 'The field "ConnectionArn" is required but was missing'


def connection_of(arguments: Mapping[str, Any]) -> str:
    """The ARN of the connection that the arguments name."""
    arn: str = (arguments.get("InvocationConfig") or arguments["Authentication"])["ConnectionArn"]
    return arn


# ------------------------------------------------------------------------------------------------------------ the call


CONTENT_TYPE = "application/json; charset=UTF-8"
"""Of a request whose task and connection set none."""

Watch = Callable[[Request, Response], None]


def invoke(endpoint: Endpoint, arguments: Mapping[str, Any], watch: Watch | None = None) -> dict[str, Any]:
    """http:invoke. `watch` sees the exchange, an answer that fails the task too. Raises Failure."""
    connection = connections.find(endpoint, connection_of(arguments))
    request = request_of(arguments, connection, endpoint.region)
    if connection.oauth is not None:
        request.headers["Authorization"] = _bearer(connection.oauth)
    response = send(request)
    if watch is not None:
        watch(request, response)
    if not 200 <= response.status < 300:
        raise Failure(f"States.Http.StatusCode.{response.status}", response.reason)
    return {
        "Headers": dict(response.headers),
        "ResponseBody": _body(response),
        "StatusCode": response.status,
        "StatusText": response.reason,
    }


def request_of(arguments: Mapping[str, Any], connection: connections.Connection, region: str) -> Request:
    """The request of these arguments, with what the connection adds: its values win. Raises Failure."""
    headers = {"Content-Type": CONTENT_TYPE}
    for name, value in [*arguments.get("Headers", {}).items(), *connection.headers.items()]:
        headers = {known: said for known, said in headers.items() if known.lower() != name.lower()}
        headers[name] = ", ".join(_values(value))
    headers |= {"User-Agent": f"Amazon|StepFunctions|HttpInvoke|{region}", "Range": f"bytes=0-{payloads.MOST_BYTES}"}
    query = {name: _values(value) for name, value in arguments.get("QueryParameters", {}).items()}
    query |= {name: [value] for name, value in connection.query.items()}
    return Request(
        arguments["Method"],
        arguments["ApiEndpoint"],
        headers,
        [(name, value) for name, values in query.items() for value in values],
        _encoded(arguments, connection),
    )


def _values(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item if isinstance(item, str) else compact(item) for item in items]


def _encoded(arguments: Mapping[str, Any], connection: connections.Connection) -> bytes | None:
    body = arguments.get("RequestBody")
    if connection.body:
        if body is not None and not isinstance(body, dict):
            why = "The RequestBody is no JSON object: the connection's body parameters cannot be merged into it"
            raise Failure("States.Runtime", why)
        body = {**(body or {}), **connection.body}
    if body is None:
        return None
    transform = arguments.get("Transform") or {}
    if transform.get("RequestBodyEncoding") == "URL_ENCODED" and isinstance(body, dict):
        form = (transform.get("RequestEncodingOptions") or {}).get("ArrayFormat", "INDICES")
        pairs = [pair for name, value in body.items() for pair in _form(name, value, form)]
        return "&".join(pairs).encode(errors="replace")
    return (body if isinstance(body, str) else compact(body)).encode(errors="replace")


def _form(name: str, value: Any, arrays: str) -> Iterator[str]:
    """`name=value` for each leaf, percent-encoded."""
    match value:
        case dict():
            for key, item in value.items():
                yield from _form(f"{name}[{key}]", item, arrays)
        case list() if arrays == "COMMAS":
            yield f"{_escaped(name)}={','.join(_escaped(item) for item in _values(value))}"
        case list():
            for index, item in enumerate(value):
                suffix = {"INDICES": f"[{index}]", "BRACKETS": "[]"}.get(arrays, "")
                yield from _form(name + suffix, item, arrays)
        case _:
            yield f"{_escaped(name)}={_escaped(_values(value)[0])}"


def _escaped(text: str) -> str:
    return quote(text, safe="-._~", errors="replace")


def _body(response: Response) -> Any:
    kind = ", ".join(response.headers.get("content-type", ()))
    if _BINARY.match(kind):
        raise Failure("States.Runtime", f"The content type of the response is not supported: {kind}")
    if len(response.body) > payloads.MOST_BYTES:
        task = "The state/task 'arn:aws:states:::http:invoke'"
        why = f"{task} returned a result with a size exceeding the maximum number of bytes service limit."
        raise Failure("States.DataLimitExceeded", why)
    try:
        text = response.body.decode()
    except UnicodeDecodeError:
        raise Failure("States.Runtime", "The response could not be read as a string") from None
    if "json" in kind.lower():
        try:
            return payloads.read(text)
        except payloads.NotJson:
            return text
    return text


def _bearer(oauth: connections.OAuth) -> str:
    """The token of a client-credentials grant, asked for anew by each call. Raises Failure."""
    form = {"grant_type": "client_credentials", "client_id": oauth.client, "client_secret": oauth.secret, **oauth.body}
    request = Request(oauth.method, oauth.url, dict(oauth.headers), list(oauth.query.items()))
    if oauth.method == "GET":
        request.query += list(form.items())
    else:
        request.headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        request.body = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in form.items()).encode()
    response = send(request)
    try:
        return f"Bearer {json.loads(response.body)['access_token']}"
    except (ValueError, KeyError, TypeError):
        why = f"The authorization endpoint answered {response.status} without an access token"
        raise Failure("Events.ConnectionResource.InvalidConnectionState", why) from None


# ---------------------------------------------------------------------------------------------------------- the socket


def send(request: Request) -> Response:
    """One exchange; redirects are not followed. Raises Failure."""
    parts = urlsplit(request.url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    address = _address(host, port)
    until = time.monotonic() + SECONDS
    connection = _Pinned(host, port, address, secure=secure)
    try:
        connection.request(request.method, request.target, request.body, request.headers)
        answer = connection.getresponse()
        body = _read(answer, until)
    except (OSError, http.client.HTTPException) as error:
        raise Failure("States.Http.Socket", f"{host}:{port} could not be called: {error}") from None
    finally:
        connection.close()
    headers: dict[str, list[str]] = {}
    for name, value in answer.getheaders():
        headers.setdefault(name.lower(), []).append(value)
    return Response(answer.status, headers, body)


def _read(answer: http.client.HTTPResponse, until: float) -> bytes:
    parts: list[bytes] = []
    while (part := answer.read1(65_536)) and sum(map(len, parts)) <= payloads.MOST_BYTES:
        parts.append(part)
        if time.monotonic() > until:
            raise TimeoutError(f"no whole answer within {SECONDS:.0f} seconds")
    return b"".join(parts)


def _address(host: str, port: int) -> str:
    """The address of a host that an HTTP Task may call. Raises Failure."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Failure("States.Http.Socket", f"The host {host} could not be found: {error}") from None
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not _allowed(host, address):
            why = (
                f"An HTTP Task may not call {host}: {address} is not an address of a public API. See docs/security.md."
            )
            raise Failure("States.Http.Socket", why)
    return addresses[0]


def _allowed(host: str, address: str) -> bool:
    at = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(at, ipaddress.IPv6Address) and at.ipv4_mapped is not None:
        at = at.ipv4_mapped
    if at.is_loopback:
        return host in OWN_NAMES
    return not (at.is_link_local or at.is_multicast or at.is_unspecified or at.is_reserved or at in METADATA)


class _Pinned(http.client.HTTPConnection):
    """A connection to the address that was checked, under the host's name."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self._address, self._secure = address, secure

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), SECONDS)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)
