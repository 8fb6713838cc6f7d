"""Who may speak to the endpoint: it executes code, so everybody else is refused before anything is routed.

In this order: exactly one Host, of the allow-list with our port (else 421); no foreign Origin and no cross-site fetch
(403), S3 included; a whole AWS Signature Version 4, in the header or presigned, made with a key of this project, not
older or newer than 15 minutes. Keys are random, live in a 0600 file of the state folder, and reach user processes by
their environment. `mint` makes a key for each function or job, so that every call can be attributed.

Of a streaming upload the seed signature is verified, not each chunk's: the chunks come over the same connection, from
a caller that has just shown the key. Specification: AWS, "Create a signed AWS API request".
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import hmac
import json
import os
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes

from millpond.local import presigned
from millpond.local.service import AwsError

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 15 * 60
LONGEST_PRESIGNED_SECONDS = 7 * 24 * 3600
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
KEPT_SIGNING_KEYS = 256

# SDKs leave these out of the signature on purpose.
NEED_NO_SIGNATURE = frozenset({"x-amz-user-agent"})

_PARTS = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_WORD = re.compile(r"[\w.-]+")

RawHeaders = Sequence[tuple[bytes, bytes]]
_Mac = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Signature:
    """What a request claims: not yet verified."""

    access_key: str
    date: str  # 20261123
    region: str
    service: str  # the scope: `states`, not `stepfunctions`
    signed: tuple[str, ...]
    value: str
    stamp: str  # 20261123T101112Z
    expires: int | None = None  # seconds; only presigned
    until: int | None = None  # seconds since the epoch; only presigned with version 2

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair and whom it stands for (`project`, `lambda/check`)."""

    access_key: str
    secret_key: str
    name: str


class Guard:
    """See the module's docstring. `path` is the credentials file, made when absent."""

    def __init__(self, path: Path, *, port: int, clock: Callable[[], float] = time.time) -> None:
        self.path, self.port, self._clock = path, port, clock
        self._lock = threading.Lock()
        self._keys: dict[str, Key] = {}  # by access key id
        self._named: dict[str, Key] = {}
        self._signing: dict[tuple[str, str, str, str], _Mac] = {}
        self._read()
        if "project" not in self._named:
            self._add("project")
            self._save()

    @property
    def access_key(self) -> str:
        return self._named["project"].access_key

    @property
    def secret_key(self) -> str:
        return self._named["project"].secret_key

    # -- keys --------------------------------------------------------------------------------------------------------

    def mint(self, name: str) -> tuple[str, str]:
        """The key pair of a caller with this name, made at the first call; it stays valid after a restart."""
        with self._lock:
            if name not in self._named:
                self._add(name)
                self._save()
            key = self._named[name]
        return key.access_key, key.secret_key

    def learn(self, access_key: str, secret_key: str, name: str, *, keep: bool) -> None:
        """Accept a key that IAM or STS gave out; `keep` it over a restart (an access key) or not (a session's)."""
        with self._lock:
            key = Key(access_key, secret_key, name)
            self._keys[access_key] = key
            if keep:
                self._named[name] = key
                self._save()

    def forget(self, access_key: str) -> None:
        """No longer accept a key that was learned. The project's own and minted ones stay."""
        with self._lock:
            key = self._keys.get(access_key)
            if key is not None and key.name.startswith("iam/"):
                del self._keys[access_key]
                self._named.pop(key.name, None)
                self._signing = {at: made for at, made in self._signing.items() if at[0] != access_key}
                self._save()

    def caller(self, access_key: str) -> str:
        """Whom a key stands for, or ""."""
        key = self._keys.get(access_key)
        return key.name if key else ""

    def _add(self, name: str) -> None:
        alphabet = string.ascii_uppercase + "234567"
        access_key = "AKIA" + "".join(secrets.choice(alphabet) for _ in range(16))
        key = Key(access_key, secrets.token_urlsafe(30), name)  # 30 bytes are 40 characters
        self._keys[access_key] = self._named[name] = key

    def _read(self) -> None:
        if not self.path.exists():
            return
        kept = json.loads(self.path.read_text("utf-8"))
        for name, pair in ({"project": kept} | kept["minted"]).items():
            key = Key(pair["access_key"], pair["secret_key"], name)
            self._keys[key.access_key] = self._named[name] = key

    def _save(self) -> None:
        pairs = {k.name: {"access_key": k.access_key, "secret_key": k.secret_key} for k in self._named.values()}
        kept = pairs.pop("project") | {"minted": pairs}
        staged = self.path.with_suffix(".new")
        staged.unlink(missing_ok=True)
        handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staged, self.path)

    # -- the browser's marks -----------------------------------------------------------------------------------------

    def admit(self, headers: RawHeaders) -> str:
        """The Host that the request names. Raises AwsError: 421 for a foreign one, 403 for a web page's request."""
        hosts = [value for name, value in headers if name == b"host"]
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        if not self.is_ours(host):
            raise AwsError("MisdirectedRequest", "This endpoint does not answer for that Host.", status=421)
        for name, value in headers:
            if name == b"origin" or (name == b"sec-fetch-site" and value not in (b"none", b"same-origin")):
                raise AwsError("AccessDenied", "This endpoint does not answer web pages.", status=403)
        return host

    def is_ours(self, host: str) -> bool:
        """Does a Host header name this endpoint?"""
        name, colon, port = host.rpartition(":")
        if not colon or port != str(self.port):
            return False
        if name in ("127.0.0.1", "localhost", "[::1]"):
            return True
        return re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.localhost", name) is not None and ".." not in name

    # -- signatures --------------------------------------------------------------------------------------------------

    def verify(
        self, claim: Signature, *, method: str, path: str, query: str, headers: Mapping[str, str], payload_hash: str
    ) -> None:
        """Raise AwsError unless the claim holds. `path` and `query` are raw, header names lower case."""
        key = self._keys.get(claim.access_key)
        if key is None:
            raise _refuse(claim.service, headers, "unknown key")
        if claim.until is not None:
            self._verify_v2(key, claim, claim.until, method, path, query, headers)
            return
        self._check_time(claim, headers)
        if "host" not in claim.signed:
            raise _refuse(claim.service, headers, "incomplete", "'Host' must be a signed header.")
        for name in headers:
            if name.startswith("x-amz-") and name not in claim.signed and name not in NEED_NO_SIGNATURE:
                raise _refuse(claim.service, headers, "mismatch", f"The header {name} is present but not signed.")
        mac = self._signing_key(key, claim)
        rest = "\n".join((_canonical_headers(claim.signed, headers), ";".join(claim.signed), payload_hash))
        asked = _canonical_query(query)
        for form in _canonical_paths(claim.service, path):
            canonical = f"{method}\n{form}\n{asked}\n{rest}"
            text = "\n".join((ALGORITHM, claim.stamp, claim.scope, hashlib.sha256(canonical.encode()).hexdigest()))
            made = mac(text.encode())
            if hmac.compare_digest(made.encode(), claim.value.encode("utf-8", "replace")):
                return
        raise _refuse(claim.service, headers, "mismatch")

    def _verify_v2(
        self, key: Key, claim: Signature, until: int, method: str, path: str, query: str, headers: Mapping[str, str]
    ) -> None:
        bucket = bucket_of(headers.get("host", ""))
        made = presigned.signature(
            key.secret_key,
            method=method,
            path=f"/{bucket}{path}" if bucket else path,
            query=query,
            headers=headers,
            expires=str(until),
        )
        if not hmac.compare_digest(made.encode(), claim.value.encode("utf-8", "replace")):
            raise _refuse("s3", headers, "mismatch")
        if self._clock() > until:
            raise _refuse("s3", headers, "expired")

    def _signing_key(self, key: Key, claim: Signature) -> _Mac:
        """Derived once a day, region and service: the chain of four HMACs is most of a verification's cost."""
        at = (claim.access_key, claim.date, claim.region, claim.service)
        found = self._signing.get(at)
        if found is None:
            derived = f"AWS4{key.secret_key}".encode()
            for part in (*at[1:], "aws4_request"):
                derived = hmac.digest(derived, part.encode(), "sha256")
            if len(self._signing) >= KEPT_SIGNING_KEYS:
                self._signing.clear()
            found = self._signing[at] = _mac(derived)
        return found

    def _check_time(self, claim: Signature, headers: Mapping[str, str]) -> None:
        try:
            signed_at = _moment(claim.stamp)
        except ValueError:
            raise _refuse(claim.service, headers, "incomplete", "The date must be like 20261123T101112Z.") from None
        if not claim.stamp.startswith(claim.date):
            raise _refuse(claim.service, headers, "mismatch", "The date of the scope is not the date of the request.")
        age = self._clock() - signed_at
        if claim.expires is None:
            if abs(age) > SKEW_SECONDS:
                raise _refuse(claim.service, headers, "skew")
        elif age < -SKEW_SECONDS or age > claim.expires:
            raise _refuse(claim.service, headers, "expired")


def _mac(key: bytes) -> _Mac:
    """HMAC-SHA256 with this key, as hex. RFC 2104's two hashes begin once: `hmac.digest` begins them at each call, and
    gives up the interpreter's lock meanwhile, so that the caller waits for another thread to pause."""
    key = key.ljust(64, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))

    def mac(text: bytes) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(text)
        second.update(first.digest())
        return second.hexdigest()

    return mac


@functools.lru_cache(maxsize=64)
def _moment(stamp: str) -> int:
    """Seconds since the epoch; many requests carry the same second, and reading it costs as much as the signature."""
    return calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))


def bucket_of(host: str) -> str:
    """The bucket that a virtual-host request names: `lake` of `lake.localhost:4566`, or ""."""
    return host.rpartition(":")[0].removesuffix("localhost").removesuffix(".") if "localhost:" in host else ""


def identify(query: Mapping[str, str], headers: Mapping[str, str]) -> Signature:
    """The signature that a request carries, in its header or its query. Raises AwsError when it has none."""
    header = headers.get("authorization", "")
    if header:
        return _from_header(header, headers)
    if "X-Amz-Signature" in query:
        return _from_query(query, headers)
    if presigned.is_presigned(query):
        until = query["Expires"]
        if not until.isdigit() or len(until) > 12:
            raise _refuse("s3", headers, "incomplete", "Expires must be seconds since the epoch.")
        return Signature(
            query["AWSAccessKeyId"], "", "us-east-1", "s3", (), query["Signature"], "", expires=0, until=int(until)
        )
    raise _refuse("", headers, "unsigned")


def _from_header(header: str, headers: Mapping[str, str]) -> Signature:
    kind, _, rest = header.partition(" ")
    if kind != ALGORITHM:
        raise _refuse("", headers, "incomplete", f"Millpond reads only {ALGORITHM} signatures.")
    parts = dict(_PARTS.findall(rest))
    if len(parts) != 3:
        raise _refuse("", headers, "incomplete", "Authorization needs Credential, SignedHeaders and Signature.")
    return _claim(
        parts["Credential"], parts["SignedHeaders"], parts["Signature"], headers.get("x-amz-date", ""), None, headers
    )


def _from_query(query: Mapping[str, str], headers: Mapping[str, str]) -> Signature:
    expires = query.get("X-Amz-Expires", "300")
    if query.get("X-Amz-Algorithm") != ALGORITHM or not expires.isdigit() or len(expires) > 7:
        raise _refuse("s3", headers, "incomplete", "X-Amz-Algorithm or X-Amz-Expires is not valid.")
    if int(expires) > LONGEST_PRESIGNED_SECONDS:
        raise _refuse("s3", headers, "incomplete", "X-Amz-Expires must be less than a week (in seconds).")
    credential, signed = query.get("X-Amz-Credential", ""), query.get("X-Amz-SignedHeaders", "")
    return _claim(credential, signed, query["X-Amz-Signature"], query.get("X-Amz-Date", ""), int(expires), headers)


def _claim(
    credential: str, signed: str, value: str, stamp: str, expires: int | None, headers: Mapping[str, str]
) -> Signature:
    parts = _scope_of(credential)
    if parts is None:
        raise _refuse("", headers, "incomplete", "Credential must be key/date/region/service/aws4_request.")
    return Signature(*parts, _names(signed), value, stamp, expires)


@functools.lru_cache(maxsize=256)
def _scope_of(credential: str) -> tuple[str, str, str, str] | None:
    """Key, date, region and service; a client's are the same all day."""
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(map(_WORD.fullmatch, parts)):
        return None
    return parts[0], parts[1], parts[2], parts[3]


@functools.lru_cache(maxsize=256)
def _names(signed: str) -> tuple[str, ...]:
    return tuple(signed.lower().split(";"))


def _canonical_headers(signed: Sequence[str], headers: Mapping[str, str]) -> str:
    return "".join([f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed])


def _canonical_query(query: str) -> str:
    pairs = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name != "X-Amz-Signature" and part:
            pairs.append((_encoded(name), _encoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _canonical_paths(service: str, path: str) -> tuple[str, ...]:
    """S3 signs the path as sent (or as AWS would encode it), other services the path encoded once more."""
    if service == "s3":
        again = quote(unquote(path, errors="surrogateescape").encode("utf-8", "surrogateescape"), safe="/-_.~")
        return (path,) if again == path else (path, again)
    if path == "/":  # of every service but the REST ones
        return ("/",)
    return (quote(_without_dots(path), safe="/-_.~"),)


def _without_dots(path: str) -> str:
    if "/." not in path and "//" not in path:
        return path
    kept: list[str] = []
    for part in path.split("/"):
        if part == ".." and kept:
            kept.pop()
        elif part not in ("", ".", ".."):
            kept.append(part)
    return "/" + "/".join(kept) + ("/" if path.endswith("/") and kept else "")


# What is wrong -> (S3, query, json and rest-json): codes; then status and message.
# AWS, "Common Error Types" of each service, and S3's "Error Responses".
REFUSALS: dict[str, tuple[tuple[str, str, str], int, str]] = {
    "unsigned": (
        ("AccessDenied", "MissingAuthenticationToken", "MissingAuthenticationTokenException"),
        403,
        "Request is missing Authentication Token. The keys are printed by: millpond env",
    ),
    "unknown key": (
        ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"),
        403,
        "The access key is not one of this project. The keys are printed by: millpond env",
    ),
    "mismatch": (
        ("SignatureDoesNotMatch", "SignatureDoesNotMatch", "InvalidSignatureException"),
        403,
        "The request signature we calculated does not match the signature you provided.",
    ),
    "incomplete": (
        ("AuthorizationHeaderMalformed", "IncompleteSignature", "IncompleteSignatureException"),
        400,
        "The signature is incomplete.",
    ),
    "skew": (
        ("RequestTimeTooSkewed", "SignatureDoesNotMatch", "InvalidSignatureException"),
        403,
        "The difference between the request time and the current time is too large.",
    ),
    "expired": (
        ("AccessDenied", "SignatureDoesNotMatch", "InvalidSignatureException"),
        403,
        "Request has expired.",
    ),
}


def _refuse(service: str, headers: Mapping[str, str], wrong: str, said: str = "") -> AwsError:
    codes, status, message = REFUSALS[wrong]
    if "x-amz-target" in headers:
        code = codes[2]
    elif headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        code = codes[1]
    elif service in ("", "s3"):
        code = codes[0]
    else:
        code = codes[2]
    return AwsError(code, said or message, status=status)
