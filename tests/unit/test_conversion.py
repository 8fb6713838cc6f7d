"""Glue workflows as flows: the source, and what running it does (with fakes for the jobs)."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from millpond import project
from millpond.conversion import convert
from millpond.errors import ProjectError
from millpond.testing import FakeTasks, simulate

Trigger = dict[str, Any]


def end(name: str, state: str = "SUCCEEDED") -> dict[str, str]:
    return {"LogicalOperator": "EQUALS", "JobName": name, "State": state}


def trigger(name: str, jobs: list[Any], *ends: dict[str, str], logical: str = "AND", **more: Any) -> Trigger:
    actions = [{"JobName": job} if isinstance(job, str) else job for job in jobs]
    if not ends:
        return {"Name": name, "Type": "ON_DEMAND", "State": "CREATED", "Actions": actions} | more
    predicate = {"Logical": logical, "Conditions": list(ends)}
    found = {"Name": name, "Type": "CONDITIONAL", "State": "ACTIVATED", "Actions": actions, "Predicate": predicate}
    return found | more


def workflow(*triggers: Trigger, **more: Any) -> dict[str, Any]:
    nodes = [{"Type": "TRIGGER", "Name": one["Name"], "TriggerDetails": {"Trigger": one}} for one in triggers]
    return {"Name": "nightly load", "Graph": {"Nodes": nodes}, **more}


def ran(folder: Path, found: dict[str, Any], failing: set[str]) -> tuple[str, set[str]]:
    """Load the converted flow as a project and run it: its status, and the jobs that ran."""
    (folder / "pyproject.toml").write_text('[tool.millpond]\nname = "x"\n')
    (folder / "pipeline.py").write_text(convert(found, {}).source)
    tasks, jobs = FakeTasks(), JOBS | {"x"}
    for job in jobs:
        fake = tasks.on("glue:startJobRun.sync", JobName=job)
        if job in failing:
            fake.fail("States.TaskFailed", '{"JobName":"x","JobRunState":"FAILED"}')
        else:
            fake.succeed({"JobRunState": "SUCCEEDED"})
    run = simulate(project.load(folder).flow().definition, tasks=tasks)
    return str(run.status), {job for job in jobs if run.visited(job)}


JOBS = set("abcdefgh")


def test_readable(tmp_path: Path) -> None:
    given = {"JobName": "c", "Arguments": {"--x": 'say "1"'}, "Timeout": 7}
    found = workflow(
        trigger("start", ["a", "b"], Type="SCHEDULED", Schedule="cron(0 1 * * ? *)"),
        trigger("both", [given, "d"], end("a"), end("b")),
        trigger("lost", ["e"], end("a", "FAILED")),
        trigger("asleep", ["f"], end("a"), State="CREATED"),
        trigger("idle", ["g"], end("f")),
        DefaultRunProperties={"day": "1"},
        MaxConcurrentRuns=2,
    )
    converted = convert(found, {"a": "getResolvedOptions(sys.argv, ['WORKFLOW_RUN_ID'])"})
    expected = (
        '"both?": blocks.when(blocks.all_of(("a", "SUCCEEDED"), ("b", "SUCCEEDED")), then="Together: c, d", otherwise='
    )
    assert expected in converted.source
    assert r'blocks.run("c", {"--x": "say \"1\""}, parameters={"Timeout": 7})' in converted.source
    text = "\n".join(converted.notes)
    for words in (
        "cron(0 1 * * ? *)", "MaxConcurrentRuns 2", "(day)", "script of job a", "asleep is CREATED", "idle watches",
    ):  # fmt: skip
        assert words in text and words in converted.source
    assert "e: waits for all of a, b" in text
    assert ran(tmp_path, found, set()) == ("SUCCEEDED", set("abcd"))
    assert ran(tmp_path, found, {"a"}) == ("SUCCEEDED", set("abe"))  # a trigger watches for that failure
    assert ran(tmp_path, found, {"c"}) == ("FAILED", set("abcd"))


def test_crawlers_and_odd_names(tmp_path: Path) -> None:
    crawled = {"LogicalOperator": "EQUALS", "CrawlerName": "x", "CrawlState": "SUCCEEDED"}
    found = workflow(
        trigger("s", [{"CrawlerName": "x"}, "x"]), trigger('t"1', ['It\'s \\ "x" {% 1 %}'], crawled, end("x"))
    )
    source = convert(found, {}).source
    assert 'blocks.noted("crawl x", blocks.crawl("x")' in source
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\nname = "x"\n')
    (tmp_path / "pipeline.py").write_text(source)
    assert "crawl x" in str(project.load(tmp_path).flow().definition)


def test_refused() -> None:
    with pytest.raises(ProjectError, match="no starting trigger"):
        convert(workflow(trigger("t", ["a"], end("b"))), {})
    circle = workflow(
        trigger("s", ["a"]), trigger("t", ["b"], end("a"), end("c"), logical="ANY"), trigger("u", ["c"], end("b"))
    )
    with pytest.raises(ProjectError, match="goes in a circle: b, c"):
        convert(circle, {})


def wanted(triggers: list[Trigger], failing: set[str]) -> set[str]:
    """What Glue runs: a trigger fires when its conditions are met by what has ended."""
    done: set[str] = set()
    while True:
        more = {action["JobName"] for one in triggers if fires(one, done, failing) for action in one["Actions"]} - done
        if not more:
            return done
        done |= more


def fires(one: Trigger, done: set[str], failing: set[str]) -> bool:
    if one["Type"] == "ON_DEMAND":
        return True
    met = [
        found["JobName"] in done and (found["JobName"] in failing) == (found["State"] == "FAILED")
        for found in one["Predicate"]["Conditions"]
    ]
    return any(met) if one["Predicate"]["Logical"] == "ANY" else all(met)


@pytest.mark.parametrize("seed", range(40))
def test_a_flow_runs_what_the_workflow_runs(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    names = sorted(JOBS)[: dice.randint(3, 8)]
    first = dice.randint(1, 3)
    triggers = [trigger("start", names[:first])]
    for n in range(first, len(names)):
        watched = dice.sample(names[:n], dice.randint(1, min(3, n)))
        ends = [end(one, dice.choice(("SUCCEEDED", "SUCCEEDED", "FAILED"))) for one in watched]
        triggers.append(trigger(f"t{n}", [names[n]], *ends, logical=dice.choice(("AND", "ANY"))))
    for _ in range(3):
        failing = {name for name in names if dice.random() < 0.3}
        status, jobs = ran(tmp_path, workflow(*triggers), failing)
        assert jobs == wanted(triggers, failing)
        assert status in ("SUCCEEDED", "FAILED")


@pytest.mark.parametrize(("status", "expected"), [("SUCCEEDED", "a"), ("FAILED", "b"), ("CANCELLED", "c")])
def test_how_a_crawl_ends_decides(status: str, expected: str, tmp_path: Path) -> None:
    ends = {state: {"LogicalOperator": "EQUALS", "CrawlerName": "x", "CrawlState": state} for state in (
        "SUCCEEDED", "FAILED", "CANCELLED",
    )}  # fmt: skip
    found = workflow(
        trigger("s", [{"CrawlerName": "x"}]), trigger("ok", ["a"], ends["SUCCEEDED"]),
        trigger("no", ["b"], ends["FAILED"]), trigger("off", ["c"], ends["CANCELLED"]),
    )  # fmt: skip
    (tmp_path / "pyproject.toml").write_text('[tool.millpond]\nname = "x"\n')
    (tmp_path / "pipeline.py").write_text(convert(found, {}).source)
    tasks = FakeTasks()
    tasks.on("aws-sdk:glue:startCrawler", Name="x").succeed({})
    tasks.on("aws-sdk:glue:getCrawler", Name="x").succeed(
        {"Crawler": {"State": "READY", "LastCrawl": {"Status": status, "ErrorMessage": "why"}}}
    )
    for job in "abc":
        tasks.on("glue:startJobRun.sync", JobName=job).fail("Glue.EntityNotFoundException", "no such job")
    run = simulate(project.load(tmp_path).flow().definition, tasks=tasks)
    assert {job for job in "abc" if run.visited(job)} == {expected}
    assert run.status == "FAILED" and f'"{expected}":"ERROR"' in str(run.cause)  # the job could not be started
