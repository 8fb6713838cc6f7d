"""Zip files of functions and layers: checked before anything is written, unpacked beside, then renamed into place.

Refused: absolute paths, `..`, backslashes, links and devices, encrypted entries, more than 250 MB unzipped (AWS's
limit), and archives that unpack to more than 200 times their size. Sizes are counted while unpacking, since a zip's
directory may lie.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from millpond.local.service import AwsError

MAX_UNZIPPED = 262_144_000  # bytes, AWS
MAX_RATIO = 200
RATIO_FROM = 10 << 20  # a small archive may be as dense as it likes
MAX_ENTRIES = 200_000
CHUNK = 1 << 20


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message, Type="User")


def sha256_of(archive: bytes) -> str:
    """The code's hash as Lambda shows it."""
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


def unpack(archive: bytes, into: Path) -> Path:
    """Unpack into the folder `into/<hash>` (kept when it is there) and return it."""
    target = into / hashlib.sha256(archive).hexdigest()
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}.{id(archive):x}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            _check(opened.infolist(), len(archive))
            _extract(opened, partial, len(archive))
        if not target.is_dir():
            os.rename(partial, target)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
        raise invalid("Could not unzip uploaded file. Please check your file, then try to upload again.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _check(entries: list[zipfile.ZipInfo], packed: int) -> None:
    if not entries:
        raise invalid("Uploaded file must be a non-empty zip")
    if len(entries) > MAX_ENTRIES:
        raise invalid(f"The archive holds more than {MAX_ENTRIES} entries")
    for entry in entries:
        if not _safe(entry):
            raise invalid(f"The archive's entry {entry.filename[:200]!r} is not a plain file or folder below its root")
    _check_size(sum(entry.file_size for entry in entries), packed)


def _check_size(unpacked: int, packed: int) -> None:
    if unpacked > MAX_UNZIPPED:
        raise invalid(f"Unzipped size must be smaller than {MAX_UNZIPPED} bytes")
    if unpacked > RATIO_FROM and unpacked > MAX_RATIO * packed:
        raise invalid(f"The archive unpacks to more than {MAX_RATIO} times its size")


def _safe(entry: zipfile.ZipInfo) -> bool:
    name, mode = entry.filename, entry.external_attr >> 16
    kind = stat.S_IFMT(mode)
    parts = PurePosixPath(name).parts
    plain = bool(parts) and ".." not in parts and not name.startswith("/") and "\\" not in name and "\0" not in name
    drive = len(name) > 1 and name[1] == ":"
    return plain and not drive and not entry.flag_bits & 1 and kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _extract(opened: zipfile.ZipFile, root: Path, packed: int) -> None:
    written = 0
    for entry in opened.infolist():
        path = root / PurePosixPath(entry.filename)
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise invalid(f"The archive holds {entry.filename!r} as a file and as a folder")
        with opened.open(entry) as source, path.open("wb") as target:
            while chunk := source.read(CHUNK):
                written += len(chunk)
                _check_size(written, packed)
                target.write(chunk)
        executable = (entry.external_attr >> 16) & 0o100
        path.chmod(0o755 if executable else 0o644)
