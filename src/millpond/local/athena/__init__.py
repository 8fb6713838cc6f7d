"""Athena: SQL over the Glue catalog and S3, on DuckDB, with Trino's types, answers and failures.

The story of a query: `executions` keeps it in the store and runs it in a thread; `statements` tells what it is. A query
(`grammar` -> `queries` and `expressions` -> `plans`) is compiled into SQL that holds no name of the user, and run by a
worker process of its own (`workers`, `worker`) that can open only the files of the named tables. DDL goes to the Glue
catalog (`ddl`), CTAS, INSERT and UNLOAD write files and then the catalog (`writes`). What is not known to the compiler
fails with Trino's error name: there is no way around it to the engine.

Limits: no Iceberg, no federated catalogs, no partition projection, no MATCH_RECOGNIZE, no EXPLAIN;
approximate aggregates answer exactly. All are refused or listed in docs/parity.md.
"""

from __future__ import annotations

from millpond.local.athena.executions import Executions
from millpond.local.athena.workgroups import Workgroups
from millpond.local.service import Endpoint, Operation


class Athena:
    """See the module's docstring."""

    name = "athena"
    schema = Executions.schema + Workgroups.schema
    moto = frozenset[str]()

    def __init__(self, endpoint: Endpoint) -> None:
        self.workgroups = Workgroups(endpoint)
        self.executions = Executions(endpoint, self.workgroups)

    def operations(self) -> dict[str, Operation]:
        return self.workgroups.operations() | self.executions.operations()

    def start(self) -> None:
        self.workgroups.start()
        self.executions.start()

    def stop(self) -> None:
        self.executions.stop()


__all__ = ["Athena"]
