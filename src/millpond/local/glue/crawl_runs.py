"""Runs of crawlers: one thread each, their rows, their log; what a kill leaves goes on at the next start.

A crawl reads and then writes what it found, so doing it again is harmless: after kill -9 the same crawl (same
CrawlId) starts over, and whoever polls GetCrawler sees RUNNING, then READY with a LastCrawl that is true.
States: READY -> RUNNING -> STOPPING -> READY. RUNNING is stored before StartCrawler returns.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from millpond.local.glue.announcements import crawl_ended, crawl_started
from millpond.local.glue.catalog import Catalog
from millpond.local.glue.classifiers import Classifiers
from millpond.local.glue.connections import Connections
from millpond.local.glue.crawl.changes import Change, Tally, Writer
from millpond.local.glue.crawl.explain import report
from millpond.local.glue.crawl.run import decide, survey, write
from millpond.local.glue.crawl.survey import CrawlFailed, Settings, Stopped, Survey, World
from millpond.local.glue.crawler_settings import CARRIED_TARGETS, EVENTS, NEW_FOLDERS, policies
from millpond.local.glue.partitions import Partitions
from millpond.local.glue.records import decode, encode
from millpond.local.service import AwsError, Endpoint
from millpond.local.store import StoreUnavailable

log = logging.getLogger(__name__)

LOG_GROUP = "/aws-glue/crawlers"
LISTING = "listing:"  # before a digest among the folders of earlier crawls
LAST_STATUS = {"COMPLETED": "SUCCEEDED", "STOPPED": "CANCELLED", "FAILED": "FAILED"}

SCHEMA = """
CREATE TABLE IF NOT EXISTS glue_crawlers (
    name TEXT PRIMARY KEY, body TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'READY', crawl TEXT,
    last_crawl TEXT, schedule_state TEXT NOT NULL DEFAULT 'NOT_SCHEDULED'
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS glue_crawls (
    id TEXT PRIMARY KEY, crawler TEXT NOT NULL, state TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    error TEXT NOT NULL DEFAULT '', tally TEXT NOT NULL DEFAULT '{}', stop_asked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS glue_crawls_of ON glue_crawls (crawler, started);
CREATE TABLE IF NOT EXISTS glue_crawl_folders (
    crawler TEXT NOT NULL, folder TEXT NOT NULL, PRIMARY KEY (crawler, folder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS glue_crawl_reports (crawler TEXT PRIMARY KEY, report TEXT NOT NULL) WITHOUT ROWID;
"""


class CrawlRuns:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.catalog, self.partitions = Catalog(endpoint), Partitions(endpoint)
        self.connections, self.classifiers = Connections(endpoint), Classifiers(endpoint)
        self._stops: dict[str, threading.Event] = {}  # by crawl id
        self._threads: dict[str, threading.Thread] = {}
        self._closing = threading.Event()

    # -- life

    def recover(self) -> None:
        """Go on with the crawls that a kill or shutdown left."""
        rows = self.endpoint.store.read(
            "SELECT c.name, c.crawl, r.stop_asked FROM glue_crawlers c LEFT JOIN glue_crawls r ON r.id = c.crawl"
            " WHERE c.state <> 'READY'"
        )
        for row in rows:
            if row["stop_asked"]:
                self._finish(row["name"], row["crawl"], "STOPPED", "")
            else:
                self._launch(row["name"], row["crawl"])

    def close(self) -> None:
        """Stop the threads; their crawls stay RUNNING in the store and go on at the next start."""
        self._closing.set()
        for thread in list(self._threads.values()):
            thread.join(timeout=10)

    def start(self, name: str, crawl: str = "") -> str:
        """Begin a crawl: the crawler is RUNNING when this returns. CrawlerRunningException. Returns the CrawlId.

        A `crawl` that has this id was begun before: who asks again (a trigger, after a kill) gets that one.
        """
        crawl = crawl or str(uuid.uuid4())
        with self.endpoint.store.write() as db:
            if db.execute("SELECT 1 FROM glue_crawls WHERE id = ?", (crawl,)).fetchone():
                return crawl
            updated = db.execute(
                "UPDATE glue_crawlers SET state = 'RUNNING', crawl = ? WHERE name = ? AND state = 'READY'",
                (crawl, name),
            )
            if not updated.rowcount:
                raise AwsError("CrawlerRunningException", f"Crawler with name {name} has already started")
            db.execute(
                "INSERT INTO glue_crawls (id, crawler, state, started) VALUES (?, ?, 'RUNNING', ?)",
                (crawl, name, now := self.endpoint.clock.now()),
            )
        crawl_started(self.endpoint, name, now)
        self._launch(name, crawl)
        return crawl

    def stop(self, name: str, crawl: str) -> None:
        """Ask a crawl to stop: STOPPING is stored when this returns."""
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_crawlers SET state = 'STOPPING' WHERE name = ? AND crawl = ? AND state = 'RUNNING'",
                (name, crawl),
            )
            db.execute("UPDATE glue_crawls SET stop_asked = 1 WHERE id = ?", (crawl,))
        if flag := self._stops.get(crawl):
            flag.set()

    def _launch(self, name: str, crawl: str) -> None:
        self._stops[crawl] = threading.Event()
        thread = threading.Thread(target=self._thread, args=(name, crawl), name=f"crawl-{name}", daemon=True)
        self._threads[crawl] = thread
        thread.start()

    def _thread(self, name: str, crawl: str) -> None:
        try:
            self._crawl(name, crawl)
        except Stopped:
            if not self._closing.is_set():
                self._finish(name, crawl, "STOPPED", "")
        except (CrawlFailed, AwsError) as error:
            self._finish(name, crawl, "FAILED", getattr(error, "message", str(error)))
        except Exception as error:  # the crawler must not stay RUNNING, whatever went wrong
            if self._closing.is_set():  # perhaps because everything ends: the next start crawls again
                return
            log.exception("crawl %s of %s", crawl, name)
            self._finish(name, crawl, "FAILED", f"Internal Service Exception: {type(error).__name__}: {error}")
        finally:
            self._stops.pop(crawl, None)
            self._threads.pop(crawl, None)

    # -- one crawl

    def _crawl(self, name: str, crawl: str) -> None:
        row = self.endpoint.store.one("SELECT body FROM glue_crawlers WHERE name = ?", (name,))
        if row is None:
            return
        body = decode(row["body"])
        lines = _Log(self.endpoint, name, crawl)
        world = self._world(self._checker(crawl), lines)
        settings, threshold = self._settings(body, crawl)
        lines("BENCHMARK", f"Running Start Crawl for Crawler {name}")
        change = body["SchemaChangePolicy"]
        lines("INFO", f"Crawler configured with SchemaChangePolicy {encode(change)}.")
        for gone in (one for one in body["Classifiers"] if self.classifiers.find(one) is None):
            lines("WARN", f"The classifier {gone} does not exist any more: the crawl goes on without it")
        found, changes, error = Survey(), [], ""
        try:
            changes = self._decided(settings, found, world, threshold)
            lines("BENCHMARK", f"Classification complete, writing results to database {settings.database}")
            self._write(changes, self._writer(body, settings), settings, world, crawl)
            lines("BENCHMARK", "Finished writing to Catalog")
        except Exception as failed:
            error = "the crawl was stopped" if isinstance(failed, Stopped) else getattr(failed, "message", str(failed))
            raise
        finally:
            self._keep(name, report(settings, found, changes, dry_run=False, error=error))
        self._remember_crawl(name, found, settings)
        self._finish(name, crawl, "COMPLETED", "")

    def _decided(self, settings: Settings, found: Survey, world: World, threshold: int) -> list[Change]:
        """Everything up to the writing."""
        survey(settings, world, found)
        if threshold and len(found.entries) > threshold:
            raise CrawlFailed(
                f"The number of tables detected by crawler: {len(found.entries)} is greater than the table threshold"
                f" value provided: {threshold}"
            )
        return decide(settings, found, self.catalog, world, int(self.endpoint.clock.now() * 1000))

    def explained(self, name: str, *, dry_run: bool) -> dict[str, Any] | None:
        """The report of the last crawl, None before the first; or of one that is made now and writes nothing."""
        if not dry_run:
            row = self.endpoint.store.one("SELECT report FROM glue_crawl_reports WHERE crawler = ?", (name,))
            return decode(row["report"]) if row else None
        row = self.endpoint.store.one("SELECT body FROM glue_crawlers WHERE name = ?", (name,))
        if row is None:
            return None
        settings, threshold = self._settings(decode(row["body"]), "")
        found, changes, error = Survey(), [], ""
        world = self._world(self._open, lambda level, text: None)
        try:
            changes = self._decided(settings, found, world, threshold)
        except (CrawlFailed, AwsError) as failed:
            error = failed.message if isinstance(failed, AwsError) else str(failed)
        return report(settings, found, changes, dry_run=True, error=error)

    def _open(self) -> None:
        if self._closing.is_set():
            raise CrawlFailed("the endpoint is shutting down")

    def _keep(self, name: str, told: Mapping[str, Any]) -> None:
        with self.endpoint.store.write() as db:
            db.execute("INSERT OR REPLACE INTO glue_crawl_reports VALUES (?, ?)", (name, encode(told)))

    def _world(self, check: Callable[[], None], log: Callable[[str, str], None]) -> World:
        return World(
            self._objects, self.connections.resolve, self.catalog.table, check, log, self.endpoint.client, self._put
        )

    def _writer(self, body: Mapping[str, Any], settings: Settings) -> Writer:
        role = body["Role"].rpartition("/")[2]
        arn = f"arn:aws:sts::{self.endpoint.account}:assumed-role/{role}/AWS-Crawler"
        return Writer(self.catalog, self.partitions, arn, settings.policies)

    def _write(self, changes: list[Change], writer: Writer, settings: Settings, world: World, crawl: str) -> None:
        if not settings.targets["CatalogTargets"]:
            self._database(settings.database, world)
        now_ms = int(self.endpoint.clock.now() * 1000)
        tally = self._tally(crawl)
        try:
            write(changes, writer, world, tally, now_ms=now_ms, written=lambda: self._remember(crawl, tally))
        finally:
            self._remember(crawl, tally)

    def _settings(self, body: Mapping[str, Any], crawl: str) -> tuple[Settings, int]:
        change, grouping, threshold = policies(body)
        recrawl = body["RecrawlPolicy"]["RecrawlBehavior"]
        rows = self.endpoint.store.read("SELECT folder FROM glue_crawl_folders WHERE crawler = ?", (body["Name"],))
        kept = frozenset(row["folder"] for row in rows)
        events = next((one.removeprefix(LISTING) for one in kept if one.startswith(LISTING)), "")
        settings = Settings(
            name=body["Name"],
            run=crawl,
            database=body.get("DatabaseName") or "default",
            prefix=body.get("TablePrefix") or "",
            targets={kind: body["Targets"].get(kind) or [] for kind in CARRIED_TARGETS},
            policies=change,
            grouping=grouping,
            classifiers=self.classifiers.rules(body["Classifiers"]),
            seen=kept if recrawl == NEW_FOLDERS else frozenset(),
            events=events if recrawl == EVENTS else None,
        )
        return settings, threshold

    def _database(self, name: str, world: World) -> None:
        """AWS's crawler makes the database that it is to write to (AWS docs)."""
        with self.endpoint.store.write():
            if self.catalog.has_database(name):
                return
            self.catalog.make_database({"Name": name})
        world.log("INFO", f"Created database {name}")

    def _checker(self, crawl: str) -> Callable[[], None]:
        flag = self._stops[crawl]

        def check() -> None:
            if flag.is_set() or self._closing.is_set():
                raise Stopped

        return check

    def _objects(self, bucket: str, prefix: str) -> Iterable[Any]:
        service: Any = self.endpoint.services.get("s3")
        if service is not None:
            return service.objects(bucket, prefix)  # type: ignore[no-any-return]
        return walked(self.endpoint.buckets, bucket, prefix)

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        if self.endpoint.services.get("s3") is not None:
            self.endpoint.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
            return
        path = self.endpoint.buckets / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    # -- rows

    def _tally(self, crawl: str) -> Tally:
        row = self.endpoint.store.one("SELECT tally FROM glue_crawls WHERE id = ?", (crawl,))
        return Tally.read(decode(row["tally"]) if row else {})

    def _remember(self, crawl: str, tally: Tally) -> None:
        text = encode(tally.document())
        with self.endpoint.store.write() as db:
            db.execute("UPDATE glue_crawls SET tally = ? WHERE id = ?", (text, crawl))

    def _remember_crawl(self, name: str, found: Survey, settings: Settings) -> None:
        """What the next crawl wants to know of this one: folders that were read, or the digest of the listing."""
        kept = found.folders if settings.policies.partial else set()
        with self.endpoint.store.write() as db:
            if settings.events is not None:
                db.execute("DELETE FROM glue_crawl_folders WHERE crawler = ?", (name,))
                kept = {LISTING + found.listing}
            db.executemany("INSERT OR IGNORE INTO glue_crawl_folders VALUES (?, ?)", [(name, one) for one in kept])

    def _finish(self, name: str, crawl: str, state: str, error: str) -> None:
        """End a crawl; while that cannot be written, again and again. One that we leave starts over."""
        while True:
            try:
                self._end(name, crawl, state, error)
                return
            except StoreUnavailable as failure:
                log.warning("the end of crawl %s of %s waits: %s", crawl, name, failure.message)
                if self._closing.wait(1.0):
                    return

    def _end(self, name: str, crawl: str, state: str, error: str) -> None:
        lines = _Log(self.endpoint, name, crawl)
        with self.endpoint.store.write() as db:
            db.execute("UPDATE glue_crawlers SET state = 'STOPPING' WHERE name = ? AND crawl = ?", (name, crawl))
        if error:
            lines("ERROR", error)
        lines("BENCHMARK", "Crawler has finished running and is in state READY")
        row = self.endpoint.store.one("SELECT started FROM glue_crawls WHERE id = ?", (crawl,))
        started: float = row["started"] if row else self.endpoint.clock.now()
        last = {
            "Status": LAST_STATUS[state],
            **({"ErrorMessage": error[:2048]} if error else {}),
            "LogGroup": LOG_GROUP,
            "LogStream": name,
            "MessagePrefix": crawl,
            "StartTime": started,
        }
        with self.endpoint.store.write() as db:
            db.execute(
                "UPDATE glue_crawls SET state = ?, ended = ?, error = ? WHERE id = ?",
                (state, now := self.endpoint.clock.now(), error[:2048], crawl),
            )
            db.execute(
                "UPDATE glue_crawlers SET state = 'READY', last_crawl = ? WHERE name = ? AND crawl = ?",
                (encode(last), name, crawl),
            )
        counts = _counts(self._tally(crawl))
        crawl_ended(self.endpoint, name, state, error[:2048], (started, now), counts)


def _counts(tally: Tally) -> dict[str, int]:
    """What was written, as the event of a crawl counts it."""
    parts = tally.partitions
    return {
        "tablesCreated": tally.count("ADD"),
        "tablesUpdated": tally.count("UPDATE", "DEPRECATE"),
        "tablesDeleted": tally.count("DELETE"),
        "partitionsCreated": parts["ADD"],
        "partitionsUpdated": parts["UPDATE"] + parts["DEPRECATE"],
        "partitionsDeleted": parts["DELETE"],
    }


class _Log:
    """Lines as AWS's crawlers write them: `[CrawlId] LEVEL : text`."""

    def __init__(self, endpoint: Endpoint, crawler: str, crawl: str) -> None:
        self.endpoint, self.crawler, self.crawl = endpoint, crawler, crawl

    def __call__(self, level: str, text: str) -> None:
        line = f"[{self.crawl}] {level} : {text}"
        service: Any = self.endpoint.services.get("logs")
        if service is None:
            log.info("%s %s", self.crawler, line)
            return
        service.write(LOG_GROUP, self.crawler, [(int(time.time() * 1000), line)])


def walked(buckets: Path, bucket: str, prefix: str) -> Iterator[Any]:
    """The objects of a bucket's folder without the S3 room (in tests of this room): key, size, path."""
    root = buckets / bucket
    if not root.is_dir():
        raise AwsError("NoSuchBucket", "The specified bucket does not exist", status=404)
    for path in sorted(root.rglob("*")):
        key = path.relative_to(root).as_posix()
        if path.is_file() and not path.is_symlink() and key.startswith(prefix):
            found = path.stat()
            yield SimpleNamespace(key=key, size=found.st_size, mtime_ns=found.st_mtime_ns, path=path)
