"""The operations on objects: put, get, head, copy, delete, tags, attributes, multipart uploads."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.etree.ElementTree import Element

from millpond.local.s3 import checksums, conditions
from millpond.local.s3.body import MAX_OBJECT
from millpond.local.s3.buckets import OWNER, Bucket, Buckets, acl, refuse_acl
from millpond.local.s3.keys import MAX_KEY
from millpond.local.s3.messages import (
    Answer,
    Bytes,
    Request,
    Tree,
    http_date,
    iso_date,
    malformed,
    parse,
    quoted,
    xml,
)
from millpond.local.s3.multipart import MAX_PARTS, Part, Upload, Uploads, Wanted, copy_bytes, is_md5
from millpond.local.s3.objects import Draft, Object, Objects
from millpond.local.service import AwsError, unsupported

KEPT_HEADERS = (
    "content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires",
    "x-amz-website-redirect-location", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
)  # fmt: skip
STORAGE_CLASSES = {"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY", "GLACIER_IR"}
ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}  # reading back would need a restore
REFUSED_HEADERS = {
    "x-amz-server-side-encryption-customer-algorithm": "There is no encryption with customer keys.",
    "x-amz-copy-source-server-side-encryption-customer-algorithm": "There is no encryption with customer keys.",
    "x-amz-object-lock-mode": "Objects are not locked.",
    "x-amz-object-lock-retain-until-date": "Objects are not locked.",
    "x-amz-object-lock-legal-hold": "Objects are not locked.",
    "x-amz-write-offset-bytes": "Only directory buckets append.",
}
MAX_METADATA = 2048  # bytes, names and values
MAX_TAGS = 10
OVERRIDES = ("content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding")


class Transfer:
    """See the module's docstring."""

    def __init__(self, objects: Objects, buckets: Buckets, uploads: Uploads) -> None:
        self.objects, self.buckets, self.uploads = objects, buckets, uploads

    # Put, get, head, delete

    def put(self, request: Request) -> Answer:
        assert request.spool is not None
        bucket = self._target(request)
        headers, tags = _kept(request), _header_tags(request)
        staged = request.spool.finish()
        tally = request.spool.tally
        assert tally.algorithm is not None
        draft = Draft(
            etag=tally.md5, headers=headers, tags=tags, checksum=(tally.algorithm, tally.checksum, "FULL_OBJECT")
        )
        condition = conditions.for_write(request.headers, request.key)
        done = self.objects.commit(
            bucket.name, request.key, staged, draft, versioning=bucket.versioning, condition=condition
        )
        return Answer(200, {"etag": quoted(done.etag), **_checksum_headers(done), **_side_headers(done, bucket)})

    def get(self, request: Request) -> Answer:
        return self._read(request, send=True)

    def head(self, request: Request) -> Answer:
        return self._read(request, send=False)

    def _read(self, request: Request, *, send: bool) -> Answer:
        bucket = self._bucket(request)
        with self.objects.open(bucket.name, request.key, request.query.get("versionId")) as (found, handle):
            conditions.for_read(request.headers, found)
            part = request.number("partNumber", 0, high=MAX_PARTS)
            span = (
                _span_of_part(found, part) if part else conditions.byte_range(request.headers.get("range"), found.size)
            )
            start, length = span or (0, found.size)
            headers = self._object_headers(request, found, bucket)
            headers["content-length"] = str(length)
            if part:
                headers["x-amz-mp-parts-count"] = str(len(found.parts))
            if span is not None:
                headers["content-range"] = f"bytes {start}-{start + length - 1}/{found.size}"
            elif request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
                headers |= _checksum_headers(found)
            body = Bytes(os.dup(handle), start, length) if send and length else b""
            return Answer(206 if span is not None else 200, headers, body)

    @staticmethod
    def _object_headers(request: Request, found: Object, bucket: Bucket) -> dict[str, str]:
        headers = {
            "content-type": "binary/octet-stream",
            "accept-ranges": "bytes",
            "etag": quoted(found.etag),
            "last-modified": http_date(found.modified),
            **found.headers,
            **_side_headers(found, bucket),
        }
        if found.tags:
            headers["x-amz-tagging-count"] = str(len(found.tags))
        for name in OVERRIDES:
            if value := request.query.get(f"response-{name}"):
                headers[name] = value
        return headers

    def delete(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        condition = conditions.for_write(request.headers, request.key)
        done = self.objects.delete(
            bucket.name, request.key, request.query.get("versionId"), versioning=bucket.versioning, condition=condition
        )
        headers = {"x-amz-version-id": done.version} if done.version else {}
        return Answer(204, headers | ({"x-amz-delete-marker": "true"} if done.marker else {}))

    def delete_many(self, request: Request) -> Answer:
        bucket = self.buckets.present(request.bucket)
        document = parse(request.body, "Delete")
        items = document.findall("Object")
        if not 1 <= len(items) <= 1000 or any(not item.findtext("Key") for item in items):
            raise malformed()
        quiet = document.findtext("Quiet", "").strip().lower() == "true"
        tree: list[tuple[str, Any]] = []
        with self.objects.store.write():  # one commit for all
            for item in items:
                entry = self._delete_one(bucket, item)
                if entry[0] == "Error" or not quiet:
                    tree.append(entry)
        return xml("DeleteResult", tree)

    def _delete_one(self, bucket: Bucket, item: Element) -> tuple[str, Tree]:
        key, version = item.findtext("Key", ""), item.findtext("VersionId") or None
        etag = item.findtext("ETag")
        try:
            condition = conditions.for_write({"if-match": etag}, key) if etag else None
            done = self.objects.delete(bucket.name, key, version, versioning=bucket.versioning, condition=condition)
        except AwsError as error:
            return "Error", [("Key", key), ("VersionId", version), ("Code", error.code), ("Message", str(error))]
        made = done.version if done.marker else None
        return "Deleted", [
            ("Key", key), ("VersionId", version), ("DeleteMarker", done.marker or None),
            ("DeleteMarkerVersionId", made),
        ]  # fmt: skip

    # Copy

    def copy(self, request: Request) -> Answer:
        bucket = self._target(request)
        replaced = _directive(request, "x-amz-metadata-directive")
        new_tags = _directive(request, "x-amz-tagging-directive")
        with self._source(request) as (origin, source, handle, version):
            same = (origin.name, source.key) == (bucket.name, request.key)
            changes = any(
                name in request.headers
                for name in ("x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption",
                             "x-amz-checksum-algorithm")
            )  # fmt: skip
            if same and not replaced and not changes and version is None:
                raise AwsError(
                    "InvalidRequest",
                    "This copy request is illegal because it is trying to copy an object to itself without changing the"
                    " object's metadata, storage class, website redirect location or encryption attributes.",
                )
            if source.size > MAX_OBJECT:
                raise AwsError(
                    "InvalidRequest",
                    "The specified copy source is larger than the maximum allowable size for a copy source:"
                    f" {MAX_OBJECT}",
                )
            staged = self.objects.stage_path()
            try:
                draft = self._duplicate(source, handle, staged, request.headers.get("x-amz-checksum-algorithm"))
                draft = replace(
                    draft,
                    headers=_kept(request) if replaced else _carried(source.headers, request),
                    tags=_header_tags(request) if new_tags else source.tags,
                )
                condition = conditions.for_write(request.headers, request.key)
                done = self.objects.commit(
                    bucket.name, request.key, staged, draft, versioning=bucket.versioning, condition=condition
                )
            finally:
                staged.unlink(missing_ok=True)
        headers = _side_headers(done, bucket)
        if origin.versioning:
            headers["x-amz-copy-source-version-id"] = source.version
        return xml("CopyObjectResult", [*_copied(done.etag, done.modified), *_checksum_tree(done)], headers=headers)

    @contextlib.contextmanager
    def _source(self, request: Request) -> Iterator[tuple[Bucket, Object, int, str | None]]:
        name, _, version_text = request.headers["x-amz-copy-source"].partition("?versionId=")
        bucket_name, _, key = unquote(name).removeprefix("/").partition("/")
        if not bucket_name or not key:
            text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
            raise _bad_argument(text, "x-amz-copy-source", request.headers["x-amz-copy-source"])
        version = version_text or None
        bucket = self.buckets.get(bucket_name)
        with self.objects.open(bucket_name, key, version) as (found, handle):
            conditions.for_read(request.headers, found, prefix="x-amz-copy-source-")
            yield bucket, found, handle, version

    @staticmethod
    def _duplicate(source: Object, handle: int, staged: Path, algorithm: str | None) -> Draft:
        """Copy the bytes; read them through Python only when a digest must be made."""
        if algorithm is not None and algorithm.upper() not in checksums.ALGORITHMS:
            raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.")
        present = source.checksum
        whole = present is not None and present[2] == "FULL_OBJECT"
        if is_md5(source.etag) and whole and (algorithm is None or (present and algorithm.upper() == present[0])):
            with staged.open("xb") as out:
                copy_bytes(handle, out.fileno(), source.size)
            return Draft(etag=source.etag, checksum=present)
        wanted = algorithm.upper() if algorithm else present[0] if present else checksums.DEFAULT
        tally = copy_range(handle, staged, 0, source.size, wanted)
        return Draft(etag=tally.md5, checksum=(wanted, tally.checksum, "FULL_OBJECT"))

    # Tags, access lists, attributes

    def get_tags(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        found = self.objects.head(bucket.name, request.key, request.query.get("versionId"))
        tags = [("Tag", [("Key", name), ("Value", value)]) for name, value in found.tags.items()]
        return xml("Tagging", [("TagSet", tags)], headers=_version_header(found, bucket))

    def put_tags(self, request: Request) -> Answer:
        document = parse(request.body, "Tagging")
        pairs = [(tag.findtext("Key", ""), tag.findtext("Value", "")) for tag in document.iterfind("TagSet/Tag")]
        return self._set_tags(request, _checked_tags(pairs), 200)

    def delete_tags(self, request: Request) -> Answer:
        return self._set_tags(request, {}, 204)

    def _set_tags(self, request: Request, tags: Mapping[str, str], status: int) -> Answer:
        bucket = self._bucket(request)
        found = self.objects.set_tags(bucket.name, request.key, request.query.get("versionId"), tags)
        return Answer(status, _version_header(found, bucket))

    def get_acl(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        self.objects.head(bucket.name, request.key, request.query.get("versionId"))
        return acl()

    def put_acl(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        self.objects.head(bucket.name, request.key, request.query.get("versionId"))
        refuse_acl(request)
        return Answer()

    def attributes(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        found = self.objects.head(bucket.name, request.key, request.query.get("versionId"))
        wanted = {name.strip() for name in request.headers.get("x-amz-object-attributes", "").split(",")} - {""}
        if not wanted:
            raise AwsError(
                "InvalidRequest",
                "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or"
                " empty",
            )
        trees: dict[str, Any] = {
            "ETag": found.etag,
            "Checksum": _checksum_tree(found) or None,
            "ObjectParts": _parts_tree(found, request) if found.parts else None,
            "StorageClass": found.headers.get("x-amz-storage-class", "STANDARD"),
            "ObjectSize": found.size,
        }
        if unknown := wanted - trees.keys():
            text = "Invalid attribute name specified."
            raise _bad_argument(text, "x-amz-object-attributes", ",".join(sorted(unknown)))
        tree = [(name, content) for name, content in trees.items() if name in wanted]
        headers = {"last-modified": http_date(found.modified), **_version_header(found, bucket)}
        return xml("GetObjectAttributesResponse", tree, headers=headers)

    # Multipart uploads

    def begin(self, request: Request) -> Answer:
        self._target(request)
        algorithm = request.headers.get("x-amz-checksum-algorithm", "").upper() or None
        kind = request.headers.get("x-amz-checksum-type", "").upper() or None
        if algorithm and algorithm not in checksums.ALGORITHMS:
            raise AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.")
        if kind and not algorithm:
            raise AwsError(
                "InvalidRequest",
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )
        upload = self.uploads.begin(request.bucket, request.key, _kept(request), _header_tags(request), algorithm, kind)
        headers = {"x-amz-server-side-encryption": "AES256"}
        if algorithm:
            headers |= {"x-amz-checksum-algorithm": upload.algorithm, "x-amz-checksum-type": upload.kind}
        tree = [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id)]
        return xml("InitiateMultipartUploadResult", tree, headers=headers)

    def put_part(self, request: Request) -> Answer:
        assert request.spool is not None
        upload, number = self._part_target(request)
        tally = request.spool.tally
        if request.spool.tally.expected.algorithm and tally.algorithm != upload.algorithm and upload.asked:
            raise AwsError(
                "InvalidRequest",
                f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm.lower()}, actual checksum"
                f" Type: {str(tally.algorithm).lower()}",
            )
        staged = request.spool.finish()
        sent = tally.algorithm, tally.checksum
        if tally.algorithm != upload.algorithm:  # verified as sent; kept in the upload's own algorithm
            tally = _retally(staged, upload.algorithm)
        part = self.uploads.add(upload, number, staged, tally)
        headers = {"etag": quoted(part.etag), "x-amz-server-side-encryption": "AES256"}
        return Answer(200, headers | {f"x-amz-checksum-{str(sent[0]).lower()}": sent[1]})

    def copy_part(self, request: Request) -> Answer:
        upload, number = self._part_target(request)
        with self._source(request) as (_, source, handle, _):
            start, length = 0, source.size
            if text := request.headers.get("x-amz-copy-source-range"):
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", text)
                if found is None or int(found[2]) >= source.size or int(found[1]) > int(found[2]):
                    why = f"Range specified is not valid for source object of size: {source.size}"
                    raise _bad_argument(why, "x-amz-copy-source-range", text)
                start, length = int(found[1]), int(found[2]) - int(found[1]) + 1
            staged = self.objects.stage_path()
            try:
                tally = copy_range(handle, staged, start, length, upload.algorithm)
                part = self.uploads.add(upload, number, staged, tally)
            finally:
                staged.unlink(missing_ok=True)
        return xml("CopyPartResult", _copied(part.etag, part.modified))

    def complete(self, request: Request) -> Answer:
        bucket = self._bucket(request)
        upload = self.uploads.get(request.bucket, request.key, request.query["uploadId"], or_done=True)
        if upload.done is not None:
            return self._completed(upload.done)
        document = parse(request.body, "CompleteMultipartUpload")
        promised = request.headers.get(f"x-amz-checksum-{upload.algorithm.lower()}")
        condition = conditions.for_write(request.headers, request.key)

        def place(staged: Path, draft: Draft) -> Mapping[str, str]:
            done = self.objects.commit(
                bucket.name, request.key, staged, draft, versioning=bucket.versioning, condition=condition
            )
            algorithm, value, kind = done.checksum or ("", "", "")
            shown = {f"Checksum{algorithm}": value, "ChecksumType": kind} if algorithm else {}
            answer = {"Bucket": bucket.name, "Key": request.key, "ETag": quoted(done.etag), **shown}
            return answer | ({"version": done.version} if bucket.versioning else {})

        wanted = [_wanted(part) for part in document.findall("Part")]
        return self._completed(self.uploads.complete(upload, wanted, place, promised))

    @staticmethod
    def _completed(answer: Mapping[str, str]) -> Answer:
        headers = {"x-amz-server-side-encryption": "AES256"}
        if version := answer.get("version"):
            headers["x-amz-version-id"] = version
        location = f"/{answer['Bucket']}/{answer['Key']}"
        tree = [("Location", location), *((name, text) for name, text in answer.items() if name != "version")]
        return xml("CompleteMultipartUploadResult", tree, headers=headers)

    def abort(self, request: Request) -> Answer:
        self._bucket(request)
        self.uploads.abort(self.uploads.get(request.bucket, request.key, request.query["uploadId"]))
        return Answer(204)

    def list_parts(self, request: Request) -> Answer:
        self._bucket(request)
        upload = self.uploads.get(request.bucket, request.key, request.query["uploadId"])
        limit, marker = min(request.number("max-parts", 1000), 1000), request.number("part-number-marker", 0)
        parts = [part for part in self.uploads.parts(upload) if part.number > marker]
        page = parts[:limit]
        tree: Tree = [
            ("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id), ("Initiator", OWNER),
            ("Owner", OWNER), ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
            ("PartNumberMarker", marker), ("NextPartNumberMarker", page[-1].number if page else 0),
            ("MaxParts", limit), ("IsTruncated", len(parts) > limit),
            ("ChecksumAlgorithm", upload.algorithm if upload.asked else None),
            ("ChecksumType", upload.kind if upload.asked else None),
            *(("Part", _part_tree(upload, part)) for part in page),
        ]  # fmt: skip
        return xml("ListPartsResult", tree)

    def list_uploads(self, request: Request) -> Answer:
        self.buckets.present(request.bucket)
        prefix, marker = request.query.get("prefix", ""), request.query.get("key-marker", "")
        id_marker = request.query.get("upload-id-marker", "")
        if request.query.get("delimiter"):
            raise unsupported("s3", "ListMultipartUploads with a delimiter")
        limit = min(request.number("max-uploads", 1000), 1000)
        found = self.uploads.of_bucket(request.bucket, prefix)
        ids = [upload.id for upload in found]
        at = ids.index(id_marker) + 1 if id_marker in ids else 0
        found = [u for n, u in enumerate(found) if u.key > marker or (u.key == marker and id_marker and n >= at)]
        page, more = found[:limit], len(found) > limit
        tree: Tree = [
            ("Bucket", request.bucket), ("KeyMarker", marker), ("UploadIdMarker", id_marker), ("Prefix", prefix),
            ("NextKeyMarker", page[-1].key if more else None), ("NextUploadIdMarker", page[-1].id if more else None),
            ("MaxUploads", limit), ("IsTruncated", more),
            *(("Upload", [
                ("Key", upload.key), ("UploadId", upload.id), ("Initiator", OWNER), ("Owner", OWNER),
                ("StorageClass", upload.headers.get("x-amz-storage-class", "STANDARD")),
                ("Initiated", iso_date(upload.created)),
                ("ChecksumAlgorithm", upload.algorithm if upload.asked else None),
                ("ChecksumType", upload.kind if upload.asked else None),
            ]) for upload in page),
        ]  # fmt: skip
        return xml("ListMultipartUploadsResult", tree)

    # Common checks

    def _bucket(self, request: Request) -> Bucket:
        if len(request.key.encode()) > MAX_KEY:
            raise AwsError(
                "KeyTooLongError", "Your key is too long", Size=len(request.key.encode()), MaxSizeAllowed=MAX_KEY
            )
        return self.buckets.get(request.bucket)

    def _target(self, request: Request) -> Bucket:
        """The bucket that a write goes to, after refusing what the headers ask for and we do not carry."""
        bucket = self._bucket(request)
        for name, why in REFUSED_HEADERS.items():
            if name in request.headers:
                raise unsupported("s3", f"{request.method} with {name}", why)
        refuse_acl(_bodyless(request))
        return bucket

    def _part_target(self, request: Request) -> tuple[Upload, int]:
        self._bucket(request)
        number = request.number("partNumber", 0, low=-(2**31))
        if not 1 <= number <= MAX_PARTS:
            why = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
            raise _bad_argument(why, "partNumber", request.query.get("partNumber", ""))
        return self.uploads.get(request.bucket, request.key, request.query["uploadId"]), number


def _bad_argument(why: str, name: str, value: str) -> AwsError:
    return AwsError("InvalidArgument", why, ArgumentName=name, ArgumentValue=value)


def _bodyless(request: Request) -> Request:
    """The request without a body: an object's bytes are no access list."""
    return replace(request, body=b"", spool=None)


def copy_range(handle: int, staged: Path, start: int, length: int, algorithm: str) -> checksums.Tally:
    """Copy part of an open file into a staged one, taking its digests on the way."""
    tally = checksums.Tally(checksums.Expected(algorithm=algorithm))
    with staged.open("xb") as out:
        while length > 0 and (chunk := os.pread(handle, min(length, 1 << 20), start)):
            tally.update(chunk)
            out.write(chunk)
            start, length = start + len(chunk), length - len(chunk)
    return tally


def _retally(path: Path, algorithm: str) -> checksums.Tally:
    tally = checksums.Tally(checksums.Expected(algorithm=algorithm))
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            tally.update(chunk)
    return tally


def _kept(request: Request) -> dict[str, str]:
    """The headers that an object remembers."""
    given = request.headers
    kept = {name: given[name] for name in KEPT_HEADERS if name in given}
    kept.setdefault("content-type", "binary/octet-stream")
    coding = ",".join(c for c in (p.strip() for p in kept.get("content-encoding", "").split(",")) if c != "aws-chunked")
    kept.pop("content-encoding", None)
    if coding:
        kept["content-encoding"] = coding
    user = {name: value for name, value in given.items() if name.startswith("x-amz-meta-")}
    size = sum(len(name) - len("x-amz-meta-") + len(value) for name, value in user.items())
    if size > MAX_METADATA:
        raise AwsError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size",
                       Size=size, MaxSizeAllowed=MAX_METADATA)  # fmt: skip
    return kept | user | _storage_class(given.get("x-amz-storage-class"))


def _storage_class(name: str | None) -> dict[str, str]:
    if name is None or name == "STANDARD":
        return {}
    if name in ARCHIVES:
        raise unsupported("s3", f"storage class {name}", "Archives and their restore are not carried.")
    if name not in STORAGE_CLASSES:
        raise AwsError(
            "InvalidStorageClass", "The storage class you specified is not valid", StorageClassRequested=name
        )
    return {"x-amz-storage-class": name}


def _carried(headers: Mapping[str, str], request: Request) -> dict[str, str]:
    """A copy keeps its source's headers, but class, encryption and redirect are the request's."""
    own = ("x-amz-storage-class", "x-amz-website-redirect-location")
    kept = {name: value for name, value in headers.items() if name not in own and "encryption" not in name}
    asked = {name: v for name, v in _kept(request).items() if name in own or "encryption" in name}
    return kept | asked


def _directive(request: Request, name: str) -> bool:
    match request.headers.get(name, "COPY"):
        case "COPY":
            return False
        case "REPLACE":
            return True
        case other:
            raise _bad_argument(f"Unknown {name}.", name, other)


def _header_tags(request: Request) -> dict[str, str]:
    text = request.headers.get("x-amz-tagging", "")
    return _checked_tags(parse_qsl(text, keep_blank_values=True)) if text else {}


def _checked_tags(pairs: list[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise AwsError("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > MAX_TAGS:
        raise AwsError("BadRequest", "Object tags cannot be greater than 10")
    for name, value in tags.items():
        if not 1 <= len(name) <= 128 or name.startswith("aws:"):
            raise AwsError("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > 256:
            raise AwsError("InvalidTag", "The TagValue you have provided is invalid", TagKey=name, TagValue=value)
    return tags


def _span_of_part(found: Object, part: int) -> tuple[int, int] | None:
    if not found.parts:
        if part == 1:
            return (0, found.size) if found.size else None
    elif part <= len(found.parts):
        sizes = [size for _, size, _ in found.parts]
        return sum(sizes[: part - 1]), sizes[part - 1]
    raise AwsError("InvalidPartNumber", "The requested partnumber is not satisfiable", status=416)


def _side_headers(found: Object, bucket: Bucket) -> dict[str, str]:
    encryption = {n: v for n, v in found.headers.items() if n.startswith("x-amz-server-side-encryption")}
    return {"x-amz-server-side-encryption": "AES256", **encryption, **_version_header(found, bucket)}


def _version_header(found: Object, bucket: Bucket) -> dict[str, str]:
    return {"x-amz-version-id": found.version} if bucket.versioning else {}


def _checksum_headers(found: Object) -> dict[str, str]:
    if found.checksum is None:
        return {}
    algorithm, value, kind = found.checksum
    return {f"x-amz-checksum-{algorithm.lower()}": value, "x-amz-checksum-type": kind}


def _checksum_tree(found: Object) -> Tree:
    if found.checksum is None:
        return []
    algorithm, value, kind = found.checksum
    return [(f"Checksum{algorithm}", value), ("ChecksumType", kind)]


def _parts_tree(found: Object, request: Request) -> Tree:
    after = int(request.headers.get("x-amz-part-number-marker", "0") or 0)
    limit = min(int(request.headers.get("x-amz-max-parts", "1000") or 1000), 1000)
    rest = [part for part in found.parts if part[0] > after]
    shown = rest[:limit]
    algorithm = found.checksum[0] if found.checksum else ""
    listed = any(checksum for _, _, checksum in shown)  # as on S3: only uploads with a chosen checksum list parts
    return [
        ("PartsCount", len(found.parts)), ("PartNumberMarker", after), ("MaxParts", limit),
        ("NextPartNumberMarker", shown[-1][0] if shown else 0), ("IsTruncated", len(rest) > limit),
        *(("Part", [("PartNumber", number), ("Size", size), (f"Checksum{algorithm}", checksum or None)])
          for number, size, checksum in (shown if listed else [])),
    ]  # fmt: skip


def _part_tree(upload: Upload, part: Part) -> Tree:
    return [
        ("PartNumber", part.number), ("LastModified", iso_date(part.modified)), ("ETag", quoted(part.etag)),
        ("Size", part.size), (f"Checksum{upload.algorithm}", part.checksum if upload.asked else None),
    ]  # fmt: skip


def _copied(etag: str, modified: float) -> list[tuple[str, Any]]:
    return [("LastModified", iso_date(modified)), ("ETag", quoted(etag))]


def _wanted(part: Element) -> Wanted:
    number, etag = part.findtext("PartNumber", ""), part.findtext("ETag", "")
    if not (number.strip().isdigit() and etag):
        raise malformed()
    given = {name: value for name in checksums.ALGORITHMS if (value := part.findtext(f"Checksum{name}"))}
    return Wanted(int(number), etag.strip().strip('"'), given)
