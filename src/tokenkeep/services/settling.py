"""Writing down a refresh that brought no token set.

Owns: what a refusal, a failure or a wait leaves in the row and in history, and that a refresh token which was refused is not
sent again. Does not own: asking the provider (`refresh`), storing what it granted (`keeping`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from tokenkeep.core import lifecycle, policy
from tokenkeep.core.judgement import Refused
from tokenkeep.core.model import Event, FailureKind, Standing, State
from tokenkeep.services.brake import Brake
from tokenkeep.services.history import new_event
from tokenkeep.services.patience import Patience
from tokenkeep.services.ports import Clock, Entropy, GrantStore, Journal, Lease, Registration


@dataclass(slots=True)
class Claim:
    """A lease, and what was done under it."""

    lease: Lease
    at: float  # monotonic, when we took it
    sent: bool = False
    unanswered: bool = False  # what was sent last may have spent its token, as far as we know
    refused: tuple[str, ...] = ()  # fingerprints of refresh tokens that are spent, as far as the provider says

    @property
    def uncertain(self) -> bool:
        """Whether an earlier refresh never reported its outcome, so that its refresh token may be spent."""
        return self.lease.previous_intent_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """The other end of a refresh."""

    grants: GrantStore
    brake: Brake
    patience: Patience
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def unneeded(self, claim: Claim) -> None:
        """Somebody else was faster: as it was."""
        await self._write(claim, claim.lease.grant.standing)

    async def postponed(self, claim: Claim, until: datetime, *, uncertain: bool = False) -> None:
        """Nothing was tried."""
        waiting = lifecycle.Postponed(until=until)
        standing = lifecycle.apply(claim.lease.grant.standing, waiting, now=self.clock.now())
        await self._write(claim, standing, uncertain=uncertain or claim.uncertain)

    async def quarantined(self, claim: Claim) -> None:
        """What is sealed does not open."""
        standing = lifecycle.undecryptable(claim.lease.grant.standing, now=self.clock.now())
        await self._tell(claim, standing, kind=FailureKind.INTERNAL, code="undecryptable", uncertain=False)

    async def refused(self, claim: Claim, registration: Registration, refused: Refused) -> None:
        """The provider gave no token set."""
        if refused.kind is FailureKind.GRANT:
            await self._grant_refused(claim, registration, refused)
            return
        retry = self._retry(claim, refused.retry_after)
        if refused.kind is FailureKind.CLIENT:
            probe = self.clock.now() + timedelta(seconds=policy.PROBE_S)
            retry = probe if claim.lease.grant.minted else min(retry, probe)
        if refused.uncertain:
            recovery = policy.recover_at(registration.provider, claim.lease.grant.standing, now=self.clock.now())
            # The first recovery does not wait: a provider's grace, where there is one, is short.
            first = not claim.uncertain and refused.retry_after is None
            retry = recovery if first else max(retry, recovery)
        await self.failed(claim, refused.kind, refused.code, retry=retry, uncertain=refused.uncertain)

    async def _grant_refused(self, claim: Claim, registration: Registration, refused: Refused) -> None:
        """Believe `invalid_grant` only where nothing else explains it (reliability 4.6)."""
        grant = claim.lease.grant
        code = "lost_response" if claim.uncertain else refused.code
        doubt = await self.brake.doubt(grant, registration.provider, code)
        if doubt is not None:
            asked_again = replace(claim, refused=())  # not forgotten before it is written that they may be sent again
            await self.failed(asked_again, FailureKind.TRANSIENT, doubt.code, retry=doubt.until)
            return
        await self.failed(claim, FailureKind.GRANT, code)
        await self.brake.believed(grant)

    async def failed(
        self, claim: Claim, kind: FailureKind, code: str, *, retry: datetime | None = None, uncertain: bool = False
    ) -> None:
        """Tried in vain. `retry` left out: after the usual backoff."""
        failed = lifecycle.Failed(kind=kind, code=code, retry_at=retry or self._retry(claim))
        standing = lifecycle.apply(claim.lease.grant.standing, failed, now=self.clock.now())
        uncertain = kind is not FailureKind.GRANT and (uncertain or claim.uncertain)
        await self._tell(claim, standing, kind=kind, code=code, uncertain=uncertain)

    def _retry(self, claim: Claim, retry_after: int | None = None) -> datetime:
        failure, now = claim.lease.grant.standing.failure, self.clock.now()
        failures = failure.count if failure else 0
        return policy.retry_at(now, failures=failures, retry_after=retry_after, fraction=self.entropy.fraction())

    async def _tell(self, claim: Claim, standing: Standing, *, kind: FailureKind, code: str, uncertain: bool) -> None:
        name = "reauthorization_required" if standing.state is State.REAUTHORIZATION_REQUIRED else "refresh_failed"
        grant, detail = claim.lease.grant, {"kind": kind.value, "code": code, "uncertain": uncertain}
        event = new_event(grant, name, actor="system", by=(self.clock, self.entropy), detail=detail)
        if not await self._write(claim, standing, event, uncertain=uncertain):
            return  # the grant is not ours any more, so nothing happened to it
        self.journal.record(name, provider=grant.provider, credential=grant.credential_id, kind=kind.value, code=code)

    async def _write(
        self,
        claim: Claim,
        standing: Standing,
        event: Event | None = None,
        *,
        uncertain: bool | None = None,
    ) -> bool:
        """False: the grant is not ours any more. What the provider said is nowhere else, so it is worth waiting for."""
        lease, keep = claim.lease, claim.uncertain if uncertain is None else uncertain
        work = partial(self.grants.settle, lease, standing, event, keep_intent=keep, refused=claim.refused)
        if not claim.sent:
            return await work()
        return await self.patience.until_lapsed(lease, work, claimed_at=claim.at)
