"""S3 through boto3 and pyarrow: uploads in parts, checksums, streams, presigned URLs, versions, buckets."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import urllib.request
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from millpond.local.service import Endpoint

MIB = 1 << 20


@pytest.fixture
def s3(aws: Callable[[str], Any]) -> Any:
    return aws("s3")


@pytest.fixture
def signer(endpoint: Endpoint) -> Any:
    """A client that presigns with Signature Version 4."""
    session = boto3.session.Session(endpoint.access_key, endpoint.secret_key, region_name=endpoint.region)
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    return session.client("s3", endpoint_url=endpoint.url, config=config)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"t-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def code(call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"]


def read(s3: Any, bucket: str, key: str, **more: Any) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


# Multipart


def begin(s3: Any, bucket: str, key: str = "big", **more: Any) -> str:
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]


def upload(s3: Any, bucket: str, bodies: list[bytes], key: str = "big", **more: Any) -> dict[str, Any]:
    upload_id = begin(s3, bucket, key, **more)
    names = {"ChecksumAlgorithm": more["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in more else {}
    parts = []
    for number, body in enumerate(bodies, 1):
        done = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body, **names)
        sums = {
            k: v
            for k, v in done.items()
            if k.startswith("Checksum") and k == f"Checksum{names.get('ChecksumAlgorithm')}"
        }
        parts.append({"PartNumber": number, "ETag": done["ETag"], **sums})
    return s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts})


def test_multipart_etag_and_parts(s3: Any, bucket: str, endpoint: Endpoint) -> None:
    bodies = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"tail"]
    done = upload(s3, bucket, bodies, Metadata={"m": "1"}, ContentType="text/x")
    md5 = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    assert done["ETag"] == f'"{md5}-3"'
    found = s3.get_object(Bucket=bucket, Key="big")
    assert found["Body"].read() == b"".join(bodies)
    assert (found["ETag"], found["Metadata"], found["ContentType"]) == (done["ETag"], {"m": "1"}, "text/x")
    third = s3.get_object(Bucket=bucket, Key="big", PartNumber=3)
    assert (third["Body"].read(), third["PartsCount"]) == (b"tail", 3)
    assert (endpoint.buckets / bucket / "big").stat().st_size == 10 * MIB + 4
    assert not list((endpoint.buckets / ".endpoint/uploads").iterdir())


def test_a_repeated_complete_gets_the_same_answer(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    part = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload_id, PartNumber=1, Body=b"x")
    same = {"Bucket": bucket, "Key": "big", "UploadId": upload_id}
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    first = s3.complete_multipart_upload(**same, MultipartUpload=parts)
    assert s3.complete_multipart_upload(**same, MultipartUpload=parts)["ETag"] == first["ETag"]
    assert code(s3.upload_part, **same, PartNumber=2, Body=b"") == "NoSuchUpload"


def test_what_complete_refuses(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    same = {"Bucket": bucket, "Key": "big", "UploadId": upload_id}
    etags = [s3.upload_part(**same, PartNumber=n, Body=b"small")["ETag"] for n in (1, 2)]

    def complete(*parts: tuple[int, str]) -> str:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return code(s3.complete_multipart_upload, **same, MultipartUpload={"Parts": listed})

    assert complete((1, etags[0]), (2, etags[1])) == "EntityTooSmall"
    assert complete((2, etags[1]), (1, etags[0])) == "InvalidPartOrder"
    assert complete((1, '"0123456789abcdef0123456789abcdef"')) == "InvalidPart"
    assert complete((3, etags[0])) == "InvalidPart"
    assert complete() == "MalformedXML"
    assert code(s3.upload_part, **same, PartNumber=10_001, Body=b"") == "InvalidArgument"
    listed = s3.list_parts(**same, MaxParts=1)
    assert ([p["PartNumber"] for p in listed["Parts"]], listed["IsTruncated"], listed["NextPartNumberMarker"]) == (
        [1],
        True,
        1,
    )
    assert [u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload_id]
    s3.abort_multipart_upload(**same)
    assert code(s3.list_parts, **same) == "NoSuchUpload"
    assert code(s3.get_object, Bucket=bucket, Key="big") == "NoSuchKey"


def test_upload_part_copy(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789" * MIB)
    upload_id = begin(s3, bucket)
    same = {"Bucket": bucket, "Key": "big", "UploadId": upload_id, "CopySource": f"{bucket}/source"}
    one = s3.upload_part_copy(**same, PartNumber=1, CopySourceRange=f"bytes=0-{6 * MIB - 1}")["CopyPartResult"]["ETag"]
    two = s3.upload_part_copy(**same, PartNumber=2, CopySourceRange="bytes=3-5")["CopyPartResult"]["ETag"]
    assert code(s3.upload_part_copy, **same, PartNumber=3, CopySourceRange="bytes=0-99999999") == "InvalidArgument"
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    s3.complete_multipart_upload(Bucket=bucket, Key="big", UploadId=upload_id, MultipartUpload={"Parts": parts})
    assert read(s3, bucket, "big")[-4:] == b"5" + b"345"


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums(s3: Any, bucket: str, algorithm: str) -> None:
    name = f"Checksum{algorithm}"
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"body", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert put[name] == head[name]
    assert code(s3.put_object, Bucket=bucket, Key="bad", Body=b"else", **{name: put[name]}) == "BadDigest"
    assert code(s3.head_object, Bucket=bucket, Key="bad") == "404"
    done = upload(s3, bucket, [b"a" * 5 * MIB, b"tail"], ChecksumAlgorithm=algorithm)
    whole = s3.get_object_attributes(
        Bucket=bucket, Key="big", ObjectAttributes=["Checksum", "ObjectParts", "ObjectSize"]
    )
    assert whole["Checksum"][name] == done[name]
    assert (whole["ObjectParts"]["TotalPartsCount"], whole["ObjectSize"]) == (2, 5 * MIB + 4)
    assert done["ChecksumType"] == ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    assert done[name].endswith("-2") is (algorithm != "CRC64NVME")


def test_a_whole_object_crc_of_parts(s3: Any, bucket: str) -> None:
    bodies = [b"a" * 5 * MIB, b"tail"]
    done = upload(s3, bucket, bodies, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    assert done["ChecksumCRC32"] == base64.b64encode(zlib.crc32(b"".join(bodies)).to_bytes(4, "big")).decode()
    assert read(s3, bucket, "big", ChecksumMode="ENABLED") == b"".join(bodies)


def test_content_md5(s3: Any, bucket: str) -> None:
    right = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5=right)
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5=right) == "BadDigest"
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"y", ContentMD5="AAAA") == "InvalidDigest"
    assert read(s3, bucket, "k") == b"x"


def test_the_transfer_manager(s3: Any, bucket: str, tmp_path: Path) -> None:
    body = bytes(range(256)) * 4096 * 20
    config = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=6 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "k", Config=config)
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"].endswith('-4"')
    s3.download_file(bucket, "k", str(tmp_path / "back"), Config=config)
    assert (tmp_path / "back").read_bytes() == body
    s3.copy({"Bucket": bucket, "Key": "k"}, bucket, "copy", Config=config)
    assert hashlib.md5(read(s3, bucket, "copy")).digest() == hashlib.md5(body).digest()


# Streams


def presigned(s3: Any, operation: str, bucket: str, key: str, **more: Any) -> str:
    return s3.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": key, **more}, ExpiresIn=60)


def send(url: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def signed(endpoint: Endpoint, method: str, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
    """A request with a signature but without boto3's own ideas about bodies."""
    request = AWSRequest(method, endpoint.url + path, headers=headers, data=body)
    request.context["checksum"] = {"request_algorithm": {"in": "trailer" if "x-amz-trailer" in headers else ""}}
    S3SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "s3", endpoint.region).add_auth(request)
    return send(request.url, method, body, **dict(request.headers))


def test_presigned(s3: Any, signer: Any, bucket: str) -> None:
    url = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/é"}, ExpiresIn=60)
    assert send(url, "PUT", b"body") == (200, b"")
    with urllib.request.urlopen(
        presigned(signer, "get_object", bucket, "a b/é", ResponseContentType="text/x")
    ) as answer:
        assert (answer.read(), answer.headers["content-type"]) == (b"body", "text/x")
    status, answer = send(url.replace("a%20b", "a%20c"))
    assert (status, b"SignatureDoesNotMatch" in answer) == (403, True)
    url = presigned(s3, "put_object", bucket, "typed", ContentType="text/csv")  # Signature Version 2
    assert "&content-type=" in url
    assert send(url, "PUT", b"a,b", **{"Content-Type": "text/csv"}) == (200, b"")
    assert s3.head_object(Bucket=bucket, Key="typed")["ContentType"] == "text/csv"


def test_chunked_transfer(s3: Any, signer: Any, bucket: str) -> None:
    url = presigned(signer, "put_object", bucket, "k")
    assert send(url, "PUT", iter([b"one,", b"two,", b"x" * 3 * MIB]))[0] == 200
    assert read(s3, bucket, "k") == b"one,two," + b"x" * 3 * MIB


def test_aws_chunked_with_a_trailer(s3: Any, endpoint: Endpoint, bucket: str) -> None:
    crc = base64.b64encode(zlib.crc32(b"hello world").to_bytes(4, "big")).decode()

    def put(trailer: str, *, length: str = "11") -> tuple[int, bytes]:
        body = f"5;chunk-signature=00\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n".encode()
        headers = {"content-encoding": "aws-chunked,gzip", "x-amz-decoded-content-length": length,
                   "x-amz-trailer": "x-amz-checksum-crc32"}  # fmt: skip
        return signed(endpoint, "PUT", f"/{bucket}/k", body, **headers)

    assert put(crc)[0] == 200
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["ContentEncoding"]) == (b"hello world", "gzip")
    status, answer = put("AAAAAA==")
    assert (status, b"BadDigest" in answer) == (400, True)
    status, answer = put(crc, length="12")
    assert (status, b"IncompleteBody" in answer) == (400, True)


def test_bad_xml_is_refused(s3: Any, endpoint: Endpoint, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k")
    for body in (
        b"",
        b"<Tagging>",
        b"no",
        b"<Other/>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><Tagging>&x;</Tagging>',
        b"\xff\xfe",
    ):
        status, answer = signed(endpoint, "PUT", f"/{bucket}/k?tagging", body)
        assert (status, b"MalformedXML" in answer) == (400, True), body


def test_pyarrow_writes_and_reads(s3: Any, bucket: str, endpoint: Endpoint) -> None:
    import pyarrow as pa
    import pyarrow.dataset as ds
    from pyarrow import fs
    from pyarrow import parquet as pq

    files = fs.S3FileSystem(
        access_key=endpoint.access_key, secret_key=endpoint.secret_key, region=endpoint.region, scheme="http",
        endpoint_override=f"127.0.0.1:{endpoint.port}",
    )  # fmt: skip
    table = pa.table({"n": list(range(100_000)), "day": ["a", "b"] * 50_000})
    pq.write_table(table, f"{bucket}/one.parquet", filesystem=files)
    assert pq.read_table(f"{bucket}/one.parquet", filesystem=files) == table
    assert pq.read_table(endpoint.buckets / bucket / "one.parquet") == table
    ds.write_dataset(table, f"{bucket}/set", format="parquet", partitioning=["day"], filesystem=files)
    assert ds.dataset(f"{bucket}/set", partitioning=["day"], filesystem=files).count_rows() == 100_000
    with files.open_output_stream(f"{bucket}/streamed") as out:
        for _ in range(12):
            out.write(b"x" * MIB)
    assert s3.head_object(Bucket=bucket, Key="streamed")["ContentLength"] == 12 * MIB
    files.delete_dir(f"{bucket}/set")
    assert [i.path for i in files.get_file_info(fs.FileSelector(bucket))] == [
        f"{bucket}/one.parquet",
        f"{bucket}/streamed",
    ]


# Versions


def test_versions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in (b"1", b"2")]
    assert read(s3, bucket, "k") == b"2"
    assert [read(s3, bucket, "k", VersionId=i) for i in ("null", *ids)] == [b"before", b"1", b"2"]
    gone = s3.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    assert code(s3.get_object, Bucket=bucket, Key="k") == "NoSuchKey"
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId=gone["VersionId"]) == "MethodNotAllowed"
    listed = s3.list_object_versions(Bucket=bucket)
    assert [(m["VersionId"], m["IsLatest"]) for m in listed["DeleteMarkers"]] == [(gone["VersionId"], True)]
    assert [(v["VersionId"], v["IsLatest"]) for v in listed["Versions"]] == [
        (ids[1], False),
        (ids[0], False),
        ("null", False),
    ]
    paged = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [v["VersionId"] for page in paged for v in page.get("Versions", [])] == [ids[1], ids[0], "null"]
    assert code(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=gone["VersionId"])
    assert read(s3, bucket, "k") == b"2"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=ids[1])
    assert read(s3, bucket, "k") == b"1"
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId=ids[1]) == "NoSuchVersion"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=ids[0])
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    s3.delete_bucket(Bucket=bucket)


def test_suspended_versions(s3: Any, bucket: str) -> None:
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        s3.put_object(Bucket=bucket, Key="k", Body=status.encode())
    s3.put_object(Bucket=bucket, Key="k", Body=b"again")
    versions = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [v["VersionId"] == "null" for v in versions] == [True, False]
    assert read(s3, bucket, "k") == b"again"
    assert s3.delete_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    listed = s3.list_object_versions(Bucket=bucket)
    assert ([m["VersionId"] for m in listed["DeleteMarkers"]], len(listed["Versions"])) == (["null"], 1)


# Buckets


def test_buckets(s3: Any, bucket: str) -> None:
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.create_bucket(Bucket=bucket)  # us-east-1 answers success to its owner
    s3.put_object(Bucket=bucket, Key="x")
    assert code(s3.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    s3.delete_object(Bucket=bucket, Key="x")
    s3.delete_bucket(Bucket=bucket)
    assert code(s3.head_bucket, Bucket=bucket) == "404"
    assert code(s3.list_objects_v2, Bucket=bucket) == "NoSuchBucket"
    elsewhere = {"LocationConstraint": "eu-west-1"}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=elsewhere)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    assert code(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=elsewhere) == "BucketAlreadyOwnedByYou"


@pytest.mark.parametrize("name", ["UPPER", "a..b", "192.168.1.1", "xn--a", "under_score", "-dash", "ends-"])
def test_bucket_names(s3: Any, name: str) -> None:
    assert code(s3.create_bucket, Bucket=name) == "InvalidBucketName"


def test_configuration_comes_back_as_it_was_put(s3: Any, bucket: str) -> None:
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    s3.delete_bucket_policy(Bucket=bucket)
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [rule]
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert code(s3.put_bucket_policy, Bucket=bucket, Policy="{") == "MalformedPolicy"
    assert code(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == "AccessControlListNotSupported"
    topic = {
        "TopicConfigurations": [{"TopicArn": "arn:aws:sns:us-east-1:000000000000:t", "Events": ["s3:ObjectCreated:*"]}]
    }
    assert (
        code(s3.put_bucket_notification_configuration, Bucket=bucket, NotificationConfiguration=topic)
        == "NotImplemented"
    )


def test_doors_for_other_rooms(s3: Any, bucket: str, endpoint: Endpoint, tmp_path: Path) -> None:
    room = endpoint.services["s3"]
    (tmp_path / "f").write_bytes(b"from a file")
    room.put_file(bucket, "a/b", tmp_path / "f")
    room.put_file(bucket, "a", tmp_path / "f")
    assert read(s3, bucket, "a/b") == b"from a file"
    assert [(o.key, o.size, o.path.read_bytes()) for o in room.objects(bucket, "a")] == [
        ("a", 11, b"from a file"),
        ("a/b", 11, b"from a file"),
    ]
    assert room.path(bucket, "a/b") == endpoint.buckets / bucket / "a/b"
    assert endpoint.client("s3").get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"from a file"
