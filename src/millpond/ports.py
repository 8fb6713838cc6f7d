"""Ports of this machine (127.0.0.1) for the endpoint and for test servers. May import: nothing."""

from __future__ import annotations

LOWEST, HIGHEST = 15_000, 30_000
"""Below those that the system gives to clients, of which one may have it before the server does (Linux, ip(7): from
32768)."""


def is_free(port: int) -> bool:
    """Whether nobody listens on a port."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on, and that no client is given before somebody does."""
    import random

    while not is_free(port := random.randrange(LOWEST, HIGHEST)):
        pass
    return port
