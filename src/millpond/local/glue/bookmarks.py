"""Job bookmarks: what a job has read so far, and the operations that show, reset and rewind it.

A bookmark is one JSON file a job, `glue/bookmarks/<digest of the name>.json`, changed under a lock beside it, whole or
not at all. `job.commit()` changes it in the run's own process (awsglue/_bookmark.py), so it is saved exactly at the
commit, whether or not the endpoint lives at that moment. Both sides hold to this form:

    job, version, run, attempt, run_id, previous_run_id
    stamp     changes with each change; a commit whose run began with another stamp fails (a version mismatch)
    state     {transformation_ctx: marks}
    history   the last commits: run_id, previous_run_id, run, version, before (the state it began with), state

GetJobBookmark gives `state` as JSON text. ResetJobBookmark without RunId forgets everything; with RunId the next run
reads again from where that run began. Targets are never cleaned.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from millpond.local.service import AwsError, Call, Endpoint, Operation

OPTION = "--job-bookmark-option"
OPTIONS = ("job-bookmark-disable", "job-bookmark-enable", "job-bookmark-pause")


def path_of(endpoint: Endpoint, job: str) -> Path:
    """The file of a job's bookmark; it need not exist."""
    return endpoint.folder("glue", "bookmarks") / f"{hashlib.sha256(job.encode()).hexdigest()[:40]}.json"


def read(path: Path) -> dict[str, Any] | None:
    """The bookmark, or None when the job never committed one."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return found


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """No commit happens meanwhile."""
    with path.with_suffix(".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(path: Path, bookmark: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(bookmark | {"stamp": uuid.uuid4().hex}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def forget(endpoint: Endpoint, job: str) -> None:
    """The job is deleted, and its bookmark with it."""
    path = path_of(endpoint, job)
    with locked(path):
        path.unlink(missing_ok=True)


class Bookmarks:
    """See the module's docstring."""

    schema = ""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def operations(self) -> dict[str, Operation]:
        return {"GetJobBookmark": self.get, "ResetJobBookmark": self.reset}

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def _found(self, job: str) -> tuple[Path, dict[str, Any]]:
        path = path_of(self.endpoint, job)
        bookmark = read(path)
        if bookmark is None:
            raise AwsError("EntityNotFoundException", f"Continuation for job {job} not found")
        return path, bookmark

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        _, bookmark = self._found(params["JobName"])
        if run_id := params.get("RunId"):
            bookmark |= _commit_of(bookmark, run_id)
        return {"JobBookmarkEntry": _entry(bookmark)}

    def reset(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        path, _ = self._found(params["JobName"])
        with locked(path):
            _, bookmark = self._found(params["JobName"])
            if run_id := params.get("RunId"):
                commit = _commit_of(bookmark, run_id)
                bookmark |= {"state": commit["before"], "version": bookmark["version"] + 1}
            else:
                bookmark |= {"state": {}, "version": 0, "run": 0, "attempt": 0, "run_id": "", "previous_run_id": ""}
            write(path, bookmark)
        return {"JobBookmarkEntry": _entry(bookmark)}


def _commit_of(bookmark: dict[str, Any], run_id: str) -> dict[str, Any]:
    for commit in reversed(bookmark["history"]):
        if commit["run_id"] == run_id:
            return dict(commit)
    raise AwsError("EntityNotFoundException", f"Run {run_id} of job {bookmark['job']} has committed no bookmark")


def _entry(bookmark: dict[str, Any]) -> dict[str, Any]:
    ids = {"RunId": bookmark.get("run_id"), "PreviousRunId": bookmark.get("previous_run_id")}
    return {
        "JobName": bookmark["job"],
        "Version": bookmark["version"],
        "Run": bookmark["run"],
        "Attempt": bookmark.get("attempt", 0),
        "JobBookmark": json.dumps(bookmark["state"]),
    } | {name: value for name, value in ids.items() if value}
