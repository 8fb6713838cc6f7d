"""Buckets and their configuration.

A bucket is a row and a folder; without its folder it does not exist any more (`NoSuchBucket`) until it is made again.

Configuration documents are kept and given back as they were put, which is all that S3's API shows of them. `STORED`
says of each whether Millpond also acts on it; what would change what a pipeline sees, and is not carried, is refused
in `REFUSED` instead of being kept without effect.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from millpond.local.s3.keys import no_such_bucket, valid_bucket_name
from millpond.local.s3.messages import Answer, Request, Tree, iso_date, malformed, parse, xml
from millpond.local.s3.objects import Objects
from millpond.local.service import AwsError, unsupported
from millpond.local.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS s3_buckets (
    name TEXT PRIMARY KEY, created REAL NOT NULL, region TEXT NOT NULL, versioning TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS s3_configurations (
    bucket TEXT NOT NULL, kind TEXT NOT NULL, document BLOB NOT NULL, PRIMARY KEY (bucket, kind)) WITHOUT ROWID;
"""

HIDDEN = re.compile(r"awslambda-[a-z0-9-]+-tasks")  # where Lambda keeps its zips; on AWS it is not the account's

OWNER_ID = "6d696c6c706f6e6400000000000000000000000000000000000000000000beef"[:64]
OWNER: Tree = (("ID", OWNER_ID), ("DisplayName", "millpond"))

AES256 = b"""<?xml version="1.0" encoding="UTF-8"?>
<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>\
<ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
<BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"""
BLOCKED = b"""<?xml version="1.0" encoding="UTF-8"?>
<PublicAccessBlockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><BlockPublicAcls>true</BlockPublicAcls>\
<IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
<RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"""
ENFORCED = b"""<?xml version="1.0" encoding="UTF-8"?>
<OwnershipControls xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ObjectOwnership>BucketOwnerEnforced\
</ObjectOwnership></Rule></OwnershipControls>"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A kind of configuration: its root element, what a GET says when it was never put, what a new bucket has."""

    root: str
    absent: tuple[str, str] | None = None  # error code, message; None: an empty document
    initial: bytes | None = None


# Not acted upon locally: policy (there are no other accounts), encryption (files are plain, for all to read),
# lifecycle (nothing expires), cors (browsers are refused), logging, public access (nothing is public), ownership.
STORED: dict[str, Stored] = {
    "policy": Stored("", ("NoSuchBucketPolicy", "The bucket policy does not exist")),
    "lifecycle": Stored(
        "LifecycleConfiguration",
        ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    ),
    "encryption": Stored("ServerSideEncryptionConfiguration", None, AES256),
    "cors": Stored("CORSConfiguration", ("NoSuchCORSConfiguration", "The CORS configuration does not exist")),
    "publicAccessBlock": Stored(
        "PublicAccessBlockConfiguration",
        ("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found"),
        BLOCKED,
    ),
    "ownershipControls": Stored(
        "OwnershipControls",
        ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found"),
        ENFORCED,
    ),
    "tagging": Stored("Tagging", ("NoSuchTagSet", "The TagSet does not exist")),
    "logging": Stored("BucketLoggingStatus"),
    "notification": Stored("NotificationConfiguration"),
    "accelerate": Stored("AccelerateConfiguration"),
    "requestPayment": Stored("RequestPaymentConfiguration"),
    "website": Stored(
        "WebsiteConfiguration",
        ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    ),
    "replication": Stored(
        "ReplicationConfiguration",
        ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    ),
    "object-lock": Stored(
        "ObjectLockConfiguration",
        ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
    ),
}

# Putting these would promise something that does not happen; a document without content takes nothing on and is fine.
REFUSED: dict[str, str] = {
    "notification": "Events of a bucket are not delivered.",
    "accelerate": "There is no transfer acceleration on one machine.",
    "requestPayment": "There is nobody else to pay.",
    "website": "Buckets are not served as websites.",
    "replication": "Objects are not replicated.",
    "object-lock": "Objects are not locked.",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str
    created: float
    region: str
    versioning: str  # "", Enabled or Suspended


class Buckets:
    """See the module's docstring."""

    def __init__(self, objects: Objects, store: Store, drop_uploads: Callable[[str], None]) -> None:
        self.objects, self.store, self._drop_uploads = objects, store, drop_uploads
        self._known: dict[str, Bucket] = {}  # a change drops its bucket, inside its transaction

    def get(self, name: str) -> Bucket:
        """Raises NoSuchBucket or InvalidBucketName."""
        known = self._known.get(name)
        if known is not None:
            return known
        with self.store.write():  # behind whoever changes the bucket: what is remembered is what is committed
            row = self.store.one("SELECT * FROM s3_buckets WHERE name = ?", (name,))
            if row is not None:
                bucket = self._known[name] = Bucket(*row)
                return bucket
        raise no_such_bucket(name) if valid_bucket_name(name) else invalid_name(name)

    def present(self, name: str) -> Bucket:
        """`get`, and the folder is there."""
        bucket = self.get(name)
        os.close(self.objects.folder(name).open_root())
        return bucket

    def all(self) -> list[Bucket]:
        rows = self.store.read("SELECT * FROM s3_buckets ORDER BY name")
        return [
            Bucket(*row)
            for row in rows
            if (self.objects.root / row["name"]).is_dir() and not HIDDEN.fullmatch(row["name"])
        ]

    # Operations

    def list(self, request: Request) -> Answer:
        prefix, limit = request.query.get("prefix", ""), request.number("max-buckets", 10_000, low=1, high=10_000)
        after = request.query.get("continuation-token", "")
        found = [b for b in self.all() if b.name.startswith(prefix) and b.name > after]
        page, more = found[:limit], len(found) > limit
        paged = "max-buckets" in request.query or bool(prefix)
        tree = [
            ("Owner", OWNER),
            ("Buckets", [("Bucket", _listed(bucket, region=paged)) for bucket in page]),
            ("Prefix", prefix or None),
            ("ContinuationToken", page[-1].name if more else None),
        ]
        return xml("ListAllMyBucketsResult", tree)

    def create(self, request: Request) -> Answer:
        if not valid_bucket_name(request.bucket):
            raise invalid_name(request.bucket)
        _refuse_lock(request)
        region = _constraint(request.body) or request.region
        self.make(request.bucket, region)
        return Answer(200, {"location": "/" + request.bucket})

    def make(self, name: str, region: str) -> None:
        """Create the bucket. Raises BucketAlreadyOwnedByYou, except in us-east-1, where S3 answers success."""
        folder = self.objects.root / name
        with self.store.write() as db:
            row = db.execute("SELECT region FROM s3_buckets WHERE name = ?", (name,)).fetchone()
            if row is not None and folder.is_dir():
                if row["region"] == region == "us-east-1":
                    return
                raise AwsError(
                    "BucketAlreadyOwnedByYou",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                    status=409,
                    BucketName=name,
                )
            if row is not None:  # somebody removed the folder: what the rows say is gone
                self._forget(name)
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise AwsError("BucketAlreadyExists", f"{folder} is in the way and is not a folder", status=409)
            db.execute("INSERT INTO s3_buckets (name, created, region) VALUES (?, ?, ?)", (name, time.time(), region))
            for kind, stored in STORED.items():
                if stored.initial is not None:
                    _keep(db, name, kind, stored.initial)
            folder.mkdir(mode=0o700, exist_ok=True)

    def delete(self, request: Request) -> Answer:
        bucket = self.get(request.bucket)
        with self.store.write():
            if not self.objects.empty(bucket.name):
                raise AwsError(
                    "BucketNotEmpty", "The bucket you tried to delete is not empty", status=409, BucketName=bucket.name
                )
            self._forget(bucket.name)
            shutil.rmtree(self.objects.root / bucket.name)
        return Answer(204)

    def _forget(self, name: str) -> None:
        with self.store.write() as db:
            self.objects.forget(db, name)
            self._drop_uploads(name)
            db.execute("DELETE FROM s3_buckets WHERE name = ?", (name,))
            self._known.pop(name, None)
            db.execute("DELETE FROM s3_configurations WHERE bucket = ?", (name,))

    def head(self, request: Request) -> Answer:
        bucket = self.present(request.bucket)
        return Answer(200, {"x-amz-bucket-region": bucket.region, "content-type": "application/xml"})

    def location(self, request: Request) -> Answer:
        region = self.present(request.bucket).region
        # us-east-1 is the one region that is spelled as nothing
        return xml("LocationConstraint", "" if region == "us-east-1" else region)

    def get_versioning(self, request: Request) -> Answer:
        bucket = self.present(request.bucket)
        return xml("VersioningConfiguration", [("Status", bucket.versioning or None)])

    def put_versioning(self, request: Request) -> Answer:
        self.present(request.bucket)
        document = parse(request.body, "VersioningConfiguration")
        status = document.findtext("Status", "")
        if document.findtext("MfaDelete", "Disabled") == "Enabled":
            raise unsupported("s3", "PutBucketVersioning", "There is no MFA delete.")
        if status not in ("Enabled", "Suspended"):
            raise AwsError("IllegalVersioningConfigurationException", "The Versioning element must be specified")
        with self.store.write() as db:
            db.execute("UPDATE s3_buckets SET versioning = ? WHERE name = ?", (status, request.bucket))
            self._known.pop(request.bucket, None)
        return Answer()

    def get_acl(self, request: Request) -> Answer:
        self.present(request.bucket)
        return acl()

    def refuse_acl(self, request: Request) -> Answer:
        self.present(request.bucket)
        refuse_acl(request)
        return Answer()

    def configuration(self, kind: str) -> dict[str, Callable[[Request], Answer]]:
        """GET, PUT and DELETE of one kind of configuration document."""
        stored = STORED[kind]

        def get(request: Request) -> Answer:
            self.present(request.bucket)
            sql = "SELECT document FROM s3_configurations WHERE bucket = ? AND kind = ?"
            row = self.store.one(sql, (request.bucket, kind))
            if row is not None:
                kept = "application/json" if kind == "policy" else "application/xml"
                return Answer(200, {"content-type": kept}, row["document"])
            if stored.absent is None:
                return xml(stored.root, [])
            raise AwsError(*stored.absent, status=404, BucketName=request.bucket)

        def put(request: Request) -> Answer:
            self.present(request.bucket)
            _check(kind, stored, request.body)
            with self.store.write() as db:
                _keep(db, request.bucket, kind, request.body)
            return Answer(204 if kind in ("policy", "tagging") else 200)

        def delete(request: Request) -> Answer:
            self.present(request.bucket)
            with self.store.write() as db:
                db.execute("DELETE FROM s3_configurations WHERE bucket = ? AND kind = ?", (request.bucket, kind))
            return Answer(204)

        return {"GET": get, "PUT": put, "DELETE": delete}


def invalid_name(name: str) -> AwsError:
    return AwsError("InvalidBucketName", "The specified bucket is not valid.", BucketName=name)


def acl() -> Answer:
    """The only access list there is: the owner may do everything."""
    grantee = 'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'
    grants = [("Grant", [(grantee, OWNER), ("Permission", "FULL_CONTROL")])]
    return xml("AccessControlPolicy", [("Owner", OWNER), ("AccessControlList", grants)])


def refuse_acl(request: Request) -> None:
    """A bucket's owner owns its objects (S3's default since 2023): access lists cannot be set, but to the same."""
    canned = request.headers.get("x-amz-acl", "")
    grants = any(name.startswith("x-amz-grant-") for name in request.headers)
    if grants or canned not in ("", "private", "bucket-owner-full-control") or (request.body and not canned):
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs")


def _listed(bucket: Bucket, *, region: bool) -> Tree:
    tree = [("Name", bucket.name), ("CreationDate", iso_date(bucket.created))]
    return [*tree, ("BucketRegion", bucket.region)] if region else tree


def _constraint(body: bytes) -> str:
    if not body.strip():
        return ""
    return parse(body, "CreateBucketConfiguration").findtext("LocationConstraint", "") or ""


def _refuse_lock(request: Request) -> None:
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        raise unsupported("s3", "CreateBucket with Object Lock", REFUSED["object-lock"])


def _keep(db: object, bucket: str, kind: str, document: bytes) -> None:
    sql = "INSERT OR REPLACE INTO s3_configurations (bucket, kind, document) VALUES (?, ?, ?)"
    db.execute(sql, (bucket, kind, document))  # type: ignore[attr-defined]


def _check(kind: str, stored: Stored, body: bytes) -> None:
    if kind == "policy":
        try:
            policy = json.loads(body)
        except ValueError:
            policy = None
        if not isinstance(policy, dict) or "Statement" not in policy:
            raise AwsError("MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
        return
    document = parse(body, stored.root)
    if kind in REFUSED and not _harmless(kind, document):
        raise unsupported("s3", f"Put {stored.root}", REFUSED[kind])
    if kind not in ("notification", "logging") and not len(document):
        raise malformed(f"{stored.root} is empty")


def _harmless(kind: str, document: Element) -> bool:
    """Whether a document of a refused kind only says what is so anyway."""
    match kind:
        case "accelerate":
            return document.findtext("Status") == "Suspended"
        case "requestPayment":
            return document.findtext("Payer") == "BucketOwner"
    return kind == "notification" and not len(document)
