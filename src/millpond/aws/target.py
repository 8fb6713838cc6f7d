"""The clouds: the only place where the tooling makes boto3 clients. Local or AWS is a value, never an `if`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from millpond.errors import CloudError, MillpondError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Target:
    """A cloud: where it is and who we are there. `clients` caches what `client` made."""

    name: str
    region: str
    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    profile: str | None = None
    clients: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def local(cls, data: Path) -> Target:
        """The local AWS whose state folder is `data`. Raises MillpondError when it is not up."""
        try:
            address = json.loads((data / "endpoint.json").read_text())
            key = json.loads((data / "credentials.json").read_text())
        except FileNotFoundError:
            raise CloudError(
                "EndpointDown", f"no local AWS is up for {data}", help="millpond up --background"
            ) from None
        url = f"http://127.0.0.1:{address['port']}"
        region = key.get("region", "us-east-1")
        return cls("local", region, url, key["access_key"], key["secret_key"])

    @classmethod
    def aws(cls, *, profile: str | None = None, region: str | None = None) -> Target:
        """An AWS account, by the usual profile and region."""
        import boto3

        session = boto3.session.Session(profile_name=profile, region_name=region)
        if session.region_name is None:
            raise MillpondError("no AWS region is set", help="--region eu-central-1, or AWS_DEFAULT_REGION")
        return cls("aws", session.region_name, profile=profile)

    def client(self, service: str) -> Any:
        """A boto3 client. A local target never leaves the machine, whatever the environment says."""
        if service not in self.clients:
            self.clients[service] = self._connect(service)
        return self.clients[service]

    def _connect(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        if self.endpoint_url is None:
            account: Any = boto3.session.Session(profile_name=self.profile, region_name=self.region)
            return account.client(service)
        if urlsplit(self.endpoint_url).hostname not in LOOPBACK:
            raise MillpondError(f"the local target must be on this machine, not {self.endpoint_url}")
        session: Any = boto3.session.Session(self.access_key, self.secret_key, region_name=self.region)
        config = Config(inject_host_prefix=False, retries={"total_max_attempts": 2, "mode": "standard"})
        return session.client(service, endpoint_url=self.endpoint_url, config=config)

    def get(self, path: str, *, timeout: float = 30) -> Any:
        """A JSON document of the local endpoint's own routes (`/_millpond/...`): local only. `timeout`: seconds."""
        import urllib.error
        import urllib.request

        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        if self.endpoint_url is None:
            raise MillpondError(f"{path} exists on the local AWS only")
        request = AWSRequest("GET", self.endpoint_url + path)
        SigV4Auth(Credentials(self.access_key or "", self.secret_key or ""), "millpond", self.region).add_auth(request)
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.endpoint_url + path, headers=dict(request.headers)), timeout=timeout
            ) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CloudError(str(error.code), f"{path}: {error.read().decode(errors='replace')[:300]}") from None
        except urllib.error.URLError as error:
            raise CloudError(
                "EndpointDown", f"the local AWS does not answer: {error.reason}", help="millpond status"
            ) from None
