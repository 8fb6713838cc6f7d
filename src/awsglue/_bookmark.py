"""The job bookmark inside a run: what was read up to here, what this run reads, and the commit.

The file and its form are described in millpond's bookmarks.py; the endpoint shows, resets and rewinds it. A commit is
one atomic replacement under a lock. A run that ends before the commit leaves the file as it was; a second commit in the
same run saves later marks without counting another run.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import uuid
from pathlib import Path
from typing import Any

from awsglue._run import about, warn

ENABLED, PAUSED = "job-bookmark-enable", "job-bookmark-pause"
KEPT = 200  # commits that can be rewound to


class BookmarkError(Exception):
    """The bookmark cannot be read or saved."""


class Bookmark:
    """One run's view. `seen` holds the marks that its sources gave; nothing is saved before `commit`."""

    def __init__(self, option: str, file: Path, run_id: str, since: str | None, until: str | None) -> None:
        self.option, self.file, self.run_id = option, file, run_id
        self.saved = self._read()
        self.low: dict[str, Any] = self.saved["state"]
        self.high: dict[str, Any] | None = None  # paused with a range: read no further than these marks
        if option == PAUSED and since and until:
            self.low, self.high = self._commit_of(since)["state"], self._commit_of(until)["state"]
        self.seen: dict[str, Any] = {}
        self.committed = False
        self.before = self.saved["state"]

    def _read(self) -> dict[str, Any]:
        empty = {"version": 0, "run": 0, "attempt": 0, "run_id": "", "stamp": "", "state": {}, "history": []}
        try:
            found: dict[str, Any] = json.loads(self.file.read_text())
        except FileNotFoundError:
            return empty
        return found

    def _commit_of(self, run_id: str) -> dict[str, Any]:
        for commit in reversed(self.saved["history"]):
            if commit["run_id"] == run_id:
                return dict(commit)
        raise BookmarkError(f"run {run_id} has committed no bookmark; --job-bookmark-from and -to name runs that did")

    def marks(self, context: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Of a transformation_ctx: the marks to read after, and (paused with a range) those to read up to."""
        return self.low.get(context, {}), None if self.high is None else self.high.get(context, {})

    def note(self, context: str, marks: dict[str, Any], source: dict[str, Any] | None = None) -> None:
        """A source was read up to `marks`. `source` says where it is, for people and dry runs; it decides nothing."""
        self.seen[context] = marks | ({"source": source} if source else {})

    def commit(self, job: str) -> None:
        """Save what was noted. Raises BookmarkError when another run or a reset changed the bookmark meanwhile."""
        if self.option != ENABLED:
            return
        with self.file.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self._read()
            if now["stamp"] != self.saved["stamp"]:
                raise BookmarkError(
                    "GLUE_JOB_BOOKMARK_VERSION_MISMATCH_ERROR: the job's bookmark was changed while this run went on"
                )
            again = now["run_id"] == self.run_id
            state = {**now["state"], **self.seen}
            made = {
                **now,
                "job": job,
                "version": now["version"] + (not again),
                "run": now["run"] + (not again),
                "attempt": about()["attempt"],
                "run_id": self.run_id,
                "previous_run_id": now.get("previous_run_id", "") if again else now["run_id"],
                "state": state,
                "stamp": uuid.uuid4().hex,
            }
            commit = {name: made[name] for name in ("run_id", "previous_run_id", "run", "version", "state")}
            history = [past for past in now["history"] if past["run_id"] != self.run_id]
            made["history"] = [*history, commit | {"before": self.before}][-KEPT:]
            part = self.file.with_suffix(f".{os.getpid()}.part")
            with part.open("w") as file:
                json.dump(made, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.file)
            self.saved, self.committed = made, True


_current: Bookmark | None = None


def begin() -> None:
    """job.init: from here on, sources with a transformation_ctx are tracked, when the job's option says so."""
    global _current
    given = about()["bookmark"]
    if given.get("option") in (ENABLED, PAUSED) and _current is None:
        _current = Bookmark(given["option"], Path(given["file"]), about()["run_id"], given["from"], given["to"])
        atexit.register(_warn_of_no_commit, _current)


def _warn_of_no_commit(bookmark: Bookmark) -> None:
    if bookmark.option == ENABLED and bookmark.seen and not bookmark.committed:
        warn("the run ends without job.commit(): its bookmark stays where it was, the next run reads the same again")


def tracking(context: str | None) -> Bookmark | None:
    """The bookmark, when this run has one, job.init was called and the source has a transformation_ctx. None: a source
    that Glue never tracks."""
    if _current and context == "":
        warn("a source without transformation_ctx is read whole: no bookmark for it")
    if _current is None and context and about()["bookmark"].get("option") in (ENABLED, PAUSED):
        warn(f"bookmark {context}: read whole, because job.init() was not called before")
    return _current if context else None


def current() -> Bookmark | None:
    """The bookmark of the run, once job.init was called."""
    return _current
