"""JDBC targets: tables and views of a database, by include path (`%` for any) and exclusions; never a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millpond.local.glue.crawl.entries import Crawl, jdbc_entry
from millpond.local.glue.crawl.names import jdbc_name
from millpond.local.glue.crawl.patterns import PatternError, RelationalPath, excluder
from millpond.local.glue.crawl.survey import CrawlFailed, Look, Settings, Survey, World
from millpond.local.glue.jdbc import JdbcError, JdbcTarget, Relation, relations
from millpond.local.service import AwsError

WITH_SCHEMAS = ("postgresql",)
ONE_SERVER = ("mysql",)  # engines of which one connection sees every database: the include path says which


def relational(target: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read a JDBC target. Raises Stopped, CrawlFailed."""
    connection = target["ConnectionName"]
    try:
        database = world.resolve(connection)
        path = RelationalPath.parse(target.get("Path") or "", schemas=database.engine in WITH_SCHEMAS)
        if database.engine in ONE_SERVER:
            database = database.named(path.database)
        found.relational.append((connection, path))
        described = list(relations(database)) if path.database == database.database else []
    except (AwsError, JdbcError) as error:
        known = "" if connection in error.message else f"Connection {connection}: "
        raise CrawlFailed(f"{known}{error.message}") from None
    except PatternError as error:
        raise CrawlFailed(f"Connection {connection}: {error}") from None
    world.check()
    look = found.look(f"{connection}: {target.get('Path')}")
    look.listed = len(described)
    if path.database != database.database:
        text = f"the include path names the database {path.database}, the connection goes to {database.database}"
        world.log("WARN", f"Connection {connection}: {text}: no table is read")
        look.note("WARN", f"{text}: no table is read")
    wanted = _included(described, path, target.get("Exclusions") or (), look)
    look.read = len(wanted)
    crawl = Crawl(settings.name, settings.run, settings.prefix)
    found.entries += [
        jdbc_entry(
            relation,
            name=jdbc_name(settings.prefix, path.database, relation.schema, relation.name),
            database=path.database,
            engine=database.engine,
            connection=connection,
            crawl=crawl,
            extra=target.get("EnableAdditionalMetadata") or (),
        )
        for relation in wanted
    ]
    _tell(connection, database, target, look, world)


def _included(
    described: Sequence[Relation], path: RelationalPath, exclusions: Sequence[str], look: Look
) -> list[Relation]:
    excluded = excluder(exclusions)
    wanted = []
    for relation in described:
        names = (relation.schema, relation.name) if len(path.levels) == 2 else (relation.name,)
        if not path.fits(names):
            look.skip(".".join(names), "not within the include path (case counts)")
        elif excluded(path.relative(names)) or excluded(relation.name):  # `HR*` below `db/%` means tables, too
            look.skip(".".join(names), "excluded by the target's patterns")
        else:
            wanted.append(relation)
    return wanted


def _tell(connection: str, database: JdbcTarget, target: Mapping[str, Any], look: Look, world: World) -> None:
    level = "INFO" if look.read else "WARN"
    text = f"{look.listed} tables and views seen, {look.read} included by {target.get('Path')}"
    world.log(level, f"Connection {connection} ({database}): {text}")
    for told in look.passed.values():
        world.log(
            "INFO", f"Connection {connection}: {told.count} passed over: {told.text} ({', '.join(told.examples)})"
        )
