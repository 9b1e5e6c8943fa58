"""An endpoint of webhooks that remembers what it got, and an independent check of signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.core.model import Answer


@dataclass(frozen=True)
class Received:
    """One request."""

    url: str
    headers: Mapping[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Receiver:
    """`ports.Poster` with endpoints behind it. `status` is what they answer; 0: no answer; a function decides by request."""

    status: int | Callable[[Received], int] = 204
    received: list[Received] = field(default_factory=list)
    closed: bool = False

    async def post(self, url: str, *, headers: dict[str, str], body: str) -> Answer:
        request = Received(url, dict(headers), body)
        self.received.append(request)
        status = self.status(request) if callable(self.status) else self.status
        return Answer(status=status, fault="" if status else "lost")

    async def close(self) -> None:
        self.closed = True

    @property
    def types(self) -> list[str]:
        """What was told, in order."""
        return [request.payload["type"] for request in self.received]


def signed_by(secret: str, request: Received) -> bool:
    """As a receiver checks it: written from the specification, with nothing of ours."""
    key = base64.b64decode(secret.split("_", 1)[1])
    content = ".".join([request.headers["webhook-id"], request.headers["webhook-timestamp"], request.body])
    expected = base64.b64encode(hmac.new(key, content.encode(), hashlib.sha256).digest()).decode()
    versions = [signature.split(",", 1) for signature in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(value, expected) for version, value in versions)
