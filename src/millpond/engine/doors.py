"""The engine's only doors: `Clock`, `Tasks`, `Store`; and the plain data that passes through them.

The host (local/states, or testing.simulate) implements the three protocols and drives one loop thread:

    engine = Engine(clock, tasks, store, ended=on_end, wake=wakeup.set, check=why_not, time_scale=1.0)
    for snapshot in unfinished_executions:           # after a restart
        engine.restore(snapshot)
    while not closing:
        engine.run_until_idle()                      # works until nothing is ready, no timer is due, no message waits
        wakeup.wait(engine.next_timer())             # seconds to the earliest timer, None where there is none
        wakeup.clear()

**Who may call what.** `run_until_idle`, `next_timer` and `restore` belong to the loop thread. All else is thread-safe:
it puts a message in the inbox, calls `wake()` and returns at once; the loop acts on it:

    engine.start(Start(...))                          # begin; the host has made its own row durable before
    engine.redrive(snapshot)                          # go on with an execution that failed; Snapshot.over is set
    engine.stop(execution, error=None, cause=None)    # StopExecution: ABORTED; running tasks get Tasks.stop
    engine.task_started(token, worker=None)           # *Started event (Lambda, activity worker, service)
    engine.task_submitted(token, output)              # TaskSubmitted: .sync and .waitForTaskToken after the first call
    engine.task_succeeded(token, output)              # the result; any JSON value
    engine.task_failed(token, error, cause, phase="run")   # phase: schedule | start | submit | run, picks the event
    engine.task_timed_out(token, error="States.Timeout", cause=None)
    engine.task_heartbeat(token)                      # re-arms HeartbeatSeconds
    engine.close()                                    # run_until_idle returns after its present round
    engine.pending(token) -> TaskCall | None          # is this token still waited for? (a dictionary look-up)

A message for a token that is not pending is dropped: late results of stopped or timed-out tasks are normal. The
host answers SendTaskSuccess itself: `read_token` + `is_genuine` tell a forged token (InvalidToken) from one that has
ended (TaskTimedOut).

**What survives kill -9.** At the end of a slice of work the engine hands the store one `Batch` an execution, to be
applied in ONE transaction. Before a task is dispatched and after an execution ended the engine calls `barrier()`
once for all. So a task that the world has seen is always in a stored frame, with its token. `restore` puts frames
back and calls `Tasks.resume` for each pending token. The host must have recorded an outcome durably BEFORE it tells
the engine; then a finished task never runs again: `resume` finds the outcome and reports it once more.

Express executions (`Start.express`) get no frames and no barrier: after a crash they are gone, as documented.

**Distributed Maps.** Each item (or batch) is an execution of its own, with batches of its own: its first one carries
its `Birth`. The parent's batches carry the Map Run as it is then (`MapRunRow`); how many children are where is told by
their rows alone, so nothing is counted twice. Items of an ItemReader are read by the host: a task of kind `reader`
(never in the history) reads them once into a place of its own, and `Tasks.opened` opens that again after any restart.
A ResultWriter is a task of kind `writer`. The engine holds only the children that run, so a Map Run of any size takes
the memory of those; after a restart it asks the store (`Store.child`) for one after the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from millpond.asl.model import Json, Machine

Token = str
Status = Literal["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]
Phase = Literal["schedule", "start", "submit", "run"]
TaskKind = Literal["service", "lambda", "activity", "reader", "writer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One execution to run. The host keeps all of it (or can rebuild it) for `restore`.

    `execution` is the execution ARN and the engine's key. `secret` keys the task tokens: 16 or more random bytes, one
    an execution, stored by the host, the same after a restart. `started_at` is epoch seconds. `input_text` is the
    input as the caller wrote it (the history shows it so); None: the engine writes compact JSON. `variables` are set
    before the first state: only tests do that, a restart does not know of it. `express` switches durability and the
    event quota off. `event_quota` and `payload_quota` are AWS's defaults; 0 switches one off.
    """

    execution: str
    name: str
    machine: Machine
    machine_arn: str
    machine_name: str
    role: str
    input: Json
    secret: bytes
    started_at: float
    input_text: str | None = None
    express: bool = False
    version_arn: str | None = None
    alias_arn: str | None = None
    redrive_count: int = 0
    redriven_at: float | None = None
    region: str = "us-east-1"
    event_quota: int = 25_000
    payload_quota: int = 262_144
    variables: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall:
    """One attempt of one Task state, its arguments evaluated.

    `resource` is the ARN as written. `kind` says whose events the history shows. For `service`, `service` and
    `action` are the ARN's last two parts, as the history's resourceType and resource: `glue`, `startJobRun.sync`;
    `aws-sdk:s3`, `listBuckets`. `pattern` is how it ends: `request` with the call's answer, `sync` when the started
    work has ended, `token` when someone sends the token back. `attempt` counts from 0. `timeout` and `heartbeat` are
    seconds and are watched by the engine, not by the host. `role` is the `Credentials.RoleArn`. `submitted` is, when
    a task is resumed, the output that was given to `task_submitted` before the restart (`has_submitted` tells).
    """

    execution: str
    machine_arn: str
    state: str
    path: str
    resource: str
    kind: TaskKind
    service: str
    action: str
    pattern: Literal["request", "sync", "token"]
    arguments: Json
    attempt: int
    timeout: float | None = None
    heartbeat: float | None = None
    role: str | None = None
    region: str = "us-east-1"
    has_submitted: bool = False
    submitted: Json = None


class Event(NamedTuple):
    """One history event. `history.to_aws` writes it as GetExecutionHistory does.

    `name` is the state's name (StateEntered/Exited events) or None; `payload` is the event's main JSON text (input,
    output, parameters) or None; `more` are the other details under AWS's member names, or None. Stored as columns,
    nothing is escaped twice. `at` is epoch seconds and never decreases within an execution.
    """

    id: int
    previous: int
    at: float
    type: str
    name: str | None = None
    payload: str | None = None
    more: Mapping[str, Json] | None = None


class FrameRow(NamedTuple):
    """A snapshot of one live frame (a position in the machine) or fork (a running Map or Parallel): opaque text.

    Upsert by (execution, key). A row replaces the earlier one of its key.
    """

    key: int
    text: str


class ItemRow(NamedTuple):
    """The result of one finished branch or Map item: upsert by (execution, fork, index); opaque text."""

    fork: int
    index: int  # type: ignore[assignment]
    text: str


class MapRunRow(NamedTuple):
    """A Map Run as it is: upsert by `arn`. `fork` is its key in the parent execution's snapshot.

    `items` is how many items there are (-1: not read yet), `size` how many child executions that makes (-1: not known
    before they are made, where batches are limited in bytes). `limit`, `count` and `percent` are MaxConcurrency and the
    tolerated failures as given, 0 where they were not.
    """

    arn: str
    fork: int
    label: str
    express: bool
    status: Literal["RUNNING", "SUCCEEDED", "FAILED", "ABORTED"]
    started: float
    stopped: float | None
    items: int
    size: int
    limit: int
    count: int  # type: ignore[assignment]
    percent: float
    redrives: int = 0
    redriven: float | None = None
    written: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A child execution begins, or goes on in a redrive: upsert by ARN (the batch's `execution`).

    It runs `items` items from the `first` on. `round` is the Map Run's count of redrives at that time. `pending`: it is
    only put down for the result files, and has not begun. `replaces` is the ARN of the execution in whose place it
    comes (an Express one cannot be redriven). `known`: the store has a row of it already.
    """

    map_run: str
    parent: str
    index: int
    first: int
    items: int
    name: str
    machine_arn: str
    role: str
    secret: bytes
    input: str
    started: float
    express: bool = False
    round: int = 0
    redrives: int = 0
    redriven: float | None = None
    pending: bool = False
    replaces: str | None = None
    known: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A child execution as the store knows it. `status` PENDING: see `Birth.pending`. The rest is a Snapshot's."""

    execution: str
    birth: Birth
    status: Status | Literal["RUNNING", "PENDING"]
    stopped: float | None = None
    output: str | None = None
    error: str | None = None
    cause: str | None = None
    last_event: int = 0
    last_at: float = 0.0
    frames: Sequence[FrameRow] = ()
    items: Sequence[ItemRow] = ()
    map_runs: Mapping[int, Progress] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a Map Run is: all that its parent needs to go on with it.

    `next` is the index of the next child, `cursor` the first item that no child has. `unfinished` are the indices of
    the children that run, or wait for a redrive. `failed` counts the children of this round that did not succeed,
    `failed_items` their items.
    """

    row: MapRunRow
    next: int = 0
    cursor: int = 0
    unfinished: Sequence[int] = ()
    failed: int = 0
    failed_items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an execution ended. `output` is JSON text (SUCCEEDED only); `at` is epoch seconds."""

    status: Status
    at: float
    output: str | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(slots=True)
class Batch:
    """What one slice of work changed in one execution: apply all of it in one transaction, batches in order.

    `frames` and `items` upsert, then `gone` deletes frames by key AND all items whose `fork` is that key. With `ended`
    SUCCEEDED the host also drops what is left of frames and items; else they are what a redrive goes on from.
    `birth` makes a child execution's row, `births` rows of pending ones; `map_runs` upsert.
    """

    execution: str
    express: bool = False
    events: list[Event] = field(default_factory=list)
    frames: list[FrameRow] = field(default_factory=list)
    items: list[ItemRow] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    ended: Ended | None = None
    birth: Birth | None = None
    births: list[tuple[str, Birth]] | None = None
    map_runs: list[MapRunRow] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the store knows of a running execution: input of `Engine.restore`.

    `last_event` is the highest stored event id (0: nothing was stored yet, the execution begins anew), `last_at`
    its time. `over`: that event ended the execution, which is to be redriven (`start.redrive_count` is the new count).
    `map_runs` tells of the Map Runs among its frames, by their keys.
    """

    start: Start
    last_event: int
    last_at: float
    frames: Sequence[FrameRow]
    items: Sequence[ItemRow]
    over: bool = False
    map_runs: Mapping[int, Progress] = field(default_factory=dict)


class Clock(Protocol):
    """Time and chance. A virtual clock makes a one-year Wait instant; a seeded `random` makes jitter exact."""

    def now(self) -> float:
        """Wall time, epoch seconds: timestamps, Wait until."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump: Wait for, timeouts, heartbeats, retry delays."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class Item(NamedTuple):
    """An item of a distributed Map: its value, as JSON text too where that is known; `key` where the items are an
    object's; `source` is where it was read (`Map.Item.Source` of the context object)."""

    value: Json
    text: str | None = None
    key: str | None = None
    source: str = "STATE_DATA"


class Items(Protocol):
    """The items of a distributed Map, in order."""

    def __len__(self) -> int: ...

    def item(self, index: int) -> Item:
        """One item. Quick: the engine's loop calls this."""
        ...


class Tasks(Protocol):
    """The world that does the work. The first three return at once (hand the work to a pool) and never raise."""

    def start(self, call: TaskCall, token: Token) -> None:
        """Do it; report by `engine.task_*`. Called after the barrier that made the token durable."""
        ...

    def resume(self, call: TaskCall, token: Token) -> None:
        """After a restart: was it done (report the recorded outcome), is it still running (wait on), else start it."""
        ...

    def stop(self, token: Token) -> None:
        """Nobody waits any more (stopped, timed out, failed sibling): end the work if it can be ended."""
        ...

    def opened(self, map_run: str) -> Items:
        """What the `reader` task of this Map Run has read. Raises OSError or ValueError where that is lost."""
        ...


class Store(Protocol):
    """Where history and frontier go."""

    def append(self, batch: Batch) -> None:
        """Queue one atomic batch. The batch is the store's from then on. May raise: the engine stops the loop."""
        ...

    def barrier(self) -> None:
        """Return when everything appended is on the disk."""
        ...

    def child(self, map_run: str, index: int) -> Child:
        """One child execution of a Map Run, appended batches included. Raises KeyError where there is none."""
        ...

    def children(self, map_run: str) -> Iterator[Child]:
        """All of them in the order of their indices, appended batches included; without frames and items."""
        ...


def mint_token(secret: bytes, execution: str, visit: int, attempt: int) -> Token:
    """The token of one attempt: deterministic (visit is the id of the StateEntered event), 256 bits unguessable."""
    subject = f"{execution}|{visit}|{attempt}"
    mac = hmac.new(secret, subject.encode(), hashlib.sha256).hexdigest()
    return base64.urlsafe_b64encode(f"{subject}|{mac}".encode()).decode()


def read_token(token: Token) -> str | None:
    """The execution ARN that a token names, None where it is not shaped like a token. Does not prove anything."""
    try:
        parts = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode().split("|")
    except (binascii.Error, UnicodeError):
        return None
    return parts[0] if len(parts) == 4 else None


def is_genuine(token: Token, secret: bytes) -> bool:
    """Was this token minted with that execution's secret?"""
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        return False
    subject, _, mac = text.rpartition("|")
    return hmac.compare_digest(mac, hmac.new(secret, subject.encode(), hashlib.sha256).hexdigest())
