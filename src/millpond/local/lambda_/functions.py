"""Functions: what is deployed, its versions, aliases, permissions, tags and concurrency.

A version is a row: its configuration as Lambda shows it and the hash of its code. Code lives unpacked in
`<state>/lambda/code/<hash>`; the zip itself in the bucket `awslambda-<region>-tasks`, where GetFunction's link leads.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millpond.local.lambda_ import names, package
from millpond.local.lambda_.names import LATEST, Name
from millpond.local.lambda_.package import invalid
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

SCHEMA = """
CREATE TABLE IF NOT EXISTS lambda_versions (
    function TEXT NOT NULL, version TEXT NOT NULL, number INTEGER NOT NULL, config TEXT NOT NULL, code TEXT NOT NULL,
    PRIMARY KEY (function, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lambda_functions (
    name TEXT PRIMARY KEY, tags TEXT NOT NULL DEFAULT '{}', concurrency INTEGER,
    last_version INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS lambda_aliases (
    function TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, description TEXT NOT NULL, weights TEXT NOT NULL,
    revision TEXT NOT NULL, PRIMARY KEY (function, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lambda_permissions (
    function TEXT NOT NULL, qualifier TEXT NOT NULL, sid TEXT NOT NULL, statement TEXT NOT NULL,
    PRIMARY KEY (function, qualifier, sid)) WITHOUT ROWID;
"""

RUNTIME = re.compile(r"python3\.\d+")
OTHER_RUNTIMES = re.compile(r"(nodejs|java|dotnet|ruby|go1|provided)[\w.]*")
RESERVED_VARIABLES = frozenset(
    ["_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION",
     "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
     "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME",
     "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY",
     "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT"]
)  # fmt: skip
VARIABLE = re.compile(r"[a-zA-Z]\w+")
MAX_VARIABLES = 4096  # bytes of JSON
SETTINGS = (
    "Role", "Handler", "Description", "Timeout", "MemorySize", "Runtime", "TracingConfig", "EphemeralStorage",
    "KMSKeyArn", "DeadLetterConfig", "VpcConfig", "Environment", "LoggingConfig", "SnapStart",
)  # fmt: skip
# Settings that we would have to act upon and do not; an empty one asks for nothing.
REFUSED = ("FileSystemConfigs", "ImageConfig", "CodeSigningConfigArn", "TenancyConfig", "CapacityProviderConfig",
           "DurableConfig", "AcceleratorConfig")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a function: `config` is what Lambda shows, `code` the hex hash that names the code's folder."""

    function: str
    version: str
    config: Mapping[str, Any]
    code: str

    def shown(self, **more: Any) -> dict[str, Any]:
        return {**self.config, **more}


def not_found(arn: str) -> AwsError:
    return AwsError("ResourceNotFoundException", f"Function not found: {arn}", status=404, Type="User")


def conflict(message: str) -> AwsError:
    return AwsError("ResourceConflictException", message, status=409, Type="User")


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


class Functions:
    """See the module's docstring. `changed` is told the name of a function whose workers are out of date."""

    schema = SCHEMA

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.store = endpoint, endpoint.store
        self.changed: Any = lambda function: None

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateFunction": self.create,
            "GetFunction": self.get,
            "GetFunctionConfiguration": self.get_configuration,
            "UpdateFunctionCode": self.update_code,
            "UpdateFunctionConfiguration": self.update_configuration,
            "DeleteFunction": self.delete,
            "ListFunctions": self.list_functions,
            "PublishVersion": self.publish,
            "ListVersionsByFunction": self.list_versions,
            "CreateAlias": self.create_alias,
            "GetAlias": self.get_alias,
            "UpdateAlias": self.update_alias,
            "DeleteAlias": self.delete_alias,
            "ListAliases": self.list_aliases,
            "AddPermission": self.add_permission,
            "RemovePermission": self.remove_permission,
            "GetPolicy": self.get_policy,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTags": self.list_tags,
            "PutFunctionConcurrency": self.put_concurrency,
            "GetFunctionConcurrency": self.get_concurrency,
            "DeleteFunctionConcurrency": self.delete_concurrency,
            "GetAccountSettings": self.account_settings,
        }

    # Lookups, also for other parts of the room

    def arn(self, name: str, qualifier: str | None = None) -> str:
        return self.endpoint.arn("lambda", f"function:{name}" + (f":{qualifier}" if qualifier else ""))

    def find(self, name: Name) -> Version:
        """The version that a name means; an alias leads to its (first) version. Raises ResourceNotFoundException."""
        wanted = name.version
        if wanted != LATEST and not wanted.isdigit():
            alias = self.store.one(
                "SELECT version FROM lambda_aliases WHERE function = ? AND name = ?", (name.name, wanted)
            )
            wanted = alias["version"] if alias else wanted
        row = self.store.one("SELECT * FROM lambda_versions WHERE function = ? AND version = ?", (name.name, wanted))
        if row is None:
            raise not_found(self.arn(name.name, name.qualifier))
        return _version(row)

    def weights(self, name: Name) -> Mapping[str, float]:
        """An alias's additional versions and their shares."""
        row = self.store.one(
            "SELECT weights FROM lambda_aliases WHERE function = ? AND name = ?", (name.name, name.version)
        )
        return json.loads(row["weights"]) if row else {}

    def concurrency(self, function: str) -> int | None:
        row = self.store.one("SELECT concurrency FROM lambda_functions WHERE name = ?", (function,))
        return row["concurrency"] if row else None

    def folder(self, version: Version) -> Path:
        return self.endpoint.folder("lambda", "code") / version.code

    # Functions

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"]).name
        if params.get("PackageType", "Zip") != "Zip":
            raise unsupported("lambda", "CreateFunction", "Container images do not run here: there is no Docker.")
        if "Runtime" not in params or "Handler" not in params:
            raise invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages."
            )
        config = _defaults(params) | self._settings(params)
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM lambda_functions WHERE name = ?", (name,)).fetchone():
                raise conflict(f"Function already exist: {name}")
        code, size, sha = self._code(params["Code"], call)
        config |= {
            "FunctionName": name, "FunctionArn": self.arn(name), "CodeSize": size, "CodeSha256": sha, "Version": LATEST,
        }  # fmt: skip
        config["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"} | config.get(
            "LoggingConfig", {}
        )
        made = Version(name, LATEST, _touched(config), code)
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM lambda_functions WHERE name = ?", (name,)).fetchone():
                raise conflict(f"Function already exist: {name}")
            db.execute(
                "INSERT INTO lambda_functions (name, tags) VALUES (?, ?)", (name, json.dumps(params.get("Tags", {})))
            )
            _keep(db, made, 0)
        if params.get("Publish"):
            return self._publish(name, "").shown()
        return made.shown()

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        found = self.find(name)
        link = self.endpoint.client("s3").generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": found.code}, ExpiresIn=600
        )
        answer = {
            "Configuration": self._addressed(found, name),
            "Code": {"RepositoryType": "S3", "Location": link},
            "Tags": self._tags(name.name),
        }
        reserved = self.concurrency(name.name)
        if reserved is not None:
            answer["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
        return answer

    def get_configuration(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        return self._addressed(self.find(name), name)

    def _addressed(self, found: Version, name: Name) -> dict[str, Any]:
        """The configuration with the ARN by which it was asked for."""
        return found.shown(FunctionArn=self.arn(name.name, name.qualifier))

    def update_code(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"])
        found = self.find(Name(name.name))
        _check_revision(found, params)
        code, size, sha = self._code(params, call)
        if params.get("DryRun"):
            return found.shown(CodeSize=size, CodeSha256=sha)
        config = dict(found.config) | {"CodeSize": size, "CodeSha256": sha}
        if architectures := params.get("Architectures"):
            config["Architectures"] = architectures
        return self._replace(found, config, code, publish=params.get("Publish", False))

    def update_configuration(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"])
        found = self.find(Name(name.name))
        _check_revision(found, params)
        config = dict(found.config) | self._settings(params)
        return self._replace(found, config, found.code, publish=False)

    def _replace(self, found: Version, config: dict[str, Any], code: str, *, publish: bool) -> dict[str, Any]:
        fresh = Version(found.function, LATEST, _touched(config), code)
        with self.store.write() as db:
            _keep(db, fresh, 0)
        self.changed(found.function)
        return self._publish(found.function, "").shown() if publish else fresh.shown()

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        if name.qualifier == LATEST:
            raise invalid("$LATEST version cannot be deleted without deleting the function.")
        self.find(name)
        with self.store.write() as db:
            if name.qualifier is None:
                for table in ("versions", "aliases", "permissions", "event_configs"):
                    db.execute(f"DELETE FROM lambda_{table} WHERE function = ?", (name.name,))
                db.execute("DELETE FROM lambda_functions WHERE name = ?", (name.name,))
            else:
                pointing = "SELECT name FROM lambda_aliases WHERE function = ? AND version = ?"
                if db.execute(pointing, (name.name, name.qualifier)).fetchone():
                    raise conflict(f"Function version {name.qualifier} is in use by an alias.")
                db.execute(
                    "DELETE FROM lambda_versions WHERE function = ? AND version = ?", (name.name, name.qualifier)
                )
                settings = "DELETE FROM lambda_event_configs WHERE function = ? AND qualifier = ?"
                db.execute(settings, (name.name, name.qualifier))
        self.changed(name.name)
        return {}

    def list_functions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        every = "" if params.get("FunctionVersion") == "ALL" else f"AND version = '{LATEST}'"
        limit = min(params.get("MaxItems", 50), 50)
        after = params.get("Marker", "\t").split("\t")
        sql = f"""SELECT * FROM lambda_versions WHERE (function, version) > (?, ?) {every}
                  ORDER BY function, version LIMIT ?"""
        rows = self.store.read(sql, (after[0], after[-1], limit + 1))
        answer: dict[str, Any] = {"Functions": [_version(row).shown() for row in rows[:limit]]}
        if len(rows) > limit:
            answer["NextMarker"] = f"{rows[limit - 1]['function']}\t{rows[limit - 1]['version']}"
        return answer

    # Code and settings

    @property
    def _bucket(self) -> str:
        return f"awslambda-{self.endpoint.region}-tasks"  # hidden from ListBuckets, as on AWS

    def _code(self, given: Mapping[str, Any], call: Call) -> tuple[str, int, str]:
        """(folder name, size of the zip, hash as shown) of code given inline or in S3."""
        archive = self.archive(given)
        folder = package.unpack(archive, self.endpoint.folder("lambda", "code")).name
        s3 = self.endpoint.client("s3")
        s3.create_bucket(Bucket=self._bucket)
        s3.put_object(Bucket=self._bucket, Key=folder, Body=archive)
        return folder, len(archive), package.sha256_of(archive)

    def archive(self, given: Mapping[str, Any]) -> bytes:
        """The zip of `Code` or `Content`."""
        if given.get("ImageUri"):
            raise unsupported("lambda", "container images", "There is no Docker.")
        if given.get("ZipFile"):
            return bytes(given["ZipFile"])
        if not (given.get("S3Bucket") and given.get("S3Key")):
            raise invalid("Please provide a source for function code.")
        where = {"Bucket": given["S3Bucket"], "Key": given["S3Key"]}
        if version := given.get("S3ObjectVersion"):
            where["VersionId"] = version
        s3 = self.endpoint.client("s3")
        try:
            return bytes(s3.get_object(**where)["Body"].read())
        except s3.exceptions.ClientError as error:
            found = error.response["Error"]
            raise invalid(
                f"Error occurred while GetObject. S3 Error Code: {found['Code']}. S3 Error Message: {found['Message']}"
            ) from None

    def _settings(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The given settings, checked, in the shape in which they are shown."""
        for name in REFUSED:
            if params.get(name):
                raise unsupported("lambda", f"functions with {name}")
        _check_runtime(params.get("Runtime"))
        _check_numbers(params)
        given = {name: params[name] for name in SETTINGS if name in params}
        if "Environment" in given:
            given["Environment"] = {"Variables": _variables(given["Environment"].get("Variables", {}))}
        if "SnapStart" in given:
            if given["SnapStart"].get("ApplyOn") == "PublishedVersions":
                raise unsupported("lambda", "SnapStart")
            given["SnapStart"] = {"ApplyOn": "None", "OptimizationStatus": "Off"}
        if "Layers" in params:
            given["Layers"] = [self._layer(arn) for arn in params["Layers"]]
        return given

    def _layer(self, arn: str) -> dict[str, Any]:
        found = names.LAYER.fullmatch(arn)
        sql = "SELECT size FROM lambda_layers WHERE name = ? AND version = ?"
        row = self.store.one(sql, (found["name"], int(found["version"]))) if found and found["version"] else None
        if row is None:
            raise invalid(f"Layer version {arn} does not exist.")
        return {"Arn": arn, "CodeSize": row["size"]}

    # Versions and aliases

    def publish(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"])
        found = self.find(Name(name.name))
        _check_revision(found, params)
        if params.get("CodeSha256") not in (None, "", found.config["CodeSha256"]):
            raise invalid(
                f"CodeSHA256 ({params['CodeSha256']}) is different from current CodeSHA256 in $LATEST"
                f" ({found.config['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST."
            )
        return self._publish(name.name, params.get("Description", "")).shown()

    def _publish(self, function: str, description: str) -> Version:
        with self.store.write() as db:
            row = db.execute(
                "SELECT * FROM lambda_versions WHERE function = ? AND version = ?", (function, LATEST)
            ).fetchone()
            latest = _version(row)
            newest = db.execute(
                "SELECT * FROM lambda_versions WHERE function = ? ORDER BY number DESC LIMIT 1", (function,)
            ).fetchone()
            if newest["number"] and _same(_version(newest), latest):
                return _version(newest)  # nothing has changed since: Lambda answers with the version that there is
            (number,) = db.execute(
                "UPDATE lambda_functions SET last_version = last_version + 1 WHERE name = ? RETURNING last_version",
                (function,),
            ).fetchone()
            config = dict(latest.config) | {"Version": str(number), "FunctionArn": self.arn(function, str(number))}
            config |= {"RevisionId": str(uuid.uuid4())} | ({"Description": description} if description else {})
            made = Version(function, str(number), config, latest.code)
            _keep(db, made, number)
        return made

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"])
        self.find(Name(name.name))
        rows = self.store.read("SELECT * FROM lambda_versions WHERE function = ? ORDER BY number", (name.name,))
        start, limit = int(params.get("Marker", "0")), min(params.get("MaxItems", 50), 50)
        page = [_version(row) for row in rows[start : start + limit]]
        answer: dict[str, Any] = {"Versions": [v.shown(FunctionArn=self.arn(name.name, v.version)) for v in page]}
        if start + limit < len(rows):
            answer["NextMarker"] = str(start + limit)
        return answer

    def create_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        function, alias = names.parse(params["FunctionName"]).name, params["Name"]
        if alias.isdigit() or alias == LATEST:
            raise invalid("Alias name must not be a number or $LATEST")
        self.find(Name(function, params["FunctionVersion"]))
        with self.store.write() as db:
            if db.execute("SELECT 1 FROM lambda_aliases WHERE function = ? AND name = ?", (function, alias)).fetchone():
                raise conflict(f"Alias already exists: {self.arn(function, alias)}")
            self._keep_alias(db, function, params)
        return self.get_alias(params, call)

    def update_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        function = names.parse(params["FunctionName"]).name
        present = self.get_alias(params, call)
        self.find(Name(function, params.get("FunctionVersion", present["FunctionVersion"])))
        with self.store.write() as db:
            self._keep_alias(db, function, {**present, **params})
        return self.get_alias(params, call)

    def _keep_alias(self, db: sqlite3.Connection, function: str, params: Mapping[str, Any]) -> None:
        weights = params.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
        for version, weight in weights.items():
            self.find(Name(function, version))
            if not 0 <= weight <= 1:
                raise invalid("Routing weights must be between 0.0 and 1.0")
        db.execute(
            "INSERT OR REPLACE INTO lambda_aliases (function, name, version, description, weights, revision)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (function, params["Name"], params["FunctionVersion"], params.get("Description", ""), json.dumps(weights),
             str(uuid.uuid4())),
        )  # fmt: skip

    def get_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        function, alias = names.parse(params["FunctionName"]).name, params["Name"]
        self.find(Name(function))
        row = self.store.one("SELECT * FROM lambda_aliases WHERE function = ? AND name = ?", (function, alias))
        if row is None:
            text = f"Cannot find alias arn: {self.arn(function, alias)}"
            raise AwsError("ResourceNotFoundException", text, status=404, Type="User")
        return self._alias(row)

    def _alias(self, row: sqlite3.Row) -> dict[str, Any]:
        weights = json.loads(row["weights"])
        shown = {
            "AliasArn": self.arn(row["function"], row["name"]), "Name": row["name"], "FunctionVersion": row["version"],
            "Description": row["description"], "RevisionId": row["revision"],
        }  # fmt: skip
        return shown | ({"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {})

    def delete_alias(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        function = names.parse(params["FunctionName"]).name
        with self.store.write() as db:
            db.execute("DELETE FROM lambda_aliases WHERE function = ? AND name = ?", (function, params["Name"]))
        return {}

    def list_aliases(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        function = names.parse(params["FunctionName"]).name
        self.find(Name(function))
        rows = self.store.read("SELECT * FROM lambda_aliases WHERE function = ? ORDER BY name", (function,))
        wanted = params.get("FunctionVersion")
        return {"Aliases": [self._alias(row) for row in rows if wanted in (None, row["version"])]}

    # Permissions: kept and shown; not enforced, since locally there is one account

    def add_permission(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        self.find(name)
        statement = _statement(params, self.arn(name.name, name.qualifier))
        with self.store.write() as db:
            key = (name.name, name.qualifier or "", params["StatementId"])
            sql = "SELECT 1 FROM lambda_permissions WHERE function = ? AND qualifier = ? AND sid = ?"
            if db.execute(sql, key).fetchone():
                raise conflict(
                    f"The statement id ({params['StatementId']}) provided already exists. Please provide a new"
                    " statement id, or remove the existing statement."
                )
            db.execute(
                "INSERT INTO lambda_permissions (function, qualifier, sid, statement) VALUES (?, ?, ?, ?)",
                (*key, json.dumps(statement)),
            )
        return {"Statement": json.dumps(statement)}

    def remove_permission(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        self.find(name)
        with self.store.write() as db:
            gone = db.execute(
                "DELETE FROM lambda_permissions WHERE function = ? AND qualifier = ? AND sid = ?",
                (name.name, name.qualifier or "", params["StatementId"]),
            )
            if not gone.rowcount:
                text = f"Statement {params['StatementId']} is not found in resource policy."
                raise AwsError("ResourceNotFoundException", text, status=404, Type="User")
        return {}

    def get_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"], params.get("Qualifier"))
        self.find(name)
        sql = "SELECT statement FROM lambda_permissions WHERE function = ? AND qualifier = ? ORDER BY sid"
        rows = self.store.read(sql, (name.name, name.qualifier or ""))
        if not rows:
            text = "The resource you requested does not exist."
            raise AwsError("ResourceNotFoundException", text, status=404, Type="User")
        statements = [json.loads(row["statement"]) for row in rows]
        policy = json.dumps({"Version": "2012-10-17", "Id": "default", "Statement": statements})
        return {"Policy": policy, "RevisionId": hashlib.md5(policy.encode(), usedforsecurity=False).hexdigest()}

    # Tags, concurrency, account

    def _tags(self, function: str) -> dict[str, str]:
        row = self.store.one("SELECT tags FROM lambda_functions WHERE name = ?", (function,))
        if row is None:
            raise not_found(self.arn(function))
        return dict(json.loads(row["tags"]))

    def tag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["Resource"]).name
        self._set_tags(name, self._tags(name) | params["Tags"])
        return {}

    def untag(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["Resource"]).name
        self._set_tags(name, {key: value for key, value in self._tags(name).items() if key not in params["TagKeys"]})
        return {}

    def _set_tags(self, function: str, tags: Mapping[str, str]) -> None:
        if len(tags) > 50:
            raise invalid("The number of tags exceeds the limit of 50")
        with self.store.write() as db:
            db.execute("UPDATE lambda_functions SET tags = ? WHERE name = ?", (json.dumps(dict(tags)), function))

    def list_tags(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"Tags": self._tags(names.parse(params["Resource"]).name)}

    def put_concurrency(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self._set_concurrency(params, params["ReservedConcurrentExecutions"])
        return {"ReservedConcurrentExecutions": params["ReservedConcurrentExecutions"]}

    def delete_concurrency(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        self._set_concurrency(params, None)
        return {}

    def _set_concurrency(self, params: Mapping[str, Any], wanted: int | None) -> None:
        name = names.parse(params["FunctionName"]).name
        self.find(Name(name))
        with self.store.write() as db:
            db.execute("UPDATE lambda_functions SET concurrency = ? WHERE name = ?", (wanted, name))

    def get_concurrency(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = names.parse(params["FunctionName"]).name
        self.find(Name(name))
        reserved = self.concurrency(name)
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def account_settings(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = self.store.read("SELECT config FROM lambda_versions")
        size = sum(json.loads(row["config"])["CodeSize"] for row in rows)
        count = self.store.read("SELECT count(*) AS n FROM lambda_functions")[0]["n"]
        return {
            "AccountLimit": {
                "TotalCodeSize": 80530636800, "CodeSizeUnzipped": package.MAX_UNZIPPED, "CodeSizeZipped": 52428800,
                "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000,
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": count},
        }  # fmt: skip


def _version(row: sqlite3.Row) -> Version:
    return Version(row["function"], row["version"], json.loads(row["config"]), row["code"])


def _keep(db: sqlite3.Connection, version: Version, number: int) -> None:
    db.execute(
        "INSERT OR REPLACE INTO lambda_versions (function, version, number, config, code) VALUES (?, ?, ?, ?, ?)",
        (version.function, version.version, number, json.dumps(dict(version.config)), version.code),
    )


def _same(one: Version, other: Version) -> bool:
    apart = {"Version", "FunctionArn", "RevisionId", "LastModified", "Description"}
    left, right = ({k: v for k, v in version.config.items() if k not in apart} for version in (one, other))
    return one.code == other.code and left == right


def _touched(config: Mapping[str, Any]) -> dict[str, Any]:
    """With a new revision, as after every change."""
    return {**config, "LastModified": now(), "RevisionId": str(uuid.uuid4()), "State": "Active",
            "LastUpdateStatus": "Successful"}  # fmt: skip


def _defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "TracingConfig": {"Mode": "PassThrough"},
        "PackageType": "Zip",
        "Architectures": params.get("Architectures") or ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
    }


def _check_revision(found: Version, params: Mapping[str, Any]) -> None:
    if params.get("RevisionId") not in (None, found.config["RevisionId"]):
        raise AwsError(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to"
            " retrieve the latest Revision Id",
            status=412,
            Type="User",
        )


def _check_runtime(runtime: str | None) -> None:
    if runtime is None or RUNTIME.fullmatch(runtime):
        return
    if OTHER_RUNTIMES.fullmatch(runtime):
        raise unsupported("lambda", f"the runtime {runtime}", "Only Python functions run here.")
    raise invalid(f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set")


def _check_numbers(params: Mapping[str, Any]) -> None:
    for name, low, high in (("Timeout", 1, 900), ("MemorySize", 128, 10240)):
        value = params.get(name)
        if value is not None and not low <= value <= high:
            raise invalid(
                f"'{name}' value failed to satisfy constraint: Member must have value between {low} and {high}"
            )


def _variables(variables: Mapping[str, str]) -> dict[str, str]:
    start = (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
    )
    if reserved := sorted(RESERVED_VARIABLES & variables.keys()):
        raise invalid(
            f"{start} contains reserved keys that are currently not supported for modification. Reserved keys used in"
            f" this request: {', '.join(reserved)}"
        )
    if bad := [name for name in variables if not VARIABLE.fullmatch(name)]:
        raise invalid(f"The environment variable name {bad[0]!r} must match [a-zA-Z]([a-zA-Z0-9_])+")
    if len(json.dumps(dict(variables), ensure_ascii=False).encode()) > MAX_VARIABLES:
        raise invalid(f"{start} exceeded the 4KB limit. String measured: {json.dumps(dict(variables))[:100]}")
    return dict(variables)


def _statement(params: Mapping[str, Any], arn: str) -> dict[str, Any]:
    principal = params["Principal"]
    kind = "Service" if "." in principal else "AWS"
    shown: Any = "*" if principal == "*" else {kind: principal}
    statement = {"Sid": params["StatementId"], "Effect": "Allow", "Principal": shown, "Action": params["Action"],
                 "Resource": arn}  # fmt: skip
    conditions: dict[str, dict[str, str]] = {}
    if "SourceArn" in params:
        conditions["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    if "SourceAccount" in params:
        conditions["StringEquals"] = {"AWS:SourceAccount": params["SourceAccount"]}
    return statement | ({"Condition": conditions} if conditions else {})
