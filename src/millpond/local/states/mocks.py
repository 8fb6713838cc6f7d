"""Executions with mocked tasks: Step Functions Local's mock configuration file, `millpond up --mock-config FILE`.

StartExecution and StartSyncExecution of `<stateMachineArn>#<TestCase>` run that test case of the file (`asl.mocks`):
the states that it names answer from it and call nobody, all others call the real service. This is the engine's Tasks
door in front of the worker's; mocked calls get the events of ordinary ones. The file is read again when it has changed.

The test case of an execution is kept with its row, so that a mocked state calls nobody after a restart either; the
number of the next call is then counted from the history. **Limit**: a child of a distributed Map has no history of its
own; after a kill in the middle of one, its mocked states begin to count anew.

Sources: AWS Step Functions Developer Guide, "Using mocked service integrations for testing in Step Functions Local".
"""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from millpond.asl import mocks
from millpond.engine import mocked
from millpond.engine.history import TASK_EVENTS
from millpond.errors import DefinitionError, MillpondError
from millpond.local.service import AwsError

if TYPE_CHECKING:
    from pathlib import Path

    from millpond.engine import Engine, Event, Items, TaskCall, Tasks
    from millpond.local.service import Endpoint
    from millpond.local.states.records import Records

log = logging.getLogger(__name__)

SCHEMA = "CREATE TABLE IF NOT EXISTS states_mocked (arn TEXT PRIMARY KEY, config TEXT NOT NULL);\n"
_FINISHED = frozenset(
    kind
    for events in TASK_EVENTS.values()
    for name, kind in events.items()
    if name not in ("scheduled", "started", "submitted")
)


class Mocks:
    """See the module's docstring. `engine` is set before the first task."""

    def __init__(self, endpoint: Endpoint, records: Records, behind: Tasks) -> None:
        self.store, self.records, self._behind = endpoint.store, records, behind
        self.engine: Engine
        self._file: Path | None = endpoint.mock_config
        self._read: tuple[tuple[int, int], mocks.MockConfig] | None = None
        self._cases: dict[str, mocks.Case] = {}
        self._calls: dict[str, Counter[str]] = {}
        self._rounds: Counter[str] = Counter()
        self._lock = threading.Lock()

    # The file -------------------------------------------------------------------------------------------------------

    def load(self) -> mocks.MockConfig | None:
        """The configuration as it is now; None without a file. Raises MillpondError with all findings."""
        if self._file is None:
            return None
        try:
            status = self._file.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if self._read is None or self._read[0] != stamp:
                config = mocks.read(self._file.read_text("utf-8"), str(self._file))
                for finding in config.warnings:
                    log.warning("%s: %s", finding.span, finding.message)
                self._read = stamp, config
        except DefinitionError as error:
            said = "; ".join(f"{finding.span}: {finding.message}" for finding in error.diagnostics)
            raise MillpondError(f"The mock configuration is not valid: {said}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise MillpondError(f"the mock configuration {self._file} cannot be read: {error}") from None
        return self._read[1]

    def of(self, arn: str) -> tuple[str, mocks.Case | None]:
        """The state machine's ARN and the test case of what an execution is started with. Raises InvalidArn where no
        file is in use, ValidationException where the file is not valid or has no such test case."""
        plain, hash_, name = arn.partition("#")
        if not hash_:
            return arn, None
        try:
            config = self.load()
            if config is None:
                raise AwsError(
                    "InvalidArn",
                    f"Invalid Arn: '{arn}' names a test case, but no mock configuration file is in use: "
                    "millpond up --mock-config FILE",
                )
            return plain, config.case(plain.split(":stateMachine:")[-1].split(":")[0], name)
        except AwsError:
            raise
        except MillpondError as error:
            more = f"; {error.help}" if error.help else ""
            raise AwsError("ValidationException", error.message + more) from None

    # Executions -----------------------------------------------------------------------------------------------------

    def keep(self, execution: str, case: mocks.Case) -> None:
        """Remember the test case of an execution, in the transaction that writes its row."""
        with self.store.write() as db:
            db.execute("INSERT OR REPLACE INTO states_mocked VALUES (?, ?)", (execution, _to_text(case)))

    def follow(self, execution: str, case: mocks.Case | None) -> None:
        """Answer the tasks of an execution that is about to start."""
        if case is not None:
            self._begin(execution, case, Counter())

    def restore(self, execution: str, n: int) -> None:
        """Answer the tasks of an execution that goes on, if it was started with a test case."""
        row = self.store.one("SELECT config FROM states_mocked WHERE arn = ?", (execution,))
        if row is not None:
            done = _finished(self.records.events(n, after=0, limit=1 << 30, reverse=False))
            self._begin(execution, mocks.read(row["config"]).case("machine", "case"), done)

    def _begin(self, execution: str, case: mocks.Case, calls: Counter[str]) -> None:
        with self._lock:
            self._calls[execution], self._cases[execution] = calls, case
            self._rounds[execution] += 1

    def ended(self, execution: str) -> None:
        """Nothing more comes from this round of an execution. It may have been redriven before we hear of its end."""
        if execution in self._cases:
            with self._lock:
                self._rounds[execution] -= 1
                if self._rounds[execution] <= 0:
                    del self._cases[execution], self._calls[execution], self._rounds[execution]

    # The engine's door ----------------------------------------------------------------------------------------------

    def start(self, call: TaskCall, token: str) -> None:
        """Answer the call if its state is mocked, else have it made."""
        response = self._response(call)
        if response is None:
            self._behind.start(call, token)
        else:
            mocked.answer(self.engine, call, token, response, self._calls[self.records.family.root(call.execution)])

    def resume(self, call: TaskCall, token: str) -> None:
        """A mocked call that nobody heard the answer of is answered once more."""
        response = self._response(call)
        if response is None:
            self._behind.resume(call, token)
        else:
            mocked.answer(self.engine, call, token, response, self._calls[self.records.family.root(call.execution)])

    def stop(self, token: str) -> None:
        """Mocked calls are over at once: only real work can be stopped."""
        self._behind.stop(token)

    def opened(self, map_run: str) -> Items:
        """Items of distributed Maps are read for real."""
        return self._behind.opened(map_run)

    def _response(self, call: TaskCall) -> mocks.Response | None:
        if not self._cases or call.kind in ("reader", "writer"):
            return None
        case = self._cases.get(self.records.family.root(call.execution))
        return None if case is None else case.responses.get(call.state)


def _finished(events: list[Event]) -> Counter[str]:
    """How many calls of each state have ended: an event belongs to the state that was entered before it."""
    states: dict[int, str] = {}
    found: Counter[str] = Counter()
    for event in events:
        name = event.name if event.type.endswith("StateEntered") else states.get(event.previous)
        if name is not None:
            states[event.id] = name
            if event.type in _FINISHED:
                found[name] += 1
    return found


def _to_text(case: mocks.Case) -> str:
    """A configuration that has only this test case, for `restore`."""

    def entry(answer: mocks.Mocked) -> dict[str, Any]:
        if isinstance(answer, mocks.Returned):
            return {"Return": answer.output}
        return {"Throw": {"Error": answer.error} | ({} if answer.cause is None else {"Cause": answer.cause})}

    responses = {
        response.name: {f"{first}-{last}": entry(answer) for first, last, answer in response.calls}
        for response in case.responses.values()
    }
    states = {state: response.name for state, response in case.responses.items()}
    return json.dumps(
        {"StateMachines": {"machine": {"TestCases": {"case": states}}}, "MockedResponses": responses},
        ensure_ascii=False,
    )
