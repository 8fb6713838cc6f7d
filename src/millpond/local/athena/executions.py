"""Query executions: accepted, kept in the store, run in threads, finished once.

A query is QUEUED in the store before StartQueryExecution answers. After a kill, queued and running queries are run
again at start(): a SELECT reads and writes only its own result file, writes use names made of the query's id.
The modules that compile and run a query are imported by the first query, so that an idle endpoint stays small.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from millpond.local.athena import results
from millpond.local.athena.workgroups import Workgroups, invalid, paged
from millpond.local.service import AwsError, Call, Endpoint, Operation

if TYPE_CHECKING:
    from millpond.local.athena.workers import Worker

log = logging.getLogger(__name__)

RUNNING_AT_ONCE = 4
LIMIT = 262_144  # bytes of a query string (Athena service quotas)
FINISHED = ("SUCCEEDED", "FAILED", "CANCELLED")


class Executions:
    """See the module's docstring."""

    schema = """
    CREATE TABLE IF NOT EXISTS athena_queries (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, token TEXT UNIQUE, request TEXT NOT NULL,
        workgroup TEXT NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL, columns TEXT NOT NULL DEFAULT '[]',
        updated INTEGER);
    CREATE INDEX IF NOT EXISTS athena_queries_by_group ON athena_queries (workgroup, number);
    """

    def __init__(self, endpoint: Endpoint, workgroups: Workgroups) -> None:
        self.endpoint, self.store, self.workgroups = endpoint, endpoint.store, workgroups
        self.pool: ThreadPoolExecutor | None = None
        self.running: dict[str, Worker] = {}
        self.lock = threading.Lock()
        self.stopping = False
        self._workers: Any = None

    def operations(self) -> dict[str, Operation]:
        return {
            "StartQueryExecution": self.start_query,
            "GetQueryExecution": self.get_query,
            "BatchGetQueryExecution": self.batch_get,
            "StopQueryExecution": self.stop_query,
            "ListQueryExecutions": self.list_queries,
            "GetQueryResults": self.get_results,
            "GetQueryRuntimeStatistics": self.runtime_statistics,
        }

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.pool = ThreadPoolExecutor(RUNNING_AT_ONCE, thread_name_prefix="athena")
        rows = self.store.read("SELECT id FROM athena_queries WHERE state IN ('QUEUED', 'RUNNING') ORDER BY number")
        for row in rows:
            self.pool.submit(self.run, row["id"])

    def stop(self) -> None:
        """Queries still running stay QUEUED or RUNNING in the store and are run again by the next start."""
        self.stopping = True
        with self.lock:
            workers = list(self.running.values())
        for worker in workers:
            worker.kill()
        if self.pool:
            self.pool.shutdown(wait=True, cancel_futures=True)
        if self._workers is not None:
            self._workers.stop()

    @property
    def workers(self) -> Any:
        """The pool of processes; made by the first query."""
        with self.lock:
            if self._workers is None:
                from millpond.local.athena.workers import Workers

                self._workers = Workers(self.endpoint.folder("athena") / "work")
                self._workers.start()
            return self._workers

    # --- starting ---------------------------------------------------------------------------------------------------

    def start_query(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = params.get("WorkGroup") or "primary"
        body = self.accepted(params, group)
        request = json.dumps(
            {k: v for k, v in params.items() if k != "ClientRequestToken"}, sort_keys=True, default=str
        )
        token = params.get("ClientRequestToken")
        with self.store.write() as db:
            known = db.execute("SELECT id, request FROM athena_queries WHERE token = ?", [token]).fetchone()
            if known:
                if known["request"] != request:
                    raise invalid("Idempotent parameters do not match")
                return {"QueryExecutionId": known["id"]}
            db.execute(
                "INSERT INTO athena_queries (id, token, request, workgroup, state, body)"
                " VALUES (?, ?, ?, ?, 'QUEUED', ?)",
                [body["QueryExecutionId"], token, request, group, json.dumps(body)],
            )
        assert self.pool is not None
        self.pool.submit(self.run, body["QueryExecutionId"])
        return {"QueryExecutionId": body["QueryExecutionId"]}

    def accepted(self, params: dict[str, Any], group: str) -> dict[str, Any]:
        """The QueryExecution of a request that is in order; else InvalidRequestException."""
        from millpond.local.athena.running import classify

        workgroup = self.workgroups.workgroup(group)
        if workgroup["State"] != "ENABLED":
            raise invalid(f"WorkGroup {group} is disabled.")
        sql = params["QueryString"]
        if len(sql.encode()) > LIMIT:
            raise invalid(f"Query string is longer than {LIMIT} bytes.")
        context = {k: v for k, v in (params.get("QueryExecutionContext") or {}).items() if v}
        if context.get("Catalog", "awsdatacatalog").lower() != "awsdatacatalog":
            raise invalid(f"Data catalog {context['Catalog']} was not found")
        query_id = str(uuid.uuid4())
        kind, substatement, suffix = classify(sql, params.get("ExecutionParameters") or [])
        home = self.result_home(workgroup, params.get("ResultConfiguration") or {})
        configuration = {k: v for k, v in (params.get("ResultConfiguration") or {}).items() if k != "OutputLocation"}
        return {
            "QueryExecutionId": query_id,
            "Query": sql,
            "StatementType": kind,
            "SubstatementType": substatement,
            "ResultConfiguration": configuration | {"OutputLocation": home + suffix.format(id=query_id)},
            "ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": False}},
            "QueryExecutionContext": context,
            "Status": {"State": "QUEUED", "SubmissionDateTime": time.time()},
            "Statistics": {},
            "WorkGroup": group,
            "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
            "home": home,
        } | ({"ExecutionParameters": params["ExecutionParameters"]} if params.get("ExecutionParameters") else {})

    def result_home(self, workgroup: dict[str, Any], given: dict[str, Any]) -> str:
        """Where results go: the workgroup's place when it is enforced or nothing else is named. Ends with `/`."""
        configuration = workgroup["Configuration"]
        theirs = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
        location = given.get("OutputLocation") or theirs
        if configuration.get("EnforceWorkGroupConfiguration") and theirs:
            location = theirs
        if not location:
            raise invalid(
                "No output location provided. An output location is required either through the Workgroup result "
                "configuration setting or as an API input."
            )
        bucket, _, _ = location.removeprefix("s3://").partition("/")
        if not location.startswith("s3://") or not bucket:
            raise invalid("outputLocation is not a valid S3 path.")
        try:
            self.endpoint.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            raise invalid(f"Unable to verify/create output bucket {bucket}") from error
        return str(location if location.endswith("/") else f"{location}/")

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, query_id: str) -> None:
        """Run one query to its end; the thread's whole work."""
        try:
            self._run(query_id)
        except Exception:  # a thread must end with a state in the store, whatever happened
            log.exception("query %s", query_id)
            self.finish(query_id, "FAILED", {"code": "GENERIC_INTERNAL_ERROR", "category": 1, "type": 401,
                                             "reason": "GENERIC_INTERNAL_ERROR: see the endpoint's log"})  # fmt: skip

    def _run(self, query_id: str) -> None:
        from millpond.local.athena.failures import MalformedQuery, QueryFailure
        from millpond.local.athena.running import Run

        body = self.begin(query_id)
        if body is None:
            return
        try:
            outcome = Run(self.endpoint, self.workgroups, body, self.with_worker).run()
        except QueryFailure as failure:
            why = {
                "code": failure.code,
                "category": failure.category,
                "type": failure.error_type,
                "reason": failure.reason,
            }
            self.finish(query_id, "FAILED", why)
        except MalformedQuery as failure:
            reason = f"SYNTAX_ERROR: {failure.message}"
            self.finish(query_id, "FAILED", {"code": "SYNTAX_ERROR", "category": 2, "type": 1001, "reason": reason})
        else:
            self.finish(query_id, "SUCCEEDED", None, outcome)

    def with_worker(self, query_id: str, use: Callable[[Worker], Any]) -> Any:
        """Hand a worker to `use`; StopQueryExecution can end it meanwhile. The next spare is started at once."""
        workers = self.workers
        worker = workers.take()
        with self.lock:
            self.running[query_id] = worker
        try:
            if self.state(query_id) == "CANCELLED":
                worker.kill()
            return use(worker)
        finally:
            with self.lock:
                self.running.pop(query_id, None)
            # Cleaning up and starting the next spare must not keep this query's caller waiting.
            threading.Thread(target=self.after, args=(worker, workers), name="athena-spare").start()

    @staticmethod
    def after(worker: Worker, workers: Any) -> None:
        workers.prepare()
        worker.close()

    def state(self, query_id: str) -> str:
        row = self.store.one("SELECT state FROM athena_queries WHERE id = ?", [query_id])
        return row["state"] if row else "CANCELLED"

    def begin(self, query_id: str) -> dict[str, Any] | None:
        """QUEUED (or RUNNING before a kill) to RUNNING; None when it was cancelled meanwhile."""
        with self.store.write() as db:
            row = db.execute("SELECT state, body FROM athena_queries WHERE id = ?", [query_id]).fetchone()
            if row is None or row["state"] in FINISHED or self.stopping:
                return None
            body = json.loads(row["body"])
            body["Status"]["State"] = "RUNNING"
            body["Statistics"]["QueryQueueTimeInMillis"] = millis(time.time() - body["Status"]["SubmissionDateTime"])
            db.execute(
                "UPDATE athena_queries SET state = 'RUNNING', body = ? WHERE id = ?", [json.dumps(body), query_id]
            )
        return dict(body)

    def finish(self, query_id: str, state: str, failure: dict[str, Any] | None, outcome: Any = None) -> None:
        """The one place where a query ends. A cancelled query stays so; a stopping endpoint leaves it to the next."""
        if self.stopping and state == "FAILED":
            return
        with self.store.write() as db:
            row = db.execute("SELECT state, body FROM athena_queries WHERE id = ?", [query_id]).fetchone()
            if row is None or row["state"] in FINISHED:
                return
            body = json.loads(row["body"])
            now = time.time()
            status = body["Status"] | {"State": state, "CompletionDateTime": now}
            total = millis(now - status["SubmissionDateTime"])
            queued = body["Statistics"].get("QueryQueueTimeInMillis", 0)
            statistics = {"EngineExecutionTimeInMillis": max(0, total - queued), "DataScannedInBytes": 0,
                          "TotalExecutionTimeInMillis": total, "QueryQueueTimeInMillis": queued,
                          "ServicePreProcessingTimeInMillis": 0, "ServiceProcessingTimeInMillis": 0,
                          "ResultReuseInformation": {"ReusedPreviousResult": False}}  # fmt: skip
            columns, updated = [], None
            if failure:
                status["StateChangeReason"] = failure["reason"]
                status["AthenaError"] = {"ErrorCategory": failure["category"], "ErrorType": failure["type"],
                                         "Retryable": False, "ErrorMessage": failure["reason"]}  # fmt: skip
            if outcome is not None:
                statistics |= outcome.statistics
                columns, updated = outcome.columns, outcome.updated
            body |= {"Status": status, "Statistics": statistics}
            db.execute(
                "UPDATE athena_queries SET state = ?, body = ?, columns = ?, updated = ? WHERE id = ?",
                [state, json.dumps(body), json.dumps(columns), updated, query_id],
            )

    # --- reading ----------------------------------------------------------------------------------------------------

    def body(self, query_id: str) -> dict[str, Any]:
        row = self.store.one("SELECT body FROM athena_queries WHERE id = ?", [query_id])
        if row is None:
            raise invalid(f"QueryExecution {query_id} was not found")
        found = dict(json.loads(row["body"]))
        found.pop("home", None)
        return found

    def get_query(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        return {"QueryExecution": self.body(params["QueryExecutionId"])}

    def batch_get(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        found, missing = [], []
        for query_id in params["QueryExecutionIds"]:
            try:
                found.append(self.body(query_id))
            except AwsError as error:
                missing.append({"QueryExecutionId": query_id, "ErrorCode": "INVALID_QUERY_EXECUTION_ID",
                                "ErrorMessage": error.message})  # fmt: skip
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def list_queries(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        group = params.get("WorkGroup") or "primary"
        self.workgroups.workgroup(group)
        rows = self.store.read("SELECT id FROM athena_queries WHERE workgroup = ? ORDER BY number DESC", [group])
        return paged("QueryExecutionIds", [r["id"] for r in rows], params)

    def stop_query(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        query_id = params["QueryExecutionId"]
        self.body(query_id)
        with self.store.write() as db:
            row = db.execute("SELECT state, body FROM athena_queries WHERE id = ?", [query_id]).fetchone()
            if row["state"] not in FINISHED:
                body = json.loads(row["body"])
                now = time.time()
                body["Status"] |= {"State": "CANCELLED", "CompletionDateTime": now,
                                   "StateChangeReason": "Query cancelled by user"}  # fmt: skip
                body["Statistics"] |= {"TotalExecutionTimeInMillis": millis(now - body["Status"]["SubmissionDateTime"])}
                db.execute("UPDATE athena_queries SET state = 'CANCELLED', body = ? WHERE id = ?",
                           [json.dumps(body), query_id])  # fmt: skip
        with self.lock:
            worker = self.running.get(query_id)
        if worker is not None:
            worker.stopped = True
            worker.kill()
        return {}

    def get_results(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        row = self.store.one("SELECT state, body, columns, updated FROM athena_queries WHERE id = ?",
                             [params["QueryExecutionId"]])  # fmt: skip
        if row is None:
            raise invalid(f"QueryExecution {params['QueryExecutionId']} was not found")
        if row["state"] in {"QUEUED", "RUNNING"}:
            raise invalid(f"Query has not yet finished. Current state: {row['state']}")
        if row["state"] != "SUCCEEDED":
            raise invalid(f"Query did not finish successfully. Final query state: {row['state']}")
        limit = params.get("MaxResults") or 1000
        location = json.loads(row["body"])["ResultConfiguration"]["OutputLocation"]
        answer: dict[str, Any] = {"UpdateCount": row["updated"] or 0, "ResultSet": {"Rows": [], "ResultSetMetadata": {
            "ColumnInfo": json.loads(row["columns"])}}}  # fmt: skip
        if not location.endswith((".csv", ".txt")):
            return answer
        path = self.result_file(location)
        start = results.place(params["NextToken"]) if params.get("NextToken") else 0
        rows, token = results.page(path, start, limit, csv=location.endswith(".csv"))
        answer["ResultSet"]["Rows"] = rows
        return answer | ({"NextToken": token} if token else {})

    def result_file(self, location: str) -> Path:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        for one in self.endpoint.services["s3"].objects(bucket, key):  # type: ignore[attr-defined]
            if one.key == key:
                return Path(one.path)
        raise invalid(f"Could not find results: {location}")

    def runtime_statistics(self, params: dict[str, Any], call: Call) -> dict[str, Any]:
        given = self.body(params["QueryExecutionId"])["Statistics"]
        names = ("QueryQueueTimeInMillis", "ServiceProcessingTimeInMillis", "EngineExecutionTimeInMillis",
                 "TotalExecutionTimeInMillis")  # fmt: skip
        timeline = {n: given[n] for n in names if n in given}
        rows = {"InputBytes": given.get("DataScannedInBytes", 0)}
        return {"QueryRuntimeStatistics": {"Timeline": timeline, "Rows": rows}}


def millis(seconds: float) -> int:
    return max(0, int(seconds * 1000))
