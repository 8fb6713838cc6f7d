"""SageMaker processing jobs, really run: the container's command as a process of this machine.

A processing job on AWS is a container with folders below /opt/ml/processing that are filled from S3 before and copied
to S3 after. Here the command runs as an ordinary process in a folder of its own, and **every `/opt/ml/...` in its entry
point, arguments and environment is replaced by that folder's path** (as is `/opt/ml` in `processingjobconfig.json`). A
script that takes its paths as arguments therefore runs unchanged; one with the paths written into its code does not.

Images: one of AWS's scikit-learn images, or any image whose name says python. The interpreter is the endpoint's own, or
the one named by MILLPOND_PROCESSING_PYTHON. Other images are refused, and so are training, transform and tuning jobs.

A job runs once, whatever InstanceCount says, and sees all of its inputs; outputs are uploaded when it has ended.

Durable: the process is supervised apart from the endpoint (supervise.py); a killed endpoint finds it again.
Sources: "CreateProcessingJob" and "How Amazon SageMaker Processing configures your processing container".
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from millpond.local import processes, supervise
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

ROOT = "/opt/ml"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
POLL_SECONDS = 0.1
CARRIED_INPUT = {"S3DataType": "S3Prefix", "S3InputMode": "File", "S3CompressionType": "None"}
IMAGES = re.compile(r"(scikit-learn|sklearn|python)", re.IGNORECASE)


class JobFailed(Exception):
    """The job cannot go on; the text becomes its FailureReason."""


class SageMaker:
    """See the module's docstring."""

    name = "sagemaker"
    moto: frozenset[str] = frozenset()
    schema = """
    CREATE TABLE IF NOT EXISTS sagemaker_jobs (
        name TEXT PRIMARY KEY, status TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
        started REAL, ended REAL, request TEXT NOT NULL, failure TEXT, exit_message TEXT, tags TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS sagemaker_jobs_created ON sagemaker_jobs (created);
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
        self._closing = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateProcessingJob": self.create,
            "DescribeProcessingJob": self.describe,
            "StopProcessingJob": self.stop_job,
            "ListProcessingJobs": self.list,
            "AddTags": self.add_tags,
            "ListTags": self.list_tags,
        }

    def start(self) -> None:
        """Take up the jobs that a killed endpoint left."""
        for row in self.store.read("SELECT name FROM sagemaker_jobs WHERE status IN ('InProgress', 'Stopping')"):
            self._watch(row["name"])

    def stop(self) -> None:
        """Stop watching; the processes go on and are found again at the next start."""
        self._closing.set()
        for thread in list(self._threads.values()):
            thread.join(10)

    # ------------------------------------------------------------------------------------------------- operations

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, image = params["ProcessingJobName"], params["AppSpecification"]["ImageUri"]
        if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name):
            raise AwsError("ValidationException", f"1 validation error detected: Value '{name}' at 'processingJobName'"
                           " failed to satisfy constraint: Member must satisfy regular expression pattern: "
                           "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # fmt: skip
        if not IMAGES.search(image.rsplit("/", 1)[-1]):
            raise unsupported("sagemaker", "CreateProcessingJob", f"The image {image} is not one that runs as Python.")
        _refuse(params)
        now = time.time()
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM sagemaker_jobs WHERE name = ?", (name,)).fetchone():
                raise AwsError(
                    "ResourceInUse", f"Processing job name must be unique within an AWS account and region: {name}"
                )
            tags = json.dumps({tag["Key"]: tag["Value"] for tag in params.get("Tags", [])})
            db.execute(
                "INSERT INTO sagemaker_jobs (name, status, created, modified, request, tags) VALUES (?,?,?,?,?,?)",
                (name, "InProgress", now, now, json.dumps(params), tags),
            )
        self._watch(name)
        return {"ProcessingJobArn": self._arn(name)}

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._row(params["ProcessingJobName"])
        request = json.loads(row["request"])
        request.pop("Tags", None)
        answer: dict[str, Any] = request | {
            "ProcessingJobArn": self._arn(row["name"]),
            "ProcessingJobStatus": row["status"],
            "CreationTime": _moment(row["created"]),
            "LastModifiedTime": _moment(row["modified"]),
        }
        more = {
            "ProcessingStartTime": _moment(row["started"]),
            "ProcessingEndTime": _moment(row["ended"]),
            "FailureReason": row["failure"],
            "ExitMessage": row["exit_message"],
        }
        return answer | {key: value for key, value in more.items() if value is not None}

    def stop_job(self, params: dict[str, Any], call: Call) -> None:
        name = self._row(params["ProcessingJobName"])["name"]
        with self.store.write() as db:  # the job may end at this moment: what has ended is not stopping
            stopping = "UPDATE sagemaker_jobs SET status = 'Stopping', modified = ? WHERE name = ? AND status IN (?, ?)"
            found = db.execute(stopping, (time.time(), name, "InProgress", "Stopping")).rowcount
        if not found:
            status = self._row(name)["status"]
            raise AwsError("ValidationException", f"The job {name} is in status {status} and cannot stop.")
        supervise.stop(self._folder(name))

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = self.store.read("SELECT * FROM sagemaker_jobs ORDER BY created DESC, name")
        if wanted := params.get("StatusEquals"):
            rows = [row for row in rows if row["status"] == wanted]
        if part := params.get("NameContains"):
            rows = [row for row in rows if part in row["name"]]
        refused = set(params) - {"StatusEquals", "NameContains", "MaxResults", "NextToken"}
        if refused:
            raise unsupported("sagemaker", "ListProcessingJobs", f"{', '.join(sorted(refused))} is not carried.")
        try:
            first = int(params.get("NextToken") or 0)
        except ValueError:
            raise AwsError("ValidationException", "Invalid NextToken") from None
        size = params.get("MaxResults", 10)
        page = rows[first : first + size]
        answer: dict[str, Any] = {"ProcessingJobSummaries": [self._summary(row) for row in page]}
        return answer | ({"NextToken": str(first + size)} if first + size < len(rows) else {})

    def add_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._row(params["ResourceArn"].rsplit("/", 1)[-1])
        tags = json.loads(row["tags"]) | {tag["Key"]: tag["Value"] for tag in params["Tags"]}
        self._set(row["name"], tags=json.dumps(tags))
        return {"Tags": _tags(tags)}

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Tags": _tags(json.loads(self._row(params["ResourceArn"].rsplit("/", 1)[-1])["tags"]))}

    # ----------------------------------------------------------------------------------------------------- a job

    def _watch(self, name: str) -> None:
        thread = threading.Thread(target=self._live, args=(name,), name=f"processing-{name}", daemon=True)
        self._threads[name] = thread
        thread.start()

    def _live(self, name: str) -> None:
        """A job's life, from wherever it stands: fill the folders, run, upload, record."""
        request = json.loads(self._row(name)["request"])
        folder = self._folder(name)
        try:
            if not (folder / "filled").exists():
                self._fill(request, folder)
            if not (folder / "pid.json").exists():
                self._launch(name, request, folder)
            outcome = self._wait(name, folder)
            if outcome is not None:
                self._end(name, request, folder, outcome)
        except JobFailed as error:
            self._set(name, status="Failed", failure=str(error), ended=time.time())
        except Exception as error:  # the job must not stay InProgress for ever because of a mistake of ours
            if self._closing.is_set():  # it may have failed because everything ends: the next start takes it up
                return
            self._set(name, status="Failed", failure=f"InternalServerError: {type(error).__name__}", ended=time.time())
            raise
        finally:
            self._threads.pop(name, None)

    def _fill(self, request: dict[str, Any], folder: Path) -> None:
        shutil.rmtree(folder / "ml", ignore_errors=True)
        for item in request.get("ProcessingInputs", []):
            source = item["S3Input"]
            target = self._inside(folder, source["LocalPath"])
            target.mkdir(parents=True, exist_ok=True)
            found = 0
            for key, path in self._objects(source["S3Uri"]):
                destination = target / key
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, destination)
                found += 1
            if not found:
                raise JobFailed(
                    f'ClientError: No S3 objects found under S3 URL "{source["S3Uri"]}" given in input data source. '
                    "Please ensure that the bucket exists in the selected region, and objects under that S3 prefix"
                )
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            self._inside(folder, output["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
        config = folder / "ml" / "config"
        config.mkdir(parents=True, exist_ok=True)
        (folder / "ml" / "output").mkdir(parents=True, exist_ok=True)
        text = json.dumps(request).replace(ROOT, str(folder / "ml"))
        (config / "processingjobconfig.json").write_text(text)
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
        (folder / "filled").touch()

    def _objects(self, uri: str) -> Iterator[tuple[str, Path]]:
        """The objects that an S3Prefix stands for, with their paths below the input's folder."""
        where = urlsplit(uri)
        bucket, prefix = where.netloc, where.path.lstrip("/")
        for found in self.endpoint.services["s3"].objects(bucket, prefix):  # type: ignore[attr-defined]
            if found.key.endswith("/"):
                continue
            below = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
            parent = prefix[: prefix.rfind("/") + 1]
            yield found.key.removeprefix(below if found.key.startswith(below) else parent), found.path

    def _launch(self, name: str, request: dict[str, Any], folder: Path) -> None:
        specification = request["AppSpecification"]
        command = [*specification.get("ContainerEntrypoint", []), *specification.get("ContainerArguments", [])]
        command = [part.replace(ROOT, str(folder / "ml")) for part in command]
        if not command or not re.fullmatch(r"(.*/)?python[0-9.]*", command[0]):
            raise JobFailed("ClientError: ContainerEntrypoint must begin with a Python, such as python3")
        command[0] = os.environ.get("MILLPOND_PROCESSING_PYTHON", sys.executable)
        variables = {
            key: value.replace(ROOT, str(folder / "ml")) for key, value in request.get("Environment", {}).items()
        }
        home = folder / "home"
        home.mkdir(exist_ok=True)
        access_key, secret_key = self.endpoint.key("sagemaker/processing")
        env = processes.environment(
            home=home,
            url=self.endpoint.url,
            access_key=access_key,
            secret_key=secret_key,
            region=self.endpoint.region,
            extra={**variables, "MPLBACKEND": "Agg"},
        )
        limit = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", 86_400)
        supervise.start(folder, command, env, cwd=folder / "ml", timeout=limit)
        self._set(name, started=time.time())

    def _wait(self, name: str, folder: Path) -> supervise.Outcome | None:
        """Follow the process, its output into the log; None when the endpoint closes before the end."""
        offsets = {"stdout": 0, "stderr": 0}
        position = folder / "logged.json"
        if position.exists():
            offsets = json.loads(position.read_text())
        while True:
            outcome = supervise.poll(folder)
            before = dict(offsets)
            for kind in offsets:
                offsets[kind] = self._log(name, folder / kind, offsets[kind], final=outcome is not None)
            if offsets != before:
                position.write_text(json.dumps(offsets))
            if outcome is not None:
                return outcome
            if self._closing.wait(POLL_SECONDS):
                return None

    def _log(self, name: str, path: Path, offset: int, *, final: bool) -> int:
        """Send whole lines behind `offset` to the log; returns the new offset."""
        if not path.exists():
            return offset
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(1 << 20)
        whole = content if final else content[: content.rfind(b"\n") + 1]
        lines = whole.decode(errors="replace").splitlines()
        if lines:
            now = int(time.time() * 1000)
            self.endpoint.services["logs"].write(LOG_GROUP, f"{name}/algo-1", [(now, line) for line in lines])  # type: ignore[attr-defined]
        offset += len(whole)
        return self._log(name, path, offset, final=final) if final and len(content) == 1 << 20 else offset

    def _end(self, name: str, request: dict[str, Any], folder: Path, outcome: supervise.Outcome) -> None:
        message = folder / "ml" / "output" / "message"
        said = message.read_text(errors="replace")[:1024] if message.is_file() else None
        if outcome.lost:
            failure: str | None = "InternalServerError: the machine went down while the job ran"
            status = "Failed"
        elif outcome.stopped or outcome.timed_out:
            status, failure = "Stopped", None
        elif outcome.exit_code:
            status, failure = "Failed", f"AlgorithmError: {self._reason(folder)}, exit code: {outcome.exit_code}"
        else:
            self._upload(request, folder)
            status, failure = "Completed", None
        self._set(
            name,
            status=status,
            failure=failure and failure[:1024],
            exit_message=said,
            ended=outcome.ended or time.time(),
        )
        shutil.rmtree(folder, ignore_errors=True)

    def _reason(self, folder: Path) -> str:
        """The last line of what the command said on stderr: for Python the exception."""
        lines = (
            (folder / "stderr").read_text(errors="replace").strip().splitlines() if (folder / "stderr").exists() else []
        )
        return lines[-1].strip() if lines else "the command said nothing on stderr"

    def _upload(self, request: dict[str, Any], folder: Path) -> None:
        s3 = self.endpoint.services["s3"]
        for output in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
            where = urlsplit(output["S3Output"]["S3Uri"])
            local = self._inside(folder, output["S3Output"]["LocalPath"])
            prefix = where.path.strip("/")
            for path in sorted(local.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    key = "/".join(part for part in (prefix, path.relative_to(local).as_posix()) if part)
                    try:
                        s3.put_file(where.netloc, key, path)  # type: ignore[attr-defined]
                    except AwsError as error:
                        raise JobFailed(
                            f"ClientError: Failed to upload output {output['OutputName']}: {error}"
                        ) from error

    def _inside(self, folder: Path, path: str) -> Path:
        """Where a path of the container lies on this machine; it must stay below /opt/ml."""
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            raise JobFailed(f"ClientError: LocalPath {path} must lie below {ROOT}/processing")
        root = (folder / "ml").resolve()
        found = (root / path.removeprefix(ROOT).lstrip("/")).resolve()
        if not found.is_relative_to(root):
            raise JobFailed(f"ClientError: LocalPath {path} leaves {ROOT}")
        return found

    # ------------------------------------------------------------------------------------------------------- rows

    def _row(self, name: str) -> Any:
        row = self.store.one("SELECT * FROM sagemaker_jobs WHERE name = ?", (name,))
        if row is None:
            raise AwsError("ValidationException", f"Could not find requested job with name: {name}")
        return row

    def _set(self, name: str, **columns: Any) -> None:
        columns["modified"] = time.time()
        assignments = ", ".join(f"{column} = ?" for column in columns)
        with self.store.write() as db:
            db.execute(f"UPDATE sagemaker_jobs SET {assignments} WHERE name = ?", (*columns.values(), name))

    def _summary(self, row: Any) -> dict[str, Any]:
        found = self.describe({"ProcessingJobName": row["name"]}, None)  # type: ignore[arg-type]
        names = ("ProcessingJobArn", "CreationTime", "LastModifiedTime", "ProcessingJobStatus", "FailureReason")
        more = {"ProcessingJobName": row["name"], "ProcessingEndTime": found.get("ProcessingEndTime")}
        summary = {key: found[key] for key in names if key in found} | more
        return {key: value for key, value in summary.items() if value is not None}

    def _arn(self, name: str) -> str:
        return self.endpoint.arn("sagemaker", f"processing-job/{name}")

    def _folder(self, name: str) -> Path:
        return self.endpoint.folder("sagemaker", name)


def _refuse(params: dict[str, Any]) -> None:
    """Refuse what would be done differently here."""
    for item in params.get("ProcessingInputs", []):
        source = item.get("S3Input")
        if source is None:
            raise unsupported("sagemaker", "CreateProcessingJob", "Only S3Input is carried.")
        for member, carried in CARRIED_INPUT.items():
            if source.get(member, carried) != carried:
                raise unsupported("sagemaker", "CreateProcessingJob", f"{member} {source[member]} is not carried.")
    for output in params.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if "S3Output" not in output:
            raise unsupported("sagemaker", "CreateProcessingJob", "Only S3Output is carried.")


def _moment(seconds: float | None) -> dt.datetime | None:
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


def _tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
