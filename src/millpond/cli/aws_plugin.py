"""A plugin of the AWS CLI version 1: its `sqs` and `health` commands ignore AWS_ENDPOINT_URL (aws/aws-cli#8737).

They would speak to the real AWS with local keys. `millpond env` copies this file, which imports nothing of ours, into
the state folder, puts that on PYTHONPATH and names it in the configuration file, so that any AWS CLI finds it.
"""

from __future__ import annotations

import os
from typing import Any


def awscli_initialize(cli: Any) -> None:
    """Register with the AWS CLI, before it looks at the region."""
    cli.register_first("before-building-argument-table-parser", _keep_endpoint)


def _keep_endpoint(parsed_globals: Any, **_: Any) -> None:
    if parsed_globals.endpoint_url is None:
        parsed_globals.endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
