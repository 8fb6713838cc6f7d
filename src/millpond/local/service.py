"""What a service of the endpoint is, and what it is handed.

A service is an object with a table of operations: plain synchronous functions from the parsed, validated input of
botocore's model to its output. The front end (server.py, protocol.py) does HTTP, signatures, parsing, validation and
serialising; a service never sees a request. Only S3 reads and writes streams and has a door of its own.

    class Athena:
        name = "athena"                    # botocore's service name
        schema = "CREATE TABLE IF NOT EXISTS athena_queries (...);"
        moto = frozenset[str]()            # operations that may fall through to moto
        quick = frozenset[str]()           # may be absent: operations (of a json protocol) that touch only the store,
                                           # well under 1 ms; they run on the event loop and must never wait
        def __init__(self, endpoint: Endpoint) -> None: ...
        def operations(self) -> dict[str, Operation]: ...
        def start(self) -> None: ...       # the store is open, the port is bound: recover what a kill left
        def stop(self) -> None: ...        # finish or hand over; called once, at an orderly shutdown
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from millpond.errors import MillpondError
from millpond.local.clockwork import Clockwork

if TYPE_CHECKING:
    from millpond.local.store import Store

ACCOUNT = "000000000000"

acting_for: ContextVar[str] = ContextVar("acting_for", default="")
"""The task token on whose behalf this thread calls other services over loopback. A service that can (Lambda, Glue)
does what was asked under one token once, although the endpoint may be killed in between and ask again."""


class AwsError(MillpondError):
    """An error as AWS answers it: a modelled `code`, a message, the HTTP status, further members of the error shape."""

    def __init__(self, code: str, message: str, *, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code, self.status, self.members = code, status, members


def unsupported(service: str, operation: str, why: str = "", *, use: str = "") -> AwsError:
    """The refusal for what Millpond does not carry: HTTP 501, never a default success.

    `use`: what is asked of an operation that is carried otherwise, e.g. "HudiTargets: Hudi tables are not read."
    """
    what = f"this use of {service}:{operation} yet: {use}" if use else f"{service}:{operation} yet."
    text = f"Millpond does not carry {what}{' ' + why if why else ''} See docs/parity.md."
    return AwsError("NotImplemented", text, status=501)


def stays() -> bool:
    """Not gone: what `Call.gone` says of callers without a connection."""
    return False


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls what: handed to each operation beside its parameters. `gone` tells whether the caller has hung up:
    whoever waits for something to hand over asks before it does."""

    service: str
    operation: str
    region: str
    caller: str = ""  # access key id of the signature; a role's own key tells which function or job called
    request_id: str = ""
    gone: Callable[[], bool] = stays


Operation = Callable[[dict[str, Any], Call], dict[str, Any] | None]
Told = tuple[Sequence[str], Mapping[str, Any]] | None
"""An event's `resources` and `detail`; None: there is nothing to tell after all."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a service says to EventBridge's default bus. `tell` is asked later, on the thread that delivers."""

    source: str
    detail_type: str
    tell: Callable[[], Told]
    at: float  # seconds since the epoch


@dataclass(slots=True)
class Clock:
    """Time, possibly `scale` times faster: waits, retry intervals and schedules divide by it, timestamps do not."""

    scale: float = 1.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def seconds(self, wanted: float) -> float:
        """How long to wait really for `wanted` seconds of AWS time."""
        return wanted / self.scale


@dataclass(slots=True)
class Endpoint:
    """What every service is handed: the state folder, the store, the clock and boto3 clients to ourselves."""

    data: Path  # the state folder (0700), e.g. <project>/.millpond
    store: Store
    clock: Clock
    port: int
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    account: str = ACCOUNT
    services: dict[str, Service] = field(default_factory=dict)
    connect: Callable[[str], Any] | None = None  # set by loopback.py
    mint: Callable[[str], tuple[str, str]] | None = None  # set by server.py, see `key`
    mock_config: Path | None = None  # Step Functions Local's mock configuration file (states/mocks.py)
    announcer: Callable[[Announcement], None] | None = None  # set by events/ while a rule has a target
    clockwork: Clockwork = field(init=False)

    def __post_init__(self) -> None:
        self.clockwork = Clockwork(lambda: self.clock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def buckets(self) -> Path:
        """The folder that holds one folder a bucket: `buckets / bucket / key` is the object's file."""
        return self.data / "s3"

    def folder(self, *parts: str) -> Path:
        """A folder below the state folder, made when absent: `folder("glue", "runs", run_id)`."""
        path = self.data.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def client(self, service: str) -> Any:
        """A boto3 client to this endpoint, without a socket (loopback.py). Cached; safe to use from threads."""
        if self.connect is None:
            raise RuntimeError("loopback is not connected")
        return self.connect(service)

    def key(self, name: str) -> tuple[str, str]:
        """The access key id and secret of a caller of its own, e.g. `key("lambda/check")`: its calls carry its name."""
        return self.mint(name) if self.mint else (self.access_key, self.secret_key)

    def announce(self, source: str, detail_type: str, tell: Callable[[], Told]) -> None:
        """Send an event to EventBridge's default bus, where a rule may wait for it; nearly free where none is."""
        if self.announcer is not None:
            self.announcer(Announcement(source, detail_type, tell, self.clock.now()))

    def arn(self, service: str, resource: str) -> str:
        """`arn("glue", "job/join")` -> `arn:aws:glue:us-east-1:000000000000:job/join`."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


class Service(Protocol):
    """See the module's docstring."""

    name: str
    schema: str
    moto: frozenset[str]

    def operations(self) -> Mapping[str, Operation]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...
