"""`python -m millpond.local.glue.one_script`: one script in the foreground, as a Glue job has it; `millpond job run`.

What to run is a JSON document in MILLPOND_SCRIPT (cli/jobs.py writes it). The script has a job's arguments, modules,
jars, Spark settings, `awsglue` and S3, and the caller's terminal: an ordinary process in which `breakpoint()` works.
There is no run: no row, no logs, no timeout; a bookmark is moved by `job.commit()` as in a run.

Its scratch is a host's folder (drivers.py), so that the endpoint sweeps what a kill leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from millpond import runtime
from millpond.errors import MillpondError
from millpond.local.glue import job_files
from millpond.local.glue.driver_host import ALONE
from millpond.local.glue.drivers import HERE, Drivers, java_command, spark_settings
from millpond.local.glue.job_arguments import DEFAULT_VERSION, SPARK, check_definition, plan, with_defaults
from millpond.local.service import Clock, Endpoint
from millpond.local.store import Store

PASSED = ("TERM", "COLUMNS", "LINES", "PYTHONBREAKPOINT", "HOME")  # what a debugger in a terminal needs


def main() -> int:
    """The script's exit code; 2 when it could not be started."""
    asked = json.loads(os.environ.pop("MILLPOND_SCRIPT"))
    with tempfile.TemporaryDirectory(prefix="millpond-script-") as scratch:
        store = Store(Path(scratch) / "unused.db")
        try:
            return _run(asked, _endpoint(asked, store))
        except MillpondError as error:
            print(f"millpond: {error.message}", file=sys.stderr)
            if error.help:
                print(f"  {error.help}", file=sys.stderr)
            return 2
        finally:
            store.close()


def _endpoint(asked: dict[str, Any], store: Store) -> Endpoint:
    """What the parts of Glue are handed, with clients over HTTP."""
    import boto3

    key, secret = asked["keys"]
    endpoint = Endpoint(Path(asked["data"]), store, Clock(1.0), asked["port"], key, secret)
    session: Any = boto3.session.Session(key, secret, region_name=endpoint.region)
    endpoint.connect = lambda service: session.client(service, endpoint_url=endpoint.url)
    return endpoint


def _run(asked: dict[str, Any], endpoint: Endpoint) -> int:
    script = Path(asked["script"])
    command = {"Name": asked["kind"], "ScriptLocation": str(script)}
    job = {"Role": "none", "Command": command, "DefaultArguments": asked["arguments"]}
    if asked["kind"] == SPARK:
        job["GlueVersion"] = asked["version"] or DEFAULT_VERSION
    check_definition(job)
    planned = plan({"Name": asked["name"], **with_defaults(job)}, {})
    for note in planned.notes:
        tell(note)
    found = runtime.find(planned.runtime) or runtime.install(planned.runtime, tell)
    drivers = Drivers(endpoint)
    name = f"script-{uuid.uuid4().hex[:8]}"
    folder, stage = endpoint.folder("glue", "hosts", name), endpoint.folder("spark-stage", name)
    try:
        run = {"id": name, "job": asked["name"], "attempt": 0, "created": time.time(), "minute": 60.0}
        run |= {"folder": folder, "script": script}
        _, jars = job_files.prepare(endpoint, drivers, run, planned, found, tell)
        spec = json.loads((folder / "spec.json").read_text())
        spec |= {"cwd": os.getcwd(), "debug": asked["debug"]}
        spec["python_path"][:0] = [str(script.parent), *asked["python_files"]]
        spec["env"] |= {name: os.environ[name] for name in PASSED if name in os.environ}
        if asked["debug"].isdigit():
            spec["python_path"].append(str(runtime.modules(found, ["debugpy"], [], tell) or ""))
        config: dict[str, Any] = {"python_path": [str(drivers.library())], "env": spec["env"]}
        if planned.spark:
            shape = drivers.shape(planned, (*jars, *asked["jars"]))
            settings = spark_settings(shape, folder, endpoint.buckets, stage)
            config["jvm"] = java_command(found, shape, settings)
            config["env"] |= {"PYSPARK_PYTHON": str(found.python), "SPARK_LOCAL_IP": "127.0.0.1"}
        for name, content in (("spec", spec), ("config", config)):
            (folder / f"{name}.json").write_text(json.dumps(content))
        return _foreground([str(found.python), str(HERE / "driver_host.py"), ALONE, str(folder)], spec["env"])
    finally:
        if planned.events:
            job_files.put_events(endpoint, folder, planned.events)
        for path in (folder, stage):
            shutil.rmtree(path, ignore_errors=True)


def _foreground(command: list[str], env: dict[str, str]) -> int:
    """Run it on our terminal. Ctrl-C is the script's; SIGTERM is passed on."""
    process = subprocess.Popen(command, env=env)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def tell(line: str) -> None:
    print(f"millpond: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
