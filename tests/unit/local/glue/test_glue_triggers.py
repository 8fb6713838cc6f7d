"""What triggers refuse, in AWS's words; which of them fire; the graph and the figures of a run."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.local.glue.trigger_rules import Ended, causes, check_created, check_updated, met, next_time
from millpond.local.glue.workflow_graph import downstream, statistics
from millpond.local.service import AwsError

ACTIONS = [{"JobName": "a"}]
B = {"LogicalOperator": "EQUALS", "JobName": "b", "State": "SUCCEEDED"}
C = {"LogicalOperator": "EQUALS", "CrawlerName": "c", "CrawlState": "FAILED"}
CONDITIONAL: dict[str, Any] = {"Type": "CONDITIONAL", "Actions": ACTIONS}

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"Type": "SCHEDULED", "Actions": ACTIONS}, "Schedule cannot be null or empty"),
    ({"Type": "SCHEDULED", "Actions": ACTIONS, "Schedule": "cron(0 12 1 * 1 *)"}, "The schedule cron(0 12 1 * 1"),
    ({"Type": "SCHEDULED", "Actions": ACTIONS, "Schedule": "rate(1 day)"}, "The schedule rate(1 day) is invalid."),
    (
        {"Type": "ON_DEMAND", "Actions": ACTIONS, "StartOnCreation": True},
        "Starting trigger on create is not supported for ON_DEMAND trigger type.",
    ),
    ({"Type": "EVENT", "Actions": ACTIONS}, "Workflow name cannot be null or empty"),
    ({"Type": "ON_DEMAND", "Actions": ACTIONS, "EventBatchingCondition": {"BatchSize": 1}}, "EVENT trigger type only"),
    ({"Type": "ON_DEMAND", "Actions": []}, "Actions cannot be null or empty"),
    ({"Type": "ON_DEMAND", "Actions": [{}]}, "JobName or CrawlerName must be set in an action"),
    (
        {"Type": "ON_DEMAND", "Actions": [{"JobName": "a", "CrawlerName": "c"}]},
        "Both JobName or CrawlerName cannot be set together in an action",
    ),
    ({"Type": "ON_DEMAND", "Actions": [{"CrawlerName": str(n)} for n in range(3)]}, "more than 2 crawlers"),
    (CONDITIONAL, "Predicate cannot be null or empty"),
    (CONDITIONAL | {"Predicate": {"Logical": "AND"}}, "Conditions cannot be null or empty"),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [B, C]}},
        "Logical operator cannot be null or empty when more than one condition is present.",
    ),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [{"JobName": "b", "State": "SUCCEEDED"}]}},
        "Logical operator cannot be null or empty",
    ),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [{**C, "CrawlState": "", "State": "FAILED"}]}},
        "State cannot be null or empty",
    ),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [{**B, "State": "RUNNING"}]}},
        "JobRunState should be any of: [SUCCEEDED, STOPPED, FAILED, TIMEOUT]",
    ),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [{**C, "CrawlState": "RUNNING"}]}},
        "CrawlerState should be any of: [SUCCEEDED, FAILED, CANCELLED]",
    ),
    (CONDITIONAL | {"Predicate": {"Conditions": [B | C]}}, "Both JobName or CrawlerName cannot be set together in a"),
    (
        CONDITIONAL | {"Predicate": {"Conditions": [{**B, "JobName": "a"}]}},
        "Job cannot be a Predicate and Action for Conditional Trigger.",
    ),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(AwsError) as caught:
        check_created(given)
    assert caught.value.code == "InvalidInputException" and message in caught.value.message


def test_accepted() -> None:
    check_created(CONDITIONAL | {"Predicate": {"Logical": "ANY", "Conditions": [B, C]}})
    # AWS looks at the predicate of another type of trigger only when the trigger is updated.
    odd = {"Type": "ON_DEMAND", "Actions": ACTIONS, "Predicate": {"Conditions": [{**B, "JobName": "a"}]}}
    check_created(odd)
    with pytest.raises(AwsError, match="Predicate and Action"):
        check_updated(odd)


def test_which_trigger_fires() -> None:
    both = {"Predicate": {"Logical": "AND", "Conditions": [B, C]}}
    some = {"Predicate": {"Logical": "ANY", "Conditions": [B, C]}}
    b, c, wrong = Ended(1, "JOB", "b", "SUCCEEDED"), Ended(2, "CRAWLER", "c", "FAILED"), Ended(3, "JOB", "b", "FAILED")
    job_c = Ended(4, "JOB", "c", "FAILED")  # a job of the crawler's name
    assert causes(both, b, [b], 0) == () and causes(both, c, [b, c], 0) == (b, c)
    assert causes(both, wrong, [b, c, wrong], 0) == () and causes(both, c, [c, wrong], 0) == ()
    assert causes(both, job_c, [b, job_c], 0) == ()
    assert causes(both, c, [b, c], 2) == ()  # both ended before it fired last
    assert causes(some, c, [b, c], 2) == (c,) and causes(some, wrong, [wrong], 0) == ()
    assert met(some, [b, wrong, c]) == (c,) and met(both, [b, wrong, c]) == () and met(both, [wrong, b, c]) == (b, c)


def test_what_comes_after_a_node() -> None:
    start = {"Name": "s", "Type": "ON_DEMAND", "Actions": [{"JobName": "b"}, {"CrawlerName": "c"}]}
    then = {"Name": "t", "Type": "CONDITIONAL", "Actions": [{"JobName": "d"}], "Predicate": {"Conditions": [B, C]}}
    assert downstream([start, then], ("JOB", "b")) == {("JOB", "d")}
    assert downstream([start, then], ("JOB", "d")) == set()
    figures = statistics([start, then], ["SUCCEEDED", ""])
    assert (figures["TotalActions"], figures["SucceededActions"], figures["RunningActions"]) == (3, 1, 1)


def test_next_time_is_utc() -> None:
    assert next_time({"Schedule": "cron(30 0 * * ? *)"}, 0.0) == 1800.0
    assert next_time({"Schedule": "cron(30 0 * * ? 1970)"}, 1800.0) == 1800.0 + 86400
    assert next_time({"Schedule": "cron(0 0 1 1 ? 1971)"}, 400 * 86400.0) is None
