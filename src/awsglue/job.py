"""Job: init and commit, the frame of a bookmarked job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from awsglue import _bookmark
from awsglue._run import about

if TYPE_CHECKING:
    from awsglue.context import GlueContext


class Job:
    """`job.init(name, args)` loads the bookmark, `job.commit()` saves it. Without init, commit does nothing."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.glue_ctx = glue_context
        self._name: str | None = None

    def init(self, job_name: str, args: Mapping[str, Any] | None = None) -> None:
        """Load the job's bookmark, when `--job-bookmark-option` enables it."""
        self._name = job_name
        _bookmark.begin()

    def isInitialized(self) -> bool:
        return self._name is not None

    def commit(self) -> None:
        """Save the bookmark, atomically; in a second call only what was read since."""
        bookmark = _bookmark.current()
        if bookmark is not None and self._name is not None:
            bookmark.commit(about()["job"] or self._name)
        elif about()["bookmark"].get("option") == _bookmark.ENABLED:
            print("warning: job.commit() without job.init(): no bookmark is saved", file=sys.stderr)
