"""docs/parity.md says what the code carries."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def test_parity_page_is_up_to_date() -> None:
    script = REPOSITORY / "docs" / "generate_parity.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_number_of_recorded_cases_is_true() -> None:
    index = REPOSITORY.parent / "shared" / "cases" / "asl" / "INDEX.json"
    if not index.is_file():
        pytest.skip(f"{index} is absent: the recorded cases were not counted")
    spec = importlib.util.spec_from_file_location("generate_parity", REPOSITORY / "docs" / "generate_parity.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sum(json.loads(index.read_text()).values()) == module.RECORDED


def test_what_is_said_of_an_integration_is_what_happens() -> None:
    """The page and `millpond check` read tables; the engine's door reads the same ones."""
    from millpond.asl import resources
    from millpond.local.states import carried, integrations

    for key in integrations.WORK:
        read = resources.read(f"arn:aws:states:::{key}")
        assert read is not None and carried.refusal(read) is None, key
    refused = {
        service
        for service, actions in resources.INTEGRATIONS.items()
        for action in actions
        if (read := resources.read(f"arn:aws:states:::{service}:{action}")) and carried.refusal(read)
    }
    assert refused == resources.INTEGRATIONS.keys() - integrations.PLAIN.keys() - {"lambda", "http"}
