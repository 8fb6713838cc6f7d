"""Secrets Manager: secrets with versions and staging labels, in the endpoint's store.

The ARN's six random characters are kept, so a restart does not change it. A secret is found by name, ARN or the ARN
without that suffix. Values are never logged; the state folder is 0700 and its database 0600.

Not carried: rotation, replication. KMS keys are remembered, values are not encrypted with them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
import secrets
import string
import time
import uuid
from typing import Any

from millpond.local.service import AwsError, Call, Endpoint, Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets_items (
    arn TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT, kms TEXT, created REAL NOT NULL,
    changed REAL NOT NULL, accessed REAL, deleted REAL, policy TEXT, tags TEXT NOT NULL DEFAULT '[]');
CREATE TABLE IF NOT EXISTS secrets_versions (
    arn TEXT NOT NULL, id TEXT NOT NULL, stages TEXT NOT NULL, text TEXT, bytes BLOB, created REAL NOT NULL,
    PRIMARY KEY (arn, id));
"""

CURRENT, PREVIOUS = "AWSCURRENT", "AWSPREVIOUS"
DAY = 24 * 3600
LARGEST = 65_536  # bytes of a value: AWS, "Secrets Manager quotas"
KEPT_VERSIONS = 100


class Secrets:
    """See the module's docstring."""

    name = "secretsmanager"
    schema = SCHEMA
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint, self._store = endpoint, endpoint.store

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateSecret": self.create,
            "GetSecretValue": self.get_value,
            "BatchGetSecretValue": self.get_values,
            "PutSecretValue": self.put_value,
            "UpdateSecret": self.update,
            "DeleteSecret": self.delete,
            "RestoreSecret": self.restore,
            "DescribeSecret": self.describe,
            "ListSecrets": self.list_secrets,
            "ListSecretVersionIds": self.list_versions,
            "UpdateSecretVersionStage": self.move_stage,
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "PutResourcePolicy": self.put_policy,
            "GetResourcePolicy": self.get_policy,
            "DeleteResourcePolicy": self.delete_policy,
            "GetRandomPassword": self.random_password,
        }

    def start(self) -> None:
        self._purge()

    def stop(self) -> None:
        pass

    # -- finding -----------------------------------------------------------------------------------------------------

    def _purge(self) -> None:
        """Delete for good what the recovery window has left behind."""
        gone = self._store.read("SELECT arn FROM secrets_items WHERE deleted <= ?", (time.time(),))
        for row in gone:
            self._erase(row["arn"])

    def _erase(self, arn: str) -> None:
        with self._store.write() as db:
            db.execute("DELETE FROM secrets_versions WHERE arn = ?", (arn,))
            db.execute("DELETE FROM secrets_items WHERE arn = ?", (arn,))

    def _item(self, said: str, *, also_deleted: bool = False) -> Any:
        row = self._store.one("SELECT * FROM secrets_items WHERE name = ?1 OR arn = ?1", (said,))
        if row is None and said.startswith("arn:"):
            name = said.rpartition(":secret:")[2]
            row = self._store.one("SELECT * FROM secrets_items WHERE name = ?", (name,))
        if row is None or (row["deleted"] or math.inf) <= time.time():
            raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        if row["deleted"] and not also_deleted:
            text = "You can't perform this operation on the secret because it was marked for deletion."
            raise AwsError("InvalidRequestException", text)
        return row

    def _versions(self, arn: str) -> list[dict[str, Any]]:
        rows = self._store.read("SELECT * FROM secrets_versions WHERE arn = ? ORDER BY created, rowid", (arn,))
        return [dict(row) | {"stages": json.loads(row["stages"])} for row in rows]

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,512}", name):
            text = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: "
            raise AwsError("ValidationException", text + "-/_+=.@!")
        _check_value(params)
        self._purge()
        with self._store.write():
            row = self._store_item(name)
            if row is not None:
                return self._created_before(row, params)
            suffix = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(6))
            arn = self._endpoint.arn("secretsmanager", f"secret:{name}-{suffix}")
            now = time.time()
            with self._store.write() as db:
                db.execute(
                    "INSERT INTO secrets_items (arn, name, description, kms, created, changed, tags)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        arn,
                        name,
                        params.get("Description"),
                        params.get("KmsKeyId"),
                        now,
                        now,
                        json.dumps(params.get("Tags", [])),
                    ),
                )
            version = self._add(arn, [], params, [CURRENT]) if _has_value(params) else None
        return {"ARN": arn, "Name": name, "VersionId": version}

    def _store_item(self, name: str) -> Any:
        with self._store.write() as db:
            return db.execute("SELECT * FROM secrets_items WHERE name = ?", (name,)).fetchone()

    def _created_before(self, row: Any, params: dict[str, Any]) -> dict[str, Any]:
        """A repeated CreateSecret with the same token and value is answered as the first; any other is refused."""
        if row["deleted"]:
            text = "You can't create this secret because a secret with this name is already scheduled for deletion."
            raise AwsError("InvalidRequestException", text)
        token = params.get("ClientRequestToken")
        for version in self._versions(row["arn"]):
            if version["id"] == token and _same(version, params):
                return {"ARN": row["arn"], "Name": row["name"], "VersionId": token}
        text = f"The operation failed because the secret {row['name']} already exists."
        raise AwsError("ResourceExistsException", text)

    def _add(self, arn: str, versions: list[dict[str, Any]], params: dict[str, Any], stages: list[str]) -> str:
        """A new version with these labels; it takes them from the versions that had them."""
        token = str(params.get("ClientRequestToken") or uuid.uuid4())
        for version in versions:
            if version["id"] == token:
                if _same(version, params):
                    return token
                text = f"You can't use ClientRequestToken {token} because that value is already in use for a version."
                raise AwsError("ResourceExistsException", text)
        with self._store.write() as db:
            db.execute(
                "INSERT INTO secrets_versions (arn, id, stages, text, bytes, created) VALUES (?, ?, '[]', ?, ?, ?)",
                (arn, token, params.get("SecretString"), params.get("SecretBinary"), time.time()),
            )
            for stage in stages:
                self._move(db, arn, stage, token)
            db.execute("UPDATE secrets_items SET changed = ? WHERE arn = ?", (time.time(), arn))
            self._forget_old(db, arn)
        return token

    @staticmethod
    def _move(db: Any, arn: str, stage: str, to: str | None) -> None:
        rows = db.execute("SELECT id, stages FROM secrets_versions WHERE arn = ?", (arn,)).fetchall()
        labels = {row["id"]: json.loads(row["stages"]) for row in rows}
        holder = next((name for name, stages in labels.items() if stage in stages), None)
        if holder == to:
            return
        if holder is not None:
            labels[holder].remove(stage)
            if stage == CURRENT:
                for stages in labels.values():
                    if PREVIOUS in stages:
                        stages.remove(PREVIOUS)
                labels[holder].append(PREVIOUS)
        if to is not None:
            labels[to] = [label for label in labels[to] if not (stage == CURRENT and label == PREVIOUS)] + [stage]
        for name, stages in labels.items():
            db.execute(
                "UPDATE secrets_versions SET stages = ? WHERE arn = ? AND id = ?", (json.dumps(stages), arn, name)
            )

    @staticmethod
    def _forget_old(db: Any, arn: str) -> None:
        db.execute(
            "DELETE FROM secrets_versions WHERE arn = ?1 AND stages = '[]' AND id NOT IN"
            " (SELECT id FROM secrets_versions WHERE arn = ?1 ORDER BY created DESC LIMIT ?2)",
            (arn, KEPT_VERSIONS),
        )

    def put_value(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        _check_value(params)
        if not _has_value(params):
            raise AwsError("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
        with self._store.write():
            row = self._item(params["SecretId"])
            stages = params.get("VersionStages", [CURRENT])
            versions = self._versions(row["arn"])
            if not any(CURRENT in version["stages"] for version in versions) and CURRENT not in stages:
                stages = [*stages, CURRENT]
            token = self._add(row["arn"], versions, params, stages)
        return {"ARN": row["arn"], "Name": row["name"], "VersionId": token, "VersionStages": stages}

    def update(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        _check_value(params)
        with self._store.write() as db:
            row = self._item(params["SecretId"])
            for member, column in (("Description", "description"), ("KmsKeyId", "kms")):
                if member in params:
                    db.execute(
                        f"UPDATE secrets_items SET {column} = ?, changed = ? WHERE arn = ?",
                        (params[member], time.time(), row["arn"]),
                    )
            version = None
            if _has_value(params):
                version = self._add(row["arn"], self._versions(row["arn"]), params, [CURRENT])
        return {"ARN": row["arn"], "Name": row["name"], "VersionId": version}

    def move_stage(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self._store.write() as db:
            row = self._item(params["SecretId"])
            labels = {version["id"]: version["stages"] for version in self._versions(row["arn"])}
            stage, source, target = (
                params["VersionStage"],
                params.get("RemoveFromVersionId"),
                params.get("MoveToVersionId"),
            )
            for named in (source, target):
                if named is not None and named not in labels:
                    raise AwsError("ResourceNotFoundException", "Secrets Manager can't find the specified version.")
            holder = next((name for name, stages in labels.items() if stage in stages), None)
            if holder is not None and holder not in (source, target):
                text = f"RemoveFromVersionId can't be empty. Staging label {stage} is attached to {holder}."
                raise AwsError("InvalidParameterException", text)
            if stage == CURRENT and target is None:
                raise AwsError("InvalidParameterException", "You can only move staging label AWSCURRENT to a version.")
            self._move(db, row["arn"], stage, target)
        return {"ARN": row["arn"], "Name": row["name"]}

    # -- reading -----------------------------------------------------------------------------------------------------

    def get_value(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"])
        version = self._version(row, params.get("VersionId"), params.get("VersionStage"))
        with self._store.write() as db:  # AWS keeps the day, not the moment
            today = time.time() // DAY * DAY
            db.execute(
                "UPDATE secrets_items SET accessed = ? WHERE arn = ? AND accessed IS NOT ?", (today, row["arn"], today)
            )
        return {
            "ARN": row["arn"],
            "Name": row["name"],
            "VersionId": version["id"],
            "SecretString": version["text"],
            "SecretBinary": version["bytes"],
            "VersionStages": version["stages"],
            "CreatedDate": version["created"],
        }

    def _version(self, row: Any, wanted: str | None, stage: str | None) -> dict[str, Any]:
        label = stage or (None if wanted else CURRENT)
        for version in self._versions(row["arn"]):
            if wanted in (None, version["id"]) and (label is None or label in version["stages"]):
                return version
        what = f"VersionId: {wanted}" if wanted else f"staging label: {label}"
        text = f"Secrets Manager can't find the specified secret value for {what}"
        raise AwsError("ResourceNotFoundException", text)

    def get_values(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        if ("SecretIdList" in params) == ("Filters" in params):
            text = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
            raise AwsError("InvalidParameterException", text)
        wanted = params.get("SecretIdList") or [row["name"] for row in self._found(params)]
        values, errors = [], []
        for said in wanted:
            try:
                values.append(self.get_value({"SecretId": said}, call))
            except AwsError as error:
                errors.append({"SecretId": said, "ErrorCode": error.code, "Message": error.message})
        return {"SecretValues": values, "Errors": errors}

    def describe(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"], also_deleted=True)
        stages = {version["id"]: version["stages"] for version in self._versions(row["arn"]) if version["stages"]}
        return _described(row) | {"VersionIdsToStages": stages or None}

    def list_secrets(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        rows = self._found(params)
        begin, limit = _offset(params.get("NextToken")), params.get("MaxResults", 100)
        page = []
        for row in rows[begin : begin + limit]:
            stages = {version["id"]: version["stages"] for version in self._versions(row["arn"]) if version["stages"]}
            page.append(_described(row) | {"SecretVersionsToStages": stages or None})
        return {"SecretList": page, "NextToken": str(begin + limit) if begin + limit < len(rows) else None}

    def _found(self, params: dict[str, Any]) -> list[Any]:
        self._purge()
        order = "DESC" if params.get("SortOrder", "desc") == "desc" else "ASC"
        rows = self._store.read(f"SELECT * FROM secrets_items ORDER BY created {order}, rowid {order}")
        if not params.get("IncludePlannedDeletion"):
            rows = [row for row in rows if not row["deleted"]]
        for asked in params.get("Filters", ()):
            rows = [row for row in rows if _fits(row, asked.get("Key", "all"), asked.get("Values", []))]
        return rows

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"], also_deleted=True)
        shown = [
            {"VersionId": version["id"], "VersionStages": version["stages"] or None, "CreatedDate": version["created"]}
            for version in self._versions(row["arn"])
            if version["stages"] or params.get("IncludeDeprecated")
        ]
        return {"Versions": shown, "ARN": row["arn"], "Name": row["name"]}

    # -- deleting ----------------------------------------------------------------------------------------------------

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        force, days = params.get("ForceDeleteWithoutRecovery", False), params.get("RecoveryWindowInDays")
        if force and days is not None:
            text = "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays."
            raise AwsError("InvalidParameterException", text)
        if days is not None and not 7 <= days <= 30:
            text = "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
            raise AwsError("InvalidParameterException", text)
        try:
            row = self._item(params["SecretId"], also_deleted=force)
        except AwsError as error:
            if force and error.code == "ResourceNotFoundException":  # AWS: force succeeds, what is gone is gone
                name = params["SecretId"]
                return {
                    "ARN": self._endpoint.arn("secretsmanager", f"secret:{name}"),
                    "Name": name,
                    "DeletionDate": time.time(),
                }
            raise
        when = time.time() + (0 if force else (days or 30) * DAY)
        if force:
            self._erase(row["arn"])
        else:
            self._set(row["arn"], "deleted", when)
        return {"ARN": row["arn"], "Name": row["name"], "DeletionDate": when}

    def restore(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"], also_deleted=True)
        self._set(row["arn"], "deleted", None)
        return {"ARN": row["arn"], "Name": row["name"]}

    def _set(self, arn: str, column: str, value: Any) -> None:
        with self._store.write() as db:
            db.execute(f"UPDATE secrets_items SET {column} = ? WHERE arn = ?", (value, arn))

    # -- the rest ----------------------------------------------------------------------------------------------------

    def tag(self, params: dict[str, Any], call: Call) -> None:
        row = self._item(params["SecretId"])
        tags = {tag["Key"]: tag for tag in [*json.loads(row["tags"]), *params["Tags"]]}
        self._set(row["arn"], "tags", json.dumps(list(tags.values())))

    def untag(self, params: dict[str, Any], call: Call) -> None:
        row = self._item(params["SecretId"])
        kept = [tag for tag in json.loads(row["tags"]) if tag["Key"] not in params["TagKeys"]]
        self._set(row["arn"], "tags", json.dumps(kept))

    def put_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"])
        try:
            json.loads(params["ResourcePolicy"])
        except ValueError:
            text = "This resource policy contains invalid Json"
            raise AwsError("MalformedPolicyDocumentException", text) from None
        self._set(row["arn"], "policy", params["ResourcePolicy"])
        return {"ARN": row["arn"], "Name": row["name"]}

    def get_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"])
        return {"ARN": row["arn"], "Name": row["name"], "ResourcePolicy": row["policy"]}

    def delete_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self._item(params["SecretId"])
        self._set(row["arn"], "policy", None)
        return {"ARN": row["arn"], "Name": row["name"]}

    def random_password(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        kinds = {
            "ExcludeLowercase": string.ascii_lowercase,
            "ExcludeUppercase": string.ascii_uppercase,
            "ExcludeNumbers": string.digits,
            "ExcludePunctuation": string.punctuation,
        }
        barred = params.get("ExcludeCharacters", "")
        pools = ["".join(c for c in pool if c not in barred) for name, pool in kinds.items() if not params.get(name)]
        pools = [pool for pool in pools if pool]
        every = "".join(pools) + (" " if params.get("IncludeSpace") else "")
        length = params.get("PasswordLength", 32)
        must = pools if params.get("RequireEachIncludedType", True) else []
        if not every or length < len(must):
            raise AwsError("InvalidParameterException", "No password can be made with these exclusions and length.")
        made = [secrets.choice(pool) for pool in must]
        made += [secrets.choice(every) for _ in range(length - len(made))]
        secrets.SystemRandom().shuffle(made)
        return {"RandomPassword": "".join(made)}


def _has_value(params: dict[str, Any]) -> bool:
    return "SecretString" in params or "SecretBinary" in params


def _check_value(params: dict[str, Any]) -> None:
    if "SecretString" in params and "SecretBinary" in params:
        raise AwsError(
            "InvalidRequestException", "You can't specify both a binary secret value and a string secret value."
        )
    value = params.get("SecretBinary", params.get("SecretString", "").encode())
    if len(value) > LARGEST:
        raise AwsError("ValidationException", f"The secret value is larger than {LARGEST} bytes.")


def _same(version: dict[str, Any], params: dict[str, Any]) -> bool:
    return bool(version["text"] == params.get("SecretString") and version["bytes"] == params.get("SecretBinary"))


def _fits(row: Any, key: str, values: list[str]) -> bool:
    """Whether a secret fits one filter: a value is a prefix, `!` before it turns it round (AWS, "Find secrets")."""
    tags = json.loads(row["tags"])
    texts = {
        "name": [row["name"]],
        "description": (row["description"] or "").split(),
        "tag-key": [tag.get("Key", "") for tag in tags],
        "tag-value": [tag.get("Value", "") for tag in tags],
        "primary-region": [],
        "owning-service": [],
    }
    where = [text for texts_ in texts.values() for text in texts_] if key == "all" else texts.get(key, [])
    hits = [any(text.startswith(value.lstrip("!")) for text in where) != value.startswith("!") for value in values]
    return any(hits)


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isdigit() or len(token) > 9:
        raise AwsError("InvalidNextTokenException", "The NextToken value is not valid.")
    return int(token)


def _described(row: Any) -> dict[str, Any]:
    deleted = dt.datetime.fromtimestamp(row["deleted"], dt.UTC) if row["deleted"] else None
    return {
        "ARN": row["arn"],
        "Name": row["name"],
        "Description": row["description"],
        "KmsKeyId": row["kms"],
        "CreatedDate": row["created"],
        "LastChangedDate": row["changed"],
        "LastAccessedDate": row["accessed"],
        "DeletedDate": deleted,
        "Tags": json.loads(row["tags"]),
    }
