"""Glue's data quality for job scripts: `awsgluedq.transforms.EvaluateDataQuality`."""
