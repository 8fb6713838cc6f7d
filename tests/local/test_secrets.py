"""Secrets Manager over the wire."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def secrets(aws: Any) -> Any:
    return aws("secretsmanager")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


def test_a_secret_is_found_by_name_arn_and_partial_arn(secrets: Any) -> None:
    made = secrets.create_secret(Name="shop/db", SecretString="{}", Description="the shop")
    assert re.fullmatch(r"arn:aws:secretsmanager:us-east-1:000000000000:secret:shop/db-[A-Za-z0-9]{6}", made["ARN"])
    for said in ("shop/db", made["ARN"], made["ARN"][:-7]):
        assert secrets.get_secret_value(SecretId=said)["VersionId"] == made["VersionId"]
    with pytest.raises(ClientError) as error:
        secrets.create_secret(Name="shop/db", SecretString="other")
    assert code(error) == "ResourceExistsException"
    with pytest.raises(ClientError) as error:
        secrets.get_secret_value(SecretId="shop/d")
    assert code(error) == "ResourceNotFoundException"


def test_versions_move_their_labels(secrets: Any) -> None:
    secrets.create_secret(Name="rolling", SecretString="one")
    secrets.put_secret_value(SecretId="rolling", SecretString="two")
    secrets.update_secret(SecretId="rolling", SecretString="three")
    assert secrets.get_secret_value(SecretId="rolling")["SecretString"] == "three"
    assert secrets.get_secret_value(SecretId="rolling", VersionStage="AWSPREVIOUS")["SecretString"] == "two"
    stages = secrets.describe_secret(SecretId="rolling")["VersionIdsToStages"]
    assert sorted(label for labels in stages.values() for label in labels) == ["AWSCURRENT", "AWSPREVIOUS"]
    current = next(name for name, labels in stages.items() if "AWSCURRENT" in labels)
    previous = next(name for name, labels in stages.items() if "AWSPREVIOUS" in labels)
    secrets.update_secret_version_stage(
        SecretId="rolling", VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=previous
    )
    assert secrets.get_secret_value(SecretId="rolling")["SecretString"] == "two"
    assert secrets.get_secret_value(SecretId="rolling", VersionStage="AWSPREVIOUS")["SecretString"] == "three"


def test_tokens_make_writes_idempotent(secrets: Any) -> None:
    token = "t" * 32
    first = secrets.create_secret(Name="once", SecretString="v", ClientRequestToken=token)
    assert secrets.create_secret(Name="once", SecretString="v", ClientRequestToken=token)["ARN"] == first["ARN"]
    secrets.put_secret_value(SecretId="once", SecretString="v", ClientRequestToken=token)
    assert len(secrets.list_secret_version_ids(SecretId="once")["Versions"]) == 1
    with pytest.raises(ClientError) as error:
        secrets.put_secret_value(SecretId="once", SecretString="w", ClientRequestToken=token)
    assert code(error) == "ResourceExistsException"


def test_deleting_can_be_undone_or_forced(secrets: Any) -> None:
    secrets.create_secret(Name="gone", SecretBinary=b"\x00\xff")
    assert secrets.get_secret_value(SecretId="gone")["SecretBinary"] == b"\x00\xff"
    secrets.delete_secret(SecretId="gone")
    with pytest.raises(ClientError) as error:
        secrets.get_secret_value(SecretId="gone")
    assert code(error) == "InvalidRequestException"
    secrets.restore_secret(SecretId="gone")
    secrets.delete_secret(SecretId="gone", ForceDeleteWithoutRecovery=True)
    with pytest.raises(ClientError) as error:
        secrets.describe_secret(SecretId="gone")
    assert code(error) == "ResourceNotFoundException"


def test_secrets_are_listed_with_filters(secrets: Any) -> None:
    for name in ("list/a", "list/b", "other"):
        secrets.create_secret(Name=name, SecretString="x", Tags=[{"Key": "team", "Value": name}])
    found = secrets.list_secrets(Filters=[{"Key": "name", "Values": ["list/"]}], SortOrder="asc")["SecretList"]
    assert [secret["Name"] for secret in found] == ["list/a", "list/b"]
    assert all("SecretString" not in secret for secret in found)
    batch = secrets.batch_get_secret_value(SecretIdList=["list/a", "missing"])
    assert [value["Name"] for value in batch["SecretValues"]] == ["list/a"]
    assert batch["Errors"][0]["ErrorCode"] == "ResourceNotFoundException"
