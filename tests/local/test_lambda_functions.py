"""Lambda's control plane through boto3."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import stat
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from millpond.local.service import Endpoint

ROLE = "arn:aws:iam::000000000000:role/any"
SOURCE = "def handler(event, context): return {!r}"


def packed(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


@pytest.fixture
def lam(aws: Callable[[str], Any]) -> Any:
    return aws("lambda")


@pytest.fixture
def name(lam: Any) -> str:
    made = f"f-{uuid.uuid4().hex[:8]}"
    lam.create_function(
        FunctionName=made, Runtime="python3.13", Role=ROLE, Handler="index.handler", Tags={"team": "lake"},
        Code={"ZipFile": packed({"index.py": SOURCE.format(1)})},
    )  # fmt: skip
    return made


def code(function: Callable[..., Any], **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        function(**params)
    return caught.value.response["Error"]["Code"]


def result(lam: Any, name: str, **more: Any) -> Any:
    return json.loads(lam.invoke(FunctionName=name, **more)["Payload"].read())


def test_what_a_function_looks_like(lam: Any, name: str, endpoint: Endpoint) -> None:
    archive = packed({"index.py": SOURCE.format(1)})
    found = lam.get_function(FunctionName=name)
    config = found["Configuration"]
    assert config["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert config["CodeSha256"] == base64.b64encode(hashlib.sha256(archive).digest()).decode()
    assert (config["Timeout"], config["MemorySize"], config["State"], config["Version"]) == (
        3,
        128,
        "Active",
        "$LATEST",
    )
    assert config["LoggingConfig"]["LogGroup"] == f"/aws/lambda/{name}"
    assert found["Tags"] == {"team": "lake"}
    with urllib.request.urlopen(found["Code"]["Location"]) as link:
        assert link.read() == archive
    assert not [b for b in endpoint.client("s3").list_buckets()["Buckets"] if "awslambda" in b["Name"]]
    for way in (config["FunctionArn"], f"000000000000:function:{name}", f"{name}:$LATEST"):
        assert lam.get_function_configuration(FunctionName=way)["FunctionName"] == name
    assert name in [
        f["FunctionName"] for page in lam.get_paginator("list_functions").paginate() for f in page["Functions"]
    ]
    assert code(lam.create_function, FunctionName=name, Runtime="python3.12", Role=ROLE, Handler="i.h",
                Code={"ZipFile": archive}) == "ResourceConflictException"  # fmt: skip
    lam.get_waiter("function_active_v2").wait(FunctionName=name)


def test_code_from_s3_and_updates(lam: Any, aws: Callable[[str], Any], name: str) -> None:
    s3 = aws("s3")
    s3.create_bucket(Bucket="code-of-functions")
    s3.put_object(Bucket="code-of-functions", Key="a b.zip", Body=packed({"index.py": SOURCE.format(2)}))
    assert result(lam, name) == 1
    lam.update_function_code(FunctionName=name, S3Bucket="code-of-functions", S3Key="a b.zip")
    assert result(lam, name) == 2
    assert code(lam.update_function_code, FunctionName=name, S3Bucket="code-of-functions", S3Key="no") == (
        "InvalidParameterValueException"
    )
    revision = lam.get_function_configuration(FunctionName=name)["RevisionId"]
    lam.update_function_configuration(FunctionName=name, Timeout=5, RevisionId=revision)
    stale = {"FunctionName": name, "Timeout": 6, "RevisionId": revision}
    assert code(lam.update_function_configuration, **stale) == "PreconditionFailedException"


def test_versions_and_aliases(lam: Any, name: str) -> None:
    first = lam.publish_version(FunctionName=name)["Version"]
    assert lam.publish_version(FunctionName=name)["Version"] == first  # nothing has changed
    lam.update_function_code(FunctionName=name, ZipFile=packed({"index.py": SOURCE.format(2)}))
    second = lam.publish_version(FunctionName=name, Description="two")["Version"]
    assert (first, second) == ("1", "2")
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert [result(lam, name, Qualifier=q) for q in ("1", "2", "live", "$LATEST")] == [1, 2, 1, 2]
    assert result(lam, f"{name}:live") == 1
    weights = {"AdditionalVersionWeights": {"2": 1.0}}
    lam.update_alias(FunctionName=name, Name="live", RoutingConfig=weights)
    assert result(lam, name, Qualifier="live") == 2
    assert lam.get_alias(FunctionName=name, Name="live")["RoutingConfig"] == weights
    assert [v["Version"] for v in lam.list_versions_by_function(FunctionName=name)["Versions"]] == ["$LATEST", "1", "2"]
    assert code(lam.delete_function, FunctionName=name, Qualifier="1") == "ResourceConflictException"
    lam.delete_alias(FunctionName=name, Name="live")
    lam.delete_function(FunctionName=name, Qualifier="1")
    assert code(lam.get_function, FunctionName=name, Qualifier="1") == "ResourceNotFoundException"
    lam.delete_function(FunctionName=name)
    assert code(lam.get_function, FunctionName=name) == "ResourceNotFoundException"


def test_permissions_and_tags(lam: Any, name: str) -> None:
    assert code(lam.get_policy, FunctionName=name) == "ResourceNotFoundException"
    given = {
        "FunctionName": name,
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
    }
    lam.add_permission(**given, SourceArn="arn:aws:s3:::b")
    assert code(lam.add_permission, **given) == "ResourceConflictException"
    statement = json.loads(lam.get_policy(FunctionName=name)["Policy"])["Statement"][0]
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}
    lam.remove_permission(FunctionName=name, StatementId="s")
    assert code(lam.remove_permission, FunctionName=name, StatementId="s") == "ResourceNotFoundException"
    arn = lam.get_function_configuration(FunctionName=name)["FunctionArn"]
    lam.tag_resource(Resource=arn, Tags={"a": "b"})
    lam.untag_resource(Resource=arn, TagKeys=["team"])
    assert lam.list_tags(Resource=arn)["Tags"] == {"a": "b"}


def test_layers(lam: Any, name: str) -> None:
    layer = f"l-{uuid.uuid4().hex[:6]}"
    made = lam.publish_layer_version(LayerName=layer, Content={"ZipFile": packed({"python/tool.py": "answer = 42"})})
    assert made["Version"] == 1
    lam.update_function_code(
        FunctionName=name, ZipFile=packed({"index.py": "import tool\ndef handler(e, c): return tool.answer"})
    )
    lam.update_function_configuration(FunctionName=name, Layers=[made["LayerVersionArn"]])
    assert result(lam, name) == 42
    assert [v["Version"] for v in lam.list_layer_versions(LayerName=layer)["LayerVersions"]] == [1]
    lam.delete_layer_version(LayerName=layer, VersionNumber=1)
    assert code(lam.get_layer_version, LayerName=layer, VersionNumber=1) == "ResourceNotFoundException"
    assert code(lam.update_function_configuration, FunctionName=name, Layers=[made["LayerVersionArn"][:-1] + "9"]) == (
        "InvalidParameterValueException"
    )


def test_what_is_refused(lam: Any) -> None:
    given = {
        "FunctionName": "refused",
        "Role": ROLE,
        "Handler": "index.handler",
        "Code": {"ZipFile": packed({"a": ""})},
    }
    assert code(lam.create_function, **given, Runtime="nodejs22.x") == "NotImplemented"
    assert code(lam.create_function, **given, Runtime="cobol") == "InvalidParameterValueException"
    image = {"FunctionName": "refused", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": "x"}}
    assert code(lam.create_function, **image) == "NotImplemented"
    reserved = {"Environment": {"Variables": {"AWS_REGION": "x"}}}
    assert code(lam.create_function, **given, Runtime="python3.12", **reserved) == "InvalidParameterValueException"
    assert code(lam.create_function, **given, Runtime="python3.12", Timeout=901) in (
        "InvalidParameterValueException",
        "ValidationException",
    )
    source = "arn:aws:sqs:us-east-1:000000000000:q"
    assert code(lam.create_event_source_mapping, FunctionName="x", EventSourceArn=source) == "NotImplemented"
    assert code(lam.get_function, FunctionName="refused") == "ResourceNotFoundException"


def one(name: str, body: bytes = b"x", mode: int = 0) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("index.py")
        entry.filename, entry.external_attr = name, mode << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, body)
    return out.getvalue()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "absolute": lambda: one("/etc/x"),
    "parent": lambda: one("../x"),
    "deep parent": lambda: one("a/../../x"),
    "backslash": lambda: one("..\\x"),
    "drive": lambda: one("C:x"),
    "symlink": lambda: one("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
    "device": lambda: one("dev", b"", stat.S_IFCHR | 0o666),
    "pipe": lambda: one("pipe", b"", stat.S_IFIFO | 0o666),
    "bomb": lambda: one("index.py", b"\0" * 263_000_000),
    "dense": lambda: one("index.py", b"\0" * 20_000_000),
    "no zip": lambda: b"hello",
    "cut": lambda: one("index.py")[:40],
    "empty": lambda: packed({}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives(lam: Any, endpoint: Endpoint, kind: str) -> None:
    before = {path for path in (endpoint.data / "lambda").rglob("*")}
    archive = HOSTILE[kind]()
    assert code(lam.create_function, FunctionName="hostile", Role=ROLE, Runtime="python3.12", Handler="index.handler",
                Code={"ZipFile": archive}) == "InvalidParameterValueException"  # fmt: skip
    assert {path for path in (endpoint.data / "lambda").rglob("*")} - before <= {endpoint.data / "lambda" / "code"}
    assert not Path("/etc/x").exists()
