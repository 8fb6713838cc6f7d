"""docs/testing.md is true: its examples run, its commands and verbs exist."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from millpond.cli import COMMANDS
from millpond.testing import FakeTask, FakeTasks, Run, simulate

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "testing.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = re.findall(r"^`([\w.]+)`\n\n```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
DEPLOYED = [block for block in BLOCKS if "state_machine" in block]
SIMULATED = [block for block in BLOCKS if block not in DEPLOYED]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the page shows."""
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_has_examples() -> None:
    assert [name for name, _ in FILES] == ["nightly.asl.json", "MockConfigFile.json"]
    assert (len(SIMULATED), len(DEPLOYED)) == (3, 1)


@pytest.mark.parametrize("block", SIMULATED, ids=lambda block: re.findall(r"def (test_\w+)", block)[0])
def test_simulated_examples(block: str, folder: Path) -> None:
    names: dict[str, object] = {}
    exec(compile(block, "docs/testing.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_") and callable(value)]
    assert tests
    for test in tests:
        test()


@pytest.mark.slow
def test_deployed_examples(folder: Path) -> None:
    (folder / "test_page.py").write_text("\n".join(DEPLOYED))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "millpond.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "test_page.py"], capture_output=True, text=True, timeout=300)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_printed_run_is_what_is_printed(folder: Path) -> None:
    tasks = FakeTasks()
    tasks.on(state="Join").fail("States.TaskFailed", "OOM in stage 7")
    tasks.on("sns:publish").succeed({})
    shown = str(simulate("nightly.asl.json", {"day": "1"}, tasks=tasks)).splitlines()
    assert "\n".join(f"    {line}" for line in shown[:4]) in PAGE, shown


def test_commands_and_verbs_exist() -> None:
    for command in re.findall(r"^    millpond (\w+)", PAGE, re.MULTILINE):
        assert command in COMMANDS
    verbs = {
        name for row in re.findall(r"^\| (`\..*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`\.(\w+)", row)
    }
    public = {name for name, value in inspect.getmembers(FakeTask, inspect.isfunction) if not name.startswith("_")}
    assert verbs == public - {"fail_once", "matches", "misfit", "next"}
    sentence = PAGE[PAGE.index("A `Run` has") : PAGE.index("Printed, it shows")]
    fields = set(dir(Run)) | set(Run.__dataclass_fields__)
    assert set(re.findall(r"`(\w+)", sentence)) - {"Run"} <= fields
