"""What governs a catalog: security configurations, resource policies, encryption settings, the catalog itself.

They are kept and given back, checked as AWS checks them. Limits: nothing on this machine is encrypted with a key of
KMS, and policies are not evaluated, as those of IAM are not; encrypted connection passwords are refused, because a
client would see that they are none. There is one catalog: none can be created beside it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from millpond.local.glue.catalog import EVERYBODY, limit
from millpond.local.glue.records import after, check_catalog, decode, encode, page
from millpond.local.service import AwsError, Call, Endpoint, Operation, unsupported

PAGE = 100
MOST = 250  # security configurations in an account (AWS docs, "AWS Glue endpoints and quotas")
PLAIN = {
    "EncryptionAtRest": {"CatalogEncryptionMode": "DISABLED"},
    "ConnectionPasswordEncryption": {"ReturnConnectionPasswordEncrypted": False},
}
MODES = {
    "S3Encryption": "S3EncryptionMode",
    "CloudWatchEncryption": "CloudWatchEncryptionMode",
    "JobBookmarksEncryption": "JobBookmarksEncryptionMode",
    "DataQualityEncryption": "DataQualityEncryptionMode",
}


class Settings:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS glue_security_configurations (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_resource_policies (arn TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS glue_encryption_settings (one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL);
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateSecurityConfiguration": self.create_configuration,
            "GetSecurityConfiguration": self.get_configuration,
            "GetSecurityConfigurations": self.list_configurations,
            "DeleteSecurityConfiguration": self.delete_configuration,
            "PutResourcePolicy": self.put_policy,
            "GetResourcePolicy": self.get_policy,
            "GetResourcePolicies": self.list_policies,
            "DeleteResourcePolicy": self.delete_policy,
            "PutDataCatalogEncryptionSettings": self.put_encryption,
            "GetDataCatalogEncryptionSettings": self.get_encryption,
            "GetCatalog": self.get_catalog,
            "GetCatalogs": self.list_catalogs,
        }

    def start(self) -> None: ...

    def stop(self) -> None: ...

    # -- security configurations

    def create_configuration(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name, given, now = params["Name"], params["EncryptionConfiguration"], self.endpoint.clock.now()
        if not name.strip():
            raise AwsError("InvalidInputException", "The name of a security configuration must not be blank.")
        for member, mode, one in _encryptions(given):
            if one.get(mode, "DISABLED").endswith("-KMS") and not one.get("KmsKeyArn"):
                raise AwsError("InvalidInputException", f"{member}: KmsKeyArn must be given for {one[mode]}.")
        body = {"Name": name, "CreatedTimeStamp": now, "EncryptionConfiguration": given}
        with self.endpoint.store.write() as db:
            limit(db, "SELECT count(*) FROM glue_security_configurations", (), MOST, "security configurations")
            try:
                db.execute("INSERT INTO glue_security_configurations VALUES (?, ?)", (name, encode(body)))
            except sqlite3.IntegrityError:
                raise AwsError("AlreadyExistsException", f"Security configuration {name} already exists.") from None
        return {"Name": name, "CreatedTimestamp": now}

    def get_configuration(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        row = self.endpoint.store.one("SELECT body FROM glue_security_configurations WHERE name = ?", (name,))
        if row is None:
            raise AwsError("EntityNotFoundException", f"Security configuration {name} not found.")
        return {"SecurityConfiguration": decode(row["body"])}

    def list_configurations(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read(
            "SELECT name, body FROM glue_security_configurations WHERE name > ? ORDER BY name LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size)
        return {"SecurityConfigurations": [decode(row["body"]) for row in shown]} | more

    def delete_configuration(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = params["Name"]
        with self.endpoint.store.write() as db:
            if not db.execute("DELETE FROM glue_security_configurations WHERE name = ?", (name,)).rowcount:
                raise AwsError("EntityNotFoundException", f"Security configuration {name} not found.")
        return {}

    # -- resource policies

    def _arn(self, params: dict[str, Any]) -> str:
        """Whose policy: the catalog's, unless a resource is named."""
        arn: str = params.get("ResourceArn") or self.endpoint.arn("glue", "catalog")
        if not arn.startswith(self.endpoint.arn("glue", "")):
            raise AwsError("InvalidInputException", f"Invalid resource ARN {arn}.")
        return arn

    def _policy(self, arn: str) -> dict[str, Any] | None:
        row = self.endpoint.store.one("SELECT body FROM glue_resource_policies WHERE arn = ?", (arn,))
        return decode(row["body"]) if row else None

    def put_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn, text, now = self._arn(params), params["PolicyInJson"], self.endpoint.clock.now()
        _check_policy(text)
        with self.endpoint.store.write() as db:
            before = self._policy(arn)
            wanted = params.get("PolicyExistsCondition", "NONE")
            if (wanted == "MUST_EXIST" and before is None) or (wanted == "NOT_EXIST" and before is not None):
                text = f"The condition {wanted} is not met by the policy of {arn}."
                raise AwsError("ConditionCheckFailureException", text)
            _check_hash(params, before)
            body = {"PolicyInJson": text, "PolicyHash": _hash(text), "UpdateTime": now}
            body["CreateTime"] = before["CreateTime"] if before else now
            db.execute("INSERT OR REPLACE INTO glue_resource_policies VALUES (?, ?)", (arn, encode(body)))
        return {"PolicyHash": body["PolicyHash"]}

    def get_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        if (found := self._policy(self._arn(params))) is None:
            raise AwsError("EntityNotFoundException", "Policy not found")
        return found

    def list_policies(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        size = params.get("MaxResults") or PAGE
        (last,) = after(params.get("NextToken")) or [""]
        rows = self.endpoint.store.read(
            "SELECT arn, body FROM glue_resource_policies WHERE arn > ? ORDER BY arn LIMIT ?", (last, size + 1)
        )
        shown, more = page(rows, size, "arn")
        return {"GetResourcePoliciesResponseList": [decode(row["body"]) for row in shown]} | more

    def delete_policy(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        arn = self._arn(params)
        with self.endpoint.store.write() as db:
            if (before := self._policy(arn)) is None:
                raise AwsError("EntityNotFoundException", "Policy not found")
            _check_hash(params, before)
            db.execute("DELETE FROM glue_resource_policies WHERE arn = ?", (arn,))
        return {}

    # -- the catalog

    def put_encryption(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        given = params["DataCatalogEncryptionSettings"]
        if (given.get("ConnectionPasswordEncryption") or {}).get("ReturnConnectionPasswordEncrypted"):
            raise unsupported("glue", "PutDataCatalogEncryptionSettings", use="ReturnConnectionPasswordEncrypted.")
        with self.endpoint.store.write() as db:
            db.execute("INSERT OR REPLACE INTO glue_encryption_settings VALUES (1, ?)", (encode(PLAIN | given),))
        return {}

    def get_encryption(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        row = self.endpoint.store.one("SELECT body FROM glue_encryption_settings")
        return {"DataCatalogEncryptionSettings": decode(row["body"]) if row else PLAIN}

    def _catalog(self) -> dict[str, Any]:
        return {
            "CatalogId": self.endpoint.account,
            "Name": self.endpoint.account,
            "ResourceArn": self.endpoint.arn("glue", "catalog"),
            "CreateTableDefaultPermissions": EVERYBODY,
            "CreateDatabaseDefaultPermissions": EVERYBODY,
        }

    def get_catalog(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        check_catalog(self.endpoint, params)
        return {"Catalog": self._catalog()}

    def list_catalogs(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        """The catalogs inside the account's own, which are none, and that one itself with IncludeRoot."""
        check_catalog(self.endpoint, {"CatalogId": params.get("ParentCatalogId")})
        after(params.get("NextToken"))
        return {"CatalogList": [self._catalog()] if params.get("IncludeRoot") else []}


def _encryptions(given: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each encryption of a security configuration with the name of its mode."""
    for member, mode in MODES.items():
        found = given.get(member) or []
        for one in found if isinstance(found, list) else [found]:
            yield member, mode, one


def _check_policy(text: str) -> None:
    try:
        policy = json.loads(text)
    except (ValueError, RecursionError):
        raise AwsError("InvalidInputException", "PolicyInJson is not a JSON document.") from None
    statements = policy.get("Statement") if isinstance(policy, dict) else None
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise AwsError("InvalidInputException", "PolicyInJson must be a policy with a Statement.")
    for statement in statements:
        effect = statement.get("Effect") if isinstance(statement, dict) else None
        if effect not in ("Allow", "Deny") or "Action" not in statement or "Principal" not in statement:
            text = "Each Statement of a resource policy has an Effect (Allow or Deny), a Principal and an Action."
            raise AwsError("InvalidInputException", text)


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.md5(text.encode(), usedforsecurity=False).digest()).decode()


def _check_hash(params: dict[str, Any], before: dict[str, Any] | None) -> None:
    wanted = params.get("PolicyHashCondition")
    if wanted and (before is None or before["PolicyHash"] != wanted):
        raise AwsError("ConditionCheckFailureException", "The policy has another hash than PolicyHashCondition.")
