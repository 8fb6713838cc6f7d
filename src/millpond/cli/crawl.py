"""`millpond crawl list`, `run`, `explain`: what crawlers find, and why.

`explain` tells for each table why it exists, why it has these partitions and types, and what was passed over: of the
last crawl, or with `--dry-run` of one that is made now and writes nothing. It is known to the local AWS only; `run`
and `list` work in an account, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from millpond.cli.inspect import AsJson
from millpond.cli.inspect import Data as State
from millpond.cli.stacks import Profile, Region, To
from millpond.errors import CloudError

if TYPE_CHECKING:
    from millpond.aws.target import Target

app = typer.Typer(no_args_is_help=True, help="Run crawlers, and explain the tables that they find.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The crawler's name.")]
PREVIEW_SECONDS = 600
POLL_SECONDS = 0.2
SHOWN = 60  # columns of a table


@app.command("list")
def list_crawlers(
    data: State = None, to: To = "local", profile: Profile = None, region: Region = None, as_json: AsJson = False
) -> None:
    """List crawlers: their state, and how their last crawl ended."""
    from millpond.cli import render

    glue = _target(to, data, profile, region).client("glue")
    found = [one for page in glue.get_paginator("get_crawlers").paginate() for one in page["Crawlers"]]
    if as_json:
        _print({"crawlers": found})
        return
    rows = [
        [
            one["Name"],
            one["State"],
            one.get("LastCrawl", {}).get("Status", ""),
            one.get("DatabaseName", ""),
            ", ".join(kind for kind, targets in one["Targets"].items() if targets),
        ]
        for one in found
    ]
    print(render.columns(["crawler", "state", "last crawl", "database", "targets"], rows, [False] * 5))


@app.command("run")
def run(
    name: Name,
    data: State = None,
    to: To = "local",
    profile: Profile = None,
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Start a crawler, or join the crawl that runs, and wait. Exits 1 unless it succeeds; says what it changed."""
    target = _target(to, data, profile, region)
    glue = target.client("glue")
    try:
        glue.start_crawler(Name=name)
    except glue.exceptions.CrawlerRunningException:
        typer.echo("joins the crawl that runs", err=True)
    except glue.exceptions.EntityNotFoundException as error:
        raise CloudError("EntityNotFoundException", _said(error), help="millpond crawl list") from None
    while (found := glue.get_crawler(Name=name)["Crawler"])["State"] != "READY":
        time.sleep(POLL_SECONDS)
    last = found.get("LastCrawl", {})
    (crawl,) = glue.list_crawls(CrawlerName=name, MaxResults=1)["Crawls"]
    if as_json:
        _print({"crawler": name, "lastCrawl": last, "crawl": crawl})
    else:
        print(f"{name}  {last.get('Status')}")
        for line in _summary(crawl):
            print(f"  {line}")
        if last.get("ErrorMessage"):
            print(f"  {last['ErrorMessage']}")
        if target.endpoint_url is not None:
            print(f"  why: millpond crawl explain {name}")
    if last.get("Status") != "SUCCEEDED":
        raise typer.Exit(1)


def _summary(crawl: dict[str, Any]) -> Iterator[str]:
    summary = json.loads(crawl.get("Summary") or "{}")
    for kind, actions in summary.items():
        for action, told in actions.items():
            yield f"{kind.lower()}s {action}: {told['Count'] if isinstance(told, dict) else told}"
    if not summary:
        yield "nothing was created, changed or deleted"


@app.command("explain")
def explain(
    name: Name,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Crawl now, without writing, and explain what would be written.")
    ] = False,
    data: State = None,
    as_json: AsJson = False,
) -> None:
    """Say why each table exists, why it has these partitions and types, and what was passed over and why."""
    target = _target("local", data, None, None)
    try:
        told = target.get(f"/_millpond/crawl?name={quote(name)}&dry_run={int(dry_run)}", timeout=PREVIEW_SECONDS)
    except CloudError as error:
        if error.code != "400":
            raise
        raise _unexplained(name, target) from None
    if as_json:
        _print(told)
    else:
        print("\n".join(lines(told)))
    if told["error"]:
        raise typer.Exit(1)


def _unexplained(name: str, target: Target) -> CloudError:
    """Why there is nothing to explain: no such crawler, or no crawl yet."""
    glue = target.client("glue")
    try:
        glue.get_crawler(Name=name)
    except glue.exceptions.EntityNotFoundException as error:
        return CloudError("EntityNotFoundException", _said(error), help="millpond crawl list")
    said = f"Crawler {name} has not run yet"
    return CloudError(
        "EntityNotFoundException", said, help=f"millpond crawl run {name}, or millpond crawl explain {name} --dry-run"
    )


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The report as text."""
    kind = "dry run: nothing is written" if told["dryRun"] else f"crawl {told['crawl']}"
    yield f"{told['crawler']}  {kind}, database {told['database']}"
    if told["error"]:
        yield f"  failed: {told['error']}"
    yield from (f"  {note}" for note in told["notes"])
    for look in told["targets"]:
        yield ""
        yield from _look(look)
    for table in told["tables"]:
        yield ""
        yield from _table(table)


def _look(look: dict[str, Any]) -> Iterator[str]:
    yield f"{look['target']}  {look['listed']} listed, {look['read']} read"
    for passed in look["passedOver"]:
        yield f"  passed over {passed['count']}: {passed['because']}{_some(passed)}"
    for odd in look["odd"]:
        yield f"  {odd['level'].lower()} {odd['count']}: {odd['what']}{_some(odd)}"
    yield from (f"  note: {note}" for note in look["notes"])


def _some(told: dict[str, Any]) -> str:
    more = ", ..." if told["count"] > len(told["examples"]) else ""
    return f"\n      {', '.join(told['examples'])}{more}" if told["examples"] else ""


def _table(table: dict[str, Any]) -> Iterator[str]:
    form = " ".join(part for part in (table["format"], table["compression"]) if part not in ("", "none"))
    yield f"{table['name']}  {table['said']}  {form}  {table['location']}".replace("    ", "  ")
    yield f"  because {table['because']}"
    yield from (f"  {change}" for change in table["changes"])
    if table["partitionKeys"]:
        count = table["partitions"]["count"]
        yield f"  partitions {count}: {table.get('partitionsBecause') or 'as the source has them'}"
        yield from (f"      {place}" for place in table["partitions"]["first"])
        if count > len(table["partitions"]["first"]):
            yield "      ..."
    yield from _columns(table["columns"])
    yield from (f"  note: {note}" for note in table["notes"])


def _columns(columns: list[dict[str, str]]) -> Iterator[str]:
    shown = columns[:SHOWN]
    width = min(30, max((len(column["name"]) for column in shown), default=0))
    kinds = min(30, max((len(column["type"]) for column in shown), default=0))
    for column in shown:
        yield f"  {column['name']:<{width}}  {column['type']:<{kinds}}  {column['because']}"
    if len(columns) > SHOWN:
        yield f"  and {len(columns) - SHOWN} more columns (--json shows all)"


def _said(error: Any) -> str:
    return str(error.response["Error"]["Message"])


def _target(to: str, data: Any, profile: str | None, region: str | None) -> Target:
    from millpond.cli import stacks, state

    return stacks.target_of(to, state.folder(data), profile, region)


def _print(document: Any) -> None:
    print(json.dumps(document, indent=2, default=str))
