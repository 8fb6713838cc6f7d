"""One query from its text to its result: which road a statement takes, and what it leaves in S3.

SELECT leaves `<id>.csv`, DDL and SHOW `<id>.txt`, writes a manifest of the files they made; each with a `.metadata`
file (JSON here; Athena's own binary form is not documented).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millpond.local.athena import ddl, writes
from millpond.local.athena import statements as st
from millpond.local.athena.catalog import CATALOG, Catalog
from millpond.local.athena.failures import MalformedQuery, QueryFailure, from_duckdb
from millpond.local.athena.grammar import parse
from millpond.local.athena.parameters import bound
from millpond.local.athena.plans import Planned, plan
from millpond.local.athena.results import column_info, text_column
from millpond.local.athena.types import BIGINT
from millpond.local.athena.workers import Worker
from millpond.local.athena.workgroups import Workgroups, invalid
from millpond.local.service import Endpoint

# StatementType, SubstatementType (from GetQueryExecution's documentation) and the end of the result's address
KINDS: dict[type, tuple[str, str, str]] = {
    st.Select: ("DML", "SELECT", "{id}.csv"),
    st.Execute: ("DML", "EXECUTE", "{id}.csv"),
    st.CreateTableAs: ("DML", "CREATE_TABLE_AS_SELECT", "tables/{id}"),
    st.Insert: ("DML", "INSERT", "{id}"),
    st.Unload: ("DML", "UNLOAD", "{id}"),
    st.CreateDatabase: ("DDL", "CREATE_DATABASE", "{id}.txt"),
    st.DropDatabase: ("DDL", "DROP_DATABASE", "{id}.txt"),
    st.CreateTable: ("DDL", "CREATE_TABLE", "{id}.txt"),
    st.CreateView: ("DDL", "CREATE_VIEW", "{id}.txt"),
    st.Drop: ("DDL", "DROP_TABLE", "{id}.txt"),
    st.Repair: ("DDL", "MSCK_REPAIR_TABLE", "{id}.txt"),
    st.AddPartitions: ("DDL", "ALTER_TABLE_ADD_PARTITION", "{id}.txt"),
    st.DropPartitions: ("DDL", "ALTER_TABLE_DROP_PARTITION", "{id}.txt"),
    st.AlterColumns: ("DDL", "ALTER_TABLE", "{id}.txt"),
    st.SetProperties: ("DDL", "ALTER_TABLE", "{id}.txt"),
    st.SetLocation: ("DDL", "ALTER_TABLE", "{id}.txt"),
    st.Show: ("UTILITY", "SHOW", "{id}.txt"),
    st.Prepare: ("UTILITY", "PREPARE", "{id}.txt"),
    st.Deallocate: ("UTILITY", "DEALLOCATE", "{id}.txt"),
    st.Refused: ("UTILITY", "UNKNOWN", "{id}.txt"),
}


def classify(sql: str, parameters: list[str]) -> tuple[str, str, str]:
    """StatementType, SubstatementType and the shape of the result's key; refuses what does not parse."""
    try:
        statement = st.read(bound(sql, parameters) if parameters else sql)
        if isinstance(statement, st.Select):
            parse(statement.sql)
    except MalformedQuery as failure:
        raise invalid(failure.message, "MALFORMED_QUERY") from failure
    if isinstance(statement, st.Show):
        return (
            "UTILITY",
            statement.what.replace(" ", "_")
            if statement.what == "DESCRIBE"
            else f"SHOW_{statement.what.replace(' ', '_')}",
            "{id}.txt",
        )
    return KINDS[type(statement)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a query that succeeded leaves behind: ColumnInfo, the update count, statistics."""

    columns: list[dict[str, Any]] = field(default_factory=list)
    updated: int | None = None
    statistics: dict[str, Any] = field(default_factory=dict)


WithWorker = Callable[[str, Callable[[Worker], Any]], Any]


class Run:
    """One query. `body` is its QueryExecution."""

    def __init__(
        self, endpoint: Endpoint, workgroups: Workgroups, body: dict[str, Any], with_worker: WithWorker
    ) -> None:
        self.endpoint, self.workgroups, self.with_worker = endpoint, workgroups, with_worker
        self.body, self.id = body, body["QueryExecutionId"]
        # awswrangler quotes the database as Hive does, and Athena lets it.
        self.database = (body["QueryExecutionContext"].get("Database") or "default").strip("`").lower()
        self.location = body["ResultConfiguration"]["OutputLocation"]
        self.at = body["Status"]["SubmissionDateTime"]

    def run(self) -> Outcome:
        """Raises QueryFailure and MalformedQuery."""
        sql = self.body["Query"]
        if self.body.get("ExecutionParameters"):
            sql = bound(sql, self.body["ExecutionParameters"])
        return self.statement(st.read(sql))

    def statement(self, statement: st.Statement) -> Outcome:
        match statement:
            case st.Select():
                return self.select(statement.sql)
            case st.Execute():
                return self.select(bound(self.kept(statement.name), list(statement.values)))
            case st.Prepare() | st.Deallocate():
                return self.prepared(statement)
            case st.CreateTableAs():
                return self.create_table_as(statement)
            case st.Insert():
                return self.write(writes.insert(self.endpoint, statement, self.database, self.at))
            case st.Unload():
                return self.write(writes.unload(self.endpoint, statement, self.database, self.id, self.at))
            case st.Refused():
                raise QueryFailure("NOT_SUPPORTED", f"{statement.what} is not supported by the local engine")
            case _:
                return self.lines(ddl.Ddl(self.endpoint, self.database, self.at).run(statement))

    def kept(self, name: str) -> str:
        """The text of a prepared statement of the query's workgroup."""
        text = self.workgroups.prepared_text(self.body["WorkGroup"], name)
        if text is None:
            raise QueryFailure("NOT_FOUND", f"Prepared statement not found: {name}")
        return text

    def prepared(self, statement: st.Prepare | st.Deallocate) -> Outcome:
        if isinstance(statement, st.Prepare):
            parse(statement.query)
            self.workgroups.put_prepared(self.body["WorkGroup"], statement.name, statement.query.strip())
        else:
            self.kept(statement.name)
            self.workgroups.drop_prepared(self.body["WorkGroup"], statement.name)
        return self.lines(ddl.Lines([]))

    # --- the roads --------------------------------------------------------------------------------------------------

    def select(self, sql: str) -> Outcome:
        started = time.perf_counter()
        planned = plan(self.endpoint, sql, self.database, self.at)
        planning = time.perf_counter() - started

        def use(worker: Worker) -> dict[str, Any]:
            answer = ask(worker, planned.for_worker(worker.folder), planned)
            self.put(self.location, worker.folder / "out" / "result", "text/csv")
            return answer

        self.with_worker(self.id, use)
        columns = [column_info(str(c.name), c.type) for c in planned.columns]
        self.put_text(f"{self.location}.metadata", json.dumps({"columns": columns}))
        statistics = {"DataScannedInBytes": planned.scanned, "QueryPlanningTimeInMillis": int(planning * 1000)}
        return Outcome(columns, None, statistics)

    def create_table_as(self, statement: st.CreateTableAs) -> Outcome:
        database = statement.name[0] if len(statement.name) > 1 else self.database
        catalog = Catalog(self.endpoint)
        if not catalog.has_database(database):
            raise QueryFailure("SCHEMA_NOT_FOUND", f"Schema {database} not found")
        try:
            existing = catalog.table(database, statement.name[-1])
        except QueryFailure:
            pass
        else:
            if (existing.get("Parameters") or {}).get("millpond.query") == self.id:
                return Outcome([column_info("rows", BIGINT)], 0)  # made before a kill: the files are there too
            if statement.quiet:
                return Outcome([], 0)
            text = f"Destination table '{CATALOG}.{database}.{statement.name[-1]}' already exists"
            raise QueryFailure("TABLE_ALREADY_EXISTS", text)
        write = writes.create_table_as(self.endpoint, statement, self.database, self.body["home"], self.id, self.at)
        if statement.data:
            return self.write(write)
        writes.publish(self.endpoint, write, {"files": []}, self.id)
        return Outcome([column_info("rows", BIGINT)], 0)

    def write(self, write: writes.Write) -> Outcome:
        def use(worker: Worker) -> dict[str, Any]:
            answer = ask(worker, write.for_worker(worker.folder), write.planned)
            answer["uris"] = writes.publish(self.endpoint, write, answer, self.id)
            return answer

        answer = self.with_worker(self.id, use)
        manifest = f"{self.location}-manifest.csv"
        self.put_text(manifest, "".join(f"{uri}\n" for uri in answer["uris"]))
        statistics = {"DataScannedInBytes": write.planned.scanned, "DataManifestLocation": manifest}
        return Outcome([column_info("rows", BIGINT)], answer["rows"], statistics)

    def lines(self, found: ddl.Lines) -> Outcome:
        self.put_text(self.location, "".join(f"{line}\n" for line in found.lines))
        columns = [text_column(name) for name in found.column.split("\t")] if found.lines else []
        self.put_text(f"{self.location}.metadata", json.dumps({"columns": columns}))
        return Outcome(columns, 0)

    # --- files in S3 ------------------------------------------------------------------------------------------------

    def put(self, location: str, path: Path, content_type: str) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        s3: Any = self.endpoint.services["s3"]
        s3.put_file(bucket, key, path, content_type=content_type)

    def put_text(self, location: str, text: str) -> None:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        self.endpoint.client("s3").put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/plain")


def ask(worker: Worker, plan: dict[str, Any], planned: Planned) -> dict[str, Any]:
    """The worker's answer; its error in Trino's words."""
    answer = worker.run(plan)
    if error := answer.get("error"):
        raise from_duckdb(error["kind"], error["message"], planned.names)
    return answer
