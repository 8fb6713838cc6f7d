"""ItemReaders against a scripted S3: what cannot be read fails with a reason, and leaves nothing behind."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from millpond.engine import TaskCall
from millpond.local.service import Clock, Endpoint
from millpond.local.states import formats
from millpond.local.states.integrations import Failure
from millpond.local.states.items import ItemReaders
from millpond.local.states.records import SCHEMA
from millpond.local.store import Store

MAP_RUN = "arn:aws:states:us-east-1:000000000000:mapRun:m/label:0123"


class S3:
    """One object, whatever is asked for."""

    def __init__(self) -> None:
        self.body = b""

    def get_object(self, **place: str) -> dict[str, Any]:
        return {"Body": io.BytesIO(self.body)}


@pytest.fixture
def s3() -> S3:
    return S3()


@pytest.fixture
def readers(tmp_path: Path, s3: S3) -> Iterator[ItemReaders]:
    store = Store(tmp_path / "endpoint.db")
    endpoint = Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="a", secret_key="s")
    endpoint.connect = lambda service: s3
    yield ItemReaders(endpoint)
    store.close()


def called(map_run: str, execution: str) -> str:
    return f"{MAP_RUN}-{map_run}-{execution}"


def test_a_start_drops_what_nobody_goes_on_with(readers: ItemReaders) -> None:
    store, ends = readers.endpoint.store, ("RUNNING", "SUCCEEDED", "FAILED")
    store.install(SCHEMA)
    with store.write() as db:
        for n, execution in enumerate(ends, 1):
            db.execute(
                "INSERT INTO states_executions (n, arn, machine, name, status, started, input, revision, role, secret)"
                " VALUES (?, ?, 'm', 'e', ?, 0, '{}', 'r', 'role', x'00')",
                (n, execution, execution),
            )
            for map_run in ends:
                row = (called(map_run, execution), n, execution, map_run)
                db.execute(
                    "INSERT INTO states_map_runs (arn, n, parent, status, fork, label, express, started, items, size,"
                    " most, count, percent, redrives, written) VALUES (?, ?, ?, ?, 1, 'l', 0, 0, 0, 0, 0, 0, 0, 0, 0)",
                    row,
                )
                readers.folder(row[0]).mkdir()
    cut_short = readers.folder(MAP_RUN).parent / "tmp0123"
    cut_short.write_bytes(b"half an object")
    readers.start()
    left = {f"{map_run} {execution}" for map_run in ends for execution in ends
            if readers.folder(called(map_run, execution)).exists()}  # fmt: skip
    assert left == {"RUNNING RUNNING", "RUNNING FAILED", "FAILED RUNNING", "FAILED FAILED"}
    assert not cut_short.exists()


def call(kind: str) -> TaskCall:
    resource = "arn:aws:states:::s3:getObject"
    arguments: Any = {
        "Resource": resource,
        "Parameters": {"Bucket": "b", "Key": "k"},
        "ReaderConfig": {"InputType": kind},
        "MapRunArn": MAP_RUN,
    }
    return TaskCall(
        execution="e",
        machine_arn="m",
        state="S",
        path="S",
        resource=resource,
        kind="reader",
        service="s3",
        action="getObject",
        pattern="request",
        arguments=arguments,
        attempt=0,
    )


def damaged() -> bytes:
    raw = bytearray(gzip.compress(b'{"a": 1}\n' * 1000, mtime=0))
    raw[20] ^= 0xFF
    return bytes(raw)


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("JSONL", damaged(), "cannot be decompressed"),
        ("JSONL", gzip.compress(b'{"a": 1}\n', mtime=0)[:-4], "cannot be decompressed"),
        ("JSONL", b"\x28\xb5\x2f\xfd and no more", "cannot be decompressed"),
        ("CSV", b"a,b\n1,\xff\n", "not UTF-8"),
        ("JSON", b"[1, \xff]", "not UTF-8"),
        ("JSONL", b"1\n1e999\n", "Line 2 .* out of range of double"),
        ("JSON", b"[1, NaN]", "not valid JSON"),
    ],
)
def test_what_cannot_be_read_leaves_no_files(readers: ItemReaders, s3: S3, kind: str, body: bytes, why: str) -> None:
    s3.body = body
    with pytest.raises(Failure, match=why) as told:
        readers.read(call(kind))
    assert told.value.error == "States.ItemReaderFailed"
    assert not readers.folder(MAP_RUN).exists()


def zstandard(text: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as packed:
        packed.write(text)
    return bytes(sink.getvalue())


def test_zstandard_files_are_unpacked(readers: ItemReaders, s3: S3) -> None:
    s3.body = zstandard(b'{"a": 1}\n' * 100_000)
    assert readers.read(call("JSONL")) == {"Items": 100_000}
    assert readers.opened(MAP_RUN).item(99_999).value == {"a": 1}


def test_items_are_there_until_the_map_run_has_succeeded(readers: ItemReaders, s3: S3) -> None:
    s3.body = gzip.compress(b'{"a": 1}\n\n[2]\n', mtime=0)
    assert readers.read(call("JSONL")) == {"Items": 2}
    s3.body = b"changed meanwhile"
    assert readers.read(call("JSONL")) == {"Items": 2}, "a restart finds the same items"
    assert [readers.opened(MAP_RUN).item(index).value for index in (0, 1)] == [{"a": 1}, [2]]
    readers.drop(MAP_RUN)
    assert not readers.folder(MAP_RUN).exists()


@pytest.mark.parametrize(("kind", "why"), [("JSON", "Unterminated string"), ("JSONL", "Line 1 .* is longer than")])
def test_a_value_without_end_is_not_read_to_its_end(
    readers: ItemReaders, s3: S3, monkeypatch: pytest.MonkeyPatch, kind: str, why: str
) -> None:
    monkeypatch.setattr(formats, "MOST_VALUE", 1 << 20)
    reads: list[int] = []

    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            part = super().read(size)
            reads.append(len(part))
            return part

    monkeypatch.setattr(s3, "get_object", lambda **place: {"Body": Body(b'["' + b"x" * (1 << 24))})
    with pytest.raises(Failure, match=why):
        readers.read(call(kind))
    assert sum(reads) < 1 << 23
