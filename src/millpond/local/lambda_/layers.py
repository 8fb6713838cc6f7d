"""Layers: zips whose `python` folder goes onto a function's module path.

A layer's other folders would lie below /opt, which cannot be served to an ordinary process; `bin` goes onto PATH.
"""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from millpond.local.lambda_ import names, package
from millpond.local.lambda_.functions import Functions
from millpond.local.service import AwsError, Call, Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS lambda_layers (
    name TEXT NOT NULL, version INTEGER NOT NULL, info TEXT NOT NULL, code TEXT NOT NULL, size INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (name, version)) WITHOUT ROWID;
"""


class Layers:
    """See the module's docstring. A deleted version stays usable by functions that have it, as on AWS."""

    schema = SCHEMA

    def __init__(self, functions: Functions) -> None:
        self.functions, self.endpoint, self.store = functions, functions.endpoint, functions.store

    def operations(self) -> dict[str, Operation]:
        return {
            "PublishLayerVersion": self.publish,
            "GetLayerVersion": self.get,
            "GetLayerVersionByArn": self.get_by_arn,
            "DeleteLayerVersion": self.delete,
            "ListLayers": self.list_layers,
            "ListLayerVersions": self.list_versions,
        }

    def publish(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        name = _name(params["LayerName"])
        archive = self.functions.archive(params["Content"])
        folder = package.unpack(archive, self.endpoint.folder("lambda", "code")).name
        members = ("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
        kept = {key: params[key] for key in members if key in params}
        created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"
        info = kept | {"CreatedDate": created, "CodeSha256": package.sha256_of(archive)}
        with self.store.write() as db:
            newest = "SELECT COALESCE(MAX(version), 0) FROM lambda_layers WHERE name = ?"
            (last,) = db.execute(newest, (name,)).fetchone()
            db.execute(
                "INSERT INTO lambda_layers (name, version, info, code, size) VALUES (?, ?, ?, ?, ?)",
                (name, last + 1, json.dumps(info), folder, len(archive)),
            )
        return self._shown(self._row(name, last + 1))

    def get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._shown(self._row(_name(params["LayerName"]), params["VersionNumber"]))

    def get_by_arn(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        found = names.LAYER.fullmatch(params["Arn"])
        if found is None or not found["version"]:
            raise package.invalid(f"{params['Arn'][:200]} is not the ARN of a layer version")
        return self._shown(self._row(found["name"], int(found["version"])))

    def delete(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        with self.store.write() as db:
            db.execute(
                "UPDATE lambda_layers SET deleted = 1 WHERE name = ? AND version = ?",
                (_name(params["LayerName"]), params["VersionNumber"]),
            )
        return {}

    def list_versions(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        sql = "SELECT * FROM lambda_layers WHERE name = ? AND NOT deleted ORDER BY version DESC"
        return {"LayerVersions": [self._summary(row) for row in self.store.read(sql, (_name(params["LayerName"]),))]}

    def list_layers(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        sql = """SELECT *, MAX(version) FROM lambda_layers WHERE NOT deleted GROUP BY name ORDER BY name"""
        rows = self.store.read(sql)
        return {"Layers": [
            {"LayerName": row["name"], "LayerArn": self._arn(row["name"]), "LatestMatchingVersion": self._summary(row)}
            for row in rows
        ]}  # fmt: skip

    def folders(self, config: Mapping[str, Any]) -> list[Path]:
        """The folders of a function's layers. Later layers win, so they come first."""
        found = []
        for layer in reversed(config.get("Layers", [])):
            match = names.LAYER.fullmatch(layer["Arn"])
            assert match is not None
            row = self.store.one(
                "SELECT code FROM lambda_layers WHERE name = ? AND version = ?", (match["name"], int(match["version"]))
            )
            if row is not None:
                found.append(self.endpoint.folder("lambda", "code") / row["code"])
        return found

    def module_path(self, config: Mapping[str, Any]) -> list[str]:
        site = f"python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        return [str(folder / below) for folder in self.folders(config) for below in (site, "python")]

    def _row(self, name: str, version: int) -> sqlite3.Row:
        sql = "SELECT * FROM lambda_layers WHERE name = ? AND version = ? AND NOT deleted"
        row = self.store.one(sql, (name, version))
        if row is None:
            text = "The resource you requested does not exist."
            raise AwsError("ResourceNotFoundException", text, status=404, Type="User")
        return row

    def _arn(self, name: str, version: int | None = None) -> str:
        return self.endpoint.arn("lambda", f"layer:{name}" + (f":{version}" if version else ""))

    def _summary(self, row: sqlite3.Row) -> dict[str, Any]:
        info = json.loads(row["info"])
        info.pop("CodeSha256")
        return {"LayerVersionArn": self._arn(row["name"], row["version"]), "Version": row["version"], **info}

    def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        info = json.loads(row["info"])
        content = {"CodeSha256": info.pop("CodeSha256"), "CodeSize": row["size"]}
        return {
            "LayerArn": self._arn(row["name"]), "LayerVersionArn": self._arn(row["name"], row["version"]),
            "Version": row["version"], "Content": content, **info,
        }  # fmt: skip


def _name(text: str) -> str:
    found = names.LAYER.fullmatch(text)
    if found is None:
        raise package.invalid(f"{text[:200]} is not the name of a layer")
    return found["name"]
