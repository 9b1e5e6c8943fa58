"""Webhooks: endpoints, deliveries, and the rules of Standard Webhooks.

Owns: the two nouns, the signature, the timetable of retries, which addresses an endpoint may have.
Does not own: sending (`services/outbox`), which addresses can be reached (`adapters/egress`).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.secret import Secret

SECRET_PREFIX: Final = "whsec_"
SECRET_OCTETS: Final = 32
RETRIES_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long to wait after each failed attempt: 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. Then it has failed."""
JITTER: Final = 0.1
"""At most so much later, as a part of the wait, so that those who failed together do not come back together."""
GIVE_UP_S: Final = 5 * 86_400
"""An endpoint that took nothing for so long is disabled."""
OVERLAP_S: Final = 86_400
"""How long the secret before a new one still signs."""
DELIVERED_KEPT_S: Final = 7 * 86_400
FAILED_KEPT_S: Final = 30 * 86_400
_URL_LENGTH = 2_000
_EXAMPLE = "https://app.example.org/hooks"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a workspace wants to be told."""

    id: str
    workspace_id: str
    url: str
    description: str
    types: tuple[str, ...]  # empty: all
    secret_sealed: bytes
    secret_version: int
    previous_sealed: bytes | None  # at the place of the version before
    previous_until: datetime | None
    created_at: datetime
    created_by: str
    disabled_at: datetime | None = None
    disabled_reason: str = ""  # asked, gone, failing
    failing_since: datetime | None = None  # the first failed attempt after the last success

    def wants(self, type_: str) -> bool:
        """Whether that type is to be sent there."""
        return self.disabled_at is None and (not self.types or type_ in self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one endpoint. Its id is the same in every attempt and replay, so a receiver can tell repeats."""

    id: str
    workspace_id: str
    endpoint_id: str
    type: str
    body: str
    created_at: datetime  # when it happened, not when it was written into the outbox
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0  # counted when an attempt begins, so that a crash counts
    next_attempt_at: datetime | None = None  # while an attempt runs: the end of its lease
    last_attempt_at: datetime | None = None
    last_result: str = ""  # an HTTP status, or why there was none


def sign(secret: Secret, *, message_id: str, at: datetime, body: str) -> str:
    """`v1,<base64>`: HMAC-SHA256 of id, whole seconds and body, joined by dots (Standard Webhooks)."""
    signed = f"{message_id}.{int(at.timestamp())}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, sha256)).decode()


def headers(secrets: Sequence[Secret], *, message_id: str, at: datetime, body: str) -> dict[str, str]:
    """What makes a request a webhook. Several signatures while a secret turns over."""
    signatures = [sign(secret, message_id=message_id, at=at, body=body) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def secret_of(octets: bytes) -> Secret:
    """The text form of a signing key."""
    return Secret(SECRET_PREFIX + base64.b64encode(octets).decode())


def _key(secret: Secret) -> bytes:
    return base64.b64decode(secret.reveal().removeprefix(SECRET_PREFIX))


def retry_at(now: datetime, *, attempts: int, fraction: float) -> datetime | None:
    """When to try again after so many attempts. None: that was the last one."""
    if attempts > len(RETRIES_S):
        return None
    wait = RETRIES_S[max(attempts, 1) - 1]
    return now + timedelta(seconds=wait * (1 + JITTER * fraction))


def body_of(type_: str, *, at: datetime, data: Mapping[str, Any]) -> str:
    """The payload, as it is signed and sent."""
    timestamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {"type": type_, "timestamp": timestamp, "data": dict(data)}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def checked_url(text: str) -> str:
    """An address that could be an endpoint. Raises InvalidInput.

    Only its form is judged here: a private address is refused when it is called, as its name may lead elsewhere by then.
    """
    url = text.strip()
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound or not url.isascii() or not url.isprintable() or " " in url or len(url) > _URL_LENGTH:
        form = f"It must be an address such as {_EXAMPLE}, in ASCII, of at most {_URL_LENGTH} characters."
        raise InvalidInput(fields={"url": form})
    if parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not _local(parts.hostname or "")):
        raise InvalidInput(fields={"url": "It must begin with https:// unless it is on this machine."})
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput(fields={"url": "It must hold no user name, password or fragment: deliveries are signed."})
    return url


def _local(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")
