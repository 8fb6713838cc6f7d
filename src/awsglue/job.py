"""Job: init and commit, the frame of a bookmarked job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from awsglue import _bookmark
from awsglue._run import about
from awsglue.gluetypes import NOTHING

if TYPE_CHECKING:
    from awsglue.context import GlueContext


class Job:
    """`job.init(name, args)` loads the bookmark, `job.commit()` saves it. Without init, commit does nothing."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.glue_ctx = glue_context
        self._name: str | None = None

    # The arguments that Glue keeps for itself: a name, and the values that it takes when there are only some.

    @classmethod
    def continuation_options(cls) -> list[str]:
        """The older name of bookmarks."""
        return ["--continuation-option", "continuation-enabled", "continuation-readonly", "continuation-ignore"]

    @classmethod
    def job_bookmark_options(cls) -> list[str]:
        """The argument that turns bookmarks on, and its values."""
        return ["--job-bookmark-option", "job-bookmark-enable", "job-bookmark-pause", "job-bookmark-disable"]

    @classmethod
    def job_bookmark_range_options(cls) -> list[str]:
        """The runs between which a paused bookmark reads."""
        return ["--job-bookmark-from", "--job-bookmark-to"]

    @classmethod
    def id_params(cls) -> list[str]:
        """What tells a run who it is."""
        return ["--JOB_ID", "--JOB_RUN_ID", "--SECURITY_CONFIGURATION"]

    @classmethod
    def encryption_type_options(cls) -> list[str]:
        """The argument for encryption, and its values."""
        return ["--encryption-type", "sse-s3"]

    @classmethod
    def data_lineage_options(cls) -> list[str]:
        """The argument that asks for lineage."""
        return ["--enable-data-lineage"]

    def init(self, job_name: str, args: Mapping[str, Any] = NOTHING) -> None:
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
