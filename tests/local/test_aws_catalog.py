"""The tooling's view of tables and SQL, through its own clients against the endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from millpond.aws import catalog
from millpond.aws.target import Target
from millpond.cli import render
from millpond.errors import CloudError, MillpondError
from millpond.local.service import Endpoint


@pytest.fixture
def target(endpoint: Endpoint) -> Target:
    return Target("local", endpoint.region, endpoint.url, endpoint.access_key, endpoint.secret_key)


def test_sql_makes_its_own_place_for_results_and_reads_everything(target: Target) -> None:
    sql = "SELECT n, CASE WHEN n > 1 THEN 'x' END AS s FROM UNNEST(sequence(1, 1200)) AS v (n) ORDER BY 1"
    answer = catalog.sql(target, sql)
    assert answer.columns == ("n", "s") and answer.types == ("bigint", "varchar")
    assert len(answer.rows) == 1200 and answer.rows[:2] == (("1", None), ("2", "x"))
    (bucket,) = [b["Name"] for b in target.client("s3").list_buckets()["Buckets"]]
    assert bucket.startswith("millpond-query-results-")


def test_a_failed_query_says_why(target: Target) -> None:
    with pytest.raises(CloudError, match="COLUMN_NOT_FOUND: line 1:8: Column 'nope'") as caught:
        catalog.sql(target, "SELECT nope FROM (VALUES 1) AS v (n)")
    assert caught.value.exit_code == 3


def test_tables_and_how_they_are_shown(target: Target) -> None:
    catalog.sql(target, "CREATE DATABASE shop")
    made = "SELECT 1 AS id, DATE '2026-01-01' AS day"
    catalog.sql(target, f"CREATE TABLE shop.made WITH (partitioned_by = ARRAY['day']) AS {made}")
    (table,) = catalog.tables(target)
    assert (table.database, table.name, table.columns) == ("shop", "made", (("id", "int"),))
    assert table.partition_keys == (("day", "date"),) and table.location.startswith("s3://millpond-query-results-")
    shown = render.table(catalog.sql(target, "SELECT id, day, 'a' AS t FROM shop.made"))
    assert shown == "id  day         t\n--  ----------  -\n 1  2026-01-01  a"
    assert catalog.sql(target, "SHOW TABLES IN shop").rows == (("made",),)


def test_a_local_target_is_on_this_machine(tmp_path: Path) -> None:
    with pytest.raises(MillpondError, match="must be on this machine"):
        Target("local", "us-east-1", "http://example.com:4566", "a", "b").client("s3")
    with pytest.raises(CloudError, match="no local AWS is up"):
        Target.local(tmp_path)
    (tmp_path / "endpoint.json").write_text(json.dumps({"port": 1}))
    (tmp_path / "credentials.json").write_text(json.dumps({"access_key": "a", "secret_key": "b"}))
    assert Target.local(tmp_path).endpoint_url == "http://127.0.0.1:1"
