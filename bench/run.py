"""Print the budgets of the design that can be measured: `python bench/run.py [states,glue,...]`.

One line each: what, ours, the peer's on the same work in the same run, the ratio (how many times better we are), the
budget, and met or MISSED. Exits 1 when a budget is missed. ONLY=... in the environment chooses areas, too.

**To add a measure**, write bench/<area>.py with `def measure() -> Iterator[Line]`; it is found by its name. Yield a
line as soon as it is known. A peer that cannot be had gives `peer=None`: a budget that compares with it is then
`unmeasured`, which is printed and does not fail.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
NOT_AREAS = frozenset({"run", "peers"})


@dataclass(frozen=True)
class Line:
    """One measure. `unit` follows both numbers; `more_is_better` says which way the ratio goes. `met` None: unmeasured.

    `peer_name` may carry the version, and what its figure means where it is not quite the same.
    """

    what: str
    ours: float
    unit: str
    budget: str
    met: bool | None
    peer: float | None = None
    peer_name: str = ""
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if self.peer is None or not self.peer or not self.ours:
            return None
        return self.ours / self.peer if self.more_is_better else self.peer / self.ours


def shown(value: float, unit: str) -> str:
    """A figure with three digits that matter."""
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}"


def printed(line: Line) -> str:
    peer = f"{line.peer_name} {shown(line.peer, line.unit)}" if line.peer is not None else line.peer_name or "-"
    ratio = f"{line.ratio:.1f}x" if line.ratio is not None else "-"
    verdict = {True: "met", False: "MISSED", None: "unmeasured"}[line.met]
    return f"{line.what:<46} {shown(line.ours, line.unit):>22}  {peer:<42} {ratio:>8}  {line.budget:<40} {verdict}"


def areas() -> dict[str, Path]:
    """Every bench/<area>.py."""
    return {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem not in NOT_AREAS}


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def chosen(arguments: list[str]) -> list[str]:
    """The areas that were asked for; all of them by default."""
    words = ",".join(argument.removeprefix("ONLY=") for argument in arguments) or os.environ.get("ONLY", "")
    wanted = [word for word in words.split(",") if word]
    unknown = [word for word in wanted if word not in areas()]
    if unknown:
        sys.exit(f"no such area: {', '.join(unknown)}; there are {', '.join(areas())}")
    return wanted or list(areas())


def lines_of(name: str) -> Iterator[Line]:
    yield from load(name, areas()[name]).measure()


def main(arguments: list[str]) -> int:
    sys.path.insert(0, str(HERE))
    sys.modules.setdefault("run", sys.modules[__name__])  # areas say `from run import Line`
    missed = 0
    for name in chosen(arguments):
        began = time.perf_counter()
        print(f"== {name}", flush=True)
        for line in lines_of(name):
            missed += line.met is False
            print(printed(line), flush=True)
        print(f"   ({time.perf_counter() - began:.0f} s)", flush=True)
    if missed:
        print(f"{missed} budget(s) missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
