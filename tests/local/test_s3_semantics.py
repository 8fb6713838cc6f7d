"""S3 through boto3: the acceptance table of the folder plane, one test a row."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.service import Endpoint


@pytest.fixture
def s3(aws: Callable[[str], Any]) -> Any:
    return aws("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def folder(endpoint: Endpoint, bucket: str) -> Path:
    return endpoint.buckets / bucket


def put(s3: Any, bucket: str, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())


def keys(s3: Any, bucket: str, **more: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]


def read(s3: Any, bucket: str, key: str) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def code(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("pair", [("a", "a/b"), ("c/d", "c"), ("p/q/r", "p/q"), ("p/q", "p/q/r")])
def test_a_key_and_keys_below_it(s3: Any, bucket: str, pair: tuple[str, str]) -> None:
    put(s3, bucket, *pair)
    assert keys(s3, bucket) == sorted(pair)
    assert [read(s3, bucket, key) for key in pair] == [key.encode() for key in pair]
    s3.delete_object(Bucket=bucket, Key=pair[0])
    assert keys(s3, bucket) == [pair[1]]
    assert code(s3.get_object, Bucket=bucket, Key=pair[0]) == ("NoSuchKey", 404)
    put(s3, bucket, *pair)
    s3.delete_object(Bucket=bucket, Key=pair[1])
    assert keys(s3, bucket) == [pair[0]]


@pytest.mark.parametrize(
    "key",
    [
        "e/",
        "x//y",
        "/lead",
        "../../esc",
        "a/../b",
        ".",
        "./x",
        "k" * 300 + "/z",
        "n\0ul",
        "tab\tnew\nline",
        "ü/é x+%25&",
    ],
)
def test_keys_that_no_file_can_have(s3: Any, bucket: str, folder: Path, key: str) -> None:
    before = {path for path in folder.parent.parent.rglob("*") if ".endpoint" not in path.parts}
    s3.put_object(Bucket=bucket, Key=key, Body=b"body", Metadata={"k": "v"})
    found = s3.get_object(Bucket=bucket, Key=key)
    assert (found["Body"].read(), found["Metadata"]) == (b"body", {"k": "v"})
    assert keys(s3, bucket) == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert read(s3, bucket, "copy") == b"body"
    for name in (key, "copy"):
        s3.delete_object(Bucket=bucket, Key=name)
    assert keys(s3, bucket) == []
    after = {path for path in folder.parent.parent.rglob("*") if ".endpoint" not in path.parts}
    assert after == before


def test_a_folder_marker_is_an_empty_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="e/", Body=b"")
    put(s3, bucket, "e/x")
    assert keys(s3, bucket, Prefix="e/") == ["e/", "e/x"]
    assert s3.head_object(Bucket=bucket, Key="e/")["ContentLength"] == 0
    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in listed["CommonPrefixes"]] == ["e/"]


def test_order_is_that_of_utf8_bytes(s3: Any, bucket: str) -> None:
    names = ["o/b", "o.x", "o-1", "o/a", "o", "é", "z", "Z", "\U0001f600", "\uff5e", "o/a/b", "o//x"]
    put(s3, bucket, *names)
    assert keys(s3, bucket) == sorted(names, key=str.encode)
    assert keys(s3, bucket, StartAfter="o-1") == [k for k in sorted(names, key=str.encode) if k.encode() > b"o-1"]
    assert keys(s3, bucket, Prefix="o/") == ["o//x", "o/a", "o/a/b", "o/b"]


def test_files_of_other_programs_are_objects(s3: Any, bucket: str, folder: Path) -> None:
    (folder / "year=2026").mkdir()
    (folder / "year=2026" / "part-0.parquet").write_bytes(b"rows")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    found = s3.get_object(Bucket=bucket, Key="year=2026/part-0.parquet")
    assert found["Body"].read() == b"rows"
    assert listed["ETag"] == found["ETag"]
    assert found["ETag"].endswith('-1"')
    assert found["ContentType"] == "binary/octet-stream"


def test_an_object_is_a_file(s3: Any, bucket: str, folder: Path) -> None:
    put(s3, bucket, "deep/down/x")
    assert (folder / "deep/down/x").read_bytes() == b"deep/down/x"


def test_a_rewritten_file_loses_its_metadata(s3: Any, bucket: str, folder: Path) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"one", Metadata={"a": "b"}, Tagging="x=y")
    (folder / "k").write_bytes(b"other")
    found = s3.get_object(Bucket=bucket, Key="k")
    assert (found["Body"].read(), found["Metadata"]) == (b"other", {})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []


def test_an_emptied_folder_is_no_prefix(s3: Any, bucket: str, folder: Path) -> None:
    put(s3, bucket, "gone/a/b", "stays")
    s3.delete_object(Bucket=bucket, Key="gone/a/b")
    (folder / "never").mkdir()
    assert "CommonPrefixes" not in s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert not (folder / "gone").exists()


def test_user_metadata_keeps_its_spelling(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket,
        Key="k",
        Metadata={"foo_bar": "1", "A-b": "2  x"},
        ContentType="text/csv",
        CacheControl="no-store",
    )
    found = s3.head_object(Bucket=bucket, Key="k")
    assert found["Metadata"] == {"foo_bar": "1", "a-b": "2 x"} or found["Metadata"] == {"foo_bar": "1", "a-b": "2  x"}
    assert (found["ContentType"], found["CacheControl"]) == ("text/csv", "no-store")


def test_if_none_match_star_does_not_overwrite(s3: Any, bucket: str) -> None:
    put(s3, bucket, "k")
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"new", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert read(s3, bucket, "k") == b"k"
    s3.put_object(Bucket=bucket, Key="fresh", Body=b"new", IfNoneMatch="*")


def test_if_match_on_put(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"3", IfMatch=etag) == ("PreconditionFailed", 412)
    assert code(s3.put_object, Bucket=bucket, Key="none", Body=b"3", IfMatch=etag) == ("NoSuchKey", 404)


def test_conditional_reads(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert s3.get_object(Bucket=bucket, Key="k", IfMatch=etag)["Body"].read() == b"1"
    assert code(s3.get_object, Bucket=bucket, Key="k", IfMatch='"nope"') == ("PreconditionFailed", 412)
    assert code(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag)[1] == 304
    assert code(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=modified)[1] == 304
    assert code(s3.head_object, Bucket=bucket, Key="k", IfUnmodifiedSince="2001-01-01")[1] == 412


def test_tags_do_not_touch_the_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"1", Tagging="a=1&b=x%20y")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [
        {"Key": "a", "Value": "1"},
        {"Key": "b", "Value": "x y"},
    ]
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    assert read(s3, bucket, "k") == b"1"
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 1
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = [{"Key": str(n), "Value": ""} for n in range(11)]
    assert code(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging={"TagSet": many})[0] == "BadRequest"


def test_ranges(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    for spec, body, content_range in [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
    ]:
        found = s3.get_object(Bucket=bucket, Key="k", Range=spec)
        assert (found["Body"].read(), found["ContentRange"]) == (body, content_range)
        assert s3.head_object(Bucket=bucket, Key="k", Range=spec)["ContentLength"] == len(body)
    for spec in ("bytes=10-", "bytes=-0", "bytes=20-30"):
        assert code(s3.get_object, Bucket=bucket, Key="k", Range=spec) == ("InvalidRange", 416)
    for spec in ("bytes=5-2", "lines=1-2", "bytes=0-1,3-4"):
        assert s3.get_object(Bucket=bucket, Key="k", Range=spec)["Body"].read() == b"0123456789"


def test_more_than_a_page(s3: Any, endpoint: Endpoint, bucket: str, folder: Path) -> None:
    for n in range(2345):
        (folder / f"d{n % 7}").mkdir(exist_ok=True)
        (folder / f"d{n % 7}" / f"{n:05d}").touch()
    put(s3, bucket, "d3//blob", "d3")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1000}))
    found = [item["Key"] for page in pages for item in page["Contents"]]
    assert [page["KeyCount"] for page in pages] == [1000, 1000, 347]
    assert found == sorted(found, key=str.encode)
    assert len(set(found)) == 2347
    older = [i["Key"] for p in s3.get_paginator("list_objects").paginate(Bucket=bucket) for i in p["Contents"]]
    assert older == found
    assert [item.key for item in endpoint.services["s3"].objects(bucket, "")] == found
    groups = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 3}
    )
    assert [p["Prefix"] for page in groups for p in page.get("CommonPrefixes", [])] == [f"d{n}/" for n in range(7)]
    groups = s3.get_paginator("list_objects").paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 3})
    assert [p["Prefix"] for page in groups for p in page.get("CommonPrefixes", [])] == [f"d{n}/" for n in range(7)]


def test_other_delimiters_and_markers(s3: Any, bucket: str) -> None:
    put(s3, bucket, "a-1", "a-2", "b", "c-1-x", "c-2")
    listed = s3.list_objects_v2(Bucket=bucket, Delimiter="-")
    assert [p["Prefix"] for p in listed["CommonPrefixes"]] == ["a-", "c-"]
    assert [k["Key"] for k in listed["Contents"]] == ["b"]
    assert listed["KeyCount"] == 3
    first = s3.list_objects(Bucket=bucket, Delimiter="-", MaxKeys=1)
    assert (first["NextMarker"], first["IsTruncated"]) == ("a-", True)
    second = s3.list_objects(Bucket=bucket, Delimiter="-", MaxKeys=1, Marker=first["NextMarker"])
    assert [k["Key"] for k in second["Contents"]] == ["b"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert code(s3.list_objects_v2, Bucket=bucket, ContinuationToken="%%%")[0] == "InvalidArgument"


def test_delete_many_answers_for_each(s3: Any, bucket: str) -> None:
    put(s3, bucket, "a", "b & c", "d")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b & c"}, {"Key": "never"}]})
    assert [item["Key"] for item in answer["Deleted"]] == ["a", "b & c", "never"]
    assert "Deleted" not in s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "d"}], "Quiet": True})
    assert keys(s3, bucket) == []
    too_many = [{"Key": str(n)} for n in range(1001)]
    assert code(s3.delete_objects, Bucket=bucket, Delete={"Objects": too_many})[0] == "MalformedXML"


def test_copy(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a b", Body=b"1", Metadata={"m": "1"}, Tagging="t=1", ContentType="text/x")
    source = {"Bucket": bucket, "Key": "a b"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    kept = s3.get_object(Bucket=bucket, Key="kept")
    assert (kept["Body"].read(), kept["Metadata"], kept["ContentType"], kept["TagCount"]) == (
        b"1",
        {"m": "1"},
        "text/x",
        1,
    )
    s3.copy_object(Bucket=bucket, Key="new", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="new")["Metadata"] == {"n": "2"}
    assert code(s3.copy_object, Bucket=bucket, Key="a b", CopySource=source)[0] == "InvalidRequest"
    s3.copy_object(Bucket=bucket, Key="a b", CopySource=source, MetadataDirective="REPLACE", Metadata={"z": "3"})
    assert s3.get_object(Bucket=bucket, Key="a b")["Metadata"] == {"z": "3"}
    assert code(s3.copy_object, Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "no"})[0] == "NoSuchKey"
    assert code(s3.copy_object, Bucket=bucket, Key="x", CopySource=source, CopySourceIfMatch="no")[1] == 412


def test_deleting_what_is_not_there(s3: Any, bucket: str) -> None:
    assert s3.delete_object(Bucket=bucket, Key="never")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert code(s3.head_object, Bucket=bucket, Key="never") == ("404", 404)


def test_symbolic_links_are_not_followed(s3: Any, bucket: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "file").symlink_to(tmp_path / "secret")
    (folder / "dir").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    assert keys(s3, bucket) == []
    for key in ("file", "dir/secret", "loop/file"):
        assert code(s3.get_object, Bucket=bucket, Key=key) == ("NoSuchKey", 404)
    assert code(s3.put_object, Bucket=bucket, Key="dir/new", Body=b"")[0] == "AccessDenied"
    s3.delete_object(Bucket=bucket, Key="dir/secret")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]
    put(s3, bucket, "file")  # replaces the link itself
    assert (tmp_path / "secret").read_text() == "s"
    s3.delete_object(Bucket=bucket, Key="file")
    s3.delete_bucket(Bucket=bucket)
    assert (tmp_path / "secret").exists()


def test_a_folder_removed_under_us(s3: Any, bucket: str, folder: Path) -> None:
    put(s3, bucket, "x", "y//z")
    import shutil

    shutil.rmtree(folder)
    for call, more in [(s3.get_object, {"Key": "x"}), (s3.list_objects_v2, {}), (s3.put_object, {"Key": "x"})]:
        assert code(call, Bucket=bucket, **more) == ("NoSuchBucket", 404)
    assert not folder.exists()
    s3.create_bucket(Bucket=bucket)
    assert keys(s3, bucket) == []


def test_unknown_sub_resources_never_store_an_object(s3: Any, bucket: str) -> None:
    put(s3, bucket, "k")
    status = s3.meta.events  # one refused operation of each kind
    assert status is not None
    refusals = [
        (s3.put_object_retention, {"Key": "k", "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": "2030-01-01"}}),
        (s3.restore_object, {"Key": "k"}),
        (s3.put_object_legal_hold, {"Key": "k", "LegalHold": {"Status": "ON"}}),
        (s3.get_object_torrent, {"Key": "k"}),
        (s3.put_bucket_replication, {"ReplicationConfiguration": {"Role": "r", "Rules": []}}),
    ]
    for call, more in refusals:
        assert code(call, Bucket=bucket, **more) == ("NotImplemented", 501)
    assert read(s3, bucket, "k") == b"k"


def test_etag_is_the_md5(s3: Any, bucket: str) -> None:
    body = b"x" * 3_000_000
    assert s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert read(s3, bucket, "k") == body


def test_readers_see_whole_objects_while_writers_write(endpoint: Endpoint, s3: Any, bucket: str) -> None:
    """Body, ETag and metadata belong together at every moment, and a key that exists never looks absent."""
    from concurrent.futures import ThreadPoolExecutor

    loopback = endpoint.client("s3")
    s3.put_object(Bucket=bucket, Key="k", Body=b"0" * 1000, Metadata={"n": "0"})

    def write(n: int) -> None:
        body = str(n).encode() * 1000
        loopback.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"n": str(n)})
        if n % 5 == 0:
            loopback.put_object(Bucket=bucket, Key="k/below" if n % 10 else "other", Body=b"")
            loopback.delete_object(Bucket=bucket, Key="k/below")

    def look(_: int) -> None:
        found = loopback.get_object(Bucket=bucket, Key="k")
        body = found["Body"].read()
        assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        assert body == found["Metadata"]["n"].encode() * 1000

    with ThreadPoolExecutor(6) as threads:
        work = [threads.submit(write if n % 2 else look, n) for n in range(160)]
        for done in work:
            done.result()
    assert keys(s3, bucket) == ["k", "other"] or keys(s3, bucket) == ["k"]
