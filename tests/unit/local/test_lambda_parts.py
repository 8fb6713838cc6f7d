"""Lambda's small parts: names, log sinks, the words for exits, safe unpacking."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from millpond.local.lambda_ import names, package, workers
from millpond.local.lambda_.names import Name
from millpond.local.service import AwsError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f", Name("f")),
        ("f:7", Name("f", "7")),
        ("f:$LATEST", Name("f", "$LATEST")),
        ("000000000000:function:f", Name("f")),
        ("000000000000:function:f:live", Name("f", "live")),
        ("arn:aws:lambda:us-east-1:000000000000:function:f", Name("f")),
        ("arn:aws:lambda:us-east-1:000000000000:function:f:live", Name("f", "live")),
        ("function:f", Name("f")),
    ],
)
def test_names(text: str, expected: Name) -> None:
    assert names.parse(text) == expected


@pytest.mark.parametrize("text", ["", "a b", "a" * 65, "arn:aws:s3:::b", "f:", ";$(id)", "../f", "f:g:h"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(AwsError) as caught:
        names.parse(text)
    assert caught.value.code == "ValidationException"


def test_two_qualifiers_must_agree() -> None:
    assert names.parse("f:1", "1") == Name("f", "1")
    with pytest.raises(AwsError):
        names.parse("f:1", "2")


def test_a_short_log_is_written_at_once() -> None:
    written: list[str] = []
    sink = workers.LogSink(lambda events: written.extend(text for _, text in events))
    sink.lines(["one", "", "two\rlines"])
    assert written == ["one", "two\nlines"]
    assert sink.close() == b"one\ntwo\nlines\n"
    assert written == ["one", "two\nlines"]


def test_a_long_log_keeps_both_ends() -> None:
    written: list[str] = []
    sink = workers.LogSink(lambda events: written.extend(text for _, text in events))
    lines = [f"{n:06d}" + "x" * 94 for n in range(50_000)]
    for at in range(0, len(lines), 100):
        sink.lines(lines[at : at + 100])
    tail = sink.close()
    marker = next(n for n, text in enumerate(written) if "left out" in text)
    assert (written[0], written[-1]) == (lines[0], lines[-1])
    assert sum(map(len, written[:marker])) == pytest.approx(workers.LOG_KEPT, abs=200)
    assert sum(map(len, written[marker + 1 :])) == pytest.approx(workers.LOG_KEPT, abs=200)
    assert len(tail) == workers.TAIL


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "Runtime exited without providing a reason"),
        (3, "Runtime exited with error: exit status 3"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_exits(code: int, words: str) -> None:
    assert workers.exit_reason(code) == words


def archive(*entries: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as opened:
        for name, body, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            opened.writestr(entry, body)
    return out.getvalue()


def test_unpacking_keeps_what_may_run_and_is_done_once(tmp_path: Path) -> None:
    packed = archive(("bin/tool", b"#!", 0o755), ("a/b.py", b"x", 0o600), ("empty/", b"", 0o40755))
    folder = package.unpack(packed, tmp_path)
    assert (folder / "bin/tool").stat().st_mode & 0o777 == 0o755
    assert (folder / "a/b.py").stat().st_mode & 0o777 == 0o644
    assert (folder / "empty").is_dir()
    (folder / "mark").touch()
    assert package.unpack(packed, tmp_path) == folder
    assert (folder / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_size_that_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of this zip says 1 byte; what comes out is counted all the same."""
    packed = bytearray(archive(("a", b"y" * 5000, 0o644)))
    at = packed.index(b"PK\x01\x02") + 24
    packed[at : at + 4] = (1).to_bytes(4, "little")
    monkeypatch.setattr(package, "MAX_UNZIPPED", 1000)
    with pytest.raises(AwsError):
        package.unpack(bytes(packed), tmp_path)
    assert list(tmp_path.iterdir()) == []
