"""http:invoke without a network: what is refused, what is sent, what an answer becomes."""

from __future__ import annotations

from typing import Any

import pytest

from millpond.local.states.integrations import connections, web
from millpond.local.states.integrations.calls import BadArguments, Failure

GOOD: dict[str, Any] = {
    "ApiEndpoint": "https://api.example.com/v1",
    "Method": "GET",
    "InvocationConfig": {"ConnectionArn": "arn:aws:events:us-east-1:000000000000:connection/c/1"},
}

BAD = [
    ({"Method": "FETCH"}, "The value for the field 'Method' must be one of"),
    ({"ApiEndpoint": "http://api.example.com"}, "must be an HTTPS URL"),
    ({"ApiEndpoint": "ftp://x"}, "The value of the field 'ApiEndpoint' has an invalid format"),
    ({"ApiEndpoint": "https://[::1"}, "has an invalid format"),
    ({"ApiEndpoint": "https://x:99999/"}, "has an invalid format"),
    ({"ApiEndpoint": "https://x/ y"}, "has an invalid format"),
    ({"ApiEndpoint": "https://user:p@x/"}, "must not hold credentials"),
    ({"ApiEndpoint": 1}, "The value for the field 'ApiEndpoint' must be a STRING"),
    ({"QueryParameters": "?a=b"}, "The value of the field 'QueryParameters' has an invalid format"),
    ({"Headers": {"Authorization": "x"}}, "The header 'Authorization' is not supported"),
    ({"Headers": {"x-amz-y": "x"}}, "The header 'x-amz-y' is not supported"),
    ({"Headers": {"a": "b\r\nc: d"}}, "The value of the field 'a' has an invalid format"),
    ({"Transform": 1.5}, "The value of the field 'Transform' has an invalid format"),
    ({"Transform": {"RequestBodyEncoding": "XML"}}, "'RequestBodyEncoding' must be one of"),
    ({"Transform": {"RequestEncodingOptions": {"ArrayFormat": "?"}}}, "'ArrayFormat' must be one of"),
    ({"Foo": 1}, 'The field "Foo" is not supported by Step Functions'),
    ({"Authentication": {"ConnectionArn": "x"}}, "Exactly one of the fields"),
    ({"InvocationConfig": {}}, 'The field "ConnectionArn" is required but was missing'),
]


@pytest.mark.parametrize(("change", "why"), BAD, ids=lambda value: str(value)[:40])
def test_arguments_that_are_refused(change: dict[str, Any], why: str) -> None:
    web.check(GOOD)
    with pytest.raises(BadArguments) as caught:
        web.check(GOOD | change)
    assert why in str(caught.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(BadArguments, match=r'"ApiEndpoint" is required.*"Method" is required'):
        web.check({})
    with pytest.raises(BadArguments, match='"ApiEndpoint" is required'):
        web.check_gateway({"Method": "GET"})


HOSTS = [
    "169.254.169.254",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "0.0.0.0",
    "[::]",
    "224.0.0.1",
    "[::ffff:169.254.169.254]",
    "[::ffff:127.0.0.1]",
    "2130706433",  # 127.0.0.1 as one number
    "127.1",
    "127.0.0.2",
    "0x7f000001",
    "255.255.255.255",
]


@pytest.mark.parametrize("host", HOSTS)
def test_addresses_that_are_never_called(host: str) -> None:
    with pytest.raises(Failure) as caught:
        web.send(web.Request("GET", f"https://{host}/latest/meta-data"))
    assert caught.value.error == "States.Http.Socket"
    assert "may not call" in str(caught.value.cause) or "could not be found" in str(caught.value.cause)


def test_a_foreign_name_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("127.0.0.1", 443))]
    monkeypatch.setattr(web.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(Failure, match="may not call rebound"):
        web.send(web.Request("GET", "https://rebound.example/"))


def test_the_connection_wins() -> None:
    """The example of AWS's page, "Merging EventBridge connection and HTTP Task definition data"."""
    connection = connections.read(
        "API_KEY",
        {
            "ApiKeyAuthParameters": {"ApiKeyName": "ApiKey", "ApiKeyValue": "key_value"},
            "InvocationHttpParameters": {
                "BodyParameters": [{"Key": "BodyParam", "Value": "connection_body_param"}],
                "HeaderParameters": [{"Key": "Header-Param", "Value": "connection_header_param"}],
                "QueryStringParameters": [{"Key": "QueryParam", "Value": "connection_query_param"}],
            },
        },
    )
    arguments = GOOD | {
        "ApiEndpoint": "https://example.com/path",
        "Headers": {"Request-Id": "my_request_id", "header-param": "mine"},
        "RequestBody": {"Job": "Software Engineer", "Company": "AnyCompany", "BodyParam": "mine"},
        "QueryParameters": {"QueryParam": "mine"},
    }
    request = web.request_of(arguments, connection, "us-east-1")
    assert request.target == "/path?QueryParam=connection_query_param"
    assert request.headers == {
        "ApiKey": "key_value",
        "Content-Type": "application/json; charset=UTF-8",
        "Header-Param": "connection_header_param",
        "Range": "bytes=0-262144",
        "Request-Id": "my_request_id",
        "User-Agent": "Amazon|StepFunctions|HttpInvoke|us-east-1",
    }
    assert request.body == b'{"Job":"Software Engineer","Company":"AnyCompany","BodyParam":"connection_body_param"}'
    with pytest.raises(Failure) as caught:
        web.request_of(arguments | {"RequestBody": "text"}, connection, "us-east-1")
    assert caught.value.error == "States.Runtime"


FORMS = {
    "INDICES": b"array%5B0%5D=a&array%5B1%5D=b&m%5Bx%5D=1%202",
    "REPEAT": b"array=a&array=b&m%5Bx%5D=1%202",
    "COMMAS": b"array=a,b&m%5Bx%5D=1%202",
    "BRACKETS": b"array%5B%5D=a&array%5B%5D=b&m%5Bx%5D=1%202",
}


@pytest.mark.parametrize("form", FORMS)
def test_url_encoded_bodies(form: str) -> None:
    transform = {"RequestBodyEncoding": "URL_ENCODED", "RequestEncodingOptions": {"ArrayFormat": form}}
    arguments = GOOD | {"RequestBody": {"array": ["a", "b"], "m": {"x": "1 2"}}, "Transform": transform}
    assert web.request_of(arguments, connections.Connection(), "us-east-1").body == FORMS[form]


def test_query_parameters_may_be_lists() -> None:
    arguments = GOOD | {"ApiEndpoint": "https://x/a b?c=1".replace(" ", "%20"), "QueryParameters": {"d": ["e", 2]}}
    assert web.request_of(arguments, connections.Connection(), "r").target == "/a%20b?c=1&d=e&d=2"


def test_basic_credentials() -> None:
    given = {"BasicAuthParameters": {"Username": "u", "Password": "p"}}
    assert connections.read("BASIC", given).headers == {"Authorization": "Basic dTpw"}


@pytest.mark.parametrize("body", ["NaN", '{"a": 1e999}', "[" * 600 + "]" * 600, "{"])
def test_what_is_no_json_stays_text(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """No state's output can hold it."""
    answer = web.Response(200, {"content-type": ["application/json"]}, body.encode())
    monkeypatch.setattr(web, "send", lambda request: answer)
    monkeypatch.setattr(connections, "find", lambda endpoint, arn: connections.Connection())
    endpoint: Any = type("Endpoint", (), {"region": "us-east-1"})
    assert web.invoke(endpoint, GOOD)["ResponseBody"] == body
