"""The folder of a job run: the script, its extra files, and `spec.json` for the driver host.

    glue/runs/<run id>/
        work/          the working folder: the script under its own name, --extra-files
        lib/           --extra-py-files as they came (zip, whl, py), --extra-jars
        tmp/           Spark's scratch, staged tables
        spec.json      what the driver host is to run (driver_host.py)
        run.json       what awsglue may know: ids, bookmark, where to stage (MILLPOND_GLUE_RUN names it)

A zip is put on the path as it is (zipimport), a wheel is unpacked: it may hold data files and compiled modules. What a
wheel requires is not installed; `--additional-python-modules` does that (millpond/runtime.py).
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.errors import MillpondError
from millpond.local.glue import bookmarks
from millpond.local.glue.drivers import Drivers
from millpond.local.glue.job_arguments import Plan, split_uri
from millpond.local.service import AwsError, Endpoint
from millpond.runtime import Runtime, RuntimeMissing
from millpond.runtime import modules as additional_modules

STUDIO = re.compile(r"s3[an]?://aws-glue-studio-transforms-\d{12}-prod-[a-z0-9-]+/gs_\w+\.py")


class LaunchError(MillpondError):
    """The run cannot start: a file that it names is missing."""


def fetch(endpoint: Endpoint, uri: str, into: Path) -> Path:
    """Copy an object into a folder under its own name. Raises LaunchError."""
    try:
        bucket, key = split_uri(uri)
    except AwsError as error:
        raise LaunchError(f"LAUNCH ERROR | {error.message}") from None
    path = into / key.rpartition("/")[2]
    try:
        body = endpoint.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        raise LaunchError(f"LAUNCH ERROR | cannot read {uri}: {error.response['Error'].get('Message')}") from error
    with path.open("wb") as file:
        for part in body.iter_chunks(1 << 20):
            file.write(part)
    return path


def of_studio(uri: str) -> bool:
    """Whether AWS serves this file for visual jobs: awsglue finds such a module by itself (awsglue/_studio.py)."""
    return STUDIO.fullmatch(uri) is not None


def unpacked(path: Path) -> Path:
    """A wheel as the folder of its content; anything else as it is. Raises LaunchError for a damaged one."""
    if path.suffix != ".whl":
        return path
    folder = path.with_suffix("")
    try:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    except (zipfile.BadZipFile, OSError) as error:
        raise LaunchError(f"LAUNCH ERROR | {path.name} is not a wheel: {error}") from error
    return folder


def modules(endpoint: Endpoint, plan: Plan, runtime: Runtime, into: Path, tell: Callable[[str], None]) -> Path | None:
    """The environment of `--additional-python-modules`, made at its first use. Raises LaunchError with pip's words."""
    if not plan.modules:
        return None
    into.mkdir(exist_ok=True)
    wanted = [str(fetch(endpoint, one, into)) if one.startswith("s3") and "://" in one else one for one in plan.modules]
    try:
        return additional_modules(runtime, wanted, plan.module_options, tell)
    except RuntimeMissing as error:
        raise LaunchError(f"LAUNCH ERROR | {error.message}" + (f" ({error.help})" if error.help else "")) from None


def check_connections(endpoint: Endpoint, names: tuple[str, ...]) -> None:
    """A job's connections must be there when it runs. Raises LaunchError."""
    for name in names:
        try:
            endpoint.client("glue").get_connection(Name=name, HidePassword=True)
        except ClientError as error:
            raise LaunchError(f"LAUNCH ERROR | connection {name}: {error.response['Error'].get('Message')}") from error


def prepare(
    endpoint: Endpoint, drivers: Drivers, run: dict[str, Any], plan: Plan, runtime: Runtime, tell: Callable[[str], None]
) -> tuple[Path, tuple[str, ...]]:
    """Make the folder of a run. Returns it and the jars that the JVM's class path needs. Raises LaunchError."""
    check_connections(endpoint, plan.connections)
    folder: Path = run.get("folder") or endpoint.folder("glue", "runs", run["id"])
    for part in ("work", "lib", "tmp"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir()
    work, lib = folder / "work", folder / "lib"
    script: Path = run.get("script") or fetch(endpoint, plan.script, work)
    for uri in plan.files:
        fetch(endpoint, uri, work)
    added = modules(endpoint, plan, runtime, folder / "tmp" / "modules", tell)
    python_files = [str(unpacked(fetch(endpoint, uri, lib))) for uri in plan.python_files if not of_studio(uri)]
    jars = tuple(str(fetch(endpoint, uri, lib)) for uri in plan.jars)
    # A plain module is importable from the folder that it lies in; an archive is itself an entry of the path.
    python_path = list(dict.fromkeys(str(lib) if path.endswith(".py") else path for path in python_files))
    path = [*python_path, *([str(added)] if added else []), str(drivers.library())]
    env = drivers.environment(folder / "work", path, f"glue/{run['job']}")
    env |= {
        "MILLPOND_GLUE_RUN": str(folder / "run.json"),
        "TMPDIR": str(folder / "tmp"),
        "PYSPARK_PYTHON": str(runtime.python),
        "GLUE_VERSION": plan.version,
        **dict(plan.environment),
    }
    conf = {
        "spark.app.name": run["job"],
        "spark.local.dir": str(folder / "tmp"),
        "spark.sql.warehouse.dir": str(folder / "tmp" / "warehouse"),
        "spark.executorEnv.PYTHONPATH": ":".join(path),
        **event_log(folder, plan),
        **dict(plan.conf),
    }
    given = plan.arguments
    _write(
        folder / "run.json",
        {
            "job": run["job"],
            "run_id": run["id"],
            "attempt": run["attempt"],
            "started_ms": int(run["created"] * 1000),
            "stage": str(folder / "tmp"),
            "bookmark": {
                "option": plan.bookmark,
                "from": given.get("--job-bookmark-from"),
                "to": given.get("--job-bookmark-to"),
                "file": str(bookmarks.path_of(endpoint, run["job"])),
            },
        },
    )
    _write(
        folder / "spec.json",
        {
            "folder": str(folder),
            "cwd": str(work),
            "script": str(script),
            "argv": plan.argv(run["job"], run["id"]),
            "env": env,
            "python_path": path,
            "conf": conf,
            "catalog": plan.catalog,
            "timeout": plan.timeout * run["minute"],
            "plain": not plan.conf and not jars,
            "idle": run.get("idle"),
            "fresh": added is not None,  # what the host has imported may be what the job replaces
        },
    )
    return folder, jars


def event_log(folder: Path, plan: Plan) -> dict[str, str]:
    """Spark's settings for its event log. It is written beside the run, and put into S3 when the run is over."""
    if not plan.events:
        return {}
    events = folder / "events"
    events.mkdir(exist_ok=True)
    return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}


def put_events(endpoint: Endpoint, folder: Path, target: str) -> None:
    """Move a run's event logs to `--spark-event-logs-path`, for a history server. Raises LaunchError."""
    from boto3.exceptions import S3UploadFailedError  # boto3 is a fifth of the endpoint's start, and needed later

    bucket, prefix = split_uri(target.rstrip("/") + "/")
    for path in sorted(part for part in (folder / "events").glob("*") if part.is_file()):
        key = prefix + path.name.removesuffix(".inprogress")
        try:
            endpoint.client("s3").upload_file(str(path), bucket, key)
        except (BotoCoreError, ClientError, S3UploadFailedError) as error:
            raise LaunchError(f"the event log cannot be written to {target}: {error}") from error
        path.unlink()


def clean(folder: Path) -> None:
    """After the run: what it was told and how it ended stays (json); its files are gone, as on AWS."""
    for part in ("tmp", "lib", "work", "events"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in ("stdout", "stderr", "claimed", "alive"):
        (folder / name).unlink(missing_ok=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
