"""A crawl explained: why tables, partitions and types are what they are, before writing and after."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from millpond.cli.crawl import lines
from millpond.local.glue import Glue
from millpond.local.service import AwsError, Endpoint

Glues = Callable[..., dict[str, Any]]

FILES = {
    "raw/sales/year=2023/a.csv": "id,city,amount\n1,Berlin,10\n2,Paris,12\n",
    "raw/sales/year=2024/a.csv": "id,city,amount\n3,Rome,10.5\n4,Oslo,12\n",
    "raw/sales/year=2024/b.csv": "id,city,amount\n3,Rome,\n4,Oslo,\n",
    "raw/sales/_SUCCESS": "x",
    "raw/events/a/x.json": '{"a": 1, "b": "x"}',
    "raw/events/b/x.json": '{"c": 1, "d": "x"}',
    "raw/bad/x.csv.gz": "\x1f\x8b",
}


@pytest.fixture
def crawlers(bare_endpoint: Endpoint, glue_service: Glue, glue: Glues) -> Any:
    for key, text in FILES.items():
        path = bare_endpoint.buckets / "lake" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    target = {"Path": "s3://lake/raw/", "Exclusions": ["none/**"]}
    glue("CreateCrawler", Name="c", Role="r", DatabaseName="db", Targets={"S3Targets": [target]})
    yield glue_service.parts["crawlers"]
    glue_service.stop()


def crawl(glue: Glues) -> None:
    glue("StartCrawler", Name="c")
    deadline = time.monotonic() + 120
    while glue("GetCrawler", Name="c")["Crawler"]["State"] != "READY":
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_dry_run_writes_nothing_and_tells_the_same_as_the_crawl(crawlers: Any, glue: Glues) -> None:
    with pytest.raises(AwsError, match="has not run yet"):
        crawlers.explain("c", dry_run=False)
    before = crawlers.explain("c", dry_run=True)
    assert glue("GetDatabases")["DatabaseList"] == [] and glue("ListCrawls", CrawlerName="c")["Crawls"] == []
    assert {table["said"] for table in before["tables"]} == {"would be created"}
    crawl(glue)
    after = crawlers.explain("c", dry_run=False)
    assert after["crawl"] and not after["dryRun"] and {table["said"] for table in after["tables"]} == {"created"}
    plain = [{k: v for k, v in table.items() if k != "said"} for table in before["tables"]]
    assert [{k: v for k, v in table.items() if k != "said"} for table in after["tables"]] == plain


def test_every_table_key_and_column_has_a_reason(crawlers: Any) -> None:
    told = crawlers.explain("c", dry_run=True)
    tables = {table["name"]: table for table in told["tables"]}
    assert sorted(tables) == ["a", "b", "sales"]
    sales = tables["sales"]
    assert "2 folders below raw/sales/ are similar" in sales["because"]
    assert sales["partitionsBecause"] == "year from the names of k=v folders (year=2023/)"
    assert sales["partitions"]["count"] == 2
    columns = {column["name"]: column["because"] for column in sales["columns"]}
    assert columns["id"] == "bigint in 3 files" and columns["city"] == "string in 3 files"
    assert "bigint in 1 (raw/sales/year=2023/a.csv)" in columns["amount"] and "no value in 1" in columns["amount"]
    assert columns["amount"].endswith("double holds all")
    assert "(a int, b string) and (c int, d string) are not common" in tables["a"]["because"]
    (look,) = told["targets"]
    assert (look["listed"], look["read"]) == (7, 6)
    assert [(one["count"], one["examples"]) for one in look["passedOver"]] == [(1, ["raw/sales/_SUCCESS"])]
    assert [(one["level"], one["examples"]) for one in look["odd"]] == [("ERROR", ["raw/bad/x.csv.gz"])]


def test_an_update_says_what_changes(crawlers: Any, glue: Glues, bare_endpoint: Endpoint) -> None:
    crawl(glue)
    (bare_endpoint.buckets / "lake/raw/events/a/x.json").write_text('{"a": "1", "e": 1.5}')
    told = crawlers.explain("c", dry_run=True)
    (changed,) = [table for table in told["tables"] if table["action"] == "UPDATE"]
    assert changed["changes"] == ["+ e double", "- b string", "~ a int -> string", "~ SerdeInfo"]
    shown = "\n".join(lines(told))
    assert "a  would be updated  json  s3://lake/raw/events/a/" in shown and "- b string" in shown


def test_a_crawl_that_fails_or_finds_nothing_says_why(crawlers: Any, glue: Glues) -> None:
    glue("UpdateCrawler", Name="c", Targets={"S3Targets": [{"Path": "s3://nowhere/x/"}]})
    assert "nowhere" in crawlers.explain("c", dry_run=True)["error"]
    crawl(glue)
    told = crawlers.explain("c", dry_run=False)
    assert "cannot be listed" in told["error"] and "failed: " in "\n".join(lines(told))
    glue("UpdateCrawler", Name="c", Targets={"S3Targets": [{"Path": "s3://lake/empty/"}]})
    told = crawlers.explain("c", dry_run=True)
    assert told["notes"] == ["no table was found"] and "there is no object" in told["targets"][0]["notes"][0]


def test_a_deleted_crawler_has_no_report(crawlers: Any, glue: Glues) -> None:
    crawl(glue)
    glue("DeleteCrawler", Name="c")
    with pytest.raises(AwsError, match="does not exist"):
        crawlers.explain("c", dry_run=False)
