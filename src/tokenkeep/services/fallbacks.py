"""What recovery may try before a refusal is believed (reliability 4.4).

Owns: the tokens that may still be accepted, in the order in which they are tried, each once. Does not own: trying them
(`refresh`), putting them where they are kept (`keeping`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from tokenkeep.core import protocol, token_document
from tokenkeep.core.errors import Quarantined
from tokenkeep.core.model import Grant, Provider, Rotation, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock, Envelope, GrantStore, Lease
from tokenkeep.services.sealing import previous_place, token_place


@dataclass(slots=True, kw_only=True)
class Fallbacks:
    """Read under a lease. What does not open is passed over."""

    grants: GrantStore
    envelope: Envelope
    clock: Clock

    async def candidates(self, lease: Lease, provider: Provider, token_set: TokenSet) -> AsyncIterator[Secret]:
        """The refresh token, then those that may live although it is refused; none that was refused before."""
        tried = set(lease.grant.refused)
        async for candidate in self._all(lease, provider, token_set):
            if candidate is not None and (mark := protocol.fingerprint(candidate)) not in tried:
                tried.add(mark)
                yield candidate

    async def _all(self, lease: Lease, provider: Provider, token_set: TokenSet) -> AsyncIterator[Secret | None]:
        if lease.previous_intent_at is not None:
            # Whoever got a later generation than the stored one has spent the stored one for it. That leaves a trace in
            # the row, so an ordinary refresh need not look.
            async for version, orphan in self._orphans(lease.grant):
                if version > lease.grant.version:
                    yield orphan.refresh_token
        yield token_set.refresh_token
        async for _, orphan in self._orphans(lease.grant):
            yield orphan.refresh_token
        if lease.previous_intent_at is not None and provider.rotation is not Rotation.FAMILY:
            yield await self._previous(lease.grant)

    async def _orphans(self, grant: Grant) -> AsyncIterator[tuple[int, TokenSet]]:
        """(version, token set) on the orphan shelf, newest first. Those older than what is stored are known to be spent."""
        for version, sealed in await self.grants.orphans(grant.workspace_id, grant.credential_id, grant.grant_id):
            if version < grant.version:
                continue
            try:
                plain = await self.envelope.open(sealed, token_place(replace(grant, version=version)))
            except Quarantined:
                continue
            yield version, token_document.load(plain)

    async def _previous(self, grant: Grant) -> Secret | None:
        """The refresh token that was spent last, while it is kept (reliability 4.5)."""
        if grant.prev_sealed is None or grant.prev_until is None or grant.prev_until <= self.clock.now():
            return None
        try:
            return Secret((await self.envelope.open(grant.prev_sealed, previous_place(grant))).decode())
        except Quarantined:
            return None
