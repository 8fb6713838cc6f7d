"""User code runs in processes of its own: what they see, how they are watched, how they end.

`environment()` is an allow-list: a job or function sees PATH, a home of its own and the local AWS, and none of the
developer's real credentials or tokens. A process outlives the endpoint, so its SDK waits for the next one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# Attempts of an SDK in "standard" mode, whose waits double up to 20 s ("Retry behavior", AWS SDKs Reference Guide): an
# endpoint that was killed may be away for more than a minute. What is wrong in a request (4xx) is not tried again.
ATTEMPTS = 22

PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "JAVA_TOOL_OPTIONS")


def environment(
    *, home: Path, url: str, access_key: str, secret_key: str, region: str, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a user process: boto3 without arguments reaches the local endpoint and nothing else."""
    env = {name: os.environ[name] for name in PASSED if name in os.environ}
    env |= {
        "HOME": str(home),
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_RETRY_MODE": "standard",
        "AWS_MAX_ATTEMPTS": str(ATTEMPTS),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return env | dict(extra or {})
