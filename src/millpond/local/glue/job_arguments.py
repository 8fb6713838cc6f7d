"""What a job run is asked to do: defaults, versions, limits, and the special arguments that Glue itself reads.

Pure: from the job's definition and StartJobRun's parameters to a `Plan`; refusals are AWS's errors. AWS's pages: "Using
job parameters in AWS Glue jobs", "Configuring job properties for Spark jobs", "... for Python shell jobs", "AWS Glue
worker types", "Logging for AWS Glue jobs".

Limits: Python only; Ray jobs and GlueVersion `auto` are refused when the job is created. Arguments that concern AWS's
own machines (metrics, shuffle storage, proxies, Lake Formation) reach the script and change nothing else.
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
SPARK, STREAMING, SHELL = "glueetl", "gluestreaming", "pythonshell"
KINDS = {SPARK: "", STREAMING: "", SHELL: "", "glueray": "Ray is not there; Spark and Python shell jobs are carried."}
ARGUMENTS_SIZE = 260 * 1024  # bytes of all arguments together

# DPUs of a worker, the first Glue version that has it, and the commands that may ask for it.
WORKERS: dict[str, tuple[float, float, tuple[str, ...]]] = {
    "Standard": (1, 0.9, (SPARK, STREAMING)),
    "G.025X": (0.25, 3.0, (STREAMING,)),
    "G.1X": (1, 0.9, (SPARK, STREAMING)),
    "G.2X": (2, 0.9, (SPARK, STREAMING)),
    "G.4X": (4, 3.0, (SPARK, STREAMING)),
    "G.8X": (8, 3.0, (SPARK, STREAMING)),
    "G.12X": (12, 4.0, (SPARK, STREAMING)),
    "G.16X": (16, 4.0, (SPARK, STREAMING)),
    "R.1X": (1, 4.0, (SPARK, STREAMING)),
    "R.2X": (2, 4.0, (SPARK, STREAMING)),
    "R.4X": (4, 4.0, (SPARK, STREAMING)),
    "R.8X": (8, 4.0, (SPARK, STREAMING)),
    "Z.2X": (2, 4.0, ("glueray",)),
}
MEMORY = {"G": 16, "R": 32, "S": 16, "Z": 16}  # GB for each DPU, by the first letter of the worker type
PYTHONS = {SPARK: ("2", "3"), STREAMING: ("2", "3"), SHELL: ("3", "3.9")}
LAKES = ("hudi", "delta", "iceberg")


def invalid(message: str) -> AwsError:
    return AwsError("InvalidInputException", message)


@dataclass(frozen=True, slots=True)
class Logs:
    """Where a run's output goes: groups, and the streams in them. `driver` is ("", "") without continuous logging."""

    prefix: str = "/aws-glue/jobs"
    stream: str = ""
    driver: tuple[str, str] = ("", "")
    both: bool = False  # Glue 5: what the script writes to stderr is in the output group, too


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, decided. Paths are S3 URIs; `timeout` and `notify` are in minutes; `notes` go to the error log."""

    kind: str
    version: str
    runtime: str
    script: str
    arguments: dict[str, str]
    timeout: int
    python_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()
    jars_first: bool = False
    modules: tuple[str, ...] = ()
    module_options: tuple[str, ...] = ()
    conf: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    catalog: bool = False
    bookmark: str = OPTIONS[0]
    events: str = ""
    worker: str = ""
    queue: bool = False
    notify: int = 0
    connections: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def spark(self) -> bool:
        return self.kind != SHELL

    def argv(self, job: str, run_id: str) -> list[str]:
        """As the script finds them in sys.argv[1:]. A Python shell job is not told its name (as on AWS)."""
        own = {"--JOB_ID": f"j_{job}", "--JOB_RUN_ID": run_id, "--JOB_NAME": job} if self.spark else {}
        return [part for pair in (self.arguments | own).items() for part in pair]

    def logs(self, run_id: str) -> Logs:
        """`--custom-log...-prefix` is Glue 5's, `--continuous-log-...` what it had before; both work here."""
        given = self.arguments
        continuous = ("", "")
        if self.spark and flag(given, "--enable-continuous-cloudwatch-log"):
            group = given.get("--continuous-log-logGroup") or "/aws-glue/jobs/logs-v2"
            continuous = (group, f"{given.get('--continuous-log-logStreamPrefix') or run_id}-driver")
        prefix = given.get("--custom-logStream-prefix")
        return Logs(
            prefix=given.get("--custom-logGroup-prefix") or "/aws-glue/jobs",
            stream=f"{prefix}-driver" if prefix else run_id,
            driver=continuous,
            both=self.spark and float(self.version) >= 5.0,
        )


def flag(given: Mapping[str, str], name: str) -> bool:
    """Whether a switch is on: `true`, or given without a value."""
    return given.get(name, "false").strip().lower() in ("", "true")


# ---- definitions


def check_definition(job: Mapping[str, Any]) -> None:
    """What CreateJob and UpdateJob refuse. `job` has the members of the API."""
    kind = job["Command"].get("Name", "")
    if kind not in KINDS:
        raise invalid(f"Command name must be one of {', '.join(KINDS)}, not '{kind}'.")
    if KINDS[kind]:
        raise unsupported("glue", "CreateJob", use=f"Command.Name {kind}: {KINDS[kind]}")
    if not job["Command"].get("ScriptLocation"):
        raise invalid("Script location can not be null or empty.")
    if not job.get("Role"):
        raise invalid("Role can not be null or empty.")
    version = _check_version(job, kind)
    _check_python(job["Command"].get("PythonVersion"), kind)
    _check_capacity(job, kind, version)
    if not 0 <= job.get("MaxRetries", 0) <= 10:
        raise invalid("Max retries must be between 0 and 10.")
    if job.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1) < 1:
        raise invalid("MaxConcurrentRuns must be at least 1.")
    if "MaintenanceWindow" in job and kind != STREAMING:
        raise invalid(f"Maintenance window is not supported for Job Command {kind}.")
    _check_run_members(job, kind, version)
    for member in ("DefaultArguments", "NonOverridableArguments"):
        _check_size(job.get(member, {}))


def _check_version(job: Mapping[str, Any], kind: str) -> float:
    """The version as a number. A Python shell job has none: what is given is ignored (AWS docs)."""
    if kind == SHELL:
        return 0.0
    version = job.get("GlueVersion", DEFAULT_VERSION)
    if version == "auto":
        raise unsupported("glue", "CreateJob", use=f"GlueVersion auto: name one of {', '.join(CARRIED)}.")
    if version not in CARRIED and version not in ENDED:
        raise invalid(f"Glue version {version} is not supported: use one of {', '.join(CARRIED)}.")
    return float(version)


def _check_python(version: str | None, kind: str) -> None:
    if version is not None and version not in PYTHONS[kind]:
        known = ", ".join(PYTHONS[kind])
        raise invalid(f"PythonVersion {version} is not supported. Choose from one of the following: [{known}]")


def _check_size(arguments: Mapping[str, str]) -> None:
    if sum(len(name.encode()) + len(value.encode()) for name, value in arguments.items()) > ARGUMENTS_SIZE:
        raise invalid("The job arguments are larger than 260 KB.")


def _check_run_members(given: Mapping[str, Any], kind: str, version: float) -> None:
    """What a definition and StartJobRun share."""
    if "Timeout" in given and not 1 <= given["Timeout"] <= 10080:
        raise invalid(f"Timeout must be between 1 and 10080 minutes, not {given['Timeout']}.")
    if given.get("NotificationProperty", {}).get("NotifyDelayAfter", 1) < 1:
        raise invalid("NotifyDelayAfter must be at least 1 minute.")
    if given.get("ExecutionClass") == "FLEX" and (kind != SPARK or version < 3.0):
        raise invalid("Execution class FLEX is supported for glueetl jobs of Glue version 3.0 and above.")


def _check_capacity(job: Mapping[str, Any], kind: str, version: float) -> None:
    worker = job.get("WorkerType")
    if "MaxCapacity" in job and ("WorkerType" in job or "NumberOfWorkers" in job):
        raise invalid("Please do not set Max Capacity if using Worker Type and Number of Workers.")
    if kind == SHELL and ("WorkerType" in job or "NumberOfWorkers" in job):
        raise invalid(f"Worker Type is not supported for Job Command {kind}")
    if ("WorkerType" in job) != ("NumberOfWorkers" in job):
        raise invalid("Worker Type and Number of Workers must be set together.")
    if worker is not None:
        _check_worker(worker, kind, version, job.get("ExecutionClass"))
        if job["NumberOfWorkers"] < 1:
            raise invalid(f"To use Worker Type {worker}, minimum allowed value of Number of Workers is 1.")
    capacity = job.get("MaxCapacity", job.get("AllocatedCapacity"))
    if capacity is not None and kind == SHELL and capacity not in (0.0625, 1.0):
        raise invalid("Max capacity of a Python shell job must be 0.0625 or 1.")
    if capacity is not None and kind != SHELL and (capacity < 1 or capacity != int(capacity)):
        raise invalid("Max capacity of a Spark job must be a whole number of DPUs.")


def _check_worker(worker: str, kind: str, version: float, execution_class: str | None) -> None:
    if worker not in WORKERS:
        raise invalid(f"Worker type must be one of {', '.join(WORKERS)}, not {worker}.")
    _, since, kinds = WORKERS[worker]
    if kind not in kinds:
        raise invalid(f"Worker Type {worker} is not supported for Job Command {kind}")
    if version < since:
        raise invalid(f"Worker type {worker} is not supported for Glue Version {version}")
    if execution_class == "FLEX" and worker not in ("G.1X", "G.2X"):
        raise invalid(f"Worker type {worker} is not supported for execution class FLEX: use G.1X or G.2X.")


def capacity(given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The members that say what a job or run gets: MaxCapacity in DPUs, whichever way it was said."""
    if "WorkerType" in given:
        dpus = WORKERS[given["WorkerType"]][0] * given["NumberOfWorkers"]
        shown = {"WorkerType": given["WorkerType"], "NumberOfWorkers": given["NumberOfWorkers"]}
    else:
        dpus = given.get("MaxCapacity", given.get("AllocatedCapacity", 0.0625 if kind == SHELL else 10.0))
        shown = {}
    return shown | {"MaxCapacity": float(dpus), "AllocatedCapacity": int(dpus)}


def with_defaults(job: dict[str, Any]) -> dict[str, Any]:
    """A definition as GetJob shows it."""
    shown, kind = dict(job), job["Command"]["Name"]
    python = job["Command"].get("PythonVersion", "3.9" if kind == SHELL else "3")
    shown.setdefault("GlueVersion", {"3": "1.0", "3.9": "3.0"}[python] if kind == SHELL else DEFAULT_VERSION)
    shown.setdefault("JobMode", "SCRIPT")
    shown.setdefault("JobRunQueuingEnabled", False)
    shown.setdefault("MaxRetries", 0)
    shown.setdefault("ExecutionProperty", {"MaxConcurrentRuns": 1})
    shown["ExecutionProperty"] = {"MaxConcurrentRuns": 1} | shown["ExecutionProperty"]
    shown.setdefault("Timeout", 480 if kind != SHELL and float(shown["GlueVersion"]) >= 5.0 else 2880)
    shown["Command"] = {"PythonVersion": python} | shown["Command"]
    return shown | capacity(shown, kind)


# ---- runs


def plan(job: dict[str, Any], params: Mapping[str, Any]) -> Plan:
    """Merge a job (with defaults) and StartJobRun's parameters. Raises InvalidInputException or a refusal."""
    kind, version = job["Command"]["Name"], job["GlueVersion"]
    sized = run_capacity(job, params)
    _check_run_members(params, kind, 0.0 if kind == SHELL else float(version))
    given: dict[str, str] = {
        **job.get("DefaultArguments", {}),
        **params.get("Arguments", {}),
        **job.get("NonOverridableArguments", {}),
    }
    _check_size(given)
    if given.get("--job-language", "python").lower() != "python":
        raise unsupported("glue", "StartJobRun", use="--job-language: Python scripts are carried.")
    bookmark = given.get(OPTION, OPTIONS[0])
    if bookmark not in OPTIONS:
        raise invalid(f"{OPTION} must be one of {', '.join(OPTIONS)}, not '{bookmark}'.")
    if ("--job-bookmark-from" in given) != ("--job-bookmark-to" in given):
        raise invalid("--job-bookmark-from and --job-bookmark-to must be given together.")
    notification = params.get("NotificationProperty") or job.get("NotificationProperty") or {}
    executors = tuple((f"spark.executorEnv.{k}", v) for k, v in _pairs(given, "--customer-executor-env-vars"))
    return Plan(
        kind=kind,
        version="3.0" if kind == SHELL else version,
        runtime=CARRIED[DEFAULT_VERSION] if kind == SHELL else CARRIED.get(version) or ENDED[version],
        script=given.get("--scriptLocation") or job["Command"]["ScriptLocation"],
        arguments=given,
        timeout=params.get("Timeout") or job["Timeout"],
        python_files=_uris(given, "--extra-py-files"),
        files=_uris(given, "--extra-files"),
        jars=_uris(given, "--extra-jars"),
        jars_first=flag(given, "--user-jars-first"),
        modules=_modules(given),
        module_options=_words(given, "--python-modules-installer-option"),
        conf=(*_conf(given.get("--conf", "")), *executors),
        environment=_pairs(given, "--customer-driver-env-vars"),
        catalog=flag(given, "--enable-glue-datacatalog"),
        bookmark=bookmark,
        events=_events(given),
        worker=sized.get("WorkerType", ""),
        queue=bool(params.get("JobRunQueuingEnabled", job.get("JobRunQueuingEnabled"))),
        notify=notification.get("NotifyDelayAfter", 0),
        connections=tuple(job.get("Connections", {}).get("Connections", ())),
        notes=_notes(job, given),
    )


def run_capacity(job: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """What a run gets: what StartJobRun says, else the job. Raises InvalidInputException."""
    kind = job["Command"]["Name"]
    members = ("WorkerType", "NumberOfWorkers", "MaxCapacity", "AllocatedCapacity")
    given = {name: params[name] for name in members if name in params}
    if "WorkerType" in given or "NumberOfWorkers" in given:
        known = {name: job[name] for name in members[:2] if name in job}
        given = known | given
    elif not given:
        given = {name: job[name] for name in members if name in job}
        if "WorkerType" in given:
            given = {name: given[name] for name in members[:2]}
    _check_capacity(
        given | {"ExecutionClass": params.get("ExecutionClass", job.get("ExecutionClass"))},
        kind,
        0.0 if kind == SHELL else float(job["GlueVersion"]),
    )
    return capacity(given, kind)


def _events(given: Mapping[str, str]) -> str:
    """Where Spark's event log goes, as the history server reads it; "" for nowhere."""
    if not flag(given, "--enable-spark-ui"):
        return ""
    target = given.get("--spark-event-logs-path", "")
    if target:
        split_uri(target.rstrip("/") + "/-")
    return target


def _notes(job: Mapping[str, Any], given: Mapping[str, str]) -> tuple[str, ...]:
    version, kind, notes = job["GlueVersion"], job["Command"]["Name"], []
    if kind == SHELL:
        if job["Command"].get("PythonVersion") == "3":
            notes.append("warning: Python shell 3.6 is out of support on AWS; this run uses Python 3.11.")
    elif version in ENDED:
        carried = ENDED[version]
        notes.append(f"warning: Glue {version} is out of support on AWS; this run uses the runtime of Glue {carried}.")
    elif CARRIED[version] != version:
        notes.append(f"Glue {version} runs on the runtime of Glue {CARRIED[version]} here.")
    bookmarks = given.get(OPTION, OPTIONS[0]) != OPTIONS[0]
    if bookmarks and job["ExecutionProperty"].get("MaxConcurrentRuns", 1) > 1:
        notes.append("warning: bookmarks need MaxConcurrentRuns 1; concurrent runs fail at commit.")
    if bookmarks and kind == SHELL:
        notes.append("warning: Python shell jobs have no bookmarks.")
    if kind == SHELL and "--extra-files" in given:
        notes.append("warning: AWS does not copy --extra-files for Python shell jobs.")
    lakes = [lake for lake in LAKES if lake in given.get("--datalake-formats", "").replace(" ", "").split(",")]
    if lakes and "--extra-jars" not in given:
        notes.append(f"warning: the jars of {', '.join(lakes)} are not in this runtime; give them as --extra-jars.")
    return tuple(notes)


def _uris(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    uris = tuple(part.strip() for part in given.get(name, "").split(",") if part.strip())
    for uri in uris:
        if not split_uri(uri)[1] or uri.endswith("/"):
            raise invalid(f"{name} takes complete S3 paths of files, not '{uri}'.")
    return uris


def _modules(given: Mapping[str, str]) -> tuple[str, ...]:
    """`a==1,b[x,y]>2,<3` as pip's requirements: a comma within brackets or before a comparison separates nothing."""
    found: list[str] = []
    depth = 0
    for part in given.get("--additional-python-modules", "").split(","):
        joined = found and (depth or part.strip()[:1] in "<>=!~")
        if joined:
            found[-1] += f",{part.strip()}"
        elif part.strip():
            found.append(part.strip())
        depth += part.count("[") - part.count("]")
    for module in found:
        if module.startswith(("s3://", "s3a://", "s3n://")):
            split_uri(module)
        elif not (module[0].isalnum() or module.startswith("git+https://")):
            raise invalid(f"--additional-python-modules takes packages and S3 paths, not '{module}'.")
    return tuple(found)


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(given.get(name, "").replace(",", " ")))
    except ValueError as error:
        raise invalid(f"{name} cannot be read: {error}.") from None


def _pairs(given: Mapping[str, str], name: str) -> tuple[tuple[str, str], ...]:
    """`A=1,B="two, 2"`."""
    reader = shlex.shlex(given.get(name, ""), posix=True)
    reader.whitespace, reader.whitespace_split, reader.commenters = ",", True, ""
    pairs = []
    try:
        for part in reader:
            key, sign, value = part.strip().partition("=")
            if not sign or not key:
                raise ValueError(f"'{part}' is not KEY=VALUE")
            pairs.append((key, value))
    except ValueError as error:
        raise invalid(f"{name} cannot be read: {error}.") from None
    return tuple(pairs)


def _conf(text: str) -> tuple[tuple[str, str], ...]:
    """`--conf` as users write it: `a=b --conf c=d`, one argument."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise invalid(f"--conf cannot be read: {error}.") from None
    pairs = []
    for part in words:
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
