"""Workgroups, named queries, prepared statements, and the catalog as Athena's API shows it."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from botocore.exceptions import ClientError

from millpond.local.service import AwsError, Call, Endpoint, Operation

PAGE = 50


def invalid(message: str, code: str = "") -> AwsError:
    members: dict[str, Any] = {"AthenaErrorCode": code} if code else {}
    return AwsError("InvalidRequestException", message, **members)


class Workgroups:
    """`primary` always exists and cannot be deleted."""

    schema = """
    CREATE TABLE IF NOT EXISTS athena_workgroups (name TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS athena_named_queries (id TEXT PRIMARY KEY, workgroup TEXT NOT NULL, token TEXT UNIQUE,
        body TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS athena_prepared (workgroup TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (workgroup, name));
    CREATE TABLE IF NOT EXISTS athena_tags (arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (arn, key));
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store

    def start(self) -> None:
        with self.store.write() as db:
            body = self.new_workgroup("primary", {}, "")
            db.execute("INSERT OR IGNORE INTO athena_workgroups VALUES ('primary', ?)", [json.dumps(body)])

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateWorkGroup": self.create_workgroup,
            "GetWorkGroup": self.get_workgroup,
            "UpdateWorkGroup": self.update_workgroup,
            "DeleteWorkGroup": self.delete_workgroup,
            "ListWorkGroups": self.list_workgroups,
            "CreateNamedQuery": self.create_named,
            "GetNamedQuery": self.get_named,
            "BatchGetNamedQuery": self.batch_get_named,
            "UpdateNamedQuery": self.update_named,
            "DeleteNamedQuery": self.delete_named,
            "ListNamedQueries": self.list_named,
            "CreatePreparedStatement": self.create_prepared,
            "GetPreparedStatement": self.get_prepared,
            "UpdatePreparedStatement": self.update_prepared,
            "DeletePreparedStatement": self.delete_prepared,
            "ListPreparedStatements": self.list_prepared,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list_tags,
            "ListEngineVersions": self.list_engines,
            "GetDataCatalog": self.get_data_catalog,
            "ListDataCatalogs": self.list_data_catalogs,
            "GetDatabase": self.get_database,
            "ListDatabases": self.list_databases,
            "GetTableMetadata": self.get_table_metadata,
            "ListTableMetadata": self.list_table_metadata,
        }

    # --- workgroups -------------------------------------------------------------------------------------------------

    @staticmethod
    def new_workgroup(name: str, configuration: dict[str, Any], description: str) -> dict[str, Any]:
        defaults = {
            "EnforceWorkGroupConfiguration": name != "primary",
            "PublishCloudWatchMetricsEnabled": name != "primary",
            "RequesterPaysEnabled": False,
            "ResultConfiguration": {},
            "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
        }
        return {"Name": name, "State": "ENABLED", "Configuration": defaults | configuration,
                "Description": description, "CreationTime": time.time()}  # fmt: skip

    def workgroup(self, name: str) -> dict[str, Any]:
        """Raises InvalidRequestException when there is none."""
        row = self.store.one("SELECT body FROM athena_workgroups WHERE name = ?", [name])
        if row is None:
            raise invalid(f"WorkGroup {name} is not found.", "WORKGROUP_NOT_FOUND")
        return dict(json.loads(row["body"]))

    def create_workgroup(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        body = self.new_workgroup(name, params.get("Configuration") or {}, params.get("Description") or "")
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM athena_workgroups WHERE name = ?", [name]).fetchone():
                raise invalid("WorkGroup is already created", "WORKGROUP_ALREADY_EXISTS")
            db.execute("INSERT INTO athena_workgroups VALUES (?, ?)", [name, json.dumps(body)])
            self.put_tags(db, self.endpoint.arn("athena", f"workgroup/{name}"), params.get("Tags") or [])
        return {}

    def get_workgroup(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"WorkGroup": self.workgroup(params["WorkGroup"])}

    def update_workgroup(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.store.write() as db:
            body = self.workgroup(params["WorkGroup"])
            body |= {k: params[k] for k in ("Description", "State") if k in params}
            kept = body["Configuration"]
            for key, value in (params.get("ConfigurationUpdates") or {}).items():
                match key:
                    case "ResultConfigurationUpdates":
                        kept["ResultConfiguration"] = updated_results(kept.get("ResultConfiguration") or {}, value)
                    case "RemoveBytesScannedCutoffPerQuery":
                        if value:
                            kept.pop("BytesScannedCutoffPerQuery", None)
                    case _:
                        kept[key] = value
            db.execute("UPDATE athena_workgroups SET body = ? WHERE name = ?", [json.dumps(body), params["WorkGroup"]])
        return {}

    def delete_workgroup(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["WorkGroup"]
        if name == "primary":
            raise invalid("WorkGroup primary cannot be deleted")
        self.workgroup(name)
        contents = self.store.one(
            "SELECT (SELECT count(*) FROM athena_queries WHERE workgroup = :w)"
            " + (SELECT count(*) FROM athena_named_queries WHERE workgroup = :w) AS n",
            {"w": name},  # type: ignore[arg-type]
        )
        if contents is not None and contents["n"] and not params.get("RecursiveDeleteOption"):
            raise invalid(f"WorkGroup {name} is not empty")
        with self.store.write() as db:
            for table in ("athena_named_queries", "athena_prepared", "athena_queries"):
                db.execute(f"DELETE FROM {table} WHERE workgroup = ?", [name])
            db.execute("DELETE FROM athena_workgroups WHERE name = ?", [name])
            db.execute("DELETE FROM athena_tags WHERE arn = ?", [self.endpoint.arn("athena", f"workgroup/{name}")])
        return {}

    def list_workgroups(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = self.store.read("SELECT body FROM athena_workgroups ORDER BY name")
        groups = [json.loads(r["body"]) for r in rows]
        shown = [
            {k: g[k] for k in ("Name", "State", "Description", "CreationTime")}
            | {"EngineVersion": g["Configuration"]["EngineVersion"]}
            for g in groups
        ]
        return paged("WorkGroups", shown, params)

    # --- named queries ----------------------------------------------------------------------------------------------

    def create_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = params.get("WorkGroup") or "primary"
        self.workgroup(group)
        token = params.get("ClientRequestToken")
        known = self.store.one("SELECT id FROM athena_named_queries WHERE token = ?", [token]) if token else None
        if known is not None:
            return {"NamedQueryId": known["id"]}
        made = str(uuid.uuid4())
        body: dict[str, Any] = {k: params[k] for k in ("Name", "Description", "Database", "QueryString") if k in params}
        body |= {"NamedQueryId": made, "WorkGroup": group}
        with self.store.write() as db:
            db.execute("INSERT INTO athena_named_queries VALUES (?, ?, ?, ?)", [made, group, token, json.dumps(body)])
        return {"NamedQueryId": made}

    def named(self, one: str) -> dict[str, Any]:
        row = self.store.one("SELECT body FROM athena_named_queries WHERE id = ?", [one])
        if row is None:
            raise invalid(f"NamedQuery {one} does not exist")
        return dict(json.loads(row["body"]))

    def get_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"NamedQuery": self.named(params["NamedQueryId"])}

    def batch_get_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        found, missing = [], []
        for one in params["NamedQueryIds"]:
            try:
                found.append(self.named(one))
            except AwsError as error:
                missing.append({"NamedQueryId": one, "ErrorCode": "INTERNAL_FAILURE", "ErrorMessage": error.message})
        return {"NamedQueries": found, "UnprocessedNamedQueryIds": missing}

    def update_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        body = self.named(params["NamedQueryId"])
        body |= {k: params[k] for k in ("Name", "Description", "QueryString") if k in params}
        with self.store.write() as db:
            db.execute(
                "UPDATE athena_named_queries SET body = ? WHERE id = ?", [json.dumps(body), body["NamedQueryId"]]
            )
        return {}

    def delete_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.named(params["NamedQueryId"])
        with self.store.write() as db:
            db.execute("DELETE FROM athena_named_queries WHERE id = ?", [params["NamedQueryId"]])
        return {}

    def list_named(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = params.get("WorkGroup") or "primary"
        self.workgroup(group)
        rows = self.store.read("SELECT id FROM athena_named_queries WHERE workgroup = ? ORDER BY rowid", [group])
        return paged("NamedQueryIds", [r["id"] for r in rows], params)

    # --- prepared statements ----------------------------------------------------------------------------------------

    def prepared(self, group: str, name: str) -> dict[str, Any]:
        row = self.store.one("SELECT body FROM athena_prepared WHERE workgroup = ? AND name = ?", [group, name])
        if row is None:
            raise AwsError("ResourceNotFoundException", f"PreparedStatement {name} was not found in workGroup {group}",
                           ResourceName=name)  # fmt: skip
        return dict(json.loads(row["body"]))

    def prepared_text(self, group: str, name: str) -> str | None:
        """The query of a prepared statement, None when there is none."""
        row = self.store.one("SELECT body FROM athena_prepared WHERE workgroup = ? AND name = ?", [group, name])
        return str(json.loads(row["body"])["QueryStatement"]) if row else None

    def put_prepared(self, group: str, name: str, query: str, description: str = "") -> None:
        body = {"StatementName": name, "QueryStatement": query, "WorkGroupName": group, "Description": description,
                "LastModifiedTime": time.time()}  # fmt: skip
        with self.store.write() as db:
            db.execute("INSERT OR REPLACE INTO athena_prepared VALUES (?, ?, ?)", [group, name, json.dumps(body)])

    def create_prepared(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group, name = params["WorkGroup"], params["StatementName"]
        self.workgroup(group)
        if self.store.one("SELECT 1 FROM athena_prepared WHERE workgroup = ? AND name = ?", [group, name]):
            raise invalid(f"PreparedStatement {name} already exists in workGroup {group}")
        self.put_prepared(group, name, params["QueryStatement"], params.get("Description") or "")
        return {}

    def get_prepared(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"PreparedStatement": self.prepared(params["WorkGroup"], params["StatementName"])}

    def update_prepared(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        old = self.prepared(params["WorkGroup"], params["StatementName"])
        description = params.get("Description", old.get("Description") or "")
        self.put_prepared(params["WorkGroup"], params["StatementName"], params["QueryStatement"], description)
        return {}

    def delete_prepared(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.prepared(params["WorkGroup"], params["StatementName"])
        self.drop_prepared(params["WorkGroup"], params["StatementName"])
        return {}

    def drop_prepared(self, group: str, name: str) -> None:
        with self.store.write() as db:
            db.execute("DELETE FROM athena_prepared WHERE workgroup = ? AND name = ?", [group, name])

    def list_prepared(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.workgroup(params["WorkGroup"])
        rows = self.store.read(
            "SELECT body FROM athena_prepared WHERE workgroup = ? ORDER BY name", [params["WorkGroup"]]
        )
        bodies = [json.loads(r["body"]) for r in rows]
        return paged(
            "PreparedStatements", [{k: b[k] for k in ("StatementName", "LastModifiedTime")} for b in bodies], params
        )

    # --- tags -------------------------------------------------------------------------------------------------------

    def put_tags(self, db: Any, arn: str, tags: list[dict[str, str]]) -> None:
        rows = [(arn, t["Key"], t.get("Value", "")) for t in tags]
        db.executemany("INSERT OR REPLACE INTO athena_tags VALUES (?, ?, ?)", rows)

    def tagged(self, arn: str) -> str:
        name = arn.rpartition("workgroup/")[2]
        if arn != self.endpoint.arn("athena", f"workgroup/{name}") and not arn.endswith("datacatalog/AwsDataCatalog"):
            raise AwsError("ResourceNotFoundException", f"{arn} is not found", ResourceName=arn)
        if "workgroup/" in arn:
            self.workgroup(name)
        return arn

    def tag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = self.tagged(params["ResourceARN"])
        with self.store.write() as db:
            self.put_tags(db, arn, params["Tags"])
        return {}

    def untag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = self.tagged(params["ResourceARN"])
        with self.store.write() as db:
            db.executemany("DELETE FROM athena_tags WHERE arn = ? AND key = ?", [(arn, k) for k in params["TagKeys"]])
        return {}

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = self.tagged(params["ResourceARN"])
        rows = self.store.read("SELECT key, value FROM athena_tags WHERE arn = ? ORDER BY key", [arn])
        return paged("Tags", [{"Key": r["key"], "Value": r["value"]} for r in rows], params)

    def list_engines(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        three = "Athena engine version 3"
        return {
            "EngineVersions": [{"SelectedEngineVersion": s, "EffectiveEngineVersion": three} for s in ("AUTO", three)]
        }

    # --- the catalog ------------------------------------------------------------------------------------------------

    @staticmethod
    def only_glue(name: str) -> None:
        if name.lower() != "awsdatacatalog":
            raise invalid(f"Data catalog {name} was not found")

    def get_data_catalog(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.only_glue(params["Name"])
        return {
            "DataCatalog": {"Name": "AwsDataCatalog", "Type": "GLUE", "Parameters": {}, "Status": "CREATE_COMPLETE"}
        }

    def list_data_catalogs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"DataCatalogsSummary": [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]}

    def glue(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """A call of the catalog; its refusals become MetadataException."""
        try:
            return dict(getattr(self.endpoint.client("glue"), operation)(**arguments))
        except ClientError as error:
            given = error.response["Error"]
            raise AwsError("MetadataException", f"{given['Code']}: {given.get('Message', '')}") from error

    def get_database(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.only_glue(params["CatalogName"])
        return {"Database": shown_database(self.glue("get_database", Name=params["DatabaseName"])["Database"])}

    def list_databases(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.only_glue(params["CatalogName"])
        answer = self.glue("get_databases", **passed(params))
        return {"DatabaseList": [shown_database(d) for d in answer["DatabaseList"]]} | more(answer)

    def get_table_metadata(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.only_glue(params["CatalogName"])
        found = self.glue("get_table", DatabaseName=params["DatabaseName"], Name=params["TableName"])
        return {"TableMetadata": shown_table(found["Table"])}

    def list_table_metadata(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self.only_glue(params["CatalogName"])
        arguments = passed(params) | {"DatabaseName": params["DatabaseName"]}
        if params.get("Expression"):
            arguments["Expression"] = params["Expression"]
        answer = self.glue("get_tables", **arguments)
        return {"TableMetadataList": [shown_table(t) for t in answer["TableList"]]} | more(answer)


def passed(params: dict[str, Any]) -> dict[str, Any]:
    return {k: params[k] for k in ("NextToken", "MaxResults") if k in params}


def more(answer: dict[str, Any]) -> dict[str, Any]:
    return {"NextToken": answer["NextToken"]} if answer.get("NextToken") else {}


def updated_results(old: dict[str, Any], updates: dict[str, Any]) -> dict[str, Any]:
    """ResultConfigurationUpdates: `Remove...` flags take away, the others set."""
    kept = dict(old)
    for key, value in updates.items():
        if key.startswith("Remove"):
            if value:
                kept.pop(key.removeprefix("Remove"), None)
        else:
            kept[key] = value
    return kept


def paged(name: str, items: list[Any], params: dict[str, Any]) -> dict[str, Any]:
    """One page; a token is the index of the next item."""
    given = params.get("NextToken") or "0"
    if not given.isdigit():
        raise invalid("NextToken is malformed.")
    start, size = int(given), params.get("MaxResults") or PAGE
    tail = {"NextToken": str(start + size)} if start + size < len(items) else {}
    return {name: items[start : start + size]} | tail


def shown_database(given: dict[str, Any]) -> dict[str, Any]:
    found = {"Name": given["Name"], "Parameters": given.get("Parameters") or {}}
    return found | ({"Description": given["Description"]} if given.get("Description") else {})


def shown_table(given: dict[str, Any]) -> dict[str, Any]:
    kept = given.get("StorageDescriptor") or {}
    info = kept.get("SerdeInfo") or {}
    extra = {"inputformat": kept.get("InputFormat"), "location": kept.get("Location"),
             "outputformat": kept.get("OutputFormat"),
             "serde.serialization.lib": info.get("SerializationLibrary")}  # fmt: skip
    parameters = (given.get("Parameters") or {}) | {k: v for k, v in extra.items() if v}
    parameters |= {f"serde.param.{k}": v for k, v in (info.get("Parameters") or {}).items()}

    def columns(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: c[k] for k in ("Name", "Type", "Comment") if c.get(k)} for c in items]

    found = {"Name": given["Name"], "TableType": given.get("TableType") or "EXTERNAL_TABLE", "Parameters": parameters,
             "Columns": columns(kept.get("Columns") or []),
             "PartitionKeys": columns(given.get("PartitionKeys") or [])}  # fmt: skip
    return found | {k: given[k] for k in ("CreateTime", "LastAccessTime") if given.get(k)}
