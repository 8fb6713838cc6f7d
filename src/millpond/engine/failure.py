"""How a state fails, and who may handle it: `StateFailed`, retriers and catchers.

AWS's rules: `States.ALL` stands for every error but `States.DataLimitExceeded` and `States.Runtime`; the latter is
never handled at all. `States.TaskFailed` stands for every error but timeouts. A missed heartbeat is reported as
States.Timeout, and both that name and States.HeartbeatTimeout handle it. A retrier counts its own attempts; the first
that names the error decides, and when its attempts are used up the catchers are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millpond.asl.model import Catcher, Json, Retrier

RUNTIME = "States.Runtime"
TIMEOUT = "States.Timeout"
DATA_LIMIT = "States.DataLimitExceeded"
QUERY = "States.QueryEvaluationError"
NO_CHOICE = "States.NoChoiceMatched"
LONGEST_ERROR, LONGEST_CAUSE = 256, 32_768  # characters: botocore's model of the events
TOLERANCE = "States.ExceedToleratedFailureThreshold"
READER = "States.ItemReaderFailed"
WRITER = "States.ResultWriterFailed"


class StateFailed(Exception):
    """A state ends in an error.

    `evaluated` failures come from evaluating the state itself: AWS writes "An error occurred while executing the state
    ..." before their cause (`placed`), and an EvaluationFailed event where the query language is JSONata, with
    `location` (a field like `Output/x`). All others (of tasks, of Fail, of a child) keep their cause as it is.
    `heartbeat` tells a missed heartbeat from another timeout.
    """

    def __init__(
        self,
        error: str | None,
        cause: str | None = None,
        *,
        evaluated: bool = False,
        location: str | None = None,
        heartbeat: bool = False,
    ) -> None:
        super().__init__(error, cause)
        self.error = None if error is None else error[:LONGEST_ERROR]
        self.cause = None if cause is None else cause[:LONGEST_CAUSE]
        self.evaluated, self.location, self.heartbeat = evaluated, location, heartbeat

    def placed(self, name: str, entered: int) -> StateFailed:
        """The same failure with the place in its cause."""
        if not self.evaluated:
            return self
        place = f"An error occurred while executing the state '{name}' (entered at the event id #{entered})."
        return StateFailed(self.error, f"{place} {self.cause}", evaluated=True, location=self.location)

    def output(self) -> dict[str, Json]:
        """The error output that catchers see."""
        return {"Error": self.error or "", "Cause": self.cause or ""}


def runtime(cause: str) -> StateFailed:
    """A States.Runtime failure of the state that is being evaluated."""
    return StateFailed(RUNTIME, cause, evaluated=True)


def _stands_for(name: str, failure: StateFailed) -> bool:
    error = failure.error or ""
    match name:
        case "States.ALL":
            return error != DATA_LIMIT
        case "States.TaskFailed":
            return error not in (TIMEOUT, DATA_LIMIT)
        case "States.HeartbeatTimeout" if failure.heartbeat:
            return True
        case _:
            return name == error


def find_retrier(failure: StateFailed, retriers: Sequence[Retrier]) -> int | None:
    """The index of the retrier that names the error."""
    return _find(failure, [retrier.error_equals for retrier in retriers])


def find_catcher(failure: StateFailed, catchers: Sequence[Catcher]) -> int | None:
    """The index of the catcher that names the error."""
    return _find(failure, [catcher.error_equals for catcher in catchers])


def _find(failure: StateFailed, handlers: Sequence[Sequence[str]]) -> int | None:
    if failure.error == RUNTIME:
        return None
    for index, names in enumerate(handlers):
        if any(_stands_for(name, failure) for name in names):
            return index
    return None


def retry_delay(retrier: Retrier, attempts: int, random: Callable[[], float]) -> float:
    """Seconds before the next attempt, after `attempts` retries by this retrier (0: the first retry comes now).

    delay = interval * rate ** attempts, at most max_delay; jitter FULL takes a uniform part of it.
    """
    most = float(retrier.max_delay_seconds or 31_536_000)
    try:
        delay = min(retrier.interval_seconds * retrier.backoff_rate**attempts, most)
    except OverflowError:
        delay = most
    if retrier.jitter_strategy == "FULL":
        delay *= random()
    return delay


def too_large(name: str) -> StateFailed:
    """The failure of a state or task whose output is more than the payload quota."""
    cause = (
        f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service limit."
    )
    return StateFailed(DATA_LIMIT, cause)
