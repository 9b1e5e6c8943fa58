"""Keeping what a provider gave us, whatever the database does.

Owns: W2 of a refresh, the spill shelf when the database cannot take it, the orphan shelf when our fence was lost, and the
replay at start. Does not own: asking the provider (`refresh`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from tokenkeep.core import lifecycle, policy, protocol, token_document
from tokenkeep.core.errors import Quarantined
from tokenkeep.core.judgement import Granted
from tokenkeep.core.model import Event, Grant, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import (
    Clock,
    Envelope,
    GrantStore,
    Journal,
    Lease,
    Registration,
    Spill,
    TokenEndpoint,
)
from tokenkeep.services.sealing import previous_place, seal_tokens, spill_place, token_place

T = TypeVar("T")

RETRY_FIRST_S, RETRY_CAP_S = 0.2, 10.0
EXTEND_EVERY_S = 30.0
ADOPT_EVERY_S = 2.0


@dataclass(slots=True, kw_only=True)
class Keeping:
    """What stands between a provider's answer and its loss."""

    grants: GrantStore
    envelope: Envelope
    spill: Spill
    wire: TokenEndpoint
    clock: Clock
    journal: Journal

    async def keep(
        self, lease: Lease, registration: Registration, old: TokenSet, *, granted: Granted, event: Event
    ) -> bool:
        """Store the new generation durably. False: the grant was not ours any more, and the result is dealt with."""
        token_set = protocol.merge(old, granted.token_set)
        grant = await self._patiently(
            lease, lambda: self._next_generation(lease.grant, registration, old, token_set=token_set)
        )
        stored, spilled = await self._store(lease, grant, event)
        if not stored:
            await self._patiently(lease, lambda: self._lost_fence(lease, registration, grant, token_set))
            stored = await self._adopted_when_free(grant, event)
        if spilled:
            await self.spill.drop(spilled)
        return stored

    async def _next_generation(
        self, grant: Grant, registration: Registration, old: TokenSet, *, token_set: TokenSet
    ) -> Grant:
        now = self.clock.now()
        next_at = policy.next_refresh_at(
            registration.provider,
            obtained_at=now,
            expires_at=token_set.expires_at,
            fraction=policy.own_fraction(grant.credential_id),
        )
        obtained = lifecycle.Obtained(
            expires_at=token_set.expires_at,
            refresh_expires_at=token_set.refresh_expires_at,
            next_refresh_at=next_at if token_set.refresh_token else None,
        )
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

    async def _store(self, lease: Lease, grant: Grant, event: Event) -> tuple[bool, str]:
        """Whether it is in the database now, and its name on the spill shelf, if it had to be put there."""
        try:
            return await self.grants.store(lease, grant, event), ""
        except Exception as fault:  # noqa: BLE001 - any failure to store endangers the grant
            # The answer is in our hands and nowhere else: put it on disk first, then be patient.
            self.journal.record("store_failed", credential=grant.credential_id, error=type(fault).__name__)
            name = f"{grant.credential_id}.{grant.grant_id}.{grant.version}"
            await self._spill(name, lease, grant)
            return await self._patiently(lease, lambda: self._store_again(lease, grant, event)), name

    async def _spill(self, name: str, lease: Lease, grant: Grant) -> None:
        document = {"fence": lease.grant.fence, "base": lease.grant.version, "grant": _plain(grant)}
        try:
            sealed = await self.envelope.seal(json.dumps(document).encode(), spill_place(grant))
            head = json.dumps([grant.workspace_id, grant.credential_id, grant.grant_id, grant.version])
            await self.spill.put(name, head.encode() + b"\n" + sealed)
        except Exception as fault:  # noqa: BLE001 - the shelf is a second chance: without it there is still memory
            self.journal.record("spill_failed", credential=grant.credential_id, error=type(fault).__name__)

    async def _patiently(self, lease: Lease, work: Callable[[], Awaitable[T]]) -> T:
        """Do it until it works, since what we hold is nowhere else; keep the lease meanwhile, where that is possible."""
        wait, extended = RETRY_FIRST_S, self.clock.monotonic()
        while True:
            try:
                if self.clock.monotonic() - extended > EXTEND_EVERY_S:
                    extended = self.clock.monotonic()
                    await self.grants.extend(lease, lease_s=policy.LEASE_S)
                return await work()
            except Exception as fault:  # noqa: BLE001 - as long as the process lives, we try
                self.journal.record("store_failed", credential=lease.grant.credential_id, error=type(fault).__name__)
            await self.clock.sleep(wait)
            wait = min(wait * 2, RETRY_CAP_S)

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
            token, hint = token_set.refresh_token or token_set.access_token, "refresh_token"
            await self.wire.revoke(registration, token=token, hint=hint)
            self.journal.record("surplus_revoked", provider=grant.provider, credential=grant.credential_id)
        elif row.grant_id != grant.grant_id:
            self.journal.record("surplus_discarded", provider=grant.provider, credential=grant.credential_id)
        elif row.version != grant.version or row.sealed != grant.sealed:
            await self._shelve(lease, grant)

    async def _shelve(self, lease: Lease, grant: Grant) -> None:
        until = self.clock.now() + timedelta(seconds=policy.ORPHAN_S)
        await self.grants.shelve(lease, grant.sealed, version=grant.version, until=until)
        self.journal.record("orphan_shelved", provider=grant.provider, credential=grant.credential_id)

    async def _adopted_when_free(self, grant: Grant, event: Event) -> bool:
        """Once nobody refreshes any more: put our generation in place, unless a newer one is there by then.

        Whoever took over was perhaps refused because our token set is the one that lives; and it cannot have looked on
        the orphan shelf before we put it there.
        """
        deadline = self.clock.monotonic() + 2 * policy.LEASE_S
        while self.clock.monotonic() < deadline:
            adopted = await self._adopt(grant, event)
            if adopted is not None:
                return adopted
            await self.clock.sleep(ADOPT_EVERY_S)
        return False

    async def _adopt(self, grant: Grant, event: Event) -> bool | None:
        """Whether ours is in place now. None: somebody is refreshing, or the database is away; ask again."""
        try:
            row = await self.grants.get(grant.workspace_id, grant.credential_id)
            if row is None or row.grant_id != grant.grant_id or row.version != grant.version - 1:
                return False
            lease = await self.grants.claim(row, owner="adopting", lease_s=policy.LEASE_S, intent_fingerprint="")
            return await self.grants.store(lease, grant, event) if lease is not None else None
        except Exception as fault:  # noqa: BLE001 - as long as the process lives, we try
            self.journal.record("store_failed", credential=grant.credential_id, error=type(fault).__name__)
            return None

    async def orphans(self, grant: Grant) -> Sequence[TokenSet]:
        """Token sets on the orphan shelf of this grant, newest first. Those that do not open are passed over."""
        found = []
        for version, sealed in await self.grants.orphans(grant.workspace_id, grant.credential_id, grant.grant_id):
            try:
                plain = await self.envelope.open(sealed, token_place(replace(grant, version=version)))
            except Quarantined:
                continue
            found.append(token_document.load(plain))
        return found

    async def previous(self, grant: Grant) -> Secret | None:
        """The refresh token that was spent last, while it is kept (reliability 4.5)."""
        if grant.prev_sealed is None or grant.prev_until is None or grant.prev_until <= self.clock.now():
            return None
        try:
            return Secret((await self.envelope.open(grant.prev_sealed, previous_place(grant))).decode())
        except Quarantined:
            return None

    async def replay(self) -> int:
        """At start and now and then: store what spilled, where nothing newer is stored. Answers how many were stored.

        One that cannot be read, or whose grant is being refreshed, stays where it is and keeps no other waiting.
        """
        stored = 0
        for name, octets in (await self.spill.all()).items():
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
        head, _, sealed = octets.partition(b"\n")
        workspace_id, credential_id, grant_id, version = json.loads(head)
        row = await self.grants.get(workspace_id, credential_id)
        if row is None or row.grant_id != grant_id:
            return False
        document = json.loads(await self.envelope.open(sealed, spill_place(replace(row, version=version))))
        grant = _revived(row, document["grant"], version=version)
        held = replace(row, fence=document["fence"], version=document["base"])
        lease = Lease(grant=held, previous_intent_at=None, previous_intent_fingerprint="")
        event = Event(
            id=f"replay-{grant_id}-{version}",
            workspace_id=workspace_id,
            credential_id=credential_id,
            at=self.clock.now(),
            kind="refreshed",
            actor="system",
            detail={"replayed": True},
        )
        if await self.grants.store(lease, grant, event):
            return True
        if row.version == held.version:
            # Somebody claimed meanwhile and has no newer token set: ours may be the one that lives.
            await self._shelve(lease, grant)
        return await self._adopt(grant, event)


def _plain(grant: Grant) -> dict[str, object]:
    """What a spilled generation adds to the row: times as timestamps, octets as base64."""
    standing = grant.standing
    return {
        "sealed": base64.b64encode(grant.sealed).decode(),
        "prev_sealed": base64.b64encode(grant.prev_sealed).decode() if grant.prev_sealed else None,
        "prev_until": grant.prev_until.isoformat() if grant.prev_until else None,
        "scopes_granted": list(grant.scopes_granted) if grant.scopes_granted is not None else None,
        "expires_at": standing.expires_at.isoformat() if standing.expires_at else None,
        "refresh_expires_at": standing.refresh_expires_at.isoformat() if standing.refresh_expires_at else None,
        "next_refresh_at": standing.next_refresh_at.isoformat() if standing.next_refresh_at else None,
        "obtained_at": standing.last_refresh_at.isoformat() if standing.last_refresh_at else None,
    }


def _revived(row: Grant, spilled: dict[str, str | list[str] | None], *, version: int) -> Grant:
    def moment(name: str) -> datetime | None:
        text = spilled[name]
        return datetime.fromisoformat(text) if isinstance(text, str) else None

    def octets(name: str) -> bytes | None:
        text = spilled[name]
        return base64.b64decode(text) if isinstance(text, str) else None

    obtained = lifecycle.Obtained(
        expires_at=moment("expires_at"),
        refresh_expires_at=moment("refresh_expires_at"),
        next_refresh_at=moment("next_refresh_at"),
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
