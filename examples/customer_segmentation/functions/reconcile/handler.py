"""Do the database, the lake and the catalog agree? Compares row counts and fails when they do not."""

import json
import os
import time
from urllib.parse import urlsplit

import boto3
import pg8000.native

RAW = {
    "customers": "crm.customers",
    "addresses": "crm.addresses",
    "products": "sales.products",
    "orders": "sales.orders",
    "order_items": "sales.order_items",
    "returns": "sales.returns",
    "exchange_rates": "sales.exchange_rates",
}


class CountsDiffer(Exception):
    """Two places that should hold the same rows do not."""


def handler(event, context):
    """`event`: raw, mart (database names), connection, workgroup. Returns the counts."""
    people = "SELECT count(DISTINCT lower(trim(c.email))) FROM crm.customers c JOIN sales.orders USING (customer_id)"
    database = connect(event["connection"])
    shop = {table: count(database, f"SELECT count(*) FROM {name}") for table, name in RAW.items()}
    shop["segments"] = count(database, "SELECT count(*) FROM crm.customer_segments")
    shop["people with orders"] = count(database, people)
    database.close()

    tables = {table: f'"{event["raw"]}"."{table}"' for table in RAW}
    tables |= {table: f'"{event["mart"]}"."{table}"' for table in ("lines", "segments")}
    lake = ask(
        " UNION ALL ".join(f"SELECT '{table}' AS name, count(*) AS n FROM {path}" for table, path in tables.items()),
        event["workgroup"],
    )
    glue = boto3.client("glue")
    catalog = {
        table: int(glue.get_table(DatabaseName=event["raw"], Name=table)["Table"]["Parameters"].get("recordCount", -1))
        for table in RAW
    }
    differences = [
        f"{table}: database {shop[table]}, lake {lake.get(table)}, catalog {catalog[table]}"
        for table in RAW
        if not shop[table] == lake.get(table) == catalog[table]
    ]
    if not shop["segments"] == lake["segments"] == shop["people with orders"]:
        differences.append(
            f"segments: database {shop['segments']}, lake {lake['segments']}, "
            f"people with orders {shop['people with orders']}"
        )
    if lake["lines"] != shop["order_items"]:
        differences.append(f"lines: lake {lake['lines']}, order items {shop['order_items']}")
    if differences:
        raise CountsDiffer("; ".join(differences))
    return {"agree": True, "rows": lake}


def connect(connection):
    """Connect to the database that a Glue connection names."""
    found = boto3.client("glue").get_connection(Name=connection)["Connection"]["ConnectionProperties"]
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=found["SECRET_ID"])
    login = json.loads(secret["SecretString"])
    address = urlsplit(found["JDBC_CONNECTION_URL"].removeprefix("jdbc:"))
    return pg8000.native.Connection(
        login["username"],
        host=address.hostname,
        port=address.port,
        database=address.path.lstrip("/"),
        password=login["password"],
        timeout=20,
    )


def count(database, query):
    return database.run(query)[0][0]


def ask(query, workgroup):
    """Run a query of (name, number) rows in Athena."""
    athena = boto3.client("athena")
    query_id = athena.start_query_execution(QueryString=query, WorkGroup=workgroup)["QueryExecutionId"]
    deadline = time.monotonic() + 120
    while True:
        status = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"]
        if status["State"] not in ("QUEUED", "RUNNING"):
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"Athena query {query_id} still {status['State']} after 120 s")
        time.sleep(float(os.environ.get("POLL_SECONDS", "0.2")))
    if status["State"] != "SUCCEEDED":
        raise RuntimeError(f"Athena: {status.get('StateChangeReason')}")
    rows = athena.get_query_results(QueryExecutionId=query_id)["ResultSet"]["Rows"][1:]
    return {row["Data"][0]["VarCharValue"]: int(row["Data"][1]["VarCharValue"]) for row in rows}
