"""From a key to a file and back, without ever leaving the bucket's folder.

A key is a path below the bucket only if every segment can be a file name (`representable`); other keys live in blobs.
All walking is done with directory handles, segment by segment, and never through a symbolic link: no string is joined
to a path that the kernel then resolves, so neither `..` nor a link swapped in meanwhile leads out of the root.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from millpond.local.service import AwsError

MAX_KEY = 1024  # bytes, AWS
MAX_SEGMENT = 255  # bytes, every common file system

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_FORBIDDEN_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_FORBIDDEN_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # NONBLOCK: a named pipe must not hang us


def no_such_bucket(name: str) -> AwsError:
    return AwsError("NoSuchBucket", "The specified bucket does not exist", status=404, BucketName=name)


class Clash(Exception):
    """A segment of the path is a file where a folder is needed, or the reverse. `key` is the older object's key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Link(AwsError):
    """A symbolic link or special file lies in the way: never followed."""

    def __init__(self, key: str) -> None:
        super().__init__(
            "AccessDenied",
            f"A symbolic link or special file in the bucket's folder is in the way of {key!r}",
            status=403,
        )


def valid_bucket_name(name: str) -> bool:
    """The naming rules of general purpose buckets."""
    return bool(
        _BUCKET.fullmatch(name)
        and ".." not in name
        and not _ADDRESS.fullmatch(name)
        and not name.startswith(_FORBIDDEN_STARTS)
        and not name.endswith(_FORBIDDEN_ENDS)
    )


def representable(key: str) -> bool:
    """Whether the key can be a path below the bucket's folder on any POSIX disk."""
    if not key or "\0" in key:
        return False
    return all(part and part not in (".", "..") and len(part.encode()) <= MAX_SEGMENT for part in key.split("/"))


def key_of(path: bytes) -> str | None:
    """The key of a path relative to the bucket; None when the name is not UTF-8 or the key would be too long."""
    try:
        return path.decode() if len(path) <= MAX_KEY else None
    except UnicodeDecodeError:
        return None


@contextlib.contextmanager
def closing(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


def _spelled_so(folder: int, name: str) -> bool:
    """Whether the folder holds exactly this spelling: asked only on disks that do not tell `A` from `a`."""
    return name in os.listdir(folder)


class Folder:
    """One bucket's folder. `exact` says that the disk tells upper from lower case."""

    def __init__(self, path: Path, *, exact: bool = True) -> None:
        self.path, self.exact = path, exact

    def open_root(self) -> int:
        """A handle on the bucket's folder. Raises NoSuchBucket when somebody removed it or put a file in its place."""
        try:
            return os.open(self.path, DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise no_such_bucket(self.path.name) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise no_such_bucket(self.path.name) from None
            raise

    def open(self, key: str) -> int | None:
        """A read handle on the key's regular file; None when there is none (a folder is not an object, nor a link)."""
        *parents, name = key.split("/")
        try:
            with self._descend(parents) as folder:
                if not self.exact and not _spelled_so(folder, name):
                    return None
                handle = os.open(name, FILE, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG):
                return None
            raise
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
        return None

    def stat(self, key: str) -> os.stat_result | None:
        """What `open` would open, without opening it."""
        *parents, name = key.split("/")
        try:
            with self._descend(parents) as folder:
                if not self.exact and not _spelled_so(folder, name):
                    return None
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) else None

    def place(self, staged: Path, key: str) -> None:
        """Move a finished file to its name, atomically, making folders. Raises Clash, OtherSpelling or Link."""
        *parents, name = key.split("/")
        with self._descend(parents, make=True) as folder:
            self._refuse_other_spelling(folder, name, key)
            try:
                os.replace(staged, name, dst_dir_fd=folder)
            except IsADirectoryError:
                # An empty folder (left by another tool) is nothing to S3; a full one holds keys below this key.
                try:
                    self._prune_below(folder, name)
                except OSError:
                    raise Clash(key) from None
                os.replace(staged, name, dst_dir_fd=folder)

    def link(self, key: str, target: Path) -> None:
        """Give the key's file a second name outside the tree, replacing what is there."""
        *parents, name = key.split("/")
        target.unlink(missing_ok=True)
        with self._descend(parents) as folder:
            os.link(name, target, src_dir_fd=folder, follow_symlinks=False)

    def remove(self, key: str) -> bool:
        """Delete the key's file and the folders that this empties. False when there was no file."""
        *parents, name = key.split("/")
        if self.stat(key) is None:
            return False
        try:
            with self._descend(parents) as folder:
                os.unlink(name, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        self._prune_above(parents)
        return True

    def _prune_above(self, parents: list[str]) -> None:
        while parents:
            *parents, name = parents
            try:
                with self._descend(parents) as folder:
                    os.rmdir(name, dir_fd=folder)
            except OSError:
                return  # not empty, or already gone: both are the end of our work

    @staticmethod
    def _prune_below(folder: int, name: str) -> None:
        """Remove a tree of empty folders; raises OSError at the first that holds anything else."""
        with closing(os.open(name, DIRECTORY, dir_fd=folder)) as inner:
            for child in os.listdir(inner):
                Folder._prune_below(inner, child)
        os.rmdir(name, dir_fd=folder)

    @contextlib.contextmanager
    def _descend(self, parents: list[str], *, make: bool = False) -> Iterator[int]:
        """A handle on the innermost folder; with `make`, folders are made and what is in the way is named."""
        handle = self.open_root()
        try:
            for depth, name in enumerate(parents):
                inner = self._enter(handle, name, "/".join(parents[: depth + 1]), make=make)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _enter(self, folder: int, name: str, key: str, *, make: bool) -> int:
        if make:
            self._refuse_other_spelling(folder, name, key)
        elif not self.exact and not _spelled_so(folder, name):
            raise FileNotFoundError(errno.ENOENT, "no such folder", name)
        try:
            return os.open(name, DIRECTORY, dir_fd=folder)
        except OSError as error:
            if not make or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            if error.errno != errno.ENOENT:
                if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise Clash(key) from None
                raise Link(key) from None
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        return os.open(name, DIRECTORY, dir_fd=folder)

    def _refuse_other_spelling(self, folder: int, name: str, key: str) -> None:
        """On a disk that folds case, `A` must not overwrite `a`: the newcomer goes to blobs."""
        if self.exact or _spelled_so(folder, name):
            return
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            raise OtherSpelling(key)


class OtherSpelling(Exception):
    """The disk holds this name in another spelling: the key cannot be a file here."""


def tells_case_apart(folder: Path) -> bool:
    """Whether the disk under `folder` has case-sensitive names; makes and removes one file."""
    probe = folder / f"case-{os.getpid()}-a"
    probe.touch()
    try:
        return not probe.with_name(probe.name[:-1] + "A").exists()
    finally:
        probe.unlink()
