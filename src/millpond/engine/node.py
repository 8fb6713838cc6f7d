"""What a compiled state is, and what it may decide.

`work` looks at the frame and returns a decision; `finish` turns what was waited for (a timer, a task, items) into an
`Exit`. The loop in `run` acts on decisions; nothing here or in `states` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from millpond.asl.model import Catcher, Json, Retrier
from millpond.asl.paths import Compiled

if TYPE_CHECKING:
    from millpond.engine.distributed import Plan
    from millpond.engine.frame import Frame


class Exit(NamedTuple):
    """The state is done. `next` is None at the end of the machine; `assign` are new variables."""

    output: Json
    next: Node | None
    assign: Mapping[str, Json] | None = None


class Delay(NamedTuple):
    """Wait so many seconds, or until an epoch time."""

    seconds: float
    until: float | None = None


class Call(NamedTuple):
    """Run a task. Seconds; None: no limit."""

    resource: str
    arguments: Json
    timeout: float | None
    heartbeat: float | None
    role: str | None


class Split(NamedTuple):
    """Run branches or inline items: `given` are a Map's items, or the one input of all branches of a Parallel."""

    is_map: bool
    given: list[Json]
    size: int
    limit: int


class Distribute(NamedTuple):
    """Run items as child executions: `given` (an array, or an object whose pairs are the items) or what the `reader`
    reads. `batch`, `reader` and `writer` are as `distributed` describes them, None where the state has none. `limit` 0:
    AWS's own. `tolerance` gives the tolerated failures, a count and a percentage, None where not given: AWS
    evaluates it after the MapStateStarted event."""

    given: Json
    reader: dict[str, Json] | None
    batch: dict[str, Json] | None
    writer: dict[str, Json] | None
    limit: int
    tolerance: Callable[[Frame], tuple[int | None, float | None]]


Decision = Exit | Delay | Call | Split | Distribute


@dataclass(slots=True, eq=False)
class Node:
    """One state, compiled. `entered` and `exited` are its event types."""

    name: str
    kind: str
    entered: str
    exited: str
    work: Callable[[Frame], Decision]
    finish: Callable[[Frame, Json], Exit]
    retry: tuple[Retrier, ...] = ()
    catch: tuple[Catcher, ...] = ()
    catches: tuple[Callable[[Frame, Json], Exit], ...] = ()
    programs: tuple[Program, ...] = ()
    selector: Compiled | None = None
    plan: Plan | None = None  # of a distributed Map


@dataclass(slots=True, eq=False)
class Program:
    """One machine, branch or item processor, compiled. `timeout` in seconds."""

    start: Node
    nodes: dict[str, Node] = field(default_factory=dict)
    timeout: float | None = None
