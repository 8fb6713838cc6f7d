"""The messages of failed runs, as the driver host makes them; and the jar that its JVM loads."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from millpond import runtime
from millpond.local.glue import driver_host
from millpond.local.glue.spark import build


def failing(tmp_path: Path, text: str) -> str:
    script = tmp_path / "job.py"
    script.write_text(text)
    with pytest.raises(BaseException) as caught:
        runpy.run_path(str(script))
    return driver_host.describe(caught.value, str(script))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = x / 0\n", "UNCLASSIFIED_ERROR; Failed Line Number: 2; ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError\n\n\nf()\n", "UNCLASSIFIED_ERROR; Failed Line Number: 2; KeyError"),
        ("import json\njson.loads('{')\n", "UNCLASSIFIED_ERROR; Failed Line Number: 2; JSONDecodeError: "),
        ("open('/nope/nope')\n", "RESOURCE_NOT_FOUND_ERROR; Failed Line Number: 1; FileNotFoundError: "),
        ("a = (\n", "SYNTAX_ERROR; Failed Line Number: 1; SyntaxError: '(' was never closed"),
        ("class ParseException(Exception): ...\nraise ParseException('x;\\nplan')\n",
         "QUERY_ERROR; Failed Line Number: 2; ParseException: x;"),
        ("raise SystemExit(2)\n", "UNCLASSIFIED_ERROR; Failed Line Number: 1; SystemExit: 2"),
    ],
)  # fmt: skip
def test_messages(tmp_path: Path, text: str, message: str) -> None:
    assert failing(tmp_path, text).startswith(f"Error Category: {message}".rstrip(";"))


def test_an_outcome_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    driver_host.write_json(path, {"state": "SUCCEEDED"})
    assert driver_host.read_json(path) == {"state": "SUCCEEDED"} and [p.name for p in tmp_path.iterdir()] == [path.name]
    path.write_text('{"state"')
    assert driver_host.read_json(path) is None and driver_host.read_json(tmp_path / "none") is None


def test_the_jar_is_what_the_sources_make(tmp_path: Path) -> None:
    found = runtime.find("5.1")
    if not shutil.which("javac") or found is None:
        pytest.skip("SKIPPED LOUDLY: needs javac 17 and an installed Glue 5.1 runtime to compare jar and sources")
    made: dict[str, Any] = build.compile_classes(found.site() / "pyspark" / "jars", tmp_path)
    assert made and build.classes_in(build.JAR) == made
