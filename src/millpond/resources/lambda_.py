"""AWS Lambda: functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from millpond.resources.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Function(Resource):
    """A function whose code is the folder `code`; a `requirements.txt` in it is installed into the
    package, with this machine's wheels (see stack/assets.py for compiled packages).

    `timeout` in seconds, `memory` in MB. `uses` names what its role may use: glue, athena, s3, logs, secrets.
    """

    type: ClassVar[str] = "AWS::Lambda::Function"
    code: str
    handler: str = "handler.handler"
    runtime: str = "python3.11"
    timeout: int = 60
    memory: int = 256
    environment: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[str, ...] = ("logs",)
