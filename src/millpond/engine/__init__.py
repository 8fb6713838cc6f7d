"""The interpreter: runs `asl.Machine`s, pure and single-threaded; the world is three doors (see doors.py).

    engine = Engine(clock, tasks, store, ended=..., wake=...)
    engine.start(Start(execution=arn, machine=machine, input={...}, ...))
    while True:                              # one loop thread, owned by the host
        engine.run_until_idle()
        wakeup.wait(engine.next_timer())     # seconds until the earliest timer, None: no timer

`compile_machine(machine)` raises what an execution would stumble over: call it when a machine is created.

May import: asl, errors.
"""

from millpond.engine.doors import (
    Batch,
    Birth,
    Child,
    Clock,
    Ended,
    Event,
    FrameRow,
    Item,
    ItemRow,
    Items,
    MapRunRow,
    Progress,
    Snapshot,
    Start,
    Store,
    TaskCall,
    Tasks,
    Token,
    is_genuine,
    mint_token,
    read_token,
)
from millpond.engine.run import Engine
from millpond.engine.states import compile_machine

YOUNG_OBJECTS = 20_000
"""How many new objects a host lets come together before Python looks for garbage among them, while an engine runs: a
history grows by thousands of objects, and none is garbage."""

__all__ = [
    "YOUNG_OBJECTS",
    "Batch",
    "Birth",
    "Child",
    "Clock",
    "Ended",
    "Engine",
    "Event",
    "FrameRow",
    "Item",
    "ItemRow",
    "Items",
    "MapRunRow",
    "Progress",
    "Snapshot",
    "Start",
    "Store",
    "TaskCall",
    "Tasks",
    "Token",
    "compile_machine",
    "is_genuine",
    "mint_token",
    "read_token",
]
