"""Runs, tables and failures as text. Pure but for `live`, which draws on a terminal.

Status is a word and a glyph, never colour alone. Not a terminal: one line an event, no control characters.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millpond.aws.catalog import Answer
    from millpond.aws.history import StepRun
    from millpond.aws.runs import Explanation, Run
    from millpond.aws.workflows import Work, WorkflowRun

WORDS = {
    "SUCCEEDED": ("ok", "green"),
    "FAILED": ("FAIL", "bold red"),
    "RUNNING": ("...", "cyan"),
    "ABORTED": ("stop", "yellow"),
    "TIMED_OUT": ("TIME", "bold red"),
}
PLUMBING = ("Pass", "Choice", "Wait", "Succeed")
WIDE = 44


def shown(run: Run) -> list[StepRun]:
    """The steps worth a line: no plumbing, nothing inside a one-branch block unless it failed there."""
    return [step for step in run.steps if _worth(step)]


def _worth(step: StepRun) -> bool:
    if step.kind in PLUMBING:
        return False
    around = step.inside
    while around is not None:
        if around.kind == "Parallel" and step.error is None:
            return False
        around = around.inside
    return True


def title(step: StepRun) -> str:
    """The step's name, with the Map item that it works on: `Ingest table[orders]`."""
    return step.name if step.label == step.name else f"{step.name}[{step.label}]"


def line(step: StepRun) -> str:
    """One step as one line: word, name, seconds, rows, attempts, source line when it failed."""
    word = WORDS.get(step.status, (step.status, ""))[0]
    name = title(step)
    text = f"{'  ' * step.depth}{word:<5}{name}"
    seconds = f"{step.seconds:7.1f} s" if step.seconds is not None else ""
    return f"{text:<{WIDE}}{seconds:>10}  {_remarks(step)}".rstrip()


def _remarks(step: StepRun) -> str:
    remarks = []
    if step.rows and step.rows.get("read") is not None:
        remarks.append(f"{step.rows['read']:,} rows read, {step.rows.get('written', 0):,} written")
    if step.items is not None:
        failed = sum(step.items[how] for how in ("failed", "timedOut", "aborted"))
        done = f"{step.items['succeeded']:,} of {step.items['total']:,} items"
        remarks.append(f"{done}, {failed:,} failed" if failed else done)
    if step.attempts > 1:
        remarks.append(f"attempt {step.attempts}")
    if step.status == "FAILED" and step.line:
        remarks.append(step.line)
    return "   ".join(remarks)


def heading(run: Run) -> str:
    """The run as one line."""
    seconds = f"  {run.seconds:.1f} s" if run.seconds is not None else ""
    return f"{run.flow}  {run.name}  {run.status}{seconds}"


def work(found: Work) -> str:
    """A job or crawler of a workflow's run as one line."""
    words = {"SUCCEEDED": "ok", "FAILED": "FAIL", "ERROR": "FAIL", "TIMEOUT": "TIME", "STOPPED": "stop", "": "-"}
    text = f"{words.get(found.state, found.state[:4].lower()):<5}{found.name}"
    seconds = f"{found.seconds:7.1f} s" if found.seconds is not None else ""
    kind = "crawler" if found.kind == "CRAWLER" else "not run" if not found.state else ""
    return f"{text:<{WIDE}}{seconds:>10}  {found.error.splitlines()[0] if found.error else kind}".rstrip()


def workflow_run(run: WorkflowRun) -> str:
    """A run of a Glue workflow: its heading, its jobs and crawlers."""
    seconds = f"  {run.seconds:.1f} s" if run.seconds is not None else ""
    lines = [f"{run.workflow}  {run.run_id}  {run.status}{seconds}", *(f" {work(one)}" for one in run.works)]
    return "\n".join([*lines, *([run.error] if run.error else [])])


def tree(run: Run) -> str:
    """The whole run: heading and steps. Items of a Map stand below it, in the order of their beginning."""
    return "\n".join([heading(run), *(f" {line(step)}" for step in ordered(shown(run)))])


def ordered(steps: Sequence[StepRun]) -> list[StepRun]:
    """Steps with what ran inside them directly below them."""
    below: dict[int | None, list[StepRun]] = {}
    known = {id(step) for step in steps}
    for step in steps:
        around = step.inside
        while around is not None and id(around) not in known:
            around = around.inside
        below.setdefault(id(around) if around is not None else None, []).append(step)

    def walk(parent: int | None) -> Iterator[StepRun]:
        for step in below.get(parent, []):
            yield step
            yield from walk(id(step))

    return list(walk(None))


def failure(run: Run, why: Explanation) -> str:
    """Why a run failed and what to type next."""
    step = why.step
    name = title(step) if step else "the run"
    parts = [f"{name} failed: {why.error}  {why.reason}".rstrip()]
    if why.script_line:
        parts.append(f"  {why.script_line:<24} {why.script_text}".rstrip())
    if why.flow_line:
        parts.append(f"  {why.flow_line:<24} {name}")
    if why.child:
        parts += [f"  A child failed: {why.child_reason}", f"  millpond show {why.child}"]
    if why.log:
        parts += ["", f"The end of its log ({step.log if step else ''}):", *(f"  {entry}" for entry in why.log)]
    wanted = f" '{step.name}'" if step else ""
    run_name = run.arn if "/" in run.arn else run.name  # a child of a Map Run is listed nowhere
    parts += ["", f"Look closer   millpond logs {run_name}{wanted}   millpond show {run_name}   millpond outbox"]
    return "\n".join(parts)


def table(answer: Answer) -> str:
    """A query's result; numbers to the right."""
    numbers = {"tinyint", "smallint", "integer", "bigint", "float", "real", "double", "decimal"}
    right = [kind.split("(")[0] in numbers for kind in answer.types]
    return columns(answer.columns, [["" if v is None else v for v in row] for row in answer.rows], right)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """Rows in aligned columns under a heading."""
    flags = [*right, *([False] * len(head))][: len(head)]
    widths = [max([len(title), *(len(row[at]) for row in rows)]) for at, title in enumerate(head)]

    def aligned(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if flag else c.ljust(w) for c, w, flag in zip(cells, widths, flags, strict=True))
        return "  ".join(padded).rstrip()

    return "\n".join([aligned(head), "  ".join("-" * width for width in widths), *map(aligned, rows)])


@contextlib.contextmanager
def live(*, quiet: bool) -> Iterator[Callable[[Run], None]]:
    """Draw a run while it goes on: a tree that is redrawn on a terminal, a line a change elsewhere; on stderr."""
    if quiet:
        yield lambda run: None
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _redrawn() as draw:
            yield draw
    else:
        yield _Changes()


class _Changes:
    """One line when a step begins to matter: when it has ended, or failed."""

    def __init__(self) -> None:
        self._said: set[int] = set()

    def __call__(self, run: Run) -> None:
        for step in shown(run):
            if step.ended and id(step) not in self._said:
                self._said.add(id(step))
                print(f" {line(step)}", file=sys.stderr, flush=True)
        if run.ended:
            print(heading(run), file=sys.stderr, flush=True)


@contextlib.contextmanager
def _redrawn() -> Iterator[Callable[[Run], None]]:
    import datetime as dt

    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def picture(run: Run) -> Text:
        text = Text(heading(run) + "\n", style="bold", no_wrap=True)
        for step in ordered(shown(run))[-max(10, console.size.height - 3) :]:
            row = line(step)
            if step.ended is None:
                row = f"{row:<{WIDE}}{(dt.datetime.now(dt.UTC) - step.started).total_seconds():8.0f} s"
            text.append(f" {row}\n", style=WORDS.get(step.status, ("", ""))[1] or None)
        return text

    console = Console(stderr=True)
    with Live(console=console, refresh_per_second=8) as screen:
        yield lambda run: screen.update(picture(run))


def as_text(value: Any) -> str:
    """A value for people: text as it is, everything else as JSON."""
    import json

    return value if isinstance(value, str) else json.dumps(value, indent=2, default=str)
