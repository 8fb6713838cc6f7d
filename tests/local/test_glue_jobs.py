"""Glue job runs on real Spark: arguments, logs, errors, stop, timeout, retries, isolation."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

sys.path.insert(0, str(Path(__file__).parent))
from glue_jobs import Workshop

from millpond import runtime
from millpond.local.service import Endpoint, acting_for

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def shop(aws: Callable[[str], Any]) -> Workshop:
    runtime.install("5.1", print)
    return Workshop(aws).open()


def refused(code: str, call: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value)


def test_arguments_and_output(shop: Workshop) -> None:
    shop.job(
        "arguments",
        """
        print(getResolvedOptions(sys.argv, ["JOB_NAME", "day", "table"]))
        print("spark", spark.version, "python", "%d.%d" % sys.version_info[:2])
        spark.range(10).write.parquet("s3://workshop/arguments/out")
        job.commit()
        """,
        DefaultArguments={"--day": "monday", "--table": "orders"},
        NonOverridableArguments={"--fixed": "1"},
    )
    run = shop.run("arguments", Arguments={"--day": "2024-05-01 10:00", "--fixed": "2"})
    out = shop.log(run["Id"])
    assert run["JobRunState"] == "SUCCEEDED", shop.log(run["Id"], "error")
    assert "'day': '2024-05-01 10:00'" in out and "'table': 'orders'" in out and "'JOB_NAME': 'arguments'" in out
    assert "spark 3.5" in out and "python 3.11" in out
    assert out.splitlines()[-1] == 'millpond.rows {"read": 10, "written": 10}'
    assert run["GlueVersion"] == "5.1" and run["CompletedOn"] >= run["StartedOn"]
    assert len([key for key in shop.keys("arguments/out/") if key.endswith(".parquet")]) == 2


def test_a_failed_run_names_the_line_of_the_script(shop: Workshop) -> None:
    shop.job("broken", "print('before')\nspark.range(3).select('nope').show()\n")
    run = shop.run("broken")
    line = next(n for n, text in enumerate((shop_script(shop, "broken")).splitlines(), 1) if "nope" in text)
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith(
        f"Error Category: QUERY_ERROR; Failed Line Number: {line}; AnalysisException: [UNRESOLVED_COLUMN"
    )
    errors = shop.log(run["Id"], "error")
    assert "Traceback (most recent call last):" in errors and f'broken.py", line {line}, in <module>' in errors
    assert "driver_host.py" not in errors
    assert shop.log(run["Id"]).splitlines()[0] == "before"


def shop_script(shop: Workshop, name: str) -> str:
    body: bytes = shop.aws("s3").get_object(Bucket=shop.bucket, Key=f"jobs/{name}.py")["Body"].read()
    return body.decode()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys\nsys.exit(3)\n", "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 2; SystemExit: 3"),
        ("import os\nos._exit(4)\n", "Command failed with exit code 4"),
        ("def f(:\n  pass\n", "Error Category: SYNTAX_ERROR; Failed Line Number: 1; SyntaxError: invalid syntax"),
        (
            "import nothere\n",
            "Error Category: IMPORT_ERROR; Failed Line Number: 1; ModuleNotFoundError: No module named 'nothere'",
        ),
        (
            "\nraise ValueError('a\\nb')\n",
            "Error Category: UNCLASSIFIED_ERROR; Failed Line Number: 2; ValueError: a\nb",
        ),
    ],
)
def test_how_scripts_fail(shop: Workshop, script: str, message: str) -> None:
    run = shop.run(shop.job("fails", script, head=False))
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", message)


def test_exit_zero_is_success(shop: Workshop) -> None:
    assert shop.run(shop.job("leaves", "import sys\nsys.exit(0)\n", head=False))["JobRunState"] == "SUCCEEDED"


def test_a_missing_script_fails_the_run(shop: Workshop) -> None:
    shop.job("gone", "")
    shop.aws("s3").delete_object(Bucket=shop.bucket, Key="jobs/gone.py")
    run = shop.run("gone")
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith("LAUNCH ERROR | cannot read s3://workshop/jobs/gone.py")


def test_python_shell(shop: Workshop) -> None:
    shop.job("shell", "import sys\nprint('hello', sys.argv[1:])\n", head=False, kind="pythonshell", MaxCapacity=0.0625)
    assert shop.succeed("shell", Arguments={"--x": "1"}) == "hello ['--x', '1']"


def test_a_run_sees_the_local_aws_and_nothing_of_the_developer(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "PIP_INDEX_URL", "SECRET_CANARY")
    for name in canaries:
        monkeypatch.setenv(name, "canary")
    shop.job(
        "sees",
        """
        import os, boto3
        print(sorted(os.environ))
        print("millpond" in sys.modules, sum("canary" in v for v in os.environ.values()))
        try:
            import millpond
        except ImportError:
            print("no millpond")
        print([b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]])
        seen = spark.sparkContext.parallelize([0]).map(lambda _: dict(__import__("os").environ)).first()
        print("worker", sum("canary" in v for v in seen.values()), seen["AWS_ENDPOINT_URL"])
        """,
    )
    out = shop.succeed("sees")
    assert not [name for name in canaries if name in out]
    assert "False 0" in out and "no millpond" in out and "['workshop']" in out and "worker 0 http://127.0.0.1:" in out


def test_runs_do_not_see_each_other(shop: Workshop) -> None:
    shop.job(
        "leaves_things",
        """
        spark.range(3).createOrReplaceTempView("left")
        spark.range(3).createOrReplaceGlobalTempView("left_global")
        spark.udf.register("left_udf", lambda x: x)
        spark.conf.set("spark.sql.shuffle.partitions", "77")
        spark.sparkContext.setLogLevel("DEBUG")
        spark.sql("CREATE DATABASE left_db")
        spark._jvm.java.lang.System.setProperty("spark.app.left", "1")
        import builtins; builtins.left = 1
        """,
    )
    shop.job(
        "finds_nothing",
        """
        import builtins
        found = [name for name, there in {
            "view": spark.catalog.tableExists("left"),
            "global": spark.catalog.tableExists("global_temp.left_global"),
            "udf": spark.catalog.functionExists("left_udf"),
            "conf": spark.conf.get("spark.sql.shuffle.partitions") == "77",
            "database": spark.catalog.databaseExists("left_db"),
            "property": spark._jvm.java.lang.System.getProperty("spark.app.left") is not None,
            "builtin": hasattr(builtins, "left"),
        }.items() if there]
        print("found", found, spark.sparkContext.appName)
        """,
    )
    shop.succeed("leaves_things")
    assert "found [] finds_nothing" in shop.succeed("finds_nothing")


def test_stop(shop: Workshop) -> None:
    shop.job("sleeps", "import subprocess\nprint('on')\nsubprocess.run(['sleep', '300'])\n", head=False)
    run_id = shop.start("sleeps")
    shop.wait("sleeps", run_id, ("RUNNING",))
    answer = shop.aws("glue").batch_stop_job_run(JobName="sleeps", JobRunIds=[run_id, "jr_nope"])
    assert [one["JobRunId"] for one in answer["SuccessfulSubmissions"]] == [run_id]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    run = shop.wait("sleeps", run_id, seconds=60)
    assert run["JobRunState"] == "STOPPED" and not run.get("ErrorMessage")
    assert not processes_of(run_id)


def processes_of(run_id: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if run_id in (path / "cwd").readlink().as_posix():
                found.append(path.name)
        except OSError:
            continue
    return found


def test_concurrent_runs(shop: Workshop) -> None:
    glue = shop.aws("glue")
    shop.job("one", "import time\ntime.sleep(300)\n", head=False, kind="pythonshell")
    first = shop.start("one")
    refused("ConcurrentRunsExceededException", glue.start_job_run, JobName="one")
    glue.batch_stop_job_run(JobName="one", JobRunIds=[first])
    shop.wait("one", first)
    second = shop.start("one")
    glue.batch_stop_job_run(JobName="one", JobRunIds=[second])
    shop.wait("one", second)


def test_three_spark_jobs_at_once(shop: Workshop) -> None:
    shop.job("many", "print(spark.range(1000).count())\n", ExecutionProperty={"MaxConcurrentRuns": 3})
    ids = [shop.start("many") for _ in range(3)]
    assert {shop.wait("many", run_id)["JobRunState"] for run_id in ids} == {"SUCCEEDED"}


def test_a_task_starts_its_run_once(shop: Workshop, endpoint: Endpoint) -> None:
    shop.job("once", "print(1)\n", head=False, kind="pythonshell")

    def start(token: str) -> str:
        before = acting_for.set(token)
        try:
            return endpoint.client("glue").start_job_run(JobName="once")["JobRunId"]
        finally:
            acting_for.reset(before)

    first = start("token-1")
    assert start("token-1") == first
    shop.wait("once", first)
    assert start("token-1") == first
    assert start("token-2") != first


def test_definitions(shop: Workshop) -> None:
    glue = shop.aws("glue")
    base = {"Role": "r", "Command": {"Name": "glueetl", "ScriptLocation": "s3://workshop/x.py"}}
    glue.create_job(Name="defined", **base, Tags={"team": "data"})
    assert glue.create_job(Name="defined", **base)["Name"] == "defined"
    refused("IdempotentParameterMismatchException", glue.create_job, Name="defined", **base, Timeout=3)
    job = glue.get_job(JobName="defined")["Job"]
    assert (job["Timeout"], job["MaxRetries"], job["MaxCapacity"], job["GlueVersion"]) == (480, 0, 10.0, "5.1")
    assert glue.list_jobs(Tags={"team": "data"})["JobNames"] == ["defined"]
    assert glue.batch_get_jobs(JobNames=["defined", "nope"])["JobsNotFound"] == ["nope"]
    refused("EntityNotFoundException", glue.get_job, JobName="nope")
    refused("EntityNotFoundException", glue.start_job_run, JobName="nope")
    refused("EntityNotFoundException", glue.get_job_run, JobName="defined", RunId="jr_nope")
    refused("EntityNotFoundException", glue.update_job, JobName="nope", JobUpdate=base)
    refused("InvalidInputException", glue.start_job_run, JobName="defined", Timeout=20000)
    refused("InvalidInputException", glue.start_job_run, JobName="defined", Arguments={"--extra-py-files": "s3://b/x/"})
    refused(
        "InvalidInputException", glue.create_job, Name="x", Role="r", Command={"Name": "nope", "ScriptLocation": "s"}
    )
    refused("InvalidInputException", glue.create_job, Name="x", **base, GlueVersion="9.9")
    refused(
        "InvalidInputException",
        glue.create_job,
        Name="x",
        **base,
        MaxCapacity=2.0,
        WorkerType="G.1X",
        NumberOfWorkers=2,
    )
    command = {"Name": "glueray", "ScriptLocation": "s3://b/x.py"}
    refused("InvalidInputException", glue.create_job, Name="x", Role="r", Command=command)
    glue.delete_job(JobName="defined")
    glue.delete_job(JobName="defined")
    refused("EntityNotFoundException", glue.get_job, JobName="defined")
    names = [page["JobNames"] for page in glue.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 2})]
    assert [name for page in names for name in page] == sorted(name for page in names for name in page)
    assert all(len(page) <= 2 for page in names)


def test_an_older_version_runs_with_a_warning(shop: Workshop) -> None:
    shop.job("old", "print('ran')\n", head=False, GlueVersion="2.0")
    run = shop.run("old")
    assert run["JobRunState"] == "SUCCEEDED" and "Glue 2.0 is out of support" in shop.log(run["Id"], "error")


def test_conf_and_its_jvm_is_not_used_again(shop: Workshop) -> None:
    shop.job(
        "conf",
        "print(spark.conf.get('spark.sql.shuffle.partitions'), spark.conf.get('spark.x'))\n",
        DefaultArguments={"--conf": "spark.sql.shuffle.partitions=9 --conf spark.x=y"},
    )
    assert "9 y" in shop.succeed("conf")
    assert "4 none" in shop.succeed(
        shop.job(
            "conf_after", "print(spark.conf.get('spark.sql.shuffle.partitions'), spark.conf.get('spark.x', 'none'))\n"
        )
    )


def test_no_java_on_the_path(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath.replace("/usr/bin", "/nowhere"))
    shop.job("pathless", "print(spark.range(5).count())\n", DefaultArguments={"--conf": "spark.fresh=1"})
    assert "5" in shop.succeed("pathless")
