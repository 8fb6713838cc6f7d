"""Digests of objects: MD5 for the ETag, AWS's five checksum algorithms, and their joining over multipart uploads.

CRC32C and CRC64NVME come from awscrt (AWS's own C code). A checksum travels as base64 of its big-endian bytes.
The signed SHA-256 of a body (x-amz-content-sha256) is the front end's to check.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from millpond.local.service import AwsError

DEFAULT = "CRC64NVME"  # what S3 computes when a client sends no checksum


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc:
    """A running CRC with hashlib's face."""

    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step, self._width, self._value = step, width, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _crc32c() -> Digest:
    from awscrt.checksums import crc32c

    return Crc(crc32c, 4)


def _crc64nvme() -> Digest:
    from awscrt.checksums import crc64nvme

    return Crc(crc64nvme, 8)


ALGORITHMS: dict[str, Callable[[], Digest]] = {
    "CRC32": lambda: Crc(zlib.crc32, 4),
    "CRC32C": _crc32c,
    "CRC64NVME": _crc64nvme,
    "SHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "SHA256": hashlib.sha256,
}

HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHMS}

# Which kinds of multipart checksum each algorithm has; the first is the default (AWS, "Checking object integrity").
MULTIPART_TYPES = {
    "CRC32": ("COMPOSITE", "FULL_OBJECT"),
    "CRC32C": ("COMPOSITE", "FULL_OBJECT"),
    "CRC64NVME": ("FULL_OBJECT",),
    "SHA1": ("COMPOSITE",),
    "SHA256": ("COMPOSITE",),
}


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def of(algorithm: str, data: bytes) -> str:
    digest = ALGORITHMS[algorithm]()
    digest.update(data)
    return text(digest.digest())


@dataclass(frozen=True, slots=True)
class Expected:
    """What the client promised about its body; `checksum` is None when it comes in the trailer or is only asked for."""

    md5: bytes | None = None
    algorithm: str | None = None
    checksum: str | None = None


class Tally:
    """Everything computed while a body passes by once."""

    def __init__(self, expected: Expected, *, default: str | None = DEFAULT) -> None:
        self.expected = expected
        self.algorithm = expected.algorithm or default
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sum = ALGORITHMS[self.algorithm]() if self.algorithm else None
        self.size = 0

    def update(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        if self._sum is not None:
            self._sum.update(data)

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    @property
    def checksum(self) -> str:
        return text(self._sum.digest()) if self._sum is not None else ""

    def verify(self, trailer: str | None = None) -> None:
        """Raise AWS's error when a promise is broken. `trailer` is the checksum that came after the body."""
        wanted = self.expected
        if wanted.md5 is not None and wanted.md5 != self._md5.digest():
            raise AwsError("BadDigest", "The Content-MD5 you specified did not match what we received.")
        promised = trailer if trailer is not None else wanted.checksum
        if promised is not None and promised != self.checksum:
            raise AwsError("BadDigest", f"The {self.algorithm} you specified did not match the calculated checksum.")


def promised(headers: dict[str, str]) -> Expected:
    """Read the digests that a request's headers promise. Raises InvalidDigest or InvalidRequest."""
    given = [(name, headers[header]) for header, name in HEADERS.items() if header in headers]
    if len(given) > 1:
        raise AwsError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    algorithm, checksum = given[0] if given else (None, None)
    if algorithm and checksum:
        _check_length(algorithm, checksum)
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    if trailer:
        if trailer not in HEADERS:
            raise AwsError("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
        algorithm = HEADERS[trailer]
    asked = headers.get("x-amz-sdk-checksum-algorithm", "").upper() or None
    if asked and asked not in ALGORITHMS:
        raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the "
                       "valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]")  # fmt: skip
    if asked and algorithm and asked != algorithm:
        raise AwsError("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    return Expected(_md5_of(headers.get("content-md5")), algorithm or asked, checksum)


def _md5_of(header: str | None) -> bytes | None:
    if header is None:
        return None
    try:
        digest = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise AwsError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


def _check_length(algorithm: str, checksum: str) -> None:
    try:
        length = len(base64.b64decode(checksum, validate=True))
    except (binascii.Error, ValueError):
        length = -1
    if length != len(ALGORITHMS[algorithm]().digest()):
        raise AwsError("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")


def joined(algorithm: str, kind: str, parts: Iterable[tuple[str, int]]) -> str:
    """The checksum of a finished multipart upload from its parts' (checksum, size) in order."""
    parts = list(parts)
    digests = [base64.b64decode(checksum) for checksum, _ in parts]
    if kind == "COMPOSITE":
        return f"{of(algorithm, b''.join(digests))}-{len(parts)}"
    from awscrt import checksums as crt

    combine = {"CRC32": crt.combine_crc32, "CRC32C": crt.combine_crc32c, "CRC64NVME": crt.combine_crc64nvme}[algorithm]
    total = int.from_bytes(digests[0], "big")
    for digest, (_, size) in zip(digests[1:], parts[1:], strict=True):
        total = combine(total, int.from_bytes(digest, "big"), size)
    return text(total.to_bytes(len(digests[0]), "big"))
