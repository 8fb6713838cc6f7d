"""Warm worker processes: one invocation at a time each, behind one Runtime API listener each.

A pool belongs to one function version with one code and configuration. A worker is a process group; a timeout, too much
memory, an exit or an init error ends it, and the next invocation gets a fresh one. Idle workers end after ten minutes.

The listener speaks the Runtime API (next, response, error, init/error) over a socket on 127.0.0.1; what it knows of
HTTP is what that needs. Its port is the worker's own, so that a worker can only ask for its own work.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
PREFIX = "/2018-06-01/runtime/"
INIT_SECONDS = 10.0  # AWS; local imports may use the function's own timeout on top
IDLE_SECONDS = 600.0
MAX_RESPONSE = 6_291_556  # bytes, AWS
LOG_KEPT = 1 << 20  # bytes of the start and of the end of one invocation's log
TAIL = 4096  # bytes of LogResult
MEMORY_LOOK = 0.2  # seconds between two looks at a running worker's memory

Log = Callable[[str, str, Sequence[tuple[int, str]]], None]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """All that a worker process needs to know. Equal sandboxes may share a pool."""

    function: str
    version: str
    arn: str
    handler: str
    code: Path
    path: tuple[str, ...]  # of Python modules
    env: Mapping[str, str]
    timeout: float  # seconds
    memory: int  # MB
    log_group: str
    key: str  # names the pool: function, version, revision


@dataclass(slots=True)
class Invocation:
    """One call on its way: `done` is set when `payload` and `error` say how it went."""

    id: str
    event: bytes
    arn: str
    client_context: str = ""
    outcome: str = ""  # the file that makes it be done once, see bootstrap.py
    deadline: float = 0.0
    payload: bytes = b""
    error: bool = False
    init: bool = False  # failed before the handler could be called
    started: float = 0.0
    ended: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def finish(self, payload: bytes, *, error: bool) -> None:
        if not self.done.is_set():
            self.payload, self.error, self.ended = payload, error, time.monotonic()
            self.done.set()

    def fail(self, kind: str, message: str) -> None:
        self.finish(json.dumps({"errorType": kind, "errorMessage": message}).encode(), error=True)


class LogSink:
    """One invocation's log lines: the first and the last MiB reach the log group, the last 4 KiB the caller."""

    def __init__(self, write: Callable[[Sequence[tuple[int, str]]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()  # the caller and the pump both write
        self._left = LOG_KEPT
        self._late: deque[tuple[int, str]] = deque()
        self._late_size = self._dropped = 0
        self._tail = b""

    def lines(self, texts: Sequence[str]) -> None:
        now = int(time.time() * 1000)
        with self._lock:
            self._add([(now, text.replace("\r", "\n")) for text in texts if text])

    def _add(self, events: list[tuple[int, str]]) -> None:
        direct = 0
        for _, text in events:
            self._tail = (self._tail + text.encode(errors="replace") + b"\n")[-TAIL:]
            if self._left > 0:
                self._left -= len(text)
                direct += 1
        if direct:
            self._write(events[:direct])
        for event in events[direct:]:
            self._late.append(event)
            self._late_size += len(event[1])
            while self._late_size > LOG_KEPT and len(self._late) > 1:
                gone = self._late.popleft()
                self._late_size -= len(gone[1])
                self._dropped += len(gone[1])

    def close(self) -> bytes:
        """Write what was held back; the tail for the caller."""
        if self._dropped:
            self._write(
                [(self._late[0][0], f"[millpond: {self._dropped} bytes of this invocation's log are left out]")]
            )
        if self._late:
            self._write(list(self._late))
        self._late.clear()
        self._dropped = self._late_size = 0
        return self._tail


class Worker:
    """One process of one sandbox, its listener and its output."""

    def __init__(self, sandbox: Sandbox, log: Log) -> None:
        self.sandbox, self.dead, self.idle_since = sandbox, False, time.monotonic()
        self.init_seconds = 0.0
        self._fresh, self._ready = True, threading.Event()
        day = time.strftime("%Y/%m/%d", time.gmtime())
        self.stream = f"{day}/[{sandbox.version}]{uuid.uuid4().hex}"
        self._write: Callable[[Sequence[tuple[int, str]]], None] = lambda events: log(
            sandbox.log_group, self.stream, events
        )
        self._sink: LogSink | None = None
        self._inbox: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
        self._current: Invocation | None = None
        self._fate, self._over = threading.Lock(), False  # the process may end before its first invocation is known
        self._init_error: bytes | None = None
        self._out_of_memory = False
        self._begun = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self._listener.settimeout(0.1)
        self._life_read, self._life = os.pipe()
        self._output, output = os.pipe()
        self._pump_lock, self._kill_lock, self._killed = threading.Lock(), threading.Lock(), False
        self._partial = b""
        try:
            self.process = self._spawn(output)
        finally:
            os.close(output)
            os.close(self._life_read)
        threading.Thread(target=self._serve, name=f"lambda {sandbox.function}", daemon=True).start()
        threading.Thread(target=self._pump, name=f"lambda log {sandbox.function}", daemon=True).start()

    def _spawn(self, output: int) -> subprocess.Popen[bytes]:
        port = self._listener.getsockname()[1]
        env = {
            **self.sandbox.env,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_LOG_GROUP_NAME": self.sandbox.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "MILLPOND_PATH": json.dumps(self.sandbox.path),
        }
        # -S, -P: a function sees its own code, its layers and what AWS's runtime has, not this environment's packages
        return subprocess.Popen(
            [sys.executable, "-S", "-P", str(BOOTSTRAP), str(self._life_read)],
            env=env,
            cwd=self.sandbox.code,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(self._life_read,),
            start_new_session=True,
        )

    # The caller's side

    def run(self, invocation: Invocation) -> bytes:
        """Have one invocation done, within its time, and logged. Returns the last 4 KiB of its log."""
        try:
            return self._run(invocation)
        except BaseException:  # the log could not be written: what it is at belongs to nobody any more
            self.kill()
            raise

    def _run(self, invocation: Invocation) -> bytes:
        sandbox = self.sandbox
        self._sink = sink = LogSink(self._write)
        first, self._fresh = self._fresh, False
        if first:
            sink.lines([f"INIT_START Runtime Version: python:{sys.version_info[0]}.{sys.version_info[1]}.millpond"])
        with self._fate:
            self._current, over = invocation, self._over
        if first and not self._ready.wait(INIT_SECONDS + sandbox.timeout):
            self._time_out(invocation)
        sink.lines([f"START RequestId: {invocation.id} Version: {sandbox.version}"])  # before what the handler prints
        invocation.started = time.monotonic()
        self._inbox.put(invocation)
        if over:
            self._lose(invocation)
        self._watch(invocation)
        self._drain()
        self._report(invocation, sink, first=first)
        tail = sink.close()
        self._current, self._sink, self.idle_since = None, None, time.monotonic()
        return tail

    def _watch(self, invocation: Invocation) -> None:
        """Wait for the end, looking at the clock and at the memory."""
        end = invocation.started + self.sandbox.timeout
        while not invocation.done.wait(max(0.0, min(MEMORY_LOOK, end - time.monotonic()))):
            if time.monotonic() >= end:
                self._time_out(invocation)
            elif self._memory("VmRSS") > self.sandbox.memory:
                self._out_of_memory = True
                text = f"RequestId: {invocation.id} Error: Runtime exited with error: signal: killed"
                invocation.fail("Runtime.OutOfMemory", text)  # before the kill, which the listener would report too
                self.kill()

    def _time_out(self, invocation: Invocation) -> None:
        text = f"{invocation.id} Task timed out after {self.sandbox.timeout:.2f} seconds"
        if self._sink:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".000Z"
            self._sink.lines([f"{moment} {text}"])
        invocation.fail("Sandbox.Timedout", f"RequestId: {text.replace(' Task', ' Error: Task', 1)}")
        self.kill()

    def _memory(self, member: str) -> int:
        """MB of the worker's process; 0 where the system does not say (other than Linux)."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        found = [line.split()[1] for line in status.splitlines() if line.startswith(member)]
        return int(found[0]) // 1024 if found else 0

    def _report(self, invocation: Invocation, sink: LogSink, *, first: bool) -> None:
        took = (invocation.ended - invocation.started) * 1000 if invocation.started < invocation.ended else 0.0
        used = self.sandbox.memory if self._out_of_memory else self._memory("VmHWM")
        line = (
            f"REPORT RequestId: {invocation.id}\tDuration: {took:.2f} ms\tBilled Duration: {int(took) + 1} ms\t"
            f"Memory Size: {self.sandbox.memory} MB\tMax Memory Used: {used} MB\t"
        )
        if first:
            line += f"Init Duration: {self.init_seconds * 1000:.2f} ms\t"
        sink.lines([f"END RequestId: {invocation.id}", line])

    @property
    def gone(self) -> bool:
        return self.dead or self.process.poll() is not None

    def kill(self) -> None:
        """End the whole process group, now."""
        with self._kill_lock:
            if self._killed:
                return
            self.dead = self._killed = True
        self._inbox.put(Invocation("", b"", ""))  # for a listener that waits for work
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._listener.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)

    # The worker's side: the Runtime API

    def _serve(self) -> None:
        try:
            while (connection := self._accept()) is not None:
                with connection, connection.makefile("rb") as incoming:
                    connection.settimeout(None)
                    with contextlib.suppress(OSError, ValueError):
                        while self._answer(connection, incoming):
                            pass
        finally:
            self._gone()

    def _accept(self) -> socket.socket | None:
        while True:
            try:
                connection = self._listener.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except TimeoutError:
                if self.process.poll() is not None:
                    return None
            except OSError:
                return None  # killed: the listener is closed

    def _answer(self, connection: socket.socket, incoming: object) -> bool:
        request = incoming.readline(4096).split()  # type: ignore[attr-defined]
        if len(request) != 3:
            return False
        length = 0
        while (line := incoming.readline(65536)) not in (b"\r\n", b"\n", b""):  # type: ignore[attr-defined]
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = incoming.read(min(length, MAX_RESPONSE + 1))  # type: ignore[attr-defined]
        left = length - len(body)
        while left > 0 and (piece := incoming.read(min(left, 1 << 20))):  # type: ignore[attr-defined]
            left -= len(piece)
        method, path = request[0].decode("latin-1"), request[1].decode("latin-1")
        if method == "GET" and path == PREFIX + "invocation/next":
            return self._next(connection)
        status = self._told(path, body, length)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        return True

    def _next(self, connection: socket.socket) -> bool:
        if not self._ready.is_set():
            self.init_seconds = time.monotonic() - self._begun
            self._ready.set()
        invocation = self._inbox.get()
        if invocation.id == "":
            return False
        invocation.deadline = time.time() + self.sandbox.timeout
        headers = {
            "Content-Type": "application/json",
            "Content-Length": len(invocation.event),
            "Lambda-Runtime-Aws-Request-Id": invocation.id,
            "Lambda-Runtime-Deadline-Ms": int(invocation.deadline * 1000),
            "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
            "Lambda-Runtime-Trace-Id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]};Sampled=0",
        }
        if invocation.client_context:
            headers["Lambda-Runtime-Client-Context"] = invocation.client_context
        if invocation.outcome:
            headers["Millpond-Outcome"] = invocation.outcome
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + invocation.event)
        return True

    def _told(self, path: str, body: bytes, length: int) -> str:
        """A response or an error of the worker; the status line's end."""
        what = path.removeprefix(PREFIX)
        current = self._current
        if what == "init/error":
            self._init_error = body
            self._ready.set()
            return "202 Accepted"
        if current is None or not what.startswith(f"invocation/{current.id}/"):
            return "400 Bad Request"
        if what.endswith("/error"):
            current.finish(body, error=True)
        elif length > MAX_RESPONSE:
            text = (
                f"Response payload size ({length} bytes) exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
            )
            current.fail("Function.ResponseSizeTooLarge", text)
            return "413 Payload Too Large"
        else:
            current.finish(body, error=False)
        return "202 Accepted"

    def _gone(self) -> None:
        """The process ended, or is beyond talking to: whatever it was doing has failed."""
        self.dead = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # what it left running
        self._listener.close()
        with contextlib.suppress(OSError):
            os.close(self._life)
        self._ready.set()
        with self._fate:
            self._over, current = True, self._current
        if current is not None:
            self._lose(current)

    def _lose(self, invocation: Invocation) -> None:
        """The process is gone: so is the invocation, if it has not answered."""
        if invocation.done.is_set():
            return
        if self._init_error is not None:
            invocation.init = True
            invocation.finish(self._init_error, error=True)
            return
        why = exit_reason(self.process.wait())
        invocation.fail("Runtime.ExitError", f"RequestId: {invocation.id} Error: {why}")

    # The worker's output

    def _pump(self) -> None:
        lost = False
        while True:
            _readable(self._output, None)
            with self._pump_lock:
                try:
                    more = self._read_output()
                except Exception as error:  # lines that cannot be kept; the function must not wait for their reader
                    if not lost:
                        log.warning("lines of the log of %s are lost: %s", self.sandbox.function, error)
                    lost = True
                    continue
                if not more:
                    os.close(self._output)
                    self._output = -1
                    return

    def _read_output(self) -> bool:
        if self._output < 0 or not _readable(self._output, 0):
            return True
        data = os.read(self._output, 1 << 16)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self._partial and (not data or len(self._partial) > LOG_KEPT):
            lines, self._partial = [*lines, self._partial], b""
        texts = [line.decode(errors="replace") for line in lines]
        if sink := self._sink:
            sink.lines(texts)
        elif texts:
            now = int(time.time() * 1000)
            self._write([(now, text.replace("\r", "\n")) for text in texts if text])
        return bool(data)

    def _drain(self) -> None:
        """Read what the function printed before it answered."""
        with self._pump_lock:
            while self._output >= 0 and _readable(self._output, 0):
                if not self._read_output():
                    return


def _readable(descriptor: int, milliseconds: int | None) -> bool:
    """Whether there is something to read, or its end; also of descriptors beyond select's 1024."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))


def exit_reason(code: int) -> str:
    """Lambda's words for how a runtime ended."""
    if code < 0:
        names = {signal.SIGKILL: "killed", signal.SIGSEGV: "segmentation fault", signal.SIGABRT: "aborted",
                 signal.SIGTERM: "terminated"}  # fmt: skip
        return f"Runtime exited with error: signal: {names.get(signal.Signals(-code), signal.Signals(-code).name)}"
    return f"Runtime exited with error: exit status {code}" if code else "Runtime exited without providing a reason"


class Busy(Exception):
    """All workers that the function may have are at work."""


class Pools:
    """The workers of all functions."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._free: dict[str, list[Worker]] = {}
        self._all: set[Worker] = set()
        self._count: dict[str, int] = {}
        self._stale: set[str] = set()
        self._serving: dict[str, Worker] = {}  # tasks of Step Functions, by the file of their outcome
        self._unwanted: set[str] = set()  # of these tasks, those that were stopped before they had a worker
        self._changed = threading.Lock()
        self._freed: dict[str, threading.Condition] = {}  # by pool: whoever is woken can use the worker
        self._closed = False

    def run(self, sandbox: Sandbox, invocation: Invocation, *, limit: int, wait: bool) -> bytes:
        """Run on a free or a new worker. Raises Busy when `limit` workers are at work and we are not to wait."""
        worker = self._take(sandbox, limit, wait)
        try:
            with self._changed:
                if unwanted := bool(invocation.outcome) and invocation.outcome in self._unwanted:
                    invocation.fail("Runtime.ExitError", f"RequestId: {invocation.id} Error: its task was stopped")
                elif invocation.outcome:
                    self._serving[invocation.outcome] = worker
            return b"" if unwanted else worker.run(invocation)
        finally:
            if invocation.outcome:
                with self._changed:
                    self._serving.pop(invocation.outcome, None)
            self._give(worker)

    def interrupt(self, outcome: str) -> None:
        """End the worker that runs the invocation of this outcome; where none does yet, none will until `forget`."""
        with self._changed:  # until it is dead, it is nobody else's
            if (worker := self._serving.get(outcome)) is not None:
                worker.kill()
            else:
                self._unwanted.add(outcome)

    def forget(self, outcome: str) -> None:
        """Nobody will ask for the invocation of this outcome any more."""
        with self._changed:
            self._unwanted.discard(outcome)

    def _take(self, sandbox: Sandbox, limit: int, wait: bool) -> Worker:
        key = sandbox.key
        with self._changed:
            while True:
                if self._closed:
                    raise Busy
                free = self._free.setdefault(key, [])
                while free and self._count[key] - len(free) < limit:  # fewer may be allowed than there are by now
                    worker = free.pop()
                    if not worker.gone:
                        return worker
                    self._drop(worker)
                if not free and self._count.get(key, 0) < limit:
                    self._count[key] = self._count.get(key, 0) + 1
                    break
                if not wait:
                    raise Busy
                self._freed.setdefault(key, threading.Condition(self._changed)).wait(1)
        try:
            worker = Worker(sandbox, self._log)
        except BaseException:
            with self._changed:
                self._count[key] -= 1
                self._tell(key)
            raise
        with self._changed:
            if not self._closed:
                self._all.add(worker)
                return worker
        worker.kill()  # everything was ended while it started
        raise Busy

    def _tell(self, key: str) -> None:
        """One of those that wait for a worker of this pool may have one."""
        if (freed := self._freed.get(key)) is not None:
            freed.notify()

    def _drop(self, worker: Worker) -> None:
        self._count[worker.sandbox.key] -= 1
        self._all.discard(worker)

    def _give(self, worker: Worker) -> None:
        key = worker.sandbox.key
        with self._changed:
            keep = not worker.dead and key not in self._stale and not self._closed
            if keep:
                self._free[key].append(worker)
            else:
                self._drop(worker)
            self._tell(key)
        if not keep:
            worker.kill()

    def drain(self, function: str, keep: str | None = None) -> None:
        """End idle workers of a function's pools but `keep`; busy ones end when they finish."""
        ended: list[Worker] = []
        with self._changed:
            for key in [key for key in self._count if key.split("|")[0] == function and key != keep]:
                self._stale.add(key)
                free = self._free.pop(key, [])
                for worker in free:
                    self._drop(worker)
                ended += free
        for worker in ended:
            worker.kill()

    def reap(self) -> None:
        """End workers that were idle for ten minutes."""
        now, ended = time.monotonic(), []
        with self._changed:
            for key, free in self._free.items():
                old = [worker for worker in free if now - worker.idle_since > IDLE_SECONDS or worker.gone]
                self._free[key] = [worker for worker in free if worker not in old]
                for worker in old:
                    self._drop(worker)
                ended += old
        for worker in ended:
            worker.kill()

    def close(self) -> None:
        """End everything."""
        with self._changed:
            self._closed = True
            workers = list(self._all)
            self._free.clear()
            for freed in self._freed.values():
                freed.notify_all()
        for worker in workers:
            worker.kill()
