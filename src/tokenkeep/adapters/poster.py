"""Webhooks on the wire.

Owns: the way out for webhooks, apart from the one that refreshes take, so that slow endpoints never hold up a refresh.
Does not own: the guard and the limits' meaning (`outbound`), what is sent (`services/outbox`).
"""

from __future__ import annotations

from tokenkeep.adapters.outbound import Limits, Outbound
from tokenkeep.core.model import Answer

LIMITS = Limits(connect_s=5.0, total_s=15.0, body=65_536, concurrency=32)
"""An endpoint is to say thanks and work later; of what it says only the status counts."""


class WebhookPoster:
    """Implements the port `Poster`. Redirects are answers like others: the transport follows none."""

    def __init__(self, outbound: Outbound) -> None:
        """`outbound` is its own, made with `LIMITS`."""
        self._outbound = outbound

    async def post(self, url: str, *, headers: dict[str, str], body: str) -> Answer:
        """One attempt. Status 0 with a fault where there is no answer."""
        return await self._outbound.send("POST", url, headers=headers, content=body.encode())

    async def close(self) -> None:
        """Close all connections."""
        await self._outbound.close()
