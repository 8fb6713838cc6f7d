"""T3: a Glue run that is over its Timeout ends with all its processes; MaxRetries gives as many attempts more."""

from __future__ import annotations

import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from soundness import until

sys.path.insert(0, str(Path(__file__).parents[1] / "local"))
from glue_jobs import Workshop

from millpond import runtime
from millpond.local.glue import job_runs
from millpond.local.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.spark]

SECONDS = (3.0, 15.0, 60.0)  # of a minute: the first that is enough for the script to begin, on a machine however slow
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
mark = sys.argv[sys.argv.index("--mark") + 1]
stays = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", stays, mark])
pathlib.Path(sys.argv[sys.argv.index("--began") + 1]).touch()
time.sleep(600)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    runtime.install("5.1", print)
    server = Server(tmp_path / ".millpond")
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(120)
    end = server.endpoint
    session = boto3.session.Session(end.access_key, end.secret_key, region_name=end.region)
    made = {name: session.client(name, endpoint_url=end.url) for name in ("glue", "s3", "logs")}
    yield Workshop(made.__getitem__).open()
    server.stop()
    thread.join(60)


def named(mark: str) -> list[int]:
    """The processes that have a word in their command line."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if mark in " ".join(one.info["cmdline"] or ())]


def too_long(shop: Workshop, monkeypatch: pytest.MonkeyPatch, kind: str, began: Path) -> tuple[dict[str, Any], str]:
    """A run that was over its Timeout when all its processes were there, and the word in their command lines."""
    shop.job(kind, STUBBORN, head=False, kind=kind)
    for seconds in SECONDS:
        monkeypatch.setattr(job_runs, "MINUTE", seconds)
        mark = str(uuid.uuid4())
        run_id = shop.start(kind, Timeout=1, Arguments={"--mark": mark, "--began": str(began)})
        run = shop.wait(kind, run_id)
        assert run["JobRunState"] == "TIMEOUT" and run["Timeout"] == 1, run
        if began.exists():
            return run, mark
    raise AssertionError("it never began")


def test_t03(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: Callable[..., None]) -> None:
    late, left = 0.0, 0
    for kind in ("pythonshell", "glueetl"):
        run, mark = too_long(shop, monkeypatch, kind, tmp_path / kind)
        lasted = (run["CompletedOn"] - run["StartedOn"]).total_seconds()
        late = max(late, lasted - job_runs.MINUTE)
        left += len(named(mark)) + len(named(run["Id"]))
    shop.job("tries", "raise SystemExit('no')\n", head=False, kind="pythonshell", MaxRetries=2)
    first = shop.start("tries")
    until(lambda: len(shop.aws("glue").get_job_runs(JobName="tries")["JobRuns"]) == 3)
    shop.wait("tries", f"{first}_attempt_2")
    runs = shop.aws("glue").get_job_runs(JobName="tries")["JobRuns"]
    assert [run["Id"] for run in runs] == [f"{first}_attempt_2", f"{first}_attempt_1", first]
    assert [run["Attempt"] for run in runs] == [2, 1, 0] and runs[0]["PreviousRunId"] == f"{first}_attempt_1"
    assert {run["JobRunState"] for run in runs} == {"FAILED"}
    assert left == 0
    figures(late_seconds=round(late, 1), processes_left=left, runs=len(runs))
