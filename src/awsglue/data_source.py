"""DataSource, where AWS's library has it: what glueContext.getSource gives."""

from awsglue.context import DataSource

__all__ = ["DataSource"]
