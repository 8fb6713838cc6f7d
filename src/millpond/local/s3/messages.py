"""Requests and answers as the operations see them, and S3's XML.

An operation is a plain function from a `Request` to an `Answer`. Trees for XML are lists of (tag, content) pairs, where
content is text, a number, a boolean, a nested list, or None (left out).
"""

from __future__ import annotations

import datetime
import email.utils
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from millpond.local.s3.body import Spool
from millpond.local.service import AwsError

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
Tree = Sequence[tuple[str, Any]]


@dataclass(slots=True, kw_only=True)
class Request:
    """One parsed request. Header names are in lower case; `bucket` and `key` are empty above that level."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    region: str
    caller: str = ""
    id: str = ""
    body: bytes = b""
    spool: Spool | None = None

    def number(self, name: str, default: int, *, low: int = 0, high: int = 2**31 - 1) -> int:
        """An integer of the query. Raises InvalidArgument."""
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not re.fullmatch(r"-?\d{1,10}", text) or not low <= int(text) <= high:
            raise AwsError(
                "InvalidArgument",
                f"Argument {name} must be an integer between {low} and {high}",
                ArgumentName=name,
                ArgumentValue=text,
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class Bytes:
    """A part of an open file to send. The sender closes the handle."""

    handle: int
    start: int
    length: int


@dataclass(slots=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Bytes = b""


def xml(
    name: str,
    content: Tree | str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    namespace: bool = True,
) -> Answer:
    """An answer with one XML document."""
    start = f'<{name} xmlns="{NAMESPACE}">' if namespace else f"<{name}>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{start}{_content(content)}</{name}>'
    return Answer(status, {"content-type": "application/xml", **(headers or {})}, text.encode())


def _content(content: Any) -> str:
    match content:
        case bool():
            return str(content).lower()
        case str() | int():
            return escaped(str(content))
    # A tag may carry attributes: `Grantee xsi:type="..."`.
    return "".join(f"<{tag}>{_content(inner)}</{tag.split()[0]}>" for tag, inner in content if inner is not None)


_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escaped(text: str) -> str:
    """Text for XML. Characters that XML 1.0 cannot hold become references, as S3 writes them."""
    return _SPECIAL.sub(lambda found: _NAMED.get(found[0]) or f"&#x{ord(found[0]):x};", text)


def malformed(why: str = "") -> AwsError:
    text = "The XML you provided was not well-formed or did not validate against our published schema"
    return AwsError("MalformedXML", text + (f": {why}" if why else ""))


def parse(body: bytes, root: str) -> ElementTree.Element:
    """The document element with namespaces removed from all tags. Raises MalformedXML; DTDs are refused."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise malformed("a document type is not allowed")
    try:
        document = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError):
        raise malformed() from None
    for element in document.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    if document.tag != root:
        raise malformed(f"expected {root}, found {document.tag}")
    return document


def error(failure: AwsError, request: Request | None) -> Answer:
    """S3's error document. 304 and HEAD have no body."""
    headers = {}
    members = dict(failure.members)
    if marker := members.pop("DeleteMarker", None):
        headers = {"x-amz-delete-marker": "true", "x-amz-version-id": str(marker)}
    headers |= members.pop("Headers", {})
    if failure.status == 304 or (request is not None and request.method == "HEAD"):
        return Answer(failure.status, headers)
    resource = "/" + "/".join(part for part in (request.bucket, request.key) if part) if request else None
    tree = [("Code", failure.code), ("Message", str(failure)), *members.items(), ("Resource", resource)]
    tree += [("RequestId", request.id if request else ""), ("HostId", "millpond")]
    return xml("Error", tree, status=failure.status, headers=headers, namespace=False)


def http_date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


def iso_date(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def url_coded(text: str) -> str:
    """`encoding-type=url`."""
    return quote(text, safe="/")


def quoted(etag: str) -> str:
    return f'"{etag}"'
