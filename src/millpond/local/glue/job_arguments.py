"""What a job run is asked to do: defaults, versions, limits, and the special arguments that Glue itself reads.

Pure: from the job's definition and StartJobRun's parameters to a `Plan`; refusals are AWS's errors.

Limits: Python only; Glue 6.0, streaming and Ray jobs are refused when the job is created.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from millpond.local.glue.bookmarks import OPTION, OPTIONS
from millpond.local.service import AwsError, unsupported
from millpond.runtime import CARRIED, ENDED

DEFAULT_VERSION = "5.1"
SPARK, SHELL = "glueetl", "pythonshell"
KINDS = {
    SPARK: "",
    SHELL: "",
    "gluestreaming": "Streaming jobs are not carried; a glueetl job may read streams with foreachBatch and a trigger.",
    "glueray": "Ray jobs are not carried.",
}
WORKERS = (
    "Standard",
    "G.025X",
    "G.1X",
    "G.2X",
    "G.4X",
    "G.8X",
    "G.12X",
    "G.16X",
    "R.1X",
    "R.2X",
    "R.4X",
    "R.8X",
    "Z.2X",
)


def invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, decided. Paths are S3 URIs; `timeout` is in minutes; `notes` are told to the user in the error log."""

    kind: str
    runtime: str
    script: str
    arguments: dict[str, str]
    timeout: int
    python_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    conf: tuple[tuple[str, str], ...] = ()
    catalog: bool = False
    bookmark: str = OPTIONS[0]
    notes: tuple[str, ...] = ()

    def argv(self, job: str, run_id: str) -> list[str]:
        """As the script finds them in sys.argv[1:]. A Python shell job is not told its name (as on AWS)."""
        own = {"--JOB_ID": f"j_{job}", "--JOB_RUN_ID": run_id, "--JOB_NAME": job} if self.kind == SPARK else {}
        return [part for pair in (self.arguments | own).items() for part in pair]


def check_definition(job: Mapping[str, Any]) -> None:
    """What CreateJob and UpdateJob refuse. `job` has the members of the API."""
    kind = job["Command"].get("Name", "")
    if kind not in KINDS:
        raise invalid(f"Command name must be one of {', '.join(KINDS)}, not '{kind}'.")
    if KINDS[kind]:
        raise unsupported("glue", f"CreateJob with Command.Name {kind}", KINDS[kind])
    if not job["Command"].get("ScriptLocation"):
        raise invalid("Script location can not be null or empty.")
    _check_capacity(job, kind)
    version = job.get("GlueVersion", DEFAULT_VERSION)
    if version == "6.0":
        raise unsupported("glue", "CreateJob with GlueVersion 6.0", "Glue 5.1 (Spark 3.5) is carried.")
    if version not in CARRIED and version not in ENDED:
        raise invalid(f"Glue version {version} is not supported: use one of {', '.join(CARRIED)}.")
    if not 0 <= job.get("MaxRetries", 0) <= 10:
        raise invalid("Max retries must be between 0 and 10.")
    if job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1) < 1:
        raise invalid("MaxConcurrentRuns must be at least 1.")
    _check_timeout(job)


def _check_timeout(given: Mapping[str, Any]) -> None:
    if "Timeout" in given and not 1 <= given["Timeout"] <= 10080:
        raise invalid(f"Timeout must be between 1 and 10080 minutes, not {given['Timeout']}.")


def _check_capacity(job: Mapping[str, Any], kind: str) -> None:
    if "MaxCapacity" in job and ("WorkerType" in job or "NumberOfWorkers" in job):
        raise invalid("Please do not set Max Capacity when using Worker Type and Number of Workers.")
    if ("WorkerType" in job) != ("NumberOfWorkers" in job):
        raise invalid("Worker Type and Number of Workers must be set together.")
    if job.get("WorkerType") not in (None, *WORKERS):
        raise invalid(f"Worker type must be one of {', '.join(WORKERS)}, not {job['WorkerType']}.")
    if job.get("NumberOfWorkers", 1) < 1:
        raise invalid("Number of workers must be at least 1.")
    capacity = job.get("MaxCapacity")
    if capacity is not None and kind == SHELL and capacity not in (0.0625, 1.0):
        raise invalid("Max capacity of a Python shell job must be 0.0625 or 1.")
    if capacity is not None and kind == SPARK and (capacity < 1 or capacity != int(capacity)):
        raise invalid("Max capacity of a Spark job must be a whole number of DPUs.")


def with_defaults(job: dict[str, Any]) -> dict[str, Any]:
    """A definition as GetJob shows it."""
    shown = dict(job)
    shown.setdefault("GlueVersion", DEFAULT_VERSION)
    shown.setdefault("MaxRetries", 0)
    shown.setdefault("ExecutionProperty", {"MaxConcurrentRuns": 1})
    modern = float(shown["GlueVersion"]) >= 5.0
    shown.setdefault("Timeout", 480 if modern and shown["Command"]["Name"] == SPARK else 2880)
    if "WorkerType" in shown:
        dpus = {"G.2X": 2, "G.4X": 4, "G.8X": 8, "Z.2X": 2, "G.025X": 0.25}.get(shown["WorkerType"], 1)
        shown["MaxCapacity"] = float(dpus * shown["NumberOfWorkers"])
    else:
        shown.setdefault("MaxCapacity", 0.0625 if shown["Command"]["Name"] == SHELL else 10.0)
    shown["AllocatedCapacity"] = int(shown["MaxCapacity"])
    if shown["Command"]["Name"] == SPARK:
        shown["Command"] = {"PythonVersion": "3"} | shown["Command"]
    return shown


def plan(job: dict[str, Any], params: Mapping[str, Any]) -> Plan:
    """Merge a job (with defaults) and StartJobRun's parameters. Raises InvalidInputException or a refusal."""
    _check_timeout(params)
    if "MaxCapacity" in params and ("WorkerType" in params or "NumberOfWorkers" in params):
        raise invalid("Please do not set Max Capacity when using Worker Type and Number of Workers.")
    given: dict[str, str] = {
        **job.get("DefaultArguments", {}),
        **params.get("Arguments", {}),
        **job.get("NonOverridableArguments", {}),
    }
    if given.get("--job-language", "python").lower() != "python" or "--class" in given:
        raise unsupported("glue", "StartJobRun of a Scala job", "Python scripts are carried.")
    bookmark = given.get(OPTION, OPTIONS[0])
    if bookmark not in OPTIONS:
        raise invalid(f"{OPTION} must be one of {', '.join(OPTIONS)}, not '{bookmark}'.")
    if ("--job-bookmark-from" in given) != ("--job-bookmark-to" in given):
        raise invalid("--job-bookmark-from and --job-bookmark-to must be given together.")
    version = job["GlueVersion"]
    return Plan(
        kind=job["Command"]["Name"],
        runtime=CARRIED.get(version) or ENDED[version],
        script=given.get("--scriptLocation") or job["Command"]["ScriptLocation"],
        arguments=given,
        timeout=params.get("Timeout") or job["Timeout"],
        python_files=_uris(given, "--extra-py-files"),
        files=_uris(given, "--extra-files"),
        jars=_uris(given, "--extra-jars"),
        modules=tuple(part.strip() for part in given.get("--additional-python-modules", "").split(",") if part.strip()),
        conf=_conf(given.get("--conf", "")),
        catalog=given.get("--enable-glue-datacatalog", "false").strip().lower() in ("", "true"),
        bookmark=bookmark,
        notes=_notes(job, bookmark),
    )


def _notes(job: Mapping[str, Any], bookmark: str) -> tuple[str, ...]:
    version, notes = job["GlueVersion"], []
    if version in ENDED:
        carried = ENDED[version]
        notes.append(f"warning: Glue {version} is out of support on AWS; this run uses the runtime of Glue {carried}.")
    elif CARRIED[version] != version:
        notes.append(f"Glue {version} runs on the runtime of Glue {CARRIED[version]} here.")
    if bookmark != OPTIONS[0] and job["ExecutionProperty"].get("MaxConcurrentRuns", 1) > 1:
        notes.append("warning: bookmarks need MaxConcurrentRuns 1; concurrent runs fail at commit.")
    return tuple(notes)


def _uris(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    uris = tuple(part.strip() for part in given.get(name, "").split(",") if part.strip())
    for uri in uris:
        if not split_uri(uri)[1] or uri.endswith("/"):
            raise invalid(f"{name} takes complete S3 paths of files, not '{uri}'.")
    return uris


def _conf(text: str) -> tuple[tuple[str, str], ...]:
    """`--conf` as users write it: `a=b --conf c=d`, one argument."""
    pairs = []
    for part in shlex.split(text):
        if part == "--conf":
            continue
        name, sign, value = part.partition("=")
        if not sign:
            raise invalid(f"--conf takes name=value, not '{part}'.")
        pairs.append((name, value))
    return tuple(pairs)


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI; InvalidInputException for anything else."""
    parts = urlsplit(uri, allow_fragments=False)
    if parts.scheme not in ("s3", "s3a", "s3n") or not parts.netloc or parts.query:
        raise invalid(f"not an S3 path: '{uri}'")
    return parts.netloc, parts.path.lstrip("/")
