"""The inside of an interactive session: statements, one after the other, in one namespace on one Spark.

This file is run by the runtime's Python, in the child that the driver host starts (driver_host.py), and imports nothing
of millpond. The endpoint and it talk by files in the session's folder, so that a session outlives the endpoint:

    statements/<n>.json       what is to run: {"code": ...}; whole or not there
    statements/<n>.cancel     it is not wanted any more
    statements/<n>.out.json   how it goes and what came out: state, progress, output, times (ms)
    wake                      a FIFO: a byte in it says that there is something to look at
    ready                     made when Spark is there

`spark`, `sc` and `sqlContext` are there from the start. The last expression of a statement is shown as Python shows it;
it and what was printed are the statement's text. An output's Status is `ok` or `error`, as clients of AWS expect it
(Livy's words, unlike the enumeration that AWS documents); a statement's State is AVAILABLE, ERROR or CANCELLED.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any

PROGRESS_SECONDS = 0.5
KEPT = 4 << 20  # characters of a statement's text; the session's log has the rest


class Both(io.TextIOBase):
    """What a statement prints: kept for its output, and written to the session's log."""

    def __init__(self, log: Any) -> None:
        self.log, self.size = log, 0
        self.parts: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.size < KEPT:
            self.parts.append(text[: KEPT - self.size])
            self.size += len(text)
        return int(self.log.write(text))

    def flush(self) -> None:
        self.log.flush()

    def text(self) -> str:
        return "".join(self.parts)


class Session:
    """See the module's docstring. `idle`: seconds without a statement after which the session ends."""

    def __init__(self, folder: Path, idle: float) -> None:
        self.folder, self.idle = folder / "statements", idle
        self.folder.mkdir(exist_ok=True)
        wake = folder / "wake"
        with contextlib.suppress(FileExistsError):
            os.mkfifo(wake, 0o600)
        self.wake = os.open(wake, os.O_RDWR | os.O_NONBLOCK)
        self.main = types.ModuleType("__main__")
        sys.modules["__main__"] = self.main
        self.next = 0
        self.over = threading.Event()  # is the last statement?
        self.over.set()
        self.canceller: threading.Thread | None = None
        self.spark: Any = None

    def start(self) -> None:
        """Make Spark."""
        from pyspark.context import SparkContext
        from pyspark.sql import SparkSession

        context = SparkContext.getOrCreate()
        self.spark = SparkSession(context)
        vars(self.main).update(spark=self.spark, sc=context, sqlContext=self.spark)
        signal.signal(signal.SIGINT, self.interrupt)
        (self.folder.parent / "ready").touch()

    def interrupt(self, _: int, frame: types.FrameType | None) -> None:
        """A statement is cancelled. While it waits for the JVM, Spark's jobs are: their end is the statement's.

        An interrupt there would leave the JVM's answer behind, for the next call to take for its own; and from this
        thread the JVM cannot be asked for anything else.
        """
        if self.over.is_set():  # it came late
            return
        while frame is not None and "py4j" not in frame.f_code.co_filename:
            frame = frame.f_back
        if frame is None:
            raise KeyboardInterrupt
        if self.canceller is None:
            self.canceller = threading.Thread(target=self.cancel_jobs, args=(self.over,), daemon=True)
            self.canceller.start()

    def cancel_jobs(self, over: threading.Event) -> None:
        """Until the statement is over: between two of its jobs there is nothing to cancel for a moment."""
        while not over.is_set():
            self.spark.sparkContext.cancelAllJobs()
            over.wait(0.2)

    def serve(self) -> str:
        """Run statements until nobody has asked for one in `idle` seconds: TIMEOUT."""
        deadline = time.monotonic() + self.idle
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # a cancellation that came late
                while (path := self.folder / f"{self.next}.json").exists():
                    self.statement(path)
                    deadline = time.monotonic() + self.idle
                left = deadline - time.monotonic()
                if left <= 0:
                    return "TIMEOUT"
                if select.select([self.wake], [], [], min(left, 60.0))[0]:
                    os.read(self.wake, 4096)

    def statement(self, path: Path) -> None:
        number, self.next = self.next, self.next + 1
        out = self.folder / f"{number}.out.json"
        started = int(time.time() * 1000)
        if (self.folder / f"{number}.cancel").exists():
            told = {"state": "CANCELLED", "progress": 0.0}
        else:
            code = json.loads(path.read_text())["code"]
            write(out, {"state": "RUNNING", "progress": 0.0, "started": started})
            over = self.over = threading.Event()
            watcher = threading.Thread(target=self.watch, args=(out, started, over), daemon=True)
            watcher.start()
            told = self.run(code, number)
            watcher.join()
            if self.canceller is not None:  # what it cancels shall not be the next statement's
                self.canceller.join()
                self.canceller = None
        write(out, told | {"started": started, "completed": int(time.time() * 1000)})

    def run(self, code: str, number: int) -> dict[str, Any]:
        text, log = Both(sys.stdout), sys.stdout
        sys.stdout = text
        # A cancelled statement shall not leave its Spark tasks at work.
        self.spark.sparkContext.setJobGroup(f"statement {number}", code[:200], interruptOnCancel=True)
        try:
            self.execute(code, f"<statement {number}>")
            output: dict[str, Any] = {"Status": "ok"}
        except BaseException as error:  # SystemExit, too: it ends the statement, not the session
            if isinstance(error, KeyboardInterrupt) or (self.folder / f"{number}.cancel").exists():
                # A Spark job that is cancelled may end as an error of Spark's before the interrupt is seen.
                return {"state": "CANCELLED", "progress": 0.0}
            output = self.failure(error)
        finally:
            self.over.set()
            sys.stdout = log
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        output |= {"Data": {"TextPlain": text.text()}, "ExecutionCount": number}
        return {"state": "AVAILABLE" if output["Status"] == "ok" else "ERROR", "progress": 1.0, "output": output}

    def execute(self, code: str, name: str) -> None:
        """All statements of it; the last one as if typed at a prompt, so that the value of an expression is shown."""
        import linecache

        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)  # for tracebacks
        body = ast.parse(code, name).body
        namespace = vars(self.main)
        if body[:-1]:
            exec(compile(ast.Module(body[:-1], []), name, "exec"), namespace)
        if body:
            exec(compile(ast.Interactive(body[-1:]), name, "single"), namespace)

    def failure(self, error: BaseException) -> dict[str, Any]:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # our own frames say nothing to the user
        lines = traceback.format_exception(type(error), error, trace)
        print("".join(lines), file=sys.stderr)
        return {
            "Status": "error",
            "ErrorName": type(error).__name__,
            "ErrorValue": str(error),
            "Traceback": [line.rstrip("\n") for line in lines],
        }

    def watch(self, out: Path, started: int, over: threading.Event) -> None:
        """The progress of the Spark jobs that run: finished tasks of all that the active stages have."""
        shown = 0.0
        while not over.wait(PROGRESS_SECONDS):
            with contextlib.suppress(Exception):  # a stage may end while we ask
                tracker = self.spark.sparkContext.statusTracker()
                stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
                tasks = sum(stage.numTasks for stage in stages if stage)
                done = sum(stage.numCompletedTasks for stage in stages if stage)
                if tasks and done / tasks != shown and not over.is_set():
                    shown = done / tasks
                    write(out, {"state": "RUNNING", "progress": round(shown, 3), "started": started})


def write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    part.replace(path)
