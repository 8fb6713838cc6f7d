"""getResolvedOptions as scripts meet it."""

from __future__ import annotations

import pytest

from awsglue.utils import GlueArgumentError, getResolvedOptions

ARGV = ["job.py", "--JOB_NAME", "join", "--day", "2024-05-01", "--table", "orders", "--other", "x"]


def test_only_what_is_asked_for() -> None:
    assert getResolvedOptions(ARGV, ["day", "table"]) == {"day": "2024-05-01", "table": "orders", "TempDir": None}


def test_a_missing_option_is_an_error() -> None:
    with pytest.raises(GlueArgumentError, match="--nope"):
        getResolvedOptions(ARGV, ["day", "nope"])


@pytest.mark.parametrize("value", ["-1", "--dashed", "", "a=b", "with space", "äöü"])
def test_any_value(value: str) -> None:
    assert getResolvedOptions(["job.py", "--x", value], ["x"])["x"] == value


def test_name_and_value_in_one_word() -> None:
    assert getResolvedOptions(["job.py", "--x=1=2"], ["x"])["x"] == "1=2"


def test_a_prefix_is_accepted_up_to_glue_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLUE_VERSION", "5.1")
    argv = ["job.py", "--s3_external_bucket", "b"]
    assert getResolvedOptions(argv, ["s3_external_bucket_path"])["s3_external_bucket_path"] == "b"
    with pytest.raises(GlueArgumentError):
        getResolvedOptions(argv, ["s3_external_bucket_path"], allow_abbrev=False)
    with pytest.raises(GlueArgumentError, match="ambiguous"):
        getResolvedOptions(argv, ["s3_external_bucket_path", "s3_external_bucket_name"])
    monkeypatch.setenv("GLUE_VERSION", "6.0")
    with pytest.raises(GlueArgumentError):
        getResolvedOptions(argv, ["s3_external_bucket_path"])
    assert getResolvedOptions(argv, ["s3_external_bucket_path"], True)["s3_external_bucket_path"] == "b"


def test_what_glue_passes_is_there_when_passed() -> None:
    argv = [*ARGV, "--JOB_RUN_ID", "jr_1", "--job-bookmark-option", "job-bookmark-enable", "--TempDir", "s3://t/"]
    found = getResolvedOptions(argv, ["JOB_NAME"])
    assert found["JOB_NAME"] == "join" and found["JOB_RUN_ID"] == "jr_1" and found["TempDir"] == "s3://t/"
    assert found["job_bookmark_option"] == "job-bookmark-enable"


def test_the_last_one_counts() -> None:
    assert getResolvedOptions(["job.py", "--x", "1", "--x", "2"], ["x"])["x"] == "2"
