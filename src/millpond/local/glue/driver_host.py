"""The driver host: a process of a Glue runtime that runs job scripts one after the other, each in a process of its own.

This file is run by the runtime's Python and imports nothing of millpond. It starts a JVM (a py4j gateway, as pyspark
starts it), imports what most scripts import, says `ready`, and then, for each run it is sent: takes the run's lock,
forks, lets the child run the script as `__main__` on the warm JVM, enforces the timeout, and leaves `outcome.json`.

It is the supervisor, so that a run outlives the endpoint: killing the endpoint with -9 neither ends nor loses a run.
When the endpoint is gone and no run is active, the host ends, and the JVM with it.

In a run's folder: `spec.json` (read), `claimed` (made exclusively: a run starts once), `alive` (flock held while host
or child live), `process.json` (pids), `stdout`, `stderr`, `result.json` (the child's word), `outcome.json` (the
host's).

A JVM serves the next run only after one that ended by itself and was cleaned up (its SparkContext stopped, system
properties and file systems as before), with settings that touch nothing but its own SparkContext, and at most REUSED
times; after a timeout, a stop or an error of the JVM it is killed, and a new host takes over.

Limits: POSIX. Where fork is not safe (macOS frameworks), and where the job brings modules of its own in place of those
that the host has imported, the child is a fresh interpreter: 0.5 s instead of 0.02 s.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any

REUSED = 20  # runs a JVM serves: what a run leaves behind (generated classes, py4j handles) stays small
GRACE = 1.0  # seconds between SIGTERM and SIGKILL of a run
JVM_SECONDS = 90.0
ORPHAN_SECONDS = 600.0  # an interactive session waits so long for the next endpoint
ALONE = "--alone"
GATEWAY = "MILLPOND_GATEWAY"  # tells a child that was not forked the JVM's port and secret
FORK = sys.platform != "darwin"
PRELOADED = ("pyspark.sql", "pyspark.sql.functions", "py4j.clientserver", "boto3", "awsglue.context", "awsglue.job")
LAZY = ("pyarrow.parquet", "pyspark.sql.pandas.types", "pandas")  # heavy: the JVM needs longer than they do

# The classes of error that AWS names in a failed run's message, by the exception's name; the rest is unclassified.
CATEGORIES = {
    "AnalysisException": "QUERY_ERROR",
    "ParseException": "QUERY_ERROR",
    "ImportError": "IMPORT_ERROR",
    "ModuleNotFoundError": "IMPORT_ERROR",
    "SyntaxError": "SYNTAX_ERROR",
    "IndentationError": "SYNTAX_ERROR",
    "IllegalArgumentException": "INVALID_ARGUMENT_ERROR",
    "GlueArgumentError": "INVALID_ARGUMENT_ERROR",
    "FileNotFoundError": "RESOURCE_NOT_FOUND_ERROR",
    "PermissionError": "PERMISSION_ERROR",
    "ConnectionError": "CONNECTION_ERROR",
    "OperationalError": "CONNECTION_ERROR",
    "MemoryError": "OUT_OF_MEMORY_ERROR",
}


# ---- what both sides of the fork share


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


# ---- the child: one script


def describe(error: BaseException, script: str) -> str:
    """A failed run's message in AWS's form; the line is the last one of the traceback that lies in the script."""
    kind = type(error).__name__
    category = next((CATEGORIES[c.__name__] for c in type(error).__mro__ if c.__name__ in CATEGORIES), None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == script]
    line = lines[-1] if lines else None
    text = str(error)
    if isinstance(error, SyntaxError):
        text, line = error.msg, error.lineno if error.filename == script else line
    if java := getattr(error, "java_exception", None):
        with contextlib.suppress(Exception):  # the JVM may be what died
            text = f"{text.splitlines()[0].rstrip('.')}. {java.toString()}"  # the call, and what Java says
    text = text.split("\n\nJVM stacktrace")[0].strip()
    if category == "QUERY_ERROR":
        text = text.splitlines()[0].rstrip(";") if text else ""  # Spark's advice and plan are in the log
    parts = [f"Error Category: {category or 'UNCLASSIFIED_ERROR'}"]
    if line:
        parts.append(f"Failed Line Number: {line}")
    return "; ".join([*parts, f"{kind}: {text}" if text else kind])[:4000]


def run_script(script: str, debug: str = "") -> dict[str, Any]:
    """Run a file as `__main__`; returns how it ended. What escapes is printed as Python prints it.

    `debug`: `pdb`, or the port on which an editor's debugger is waited for (debugpy); "" for neither.
    """
    module = types.ModuleType("__main__")
    module.__dict__.update(__file__=script, __builtins__=__builtins__)
    sys.modules["__main__"] = module
    try:
        with open(script, "rb") as file:
            code = compile(file.read(), script, "exec")
        if debug:
            run_debugged(code, module.__dict__, debug)
        else:
            exec(code, module.__dict__)
    except SystemExit as leave:
        if leave.code in (None, 0):
            return {"ok": True}
        if not isinstance(leave.code, int):
            print(leave.code, file=sys.stderr)
        return {"ok": False, "error": describe(leave, script)}
    except BaseException as error:
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code.co_filename == __file__:
            trace = trace.tb_next  # our own frames say nothing to the user
        traceback.print_exception(type(error), error, trace)
        return {"ok": False, "error": describe(error, script)}
    return {"ok": True}


def run_debugged(code: types.CodeType, namespace: dict[str, Any], debug: str) -> None:
    """In pdb, from the first line on, and again where an exception ends the script; or when an editor has attached."""
    if debug != "pdb":
        debugpy = importlib.import_module("debugpy")
        debugpy.listen(("127.0.0.1", int(debug)))
        print(f"millpond: waiting for a debugger on 127.0.0.1:{debug}", file=sys.stderr)
        debugpy.wait_for_client()
        exec(code, namespace)
        return
    import bdb
    import pdb

    try:
        pdb.Pdb().run(code, namespace, namespace)
    except bdb.BdbQuit:  # the user left the debugger
        raise SystemExit(1) from None
    except Exception as error:
        traceback.print_exc()
        pdb.post_mortem(error.__traceback__)
        raise


def run_session(folder: Path, idle: float) -> dict[str, Any]:
    """Serve an interactive session's statements (session_repl.py); returns how it ended."""
    found = importlib.util.spec_from_file_location("session_repl", Path(__file__).with_name("session_repl.py"))
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    session = module.Session(folder, idle)
    session.start()
    return {"ok": True, "end": session.serve()}


def child(spec: dict[str, Any], gateway: dict[str, Any] | None) -> None:
    """The whole life of the script's process; ends it."""
    folder = Path(spec["folder"])
    for name, fd in (("stdout", 1), ("stderr", 2)):
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(file, fd)
        os.close(file)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    result = execute(spec, gateway)
    write_json(folder / "result.json", result)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if result["ok"] else 1)


def execute(spec: dict[str, Any], gateway: dict[str, Any] | None) -> dict[str, Any]:
    """Make this process the script's, run it, and clean up; returns how it ended."""
    streams: Any = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    os.environ.clear()
    os.environ.update(spec["env"])
    time.tzset()
    os.chdir(spec["cwd"])
    sys.argv = [spec["script"], *spec["argv"]]
    sys.path[:0] = [spec["cwd"], *spec["python_path"]]
    importlib.invalidate_caches()
    atexit._clear()
    if gateway:
        os.environ["PYSPARK_GATEWAY_PORT"] = str(gateway["port"])
        os.environ["PYSPARK_GATEWAY_SECRET"] = gateway["secret"]
    driver = None
    try:
        if gateway:
            driver = attach(spec["conf"])
            importlib.import_module("awsglue._spark_jdbc").install()
            if spec.get("catalog"):
                importlib.import_module("awsglue._metastore").install()
        if spec.get("idle"):
            result = run_session(Path(spec["folder"]), spec["idle"])
        else:
            result = run_script(spec["script"], spec.get("debug", ""))
    except BaseException as error:  # before the script's first line
        traceback.print_exc()
        result = {"ok": False, "error": describe(error, spec["script"])}
    result |= finish(driver)
    result["clean"] = result["clean"] and not jvm_suspect(result.get("error", ""))
    return result


def attach(conf: dict[str, str]) -> Any:
    """Connect to the JVM and give it the run's settings; returns the JVM's end of the run (Driver.java)."""
    from pyspark import SparkContext

    SparkContext._ensure_initialized()
    driver = SparkContext._jvm.millpond.spark.Driver
    driver.begin(conf)
    return driver


def finish(driver: Any) -> dict[str, Any]:
    """After the script: its threads, its exit handlers, the row counts, and the JVM as it was found."""
    with contextlib.suppress(Exception):
        vars(threading)["_shutdown"]()  # what the interpreter does at its end
    atexit._run_exitfuncs()
    rows, clean = {"read": 0, "written": 0}, driver is None
    if driver is not None:
        try:
            read, written = (int(part) for part in driver.end().split())
            rows, clean = {"read": read, "written": written}, True
            release()
        except Exception as error:  # a dead JVM: its log says why
            print(f"the JVM did not end the run: {error}", file=sys.stderr)
    if counted := sys.modules.get("awsglue._rows"):
        rows = counted.total(rows)
    if driver is not None or any(rows.values()):  # a Spark job that found nothing new says so: 0 rows
        print("millpond.rows", json.dumps(rows))
    return {"clean": clean, "rows": rows}


def jvm_suspect(error: str) -> bool:
    """Whether an error came out of the JVM itself (a failed task, memory, a broken connection), not of the script."""
    return "Py4J" in error or "OutOfMemory" in error


def release() -> None:
    """Let the JVM forget this process's objects, which it would keep for ever."""
    from py4j.finalizer import ThreadSafeFinalizer

    for reference in list(ThreadSafeFinalizer.finalizers.values()):
        with contextlib.suppress(Exception):
            reference.__callback__(reference)


# ---- the host


class Jvm:
    """A py4j gateway in a JVM of ours."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path, log: str = "jvm.log") -> None:
        self.info = folder / "gateway"
        log_to = os.open(folder / log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else os.dup(2)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # the gateway ends when this is closed, so also when we are killed
            stdout=log_to,
            stderr=log_to,
            env=env | {"_PYSPARK_DRIVER_CONN_INFO_PATH": str(self.info)},
            cwd=folder,
            start_new_session=not log,  # else Ctrl-C in a terminal would end it
        )
        os.close(log_to)

    def gateway(self) -> dict[str, Any]:
        """Port and secret; waits for the JVM."""
        until = time.monotonic() + JVM_SECONDS
        while not self.info.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the JVM did not start (exit {self.process.poll()}); see jvm.log")
            time.sleep(0.02)
        content = self.info.read_bytes()
        self.info.unlink()
        port, length = struct.unpack("!ii", content[:8])
        return {"port": port, "secret": content[8 : 8 + length].decode()}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Host:
    """See the module's docstring. `config` is the file that drivers.py wrote; `control` the endpoint's socket."""

    def __init__(self, config: dict[str, Any], control: socket.socket) -> None:
        self.config, self.control = config, control
        self.folder = Path(config["folder"])
        self.jvm: Jvm | None = None
        self.gateway: dict[str, Any] | None = None
        self.spec: dict[str, Any] | None = None  # of the active run
        self.pid = 0
        self.started = self.deadline = 0.0
        self.ending = ""  # TIMEOUT or STOPPED, once the run is being killed
        self.kill_at = 0.0
        self.alive = -1
        self.served = 0
        self.orphan = self.leaving = False
        self.orphaned = 0.0
        self.received = b""
        self.signals, wake = socket.socketpair()
        for end in (self.signals, wake):
            end.setblocking(False)
        self._wake = wake
        signal.set_wakeup_fd(wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.terminate())
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def say(self, **event: Any) -> None:
        if not self.orphan:
            with contextlib.suppress(OSError):
                self.control.sendall(json.dumps(event).encode() + b"\n")

    def prepare(self) -> None:
        if self.config.get("jvm"):
            self.jvm = Jvm(self.config["jvm"], self.config["env"], self.folder)
        if self.jvm:
            os.environ.update(self.config["env"])
            for name in PRELOADED:
                importlib.import_module(name)
            for service in ("glue", "s3", "secretsmanager"):  # no connection yet: safe to fork
                importlib.import_module("awsglue._aws").client(service)
        if self.jvm:
            self.gateway = self.jvm.gateway()
            warm = self.config.get("warm")
            if warm and not self.wanted():
                self.warm(warm)
            elif FORK:
                self.preload_late()
        gc.collect()
        gc.freeze()  # children share these pages
        self.say(event="ready", pid=os.getpid())

    def preload_late(self) -> None:
        for name in LAZY:
            importlib.import_module(name)

    def wanted(self, seconds: float = 0.0) -> bool:
        """Whether the endpoint said something (`hurry`: a run waits), or is gone."""
        return bool(select.select([self.control], [], [], seconds)[0])

    def warm(self, spec: dict[str, Any]) -> None:
        """Run a small script once, so that the JVM has loaded and compiled what each job needs; look at no result."""
        pid = self.fork(spec)
        self.preload_late()  # meanwhile
        enough = Path(spec["folder"]) / "enough"  # a run waits: the script leaves at its next step
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if self.wanted(0.05) and not enough.exists():
                enough.touch()
            elif enough.exists():
                time.sleep(0.02)

    def fork(self, spec: dict[str, Any]) -> int:
        if not FORK or spec.get("fresh"):
            command = [sys.executable, __file__, "--child", spec["folder"]]
            env = {**spec["env"], "PYTHONPATH": "", GATEWAY: json.dumps(self.gateway)}
            return subprocess.Popen(command, env=env, start_new_session=True, pass_fds=[self.alive]).pid
        pid = os.fork()
        if pid:
            with contextlib.suppress(OSError):
                os.setpgid(pid, pid)
            return pid
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            self.control.close()
            if self.jvm and self.jvm.process.stdin:
                os.close(self.jvm.process.stdin.fileno())  # else the JVM would outlive the host
            child(spec, self.gateway)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)

    # ---- one run

    def start(self, folder: Path) -> None:
        spec = read_json(folder / "spec.json")
        if spec is None:
            return self.say(event="refused", run=folder.name, why="spec.json cannot be read")
        try:
            os.close(os.open(folder / "claimed", os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return self.say(event="refused", run=folder.name, why="another host has the run")
        self.alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.alive, fcntl.LOCK_EX)
        self.spec, self.ending, self.started = spec, "", time.time()
        offset = (self.folder / "jvm.log").stat().st_size if self.jvm else 0
        process: dict[str, Any] = {"host": os.getpid(), "started": self.started}
        if self.jvm:
            process |= {"jvm": self.jvm.process.pid, "jvm_log": str(self.folder / "jvm.log"), "jvm_offset": offset}
        self.deadline = time.monotonic() + spec["timeout"]
        self.pid = self.fork(spec)
        write_json(folder / "process.json", process | {"pid": self.pid})
        self.say(event="started", run=folder.name, pid=self.pid)

    def terminate(self) -> None:
        """SIGTERM: stop the active run and leave (how an endpoint that did not start us stops a run)."""
        self.leaving = True
        self.end_run("STOPPED")

    def end_run(self, how: str) -> None:
        if self.spec and not self.ending:
            self.ending, self.kill_at = how, time.monotonic() + GRACE
            self.signal_run(signal.SIGTERM)

    def signal_run(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reap(self) -> None:
        """Look whether the child has ended; if so, write the outcome."""
        if not self.spec:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return
        self.signal_run(signal.SIGKILL)  # what the script left running in its group
        folder = Path(self.spec["folder"])
        result = read_json(folder / "result.json") or {}
        outcome = self.judge(result, os.waitstatus_to_exitcode(status))
        reusable = self.may_serve_on(bool(result.get("clean")) and not self.ending)
        if not reusable and self.jvm:
            self.jvm.kill()  # before the outcome: nothing may write after it
        write_json(folder / "outcome.json", outcome)
        os.close(self.alive)
        name, self.spec, self.pid, self.alive = folder.name, None, 0, -1
        self.say(event="done", run=name, reusable=reusable)
        if not reusable:
            self.leaving = True

    def may_serve_on(self, well: bool) -> bool:
        self.served += 1
        ours = self.jvm is not None and self.jvm.process.poll() is None
        return bool(
            well and ours and self.spec and self.spec.get("plain") and self.served < REUSED and not self.leaving
        )

    def judge(self, result: dict[str, Any], code: int) -> dict[str, Any]:
        assert self.spec is not None
        outcome = {"started": self.started, "ended": time.time(), "rows": result.get("rows"), "exit": code}
        outcome |= {"end": result["end"]} if "end" in result else {}
        if self.ending and not result.get("ok"):
            text = "Job run timed out." if self.ending == "TIMEOUT" else ""
            return outcome | {"state": self.ending, "error": text}
        if result.get("ok"):
            return outcome | {"state": "SUCCEEDED", "error": ""}
        if self.jvm and self.jvm.process.poll() is not None and "Py4J" in result.get("error", ""):
            end = f"The Spark driver's JVM ended with exit code {self.jvm.process.poll()}."
            return outcome | {"state": "FAILED", "error": f"{result['error']} {end}"}
        why = result.get("error") or f"Command failed with exit code {code}"
        return outcome | {"state": "FAILED", "error": why}

    # ---- the loop

    def serve(self) -> None:
        while not (self.leaving or (self.orphan and not self.spec)) or self.spec:
            watched = [self.signals] if self.orphan else [self.signals, self.control]
            ready, _, _ = select.select(watched, [], [], self.patience())
            if self.signals in ready:
                with contextlib.suppress(BlockingIOError):
                    self.signals.recv(4096)
            if self.control in ready:
                self.listen()
            self.reap()
            now = time.monotonic()
            if self.spec and now >= self.deadline:
                self.end_run("TIMEOUT")
            if self.spec and self.spec.get("idle") and self.orphan and now >= self.orphaned + ORPHAN_SECONDS:
                self.end_run("STOPPED")  # nobody would ever stop it
            if self.spec and self.ending and now >= self.kill_at:
                self.signal_run(signal.SIGKILL)
            if self.jvm and not self.spec and self.jvm.process.poll() is not None:
                return
        if self.jvm:
            self.jvm.kill()

    def patience(self) -> float | None:
        if not self.spec:
            return None
        if self.ending:
            return 0.05
        return max(0.0, min(self.deadline - time.monotonic(), 60.0))

    def listen(self) -> None:
        try:
            data = self.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.orphan, self.orphaned = True, time.monotonic()
            return
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if order["do"] == "run":
                self.start(Path(order["folder"]))
            elif order["do"] == "stop":
                self.end_run("STOPPED")
            elif order["do"] == "exit":
                self.leaving = True


def alone(folder: Path) -> None:
    """One script in the foreground, with a JVM of its own (one_script.py); ends this process."""
    config, spec = read_json(folder / "config.json"), read_json(folder / "spec.json")
    assert config is not None and spec is not None
    sys.path[:] = [*config["python_path"], *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    jvm = Jvm(config["jvm"], config["env"], folder, log="") if config.get("jvm") else None
    try:
        result = execute(spec, jvm.gateway() if jvm else None)
    finally:
        if jvm:
            jvm.kill()
    if not result["ok"]:
        print(f"\nmillpond: {result['error']}", file=sys.stderr)
    sys.stdout.flush()
    os._exit(0 if result["ok"] else 1)


def main() -> None:
    if sys.argv[1] == ALONE:
        alone(Path(sys.argv[2]))
    if sys.argv[1] == "--child":
        spec = read_json(Path(sys.argv[2]) / "spec.json")
        assert spec is not None
        sys.path.remove(str(Path(__file__).parent))
        child(spec, json.loads(os.environ[GATEWAY]))
    config = read_json(Path(sys.argv[1]))
    assert config is not None
    control = socket.socket(fileno=int(sys.argv[2]))
    control.set_inheritable(False)
    sys.path[:] = [*config["python_path"], *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    alive = os.open(Path(config["folder"]) / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)  # held while the host or a child lives: then nobody sweeps our folders
    host = Host(config, control)
    try:
        host.prepare()
    except BaseException as error:
        traceback.print_exc()
        host.say(event="broken", why=f"{type(error).__name__}: {error}")
        if host.jvm:
            host.jvm.kill()
        raise SystemExit(1) from None
    host.serve()


if __name__ == "__main__":
    main()
