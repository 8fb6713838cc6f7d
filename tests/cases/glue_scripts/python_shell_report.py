# A Python shell job: boto3 and pandas, no Spark.
import io
import sys

import boto3
import pandas as pd
from awsglue.utils import getResolvedOptions

args = getResolvedOptions(sys.argv, ["bucket", "prefix"])
s3 = boto3.client("s3")
frames = []
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=args["bucket"], Prefix=args["prefix"]):
    for item in page.get("Contents", []):
        body = s3.get_object(Bucket=args["bucket"], Key=item["Key"])["Body"].read()
        frames.append(pd.read_csv(io.BytesIO(body)))
report = pd.concat(frames).groupby("shop", as_index=False)["takings"].sum().sort_values("shop")
out = io.StringIO()
report.to_csv(out, index=False)
s3.put_object(Bucket=args["bucket"], Key="out/report/report.csv", Body=out.getvalue())
print("shops", len(report), "tables", len(boto3.client("glue").get_tables(DatabaseName="samples")["TableList"]))
