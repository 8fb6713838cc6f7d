"""Lambda: Python functions in warm worker processes, without containers.

functions.py keeps what is deployed (versions, aliases, permissions, tags, concurrency), package.py unpacks zips safely,
layers.py has the layers, invoke.py runs events and the asynchronous queue, workers.py owns the processes and speaks the
Runtime API with bootstrap.py, which runs inside them.

A function runs under this environment's Python, whatever `python3.x` it names, and sees its own code, its layers and
what AWS's runtime brings (boto3 and its requirements): a package that is missing here is missing on AWS too.
Calls that it makes are signed with a key of its own, so that they can be told apart.

Limits: other runtimes, container images, file systems, SnapStart, function URLs, event source mappings, provisioned
concurrency and response streaming are refused. Permissions are kept but not enforced. Memory is watched (Linux) and its
excess ends the worker; /tmp is this machine's; code below the function may write into its own folder. Code that leaves
its process group (setsid) escapes the time limit.
"""

from __future__ import annotations

from millpond.local.lambda_.functions import Functions
from millpond.local.lambda_.invoke import Invoker
from millpond.local.lambda_.layers import Layers
from millpond.local.service import Endpoint, Operation


class Lambda:
    """See the module's docstring."""

    name = "lambda"
    schema = Functions.schema + Layers.schema + Invoker.schema
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self._functions = Functions(endpoint)
        self._layers = Layers(self._functions)
        self._invoker = Invoker(self._functions, self._layers)
        self._functions.changed = self._invoker.pools.drain

    def operations(self) -> dict[str, Operation]:
        return {**self._functions.operations(), **self._layers.operations(), **self._invoker.operations()}

    def forget(self, token: str) -> None:
        """A task of Step Functions is over, and its outcome is in the store."""
        self._invoker.forget(token)

    def interrupt(self, token: str) -> None:
        """A task of Step Functions was stopped: the process that runs its invocation is ended."""
        self._invoker.interrupt(token)

    def start(self) -> None:
        self._invoker.start()

    def stop(self) -> None:
        self._invoker.stop()
