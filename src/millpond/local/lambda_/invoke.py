"""Invoke: synchronous on a warm worker, asynchronous through a durable queue with retries and destinations.

An asynchronous event is a row until it has succeeded or is given up (after two retries, one and two minutes later by
the endpoint's clock); a killed endpoint finds it again. So a function may see an event twice, as on AWS. A synchronous
invocation on behalf of a task of Step Functions that ends is not made a second time.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import importlib.util
import json
import logging
import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millpond.local import processes
from millpond.local.lambda_ import names
from millpond.local.lambda_.functions import Functions, Version
from millpond.local.lambda_.layers import Layers
from millpond.local.lambda_.names import Name
from millpond.local.lambda_.package import invalid
from millpond.local.lambda_.workers import Busy, Invocation, Pools, Sandbox
from millpond.local.service import AwsError, Call, Operation, acting_for, unsupported

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS lambda_events (
    id TEXT PRIMARY KEY, function TEXT NOT NULL, qualifier TEXT, payload BLOB NOT NULL, attempt INTEGER NOT NULL,
    created REAL NOT NULL, due REAL NOT NULL);
CREATE INDEX IF NOT EXISTS lambda_events_due ON lambda_events (due);
CREATE TABLE IF NOT EXISTS lambda_event_configs (
    function TEXT NOT NULL, qualifier TEXT NOT NULL, config TEXT NOT NULL, modified REAL NOT NULL,
    PRIMARY KEY (function, qualifier)) WITHOUT ROWID;
"""

MAX_PAYLOAD = {"RequestResponse": 6_291_556, "Event": 1_048_576}  # bytes, AWS
CONCURRENCY = 4  # workers of a function without reserved concurrency; callers wait for one
RETRY_SECONDS = (60.0, 120.0)
MAX_AGE = 6 * 3600.0
ASYNC_THREADS = 4
REAP_SECONDS = 30.0
MOST_CONFIGS = 50  # of a page, AWS
PAUSE_SECONDS = 1.0  # after trouble of ours
OUTCOME_SECONDS = 30 * 86_400.0  # an endpoint may be off for so long, and still find what a function did meanwhile

# What AWS's Python runtimes bring along; everything else a function must bring itself.
RUNTIME_MODULES = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3")


class Invoker:
    """See the module's docstring."""

    schema = SCHEMA

    def __init__(self, functions: Functions, layers: Layers) -> None:
        self.functions, self.layers = functions, layers
        self.endpoint, self.store = functions.endpoint, functions.store
        self.pools = Pools(self._log)
        self._sandboxes: dict[tuple[str, str], Sandbox] = {}
        self._wake = threading.Event()
        self._closing = False
        self._queue = threading.Thread(target=self._work, name="lambda queue", daemon=True)
        self._threads = concurrent.futures.ThreadPoolExecutor(ASYNC_THREADS, thread_name_prefix="lambda async")
        self._taken: set[str] = set()
        self._outcomes = self.endpoint.folder("lambda", "outcomes")

    def operations(self) -> dict[str, Operation]:
        return {
            "Invoke": self.invoke,
            "PutFunctionEventInvokeConfig": self.put_event_config,
            "UpdateFunctionEventInvokeConfig": self.update_event_config,
            "GetFunctionEventInvokeConfig": self.get_event_config,
            "DeleteFunctionEventInvokeConfig": self.delete_event_config,
            "ListFunctionEventInvokeConfigs": self.list_event_configs,
        }

    def start(self) -> None:
        runtime = self.endpoint.folder("lambda", "runtime")
        for module in RUNTIME_MODULES:
            _link_module(module, runtime)
        for kept in self._outcomes.iterdir():  # of tasks that were stopped in the moment of a kill
            if time.time() - kept.stat().st_mtime > OUTCOME_SECONDS:
                kept.unlink()
        self._queue.start()

    def stop(self) -> None:
        self._closing = True
        self._wake.set()
        if self._queue.is_alive():
            self._queue.join(10)
        self.pools.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _log(self, group: str, stream: str, events: Any) -> None:
        if logs := self.endpoint.services.get("logs"):
            logs.write(group, stream, events)  # type: ignore[attr-defined]

    # The operation

    def invoke(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        kind = params.get("InvocationType", "RequestResponse")
        _check_word(kind, "invocationType", ("Event", "RequestResponse", "DryRun"))
        _check_word(params.get("LogType", "None"), "logType", ("None", "Tail"))
        version = self._choose(name)
        payload = _payload(params.get("Payload"), kind)
        if params.get("DurableExecutionName") or params.get("TenantId"):
            raise unsupported("lambda", "Invoke with DurableExecutionName or TenantId")
        if kind == "DryRun":
            return {"StatusCode": 204, "ExecutedVersion": version.version}
        if kind == "Event":
            self._enqueue(name, payload)
            return {"StatusCode": 202}
        invocation = Invocation(str(uuid.uuid4()), payload, "", _context(params.get("ClientContext")))
        if token := acting_for.get():
            invocation.outcome = str(self._outcome(token))
        done, tail = self._run(version, name, invocation)
        answer: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": version.version, "Payload": done.payload}
        if done.error:
            answer["FunctionError"] = "Unhandled"
        if params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(tail).decode()
        return answer

    def _choose(self, name: Name) -> Version:
        """The version of a name; of an alias with weights, by chance."""
        at = random.random()
        for version, share in self.functions.weights(name).items():
            if at < share:
                return self.functions.find(Name(name.name, version))
            at -= share
        return self.functions.find(name)

    def _outcome(self, token: str) -> Path:
        """The file in which an invocation on behalf of a task leaves how it ended, see bootstrap.py."""
        return self._outcomes / hashlib.sha256(token.encode()).hexdigest()

    def forget(self, token: str) -> None:
        """The task is over: nobody will ask for its invocation again."""
        self._unlink(token)
        self.pools.forget(str(self._outcome(token)))

    def _unlink(self, token: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._outcome(token))

    def interrupt(self, token: str) -> None:
        """The task was stopped, and nobody waits for its invocation: its process is ended; where it has none yet, it
        gets none (until `forget`)."""
        self.pools.interrupt(str(self._outcome(token)))
        self._unlink(token)

    def _run(self, version: Version, name: Name, invocation: Invocation) -> tuple[Invocation, bytes]:
        """Run one event. Raises TooManyRequestsException when reserved concurrency is used up."""
        invocation.arn = self.functions.arn(name.name, name.qualifier)
        reserved = self.functions.concurrency(name.name)
        limit = CONCURRENCY if reserved is None else reserved
        try:
            tail = self.pools.run(self._sandbox(version), invocation, limit=limit, wait=reserved is None)
        except Busy:
            why = "ReservedFunctionConcurrentInvocationLimitExceeded"
            raise AwsError("TooManyRequestsException", "Rate Exceeded.", status=429, Type="User", Reason=why) from None
        return invocation, tail

    def _sandbox(self, version: Version) -> Sandbox:
        """The version's sandbox; made once for each revision."""
        at, revision = (version.function, version.version), version.config["RevisionId"]
        known = self._sandboxes.get(at)
        if known is None or not known.key.endswith(revision):
            known = self._sandboxes[at] = self._make_sandbox(version)
        return known

    def _make_sandbox(self, version: Version) -> Sandbox:
        config, folder = version.config, self.functions.folder(version)
        runtime = str(self.endpoint.folder("lambda", "runtime"))
        group = config["LoggingConfig"].get("LogGroup") or f"/aws/lambda/{version.function}"
        return Sandbox(
            function=version.function,
            version=version.version,
            arn=self.functions.arn(version.function),
            handler=config["Handler"],
            code=folder,
            path=(str(folder), *self.layers.module_path(config), runtime),
            env=self._environment(version, folder, runtime),
            timeout=float(config["Timeout"]),
            memory=config["MemorySize"],
            log_group=group,
            key=f"{version.function}|{version.version}|{config['RevisionId']}",
        )

    def _environment(self, version: Version, folder: Path, runtime: str) -> dict[str, str]:
        config = version.config
        access_key, secret_key = self.endpoint.key(f"lambda/{version.function}")
        env = processes.environment(
            home=self.endpoint.folder("lambda", "home", version.function),
            url=self.endpoint.url,
            access_key=access_key,
            secret_key=secret_key,
            region=self.endpoint.region,
            extra=config.get("Environment", {}).get("Variables", {}),
        )
        env.pop("PYTHONUNBUFFERED", None)  # the bootstrap buffers by the line
        tools = [str(layer / "bin") for layer in self.layers.folders(config) if (layer / "bin").is_dir()]
        return env | {
            "PATH": ":".join([*tools, env.get("PATH", "/usr/bin:/bin")]),
            "TZ": env["TZ"] if "TZ" in config.get("Environment", {}).get("Variables", {}) else ":UTC",
            "PYTHONPATH": runtime,
            "_HANDLER": config["Handler"],
            "LAMBDA_TASK_ROOT": str(folder),
            "LAMBDA_RUNTIME_DIR": runtime,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_FUNCTION_NAME": version.function,
            "AWS_LAMBDA_FUNCTION_VERSION": version.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config["MemorySize"]),
        }

    # Asynchronous invocation

    def _enqueue(self, name: Name, payload: bytes) -> None:
        now = time.time()
        with self.store.write() as db:
            db.execute(
                "INSERT INTO lambda_events (id, function, qualifier, payload, attempt, created, due)"
                " VALUES (?, ?, ?, ?, 0, ?, ?)",
                (str(uuid.uuid4()), name.name, name.qualifier, payload, now, now),
            )
        self._wake.set()

    def _work(self) -> None:
        """Hand due events to threads; look after idle workers."""
        reaped = time.monotonic()
        while True:
            self._wake.clear()
            if self._closing:
                return
            try:
                pause = self._hand_out()
                if time.monotonic() - reaped > REAP_SECONDS:
                    reaped = time.monotonic()
                    self.pools.reap()
            except Exception:  # the disk, most likely: the events are still there
                if not self._closing:
                    log.exception("looking for asynchronous events")
                pause = PAUSE_SECONDS
            self._wake.wait(min(pause, REAP_SECONDS))

    def _hand_out(self) -> float:
        """Hand the events that are due to threads. Seconds until others are."""
        now = time.time()
        rows = self.store.read("SELECT id FROM lambda_events WHERE due <= ? ORDER BY due LIMIT 100", (now,))
        for row in rows:
            if row["id"] not in self._taken:
                self._taken.add(row["id"])
                self._threads.submit(self._attempt, row["id"])
        coming = self.store.one("SELECT MIN(due) AS due FROM lambda_events WHERE due > ?", (now,))
        return coming["due"] - now if coming and coming["due"] else REAP_SECONDS

    def _attempt(self, event_id: str) -> None:
        try:
            # Read anew: an attempt that ended since the event was found has done with it, or put it off.
            sql = "SELECT * FROM lambda_events WHERE id = ? AND due <= ?"
            if (row := self.store.one(sql, (event_id, time.time()))) is not None:
                self._try(dict(row))
        except Exception:  # the disk, most likely; not at once again, for the function may have run
            if not self._closing:
                log.exception("the asynchronous event %s", event_id)
                time.sleep(PAUSE_SECONDS)
        finally:
            self._taken.discard(event_id)
            self._wake.set()

    def _try(self, event: dict[str, Any]) -> None:
        name = Name(event["function"], event["qualifier"])
        config = self._event_config(name)
        old = time.time() - event["created"] > config.get("MaximumEventAgeInSeconds", MAX_AGE)
        try:
            version = self._choose(name)
            done, _ = self._run(version, name, Invocation(event["id"], event["payload"], ""))
        except AwsError as error:
            if self._closing:
                return
            if error.code == "TooManyRequestsException" and not old:
                self._later(event, 1.0, count=False)
                return
            if error.code != "TooManyRequestsException":  # there is no such function any more
                log.warning("an asynchronous event of %s is dropped: %s", event["function"], error.message)
                self._forget(event)
                return
            done = None
        if self._closing and (done is None or done.error):
            return  # ended by our own end: the next start tries it again
        retries = config.get("MaximumRetryAttempts", len(RETRY_SECONDS))
        if done is not None and done.error and event["attempt"] < retries and not old:
            self._later(event, RETRY_SECONDS[min(event["attempt"], 1)], count=True)
            return
        try:
            self._tell(event, version, name, done, config)
        except Exception as error:
            log.warning("the end of an asynchronous event of %s could not be told: %s", event["function"], error)
        self._forget(event)

    def _later(self, event: Mapping[str, Any], seconds: float, *, count: bool) -> None:
        due = time.time() + self.endpoint.clock.seconds(seconds)
        with self.store.write() as db:
            sql = "UPDATE lambda_events SET due = ?, attempt = attempt + ? WHERE id = ?"
            db.execute(sql, (due, int(count), event["id"]))

    def _forget(self, event: Mapping[str, Any]) -> None:
        with self.store.write() as db:
            db.execute("DELETE FROM lambda_events WHERE id = ?", (event["id"],))

    def _tell(
        self, event: Mapping[str, Any], version: Version, name: Name, done: Invocation | None, config: Mapping[str, Any]
    ) -> None:
        """Send the outcome to the destination and, after a failure, the event to the dead letter queue. No outcome: the
        event was throttled until it was too old."""
        failed = done is None or done.error
        letter = version.config.get("DeadLetterConfig", {}).get("TargetArn")
        if failed and letter:
            self._send(letter, event["payload"].decode(), version)
        to = config.get("DestinationConfig", {}).get("OnFailure" if failed else "OnSuccess", {}).get("Destination")
        if not to:
            return
        condition = "EventAgeExceeded" if done is None else "RetriesExhausted" if failed else "Success"
        record = {
            "version": "1.0",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "requestContext": {
                "requestId": event["id"],
                "functionArn": self.functions.arn(name.name, name.version),
                "condition": condition,
                "approximateInvokeCount": event["attempt"] + (done is not None),
            },
            "requestPayload": json.loads(event["payload"]),
        }
        if done is not None:
            answered = {"statusCode": 200, "executedVersion": version.version}
            record["responseContext"] = answered | ({"functionError": "Unhandled"} if failed else {})
            record["responsePayload"] = json.loads(done.payload or b"null")
        self._send(to, json.dumps(record), version)

    def _send(self, arn: str, text: str, version: Version) -> None:
        service, resource = arn.split(":")[2], arn.split(":")[-1]
        match service:
            case "sqs":
                sqs = self.endpoint.client("sqs")
                sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=resource)["QueueUrl"], MessageBody=text)
            case "sns":
                self.endpoint.client("sns").publish(TopicArn=arn, Message=text)
            case "lambda":
                self._enqueue(names.parse(arn), text.encode())
            case _:
                log.warning("%s: Millpond does not deliver to %s", version.function, arn)

    # Settings of asynchronous invocation

    def put_event_config(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._keep_event_config(params, {})

    def update_event_config(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.get_event_config(params, call)
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        return self._keep_event_config(params, self._event_config(name))

    def _keep_event_config(self, params: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        self.functions.find(name)
        members = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
        config = {**before, **{member: params[member] for member in members if member in params}}
        for destination in config.get("DestinationConfig", {}).values():
            arn = destination.get("Destination", "")
            if arn and arn.split(":")[2:3] not in (["sqs"], ["sns"], ["lambda"]):
                raise unsupported("lambda", f"the destination {arn}")
        with self.store.write() as db:
            db.execute(
                "INSERT OR REPLACE INTO lambda_event_configs (function, qualifier, config, modified)"
                " VALUES (?, ?, ?, ?)",
                (name.name, name.version, json.dumps(config), time.time()),
            )
        return self.get_event_config(params, Call("lambda", "", self.endpoint.region))

    def _event_config(self, name: Name) -> dict[str, Any]:
        sql = "SELECT config FROM lambda_event_configs WHERE function = ? AND qualifier = ?"
        row = self.store.one(sql, (name.name, name.version))
        return json.loads(row["config"]) if row else {}

    def get_event_config(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        sql = "SELECT config, modified FROM lambda_event_configs WHERE function = ? AND qualifier = ?"
        row = self.store.one(sql, (name.name, name.version))
        if row is None:
            arn = self.functions.arn(name.name, name.version)
            text = f"The function {arn} doesn't have an EventInvokeConfig"
            raise AwsError("ResourceNotFoundException", text, status=404, Type="User")
        return self._shown_config(name.name, name.version, row)

    def _shown_config(self, function: str, qualifier: str, row: Any) -> dict[str, Any]:
        arn = self.functions.arn(function, qualifier)
        return {"FunctionArn": arn, "LastModified": row["modified"], **json.loads(row["config"])}

    def list_event_configs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], None).name
        self.functions.find(Name(name))
        sql = "SELECT * FROM lambda_event_configs WHERE function = ? AND qualifier > ? ORDER BY qualifier LIMIT ?"
        size = params.get("MaxItems") or MOST_CONFIGS
        rows = self.store.read(sql, (name, params.get("Marker") or "", size + 1))
        more = {"NextMarker": rows[size - 1]["qualifier"]} if len(rows) > size else {}
        shown = [self._shown_config(name, row["qualifier"], row) for row in rows[:size]]
        return {"FunctionEventInvokeConfigs": shown, **more}

    def delete_event_config(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.get_event_config(params, call)
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        with self.store.write() as db:
            sql = "DELETE FROM lambda_event_configs WHERE function = ? AND qualifier = ?"
            db.execute(sql, (name.name, name.version))
        return {}


def _payload(given: Any, kind: str) -> bytes:
    body = given.read() if hasattr(given, "read") else given
    body = body.encode() if isinstance(body, str) else bytes(body or b"") or b"{}"
    limit = MAX_PAYLOAD.get(kind, MAX_PAYLOAD["RequestResponse"])
    if len(body) > limit:
        text = f"{len(body)} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        raise AwsError("RequestTooLargeException", text, status=413, Type="User")
    try:
        json.loads(body)
    except (ValueError, RecursionError) as error:
        text = f"Could not parse request body into json: {error}"
        raise AwsError("InvalidRequestContentException", text, Type="User") from None
    return body


def _check_word(given: str, member: str, words: tuple[str, ...]) -> None:
    if given not in words:
        broken = (
            f"Value '{given[:1024]}' at '{member}' failed to satisfy constraint: Member must satisfy enum value set: "
        )
        raise AwsError("ValidationException", f"1 validation error detected: {broken}[{', '.join(words)}]")


def _context(given: str | None) -> str:
    if not given:
        return ""
    try:
        text = base64.b64decode(given, validate=True).decode()
        if not isinstance(json.loads(text), dict):
            raise ValueError(text)
    except ValueError:
        raise invalid("Client context must be a valid Base64-encoded JSON object.") from None
    return json.dumps(json.loads(text))


def _link_module(module: str, into: Path) -> None:
    """Make one installed module visible in the runtime's folder."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the module {module} of Lambda's runtime is not installed")
    source = Path(spec.origin)
    source = source.parent if source.name == "__init__.py" else source
    link = into / source.name
    if link.is_symlink() and link.readlink() == source:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(source)
