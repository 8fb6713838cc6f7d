"""AWS Glue: databases, connections, crawlers, jobs, triggers and workflows.

nightly = glue.Workflow(name="nightly", properties={"day": "today"})
begin = glue.Trigger(name="begin", workflow=nightly, schedule="cron(0 2 * * ? *)", starts=(load, crawl))
then = glue.Trigger(name="then", workflow=nightly, after=(load, crawl), starts=(join,))
alarm = glue.Trigger(name="alarm", workflow=nightly, after=((load, "FAILED"),), starts=(tell,))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from millpond.errors import ProjectError
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


@dataclass(frozen=True, kw_only=True)
class Workflow(Resource):
    """A workflow: its triggers say what it runs. `properties` are the default run properties, which jobs may read and
    change; `concurrency` is how many runs there may be at once, 0: any number."""

    type: ClassVar[str] = "AWS::Glue::Workflow"
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 0


@dataclass(frozen=True)
class Start:
    """A job that a trigger starts, with arguments of that run. `timeout` in minutes, 0: the job's own."""

    job: Job
    arguments: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 0


@dataclass(frozen=True, kw_only=True)
class Trigger(Resource):
    """Starts jobs and crawlers: at a `schedule` (`cron(...)`, UTC), or `after` others have ended, or when a batch of
    `events` has come from EventBridge (a number; workflows only), else on demand.

    `after` holds jobs and crawlers, which must succeed, or pairs with another end: `(job, "FAILED")`; `any_end`: one of
    them is enough. Only what a trigger has started is watched. `active=False`: it waits to be activated (StartTrigger).
    """

    type: ClassVar[str] = "AWS::Glue::Trigger"
    starts: tuple[Job | Crawler | Start, ...]
    workflow: Workflow | None = None
    schedule: str = ""
    after: tuple[Job | Crawler | tuple[Job | Crawler, str], ...] = ()
    any_end: bool = False
    events: int = 0
    active: bool = True
    description: str = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.schedule, self.after, self.events))) > 1:
            raise ProjectError(f"trigger {self.name!r}: give one of schedule, after and events")
        if self.events and self.workflow is None:
            raise ProjectError(f"trigger {self.name!r}: only a workflow's trigger fires at events")

    @property
    def kind(self) -> str:
        """SCHEDULED, CONDITIONAL, EVENT or ON_DEMAND."""
        return (
            "SCHEDULED" if self.schedule else "CONDITIONAL" if self.after else "EVENT" if self.events else "ON_DEMAND"
        )
