"""Refreshing: one function for reads and sweeps.

Owns: the order of one refresh. Claim (W1, the durable intent) → still due? → call the provider with no transaction open
→ judge → store (W2) where fence, version and grant are still ours → only then answer. Runs in tasks of the service, so a
caller who hangs up loses nothing. Does not own: what is due (`policy`), what an answer means (`protocol`), what a result
that the database did not take becomes (`keeping`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tokenkeep.core import lifecycle, policy, protocol
from tokenkeep.core.errors import (
    ClientMissing,
    NotConnected,
    NotFound,
    Quarantined,
    RefreshFailing,
    TokenkeepError,
    Unavailable,
)
from tokenkeep.core.judgement import Granted, Refused, judge
from tokenkeep.core.model import Event, FailureKind, Grant, Standing, State, TokenSet
from tokenkeep.services.brake import Brake
from tokenkeep.services.clients import Clients
from tokenkeep.services.fallbacks import Fallbacks
from tokenkeep.services.flight import Flight, Wanted
from tokenkeep.services.gate import Gate
from tokenkeep.services.history import new_event
from tokenkeep.services.keeping import Keeping
from tokenkeep.services.peace import Peace
from tokenkeep.services.ports import (
    Clock,
    Entropy,
    Envelope,
    GrantStore,
    Journal,
    Lease,
    Reads,
    Registration,
    Tasks,
    TokenEndpoint,
)
from tokenkeep.services.sealing import open_tokens
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
    wire: TokenEndpoint
    envelope: Envelope
    keeping: Keeping
    fallbacks: Fallbacks
    peace: Peace
    gate: Gate
    brake: Brake
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
                await self._under(_Claim(lease, began), wanted)
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

    async def _under(self, claim: _Claim, wanted: Wanted) -> None:
        lease = claim.lease
        try:
            if not self.called_for(lease.grant, wanted):
                await self.grants.settle(lease, lease.grant.standing, None, keep_intent=_was_uncertain(lease))
                return
            await self._attempt(claim)
        except Quarantined:
            await self._quarantine(lease)
        except ClientMissing:
            await self._fail(lease, FailureKind.CLIENT, "client_missing")
        except NotFound:
            await self._fail(lease, FailureKind.CLIENT, "provider_file_missing")
        except Unavailable:
            soon = None if claim.sent else self.clock.now() + OWN_RETRY  # our database failed, no provider
            await self._fail(lease, FailureKind.TRANSIENT, Unavailable.code, retry=soon, uncertain=claim.sent)
        except Exception as surprise:  # noqa: BLE001 - one credential's trouble never stops the rest (I7)
            # One poisonous row must not stop the rest, nor be tried for ever: three alike put it aside.
            self.journal.record("refresh_surprise", credential=lease.grant.credential_id, error=type(surprise).__name__)
            await self._fail(lease, FailureKind.INTERNAL, type(surprise).__name__, uncertain=claim.sent)

    async def _attempt(self, claim: _Claim) -> None:
        lease = claim.lease
        if _was_uncertain(lease) and await self.keeping.unspilled(lease):
            return
        registration = await self._registration(lease)
        if registration is None:
            return
        token_set = await open_tokens(self.envelope, lease.grant)
        if (wait := self._recovery_wait(lease, registration)) is not None:
            await self._postpone(lease, wait, keep_intent=True)
            return
        if (until := await self.peace.hold(registration, self.clock.now())) is not None:
            await self._postpone(lease, until)
            return
        await self._spend(claim, registration, token_set)

    async def _registration(self, lease: Lease) -> Registration | None:
        """None: the client's secret does not open. That is the administrator's to mend, and no grant's fault."""
        try:
            return await self.clients.registration(lease.grant.workspace_id, lease.grant.client)
        except Quarantined:
            await self._fail(lease, FailureKind.CLIENT, "client_undecryptable")
            return None

    def _recovery_wait(self, lease: Lease, registration: Registration) -> datetime | None:
        """After an unfinished refresh: the time to wait for, where trying now could revoke a grant that still serves."""
        if lease.previous_intent_at is None:
            return None
        now = self.clock.now()
        at = policy.recover_at(registration.provider, lease.grant.standing, now=now)
        return at if at > now else None

    async def _spend(self, claim: _Claim, registration: Registration, token_set: TokenSet) -> None:
        """Ask the provider: with the refresh token, and when the grant is refused with each fallback once."""
        lease, refused = claim.lease, _NOTHING_TO_SPEND
        async for candidate in self.fallbacks.candidates(lease, registration.provider, token_set):
            async with self.gate.passage(lease.grant):
                if self.clock.monotonic() - claim.at > policy.SEND_WITHIN_S:
                    await self._postpone(lease, self.clock.now() + timedelta(seconds=1))  # suspended: may not send late
                    return
                requested, claim.sent, scopes = self.clock.now(), True, lease.grant.scopes_requested
                answer = await self.wire.refresh(registration, refresh_token=candidate, scopes=scopes)
            judged = judge(answer, registration.provider, now=self.clock.now(), requested=requested)
            if isinstance(judged, Granted):
                spent = replace(token_set, refresh_token=candidate)
                await self._keep(lease, registration, spent, granted=judged, duration_s=answer.duration_s)
                # Not before: between a provider's answer and the disk there is nothing that could fail.
                await self.peace.heard(registration, judged, self.clock.now())
                return
            await self.peace.heard(registration, judged, self.clock.now())
            refused = judged
            if refused.kind is not FailureKind.GRANT:
                break
        await self._refused(lease, registration, refused)

    async def _keep(
        self, lease: Lease, registration: Registration, old: TokenSet, *, granted: Granted, duration_s: float
    ) -> None:
        grant, took = lease.grant, round(duration_s * 1000, 1)
        event = self._event(grant, "refreshed", {"duration_ms": took})
        if await self.keeping.keep(lease, registration, old, granted=granted, event=event):
            self.journal.record("refreshed", provider=grant.provider, credential=grant.credential_id, duration_ms=took)

    async def _refused(self, lease: Lease, registration: Registration, refused: Refused) -> None:
        if refused.kind is FailureKind.GRANT:
            await self._grant_refused(lease, registration, refused)
            return
        retry = self._retry(lease, refused.retry_after)
        if refused.kind is FailureKind.CLIENT:
            retry = min(retry, self.clock.now() + timedelta(seconds=policy.PROBE_S))
        if refused.uncertain:
            recovery = policy.recover_at(registration.provider, lease.grant.standing, now=self.clock.now())
            # The first recovery does not wait: a provider's grace, where there is one, is short.
            first = not _was_uncertain(lease) and refused.retry_after is None
            retry = recovery if first else max(retry, recovery)
        await self._fail(lease, refused.kind, refused.code, retry=retry, uncertain=refused.uncertain)

    async def _grant_refused(self, lease: Lease, registration: Registration, refused: Refused) -> None:
        """Believe `invalid_grant` only where nothing else explains it (reliability 4.6)."""
        code = "lost_response" if _was_uncertain(lease) else refused.code
        doubt = await self.brake.doubt(lease.grant, registration.provider, code)
        if doubt is not None:
            await self._fail(lease, FailureKind.TRANSIENT, doubt.code, retry=doubt.until)
            return
        await self._fail(lease, FailureKind.GRANT, code)
        await self.brake.believed(lease.grant)

    def _retry(self, lease: Lease, retry_after: int | None = None) -> datetime:
        failure, now = lease.grant.standing.failure, self.clock.now()
        failures = failure.count if failure else 0
        return policy.retry_at(now, failures=failures, retry_after=retry_after, fraction=self.entropy.fraction())

    async def _fail(
        self, lease: Lease, kind: FailureKind, code: str, *, retry: datetime | None = None, uncertain: bool = False
    ) -> None:
        failed = lifecycle.Failed(kind=kind, code=code, retry_at=retry or self._retry(lease))
        standing = lifecycle.apply(lease.grant.standing, failed, now=self.clock.now())
        uncertain = kind is not FailureKind.GRANT and (uncertain or _was_uncertain(lease))
        await self._settle(lease, standing, kind=kind, code=code, uncertain=uncertain)

    async def _quarantine(self, lease: Lease) -> None:
        standing = lifecycle.undecryptable(lease.grant.standing, now=self.clock.now())
        await self._settle(lease, standing, kind=FailureKind.INTERNAL, code="undecryptable", uncertain=False)

    async def _settle(self, lease: Lease, standing: Standing, *, kind: FailureKind, code: str, uncertain: bool) -> None:
        name = "reauthorization_required" if standing.state is State.REAUTHORIZATION_REQUIRED else "refresh_failed"
        event = self._event(lease.grant, name, {"kind": kind.value, "code": code, "uncertain": uncertain})
        if not await self.grants.settle(lease, standing, event, keep_intent=uncertain):
            return  # the grant is not ours any more, so nothing happened to it
        self.journal.record(
            name, provider=lease.grant.provider, credential=lease.grant.credential_id, kind=kind.value, code=code
        )

    async def _postpone(self, lease: Lease, until: datetime, *, keep_intent: bool = False) -> None:
        standing = lifecycle.apply(lease.grant.standing, lifecycle.Postponed(until=until), now=self.clock.now())
        await self.grants.settle(lease, standing, None, keep_intent=keep_intent or _was_uncertain(lease))

    def _event(self, grant: Grant, kind: str, detail: Mapping[str, str | float | bool]) -> Event:
        return new_event(grant, kind, actor="system", by=(self.clock, self.entropy), detail=detail)


def _was_uncertain(lease: Lease) -> bool:
    return lease.previous_intent_at is not None


@dataclass(slots=True)
class _Claim:
    """A lease, when we took it, and whether anything was sent under it."""

    lease: Lease
    at: float
    sent: bool = False
