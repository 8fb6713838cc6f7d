"""User defined functions of the catalog: names of classes and archives that Hive's clients look up.

Names are stored in lower case, as those of tables are. Nothing here runs them.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from millpond.local.glue.catalog import PAGE, Catalog, limit, matching
from millpond.local.glue.records import after, check_catalog, decode, encode, fold, token
from millpond.local.service import AwsError, Call, Endpoint, Operation

MOST = 100  # functions in a database (AWS docs, "AWS Glue endpoints and quotas")


class Functions:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_functions (
        database TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (database, name)
    ) WITHOUT ROWID;
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.catalog = endpoint, Catalog(endpoint)

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateUserDefinedFunction": self.create,
            "GetUserDefinedFunction": self.get,
            "GetUserDefinedFunctions": self.list,
            "UpdateUserDefinedFunction": self.update,
            "DeleteUserDefinedFunction": self.delete,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def _find(self, database: str, name: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one(
            "SELECT body FROM glue_functions WHERE database = ? AND name = ?", (fold(database), fold(name))
        )
        return decode(row["body"]) if row else None

    def _function(self, database: str, name: str) -> dict[str, Any]:
        if (found := self._find(database, name)) is None:
            self.catalog.database(database)
            raise AwsError("EntityNotFoundException", f"User defined function {fold(name)} not found.")
        return found

    def _body(self, given: dict[str, Any], database: str, name: str) -> dict[str, Any]:
        return {**given, "FunctionName": name, "DatabaseName": database, "CatalogId": self.endpoint.account}

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = params["FunctionInput"]
        name = _name(given.get("FunctionName"))
        with self.endpoint.store.write() as db:
            database = self.catalog.database(params["DatabaseName"])["Name"]
            count = "SELECT count(*) FROM glue_functions WHERE database = ?"
            limit(db, count, (database,), MOST, f"functions in the database {database}")
            body = self._body(given, database, name) | {"CreateTime": self.endpoint.clock.now()}
            try:
                db.execute("INSERT INTO glue_functions VALUES (?, ?, ?)", (database, name, encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"User defined function {name} already exists.") from None
        return {}

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"UserDefinedFunction": self._function(params["DatabaseName"], params["FunctionName"])}

    def list(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        size = params.get("MaxResults") or PAGE
        last = after(params.get("NextToken"), 2) or ["", ""]
        where, values = "", []
        if params.get("DatabaseName"):
            where, values = "database = ? AND ", [self.catalog.database(params["DatabaseName"])["Name"]]
        rows = self.endpoint.store.read(
            f"SELECT database, name, body FROM glue_functions WHERE {where}(database, name) > (?, ?)"
            " ORDER BY database, name",
            (*values, *last),
        )
        fitting = set(matching([row["name"] for row in rows], params["Pattern"]))
        kind = params.get("FunctionType")
        wanted = [
            row for row in rows if row["name"] in fitting and kind in (None, decode(row["body"]).get("FunctionType"))
        ]
        shown = wanted[:size]
        more = {"NextToken": token(shown[-1]["database"], shown[-1]["name"])} if len(wanted) > size else {}
        return {"UserDefinedFunctions": [decode(row["body"]) for row in shown]} | more

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = params["FunctionInput"]
        with self.endpoint.store.write() as db:
            before = self._function(params["DatabaseName"], params["FunctionName"])
            database, old = before["DatabaseName"], before["FunctionName"]
            name = _name(given.get("FunctionName") or old)
            body = self._body(given, database, name) | {"CreateTime": before["CreateTime"]}
            try:
                db.execute(
                    "UPDATE glue_functions SET name = ?, body = ? WHERE database = ? AND name = ?",
                    (name, encode(body), database, old),
                )
            except sqlite3.IntegrityError:
                raise AwsError("InvalidInputException", f"User defined function {name} already exists.") from None
        return {}

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        with self.endpoint.store.write() as db:
            found = self._function(params["DatabaseName"], params["FunctionName"])
            place = (found["DatabaseName"], found["FunctionName"])
            db.execute("DELETE FROM glue_functions WHERE database = ? AND name = ?", place)
        return {}


def _name(given: str | None) -> str:
    if not (name := fold(given or "")):
        raise AwsError("InvalidInputException", "FunctionName must not be empty.")
    return name
