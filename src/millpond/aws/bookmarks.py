"""Job bookmarks through Glue's API: what a job has read, what its next run would read, reset and rewind.

The inside of a bookmark is not documented by AWS, so what it holds is known only of those that awsglue here keeps:
marks by transformation_ctx (awsglue/_bookmark.py). A rewind to a run makes the next run read again what that run read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from awsglue import _databases, _keys
from awsglue._dialects import DIALECTS
from awsglue._window import BAND_MS, MOST, File, excluded, fresh, hidden
from millpond.aws.target import Target
from millpond.errors import CloudError

RUNS = 20  # of so many of the last runs, those that can be rewound to are looked for


@dataclass(frozen=True)
class Bookmark:
    """`state` holds the marks by transformation_ctx; `run_id` is the run that committed last."""

    job: str
    version: int
    run: int
    attempt: int
    run_id: str
    previous_run_id: str
    state: dict[str, Any]


@dataclass(frozen=True)
class Pending:
    """What a source would give the next run: files by name, or a number of rows; or `why` it cannot be known here."""

    context: str
    source: str
    files: tuple[str, ...] = ()
    rows: int | None = None
    why: str = ""


def get(target: Target, job: str, run_id: str | None = None) -> Bookmark:
    """The bookmark now, or as a run committed it. CloudError when there is none."""
    return _asked(target, "get_job_bookmark", job, run_id)


def reset(target: Target, job: str, run_id: str | None = None) -> Bookmark:
    """Forget everything, or go back to where a run began. CloudError."""
    return _asked(target, "reset_job_bookmark", job, run_id)


def _asked(target: Target, operation: str, job: str, run_id: str | None) -> Bookmark:
    asked = {"JobName": job} | ({"RunId": run_id} if run_id else {})
    try:
        entry = getattr(target.client("glue"), operation)(**asked)["JobBookmarkEntry"]
    except ClientError as error:
        found = error.response["Error"]
        help = "a job keeps a bookmark from its first job.commit() with --job-bookmark-option job-bookmark-enable on"
        help = help if found["Code"] == "EntityNotFoundException" else ""
        raise CloudError(found["Code"], found["Message"], help=help) from None
    try:
        state = json.loads(entry.get("JobBookmark") or "{}")
    except ValueError:
        state = {}
    return Bookmark(
        entry["JobName"],
        entry.get("Version", 0),
        entry.get("Run", 0),
        entry.get("Attempt", 0),
        entry.get("RunId", ""),
        entry.get("PreviousRunId", ""),
        state if isinstance(state, dict) else {},
    )


def commits(target: Target, job: str) -> list[str]:
    """The runs that can be rewound to, the newest first."""
    found = []
    for run in target.client("glue").get_job_runs(JobName=job, MaxResults=RUNS)["JobRuns"]:
        try:
            get(target, job, run["Id"])
        except CloudError:
            continue
        found.append(run["Id"])
    return found


def pending(target: Target, job: str) -> Iterator[Pending]:
    """What the next run would read of the sources that the bookmark knows. Nothing is changed."""
    for context, marks in sorted(get(target, job).state.items()):
        source = marks.get("source") if isinstance(marks, dict) else None
        if not source:
            yield Pending(context, "", why="the bookmark does not say where this source is")
        elif marks["kind"] == "s3":
            yield _files(target, context, marks, source)
        else:
            yield _rows(target, context, marks, source)


def _files(target: Target, context: str, marks: Mapping[str, Any], source: Mapping[str, Any]) -> Pending:
    listed: list[File] = []
    pages = target.client("s3").get_paginator("list_objects_v2")
    for path in source["paths"]:
        bucket, _, prefix = path.partition("://")[2].partition("/")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            listed += [
                File(f"s3://{bucket}/{one['Key']}", int(one["LastModified"].timestamp() * 1000))
                for one in page.get("Contents", [])
                if not hidden(one["Key"][len(prefix) :]) and not one["Key"].endswith("/")
            ]
    listed = [one for one in listed if not excluded(one.uri, source.get("exclusions") or [])]
    now = int(time.time() * 1000)
    chosen, _ = fresh(listed, marks, now, source.get("band", BAND_MS), source.get("most", MOST))
    return Pending(context, ", ".join(source["paths"]), tuple(one.uri for one in chosen))


def _rows(target: Target, context: str, marks: Mapping[str, Any], source: Mapping[str, Any]) -> Pending:
    text = f"{source['table']} at {source['place']}"
    if not source.get("connection"):
        return Pending(context, text, why="the script itself has the password, and no Glue connection")
    try:
        found = target.client("glue").get_connection(Name=source["connection"], HidePassword=False)["Connection"]
        given = found["ConnectionProperties"]
        who = given.get("USERNAME", ""), given.get("PASSWORD", "")
        if secret := given.get("SECRET_ID"):
            answer = target.client("secretsmanager").get_secret_value(SecretId=secret)
            who = _databases.credentials(answer.get("SecretString", ""))
        ssl = given.get("JDBC_ENFORCE_SSL", "false").lower() == "true"
        database = _databases.parse_url(given["JDBC_CONNECTION_URL"], user=who[0], password=who[1], ssl=ssl)
        with _databases.session(database.named(source["database"])) as db:
            return Pending(context, text, rows=_keys.behind(db, DIALECTS[database.engine], marks))
    except (_databases.JdbcError, ClientError, ValueError) as error:
        return Pending(context, text, why=str(error))
