"""`make demo` from a fresh clone, twice, with no Java on PATH: new environment, the whole shop.

The Glue runtime, 1.1 GB, is the one that `make test` has just installed in the same way; without it the clone installs
its own.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from conftest_journey import REPOSITORY, without_java

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(1500)]


def make(clone: Path, env: dict[str, str], target: str) -> str:
    done = subprocess.run(["make", target], cwd=clone, env=env, capture_output=True, text=True, timeout=1400)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


def seconds(output: str) -> str:
    """Where the time went, for the test's log."""
    return next((line for line in output.splitlines() if line.startswith("Where the time went")), "")


def test_demo_from_a_fresh_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clone = tmp_path / "millpond"
    if not (REPOSITORY / ".git").exists():
        pytest.skip(f"LOUD SKIP: {REPOSITORY} is no Git checkout, nothing to clone")
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    if (REPOSITORY / ".runtime").is_dir():
        (clone / ".runtime").symlink_to((REPOSITORY / ".runtime").resolve())
    env = {name: value for name, value in without_java(tmp_path).items() if name != "MILLPOND_RUNTIMES"}
    assert subprocess.run(["sh", "-c", "command -v java"], env=env).returncode != 0
    try:
        first = make(clone, env, "demo")
        assert "champions" in first
        assert re.search(r"Ingest table\[orders\].*200,000 rows read", first)
        second = make(clone, env, "demo")
        assert re.search(r"Ingest table\[orders\].* 0 rows read", second), second
        with capsys.disabled():
            print(f"\nfirst demo:  {seconds(first)}\nsecond demo: {seconds(second)}")
    finally:
        make(clone, env, "clean")
    assert not (clone / "examples/customer_segmentation/.shop").exists()
    assert not (clone / "examples/customer_segmentation/.millpond").exists()
