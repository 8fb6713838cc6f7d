"""A run as people see it: the execution's steps with their logs, rows, source lines, and why it failed.

Identical for the local AWS and for AWS: everything comes from boto3 clients of a `Target`.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millpond.asl import codec, graph
from millpond.aws import logs
from millpond.aws.history import History, StepRun
from millpond.aws.logs import LogRef
from millpond.aws.target import Target
from millpond.errors import MillpondError

POLL_SECONDS = {"local": 0.25}
GLUE_OUT, GLUE_ERROR = "/aws-glue/jobs/output", "/aws-glue/jobs/error"
PROCESSING = "/aws/sagemaker/ProcessingJobs"
FAILED_LINE = re.compile(r"Failed Line Number: (\d+)")
ROWS = "millpond.rows "


@dataclass
class Run:
    """One execution."""

    name: str
    arn: str
    flow: str
    status: str
    started: dt.datetime
    ended: dt.datetime | None
    steps: list[StepRun]
    error: str | None = None
    cause: str | None = None
    input: Any = None
    output: Any = None

    @property
    def seconds(self) -> float | None:
        return None if self.ended is None else (self.ended - self.started).total_seconds()

    @property
    def failed_step(self) -> StepRun | None:
        """The step that began the failure: the first that failed for good, as deep inside as it goes."""
        failed = [step for step in self.steps if step.status == "FAILED" and step.kind != "Fail"]
        deepest = [step for step in failed if not any(other.inside is step for other in failed)]
        return min(deepest, key=lambda step: step.ended or step.started, default=None)


@dataclass(frozen=True)
class Explanation:
    """Why a run failed, as far as can be known: what to print, in the order of what helps most."""

    step: StepRun | None
    error: str
    reason: str
    script_line: str = ""  # jobs/join.py:27
    script_text: str = ""  # the source of that line
    flow_line: str = ""  # pipeline.py:50
    log: tuple[str, ...] = ()
    child: str = ""  # the ARN of a child execution of a distributed Map that failed,
    child_reason: str = ""  # and its error and cause


def follow(target: Target, execution: str) -> Iterator[Run]:
    """The run again and again until it has ended; each time the same growing object's newest state."""
    lines = _lines(target, execution)
    history = History()
    described: set[int] = set()
    while True:
        found = target.client("stepfunctions").describe_execution(executionArn=execution)
        history.read(_events(target, execution, history.last_id))
        for step in history.steps:
            step.line = lines.get(step.name)
            if id(step) not in described and (step.ended or step.submitted):
                step.log = log_of(step)
            if step.map_run and id(step) not in described:
                counted = target.client("stepfunctions").describe_map_run(mapRunArn=step.map_run)
                step.items = counted["itemCounts"]
            if step.ended and id(step) not in described:
                described.add(id(step))
                step.rows = _rows(target, step)
        run = _run(found, history)
        yield run
        if run.status not in ("RUNNING", "PENDING_REDRIVE"):
            return
        time.sleep(POLL_SECONDS.get(target.name, 3.0))


def get(target: Target, execution: str) -> Run:
    """The run as it is now."""
    return next(follow(target, execution))


def recent(target: Target, limit: int = 50) -> list[dict[str, Any]]:
    """The newest executions of all state machines: name, flow, status, started, ended, arn."""
    states = target.client("stepfunctions")
    found: list[dict[str, Any]] = []
    for page in states.get_paginator("list_state_machines").paginate():
        for machine in page["stateMachines"]:
            if machine["type"] == "EXPRESS":
                continue
            listed = states.list_executions(stateMachineArn=machine["stateMachineArn"], maxResults=limit)
            found += [{**execution, "flow": machine["name"]} for execution in listed["executions"]]
    return sorted(found, key=lambda execution: execution["startDate"], reverse=True)[:limit]


def find(target: Target, name: str) -> str:
    """The ARN of the execution that `name` means: `last`, an ARN, a name, or a unique beginning or end of one."""
    if name.startswith("arn:"):
        return name
    known = recent(target, 1000)
    if not known:
        raise MillpondError("there are no runs yet", help="millpond run")
    if name == "last":
        return str(known[0]["executionArn"])
    exact = [run for run in known if run["name"] == name]
    fits = exact or [run for run in known if run["name"].startswith(name) or run["name"].endswith(name)]
    if len(fits) != 1:
        word = "no run is" if not fits else f"{len(fits)} runs are"
        raise MillpondError(f"{word} called {name}", help="millpond runs")
    return str(fits[0]["executionArn"])


def explain(target: Target, run: Run, *, lines: int = 15) -> Explanation:
    """Why a run failed: the failed step, its own line, the flow's line, the end of its log; of a distributed Map the
    last child that failed."""
    step = run.failed_step
    if step is None:
        return Explanation(None, run.error or run.status, _reason(run.cause))
    reason = _reason(step.cause or run.cause)
    tail = _tail(target, step, lines)
    place, text = _script(target, step, tail)
    child, why = _failed_child(target, step.map_run) if step.map_run else ("", "")
    error = step.error or run.error or ""
    return Explanation(step, error, reason, place, text, step.line or "", tuple(tail), child, why)


def to_json(run: Run) -> dict[str, Any]:
    """The run for scripts: the shape of `millpond run --json` and `show --json`."""
    return {
        "name": run.name,
        "executionArn": run.arn,
        "flow": run.flow,
        "status": run.status,
        "startDate": run.started.isoformat(),
        "seconds": run.seconds,
        "error": run.error,
        "cause": run.cause,
        "input": run.input,
        "output": run.output,
        "steps": [_step_json(step) for step in run.steps],
    }


def _step_json(step: StepRun) -> dict[str, Any]:
    return {
        "name": step.name,
        "label": step.label,
        "type": step.kind,
        "status": step.status,
        "startDate": step.started.isoformat(),
        "seconds": step.seconds,
        "attempts": step.attempts,
        "error": step.error,
        "cause": step.cause,
        "rows": step.rows,
        "log": str(step.log) if step.log else None,
        "source": step.line,
        "inside": step.inside.name if step.inside else None,
        "item": step.item,
        "mapRunArn": step.map_run,
        "items": step.items,
    }


def log_of(step: StepRun) -> LogRef | None:
    """Where a step's log is: Glue, SageMaker and Lambda have one."""
    called = step.submitted
    match (step.resource or "").split(":")[0]:
        case "glue" if "JobName" in called and (run_id := called.get("JobRunId") or called.get("Id")):
            return LogRef(GLUE_ERROR if step.status == "FAILED" else GLUE_OUT, str(run_id))
        case "sagemaker" if name := called.get("ProcessingJobName"):
            return LogRef(PROCESSING, f"{name}/algo-1")
        case "lambda" if name := called.get("FunctionName"):
            return LogRef(f"/aws/lambda/{str(name).split(':')[-1]}", "")
    return None


def log_lines(target: Target, step: StepRun) -> Iterator[str]:
    """A step's whole log. A Glue job's is two streams: what it printed, then what went wrong.

    Since Glue 5 what a script writes to stderr is in both; it is told once.
    """
    if step.log is None:
        return
    if step.log.group in (GLUE_OUT, GLUE_ERROR):
        told = set()
        for line in logs.read(target, LogRef(GLUE_OUT, step.log.stream)):
            told.add(line)
            yield line
        yield from (line for line in logs.read(target, LogRef(GLUE_ERROR, step.log.stream)) if line not in told)
        return
    since = int(step.started.timestamp() * 1000) - 1000
    yield from logs.read(target, step.log, since=since)


def _run(found: Mapping[str, Any], history: History) -> Run:
    return Run(
        found["name"],
        found["executionArn"],
        found["stateMachineArn"].rsplit(":", 1)[-1],
        found["status"],
        found["startDate"],
        found.get("stopDate"),
        history.steps,
        found.get("error") or history.error,
        found.get("cause") or history.cause,
        _json(found.get("input")),
        _json(found.get("output")),
    )


def _events(target: Target, execution: str, last_id: int) -> list[dict[str, Any]]:
    """The events behind `last_id`, in order. Asks newest first, so that following a long run stays cheap."""
    states = target.client("stepfunctions")
    found: list[dict[str, Any]] = []
    request = {"executionArn": execution, "reverseOrder": True, "maxResults": 200 if last_id else 1000}
    while True:
        page = states.get_execution_history(**request)
        found += [event for event in page["events"] if event["id"] > last_id]
        if not page.get("nextToken") or (page["events"] and page["events"][-1]["id"] <= last_id):
            return found[::-1]
        request["nextToken"] = page["nextToken"]


def _lines(target: Target, execution: str) -> dict[str, str]:
    """State name -> source line: the compiler and the blocks keep it as the state's Comment."""
    described = target.client("stepfunctions").describe_state_machine_for_execution(executionArn=execution)
    machine = codec.from_json(described["definition"])
    return dict(graph.comments(machine))


def _rows(target: Target, step: StepRun) -> Mapping[str, int] | None:
    """Rows read and written, from the line that a job prints at its end."""
    if step.log is None or step.log.group not in (GLUE_OUT, PROCESSING):
        return None
    for message in reversed(logs.tail(target, step.log, 20)):
        if message.startswith(ROWS):
            counted = _json(message.removeprefix(ROWS))
            return counted if isinstance(counted, dict) else None
    return None


def _reason(cause: str | None) -> str:
    """The readable part of a cause: services put their whole answer there as JSON."""
    found = _json(cause)
    if isinstance(found, Mapping):
        for name in ("ErrorMessage", "FailureReason", "errorMessage", "StateChangeReason", "Cause"):
            if isinstance(found.get(name), str):
                return str(found[name])
        status = found.get("Status") or (found.get("QueryExecution") or {}).get("Status")
        if isinstance(status, Mapping) and "StateChangeReason" in status:
            return str(status["StateChangeReason"])
    return cause or ""


def _tail(target: Target, step: StepRun, lines: int) -> list[str]:
    if step.log is None:
        return []
    if step.log.stream:
        return logs.tail(target, step.log, lines)
    return list(log_lines(target, step))[-lines:]


def _failed_child(target: Target, map_run: str) -> tuple[str, str]:
    """A child execution that failed, and why; empty where none did."""
    states = target.client("stepfunctions")
    found = states.list_executions(mapRunArn=map_run, statusFilter="FAILED", maxResults=1)["executions"]
    if not found:
        return "", ""
    child = states.describe_execution(executionArn=found[0]["executionArn"])
    return child["executionArn"], f"{child.get('error', '')}  {_reason(child.get('cause'))}".strip()


def _script(target: Target, step: StepRun, tail: list[str]) -> tuple[str, str]:
    """The user's own failing line, `jobs/join.py:27`, and its text."""
    called, cause = step.submitted, step.cause or ""
    if (found := FAILED_LINE.search(cause)) and "JobName" in called:
        job = target.client("glue").get_job(JobName=called["JobName"])["Job"]
        location = job["Command"]["ScriptLocation"]
        return _line_of(target, location, int(found.group(1)))
    if "ProcessingJobName" in called:
        frames = re.findall(r'File "[^"]*/input/code/([^"]+)", line (\d+)', "\n".join(tail))
        return (f"{frames[-1][0]}:{frames[-1][1]}", "") if frames else ("", "")
    frames = re.findall(r'File "/var/task/([^"]+)", line (\d+)', cause)
    return (f"{frames[-1][0]}:{frames[-1][1]}", "") if frames else ("", "")


def _line_of(target: Target, location: str, number: int) -> tuple[str, str]:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    path = re.sub(r"^assets/[0-9a-f]{16}/", "", key)
    s3 = target.client("s3")
    try:
        text = s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode(errors="replace").splitlines()
    except s3.exceptions.ClientError:
        text = []
    return f"{path}:{number}", text[number - 1].strip() if 0 < number <= len(text) else ""


def _json(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
