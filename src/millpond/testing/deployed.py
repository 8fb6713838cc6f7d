"""Deployed machines in tests: an endpoint of the test's own, a machine on it, its tasks mocked, its run.

    with LocalEndpoint.started(folder) as endpoint:
        machine = endpoint.create("nightly.asl.json")
        machine.on("Join").fail("States.TaskFailed", "OOM", times=2).succeed({"JobRunState": "SUCCEEDED"})
        run = machine.run({"day": "2026-11-23"})

Mocks go through Step Functions Local's mock configuration, which the endpoint re-reads: states without a mock call the
real local service. The endpoint is a process, as `millpond up` starts it; nothing reaches AWS.

May import: testing, aws; project, stack and deploy where a project is deployed.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millpond.asl import to_json
from millpond.asl.graph import walk
from millpond.asl.mocks import ACTIVITY
from millpond.asl.model import Json, Machine, Task
from millpond.asl.resources import read as read_resource
from millpond.aws.target import Target
from millpond.errors import MillpondError
from millpond.testing.machines import as_machine, name_of
from millpond.testing.runs import Run

ROLE = "arn:aws:iam::000000000000:role/millpond-tests"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
RUN_SECONDS = 60.0
FOREVER = 999_999_999
_numbers = itertools.count(1)


@dataclass(repr=False)
class LocalEndpoint:
    """A local AWS in a folder of its own, until the end of the `with` block."""

    target: Target
    mocks: Path
    stamp: int = 0

    @classmethod
    @contextlib.contextmanager
    def started(cls, data: Path, *, time_scale: float = 1.0) -> Iterator[LocalEndpoint]:
        """Start one. Raises MillpondError with the end of its log when it does not answer."""
        data.mkdir(parents=True, mode=0o700, exist_ok=True)
        mocks, log = data / "mocks.json", data / "endpoint.log"
        mocks.write_text('{"StateMachines": {}}')
        command = [sys.executable, "-m", "millpond.local", "--data", str(data), "--port", "0"]
        command += ["--time-scale", str(time_scale), "--mock-config", str(mocks)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            _answering(process, data, log)
            yield cls(Target.local(data), mocks)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __repr__(self) -> str:
        return f"<LocalEndpoint {self.url}>"

    @property
    def url(self) -> str:
        assert self.target.endpoint_url is not None
        return self.target.endpoint_url

    @property
    def environment(self) -> dict[str, str]:
        """What points boto3 and the AWS CLI of a child process here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.target.access_key or "",
            "AWS_SECRET_ACCESS_KEY": self.target.secret_key or "",
            "AWS_DEFAULT_REGION": self.target.region,
        }

    def client(self, service: str) -> Any:
        """A boto3 client of this endpoint."""
        return self.target.client(service)

    def create(self, machine: object, *, express: bool = False, role: str | None = None) -> Deployed:
        """Create a state machine from whatever describes one. Raises MillpondError with AWS's words when refused."""
        model = as_machine(machine)
        name = f"{re.sub(r'[^A-Za-z0-9_-]', '-', name_of(machine))[:60]}-{next(_numbers)}"
        states = self.client("stepfunctions")
        kind = "EXPRESS" if express else "STANDARD"
        try:
            made = states.create_state_machine(
                name=name, definition=json.dumps(to_json(model)), roleArn=role or ROLE, type=kind
            )
        except states.exceptions.ClientError as error:
            raise MillpondError(
                error.response["Error"]["Message"], help="millpond check FILE shows the place"
            ) from None
        return Deployed(self, made["stateMachineArn"], model, express, name_of(machine))

    def mock(self, config: Mapping[str, Any]) -> None:
        """Let the endpoint read another mock configuration."""
        staged = self.mocks.with_suffix(".new")
        staged.write_text(json.dumps(config), "utf-8")
        # The endpoint looks at size and time of the file: two writes within one tick of the clock must differ.
        self.stamp = max(self.stamp + 1, time.time_ns())
        os.utime(staged, ns=(self.stamp, self.stamp))
        os.replace(staged, self.mocks)


def _answering(process: subprocess.Popen[bytes], data: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (data / "endpoint.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = "\n  ".join(log.read_text("utf-8", "replace").splitlines()[-8:])
            raise MillpondError(f"the tests' local AWS did not start:\n  {said}")
        time.sleep(0.02)


@dataclass
class MockedState:
    """What a Task state answers, call by call; the last answer holds for ever."""

    state: str
    answers: list[Mapping[str, Any]] = field(default_factory=list)

    def succeed(self, output: Json = None, *, times: int = 1) -> MockedState:
        """Return this value."""
        self.answers += [{"Return": output}] * times
        return self

    def fail(self, error: str, cause: str | None = None, *, times: int = 1) -> MockedState:
        """Fail with this error."""
        self.answers += [{"Throw": {"Error": error} | ({} if cause is None else {"Cause": cause})}] * times
        return self

    @property
    def response(self) -> dict[str, Mapping[str, Any]]:
        """The mocked response of the configuration."""
        if not self.answers:
            raise MillpondError(
                f"on({self.state!r}) says no answer", help=f"machine.on({self.state!r}).succeed({{...}})"
            )
        keys = [str(number) for number in range(len(self.answers))]
        keys[-1] = f"{keys[-1]}-{FOREVER}"
        return dict(zip(keys, self.answers, strict=True))


@dataclass(repr=False)
class Deployed:
    """A machine on the endpoint: say what its tasks answer, run it, look at the run."""

    endpoint: LocalEndpoint
    arn: str
    machine: Machine
    express: bool = False
    title: str = ""  # what a mock configuration calls it
    mocked: dict[str, MockedState] = field(default_factory=dict)
    last: Run | None = None

    def __repr__(self) -> str:
        return f"<Deployed {self.name}>"

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]

    def on(self, state: str) -> MockedState:
        """Mock a Task state: every later `run` answers for it. Saying it again begins anew."""
        tasks = {visit.name: visit.state for visit in walk(self.machine) if isinstance(visit.state, Task)}
        if state not in tasks:
            known = ", ".join(tasks) or "none"
            raise MillpondError(f"no Task state is called '{state}'", help=f"its Task states: {known}")
        resource = read_resource(tasks[state].resource)
        if resource is not None and resource.kind == "activity":
            raise MillpondError(ACTIVITY, help="poll it: endpoint.client('stepfunctions').get_activity_task(...)")
        self.mocked[state] = MockedState(state)
        return self.mocked[state]

    def run(
        self,
        input: Json = None,
        *,
        mocks: Path | str | None = None,
        case: str | None = None,
        seconds: float = RUN_SECONDS,
    ) -> Run:
        """Run it to its end, within so many real seconds; longer runs are stopped and told.

        `mocks` and `case` use a MockConfigFile.json as it is, instead of what `on` said. The run of an Express machine
        has no steps: its history is in the logs only, on AWS too.
        """
        arn = self._started_as(mocks, case)
        client, text = self.endpoint.client("stepfunctions"), json.dumps({} if input is None else input)
        if self.express:
            self.last = _sync(client.start_sync_execution(stateMachineArn=arn, input=text))
            return self.last
        execution = client.start_execution(stateMachineArn=arn, input=text)["executionArn"]
        self.last = run = wait(client, execution, seconds)
        if run.status == "RUNNING":
            client.stop_execution(executionArn=execution)
            raise MillpondError(
                f"it still ran after {seconds:.0f} s and was stopped\n{run}", help="run(..., seconds=N)"
            )
        return run

    def _started_as(self, mocks: Path | str | None, case: str | None) -> str:
        """The ARN to start, after the endpoint was told the mocks."""
        if mocks is not None:
            from millpond.testing.simulation import test_case

            config = json.loads(Path(mocks).read_text("utf-8"))
            chosen = test_case(config, self.title, case)
            states = {state: response.name for state, response in chosen.responses.items()}
            responses = config.get("MockedResponses", {})
        elif self.mocked:
            states = {state: state for state in self.mocked}
            responses = {state: mocked.response for state, mocked in self.mocked.items()}
        else:
            return self.arn
        name = f"case-{next(_numbers)}"
        cases = {self.name: {"TestCases": {name: states}}}
        self.endpoint.mock({"StateMachines": cases, "MockedResponses": responses})
        return f"{self.arn}#{name}"


def wait(client: Any, execution: str, seconds: float) -> Run:
    """The run of an execution when it has ended, or as it is after so many seconds."""
    deadline, pause = time.monotonic() + seconds, 0.005
    while client.describe_execution(executionArn=execution)["status"] == "RUNNING":
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
        pause = min(0.1, pause * 1.5)
    return read(client, execution)


def read(client: Any, execution: str) -> Run:
    """The run of an execution as it is now."""
    found = client.describe_execution(executionArn=execution)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    events = [_event(event) for page in pages for event in page["events"]]
    ended = found.get("stopDate") or dt.datetime.now(dt.UTC)
    return Run(
        found["status"],
        json.loads(found["output"]) if found.get("output") is not None else None,
        found.get("error"),
        found.get("cause"),
        seconds=(ended - found["startDate"]).total_seconds(),
        recorded=events,
        family=lambda: _children(client, execution) if any(e["type"] == "MapRunStarted" for e in events) else (),
    )


def _children(client: Any, execution: str) -> Iterator[Run]:
    for runs in client.get_paginator("list_map_runs").paginate(executionArn=execution):
        for run in runs["mapRuns"]:
            for page in client.get_paginator("list_executions").paginate(mapRunArn=run["mapRunArn"]):
                yield from (read(client, child["executionArn"]) for child in page["executions"])


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "timestamp": event["timestamp"].timestamp()}


def _sync(answer: Mapping[str, Any]) -> Run:
    return Run(
        answer["status"],
        json.loads(answer["output"]) if answer.get("output") is not None else None,
        answer.get("error"),
        answer.get("cause"),
        seconds=(answer["stopDate"] - answer["startDate"]).total_seconds(),
        recorded=(),
    )


@dataclass
class ProjectStack:
    """A project that is deployed to the tests' endpoint."""

    endpoint: LocalEndpoint
    project: Any
    outputs: Mapping[str, str]

    @classmethod
    def deployed(cls, endpoint: LocalEndpoint, folder: Path, parameters: Mapping[str, str]) -> ProjectStack:
        """Build and deploy, as `millpond deploy` does. Raises ProjectError, CloudError."""
        from millpond import deploy, project, stack

        loaded = project.load(folder)
        return cls(endpoint, loaded, deploy.apply(endpoint.target, stack.build(loaded), parameters).outputs)

    def flow(self, name: str | None = None) -> Deployed:
        """One of its flows as it is deployed, or the only one: mock its tasks and run it."""
        declared = self.project.flow(name)
        return Deployed(self.endpoint, self.outputs[declared.logical_id], declared.definition, title=declared.name)
