"""Column statistics task settings: which tables are measured, with what, and when (statistics_runs.py measures).

A table has at most one. With a Schedule the table is measured at its times, as StartColumnStatisticsTaskRun would; what
became of the last time is in LastExecutionAttempt. A time that passes while the endpoint is down is not made up for.

Limits: no settings of the catalog that hold for all tables (SettingSource is TABLE, ScheduleType CRON); as in a run a
SampleSize but 100 is refused; AWS names no ARN under which Tags could be read, so they are refused.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from millpond.local.glue.catalog import Catalog
from millpond.local.glue.records import check_catalog, decode, encode
from millpond.local.schedules import ScheduleError, Watch, parse
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

if TYPE_CHECKING:
    from millpond.local.glue import Glue
    from millpond.local.glue.statistics_runs import StatisticsRuns

log = logging.getLogger(__name__)

MEMBERS = ("Role", "ColumnNameList", "SampleSize", "SecurityConfiguration")
OF = "database = ? AND table_name = ?"


class StatisticsSettings:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_statistics_settings (
        database TEXT NOT NULL, table_name TEXT NOT NULL, schedule TEXT NOT NULL, state TEXT NOT NULL,
        body TEXT NOT NULL, attempt TEXT, PRIMARY KEY (database, table_name)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.catalog = endpoint, Catalog(endpoint)
        self.runs: StatisticsRuns
        self._watch: Watch[tuple[str, str, str]] = Watch()  # a database, a table, the schedule

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateColumnStatisticsTaskSettings": self.create,
            "UpdateColumnStatisticsTaskSettings": self.update,
            "GetColumnStatisticsTaskSettings": self.get,
            "DeleteColumnStatisticsTaskSettings": self.delete,
            "StartColumnStatisticsTaskRunSchedule": self.start_schedule,
            "StopColumnStatisticsTaskRunSchedule": self.stop_schedule,
        }

    def start(self) -> None:
        self.runs = cast("StatisticsRuns", cast("Glue", self.endpoint.services["glue"]).parts["statistics_runs"])
        self.endpoint.clockwork.serve("statistics", self._round)

    def stop(self) -> None:
        """Nothing of its own goes on."""

    # -- operations

    def _place(self, params: Mapping[str, Any]) -> tuple[str, str]:
        check_catalog(self.endpoint, {"CatalogId": params.get("CatalogID")})
        table = self.catalog.followed(self.catalog.table(params["DatabaseName"], params["TableName"]))
        return table["DatabaseName"], table["Name"]

    def _row(self, place: tuple[str, str]) -> sqlite3.Row:
        row = self.endpoint.store.one(f"SELECT * FROM glue_statistics_settings WHERE {OF}", place)
        if row is None:
            raise AwsError(
                "EntityNotFoundException", f"Column statistics task settings of {'.'.join(place)} not found."
            )
        return row

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        if params.get("Tags"):
            raise unsupported("glue", call.operation, use="Tags: there is no ARN to read them by.")
        place, schedule = self._place(params), params.get("Schedule") or ""
        self._check(params, place, call)
        body = {member: params[member] for member in MEMBERS if member in params}
        row = (*place, schedule, "SCHEDULED" if schedule else "NOT_SCHEDULED", encode(body))
        with self.endpoint.store.write() as db:
            try:
                db.execute("INSERT INTO glue_statistics_settings VALUES (?, ?, ?, ?, ?, NULL)", row)
            except sqlite3.IntegrityError:
                words = f"Column statistics task settings of {'.'.join(place)} already exist."
                raise AwsError("AlreadyExistsException", words) from None
        self._wake()
        return {}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """Change what is given; the rest stays."""
        place = self._place(params)
        self._check(params, place, call)
        with self.endpoint.store.write() as db:
            row = self._row(place)
            body = decode(row["body"]) | {member: params[member] for member in MEMBERS if member in params}
            schedule, state = row["schedule"], row["state"]
            if "Schedule" in params:
                schedule = params["Schedule"]
                state = "SCHEDULED" if schedule else "NOT_SCHEDULED"
            sql = f"UPDATE glue_statistics_settings SET schedule = ?, state = ?, body = ? WHERE {OF}"
            db.execute(sql, (schedule, state, encode(body), *place))
        self._wake()
        return {}

    def _check(self, params: Mapping[str, Any], place: tuple[str, str], call: Call) -> None:
        if params.get("SampleSize") not in (None, 100):
            raise unsupported("glue", call.operation, use="SampleSize: the whole table is read.")
        if "Role" in params and not params["Role"].strip():
            raise AwsError("InvalidInputException", "Role must not be empty.")
        table = self.catalog.table(*place)
        columns = {one["Name"].lower() for one in (table.get("StorageDescriptor") or {}).get("Columns") or []}
        if strange := [name for name in params.get("ColumnNameList") or () if name.lower() not in columns]:
            raise AwsError("InvalidInputException", f"The table has no column {strange[0]}.")
        if params.get("Schedule"):
            try:
                parse(params["Schedule"])
            except ScheduleError as error:
                raise AwsError("InvalidInputException", f"Invalid schedule: {error}.") from None

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._row(self._place(params))
        shown = {"DatabaseName": row["database"], "TableName": row["table_name"], "CatalogID": self.endpoint.account}
        shown |= decode(row["body"]) | {"SettingSource": "TABLE"}
        if row["schedule"]:
            shown |= {
                "Schedule": {"ScheduleExpression": row["schedule"], "State": row["state"]},
                "ScheduleType": "CRON",
            }
        if row["attempt"]:
            shown["LastExecutionAttempt"] = decode(row["attempt"])
        return {"ColumnStatisticsTaskSettings": shown}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        place = self._place(params)
        with self.endpoint.store.write() as db:
            self._row(place)
            db.execute(f"DELETE FROM glue_statistics_settings WHERE {OF}", place)
        self._wake()
        return {}

    def start_schedule(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._set(params, "SCHEDULED")

    def stop_schedule(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._set(params, "NOT_SCHEDULED")

    def _set(self, params: Mapping[str, Any], state: str) -> dict[str, Any]:
        place = self._place(params)
        with self.endpoint.store.write() as db:
            row = self._row(place)
            if not row["schedule"] or row["state"] == state:
                words = f"The column statistics task of {'.'.join(place)} has no schedule that is not {state}."
                raise AwsError("InvalidInputException", words)
            db.execute(f"UPDATE glue_statistics_settings SET state = ? WHERE {OF}", (state, *place))
        self._wake()
        return {}

    # -- schedules

    def _wake(self) -> None:
        self.endpoint.clockwork.wake("statistics")

    def _round(self) -> float | None:
        """Measure what is due. Seconds until the next time, None: there is none."""
        rows = self.endpoint.store.read("SELECT * FROM glue_statistics_settings WHERE state = 'SCHEDULED'")
        known = {(row["database"], row["table_name"], row["schedule"]): row for row in rows}
        schedules = {key: parse(row["schedule"]).following for key, row in known.items()}
        due, coming = self._watch.due(schedules, self.endpoint.clockwork.now())
        for key in due:
            self._measure(known[key])
        return None if coming is None else self.endpoint.clockwork.until(coming)

    def _measure(self, row: sqlite3.Row) -> None:
        body, now = decode(row["body"]), self.endpoint.clock.now()
        asked = {"DatabaseName": row["database"], "TableName": row["table_name"], **body}
        attempt: dict[str, Any] = {"Status": "STARTED", "ExecutionTimestamp": now}
        try:
            attempt |= self.runs.start_run(asked, Call("glue", "StartColumnStatisticsTaskRun", ""))
        except AwsError as error:
            attempt |= {"Status": "FAILED", "ErrorMessage": error.message}
        except Exception as error:  # one table's trouble must not end the schedules of the others
            log.exception("measuring %s.%s", row["database"], row["table_name"])
            attempt |= {"Status": "FAILED", "ErrorMessage": f"{type(error).__name__}: {error}"}
        with self.endpoint.store.write() as db:
            sql = f"UPDATE glue_statistics_settings SET attempt = ? WHERE {OF}"
            db.execute(sql, (encode(attempt), row["database"], row["table_name"]))
