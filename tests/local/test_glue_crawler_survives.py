"""kill -9 of the endpoint while a crawler runs: the same crawl goes on, and a waiting loop sees a true end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_process import Process, until

FILES = 300
# An endpoint whose crawls stand still in the middle of their listing: a quick machine would be done before the kill.
HELD = """
import sys, threading
from millpond.local.__main__ import main
from millpond.local.glue.crawl_runs import CrawlRuns

listed = CrawlRuns._objects

def objects(runs, bucket, prefix):
    for number, found in enumerate(listed(runs, bucket, prefix)):
        if number == 100:
            threading.Event().wait()
        yield found

CrawlRuns._objects = objects
sys.exit(main())
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []
    (tmp_path / "data").mkdir(mode=0o700)

    def run(program: str = "") -> Process:
        started.append(Process(tmp_path / "data", program))
        return started[-1]

    yield run
    for one in started:
        one.kill()


def test_a_killed_crawl_goes_on(start: Callable[..., Process], tmp_path: Path) -> None:
    first = start(HELD)
    first.client("s3").create_bucket(Bucket="lake")
    for n in range(FILES):  # an object is a file: faster than putting each
        path = tmp_path / "data" / "s3" / "lake" / "events" / f"day={n % 10}" / f"{n}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"id": {n}, "name": "n{n}"}}\n')
    glue = first.client("glue")
    glue.create_crawler(
        Name="c", Role="arn:aws:iam::000000000000:role/r", DatabaseName="d",
        Targets={"S3Targets": [{"Path": "s3://lake/events/"}]},
    )  # fmt: skip
    glue.start_crawler(Name="c")
    crawl = glue.list_crawls(CrawlerName="c")["Crawls"][0]["CrawlId"]
    assert glue.get_crawler(Name="c")["Crawler"]["State"] == "RUNNING"
    first.kill()

    glue = start().client("glue")
    crawler = until(lambda: (found := glue.get_crawler(Name="c")["Crawler"])["State"] == "READY" and found)
    assert crawler["LastCrawl"]["Status"] == "SUCCEEDED"
    assert [run["CrawlId"] for run in glue.list_crawls(CrawlerName="c")["Crawls"]] == [crawl]
    (table,) = glue.get_tables(DatabaseName="d")["TableList"]
    assert table["Parameters"]["objectCount"] == str(FILES)
    assert len(glue.get_partitions(DatabaseName="d", TableName="events")["Partitions"]) == 10


def test_a_stop_that_was_asked_for_counts_after_a_kill(start: Callable[..., Process], tmp_path: Path) -> None:
    first = start(HELD)
    glue = first.client("glue")
    first.client("s3").create_bucket(Bucket="lake")
    for n in range(FILES):
        path = tmp_path / "data" / "s3" / "lake" / "events" / f"{n}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"id": 1}\n')
    glue.create_crawler(
        Name="c", Role="arn:aws:iam::000000000000:role/r", DatabaseName="d",
        Targets={"S3Targets": [{"Path": "s3://lake/"}]},
    )  # fmt: skip
    glue.start_crawler(Name="c")
    glue.stop_crawler(Name="c")
    assert glue.get_crawler(Name="c")["Crawler"]["State"] == "STOPPING"
    first.kill()
    glue = start().client("glue")
    crawler = until(lambda: (found := glue.get_crawler(Name="c")["Crawler"])["State"] == "READY" and found)
    assert crawler["LastCrawl"]["Status"] == "CANCELLED"
