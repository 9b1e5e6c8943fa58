"""Credentials whose tokens we obtain ourselves, without a person.

Owns: that such a credential has a grant as soon as it has values. Does not own: the refresh (`refresh`), what it asks with
(`orders`).

A grant begins with an empty token set that is over already: so its first token is obtained like every later one, under a
lease, within the same bounds, with the same backoff, and it shows on the status page when that fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from tokenkeep.core import lifecycle
from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import OWN, Credential, Grant, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import Catalog, Clock, Entropy, Envelope, GrantStore, Journal
from tokenkeep.services.refresh import Refresher
from tokenkeep.services.sealing import seal_tokens


@dataclass(slots=True, kw_only=True)
class Minting:
    """Use case `begin`."""

    grants: GrantStore
    refresher: Refresher
    catalog: Catalog
    envelope: Envelope
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def begin(self, credential: Credential, *, actor: str) -> Credential:
        """The credential with a grant, after the first token was asked for; whether it came is in the grant's standing.

        Raises NotFound (deleted meanwhile).
        """
        type_, now = self.catalog.type(credential.type), self.clock.now()
        over = lifecycle.Obtained(expires_at=now, refresh_expires_at=None, next_refresh_at=now)
        grant = Grant(
            workspace_id=credential.workspace_id,
            credential_id=credential.id,
            grant_id=self.entropy.id(),
            client=f"{OWN}{credential.id}",
            provider=type_.provider,
            version=1,
            sealed=b"",
            standing=replace(lifecycle.connected(over, now=now), last_refresh_at=None),
            connected_at=now,
        )
        grant = await seal_tokens(self.envelope, grant, TokenSet(access_token=Secret(""), expires_at=now))
        event = new_event(credential, "token_wanted", actor=actor, by=(self.clock, self.entropy))
        await self.grants.connect(grant, event)
        try:
            await self.refresher.refresh(credential.workspace_id, credential.id, _first)
        except TokenkeepError as fault:
            self.journal.record("mint_waits", credential=credential.id, code=fault.code)
        stored = await self.grants.get(credential.workspace_id, credential.id)
        return replace(credential, grant=stored)


def _first(grant: Grant, _: datetime) -> bool:
    """While there is no token yet."""
    return grant.version == 1
