"""The example project, end to end: first run, new rows only, a broken source, a repaired one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest_journey import Journey

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(1200)]


def rows_read(run: dict[str, Any]) -> dict[str, int]:
    """Rows that each ingest job run read, by table, from the run's steps."""
    return {step["label"]: step["rows"]["read"] for step in run["steps"] if step["name"] == "Ingest table"}


def test_first_run_reconciles(journey: Journey) -> None:
    run = journey.json("run")
    assert run["status"] == "SUCCEEDED", run
    assert run["executionArn"].startswith("arn:aws:states:us-east-1:000000000000:execution:")
    assert {"name", "status", "seconds", "error", "log"} <= set(run["steps"][0])
    assert run["output"]["clusters"] >= 2
    journey.reconcile()
    partitions = journey.boto3("glue").get_partitions(DatabaseName="shop_raw", TableName="orders")["Partitions"]
    assert len(partitions) >= 24


def test_second_run_reads_new_rows_only(journey: Journey) -> None:
    added = journey.shop("add-day")
    assert added["sales.orders"] > 0
    run = journey.json("run")
    assert run["status"] == "SUCCEEDED", run
    read = rows_read(run)
    assert read["orders"] == added["sales.orders"]
    assert read["order_items"] == added["sales.order_items"]
    assert read["customers"] == journey.rows("SELECT count(*) FROM crm.customers")[0][0]
    journey.reconcile()


def test_renamed_column_fails_at_the_line(journey: Journey) -> None:
    journey.shop("break")
    failed = journey.millpond("run", code=1)
    output = failed.stdout + failed.stderr
    assert re.search(r"jobs/join\.py:\d+", output), output
    assert re.search(r"pipeline\.py:\d+", output), output
    assert "Join" in output
    assert "valid_from" in output
    message = journey.json("outbox")["messages"][-1]
    assert "Join" in message["subject"]
    assert "valid_from" in message["message"]
    shown = journey.millpond("show", "last").stdout
    assert re.search(r"jobs/join\.py:\d+", shown), shown
    assert "valid_from" in journey.millpond("logs", "last", "Join").stdout


def test_renamed_column_of_a_bookmarked_table_is_noticed(journey: Journey) -> None:
    """No new row has come, so the raw table is as it was: the join must not go on with it."""
    journey.shop("mend")
    journey.execute("ALTER TABLE sales.orders RENAME COLUMN channel TO sales_channel")
    failed = journey.json("run", code=1)
    step = next(step for step in failed["steps"] if step["status"] == "FAILED" and step["name"] == "Join")
    assert "no column channel any more" in step["cause"]
    assert re.search(r"jobs/join\.py:\d+", journey.millpond("show", "last").stdout)
    journey.execute("ALTER TABLE sales.orders RENAME COLUMN sales_channel TO channel")


def test_repaired_source_runs_again(journey: Journey) -> None:
    assert journey.json("run")["status"] == "SUCCEEDED"
    journey.reconcile()
