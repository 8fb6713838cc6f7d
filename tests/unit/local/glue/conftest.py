"""A Glue service on a store of its own, without a server: operations are called as the front end calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millpond.local.glue import Glue
from millpond.local.service import AwsError, Call, Clock, Endpoint
from millpond.local.store import Store


@pytest.fixture
def bare_endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    store = Store(tmp_path / "state.db")
    yield Endpoint(data=tmp_path, store=store, clock=Clock(), port=0, access_key="k", secret_key="s")
    store.close()


@pytest.fixture
def glue_service(bare_endpoint: Endpoint) -> Glue:
    service = Glue(bare_endpoint)
    bare_endpoint.store.install(service.schema)
    return service


@pytest.fixture
def glue(glue_service: Glue) -> Callable[..., dict[str, Any]]:
    """`glue("GetTable", DatabaseName="d", Name="t")`."""
    operations = glue_service.operations()

    def call(operation: str, **params: Any) -> dict[str, Any]:
        return operations[operation](params, Call("glue", operation, "us-east-1")) or {}

    return call


@pytest.fixture
def refused(glue: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """The error code that a call is refused with."""

    def call(operation: str, **params: Any) -> str:
        with pytest.raises(AwsError) as caught:
            glue(operation, **params)
        return caught.value.code

    return call
