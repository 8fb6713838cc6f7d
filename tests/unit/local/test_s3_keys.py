"""Hostile keys against the folder plane, without a server: whatever the key, it round-trips and stays inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millpond.local import s3
from millpond.local.s3.keys import Folder, Link, representable, valid_bucket_name
from millpond.local.s3.listings import page
from millpond.local.s3.objects import Draft, Objects
from millpond.local.service import AwsError
from millpond.local.store import Store

SEGMENTS = st.sampled_from(
    ["a", "A", "b.c", "..", ".", "", "é", "k" * 256, "\0", "CON", "x:y", "end.", " ", "-", "\U0001f600"]
)
KEYS = st.one_of(
    st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
).filter(lambda key: 0 < len(key.encode()) <= 1024)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "endpoint.db")
    made.install(s3.S3.schema)
    yield made
    made.close()


@pytest.fixture
def objects(tmp_path: Path, store: Store) -> Objects:
    (tmp_path / "s3" / "bucket").mkdir(parents=True)
    return Objects(tmp_path / "s3", store)


def put(objects: Objects, key: str, body: bytes) -> None:
    staged = objects.stage_path()
    staged.write_bytes(body)
    objects.commit("bucket", key, staged, Draft(etag="0" * 32))


def read(objects: Objects, key: str) -> bytes:
    with objects.open("bucket", key) as (found, handle):
        return os.pread(handle, found.size, 0)


def listed(objects: Objects) -> list[str]:
    return [o.key for o in page(objects, "bucket", prefix="", delimiter="", start=b"", limit=1000).objects]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(keys=st.lists(KEYS, min_size=1, max_size=6, unique=True), rest=st.randoms())
def test_any_keys_live_side_by_side(objects: Objects, tmp_path: Path, keys: list[str], rest: object) -> None:
    for key in keys:
        put(objects, key, key.encode())
    assert listed(objects) == sorted(keys, key=str.encode)
    for key in keys:
        assert read(objects, key) == key.encode()
    assert {path.name for path in tmp_path.iterdir()} <= {
        "s3", "endpoint.db", "endpoint.db-wal", "endpoint.db-shm", "endpoint.lock"
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "s3").iterdir()} == {"bucket", ".endpoint"}
    for at, key in enumerate(keys):
        objects.delete("bucket", key)
        assert listed(objects) == sorted(keys[at + 1 :], key=str.encode)
    assert list((tmp_path / "s3" / "bucket").iterdir()) == []
    assert list(objects.blobs.iterdir()) == []
    assert list(objects.stage.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "file"),
    [("a/b", True), ("a/", False), ("a//b", False), ("/a", False), ("../a", False), ("a/./b", False), ("a\0b", False),
     ("é" * 127, True), ("é" * 128, False), ("...", True), ("_temporary/0/_SUCCESS", True), ("", False)],
)  # fmt: skip
def test_which_keys_are_files(key: str, file: bool) -> None:
    assert representable(key) is file


@pytest.mark.parametrize(
    "name", ["..", ".endpoint", ".state", "a/b", "ab", "A-b", "a" * 64, "a.-b..c", "1.2.3.4", "abc-"]
)
def test_names_that_are_no_buckets(name: str) -> None:
    assert not valid_bucket_name(name)


def test_a_link_is_never_written_through(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "s3/bucket/link").symlink_to(tmp_path / "outside")
    with pytest.raises(Link):
        put(objects, "link/x", b"1")
    assert list((tmp_path / "outside").iterdir()) == []
    assert Folder(tmp_path / "s3/bucket").open("link/../x") is None


def test_a_bucket_that_is_a_link_does_not_exist(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "s3/bucket").rmdir()
    (tmp_path / "s3/bucket").symlink_to(tmp_path)
    with pytest.raises(AwsError) as caught:
        put(objects, "x", b"1")
    assert caught.value.code == "NoSuchBucket"


def test_a_pipe_is_no_object(objects: Objects, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s3/bucket/pipe")
    assert objects.current("bucket", "pipe") is None
    assert listed(objects) == []


def test_case_is_kept_apart_on_a_disk_that_folds_it(objects: Objects) -> None:
    """The disk here does not fold case; looking at every spelling must then change nothing."""
    objects.exact = False
    for key in ("a/b", "A/b", "a/B"):
        put(objects, key, key.encode())
    assert [read(objects, key) for key in ("a/b", "A/b", "a/B")] == [b"a/b", b"A/b", b"a/B"]


def test_a_failed_write_leaves_the_old_object(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    put(objects, "k", b"old")

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="No space"):
        put(objects, "k", b"new")
    monkeypatch.undo()
    assert read(objects, "k") == b"old"
    assert objects.head("bucket", "k").etag == "0" * 32


def test_a_file_that_another_program_deletes(objects: Objects, tmp_path: Path) -> None:
    put(objects, "a/b", b"1")
    (tmp_path / "s3/bucket/a/b").unlink()
    assert objects.current("bucket", "a/b") is None
    assert listed(objects) == []
