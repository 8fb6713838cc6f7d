"""docs/parity.md says what the code carries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


def test_parity_page_is_up_to_date() -> None:
    script = REPOSITORY / "docs" / "generate_parity.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
