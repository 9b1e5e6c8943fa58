"""Tokens that nothing needs any more.

Owns: revoking them where that harms nobody, asking again while the provider is busy, and saying in the history what became
of them. Does not own: which grant wins (`granting`, `keeping`), forgetting one (`credentials`), what is harmless
(`core/revocation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from tokenkeep.core import revocation
from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.model import OWN, Grant, TokenSet
from tokenkeep.core.revocation import Revocation
from tokenkeep.services.adoption import Adoption
from tokenkeep.services.clients import Clients
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import (
    Clock,
    CredentialStore,
    Entropy,
    Envelope,
    EventStore,
    Journal,
    Registration,
    Tasks,
    TokenEndpoint,
)
from tokenkeep.services.sealing import open_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What became of a grant at the provider. `revoked` None: there was nothing to revoke, or no way to."""

    revoked: bool | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A token set to be rid of, whose it was, and why nothing needs it."""

    workspace_id: str
    credential_id: str  # empty: no credential has come of it
    client: str  # Client.id
    token_set: TokenSet
    why: str
    tries: int = 0
    retry_at: datetime | None = None


def leftover(grant: Grant, token_set: TokenSet, *, why: str) -> Leftover:
    """Of a grant: `token_set` is its generation that nothing needs."""
    return Leftover(
        workspace_id=grant.workspace_id,
        credential_id=grant.credential_id,
        client=grant.client,
        token_set=token_set,
        why=why,
    )


@dataclass(slots=True, kw_only=True)
class Surplus:
    """Those that a busy provider did not take back wait here, in memory: a restart leaves them to their own end."""

    clients: Clients
    adoption: Adoption
    credentials: CredentialStore
    events: EventStore
    envelope: Envelope
    wire: TokenEndpoint
    tasks: Tasks
    clock: Clock
    entropy: Entropy
    journal: Journal
    waiting: list[Leftover] = field(default_factory=list)

    async def forgotten(self, grant: Grant, *, why: str) -> Removal:
        """A grant that was removed on purpose: there is nothing newer to be careful of."""
        if grant.minted:
            return Removal(revoked=None, detail="The last token ends by itself.")
        try:
            token_set = await open_tokens(self.envelope, grant)
            registration = await self.clients.registration(grant.workspace_id, grant.client)
        except TokenkeepError as fault:
            await self._tell(grant.workspace_id, grant.credential_id, {"why": why, "code": fault.code})
            return Removal(revoked=False, detail=f"It could not be revoked at the provider ({fault.code}).")
        done = await self.revoke(leftover(grant, token_set, why=why), registration)
        return _removal(done, registration.provider.name)

    async def revoke(self, left: Leftover, registration: Registration) -> Revocation:
        """Ask once; a busy provider is asked again later."""
        token, hint = revocation.token_to_name(registration.provider, left.token_set)
        answer = await self.wire.revoke(registration, token=token, hint=hint)
        done = revocation.read(answer, registration.provider, now=self.clock.now(), tries=left.tries)
        if done.retry_at is not None:
            self.waiting.append(replace(left, tries=left.tries + 1, retry_at=done.retry_at))
            return done
        await self._tell(
            left.workspace_id, left.credential_id, {"why": left.why} | ({"code": done.code} if done.code else {})
        )
        return done

    async def abandoned(self, left: Leftover) -> None:
        """One whose grant is gone for good."""
        if not left.client.startswith(OWN) and (registration := await self._registration(left)) is not None:
            await self.revoke(left, registration)

    async def _registration(self, left: Leftover) -> Registration | None:
        """None: it is left alive, and that is told. The client is gone or does not open, so nobody can ask; or the database
        is a copy, or older than what was seen of it: what is left over here may be what the original lives by."""
        try:
            if not await self.adoption.finding():
                return await self.clients.registration(left.workspace_id, left.client)
            code = "not_adopted"
        except TokenkeepError as fault:
            code = fault.code
        await self._tell(left.workspace_id, left.credential_id, {"why": left.why, "code": code})
        return None

    async def beside(self, left: Leftover, newer: TokenSet | None) -> None:
        """One that a newer consent has replaced: revoked only where the newer one survives that."""
        if left.client.startswith(OWN):
            return  # minted: it ends by itself, and a way to revoke it is part of no order
        registration = await self._registration(left)
        if registration is None:
            return
        if revocation.harms(registration.provider, left.token_set, newer):
            await self._tell(left.workspace_id, left.credential_id, {"why": left.why, "code": "shared_grant"})
            return
        await self.revoke(left, registration)

    def replaced(self, old: Grant, newer: TokenSet) -> None:
        """A grant that was connected anew. Goes on in a task of the service: the user need not wait for it."""

        async def work() -> None:
            try:
                token_set = await open_tokens(self.envelope, old)
            except TokenkeepError as fault:
                detail = {"why": "reconnected", "code": fault.code}
                await self._tell(old.workspace_id, old.credential_id, detail)
                return
            await self.beside(leftover(old, token_set, why="reconnected"), newer)

        _ = self.tasks.run(("surplus", old.workspace_id, old.grant_id), work)

    async def again(self) -> int:
        """Now and then: ask those who were busy. Answers how many were asked about."""
        now = self.clock.now()
        due = [left for left in self.waiting if left.retry_at is None or left.retry_at <= now]
        for left in due:
            self.waiting.remove(left)
            await self.abandoned(left)
        return len(due)

    async def _tell(self, workspace_id: str, credential_id: str, detail: dict[str, str]) -> None:
        """To the journal, and to the history where there is a credential still. `code`: why it may still be alive."""
        kind = "surplus_kept" if "code" in detail else "surplus_revoked"
        self.journal.record(kind, credential=credential_id, **detail)
        try:
            credential = await self.credentials.get(workspace_id, credential_id)
            if credential is not None:
                by = (self.clock, self.entropy)
                await self.events.add(new_event(credential, kind, actor="system", by=by, detail=detail))
        except Exception as fault:  # noqa: BLE001 - it is done; only the line about it is missing
            self.journal.record("history_failed", credential=credential_id, error=type(fault).__name__)


def _removal(done: Revocation, name: str) -> Removal:
    match done.code:
        case "":
            return Removal(revoked=True, detail=f"Revoked at {name}.")
        case "unsupported":
            return Removal(revoked=None, detail=f"{name} has no way to revoke it from here: remove the access there.")
        case "busy":
            return Removal(
                revoked=False,
                detail=f"{name} is busy and will be asked again for a while; to be sure, remove the access there.",
            )
        case _:
            return Removal(revoked=False, detail=f"{name} did not confirm: remove the access there.")
