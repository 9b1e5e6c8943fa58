"""What a node may read: a live access token, static values, an authorization.

Owns: handing out. Fresh is answered at once from memory; too old waits for the one refresh; dead says who must act.
Does not own: refreshing (`refresh`), how a credential is put on a request (`core/injection`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tokenkeep.core import injection, policy, protocol, token_document
from tokenkeep.core.errors import (
    NotConnected,
    NotFound,
    NotOAuth,
    Quarantined,
    ReauthorizationRequired,
    RefreshFailing,
    Unavailable,
)
from tokenkeep.core.model import Credential, Grant, State, TokenSet
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.policy import Freshness
from tokenkeep.core.secret import Secret
from tokenkeep.services.addresses import Addresses
from tokenkeep.services.flight import Wanted
from tokenkeep.services.live_token import Authorization, Known, LiveToken, TokenFacts
from tokenkeep.services.ports import Catalog, Clock, Envelope, Reads
from tokenkeep.services.refresh import Refresher
from tokenkeep.services.rejections import RejectionWatch
from tokenkeep.services.sealing import open_tokens, open_values, token_place
from tokenkeep.services.usage import Usage

REMEMBERED = 10_000
REJECTION_GAP_S = 10
"""A token this young that is already rejected will not get better by refreshing again: the fault is elsewhere."""


@dataclass(slots=True, kw_only=True)
class Tokens:
    """Use cases of nodes."""

    reads: Reads
    refresher: Refresher
    rejections: RejectionWatch
    catalog: Catalog
    envelope: Envelope
    addresses: Addresses
    usage: Usage
    clock: Clock
    public_url: str
    _known: dict[str, Known] = field(default_factory=dict)  # credential id -> what is known of its grant

    async def token(self, caller: Caller, credential_id: str, *, min_ttl: int = 60, consumer: str = "") -> LiveToken:
        """Raises NotFound, NotOAuth, NotConnected, ReauthorizationRequired, Quarantined, RefreshFailing."""
        return (await self.known(caller, credential_id, min_ttl=min_ttl, consumer=consumer)).live

    async def known(self, caller: Caller, credential_id: str, *, min_ttl: int, consumer: str = "") -> Known:
        """The token, and until when it is the answer to this question if nothing is committed. Raises as `token`."""
        if Scope.TOKENS_READ not in caller.scopes or caller.credential_ids is not None:
            caller.need(Scope.TOKENS_READ)
            caller.reach(credential_id)
        credential = await self.reads.credential(caller.workspace_id, credential_id)
        if credential is None:
            raise NotFound()
        if consumer:
            self.usage.credential_used(caller.workspace_id, credential_id, consumer)
        known = self._known.get(credential_id)
        if known is None or not known.serves(credential.grant, self.clock.monotonic(), min_ttl):
            known = await self._know(caller, credential, min_ttl=min_ttl)
        return known

    async def _know(self, caller: Caller, credential: Credential, *, min_ttl: int) -> Known:
        """The grant to serve from, refreshed if it must be, and what a next read need not work out again."""
        grant = self._usable(credential)
        if _freshness(grant, self.clock.now(), min_ttl) is not Freshness.FRESH:
            grant = await self._better(caller, grant, min_ttl=min_ttl)
        known = self._known.get(credential.id)
        if known is None or known.grant is not grant:
            known = Known(grant=grant, live=await self._live(grant))
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[credential.id] = known
        if len(known.fresh_until) < 16:  # nodes ask for the same few lives again and again
            known.fresh_until[min_ttl] = self._fresh_until(grant, min_ttl)
        return known

    async def _live(self, grant: Grant) -> LiveToken:
        opener = await self.envelope.opener(grant.sealed, token_place(grant))
        return LiveToken(_facts(grant, token_document.load(opener())), opener)

    def _fresh_until(self, grant: Grant, min_ttl: int) -> float:
        """On the monotonic clock, so that a leap of the wall clock between two reads makes no token look old or young."""
        expires_at = grant.standing.expires_at
        if expires_at is None:
            return math.inf
        until = policy.fresh_until(expires_at, obtained_at=_obtained(grant), min_ttl=min_ttl)
        return self.clock.monotonic() + (until - self.clock.now()).total_seconds()

    def forget(self) -> None:
        """The wall clock was set: what was worked out by the old time must be worked out again."""
        self._known.clear()

    async def refresh(self, caller: Caller, credential_id: str, *, rejected: str, consumer: str = "") -> LiveToken:
        """A token newer than the one a node saw rejected: one refresh for all who report the same one.

        Raises as `token` does; RefreshFailing also when the rejected token was obtained only just now, or when the ones
        before it were obtained for the same reason and rejected, too.
        """
        credential = await self._read(caller, credential_id, consumer)
        grant = self._usable(credential)
        token_set = await open_tokens(self.envelope, grant)
        if protocol.fingerprint(token_set.access_token) != rejected:
            return await self._live(grant)
        if (self.clock.now() - _obtained(grant)).total_seconds() < REJECTION_GAP_S:
            raise RefreshFailing("The rejected token was issued only seconds ago.", retry_after=REJECTION_GAP_S)
        if token_set.refresh_token is None and not grant.minted:
            raise self._connect_again(grant, "The token was rejected and the provider gave no refresh token.")
        await self.rejections.note(grant)
        before = (grant.grant_id, grant.version)
        grant = await self._refreshed(
            caller, grant, lambda stored, now: (stored.grant_id, stored.version) == before and not _waits(stored, now)
        )
        if (grant.grant_id, grant.version) == before:
            raise RefreshFailing(retry_after=_retry_after(grant, self.clock.now()))
        return await self._live(grant)

    async def authorization(self, caller: Caller, credential_id: str, *, consumer: str = "") -> Authorization:
        """Raises as `token` does, and NotFound for a type that does not authenticate HTTP."""
        credential = await self._read(caller, credential_id, consumer)
        type_ = self.catalog.type(credential.type)
        values = await open_values(self.envelope, credential)
        live = await self.token(caller, credential_id) if type_.issues_tokens else None
        rule = type_.injection or (injection.BEARER if type_.issues_tokens else None)
        if rule is None:
            raise NotFound(
                f"{type_.label} does not authenticate HTTP requests.",
                fix=f"Read its fields with GET /v1/credentials/{credential_id}/values.",
            )
        injected = injection.authorize(rule, values, access_token=live.access_token if live else None)
        secrets = {"access_token", *(field.name for field in type_.fields if field.secret)}
        return Authorization(
            headers=_secret(injected.headers),
            query=_secret(injected.query),
            body=_secret(injected.body),
            base_url=Secret(await self.addresses.base_url(credential, type_, values, path=injected.path)),
            secret_in_url=injection.exposes(rule, secrets),
            expires_at=live.facts.expires_at if live else None,
            fingerprint=live.facts.fingerprint if live else "",
        )

    async def values(self, caller: Caller, credential_id: str, *, consumer: str = "") -> tuple[str, Mapping[str, Any]]:
        """(type, fields in clear): the release of a secret. For OAuth types the live token is among them, for minted ones
        what their file says that the answer gives."""
        credential = await self._read(caller, credential_id, consumer)
        type_ = self.catalog.type(credential.type)
        values = await open_values(self.envelope, credential)
        if type_.oauth:
            values |= await self._token_values(caller, credential)
        if type_.mint is not None and type_.mint.gives:
            values |= await self._given(caller, credential, type_.mint.gives)
        return credential.type, values

    async def _given(self, caller: Caller, credential: Credential, gives: Mapping[str, str]) -> dict[str, Any]:
        """Parts of the answer under the names that nodes know, over the fields of the same name."""
        live = await self.token(caller, credential.id)
        current = await self._read(caller, credential.id, "")
        extra = (await open_tokens(self.envelope, current.grant)).extra if current.grant else {}
        told = {name: extra[path] for name, path in gives.items() if path in extra}
        return told | {"expires_at": _told(live.facts.expires_at)}

    async def _token_values(self, caller: Caller, credential: Credential) -> dict[str, Any]:
        live = await self.token(caller, credential.id)
        facts = live.facts
        current = await self._read(caller, credential.id, "")
        extra = (await open_tokens(self.envelope, current.grant)).extra if current.grant else {}
        return {
            **extra,
            "access_token": live.access_token.reveal(),
            "token_type": facts.token_type,
            "expires_at": _told(facts.expires_at),
            "scope": " ".join(facts.scope),
        }

    async def _read(self, caller: Caller, credential_id: str, consumer: str) -> Credential:
        caller.need(Scope.TOKENS_READ)
        caller.reach(credential_id)
        credential = await self.reads.credential(caller.workspace_id, credential_id)
        if credential is None:
            raise NotFound()
        if consumer:
            self.usage.credential_used(caller.workspace_id, credential_id, consumer)
        return credential

    def _usable(self, credential: Credential) -> Grant:
        grant = credential.grant
        if grant is None:
            type_ = self.catalog.type(credential.type)
            if not type_.issues_tokens:
                raise NotOAuth(fix=f"Read its fields with GET /v1/credentials/{credential.id}/values.")
            if type_.mint is not None:
                raise NotConnected(fix=f"Save its values again: {self._page(credential.id)}")
            raise NotConnected(fix=f"Connect it in a browser: {self._page(credential.id)}")
        state = grant.standing.state
        if state is State.REAUTHORIZATION_REQUIRED:
            raise self._connect_again(grant)
        if state is State.QUARANTINED:
            raise Quarantined(fix="An administrator looks at the service's log; reconnecting replaces what is stored.")
        return grant

    async def _better(self, caller: Caller, grant: Grant, *, min_ttl: int) -> Grant:
        """The grant after a refresh, or the old one while its token still lives."""
        try:
            if await self._cannot_be_refreshed(grant):
                return grant
            fresh = await self._refreshed(
                caller,
                grant,
                lambda stored, now: _freshness(stored, now, min_ttl) != Freshness.FRESH and not _waits(stored, now),
            )
        except (RefreshFailing, Unavailable):
            if _freshness(grant, self.clock.now(), 0) is Freshness.EXPIRED:
                raise
            return grant
        now = self.clock.now()
        if _freshness(fresh, now, 0) is Freshness.EXPIRED:
            raise RefreshFailing(retry_after=_retry_after(fresh, now))
        return fresh

    async def _cannot_be_refreshed(self, grant: Grant) -> bool:
        """It lives, and there is nothing to refresh it with: then it is the best there is, and no reason to connect again."""
        if grant.minted or _freshness(grant, self.clock.now(), 0) is Freshness.EXPIRED:
            return False
        return (await open_tokens(self.envelope, grant)).refresh_token is None

    async def _refreshed(self, caller: Caller, grant: Grant, wanted: Wanted) -> Grant:
        await self.refresher.refresh(caller.workspace_id, grant.credential_id, wanted)
        credential = await self.reads.credential(caller.workspace_id, grant.credential_id)
        if credential is None:
            raise NotFound()
        return self._usable(credential)

    def _connect_again(self, grant: Grant, message: str = "") -> ReauthorizationRequired:
        code = grant.standing.failure.code if grant.standing.failure else "rejected"
        page = self._page(grant.credential_id)
        if grant.minted:
            refused = "The service accepts these values no longer; somebody must mend them."
            return ReauthorizationRequired(refused, fix=f"Mend its values: {page}", cause=code)
        return ReauthorizationRequired(message, fix=f"Connect it again in a browser: {page}", cause=code)

    def _page(self, credential_id: str) -> str:
        return f"{self.public_url}/credentials/{credential_id}"


def _secret(parts: Mapping[str, str]) -> dict[str, Secret]:
    return {name: Secret(text) for name, text in parts.items()}


def _told(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _facts(grant: Grant, token_set: TokenSet) -> TokenFacts:
    granted = grant.scopes_granted
    return TokenFacts(
        token_type=token_set.token_type,
        expires_at=token_set.expires_at,
        scope=granted if granted is not None else grant.scopes_requested,
        fingerprint=protocol.fingerprint(token_set.access_token),
        state=grant.standing.state,
    )


def _obtained(grant: Grant) -> datetime:
    return grant.standing.last_refresh_at or grant.connected_at


def _freshness(grant: Grant, now: datetime, min_ttl: int) -> Freshness:
    return policy.freshness(grant.standing, obtained_at=_obtained(grant), now=now, min_ttl=min_ttl)


def _waits(grant: Grant, now: datetime) -> bool:
    """It failed a moment ago and says when to try again: asking sooner would only add load."""
    planned = grant.standing.next_refresh_at
    return grant.standing.failure is not None and not grant.lease_owner and planned is not None and planned > now


def _retry_after(grant: Grant, now: datetime) -> int:
    planned = grant.standing.next_refresh_at
    wait = (planned - now).total_seconds() if planned is not None else 30
    return max(1, min(round(wait), policy.BACKOFF_CAP_S))
