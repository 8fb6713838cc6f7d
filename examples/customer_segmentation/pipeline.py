"""Customer segmentation: shop database -> lake -> customer segments -> shop database.

The resources, then the flow. `millpond run` deploys it with CloudFormation, to the laptop or to AWS, and runs it.
"""

from millpond import Parameter, asl, asset, athena, blocks, glue, lambda_, s3, sagemaker, secrets, sns, states

# The shop's database is not ours: its address and login come with the deployment.
jdbc_url = Parameter(name="ShopJdbcUrl", description="jdbc:postgresql://host:port/database of the shop")
login = Parameter(name="ShopSecret", secret=True, description='{"username": "...", "password": "..."}')

# AWS keeps an image registry a region; this one is us-east-1's.
sklearn_image = Parameter(
    name="SklearnImage",
    default="683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
)

lake = s3.Bucket(name="lake")
raw = glue.Database(name="shop_raw", description="The shop's tables as they were copied")
source = glue.Database(name="shop_source", description="The shop's database itself, over JDBC")
mart = glue.Database(name="shop_mart", description="What we make of them")
workgroup = athena.WorkGroup(name="analysts", results=lake.url("athena/results/"))
alerts = sns.Topic(name="alerts", emails=("data-team@example.com",))

shop_login = secrets.Secret(name="shop-login", value=login.ref)
shop = glue.Connection(name="shop", url=jdbc_url.ref, secret=shop_login)

# A table of the lake is a folder on level 3: bucket, raw, table.
TABLE_FOLDERS = {"Version": 1.0, "Grouping": {"TableLevelConfiguration": 3}}
crawl_shop = glue.Crawler(name="shop", database=source, jdbc=((shop, "shop/crm/%"), (shop, "shop/sales/%")))
crawl_raw = glue.Crawler(name="raw", database=raw, s3=(lake.url("raw/"),), configuration=TABLE_FOLDERS)
crawl_mart = glue.Crawler(name="mart", database=mart, s3=(lake.url("mart/"),), configuration=TABLE_FOLDERS)
crawl_segments = glue.Crawler(name="segments", database=mart, s3=(lake.url("ml/segments/"),))


def ingest_job(name: str, *, bookmark: bool = False, concurrency: int = 1) -> glue.Job:
    """A bookmark belongs to a job: tables with bookmarks have a job each, the others share one."""
    return glue.Job(name=name, script="jobs/ingest.py", bookmark=bookmark, concurrency=concurrency, connections=(shop,))


ingest_full = ingest_job("ingest", concurrency=5)
ingest_orders = ingest_job("ingest-orders", bookmark=True)
ingest_order_items = ingest_job("ingest-order-items", bookmark=True)
join = glue.Job(name="join", script="jobs/join.py")
write_back = glue.Job(
    name="write-back",
    script="jobs/write_back.py",
    connections=(shop,),
    arguments={"--additional-python-modules": "psycopg[binary]"},
)
ml_role = sagemaker.ProcessingRole(name="segment")
explain = lambda_.Function(name="explain", code="functions/explain", uses=("logs",))
reconcile = lambda_.Function(
    name="reconcile", code="functions/reconcile", timeout=180, uses=("logs", "glue", "athena", "s3", "secrets")
)


def table(name: str, schema: str, job: glue.Job, *, key: str = "none", partition_by: str = "none") -> dict[str, str]:
    """What the ingest job needs to know of one table."""
    return {
        "table": name,
        "job": job.ref,
        "source": f"shop_{schema}_{name}",
        "target": lake.url(f"raw/{name}/"),
        "key": key,
        "partition_by": partition_by,
    }


TABLES = [
    table("orders", "sales", ingest_orders, key="order_id", partition_by="ordered_at"),
    table("order_items", "sales", ingest_order_items, key="order_item_id"),
    table("customers", "crm", ingest_full),
    table("addresses", "crm", ingest_full),
    table("products", "sales", ingest_full),
    table("returns", "sales", ingest_full),
    table("exchange_rates", "sales", ingest_full),
]

RFM = f"""
SELECT person_id, min(person_email) AS email,
       date_diff('day', date(max(ordered_at)), (SELECT date(max(ordered_at)) FROM "{mart.name}"."lines")) AS recency,
       count(DISTINCT order_id) AS frequency,
       cast(sum(amount_eur) AS double) AS monetary
FROM "{mart.name}"."lines"
GROUP BY person_id
ORDER BY person_id
"""

PROCESSING = "/opt/ml/processing"


def s3_input(name: str, uri: str, path: str) -> dict[str, object]:
    where = {"S3Uri": uri, "LocalPath": f"{PROCESSING}/{path}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": where}


def s3_output(name: str, uri: str, path: str) -> dict[str, object]:
    return {
        "OutputName": name,
        "S3Output": {"S3Uri": uri, "LocalPath": f"{PROCESSING}/{path}", "S3UploadMode": "EndOfJob"},
    }


steps = {
    "Begin": asl.Pass(assign={"maxClusters": 8}, comment="pipeline.py"),
    "Crawl the shop": blocks.crawl(crawl_shop),
    "Ingest": blocks.each(
        TABLES,
        {
            "Ingest table": blocks.run(
                "{% $states.input.job %}",
                {
                    "--database": source.name,
                    "--table": "{% $states.input.source %}",
                    "--target": "{% $states.input.target %}",
                    "--bookmark_key": "{% $states.input.key %}",
                    "--partition_by": "{% $states.input.partition_by %}",
                },
                output={"table": "{% $states.input.table %}", "run": "{% $states.result.Id %}"},
            )
        },
        concurrency=3,
    ),
    "Crawl raw": blocks.crawl(crawl_raw),
    "Join": blocks.run(
        join,
        {"--source_database": source.name, "--raw_database": raw.name, "--target": lake.url("mart/lines/")},
    ),
    "Crawl mart": blocks.crawl(crawl_mart),
    "Recency, frequency, money": blocks.query(
        workgroup, RFM, assign={"rfm": "{% $states.result.QueryExecution.ResultConfiguration.OutputLocation %}"}
    ),
    "Segment customers": blocks.process(
        {
            "ProcessingJobName": "{% $substring($replace($states.context.Execution.Name, /[^a-zA-Z0-9]/, '-'), 0, 56)"
            " & '-k' & $string($maxClusters) %}",
            "RoleArn": ml_role.arn,
            "AppSpecification": {
                "ImageUri": sklearn_image.ref,
                "ContainerEntrypoint": ["python3", f"{PROCESSING}/input/code/segment.py"],
                "ContainerArguments": [
                    "--input",
                    f"{PROCESSING}/input/rfm",
                    "--segments",
                    f"{PROCESSING}/output/segments",
                    "--metrics",
                    f"{PROCESSING}/output/metrics",
                    "--max-clusters",
                    "{% $string($maxClusters) %}",
                ],
            },
            "ProcessingInputs": [
                s3_input("code", asset("jobs/segment.py"), "input/code"),
                s3_input("rfm", "{% $rfm %}", "input/rfm"),
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    s3_output("segments", lake.url("ml/segments/"), "output/segments"),
                    s3_output("metrics", lake.url("ml/metrics/"), "output/metrics"),
                ]
            },
            "ProcessingResources": {
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
        }
    ),
    "Read the score": blocks.call(
        "s3:getObject",
        {"Bucket": lake.ref, "Key": "ml/metrics/metrics.json"},
        assign={"metrics": "{% $parse($states.result.Body) %}"},
    ),
    "Good enough?": asl.Choice(
        rules=(asl.Rule(condition="{% $metrics.silhouette >= 0.25 or $maxClusters <= 4 %}", next="Crawl segments"),),
        default="Fewer clusters",
        query_language="JSONata",
        comment="pipeline.py",
    ),
    "Fewer clusters": asl.Pass(
        assign={"maxClusters": "{% $maxClusters - 2 %}"}, next="Segment customers", query_language="JSONata"
    ),
    "Crawl segments": blocks.crawl(crawl_segments),
    "Write back": blocks.run(write_back, {"--database": mart.name, "--table": "segments", "--connection": shop.ref}),
    "Reconcile": blocks.invoke(
        reconcile,
        {"raw": raw.name, "mart": mart.name, "connection": shop.ref, "workgroup": workgroup.ref},
        output={
            "clusters": "{% $metrics.clusters %}",
            "silhouette": "{% $metrics.silhouette %}",
            "rows": "{% $states.result.Payload.rows %}",
            "written": {
                "raw tables": lake.url("raw/"),
                "joined lines": lake.url("mart/lines/"),
                "segments": lake.url("ml/segments/"),
                "database table": "crm.customer_segments",
            },
        },
    ),
}
on_failure = {
    "Explain": blocks.invoke(
        explain,
        {
            "step": "{% $failure.step %}",
            "error": "{% $failure.error %}",
            "cause": "{% $failure.cause %}",
            "execution": "{% $states.context.Execution.Id %}",
            "flow": "customer-segmentation",
        },
        catch=(
            asl.Catcher(
                error_equals=("States.ALL",),
                next="Notify",
                output={"subject": "{% 'failed: ' & $failure.step %}", "message": "{% $failure.cause %}"},
            ),
        ),
        next="Notify",
    ),
    "Notify": blocks.publish(
        alerts, subject="{% $states.input.subject %}", message="{% $states.input.message %}", next="Failed"
    ),
    "Failed": asl.Fail(error="{% $failure.error %}", cause="{% $failure.cause %}", query_language="JSONata"),
}

segmentation = states.StateMachine(
    name="flow",
    definition=asl.Machine(
        start_at="Begin",
        states=blocks.caught(blocks.sequence(steps), by="Explain") | on_failure,
        query_language="JSONata",
        comment="pipeline.py: customer segmentation",
    ),
)
