"""boto3 clients, one of each a process. A driver makes them before it forks, so that no script waits for them."""

from __future__ import annotations

import functools
from typing import Any
from urllib.parse import urlsplit

import boto3


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service)  # type: ignore[call-overload]


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of s3://bucket/key."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme not in ("s3", "s3a", "s3n") or not parts.netloc:
        raise ValueError(f"not an S3 path: {uri}")
    return parts.netloc, parts.path.lstrip("/")


def folder(uri: str) -> str:
    """A prefix as a folder: with one slash at the end."""
    return uri.rstrip("/") + "/"
