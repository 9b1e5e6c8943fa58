"""What is written on the spill shelf, and read from it.

Owns: the document of a generation that the database did not take. Does not own: when it is put there and stored again
(`keeping`), the shelf itself (`Spill`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.core import lifecycle, token_document
from tokenkeep.core.model import Event, Grant, Place
from tokenkeep.services.ports import Envelope
from tokenkeep.services.surplus import Leftover


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Whose generation it is: written in clear before what is sealed, since it says where that belongs."""

    workspace_id: str
    credential_id: str
    grant_id: str
    version: int

    def place(self, kind: str, field: str) -> Place:
        """Of a sealed part, when there is no grant any more to ask."""
        return Place(
            workspace_id=self.workspace_id,
            kind=kind,
            record_id=self.credential_id,
            field=field,
            grant_id=self.grant_id,
            version=self.version,
        )


def name_of(grant: Grant) -> str:
    """Its name on the shelf."""
    return f"{grant.credential_id}.{grant.grant_id}.{grant.version}"


def labelled(grant: Grant, sealed: bytes) -> bytes:
    """What goes on the shelf."""
    head = json.dumps([grant.workspace_id, grant.credential_id, grant.grant_id, grant.version])
    return head.encode() + b"\n" + sealed


def label_of(octets: bytes) -> tuple[Label, bytes]:
    """The label, and what is sealed behind it."""
    head, _, sealed = octets.partition(b"\n")
    workspace_id, credential_id, grant_id, version = json.loads(head)
    return Label(workspace_id=workspace_id, credential_id=credential_id, grant_id=grant_id, version=version), sealed


async def generation_of(envelope: Envelope, row: Grant, label: Label, sealed: bytes) -> tuple[Grant, Grant]:
    """The generation, and the row as it was when the provider was asked. Raises Quarantined."""
    document = json.loads(await envelope.open(sealed, label.place("spill", "grant")))
    asked = replace(row, fence=document["fence"], version=document["base"])
    return revived(row, document["grant"], version=label.version), asked


def replayed(label: Label, *, at: datetime) -> Event:
    """The line of history for it. Its id is the same whoever stores it, so it is written once."""
    return Event(
        id=f"replay-{label.grant_id}-{label.version}",
        workspace_id=label.workspace_id,
        credential_id=label.credential_id,
        at=at,
        kind="refreshed",
        actor="system",
        detail={"replayed": True},
    )


async def leftover_of(envelope: Envelope, label: Label, sealed: bytes, *, why: str) -> Leftover | None:
    """The token set of a grant that is gone. None: an older version spilled it, and did not say through which client.

    Raises Quarantined.
    """
    document = json.loads(await envelope.open(sealed, label.place("spill", "grant")))["grant"]
    if not document.get("client"):
        return None
    tokens = await envelope.open(base64.b64decode(document["sealed"]), label.place("oauth_token", "token_set"))
    return Leftover(
        workspace_id=label.workspace_id,
        credential_id=label.credential_id,
        client=document["client"],
        token_set=token_document.load(tokens),
        why=why,
    )


def plain(grant: Grant) -> dict[str, object]:
    """What a spilled generation adds to the row: times as timestamps, octets as base64."""
    standing = grant.standing
    return {
        "client": grant.client,
        "sealed": base64.b64encode(grant.sealed).decode(),
        "prev_sealed": base64.b64encode(grant.prev_sealed).decode() if grant.prev_sealed else None,
        "prev_until": grant.prev_until.isoformat() if grant.prev_until else None,
        "scopes_granted": list(grant.scopes_granted) if grant.scopes_granted is not None else None,
        "expires_at": standing.expires_at.isoformat() if standing.expires_at else None,
        "refresh_expires_at": standing.refresh_expires_at.isoformat() if standing.refresh_expires_at else None,
        "next_refresh_at": standing.next_refresh_at.isoformat() if standing.next_refresh_at else None,
        "obtained_at": standing.last_refresh_at.isoformat() if standing.last_refresh_at else None,
        "endless": standing.endless,
        "needs_person_at": standing.needs_person_at.isoformat() if standing.needs_person_at else None,
        "warn_at": standing.warn_at.isoformat() if standing.warn_at else None,
    }


def revived(row: Grant, spilled: dict[str, str | bool | list[str] | None], *, version: int) -> Grant:
    """The row with the generation that was spilled."""

    def moment(name: str) -> datetime | None:
        text = spilled.get(name)  # an older version may have spilled it, and it knew less
        return datetime.fromisoformat(text) if isinstance(text, str) else None

    def octets(name: str) -> bytes | None:
        text = spilled[name]
        return base64.b64decode(text) if isinstance(text, str) else None

    obtained = lifecycle.Obtained(
        expires_at=moment("expires_at"),
        refresh_expires_at=moment("refresh_expires_at"),
        next_refresh_at=moment("next_refresh_at"),
        endless=bool(spilled.get("endless")),
        learned_life_s=row.standing.learned_life_s,
        needs_person_at=moment("needs_person_at"),
        warn_at=moment("warn_at"),
    )
    standing = lifecycle.connected(obtained, now=moment("obtained_at") or row.connected_at)
    granted = spilled["scopes_granted"]
    return replace(
        row,
        version=version,
        sealed=octets("sealed") or b"",
        prev_sealed=octets("prev_sealed"),
        prev_until=moment("prev_until"),
        scopes_granted=tuple(granted) if isinstance(granted, list) else None,
        standing=standing,
    )
