"""What a run needs of a driver: sizes, shapes, the command of its JVM, where its output goes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from millpond.local.glue import drivers
from millpond.local.glue.drivers import Shape, Size, java_command
from millpond.local.glue.job_arguments import Logs
from millpond.local.glue.job_logs import RunLog
from millpond.runtime import Runtime


def test_a_larger_worker_gets_more_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers, "_cpus", lambda: 16)
    monkeypatch.setattr(drivers, "_memory", lambda: 64 << 10)
    plain = Size.of_machine()
    assert (plain.drivers, plain.cores, plain.heap) == (8, 4, 4096)
    assert plain.of_worker("") == plain.of_worker("G.1X") == plain.of_worker("G.025X") == plain
    assert plain.of_worker("G.2X") == Size(8, 8, 20 << 10)
    assert plain.of_worker("R.1X") == Size(8, 4, 20 << 10)  # the cores of one DPU, the memory of two
    assert plain.of_worker("G.16X") == Size(8, 16, 32 << 10)  # no more than there is
    monkeypatch.setattr(drivers, "_cpus", lambda: 2)
    monkeypatch.setattr(drivers, "_memory", lambda: 4 << 10)
    assert Size.of_machine() == Size(1, 2, 2048) == Size.of_machine().of_worker("G.8X")


def test_user_jars_first(tmp_path: Path) -> None:
    (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    runtime = Runtime("5.1", tmp_path, 0.0, 0)
    size = Size(1, 2, 1024)

    def path(first: bool) -> list[str]:
        command = java_command(runtime, Shape("spark", "5.1", size, ("/a.jar",), first), {"spark.x": "1"})
        assert "-Xmx1024m" in command and "-Dspark.x=1" in command
        return command[command.index("-cp") + 1].split(":")

    assert path(True)[0] == "/a.jar" == path(False)[-1]


def test_lines_go_where_the_names_say(tmp_path: Path) -> None:
    written: list[tuple[str, str, list[str]]] = []

    class Log:
        def write(self, group: str, stream: str, events: list[tuple[int, str]]) -> None:
            written.append((group, stream, [text for _, text in events]))

    endpoint: Any = SimpleNamespace(services={"logs": Log()})
    (tmp_path / "stdout").write_text("out\nunfinished")
    (tmp_path / "stderr").write_text("err\n")
    names = Logs(prefix="/p", stream="s", driver=("/v2", "s-driver"), both=True)
    log = RunLog(endpoint, tmp_path, names)
    log.drain()
    assert written == [
        ("/p/error", "s", ["err"]),
        ("/v2", "s-driver", ["err"]),
        ("/p/output", "s", ["err"]),
        ("/p/output", "s", ["out"]),
    ]
    written.clear()
    RunLog(endpoint, tmp_path, names).drain(last=True)  # another endpoint goes on
    assert written == [("/p/output", "s", ["unfinished"])]
