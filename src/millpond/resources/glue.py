"""AWS Glue: databases, connections, crawlers and jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from millpond.resources.resource import Resource
from millpond.resources.secrets import Secret


@dataclass(frozen=True, kw_only=True)
class Database(Resource):
    """A database of the Data Catalog, called `name` in every account, because SQL text names it."""

    type: ClassVar[str] = "AWS::Glue::Database"
    description: str = ""

    @property
    def physical_name(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Connection(Resource):
    """A JDBC connection; user and password come from `secret` (JSON with username and password)."""

    type: ClassVar[str] = "AWS::Glue::Connection"
    url: str
    secret: Secret


@dataclass(frozen=True, kw_only=True)
class Crawler(Resource):
    """A crawler of S3 addresses (`s3`) or of a database (`jdbc`: a connection and an include path `db/schema/%`).

    `configuration` is the JSON document of Glue's crawler configuration, as a mapping.
    """

    type: ClassVar[str] = "AWS::Glue::Crawler"
    database: Database
    s3: tuple[str, ...] = ()
    jdbc: tuple[tuple[Connection, str], ...] = ()
    prefix: str = ""
    configuration: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Job(Resource):
    """A job: `script` is a path in the project. `timeout` in minutes; `bookmark` switches job bookmarks on."""

    type: ClassVar[str] = "AWS::Glue::Job"
    script: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    connections: tuple[Connection, ...] = ()
    bookmark: bool = False
    concurrency: int = 1
    kind: str = "glueetl"
    version: str = "5.1"
    workers: int = 2
    worker_type: str = "G.1X"
    timeout: int = 60
    retries: int = 0
