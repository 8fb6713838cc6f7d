"""Queries outlive the endpoint: what was queued or running when it ended is run again by the next one."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from millpond.local.server import Server

SLOW = "SELECT sum(x * y % 7) AS n FROM UNNEST(sequence(1, 12000)) a(x) CROSS JOIN UNNEST(sequence(1, 6000)) b(y)"


def started(data: Path) -> tuple[Server, threading.Thread]:
    server = Server(data)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(120)
    return server, thread


def ended(server: Server, thread: threading.Thread) -> None:
    server.stop()
    thread.join(60)
    assert not thread.is_alive()


def state(athena: Any, query_id: str) -> dict[str, Any]:
    return dict(athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"])


def wait(athena: Any, query_id: str) -> dict[str, Any]:
    while (found := state(athena, query_id))["Status"]["State"] in {"QUEUED", "RUNNING"}:
        time.sleep(0.05)
    return found


def test_queries_are_run_again_after_a_restart(tmp_path: Path) -> None:
    server, thread = started(tmp_path / ".millpond")
    client = server.endpoint.client
    client("s3").create_bucket(Bucket="results")
    client("glue").create_database(DatabaseInput={"Name": "shop"})
    where = {"ResultConfiguration": {"OutputLocation": "s3://results/"}, "QueryExecutionContext": {"Database": "shop"}}
    athena = client("athena")
    slow = [athena.start_query_execution(QueryString=SLOW, **where)["QueryExecutionId"] for _ in range(5)]
    ctas = athena.start_query_execution(QueryString="CREATE TABLE made AS SELECT 1 AS a", **where)["QueryExecutionId"]
    ended(server, thread)

    server, thread = started(tmp_path / ".millpond")
    try:
        athena = server.endpoint.client("athena")
        for query_id in [*slow, ctas]:
            assert wait(athena, query_id)["Status"]["State"] == "SUCCEEDED", state(athena, query_id)["Status"]
        rows = athena.get_query_results(QueryExecutionId=slow[0])["ResultSet"]["Rows"]
        assert [r["Data"][0]["VarCharValue"] for r in rows] == ["n", "185153139"]
        again = athena.start_query_execution(QueryString="SELECT count(*) FROM made", **where)["QueryExecutionId"]
        wait(athena, again)
        rows = athena.get_query_results(QueryExecutionId=again)["ResultSet"]["Rows"]
        assert rows[1]["Data"][0]["VarCharValue"] == "1"
    finally:
        ended(server, thread)


def test_a_write_that_was_published_before_a_kill_is_not_written_twice(tmp_path: Path) -> None:
    server, thread = started(tmp_path / ".millpond")
    client = server.endpoint.client
    client("s3").create_bucket(Bucket="results")
    client("glue").create_database(DatabaseInput={"Name": "shop"})
    where = {"ResultConfiguration": {"OutputLocation": "s3://results/"}, "QueryExecutionContext": {"Database": "shop"}}
    athena = client("athena")
    sql = "CREATE TABLE made WITH (external_location = 's3://results/made/') AS SELECT 1 AS a"
    made = athena.start_query_execution(QueryString=sql, **where)["QueryExecutionId"]
    wait(athena, made)
    sql = "INSERT INTO made VALUES (2)"
    added = athena.start_query_execution(QueryString=sql, **where)["QueryExecutionId"]
    wait(athena, added)
    with server.endpoint.store.write() as db:
        db.execute("UPDATE athena_queries SET state = 'RUNNING'")
    ended(server, thread)

    server, thread = started(tmp_path / ".millpond")
    try:
        athena = server.endpoint.client("athena")
        assert wait(athena, made)["Status"]["State"] == "SUCCEEDED", state(athena, made)["Status"]
        deadline = time.time() + 60
        while time.time() < deadline:
            rows = server.endpoint.store.read("SELECT 1 FROM athena_queries WHERE state = 'RUNNING'")
            if not rows:
                break
            time.sleep(0.05)
        keys = server.endpoint.client("s3").list_objects_v2(Bucket="results", Prefix="made/")["Contents"]
        assert len(keys) == 2
        assert {r["state"] for r in server.endpoint.store.read("SELECT state FROM athena_queries")} == {"SUCCEEDED"}
    finally:
        ended(server, thread)
