"""The process that runs a Python function: our side of Lambda's Runtime API, with the standard library alone.

Started as a script by workers.py, never imported by the endpoint. It asks its own listener for work, calls the handler
and posts the result or the error, in the words of AWS's Python runtime. It ends when its listener goes away: the read
end of a pipe (its number is the first argument) closes when the endpoint dies, and takes the whole process group along.

An invocation that Step Functions waits for names a file, and is done once, whatever becomes of the endpoint: the worker
locks the file, runs the handler, writes how it ended into the file and only then posts it. It outlives the endpoint
until that is written, within the function's timeout. Whoever gets the same invocation again waits for the lock and
posts what the file says. What fails after the endpoint died is not written, for it may have failed because of that.
"""

from __future__ import annotations

import fcntl
import http.client
import importlib
import io
import json
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from decimal import Decimal

Handler = Callable[[object, object], object]

API = "/2018-06-01/runtime"
OWN = os.path.abspath(__file__)


class Fault(Exception):
    """An error of the runtime's own, with AWS's name for it."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind, self.trace = kind, trace or []


class Context:
    """What a handler gets as its second argument."""

    def __init__(self, headers: http.client.HTTPMessage) -> None:
        env = os.environ
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = env["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = env["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = env["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = env["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = types.SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = _client_context(headers.get("Lambda-Runtime-Client-Context"))
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline - int(time.time() * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


def _client_context(text: str | None) -> object:
    if not text:
        return None
    found = json.loads(text)
    return types.SimpleNamespace(
        custom=found.get("custom"), env=found.get("env"), client=types.SimpleNamespace(**(found.get("client") or {}))
    )


class Log(io.RawIOBase):
    """Where the function's prints go. When the endpoint dies, a print must not fail before `die_with` has noticed."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return os.write(self._handle, data)
        except BrokenPipeError:  # nobody reads any more
            return len(data)


def log_to(handle: int, like: io.TextIOWrapper) -> io.TextIOWrapper:
    """A standard stream that writes whole lines to a `Log`, encoded as the given one does."""
    buffer = io.BufferedWriter(Log(handle))  # type: ignore[type-var]
    return io.TextIOWrapper(buffer, encoding=like.encoding, errors=like.errors, line_buffering=True)


class LogRecords(logging.Handler):
    """Records as Lambda prints them. A record of many lines stays one event: its line ends travel as \\r."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        text = f"[{record.levelname}]\t{moment}\t{self.request_id}\t{self.format(record)}"
        sys.stdout.write(text.replace("\n", "\r") + "\n")


def load(handler: str) -> Handler:
    """The handler named `module.function` or `folder/module.function`."""
    module_name, dot, function = handler.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)",
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from None
    except SyntaxError as error:
        where = [_as_on_aws(f'  File "{error.filename}" Line {error.lineno}\n    {error.text}\n')]
        raise Fault("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", where) from None
    try:
        found: Handler = getattr(module, function)
        return found
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'") from None


def described(error: BaseException, request_id: str = "") -> dict[str, object]:
    """An error as the Runtime API takes it; frames of this file and of the import machinery are left out."""
    if isinstance(error, Fault):
        kind, frames = error.kind, error.trace
    else:
        kind = type(error).__name__
        found = [f for f in traceback.extract_tb(error.__traceback__) if not _internal(f.filename)]
        shown = [(f.filename, f.lineno or 0, f.name, f.line) for f in found]  # AWS's runtime draws no ^^^^ below lines
        frames = [_as_on_aws(frame) for frame in traceback.format_list(shown)]
    return {"errorMessage": str(error), "errorType": kind, "requestId": request_id, "stackTrace": frames}


def _as_on_aws(frame: str) -> str:
    """A frame whose file is the function's own lies in /var/task on AWS, and tools look for it there."""
    root = os.environ.get("LAMBDA_TASK_ROOT")
    return frame.replace(f'File "{root}/', 'File "/var/task/', 1) if root else frame


def _internal(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or os.path.abspath(filename) in (OWN, importlib.__file__)


def report(error: dict[str, object]) -> None:
    """The error in the function's log, as one event."""
    lines = f"[ERROR] {error['errorType']}: {error['errorMessage']}"
    if error["stackTrace"]:
        lines += "\nTraceback (most recent call last):\n" + "".join(error["stackTrace"]).rstrip()  # type: ignore[arg-type]
    print(lines.replace("\n", "\r"), flush=True)


def encoded(result: object) -> bytes:
    def other(value: object) -> object:
        if isinstance(value, Decimal):
            return int(value) if value == value.to_integral_value() else float(value)
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    try:
        return json.dumps(result, default=other, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


class Outcome:
    """The file of an invocation that is to be done once: `<kind of error, or ->  <length>\\n<body>`."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def read(self) -> tuple[str, bytes] | None:
        """(kind of error or "", body); None where the invocation has not ended yet."""
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            head, _, body = file.read().partition(b"\n")
        kind, _, length = head.decode().partition(" ")
        return ("" if kind == "-" else kind, body) if length.isdigit() and int(length) == len(body) else None

    def write(self, kind: str, body: bytes) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{kind or '-'} {len(body)}\n".encode() + body, 0)

    def close(self) -> None:
        os.close(self._file)


class Runtime:
    """The loop: next, handler, response."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self.idle, self.deadline = threading.Event(), 0.0  # not idle: something that must be finished
        self.idle.set()
        self._connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
        self._logs = LogRecords()
        logging.getLogger().addHandler(self._logs)

    def post(self, path: str, body: bytes, kind: str = "") -> None:
        headers = {"Content-Type": "application/json"}
        if kind:
            headers["Lambda-Runtime-Function-Error-Type"] = kind
        sys.stdout.flush()
        sys.stderr.flush()
        self._connection.request("POST", API + path, body, headers)
        self._connection.getresponse().read()

    def fail(self, path: str, error: BaseException, request_id: str = "", outcome: Outcome | None = None) -> None:
        told = described(error, request_id)
        report(told)
        body, kind = json.dumps(told).encode(), str(told["errorType"])
        if outcome is not None and not self._orphaned():
            outcome.write(kind, body)
        self.post(path, body, kind)

    def _orphaned(self) -> bool:
        return bool(select.select([self._pipe], [], [], 0)[0])

    def run(self) -> None:
        try:
            handler = load(os.environ["_HANDLER"])
        except Exception as error:
            self.fail("/init/error", error)
            sys.exit(1)
        while True:
            self._connection.request("GET", API + "/invocation/next")
            answer = self._connection.getresponse()
            self.one(handler, answer.headers, answer.read())

    def one(self, handler: Handler, headers: http.client.HTTPMessage, body: bytes) -> None:
        self._logs.request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        if trace := headers.get("Lambda-Runtime-Trace-Id"):
            os.environ["_X_AMZN_TRACE_ID"] = trace
        path = headers.get("Millpond-Outcome")
        if not path:
            self._call(handler, headers, body, None)
            return
        self.deadline = int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000
        self.idle.clear()
        outcome = Outcome(path)
        try:
            self._once(handler, headers, body, outcome)
        finally:
            outcome.close()
            self.idle.set()

    def _once(self, handler: Handler, headers: http.client.HTTPMessage, body: bytes, outcome: Outcome) -> None:
        known = outcome.read()
        if known is None:
            self._call(handler, headers, body, outcome)
            return
        path = f"/invocation/{headers['Lambda-Runtime-Aws-Request-Id']}"
        self.post(f"{path}/error" if known[0] else f"{path}/response", known[1], known[0])

    def _call(self, handler: Handler, headers: http.client.HTTPMessage, body: bytes, outcome: Outcome | None) -> None:
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            result = encoded(handler(json.loads(body), Context(headers)))
        except Exception as error:
            self.fail(f"/invocation/{request_id}/error", error, request_id, outcome)
            return
        if outcome is not None:
            outcome.write("", result)
        self.post(f"/invocation/{request_id}/response", result)


def die_with(pipe: int, runtime: Runtime) -> None:
    """Wait for the endpoint's end, then end everything of this worker; first finish what must be finished."""
    os.read(pipe, 1)
    nowhere = os.open(os.devnull, os.O_WRONLY)  # nobody reads what it prints now, and that must not fail it
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    runtime.idle.wait(max(0.0, runtime.deadline - time.time()))
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    own = Runtime(int(sys.argv[1]))
    threading.Thread(target=die_with, args=(int(sys.argv[1]), own), daemon=True).start()
    sys.path[:0] = json.loads(os.environ.pop("MILLPOND_PATH"))
    sys.stdout, sys.stderr = log_to(1, sys.stdout), log_to(2, sys.stderr)  # type: ignore[arg-type]
    own.run()
