"""Evaluates, in a process of its own, what could take all the time or memory there is: some JSONata, some JSONPath.

A library call cannot be interrupted, and a failed allocation or an overflown stack ends the process it happens in. So
an expression that may loop or multiply (`is_wild`) goes to a worker: one line of JSON there, one line back. The kernel
ends a worker that uses more than its CPU second or its memory; the next expression gets a new one. A worker also ends
when its pipe closes, with whoever started it. The round trip costs about 0.1 ms, so expressions that are tame by their
text (`$states.input.x + 1`, a `$map` over items) stay in this process, where the library's own bounds hold.

**Limits**: macOS does not enforce the memory bound; there, the CPU second alone bounds it.

May import: millpond.errors, asl.model; in the worker, asl.jsonata and asl.paths.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from typing import IO, Final, cast

from millpond.asl.model import Json

CPU_SECONDS = 0.8
WALL_SECONDS = 10.0  # the CPU second may take so long on a machine that is busy with other things
MEMORY: Final = 1 << 30  # bytes of address space
LONGEST_RESULT = 16 << 20  # characters of JSON text; a state's payload may have 262,144 bytes
DEPTH = 10_000
_STACK = 256 << 20  # bytes; 10,000 levels need about half
_READY = b"ready\n"
_IDLE = 2  # workers kept for the next expression

TAKES_LONG = "U1001: Expression evaluation timeout: Check for infinite loop"
TAKES_MUCH = "U1001: Expression evaluation memory limit exceeded"

# --------------------------------------------------------------------------------------------------------- which ones

_TAME = frozenset(
    re.findall(
        r"\w+",
        """sum count max min average string number length substring substringBefore substringAfter uppercase lowercase
        trim contains split abs floor ceil round power sqrt boolean not exists append reverse sort keys lookup spread
        merge type now millis toMillis base64encode base64decode encodeUrlComponent encodeUrl decodeUrlComponent
        decodeUrl uuid random hash parse partition range map filter each sift single error assert states""",
    )
)
_WILD_NAMES = frozenset(
    re.findall(
        r"\w+",
        """pad replace match join formatNumber formatBase formatInteger parseInteger fromMillis reduce distinct zip
        shuffle eval clone""",
    )
)
LONGEST_TAME = 2_000  # characters
_CALLS = re.compile(r"\$([^\W\d]\w*)?\s*\(")
_NAMES = re.compile(r"\$([^\W\d]\w*)")
_SMALL_RANGE = re.compile(r"\[\s*\d{1,4}\s*\.\.\s*\d{1,4}\s*\]")
_FUNCTION = re.compile(r"(?<![\w$])function\s*\(|λ")
_ARGUMENT = re.compile(r"(?:,|\$(?:map|filter|each|sift|single|sort)\s*\()\s*(?:function\s*\(|λ)")
_STEP = re.compile(r"\.\s*[({]")  # done for each item: two of them, one in the other, for each pair
_REGEX = re.compile(r"[(,]\s*/")


def is_wild(text: str) -> bool:
    """May this expression take more than its size and its input's size say? Judged by its text alone: what it binds,
    calls, concatenates. A false alarm costs a round trip to a worker."""
    if len(text) > LONGEST_TAME or ":=" in text or _REGEX.search(text) or text.startswith("/"):
        return True
    if ".." in _SMALL_RANGE.sub("", text) or text.count("&") > 20:
        return True
    if not _TAME.issuperset(_CALLS.findall(text)) or not _WILD_NAMES.isdisjoint(_NAMES.findall(text)):
        return True
    functions = len(_FUNCTION.findall(text))
    return functions > 1 or len(_STEP.findall(text)) > 1 or functions != len(_ARGUMENT.findall(text))


# --------------------------------------------------------------------------------------------------------- this side


class Died(Exception):
    """The worker was ended by the kernel: the text says why, as an error of the library."""


class _Worker:
    """A process at the other end of two pipes."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RUST_BACKTRACE": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from millpond.asl.apart import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._is_ready = False

    def ask(self, line: bytes) -> bytes:
        """The answer to one request. Raises Died, OSError where it cannot even start."""
        to, back = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)
        if not self._is_ready:
            if back.readline() != _READY:
                self.close()
                raise OSError(f"the process for expressions ended with {self._process.returncode} before it began")
            self._is_ready = True
        try:
            to.write(line)
            to.flush()
            answer = back.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            self.close()
            code = self._process.returncode
            raise Died(TAKES_LONG if code in (-signal.SIGPROF, -signal.SIGALRM) else TAKES_MUCH)
        return answer

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # it died before it had read all
        self._process.wait()


class _Pool:
    """Idle workers of this process. A child made by fork must not share its parent's pipes: `pid` tells."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()
        self.pid = os.getpid()

    def take(self) -> _Worker:
        with self._lock:
            return self._idle.pop() if self._idle else _Worker()

    def give_back(self, worker: _Worker) -> None:
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(worker)
                return
        worker.close()

    def warm(self) -> None:
        with self._lock:
            if not self._idle:
                self._idle.append(_Worker())

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        if self.pid == os.getpid():
            for worker in idle:
                worker.close()


_pool = _Pool()
atexit.register(lambda: _pool.close())


def _here() -> _Pool:
    global _pool
    if _pool.pid != os.getpid():
        _pool = _Pool()
    return _pool


def warm() -> None:
    """Start a worker without waiting for it: an expression that needs one has been compiled."""
    _here().warm()


def evaluate(text: str, bindings: dict[str, Json], seed: float) -> dict[str, Json]:
    """The worker's answer: `value`, or `error` (text), or `undefined`, or `function`.

    Raises Died where the expression took too long or too much, OSError where no process can be started.
    """
    return _asked([text, bindings, seed])


def parse(text: str) -> dict[str, Json]:
    """The worker's answer: `error`, or nothing where the expression can be parsed. Raises Died, OSError."""
    return _asked([text])


def find(path: str, document: Json) -> list[Json]:
    """What a JSONPath (from `$`) finds in a document. Raises Died, OSError."""
    found = _asked([path, document])
    if "error" in found:
        raise Died(str(found["error"]))
    return cast("list[Json]", found["value"])


def _asked(request_: list[Json]) -> dict[str, Json]:
    request = json.dumps(request_).encode() + b"\n"
    pool = _here()
    worker = pool.take()
    answer = worker.ask(request)
    pool.give_back(worker)
    found: dict[str, Json] = json.loads(answer)
    return found


# -------------------------------------------------------------------------------------------------------- that side


def serve() -> None:
    """The worker: answers until its input closes. Recursion needs a large stack, so the work is a thread's."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.stack_size(_STACK)
    thread = threading.Thread(target=_serve)
    thread.start()
    thread.join()


def _serve() -> None:
    from millpond.asl import jsonata

    jsonata.DEPTH = DEPTH
    sys.setrecursionlimit(5_000)
    sys.stdout.buffer.write(_READY)
    sys.stdout.buffer.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
        match request:
            case [text, bindings, seed]:
                found = jsonata.answer(text, bindings, random.Random(seed))
            case [path, document]:
                found = _found(path, document)
            case [text]:
                found = jsonata.parsed(text)
        answer = _answer(found)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def _found(path: str, document: dict[str, Json] | list[Json]) -> dict[str, Json]:
    from millpond.asl import paths

    try:
        return {"value": cast("list[Json]", paths.library(path[1:]).findall(document))}
    except Exception as error:  # whatever a library says of a pattern or a depth is the answer
        return {"error": f"{type(error).__name__}: {error}"}


def _answer(found: dict[str, Json]) -> bytes:
    # A group of a regular expression that took no part is undefined within the library's array: null in JSON.
    line = json.dumps(found, default=lambda undefined: None)
    if len(line) > LONGEST_RESULT:
        line = json.dumps({"error": TAKES_MUCH})
    return line.encode() + b"\n"
