"""DataSink, where AWS's library has it: what glueContext.getSink gives."""

from awsglue._sinks import DataSink

__all__ = ["DataSink"]
