"""One line of history, of a credential or of a client.

Owns: making it. Does not own: keeping it (`EventStore`, or the store that writes it together with what happened).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenkeep.core.model import Client, Credential, Event, Grant
from tokenkeep.services.ports import Clock, Entropy


def new_event(
    of: Credential | Grant, kind: str, *, actor: str, by: tuple[Clock, Entropy], detail: Mapping[str, Any] | None = None
) -> Event:
    """What happened now to `of`. `detail` holds plain facts and never a secret."""
    clock, entropy = by
    return Event(
        id=entropy.id(),
        workspace_id=of.workspace_id,
        credential_id=of.credential_id if isinstance(of, Grant) else of.id,
        at=clock.now(),
        kind=kind,
        actor=actor,
        detail=dict(detail or {}),
    )


def client_event(
    of: Client, kind: str, *, actor: str, by: tuple[Clock, Entropy], detail: Mapping[str, Any] | None = None
) -> Event:
    """What happened now to a client. It belongs to no credential, so it says itself at which provider that was."""
    clock, entropy = by
    return Event(
        id=entropy.id(),
        workspace_id=of.workspace_id,
        credential_id="",
        at=clock.now(),
        kind=kind,
        actor=actor,
        detail={"provider": of.provider, **(detail or {})},
    )
