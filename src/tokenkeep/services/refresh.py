"""Refreshing: one function for reads and sweeps.

Owns: the order of one refresh. Claim (W1, the durable intent) → still due? → call the provider with no transaction open
→ judge → store (W2) where fence, version and grant are still ours → only then answer. Runs in tasks of the service, so a
caller who hangs up loses nothing. Does not own: what is due (`policy`), what an answer means (`protocol`), what a result
that the database did not take becomes (`keeping`), what a refusal leaves behind (`settling`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tokenkeep.core import policy, protocol, scopes
from tokenkeep.core.errors import (
    ClientMissing,
    InvalidInput,
    NotConnected,
    NotFound,
    Quarantined,
    RefreshFailing,
    TokenkeepError,
    Unavailable,
)
from tokenkeep.core.judgement import Granted, Refused, judge
from tokenkeep.core.model import FailureKind, Grant, State, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.services.clients import Clients
from tokenkeep.services.fallbacks import Fallbacks
from tokenkeep.services.flight import Flight, Wanted
from tokenkeep.services.gate import Gate
from tokenkeep.services.history import new_event
from tokenkeep.services.keeping import Keeping
from tokenkeep.services.orders import Orders, as_minted
from tokenkeep.services.peace import Peace
from tokenkeep.services.ports import (
    Clock,
    Entropy,
    Envelope,
    GrantStore,
    Journal,
    Lease,
    Minter,
    Reads,
    Registration,
    Tasks,
    TokenEndpoint,
)
from tokenkeep.services.sealing import open_tokens
from tokenkeep.services.settling import Claim, Settling
from tokenkeep.services.storage import Storage

OTHERS_POLL_S, OWN_RETRY = 0.1, timedelta(seconds=5)
_NOTHING_TO_SPEND = Refused(
    kind=FailureKind.GRANT, code="no_refresh_token", detail="", retry_after=None, uncertain=False
)
_AT_REST = frozenset({State.REAUTHORIZATION_REQUIRED, State.QUARANTINED})


@dataclass(slots=True, kw_only=True)
class Refresher:
    """Use cases `refresh` and what it is made of."""

    grants: GrantStore
    reads: Reads
    clients: Clients
    orders: Orders
    wire: TokenEndpoint
    minter: Minter
    envelope: Envelope
    keeping: Keeping
    fallbacks: Fallbacks
    peace: Peace
    gate: Gate
    settling: Settling
    storage: Storage
    tasks: Tasks
    clock: Clock
    entropy: Entropy
    journal: Journal
    owner: str  # this process, in leases
    wait_s: float = policy.WAIT_S
    _draining: bool = field(default=False)

    async def refresh(self, workspace_id: str, credential_id: str, wanted: Wanted) -> None:
        """See to it that the grant is refreshed if `wanted` says so, joining whoever does it already.

        Returns when the outcome is stored; read it from the grant. Raises NotConnected, and RefreshFailing when it takes
        longer than a caller should wait (the refresh then goes on without the caller) or the database is away.
        """
        flight = Flight(self, workspace_id, credential_id, wanted)
        try:
            async with asyncio.timeout(self.wait_s):
                await self.tasks.run(("refresh", workspace_id, credential_id), flight.fly)
                # Joining a flight that was begun for another reason may have changed nothing: then fly once ourselves.
                while not flight.flown and await flight.needed():
                    await self.tasks.run(("refresh", workspace_id, credential_id), flight.fly)
        except TimeoutError:
            raise RefreshFailing("The provider has not answered yet; the refresh goes on.", retry_after=5) from None
        except TokenkeepError:
            raise
        except Exception as fault:
            self.journal.record("refresh_broken", credential=credential_id, error=type(fault).__name__)
            raise RefreshFailing(retry_after=5) from fault

    def drain(self) -> None:
        """No new refresh starts from now on; what runs may finish."""
        self._draining = True

    def called_for(self, grant: Grant, wanted: Wanted) -> bool:
        """Whether to refresh now. A grant that needs a person, or is put aside, is never tried: that could only harm."""
        return grant.standing.state not in _AT_REST and wanted(grant, self.clock.now())

    async def fly(self, workspace_id: str, credential_id: str, wanted: Wanted) -> None:
        """Refresh under a lease, or wait while another process does. Runs in a task of the service."""
        deadline = self.clock.monotonic() + self.wait_s
        while True:
            credential = await self.reads.credential(workspace_id, credential_id)
            if credential is None or (grant := credential.grant) is None:
                raise NotConnected()
            if not self.called_for(grant, wanted):
                return
            if self._draining:
                raise RefreshFailing("The service is stopping.", retry_after=5)
            await self.storage.check()
            await self.keeping.prepare(grant)
            began = self.clock.monotonic()  # before the claim: its answer may come late, and the lease runs already
            lease = await self._claim(grant)
            if lease is not None:
                await self._under(Claim(lease, began, refused=lease.grant.refused), wanted)
                return
            if self.clock.monotonic() >= deadline:
                raise RefreshFailing("Another process is refreshing this token.", retry_after=5)
            await self.clock.sleep(OTHERS_POLL_S)

    async def _claim(self, grant: Grant) -> Lease | None:
        """W1. If this commit fails, nothing was sent and nothing is lost: a stale token beats an unstorable one."""
        try:
            token_set = await open_tokens(self.envelope, grant)
            fingerprint = protocol.fingerprint(token_set.refresh_token) if token_set.refresh_token else ""
        except Exception as surprise:  # noqa: BLE001 - found again under the lease, where it can be written down
            self.journal.record("unreadable", credential=grant.credential_id, error=type(surprise).__name__)
            fingerprint = ""
        return await self.grants.claim(grant, owner=self.owner, lease_s=policy.LEASE_S, intent_fingerprint=fingerprint)

    async def _under(self, claim: Claim, wanted: Wanted) -> None:
        try:
            if self.called_for(claim.lease.grant, wanted):
                await self._attempt(claim)
            else:
                await self.settling.unneeded(claim)
        except Quarantined:
            await self.settling.quarantined(claim)
        except ClientMissing:
            await self.settling.failed(claim, FailureKind.CLIENT, "client_missing")
        except NotFound:
            await self.settling.failed(claim, FailureKind.CLIENT, "provider_file_missing")
        except Unavailable:
            soon = None if claim.sent else self.clock.now() + OWN_RETRY  # our database failed, no provider
            kind, code = FailureKind.TRANSIENT, Unavailable.code
            await self.settling.failed(claim, kind, code, retry=soon, uncertain=claim.unanswered)
        except Exception as surprise:  # noqa: BLE001 - one credential's trouble never stops the rest (I7)
            # One poisonous row must not stop the rest, nor be tried for ever: three alike put it aside.
            name = type(surprise).__name__
            self.journal.record("refresh_surprise", credential=claim.lease.grant.credential_id, error=name)
            await self.settling.failed(claim, FailureKind.INTERNAL, name, uncertain=claim.unanswered)

    async def _attempt(self, claim: Claim) -> None:
        lease = claim.lease
        if claim.uncertain and await self.keeping.unspilled(lease):
            return
        registration = await self._registration(claim)
        if registration is None:
            return
        token_set = await open_tokens(self.envelope, lease.grant)
        if (wait := self._recovery_wait(claim, registration)) is not None:
            await self.settling.postponed(claim, wait, uncertain=True)
            return
        if (until := await self.peace.hold(registration, self.clock.now())) is not None:
            await self.settling.postponed(claim, until)
            return
        await self._spend(claim, registration, token_set)

    async def _registration(self, claim: Claim) -> Registration | None:
        """None: what is to be asked with does not open, or is not complete. That is somebody's to mend, and no grant's fault."""
        grant = claim.lease.grant
        try:
            if grant.minted:
                return await self.orders.registration(grant)
            return await self.clients.registration(grant.workspace_id, grant.client)
        except InvalidInput:
            await self.settling.failed(claim, FailureKind.CLIENT, "incomplete")
        except Quarantined:
            code = "values_undecryptable" if grant.minted else "client_undecryptable"
            await self.settling.failed(claim, FailureKind.CLIENT, code)
        return None

    def _recovery_wait(self, claim: Claim, registration: Registration) -> datetime | None:
        """After an unfinished refresh: the time to wait for, where trying now could revoke a grant that still serves."""
        if not claim.uncertain:
            return None
        now = self.clock.now()
        at = policy.recover_at(registration.provider, claim.lease.grant.standing, now=now)
        return at if at > now else None

    async def _spend(self, claim: Claim, registration: Registration, token_set: TokenSet) -> None:
        """Ask the provider with the refresh token, and when the grant is refused with whatever may live instead."""
        lease, refused = claim.lease, _NOTHING_TO_SPEND
        if claim.refused:
            refused = replace(refused, code="invalid_grant")  # where none of the others is left to try, this stands
        async for candidate in self._candidates(claim, registration, token_set):
            async with self.gate.passage(lease.grant):
                if self.clock.monotonic() - claim.at > policy.SEND_WITHIN_S:
                    soon = self.clock.now() + timedelta(seconds=1)
                    await self.settling.postponed(claim, soon)  # suspended: may not send late
                    return
                requested, scopes = self.clock.now(), lease.grant.scopes_requested
                claim.sent = claim.unanswered = True
                if candidate is None:
                    answer = await self.minter.mint(registration)
                else:
                    answer = await self.wire.refresh(registration, refresh_token=candidate, scopes=scopes)
            judged = judge(answer, registration.provider, now=self.clock.now(), requested=requested)
            judged = as_minted(judged, lease.grant) if candidate is None else judged
            if isinstance(judged, Granted):
                spent = replace(token_set, refresh_token=candidate)
                await self._keep(lease, registration, spent, granted=judged, duration_s=answer.duration_s)
                # Not before: between a provider's answer and the disk there is nothing that could fail.
                await self.peace.heard(registration, judged, self.clock.now())
                return
            refused, claim.unanswered = judged, judged.uncertain
            if refused.kind is FailureKind.GRANT and candidate is not None:
                claim.refused += (protocol.fingerprint(candidate),)
            await self.peace.heard(registration, refused, self.clock.now())
            if refused.kind is not FailureKind.GRANT:
                break
        await self.settling.refused(claim, registration, refused)

    async def _candidates(
        self, claim: Claim, registration: Registration, token_set: TokenSet
    ) -> AsyncIterator[Secret | None]:
        """The refresh tokens to be tried. None, once: nothing is spent by minting."""
        if registration.order is not None:
            yield None
            return
        async for candidate in self.fallbacks.candidates(claim.lease, registration.provider, token_set):
            yield candidate

    async def _keep(
        self, lease: Lease, registration: Registration, old: TokenSet, *, granted: Granted, duration_s: float
    ) -> None:
        grant, took = lease.grant, round(duration_s * 1000, 1)
        before = scopes.granted(grant)
        changed = scopes.change(before, before if granted.token_set.scope is None else granted.token_set.scope)
        by, detail = (self.clock, self.entropy), {"duration_ms": took, **changed}
        kind = "connected" if grant.minted and grant.version == 1 else "refreshed"
        event = new_event(grant, kind, actor="system", by=by, detail=detail)
        if await self.keeping.keep(lease, registration, old, granted=granted, event=event):
            self.journal.record("refreshed", provider=grant.provider, credential=grant.credential_id, duration_ms=took)
