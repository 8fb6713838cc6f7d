"""The folder of a job run: the script, its extra files, and `spec.json` for the driver host.

    glue/runs/<run id>/
        work/          the working folder: the script under its own name, --extra-files
        lib/           --extra-py-files as they came (zip, whl, py), --extra-jars
        tmp/           Spark's scratch, staged tables
        spec.json      what the driver host is to run (driver_host.py)
        run.json       what awsglue may know: ids, bookmark, where to stage (MILLPOND_GLUE_RUN names it)

Limits: `--additional-python-modules` may only name what the runtime has.

Archives are put on the path as they are (zipimport), never unpacked.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from millpond.errors import MillpondError
from millpond.local.glue import bookmarks
from millpond.local.glue.drivers import Drivers
from millpond.local.glue.job_arguments import Plan, split_uri
from millpond.local.service import Endpoint


class LaunchError(MillpondError):
    """The run cannot start: a file that it names is missing."""


def fetch(endpoint: Endpoint, uri: str, into: Path) -> Path:
    """Copy an object into a folder under its own name. Raises LaunchError."""
    bucket, key = split_uri(uri)
    path = into / key.rpartition("/")[2]
    try:
        body = endpoint.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        raise LaunchError(f"LAUNCH ERROR | cannot read {uri}: {error.response['Error'].get('Message')}") from error
    with path.open("wb") as file:
        for part in body.iter_chunks(1 << 20):
            file.write(part)
    return path


@functools.cache
def check_modules(python: Path, modules: tuple[str, ...]) -> None:
    """`--additional-python-modules` may name what the runtime has (pip decides, offline). LaunchError for the rest."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-input", *modules]
    if any(not module[0].isalnum() or "/" in module for module in modules):
        raise LaunchError(f"LAUNCH ERROR | --additional-python-modules {','.join(modules)}: files are not carried")
    asked = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    if asked.returncode:
        why = "the runtime of this Glue version does not have them; put pure Python code in --extra-py-files"
        raise LaunchError(f"LAUNCH ERROR | --additional-python-modules {','.join(modules)}: {why}")


def prepare(
    endpoint: Endpoint, drivers: Drivers, run: dict[str, Any], plan: Plan, python: Path
) -> tuple[Path, tuple[str, ...]]:
    """Make the folder of a run. Returns it and the jars that the JVM's class path needs. Raises LaunchError."""
    if plan.modules:
        check_modules(python, plan.modules)
    folder = endpoint.folder("glue", "runs", run["id"])
    for part in ("work", "lib", "tmp"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir()
    work, lib = folder / "work", folder / "lib"
    script = fetch(endpoint, plan.script, work)
    for uri in plan.files:
        fetch(endpoint, uri, work)
    python_files = [str(fetch(endpoint, uri, lib)) for uri in plan.python_files]
    jars = tuple(str(fetch(endpoint, uri, lib)) for uri in plan.jars)
    # A plain module is importable from the folder that it lies in; an archive is itself an entry of the path.
    python_path = list(dict.fromkeys(str(lib) if path.endswith(".py") else path for path in python_files))
    path = [*python_path, str(drivers.library())]
    env = drivers.environment(folder / "work", path, f"glue/{run['job']}")
    env |= {"MILLPOND_GLUE_RUN": str(folder / "run.json"), "TMPDIR": str(folder / "tmp"), "PYSPARK_PYTHON": str(python)}
    conf = {
        "spark.app.name": run["job"],
        "spark.local.dir": str(folder / "tmp"),
        "spark.sql.warehouse.dir": str(folder / "tmp" / "warehouse"),
        "spark.executorEnv.PYTHONPATH": ":".join(path),
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
        },
    )
    return folder, jars


def clean(folder: Path) -> None:
    """After the run: what it was told and how it ended stays (json); its files are gone, as on AWS."""
    for part in ("tmp", "lib", "work"):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in ("stdout", "stderr", "claimed", "alive"):
        (folder / name).unlink(missing_ok=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))
