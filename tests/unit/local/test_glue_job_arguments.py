"""From a job's definition and StartJobRun's parameters to a plan, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.local.glue.job_arguments import check_definition, plan, run_capacity, split_uri, with_defaults
from millpond.local.service import AwsError


def job(**more: Any) -> dict[str, Any]:
    body = {"Command": {"Name": "glueetl", "ScriptLocation": "s3://code/job.py"}, "Role": "r", **more}
    check_definition(body)
    return {"Name": "j", **with_defaults(body)}


def test_arguments_merge() -> None:
    made = plan(
        job(DefaultArguments={"--a": "1", "--b": "1", "--c": "1"}, NonOverridableArguments={"--c": "3"}),
        {"Arguments": {"--b": "2", "--c": "2", "--JOB_NAME": "forged"}},
    )
    argv = made.argv("j", "jr_1")
    pairs = dict(zip(argv[::2], argv[1::2], strict=True))
    assert (pairs["--a"], pairs["--b"], pairs["--c"]) == ("1", "2", "3")
    assert (pairs["--JOB_NAME"], pairs["--JOB_RUN_ID"]) == ("j", "jr_1")


def test_a_python_shell_job_is_not_told_its_name() -> None:
    made = plan(job(Command={"Name": "pythonshell", "ScriptLocation": "s3://code/job.py"}), {"Arguments": {"--a": "1"}})
    assert made.argv("j", "jr_1") == ["--a", "1"] and made.timeout == 2880


def test_special_arguments() -> None:
    made = plan(
        job(),
        {
            "Arguments": {
                "--scriptLocation": "s3://code/other.py",
                "--extra-py-files": "s3://code/a.zip, s3://code/b.py",
                "--conf": "spark.a=1 --conf spark.b='x y'",
                "--enable-glue-datacatalog": "",
                "--additional-python-modules": "a==1,b",
            },
            "Timeout": 7,
        },
    )
    assert made.script == "s3://code/other.py" and made.python_files == ("s3://code/a.zip", "s3://code/b.py")
    assert made.conf == (("spark.a", "1"), ("spark.b", "x y")) and made.catalog and made.timeout == 7
    assert made.modules == ("a==1", "b") and not plan(job(), {}).catalog


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"--job-bookmark-option": "on"}, "InvalidInputException"),
        ({"--job-bookmark-from": "jr_1"}, "InvalidInputException"),
        ({"--extra-files": "s3://code/folder/"}, "InvalidInputException"),
        ({"--extra-jars": "/tmp/x.jar"}, "InvalidInputException"),
        ({"--conf": "nothing"}, "InvalidInputException"),
        ({"--job-language": "scala"}, "NotImplemented"),
        ({"--conf": "a='1"}, "InvalidInputException"),
        ({"--additional-python-modules": "/tmp/x.whl"}, "InvalidInputException"),
        ({"--customer-driver-env-vars": "A"}, "InvalidInputException"),
        ({"--enable-spark-ui": "true", "--spark-event-logs-path": "/tmp"}, "InvalidInputException"),
        ({"--big": "x" * 270_000}, "InvalidInputException"),
    ],
)
def test_refused_arguments(arguments: dict[str, str], code: str) -> None:
    with pytest.raises(AwsError) as caught:
        plan(job(), {"Arguments": arguments})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"GlueVersion": "auto"}, "NotImplemented"),
        ({"WorkerType": "Z.2X", "NumberOfWorkers": 2}, "InvalidInputException"),
        ({"WorkerType": "G.025X", "NumberOfWorkers": 2}, "InvalidInputException"),
        ({"WorkerType": "R.1X", "NumberOfWorkers": 2, "GlueVersion": "3.0"}, "InvalidInputException"),
        ({"WorkerType": "G.4X", "NumberOfWorkers": 2, "ExecutionClass": "FLEX"}, "InvalidInputException"),
        ({"ExecutionClass": "FLEX", "GlueVersion": "2.0"}, "InvalidInputException"),
        (
            {"Command": {"Name": "glueetl", "ScriptLocation": "s3://b/k", "PythonVersion": "3.9"}},
            "InvalidInputException",
        ),
        (
            {"Command": {"Name": "pythonshell", "ScriptLocation": "s3://b/k"}, "MaxCapacity": 2.0},
            "InvalidInputException",
        ),
        (
            {
                "Command": {"Name": "pythonshell", "ScriptLocation": "s3://b/k"},
                "WorkerType": "G.1X",
                "NumberOfWorkers": 2,
            },
            "InvalidInputException",
        ),
        ({"MaintenanceWindow": "Sun:10"}, "InvalidInputException"),
        ({"Timeout": 10081}, "InvalidInputException"),
        ({"GlueVersion": "7.7"}, "InvalidInputException"),
        ({"MaxRetries": 11}, "InvalidInputException"),
        ({"MaxCapacity": 2.0, "WorkerType": "G.1X", "NumberOfWorkers": 2}, "InvalidInputException"),
        ({"WorkerType": "G.1X"}, "InvalidInputException"),
        ({"WorkerType": "huge", "NumberOfWorkers": 2}, "InvalidInputException"),
        ({"MaxCapacity": 2.5}, "InvalidInputException"),
        ({"ExecutionProperty": {"MaxConcurrentRuns": 0}}, "InvalidInputException"),
        ({"Command": {"Name": "glueray", "ScriptLocation": "s3://b/k"}}, "NotImplemented"),
        ({"Command": {"Name": "glueetl"}}, "InvalidInputException"),
    ],
)
def test_refused_definitions(more: dict[str, Any], code: str) -> None:
    with pytest.raises(AwsError) as caught:
        job(**more)
    assert caught.value.code == code


def test_notes_for_versions_and_concurrency() -> None:
    assert "Glue 4.0 runs on the runtime of Glue 5.1" in plan(job(GlueVersion="4.0"), {}).notes[0]
    assert "out of support" in plan(job(GlueVersion="2.0"), {}).notes[0]
    assert plan(job(GlueVersion="5.1"), {}).notes == ()
    twice = job(ExecutionProperty={"MaxConcurrentRuns": 2})
    assert "MaxConcurrentRuns" in plan(twice, {"Arguments": {"--job-bookmark-option": "job-bookmark-enable"}}).notes[0]


def test_modules_are_pips_requirements() -> None:
    text = "a==1,b[x,y]>2,<3, s3://c/d-1-py3-none-any.whl,e"
    made = plan(job(), {"Arguments": {"--additional-python-modules": text}})
    assert made.modules == ("a==1", "b[x,y]>2,<3", "s3://c/d-1-py3-none-any.whl", "e")


def test_where_logs_go() -> None:
    names = plan(job(), {}).logs("jr_1")
    assert (names.prefix, names.stream, names.driver, names.both) == ("/aws-glue/jobs", "jr_1", ("", ""), True)
    old = plan(job(GlueVersion="4.0"), {"Arguments": {"--enable-continuous-cloudwatch-log": "true"}}).logs("jr_1")
    assert (old.driver, old.both) == (("/aws-glue/jobs/logs-v2", "jr_1-driver"), False)


def test_a_python_shell_job_ignores_the_glue_version() -> None:
    shell = {"Name": "pythonshell", "ScriptLocation": "s3://b/k", "PythonVersion": "3"}
    made = job(Command=shell, GlueVersion="9.9", MaxCapacity=1.0)
    assert made["MaxCapacity"] == 1.0 and "3.6 is out of support" in plan(made, {}).notes[0]
    with pytest.raises(AwsError):
        plan(made, {"WorkerType": "G.1X", "NumberOfWorkers": 2})


def test_capacity_of_a_run() -> None:
    made = job(WorkerType="G.1X", NumberOfWorkers=2)
    assert run_capacity(made, {})["MaxCapacity"] == 2.0
    assert run_capacity(made, {"WorkerType": "G.2X", "NumberOfWorkers": 5})["MaxCapacity"] == 10.0
    assert run_capacity(made, {"NumberOfWorkers": 5})["MaxCapacity"] == 5.0
    assert run_capacity(made, {"MaxCapacity": 4.0}) == {"MaxCapacity": 4.0, "AllocatedCapacity": 4}
    with pytest.raises(AwsError):
        run_capacity(made, {"MaxCapacity": 4.0, "WorkerType": "G.1X"})


def test_capacity_shown() -> None:
    assert job(WorkerType="G.2X", NumberOfWorkers=3)["MaxCapacity"] == 6.0
    assert job()["MaxCapacity"] == 10.0 and job()["AllocatedCapacity"] == 10


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "s3:///key", "/x", "http://a/b", "s3://b/k?x=1"])
def test_only_s3_paths(uri: str) -> None:
    with pytest.raises(AwsError):
        split_uri(uri)
