"""Glue's job library: GlueContext, DynamicFrame, Job, transforms, getResolvedOptions, on Spark's DataFrame API.

Written from AWS's public documentation; no code of Amazon's library is in it. It needs pyspark and boto3, and nothing
of millpond. What is not carried raises NotImplementedError and says what.

Values are typed as in a DataFrame: a DynamicFrame here has one schema. A column that a reader finds with several types
becomes the type that Spark gives it (see dynamicframe.py), so ResolveChoice mostly casts.
"""
