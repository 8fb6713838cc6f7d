"""Properties of jobs that change what a run does: many of them in few runs."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import runtime

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def shop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws, "properties").open()


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Environments of modules in a folder of the test's own, beside the runtime that is there."""
    (tmp_path / "glue-5.1").symlink_to(runtime.root() / "glue-5.1")
    monkeypatch.setenv("MILLPOND_RUNTIMES", str(tmp_path))


def wheel(name: str, version: str, source: str) -> bytes:
    """A pure wheel with one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))
    return out.getvalue()


def streams(shop: Workshop, group: str) -> dict[str, list[str]]:
    logs = shop.aws("logs")
    found = logs.describe_log_streams(logGroupName=group)["logStreams"]
    return {
        one["logStreamName"]: [
            event["message"]
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=one["logStreamName"], startFromHead=True
            )["events"]
        ]
        for one in found
    }


def test_many_properties_in_one_run(shop: Workshop, environments: None, state_folder: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("zipped/__init__.py", "NAME = 'zipped'\n")
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("org/apache/spark/log4j2-defaults.properties", "# ours")
    uris = {
        "zip": shop.put("lib/a.zip", out.getvalue()),
        "py": shop.put("lib/plain.py", "NAME = 'plain'\n"),
        "pathwhl": shop.put(
            "lib/onpath-1.0-py3-none-any.whl",
            wheel("onpath", "1.0", "import os\nNAME = os.path.isfile(__file__) and 'onpath'\n"),
        ),
        "wheel": shop.put("lib/installed-2.5-py3-none-any.whl", wheel("installed", "2.5", "NAME = 'installed'\n")),
        "pytz": shop.put("lib/pytz-3000.1-py3-none-any.whl", wheel("pytz", "3000.1", "VERSION = 'the job own'\n")),
        "file": shop.put("lib/words.txt", "one two"),
        "jar": shop.put("lib/extra.jar", jar.getvalue()),
    }
    shop.job(
        "many",
        """
        import importlib.metadata, json, os
        import installed, onpath, plain, pytz, zipped
        from pyspark.sql.functions import udf
        defaults = "org/apache/spark/log4j2-defaults.properties"
        name = udf(lambda _: __import__("installed").NAME + os.environ["EXECUTOR"])
        seen = spark.range(1).select(name("id")).first()[0]
        print("a line on stderr", file=sys.stderr)
        glue.get_logger().info("a line of the logger")
        print(json.dumps({
            "modules": [module.NAME for module in (installed, onpath, plain, zipped)],
            "version": importlib.metadata.version("installed"),
            "pytz": pytz.VERSION,
            "executor": seen,
            "jar": str(spark._jvm.java.lang.ClassLoader.getSystemResource(defaults)),
            "env": [os.environ["ONE"], os.environ["TWO"]],
            "conf": [spark.conf.get(f"spark.{name}") for name in ("a", "b", "sql.session.timeZone")],
            "file": open("words.txt").read(),
            "scratch": str(spark._jvm.java.lang.System.getProperty("java.io.tmpdir")),
            "args": getResolvedOptions(sys.argv, ["TempDir", "fixed", "JOB_NAME"]),
        }))
        job.commit()
        """,
        WorkerType="G.1X",
        NumberOfWorkers=2,
        ExecutionClass="FLEX",
        NonOverridableArguments={"--fixed": "yes"},
        DefaultArguments={
            "--extra-py-files": f"{uris['zip']},{uris['py']},{uris['pathwhl']}",
            "--extra-files": uris["file"],
            "--extra-jars": uris["jar"],
            "--user-jars-first": "true",
            "--additional-python-modules": f"{uris['wheel']},{uris['pytz']},pandas>=2,<3",
            "--python-modules-installer-option": "--no-index",
            "--conf": "spark.a=1 --conf spark.b=two --conf spark.sql.session.timeZone=Europe/Berlin",
            "--customer-driver-env-vars": 'ONE=1,TWO="second, with comma"',
            "--customer-executor-env-vars": "EXECUTOR=!",
            "--TempDir": "s3://properties/temp/",
            "--enable-continuous-cloudwatch-log": "true",
            "--continuous-log-logStreamPrefix": "mine",
            "--enable-metrics": "",
            "--enable-spark-ui": "true",
            "--spark-event-logs-path": "s3://properties/events/",
            "--class": "GlueApp",
        },
    )
    run = shop.run("many", Arguments={"--fixed": "no"}, NumberOfWorkers=3)
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage", "") + shop.log(run["Id"], "error")
    text = shop.log(run["Id"])
    said = json.loads(next(line for line in text.splitlines() if line.startswith("{")))
    args = said.pop("args")
    assert "extra.jar!" in said.pop("jar")  # before Spark's own
    assert Path(said.pop("scratch")).is_relative_to(state_folder)  # not the machine's /tmp
    assert said == {
        "modules": ["installed", "onpath", "plain", "zipped"],
        "version": "2.5",
        "pytz": "the job own",
        "executor": "installed!",
        "env": ["1", "second, with comma"],
        "conf": ["1", "two", "Europe/Berlin"],
        "file": "one two",
    }
    assert (args["TempDir"], args["fixed"], args["JOB_NAME"]) == ("s3://properties/temp/", "yes", "many")
    assert (run["WorkerType"], run["NumberOfWorkers"], run["MaxCapacity"]) == ("G.1X", 3, 3.0)
    assert run["DPUSeconds"] > 0 and run["ExecutionClass"] == "FLEX" and run["LogGroupName"] == "/aws-glue/jobs"
    assert "a line on stderr" in text  # Glue 5: stderr is in the output group ...
    assert "a line on stderr" in shop.log(run["Id"], "error")  # ... and where it was before
    driver = "\n".join(streams(shop, "/aws-glue/jobs/logs-v2")["mine-driver"])
    assert "a line of the logger" in driver and "a line on stderr" in driver
    (event_log,) = shop.keys("events/")
    first = shop.aws("s3").get_object(Bucket=shop.bucket, Key=event_log)["Body"].read().splitlines()[0]
    assert json.loads(first)["Event"] == "SparkListenerLogStart"


def test_a_module_that_cannot_be_had(shop: Workshop, environments: None) -> None:
    shop.job("lacks", "print(1)\n", head=False, kind="pythonshell", MaxCapacity=1.0)
    wanted = {"--additional-python-modules": "no-such-thing-here==9", "--python-modules-installer-option": "--no-index"}
    run = shop.run("lacks", Arguments=wanted)
    message = run["ErrorMessage"]
    assert message.startswith("LAUNCH ERROR | Installation of Additional Python Modules failed: ERROR: ")
    assert "no-such-thing-here==9" in message and "--extra-py-files" in message
    assert shop.run("lacks", Arguments={"--additional-python-modules": "s3://properties/lib/none.whl"})[
        "ErrorMessage"
    ].startswith("LAUNCH ERROR | cannot read s3://properties/lib/none.whl")
    packed = wheel("needed", "1", "x = 1\n")
    shop.put("lib/needed-1-py3-none-any.whl", packed)
    shop.put("lib/needs.txt", "pandas\n")
    listed = {"--additional-python-modules": "s3://properties/lib/needs.txt", "--python-modules-installer-option": "-r"}
    assert shop.run("lacks", Arguments=listed)["JobRunState"] == "SUCCEEDED"


def test_custom_log_names_and_connections(shop: Workshop) -> None:
    shop.job(
        "named",
        "import sys\nprint('out')\nprint('err', file=sys.stderr)\n",
        head=False,
        kind="pythonshell",
        DefaultArguments={"--custom-logGroup-prefix": "/team/etl", "--custom-logStream-prefix": "nightly"},
    )
    run = shop.run("named")
    assert run["LogGroupName"] == "/team/etl" and run["GlueVersion"] == "1.0" and run["MaxCapacity"] == 0.0625
    assert streams(shop, "/team/etl/output") == {"nightly-driver": ["out"]}
    (noted, said) = streams(shop, "/team/etl/error")["nightly-driver"]
    assert "Python shell 3.6 is out of support on AWS" in noted and said == "err"
    shop.job("lonely", "print(1)\n", head=False, kind="pythonshell", Connections={"Connections": ["nowhere"]})
    assert "connection nowhere" in shop.run("lonely")["ErrorMessage"]


def test_glue_6(shop: Workshop) -> None:
    if runtime.find("6.0") is None:
        pytest.skip("SKIPPED LOUDLY: the Glue 6.0 runtime is not installed: millpond runtime install 6.0")
    shop.job("six", "print('spark', spark.version, spark.range(3).count())\n", GlueVersion="6.0")
    assert "spark 4.1" in shop.succeed("six")


def test_queued_runs(shop: Workshop) -> None:
    glue = shop.aws("glue")
    sleeps = "import time, sys\nif '--long' in sys.argv: time.sleep(300)\nprint('done')\n"
    shop.job("queue", sleeps, head=False, kind="pythonshell", JobRunQueuingEnabled=True)
    first = shop.start("queue", Arguments={"--long": "1"})
    second, third, fourth = (shop.start("queue") for _ in range(3))
    with pytest.raises(ClientError, match="ConcurrentRunsExceededException"):
        glue.start_job_run(JobName="queue", JobRunQueuingEnabled=False)
    waiting = shop.look("queue", second)
    assert (
        waiting["JobRunState"] == "WAITING" and waiting["JobRunQueuingEnabled"] and "MaxConc" in waiting["StateDetail"]
    )
    glue.batch_stop_job_run(JobName="queue", JobRunIds=[fourth])
    stopped = shop.look("queue", fourth)
    assert stopped["JobRunState"] == "STOPPED" and stopped["ExecutionTime"] == 0 and "StateDetail" not in stopped
    glue.batch_stop_job_run(JobName="queue", JobRunIds=[first])
    assert [shop.wait("queue", run_id)["JobRunState"] for run_id in (second, third)] == ["SUCCEEDED"] * 2
    assert shop.look("queue", third)["CompletedOn"] >= shop.look("queue", second)["CompletedOn"]
    assert shop.look("queue", first)["JobRunState"] == "STOPPED"


def test_a_streaming_job(shop: Workshop) -> None:
    for n in range(3):
        shop.put(f"stream/in/{n}.json", f'{{"n": {n}}}\n')
    shop.job(
        "streams",
        """
        source = spark.readStream.schema("n long").json("s3://properties/stream/in/")
        def batch(frame, number):
            frame.write.mode("append").parquet("s3://properties/stream/out/")
        query = (source.writeStream.foreachBatch(batch).option("checkpointLocation", "s3://properties/stream/check/")
                 .trigger(availableNow=True).start())
        query.awaitTermination()
        ticks = spark.readStream.format("rate").option("rowsPerSecond", 5).load()
        table = ticks.writeStream.format("memory").queryName("ticks").start()
        while not spark.table("ticks").count():
            table.processAllAvailable()
        print("rows", spark.read.parquet("s3://properties/stream/out/").count(), "ticks", table.isActive)
        if "--forever" in sys.argv:
            table.awaitTermination()
        """,
        kind="gluestreaming",
        WorkerType="G.025X",
        NumberOfWorkers=2,
    )
    assert "rows 3 ticks True" in shop.succeed("streams")
    shop.put("stream/in/3.json", '{"n": 3}\n')
    run_id = shop.start("streams", Arguments={"--forever": "1"})
    shop.wait("streams", run_id, ("RUNNING", "FAILED"))
    while "rows 4 ticks True" not in shop.log(run_id):  # only what is new was read
        assert shop.look("streams", run_id)["JobRunState"] == "RUNNING", shop.log(run_id, "error")
    shop.aws("glue").batch_stop_job_run(JobName="streams", JobRunIds=[run_id])
    assert shop.wait("streams", run_id)["JobRunState"] == "STOPPED"
