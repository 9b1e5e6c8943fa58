"""Keeping what a provider gave us, whatever the database does.

Owns: W2 of a refresh, the spill shelf when the database cannot take it, the orphan shelf when our fence was lost, and the
replay at start. Does not own: asking the provider (`refresh`), which kept tokens a refusal is checked with (`fallbacks`).
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tokenkeep.core import horizon, lifecycle, policy, protocol
from tokenkeep.core.errors import NotFound, Quarantined, Unavailable
from tokenkeep.core.judgement import Granted
from tokenkeep.core.model import Event, Grant, Rotation, State, TokenSet
from tokenkeep.services import spilling
from tokenkeep.services.patience import Patience
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    Envelope,
    GrantStore,
    Journal,
    Lease,
    Registration,
    Spill,
)
from tokenkeep.services.sealing import open_tokens, previous_place, seal_tokens, spill_place
from tokenkeep.services.spilling import Label
from tokenkeep.services.surplus import Surplus, leftover

STORE_S = 2.0
"""A database that has not answered by then is taken for one that does not take it."""
ADOPT_EVERY_S = 2.0


@dataclass(slots=True, kw_only=True)
class Keeping:
    """What stands between a provider's answer and its loss."""

    grants: GrantStore
    envelope: Envelope
    spill: Spill
    surplus: Surplus
    patience: Patience
    catalog: Catalog
    clock: Clock
    journal: Journal
    spill_first: bool = False  # not only what the database does not take
    _unsealed: int = 0  # answers that are not sealed yet
    _held: dict[str, tuple[Lease, Grant]] = field(default_factory=dict)  # sealed, and not known to be in the database

    async def prepare(self, grant: Grant) -> None:
        """Before the provider is asked: see that its answer can be sealed although the database goes away meanwhile.

        Raises Unavailable when the database is away now.
        """
        await self.envelope.seal(b"", spill_place(grant))

    async def keep(
        self, lease: Lease, registration: Registration, old: TokenSet, *, granted: Granted, event: Event
    ) -> bool:
        """Store the new generation durably. False: the grant was not ours any more, and the result is dealt with."""
        token_set = protocol.merge(old, granted.token_set)
        self._unsealed += 1
        try:
            grant = await self.patience.until_done(
                lease, lambda: self._next_generation(lease.grant, registration, old, token_set=token_set)
            )
        finally:
            self._unsealed -= 1
        name = spilling.name_of(grant)
        self._held[name] = (lease, grant)
        try:
            stored, spilled = await self._store(name, lease, grant, event=event)
            if not stored:
                spilled = spilled or await self._spill(name, lease, grant)  # a start after our end goes on from there
                await self.patience.until_done(lease, lambda: self._lost_fence(lease, registration, grant, token_set))
                stored = await self._adopted_when_free(grant, event)
        finally:
            del self._held[name]
        if spilled:
            await self.spill.drop(name)
        return stored

    async def spill_held(self) -> int:
        """The process must end now: put on the shelf what is in memory only. Answers how many did not get there."""
        return self._unsealed + sum([not await self._spill(name, *held) for name, held in list(self._held.items())])

    async def _next_generation(
        self, grant: Grant, registration: Registration, old: TokenSet, *, token_set: TokenSet
    ) -> Grant:
        now = self.clock.now()
        obtained = horizon.after_refresh(registration.provider, token_set, grant, now=now)
        raised = replace(
            grant,
            version=grant.version + 1,
            standing=lifecycle.apply(grant.standing, obtained, now=now),
            scopes_granted=token_set.scope if token_set.scope is not None else grant.scopes_granted,
        )
        raised = await seal_tokens(self.envelope, raised, token_set)
        return await self._with_previous(raised, registration, old, token_set)

    async def _with_previous(
        self, grant: Grant, registration: Registration, old: TokenSet, token_set: TokenSet
    ) -> Grant:
        if old.refresh_token is None or old.refresh_token == token_set.refresh_token:
            return replace(grant, prev_sealed=None, prev_until=None)
        sealed = await self.envelope.seal(old.refresh_token.reveal().encode(), previous_place(grant))
        until = policy.previous_until(registration.provider, now=self.clock.now())
        return replace(grant, prev_sealed=sealed, prev_until=until)

    async def _store(self, name: str, lease: Lease, grant: Grant, *, event: Event) -> tuple[bool, bool]:
        """Whether it is in the database now, and whether it is on the spill shelf."""
        spilled = self.spill_first and await self._spill(name, lease, grant)
        try:
            async with asyncio.timeout(STORE_S):
                return await self.grants.store(lease, grant, event), spilled
        except Exception as fault:  # noqa: BLE001 - any failure to store endangers the grant
            # The answer is in our hands and nowhere else: put it on disk first, then be patient.
            self.journal.record("store_failed", credential=grant.credential_id, error=type(fault).__name__)
            _ = spilled or await self._spill(name, lease, grant)
            # Also where that failed: `spill_held` may have put it there meanwhile.
            return await self.patience.until_done(lease, lambda: self._store_again(lease, grant, event)), True

    async def _spill(self, name: str, lease: Lease, grant: Grant) -> bool:
        document = {"fence": lease.grant.fence, "base": lease.grant.version, "grant": spilling.plain(grant)}
        try:
            sealed = await self.envelope.seal(json.dumps(document).encode(), spill_place(grant))
            await self.spill.put(name, spilling.labelled(grant, sealed))
        except Exception as fault:  # noqa: BLE001 - the shelf is a second chance: without it there is still memory
            self.journal.record("spill_failed", credential=grant.credential_id, error=type(fault).__name__)
            return False
        return True

    async def _store_again(self, lease: Lease, grant: Grant, event: Event) -> bool:
        """A commit that reported an error may have happened: the row then holds exactly our octets."""
        if await self.grants.store(lease, grant, event):
            return True
        row = await self.grants.get(grant.workspace_id, grant.credential_id)
        return row is not None and row.version == grant.version and row.sealed == grant.sealed

    async def _lost_fence(self, lease: Lease, registration: Registration, grant: Grant, token_set: TokenSet) -> None:
        row = await self.grants.get(grant.workspace_id, grant.credential_id)
        if row is None:
            # Deleted or disconnected meanwhile: what we just obtained must not stay alive at the provider.
            await self.surplus.revoke(leftover(grant, token_set, why="disconnected"), registration)
        elif row.grant_id != grant.grant_id:
            await self.surplus.beside(leftover(grant, token_set, why="reconnected"), await self._newer(row))
        elif row.version != grant.version or row.sealed != grant.sealed:
            await self._shelve(lease, grant)

    async def _newer(self, row: Grant) -> TokenSet | None:
        """None: it does not open, so nothing is known to be its own."""
        try:
            return await open_tokens(self.envelope, row)
        except Quarantined:
            return None

    async def _shelve(self, lease: Lease, grant: Grant) -> None:
        until = self.clock.now() + timedelta(seconds=policy.ORPHAN_S)
        await self.grants.shelve(lease, grant.sealed, version=grant.version, until=until)
        self.journal.record("orphan_shelved", provider=grant.provider, credential=grant.credential_id)

    async def _adopted_when_free(self, grant: Grant, event: Event) -> bool:
        """Once nobody refreshes any more: put our generation in place, unless a newer one is there by then.

        Whoever took over was perhaps refused because our token set is the one that lives; and it cannot have looked on
        the orphan shelf before we put it there. However long it takes: a grant at rest is looked at by nobody else.
        """
        while (adopted := await self._adopt(grant, event)) is None:
            await self.clock.sleep(ADOPT_EVERY_S)
        return adopted

    async def _adopt(self, grant: Grant, event: Event, *, tried: bool = True) -> bool | None:
        """Whether ours is in place now. None: somebody is refreshing, or the database is away; ask again.

        `tried`: whoever left an attempt unfinished may have found ours on the orphan shelf.
        """
        try:
            row = await self.grants.get(grant.workspace_id, grant.credential_id)
            if row is None or row.grant_id != grant.grant_id or row.version != grant.version - 1:
                return False
            if self._revoked(row) or await self._refused(row, grant):
                return False
            lease = await self.grants.claim(row, owner="adopting", lease_s=policy.LEASE_S, intent_fingerprint="")
            if lease is None:
                return None
            if tried and lease.previous_intent_at is not None:
                grant = self._in_doubt(grant)
            return await self.grants.store(lease, grant, event, unsettled=tried)
        except Exception as fault:  # noqa: BLE001 - as long as the process lives, we try
            self.journal.record("store_failed", credential=grant.credential_id, error=type(fault).__name__)
            return None

    def _in_doubt(self, grant: Grant) -> Grant:
        """Whoever refreshed meanwhile may have tried ours and heard nothing: it is found out as soon as that does no harm."""
        try:
            provider = self.catalog.provider(grant.provider)
        except NotFound:
            return grant
        at = policy.recover_at(provider, grant.standing, now=self.clock.now())
        return replace(grant, standing=replace(grant.standing, next_refresh_at=at))

    def _revoked(self, row: Grant) -> bool:
        """Recovery used a spent token where reuse revokes everything, and was refused: so ours is dead, too."""
        if row.standing.state is not State.REAUTHORIZATION_REQUIRED:
            return False
        try:
            return self.catalog.provider(row.provider).rotation is Rotation.FAMILY
        except NotFound:
            return False

    async def _refused(self, row: Grant, grant: Grant) -> bool:
        """Recovery found it on the orphan shelf and tried it before we could put it in place."""
        refresh_token = (await open_tokens(self.envelope, grant)).refresh_token
        return refresh_token is not None and protocol.fingerprint(refresh_token) in row.refused

    async def unspilled(self, lease: Lease) -> bool:
        """Before a token is sent that an unfinished refresh may have spent: store the answer, where it lies on the shelf.

        Raises Unavailable: the database still does not take it, or the shelf cannot be read, so nothing may be sent.
        """
        name = spilling.name_of(replace(lease.grant, version=lease.grant.version + 1))
        try:
            octets = (await self.spill.all()).get(name)
        except OSError as fault:
            raise Unavailable from fault
        if octets is None:
            return False
        try:
            label, sealed = spilling.label_of(octets)
            grant, _ = await spilling.generation_of(self.envelope, lease.grant, label, sealed)
        except (Quarantined, ValueError) as fault:
            self.journal.record("spill_unreadable", name=name, error=type(fault).__name__)
            return False
        stored = await self.grants.store(lease, grant, spilling.replayed(label, at=self.clock.now()))
        if stored:
            await self.spill.drop(name)
        return stored

    async def replay(self) -> int:
        """At start and now and then: store what spilled, where nothing newer is stored. Answers how many were stored.

        One that cannot be read, or whose grant is being refreshed, stays where it is and keeps no other waiting.
        """
        stored = 0
        for name, octets in (await self.spill.all()).items():
            if name in self._held:
                continue  # being stored
            try:
                done = await self._replay_one(octets)
            except Exception as fault:  # noqa: BLE001 - one odd file must neither stop the start nor the others
                self.journal.record("spill_unreadable", name=name, error=type(fault).__name__)
                continue
            if done is not None:
                stored += done
                await self.spill.drop(name)
        return stored

    async def _replay_one(self, octets: bytes) -> bool | None:
        label, sealed = spilling.label_of(octets)
        row = await self.grants.get(label.workspace_id, label.credential_id)
        if row is None or row.grant_id != label.grant_id:
            await self._left_over(label, sealed, row)
            return False
        grant, held = await spilling.generation_of(self.envelope, row, label, sealed)
        lease = Lease(grant=held, previous_intent_at=None, previous_intent_fingerprint="")
        event = spilling.replayed(label, at=self.clock.now())
        if await self.grants.store(lease, grant, event):
            return True
        if row.version == held.version:
            # Somebody claimed meanwhile and has no newer token set: ours may be the one that lives.
            await self._shelve(lease, grant)
        # Whose attempt is over by now cannot have found ours: it lay on this shelf.
        return await self._adopt(grant, event, tried=bool(row.lease_owner))

    async def _left_over(self, label: Label, sealed: bytes, row: Grant | None) -> None:
        """Disconnected or connected anew before it could be stored: the same as for a refresh that ends too late."""
        try:
            why = "disconnected" if row is None else "reconnected"
            left = await spilling.leftover_of(self.envelope, label, sealed, why=why)
        except Quarantined:
            return
        if left is not None and row is None:
            await self.surplus.abandoned(left)
        elif left is not None and row is not None:
            await self.surplus.beside(left, await self._newer(row))
