"""R11: a second endpoint on the same state folder is refused at once; the lock of a killed one is taken over."""

from __future__ import annotations

import time
from collections.abc import Callable

from soundness import Process


def test_r11(process: Process, figures: Callable[..., None]) -> None:
    there = (process.data / "endpoint.json").read_text()
    said = process.log.stat().st_size
    began = time.monotonic()
    second = process.spawn()
    code = second.wait(120)
    refused = time.monotonic() - began
    words = process.log.read_bytes()[said:].decode()
    assert code == 2
    assert f"in use by the endpoint with pid {process.process.pid}" in words
    assert "Traceback" not in words
    (process.data / "endpoint.json").write_text(there)  # spawn() removed it
    assert process.sfn.list_state_machines()["stateMachines"] == []

    process.kill()
    assert (process.data / "endpoint.lock").read_text().startswith(f"{process.process.pid} ")  # stale
    taken_over = process.up()
    assert process.sfn.list_state_machines()["stateMachines"] == []
    figures(refused_seconds=round(refused, 2), taken_over_seconds=round(taken_over, 2))
