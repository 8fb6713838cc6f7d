"""Crawlers: their API, state, history, metrics and schedules. What a crawl does is in crawl/, its thread in crawl_runs.

Limits: MongoDB and Hudi targets are refused when they are named.
Schedules (`cron(...)`) start crawls while the endpoint runs; a time that passed while it was down is not made up for.
"""

from __future__ import annotations

import logging
import operator
import sqlite3
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from millpond.local.glue.crawl.changes import Tally
from millpond.local.glue.crawl_runs import LOG_GROUP, SCHEMA, CrawlRuns
from millpond.local.glue.crawler_settings import check, invalid
from millpond.local.glue.records import after, decode, encode, page, token
from millpond.local.glue.tags import drop_tags, write_tags
from millpond.local.schedules import ScheduleError, Watch, parse
from millpond.local.service import AwsError, Call, Endpoint, Operation

log = logging.getLogger(__name__)

PAGE = 100
CRAWLS_PAGE = 20
SUMMARY = 255
OPERATORS = {
    "GT": operator.gt,
    "GE": operator.ge,
    "LT": operator.lt,
    "LE": operator.le,
    "EQ": operator.eq,
    "NE": operator.ne,
}
# FieldName of a CrawlsFilter -> the column, and how its value is read. Times are epoch milliseconds.
FILTERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "CRAWL_ID": ("id", str),
    "STATE": ("state", str),
    "START_TIME": ("started", lambda text: float(text) / 1000),
    "END_TIME": ("ended", lambda text: float(text) / 1000),
    "DPU_HOUR": ("dpu", float),
}


class Crawlers:
    """See the module's docstring."""

    schema = SCHEMA

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.runs = CrawlRuns(endpoint)
        self.tagged = {"crawler": lambda name: self._row(name) is not None}
        self._watch: Watch[tuple[str, str]] = Watch()  # a crawler's name and schedule

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateCrawler": self.create,
            "GetCrawler": self.get,
            "GetCrawlers": self.list,
            "ListCrawlers": self.names,
            "BatchGetCrawlers": self.batch_get,
            "UpdateCrawler": self.update,
            "DeleteCrawler": self.delete,
            "StartCrawler": self.start_crawler,
            "StopCrawler": self.stop_crawler,
            "GetCrawlerMetrics": self.metrics,
            "ListCrawls": self.crawls,
            "UpdateCrawlerSchedule": self.update_schedule,
            "StartCrawlerSchedule": self.start_schedule,
            "StopCrawlerSchedule": self.stop_schedule,
        }

    def start(self) -> None:
        self.runs.recover()
        self.endpoint.clockwork.serve("crawlers", self._round)

    def stop(self) -> None:
        self.runs.close()

    # -- the crawler

    def _row(self, name: str) -> sqlite3.Row | None:
        return self.endpoint.store.one("SELECT * FROM glue_crawlers WHERE name = ?", (name,))

    def _existing(self, name: str) -> sqlite3.Row:
        row = self._row(name)
        if row is None:
            raise AwsError("EntityNotFoundException", f"Crawler with name {name} does not exist")
        return row

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        shown: dict[str, Any] = decode(row["body"]) | {"State": row["state"], "CrawlElapsedTime": 0}
        expression = shown.pop("Schedule", None)
        if expression:
            shown["Schedule"] = {"ScheduleExpression": expression, "State": row["schedule_state"]}
        if row["last_crawl"]:
            shown["LastCrawl"] = decode(row["last_crawl"])
        if row["state"] != "READY" and row["crawl"]:
            crawl = self.endpoint.store.one("SELECT started FROM glue_crawls WHERE id = ?", (row["crawl"],))
            if crawl:
                shown["CrawlElapsedTime"] = int(1000 * (self.endpoint.clock.now() - crawl["started"]))
        return shown

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        if not name.strip() or "/" in name:
            raise invalid(f"'{name}' is not a valid name for a crawler.")
        body = check({k: v for k, v in params.items() if k not in ("Tags", "CatalogId")})
        self._check_names(body)
        now = self.endpoint.clock.now()
        body |= {"CreationTime": now, "LastUpdated": now, "Version": 1}
        state = "SCHEDULED" if _schedule(body) else "NOT_SCHEDULED"
        with self.endpoint.store.write() as db:
            try:
                db.execute(
                    "INSERT INTO glue_crawlers (name, body, schedule_state) VALUES (?, ?, ?)",
                    (name, encode(body), state),
                )
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Crawler with name {name} already exists") from None
            write_tags(db, self.endpoint.arn("glue", f"crawler/{name}"), params.get("Tags"))
        self._wake()
        return {}

    def _check_names(self, body: Mapping[str, Any]) -> None:
        for name in body["Classifiers"]:
            if self.runs.classifiers.find(name) is None:
                raise invalid(f"Classifier {name} does not exist.")

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Crawler": self._shown(self._existing(params["Name"]))}

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        shown, more = self._page(params)
        return {"Crawlers": [self._shown(row) for row in shown]} | more

    def _page(self, params: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read("SELECT * FROM glue_crawlers WHERE name > ? ORDER BY name", (last,))
        if tags := params.get("Tags"):
            rows = [row for row in rows if self._tagged(row["name"], tags)]
        return page(rows[: size + 1], size)

    def _tagged(self, name: str, tags: Mapping[str, str]) -> bool:
        arn = self.endpoint.arn("glue", f"crawler/{name}")
        rows = self.endpoint.store.read("SELECT key, value FROM glue_tags WHERE arn = ?", (arn,))
        return tags.items() <= {row["key"]: row["value"] for row in rows}.items()

    def names(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        shown, more = self._page(params)
        return {"CrawlerNames": [row["name"] for row in shown]} | more

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = {name: self._row(name) for name in params["CrawlerNames"]}
        return {
            "Crawlers": [self._shown(row) for row in rows.values() if row],
            "CrawlersNotFound": [name for name, row in rows.items() if not row],
        }

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.endpoint.store.write() as db:
            row = self._idle(params["Name"])
            before = decode(row["body"])
            body = check({**before, **{k: v for k, v in params.items() if k != "CatalogId"}})
            self._check_names(body)
            body |= {"LastUpdated": self.endpoint.clock.now(), "Version": before["Version"] + 1}
            state = row["schedule_state"]
            if "Schedule" in params:
                state = "SCHEDULED" if _schedule(body) else "NOT_SCHEDULED"
            db.execute(
                "UPDATE glue_crawlers SET body = ?, schedule_state = ? WHERE name = ?",
                (encode(body), state, params["Name"]),
            )
        self._wake()
        return {}

    def _idle(self, name: str) -> sqlite3.Row:
        row = self._existing(name)
        if row["state"] != "READY":
            raise AwsError("CrawlerRunningException", f"Crawler with name {name} is running")
        return row

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        with self.endpoint.store.write() as db:
            self._idle(name)
            db.execute("DELETE FROM glue_crawlers WHERE name = ?", (name,))
            db.execute("DELETE FROM glue_crawls WHERE crawler = ?", (name,))
            db.execute("DELETE FROM glue_crawl_folders WHERE crawler = ?", (name,))
            db.execute("DELETE FROM glue_crawl_reports WHERE crawler = ?", (name,))
            drop_tags(db, self.endpoint.arn("glue", f"crawler/{name}"))
        return {}

    # -- crawls

    def explain(self, name: str, *, dry_run: bool) -> dict[str, Any]:
        """What the last crawl found and why, or what one would find now: see crawl/explain.py.

        EntityNotFoundException for a crawler that does not exist or, without `dry_run`, has never run.
        """
        self._existing(name)
        told = self.runs.explained(name, dry_run=dry_run)
        if told is None:
            raise AwsError("EntityNotFoundException", f"Crawler with name {name} has not run yet")
        return told

    def start_crawler(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self._existing(params["Name"])
        self.runs.start(params["Name"])
        return {}

    def stop_crawler(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        row = self._existing(name)
        if row["state"] == "READY":
            raise AwsError("CrawlerNotRunningException", f"Crawler with name {name} isn't running")
        if row["state"] == "STOPPING":
            raise AwsError("CrawlerStoppingException", f"Crawler with name {name} is stopping")
        self.runs.stop(name, row["crawl"])
        return {}

    def metrics(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        shown, more = self._page(params)
        wanted = params.get("CrawlerNameList")
        if wanted:
            found = {name: self._row(name) for name in dict.fromkeys(wanted)}
            shown, more = [row for row in found.values() if row], {}
        return {"CrawlerMetricsList": [self._metrics(row) for row in shown]} | more

    def _metrics(self, row: sqlite3.Row) -> dict[str, Any]:
        crawls = self.endpoint.store.read(
            "SELECT state, started, ended, tally FROM glue_crawls WHERE crawler = ? ORDER BY started DESC LIMIT 100",
            (row["name"],),
        )
        lengths = [crawl["ended"] - crawl["started"] for crawl in crawls if crawl["ended"]]
        median = statistics.median(lengths) if lengths else 0.0
        running = row["state"] != "READY" and bool(crawls)
        elapsed = self.endpoint.clock.now() - crawls[0]["started"] if running else 0.0
        tally = Tally.read(decode(crawls[0]["tally"]) if crawls else {})
        return {
            "CrawlerName": row["name"],
            # Greater than 0 while it runs: users' flows take 0 for "done".
            "TimeLeftSeconds": max(1.0, median - elapsed) if running else 0.0,
            "StillEstimating": running and not lengths,
            "LastRuntimeSeconds": lengths[0] if lengths else 0.0,
            "MedianRuntimeSeconds": median,
            "TablesCreated": tally.count("ADD"),
            "TablesUpdated": tally.count("UPDATE", "DEPRECATE"),
            "TablesDeleted": tally.count("DELETE"),
        }

    def crawls(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["CrawlerName"]
        self._existing(name)
        size = params.get("MaxResults") or CRAWLS_PAGE
        last = after(params.get("NextToken"))
        rows = self.endpoint.store.read(
            "SELECT * FROM glue_crawls WHERE crawler = ? ORDER BY started DESC, id", (name,)
        )
        if last is not None:
            ids = [row["id"] for row in rows]
            rows = rows[ids.index(last[0]) + 1 :] if last[0] in ids else []
        found = [row for row in rows if all(_passes(row, rule) for rule in params.get("Filters") or [])]
        more = {"NextToken": token(found[size - 1]["id"])} if len(found) > size else {}
        return {"Crawls": [_crawl(row) for row in found[:size]]} | more

    # -- schedules

    def update_schedule(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["CrawlerName"]
        with self.endpoint.store.write() as db:
            body = decode(self._existing(name)["body"]) | {"Schedule": params.get("Schedule") or ""}
            state = "SCHEDULED" if _schedule(body) else "NOT_SCHEDULED"
            body |= {"LastUpdated": self.endpoint.clock.now(), "Version": body["Version"] + 1}
            db.execute(
                "UPDATE glue_crawlers SET body = ?, schedule_state = ? WHERE name = ?", (encode(body), state, name)
            )
        self._wake()
        return {}

    def start_schedule(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._existing(params["CrawlerName"])
        if not decode(row["body"]).get("Schedule"):
            raise AwsError("NoScheduleException", f"Crawler with name {row['name']} has no schedule")
        if row["schedule_state"] == "SCHEDULED":
            raise AwsError("SchedulerRunningException", f"The schedule of crawler {row['name']} is already running")
        self._set_schedule(row["name"], "SCHEDULED")
        return {}

    def stop_schedule(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._existing(params["CrawlerName"])
        if row["schedule_state"] != "SCHEDULED":
            raise AwsError("SchedulerNotRunningException", f"The schedule of crawler {row['name']} is not running")
        self._set_schedule(row["name"], "NOT_SCHEDULED")
        return {}

    def _set_schedule(self, name: str, state: str) -> None:
        with self.endpoint.store.write() as db:
            db.execute("UPDATE glue_crawlers SET schedule_state = ? WHERE name = ?", (state, name))
        self._wake()

    def _wake(self) -> None:
        self.endpoint.clockwork.wake("crawlers")

    def _round(self) -> float | None:
        """Start what is due. Seconds until the next time, None: there is none."""
        rows = self.endpoint.store.read("SELECT name, body FROM glue_crawlers WHERE schedule_state = 'SCHEDULED'")
        schedules = {
            (row["name"], text): parse(text).following for row in rows if (text := decode(row["body"])["Schedule"])
        }
        due, coming = self._watch.due(schedules, self.endpoint.clockwork.now())
        for name, _ in due:
            self._start_due(name)
        return None if coming is None else self.endpoint.clockwork.until(coming)

    def _start_due(self, name: str) -> None:
        try:
            self.runs.start(name)
        except AwsError as error:
            if error.code != "CrawlerRunningException":  # a crawl that still runs is this time's crawl
                log.warning("crawler %s did not start at its time: %s", name, error.message)


def _schedule(body: Mapping[str, Any]) -> bool:
    """Whether the crawler has a schedule; InvalidInputException when it is not valid."""
    expression = body.get("Schedule")
    if not expression:
        return False
    try:
        parse(expression)
    except ScheduleError as error:
        raise invalid(f"Invalid schedule: {error}.") from None
    return True


def _passes(row: sqlite3.Row, rule: Mapping[str, str]) -> bool:
    column, read = FILTERS.get(rule.get("FieldName", ""), ("", str))
    compare = OPERATORS.get(rule.get("FilterOperator", "EQ"))
    if not column or compare is None:
        raise invalid("A filter needs FieldName, FilterOperator and FieldValue.")
    try:
        wanted = read(rule.get("FieldValue", ""))
    except ValueError:
        raise invalid(f"The value of the filter {rule.get('FieldName')} is not a number.") from None
    found = 0.0 if column == "dpu" else row[column]
    return found is not None and bool(compare(found, wanted))


def _summary(tally: Tally) -> str:
    """Summary: what changed, at most 255 characters (the model's limit): names of tables as long as they fit."""
    parts = {action: {"Count": count} for action, count in tally.partitions.items()}
    counted: dict[str, Any] = {action: {"Count": tally.count(action)} for action in tally.tables}
    named = {action: {**counted[action], "Details": {"names": names}} for action, names in tally.tables.items()}
    for tables in (named, counted):
        shown = {kind: told for kind, told in (("TABLE", tables), ("PARTITION", parts)) if told}
        if len(text := encode(shown)) <= SUMMARY and not (tables is named and tally.more):
            break
    return text


def _crawl(row: sqlite3.Row) -> dict[str, Any]:
    shown = {
        "CrawlId": row["id"],
        "State": row["state"],
        "StartTime": row["started"],
        "Summary": _summary(Tally.read(decode(row["tally"]))),
        "LogGroup": LOG_GROUP,
        "LogStream": row["crawler"],
        "MessagePrefix": row["id"],
        "DPUHour": 0.0,
    }
    if row["ended"]:
        shown["EndTime"] = row["ended"]
    if row["error"]:
        shown["ErrorMessage"] = row["error"]
    return shown
