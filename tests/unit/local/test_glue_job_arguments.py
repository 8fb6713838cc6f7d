"""From a job's definition and StartJobRun's parameters to a plan, and what is refused on the way."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.local.glue.job_arguments import check_definition, plan, split_uri, with_defaults
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
        ({"--class": "Main"}, "NotImplemented"),
    ],
)
def test_refused_arguments(arguments: dict[str, str], code: str) -> None:
    with pytest.raises(AwsError) as caught:
        plan(job(), {"Arguments": arguments})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"GlueVersion": "6.0"}, "NotImplemented"),
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


def test_capacity_shown() -> None:
    assert job(WorkerType="G.2X", NumberOfWorkers=3)["MaxCapacity"] == 6.0
    assert job()["MaxCapacity"] == 10.0 and job()["AllocatedCapacity"] == 10


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "s3:///key", "/x", "http://a/b", "s3://b/k?x=1"])
def test_only_s3_paths(uri: str) -> None:
    with pytest.raises(AwsError):
        split_uri(uri)
