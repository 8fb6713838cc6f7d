"""Keys of a bucket in S3's order: UTF-8 bytes of the whole key, `/` being an ordinary character.

A folder's entries are sorted with folders spelled `name/`, which makes each subtree contiguous; only subtrees that can
hold wanted keys are entered, and `skip_to` leaves subtrees again without reading them (how a delimiter groups).
Symbolic links, special files and names that are not UTF-8 are no objects. A folder without files is nothing.

Memory: the names of the folders on the way down, not those of the whole bucket.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from millpond.local.s3.keys import DIRECTORY, MAX_KEY, Folder


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file of the tree: its key, and what the disk says about it."""

    key: str
    size: int
    mtime_ns: int


def successor(text: bytes) -> bytes:
    """The smallest byte string greater than everything that starts with `text` (UTF-8 never holds 0xFF)."""
    return text[:-1] + bytes([text[-1] + 1])


@dataclass(slots=True)
class _Frame:
    handle: int
    path: bytes  # "" or "a/b/"
    names: list[bytes]  # sorted, folders end with "/", reversed: pop() is the next
    end: bytes  # successor of path; "" for the root


class Walker:
    """Iterates over files with key >= `start` that begin with `prefix`. Close it (or exhaust it) to free handles."""

    def __init__(self, folder: Folder, prefix: str = "", start: bytes = b"") -> None:
        self.prefix = prefix.encode()
        self.lower = max(start, self.prefix)
        self._root: Folder | None = folder
        self._frames: list[_Frame] = []

    def skip_to(self, bound: bytes) -> None:
        """Go on with keys >= `bound`."""
        self.lower = max(self.lower, bound)

    def close(self) -> None:
        while self._frames:
            os.close(self._frames.pop().handle)
        self._root = None

    def __iter__(self) -> Iterator[Found]:
        try:
            if self._root is not None:
                self._enter(self._root.open_root(), b"")
                self._root = None
            while self._frames:
                found = self._next(self._frames[-1])
                if found is not None:
                    yield found
        finally:
            self.close()

    def _next(self, frame: _Frame) -> Found | None:
        """One step: an object, or None after entering, leaving or passing over something."""
        if not frame.names or (frame.end and frame.end <= self.lower):
            os.close(self._frames.pop().handle)
            return None
        name = frame.names.pop()
        path = frame.path + name
        if len(path) > MAX_KEY:
            return None
        if name.endswith(b"/"):
            if self._may_hold(path):
                self._enter_child(frame, name, path)
            return None
        if path < self.lower or not path.startswith(self.prefix):
            return None
        return self._file(frame, name, path)

    def _may_hold(self, path: bytes) -> bool:
        meets = path.startswith(self.prefix) or self.prefix.startswith(path)
        return meets and successor(path) > self.lower

    def _enter_child(self, frame: _Frame, name: bytes, path: bytes) -> None:
        try:
            handle = os.open(name[:-1], DIRECTORY, dir_fd=frame.handle)
        except OSError:
            return  # gone or replaced by a link since the folder was read: no longer a folder of the bucket
        self._enter(handle, path)

    def _enter(self, handle: int, path: bytes) -> None:
        names = []
        with os.scandir(handle) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not _is_utf8(name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    names.append(name + b"/")
                elif entry.is_file(follow_symlinks=False):
                    names.append(name)
        names.sort(reverse=True)
        self._frames.append(_Frame(handle, path, names, successor(path) if path else b""))

    @staticmethod
    def _file(frame: _Frame, name: bytes, path: bytes) -> Found | None:
        try:
            found = os.stat(name, dir_fd=frame.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted since the folder was read
        if not stat.S_ISREG(found.st_mode):
            return None
        return Found(path.decode(), found.st_size, found.st_mtime_ns)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
