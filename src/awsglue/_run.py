"""What this run is: the file that MILLPOND_GLUE_RUN names, written by the endpoint; absent under plain Python.

job, run_id, attempt, started_ms
stage      a folder for files that live as long as the run
bookmark   {option, from, to, file}
"""

from __future__ import annotations

import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


@functools.cache
def about() -> dict[str, Any]:
    """The content of the file, or what stands for it when a script runs without the endpoint."""
    if named := os.environ.get("MILLPOND_GLUE_RUN"):
        found: dict[str, Any] = json.loads(Path(named).read_text())
        return found
    return {"job": "", "run_id": "", "attempt": 0, "started_ms": 0, "stage": tempfile.mkdtemp(), "bookmark": {}}


def stage(name: str) -> Path:
    """A new folder for staged files, gone when the run is over."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=about()["stage"]))


_warned: set[str] = set()


def warn(text: str) -> None:
    """A line in the job's error log, once a run."""
    if text in _warned:
        return
    _warned.add(text)
    print(f"warning: {text}", file=sys.stderr)
