"""Glue's transforms for Spark's DataFrames: ApplyMapping is the only one that AWS's library has."""

from awsglue.dataframe_transforms.apply_mapping import ApplyMapping

ALL_TRANSFORMS = {ApplyMapping}

__all__ = ["ApplyMapping"]
