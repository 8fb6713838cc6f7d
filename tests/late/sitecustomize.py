"""Makes threads late by chance, to find tests and code that rely on how soon something happens in the background.

Python imports a module of this name at its start when its folder is on PYTHONPATH: so the endpoints, workers and
drivers that a test starts are late, too. `make late` runs the tests so. MILLPOND_LATE is the longest delay in seconds,
MILLPOND_LATE_SHARE the share of the moments that are late. A thread can be late when it starts, when it wakes from a
wait, when it takes something from a queue and when a pool gives it work; the main thread never is.
"""

from __future__ import annotations

import concurrent.futures
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from typing import Any

LONGEST = float(os.environ.get("MILLPOND_LATE") or 0)  # seconds
SHARE = float(os.environ.get("MILLPOND_LATE_SHARE") or 0.15)
CHANCE = random.Random()


def late() -> None:
    if threading.current_thread() is not threading.main_thread() and CHANCE.random() < SHARE:
        time.sleep(CHANCE.random() * LONGEST)


def before(work: Callable[..., Any]) -> Callable[..., Any]:
    def delayed(*args: Any, **more: Any) -> Any:
        late()
        return work(*args, **more)

    return delayed


def after(wait: Callable[..., Any]) -> Callable[..., Any]:
    def delayed(*args: Any, **more: Any) -> Any:
        found = wait(*args, **more)
        late()
        return found

    return delayed


class LateQueue(queue.SimpleQueue[Any]):
    """The one that is written in C cannot be changed itself."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        found = super().get(block, timeout)
        late()
        return found

    def get_nowait(self) -> Any:
        return super().get(False)


def submitted(submit: Callable[..., Any]) -> Callable[..., Any]:
    def delayed(pool: Any, work: Callable[..., Any], /, *args: Any, **more: Any) -> Any:
        return submit(pool, before(work), *args, **more)

    return delayed


if LONGEST:
    threading.Thread.run = before(threading.Thread.run)  # type: ignore[method-assign]
    threading.Event.wait = after(threading.Event.wait)  # type: ignore[method-assign]
    threading.Condition.wait = after(threading.Condition.wait)  # type: ignore[method-assign]
    queue.SimpleQueue = LateQueue  # type: ignore[misc, assignment]
    pools = concurrent.futures.ThreadPoolExecutor
    pools.submit = submitted(pools.submit)  # type: ignore[method-assign]
