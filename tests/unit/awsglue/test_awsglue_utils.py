"""getResolvedOptions as scripts meet it."""

from __future__ import annotations

import pytest

from awsglue.utils import GlueArgumentError, callsite, getResolvedOptions, makeOptions

ARGV = ["job.py", "--JOB_NAME", "join", "--day", "2024-05-01", "--table", "orders", "--other", "x"]


def test_what_is_asked_for_and_nothing_of_the_others() -> None:
    found = getResolvedOptions(ARGV, ["day", "table"])
    assert {name: value for name, value in found.items() if value is not None} == {
        "day": "2024-05-01",
        "table": "orders",
    }
    assert {"TempDir", "JOB_RUN_ID", "job_bookmark_option", "encryption_type"} <= found.keys()


@pytest.mark.parametrize("name", ["JOB_RUN_ID", "job-bookmark-option", "SECURITY_CONFIGURATION"])
def test_glues_own_arguments_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(GlueArgumentError, match=f"reserved arguments {name}"):
        getResolvedOptions(ARGV, ["day", name])


def test_a_value_that_glue_does_not_know() -> None:
    with pytest.raises(GlueArgumentError, match="job-bookmark-option"):
        getResolvedOptions(["job.py", "--job-bookmark-option", "maybe"], [])


def test_a_dash_is_an_underscore_in_the_result() -> None:
    assert getResolvedOptions(["job.py", "--source-bucket", "b"], ["source-bucket"])["source_bucket"] == "b"


def test_an_option_without_its_value() -> None:
    with pytest.raises(GlueArgumentError, match="expected one argument"):
        getResolvedOptions(["job.py", "--day"], ["day"])


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


def test_the_place_of_a_call_is_the_scripts() -> None:
    assert callsite().rpartition(":")[0] == __file__


def test_options_stay_dicts() -> None:
    with pytest.raises(NotImplementedError, match="takes a dict as it is"):
        makeOptions(None, {})
