"""Column statistics task runs: a table is measured by a query of Athena's room, and its column statistics are written.

One query for all columns: minima, maxima, nulls, lengths, distinct values. Its result lies in the bucket that AWS's
console uses for its own files (`aws-glue-assets-...`) until it is read. Columns of arrays, maps and structs have no
statistics (AWS docs, "Optimizing query performance using column statistics").

Limits: the whole table is read, a SampleSize is refused; one run a table at a time, as on AWS. A run that the end of
the endpoint interrupts is FAILED. Schedules are in statistics_settings.py.
"""

from __future__ import annotations

import datetime
import logging
import math
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.local.glue.catalog import Catalog
from millpond.local.glue.records import check_catalog, decode, encode, number_after, token
from millpond.local.glue.statistics import MEMBERS, Statistics
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 100
POLL_SECONDS = 0.05
UNDER_WAY = ("STARTING", "RUNNING")
KINDS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint"), "LONG"),
    **dict.fromkeys(("float", "double"), "DOUBLE"),
    **dict.fromkeys(("string", "char", "varchar"), "STRING"),
    **dict.fromkeys(("date", "timestamp"), "DATE"),
    **{"decimal": "DECIMAL", "boolean": "BOOLEAN", "binary": "BINARY"},
}
NUMBERS = ("min({0})", "max({0})", "count({0})", "approx_distinct({0})")
MEASURES = {
    **dict.fromkeys(("LONG", "DOUBLE", "DATE", "DECIMAL"), NUMBERS),
    "STRING": ("max(length({0}))", "avg(length({0}))", "count({0})", "approx_distinct({0})"),
    "BINARY": ("max(length({0}))", "avg(length({0}))", "count({0})"),
    "BOOLEAN": ("count_if({0})", "count_if(NOT {0})", "count({0})"),
}

log = logging.getLogger(__name__)


class StatisticsRuns:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_statistics_runs (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, database TEXT NOT NULL, table_name TEXT NOT NULL,
        status TEXT NOT NULL, body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS glue_statistics_runs_of_table ON glue_statistics_runs (database, table_name);
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.catalog, self.statistics = endpoint, Catalog(endpoint), Statistics(endpoint)
        self.ending = threading.Event()
        self.threads: list[threading.Thread] = []

    def operations(self) -> dict[str, Operation]:
        return {
            "StartColumnStatisticsTaskRun": self.start_run,
            "GetColumnStatisticsTaskRun": self.get_run,
            "GetColumnStatisticsTaskRuns": self.runs_of_table,
            "ListColumnStatisticsTaskRuns": self.list_runs,
            "StopColumnStatisticsTaskRun": self.stop_run,
        }

    def start(self) -> None:
        for row in self.endpoint.store.read("SELECT id FROM glue_statistics_runs WHERE status IN (?, ?)", UNDER_WAY):
            self._end(row["id"], "FAILED", "The endpoint ended while the table was measured.")

    def stop(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(10)

    # -- operations

    def start_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, {"CatalogId": params.get("CatalogID")})
        if params.get("SampleSize") not in (None, 100):
            raise unsupported("glue", "StartColumnStatisticsTaskRun", use="SampleSize: the whole table is read.")
        table = self.catalog.followed(self.catalog.table(params["DatabaseName"], params["TableName"]))
        columns = _measured(table, params.get("ColumnNameList"))
        made, now = str(uuid.uuid4()), self.endpoint.clock.now()
        place = (table["DatabaseName"], table["Name"])
        members = ("Role", "SampleSize", "SecurityConfiguration")
        body = {member: params[member] for member in members if member in params}
        body |= {"ColumnStatisticsTaskRunId": made, "CustomerId": self.endpoint.account, "ComputationType": "FULL"}
        body |= {"DatabaseName": place[0], "TableName": place[1], "CatalogID": self.endpoint.account}
        body |= {"ColumnNameList": [name for name, _ in columns], "NumberOfWorkers": 1, "WorkerType": "G.1X"}
        body |= {"CreationTime": now, "LastUpdated": now}
        with self.endpoint.store.write() as db:
            if self._running(place) is not None:
                words = f"A column statistics task of the table {place[1]} is running."
                raise AwsError("ColumnStatisticsTaskRunningException", words)
            db.execute(
                "INSERT INTO glue_statistics_runs (id, database, table_name, status, body) VALUES (?, ?, ?, ?, ?)",
                (made, *place, "STARTING", encode(body)),
            )
        thread = threading.Thread(target=self._run, args=(made, table, columns), name=f"statistics-{made}", daemon=True)
        self.threads = [one for one in self.threads if one.is_alive()] + [thread]
        thread.start()
        return {"ColumnStatisticsTaskRunId": made}

    def _running(self, place: tuple[str, str]) -> str | None:
        row = self.endpoint.store.one(
            "SELECT id FROM glue_statistics_runs WHERE database = ? AND table_name = ? AND status IN (?, ?)",
            (*place, *UNDER_WAY),
        )
        return str(row["id"]) if row else None

    def get_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        wanted = params["ColumnStatisticsTaskRunId"]
        row = self.endpoint.store.one("SELECT status, body FROM glue_statistics_runs WHERE id = ?", (wanted,))
        if row is None:
            raise AwsError("EntityNotFoundException", f"Column statistics task run {wanted} not found.")
        return {"ColumnStatisticsTaskRun": decode(row["body"]) | {"Status": row["status"]}}

    def _page(self, params: dict[str, Any], where: str, values: Sequence[str]) -> tuple[list[Any], dict[str, str]]:
        """Runs, the newest first."""
        size, last = params.get("MaxResults") or PAGE, number_after(params.get("NextToken"))
        last = 2**62 if last is None else last
        rows = self.endpoint.store.read(
            f"SELECT * FROM glue_statistics_runs WHERE number < ? {where} ORDER BY number DESC LIMIT ?",
            (last, *values, size + 1),
        )
        return rows[:size], {"NextToken": token(str(rows[size - 1]["number"]))} if len(rows) > size else {}

    def runs_of_table(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, {"CatalogId": params.get("CatalogID")})
        place = (params["DatabaseName"].lower(), params["TableName"].lower())
        rows, more = self._page(params, "AND database = ? AND table_name = ?", place)
        return {"ColumnStatisticsTaskRuns": [decode(row["body"]) | {"Status": row["status"]} for row in rows]} | more

    def list_runs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows, more = self._page({**params, "MaxResults": min(params.get("MaxResults") or PAGE, PAGE)}, "", ())
        return {"ColumnStatisticsTaskRunIds": [row["id"] for row in rows]} | more

    def stop_run(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        table = self.catalog.followed(self.catalog.table(params["DatabaseName"], params["TableName"]))
        running = self._running((table["DatabaseName"], table["Name"]))
        if running is None or not self._end(running, "STOPPED"):
            words = f"No column statistics task of the table {table['Name']} is running."
            raise AwsError("ColumnStatisticsTaskNotRunningException", words)
        return {}

    # -- a run

    def _set(self, run: str, status: str, **members: Any) -> bool:
        """Move a run on; False when it has ended."""
        with self.endpoint.store.write() as db:
            row = db.execute("SELECT status, body FROM glue_statistics_runs WHERE id = ?", (run,)).fetchone()
            if row is None or row["status"] not in UNDER_WAY:
                return False
            body = decode(row["body"]) | members | {"LastUpdated": self.endpoint.clock.now()}
            changed = (status, encode(body), run)
            db.execute("UPDATE glue_statistics_runs SET status = ?, body = ? WHERE id = ?", changed)
        return True

    def _goes_on(self, run: str) -> bool:
        row = self.endpoint.store.one("SELECT status FROM glue_statistics_runs WHERE id = ?", (run,))
        return row is not None and row["status"] in UNDER_WAY

    def _end(self, run: str, status: str, why: str = "") -> bool:
        told = {"ErrorMessage": why[:2048]} if why else {}
        return self._set(run, status, EndTime=self.endpoint.clock.now(), **told)

    def _run(self, run: str, table: dict[str, Any], columns: list[tuple[str, str]]) -> None:
        began = self.endpoint.clock.now()
        try:
            if not self._set(run, "RUNNING", StartTime=began):
                return
            found = self._query(run, table, columns)
            if found is None:
                return
            measured = list(_statistics(columns, found, self.endpoint.clock.now()))
            where = {"DatabaseName": table["DatabaseName"], "TableName": table["Name"]}
            with self.endpoint.store.write():
                if self._set(
                    run, "SUCCEEDED", EndTime=self.endpoint.clock.now(), DPUSeconds=_since(began, self.endpoint)
                ):
                    self.statistics.update({**where, "ColumnStatisticsList": measured}, Call("glue", "", ""))
        except (AwsError, ClientError, BotoCoreError) as error:
            self._end(run, "FAILED", str(error))
        except Exception as error:  # a bug of ours must not leave a run that never ends
            log.exception("a column statistics task run failed")
            self._end(run, "FAILED", f"{type(error).__name__}: {error}")

    def _query(self, run: str, table: dict[str, Any], columns: list[tuple[str, str]]) -> list[str | None] | None:
        """The one row of figures; None when the run was stopped, or the endpoint ends. Raises AwsError."""
        athena, s3 = self.endpoint.client("athena"), self.endpoint.client("s3")
        bucket, prefix = f"aws-glue-assets-{self.endpoint.account}-{self.endpoint.region}", f"statistics/{run}/"
        s3.create_bucket(Bucket=bucket)
        asked = athena.start_query_execution(
            QueryString=_sql(table, columns), ResultConfiguration={"OutputLocation": f"s3://{bucket}/{prefix}"}
        )["QueryExecutionId"]
        try:
            status = {"State": "QUEUED"}
            while status["State"] in ("QUEUED", "RUNNING"):
                if self.ending.wait(POLL_SECONDS) or not self._goes_on(run):
                    athena.stop_query_execution(QueryExecutionId=asked)
                    return None
                status = athena.get_query_execution(QueryExecutionId=asked)["QueryExecution"]["Status"]
            if status["State"] != "SUCCEEDED":
                raise AwsError("InvalidInputException", status.get("StateChangeReason", status["State"]))
            rows = athena.get_query_results(QueryExecutionId=asked)["ResultSet"]["Rows"]
            return [cell.get("VarCharValue") for cell in rows[1]["Data"]]
        finally:
            for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=one["Key"])


def _since(began: float, endpoint: Endpoint) -> float:
    return round(max(endpoint.clock.now() - began, 0.0), 3)


def _measured(table: dict[str, Any], wanted: Sequence[str] | None) -> list[tuple[str, str]]:
    """The columns to measure with the kinds of their statistics; InvalidInputException."""
    columns = (table.get("StorageDescriptor") or {}).get("Columns") or []
    kinds = {column["Name"].lower(): _kind(column.get("Type", "")) for column in columns}
    if strange := sorted({name for name in wanted or () if name.lower() not in kinds}):
        raise AwsError("InvalidInputException", f"The table has no column {strange[0]}.")
    chosen = [name.lower() for name in wanted or kinds]
    found = [(name, kind) for name in dict.fromkeys(chosen) if (kind := kinds[name]) is not None]
    if not found:
        raise AwsError("InvalidInputException", "The table has no column that has statistics.")
    return found


def _kind(hive_type: str) -> str | None:
    return KINDS.get(hive_type.split("(")[0].strip().lower())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sql(table: dict[str, Any], columns: list[tuple[str, str]]) -> str:
    figures = [measure.format(_quoted(name)) for name, kind in columns for measure in MEASURES[kind]]
    return f"SELECT count(*), {', '.join(figures)} FROM {_quoted(table['DatabaseName'])}.{_quoted(table['Name'])}"


def _statistics(columns: list[tuple[str, str]], found: Sequence[str | None], now: float) -> Iterator[dict[str, Any]]:
    """A ColumnStatistics for each column from the row of figures."""
    total, rest = int(found[0] or 0), list(found[1:])
    for name, kind in columns:
        figures, rest = rest[: len(MEASURES[kind])], rest[len(MEASURES[kind]) :]
        data = _data(kind, figures, total)
        about = {"ColumnName": name, "ColumnType": kind.lower(), "AnalyzedTime": now}
        yield about | {"StatisticsData": {"Type": kind, MEMBERS[kind]: data}}


def _data(kind: str, figures: Sequence[str | None], total: int) -> dict[str, Any]:
    nulls = {"NumberOfNulls": total - int(figures[2] or 0)}
    match kind:
        case "BOOLEAN":
            return {"NumberOfTrues": int(figures[0] or 0), "NumberOfFalses": int(figures[1] or 0)} | nulls
        case "STRING" | "BINARY":
            lengths = {"MaximumLength": int(figures[0] or 0), "AverageLength": float(figures[1] or 0)}
            return lengths | nulls | ({"NumberOfDistinctValues": int(figures[3] or 0)} if kind == "STRING" else {})
    data: dict[str, Any] = nulls | {"NumberOfDistinctValues": int(figures[3] or 0)}
    for member, text in (("MinimumValue", figures[0]), ("MaximumValue", figures[1])):
        if text is not None and (value := BOUNDS[kind](text)) is not None:
            data[member] = value
    return data


def _decimal(text: str) -> dict[str, Any]:
    number = Decimal(text)
    _, _, exponent = number.as_tuple()
    scale = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    unscaled = int(number.scaleb(scale))
    size = (unscaled if unscaled >= 0 else ~unscaled).bit_length() // 8 + 1  # as Java's BigInteger.toByteArray
    return {"UnscaledValue": unscaled.to_bytes(size, "big", signed=True), "Scale": scale}


def _finite(text: str) -> float | None:
    return number if math.isfinite(number := float(text)) else None


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


BOUNDS: dict[str, Callable[[str], Any]] = {"LONG": int, "DOUBLE": _finite, "DATE": _seconds, "DECIMAL": _decimal}
