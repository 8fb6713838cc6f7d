"""Millpond's own routes, signed with the service name `millpond`: what the CLI asks the endpoint itself.

GET /_millpond/health, GET /_millpond/outbox, GET /_millpond/crawl?name=NAME[&dry_run=1], POST /_millpond/stop. Answers
are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millpond.local.protocol import Reply, Request
from millpond.local.service import AwsError

if TYPE_CHECKING:
    from millpond.local.server import Server


def health(server: Server, request: Request) -> Any:
    """Port, pid, version and the moment of start."""
    return server.health()


def outbox(server: Server, request: Request) -> Any:
    """Every message published to a topic, the oldest first: see Sns.outbox."""
    sns: Any = server.endpoint.services.get("sns")
    return {"messages": sns.outbox() if sns else []}


def stop(server: Server, request: Request) -> Any:
    """Ask for an orderly end; the answer comes before it."""
    server.stop()
    return {"status": "stopping", "pid": server.health()["pid"]}


def crawl(server: Server, request: Request) -> Any:
    """What a crawler's last crawl found and why, or what one would find now. Writes nothing."""
    glue: Any = server.endpoint.services.get("glue")
    asked = request.query_members()
    return glue.parts["crawlers"].explain(asked.get("name", ""), dry_run=asked.get("dry_run", "") not in ("", "0"))


ROUTES: dict[tuple[str, str], Callable[[Server, Request], Any]] = {
    ("GET", "/_millpond/health"): health,
    ("GET", "/_millpond/outbox"): outbox,
    ("GET", "/_millpond/crawl"): crawl,
    ("POST", "/_millpond/stop"): stop,
}


def answer(server: Server, request: Request) -> Reply:
    """The answer to one of the routes. Raises AwsError(404) for any other."""
    route = ROUTES.get((request.method, request.path))
    if route is None:
        raise AwsError("UnknownOperationException", "There is no such route.", status=404)
    return Reply(200, [("content-type", "application/json")], json.dumps(route(server, request)).encode())
