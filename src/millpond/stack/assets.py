"""The files that a stack needs in S3: scripts as they are, function folders as zip files.

Keys hold the hash of the content (`assets/<hash>/jobs/join.py`), so an unchanged file is never uploaded twice and the
original path stays readable in logs and errors. Zip files are deterministic: sorted names, a fixed date.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from millpond.errors import ProjectError

LEFT_OUT = {"__pycache__", ".DS_Store", ".git", ".venv", ".mypy_cache", ".pytest_cache"}


@dataclass(frozen=True)
class Asset:
    """A file for S3: `key` in the assets bucket, its content, the path it was made from."""

    key: str
    content: bytes
    source: Path


def file(root: Path, path: str) -> Asset:
    """A file of the project as it is."""
    source = _inside(root, path)
    if not source.is_file():
        raise ProjectError(f"there is no file {path} in {root}")
    content = source.read_bytes()
    return Asset(f"assets/{_hash(content)}/{path}", content, source)


def folder(root: Path, path: str, *, python: str, cache: Path) -> Asset:
    """A function's folder as a zip file, with what its `requirements.txt` asks for installed beside it."""
    source = _inside(root, path)
    if not source.is_dir():
        raise ProjectError(f"there is no folder {path} in {root}")
    files = dict(_files(source))
    requirements = source / "requirements.txt"
    if requirements.is_file():
        files = dict(_files(_install(requirements, python, cache))) | files
    content = _zip(files)
    return Asset(f"assets/{_hash(content)}/{path}.zip", content, source)


def _inside(root: Path, path: str) -> Path:
    source = (root / path).resolve()
    if not source.is_relative_to(root.resolve()):
        raise ProjectError(f"{path} lies outside the project {root}")
    return source


def _files(below: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder that belongs into a package: its name there, and where it is."""
    # os.walk, not pathlib: a function's packages are hundreds of files, and this is much of what `build` does
    for folder, folders, names in os.walk(below):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        inside = os.path.relpath(folder, below)
        for name in names:
            path = os.path.join(folder, name)
            if name not in LEFT_OUT and not name.endswith(".pyc") and os.path.isfile(path):
                yield os.path.normpath(os.path.join(inside, name)), Path(path)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _zip(files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
    return buffer.getvalue()


def _install(requirements: Path, python: str, cache: Path) -> Path:
    """Install requirements into a folder named by their hash; a finished one is used again.

    pip takes the wheels of this machine and this Python. Pure packages run anywhere; for compiled ones that go to AWS,
    build on Linux x86-64 with the function's own Python.
    """
    text = requirements.read_bytes()
    target = cache / f"{_hash(text + python.encode())}"
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(partial), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        reason = done.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise ProjectError(f"cannot install {requirements}: {reason[0]}", help=" ".join(command))
    for cruft in partial.rglob("*.dist-info"):
        for name in ("RECORD", "direct_url.json", "REQUESTED", "INSTALLER"):  # machine-dependent: not reproducible
            (cruft / name).unlink(missing_ok=True)
    shutil.rmtree(partial / "bin", ignore_errors=True)
    try:
        partial.rename(target)
    except OSError:  # somebody else finished first
        shutil.rmtree(partial, ignore_errors=True)
    return target
