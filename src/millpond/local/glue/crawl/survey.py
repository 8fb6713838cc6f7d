"""What a crawl is given and what it finds: the words that its steps share, and what each include path held.

A `Look` is both the log of an include path and its part of `millpond crawl explain`: objects passed over and why,
objects that cannot be read, what is odd about others; a few by name, the rest in numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from millpond.local.glue.crawl.changes import Policies
from millpond.local.glue.crawl.classify import Custom
from millpond.local.glue.crawl.entries import Entry
from millpond.local.glue.crawl.grouping import Policy
from millpond.local.glue.crawl.patterns import RelationalPath
from millpond.local.glue.jdbc import JdbcTarget

LISTED = 5  # names given where many are told about


class Stopped(Exception):
    """StopCrawler, or the endpoint shuts down."""


class CrawlFailed(Exception):
    """The crawl cannot go on; the message becomes LastCrawl.ErrorMessage."""


class Object(Protocol):
    """An object of the folder plane. `mtime_ns`: nanoseconds since the epoch."""

    key: str
    size: int
    mtime_ns: int
    path: Path


@dataclass(frozen=True, slots=True)
class World:
    """What a crawl reads: objects by bucket and prefix, databases by connection, tables of the catalog.

    `check` raises Stopped; `put` writes an object (the manifests of Delta tables), at the end only.
    """

    objects: Callable[[str, str], Iterable[Object]]
    resolve: Callable[[str], JdbcTarget]
    table: Callable[[str, str], Mapping[str, Any]]
    check: Callable[[], None]
    log: Callable[[str, str], None]  # level, text
    client: Callable[[str], Any]  # boto3 clients to the endpoint
    put: Callable[[str, str, bytes], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """A crawler, read: see crawlers.py for the meaning of the API's members."""

    name: str
    run: str
    database: str
    prefix: str
    targets: Mapping[str, Any]
    policies: Policies
    grouping: Policy
    classifiers: tuple[Custom, ...] = ()
    seen: frozenset[str] = frozenset()  # folders of earlier crawls, as s3:// paths (CRAWL_NEW_FOLDERS_ONLY)
    events: str | None = None  # CRAWL_EVENT_MODE: the digest of the last crawl's listing, empty before the first


@dataclass(slots=True)
class Told:
    """One thing that is true of `count` objects; `examples` are their first keys."""

    level: str
    text: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        """One more object."""
        self.count += 1
        if len(self.examples) < LISTED:
            self.examples.append(key)


@dataclass(slots=True)
class Look:
    """What one include path held."""

    target: str
    listed: int = 0
    read: int = 0
    passed: dict[str, Told] = field(default_factory=dict)
    odd: dict[tuple[str, str], Told] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)  # level, text

    def skip(self, key: str, why: str) -> None:
        """An object that is not read."""
        self.passed.setdefault(why, Told("INFO", why)).add(key)

    def say(self, level: str, key: str, text: str) -> None:
        """What is odd about an object."""
        self.odd.setdefault((level, text), Told(level, text)).add(key)

    def note(self, level: str, text: str) -> None:
        """What is true of the whole path."""
        self.notes.append((level, text))

    def tell(self, log: Callable[[str, str], None]) -> None:
        """Everything, as lines of the log."""
        log("INFO", f"{self.target}: {self.listed} objects listed, {self.read} to read")
        for told in self.passed.values():
            log("INFO", f"{self.target}: {told.count} objects passed over: {told.text}")
        for told in self.odd.values():
            for key in told.examples:
                log(told.level, f"{key}: {told.text}")
            if told.count > len(told.examples):
                log(told.level, f"{told.count - len(told.examples)} more objects: {told.text}")
        for level, text in self.notes:
            log(level, f"{self.target}: {text}")


@dataclass(slots=True)
class Survey:
    """What the targets hold."""

    entries: list[Entry] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)  # read now, as s3:// paths
    prefixes: list[str] = field(default_factory=list)  # where was looked: s3:// include paths
    relational: list[tuple[str, RelationalPath]] = field(default_factory=list)  # connection, include path
    listing: str = ""  # digest of what was listed (CRAWL_EVENT_MODE)
    unchanged: bool = False  # no event since the last crawl: nothing is to be decided

    def look(self, target: str) -> Look:
        """A new look, kept."""
        self.looks.append(Look(target))
        return self.looks[-1]

    def in_scope(self, table: Mapping[str, Any]) -> bool:
        """Whether this crawl has looked where the table's data is."""
        location = (table.get("StorageDescriptor") or {}).get("Location") or ""
        if any(location == prefix or location.startswith(prefix.rstrip("/") + "/") for prefix in self.prefixes):
            return True
        connection = (table.get("Parameters") or {}).get("connectionName")
        database, _, rest = location.partition(".")
        return any(
            connection == name and database == path.database and _fits(path, rest) for name, path in self.relational
        )


def _fits(path: RelationalPath, dotted: str) -> bool:
    names = tuple(dotted.split(".", len(path.levels) - 1))
    return len(names) == len(path.levels) and path.fits(names)


def folder_of(key: str) -> str:
    """The key up to and including its last `/`."""
    return key[: key.rfind("/") + 1]
