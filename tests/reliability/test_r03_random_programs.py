"""R3: random programs with random faults end as a reference interpreter says, also when the engine is killed.

Each program runs in the engine without a crash, twice: the same history both times, byte for byte. Then it is killed at
each point where there are few, else at a sample of them, and in one more run at about every third point.
150 programs, the same ones each time; `make reliability` runs 10,000 (MILLPOND_RELIABILITY_PROGRAMS).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from crashing import FusedStore, ManyCrashes, OneCrash, Outcome, redrive, run
from hypothesis import HealthCheck, Phase, given, seed, settings
from programs import programs
from reference import execute
from soundness import check_history, seen

from millpond.asl import from_json
from millpond.engine import Start, TaskCall
from millpond.engine import run as loop

PROGRAMS = int(os.environ.get("MILLPOND_RELIABILITY_PROGRAMS", "150"))
SAMPLE = 4


def work(call: TaskCall) -> tuple[float, Outcome]:
    """What a task's own definition says."""
    given: Any = call.arguments
    script = given["script"]
    end = script["ends"][min(call.attempt, len(script["ends"]) - 1)]
    if end != "ok":
        return script["seconds"], (end, "meant")
    return script["seconds"], ("", {"a": given["a"] + 1, "items": [], "tries": call.attempt})


def without_causes(value: Any) -> Any:
    """The reference knows the names of errors, not their causes."""
    if isinstance(value, dict):
        return {key: without_causes(part) for key, part in value.items() if key != "Cause"}
    return [without_causes(part) for part in value] if isinstance(value, list) else value


def ended(store: FusedStore, start: Start) -> tuple[str, Any, str | None]:
    check_history(seen(store.events[start.execution]))
    end = store.ended[start.execution]
    output = None if end.output is None else without_causes(json.loads(end.output))
    return end.status, output, end.error


def history_hash(store: FusedStore, start: Start) -> str:
    return hashlib.sha256(repr(store.events[start.execution]).encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_r03(monkeypatch: pytest.MonkeyPatch, figures: Callable[..., None]) -> None:
    monkeypatch.setattr(loop, "SLICE", 2)
    found: Counter[str] = Counter()

    @seed(3)
    @settings(
        max_examples=PROGRAMS, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(programs())
    def agree(program: tuple[dict[str, Any], Any]) -> None:
        definition, value = program
        machine = from_json(definition)
        fuse = OneCrash()
        store, world, start = run(machine, value, work, fuse)
        expected = execute(definition, value)
        expected = (expected[0], without_causes(expected[1]), expected[2])
        found["compared"] += 1
        assert ended(store, start) == expected
        again, _, _ = run(machine, value, work, OneCrash())
        assert history_hash(again, start) == history_hash(store, start)
        chance = random.Random(fuse.points)
        points = range(1, fuse.points + 1)
        for point in points if len(points) <= 2 * SAMPLE else chance.sample(points, SAMPLE):
            crashed, after, _ = run(
                machine, value, work, OneCrash(point), only_barriers=bool(point % 2), write_back=True
            )
            assert ended(crashed, start) == expected, f"killed at point {point}"
            assert max(after.ends.values(), default=1) == 1, f"killed at point {point}: ended twice"
            found["kills"] += 1
        many = ManyCrashes(fuse.points)
        crashed, after, _ = run(machine, value, work, many)
        assert ended(crashed, start) == expected, "killed many times"
        assert max(after.ends.values(), default=1) == 1, "killed many times: ended twice"
        found["kills"] += many.crashes
        found["equal"] += 1
        found[expected[0].lower()] += 1
        found["states"] += sum(event.type.endswith("Entered") for event in store.events[start.execution])
        found["tasks"] += len(world.starts)

    try:
        agree()
    finally:
        figures(divergences=found["compared"] - found["equal"], programs=found["equal"],
                **{name: found[name] for name in ("succeeded", "failed", "kills", "states", "tasks")})  # fmt: skip
    assert found["failed"] > PROGRAMS // 10
    assert found["succeeded"] > PROGRAMS // 10


def healed(call: TaskCall) -> tuple[float, Outcome]:
    """The same, but nothing fails any more."""
    given: Any = call.arguments
    return given["script"]["seconds"], ("", {"a": given["a"] + 1, "items": [], "tries": call.attempt})


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_r03_redriven(monkeypatch: pytest.MonkeyPatch, figures: Callable[..., None]) -> None:
    """Programs that failed are redriven in a world that was mended: the same end and the same calls, killed or not."""
    monkeypatch.setattr(loop, "SLICE", 2)
    found: Counter[str] = Counter()

    def once(program: tuple[dict[str, Any], Any], fuse: OneCrash) -> tuple[Any, Counter[str]] | None:
        definition, value = program
        store, world, start = run(from_json(definition), value, work, OneCrash())
        if store.ended[start.execution].status == "SUCCEEDED":
            return None
        before = len(world.ends)
        again = redrive(store, world, start, healed, fuse)
        assert max(world.ends.values(), default=1) == 1, "a task ended twice"
        calls = Counter(path for path, _ in list(world.ends)[before:])
        types = [event.type for event in store.events[start.execution]]
        assert types.count("ExecutionRedriven") == 1
        return ended(store, again), calls

    @seed(5)
    @settings(
        max_examples=PROGRAMS // 2, database=None, deadline=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(programs())
    def agree(program: tuple[dict[str, Any], Any]) -> None:
        fuse = OneCrash()
        calm = once(program, fuse)
        if calm is None:
            return
        found["redriven"] += 1
        found[f"then_{calm[0][0].lower()}"] += 1
        chance = random.Random(fuse.points)
        for point in chance.sample(range(1, fuse.points + 1), min(SAMPLE, fuse.points)):
            assert once(program, OneCrash(point)) == calm, f"killed at point {point} of the redrive"
            found["kills"] += 1

    agree()
    figures(**found)
    assert found["then_succeeded"] > PROGRAMS // 20
