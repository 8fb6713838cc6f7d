"""The work of a ResultWriter: the results of a Map Run's children as files in S3, and the manifest that names them.

    <Prefix>/<Map Run>/manifest.json
    <Prefix>/<Map Run>/SUCCEEDED_0.json     FAILED_0.json: failed, timed out and aborted; PENDING_0.json: not begun

Records are read and written one after the other. Doing it twice, as after a kill, writes the same files.
Source: AWS's "ResultWriter (Map)". **Limit**: where AWS begins another file is not documented; here it is at 1 GiB.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.engine.results import transformed
from millpond.local.states.integrations import Failure

if TYPE_CHECKING:
    from millpond.engine.doors import Child, TaskCall
    from millpond.local.service import Endpoint
    from millpond.local.states.records import Records

FAILED = "States.ResultWriterFailed"
MOST_BYTES = 1 << 30
GROUPS = {"SUCCEEDED": "SUCCEEDED", "PENDING": "PENDING"}  # all other statuses: FAILED


@dataclass(slots=True)
class _File:
    """A result file that is being written."""

    open: Any
    size: int = 0


@dataclass(slots=True)
class _Group:
    """The files of one kind. `done` are keys and sizes."""

    file: _File | None = None
    done: list[dict[str, Any]] = field(default_factory=list)


class ResultWriters:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint, records: Records) -> None:
        self.endpoint, self.records = endpoint, records

    def write(self, call: TaskCall) -> dict[str, Any]:
        """Write everything; the answer is the state's output. Raises Failure."""
        given: Any = call.arguments
        parameters = given["Parameters"] if isinstance(given["Parameters"], dict) else {}
        bucket, prefix, arn = parameters.get("Bucket"), parameters.get("Prefix") or "", given["MapRunArn"]
        if not isinstance(bucket, str) or not isinstance(prefix, str):
            raise Failure(FAILED, "The Bucket and the Prefix of a ResultWriter must be strings.")
        base = "/".join(part for part in (prefix.strip("/"), arn.rpartition(":")[2]) if part)
        try:
            files = _Files(self.endpoint, bucket, base, given["OutputType"])
            for group, text in self._results(arn, given["Transformation"]):
                files.add(group, text)
            found = files.close()
            manifest = {"DestinationBucket": bucket, "MapRunArn": arn, "ResultFiles": found}
            key = f"{base}/manifest.json"
            self.endpoint.client("s3").put_object(
                Bucket=bucket, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json"
            )
        except ClientError as error:
            said = error.response.get("Error", {})
            cause = f"{said.get('Message')} (Service: Amazon S3; Error Code: {said.get('Code')}; Bucket: {bucket})"
            raise Failure(FAILED, cause) from None
        except BotoCoreError as error:
            raise Failure(FAILED, str(error)) from None
        return {"MapRunArn": arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}

    def _results(self, arn: str, transformation: str) -> Iterator[tuple[str, str]]:
        for child in self.records.children(arn):
            for text in transformed((child,), transformation):
                yield _group(child), text


def _group(child: Child) -> str:
    return GROUPS.get(child.status, "FAILED")


class _Files:
    """The result files of one Map Run, each in a temporary file until it is whole."""

    def __init__(self, endpoint: Endpoint, bucket: str, base: str, kind: str) -> None:
        self.client, self.bucket, self.base = endpoint.client("s3"), bucket, base
        self._folder = endpoint.folder("states", "items")
        self._lines = kind == "JSONL"
        self._groups = {name: _Group() for name in ("FAILED", "PENDING", "SUCCEEDED")}
        self.client.head_bucket(Bucket=bucket)

    def add(self, name: str, text: str) -> None:
        group = self._groups[name]
        raw = text.encode()
        if group.file is not None and group.file.size + len(raw) > MOST_BYTES:
            self._finish(name, group)
        if group.file is None:
            group.file = _File(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115 (_finish closes it)
            self._write(group.file, b"" if self._lines else b"[")
        elif not self._lines:
            self._write(group.file, b",")
        self._write(group.file, raw + b"\n" if self._lines else raw)

    @staticmethod
    def _write(file: _File, raw: bytes) -> None:
        file.open.write(raw)
        file.size += len(raw)

    def _finish(self, name: str, group: _Group) -> None:
        """The file is whole: it becomes an object."""
        from boto3.s3.transfer import TransferConfig

        file = group.file
        assert file is not None
        if not self._lines:
            self._write(file, b"]")
        key = f"{self.base}/{name}_{len(group.done)}.{'jsonl' if self._lines else 'json'}"
        file.open.seek(0)
        self.client.upload_fileobj(file.open, self.bucket, key, Config=TransferConfig(use_threads=False))
        file.open.close()
        group.done.append({"Key": key, "Size": file.size})
        group.file = None

    def close(self) -> dict[str, list[dict[str, Any]]]:
        """What the manifest says of them."""
        for name, group in self._groups.items():
            if group.file is not None:
                self._finish(name, group)
        return {name: group.done for name, group in self._groups.items()}
