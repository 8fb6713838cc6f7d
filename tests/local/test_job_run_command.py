"""`millpond job run`: a script in the foreground, with and without an endpoint, under a debugger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millpond import runtime
from millpond.ports import free_port

pytestmark = [pytest.mark.spark, pytest.mark.slow]

SCRIPT = """
import sys
import boto3, beside, given
from pyspark.context import SparkContext
from awsglue.context import GlueContext
from awsglue.utils import getResolvedOptions
args = getResolvedOptions(sys.argv, ["JOB_NAME", "day"])
spark = GlueContext(SparkContext.getOrCreate()).spark_session
boto3.client("s3").create_bucket(Bucket="mine")
spark.range(5).write.json("s3://mine/out/")
keys = boto3.client("s3").list_objects_v2(Bucket="mine", Prefix="out/")["KeyCount"]
print("seen", args["JOB_NAME"], args["day"], beside.NAME, given.NAME, spark.conf.get("spark.x"), keys > 1)
1 / 0
"""


def millpond(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from millpond.cli import main; main()", *words]
    return subprocess.run(command, cwd=folder, input=typed, capture_output=True, text=True, timeout=240)


def test_a_script_under_a_debugger(tmp_path: Path) -> None:
    runtime.install("5.1", print)
    (tmp_path / "job.py").write_text(SCRIPT)
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "given.py").write_text("NAME = 'given'\n")
    words = ["job", "run", "job.py", "--arg", "day=monday", "--arg", "conf=spark.x=1", "--py-files", "lib/given.py"]
    done = millpond(tmp_path, *words, "--debug", typed="b 12\nc\np spark.range(7).count() * 3\nc\np keys\nq\n")
    assert done.returncode == 1, done.stderr
    assert "(Pdb) 21" in done.stdout  # at the breakpoint
    assert "seen job monday beside given 1 True" in done.stdout
    assert "ZeroDivisionError" in done.stderr and "Failed Line Number: 13" in done.stderr
    assert not [path for path in (tmp_path / ".millpond" / "glue" / "hosts").iterdir()]
    assert "not running" in millpond(tmp_path, "status").stdout  # it was there for the script alone


def test_a_python_shell_script_beside_an_endpoint(tmp_path: Path) -> None:
    port = str(free_port())
    (tmp_path / "shell.py").write_text("import sys, os\nprint(sys.argv[1:], os.getcwd())\nsys.exit(3)\n")
    assert millpond(tmp_path, "up", "--background", "--port", port).returncode == 0
    try:
        done = millpond(tmp_path, "job", "run", "shell.py", "--shell", "--arg", "--a=b=c", "--arg", "flag")
        assert done.returncode == 1 and "SystemExit: 3" in done.stderr
        assert done.stdout == f"['--a', 'b=c', '--flag', ''] {os.path.realpath(tmp_path)}\n"
        refused = millpond(tmp_path, "job", "run", "shell.py", "--arg", "extra-py-files=/tmp/x.py")
        assert refused.returncode == 2 and "not an S3 path" in refused.stderr
        assert millpond(tmp_path, "status").stdout.startswith("running on")
    finally:
        millpond(tmp_path, "down")
