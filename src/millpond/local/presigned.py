"""S3's older presigned URLs (Signature Version 2): boto3 makes them by default in us-east-1, so users' code has them.

Only the query form is read, only for S3: AWS, "Signing and authenticating REST requests (Signature Version 2)".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import unquote

# The query members that are part of the signed resource: the page above, "Constructing the CanonicalizedResource
# element", and what was added to S3 since.
SIGNED_MEMBERS = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)


def is_presigned(query: Mapping[str, str]) -> bool:
    """Whether a query carries such a signature."""
    return "AWSAccessKeyId" in query and "Signature" in query and "Expires" in query


def without_signature(query: bytes) -> bytes:
    """A raw query without what signs it: the rest says which operation it is.

    boto3 also writes there the headers that the sender has to send: they say nothing that the headers do not.
    """
    signs = (b"AWSAccessKeyId=", b"Signature=", b"Expires=", b"content-type=", b"content-md5=")
    return b"&".join(part for part in query.split(b"&") if not part.startswith(signs))


def signature(secret: str, *, method: str, path: str, query: str, headers: Mapping[str, str], expires: str) -> str:
    """The signature that the request should carry. `path` begins with the bucket and is raw, like `query`."""
    texts = [method, headers.get("content-md5", ""), headers.get("content-type", ""), expires]
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    amazon = {name: " ".join(value.split()) for name, value in headers.items() if name.startswith("x-amz-")}
    amazon |= {unquote(name).lower(): unquote(value) for name, _, value in pairs if name.lower().startswith("x-amz-")}
    texts += [f"{name}:{value}" for name, value in sorted(amazon.items())]
    signed = sorted((name, unquote(value)) for name, _, value in pairs if name in SIGNED_MEMBERS)
    members = "&".join(f"{name}={value}" if value else name for name, value in signed)
    texts.append(path + ("?" + members if members else ""))
    made = hmac.new(secret.encode(), "\n".join(texts).encode("utf-8", "surrogateescape"), hashlib.sha1)
    return base64.b64encode(made.digest()).decode()
