"""Makes the fixture of conftest_journey.py known to pytest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest_journey import journey  # noqa: F401
