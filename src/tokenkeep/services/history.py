"""One line of a credential's history.

Owns: making it. Does not own: keeping it (`EventStore`, or the store that writes it together with what happened).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenkeep.core.model import Credential, Event, Grant
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
