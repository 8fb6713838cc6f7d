"""Byte ranges, chunk decoding, checksum joining: the small rules of S3."""

from __future__ import annotations

import base64
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millpond.local.s3 import checksums
from millpond.local.s3.body import AwsChunked
from millpond.local.s3.conditions import byte_range
from millpond.local.s3.messages import escaped, parse
from millpond.local.service import AwsError


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=0-", 10, (0, 10)),
        ("bytes=-1", 10, (9, 1)),
        ("bytes=-20", 10, (0, 10)),
        ("bytes=5-100", 10, (5, 5)),
        ("bytes=5-4", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("items=0-1", 10, None),
        ("bytes=0-1,2-3", 10, None),
        (None, 10, None),
    ],
)
def test_ranges(header: str | None, size: int, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, size) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-1", 0)])
def test_ranges_that_cannot_be(header: str, size: int) -> None:
    with pytest.raises(AwsError) as caught:
        byte_range(header, size)
    assert (caught.value.code, caught.value.status) == ("InvalidRange", 416)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.integers(1, 7))
def test_chunks_may_arrive_in_any_pieces(chunks: list[bytes], step: int) -> None:
    wire = b"".join(b"%x;chunk-signature=ab\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    wire += b"0;chunk-signature=cd\r\nx-amz-checksum-crc32: AAAA\r\n\r\n"
    decoder = AwsChunked()
    out = b"".join(decoder.feed(wire[at : at + step]) for at in range(0, len(wire), step))
    assert (out, decoder.finished) == (b"".join(chunks), True)
    assert decoder.trailers == {"x-amz-checksum-crc32": "AAAA"}


@pytest.mark.parametrize("wire", [b"zz\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"x" * 5000])
def test_chunks_that_are_none(wire: bytes) -> None:
    with pytest.raises(AwsError) as caught:
        AwsChunked().feed(wire)
    assert caught.value.code == "IncompleteBody"


@given(
    st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=6),
    st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]),
)
def test_whole_object_checksums_join(parts: list[bytes], algorithm: str) -> None:
    joined = checksums.joined(algorithm, "FULL_OBJECT", [(checksums.of(algorithm, part), len(part)) for part in parts])
    assert joined == checksums.of(algorithm, b"".join(parts))


def test_published_check_values() -> None:
    """The check values of "123456789" in the catalogue of CRC algorithms."""
    wanted = {"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"}
    assert {name: base64.b64decode(checksums.of(name, b"123456789")).hex() for name in wanted} == wanted
    assert checksums.of("CRC32", b"x") == base64.b64encode(zlib.crc32(b"x").to_bytes(4, "big")).decode()


def test_text_in_xml() -> None:
    assert escaped('a<b>&"\x01\r\n\t') == "a&lt;b&gt;&amp;&quot;&#x1;&#xd;\n\t"
    assert parse(b'<Delete xmlns="urn:x"><Key> a </Key></Delete>', "Delete").findtext("Key") == " a "
