"""The list operations: objects (both generations), versions, and the grouping by delimiter."""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from millpond.local.s3.buckets import OWNER, Buckets
from millpond.local.s3.messages import Answer, Request, Tree, iso_date, quoted, url_coded, xml
from millpond.local.s3.objects import Object, Objects
from millpond.local.s3.walk import Found, Walker, successor
from millpond.local.service import AwsError

LIMIT = 1000


@dataclass(slots=True)
class Page:
    """One page: objects and common prefixes, and where the next page starts (None: this was the last)."""

    objects: list[Object] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    next: bytes | None = None


class Keys:
    """All current keys of a bucket in order, files and blobs merged, with `skip_to`. A file wins over a blob."""

    def __init__(self, objects: Objects, bucket: str, prefix: str, start: bytes) -> None:
        self._walker = Walker(objects.folder(bucket), prefix, start)
        self._files = iter(self._walker)
        self._blobs = objects.blobs_from(bucket, start, prefix)
        self._file: Found | None = next(self._files, None)
        self._blob: Object | None = next(self._blobs, None)

    def skip_to(self, bound: bytes) -> None:
        self._walker.skip_to(bound)
        while self._file is not None and self._file.key.encode() < bound:
            self._file = next(self._files, None)
        while self._blob is not None and self._blob.key.encode() < bound:
            self._blob = next(self._blobs, None)

    def peek(self) -> Found | Object | None:
        file, blob = self._file, self._blob
        if file is None or blob is None:
            return file or blob
        return file if file.key.encode() <= blob.key.encode() else blob

    def pop(self) -> Found | Object | None:
        item = self.peek()
        if item is None:
            return None
        if self._blob is not None and self._blob.key == item.key:
            self._blob = next(self._blobs, None)
        if isinstance(item, Found):
            self._file = next(self._files, None)
        return item

    def __iter__(self) -> Iterator[Found | Object]:
        while (item := self.pop()) is not None:
            yield item

    def close(self) -> None:
        self._walker.close()


def page(objects: Objects, bucket: str, *, prefix: str, delimiter: str, start: bytes, limit: int) -> Page:
    """Up to `limit` objects and common prefixes from key `start` (inclusive) on."""
    result = Page()
    if limit == 0:
        return result
    keys = Keys(objects, bucket, prefix, start)
    items: list[Found | Object] = []
    try:
        while (item := keys.peek()) is not None:
            if len(items) + len(result.prefixes) == limit:
                result.next = item.key.encode()
                break
            group = _group(item.key, prefix, delimiter)
            if group is None:
                items.append(item)
                result.last = item.key
                keys.pop()
            else:
                result.prefixes.append(group)
                result.last = group
                keys.skip_to(successor(group.encode()))
    finally:
        keys.close()
    described = {found.key: found for found in objects.describe(bucket, [i for i in items if isinstance(i, Found)])}
    result.objects = [described[item.key] if isinstance(item, Found) else item for item in items]
    return result


def _group(key: str, prefix: str, delimiter: str) -> str | None:
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: at + len(delimiter)] if at >= 0 else None


def after(marker: str, prefix: str, delimiter: str) -> bytes:
    """Where a list goes on behind a marker: behind the whole group when the marker is a common prefix."""
    if not marker:
        return b""
    if delimiter and marker.endswith(delimiter) and _group(marker, prefix, delimiter) == marker:
        return successor(marker.encode())
    return marker.encode() + b"\0"


class Listings:
    """See the module's docstring."""

    def __init__(self, objects: Objects, buckets: Buckets) -> None:
        self.objects, self.buckets = objects, buckets

    def objects_v2(self, request: Request) -> Answer:
        coded, show = _encoding(request)
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(request.number("max-keys", LIMIT), LIMIT)
        token, start_after = query.get("continuation-token"), query.get("start-after", "")
        start = _token(token) if token is not None else after(start_after, prefix, delimiter)
        self.buckets.present(request.bucket)
        found = page(self.objects, request.bucket, prefix=prefix, delimiter=delimiter, start=start, limit=limit)
        owner = query.get("fetch-owner", "").lower() == "true"
        tree: Tree = [
            ("Name", request.bucket),
            ("Prefix", show(prefix)),
            ("Delimiter", show(delimiter) if delimiter else None),
            ("StartAfter", show(start_after) if start_after else None),
            ("ContinuationToken", token),
            ("NextContinuationToken", base64.urlsafe_b64encode(found.next).decode() if found.next else None),
            ("KeyCount", len(found.objects) + len(found.prefixes)),
            ("MaxKeys", limit),
            ("EncodingType", coded),
            ("IsTruncated", found.next is not None),
            *(("Contents", _entry(item, show, owner=owner)) for item in found.objects),
            *(("CommonPrefixes", [("Prefix", show(group))]) for group in found.prefixes),
        ]
        return xml("ListBucketResult", tree)

    def objects_v1(self, request: Request) -> Answer:
        coded, show = _encoding(request)
        query = request.query
        prefix, delimiter, marker = (query.get(name, "") for name in ("prefix", "delimiter", "marker"))
        limit = min(request.number("max-keys", LIMIT), LIMIT)
        self.buckets.present(request.bucket)
        start = after(marker, prefix, delimiter)
        found = page(self.objects, request.bucket, prefix=prefix, delimiter=delimiter, start=start, limit=limit)
        tree: Tree = [
            ("Name", request.bucket),
            ("Prefix", show(prefix)),
            ("Marker", show(marker)),
            ("NextMarker", show(found.last) if found.next and delimiter else None),
            ("Delimiter", show(delimiter) if delimiter else None),
            ("MaxKeys", limit),
            ("EncodingType", coded),
            ("IsTruncated", found.next is not None),
            *(("Contents", _entry(item, show, owner=True)) for item in found.objects),
            *(("CommonPrefixes", [("Prefix", show(group))]) for group in found.prefixes),
        ]
        return xml("ListBucketResult", tree)

    def versions(self, request: Request) -> Answer:
        coded, show = _encoding(request)
        query = request.query
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        limit = min(request.number("max-keys", LIMIT), LIMIT)
        marker, id_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
        if id_marker and not marker:
            raise AwsError("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
        self.buckets.present(request.bucket)
        entries = self._versions(request.bucket, prefix, delimiter, marker, id_marker)
        found = list(itertools.islice(entries, limit + 1)) if limit else []
        shown, more = found[:limit], len(found) > limit
        last = shown[-1] if shown else None
        tree: Tree = [
            ("Name", request.bucket),
            ("Prefix", show(prefix)),
            ("KeyMarker", show(marker)),
            ("VersionIdMarker", id_marker),
            ("NextKeyMarker", show(last if isinstance(last, str) else last[0].key) if more and last else None),
            ("NextVersionIdMarker", last[0].version if more and isinstance(last, tuple) else None),
            ("Delimiter", show(delimiter) if delimiter else None),
            ("MaxKeys", limit),
            ("EncodingType", coded),
            ("IsTruncated", more),
            *(_version_entry(item, show) for item in shown),
        ]
        return xml("ListVersionsResult", tree)

    def _versions(
        self, bucket: str, prefix: str, delimiter: str, marker: str, id_marker: str
    ) -> Iterator[tuple[Object, bool] | str]:
        """(version, is latest) or a common prefix, in order."""
        seen = ""
        for key in self._keys_with_versions(bucket, prefix, marker.encode()):
            group = _group(key, prefix, delimiter)
            if group is not None:
                if group != seen and group != marker:
                    yield group
                seen = group
                continue
            if key == marker and not id_marker:
                continue
            versions = self._of_key(bucket, key)
            if key == marker:
                ids = [version.version for version, _ in versions]
                versions = versions[ids.index(id_marker) + 1 :] if id_marker in ids else []
            yield from versions

    def _of_key(self, bucket: str, key: str) -> list[tuple[Object, bool]]:
        current = self.objects.current(bucket, key)
        older = self.objects.versions_of(bucket, key)
        if current is not None:
            return [(current, True), *((version, False) for version in older)]
        return [(version, at == 0) for at, version in enumerate(older)]

    def _keys_with_versions(self, bucket: str, prefix: str, start: bytes) -> Iterator[str]:
        keys = Keys(self.objects, bucket, prefix, start)
        older = (key for key in self.objects.versioned_keys(bucket, prefix) if key.encode() >= start)
        try:
            current = (item.key for item in keys)
            for key, _ in itertools.groupby(heapq.merge(current, older, key=str.encode)):
                yield key
        finally:
            keys.close()


def _encoding(request: Request) -> tuple[str | None, Callable[[str], str]]:
    match request.query.get("encoding-type", ""):
        case "":
            return None, str
        case "url":
            return "url", url_coded
        case other:
            raise AwsError(
                "InvalidArgument", "Invalid Encoding Method specified in Request", ArgumentName="encoding-type",
                ArgumentValue=other,
            )  # fmt: skip


def _token(text: str) -> bytes:
    try:
        start = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        start.rstrip(b"\0").decode()
    except (binascii.Error, ValueError):
        start = b""
    if not start:
        raise AwsError(
            "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token"
        )
    return start


def _entry(item: Object, show: Callable[[str], str], *, owner: bool) -> Tree:
    return [
        ("Key", show(item.key)),
        ("LastModified", iso_date(item.modified)),
        ("ETag", quoted(item.etag)),
        ("ChecksumAlgorithm", item.checksum[0] if item.checksum else None),
        ("ChecksumType", item.checksum[2] if item.checksum else None),
        ("Size", item.size),
        ("Owner", OWNER if owner else None),
        ("StorageClass", item.headers.get("x-amz-storage-class", "STANDARD")),
    ]


def _version_entry(item: tuple[Object, bool] | str, show: Callable[[str], str]) -> tuple[str, Tree]:
    if isinstance(item, str):
        return "CommonPrefixes", [("Prefix", show(item))]
    version, latest = item
    common: Tree = [("Key", show(version.key)), ("VersionId", version.version), ("IsLatest", latest)]
    if version.marker:
        return "DeleteMarker", [*common, ("LastModified", iso_date(version.modified)), ("Owner", OWNER)]
    rest = [pair for pair in _entry(version, show, owner=True) if pair[0] != "Key"]
    return "Version", [*common, *rest]
