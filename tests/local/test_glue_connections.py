"""Glue connections through boto3, against a real PostgreSQL."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

Aws = Callable[[str], Any]


@pytest.fixture
def glue(aws: Aws) -> Iterator[Any]:
    client = aws("glue")
    yield client
    names = [c["Name"] for c in client.get_connections()["ConnectionList"]]
    client.batch_delete_connection(ConnectionNameList=names) if names else None


def jdbc(name: str, url: str, **properties: str) -> dict[str, Any]:
    return {
        "Name": name,
        "ConnectionType": "JDBC",
        "ConnectionProperties": {"JDBC_CONNECTION_URL": url, **properties},
    }


def test_kept_shown_and_deleted(glue: Any) -> None:
    given = jdbc("c", "jdbc:postgresql://db:5432/shop", USERNAME="u", PASSWORD="hunter2")
    glue.create_connection(ConnectionInput=given, Tags={"team": "data"})
    assert glue.get_connection(Name="c")["Connection"]["ConnectionProperties"]["PASSWORD"] == "hunter2"
    hidden = glue.get_connection(Name="c", HidePassword=True)["Connection"]["ConnectionProperties"]
    assert "PASSWORD" not in hidden and hidden["USERNAME"] == "u"
    with pytest.raises(glue.exceptions.AlreadyExistsException):
        glue.create_connection(ConnectionInput=given)
    glue.update_connection(Name="c", ConnectionInput={**given, "Description": "new"})
    assert glue.get_connection(Name="c")["Connection"]["Description"] == "new"
    arn = "arn:aws:glue:us-east-1:000000000000:connection/c"
    assert glue.get_tags(ResourceArn=arn)["Tags"] == {"team": "data"}
    done = glue.batch_delete_connection(ConnectionNameList=["c", "none"])
    assert done["Succeeded"] == ["c"] and done["Errors"]["none"]["ErrorCode"] == "EntityNotFoundException"
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_connection(Name="c")


@pytest.mark.parametrize(
    "properties, said",
    [
        ({}, "JDBC_CONNECTION_URL"),
        ({"JDBC_CONNECTION_URL": "postgresql://h/db", "USERNAME": "u"}, "jdbc:"),
        ({"JDBC_CONNECTION_URL": "jdbc:postgresql://h/db"}, "SECRET_ID"),
    ],
)
def test_a_connection_that_cannot_work_is_refused(glue: Any, properties: dict[str, str], said: str) -> None:
    with pytest.raises(glue.exceptions.InvalidInputException, match=said):
        glue.create_connection(
            ConnectionInput={"Name": "c", "ConnectionType": "JDBC", "ConnectionProperties": properties}
        )


def test_an_unknown_type_is_refused(glue: Any) -> None:
    given = {"Name": "c", "ConnectionType": "CARRIER_PIGEON", "ConnectionProperties": {"HOST": "h"}}
    with pytest.raises(glue.exceptions.ClientError, match=r"ValidationException.*enum value set: .*JDBC, SFTP"):
        glue.create_connection(ConnectionInput=given)


def test_connects_with_a_secret(glue: Any, aws: Aws, postgres: Any) -> None:
    secret = {"username": postgres.user, "password": postgres.password}
    aws("secretsmanager").create_secret(Name="shop/db", SecretString=json.dumps(secret))
    glue.create_connection(ConnectionInput=jdbc("s", postgres.jdbc_url, SECRET_ID="shop/db"))
    glue.test_connection(ConnectionName="s")
    glue.create_connection(ConnectionInput=jdbc("gone", postgres.jdbc_url, SECRET_ID="shop/none"))
    with pytest.raises(glue.exceptions.EntityNotFoundException, match="shop/none"):
        glue.test_connection(ConnectionName="gone")


def test_a_failed_test_names_the_place_and_never_the_password(glue: Any, postgres: Any) -> None:
    url = postgres.jdbc_url
    glue.create_connection(ConnectionInput=jdbc("w", url, USERNAME=postgres.user, PASSWORD="hunter2-wrong"))
    with pytest.raises(ClientError) as caught:
        glue.test_connection(ConnectionName="w")
    message = caught.value.response["Error"]["Message"]
    assert f"127.0.0.1:{postgres.port}" in message and "password authentication failed" in message
    assert "hunter2" not in message

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = unused.getsockname()[1]
        target = jdbc("n", f"jdbc:postgresql://127.0.0.1:{port}/x", USERNAME="u", PASSWORD="hunter2")
        glue.create_connection(ConnectionInput=target)
        with pytest.raises(glue.exceptions.InvalidInputException, match=f"127.0.0.1:{port}.*refused"):
            glue.test_connection(ConnectionName="n")


def test_an_engine_that_is_not_carried_is_named(glue: Any) -> None:
    url = "jdbc:sqlserver://h:1433;databaseName=db"
    glue.create_connection(ConnectionInput=jdbc("m", url, USERNAME="u", PASSWORD="p"))
    with pytest.raises(glue.exceptions.InvalidInputException, match="jdbc:postgresql"):
        glue.test_connection(ConnectionName="m")
